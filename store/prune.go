package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// Pruned says what a Prune removed.
type Pruned struct {
	Messages uint64
	Bytes    uint64
}

const (
	pruneStep = 200            // messages that one transaction removes
	stagedFor = 24 * time.Hour // how long a blob may wait for its message
)

// Prune removes the messages that were received before a time: parcels, summaries, postings, and blobs that no other message
// refers to. It raises First of their feeds; Next and Head stay, so a feed goes on where it ended. It works in steps, and may
// be ended between two.
func (s *Store) Prune(ctx context.Context, before time.Time) (Pruned, error) {
	var sum Pruned
	limit := uint64(max(before.UnixMilli(), 0))
	seek := []byte{kMessage}
	for {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		n, bytes, next, err := s.pruneSome(limit, seek)
		sum.Messages, sum.Bytes = sum.Messages+n, sum.Bytes+bytes
		if err != nil {
			return sum, fmt.Errorf("pruning: %w", err)
		}
		if next == nil {
			break
		}
		seek = next
	}
	if err := s.pruneStaged(); err != nil {
		return sum, fmt.Errorf("pruning: %w", err)
	}
	return sum, nil
}

// A victim is a message that goes.
type victim struct {
	pl  place
	id  protocol.Hash
	st  *protocol.Statement
	pid protocol.Hash
}

// pruneSome removes the first messages from seek on. next is nil when there are no more.
func (s *Store) pruneSome(limit uint64, seek []byte) (n, bytes uint64, next []byte, err error) {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	err = s.update(func(t *tx) error {
		had := t.c.Bytes
		var victims []victim
		err := t.scan([]byte{kMessage}, seek, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			pl, ok := placeOf(item.Key())
			if !ok {
				return true, nil
			}
			c, err := s.cipherOf(pl.aud)
			if err != nil {
				return true, nil
			}
			b, err := t.open(item, c)
			var rec messageRec
			if err != nil || t.decode(b, &rec) != nil {
				return true, nil // Fsck decides
			}
			if rec.Received >= limit {
				return false, nil
			}
			st, err := t.statement(&rec)
			if err != nil {
				return true, nil
			}
			victims = append(victims, victim{pl, rec.ID, st, rec.Parcel})
			if len(victims) == pruneStep {
				next = key(kMessage, pl.n+1)
				return false, nil
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		n = uint64(len(victims))
		err = t.removeAll(victims)
		bytes = had - min(had, t.c.Bytes)
		return err
	})
	if err != nil {
		return 0, 0, nil, err
	}
	return n, bytes, next, nil
}

// removeAll removes messages with all that hangs on them. What is bulky goes first, in transactions of its own: a crash then
// leaves messages whose blob or terms are gone, and which the next Prune removes.
func (t *tx) removeAll(victims []victim) error {
	w := t.s.db.NewWriteBatch()
	defer w.Cancel()
	gone := map[blobKey]map[uint64]bool{}
	for _, v := range victims {
		freed, err := t.s.dropTerms(t, w, v.pl)
		if err != nil {
			return err
		}
		t.c.sub(freed)
		if v.st.Body.External() {
			b := blobKey{v.st.Body.Hash, v.st.Body.Size}
			if gone[b] == nil {
				gone[b] = map[uint64]bool{}
			}
			gone[b][v.pl.n] = true
		}
	}
	var metas []blobKey
	for b, ns := range gone {
		needed := false
		if err := t.refs(b, func(n uint64) bool { needed = !ns[n]; return !needed }); err != nil {
			return err
		}
		if !needed {
			if err := t.dropChunks(w, b, 0); err != nil {
				return err
			}
			metas = append(metas, b)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, b := range metas {
		if err := errors.Join(t.Delete(b.meta()), t.Delete(b.wanted())); err != nil {
			return err
		}
	}
	feeds := map[protocol.FeedID]victim{} // the one with the greatest sequence number
	for _, v := range victims {
		if err := t.deleteMessage(v.pl, v.id, v.st); err != nil {
			return err
		}
		k := parcelKey(v.pl.feed, v.pl.seq)
		if t.has(k) {
			t.c.sub(t.sizeOf(k))
			t.c.Parcels -= min(t.c.Parcels, 1)
			if err := t.Delete(k); err != nil {
				return err
			}
		}
		if top, ok := feeds[v.pl.feed]; !ok || v.pl.seq > top.pl.seq {
			feeds[v.pl.feed] = v
		}
	}
	for feed, v := range feeds {
		if err := t.raiseFirst(feed, v.pl.seq, v.pid); err != nil {
			return err
		}
	}
	return nil
}

// raiseFirst notes that the entry seq of a feed was pruned: what is up to it is not waited for any more.
func (t *tx) raiseFirst(feed protocol.FeedID, seq uint64, id protocol.Hash) error {
	x, err := t.extent(feed)
	if err != nil || seq < x.First {
		return nil
	}
	if err := t.dropEmpty(feed, x.First, seq); err != nil {
		return err
	}
	x.First = seq + 1
	if x.Next < x.First {
		x.Next, x.Head = x.First, id
		c, err := t.s.cipher(x.Tag)
		if err != nil {
			return err
		}
		if err := t.advance(feed, x, c); err != nil {
			return err
		}
	}
	x.Max = max(x.Max, x.Next-1)
	return t.putExtent(feed, x)
}

// dropEmpty removes entries without a message of their own, which say again what another said.
func (t *tx) dropEmpty(feed protocol.FeedID, from, to uint64) error {
	x, err := t.extent(feed)
	if err != nil {
		return nil
	}
	c, err := t.s.cipher(x.Tag)
	if err != nil {
		return nil
	}
	var empty [][]byte
	err = t.scan(key(kParcel, feed), parcelKey(feed, from), scanOptions{values: true}, func(item *badger.Item) (bool, error) {
		if numAt(item.Key(), 33) > to || len(empty) >= 1000 {
			return false, nil
		}
		if b, err := t.open(item, c); err == nil && len(b) >= 8 && binary.BigEndian.Uint64(b) == 0 {
			empty = append(empty, item.KeyCopy(nil))
		}
		return true, nil
	})
	for _, k := range empty {
		t.c.sub(t.sizeOf(k))
		t.c.Parcels -= min(t.c.Parcels, 1)
		if err := t.Delete(k); err != nil {
			return err
		}
	}
	return err
}

// pruneStaged removes blobs whose message never came, and quotas of past days.
func (s *Store) pruneStaged() error {
	return s.update(func(t *tx) error {
		if err := t.dropQuotas(); err != nil {
			return err
		}
		var old []blobKey
		limit := uint64(s.opt.Now().Add(-stagedFor).Unix())
		err := t.scan([]byte{kBlob}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) == keyLengths[kBlob] {
				old = append(old, blobAt(item.Key()))
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		w := s.db.NewWriteBatch()
		defer w.Cancel()
		var metas [][]byte
		for _, b := range old {
			m, err := t.blob(b)
			if err != nil || m.Made > limit || len(metas) >= 1000 {
				continue
			}
			referred := false
			if err := t.refs(b, func(uint64) bool { referred = true; return false }); err != nil {
				return err
			}
			if referred {
				continue
			}
			if err := t.dropChunks(w, b, 0); err != nil {
				return err
			}
			metas = append(metas, b.meta(), b.wanted())
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, k := range metas {
			if err := t.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}
