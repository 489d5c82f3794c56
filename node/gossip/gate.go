package gossip

import (
	"errors"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// Allowances of one peer. They are far above what an honest neighbour needs, which passes on the whole community's
// traffic, and bound what a hostile one can make this node hold: the first, the queue of unread messages; the second, the
// ids of messages remembered for ten minutes.
const (
	bytesPerSecond, bytesBurst     = 4 << 20, 32 << 20 // of messages, duplicates included
	ignoredPerSecond, ignoredBurst = 50, 5000          // messages that Validate ignored
	perMessage                     = 1 << 10           // bytes charged for a message besides its own
)

var (
	errOutsider = errors.New("not admitted")
	errTooMany  = errors.New("too many messages in one RPC")
	errSpent    = errors.New("over its allowance")
)

// gate is where admission meets the library: its blacklist, subscription filter and RPC inspector.
type gate struct {
	admit func(peer.ID) bool
	count *counters

	mu         sync.RWMutex
	forgotten  map[peer.ID]struct{}
	allowances map[peer.ID]*allowance // of peers that used some of it lately
}

type allowance struct {
	bytes, ignored *rate.Limiter
}

func newGate(admit func(peer.ID) bool, c *counters) *gate {
	return &gate{
		admit:      admit,
		count:      c,
		forgotten:  make(map[peer.ID]struct{}),
		allowances: make(map[peer.ID]*allowance),
	}
}

func (g *gate) admits(p peer.ID) bool {
	g.mu.RLock()
	_, out := g.forgotten[p]
	g.mu.RUnlock()
	return !out && g.admit(p)
}

func (g *gate) forget(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forgotten[p] = struct{}{}
}

func (g *gate) remember(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.forgotten, p)
}

// Add implements pubsub.Blacklist. Forget has noted the peer already.
func (g *gate) Add(peer.ID) bool { return true }

// Contains implements pubsub.Blacklist: to peers on it no stream is opened.
func (g *gate) Contains(p peer.ID) bool {
	// The library also asks about the author of a message, which is never given here.
	return p != "" && !g.admits(p)
}

// CanSubscribe implements pubsub.SubscriptionFilter.
func (g *gate) CanSubscribe(topic string) bool { return topic == Name }

// FilterIncomingSubscriptions implements pubsub.SubscriptionFilter. Without it flood publishing serves whoever subscribes.
func (g *gate) FilterIncomingSubscriptions(p peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	if !g.admits(p) {
		return nil, errOutsider
	}
	return pubsub.FilterSubscriptions(subs, g.CanSubscribe), nil
}

// inspect decides whether an RPC is looked at. Nobody's score changes for what is dropped here.
func (g *gate) inspect(p peer.ID, rpc *pubsub.RPC) error {
	if !g.admits(p) {
		return errOutsider
	}
	msgs := rpc.GetPublish()
	if len(msgs) == 0 {
		return nil
	}
	if len(msgs) > maxPerRPC {
		g.count.drop(dropRation, len(msgs))
		return errTooMany
	}
	charge := 0
	for _, m := range msgs {
		charge += len(m.GetData()) + perMessage
	}
	now := time.Now()
	a := g.allowance(p)
	if a.ignored.TokensAt(now) < 1 || !a.bytes.AllowN(now, charge) {
		g.count.drop(dropRation, len(msgs))
		return errSpent
	}
	return nil
}

// ignored charges the peer that forwarded an ignored message.
func (g *gate) ignored(p peer.ID, now time.Time) {
	g.allowance(p).ignored.AllowN(now, 1)
}

func (g *gate) allowance(p peer.ID) *allowance {
	g.mu.RLock()
	a := g.allowances[p]
	g.mu.RUnlock()
	if a != nil {
		return a
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if a = g.allowances[p]; a == nil {
		a = &allowance{
			bytes:   rate.NewLimiter(bytesPerSecond, bytesBurst),
			ignored: rate.NewLimiter(ignoredPerSecond, ignoredBurst),
		}
		g.allowances[p] = a
	}
	return a
}

// sweep drops allowances that are whole again: a new one is no different.
func (g *gate) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, a := range g.allowances {
		if a.bytes.TokensAt(now) >= bytesBurst && a.ignored.TokensAt(now) >= ignoredBurst {
			delete(g.allowances, p)
		}
	}
}
