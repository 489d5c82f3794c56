package node

import (
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// RoomTerms are what people write into the charter of a room. Of a new room the zero value of a field is its default, of an
// amendment it says: as before.
type RoomTerms struct {
	Name     string
	Stewards []string // teams, of a new room beside this one
	Members  []string // teams, of a new room beside the stewards
	Purpose  string
	Text     string

	Ceiling       tlp.Label // default AMBER+STRICT
	Sponsors      *int      // default 2
	ObjectionDays *int      // default 21
	HoldDays      int       // default 14
	CardDays      int       // default 365
	EpochDays     int       // default 30
	FreshHours    int       // default 168
	Keep          *int      // days; default 0: no term
	Attribution   protocol.Attribution
	Onward        protocol.Onward
	History       protocol.History
	HistoryFrom   time.Time // of protocol.HistoryDate
	Policy        *protocol.IEP

	// Incident makes a new room for one incident: no sponsors beyond one, no time for objections, members for 90 days, and all of
	// the past for who joins.
	Incident bool
	// Replaces is, of a new room, the one that it founds anew: Stewards and Members may then be empty, and are as they were.
	Replaces protocol.Hash

	AddStewards, DropStewards []string // of an amendment
}

// A RoomAct is what a person of this team wants to do in a room.
type RoomAct struct {
	// Kind is sign, accept, vouch, object, withdraw, vote, admit, renew, readmit, hold, suspend, remove, leave, amend, close or
	// refound. To vote is to say yes to a proposal, in whatever step it is: nobody votes no.
	Kind     string
	Team     string        // whom it is about: of vouch, object, withdraw, admit, renew, readmit, hold, suspend and remove
	Proposal string        // of vote: the beginning of the proposal's id, or the team that it is about
	Reason   string        // in words; of vouch, what is known of the team
	GiveUp   bool          // of vote: adopt a charter although it undoes what this team voted for
	Terms    *RoomTerms    // of amend
	Next     protocol.Hash // of refound: the new room
}

// A RoomPaper is what officers of this team sign: a record that is drafted, or one that others signed before.
type RoomPaper struct {
	Room     protocol.Hash
	Kind     string             // as of RoomAct; of a vote approve, adopt, give-up or vote
	Record   protocol.Record    // nil if Envelope is not
	Envelope *protocol.Envelope // to be signed as it is, by adding a signature
	What     []string           // what signing it does, in words
}

// A RoomView is a room as this team sees it now. All of it is confidential to the members.
type RoomView struct {
	trust.RoomInfo
	Names     map[protocol.TeamID]string // of all teams that it speaks of
	Readers   []Reader                   // who will read what is said now, beside this team
	Unreached map[protocol.TeamID]string // members to whom nothing is sealed now, and why, in words
	Joined    []protocol.TeamID          // members that were none when a person of this team last looked
	Gone      []protocol.TeamID          // the other way round
	Looked    time.Time                  // when that was; zero: never
	Waiting   []trust.Draft              // what waits for an officer of this team
	Epoch     protocol.Hash              // to which this node would seal now; zero: to one that it makes first
	EpochEnds time.Time
	Mute      string    // why this node may not speak in it now, in words; empty: it may
	Forgets   time.Time // when this node destroys its keys of a room that is over here; zero: it is not over
}
