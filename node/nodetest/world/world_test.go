package world_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/entente-network/entente/node/nodetest/world"
)

func TestGeography(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		const n = 250
		w, again, other := world.New(t, 1, n, world.Options{}), world.New(t, 1, n, world.Options{}), world.New(t, 2, n, world.Options{})
		count := map[world.Region]int{}
		differs := false
		for i := range n {
			count[w.Region(i)]++
			for j := range n {
				d := w.Latency(i, j)
				switch {
				case i == j && d != 0:
					t.Fatalf("place %d is %v from itself", i, d)
				case i != j && (d < 17*time.Millisecond || d > 173*time.Millisecond):
					t.Fatalf("%d to %d: %v", i, j, d)
				case d != w.Latency(j, i):
					t.Fatalf("%d to %d: %v, back %v", i, j, d, w.Latency(j, i))
				case d != again.Latency(i, j):
					t.Fatalf("same seed, %d to %d: %v and %v", i, j, d, again.Latency(i, j))
				}
				differs = differs || d != other.Latency(i, j)
			}
		}
		if !differs {
			t.Error("two seeds, one world")
		}
		for r, want := range map[world.Region]int{world.Europe: 90, world.NorthAmerica: 55, world.Asia: 60, world.SouthAmerica: 22, world.Elsewhere: 22} {
			if got := count[r]; got < want-1 || got > want+1 {
				t.Errorf("%v: %d places, want about %d", r, got, want)
			}
		}
		if got, want := w.Key(3), again.Key(3); !got.Equals(want) {
			t.Error("same seed, different keys")
		}
	})
}

func TestPingTakesTwiceTheLatency(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, 3, world.Options{})
		a, b := w.Host(0), w.Host(1)
		w.Host(2)
		w.Mesh(0, 1, 2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		got := <-ping.Ping(ctx, a, b.ID())
		if got.Error != nil {
			t.Fatal(got.Error)
		}
		want := 2 * w.Latency(0, 1)
		if d := got.RTT - want; d < 0 || d > time.Millisecond {
			t.Errorf("round trip %v, want %v", got.RTT, want)
		}
		if w.Traffic().Bytes == 0 {
			t.Error("no traffic counted")
		}
	})
}

// answers reports whether a ping comes back within five seconds.
func answers(t *testing.T, w *world.World, i, j int) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(network.WithNoDial(t.Context(), "test"), 5*time.Second)
	defer cancel()
	id, err := peer.IDFromPrivateKey(w.Key(j))
	if err != nil {
		t.Fatal(err)
	}
	r, ok := <-ping.Ping(ctx, w.At(i), id)
	return ok && r.Error == nil
}

func TestPartitionCutLossHeal(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, 4, world.Options{})
		for i := range 4 {
			w.Host(i)
		}
		w.Mesh(0, 1, 2, 3)
		check := func(what string, i, j int, want bool) {
			t.Helper()
			if got := answers(t, w, i, j); got != want {
				t.Errorf("%s: %d to %d answers: %v, want %v", what, i, j, got, want)
			}
		}
		w.Partition([]int{0, 1})
		check("partition", 0, 1, true)
		check("partition", 2, 3, true)
		check("partition", 0, 2, false)
		w.Heal()
		check("healed", 0, 2, true)
		w.Cut(3, 0)
		check("cut", 0, 3, false)
		check("cut", 1, 3, true)
		w.Heal()
		w.Loss(1)
		check("all lost", 0, 1, false)
		w.Loss(0)
		check("loss over", 0, 1, true)
	})
}

func TestCrashAndRestart(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, 2, world.Options{})
		a, b := w.Host(0), w.Host(1)
		w.Connect(0, 1)
		w.Crash(1)
		if answers(t, w, 0, 1) {
			t.Error("a place without power answers")
		}
		if got := a.Network().Connectedness(b.ID()); got != network.Connected {
			t.Errorf("right after the crash: %v; a crash must not say goodbye", got)
		}
		time.Sleep(time.Minute) // virtual: the connection runs out
		if got := a.Network().Connectedness(b.ID()); got != network.NotConnected {
			t.Errorf("a minute after the crash: %v", got)
		}
		c := w.Restart(1)
		if c.ID() != b.ID() {
			t.Error("restarted with another key")
		}
		w.Connect(0, 1)
		if !answers(t, w, 0, 1) {
			t.Error("no answer after the restart")
		}
	})
}

// TestLinkSpeed sends as much as a link of 10 Mbit/s carries in about a second.
func TestLinkSpeed(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		const size = 1_250_000
		w := world.New(t, 1, 2, world.Options{BitsPerSecond: 10_000_000})
		a, b := w.Host(0), w.Host(1)
		w.Connect(0, 1)
		done := make(chan time.Time, 1)
		b.SetStreamHandler("/flow", func(s network.Stream) {
			io.Copy(io.Discard, s)
			done <- time.Now()
			s.Close()
		})
		s, err := a.NewStream(t.Context(), b.ID(), "/flow")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := s.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		took := (<-done).Sub(start)
		if took < time.Second || took > 3*time.Second {
			t.Errorf("10 Mbit through 10 Mbit/s took %v", took)
		}
	})
}
