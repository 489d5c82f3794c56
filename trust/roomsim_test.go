package trust

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A roomSim is weeks in the life of many rooms, from a seed. Each team has one ledger for all the rooms that it is in, one node at
// a time, and does what its ledger lets it do. Records, messages and keys go only between those who can reach each other: teams are
// away for weeks, and the network splits. In each room one steward is Byzantine, and does what it likes. Thieves copy nodes.
// Whatever a traitor or a thief ever held, all of them have, and they give it to whoever they like.
//
// All decisions are those of production. What must hold is said a second time, in roomsimcheck_test.go.
type roomSim struct {
	fataler
	seed   uint64
	rng    *rand.Rand
	now    time.Time
	teams  []*simTeam
	rooms  []*simRoom
	split  time.Time // until when the network is
	stolen map[protocol.KID]bool
	count  map[string]int
}

type simSize struct {
	rooms, teams, steps int
	weeks               int
}

type simTeam struct {
	n       int
	id      protocol.TeamID
	ledger  *Rooms
	traitor bool
	away    time.Time     // until when
	side    int           // of a split network
	robbed  time.Time     // when it will notice; zero: nothing to notice
	gen     int           // how often its node was replaced
	views   []*team       // what a Book knows of it, by gen
	known   []uint8       // the gen of each team that this one knows
	skew    time.Duration // of its clock
}

// node returns the key of the node of the generation.
func (x *simTeam) node(gen int) protocol.KID { return kidFor(fmt.Sprint("node", gen), x.id) }

// A simRoom is one room. The teams of the roomWorld are its members, candidates and its traitor, which comes first.
type simRoom struct {
	*roomWorld
	who      []*simTeam
	place    map[protocol.TeamID]int
	epochs   []*simEpoch
	byEpoch  map[protocol.Hash]*simEpoch
	messages []*simMessage
	synced   []map[protocol.TeamID]time.Time // by team: as of when it has what another said
	seq      map[protocol.KID]uint64
	first    int // records before it are known to all
}

type simEpoch struct {
	id protocol.Hash
	*protocol.Epoch
	known []bool // by team: has the record
	holds map[protocol.KID]holding
	order []protocol.KID // of holds, as they came
}

// A holding says how a node came by an identity.
type holding struct {
	team    int
	honest  bool   // by making it, or from an honest node
	beyond  bool   // not named by the epoch
	stand   stand  // of the team when it came, as the giver knew
	came    uint64 // when its card was drafted; of a founder, zero
	history protocol.History
	from    uint64
}

// A stand orders what stewards decided about one team.
type stand struct{ version, n uint64 }

func standOf(r *roomAt, t protocol.TeamID) stand {
	v := r.head()
	if l := v.lines[t]; l != nil && l.tip().card != nil {
		return stand{v.Version, l.tip().card.N}
	}
	return stand{v.Version, 0}
}

// after reports whether a team came back after what is known as b.
func (a stand) after(b stand) bool {
	return a.version > b.version || a.version == b.version && a.n > b.n
}

// A simMessage is something said in a room, and what its author knew.
type simMessage struct {
	author  int
	st      *protocol.Statement
	epoch   *simEpoch
	feed    protocol.FeedID
	seq     uint64
	at      time.Time
	readers map[protocol.KID]bool
	where   []Standing // of each team
	stands  []stand    // likewise
	gens    []uint8    // of each team, as the author knew
	forged  bool       // said by who is out
	got     []bool
	all     bool
}

func (s *roomSim) chance(percent int) bool { return s.rng.IntN(100) < percent }

func (s *roomSim) days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

func (s *roomSim) clock(x *simTeam) time.Time { return s.now.Add(x.skew) }

func newRoomSim(f fataler, seed uint64, size simSize) *roomSim {
	s := &roomSim{fataler: f, seed: seed, rng: rand.New(rand.NewPCG(seed, 4)), now: now, stolen: map[protocol.KID]bool{}, count: map[string]int{}}
	for i := range size.teams {
		s.teams = append(s.teams, &simTeam{n: i, id: roomTeam(i), known: make([]uint8, size.teams), traitor: i < size.rooms,
			skew: time.Duration(s.rng.IntN(480)-240) * time.Second})
	}
	for _, x := range s.teams {
		b := NewBook(x.id)
		for _, o := range s.teams {
			b.teams[o.id] = s.view(o, 0)
		}
		x.ledger = NewRooms(b)
	}
	honest := s.teams[size.rooms:]
	in := make([][]*simTeam, size.rooms)
	for _, x := range honest {
		for range 1 + s.rng.IntN(3) {
			r := s.rng.IntN(size.rooms)
			if s.chance(6) {
				r = 0 // the large one
			}
			if !slices.Contains(in[r], x) {
				in[r] = append(in[r], x)
			}
		}
	}
	for i := range size.rooms {
		for len(in[i]) < 9 {
			if x := honest[s.rng.IntN(len(honest))]; !slices.Contains(in[i], x) {
				in[i] = append(in[i], x)
			}
		}
		s.found(s.teams[i], in[i])
	}
	return s
}

// view returns what a Book knows of a team whose node was replaced so often. Books share it.
func (s *roomSim) view(x *simTeam, gen int) *team {
	for len(x.views) <= gen {
		t := fakeBook(x.id, []protocol.TeamID{x.id}).teams[x.id]
		g := len(x.views)
		t.manifests[0].Version = uint64(g + 1)
		clear(t.listed)
		for old := range g {
			t.listed[x.node(old)] = listed{revoked: &protocol.Revoked{At: uint64(s.now.Unix()), Why: "stolen"}}
		}
		t.listed[x.node(g)] = listed{}
		x.views = append(x.views, t)
	}
	return x.views[gen]
}

// learn lets a team know how often the node of another was replaced.
func (s *roomSim) learn(x, of *simTeam, gen uint8) {
	if x.known[of.n] >= gen {
		return
	}
	x.known[of.n] = gen
	b := x.ledger.book
	t := *s.view(of, int(gen))
	if old := b.teams[of.id]; old.blocked != nil {
		t.blocked, t.unblocked = old.blocked, old.unblocked
	}
	b.teams[of.id] = &t
	b.generation++
}

// block lets a team block another, or not any more. Of a blocked one, nothing that is sealed here is for.
func (s *roomSim) block(x, other *simTeam, kind ActKind) {
	b := x.ledger.book
	t := *b.teams[other.id]
	b.teams[other.id] = &t
	b.Act(OwnAct{Team: other.id, Kind: kind, At: s.now})
}

// found founds a room of the teams and the traitor: some of them as stewards, some members, and some who may come later.
func (s *roomSim) found(traitor *simTeam, others []*simTeam) {
	r := &simRoom{roomWorld: &roomWorld{t: s, now: s.now, traitor: map[protocol.TeamID]bool{traitor.id: true}, blessed: map[protocol.TeamID]bool{}},
		place: map[protocol.TeamID]int{}, byEpoch: map[protocol.Hash]*simEpoch{}, seq: map[protocol.KID]uint64{}}
	for i, x := range append([]*simTeam{traitor}, others...) {
		r.who, r.teams, r.ledgers = append(r.who, x), append(r.teams, x.id), append(r.ledgers, x.ledger)
		r.synced = append(r.synced, map[protocol.TeamID]time.Time{})
		r.place[x.id] = i
	}
	stewards := 4 + s.rng.IntN(4)
	if s.chance(15) {
		stewards = 2 + s.rng.IntN(2)
	}
	founders := stewards + s.rng.IntN(len(r.who)-stewards-2)
	maker := r.who[1].ledger
	c, ok := maker.NewCharter("room", slices.Clone(r.teams[:stewards]), slices.Clone(r.teams[stewards:founders]), s.now)
	if !ok {
		s.Fatalf("no charter")
	}
	c.ObjectionDays, c.HoldDays, c.EpochDays = uint64(s.rng.IntN(4)), uint64(1+s.rng.IntN(10)), []uint64{3, 10, 30}[s.rng.IntN(3)]
	c.FreshHours = uint64(24 + s.rng.IntN(150))
	c.History = []protocol.History{protocol.HistoryJoining, protocol.HistoryDate, protocol.HistoryAll}[s.rng.IntN(3)]
	if c.History == protocol.HistoryDate {
		c.HistoryFrom = uint64(s.now.Add(s.days(s.rng.IntN(14))).Unix())
	}
	c.CardDays = []uint64{20, 40, 300}[s.rng.IntN(3)]
	for i := range c.Members {
		c.Members[i].Until = c.Issued + c.CardDays*86400
	}
	c.Salt = [16]byte{byte(len(s.rooms)), 7}
	for _, x := range r.teams[:founders] {
		r.blessed[x] = true
	}
	r.room = r.put(c, r.teams[:stewards]...)
	for i := range r.teams[:stewards] {
		r.deliver(i, 0)
	}
	for _, x := range r.who[stewards:founders] {
		if s.chance(80) {
			s.accept(r, r.place[x.id])
		}
	}
	s.rooms = append(s.rooms, r)
}

// accept lets a team that is named by the charter or asked in sign that.
func (s *roomSim) accept(r *simRoom, i int) {
	for n := range r.pool {
		r.deliver(i, n)
	}
	if a, d := r.ledgers[i].DraftAccept(r.room, s.clock(r.who[i])); d.Allowed {
		r.put(a, r.teams[i])
	}
}

// reach returns the teams of the room that can talk with one of them, itself included, ascending. Traitors are everywhere.
func (s *roomSim) reach(r *simRoom, i int) (out []int) {
	here := func(x *simTeam) bool { return x.traitor || !s.now.Before(x.away) }
	for j, x := range r.who {
		if j == i || here(r.who[i]) && here(x) && (x.traitor || !s.now.Before(s.split) || x.side == r.who[i].side) {
			out = append(out, j)
		}
	}
	return out
}

// push gives the newest records to those who can be reached, or most of them.
func (s *roomSim) push(r *simRoom, i, from int) {
	for _, j := range s.reach(r, i) {
		for n := from; n < len(r.pool); n++ {
			if s.chance(85) {
				r.deliver(j, n)
			}
		}
	}
}

// sync lets teams that reach each other tell each other all they have. A traitor listens.
func (s *roomSim) sync(r *simRoom, c []int) {
	known := func(has []bool) bool {
		return slices.ContainsFunc(c, func(i int) bool { return has[i] && !r.who[i].traitor })
	}
	for _, x := range r.who {
		gen := uint8(0)
		for _, i := range c {
			gen = max(gen, r.who[i].known[x.n])
		}
		for _, i := range c {
			s.learn(r.who[i], x, gen)
		}
	}
	for r.first < len(r.pool) && !slices.Contains(r.got[r.first], false) {
		r.first++
	}
	for n := r.first; n < len(r.pool); n++ {
		if known(r.got[n]) {
			for _, i := range c {
				r.deliver(i, n)
			}
		}
	}
	for _, e := range r.epochs {
		if known(e.known) {
			for _, i := range c {
				s.tellEpoch(r, e, i)
			}
		}
	}
	for _, i := range c {
		for _, j := range c {
			if i != j && !r.who[j].traitor {
				r.synced[i][r.teams[j]] = s.now
				r.ledgers[i].Heard(r.room, r.teams[j], s.now)
			}
		}
		r.ledgers[i].Heard(r.room, r.teams[0], s.now)
	}
	s.grantAll(r, c)
	for _, m := range r.messages {
		if m.all || !known(m.got) {
			continue
		}
		for _, i := range c {
			s.receive(r, m, i)
		}
		m.all = !slices.Contains(m.got, false)
	}
}

func (s *roomSim) tellEpoch(r *simRoom, e *simEpoch, i int) {
	if rm := r.ledgers[i].rooms[r.room]; !e.known[i] && rm != nil {
		e.known[i] = true
		rm.putEpoch(&epoch{id: e.id, Epoch: e.Epoch})
	}
}

// nodeOf returns the present node of a team of the room.
func (r *simRoom) nodeOf(i int) protocol.KID { return r.who[i].node(r.who[i].gen) }

// grantAll lets those who lack keys ask those who hold them.
func (s *roomSim) grantAll(r *simRoom, c []int) {
	for _, e := range r.epochs {
		for _, i := range c {
			kid := r.nodeOf(i)
			if _, has := e.holds[kid]; has || !e.known[i] {
				continue
			}
			for _, j := range c {
				if _, has := e.holds[r.nodeOf(j)]; has && j != i && !r.who[j].traitor && s.grant(r, e, j, kid, i) {
					break
				}
			}
		}
	}
}

// grant lets an honest team give an identity to a node of another, if it may.
func (s *roomSim) grant(r *simRoom, e *simEpoch, by int, kid protocol.KID, to int) bool {
	rs := r.ledgers[by]
	if !e.known[by] || !rs.MayGrant(r.room, e.id, kid, s.clock(r.who[by])).Allowed {
		return false
	}
	info, _ := rs.Room(r.room, s.clock(r.who[by]))
	m := info.Member(r.teams[to])
	if m.Status != StandingMember || int(r.who[by].known[r.who[to].n]) > r.who[to].gen || kid != r.who[to].node(int(r.who[by].known[r.who[to].n])) {
		s.Fatalf("a key is given to a node of a team that is %v (I-30)", m.Status)
	}
	h := holding{team: to, honest: true, beyond: !slices.Contains(e.Nodes, kid), history: info.Charter.History, from: info.Charter.HistoryFrom}
	for _, v := range rs.at(r.room, s.clock(r.who[by])).versions { // the newest card that brought it in
		if l := v.lines[r.teams[to]]; l != nil {
			for _, c := range l.path {
				if c.admits() {
					h.stand, h.came = stand{v.Version, c.N}, c.Issued
				}
			}
		}
	}
	s.hold(e, kid, h)
	s.count["grants"]++
	return true
}

func (s *roomSim) hold(e *simEpoch, kid protocol.KID, h holding) {
	if _, has := e.holds[kid]; !has {
		e.order = append(e.order, kid)
		e.holds[kid] = h
	}
}

// makeEpoch lets a team make an epoch for all who may read, as far as it knows. edit is for traitors.
func (s *roomSim) makeEpoch(r *simRoom, i int, edit func(*protocol.Epoch)) *simEpoch {
	draft, d := r.ledgers[i].DraftEpoch(r.room, r.nodeOf(i), "age1pq1example", s.clock(r.who[i]))
	if !d.Allowed {
		return nil
	}
	if edit != nil {
		edit(draft)
	}
	id := protocol.Sum("test", []byte("epoch"), r.room[:], fmt.Append(nil, len(r.epochs)))
	e := &simEpoch{id: id, Epoch: draft, known: make([]bool, len(r.who)), holds: map[protocol.KID]holding{}}
	s.hold(e, r.nodeOf(i), holding{team: i, honest: edit == nil})
	r.epochs, r.byEpoch[id] = append(r.epochs, e), e
	for _, j := range s.reach(r, i) {
		if j == i || s.chance(80) {
			s.tellEpoch(r, e, j)
		}
		if kid := r.nodeOf(j); edit == nil && j != i && slices.Contains(e.Nodes, kid) && s.chance(80) {
			s.grant(r, e, i, kid, j)
		}
	}
	s.count["epochs"]++
	return e
}

// speak lets a team say something, if its ledger lets it.
func (s *roomSim) speak(r *simRoom, i int) *simMessage {
	rs, node := r.ledgers[i], r.nodeOf(i)
	if d := rs.MaySpeak(r.room, tlp.Amber, r.synced[i], s.clock(r.who[i])); !d.Allowed {
		s.count["silent: "+d.Rule]++
		return nil
	}
	holds := func(id protocol.Hash) bool { _, has := r.byEpoch[id].holds[node]; return has }
	u, ok := rs.UsableEpoch(r.room, s.clock(r.who[i]), holds)
	if !ok {
		if s.makeEpoch(r, i, nil) == nil {
			return nil // its own node is not one that may read: it was just replaced
		}
		if u, ok = rs.UsableEpoch(r.room, s.clock(r.who[i]), holds); !ok {
			s.Fatalf("an epoch that was just made may not be used")
		}
	}
	m := &simMessage{author: i, epoch: r.byEpoch[u.ID], at: s.now, readers: map[protocol.KID]bool{}, gens: slices.Clone(r.who[i].known)}
	for _, n := range rs.Readers(r.room, s.clock(r.who[i])) {
		m.readers[n.Node] = true
	}
	info, _ := rs.Room(r.room, s.clock(r.who[i]))
	for _, t := range r.teams {
		m.where, m.stands = append(m.where, info.Standing(t)), append(m.stands, standOf(rs.at(r.room, s.clock(r.who[i])), t))
	}
	s.count["messages"]++
	return s.say(r, m)
}

// say puts a message on its way.
func (s *roomSim) say(r *simRoom, m *simMessage) *simMessage {
	node := r.nodeOf(m.author)
	r.seq[node]++
	m.feed, m.seq = protocol.FeedOf(node, protocol.RoomChannel(r.room)), r.seq[node]
	m.st = &protocol.Statement{Author: r.teams[m.author], Node: node, Label: tlp.Amber,
		Audience: protocol.Audience{Kind: protocol.InRoom, Room: r.room, Charter: m.epoch.Charter, Epoch: m.epoch.id}}
	m.got = make([]bool, len(r.who))
	m.got[m.author] = true
	r.messages = append(r.messages, m)
	for _, j := range s.reach(r, m.author) {
		if s.chance(70) {
			s.receive(r, m, j)
		}
	}
	return m
}

// meet lets stewards who reach each other decide about one proposal.
func (s *roomSim) meet(r *simRoom, c []int) {
	s.sync(r, c)
	var stewards []int
	for _, i := range c {
		if !r.who[i].traitor {
			stewards = append(stewards, i)
		}
	}
	if len(stewards) == 0 {
		return
	}
	info, _ := r.ledgers[stewards[s.rng.IntN(len(stewards))]].Room(r.room, s.now)
	if len(info.Proposals) == 0 {
		return
	}
	about := info.Proposals[s.rng.IntN(len(info.Proposals))].ID
	for range 1 + s.rng.IntN(3) {
		for _, i := range stewards {
			for range 4 { // each signature may change what may be signed next
				ds := slices.DeleteFunc(r.ledgers[i].Drafts(r.room, s.clock(r.who[i])), func(d Draft) bool {
					return d.ID != about && d.Kind != "accept" && (d.Kind != "vote" || s.chance(50))
				})
				if len(ds) == 0 {
					break
				}
				from := len(r.pool)
				r.sign(i, ds[s.rng.IntN(len(ds))])
				s.push(r, i, from)
			}
		}
	}
}

// apply lets members vouch for a team, and the team accept.
func (s *roomSim) apply(r *simRoom) {
	to := 1 + s.rng.IntN(len(r.who)-1)
	c := s.reach(r, to)
	s.sync(r, c)
	from := len(r.pool)
	vouched := 0
	for _, i := range c {
		if v, d := r.ledgers[i].DraftVouch(r.room, r.teams[to], "", s.clock(r.who[i])); d.Allowed && !r.who[i].traitor && vouched < 3 {
			r.put(v, r.teams[i])
			vouched++
		}
	}
	s.accept(r, to)
	if len(c) > 0 {
		s.push(r, to, from)
	}
}

// decideOn lets a steward propose a card: somebody out, in again, or for longer.
func (s *roomSim) decideOn(r *simRoom, i int) {
	rs := r.ledgers[i]
	info, _ := rs.Room(r.room, s.clock(r.who[i]))
	if len(info.Members) == 0 {
		return
	}
	m := info.Members[s.rng.IntN(len(info.Members))]
	to := []protocol.MemberStatus{protocol.MemberRemoved, protocol.MemberSuspended, protocol.MemberFull, protocol.MemberFull}[s.rng.IntN(4)]
	for _, o := range info.Members { // who needs a word
		ends := o.Status == StandingLapsed || o.Status == StandingMember && o.Until.Before(s.now.Add(s.days(3)))
		if ends && s.chance(50) || o.Status == StandingSuspended && s.chance(30) {
			m, to = o, protocol.MemberFull
		}
	}
	if to != protocol.MemberFull && s.chance(70) {
		return // people are not that quarrelsome
	}
	var cuts []protocol.Head
	if to != protocol.MemberFull {
		cuts = s.cuts(r, i, r.place[m.Team])
	}
	if k, d := rs.DraftCard(r.room, m.Team, to, "", cuts, s.clock(r.who[i])); d.Allowed {
		if k.Status == protocol.MemberFull {
			r.blessed[m.Team] = true
		}
		from := len(r.pool)
		r.put(k, r.teams[i])
		s.push(r, i, from)
		s.count["cards"]++
	}
}

// renew lets stewards who reach each other renew every membership that ends.
func (s *roomSim) renew(r *simRoom, c []int) {
	s.sync(r, c)
	for _, i := range c {
		if r.who[i].traitor {
			continue
		}
		info, _ := r.ledgers[i].Room(r.room, s.clock(r.who[i]))
		if !info.Steward {
			continue
		}
		for _, m := range info.Members {
			if m.Status != StandingLapsed && (m.Status != StandingMember || m.Until.After(s.now.Add(s.days(6)))) {
				continue
			}
			k, d := r.ledgers[i].DraftCard(r.room, m.Team, protocol.MemberFull, "", nil, s.clock(r.who[i]))
			if !d.Allowed {
				continue
			}
			r.blessed[m.Team] = true
			id := r.put(k, r.teams[i])
			for _, j := range c {
				if j == i || r.who[j].traitor {
					continue
				}
				r.deliver(j, len(r.pool)-1)
				if r.ledgers[j].MayVoteCard(r.room, id, s.clock(r.who[j])).Allowed {
					e, _ := r.ledgers[j].RoomEnvelope(r.room, id)
					r.cosign(e, r.teams[j])
				}
			}
			s.count["renewals"]++
		}
		break
	}
}

// cuts says how far what a team said is known to another.
func (s *roomSim) cuts(r *simRoom, i, of int) []protocol.Head {
	last := map[protocol.FeedID]uint64{}
	for _, m := range r.messages {
		if m.author == of && m.got[i] {
			last[m.feed] = max(last[m.feed], m.seq)
		}
	}
	var out []protocol.Head
	for f, seq := range last {
		out = append(out, protocol.Head{Feed: f, First: 1, Seq: seq, Hash: protocol.Sum("test", nil)})
	}
	slices.SortFunc(out, func(a, b protocol.Head) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	return out
}

// charter lets a steward propose the next version.
func (s *roomSim) charter(r *simRoom, i int) {
	rs := r.ledgers[i]
	other := r.teams[s.rng.IntN(len(r.teams))]
	c, d := rs.DraftCharter(r.room, s.clock(r.who[i]), func(c *protocol.Charter) {
		c.Salt = [16]byte{byte(len(r.pool)), byte(len(r.pool) >> 8), byte(i)}
		if n := len(c.Stewards); n > 3 && s.chance(20) {
			c.Stewards = c.Stewards[:n-1]
		}
		if x, ok := c.Seat(other); ok && x.Status == protocol.MemberFull && !c.IsSteward(other) && len(c.Stewards) < 7 && s.chance(40) {
			c.Stewards = ascending(append(slices.Clone(c.Stewards), other))
		}
		if s.chance(20) {
			c.History, c.HistoryFrom = protocol.HistoryAll, 0
		}
		if s.chance(20) {
			for _, k := range rs.at(r.room, s.clock(r.who[i])).head().cards {
				if k.restricting && len(c.Voids) < 2 {
					c.Voids = append(c.Voids, k.id)
				}
			}
			ascending(c.Voids)
		}
	})
	if d.Allowed && len(c.Stewards) >= 2 {
		from := len(r.pool)
		r.put(c, r.teams[i])
		s.push(r, i, from)
		s.count["charters"]++
	}
}

// step lets something happen somewhere.
func (s *roomSim) step() {
	r := s.rooms[s.rng.IntN(len(s.rooms))]
	if s.chance(4) {
		r = s.rooms[0]
	}
	r.now = s.now
	i := 1 + s.rng.IntN(len(r.who)-1)
	if s.now.Before(r.who[i].away) {
		return
	}
	rs, me := r.ledgers[i], r.teams[i]
	if rs.rooms[r.room] == nil {
		s.sync(r, s.reach(r, i))
		return
	}
	from := len(r.pool)
	switch p := s.rng.IntN(100); {
	case p < 22:
		s.sync(r, s.reach(r, i))
	case p < 45:
		for range 6 { // whoever is in
			if info, _ := rs.Room(r.room, s.now); info.Mine == StandingMember && !s.now.Before(r.who[i].away) {
				s.speak(r, i)
				break
			}
			i = 1 + s.rng.IntN(len(r.who)-1)
			rs = r.ledgers[i]
		}
	case p < 59:
		s.meet(r, s.reach(r, i))
	case p < 63:
		s.renew(r, s.reach(r, i))
	case p < 68:
		s.apply(r)
	case p < 74:
		s.decideOn(r, i)
	case p < 77:
		s.charter(r, i)
	case p < 80:
		if h, d := rs.DraftHold(r.room, r.teams[s.rng.IntN(len(r.teams))], "", s.clock(r.who[i])); d.Allowed {
			r.put(h, me)
			s.count["holds"]++
		}
	case p < 81:
		if o, d := rs.DraftObjection(r.room, r.teams[s.rng.IntN(len(r.teams))], "", s.chance(40), s.clock(r.who[i])); d.Allowed {
			r.put(o, me)
		}
	case p < 82:
		if l, d := rs.DraftLeave(r.room, "", s.cuts(r, i, i), s.clock(r.who[i])); d.Allowed && s.chance(50) {
			r.put(l, me)
			s.count["leaves"]++
		}
	case p < 86:
		if rs.NeedsRekey(r.room, s.clock(r.who[i])) != "" {
			s.makeEpoch(r, i, nil)
		}
	case p < 94:
		s.cheat(r)
	case p < 95:
		if other := r.who[s.rng.IntN(len(r.who))]; other != r.who[i] {
			s.block(r.who[i], other, []ActKind{ActBlocked, ActUnblocked}[s.rng.IntN(2)])
			s.count["blocks"]++
		}
	case p < 97:
		if x := s.teams[s.rng.IntN(len(s.teams))]; !x.traitor && x.robbed.IsZero() && s.chance(50) {
			s.stolen[x.node(x.gen)] = true
			x.robbed = s.now.Add(s.days(s.rng.IntN(10)))
			s.count["thefts"]++
		}
	case p < 99:
		r.who[i].away = s.now.Add(s.days(1 + s.rng.IntN(20)))
		s.count["absences"]++
	default:
		if !s.now.Before(s.split) && s.chance(20) {
			s.split = s.now.Add(s.days(1 + s.rng.IntN(8)))
			for _, x := range s.teams {
				x.side = s.rng.IntN(2)
			}
			s.count["splits"]++
		}
	}
	s.push(r, i, from)
}

// replace lets teams notice that their node was robbed: it is revoked, and they have another.
func (s *roomSim) replace(all bool) {
	for _, x := range s.teams {
		if !x.robbed.IsZero() && (all || !s.now.Before(x.robbed)) {
			x.robbed = time.Time{}
			x.gen++
			s.learn(x, x, uint8(x.gen))
		}
	}
}

// cheat lets the traitor of a room do what helps it.
func (s *roomSim) cheat(r *simRoom) {
	for n := range r.pool {
		r.deliver(0, n)
	}
	for _, e := range r.epochs {
		s.tellEpoch(r, e, 0)
	}
	rs, me := r.ledgers[0], r.teams[0]
	v := rs.at(r.room, s.now).head()
	if v == nil {
		return
	}
	from := len(r.pool)
	root, _ := rs.rootOf(me)
	at := uint64(s.now.Unix())
	victim := r.teams[1+s.rng.IntN(len(r.teams)-1)]
	hr, _ := rs.rootOf(victim)
	switch s.rng.IntN(9) {
	case 0: // approves everything, in every round
		for _, n := range v.proposals {
			for round := uint64(1); round <= v.rounds()+1; round++ {
				if _, done := v.approved[voteKey{round, n.id}][me]; done {
					continue
				}
				r.put(&protocol.Approve{Room: r.room, Charter: n.id, Version: n.Version, Round: round, Team: me, Root: root, Issued: at}, me)
			}
		}
	case 1: // adopts everything
		for _, n := range v.proposals {
			for round := uint64(1); round <= v.rounds(); round++ {
				_, done := v.adopted[voteKey{round, n.id}][me]
				if ids := quorumIDs(v.approved[voteKey{round, n.id}], v.quorum); len(ids) == v.quorum && !done {
					r.put(&protocol.Adopt{Room: r.room, Charter: n.id, Version: n.Version, Round: round, Team: me, Root: root, Approves: ids, Issued: at}, me)
				}
			}
		}
	case 2: // votes for every card
		cards := slices.Clone(v.cards)
		slices.SortFunc(cards, func(a, b *roomCard) int { return bytes.Compare(a.id[:], b.id[:]) })
		for _, c := range cards {
			if _, mine := c.votes[me]; !mine && c.Subject != me {
				e, _ := rs.RoomEnvelope(r.room, c.id)
				r.cosign(e, me)
			}
		}
	case 3: // a card that nobody asked for, back-dated, and a hold
		n, prev := uint64(1), protocol.Hash{}
		if l := v.lines[victim]; l != nil && s.chance(70) {
			n, prev = l.tip().next()
		}
		r.put(&protocol.MemberCard{Room: r.room, Charter: v.id, Subject: victim, Root: hr, N: n, Prev: prev, Joined: at - 86400*3, Until: at + 86400,
			Issued: at - 86400*2, Status: protocol.MemberStatus(1 + s.rng.IntN(3))}, me)
		r.put(&protocol.Hold{Room: r.room, Charter: v.id, Subject: victim, Team: me, Root: root, Until: at + v.HoldDays*86400, Issued: at}, me)
	case 4: // a charter with an outsider in it
		if c, d := rs.DraftCharter(r.room, s.now, func(c *protocol.Charter) {
			c.Salt = [16]byte{byte(from), byte(from >> 8), 255}
			if _, ok := c.Seat(victim); !ok {
				c.Members = append(c.Members, protocol.Seat{Team: victim, Root: hr, Status: protocol.MemberFull, Until: at + 86400, Joined: at})
				slices.SortFunc(c.Members, func(a, b protocol.Seat) int { return bytes.Compare(a.Team[:], b.Team[:]) })
			}
		}); d.Allowed && len(c.Stewards) >= 2 {
			r.put(c, me)
		}
	case 5, 6: // a key of its own: for outsiders, too, or dated back, or given to few
		e := s.makeEpoch(r, 0, func(e *protocol.Epoch) {
			switch s.rng.IntN(4) {
			case 0:
				for j := range r.who {
					e.Nodes = append(e.Nodes, r.nodeOf(j))
				}
				slices.SortFunc(e.Nodes, func(a, b protocol.KID) int { return bytes.Compare(a[:], b[:]) })
				e.Nodes = slices.Compact(e.Nodes)
			case 1:
				e.Created -= uint64(s.rng.IntN(int(min(e.Created-uint64(now.Unix())+1, 86400*2))))
			case 2:
				e.Nodes = slices.DeleteFunc(e.Nodes, func(k protocol.KID) bool { return k != e.Node && s.chance(20) })
			}
		})
		for j := range r.who {
			if e != nil && s.chance(50) {
				s.hold(e, r.nodeOf(j), holding{team: j})
			}
		}
	case 7: // whoever asks is given every key
		for _, e := range r.epochs {
			if s.leaked(r, e) {
				j := s.rng.IntN(len(r.who))
				s.hold(e, r.nodeOf(j), holding{team: j})
			}
		}
	case 8: // somebody who is out goes on speaking, with any key that it or a traitor has
		j := r.place[victim]
		info, _ := rs.Room(r.room, s.now)
		if info.Standing(victim) == StandingMember || len(r.epochs) == 0 {
			return
		}
		e := r.epochs[s.rng.IntN(len(r.epochs))]
		if _, has := e.holds[r.nodeOf(j)]; has || s.leaked(r, e) {
			s.say(r, &simMessage{author: j, epoch: e, at: s.now, forged: true})
			s.count["forged"]++
		}
	}
	for n := from; n < len(r.pool); n++ { // told to some
		for j := range r.who {
			if s.chance(40) {
				r.deliver(j, n)
			}
		}
	}
	s.count["cheats"]++
}

// bad reports whether traitors have the key of a node.
func (s *roomSim) bad(r *simRoom, kid protocol.KID) bool {
	return s.stolen[kid] || kid == r.who[0].node(0)
}

// leaked reports whether traitors have an identity.
func (s *roomSim) leaked(r *simRoom, e *simEpoch) bool {
	return slices.ContainsFunc(e.order, func(k protocol.KID) bool { return s.bad(r, k) })
}
