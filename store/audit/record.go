package audit

import (
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// Limits of a record, in bytes of UTF-8.
const (
	MaxActor  = 64
	MaxAction = 32
	MaxRule   = 64
	MaxReason = 160 // kept at least; what does not fit is cut, at a character

	MaxAppend = 1024 // records in one call of Append
)

// Actions of records that the log writes about itself.
const (
	ActionErase = "audit-erase"
	ActionBreak = "audit-break"
)

// A Record is one decision about a restricted message.
type Record struct {
	Time    time.Time       // kept to the millisecond, in UTC
	Actor   string          // who asked: an operator's name, or what part of the node
	Action  string          // compose, receive, view, export…
	Object  protocol.Hash   // id of the statement or the agreement; zero: of none
	Team    protocol.TeamID // the other team; zero: none, or several
	Label   tlp.Label
	Allowed bool
	Rule    string // the rule that decided
	Reason  string // the same for people
}

// An Entry is a record at its place in the log.
type Entry struct {
	Index  uint64
	Erased bool // the record is gone, its hash is not
	Record
}
