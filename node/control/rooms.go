package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A Room is a room as this team sees it. All of it is confidential to its members. State is founding, open, frozen, quorum-lost
// or closed.
type Room struct {
	ID        protocol.Hash   `json:"id"`
	Name      string          `json:"name"`
	State     string          `json:"state"`
	Why       string          `json:"why,omitempty"`     // of a state that hinders, and what to do, in words
	Charter   *protocol.Hash  `json:"charter"`           // the version in force; of a room that is being founded, the one to be signed
	Version   uint64          `json:"version,omitempty"` // of it
	Epoch     *protocol.Hash  `json:"epoch"`             // to which this node would seal now; null: to one that it makes first
	EpochEnds *time.Time      `json:"epoch_ends,omitempty"`
	Members   []RoomMember    `json:"members"` // former ones and proposed ones too
	Proposals []RoomProposal  `json:"proposals"`
	Own       string          `json:"own_status"` // where this team stands
	Steward   bool            `json:"steward"`    // this team votes
	Quorum    int             `json:"quorum"`
	Terms     *RoomTermsView  `json:"terms,omitempty"`
	Warnings  []string        `json:"warnings,omitempty"`
	Readers   []RoomReader    `json:"readers"`             // who will read what is said now, beside this team
	Unreached []RoomUnreached `json:"unreached,omitempty"` // members to whom nothing is sealed now
	Joined    []TeamRef       `json:"joined,omitempty"`    // members that were none when a person of this team last looked
	Gone      []TeamRef       `json:"gone,omitempty"`
	Looked    *time.Time      `json:"looked,omitempty"`
	Waiting   []RoomDraft     `json:"waiting,omitempty"` // what waits for an officer of this team
	Silent    string          `json:"silent,omitempty"`  // why this node may not speak in it now
	Rivals    []protocol.Hash `json:"rivals,omitempty"`  // the charters that froze it
	Cheats    []RoomCheat     `json:"cheats,omitempty"`
	Next      []protocol.Hash `json:"next,omitempty"`    // rooms that members founded to replace it
	Forgets   *time.Time      `json:"forgets,omitempty"` // when this node destroys what it has of a room that is over here
	Record    []byte          `json:"record,omitempty"`  // the charter in its wire form
	Teams     []TeamRef       `json:"teams,omitempty"`   // what this team calls those of whom the room speaks
}

// A RoomMember is a team's place in a room. Status is proposed, member, held, suspended, removed, lapsed or left.
type RoomMember struct {
	TeamRef
	Status  string     `json:"status"`
	Steward bool       `json:"steward,omitempty"`
	Self    bool       `json:"self,omitempty"`
	Until   *time.Time `json:"until,omitempty"` // the end of its term, or of a hold
	Since   *time.Time `json:"since,omitempty"`
	Why     string     `json:"why,omitempty"`
}

// A RoomProposal is something that waits for votes. Kind is founding, charter, admission, renewal, readmission, suspension or
// removal. Subject is the team that it is about.
type RoomProposal struct {
	ID       protocol.Hash    `json:"id"`
	Kind     string           `json:"kind"`
	Subject  *protocol.TeamID `json:"subject"` // null of a charter
	Name     string           `json:"subject_name,omitempty"`
	Votes    int              `json:"votes"`
	Needed   int              `json:"needed"`
	Voted    []TeamRef        `json:"voted,omitempty"`
	Adopted  []TeamRef        `json:"adopted,omitempty"` // of a charter: who adopted it after a quorum had approved it
	Missing  []string         `json:"missing,omitempty"` // what else is missing, in words
	Objected []TeamRef        `json:"objected,omitempty"`
	For      []RoomWord       `json:"for,omitempty"`     // of an admission: who vouches for the team, and what they say
	Against  []RoomWord       `json:"against,omitempty"` // and who objects
	Mine     bool             `json:"mine"`              // this team can vote now, and has not
	Why      string           `json:"why,omitempty"`     // why it cannot
	Opens    *time.Time       `json:"opens,omitempty"`   // when the window for objections ends
	Reason   string           `json:"reason,omitempty"`
	Until    *time.Time       `json:"until,omitempty"`  // of the membership that it would give
	Record   []byte           `json:"record,omitempty"` // of a charter: it, in its wire form
}

// A RoomWord is what a member says of a team that is to be admitted.
type RoomWord struct {
	TeamRef
	Text string `json:"text,omitempty"`
}

// RoomTermsView are the terms of the charter in force, or of the one to be signed.
type RoomTermsView struct {
	Purpose       string         `json:"purpose,omitempty"`
	TLPMax        tlp.Label      `json:"tlp_max"`
	Sponsors      uint64         `json:"sponsors"`
	ObjectionDays uint64         `json:"objection_days"`
	HoldDays      uint64         `json:"hold_days"`
	CardDays      uint64         `json:"card_days"`
	EpochDays     uint64         `json:"epoch_days"`
	FreshHours    uint64         `json:"fresh_hours"`
	KeepDays      uint64         `json:"keep_days,omitempty"`
	Attribution   string         `json:"attribution"`
	Onward        string         `json:"onward"`
	History       string         `json:"history"`
	HistoryFrom   *time.Time     `json:"history_from,omitempty"`
	Policy        protocol.IEP   `json:"policy"`
	Replaces      *protocol.Hash `json:"replaces,omitempty"`
}

// A RoomReader is a team that will be able to read what is said in a room now.
type RoomReader struct {
	Team      protocol.TeamID `json:"team"`
	Name      string          `json:"name"`
	Nodes     int             `json:"nodes"`
	Connected int             `json:"connected"`
	Self      bool            `json:"self,omitempty"`
}

// A RoomUnreached is a member to whom nothing is sealed now, and why.
type RoomUnreached struct {
	TeamRef
	Why string `json:"why"`
}

// A RoomDraft is something that an officer of this team would sign next. Kind is sign, accept, approve, adopt, give-up or vote.
type RoomDraft struct {
	Kind    string           `json:"kind"`
	ID      protocol.Hash    `json:"id"` // of the proposal, or the charter
	About   string           `json:"about,omitempty"`
	Subject *protocol.TeamID `json:"subject,omitempty"`
	Name    string           `json:"subject_name,omitempty"`
	Clerk   bool             `json:"clerk,omitempty"` // nothing is left to decide
	Why     string           `json:"why"`
}

// A RoomCheat is the proof that a steward voted against the rules: two records of its own.
type RoomCheat struct {
	Team TeamRef       `json:"team"`
	A    protocol.Hash `json:"a"`
	B    protocol.Hash `json:"b"`
}

// RoomTerms are what a person fills into the charter of a new room or of an amendment. Zero fields take the defaults of the
// node, or stay as they are.
type RoomTerms struct {
	Name          string        `json:"name,omitempty"`
	Stewards      []string      `json:"stewards,omitempty"` // teams: names or beginnings of ids
	Members       []string      `json:"members,omitempty"`
	Purpose       string        `json:"purpose,omitempty"`
	Text          string        `json:"text,omitempty"`
	TLPMax        tlp.Label     `json:"tlp_max,omitzero"`
	Sponsors      *int          `json:"sponsors,omitempty"`
	ObjectionDays *int          `json:"objection_days,omitempty"`
	HoldDays      int           `json:"hold_days,omitempty"`
	CardDays      int           `json:"card_days,omitempty"`
	EpochDays     int           `json:"epoch_days,omitempty"`
	FreshHours    int           `json:"fresh_hours,omitempty"`
	KeepDays      *int          `json:"keep_days,omitempty"`
	Attribution   string        `json:"attribution,omitempty"`
	Onward        string        `json:"onward,omitempty"`
	History       string        `json:"history,omitempty"`
	HistoryFrom   *time.Time    `json:"history_from,omitempty"`
	Policy        *protocol.IEP `json:"policy,omitempty"`
	Incident      bool          `json:"incident,omitempty"`
	Replaces      protocol.Hash `json:"replaces,omitzero"` // the room that a new one founds anew
	AddStewards   []string      `json:"add_stewards,omitempty"`
	DropStewards  []string      `json:"drop_stewards,omitempty"`
}

// A RoomAct is what a person of this team wants to do in a room. Kind is sign, accept, vouch, object, withdraw, vote, admit,
// renew, readmit, hold, suspend, remove, leave, amend, close or refound.
type RoomAct struct {
	Kind     string        `json:"kind"`
	Team     string        `json:"team,omitempty"`
	Proposal string        `json:"proposal,omitempty"` // of vote: the beginning of its id, or the team that it is about
	Reason   string        `json:"reason,omitempty"`
	GiveUp   bool          `json:"give_up,omitempty"`
	Terms    *RoomTerms    `json:"terms,omitempty"`
	Next     protocol.Hash `json:"next,omitzero"` // of refound: the new room
}

// A RoomPaper is what an officer of this team is to sign: a record that is drafted, or one that others signed before, whole.
type RoomPaper struct {
	Room     protocol.Hash `json:"room"` // zero of a new one
	Kind     string        `json:"kind"`
	Type     protocol.Type `json:"type,omitempty"`
	Record   []byte        `json:"record,omitempty"`
	Envelope []byte        `json:"envelope,omitempty"`
	What     []string      `json:"what,omitempty"` // what signing it does, in words
}

// Open returns the document with the signatures that it has, and the record in it, which fits the rules of its form.
func (p *RoomPaper) Open() (*protocol.Envelope, protocol.Record, error) {
	e := &protocol.Envelope{Type: p.Type, Payload: p.Record}
	if len(p.Envelope) > 0 {
		var err error
		if e, err = protocol.DecodeEnvelope(p.Envelope, protocol.MaxRecord); err != nil {
			return nil, nil, err
		}
	}
	r, err := roomRecord(e)
	return e, r, err
}

// roomRecord decodes a record of a room that officers sign.
func roomRecord(e *protocol.Envelope) (protocol.Record, error) {
	switch e.Type {
	case protocol.TypeCharter:
		return record(protocol.Decode[protocol.Charter](e))
	case protocol.TypeApprove:
		return record(protocol.Decode[protocol.Approve](e))
	case protocol.TypeAdopt:
		return record(protocol.Decode[protocol.Adopt](e))
	case protocol.TypeVouch:
		return record(protocol.Decode[protocol.Vouch](e))
	case protocol.TypeAccept:
		return record(protocol.Decode[protocol.Accept](e))
	case protocol.TypeObjection:
		return record(protocol.Decode[protocol.Objection](e))
	case protocol.TypeMemberCard:
		return record(protocol.Decode[protocol.MemberCard](e))
	case protocol.TypeHold:
		return record(protocol.Decode[protocol.Hold](e))
	case protocol.TypeLeave:
		return record(protocol.Decode[protocol.Leave](e))
	case protocol.TypeRefound:
		return record(protocol.Decode[protocol.Refound](e))
	}
	return nil, fmt.Errorf("%.60q is no document of a room that officers sign", string(e.Type))
}

func record[T any, P interface {
	*T
	protocol.Record
}](r *T, err error) (protocol.Record, error) {
	if err != nil {
		return nil, err
	}
	return P(r), nil
}

// Rooms calls fn with each room that this team knows, by name. Of the charters only the terms are in it, and no records.
func (c *Client) Rooms(ctx context.Context, fn func(Room) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/rooms", nil, fn)
}

// Room returns one room, whole, by its name, its id or the beginning of it.
func (c *Client) Room(ctx context.Context, query string) (*Room, error) {
	return get[Room](ctx, c, "/v1/rooms/"+url.PathEscape(query), nil)
}

// DraftRoom returns the charter of a new room, for officers of all its stewards to sign.
func (c *Client) DraftRoom(ctx context.Context, t RoomTerms) (*RoomPaper, error) {
	return post[RoomPaper](ctx, c, "/v1/rooms/draft", nil, jsonBody(t))
}

// DraftInRoom returns what an officer signs so that the act is done.
func (c *Client) DraftInRoom(ctx context.Context, room protocol.Hash, a RoomAct) (*RoomPaper, error) {
	return post[RoomPaper](ctx, c, "/v1/rooms/"+room.String()+"/draft", nil, jsonBody(a))
}

// AddToRoom hands over what an officer signed. The node keeps it, lets it take effect and tells the others.
func (c *Client) AddToRoom(ctx context.Context, e *protocol.Envelope) (*Room, error) {
	return post[Room](ctx, c, "/v1/rooms", nil, bytes.NewReader(e.Encode()))
}

// ForgetRoom declines an invitation, or destroys keys and messages of a room that is over for this team.
func (c *Client) ForgetRoom(ctx context.Context, room protocol.Hash) error {
	_, err := post[struct{}](ctx, c, "/v1/rooms/"+room.String()+"/forget", nil, nil)
	return err
}

// RoomSeen notes that a person has looked who is in the room.
func (c *Client) RoomSeen(ctx context.Context, room protocol.Hash) error {
	_, err := post[struct{}](ctx, c, "/v1/rooms/"+room.String()+"/seen", nil, nil)
	return err
}

// CharterOf reads the wire form of a charter.
func CharterOf(raw []byte) (*protocol.Charter, error) {
	if len(raw) == 0 {
		return nil, errors.New("the charter has not arrived yet")
	}
	var c protocol.Charter
	return &c, protocol.Unmarshal(raw, &c)
}
