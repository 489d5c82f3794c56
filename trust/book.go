package trust

import (
	"errors"
	"time"

	"github.com/entente-network/entente/protocol"
)

// Limits of a Book.
const (
	MaxTeams   = 2000 // beyond, only teams that a person added are taken in
	MaxRoots   = 64   // records of one root log; beyond, only recovery is taken in
	MaxAttests = 32   // attestations kept of one team
)

// Errors that callers branch on.
var (
	// ErrMissing is wrapped where a record refers to one that is not known yet. The caller tries again when more came in.
	ErrMissing = errors.New("a record that this one builds on is not known yet")
	// ErrNoTeam is wrapped where no team has the id, prefix or name.
	ErrNoTeam = errors.New("no such team")
	// ErrFull is wrapped where a limit of the Book refuses a record that may be valid.
	ErrFull = errors.New("no room for more")
	// ErrConflict is wrapped where an introduction contradicts what is known.
	ErrConflict = errors.New("contradicts what is known")
)

// An AmbiguousError says that a name or prefix fits several teams.
type AmbiguousError struct {
	Query      string
	Candidates []Team
}

func (e *AmbiguousError) Error() string { return e.Query }

// A Book is what my team knows of teams: parsed records, no signature bytes, and the decisions of its people. It is not safe
// for concurrent use.
type Book struct{}

// NewBook returns a Book of the team self, which may be zero until init made one.
func NewBook(self protocol.TeamID) *Book { return &Book{} }

// Add verifies one identity record.
func (b *Book) Add(e *protocol.Envelope, now time.Time) (added bool, drop []protocol.Hash, err error) {
	return false, nil, errors.ErrUnsupported
}

// Load takes in records that this node's own store kept, in any order. A record signed under an older root record of the
// team is taken as what it was when it was accepted. It returns one error for each record that was refused, and the ids to drop.
func (b *Book) Load(es []*protocol.Envelope, now time.Time) (drop []protocol.Hash, errs []error) {
	return nil, nil
}

// Act takes in a decision of a person.
func (b *Book) Act(a OwnAct) {}

// CheckIntroduction verifies a bundle.
func (b *Book) CheckIntroduction(es []*protocol.Envelope, team protocol.TeamID, now time.Time) (*Team, error) {
	return nil, errors.ErrUnsupported
}

// Team returns a team.
func (b *Book) Team(id protocol.TeamID, now time.Time) (Team, bool) { return Team{}, false }

// Teams returns all teams.
func (b *Book) Teams(now time.Time) []Team { return nil }

// Find returns the team of a name or id prefix.
func (b *Book) Find(nameOrPrefix string, now time.Time) (Team, error) { return Team{}, ErrNoTeam }

// Node returns the node of the key.
func (b *Book) Node(kid protocol.KID) (NodeInfo, bool) { return NodeInfo{}, false }

// NodeOf returns the node of the key as that team lists it. Parcels, heads and addresses name both.
func (b *Book) NodeOf(team protocol.TeamID, kid protocol.KID) (NodeInfo, bool) {
	return NodeInfo{}, false
}

// NodeByPeer returns the current node of the transport identity.
func (b *Book) NodeByPeer(peer []byte) (NodeInfo, bool) { return NodeInfo{}, false }

// NodesByPeer returns every current node that a team lists with the transport identity.
func (b *Book) NodesByPeer(peer []byte) []NodeInfo { return nil }

// Nodes returns the nodes of a team.
func (b *Book) Nodes(team protocol.TeamID) []NodeInfo { return nil }

// Digest returns a hash over the ids of all kept records of a team.
func (b *Book) Digest(team protocol.TeamID) protocol.Hash { return protocol.Hash{} }

// RecordIDs returns the ids of all kept records of a team, ascending.
func (b *Book) RecordIDs(team protocol.TeamID) []protocol.Hash { return nil }

// Shareable reports whether the team's records may be passed on.
func (b *Book) Shareable(team protocol.TeamID, now time.Time) bool { return false }

// CommunityTeams returns the teams that are introduced or verified, without my own.
func (b *Book) CommunityTeams(now time.Time) []protocol.TeamID { return nil }

// Expendable returns the teams that may be forgotten.
func (b *Book) Expendable(now time.Time) []protocol.TeamID { return nil }

// Forget removes a team, and returns the ids of the records that were kept of it.
func (b *Book) Forget(team protocol.TeamID) []protocol.Hash { return nil }
