package catchup

import (
	"time"

	"github.com/entente-network/entente/protocol"
)

// Coverage says how much of a feed is held, measured by its author's own word.
type Coverage struct {
	AsOf     time.Time // when the author signed; zero: it never said anything
	Complete bool      // all that the author had said by then, and Since does not exclude, is held
	Since    uint64    // the oldest entry that counts: older ones were dropped here, or by the author
	Missing  []Span    // what is not held, ascending, at most MaxGaps + 1 spans
	Tail     uint64    // how many of the missing lie beyond everything held: a cut tail, invisible to the hash chain
	Disputed bool      // the entry that is held as the newest is not the one that the author named
}

// Complete measures an extent by the author's heads, which the caller verified; h may be nil. An author that does not name
// the feed says that nothing is in it.
func Complete(x Extent, h *protocol.Heads) Coverage {
	if h == nil {
		return Coverage{Since: x.First}
	}
	c := Coverage{AsOf: time.Unix(int64(min(h.Time, 1<<40)), 0).UTC(), Since: x.First}
	head, ok := headOf(h, x.Feed)
	if !ok {
		c.Complete = true
		return c
	}
	c.Since = max(x.First, head.First)
	limits := Span{c.Since, min(head.Seq, MaxSeq) + 1}
	c.Missing = x.missing(limits)
	c.Tail = (Span{max(x.tail(), limits.From), limits.To}).Len()
	c.Disputed = x.Next == head.Seq+1 && x.Next > x.First && x.Head != head.Hash
	c.Complete = len(c.Missing) == 0 && !c.Disputed
	return c
}

func headOf(h *protocol.Heads, f protocol.FeedID) (protocol.Head, bool) {
	for _, head := range h.Feeds {
		if head.Feed == f {
			return head, true
		}
	}
	return protocol.Head{}, false
}
