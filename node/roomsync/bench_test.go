package roomsync

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"golang.org/x/time/rate"

	"github.com/entente-network/entente/protocol"
)

// A ledger is a Backend that has computed beforehand what it has, as a node does.
type ledger struct {
	shelf
	list   []Record
	sums   []protocol.Hash
	digest protocol.Hash
}

func newLedger(ps []paper) *ledger {
	s := newShelf()
	s.join(theRoom, "p")
	s.put(theRoom, ps...)
	l := &ledger{list: s.Records("p", theRoom), sums: s.Held(theRoom)}
	l.digest = Digest(l.list)
	return l
}

func (l *ledger) Admits(peer.ID) bool                                          { return true }
func (l *ledger) Rooms(peer.ID) []Room                                         { return []Room{{theRoom, l.digest}} }
func (l *ledger) Records(peer.ID, protocol.Hash) []Record                      { return l.list }
func (l *ledger) Held(protocol.Hash) []protocol.Hash                           { return l.sums }
func (l *ledger) Take(context.Context, peer.ID, protocol.Hash, [][]byte) error { return nil }
func (l *ledger) Wants(peer.ID, protocol.Hash) []protocol.Hash                 { return nil }
func (l *ledger) Compared(peer.ID, protocol.Hash)                              {}

// A meter is a host that counts the bytes of the streams that it opens.
type meter struct {
	host.Host
	n atomic.Int64
}

type meteredStream struct {
	network.Stream
	n *atomic.Int64
}

func (m *meter) NewStream(ctx context.Context, p peer.ID, ids ...libp2pprotocol.ID) (network.Stream, error) {
	s, err := m.Host.NewStream(ctx, p, ids...)
	return meteredStream{s, &m.n}, err
}

func (s meteredStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.n.Add(int64(n))
	return n, err
}

func (s meteredStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	s.n.Add(int64(n))
	return n, err
}

func loopback(b *testing.B) host.Host {
	b.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.NoTransports, libp2p.Transport(libp2pquic.NewTransport),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	return h
}

// BenchmarkCompare is a conversation between two hosts of one process over loopback, encryption included, that have nearly the
// same of one room; bytes are those of both directions.
func BenchmarkCompare(b *testing.B) {
	for _, n := range []int{200, 2000, 16000} {
		all := papers("all", n, 4000)
		for _, bb := range []struct {
			name   string
			theirs []paper
		}{
			{"same", all}, {"oneless", all[1:]},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, bb.name), func(b *testing.B) {
				pair(b, all, bb.theirs, func(e *Engine, p peer.ID) error {
					_, err := e.compare(b.Context(), p, rich())
					return err
				})
			})
		}
	}
}

// BenchmarkTell hands one fresh record of 4 KB over.
func BenchmarkTell(b *testing.B) {
	one := papers("new", 1, 4000)
	pair(b, one, one, func(e *Engine, p peer.ID) error {
		return e.hand(b.Context(), p, []word{{room: theRoom, raw: one[0].raw()}})
	})
}

// pair runs what one of two engines does with the other.
func pair(b *testing.B, mine, theirs []paper, f func(*Engine, peer.ID) error) {
	x, y := &meter{Host: loopback(b)}, loopback(b)
	if err := x.Connect(b.Context(), peer.AddrInfo{ID: y.ID(), Addrs: y.Addrs()}); err != nil {
		b.Fatal(err)
	}
	mineAt, theirsAt := New(x, newLedger(mine), Options{}), New(y, newLedger(theirs), Options{})
	defer mineAt.Close()
	defer theirsAt.Close()
	theirsAt.mu.Lock()
	pt := theirsAt.partner(x.ID(), time.Now())
	for _, l := range []**rate.Limiter{&pt.opens, &pt.compares, &pt.purse} { // no peer is as fast as a benchmark
		*l = rate.NewLimiter(rate.Inf, 0)
	}
	theirsAt.mu.Unlock()
	for b.Loop() {
		if err := f(mineAt, y.ID()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(x.n.Load())/float64(b.N), "bytes/op")
}
