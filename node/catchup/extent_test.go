package catchup

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
)

func TestComplete(t *testing.T) {
	feed, head := hash("f"), hash("head")
	heads := func(first, seq uint64) *protocol.Heads {
		return &protocol.Heads{N: 1, Time: 1000, Feeds: []protocol.Head{{Feed: feed, First: first, Seq: seq, Hash: head}}}
	}
	for name, c := range map[string]struct {
		x    Extent
		h    *protocol.Heads
		want Coverage
	}{
		"no word":          {Extent{First: 1, Next: 11, Max: 10}, nil, Coverage{Since: 1}},
		"whole":            {Extent{First: 1, Next: 11, Max: 10, Head: head}, heads(1, 10), Coverage{Complete: true, Since: 1}},
		"more than said":   {Extent{First: 1, Next: 15, Max: 14, Head: hash("x")}, heads(1, 10), Coverage{Complete: true, Since: 1}},
		"cut tail":         {Extent{First: 1, Next: 8, Max: 7}, heads(1, 10), Coverage{Since: 1, Missing: []Span{{8, 11}}, Tail: 3}},
		"a hole":           {Extent{First: 1, Next: 5, Max: 10, Gaps: []Span{{5, 7}}}, heads(1, 10), Coverage{Since: 1, Missing: []Span{{5, 7}}}},
		"hole and tail":    {Extent{First: 1, Next: 5, Max: 9, Gaps: []Span{{5, 7}}}, heads(1, 10), Coverage{Since: 1, Missing: []Span{{5, 7}, {10, 11}}, Tail: 1}},
		"hole beyond":      {Extent{First: 1, Next: 11, Max: 20, Gaps: []Span{{11, 20}}, Head: head}, heads(1, 10), Coverage{Complete: true, Since: 1}},
		"dropped by all":   {Extent{First: 4, Next: 11, Max: 10, Head: head}, heads(6, 10), Coverage{Complete: true, Since: 6}},
		"dropped here":     {Extent{First: 8, Next: 11, Max: 10, Head: head}, heads(6, 10), Coverage{Complete: true, Since: 8}},
		"nothing held":     {Extent{First: 1, Next: 1}, heads(6, 10), Coverage{Since: 6, Missing: []Span{{6, 11}}, Tail: 5}},
		"another newest":   {Extent{First: 1, Next: 11, Max: 10, Head: hash("x")}, heads(1, 10), Coverage{Since: 1, Disputed: true}},
		"author names not": {Extent{First: 1, Next: 1}, &protocol.Heads{N: 1, Time: 1000}, Coverage{Complete: true, Since: 1}},
		"gaps not listed":  {Extent{First: 1, Next: 5, Max: 9}, heads(1, 9), Coverage{Since: 1, Missing: []Span{{5, 9}}}},
		"absurd":           {Extent{First: 1, Next: 1}, heads(1, 1<<63), Coverage{Since: 1, Missing: []Span{{1, MaxSeq + 1}}, Tail: MaxSeq}},
	} {
		c.x.Feed = feed
		if c.h != nil {
			c.want.AsOf = time.Unix(1000, 0).UTC()
		}
		if got := Complete(c.x, c.h); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// Spans behave as the sets that they stand for.
func TestSpansAreSets(t *testing.T) {
	spansGen := rapid.Custom(func(t *rapid.T) []Span {
		var out []Span
		at := uint64(1)
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			from := at + rapid.Uint64Range(0, 5).Draw(t, "skip")
			to := from + rapid.Uint64Range(1, 6).Draw(t, "len")
			out = append(out, Span{from, to})
			at = to + 1
		}
		return out
	})
	has := func(ss []Span, n uint64) bool {
		return slices.ContainsFunc(ss, func(s Span) bool { return s.From <= n && n < s.To })
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := spansGen.Draw(t, "a"), spansGen.Draw(t, "b")
		got := without(a, b)
		for n := range uint64(90) {
			if want := has(a, n) && !has(b, n); has(got, n) != want {
				t.Fatalf("without(%v, %v) = %v: wrong about %d", a, b, got, n)
			}
		}
		for _, s := range got {
			if s.Len() == 0 {
				t.Fatalf("an empty span in %v", got)
			}
		}
		x := Extent{First: 1, Next: 1, Gaps: a, Max: 60}
		if len(a) > 0 {
			x.Next = a[0].From
			limits := Span{rapid.Uint64Range(1, 70).Draw(t, "from"), rapid.Uint64Range(1, 90).Draw(t, "to")}
			miss := x.missing(limits)
			for n := range uint64(90) {
				if want := (has(a, n) || n > 60) && n >= limits.From && n < limits.To; has(miss, n) != want {
					t.Fatalf("%+v misses %v within %v: wrong about %d", x, miss, limits, n)
				}
			}
		}
	})
}

// A liar that gives the first part of a blob, so that the honest peer's rest turns out wrong with it, cannot keep the two
// from being told apart.
func TestHuntTellsPartsApart(t *testing.T) {
	for _, names := range [][2]peer.ID{{"liar", "honest"}, {"x", "y"}, {"b", "a"}} {
		liar, honest := names[0], names[1]
		h := &hunt{peers: []peer.ID{liar, honest}, shun: map[peer.ID]time.Time{}, doubt: map[peer.ID]int{}}
		now := simStart
		tries := 0
		for whole := false; !whole; tries++ {
			if tries == 20 {
				t.Fatalf("%s: not found in 20 tries", honest)
			}
			now = now.Add(time.Minute)
			whole = h.order(now)[0] == honest
			h.finish(catch{whole: whole, wrong: !whole, gave: []peer.ID{liar, honest}}, now)
		}
	}
}

func TestHuntWaits(t *testing.T) {
	h := &hunt{peers: []peer.ID{"p", "q"}, shun: map[peer.ID]time.Time{}, doubt: map[peer.ID]int{}}
	wait := func(c catch) time.Duration {
		h.finish(c, simStart)
		return h.until.Sub(simStart)
	}
	for i, c := range []struct {
		c    catch
		want time.Duration
	}{
		{catch{}, time.Minute},
		{catch{}, 2 * time.Minute},
		{catch{gave: []peer.ID{"p"}}, time.Second},
		{catch{}, time.Minute},
		{catch{wrong: true, gave: []peer.ID{"p"}, alone: true}, 2 * time.Second},
	} {
		if got := wait(c.c); got != c.want {
			t.Errorf("after result %d: waits %v, want %v", i, got, c.want)
		}
	}
	if got := h.order(simStart); len(got) != 1 || got[0] != "q" {
		t.Errorf("asks %v: want only the one that did not lie", got)
	}
	for range 30 {
		if got := wait(catch{}); got > time.Hour {
			t.Fatalf("waits %v", got)
		}
	}
}
