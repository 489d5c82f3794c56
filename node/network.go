package node

import (
	"bytes"
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/node/direct"
	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/protocol"
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
		n.spawn(func() { n.tellPair(team, true) })
	}
}

type offence string

func (o offence) Error() string { return string(o) }

// upkeepLoop does what has to be done again and again: noticing what expired, telling where this node is and how far its
// feed reaches, forgetting what is past its retention, freeing disk space.
func (n *Node) upkeepLoop(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	var told []byte
	var pruned, collected, kept time.Time
	for {
		select {
		case <-tick.C:
		case <-n.tell:
			told = n.tellHeads(ctx, told)
			n.tellPairs()
			continue
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		n.afterBookChange()
		n.mu.Unlock()
		for _, p := range n.host.Network().Peers() {
			if !n.admits(p) { // it passed the gate in the moment in which it was closed
				n.spawn(func() { _ = n.host.Network().ClosePeer(p) })
			}
		}
		if err := n.signAddress(n.advertised()); err != nil {
			n.log.Warn("signing this node's addresses", "err", err)
		}
		told = n.tellHeads(ctx, told)
		n.tellPairs()
		if err := n.rotate(ctx); err != nil {
			n.log.Warn("changing this node's key for what is sealed to it", "err", err)
		}
		n.judge()
		if n.owing.Load() {
			n.owe()
		}
		now := n.now()
		if now.Sub(kept) > time.Hour {
			kept = now
			if err := n.keepTerms(ctx); err != nil {
				n.log.Error("forgetting what agreements say shall be forgotten", "err", err)
			}
			n.retell(ctx)
			if err := n.sealWaiting(); err != nil {
				n.log.Warn("looking for what is to be sealed again", "err", err)
			}
			if _, err := n.audit.Checkpoint(); err != nil {
				n.log.Error("signing a checkpoint of the disclosure log", "err", err)
			}
		}
		if days := n.cfg.RetentionDays; days > 0 && now.Sub(pruned) > 24*time.Hour {
			pruned = now
			if p, err := n.st.Prune(ctx, now.Add(-time.Duration(days)*24*time.Hour)); err != nil {
				n.log.Error("forgetting old messages", "err", err)
			} else if p.Messages > 0 {
				n.log.Info("forgot messages past their retention", "messages", p.Messages, "bytes", p.Bytes)
			}
		}
		if now.Sub(collected) > time.Hour {
			collected = now
			if err := n.st.RunGC(ctx); err != nil {
				n.log.Debug("freeing disk space", "err", err)
			}
		}
	}
}

// tellHeads publishes how far this node's feed reaches, unless it told that before. Who missed a message in gossip learns of
// it so, and fetches it.
func (n *Node) tellHeads(ctx context.Context, told []byte) []byte {
	h, err := n.ownHeads(protocol.TeamID{})
	if err != nil {
		n.log.Warn("signing this node's heads", "err", err)
	}
	if h == nil || bytes.Equal(h, told) {
		return told
	}
	if err := n.topic.Publish(ctx, bytes.Clone(h), false); err != nil {
		n.log.Debug("publishing heads", "err", err)
	}
	return h
}

// tellAfter is how long after the first message of a burst this node tells how far its feed reaches.
const tellAfter = 3 * time.Second

// tellSoon makes that happen.
func (n *Node) tellSoon() {
	if n.telling.CompareAndSwap(false, true) {
		time.AfterFunc(tellAfter, func() {
			n.telling.Store(false)
			select {
			case n.tell <- struct{}{}:
			default:
			}
		})
	}
}
