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
	sum, err := s.prune(ctx, before, protocol.Hash{}, protocol.TeamID{})
	if err == nil {
		err = s.pruneStaged()
	}
	if err != nil {
		return sum, fmt.Errorf("pruning: %w", err)
	}
	return sum, nil
}

// PruneTag is Prune for the feeds of one channel. A message of this node that is in other channels, too, stays there. Messages
// of the author spare stay; zero: of none.
func (s *Store) PruneTag(ctx context.Context, tag protocol.Hash, spare protocol.TeamID, before time.Time) (Pruned, error) {
	if tag.IsZero() {
		return Pruned{}, errors.New("pruning: no channel given")
	}
	sum, err := s.prune(ctx, before, tag, spare)
	if err != nil {
		return sum, fmt.Errorf("pruning a channel: %w", err)
	}
	return sum, nil
}

func (s *Store) prune(ctx context.Context, before time.Time, tag protocol.Hash, spare protocol.TeamID) (Pruned, error) {
	var sum Pruned
	limit := uint64(max(before.UnixMilli(), 0))
	for seek := []byte{kMessage}; seek != nil; {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		n, bytes, next, err := s.pruneSome(limit, seek, tag, spare)
		sum.Messages, sum.Bytes = sum.Messages+n, sum.Bytes+bytes
		if err != nil {
			return sum, err
		}
		seek = next
	}
	freed, err := s.pruneLinks(ctx, limit, tag)
	sum.Bytes += freed
	return sum, err
}

// A victim is a message that goes, or that moves to another channel which it is in.
type victim struct {
	pl   place
	rec  *messageRec
	st   *protocol.Statement
	also []sibling
	stay *sibling // where it moves
}

// pruneSome removes the first messages from seek on. next is nil when there are no more.
func (s *Store) pruneSome(limit uint64, seek []byte, tag protocol.Hash, spare protocol.TeamID) (n, bytes uint64, next []byte, err error) {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	err = s.update(func(t *tx) error {
		had := t.c.Bytes
		var victims []victim
		seen := 0
		err := t.scan([]byte{kMessage}, seek, scanOptions{}, func(item *badger.Item) (bool, error) {
			pl, ok := placeOf(item.Key())
			if !ok {
				return true, nil
			}
			if seen++; seen > 100*pruneStep {
				next = item.KeyCopy(nil)
				return false, nil
			}
			if !tag.IsZero() && pl.aud != short(tag) {
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
			if err != nil || !spare.IsZero() && st.Author == spare {
				return true, nil
			}
			victims = append(victims, victim{pl: pl, rec: &rec, st: st})
			if len(victims) == pruneStep {
				next = key(kMessage, pl.n+1)
				return false, nil
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		for i := range victims {
			if err := t.relatives(&victims[i], tag); err != nil {
				return err
			}
		}
		err = t.removeAll(victims)
		for _, v := range victims {
			if v.stay == nil {
				n++
			}
		}
		bytes = had - min(had, t.c.Bytes)
		return err
	})
	if err != nil {
		return 0, 0, nil, err
	}
	return n, bytes, next, nil
}

// relatives finds the parcels that go with a message; with a tag, those of its channel, and one of another to which it can move.
func (t *tx) relatives(v *victim, tag protocol.Hash) error {
	var err error
	if v.also, err = t.also(v.rec.ID); err != nil || tag.IsZero() {
		return err
	}
	c, err := t.s.cipherOf(v.pl.aud)
	if err != nil {
		return err
	}
	env, _, err := t.openStatement(v.pl, c)
	whole := err == nil && env.ID() == v.rec.ID
	var same []sibling
	for i, o := range v.also {
		x, err := t.extent(o.feed)
		if err != nil || x.Tag == tag {
			same = append(same, o)
			continue
		}
		if c, err := t.s.cipher(x.Tag); err == nil && whole && v.stay == nil {
			if h, err := t.held(o.feed, o.seq, c); err == nil && h.id == o.parcel && h.n == 0 {
				v.stay = &v.also[i]
			}
		}
	}
	v.also = same // the parcels of other channels stay
	return nil
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
		if out := v.st.Outside(); out != nil && v.stay == nil {
			b := blobOf(*out)
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
	ends := tops{}
	for _, v := range victims {
		if err := t.remove(&v, ends); err != nil {
			return err
		}
	}
	return t.raiseAll(ends)
}

// remove removes one message and its parcels, or moves it and removes its parcel.
func (t *tx) remove(v *victim, ends tops) error {
	home := slot{v.pl.feed, v.pl.seq}
	if err := t.dropParcel(home); err != nil {
		return err
	}
	ends.note(home, v.rec.Parcel)
	if v.stay != nil {
		return t.move(v)
	}
	if err := errors.Join(t.deleteMessage(v.pl, v.rec, v.st), t.Delete(key(kInside, v.rec.Parcel))); err != nil {
		return err
	}
	for _, o := range v.also {
		if err := errors.Join(t.dropParcel(o.slot), t.dropLink(o.slot, o.parcel, protocol.Hash{})); err != nil {
			return err
		}
		ends.note(o.slot, o.parcel)
	}
	return nil
}

// move brings a message to another channel that it is in. It keeps its number and is indexed anew, under that channel's key. A
// blob stays under the key that it has.
func (t *tx) move(v *victim) error {
	from, err := t.s.cipherOf(v.pl.aud)
	if err != nil {
		return err
	}
	env, _, err := t.openStatement(v.pl, from)
	if err != nil {
		return err
	}
	x, err := t.extent(v.stay.feed)
	if err != nil {
		return err
	}
	c, err := t.s.cipher(x.Tag)
	if err != nil {
		return err
	}
	h, err := t.held(v.stay.feed, v.stay.seq, c)
	if err != nil {
		return err
	}
	links, err := t.linkKeys(v.stay.slot)
	if err != nil {
		return err
	}
	t.c.sub(t.sizeOf(v.pl.key()) + t.sizeOf(innerKey(v.pl)))
	t.c.Messages -= min(t.c.Messages, 1)
	for _, k := range append(links, v.pl.key(), innerKey(v.pl), key(kInside, v.rec.Parcel), key(kAlso, v.rec.ID, v.stay.feed, v.stay.seq)) {
		if err := t.Delete(k); err != nil {
			return err
		}
	}
	pl := place{n: v.pl.n, aud: short(x.Tag), feed: v.stay.feed, seq: v.stay.seq, received: v.rec.Received}
	v.rec.Parcel = h.id
	if err := errors.Join(t.putMessage(pl, v.rec, c), t.putInner(pl, env.Encode(), c), t.renumber(h, pl.n, c)); err != nil {
		return err
	}
	_, err = t.put(key(kID, v.rec.ID), t.s.local, pl.encode())
	return errors.Join(err, t.Set(key(kReindex, pl.n), nil))
}

// tops are the greatest entries of feeds that were removed.
type tops map[protocol.FeedID]struct {
	seq uint64
	id  protocol.Hash
}

func (ends tops) note(at slot, id protocol.Hash) {
	if e, ok := ends[at.feed]; !ok || at.seq > e.seq {
		e.seq, e.id = at.seq, id
		ends[at.feed] = e
	}
}

// raiseAll no longer waits for what is up to the entries that were removed.
func (t *tx) raiseAll(ends tops) error {
	for feed, e := range ends {
		if err := t.raiseFirst(feed, e.seq, e.id); err != nil {
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

// dropEmpty removes entries without a message of their own.
func (t *tx) dropEmpty(feed protocol.FeedID, from, to uint64) error {
	x, err := t.extent(feed)
	if err != nil {
		return nil
	}
	c, err := t.s.cipher(x.Tag)
	if err != nil {
		return nil
	}
	type closed struct {
		sibling
		epoch protocol.Hash
	}
	var empty []closed
	err = t.scan(key(kParcel, feed), parcelKey(feed, from), scanOptions{values: true}, func(item *badger.Item) (bool, error) {
		if len(item.Key()) != keyLengths[kParcel] {
			return true, nil
		}
		seq := numAt(item.Key(), 33)
		if seq > to || len(empty) >= 1000 {
			return false, nil
		}
		if b, err := t.open(item, c); err == nil && len(b) >= 8 && binary.BigEndian.Uint64(b) == 0 {
			if h, err := t.decodeHeld(b, feed, seq); err == nil {
				empty = append(empty, closed{sibling{slot{feed, seq}, h.id}, h.parcel.Epoch})
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, o := range empty {
		if err := errors.Join(t.dropParcel(o.slot), t.dropLink(o.slot, o.parcel, o.epoch)); err != nil {
			return err
		}
	}
	return nil
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
