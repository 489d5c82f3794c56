package trust

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
)

func (s *roomSim) Fatalf(format string, args ...any) {
	s.Helper()
	s.fataler.Fatalf("seed %d, %s: %s", s.seed, s.now.Format(time.DateTime), fmt.Sprintf(format, args...))
}

// receive brings a message to a team. If it can open it, its ledger judges it.
func (s *roomSim) receive(r *simRoom, m *simMessage, i int) {
	if r.ledgers[i].rooms[r.room] == nil {
		return
	}
	m.got[i] = true
	if _, has := m.epoch.holds[r.nodeOf(i)]; has && i != m.author && !r.who[i].traitor {
		s.judge(r, m, i)
	}
}

// judge checks I-33 and the rule about authors: what a member said in a key period of its own is taken in, what others say only
// within what the stewards let stand.
func (s *roomSim) judge(r *simRoom, m *simMessage, i int) (accepted bool) {
	rs := r.ledgers[i]
	d := rs.AcceptMessage(m.st, m.feed, m.seq, s.clock(r.who[i]))
	at := rs.at(r.room, s.clock(r.who[i]))
	author := at.roll.member(r.teams[m.author])
	cut := slices.ContainsFunc(author.Cuts, func(h protocol.Head) bool { return h.Feed == m.feed && m.seq <= h.Seq })
	charter := slices.ContainsFunc(at.versions, func(v *roomVersion) bool { return v.id == m.epoch.Charter })
	ok := m.epoch.known[i] && charter && slices.Contains(m.epoch.Nodes, m.st.Node)
	switch {
	case d.Allowed && !ok:
		s.Fatalf("a message is taken in of a node that was not of its key period (I-33)")
	case d.Allowed && author.Status != StandingMember && !cut && (author.Status > StandingMember || !s.wasCut(at, m)):
		s.Fatalf("a message is taken in of a team that is %v", author.Status)
	case !d.Allowed && ok && (author.Status == StandingMember || cut && author.Status != StandingHeld):
		s.Fatalf("a message of a member is refused: %s", d.Rule)
	}
	s.count["judged"]++
	return d.Allowed
}

// wasCut reports whether a message is within a word of the past on how far what its author said stands.
func (s *roomSim) wasCut(r *roomAt, m *simMessage) bool {
	within := func(h protocol.Head) bool { return h.Feed == m.feed && m.seq <= h.Seq }
	for _, v := range r.versions {
		if l := v.lines[m.st.Author]; l != nil && slices.ContainsFunc(l.valid, func(c *roomCard) bool { return slices.ContainsFunc(c.Cuts, within) }) {
			return true
		}
	}
	return slices.ContainsFunc(r.leavesOf[m.st.Author], func(l fact[protocol.Leave]) bool { return slices.ContainsFunc(l.rec.Cuts, within) })
}

// given reports whether a node that an author did not seal to may have the key all the same, by history, or because the author did
// not know: for all that it knew, the node's team was not out, nor the node revoked.
func (m *simMessage) given(r *simRoom, kid protocol.KID, h holding) bool {
	x := r.who[h.team]
	gen := 0
	for g := range x.gen + 1 {
		if x.node(g) == kid {
			gen = g
		}
	}
	if gen < int(m.gens[x.n]) {
		return false // revoked, and the author knew
	}
	opens := h.beyond && (h.history == protocol.HistoryAll || h.came == 0 || h.history == protocol.HistoryDate && m.epoch.Created >= h.from)
	switch m.where[h.team] {
	case StandingMember:
		if gen > int(m.gens[x.n]) {
			return true // the successor of a node that it sealed to
		}
	case StandingNone, StandingProposed:
		return opens
	}
	return opens && h.stand.after(m.stands[h.team]) // it was out, or blocked by the author, and came again
}

// oracle tries every key that anybody ever had on everything that was said (I-28 to I-30), and looks whether who should be able to
// read is (I-44).
func (s *roomSim) oracle(r *simRoom) {
	for _, m := range r.messages {
		if m.forged {
			continue
		}
		excused := false
		for _, kid := range m.epoch.order {
			h := m.epoch.holds[kid]
			fine := m.readers[kid] || h.honest && m.given(r, kid, h)
			if h.honest && !fine {
				s.Fatalf("room %d: a team that its author knew as %v can open a message: %+v", slices.Index(s.rooms, r), m.where[h.team], h)
			}
			excused = excused || fine && s.bad(r, kid)
		}
		if s.leaked(r, m.epoch) && !excused {
			s.Fatalf("traitors can open a message, and none of them was a reader")
		}
	}
	rs := r.ledgers[r.honest()[0]]
	info, _ := rs.Room(r.room, s.now)
	for i, x := range r.who {
		if x.traitor || info.Standing(x.id) != StandingMember {
			continue
		}
		for _, m := range r.messages {
			_, has := m.epoch.holds[r.nodeOf(i)]
			if has || m.forged || !s.mayHold(r, m, i) {
				continue
			}
			if slices.ContainsFunc(r.honest(), func(j int) bool {
				_, has := m.epoch.holds[r.nodeOf(j)]
				return has && info.Standing(r.teams[j]) == StandingMember
			}) {
				s.Fatalf("room %d: a member cannot open what it is entitled to (I-44): said %v before", slices.Index(s.rooms, r), s.now.Sub(m.at))
			}
			s.count["lost"]++ // with all who held the key
		}
	}
}

// mayHold reports whether a member is entitled to a message: it was sealed to its node of that time, or it was said in a key period
// before it came, and the charter opens that.
func (s *roomSim) mayHold(r *simRoom, m *simMessage, i int) bool {
	x := r.who[i]
	for g := range x.gen + 1 {
		if m.readers[x.node(g)] {
			return true
		}
	}
	at := r.ledgers[i].at(r.room, s.now)
	v := at.head()
	if v.History != protocol.HistoryAll && (v.History != protocol.HistoryDate || m.epoch.Created < v.HistoryFrom) {
		return false
	}
	came := uint64(0)
	for _, old := range at.versions {
		for _, c := range old.cards { // also one that did not get its votes: it might have for others
			if c.Subject == x.id && c.admits() && c.Joined == v.lines[x.id].tip().joined && (came == 0 || c.Issued < came) && old.id == m.epoch.Charter {
				came = c.Issued
			}
		}
	}
	return m.epoch.Created < came
}

// heal ends everything that keeps teams apart, and lets the honest settle what waits.
func (s *roomSim) heal() {
	s.now = s.now.Add(s.days(1))
	s.split = time.Time{}
	for _, x := range s.teams {
		x.away, x.skew = time.Time{}, 0
	}
	s.replace(true)
	for _, r := range s.rooms {
		r.now = s.now
		all := s.reach(r, 0)
		for _, x := range r.who {
			for _, other := range r.who {
				if b := x.ledger.book.teams[other.id]; b.isBlocked() {
					s.block(x, other, ActUnblocked)
				}
			}
		}
		r.deliverAll()
		s.sync(r, all)
		for range 3 {
			for _, i := range r.honest() {
				for n := 0; n < 10; n++ {
					ds := r.ledgers[i].Drafts(r.room, s.now)
					if len(ds) == 0 {
						break
					}
					r.sign(i, ds[s.rng.IntN(len(ds))])
				}
			}
			r.deliverAll()
		}
		for range 2 {
			s.sync(r, all)
		}
	}
}

// settled checks I-44: after healing the honest see one room, use one key, and everybody can read what a member says.
func (s *roomSim) settled(r *simRoom) {
	h := r.honest()
	first, _ := r.ledgers[h[0]].Room(r.room, s.now)
	for _, i := range h {
		if info, _ := r.ledgers[i].Room(r.room, s.now); !reflect.DeepEqual(public(info), public(first)) {
			a, b := reflect.ValueOf(public(first)), reflect.ValueOf(public(info))
			for f := range a.NumField() {
				if x, y := a.Field(f).Interface(), b.Field(f).Interface(); !reflect.DeepEqual(x, y) {
					s.Fatalf("after healing, two see the room differently (I-44): %s\n%+v\n%+v", a.Type().Field(f).Name, x, y)
				}
			}
		}
	}
	r.check(h[0])
	s.count["version"] += int(first.Version)
	if first.State != RoomOpen && first.State != RoomQuorumLost {
		s.Fatalf("after healing the room is %v: %s", first.State, first.Why)
	}
	var members []int
	for _, i := range h {
		if first.Standing(r.teams[i]) == StandingMember {
			members = append(members, i)
		}
	}
	s.count["members"] += len(members)
	for _, m := range first.Members {
		s.count["in the end "+m.Status.String()]++
	}
	for _, i := range members {
		r.synced[i][r.teams[0]] = s.now // the traitor tells something, too
		if s.speak(r, i) == nil {
			s.Fatalf("after healing a member is silent")
		}
		s.sync(r, s.reach(r, 0))
	}
	chosen := map[protocol.Hash]bool{}
	for _, i := range members {
		u, _ := r.ledgers[i].UsableEpoch(r.room, s.now, nil)
		chosen[u.ID] = true
	}
	if len(chosen) > 1 {
		s.Fatalf("after healing, %d keys are used (I-44)", len(chosen))
	}
	for _, m := range r.messages {
		verdicts := map[bool]bool{}
		for _, i := range members {
			if m.author != i {
				verdicts[s.judge(r, m, i)] = true
			}
		}
		if len(verdicts) > 1 {
			s.Fatalf("after healing, a message is taken in by some only (I-44)")
		}
	}
	if len(members) > 1 && len(r.messages) == 0 {
		s.Fatalf("nobody says anything")
	}
}

// run lives the weeks.
func (s *roomSim) run(size simSize) {
	every := time.Duration(size.weeks) * 7 * 24 * time.Hour / time.Duration(size.steps)
	for n := range size.steps {
		s.now = s.now.Add(time.Duration(s.rng.Int64N(int64(2 * every))))
		s.replace(false)
		s.step()
		if n%200 == 0 {
			r := s.rooms[s.rng.IntN(len(s.rooms))]
			if i := 1 + s.rng.IntN(len(r.who)-1); r.ledgers[i].rooms[r.room] != nil {
				r.now = s.now
				r.check(i)
			}
		}
	}
	s.heal()
	for _, r := range s.rooms {
		s.settled(r)
		s.oracle(r)
	}
}

func worldNumber(env string, n int) int {
	if v, err := strconv.Atoi(os.Getenv(env)); err == nil {
		return v
	}
	return n
}

// Six weeks in the life of 40 rooms and 250 teams: I-20 to I-33 and I-44, and the oracle that tries every key on everything.
// ENTENTE_WORLD_RUNS and ENTENTE_WORLD_SEED ask for more of these worlds, beginning with a seed; ENTENTE_WORLD_STEPS for longer ones.
func TestRoomsOverWeeks(t *testing.T) {
	size := simSize{rooms: 40, teams: 250, steps: 10000, weeks: 6}
	if testing.Short() {
		size = simSize{rooms: 6, teams: 40, steps: 1500, weeks: 5}
	}
	size.steps = worldNumber("ENTENTE_WORLD_STEPS", size.steps)
	first := worldNumber("ENTENTE_WORLD_SEED", 1)
	for seed := first; seed < first+worldNumber("ENTENTE_WORLD_RUNS", 1); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := newRoomSim(t, uint64(seed), size)
			s.run(size)
			for _, r := range s.rooms[:len(s.rooms)/4+1] {
				r.now = s.now
				before, _ := r.ledgers[r.honest()[0]].Room(r.room, r.now)
				r.backdate(before)
				r.decide()
			}
			t.Logf("%v", s.count)
			for _, what := range []string{"messages", "grants", "epochs", "cards", "charters", "holds", "leaves", "thefts", "forged", "judged", "absences", "blocks"} {
				if s.count[what] == 0 && !testing.Short() {
					t.Errorf("no %s in all these weeks", what)
				}
			}
		})
	}
}

// Worlds in which something was wrong once: a new member was given what was said while it applied (12), an honest steward looked
// like a traitor (114), a team that was out accepted again and again, until no ledger had room for it (233).
func TestRoomsOverWeeksFound(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	size := simSize{rooms: 6, teams: 40, steps: 1500, weeks: 5}
	for _, seed := range []uint64{12, 114, 233} {
		newRoomSim(t, seed, size).run(size)
	}
}

// Rules that look as good as ours. The oracle must catch each.
func TestRoomsOverWeeksCatchMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	mutants := map[string]func(){
		"seals to whoever holds a key": func() {
			testOnlyUsable = func(e *protocol.Epoch, v *roomVersion, _ *roll, now time.Time) bool { return inTime(e, v, now) }
		},
		"seals to fewer than may read": func() {
			testOnlyUsable = func(e *protocol.Epoch, v *roomVersion, l *roll, now time.Time) bool {
				return inTime(e, v, now) && !slices.ContainsFunc(e.Nodes, func(k protocol.KID) bool { return l.nodes[k].IsZero() })
			}
		},
		"uses a key from before an admission": func() {
			testOnlyUsable = func(e *protocol.Epoch, v *roomVersion, l *roll, now time.Time) bool {
				return inTime(e, v, now) && forExactly(e, l)
			}
		},
		"gives keys to whoever is a member": func() {
			testOnlyGrant = func(*Rooms, *roomAt, *epoch, protocol.TeamID, protocol.KID) string { return "" }
		},
		"gives keys since joining, whoever was left out": func() {
			testOnlyGrant = func(_ *Rooms, r *roomAt, e *epoch, t protocol.TeamID, to protocol.KID) string {
				if v := r.head(); e.names(to) || v.History == protocol.HistoryAll || e.Created >= v.lines[t].tip().joined {
					return ""
				}
				return "grant-history"
			}
		},
		"gives keys to those named only": func() {
			testOnlyGrant = func(_ *Rooms, _ *roomAt, e *epoch, _ protocol.TeamID, to protocol.KID) string {
				if e.names(to) {
					return ""
				}
				return "grant-history"
			}
		},
		"takes in what anybody says who has the key": func() {
			testOnlyAuthor = func(RoomMember) string { return "" }
		},
		"takes in what who is held says": func() {
			testOnlyAuthor = func(m RoomMember) string {
				if m.Status == StandingMember || m.Status == StandingHeld {
					return ""
				}
				return "author-out"
			}
		},
		"takes in nothing of who is out": func() {
			testOnlyAuthor = func(m RoomMember) string {
				if m.Status == StandingMember {
					return ""
				}
				return "author-out"
			}
		},
	}
	size := simSize{rooms: 4, teams: 30, steps: 1500, weeks: 4}
	for name, mutate := range mutants {
		t.Run(name, func(t *testing.T) {
			defer func() { testOnlyUsable, testOnlyGrant, testOnlyAuthor = nil, nil, nil }()
			mutate()
			for seed := uint64(5); seed < 45; seed++ {
				if why := caughtBy(func(c *catcher) { newRoomSim(c, seed, size).run(size) }); why != "" {
					t.Logf("%.300s", why)
					return
				}
			}
			t.Fatal("not caught")
		})
	}
}
