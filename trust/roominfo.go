package trust

import (
	"fmt"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A RoomState is where a room stands. The zero RoomState is NoRoom, which permits nothing.
type RoomState uint8

// The states.
const (
	NoRoom         RoomState = iota
	RoomFounding             // not signed by all of its first stewards yet
	RoomOpen                 // in use
	RoomQuorumLost           // so many stewards are silent that nothing can be decided; members go on as they are
	RoomFrozen               // two charters were decided for one version: nothing is sent any more
	RoomClosed               // ended by its charter, or left behind for a new room
)

var roomStateNames = [...]string{"none", "founding", "open", "quorum-lost", "frozen", "closed"}

// String returns the state in lower case.
func (s RoomState) String() string {
	if int(s) < len(roomStateNames) {
		return roomStateNames[s]
	}
	return fmt.Sprintf("room-state-%d", uint8(s))
}

// MarshalText writes the state in lower case. A number that is no state is an error.
func (s RoomState) MarshalText() ([]byte, error) {
	if int(s) >= len(roomStateNames) {
		return nil, fmt.Errorf("%d is no state of a room", uint8(s))
	}
	return []byte(roomStateNames[s]), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *RoomState) UnmarshalText(b []byte) error {
	for i, n := range roomStateNames {
		if n == string(b) {
			*s = RoomState(i)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no state of a room: want one of %v", b, roomStateNames)
}

// A Standing is where a team stands in a room. Only StandingMember may read and speak. The zero Standing is none.
type Standing uint8

// The standings.
const (
	StandingNone      Standing = iota
	StandingProposed           // vouched for, or named by the founders, and not in yet
	StandingMember             // reads and speaks
	StandingHeld               // kept out by one steward, for a short time
	StandingSuspended          // kept out by the stewards, until they let it in again
	StandingLapsed             // its term is over: it was not renewed
	StandingLeft               // by its own word
	StandingRemoved            // by the stewards
)

var standingNames = [...]string{"none", "proposed", "member", "held", "suspended", "lapsed", "left", "removed"}

// String returns the standing in lower case.
func (s Standing) String() string {
	if int(s) < len(standingNames) {
		return standingNames[s]
	}
	return fmt.Sprintf("standing-%d", uint8(s))
}

// MarshalText writes the standing in lower case. A number that is none is an error.
func (s Standing) MarshalText() ([]byte, error) {
	if int(s) >= len(standingNames) {
		return nil, fmt.Errorf("%d is no standing in a room", uint8(s))
	}
	return []byte(standingNames[s]), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *Standing) UnmarshalText(b []byte) error {
	for i, n := range standingNames {
		if n == string(b) {
			*s = Standing(i)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no standing in a room: want one of %v", b, standingNames)
}

// RoomInfo is what is known of a room at one time. It is a copy; the records it points to must not be changed.
type RoomInfo struct {
	ID        protocol.Hash
	Name      string // confidential to the members, as everything here
	State     RoomState
	Why       string // why it is not open, and what to do, in words
	Version   uint64
	CharterID protocol.Hash
	Charter   *protocol.Charter
	Members   []RoomMember // ascending by team: members, former ones, and who is proposed
	Stewards  []protocol.TeamID
	Quorum    int
	Mine      Standing // of my own team
	Steward   bool     // my own team votes
	Proposals []Proposal
	Warnings  []string
	Silent    []protocol.TeamID // stewards that cannot be counted on: not heard of for long, or left
	Rivals    []protocol.Hash   // the charters that froze it
	Cheats    []Cheat
	Next      []protocol.Hash // rooms that members founded to replace it
	Cards     protocol.Hash   // digest of the cards and leaves that count, for an Epoch
	Holds     protocol.Hash   // digest of the holds in effect; zero: none
}

// Member returns the entry of the team.
func (i *RoomInfo) Member(t protocol.TeamID) RoomMember {
	for _, m := range i.Members {
		if m.Team == t {
			return m
		}
	}
	return RoomMember{Team: t}
}

// Standing returns where the team stands.
func (i *RoomInfo) Standing(t protocol.TeamID) Standing { return i.Member(t).Status }

// A RoomMember is a team's place in a room.
type RoomMember struct {
	Team   protocol.TeamID
	Status Standing
	Until  time.Time // the end of its term, or of a hold
	Since  time.Time // when it joined
	Why    string    // why it is not a member, in words
	Card   protocol.Hash
	Cuts   []protocol.Head // how far its feeds stand, where it is no member any more
}

// A Proposal is something that waits for votes.
type Proposal struct {
	ID       protocol.Hash // of the card or charter; of a team that nobody drafted a card for yet, its own
	Kind     string        // founding, charter, admission, renewal, readmission, suspension, removal
	Subject  protocol.TeamID
	Charter  *protocol.Charter    // of founding and charter
	Card     *protocol.MemberCard // of the others; nil before the first vote
	Votes    []protocol.TeamID
	Needed   int
	Missing  []string  // what else is missing, in words: sponsors, acceptances
	MineVote bool      // my own team can vote now, and has not
	Why      string    // why it cannot, in words
	Opens    time.Time // when the window for objections ends; zero if there is none
	Round    uint64    // of a charter: the round of the most votes
	Objected []protocol.TeamID
	Adopted  []protocol.TeamID // of a charter: who adopted it in Round
	For      []Word            // of an admission: the sponsors
	Against  []Word            // of an admission: those of Objected
}

// A Word is what a member says of a team that is to be admitted.
type Word struct {
	Team protocol.TeamID
	Text string
}

// A Cheat is the proof that a steward voted against the rules: two records of its, that no honest steward can have signed.
type Cheat struct {
	Team protocol.TeamID
	A, B protocol.Hash
}
