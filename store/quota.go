package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// testOnlyFree replaces the free space of the disk in tests.
var testOnlyFree func(dir string) (uint64, error)

// room refuses what would bring the store to used bytes if that is beyond its cap, or if the disk is nearly full. Badger
// writes through mapped files, for which a full disk is a crash; so it must not come to that.
func (s *Store) room(used uint64) error {
	if s.opt.MaxBytes != 0 && used > s.opt.MaxBytes {
		return fmt.Errorf("%w: its cap is %d bytes", ErrFull, s.opt.MaxBytes)
	}
	if s.dir == "" {
		return nil
	}
	free := freeSpace
	if testOnlyFree != nil {
		free = testOnlyFree
	}
	n, err := free(s.dir)
	if err != nil {
		return fmt.Errorf("asking for the free space of the disk: %w", err)
	}
	if n < s.opt.MinFree {
		return fmt.Errorf("%w: %d bytes are free on the disk, %d have to stay so", ErrFull, n, s.opt.MinFree)
	}
	return nil
}

func day(now time.Time) uint32 { return uint32(max(now.Unix(), 0) / 86400) }

// spend counts a parcel and its blob against the quota of its author.
func (t *tx) spend(e *Entry, parcel int) error {
	if t.s.opt.DailyQuota == 0 || e.Via == "" {
		return nil
	}
	k := key(kQuota, day(t.s.opt.Now()), e.Parcel.Team)
	var used uint64
	if b, err := t.read(k, t.s.local); err == nil && len(b) == 8 {
		used = binary.BigEndian.Uint64(b)
	}
	used += uint64(parcel)
	if e.Parcel.Blob != nil {
		used += e.Parcel.Blob.Size
	}
	if used > t.s.opt.DailyQuota {
		return fmt.Errorf("%w: %d bytes a day", ErrQuota, t.s.opt.DailyQuota)
	}
	_, err := t.put(k, t.s.local, binary.BigEndian.AppendUint64(nil, used))
	return err
}

// dropQuotas deletes the counts of past days.
func (t *tx) dropQuotas() error {
	var old [][]byte
	today := key(kQuota, day(t.s.opt.Now()))
	err := t.scan([]byte{kQuota}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
		k := item.KeyCopy(nil)
		if string(k[:min(len(k), len(today))]) >= string(today) {
			return false, nil
		}
		old = append(old, k)
		return len(old) < 1000, nil
	})
	for _, k := range old {
		if err := t.Delete(k); err != nil {
			return err
		}
	}
	return err
}
