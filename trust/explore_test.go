package trust

import (
	"fmt"
	"maps"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust/trusttest"
)

// This file explores every interleaving of two honest teams that agree, suspend, resume, end and renew, up to a bound, on the
// code that the node runs: each record is verified once by AddAgreement, taken in by takeAgreement and takeStatus in every
// order, and every message is judged by Ask and Decide. What must hold is said a second time in expected, from the records
// alone. Records and messages arrive in any order and more than once, the clocks of the two differ, and the root log of one
// party may be found forked.

// A set is a set of records, by their place in explorer.records.
type set uint32

func (s set) has(i int) bool { return s>>i&1 == 1 }

// An exRecord is one record that one of the two may sign.
type exRecord struct {
	by        int // 0: A, 1: B
	of        int // 0: the agreement, 1: its renewal
	needs     set // what its author has to know to sign it
	agreement *agreement
	word      *status
}

// An exState is everything: what each side knows, its clock, whether it has seen the fork, and one message.
type exState struct {
	known   [2]set
	clock   [2]uint8
	forked  [2]bool
	message exMessage
}

type exMessage struct {
	where  uint8 // one of the places below
	author uint8
	of     uint8
}

const (
	unsent uint8 = iota
	underWay
	heldBack
	accepted
)

// A view is what one side keeps when it knows a set of records.
type view struct {
	agreements map[protocol.Hash]*agreement
	kept       string
	ended      bool // the agreement is, by its own state
}

// A judgement is what one side thinks of both agreements.
type judgement struct {
	state, underway [2]AgreementState
	compose, take   [2]bool
	must            *judgement // the same, from the records alone
}

type judgementKey struct {
	side   int
	known  set
	clock  uint8
	forked bool
}

type explorer struct {
	teams      [2]*trusttest.Team
	books      [2]map[bool]*Book // by side, and whether the fork is known; they hold no agreements
	records    []exRecord
	offers     [2]protocol.Hash // the agreement and its renewal
	clocks     []time.Time
	from       [2]uint8 // the clock at which each begins
	until      [2]uint8 // and is over
	wordSet    set      // of records, the words
	views      [2]map[set]*view
	steps      [2]map[step]set
	judgements map[judgementKey]*judgement
	compared   map[judgementKey]bool
	violation  string

	maxWords  int
	noRecheck bool // mutant: the receiver takes in what comes
	noCheck   bool // mutant: the author sends whatever it thinks of the agreement
	deaf      bool // mutant: the partner's words do not matter
}

// A step is one record that comes to one who knows a set.
type step struct {
	known set
	i     int
}

func newExplorer(t testing.TB) *explorer {
	x := &explorer{judgements: map[judgementKey]*judgement{}, compared: map[judgementKey]bool{}, maxWords: 3}
	for i, name := range []string{"CERT-A", "CERT-B"} {
		x.teams[i] = trusttest.NewTeam(t, name, "AT", now)
		x.views[i], x.steps[i] = map[set]*view{}, map[step]set{}
	}
	a, b := x.teams[0], x.teams[1]
	at := func(days int) uint64 { return uint64(now.Add(time.Duration(days) * day).Unix()) }
	x.clocks = []time.Time{now, now.Add(2 * day), now.Add(6 * day), now.Add(12 * day)}
	offer := a.Offer(b, func(g *protocol.Agreement) { g.From, g.Until = at(1), at(10) })
	renewal := b.Offer(a, func(g *protocol.Agreement) { g.From, g.Until, g.Prev = at(5), at(20), offer.ID() })
	x.offers = [2]protocol.Hash{offer.ID(), renewal.ID()}
	x.from, x.until = [2]uint8{1, 2}, [2]uint8{3, 4}

	for side := range 2 {
		base := bookOf(t, x.teams[side], x.teams[1-side])
		forked := base.copyWith(b.ID)
		one, other := b.Fork(), b.Fork()
		mustAdd(t, forked, one.NextRoot(nil), other.NextRoot(func(r *protocol.Root) { r.Reason = "stolen" }))
		x.books[side] = map[bool]*Book{false: base, true: forked}
	}

	reader := x.books[0][false].copyWith(protocol.TeamID{})
	add := func(by, of int, needs set, e *protocol.Envelope) {
		r := exRecord{by: by, of: of, needs: needs}
		var err error
		if e.Type == protocol.TypeAgreement {
			// Read by a Book that knows nothing of it, so that all signatures are in it.
			r.agreement, err = x.books[1-by][false].readAgreement(e, false)
		} else {
			r.word, err = reader.readStatus(e, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		reader.AddAgreement(e, now)
		if r.word != nil {
			x.wordSet |= 1 << len(x.records)
		}
		x.records = append(x.records, r)
	}
	add(0, 0, 0, offer)
	add(1, 0, 1<<0, b.Countersign(offer))
	add(1, 1, 1<<0, renewal)
	add(0, 1, 1<<2, a.Countersign(renewal))
	for side, team := range x.teams {
		for counter := uint64(1); counter <= 3; counter++ {
			for s := protocol.PartyOK; s <= protocol.PartyEnded; s++ {
				add(side, 0, 1<<0, team.Word(offer.ID(), counter, s))
			}
		}
		add(side, 1, 1<<2, team.Word(renewal.ID(), 1, protocol.PartySuspended))
		add(side, 1, 1<<2, team.Word(renewal.ID(), 1, protocol.PartyEnded))
	}
	for side := range 2 {
		x.views[side][0] = &view{agreements: map[protocol.Hash]*agreement{}}
	}
	return x
}

func (x *explorer) fail(format string, args ...any) {
	if x.violation == "" {
		x.violation = fmt.Sprintf(format, args...)
	}
}

// book returns the Book of a side that keeps what the view says.
func (x *explorer) book(side int, v *view, forked bool) *Book {
	b := *x.books[side][forked]
	b.agreements = v.agreements
	b.partners = map[protocol.TeamID][]protocol.Hash{}
	for id := range v.agreements {
		p := x.teams[1-side].ID
		b.partners[p] = with(b.partners[p], id)
	}
	return &b
}

// deliver returns what the side knows after a record came; the same as before if the record misses something.
func (x *explorer) deliver(side int, known set, i int) set {
	next, ok := x.steps[side][step{known, i}]
	if !ok {
		next = x.take(side, known, i)
		x.steps[side][step{known, i}] = next
	}
	return next
}

func (x *explorer) take(side int, known set, i int) set {
	v, r := x.view(side, known), x.records[i]
	if r.word != nil && v.agreements[x.offers[r.of]] == nil {
		return known
	}
	b := x.book(side, &view{agreements: maps.Clone(v.agreements)}, false)
	added := false
	if r.word != nil {
		added, _ = b.takeStatus(r.word)
	} else {
		var err error
		if added, _, _, err = b.takeAgreement(r.agreement, now, false); err != nil {
			x.fail("a record is refused: %v", err)
		}
	}
	next := known | 1<<i
	if known.has(i) && added {
		x.fail("a record that came twice was new both times")
	}
	got := &view{agreements: b.agreements}
	var out strings.Builder
	for _, e := range b.AgreementRecords() {
		id := e.ID()
		fmt.Fprintf(&out, "%x %d,", id[:4], len(e.Sigs))
	}
	got.kept = out.String()
	if a := b.agreements[x.offers[0]]; a != nil {
		got.ended = slices.Contains([]AgreementState{Ended, VoidState}, b.stand(a, x.clocks[1]).state)
	}
	if v.ended && !got.ended {
		x.fail("an agreement that was ended lives again")
	}
	if old := x.views[side][next]; old == nil {
		x.views[side][next] = got
		for j := range x.records {
			if next.has(j) {
				x.deliver(side, next, j) // again: nothing happens
			}
		}
	} else if old.kept != got.kept {
		x.fail("the same records in another order: %s, and %s", old.kept, got.kept)
	}
	return next
}

// view returns what the side keeps when it knows the set, by delivering it in the order of the records if it was not met yet.
func (x *explorer) view(side int, known set) *view {
	if v := x.views[side][known]; v != nil {
		return v
	}
	at := set(0)
	for i := range x.records {
		if known.has(i) {
			at = x.deliver(side, at, i)
		}
	}
	return x.views[side][at]
}

// expected says what must be, from the records alone.
func (x *explorer) expected(side int, known set, clock uint8, forked bool) (out judgement) {
	words := func(of int) (worst protocol.PartyStatus) {
		worst = protocol.PartyOK
		for party := range 2 {
			counter, at := uint64(0), protocol.PartyOK
			for i, r := range x.records {
				if r.word == nil || !known.has(i) || r.by != party || r.of != of {
					continue
				}
				switch w := r.word; {
				case w.Status == protocol.PartyEnded:
					counter, at = protocol.MaxCounter+1, w.Status
				case w.Counter > counter:
					counter, at = w.Counter, w.Status
				case w.Counter == counter:
					at = max(at, w.Status)
				}
			}
			worst = max(worst, at)
		}
		return worst
	}
	signed := [2]bool{known.has(1), known.has(3)}
	var alone [2]bool
	for of := range 2 {
		alone[of] = signed[of] && words(of) == protocol.PartyOK && !forked && clock >= x.from[of] && clock < x.until[of]
	}
	// While the fork is known nothing is in effect anyway, so it does not matter how far the signatures under it count.
	renewed := signed[1] && clock >= x.from[1]
	out.compose = [2]bool{alone[0] && !renewed, alone[1]}
	out.take = [2]bool{alone[0] && (!renewed || alone[1]), alone[1]}
	return out
}

// judge returns what production code says, after it was compared with what must be.
func (x *explorer) judge(side int, known set, clock uint8, forked bool) *judgement {
	key := judgementKey{side, known, clock, forked}
	if j := x.judgements[key]; j != nil {
		return j
	}
	heard := known
	if x.deaf {
		for i, r := range x.records {
			if r.word != nil && r.by != side {
				heard &^= 1 << i
			}
		}
	}
	b := x.book(side, x.view(side, heard), forked)
	at, partner := x.clocks[clock], x.teams[1-side].ID
	j := &judgement{}
	for of, id := range x.offers {
		i, _ := b.Agreement(id, at)
		j.state[of], j.underway[of] = i.State, i.Underway
		sent := protocol.Audience{Kind: protocol.InAgreement, Teams: []protocol.TeamID{partner}, Agreement: id}
		got := protocol.Audience{Kind: protocol.InAgreement, Teams: []protocol.TeamID{x.teams[side].ID}, Agreement: id}
		// The fork is of B's log: A sees that in the state of its peer, B in that of the agreement alone.
		j.compose[of] = Decide(b.Ask(Compose, tlp.Amber, sent, partner, at)).Allowed
		j.take[of] = Decide(b.Ask(Receive, tlp.Amber, got, partner, at)).Allowed
		if j.compose[of] && i.State != Active {
			x.fail("a message may go under an agreement that is %v", i.State)
		}
	}
	must := x.expected(side, known, clock, forked)
	j.must = &must
	if j.compose != must.compose || j.take != must.take {
		x.fail("side %d knows %b at %d, forked %v: composes %v, takes %v; want %v, %v", side, known, clock, forked, j.compose, j.take,
			must.compose, must.take)
	}
	x.judgements[key] = j
	return j
}

// together checks I-44: after everything was delivered to both, and their clocks agree, both say the same.
func (x *explorer) together(s exState) {
	all, forked := s.known[0]|s.known[1], s.forked[0] || s.forked[1]
	key := judgementKey{known: all, forked: forked}
	if x.compared[key] {
		return
	}
	x.compared[key] = true
	for clock := range uint8(len(x.clocks)) {
		a, b := x.judge(0, all, clock, forked), x.judge(1, all, clock, forked)
		if a.state != b.state || a.underway != b.underway {
			x.fail("with all records at %d: A says %v, B says %v", clock, a.state, b.state)
		}
	}
	if x.view(0, all).kept != x.view(1, all).kept {
		x.fail("with all records, the two keep different ones")
	}
}

// next calls fn with every state that one step leads to.
func (x *explorer) next(s exState, fn func(exState)) {
	created := s.known[0] | s.known[1]
	words := bits.OnesCount32(uint32(created & x.wordSet))
	for side := range 2 {
		mine := s.known[side]
		for i, r := range x.records {
			n := s
			switch {
			case mine.has(i):
				continue
			case created.has(i):
				n.known[side] = x.deliver(side, mine, i)
			case r.by != side || mine&r.needs != r.needs || r.word != nil && (words >= x.maxWords || !x.mayCount(mine, r)):
				continue
			default:
				n.known[side] = x.deliver(side, mine, i)
			}
			if n != s {
				fn(n)
			}
		}
		if int(s.clock[side]) < len(x.clocks)-1 {
			n := s
			n.clock[side]++
			fn(n)
		}
		if !s.forked[side] {
			n := s
			n.forked[side] = true
			fn(n)
		}
		x.messages(s, side, fn)
	}
}

// mayCount reports whether an officer may give the word this counter: the next, or the last one again, of which the officer
// did not know yet.
func (x *explorer) mayCount(mine set, r exRecord) bool {
	last := uint64(0)
	for i, o := range x.records {
		if mine.has(i) && o.word != nil && o.by == r.by && o.of == r.of {
			last = max(last, o.word.Counter)
		}
	}
	return r.word.Counter == last+1 || r.word.Counter == last
}

// messages calls fn with what sending, and what delivery to the side leads to.
func (x *explorer) messages(s exState, side int, fn func(exState)) {
	j := x.judge(side, s.known[side], s.clock[side], s.forked[side])
	must, m := j.must, s.message
	switch {
	case m.where == unsent:
		for of := range 2 {
			if !j.compose[of] && !(x.noCheck && s.known[side]>>(2*of)&1 == 1) {
				continue
			}
			n := s
			n.message = exMessage{underWay, uint8(side), uint8(of)}
			if !must.compose[of] {
				x.fail("side %d sent what it knew it must not: %+v", side, s)
			}
			fn(n)
		}
	case m.author != uint8(side) && m.where != accepted:
		n := s
		if n.message.where = heldBack; j.take[m.of] || x.noRecheck {
			n.message.where = accepted
			if !must.take[m.of] {
				x.fail("side %d took in what it knew it must not: %+v", side, s)
			}
		}
		if n != s {
			fn(n)
		}
	}
}

// explore visits every state that can be reached within so many steps.
func (x *explorer) explore(start exState, steps int) (states int) {
	seen := map[exState]bool{start: true}
	at := []exState{start}
	for depth := 0; len(at) > 0 && depth < steps && x.violation == ""; depth++ {
		var further []exState
		for _, s := range at {
			x.next(s, func(n exState) {
				if !seen[n] {
					seen[n] = true
					further = append(further, n)
				}
			})
			x.together(s)
			if x.violation != "" {
				break
			}
		}
		at = further
	}
	return len(seen)
}

// starts are where explorations begin, and how far they go.
var starts = []struct {
	name  string
	state exState
	steps int
}{
	{"from nothing", exState{}, 11},
	{"from an agreement in effect", exState{known: [2]set{0b11, 0b11}, clock: [2]uint8{1, 1}}, 10},
	{"from a renewal in effect", exState{known: [2]set{0b1111, 0b1111}, clock: [2]uint8{1, 2}}, 9},
}

func TestExploreAgreement(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	x, all := newExplorer(t), 0
	for _, s := range starts {
		steps := s.steps
		if os.Getenv("ENTENTE_THOROUGH") == "" {
			steps-- // a third of the states
		}
		states := x.explore(s.state, steps)
		if x.violation != "" {
			t.Fatalf("%s, after %d states: %s", s.name, states, x.violation)
		}
		t.Logf("%s: %d states", s.name, states)
		all += states
	}
	t.Logf("%d states, %d sets of records, %d judgements", all, len(x.views[0])+len(x.views[1]), len(x.judgements))
	if all < 300_000 {
		t.Errorf("%d states: too few to mean much", all)
	}
}

// Rules that look as good as ours. Each must be caught, or the exploration has no teeth.
func TestExploreCatchesMutants(t *testing.T) {
	honest := compareWords
	mutants := map[string]func(x *explorer){
		"the lowest counter wins":  func(*explorer) { testOnlyCompareWords = func(a, b *status) int { return plainOrder(b, a) } },
		"an end can be taken back": func(*explorer) { testOnlyCompareWords = plainOrder },
		"of one counter, the first wins": func(*explorer) {
			testOnlyCompareWords = func(a, b *status) int {
				if a.Counter == b.Counter && a.Status != protocol.PartyEnded && b.Status != protocol.PartyEnded {
					return 1
				}
				return orderOf(honest, a, b)
			}
		},
		"of one counter, the last wins": func(*explorer) {
			asked := false
			testOnlyCompareWords = func(a, b *status) int {
				if a.Counter == b.Counter && a.Status != protocol.PartyEnded && b.Status != protocol.PartyEnded {
					asked = !asked // takeStatus asks first whether the old one stands, then whether the new one does
					return map[bool]int{true: -1, false: 1}[asked]
				}
				return orderOf(honest, a, b)
			}
		},
		"of one counter, the more permissive wins": func(*explorer) {
			testOnlyCompareWords = func(a, b *status) int {
				if a.Counter == b.Counter && a.Status != protocol.PartyEnded && b.Status != protocol.PartyEnded {
					return int(b.Status) - int(a.Status)
				}
				return orderOf(honest, a, b)
			}
		},
		"the receiver does not check again": func(x *explorer) { x.noRecheck = true },
		"the author does not check":         func(x *explorer) { x.noCheck = true },
		"only one's own word counts":        func(x *explorer) { x.deaf = true },
	}
	for name, mutate := range mutants {
		t.Run(name, func(t *testing.T) {
			defer func() { testOnlyCompareWords = nil }()
			x := newExplorer(t)
			mutate(x)
			states := x.explore(starts[0].state, 8)
			if x.violation == "" {
				t.Fatalf("not caught in %d states", states)
			}
			t.Logf("caught after %d states: %s", states, x.violation)
		})
	}
}

// orderOf returns what the order says when nothing takes its place.
func orderOf(order func(a, b *status) int, a, b *status) int {
	mutant := testOnlyCompareWords
	testOnlyCompareWords = nil
	defer func() { testOnlyCompareWords = mutant }()
	return order(a, b)
}

func plainOrder(a, b *status) int {
	if a.Counter != b.Counter {
		return int(a.Counter) - int(b.Counter)
	}
	return int(a.Status) - int(b.Status)
}
