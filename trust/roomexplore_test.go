package trust

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/entente-network/entente/protocol"
)

// These tests visit every state of the vote on a charter that a few honest stewards can reach, with the functions that decide
// what a steward may do in production. Traitors are taken to have cast every vote that there is, so that any of them can be
// used at any time; honest stewards are alike, so states that differ in who is who are one. ROOM_DEEP=1 goes further.

const exRounds = 5

// exCharters are the proposals: the first keeps team X as a member, the second and third have it removed.
var exCharters = [4]protocol.Hash{1: protocol.Sum("test", []byte("A")), 2: protocol.Sum("test", []byte("B")), 3: protocol.Sum("test", []byte("C"))}

// A votesOf is what one honest steward signed: for each round the number of the charter that it approved and adopted, and
// whether it voted for the removal of X.
type votesOf struct {
	approved, adopted [exRounds]int8 // by round from 0; 0: none
	removes           bool
	gaveUp            bool // the removal, in adopting
}

func (v votesOf) ballots() []ballot {
	var out []ballot
	for r := range exRounds {
		if v.approved[r] != 0 {
			out = append(out, ballot{false, uint64(r + 1), exCharters[v.approved[r]]})
		}
		if v.adopted[r] != 0 {
			out = append(out, ballot{true, uint64(r + 1), exCharters[v.adopted[r]]})
		}
	}
	return out
}

const exStewards = 5

type voteState [exStewards]votesOf

// exRules are the functions that are explored. A mutant takes the place of one of them.
type exRules struct {
	position func([]ballot) position
	approve  func(p position, round uint64, c protocol.Hash, n approvals, q int) (uint64, string)
	adopt    func(p position, round uint64, c protocol.Hash, n approvals, q int) string
	card     func(p position, rounds uint64, cs []protocol.Hash, n approvals, q int) string
	loses    func(next *protocol.Charter, voted []*roomCard, overtaken func(*roomCard) bool) *roomCard
	onePhase bool
}

func production() exRules {
	return exRules{position: positionOf, approve: position.mayApprove, adopt: position.mayAdopt, card: position.mayVoteCard, loses: losesCard}
}

type voteWorld struct {
	exRules
	n, f, q  int // q of n decide, f cheat
	rounds   int
	charters int8
	cards    bool // whether stewards vote for the removal of X, too
	silent   int  // traitors vote only in rounds below; 0: in all
	giveUp   bool // stewards may give up the removal when they adopt

	registry  [4]*protocol.Charter
	removal   *roomCard
	positions map[votesOf]position
}

// newVoteWorld returns a world of n stewards, f of them traitors, where as many decide as production says.
func newVoteWorld(n, f, rounds int) *voteWorld {
	w := &voteWorld{exRules: production(), n: n, f: f, q: protocol.Quorum(n), rounds: rounds, charters: 2, positions: map[votesOf]position{}}
	x := protocol.Sum("test", []byte("X"))
	w.removal = &roomCard{id: protocol.Sum("test", []byte("card")), MemberCard: &protocol.MemberCard{Subject: x, N: 1, Status: protocol.MemberRemoved, Until: 9}}
	drawLine(place{status: protocol.MemberFull, until: 9}, []*roomCard{w.removal}, func(place, *roomCard) bool { return false })
	for i := range w.registry {
		w.registry[i] = &protocol.Charter{}
	}
	w.registry[1].Members = []protocol.Seat{{Team: x, Status: protocol.MemberFull, Until: 9}}
	return w
}

func (w *voteWorld) honest() int { return w.n - w.f }

func (w *voteWorld) count(s *voteState, adopt bool, r int, c int8) int {
	k := w.f
	if w.silent > 0 && r >= w.silent {
		k = 0
	}
	for i := range w.honest() {
		if adopt && s[i].adopted[r] == c || !adopt && s[i].approved[r] == c {
			k++
		}
	}
	return k
}

// approvals is how production asks.
func (w *voteWorld) approvals(s *voteState) approvals {
	return func(round uint64, charter protocol.Hash) int {
		return w.count(s, false, int(round)-1, int8(slices.Index(exCharters[:], charter)))
	}
}

func (w *voteWorld) position(v votesOf) position {
	v.removes, v.gaveUp = false, false
	p, ok := w.positions[v]
	if !ok {
		p = w.exRules.position(v.ballots())
		w.positions[v] = p
	}
	return p
}

// decided returns which charters are certified.
func (w *voteWorld) decided(s *voteState) (out [4]bool) {
	for c := int8(1); c <= w.charters; c++ {
		votes := map[voteKey]map[protocol.TeamID]protocol.Hash{}
		for r := range w.rounds {
			n := w.count(s, !w.onePhase, r, c)
			if n < w.q {
				continue // winner says no, and asking it for every state takes long
			}
			by := map[protocol.TeamID]protocol.Hash{}
			for i := range n {
				by[protocol.Hash{0: 1, 1: byte(i)}] = protocol.Hash{}
			}
			votes[voteKey{uint64(r + 1), exCharters[c]}] = by
		}
		out[c] = winner(exCharters[c], votes, w.q)
	}
	return out
}

func (w *voteWorld) removed(s *voteState) bool {
	k := w.f
	for i := range w.honest() {
		if s[i].removes {
			k++
		}
	}
	return k >= w.q
}

// next calls fn with each state that one vote of an honest steward leads to, in the rounds from first on.
func (w *voteWorld) next(s voteState, first int, fn func(voteState)) {
	n := w.approvals(&s)
	for i := range w.honest() {
		if i > 0 && s[i] == s[i-1] {
			continue // the same by another of those who are alike
		}
		p := w.position(s[i])
		for r := first; r < w.rounds; r++ {
			for c := int8(1); c <= w.charters; c++ {
				if _, rule := w.approve(p, uint64(r+1), exCharters[c], n, w.q); rule == "" {
					t := s
					t[i].approved[r] = c
					fn(w.canonical(t))
				}
				if w.adopt(p, uint64(r+1), exCharters[c], n, w.q) != "" {
					continue
				}
				var voted []*roomCard
				if s[i].removes {
					voted = []*roomCard{w.removal}
				}
				if w.loses(w.registry[c], voted, func(*roomCard) bool { return false }) == nil {
					t := s
					t[i].adopted[r] = c
					fn(w.canonical(t))
				} else if w.giveUp {
					t := s
					t[i].adopted[r], t[i].gaveUp = c, true
					fn(w.canonical(t))
				}
			}
		}
		if w.cards && !s[i].removes && w.card(p, uint64(w.rounds), exCharters[1:w.charters+1], n, w.q) == "" {
			t := s
			t[i].removes = true
			fn(w.canonical(t))
		}
	}
}

// canonical puts the honest stewards in order.
func (w *voteWorld) canonical(s voteState) voteState {
	slices.SortFunc(s[:w.honest()], compareVotes)
	return s
}

func compareVotes(a, b votesOf) int {
	for r := range exRounds {
		if d := int(a.approved[r]) - int(b.approved[r]); d != 0 {
			return d
		}
		if d := int(a.adopted[r]) - int(b.adopted[r]); d != 0 {
			return d
		}
	}
	bit := func(v votesOf) (n int) {
		if v.removes {
			n = 2
		}
		if v.gaveUp {
			n++
		}
		return n
	}
	return bit(a) - bit(b)
}

// safe returns what is wrong with a state; "" if nothing.
func (w *voteWorld) safe(s *voteState) string {
	d := w.decided(s)
	switch {
	case d[1] && d[2]:
		return "two charters of one version are certified (I-20)"
	case d[1] && w.cards && w.removed(s) && !slices.ContainsFunc(s[:], func(v votesOf) bool { return v.gaveUp }):
		return "a charter that keeps X is certified, and so is the removal of X (I-22)"
	}
	return ""
}

// explore visits every state, and returns their number, how many are decided, and what was wrong with one.
func (w *voteWorld) explore() (states, decided int, violation string) {
	seen := map[voteState]struct{}{{}: {}}
	for todo := []voteState{{}}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if why := w.safe(&s); why != "" {
			return len(seen), decided, fmt.Sprintf("%s: %+v", why, s[:w.honest()])
		}
		if d := w.decided(&s); d[1] || d[2] || d[3] {
			decided++
		}
		w.next(s, 0, func(t voteState) {
			if _, ok := seen[t]; !ok {
				seen[t] = struct{}{}
				todo = append(todo, t)
			}
		})
	}
	return len(seen), decided, ""
}

// I-20 and I-22, for every room of up to five stewards: whatever the order of votes, and whatever the traitors do.
func TestExploreCharterVote(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	deep := os.Getenv("ROOM_DEEP") != ""
	cases := []struct {
		n, f, rounds  int
		cards, giveUp bool
		deep          bool
	}{
		{2, 0, 3, false, false, false}, {3, 0, 3, false, false, false}, {4, 1, 3, false, false, false}, {5, 1, 2, false, false, false},
		{3, 0, 2, true, false, false}, {4, 1, 2, true, false, false}, {5, 1, 2, true, false, false}, {4, 1, 2, true, true, false},
		{4, 1, 3, true, false, true}, {5, 1, 3, false, false, true}, {5, 1, 2, true, true, true},
	}
	for _, c := range cases {
		if c.deep && !deep {
			continue
		}
		w := newVoteWorld(c.n, c.f, c.rounds)
		w.cards, w.giveUp = c.cards, c.giveUp
		states, decided, violation := w.explore()
		if violation != "" {
			t.Fatalf("%+v, after %d states: %s", c, states, violation)
		}
		if decided == 0 {
			t.Errorf("%+v: nothing is ever decided in %d states", c, states)
		}
		t.Logf("%d stewards, %d traitors, %d rounds, cards %v: %d states up to who is who, %d decided", c.n, c.f, c.rounds, c.cards, states, decided)
	}
}

// Rules that look as good as ours. Each must be caught, or the exploration has no teeth.
func TestExploreCharterVoteCatchesMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	unlocked := func(p position) position { p.lock = ballot{}; return p }
	mutants := map[string]func() *voteWorld{
		"no lock": func() *voteWorld {
			w := newVoteWorld(4, 1, 3)
			w.exRules.position = func(b []ballot) position { return unlocked(positionOf(b)) }
			return w
		},
		"a lock is lifted by any older approvals": func() *voteWorld {
			w := newVoteWorld(4, 1, 3)
			w.approve = func(p position, round uint64, c protocol.Hash, n approvals, q int) (uint64, string) {
				pol, rule := p.mayApprove(round, c, n, q)
				for r := uint64(1); rule == "vote-locked" && r < round; r++ {
					if n(r, c) >= q {
						return r, ""
					}
				}
				return pol, rule
			}
			return w
		},
		"one phase, voted anew in each round": func() *voteWorld {
			w := newVoteWorld(4, 1, 2)
			w.onePhase = true
			return w
		},
		"back to lower rounds": func() *voteWorld {
			w := newVoteWorld(4, 1, 3)
			w.exRules.position = func(b []ballot) position { p := positionOf(b); p.round = 0; return p }
			return w
		},
		"a majority of five decides": func() *voteWorld { w := newVoteWorld(5, 1, 2); w.q = 3; return w },
		"two of three decide":        func() *voteWorld { w := newVoteWorld(3, 1, 2); w.q = 2; return w },
		"two traitors of four":       func() *voteWorld { return newVoteWorld(4, 2, 2) },
		"adopts without a quorum of approvals": func() *voteWorld {
			w := newVoteWorld(4, 1, 2)
			w.adopt = func(p position, round uint64, c protocol.Hash, n approvals, q int) string {
				return p.mayAdopt(round, c, n, q-1)
			}
			return w
		},
		"votes twice in a round": func() *voteWorld {
			w := newVoteWorld(4, 1, 2)
			w.exRules.position = func(b []ballot) position {
				p := positionOf(b)
				p.ballots = nil
				p.lock = ballot{}
				return p
			}
			return w
		},
		"no guard when adopting": func() *voteWorld {
			w := newVoteWorld(4, 1, 2)
			w.cards = true
			w.loses = func(*protocol.Charter, []*roomCard, func(*roomCard) bool) *roomCard { return nil }
			return w
		},
		"card votes while locked": func() *voteWorld {
			w := newVoteWorld(4, 1, 2)
			w.cards = true
			w.card = func(position, uint64, []protocol.Hash, approvals, int) string { return "" }
			return w
		},
		"a lock on cards that approvals of the same charter lift": func() *voteWorld {
			w := newVoteWorld(4, 1, 2)
			w.cards = true
			w.card = func(p position, rounds uint64, cs []protocol.Hash, n approvals, q int) string {
				for _, c := range cs {
					for r := uint64(1); r <= rounds; r++ {
						if n(r, c) >= q {
							return ""
						}
					}
				}
				return p.mayVoteCard(rounds, cs, n, q)
			}
			return w
		},
		"a guard that suspension satisfies": func() *voteWorld {
			w := newVoteWorld(4, 1, 2)
			w.cards = true
			w.registry[1].Members[0].Status = protocol.MemberSuspended
			w.loses = func(next *protocol.Charter, voted []*roomCard, o func(*roomCard) bool) *roomCard {
				if s, ok := next.Seat(w.removal.Subject); ok && s.Status > protocol.MemberFull {
					return nil
				}
				return losesCard(next, voted, o)
			}
			return w
		},
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			states, _, violation := mutant().explore()
			if violation == "" {
				t.Fatalf("not caught in %d states", states)
			}
			t.Logf("caught after %d states: %s", states, violation)
		})
	}
}

// stuck returns how many of the states reachable in the first two rounds, with the traitors' help, cannot be decided in two
// more by the honest alone.
func (w *voteWorld) stuck() (states, stuck int) {
	w.rounds, w.silent = 2, 2
	seen := map[voteState]bool{{}: true}
	all := []voteState{{}}
	for i := 0; i < len(all); i++ {
		w.next(all[i], 0, func(t voteState) {
			if !seen[t] {
				seen[t] = true
				all = append(all, t)
			}
		})
	}
	w.rounds = 4
	memo := map[voteState]bool{}
	var reach func(s voteState) bool
	reach = func(s voteState) bool {
		if d := w.decided(&s); d[1] || d[2] {
			return true
		}
		if v, ok := memo[s]; ok {
			return v
		}
		memo[s] = false
		found := false
		w.next(s, 2, func(t voteState) { found = found || reach(t) })
		memo[s] = found
		return found
	}
	for _, s := range all {
		if !reach(s) {
			stuck++
		}
	}
	return len(all), stuck
}

// I-21: from whatever the stewards got into, the honest alone can still decide, if as few are silent as the quorum allows.
func TestExploreCharterVoteLives(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, n := range []int{2, 3, 4} {
		w := newVoteWorld(n, protocol.Faults(n), 2)
		states, stuck := w.stuck()
		if stuck > 0 {
			t.Errorf("%d stewards: %d of %d states are stuck", n, stuck, states)
		}
		t.Logf("%d stewards: %d states, %d stuck", n, states, stuck)
	}
	// With removals besides. By the rules alone, two of four adopt a charter, and two vote for a removal that it would lose: then
	// nothing can be decided ever again, though nobody cheats. So a steward may give a removal up, by a person's decision.
	worlds := [][2]int{{3, 0}, {4, 1}}
	if os.Getenv("ROOM_DEEP") != "" {
		worlds = append(worlds, [2]int{4, 0})
	}
	for _, nf := range worlds {
		for _, giveUp := range []bool{false, true} {
			w := newVoteWorld(nf[0], nf[1], 2)
			w.cards, w.giveUp = true, giveUp
			states, stuck := w.stuck()
			if (stuck > 0) == giveUp {
				t.Errorf("%d stewards, %d traitors, removals, given up %v: %d of %d states are stuck", nf[0], nf[1], giveUp, stuck, states)
			}
			t.Logf("%d stewards, %d traitors, removals, given up %v: %d states, %d stuck", nf[0], nf[1], giveUp, states, stuck)
		}
	}
	w := newVoteWorld(4, 1, 2)
	w.approve = func(p position, round uint64, c protocol.Hash, n approvals, q int) (uint64, string) {
		return p.mayApprove(round, c, func(uint64, protocol.Hash) int { return 0 }, q)
	}
	if states, stuck := w.stuck(); stuck == 0 {
		t.Errorf("locks that nothing lifts leave none of %d states stuck", states)
	} else {
		t.Logf("without a way out of a lock, %d of %d states are stuck", stuck, states)
	}
}

// The guard by counting: no honest steward votes both for a card and for a charter that loses it, so not both are certified,
// whatever the number of stewards.
func TestGuardByCounting(t *testing.T) {
	both := func(n, f, q int, guard bool) (lost bool) {
		for cards := range n - f + 1 {
			for charters := range n - f + 1 {
				if guard && cards+charters > n-f {
					continue
				}
				lost = lost || cards+f >= q && charters+f >= q
			}
		}
		return lost
	}
	for n := 4; n <= protocol.MaxStewards; n++ {
		f, q := protocol.Faults(n), protocol.Quorum(n)
		if both(n, f, q, true) {
			t.Errorf("%d stewards, %d traitors, %d decide: a certified removal can be lost", n, f, q)
		}
		if !both(n, f, q, false) || !both(n, f, q-1, true) && (n-f)%2 == 0 {
			t.Errorf("%d stewards: without the guard, or with fewer, nothing is lost", n)
		}
		if q > n-f {
			t.Errorf("%d stewards: %d cannot decide while %d are silent", n, q, f)
		}
	}
}

// I-20 for seven stewards, two of them traitors: random orders of votes on three charters, over five rounds.
func TestWalkCharterVote(t *testing.T) {
	walks := 3000
	if testing.Short() {
		walks = 300
	} else if os.Getenv("ROOM_DEEP") != "" {
		walks = 200_000
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 7))
	decided := 0
	for range walks {
		w := newVoteWorld(7, 2, exRounds)
		w.charters, w.cards = 3, true
		var s voteState
		for range 60 {
			var to []voteState
			w.next(s, 0, func(n voteState) { to = append(to, n) })
			if len(to) == 0 {
				break
			}
			s = to[rng.IntN(len(to))]
			if why := w.safe(&s); why != "" {
				t.Fatalf("seed %d: %s: %+v", seed, why, s)
			}
		}
		if d := w.decided(&s); d[1] || d[2] || d[3] {
			decided++
		}
	}
	t.Logf("seed %d: %d walks, %d decided", seed, walks, decided)
	if decided == 0 {
		t.Error("no walk decides anything")
	}
}
