package store

import (
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// An entry of a room may come before this node has the identity of the epoch to which it is sealed, and the identity may come any
// time later, or never. Until then the entry is a link of its feed, and is noted under its epoch.

func closedKey(p *protocol.Parcel) []byte { return key(kClosed, p.Epoch, p.Feed, p.Seq) }

// Closed visits the entries that were sealed to an epoch and could not be opened, by feed and number, until fn returns false. fn
// gets the encoded envelope, which it may keep. Whoever can open one now hands it to [Store.Accept] again, which then makes a
// message of it.
func (s *Store) Closed(epoch protocol.Hash, fn func(raw []byte) bool) error {
	return s.view(func(t *tx) error {
		return t.scan(key(kClosed, epoch), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			k := item.Key()
			if len(k) != keyLengths[kClosed] {
				return true, nil
			}
			h, err := t.heldIn(hashAt(k, 33), numAt(k, 65))
			if err != nil || h.n != 0 {
				return true, nil // a hole, which comes again
			}
			return fn(h.raw), nil
		})
	})
}

// heldIn is held for a feed whose cipher is not at hand.
func (t *tx) heldIn(feed protocol.FeedID, seq uint64) (*held, error) {
	x, err := t.extent(feed)
	if err != nil {
		return nil, err
	}
	c, err := t.s.cipher(x.Tag)
	if err != nil {
		return nil, err
	}
	return t.held(feed, seq, c)
}

// opened makes a message of an entry that is held closed, if it was opened since. All others are known.
func (in *intake) opened(e *Entry, id protocol.Hash, here *held, c Cipher) (Outcome, error) {
	known := Outcome{Verdict: trust.Known, N: here.n}
	if here.n != 0 || e.StatementID.IsZero() || e.Parcel.Epoch.IsZero() || !in.has(closedKey(e.Parcel)) ||
		trust.Doubt(e.Node, e.Parcel.Feed, e.Parcel.Seq) != "" {
		return known, nil
	}
	if e.Link { // for programs
		return known, in.Delete(closedKey(e.Parcel))
	}
	if in.full != nil {
		return Outcome{Err: in.full}, nil
	}
	if err := in.s.room(in.c.Bytes + uint64(e.size())); err != nil {
		return Outcome{Err: err}, nil
	}
	n, err := in.keepMessage(e, id, c, false)
	if err != nil || n == 0 { // said elsewhere already
		return known, errors.Join(err, in.Delete(closedKey(e.Parcel)))
	}
	if err := in.dropLink(slot{e.Parcel.Feed, e.Parcel.Seq}, protocol.Hash{}, e.Parcel.Epoch); err != nil {
		return Outcome{}, err
	}
	return Outcome{Verdict: trust.Accept, N: n}, in.renumber(here, n, c)
}

// closed checks that an entry which is noted as closed is there, and is so.
func (ck *check) closed(k []byte) error {
	feed, seq := hashAt(k, 33), numAt(k, 65)
	h, err := ck.heldIn(feed, seq)
	if err == nil && h.n == 0 && h.parcel.Epoch == hashAt(k, 1) || err != nil && seq >= ck.firstOf(feed) {
		return nil
	}
	return ck.found("orphan", "a wait for an epoch without its entry", deleteKey(k))
}
