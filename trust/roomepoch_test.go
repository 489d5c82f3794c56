package trust

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust/trusttest"
)

// makeEpoch lets the node of a team make an epoch, and tells everybody.
func (c *circle) makeEpoch(me *trusttest.Team) *protocol.Envelope {
	c.t.Helper()
	e, dec := c.ledgers[me].DraftEpoch(c.room, me.Node.Public().ID(), "age1pq1example"+me.Name, c.now)
	allowed(c.t, dec)
	env, err := protocol.Sign(e, me.Node)
	if err != nil {
		c.t.Fatal(err)
	}
	c.tell(env)
	return env
}

// said returns a statement of the team in the room, under the epoch.
func (c *circle) said(me *trusttest.Team, charter, epoch protocol.Hash, l tlp.Label) *protocol.Statement {
	return &protocol.Statement{Author: me.ID, Node: me.Node.Public().ID(), Label: l,
		Audience: protocol.Audience{Kind: protocol.InRoom, Room: c.room, Charter: charter, Epoch: epoch}}
}

// The keys of a room over its life: made once, used by all, useless the moment somebody is held or removed, and made anew.
func TestRoomEpochs(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	a, b, d := c.teams[0], c.teams[1], c.teams[3]
	c.found(4, nil)
	c.signAll(c.teams[1:]...)
	la := c.ledgers[a]
	if _, ok := la.UsableEpoch(c.room, c.now, nil); ok || la.NeedsRekey(c.room, c.now) == "" {
		t.Fatal("a room without a key has one")
	}
	if o := la.EpochOrder(c.room, c.now); len(o) != 4 || !slices.Equal(o, c.ledgers[b].EpochOrder(c.room, c.now)) {
		t.Errorf("order %v", o)
	}
	first := c.makeEpoch(a).ID()
	u, ok := la.UsableEpoch(c.room, c.now, nil)
	if !ok || u.ID != first || len(u.Nodes) != 4 || la.NeedsRekey(c.room, c.now) != "" {
		t.Fatalf("%v %+v", ok, u)
	}
	if _, ok := la.UsableEpoch(c.room, c.now, func(protocol.Hash) bool { return false }); ok {
		t.Error("an epoch is used whose identity this node does not hold")
	}

	// Two nodes make one each: all choose the same.
	second := c.makeEpoch(b).ID()
	x, _ := la.UsableEpoch(c.room, c.now, nil)
	for _, me := range c.teams {
		if y, _ := c.ledgers[me].UsableEpoch(c.room, c.now, nil); y.ID != x.ID {
			t.Errorf("%s uses another epoch", me.Name)
		}
	}

	// D is held: at once both are of no use, and the next one leaves D out.
	feed := protocol.FeedOf(d.Node.Public().ID(), protocol.RoomChannel(c.room))
	word := c.said(d, c.room, first, tlp.Amber)
	allowed(t, la.AcceptMessage(word, feed, 1, c.now))
	h, dec := la.DraftHold(c.room, d.ID, "", c.now)
	allowed(t, dec)
	c.tell(a.Sign(h))
	if _, ok := la.UsableEpoch(c.room, c.now, nil); ok || la.NeedsRekey(c.room, c.now) == "" {
		t.Fatal("an epoch that a held member can open is used")
	}
	refusedBy(t, la.AcceptMessage(word, feed, 1, c.now), "author-held")
	refusedBy(t, la.MayGrant(c.room, first, d.Node.Public().ID(), c.now), "grant-node")
	third := c.makeEpoch(b).ID()
	if u, _ := la.UsableEpoch(c.room, c.now, nil); u.ID != third || len(u.Nodes) != 3 {
		t.Fatalf("%+v", u)
	}
	refusedBy(t, la.AcceptMessage(c.said(d, c.room, third, tlp.Amber), feed, 2, c.now), "epoch-author")
	refusedBy(t, la.AcceptMessage(c.said(d, protocol.Sum("test", nil), first, tlp.Amber), feed, 2, c.now), "epoch-unknown")
	refusedBy(t, la.AcceptMessage(c.said(b, c.room, protocol.Sum("test", nil), tlp.Amber), feed, 2, c.now), "epoch-unknown")
	refusedBy(t, la.AcceptMessage(c.said(b, c.room, third, tlp.Red), feed, 2, c.now), "room-ceiling")

	// D is removed, with a word on how far what it said stands.
	cut := protocol.Head{Feed: feed, First: 1, Seq: 5, Hash: protocol.Sum("test", nil)}
	card, dec := la.DraftCard(c.room, d.ID, protocol.MemberRemoved, "", []protocol.Head{cut}, c.now)
	allowed(t, dec)
	c.tell(a.Sign(card))
	c.signAll(b, c.teams[2])
	c.now = c.now.Add(29 * 24 * time.Hour) // the hold is over
	allowed(t, la.AcceptMessage(word, feed, 5, c.now))
	refusedBy(t, la.AcceptMessage(word, feed, 6, c.now), "author-out")
	if u, _ := la.UsableEpoch(c.room, c.now, nil); u.ID != third {
		t.Errorf("%+v", u)
	}
	c.now = c.now.Add(25 * time.Hour)
	if _, ok := la.UsableEpoch(c.room, c.now, nil); ok {
		t.Error("an epoch is used that is over")
	}
	later := c.now.Add(EpochGrace + time.Hour)
	if !la.EpochOver(c.room, first, later) || !la.EpochOver(c.room, second, later) || la.EpochOver(c.room, first, c.now) {
		t.Error("the identity of an epoch is destroyed too early, or never")
	}

	// What it said stays within the cut under the next charter, which knows D no more.
	c.makeEpoch(a)
	u, _ = la.UsableEpoch(c.room, c.now, nil)
	next, dec := la.DraftCharter(c.room, c.now, nil)
	allowed(t, dec)
	c.tell(a.Sign(next))
	c.signAll(a, b, c.teams[2])
	if i := c.info(a); i.Version != 2 || i.Standing(d.ID) != StandingNone {
		t.Fatalf("%+v", i)
	}
	if _, ok := la.UsableEpoch(c.room, c.now, nil); ok {
		t.Error("an epoch of the former charter is used")
	}
	allowed(t, la.AcceptMessage(c.said(b, u.Charter, u.ID, tlp.Amber), feed, 1, c.now))
}

// What a member that joins later may read of the time before, by charter; and nobody else.
func TestRoomHistory(t *testing.T) {
	for _, x := range []struct {
		history protocol.History
		from    int // days after the founding
		want    bool
	}{{protocol.HistoryJoining, 0, false}, {protocol.HistoryAll, 0, true}, {protocol.HistoryDate, -1, true}, {protocol.HistoryDate, 2, false}} {
		c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
		a, e := c.teams[0], c.teams[4]
		c.found(4, func(n *protocol.Charter) {
			if n.History = x.history; x.history == protocol.HistoryDate {
				n.HistoryFrom = uint64(now.Add(time.Duration(x.from) * 24 * time.Hour).Unix())
			}
		})
		c.signAll(c.teams[1:4]...)
		before := c.makeEpoch(a).ID()
		c.now = c.now.Add(3 * 24 * time.Hour)
		node := e.Node.Public().ID()
		refusedBy(t, c.ledgers[a].MayGrant(c.room, before, node, c.now), "grant-node")
		for _, m := range c.teams[:2] {
			v, _ := c.ledgers[m].DraftVouch(c.room, e.ID, "", c.now)
			c.tell(m.Sign(v))
		}
		c.signAll(e)
		c.signAll(c.teams[:4]...)
		c.want(e, StandingMember)
		if u, ok := c.ledgers[a].UsableEpoch(c.room, c.now, nil); ok || c.ledgers[a].NeedsRekey(c.room, c.now) == "" {
			t.Errorf("nobody misses the key: %+v", u)
		}
		after := c.makeEpoch(a).ID()
		allowed(t, c.ledgers[a].MayGrant(c.room, after, node, c.now))
		if got := c.ledgers[a].MayGrant(c.room, before, node, c.now); got.Allowed != x.want {
			t.Errorf("history %v from day %d: %+v", x.history, x.from, got)
		}
		if x.want {
			continue
		}
		refusedBy(t, c.ledgers[a].MayGrant(c.room, before, node, c.now), "grant-history")
	}
}

// join lets the first two teams vouch for another, and all of the stewards let it in.
func (c *circle) join(e *trusttest.Team, stewards ...*trusttest.Team) {
	c.t.Helper()
	for _, m := range c.teams[:2] {
		v, dec := c.ledgers[m].DraftVouch(c.room, e.ID, "", c.now)
		allowed(c.t, dec)
		c.tell(m.Sign(v))
	}
	c.signAll(e)
	c.signAll(stewards...)
	c.want(e, StandingMember)
}

// remove removes a team, which all of the listed learn of.
func (c *circle) remove(e *trusttest.Team, stewards ...*trusttest.Team) *protocol.Envelope {
	c.t.Helper()
	card, dec := c.ledgers[stewards[0]].DraftCard(c.room, e.ID, protocol.MemberRemoved, "", nil, c.now)
	allowed(c.t, dec)
	env := stewards[0].Sign(card)
	for _, s := range stewards[1:] {
		env = s.Countersign(env)
	}
	return env
}

// E joins a room that opens all that was said before, is given its first key, and is removed. That key is for nobody who is out,
// and must not be used again all the same: E has it.
func TestStoryOfTheKeyFromBefore(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, e := c.teams[0], c.teams[4]
	c.found(4, func(n *protocol.Charter) { n.History = protocol.HistoryAll })
	c.signAll(c.teams[1:4]...)
	before := c.makeEpoch(a).ID()
	c.now = c.now.Add(time.Hour)
	c.join(e, c.teams[:4]...)
	allowed(t, c.ledgers[c.teams[1]].MayGrant(c.room, before, e.Node.Public().ID(), c.now))
	c.now = c.now.Add(time.Hour)
	c.tell(c.remove(e, c.teams[:3]...))
	c.want(e, StandingRemoved)
	if u, ok := c.ledgers[a].UsableEpoch(c.room, c.now, nil); ok {
		t.Errorf("used: %v", u.ID == before)
	}
	c.makeEpoch(a)
	if u, ok := c.ledgers[a].UsableEpoch(c.room, c.now, nil); !ok || u.ID == before {
		t.Errorf("%v %+v", ok, u)
	}
}

// The same with a founder who accepts late: it has no card.
func TestStoryOfTheLateFounder(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, e := c.teams[0], c.teams[4]
	c.found(4, func(n *protocol.Charter) {
		root, _ := c.ledgers[a].rootOf(e.ID)
		n.Members = append(n.Members, protocol.Seat{Team: e.ID, Root: root, Status: protocol.MemberFull, Until: n.Issued + 86400*30, Joined: n.Issued})
		slices.SortFunc(n.Members, func(x, y protocol.Seat) int { return slices.Compare(x.Team[:], y.Team[:]) })
	})
	c.signAll(c.teams[1:4]...)
	before := c.makeEpoch(a).ID()
	c.now = c.now.Add(time.Hour)
	c.signAll(e)
	c.want(e, StandingMember)
	allowed(t, c.ledgers[a].MayGrant(c.room, before, e.Node.Public().ID(), c.now))
	h, dec := c.ledgers[a].DraftHold(c.room, e.ID, "", c.now)
	allowed(t, dec)
	c.tell(a.Sign(h))
	if _, ok := c.ledgers[a].UsableEpoch(c.room, c.now, nil); ok {
		t.Error("a key is used that a held member has")
	}
	after := c.makeEpoch(a).ID()
	if u, _ := c.ledgers[a].UsableEpoch(c.room, c.now, nil); u.ID != after {
		t.Errorf("%+v", u)
	}
	c.now = c.now.Add(15 * 24 * time.Hour)
	c.want(e, StandingMember)
	refusedBy(t, c.ledgers[a].MayGrant(c.room, after, e.Node.Public().ID(), c.now), "grant-excluded")
}

// D is removed. F has not heard of it, but has the key that was made without D, and D asks F for it. For all that F knows, D is
// a member.
func TestStoryOfTheMemberWhoHasNotHeard(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E", "CERT-F")
	a, d, f := c.teams[0], c.teams[3], c.teams[5]
	c.found(5, func(n *protocol.Charter) { n.History = protocol.HistoryAll })
	c.signAll(c.teams[1:5]...)
	c.join(f, c.teams[:5]...)
	c.now = c.now.Add(time.Hour)
	card := c.remove(d, a, c.teams[1], c.teams[2], c.teams[4])
	if r := c.ledgers[a].AddRoomRecord(card, c.now); r.Err != nil {
		t.Fatal(r.Err)
	}
	without := c.makeEpoch(a).ID()
	if u, ok := c.ledgers[a].UsableEpoch(c.room, c.now, nil); !ok || u.ID != without {
		t.Fatalf("%v %+v", ok, u)
	}
	if i := c.info(f); i.Standing(d.ID) != StandingMember {
		t.Fatalf("%v", i.Standing(d.ID))
	}
	refusedBy(t, c.ledgers[f].MayGrant(c.room, without, d.Node.Public().ID(), c.now), "grant-excluded")
	if _, ok := c.ledgers[f].UsableEpoch(c.room, c.now, nil); ok {
		t.Error("F uses a key that leaves out who is a member for all it knows")
	}
}

// A node is replaced: its successor is given what it could open. The one that was stolen is given nothing new, nor is a node that
// whoever made the key may have left out on purpose.
func TestStoryOfTheReplacedNode(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	a, b := c.teams[0], c.teams[1]
	c.found(4, nil)
	c.signAll(c.teams[1:]...)
	la, old := c.ledgers[a], b.Node.Public().ID()
	first := c.makeEpoch(a).ID()
	next, _, node := trusttest.NewNode(t, "new")
	mustAdd(t, la.book, b.NextManifest(func(m *protocol.Manifest) { m.Nodes = append(m.Nodes, node) }))
	refusedBy(t, la.MayGrant(c.room, first, next.Public().ID(), c.now), "grant-excluded")
	if _, ok := la.UsableEpoch(c.room, c.now, nil); ok {
		t.Error("a key is used that a node does not have")
	}
	mustAdd(t, la.book, b.RevokeNode(old, "stolen"))
	allowed(t, la.MayGrant(c.room, first, next.Public().ID(), c.now))
	refusedBy(t, la.MayGrant(c.room, first, old, c.now), "grant-node")
	second := c.makeEpoch(a).ID()
	if u, ok := la.UsableEpoch(c.room, c.now, nil); !ok || u.ID != second {
		t.Errorf("%v %+v", ok, u)
	}
	refusedBy(t, la.MayGrant(c.room, second, old, c.now), "grant-node")

	// Of two nodes one is replaced: its successor is given what both had.
	_, _, more := trusttest.NewNode(t, "more")
	mustAdd(t, la.book, b.NextManifest(func(m *protocol.Manifest) { m.Nodes = append(m.Nodes, more) }))
	both := c.makeEpoch(a).ID()
	third, _, after := trusttest.NewNode(t, "third")
	mustAdd(t, la.book, b.NextManifest(func(m *protocol.Manifest) { m.Nodes = append(m.Nodes, after) }))
	mustAdd(t, la.book, b.RevokeNode(next.Public().ID(), "worn out"))
	for range 20 { // whatever the order of its nodes
		allowed(t, la.MayGrant(c.room, both, third.Public().ID(), c.now))
	}
}

// Who is out is asked to accept again when somebody vouches for it again, and accepts once.
func TestStoryOfTheSecondAcceptance(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	e := c.teams[4]
	c.found(4, nil)
	c.signAll(c.teams[1:4]...)
	c.join(e, c.teams[:4]...)
	c.now = c.now.Add(time.Hour)
	l, dec := c.ledgers[e].DraftLeave(c.room, "", nil, c.now)
	allowed(t, dec)
	c.tell(e.Sign(l))
	c.now = c.now.Add(time.Hour)
	if ds := c.ledgers[e].Drafts(c.room, c.now); len(ds) != 0 {
		t.Errorf("%+v", ds)
	}
	v, dec := c.ledgers[c.teams[2]].DraftVouch(c.room, e.ID, "", c.now)
	allowed(t, dec)
	c.tell(c.teams[2].Sign(v))
	if ds := c.ledgers[e].Drafts(c.room, c.now); len(ds) != 1 || ds[0].Kind != "accept" {
		t.Errorf("%+v", ds)
	}
	c.signAll(e)
	_, dec = c.ledgers[e].DraftAccept(c.room, c.now)
	refusedBy(t, dec, "already-signed")
}

// Whoever stole the root keys of a member names an officer of its own, who vouches for a friend. Our team does not vote on that word
// for 14 days, unless our people verify the member anew; others, who know that officer for longer, do.
func TestStoryOfTheNewOfficer(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, b, e := c.teams[0], c.teams[1], c.teams[4]
	c.found(4, nil)
	c.signAll(c.teams[1:4]...)
	la := c.ledgers[a]
	c.now = c.now.Add(time.Hour)
	b.Officer = trusttest.Key(t, protocol.Hybrid)
	root := b.NextRoot(func(r *protocol.Root) {
		r.Officers = append(slices.Clone(b.RootRec.Officers), protocol.Officer{Key: b.Officer.Public(), Name: "new"})
	})
	for _, m := range c.teams {
		if _, _, err := c.ledgers[m].book.Add(root, c.now); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range c.teams[1:3] {
		v, dec := c.ledgers[m].DraftVouch(c.room, e.ID, "", c.now)
		allowed(t, dec)
		c.tell(m.Sign(v))
	}
	c.signAll(e)
	at := c.now.Add(time.Hour)
	_, dec := la.DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, at)
	refusedBy(t, dec, "officer-new")
	if ds := la.Drafts(c.room, at); len(ds) != 0 {
		t.Errorf("%+v", ds)
	}
	if i := la.at(c.room, at).info(); len(i.Proposals) != 1 || i.Proposals[0].Why != roomReasons["officer-new"] {
		t.Errorf("%+v", i.Proposals)
	}
	k, dec := c.ledgers[b].DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, at) // its own officers are not new to it
	allowed(t, dec)
	card := b.Sign(k)
	c.tell(card)
	refusedBy(t, la.MayVoteCard(c.room, card.ID(), at), "officer-new")
	allowed(t, la.MayVoteCard(c.room, card.ID(), c.now.Add(OfficerWait)))
	sponsor, dec := la.DraftVouch(c.room, e.ID, "", at) // a third word, of an officer who is not new
	allowed(t, dec)
	c.tell(a.Sign(sponsor))
	k, dec = la.DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, at.Add(time.Second))
	allowed(t, dec)
	if slices.ContainsFunc(k.Vouches, func(id protocol.Hash) bool { return la.rooms[c.room].records[id].team == b.ID }) {
		t.Error("a card names the word of the new officer, though there are others")
	}
	la.book.Act(OwnAct{Team: b.ID, Kind: ActVerified, At: at})
	allowed(t, la.MayVoteCard(c.room, card.ID(), at))
}

// When the key of a room ends soon, one more is made, by whoever comes to it; not another and another.
func TestRekeyIsOnce(t *testing.T) {
	for _, days := range []uint64{1, 9} {
		c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
		la := c.ledgers[c.teams[0]]
		c.found(4, func(n *protocol.Charter) { n.EpochDays = days })
		c.signAll(c.teams[1:]...)
		for _, maker := range c.teams {
			first := c.makeEpoch(maker).ID()
			if why := la.NeedsRekey(c.room, c.now); why != "" {
				t.Fatalf("%d days: a new key is needed at once: %s", days, why)
			}
			c.now = c.now.Add(time.Duration(days)*24*time.Hour - time.Hour)
			if u, ok := la.UsableEpoch(c.room, c.now, nil); !ok || u.ID != first || la.NeedsRekey(c.room, c.now) == "" {
				t.Fatalf("%d days: in its last hour, %v %+v", days, ok, u)
			}
		}
	}
}

// A node that comes back after weeks says nothing until it has heard from others: it might not know who is out.
func TestRoomFreshness(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	c.found(4, nil)
	c.signAll(c.teams[1:]...)
	la := c.ledgers[c.teams[0]]
	synced := map[protocol.TeamID]time.Time{}
	refusedBy(t, la.MaySpeak(c.room, tlp.Amber, synced, c.now), "not-fresh")
	synced[c.teams[0].ID], synced[protocol.Sum("test", nil)], synced[c.teams[1].ID] = c.now, c.now, c.now
	refusedBy(t, la.MaySpeak(c.room, tlp.Amber, synced, c.now), "not-fresh")
	synced[c.teams[2].ID] = c.now
	allowed(t, la.MaySpeak(c.room, tlp.Amber, synced, c.now))
	refusedBy(t, la.MaySpeak(c.room, tlp.Red, synced, c.now), "room-ceiling")
	refusedBy(t, la.MaySpeak(c.room, tlp.Amber, synced, c.now.Add(8*24*time.Hour)), "not-fresh")
	refusedBy(t, la.MaySpeak(protocol.Sum("test", nil), tlp.Amber, synced, c.now), "no-room")
}

// checkUsable returns what is wrong with the epoch that each team would seal to, in a random world: whoever is known not to be a
// member must not be able to open it (I-29); with all told, all use one, and a new one leaves nobody out.
func checkUsable(t *rapid.T) string {
	stewards := rapid.IntRange(3, 5).Draw(t, "stewards")
	w := newRoomWorld(t, stewards, 2, 1, 0)
	var epochs []*epoch
	for range rapid.IntRange(4, 25).Draw(t, "steps") {
		i := rapid.IntRange(0, len(w.teams)-1).Draw(t, "team")
		switch rapid.IntRange(0, 5).Draw(t, "step") {
		case 0:
			w.act(t)
		case 1:
			w.meet(t)
		case 2:
			w.sponsor(t)
		case 3:
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "hours")) * time.Hour)
		case 4:
			for r := range w.pool {
				w.deliver(i, r)
			}
		case 5:
			if e, d := w.ledgers[i].DraftEpoch(w.room, kidFor("node", w.teams[i]), "age1x", w.now); d.Allowed {
				epochs = append(epochs, &epoch{id: protocol.Sum("test", []byte("epoch"), []byte{byte(len(epochs))}), Epoch: e})
			}
		}
		for i, rs := range w.ledgers {
			for _, e := range epochs {
				rs.rooms[w.room].putEpoch(e)
			}
			u, ok := rs.UsableEpoch(w.room, w.now, nil)
			if !ok {
				continue
			}
			info, _ := rs.Room(w.room, w.now)
			for _, id := range w.teams {
				if slices.Contains(u.Nodes, kidFor("node", id)) && info.Standing(id) != StandingMember {
					return "a team that is known to be " + info.Standing(id).String() + " could read"
				}
			}
			if u.Charter != info.CharterID {
				return "an epoch of a former charter is used"
			}
			_ = i
		}
	}
	w.deliverAll()
	info, _ := w.ledgers[0].Room(w.room, w.now)
	for i, id := range w.teams {
		if info.Standing(id) != StandingMember {
			continue
		}
		e, d := w.ledgers[i].DraftEpoch(w.room, kidFor("node", id), "age1x", w.now)
		if !d.Allowed {
			return "a member may not make a key: " + d.Reason
		}
		for _, rs := range w.ledgers {
			rs.rooms[w.room].putEpoch(&epoch{id: protocol.Sum("test", []byte("last"), id[:]), Epoch: e})
		}
	}
	chosen := map[protocol.Hash]bool{}
	for _, rs := range w.ledgers {
		u, ok := rs.UsableEpoch(w.room, w.now, nil)
		if info.State == RoomOpen && !ok && len(rs.Readers(w.room, w.now)) > 0 {
			return "with all told, a member is left out"
		}
		chosen[u.ID] = true
	}
	if len(chosen) > 1 {
		return "with all told, two use different keys"
	}
	return ""
}

func TestSendersRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if why := checkUsable(t); why != "" {
			t.Fatal(why)
		}
	})
}

// Rules for senders that look as good as ours. Each must be caught.
func TestSendersRuleCatchesMutants(t *testing.T) {
	mutants := map[string]func(e *protocol.Epoch, v *roomVersion, l *roll, now time.Time) bool{
		"the newest, whoever holds it": func(e *protocol.Epoch, v *roomVersion, _ *roll, now time.Time) bool { return inTime(e, v, now) },
		"one of any charter":           func(e *protocol.Epoch, _ *roomVersion, l *roll, now time.Time) bool { return forExactly(e, l) },
		"one that a reader made": func(e *protocol.Epoch, v *roomVersion, l *roll, now time.Time) bool {
			return inTime(e, v, now) && !l.nodes[e.Node].IsZero()
		},
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			testOnlyUsable = mutant
			defer func() { testOnlyUsable = nil }()
			mustCatch(t, 2000, checkUsable)
		})
	}
}
