package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// slotAt returns the offset of the slot of a record.
func slotAt(index uint64) int64 { return int64(index+1) * slotSize }

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

// examine measures count slots of records by the checkpoint. What does not fit is a problem; then the log has the records
// before the first that cannot be read.
func (l *Log) examine(text []byte, count uint64) error {
	l.problem = l.examineHead(text, count)
	if l.problem == nil {
		why, err := l.examineTree()
		if err != nil {
			return err
		}
		l.problem = why
	}
	if l.problem == nil {
		why, err := l.examineTail(count)
		if err != nil {
			return err
		}
		l.problem = why
	}
	if l.problem == nil {
		return nil
	}
	if l.sealer.id == (logID{}) {
		count = 0
	}
	_, err := l.rebuild(count)
	return err
}

// examineHead reads the checkpoint and the header.
func (l *Log) examineHead(text []byte, count uint64) error {
	old, marked := bytes.CutPrefix(text, []byte(brokenMark))
	cp, cpErr := parseCheckpoint(old, l.public)
	if cpErr == nil {
		if _, ok := generation(cp.origin, l.base); ok {
			l.last = cp
		} else {
			cpErr = fmt.Errorf("the checkpoint is of the log %.80q", cp.origin)
		}
	}
	slot := make([]byte, slotSize)
	_, err := l.records.ReadAt(slot, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return broken("the header of the file of records is unreadable: %v", err)
	}
	id, err := openHeader(slot, l.sealer.cipher)
	if err != nil {
		return broken("%v", err)
	}
	l.sealer.id = id
	switch {
	case marked:
		return broken("going on after a break was interrupted")
	case text == nil:
		return broken("there are %d records, but the checkpoint is missing", count)
	case cpErr != nil:
		return broken("%v", cpErr)
	case count < cp.size:
		return broken("the checkpoint counts %d records, the file holds %d: the files were cut, or restored from different times",
			cp.size, count)
	}
	return nil
}

// examineTree compares the stored hashes with the checkpoint, and makes them again if they do not fit it.
func (l *Log) examineTree() (problem, err error) {
	cp := l.last
	_, hashBytes, err := l.lengths()
	if err != nil {
		return nil, err
	}
	l.hashes.inFile = tlog.StoredHashCount(int64(cp.size))
	if hashBytes >= l.hashes.inFile*tlog.HashSize {
		e, err := readEdge(cp.size, &l.hashes)
		if err != nil {
			return nil, err
		}
		if e.root() == cp.root {
			l.edge, l.size = e, cp.size
			return nil, nil
		}
	}
	why, err := l.rebuild(cp.size)
	switch {
	case err != nil:
		return nil, err
	case why != nil:
		return broken("the file of hashes is damaged, and so is a record: %v", why), nil
	case l.edge.root() != cp.root:
		return broken("the %d records of the checkpoint are not those that it was made of", cp.size), nil
	}
	return nil, nil
}

// rebuild computes the tree of count records in memory, up to the first that cannot be read, which why is about.
func (l *Log) rebuild(count uint64) (why, err error) {
	l.hashes.inFile, l.hashes.extra = 0, nil
	l.edge = &edge{}
	err = l.scan(0, count, func(i uint64, slot []byte) bool {
		leaf, bad := l.sealer.leaf(slot, i)
		if bad != nil {
			why = &Fault{i, bad.Error()}
			return false
		}
		l.hashes.extra = append(l.hashes.extra, l.edge.add(leaf)...)
		return true
	})
	l.size = l.edge.size
	return why, err
}

// examineTail takes in the records after the checkpoint. Where one cannot be read, the rest was torn by a crash before
// Append returned for it, unless it holds a record that was written after the unreadable one was durable.
func (l *Log) examineTail(count uint64) (problem, err error) {
	torn := false
	bad := uint64(0)
	err = l.scan(l.size, count, func(i uint64, slot []byte) bool {
		o, _, back, fault := l.sealer.read(slot, i)
		switch {
		case torn && fault == nil && i-back > bad:
			problem = broken("record %d is damaged", bad)
			return false
		case torn:
			return true
		case fault != nil:
			torn, bad = true, i
			return true
		}
		l.hashes.extra = append(l.hashes.extra, l.edge.add(o.leaf())...)
		return true
	})
	l.size = l.edge.size
	return problem, err
}

// scanChunk is how many slots are read at once.
const scanChunk = 256

// scan reads the slots of the records from one to before another, in their order, until fn returns false.
func (l *Log) scan(from, to uint64, fn func(index uint64, slot []byte) bool) error {
	if from >= to {
		return nil
	}
	buf := make([]byte, min(to-from, scanChunk)*slotSize)
	for from < to {
		n := min(to-from, scanChunk)
		part := buf[:n*slotSize]
		if err := l.readSlots(part, from); err != nil {
			return err
		}
		for i := range n {
			if !fn(from+i, part[i*slotSize:(i+1)*slotSize]) {
				return nil
			}
		}
		from += n
	}
	return nil
}

// readSlots reads slots as they are between two erasures.
func (l *Log) readSlots(part []byte, from uint64) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.records == nil {
		return ErrClosed
	}
	n, err := l.records.ReadAt(part, slotAt(from))
	if errors.Is(err, io.EOF) { // cut under our hands: what is missing does not open
		clear(part[n:])
		err = nil
	}
	if err != nil {
		return fmt.Errorf("reading the disclosure log: %w", err)
	}
	return nil
}
