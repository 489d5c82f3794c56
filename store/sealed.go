package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// communityTag is the tag of the one channel whose parcels are not sealed.
var communityTag = protocol.Channel{}.Tag()

// check refuses an entry whose parts do not belong together.
func (e *Entry) check() error {
	p := e.Parcel
	switch {
	case p == nil || e.Envelope == nil || e.Tag.IsZero():
		return errors.New("an entry without envelope, parcel or channel")
	case p.Sealed != (e.Tag != communityTag):
		return errors.New("an entry that is sealed and the community's, or neither")
	case len(e.Raw) > protocol.MaxParcel || len(e.Inner) > protocol.MaxStatement:
		return fmt.Errorf("a parcel of %d bytes, or its statement of %d: at most %d and %d", len(e.Raw), len(e.Inner), protocol.MaxParcel, protocol.MaxStatement)
	case e.Tag == communityTag && p.Feed != protocol.FeedOf(p.Node, protocol.Channel{}):
		return errors.New("an entry of another feed than its channel's")
	case e.Link:
		return nil
	case e.Statement == nil || e.StatementID.IsZero():
		return errors.New("an entry without its statement")
	case p.Sealed != (len(e.Inner) > 0):
		return errors.New("an entry that is sealed and not opened, or the reverse")
	}
	c, ok := channelOf(e.Statement, e.Tag)
	if !ok || p.Feed != protocol.FeedOf(p.Node, c) {
		return errors.New("an entry of another feed than its statement's audience")
	}
	return nil
}

// channelOf returns the channel of the tag that carries the statement.
func channelOf(st *protocol.Statement, tag protocol.Hash) (protocol.Channel, bool) {
	if c := (protocol.Channel{}); tag == communityTag {
		return c, c.Carries(st.Author, st.Audience)
	}
	if c := protocol.RoomChannel(st.Audience.Room); tag == c.Tag() {
		return c, c.Carries(st.Author, st.Audience)
	}
	if c := protocol.RoomChannel(st.Audience.Room); st.Audience.Kind == protocol.InRoom {
		return c, c.Tag() == tag && c.Carries(st.Author, st.Audience)
	}
	for _, team := range st.Audience.Teams {
		if c := protocol.Between(st.Author, team, st.Audience.Agreement); c.Tag() == tag {
			return c, c.Carries(st.Author, st.Audience)
		}
	}
	return protocol.Channel{}, false
}

// slim returns what of a statement is in lists: all but the body inside it, and what is sealed to persons.
func slim(st *protocol.Statement) *protocol.Statement {
	s := *st
	s.Body.Inline, s.Content = nil, nil
	return &s
}

// A slot is a place in a feed.
type slot struct {
	feed protocol.FeedID
	seq  uint64
}

func innerKey(pl place) []byte { return key(kInner, pl.n, pl.aud) }

// putInner writes the statement envelope of a sealed message.
func (t *tx) putInner(pl place, inner []byte, c Cipher) error {
	k := innerKey(pl)
	t.c.sub(t.sizeOf(k))
	size, err := t.put(k, c, inner)
	t.c.add(size)
	return err
}

// open reads the statement of the message in a place: from its own envelope if it came sealed, and otherwise from its parcel.
func (t *tx) openStatement(pl place, c Cipher) (*protocol.Envelope, *protocol.Statement, error) {
	var raw []byte
	if pl.aud != short(communityTag) {
		var err error
		if raw, err = t.read(innerKey(pl), c); err != nil {
			return nil, nil, err
		}
	} else {
		h, err := t.held(pl.feed, pl.seq, c)
		if err != nil {
			return nil, nil, err
		}
		raw = h.parcel.Body
	}
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxStatement)
	if err != nil {
		return nil, nil, errDamaged
	}
	st, err := protocol.Decode[protocol.Statement](env)
	if err != nil {
		return nil, nil, errDamaged
	}
	return env, st, nil
}

// Envelope returns the encoded statement envelope of a message, as its author signed it: to seal it again, or as a proof.
func (s *Store) Envelope(id protocol.Hash) ([]byte, error) {
	var raw []byte
	err := s.view(func(t *tx) error {
		pl, err := t.place(id)
		if err != nil {
			return err
		}
		c, err := s.cipherOf(pl.aud)
		if err != nil {
			return err
		}
		env, _, err := t.openStatement(pl, c)
		if err != nil {
			return err
		}
		if env.ID() != id {
			return errDamaged
		}
		raw = env.Encode()
		return nil
	})
	return raw, err
}

// StatementOf returns the id of the statement in a sealed parcel that this node made; ErrNotFound for any other parcel.
func (s *Store) StatementOf(parcel protocol.Hash) (protocol.Hash, error) {
	var id protocol.Hash
	err := s.view(func(t *tx) (err error) {
		id, err = t.inside(parcel)
		return err
	})
	return id, err
}

// inside returns the statement in a sealed parcel of this node. It is known as long as the parcel is kept, or comes back.
func (t *tx) inside(parcel protocol.Hash) (protocol.Hash, error) {
	b, err := t.read(key(kInside, parcel), t.s.local)
	if err != nil {
		return protocol.Hash{}, err
	}
	id, _, ok := decodeInside(b)
	if !ok {
		return protocol.Hash{}, errDamaged
	}
	return id, nil
}

func decodeInside(b []byte) (id protocol.Hash, at slot, ok bool) {
	if len(b) != 72 {
		return id, at, false
	}
	return hashAt(b, 0), slot{hashAt(b, 32), numAt(b, 64)}, true
}

// A sibling is another parcel of a statement that has its message elsewhere.
type sibling struct {
	slot
	parcel protocol.Hash
}

// also returns the siblings of a message of this node, at most maxAlso.
func (t *tx) also(id protocol.Hash) ([]sibling, error) {
	var out []sibling
	err := t.scan(key(kAlso, id), nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
		if k := item.Key(); len(k) == keyLengths[kAlso] {
			b, err := t.open(item, t.s.local)
			if err == nil && len(b) == 32 {
				out = append(out, sibling{slot{hashAt(k, 33), numAt(k, 65)}, protocol.Hash(b)})
			}
		}
		return len(out) < maxAlso, nil
	})
	return out, err
}

// keepAlso notes that an entry says again what is a message already.
func (in *intake) keepAlso(e *Entry, parcel protocol.Hash) error {
	if e.Via != "" || !e.Parcel.Sealed {
		return nil
	}
	_, err := in.put(key(kAlso, e.StatementID, e.Parcel.Feed, e.Parcel.Seq), in.s.local, parcel[:])
	return errors.Join(err, in.keepInside(e, parcel))
}

// keepInside notes which statement is in a sealed parcel of this node.
func (in *intake) keepInside(e *Entry, parcel protocol.Hash) error {
	if e.Via != "" {
		return nil
	}
	_, err := in.put(key(kInside, parcel), in.s.local, key(0, e.StatementID, e.Parcel.Feed, e.Parcel.Seq)[1:])
	return err
}

// maxAlso bounds the siblings that are looked at: a statement may be sealed again many times.
const maxAlso = 1000

// tagsOf returns the channels that a message is in.
func (t *tx) tagsOf(pl place, id protocol.Hash) []protocol.Hash {
	tags := []protocol.Hash{t.s.tagOf(pl.aud)}
	others, err := t.also(id)
	if err != nil {
		return tags
	}
	for _, o := range others {
		if x, err := t.extent(o.feed); err == nil && !x.Tag.IsZero() && !slices.Contains(tags, x.Tag) {
			tags = append(tags, x.Tag)
		}
	}
	return tags
}
