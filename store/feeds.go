package store

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// An Entry is one verified parcel, ready to be kept. The caller has verified its signature, and that of the statement.
type Entry struct {
	Tag         protocol.Hash // of the feed's channel
	Envelope    *protocol.Envelope
	Raw         []byte // the encoded envelope; nil: Envelope is encoded
	Parcel      *protocol.Parcel
	StatementID protocol.Hash
	Statement   *protocol.Statement
	Node        trust.NodeInfo
	Via         string // who handed it over; empty: made by this node, which has no quota
	Inner       []byte // the encoded statement envelope that was sealed in the parcel; nil for the community
	Held        string // the rule that holds the message back: it is hidden until Release; empty: none does
	// Link keeps the parcel as a link of its feed only. No message comes of it: its statement is for programs, or could not be
	// opened. Statement and StatementID may then be absent. One of a room that could not be opened may come again, opened: then a
	// message comes of it, and the verdict is trust.Accept once more.
	Link bool
}

// An Outcome says what became of one entry.
type Outcome struct {
	Verdict trust.Verdict
	N       uint64              // arrival number of the message; 0 where there is none of the entry's own
	Proof   *protocol.ForkProof // set once for each slot, when its fork is first seen
	Err     error               // ErrQuota: refused for now, whatever the verdict
}

// An Extent is how far a feed is held.
type Extent struct {
	Feed   protocol.FeedID
	Node   protocol.KID
	Team   protocol.TeamID
	First  uint64        // all of [First, Next) is held
	Next   uint64        // the first that is not
	Head   protocol.Hash // id of Next-1; zero where that was never held
	Max    uint64        // the greatest that is held
	Forked bool          // the node said two things in one place
}

// A Span is a range of sequence numbers, both ends included.
type Span struct{ From, To uint64 }

// extentRec is an Extent as it is stored, under its feed.
type extentRec struct {
	Node   protocol.KID    `cbor:"1,keyasint"`
	Team   protocol.TeamID `cbor:"2,keyasint"`
	Tag    protocol.Hash   `cbor:"3,keyasint"` // of the audience; zero until the first entry came
	First  uint64          `cbor:"4,keyasint"`
	Next   uint64          `cbor:"5,keyasint"`
	Head   protocol.Hash   `cbor:"6,keyasint"`
	Max    uint64          `cbor:"7,keyasint"`
	Forked bool            `cbor:"8,keyasint,omitempty"`
	Anchor anchor          `cbor:"9,keyasint,omitzero"`
}

// An anchor is how far down the entries of a revoked node are known to be held and chained to its cut-off.
type anchor struct {
	Last protocol.Hash `cbor:"1,keyasint"` // of the cut-off
	Seq  uint64        `cbor:"2,keyasint"` // all from here to the cut-off's last; LastSeq+1: none
	Want protocol.Hash `cbor:"3,keyasint"` // id of the entry at Seq-1
}

func (x *extentRec) extent(feed protocol.FeedID) Extent {
	return Extent{Feed: feed, Node: x.Node, Team: x.Team, First: x.First, Next: x.Next, Head: x.Head, Max: x.Max, Forked: x.Forked}
}

func newExtent() *extentRec { return &extentRec{First: 1, Next: 1} }

// A held is an entry of a feed as the store has it.
type held struct {
	n      uint64
	id     protocol.Hash
	env    *protocol.Envelope
	parcel *protocol.Parcel
	raw    []byte
}

func (h *held) neighbour() trust.Neighbour {
	if h == nil {
		return trust.Neighbour{}
	}
	return trust.Neighbour{Held: true, ID: h.id, Prev: h.parcel.Prev}
}

// extent reads the extent of a feed; nil, ErrNotFound if it has none.
func (t *tx) extent(feed protocol.FeedID) (*extentRec, error) {
	var x extentRec
	if err := t.readRecord(key(kExtent, feed), t.s.local, &x); err != nil {
		return nil, err
	}
	return &x, nil
}

func (t *tx) putExtent(feed protocol.FeedID, x *extentRec) error {
	return t.putRecord(key(kExtent, feed), t.s.local, x)
}

// held reads an entry; ErrNotFound, errDamaged as read.
func (t *tx) held(feed protocol.FeedID, seq uint64, c Cipher) (*held, error) {
	b, err := t.read(parcelKey(feed, seq), c)
	if err != nil {
		return nil, err
	}
	return t.decodeHeld(b, feed, seq)
}

func (t *tx) decodeHeld(b []byte, feed protocol.FeedID, seq uint64) (*held, error) {
	if len(b) > 8 {
		h := &held{n: binary.BigEndian.Uint64(b), raw: b[8:]}
		var err error
		if h.env, err = protocol.DecodeEnvelope(h.raw, protocol.MaxParcel); err == nil {
			if h.parcel, err = protocol.Decode[protocol.Parcel](h.env); err == nil && h.parcel.Feed == feed && h.parcel.Seq == seq {
				h.id = h.env.ID()
				return h, nil
			}
		}
	}
	t.s.damaged.Add(1)
	return nil, errDamaged
}

// Extent returns how far the feed is held; false if nothing is known of it.
func (s *Store) Extent(feed protocol.FeedID) (Extent, bool, error) {
	x, err := s.extentOf(feed)
	if errors.Is(err, ErrNotFound) {
		return Extent{}, false, nil
	}
	if err != nil {
		return Extent{}, false, err
	}
	return x.extent(feed), true, nil
}

// extentOf reads an extent, and makes it anew where it was lost.
func (s *Store) extentOf(feed protocol.FeedID) (*extentRec, error) {
	var x *extentRec
	lost := false
	err := s.view(func(t *tx) (err error) {
		if x, err = t.extent(feed); errors.Is(err, ErrNotFound) {
			lost = t.anyParcel(feed)
		}
		return err
	})
	if !lost {
		return x, err
	}
	err = s.update(func(t *tx) error {
		var err error
		if x, err = t.rebuildExtent(feed); err != nil {
			return err
		}
		return t.putExtent(feed, x)
	})
	return x, err
}

func (t *tx) anyParcel(feed protocol.FeedID) bool { return t.any(key(kParcel, feed)) }

// any reports whether a key begins with prefix.
func (t *tx) any(prefix []byte) bool {
	found := false
	_ = t.scan(prefix, nil, scanOptions{}, func(*badger.Item) (bool, error) {
		found = true
		return false, nil
	})
	return found
}

// rebuildExtent makes the extent of a feed from the entries that are held. What the author dropped, and what was pruned, is
// forgotten: First is 1 until the author's heads are seen again.
func (t *tx) rebuildExtent(feed protocol.FeedID) (*extentRec, error) {
	x := newExtent()
	var seqs []uint64 // a sample to learn node and audience from
	err := t.scan(key(kParcel, feed), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
		if len(item.Key()) != keyLengths[kParcel] {
			return true, nil
		}
		x.Max = numAt(item.Key(), 33)
		if len(seqs) < 16 {
			seqs = append(seqs, x.Max)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, tag := range t.s.tags() {
		c, err := t.s.cipher(tag)
		if err != nil {
			continue
		}
		for _, seq := range seqs {
			if h, err := t.held(feed, seq, c); err == nil {
				x.Node, x.Team, x.Tag = h.parcel.Node, h.parcel.Team, tag
				return x, t.advance(feed, x, c)
			}
		}
	}
	return nil, ErrNotFound
}

// maxAdvance bounds the held entries that one transaction passes; the writer goes on later.
const maxAdvance = 2048

// advance moves Next over entries that are held and chained.
func (t *tx) advance(feed protocol.FeedID, x *extentRec, c Cipher) error {
	for range maxAdvance {
		h, err := t.held(feed, x.Next, c)
		if errors.Is(err, errDamaged) {
			return t.drop(feed, x.Next, x, c)
		}
		if err != nil {
			return nil
		}
		if !x.Head.IsZero() && h.parcel.Prev != x.Head {
			x.Forked = true
			return nil
		}
		x.Next, x.Head = x.Next+1, h.id
		x.Max = max(x.Max, x.Next-1)
	}
	t.s.later(feed)
	return nil
}

// drop removes the entry in a slot, which cannot be read, and corrects the extent: the slot is a hole now.
func (t *tx) drop(feed protocol.FeedID, seq uint64, x *extentRec, c Cipher) error {
	for {
		if err := t.dropParcel(slot{feed, seq}); err != nil {
			return err
		}
		if seq >= x.Anchor.Seq {
			x.Anchor = anchor{}
		}
		if seq >= x.First && seq < x.Next {
			x.Next, x.Head = seq, protocol.Hash{}
			if seq > x.First {
				h, err := t.held(feed, seq-1, c)
				if err != nil { // gone as well
					seq--
					continue
				}
				x.Head = h.id
			}
		}
		break
	}
	return t.lowerMax(feed, x)
}

// lowerMax sets Max to the greatest entry that is held.
func (t *tx) lowerMax(feed protocol.FeedID, x *extentRec) error {
	if x.Max < x.Next || t.has(parcelKey(feed, x.Max)) {
		x.Max = max(x.Max, x.Next-1)
		return nil
	}
	x.Max = x.Next - 1
	return t.scan(key(kParcel, feed), nil, scanOptions{reverse: true}, func(item *badger.Item) (bool, error) {
		if len(item.Key()) == keyLengths[kParcel] {
			x.Max = max(x.Max, numAt(item.Key(), 33))
		}
		return false, nil
	})
}

// mend makes holes of slots that cannot be read. With force the entry goes even if it can be: its message is damaged, and
// comes anew with it.
func (s *Store) mend(feed protocol.FeedID, seqs []uint64, force bool) {
	if len(seqs) == 0 {
		return
	}
	_ = s.update(func(t *tx) error { // if it fails, the next reader tries again
		return t.mend(feed, seqs, force)
	})
}

func (t *tx) mend(feed protocol.FeedID, seqs []uint64, force bool) error {
	x, err := t.extent(feed)
	if err != nil {
		if x, err = t.rebuildExtent(feed); err != nil {
			return err
		}
	}
	c, err := t.s.cipher(x.Tag)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if _, err := t.held(feed, seq, c); err == nil && !force {
			continue
		}
		if err := t.drop(feed, seq, x, c); err != nil {
			return err
		}
	}
	return t.putExtent(feed, x)
}

// Extents returns the extents of all feeds of which an entry was held.
func (s *Store) Extents() ([]Extent, error) {
	var out []Extent
	err := s.view(func(t *tx) error {
		return t.extents(func(feed protocol.FeedID, x *extentRec) error {
			if !x.Tag.IsZero() {
				out = append(out, x.extent(feed))
			}
			return nil
		})
	})
	return out, err
}

func (t *tx) extents(fn func(protocol.FeedID, *extentRec) error) error {
	return t.scan([]byte{kExtent}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
		b, err := t.open(item, t.s.local)
		var x extentRec
		if err != nil || t.decode(b, &x) != nil || len(item.Key()) != keyLengths[kExtent] {
			return true, nil // made anew when the feed is asked for
		}
		return true, fn(hashAt(item.Key(), 1), &x)
	})
}

// checkTails looks at the newest entries of every feed. A crash of the machine takes the newest values, while the keys stay.
func (s *Store) checkTails() error {
	type feedRec struct {
		feed protocol.FeedID
		x    *extentRec
	}
	var feeds []feedRec
	err := s.view(func(t *tx) error {
		return t.extents(func(feed protocol.FeedID, x *extentRec) error {
			feeds = append(feeds, feedRec{feed, x})
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, f := range feeds {
		c, err := s.cipher(f.x.Tag)
		if err != nil || f.x.Tag.IsZero() {
			continue
		}
		var bad []uint64
		err = s.view(func(t *tx) error {
			err := t.scan(key(kParcel, f.feed), nil, scanOptions{reverse: true}, func(item *badger.Item) (bool, error) {
				if len(item.Key()) != keyLengths[kParcel] {
					return true, nil
				}
				seq := numAt(item.Key(), 33)
				if seq < f.x.Next {
					return false, nil
				}
				if _, err := t.held(f.feed, seq, c); err == nil {
					return false, nil
				}
				bad = append(bad, seq)
				return true, nil
			})
			if err != nil {
				return err
			}
			for seq := f.x.Next - 1; seq >= f.x.First && seq > 0; seq-- {
				if _, err := t.held(f.feed, seq, c); err == nil {
					break
				}
				bad = append(bad, seq)
			}
			if t.has(parcelKey(f.feed, f.x.Next)) {
				s.later(f.feed)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for len(bad) > 0 { // the lowest last, in transactions of bounded size
			n := min(len(bad), 1000)
			if err := s.update(func(t *tx) error { return t.mend(f.feed, bad[:n], false) }); err != nil {
				return err
			}
			bad = bad[n:]
		}
	}
	return nil
}

// Missing returns the holes below Max, at most max of them: what to fetch, apart from what the author has beyond.
func (s *Store) Missing(feed protocol.FeedID, max int) ([]Span, error) {
	x, err := s.extentOf(feed)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Span
	next := x.Next
	err = s.view(func(t *tx) error {
		return t.scan(key(kParcel, feed), parcelKey(feed, next), scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kParcel] {
				return true, nil
			}
			seq := numAt(item.Key(), 33)
			if seq > next {
				out = append(out, Span{next, seq - 1})
			}
			next = seq + 1
			return len(out) < max, nil
		})
	})
	return out, err
}

// SetFirst notes that the author's feed begins at first: what is older is not waited for any more. The word is that of the
// author's signed heads. Entries that are held stay. It never goes back.
func (s *Store) SetFirst(feed protocol.FeedID, first uint64) error {
	if x, err := s.extentOf(feed); err == nil && first <= max(x.First, x.Next) || first <= 1 {
		return nil // nothing is missing before first
	}
	return s.update(func(t *tx) error {
		x, err := t.extent(feed)
		if errors.Is(err, ErrNotFound) {
			x = newExtent()
		} else if err != nil {
			return err
		}
		if first <= x.Next {
			return nil
		}
		x.First, x.Next, x.Head = first, first, protocol.Hash{}
		x.Max = max(x.Max, first-1)
		if !x.Tag.IsZero() {
			c, err := s.cipher(x.Tag)
			if err != nil {
				return err
			}
			if err := t.advance(feed, x, c); err != nil {
				return err
			}
		}
		return t.putExtent(feed, x)
	})
}

// Range visits the entries of a feed that are held, from one sequence number to another, both included; to 0 means to the
// end. reverse begins at the end. fn gets the encoded envelope, which it may keep, and returns whether to go on. What cannot
// be read is left out, and is a hole from then on.
func (s *Store) Range(feed protocol.FeedID, from, to uint64, reverse bool, fn func(seq uint64, raw []byte) bool) error {
	if to == 0 {
		to = math.MaxUint64
	}
	x, err := s.extentOf(feed)
	if errors.Is(err, ErrNotFound) || from > to {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := s.cipher(x.Tag)
	if err != nil {
		return err
	}
	var bad []uint64
	note := func(lo, hi uint64) { // [lo, hi) is not there; it is bad where it should be
		for seq := max(lo, x.First); seq < min(hi, x.Next) && len(bad) < 1000; seq++ {
			bad = append(bad, seq)
		}
	}
	start, expect := from, from
	if reverse {
		start, expect = to, min(to, max(x.Max, 1))
	}
	err = s.view(func(t *tx) error {
		ended := true
		err := t.scan(key(kParcel, feed), parcelKey(feed, start), scanOptions{values: true, reverse: reverse}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kParcel] {
				return true, nil
			}
			seq := numAt(item.Key(), 33)
			if seq > to || seq < from {
				return false, nil
			}
			if reverse {
				note(seq+1, expect+1)
				expect = seq - 1
			} else {
				note(expect, seq)
				expect = seq + 1
			}
			b, err := t.open(item, c)
			var h *held
			if err == nil {
				h, err = t.decodeHeld(b, feed, seq)
			}
			if err != nil {
				if len(bad) < 1000 {
					bad = append(bad, seq)
				}
				return true, nil
			}
			ended = fn(seq, h.raw)
			return ended, nil
		})
		switch {
		case err != nil || !ended:
		case reverse:
			note(from, expect+1)
		case to == math.MaxUint64:
			note(expect, x.Next)
		default:
			note(expect, to+1)
		}
		return err
	})
	s.mend(feed, bad, false)
	return err
}
