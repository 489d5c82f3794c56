package trust

import (
	"slices"
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

// fuzzWorld makes a Book that knows two teams, and envelopes of all types to begin with.
func fuzzWorld(f *testing.F) (b *Book, seeds []*protocol.Envelope, keys []*protocol.PrivateKey) {
	x, y := trusttest.NewTeam(f, "x", "AT", now), trusttest.NewTeam(f, "y", "DE", now)
	b = NewBook(y.ID)
	act(b, ActVerified, x)
	mustAdd(f, b, append(x.Records(), y.Records()...)...)
	keys = []*protocol.PrivateKey{x.Officer, y.Officer, x.Node, x.Root, x.Recovery}
	k := x.Node.Public().ID()
	seeds = []*protocol.Envelope{x.RootEnv, x.ManifestEnv, x.CardEnv, x.Attest(y.ID), y.Retract(x.ID), x.Address("/ip4/192.0.2.1/tcp/1"),
		x.Recipient(1, recipientText("x")), x.Cutoff(k, protocol.FeedOf(k, protocol.Channel{}), 1, id(1)),
		x.RevokeNode(k, "stolen"), x.Cutoff(k, id(1), 3, id(3), 1), x.NextCard(nil), x.NextRoot(nil), x.NextManifest(nil), x.Recover(protocol.Hash{}, nil)}
	return b, seeds, keys
}

// checkAdd adds any envelope to a copy of the Book. Whatever comes: no panic, and a refusal changes nothing. A record that is
// taken in is there afterwards, and is known when it comes again.
func checkAdd(t *testing.T, base *Book, e *protocol.Envelope) {
	t.Helper()
	of, _ := TeamOf(e)
	b := base.copyWith(of)
	before := b.Digest(of)
	added, drop, err := b.Add(e, now)
	switch {
	case err != nil && (added || len(drop) != 0 || b.Digest(of) != before):
		t.Fatalf("refused (%v), and changed something", err)
	case err == nil && !added && b.Digest(of) != before:
		t.Fatal("passed over, and changed something")
	case added && !slices.Contains(b.teams[of].recordIDs(true), e.ID()):
		t.Fatal("added, and not there")
	case added && slices.Contains(b.RecordIDs(of), e.ID()) == Private(e):
		t.Fatalf("private %v, and may spread all the same, or not", Private(e))
	case added:
		if again, _, err := b.Add(e, now); again || err != nil {
			t.Fatalf("the second time: added %v, %v", again, err)
		}
	}
	_ = b.Teams(now)
	if got, err := base.CheckIntroduction([]*protocol.Envelope{e}, of, now); err == nil {
		t.Fatalf("one record is taken for an introduction of %s", got.Name)
	}
}

// FuzzBookAdd feeds a Book with envelopes of any bytes. The seeds are large: run it with -fuzzminimizetime 1x, or it does little
// else than shorten them.
func FuzzBookAdd(f *testing.F) {
	base, seeds, _ := fuzzWorld(f)
	for _, e := range seeds {
		f.Add(e.Encode())
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := protocol.DecodeEnvelope(data, protocol.MaxRecord); err == nil {
			checkAdd(t, base, e)
		}
	})
}

// FuzzBookAddSigned feeds a Book with records of any content that are signed well, by a key that may or may not: an officer
// whose program is broken, or a thief.
func FuzzBookAddSigned(f *testing.F) {
	base, seeds, keys := fuzzWorld(f)
	types := protocol.Types()
	for _, e := range seeds {
		signer := slices.IndexFunc(keys, func(k *protocol.PrivateKey) bool { return k.Public().ID() == e.Sigs[0].KID })
		f.Add(uint8(slices.Index(types, e.Type)), uint8(max(0, signer)), e.Payload)
	}
	f.Fuzz(func(t *testing.T, typ, signer uint8, payload []byte) {
		e := &protocol.Envelope{Type: types[int(typ)%len(types)], Payload: payload}
		if _, err := TeamOf(e); err != nil {
			return // not worth a signature
		}
		if err := e.AddSignature(keys[int(signer)%len(keys)]); err != nil {
			t.Fatal(err)
		}
		checkAdd(t, base, e)
	})
}

// FuzzResponsible asks a directory anything.
func FuzzResponsible(f *testing.F) {
	d := NewDirectory([]Team{claimant(1, "national", Verified, protocol.Constituency{Countries: []string{"AT"}, Prefixes: []string{"0.0.0.0/0", "::/0"},
		Domains: []string{"at"}, ASNs: []uint32{64500}})})
	for _, s := range []string{"192.0.2.1", "2001:db8::/32", "AS64500", "at", "www.example.at", "https://a@b.at:1/x", "[::1]:80", "@", "://", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, q string) {
		claims, err := d.Responsible(q)
		if err != nil && claims != nil {
			t.Fatalf("%q: both claims and %v", q, err)
		}
	})
}

// FuzzAgreements feeds a Book with agreements and words of any content that are signed well, by a key that may or may not. No
// panic, a refusal changes nothing, and what is taken in is there and known when it comes again.
func FuzzAgreements(f *testing.F) {
	a, b, _, base := pair(f)
	offer := a.Offer(b, nil)
	agree(f, base, offer, b.Countersign(offer))
	keys := []*protocol.PrivateKey{a.Officer, b.Officer, a.Root, a.Node}
	types := []protocol.Type{protocol.TypeAgreement, protocol.TypeAgreementStatus, protocol.TypeCard}
	for _, s := range []protocol.PartyStatus{protocol.PartyOK, protocol.PartySuspended, protocol.PartyEnded} {
		f.Add(uint8(1), uint8(0), a.Word(offer.ID(), 2, s).Payload)
	}
	f.Add(uint8(0), uint8(0), a.Offer(b, nil).Payload)
	f.Add(uint8(0), uint8(1), offer.Payload)
	f.Fuzz(func(t *testing.T, typ, signer uint8, payload []byte) {
		e := &protocol.Envelope{Type: types[int(typ)%len(types)], Payload: payload}
		if _, err := protocol.Decode[protocol.Agreement](e); err != nil {
			if _, err := protocol.Decode[protocol.AgreementStatus](e); err != nil {
				return // not worth a signature
			}
		}
		if err := e.AddSignature(keys[int(signer)%len(keys)]); err != nil {
			t.Fatal(err)
		}
		book := base.copyWith(protocol.TeamID{})
		before := kept(book)
		r := book.AddAgreement(e, now)
		switch {
		case (r.Err != nil || !r.Added) && kept(book) != before:
			t.Fatalf("not added (%v), and yet something changed", r.Err)
		case r.Added && (r.ID != e.ID() || r.Envelope.ID() != r.ID || kept(book) == before):
			t.Fatal("added, and not there")
		case r.Added:
			if again := book.AddAgreement(e, now); again.Added || again.Err != nil {
				t.Fatalf("the second time: added %v, %v", again.Added, again.Err)
			}
		}
		for _, i := range book.Agreements(now) {
			if i.State == NoAgreement || (i.Why == "") != (i.State == Active) {
				t.Fatalf("%v: %q", i.State, i.Why)
			}
		}
	})
}
