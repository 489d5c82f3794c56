package trust

import (
	"slices"
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

// FuzzBookAdd feeds a Book that knows a team with envelopes of any content. Whatever comes: no panic, and a refusal changes
// nothing. A record that is taken in is there afterwards, and is known when it comes again.
func FuzzBookAdd(f *testing.F) {
	x, y := trusttest.NewTeam(f, "x", "AT", now), trusttest.NewTeam(f, "y", "DE", now)
	base := append(x.Records(), y.Records()...)
	k := x.Node.Public().ID()
	seeds := slices.Concat(base, []*protocol.Envelope{x.Attest(y.ID), y.Retract(x.ID), x.Address("/ip4/192.0.2.1/tcp/1"), x.RevokeNode(k, "stolen"),
		x.Cutoff(k, id(1), 3, id(3), 1), x.NextCard(nil), x.NextRoot(nil), x.NextManifest(nil), x.Recover(protocol.Hash{}, nil)})
	for _, e := range seeds {
		f.Add(e.Encode())
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := protocol.DecodeEnvelope(data, protocol.MaxRecord)
		if err != nil {
			return
		}
		b := NewBook(y.ID)
		act(b, ActVerified, x)
		mustAdd(t, b, base...)
		of, _ := TeamOf(e)
		before := b.Digest(of)
		added, drop, err := b.Add(e, now)
		switch {
		case err != nil && (added || len(drop) != 0 || b.Digest(of) != before):
			t.Fatalf("refused (%v), and changed something", err)
		case added && !slices.Contains(b.RecordIDs(of), e.ID()):
			t.Fatal("added, and not there")
		case added:
			if again, _, err := b.Add(e, now); again || err != nil {
				t.Fatalf("the second time: added %v, %v", again, err)
			}
		}
		_, _ = b.CheckIntroduction([]*protocol.Envelope{e}, of, now)
		_ = b.Teams(now)
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
