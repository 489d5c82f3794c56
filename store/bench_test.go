package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// benchFill puts n messages of about 1.5 KB into a store, from 20 authors, and indexes them.
func benchFill(b *testing.B, s *Store, n int) {
	b.Helper()
	var authors []*author
	for i := range 20 {
		authors = append(authors, newAuthor(b, fmt.Sprint(i)))
	}
	body := string(blobBytes(1000))
	for n > 0 {
		var es []Entry
		var all []Terms
		for i := range min(n, 500) {
			a := authors[i%len(authors)]
			es = append(es, a.entry(a.statement("a title", body)))
		}
		for i, o := range mustAccept(b, s, es...) {
			all = append(all, Terms{o.N, []string{"all", fmt.Sprint("mod:", o.N%1000), fmt.Sprint("own:", i, o.N)}})
		}
		if err := s.IndexAll(all); err != nil {
			b.Fatal(err)
		}
		n -= len(es)
	}
}

func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("calls of %d", size), func(b *testing.B) {
			s := openTest(b, b.TempDir(), Options{})
			a := newAuthor(b, "at")
			body := string(blobBytes(1000))
			var es []Entry
			for range b.N * size {
				es = append(es, a.entry(a.statement("a title", body)))
			}
			b.ResetTimer()
			for i := range b.N {
				if _, err := s.Accept(es[i*size : (i+1)*size]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
		})
	}
	for _, who := range []string{"received", "own"} {
		b.Run("sealed, 4 KB, 100 "+who, func(b *testing.B) {
			s := openTest(b, b.TempDir(), Options{})
			a := newAuthor(b, "at").to("de", protocol.Hash{})
			body := string(blobBytes(4000))
			var es []Entry
			for range b.N * 100 {
				es = append(es, a.entry(a.statement("a title", body)))
			}
			if who == "own" {
				own(es...)
			}
			b.ResetTimer()
			for i := range b.N {
				mustAccept(b, s, es[i*100:(i+1)*100]...)
			}
			b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "messages/s")
		})
	}
	b.Run("32 callers", func(b *testing.B) {
		s := openTest(b, b.TempDir(), Options{})
		a := newAuthor(b, "at")
		es := make(chan []Entry, b.N)
		for range b.N {
			es <- []Entry{a.entry(a.statement("a title", "a body"))}
		}
		b.SetParallelism(16)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if out, err := s.Accept(<-es); err != nil || out[0].Verdict != trust.Accept {
					b.Error(out, err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// BenchmarkOpen reports how much longer a store with a hundred times the messages takes to open.
func BenchmarkOpen(b *testing.B) {
	var took [2]time.Duration
	for i, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("%d messages", n), func(b *testing.B) {
			dir := b.TempDir()
			s := openTest(b, dir, Options{})
			benchFill(b, s, n)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				s, err := Open(dir, newTestKeys("test"), Options{})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			took[i] = b.Elapsed() / time.Duration(b.N)
			if i == 1 && took[0] > 0 {
				b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
			}
		})
	}
}

func BenchmarkSearch(b *testing.B) {
	s := openTest(b, b.TempDir(), Options{})
	benchFill(b, s, 50_000)
	for _, c := range []struct {
		name  string
		terms []string
		want  int
	}{{"newest 20 of all", []string{"all"}, 20}, {"rare and common", []string{"all", "mod:7"}, 20}, {"none", []string{"all", "none"}, 0}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if ms, err := s.SearchTerms(c.terms, 20); err != nil || len(ms) != c.want {
					b.Fatal(len(ms), err)
				}
			}
		})
	}
}

func BenchmarkInbox(b *testing.B) {
	s := openTest(b, b.TempDir(), Options{})
	benchFill(b, s, 50_000)
	for b.Loop() {
		n := 0
		if err := s.Inbox(Query{Newest: true, Limit: 100}, func(*Message) bool { n++; return true }); err != nil || n != 100 {
			b.Fatal(n, err)
		}
	}
}

// A room of 250 members has some 2,000 records in a year.
func BenchmarkRoomRecords(b *testing.B) {
	s := openTest(b, b.TempDir(), Options{})
	a := newAuthor(b, "at")
	room := protocol.Sum("room")
	var es []*protocol.Envelope
	for i := range 2000 {
		es = append(es, leave(b, a, room, i+1))
	}
	b.Run("put 2000", func(b *testing.B) {
		for b.Loop() {
			if err := s.PutRoomRecords(room, es...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("put one", func(b *testing.B) {
		for b.Loop() {
			if err := s.PutRoomRecords(room, es[7]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("visit 2000", func(b *testing.B) {
		for b.Loop() {
			roomRecords(b, s)
		}
	})
}

// An identity comes late, for 100 entries among 20,000 of epochs that this node will never have.
func BenchmarkClosed(b *testing.B) {
	s := openTest(b, b.TempDir(), Options{})
	room := protocol.Sum("room")
	var authors []*author
	for i := range 100 {
		authors = append(authors, newAuthor(b, fmt.Sprint(i)).in(room, protocol.Sum("never")))
	}
	for n := range 200 {
		var es []Entry
		for _, a := range authors {
			if a.epoch = protocol.Sum("never"); n == 100 {
				a.epoch = protocol.Sum("late")
			}
			es = append(es, a.entries(1)...)
		}
		mustAccept(b, s, back(es...)...)
	}
	b.ResetTimer()
	for range b.N {
		if got := closed(b, s, protocol.Sum("late")); len(got) != 100 {
			b.Fatalf("got %d", len(got))
		}
	}
}
