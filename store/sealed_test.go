package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

func lookupAll(authors ...*author) func(protocol.KID) (protocol.PublicKey, bool) {
	return func(kid protocol.KID) (protocol.PublicKey, bool) {
		for _, a := range authors {
			if k, ok := a.lookup(kid); ok {
				return k, true
			}
		}
		return protocol.PublicKey{}, false
	}
}

// back returns own entries as a peer hands them over that holds the ciphertext only.
func back(es ...Entry) []Entry {
	es = slices.Clone(es)
	for i := range es {
		es[i].Statement, es[i].StatementID, es[i].Inner, es[i].Link, es[i].Via = nil, protocol.Hash{}, nil, true, "peer"
	}
	return es
}

// toAll signs one statement of this node, and a parcel of it in each of the feeds.
func toAll(st *protocol.Statement, feeds ...*author) []Entry {
	var teams []protocol.TeamID
	for _, f := range feeds {
		teams = append(teams, f.ch.Other(f.team))
	}
	st.Audience = audienceOf(feeds[0].ch.Agreement(), teams...)
	var out []Entry
	for _, f := range feeds {
		out = append(out, f.entry(st))
	}
	return own(out...)
}

// A sealedFill is what fillSealed put into a store.
type sealedFill struct {
	me, b       *author // a node of ours, and one of another team that writes to us
	toDE, toPL  *author // feeds of ours
	ours, their []Entry // one statement to two teams; a message, one held back, a link
	again       []Entry // as peers would hand all of it over
}

func fillSealed(t *testing.T, s *Store) *sealedFill {
	t.Helper()
	me, b := newAuthor(t, "me"), newAuthor(t, "de").to("me", protocol.Hash{})
	f := &sealedFill{me: me, b: b, toDE: me.to("de", protocol.Hash{}), toPL: me.to("pl", protocol.Hash{})}
	f.ours = toAll(f.toDE.statement("to two", "the body"), f.toDE, f.toPL)
	held := b.entry(b.statement("held back", "x"))
	held.Held = "over-ceiling"
	link := back(b.entry(b.statement("a link", "y")))
	f.their = append([]Entry{held}, append(link, b.entry(b.statement("received", "z")))...)
	mustAccept(t, s, slices.Concat(f.ours, f.their)...)
	if err := s.PutReceipts(protocol.Sum("team de"), []protocol.Receipt{{Statement: f.ours[0].StatementID, State: protocol.Stored, Time: 1}}); err != nil {
		t.Fatal(err)
	}
	ag := &protocol.Agreement{A: me.team, B: b.team, RootA: protocol.Sum("ra"), RootB: protocol.Sum("rb"), Ceiling: tlp.Amber, Onward: protocol.OnwardNone,
		Receipts: protocol.ReceiptsNone, Issued: 1, From: 1, Until: 1000, Policy: protocol.DefaultIEP()}
	env, err := protocol.Sign(ag, me.key)
	if err == nil {
		err = s.PutAgreement(env)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutNote("a note", []byte("x")); err != nil {
		t.Fatal(err)
	}
	f.again = slices.Concat(back(f.ours...), f.their)
	return f
}

func title(t *testing.T, s *Store, id protocol.Hash) string {
	t.Helper()
	m, err := s.Message(id)
	if err != nil {
		t.Fatal(err)
	}
	return m.Statement.Title
}

func TestSealed(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := openTest(t, dir, Options{})
		f := fillSealed(t, s)
		lookup := lookupAll(f.me, f.b)
		id := f.ours[0].StatementID
		m, err := s.Message(id)
		if err != nil || !m.Complete || string(m.Statement.Body.Inline) != "the body" || m.Tag != f.toDE.ch.Tag() || m.Parcel != f.ours[0].Envelope.ID() {
			t.Errorf("got %+v, %v", m, err)
		}
		if got := s.Stats(); got.Messages != 3 || got.Parcels != 5 {
			t.Errorf("got %+v, want 3 messages in 5 parcels", got)
		}
		for i, e := range f.ours {
			if got, err := s.StatementOf(e.Envelope.ID()); err != nil || got != id {
				t.Errorf("parcel %d: got statement %s, %v", i, got, err)
			}
			var raws int
			if err := s.Range(e.Parcel.Feed, 1, 0, false, func(_ uint64, raw []byte) bool { raws++; return string(raw) == string(e.Raw) }); err != nil || raws != 1 {
				t.Errorf("feed %d: got %d parcels, %v", i, raws, err)
			}
		}
		if _, err := s.StatementOf(f.their[2].Envelope.ID()); !errors.Is(err, ErrNotFound) {
			t.Errorf("the statement of another's parcel: got %v, want ErrNotFound", err)
		}
		if inner, err := s.Envelope(id); err != nil || string(inner) != string(f.ours[0].Inner) {
			t.Errorf("got an envelope of %d bytes, %v", len(inner), err)
		}
		if tags, err := s.channelsOf(id); err != nil || !slices.Equal(tags, []protocol.Hash{f.toDE.ch.Tag(), f.toPL.ch.Tag()}) {
			t.Errorf("got tags %v, %v", tags, err)
		}
		r, size, err := s.OpenBody(id)
		if err != nil || size != 8 {
			t.Fatal(size, err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != "the body" {
			t.Errorf("got body %q, %v", b, err)
		}
		if got := ids(t, s, Query{Tag: f.b.ch.Tag()}); len(got) != 2 { // the pair's channel is the same in both directions
			t.Errorf("in one channel: got %d messages, want 2", len(got))
		}
		if out, err := s.Accept(f.again); err != nil || out[0].Verdict != trust.Known || out[0].N != 1 || out[3].Verdict != trust.Known {
			t.Errorf("again: got %+v, %v", out, err)
		}
		// The ciphertext got lost and comes back from its reader, who has nothing else. The message stays.
		s.mend(f.toDE.feed, []uint64{1}, true)
		if holes, _ := s.Missing(f.toDE.feed, 9); len(holes) != 0 {
			t.Errorf("got holes %v, want none below Max", holes)
		}
		mustAccept(t, s, f.again[:1]...)
		if got := title(t, s, id); got != "to two" {
			t.Errorf("got %q", got)
		}
		indexAll(t, s)
		mustClean(t, s, lookup)
		if found, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(found) != 2 {
			t.Errorf("got %d found, %v, want 2", len(found), err)
		}
	}
}

func TestEntryCheck(t *testing.T) {
	s := openTest(t, "", Options{})
	me := newAuthor(t, "me")
	de, pl := me.to("de", protocol.Hash{}), me.to("pl", protocol.Hash{})
	good := de.entry(de.statement("t", "b"))
	plain := me.entry(me.statement("t", "b"))
	for name, spoil := range map[string]func(e *Entry){
		"no envelope":            func(e *Entry) { e.Envelope = nil },
		"no parcel":              func(e *Entry) { e.Parcel = nil },
		"no tag":                 func(e *Entry) { e.Tag = protocol.Hash{} },
		"another tag":            func(e *Entry) { e.Tag = pl.ch.Tag() },
		"sealed, the community":  func(e *Entry) { e.Tag = communityTag },
		"no statement":           func(e *Entry) { e.Statement = nil },
		"no id":                  func(e *Entry) { e.StatementID = protocol.Hash{} },
		"not opened":             func(e *Entry) { e.Inner = nil },
		"an inner too large":     func(e *Entry) { e.Inner = make([]byte, protocol.MaxParcel+1) },
		"plain, a pair":          func(e *Entry) { *e = plain; e.Tag = de.ch.Tag() },
		"plain, and opened":      func(e *Entry) { e.Inner = good.Inner; e.Parcel = plain.Parcel; e.Tag = communityTag },
		"a link of another feed": func(e *Entry) { *e = back(plain)[0]; p := *e.Parcel; p.Feed = de.feed; e.Parcel = &p },
	} {
		e := good
		spoil(&e)
		if out, err := s.Accept([]Entry{e}); err == nil {
			t.Errorf("%s: got %+v, want an error", name, out)
		}
	}
	mustAccept(t, s, good, plain)
	wrong := back(de.entry(de.statement("t", "b")))[0]
	wrong.Tag = pl.ch.Tag() // no statement to tell by: the feed is known already
	if _, err := s.Accept([]Entry{wrong}); err == nil {
		t.Error("a link of a feed of another channel: got no error")
	}
	if got := s.Stats().Messages; got != 2 {
		t.Errorf("got %d messages, want 2", got)
	}
}

// A held message is nowhere until it is released, and then everywhere, in its old place.
func TestHeld(t *testing.T) {
	s := openTest(t, "", Options{})
	b := newAuthor(t, "de").to("me", protocol.Hash{})
	first := b.entry(b.statement("first", "x"))
	fix := b.statement("fixed", "y")
	fix.Kind, fix.Supersedes = protocol.KindCorrection, first.StatementID
	held := b.entry(fix)
	held.Held = "over-ceiling"
	out := mustAccept(t, s, first, held, b.entry(b.statement("third", "z")))
	indexAll(t, s)
	mustClean(t, s, b.lookup)
	if got := ids(t, s, Query{}); len(got) != 2 || slices.Contains(got, held.StatementID) {
		t.Errorf("got %d messages", len(got))
	}
	if got := ids(t, s, Query{WithHeld: true}); len(got) != 3 {
		t.Errorf("with held: got %d messages", len(got))
	}
	if m, err := s.Message(first.StatementID); err != nil || !m.Superseded.IsZero() {
		t.Errorf("a correction that is held back takes effect: %+v, %v", m, err)
	}
	if err := s.Index(out[1].N, []string{"all"}); err != nil { // whoever does that
		t.Fatal(err)
	}
	if found, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(found) != 2 {
		t.Errorf("got %d found, %v", len(found), err)
	}
	n := 0
	if err := s.Held(func(m *Message) bool {
		n++
		if m.ID != held.StatementID || m.Held != "over-ceiling" || m.N != out[1].N {
			t.Errorf("got %+v", m)
		}
		for range 2 {
			if err := s.Release(m.ID); err != nil {
				t.Error(err)
			}
		}
		return true
	}); err != nil || n != 1 {
		t.Errorf("got %d held, %v", n, err)
	}
	if err := s.Held(func(*Message) bool { t.Error("still held"); return true }); err != nil {
		t.Error(err)
	}
	indexAll(t, s)
	if got := ids(t, s, Query{}); len(got) != 3 || got[1] != held.StatementID {
		t.Errorf("after release: got %v", got)
	}
	if m, err := s.Message(first.StatementID); err != nil || m.Superseded != held.StatementID {
		t.Errorf("the correction has no effect: %+v, %v", m, err)
	}
	if found, err := s.SearchTerms([]string{"title:fixed"}, 0); err != nil || len(found) != 1 {
		t.Errorf("got %d found, %v", len(found), err)
	}
	if err := s.Release(protocol.Sum("none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	mustClean(t, s, b.lookup)
}

// What could not be opened is a link; sealed again, in a later parcel, it becomes the message.
func TestLinkThenMessage(t *testing.T) {
	s := openTest(t, "", Options{})
	b := newAuthor(t, "de").to("me", protocol.Hash{})
	st := b.statement("t", "body")
	first := b.entry(st)
	out := mustAccept(t, s, back(first)...)
	if out[0].N != 0 || s.Stats().Messages != 0 {
		t.Errorf("got %+v", out)
	}
	again := b.entry(st)
	if again.StatementID != first.StatementID {
		t.Fatal("signing again gives another id")
	}
	if out = mustAccept(t, s, again); out[0].N != 1 {
		t.Errorf("got %+v", out)
	}
	if m, err := s.Message(first.StatementID); err != nil || m.Seq != 2 || string(m.Statement.Body.Inline) != "body" {
		t.Errorf("got %+v, %v", m, err)
	}
	indexAll(t, s)
	mustClean(t, s, b.lookup)
}

// RED: nothing that is sealed to persons is in a list, and the store has no body of it.
func TestSealedToPersons(t *testing.T) {
	s := openTest(t, "", Options{})
	b := newAuthor(t, "de").to("me", protocol.Hash{})
	cipher := blobBytes(ChunkSize + 100)
	ref := refOf(cipher)
	for i, blob := range []*protocol.BlobRef{nil, &ref} {
		st := b.statement("", "")
		st.Label, st.Body, st.Content, st.Blob = tlp.Red, protocol.Body{}, []byte("an age file"), blob
		st.Audience.Persons = []protocol.Person{{Team: protocol.Sum("team me"), Name: "anna", Key: protocol.Sum("key")}}
		e := b.entry(st)
		mustAccept(t, s, e)
		if blob != nil {
			writeBlob(t, s, cipher)
		}
		if err := s.Inbox(Query{After: uint64(i)}, func(m *Message) bool {
			if m.Statement.Content != nil {
				t.Error("content in a list")
			}
			return true
		}); err != nil {
			t.Error(err)
		}
		m, err := s.Message(e.StatementID)
		if err != nil || string(m.Statement.Content) != "an age file" || !m.Complete {
			t.Errorf("got %+v, %v", m, err)
		}
		r, size, err := s.OpenBody(e.StatementID)
		if err != nil || blob != nil && size != ref.Size || blob == nil && size != 0 {
			t.Fatal(size, err)
		}
		if got, err := io.ReadAll(r); err != nil || blob != nil && string(got) != string(cipher) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
	indexAll(t, s)
	mustClean(t, s, b.lookup)
}

// sealedBig makes a statement whose body travels apart as the given ciphertext.
func (a *author) sealedBig(cipher []byte) *protocol.Statement {
	st := a.statement("a big one", "")
	plain := []byte("not the ciphertext")
	st.Body = protocol.Body{Format: "text", Size: protocol.MaxInline + 1, Hash: sha256.Sum256(plain), Key: "AGE-SECRET-KEY-X"}
	ref := refOf(cipher)
	st.Blob = &ref
	return st
}

func TestSealedBlob(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	me := newAuthor(t, "me")
	de, pl := me.to("de", protocol.Hash{}), me.to("pl", protocol.Hash{})
	cipher := blobBytes(2*ChunkSize + 5)
	ref := refOf(cipher)
	if _, err := s.BlobTags(ref.Hash); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	w, err := s.StageBlob(ref, de.ch.Tag())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(cipher); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if tags, err := s.BlobTags(ref.Hash); err != nil || !slices.Equal(tags, []protocol.Hash{de.ch.Tag()}) {
		t.Errorf("staged: got tags %v, %v", tags, err)
	}
	es := toAll(de.sealedBig(cipher), de, pl)
	mustAccept(t, s, es...)
	if tags, err := s.BlobTags(ref.Hash); err != nil || !slices.Equal(tags, []protocol.Hash{de.ch.Tag(), pl.ch.Tag()}) {
		t.Errorf("got tags %v, %v", tags, err)
	}
	m, err := s.Message(es[0].StatementID)
	if err != nil || !m.Complete || m.Statement.Body.Key == "" {
		t.Errorf("got %+v, %v", m, err)
	}
	r, size, err := s.OpenBody(es[0].StatementID)
	if err != nil || size != ref.Size {
		t.Fatal(size, err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != string(cipher) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := s.cutBlob(blobOf(ref), 0); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := s.WantedBlobs(func(r protocol.BlobRef, id protocol.Hash, tags []protocol.Hash) bool {
		n++
		return r == ref && id == es[0].StatementID && len(tags) == 2
	}); err != nil || n != 1 {
		t.Errorf("got %d wanted, %v", n, err)
	}
	writeBlob(t, s, cipher)
	indexAll(t, s)
	mustClean(t, s, me.lookup)
}

// All entries of one call of this node are taken in, or none.
func TestAcceptTogether(t *testing.T) {
	s := openTest(t, "", Options{MaxBytes: 100 << 10})
	me := newAuthor(t, "me")
	var feeds []*author
	for i := range 5 {
		feeds = append(feeds, me.to(fmt.Sprint(i), protocol.Hash{}))
	}
	es := toAll(feeds[0].statement("t", string(make([]byte, 20<<10))), feeds...)
	if _, err := s.Accept(es); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if got := s.Stats(); got.Parcels != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	for i := range es {
		es[i].Via = "peer" // what others say is judged one by one
	}
	out, err := s.Accept(es)
	if err != nil || out[0].Err != nil || !errors.Is(out[4].Err, ErrFull) {
		t.Errorf("got %+v, %v", out, err)
	}
	s = openTest(t, "", Options{})
	es = toAll(feeds[0].statement("t", "b"), feeds...)
	mustAccept(t, s, es...)
	testOnlyCommit = func() error { return errors.New("input/output error") }
	_, err = s.Accept(toAll(feeds[0].statement("t", "b"), feeds...))
	testOnlyCommit = nil
	if !errors.Is(err, ErrBroken) || s.Stats().Parcels != 5 {
		t.Errorf("got %v, %+v", err, s.Stats())
	}
}

// A large statement to many teams, of which none fits a transaction with another.
func TestLargestEntries(t *testing.T) {
	s := openTest(t, "", Options{})
	me := newAuthor(t, "me")
	var feeds []*author
	for i := range 4 {
		feeds = append(feeds, me.to(fmt.Sprint(i), protocol.Hash{}))
	}
	st := feeds[0].statement("", "")
	st.Label, st.Body, st.Content = tlp.Red, protocol.Body{}, make([]byte, 150<<10)
	var teams []protocol.TeamID
	for _, f := range feeds {
		teams = append(teams, f.ch.Other(f.team))
	}
	st.Audience = audienceOf(protocol.Hash{}, teams...)
	for _, team := range st.Audience.Teams {
		st.Audience.Persons = append(st.Audience.Persons, protocol.Person{Team: team, Name: "anna", Key: protocol.Sum("key")})
	}
	var es []Entry
	for _, f := range feeds {
		es = append(es, f.entry(st))
	}
	mustAccept(t, s, own(es...)...)
	if got := s.Stats(); got.Messages != 1 || got.Parcels != 4 {
		t.Errorf("got %+v", got)
	}
	mustClean(t, s, me.lookup)
}

// An entry that a cut-off covers and calls void is a link: what is before it can be shown to be covered, and it says nothing.
func TestHollow(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(4)
	node := a.node
	node.Revoked = true
	node.Cutoff = map[protocol.FeedID]protocol.Cutoff{a.feed: {Team: a.team, Node: a.key.Public().ID(), Feed: a.feed, LastSeq: 4, LastHash: es[3].Envelope.ID(), Void: []uint64{3}}}
	thief := a.sign(a.statement("thief", "x"), 3, es[1].Envelope.ID())
	mustAccept(t, s, thief)
	for _, c := range []struct {
		e    Entry
		want trust.Verdict
	}{{es[3], trust.Accept}, {es[2], trust.Hollow}, {es[1], trust.Accept}, {es[0], trust.Accept}, {es[2], trust.Known}} {
		c.e.Node = node
		out, err := s.Accept([]Entry{c.e})
		if err != nil || out[0].Verdict != c.want || (out[0].N == 0) != (c.e.Parcel.Seq == 3) {
			t.Errorf("entry %d: got %+v, %v, want %s", c.e.Parcel.Seq, out, err, c.want)
		}
	}
	if x, _, _ := s.Extent(a.feed); x.Next != 5 || x.Head != a.head {
		t.Errorf("got %+v, want all", x)
	}
	if got := ids(t, s, Query{}); len(got) != 3 || slices.Contains(got, es[2].StatementID) {
		t.Errorf("got %d messages, want 3", len(got))
	}
	indexAll(t, s)
	mustClean(t, s, a.lookup)
}

// What this node sealed cannot be had again. A damaged statement leaves its summary; with that gone, too, the ciphertext stays.
func TestLostOwn(t *testing.T) {
	s := openTest(t, "", Options{})
	f := fillSealed(t, s)
	indexAll(t, s)
	id := f.ours[0].StatementID
	edit(t, s, func(tx *tx) error { return tx.Set(keysOf(t, s, kInner)[0], []byte("garbage")) })
	m, err := s.Message(id)
	if err != nil || m.Complete || m.Statement.Title != "to two" {
		t.Errorf("got %+v, %v, want the summary", m, err)
	}
	if holes, err := s.Missing(f.toDE.feed, 9); err != nil || len(holes) != 0 {
		t.Errorf("got holes %v, %v", holes, err)
	}
	rep, err := s.Fsck(t.Context(), FsckOptions{Repair: true, Lookup: lookupAll(f.me, f.b)})
	if err != nil || rep.Found != 1 || rep.Repaired != 0 {
		t.Errorf("got %+v, %v, want one problem that stays", rep, err)
	}
	edit(t, s, func(tx *tx) error { return tx.Set(keysOf(t, s, kMessage)[0], []byte("garbage")) })
	if _, err := s.Message(id); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if _, err := s.Fsck(t.Context(), FsckOptions{Repair: true}); err != nil {
		t.Fatal(err)
	}
	indexAll(t, s)
	if _, err := s.Fsck(t.Context(), FsckOptions{Repair: true}); err != nil {
		t.Fatal(err)
	}
	mustClean(t, s, lookupAll(f.me, f.b))
	if x, ok, err := s.Extent(f.toDE.feed); err != nil || !ok || x.Next != 2 {
		t.Errorf("got %+v, %v: the entry is gone", x, err)
	}
}

func TestReceipts(t *testing.T) {
	s := openTest(t, "", Options{})
	me := newAuthor(t, "me")
	de, pl := me.to("de", protocol.Hash{}), me.to("pl", protocol.Hash{})
	es := toAll(de.statement("t", "b"), de, pl)
	mustAccept(t, s, es...)
	id, parcel := es[0].StatementID, es[1].Envelope.ID()
	put := func(team string, rs ...protocol.Receipt) {
		t.Helper()
		if err := s.PutReceipts(protocol.Sum("team "+team), rs); err != nil {
			t.Fatal(err)
		}
	}
	stored := protocol.Receipt{Statement: id, State: protocol.Stored, Time: 100}
	later := stored
	later.Time = 200
	held := protocol.Receipt{Statement: id, State: protocol.HeldBack, Time: 100, Rule: "one"}
	heldNow := protocol.Receipt{Statement: id, State: protocol.HeldBack, Time: 150, Rule: "two"}
	cannot := protocol.Receipt{Parcel: parcel, State: protocol.CannotOpen, Time: 90}
	unknown := protocol.Receipt{Parcel: protocol.Sum("none"), State: protocol.CannotOpen, Time: 90}
	for range 2 {
		put("de", later, stored, later, held, heldNow, held)
		put("pl", cannot, unknown)
		put("xx", stored)
		put("me", stored)
		put("de", protocol.Receipt{Statement: protocol.Sum("none"), State: protocol.Stored, Time: 1})
		got, err := s.Receipts(id)
		if err != nil {
			t.Fatal(err)
		}
		want := map[ReceiptRec]bool{{protocol.Sum("team de"), stored}: true, {protocol.Sum("team de"), heldNow}: true, {protocol.Sum("team pl"), cannot}: true}
		if len(got) != len(want) {
			t.Errorf("got %+v", got)
		}
		for _, r := range got {
			if !want[r] {
				t.Errorf("got %+v", r)
			}
		}
	}
	for i := range 200 { // bounded, whatever a team says
		put("de", protocol.Receipt{Statement: id, State: protocol.Opened, Time: 1, Person: fmt.Sprint("p", i)})
	}
	if got, err := s.Receipts(id); err != nil || len(got) != maxReceipts+1 {
		t.Errorf("got %d receipts, %v, want %d", len(got), err, maxReceipts+1)
	}
	if _, err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Receipts(id); err != nil || len(got) != 0 {
		t.Errorf("after pruning: got %d receipts, %v", len(got), err)
	}
	if got := s.Stats(); got.Parcels != 0 || got.Messages != 0 {
		t.Errorf("after pruning: got %+v", got)
	}
	mustClean(t, s, me.lookup)
}
