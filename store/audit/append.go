package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// CheckpointEvery is after how many records the log makes a checkpoint by itself.
	CheckpointEvery = 1024

	maxBatch = 4096 // records that are written at once
)

// A batch is what is written and synced together.
type batch struct {
	openings []*opening
	first    uint64
	err      error
	done     chan struct{}
}

// Append adds records in their order, with nothing in between, and returns the index of the first. They are durable when
// it returns. Calls at the same time share one wait for the disk. After an error other than a refused record it is
// unknown whether they are there.
func (l *Log) Append(rs []Record) (first uint64, err error) {
	if len(rs) == 0 || len(rs) > MaxAppend {
		return 0, fmt.Errorf("%d records at once: 1 to %d are possible", len(rs), MaxAppend)
	}
	os := make([]*opening, len(rs))
	for i := range rs {
		w, err := newWire(&rs[i])
		if err != nil {
			return 0, fmt.Errorf("logging a decision: %w", err)
		}
		if os[i], err = newOpening(w); err != nil {
			return 0, fmt.Errorf("logging a decision: %w", err)
		}
	}
	b, at, leads := l.join(os)
	if leads {
		l.lead(b)
	}
	<-b.done
	if b.err != nil {
		return 0, fmt.Errorf("logging a decision: %w", b.err)
	}
	return b.first + uint64(at), nil
}

// join puts openings into the batch that waits for the writer. Who starts a batch leads it.
func (l *Log) join(os []*opening) (b *batch, at int, leads bool) {
	l.queue.Lock()
	defer l.queue.Unlock()
	if l.pending == nil || len(l.pending.openings)+len(os) > maxBatch {
		l.pending = &batch{done: make(chan struct{})}
		leads = true
	}
	b = l.pending
	at = len(b.openings)
	b.openings = append(b.openings, os...)
	return b, at, leads
}

// lead writes a batch. Until the writer before is done, others join.
func (l *Log) lead(b *batch) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.queue.Lock()
	if l.pending == b {
		l.pending = nil
	}
	l.queue.Unlock()
	b.first = l.edge.size
	b.err = l.write(b.openings)
	close(b.done)
	if b.err == nil && l.size-l.last.size >= CheckpointEvery {
		// The records are durable. A checkpoint that cannot be written now is tried again after the next ones, and an
		// error of Checkpoint and Close then.
		_ = l.writeCheckpoint()
	}
}

// write makes records durable. The caller has the writing lock, or is alone.
func (l *Log) write(os []*opening) error {
	if l.failed != nil {
		return l.failed
	}
	first := l.edge.size
	next := l.edge.clone()
	var hashes []tlog.Hash
	slots := make([]byte, len(os)*slotSize)
	for i, o := range os {
		l.sealer.write(slots[i*slotSize:(i+1)*slotSize], first+uint64(i), i, o)
		hashes = append(hashes, next.add(o.leaf())...)
	}
	// The hashes can be made again from the records, so that only these have to be synced. Hashes behind the last one
	// that counts do no harm.
	if l.hashes.extra == nil {
		if err := writeHashes(l.hashes.file, l.hashes.inFile, hashes); err != nil {
			return err
		}
	}
	if err := writeAt(l.records, slots, slotAt(first)); err != nil {
		if terr := truncate(l.records, slotAt(first)); terr != nil {
			l.failed = fmt.Errorf("%w: %v", ErrClosed, err)
		}
		return err
	}
	if err := syncFile(l.records); err != nil {
		l.failed = fmt.Errorf("%w: %v", ErrClosed, err)
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.edge, l.size = next, next.size
	if l.hashes.extra == nil {
		l.hashes.inFile += int64(len(hashes))
		return nil
	}
	l.hashes.extra = append(l.hashes.extra, hashes...)
	return l.hashes.flush()
}
