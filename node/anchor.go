package node

import (
	"sync"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
)

// walkBack is how many entries of a revoked node are fetched at once where those held are off its cut-off's chain.
const walkBack = 64

// maxWalk is how many entries are read at once on the way down. The next question goes on from there.
const maxWalk = 4096

// anchors remembers, for the feeds of revoked nodes, down to where what is held was seen to chain to the cut-off.
type anchors struct {
	mu sync.Mutex
	m  map[protocol.FeedID]anchor // guarded by mu
}

// An anchor says that all entries from seq to the cut-off's last are held and chained, and which one precedes seq.
type anchor struct {
	last protocol.Hash // of the cut-off
	seq  uint64
	want protocol.Hash // id of entry seq-1
}

// walk returns down to where the feed is anchored, and whether the entry before that is held though it is another one. It
// reads each entry once, for as long as the cut-off stands.
func (a *anchors) walk(st *store.Store, c *protocol.Cutoff) (seq uint64, astray bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.m[c.Feed]
	if !ok || at.last != c.LastHash {
		at = anchor{last: c.LastHash, seq: c.LastSeq + 1, want: c.LastHash}
	}
	for goOn, read := true, 0; goOn && at.seq > 1 && read < maxWalk; read++ {
		goOn = false
		err := st.Range(c.Feed, at.seq-1, at.seq-1, false, func(_ uint64, raw []byte) bool {
			env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
			if err != nil {
				return false
			}
			p, err := protocol.Decode[protocol.Parcel](env)
			if err != nil {
				return false
			}
			if goOn, astray = env.ID() == at.want, env.ID() != at.want; goOn {
				at.seq, at.want = at.seq-1, p.Prev
			}
			return false
		})
		if err != nil {
			return 0, false, err
		}
	}
	if a.m == nil {
		a.m = map[protocol.FeedID]anchor{}
	}
	a.m[c.Feed] = at
	return at.seq, astray, nil
}

// unchained makes what is held off the chain of a revoked node's cut-off count as missing, so that what belongs there is
// fetched in its place.
func (x exchange) unchained(c *catchup.Extent) error {
	cut := x.Follow(c.Team, c.Node, c.Feed).Cutoff
	if cut == nil || cut.LastSeq == 0 || cut.LastSeq == c.Next-1 && cut.LastHash == c.Head {
		return nil
	}
	seq, astray, err := x.n.anchors.walk(x.n.st, cut)
	if err != nil || !astray || seq <= c.First {
		return err
	}
	hole := catchup.Span{From: max(c.First, seq-min(seq, walkBack)), To: seq}
	var gaps []catchup.Span
	for _, g := range c.Gaps {
		switch {
		case g.To < hole.From:
			gaps = append(gaps, g)
		case g.From > hole.To:
			gaps = append(gaps, hole)
			hole = g
		default:
			hole = catchup.Span{From: min(hole.From, g.From), To: max(hole.To, g.To)}
		}
	}
	if c.Max = max(c.Max, c.Next-1); hole.To > c.Max {
		c.Max = hole.From - 1 // nothing is held beyond
	} else {
		gaps = append(gaps, hole)
	}
	next := c.Max + 1
	if len(gaps) > 0 {
		next = gaps[0].From
	}
	c.Gaps = gaps
	if next == c.Next {
		return nil
	}
	c.Next, c.Head = next, protocol.Hash{}
	if next > c.First {
		c.Head, err = x.n.entryID(c.Feed, next-1)
	}
	return err
}
