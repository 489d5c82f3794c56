package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// smallFiles makes Badger write several files of each kind.
func smallFiles(t *testing.T) {
	testOnlyTune = func(o badger.Options) badger.Options {
		if o.InMemory {
			return o
		}
		return o.WithMemTableSize(1 << 20).WithValueLogFileSize(1 << 20)
	}
	t.Cleanup(func() { testOnlyTune = nil })
}

// A damage is something that happens to a file.
type damage struct {
	name string
	do   func(b []byte) []byte
}

func garble(at func(n int) int) func([]byte) []byte {
	return func(b []byte) []byte {
		for i := at(len(b)); i < min(at(len(b))+64, len(b)); i++ {
			b[i] ^= 0xa5
		}
		return b
	}
}

var damages = []damage{
	{"cut at a half", func(b []byte) []byte { return b[:len(b)/2] }},
	{"cut near the end", func(b []byte) []byte { return b[:len(b)-min(len(b), 100)] }},
	{"garbled near the beginning", garble(func(n int) int { return min(n, 2000) })},
	{"garbled at a half", garble(func(n int) int { return n / 2 })},
	{"garbled at the end", garble(func(n int) int { return max(n-200, 0) })},
	{"zeros from a half", func(b []byte) []byte { clear(b[len(b)/2:]); return b }},
}

// A power failure or a bad disk damages the files of the store, which Badger mostly does not notice. Whatever is read then is
// right or not found; what is lost is a hole, and can be taken in again, once.
func TestDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("opens dozens of damaged stores")
	}
	smallFiles(t)
	src := t.TempDir()
	a, b := newAuthor(t, "at"), newAuthor(t, "de")
	big := blobBytes(ChunkSize + 100)
	var es []Entry
	s := openTest(t, src, Options{})
	add := func(n int) {
		for i := range n {
			au := a
			if i%3 == 0 {
				au = b
			}
			st := au.statement(fmt.Sprint("title ", i), strings.Repeat("body ", i%7*100+1))
			e := au.entry(st)
			es = append(es, e)
		}
		mustAccept(t, s, es[len(es)-n:]...)
	}
	add(80)
	mustAccept(t, s, func() Entry { e := a.entry(a.big(big)); es = append(es, e); return e }())
	writeBlob(t, s, big)
	indexAll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, src, Options{})
	add(80)
	indexAll(t, s)
	// What a crash of the machine leaves, and what an orderly end leaves.
	crashed, closed := t.TempDir(), t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(closed, os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
	byID := map[protocol.Hash]Entry{}
	for _, e := range es {
		byID[e.StatementID] = e
	}
	lookup := func(kid protocol.KID) (protocol.PublicKey, bool) {
		if k, ok := a.lookup(kid); ok {
			return k, ok
		}
		return b.lookup(kid)
	}
	var opened, lost atomic.Int64
	t.Run("files", func(t *testing.T) {
		for _, base := range []string{crashed, closed} {
			for i, file := range someFiles(t, base) {
				for j, d := range damages {
					if !thorough && (i+j)%2 == 1 {
						continue // each file and each damage has its turn all the same
					}
					t.Run(fmt.Sprintf("%s/%s of %s", d.name, filepath.Base(file), map[string]string{crashed: "a crash", closed: "an end"}[base]), func(t *testing.T) {
						t.Parallel()
						s := openDamaged(t, base, file, d)
						if s == nil {
							return // said aloud: the operator restores
						}
						opened.Add(1)
						lost.Add(int64(checkDamaged(t, s, []*author{a, b}, es, byID, big)))
						first, err := s.Fsck(t.Context(), FsckOptions{Repair: true})
						if err != nil {
							t.Error(err)
						}
						heal(t, s, es, big)
						if _, err := s.Fsck(t.Context(), FsckOptions{Repair: true}); err != nil {
							t.Error(err)
						}
						indexAll(t, s)
						if again, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup}); err != nil || again.Found != 0 {
							t.Errorf("after healing: %v, %v; at first: %v", err, again.Problems, first.Problems)
						}
						whole(t, s, es)
					})
				}
			}
		}
	})
	t.Logf("%d damaged stores opened, %d messages lost in them", opened.Load(), lost.Load())
	if opened.Load() < 10 || lost.Load() == 0 {
		t.Errorf("got %d opened with %d messages lost: the damage was none", opened.Load(), lost.Load())
	}
}

// someFiles are up to three files of each kind.
func someFiles(t *testing.T, base string) (files []string) {
	t.Helper()
	for _, pattern := range []string{"*.vlog", "*.mem", "*.sst", "MANIFEST"} {
		m, err := filepath.Glob(filepath.Join(base, pattern))
		if err != nil {
			t.Fatal(err)
		}
		if len(m) > 3 {
			m = []string{m[0], m[len(m)/2], m[len(m)-1]}
		}
		files = append(files, m...)
	}
	return files
}

// openDamaged opens a copy of base with one file damaged; nil if the store says that it cannot be opened.
func openDamaged(t *testing.T, base, file string, d damage) *Store {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, filepath.Base(file))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, d.do(data), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, newTestKeys("test"), Options{})
	if err != nil {
		t.Log(err)
		return nil
	}
	<-s.verified
	_, err = s.Extents()
	if !errors.Is(err, ErrBroken) {
		t.Cleanup(func() { s.Close() })
		return s
	}
	// A damaged table was found: said, and mended at the next opening.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openTest(t, dir, Options{})
}

// checkDamaged reads everything that can be read, and compares it. It returns how many messages are lost.
func checkDamaged(t *testing.T, s *Store, authors []*author, es []Entry, byID map[protocol.Hash]Entry, big []byte) (lost int) {
	t.Helper()
	for _, e := range es {
		m, err := s.Message(e.StatementID)
		if errors.Is(err, ErrNotFound) {
			lost++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !m.Complete {
			lost++
		} else if m.Statement.Title != e.Statement.Title || !bytes.Equal(m.Statement.Body.Inline, e.Statement.Body.Inline) {
			t.Fatalf("wrong data was read")
		}
		if r, _, err := s.OpenBody(e.StatementID); err == nil && e.Statement.Body.External() {
			if got, err := io.ReadAll(r); err == nil && !bytes.Equal(got, big) {
				t.Fatalf("wrong data was read from a blob")
			}
		}
	}
	if err := s.Inbox(Query{}, func(m *Message) bool {
		if e, ok := byID[m.ID]; !ok || e.Statement.Title != m.Statement.Title {
			t.Fatalf("wrong data in the inbox")
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SearchTerms([]string{"all"}, 0); err != nil {
		t.Fatal(err)
	}
	for _, au := range authors {
		x, ok, err := s.Extent(au.feed)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		got := map[uint64]bool{}
		if err := s.Range(au.feed, 1, 0, false, func(seq uint64, raw []byte) bool {
			got[seq] = true
			for _, e := range es {
				if e.Parcel.Feed == au.feed && e.Parcel.Seq == seq && !bytes.Equal(e.Raw, raw) {
					t.Fatalf("wrong data in a feed")
				}
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		// Having read everything, the store knows its holes.
		if x, _, err = s.Extent(au.feed); err != nil {
			t.Fatal(err)
		}
		missing := map[uint64]bool{}
		spans, err := s.Missing(au.feed, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, sp := range spans {
			for seq := sp.From; seq <= sp.To; seq++ {
				missing[seq] = true
			}
		}
		for seq := uint64(1); seq <= au.seq; seq++ {
			if seq <= x.Max && got[seq] == missing[seq] {
				t.Errorf("entry %d: read %v, missing %v; %+v", seq, got[seq], missing[seq], x)
				break
			}
		}
	}
	return lost
}

// heal hands over everything again, as peers do.
func heal(t *testing.T, s *Store, es []Entry, big []byte) {
	t.Helper()
	out, err := s.Accept(es)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if o.Err != nil || o.Verdict != trust.Accept && o.Verdict != trust.Known {
			t.Fatalf("accepting entry %d again: got %+v", es[i].Parcel.Seq, o)
		}
	}
	if err := s.WantedBlobs(func(r protocol.BlobRef, _ protocol.Hash, _ []protocol.Hash) bool {
		writeBlob(t, s, big)
		return false
	}); err != nil {
		t.Fatal(err)
	}
}

// whole checks that everything is there, and nothing twice.
func whole(t *testing.T, s *Store, es []Entry) {
	t.Helper()
	seen := map[protocol.Hash]int{}
	for _, id := range ids(t, s, Query{}) {
		seen[id]++
	}
	for _, e := range es {
		if m, err := s.Message(e.StatementID); err != nil || !m.Complete || seen[e.StatementID] != 1 {
			t.Errorf("entry %d: got %v, complete %v, %d times in the inbox", e.Parcel.Seq, err, err == nil && m.Complete, seen[e.StatementID])
			return
		}
	}
	if ms, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(ms) != len(seen) {
		t.Errorf("found %d messages, %v, want %d", len(ms), err, len(seen))
	}
}
