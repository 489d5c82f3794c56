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
