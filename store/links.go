package store

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// A link is an entry of a feed without a message of its own: what programs read, what could not be opened, what says again
// what is said elsewhere, what a cut-off calls void. It is kept so that the feed chains, and pruned by its time of receipt.

func linkKey(feed protocol.FeedID, seq, received uint64) []byte {
	return key(kLink, feed, seq, received)
}

// keepLink notes that an entry has no message of its own.
func (in *intake) keepLink(e *Entry) error {
	if e.Parcel.Sealed && !e.StatementID.IsZero() {
		if err := in.keepInside(e, e.Envelope.ID()); err != nil {
			return err
		}
	}
	if e.StatementID.IsZero() && !e.Parcel.Epoch.IsZero() {
		if err := in.Set(closedKey(e.Parcel), nil); err != nil {
			return err
		}
	}
	return in.Set(linkKey(e.Parcel.Feed, e.Parcel.Seq, max(uint64(in.s.opt.Now().UnixMilli()), in.c.Received)), nil)
}

// ownMessage returns the number of the message that an entry had when this node made it, or 0: it may come back from a peer
// that has the ciphertext only.
func (in *intake) ownMessage(p *protocol.Parcel, id protocol.Hash) uint64 {
	st, err := in.inside(id)
	if err != nil {
		return 0
	}
	pl, err := in.place(st)
	if err != nil || pl.feed != p.Feed || pl.seq != p.Seq || !in.has(pl.key()) {
		return 0
	}
	return pl.n
}

// dropLink removes what is noted of an entry without a message of its own. id and epoch are zero if they are not known.
func (t *tx) dropLink(at slot, id, epoch protocol.Hash) error {
	keys, err := t.linkKeys(at)
	if err != nil {
		return err
	}
	if !epoch.IsZero() {
		keys = append(keys, key(kClosed, epoch, at.feed, at.seq))
	}
	if st, err := t.inside(id); err == nil {
		keys = append(keys, key(kInside, id), key(kAlso, st, at.feed, at.seq))
	}
	for _, k := range keys {
		if err := t.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) linkKeys(at slot) ([][]byte, error) {
	var keys [][]byte
	err := t.scan(key(kLink, at.feed, at.seq), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
		keys = append(keys, item.KeyCopy(nil))
		return true, nil
	})
	return keys, err
}

// dropParcel removes an entry. The caller moves the extent.
func (t *tx) dropParcel(at slot) error {
	k := parcelKey(at.feed, at.seq)
	if !t.has(k) {
		return nil
	}
	t.c.sub(t.sizeOf(k))
	t.c.Parcels -= min(t.c.Parcels, 1)
	return t.Delete(k)
}

// renumber writes an entry anew, with the number of another message or 0.
func (t *tx) renumber(h *held, n uint64, c Cipher) error {
	k := parcelKey(h.parcel.Feed, h.parcel.Seq)
	t.c.sub(t.sizeOf(k))
	size, err := t.put(k, c, append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(h.raw)), n), h.raw...))
	t.c.add(size)
	return err
}

// pruneLinks removes the links that were received before a time; with a tag, those of its channel only.
func (s *Store) pruneLinks(ctx context.Context, limit uint64, tag protocol.Hash) (bytes uint64, err error) {
	seek := []byte{kLink}
	for seek != nil {
		if err := ctx.Err(); err != nil {
			return bytes, err
		}
		freed := uint64(0)
		err := s.update(func(t *tx) error {
			had := t.c.Bytes
			var old []slot
			from := seek
			seek = nil
			seen := 0
			err := t.scan([]byte{kLink}, from, scanOptions{}, func(item *badger.Item) (bool, error) {
				k := item.Key()
				if len(k) != keyLengths[kLink] {
					return true, nil
				}
				if seen++; len(old) == pruneStep || seen > 100*pruneStep {
					seek = item.KeyCopy(nil)
					return false, nil
				}
				if numAt(k, 41) < limit {
					old = append(old, slot{hashAt(k, 1), numAt(k, 33)})
				}
				return true, nil
			})
			if err == nil {
				err = t.removeLinks(old, tag)
			}
			freed = had - min(had, t.c.Bytes)
			return err
		})
		if err != nil {
			return bytes, err
		}
		bytes += freed
	}
	return bytes, nil
}

// removeLinks removes links, and no longer waits for what is before them.
func (t *tx) removeLinks(old []slot, tag protocol.Hash) error {
	ends := tops{}
	for _, at := range old {
		x, err := t.extent(at.feed)
		if errors.Is(err, ErrNotFound) && tag.IsZero() {
			if err := t.dropLink(at, protocol.Hash{}, protocol.Hash{}); err != nil {
				return err
			}
			continue
		}
		if err != nil || !tag.IsZero() && x.Tag != tag {
			continue
		}
		c, err := t.s.cipher(x.Tag)
		if err != nil {
			continue
		}
		h, err := t.held(at.feed, at.seq, c)
		if err != nil || h.n != 0 { // damaged, or mended since
			if t.has(parcelKey(at.feed, at.seq)) && err != nil {
				continue // the next reader makes a hole of it
			}
			if err := t.dropLink(at, protocol.Hash{}, protocol.Hash{}); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(t.dropParcel(at), t.dropLink(at, h.id, h.parcel.Epoch)); err != nil {
			return err
		}
		ends.note(at, h.id)
	}
	return t.raiseAll(ends)
}
