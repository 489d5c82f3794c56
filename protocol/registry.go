package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A Type is the registered name of a form of record. It is part of what is signed.
type Type string

// The registered types.
const (
	TypeRoot      Type = "entente/v1/root"
	TypeManifest  Type = "entente/v1/manifest"
	TypeCard      Type = "entente/v1/card"
	TypeAttest    Type = "entente/v1/attest"
	TypeCutoff    Type = "entente/v1/cutoff"
	TypeAddress   Type = "entente/v1/address"
	TypeHeads     Type = "entente/v1/heads"
	TypeParcel    Type = "entente/v1/parcel"
	TypeStatement Type = "entente/v1/statement"

	TypeRecipient       Type = "entente/v1/node-recipient"
	TypeAgreement       Type = "entente/v1/agreement"
	TypeAgreementStatus Type = "entente/v1/agreement-status"

	TypeCharter    Type = "entente/v1/charter"
	TypeApprove    Type = "entente/v1/approve"
	TypeAdopt      Type = "entente/v1/adopt"
	TypeVouch      Type = "entente/v1/vouch"
	TypeAccept     Type = "entente/v1/accept"
	TypeObjection  Type = "entente/v1/objection"
	TypeMemberCard Type = "entente/v1/member-card"
	TypeHold       Type = "entente/v1/hold"
	TypeLeave      Type = "entente/v1/leave"
	TypeRefound    Type = "entente/v1/refound"
	TypeEpoch      Type = "entente/v1/epoch"
	TypeGrant      Type = "entente/v1/grant"
)

// A Use is what a key was certified for.
type Use string

// The uses. A key has one.
const (
	UseRoot    Use = "root"
	UseSealed  Use = "recovery"
	UseOfficer Use = "officer"
	UseNode    Use = "node"
)

// uses says which keys may sign a type. What is not listed is refused.
var uses = map[Type][]Use{
	TypeRoot:      {UseRoot, UseSealed},
	TypeManifest:  {UseOfficer},
	TypeCard:      {UseOfficer},
	TypeAttest:    {UseOfficer},
	TypeCutoff:    {UseOfficer},
	TypeAddress:   {UseNode},
	TypeHeads:     {UseNode},
	TypeParcel:    {UseNode},
	TypeStatement: {UseNode},

	TypeRecipient:       {UseNode},
	TypeAgreement:       {UseOfficer},
	TypeAgreementStatus: {UseOfficer},

	TypeCharter:    {UseOfficer},
	TypeApprove:    {UseOfficer},
	TypeAdopt:      {UseOfficer},
	TypeVouch:      {UseOfficer},
	TypeAccept:     {UseOfficer},
	TypeObjection:  {UseOfficer},
	TypeMemberCard: {UseOfficer},
	TypeHold:       {UseOfficer},
	TypeLeave:      {UseOfficer},
	TypeRefound:    {UseOfficer},
	TypeEpoch:      {UseNode},
	TypeGrant:      {UseNode},
}

// Types returns all registered types, in order.
func Types() []Type {
	var ts []Type
	for t := range uses {
		ts = append(ts, t)
	}
	slices.Sort(ts)
	return ts
}

// Uses returns which keys may sign a type.
func Uses(t Type) []Use { return slices.Clone(uses[t]) }

// A Record is the payload of an envelope: one of the exported struct types of this package.
type Record interface {
	recordType() Type
	check() error
	slot() []byte // nil: the record may exist many times
}

// Decode reads the payload of an envelope as the record T. It verifies no signature.
func Decode[T any, P interface {
	*T
	Record
}](e *Envelope) (*T, error) {
	var r T
	p := P(&r)
	if e.Type != p.recordType() {
		return nil, fmt.Errorf("%w: a record of type %s where %s is wanted", ErrMalformed, e.Type, p.recordType())
	}
	if err := Unmarshal(e.Payload, p); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Type, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", e.Type, ErrMalformed, err)
	}
	return &r, nil
}

// Check says what is wrong with the form of a record that is to be signed.
func Check(r Record) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("%s: %w", r.recordType(), err)
	}
	return nil
}

// decodeAny reads the payload of an envelope of any type.
func decodeAny(e *Envelope) (Record, error) {
	switch e.Type {
	case TypeRoot:
		return asRecord(Decode[Root](e))
	case TypeManifest:
		return asRecord(Decode[Manifest](e))
	case TypeCard:
		return asRecord(Decode[Card](e))
	case TypeAttest:
		return asRecord(Decode[Attest](e))
	case TypeCutoff:
		return asRecord(Decode[Cutoff](e))
	case TypeAddress:
		return asRecord(Decode[Address](e))
	case TypeHeads:
		return asRecord(Decode[Heads](e))
	case TypeParcel:
		return asRecord(Decode[Parcel](e))
	case TypeStatement:
		return asRecord(Decode[Statement](e))
	case TypeRecipient:
		return asRecord(Decode[NodeRecipient](e))
	case TypeAgreement:
		return asRecord(Decode[Agreement](e))
	case TypeAgreementStatus:
		return asRecord(Decode[AgreementStatus](e))
	case TypeCharter:
		return asRecord(Decode[Charter](e))
	case TypeApprove:
		return asRecord(Decode[Approve](e))
	case TypeAdopt:
		return asRecord(Decode[Adopt](e))
	case TypeVouch:
		return asRecord(Decode[Vouch](e))
	case TypeAccept:
		return asRecord(Decode[Accept](e))
	case TypeObjection:
		return asRecord(Decode[Objection](e))
	case TypeMemberCard:
		return asRecord(Decode[MemberCard](e))
	case TypeHold:
		return asRecord(Decode[Hold](e))
	case TypeLeave:
		return asRecord(Decode[Leave](e))
	case TypeRefound:
		return asRecord(Decode[Refound](e))
	case TypeEpoch:
		return asRecord(Decode[Epoch](e))
	case TypeGrant:
		return asRecord(Decode[Grant](e))
	}
	return nil, fmt.Errorf("%w: unknown record type %.60q", ErrMalformed, e.Type)
}

func asRecord[T any, P interface {
	*T
	Record
}](r *T, err error) (Record, error) {
	if err != nil {
		return nil, err
	}
	return P(r), nil
}

// A Slot names a place that one signer may fill once: its type and a key made of the fields that the type's rule names.
type Slot [32]byte

// SlotOf returns the slot that the record fills; ok is false for a record that may exist many times.
func SlotOf(e *Envelope) (s Slot, ok bool, err error) {
	s, _, ok, err = slotOf(e)
	return s, ok, err
}

// slotOf is SlotOf; node is the node that the record says it is of, if its type says so.
func slotOf(e *Envelope) (s Slot, node KID, ok bool, err error) {
	r, err := decodeAny(e)
	if err != nil {
		return s, node, false, err
	}
	key := r.slot()
	if key == nil {
		return s, node, false, nil
	}
	switch r := r.(type) {
	case *Parcel:
		node = r.Node
	case *Heads:
		node = r.Node
	case *Address:
		node = r.Node
	case *NodeRecipient:
		node = r.Node
	}
	return Slot(Sum("entente/v1/slot", []byte(e.Type), []byte{0}, key)), node, true, nil
}

func slotKey(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch v := p.(type) {
		case Hash:
			b.Write(v[:])
		case KID:
			b.Write(v[:])
		case uint64:
			b.Write(binary.BigEndian.AppendUint64(nil, v))
		default:
			panic(fmt.Sprintf("protocol: a slot has no form for %T", p))
		}
	}
	return b.Bytes()
}

// A ForkProof is two records of one signer for one slot with different content. Anybody who holds the signer's public key
// can check it; most forks are accidents, such as a restored backup.
type ForkProof struct {
	A, B *Envelope
}

// Check verifies the proof against the key that signed both, listed for the use. An error means: proves nothing.
func (p ForkProof) Check(use Use, k PublicKey) error {
	if p.A == nil || p.B == nil {
		return errors.New("no fork: a record is missing")
	}
	sa, node, oka, err := slotOf(p.A)
	if err != nil {
		return err
	}
	sb, _, okb, err := slotOf(p.B) // the node is part of the slot
	if err != nil {
		return err
	}
	if id := k.ID(); !node.IsZero() && node != id {
		return fmt.Errorf("%w: the records are of node key %s, not of %s", ErrSignature, node, id)
	}
	if !oka || !okb || p.A.Type != p.B.Type || sa != sb {
		return errors.New("no fork: the records fill different slots")
	}
	if bytes.Equal(p.A.Payload, p.B.Payload) {
		return errors.New("no fork: the records are the same")
	}
	for _, e := range []*Envelope{p.A, p.B} {
		n, err := e.Signers(use, []PublicKey{k})
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: key %s did not sign both records", ErrSignature, k.ID())
		}
	}
	return nil
}
