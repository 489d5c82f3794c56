package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/dgraph-io/badger/v4"
)

// A backup is a header, the entries of the store in the order of their keys, and an end:
//
//	"entente store backup 1\n"  version of the layout (8 bytes)
//	0x01  length of the key (uvarint)  key  length of the value (uvarint)  value     for each entry
//	0x00  number of entries (8 bytes)  SHA-256 of all bytes before (32 bytes)
//
// Values stay sealed, so that a backup is of use only together with the keys. The keys of the entries are plain: the caller
// seals the stream. Badger's own stream has no end by which a cut one could be told, and needs hundreds of megabytes.
const backupMagic = "entente store backup 1\n"

const maxBackupValue = ChunkSize + 64<<10

// maxBackupKey is no less than the greatest of keyLengths.
const maxBackupKey = 128

// Backup writes a snapshot of the store. Values that cannot be read are left out. The caller seals what it writes.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	h := sha256.New()
	buf := bufio.NewWriterSize(w, 64<<10)
	out := io.MultiWriter(buf, h)
	var count uint64
	err := s.view(func(t *tx) error {
		if _, err := out.Write(binary.BigEndian.AppendUint64([]byte(backupMagic), schemaVersion)); err != nil {
			return err
		}
		var head []byte
		return t.scan(nil, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			if count%256 == 0 && ctx.Err() != nil {
				return false, ctx.Err()
			}
			k := item.Key()
			if !ours(k, schemaVersion) {
				return true, nil
			}
			c, err := t.cipherFor(k)
			if err == nil && c != nil {
				_, err = t.open(item, c)
			}
			if err != nil {
				return true, nil // of no use to anybody
			}
			v, err := item.ValueCopy(nil)
			if err != nil {
				return true, nil
			}
			head = append(head[:0], 1)
			head = binary.AppendUvarint(head, uint64(len(k)))
			head = append(head, k...)
			head = binary.AppendUvarint(head, uint64(len(v)))
			count++
			_, err1 := out.Write(head)
			_, err2 := out.Write(v)
			return true, errors.Join(err1, err2)
		})
	})
	if err == nil {
		_, err = out.Write(binary.BigEndian.AppendUint64([]byte{0}, count))
	}
	if err == nil {
		_, err = buf.Write(h.Sum(nil))
	}
	if err == nil {
		err = buf.Flush()
	}
	if err != nil {
		return fmt.Errorf("writing a backup: %w", err)
	}
	return nil
}

// Load fills an empty store from a backup that was made with the same keys, and then reads all of it. A backup that is cut,
// changed, or made with other keys is refused, and leaves the store empty. Nobody else may use the store meanwhile.
func (s *Store) Load(ctx context.Context, r io.Reader) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.empty(); err != nil {
		return err
	}
	err := s.load(ctx, r)
	if err == nil {
		err = s.authenticate(ctx)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("loading a backup: %w", err)
	if cleanErr := s.clean(); cleanErr != nil {
		return errors.Join(err, cleanErr)
	}
	return err
}

// empty refuses a store with content.
func (s *Store) empty() error {
	return s.view(func(t *tx) error {
		return t.scan(nil, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			switch item.Key()[0] {
			case kSchema, kSchema2, kCounters:
				return true, nil
			}
			return false, ErrNotEmpty
		})
	})
}

// clean makes the store empty again.
func (s *Store) clean() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.db.DropAll(); err != nil {
		s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
		return s.broken
	}
	s.counters = counters{}
	return s.setSchemaLocked(schemaVersion)
}

func (s *Store) load(ctx context.Context, r io.Reader) error {
	h := sha256.New()
	in := &hashReader{r: bufio.NewReaderSize(r, 64<<10), h: h}
	head := make([]byte, len(backupMagic)+8)
	if _, err := io.ReadFull(in, head); err != nil || !bytes.HasPrefix(head, []byte(backupMagic)) {
		return errors.New("this is no backup of a store")
	}
	version := binary.BigEndian.Uint64(head[len(backupMagic):])
	if version > schemaVersion {
		return fmt.Errorf("%w: the backup has layout version %d, this program knows %d", ErrSchema, version, schemaVersion)
	}
	w := s.db.NewWriteBatch()
	defer w.Cancel()
	for count, used := uint64(0), uint64(0); ; count++ {
		if count%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		k, v, err := in.entry(version)
		if errors.Is(err, errEnd) {
			if err := in.end(count, w); err != nil {
				return err
			}
			return s.setSchema(version) // whatever of it was left out
		}
		if err != nil {
			return err
		}
		if bulky(k[0]) {
			used += uint64(len(k) + len(v))
		}
		if err := s.room(used); err != nil {
			return err
		}
		if err := w.Set(k, v); err != nil {
			return err
		}
	}
}

var errEnd = errors.New("end")

// A hashReader reads a backup and hashes what it read.
type hashReader struct {
	r *bufio.Reader
	h hash.Hash
}

func (in *hashReader) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.h.Write(p[:n])
	return n, err
}

func (in *hashReader) ReadByte() (byte, error) {
	b, err := in.r.ReadByte()
	if err == nil {
		in.h.Write([]byte{b})
	}
	return b, err
}

var errCut = errors.New("the backup ends early or was changed")

// entry reads the next entry; errEnd where the end begins.
func (in *hashReader) entry(version uint64) (k, v []byte, err error) {
	switch b, err := in.ReadByte(); {
	case err != nil || b > 1:
		return nil, nil, errCut
	case b == 0:
		return nil, nil, errEnd
	}
	if k, err = in.bytes(maxBackupKey); err != nil || !ours(k, version) {
		return nil, nil, errCut
	}
	v, err = in.bytes(maxBackupValue)
	return k, v, err
}

func (in *hashReader) bytes(max uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil || n > max {
		return nil, errCut
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, errCut
	}
	return b, nil
}

// end checks the end of a backup, and only then keeps what is still in memory.
func (in *hashReader) end(count uint64, w *badger.WriteBatch) error {
	var n [8]byte
	if _, err := io.ReadFull(in, n[:]); err != nil || binary.BigEndian.Uint64(n[:]) != count {
		return errCut
	}
	want := in.h.Sum(nil)
	var sum [32]byte
	if _, err := io.ReadFull(in.r, sum[:]); err != nil || !bytes.Equal(sum[:], want) {
		return errCut
	}
	return w.Flush()
}

// authenticate reads every value after a Load, and then what the store needs in memory.
func (s *Store) authenticate(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	return s.view(func(t *tx) error {
		n := 0
		return t.scan(nil, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			if n++; n%256 == 0 && ctx.Err() != nil {
				return false, ctx.Err()
			}
			c, err := t.cipherFor(item.Key())
			if err == nil && c != nil {
				_, err = t.open(item, c)
			}
			if err != nil {
				return false, errors.New("a value cannot be opened: the backup was made with other keys")
			}
			return true, nil
		})
	})
}
