package store

import (
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// An Entry is one verified parcel, ready to be kept. The caller has verified its signature, and that of the statement.
type Entry struct {
	Envelope    *protocol.Envelope
	Raw         []byte // the encoded envelope; nil: Envelope is encoded
	Parcel      *protocol.Parcel
	StatementID protocol.Hash
	Statement   *protocol.Statement
	Node        trust.NodeInfo
	Via         string // who handed it over; empty: made by this node, which has no quota
}

// An Outcome says what became of one entry.
type Outcome struct {
	Verdict trust.Verdict
	N       uint64              // arrival number of the message; 0 where there is none
	Proof   *protocol.ForkProof // set once for each slot, when its fork is first seen
	Err     error               // ErrQuota: refused for now, whatever the verdict
}

// An Extent is how far a feed is held.
type Extent struct {
	Feed   protocol.FeedID
	Node   protocol.KID
	Team   protocol.TeamID
	First  uint64        // all of [First, Next) is held
	Next   uint64        // the first that is not
	Head   protocol.Hash // id of Next-1; zero where that was never held
	Max    uint64        // the greatest that is held
	Forked bool          // the node said two things in one place
}

// A Span is a range of sequence numbers, both ends included.
type Span struct{ From, To uint64 }
