package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// fill puts something of everything into a store.
func fill(t *testing.T, s *Store) (*author, []Entry) {
	t.Helper()
	a := newAuthor(t, "at")
	es := a.entries(20)
	data, half := blobBytes(ChunkSize+1), blobBytes(2*ChunkSize)
	es = append(es, a.entry(a.big(data)), a.entry(a.big(half)))
	mustAccept(t, s, es...)
	writeBlob(t, s, data)
	w, err := s.BlobWriter(refOf(half))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(half[:ChunkSize]); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if _, err := s.Accept([]Entry{a.sign(a.statement("fork", "x"), 3, es[1].Envelope.ID())}); err != nil {
		t.Fatal(err)
	}
	indexAll(t, s)
	return a, es
}

func TestBackup(t *testing.T) {
	src := openTest(t, t.TempDir(), Options{})
	a, es := fill(t, src)
	putIdentity(t, src)
	room := fillRoom(t, src)
	var b bytes.Buffer
	if err := src.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if bytes.Contains(b.Bytes(), []byte(e.Statement.Title)) || len(e.Statement.Body.Inline) > 0 && bytes.Contains(b.Bytes(), e.Statement.Body.Inline) {
			t.Fatal("the backup has content in the clear")
		}
	}
	for _, dir := range []string{"", t.TempDir()} {
		dst := openTest(t, dir, Options{})
		if err := dst.Load(t.Context(), bytes.NewReader(b.Bytes())); err != nil {
			t.Fatal(err)
		}
		whole(t, dst, es[:21])
		mustClean(t, dst, lookupAll(a, room.b))
		checkIdentity(t, dst)
		room.check(t, dst)
		if x, _, _ := dst.Extent(a.feed); x.Next != 23 || x.Head != a.head || !x.Forked {
			t.Errorf("got %+v", x)
		}
		if have, _, _, _ := dst.BlobHave(es[21].Statement.Body.Hash); have != ChunkSize {
			t.Errorf("a blob under way: got %d bytes, want one chunk", have)
		}
		got, want := dst.Stats(), src.Stats()
		if got.Messages != want.Messages || got.Bytes != want.Bytes || got.LastN != want.LastN || got.Pending != want.Pending {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if err := dst.Load(t.Context(), bytes.NewReader(b.Bytes())); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("loading again: got %v, want ErrNotEmpty", err)
		}
		a := *a
		mustAccept(t, dst, a.entry(a.statement("next", "x")))
	}
}

// A backup that is cut or changed anywhere is refused, and leaves nothing behind.
func TestLoadRefuses(t *testing.T) {
	src := openTest(t, "", Options{})
	a, _ := fill(t, src)
	var buf bytes.Buffer
	if err := src.Backup(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	good := buf.Bytes()
	type badBackup struct {
		name string
		data []byte
	}
	bad := []badBackup{{"nothing", nil}, {"more at the front", append([]byte("x"), good...)}}
	for _, n := range []int{1, 40, 41, len(good) / 2} {
		bad = append(bad, badBackup{fmt.Sprint("cut by ", n), good[:len(good)-n]})
		changed := bytes.Clone(good)
		changed[len(good)-n] ^= 1
		bad = append(bad, badBackup{fmt.Sprint("changed at ", n), changed})
	}
	newer := bytes.Clone(good)
	newer[len(backupMagic)+7]++
	bad = append(bad, badBackup{"newer", newer})
	s := openTest(t, "", Options{})
	for _, b := range bad {
		if err := s.Load(t.Context(), bytes.NewReader(b.data)); err == nil || errors.Is(err, ErrNotEmpty) {
			t.Errorf("%s: got %v, want a refusal", b.name, err)
		}
	}
	if err := s.Load(t.Context(), bytes.NewReader(newer)); !errors.Is(err, ErrSchema) {
		t.Errorf("newer: got %v, want ErrSchema", err)
	}
	if err := s.Load(t.Context(), bytes.NewReader(good)); err != nil {
		t.Errorf("after all refusals: got %v", err)
	}
	mustClean(t, s, a.lookup)

	other, err := OpenMemory(newTestKeys("other"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Load(t.Context(), bytes.NewReader(good)); err == nil {
		t.Error("with other keys: got no error")
	}
	if _, ok, err := other.Extent(a.feed); ok || err != nil {
		t.Errorf("after a refusal something is left: %v, %v", ok, err)
	}
	small := openTest(t, "", Options{MaxBytes: 1000})
	if err := small.Load(t.Context(), bytes.NewReader(good)); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the cap: got %v, want ErrFull", err)
	}
}

func TestWrongKeys(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	a := newAuthor(t, "at")
	mustAccept(t, s, a.entries(3)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, newTestKeys("other"), Options{}); err == nil {
		t.Fatal("with other keys: got no error")
	}
	s = openTest(t, dir, Options{})
	if _, err := Open(dir, newTestKeys("test"), Options{}); err == nil {
		t.Fatal("while it is open: got no error")
	}
	mustAccept(t, s, a.entries(1)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{})
	if got := ids(t, s, Query{}); len(got) != 4 {
		t.Errorf("got %d messages, want 4", len(got))
	}
}

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	a := newAuthor(t, "at")
	mustAccept(t, s, a.entries(5)...)
	// A layout of old: ids lead to messages under another letter.
	move := func(from, to byte) func(s *Store) error {
		return func(s *Store) error {
			return s.update(func(t *tx) error {
				var keys [][]byte
				err := t.scan([]byte{from}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
					keys = append(keys, item.KeyCopy(nil))
					return true, nil
				})
				if err != nil {
					return err
				}
				for _, k := range keys {
					v, err := t.read(k, s.local)
					if err != nil {
						return err
					}
					if err := t.Delete(k); err != nil {
						return err
					}
					if _, err := t.put(append([]byte{to}, k[1:]...), s.local, v); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := errors.Join(move(kID, 'I')(s), s.setSchema(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Message(protocol.Hash{}); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	runs := 0
	table := map[uint64]migration{1: func(*Store) error { runs++; return nil }, 2: move('I', kID)}
	if err := s.migrate(3, table); err != nil {
		t.Fatal(err)
	}
	if v, err := s.schema(); v != 3 || err != nil || runs != 1 {
		t.Errorf("got version %d, %v, %d runs, want 3", v, err, runs)
	}
	if err := s.migrate(3, table); err != nil || runs != 1 {
		t.Errorf("again: got %v, %d runs", err, runs)
	}
	if err := s.migrate(5, table); err == nil {
		t.Error("without a way: got no error")
	}
	indexAll(t, s)
	mustClean(t, s, a.lookup)
	table[3] = func(*Store) error { return errors.New("no") }
	if err := s.migrate(4, table); err == nil {
		t.Error("a migration that fails: got no error")
	}
	if v, _ := s.schema(); v != 3 {
		t.Errorf("after a failed migration: got version %d, want 3", v)
	}
	if err := errors.Join(s.setSchema(schemaVersion+1), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, newTestKeys("test"), Options{}); !errors.Is(err, ErrSchema) {
		t.Errorf("a newer store: got %v, want ErrSchema", err)
	}
}

// Whatever the bytes are, reading a backup ends, in little memory.
func FuzzBackupReader(f *testing.F) {
	s, err := OpenMemory(newTestKeys("test"), Options{})
	if err != nil {
		f.Fatal(err)
	}
	a := newAuthor(f, "at")
	mustAccept(f, s, a.entries(2)...)
	var b bytes.Buffer
	if err := errors.Join(s.Backup(f.Context(), &b), s.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes()[len(backupMagic)+8:])
	f.Add([]byte{1, 1, 'c', 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &hashReader{r: bufio.NewReader(bytes.NewReader(data)), h: sha256.New()}
		for n := 0; ; n++ {
			k, v, err := in.entry(1)
			if err != nil {
				if !errors.Is(err, errEnd) && !errors.Is(err, errCut) {
					t.Errorf("got %v", err)
				}
				return
			}
			if n > len(data) || !ours(k, 1) || len(v) > maxBackupValue {
				t.Errorf("entry %d: a key of %d bytes, a value of %d", n, len(k), len(v))
			}
		}
	})
}
