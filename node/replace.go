package node

import (
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// PrepareNode makes new keys for this node and returns what an officer signs to put them in the place of the present ones.
// The node goes on with the present ones, so that it can tell the teams that it is connected with; they would refuse a node
// that no manifest they know of lists. It takes the new keys at its next start, once the manifest lists them.
func (n *Node) PrepareNode() (*Replacement, error) {
	draft, err := n.NodeDraft()
	if err != nil {
		return nil, err
	}
	r := &Replacement{Old: n.kid}
	if r.Cutoff, err = n.CutoffDraft(n.kid); err != nil {
		return nil, err
	}
	if r.Private, err = n.PrivateCutoffs(n.kid); err != nil {
		return nil, err
	}
	next, err := n.ring.Prepare()
	if err != nil {
		return nil, err
	}
	pub, err := crypto.UnmarshalEd25519PublicKey(next.Peer)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return nil, err
	}
	r.Node = protocol.Node{Key: next.Key, Peer: []byte(id), Name: draft.Name, Recipient: next.Recipient}
	return r, nil
}

// promote takes the keys that PrepareNode made, if the manifest lists them by now. The new key begins its own file of heads;
// a crash in between only begins it once more, before the key ever signed.
func (n *Node) promote() error {
	next, waits, err := n.ring.Prepared()
	if err != nil || !waits {
		return err
	}
	info, ok := n.book.NodeOf(n.team, next.Key.ID())
	if !ok || info.Revoked {
		return nil
	}
	if err := newGuard(n.cfg.Home, next.Key.ID()); err != nil {
		return err
	}
	if err := n.ring.Promote(); err != nil {
		return err
	}
	_, n.peer, err = transportKey(n.ring.TransportSeed())
	n.kid = n.ring.KID()
	n.log.Info("the node has taken its new keys", "node", n.kid)
	return err
}
