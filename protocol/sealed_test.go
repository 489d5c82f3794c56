package protocol

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
)

// TestLargestRed sends what is largest: RED with a body inside, for 64 persons, sealed to 32 nodes, and reads it.
func TestLargestRed(t *testing.T) {
	id, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	sealTo := func(plain []byte, n int) []byte {
		t.Helper()
		file, err := seal.SealSmall(plain, slices.Repeat([]seal.Recipient{id.Recipient()}, n)...)
		if err != nil {
			t.Fatal(err)
		}
		if most := sealedSize(len(plain), n); len(file) > most {
			t.Errorf("%d bytes for %d recipients: sealed to %d bytes, want at most %d", len(plain), n, len(file), most)
		}
		return file
	}
	open := func(file []byte) []byte {
		t.Helper()
		plain, err := seal.OpenSmall(file, id)
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}
	st, content := largestRed()
	plain, err := content.Encode()
	if err != nil {
		t.Fatal(err)
	}
	st.Content = sealTo(plain, MaxPersons)
	c := Between(at, st.Audience.Teams[0], Hash{})
	p := sealedParcel(st, c, MaxCounter)
	p.Body = sealTo(sign(t, st, nodeKey).Encode(), MaxNodes)
	wire := sign(t, p, nodeKey).Encode()

	e, err := DecodeEnvelope(wire, MaxParcel)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Decode[Parcel](e); err != nil {
		t.Fatal(err)
	}
	_, got, err := p.OpenSealed(nodeKey.Public(), open(p.Body), c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeContent(open(got.Content), got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(must(Marshal(back)), plain) {
		t.Error("the content changed on the way")
	}
}

// TestLargestStatementFits keeps room in a parcel for every statement that can be signed, however it is sealed.
func TestLargestStatementFits(t *testing.T) {
	red, _ := largestRed()
	// The largest content is as large with hardware keys: largestRed counts with those.
	if n := len(sign(t, red, nodeKey).Encode()); n > MaxStatement {
		t.Errorf("the largest RED statement has %d bytes, want at most %d", n, MaxStatement)
	}
	p := sealedParcel(red, Between(at, red.Audience.Teams[0], agreementID), MaxCounter)
	p.Body, p.Blob = make([]byte, sealedSize(MaxStatement, MaxNodes)), &BlobRef{MaxBlob, Sum("b")}
	if n := len(must(Marshal(p))) + len(must(Marshal(Envelope{Type: TypeParcel, Sigs: sign(t, address(), nodeKey).Sigs}))); n > MaxParcel-8 {
		t.Errorf("a parcel of the largest statement has %d bytes, want at most %d", n, MaxParcel)
	}
}

// TestTooLargeIsNotSigned keeps an author from signing what nobody would read.
func TestTooLargeIsNotSigned(t *testing.T) {
	st := exampleRed()
	st.Content = make([]byte, MaxStatement)
	if _, err := Sign(st, nodeKey); err == nil {
		t.Error("signed a statement that is too large")
	}
	p := sealedParcel(exampleAmber(), Between(at, de, Hash{}), 1)
	p.Body = make([]byte, MaxParcel)
	if _, err := Sign(p, nodeKey); err == nil {
		t.Error("signed a parcel that is too large")
	}
}

// specFeeds computes tags and feeds by the letter of the specification.
func specFeeds(t *testing.T) {
	sum := func(parts ...string) Hash { return sha256.Sum256([]byte(strings.Join(parts, ""))) }
	str := func(h Hash) string { return string(h[:]) }
	low, high := str(at), str(de)
	if low > high {
		low, high = high, low
	}
	node := nodeKey.Public().ID()
	for _, c := range []struct {
		name    string
		channel Channel
		tag     Hash
	}{
		{"community", Channel{}, sum("entente/v1/audience", "\xa1\x01\x01")},
		{"two teams", Between(at, de, Hash{}), sum("entente/v1/pair", low, high, strings.Repeat("\x00", 32))},
		{"an agreement", Between(de, at, agreementID), sum("entente/v1/pair", low, high, str(agreementID))},
		{"a room", RoomChannel(roomID), sum("entente/v1/room", str(roomID))},
	} {
		if got := c.channel.Tag(); got != c.tag {
			t.Errorf("%s: got tag %s, want %s", c.name, got, c.tag)
		}
		if got, want := FeedOf(node, c.channel), sum("entente/v1/feed", string(node[:]), str(c.tag)); got != want {
			t.Errorf("%s: got feed %s, want %s", c.name, got, want)
		}
	}
	if got, want := RecipientHash("age1pq1x"), sum("entente/v1/recipient-hash", "age1pq1x"); got != want {
		t.Errorf("got recipient hash %s, want %s", got, want)
	}
}

// specContext computes a context by the letter of the specification, and changes each thing that it binds.
func specContext(t *testing.T) {
	st := exampleRed()
	audience := refEncode(tree(st.Audience))
	want := Hash(sha256.Sum256(slices.Concat([]byte("entente/v1/context"), st.Author[:], st.Node[:], st.Salt[:], []byte{5}, audience)))
	if got := st.Context(); got != want {
		t.Errorf("got context %s, want %s", got, want)
	}
	seen := map[Hash]string{want: "nothing"}
	for name, f := range map[string]func(*Statement){
		"author": func(s *Statement) { s.Author = fr }, "node": func(s *Statement) { s.Node = otherNode.Public().ID() },
		"salt": func(s *Statement) { s.Salt[15]++ }, "label": func(s *Statement) { s.Label = tlp.Amber },
		"kind of audience": func(s *Statement) { s.Audience.Kind = InAgreement }, "teams": func(s *Statement) { s.Audience = to(ch) },
		"persons":   func(s *Statement) { s.Audience.Persons = s.Audience.Persons[:1] },
		"agreement": func(s *Statement) { s.Audience.Agreement = agreementID },
	} {
		got := edit(st, f).Context()
		if other, ok := seen[got]; ok {
			t.Errorf("the context is the same with another %s as with %s changed", name, other)
		}
		seen[got] = name
	}
}

// specPadding computes sizes by the letter of the specification, and unpads.
func specPadding(t *testing.T) {
	for _, n := range []uint64{0, 1, 1022, 1023, 1024, 1025, 1055, 4095, 4096, 4097, 5000, 32 << 10, 33_000, 65_535, 65_536, MaxStatement, 1_000_003, 50 << 20} {
		if got, want := seal.PaddedSize(n), letterPadded(n); got != want {
			t.Errorf("%d bytes are padded to %d, want %d", n, got, want)
		}
	}
	for _, plain := range [][]byte{nil, {0}, {0x80}, {0x80, 0}, bytes.Repeat([]byte{0}, 1023), bytes.Repeat([]byte{1}, 1024), innerOf(exampleAmber())} {
		want := slices.Concat(plain, []byte{0x80})
		want = append(want, make([]byte, int(letterPadded(uint64(len(want))))-len(want))...)
		if got := seal.Pad(plain); !bytes.Equal(got, want) {
			t.Errorf("padding of %d bytes is not that of SPEC.md", len(plain))
		}
		if got, err := seal.Unpad(want); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: unpadded to %d bytes, %v", len(plain), len(got), err)
		}
	}
	good := seal.Pad([]byte("x"))
	for name, bad := range map[string][]byte{
		"nothing": {}, "zeros": make([]byte, 1024), "another mark": bytes.Replace(good, []byte{0x80}, []byte{0x81}, 1), "a byte after the mark": append(slices.Clone(good[:1023]), 1),
		"too short": good[:1023], "too long": append(slices.Clone(good), 0), "no zeros": []byte("x\x80"),
	} {
		if got, err := seal.Unpad(bad); err == nil {
			t.Errorf("%s: unpadded to %d bytes, want an error", name, len(got))
		}
	}
}

func letterPadded(n uint64) uint64 {
	log2 := func(n uint64) (e uint64) {
		for n > 1 {
			n, e = n/2, e+1
		}
		return e
	}
	n = max(n, 1024)
	e := log2(n)
	multiple := uint64(1)
	for range e - (log2(e) + 1) {
		multiple *= 2
	}
	return (n + multiple - 1) / multiple * multiple
}

// specBlobSize seals and opens blobs whose size is not what their content asks for.
func specBlobSize(t *testing.T) {
	key, err := seal.NewBlobKey()
	if err != nil {
		t.Fatal(err)
	}
	if s := key.Secret(); len(s) > MaxBodyKey || checkToken("key", s, MaxBodyKey) != nil {
		t.Errorf("a blob's key has %d bytes, or is no token", len(s))
	}
	for _, n := range []uint64{MaxInline + 1, 65_536, 200_001} {
		padded := letterPadded(n)
		want := 1627 + 16 + padded + 16*((padded+65535)/65536)
		var b bytes.Buffer
		w, err := seal.SealBlob(&b, key, n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte{'x'}, int(n))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if uint64(b.Len()) != want || seal.SealedSize(n) != want {
			t.Errorf("%d bytes: sealed to %d bytes, announced %d, want %d", n, b.Len(), seal.SealedSize(n), want)
		}
		if body := (&Body{Size: n}); !body.fits(&BlobRef{Size: want, Hash: Sum("b")}) {
			t.Errorf("%d bytes: a blob of %d bytes is not taken for the body's", n, want)
		}
		for _, claimed := range []uint64{n, letterPadded(n + padded/16)} {
			r, err := seal.OpenBlob(nopCloser{bytes.NewReader(b.Bytes())}, int64(b.Len()), key, claimed)
			if (err == nil) != (claimed == n) {
				t.Errorf("a blob of %d bytes, said to have %d: got error %v", n, claimed, err)
			}
			if err == nil {
				_ = r.Close()
			}
		}
	}
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// sealedStatement draws a valid statement of nodeKey and the team at for other teams.
func sealedStatement() *rapid.Generator[*Statement] {
	return rapid.Custom(func(t *rapid.T) *Statement {
		st := statement().Draw(t, "statement")
		st.Author, st.Audience = at, audience().Draw(t, "audience")
		if st.Body.External() {
			st.Body.Key, st.Body.Size = "AGE-SECRET-KEY-PQ-1X", min(st.Body.Size, MaxBlob/2)
			st.Blob = blobOf(st.Body)
		}
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			st.Label, st.Title, st.Body, st.Content = tlp.Red, "", Body{}, []byte("sealed")
			for _, team := range append([]TeamID{at}, st.Audience.Teams...) {
				st.Audience.Persons = append(st.Audience.Persons, person(team, rapid.SampledFrom([]string{"Eva", "Max"}).Draw(t, "person")))
			}
			slices.SortFunc(st.Audience.Persons, Person.Compare)
		case 1:
			st = rapid.SampledFrom([]*Statement{exampleReceipts(), exampleRecords()}).Draw(t, "control")
			st.Audience = to(rapid.SampledFrom([]TeamID{de, ch, fr}).Draw(t, "team"))
		case 2:
			st.Audience = within(rapid.SampledFrom([]Hash{roomID, Sum("another")}).Draw(t, "room"))
		}
		return st
	})
}

// audience draws an audience that is neither the community nor a room.
func audience() *rapid.Generator[Audience] {
	return rapid.Custom(func(t *rapid.T) Audience {
		if rapid.Bool().Draw(t, "in an agreement") {
			return under(rapid.SampledFrom([]TeamID{de, ch, fr}).Draw(t, "party"), rapid.SampledFrom([]Hash{agreementID, Sum("another")}).Draw(t, "agreement"))
		}
		return to(rapid.SliceOfNDistinct(rapid.SampledFrom([]TeamID{de, ch, fr}), 1, 3, rapid.ID).Draw(t, "teams")...)
	})
}

// channels returns all channels between the teams of the tests, those of rooms, and the community's.
func channels() []Channel {
	all := []Channel{{}, RoomChannel(roomID), RoomChannel(Sum("another")), RoomChannel(Sum("another room"))}
	teams := []TeamID{at, de, ch, fr}
	for i, a := range teams {
		for _, b := range teams[i+1:] {
			for _, id := range []Hash{{}, agreementID, Sum("another")} {
				all = append(all, Between(a, b, id))
			}
		}
	}
	return all
}

// TestSealedTravels is the way of a restricted message (I-33): in each channel that carries it, and in no other, it opens, and is
// the same; and a changed byte anywhere, inside or outside, is noticed.
func TestSealedTravels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := sealedStatement().Draw(t, "statement")
		e, err := Sign(st, nodeKey)
		if err != nil {
			t.Fatal(err)
		}
		inner := e.Encode()
		opened := 0
		for _, c := range channels() {
			p := sealedParcel(st, c, rapid.Uint64Range(1, MaxCounter).Draw(t, "seq"))
			room := st.Audience.Kind == InRoom
			want := room && c == RoomChannel(st.Audience.Room) // by the words of SPEC.md
			for _, team := range st.Audience.Teams {
				want = want || c == Between(at, team, st.Audience.Agreement)
			}
			env, got, err := p.OpenSealed(nodeKey.Public(), inner, c)
			if (err == nil) != want || err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatalf("channel %s: got error %v, want it to open: %v", c.Tag(), err, want)
			}
			if err != nil {
				continue
			}
			opened++
			if !bytes.Equal(env.Encode(), inner) || !bytes.Equal(must(Marshal(got)), e.Payload) {
				t.Fatal("the statement changed on the way")
			}
			if _, _, err := p.OpenSealed(otherNode.Public(), inner, c); !errors.Is(err, ErrSignature) {
				t.Fatalf("with another key: got error %v, want one that wraps ErrSignature", err)
			}
			for _, other := range channels() {
				if other != c {
					if _, _, err := p.OpenSealed(nodeKey.Public(), inner, other); err == nil {
						t.Fatal("a parcel of one channel was opened as of another")
					}
				}
			}
			if _, _, err := p.OpenCommunity(nodeKey.Public()); err == nil {
				t.Fatal("a sealed parcel was opened as one for the community")
			}
			epochs := []Hash{Sum("another epoch")}
			if room {
				epochs = append(epochs, Hash{})
			}
			for _, epoch := range epochs {
				moved := edit(p, func(p *Parcel) { p.Epoch = epoch })
				if _, _, err := moved.OpenSealed(nodeKey.Public(), inner, c); !errors.Is(err, ErrMalformed) {
					t.Fatalf("in a parcel for another epoch: got error %v, want one that wraps ErrMalformed", err)
				}
			}
			changed := slices.Clone(inner)
			changed[rapid.IntRange(0, len(inner)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if _, _, err := p.OpenSealed(nodeKey.Public(), changed, c); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSignature) {
				t.Fatalf("a changed statement: got error %v", err)
			}
		}
		ways := len(st.Audience.Teams)
		if st.Audience.Kind == InRoom {
			ways = 1
		}
		if opened != ways {
			t.Fatalf("opened in %d channels, want %d: the room's, or one for each team", opened, ways)
		}
	})
}

// TestChannels checks that both ends name a channel alike, and that no two channels or nodes share a tag or a feed.
func TestChannels(t *testing.T) {
	feeds := map[Hash]string{}
	for _, c := range channels() {
		for _, node := range []KID{nodeKey.Public().ID(), otherNode.Public().ID()} {
			f := FeedOf(node, c)
			if other, ok := feeds[f]; ok {
				t.Errorf("feed %s of %s is that of %s", f, node, other)
			}
			feeds[f] = fmt.Sprint(c.Tag(), node)
		}
		if c.IsCommunity() || !c.Room().IsZero() {
			for _, team := range []TeamID{at, de, ch, fr, {}} {
				if c.Joins(team) {
					t.Errorf("%s joins %s, and is between no two teams", c.Tag(), team.Short())
				}
			}
			continue
		}
		a, b := c.low, c.high
		if c != Between(b, a, c.Agreement()) || c.Tag() != Between(b, a, c.Agreement()).Tag() {
			t.Errorf("the two ends of %s name it differently", c.Tag())
		}
		for _, team := range []TeamID{at, de, ch, fr, {}} {
			if got, want := c.Joins(team), team == a || team == b; got != want {
				t.Errorf("channel of %s and %s joins %s: got %v, want %v", a.Short(), b.Short(), team.Short(), got, want)
			}
		}
		if c.Other(a) != b || c.Other(b) != a {
			t.Errorf("the other ends of %s and %s are %s and %s", a.Short(), b.Short(), c.Other(a).Short(), c.Other(b).Short())
		}
	}
	a := exampleAgreement()
	if got, want := a.Channel(agreementID), Between(de, at, agreementID); got != want {
		t.Error("the agreement's channel is not that of its parties")
	}
	if a.Partner(at) != de || a.Partner(de) != at {
		t.Error("the parties of an agreement are not each other's partners")
	}
}

// TestContentTravels is the way of RED: what was sealed for one statement is read in it, and refused in all others.
func TestContentTravels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) *Statement {
			st := sealedStatement().Filter(func(s *Statement) bool { return s.Label == tlp.Red }).Draw(t, label)
			st.Node = rapid.SampledFrom([]*PrivateKey{nodeKey, otherNode}).Draw(t, label+" node").Public().ID()
			st.Blob = nil
			st.Salt[0] = rapid.ByteRange(0, 1).Draw(t, label+" salt")
			return st
		}
		st, other := draw("statement"), draw("another")
		c := exampleContent(st)
		c.Title = text(MaxTitle).Draw(t, "title")
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeContent(data, st)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(must(Marshal(back)), data) {
			t.Fatal("the content changed on the way")
		}
		same := st.Node == other.Node && st.Salt == other.Salt && bytes.Equal(must(Marshal(st.Audience)), must(Marshal(other.Audience)))
		if _, err := DecodeContent(data, other); (err == nil) != same {
			t.Fatalf("in another statement: got error %v, want one: %v", err, !same)
		}
	})
}

// TestContentBounds keeps a person from being sealed what they would refuse.
func TestContentBounds(t *testing.T) {
	st := exampleRed()
	for name, f := range map[string]func(*Content){
		"a title of 801 bytes": func(c *Content) { c.Title = strings.Repeat("t", MaxTitle+1) }, "no format": func(c *Content) { c.Body.Format = "" },
		"a large body without a key": func(c *Content) { c.Body = largeBody(); c.Body.Key = "" },
	} {
		if data, err := edit(exampleContent(st), f).Encode(); err == nil {
			t.Errorf("%s: encoded to %d bytes, want an error", name, len(data))
		}
	}
	long := func(n int) []byte { return refEncode(with(tree(exampleContent(st)), 900, make([]byte, n))) }
	rest := len(long(MaxStatement)) - MaxStatement
	if _, err := DecodeContent(long(MaxStatement-rest), st); err != nil {
		t.Errorf("content of %d bytes: %v", MaxStatement, err)
	}
	if _, err := DecodeContent(long(MaxStatement-rest+1), st); !errors.Is(err, ErrMalformed) {
		t.Errorf("content of %d bytes: got error %v, want one that wraps ErrMalformed", MaxStatement+1, err)
	}
}

// TestNamesOfValues keeps the words of the interface, and that what is written is read.
func TestNamesOfValues(t *testing.T) {
	for got, want := range map[string]string{
		Community.String(): "community", Direct.String(): "team", InAgreement.String(): "agreement", AudienceKind(9).String(): "audience-9",
		Stored.String(): "stored", Opened.String(): "opened", HeldBack.String(): "held", CannotOpen.String(): "cannot-open", ReceiptState(9).String(): "receipt-9",
		PartyOK.String(): "ok", PartySuspended.String(): "suspended", PartyEnded.String(): "ended", PartyStatus(0).String(): "status-0",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, o := range []Onward{OnwardNone, OnwardConstituents, OnwardLabel} {
		if back, err := ParseOnward(o.String()); err != nil || back != o {
			t.Errorf("onward sharing %s: got %s, %v", o, back, err)
		}
	}
	for _, r := range []Receipting{ReceiptsNone, ReceiptsStored, ReceiptsOpened} {
		if back, err := ParseReceipting(r.String()); err != nil || back != r {
			t.Errorf("receipts %s: got %s, %v", r, back, err)
		}
	}
	if _, err := ParseOnward("everybody"); err == nil || !strings.Contains(err.Error(), "constituents") {
		t.Errorf("got error %v, want one that names the ways", err)
	}
	if _, err := ParseReceipting(""); err == nil {
		t.Error("no word on receipts is one")
	}
	for k, want := range map[Kind]bool{KindMessage: true, KindCorrection: true, KindReceipts: false, KindRecords: false} {
		if got := k.ForPeople(); got != want {
			t.Errorf("%s is for people: got %v, want %v", k, got, want)
		}
	}
	for i, f := range IEPValues() {
		if len(f.Values) < 2 || f.Name == "" {
			t.Errorf("field %d of the policy has the values %v", i, f.Values)
		}
	}
	if err := DefaultIEP().check(); err != nil {
		t.Errorf("the default policy: %v", err)
	}
	if !slices.IsSorted(InformationTypes()) {
		t.Error("the information types are not ascending")
	}
}
