package node

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/node/gossip"
)

// joinNetwork makes everything that needs the host. Nothing runs yet but the handlers.
func (n *Node) joinNetwork(ctx context.Context) error {
	n.engine = catchup.New(n.host, exchange{n}, catchup.Options{
		Log:      n.log,
		Progress: n.progress.set,

		Offence:  func(p peer.ID, why string) { n.dismiss(p, offence(why)) },
	})
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

type offence string

func (o offence) Error() string { return string(o) }

// upkeepLoop does what has to be done again and again: noticing what expired, telling where this node is and how far its
// feed reaches, forgetting what is past its retention, freeing disk space.
func (n *Node) upkeepLoop(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	var told []byte
	var pruned, collected time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		n.afterBookChange()
		n.mu.Unlock()
		if err := n.signAddress(n.advertised()); err != nil {
			n.log.Warn("signing this node's addresses", "err", err)
		}
		if h, err := n.ownHeads(); err != nil {
			n.log.Warn("signing this node's heads", "err", err)
		} else if h != nil && string(h) != string(told) {
			told = h
			if err := n.topic.Publish(ctx, append([]byte(nil), h...), false); err != nil {
				n.log.Debug("publishing heads", "err", err)
			}
		}
		now := n.now()
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
