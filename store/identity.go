package store

import (
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// PutRecord keeps an identity record that a trust.Book took in. It counts against no cap: the book bounds teams and records.
func (s *Store) PutRecord(team protocol.TeamID, e *protocol.Envelope) error {
	id := e.ID()
	return s.update(func(t *tx) error {
		if _, err := t.put(key(kTeamOf, id), s.local, team[:]); err != nil {
			return err
		}
		_, err := t.put(key(kRecord, team, id), s.local, e.Encode())
		return err
	})
}

// DeleteRecords removes identity records. Ids that are not there are passed over.
func (s *Store) DeleteRecords(ids ...protocol.Hash) error {
	return s.update(func(t *tx) error {
		for _, id := range ids {
			team, err := t.read(key(kTeamOf, id), s.local)
			if errors.Is(err, ErrNotFound) || len(team) != 32 {
				continue
			}
			if err != nil {
				return err
			}
			if err := errors.Join(t.Delete(key(kRecord, protocol.Hash(team), id)), t.Delete(key(kTeamOf, id))); err != nil {
				return err
			}
		}
		return nil
	})
}

// Records visits all identity records, to build a trust.Book from. The order is none: the book takes them in several rounds.
// An error of fn ends the visit and is returned.
func (s *Store) Records(fn func(team protocol.TeamID, e *protocol.Envelope) error) error {
	return s.records([]byte{kRecord}, func(team protocol.TeamID, _ protocol.Hash, raw []byte) error {
		e, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
		if err != nil {
			s.damaged.Add(1)
			return nil
		}
		return fn(team, e)
	})
}

// TeamRecords returns the encoded records of a team: those in want, or all if want is nil.
func (s *Store) TeamRecords(team protocol.TeamID, want map[protocol.Hash]bool) ([][]byte, error) {
	var out [][]byte
	err := s.records(key(kRecord, team), func(_ protocol.TeamID, id protocol.Hash, raw []byte) error {
		if want == nil || want[id] {
			out = append(out, raw)
		}
		return nil
	})
	return out, err
}

func (s *Store) records(prefix []byte, fn func(team protocol.TeamID, id protocol.Hash, raw []byte) error) error {
	return s.view(func(t *tx) error {
		return t.scan(prefix, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			k := item.Key()
			if len(k) != keyLengths[kRecord] {
				return true, nil
			}
			raw, err := t.open(item, s.local)
			if err != nil {
				return true, nil // the exchange of identity records brings it again
			}
			return true, fn(hashAt(k, 1), hashAt(k, 33), raw)
		})
	})
}

// actRec is a trust.OwnAct as it is stored.
type actRec struct {
	Team   protocol.TeamID `cbor:"1,keyasint"`
	Kind   trust.ActKind   `cbor:"2,keyasint"`
	At     uint64          `cbor:"3,keyasint"` // Unix nanoseconds
	By     string          `cbor:"4,keyasint,omitempty"`
	Method string          `cbor:"5,keyasint,omitempty"`
}

// PutAgreement keeps an agreement, or a party's word on one, that a trust.Book took in, in place of an earlier form of the same
// record with other signatures. The book bounds their number.
func (s *Store) PutAgreement(e *protocol.Envelope) error {
	return s.update(func(t *tx) error {
		_, err := t.put(key(kAgreed, e.ID()), s.local, e.Encode())
		return err
	})
}

// DeleteAgreements removes such records. Ids that are not there are passed over.
func (s *Store) DeleteAgreements(ids ...protocol.Hash) error {
	return s.update(func(t *tx) error {
		for _, id := range ids {
			if err := t.Delete(key(kAgreed, id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Agreements visits agreements and the parties' words on them, in no order. An error of fn ends the visit and is returned.
func (s *Store) Agreements(fn func(e *protocol.Envelope) error) error {
	return s.view(func(t *tx) error {
		return t.scan([]byte{kAgreed}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			raw, err := t.open(item, s.local)
			if err != nil || len(item.Key()) != keyLengths[kAgreed] {
				return true, nil
			}
			e, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
			if err != nil {
				s.damaged.Add(1)
				return true, nil
			}
			return true, fn(e)
		})
	})
}

// PutAct keeps a decision of a person of this team, after all earlier ones.
func (s *Store) PutAct(a trust.OwnAct) error {
	return s.update(func(t *tx) error {
		n := uint64(1)
		err := t.scan([]byte{kAct}, nil, scanOptions{reverse: true}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) == keyLengths[kAct] {
				n = numAt(item.Key(), 1) + 1
			}
			return false, nil
		})
		if err != nil {
			return err
		}
		return t.putRecord(key(kAct, n), s.local, &actRec{a.Team, a.Kind, uint64(a.At.UnixNano()), a.By, a.Method})
	})
}

// Acts returns the decisions, the oldest first.
func (s *Store) Acts() ([]trust.OwnAct, error) {
	var out []trust.OwnAct
	err := s.view(func(t *tx) error {
		return t.scan([]byte{kAct}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			b, err := t.open(item, s.local)
			var r actRec
			if err != nil || t.decode(b, &r) != nil {
				return true, nil
			}
			out = append(out, trust.OwnAct{Team: r.Team, Kind: r.Kind, At: time.Unix(0, int64(r.At)).UTC(), By: r.By, Method: r.Method})
			return true, nil
		})
	})
	return out, err
}

// PutHeads keeps the newest heads record of a node for its reader, Heads.For; an older one than is held is passed over. The
// caller has verified it.
func (s *Store) PutHeads(e *protocol.Envelope, h *protocol.Heads) error {
	if _, old, err := s.Heads(h.Node, h.For); err == nil && old.N >= h.N {
		return nil
	}
	return s.update(func(t *tx) error {
		if _, old, err := t.heads(h.Node, h.For); err == nil && old.N >= h.N {
			return nil
		}
		_, err := t.put(key(kHeads, h.Node, h.For), s.local, e.Encode())
		return err
	})
}

// Heads returns the newest heads record of a node for a team, or with the zero team that for the community; or ErrNotFound.
func (s *Store) Heads(kid protocol.KID, reader protocol.TeamID) (e *protocol.Envelope, h *protocol.Heads, err error) {
	err = s.view(func(t *tx) error {
		e, h, err = t.heads(kid, reader)
		return err
	})
	return e, h, err
}

func (t *tx) heads(kid protocol.KID, reader protocol.TeamID) (*protocol.Envelope, *protocol.Heads, error) {
	b, err := t.read(key(kHeads, kid, reader), t.s.local)
	if err != nil {
		return nil, nil, err
	}
	return t.decodeHeads(b)
}

func (t *tx) decodeHeads(b []byte) (*protocol.Envelope, *protocol.Heads, error) {
	e, err := protocol.DecodeEnvelope(b, protocol.MaxRecord)
	if err == nil {
		var h *protocol.Heads
		if h, err = protocol.Decode[protocol.Heads](e); err == nil {
			return e, h, nil
		}
	}
	t.s.damaged.Add(1)
	return nil, nil, errDamaged
}

// AllHeads visits the newest heads record of every node for every reader, until fn returns false.
func (s *Store) AllHeads(fn func(e *protocol.Envelope, h *protocol.Heads) bool) error {
	return s.view(func(t *tx) error {
		return t.scan([]byte{kHeads}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			b, err := t.open(item, s.local)
			if err != nil {
				return true, nil
			}
			e, h, err := t.decodeHeads(b)
			return err != nil || fn(e, h), nil
		})
	})
}
