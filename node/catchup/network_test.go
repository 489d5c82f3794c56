package catchup

import (
	"flag"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

var seeds = flag.Int("seeds", 12, "how many worlds to simulate")

// live lets weeks pass over a network of honest and lying nodes, and then heals it. It returns what is wrong at rest.
func live(w *world, weeks int, liars bool) []string {
	n := len(w.nodes)
	if liars {
		for i := range w.rng.IntN((n-1)/2 + 1) {
			w.nodes[n-1-i].lie = lie(1 + w.rng.IntN(int(lies)-1))
		}
	}
	if w.rng.IntN(2) == 0 {
		w.keep = time.Duration(3+w.rng.IntN(10)) * 24 * time.Hour
	}
	for _, m := range w.nodes {
		m.start()
	}
	end := w.now.Add(time.Duration(weeks) * 7 * 24 * time.Hour)
	for w.now.Before(end) {
		m := w.nodes[w.rng.IntN(n)]
		switch k := w.rng.IntN(100); {
		case k < 70:
			for range 1 + w.rng.IntN(6) {
				m.post()
			}
		case k < 76:
			m.crash()
			w.after(time.Duration(1+w.rng.IntN(600))*time.Second, m.start)
		case k < 80: // away
			m.crash()
			w.after(time.Duration(1+w.rng.IntN(8*24))*time.Hour, m.start)
		case k < 84:
			for _, a := range w.nodes {
				for _, b := range w.nodes[:a.i] {
					if w.rng.IntN(2) == 0 {
						w.split[[2]int{b.i, a.i}] = true
						w.disconnect(a, b)
					}
				}
			}
			w.after(time.Duration(1+w.rng.IntN(72))*time.Hour, w.heal)
		case k == 84 && len(w.cutoff) == 0 && m.lie == honest:
			w.revoke(m)
		}
		w.run(time.Duration(1+w.rng.IntN(120)) * time.Minute)
	}
	for _, m := range w.nodes {
		m.start()
	}
	w.heal()
	for _, m := range w.nodes {
		for f := range w.cutoff {
			m.learn(f)
		}
		m.sign()
	}
	// The longest that an honest peer can be out of favour is pauseUndelMax; a round comes every 10 minutes.
	w.run(12 * time.Hour)
	return w.check()
}

// revoke ends a node's feed before its newest entries. Others hear of it sooner or later.
func (w *world) revoke(m *simNode) {
	sf := m.held[m.feed]
	last := max(1, sf.max-min(sf.max, w.rng.Uint64N(5)))
	if e := sf.entries[last]; e.seq != 0 && last >= sf.first {
		w.cutoff[m.feed] = &protocol.Cutoff{Node: m.kid, Feed: m.feed, LastSeq: last, LastHash: e.id}
		for _, o := range w.nodes {
			w.after(time.Duration(w.rng.IntN(72))*time.Hour, func() { o.learn(m.feed) })
		}
	}
}

func (n *simNode) learn(f protocol.FeedID) {
	n.revoked[f] = true
	if n.up && n.state.feed(f) != nil {
		n.step(n.holds(f))
	}
}

// simulate makes a world of 3 to 12 nodes from a seed.
func simulate(seed uint64, liars bool, mutant func(*world)) (*world, []string) {
	w := newWorld(seed, 3+int(seed%10))
	if mutant != nil {
		mutant(w)
	}
	return w, live(w, 2+int(seed%3), liars)
}

// I-44: after heal and quiescence all honest nodes hold equal feeds, and nothing was accepted twice.
func TestConvergence(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = 6
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w, bad := simulate(seed, true, nil)
			for _, b := range bad {
				t.Errorf("seed %d: %s", seed, b)
			}
			t.Logf("%d nodes, %d entries; %d requests brought %d entries: %d new, %d known", len(w.nodes), len(w.real), w.requests, w.sent, w.accepted, w.known)
		})
	}
}

// Without liars almost nothing travels that is held already.
func TestLittleTravelsTwice(t *testing.T) {
	var sent, known int
	for seed := range uint64(5) {
		w, bad := simulate(1000+seed, false, nil)
		if len(bad) > 0 {
			t.Fatalf("seed %d: %s", 1000+seed, bad[0])
		}
		sent += w.sent
		known += w.known
	}
	if sent == 0 || known*20 > sent {
		t.Errorf("%d of %d entries that travelled were held already: want at most 5 %%", known, sent)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	run := func() uint64 {
		w := newWorld(7, 6)
		w.trace = &strings.Builder{}
		live(w, 1, true)
		h := fnv.New64a()
		h.Write([]byte(w.trace.String()))
		if w.trace.Len() == 0 {
			t.Fatal("no trace")
		}
		return h.Sum64()
	}
	if a, b := run(), run(); a != b {
		t.Errorf("two runs from one seed differ: %x, %x", a, b)
	}
}

// A fork of the author shows wherever both branches met, though neither is passed on as part of the feed.
func TestForkIsFound(t *testing.T) {
	w := newWorld(3, 4)
	author, left, right := w.nodes[0], w.nodes[1], w.nodes[2]
	author.lie = silent
	for _, n := range w.nodes {
		n.start()
	}
	var prev protocol.Hash
	for seq := uint64(1); seq <= 3; seq++ {
		e := simEntry{feed: author.feed, seq: seq, prev: prev, made: w.now, id: protocol.Sum("one", []byte{byte(seq)})}
		other := e
		other.id = protocol.Sum("other", []byte{byte(seq)})
		w.real[e.id], w.real[other.id] = e, other
		prev = e.id
		left.accept(e)
		if seq == 3 {
			e = other
		}
		right.accept(e)
	}
	w.run(time.Hour)
	if !left.held[author.feed].forked || !right.held[author.feed].forked {
		t.Error("two nodes hold different entries 3 and did not find out")
	}
	if w.requests > 40 {
		t.Errorf("%d requests in an hour over one fork", w.requests)
	}
}

// Each mutant breaks one rule of State. If the checks above do not notice, they check nothing.
func TestMutantsAreCaught(t *testing.T) {
	mutants := map[string]struct {
		make func(*world)
		also func(*world) string // what else would show it
	}{
		"trusts frontier counts": {make: func(w *world) {
			w.mutate = func(n *simNode, e Event) Event {
				b, ok := e.(Batch)
				if !ok {
					return e
				}
				said := map[protocol.FeedID]Entry{}
				if fr, ok := b[len(b)-1].(Frontier); ok {
					for _, en := range fr.Entries {
						said[en.Feed] = en
					}
				}
				return mapHolds(e, func(h Holds) Holds {
					if en := said[h.Extent.Feed]; en.Next > h.Extent.Max {
						h.Extent.Next, h.Extent.Max, h.Extent.Head, h.Extent.Gaps = en.Next, en.Next-1, en.Head, nil
					}
					return h
				})
			}
		}},
		"ignores holes": {make: func(w *world) {
			w.mutate = func(n *simNode, e Event) Event {
				return mapHolds(e, func(h Holds) Holds {
					if h.Extent.Max >= h.Extent.Next {
						h.Extent.Next, h.Extent.Gaps = h.Extent.Max+1, nil
					}
					return h
				})
			}
		}},
		"walks a revoked feed forwards": {make: func(w *world) {
			w.mutate = func(n *simNode, e Event) Event {
				return mapHolds(e, func(h Holds) Holds { h.Follow.Cutoff = nil; return h })
			}
		}},
		"knows one source": {make: func(w *world) {
			only := map[int]peer.ID{}
			w.mutate = func(n *simNode, e Event) Event {
				switch ev := e.(type) {
				case Frontier:
					if only[n.i] == "" {
						only[n.i] = ev.Peer
					}
					if only[n.i] != ev.Peer {
						return Tick{}
					}
				case Batch:
					for i := range ev {
						ev[i] = w.mutate(n, ev[i])
					}
				}
				return e
			}
		}},
		"asks a failing peer again at once": {
			make: func(w *world) {
				w.fixup = func(n *simNode, e Event) {
					for _, f := range n.state.feeds {
						f.faults = nil
						f.touch()
					}
				}
			},
			also: func(w *world) string {
				if w.requests > 200_000 {
					return "a flood of requests"
				}
				return ""
			},
		},
		"fetches what retention dropped": {make: func(w *world) {
			w.mutate = func(n *simNode, e Event) Event {
				return mapHolds(e, func(h Holds) Holds {
					if h.Extent.First > 1 {
						n.held[h.Extent.Feed].first = 1
						n.changed(n.held[h.Extent.Feed])
						h.Extent = n.extent(h.Extent.Feed)
					}
					return h
				})
			}
		}},
	}
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				caught := func() (bad []string) {
					w := newWorld(seed, 3+int(seed%4))
					m.make(w)
					defer func() {
						if r := recover(); r != nil {
							bad = []string{fmt.Sprint(r)}
						}
					}()
					if m.also != nil {
						w.page = 5
						w.onRequest = func() {
							if why := m.also(w); why != "" {
								panic(why)
							}
						}
					}
					return live(w, 2, true)
				}()
				if len(caught) > 0 {
					t.Logf("seed %d: %s", seed, caught[0])
					return
				}
			}
			t.Error("no seed of 30 caught it")
		})
	}
}

func mapHolds(e Event, f func(Holds) Holds) Event {
	switch e := e.(type) {
	case Holds:
		return f(e)
	case Batch:
		out := make(Batch, len(e))
		for i := range e {
			out[i] = mapHolds(e[i], f)
		}
		return out
	}
	return e
}
