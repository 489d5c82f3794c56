package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// leave signs the nth record of a room.
func leave(tb testing.TB, a *author, room protocol.Hash, n int) *protocol.Envelope {
	tb.Helper()
	e, err := protocol.Sign(&protocol.Leave{Room: room, Team: a.team, Root: protocol.Sum("root"), Reason: "a reason", Issued: uint64(n)}, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// roomRecords returns the records of all rooms, encoded, by their ids.
func roomRecords(tb testing.TB, s *Store) map[protocol.Hash]map[protocol.Hash]string {
	tb.Helper()
	out := map[protocol.Hash]map[protocol.Hash]string{}
	if err := s.RoomRecords(func(room protocol.Hash, _ time.Time, e *protocol.Envelope) error {
		if out[room] == nil {
			out[room] = map[protocol.Hash]string{}
		}
		out[room][e.ID()] = string(e.Encode())
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return out
}

// A roomFill is what fillRoom put into a store.
type roomFill struct {
	room, epoch protocol.Hash
	b           *author // of another team
	records     []*protocol.Envelope
	their       []Entry // a message, three that could not be opened, a message
	closed      []Entry // these three, as they are when they are opened
}

func fillRoom(t *testing.T, s *Store) *roomFill {
	t.Helper()
	f := &roomFill{room: protocol.Sum("room"), epoch: protocol.Sum("an epoch of old")}
	f.b = newAuthor(t, "de").in(f.room, protocol.Sum("epoch"))
	for n := range 3 {
		f.records = append(f.records, leave(t, f.b, f.room, n+1))
	}
	if err := s.PutRoomRecords(f.room, f.records...); err != nil {
		t.Fatal(err)
	}
	if err := s.PutRoomNote(f.room, "a note", []byte("seen")); err != nil {
		t.Fatal(err)
	}
	f.their = f.b.entries(1)
	now := f.b.epoch
	f.b.epoch = f.epoch
	f.closed = f.b.entries(3)
	f.b.epoch = now
	f.their = slices.Concat(f.their, back(f.closed...), f.b.entries(1))
	mustAccept(t, s, f.their...)
	indexAll(t, s)
	return f
}

func (f *roomFill) check(t *testing.T, s *Store) {
	t.Helper()
	got := roomRecords(t, s)[f.room]
	for _, e := range f.records {
		if got[e.ID()] != string(e.Encode()) {
			t.Errorf("record %s: got %q", e.ID().Short(), got[e.ID()])
		}
	}
	if len(got) != len(f.records) {
		t.Errorf("got %d records, want %d", len(got), len(f.records))
	}
	if v, err := s.RoomNote(f.room, "a note"); err != nil || string(v) != "seen" {
		t.Errorf("got note %q, %v", v, err)
	}
	if got := closed(t, s, f.epoch); len(got) != len(f.closed) {
		t.Errorf("got %d entries that wait, want %d", len(got), len(f.closed))
	}
	if got := ids(t, s, Query{Tag: roomTag(f.room)}); !slices.Equal(got, []protocol.Hash{f.their[0].StatementID, f.their[4].StatementID}) {
		t.Errorf("got messages %v", got)
	}
}

// closed returns the entries that wait for an epoch.
func closed(tb testing.TB, s *Store, epoch protocol.Hash) (out [][]byte) {
	tb.Helper()
	if err := s.Closed(epoch, func(raw []byte) bool { out = append(out, raw); return true }); err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestRoomRecords(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := openTest(t, dir, Options{MaxBytes: 1}) // the cap is for messages
		a, b := newAuthor(t, "at"), newAuthor(t, "de")
		one, two := protocol.Sum("one"), protocol.Sum("two")
		want := map[protocol.Hash]map[protocol.Hash]string{one: {}, two: {}}
		for room, n := range map[protocol.Hash]int{one: 5, two: 3} {
			var es []*protocol.Envelope
			for i := range n {
				e := leave(t, a, room, i+1)
				es, want[room][e.ID()] = append(es, e), string(e.Encode())
			}
			for _, some := range [][]*protocol.Envelope{es[:1], es[1:], es[:2], nil} { // again is no harm
				if err := s.PutRoomRecords(room, some...); err != nil {
					t.Fatal(err)
				}
			}
		}
		check := func() {
			t.Helper()
			got := roomRecords(t, s)
			if !maps.EqualFunc(got, want, func(a, b map[protocol.Hash]string) bool { return maps.Equal(a, b) }) {
				t.Errorf("got %d and %d records, want %d and %d", len(got[one]), len(got[two]), len(want[one]), len(want[two]))
			}
			mustClean(t, s, nil)
		}
		check()

		// With another signature it is the same record.
		e := leave(t, a, one, 2)
		if err := e.AddSignature(b.key); err != nil {
			t.Fatal(err)
		}
		want[one][e.ID()] = string(e.Encode())
		if err := s.PutRoomRecords(one, e); err != nil {
			t.Fatal(err)
		}
		gone := leave(t, a, one, 3).ID()
		delete(want[one], gone)
		if err := s.DeleteRoomRecords(one, gone, protocol.Sum("none")); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRoomRecords(two, leave(t, a, one, 4).ID()); err != nil { // of the other room
			t.Fatal(err)
		}
		check()
		stop := errors.New("stop")
		if err := s.RoomRecords(func(protocol.Hash, time.Time, *protocol.Envelope) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("got %v, want the error of the function", err)
		}
		if err := s.PutRoomRecords(protocol.Hash{}, e); err == nil {
			t.Error("without a room: got no error")
		}
		if dir != "" {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openTest(t, dir, Options{})
			check()
		}
	}
}

// More records than a transaction takes are kept in several, also large ones.
func TestManyRoomRecords(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := openTest(t, dir, Options{})
		a := newAuthor(t, "at")
		room := protocol.Sum("room")
		var es []*protocol.Envelope
		var ids []protocol.Hash
		for i := range 3000 {
			es = append(es, leave(t, a, room, i+1))
		}
		for i := range 10 {
			ep := &protocol.Epoch{Room: room, Charter: protocol.Sum("c"), Cards: protocol.Sum("d"), Team: a.team, Node: a.key.Public().ID(), Recipient: "r",
				Created: uint64(i + 1), Until: 1000}
			for n := range protocol.MaxEpochNodes - 1 {
				ep.Nodes = append(ep.Nodes, protocol.KID{byte(n >> 8), byte(n), 1})
			}
			ep.Nodes = append(ep.Nodes, ep.Node)
			slices.SortFunc(ep.Nodes, func(a, b protocol.KID) int { return bytes.Compare(a[:], b[:]) })
			e, err := protocol.Sign(ep, a.key)
			if err != nil {
				t.Fatal(err)
			}
			es = append(es, e)
		}
		if err := s.PutRoomRecords(room, es...); err != nil {
			t.Fatal(err)
		}
		if got := roomRecords(t, s)[room]; len(got) != len(es) {
			t.Errorf("got %d records, want %d", len(got), len(es))
		}
		for _, e := range es[5:] {
			ids = append(ids, e.ID())
		}
		if err := s.DeleteRoomRecords(room, ids...); err != nil {
			t.Fatal(err)
		}
		if got := roomRecords(t, s)[room]; len(got) != 5 {
			t.Errorf("got %d records, want 5", len(got))
		}
		mustClean(t, s, nil)
	}
}

func TestRoomNotes(t *testing.T) {
	keys := newTestKeys("test")
	s, err := OpenMemory(keys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	one, two := protocol.Sum("one"), protocol.Sum("two")
	if _, err := s.RoomNote(one, "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if len(keys.aud) != 0 {
		t.Error("asking for a note made a key")
	}
	for _, v := range []string{"x", "", string(blobBytes(MaxRoomNote))} {
		if err := s.PutRoomNote(one, "a", []byte(v)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.RoomNote(one, "a"); err != nil || string(got) != v {
			t.Errorf("got %.10q, %v, want %.10q", got, err, v)
		}
	}
	for room, name := range map[protocol.Hash]string{one: "b", two: "a"} {
		if _, err := s.RoomNote(room, name); !errors.Is(err, ErrNotFound) {
			t.Errorf("another note: got %v, want ErrNotFound", err)
		}
	}
	if s.PutRoomNote(one, "a", blobBytes(MaxRoomNote+1)) == nil || s.PutRoomNote(protocol.Hash{}, "a", nil) == nil {
		t.Error("too long, or of no room: got no error")
	}
	mustClean(t, s, nil)
}

// A write that fails, or is cut in the middle of many, leaves the first of them, and the store can be opened again.
func TestRoomRecordsInterrupted(t *testing.T) {
	for commits := range 4 {
		dir := t.TempDir()
		s := openTest(t, dir, Options{})
		a := newAuthor(t, "at")
		room := protocol.Sum("room")
		var es []*protocol.Envelope
		for i := range 400 {
			es = append(es, leave(t, a, room, i+1))
		}
		n := 0
		testOnlyCommit = func() error {
			if n++; n > commits {
				return errors.New("power cut")
			}
			return nil
		}
		err := s.PutRoomRecords(room, es...)
		testOnlyCommit = nil
		if !errors.Is(err, ErrBroken) {
			t.Fatalf("after %d commits: got %v, want ErrBroken", commits, err)
		}
		if err := s.PutRoomRecords(room, es...); !errors.Is(err, ErrBroken) {
			t.Errorf("before it is opened anew: got %v, want ErrBroken", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, dir, Options{})
		got := roomRecords(t, s)[room]
		for i, e := range es {
			if _, ok := got[e.ID()]; ok != (i < len(got)) {
				t.Errorf("after %d commits: record %d of %d is there: %v", commits, i, len(got), ok)
			}
		}
		if (len(got) > 0) != (commits > 0) || len(got) == len(es) {
			t.Errorf("after %d commits: got %d records", commits, len(got))
		}
		mustClean(t, s, nil)
		if err := s.PutRoomRecords(room, es...); err != nil || len(roomRecords(t, s)[room]) != len(es) {
			t.Errorf("again: got %v", err)
		}
	}
}

// With the key of a room everything of it goes, and what a crash interrupts goes on.
func TestForgetRoom(t *testing.T) {
	steps := 0
	testOnlyForget = func() error { steps++; return nil }
	defer func() { testOnlyForget = nil }()
	for at := -1; at < steps; at++ {
		dir := t.TempDir()
		keys := newTestKeys("test")
		s := openWith(t, dir, keys)
		f, other := fillRoom(t, s), protocol.Sum("other")
		if err := s.PutRoomRecords(other, leave(t, f.b, other, 1)); err != nil {
			t.Fatal(err)
		}
		keys.drop(roomTag(f.room))
		stop := errors.New("stop")
		if n := 0; at >= 0 {
			testOnlyForget = func() error {
				if n++; n > at {
					return stop
				}
				return nil
			}
		}
		err := s.Forget(roomTag(f.room))
		if at < 0 && err != nil || at >= 0 && !errors.Is(err, stop) {
			t.Fatalf("step %d: got %v", at, err)
		}
		testOnlyForget = nil
		if at >= 0 {
			if got := roomRecords(t, s); len(got[f.room]) != 0 {
				t.Errorf("step %d: %d records can still be read", at, len(got[f.room]))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openWith(t, dir, keys)
		}
		if left := keyLeft(t, s, roomTag(f.room), f.b.feed); len(left) != 0 {
			t.Errorf("step %d: left: %v", at, left)
		}
		if got := roomRecords(t, s); len(got) != 1 || len(got[other]) != 1 {
			t.Errorf("step %d: got the records of %d rooms, want the other one", at, len(got))
		}
		if _, err := s.RoomNote(f.room, "a note"); !errors.Is(err, ErrNotFound) {
			t.Errorf("step %d: got %v, want ErrNotFound", at, err)
		}
		if s.PutRoomRecords(f.room, f.records...) == nil || s.PutRoomNote(f.room, "a note", nil) == nil {
			t.Errorf("step %d: something was kept without a key", at)
		}
		mustClean(t, s, f.b.lookup)
		// Who comes back has a new key.
		delete(keys.gone, roomTag(f.room))
		delete(keys.aud, roomTag(f.room))
		if err := s.PutRoomRecords(f.room, f.records...); err != nil {
			t.Fatal(err)
		}
		mustAccept(t, s, f.b.entry(f.b.statement("new", "n")))
		if got := roomRecords(t, s); len(got[f.room]) != 3 {
			t.Errorf("step %d: got %d records, want 3", at, len(got[f.room]))
		}
	}
	if steps < 5 {
		t.Errorf("got %d steps", steps)
	}
}

// Records and notes that alone are left of a room, its key being gone, are found and go, too.
func TestForgetRoomRest(t *testing.T) {
	keys := newTestKeys("test")
	s, err := OpenMemory(keys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := fillRoom(t, s)
	tag := roomTag(f.room)
	edit(t, s, func(tx *tx) error { return tx.Delete(key(kAudience, short(tag))) })
	keys.drop(tag)
	if err := s.Forget(tag); err != nil {
		t.Fatal(err)
	}
	if left := keyLeft(t, s, tag, f.b.feed); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// The machine stops after the key of a room was given up and before anything was forgotten.
func TestForgetNotBegun(t *testing.T) {
	dir := t.TempDir()
	keys := newTestKeys("test")
	s := openWith(t, dir, keys)
	f := fillRoom(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	keys.drop(roomTag(f.room))
	for range 2 {
		s = openWith(t, dir, keys)
		if left := keyLeft(t, s, roomTag(f.room), f.b.feed); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		if got := s.Stats(); got.Messages != 0 || got.Bytes != 0 {
			t.Errorf("got %+v, want nothing", got)
		}
		mustClean(t, s, f.b.lookup)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Damaged records are left out, and mended when somebody hands them over again.
func TestDamagedRoom(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	f := fillRoom(t, s)
	tag := roomTag(f.room)
	swap := func(from, to []byte) {
		edit(t, s, func(tx *tx) error {
			item, err := tx.Get(from)
			if err != nil {
				return err
			}
			v, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			return tx.Set(to, v)
		})
	}
	ks := keysOf(t, s, kRoom)
	swap(ks[0], ks[1])
	edit(t, s, func(tx *tx) error { return tx.Set(roomNoteKey(tag, "a note"), []byte("garbage")) })
	// Whole, and in the place of another.
	c, err := s.cipher(tag)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, s, func(tx *tx) error {
		_, err := tx.put(ks[2], c, append(f.room[:], leave(t, f.b, f.room, 9).Encode()...))
		return err
	})
	if got := roomRecords(t, s)[f.room]; len(got) != 1 {
		t.Errorf("got %d records, want the one that is whole", len(got))
	}
	if _, err := s.RoomNote(f.room, "a note"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	rep, err := s.Fsck(t.Context(), FsckOptions{Repair: true})
	if err != nil || rep.Found != 3 || rep.Repaired != 3 {
		t.Errorf("got %+v, %v, want three problems", rep, err)
	}
	mustClean(t, s, f.b.lookup)
	if err := errors.Join(s.PutRoomRecords(f.room, f.records...), s.PutRoomNote(f.room, "a note", []byte("seen"))); err != nil {
		t.Fatal(err)
	}
	f.check(t, s)

	// Nothing tells any more which room it is, until somebody names it.
	edit(t, s, func(tx *tx) error {
		return errors.Join(tx.Delete(key(kAudience, short(tag))), tx.Delete(key(kExtent, f.b.feed)))
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{})
	if got := roomRecords(t, s); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if err := s.PutRoomRecords(f.room, f.records[0]); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Extent(f.b.feed); !ok || err != nil { // made anew
		t.Fatal(ok, err)
	}
	f.check(t, s)
	if _, err := s.Fsck(t.Context(), FsckOptions{Repair: true}); err != nil {
		t.Fatal(err)
	}
	mustClean(t, s, f.b.lookup)
	f.check(t, s)
}

// A store of the layout before has no rooms, and is of the present layout from then on.
func TestMigrateRooms(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	a, es := fill(t, s)
	if err := s.setSchema(2); err != nil {
		t.Fatal(err)
	}
	backup := rawBackup(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	loaded := openTest(t, "", Options{})
	if err := loaded.Load(t.Context(), bytes.NewReader(backup)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{openTest(t, dir, Options{}), loaded} {
		if v, err := s.schema(); v != schemaVersion || err != nil {
			t.Errorf("got version %d, %v", v, err)
		}
		whole(t, s, es[:21])
		f := fillRoom(t, s)
		f.check(t, s)
		mustClean(t, s, lookupAll(a, f.b))
	}
}

// What could not be opened is a link, until the identity of its epoch is there: then it is a message like others.
func TestOpenedLater(t *testing.T) {
	ck := newClock()
	s := openTest(t, "", Options{Now: ck.now})
	f := fillRoom(t, s)
	f.check(t, s)
	mustClean(t, s, f.b.lookup)
	waiting := closed(t, s, f.epoch)
	for i, raw := range waiting {
		if !bytes.Equal(raw, f.closed[i].Raw) {
			t.Errorf("entry %d is another", i+2)
		}
	}
	one := 0
	if err := s.Closed(f.epoch, func([]byte) bool { one++; return false }); err != nil || one != 1 {
		t.Errorf("got %d entries, %v, want one", one, err)
	}
	if got := closed(t, s, f.b.epoch); len(got) != 0 {
		t.Errorf("got %d that wait for an epoch that is held", len(got))
	}

	// It comes again, and cannot be opened yet.
	if out, err := s.Accept(f.their[1:2]); err != nil || out[0].Verdict != trust.Known || out[0].N != 0 {
		t.Errorf("closed again: got %+v, %v", out, err)
	}
	// Its node was revoked, and its team did not say how far it can be believed.
	revoked := f.closed[0]
	revoked.Node.Revoked = true
	if out, err := s.Accept([]Entry{revoked}); err != nil || out[0].Verdict != trust.Known || out[0].N != 0 {
		t.Errorf("of a revoked node: got %+v, %v", out, err)
	}
	if got := closed(t, s, f.epoch); len(got) != 3 {
		t.Fatalf("got %d that wait, want 3", len(got))
	}

	ck.t = ck.t.Add(time.Hour)
	forPrograms := f.closed[2]
	forPrograms.Link = true
	held := f.closed[1]
	held.Held = "a-rule"
	out, err := s.Accept([]Entry{f.closed[0], held, forPrograms})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Outcome{{Verdict: trust.Accept, N: 3}, {Verdict: trust.Accept, N: 4}, {Verdict: trust.Known}} {
		if out[i] != want {
			t.Errorf("entry %d: got %+v, want %+v", i+2, out[i], want)
		}
	}
	if got := closed(t, s, f.epoch); len(got) != 0 {
		t.Errorf("got %d that wait still", len(got))
	}
	m, err := s.Message(f.closed[0].StatementID)
	if err != nil || !m.Complete || m.N != 3 || !m.Received.Equal(ck.t) || !bytes.Equal(m.Statement.Body.Inline, f.closed[0].Statement.Body.Inline) {
		t.Errorf("got %+v, %v", m, err)
	}
	if err := s.Release(f.closed[1].StatementID); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, Query{Tag: roomTag(f.room)}); len(got) != 4 {
		t.Errorf("got %d messages, want 4", len(got))
	}
	for range 2 {
		if out, err := s.Accept(f.closed[:2]); err != nil || out[0].Verdict != trust.Known || out[0].N != 3 {
			t.Errorf("again: got %+v, %v", out, err)
		}
	}
	indexAll(t, s)
	if found, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(found) != 4 {
		t.Errorf("got %d found, %v", len(found), err)
	}
	mustClean(t, s, f.b.lookup)
	if _, err := s.Prune(t.Context(), ck.t.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Messages != 0 || got.Parcels != 0 || got.Bytes != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
	mustClean(t, s, f.b.lookup)
}

// What was said twice, in an epoch that is held and in one that was not, is one message.
func TestOpenedTwice(t *testing.T) {
	s := openTest(t, "", Options{})
	b := newAuthor(t, "de").in(protocol.Sum("room"), protocol.Sum("epoch"))
	st := b.statement("a title", "x")
	first, second := b.entry(st), b.entry(st)
	mustAccept(t, s, back(first)[0], second)
	if out, err := s.Accept([]Entry{first}); err != nil || out[0].Verdict != trust.Known || out[0].N != 0 {
		t.Errorf("got %+v, %v, want known", out, err)
	}
	if got := closed(t, s, b.epoch); len(got) != 0 || len(ids(t, s, Query{})) != 1 {
		t.Errorf("got %d that wait, %d messages", len(got), len(ids(t, s, Query{})))
	}
	indexAll(t, s)
	mustClean(t, s, b.lookup)
}

// A full store makes no message of what waits, and does so once there is room.
func TestOpenedWhenFull(t *testing.T) {
	s := openTest(t, "", Options{})
	f := fillRoom(t, s)
	s.opt.MaxBytes = s.Stats().Bytes + 100
	if _, err := s.Accept(f.closed[:1]); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	f.check(t, s)
	s.opt.MaxBytes = 0
	if out, err := s.Accept(f.closed); err != nil || out[0].Verdict != trust.Accept || out[2].N != 5 {
		t.Errorf("got %+v, %v", out, err)
	}
	indexAll(t, s)
	mustClean(t, s, f.b.lookup)
}

// Pruning takes what waits with it, also where a newer entry of the feed goes first.
func TestPruneClosed(t *testing.T) {
	ck := newClock()
	s := openTest(t, "", Options{Now: ck.now})
	f := fillRoom(t, s)
	ck.t = ck.t.Add(time.Hour)
	sum, err := s.PruneTag(t.Context(), roomTag(f.room), protocol.TeamID{}, ck.t)
	if err != nil || sum.Messages != 2 {
		t.Errorf("got %+v, %v, want two messages", sum, err)
	}
	if keys := keysOf(t, s, kClosed); len(keys) != 0 || s.Stats().Parcels != 0 {
		t.Errorf("got %d that wait, %+v", len(keys), s.Stats())
	}
	if got := roomRecords(t, s)[f.room]; len(got) != 3 {
		t.Errorf("got %d records, want all three: they are no messages", len(got))
	}
	if out, err := s.Accept(f.their); err != nil || s.Stats().Parcels != 0 {
		t.Errorf("what was pruned: got %+v, %v", out, err)
	}
	mustClean(t, s, f.b.lookup)

	// The newest, which alone is left, goes on its own.
	links := back(f.b.entries(2)...)
	mustAccept(t, s, links...)
	ck.t = ck.t.Add(time.Hour)
	if _, err := s.PruneTag(t.Context(), roomTag(f.room), protocol.TeamID{}, ck.t); err != nil {
		t.Fatal(err)
	}
	if keys := keysOf(t, s, kClosed); len(keys) != 0 {
		t.Errorf("got %d that wait", len(keys))
	}
	mustClean(t, s, f.b.lookup)
}

// A room of 250 nodes is one channel with as many feeds. The quota of one author is that author's alone, in the room as elsewhere.
func TestManyFeeds(t *testing.T) {
	ck := newClock()
	s := openTest(t, "", Options{Now: ck.now, DailyQuota: 8000})
	room, epoch := protocol.Sum("room"), protocol.Sum("epoch")
	var authors []*author
	for i := range 250 {
		a := newAuthor(t, fmt.Sprint("team ", i)).in(room, epoch)
		authors = append(authors, a)
		mustAccept(t, s, a.entry(a.statement("early", "x")), back(a.entry(a.statement("closed", "x")))[0])
	}
	noise := newAuthor(t, "noise")
	mustAccept(t, s, noise.entries(3)...)
	ck.t = ck.t.Add(time.Hour)
	big := authors[7]
	mustAccept(t, s, big.entry(big.statement("big", string(blobBytes(4000)))))
	if out, _ := s.Accept([]Entry{big.sign(big.statement("big", string(blobBytes(4000))), big.seq+1, big.head)}); out != nil && out[0].Err == nil {
		t.Fatal("the quota does not hold")
	}
	for _, a := range authors {
		if a != big {
			mustAccept(t, s, a.entry(a.statement("late", "x")))
		}
	}
	x := authors[9]
	ref := refOf(blobBytes(ChunkSize + 9))
	st := x.sealedBig(blobBytes(ChunkSize + 9))
	ck.t = ck.t.Add(24 * time.Hour)
	s.opt.DailyQuota = 0
	mustAccept(t, s, x.entry(st))
	if err := s.WantedBlobs(func(r protocol.BlobRef, _ protocol.Hash, tags []protocol.Hash) bool {
		if r != ref || !slices.Equal(tags, []protocol.Hash{roomTag(room)}) {
			t.Errorf("got blob %+v in %v", r, tags)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	tag := Query{Tag: roomTag(room)}
	if got := ids(t, s, tag); len(got) != 501 {
		t.Errorf("got %d messages, want 501", len(got))
	}
	tag.Newest, tag.Limit = true, 1
	if got := ids(t, s, tag); len(got) != 1 {
		t.Errorf("got %d messages, want the newest", len(got))
	}
	if got := closed(t, s, epoch); len(got) != 250 {
		t.Errorf("got %d that wait, want 250", len(got))
	}
	sum, err := s.PruneTag(t.Context(), roomTag(room), authors[3].team, ck.t.Add(-24*time.Hour-time.Minute))
	if err != nil || sum.Messages != 249 {
		t.Errorf("got %+v, %v, want 249 messages", sum, err)
	}
	if got := ids(t, s, Query{}); len(got) != 252+3 {
		t.Errorf("got %d messages, want 255", len(got))
	}
	if err := s.SetFirst(authors[3].feed, 3); err != nil {
		t.Fatal(err)
	}
	indexAll(t, s)
	mustClean(t, s, lookupAll(append(authors, noise)...))
}

// When a record came first stays what it was when it comes again with more signatures, and after the store was opened anew.
func TestRoomRecordsKeepWhenTheyCame(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1_800_000_000, 0)
	opt := Options{Now: func() time.Time { return now }}
	s := openTest(t, dir, opt)
	a, room := newAuthor(t, "at"), protocol.Sum("room")
	e := leave(t, a, room, 1)
	if err := s.PutRoomRecords(room, e); err != nil {
		t.Fatal(err)
	}
	first := now
	now = now.Add(time.Hour)
	if err := s.PutRoomRecords(room, e, leave(t, a, room, 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := map[protocol.Hash]time.Time{}
	if err := openTest(t, dir, opt).RoomRecords(func(_ protocol.Hash, seen time.Time, e *protocol.Envelope) error {
		got[e.ID()] = seen
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[e.ID()].Equal(first) {
		t.Errorf("got %v, want %v for the first", got, first)
	}
	for id, at := range got {
		if id != e.ID() && !at.Equal(now) {
			t.Errorf("the second: got %v, want %v", at, now)
		}
	}
}
