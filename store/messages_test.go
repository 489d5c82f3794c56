package store

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A clock stands still until it is moved.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newClock() *clock { return &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func TestInbox(t *testing.T) {
	ck := newClock()
	start := ck.t
	s := openTest(t, "", Options{Now: ck.now})
	a, b := newAuthor(t, "at"), newAuthor(t, "de")
	for i := range 40 {
		au := a
		if i%4 == 0 {
			au = b
		}
		st := au.statement(fmt.Sprint("title ", i+1), fmt.Sprint("body ", i+1))
		if i%5 == 0 {
			st.Label = tlp.Clear
		}
		mustAccept(t, s, au.entry(st))
		ck.t = ck.t.Add(time.Minute)
		if i == 20 {
			ck.t = ck.t.Add(-10 * time.Minute) // the clock is set back: the time of receipt stands still
		}
	}
	for _, c := range []struct {
		name string
		q    Query
		want string
	}{
		{"oldest", Query{Limit: 3}, "[1 2 3]"},
		{"after", Query{After: 37}, "[38 39 40]"},
		{"after, newest", Query{After: 37, Newest: true, Limit: 2}, "[39 40]"},
		{"newest", Query{Newest: true, Limit: 4}, "[37 38 39 40]"},
		{"label", Query{Label: tlp.Clear, Newest: true, Limit: 3}, "[26 31 36]"},
		{"author", Query{From: b.team, Limit: 3}, "[1 5 9]"},
		{"both", Query{From: b.team, Label: tlp.Clear}, "[1 21]"},
		{"since", Query{Since: start.Add(18 * time.Minute), Limit: 2}, "[19 20]"},
		{"since, newest", Query{Since: start.Add(18 * time.Minute), Newest: true, Limit: 100, From: b.team}, "[21 25 29 33 37]"},
		{"since the future", Query{Since: start.Add(time.Hour)}, "[]"},
		{"after all", Query{After: 40}, "[]"},
	} {
		got := []uint64{}
		if err := s.Inbox(c.q, func(m *Message) bool { got = append(got, m.N); return true }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
	if err := s.Inbox(Query{Bodies: true, Limit: 1}, func(m *Message) bool {
		if string(m.Statement.Body.Inline) != "body 1" {
			t.Errorf("got body %q", m.Statement.Body.Inline)
		}
		return true
	}); err != nil {
		t.Error(err)
	}
	last := time.Time{}
	if err := s.Inbox(Query{}, func(m *Message) bool {
		if m.Received.Before(last) {
			t.Errorf("message %d was received before its predecessor", m.N)
		}
		last = m.Received
		return true
	}); err != nil {
		t.Error(err)
	}
}

func TestFindID(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(40) // more than 16: two begin alike
	mustAccept(t, s, es...)
	id := es[7].StatementID
	for _, n := range []int{64, 20, 11} {
		if got, err := s.FindID(id.String()[:n]); err != nil || got != id {
			t.Errorf("%d digits: got %s, %v", n, got, err)
		}
	}
	counts := map[byte]int{}
	for _, e := range es {
		counts[e.StatementID.String()[0]]++
	}
	for _, d := range []byte("0123456789abcdef") {
		_, err := s.FindID(string(d))
		want := []error{ErrNotFound, nil, ErrAmbiguous}[min(counts[d], 2)]
		if !errors.Is(err, want) {
			t.Errorf("digit %c, with %d ids: got %v, want %v", d, counts[d], err, want)
		}
	}
	for _, bad := range []string{"", "xyz", "12g", id.String() + "0"} {
		if _, err := s.FindID(bad); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%q: got %v, want an error that says why", bad, err)
		}
	}
	if _, err := s.Message(protocol.Sum("none")); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestOpenBodyInline(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	e := a.entry(a.statement("t", "0123456789"))
	mustAccept(t, s, e)
	r, size, err := s.OpenBody(e.StatementID)
	if err != nil || size != 10 {
		t.Fatal(size, err)
	}
	defer r.Close()
	if _, err := r.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); string(b) != "456789" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}

// A statement that its author says again in another parcel is one message.
func TestSaidAgain(t *testing.T) {
	ck := newClock()
	s := openTest(t, "", Options{Now: ck.now})
	a := newAuthor(t, "at")
	st := a.statement("t", "x")
	out := mustAccept(t, s, a.entry(st), a.entry(st), a.entry(a.statement("u", "y")))
	if out[0].N != 1 || out[1].N != 0 || out[2].N != 2 {
		t.Errorf("got %+v", out)
	}
	indexAll(t, s)
	mustClean(t, s, a.lookup)
	ck.t = ck.t.Add(time.Hour)
	if _, err := s.Prune(t.Context(), ck.t); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Parcels != 0 || got.Messages != 0 {
		t.Errorf("got %+v, want nothing left", got)
	}
}

func TestSearch(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	a := newAuthor(t, "at")
	for i := range 60 {
		mustAccept(t, s, a.entry(a.statement(fmt.Sprint(i%3), "x")))
	}
	if got := s.Stats().Pending; got != 60 {
		t.Errorf("got %d pending, want 60", got)
	}
	if n := indexAll(t, s); n != 60 {
		t.Errorf("indexed %d, want 60", n)
	}
	for _, c := range []struct {
		terms []string
		limit int
		want  string
	}{
		{[]string{"title:0"}, 3, "[58 55 52]"},
		{[]string{"all", "title:1"}, 2, "[59 56]"},
		{[]string{"title:1", "all", "title:1"}, 2, "[59 56]"},
		{[]string{"title:1", "title:2"}, 0, "[]"},
		{[]string{"none"}, 0, "[]"},
	} {
		got := []uint64{}
		ms, err := s.SearchTerms(c.terms, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			got = append(got, m.N)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%v: got %v, want %s", c.terms, got, c.want)
		}
	}
	if ms, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(ms) != 60 {
		t.Errorf("got %d, %v, want 60", len(ms), err)
	}
	if _, err := s.SearchTerms(nil, 0); err == nil {
		t.Error("a search for nothing: got no error")
	}
	if _, err := s.SearchTerms(make([]string, MaxQueryTerms+1), 0); err == nil {
		t.Error("a search for too much: got no error")
	}
	mustClean(t, s, a.lookup)
}

// Indexing goes on where it was after the store was opened anew, and skips nothing when it is done out of order.
func TestIndexCursor(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	a := newAuthor(t, "at")
	mustAccept(t, s, a.entries(10)...)
	pending := func() string {
		ms, err := s.IndexPending(100)
		if err != nil {
			t.Fatal(err)
		}
		var ns []uint64
		for _, m := range ms {
			if len(m.Statement.Body.Inline) == 0 {
				t.Errorf("message %d has no body to index", m.N)
			}
			ns = append(ns, m.N)
		}
		return fmt.Sprint(ns)
	}
	for _, n := range []uint64{1, 2, 5, 4} {
		if err := s.Index(n, []string{"x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{})
	if got := pending(); got != "[3 4 5 6 7 8 9 10]" {
		t.Errorf("got %s", got)
	}
	if err := s.Index(3, nil); err != nil {
		t.Fatal(err)
	}
	if got := pending(); got != "[6 7 8 9 10]" {
		t.Errorf("got %s", got)
	}
	if err := s.IndexAll([]Terms{{6, nil}, {7, []string{"x"}}, {8, nil}, {9, nil}, {10, nil}, {11, []string{"not there"}}}); err != nil {
		t.Fatal(err)
	}
	if got := pending(); got != "[]" {
		t.Errorf("got %s", got)
	}
	if ms, err := s.SearchTerms([]string{"x"}, 0); err != nil || len(ms) != 5 {
		t.Errorf("got %d, %v, want 5", len(ms), err)
	}
	mustClean(t, s, a.lookup)
}

// A message with more terms than fit into one transaction.
func TestManyTerms(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	mustAccept(t, s, a.entries(1)...)
	var terms []string
	for i := range 4500 {
		terms = append(terms, fmt.Sprint("ip:", i))
	}
	if err := s.Index(1, terms); err != nil {
		t.Fatal(err)
	}
	for _, term := range []string{terms[0], terms[2000], terms[4499]} {
		if ms, err := s.SearchTerms([]string{term}, 0); err != nil || len(ms) != 1 {
			t.Errorf("%s: got %d, %v", term, len(ms), err)
		}
	}
	mustClean(t, s, a.lookup)
	if _, err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Bytes; got != 0 {
		t.Errorf("got %d bytes after pruning all, want 0", got)
	}
	mustClean(t, s, a.lookup)
}
