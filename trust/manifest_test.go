package trust

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

// I-12: no key signs what it is not certified for.
func TestKeysOfTheWrongUse(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	m, c := *x.Manifest, *x.Card
	m.Version, m.Prev = 2, x.ManifestEnv.ID()
	c.Version = 2
	life := uint64(now.Unix())
	records := map[string]protocol.Record{
		"manifest": &m, "card": &c,
		"attestation": &protocol.Attest{Issuer: x.ID, Subject: ts[0].ID, Method: "phone", Issued: life, Expires: life + 100},
		"cut-off":     &protocol.Cutoff{Team: x.ID, Node: x.Node.Public().ID(), Feed: id(1), Issued: life},
		"address":     &protocol.Address{Team: x.ID, Node: x.Node.Public().ID(), Seq: 1, Issued: life, Expires: life + 100},
	}
	keys := map[string]*protocol.PrivateKey{"root": x.Root, "officer": x.Officer, "node": x.Node, "recovery": x.Recovery,
		"another team's officer": ts[0].Officer, "another team's node": ts[0].Node}
	for what, r := range records {
		for who, k := range keys {
			e := sign(t, r, k)
			if who == "node" && what == "address" || who == "officer" && what != "address" {
				continue // tested below, each once
			}
			t.Run(what+" by "+who, func(t *testing.T) { mustRefuse(t, b, e, protocol.ErrSignature) })
		}
	}
	for what, r := range records {
		k := x.Officer
		if what == "address" {
			k = x.Node
		}
		mustAdd(t, b, sign(t, r, k))
	}
}

// Acts of a class need as many officers of that class as the root record says; others do not count.
func TestOfficerThresholds(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	second, clerk := trusttest.Key(t, protocol.Hybrid), trusttest.Key(t, protocol.Hybrid)
	mustAdd(t, b, x.NextRoot(func(r *protocol.Root) {
		r.Officers = append(slices.Clone(r.Officers), protocol.Officer{Key: second.Public(), Name: "second"},
			protocol.Officer{Key: clerk.Public(), Name: "clerk", Acts: []protocol.Act{protocol.ActCard}})
		r.Thresholds = []protocol.Threshold{{Act: protocol.ActCard, K: 1}, {Act: protocol.ActManifest, K: 2}}
	}))
	m := *x.Manifest
	m.Version, m.Prev, m.Root = 2, x.ManifestEnv.ID(), x.RootEnv.ID()
	c := *x.Card
	c.Version = 2
	mustRefuse(t, b, sign(t, &m, x.Officer), protocol.ErrSignature)
	mustRefuse(t, b, sign(t, &m, x.Officer, clerk), protocol.ErrSignature)
	mustRefuse(t, b, sign(t, &protocol.Cutoff{Team: x.ID, Node: x.Node.Public().ID(), Feed: id(1), Issued: 1}, second), protocol.ErrSignature)
	mustRefuse(t, b, sign(t, &c, x.Root), protocol.ErrSignature)
	mustAdd(t, b, sign(t, &m, x.Officer, second), sign(t, &c, clerk))

	// A wrong signature of one is not outvoted by the right ones of others.
	m.Version, m.Prev = 3, m.Root
	e := *sign(t, &m, x.Officer, second)
	e.Sigs = slices.Clone(e.Sigs)
	e.Sigs[1].Ed[0] ^= 1
	mustRefuse(t, b, &e, protocol.ErrSignature)
}

func TestManifestsThatLeaveOutANode(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	_, _, n2 := trusttest.NewNode(t, "node2")
	_, _, n3 := trusttest.NewNode(t, "node3")
	mustAdd(t, b, x.NextManifest(func(m *protocol.Manifest) { m.Nodes = append(m.Nodes, n2) }))
	mustRefuse(t, b, x.Fork().NextManifest(func(m *protocol.Manifest) { m.Nodes = m.Nodes[:1] }), ErrRule)
	mustRefuse(t, b, x.Fork().NextManifest(func(m *protocol.Manifest) { m.Nodes[1] = n3 }), ErrRule)
	mustAdd(t, b, x.RevokeNode(n2.Key.ID(), "stolen"))
	mustRefuse(t, b, x.Fork().NextManifest(func(m *protocol.Manifest) { m.Revoked = nil }), ErrRule)
	mustRefuse(t, b, x.Fork().NextManifest(func(m *protocol.Manifest) { m.Nodes, m.Revoked = append(m.Nodes, n2), nil }), ErrRule)
	drop := mustAdd(t, b, x.NextManifest(nil))
	if len(drop) != 1 {
		t.Errorf("dropped %d", len(drop))
	}
}

// Two manifests of one version: disputed, whoever of the two came first, until a higher one comes.
func TestTwoManifestsOfOneVersion(t *testing.T) {
	for _, swap := range []bool{false, true} {
		b, ts := community(t, "self", "x")
		x := ts[1]
		twin := x.Fork()
		es := []*protocol.Envelope{x.NextManifest(nil), twin.NextManifest(func(m *protocol.Manifest) { m.Expires-- })}
		third := twin.Fork()
		third.Manifest, third.ManifestEnv = ts[1].Manifest, ts[1].ManifestEnv
		if swap {
			slices.Reverse(es)
		}
		mustAdd(t, b, es[0])
		wantState(t, b, x.ID, now, Verified)
		if drop := mustAdd(t, b, es[1]); len(drop) != 0 {
			t.Fatal("the proof of the dispute was dropped")
		}
		wantState(t, b, x.ID, now, Disputed)
		want := es[0].ID()
		if h := es[1].ID(); slices.Compare(h[:], want[:]) < 0 {
			want = h
		}
		if got, _ := b.Team(x.ID, now); got.ManifestID != want {
			t.Error("which of the two is shown depends on the order")
		}
		// More of them change nothing but which two are kept.
		more := x.Fork()
		more.Manifest = &protocol.Manifest{}
		*more.Manifest = *x.Manifest
		more.Manifest.Version--
		if _, _, err := b.Add(more.NextManifest(func(m *protocol.Manifest) { m.Expires -= 2; m.Prev = id(1) }), now); err != nil {
			t.Fatal(err)
		}
		if n := len(b.teams[x.ID].manifests); n != 2 {
			t.Fatalf("%d manifests kept", n)
		}
		wantState(t, b, x.ID, now, Disputed)
		if drop := mustAdd(t, b, x.NextManifest(nil)); len(drop) != 2 {
			t.Errorf("dropped %d", len(drop))
		}
		wantState(t, b, x.ID, now, Verified)
		mustIgnore(t, b, es[1])
	}
}

// I-11: under one head, the accepted version never decreases, in whatever order manifests come. Expired is stale.
func TestManifestVersionNeverDecreases(t *testing.T) {
	x := trusttest.NewTeam(t, "x", "DE", now)
	es := []*protocol.Envelope{x.ManifestEnv}
	for range 7 {
		es = append(es, x.NextManifest(nil))
	}
	last := x.Manifest
	rapid.Check(t, func(rt *rapid.T) {
		b := NewBook(protocol.TeamID{})
		act(b, ActAdded, x)
		mustAdd(t, b, x.RootEnv)
		version := uint64(0)
		for _, e := range rapid.SliceOf(rapid.SampledFrom(es)).Draw(rt, "manifests") {
			added, drop, err := b.Add(e, now)
			if err != nil {
				rt.Fatal(err)
			}
			got, _ := b.Team(x.ID, now)
			if got.Manifest.Version < version || added != (got.Manifest.Version > version) {
				rt.Fatalf("version %d after %d, added %v", got.Manifest.Version, version, added)
			}
			if added && version > 0 && len(drop) != 1 {
				rt.Fatalf("dropped %d", len(drop))
			}
			version = got.Manifest.Version
		}
		if version == last.Version {
			wantState(t, b, x.ID, time.Unix(int64(last.Expires)-1, 0), Introduced)
			wantState(t, b, x.ID, time.Unix(int64(last.Expires), 0), Stale)
		}
	})
}

func TestManifestsAndNewRootRecords(t *testing.T) {
	t.Run("the floor keeps one manifest valid", func(t *testing.T) {
		b, ts := community(t, "self", "x")
		x := ts[1]
		old := x.Fork()
		mustAdd(t, b, x.NextRoot(nil))
		wantState(t, b, x.ID, now, Verified)
		// Not another one of the replaced record, and none below the floor under the new record.
		mustRefuse(t, b, old.NextManifest(nil), ErrOverruled)
		below := *x.Manifest
		below.Root = x.RootEnv.ID()
		mustRefuse(t, b, sign(t, &below, x.Officer), ErrRule)
		mustAdd(t, b, x.NextManifest(nil))
		wantState(t, b, x.ID, now, Verified)
	})
	t.Run("without a floor, a new manifest is needed", func(t *testing.T) {
		b, ts := community(t, "self", "x")
		x := ts[1]
		mustAdd(t, b, x.NextRoot(func(r *protocol.Root) { r.Floor = nil }))
		wantState(t, b, x.ID, now, Stale)
		if n, ok := b.NodeOf(x.ID, x.Node.Public().ID()); !ok || n.Revoked {
			t.Error("what was said before cannot be verified any more")
		}
		mustAdd(t, b, x.NextManifest(nil))
		wantState(t, b, x.ID, now, Verified)
	})
	t.Run("a floor that has not arrived", func(t *testing.T) {
		x := trusttest.NewTeam(t, "x", "DE", now)
		first := x.ManifestEnv
		floor := x.NextManifest(nil)
		head := x.NextRoot(nil)
		b := NewBook(protocol.TeamID{})
		act(b, ActAdded, x)
		mustAdd(t, b, x.RootLog()[0], head, first)
		wantState(t, b, x.ID, now, Stale)
		mustAdd(t, b, floor)
		wantState(t, b, x.ID, now, Introduced)
		mustRefuse(t, b, first, ErrOverruled)
	})
	t.Run("of outdated manifests, that of the later record is kept", func(t *testing.T) {
		x := trusttest.NewTeam(t, "x", "DE", now)
		first := x.ManifestEnv
		x.NextRoot(func(r *protocol.Root) { r.Floor = nil })
		second := x.NextManifest(func(m *protocol.Manifest) { m.Version, m.Prev = 1, protocol.Hash{} })
		x.NextRoot(func(r *protocol.Root) { r.Floor = nil })
		for _, es := range [][]*protocol.Envelope{{first, second}, {second, first}} {
			b := NewBook(protocol.TeamID{})
			act(b, ActAdded, x)
			mustAdd(t, b, x.RootLog()...)
			for _, e := range es {
				if _, _, err := b.Add(e, now); err != nil {
					t.Fatal(err)
				}
			}
			if got, _ := b.Team(x.ID, now); got.ManifestID != second.ID() || got.State != Stale {
				t.Errorf("state %v, or the wrong manifest", got.State)
			}
		}
	})
	t.Run("an officer's key ran the version up", func(t *testing.T) {
		// A stolen officer key signs the greatest version there is. New officers, a floor at the last good manifest: repaired.
		b, ts := community(t, "self", "x")
		x := ts[1]
		thief := x.Fork()
		mustAdd(t, b, thief.NextManifest(func(m *protocol.Manifest) { m.Version = protocol.MaxCounter }))
		mustAdd(t, b, thief.NextCard(func(c *protocol.Card) { c.Version = protocol.MaxCounter - 1 }))
		x.Officer = trusttest.Key(t, protocol.Hybrid)
		mustAdd(t, b, x.NextRoot(func(r *protocol.Root) { r.Officers = []protocol.Officer{{Key: x.Officer.Public(), Name: "new"}} }))
		wantState(t, b, x.ID, now, Stale)
		mustAdd(t, b, x.NextManifest(nil), x.NextCard(nil))
		got, _ := b.Team(x.ID, now)
		if got.State != Verified || got.Manifest.Version != 2 || got.Card.Version != 2 {
			t.Errorf("state %v, manifest %d, card %d", got.State, got.Manifest.Version, got.Card.Version)
		}
		mustRefuse(t, b, thief.NextCard(nil), ErrOverruled)
		mustRefuse(t, b, thief.ManifestEnv, ErrOverruled)
	})
}

// Of two cards of one version the one of the lower id counts, whichever came first. There is no dispute about a telephone number.
func TestTwoCardsOfOneVersion(t *testing.T) {
	x := trusttest.NewTeam(t, "x", "DE", now)
	twin := x.Fork()
	es := []*protocol.Envelope{x.NextCard(nil), twin.NextCard(func(c *protocol.Card) { c.Web = "https://example.org" })}
	slices.SortFunc(es, func(a, b *protocol.Envelope) int {
		h, k := a.ID(), b.ID()
		return slices.Compare(h[:], k[:])
	})
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		b := NewBook(protocol.TeamID{})
		act(b, ActAdded, x)
		mustAdd(t, b, x.RootEnv, x.ManifestEnv, x.CardEnv)
		for _, i := range order {
			if _, _, err := b.Add(es[i], now); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := b.Team(x.ID, now); got.CardID != es[0].ID() || got.State != Introduced {
			t.Errorf("order %v: state %v, or the wrong card", order, got.State)
		}
	}
}

func TestExpiredRecordsAreNotKept(t *testing.T) {
	b, ts := community(t, "self", "x", "y")
	x, y := ts[1], ts[2]
	later := now.Add(400 * 24 * time.Hour)
	for _, e := range []*protocol.Envelope{x.Attest(y.ID), x.Address("/ip4/192.0.2.1/tcp/1")} {
		added, drop, err := b.Add(e, later)
		if added || err != nil || !slices.Equal(drop, []protocol.Hash{e.ID()}) {
			t.Errorf("%s: added %v, drop %v, %v", e.Type, added, drop, err)
		}
	}
	// What expired makes room when the next one comes.
	e := x.Attest(y.ID)
	mustAdd(t, b, e)
	ts[0].Now = later
	added, drop, err := b.Add(ts[0].Attest(y.ID), later)
	if !added || err != nil || !slices.Equal(drop, []protocol.Hash{e.ID()}) {
		t.Errorf("added %v, drop %v, %v", added, drop, err)
	}
}

// The word of an officer who was removed counts no more; the issuer's new officers can say it again.
func TestAttestationsOfFormerOfficers(t *testing.T) {
	b, ts := community(t, "self", "a", "b")
	x := trusttest.NewTeam(t, "x", "DE", now)
	mustAdd(t, b, x.Records()...)
	mustAdd(t, b, ts[1].Attest(x.ID), ts[2].Attest(x.ID))
	wantState(t, b, x.ID, now, Introduced)
	old := ts[1].Fork()
	mustAdd(t, b, ts[1].Recover(protocol.Hash{}, nil))
	wantState(t, b, x.ID, now, Unknown)
	old.Now = now.Add(time.Hour)
	mustRefuse(t, b, old.Attest(x.ID), ErrOverruled)
	mustAdd(t, b, ts[1].Attest(x.ID)) // the same words, by the new officer
	wantState(t, b, x.ID, now, Introduced)

	// A disputed issuer vouches for nobody.
	twin := ts[2].Fork()
	mustAdd(t, b, ts[2].NextManifest(nil), twin.NextManifest(func(m *protocol.Manifest) { m.Expires-- }))
	wantState(t, b, x.ID, now, Unknown)
}

func TestCutoffs(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	node := x.Node.Public().ID()
	mustRefuse(t, b, x.Cutoff(protocol.KID{9}, id(1), 4, id(4)), ErrMissing)
	mustAdd(t, b, x.Cutoff(node, id(1), 9, id(9)))
	if n, _ := b.NodeOf(x.ID, node); n.Cutoff != nil {
		t.Error("a cut-off counts though the node is not revoked")
	}
	mustAdd(t, b, x.RevokeNode(node, "stolen"))
	cut := func() protocol.Cutoff {
		n, _ := b.NodeOf(x.ID, node)
		return n.Cutoff[id(1)]
	}
	if c := cut(); c.LastSeq != 9 {
		t.Fatalf("got %+v", c)
	}
	mustIgnore(t, b, x.Cutoff(node, id(1), 12, id(12))) // looser
	if drop := mustAdd(t, b, x.Cutoff(node, id(1), 6, id(6), 2)); len(drop) != 1 {
		t.Errorf("dropped %d", len(drop))
	}
	mustAdd(t, b, x.Cutoff(node, id(1), 8, id(8), 3, 7))
	if c := cut(); c.LastSeq != 6 || c.LastHash != id(6) || !slices.Equal(c.Void, []uint64{2, 3}) {
		t.Fatalf("got %+v", c)
	}
	// A former officer's restriction stays.
	mustAdd(t, b, x.Recover(protocol.Hash{}, nil))
	if c := cut(); c.LastSeq != 6 {
		t.Fatalf("got %+v", c)
	}
	// Two that name different last entries: nothing stands.
	mustAdd(t, b, x.Cutoff(node, id(1), 6, id(66)))
	if c := cut(); c.LastSeq != 0 || !c.LastHash.IsZero() || len(c.Void) != 0 {
		t.Fatalf("got %+v", c)
	}
}

// A thief's officers, installed with a stolen root key, cut off an honest node; the recovery undoes it.
func TestCutoffsOfAnOverruledAuthority(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	thief := x.Fork()
	thief.Officer = trusttest.Key(t, protocol.Hybrid)
	node := x.Node.Public().ID()
	mustAdd(t, b, thief.NextRoot(func(r *protocol.Root) { r.Officers = []protocol.Officer{{Key: thief.Officer.Public(), Name: "thief"}} }))
	mustAdd(t, b, thief.RevokeNode(node, "mine now"), thief.Cutoff(node, id(1), 0, protocol.Hash{}))
	mustAdd(t, b, x.Recover(protocol.Hash{}, nil))
	wantState(t, b, x.ID, now, Stale) // the thief's manifest is in the way of the one that the floor names
	mustAdd(t, b, x.ManifestEnv)
	wantState(t, b, x.ID, now, Verified)
	if n, ok := b.NodeOf(x.ID, node); !ok || n.Revoked {
		t.Fatalf("got %+v, %v", n, ok)
	}
	mustAdd(t, b, x.RevokeNode(node, "replaced"), x.Cutoff(node, id(1), 5, id(5)))
	if n, _ := b.NodeOf(x.ID, node); n.Cutoff[id(1)].LastSeq != 5 {
		t.Errorf("the thief's cut-off counts: %+v", n.Cutoff)
	}
}

func TestAddresses(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	kid := x.Node.Public().ID()
	old := x.Address("/ip4/192.0.2.1/tcp/1")
	x.Now = now.Add(time.Second)
	newer := x.Address("/ip4/192.0.2.1/tcp/2")
	mustAdd(t, b, newer)
	mustIgnore(t, b, old)
	if n, _ := b.Node(kid); len(n.Addrs) != 1 || n.Addrs[0] != "/ip4/192.0.2.1/tcp/2" {
		t.Fatalf("got %v", n.Addrs)
	}
	k, _, _ := trusttest.NewNode(t, "stranger")
	mustRefuse(t, b, sign(t, &protocol.Address{Team: x.ID, Node: k.Public().ID(), Seq: 1, Issued: 1, Expires: 2}, k), ErrMissing)
	if _, _, err := b.Add(sign(t, &protocol.Address{Team: ts[0].ID, Node: kid, Seq: 1, Issued: 1, Expires: 2}, x.Node), now); !errors.Is(err, ErrMissing) {
		t.Errorf("a node's address for another team: %v", err)
	}
}
