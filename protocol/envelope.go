package protocol

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
)

// An Envelope is a signed record: DSSE's pre-authentication encoding over CBOR, with several signatures. Its fields are
// never changed after it was made or decoded.
type Envelope struct {
	_       struct{} `cbor:",toarray"`
	Type    Type
	Payload []byte
	Sigs    []Signature // ascending by key id, one for each key
}

// A Signature is one key's signature over an envelope's type and payload.
type Signature struct {
	_     struct{} `cbor:",toarray"`
	KID   KID
	Suite Suite
	Ed    [64]byte
	ML    []byte // 3,309 bytes in suite Hybrid, empty otherwise
}

// pae is the pre-authentication encoding of the DSSE protocol, version 1.0: what is signed.
func pae(t Type, payload []byte) []byte {
	b := make([]byte, 0, len(t)+len(payload)+32)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(t)), 10)
	b = append(b, ' ')
	b = append(b, t...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// ID returns the record's id: a hash over what is signed, never over the signatures.
func (e *Envelope) ID() Hash { return sha256.Sum256(pae(e.Type, e.Payload)) }

// Encode returns the wire form.
func (e *Envelope) Encode() []byte { return must(Marshal(e)) }

// DecodeEnvelope reads the wire form of one envelope of at most max bytes. It verifies no signature.
func DecodeEnvelope(data []byte, max int) (*Envelope, error) {
	if len(data) > max {
		return nil, tooLong(len(data), max)
	}
	var e Envelope
	if err := Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	if _, ok := uses[e.Type]; !ok {
		return nil, fmt.Errorf("%w: unknown record type %.60q", ErrMalformed, e.Type)
	}
	if len(data) > maxOf(e.Type) {
		return nil, tooLong(len(data), maxOf(e.Type))
	}
	if len(e.Sigs) == 0 || len(e.Sigs) > MaxSigs {
		return nil, fmt.Errorf("%w: %d signatures: want 1 to %d", ErrMalformed, len(e.Sigs), MaxSigs)
	}
	for i, s := range e.Sigs {
		if n, ok := mlSizes[s.Suite]; !ok || len(s.ML) != n {
			return nil, fmt.Errorf("%w: a signature of suite %d with an ML-DSA part of %d bytes", ErrMalformed, s.Suite, len(s.ML))
		}
		if i > 0 && bytes.Compare(e.Sigs[i-1].KID[:], s.KID[:]) >= 0 {
			return nil, fmt.Errorf("%w: signatures are not ascending by key", ErrMalformed)
		}
	}
	return &e, nil
}

// maxOf returns how many bytes an envelope of the type may have.
func maxOf(t Type) int {
	switch t {
	case TypeParcel:
		return MaxParcel
	case TypeStatement:
		return MaxStatement
	}
	return MaxRecord
}

func tooLong(n, max int) error {
	return fmt.Errorf("%w: a record of %d bytes: at most %d", ErrMalformed, n, max)
}

// Sign encodes the record, checks its form, and signs it with each key. What it returns without an error, others decode.
func Sign(r Record, keys ...*PrivateKey) (*Envelope, error) {
	if err := Check(r); err != nil {
		return nil, err
	}
	payload, err := Marshal(r)
	if err != nil {
		return nil, err
	}
	e := &Envelope{Type: r.recordType(), Payload: payload}
	for _, k := range keys {
		if err := e.AddSignature(k); err != nil {
			return nil, err
		}
	}
	if n := len(e.Encode()); n > maxOf(e.Type) {
		return nil, fmt.Errorf("%s: %w", e.Type, tooLong(n, maxOf(e.Type)))
	}
	return e, nil
}

// AddSignature signs the record with one more key, for ceremonies of several people. A second signature of the same key
// replaces the first; one over MaxSigs is refused.
func (e *Envelope) AddSignature(k *PrivateKey) error {
	s, err := k.sign(pae(e.Type, e.Payload))
	if err != nil {
		return err
	}
	sigs := slices.DeleteFunc(slices.Clone(e.Sigs), func(o Signature) bool { return o.KID == s.KID })
	if len(sigs) >= MaxSigs {
		return fmt.Errorf("%s: it has %d signatures, and may have no more", e.Type, len(sigs))
	}
	sigs = append(sigs, s)
	slices.SortFunc(sigs, func(a, b Signature) int { return bytes.Compare(a.KID[:], b.KID[:]) })
	e.Sigs = sigs
	return nil
}

// Signers returns how many of the keys signed the record. Each key must be listed for the use; a use that may not sign
// this type counts nothing. Signatures of other keys are ignored, a bad signature of a listed key is an error.
func (e *Envelope) Signers(use Use, keys []PublicKey) (int, error) {
	if !slices.Contains(uses[e.Type], use) {
		return 0, fmt.Errorf("%w: %s may not be signed by a key of use %q", ErrSignature, e.Type, use)
	}
	msg := pae(e.Type, e.Payload)
	n := 0
	counted := map[KID]bool{}
	for _, k := range keys {
		id := k.ID()
		i := slices.IndexFunc(e.Sigs, func(s Signature) bool { return s.KID == id })
		if i < 0 || counted[id] {
			continue
		}
		if !k.verify(msg, e.Sigs[i]) {
			return 0, fmt.Errorf("%w: %s: the signature of key %s is wrong", ErrSignature, e.Type, id)
		}
		counted[id] = true
		n++
	}
	return n, nil
}

// VerifyNode checks that the record carries exactly one signature, by the node key k.
func (e *Envelope) VerifyNode(k PublicKey) error {
	n, err := e.Signers(UseNode, []PublicKey{k})
	if err != nil {
		return err
	}
	if n != 1 || len(e.Sigs) != 1 {
		return fmt.Errorf("%w: %s: want one signature, of node key %s", ErrSignature, e.Type, k.ID())
	}
	return nil
}
