package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// specTests has a test for each tag of SPEC.md that the vectors do not cover, or not wholly.
var specTests = map[string]func(*testing.T){
	"P-20":  specIDWithoutSignatures,
	"P-21":  specBytesAreKept,
	"P-22":  specSignatureCount,
	"P-25":  specUnknownType,
	"P-26":  specEnvelopeSize,
	"P-33":  specCofactor,
	"P-34":  specSmallOrder,
	"P-36":  TestTypesAndUses,
	"P-37":  specForkProof,
	"P-38":  specSameIsNoFork,
	"P-41":  specTooManyKeys,
	"P-43":  specTooManyKeys,
	"P-80":  specFeeds,
	"P-86":  specBundleSize,
	"P-87":  specIntroduction,
	"P-92":  specNegotiate,
	"P-93":  specExtensionsIgnored,
	"P-97":  specFingerprint,
	"P-98":  specDomains,
	"P-99":  TestBudget,
	"P-100": specNoZeroHashes,
	"P-112": specContext,
	"P-133": specPadding,
	"P-134": specBlobSize,
}

var tag = regexp.MustCompile(`\[(P-\d+)\]`)

func specText(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSpec runs one test for each tag, and fails for a tag without a test, a test without a tag, and a MUST without a tag.
// The vectors themselves run in TestVectors.
func TestSpec(t *testing.T) {
	spec := map[string]bool{}
	for _, m := range tag.FindAllStringSubmatch(specText(t), -1) {
		spec[m[1]] = true
	}
	covered := map[string][]vector{}
	for _, v := range vectors() {
		for rule := range strings.FieldsSeq(v.rules) {
			covered[rule] = append(covered[rule], v)
			if !spec[rule] {
				t.Errorf("vector %s is about %s, which SPEC.md does not have", v.name, rule)
			}
		}
	}
	for rule := range specTests {
		if !spec[rule] {
			t.Errorf("a test is about %s, which SPEC.md does not have", rule)
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(spec)) {
		test, ok := specTests[rule]
		if !ok && len(covered[rule]) == 0 {
			t.Errorf("SPEC.md has %s, for which there is no test", rule)
			continue
		}
		t.Run(rule, func(t *testing.T) {
			for _, v := range covered[rule] {
				if err := v.check(); err != nil {
					t.Errorf("%s: %v", v.name, err)
				}
			}
			if ok {
				test(t)
			}
		})
	}
	var block string
	for part := range strings.SplitSeq(specText(t), "\n\n") {
		block += part + "\n\n"
		musts := len(regexp.MustCompile(`\bMUST\b`).FindAllString(block, -1))
		tags := len(tag.FindAllString(block, -1))
		switch {
		case musts <= tags || strings.Contains(block, "RFC 2119"):
		case strings.HasSuffix(part, "."):
			t.Errorf("%d MUST and %d tags in:\n%s", musts, tags, block)
		default:
			continue // the sentence goes on in the next block
		}
		block = ""
	}
}

// TestSpecNumbers compares the limits, types and tables of SPEC.md with the code.
func TestSpecNumbers(t *testing.T) {
	text := specText(t)
	for what, want := range map[string]uint64{
		"envelope of a parcel": MaxParcel, "envelope of a statement": MaxStatement, "other envelope": MaxRecord, "bundle": MaxBundle, "records in a bundle": MaxRecords,
		"greeting": MaxHello, "signatures on an envelope": MaxSigs, "keys in a list, officers": MaxKeys, "nodes in a manifest": MaxNodes,
		"revoked nodes in a manifest": MaxRevoked, "operators in a manifest": MaxOperators, "recipient": MaxRecipient, "peer id": MaxPeer,
		"addresses of a node": MaxAddrs, "address": MaxAddr, "feeds in a heads record": MaxHeads, "void entries in a cut-off": MaxVoid,
		"references of one kind in a statement": MaxRefs, "body inside its statement": MaxInline, "body outside": MaxBlob, "title": MaxTitle,
		"name": MaxName, "free text": MaxText, "entries of a list in a card": MaxItems, "nesting": maxDepth, "array or map": maxArray,
		"counter": MaxCounter, "time": MaxTime, "teams of an audience": MaxTeams, "persons of an audience": MaxPersons,
		"receipts in a statement": MaxReceipts, "records in a statement": MaxCarried, "rule in a receipt": MaxRule, "key of a body": MaxBodyKey,
		"purposes of an agreement": MaxPurposes, "retention in an agreement": MaxKeep,
		"stewards of a room": MaxStewards, "members of a room": MaxMembers, "void cards in a charter": MaxVoids, "sponsors": MaxSponsors,
		"days for objections": MaxObjectionDays, "days of a hold": MaxHoldDays, "days of a membership": MaxCardDays, "days of an epoch": MaxEpochDays,
		"hours of freshness": MaxFreshHours, "objections on a card": MaxObjections, "rounds of a vote": MaxRound, "nodes of an epoch": MaxEpochNodes,
		"key of a grant": MaxGrantKey,
	} {
		m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(what) + ` \| (\d+)( bytes| days)? \|$`).FindStringSubmatch(text)
		if m == nil {
			t.Errorf("SPEC.md has no limit of %s", what)
		} else if got, _ := strconv.ParseUint(m[1], 10, 64); got != want {
			t.Errorf("limit of %s: SPEC.md says %d, the code %d", what, got, want)
		}
	}
	for _, c := range []struct {
		what string
		want time.Duration
	}{{"180 days", MaxManifestLife}, {"1,098 days", MaxAttestLife}, {"1,098 days", MaxAgreementLife}, {"30 days", MaxAddressLife}, {"366 days", MaxVouchLife}} {
		what, want := c.what, c.want
		if days := fmt.Sprintf("%d days", int(want.Hours()/24)); strings.ReplaceAll(what, ",", "") != days || !strings.Contains(strings.Join(strings.Fields(text), " "), what) {
			t.Errorf("SPEC.md says %s, the code %s", what, days)
		}
	}
	for _, typ := range Types() {
		var uses []string
		for _, u := range Uses(typ) {
			uses = append(uses, string(u))
		}
		row := fmt.Sprintf("| `%s` | %s | ", typ, strings.Join(uses, ", "))
		i := strings.Index(text, row)
		if i < 0 {
			t.Errorf("SPEC.md has no row %q", row)
			continue
		}
		slot, _, _ := strings.Cut(text[i+len(row):], " |")
		if _, ok, err := SlotOf(sign(t, exampleOf(t, typ).record)); err != nil || ok == (slot == "none") {
			t.Errorf("%s: SPEC.md gives the slot %q; the code has one: %v, %v", typ, slot, ok, err)
		}
	}
}

// TestSpecExamples keeps the examples in SPEC.md true. With -update it rewrites them.
func TestSpecExamples(t *testing.T) {
	text := specText(t)
	var example []byte
	for _, v := range vectors() {
		if v.name == "address" {
			example = v.data
		}
	}
	var lines strings.Builder
	for h := hex.EncodeToString(example); h != ""; {
		n := min(len(h), 112)
		lines.WriteString(h[:n] + "\n")
		h = h[n:]
	}
	for fence, want := range map[string]string{"hex": lines.String(), "fingerprint": Fingerprint(TeamID{}) + "\n"} {
		before, rest, ok := strings.Cut(text, "```"+fence+"\n")
		got, after, ok2 := strings.Cut(rest, "```")
		if !ok || !ok2 {
			t.Fatalf("SPEC.md has no block %s", fence)
		}
		if got != want && !*update {
			t.Errorf("block %s of SPEC.md: got\n%swant\n%s", fence, got, want)
		}
		text = before + "```" + fence + "\n" + want + "```" + after
	}
	if *update {
		if err := os.WriteFile("SPEC.md", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func specIDWithoutSignatures(t *testing.T) {
	a, b := sign(t, exampleCard(), officerKey), sign(t, exampleCard(), officerKey, rootKey)
	if bytes.Equal(a.Encode(), b.Encode()) || a.ID() != b.ID() {
		t.Errorf("ids %s and %s of one card, signed by one and by two", a.ID(), b.ID())
	}
	// Computed by the letter of the specification.
	want := Hash(sha256.Sum256(fmt.Appendf(nil, "DSSEv1 15 entente/v1/card %d %s", len(a.Payload), a.Payload)))
	if a.ID() != want {
		t.Errorf("got id %s, want %s", a.ID(), want)
	}
}

func specBytesAreKept(t *testing.T) {
	payload := refEncode(with(tree(address()), 950, refMap{{"new", []byte{1}}}))
	wire := envelopeOf(TypeAddress, payload, nodeKey).Encode()
	e, err := DecodeEnvelope(wire, MaxRecord)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode[Address](e); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.Payload, payload) || !bytes.Equal(e.Encode(), wire) {
		t.Errorf("got %x, want %x", e.Encode(), wire)
	}
}

func specSignatureCount(t *testing.T) {
	e := sign(t, address())
	for i := range byte(MaxSigs) {
		if err := e.AddSignature(testKey(Ed25519, 60+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.AddSignature(testKey(Ed25519, 60)); err != nil {
		t.Errorf("a key that signs again: %v", err)
	}
	if _, err := DecodeEnvelope(e.Encode(), MaxRecord); err != nil {
		t.Errorf("%d signatures: %v", MaxSigs, err)
	}
	if err := e.AddSignature(nodeKey); err == nil {
		t.Errorf("signature %d is not refused", MaxSigs+1)
	}
}

func specUnknownType(t *testing.T) {
	for _, typ := range []Type{"", "entente/v1/other", "entente/v2/card", "ENTENTE/V1/CARD"} {
		if _, err := DecodeEnvelope(envelopeOf(typ, []byte{0xa0}, nodeKey).Encode(), MaxRecord); !errors.Is(err, ErrMalformed) {
			t.Errorf("type %q: got error %v, want one that wraps ErrMalformed", typ, err)
		}
	}
}

func specTooManyKeys(t *testing.T) {
	root := largest()[0].record.(*Root)
	more := testKey(Hybrid, 200).Public()
	for name, r := range map[string]*Root{
		"keys":     edit(root, func(r *Root) { r.Keys = append(r.Keys[:MaxKeys:MaxKeys], more) }),
		"officers": edit(root, func(r *Root) { r.Officers = append(r.Officers[:MaxKeys:MaxKeys], Officer{Key: more, Name: "x"}) }),
	} {
		e := &Envelope{Type: TypeRoot, Payload: must(Marshal(r))}
		if _, err := Decode[Root](e); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d %s: got error %v, want one that wraps ErrMalformed", MaxKeys+1, name, err)
		}
	}
}

// specNoZeroHashes sets each hash and key id that the tables call always present to zero.
func specNoZeroHashes(t *testing.T) {
	zeroed := 0
	var walk func(name string, m refMap, refused func(refMap) bool)
	walk = func(name string, m refMap, refused func(refMap) bool) {
		for _, f := range refSchema()[name] {
			i := slices.IndexFunc(m, func(p refPair) bool { return p.key == any(f.key) })
			if i < 0 {
				continue
			}
			of, list := strings.CutPrefix(f.form, "list of ")
			inside := strings.Trim(of, "*")
			switch v := m[i].value.(type) {
			case []byte:
				if f.optional || f.form != "hash" && f.form != "kid" {
					continue
				}
				if zeroed++; !refused(with(m, f.key, make([]byte, len(v)))) {
					t.Errorf("%s with field %d all zeros is not refused", name, f.key)
				}
			case refMap:
				walk(inside, v, func(v refMap) bool { return refused(with(m, f.key, v)) })
			case []any:
				if list && inside != of && len(v) > 0 {
					walk(inside, v[0].(refMap), func(e refMap) bool { return refused(with(m, f.key, []any{e})) })
				}
			}
		}
	}
	for _, x := range examples() {
		typ := x.record.recordType()
		walk(strings.TrimPrefix(string(typ), "entente/v1/"), tree(x.record), func(m refMap) bool {
			_, err := decodeAny(&Envelope{Type: typ, Payload: refEncode(m)})
			return errors.Is(err, ErrMalformed)
		})
	}
	if zeroed < 30 {
		t.Errorf("zeroed %d fields, want 30 at least", zeroed)
	}
}

// padded returns an envelope of n bytes: a record with an extension that fills it.
func padded(t *testing.T, r Record, n int) []byte {
	t.Helper()
	make1 := func(pad int) []byte {
		return envelopeOf(r.recordType(), refEncode(with(tree(r), 900, make([]byte, pad))), nodeKey).Encode()
	}
	data, pad := []byte(nil), n/2
	for range 4 { // the length of a length depends on what is inside
		if data = make1(pad); len(data) == n {
			return data
		}
		pad += n - len(data)
	}
	t.Fatalf("no record of %d bytes", n)
	return nil
}

func specEnvelopeSize(t *testing.T) {
	for _, c := range []struct {
		record Record
		limit  int
	}{
		{exampleParcel(exampleStatement(), 1), MaxParcel}, {exampleStatement(), MaxStatement}, {address(), MaxRecord}, {exampleCard(), MaxRecord},
	} {
		typ := c.record.recordType()
		if _, err := DecodeEnvelope(padded(t, c.record, c.limit), MaxRecord); err != nil {
			t.Errorf("%s of %d bytes: %v", typ, c.limit, err)
		}
		if _, err := DecodeEnvelope(padded(t, c.record, c.limit+1), MaxBundle); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s of %d bytes: got error %v, want one that wraps ErrMalformed", typ, c.limit+1, err)
		}
	}
	big := exampleCard()
	big.Services = slices.Repeat([]string{strings.Repeat("s", 300)}, MaxItems)
	if _, err := Sign(big, officerKey); err == nil {
		t.Error("signed a card that nobody would read")
	}
	if _, err := DecodeEnvelope(padded(t, address(), 1001), 1000); !errors.Is(err, ErrMalformed) {
		t.Errorf("1001 bytes where 1000 are wanted: got error %v, want one that wraps ErrMalformed", err)
	}
}

// specCofactor checks that the vector is what it says: it fails, but holds if multiplied by the cofactor.
func specCofactor(t *testing.T) {
	msg := []byte("message")
	sig := cofactoredSignature(nodeKey.ed, msg)
	pub := nodeKey.Public()
	if pub.verify(msg, Signature{KID: pub.ID(), Suite: Ed25519, Ed: sig}) {
		t.Error("the signature verifies")
	}
	bigR, ok := pointOf(sig[:32])
	if !ok {
		t.Fatal("R is no point")
	}
	a, ok := pointOf(pub.Ed[:])
	if !ok {
		t.Fatal("the key is no point")
	}
	left := basePoint().times(littleEndian(sig[32:])).times(big.NewInt(8))
	right := bigR.add(a.times(littleEndian(sha512Of(sig[:32], pub.Ed[:], msg)))).times(big.NewInt(8))
	if !bytes.Equal(left.encode(), right.encode()) {
		t.Error("the signature does not hold if multiplied by the cofactor: the vector proves nothing")
	}
}

// specSmallOrder shows what the refused keys would allow, and that the list is whole.
func specSmallOrder(t *testing.T) {
	found := map[string]bool{}
	// Each point of small order is a multiple of one of order eight.
	p, ok := pointOf(must(hex.DecodeString(smallOrder[3])))
	if !ok {
		t.Fatal("no point")
	}
	q := p
	for range 8 {
		b := q.encode()
		if !weak([32]byte(b)) {
			t.Errorf("%x has small order and is not refused", b)
		}
		b[31] &= 0x7f
		found[hex.EncodeToString(b)] = true
		q = q.add(p)
	}
	if !bytes.Equal(q.encode(), p.encode()) || len(found) != len(smallOrder) {
		t.Errorf("got %d y coordinates of small order, want %d", len(found), len(smallOrder))
	}
	// Under the neutral element, R = [S]B is a signature of every message.
	k := PublicKey{Suite: Ed25519, Ed: [32]byte{1}}
	var sig [64]byte
	sig[0] = 1
	for _, msg := range []string{"one", "another"} {
		if !k.verify([]byte(msg), Signature{KID: k.ID(), Suite: Ed25519, Ed: sig}) {
			t.Errorf("the signature of everybody does not verify: it need not be refused")
		}
	}
	if k.check() == nil {
		t.Error("a key under which everybody can sign is not refused")
	}
	for y := range 19 {
		b := [32]byte{0: 0xed + byte(y), 31: 0x7f}
		copy(b[1:31], bytes.Repeat([]byte{0xff}, 30))
		if b[31] |= byte(y%2) << 7; !weak(b) {
			t.Errorf("%x is not canonical and is not refused", b)
		}
	}
	for i := range byte(20) {
		if k := testKey(Ed25519, 50+i).Public(); k.check() != nil {
			t.Errorf("a good key is refused: %v", k.check())
		}
	}
}

func specForkProof(t *testing.T) {
	one := address()
	two := edit(one, func(a *Address) { a.Addrs = nil })
	next := edit(two, func(a *Address) { a.Seq = 2 })
	foreign := edit(two, func(a *Address) { a.Node = otherNode.Public().ID() })
	heads := &Heads{Team: one.Team, Node: one.Node, N: one.Seq, Time: 5}
	node, other := nodeKey.Public(), otherNode.Public()
	for _, c := range []struct {
		name string
		a, b *Envelope
		use  Use
		key  PublicKey
		want bool
	}{
		{"two records for one slot", sign(t, one, nodeKey), sign(t, two, nodeKey), UseNode, node, true},
		{"the next sequence number", sign(t, one, nodeKey), sign(t, next, nodeKey), UseNode, node, false},
		{"another type", sign(t, one, nodeKey), sign(t, heads, nodeKey), UseNode, node, false},
		{"signed by another in the record's name", sign(t, one, otherNode), sign(t, two, otherNode), UseNode, other, false},
		{"one signed by another", sign(t, one, nodeKey), sign(t, two, otherNode), UseNode, node, false},
		{"of two nodes", sign(t, one, nodeKey), sign(t, foreign, otherNode), UseNode, node, false},
		{"another use", sign(t, one, nodeKey), sign(t, two, nodeKey), UseOfficer, node, false},
		{"a record without a slot", sign(t, exampleStatement(), nodeKey),
			sign(t, edit(exampleStatement(), func(s *Statement) { s.Title = "x" }), nodeKey), UseNode, node, false},
		{"half a proof", sign(t, one, nodeKey), nil, UseNode, node, false},
		{"the other half", nil, sign(t, one, nodeKey), UseNode, node, false},
		{"two manifests of one officer", sign(t, exampleManifest(), officerKey),
			sign(t, edit(exampleManifest(), func(m *Manifest) { m.Nodes = nil }), officerKey, rootKey), UseOfficer, officerKey.Public(), true},
		{"manifests of two officers", sign(t, exampleManifest(), officerKey),
			sign(t, edit(exampleManifest(), func(m *Manifest) { m.Nodes = nil }), rootKey), UseOfficer, officerKey.Public(), false},
	} {
		if err := (ForkProof{c.a, c.b}).Check(c.use, c.key); (err == nil) != c.want {
			t.Errorf("%s: got error %v, want a proof: %v", c.name, err, c.want)
		}
	}
}

func specSameIsNoFork(t *testing.T) {
	a, b := sign(t, exampleCard(), officerKey), sign(t, exampleCard(), officerKey)
	if a.Sigs[0].KID != b.Sigs[0].KID || bytes.Equal(a.Sigs[0].ML, b.Sigs[0].ML) {
		t.Fatal("the signatures are the same: nothing is tested")
	}
	if err := (ForkProof{a, b}).Check(UseOfficer, officerKey.Public()); err == nil {
		t.Error("one card signed twice is a fork")
	}
}

func specBundleSize(t *testing.T) {
	fill := func(n int) []byte { return (&Bundle{Team: Sum("at"), Records: [][]byte{make([]byte, n)}}).Encode() }
	pad := MaxBundle - len(fill(MaxBundle-1000)) + MaxBundle - 1000
	if data := fill(pad); len(data) != MaxBundle {
		t.Fatalf("got a bundle of %d bytes, want %d", len(data), MaxBundle)
	} else if _, err := DecodeBundle(data); err != nil {
		t.Errorf("a bundle of %d bytes: %v", MaxBundle, err)
	}
	if _, err := DecodeBundle(fill(pad + 1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a bundle of %d bytes: got error %v, want one that wraps ErrMalformed", MaxBundle+1, err)
	}
}

func specIntroduction(t *testing.T) {
	b := &Bundle{Team: Sum("at"), Records: [][]byte{sign(t, address(), nodeKey).Encode()}}
	text := string(b.Armor())
	for name, in := range map[string]string{
		"alone": text, "in a mail": "Dear colleague,\n\n" + text + "\nEva\n", "with Windows line ends": strings.ReplaceAll(text, "\n", "\r\n"),
		"after another block": string(pem.EncodeToMemory(&pem.Block{Type: "PGP SIGNATURE", Bytes: []byte{1}})) + text,
	} {
		if got, err := Unarmor([]byte(in)); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(got.Encode(), b.Encode()) {
			t.Errorf("%s: got %x, want %x", name, got.Encode(), b.Encode())
		}
	}
	headers := string(pem.EncodeToMemory(&pem.Block{Type: pemType, Headers: map[string]string{"Team": "CERT.example"}, Bytes: b.Encode()}))
	for name, in := range map[string]string{
		"with headers": headers, "empty": "", "cut": text[:len(text)/2], "of another type": strings.ReplaceAll(text, pemType, "CERTIFICATE"),
		"changed": strings.Replace(text, "\n", "\n!", 1), "quoted": strings.ReplaceAll(text, "\n", "\n> "), "huge": text + strings.Repeat("x", 2*MaxBundle),
	} {
		if _, err := Unarmor([]byte(in)); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func specNegotiate(t *testing.T) {
	if v, err := (&Hello{Versions: []uint64{3, 1}}).Negotiate(); v != 1 || err != nil {
		t.Errorf("got version %d, %v; want 1", v, err)
	}
	if v, err := (&Hello{Versions: []uint64{3, 2}}).Negotiate(); err == nil {
		t.Errorf("got version %d, want an error", v)
	}
	old := versions
	defer func() { versions = old }()
	versions = []uint64{4, 3, 1}
	if v, err := (&Hello{Versions: []uint64{5, 3, 2, 1}}).Negotiate(); v != 3 || err != nil {
		t.Errorf("got version %d, %v; want 3", v, err)
	}
	h := NewHello(Sum("at"), nodeKey.Public().ID(), "", 1)
	if h.Versions[0] = 9; versions[0] == 9 {
		t.Error("a greeting shares its versions with the package")
	}
}

func specExtensionsIgnored(t *testing.T) {
	for _, typ := range Types() {
		x := exampleOf(t, typ)
		plain := envelopeOf(typ, must(Marshal(x.record)), nodeKey)
		extended := envelopeOf(typ, refEncode(with(with(tree(x.record), 900, "x"), 999, uint64(1))), nodeKey)
		r, err := decodeAny(extended)
		if err != nil {
			t.Errorf("%s with extensions: %v", typ, err)
			continue
		}
		if !bytes.Equal(must(Marshal(r)), plain.Payload) {
			t.Errorf("%s: extensions change the record", typ)
		}
		if plain.ID() == extended.ID() {
			t.Errorf("%s: extensions are not part of the id", typ)
		}
	}
}

func specFingerprint(t *testing.T) {
	for _, c := range []struct {
		team TeamID
		want string
	}{
		{TeamID{}, "40001 68822 12451 75703 76394 32092 67253 45169"},
		{TeamID{31: 0x2a}, "84099 68034 93287 39242 22341 75668 44659 94888"},
		{Hash(bytes.Repeat([]byte{0xff}, 32)), "73797 35467 89900 21799 78847 52440 06639 84408"},
	} {
		if got := Fingerprint(c.team); got != c.want {
			t.Errorf("fingerprint of %s: got %s, want %s", c.team, got, c.want)
		}
	}
}

// specDomains looks for domains in the code of the whole project.
func specDomains(t *testing.T) {
	call := regexp.MustCompile(`\bSum\("([^"]*)"`)
	seen := map[string]bool{}
	here := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			if m[1] == "" {
				continue // the plain hash of a body
			}
			seen[m[1]] = true
			if filepath.Dir(path) == filepath.Join("..", "protocol") {
				here[m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for a := range seen {
		for b := range seen {
			if a != b && strings.HasPrefix(b, a) {
				t.Errorf("domain %q begins with domain %q", b, a)
			}
		}
		if !strings.HasPrefix(a, "entente/") {
			t.Errorf("domain %q does not begin with entente/", a)
		}
	}
	for a := range here {
		if !strings.Contains(specText(t), "`"+strings.TrimPrefix(a, "entente/v1/")+"`") {
			t.Errorf("SPEC.md does not name domain %q", a)
		}
	}
	if len(here) < 9 {
		t.Errorf("found %d domains, want 9: has Sum another name?", len(here))
	}
}
