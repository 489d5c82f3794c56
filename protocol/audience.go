package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Audience is whom a statement is for. It is inside the signature. The zero Audience is refused.
type Audience struct {
	Kind      AudienceKind `cbor:"1,keyasint"`
	Teams     []TeamID     `cbor:"2,keyasint,omitempty"` // the teams it is for beside the author's, ascending
	Persons   []Person     `cbor:"3,keyasint,omitempty"` // of RED, who alone may read it; ascending by team, then name
	Agreement Hash         `cbor:"4,keyasint,omitzero"`  // under which it is sent
	Room      Hash         `cbor:"5,keyasint,omitzero"`  // whose members it is for
	Charter   Hash         `cbor:"6,keyasint,omitzero"`  // of the room, under which it is said
	Epoch     Hash         `cbor:"7,keyasint,omitzero"`  // whose nodes can read it
}

// An AudienceKind is a way of naming readers.
type AudienceKind uint8

// The kinds of audience.
const (
	Community   AudienceKind = 1 // the teams that each node holds as introduced or verified
	Direct      AudienceKind = 2 // the named teams, or persons of theirs
	InAgreement AudienceKind = 3 // the other party of an agreement, or persons of both
	InRoom      AudienceKind = 4 // the members of a room whose nodes hold the epoch
)

var audienceNames = map[AudienceKind]string{Community: "community", Direct: "team", InAgreement: "agreement", InRoom: "room"}

// String returns the kind's name in the interface.
func (k AudienceKind) String() string {
	if s, ok := audienceNames[k]; ok {
		return s
	}
	return fmt.Sprintf("audience-%d", uint8(k))
}

// A Person is an operator of a team, named by the key that opens what is sealed to them.
type Person struct {
	Team TeamID `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint"`
	Key  Hash   `cbor:"3,keyasint"` // RecipientHash of the operator's recipient
}

// RecipientHash names an age recipient.
func RecipientHash(recipient string) Hash { return Sum("entente/v1/recipient-hash", []byte(recipient)) }

// Compare orders persons as an Audience lists them.
func (p Person) Compare(q Person) int {
	if c := bytes.Compare(p.Team[:], q.Team[:]); c != 0 {
		return c
	}
	return strings.Compare(p.Name, q.Name)
}

func (a Audience) check() error {
	inRoom := a.Kind == InRoom
	if inRoom == a.Room.IsZero() || inRoom == a.Charter.IsZero() || inRoom == a.Epoch.IsZero() {
		return errors.New("a room is named with its charter and an epoch, or not at all")
	}
	switch a.Kind {
	case InRoom:
		if len(a.Teams) != 0 || len(a.Persons) != 0 || !a.Agreement.IsZero() {
			return errors.New("the members of a room are an audience by themselves")
		}
		return nil
	case Community:
		if len(a.Teams) != 0 || len(a.Persons) != 0 || !a.Agreement.IsZero() {
			return errors.New("the community is an audience by itself")
		}
		return nil
	case Direct:
		if !a.Agreement.IsZero() {
			return errors.New("named teams, and an agreement too")
		}
	case InAgreement:
		if a.Agreement.IsZero() || len(a.Teams) != 1 {
			return errors.New("an agreement has one other party, and an id")
		}
	default:
		return fmt.Errorf("unknown kind of audience %d", a.Kind)
	}
	if len(a.Teams) == 0 || len(a.Teams) > MaxTeams {
		return fmt.Errorf("an audience of %d teams: want 1 to %d", len(a.Teams), MaxTeams)
	}
	for i, t := range a.Teams {
		if t.IsZero() || i > 0 && bytes.Compare(a.Teams[i-1][:], t[:]) >= 0 {
			return errors.New("the teams of an audience are not ascending")
		}
	}
	if len(a.Persons) > MaxPersons {
		return fmt.Errorf("an audience of %d persons: at most %d", len(a.Persons), MaxPersons)
	}
	for i, p := range a.Persons {
		if err := checkName("person", p.Name); err != nil {
			return err
		}
		if p.Team.IsZero() || p.Key.IsZero() || i > 0 && a.Persons[i-1].Compare(p) >= 0 {
			return errors.New("the persons of an audience are incomplete or not ascending")
		}
	}
	return nil
}

// A Channel is what one feed is for. The zero Channel is the community's. A room has one. Any other joins two teams, and
// carries nothing for anybody else; each agreement between them has one of its own, so that its messages end with it.
type Channel struct {
	low, high TeamID
	agreement Hash
	room      Hash
}

// RoomChannel returns the channel of a room. It joins no two teams: who is in it, the room's records say.
func RoomChannel(room Hash) Channel { return Channel{room: room} }

// Between returns the channel of two teams: that of an agreement, or with the zero Hash the one for what needs none. It is the
// same for both, and not valid for one team with itself.
func Between(a, b TeamID, agreement Hash) Channel {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return Channel{low: a, high: b, agreement: agreement}
}

// IsCommunity reports whether c is the community's.
func (c Channel) IsCommunity() bool { return c == Channel{} }

// Agreement returns the agreement that the channel is of; zero if it is of none.
func (c Channel) Agreement() Hash { return c.agreement }

// Room returns the room that the channel is of; zero if it is of none.
func (c Channel) Room() Hash { return c.room }

// Joins reports whether the team is one of the two; of the community's channel never.
func (c Channel) Joins(t TeamID) bool { return !t.IsZero() && (t == c.low || t == c.high) }

// Other returns the team at the other end.
func (c Channel) Other(t TeamID) TeamID {
	if t == c.low {
		return c.high
	}
	return c.low
}

// Carries reports whether a statement of the author for the audience may be in the channel.
func (c Channel) Carries(author TeamID, a Audience) bool {
	if a.Kind == Community {
		return c.IsCommunity()
	}
	if a.Kind == InRoom || !c.room.IsZero() {
		return a.Kind == InRoom && !a.Room.IsZero() && c.room == a.Room
	}
	return c.Joins(author) && c.agreement == a.Agreement && slices.Contains(a.Teams, c.Other(author))
}

// Tag returns the hash that stands for the channel in feed ids, data keys and the store.
func (c Channel) Tag() Hash {
	if c.IsCommunity() {
		return Sum("entente/v1/audience", must(Marshal(Audience{Kind: Community})))
	}
	if !c.room.IsZero() {
		return Sum("entente/v1/room", c.room[:])
	}
	return Sum("entente/v1/pair", c.low[:], c.high[:], c.agreement[:])
}

// FeedOf returns the id of the feed of one node's parcels for one channel.
func FeedOf(node KID, c Channel) FeedID {
	tag := c.Tag()
	return Sum("entente/v1/feed", node[:], tag[:])
}

// Content is what stands for title and body in a RED statement: it is sealed to the persons of the audience, inside what is
// sealed to nodes.
type Content struct {
	Context Hash   `cbor:"1,keyasint"` // Statement.Context of the statement that carries it
	Title   string `cbor:"2,keyasint,omitempty"`
	Body    Body   `cbor:"3,keyasint"`
}

// Context binds sealed content to its statement: content that was taken out of one is refused in any other, whoever signs it.
func (s *Statement) Context() Hash {
	return Sum("entente/v1/context", s.Author[:], s.Node[:], s.Salt[:], []byte{byte(s.Label)}, must(Marshal(s.Audience)))
}

// Encode returns the form that is sealed.
func (c *Content) Encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return Marshal(c)
}

func (c *Content) check() error {
	if err := checkTitle(c.Title); err != nil {
		return err
	}
	return c.Body.check(true)
}

// DecodeContent reads what Encode wrote, for the statement that carried it.
func DecodeContent(data []byte, s *Statement) (*Content, error) {
	if len(data) > MaxStatement {
		return nil, tooLong(len(data), MaxStatement)
	}
	var c Content
	if err := Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("sealed content: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("sealed content: %w: %w", ErrMalformed, err)
	}
	switch {
	case c.Context != s.Context():
		return nil, fmt.Errorf("%w: the sealed content was made for another message", ErrMalformed)
	case !c.Body.fits(s.Blob):
		return nil, fmt.Errorf("%w: the blob is not the sealed content's body", ErrMalformed)
	}
	return &c, nil
}

// A Receipt says what became of one statement at the team that signs it. It goes to the statement's author alone.
type Receipt struct {
	Statement Hash         `cbor:"1,keyasint,omitzero"` // absent in CannotOpen
	Parcel    Hash         `cbor:"2,keyasint,omitzero"` // in CannotOpen
	State     ReceiptState `cbor:"3,keyasint"`
	Time      uint64       `cbor:"4,keyasint"`           // Unix seconds
	Person    string       `cbor:"5,keyasint,omitempty"` // in Opened: the operator who did
	Rule      string       `cbor:"6,keyasint,omitempty"` // in HeldBack: why, as trust names it
}

// A ReceiptState is what became of a statement.
type ReceiptState uint8

// The states.
const (
	Stored     ReceiptState = 1 // kept durably, and may be shown
	Opened     ReceiptState = 2 // a person opened RED content
	HeldBack   ReceiptState = 3 // kept, and shown to nobody until a rule permits
	CannotOpen ReceiptState = 4 // sealed to a key that is gone: seal it again
)

var receiptNames = map[ReceiptState]string{Stored: "stored", Opened: "opened", HeldBack: "held", CannotOpen: "cannot-open"}

// String returns the state's name in the interface.
func (s ReceiptState) String() string {
	if n, ok := receiptNames[s]; ok {
		return n
	}
	return fmt.Sprintf("receipt-%d", uint8(s))
}

func (r *Receipt) check() error {
	if _, ok := receiptNames[r.State]; !ok {
		return fmt.Errorf("unknown state %d in a receipt", r.State)
	}
	if r.Time == 0 || (r.State == CannotOpen) == r.Parcel.IsZero() || (r.State == CannotOpen) != r.Statement.IsZero() {
		return errors.New("a receipt without a time, or for nothing")
	}
	if (r.State == Opened) != (r.Person != "") || (r.State == HeldBack) != (r.Rule != "") {
		return errors.New("a receipt whose person or rule does not fit its state")
	}
	if r.Person != "" {
		if err := checkName("person", r.Person); err != nil {
			return err
		}
	}
	if r.Rule != "" {
		if err := checkToken("rule", r.Rule, MaxRule); err != nil {
			return err
		}
	}
	return checkTimes(r.Time)
}
