package trust

import (
	"time"

	"github.com/entente-network/entente/protocol"
)

// A Team is what is known of a team at one time. It is a copy; the records it points to must not be changed.
type Team struct {
	ID         protocol.TeamID
	Name       string // from the card; the short id where there is none
	Country    string
	State      State
	Why        string // why the state is disputed, stale or unknown, in words; for the own team a warning
	Card       *protocol.Card
	CardID     protocol.Hash
	Root       *protocol.Root // head of the root log
	RootID     protocol.Hash
	Manifest   *protocol.Manifest // the newest taken in; valid only if the state is not stale or disputed
	ManifestID protocol.Hash
	Added      time.Time // zero if no person added it
	VerifiedAt time.Time // zero if no person verified it
	Method     string
	Attestors  []protocol.TeamID // teams I verified that attest it now, ascending
}

// A NodeInfo is a node of a team, current or revoked.
type NodeInfo struct {
	Team        protocol.TeamID
	Node        protocol.Node
	Revoked     bool
	RevokedAt   time.Time
	Why         string                              // of the revocation
	Cutoff      map[protocol.FeedID]protocol.Cutoff // merged, the most restrictive; of revoked nodes only
	Addrs       []string
	AddrExpires time.Time
}
