package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// The file of records is an array of slots, one sector each. Slot 0 is the header, slot i+1 has record i.
//
//	0  1  state: live or erased
//	1  1  zero
//	2  2  bytes of the content
//	4  4  how many records before this one were written with it
//	8     content: of a live record its sealed opening, of an erased one its leaf; then zeros
//
// All plaintexts have one length, so that none can be told from others by it.
const (
	slotSize  = 512
	slotHead  = 8
	plainSize = saltSize + 2 + maxEncoded

	live   = 1
	erased = 2
)

const magic = "entente audit log 1\n"

const idSize = 16

type logID [idSize]byte

var errErased = errors.New("erased")

// sealer seals the records of one log.
type sealer struct {
	cipher Cipher
	id     logID
	sealed int // bytes of the content of a live slot
}

// sealedSize returns the length of the content of a live slot.
func sealedSize(c Cipher) (int, error) {
	n := len(c.Seal(make([]byte, plainSize), nil))
	if n > slotSize-slotHead {
		return 0, fmt.Errorf("the cipher makes %d bytes of %d: too many", n, plainSize)
	}
	return n, nil
}

func (s *sealer) aad(index uint64, head []byte) []byte {
	b := append([]byte("entente/audit/v1/record"), s.id[:]...)
	b = binary.BigEndian.AppendUint64(b, index)
	return append(b, head...)
}

// write fills a slot, which must be all zeros, with a live record. back counts the records before it in one batch.
func (s *sealer) write(slot []byte, index uint64, back int, o *opening) {

	plain := make([]byte, plainSize)
	copy(plain, o.salt[:])
	binary.BigEndian.PutUint16(plain[saltSize:], uint16(len(o.encoded)))
	copy(plain[saltSize+2:], o.encoded)
	slot[0] = live
	binary.BigEndian.PutUint16(slot[2:], uint16(s.sealed))
	binary.BigEndian.PutUint32(slot[4:], uint32(back))
	copy(slot[slotHead:], s.cipher.Seal(plain, s.aad(index, slot[:slotHead])))
}

// read opens a slot. errErased says that there is only a leaf; every other error that it is not what was written.
func (s *sealer) read(slot []byte, index uint64) (o *opening, w *wire, back uint64, err error) {
	size := int(binary.BigEndian.Uint16(slot[2:]))
	back = uint64(binary.BigEndian.Uint32(slot[4:]))
	if size > slotSize-slotHead || slot[1] != 0 || !allZero(slot[slotHead+size:]) {
		return nil, nil, 0, errors.New("it is damaged")
	}
	if slot[0] == erased && size == tlog.HashSize && back == 0 {
		return nil, nil, 0, errErased
	}
	if slot[0] != live || back > index || back >= maxBatch {
		return nil, nil, 0, errors.New("it is damaged")
	}
	plain, err := s.cipher.Open(slot[slotHead:slotHead+size], s.aad(index, slot[:slotHead]))
	if err != nil || len(plain) != plainSize {
		return nil, nil, 0, errors.New("it is damaged, or of another place")
	}
	n := int(binary.BigEndian.Uint16(plain[saltSize:]))
	if n > maxEncoded || !allZero(plain[saltSize+2+n:]) {
		return nil, nil, 0, errors.New("its content is malformed")
	}
	o = &opening{encoded: plain[saltSize+2 : saltSize+2+n]}
	copy(o.salt[:], plain)
	if w, err = decodeWire(o.encoded); err != nil {
		return nil, nil, 0, fmt.Errorf("its content is malformed: %w", err)
	}
	return o, w, back, nil
}

// leaf returns the leaf of a slot, live or erased.
func (s *sealer) leaf(slot []byte, index uint64) (tlog.Hash, error) {
	o, _, _, err := s.read(slot, index)
	if errors.Is(err, errErased) {
		return erasedLeaf(slot), nil
	}
	if err != nil {
		return tlog.Hash{}, err
	}
	return o.leaf(), nil
}

func erasedLeaf(slot []byte) tlog.Hash { return tlog.Hash(slot[slotHead : slotHead+tlog.HashSize]) }

// erasedSlot returns the slot that replaces a record.
func erasedSlot(leaf tlog.Hash) []byte {
	slot := make([]byte, slotSize)
	slot[0] = erased
	binary.BigEndian.PutUint16(slot[2:], tlog.HashSize)
	copy(slot[slotHead:], leaf[:])
	return slot
}

// header returns slot 0: the magic, the id of the log, and a sealed nothing that tells another key.
func (s *sealer) header() []byte {
	slot := make([]byte, slotSize)
	n := copy(slot, magic)
	n += copy(slot[n:], s.id[:])
	copy(slot[n:], s.cipher.Seal(nil, headerAAD(s.id)))
	return slot
}

func headerAAD(id logID) []byte { return append([]byte("entente/audit/v1/header"), id[:]...) }

// openHeader reads slot 0.
func openHeader(slot []byte, c Cipher) (logID, error) {
	var id logID
	rest, ok := bytes.CutPrefix(slot, []byte(magic))
	if !ok {
		return id, errors.New("the file of records has no header that this version knows")
	}
	copy(id[:], rest)
	sealedSize := len(c.Seal(nil, nil))
	if len(rest) < idSize+sealedSize || !allZero(rest[idSize+sealedSize:]) {
		return id, errors.New("the header of the file of records is damaged")
	}
	if _, err := c.Open(rest[idSize:idSize+sealedSize], headerAAD(id)); err != nil {
		return id, errors.New("the header of the file of records is damaged, or sealed with another key")
	}
	return id, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
