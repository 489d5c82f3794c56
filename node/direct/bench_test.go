package direct

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// A sink counts what it takes.
type sink struct{ taken chan int }

func (sink) Admits(peer.ID) bool { return true }
func (s sink) Take(_ context.Context, _ peer.ID, raws [][]byte) error {
	s.taken <- len(raws)
	return nil
}
func (sink) Behind(peer.ID) {}

func hosts(b *testing.B, listen string, o ...libp2p.Option) (x, y host.Host) {
	b.Helper()
	var hs [2]host.Host
	for i := range hs {
		h, err := libp2p.New(append(o, libp2p.ListenAddrStrings(listen), libp2p.DisableRelay(), libp2p.DisableMetrics(),
			libp2p.DisableIdentifyAddressDiscovery())...)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = h.Close() })
		hs[i] = h
	}
	if err := hs[0].Connect(b.Context(), peer.AddrInfo{ID: hs[1].ID(), Addrs: hs[1].Addrs()}); err != nil {
		b.Fatal(err)
	}
	return hs[0], hs[1]
}

// BenchmarkPush is records of 4 KiB per second between two hosts of one process over loopback, encryption included.
func BenchmarkPush(b *testing.B) {
	const size = 4 << 10
	for _, bb := range []struct {
		name, listen string
		o            []libp2p.Option
	}{
		{"tcp", "/ip4/127.0.0.1/tcp/0", []libp2p.Option{libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(libp2ptls.ID, libp2ptls.New)}},
		{"quic", "/ip4/127.0.0.1/udp/0/quic-v1", []libp2p.Option{libp2p.NoTransports, libp2p.Transport(libp2pquic.NewTransport)}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			x, y := hosts(b, bb.listen, bb.o...)
			s := sink{make(chan int, 1024)}
			from, to := New(x, s, Options{}), New(y, s, Options{})
			defer from.Close()
			defer to.Close()
			record := make([]byte, size)
			b.SetBytes(size)
			limit := time.After(2 * time.Minute)
			pushed, taken := 0, 0
			wait := func(most int) {
				for pushed-taken > most {
					select {
					case n := <-s.taken:
						taken += n
					case <-limit:
						b.Fatalf("%d of %d records came", taken, pushed)
					}
				}
			}
			for b.Loop() {
				from.Push(y.ID(), record, false)
				pushed++
				wait(900) // the queue takes 1024
			}
			wait(0)
			b.ReportMetric(float64(pushed)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
