package node_test

import (
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest/world"
	"github.com/entente-network/entente/node/roomsync"
	"github.com/entente-network/entente/protocol"
)

// BenchmarkRooms measures what ENTENTE_BENCH_ROOMS rooms of 50 members each, drawn from 250 teams, cost a node in which nothing
// happens, in processor time: refresh-ms is to remake what is cached of teams and rooms, as at every change and every minute,
// refresh-anew-ms the same after something changed about a team, norooms-ms without any room; tend-ms is what is done every ten
// seconds; heads-ms, judge-ms every minute; shared-µs is to say what may be told to one peer, which each conversation asks several
// times, and wanted-µs to say what is wanted of it. find-ms is to look up a room by its
// id, and send-ms to say something in it.
func BenchmarkRooms(b *testing.B) {
	rooms, teams, size := benchSize("ENTENTE_BENCH_ROOMS", 40, 4), benchSize("ENTENTE_BENCH_MEMBERS", 250, 60), 50
	members := newMembers(b, teams-1, nil)
	h := newHall(b, b.TempDir(), "member", members)
	n := openAlone(b, h.home)
	rb := node.RoomBench{Node: n}
	refresh := func(anew bool) func() error {
		return func() error { rb.Refresh(anew); return nil }
	}
	each := func(times int, f func() error) time.Duration {
		b.Helper()
		return cost(b, func() error {
			for range times {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		}) / time.Duration(times)
	}
	for b.Loop() {
		b.ReportMetric(millis(each(20, refresh(false))), "norooms-ms")
		var last protocol.Hash
		dice := rand.New(rand.NewPCG(1, 1))
		for i := range rooms {
			dice.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
			room := h.found(b, n, fmt.Sprintf("room %d", i), members[:size-1]...)
			rb.Meet(room, members[0].team, members[1].team)
			saysIn(b, n, room, "a word")
			last = room
		}
		var peers []peer.ID
		for _, m := range members {
			peers = append(peers, m.peerID())
		}
		if err := profile("rooms-refresh"); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(millis(each(20, refresh(false))), "refresh-ms")
		b.ReportMetric(millis(each(20, refresh(true))), "refresh-anew-ms")
		pprof.StopCPUProfile()
		b.ReportMetric(millis(each(20, rb.Tend)), "tend-ms")
		b.ReportMetric(millis(each(20, func() error {
			rb.Heads()
			return nil
		})), "heads-ms")
		b.ReportMetric(millis(each(20, rb.Judge)), "judge-ms")
		if err := profile("rooms-shared"); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(each(4, func() error {
			for _, p := range peers {
				rb.Shared(p)
			}
			return nil
		}))/float64(len(peers))/1e3, "shared-µs")
		b.ReportMetric(float64(each(4, func() error {
			for _, p := range peers {
				if rb.Wanted(p) != 0 {
					return fmt.Errorf("it wants keys that it made")
				}
			}
			return nil
		}))/float64(len(peers))/1e3, "wanted-µs")
		pprof.StopCPUProfile()
		if err := profile("rooms-find"); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(millis(each(50, func() error {
			_, err := n.Room(last.String())
			return err
		})), "find-ms")
		b.ReportMetric(millis(each(50, func() error {
			saysIn(b, n, last, "another word")
			return nil
		})), "send-ms")
		pprof.StopCPUProfile()
	}
	b.ReportMetric(0, "ns/op")
}

// roomsIdle is what a minute costs in the simulated world.
type roomsIdle struct {
	Minute   time.Duration // processor time of all of it
	Room     int           // bytes in a minute that the node wrote to streams of rooms
	Everyone int           // bytes in a minute that it wrote to all streams
}

// BenchmarkRoomsIdle measures, in the simulated world, what a minute costs a node and 249 light members that are connected with it
// and all are in one room with it in which nothing is said: minute-ms is the processor time of all of them, room-B/min what the node
// writes to streams of rooms, all-B/min to any.
func BenchmarkRoomsIdle(b *testing.B) {
	count := benchSize("ENTENTE_BENCH_MEMBERS", 250, 20)
	for b.Loop() {
		var r roomsIdle
		inWorld(b, "TestRoomsIdleInWorld", count, &r)
		b.ReportMetric(millis(r.Minute), "minute-ms")
		b.ReportMetric(float64(r.Room), "room-B/min")
		b.ReportMetric(float64(r.Everyone), "all-B/min")
	}
	b.ReportMetric(0, "ns/op")
}

// TestRoomsIdleInWorld is a part of BenchmarkRoomsIdle.
func TestRoomsIdleInWorld(t *testing.T) {
	count := asked(t)
	from, to := outside(func() error { return profile("rooms-idle") }), outside(func() error {
		pprof.StopCPUProfile()
		return nil
	})
	world.Test(t, func(t *testing.T) {
		w := newRoomWorld(t, count, 0)
		w.allRead(w.says("a word"), w.lights)
		time.Sleep(5 * time.Minute)
		const minutes = 15
		before, cpu := w.meter.snapshot(), usedCPU()
		if err := from(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minutes * time.Minute)
		if err := to(); err != nil {
			t.Fatal(err)
		}
		r := roomsIdle{Minute: (usedCPU() - cpu) / minutes}
		for id, n := range w.meter.snapshot() {
			n -= before[id]
			r.Everyone += n / minutes
			if id == roomsync.Protocol {
				r.Room = n / minutes
			}
		}
		report(t, r)
	})
}

// outside makes f something that is done outside of the bubble in which it is called: what f starts has real time.
func outside(f func() error) func() error {
	ask, done := make(chan struct{}), make(chan error)
	go func() {
		if _, ok := <-ask; ok {
			done <- f()
		}
	}()
	return func() error {
		ask <- struct{}{}
		return <-done
	}
}
