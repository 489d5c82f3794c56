package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// MaxProblems bounds the list of a Report.
const MaxProblems = 1000

// FsckOptions say what Fsck does.
type FsckOptions struct {
	// Lookup returns the key of a node, current or revoked. Entries of unknown nodes count as Unverified. nil: no signature
	// is checked.
	Lookup func(protocol.KID) (protocol.PublicKey, bool)
	// Repair removes what is damaged, so that it is fetched again, and mends what can be derived.
	Repair bool
	// Progress is called now and then with the number of values seen. nil: not called.
	Progress func(values uint64)
}

// A Report is the result of Fsck. Without problems, Found is 0.
type Report struct {
	Values, Parcels, Messages, Blobs, Records uint64
	Unverified                                uint64 // entries whose node's key is not known
	Found                                     uint64 // problems
	Repaired                                  uint64
	Problems                                  []Problem // the first MaxProblems
}

// A Problem is one thing that is not as it should be. It tells no content.
type Problem struct {
	Kind  string // stable: damaged, signature, chain, extent, message, held, label, index, blob, orphan, counters
	Where string
}

// A check is one run of Fsck.
type check struct {
	*tx
	opt FsckOptions
	rep *Report

	// The feed whose entries are visited.
	feed protocol.FeedID
	x    *extentRec // nil: none
	aud  Cipher     // nil: not known
	prev *held
	next uint64 // the entry that has to follow; below x.Next at the end of the feed it is a hole

	messages, parcels uint64
}

// Fsck reads everything: every value authenticates, every parcel and statement is validly signed, chains link, labels hold,
// the index is complete, blobs have their hashes. The store stays in use meanwhile; what comes in later is not looked at.
// The error is for a check that could not be done; what it found is in the report.
func (s *Store) Fsck(ctx context.Context, o FsckOptions) (*Report, error) {
	rep := &Report{}
	err := s.view(func(t *tx) error {
		// Of the same moment as the rest: what was indexed since would seem to be missing.
		if err := t.readRecord([]byte{kCounters}, s.local, &t.c); err != nil {
			t.c = s.committed()
		}
		ck := &check{tx: t, opt: o, rep: rep}
		err := t.scan(nil, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			if rep.Values%256 == 0 {
				if o.Progress != nil {
					o.Progress(rep.Values)
				}
				if err := ctx.Err(); err != nil {
					return false, err
				}
			}
			rep.Values++
			if item.Key()[0] != kParcel {
				if err := ck.endFeed(); err != nil {
					return false, err
				}
			}
			return true, ck.item(item)
		})
		if err == nil {
			err = ck.endFeed()
		}
		if err == nil {
			err = ck.counters()
		}
		return err
	})
	if err != nil {
		return rep, fmt.Errorf("checking the store: %w", err)
	}
	return rep, nil
}

// found notes a problem and repairs it, if asked to and possible.
func (ck *check) found(kind, where string, repair func(t *tx) error) error {
	ck.rep.Found++
	if len(ck.rep.Problems) < MaxProblems {
		ck.rep.Problems = append(ck.rep.Problems, Problem{kind, where})
	}
	if !ck.opt.Repair || repair == nil {
		return nil
	}
	err := ck.s.update(repair)
	if errors.Is(err, ErrNotFound) {
		return nil // it changed meanwhile
	}
	if err == nil {
		ck.rep.Repaired++
	}
	return err
}

func deleteKey(k []byte) func(t *tx) error {
	return func(t *tx) error { return t.Delete(k) }
}

// names of the kinds of values, for people.
var kindNames = map[byte]string{
	kSchema: "version of the layout", kSchema2: "version of the layout", kAudience: "audience", kChunk: "chunk of a blob", kBlob: "blob",
	kCounters: "counters", kTeamOf: "team of a record", kRecord: "identity record", kExtent: "extent of a feed", kHeads: "heads of a node",
	kID: "id of a message", kFork: "proof of a fork", kMessage: "message", kAct: "decision", kParcel: "entry of a feed",
	kReindex: "wait for indexing", kBlobRef: "reference to a blob", kTerms: "terms of a message", kCorrect: "corrections",
	kWanted: "wanted blob", kPosting: "posting", kQuota: "quota", kAgreed: "agreement", kHeld: "message held back", kLink: "link",
	kInner: "sealed statement", kNote: "note", kAlso: "further parcel", kReceipts: "receipts", kForget: "audience given up", kInside: "content of a parcel",
	kClosed: "wait for an epoch", kRoom: "record of a room", kRoomNote: "note about a room",
}

// item checks one entry of the store.
func (ck *check) item(item *badger.Item) error {
	k := item.KeyCopy(nil)
	if want, ok := keyLengths[k[0]]; !ok || len(k) != want {
		return ck.found("orphan", "a key of unknown form", deleteKey(k))
	}
	switch k[0] {
	case kParcel:
		return ck.parcel(item, k)
	case kMessage:
		return ck.message(item, k)
	case kFork:
		return ck.fork(item, k)
	case kChunk:
		return ck.chunk(item, k)
	case kTerms:
		return ck.terms(item, k)
	case kInner:
		return ck.inner(k)
	case kHeld, kLink:
		return ck.side(k)
	case kClosed:
		return ck.closed(k)
	case kRoom, kRoomNote:
		return ck.ofRoom(item, k)
	case kPosting:
		if _, err := ck.placeN(^numAt(k, 25)); errors.Is(err, ErrNotFound) {
			return ck.found("orphan", "a posting without its message", deleteKey(k))
		}
		return nil
	case kReindex:
		if _, err := ck.placeN(numAt(k, 1)); errors.Is(err, ErrNotFound) {
			return ck.found("orphan", "a wait for indexing without its message", deleteKey(k))
		}
		return nil
	case kBlobRef:
		if _, err := ck.placeN(numAt(k, 41)); errors.Is(err, ErrNotFound) {
			return ck.found("orphan", "a reference to a blob without its message", deleteKey(k))
		}
		return nil
	case kWanted:
		if m, err := ck.blob(blobAt(k)); err != nil || m.Complete {
			return ck.found("orphan", "a wanted blob that is not wanted", deleteKey(k))
		}
		return nil
	}
	b, err := ck.open(item, ck.s.local)
	if err == nil {
		err = ck.local(k, b)
	}
	if err == nil {
		return nil
	}
	where := kindNames[k[0]]
	switch k[0] {
	case kExtent:
		feed := hashAt(k, 1)
		return ck.found("damaged", where+" "+feed.String(), func(t *tx) error {
			x, err := t.rebuildExtent(feed)
			if err != nil {
				return t.Delete(k)
			}
			return t.putExtent(feed, x)
		})
	case kBlob:
		return ck.found("damaged", where, func(t *tx) error { return t.rebuildBlob(blobAt(k)) })
	case kSchema, kSchema2:
		return ck.found("damaged", where, func(t *tx) error { return t.putSchema(schemaVersion) })
	case kCounters:
		return ck.found("damaged", where, func(t *tx) error { return t.putRecord(k, t.s.local, &t.c) })
	case kAudience:
		return ck.found("damaged", where, func(t *tx) error {
			t.s.audMu.Lock()
			tag, ok := t.s.audiences[shortTag(k[1:])]
			t.s.audMu.Unlock()
			if !ok {
				return t.Delete(k)
			}
			_, err := t.put(k, t.s.local, tag[:])
			return err
		})
	}
	return ck.found("damaged", where, deleteKey(k))
}

// local checks the content of a value of this node's own. An error means that it is damaged.
func (ck *check) local(k, b []byte) error {
	switch k[0] {
	case kAudience:
		if len(b) != 32 || !bytes.Equal(b[:8], k[1:]) {
			return errDamaged
		}
	case kTeamOf:
		if len(b) != 32 {
			return errDamaged
		}
		if !ck.has(key(kRecord, protocol.Hash(b), hashAt(k, 1))) {
			return errDamaged
		}
	case kRecord:
		ck.rep.Records++
		e, err := protocol.DecodeEnvelope(b, protocol.MaxRecord)
		if err != nil || e.ID() != hashAt(k, 33) {
			return errDamaged
		}
		if of := key(kTeamOf, e.ID()); !ck.has(of) {
			return ck.found("orphan", "an identity record is not found by its id", func(t *tx) error {
				_, err := t.put(of, t.s.local, k[1:33])
				return err
			})
		}
	case kHeads:
		_, h, err := ck.decodeHeads(b)
		if err != nil || !bytes.Equal(key(kHeads, h.Node, h.For), k) {
			return errDamaged
		}
	case kExtent:
		var x extentRec
		if err := ck.decode(b, &x); err != nil {
			return err
		}
		if !ck.anyParcel(hashAt(k, 1)) && x.First != x.Next {
			return errDamaged
		}
	case kID:
		return ck.id(k, b)
	case kAgreed:
		e, err := protocol.DecodeEnvelope(b, protocol.MaxRecord)
		if err != nil || e.ID() != hashAt(k, 1) {
			return errDamaged
		}
	case kReceipts:
		if err := ck.decode(b, new([]protocol.Receipt)); err != nil || ck.has(key(kID, hashAt(k, 1))) {
			return err
		}
		return ck.found("orphan", "receipts without their message", deleteKey(k))
	case kAlso:
		if len(b) != 32 {
			return errDamaged
		}
		if !ck.has(key(kID, hashAt(k, 1))) {
			return ck.found("orphan", "a further parcel of a message that is not there", deleteKey(k))
		}
	case kInside: // its statement may have no message, as what programs read
		_, at, ok := decodeInside(b)
		if !ok {
			return errDamaged
		}
		if !ck.has(parcelKey(at.feed, at.seq)) && at.seq < ck.firstOf(at.feed) {
			return ck.found("orphan", "what is inside a parcel that was pruned", deleteKey(k))
		}
	case kForget:
		if len(b) != 32 || !bytes.Equal(b[:8], k[1:]) {
			return errDamaged
		}
	case kAct:
		return ck.decode(b, new(actRec))
	case kCorrect:
		return ck.decode(b, new([]correction))
	case kCounters:
		return ck.decode(b, new(counters))
	case kBlob:
		var m blobMeta
		if err := ck.decode(b, &m); err != nil {
			return err
		}
		return ck.checkBlob(blobAt(k), &m)
	case kQuota, kSchema, kSchema2:
		if len(b) != 8 {
			return errDamaged
		}
	}
	return nil
}

func (ck *check) id(k, b []byte) error {
	pl, ok := decodePlace(b)
	if !ok || !ck.has(pl.key()) {
		return errDamaged
	}
	rec, _, err := ck.messageRec(pl)
	if err == nil && rec.ID != hashAt(k, 1) {
		return errDamaged
	}
	return nil
}

// fork checks a proof.
func (ck *check) fork(item *badger.Item, k []byte) error {
	feed := hashAt(k, 1)
	var p protocol.ForkProof
	err := ck.readFork(item, feed, &p)
	if err == nil && ck.opt.Lookup != nil {
		if x, xerr := ck.extent(feed); xerr == nil {
			if pub, ok := ck.opt.Lookup(x.Node); ok {
				err = p.Check(protocol.UseNode, pub)
			}
		}
	}
	if err != nil {
		return ck.found("damaged", "proof of a fork of feed "+feed.String(), deleteKey(k))
	}
	return nil
}

// counters compares the counters with what was counted.
func (ck *check) counters() error {
	if ck.messages == ck.c.Messages && ck.parcels == ck.c.Parcels {
		return nil
	}
	what := fmt.Sprintf("%d messages and %d entries counted, %d and %d noted", ck.messages, ck.parcels, ck.c.Messages, ck.c.Parcels)
	dm, dp := ck.messages-ck.c.Messages, ck.parcels-ck.c.Parcels // modulo 2^64: what came in meanwhile stays counted
	return ck.found("counters", what, func(t *tx) error {
		t.c.Messages, t.c.Parcels = t.c.Messages+dm, t.c.Parcels+dp
		return nil
	})
}

// labelHolds asks the rules whether a message with this label may be in its audience at all.
func labelHolds(st *protocol.Statement) bool {
	if st.Audience.Kind != protocol.Community {
		return true // with sealed ones it depends on agreements, and on when it was asked
	}
	return trust.Decide(trust.Question{Action: trust.Receive, Label: st.Label, Audience: st.Audience.Kind, Self: true}).Allowed
}
