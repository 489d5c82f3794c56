package store

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// Whatever is done in whatever order, Fsck finds nothing in an undamaged store; and a damaged one is whole after Fsck repaired
// it and peers handed everything over again.
func TestAnything(t *testing.T) {
	var authors []*author
	var es []Entry
	pair := newAuthor(t, "de").to("me", protocol.Hash{})
	room, epoch := protocol.Sum("room"), protocol.Sum("epoch")
	member := newAuthor(t, "fr").in(room, epoch)
	var last protocol.Hash
	opened := map[string]Entry{} // of what could not be opened at first, by its envelope
	for _, a := range []*author{newAuthor(t, "at"), newAuthor(t, "de"), pair, member} {
		authors = append(authors, a)
		for i := range 12 {
			st := a.statement("t", "body")
			if i%4 == 3 {
				st.Kind, st.Supersedes = protocol.KindCorrection, last
			}
			if i%6 == 5 {
				st.Body = a.big(blobBytes(ChunkSize + i)).Body
				if a == pair || a == member {
					ref := refOf(blobBytes(ChunkSize + 100 + i))
					st.Blob, st.Body.Key = &ref, "AGE-SECRET-KEY-X"
				}
			}
			e := a.entry(st)
			last = e.StatementID
			switch {
			case a == member && i%3 > 0:
				opened[string(e.Raw)] = e
				e = back(e)[0]
			case a == pair && i == 2:
				e.Held = "a-rule"
			case a == pair && i == 9:
				e = back(e)[0]
			}
			es = append(es, e)
		}
	}
	lookup := func(kid protocol.KID) (protocol.PublicKey, bool) {
		for _, a := range authors {
			if k, ok := a.lookup(kid); ok {
				return k, true
			}
		}
		return protocol.PublicKey{}, false
	}
	rapid.Check(t, func(rt *rapid.T) {
		ck := newClock()
		s, err := OpenMemory(newTestKeys("test"), Options{Now: ck.now})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		records := map[protocol.Hash]string{}
		pick := func(rt *rapid.T) *author { return authors[rapid.IntRange(0, len(authors)-1).Draw(rt, "author")] }
		damaged := false
		accept := func(es []Entry) {
			out, err := s.Accept(es)
			must(err)
			for _, o := range out {
				if o.Err != nil || o.Verdict != trust.Accept && o.Verdict != trust.Known {
					rt.Fatalf("got %+v", o)
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"accept": func(rt *rapid.T) {
				var some []Entry
				for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(es)-1), 1, 8).Draw(rt, "entries") {
					some = append(some, es[i])
				}
				accept(some)
			},
			"open": func(rt *rapid.T) {
				var some []Entry
				must(s.Closed(epoch, func(raw []byte) bool {
					some = append(some, opened[string(raw)])
					return rapid.Bool().Draw(rt, "more")
				}))
				accept(some)
			},
			"room": func(rt *rapid.T) {
				e := leave(t, member, room, rapid.IntRange(1, 5).Draw(rt, "record"))
				if rapid.Bool().Draw(rt, "delete") {
					must(s.DeleteRoomRecords(room, e.ID()))
					delete(records, e.ID())
					return
				}
				must(s.PutRoomRecords(room, e))
				records[e.ID()] = string(e.Encode())
			},
			"later": func(rt *rapid.T) { ck.t = ck.t.Add(time.Hour) },
			"first": func(rt *rapid.T) {
				must(s.SetFirst(pick(rt).feed, rapid.Uint64Range(1, 12).Draw(rt, "first")))
			},
			"prune": func(rt *rapid.T) {
				_, err := s.Prune(t.Context(), ck.t.Add(-time.Duration(rapid.IntRange(0, 4).Draw(rt, "hours"))*time.Hour))
				must(err)
			},
			"index": func(rt *rapid.T) {
				ms, err := s.IndexPending(rapid.IntRange(1, 10).Draw(rt, "some"))
				must(err)
				for _, m := range ms {
					must(s.Index(m.N, []string{"all"}))
				}
			},
			"blob": func(rt *rapid.T) {
				must(s.WantedBlobs(func(r protocol.BlobRef, _ protocol.Hash, _ []protocol.Hash) bool {
					w, err := s.BlobWriter(r)
					must(err)
					_, err = w.Write(blobBytes(int(r.Size))[w.Have():])
					must(err)
					must(w.Commit())
					return rapid.Bool().Draw(rt, "more")
				}))
			},
			"damage": func(rt *rapid.T) {
				prefix := rapid.SampledFrom([]byte{kParcel, kMessage, kID, kExtent, kBlob, kChunk, kTerms, kPosting, kInner, kHeld, kLink, kClosed, kRoom}).Draw(rt, "kind")
				keys := keysOf(t, s, prefix)
				if len(keys) == 0 {
					rt.Skip("nothing of the kind")
				}
				damaged = true
				k := rapid.SampledFrom(keys).Draw(rt, "key")
				must(s.update(func(tx *tx) error {
					if rapid.Bool().Draw(rt, "delete") {
						return tx.Delete(k)
					}
					return tx.Set(k, []byte("garbage"))
				}))
			},
			"read": func(rt *rapid.T) {
				must(s.Inbox(Query{Newest: rapid.Bool().Draw(rt, "newest"), Bodies: true}, func(*Message) bool { return true }))
				must(s.Range(pick(rt).feed, 1, 0, rapid.Bool().Draw(rt, "reverse"), func(uint64, []byte) bool { return true }))
				_, err := s.SearchTerms([]string{"all"}, 0)
				must(err)
			},
			"": func(rt *rapid.T) {
				rep, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup})
				must(err)
				if rep.Found > 0 && !damaged {
					rt.Fatalf("got %v in an undamaged store", rep.Problems)
				}
				for id, raw := range roomRecords(t, s)[room] {
					if records[id] != raw {
						rt.Fatalf("got record %s, which was deleted, or is another", id.Short())
					}
				}
				if got := roomRecords(t, s)[room]; len(got) != len(records) && !damaged {
					rt.Fatalf("got %d records of the room, want %d", len(got), len(records))
				}
			},
		})
		for range 3 { // what repairs and what comes in may bring more to light
			_, err := s.Fsck(t.Context(), FsckOptions{Repair: true})
			must(err)
			accept(es)
			accept(slices.Collect(maps.Values(opened)))
		}
		if got := closed(t, s, epoch); len(got) != 0 {
			rt.Fatalf("%d entries wait still", len(got))
		}
		rep, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup})
		must(err)
		if rep.Found > 0 {
			rt.Fatalf("after repair: got %v", rep.Problems)
		}
		for _, a := range authors {
			x, ok, err := s.Extent(a.feed)
			must(err)
			if !ok || x.Next != 13 || x.Head != a.head {
				rt.Fatalf("got %+v, want all of 12", x)
			}
		}
	})
}
