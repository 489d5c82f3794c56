package direct

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/nodetest/world"
)

// A desk is a Backend that remembers.
type desk struct {
	mu       sync.Mutex
	got      map[peer.ID][]string
	batches  int
	behind   map[peer.ID]int
	offences []string
	barred   map[peer.ID]bool
	take     func(ctx context.Context, p peer.ID, raws [][]byte) error // before they are remembered
	busy     map[peer.ID]bool
	overlap  bool
}

func newDesk() *desk {
	return &desk{got: map[peer.ID][]string{}, behind: map[peer.ID]int{}, barred: map[peer.ID]bool{}, busy: map[peer.ID]bool{}}
}

func (d *desk) Admits(p peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.barred[p]
}

func (d *desk) bar(p peer.ID, barred bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.barred[p] = barred
}

func (d *desk) Take(ctx context.Context, p peer.ID, raws [][]byte) error {
	d.mu.Lock()
	d.overlap = d.overlap || d.busy[p]
	d.busy[p] = true
	take := d.take
	d.mu.Unlock()
	var err error
	if take != nil {
		err = take(ctx, p, raws)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy[p] = false
	if err != nil {
		return err
	}
	d.batches++
	for _, r := range raws {
		d.got[p] = append(d.got[p], string(r))
	}
	return nil
}

func (d *desk) Behind(p peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind[p]++
}

func (d *desk) offence(_ peer.ID, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offences = append(d.offences, why)
}

// from returns what came of p.
func (d *desk) from(p peer.ID) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got[p])
}

func (d *desk) words(p peer.ID) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.behind[p]
}

func (d *desk) blamed(why string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.offences, func(o string) bool { return strings.Contains(o, why) })
}

func (d *desk) innocent(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.offences) > 0 {
		t.Errorf("offences %q: want none", d.offences)
	}
	if d.overlap {
		t.Error("two calls of Take for one peer at a time")
	}
}

// A post is a host with a courier, and its desk.
type post struct {
	host.Host
	*Courier
	*desk
}

// open puts a post at a place.
func open(t *testing.T, w *world.World, place int, o Options) *post {
	t.Helper()
	p := &post{Host: w.Host(place), desk: newDesk()}
	o.Offence = p.desk.offence
	p.Courier = New(p.Host, p.desk, o)
	t.Cleanup(func() { _ = p.Courier.Close() })
	return p
}

// two runs f with two posts that are connected.
func two(t *testing.T, o Options, f func(t *testing.T, w *world.World, a, b *post)) {
	t.Helper()
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, 2, world.Options{})
		a, b := open(t, w, 0, o), open(t, w, 1, o)
		w.Connect(0, 1)
		f(t, w, a, b)
	})
}

// settle lets virtual time pass, and what is due happen.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func numbered(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint("parcel ", i))
	}
	return out
}

func (p *post) push(to *post, urgent bool, records ...string) {
	for _, r := range records {
		p.Push(to.ID(), []byte(r), urgent)
	}
}

func TestPush(t *testing.T) {
	two(t, Options{}, func(t *testing.T, w *world.World, a, b *post) {
		start := time.Now()
		a.push(b, false, numbered(0, 500)...)
		b.push(a, false, "back")
		settle(2 * time.Second)
		if got := b.from(a.ID()); !slices.Equal(got, numbered(0, 500)) {
			t.Errorf("%d records came, or out of order: want 500", len(got))
		}
		if got := a.from(b.ID()); !slices.Equal(got, []string{"back"}) {
			t.Errorf("got %q the other way", got)
		}
		b.desk.mu.Lock()
		if b.batches > 50 {
			t.Errorf("%d calls of Take for 500 records that were pushed at once", b.batches)
		}
		b.desk.mu.Unlock()
		if b.words(a.ID()) != 0 {
			t.Error("word of a loss where there was none")
		}
		a.push(b, false, "later")
		settle(time.Second)
		if got := b.from(a.ID()); len(got) != 501 {
			t.Errorf("%d records after %v: want 501", len(got), time.Since(start))
		}
		a.innocent(t)
		b.innocent(t)
	})
}

// While the peer is busy, urgent records overtake those that wait, and back-pressure reaches the queue.
func TestUrgentOvertakes(t *testing.T) {
	two(t, Options{}, func(t *testing.T, w *world.World, a, b *post) {
		gate := make(chan struct{})
		b.desk.take = func(context.Context, peer.ID, [][]byte) error { <-gate; return nil }
		big := strings.Repeat("x", 100<<10)
		for range 38 { // more than streams and buffers hold, and less than the queue
			a.push(b, false, big)
		}
		settle(time.Second)
		a.push(b, true, "urgent")
		settle(time.Second)
		a.Courier.mu.Lock()
		waiting := a.lines[b.ID()].len()
		a.Courier.mu.Unlock()
		if waiting < 5 {
			t.Errorf("%d records wait while the peer takes nothing", waiting)
		}
		close(gate)
		settle(10 * time.Second)
		got := b.from(a.ID())
		at := slices.Index(got, "urgent")
		if len(got) != 39 || at < 0 || at > 38-waiting+2 {
			t.Errorf("the urgent one of %d came as number %d, when %d were waiting", len(got), at, waiting)
		}
		b.innocent(t)
	})
}

// What finds no room is a loss, of which the peer hears once, when the queue has drained. An urgent record takes the place of
// others.
func TestOverflow(t *testing.T) {
	two(t, Options{Queue: 100}, func(t *testing.T, w *world.World, a, b *post) {
		gate := make(chan struct{})
		b.desk.take = func(context.Context, peer.ID, [][]byte) error { <-gate; return nil }
		big := strings.Repeat("x", 64<<10)
		for range 60 {
			a.push(b, false, big)
		}
		settle(time.Second)
		a.push(b, false, numbered(0, 200)...)
		a.push(b, true, "urgent")
		settle(time.Second)
		if b.words(a.ID()) != 0 {
			t.Error("word of a loss before the queue drained")
		}
		close(gate)
		settle(10 * time.Second)
		got := b.from(a.ID())
		if !slices.Contains(got, "urgent") || len(got) > 170 || len(got) < 100 {
			t.Errorf("%d records came, urgent among them: %t", len(got), slices.Contains(got, "urgent"))
		}
		if n := b.words(a.ID()); n != 1 {
			t.Errorf("%d words of the loss: want 1", n)
		}
		b.innocent(t)
		a.Courier.mu.Lock()
		defer a.Courier.mu.Unlock()
		if a.waiting != 0 {
			t.Errorf("%d bytes wait in empty queues", a.waiting)
		}
	})
}

// A peer that is away hears of what it missed when it is back, and not before the loss has settled.
func TestAway(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, 2, world.Options{})
		a, b := open(t, w, 0, Options{}), open(t, w, 1, Options{})
		a.push(b, false, "lost")
		settle(time.Hour)
		w.Connect(0, 1)
		settle(3 * time.Second)
		if got, n := b.from(a.ID()), b.words(a.ID()); len(got) != 0 || n != 1 {
			t.Errorf("got %q and %d words of a loss: want none and 1", got, n)
		}
		a.push(b, false, "here")
		settle(time.Second)
		for _, c := range a.Host.Network().ConnsToPeer(b.ID()) {
			_ = c.Close()
		}
		settle(time.Second)
		before := b.words(a.ID())
		a.push(b, false, "lost again")
		w.Connect(0, 1)
		settle(10 * time.Second)
		if got, n := b.from(a.ID()), b.words(a.ID())-before; !slices.Contains(got, "here") || n != 1 {
			t.Errorf("got %q and %d words of a loss after the second absence: want 1", got, n)
		}
		b.innocent(t)
	})
}

// A network that drops everything loses the stream; what was on it may be lost, and that is said.
func TestPartition(t *testing.T) {
	two(t, Options{}, func(t *testing.T, w *world.World, a, b *post) {
		a.push(b, false, "one")
		settle(time.Second)
		w.Cut(0, 1)
		a.push(b, false, "two")
		settle(2 * time.Minute)
		w.Heal()
		w.Connect(0, 1)
		settle(10 * time.Second)
		a.push(b, false, "three")
		settle(time.Second)
		got := b.from(a.ID())
		if slices.Contains(got, "two") || !slices.Contains(got, "three") || b.words(a.ID()) == 0 {
			t.Errorf("got %q, %d words of a loss", got, b.words(a.ID()))
		}
		a.innocent(t)
		b.innocent(t)
	})
}

// What this node cannot take ends the stream without blame; the peer opens another, and says that something was lost.
func TestOwnFailure(t *testing.T) {
	two(t, Options{}, func(t *testing.T, w *world.World, a, b *post) {
		full := true
		b.desk.take = func(context.Context, peer.ID, [][]byte) error {
			if full {
				full = false
				return fmt.Errorf("disk full")
			}
			return nil
		}
		a.push(b, false, "one")
		settle(5 * time.Second)
		a.push(b, false, "two")
		settle(time.Second)
		if got, n := b.from(a.ID()), b.words(a.ID()); !slices.Equal(got, []string{"two"}) || n != 1 {
			t.Errorf("got %q and %d words of a loss: want two, and 1", got, n)
		}
		b.innocent(t)
	})
}

// A peer that is no longer admitted loses its streams and its queue when Recheck is called, and gets nothing more.
func TestRecheck(t *testing.T) {
	two(t, Options{}, func(t *testing.T, w *world.World, a, b *post) {
		a.push(b, false, "one")
		b.push(a, false, "one")
		settle(time.Second)
		b.bar(a.ID(), true)
		b.Recheck(a.ID())
		settle(time.Second)
		b.Courier.mu.Lock()
		if len(b.lines) != 0 {
			t.Error("a line to a peer that is not admitted")
		}
		if g := b.guests[a.ID()]; g != nil && g.active != nil {
			t.Error("a stream of a peer that is not admitted")
		}
		b.Courier.mu.Unlock()
		a.push(b, false, "two")
		b.push(a, false, "two")
		settle(time.Minute)
		if got := b.from(a.ID()); len(got) != 1 {
			t.Errorf("got %q of a peer that is not admitted", got)
		}
		if got := a.from(b.ID()); len(got) != 1 {
			t.Errorf("a peer that is not admitted was sent %q", got)
		}
		b.bar(a.ID(), false)
		settle(10 * time.Minute)
		if n := b.words(a.ID()); n != 1 {
			t.Errorf("%d words of a loss after it was admitted again: want 1", n)
		}
	})
}

// Nothing that is for one peer reaches another.
func TestNobodyElse(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 3, 4, world.Options{})
		var all []*post
		for i := range 4 {
			all = append(all, open(t, w, i, Options{Queue: 20}))
		}
		w.Mesh(0, 1, 2, 3)
		for round := range 30 {
			for i, p := range all[1:] {
				all[0].push(p, round%3 == 0, fmt.Sprintf("for %d, %d", i+1, round))
			}
			if round == 10 {
				settle(time.Second)
			}
			if round == 20 {
				w.Crash(2)
			}
		}
		settle(time.Minute)
		for i, p := range all {
			for _, q := range all {
				for _, r := range p.from(q.ID()) {
					if q != all[0] || !strings.HasPrefix(r, fmt.Sprintf("for %d,", i)) {
						t.Errorf("%d got %q", i, r)
					}
				}
			}
		}
		if len(all[1].from(all[0].ID())) < 20 {
			t.Error("too little came to test anything")
		}
	})
}

// Close waits for everything, even where a peer does not read and a Take does not end by itself.
func TestClose(t *testing.T) {
	two(t, Options{}, func(t *testing.T, w *world.World, a, b *post) {
		b.desk.take = func(ctx context.Context, _ peer.ID, _ [][]byte) error { <-ctx.Done(); return ctx.Err() }
		for range 30 {
			a.push(b, false, strings.Repeat("x", 100<<10))
		}
		settle(time.Second)
		start := time.Now()
		_ = a.Courier.Close()
		_ = b.Courier.Close()
		if took := time.Since(start); took > time.Second {
			t.Errorf("closing took %v", took)
		}
		a.push(b, false, "after the end")
		_ = a.Courier.Close()
		a.innocent(t)
		b.innocent(t)
	})
}

// An unused stream is closed, and opened again when there is something to send.
func TestIdle(t *testing.T) {
	two(t, Options{}, func(t *testing.T, w *world.World, a, b *post) {
		a.push(b, false, "one")
		settle(11 * time.Minute)
		a.Courier.mu.Lock()
		lines := len(a.lines)
		a.Courier.mu.Unlock()
		b.Courier.mu.Lock()
		active := b.guests[a.ID()].active
		b.Courier.mu.Unlock()
		if lines != 0 || active != nil {
			t.Errorf("%d lines, stream %v, long after the last record", lines, active)
		}
		a.push(b, false, "two")
		settle(time.Second)
		if got := b.from(a.ID()); len(got) != 2 || b.words(a.ID()) != 0 {
			t.Errorf("got %q, %d words of a loss", got, b.words(a.ID()))
		}
	})
}
