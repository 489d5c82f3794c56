package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// A migration brings a store from one version of the layout to the next. It has to bear being run twice, and works through
// as many transactions as it needs: the version is raised after it.
type migration func(s *Store) error

// migrations[v] leads from version v to v+1. A store without a version is new.
var migrations = map[uint64]migration{1: headsByReader, 2: roomsAdded}

// roomsAdded has nothing to move. The version keeps programs that do not know what is of rooms from calling it damage.
func roomsAdded(*Store) error { return nil }

// headsByReader gives the key of a heads record its reader. Before, all were for the community.
func headsByReader(s *Store) error {
	for more := true; more; {
		err := s.update(func(t *tx) error {
			var old [][]byte
			err := t.scan([]byte{kHeads}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
				if len(item.Key()) == formerLengths[1][kHeads] {
					old = append(old, item.KeyCopy(nil))
				}
				return len(old) < 500, nil
			})
			more = len(old) > 0
			for _, k := range old {
				if err == nil {
					err = t.rekeyHeads(k)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rekeyHeads moves one record. A damaged one goes: its node signs another soon.
func (t *tx) rekeyHeads(k []byte) error {
	if b, err := t.read(k, t.s.local); err == nil {
		if e, h, err := t.decodeHeads(b); err == nil {
			if _, err := t.put(key(kHeads, h.Node, h.For), t.s.local, e.Encode()); err != nil {
				return err
			}
		}
	}
	return t.Delete(k)
}

// migrate brings the store to the wanted version.
func (s *Store) migrate(want uint64, table map[uint64]migration) error {
	v, err := s.schema()
	if err != nil {
		return err
	}
	if v > want {
		return fmt.Errorf("%w: its layout has version %d, this program knows %d", ErrSchema, v, want)
	}
	if v == 0 { // new
		v = want
	}
	for ; v < want; v++ {
		step := table[v]
		if step == nil {
			return fmt.Errorf("the store has layout version %d, from which no way leads to version %d", v, want)
		}
		if err := step(s); err != nil {
			return fmt.Errorf("migrating the store from layout version %d: %w", v, err)
		}
		if err := s.setSchema(v + 1); err != nil {
			return err
		}
	}
	// Written anew each time: so it is not in the oldest table only, which may be lost.
	return s.setSchema(want)
}

// schema reads the version of the layout; 0 for an empty store.
func (s *Store) schema() (uint64, error) {
	var v uint64
	err := s.view(func(t *tx) error {
		for _, k := range [][]byte{{kSchema2}, {kSchema}} {
			if b, err := t.read(k, s.local); err == nil && len(b) == 8 {
				v = max(v, binary.BigEndian.Uint64(b))
			}
		}
		if v != 0 {
			return nil
		}
		return t.scan(nil, nil, scanOptions{}, func(*badger.Item) (bool, error) {
			return false, errors.New("the version of its layout cannot be read: wrong keys, or damaged beyond use; restore a backup")
		})
	})
	return v, err
}

func (s *Store) setSchema(v uint64) error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	return s.setSchemaLocked(v)
}

// setSchemaLocked is setSchema for a caller that holds writeMu.
func (s *Store) setSchemaLocked(v uint64) error {
	return s.updateLocked(func(t *tx) error { return t.putSchema(v) })
}

func (t *tx) putSchema(v uint64) error {
	b := binary.BigEndian.AppendUint64(nil, v)
	_, err1 := t.put([]byte{kSchema}, t.s.local, b)
	_, err2 := t.put([]byte{kSchema2}, t.s.local, b)
	return errors.Join(err1, err2)
}
