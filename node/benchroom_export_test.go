package node

import (
	"bytes"
	"context"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// A RoomBench reaches, for benchmarks, what a node does in rooms by itself.
type RoomBench struct{ *Node }

// Take takes in records of a room, whoever signed them.
func (b RoomBench) Take(room protocol.Hash, es ...*protocol.Envelope) error {
	_, _, err := b.takeRoomRecords(room, byHand, "", es)
	return err
}

// Records returns what the node has of a room.
func (b RoomBench) Records(room protocol.Hash) (es []*protocol.Envelope) {
	b.askRooms(func(rs *trust.Rooms) { es = rs.RoomRecords(room) })
	return es
}

// MakeEpoch makes an epoch of a room, though it may not be this node's turn.
func (b RoomBench) MakeEpoch(room protocol.Hash) error {
	return b.makeEpoch(room, func(*trust.Rooms) bool { return true })
}

// Usable returns the epoch to which the node would seal now.
func (b RoomBench) Usable(room protocol.Hash) (trust.Usable, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.usableEpoch(room)
}

// Grants makes the grants of an epoch for a peer, as if it had asked for them.
func (b RoomBench) Grants(p peer.ID, room, epoch protocol.Hash) ([][]byte, error) {
	return circle{b.Node}.Grants(context.Background(), p, room, []protocol.Hash{epoch})
}

// Meet has the node remember that it has all that these teams have of a room, and that peers told it how far its feeds reach: it
// may speak.
func (b RoomBench) Meet(room protocol.Hash, teams ...protocol.TeamID) {
	for _, t := range teams {
		b.met(room, t)
	}
	b.signer.peerAnswered()
}

// Last returns the newest entry of this node's feed in a room.
func (b RoomBench) Last(room protocol.Hash) (raw []byte, err error) {
	f := protocol.FeedOf(b.kid, protocol.RoomChannel(room))
	ext, _, err := b.st.Extent(f)
	if err != nil {
		return nil, err
	}
	err = b.st.Range(f, ext.Max, ext.Max, false, func(_ uint64, r []byte) bool {
		raw = bytes.Clone(r)
		return false
	})
	return raw, err
}

// Pass decides for each peer whether it may be given what is said in a room, as is done for every message.
func (b RoomBench) Pass(room protocol.Hash, peers []peer.ID) (may int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, p := range peers {
		if a, ok := b.admitted[p]; ok && b.mayPass(trust.Serve, a.team, protocol.RoomChannel(room)) {
			may++
		}
	}
	return may
}

// Refresh remakes what is cached of teams and rooms, as every minute and at every change; anew makes it forget all that followed
// from the Book before.
func (b RoomBench) Refresh(anew bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if anew {
		b.book.Act(trust.OwnAct{Team: b.team, Kind: trust.ActAdded, At: b.now(), By: "bench"})
	}
	b.refreshAdmitted()
}

// Tend does what roomLoop does every ten seconds.
func (b RoomBench) Tend() error {
	var all []protocol.Hash
	b.askRooms(func(rs *trust.Rooms) { all = rs.IDs() })
	for _, id := range all {
		if err := b.tend(id); err != nil {
			return err
		}
	}
	return nil
}

// Shared returns how many rooms a peer is told of, which each conversation with it asks several times.
func (b RoomBench) Shared(p peer.ID) int { return len(circle{b.Node}.Rooms(p)) }

// Wanted returns how many identities this node wants of a peer, which each conversation asks for each room.
func (b RoomBench) Wanted(p peer.ID) (all int) {
	for _, r := range (circle{b.Node}).Rooms(p) {
		all += len(circle{b.Node}.Wants(p, r.ID))
	}
	return all
}

// Heads signs the heads of all rooms, as every minute.
func (b RoomBench) Heads() (all int) {
	b.mu.RLock()
	ids := slices.Collect(func(yield func(protocol.Hash) bool) {
		for id := range b.channelsKnown.rooms {
			if !yield(id) {
				return
			}
		}
	})
	b.mu.RUnlock()
	for _, id := range ids {
		all += len(b.roomHeads(id))
	}
	return all
}

// Judge judges anew what is held back, as every minute.
func (b RoomBench) Judge() error {
	if err := b.noteAllOver(); err != nil {
		return err
	}
	return b.rejudge()
}

// Open opens a parcel of a room with the identity that it names.
func (b RoomBench) Open(p *protocol.Parcel) ([]byte, error) { return b.ring.OpenEpoch(p.Epoch, p.Body) }
