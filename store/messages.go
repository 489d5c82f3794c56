package store

import (
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A Message is a statement as it arrived.
type Message struct {
	N          uint64        // arrival number
	ID         protocol.Hash // of the statement
	Parcel     protocol.Hash // id of the parcel it came in
	Feed       protocol.FeedID
	Seq        uint64
	Received   time.Time
	Via        string
	Statement  *protocol.Statement // in lists without Body.Inline, see Query.Bodies
	Superseded protocol.Hash       // the newest correction of the same author; zero: none
	Complete   bool                // the body is held
}

// A Query selects messages. The zero value selects all.
type Query struct {
	Label  tlp.Label       // exactly this one; Unset: any
	From   protocol.TeamID // author; zero: any
	Since  time.Time       // received at or after; zero: any
	After  uint64          // N greater than this
	Limit  int             // at most so many; 0: all
	Newest bool            // the newest Limit ones instead of the oldest; Limit is then at most MaxPage, and 0 means MaxPage
	Bodies bool            // with Statement.Body.Inline, which costs one more read each
}

// MaxPage bounds the messages of a query with Newest, and of a search.
const MaxPage = 10_000
