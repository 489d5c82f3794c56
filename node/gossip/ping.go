package gossip

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

const (
	pingEvery   = time.Minute
	pingSettle  = 2 * time.Second // after a peer came, for others to come as well
	pingTimeout = 5 * time.Second
	pingAtOnce  = 8
)

// measure keeps the peerstore's latency of every peer fresh, which orders the copies of urgent messages: all peers every
// minute, new ones soon. It returns when ctx ends, with no ping left running.
func (t *Topic) measure(ctx context.Context) {
	all := time.NewTimer(jitter(pingEvery))
	defer all.Stop()
	var settled <-chan time.Time // set while new peers wait
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.fresh:
			if settled == nil {
				settled = time.After(jitter(pingSettle))
			}
		case <-settled:
			settled = nil
			t.ping(ctx, func(p peer.ID) bool { return t.host.Peerstore().LatencyEWMA(p) == 0 })
		case <-all.C:
			t.gate.sweep(time.Now())
			t.ping(ctx, func(peer.ID) bool { return true })
			all.Reset(jitter(pingEvery))
		}
	}
}

// ping measures the chosen peers, a few at a time, and waits for all of them.
func (t *Topic) ping(ctx context.Context, choose func(peer.ID) bool) {
	slots := make(chan struct{}, pingAtOnce)
	var running sync.WaitGroup
	defer running.Wait()
	for _, p := range t.Peers() {
		if !choose(p) {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "ping"), pingTimeout)
			defer cancel()
			// The peerstore learns the result. A peer that does not answer keeps the distance it had.
			<-ping.Ping(ctx, t.host, p)
		})
	}
}

// jitter spreads d by a quarter, so that nodes started together do not act together.
func jitter(d time.Duration) time.Duration {
	return d - d/8 + rand.N(d/4)
}
