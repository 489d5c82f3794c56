package protocol

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol/tlp"
)

// newRecord returns an empty record of the type, to decode into.
func newRecord(typ Type) Record {
	switch typ {
	case TypeRoot:
		return new(Root)
	case TypeManifest:
		return new(Manifest)
	case TypeCard:
		return new(Card)
	case TypeAttest:
		return new(Attest)
	case TypeCutoff:
		return new(Cutoff)
	case TypeAddress:
		return new(Address)
	case TypeHeads:
		return new(Heads)
	case TypeParcel:
		return new(Parcel)
	case TypeStatement:
		return new(Statement)
	case TypeRecipient:
		return new(NodeRecipient)
	case TypeAgreement:
		return new(Agreement)
	case TypeAgreementStatus:
		return new(AgreementStatus)
	case TypeCharter:
		return new(Charter)
	case TypeApprove:
		return new(Approve)
	case TypeAdopt:
		return new(Adopt)
	case TypeVouch:
		return new(Vouch)
	case TypeAccept:
		return new(Accept)
	case TypeObjection:
		return new(Objection)
	case TypeMemberCard:
		return new(MemberCard)
	case TypeHold:
		return new(Hold)
	case TypeLeave:
		return new(Leave)
	case TypeRefound:
		return new(Refound)
	case TypeEpoch:
		return new(Epoch)
	case TypeGrant:
		return new(Grant)
	}
	panic("no record of type " + typ)
}

// agree checks the package against the reference: both accept data as the form with the name, or both refuse it. What is
// accepted must have been the encoding of the result.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, name string, data []byte) {
	t.Helper()
	var into any
	switch name {
	case "envelope":
		into = new(Envelope)
	case "bundle":
		into = new(Bundle)
	case "hello":
		into = new(Hello)
	case "content":
		into = new(Content)
	default:
		into = newRecord(Type("entente/v1/" + name))
	}
	err := Unmarshal(data, into)
	if ref := refAccepts(name, data); ref != (err == nil) {
		t.Fatalf("%s %x: the reference accepts: %v, Unmarshal says: %v", name, data, ref, err)
	}
	if err != nil && !errors.Is(err, ErrMalformed) {
		t.Fatalf("%s %x: error %v does not wrap ErrMalformed", name, data, err)
	}
	if err != nil {
		return
	}
	v, _ := refDecode(data)
	if m, ok := v.(refMap); ok { // without extensions
		data = refEncode(slices.DeleteFunc(m, func(p refPair) bool { return isExtension(refEncode(p.key)) }))
	}
	if again := must(Marshal(into)); !bytes.Equal(again, data) {
		t.Fatalf("%s: decoded %x, encoded %x", name, data, again)
	}
}

// seeds returns encodings by the name of their form.
func seeds() map[string][][]byte {
	s := map[string][][]byte{}
	for _, x := range examples() {
		typ := x.record.recordType()
		e := envelopeOf(typ, must(Marshal(x.record)), x.keys...)
		name := string(typ[len("entente/v1/"):])
		s[name] = append(s[name], e.Payload)
		s["envelope"] = append(s["envelope"], e.Encode())
	}
	for _, v := range vectors() {
		switch v.form {
		case "hello", "bundle":
			s[v.form] = append(s[v.form], v.data)
		}
	}
	large := exampleContent(exampleRed())
	large.Title, large.Body = "", largeBody()
	s["content"] = [][]byte{must(Marshal(exampleContent(exampleRed()))), must(Marshal(large))}
	return s
}

// item draws any item, some of which no decoder may accept.
func item(t *rapid.T, depth int) any {
	switch n := rapid.IntRange(0, 12).Draw(t, "item"); {
	case n <= 2:
		return rapid.OneOf(rapid.Uint64Max(30), rapid.Uint64()).Draw(t, "uint")
	case n == 3:
		return refNegative(rapid.Uint64().Draw(t, "negative"))
	case n <= 5:
		return make([]byte, rapid.SampledFrom([]int{0, 1, 16, 31, 32, 33, 64}).Draw(t, "bytes"))
	case n == 6:
		return rapid.StringN(0, 8, 30).Draw(t, "text")
	case n == 7:
		return rapid.Bool().Draw(t, "bool")
	case n == 8:
		return refRaw(rapid.SampledFrom([]string{"\xf6", "\xf7", "\xc1\x05", "\xf9\x3c\x00", "\x18\x05", "\x5f\x41x\xff", "\x61\xff", "\x1c"}).Draw(t, "raw"))
	case depth > 4:
		return uint64(0)
	case n <= 10:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, item(t, depth+1))
		}
		return list
	}
	m := refMap{}
	for range rapid.IntRange(0, 3).Draw(t, "pairs") {
		m = append(m, refPair{item(t, depth+1), item(t, depth+1)})
	}
	return m
}

// mutate draws a change of the item somewhere inside it.
func mutate(t *rapid.T, v any) any {
	if rapid.IntRange(0, 5).Draw(t, "here") == 0 {
		return item(t, 0)
	}
	switch v := v.(type) {
	case []any:
		v = slices.Clone(v)
		if len(v) == 0 {
			return append(v, item(t, 0))
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "index")
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			return slices.Delete(v, i, i+1)
		case 1:
			return slices.Insert(v, i, v[i])
		}
		v[i] = mutate(t, v[i])
		return v
	case refMap:
		v = slices.Clone(v)
		if len(v) == 0 {
			return append(v, refPair{uint64(1), item(t, 0)})
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "index")
		switch rapid.IntRange(0, 6).Draw(t, "change") {
		case 0:
			return slices.Delete(v, i, i+1)
		case 1:
			return slices.Insert(v, i, v[i])
		case 2:
			return with(v, rapid.SampledFrom([]uint64{0, 5, 10, 24, 899, 900, 950, 999, 1000, 66436}).Draw(t, "key"), item(t, 0))
		case 3:
			j := rapid.IntRange(0, len(v)-1).Draw(t, "other")
			v[i], v[j] = v[j], v[i]
			return v
		}
		v[i].value = mutate(t, v[i].value)
		return v
	case uint64:
		return rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 255, 256, 1<<32 - 1, 1 << 32})).Draw(t, "uint")
	}
	return item(t, 0)
}

// TestDecodersAgree is I-1 and more: what the package accepts is what a decoder written from SPEC.md accepts, and it
// encodes to the same bytes again.
func TestDecodersAgree(t *testing.T) {
	all := seeds()
	for name, forms := range all {
		for _, data := range forms {
			agree(t, name, data)
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for n := range all {
			if !yield(n) {
				return
			}
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "form")
		data := rapid.SampledFrom(all[name]).Draw(t, "seed")
		if v, err := refDecode(data); err == nil {
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				v = mutate(t, v)
			}
			data = refEncode(v)
		}
		if rapid.IntRange(0, 3).Draw(t, "flip") == 0 && len(data) > 0 {
			data = slices.Clone(data)
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= rapid.Byte().Draw(t, "bits")
		}
		agree(t, name, data)
	})
}

// TestEveryFieldMatters takes each field of each table of SPEC.md away, and spells out each absent value.
func TestEveryFieldMatters(t *testing.T) {
	for _, typ := range Types() {
		name := string(typ[len("entente/v1/"):])
		for _, payload := range seeds()[name] {
			v, err := refDecode(payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range refSchema()[name] {
				cut := refEncode(without(v.(refMap), f.key))
				if err := Unmarshal(cut, newRecord(typ)); (err == nil) != f.optional {
					t.Errorf("%s without field %d: got error %v, want one: %v", name, f.key, err, !f.optional)
				}
			}
		}
	}
}

// text draws a text of several lines.
func text(max int) *rapid.Generator[string] {
	return rapid.Map(rapid.StringOfN(rapid.SampledFrom([]rune("abcÄß €漢🚦\n\t")), 0, -1, max), func(s string) string { return s })
}

func hash() *rapid.Generator[Hash] {
	return rapid.Custom(func(t *rapid.T) Hash {
		return Sum("test", rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "hash"))
	})
}

// statement draws a valid statement of nodeKey.
func statement() *rapid.Generator[*Statement] {
	return rapid.Custom(func(t *rapid.T) *Statement {
		body := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "body")
		st := &Statement{Author: hash().Draw(t, "author"), Node: nodeKey.Public().ID(), Clock: HLC(rapid.Uint64Range(1, uint64(maxClock)).Draw(t, "clock")),
			Kind: KindMessage, Audience: Audience{Kind: Community}, Label: rapid.SampledFrom(tlp.All()[:4]).Draw(t, "label"), Title: text(MaxTitle).Draw(t, "title"),
			Urgent: rapid.Bool().Draw(t, "urgent"), Refs: rapid.SliceOfN(hash(), 0, 4).Draw(t, "refs"),
			Body: Body{Format: "text", Name: rapid.SampledFrom([]string{"", "a.json", "...", "ä ö"}).Draw(t, "name"), Size: uint64(len(body)), Hash: sha256.Sum256(body), Inline: body}}
		if rapid.Bool().Draw(t, "correction") {
			st.Kind, st.Supersedes = KindCorrection, hash().Draw(t, "supersedes")
		}
		if rapid.Bool().Draw(t, "external") {
			st.Body.Size, st.Body.Inline = rapid.Uint64Range(MaxInline+1, MaxBlob).Draw(t, "size"), nil
		}
		return st
	})
}

// parcel draws a valid parcel of nodeKey around a statement.
func parcel() *rapid.Generator[*Parcel] {
	return rapid.Custom(func(t *rapid.T) *Parcel {
		return exampleParcel(statement().Draw(t, "statement"), rapid.Uint64Range(1, MaxCounter).Draw(t, "seq"))
	})
}

// TestParcelTravels is the way of a message: signed, encoded, decoded, verified and opened, it is the same; and one changed
// byte anywhere is noticed (I-1, I-2).
func TestParcelTravels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := parcel().Draw(t, "parcel")
		e, err := Sign(p, nodeKey)
		if err != nil {
			t.Fatal(err)
		}
		wire := e.Encode()
		open := func(wire []byte) (*Statement, error) {
			e, err := DecodeEnvelope(wire, MaxParcel)
			if err != nil {
				return nil, err
			}
			if err := e.VerifyNode(nodeKey.Public()); err != nil {
				return nil, err
			}
			p, err := Decode[Parcel](e)
			if err != nil {
				return nil, err
			}
			_, st, err := p.OpenCommunity(nodeKey.Public())
			return st, err
		}
		st, err := open(wire)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := DecodeEnvelope(p.Body, MaxParcel)
		if err != nil {
			t.Fatal(err)
		}
		if got := must(Marshal(st)); !bytes.Equal(got, inner.Payload) {
			t.Fatalf("got statement %x, want %x", got, inner.Payload)
		}
		changed := slices.Clone(wire)
		changed[rapid.IntRange(0, len(wire)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := open(changed); err == nil {
			t.Fatalf("a changed parcel was opened:\n%x\n%x", wire, changed)
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSignature) {
			t.Fatalf("error %v wraps neither ErrMalformed nor ErrSignature", err)
		}
	})
}

// TestTypesAndUses enumerates every pair (I-3): what the table of SPEC.md does not list does not verify.
func TestTypesAndUses(t *testing.T) {
	want := map[Type][]Use{
		TypeRoot: {UseRoot, UseSealed}, TypeManifest: {UseOfficer}, TypeCard: {UseOfficer}, TypeAttest: {UseOfficer}, TypeCutoff: {UseOfficer},
		TypeAddress: {UseNode}, TypeHeads: {UseNode}, TypeParcel: {UseNode}, TypeStatement: {UseNode},
		TypeRecipient: {UseNode}, TypeAgreement: {UseOfficer}, TypeAgreementStatus: {UseOfficer},
		TypeCharter: {UseOfficer}, TypeApprove: {UseOfficer}, TypeAdopt: {UseOfficer}, TypeVouch: {UseOfficer}, TypeAccept: {UseOfficer},
		TypeObjection: {UseOfficer}, TypeMemberCard: {UseOfficer}, TypeHold: {UseOfficer}, TypeLeave: {UseOfficer}, TypeRefound: {UseOfficer},
		TypeEpoch: {UseNode}, TypeGrant: {UseNode},
	}
	if len(Types()) != len(want) {
		t.Errorf("got %d types, want %d", len(Types()), len(want))
	}
	for _, typ := range append(Types(), "", "entente/v1/other") {
		for _, use := range []Use{UseRoot, UseSealed, UseOfficer, UseNode, "", "transport"} {
			for _, k := range []*PrivateKey{nodeKey, officerKey} {
				e := envelopeOf(typ, []byte{0xa0}, k)
				n, err := e.Signers(use, []PublicKey{k.Public()})
				if may := slices.Contains(want[typ], use); may && (n != 1 || err != nil) {
					t.Errorf("%s by %s: got %d, %v; want 1 signer", typ, use, n, err)
				} else if !may && (n != 0 || !errors.Is(err, ErrSignature)) {
					t.Errorf("%s by %s: got %d, %v; want an error that wraps ErrSignature", typ, use, n, err)
				}
			}
		}
		if got := Uses(typ); !slices.Equal(got, want[typ]) {
			t.Errorf("uses of %s: got %v, want %v", typ, got, want[typ])
		}
	}
}

// TestDecodeWantsTheType keeps a payload from being read as what its signer did not sign it for.
func TestDecodeWantsTheType(t *testing.T) {
	e := envelopeOf(TypeHeads, must(Marshal(address())), nodeKey)
	if r, err := Decode[Address](e); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, %v; want an error that wraps ErrMalformed", r, err)
	}
}

// TestIDIgnoresSignatures is I-4.
func TestIDIgnoresSignatures(t *testing.T) {
	keys := []*PrivateKey{nodeKey, otherNode, rootKey, officerKey}
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SampledFrom(examples()).Draw(t, "record")
		e, err := Sign(x.record)
		if err != nil {
			t.Fatal(err)
		}
		want := e.ID()
		for _, k := range rapid.SliceOfN(rapid.SampledFrom(keys), 1, 4).Draw(t, "keys") {
			if err := e.AddSignature(k); err != nil {
				t.Fatal(err)
			}
		}
		back, err := DecodeEnvelope(e.Encode(), MaxRecord)
		if err != nil {
			t.Fatal(err)
		}
		if got := back.ID(); got != want {
			t.Fatalf("got id %s, want %s", got, want)
		}
		if other := (&Envelope{Type: "entente/v1/x", Payload: e.Payload}); other.ID() == want {
			t.Fatal("the id does not depend on the type")
		}
	})
}

// TestBothHalves is I-5: a flipped bit in either half of a hybrid signature, and it does not verify.
func TestBothHalves(t *testing.T) {
	x := exampleOf(t, TypeCard)
	good := sign(t, x.record, x.keys...)
	rapid.Check(t, func(t *rapid.T) {
		s := good.Sigs[0]
		s.ML = slices.Clone(s.ML)
		bit := byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
		if rapid.Bool().Draw(t, "ml") {
			s.ML[rapid.IntRange(0, len(s.ML)-1).Draw(t, "at")] ^= bit
		} else {
			s.Ed[rapid.IntRange(0, 63).Draw(t, "at")] ^= bit
		}
		e := &Envelope{Type: good.Type, Payload: good.Payload, Sigs: []Signature{s}}
		if n, err := e.Signers(x.use, x.public()); n != 0 || !errors.Is(err, ErrSignature) {
			t.Fatalf("got %d, %v; want an error that wraps ErrSignature", n, err)
		}
	})
}

// allocated returns how many bytes f allocates, at best: nothing else should run.
func allocated(f func()) int {
	least := math.MaxInt
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, int(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

// TestBudget is I-6: however the input is made, decoding allocates at most linearly much.
func TestBudget(t *testing.T) {
	const factor, base = 640, 128 << 10 // a manifest of empty nodes is the worst: a byte makes a Node
	inputs := map[string][]byte{}
	for _, v := range vectors() {
		inputs[v.name] = v.data
	}
	for _, n := range []int{4096, 64 << 10, 256 << 10} {
		inputs[fmt.Sprintf("%d nested arrays", n)] = bytes.Repeat([]byte{0x81}, n)
		inputs[fmt.Sprintf("%d nested maps", n)] = bytes.Repeat([]byte{0xa1, 0x00}, n/2)
		inputs[fmt.Sprintf("%d full arrays", n)] = bytes.Repeat(append([]byte{0x99, 0x10, 0}, make([]byte, 4096)...), n/4099+1)
		inputs[fmt.Sprintf("%d zeros", n)] = make([]byte, n)
		inputs[fmt.Sprintf("%d breaks", n)] = bytes.Repeat([]byte{0xff}, n)
		inputs[fmt.Sprintf("%d long heads", n)] = bytes.Repeat([]byte{0x9b, 0, 0, 0, 0, 0, 0, 0x10, 0}, n/9)
	}
	// The smallest item for the largest Go value: lists of empty maps where a table wants nodes, officers, signatures.
	empty := slices.Repeat([]any{refMap{}}, 4096)
	for name, typ := range map[string]Type{"nodes": TypeManifest, "phones": TypeCard, "feeds": TypeHeads, "receipts": TypeStatement} {
		for k := range uint64(20) {
			inputs[fmt.Sprint(name, " ", k)] = envelopeOf(typ, refEncode(refMap{{k, empty}}), nodeKey).Encode()
		}
	}
	inputs["signatures"] = refEncode([]any{string(TypeHeads), []byte{}, slices.Repeat([]any{[]any{[]byte{}, uint64(0), []byte{}, []byte{}}}, 4096)})
	inputs["persons"] = envelopeOf(TypeStatement, refEncode(refMap{{uint64(6), refMap{{uint64(3), empty}}}}), nodeKey).Encode()
	inputs["records"] = envelopeOf(TypeStatement, refEncode(refMap{{uint64(17), slices.Repeat([]any{[]byte{}}, 4096)}}), nodeKey).Encode()
	carried := exampleControl(KindRecords) // records whose lists are full
	for range MaxCarried {
		hostile := refEncode([]any{string(TypeAgreement), []byte{}, slices.Repeat([]any{[]any{[]byte{}, uint64(0), []byte{}, []byte{}}}, 1000)})
		carried.Records = append(carried.Records, hostile)
	}
	inputs["signatures of records"] = envelopeOf(TypeStatement, must(Marshal(carried)), nodeKey).Encode()
	texts := slices.Repeat([]any{""}, 4096)
	officers := slices.Repeat([]any{refMap{{uint64(3), texts}}}, 50)
	inputs["acts"] = envelopeOf(TypeRoot, refEncode(refMap{{uint64(7), officers}}), nodeKey).Encode()
	for name, data := range inputs {
		got := allocated(func() {
			if e, err := DecodeEnvelope(data, MaxBundle); err == nil {
				_, _ = decodeAny(e)
			}
			_, _ = DecodeBundle(data)
			_, _ = DecodeHello(data)
		})
		if want := factor*len(data) + base; got > want {
			t.Errorf("%s: %d bytes of input made %d bytes of garbage: want at most %d", name, len(data), got, want)
		}
	}
}

// TestLargestRecords decodes records at the limits, which together must fit the limits of CBOR and of an envelope.
func TestLargestRecords(t *testing.T) {
	for _, x := range largest() {
		e, err := DecodeEnvelope(sign(t, x.record, x.keys...).Encode(), MaxRecord)
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		r, err := decodeAny(e)
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if !bytes.Equal(must(Marshal(r)), e.Payload) {
			t.Errorf("%s: changed on the way", x.name)
		}
	}
}

// TestForks is I-13: two records of one signer for one slot are a proof that a stranger accepts; nothing else is.
func TestForks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		make1 := func(label string) (*Envelope, *PrivateKey) {
			seq := rapid.Uint64Range(1, 2).Draw(t, label+" seq")
			note := rapid.SampledFrom([]string{"x", "y"}).Draw(t, label+" content")
			var r Record
			key := rapid.SampledFrom([]*PrivateKey{nodeKey, otherNode}).Draw(t, label+" key")
			node := key.Public().ID()
			switch rapid.IntRange(0, 3).Draw(t, label+" type") {
			case 0:
				st := exampleStatement()
				st.Node, st.Title = node, note
				p := exampleParcel(st, seq)
				p.Body = envelopeOf(TypeStatement, must(Marshal(st)), key).Encode()
				r = p
			case 1:
				r = &Heads{Team: Sum("at"), Node: node, N: seq, Time: uint64(note[0])}
			case 2:
				r = edit(address(), func(a *Address) { a.Node, a.Seq, a.Addrs = node, seq, []string{note} })
			case 3:
				st := exampleStatement()
				st.Node, st.Title = node, note
				r = st
			}
			return must(Sign(r, key)), key
		}
		a, ka := make1("a")
		b, kb := make1("b")
		sa, oka, err := SlotOf(a)
		if err != nil {
			t.Fatal(err)
		}
		sb, okb, err := SlotOf(b)
		if err != nil {
			t.Fatal(err)
		}
		want := oka && okb && sa == sb && a.ID() != b.ID()
		if want && ka != kb {
			t.Fatal("two nodes share a slot")
		}
		// A fresh verifier has only the bytes.
		a, err = DecodeEnvelope(a.Encode(), MaxParcel)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []ForkProof{{a, b}, {b, a}} {
			if err := p.Check(UseNode, ka.Public()); (err == nil) != want {
				t.Fatalf("got error %v, want a proof: %v", err, want)
			}
			if err := p.Check(UseNode, rapid.SampledFrom([]*PrivateKey{rootKey, officerKey}).Draw(t, "stranger").Public()); err == nil {
				t.Fatal("a proof against a key that did not sign")
			}
			if err := p.Check(UseOfficer, ka.Public()); err == nil {
				t.Fatal("a proof against a key of another use")
			}
		}
	})
}
