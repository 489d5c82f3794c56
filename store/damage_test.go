package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
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
	add(150)
	mustAccept(t, s, func() Entry { e := a.entry(a.big(big)); es = append(es, e); return e }())
	writeBlob(t, s, big)
	indexAll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, src, Options{})
	add(200)
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
	opened, lost := 0, 0
	for _, base := range []string{crashed, closed} {
		var files []string
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
		for _, file := range files {
			for _, d := range damages {
				name := fmt.Sprintf("%s of %s, %s", filepath.Base(file), filepath.Base(base), d.name)
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
					os.RemoveAll(dir)
					continue // said aloud: the operator restores
				}
				<-s.verified
				if _, err := s.Extents(); errors.Is(err, ErrBroken) { // a damaged table was found: said, and mended at the next opening
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if s, err = Open(dir, newTestKeys("test"), Options{}); err != nil {
						t.Fatalf("%s: opening again: %v", name, err)
					}
				}
				opened++
				lost += checkDamaged(t, name, s, []*author{a, b}, es, byID, big)
				rep, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup, Repair: true})
				if err != nil {
					t.Errorf("%s: fsck: %v", name, err)
				}
				heal(t, name, s, es, big)
				if again, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup, Repair: true}); err != nil {
					t.Errorf("%s: fsck: %v, %+v", name, err, again)
				}
				indexAll(t, s)
				if again, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup}); err != nil || again.Found != 0 {
					t.Errorf("%s: after healing: %v, %v; at first: %v", name, err, again.Problems, rep.Problems)
				}
				whole(t, name, s, es)
				if err := s.Close(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				os.RemoveAll(dir)
			}
		}
	}
	t.Logf("%d damaged stores opened, %d messages lost in them", opened, lost)
	if opened < 10 || lost == 0 {
		t.Errorf("got %d opened with %d messages lost: the damage was none", opened, lost)
	}
}

// checkDamaged reads everything that can be read, and compares it. It returns how many messages are lost.
func checkDamaged(t *testing.T, name string, s *Store, authors []*author, es []Entry, byID map[protocol.Hash]Entry, big []byte) (lost int) {
	t.Helper()
	for _, e := range es {
		m, err := s.Message(e.StatementID)
		if errors.Is(err, ErrNotFound) {
			lost++
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !m.Complete {
			lost++
		} else if m.Statement.Title != e.Statement.Title || !bytes.Equal(m.Statement.Body.Inline, e.Statement.Body.Inline) {
			t.Fatalf("%s: wrong data was read", name)
		}
		if r, _, err := s.OpenBody(e.StatementID); err == nil && e.Statement.Body.External() {
			if got, err := io.ReadAll(r); err == nil && !bytes.Equal(got, big) {
				t.Fatalf("%s: wrong data was read from a blob", name)
			}
		}
	}
	if err := s.Inbox(Query{}, func(m *Message) bool {
		if e, ok := byID[m.ID]; !ok || e.Statement.Title != m.Statement.Title {
			t.Fatalf("%s: wrong data in the inbox", name)
		}
		return true
	}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if _, err := s.SearchTerms([]string{"all"}, 0); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, au := range authors {
		x, ok, err := s.Extent(au.feed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !ok {
			continue
		}
		got := map[uint64]bool{}
		if err := s.Range(au.feed, 1, 0, false, func(seq uint64, raw []byte) bool {
			got[seq] = true
			for _, e := range es {
				if e.Parcel.Feed == au.feed && e.Parcel.Seq == seq && !bytes.Equal(e.Raw, raw) {
					t.Fatalf("%s: wrong data in a feed", name)
				}
			}
			return true
		}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// Having read everything, the store knows its holes.
		if x, _, err = s.Extent(au.feed); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		missing := map[uint64]bool{}
		spans, err := s.Missing(au.feed, 10_000)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, sp := range spans {
			for seq := sp.From; seq <= sp.To; seq++ {
				missing[seq] = true
			}
		}
		for seq := uint64(1); seq <= au.seq; seq++ {
			if seq <= x.Max && got[seq] == missing[seq] {
				t.Errorf("%s: entry %d: read %v, missing %v; %+v", name, seq, got[seq], missing[seq], x)
				break
			}
		}
	}
	return lost
}

// heal hands over everything again, as peers do.
func heal(t *testing.T, name string, s *Store, es []Entry, big []byte) {
	t.Helper()
	out, err := s.Accept(es)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for i, o := range out {
		if o.Err != nil || o.Verdict != trust.Accept && o.Verdict != trust.Known {
			t.Fatalf("%s: accepting entry %d again: got %+v", name, es[i].Parcel.Seq, o)
		}
	}
	if err := s.WantedBlobs(func(r protocol.BlobRef, _ protocol.Hash) bool {
		writeBlob(t, s, big)
		return false
	}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// whole checks that everything is there, and nothing twice.
func whole(t *testing.T, name string, s *Store, es []Entry) {
	t.Helper()
	seen := map[protocol.Hash]int{}
	for _, id := range ids(t, s, Query{}) {
		seen[id]++
	}
	for _, e := range es {
		if m, err := s.Message(e.StatementID); err != nil || !m.Complete || seen[e.StatementID] != 1 {
			t.Errorf("%s: entry %d: got %v, complete %v, %d times in the inbox", name, e.Parcel.Seq, err, err == nil && m.Complete, seen[e.StatementID])
			return
		}
	}
	if ms, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(ms) != len(es) {
		t.Errorf("%s: found %d messages, %v, want %d", name, len(ms), err, len(es))
	}
}
