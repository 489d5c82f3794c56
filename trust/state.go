package trust

import (
	"fmt"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A State is what my team thinks of another. The zero State is Unknown, which permits nothing.
type State uint8

// The states. Their order is not an order of trust.
const (
	Unknown    State = iota // nobody whom I verified speaks for it
	Introduced              // added by a person of mine, or attested by two teams that I verified
	Verified                // a person of mine compared the fingerprint
	Disputed                // its records contradict each other
	Stale                   // no manifest that is valid now: what it said can be read, nothing new passes
	Blocked                 // a person of mine blocked it
)

var stateNames = [...]string{"unknown", "introduced", "verified", "disputed", "stale", "blocked"}

// String returns the state in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// MarshalText writes the state in lower case. A number that is no state is an error.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateNames) {
		return nil, fmt.Errorf("%d is no state of a team", uint8(s))
	}
	return []byte(stateNames[s]), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *State) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if n == string(b) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no state of a team: want one of %v", b, stateNames)
}

// An ActKind is a kind of decision about another team.
type ActKind uint8

// The kinds of act. Their numbers are kept by the store and never change.
const (
	ActAdded     ActKind = 1 // took in an introduction
	ActVerified  ActKind = 2 // compared the fingerprint; implies added
	ActBlocked   ActKind = 3
	ActUnblocked ActKind = 4
	ActSighted   ActKind = 5 // no person's: when the root record that Method names was first seen (Sightings)
)

var actNames = map[ActKind]string{ActAdded: "added", ActVerified: "verified", ActBlocked: "blocked", ActUnblocked: "unblocked",
	ActSighted: "sighted"}

// String returns the act in lower case.
func (k ActKind) String() string {
	if s, ok := actNames[k]; ok {
		return s
	}
	return fmt.Sprintf("act-%d", uint8(k))
}

// An OwnAct is a decision of a person of my own team about another team. The store keeps it; it is replayed into a Book.
type OwnAct struct {
	Team   protocol.TeamID
	Kind   ActKind
	At     time.Time
	By     string // the person, as the keyring names them
	Method string // in ActVerified: how the fingerprint was compared (protocol.Methods); in ActSighted the id of a root record
}
