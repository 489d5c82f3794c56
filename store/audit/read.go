package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entente-network/entente/protocol"
)

// Each calls fn for every record from an index on, as many as there are at the call, until fn returns false. A record that
// cannot be read ends it with a Fault; a caller who wants the rest goes on after it. fn may call the log. The entry is
// fn's to keep.
func (l *Log) Each(from uint64, fn func(*Entry) bool) error {
	var fault error
	err := l.scan(from, l.Size(), func(i uint64, slot []byte) bool {
		_, w, _, err := l.sealer.read(slot, i)
		switch {
		case errors.Is(err, errErased):
			return fn(&Entry{Index: i, Erased: true})
		case err != nil:
			fault = &Fault{i, err.Error()}
			return false
		}
		return fn(&Entry{Index: i, Record: w.record()})
	})
	return errors.Join(err, fault)
}

// Find returns the records about an object, in their order. It reads the whole log, which takes about 10 µs for each
// record in it.
func (l *Log) Find(object protocol.Hash) ([]Entry, error) {
	var found []Entry
	err := l.Each(0, func(e *Entry) bool {
		if !e.Erased && e.Object == object {
			found = append(found, *e)
		}
		return true
	})
	return found, err
}

// A Report is what Verify found.
type Report struct {
	Records    uint64
	Erased     uint64
	Breaks     []Entry // where the log went on after it was broken
	Checkpoint []byte  // the last one: the records before its size are vouched for by its signature
}

// Verify reads everything and computes it anew: each record, each hash, the checkpoint, and that exactly those records are
// erased which records of erasures name. The error is a Fault where it is about one record, and else matches ErrTampered
// or ErrBroken. Records that are added meanwhile are not looked at. An erasure waits.
func (l *Log) Verify() (Report, error) {
	l.erasing.Lock()
	defer l.erasing.Unlock()
	v, err := l.startVerify()
	if err != nil {
		return Report{}, err
	}
	if err := l.scan(0, v.size, v.record); err != nil {
		return v.report, err
	}
	if v.fault == nil {
		v.checkErased()
	}
	return v.report, v.fault
}

// A verification is the state of one Verify.
type verification struct {
	log    *Log
	size   uint64
	last   *checkpoint
	edge   edge
	at     int64 // stored hashes so far
	erased spans
	owed   map[uint64]uint64 // what records of erasures name: first to end
	report Report
	fault  error
}

// startVerify looks at what is outside the slots of records.
func (l *Log) startVerify() (*verification, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	v := &verification{log: l, size: l.size, last: l.last}
	if l.records == nil {
		return nil, ErrClosed
	}
	v.report = Report{Records: l.size, Checkpoint: bytes.Clone(l.last.text)}
	header := make([]byte, slotSize)
	if _, err := l.records.ReadAt(header, 0); err != nil {
		return nil, fmt.Errorf("%w: the header of the file of records: %v", ErrTampered, err)
	}
	if id, err := openHeader(header, l.sealer.cipher); err != nil || id != l.sealer.id {
		return nil, fmt.Errorf("%w: the header of the file of records is another", ErrTampered)
	}
	text, err := l.readCheckpoint()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(text, l.last.text) {
		return nil, fmt.Errorf("%w: the file of the checkpoint is another", ErrTampered)
	}
	st, err := l.records.Stat()
	if err != nil {
		return nil, err
	}
	if have, want := st.Size(), slotAt(l.size); have < want || have != want && l.failed == nil {
		return nil, fmt.Errorf("%w: the file of records has %d bytes, not %d", ErrTampered, have, want)
	}
	return v, nil
}

// record takes in the next slot.
func (v *verification) record(i uint64, slot []byte) bool {
	o, w, _, err := v.log.sealer.read(slot, i)
	var leaf tlog.Hash
	switch {
	case errors.Is(err, errErased):
		leaf = erasedLeaf(slot)
		v.erased.add(i)
	case err != nil:
		v.fault = &Fault{i, err.Error()}
		return false
	default:
		leaf = o.leaf()
		if v.fault = v.own(i, w); v.fault != nil {
			return false
		}
	}
	for level, want := range v.edge.add(leaf) {
		v.log.mu.RLock()
		got, err := v.log.hashes.ReadHashes([]int64{v.at})
		v.log.mu.RUnlock()
		if err != nil || got[0] != want {
			v.fault = &Fault{i >> level << level, "its hash is another in the file of hashes"}
			return false
		}
		v.at++
	}
	if v.edge.size == v.last.size && v.edge.root() != v.last.root {
		v.fault = fmt.Errorf("%w: the first %d records are not those of the checkpoint", ErrTampered, v.last.size)
	}
	return v.fault == nil
}

// own takes in what the log wrote about itself.
func (v *verification) own(i uint64, w *wire) error {
	switch w.Action {
	case ActionBreak:
		v.report.Breaks = append(v.report.Breaks, Entry{Index: i, Record: w.record()})
		fallthrough
	case ActionErase:
		named, err := parseSpans(w.Erased, i)
		if err != nil {
			return &Fault{i, err.Error()}
		}
		if v.owed == nil {
			v.owed = map[uint64]uint64{}
		}
		for _, s := range named {
			v.owed[s.first] = max(v.owed[s.first], s.end())
		}
	}
	return nil
}

// checkErased compares what is erased with what should be.
func (v *verification) checkErased() {
	v.report.Erased = v.erased.count()
	unnamed, undone := v.compareErased()
	if len(unnamed) > 0 {
		v.fault = &Fault{unnamed[0].first, "it is erased, but no record says so"}
	} else if len(undone) > 0 {
		v.fault = &Fault{undone[0].first, "it should be erased"}
	}
}

// compareErased returns what is erased without a record that names it, and what records name that is not erased.
func (v *verification) compareErased() (unnamed, undone spans) {
	for _, s := range v.erased {
		for at := s.first; at < s.end(); {
			end, ok := v.owed[at]
			if !ok || end > s.end() {
				unnamed.add(at)
				at++
				continue
			}
			delete(v.owed, at)
			at = end
		}
	}
	for first, end := range v.owed {
		undone = append(undone, span{first, end - first})
	}
	slices.SortFunc(undone, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	return unnamed, undone
}
