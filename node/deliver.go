package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/direct"
	"github.com/entente-network/entente/protocol"
)

// delivery is what the node gives to the courier: the direct.Backend.
type delivery struct{ n *Node }

var _ direct.Backend = delivery{}

// Admits implements direct.Backend.
func (d delivery) Admits(p peer.ID) bool { return d.n.admits(p) }

// Behind implements direct.Backend.
func (d delivery) Behind(p peer.ID) { d.n.engine.PeerReady(p) }

// Take implements direct.Backend: sealed parcels, and the heads of feeds between the two teams or in a room of both.
func (d delivery) Take(ctx context.Context, p peer.ID, raws [][]byte) error {
	n := d.n
	team, _ := n.peerState(p)
	ins := make([]incoming, 0, len(raws))
	var bad error
	for _, raw := range raws {
		in, err := d.open(raw, team, p)
		if err != nil {
			bad = err // what came before it is taken in
			break
		}
		if in.Parcel != nil {
			ins = append(ins, in)
		}
	}
	if len(ins) == 0 {
		return bad
	}
	if _, err := n.admit(ctx, ins); err != nil {
		return errors.Join(err, bad)
	}
	for _, in := range ins {
		if f := in.Parcel.Feed; n.extents.gapBefore(f, in.Parcel.Seq) {
			n.engine.Poke(f, p)
		}
	}
	return bad
}

// open verifies one record that a node of the team pushed. Without an error the parcel is nil where there is nothing to keep.
func (d delivery) open(raw []byte, team protocol.TeamID, p peer.ID) (incoming, error) {
	n := d.n
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
	if err != nil {
		return incoming{}, fmt.Errorf("%w: %w", direct.ErrRefused, err)
	}
	if env.Type == protocol.TypeHeads {
		return incoming{}, n.takePairHeads(env, team, p)
	}
	if q, err := protocol.Decode[protocol.Parcel](env); err != nil || !q.Sealed || q.Team != team {
		return incoming{}, fmt.Errorf("%w: not a parcel of its own for this team", direct.ErrRefused)
	}
	in, err := n.openEnvelope(env, raw, p.String())
	switch {
	case errors.Is(err, errNotOurs), errors.Is(err, errHeld):
		return incoming{}, nil
	case errors.Is(err, errKeeping):
		return incoming{}, err
	case err != nil:
		return incoming{}, fmt.Errorf("%w: %w", direct.ErrRefused, err)
	}
	return in, nil
}

// takePairHeads takes an author's word on its feeds for this team or a room, from a node of the author alone.
func (n *Node) takePairHeads(env *protocol.Envelope, team protocol.TeamID, p peer.ID) error {
	h, err := protocol.Decode[protocol.Heads](env)
	if err != nil {
		return fmt.Errorf("%w: %w", direct.ErrRefused, err)
	}
	if h.Team != team {
		return fmt.Errorf("%w: heads of another team", direct.ErrRefused)
	}
	if h.For != n.team && !n.inRoom(h.For, team) {
		return nil // it may not have heard yet that it is out of a room, or this team not that it is in: nobody is to blame
	}
	h, _, err = n.takeHeads(env)
	switch {
	case errors.Is(err, errNotOurs):
		return nil
	case blames(err):
		return fmt.Errorf("%w: %w", direct.ErrRefused, err)
	case err != nil:
		return err
	}
	if !n.reached(h) {
		n.engine.Heard(h, p)
	}
	return nil
}

// push sends what was kept to the connected nodes of a team.
func (n *Node) push(team protocol.TeamID, raw []byte, urgent bool) {
	for _, p := range n.peersOf(team) {
		n.courier.Push(p, raw, urgent)
	}
}

// peersOf returns the connected nodes of a team.
func (n *Node) peersOf(team protocol.TeamID) []peer.ID {
	if n.host == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return slices.DeleteFunc(n.host.Network().Peers(), func(p peer.ID) bool { return n.admitted[p].team != team })
}

// pairWords is what this node last told each team of its feeds for it.
type pairWords struct {
	mu    sync.Mutex
	told  map[protocol.TeamID]string // guarded by mu
	rooms map[roomPeer]string        // guarded by mu
}

// forget drops what peers were told of a room.
func (w *pairWords) forget(room protocol.Hash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.rooms {
		if k.room == room {
			delete(w.rooms, k)
		}
	}
}

// tellPairs tells each connected team how far the feeds for it reach, unless it was told before.
func (n *Node) tellPairs() {
	n.mu.RLock()
	var teams []protocol.TeamID
	for t := range n.channelsKnown.pairs {
		teams = append(teams, t)
	}
	n.mu.RUnlock()
	for _, t := range teams {
		n.tellPair(t, false)
	}
}

// tellPair tells one team.
func (n *Node) tellPair(t protocol.TeamID, again bool) {
	if len(n.peersOf(t)) == 0 {
		return
	}
	n.mu.RLock()
	c := n.channelsKnown.pairs[t]
	n.mu.RUnlock()
	if len(c) == 0 || !n.mayHave(t, c[0]) {
		return
	}
	h, err := n.ownHeads(t)
	if err != nil {
		n.log.Warn("signing this node's heads for a team", "team", t.Short(), "err", err)
	}
	w := &n.pairs
	w.mu.Lock()
	defer w.mu.Unlock()
	if h == nil || !again && w.told[t] == string(h) {
		return
	}
	if w.told == nil {
		w.told = map[protocol.TeamID]string{}
	}
	w.told[t] = string(h)
	n.push(t, h, false)
}
