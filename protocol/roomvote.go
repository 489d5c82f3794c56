package protocol

import (
	"errors"
	"fmt"
	"time"
)

// An Approve is a steward's word, in one round, that a charter shall be the next version. A team votes once in a round, by as
// many officers as its root record wants for ActVote.
type Approve struct {
	Room    Hash   `cbor:"1,keyasint"`
	Charter Hash   `cbor:"2,keyasint"` // what is approved
	Version uint64 `cbor:"3,keyasint"` // of it
	Round   uint64 `cbor:"4,keyasint"` // from 1
	Team    TeamID `cbor:"5,keyasint"` // the steward
	Root    Hash   `cbor:"6,keyasint"` // the root record of Team whose officers sign
	Pol     *Pol   `cbor:"7,keyasint,omitempty"`
	Issued  uint64 `cbor:"8,keyasint"`
}

// A Pol is why a steward who adopted another charter may approve this one: a quorum approved it since. It is inside the
// signature, so that to forget one's lock is to sign the proof of it.
type Pol struct {
	Round    uint64 `cbor:"1,keyasint"`
	Approves []Hash `cbor:"2,keyasint"` // ascending
}

func (*Approve) recordType() Type { return TypeApprove }
func (a *Approve) slot() []byte   { return slotKey(a.Room, a.Team, a.Version, a.Round) }

func (a *Approve) check() error {
	if err := checkVote(a.Room, a.Charter, a.Team, a.Root, a.Version, a.Round, a.Issued); err != nil {
		return err
	}
	if a.Pol == nil {
		return nil
	}
	if a.Pol.Round < 1 || a.Pol.Round >= a.Round || len(a.Pol.Approves) == 0 {
		return errors.New("the approvals that lift a lock are of an earlier round")
	}
	return checkAscending("approvals", a.Pol.Approves, MaxStewards)
}

// An Adopt is a steward's word that a quorum approved the charter in the round. It binds: until it sees that a quorum has
// approved another charter in a later round, the steward approves no other. A quorum of them makes the charter count.
type Adopt struct {
	Room     Hash   `cbor:"1,keyasint"`
	Charter  Hash   `cbor:"2,keyasint"`
	Version  uint64 `cbor:"3,keyasint"`
	Round    uint64 `cbor:"4,keyasint"`
	Team     TeamID `cbor:"5,keyasint"`
	Root     Hash   `cbor:"6,keyasint"`
	Approves []Hash `cbor:"7,keyasint"` // the quorum; ascending
	Issued   uint64 `cbor:"8,keyasint"`
	Voids    []Hash `cbor:"9,keyasint,omitempty"` // restricting cards for which the steward voted, and which it gives up; ascending
}

func (*Adopt) recordType() Type { return TypeAdopt }
func (a *Adopt) slot() []byte   { return slotKey(a.Room, a.Team, a.Version, a.Round) }

func (a *Adopt) check() error {
	if err := checkVote(a.Room, a.Charter, a.Team, a.Root, a.Version, a.Round, a.Issued); err != nil {
		return err
	}
	if len(a.Approves) == 0 {
		return errors.New("no approvals")
	}
	return errors.Join(checkAscending("approvals", a.Approves, MaxStewards), checkAscending("voids", a.Voids, MaxVoids))
}

func checkVote(room, charter Hash, team TeamID, root Hash, version, round, issued uint64) error {
	if room.IsZero() || charter.IsZero() || team.IsZero() || root.IsZero() {
		return errors.New("room, charter, team or root record is missing")
	}
	if version < 2 || round < 1 || round > MaxRound {
		return fmt.Errorf("a vote on version %d in round %d: want a version from 2, and a round from 1 to %d", version, round, MaxRound)
	}
	return errors.Join(checkCounters(version), checkIssued(issued))
}

// A Vouch is a member's word for somebody who is to be admitted.
type Vouch struct {
	Room       Hash   `cbor:"1,keyasint"`
	Applicant  TeamID `cbor:"2,keyasint"`
	Team       TeamID `cbor:"3,keyasint"` // the sponsor
	Root       Hash   `cbor:"4,keyasint"`
	Text       string `cbor:"5,keyasint,omitempty"`
	KnownSince uint64 `cbor:"6,keyasint,omitempty"` // Unix seconds
	Issued     uint64 `cbor:"7,keyasint"`
	Expires    uint64 `cbor:"8,keyasint"` // at most MaxVouchLife after Issued
	Charter    Hash   `cbor:"9,keyasint"` // under which the applicant is to be admitted
}

func (*Vouch) recordType() Type { return TypeVouch }
func (*Vouch) slot() []byte     { return nil }

func (v *Vouch) check() error {
	if v.Room.IsZero() || v.Charter.IsZero() || v.Applicant.IsZero() || v.Team.IsZero() || v.Root.IsZero() || v.Applicant == v.Team {
		return errors.New("room, charter, sponsor, root record or another team is missing")
	}
	return errors.Join(checkLife(v.Issued, v.Expires, MaxVouchLife), checkText("text", v.Text), checkTimes(v.KnownSince))
}

// An Accept binds a team to the terms of a charter: who is admitted, a founding member, or who becomes a steward.
type Accept struct {
	Room    Hash   `cbor:"1,keyasint"`
	Charter Hash   `cbor:"2,keyasint"`
	Team    TeamID `cbor:"3,keyasint"`
	Root    Hash   `cbor:"4,keyasint"`
	Issued  uint64 `cbor:"5,keyasint"`
}

func (*Accept) recordType() Type { return TypeAccept }
func (*Accept) slot() []byte     { return nil }

func (a *Accept) check() error {
	if a.Room.IsZero() || a.Charter.IsZero() || a.Team.IsZero() || a.Root.IsZero() {
		return errors.New("room, charter, team or root record is missing")
	}
	return checkIssued(a.Issued)
}

// An Objection is a member's word against an admission, or that it takes that back. Of several by one member about one team,
// the latest counts.
type Objection struct {
	Room      Hash   `cbor:"1,keyasint"`
	Subject   TeamID `cbor:"2,keyasint"`
	Team      TeamID `cbor:"3,keyasint"` // who objects
	Root      Hash   `cbor:"4,keyasint"`
	Withdrawn bool   `cbor:"5,keyasint,omitempty"`
	Reason    string `cbor:"6,keyasint,omitempty"`
	Issued    uint64 `cbor:"7,keyasint"`
}

func (*Objection) recordType() Type { return TypeObjection }
func (*Objection) slot() []byte     { return nil }

func (o *Objection) check() error {
	if o.Room.IsZero() || o.Subject.IsZero() || o.Team.IsZero() || o.Root.IsZero() || o.Subject == o.Team {
		return errors.New("room, root record, or one of two teams is missing")
	}
	return errors.Join(checkIssued(o.Issued), checkText("reason", o.Reason))
}

// An Epoch announces an age identity of a room, and exactly which nodes hold it. Whoever speaks seals to it only if all of
// these may read.
type Epoch struct {
	Room      Hash   `cbor:"1,keyasint"`
	Charter   Hash   `cbor:"2,keyasint"`
	Cards     Hash   `cbor:"3,keyasint"`          // digest of the cards and leaves that the maker knew under the charter
	Holds     Hash   `cbor:"4,keyasint,omitzero"` // digest of the holds in effect; absent: none
	Team      TeamID `cbor:"5,keyasint"`          // whose node made it
	Node      KID    `cbor:"6,keyasint"`
	Recipient string `cbor:"7,keyasint"`
	Nodes     []KID  `cbor:"8,keyasint"` // to whom it is granted; ascending
	Created   uint64 `cbor:"9,keyasint"`
	Until     uint64 `cbor:"10,keyasint"` // not used to send from then on
}

func (*Epoch) recordType() Type { return TypeEpoch }
func (*Epoch) slot() []byte     { return nil }

func (e *Epoch) check() error {
	if e.Room.IsZero() || e.Charter.IsZero() || e.Cards.IsZero() || e.Team.IsZero() || e.Node.IsZero() {
		return errors.New("room, charter, cards, team or node is missing")
	}
	if len(e.Nodes) == 0 || len(e.Nodes) > MaxEpochNodes {
		return fmt.Errorf("%d nodes: want 1 to %d", len(e.Nodes), MaxEpochNodes)
	}
	own := false
	for i, k := range e.Nodes {
		if k.IsZero() || i > 0 && string(e.Nodes[i-1][:]) >= string(k[:]) {
			return errors.New("nodes are not ascending")
		}
		own = own || k == e.Node
	}
	if !own {
		return errors.New("an epoch that its own maker does not hold")
	}
	return errors.Join(checkLife(e.Created, e.Until, MaxEpochDays*24*time.Hour), checkToken("recipient", e.Recipient, MaxRecipient))
}

// A Grant gives one node the identity of an epoch. Whoever opens it checks that the identity is that of the epoch's recipient:
// so all who hold it hold the same.
type Grant struct {
	Room   Hash   `cbor:"1,keyasint"`
	Epoch  Hash   `cbor:"2,keyasint"` // id of the Epoch record
	Team   TeamID `cbor:"3,keyasint"` // whose node grants
	Node   KID    `cbor:"4,keyasint"`
	For    KID    `cbor:"5,keyasint"`
	Key    []byte `cbor:"6,keyasint"` // an age file of the padded identity, for the node For alone
	Issued uint64 `cbor:"7,keyasint"`
}

func (*Grant) recordType() Type { return TypeGrant }
func (*Grant) slot() []byte     { return nil }

func (g *Grant) check() error {
	if g.Room.IsZero() || g.Epoch.IsZero() || g.Team.IsZero() || g.Node.IsZero() || g.For.IsZero() {
		return errors.New("room, epoch, team or node is missing")
	}
	if len(g.Key) == 0 || len(g.Key) > MaxGrantKey {
		return fmt.Errorf("a sealed key of %d bytes: want 1 to %d", len(g.Key), MaxGrantKey)
	}
	return checkIssued(g.Issued)
}
