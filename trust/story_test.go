package trust

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust/trusttest"
)

// may asks whether a GREEN message of the team is taken in.
func may(b *Book, x *trusttest.Team, at time.Time) bool {
	v, _ := b.Team(x.ID, at)
	return Decide(Question{Action: Receive, Label: tlp.Green, Audience: protocol.Community, Peer: v.State}).Allowed
}

// A thief copies the root key of a national team. He installs himself as officer, publishes a node of his own and revokes
// theirs; for some days he is that team. Then its people take the 24 words out of the safe. One record made with the recovery
// key, on the last record that was theirs, takes everything back, whatever the thief signed and goes on signing; and nobody
// had to verify anything anew, because the team's id and fingerprint are the same.
func TestStoryOfTheStolenRootKey(t *testing.T) {
	b, ts := community(t, "self", "CERT-X", "witness")
	x := ts[1]
	before := Fingerprint(x.ID)
	theirs := x.Node.Public().ID()
	last := x.RootEnv.ID()

	thief := x.Fork()
	thief.Officer = trusttest.Key(t, protocol.Hybrid)
	_, _, evil := trusttest.NewNode(t, "node1")
	mustAdd(t, b, thief.NextRoot(func(r *protocol.Root) {
		r.Officers = []protocol.Officer{{Key: thief.Officer.Public(), Name: "officer of CERT-X"}}
	}))
	mustAdd(t, b, thief.NextManifest(func(m *protocol.Manifest) {
		m.Revoked = []protocol.Revoked{{Node: m.Nodes[0], At: uint64(now.Unix())}}
		m.Nodes = []protocol.Node{evil}
	}), thief.NextCard(func(c *protocol.Card) { c.Phones = []protocol.Contact{{Use: "24/7", Value: "+00 666"}} }))
	if !may(b, x, now) {
		t.Fatal("the thief is believed for now: he holds the root key")
	}
	if n, _ := b.NodeOf(x.ID, theirs); !n.Revoked {
		t.Fatal("the thief revoked their node")
	}

	mustAdd(t, b, x.Recover(last, nil), x.ManifestEnv, x.NextCard(nil))
	wantState(t, b, x.ID, now, Verified)
	if n, ok := b.NodeOf(x.ID, theirs); !ok || n.Revoked {
		t.Error("their node is not theirs again")
	}
	if _, ok := b.NodeOf(x.ID, evil.Key.ID()); ok {
		t.Error("the thief's node is still listed")
	}
	v, _ := b.Team(x.ID, now)
	if len(v.Card.Phones) != 0 || Fingerprint(v.ID) != before {
		t.Error("the thief's telephone number is still shown")
	}

	// Whatever he signs now comes too late.
	mustAdd(t, b, thief.NextRoot(nil)) // valid, and off the path
	mustRefuse(t, b, thief.NextManifest(nil), ErrOverruled)
	mustRefuse(t, b, thief.NextCard(nil), ErrOverruled)
	mustRefuse(t, b, thief.Attest(ts[2].ID), ErrOverruled)
	wantState(t, b, x.ID, now, Verified)
}

// Somebody carries a server out of the building. It signs messages for a day. An officer revokes its key and says how far it
// can be believed; the rest is void, whatever time the thief writes into it, and what was honest still arrives.
func TestStoryOfTheStolenNode(t *testing.T) {
	b, ts := community(t, "self", "CERT-X")
	x := ts[1]
	stolen := x.Node.Public().ID()
	feed := protocol.FeedOf(stolen, protocol.Channel{})
	info, _ := b.NodeOf(x.ID, stolen)
	honest := chain(info, feed, 1, protocol.Hash{}, 4, "")
	evil := chain(info, feed, 5, honest[3].id, 7, "thief")
	h := &holder{node: info, feed: feed, held: map[uint64]entry{}}
	for _, e := range append(honest[:2:2], evil[0]) { // 3 and 4 were missed
		if v := h.offer(e); v != Accept {
			t.Fatalf("entry %d: %s", e.p.Seq, v)
		}
	}

	// Revoked, and nothing said yet: what arrives waits.
	k, peer, fresh := trusttest.NewNode(t, "node2")
	mustAdd(t, b, x.NextManifest(func(m *protocol.Manifest) {
		m.Revoked = append(m.Revoked, protocol.Revoked{Node: m.Nodes[0], At: uint64(now.Unix()), Why: "stolen"})
		m.Nodes = []protocol.Node{fresh}
	}))
	x.Node, x.Peer = k, peer
	h.node, _ = b.NodeOf(x.ID, stolen)
	for _, e := range []entry{honest[3], evil[1]} {
		if v := h.offer(e); v != Quarantine {
			t.Fatalf("entry %d: %s", e.p.Seq, v)
		}
	}
	if Doubt(h.node, feed, 1) == "" {
		t.Error("no doubt about what a stolen node said")
	}

	mustAdd(t, b, x.Cutoff(stolen, feed, 4, honest[3].id))
	h.node, _ = b.NodeOf(x.ID, stolen)
	for _, c := range []struct {
		e    entry
		want Verdict
	}{{honest[2], Quarantine}, {honest[3], Accept}, {honest[2], Accept}, {evil[1], Void}, {evil[0], Known}} {
		if v := h.offer(c.e); v != c.want {
			t.Fatalf("entry %d: %s, want %s", c.e.p.Seq, v, c.want)
		}
	}
	if Doubt(h.node, feed, 4) != "" || Doubt(h.node, feed, 5) == "" {
		t.Error("the cut-off is not where the officer put it")
	}
	// The thief cannot say where the server is now, nor come back as a node of the team.
	mustRefuse(t, b, sign(t, &protocol.Address{Team: x.ID, Node: stolen, Seq: 99, Addrs: []string{"/ip4/203.0.113.9/tcp/1"}, Issued: 1, Expires: 2},
		x.Node), ErrOverruled)
	if _, ok := b.NodeByPeer(info.Node.Peer); ok {
		t.Error("the stolen server may connect")
	}
	wantState(t, b, x.ID, now, Verified)
}

// A mail from CERT-X's address brings an introduction. The mailbox was broken into: the keys in it are another's. Whether the
// team is known or not, somebody notices before anything is believed.
func TestStoryOfTheForgedIntroduction(t *testing.T) {
	b, ts := community(t, "self", "CERT-X", "CERT-Y")
	x := ts[1]

	// Same name, other keys.
	forged := trusttest.NewTeam(t, "CERT-X", "DE", now)
	if _, err := b.CheckIntroduction(forged.Records(), forged.ID, now); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "call both") {
		t.Errorf("got %v", err)
	}

	// The same team, in another version: made with a stolen root key, while the true one went elsewhere.
	thief := x.Fork()
	thief.NextRoot(func(r *protocol.Root) { r.Reason = "thief" })
	mustAdd(t, b, x.NextRoot(nil))
	_, err := b.CheckIntroduction(thief.Records(), x.ID, now)
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "call them") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
	wantState(t, b, x.ID, now, Verified)

	// Overruled since by the recovery keys.
	mustAdd(t, b, x.Recover(protocol.Hash{}, nil))
	if _, err := b.CheckIntroduction(thief.Records(), x.ID, now); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}

	// With a second manifest of a version that is known.
	y, twin := ts[2], ts[2].Fork()
	mustAdd(t, b, y.NextManifest(nil))
	twin.NextManifest(func(m *protocol.Manifest) { m.Expires-- })
	if _, err := b.CheckIntroduction(twin.Records(), y.ID, now); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
	wantState(t, b, y.ID, now, Verified)
}

// A team that was only mailed about is called up, and the number that is read out is not the one on the screen.
func TestStoryOfTheWrongFingerprint(t *testing.T) {
	b, _ := community(t, "self")
	real, forged := trusttest.NewTeam(t, "CERT-X", "DE", now), trusttest.NewTeam(t, "CERT-X", "DE", now)
	if _, err := b.CheckIntroduction(forged.Records(), forged.ID, now); err != nil {
		t.Fatal(err) // nothing tells it from the real one yet
	}
	act(b, ActAdded, forged)
	mustAdd(t, b, forged.Records()...)
	wantState(t, b, forged.ID, now, Introduced)

	var fe *FingerprintError
	err := CheckFingerprint(forged.ID, Fingerprint(real.ID))
	if !errors.As(err, &fe) || !strings.Contains(err.Error(), "do not verify") {
		t.Fatalf("got %v", err)
	}
	act(b, ActBlocked, forged)
	if may(b, forged, now) || len(communityTeams(b)) != 0 {
		t.Error("the forged team is still believed")
	}
	if _, err := b.CheckIntroduction(real.Records(), real.ID, now); err != nil {
		t.Error(err) // the name is free again
	}
}

// Two former officers of the root, long gone, still have the old root keys. They cannot switch their country off: at worst the
// team is disputed until it uses its recovery keys, and once it has, old keys do nothing at all.
func TestStoryOfTheOldRootKeys(t *testing.T) {
	b, ts := community(t, "self", "CERT-X")
	x := ts[1]
	former := x.Fork()
	mustAdd(t, b, x.NextRoot(nil))
	wantState(t, b, x.ID, now, Verified)
	mustAdd(t, b, former.NextRoot(func(r *protocol.Root) { r.Reason = "we were never gone" }))
	wantState(t, b, x.ID, now, Disputed)
	if may(b, x, now) {
		t.Error("a disputed team is believed")
	}
	mustAdd(t, b, x.Recover(protocol.Hash{}, nil))
	mustAdd(t, b, x.NextManifest(nil))
	wantState(t, b, x.ID, now, Verified)
	for range 5 {
		mustAdd(t, b, former.NextRoot(nil))
		wantState(t, b, x.ID, now, Verified)
	}
}
