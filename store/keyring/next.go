package keyring

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

// nextKeys wait to take the place of the node's own keys.
type nextKeys struct {
	Sign      [32]byte `cbor:"1,keyasint"`
	Transport [32]byte `cbor:"2,keyasint"`
	Identity  string   `cbor:"3,keyasint"`
}

// Prepared is the public side of keys that wait: what an officer certifies.
type Prepared struct {
	Key       protocol.PublicKey
	Peer      ed25519.PublicKey // of libp2p
	Recipient string
}

func newNextKeys() (nextKeys, error) {
	id, err := seal.GenerateIdentity()
	if err != nil {
		return nextKeys{}, err
	}
	return nextKeys{Sign: newKey(), Transport: newKey(), Identity: id.Secret()}, nil
}

func (k *nextKeys) public() (Prepared, error) {
	sign, err := protocol.KeyFromSeed(protocol.Ed25519, k.Sign)
	if err != nil {
		return Prepared{}, err
	}
	id, err := seal.ParseIdentity(k.Identity)
	if err != nil {
		return Prepared{}, err
	}
	peer := ed25519.NewKeyFromSeed(k.Transport[:]).Public().(ed25519.PublicKey)
	return Prepared{Key: sign.Public(), Peer: peer, Recipient: id.Recipient().String()}, nil
}

// Prepare makes keys that wait to take the place of the present ones, or returns those that wait already. The present ones
// stay in use until [Ring.Promote], so that the node can tell other teams about the new ones before it needs them.
func (r *Ring) Prepare() (Prepared, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return Prepared{}, ErrClosed
	}
	if r.rec.Next == nil {
		if len(r.rec.Former) >= MaxFormer {
			return Prepared{}, fmt.Errorf("this node was replaced %d times already: make a new one", MaxFormer)
		}
		next, err := newNextKeys()
		if err != nil {
			return Prepared{}, err
		}
		rec := r.rec
		rec.Next = &next
		if err := r.write(&rec, r.dir.replace); err != nil {
			return Prepared{}, fmt.Errorf("keeping the node's next keys: %w", err)
		}
		if err := r.adopt(rec); err != nil {
			return Prepared{}, err
		}
	}
	return r.rec.Next.public()
}

// Prepared returns the keys that wait; ok is false if none do.
func (r *Ring) Prepared() (p Prepared, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec.Next == nil {
		return p, false, nil
	}
	p, err = r.rec.Next.public()
	return p, err == nil, err
}

// Promote puts the keys that wait in the place of the present ones. The data keys stay, so that the store stays readable, and the
// former identity stays too, so that what was sealed to the node before still opens.
func (r *Ring) Promote() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if r.rec.Next == nil {
		return errors.New("no keys wait to replace the present ones")
	}
	return r.succeed(*r.rec.Next)
}

// ReplaceNode is [Ring.Promote] with keys made on the spot, after a restore, a clone or a theft. An officer must certify them, and
// the node be started anew.
func (r *Ring) ReplaceNode() error {
	next, err := newNextKeys()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	return r.succeed(next)
}

// succeed puts next in the place of the present keys. The caller holds the lock.
func (r *Ring) succeed(next nextKeys) error {
	if len(r.rec.Former) >= MaxFormer {
		return fmt.Errorf("this node was replaced %d times already: make a new one", MaxFormer)
	}
	rec := r.rec
	rec.Former = append(slices.Clone(rec.Former), r.key.Public().ID())
	rec.Sign, rec.Transport, rec.Next = next.Sign, next.Transport, nil
	if err := rec.newIdentity(next.Identity, 0); err != nil {
		return err
	}
	if err := r.write(&rec, r.dir.replace); err != nil {
		return fmt.Errorf("replacing the node's keys: %w", err)
	}
	return r.adopt(rec)
}
