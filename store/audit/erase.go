package audit

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entente-network/entente/protocol"
)

// EraseObject erases the records about an object and returns how many. See [Log.EraseBefore].
func (l *Log) EraseObject(object protocol.Hash, actor, reason string) (int, error) {
	return l.erase(func(w *wire) bool { return w.Object == object }, Record{Actor: actor, Rule: "object", Reason: reason})
}

// EraseBefore erases the records of a time before t and returns how many. Their bytes in the file are overwritten when it
// returns; whether the device forgets them too is beyond the log. Their hashes stay, so that the tree and all proofs of
// other records hold. A record tells who erased which numbers, and why; neither it nor a record of a break is ever erased,
// so the reason must not say what was in the records. A record that is damaged stays.
//
// After an error some may be erased. What a crash interrupted is finished when the log is opened.
func (l *Log) EraseBefore(t time.Time, actor, reason string) (int, error) {
	return l.erase(func(w *wire) bool { return int64(w.Time) < t.UnixMilli() }, Record{Actor: actor, Rule: "age", Reason: reason})
}

func (l *Log) erase(match func(*wire) bool, r Record) (int, error) {
	l.erasing.Lock()
	defer l.erasing.Unlock()
	todo, err := l.matching(match)
	if err != nil || len(todo) == 0 {
		return 0, err
	}
	// The hashes of what is erased cannot be made again from records: they must be on the disk.
	if _, err := l.Checkpoint(); err != nil {
		return 0, err
	}
	r.Time, r.Action, r.Allowed = l.now(), ActionErase, true
	n := 0
	for len(todo) > 0 {
		var encoded []byte
		var now spans
		encoded, now, todo = todo.take()
		if err := l.eraseSome(r, encoded, now); err != nil {
			return n, fmt.Errorf("erasing records of the disclosure log: %w", err)
		}
		n += int(now.count())
	}
	_, err = l.Checkpoint()
	return n, err
}

// matching returns the live records that match, and are not the log's own.
func (l *Log) matching(match func(*wire) bool) (spans, error) {
	var found spans
	var fault error
	err := l.scan(0, l.Size(), func(i uint64, slot []byte) bool {
		o, w, _, err := l.sealer.read(slot, i)
		if err != nil || strings.HasPrefix(w.Action, ownPrefix) || !match(w) {
			return true
		}
		l.mu.RLock()
		leaf, err := l.hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		l.mu.RUnlock()
		if err == nil && leaf[0] != o.leaf() {
			err = &Fault{i, "its hash is another in the file of hashes"}
		}
		fault = err
		found.add(i)
		return err == nil
	})
	return found, errors.Join(err, fault)
}

// eraseSome logs an erasure and does it. No checkpoint comes between, so that an interrupted one is found after the last.
func (l *Log) eraseSome(r Record, encoded []byte, which spans) error {
	w, err := own(&r)
	if err != nil {
		return err
	}
	w.Erased = encoded
	o, err := newOpening(w)
	if err != nil {
		return err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.write([]*opening{o}); err != nil {
		return err
	}
	if err := l.overwrite(which); err != nil {
		l.failed = fmt.Errorf("%w: %v", ErrClosed, err)
		return err
	}
	return nil
}

// overwrite replaces records by their leaves, durably.
func (l *Log) overwrite(which spans) error {
	for _, s := range which {
		for from := s.first; from < s.end(); from += scanChunk {
			if err := l.overwriteChunk(from, min(s.end()-from, scanChunk)); err != nil {
				return err
			}
		}
	}
	return syncFile(l.records)
}

func (l *Log) overwriteChunk(from, n uint64) error {
	indexes := make([]int64, n)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(from)+int64(i))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	leaves, err := l.hashes.ReadHashes(indexes)
	if err != nil {
		return err
	}
	slots := make([]byte, 0, n*slotSize)
	for _, leaf := range leaves {
		slots = append(slots, erasedSlot(leaf)...)
	}
	return writeAt(l.records, slots, slotAt(from))
}

// redoErasures finishes the erasures that a crash interrupted: their records are after the last checkpoint.
func (l *Log) redoErasures() error {
	var todo []spans
	err := l.scan(l.last.size, l.size, func(i uint64, slot []byte) bool {
		_, w, _, err := l.sealer.read(slot, i)
		if err == nil && w.Action == ActionErase {
			if s, err := parseSpans(w.Erased, i); err == nil {
				todo = append(todo, s)
			}
		}
		return true
	})
	for _, s := range todo {
		err = errors.Join(err, l.overwrite(s))
	}
	return err
}
