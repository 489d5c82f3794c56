package protocol

import (
	"errors"
	"fmt"
	"slices"

	"github.com/entente-network/entente/protocol/tlp"
)

// An Agreement is the terms of a bilateral relation. It is one document that officers of both teams sign; its id is the
// record's. Terms never change: a renewal is a new agreement that names the one before.
type Agreement struct {
	A        TeamID     `cbor:"1,keyasint"` // who offers
	B        TeamID     `cbor:"2,keyasint"`
	RootA    Hash       `cbor:"3,keyasint"` // the root record of A whose officers sign
	RootB    Hash       `cbor:"4,keyasint"` // of B
	Prev     Hash       `cbor:"5,keyasint,omitzero"`
	Title    string     `cbor:"6,keyasint,omitempty"` // a name
	Ceiling  tlp.Label  `cbor:"7,keyasint"`           // the strictest label that may be sent under it
	Policy   IEP        `cbor:"8,keyasint"`
	Purposes []string   `cbor:"9,keyasint,omitempty"`  // free text, one line each
	Types    []string   `cbor:"10,keyasint,omitempty"` // of InformationTypes, ascending; empty: all
	Onward   Onward     `cbor:"11,keyasint"`
	Keep     uint64     `cbor:"12,keyasint,omitempty"` // days after which the receiver deletes; 0: no term
	Receipts Receipting `cbor:"13,keyasint"`
	From     uint64     `cbor:"14,keyasint"` // Unix seconds
	Until    uint64     `cbor:"15,keyasint"` // at most MaxAgreementLife after From
	Issued   uint64     `cbor:"16,keyasint"`
	Salt     [16]byte   `cbor:"17,keyasint"`           // random, so that the same terms can be agreed again
	Text     string     `cbor:"18,keyasint,omitempty"` // further terms, in words
}

// IEP is the handling policy of FIRST's Information Exchange Policy framework 2.0, without its TLP statement: Ceiling and the
// messages' labels say that. Values are IEP's own.
type IEP struct {
	Encrypt     string `cbor:"1,keyasint" json:"encrypt_in_transit"`
	Actions     string `cbor:"2,keyasint" json:"permitted_actions"`
	Notify      string `cbor:"3,keyasint" json:"affected_party_notifications"`
	Attribution string `cbor:"4,keyasint" json:"attribution"`
	Resale      string `cbor:"5,keyasint" json:"unmodified_resale"`
}

// IEPValues returns, for each field of IEP in its order, its JSON name and the values that it may have, the strictest first.
func IEPValues() []IEPField {
	return []IEPField{
		{"encrypt_in_transit", []string{"must", "may"}},
		{"permitted_actions", []string{"none", "contact-for-instruction", "internally-visible-actions",
			"externally-visible-indirect-actions", "externally-visible-direct-actions"}},
		{"affected_party_notifications", []string{"must-not", "may"}},
		{"attribution", []string{"must-not", "may", "must"}},
		{"unmodified_resale", []string{"must-not", "may"}},
	}
}

// An IEPField is one field of IEP.
type IEPField struct {
	Name   string
	Values []string
}

// DefaultIEP is the policy of an agreement whose parties say nothing else.
func DefaultIEP() IEP {
	return IEP{Encrypt: "must", Actions: "internally-visible-actions", Notify: "may", Attribution: "may", Resale: "must-not"}
}

func (p IEP) check() error {
	for i, v := range []string{p.Encrypt, p.Actions, p.Notify, p.Attribution, p.Resale} {
		if f := IEPValues()[i]; !slices.Contains(f.Values, v) {
			return fmt.Errorf("%s %.40q: want one of %v", f.Name, v, f.Values)
		}
	}
	return nil
}

// InformationTypes returns the types of information that an agreement may name, ascending.
func InformationTypes() []string {
	return []string{"incident-information", "incident-metrics", "response-process", "updates", "vulnerabilities-under-investigation"}
}

// Onward says how far a receiver may pass on what it got, at most: the label of each message counts besides.
type Onward uint8

// The ways.
const (
	OnwardNone         Onward = 1 // it stays within the receiving team
	OnwardConstituents Onward = 2 // also to the team's constituents, as AMBER permits
	OnwardLabel        Onward = 3 // as each message's label permits
)

var onwardNames = map[Onward]string{OnwardNone: "none", OnwardConstituents: "constituents", OnwardLabel: "label"}

// String returns the name in the interface.
func (o Onward) String() string { return nameOf(onwardNames, o, "onward") }

// ParseOnward reads the name.
func ParseOnward(s string) (Onward, error) { return parseName(onwardNames, s, "onward sharing") }

// Receipting says which receipts the parties owe each other.
type Receipting uint8

// The ways.
const (
	ReceiptsNone   Receipting = 1
	ReceiptsStored Receipting = 2 // that a message is stored, or held back
	ReceiptsOpened Receipting = 3 // also which person opened RED
)

var receiptingNames = map[Receipting]string{ReceiptsNone: "none", ReceiptsStored: "stored", ReceiptsOpened: "opened"}

// String returns the name in the interface.
func (r Receipting) String() string { return nameOf(receiptingNames, r, "receipts") }

// ParseReceipting reads the name.
func ParseReceipting(s string) (Receipting, error) { return parseName(receiptingNames, s, "receipts") }

func nameOf[T ~uint8](names map[T]string, v T, what string) string {
	if s, ok := names[v]; ok {
		return s
	}
	return fmt.Sprintf("%s-%d", what, uint8(v))
}

func parseName[T ~uint8](names map[T]string, s, what string) (T, error) {
	var all []string
	for v, n := range names {
		if n == s {
			return v, nil
		}
		all = append(all, n)
	}
	slices.Sort(all)
	return 0, fmt.Errorf("%s %.40q: want one of %v", what, s, all)
}

// Channel returns the channel of what is sent under the agreement of the id.
func (a *Agreement) Channel(id Hash) Channel { return Between(a.A, a.B, id) }

// Partner returns the other party.
func (a *Agreement) Partner(t TeamID) TeamID {
	if t == a.A {
		return a.B
	}
	return a.A
}

func (*Agreement) recordType() Type { return TypeAgreement }
func (*Agreement) slot() []byte     { return nil }

func (a *Agreement) check() error {
	if a.A.IsZero() || a.B.IsZero() || a.A == a.B || a.RootA.IsZero() || a.RootB.IsZero() {
		return errors.New("an agreement is between two teams, and names a root record of each")
	}
	if !a.Ceiling.Valid() {
		return errors.New("no ceiling")
	}
	if a.Title != "" { // one line, so that it cannot pass for one of the terms
		if err := checkName("title", a.Title); err != nil {
			return err
		}
	}
	if err := errors.Join(checkText("text", a.Text), a.Policy.check()); err != nil {
		return err
	}
	if len(a.Purposes) > MaxPurposes {
		return fmt.Errorf("%d purposes: at most %d", len(a.Purposes), MaxPurposes)
	}
	for _, s := range a.Purposes {
		if err := checkName("purpose", s); err != nil {
			return err
		}
	}
	for i, t := range a.Types {
		if !slices.Contains(InformationTypes(), t) || i > 0 && a.Types[i-1] >= t {
			return fmt.Errorf("information types %.200q: want some of %v, ascending", a.Types, InformationTypes())
		}
	}
	if _, ok := onwardNames[a.Onward]; !ok {
		return fmt.Errorf("unknown onward sharing %d", a.Onward)
	}
	if _, ok := receiptingNames[a.Receipts]; !ok {
		return fmt.Errorf("unknown receipts %d", a.Receipts)
	}
	if a.Keep > MaxKeep {
		return fmt.Errorf("retention of %d days: at most %d", a.Keep, MaxKeep)
	}
	if a.Issued == 0 {
		return errors.New("no time of issue")
	}
	return errors.Join(checkTimes(a.Issued), checkLife(a.From, a.Until, MaxAgreementLife))
}

// An AgreementStatus is one party's word on an agreement: its own register, of which the greatest counter counts. Restricting
// takes one party; permitting takes both.
type AgreementStatus struct {
	Agreement Hash        `cbor:"1,keyasint"`
	Party     TeamID      `cbor:"2,keyasint"`
	Root      Hash        `cbor:"3,keyasint"` // the root record of Party whose officer signs
	Counter   uint64      `cbor:"4,keyasint"` // from 1
	Status    PartyStatus `cbor:"5,keyasint"`
	Reason    string      `cbor:"6,keyasint,omitempty"`
	Time      uint64      `cbor:"7,keyasint"` // Unix seconds
}

// A PartyStatus is where one party has put an agreement. Greater restricts more.
type PartyStatus uint8

// The states of one party's register. Without a record it is PartyOK.
const (
	PartyOK        PartyStatus = 1
	PartySuspended PartyStatus = 2
	PartyEnded     PartyStatus = 3 // for good, whatever comes later
)

var partyNames = map[PartyStatus]string{PartyOK: "ok", PartySuspended: "suspended", PartyEnded: "ended"}

// String returns the name in the interface.
func (s PartyStatus) String() string { return nameOf(partyNames, s, "status") }

func (*AgreementStatus) recordType() Type { return TypeAgreementStatus }
func (s *AgreementStatus) slot() []byte   { return slotKey(s.Agreement, s.Party, s.Counter) }

func (s *AgreementStatus) check() error {
	if s.Agreement.IsZero() || s.Party.IsZero() || s.Root.IsZero() || s.Counter < 1 || s.Time == 0 {
		return errors.New("agreement, party, root, counter or time is missing")
	}
	if _, ok := partyNames[s.Status]; !ok {
		return fmt.Errorf("unknown status %d", s.Status)
	}
	return errors.Join(checkCounters(s.Counter), checkTimes(s.Time), checkText("reason", s.Reason))
}

// A NodeRecipient names the age recipient of a node's current identity, which the node changes every month by itself. It
// counts in place of the one in the manifest.
type NodeRecipient struct {
	Team      TeamID `cbor:"1,keyasint"`
	Node      KID    `cbor:"2,keyasint"`
	Seq       uint64 `cbor:"3,keyasint"` // the greatest counts; Unix milliseconds of signing serve well
	Recipient string `cbor:"4,keyasint"`
	Issued    uint64 `cbor:"5,keyasint"`
}

func (*NodeRecipient) recordType() Type { return TypeRecipient }
func (r *NodeRecipient) slot() []byte   { return slotKey(r.Node, r.Seq) }

func (r *NodeRecipient) check() error {
	if r.Team.IsZero() || r.Node.IsZero() || r.Seq == 0 || r.Issued == 0 {
		return errors.New("team, node, sequence number or time is missing")
	}
	return errors.Join(checkCounters(r.Seq), checkTimes(r.Issued), checkToken("recipient", r.Recipient, MaxRecipient))
}
