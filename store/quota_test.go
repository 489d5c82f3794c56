package store

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/entente-network/entente/trust"
)

func TestCap(t *testing.T) {
	s := openTest(t, "", Options{MaxBytes: 100_000})
	a := newAuthor(t, "at")
	n := 0
	var err error
	for err == nil {
		e := a.sign(a.statement("t", strings.Repeat("x", 2000)), a.seq+1, a.head)
		if _, err = s.Accept([]Entry{e}); err == nil {
			a.seq, a.head = e.Parcel.Seq, e.Envelope.ID()
			n++
		}
		if n > 100 {
			t.Fatal("the cap does not hold")
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if st := s.Stats(); st.Bytes > 100_000 || st.Messages != uint64(n) || n < 10 {
		t.Errorf("got %+v after %d messages", st, n)
	}
	if got := ids(t, s, Query{}); len(got) != n {
		t.Errorf("got %d messages, want %d: reading goes on", len(got), n)
	}
	indexAll(t, s)
	mustClean(t, s, a.lookup)
	if _, err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	mustAccept(t, s, a.entry(a.statement("again", "x")))

	data := blobBytes(ChunkSize)
	mustAccept(t, s, a.entry(a.big(data)))
	w, err := s.BlobWriter(refOf(data))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write(data); !errors.Is(err, ErrFull) || n != 0 {
		t.Errorf("a blob beyond the cap: got %d, %v, want ErrFull", n, err)
	}
	w.Abort()
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{MinFree: 1000})
	a := newAuthor(t, "at")
	es := a.entries(3)
	mustAccept(t, s, es[0])
	free := uint64(999)
	testOnlyFree = func(d string) (uint64, error) {
		if d != dir {
			t.Errorf("got %s, want the store's directory", d)
		}
		return free, nil
	}
	defer func() { testOnlyFree = nil }()
	if _, err := s.Accept(es[1:2]); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	free = 1000
	mustAccept(t, s, es[1])
	testOnlyCommit = func() error { return &writeError{} }
	_, err := s.Accept(es[2:])
	testOnlyCommit = nil
	if !errors.Is(err, ErrFull) || !errors.Is(err, ErrBroken) {
		t.Errorf("no space left in the middle of a write: got %v, want ErrFull and ErrBroken", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{MinFree: 1000})
	mustAccept(t, s, es[2])
	indexAll(t, s)
	mustClean(t, s, a.lookup)
}

// writeError is how a full disk looks through the layers below.
type writeError struct{}

func (*writeError) Error() string { return "write: no space left on device" }
func (*writeError) Unwrap() error { return syscall.ENOSPC }

func TestQuota(t *testing.T) {
	ck := newClock()
	s := openTest(t, "", Options{DailyQuota: 5000, Now: ck.now})
	a, b := newAuthor(t, "at"), newAuthor(t, "de")
	body := strings.Repeat("x", 1500)
	es := []Entry{a.entry(a.statement("1", body)), a.entry(a.statement("2", body)), a.entry(a.statement("3", body)), b.entry(b.statement("1", body))}
	out, err := s.Accept(es)
	if err != nil {
		t.Fatal(err)
	}
	if out[1].Err != nil || !errors.Is(out[2].Err, ErrQuota) || out[2].Verdict != trust.Refuse || out[3].Verdict != trust.Accept {
		t.Errorf("got %+v, want the third refused", out)
	}
	if _, err := s.Accept(es[2:3]); !errors.Is(err, ErrQuota) {
		t.Errorf("alone: got %v, want ErrQuota", err)
	}
	if out, err := s.Accept(es[:1]); err != nil || out[0].Verdict != trust.Known {
		t.Errorf("what is held costs nothing: got %+v, %v", out, err)
	}
	own := es[2]
	own.Via = ""
	ck.t = ck.t.Add(24 * time.Hour)
	mustAccept(t, s, es[2]) // the next day
	big := a.big(blobBytes(ChunkSize))
	if _, err := s.Accept([]Entry{a.sign(big, 4, a.head)}); !errors.Is(err, ErrQuota) {
		t.Errorf("a blob counts: got %v, want ErrQuota", err)
	}
	own = a.sign(big, 4, a.head)
	own.Via = ""
	mustAccept(t, s, own)
	if _, err := s.Prune(t.Context(), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	// The count of the past day is gone: only one of this day is left.
	rep := mustClean(t, s, nil)
	if rep.Messages != 5 {
		t.Errorf("got %d messages, want 5", rep.Messages)
	}
}

// The store runs in a bubble of simulated time, and leaves no goroutine behind.
func TestSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stores []*Store
		for range 5 {
			s, err := OpenMemory(newTestKeys("test"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			stores = append(stores, s)
		}
		a := newAuthor(t, "at")
		for range 50 {
			e := a.entry(a.statement("t", "x"))
			for _, s := range stores {
				mustAccept(t, s, e)
			}
			time.Sleep(time.Hour) // simulated
		}
		synctest.Wait()
		for _, s := range stores {
			if got := ids(t, s, Query{Since: time.Now().Add(-150 * time.Minute)}); len(got) != 2 {
				t.Errorf("got %d messages of the last hours, want 2", len(got))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
