package gossip

import (
	"sync/atomic"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Words given to [Config.Drops].
const (
	dropOutbound = "outbound queue full" // the peer reads too slowly, or has just gone
	dropInbound  = "inbound queue full"  // Validate is too slow
	dropRation   = "peer over its allowance"
)

// Stats are counts since Join.
type Stats struct {
	Sent       uint64 // copies of messages handed to connections
	Accepted   uint64 // messages of others that Validate took
	Ignored    uint64
	Rejected   uint64
	Duplicates uint64 // further copies of messages
	Dropped    uint64 // copies lost for want of room, in either direction
}

// counters is a pubsub.RawTracer. All its methods run inside the router.
type counters struct {
	sent, accepted, ignored, rejected, duplicates, dropped atomic.Uint64

	drops func(string) // may be nil
	fresh chan<- struct{}
}

func (c *counters) stats() Stats {
	return Stats{
		Sent:       c.sent.Load(),
		Accepted:   c.accepted.Load(),
		Ignored:    c.ignored.Load(),
		Rejected:   c.rejected.Load(),
		Duplicates: c.duplicates.Load(),
		Dropped:    c.dropped.Load(),
	}
}

func (c *counters) drop(why string, n int) {
	for range n {
		c.dropped.Add(1)
		if c.drops != nil {
			c.drops(why)
		}
	}
}

func (c *counters) OnNewOutboundStream(peer.ID, protocol.ID) {
	select {
	case c.fresh <- struct{}{}:
	default:
	}
}

func (c *counters) SendRPC(rpc *pubsub.RPC, _ peer.ID) { c.sent.Add(uint64(len(rpc.GetPublish()))) }

func (c *counters) DropRPC(rpc *pubsub.RPC, _ peer.ID) { c.drop(dropOutbound, len(rpc.GetPublish())) }

func (c *counters) DuplicateMessage(*pubsub.Message) { c.duplicates.Add(1) }

func (c *counters) RejectMessage(_ *pubsub.Message, reason string) {
	switch reason {
	case pubsub.RejectValidationQueueFull, pubsub.RejectValidationThrottled:
		c.drop(dropInbound, 1)
	}
}

func (c *counters) OnClosedOutboundStream(peer.ID)       {}
func (c *counters) Join(string)                          {}
func (c *counters) Leave(string)                         {}
func (c *counters) Graft(peer.ID, string)                {}
func (c *counters) Prune(peer.ID, string)                {}
func (c *counters) ValidateMessage(*pubsub.Message)      {}
func (c *counters) DeliverMessage(*pubsub.Message)       {}
func (c *counters) ThrottlePeer(peer.ID)                 {}
func (c *counters) RecvRPC(*pubsub.RPC)                  {}
func (c *counters) UndeliverableMessage(*pubsub.Message) {}
