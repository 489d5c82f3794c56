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
	Statement  *protocol.Statement // in lists without Body.Inline, see Query.Bodies
	Superseded protocol.Hash       // the newest correction of the same author; zero: none
	Complete   bool                // the body is held
}

// A Query selects messages. The zero value selects all.
type Query struct {
	Label  tlp.Label       // exactly this one; Unset: any
	From   protocol.TeamID // author; zero: any
	Since  time.Time       // received at or after; zero: any
	After  uint64          // N greater than this
	Limit  int             // at most so many; 0: all
	Newest bool            // the newest Limit ones instead of the oldest; Limit is then at most MaxPage, and 0 means MaxPage
	Bodies bool            // with Statement.Body.Inline, which costs one more read each
}

// MaxPage bounds the messages of a query with Newest, and of a search.
const MaxPage = 10_000

// messageRec is a message as it is stored, under its place. The inline body is in the parcel only.
type messageRec struct {
	ID         protocol.Hash `cbor:"1,keyasint"`
	Parcel     protocol.Hash `cbor:"2,keyasint"`
	Received   uint64        `cbor:"3,keyasint"` // Unix milliseconds
	Via        string        `cbor:"4,keyasint,omitempty"`
	Statement  []byte        `cbor:"5,keyasint"` // encoded, without Body.Inline
	Superseded protocol.Hash `cbor:"6,keyasint,omitzero"`
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
		return 0, nil // said again in another parcel: one message
	case err == nil:
		heal = true
	case !errors.Is(err, ErrNotFound):
		return 0, err
	}
	pl := place{n: in.c.LastN + 1, aud: short(e.Statement.Audience.Tag()), feed: e.Parcel.Feed, seq: e.Parcel.Seq}
	if err == nil {
		pl = old
	} else {
		pl.received = max(uint64(in.s.opt.Now().UnixMilli()), in.c.Received)
		in.c.LastN, in.c.Received = pl.n, pl.received
	}
	st := *e.Statement
	st.Body.Inline = nil
	header, err := protocol.Marshal(&st)
	if err != nil {
		return 0, err
	}
	rec := &messageRec{ID: e.StatementID, Parcel: parcel, Received: pl.received, Via: e.Via, Statement: header}
	if rec.Superseded, err = in.corrected(e.StatementID, st.Author); err != nil {
		return 0, err
	}
	if err := in.putMessage(pl, rec, c); err != nil {
		return 0, err
	}
	if _, err := in.put(key(kID, e.StatementID), in.s.local, pl.encode()); err != nil {
		return 0, err
	}
	if heal {
		if err := in.Set(key(kReindex, pl.n), nil); err != nil {
			return 0, err
		}
	}
	if st.Kind == protocol.KindCorrection {
		if err := in.supersede(st.Supersedes, correction{ID: e.StatementID, Author: st.Author, Clock: st.Clock}); err != nil {
			return 0, err
		}
	}
	if st.Body.External() {
		return pl.n, in.want(blobKey{st.Body.Hash, st.Body.Size}, st.Audience.Tag(), pl.n)
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
		Via: rec.Via, Statement: st, Superseded: rec.Superseded, Complete: true}
	switch {
	case st.Body.External():
		b := blobKey{st.Body.Hash, st.Body.Size}
		meta, err := t.blob(b)
		m.Complete = err == nil && meta.Complete
		if err != nil && len(t.lost) < 100 {
			t.lost = append(t.lost, b)
		}
	case bodies:
		st.Body.Inline, err = t.inline(pl, rec.ID, c)
		m.Complete = err == nil
	}
	return m, nil
}

// inline reads the body of a message out of its parcel.
func (t *tx) inline(pl place, id protocol.Hash, c Cipher) ([]byte, error) {
	h, err := t.held(pl.feed, pl.seq, c)
	if err != nil {
		return nil, errDamaged
	}
	got, st, err := openParcel(h.parcel)
	if err != nil || got != id {
		return nil, errDamaged
	}
	return st.Body.Inline, nil
}

// openParcel reads the statement in a parcel that was verified before it was stored.
func openParcel(p *protocol.Parcel) (protocol.Hash, *protocol.Statement, error) {
	env, err := protocol.DecodeEnvelope(p.Body, protocol.MaxParcel)
	if err != nil {
		return protocol.Hash{}, nil, err
	}
	st, err := protocol.Decode[protocol.Statement](env)
	return env.ID(), st, err
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
	if err == nil && !m.Complete && !m.Statement.Body.External() {
		s.mend(pl.feed, []uint64{pl.seq}, false)
	}
	return m, err
}

// restore makes damaged messages anew from their parcels; where that is damaged too, it becomes a hole.
func (s *Store) restore(places []place) {
	for _, pl := range places {
		err := s.update(func(t *tx) error { return t.restore(pl) })
		if errors.Is(err, ErrNotFound) {
			s.mend(pl.feed, []uint64{pl.seq}, true)
		}
	}
}

func (t *tx) restore(pl place) error {
	if _, _, err := t.messageRec(pl); err == nil {
		return nil // somebody was faster
	}
	return t.remake(pl)
}

// remake writes the message in a place anew from its parcel.
func (t *tx) remake(pl place) error {
	c, err := t.s.cipherOf(pl.aud)
	if err != nil {
		return err
	}
	h, err := t.held(pl.feed, pl.seq, c)
	if err != nil {
		return err
	}
	id, st, err := openParcel(h.parcel)
	if err != nil {
		return errDamaged
	}
	if known, err := t.place(id); err == nil && known.n != pl.n {
		return t.deleteMessage(pl, protocol.Hash{}, nil) // a message has one place
	} else if err == nil {
		pl.received = known.received
	} else {
		pl.received = t.receivedBefore(pl)
	}
	st.Body.Inline = nil
	header, err := protocol.Marshal(st)
	if err != nil {
		return err
	}
	rec := &messageRec{ID: id, Parcel: h.id, Received: pl.received, Statement: header}
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
func (in *intake) displace(h *held, c Cipher) error {
	id, st, err := openParcel(h.parcel)
	if err != nil {
		return nil
	}
	pl, err := in.place(id)
	if err != nil || pl.feed != h.parcel.Feed || pl.seq != h.parcel.Seq {
		return nil
	}
	return in.deleteMessage(pl, id, st)
}

// deleteMessage removes a message, and what leads to it. Its postings go with the terms, see dropTerms.
func (t *tx) deleteMessage(pl place, id protocol.Hash, st *protocol.Statement) error {
	if t.has(pl.key()) {
		t.c.sub(t.sizeOf(pl.key()))
		t.c.Messages -= min(t.c.Messages, 1)
	}
	keys := [][]byte{pl.key(), key(kReindex, pl.n)}
	if !id.IsZero() {
		keys = append(keys, key(kID, id), key(kCorrect, id))
	}
	if st != nil && st.Body.External() {
		keys = append(keys, blobKey{st.Body.Hash, st.Body.Size}.ref(pl.n))
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

// OpenBody opens the body of a message, and returns its size. ErrNotFound: it is not held, or not whole.
func (s *Store) OpenBody(id protocol.Hash) (io.ReadSeekCloser, uint64, error) {
	m, err := s.Message(id)
	if err != nil {
		return nil, 0, err
	}
	b := &m.Statement.Body
	if !m.Complete {
		return nil, b.Size, fmt.Errorf("the body of the message: %w", ErrNotFound)
	}
	if !b.External() {
		return nopCloser{bytes.NewReader(b.Inline)}, b.Size, nil
	}
	r, err := s.openBlob(blobKey{b.Hash, b.Size})
	return r, b.Size, err
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
