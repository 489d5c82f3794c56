package store

import (
	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// Held visits the messages that are held back, in the order of their arrival, until fn returns false. They are without inline
// bodies. fn may release them.
func (s *Store) Held(fn func(*Message) bool) error {
	var bad []place
	err := s.view(func(t *tx) error {
		return t.scan([]byte{kHeld}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kHeld] {
				return true, nil
			}
			pl, err := t.placeN(numAt(item.Key(), 1))
			if err != nil {
				return true, nil
			}
			m, err := t.message(pl, false)
			if err != nil {
				bad = append(bad, pl)
				return true, nil
			}
			return m.Held == "" || fn(m), nil
		})
	})
	s.restore(bad)
	return err
}

// Release shows a message that was held back. It keeps its number and its time of receipt, and waits for indexing. Releasing
// it again does nothing.
func (s *Store) Release(id protocol.Hash) error {
	return s.update(func(t *tx) error {
		pl, err := t.place(id)
		if err != nil {
			return err
		}
		rec, c, err := t.messageRec(pl)
		if err != nil {
			return err
		}
		if rec.Held == "" {
			return nil
		}
		rec.Held = ""
		if err := t.putMessage(pl, rec, c); err != nil {
			return err
		}
		if err := t.Delete(key(kHeld, pl.n)); err != nil {
			return err
		}
		if err := t.Set(key(kReindex, pl.n), nil); err != nil {
			return err
		}
		st, err := t.statement(rec)
		if err != nil || st.Kind != protocol.KindCorrection {
			return err
		}
		return t.supersede(st.Supersedes, correction{ID: id, Author: st.Author, Clock: st.Clock})
	})
}
