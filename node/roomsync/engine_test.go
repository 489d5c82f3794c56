package roomsync

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/nodetest/world"
	"github.com/entente-network/entente/protocol"
)

func TestTwoConverge(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		a.put(theRoom, papers("a", 300, 5000)...)
		b.put(theRoom, papers("b", 40, 300)...)
		a.put(theRoom, paper{id: hash("both"), sigs: 1 | 4})
		b.put(theRoom, paper{id: hash("both"), sigs: 2 | 4})
		other := hash("another room")
		for _, p := range ps {
			p.join(other, a.ID(), b.ID())
		}
		a.put(other, papers("other", 3, 50)...) // b knows of none
		b.put(hash("b's own"), papers("alone", 3, 50)...)
		meet(w, ps, [2]int{0, 1})
		settle(10 * time.Second)
		if !same(a.shelf, b.shelf, theRoom) || !same(a.shelf, b.shelf, other) {
			t.Error("they hold different records")
		}
		if got := a.rooms[theRoom][hash("both")].sigs; got != 7 {
			t.Errorf("signatures %b: want 111", got)
		}
		if _, ok := a.rooms[hash("b's own")]; ok {
			t.Error("a room that is not shared was given away")
		}
		if a.compared[b.ID()] == 0 || b.compared[a.ID()] == 0 {
			t.Error("nobody was told that they compared")
		}
		// What both had goes no second time: a gives 300 and what b lacks of the other room, b gives 40, and both the one in common.
		if len(a.shelf.log) != 41 || len(b.shelf.log) != 304 {
			t.Errorf("%d and %d records were given: want 41 and 304", len(a.shelf.log), len(b.shelf.log))
		}
		a.innocent(t)
		b.innocent(t)
	})
}

// What is equal costs two frames, however much it is, every now and then, and reading no record.
func TestEqual(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		for _, p := range ps {
			p.put(theRoom, papers("all", 500, 100)...)
		}
		meet(w, ps, [2]int{0, 1})
		settle(time.Hour + time.Second)
		if n := a.shelf.records + b.shelf.records; n > 0 {
			t.Errorf("records were read %d times to find that they are the same", n)
		}
		// One of them begins every five minutes, or both do if their phases are more than half of that apart.
		if n := a.compared[b.ID()]; n < 12 || n > 26 || b.compared[a.ID()] != n {
			t.Errorf("compared %d and %d times in an hour: want 12 to 26, both the same", n, b.compared[a.ID()])
		}
	})
}

func TestTell(t *testing.T) {
	posts(t, 3, Options{Every: time.Hour, Settle: time.Hour}, func(t *testing.T, w *world.World, ps []*post) {
		a, b, c := ps[0], ps[1], ps[2]
		delete(a.members[theRoom], c.ID())
		meet(w, ps, [2]int{0, 1}, [2]int{0, 2})
		settle(10 * time.Second)
		began := time.Now()
		var arrived time.Time
		count(b.shelf, func() any {
			b.take = func(context.Context, peer.ID) error {
				b.shelf.mu.Lock()
				defer b.shelf.mu.Unlock()
				if arrived.IsZero() {
					arrived = time.Now()
				}
				return nil
			}
			return nil
		})
		epoch := hash("epoch")
		a.Grant(b.ID(), theRoom, [][]byte{epoch[:]})
		elsewhere := hash("elsewhere") // where b is not
		a.Tell(b.ID(), elsewhere, [][]byte{paper{id: elsewhere}.raw()})
		for _, p := range papers("new", 5, 1000) {
			a.Tell(b.ID(), theRoom, [][]byte{p.raw()})
			a.Tell(c.ID(), theRoom, [][]byte{p.raw()})
		}
		settle(time.Second)
		if took := arrived.Sub(began); arrived.IsZero() || took > 2*w.Latency(0, 1) {
			t.Errorf("it came after %v, with %v between the two", took, w.Latency(0, 1))
		}
		// What waits is told together, records before grants.
		if want := []string{"record", "record", "record", "record", "record", "grant"}; !slices.Equal(b.shelf.log, want) || b.takes != 1 || !b.held[epoch] {
			t.Errorf("in %d calls came %q: want one, %q", b.takes, b.shelf.log, want)
		}
		for _, p := range papers("new", 700, 1000) {
			a.Tell(b.ID(), theRoom, [][]byte{p.raw()})
		}
		settle(3 * time.Second)
		if got := len(b.rooms[theRoom]); got != 701 || b.takes > 20 {
			t.Errorf("b has %d records, from %d calls: want 701, few", got, b.takes)
		}
		if len(c.rooms[theRoom]) != 1 {
			t.Error("c, who is in no room with a, was told")
		}
		b.innocent(t)
	})
}

// A peer that is too slow for what it is told is compared with instead.
func TestTooMuchToTell(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		meet(w, ps, [2]int{0, 1})
		settle(10 * time.Second)
		gate := make(chan struct{})
		count(b.shelf, func() any { b.take = func(context.Context, peer.ID) error { <-gate; return nil }; return nil })
		for _, p := range papers("new", 3000, 1000) {
			a.put(theRoom, p)
			a.Tell(b.ID(), theRoom, [][]byte{p.raw()})
			if waits := a.partnerOf(b).size; waits > maxTold/2 {
				t.Fatalf("%d bytes wait for one peer", waits)
			}
		}
		settle(time.Second)
		close(gate)
		settle(10 * time.Second)
		if !same(a.shelf, b.shelf, theRoom) {
			t.Errorf("b has %d records: want all 3001", len(b.rooms[theRoom]))
		}
		a.innocent(t)
		b.innocent(t)
	})
}

func (p *post) partnerOf(q *post) *partner {
	p.Engine.mu.Lock()
	defer p.Engine.mu.Unlock()
	if pt := p.Engine.partners[q.ID()]; pt != nil {
		c := *pt
		return &c
	}
	return nil
}

// What one node learns reaches all, through others where it has to.
func TestHealsThroughOthers(t *testing.T) {
	posts(t, 5, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		meet(w, ps, [2]int{0, 1}, [2]int{1, 2}, [2]int{2, 3}, [2]int{3, 4})
		settle(10 * time.Second)
		ps[0].put(theRoom, papers("first", 10, 100)...)
		ps[4].put(theRoom, papers("last", 10, 100)...)
		ps[0].Changed(theRoom, "")
		ps[4].Changed(theRoom, "")
		settle(30 * time.Second)
		for i, p := range ps {
			if !same(ps[0].shelf, p.shelf, theRoom) || len(p.rooms[theRoom]) != 21 {
				t.Errorf("post %d has %d records: want 21", i, len(p.rooms[theRoom]))
			}
			p.innocent(t)
		}
	})
}

// Two halves go on by themselves. When one pair of them meets again, all have all.
func TestPartition(t *testing.T) {
	posts(t, 6, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		meet(w, ps, [2]int{0, 1}, [2]int{1, 2}, [2]int{0, 2}, [2]int{3, 4}, [2]int{4, 5}, [2]int{3, 5})
		for i, who := range []string{"0", "1", "2", "3", "4", "5"} {
			ps[i].put(theRoom, papers(who, 20, 100)...)
			ps[i].put(theRoom, paper{id: hash("vote"), sigs: 1 << i})
			ps[i].Changed(theRoom, "")
		}
		settle(time.Minute)
		if !same(ps[0].shelf, ps[1].shelf, theRoom) || !same(ps[3].shelf, ps[5].shelf, theRoom) || same(ps[0].shelf, ps[3].shelf, theRoom) {
			t.Error("the halves are not each of one mind")
		}
		meet(w, ps, [2]int{2, 3})
		settle(time.Minute)
		for i, p := range ps {
			if got := p.rooms[theRoom][hash("vote")].sigs; got != 63 || len(p.rooms[theRoom]) != 122 {
				t.Errorf("post %d has %d records and votes %b: want 122 and 111111", i, len(p.rooms[theRoom]), got)
			}
			p.innocent(t)
		}
	})
}

// News is passed to so many others that are in the room, not to who brought it.
func TestFan(t *testing.T) {
	posts(t, 8, Options{Every: time.Hour, Fan: 3}, func(t *testing.T, w *world.World, ps []*post) {
		var star [][2]int
		for i := 1; i < 8; i++ {
			star = append(star, [2]int{0, i})
		}
		meet(w, ps, star...)
		settle(10 * time.Second)
		for i := 5; i < 8; i++ {
			delete(ps[0].members[theRoom], ps[i].ID())
		}
		compared := func() (n []int) {
			for _, p := range ps[1:] {
				n = append(n, ps[0].compared[p.ID()])
			}
			return n
		}
		want := compared()
		for i := 1; i <= 3; i++ {
			want[i]++
		}
		for range 5 {
			ps[0].Changed(theRoom, ps[1].ID())
		}
		settle(10 * time.Second)
		if got := compared(); !slices.Equal(got, want) {
			t.Errorf("compared %d times: want %d, with the three that are in the room and did not bring it", got, want)
		}
		// What came from two is asked of both.
		ps[0].Changed(theRoom, ps[1].ID())
		ps[0].Changed(theRoom, ps[2].ID())
		settle(10 * time.Second)
		n := 0
		for i, c := range compared() {
			n += c - want[i]
		}
		if n != 3 {
			t.Errorf("%d were compared with: want 3", n)
		}
	})
}

// An identity is asked for where it may be had. Nobody goes on asking who does not have it.
func TestGrants(t *testing.T) {
	posts(t, 3, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b, c := ps[0], ps[1], ps[2]
		here, nowhere := hash("here"), hash("nowhere")
		a.held[here] = true
		for _, p := range []*post{b, c} {
			p.wanted[here], p.wanted[nowhere] = theRoom, theRoom
		}
		meet(w, ps, [2]int{0, 1}, [2]int{1, 2}) // c has it from b
		settle(20 * time.Second)
		ps[1].PeerReady(c.ID())
		ps[2].PeerReady(b.ID())
		settle(20 * time.Second)
		if !b.held[here] || !c.held[here] {
			t.Errorf("b has the identity: %t, c: %t", b.held[here], c.held[here])
		}
		if a.grants != 1 || b.grants > 1 {
			t.Errorf("%d and %d grants were made: want one each", a.grants, b.grants)
		}
		before := b.asked[c.ID()] + c.asked[b.ID()]
		settle(time.Hour)
		if n := b.asked[c.ID()] + c.asked[b.ID()] - before; n > 500 {
			t.Errorf("two that lack the same asked for it on and on: %d looks in an hour", n)
		}
		a.innocent(t)
		b.innocent(t)
	})
}

// A record that makes a node want an identity has it asked for, of who brought it.
func TestGrantAfterRecords(t *testing.T) {
	posts(t, 2, Options{Every: time.Hour}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		meet(w, ps, [2]int{0, 1})
		settle(10 * time.Second)
		epoch := hash("epoch")
		a.held[epoch] = true
		count(b.shelf, func() any {
			b.take = func(context.Context, peer.ID) error {
				b.shelf.mu.Lock()
				defer b.shelf.mu.Unlock()
				b.wanted[epoch] = theRoom
				return nil
			}
			return nil
		})
		a.put(theRoom, papers("epoch", 1, 10)...)
		a.Tell(b.ID(), theRoom, [][]byte{papers("epoch", 1, 10)[0].raw()})
		settle(10 * time.Second)
		if !b.held[epoch] {
			t.Error("b did not ask for the identity")
		}
	})
}

// Who may have less of a room than others is not given the same again and again, nor asked for it.
func TestRestrictedView(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		ps[0].put(theRoom, papers("old", 100, 1000)...)
		ps[1].put(theRoom, papers("old", 100, 1000)...)
		a.put(theRoom, papers("new", 100, 1000)...)
		a.hides[b.ID()] = map[protocol.Hash]bool{}
		for _, p := range append(papers("new", 100, 0), papers("old", 50, 0)...) {
			a.hides[b.ID()][p.id] = true
		}
		meet(w, ps, [2]int{0, 1})
		settle(time.Hour)
		if a.takes+b.takes > 0 {
			t.Errorf("%d calls of Take where nobody lacked what it may have", a.takes+b.takes)
		}
		if a.compared[b.ID()] < 12 || b.compared[a.ID()] < 12 {
			t.Errorf("compared %d and %d times in an hour", a.compared[b.ID()], b.compared[a.ID()])
		}
	})
}

// Who is asked into a room knows nothing of it and is given all, the first charter first.
func TestNewcomer(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		a.put(theRoom, papers("a", 300, 2000)...)
		delete(b.rooms, theRoom)
		delete(b.members, theRoom)
		meet(w, ps, [2]int{0, 1})
		settle(10 * time.Second)
		if !same(a.shelf, b.shelf, theRoom) || len(b.shelf.log) != 301 {
			t.Fatalf("%d records, %d given: want 301", len(b.rooms[theRoom]), len(b.shelf.log))
		}
		if b.takes != 1 {
			t.Errorf("they came in %d calls: want one, for any of them may say that the room is anything to b", b.takes)
		}
		if b.shelf.firsts[theRoom] != theRoom {
			t.Error("another record came before the first charter")
		}
		if a.compared[b.ID()] > 0 || b.compared[a.ID()] > 0 {
			t.Error("one who is not in the room counts as compared")
		}
		a.innocent(t)
		b.innocent(t)
	})
}

// A conversation that breaks leaves what came, and the next goes on from there.
func TestBreaksInTheMiddle(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		a.put(theRoom, papers("a", 3000, 4000)...)
		var n atomic.Int64
		count(b.shelf, func() any {
			b.take = func(ctx context.Context, _ peer.ID) error {
				if n.Add(1) == 5 {
					for _, c := range b.Network().ConnsToPeer(a.ID()) {
						go c.Close()
					}
					<-ctx.Done()
				}
				return ctx.Err()
			}
			return nil
		})
		meet(w, ps, [2]int{0, 1})
		settle(30 * time.Second)
		if got := len(b.rooms[theRoom]); got < 100 || got > 2900 {
			t.Fatalf("%d records are there after the break: want some", got)
		}
		if a.partnerOf(b) != nil {
			t.Error("a peer that left is remembered")
		}
		before := len(b.shelf.log)
		meet(w, ps, [2]int{0, 1})
		settle(30 * time.Second)
		if !same(a.shelf, b.shelf, theRoom) || len(b.shelf.log) > 3001 {
			t.Errorf("%d records, %d before, %d given in all: want 3001, none twice", len(b.rooms[theRoom]), before, len(b.shelf.log))
		}
		a.innocent(t)
		b.innocent(t)
	})
}

// A node that cannot keep what it is given is no offender, and tries again, less and less often.
func TestOwnFailure(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		a.put(theRoom, papers("a", 3, 100)...)
		var tries atomic.Int64
		count(b.shelf, func() any {
			b.take = func(context.Context, peer.ID) error { tries.Add(1); return errors.New("the disk is full") }
			return nil
		})
		meet(w, ps, [2]int{0, 1})
		settle(time.Hour)
		if n := tries.Load(); n < 3 || n > 60 {
			t.Errorf("%d tries in an hour: want 3 to 60", n)
		}
		count(b.shelf, func() any { b.take = nil; return nil })
		settle(6 * time.Minute)
		if !same(a.shelf, b.shelf, theRoom) {
			t.Error("they are not the same after the disk had room again")
		}
		a.innocent(t)
		b.innocent(t)
	})
}

// Who was given much may take longer for its answer, for it verifies that first.
func TestDigests(t *testing.T) {
	posts(t, 2, Options{Patience: 5 * time.Second}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		a.put(theRoom, papers("a", 500, 4000)...)
		count(b.shelf, func() any {
			b.take = func(ctx context.Context, _ peer.ID) error {
				if taken := count(b.shelf, func() int { return b.taken }); taken > 1_800_000 {
					select {
					case <-time.After(20 * time.Second):
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				return nil
			}
			return nil
		})
		meet(w, ps, [2]int{0, 1})
		settle(time.Minute)
		if !same(a.shelf, b.shelf, theRoom) || len(b.shelf.log) != 500 {
			t.Errorf("%d records, %d given: want 501, 500 of them given", len(b.rooms[theRoom]), len(b.shelf.log))
		}
		if a.partnerOf(b).fails+b.partnerOf(a).fails > 0 {
			t.Error("the conversation was broken off")
		}
		a.innocent(t)
		b.innocent(t)
	})
}

func TestClose(t *testing.T) {
	posts(t, 3, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, b := ps[0], ps[1]
		a.put(theRoom, papers("a", 3000, 4000)...)
		count(b.shelf, func() any {
			b.take = func(ctx context.Context, _ peer.ID) error { <-ctx.Done(); return ctx.Err() }
			return nil
		})
		meet(w, ps, [2]int{0, 1}, [2]int{0, 2})
		settle(3 * time.Second)
		for _, p := range []*post{b, a} {
			began := time.Now()
			if err := p.Engine.Close(); err != nil || time.Since(began) > time.Second {
				t.Errorf("Close: %v after %v", err, time.Since(began))
			}
			p.PeerReady(ps[2].ID())
			p.Tell(ps[2].ID(), theRoom, [][]byte{{1}})
		}
		settle(time.Minute)
		a.innocent(t)
		b.innocent(t)
	})
}
