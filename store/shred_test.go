package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
)

// keyLeft returns keys that name the audience, or feeds of it.
func keyLeft(t *testing.T, s *Store, tag protocol.Hash, feeds ...protocol.FeedID) (left []string) {
	t.Helper()
	a := short(tag)
	for prefix := range keyLengths {
		for _, k := range keysOf(t, s, prefix) {
			switch {
			case prefix == kExtent:
			case (prefix == kMessage || prefix == kTerms || prefix == kInner) && shortTag(k[9:17]) == a,
				(prefix == kPosting || prefix == kAudience || prefix == kForget || prefix == kRoom || prefix == kRoomNote) && shortTag(k[1:9]) == a,
				slices.ContainsFunc(feeds, func(f protocol.FeedID) bool { return bytes.Contains(k, f[:]) }):
				left = append(left, kindNames[prefix])
			}
		}
	}
	return left
}

// A shredTest is a store with an agreement's channel and another of the same team, with messages both ways.
type shredTest struct {
	keys             *testKeys
	me, toDE, toPL   *author // ours, in the agreement and besides
	b, plain         *author // theirs
	tag              protocol.Hash
	gone, stay       []Entry
	goneBlob, shared []byte
}

func newShredTest(t *testing.T, s *Store, keys *testKeys) *shredTest {
	t.Helper()
	agreement := protocol.Sum("agreement")
	me, them := newAuthor(t, "me"), newAuthor(t, "de")
	st := &shredTest{keys: keys, me: me, toDE: me.to("de", agreement), toPL: me.to("pl", protocol.Hash{}),
		b: them.to("me", agreement), plain: them.to("me", protocol.Hash{}), goneBlob: blobBytes(ChunkSize + 7), shared: blobBytes(ChunkSize + 8)}
	st.tag = st.b.ch.Tag()
	st.gone = append(st.gone, st.b.entry(st.b.sealedBig(st.shared)))
	for range 8 {
		st.gone = append(st.gone, st.b.entry(st.b.statement("gone", "x")))
		st.gone = append(st.gone, own(st.toDE.entry(st.toDE.statement("gone", "x")))...)
		st.stay = append(st.stay, st.plain.entry(st.plain.statement("stays", "y")))
	}
	held := st.b.entry(st.b.statement("gone", "x"))
	held.Held = "over-ceiling"
	st.gone = append(st.gone, held, st.b.entry(st.b.sealedBig(st.goneBlob)))
	st.gone = append(st.gone, back(st.b.entry(st.b.statement("gone", "x")))...)
	st.stay = append(st.stay, st.plain.entry(st.plain.sealedBig(st.shared)))
	for i := 0; i < len(st.stay) || i < len(st.gone); i++ {
		for _, es := range [][]Entry{st.gone, st.stay} {
			if i < len(es) {
				mustAccept(t, s, es[i])
			}
		}
	}
	writeBlob(t, s, st.goneBlob)
	writeBlob(t, s, st.shared)
	if _, err := s.Accept([]Entry{st.b.sign(st.b.statement("fork", "x"), 3, st.gone[1].Envelope.ID())}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutReceipts(st.b.team, []protocol.Receipt{{Statement: st.gone[2].StatementID, State: protocol.Stored, Time: 1}}); err != nil {
		t.Fatal(err)
	}
	indexAll(t, s)
	mustClean(t, s, lookupAll(st.me, st.b))
	return st
}

// check checks that nothing is left of the channel, and all of the others.
func (st *shredTest) check(t *testing.T, s *Store) {
	t.Helper()
	if left := keyLeft(t, s, st.tag, st.b.feed, st.toDE.feed); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	for _, e := range st.gone {
		if _, err := s.Message(e.StatementID); e.Statement != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
		if rs, err := s.Receipts(e.StatementID); err != nil || len(rs) != 0 {
			t.Errorf("got receipts %v, %v", rs, err)
		}
	}
	if got := ids(t, s, Query{WithHeld: true}); len(got) != len(st.stay) {
		t.Errorf("got %d messages, want %d", len(got), len(st.stay))
	}
	if got := s.Stats(); got.Messages != uint64(len(st.stay)) || got.Parcels != uint64(len(st.stay)) {
		t.Errorf("got %+v, want %d of each", got, len(st.stay))
	}
	counted := counters{}
	if err := s.view(func(tx *tx) (err error) { counted, err = tx.count(); return err }); err != nil || counted.Bytes != s.Stats().Bytes && s.dir == "" {
		t.Errorf("got %d bytes, %v, counted %d", s.Stats().Bytes, err, counted.Bytes)
	}
	if _, _, complete, _ := s.BlobHave(refOf(st.goneBlob).Hash); complete {
		t.Error("its blob is there")
	}
	wanted := 0 // the shared one was under the key that is gone
	if err := s.WantedBlobs(func(r protocol.BlobRef, id protocol.Hash, _ []protocol.Hash) bool {
		wanted++
		return r == refOf(st.shared) && id == st.stay[len(st.stay)-1].StatementID
	}); err != nil || wanted != 1 {
		t.Errorf("got %d wanted blobs, %v", wanted, err)
	}
	for _, a := range []*author{st.b, st.toDE} {
		x, ok, err := s.Extent(a.feed)
		if err != nil || !ok || x.First != a.seq+1 || x.Next != a.seq+1 || x.Head != a.head {
			t.Errorf("got extent %+v, %v, want all of %d passed", x, err, a.seq)
		}
		if holes, err := s.Missing(a.feed, 9); err != nil || len(holes) != 0 {
			t.Errorf("got holes %v, %v", holes, err)
		}
	}
	writeBlob(t, s, st.shared)
	indexAll(t, s)
	if found, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(found) != len(st.stay) {
		t.Errorf("got %d found, %v", len(found), err)
	}
	mustClean(t, s, lookupAll(st.me, st.b))
	// With a new key the feed goes on.
	delete(st.keys.gone, st.tag)
	delete(st.keys.aud, st.tag)
	mustAccept(t, s, st.b.entry(st.b.statement("new", "n")))
	if out, err := s.Accept(st.gone[:1]); err != nil || out[0].N != 0 {
		t.Errorf("what was forgotten: got %+v, %v, want known", out, err)
	}
	indexAll(t, s)
	mustClean(t, s, lookupAll(st.me, st.b))
}

func openWith(t *testing.T, dir string, k *testKeys) *Store {
	t.Helper()
	s, err := Open(dir, k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func TestForget(t *testing.T) {
	keys := newTestKeys("test")
	s, err := OpenMemory(keys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := newShredTest(t, s, keys)
	if err := s.Forget(st.tag); err == nil {
		t.Error("with the key still there: got no error")
	}
	if err := s.Forget(communityTag); err == nil {
		t.Error("the community's: got no error")
	}
	keys.drop(st.tag)
	for range 2 { // again is no harm
		if err := s.Forget(st.tag); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Accept([]Entry{st.b.entry(st.b.statement("late", "x"))}); err == nil {
		t.Error("an entry of a channel without a key: got no error")
	}
	st.b.seq, st.b.head = st.b.seq-1, st.gone[len(st.gone)-1].Envelope.ID()
	st.check(t, s)
}

// Forget is interrupted after each of its steps, and goes on when the store is opened.
func TestForgetInterrupted(t *testing.T) {
	steps := 0
	testOnlyForget = func() error { steps++; return nil }
	defer func() { testOnlyForget = nil }()
	keys := newTestKeys("test")
	s := openWith(t, t.TempDir(), keys)
	st := newShredTest(t, s, keys)
	keys.drop(st.tag)
	if err := s.Forget(st.tag); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	for at := range steps {
		dir := t.TempDir()
		keys := newTestKeys("test")
		s := openWith(t, dir, keys)
		st := newShredTest(t, s, keys)
		keys.drop(st.tag)
		n := 0
		testOnlyForget = func() error {
			if n++; n > at {
				return stop
			}
			return nil
		}
		err := s.Forget(st.tag)
		testOnlyForget = nil
		if !errors.Is(err, stop) {
			t.Fatalf("step %d: got %v", at, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		st.check(t, openWith(t, dir, keys))
	}
}

// A message to two teams outlives the channel that it was stored in, if that is pruned before its key goes.
func TestPruneTagMoves(t *testing.T) {
	ck := newClock()
	keys := newTestKeys("test")
	s, err := OpenMemory(keys, Options{Now: ck.now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	me := newAuthor(t, "me")
	de, pl := me.to("de", protocol.Hash{}), me.to("pl", protocol.Hash{})
	both := toAll(de.statement("both", "the body"), de, pl)
	alone := own(de.entry(de.statement("alone", "x")))
	other := own(pl.entry(pl.statement("other", "x")))
	mustAccept(t, s, both...)
	mustAccept(t, s, slices.Concat(alone, other)...)
	if err := s.PutReceipts(protocol.Sum("team pl"), []protocol.Receipt{{Statement: both[0].StatementID, State: protocol.Stored, Time: 1}}); err != nil {
		t.Fatal(err)
	}
	indexAll(t, s)
	ck.t = ck.t.Add(time.Hour)
	late := own(de.entry(de.statement("late", "x")))
	mustAccept(t, s, late...)
	sum, err := s.PruneTag(t.Context(), de.ch.Tag(), protocol.TeamID{}, ck.t)
	if err != nil || sum.Messages != 1 {
		t.Errorf("got %+v, %v, want one message", sum, err)
	}
	m, err := s.Message(both[0].StatementID)
	if err != nil || m.N != 1 || m.Tag != pl.ch.Tag() || string(m.Statement.Body.Inline) != "the body" || m.Parcel != both[1].Envelope.ID() {
		t.Errorf("got %+v, %v", m, err)
	}
	if rs, err := s.Receipts(both[0].StatementID); err != nil || len(rs) != 1 {
		t.Errorf("got receipts %v, %v", rs, err)
	}
	indexAll(t, s)
	if found, err := s.SearchTerms([]string{"title:both"}, 0); err != nil || len(found) != 1 {
		t.Errorf("got %d found, %v", len(found), err)
	}
	for e, want := range map[*Entry]bool{&alone[0]: false, &other[0]: true, &late[0]: true, &both[0]: true} {
		if _, err := s.Message(e.StatementID); (err == nil) != want {
			t.Errorf("%s: got %v", e.Statement.Title, err)
		}
	}
	mustClean(t, s, me.lookup)
	if _, err := s.PruneTag(t.Context(), de.ch.Tag(), protocol.TeamID{}, ck.t.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	keys.drop(de.ch.Tag())
	if err := s.Forget(de.ch.Tag()); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, Query{}); len(got) != 2 {
		t.Errorf("got %d messages, want 2", len(got))
	}
	mustClean(t, s, me.lookup)
	if left := keyLeft(t, s, de.ch.Tag(), de.feed); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := s.Prune(t.Context(), ck.t.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Messages != 0 || got.Parcels != 0 || got.Bytes != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	if _, err := s.PruneTag(t.Context(), protocol.Hash{}, protocol.TeamID{}, ck.t); err == nil {
		t.Error("without a tag: got no error")
	}
}

// Feeds that only programs read are pruned, too.
func TestPruneLinks(t *testing.T) {
	ck := newClock()
	s := openTest(t, "", Options{Now: ck.now})
	b := newAuthor(t, "de").to("me", protocol.Hash{})
	c := newAuthor(t, "pl").to("me", protocol.Hash{})
	old := back(b.entries(pruneStep + 10)...)
	mustAccept(t, s, old...)
	mustAccept(t, s, back(c.entries(3)...)...)
	ck.t = ck.t.Add(time.Hour)
	fresh := back(b.entries(2)...)
	mustAccept(t, s, fresh...)
	if _, err := s.PruneTag(t.Context(), b.ch.Tag(), protocol.TeamID{}, ck.t); err != nil {
		t.Fatal(err)
	}
	x, _, err := s.Extent(b.feed)
	if err != nil || x.First != pruneStep+11 || x.Next != pruneStep+13 || s.Stats().Parcels != 5 {
		t.Errorf("got %+v, %v, %+v", x, err, s.Stats())
	}
	if out, err := s.Accept(old[:1]); err != nil || s.Stats().Parcels != 5 {
		t.Errorf("what was pruned: got %+v, %v", out, err)
	}
	if _, err := s.Prune(t.Context(), ck.t.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Parcels != 0 || got.Bytes != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	if x, _, err = s.Extent(b.feed); err != nil || x.Next != pruneStep+13 || x.Head != b.head {
		t.Errorf("got %+v, %v", x, err)
	}
	mustClean(t, s, lookupAll(b, c))
}
