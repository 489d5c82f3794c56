package trust

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

var now = time.Date(2026, 10, 5, 9, 0, 0, 0, time.UTC)

// mustAdd adds records that have to be taken in, one after the other.
func mustAdd(t testing.TB, b *Book, es ...*protocol.Envelope) (drop []protocol.Hash) {
	t.Helper()
	for i, e := range es {
		added, d, err := b.Add(e, now)
		if err != nil || !added {
			t.Fatalf("record %d (%s): added %v, %v", i, e.Type, added, err)
		}
		drop = append(drop, d...)
	}
	return drop
}

// mustRefuse adds a record that has to be refused with the error, and checks that nothing changed.
func mustRefuse(t testing.TB, b *Book, e *protocol.Envelope, want error) {
	t.Helper()
	of, _ := TeamOf(e)
	before := b.Digest(of)
	added, drop, err := b.Add(e, now)
	if added || len(drop) != 0 || !errors.Is(err, want) {
		t.Fatalf("%s: added %v, drop %v, error %v; want %v", e.Type, added, drop, err, want)
	}
	if b.Digest(of) != before {
		t.Fatalf("%s: refused, and yet something changed", e.Type)
	}
}

// mustIgnore adds a record that has to be passed over without an error.
func mustIgnore(t testing.TB, b *Book, e *protocol.Envelope) {
	t.Helper()
	if added, _, err := b.Add(e, now); added || err != nil {
		t.Fatalf("%s: added %v, %v", e.Type, added, err)
	}
}

func wantState(t testing.TB, b *Book, id protocol.TeamID, at time.Time, want State) {
	t.Helper()
	got, ok := b.Team(id, at)
	if !ok || got.State != want {
		t.Fatalf("state %v (%s), known %v; want %v", got.State, got.Why, ok, want)
	}
	if troubled := want == Disputed || want == Stale || want == Blocked || want == Unknown; troubled == (got.Why == "") {
		t.Fatalf("state %v: why is %q", got.State, got.Why)
	}
}

func act(b *Book, kind ActKind, teams ...*trusttest.Team) {
	for _, x := range teams {
		b.Act(OwnAct{Team: x.ID, Kind: kind, At: now, By: "anna", Method: "phone"})
	}
}

// community makes a Book of the first team that knows the others and verified them.
func community(t testing.TB, names ...string) (*Book, []*trusttest.Team) {
	t.Helper()
	var teams []*trusttest.Team
	for _, n := range names {
		teams = append(teams, trusttest.NewTeam(t, n, "AT", now))
	}
	b := NewBook(teams[0].ID)
	for i, x := range teams {
		if i > 0 {
			act(b, ActVerified, x)
		}
		mustAdd(t, b, x.Records()...)
	}
	return b, teams
}

func TestStates(t *testing.T) {
	b, ts := community(t, "self", "a", "b", "c")
	x := trusttest.NewTeam(t, "x", "DE", now)
	mustAdd(t, b, x.Records()...)
	wantState(t, b, ts[0].ID, now, Verified)
	wantState(t, b, ts[1].ID, now, Verified)
	wantState(t, b, x.ID, now, Unknown)

	// One attestation is not enough, two are; my own does not count, nor does one of a team that I did not verify.
	y := trusttest.NewTeam(t, "y", "DE", now)
	mustAdd(t, b, y.Records()...)
	mustAdd(t, b, ts[1].Attest(x.ID), y.Attest(x.ID), ts[0].Attest(x.ID))
	wantState(t, b, x.ID, now, Unknown)
	mustAdd(t, b, ts[2].Attest(x.ID))
	wantState(t, b, x.ID, now, Introduced)
	if got, _ := b.Team(x.ID, now); len(got.Attestors) != 2 {
		t.Fatalf("attested by %d", len(got.Attestors))
	}
	wantState(t, b, x.ID, now.Add(366*24*time.Hour), Unknown) // the attestations expired

	// An attestation counts as long as its issuer does, and is not taken back.
	act(b, ActBlocked, ts[1])
	wantState(t, b, ts[1].ID, now, Blocked)
	wantState(t, b, x.ID, now, Unknown)
	b.Act(OwnAct{Team: ts[1].ID, Kind: ActUnblocked, At: now.Add(time.Second)})
	wantState(t, b, x.ID, now, Introduced)
	mustAdd(t, b, ts[2].Retract(x.ID))
	wantState(t, b, x.ID, now, Unknown)
	mustIgnore(t, b, ts[2].Attest(x.ID)) // of the same second: taking back counts
	wantState(t, b, x.ID, now, Unknown)

	act(b, ActAdded, x)
	wantState(t, b, x.ID, now, Introduced)
	act(b, ActVerified, x)
	wantState(t, b, x.ID, now, Verified)
	wantState(t, b, x.ID, now.Add(91*24*time.Hour), Stale)
	act(b, ActBlocked, x)
	wantState(t, b, x.ID, now.Add(91*24*time.Hour), Blocked)

	// Nobody vouches for y: an expired manifest does not raise it to stale, which permits more.
	wantState(t, b, y.ID, now.Add(91*24*time.Hour), Unknown)

	got := communityTeams(b)
	want := []protocol.TeamID{ts[1].ID, ts[2].ID, ts[3].ID}
	slices.SortFunc(want, func(a, b protocol.TeamID) int { return strings.Compare(a.String(), b.String()) })
	if !slices.Equal(got, want) {
		t.Errorf("community of %d, want %d", len(got), len(want))
	}
}

// The order in which acts are replayed does not matter, and of a block and an unblock at one time the block counts.
func TestActsCommute(t *testing.T) {
	x := trusttest.NewTeam(t, "x", "DE", now)
	acts := []OwnAct{
		{Team: x.ID, Kind: ActAdded, At: now.Add(1)}, {Team: x.ID, Kind: ActVerified, At: now.Add(2), Method: "pgp"},
		{Team: x.ID, Kind: ActVerified, At: now.Add(5), Method: "video"}, {Team: x.ID, Kind: ActBlocked, At: now.Add(3)},
		{Team: x.ID, Kind: ActUnblocked, At: now.Add(3)}, {Team: x.ID, Kind: 99, At: now}, {Kind: ActAdded, At: now},
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := NewBook(protocol.TeamID{})
		mustAdd(t, b, x.Records()...)
		for _, a := range rapid.Permutation(acts).Draw(rt, "acts") {
			b.Act(a)
		}
		got, _ := b.Team(x.ID, now)
		if got.State != Blocked || got.Method != "video" || !got.Added.Equal(now.Add(1)) || len(b.Teams(now)) != 1 {
			rt.Fatalf("got %+v", got)
		}
		b.Act(OwnAct{Team: x.ID, Kind: ActUnblocked, At: now.Add(4)})
		if got, _ := b.Team(x.ID, now); got.State != Verified {
			rt.Fatalf("got %v after the unblock", got.State)
		}
	})
}

func TestRecordsThatComeTooEarly(t *testing.T) {
	x, y := trusttest.NewTeam(t, "x", "DE", now), trusttest.NewTeam(t, "y", "DE", now)
	first := x.RootEnv
	m1, c1 := x.ManifestEnv, x.CardEnv
	second := x.NextRoot(nil)
	third := x.NextRoot(nil)
	m2 := x.NextManifest(nil)
	addr := x.Address("/ip4/192.0.2.1/tcp/4001")
	cut := x.Cutoff(x.Node.Public().ID(), id(1), 0, protocol.Hash{})
	att := y.Attest(x.ID)

	b := NewBook(protocol.TeamID{})
	for _, e := range []*protocol.Envelope{second, third, m1, m2, c1, addr, cut, att} {
		mustRefuse(t, b, e, ErrMissing)
	}
	mustAdd(t, b, first)
	for _, e := range []*protocol.Envelope{third, m2, addr, cut, att} {
		mustRefuse(t, b, e, ErrMissing)
	}
	mustAdd(t, b, m1, c1, addr, cut)
	mustRefuse(t, b, att, ErrMissing) // its issuer is not known
	mustAdd(t, b, second, third, m2)
	mustAdd(t, b, y.RootEnv, att)
	for _, e := range []*protocol.Envelope{first, second, third, m2, c1, addr, cut, att} {
		mustIgnore(t, b, e)
	}

	// AddAll finds the order by itself.
	all := []*protocol.Envelope{att, cut, addr, m2, c1, third, second, first, y.RootEnv}
	rand.New(rand.NewPCG(7, 7)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	b2 := NewBook(protocol.TeamID{})
	for i, r := range b2.AddAll(all, now) {
		if r.Err != nil || !r.Added {
			t.Errorf("%s: added %v, %v", all[i].Type, r.Added, r.Err)
		}
	}
	if b.Digest(x.ID) != b2.Digest(x.ID) {
		t.Error("the two books differ")
	}
}

// I-7, I-19 for a whole team: whatever the order, repetition and loss with later repair, the book ends up the same. A
// manifest that is already superseded may be asked for by nobody any more, so the newest ones are enough.
func TestBookIsAFunctionOfTheSet(t *testing.T) {
	ts := []*trusttest.Team{trusttest.NewTeam(t, "x", "DE", now), trusttest.NewTeam(t, "y", "AT", now), trusttest.NewTeam(t, "z", "PL", now)}
	x := ts[0]
	var es []*protocol.Envelope
	for _, o := range ts {
		es = append(es, o.Records()...)
	}
	stolen := x.Node.Public().ID()
	k, peer, n2 := trusttest.NewNode(t, "node2")
	es = append(es, x.Address("/ip4/192.0.2.1/tcp/1"))
	x.Now = now.Add(time.Minute)
	es = append(es, x.Address("/ip4/192.0.2.1/tcp/2"), x.NextCard(nil), x.NextManifest(func(m *protocol.Manifest) { m.Nodes = append(m.Nodes, n2) }))
	es = append(es, x.NextRoot(nil), x.RevokeNode(stolen, "stolen"))
	x.Node, x.Peer = k, peer
	es = append(es, x.Cutoff(stolen, id(1), 9, id(9)), x.Cutoff(stolen, id(1), 7, id(7), 3), x.Cutoff(stolen, id(1), 8, id(8), 2), x.Cutoff(stolen, id(2), 7, id(7)))
	es = append(es, x.Address(), ts[1].Attest(x.ID), ts[2].Attest(x.ID), ts[1].Retract(x.ID), x.NextCard(nil))

	view := func(b *Book) string {
		v, _ := b.Team(x.ID, now)
		v.Card, v.Root, v.Manifest = nil, nil, nil
		return fmt.Sprintf("%+v %+v", v, b.Nodes(x.ID))
	}
	newBook := func() *Book {
		b := NewBook(protocol.TeamID{})
		act(b, ActVerified, ts...)
		return b
	}
	want := newBook()
	want.AddAll(es, now)
	if n, _ := want.NodeOf(x.ID, stolen); n.Cutoff[id(1)].LastSeq != 7 || !slices.Equal(n.Cutoff[id(1)].Void, []uint64{2, 3}) {
		t.Fatalf("merged cut-off: %+v", n.Cutoff[id(1)])
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook()
		todo := rapid.Permutation(es).Draw(rt, "order")
		for len(todo) > 0 {
			var later []*protocol.Envelope
			for _, e := range todo {
				if _, _, err := b.Add(e, now); errors.Is(err, ErrMissing) {
					later = append(later, e)
				} else if err != nil && !errors.Is(err, ErrOverruled) {
					rt.Fatalf("%s: %v", e.Type, err)
				}
			}
			if len(later) == len(todo) {
				rt.Fatalf("%d records stay missing", len(later))
			}
			todo = later
		}
		if b.Digest(x.ID) != want.Digest(x.ID) || view(b) != view(want) {
			rt.Fatalf("got  %s\nwant %s", view(b), view(want))
		}
	})
}

// What the store kept comes back as it was, in any order, also after a change of officers.
func TestLoad(t *testing.T) {
	b, ts := community(t, "self", "a", "b", "c")
	kept := map[protocol.Hash]*protocol.Envelope{}
	for _, x := range ts {
		for _, e := range x.Records() {
			kept[e.ID()] = e
		}
	}
	add := func(e *protocol.Envelope) {
		for _, id := range mustAdd(t, b, e) {
			delete(kept, id)
		}
		kept[e.ID()] = e
	}
	a := ts[1]
	add(ts[2].Attest(a.ID))
	add(a.Attest(ts[2].ID))
	add(a.Address("/ip4/192.0.2.1/tcp/4001"))
	add(a.RevokeNode(a.Node.Public().ID(), "stolen")) // the address goes
	add(a.Cutoff(a.Node.Public().ID(), id(1), 4, id(4)))
	// New officers: card and manifest of the old ones stay readable until there are new ones.
	add(a.Recover(protocol.Hash{}, func(r *protocol.Root) { r.Floor = nil }))
	wantState(t, b, a.ID, now, Stale)

	var es []*protocol.Envelope
	for _, e := range kept {
		es = append(es, e) // in the random order of maps
	}
	again := NewBook(ts[0].ID)
	act(again, ActVerified, ts[1:]...)
	drop, errs := again.Load(es, now)
	if len(drop) != 0 || len(errs) != 0 {
		t.Fatalf("drop %v, errors %v", drop, errs)
	}
	for _, x := range ts {
		if b.Digest(x.ID) != again.Digest(x.ID) {
			t.Errorf("team %s differs", x.Name)
		}
		v, _ := b.Team(x.ID, now)
		w, _ := again.Team(x.ID, now)
		if v.State != w.State || v.Why != w.Why || v.Name != w.Name || v.ManifestID != w.ManifestID {
			t.Errorf("got %+v\nwant %+v", w, v)
		}
		if ids := b.RecordIDs(x.ID); len(ids) == 0 || slices.ContainsFunc(ids, func(h protocol.Hash) bool { return kept[h] == nil }) {
			t.Errorf("team %s: what the book keeps is not what the store was told to keep", x.Name)
		}
	}
	if n, ok := again.NodeOf(a.ID, a.Node.Public().ID()); !ok || !n.Revoked || n.Cutoff[id(1)].LastSeq != 4 {
		t.Errorf("the revoked node came back as %+v, %v", n, ok)
	}
	// From elsewhere, what former officers signed is refused.
	fresh := NewBook(ts[0].ID)
	mustAdd(t, fresh, a.RootLog()...)
	mustRefuse(t, fresh, a.CardEnv, ErrOverruled)
}

func TestFind(t *testing.T) {
	b, ts := community(t, "CERT.at", "CERT-Bund", "CSIRT  PL")
	imposter := trusttest.NewTeam(t, "cert-bund", "DE", now)
	mustAdd(t, b, imposter.Records()...)
	for q, want := range map[string]*trusttest.Team{
		"cert.at": ts[0], "CERT-BUND": ts[1], " csirt pl ": ts[2], ts[1].ID.String(): ts[1], ts[2].ID.Short(): ts[2],
		imposter.ID.Short(): imposter, strings.ToUpper(ts[1].ID.String()[:16]): ts[1],
	} {
		if got, err := b.Find(q, now); err != nil || got.ID != want.ID {
			t.Errorf("%q: got %s, %v", q, got.Name, err)
		}
	}
	for _, q := range []string{"", "nobody", ts[1].ID.String()[:3], id(5).String()} {
		if got, err := b.Find(q, now); !errors.Is(err, ErrNoTeam) {
			t.Errorf("%q: got %s, %v", q, got.Name, err)
		}
	}
	act(b, ActAdded, imposter)
	var amb *AmbiguousError
	if _, err := b.Find("cert-bund", now); !errors.As(err, &amb) || len(amb.Candidates) != 2 || !strings.Contains(err.Error(), ts[1].ID.Short()) {
		t.Errorf("got %v", err)
	}
	names := []string{}
	for _, x := range b.Teams(now) {
		names = append(names, x.Name)
	}
	if !slices.IsSortedFunc(names, func(a, b string) int { return strings.Compare(foldName(a), foldName(b)) }) || len(names) != 4 {
		t.Errorf("teams: %q", names)
	}
}

func TestNodes(t *testing.T) {
	b, ts := community(t, "self", "a")
	a := ts[1]
	kid := a.Node.Public().ID()
	mustAdd(t, b, a.Address("/ip4/192.0.2.1/tcp/4001"))
	n, ok := b.Node(kid)
	if !ok || n.Team != a.ID || n.Revoked || len(n.Addrs) != 1 || !n.AddrExpires.Equal(now.Add(30*24*time.Hour)) {
		t.Fatalf("got %+v, %v", n, ok)
	}
	if p, ok := b.NodeByPeer(a.Manifest.Nodes[0].Peer); !ok || p.Node.Key.ID() != kid {
		t.Fatal("not found by its transport identity")
	}

	// A revoked node is known by its key, not by its connection, and has no address any more.
	mustAdd(t, b, a.RevokeNode(kid, "stolen"))
	if n, ok := b.Node(kid); !ok || !n.Revoked || n.Why != "stolen" || n.Addrs != nil || !n.RevokedAt.Equal(now) {
		t.Fatalf("got %+v, %v", n, ok)
	}
	if _, ok := b.NodeByPeer(n.Node.Peer); ok {
		t.Fatal("a revoked node was found by its transport identity")
	}
	mustRefuse(t, b, a.Address(), ErrOverruled)
	if got := b.Nodes(a.ID); len(got) != 1 || !got[0].Revoked {
		t.Fatalf("nodes: %+v", got)
	}
	for _, missing := range []bool{
		func() bool { _, ok := b.Node(protocol.KID{1}); return ok }(),
		func() bool { _, ok := b.NodeOf(id(1), kid); return ok }(),
		func() bool { _, ok := b.NodeOf(ts[0].ID, kid); return ok }(),
		b.Nodes(id(1)) != nil, b.RecordIDs(id(1)) != nil,
		func() bool { _, ok := b.Team(id(1), now); return ok }(),
	} {
		if missing {
			t.Error("something was found that is not there")
		}
	}
}

// A team that lists the key and connection of another's node gains nothing by it: the node's own word decides, and whoever
// knows the team asks NodeOf.
func TestANodeThatTwoTeamsClaim(t *testing.T) {
	b, ts := community(t, "self", "owner", "thief")
	owner, thief := ts[1], ts[2]
	mustAdd(t, b, owner.Address("/ip4/192.0.2.1/tcp/4001"))
	node := owner.Manifest.Nodes[0]
	mustAdd(t, b, thief.NextManifest(func(m *protocol.Manifest) { m.Nodes = append(m.Nodes, node) }))
	kid := node.Key.ID()
	if n, ok := b.Node(kid); !ok || n.Team != owner.ID {
		t.Errorf("got %+v, %v", n, ok)
	}
	if n, ok := b.NodeOf(owner.ID, kid); !ok || n.Team != owner.ID {
		t.Errorf("got %+v, %v", n, ok)
	}
	if got := b.NodesByPeer(node.Peer); len(got) != 2 {
		t.Errorf("%d nodes by the connection, want both", len(got))
	}
	// By the connection, the team counts that a person here trusts most: both verified, so the lower id; then only one of them.
	lower := owner.ID
	if thief.ID.String() < lower.String() {
		lower = thief.ID
	}
	if n, ok := b.NodeByPeer(node.Peer); !ok || n.Team != lower {
		t.Errorf("got %s", n.Team.Short())
	}
	act(b, ActBlocked, thief)
	if n, ok := b.NodeByPeer(node.Peer); !ok || n.Team != owner.ID {
		t.Errorf("got %s", n.Team.Short())
	}
	// Without the node's word there is doubt, and in doubt no answer.
	mustAdd(t, b, owner.RevokeNode(kid, "moved"))
	if n, ok := b.Node(kid); ok {
		t.Errorf("got %+v", n)
	}
}

// My own node before one of a verified team, that before one of a team that was only added, that before a stranger's.
func TestNodeByPeerPrefersWhomPeopleTrust(t *testing.T) {
	b, ts := community(t, "self", "verified")
	added, stranger := trusttest.NewTeam(t, "added", "DE", now), trusttest.NewTeam(t, "stranger", "DE", now)
	act(b, ActAdded, added)
	mustAdd(t, b, added.Records()...)
	mustAdd(t, b, stranger.Records()...)
	var peer []byte
	for _, x := range []*trusttest.Team{stranger, added, ts[1], ts[0]} {
		if peer == nil {
			peer = x.Manifest.Nodes[0].Peer
		} else {
			_, _, n := trusttest.NewNode(t, "node2")
			n.Peer = peer
			mustAdd(t, b, x.NextManifest(func(m *protocol.Manifest) { m.Nodes = append(m.Nodes, n) }))
		}
		if n, ok := b.NodeByPeer(peer); !ok || n.Team != x.ID {
			t.Errorf("got %s, want %s", n.Team.Short(), x.Name)
		}
	}
	if got := b.NodesByPeer(peer); len(got) != 4 {
		t.Errorf("%d nodes", len(got))
	}
}

func TestShareableAndExpendable(t *testing.T) {
	b, ts := community(t, "self", "a")
	x, y := trusttest.NewTeam(t, "x", "DE", now), trusttest.NewTeam(t, "y", "DE", now)
	mustAdd(t, b, x.Records()...)
	mustAdd(t, b, y.Records()...)
	mustAdd(t, b, ts[1].Attest(y.ID))
	for _, c := range []struct {
		id         protocol.TeamID
		share, use bool
	}{{ts[0].ID, true, true}, {ts[1].ID, true, true}, {x.ID, false, false}, {y.ID, true, true}, {id(1), false, true}} {
		if got := b.Shareable(c.id, now); got != c.share {
			t.Errorf("%s: shareable %v", c.id.Short(), got)
		}
		if got := slices.Contains(b.Expendable(now), c.id); got == c.use {
			t.Errorf("%s: expendable %v", c.id.Short(), got)
		}
	}
	act(b, ActBlocked, ts[1])
	if b.Shareable(ts[1].ID, now) || b.Shareable(y.ID, now) {
		t.Error("a blocked team is passed on, or its word is")
	}
	if b.Forget(ts[1].ID) != nil || b.Forget(ts[0].ID) != nil || b.Forget(id(1)) != nil {
		t.Error("a team that a person decided about was forgotten")
	}
	want := b.RecordIDs(x.ID)
	if got := b.Forget(x.ID); !slices.Equal(got, want) || len(got) != 3 {
		t.Errorf("forgot %d records, want %d", len(got), len(want))
	}
	if _, ok := b.Node(x.Node.Public().ID()); ok {
		t.Error("a node of the forgotten team is still known")
	}
	mustAdd(t, b, x.Records()...)
}

func TestLimits(t *testing.T) {
	t.Run("teams", func(t *testing.T) {
		b := NewBook(id(0))
		for i := 1; i < MaxTeams; i++ {
			b.Act(OwnAct{Team: id(i), Kind: ActAdded, At: now})
		}
		x := trusttest.NewTeam(t, "x", "DE", now)
		mustRefuse(t, b, x.RootEnv, ErrFull)
		act(b, ActAdded, x)
		mustAdd(t, b, x.Records()...)
	})
	t.Run("attestations", func(t *testing.T) {
		b, ts := community(t, "self", "x", "a", "b")
		x := ts[1]
		dropped := 0
		for i := range MaxAttests + 3 {
			o := trusttest.NewTeam(t, fmt.Sprint("o", i), "DE", now)
			mustAdd(t, b, o.RootEnv)
			_, drop, err := b.Add(o.Attest(x.ID), now)
			if err != nil {
				t.Fatal(err)
			}
			dropped += len(drop)
		}
		mustAdd(t, b, ts[2].Attest(x.ID), ts[3].Attest(x.ID))
		if n := len(b.teams[x.ID].attests); n != MaxAttests || dropped != 3 {
			t.Errorf("%d kept, %d dropped", n, dropped)
		}
		if got, _ := b.Team(x.ID, now); len(got.Attestors) != 2 {
			t.Errorf("the word of teams that I verified was dropped: %d", len(got.Attestors))
		}
	})
	t.Run("cut-offs", func(t *testing.T) {
		b, ts := community(t, "self", "x")
		kid := ts[1].Node.Public().ID()
		for i := range MaxCutoffs {
			b.teams[ts[1].ID].cutoffs = append(b.teams[ts[1].ID].cutoffs, &cutoff{signed{id: id(i)}, &protocol.Cutoff{Node: kid, Feed: id(i + 1)}})
		}
		mustRefuse(t, b, ts[1].Cutoff(kid, id(0), 4, id(4)), ErrFull)
		mustAdd(t, b, ts[1].Cutoff(kid, id(1), 0, protocol.Hash{})) // takes the place of one
	})
}

// communityTeams returns the teams that are introduced or verified, without my own, ascending.
func communityTeams(b *Book) (ids []protocol.TeamID) {
	for _, t := range b.Teams(now) {
		if t.ID != b.self && (t.State == Introduced || t.State == Verified) {
			ids = append(ids, t.ID)
		}
	}
	slices.SortFunc(ids, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}
