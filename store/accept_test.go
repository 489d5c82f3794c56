package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

func TestAcceptAndRead(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := openTest(t, dir, Options{})
		a := newAuthor(t, "at")
		es := a.entries(20)
		out := mustAccept(t, s, es...)
		for i, o := range out {
			if o.N != uint64(i+1) {
				t.Errorf("entry %d: got N %d, want %d", i, o.N, i+1)
			}
			m, err := s.Message(es[i].StatementID)
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Statement.Body.Inline) != string(es[i].Statement.Body.Inline) || !m.Complete || m.Via != "peer" || m.Parcel != es[i].Envelope.ID() {
				t.Errorf("entry %d: got %+v", i, m)
			}
		}
		x, ok, err := s.Extent(a.feed)
		want := Extent{Feed: a.feed, Node: a.key.Public().ID(), Team: a.team, First: 1, Next: 21, Head: a.head, Max: 20}
		if err != nil || !ok || x != want {
			t.Errorf("got extent %+v, %v, %v, want %+v", x, ok, err, want)
		}
		var seqs []uint64
		if err := s.Range(a.feed, 3, 7, true, func(seq uint64, raw []byte) bool {
			if string(raw) != string(es[seq-1].Raw) {
				t.Errorf("entry %d: other bytes than accepted", seq)
			}
			seqs = append(seqs, seq)
			return len(seqs) < 4
		}); err != nil || fmt.Sprint(seqs) != "[7 6 5 4]" {
			t.Errorf("got %v, %v, want [7 6 5 4]", seqs, err)
		}
		if got := ids(t, s, Query{Newest: true, Limit: 3}); len(got) != 3 || got[2] != es[19].StatementID || got[0] != es[17].StatementID {
			t.Errorf("newest 3: got %v", got)
		}
		again, err := s.Accept(es[3:5])
		if err != nil || again[0].Verdict != trust.Known || again[0].N != 4 {
			t.Errorf("accepting again: got %+v, %v, want known, 4", again, err)
		}
		if got := s.Stats(); got.Messages != 20 || got.Parcels != 20 || got.LastN != 20 || got.Damaged != 0 {
			t.Errorf("got stats %+v", got)
		}
		indexAll(t, s)
		mustClean(t, s, a.lookup)
	}
}

// Whatever the order of arrival and the size of the calls, the state is the same but for arrival numbers.
func TestAcceptEveryOrder(t *testing.T) {
	a := newAuthor(t, "at")
	b := newAuthor(t, "de")
	es := a.entries(6)
	first := b.entry(b.statement("first", "x"))
	fix := b.statement("second", "y")
	fix.Kind, fix.Supersedes = protocol.KindCorrection, first.StatementID
	second := b.entry(fix)
	fix = b.statement("third", "z")
	fix.Kind, fix.Supersedes = protocol.KindCorrection, first.StatementID
	third := b.entry(fix)
	stranger := newAuthor(t, "xx")
	fix = stranger.statement("not yours", "z")
	fix.Kind, fix.Supersedes = protocol.KindCorrection, first.StatementID
	es = append(es, first, second, third, stranger.entry(fix))
	rapid.Check(t, func(rt *rapid.T) {
		s, err := OpenMemory(newTestKeys("test"), Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		order := rapid.Permutation(es).Draw(rt, "order")
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(rt, "call")
			if _, err := s.Accept(order[:n]); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "twice") {
				if out, err := s.Accept(order[:n]); err != nil || out[0].Verdict != trust.Known {
					rt.Fatalf("second time: got %v, %v", out, err)
				}
			}
			order = order[n:]
		}
		for _, au := range []*author{a, b, stranger} {
			x, _, err := s.Extent(au.feed)
			if err != nil || x.First != 1 || x.Next != au.seq+1 || x.Head != au.head || x.Max != au.seq || x.Forked {
				rt.Fatalf("got extent %+v, %v, want all of %d", x, err, au.seq)
			}
			if holes, err := s.Missing(au.feed, 10); len(holes) != 0 || err != nil {
				rt.Fatalf("got holes %v, %v", holes, err)
			}
		}
		for _, e := range es {
			m, err := s.Message(e.StatementID)
			if err != nil {
				rt.Fatal(err)
			}
			var want protocol.Hash
			if e.StatementID == first.StatementID {
				want = third.StatementID
			}
			if m.Superseded != want {
				rt.Fatalf("%s: superseded by %s, want %s", m.Statement.Title, m.Superseded, want)
			}
		}
		if got := s.Stats().Messages; got != uint64(len(es)) {
			rt.Fatalf("got %d messages, want %d", got, len(es))
		}
	})
}

func TestHoles(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(12)
	mustAccept(t, s, es[1], es[2], es[5], es[9])
	x, _, _ := s.Extent(a.feed)
	if x.First != 1 || x.Next != 1 || x.Max != 10 || !x.Head.IsZero() {
		t.Errorf("got %+v", x)
	}
	holes, err := s.Missing(a.feed, 10)
	if err != nil || fmt.Sprint(holes) != "[{1 1} {4 5} {7 9}]" {
		t.Errorf("got holes %v, %v", holes, err)
	}
	if holes, _ := s.Missing(a.feed, 2); len(holes) != 2 {
		t.Errorf("got %v, want 2 holes", holes)
	}
	// The author says that its feed begins at 5: 1 and 4 are not waited for.
	if err := s.SetFirst(a.feed, 5); err != nil {
		t.Fatal(err)
	}
	holes, _ = s.Missing(a.feed, 10)
	if fmt.Sprint(holes) != "[{5 5} {7 9}]" {
		t.Errorf("got holes %v", holes)
	}
	mustAccept(t, s, es[4])
	if x, _, _ = s.Extent(a.feed); x.First != 5 || x.Next != 7 || x.Head != es[5].Envelope.ID() {
		t.Errorf("got %+v", x)
	}
	if out, err := s.Accept(es[:1]); err != nil || out[0].Verdict != trust.Known || out[0].N != 0 {
		t.Errorf("below First: got %+v, %v, want known", out, err)
	}
	// A feed of which nothing is held yet.
	b := newAuthor(t, "de")
	bs := b.entries(4)
	if err := s.SetFirst(b.feed, 3); err != nil {
		t.Fatal(err)
	}
	mustAccept(t, s, bs[3], bs[2])
	if x, _, _ = s.Extent(b.feed); x.First != 3 || x.Next != 5 || x.Team != b.team {
		t.Errorf("got %+v", x)
	}
}

func TestForkProofOnce(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(5)
	mustAccept(t, s, es[0], es[1], es[2], es[4])
	proofs := 0
	for range 3 {
		other := a.sign(a.statement("other", "other"), 2, es[0].Envelope.ID())
		out, err := s.Accept([]Entry{other})
		if err != nil || out[0].Verdict != trust.Fork {
			t.Fatalf("got %+v, %v, want fork", out, err)
		}
		if p := out[0].Proof; p != nil {
			proofs++
			if err := p.Check(protocol.UseNode, a.key.Public()); err != nil {
				t.Error(err)
			}
		}
	}
	if proofs != 1 {
		t.Errorf("got %d proofs, want 1", proofs)
	}
	if x, _, _ := s.Extent(a.feed); !x.Forked || x.Next != 4 {
		t.Errorf("got %+v, want forked, next 4", x)
	}
	// 4 has a neighbour on each side that it must link to.
	for _, prev := range []protocol.Hash{es[0].Envelope.ID(), es[2].Envelope.ID()} {
		out, err := s.Accept([]Entry{a.sign(a.statement("bad link", "x"), 4, prev)})
		if err != nil || out[0].Verdict != trust.Fork || out[0].Proof != nil {
			t.Errorf("got %+v, %v, want fork without proof", out, err)
		}
	}
	n := 0
	if err := s.Forks(func(feed protocol.FeedID, seq uint64, p protocol.ForkProof) bool {
		n++
		return feed == a.feed && seq == 2 && p.Check(protocol.UseNode, a.key.Public()) == nil
	}); err != nil || n != 1 {
		t.Errorf("got %d stored proofs, %v, want 1", n, err)
	}
	mustAccept(t, s, es[3])
	indexAll(t, s)
	mustClean(t, s, a.lookup)
}

// A stolen node's feed is cut off at 4, after the thief's own 3 and 4 had come in. The true ones take their places, walked
// backwards; what lies beyond the cut-off is void.
func TestRevokedNode(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(4)
	b := *a
	b.seq, b.head = 2, es[1].Envelope.ID()
	thief := []Entry{b.entry(b.statement("thief", "x")), b.entry(b.statement("thief", "y"))}
	mustAccept(t, s, es[0], thief[0], thief[1])
	node := a.node
	node.Revoked = true
	revoked := func(e Entry) Entry { e.Node = node; return e }
	verdict := func(e Entry) trust.Verdict {
		t.Helper()
		out, err := s.Accept([]Entry{revoked(e)})
		if err != nil || out[0].Err != nil {
			t.Fatal(err, out)
		}
		return out[0].Verdict
	}
	if got := verdict(es[1]); got != trust.Quarantine {
		t.Errorf("without a cut-off: got %s, want quarantine", got)
	}
	node.Cutoff = map[protocol.FeedID]protocol.Cutoff{a.feed: {Team: a.team, Node: a.key.Public().ID(), Feed: a.feed, LastSeq: 4, LastHash: es[3].Envelope.ID()}}
	for _, c := range []struct {
		e    Entry
		want trust.Verdict
	}{{es[1], trust.Quarantine}, {es[3], trust.Replace}, {es[2], trust.Replace}, {es[1], trust.Accept}, {es[0], trust.Known}, {thief[0], trust.Void}, {a.entries(1)[0], trust.Void}} {
		if got := verdict(c.e); got != c.want {
			t.Errorf("entry %d: got %s, want %s", c.e.Parcel.Seq, got, c.want)
		}
	}
	got := ids(t, s, Query{})
	for _, e := range es {
		if !slices.Contains(got, e.StatementID) {
			t.Errorf("entry %d is not in the inbox", e.Parcel.Seq)
		}
	}
	if len(got) != 4 {
		t.Errorf("got %d messages, want 4: the thief's are gone", len(got))
	}
	if x, _, _ := s.Extent(a.feed); x.Next != 5 || x.Head != es[3].Envelope.ID() {
		t.Errorf("got %+v", x)
	}
	indexAll(t, s)
	mustClean(t, s, a.lookup)
}

func TestConcurrentAccept(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	var authors []*author
	var wg sync.WaitGroup
	for i := range 8 {
		a := newAuthor(t, fmt.Sprint(i))
		authors = append(authors, a)
		es := a.entries(40)
		wg.Go(func() {
			for i := 0; i < len(es); i += 4 {
				if _, err := s.Accept(es[i : i+4]); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				if err := s.Inbox(Query{Newest: true, Limit: 20}, func(*Message) bool { return true }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	if err := s.Inbox(Query{}, func(m *Message) bool { seen[m.N] = true; return true }); err != nil || len(seen) != 320 || s.LastN() != 320 {
		t.Errorf("got %d messages, last %d, %v, want 320", len(seen), s.LastN(), err)
	}
	for _, a := range authors {
		if x, _, _ := s.Extent(a.feed); x.Next != 41 {
			t.Errorf("got %+v", x)
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(64)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for _, e := range es[i*8 : i*8+8] {
				if _, err := s.Accept([]Entry{e}); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := s.Extents(); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("closing again: got %v, want ErrClosed", err)
	}
}

// After a failed commit nothing is known of what is on the disk, so nothing is written until the store is opened anew.
func TestFailedCommit(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	a := newAuthor(t, "at")
	es := a.entries(3)
	mustAccept(t, s, es[0])
	testOnlyCommit = func() error { return errors.New("input/output error") }
	_, err := s.Accept(es[1:2])
	testOnlyCommit = nil
	if !errors.Is(err, ErrBroken) {
		t.Errorf("got %v, want ErrBroken", err)
	}
	if _, err := s.Accept(es[1:2]); !errors.Is(err, ErrBroken) {
		t.Errorf("the next: got %v, want ErrBroken", err)
	}
	if got := ids(t, s, Query{}); len(got) != 1 {
		t.Errorf("reading: got %d messages, want 1", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{})
	if out := mustAccept(t, s, es[1:]...); out[1].N != 3 {
		t.Errorf("got N %d, want 3", out[1].N)
	}
}
