package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// parcel checks an entry of a feed. Entries come in the order of their feeds and numbers.
func (ck *check) parcel(item *badger.Item, k []byte) error {
	ck.parcels++
	feed, seq := hashAt(k, 1), numAt(k, 33)
	if ck.x == nil || feed != ck.feed {
		if err := ck.endFeed(); err != nil {
			return err
		}
		if err := ck.beginFeed(feed); err != nil {
			return err
		}
	}
	where := fmt.Sprintf("entry %d of feed %s", seq, feed)
	hole := func(t *tx) error { return t.mend(feed, []uint64{seq}, false) }
	if ck.aud == nil {
		return ck.found("damaged", where+": its audience is not known", func(t *tx) error {
			t.c.Parcels -= min(t.c.Parcels, 1)
			return t.Delete(k)
		})
	}
	b, err := ck.open(item, ck.aud)
	var h *held
	if err == nil {
		h, err = ck.decodeHeld(b, feed, seq)
	}
	if err != nil {
		ck.prev = nil
		if seq == ck.next {
			ck.next++ // found once
		}
		return ck.found("damaged", where, hole)
	}
	ck.rep.Parcels++
	pl := place{n: h.n, aud: short(ck.x.Tag), feed: feed, seq: seq}
	if err := ck.signed(h, pl); err != nil {
		ck.prev = nil
		if seq == ck.next {
			ck.next++
		}
		tag := ck.x.Tag
		return ck.found("signature", where, func(t *tx) error { return errors.Join(t.forget(h, tag), t.mend(feed, []uint64{seq}, true)) })
	}
	if ck.prev != nil && ck.prev.parcel.Seq == seq-1 && ck.prev.id != h.parcel.Prev {
		if err := ck.found("chain", where, nil); err != nil { // a revoked node's, or a fork: both stay, as evidence
			return err
		}
	}
	ck.prev = h
	if seq == ck.next {
		ck.next++
	}
	if h.n == 0 {
		return nil
	}
	if !ck.has(pl.key()) {
		return ck.found("message", where+" has lost its message", ck.restoreOrGiveUp(pl))
	}
	return nil
}

// restoreOrGiveUp makes a message anew, or gives it up.
func (ck *check) restoreOrGiveUp(pl place) func(t *tx) error {
	return func(t *tx) error {
		err := t.restore(pl)
		if errors.Is(err, ErrNotFound) {
			err = t.giveUp(pl)
		}
		return err
	}
}

// signed checks the signatures of an entry and of its statement. That of a sealed statement which is not held, or damaged, is
// left to other checks: nobody but its reader can open it.
func (ck *check) signed(h *held, pl place) error {
	if ck.opt.Lookup == nil {
		return nil
	}
	pub, ok := ck.opt.Lookup(h.parcel.Node)
	if !ok {
		ck.rep.Unverified++
		return nil
	}
	if err := h.env.VerifyNode(pub); err != nil {
		return err
	}
	if pl.aud == short(communityTag) {
		_, _, err := h.parcel.OpenCommunity(pub)
		return err
	}
	if !h.parcel.Sealed {
		return errors.New("a parcel that is not sealed")
	}
	if h.n == 0 {
		return nil
	}
	env, st, err := ck.openStatement(pl, ck.aud)
	if err != nil {
		return nil
	}
	c, _ := channelOf(st, ck.x.Tag) // of another channel: OpenSealed refuses it
	_, _, err = h.parcel.OpenSealed(pub, env.Encode(), c)
	return err
}

// forget removes the message of an entry that was never said.
func (t *tx) forget(h *held, tag protocol.Hash) error {
	in := &intake{tx: t}
	return in.displace(h, tag)
}

func (ck *check) beginFeed(feed protocol.FeedID) error {
	ck.feed, ck.prev, ck.aud = feed, nil, nil
	x, err := ck.extent(feed)
	if err != nil {
		err := ck.found("extent", "feed "+feed.String()+" has no extent", func(t *tx) error {
			x, err := t.rebuildExtent(feed)
			if err != nil {
				return err
			}
			return t.putExtent(feed, x)
		})
		if err != nil {
			return err
		}
		if x, err = ck.rebuildExtent(feed); err != nil {
			ck.x = newExtent()
			return nil
		}
	}
	ck.x, ck.next = x, x.First
	if c, err := ck.s.cipher(x.Tag); err == nil {
		ck.aud = c
	}
	return nil
}

// endFeed compares the extent of the feed with the entries that were seen.
func (ck *check) endFeed() error {
	if ck.x == nil {
		return nil
	}
	feed, x := ck.feed, ck.x
	ck.x = nil
	if ck.next >= x.Next {
		return nil
	}
	first := ck.next
	return ck.found("extent", fmt.Sprintf("feed %s lacks entry %d", feed, first), func(t *tx) error {
		return t.mend(feed, []uint64{first}, false)
	})
}

// message checks a message against its entry.
func (ck *check) message(item *badger.Item, k []byte) error {
	ck.messages++
	pl, _ := placeOf(k)
	where := fmt.Sprintf("message %d", pl.n)
	restore := ck.restoreOrGiveUp(pl)
	anew := func(t *tx) error { return t.remake(pl) }
	gone := func(t *tx) error { return t.deleteMessage(pl, nil, nil) }
	c, err := ck.s.cipherOf(pl.aud)
	if err != nil {
		return ck.found("damaged", where+": its audience is not known", gone)
	}
	m, err := ck.messageAt(item, pl, false)
	if err != nil {
		if _, herr := ck.held(pl.feed, pl.seq, c); herr != nil {
			if pl.seq < ck.firstOf(pl.feed) {
				return ck.found("damaged", where+", which will not come again", gone)
			}
			return ck.found("damaged", where, func(t *tx) error { return t.mend(pl.feed, []uint64{pl.seq}, false) })
		}
		return ck.found("damaged", where, restore)
	}
	ck.rep.Messages++
	if at, err := ck.place(m.ID); err != nil {
		return ck.found("message", where+" is not found by its id", func(t *tx) error {
			pl.received = uint64(m.Received.UnixMilli())
			_, err := t.put(key(kID, m.ID), t.s.local, pl.encode())
			return err
		})
	} else if at.n != pl.n {
		return ck.found("message", where+" is there twice", gone)
	}
	rec, _, err := ck.messageRec(pl)
	if err != nil {
		return nil // it changed meanwhile
	}
	if h, err := ck.held(pl.feed, pl.seq, c); err == nil { // otherwise it is a hole, and comes again
		env, st, err := ck.openStatement(pl, c)
		switch {
		case err != nil && h.parcel.Sealed && ck.has(key(kInside, h.id)):
			return ck.found("message", where+" has lost its body, which was sealed here", nil)
		case err != nil && h.parcel.Sealed:
			return ck.found("damaged", where+" has lost its body", func(t *tx) error { return t.mend(pl.feed, []uint64{pl.seq}, true) })
		case err != nil || env.ID() != m.ID || !sameHeader(st, m):
			return ck.found("message", where+" is not what its entry says", anew)
		case !labelHolds(st):
			return ck.found("label", where+" has a label that its audience does not allow", nil)
		}
	} else if pl.seq < ck.firstOf(pl.feed) {
		return ck.found("orphan", where+" was pruned", func(t *tx) error { return t.deleteMessage(pl, rec, m.Statement) })
	}
	if held := ck.has(key(kHeld, pl.n)); held != (m.Held != "") {
		return ck.found("held", where+" is held back, and not listed so, or the reverse", func(t *tx) error {
			if held {
				return t.Delete(key(kHeld, pl.n))
			}
			return t.Set(key(kHeld, pl.n), nil)
		})
	}
	if m.Held == "" && pl.n <= ck.tx.c.Indexed && !ck.has(termsKey(pl, 0)) && !ck.has(key(kReindex, pl.n)) {
		return ck.found("index", where+" is not indexed", func(t *tx) error { return t.Set(key(kReindex, pl.n), nil) })
	}
	if out := m.Statement.Outside(); out != nil {
		b := blobOf(*out)
		if meta, err := ck.blob(b); err != nil || !ck.has(b.ref(pl.n)) || !meta.Complete && !ck.has(b.wanted()) {
			return ck.found("blob", where+" has lost its blob", func(t *tx) error { return t.want(b, m.Tag, pl.n) })
		}
	}
	return nil
}

// inner checks that a statement envelope has its message. What it says is compared with that.
func (ck *check) inner(k []byte) error {
	if pl, err := ck.placeN(numAt(k, 1)); err == nil && bytes.Equal(innerKey(pl), k) {
		return nil
	}
	return ck.found("orphan", "a sealed statement without its message", func(t *tx) error {
		t.c.sub(t.sizeOf(k))
		return t.Delete(k)
	})
}

// side checks a key that leads from one thing to another.
func (ck *check) side(k []byte) error {
	switch k[0] {
	case kHeld:
		if pl, err := ck.placeN(numAt(k, 1)); err != nil || pl.n != numAt(k, 1) {
			return ck.found("orphan", "a message held back that is not there", deleteKey(k))
		}
	case kLink:
		if !ck.has(parcelKey(hashAt(k, 1), numAt(k, 33))) && numAt(k, 33) < ck.firstOf(hashAt(k, 1)) {
			return ck.found("orphan", "the time of an entry that was pruned", deleteKey(k))
		}
	}
	return nil
}

func sameHeader(st *protocol.Statement, m *Message) bool {
	st = slim(st)
	a, err1 := protocol.Marshal(st)
	b, err2 := protocol.Marshal(m.Statement)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

func (ck *check) firstOf(feed protocol.FeedID) uint64 {
	x, err := ck.extent(feed)
	if err != nil {
		return 1
	}
	return x.First
}

// terms checks that the postings of a message are there.
func (ck *check) terms(item *badger.Item, k []byte) error {
	n := numAt(k, 1)
	pl, err := ck.placeN(n)
	if err != nil {
		return ck.found("orphan", "terms without their message", deleteKey(k))
	}
	again := func(t *tx) error { return errors.Join(t.Delete(k), t.Set(key(kReindex, n), nil)) }
	c, err := ck.s.cipherOf(shortTag(k[9:17]))
	if err != nil {
		return ck.found("damaged", fmt.Sprintf("terms of message %d: their audience is not known", n), again)
	}
	list, err := ck.open(item, c)
	if err != nil || len(list)%16 != 0 {
		return ck.found("damaged", fmt.Sprintf("terms of message %d", n), again)
	}
	for ; len(list) > 0; list = list[16:] {
		if !ck.has(postingKey(pl, [16]byte(list))) {
			return ck.found("index", fmt.Sprintf("message %d has lost a posting", n), again)
		}
	}
	return nil
}

// chunk checks a chunk of a blob that is not complete; those of complete ones are read with their blob.
func (ck *check) chunk(item *badger.Item, k []byte) error {
	b := blobAt(k)
	m, err := ck.blob(b)
	if err != nil || uint64(numIndex(k))*ChunkSize >= m.Have {
		return ck.found("orphan", "a chunk without its blob", func(t *tx) error {
			t.c.sub(t.sizeOf(k))
			return t.Delete(k)
		})
	}
	if m.Complete {
		return nil
	}
	c, err := ck.s.cipher(m.Tag)
	if err == nil {
		_, err = ck.open(item, c)
	}
	if err == nil {
		return nil
	}
	return ck.found("damaged", "a chunk of blob "+b.hash.String(), func(t *tx) error { return t.rebuildBlob(b) })
}

// numIndex returns the index of a chunk.
func numIndex(k []byte) uint32 { return binary.BigEndian.Uint32(k[41:45]) }

// checkBlob reads a blob that is complete, and compares its hash.
func (ck *check) checkBlob(b blobKey, m *blobMeta) error {
	ck.rep.Blobs++
	if !m.Complete {
		return nil
	}
	got, err := ck.s.hashBlob(b, m.Tag)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err != nil || got.sum != b.hash {
		return errDamaged
	}
	return nil
}

// rebuildBlob begins a blob anew. Chunks are overwritten as they come.
func (t *tx) rebuildBlob(b blobKey) error {
	var refs []uint64
	if err := t.refs(b, func(n uint64) bool { refs = append(refs, n); return len(refs) < 100 }); err != nil {
		return err
	}
	if len(refs) == 0 {
		return t.Delete(b.meta())
	}
	pl, err := t.placeN(refs[0])
	for _, n := range refs[1:] {
		if err == nil {
			break
		}
		pl, err = t.placeN(n)
	}
	if err != nil {
		return err
	}
	t.s.audMu.Lock()
	tag := t.s.audiences[pl.aud]
	t.s.audMu.Unlock()
	if err := t.putBlob(b, &blobMeta{Tag: tag, Made: uint64(t.s.opt.Now().Unix())}); err != nil {
		return err
	}
	return t.Set(b.wanted(), nil)
}
