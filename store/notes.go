package store

import (
	"fmt"

	"github.com/entente-network/entente/protocol"
)

// MaxNote is the greatest length of a note, in bytes.
const MaxNote = 4 << 10

func noteKey(name string) []byte { return key(kNote, protocol.Sum("entente/v1/note", []byte(name))) }

// PutNote keeps a short value of the node's own under a name: how far it is with something. It is durable on return.
func (s *Store) PutNote(name string, value []byte) error {
	if len(value) > MaxNote {
		return fmt.Errorf("a note of %d bytes: at most %d", len(value), MaxNote)
	}
	return s.update(func(t *tx) error {
		_, err := t.put(noteKey(name), s.local, value)
		return err
	})
}

// Note returns what PutNote kept; ErrNotFound if there is none, or it is damaged.
func (s *Store) Note(name string) (value []byte, err error) {
	err = s.view(func(t *tx) error {
		value, err = t.read(noteKey(name), s.local)
		return err
	})
	if err != nil {
		return nil, ErrNotFound
	}
	return value, nil
}
