package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// errNoEpoch says that nothing can be sealed in a room before somebody makes an epoch for exactly those who may read now.
var errNoEpoch = errors.New("the room has no key to which all of its members, and nobody else, can open what is said")

// prepareInRoom decides whether this node may say the statement in its room now, and completes its audience with the charter that
// counts and the epoch to seal to: one that nobody holds who may not read, as far as is known at this moment. n.knowing and n.mu
// are held for reading.
func (n *Node) prepareInRoom(st *protocol.Statement) (*protocol.Epoch, []audit.Record, error) {
	room := st.Audience.Room
	now := n.now()
	var d trust.Decision
	var u trust.Usable
	ok := false
	readers := 0
	n.withRooms(func(rs *trust.Rooms) {
		if d = trust.Decide(rs.Ask(trust.Compose, st.Label, st.Audience, n.team, now)); d.Allowed {
			d = rs.MaySpeak(room, st.Label, n.rooms.met[room], now)
		}
		u, ok = rs.UsableEpoch(room, now, n.holdsEpoch)
		if testOnlyEpoch != nil {
			u, ok = testOnlyEpoch(rs, room)
		}
		readers = len(rs.Readers(room, now))
	})
	log := n.disclosures(trust.Compose.String(), protocol.Hash{}, nil, st.Label, d)
	for i := range log {
		log[i].Reason = fmt.Sprintf("room %s, epoch %s, %d nodes: %s", room.Short(), u.ID.Short(), readers, d.Reason)
	}
	switch {
	case !d.Allowed:
		return nil, log, refused(d)
	case !ok:
		return nil, nil, errNoEpoch
	}
	st.Audience.Charter, st.Audience.Epoch = u.Charter, u.ID
	return u.Epoch, log, nil
}

// findEpoch sees to it that this node has an epoch to seal to: one that somebody else made and that it is about to be granted, or one of
// its own.
func (n *Node) findEpoch(ctx context.Context, room protocol.Hash) error {
	usable := func(holds func(protocol.Hash) bool) (ok bool) {
		n.askRooms(func(rs *trust.Rooms) { _, ok = rs.UsableEpoch(room, n.now(), holds) })
		return ok
	}
	if usable(nil) && n.meet(ctx, room, func() bool { return usable(n.holdsEpoch) }) {
		return nil
	}
	return n.makeEpoch(room, func(rs *trust.Rooms) bool {
		_, ok := rs.UsableEpoch(room, n.now(), n.holdsEpoch)
		return !ok
	})
}

// sealToEpoch seals an encoded statement to an epoch: one stanza, whatever the size of the room.
func (n *Node) sealToEpoch(e *protocol.Epoch, inner []byte) ([]byte, error) {
	r, err := n.recipients.parse(e.Recipient)
	if err != nil {
		return nil, err
	}
	if testOnlySeal != nil {
		return testOnlySeal(protocol.TeamID{}, inner, []seal.Recipient{r})
	}
	return seal.SealSmall(inner, r)
}

// openInRoom opens a verified parcel of a room. One for which this node has no key stays a closed link, which any member may have:
// if the key comes, openClosed makes a message of it.
func (n *Node) openInRoom(in incoming, room protocol.Hash, c protocol.Channel) (incoming, error) {
	p := in.Parcel
	inner, err := n.ring.OpenEpoch(p.Epoch, p.Body)
	switch {
	case errors.Is(err, keyring.ErrClosed):
		return incoming{}, fmt.Errorf("%w: %w", errKeeping, err)
	case errors.Is(err, keyring.ErrNoEpoch):
		in.keyless = true
		return in, nil
	case err != nil:
		n.log.Warn("a message in a room cannot be opened with the key that it names; it is kept closed", "room", room.Short(), "team", p.Team.Short(), "seq", p.Seq)
		return in, nil
	}
	var env *protocol.Envelope
	var st *protocol.Statement
	if testOnlyInner != nil {
		env, st, err = testOnlyInner(inner)
	} else {
		env, st, err = p.OpenSealed(in.Node.Node.Key, inner, c)
	}
	if err != nil {
		n.log.Warn("a message in a room is not well formed inside; it is kept closed", "room", room.Short(), "team", p.Team.Short(), "seq", p.Seq, "err", err)
		return in, nil
	}
	var d trust.Decision
	n.askRooms(func(rs *trust.Rooms) {
		d = rs.AcceptMessage(st, p.Feed, p.Seq, n.now())
		if d.Allowed {
			rs.Heard(room, p.Team, n.now())
		}
	})
	if d.Rule == "author-out" {
		return incoming{}, fmt.Errorf("%w: its author is out of the room", errNotOurs)
	}
	in.StatementID, in.Statement, in.Inner, in.Link = env.ID(), st, inner, false
	return in, nil
}

// openClosed makes messages of what was said in an epoch before its identity came.
func (n *Node) openClosed(ctx context.Context, epoch protocol.Hash) error {
	for passed := 0; ctx.Err() == nil; {
		var raws [][]byte
		at := 0
		if err := n.st.Closed(epoch, func(raw []byte) bool {
			if at++; at > passed {
				raws = append(raws, raw)
			}
			return len(raws) < openedTogether
		}); err != nil || len(raws) == 0 {
			return err
		}
		var ins []incoming
		for _, raw := range raws {
			in, err := n.openAgain(raw)
			if err != nil || in.Link {
				passed++ // it stays closed
				continue
			}
			ins = append(ins, in)
		}
		out, err := n.admit(ctx, ins)
		if err != nil {
			return err
		}
		for _, o := range out {
			if o.Err != nil || o.Verdict != trust.Accept && o.Verdict != trust.Known {
				passed++
			}
		}
	}
	return ctx.Err()
}

// openLate opens what was stored closed although the key to it had come between looking and storing: who brought the key did not
// find it yet.
func (n *Node) openLate(ctx context.Context, ins []incoming) {
	late := map[protocol.Hash]bool{}
	for _, in := range ins {
		if in.keyless && n.ring.HasEpoch(in.Parcel.Epoch) {
			late[in.Parcel.Epoch] = true
		}
	}
	for id := range late {
		if err := n.openClosed(ctx, id); err != nil && ctx.Err() == nil {
			n.log.Error("messages of a room were not opened; they will be at the next start", "epoch", id.Short(), "err", err)
		}
	}
}

// openedTogether bounds the messages that openClosed has in memory.
const openedTogether = 64

// openAgain opens a parcel that is held closed.
func (n *Node) openAgain(raw []byte) (incoming, error) {
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
	if err != nil {
		return incoming{}, err
	}
	p, err := protocol.Decode[protocol.Parcel](env)
	if err != nil {
		return incoming{}, err
	}
	info, _ := n.author(p.Team, p.Node)
	if info.Team.IsZero() {
		return incoming{}, errNotOurs
	}
	return n.openSealed(env, raw, p, info, "closed")
}

// openAllClosed is openClosed for every epoch that this node has: what a crash kept from it.
func (n *Node) openAllClosed(ctx context.Context) error {
	var ids, rooms []protocol.Hash
	n.askRooms(func(rs *trust.Rooms) { rooms = rs.IDs() })
	for _, r := range rooms {
		ids = append(ids, n.ring.Epochs(r)...)
	}
	for _, id := range ids {
		if err := n.openClosed(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// hears reports whether anything that a team says in a room's channel is taken in.
func (n *Node) hears(team protocol.TeamID, c protocol.Channel) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return team == n.team || n.mayPass(trust.Receive, team, c)
}

// inRoom reports whether this team and the other are both in a room, as they stand now.
func (n *Node) inRoom(room protocol.Hash, team protocol.TeamID) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s, ok := n.channelsKnown.rooms[room]
	return ok && s.Teams[team] == trust.StandingMember && s.Teams[n.team] == trust.StandingMember
}

// shareRoom reports whether two teams and this one are in a room together: each needs the records of the others. n.mu is held for
// reading.
func (n *Node) shareRoom(a, b protocol.TeamID) bool {
	in := func(s trust.Standings, t protocol.TeamID) bool {
		return t == n.team || s.Shares[t] == trust.ShareAll
	}
	for _, s := range n.channelsKnown.rooms {
		if in(s, a) && in(s, b) && s.State != trust.RoomFounding {
			return true
		}
	}
	return false
}

// speakers returns the connected nodes of the members of a room: to whom what is said in it is pushed.
func (n *Node) speakers(room protocol.Hash) (out []peer.ID) {
	if n.host == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, p := range n.host.Network().Peers() {
		if a, ok := n.admitted[p]; ok && n.mayPass(trust.Serve, a.team, protocol.RoomChannel(room)) {
			out = append(out, p)
		}
	}
	return out
}

// tellRooms tells the members of each room how far this node's feed in it reaches, unless they were told before.
func (n *Node) tellRooms() {
	n.mu.RLock()
	var all []protocol.Hash
	for id, s := range n.channelsKnown.rooms {
		if s.Teams[n.team] == trust.StandingMember {
			all = append(all, id)
		}
	}
	n.mu.RUnlock()
	for _, id := range all {
		h := n.roomHeads(id)
		for _, p := range n.speakers(id) {
			n.tellRoomTo(id, h, p, false)
		}
	}
}

// tellRoomsTo tells one peer, whatever it was told before.
func (n *Node) tellRoomsTo(p peer.ID) {
	n.mu.RLock()
	a, ok := n.admitted[p]
	var all []protocol.Hash
	for id, s := range n.channelsKnown.rooms {
		if ok && s.Teams[n.team] == trust.StandingMember && n.mayPass(trust.Serve, a.team, protocol.RoomChannel(id)) {
			all = append(all, id)
		}
	}
	n.mu.RUnlock()
	for _, id := range all {
		n.tellRoomTo(id, n.roomHeads(id), p, true)
	}
}

func (n *Node) roomHeads(room protocol.Hash) []byte {
	h, err := n.ownHeads(room)
	if err != nil {
		n.log.Warn("signing this node's heads for a room", "room", room.Short(), "err", err)
	}
	return h
}

func (n *Node) tellRoomTo(room protocol.Hash, h []byte, p peer.ID, again bool) {
	if h == nil {
		return
	}
	w := &n.pairs
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rooms == nil {
		w.rooms = map[roomPeer]string{}
	}
	if k := (roomPeer{room, p}); again || w.rooms[k] != string(h) {
		w.rooms[k] = string(h)
		n.courier.Push(p, bytes.Clone(h), false)
	}
}

// roomPeer is a peer in a room.
type roomPeer struct {
	room protocol.Hash
	peer peer.ID
}

// meetWait is how long somebody who wants to speak waits for members that are connected to say what they have of the room.
const meetWait = 5 * time.Second

// catchUpInRoom sees to it that this node has lately heard from as many members as it has to before it speaks, if they can be reached.
func (n *Node) catchUpInRoom(ctx context.Context, room protocol.Hash, l tlp.Label) {
	fresh := func() bool {
		var d trust.Decision
		n.askRooms(func(rs *trust.Rooms) { d = rs.MaySpeak(room, l, n.rooms.met[room], n.now()) })
		return d.Rule != "not-fresh"
	}
	n.meet(ctx, room, fresh)
}

// meet compares with the members of a room that are connected until ok holds, for a short time, and says whether it does.
func (n *Node) meet(ctx context.Context, room protocol.Hash, ok func() bool) bool {
	if ok() || n.circle == nil {
		return ok()
	}
	for _, p := range n.roomPeers(room, trust.ShareAll) {
		n.circle.PeerReady(p)
	}
	t := time.NewTimer(meetWait)
	defer t.Stop()
	for {
		wait := n.metAt.wait()
		if ok() {
			return true
		}
		select {
		case <-wait:
		case <-t.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// roomNotes are what a sender into a room should know beyond the list of readers. n.mu is held for reading.
func (n *Node) roomNotes(room protocol.Hash, l tlp.Label) []string {
	var out []string
	var unreached map[protocol.TeamID]string
	var info trust.RoomInfo
	n.withRooms(func(rs *trust.Rooms) {
		unreached = rs.Unreached(room, n.now())
		info, _ = rs.Room(room, n.now())
	})
	call := func(id protocol.TeamID) string {
		if t, ok := n.book.Team(id, n.now()); ok && t.Name != "" {
			return t.Name
		}
		return id.Short()
	}
	if looked, seen := n.seenIn(room); !looked.IsZero() {
		for _, m := range info.Members {
			if m.Status == trust.StandingMember && !seen[m.Team] && m.Team != n.team {
				out = append(out, call(m.Team)+" joined the room since somebody of this team last looked")
			}
		}
	}
	for _, m := range info.Members {
		if why, ok := unreached[m.Team]; ok {
			out = append(out, call(m.Team)+" will not be able to read it: "+why)
		} else if m.Status == trust.StandingHeld || m.Status == trust.StandingSuspended || m.Status == trust.StandingLapsed {
			out = append(out, fmt.Sprintf("%s will not be able to read it: %s", call(m.Team), m.Why))
		}
	}
	out = append(out, info.Warnings...)
	if why := n.clockOffBy(); why != "" {
		out = append(out, why)
	}
	if c := info.Charter; c != nil && l >= tlp.Amber {
		switch c.Attribution {
		case protocol.AttributeRoom:
			out = append(out, "outside the room members may pass it on only without this team's name")
		case protocol.AttributeNothing:
			out = append(out, "outside the room members may tell neither this team's name nor that there is a room")
		}
	}
	return out
}
