package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A Message is a statement as it arrived.
type Message struct {
	N          uint64        // arrival number
	ID         protocol.Hash // of the statement
	Parcel     protocol.Hash // id of the parcel it came in
	Feed       protocol.FeedID
	Seq        uint64
	Received   time.Time
	Via        string
	Tag        protocol.Hash       // of the channel it came in
	Statement  *protocol.Statement // in lists without Body.Inline and Content, see Query.Bodies
	Superseded protocol.Hash       // the newest correction of the same author; zero: none
	Complete   bool                // the body is held
	Held       string              // the rule that holds it back; empty: none does
}

// A Query selects messages. The zero value selects all.
type Query struct {
	Label  tlp.Label       // exactly this one; Unset: any
	From   protocol.TeamID // author; zero: any
	Since  time.Time       // received at or after; zero: any
	After  uint64          // N greater than this
	Limit  int             // at most so many; 0: all
	Newest bool            // the newest Limit ones instead of the oldest; Limit is then at most MaxPage, and 0 means MaxPage
	Bodies bool            // with Statement.Body.Inline and Content, which costs one more read each
	Tag    protocol.Hash   // of its channel; zero: any

	WithHeld bool // with what is held back
}

// MaxPage bounds the messages of a query with Newest, and of a search.
const MaxPage = 10_000

// messageRec is a message as it is stored, under its place. The inline body is only in the parcel, or in the statement
// envelope of a sealed one.
type messageRec struct {
	ID         protocol.Hash `cbor:"1,keyasint"`
	Parcel     protocol.Hash `cbor:"2,keyasint"`
	Received   uint64        `cbor:"3,keyasint"` // Unix milliseconds
	Via        string        `cbor:"4,keyasint,omitempty"`
	Statement  []byte        `cbor:"5,keyasint"` // encoded, without Body.Inline and Content
	Superseded protocol.Hash `cbor:"6,keyasint,omitzero"`
	Held       string        `cbor:"7,keyasint,omitempty"`
}

// A correction names a later statement of the same author, which replaces an earlier one.
type correction struct {
	ID     protocol.Hash   `cbor:"1,keyasint"`
	Author protocol.TeamID `cbor:"2,keyasint"`
	Clock  protocol.HLC    `cbor:"3,keyasint"`
}

// newer orders corrections: the latest counts, whatever the order of arrival.
func (c correction) newer(o correction) bool {
	return c.Clock > o.Clock || c.Clock == o.Clock && bytes.Compare(c.ID[:], o.ID[:]) > 0
}

// maxCorrections bounds the authors whose claims to correct one statement are kept. Only its author's counts, who is not
// known if the statement has yet to come.
const maxCorrections = 64

// keepMessage writes the message of an entry and returns its arrival number. heal says that the entry was held before; the
// message then keeps its number.
func (in *intake) keepMessage(e *Entry, parcel protocol.Hash, c Cipher, heal bool) (uint64, error) {
	old, err := in.place(e.StatementID)
	switch {
	case err == nil && (old.feed != e.Parcel.Feed || old.seq != e.Parcel.Seq):
		return 0, in.keepAlso(e, parcel) // said again in another parcel: one message
	case err == nil:
		heal = true
	case !errors.Is(err, ErrNotFound):
		return 0, err
	}
	pl := place{n: in.c.LastN + 1, aud: short(e.Tag), feed: e.Parcel.Feed, seq: e.Parcel.Seq}
	if err == nil {
		pl = old
	} else {
		pl.received = max(uint64(in.s.opt.Now().UnixMilli()), in.c.Received)
		in.c.LastN, in.c.Received = pl.n, pl.received
	}
	st := slim(e.Statement)
	header, err := protocol.Marshal(st)
	if err != nil {
		return 0, err
	}
	rec := &messageRec{ID: e.StatementID, Parcel: parcel, Received: pl.received, Via: e.Via, Statement: header, Held: e.Held}
	if rec.Superseded, err = in.corrected(e.StatementID, st.Author); err != nil {
		return 0, err
	}
	if err := in.putMessage(pl, rec, c); err != nil {
		return 0, err
	}
	if _, err := in.put(key(kID, e.StatementID), in.s.local, pl.encode()); err != nil {
		return 0, err
	}
	if e.Parcel.Sealed {
		if err := errors.Join(in.putInner(pl, e.Inner, c), in.keepInside(e, parcel)); err != nil {
			return 0, err
		}
	}
	if heal {
		if err := errors.Join(in.Set(key(kReindex, pl.n), nil), in.Delete(key(kHeld, pl.n))); err != nil {
			return 0, err
		}
	}
	if e.Held != "" { // a correction takes effect with its release
		if err := in.Set(key(kHeld, pl.n), nil); err != nil {
			return 0, err
		}
	} else if st.Kind == protocol.KindCorrection {
		if err := in.supersede(st.Supersedes, correction{ID: e.StatementID, Author: st.Author, Clock: st.Clock}); err != nil {
			return 0, err
		}
	}
	if out := st.Outside(); out != nil {
		return pl.n, in.want(blobOf(*out), e.Tag, pl.n)
	}
	return pl.n, nil
}

// putMessage writes a message in its place, over what was there.
func (t *tx) putMessage(pl place, rec *messageRec, c Cipher) error {
	b, err := protocol.Marshal(rec)
	if err != nil {
		return err
	}
	k := pl.key()
	if t.has(k) {
		t.c.sub(t.sizeOf(k))
	} else {
		t.c.Messages++
	}
	size, err := t.put(k, c, b)
	t.c.add(size)
	return err
}

// place finds the message of a statement.
func (t *tx) place(id protocol.Hash) (place, error) {
	b, err := t.read(key(kID, id), t.s.local)
	if err != nil {
		return place{}, err
	}
	pl, ok := decodePlace(b)
	if !ok {
		return place{}, errDamaged
	}
	return pl, nil
}

// corrections reads what claims to correct a statement.
func (t *tx) corrections(id protocol.Hash) []correction {
	var cs []correction
	if err := t.readRecord(key(kCorrect, id), t.s.local, &cs); err != nil {
		return nil
	}
	return cs
}

// corrected returns the newest correction of a statement by its author.
func (t *tx) corrected(id protocol.Hash, author protocol.TeamID) (protocol.Hash, error) {
	for _, c := range t.corrections(id) { // one for each author
		if c.Author == author {
			return c.ID, nil
		}
	}
	return protocol.Hash{}, nil
}

// supersede notes a correction, and marks what it corrects.
func (t *tx) supersede(id protocol.Hash, c correction) error {
	cs := t.corrections(id)
	i := slices.IndexFunc(cs, func(o correction) bool { return o.Author == c.Author })
	switch {
	case i >= 0 && !c.newer(cs[i]):
		return nil
	case i >= 0:
		cs[i] = c
	case len(cs) < maxCorrections:
		cs = append(cs, c)
	default:
		return nil
	}
	if err := t.putRecord(key(kCorrect, id), t.s.local, cs); err != nil {
		return err
	}
	pl, err := t.place(id)
	if err != nil {
		return nil // not there yet
	}
	rec, cipher, err := t.messageRec(pl)
	if err != nil {
		return nil
	}
	st, err := t.statement(rec)
	if err != nil || st.Author != c.Author {
		return nil
	}
	rec.Superseded = c.ID
	return t.putMessage(pl, rec, cipher)
}

func (t *tx) messageRec(pl place) (*messageRec, Cipher, error) {
	c, err := t.s.cipherOf(pl.aud)
	if err != nil {
		return nil, nil, err
	}
	var rec messageRec
	if err := t.readRecord(pl.key(), c, &rec); err != nil {
		return nil, nil, err
	}
	return &rec, c, nil
}

func (t *tx) statement(rec *messageRec) (*protocol.Statement, error) {
	var st protocol.Statement
	if err := t.decode(rec.Statement, &st); err != nil {
		return nil, err
	}
	return &st, nil
}

// message reads the message in a place, with its inline body if asked for. A body that cannot be read makes it incomplete.
func (t *tx) message(pl place, bodies bool) (*Message, error) {
	rec, c, err := t.messageRec(pl)
	if err != nil {
		return nil, err
	}
	return t.fill(pl, rec, c, bodies)
}

// messageAt is message for an item of a scan.
func (t *tx) messageAt(item *badger.Item, pl place, bodies bool) (*Message, error) {
	c, err := t.s.cipherOf(pl.aud)
	if err != nil {
		return nil, err
	}
	b, err := t.open(item, c)
	if err != nil {
		return nil, err
	}
	var rec messageRec
	if err := t.decode(b, &rec); err != nil {
		return nil, err
	}
	return t.fill(pl, &rec, c, bodies)
}

func (t *tx) fill(pl place, rec *messageRec, c Cipher, bodies bool) (*Message, error) {
	st, err := t.statement(rec)
	if err != nil {
		return nil, err
	}
	m := &Message{N: pl.n, ID: rec.ID, Parcel: rec.Parcel, Feed: pl.feed, Seq: pl.seq, Received: time.UnixMilli(int64(rec.Received)).UTC(),
		Via: rec.Via, Statement: st, Superseded: rec.Superseded, Complete: true, Tag: t.s.tagOf(pl.aud), Held: rec.Held}
	out := st.Outside()
	if out != nil {
		b := blobOf(*out)
		meta, err := t.blob(b)
		m.Complete = err == nil && meta.Complete
		if err != nil && len(t.lost) < 100 {
			t.lost = append(t.lost, b)
		}
	}
	if bodies && (out == nil || st.Label == tlp.Red) {
		env, whole, err := t.openStatement(pl, c)
		if err != nil || env.ID() != rec.ID {
			m.Complete = false
		} else {
			m.Statement = whole
		}
	}
	return m, nil
}

// Message returns the message of a statement, with its inline body. Complete says whether the body could be read.
func (s *Store) Message(id protocol.Hash) (*Message, error) {
	var m *Message
	var pl place
	read := func() error {
		return s.view(func(t *tx) (err error) {
			if pl, err = t.place(id); err != nil {
				return err
			}
			m, err = t.message(pl, true)
			return err
		})
	}
	err := read()
	if errors.Is(err, ErrNotFound) && pl.n != 0 {
		s.restore([]place{pl})
		err = read()
	}
	if err == nil && !m.Complete && m.Statement.Outside() == nil {
		s.heal(pl)
	}
	return m, err
}

// heal makes a hole of the entry of a message whose body cannot be read, so that it comes anew. What this node sealed itself
// would not: that stays as it is.
func (s *Store) heal(pl place) {
	_ = s.update(func(t *tx) error { // if it fails, the next reader tries again
		c, err := s.cipherOf(pl.aud)
		if err != nil {
			return err
		}
		h, err := t.held(pl.feed, pl.seq, c)
		if err != nil || !h.parcel.Sealed {
			return t.mend(pl.feed, []uint64{pl.seq}, false)
		}
		if _, _, err := t.openStatement(pl, c); err == nil || t.has(key(kInside, h.id)) {
			return nil
		}
		return t.mend(pl.feed, []uint64{pl.seq}, true)
	})
}

// restore makes damaged messages anew from their statements; where that is damaged too, it becomes a hole.
func (s *Store) restore(places []place) {
	for _, pl := range places {
		err := s.update(func(t *tx) error { return t.restore(pl) })
		if errors.Is(err, ErrNotFound) {
			_ = s.update(func(t *tx) error { return t.giveUp(pl) }) // if it fails, the next reader tries again
		}
	}
}

// giveUp makes a hole of the entry of a message that is lost. What this node sealed itself nobody can hand over again: its
// parcel stays, for its reader, and the message goes.
func (t *tx) giveUp(pl place) error {
	c, err := t.s.cipherOf(pl.aud)
	if err != nil {
		return err
	}
	h, err := t.held(pl.feed, pl.seq, c)
	if err != nil || !h.parcel.Sealed {
		return t.mend(pl.feed, []uint64{pl.seq}, true)
	}
	id, err := t.inside(h.id)
	if err != nil {
		return t.mend(pl.feed, []uint64{pl.seq}, true)
	}
	if err := t.deleteMessage(pl, &messageRec{ID: id, Parcel: h.id}, nil); err != nil {
		return err
	}
	return errors.Join(t.renumber(h, 0, c), t.Set(linkKey(pl.feed, pl.seq, pl.received), nil))
}

func (t *tx) restore(pl place) error {
	if _, _, err := t.messageRec(pl); err == nil {
		return nil // somebody was faster
	}
	return t.remake(pl)
}

// remake writes the message in a place anew from its statement. Who handed it over is forgotten, and the rule that held it back.
func (t *tx) remake(pl place) error {
	c, err := t.s.cipherOf(pl.aud)
	if err != nil {
		return err
	}
	h, err := t.held(pl.feed, pl.seq, c)
	if err != nil {
		return err
	}
	env, st, err := t.openStatement(pl, c)
	if err != nil {
		return err
	}
	id := env.ID()
	if known, err := t.place(id); err == nil && known.n != pl.n {
		return t.deleteMessage(pl, nil, nil) // a message has one place
	} else if err == nil {
		pl.received = known.received
	} else {
		pl.received = t.receivedBefore(pl)
	}
	header, err := protocol.Marshal(slim(st))
	if err != nil {
		return err
	}
	rec := &messageRec{ID: id, Parcel: h.id, Received: pl.received, Statement: header}
	if t.has(key(kHeld, pl.n)) {
		rec.Held = ruleLost
	}
	if rec.Superseded, err = t.corrected(id, st.Author); err != nil {
		return err
	}
	if err := t.putMessage(pl, rec, c); err != nil {
		return err
	}
	if _, err := t.put(key(kID, id), t.s.local, pl.encode()); err != nil {
		return err
	}
	return t.Set(key(kReindex, pl.n), nil)
}

// ruleLost is the rule of a message that is held back for a reason which was lost.
const ruleLost = "unknown"

// receivedBefore returns when the message before a place was received: the best word on one whose own time is lost.
func (t *tx) receivedBefore(pl place) uint64 {
	received := t.c.Received
	_ = t.scan([]byte{kMessage}, pl.key(), scanOptions{reverse: true}, func(item *badger.Item) (bool, error) {
		if p, ok := placeOf(item.Key()); ok && p.n < pl.n {
			if rec, _, err := t.messageRec(p); err == nil {
				received = rec.Received
				return false, nil
			}
		}
		return true, nil
	})
	return received
}

// displace removes the message of an entry that makes way for the true one.
func (in *intake) displace(h *held, tag protocol.Hash) error {
	if h.n == 0 {
		return in.dropLink(slot{h.parcel.Feed, h.parcel.Seq}, h.id, h.parcel.Epoch)
	}
	pl := place{n: h.n, aud: short(tag), feed: h.parcel.Feed, seq: h.parcel.Seq}
	rec, c, err := in.messageRec(pl)
	if err != nil && c == nil {
		if c, err = in.s.cipher(tag); err != nil {
			return err
		}
	}
	if rec == nil {
		if !in.has(pl.key()) {
			return nil
		}
		env, _, err := in.openStatement(pl, c)
		if err != nil {
			return in.deleteMessage(pl, nil, nil)
		}
		rec = &messageRec{ID: env.ID(), Parcel: h.id}
	}
	st, err := in.statement(rec)
	if err != nil {
		st = nil
	}
	if at, err := in.place(rec.ID); err == nil && at.n != pl.n {
		rec, st = nil, nil // a message has one place
	}
	return errors.Join(in.deleteMessage(pl, rec, st), in.Delete(key(kInside, h.id)))
}

// deleteMessage removes a message, and what leads to it; without rec, only what is under its number. Its postings go with the
// terms, see dropTerms.
func (t *tx) deleteMessage(pl place, rec *messageRec, st *protocol.Statement) error {
	if t.has(pl.key()) {
		t.c.sub(t.sizeOf(pl.key()))
		t.c.Messages -= min(t.c.Messages, 1)
	}
	t.c.sub(t.sizeOf(innerKey(pl)))
	keys := [][]byte{pl.key(), innerKey(pl), key(kReindex, pl.n), key(kHeld, pl.n)}
	if rec != nil {
		keys = append(keys, key(kID, rec.ID), key(kCorrect, rec.ID))
		others, err := t.also(rec.ID)
		if err != nil {
			return err
		}
		for _, o := range others {
			keys = append(keys, key(kAlso, rec.ID, o.feed, o.seq))
		}
		if err := t.scan(key(kReceipts, rec.ID), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			keys = append(keys, item.KeyCopy(nil))
			return true, nil
		}); err != nil {
			return err
		}
	}
	if st != nil {
		if out := st.Outside(); out != nil {
			keys = append(keys, blobOf(*out).ref(pl.n))
		}
	}
	for _, k := range keys {
		if err := t.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// FindID returns the only statement id that begins with the hexadecimal digits.
func (s *Store) FindID(prefix string) (protocol.Hash, error) {
	digits := strings.ToLower(prefix)
	low, err := hex.DecodeString(digits[:len(digits)/2*2])
	if err != nil || digits == "" || len(digits) > 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return protocol.Hash{}, fmt.Errorf("%.70q is not the beginning of an id: want 1 to 64 hexadecimal digits", prefix)
	}
	var found []protocol.Hash
	err = s.view(func(t *tx) error {
		return t.scan(append([]byte{kID}, low...), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if k := item.Key(); len(k) == keyLengths[kID] && strings.HasPrefix(hashAt(k, 1).String(), digits) {
				found = append(found, hashAt(k, 1))
			}
			return len(found) < 2, nil
		})
	})
	switch {
	case err != nil:
		return protocol.Hash{}, err
	case len(found) == 0:
		return protocol.Hash{}, ErrNotFound
	case len(found) > 1:
		return protocol.Hash{}, ErrAmbiguous
	}
	return found[0], nil
}

// LastN returns the newest arrival number.
func (s *Store) LastN() uint64 { return s.committed().LastN }

// OpenBody opens the body of a message, and returns its size. If it travelled sealed and apart, then that is the ciphertext,
// which Body.Key opens. ErrNotFound: it is not held, or not whole. What is sealed to persons inside the statement has no body.
func (s *Store) OpenBody(id protocol.Hash) (io.ReadSeekCloser, uint64, error) {
	m, err := s.Message(id)
	if err != nil {
		return nil, 0, err
	}
	if out := m.Statement.Outside(); out != nil {
		r, err := s.openBlob(blobOf(*out))
		if err != nil {
			err = fmt.Errorf("the body of the message: %w", err)
		}
		return r, out.Size, err
	}
	b := &m.Statement.Body
	if !m.Complete {
		return nil, b.Size, fmt.Errorf("the body of the message: %w", ErrNotFound)
	}
	return nopCloser{bytes.NewReader(b.Inline)}, b.Size, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
