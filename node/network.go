package node

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/node/direct"
	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/node/roomsync"
)

// joinNetwork makes everything that needs the host. Nothing runs yet but the handlers.
func (n *Node) joinNetwork(ctx context.Context) error {
	n.engine = catchup.New(n.host, exchange{n}, catchup.Options{
		Log:      n.log,
		Progress: n.progress.set,
		Compared: n.compared,

		Offence: func(p peer.ID, why string) { n.dismiss(p, offence(why)) },
	})
	n.courier = direct.New(n.host, delivery{n}, direct.Options{Log: n.log,
		Offence: func(p peer.ID, why string) { n.dismiss(p, offence(why)) }})
	n.circle = roomsync.New(n.host, circle{n}, roomsync.Options{Log: n.log,
		Offence: func(p peer.ID, why string) { n.dismiss(p, offence(why)) }})
	topic, err := gossip.Join(ctx, n.host, gossip.Config{Admit: n.inCommunity, Validate: n.validate,
		Drops: func(why string) { n.log.Debug("gossip dropped a message; it will be fetched", "why", why) }})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.topic = topic
	n.mu.Unlock()
	n.host.SetStreamHandler(helloProtocol, n.answer)
	n.host.Network().Notify(n.notifiee(ctx))
	return n.signAddress(n.advertised())
}

// compared learns from what a peer holds whether our own feed reaches further elsewhere than here. If so its entries are on
// their way, and settle whether this node may sign.
func (n *Node) compared(p peer.ID, es []catchup.Entry) {
	for _, e := range es {
		if reach := max(e.Max, e.Next-1); e.Node == n.kid && reach > 0 && !n.extents.has(e.Feed, reach) {
			return
		}
	}
	n.signer.peerAnswered()
	if team, _ := n.peerState(p); team != n.team {
		n.spawn(func() {
			n.tellPair(team, true)
			n.tellRoomsTo(p)
		})
	}
}

type offence string

func (o offence) Error() string { return string(o) }
