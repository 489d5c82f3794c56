package trust

import (
	"fmt"
	"slices"

	"github.com/entente-network/entente/protocol"
)

// A Neighbour is an entry of the same feed that is already held, or the word that none is.
type Neighbour struct {
	Held bool
	ID   protocol.Hash // of the parcel
	Prev protocol.Hash // its Parcel.Prev
}

// A Verdict says what happens to an entry of a feed. The zero Verdict refuses.
type Verdict uint8

// The verdicts.
const (
	Refuse     Verdict = iota // not an entry of this node: drop it
	Accept                    // takes effect
	Known                     // the very same entry is held: nothing to do
	Quarantine                // of a revoked node and not shown to be covered by a cut-off: no effect now, perhaps later
	Void                      // of a revoked node and outside its cut-off: never takes effect
	Fork                      // contradicts what is held; if that fills the same slot, the two are a protocol.ForkProof
	Replace                   // as Accept; the entry held in the slot is off the cut-off's chain and makes way
	Hollow                    // covered by the cut-off, and void: keep it as a link of the chain, for it has no other effect
)

var verdictNames = [...]string{"refuse", "accept", "known", "quarantine", "void", "fork", "replace", "hollow"}

// String returns the verdict in lower case.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict-%d", uint8(v))
}

// CheckEntry says whether the parcel p of id takes effect, given the node that signed it and the entries held in its own
// slot (here), at Seq-1 (prev) and at Seq+1 (next). The caller has verified p with node.Node.Key. No time plays a part: what
// a revoked node said counts if a cut-off covers it, whenever it arrives.
//
// For a revoked node the caller passes next only if it is anchored (Anchored), and the zero Neighbour otherwise. So such
// feeds are walked backwards from the cut-off's last entry.
func CheckEntry(p *protocol.Parcel, id protocol.Hash, node NodeInfo, here, prev, next Neighbour) Verdict {
	if p.Team != node.Team || p.Node != node.Node.Key.ID() {
		return Refuse
	}
	if here.Held && here.ID == id {
		return Known
	}
	if node.Revoked {
		return checkRevoked(p, id, node, here, next)
	}
	switch {
	case here.Held, prev.Held && prev.ID != p.Prev, next.Held && next.Prev != id:
		return Fork
	}
	return Accept
}

func checkRevoked(p *protocol.Parcel, id protocol.Hash, node NodeInfo, here, next Neighbour) Verdict {
	c, ok := node.Cutoff[p.Feed]
	switch {
	case !ok && here.Held:
		return Fork
	case !ok:
		return Quarantine
	case p.Seq > c.LastSeq, p.Seq == c.LastSeq && id != c.LastHash, p.Seq < c.LastSeq && next.Held && id != next.Prev:
		return Void
	case p.Seq < c.LastSeq && !next.Held:
		return Quarantine
	case slices.Contains(c.Void, p.Seq):
		return Hollow
	case here.Held:
		return Replace
	}
	return Accept
}

// Doubt returns why an entry that is held no longer has its full effect, in words; "" if it has. It is asked for entries that
// were accepted before their node was revoked.
func Doubt(node NodeInfo, feed protocol.FeedID, seq uint64) string {
	if !node.Revoked {
		return ""
	}
	c, ok := node.Cutoff[feed]
	switch {
	case !ok:
		return "its node was revoked since, and the team has not said yet how far it can be believed"
	case seq > c.LastSeq, slices.Contains(c.Void, seq):
		return "its node was revoked, and the team says that this is not its word"
	}
	return ""
}

// Anchored returns the smallest sequence number from which on every entry up to the cut-off's last is held and chained to
// its LastHash; LastSeq+1 if the last itself is not held. held answers for one sequence number; it is asked once for each
// from LastSeq downwards. Entries in Void are part of the chain: they have to be held, or the walk ends above them.
func Anchored(c protocol.Cutoff, held func(seq uint64) Neighbour) uint64 {
	want := c.LastHash
	for seq := c.LastSeq; seq > 0; seq-- {
		n := held(seq)
		if !n.Held || n.ID != want {
			return seq + 1
		}
		want = n.Prev
	}
	return 1
}
