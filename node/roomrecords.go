package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/roomsync"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// A roomTable is what this node knows of rooms. Its lock is taken after Node.mu, and before those of the store and the ring.
type roomTable struct {
	mu       sync.Mutex
	ledger   *trust.Rooms                                    // guarded by mu, and by Node.mu for the Book beside it
	unkept   []keptRecord                                    // guarded by mu; what the disk did not take yet
	sets     map[protocol.Hash]*roomSet                      // guarded by mu; dropped when a room changes
	met      map[protocol.Hash]map[protocol.TeamID]time.Time // guarded by mu; when this node last had all that a team has of a room
	kept     map[protocol.Hash]time.Time                     // guarded by mu; when met was last written
	due      map[protocol.Hash]time.Time                     // guarded by mu; since when a room needs a new epoch
	unjudged map[roomPeer]bool                               // guarded by mu; peers that gave what cannot be judged yet
	work     chan struct{}                                   // roomLoop looks at all rooms
}

type keptRecord struct {
	room protocol.Hash
	env  *protocol.Envelope
}

// A roomSet is the records of a room in the form in which they are compared.
type roomSet struct {
	records  []roomsync.Record
	digest   protocol.Hash
	revision uint64
}

// withRooms calls fn with the ledger. n.mu is held, for reading at least.
func (n *Node) withRooms(fn func(rs *trust.Rooms)) {
	n.rooms.mu.Lock()
	defer n.rooms.mu.Unlock()
	fn(n.rooms.ledger)
}

// askRooms is withRooms for who holds no lock.
func (n *Node) askRooms(fn func(rs *trust.Rooms)) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	n.withRooms(fn)
}

// loadRooms reads what the store keeps of rooms.
func (n *Node) loadRooms() error {
	n.rooms = roomTable{ledger: trust.NewRooms(n.book), sets: map[protocol.Hash]*roomSet{}, met: map[protocol.Hash]map[protocol.TeamID]time.Time{},
		kept: map[protocol.Hash]time.Time{}, due: map[protocol.Hash]time.Time{}, unjudged: map[roomPeer]bool{}, work: make(chan struct{}, 1)}
	var es []*protocol.Envelope
	type first struct {
		room, id protocol.Hash
		at       time.Time
	}
	var seen []first
	if err := n.st.RoomRecords(func(room protocol.Hash, at time.Time, e *protocol.Envelope) error {
		es, seen = append(es, e), append(seen, first{room, e.ID(), at})
		return nil
	}); err != nil {
		return err
	}
	for _, err := range n.rooms.ledger.LoadRooms(es, n.now()) {
		n.log.Warn("a stored record of a room no longer counts", "err", err)
	}
	for _, f := range seen {
		n.rooms.ledger.Saw(f.room, f.id, f.at)
	}
	for _, i := range n.rooms.ledger.List(n.now()) {
		b, err := n.st.RoomNote(i.ID, metNote)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		met := readMet(b)
		maps.DeleteFunc(met, func(_ protocol.TeamID, at time.Time) bool { return at.After(n.now().Add(protocol.MaxClockAhead)) })
		n.rooms.met[i.ID] = met
		for t, at := range met {
			n.rooms.ledger.Heard(i.ID, t, at)
		}
	}
	return nil
}

// metNote holds when this node last compared itself with each team of a room: a restart does not make it forget that it is fresh.
const metNote = "met"

// metEvery is how old what metNote says may be.
const metEvery = 10 * time.Minute

func readMet(b []byte) map[protocol.TeamID]time.Time {
	met := map[protocol.TeamID]time.Time{}
	for ; len(b) >= 40; b = b[40:] {
		met[protocol.TeamID(b[:32])] = time.Unix(int64(binary.BigEndian.Uint64(b[32:40])), 0)
	}
	return met
}

func encodeMet(met map[protocol.TeamID]time.Time) []byte {
	var b []byte
	for t, at := range met {
		b = binary.BigEndian.AppendUint64(append(b, t[:]...), uint64(at.Unix()))
	}
	return b
}

// takeRoomRecords verifies and keeps records of a room: from a team, or with the zero id what officers or this node itself signed, of
// which the error then speaks. What a team gave that cannot be judged yet is returned as later, without an error; an error that wraps
// protocol.ErrMalformed or ErrSignature is the team's fault. via is the peer that need not be told of it.
func (n *Node) takeRoomRecords(room protocol.Hash, from protocol.TeamID, via peer.ID, es []*protocol.Envelope) (news, later []*protocol.Envelope, err error) {
	n.knowing.Lock()
	n.mu.Lock()
	news, later, err = n.addRoomRecords(room, from, es)
	if len(news) > 0 {
		n.refreshAdmitted()
	}
	n.mu.Unlock()
	n.knowing.Unlock()
	if len(news) > 0 {
		n.judge()
		n.tendSoon()
		if n.circle != nil {
			n.circle.Changed(room, via)
		}
	}
	return news, later, err
}

// addRoomRecords is takeRoomRecords without what follows from it. n.knowing and n.mu are held.
func (n *Node) addRoomRecords(room protocol.Hash, from protocol.TeamID, es []*protocol.Envelope) (news, later []*protocol.Envelope, err error) {
	t := &n.rooms
	t.mu.Lock()
	defer t.mu.Unlock()
	now := n.now()
	for _, e := range es {
		if of, bad := trust.RoomOfRecord(e); bad != nil || of != room {
			return nil, nil, errors.Join(fmt.Errorf("%w: a record of another room, or of none", protocol.ErrMalformed), bad)
		}
		if from.IsZero() && e.Type != protocol.TypeEpoch { // between this and taking it in nothing else is: two officers may vote at the same moment
			if d := t.ledger.MayAdd(e, now); !d.Allowed {
				return nil, nil, refused(d)
			}
		}
	}
	for progress := true; progress && len(es) > 0; es = later {
		progress, later = false, nil
		for _, e := range es {
			switch r := t.ledger.AddRoomRecord(e, now); {
			case errors.Is(r.Err, trust.ErrMissing):
				later = append(later, e)
			case r.Err != nil:
				err = errors.Join(err, r.Err)
			case r.Added:
				news, progress = append(news, r.Envelope), true
				if len(r.Drop) > 0 { // epochs: what was said in them cannot be judged any more, so nobody needs to open it
					err = errors.Join(err, n.st.DeleteRoomRecords(room, r.Drop...), n.ring.DestroyEpochs(r.Drop...))
				}
			}
		}
	}
	if from.IsZero() && len(later) > 0 {
		err = errors.Join(err, fmt.Errorf("%w: what the record builds on", trust.ErrMissing))
	}
	for _, e := range news {
		t.unkept = append(t.unkept, keptRecord{room, e})
	}
	return news, later, errors.Join(err, t.keep(n.st))
}

// waits reports whether the disk lacks something of a room. Nothing of it is told before: a vote that left this node and was
// forgotten in a crash could be given twice.
func (t *roomTable) waits(room protocol.Hash) bool {
	return slices.ContainsFunc(t.unkept, func(k keptRecord) bool { return k.room == room })
}

// keep writes what the disk did not take yet.
func (t *roomTable) keep(st *store.Store) error {
	for len(t.unkept) > 0 {
		room, some := t.unkept[0].room, []*protocol.Envelope(nil)
		for _, k := range t.unkept {
			if k.room != room {
				break
			}
			some = append(some, k.env)
		}
		if err := st.PutRoomRecords(room, some...); err != nil {
			return fmt.Errorf("%w: %w", errKeeping, err)
		}
		t.unkept = t.unkept[len(some):]
	}
	return nil
}

// Limits of invitations that nobody here answered yet.
const (
	maxInvitations  = 16                  // in which one team has a part
	maxUnanswered   = 64                  // of all
	maxInvited      = 512                 // records of one
	unansweredAfter = 60 * 24 * time.Hour // it is forgotten
)

// invite says whether a room that is not known here, and that a team tells of, is taken in.
func (n *Node) invite(room protocol.Hash, from protocol.TeamID, es []*protocol.Envelope) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &n.rooms
	t.mu.Lock()
	defer t.mu.Unlock()
	gaveUp := n.gaveUp(room)
	if err := t.ledger.CheckInvitation(room, from, es, gaveUp); err != nil {
		return err
	}
	all, theirs := 0, 0
	for _, i := range t.ledger.List(n.now()) {
		if unanswered(i, n.team) {
			all++
			if i.Standing(from) != trust.StandingNone {
				theirs++
			}
		}
	}
	if all >= maxUnanswered || theirs >= maxInvitations || len(es) > maxInvited {
		return fmt.Errorf("%w: too many invitations wait for an answer, or this one is too long", trust.ErrUninvited)
	}
	if gaveUp.IsZero() {
		return nil
	}
	return n.ring.RenewAudience(protocol.RoomChannel(room).Tag()) // the key was destroyed then
}

// unanswered reports whether a room is one into which this team is asked and has not said yes.
func unanswered(i trust.RoomInfo, self protocol.TeamID) bool {
	if i.State == trust.RoomFounding {
		return !slices.ContainsFunc(i.Proposals, func(p trust.Proposal) bool { return slices.Contains(p.Votes, self) })
	}
	return i.Mine == trust.StandingProposed || i.Mine == trust.StandingNone
}

// forgetUninvited drops a room that turned out to be nothing to this team: by a forged word, or a seat that is none.
func (n *Node) forgetUninvited(room protocol.Hash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	drop := false
	n.withRooms(func(rs *trust.Rooms) {
		i, ok := rs.Room(room, n.now())
		if drop = ok && i.Mine == trust.StandingNone; drop {
			rs.ForgetRoom(room)
			delete(n.rooms.sets, room)
		}
	})
	if !drop {
		return
	}
	n.refreshAdmitted()
	if err := n.shred(protocol.RoomChannel(room).Tag()); err != nil {
		n.log.Warn("forgetting a room that is nothing to this team", "room", room.Short(), "err", err)
	}
}

func gaveUpNote(room protocol.Hash) string { return "gave up " + room.String() }

// gaveUp returns when people of this team last gave a room up; zero: never.
func (n *Node) gaveUp(room protocol.Hash) time.Time {
	b, err := n.st.Note(gaveUpNote(room))
	if err != nil || len(b) != 8 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
}

// circle is what the node gives to and takes from peers that share rooms with it: the roomsync.Backend.
type circle struct{ n *Node }

var _ roomsync.Backend = circle{}

// Admits implements roomsync.Backend.
func (c circle) Admits(p peer.ID) bool { return c.n.admits(p) }

// Rooms implements roomsync.Backend.
func (c circle) Rooms(p peer.ID) []roomsync.Room {
	n := c.n
	n.mu.RLock()
	defer n.mu.RUnlock()
	team := n.admitted[p].team
	var out []roomsync.Room
	for id, s := range n.channelsKnown.rooms {
		if s.Shares[team] > trust.ShareNothing || testOnlyMayHave != nil && testOnlyMayHave(team, protocol.RoomChannel(id)) {
			out = append(out, roomsync.Room{ID: id, Digest: n.roomSet(id, team).digest})
		}
	}
	slices.SortFunc(out, func(a, b roomsync.Room) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out[:min(len(out), roomsync.MaxRooms)]
}

// Records implements roomsync.Backend.
func (c circle) Records(p peer.ID, room protocol.Hash) []roomsync.Record {
	n := c.n
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.roomSet(room, n.admitted[p].team).records
}

// Held implements roomsync.Backend.
func (c circle) Held(room protocol.Hash) []protocol.Hash {
	n := c.n
	n.mu.RLock()
	defer n.mu.RUnlock()
	n.rooms.mu.Lock()
	defer n.rooms.mu.Unlock()
	var out []protocol.Hash
	for _, r := range n.rooms.whole(room).records {
		out = append(out, r.Sum)
	}
	return out
}

// roomSet returns what a team may be given of a room now. n.mu is held for reading.
func (n *Node) roomSet(room protocol.Hash, team protocol.TeamID) *roomSet {
	t := &n.rooms
	t.mu.Lock()
	defer t.mu.Unlock()
	now := n.now()
	if t.waits(room) {
		return &roomSet{}
	}
	if s := n.channelsKnown.rooms[room]; s.Shares[team] == trust.ShareAll && t.ledger.ShareOf(room, team, now) == trust.ShareAll && s.Teams[n.team] != trust.StandingLeft {
		return t.whole(room)
	}
	return newRoomSet(t.ledger.RecordsFor(room, team, now))
}

// whole returns all records of a room. The lock is held.
func (t *roomTable) whole(room protocol.Hash) *roomSet {
	rev := t.ledger.Revision(room)
	s := t.sets[room]
	if s == nil || s.revision != rev {
		s = newRoomSet(t.ledger.RoomRecords(room))
		s.revision = rev
		t.sets[room] = s
	}
	return s
}

func newRoomSet(es []*protocol.Envelope) *roomSet {
	s := &roomSet{}
	for _, e := range es {
		raw := e.Encode()
		s.records = append(s.records, roomsync.Record{ID: e.ID(), Sum: roomsync.Sum(raw), Raw: raw})
	}
	s.digest = roomsync.Digest(s.records)
	return s
}

// Take implements roomsync.Backend.
func (c circle) Take(_ context.Context, p peer.ID, room protocol.Hash, raws [][]byte) error {
	team, _ := c.n.peerState(p)
	return c.n.takeRoom(team, p, room, raws)
}

// takeRoom takes in what a team gave of a room. Who is in no room with this node is told nothing by what is refused.
func (n *Node) takeRoom(team protocol.TeamID, p peer.ID, room protocol.Hash, raws [][]byte) error {
	var es []*protocol.Envelope
	for _, raw := range raws {
		e, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
		if err != nil {
			return fmt.Errorf("%w: %w", roomsync.ErrRefused, err)
		}
		es = append(es, e)
	}
	n.mu.RLock()
	shares := n.channelsKnown.rooms[room].Shares[team] > trust.ShareNothing
	n.mu.RUnlock()
	if !shares { // verifying what it gives is all that it can cost
		for i := range es {
			if !n.handed.take(p.String(), n.now()) {
				es = es[:i]
				break
			}
		}
	}
	_, known := n.knownRoom(room)
	if !known {
		from := team
		if team == byHand {
			from = protocol.TeamID{}
		}
		kept := n.ring.HasAudience(protocol.RoomChannel(room).Tag()) // of a room that is only lost from memory, as by a damaged record
		if err := n.invite(room, from, es); err != nil {
			return nil
		}
		if !kept {
			defer n.forgetUninvited(room)
		}
	}
	slices.SortStableFunc(es, func(a, b *protocol.Envelope) int { return cmp.Compare(builtOn(room, a), builtOn(room, b)) })
	for {
		var later []*protocol.Envelope
		progress := false
		for chunk := range slices.Chunk(es, takenTogether) { // verifying takes its time: others get the locks in between
			news, wait, err := n.takeRoomRecords(room, team, p, chunk)
			later, progress = append(later, wait...), progress || len(news) > 0
			switch {
			case errors.Is(err, errKeeping):
				return err
			case err != nil && shares && blames(err):
				return fmt.Errorf("%w: %w", roomsync.ErrRefused, err)
			case err != nil:
				n.log.Debug("records of a room were not taken in", "room", room.Short(), "team", team.Short(), "err", err)
			}
		}
		if es = later; !progress || len(es) == 0 {
			n.noteUnjudged(room, p, len(es) > 0)
			return nil
		}
	}
}

// noteUnjudged notes whether a peer gave something of a room that cannot be judged yet, for want of identity records: until it can be,
// this node does not have all that the peer has.
func (n *Node) noteUnjudged(room protocol.Hash, p peer.ID, some bool) {
	if p == "" {
		return
	}
	t := &n.rooms
	t.mu.Lock()
	if some {
		t.unjudged[roomPeer{room, p}] = true
	} else {
		delete(t.unjudged, roomPeer{room, p})
	}
	t.mu.Unlock()
	if some && n.engine != nil {
		n.engine.PeerReady(p) // it may have these records
	}
}

// builtOn orders records so that most come after what they build on.
func builtOn(room protocol.Hash, e *protocol.Envelope) int {
	if e.ID() == room {
		return -1
	}
	return slices.Index([]protocol.Type{protocol.TypeCharter, protocol.TypeApprove, protocol.TypeAdopt, protocol.TypeVouch, protocol.TypeAccept, protocol.TypeMemberCard,
		protocol.TypeObjection, protocol.TypeHold, protocol.TypeLeave, protocol.TypeRefound, protocol.TypeEpoch}, e.Type)
}

// takenTogether bounds the records that are verified while nothing else is decided.
const takenTogether = 32

func (n *Node) knownRoom(room protocol.Hash) (i trust.RoomInfo, ok bool) {
	n.askRooms(func(rs *trust.Rooms) { i, ok = rs.Room(room, n.now()) })
	return i, ok
}

// Compared implements roomsync.Backend.
func (c circle) Compared(p peer.ID, room protocol.Hash) {
	n := c.n
	n.rooms.mu.Lock()
	some := n.rooms.unjudged[roomPeer{room, p}]
	delete(n.rooms.unjudged, roomPeer{room, p}) // it is noted again if it is given again
	n.rooms.mu.Unlock()
	if some {
		return
	}
	team, _ := n.peerState(p)
	n.met(room, team)
}

// met notes that this node has all that a team has of a room.
func (n *Node) met(room protocol.Hash, team protocol.TeamID) {
	now := n.now()
	n.mu.RLock()
	t := &n.rooms
	t.mu.Lock()
	if _, ok := t.ledger.Room(room, now); !ok {
		t.mu.Unlock()
		n.mu.RUnlock()
		return
	}
	t.ledger.Heard(room, team, now)
	if t.met[room] == nil {
		t.met[room] = map[protocol.TeamID]time.Time{}
	}
	_, before := t.met[room][team]
	t.met[room][team] = now
	var note []byte
	if !before || now.Sub(t.kept[room]) > metEvery {
		t.kept[room], note = now, encodeMet(t.met[room])
	}
	t.mu.Unlock()
	n.mu.RUnlock()
	n.metAt.notify()
	if note != nil {
		if err := n.st.PutRoomNote(room, metNote, note); err != nil {
			n.log.Warn("noting with whom a room was compared", "room", room.Short(), "err", err)
		}
	}
}

// roomPeers returns the connected nodes of the teams that have at least the share of a room.
func (n *Node) roomPeers(room protocol.Hash, share trust.Share) []peer.ID {
	if n.host == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.channelsKnown.rooms[room]
	return slices.DeleteFunc(n.host.Network().Peers(), func(p peer.ID) bool {
		a, ok := n.admitted[p]
		return !ok || s.Shares[a.team] < share
	})
}

// tellRoom hands fresh records to all who may have them. What does not arrive so is found by comparing.
func (n *Node) tellRoom(room protocol.Hash, es []*protocol.Envelope) {
	if n.circle == nil || len(es) == 0 {
		return
	}
	for _, p := range n.roomPeers(room, trust.ShareOwn) {
		n.mu.RLock()
		share := n.channelsKnown.rooms[room].Shares[n.admitted[p].team]
		n.mu.RUnlock()
		if share < trust.ShareAll {
			n.circle.PeerReady(p) // it gets what it may have
			continue
		}
		var raws [][]byte
		for _, e := range es {
			raws = append(raws, e.Encode())
		}
		n.circle.Tell(p, room, raws)
	}
}

// AddToRoom takes in what officers of this team signed. It is kept, takes effect here at once, and is told to the others as soon as
// they can be reached. Whether this team may sign it now is asked again: a vote that breaks the rules would be proof against it.
func (n *Node) AddToRoom(ctx context.Context, env *protocol.Envelope) (RoomView, error) {
	room, err := trust.RoomOfRecord(env)
	if err != nil {
		return RoomView{}, &RefusedError{Rule: "room-record", Reason: err.Error(), Err: err, Hint: "nothing was changed"}
	}
	if err := n.maySignVote(ctx, room, env.Type); err != nil {
		return RoomView{}, err
	}
	news, _, err := n.takeRoomRecords(room, protocol.TeamID{}, "", []*protocol.Envelope{env})
	if no := (*RefusedError)(nil); errors.Is(err, errKeeping) || errors.As(err, &no) {
		return RoomView{}, err
	}
	if err != nil {
		return RoomView{}, &RefusedError{Rule: "room-record", Reason: err.Error(), Err: err, Hint: "nothing was changed"}
	}
	n.tellRoom(room, news)
	if l, err := protocol.Decode[protocol.Leave](env); err == nil && l.Team == n.team {
		if err := n.dropKeys(room); err != nil {
			return RoomView{}, err
		}
	}
	if err := n.rejudge(); err != nil {
		return RoomView{}, err
	}
	return n.Room(room.String())
}

// maySignVote keeps officers from voting while this node may lack a vote that they gave: after a backup was restored, the others
// still have it, and a second one in its place would be proof against the team. So it has to have heard of two members since its start, or of half
// of the others where they are fewer than four.
func (n *Node) maySignVote(ctx context.Context, room protocol.Hash, t protocol.Type) error {
	if t != protocol.TypeHold && t != protocol.TypeApprove && t != protocol.TypeAdopt && t != protocol.TypeMemberCard && t != protocol.TypeCharter {
		return nil
	}
	i, known := n.knownRoom(room)
	if !known || i.State == trust.RoomFounding {
		return nil
	}
	if why := n.signer.why(); why != "" {
		return &RefusedError{Rule: "signing-stopped", Reason: why, Hint: "when the node has caught up, certify a new node key: entente node replace"}
	}
	others := 0
	for _, m := range i.Members {
		if m.Team != n.team && m.Status == trust.StandingMember {
			others++
		}
	}
	heard := func() bool {
		of := 0
		n.askRooms(func(*trust.Rooms) {
			for t, at := range n.rooms.met[room] {
				if i.Standing(t) == trust.StandingMember && t != n.team && !at.Before(n.startedAt) {
					of++
				}
			}
		})
		return of >= min(2, (others+1)/2)
	}
	if n.meet(ctx, room, heard) {
		return nil
	}
	return &RefusedError{Rule: "not-fresh", Reason: "this node has heard of too few members of the room since its start: it might lack a vote that this team gave before",
		Hint: hints["not-fresh"]}
}
