package trust

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust/trusttest"
)

// A circle is teams with real keys, each with its own ledger, who tell each other everything.
type circle struct {
	t       testing.TB
	teams   []*trusttest.Team
	ledgers map[*trusttest.Team]*Rooms
	room    protocol.Hash
	now     time.Time
}

func newCircle(t testing.TB, names ...string) *circle {
	t.Helper()
	c := &circle{t: t, ledgers: map[*trusttest.Team]*Rooms{}, now: now}
	for _, n := range names {
		c.teams = append(c.teams, trusttest.NewTeam(t, n, "AT", now))
	}
	for _, me := range c.teams {
		c.ledgers[me] = NewRooms(bookOf(t, me, slices.DeleteFunc(slices.Clone(c.teams), func(o *trusttest.Team) bool { return o == me })...))
	}
	return c
}

// tell gives everybody the record.
func (c *circle) tell(e *protocol.Envelope) {
	c.t.Helper()
	for _, me := range c.teams {
		if r := c.ledgers[me].AddRoomRecord(e, c.now); r.Err != nil {
			c.t.Fatalf("%s refuses a %s: %v", me.Name, e.Type, r.Err)
		}
	}
}

// signAll lets each of the teams sign everything that waits for it, until nothing does.
func (c *circle) signAll(teams ...*trusttest.Team) {
	c.t.Helper()
	for again := true; again; {
		again = false
		for _, me := range teams {
			for _, d := range c.ledgers[me].Drafts(c.room, c.now) {
				c.tell(c.signed(me, d))
				again = true
				break
			}
		}
	}
}

func (c *circle) signed(me *trusttest.Team, d Draft) *protocol.Envelope {
	c.t.Helper()
	if d.Record != nil {
		return me.Sign(d.Record)
	}
	e, ok := c.ledgers[me].RoomEnvelope(c.room, d.ID)
	if !ok {
		c.t.Fatalf("%s has nothing to sign", me.Name)
	}
	return me.Countersign(e)
}

func (c *circle) found(stewards int, edit func(*protocol.Charter)) {
	c.t.Helper()
	var ids []protocol.TeamID
	for _, s := range c.teams[:stewards] {
		ids = append(ids, s.ID)
	}
	charter, ok := c.ledgers[c.teams[0]].NewCharter("Incident 7", ids, nil, c.now)
	if !ok {
		c.t.Fatal("no charter")
	}
	charter.Sponsors, charter.ObjectionDays = 2, 0
	if edit != nil {
		edit(charter)
	}
	e := c.teams[0].Sign(charter)
	c.room = e.ID()
	c.tell(e)
}

func (c *circle) want(of *trusttest.Team, want Standing) {
	c.t.Helper()
	for _, me := range c.teams {
		i, ok := c.ledgers[me].Room(c.room, c.now)
		if !ok || i.Standing(of.ID) != want {
			c.t.Fatalf("%s sees %s as %v, want %v (room %v: %s)", me.Name, of.Name, i.Standing(of.ID), want, i.State, i.Why)
		}
	}
}

func (c *circle) info(me *trusttest.Team) RoomInfo {
	i, _ := c.ledgers[me].Room(c.room, c.now)
	return i
}

func allowed(t testing.TB, d Decision) {
	t.Helper()
	if !d.Allowed {
		t.Fatalf("refused by %s: %s", d.Rule, d.Reason)
	}
}

func refusedBy(t testing.TB, d Decision, rule string) {
	t.Helper()
	if d.Allowed || d.Rule != rule || d.Reason == "" {
		t.Fatalf("got %+v, want %s", d, rule)
	}
}

// The life of an incident room of four teams, with a fifth that is admitted, held, removed, and a member that leaves.
func TestRoomLife(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, b, cc, d, e := c.teams[0], c.teams[1], c.teams[2], c.teams[3], c.teams[4]
	c.found(4, nil)
	if i := c.info(a); i.State != RoomFounding || !strings.Contains(i.Why, "CERT-B") {
		t.Fatalf("%v: %s", i.State, i.Why)
	}
	c.signAll(b, cc, d)
	for _, m := range c.teams[:4] {
		c.want(m, StandingMember)
	}
	c.want(e, StandingNone)
	if i := c.info(a); i.State != RoomOpen || i.Quorum != 3 || len(i.Proposals) != 0 || !i.Steward {
		t.Fatalf("%+v", i)
	}

	// Two vouch, it accepts, three vote.
	for n, m := range []*trusttest.Team{a, b} {
		v, dec := c.ledgers[m].DraftVouch(c.room, e.ID, "We work with them.", c.now)
		allowed(t, dec)
		c.tell(m.Sign(v))
		if p := c.info(a).Proposals; len(p) != 1 || p[0].Kind != "admission" || len(p[0].Missing) != 2-n {
			t.Fatalf("after %d vouches: %+v", n+1, p)
		}
	}
	c.want(e, StandingProposed)
	acc, dec := c.ledgers[e].DraftAccept(c.room, c.now)
	allowed(t, dec)
	c.tell(e.Sign(acc))
	c.now = c.now.Add(time.Hour)
	if w := c.info(a).Warnings; !slices.Contains(w, "1 proposals wait for our vote") {
		t.Errorf("warnings %q", w)
	}
	c.signAll(a)
	c.want(e, StandingProposed)
	c.signAll(b, cc)
	c.want(e, StandingMember)

	// Held by one, at once; the vote goes on without it, and it is removed.
	h, dec := c.ledgers[b].DraftHold(c.room, e.ID, "its server speaks by itself", c.now)
	allowed(t, dec)
	c.tell(b.Sign(h))
	c.want(e, StandingHeld)
	_, dec = c.ledgers[b].DraftHold(c.room, e.ID, "", c.now)
	refusedBy(t, dec, "hold-given")
	if r := c.ledgers[a].Readers(c.room, c.now); len(r) != 4 {
		t.Errorf("%d nodes may read, want 4", len(r))
	}
	cut := protocol.Head{Feed: protocol.FeedOf(e.Node.Public().ID(), protocol.RoomChannel(c.room)), First: 1, Seq: 3, Hash: protocol.Sum("test", nil)}
	card, dec := c.ledgers[a].DraftCard(c.room, e.ID, protocol.MemberRemoved, "its server was stolen", []protocol.Head{cut}, c.now)
	allowed(t, dec)
	c.tell(a.Sign(card))
	c.signAll(b, cc)
	c.want(e, StandingRemoved)
	c.now = c.now.Add(30 * 24 * time.Hour)
	c.want(e, StandingRemoved)

	// A new charter, without D among the stewards: approved and adopted. What was said under the old one has no effect.
	next, dec := c.ledgers[a].DraftCharter(c.room, c.now, func(n *protocol.Charter) {
		n.Stewards = slices.DeleteFunc(n.Stewards, func(t protocol.TeamID) bool { return t == d.ID })
		n.Ceiling = tlp.Amber
	})
	allowed(t, dec)
	c.tell(a.Sign(next))
	c.signAll(a, b, cc)
	if i := c.info(d); i.Version != 2 || i.Steward || i.Quorum != 3 || i.Charter.Ceiling != tlp.Amber {
		t.Fatalf("%+v", i)
	}
	c.want(d, StandingMember)
	c.want(e, StandingNone)

	// One leaves. It comes back only as others come in.
	l, dec := c.ledgers[d].DraftLeave(c.room, "our task is done", nil, c.now)
	allowed(t, dec)
	c.tell(d.Sign(l))
	c.want(d, StandingLeft)
	acc, dec = c.ledgers[d].DraftAccept(c.room, c.now)
	allowed(t, dec)
	c.tell(d.Sign(acc))
	c.want(d, StandingLeft)

	// Everything that was told, in the reverse order and twice, to one who knew nothing.
	late := NewRooms(c.ledgers[d].book)
	records := c.ledgers[a].RoomRecords(c.room)
	slices.Reverse(records)
	if errs := late.LoadRooms(append(records, records...), c.now); len(errs) > 0 {
		t.Fatal(errs)
	}
	i, _ := late.Room(c.room, c.now)
	if got, want := public(i), public(c.info(d)); got.CharterID != want.CharterID || !slices.EqualFunc(got.Members, want.Members, func(a, b RoomMember) bool {
		return a.Team == b.Team && a.Status == b.Status
	}) {
		t.Errorf("a newcomer sees\n%+v, want\n%+v", got, want)
	}

	// Closed by its stewards.
	last, dec := c.ledgers[b].DraftCharter(c.room, c.now, func(n *protocol.Charter) { n.Closed = true })
	allowed(t, dec)
	c.tell(b.Sign(last))
	c.signAll(a, b, cc)
	if i := c.info(a); i.State != RoomClosed || len(c.ledgers[a].Readers(c.room, c.now)) != 0 {
		t.Errorf("%v: %s", i.State, i.Why)
	}
	_, dec = c.ledgers[a].DraftHold(c.room, b.ID, "", c.now)
	refusedBy(t, dec, "room-closed")
}

// A team and its sponsors date their words back, so that nobody may object any more. A steward who sees them only now waits; one who
// saw them in time, and was started anew since, does not.
func TestStoryOfTheDatesOfLongAgo(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, b, e := c.teams[0], c.teams[1], c.teams[4]
	c.found(4, func(n *protocol.Charter) { n.ObjectionDays = 21 })
	c.signAll(c.teams[1:4]...)
	c.now = c.now.Add(40 * 24 * time.Hour)
	past := c.now.Add(-30 * 24 * time.Hour)
	var ids []protocol.Hash
	for _, m := range []*trusttest.Team{a, b} {
		v, dec := c.ledgers[m].DraftVouch(c.room, e.ID, "", past)
		allowed(t, dec)
		env := m.Sign(v)
		ids = append(ids, env.ID())
		c.tell(env)
	}
	acc, dec := c.ledgers[e].DraftAccept(c.room, past)
	allowed(t, dec)
	env := e.Sign(acc)
	ids = append(ids, env.ID())
	c.tell(env)
	_, dec = c.ledgers[a].DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, c.now)
	refusedBy(t, dec, "objection-window")
	if p := c.info(a).Proposals; len(p) != 1 || p[0].MineVote || p[0].Opens.Before(c.now.Add(20*24*time.Hour)) {
		t.Errorf("got %+v, want one that waits for three weeks from now", p)
	}
	for _, id := range ids {
		c.ledgers[b].Saw(c.room, id, past)
	}
	_, dec = c.ledgers[b].DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, c.now)
	allowed(t, dec)
	c.now = c.now.Add(21 * 24 * time.Hour)
	_, dec = c.ledgers[a].DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, c.now)
	allowed(t, dec)
}

// A team wants in that one member does not want. The admission waits for the days of the charter, and then takes one vote more.
func TestStoryOfTheObjection(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, b, d, e := c.teams[0], c.teams[1], c.teams[3], c.teams[4]
	c.found(4, func(n *protocol.Charter) { n.ObjectionDays = 21 })
	c.signAll(c.teams[1:4]...)
	for _, m := range []*trusttest.Team{a, b} {
		v, dec := c.ledgers[m].DraftVouch(c.room, e.ID, "", c.now)
		allowed(t, dec)
		c.tell(m.Sign(v))
	}
	acc, dec := c.ledgers[e].DraftAccept(c.room, c.now)
	allowed(t, dec)
	c.tell(e.Sign(acc))
	_, dec = c.ledgers[a].DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, c.now)
	refusedBy(t, dec, "objection-window")
	o, dec := c.ledgers[d].DraftObjection(c.room, e.ID, "they sell it", false, c.now)
	allowed(t, dec)
	c.now = c.now.Add(21 * 24 * time.Hour)
	early, dec := c.ledgers[a].DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, c.now)
	allowed(t, dec)
	c.tell(a.Sign(early))
	c.tell(d.Sign(o))
	refusedBy(t, c.ledgers[b].MayVoteCard(c.room, c.ledgers[b].find(t, c.room, e.ID), c.now), "objected")

	over, dec := c.ledgers[b].DraftCard(c.room, e.ID, protocol.MemberFull, "", nil, c.now)
	allowed(t, dec)
	c.tell(b.Sign(over))
	c.signAll(a, b, c.teams[2])
	c.want(e, StandingProposed) // three of four, and four are needed
	if i := c.info(d); len(i.Proposals) != 2 || i.Proposals[0].Objected[0] != d.ID {
		t.Fatalf("%+v", i.Proposals)
	}
	back, dec := c.ledgers[d].DraftObjection(c.room, e.ID, "", true, c.now.Add(time.Second))
	allowed(t, dec)
	c.tell(d.Sign(back))
	c.signAll(a, b, c.teams[2])
	c.want(e, StandingMember)
}

// find returns the one card about a team that is proposed.
func (rs *Rooms) find(t *testing.T, room protocol.Hash, team protocol.TeamID) protocol.Hash {
	t.Helper()
	i, _ := rs.Room(room, now.Add(1000*time.Hour))
	for _, p := range i.Proposals {
		if p.Subject == team && p.Card != nil {
			return p.ID
		}
	}
	t.Fatal("no card is proposed")
	return protocol.Hash{}
}

// Two of four stewards, one more than a room of four bears, tell two halves of the room two different things. Both halves find
// a quorum. When the halves meet, the room is frozen, everybody can prove who did it, and the honest found it anew.
func TestStoryOfTheTwoCharters(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	a, b, x, y := c.teams[0], c.teams[1], c.teams[2], c.teams[3]
	c.found(4, nil)
	c.signAll(b, x, y)
	charter := func(salt byte) *protocol.Envelope {
		n, dec := c.ledgers[a].DraftCharter(c.room, c.now, func(n *protocol.Charter) { n.Salt[0] = salt })
		allowed(t, dec)
		return x.Sign(n)
	}
	var votes []*protocol.Envelope
	charters := []*protocol.Envelope{charter(1), charter(2)}
	for half, honest := range []*trusttest.Team{a, b} {
		e := charters[half]
		var ids []protocol.Hash
		voters := []*trusttest.Team{honest, x, y}
		var these []*protocol.Envelope
		for _, m := range voters {
			v := m.Sign(&protocol.Approve{Room: c.room, Charter: e.ID(), Version: 2, Round: 1, Team: m.ID, Root: m.RootEnv.ID(), Issued: uint64(c.now.Unix())})
			these, ids = append(these, v), append(ids, v.ID())
		}
		for _, m := range voters {
			these = append(these, m.Sign(&protocol.Adopt{Room: c.room, Charter: e.ID(), Version: 2, Round: 1, Team: m.ID, Root: m.RootEnv.ID(),
				Approves: ascending(slices.Clone(ids)), Issued: uint64(c.now.Unix())}))
		}
		for _, r := range append([]*protocol.Envelope{e}, these...) {
			if res := c.ledgers[honest].AddRoomRecord(r, c.now); res.Err != nil {
				t.Fatal(res.Err)
			}
			votes = append(votes, r)
		}
		if i := c.info(honest); i.Version != 2 || i.State != RoomOpen {
			t.Fatalf("%+v", i)
		}
	}
	for _, v := range votes {
		c.tell(v)
	}
	for _, me := range []*trusttest.Team{a, b} {
		i := c.info(me)
		if i.State != RoomFrozen || len(i.Rivals) != 2 || len(i.Cheats) != 2 || !strings.Contains(i.Why, "CERT-C, CERT-D") {
			t.Fatalf("%+v", i)
		}
		for _, ch := range i.Cheats {
			bad := map[protocol.TeamID]*trusttest.Team{x.ID: x, y.ID: y}[ch.Team]
			if bad == nil {
				t.Fatal("an honest steward is accused")
			}
			one, _ := c.ledgers[me].RoomEnvelope(c.room, ch.A)
			two, _ := c.ledgers[me].RoomEnvelope(c.room, ch.B)
			if err := (protocol.ForkProof{A: one, B: two}).Check(protocol.UseOfficer, bad.Officer.Public()); err != nil {
				t.Errorf("the proof does not convince a stranger: %v", err)
			}
		}
		refusedBy(t, c.ledgers[me].MaySpeak(c.room, tlp.Amber, nil, c.now), "room-frozen")
		if len(c.ledgers[me].Readers(c.room, c.now)) != 0 {
			t.Error("a key would be made for a room that is frozen")
		}
	}

	// The two honest found it anew, and say so in the old one.
	old := c.room
	n, ok := c.ledgers[a].NewCharter("Incident 7", []protocol.TeamID{b.ID}, nil, c.now)
	if !ok {
		t.Fatal("no charter")
	}
	n.Replaces = old
	e := a.Sign(n)
	c.room = e.ID()
	c.tell(e)
	c.signAll(b)
	c.want(a, StandingMember)
	for _, m := range []*trusttest.Team{a, b} {
		r, dec := c.ledgers[m].DraftRefound(old, c.room, c.now)
		allowed(t, dec)
		c.tell(m.Sign(r))
	}
	if i, _ := c.ledgers[a].Room(old, c.now); i.State != RoomClosed || !slices.Equal(i.Next, []protocol.Hash{c.room}) {
		t.Errorf("%+v", i)
	}
}

// All stewards but two of four fall silent. Members are told before nothing can be decided, and when.
func TestStoryOfTheSilentStewards(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	a := c.teams[0]
	c.found(4, nil)
	c.signAll(c.teams[1:]...)
	c.now = c.now.Add(StewardSilence + time.Hour)
	for _, m := range c.teams[1:3] {
		c.ledgers[a].Heard(c.room, m.ID, c.now)
	}
	i := c.info(a)
	if i.State != RoomOpen || !slices.ContainsFunc(i.Warnings, func(w string) bool { return strings.Contains(w, "CERT-D") }) {
		t.Errorf("%v, %q", i.State, i.Warnings)
	}
	c.now = c.now.Add(StewardSilence + time.Hour)
	c.ledgers[a].Heard(c.room, c.teams[1].ID, c.now)
	if i := c.info(a); i.State != RoomQuorumLost || !strings.Contains(i.Why, "CERT-C, CERT-D") {
		t.Errorf("%v: %s", i.State, i.Why)
	}
	if i := c.info(a); i.Mine != StandingMember || len(c.ledgers[a].Readers(c.room, c.now)) != 4 {
		t.Error("members do not go on as they are")
	}
}

// Somebody who is no member, and knows the room's records from a stolen disk, signs in it. All of it is refused.
func TestStoryOfTheIntruder(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "thief")
	a, thief := c.teams[0], c.teams[4]
	c.found(4, nil)
	c.signAll(c.teams[1:4]...)
	at := uint64(c.now.Unix())
	before := c.info(a)
	card := &protocol.MemberCard{Room: c.room, Charter: c.room, Subject: thief.ID, Root: thief.ID, N: 1, Status: protocol.MemberRemoved, Until: at + 86400, Joined: at, Issued: at}
	if r := c.ledgers[a].AddRoomRecord(thief.Sign(card), c.now); !errors.Is(r.Err, protocol.ErrSignature) {
		t.Errorf("got %v", r.Err)
	}
	forged := thief.Sign(&protocol.Hold{Room: c.room, Charter: c.room, Subject: c.teams[1].ID, Team: a.ID, Root: a.ID, Until: at + 86400, Issued: at})
	if r := c.ledgers[a].AddRoomRecord(forged, c.now); !errors.Is(r.Err, protocol.ErrSignature) {
		t.Errorf("got %v", r.Err)
	}
	for _, r := range []protocol.Record{
		&protocol.Hold{Room: c.room, Charter: c.room, Subject: a.ID, Team: thief.ID, Root: thief.ID, Until: at + 86400, Issued: at},
		&protocol.Vouch{Room: c.room, Applicant: protocol.Sum("test", nil), Team: thief.ID, Root: thief.ID, Charter: c.room, Issued: at, Expires: at + 86400},
		&protocol.Accept{Room: c.room, Charter: c.room, Team: thief.ID, Root: thief.ID, Issued: at},
		&protocol.Approve{Room: c.room, Charter: protocol.Sum("test", nil), Version: 2, Round: 1, Team: thief.ID, Root: thief.ID, Issued: at},
	} {
		if r := c.ledgers[a].AddRoomRecord(thief.Sign(r), c.now); !errors.Is(r.Err, ErrMissing) {
			t.Errorf("a word of who is nobody in the room: got %+v", r)
		}
	}
	if after := c.info(a); len(after.Members) != len(before.Members) || after.Cards != before.Cards || after.Holds != before.Holds || len(after.Proposals) != 0 {
		t.Errorf("got %+v", after)
	}
	if r := c.ledgers[a].AddRoomRecord(thief.Sign(&protocol.Accept{Room: protocol.Sum("test", nil), Charter: c.room, Team: thief.ID, Root: thief.ID, Issued: at}), c.now); !errors.Is(r.Err, ErrMissing) {
		t.Errorf("got %v", r.Err)
	}
}
