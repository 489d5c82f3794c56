package audit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/entente-network/entente/protocol"
)

// brokenMark stands before the checkpoint that is given up, in its file, from when OpenAfterBreak begins until it is done.
// With it no log looks whole, whatever reached the disk.
const brokenMark = "entente audit log: going on after a break\n"

// restart goes on after a break.
func (l *Log) restart(actor, reason string) error {
	os, undone, err := l.breakRecords(actor, reason)
	if err != nil {
		return err
	}
	number, err := l.folder.setAside()
	if err != nil {
		return err
	}
	text, err := l.readCheckpoint()
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(text, []byte(brokenMark)) {
		if err := l.folder.replace(checkpointFile, append([]byte(brokenMark), text...)); err != nil {
			return err
		}
	}
	if l.sealer.id == (logID{}) {
		rand.Read(l.sealer.id[:])
		if err := writeAt(l.records, l.sealer.header(), 0); err != nil {
			return err
		}
	}
	if err := l.write(os); err != nil {
		return err
	}
	if err := errors.Join(truncate(l.records, slotAt(l.size)), syncFile(l.records), l.hashes.flush()); err != nil {
		return err
	}
	if err := l.overwrite(undone); err != nil {
		return err
	}
	gen := 0
	if l.last != nil {
		gen, _ = generation(l.last.origin, l.base)
	}
	l.last = &checkpoint{origin: originOf(l.base, max(gen+1, number))}
	l.problem = nil
	return l.writeCheckpoint()
}

// breakRecords makes the record of a break: one, or several where one cannot name all that was erased by records that are
// lost. undone is what records name that is not erased.
func (l *Log) breakRecords(actor, reason string) (os []*opening, undone spans, err error) {
	v := &verification{log: l}
	err = l.scan(0, l.size, func(i uint64, slot []byte) bool {
		_, w, _, err := l.sealer.read(slot, i)
		if errors.Is(err, errErased) {
			v.erased.add(i)
		} else if err == nil {
			_ = v.own(i, w) // a list that cannot be read names nothing
		}
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	unnamed, undone := v.compareErased()
	for first := true; first || len(unnamed) > 0; first = false {
		w, err := own(&Record{Time: l.now(), Actor: actor, Action: ActionBreak, Allowed: true, Rule: "broken",
			Reason: fmt.Sprintf("%s: %v", reason, l.problem)})
		if err != nil {
			return nil, nil, err
		}
		if l.last != nil {
			w.Size, w.Root = l.last.size, protocol.Hash(l.last.root)
		}
		w.Erased, _, unnamed = unnamed.take()
		o, err := newOpening(w)
		if err != nil {
			return nil, nil, err
		}
		os = append(os, o)
	}
	return os, undone, nil
}
