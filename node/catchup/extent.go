package catchup

import (
	"slices"

	"github.com/entente-network/entente/protocol"
)

// MaxGaps is how many holes of one feed an Extent lists. More are listed when these are filled.
const MaxGaps = 1024

// MaxSeq bounds the sequence numbers that are believed of anybody.
const MaxSeq = 1 << 48

// A Span is the entries [From, To).
type Span struct{ From, To uint64 }

// Len returns the number of entries.
func (s Span) Len() uint64 {
	if s.To <= s.From {
		return 0
	}
	return s.To - s.From
}

// and returns what s and o share.
func (s Span) and(o Span) Span { return Span{max(s.From, o.From), min(s.To, o.To)} }

// An Extent is what a node holds of one feed.
type Extent struct {
	Team protocol.TeamID
	Node protocol.KID
	Feed protocol.FeedID

	First  uint64        // at least 1; what is below was dropped by retention or is not wanted, and is never asked for
	Next   uint64        // all of [First, Next) is held; Next == First: the first is missing
	Head   protocol.Hash // id of entry Next-1; zero if Next == First
	Max    uint64        // the greatest held, 0 if none
	Gaps   []Span        // what is missing between Next and Max: ascending, disjoint, at most MaxGaps; none: all of it
	Forked bool          // a fork of the feed is proven already
}

// Of a feed with a cut-off, Gaps lists the highest holes, where the walk goes on, and counts an entry that is off the
// cut-off's chain as missing. Of any other it lists the lowest.

// missing returns the holes of x within the limits and what lies within them beyond Max, ascending.
func (x *Extent) missing(limits Span) []Span {
	limits.From = max(limits.From, x.First)
	gaps := x.Gaps
	if len(gaps) == 0 && x.Max > x.Next {
		gaps = []Span{{x.Next, x.Max}}
	}
	var out []Span
	for _, g := range gaps {
		if g = g.and(limits); g.Len() > 0 {
			out = append(out, g)
		}
	}
	if t := (Span{x.tail(), limits.To}).and(limits); t.Len() > 0 {
		out = append(out, t)
	}
	return out
}

// tail returns the first sequence number beyond all that is held.
func (x *Extent) tail() uint64 { return max(x.Next, x.Max+1) }

// without returns spans less the holes, both ascending.
func without(spans, holes []Span) []Span {
	if len(holes) == 0 {
		return spans
	}
	var out []Span
	for _, s := range spans {
		for _, h := range holes {
			if h.To <= s.From || h.From >= s.To {
				continue
			}
			if left := (Span{s.From, h.From}); left.Len() > 0 {
				out = append(out, left)
			}
			s.From = h.To
			if s.Len() == 0 {
				break
			}
		}
		if s.Len() > 0 {
			out = append(out, s)
		}
	}
	return out
}

func total(spans []Span) uint64 {
	var n uint64
	for _, s := range spans {
		n += s.Len()
	}
	return n
}

func sortSpans(spans []Span) {
	slices.SortFunc(spans, func(a, b Span) int {
		switch {
		case a.From < b.From:
			return -1
		case a.From > b.From:
			return 1
		}
		return 0
	})
}
