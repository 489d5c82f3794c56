package node

import (
	"context"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// How long an identity serves, and how long after that it is kept for what was sealed to it and is still on its way. Who
// steals a node's keys can open recorded traffic of at most both together.
const (
	identityLife = 30 * 24 * time.Hour
	identityKept = 60 * 24 * time.Hour
)

// rotate replaces the identity that others seal to when its time has come, tells of the new one, and destroys those whose time
// is over.
func (n *Node) rotate(ctx context.Context) error {
	now := n.now()
	if err := n.ring.Date(now); err != nil {
		return err
	}
	since := n.ring.IdentitySince()
	if due := now.Sub(since) >= identityLife || since.After(now.Add(identityLife)); due && n.signer.why() == "" {
		if _, err := n.ring.Rotate(now); err != nil {
			return err
		}
		n.log.Info("this node has a new key for what is sealed to it; the one before is kept for a while", "days", int(identityKept.Hours()/24))
	}
	if err := n.tellRecipient(ctx); err != nil {
		return err
	}
	if !n.clockAgrees() {
		return nil
	}
	destroyed, err := n.ring.DestroyIdentities(now.Add(-identityKept))
	if destroyed > 0 {
		n.log.Info("destroyed keys that were replaced long ago", "count", destroyed)
	}
	return err
}

// tellRecipient signs and publishes this node's recipient, if others know another one.
func (n *Node) tellRecipient(ctx context.Context) error {
	recipient := n.ring.Recipient()
	n.mu.RLock()
	all := n.book.RecipientsOf(n.team)
	i := slices.IndexFunc(all, func(t trust.NodeSealTo) bool { return t.Node == n.kid })
	info, ok := n.book.NodeOf(n.team, n.kid)
	n.mu.RUnlock()
	if i >= 0 && all[i].Recipient == recipient || !ok || info.Revoked || n.signer.why() != "" {
		return nil
	}
	now := n.now()
	seq := uint64(now.UnixMilli())
	if i >= 0 {
		seq = max(seq, all[i].Seq+1) // the clock may have been ahead
	}
	env, err := protocol.Sign(&protocol.NodeRecipient{Team: n.team, Node: n.kid, Seq: seq, Recipient: recipient, Issued: uint64(now.Unix())},
		n.ring.NodeKey())
	if err != nil {
		return err
	}
	if _, err := n.takeRecords(env); err != nil {
		return err
	}
	n.publishRecord(env)
	return ctx.Err()
}
