package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol/tlp"
)

// A Charter is one version of a room's terms, with all who are in it. The first one makes the room, and its id is the room's
// for ever; officers of every steward sign it. A later one counts when the stewards of the version before have adopted it
// (Approve, Adopt). How many votes that takes follows from their number (Quorum).
type Charter struct {
	Room          Hash        `cbor:"1,keyasint,omitzero"` // absent in the first
	Version       uint64      `cbor:"2,keyasint"`          // from 1
	Prev          Hash        `cbor:"3,keyasint,omitzero"` // the charter before
	Name          string      `cbor:"4,keyasint"`
	Purpose       string      `cbor:"5,keyasint,omitempty"`
	Text          string      `cbor:"6,keyasint,omitempty"` // further terms, in words
	Stewards      []TeamID    `cbor:"7,keyasint"`           // who vote; ascending, all of them members
	Sponsors      uint64      `cbor:"8,keyasint,omitempty"` // members that have to vouch for who is to be admitted
	ObjectionDays uint64      `cbor:"9,keyasint,omitempty"` // for which an admission is open to objections
	HoldDays      uint64      `cbor:"10,keyasint"`          // for which one steward alone may hold a member
	CardDays      uint64      `cbor:"11,keyasint"`          // for which a membership lasts, at most
	Ceiling       tlp.Label   `cbor:"12,keyasint"`          // the strictest label in the room; never RED, which goes to persons
	Policy        IEP         `cbor:"13,keyasint"`
	Attribution   Attribution `cbor:"14,keyasint"`
	Onward        Onward      `cbor:"15,keyasint"`
	Keep          uint64      `cbor:"16,keyasint,omitempty"` // days after which members delete; 0: no term
	History       History     `cbor:"17,keyasint"`
	HistoryFrom   uint64      `cbor:"18,keyasint,omitempty"` // of HistoryDate: Unix seconds
	EpochDays     uint64      `cbor:"19,keyasint"`           // for which an epoch is used, at most
	FreshHours    uint64      `cbor:"20,keyasint"`           // within which a sender must have heard from other members
	Members       []Seat      `cbor:"21,keyasint"`           // ascending by team
	Voids         []Hash      `cbor:"22,keyasint,omitempty"` // restricting cards under Prev that shall not count; ascending
	Closed        bool        `cbor:"23,keyasint,omitempty"` // the room ends with this version
	Replaces      Hash        `cbor:"24,keyasint,omitzero"`  // in the first: the room that is founded anew
	Issued        uint64      `cbor:"25,keyasint"`
	Salt          [16]byte    `cbor:"26,keyasint"`
}

// A Seat is what a charter says of one member.
type Seat struct {
	Team   TeamID       `cbor:"1,keyasint"`
	Root   Hash         `cbor:"2,keyasint"` // officers of this root record of the team, or of later ones, sign for it
	Status MemberStatus `cbor:"3,keyasint"`
	Until  uint64       `cbor:"4,keyasint"` // Unix seconds
	Joined uint64       `cbor:"5,keyasint"` // when it accepted; Unix seconds
}

// A MemberStatus is how stewards decided about a member. Greater restricts more.
type MemberStatus uint8

// The decisions.
const (
	MemberFull      MemberStatus = 1
	MemberSuspended MemberStatus = 2
	MemberRemoved   MemberStatus = 3
)

var memberNames = map[MemberStatus]string{MemberFull: "member", MemberSuspended: "suspended", MemberRemoved: "removed"}

// String returns the name in the interface.
func (s MemberStatus) String() string { return nameOf(memberNames, s, "status") }

// Attribution says whom what leaves the room may be attributed to. Greater restricts more. Inside, the author is known.
type Attribution uint8

// The ways.
const (
	AttributeAuthor  Attribution = 1 // the team that said it
	AttributeRoom    Attribution = 2 // a member of the room, without its name
	AttributeNothing Attribution = 3 // nobody: not even that there is a room
)

var attributionNames = map[Attribution]string{AttributeAuthor: "author", AttributeRoom: "room", AttributeNothing: "none"}

// String returns the name in the interface.
func (a Attribution) String() string { return nameOf(attributionNames, a, "attribution") }

// ParseAttribution reads the name.
func ParseAttribution(s string) (Attribution, error) {
	return parseName(attributionNames, s, "attribution")
}

// History says what of the past a new member may read.
type History uint8

// The ways.
const (
	HistoryJoining History = 1 // nothing from before it joined
	HistoryDate    History = 2 // from a date on
	HistoryAll     History = 3
)

var historyNames = map[History]string{HistoryJoining: "joining", HistoryDate: "date", HistoryAll: "all"}

// String returns the name in the interface.
func (h History) String() string { return nameOf(historyNames, h, "history") }

// ParseHistory reads the name.
func ParseHistory(s string) (History, error) { return parseName(historyNames, s, "history") }

// Faults returns how many of n stewards may cheat without harm.
func Faults(n int) int {
	if n <= 3 {
		return 0
	}
	return (n - 1) / 3
}

// Quorum returns how many of n stewards decide: all of up to three; of more so many that two quorums have an honest steward
// in common while at most Faults(n) cheat.
func Quorum(n int) int {
	if n <= 3 {
		return n
	}
	return (n+Faults(n))/2 + 1
}

func (*Charter) recordType() Type { return TypeCharter }
func (*Charter) slot() []byte     { return nil } // stewards may be offered many; what they may do once is vote

// Seat returns the seat of the team.
func (c *Charter) Seat(t TeamID) (Seat, bool) {
	i, ok := slices.BinarySearchFunc(c.Members, t, func(s Seat, t TeamID) int { return bytes.Compare(s.Team[:], t[:]) })
	if !ok {
		return Seat{}, false
	}
	return c.Members[i], true
}

// IsSteward reports whether the team votes under this version.
func (c *Charter) IsSteward(t TeamID) bool { return slices.Contains(c.Stewards, t) }

func (c *Charter) check() error {
	first := c.Version == 1
	if c.Version < 1 || first != c.Room.IsZero() || first != c.Prev.IsZero() {
		return errors.New("the first charter, and only it, has no room and no predecessor")
	}
	if !first && !c.Replaces.IsZero() || first && (c.Closed || len(c.Voids) > 0) {
		return errors.New("only the first charter replaces a room, and only a later one voids cards or closes it")
	}
	if err := errors.Join(checkCounters(c.Version), checkName("name", c.Name), checkText("purpose", c.Purpose),
		checkText("text", c.Text), c.Policy.check(), checkIssued(c.Issued)); err != nil {
		return err
	}
	if !c.Ceiling.Valid() || c.Ceiling == tlp.Red {
		return errors.New("the ceiling of a room is a label below RED, which goes to named persons")
	}
	_, known := attributionNames[c.Attribution]
	_, onward := onwardNames[c.Onward]
	_, history := historyNames[c.History]
	if !known || !onward || !history || (c.History == HistoryDate) != (c.HistoryFrom != 0) {
		return errors.New("attribution, onward sharing or history is unknown, or a date without its history")
	}
	for _, d := range []struct {
		what     string
		v        uint64
		min, max uint64
	}{
		{"sponsors", c.Sponsors, 0, MaxSponsors}, {"days for objections", c.ObjectionDays, 0, MaxObjectionDays},
		{"days of a hold", c.HoldDays, 1, MaxHoldDays}, {"days of a membership", c.CardDays, 1, MaxCardDays},
		{"days of an epoch", c.EpochDays, 1, MaxEpochDays}, {"hours of freshness", c.FreshHours, 1, MaxFreshHours},
		{"days of retention", c.Keep, 0, MaxKeep},
	} {
		if d.v < d.min || d.v > d.max {
			return fmt.Errorf("%d %s: want %d to %d", d.v, d.what, d.min, d.max)
		}
	}
	if err := checkTimes(c.HistoryFrom); err != nil {
		return err
	}
	return c.checkMembers()
}

func (c *Charter) checkMembers() error {
	if len(c.Stewards) < MinStewards || len(c.Stewards) > MaxStewards || len(c.Members) > MaxMembers {
		return fmt.Errorf("%d stewards, %d members: want %d to %d, and at most %d", len(c.Stewards), len(c.Members), MinStewards,
			MaxStewards, MaxMembers)
	}
	if err := errors.Join(checkAscending("stewards", c.Stewards, 0), checkAscending("voids", c.Voids, MaxVoids)); err != nil {
		return err
	}
	life := uint64(c.CardDays) * 86400
	for i, s := range c.Members {
		if err := s.check(); err != nil {
			return err
		}
		if i > 0 && bytes.Compare(c.Members[i-1].Team[:], s.Team[:]) >= 0 {
			return errors.New("members are not ascending")
		}
		if s.Until > c.Issued+life {
			return fmt.Errorf("a membership of over %d days", c.CardDays)
		}
	}
	for _, t := range c.Stewards {
		if s, ok := c.Seat(t); !ok || s.Status != MemberFull {
			return errors.New("a steward who is no member")
		}
	}
	return nil
}

func (s *Seat) check() error {
	if s.Team.IsZero() || s.Root.IsZero() || s.Until == 0 || s.Joined == 0 {
		return errors.New("a member without a team, a root record, a term or a beginning")
	}
	if _, ok := memberNames[s.Status]; !ok {
		return fmt.Errorf("unknown status of a member %d", s.Status)
	}
	return checkTimes(s.Until, s.Joined)
}

// checkAscending checks a list of ids; max 0 leaves its length to others.
func checkAscending(what string, ids []Hash, max int) error {
	if max > 0 && len(ids) > max {
		return fmt.Errorf("%d %s: at most %d", len(ids), what, max)
	}
	for i, h := range ids {
		if h.IsZero() || i > 0 && bytes.Compare(ids[i-1][:], h[:]) >= 0 {
			return fmt.Errorf("%s are not ascending", what)
		}
	}
	return nil
}

func checkIssued(t uint64) error {
	if t == 0 {
		return errors.New("no time of issue")
	}
	return checkTimes(t)
}

// A MemberCard is a decision about one member under one charter. Each steward who votes for it signs this very record.
type MemberCard struct {
	Room       Hash         `cbor:"1,keyasint"`
	Charter    Hash         `cbor:"2,keyasint"` // the version under which it counts
	Subject    TeamID       `cbor:"3,keyasint"`
	Root       Hash         `cbor:"4,keyasint"`          // as in Seat
	N          uint64       `cbor:"5,keyasint"`          // 1 for the first about the subject under the charter, predecessor's + 1 for others
	Prev       Hash         `cbor:"6,keyasint,omitzero"` // the card before
	Status     MemberStatus `cbor:"7,keyasint"`
	Until      uint64       `cbor:"8,keyasint"`
	Joined     uint64       `cbor:"9,keyasint"`            // Accept.Issued of an admission; else as before
	Vouches    []Hash       `cbor:"10,keyasint,omitempty"` // of an admission; ascending
	Accept     Hash         `cbor:"11,keyasint,omitzero"`  // of an admission
	Opened     uint64       `cbor:"12,keyasint,omitempty"` // of an admission: since when it was open to objections
	Objections []Hash       `cbor:"13,keyasint,omitempty"` // that the stewards know of and overrule; ascending
	Cuts       []Head       `cbor:"14,keyasint,omitempty"` // how far what the subject's nodes said in the room stands; ascending by feed
	Reason     string       `cbor:"15,keyasint,omitempty"`
	Issued     uint64       `cbor:"16,keyasint"`
}

func (*MemberCard) recordType() Type { return TypeMemberCard }
func (*MemberCard) slot() []byte     { return nil } // of several, the one that restricts most counts

func (c *MemberCard) check() error {
	if c.Room.IsZero() || c.Charter.IsZero() || c.N < 1 || (c.N == 1) != c.Prev.IsZero() {
		return errors.New("room, charter, number or predecessor is missing")
	}
	seat := Seat{Team: c.Subject, Root: c.Root, Status: c.Status, Until: c.Until, Joined: c.Joined}
	if err := errors.Join(seat.check(), checkCounters(c.N), checkIssued(c.Issued), checkTimes(c.Opened), checkText("reason", c.Reason),
		checkAscending("vouches", c.Vouches, MaxSponsors), checkAscending("objections", c.Objections, MaxObjections)); err != nil {
		return err
	}
	admits := !c.Accept.IsZero()
	if admits != (c.Opened != 0) || !admits && (len(c.Vouches) > 0 || len(c.Objections) > 0) || admits && c.Status != MemberFull {
		return errors.New("vouches, objections and the time since when it is open go with an acceptance, and that with a member")
	}
	if c.Until <= c.Issued {
		return errors.New("a term that is over when it begins")
	}
	if c.Status == MemberFull && len(c.Cuts) > 0 {
		return errors.New("a member that is cut off")
	}
	return checkCuts(c.Cuts)
}

func checkCuts(cuts []Head) error {
	if len(cuts) > MaxNodes {
		return fmt.Errorf("%d cuts: at most %d", len(cuts), MaxNodes)
	}
	for i, h := range cuts {
		if h.Feed.IsZero() || h.First < 1 || h.First > h.Seq || h.Hash.IsZero() || i > 0 && bytes.Compare(cuts[i-1].Feed[:], h.Feed[:]) >= 0 {
			return errors.New("cuts are incomplete or not ascending by feed")
		}
		if err := checkCounters(h.Seq); err != nil {
			return err
		}
	}
	return nil
}

// A Hold keeps a member out of the next epochs, at once and for a short time: one steward alone may sign it, once for each
// member and charter. It does not touch a vote.
type Hold struct {
	Room    Hash   `cbor:"1,keyasint"`
	Charter Hash   `cbor:"2,keyasint"`
	Subject TeamID `cbor:"3,keyasint"`
	Team    TeamID `cbor:"4,keyasint"` // the steward
	Root    Hash   `cbor:"5,keyasint"` // the root record of Team whose officer signs
	Until   uint64 `cbor:"6,keyasint"`
	Reason  string `cbor:"7,keyasint,omitempty"`
	Issued  uint64 `cbor:"8,keyasint"`
}

func (*Hold) recordType() Type { return TypeHold }
func (h *Hold) slot() []byte   { return slotKey(h.Room, h.Charter, h.Subject, h.Team) }

func (h *Hold) check() error {
	if h.Room.IsZero() || h.Charter.IsZero() || h.Subject.IsZero() || h.Team.IsZero() || h.Root.IsZero() || h.Subject == h.Team {
		return errors.New("room, charter, steward, root record or another team is missing")
	}
	return errors.Join(checkLife(h.Issued, h.Until, MaxHoldDays*24*time.Hour), checkText("reason", h.Reason))
}

// A Leave is a member's own word that it is out. It comes back as anybody comes in.
type Leave struct {
	Room   Hash   `cbor:"1,keyasint"`
	Team   TeamID `cbor:"2,keyasint"`
	Root   Hash   `cbor:"3,keyasint"`
	Reason string `cbor:"4,keyasint,omitempty"`
	Issued uint64 `cbor:"5,keyasint"`
	Cuts   []Head `cbor:"6,keyasint,omitempty"` // how far what its nodes said in the room stands; ascending by feed
}

func (*Leave) recordType() Type { return TypeLeave }
func (*Leave) slot() []byte     { return nil }

func (l *Leave) check() error {
	if l.Room.IsZero() || l.Team.IsZero() || l.Root.IsZero() {
		return errors.New("room, team or root record is missing")
	}
	return errors.Join(checkIssued(l.Issued), checkText("reason", l.Reason), checkCuts(l.Cuts))
}

// A Refound is a member's word that it goes on in a new room, which replaces one that is frozen or has lost its quorum. In the
// new room it counts as an acceptance.
type Refound struct {
	Room    Hash   `cbor:"1,keyasint"` // the old one
	Charter Hash   `cbor:"2,keyasint"` // its charter
	New     Hash   `cbor:"3,keyasint"` // the new room
	Team    TeamID `cbor:"4,keyasint"`
	Root    Hash   `cbor:"5,keyasint"`
	Issued  uint64 `cbor:"6,keyasint"`
}

func (*Refound) recordType() Type { return TypeRefound }
func (*Refound) slot() []byte     { return nil }

func (r *Refound) check() error {
	if r.Room.IsZero() || r.Charter.IsZero() || r.New.IsZero() || r.New == r.Room || r.Team.IsZero() || r.Root.IsZero() {
		return errors.New("room, charter, team, root record or another room is missing")
	}
	return checkIssued(r.Issued)
}
