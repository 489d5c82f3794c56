package catchup

import "github.com/entente-network/entente/protocol"

// A Span is the entries [From, To).
type Span struct{ From, To uint64 }

// Len returns the number of entries.
func (s Span) Len() uint64 {
	if s.To <= s.From {
		return 0
	}
	return s.To - s.From
}

// MaxGaps is how many holes of one feed an Extent lists. More are listed when these are filled.
const MaxGaps = 1024

// An Extent is what a node holds of one feed.
type Extent struct {
	Team protocol.TeamID
	Node protocol.KID
	Feed protocol.FeedID

	First uint64        // at least 1; what is below was dropped by retention or is not wanted, and is never asked for
	Next  uint64        // all of [First, Next) is held; Next == First: the first is missing
	Head  protocol.Hash // id of entry Next-1, zero if Next == First
	Max   uint64        // the greatest held, 0 if none
	Gaps  []Span        // what is missing between Next and Max: ascending, disjoint, at most MaxGaps
}
