package catchup

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A node that was away fetches what it missed, from several peers at once, each entry once.
func TestCatchesUpFromSeveral(t *testing.T) {
	a := newAuthor(t, "a").write(t, 5000)
	full1, full2 := newMemory(a).hold(t, a, 1, 5001), newMemory(a).hold(t, a, 1, 5001)
	mine := newMemory(a).hold(t, a, 1, 100)
	var mu sync.Mutex
	var done, all uint64
	me := newStation(t, mine, Options{Progress: func(d, n uint64) {
		mu.Lock()
		defer mu.Unlock()
		if d > n {
			t.Errorf("progress %d of %d", d, n)
		}
		if n > 0 {
			done, all = d, n
		}
	}})
	for _, m := range []*memory{full1, full2} {
		meet(t, me, newStation(t, m, Options{}))
	}
	waitFor(t, "all entries", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return mine.count(a.feed) == 5000 && done == all
	})
	mine.mu.Lock()
	defer mine.mu.Unlock()
	if mine.twice > 0 {
		t.Errorf("%d entries came twice", mine.twice)
	}
	for i, n := range mine.batches[:min(len(mine.batches), 3)] {
		if n < 256 {
			t.Errorf("batch %d has %d entries: want at least 256", i, n)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if done != 4901 || all != 4901 {
		t.Errorf("progress ended with %d of %d: want 4901", done, all)
	}
	if got := me.offended(); len(got) > 0 {
		t.Errorf("offences of honest peers: %q", got)
	}
}

// Two nodes with holes in different places fill each other's, both ways.
func TestFillsHolesBothWays(t *testing.T) {
	a, b := newAuthor(t, "a").write(t, 300), newAuthor(t, "b").write(t, 50)
	x := newMemory(a, b).hold(t, a, 1, 100).hold(t, a, 150, 301)
	y := newMemory(a, b).hold(t, a, 50, 220).hold(t, b, 1, 51)
	meet(t, newStation(t, x, Options{}), newStation(t, y, Options{}))
	waitFor(t, "both to be whole", func() bool {
		return x.count(a.feed) == 300 && y.count(a.feed) == 300 && x.count(b.feed) == 50
	})
}

// A feed of a node that is not followed is not asked for.
func TestUnknownAuthorsAreNotFetched(t *testing.T) {
	a, stranger := newAuthor(t, "a").write(t, 10), newAuthor(t, "s").write(t, 10)
	x, y := newMemory(a), newMemory(a, stranger).hold(t, a, 1, 11).hold(t, stranger, 1, 11)
	meet(t, newStation(t, x, Options{}), newStation(t, y, Options{}))
	waitFor(t, "the known feed", func() bool { return x.count(a.feed) == 10 })
	if n := x.count(stranger.feed); n != 0 {
		t.Errorf("%d entries of an unknown author", n)
	}
}

// Heads travel with comparisons, and show a cut tail even if nobody has the entries.
func TestHeadsShowACutTail(t *testing.T) {
	a := newAuthor(t, "a").write(t, 30)
	x, y := newMemory(a), newMemory(a).hold(t, a, 1, 21)
	if _, err := y.AddHeads(t.Context(), "", a.heads(t, 7)); err != nil {
		t.Fatal(err)
	}
	meet(t, newStation(t, x, Options{}), newStation(t, y, Options{}))
	waitFor(t, "entries and heads", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.words[a.kid] != nil && x.feeds[a.feed] != nil && len(x.feeds[a.feed].raws) == 20
	})
	ext, _, _ := x.Extent(a.feed)
	c := Complete(ext, x.words[a.kid])
	if c.Complete || c.Tail != 10 || !c.AsOf.Equal(time.Unix(7, 0)) {
		t.Errorf("coverage %+v: want 10 missing at the end, as of second 7", c)
	}
}

// A gap that gossip leaves is fetched from the peer that showed it; a tail that only heads show as well.
func TestPokeAndHeard(t *testing.T) {
	a := newAuthor(t, "a").write(t, 40)
	x, y := newMemory(a).hold(t, a, 1, 11), newMemory(a).hold(t, a, 1, 11)
	sx, sy := newStation(t, x, Options{PokeDelay: time.Millisecond}), newStation(t, y, Options{})
	meet(t, sx, sy)
	waitFor(t, "the first comparison", func() bool { return x.count(a.feed) == 10 })
	y.hold(t, a, 11, 31)
	x.hold(t, a, 30, 31)
	sx.e.Poke(a.feed, sy.ID())
	waitFor(t, "the gap to be filled", func() bool { return x.count(a.feed) == 30 })

	y.hold(t, a, 31, 41)
	h, err := x.AddHeads(t.Context(), "", a.heads(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	sx.e.Heard(h, sy.ID())
	waitFor(t, "the tail", func() bool { return x.count(a.feed) == 40 })
}

// Records of teams come before feeds: an author who was unknown until the comparison is followed in the same one.
func TestRecordsComeFirst(t *testing.T) {
	a := newAuthor(t, "a").write(t, 10)
	x, y := newMemory(), newMemory(a).hold(t, a, 1, 11)
	y.bundles[a.team] = &protocol.Bundle{Team: a.team, Records: [][]byte{[]byte("manifest")}}
	x.onAdd = func(b *protocol.Bundle) {
		x.mu.Lock()
		defer x.mu.Unlock()
		if b.Team == a.team {
			x.authors[a.kid] = a
		}
	}
	meet(t, newStation(t, x, Options{}), newStation(t, y, Options{}))
	waitFor(t, "the feed of a new team", func() bool { return x.count(a.feed) == 10 })
}

// A full disk is this node's trouble: no peer is blamed, and nothing is asked until it may be over.
func TestOwnFailureBlamesNobody(t *testing.T) {
	a := newAuthor(t, "a").write(t, 10)
	x, y := newMemory(a), newMemory(a).hold(t, a, 1, 11)
	x.refuse = errors.New("disk full")
	sx := newStation(t, x, Options{})
	meet(t, sx, newStation(t, y, Options{}))
	paused := make(chan bool, 1)
	waitFor(t, "the pause", func() bool {
		sx.e.post(func(l *loop) {
			select {
			case paused <- !l.state.paused.IsZero():
			default:
			}
		})
		return <-paused
	})
	if got := sx.offended(); len(got) > 0 {
		t.Errorf("offences %q", got)
	}
}

func blob(t testing.TB, n int) ([]byte, protocol.BlobRef) {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b, protocol.BlobRef{Size: uint64(n), Hash: sha256.Sum256(b)}
}

// A blob is fetched from whoever has it, and goes on where it was left.
func TestBlobResumes(t *testing.T) {
	b, ref := blob(t, 3<<20+17)
	x, none, has := newMemory(), newMemory(), newMemory()
	x.wanted = []protocol.BlobRef{ref}
	x.parts[ref.Hash] = bytes.Clone(b[:1<<20])
	has.blobs[ref.Hash] = b
	sx := newStation(t, x, Options{})
	meet(t, sx, newStation(t, none, Options{}))
	meet(t, sx, newStation(t, has, Options{}))
	waitFor(t, "the blob", func() bool { w, _ := x.WantedBlobs("", 1); return len(w) == 0 })
	if !bytes.Equal(x.blobs[ref.Hash], b) {
		t.Error("the blob differs")
	}
}

// processTime returns the processor time that this process has used. Unlike the clock on the wall it does not depend on what
// else runs on the machine.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A node catches up at no less than half the rate at which one core verifies the same signatures: both nodes together, the
// transport included, cost at most twice the processor time of the verification, were they to share that core.
func TestThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const n = 10_000
	a := newAuthor(t, "a").write(t, n)
	start := processTime(t)
	for _, raw := range a.raws {
		e, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
		if err == nil {
			err = e.VerifyNode(a.key.Public())
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := protocol.Decode[protocol.Parcel](e)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.OpenCommunity(a.key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	one := processTime(t) - start
	full, mine := newMemory(a).hold(t, a, 1, n+1), newMemory(a)
	x, y := newStation(t, mine, Options{}), newStation(t, full, Options{})
	wall, start := time.Now(), processTime(t)
	meet(t, x, y)
	waitFor(t, "all entries", func() bool { return mine.count(a.feed) == n })
	took := processTime(t) - start
	t.Logf("%d entries: verified at %.0f/s by one core, caught up at %.0f/s of both nodes' processor time, %.0f/s by the clock, at most %d verifiers at work",
		n, n/one.Seconds(), n/took.Seconds(), n/time.Since(wall).Seconds(), mine.most)
	if took > 2*one {
		t.Errorf("catching up cost %v of processor time: want at most %v", took, 2*one)
	}
	if mine.twice > 0 {
		t.Errorf("%d entries came twice", mine.twice)
	}
}

// What is due is looked at though events come without a pause: each of them must not put it off.
func TestDueWhileEventsCome(t *testing.T) {
	a := newAuthor(t, "a").write(t, 3)
	s := newStation(t, newMemory(a).hold(t, a, 1, 3), Options{PokeDelay: time.Millisecond})
	s.e.Poke(a.feed, s.ID())
	for end := time.Now().Add(30 * time.Second); ; {
		left := make(chan int, 1)
		if !s.e.post(func(l *loop) {
			l.inbox.mu.Lock()
			defer l.inbox.mu.Unlock()
			left <- len(l.pokes) + len(l.inbox.pokes)
		}) {
			t.Fatal("the engine ended")
		}
		if <-left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a poke is still not looked at, after thirty seconds of other events")
		}
	}
}
