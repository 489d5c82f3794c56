package catchup

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// A world is a network of nodes in memory, driven by one seed: States and nothing else of the package, over feeds whose
// entries are authentic if the world made them. It has its own time.
type world struct {
	rng    *rand.Rand
	now    time.Time
	queue  agenda
	serial int
	nodes  []*simNode
	real   map[protocol.Hash]simEntry // every entry that an author made
	split  map[[2]int]bool            // pairs of nodes that cannot reach each other
	page   int                        // entries in one answer
	keep   time.Duration              // retention, 0: for ever
	cutoff map[protocol.FeedID]*protocol.Cutoff
	mutate func(n *simNode, e Event) Event // what a mutant makes of an event, nil: nothing
	fixup  func(n *simNode, e Event)       // what a mutant does after it
	trace  *strings.Builder

	sent, known, accepted int // entries that travelled in answers to honest nodes
	requests              int
	onRequest             func()
	violations            []string
}

type simEntry struct {
	feed     protocol.FeedID
	seq      uint64
	id, prev protocol.Hash
	made     time.Time
}

// A simNode is an author and a reader.
type simNode struct {
	w        *world
	i        int
	id       peer.ID
	kid      protocol.KID
	feed     protocol.FeedID
	lie      lie
	up       bool
	life     int // counts restarts: what was planned in an earlier life does not happen
	state    *State
	held     map[protocol.FeedID]*simFeed
	linked   map[int]bool
	compared map[int]time.Time
	heads    map[int]*protocol.Heads
	wake     time.Time
	revoked  map[protocol.FeedID]bool // cut-offs that it has heard of
	front    []Entry                  // nil: not computed
	digest   protocol.Hash            // of front
}

type simFeed struct {
	author  int
	first   uint64
	entries map[uint64]simEntry
	max     uint64
	taken   map[uint64]int // how often each was accepted, ever
	forked  bool
	cached  *Extent
}

// A lie is how a node misbehaves as a server.
type lie int

const (
	honest     lie = iota
	overclaims     // announces more than it has
	corrupts       // changes entries
	reorders       // gives them shuffled and twice
	swaps          // gives entries of another feed
	cuts           // hides the newest, and ends answers early
	silent         // never answers
	lies           // how many there are
)

type job struct {
	at     time.Time
	serial int
	do     func()
}

type agenda []job

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if c := a[i].at.Compare(a[j].at); c != 0 {
		return c < 0
	}
	return a[i].serial < a[j].serial
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(job)) }
func (a *agenda) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

var simStart = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

func newWorld(seed uint64, nodes int) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 1)), now: simStart, real: map[protocol.Hash]simEntry{}, split: map[[2]int]bool{},
		page: 20, cutoff: map[protocol.FeedID]*protocol.Cutoff{},
	}
	for i := range nodes {
		name := string(rune('a' + i))
		n := &simNode{
			w: w, i: i, id: peer.ID(name), kid: protocol.KID(append([]byte(name), make([]byte, 15)...)),
			feed: protocol.Sum("feed", []byte(name)), held: map[protocol.FeedID]*simFeed{}, heads: map[int]*protocol.Heads{},
			revoked: map[protocol.FeedID]bool{},
		}
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		for j, m := range w.nodes {
			n.held[m.feed] = &simFeed{author: j, first: 1, entries: map[uint64]simEntry{}, taken: map[uint64]int{}}
		}
	}
	return w
}

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.queue, job{w.now.Add(d), w.serial, do})
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		j := heap.Pop(&w.queue).(job)
		w.now = j.at
		j.do()
	}
	w.now = end
}

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%s  %s\n", w.now.Sub(simStart).Round(time.Millisecond), fmt.Sprintf(format, args...))
	}
}

func (w *world) violation(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

func (w *world) latency() time.Duration { return time.Duration(10+w.rng.IntN(190)) * time.Millisecond }

func (w *world) reach(a, b *simNode) bool {
	return a.up && b.up && !w.split[[2]int{min(a.i, b.i), max(a.i, b.i)}]
}

// start brings a node up with what it has on disk.
func (n *simNode) start() {
	if n.up {
		return
	}
	n.up = true
	n.life++
	n.state = NewState(Limits{Sources: 4})
	n.linked, n.compared, n.wake = map[int]bool{}, map[int]time.Time{}, time.Time{}
	for _, h := range sortedValues(n.heads) {
		n.step(Word{h})
	}
	n.every(10*time.Minute, n.round)
	n.every(time.Hour, n.upkeep)
	for _, m := range n.w.nodes {
		if m != n && n.w.reach(n, m) {
			n.w.connect(n, m)
		}
	}
}

// crash takes it down at once. What it accepted it has.
func (n *simNode) crash() {
	if !n.up {
		return
	}
	n.up = false
	n.life++
	for j := range n.w.nodes {
		n.w.disconnect(n, n.w.nodes[j])
	}
}

func (w *world) connect(a, b *simNode) {
	if a.linked[b.i] || !w.reach(a, b) {
		return
	}
	a.linked[b.i], b.linked[a.i] = true, true
	for _, p := range [][2]*simNode{{a, b}, {b, a}} {
		p[0].in(w.latency(), func() { p[0].compare(p[1]) })
	}
}

// disconnect is noticed by the living after a while.
func (w *world) disconnect(a, b *simNode) {
	for _, p := range [][2]*simNode{{a, b}, {b, a}} {
		n, m := p[0], p[1]
		if !n.linked[m.i] {
			continue
		}
		n.in(time.Duration(1+w.rng.IntN(20))*time.Second, func() {
			if n.linked[m.i] && !w.reach(n, m) {
				delete(n.linked, m.i)
				n.step(Gone{m.id})
			}
		})
	}
}

// heal lets the pair reach each other again; they notice soon.
func (w *world) heal() {
	clear(w.split)
	for _, a := range w.nodes {
		for _, b := range w.nodes[:a.i] {
			if !w.reach(a, b) {
				continue
			}
			w.after(time.Duration(30+w.rng.IntN(60))*time.Second, func() {
				if a.up && b.up {
					delete(a.linked, b.i)
					delete(b.linked, a.i)
					a.step(Gone{b.id})
					b.step(Gone{a.id})
					w.connect(a, b)
				}
			})
		}
	}
}

// in does f later, unless the node was restarted meanwhile.
func (n *simNode) in(d time.Duration, f func()) {
	life := n.life
	n.w.after(d, func() {
		if n.life == life && n.up {
			f()
		}
	})
}

func (n *simNode) every(d time.Duration, f func()) { n.in(d, func() { f(); n.every(d, f) }) }

// step drives the State, as the shell does.
func (n *simNode) step(e Event) {
	if n.w.mutate != nil && n.lie == honest {
		e = n.w.mutate(n, e)
	}
	reqs := n.state.Step(n.w.now, e)
	if n.w.fixup != nil && n.lie == honest {
		n.w.fixup(n, e)
	}
	for _, r := range reqs {
		n.ask(r)
	}
	if at, ok := n.state.Wake(); ok && (n.wake.IsZero() || at.Before(n.wake)) {
		n.wake = at
		n.in(max(at.Sub(n.w.now), 10*time.Millisecond), func() { n.wake = time.Time{}; n.step(Tick{}) })
	}
}

func (n *simNode) node(id peer.ID) *simNode { return n.w.nodes[id[0]-'a'] }

// round compares with the three peers that were not compared with for longest.
func (n *simNode) round() {
	var js []int
	for j := range n.w.nodes {
		if n.linked[j] {
			js = append(js, j)
		}
	}
	slices.SortStableFunc(js, func(a, b int) int { return n.compared[a].Compare(n.compared[b]) })
	for _, j := range js[:min(3, len(js))] {
		n.compare(n.w.nodes[j])
	}
}

func (n *simNode) compare(m *simNode) {
	n.compared[m.i] = n.w.now
	n.in(2*n.w.latency(), func() {
		if !n.w.reach(n, m) || m.lie == silent {
			return
		}
		theirs := m.frontier()
		for _, h := range sortedValues(m.heads) {
			if i := int(h.Node[0] - 'a'); n.heads[i] == nil || n.heads[i].N < h.N {
				n.heads[i], n.front = h, nil
				n.step(Word{h})
			}
		}
		if n.frontier(); m.digest == n.digest {
			n.w.logf("%s = %s", string(n.id), string(m.id))
			n.step(Frontier{m.id, nil})
			return
		}
		n.w.logf("%s ? %s: %s", string(n.id), string(m.id), n.w.entriesText(theirs))
		var b Batch
		for _, en := range theirs {
			b = append(b, n.holds(en.Feed))
		}
		n.step(append(b, Frontier{m.id, theirs}))
	})
}

// frontier is what the node announces, lies included.
func (n *simNode) frontier() []Entry {
	if n.front != nil && n.lie != overclaims {
		return n.front
	}
	var out []Entry
	for _, m := range n.w.nodes {
		x := n.extent(m.feed)
		heads := uint64(0)
		if h := n.heads[m.i]; h != nil {
			heads = h.N
		}
		en := entryOf(x, heads)
		switch {
		case n.lie == overclaims && n.w.rng.IntN(2) == 0:
			en.Next += 1 + n.w.rng.Uint64N(200)
			en.Max, en.Head = en.Next+1+n.w.rng.Uint64N(1<<40), protocol.Sum("lie")
			en.Holes = []hole{{From: en.Next, To: en.Next + 1}}
		case n.lie == cuts && en.Next > en.First+2:
			en.Next -= 2
			en.Max, en.Holes, en.Head = 0, nil, n.held[m.feed].entries[en.Next-1].id
		}
		if err := en.Check(); err != nil {
			n.w.violation("node %s announces %+v: %v", string(n.id), en, err)
		}
		out = append(out, en)
	}
	slices.SortFunc(out, func(a, b Entry) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	n.front, n.digest = out, frontierDigest(out)
	return out
}

func (n *simNode) holds(f protocol.FeedID) Holds {
	h := Holds{n.extent(f), Follow{Wanted: true}}
	if n.revoked[f] {
		h.Follow.Cutoff = n.w.cutoff[f]
	}
	return h
}

func (n *simNode) extent(f protocol.FeedID) Extent {
	sf := n.held[f]
	if sf.cached != nil {
		return *sf.cached
	}
	a := n.w.nodes[sf.author]
	x := Extent{Team: protocol.Sum("team", []byte(a.id)), Node: a.kid, Feed: f, First: sf.first, Next: sf.first, Forked: sf.forked}
	for sf.entries[x.Next].seq != 0 {
		x.Head = sf.entries[x.Next].id
		x.Next++
	}
	x.Max = max(sf.max, x.Next-1)
	for s := x.Next; s <= x.Max; s++ {
		if sf.entries[s].seq != 0 {
			continue
		}
		if k := len(x.Gaps); k > 0 && x.Gaps[k-1].To == s {
			x.Gaps[k-1].To++
		} else if len(x.Gaps) < MaxGaps {
			x.Gaps = append(x.Gaps, Span{s, s + 1})
		}
	}
	sf.cached = &x
	return x
}

// ask carries a request to the peer and its answer back.
func (n *simNode) ask(r Request) {
	m := n.node(r.Peer)
	w := n.w
	if w.requests++; w.onRequest != nil {
		w.onRequest()
	}
	w.logf("%s > %s: %s %s", string(n.id), string(m.id), string(w.nodes[n.held[r.Ask.Feed].author].id), askText(r.Ask))
	if m.lie == silent || !w.reach(n, m) {
		n.in(20*time.Second, func() { n.step(Received{r.ID}); n.step(Answer{ID: r.ID, Outcome: Failed}) })
		return
	}
	n.in(w.latency()+w.latency(), func() {
		n.step(Received{r.ID})
		if !w.reach(n, m) {
			n.step(Answer{ID: r.ID, Outcome: Failed})
			return
		}
		es, more, first := m.serve(r.Ask)
		n.in(time.Duration(len(es))*time.Millisecond, func() {
			rep := n.ingest(r.Ask, es)
			w.logf("%s < %s: %d new, %d known, %d refused, %d waiting", string(n.id), string(m.id), rep.Accepted, rep.Known, rep.Refused, rep.Waiting)
			if n.lie == honest {
				w.sent += len(es)
				w.known += rep.Known
				w.accepted += rep.Accepted
			}
			n.step(Batch{n.holds(r.Ask.Feed), Answer{ID: r.ID, Report: rep, Bytes: 1000 * len(es), More: more, First: first}})
		})
	})
}

// serve answers a request, lies included.
func (n *simNode) serve(a Ask) (es []simEntry, more bool, first uint64) {
	if a.From < 1 || a.To <= a.From || a.To-a.From > MaxPage {
		n.w.violation("a request for [%d, %d)", a.From, a.To)
	}
	sf := n.held[a.Feed]
	seqs := make([]uint64, 0, a.To-a.From)
	for s := a.From; s < min(a.To, sf.max+1); s++ {
		seqs = append(seqs, s)
	}
	if a.Reverse {
		slices.Reverse(seqs)
	}
	for _, s := range seqs {
		if e := sf.entries[s]; e.seq == 0 {
			continue
		} else if len(es) == n.w.page {
			more = true
			break
		} else {
			es = append(es, e)
		}
	}
	switch n.lie {
	case corrupts:
		for i := range es {
			if n.w.rng.IntN(3) == 0 {
				es[i].id = protocol.Sum("forged", es[i].id[:])
			}
		}
	case reorders:
		n.w.rng.Shuffle(len(es), func(i, j int) { es[i], es[j] = es[j], es[i] })
		if len(es) > 1 && uint64(len(es)) < a.To-a.From {
			es = append(es, es[0])
		}
	case swaps:
		other := n.held[n.w.nodes[n.w.rng.IntN(len(n.w.nodes))].feed]
		for i := range es {
			if e := other.entries[es[i].seq]; e.seq != 0 {
				es[i] = e
			}
		}
	case cuts:
		es, more = es[:len(es)/2], false
	}
	return es, more, sf.first
}

// ingest is the backend: it believes what an author made, and of a revoked one what the cut-off covers.
func (n *simNode) ingest(a Ask, es []simEntry) (r Report) {
	for _, e := range es {
		real, ok := n.w.real[e.id]
		switch {
		case !ok || real != e || e.feed != a.Feed || e.seq < a.From || e.seq >= a.To:
			r.Refused++
		default:
			switch n.accept(e) {
			case 1:
				r.Accepted++
			case 0:
				r.Known++
			default:
				r.Waiting++
			}
		}
	}
	return r
}

// accept returns 1 for a new entry, 0 for a known one, -1 for one that cannot be taken now.
func (n *simNode) accept(e simEntry) int {
	sf := n.held[e.feed]
	if old := sf.entries[e.seq]; old.seq != 0 || e.seq < sf.first {
		if old.seq != 0 && old.id != e.id {
			sf.forked = true
			n.changed(sf)
			return -1
		}
		return 0
	}
	if n.revoked[e.feed] {
		c := n.w.cutoff[e.feed]
		next := sf.entries[e.seq+1]
		if !(e.seq == c.LastSeq && e.id == c.LastHash) && !(e.seq < c.LastSeq && next.seq != 0 && next.prev == e.id) {
			return -1
		}
	}
	sf.entries[e.seq] = e
	sf.max = max(sf.max, e.seq)
	n.changed(sf)
	if sf.taken[e.seq]++; sf.taken[e.seq] > 1 && n.lie == honest {
		n.w.violation("node %s accepted entry %d of %s twice", string(n.id), e.seq, string(n.w.nodes[sf.author].id))
	}
	return 1
}

// post makes an entry and gossips it. Gossip loses.
func (n *simNode) post() {
	sf := n.held[n.feed]
	if !n.up || n.w.cutoff[n.feed] != nil {
		return
	}
	e := simEntry{feed: n.feed, seq: sf.max + 1, prev: sf.entries[sf.max].id, made: n.w.now}
	e.id = protocol.Sum("entry", e.feed[:], binary.BigEndian.AppendUint64(nil, e.seq), e.prev[:])
	n.w.real[e.id] = e
	n.accept(e)
	for _, m := range n.w.nodes {
		if m != n && n.w.reach(n, m) && n.w.rng.IntN(10) < 7 {
			m.in(n.w.latency(), func() { m.hear(n, e) })
		}
	}
}

func (n *simNode) hear(from *simNode, e simEntry) {
	if n.accept(e) < 1 {
		return
	}
	if x := n.extent(e.feed); x.Next <= x.Max {
		n.in(2*time.Second, func() {
			if x := n.extent(e.feed); x.Next <= x.Max && n.linked[from.i] {
				n.step(Batch{n.holds(e.feed), Hint{e.feed, from.id, x.Max}})
			}
		})
	}
}

// upkeep signs heads, and drops what is older than retention.
func (n *simNode) upkeep() {
	if n.w.keep > 0 {
		for _, m := range n.w.nodes {
			sf := n.held[m.feed]
			for sf.entries[sf.first].seq != 0 && n.w.now.Sub(sf.entries[sf.first].made) > n.w.keep && sf.first < sf.max {
				delete(sf.entries, sf.first)
				sf.first++
				n.changed(sf)
			}
			if h := n.heads[m.i]; h != nil && len(h.Feeds) > 0 && h.Feeds[0].First > sf.first && sf.entries[sf.first].seq == 0 {
				sf.first = h.Feeds[0].First // what the author no longer keeps is not waited for
				n.changed(sf)
			}
		}
	}
	n.sign()
}

func (n *simNode) sign() {
	sf := n.held[n.feed]
	if sf.max == 0 || n.w.cutoff[n.feed] != nil {
		return
	}
	h := &protocol.Heads{Node: n.kid, N: uint64(n.w.now.UnixMilli()), Time: uint64(n.w.now.Unix()),
		Feeds: []protocol.Head{{Feed: n.feed, First: sf.first, Seq: sf.max, Hash: sf.entries[sf.max].id}}}
	n.heads[n.i], n.front = h, nil
	n.step(Word{h})
}

// changed drops what was computed of what the node holds.
func (n *simNode) changed(sf *simFeed) { sf.cached, n.front = nil, nil }

// check compares every honest node with what the authors made.
func (w *world) check() []string {
	bad := w.violations
	for _, n := range w.nodes {
		if n.lie != honest {
			continue
		}
		for _, a := range w.nodes {
			mine := n.held[a.feed]
			first, all := w.union(a)
			for s := max(first, mine.first); s < first+uint64(len(all)); s++ {
				if mine.entries[s].id != all[s-first] && !all[s-first].IsZero() {
					bad = append(bad, fmt.Sprintf("node %s lacks entry %d of %s, kept from %d: it holds %+v", string(n.id), s, string(a.id), first, n.extent(a.feed)))
					break
				}
			}
			if w.cutoff[a.feed] == nil && a.lie == honest && !Complete(n.extent(a.feed), n.heads[a.i]).Complete {
				bad = append(bad, fmt.Sprintf("node %s: the feed of %s is not complete by its own heads", string(n.id), string(a.id)))
			}
		}
		if !n.state.Idle() {
			bad = append(bad, fmt.Sprintf("node %s is not at rest", string(n.id)))
		}
	}
	return bad
}

// union returns the ids of what must be held of an author's feed, from first on: all that an honest author keeps; of a liar,
// which may never have shown an entry to anybody, what some honest node has.
func (w *world) union(a *simNode) (first uint64, ids []protocol.Hash) {
	first = a.held[a.feed].first
	end := a.held[a.feed].max
	if c := w.cutoff[a.feed]; c != nil {
		end = c.LastSeq
	}
	for s := first; s <= end; s++ {
		var id protocol.Hash
		for _, n := range w.nodes {
			if e := n.held[a.feed].entries[s]; e.seq != 0 && n.lie == honest {
				id = e.id
			}
		}
		ids = append(ids, id)
	}
	return first, ids
}

func (w *world) entriesText(es []Entry) string {
	var out []string
	for _, en := range es {
		s := fmt.Sprintf("%c %d..%d", en.Node[0], en.First, en.Next)
		if en.Max > 0 {
			s += fmt.Sprintf("/%d", en.Max)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func askText(a Ask) string {
	s := fmt.Sprintf("[%d, %d)", a.From, a.To)
	if a.Reverse {
		s += " backwards"
	}
	return s
}

func sortedValues(m map[int]*protocol.Heads) []*protocol.Heads {
	var out []*protocol.Heads
	for _, h := range m {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *protocol.Heads) int { return cmp.Compare(a.Node[0], b.Node[0]) })
	return out
}
