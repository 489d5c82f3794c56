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

func (rs *Rooms) addEpoch(e *protocol.Envelope, now time.Time) (room protocol.Hash, added bool, drop []protocol.Hash, err error) {
	pe, err := protocol.Decode[protocol.Epoch](e)
	if err != nil {
		return room, false, nil, err
	}
	rm := rs.rooms[pe.Room]
	if rm == nil {
		return pe.Room, false, nil, fmt.Errorf("%w: the first charter of room %s", ErrMissing, pe.Room.Short())
	}
	if rm.epochs[e.ID()] != nil {
		return pe.Room, false, nil, nil
	}
	n, ok := rs.book.NodeOf(pe.Team, pe.Node)
	if !ok {
		return pe.Room, false, nil, fmt.Errorf("%w: node %s of team %s", ErrMissing, pe.Node, pe.Team.Short())
	}
	if err := e.VerifyNode(n.Node.Key); err != nil {
		return pe.Room, false, nil, err
	}
	one := &epoch{e.ID(), pe, e}
	if !rs.loading && rs.rankOf(rm, pe.Team, now) < seated {
		return pe.Room, false, nil, fmt.Errorf("%w: what makes team %s a member", ErrMissing, pe.Team.Short())
	}
	if old, full := rm.crowded(one); full {
		if old == one {
			return pe.Room, false, nil, fmt.Errorf("%w: room %s has too many epochs", ErrFull, pe.Room.Short())
		}
		delete(rm.epochs, old.id)
		drop = append(drop, old.id)
	}
	rm.putEpoch(one)
	return pe.Room, true, drop, nil
}

// crowded returns the epoch that gives way to another, which may be that other: the oldest of its team, if that has as many as it may;
// if all together do, the oldest of the team that has most.
func (rm *room) crowded(one *epoch) (gives *epoch, full bool) {
	of, oldest := map[protocol.TeamID]int{one.Team: 1}, map[protocol.TeamID]*epoch{one.Team: one}
	for _, o := range rm.epochs {
		of[o.Team]++
		if e := oldest[o.Team]; e == nil || o.before(e) {
			oldest[o.Team] = o
		}
	}
	if of[one.Team] > maxEpochShare {
		return oldest[one.Team], true
	}
	if len(rm.epochs) < maxEpochs {
		return nil, false
	}
	most := one.Team
	for t, n := range of {
		if n > of[most] || n == of[most] && bytes.Compare(t[:], most[:]) < 0 {
			most = t
		}
	}
	return oldest[most], true
}

// before reports whether the epoch is older than another; of two of one second the id decides.
func (e *epoch) before(o *epoch) bool {
	return e.Created < o.Created || e.Created == o.Created && bytes.Compare(e.id[:], o.id[:]) < 0
}

func (rm *room) putEpoch(e *epoch) {
	rm.epochs[e.id], rm.roll = e, nil
	rm.revision++
}

// names reports whether the epoch is for the node.
func (e *epoch) names(k protocol.KID) bool {
	_, in := slices.BinarySearchFunc(e.Nodes, k, func(a, b protocol.KID) int { return bytes.Compare(a[:], b[:]) })
	return in
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
}

// ends reports whether it is time for another: in the last day, or for a short epoch its last quarter.
func (u Usable) ends(now time.Time) bool { return !now.Before(u.lastCall()) }

func (u Usable) lastCall() time.Time { return unixTime(u.Until - min(86400, (u.Until-u.Created)/4)) }

// UsableEpoch returns the epoch to seal to now, of those of which holds reports that this node has the identity; ok is false
// if there is none, and one has to be made. That is the rule by which removal takes effect: an epoch is for exactly the nodes that
// may read in the room, as far as this node knows, and nobody else can have been given it since. Of several, one that does not
// end soon goes before others, then one made under what is known now, then the order of makers decides (EpochOrder), then the newest goes first.
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
var testOnlyUsable func(e *protocol.Epoch, v *roomVersion, l *roll, now time.Time) bool

// mayUse is the sender's rule. Besides those whom an epoch names, it may have been given by the charter (mayHave) to who was
// admitted after it was made, or accepted the founding charter after. Whoever was given it may be out by now: so an epoch is left at
// the next admission; and one from before anything was decided also if a founder does not read that accepted after it was made.
func mayUse(e *protocol.Epoch, v *roomVersion, l *roll, now time.Time) bool {
	if testOnlyUsable != nil {
		return testOnlyUsable(e, v, l, now)
	}
	return inTime(e, v, now) && forExactly(e, l) && e.Created >= l.admitted &&
		(e.Cards != v.bare() || e.Created >= l.founded)
}

// inTime reports whether the epoch is of the charter that counts, and lasts no longer than that permits.
func inTime(e *protocol.Epoch, v *roomVersion, now time.Time) bool {
	return e.Charter == v.id && now.Unix() < int64(e.Until) && unixTime(e.Created).Before(now.Add(protocol.MaxClockAhead)) &&
		!unixTime(e.Until).After(unixTime(e.Created).Add(time.Duration(v.EpochDays)*24*time.Hour))
}

// forExactly reports whether the epoch is for all nodes that may read, and no other.
func forExactly(e *protocol.Epoch, l *roll) bool {
	return len(e.Nodes) == len(l.nodes) && !slices.ContainsFunc(e.Nodes, func(k protocol.KID) bool { return l.nodes[k].IsZero() })
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

// NeedsRekey says why the room needs a new epoch, in words; "" if it does not.
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
		return "every key of the room is over, of another charter, or not for exactly those who may read now"
	case u.ends(now):
		return "the key of the room ends soon"
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
	e.Created = max(e.Created, r.roll.admitted, r.roll.founded) // which a clock ahead of ours may have dated
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

// MayGrant says whether the identity of an epoch may be given to a node now: to those that it names, while they may read; to the
// node with which their team replaced one of these; and to a member that came after the epoch was made, as far as the charter opens
// what was before. Who was a member when it was made, and is not named, is not given it: its maker may know that it is out.
func (rs *Rooms) MayGrant(room, id protocol.Hash, to protocol.KID, now time.Time) Decision {
	r := rs.at(room, now)
	if r == nil || rs.rooms[room].epochs[id] == nil {
		return roomDecision("epoch-unknown")
	}
	if r.head() == nil {
		return roomDecision("room-founding")
	}
	team, reads := r.roll.nodes[to]
	if !reads {
		return roomDecision("grant-node")
	}
	return roomDecision(rs.mayHave(r, rs.rooms[room].epochs[id], team, to))
}

// testOnlyGrant, if set, takes the place of mayHave.
var testOnlyGrant func(rs *Rooms, r *roomAt, e *epoch, team protocol.TeamID, to protocol.KID) string

// mayHave returns the rule by which a node of the team, which may read now, may not have the epoch; "" if it may.
func (rs *Rooms) mayHave(r *roomAt, e *epoch, team protocol.TeamID, to protocol.KID) (rule string) {
	if testOnlyGrant != nil {
		return testOnlyGrant(rs, r, e, team, to)
	}
	if e.names(to) {
		return ""
	}
	named, replaced := false, false
	for k, n := range rs.book.teams[team].listed {
		named = named || e.names(k)
		replaced = replaced || e.names(k) && n.revoked != nil
	}
	switch {
	case replaced: // whoever named that one did not know of its successors
		return ""
	case named:
		return "grant-excluded"
	}
	under, came := r.came(team)
	from := came
	switch v := r.head(); v.History {
	case protocol.HistoryAll:
		from = 0
	case protocol.HistoryDate:
		from = min(from, v.HistoryFrom)
	}
	switch {
	case e.Created < from:
		return "grant-history"
	case !r.madeBefore(e.Epoch, team, under, came):
		return "grant-excluded"
	}
	return ""
}

// came returns under which version, by its place in the chain, a member came, and when the card was drafted that brought it in, or
// the first of several; zero if it is one of the founders.
func (r *roomAt) came(t protocol.TeamID) (under int, at uint64) {
	joined := r.head().lines[t].tip().joined
	for i, v := range slices.Backward(r.versions) {
		l := v.lines[t]
		for _, c := range v.cards { // those, too, that count only for others as yet, unless they are dated back
			if c.Subject == t && c.admits() && c.Joined == joined && (at == 0 || c.Issued < at) &&
				(slices.Contains(l.valid, c) || c.Issued >= joined+v.ObjectionDays*86400) {
				under, at = i, c.Issued
			}
		}
		if at != 0 {
			return under, at
		}
	}
	return 0, 0
}

// madeBefore reports whether who made the epoch cannot have known the team as a member: it was made under an earlier charter than
// the one under which the team came, or before its card was drafted; or, if the team is one of the founders, before it accepted and
// anything was decided. What can be told by the order of records is not left to clocks.
func (r *roomAt) madeBefore(e *protocol.Epoch, t protocol.TeamID, under int, came uint64) bool {
	made := slices.IndexFunc(r.versions, func(v *roomVersion) bool { return v.id == e.Charter })
	switch {
	case made < 0:
		return false
	case came != 0:
		return made < under || made == under && e.Created < came && !r.ahead(came)
	}
	return made == 0 && e.Created < r.bound[t] && !r.ahead(r.bound[t]) && e.Cards == r.versions[0].bare() && e.Holds.IsZero()
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
		if age := now.Sub(synced[m.Team]); age <= time.Duration(v.FreshHours)*time.Hour && age >= -protocol.MaxClockAhead {
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
		m.Status = StandingNone // who was out and is proposed again
	}
	return roomDecision(r.author(m, feed, seq))
}

// testOnlyAuthor, if set, takes the place of author.
var testOnlyAuthor func(m RoomMember) string

// author returns the rule by which what a team said does not take effect; "" if it does.
func (r *roomAt) author(m RoomMember, feed protocol.FeedID, seq uint64) (rule string) {
	switch {
	case testOnlyAuthor != nil:
		return testOnlyAuthor(m)
	case m.Status == StandingMember:
		return ""
	case m.Status == StandingHeld:
		return "author-held"
	case slices.ContainsFunc(r.cuts(m), func(h protocol.Head) bool { return h.Feed == feed && seq <= h.Seq }):
		return ""
	case m.Status == StandingSuspended:
		return "author-suspended"
	}
	return "author-out"
}

// cuts returns how far the feeds of a team that is out stand: by what put it out, or under the last version that knew it.
func (r *roomAt) cuts(m RoomMember) []protocol.Head {
	for i := len(r.versions) - 1; i >= 0 && m.Status == StandingNone; i-- {
		if l := r.versions[i].lines[m.Team]; l.status() != 0 {
			m = r.member(r.versions[i], m.Team, l)
		}
	}
	return m.Cuts
}
