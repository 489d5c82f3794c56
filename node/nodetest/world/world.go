// Package world simulates the physical world for tests of the network: up to a thousand places in five regions, the time
// light and routers take between them, link speeds, packet loss, partitions and power cuts. Hosts in it are real libp2p
// hosts that speak real QUIC; only the UDP socket is replaced. Time is the virtual time of testing/synctest, so a minute
// passes in the real time that its packets cost.
//
// A test runs inside [Test] and makes its world there:
//
//	world.Test(t, func(t *testing.T) {
//		w := world.New(t, 1, 50, world.Options{})
//		a, b := w.Host(0), w.Host(1)
//		w.Connect(0, 1)
//		w.Loss(0.01)
//		…
//	})
//
// # What to know
//
//   - Only QUIC works here. Code under test must not hold a mutex across a stream write or another wait for the network:
//     virtual time stands still while a goroutine waits for a mutex.
//   - While code runs, time stands still as well: processor time is free here. Figures from a world hold for distance,
//     number of hops, bytes, loss and failures, not for speed of code.
//   - Geography, keys and the choice of lost packets follow from the seed; the order of goroutines does not. Assert on
//     percentiles with slack, never on exact times. A failing test logs the seed.
//   - Every open connection costs about 200 KB and 5 ms of real time to set up.
package world

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/multiformats/go-multiaddr"
)

// DefaultBitsPerSecond is the speed of every node's link in each direction unless Options says otherwise.
const DefaultBitsPerSecond = 50_000_000

const (
	port = 8000

	// Waiting for the network costs virtual time only, so much is done together.
	connectingTogether = 512
	closingTogether    = 64
)

// Options describe a world. The zero value is the world of the published figures.
type Options struct {
	BitsPerSecond int // of every link, up and down; 0: DefaultBitsPerSecond
}

// World is one simulated world. Its methods may be called from any goroutine of its test.
type World struct {
	t    testing.TB
	seed uint64
	n    int
	link simnet.NodeBiDiLinkSettings
	net  simnet.Simnet

	regions []Region
	latency [][]time.Duration
	addrs   []*net.UDPAddr

	mu     sync.Mutex
	places []place
	loss   float64
	dice   *rand.Rand
	group  []int           // partition; nil: whole
	cut    map[[2]int]bool // pairs, the lower index first
}

// place is what stands at one address: at most one host at a time, and what its predecessors have left to be closed.
type place struct {
	host    host.Host // made by Host; nil for a host made elsewhere
	sockets []*simnet.SimConn
	quic    []*quicreuse.ConnManager
	past    []host.Host
	sent    simnet.ConnStats // by sockets that are gone
}

// Test runs f inside a bubble of virtual time. Everything started in f must have ended when f returns and the cleanups
// have run. Tests that use it must not be parallel.
func Test(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if RaceEnabled {
		// golang.org/issue/78156: under the race detector bubbles need a single processor.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, f)
}

// New makes a world of n places without hosts. It must be called inside a bubble, see [Test]. When the test ends, hosts
// made by [World.Host] are closed; hosts made elsewhere must be closed by then.
func New(t testing.TB, seed uint64, n int, o Options) *World {
	t.Helper()
	if n < 1 || n > 1<<16 {
		t.Fatalf("a world of %d places: want 1 to 65536", n)
	}
	if o.BitsPerSecond == 0 {
		o.BitsPerSecond = DefaultBitsPerSecond
	}
	speed := simnet.LinkSettings{BitsPerSecond: o.BitsPerSecond}
	w := &World{
		t:      t,
		seed:   seed,
		n:      n,
		link:   simnet.NodeBiDiLinkSettings{Uplink: speed, Downlink: speed},
		places: make([]place, n),
		dice:   rand.New(rand.NewPCG(seed, 2)),
		cut:    make(map[[2]int]bool),
	}
	w.regions, w.latency = geography(seed, n)
	for i := range n {
		w.addrs = append(w.addrs, &net.UDPAddr{IP: simnet.IntToPublicIPv4(i).To4(), Port: port})
	}
	w.net.Logger = slog.New(slog.DiscardHandler)
	w.net.LatencyFunc = w.route
	w.net.Start()
	t.Cleanup(w.close)
	return w
}

// Size returns the number of places.
func (w *World) Size() int { return w.n }

// Latency returns the one-way time of a packet between two places.
func (w *World) Latency(i, j int) time.Duration { return w.latency[i][j] }

// Region returns where a place is.
func (w *World) Region(i int) Region { return w.regions[i] }

// Addr returns the address a host at place i listens on.
func (w *World) Addr(i int) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", w.addrs[i].IP, port))
}

// Loss sets the share of packets that are lost from now on, between 0 and 1, everywhere.
func (w *World) Loss(p float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss = p
}

// Partition cuts the world into groups between which no packet passes. Places that are in no group form one more. It
// replaces an earlier partition.
func (w *World) Partition(groups ...[]int) {
	group := make([]int, w.n)
	for g, members := range groups {
		for _, i := range members {
			group[i] = g + 1
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.group = group
}

// Cut stops all packets between two places.
func (w *World) Cut(i, j int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[pair(i, j)] = true
}

// Heal ends the partition and all cuts.
func (w *World) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.group = nil
	clear(w.cut)
}

// Connect connects the host at place i to the one at place j. Both must have been made by [World.Host].
func (w *World) Connect(i, j int) {
	w.t.Helper()
	from, to := w.At(i), w.At(j)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := from.Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: []multiaddr.Multiaddr{w.Addr(j)}})
	if err != nil {
		w.t.Errorf("connecting place %d to %d: %v", i, j, err)
	}
}

// ConnectAll connects the first of each pair to the second.
func (w *World) ConnectAll(pairs [][2]int) {
	w.t.Helper()
	slots := make(chan struct{}, connectingTogether)
	var all sync.WaitGroup
	for _, p := range pairs {
		slots <- struct{}{}
		all.Go(func() {
			w.Connect(p[0], p[1])
			<-slots
		})
	}
	all.Wait()
}

// Mesh connects every pair of the given places.
func (w *World) Mesh(places ...int) {
	w.t.Helper()
	var pairs [][2]int
	for a, i := range places {
		for _, j := range places[a+1:] {
			pairs = append(pairs, [2]int{i, j})
		}
	}
	w.ConnectAll(pairs)
}

// Crash cuts the power at a place: its host says no goodbye and hears nothing more. The host object stays for its owner
// to close; closing it is not noticed by anyone.
func (w *World) Crash(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.places[i]
	for _, s := range p.sockets {
		s.Close()
		w.keepStats(p, s)
	}
	p.sockets = nil
	if p.host != nil {
		p.past = append(p.past, p.host)
		p.host = nil
	}
}

// Restart cuts the power at a place and puts a new host there with the same key and address.
func (w *World) Restart(i int, opts ...libp2p.Option) host.Host {
	w.t.Helper()
	w.Crash(i)
	return w.Host(i, opts...)
}

// Traffic is what left one place or the whole world, in UDP payloads.
type Traffic struct {
	Packets, Bytes int
}

// Traffic returns what has been sent by all places since New.
func (w *World) Traffic() Traffic {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sum Traffic
	for i := range w.places {
		p := &w.places[i]
		sum.Packets += p.sent.PacketsSent
		sum.Bytes += p.sent.BytesSent
		for _, s := range p.sockets {
			st := s.Stats()
			sum.Packets += st.PacketsSent
			sum.Bytes += st.BytesSent
		}
	}
	return sum
}

func (w *World) keepStats(p *place, s *simnet.SimConn) {
	st := s.Stats()
	p.sent.PacketsSent += st.PacketsSent
	p.sent.BytesSent += st.BytesSent
}

// At returns the host made by [World.Host] at a place.
func (w *World) At(i int) host.Host {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.places[i].host == nil {
		w.t.Fatalf("no host at place %d", i)
	}
	return w.places[i].host
}

var nowhere = &net.UDPAddr{IP: net.IPv4zero.To4(), Port: 1}

// route gives a packet its travel time, or sends it nowhere. The network calls it from one goroutine.
func (w *World) route(p *simnet.Packet) time.Duration {
	from, to := w.index(p.From), w.index(p.To)
	if from < 0 || to < 0 || !w.passes(from, to) {
		p.To = nowhere
		return 0
	}
	p.To = w.addrs[to] // the network's table knows one form of each address
	return w.latency[from][to]
}

func (w *World) passes(from, to int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.group != nil && w.group[from] != w.group[to] {
		return false
	}
	if w.cut[pair(from, to)] {
		return false
	}
	return w.loss == 0 || w.dice.Float64() >= w.loss
}

// index finds the place of an address, -1 where there is none.
func (w *World) index(a net.Addr) int {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return -1
	}
	ip := u.IP.To4()
	if ip == nil {
		return -1
	}
	i := int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])
	i-- // IntToPublicIPv4 counts from one
	if i < 0 || i >= w.n || u.Port != port {
		return -1
	}
	return i
}

func pair(i, j int) [2]int { return [2]int{min(i, j), max(i, j)} }

// close ends the world: hosts first, which may need virtual time, then the sockets and the network.
func (w *World) close() {
	if w.t.Failed() {
		w.t.Logf("world: seed %d, %d places", w.seed, w.n)
	}
	w.mu.Lock()
	var closers []io.Closer
	for i := range w.places {
		p := &w.places[i]
		if p.host != nil {
			closers = append(closers, p.host)
		}
		for _, h := range p.past {
			closers = append(closers, h)
		}
	}
	places := slices.Clone(w.places)
	w.mu.Unlock()

	slots := make(chan struct{}, closingTogether)
	var all sync.WaitGroup
	for _, c := range closers {
		slots <- struct{}{}
		all.Go(func() {
			c.Close()
			<-slots
		})
	}
	all.Wait()
	for i := range places {
		for _, q := range places[i].quic {
			q.Close()
		}
		for _, s := range places[i].sockets {
			s.Close()
		}
	}
	w.net.Close()
}
