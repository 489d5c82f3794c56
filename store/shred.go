package store

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// sweepStep is how many keys one transaction of Forget removes.
const sweepStep = 1000

// Forget removes what is left of a channel after its key was given up: all that can no longer be read. Extents stay, so that
// nothing of it is fetched again, and with nothing left it does nothing. A message of this node that is in other channels, too,
// stays there only if PruneTag moved it before the key went. Forget works in steps; what a crash interrupts goes on when the
// store is opened, and so does what was not begun.
func (s *Store) Forget(tag protocol.Hash) error {
	if tag.IsZero() || tag == communityTag {
		return errors.New("forgetting a channel: the community's stays")
	}
	if _, err := s.keys.Audience(tag); err == nil {
		return errors.New("forgetting a channel: its key is still there; drop it first")
	}
	s.audMu.Lock()
	delete(s.ciphers, tag)
	s.audMu.Unlock()
	left, err := s.leftOf(tag)
	if err == nil && left {
		err = s.update(func(t *tx) error {
			_, err := t.put(key(kForget, short(tag)), s.local, tag[:])
			return err
		})
	}
	if err == nil && left {
		err = s.forget(tag)
	}
	if err != nil {
		return fmt.Errorf("forgetting a channel: %w", err)
	}
	return nil
}

// leftOf reports whether there may be something of a channel.
func (s *Store) leftOf(tag protocol.Hash) (bool, error) {
	blobs, feeds, err := s.belongings(tag)
	if err != nil {
		return false, err
	}
	left := len(blobs) > 0
	err = s.view(func(t *tx) error {
		left = left || t.any(key(kRoom, short(tag))) || t.any(key(kRoomNote, short(tag))) || t.has(key(kAudience, short(tag))) || t.has(key(kForget, short(tag)))
		for feed := range feeds {
			left = left || t.anyParcel(feed)
		}
		return nil
	})
	return left, err
}

// resumeForget goes on with what a crash interrupted, also if it came between the loss of a key and the call of Forget.
func (s *Store) resumeForget() error {
	var tags []protocol.Hash
	for _, tag := range s.tags() {
		if err := s.view(func(t *tx) error {
			if !t.has(key(kAudience, short(tag))) || t.has(key(kForget, short(tag))) {
				return nil
			}
			if _, err := s.cipher(tag); err != nil {
				tags = append(tags, tag)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	err := s.view(func(t *tx) error {
		return t.scan([]byte{kForget}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			if b, err := t.open(item, s.local); err == nil && len(b) == 32 {
				tags = append(tags, protocol.Hash(b))
			}
			return true, nil
		})
	})
	for _, tag := range tags {
		if err == nil {
			err = s.forget(tag)
		}
	}
	return err
}

// testOnlyForget is called between the steps of a forget; its error stops it.
var testOnlyForget func() error

// forget removes the values of a channel. No step needs what an earlier one removed, so it may begin anew at any point.
func (s *Store) forget(tag protocol.Hash) error {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	a := short(tag)
	all := func(_ *tx, k []byte) ([][]byte, error) { return [][]byte{k}, nil }
	for _, prefix := range []byte{kPosting, kRoom, kRoomNote} {
		if err := s.sweep(key(prefix, a), all); err != nil {
			return err
		}
	}
	if err := s.sweep([]byte{kTerms}, func(_ *tx, k []byte) ([][]byte, error) { return one(shortTag(k[9:17]) == a, k) }); err != nil {
		return err
	}
	blobs, feeds, err := s.belongings(tag)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if err := s.sweep(key(kChunk, b.hash, b.size), all); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		prefix byte
		doomed func(t *tx, k []byte) ([][]byte, error)
	}{
		{kID, func(t *tx, k []byte) ([][]byte, error) { return t.statementKeys(k, a) }},
		{kAlso, func(t *tx, k []byte) ([][]byte, error) { return one(feeds[hashAt(k, 33)], k) }},
		{kInside, func(t *tx, k []byte) ([][]byte, error) {
			b, err := t.read(k, s.local)
			if err != nil {
				return nil, nil // Fsck decides
			}
			_, at, ok := decodeInside(b)
			return one(ok && feeds[at.feed], k)
		}},
		{kMessage, func(_ *tx, k []byte) ([][]byte, error) {
			if pl, _ := placeOf(k); pl.aud == a {
				return [][]byte{k, key(kReindex, pl.n), key(kHeld, pl.n)}, nil
			}
			return nil, nil
		}},
		{kClosed, func(_ *tx, k []byte) ([][]byte, error) { return one(feeds[hashAt(k, 33)], k) }},
		{kInner, func(_ *tx, k []byte) ([][]byte, error) { return one(shortTag(k[9:17]) == a, k) }},
		{kBlobRef, func(t *tx, k []byte) ([][]byte, error) {
			_, err := t.placeN(numAt(k, 41))
			return one(errors.Is(err, ErrNotFound), k)
		}},
	} {
		if err := s.sweep([]byte{step.prefix}, step.doomed); err != nil {
			return err
		}
	}
	for feed := range feeds {
		for _, prefix := range []byte{kParcel, kFork, kLink} {
			if err := s.sweep(key(prefix, feed), all); err != nil {
				return err
			}
		}
	}
	return s.forgotten(tag, blobs, feeds)
}

func one(doomed bool, k []byte) ([][]byte, error) {
	if doomed {
		return [][]byte{k}, nil
	}
	return nil, nil
}

// belongings returns the blobs under the key of a channel, and its feeds.
func (s *Store) belongings(tag protocol.Hash) (blobs []blobKey, feeds map[protocol.FeedID]bool, err error) {
	feeds = map[protocol.FeedID]bool{}
	err = s.view(func(t *tx) error {
		err := t.scan([]byte{kBlob}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) == keyLengths[kBlob] {
				b := blobAt(item.Key())
				if m, err := t.blob(b); err == nil && m.Tag == tag {
					blobs = append(blobs, b)
				}
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		return t.extents(func(feed protocol.FeedID, x *extentRec) error {
			if x.Tag == tag {
				feeds[feed] = true
			}
			return nil
		})
	})
	return blobs, feeds, err
}

// statementKeys returns what is known of a statement under its id, if its message is one of the audience.
func (t *tx) statementKeys(k []byte, a shortTag) ([][]byte, error) {
	b, err := t.read(k, t.s.local)
	if err != nil {
		return nil, nil // Fsck decides
	}
	pl, ok := decodePlace(b)
	if !ok || pl.aud != a {
		return nil, nil
	}
	id := hashAt(k, 1)
	keys := [][]byte{k, key(kCorrect, id)}
	others, err := t.also(id)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		keys = append(keys, key(kAlso, id, o.feed, o.seq))
	}
	err = t.scan(key(kReceipts, id), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
		keys = append(keys, item.KeyCopy(nil))
		return true, nil
	})
	return keys, err
}

// sweep removes keys that begin with prefix, and what goes with them, in transactions of bounded size. doomed looks at a
// snapshot.
func (s *Store) sweep(prefix []byte, doomed func(t *tx, k []byte) ([][]byte, error)) error {
	for seek := prefix; seek != nil; {
		var keys [][]byte
		from := seek
		seek = nil
		err := s.view(func(t *tx) error {
			return t.scan(prefix, from, scanOptions{}, func(item *badger.Item) (bool, error) {
				k := item.KeyCopy(nil)
				if len(keys) >= sweepStep {
					seek = k
					return false, nil
				}
				if len(k) != keyLengths[k[0]] {
					return true, nil
				}
				some, err := doomed(t, k)
				keys = append(keys, some...)
				return true, err
			})
		})
		if err == nil && testOnlyForget != nil {
			err = testOnlyForget()
		}
		if err == nil && len(keys) > 0 {
			err = s.update(func(t *tx) error {
				for _, k := range keys {
					if err := t.discard(k); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// discard removes a key, and counts it out.
func (t *tx) discard(k []byte) error {
	if !t.has(k) {
		return nil
	}
	if bulky(k[0]) {
		t.c.sub(t.sizeOf(k))
	}
	switch k[0] {
	case kMessage:
		t.c.Messages -= min(t.c.Messages, 1)
	case kParcel:
		t.c.Parcels -= min(t.c.Parcels, 1)
	}
	return t.Delete(k)
}

// forgotten ends a forget: feeds go on after the newest entry that was held, and blobs that other channels need are wanted
// again, under a key of theirs.
func (s *Store) forgotten(tag protocol.Hash, blobs []blobKey, feeds map[protocol.FeedID]bool) error {
	return s.update(func(t *tx) error {
		for _, b := range blobs {
			needed := false
			if err := t.refs(b, func(uint64) bool { needed = true; return false }); err != nil {
				return err
			}
			if needed {
				if err := t.rebuildBlob(b); err != nil {
					return err
				}
				continue
			}
			if err := errors.Join(t.Delete(b.meta()), t.Delete(b.wanted())); err != nil {
				return err
			}
		}
		for feed := range feeds {
			x, err := t.extent(feed)
			if err != nil {
				return err
			}
			if x.Next <= x.Max {
				x.Next, x.Head = x.Max+1, protocol.Hash{}
			}
			x.First, x.Anchor = x.Next, anchor{}
			if err := t.putExtent(feed, x); err != nil {
				return err
			}
		}
		return errors.Join(t.Delete(key(kForget, short(tag))), t.Delete(key(kAudience, short(tag))))
	})
}
