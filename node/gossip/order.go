package gossip

import (
	"cmp"
	"iter"
	"slices"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// order is the sequence in which the copies of one message are queued. With distance, the farthest peer comes first; a
// peer whose distance is unknown may be the farthest. Without, the library's random order stands. Peers that have lost
// their place in the meantime are left out.
type order struct {
	admit    func(peer.ID) bool
	distance func(peer.ID) time.Duration // zero: unknown
	copies   []copyTo
}

type copyTo struct {
	peer peer.ID
	far  time.Duration
	rpc  *pubsub.RPC
}

// AddRPC implements pubsub.RPCScheduler.
func (o *order) AddRPC(p peer.ID, _ string, rpc *pubsub.RPC) {
	if !o.admit(p) {
		return
	}
	c := copyTo{peer: p, rpc: rpc}
	if o.distance != nil {
		if c.far = o.distance(p); c.far == 0 {
			c.far = time.Hour
		}
	}
	o.copies = append(o.copies, c)
}

// All implements pubsub.RPCScheduler.
func (o *order) All() iter.Seq2[peer.ID, *pubsub.RPC] {
	slices.SortStableFunc(o.copies, func(a, b copyTo) int { return cmp.Compare(b.far, a.far) })
	return func(yield func(peer.ID, *pubsub.RPC) bool) {
		for _, c := range o.copies {
			if !yield(c.peer, c.rpc) {
				return
			}
		}
	}
}
