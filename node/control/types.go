package control

import (
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A TeamRef names a team.
type TeamRef struct {
	ID      protocol.TeamID `json:"id"`
	Name    string          `json:"name"`
	Country string          `json:"country,omitempty"`
}

// An Audience is whom a message is for. Kind is community, team, person, agreement or room. ID is null for the community, which has
// none, and where several teams are named.
type Audience struct {
	Kind string  `json:"kind"`
	ID   *string `json:"id"`
	Name string  `json:"name"`
}

// A Person is an operator of a team to whom content is sealed.
type Person struct {
	Team     protocol.TeamID `json:"team"`
	TeamName string          `json:"team_name"`
	Name     string          `json:"name"`
	Self     bool            `json:"self,omitempty"` // of this node's own team
}

// A Message is the header of one message, as inbox, search, show and watch give it.
type Message struct {
	ID           protocol.Hash   `json:"id"`
	Author       TeamRef         `json:"author"`
	TLP          tlp.Label       `json:"tlp"`
	Audience     Audience        `json:"audience"`
	Kind         string          `json:"kind"`
	Title        *string         `json:"title"` // null where only a person can open it
	Format       string          `json:"format"`
	Created      time.Time       `json:"created"`  // by the author's clock
	Received     time.Time       `json:"received"` // by this node's
	Urgent       bool            `json:"urgent"`
	Size         uint64          `json:"size"`     // bytes of the content
	Complete     bool            `json:"complete"` // the content is here
	File         string          `json:"file,omitempty"`
	N            uint64          `json:"n"` // arrival number at this node: the place to resume a watch
	Node         protocol.KID    `json:"node"`
	Seq          uint64          `json:"seq"`
	Supersedes   *protocol.Hash  `json:"supersedes,omitempty"`
	SupersededBy *protocol.Hash  `json:"superseded_by,omitempty"`
	Quarantined  string          `json:"quarantined,omitempty"` // why it is held back
	Doubt        string          `json:"doubt,omitempty"`       // why it is not believed any more: its node was revoked
	Refs         []protocol.Hash `json:"refs,omitempty"`
	Persons      []Person        `json:"persons,omitempty"`   // of RED: who alone can read it
	Sealed       bool            `json:"sealed,omitempty"`    // title, format and size are known to those persons only
	Agreement    *protocol.Hash  `json:"agreement,omitempty"` // under which it was sent
	Held         string          `json:"held,omitempty"`      // the rule by which it is shown to nobody for now
	Own          bool            `json:"own,omitempty"`       // this team is the author
	Arrived      uint64          `json:"arrived,omitempty"`   // bytes of what travels apart that are here, while it is not complete
	To           string          `json:"to,omitempty"`        // the audience in the form that a draft takes
}

// A Node is one server of a team.
type Node struct {
	ID        protocol.KID `json:"id"`
	Name      string       `json:"name"`
	Peer      string       `json:"peer,omitempty"`
	Addresses []string     `json:"addresses,omitempty"`
	Connected bool         `json:"connected"`
	LastSeen  *time.Time   `json:"last_seen,omitempty"`
	Revoked   bool         `json:"revoked,omitempty"`
	LastError string       `json:"last_error,omitempty"` // of the last attempt to connect
	Software  string       `json:"software,omitempty"`
	LatencyMS float64      `json:"latency_ms,omitempty"`
	Feed      Feed         `json:"feed"`
}

// A Feed says how far a node's messages are held here, and how far the node itself said they reach.
type Feed struct {
	Held     uint64     `json:"held"`              // without a gap up to here
	Newest   uint64     `json:"newest"`            // the newest one held
	Said     uint64     `json:"said"`              // the newest one by the node's last signed word
	SaidAt   *time.Time `json:"said_at,omitempty"` // of that word
	Complete bool       `json:"complete"`          // nothing that the node spoke of is missing
	Forked   bool       `json:"forked,omitempty"`  // the node said two things in one place
}

// A Team is what this node knows of a team. State is unknown, introduced, verified, disputed, stale or blocked.
type Team struct {
	TeamRef
	State       string            `json:"state"`
	Fingerprint string            `json:"fingerprint"`
	Self        bool              `json:"self,omitempty"`
	Why         string            `json:"why,omitempty"` // of a state that hinders, in words
	Added       *time.Time        `json:"added,omitempty"`
	Verified    *time.Time        `json:"verified,omitempty"`
	Method      string            `json:"method,omitempty"`
	Attestors   []protocol.TeamID `json:"attested_by,omitempty"`
	Nodes       []Node            `json:"nodes"`
	Officers    []Officer         `json:"officers,omitempty"`
	Expires     *time.Time        `json:"manifest_expires,omitempty"`
	Card        *Card             `json:"card,omitempty"`
	Claim       string            `json:"claim,omitempty"` // which entry of its constituency was asked for
}

// An Officer is a person who signs a team's trust acts.
type Officer struct {
	Name string         `json:"name"`
	Key  protocol.KID   `json:"key"`
	Acts []protocol.Act `json:"acts,omitempty"` // empty: all
}

// A Card is a team's card in the words that a person edits.
type Card struct {
	Name         string                `json:"name"`
	Country      string                `json:"country"`
	FullName     string                `json:"full_name,omitempty"`
	Host         string                `json:"host,omitempty"`
	Address      string                `json:"address,omitempty"`
	TimeZone     string                `json:"time_zone,omitempty"`
	Hours        string                `json:"hours,omitempty"`
	Phones       []protocol.Contact    `json:"phones,omitempty"`
	Mails        []protocol.Contact    `json:"mails,omitempty"`
	Web          string                `json:"web,omitempty"`
	Languages    []string              `json:"languages,omitempty"`
	Services     []string              `json:"services,omitempty"`
	Constituency protocol.Constituency `json:"constituency,omitzero"`
	Links        []protocol.Link       `json:"links,omitempty"`
}

// CardOf returns the editable part of a card record.
func CardOf(c *protocol.Card) *Card {
	if c == nil {
		return nil
	}
	return &Card{Name: c.Name, Country: c.Country, FullName: c.FullName, Host: c.Host, Address: c.Address, TimeZone: c.TimeZone,
		Hours: c.Hours, Phones: c.Phones, Mails: c.Mails, Web: c.Web, Languages: c.Languages, Services: c.Services,
		Constituency: c.Constituency, Links: c.Links}
}

// Fill writes the editable part into a card record.
func (c *Card) Fill(r *protocol.Card) {
	r.Name, r.Country, r.FullName, r.Host, r.Address = c.Name, c.Country, c.FullName, c.Host, c.Address
	r.TimeZone, r.Hours, r.Phones, r.Mails, r.Web = c.TimeZone, c.Hours, c.Phones, c.Mails, c.Web
	r.Languages, r.Services, r.Constituency, r.Links = c.Languages, c.Services, c.Constituency, c.Links
}

// A Draft is a message to be sent. Its content goes beside it.
type Draft struct {
	To         string          // audience: community, team:TEAM[,TEAM…], person:TEAM/NAME[,…], agreement:AGREEMENT, room:ROOM
	Label      tlp.Label       // Unset: the content's own
	Urgent     bool            //
	Name       string          // of the file, may be empty
	Supersedes protocol.Hash   // of a correction
	Refs       []protocol.Hash // messages that it is about
	Sources    []protocol.Hash // messages that it is derived from: it is at least as strict as they are
	As         string          // of RED: the own operator who can read it back
	DryRun     bool            // judge and answer, but send nothing
	Expect     protocol.Hash   // Sent.Digest of the preview that was agreed to: anything else is refused; zero: none was shown
	// size and hash of the content, set by Send.
	size int64
	hash protocol.Hash
}

// A Reader is one node that will be able to read a message.
type Reader struct {
	Team      protocol.TeamID `json:"team"`
	Name      string          `json:"name"` // of the team
	Node      protocol.KID    `json:"node"`
	NodeName  string          `json:"node_name"`
	Connected bool            `json:"connected"`
	Self      bool            `json:"self,omitempty"`
}

// A Sent is a message that was accepted for delivery, or would be. ID is null after a dry run.
type Sent struct {
	ID       *protocol.Hash `json:"id"`
	TLP      *tlp.Label     `json:"tlp"` // null in a preview without a label
	Audience Audience       `json:"audience"`
	Readers  []Reader       `json:"readers"`
	Title    string         `json:"title,omitempty"`
	Format   string         `json:"format,omitempty"`
	File     string         `json:"file,omitempty"`
	Persons  []Person       `json:"persons,omitempty"` // of RED: who alone can read it; the nodes only keep it
	Note     string         `json:"note,omitempty"`    // Notes in one line
	Notes    []string       `json:"notes,omitempty"`   // what else a sender should know about who may read
	DryRun   bool           `json:"dry_run,omitempty"`
	Digest   *protocol.Hash `json:"digest,omitempty"` // of label, readers and their keys: for Draft.Expect
}

// A Peer is a node of another team.
type Peer struct {
	Team      protocol.TeamID `json:"team"`
	Name      string          `json:"name"` // of the team
	State     string          `json:"state"`
	Node      protocol.KID    `json:"node"`
	NodeName  string          `json:"node_name,omitempty"`
	Connected bool            `json:"connected"`
	LastSeen  *time.Time      `json:"last_seen,omitempty"`
	LastError string          `json:"last_error,omitempty"`
	Addresses []string        `json:"addresses,omitempty"`
	Feed      Feed            `json:"feed"`
}

// StoreStatus sizes the store.
type StoreStatus struct {
	Messages  uint64 `json:"messages"`
	Bytes     uint64 `json:"bytes"`
	DiskBytes uint64 `json:"disk_bytes"`
	Unindexed uint64 `json:"unindexed"` // messages that cannot be found by search yet
	Damaged   uint64 `json:"damaged"`   // values found damaged since the start; they are fetched again
}

// CatchUp says how far this node is with fetching what it missed.
type CatchUp struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"` // 0: nothing is known to be missing
}

// An Outbox says how much of what was sent to a team in particular is not known to be stored there yet.
type Outbox struct {
	Team    protocol.TeamID `json:"team"`
	Name    string          `json:"name"`
	Waiting uint64          `json:"waiting"` // messages
	Held    uint64          `json:"held"`    // of these, that arrived and are held back there
	Oldest  *time.Time      `json:"oldest,omitempty"`
}

// A Status says how the node is.
type Status struct {
	Team      TeamRef       `json:"team"`
	Node      protocol.KID  `json:"node"`
	NodeName  string        `json:"node_name"`
	PeerID    string        `json:"peer_id"` // of libp2p
	Running   bool          `json:"running"`
	Listening []string      `json:"listening"`
	Peers     []Peer        `json:"peers"`
	Store     StoreStatus   `json:"store"`
	Signing   string        `json:"signing"` // "ok", or why this node does not sign
	Unlock    string        `json:"unlock"`  // where the unlock secret came from: file, credential, typed
	LastN     uint64        `json:"last_n"`
	CatchUp   CatchUp       `json:"catch_up"`
	Outbox    []Outbox      `json:"outbox"`
	Agreed    int           `json:"agreements"` // agreements known, ended ones included
	Rooms     []RoomSummary `json:"rooms"`
	Home      string        `json:"home"`
	Version   string        `json:"version"`
	Started   *time.Time    `json:"started,omitempty"`
}

// A RoomSummary is a room in one line.
type RoomSummary struct {
	ID        protocol.Hash `json:"id"`
	Name      string        `json:"name"`
	State     string        `json:"state"`
	Own       string        `json:"own_status"`
	Waiting   int           `json:"waiting"`             // for an officer of this team
	Attention []string      `json:"attention,omitempty"` // what a person should know of it, in words
}

// Own are this team's own records, from which a ceremony makes the next ones. Records are in their wire form.
type Own struct {
	Root       []byte        `json:"root"`
	RootID     protocol.Hash `json:"root_id"`
	Manifest   []byte        `json:"manifest"`
	ManifestID protocol.Hash `json:"manifest_id"`
	Card       []byte        `json:"card"`
	Node       []byte        `json:"node"` // this node's entry for a manifest
}

// Replacement is this node's new entry for a manifest, with keys that wait, and the cut-off for its old feed, not yet
// signed.
type Replacement struct {
	Node   []byte       `json:"node"`
	Old    protocol.KID `json:"old"`
	Cutoff []byte       `json:"cutoff,omitempty"`
	// Private are cut-offs of feeds for single teams.
	Private [][]byte `json:"private,omitempty"`
}

// A Finding is one thing that doctor has to say. Level is ok, warn or bad.
type Finding struct {
	Level string `json:"level"`
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"` // what to do
}

// A FsckReport sums up a check of everything stored.
type FsckReport struct {
	Clean      bool      `json:"clean"` // nothing wrong is left
	Values     uint64    `json:"values"`
	Parcels    uint64    `json:"parcels"`
	Messages   uint64    `json:"messages"`
	Blobs      uint64    `json:"blobs"`
	Records    uint64    `json:"records"`
	Unverified uint64    `json:"unverified"` // entries whose node's key is not known
	Found      uint64    `json:"found"`      // problems
	Repaired   uint64    `json:"repaired"`
	Problems   []Problem `json:"problems,omitempty"`
}

// A Problem is one thing that is not as it should be.
type Problem struct {
	Kind  string `json:"kind"`
	Where string `json:"where"`
}

// fsckLine is one line of the stream of a check.
type fsckLine struct {
	Values uint64      `json:"values"` // seen so far
	Report *FsckReport `json:"report,omitempty"`
}

// A Query selects messages for Inbox. Zero fields select all.
type Query struct {
	Label  tlp.Label
	From   string // a team: name or beginning of an id
	Since  time.Time
	After  uint64 // arrival number
	Limit  int    // the newest that many; 0: all
	Urgent bool
}
