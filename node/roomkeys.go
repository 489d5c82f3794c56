package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/roomsync"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// rekeyTurn is how long each node leaves to the one before it (trust.Rooms.EpochOrder) to make an epoch that is needed. Who has
// something to say waits for nobody.
const rekeyTurn = 20 * time.Second

// roomEvery is how often rooms are looked at though nothing happened.
const roomEvery = 10 * time.Second

// roomLoop makes epochs where they are needed, and destroys at once the keys of rooms that this team is out of.
func (n *Node) roomLoop(ctx context.Context) {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	changed := false
	for {
		select {
		case <-n.rooms.work:
			changed = true
		case <-tick.C:
			if changed { // who was out when the key to its words came may be in again
				changed = false
				if err := n.openAllClosed(ctx); err != nil && ctx.Err() == nil {
					n.log.Warn("opening what waited in rooms", "err", err)
				}
			}
		case <-ctx.Done():
			return
		}
		n.rooms.mu.Lock()
		if err := n.rooms.keep(n.st); err != nil {
			n.log.Error("records of rooms are not on the disk yet", "err", err)
		}
		n.rooms.mu.Unlock()
		n.mu.RLock()
		var all []protocol.Hash
		for id := range n.channelsKnown.rooms {
			all = append(all, id)
		}
		n.mu.RUnlock()
		slices.SortFunc(all, func(a, b protocol.Hash) int { return slices.Compare(a[:], b[:]) })
		for _, id := range all {
			if err := n.tend(id); err != nil && ctx.Err() == nil {
				n.log.Warn("tending a room", "room", id.Short(), "err", err)
			}
		}
	}
}

// tendSoon wakes roomLoop.
func (n *Node) tendSoon() {
	select {
	case n.rooms.work <- struct{}{}:
	default:
	}
}

// tend makes an epoch of a room if one is needed and it is this node's turn.
func (n *Node) tend(room protocol.Hash) error {
	now := n.now()
	turn := -1
	n.mu.RLock()
	mine := n.channelsKnown.rooms[room].Teams[n.team]
	n.mu.RUnlock()
	if mine == trust.StandingRemoved || mine == trust.StandingLeft {
		return n.dropKeys(room)
	}
	n.mu.RLock()
	t := &n.rooms
	t.mu.Lock()
	if why := t.ledger.NeedsRekey(room, now); why == "" {
		delete(t.due, room)
	} else if turn = slices.Index(t.ledger.EpochOrder(room, now), n.kid); turn >= 0 {
		if t.due[room].IsZero() {
			t.due[room] = now
		}
		if now.Sub(t.due[room]) < time.Duration(turn)*rekeyTurn {
			turn = -1
		}
	}
	t.mu.Unlock()
	n.mu.RUnlock()
	if turn < 0 || n.signer.why() != "" {
		return nil
	}
	return n.makeEpoch(room, func(rs *trust.Rooms) bool { return rs.NeedsRekey(room, n.now()) != "" })
}

// holdsEpoch reports whether this node has the identity of an epoch.
func (n *Node) holdsEpoch(id protocol.Hash) bool { return n.ring.HasEpoch(id) }

// usableEpoch returns the epoch to which this node seals in a room now. n.mu is held for reading.
func (n *Node) usableEpoch(room protocol.Hash) (u trust.Usable, ok bool) {
	n.withRooms(func(rs *trust.Rooms) { u, ok = rs.UsableEpoch(room, n.now(), n.holdsEpoch) })
	return u, ok
}

// makeEpoch makes an epoch for all who may read in a room now, if it is needed still, keeps its identity, and grants it to those who can
// be reached. The others ask whoever holds it.
func (n *Node) makeEpoch(room protocol.Hash, needed func(*trust.Rooms) bool) error {
	n.making.Lock()
	defer n.making.Unlock()
	still := false
	n.askRooms(func(rs *trust.Rooms) { still = needed(rs) })
	if !still {
		return nil
	}
	identity, recipient, err := seal.NewEpochKey()
	if err != nil {
		return err
	}
	now := n.now()
	var draft *protocol.Epoch
	var d trust.Decision
	n.askRooms(func(rs *trust.Rooms) { draft, d = rs.DraftEpoch(room, n.kid, recipient, now) })
	if !d.Allowed {
		return refused(d)
	}
	env, err := protocol.Sign(draft, n.ring.NodeKey())
	if err != nil {
		return err
	}
	// The identity before the record: nobody shall seal to what nobody can open.
	key := keyring.EpochKey{Room: room, ID: env.ID(), Identity: identity, Until: time.Unix(int64(draft.Until), 0)}
	if err = n.ring.PutEpochs(key); err == nil {
		_, _, err = n.takeRoomRecords(room, protocol.TeamID{}, "", []*protocol.Envelope{env})
	}
	if err != nil {
		return err
	}
	n.log.Info("a room has a new key", "room", room.Short(), "epoch", env.ID().Short(), "nodes", len(draft.Nodes))
	n.spawn(func() { n.handOut(room, env) }) // who speaks does not wait for it
	return nil
}

// handOut tells of an epoch that this node made, and grants it to all who are connected.
func (n *Node) handOut(room protocol.Hash, env *protocol.Envelope) {
	n.tellRoom(room, []*protocol.Envelope{env})
	if n.circle == nil {
		return
	}
	for _, p := range n.roomPeers(room, trust.ShareAll) {
		raws, err := circle{n}.Grants(context.Background(), p, room, []protocol.Hash{env.ID()})
		if err != nil {
			n.log.Warn("granting the key of a room; members will ask for it", "room", room.Short(), "err", err)
			return
		}
		if len(raws) > 0 {
			n.circle.Grant(p, room, raws)
		}
	}
}

// Wants implements roomsync.Backend.
func (c circle) Wants(p peer.ID, room protocol.Hash) []protocol.Hash {
	n := c.n
	now := n.now()
	var out []protocol.Hash
	n.askRooms(func(rs *trust.Rooms) {
		ids := rs.Grantable(room, n.kid, now)
		if testOnlyGrants != nil {
			ids = testOnlyGrants(rs, room)
		}
		for _, id := range ids {
			if !n.ring.HasEpoch(id) && !rs.EpochOver(room, id, now) && len(out) < roomsync.MaxGrants {
				out = append(out, id)
			}
		}
	})
	return out
}

// Grants implements roomsync.Backend.
func (c circle) Grants(_ context.Context, p peer.ID, room protocol.Hash, epochs []protocol.Hash) ([][]byte, error) {
	n := c.n
	n.mu.RLock()
	team := n.admitted[p].team
	var to trust.NodeSealTo
	for _, info := range n.book.Nodes(team) {
		if id, err := peer.IDFromBytes(info.Node.Peer); err == nil && id == p && !info.Revoked {
			for _, r := range n.book.RecipientsOf(team) {
				if r.Node == info.Node.Key.ID() {
					to = r
				}
			}
		}
	}
	n.mu.RUnlock()
	return n.grants(team, to, room, epochs)
}

// grants returns encoded grants for a node of a team. It decides for each epoch, and logs that it was given, before it is.
func (n *Node) grants(team protocol.TeamID, to trust.NodeSealTo, room protocol.Hash, epochs []protocol.Hash) ([][]byte, error) {
	if n.signer.why() != "" || to.Node.IsZero() {
		return nil, nil
	}
	now := n.now()
	n.knowing.RLock() // from the decision until it is logged nobody here learns of a removal
	defer n.knowing.RUnlock()
	n.mu.RLock()
	var allowed []protocol.Hash
	n.withRooms(func(rs *trust.Rooms) {
		for _, id := range epochs {
			may := rs.MayGrant(room, id, to.Node, now).Allowed || testOnlyGrants != nil && slices.Contains(testOnlyGrants(rs, room), id)
			if may && n.ring.HasEpoch(id) && n.granted.take(to.Node.String()+id.String(), now) {
				allowed = append(allowed, id)
			}
		}
	})
	n.mu.RUnlock()
	if len(allowed) == 0 {
		return nil, nil
	}
	recipient, err := n.recipients.parse(to.Recipient)
	if err != nil {
		n.log.Warn("a node names a key to which nothing can be sealed", "team", team.Short(), "node", to.Node)
		return nil, nil
	}
	var out [][]byte
	var log []audit.Record
	for _, id := range allowed {
		key, ok := n.ring.Epoch(id)
		if !ok {
			continue
		}
		file, err := seal.SealIdentity(key.Identity, recipient)
		if err != nil {
			return nil, err
		}
		env, err := protocol.Sign(&protocol.Grant{Room: room, Epoch: id, Team: n.team, Node: n.kid, For: to.Node, Key: file, Issued: uint64(now.Unix())}, n.ring.NodeKey())
		if err != nil {
			return nil, err
		}
		out = append(out, env.Encode())
		log = append(log, audit.Record{Time: now, Actor: actor, Action: "grant", Object: id, Team: team, Label: tlp.Amber, Allowed: true, Rule: "room",
			Reason: "the key of a period of room " + room.Short()})
	}
	return out, n.record(log...)
}

// TakeGrants implements roomsync.Backend.
func (c circle) TakeGrants(ctx context.Context, p peer.ID, room protocol.Hash, raws [][]byte) error {
	first := len(c.n.ring.Epochs(room)) == 0
	err := c.n.takeGrants(ctx, room, raws)
	if first && len(c.n.ring.Epochs(room)) > 0 {
		c.n.engine.PeerReady(p) // whoever gave the first key to this room has what was said in it before
	}
	return err
}

func (n *Node) takeGrants(ctx context.Context, room protocol.Hash, raws [][]byte) error {
	var keys []keyring.EpochKey
	for _, raw := range raws {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
		if err != nil {
			return fmt.Errorf("%w: %w", roomsync.ErrRefused, err)
		}
		var g *protocol.Grant
		var ep *protocol.Epoch
		wanted := false
		n.askRooms(func(rs *trust.Rooms) {
			if g, ep, err = rs.CheckGrant(env); err == nil {
				wanted = rs.MayGrant(g.Room, g.Epoch, n.kid, n.now()).Allowed && !rs.EpochOver(g.Room, g.Epoch, n.now())
			}
		})
		switch {
		case errors.Is(err, trust.ErrMissing):
			continue // its epoch comes later, and then it is asked for
		case err != nil:
			return fmt.Errorf("%w: %w", roomsync.ErrRefused, err)
		case g.For != n.kid || g.Room != room:
			return fmt.Errorf("%w: a grant to another node, or of another room", roomsync.ErrRefused)
		case !wanted || n.ring.HasEpoch(g.Epoch):
			continue
		}
		identity, err := n.ring.OpenGrant(g.Key, ep.Recipient)
		switch {
		case errors.Is(err, keyring.ErrClosed):
			return err
		case errors.Is(err, seal.ErrNotRecipient):
			continue // sealed to a key that this node no longer has: it is asked for again
		case err != nil:
			return fmt.Errorf("%w: a grant of something else: %w", roomsync.ErrRefused, err)
		}
		keys = append(keys, keyring.EpochKey{Room: room, ID: g.Epoch, Identity: identity, Until: time.Unix(int64(ep.Until), 0)})
	}
	if len(keys) == 0 {
		return nil
	}
	if err := n.ring.PutEpochs(keys...); err != nil {
		return fmt.Errorf("%w: %w", errKeeping, err)
	}
	n.tendSoon()
	n.metAt.notify()
	for _, k := range keys {
		if err := n.openClosed(ctx, k.ID); err != nil {
			return fmt.Errorf("%w: %w", errKeeping, err)
		}
	}
	return nil
}

// destroyOver destroys the identities of a room's epochs that are over.
func (n *Node) destroyOver(room protocol.Hash) error {
	n.making.Lock()
	defer n.making.Unlock()
	now := n.now()
	var over []protocol.Hash
	held := n.ring.Epochs(room)
	n.askRooms(func(rs *trust.Rooms) {
		for _, id := range held {
			if _, known := rs.EpochInfo(room, id); !known || rs.EpochOver(room, id, now) {
				over = append(over, id)
			}
		}
	})
	if len(over) == 0 {
		return nil
	}
	n.log.Info("destroyed keys of a room that are over", "room", room.Short(), "epochs", len(over))
	return n.ring.DestroyEpochs(over...)
}

// dropKeys destroys all identities of a room.
func (n *Node) dropKeys(room protocol.Hash) error {
	return n.ring.DestroyEpochs(n.ring.Epochs(room)...)
}
