package trust

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// An epoch is one that its maker's node signed.
type epoch struct {
	id protocol.Hash
	*protocol.Epoch
	env *protocol.Envelope
}

func (rs *Rooms) addEpoch(e *protocol.Envelope) (room protocol.Hash, added bool, err error) {
	pe, err := protocol.Decode[protocol.Epoch](e)
	if err != nil {
		return room, false, err
	}
	rm := rs.rooms[pe.Room]
	if rm == nil {
		return pe.Room, false, fmt.Errorf("%w: the first charter of room %s", ErrMissing, pe.Room.Short())
	}
	n, ok := rs.book.NodeOf(pe.Team, pe.Node)
	if !ok {
		return pe.Room, false, fmt.Errorf("%w: node %s of team %s", ErrMissing, pe.Node, pe.Team.Short())
	}
	if err := e.VerifyNode(n.Node.Key); err != nil {
		return pe.Room, false, err
	}
	id := e.ID()
	if rm.epochs[id] != nil {
		return pe.Room, false, nil
	}
	if len(rm.epochs) >= MaxRoomRecords {
		return pe.Room, false, fmt.Errorf("%w: room %s has %d epochs", ErrFull, pe.Room.Short(), MaxRoomRecords)
	}
	rm.putEpoch(&epoch{id, pe, e})
	return pe.Room, true, nil
}

func (rm *room) putEpoch(e *epoch) { rm.epochs[e.id], rm.roll = e, nil }

// names reports whether the epoch is for the node.
func (e *epoch) names(k protocol.KID) bool {
	_, in := slices.BinarySearchFunc(e.Nodes, k, func(a, b protocol.KID) int { return bytes.Compare(a[:], b[:]) })
	return in
}

// DropEpochs forgets epochs that ended before the time, and returns their ids: the caller destroys their identities. What was
// said in them can be judged no more.
func (rs *Rooms) DropEpochs(room protocol.Hash, before time.Time) (ids []protocol.Hash) {
	rm := rs.rooms[room]
	if rm == nil {
		return nil
	}
	for id, e := range rm.epochs {
		if unixTime(e.Until).Before(before) {
			ids = append(ids, id)
			delete(rm.epochs, id)
			rm.roll = nil
		}
	}
	return ascending(ids)
}

// EpochInfo returns an epoch of a room.
func (rs *Rooms) EpochInfo(room, id protocol.Hash) (*protocol.Epoch, bool) {
	rm := rs.rooms[room]
	if rm == nil || rm.epochs[id] == nil {
		return nil, false
	}
	return rm.epochs[id].Epoch, true
}

// Reader is a node that may read in a room now.
type Reader struct {
	Team protocol.TeamID
	Node protocol.KID
}

// Readers returns the nodes that may read in the room now, ascending by key: the current nodes of the teams that are members,
// as far as I can tell who they are. A team that is stale, disputed or blocked here has none.
func (rs *Rooms) Readers(room protocol.Hash, now time.Time) []Reader {
	r := rs.at(room, now)
	if r == nil || r.head() == nil {
		return nil
	}
	return slices.Clone(r.roll.readers)
}

// unfit returns why nothing new is sealed to a team, whatever the room says, in words; "" if it is.
func (rs *Rooms) unfit(t protocol.TeamID, now time.Time) string {
	k := rs.book.teams[t]
	if k == nil {
		return "its records are not known here"
	}
	if k.isBlocked() {
		return "it is blocked here"
	}
	if trouble, why := k.trouble(now); trouble != Verified {
		return why
	}
	return ""
}

// Unreached returns the members that nothing is sealed to now, and why, in words.
func (rs *Rooms) Unreached(room protocol.Hash, now time.Time) map[protocol.TeamID]string {
	r := rs.at(room, now)
	if r == nil || r.head() == nil {
		return nil
	}
	out := map[protocol.TeamID]string{}
	for _, m := range r.roll.members {
		if m.Status != StandingMember {
			continue
		}
		if why := rs.unfit(m.Team, now); why != "" {
			out[m.Team] = why
		} else if !slices.ContainsFunc(rs.book.Nodes(m.Team), func(n NodeInfo) bool { return !n.Revoked }) {
			out[m.Team] = "it has no node"
		}
	}
	return out
}

// A Usable is an epoch that may be sealed to. What it points to must not be changed.
type Usable struct {
	ID protocol.Hash
	*protocol.Epoch
	Missing []protocol.KID // nodes that may read and do not hold it
}

// UsableEpoch returns the epoch to seal to now, of those of which holds reports that this node has the identity; ok is false
// if there is none, and one has to be made. That is the rule by which removal takes effect: every node of it may read in the
// room, as far as this node knows. Of several, one that leaves nobody out goes before others, then one made under what is known
// now, then the order of makers (EpochOrder), then the newest.
func (rs *Rooms) UsableEpoch(room protocol.Hash, now time.Time, holds func(id protocol.Hash) bool) (u Usable, ok bool) {
	r := rs.at(room, now)
	if r == nil || r.head() == nil {
		return u, false
	}
	for _, u := range r.roll.fit {
		if holds == nil || holds(u.ID) {
			return u, true
		}
	}
	return u, false
}

// testOnlyUsable, if set, takes the place of mayUse.
var testOnlyUsable func(e *protocol.Epoch, charter protocol.Hash, readers map[protocol.KID]bool, now time.Time) bool

// mayUse is the sender's rule.
func mayUse(e *protocol.Epoch, charter protocol.Hash, readers map[protocol.KID]bool, now time.Time) bool {
	if testOnlyUsable != nil {
		return testOnlyUsable(e, charter, readers, now)
	}
	return e.Charter == charter && now.Unix() < int64(e.Until) && unixTime(e.Created).Before(now.Add(protocol.MaxClockAhead)) &&
		!slices.ContainsFunc(e.Nodes, func(k protocol.KID) bool { return !readers[k] })
}

// EpochOrder returns in which order nodes make an epoch when one is needed, so that not all do at once: those of stewards
// first, then by a hash over what is known of the room, which nobody can choose. The first does so at once, each of the others
// when none has come after a while. Who has something to say waits for nobody.
func (rs *Rooms) EpochOrder(room protocol.Hash, now time.Time) []protocol.KID {
	r := rs.at(room, now)
	if r == nil || r.head() == nil {
		return nil
	}
	return slices.Clone(r.roll.order)
}

// NeedsRekey says why the room needs a new epoch, in words; "" if it does not. Restricting changes make the old ones unusable;
// new nodes and time make a new one desirable.
func (rs *Rooms) NeedsRekey(room protocol.Hash, now time.Time) string {
	r := rs.at(room, now)
	if r == nil || r.head() == nil || len(r.roll.readers) == 0 {
		return ""
	}
	u, ok := rs.UsableEpoch(room, now, nil)
	switch {
	case !ok && len(rs.rooms[room].epochs) == 0:
		return "the room has no key yet"
	case !ok:
		return "every key of the room is over, of another charter, or held by a node that may not read any more"
	case len(u.Missing) > 0:
		return fmt.Sprintf("%d nodes that may read do not hold the key", len(u.Missing))
	case now.Unix()+86400 >= int64(u.Until):
		return "the key of the room ends within a day"
	}
	return ""
}

// DraftEpoch drafts an epoch of the recipient, made by my team's node, for all who may read in the room now.
func (rs *Rooms) DraftEpoch(room protocol.Hash, node protocol.KID, recipient string, now time.Time) (*protocol.Epoch, Decision) {
	r := rs.at(room, now)
	if r == nil {
		return nil, roomDecision("no-room")
	}
	if rule := r.deciding(); rule != "" {
		return nil, roomDecision(rule)
	}
	v := r.head()
	e := &protocol.Epoch{Room: room, Charter: v.id, Team: rs.self(), Node: node, Recipient: recipient, Created: uint64(now.Unix()),
		Until: uint64(now.Unix()) + v.EpochDays*86400}
	e.Cards, e.Holds = r.roll.cards, r.roll.held
	own := false
	for _, n := range r.roll.readers {
		if own = own || n == (Reader{rs.self(), node}); len(e.Nodes) == 0 || e.Nodes[len(e.Nodes)-1] != n.Node {
			e.Nodes = append(e.Nodes, n.Node)
		}
	}
	if !own {
		return nil, roomDecision("not-member")
	}
	return e, roomDecision("")
}

// MayGrant says whether the identity of an epoch may be given to a node now: to those that it names, while they may read; to a
// member that joined later, as far as the charter opens what was before.
func (rs *Rooms) MayGrant(room, id protocol.Hash, to protocol.KID, now time.Time) Decision {
	r := rs.at(room, now)
	if r == nil || rs.rooms[room].epochs[id] == nil {
		return roomDecision("epoch-unknown")
	}
	e := rs.rooms[room].epochs[id]
	if r.head() == nil {
		return roomDecision("room-founding")
	}
	team, reads := r.roll.nodes[to]
	switch {
	case !reads:
		return roomDecision("grant-node")
	case e.names(to):
		return roomDecision("")
	}
	v := r.head()
	joined := v.lines[team].tip().joined
	from := joined // of a node that its team added later: from when the team joined
	switch v.History {
	case protocol.HistoryAll:
		from = 0
	case protocol.HistoryDate:
		from = min(from, v.HistoryFrom)
	}
	if e.Created < from {
		return roomDecision("grant-history")
	}
	return roomDecision("")
}

// CheckGrant verifies a grant for a node of mine against its epoch. The caller opens it, and checks that the identity is that
// of the epoch's recipient.
func (rs *Rooms) CheckGrant(e *protocol.Envelope) (*protocol.Grant, *protocol.Epoch, error) {
	g, err := protocol.Decode[protocol.Grant](e)
	if err != nil {
		return nil, nil, err
	}
	ep, ok := rs.EpochInfo(g.Room, g.Epoch)
	if !ok {
		return nil, nil, fmt.Errorf("%w: the epoch of a grant", ErrMissing)
	}
	n, ok := rs.book.NodeOf(g.Team, g.Node)
	if !ok {
		return nil, nil, fmt.Errorf("%w: node %s of team %s", ErrMissing, g.Node, g.Team.Short())
	}
	return g, ep, e.VerifyNode(n.Node.Key)
}

// MaySpeak says whether this node may send into the room now. synced says as of when this node has all that a team said in the
// room: it has to be recent for two of the others, or for half of them where they are fewer than four.
func (rs *Rooms) MaySpeak(room protocol.Hash, l tlp.Label, synced map[protocol.TeamID]time.Time, now time.Time) Decision {
	r := rs.at(room, now)
	if r == nil {
		return roomDecision("no-room")
	}
	if rule := r.deciding(); rule != "" {
		return roomDecision(rule)
	}
	v := r.head()
	others, fresh := 0, 0
	for _, m := range r.roll.members {
		if m.Team == r.self || m.Status != StandingMember {
			continue
		}
		others++
		if now.Sub(synced[m.Team]) <= time.Duration(v.FreshHours)*time.Hour {
			fresh++
		}
	}
	switch {
	case r.standingOf(v, r.self) != StandingMember:
		return roomDecision("not-member")
	case l > v.Ceiling:
		return roomDecision("room-ceiling")
	case fresh < min(2, (others+1)/2):
		return roomDecision("not-fresh")
	}
	return roomDecision("")
}

// AcceptMessage says whether a statement that was opened with an epoch takes effect: its author's node was one of the epoch's,
// and the author is a member now, or what it said is within what the stewards let stand. Of a refusal that may pass, the rule
// begins with "author-" or is "epoch-unknown": such a message is held back, and asked about again.
func (rs *Rooms) AcceptMessage(st *protocol.Statement, feed protocol.FeedID, seq uint64, now time.Time) Decision {
	r := rs.at(st.Audience.Room, now)
	if r == nil || st.Audience.Kind != protocol.InRoom {
		return roomDecision("no-room")
	}
	if r.head() == nil {
		return roomDecision("room-founding")
	}
	e := rs.rooms[r.room].epochs[st.Audience.Epoch]
	i := slices.IndexFunc(r.versions, func(v *roomVersion) bool { return v.id == st.Audience.Charter })
	switch {
	case e == nil || i < 0:
		return roomDecision("epoch-unknown")
	case e.Charter != st.Audience.Charter:
		return roomDecision("epoch-mismatch")
	case !e.names(st.Node):
		return roomDecision("epoch-author")
	case st.Label > r.versions[i].Ceiling:
		return roomDecision("room-ceiling")
	}
	if st.Author == r.self {
		return roomDecision("")
	}
	m := r.roll.member(st.Author)
	if m.Status == StandingProposed && r.head().lines[st.Author].status() == 0 {
		m = RoomMember{} // who was out and is proposed again
	}
	switch {
	case m.Status == StandingMember:
		return roomDecision("")
	case m.Status == StandingHeld:
		return roomDecision("author-held")
	case slices.ContainsFunc(r.cuts(st.Author, m), func(h protocol.Head) bool { return h.Feed == feed && seq <= h.Seq }):
		return roomDecision("")
	case m.Status == StandingSuspended:
		return roomDecision("author-suspended")
	}
	return roomDecision("author-out")
}

// cuts returns how far the feeds of a team that is out stand: by what put it out, or under the last version that knew it.
func (r *roomAt) cuts(t protocol.TeamID, m RoomMember) []protocol.Head {
	for i := len(r.versions) - 1; i >= 0 && m.Status == StandingNone; i-- {
		if l := r.versions[i].lines[t]; l.status() != 0 {
			m = r.member(r.versions[i], t, l)
		}
	}
	return m.Cuts
}
