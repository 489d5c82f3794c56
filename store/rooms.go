package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// Records of a room, and notes about it, are sealed with the data key of the room's channel: who gives up the key gives up all of
// them, and [Store.Forget] takes them away.

func roomTag(room protocol.Hash) protocol.Hash { return protocol.RoomChannel(room).Tag() }

func roomRecordKey(tag, id protocol.Hash) []byte { return key(kRoom, short(tag), id) }

func roomNoteKey(tag protocol.Hash, name string) []byte {
	return key(kRoomNote, short(tag), protocol.Sum("entente/v1/note", []byte(name)))
}

// PutRoomRecords keeps records of a room, in their order, and when each came first; each in place of an earlier form of the same
// record with other signatures. They count against no cap, so that a removal is kept when the store is full of messages: who calls bounds them. They
// are durable on return; of many, a crash may leave the first.
func (s *Store) PutRoomRecords(room protocol.Hash, es ...*protocol.Envelope) error {
	if room.IsZero() {
		return errors.New("keeping the records of a room: no room given")
	}
	tag := roomTag(room)
	maxBytes, maxKeys := int(s.db.MaxBatchSize()/2), int(s.db.MaxBatchCount()/2)
	for len(es) > 0 {
		n, size := 0, 0
		for n < len(es) && n < maxKeys && (n == 0 || size < maxBytes) {
			size += len(es[n].Payload) + entryReserve
			n++
		}
		err := s.update(func(t *tx) error {
			c, err := s.cipher(tag)
			if err != nil {
				return err
			}
			if err := t.addAudience(tag); err != nil {
				return err
			}
			for _, e := range es[:n] {
				k := roomRecordKey(tag, e.ID())
				seen := s.opt.Now()
				if item, err := t.Get(k); err == nil {
					if b, err := t.open(item, c); err == nil {
						if _, was, _, err := decodeRoomRecord(k, b); err == nil {
							seen = was
						}
					}
				}
				if _, err := t.put(k, c, encodeRoomRecord(room, seen, e)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("keeping the records of a room: %w", err)
		}
		es = es[n:]
	}
	return nil
}

// RoomRecords visits the records of all rooms, with when each came first, whose key is held, room by room and in no order. Damaged ones are left out: other
// members hand them over again. An error of fn ends the visit and is returned.
func (s *Store) RoomRecords(fn func(room protocol.Hash, seen time.Time, e *protocol.Envelope) error) error {
	return s.view(func(t *tx) error {
		return t.scan([]byte{kRoom}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			k := item.Key()
			if len(k) != keyLengths[kRoom] {
				return true, nil
			}
			c, err := s.cipherOf(shortTag(k[1:9]))
			if err != nil {
				return true, nil
			}
			b, err := t.open(item, c)
			if err != nil {
				return true, nil
			}
			room, seen, e, err := decodeRoomRecord(k, b)
			if err != nil {
				s.damaged.Add(1)
				return true, nil
			}
			return true, fn(room, seen, e)
		})
	})
}

// encodeRoomRecord makes the value under a key: the room, when the record came first in Unix seconds, and the encoded envelope.
func encodeRoomRecord(room protocol.Hash, seen time.Time, e *protocol.Envelope) []byte {
	b := binary.BigEndian.AppendUint64(append([]byte(nil), room[:]...), uint64(max(seen.Unix(), 0)))
	return append(b, e.Encode()...)
}

// decodeRoomRecord reads the value under a key.
func decodeRoomRecord(k, b []byte) (room protocol.Hash, seen time.Time, e *protocol.Envelope, err error) {
	if len(b) < len(room)+8 {
		return room, seen, nil, errDamaged
	}
	room, seen = protocol.Hash(b[:len(room)]), time.Unix(int64(binary.BigEndian.Uint64(b[len(room):])), 0)
	if e, err = protocol.DecodeEnvelope(b[len(room)+8:], protocol.MaxRecord); err != nil {
		return room, seen, nil, errDamaged
	}
	if tag := roomTag(room); string(roomRecordKey(tag, e.ID())) != string(k) {
		return room, seen, nil, errDamaged
	}
	return room, seen, e, nil
}

// ofRoom checks a record of a room, or a note about one.
func (ck *check) ofRoom(item *badger.Item, k []byte) error {
	var b []byte
	c, err := ck.s.cipherOf(shortTag(k[1:9]))
	if err == nil {
		b, err = ck.open(item, c)
	}
	if err == nil && k[0] == kRoom {
		ck.rep.Records++
		_, _, _, err = decodeRoomRecord(k, b)
	}
	if err != nil {
		return ck.found("damaged", kindNames[k[0]], deleteKey(k))
	}
	return nil
}

// DeleteRoomRecords removes records of a room. Ids that are not there are passed over.
func (s *Store) DeleteRoomRecords(room protocol.Hash, ids ...protocol.Hash) error {
	tag := roomTag(room)
	for len(ids) > 0 {
		n := min(len(ids), sweepStep)
		err := s.update(func(t *tx) error {
			for _, id := range ids[:n] {
				if err := t.Delete(roomRecordKey(tag, id)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// MaxRoomNote bounds a note about a room: it may name each member.
const MaxRoomNote = 64 << 10

// PutRoomNote keeps a short value about a room under a name, as [Store.PutNote]: what a person last saw of it. It is durable on
// return, and goes with the room's key.
func (s *Store) PutRoomNote(room protocol.Hash, name string, value []byte) error {
	if room.IsZero() || len(value) > MaxRoomNote {
		return fmt.Errorf("a note of %d bytes about a room: want a room, and at most %d", len(value), MaxRoomNote)
	}
	tag := roomTag(room)
	return s.update(func(t *tx) error {
		c, err := s.cipher(tag)
		if err != nil {
			return err
		}
		if err := t.addAudience(tag); err != nil {
			return err
		}
		_, err = t.put(roomNoteKey(tag, name), c, value)
		return err
	})
}

// RoomNote returns what PutRoomNote kept; ErrNotFound if there is none, or it is damaged or given up.
func (s *Store) RoomNote(room protocol.Hash, name string) (value []byte, err error) {
	tag := roomTag(room)
	err = s.view(func(t *tx) error {
		k := roomNoteKey(tag, name)
		if !t.has(k) { // so that asking makes no key
			return ErrNotFound
		}
		c, err := s.cipher(tag)
		if err != nil {
			return ErrNotFound
		}
		value, err = t.read(k, c)
		return err
	})
	if errors.Is(err, errDamaged) {
		err = ErrNotFound
	}
	return value, err
}
