package catchup

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// never is later than any time that is planned for.
var never = time.Unix(1<<40, 0)

// plan fills the window: one request of each feed in turn, so that no long feed holds up the others.
func (s *State) plan(now time.Time) []Request {
	if now.Before(s.paused) || len(s.feeds) == 0 {
		return nil
	}
	var out []Request
	for _, f := range s.feeds {
		if f.urgent && len(s.fly) < s.limits.Window {
			f.urgent = false
			if r, ok := s.next(now, f); ok {
				out = append(out, r)
			}
		}
	}
	for idle := 0; idle < len(s.feeds) && len(s.fly) < s.limits.Window; {
		s.cursor = (s.cursor + 1) % len(s.feeds)
		if r, ok := s.next(now, s.feeds[s.cursor]); ok {
			out, idle = append(out, r), 0
		} else {
			idle++
		}
	}
	if len(s.fly) == 0 {
		have, want := s.Progress()
		s.rested = have == want
	}
	return out
}

// next makes the next request for a feed, if there is one to make now.
func (s *State) next(now time.Time, f *feed) (Request, bool) {
	if now.Before(f.wake) {
		return Request{}, false
	}
	f.wake, f.later = never, never
	if f.cutoff != nil && len(f.flying) > 0 {
		return Request{}, false // each page must be taken in before what leads to the next is known
	}
	ready := s.ready(now, f)
	for _, promised := range []bool{true, false} {
		for _, c := range ready {
			ask, ok := f.pick(c, promised)
			if !ok {
				continue
			}
			f.wake = time.Time{}
			return s.fire(f, c, ask, promised), true
		}
	}
	for _, c := range ready {
		if c.probe > 0 {
			f.wake = time.Time{}
			return s.fire(f, c, Ask{Feed: f.own.Feed, From: c.probe, To: c.probe + 1}, false), true
		}
	}
	return Request{}, false
}

func (s *State) fire(f *feed, c claim, ask Ask, promised bool) Request {
	if s.rested {
		s.done, s.rested = 0, false
	}
	s.lastID++
	f.turn++
	probe := ask.From == c.probe
	for i := range f.claims {
		if o := &f.claims[i]; o.peer == c.peer && probe {
			o.probe = 0
		}
	}
	f.flying = append(f.flying, flight{id: s.lastID, peer: c.peer, ask: ask, promised: promised, probe: probe})
	s.fly[s.lastID] = f
	s.source(c.peer).onWay++
	return Request{ID: s.lastID, Peer: c.peer, Node: f.own.Node, Ask: ask}
}

// ready returns the claims of peers that can be asked now, the least loaded first, and sets when the others can.
func (s *State) ready(now time.Time, f *feed) []claim {
	type ranked struct {
		claim
		load, failed int
		turn         uint64
	}
	var rs []ranked
	for _, c := range f.claims {
		src := s.source(c.peer)
		until := f.blamed(c.peer)
		if src.pause.After(until) {
			until = src.pause
		}
		switch {
		case until.After(now):
			if until.Before(f.later) {
				f.later = until
			}
		case src.onWay >= s.limits.PerPeer, src.onWay > 0 && !src.proven:
			f.wake = time.Time{}
		default:
			rs = append(rs, ranked{c, src.onWay, src.failed, mix(c.peer, f.own.Feed, f.turn)})
		}
	}
	if !f.wake.IsZero() {
		f.wake = f.later
	}
	slices.SortFunc(rs, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.load, b.load), cmp.Compare(a.failed, b.failed), cmp.Compare(a.turn, b.turn), cmp.Compare(a.peer, b.peer))
	})
	out := make([]claim, len(rs))
	for i, r := range rs {
		out[i] = r.claim
	}
	return out
}

// mix orders peers differently for each feed and turn, so that equal peers share the work.
func mix(p peer.ID, f protocol.FeedID, turn uint64) uint64 {
	h := fnv.New64a()
	h.Write([]byte(p))
	h.Write(f[:])
	h.Write(binary.BigEndian.AppendUint64(nil, turn))
	return h.Sum64()
}

// pick returns what to ask of the peer: of what it promises to hold, or of what it may hold.
func (f *feed) pick(c claim, promised bool) (Ask, bool) {
	var span Span
	if free := f.lacks(c, promised); len(free) == 0 {
		return Ask{}, false
	} else if f.cutoff != nil {
		span = f.backwards(free)
	} else {
		span = f.forwards(free, promised)
	}
	return Ask{Feed: f.own.Feed, From: span.From, To: span.To, Reverse: f.cutoff != nil}, span.Len() > 0
}

// forwards returns the newest chunk of a long tail, so that people see first what happened last, and otherwise the lowest
// of what is missing and not on its way. Where nothing is promised, the holes come in turn: one that nobody can fill must not
// hide the others.
func (f *feed) forwards(free []Span, promised bool) Span {
	var busy []Span
	tailBusy := false
	tail := f.own.tail()
	for _, fl := range f.flying {
		busy = append(busy, Span{fl.ask.From, fl.ask.To})
		tailBusy = tailBusy || fl.ask.To > tail
	}
	sortSpans(busy)
	if free = without(free, busy); len(free) == 0 {
		return Span{}
	}
	n := f.chunk()
	last := free[len(free)-1]
	if !tailBusy && last.From >= tail && last.Len() > n {
		return Span{last.To - n, last.To}
	}
	s := free[0]
	if !promised {
		s = free[f.turn%uint64(len(free))]
	}
	return Span{s.From, min(s.To, s.From+n)}
}

// backwards returns the chunk that ends in the greatest missing entry up to the cut-off: only its predecessors can be
// believed next. It is empty if the peer does not offer that entry.
func (f *feed) backwards(free []Span) Span {
	all := f.own.missing(f.wanted())
	s := free[len(free)-1]
	if s.To != all[len(all)-1].To {
		return Span{}
	}
	return Span{max(s.From, s.To-min(f.chunk(), s.To)), s.To}
}

// chunk returns how many entries fit a page.
func (f *feed) chunk() uint64 {
	if f.size == 0 {
		return MaxPage
	}
	return min(max(PageBytes/f.size*7/8, 16), MaxPage)
}

// Progress returns how many entries were accepted since catching up last began, and how many there will have been when all
// that peers offer is here. What peers offer is their claim.
func (s *State) Progress() (done, all uint64) {
	all = s.done
	for _, f := range s.feeds {
		if len(f.claims) == 0 && len(f.flying) == 0 {
			continue
		}
		offer := Span{From: MaxSeq}
		for _, c := range f.claims {
			if f.blamed(c.peer).IsZero() {
				offer = Span{min(offer.From, c.sure.From), max(offer.To, c.max+1)}
			}
		}
		for _, fl := range f.flying {
			offer = Span{min(offer.From, fl.ask.From), max(offer.To, fl.ask.To)}
		}
		all += total(f.own.missing(f.wanted().and(offer)))
	}
	return s.done, all
}

// Wake returns when something that is put off can be asked. ok is false if nothing is.
func (s *State) Wake() (at time.Time, ok bool) {
	if len(s.fly) >= s.limits.Window {
		return never, false // the next answer comes first
	}
	at = never
	for _, f := range s.feeds {
		if len(f.claims) > 0 && f.later.Before(at) {
			at = f.later
		}
	}
	if at.Before(never) && at.Before(s.paused) {
		at = s.paused
	}
	return at, at.Before(never)
}

// Idle reports whether nothing is on the way.
func (s *State) Idle() bool { return len(s.fly) == 0 }
