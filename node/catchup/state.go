package catchup

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// Limits bound what a State asks for and remembers. The zero value of a field takes its default.
type Limits struct {
	Window  int // requests that are on the way or being verified; 8
	PerPeer int // of these, on the way from one peer that has delivered before; 3
	Sources int // peers remembered as holding more of a feed than this node; 16
}

// How long a peer is not asked after it failed. Each further failure doubles the time.
const (
	pauseFailed      = 10 * time.Second // the whole peer: unreachable, stalled
	pauseFailedMax   = 10 * time.Minute
	pauseUndelivered = time.Minute // for one feed: it does not have what it announced
	pauseUndelMax    = time.Hour
	pauseWrong       = 10 * time.Minute // for one feed: it gave what is not authentic
	pauseWrongMax    = 6 * time.Hour
	pauseLocal       = 30 * time.Second // all peers: this node cannot take anything in
)

const maxFaults = 64 // peers remembered as faulty for one feed

// A State is what is known of who holds what, and what is being asked. It is driven by [State.Step] alone; the same events
// at the same times give the same requests. It is not safe for concurrent use.
type State struct {
	limits Limits
	feeds  []*feed // ascending by id
	peers  map[peer.ID]*source
	fly    map[uint64]*feed                   // by request
	words  map[protocol.KID][]*protocol.Heads // the newest for each reader: the community, or one team
	lastID uint64
	cursor int       // where the next pass over feeds begins
	paused time.Time // nothing is asked before
	done   uint64    // entries accepted since catching up last began
	rested bool      // there was nothing left to ask
}

type feed struct {
	own    Extent
	cutoff *protocol.Cutoff
	word   *protocol.Head // the author's newest
	claims []claim        // ascending by peer; only of peers that offer something
	faults []fault        // in the order in which they were made
	flying []flight
	size   uint64    // running mean of the bytes of an entry, 0: unknown
	turn   uint64    // counts requests, to alternate between equal peers
	urgent bool      // looked at before others
	wake   time.Time // nothing can be asked before, unless the feed changes
	later  time.Time // when the next peer is out of disgrace
}

// A claim is what a peer says that it holds.
type claim struct {
	peer  peer.ID
	sure  Span   // all of it, but for the holes
	max   uint64 // perhaps more, up to this
	holes []Span
	probe uint64 // its entry here is another than this node's: fetch it, to prove the fork; 0: none
}

type fault struct {
	peer  peer.ID
	times int
	until time.Time
	maybe bool // it never said that it had what was asked
}

type flight struct {
	id       uint64
	peer     peer.ID
	ask      Ask
	promised bool // the peer said that it holds all of it
	probe    bool
	received bool
}

type source struct {
	onWay  int  // requests not yet received
	proven bool // the last answers were good: it may be asked several things at once
	failed int  // times in a row
	pause  time.Time
}

// NewState returns a State that knows nothing.
func NewState(l Limits) *State {
	l.Window = cmp.Or(l.Window, 8)
	l.PerPeer = cmp.Or(l.PerPeer, 3)
	l.Sources = cmp.Or(l.Sources, 16)
	return &State{limits: l, peers: map[peer.ID]*source{}, fly: map[uint64]*feed{}, words: map[protocol.KID][]*protocol.Heads{}}
}

// An Event is something that happened: one of the types below.
type Event interface{ apply(s *State, now time.Time) }

// Holds says what this node holds of a feed and how it follows it. A feed that is not wanted is forgotten.
type Holds struct {
	Extent Extent
	Follow Follow
}

// Word is an author's verified heads.
type Word struct{ Heads *protocol.Heads }

// Frontier is all that a peer says it holds, of feeds that this node follows. It replaces what the peer said before.
type Frontier struct {
	Peer    peer.ID
	Entries []Entry
}

// Hint says that a peer passed on an entry whose predecessors are not held, or an author's heads that reach further. The
// feed's Holds came before.
type Hint struct {
	Feed protocol.FeedID
	Peer peer.ID
	Max  uint64 // the greatest entry that is likely to be there
}

// Batch is several events at one time.
type Batch []Event

// Gone says that a peer disconnected. Its requests have failed, without fault.
type Gone struct{ Peer peer.ID }

// Received says that the answer to a request is here and remains to be verified: the peer can be asked for more.
type Received struct{ ID uint64 }

// Answer says that a request has come to its end. The Holds that it led to came before.
type Answer struct {
	ID      uint64
	Outcome Outcome
	Report  Report
	Bytes   int
	More    bool   // the peer stopped at the limit of a page, or was cut off
	Slow    bool   // it was cut off, for it took too long
	First   uint64 // the oldest entry that the peer has, by its word; 0: not said
}

// Tick says that time has passed.
type Tick struct{}

// An Outcome is how a request ended.
type Outcome uint8

// The outcomes.
const (
	Answered Outcome = iota // well formed, and taken in as Report says
	Failed                  // no whole answer came
	Wrong                   // the answer broke the protocol
	Local                   // this node failed
)

// A Request is what the caller should ask now. It is in flight until its Answer, or until its peer is Gone.
type Request struct {
	ID   uint64
	Peer peer.ID
	Node protocol.KID // whose feed it is
	Ask  Ask
}

// Step takes in an event and returns what to ask next. Times never go backwards.
func (s *State) Step(now time.Time, e Event) []Request {
	e.apply(s, now)
	return s.plan(now)
}

// find returns the place of a feed among s.feeds.
func (s *State) find(id protocol.FeedID) (int, bool) {
	return slices.BinarySearchFunc(s.feeds, id, func(f *feed, id protocol.FeedID) int {
		return bytes.Compare(f.own.Feed[:], id[:])
	})
}

func (s *State) feed(id protocol.FeedID) *feed {
	if i, ok := s.find(id); ok {
		return s.feeds[i]
	}
	return nil
}

func (s *State) source(p peer.ID) *source {
	src := s.peers[p]
	if src == nil {
		src = &source{}
		s.peers[p] = src
	}
	return src
}

func (e Holds) apply(s *State, _ time.Time) {
	i, ok := s.find(e.Extent.Feed)
	if !e.Follow.Wanted {
		if ok {
			for _, fl := range s.feeds[i].flying {
				s.forget(fl)
			}
			s.feeds = slices.Delete(s.feeds, i, i+1)
		}
		return
	}
	if !ok {
		s.feeds = slices.Insert(s.feeds, i, &feed{})
	}
	f := s.feeds[i]
	x := e.Extent
	x.First = max(x.First, 1)
	x.Next = max(x.Next, x.First)
	x.Max = max(x.Max, x.Next-1)
	if x.Next == x.First && len(x.Gaps) == 0 && x.Max < x.First {
		x.Max = 0
	}
	f.own, f.cutoff = x, e.Follow.Cutoff
	for _, h := range s.words[x.Node] {
		if head, ok := headOf(h, x.Feed); ok && f.word == nil {
			f.word = &head
		}
	}
	f.claims = slices.DeleteFunc(f.claims, func(c claim) bool { return !f.offers(c) })
	f.touch()
}

func (e Word) apply(s *State, _ time.Time) {
	words := s.words[e.Heads.Node]
	i := slices.IndexFunc(words, func(h *protocol.Heads) bool { return h.For == e.Heads.For })
	switch {
	case i < 0:
		s.words[e.Heads.Node] = append(words, e.Heads)
	case words[i].N >= e.Heads.N:
		return
	default:
		words[i] = e.Heads
	}
	for _, h := range e.Heads.Feeds {
		if f := s.feed(h.Feed); f != nil && f.own.Node == e.Heads.Node {
			f.word = &h
			f.touch()
		}
	}
}

func (b Batch) apply(s *State, now time.Time) {
	for _, e := range b {
		e.apply(s, now)
	}
}

func (e Frontier) apply(s *State, now time.Time) {
	s.source(e.Peer)
	for _, f := range s.feeds {
		f.dropClaim(e.Peer)
	}
	for _, en := range e.Entries {
		f := s.feed(en.Feed)
		if f == nil || f.own.Node != en.Node || en.Max > MaxSeq {
			continue
		}
		if c := f.claimOf(e.Peer, en); f.offers(c) {
			f.excuse(c)
			f.addClaim(c, s.limits.Sources, now)
		}
	}
}

func (e Hint) apply(s *State, now time.Time) {
	f := s.feed(e.Feed)
	if f == nil {
		return
	}
	c := claim{peer: e.Peer, sure: Span{1, 1}, max: min(e.Max, MaxSeq)}
	if i := slices.IndexFunc(f.claims, func(o claim) bool { return o.peer == e.Peer }); i < 0 && f.offers(c) {
		s.source(e.Peer)
		f.addClaim(c, s.limits.Sources, now)
	}
	f.urgent = true
	f.touch()
}

func (e Gone) apply(s *State, now time.Time) {
	for _, f := range s.feeds {
		f.dropClaim(e.Peer)
		for _, fl := range slices.Clone(f.flying) {
			if fl.peer == e.Peer && !fl.received {
				s.forget(fl)
				f.land(fl.id)
			}
		}
	}
	if src := s.peers[e.Peer]; src != nil && !now.Before(src.pause) {
		delete(s.peers, e.Peer)
	}
}

func (e Received) apply(s *State, _ time.Time) {
	f := s.fly[e.ID]
	if f == nil {
		return
	}
	for i := range f.flying {
		if fl := &f.flying[i]; fl.id == e.ID && !fl.received {
			fl.received = true
			s.peers[fl.peer].onWay--
		}
	}
}

func (Tick) apply(*State, time.Time) {}

func (e Answer) apply(s *State, now time.Time) {
	f := s.fly[e.ID]
	if f == nil {
		return
	}
	fl, ok := f.land(e.ID)
	s.forget(fl)
	if !ok {
		return
	}
	s.done += uint64(e.Report.Accepted)
	src := s.source(fl.peer)
	if i := slices.IndexFunc(f.claims, func(c claim) bool { return c.peer == fl.peer }); i >= 0 {
		c := &f.claims[i]
		c.sure.From = max(c.sure.From, min(e.First, MaxSeq+1))
		if !f.offers(*c) {
			f.dropClaim(fl.peer)
		}
	}
	switch e.Outcome {
	case Local:
		s.paused = now.Add(pauseLocal)
	case Failed:
		src.failed, src.proven = src.failed+1, false
		src.pause = now.Add(backoff(pauseFailed, pauseFailedMax, src.failed))
	case Wrong:
		f.blame(fl.peer, now, pauseWrong, pauseWrongMax)
	case Answered:
		src.failed, src.proven = 0, !e.Slow && (src.proven || e.Report.Accepted > 0)
		f.judge(e, fl, now)
	}
}

// judge decides whether a well-formed answer was a good one.
func (f *feed) judge(e Answer, fl flight, now time.Time) {
	if n := e.Report.Accepted + e.Report.Known + e.Report.Waiting + e.Report.Refused; n > 0 && e.Bytes > 0 {
		mean := uint64(e.Bytes / n)
		if f.size == 0 {
			f.size = mean
		}
		f.size = (3*f.size + mean) / 4
	}
	if e.Report.Refused > 0 {
		f.blame(fl.peer, now, pauseWrong, pauseWrongMax)
		return
	}
	if fl.probe {
		return
	}
	left := total(f.own.missing(f.wanted().and(Span{max(fl.ask.From, e.First), fl.ask.To})))
	switch {
	case left == 0 || e.More && e.Report.Accepted > 0:
		f.pardon(fl.peer)
	default:
		f.blame(fl.peer, now, pauseUndelivered, pauseUndelMax)
		f.faults[len(f.faults)-1].maybe = !fl.promised
	}
}

// covers reports whether the entry offers nothing that this node lacks, and the feed is followed as before.
func (s *State) covers(en Entry, fo Follow) bool {
	f := s.feed(en.Feed)
	if f == nil || !fo.Wanted || (fo.Cutoff == nil) != (f.cutoff == nil) || en.Node != f.own.Node {
		return f == nil && !fo.Wanted
	}
	if fo.Cutoff != nil && (fo.Cutoff.LastSeq != f.cutoff.LastSeq || fo.Cutoff.LastHash != f.cutoff.LastHash) {
		return false
	}
	return !f.offers(f.claimOf("", en))
}

// forget takes a flight off the books of the state.
func (s *State) forget(fl flight) {
	delete(s.fly, fl.id)
	if src := s.peers[fl.peer]; src != nil && !fl.received {
		src.onWay--
	}
}

// land removes a flight of the feed and returns it.
func (f *feed) land(id uint64) (flight, bool) {
	i := slices.IndexFunc(f.flying, func(fl flight) bool { return fl.id == id })
	if i < 0 {
		return flight{}, false
	}
	fl := f.flying[i]
	f.flying = slices.Delete(f.flying, i, i+1)
	f.touch()
	return fl, true
}

func (f *feed) touch() { f.wake = time.Time{} }

// wanted returns the limits within which entries are wanted of anybody.
func (f *feed) wanted() Span {
	w := Span{f.own.First, MaxSeq + 1}
	if f.word != nil {
		w.From = max(w.From, f.word.First) // the author's signed word that older ones are no more
	}
	if f.cutoff != nil {
		w.To = min(f.cutoff.LastSeq, MaxSeq) + 1
	}
	return w
}

// claimOf returns what a peer's entry claims.
func (f *feed) claimOf(p peer.ID, en Entry) claim {
	c := claim{peer: p, sure: Span{en.First, en.Next}, max: max(en.Max, en.Next-1)}
	for _, h := range en.Holes {
		c.holes = append(c.holes, Span{h.From, h.To})
		c.sure.To = h.To
	}
	if len(en.Holes) < MaxHoles {
		c.sure.To = c.max + 1
	}
	if !f.own.Forked && en.Next == f.own.Next && en.Next > en.First && f.own.Next > f.own.First && en.Head != f.own.Head {
		c.probe = en.Next - 1
	}
	return c
}

// lacks returns what the claim names of what is wanted and missing, of what is promised or else of all it may hold.
func (f *feed) lacks(c claim, promised bool) []Span {
	offer := Span{c.sure.From, c.max + 1}
	if promised {
		offer = c.sure
	}
	return without(f.own.missing(f.wanted().and(offer)), c.holes)
}

// offers reports whether the claim names an entry that is wanted and missing.
func (f *feed) offers(c claim) bool {
	return c.probe > 0 || len(f.lacks(c, false)) > 0
}

func (f *feed) dropClaim(p peer.ID) {
	f.claims = slices.DeleteFunc(f.claims, func(c claim) bool { return c.peer == p })
}

// addClaim remembers a claim. Where there are too many, one of a peer at fault makes way, or the new one is not kept: the
// peer will say it again at the next comparison.
func (f *feed) addClaim(c claim, most int, now time.Time) {
	f.dropClaim(c.peer)
	if len(f.claims) >= most {
		i := slices.IndexFunc(f.claims, func(o claim) bool { return f.blamed(o.peer).After(now) })
		if i < 0 {
			return
		}
		f.claims = slices.Delete(f.claims, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(f.claims, c.peer, func(o claim, p peer.ID) int { return cmp.Compare(o.peer, p) })
	f.claims = slices.Insert(f.claims, i, c)
	f.touch()
}

// blame keeps the peer from being asked for the feed for a while.
func (f *feed) blame(p peer.ID, now time.Time, base, most time.Duration) {
	ft := fault{peer: p, times: 1}
	if i := slices.IndexFunc(f.faults, func(o fault) bool { return o.peer == p }); i >= 0 {
		ft.times = f.faults[i].times + 1
		f.faults = slices.Delete(f.faults, i, i+1)
	}
	ft.until = now.Add(backoff(base, most, ft.times))
	if len(f.faults) >= maxFaults {
		f.faults = slices.Delete(f.faults, 0, 1)
	}
	f.faults = append(f.faults, ft)
}

func (f *feed) pardon(p peer.ID) {
	f.faults = slices.DeleteFunc(f.faults, func(o fault) bool { return o.peer == p })
}

// excuse lets a peer be asked that had holes of its own where it was asked before, and says now that it filled them.
func (f *feed) excuse(c claim) {
	for i := range f.faults {
		if ft := &f.faults[i]; ft.peer == c.peer && ft.maybe && len(f.lacks(c, true)) > 0 {
			ft.until = time.Time{}
		}
	}
}

// blamed returns the time before which the peer is not asked for the feed.
func (f *feed) blamed(p peer.ID) time.Time {
	for _, ft := range f.faults {
		if ft.peer == p {
			return ft.until
		}
	}
	return time.Time{}
}

func backoff(base, most time.Duration, times int) time.Duration {
	return min(base<<min(max(times, 1)-1, 16), most)
}
