package node

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/entente-network/entente/protocol"
)

// upkeepLoop does what has to be done again and again: noticing what expired, telling where this node is and how far its
// feed reaches, forgetting what is past its retention, freeing disk space.
func (n *Node) upkeepLoop(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	var told []byte
	var pruned, collected, kept time.Time
	if err := n.rotate(ctx); err != nil { // the age of a new key counts from its first use
		n.log.Warn("changing this node's key for what is sealed to it", "err", err)
	}
	for {
		select {
		case <-tick.C:
		case <-n.tell.due:
			told = n.tellHeads(ctx, told)
			continue
		case <-n.tellOthers.due: // by itself, so that the community does not see when something private is said
			n.tellPairs()
			n.tellRooms()
			continue
		case <-ctx.Done():
			return
		}
		n.clock.tick(n.now())
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
		n.tellRooms()
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
			if !n.clockAgrees() {
				n.log.Warn("nothing is forgotten now: the clocks of those who are connected differ from this one")
			} else if err := errors.Join(n.keepTerms(ctx), n.keepRoomTerms(ctx)); err != nil {
				n.log.Error("forgetting what agreements and charters say shall be forgotten", "err", err)
			}
			n.retell(ctx)
			n.sealWaiting()
			if err := n.keepAudit(); err != nil {
				n.log.Error("keeping the disclosure log", "err", err)
			}
		}
		if days := n.cfg.RetentionDays; days > 0 && now.Sub(pruned) > 24*time.Hour && n.clockAgrees() {
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

// An announcement is something that is told a little later, once for all that asked for it meanwhile.
type announcement struct {
	due     chan struct{}
	waiting *atomic.Bool // a timer runs
}

func newAnnouncement() announcement {
	return announcement{due: make(chan struct{}, 1), waiting: new(atomic.Bool)}
}

// soon makes it due after tellAfter.
func (a announcement) soon() {
	if a.waiting.CompareAndSwap(false, true) {
		time.AfterFunc(tellAfter, func() {
			a.waiting.Store(false)
			select {
			case a.due <- struct{}{}:
			default:
			}
		})
	}
}
