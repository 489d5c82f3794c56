package trust

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
)

// Limits of Rooms.
const (
	MaxRooms       = 256   // rooms; beyond, none is taken in
	MaxRoomRecords = 16384 // records of one room, epochs among them

	// Of these, so that nobody who floods a room keeps its stewards from deciding:
	maxStewardShare = 256  // signed by one steward alone
	maxMemberShare  = 128  // signed by one other team alone
	sureShare       = 4    // of these, those that have a place whatever others signed; of who is asked in, all
	maxMemberWords  = 3072 // signed by others than stewards, of all of them
	maxEpochShare   = 256  // epochs of one team, the newest
	maxEpochs       = 4096 // of all teams; the team with most gives way
)

// ErrNoRoom is wrapped where no room has the id, prefix or name.
var ErrNoRoom = errors.New("no such room")

// Rooms is what my team knows of the rooms that it is in, or is asked into: verified records beside a Book, which says whose
// officers and nodes are whose. It is not safe for concurrent use, not even to ask: what follows from the records is kept.
//
// Everything that it says of a room follows from the set of records, those of the teams in the Book, and now; not from their
// order.
type Rooms struct {
	book    *Book
	rooms   map[protocol.Hash]*room
	loading bool // what is taken in was taken in before
}

// A room is what is kept of one.
type room struct {
	id       protocol.Hash
	records  map[protocol.Hash]*roomRecord
	epochs   map[protocol.Hash]*epoch
	heard    map[protocol.TeamID]time.Time
	revision uint64                   // counts changes of what RoomRecords returns
	passed   map[protocol.Hash]bool   // ids of those of records that are Refounds, by which other rooms are judged
	ranks    map[protocol.TeamID]rank // as of the last look
	counts   map[protocol.Hash]bool   // charters that count, or counted, likewise
	drawn    *drawn                   // nil: there are other records since
	roll     *roll                    // nil: likewise, or other epochs
}

func newRoom(id protocol.Hash) *room {
	return &room{id: id, records: map[protocol.Hash]*roomRecord{}, epochs: map[protocol.Hash]*epoch{}, heard: map[protocol.TeamID]time.Time{},
		passed: map[protocol.Hash]bool{}}
}

// drawn is what follows from records and root logs alone, kept until there are others.
type drawn struct {
	logs  uint64 // Book.logs
	facts *roomFacts
	chain *roomChain
}

// A rank is what a team is to a room, by charters and cards that count or counted. Nothing is taken in of who has none.
type rank uint8

const (
	noRank rank = iota
	asked       // in by a member's word
	seated      // a member, or one once
	voting      // a steward, or one once
)

// noteRanks notes what teams are to the room, as far as its records say by now.
func (rm *room) noteRanks() {
	rm.ranks, rm.counts = map[protocol.TeamID]rank{}, map[protocol.Hash]bool{}
	if n := rm.records[rm.id]; n != nil {
		c := n.rec.(*protocol.Charter)
		for _, s := range c.Members {
			rm.ranks[s.Team] = seated
		}
		for _, t := range c.Stewards {
			rm.ranks[t] = voting
		}
	}
	for _, v := range rm.drawn.chain.versions {
		rm.counts[v.id] = true
		for t, l := range v.lines {
			if l.status() != 0 {
				rm.ranks[t] = max(rm.ranks[t], seated)
			}
		}
		for _, t := range v.Stewards {
			rm.ranks[t] = voting
		}
	}
	for _, w := range rm.drawn.facts.vouches {
		if rm.ranks[w.rec.Team] >= seated {
			rm.ranks[w.rec.Applicant] = max(rm.ranks[w.rec.Applicant], asked)
		}
	}
}

// rankOf returns what a team is to a room.
func (rs *Rooms) rankOf(rm *room, t protocol.TeamID, now time.Time) rank {
	if rm.ranks[t] < seated && rm.drawn == nil {
		rs.at(rm.id, now)
	}
	return rm.ranks[t]
}

// mayCome checks that a verified record is of somebody who has a place in the room, or under a charter that counts. What is not may
// be so later.
func (rs *Rooms) mayCome(rm *room, n *roomRecord, now time.Time) error {
	if rs.loading || rs.rooms[rm.id] == nil {
		return nil
	}
	var under protocol.Hash
	switch r := n.rec.(type) {
	case *protocol.Charter:
		under = r.Prev
	case *protocol.MemberCard:
		under = r.Charter
	case *protocol.Accept:
		if rs.rankOf(rm, n.team, now) == noRank {
			return fmt.Errorf("%w: what makes the team a member, or asks it in", ErrMissing)
		}
		return nil
	default:
		if rs.rankOf(rm, n.team, now) < seated {
			return fmt.Errorf("%w: what makes the team a member", ErrMissing)
		}
		return nil
	}
	if !under.IsZero() && !rm.counts[under] && rm.drawn == nil {
		rs.at(rm.id, now)
	}
	if !under.IsZero() && !rm.counts[under] {
		return fmt.Errorf("%w: that the charter under which it is counts", ErrMissing)
	}
	return nil
}

// record returns a record that is kept; nil if it is not, or the room is not known.
func (rm *room) record(id protocol.Hash) *roomRecord {
	if rm == nil {
		return nil
	}
	return rm.records[id]
}

// changed notes that there is another record of the room, or one less: what followed from them follows no more.
func (rs *Rooms) changed(rm *room, n *roomRecord) {
	rm.drawn, rm.roll = nil, nil
	rm.revision++
	if r, ok := n.rec.(*protocol.Refound); ok {
		rm.passed[n.id] = true
		if next := rs.rooms[r.New]; next != nil {
			next.drawn, next.roll = nil, nil
		}
	}
}

// A roomRecord is one that officers signed.
type roomRecord struct {
	id   protocol.Hash
	env  *protocol.Envelope
	rec  protocol.Record
	team protocol.TeamID // whose officers have to sign; zero for charters and cards, which several teams sign
	root protocol.Hash   // under which; zero for these
	// signers are the officers whose signatures were verified, of those who might count, by team.
	signers map[protocol.TeamID][]protocol.KID
	seen    time.Time // when it came first; only what my own team does may depend on it
}

// NewRooms returns an empty ledger beside the book.
func NewRooms(book *Book) *Rooms { return &Rooms{book: book, rooms: map[protocol.Hash]*room{}} }

func (rs *Rooms) self() protocol.TeamID { return rs.book.self }

// rootOf returns the head of a team's root log.
func (rs *Rooms) rootOf(t protocol.TeamID) (protocol.Hash, bool) {
	if known := rs.book.teams[t]; known != nil && known.head != nil {
		return known.head.id, true
	}
	return protocol.Hash{}, false
}

// A RoomResult is what became of one record.
type RoomResult struct {
	Added    bool               // there is something new to keep: Envelope
	ID       protocol.Hash      // of the record
	Room     protocol.Hash      // which it is of
	Envelope *protocol.Envelope // what to keep under ID: the record with all signatures that may count
	Drop     []protocol.Hash    // records that are kept no more
	Err      error
}

// IsRoomRecord reports whether AddRoomRecord takes records of the type.
func IsRoomRecord(t protocol.Type) bool {
	return slices.Contains([]protocol.Type{protocol.TypeCharter, protocol.TypeApprove, protocol.TypeAdopt, protocol.TypeVouch, protocol.TypeAccept,
		protocol.TypeObjection, protocol.TypeMemberCard, protocol.TypeHold, protocol.TypeLeave, protocol.TypeRefound, protocol.TypeEpoch}, t)
}

// AddRoomRecord verifies a record of a room and takes it in. Grants are not for it: see MayGrant and CheckGrant.
//
// Added is false without an error for what is known. An error means: refused, nothing changed; it wraps what the errors of
// Book.Add wrap. The first charter of a room comes before all else; any other record of a room that is not known wraps
// ErrMissing. That a record is taken in does not mean that it counts.
func (rs *Rooms) AddRoomRecord(e *protocol.Envelope, now time.Time) RoomResult {
	r := RoomResult{ID: e.ID(), Envelope: e}
	if e.Type == protocol.TypeEpoch {
		r.Room, r.Added, r.Drop, r.Err = rs.addEpoch(e, now)
		return r
	}
	rec, err := readRoomRecord(e)
	if err != nil {
		r.Err = err
		return r
	}
	r.Room = roomOf(rec, r.ID)
	rm := rs.rooms[r.Room]
	if old := rm.record(r.ID); old != nil && !slices.ContainsFunc(e.Sigs, func(s protocol.Signature) bool { return !hasSig(old.env, s.KID) }) {
		r.Envelope = old.env // verified before
		return r
	}
	if rm == nil {
		if r.Room != r.ID {
			r.Err = fmt.Errorf("%w: the first charter of room %s", ErrMissing, r.Room.Short())
			return r
		}
		if len(rs.rooms) >= MaxRooms {
			r.Err = fmt.Errorf("%w: %d rooms are known: leave some", ErrFull, MaxRooms)
			return r
		}
		rm = newRoom(r.ID)
	}
	n := &roomRecord{id: r.ID, env: e, rec: rec, seen: now}
	if n.team, n.root = signerOf(rec); n.team.IsZero() {
		err = rs.verifyMany(n, rm)
	} else {
		err = rs.verifyOne(n)
	}
	if err != nil {
		r.Err = fmt.Errorf("room %s: %w", r.Room.Short(), err)
		return r
	}
	if err := rs.mayCome(rm, n, now); err != nil {
		r.Err = fmt.Errorf("room %s: %w", r.Room.Short(), err)
		return r
	}
	return rs.take(rm, n, r)
}

// take takes in what was verified, or merges it with what is known.
func (rs *Rooms) take(rm *room, n *roomRecord, r RoomResult) RoomResult {
	old := rm.records[r.ID]
	switch {
	case old != nil && !old.gains(n):
		r.Envelope = old.env
		return r
	case old != nil:
		n.seen = old.seen
		n.merge(old)
	case rs.full(rm, n):
		r.Err = fmt.Errorf("%w: room %s has too many records", ErrFull, r.Room.Short())
		return r
	}
	rm.records[r.ID], rs.rooms[r.Room] = n, rm
	rs.changed(rm, n)
	r.Added, r.Envelope = true, n.env
	return r
}

// LoadRooms takes in the records that this node's own store kept, or that came together, in any order, after the Book has
// those of the teams. It returns an error for each record that was refused.
func (rs *Rooms) LoadRooms(es []*protocol.Envelope, now time.Time) (errs []error) {
	rs.loading = true
	defer func() { rs.loading = false }()
	todo := slices.Clone(es)
	for progress := true; progress && len(todo) > 0; {
		progress, errs = false, nil
		var missing []*protocol.Envelope
		for _, e := range todo {
			switch err := rs.AddRoomRecord(e, now).Err; {
			case errors.Is(err, ErrMissing):
				missing, errs = append(missing, e), append(errs, err)
			case err != nil:
				errs = append(errs, err)
			default:
				progress = true
			}
		}
		if progress {
			todo = missing
		}
	}
	return errs
}

// depth returns the number of the root record under which the officers' signatures suffice for an act of the team, the newest
// that does; -1 if none that counts does.
func (rs *Rooms) depth(team protocol.TeamID, named protocol.Hash, signers []protocol.KID, few bool) int {
	t := rs.book.teams[team]
	if t == nil {
		return -1
	}
	best := -1
	for _, r := range t.roots {
		if !t.path[r.id] || !named.IsZero() && r.id != named {
			continue
		}
		if few && len(signers) > 0 || r.enough(protocol.ActVote, signers) {
			best = max(best, int(r.N))
		}
	}
	return best
}

// depthOf returns from which root record on officers of the team count, if a record names one: where that is on a branch that
// was given up, from where the branch left the path.
func (rs *Rooms) depthOf(team protocol.TeamID, id protocol.Hash) int {
	t := rs.book.teams[team]
	if t == nil {
		return 0
	}
	r := t.roots[id]
	for r != nil && !t.path[r.id] {
		r = t.roots[r.Prev]
	}
	if r == nil {
		return 0
	}
	return int(r.N)
}

// facts returns what is known of a room, each record judged by the root logs as they are now.
func (rs *Rooms) facts(rm *room) *roomFacts {
	f := &roomFacts{room: rm.id, vouches: map[protocol.Hash]fact[protocol.Vouch]{}, accepts: map[protocol.Hash]fact[protocol.Accept]{}, depthOf: rs.depthOf}
	for _, n := range rm.records {
		if !n.team.IsZero() {
			rs.putFact(f, n, rs.depth(n.team, n.root, n.signers[n.team], fewSuffice(n.rec)))
			continue
		}
		votes := map[protocol.TeamID]int{}
		for t, ks := range n.signers {
			if d := rs.depth(t, protocol.Hash{}, ks, false); d >= 0 {
				votes[t] = d
			}
		}
		switch r := n.rec.(type) {
		case *protocol.Charter:
			f.charters = append(f.charters, charterFact{n.id, r, votes})
		case *protocol.MemberCard:
			f.cards = append(f.cards, &roomCard{id: n.id, MemberCard: r, votes: votes})
		}
	}
	for _, o := range rs.rooms {
		if o == rm {
			continue
		}
		for id := range o.passed {
			if n := o.records[id]; n.rec.(*protocol.Refound).New == rm.id {
				rs.putFact(f, n, rs.depth(n.team, n.root, n.signers[n.team], false))
			}
		}
	}
	f.index()
	return f
}

func (rs *Rooms) putFact(f *roomFacts, n *roomRecord, depth int) {
	switch r := n.rec.(type) {
	case *protocol.Approve:
		f.approves = append(f.approves, fact[protocol.Approve]{n.id, r, depth})
	case *protocol.Adopt:
		f.adopts = append(f.adopts, fact[protocol.Adopt]{n.id, r, depth})
	case *protocol.Vouch:
		f.vouches[n.id] = fact[protocol.Vouch]{n.id, r, depth}
	case *protocol.Accept:
		f.accepts[n.id] = fact[protocol.Accept]{n.id, r, depth}
	case *protocol.Objection:
		f.objections = append(f.objections, fact[protocol.Objection]{n.id, r, depth})
	case *protocol.Hold:
		f.holds = append(f.holds, fact[protocol.Hold]{n.id, r, depth})
	case *protocol.Leave:
		f.leaves = append(f.leaves, fact[protocol.Leave]{n.id, r, depth})
	case *protocol.Refound:
		f.refounds = append(f.refounds, fact[protocol.Refound]{n.id, r, depth})
	}
}

// at returns the room at the time; nil if it is not known.
func (rs *Rooms) at(id protocol.Hash, now time.Time) *roomAt {
	rm := rs.rooms[id]
	if rm == nil {
		return nil
	}
	if d := rm.drawn; d == nil || d.logs != rs.book.logs {
		f := rs.facts(rm)
		rm.drawn, rm.roll = &drawn{rs.book.logs, f, f.chain()}, nil
		rm.noteRanks()
	}
	r := &roomAt{roomFacts: rm.drawn.facts, roomChain: rm.drawn.chain, now: now, self: rs.self(), call: rs.book.call, heard: rm.heard, records: rm.records,
		waits: func(n *roomRecord) bool { return rs.waits(n, now) }}
	if r.head() != nil && !rm.roll.current(rs.book.generation, now) {
		rm.roll = rs.callRoll(r, rm.epochs)
	}
	r.roll = rm.roll
	return r
}

// Room returns what is known of a room at the time now.
func (rs *Rooms) Room(id protocol.Hash, now time.Time) (RoomInfo, bool) {
	r := rs.at(id, now)
	if r == nil {
		return RoomInfo{}, false
	}
	return r.info(), true
}

// List returns all rooms: by name, then id.
func (rs *Rooms) List(now time.Time) []RoomInfo {
	var out []RoomInfo
	for id := range rs.rooms {
		i, _ := rs.Room(id, now)
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b RoomInfo) int {
		if c := strings.Compare(foldName(a.Name), foldName(b.Name)); c != 0 {
			return c
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return out
}

// signed reports whether a team has signed the charter of a room that is being founded.
func (i *RoomInfo) signed(t protocol.TeamID) bool {
	return len(i.Proposals) > 0 && slices.Contains(i.Proposals[0].Votes, t)
}

// Find returns the room of a name, in any case, or of an id or its first digits. A room in which my team is goes before those into
// which it is asked. Errors wrap ErrNoRoom, or say among which to
// choose by their ids: they never carry the name of a room.
func (rs *Rooms) Find(query string, now time.Time) (RoomInfo, error) {
	q := foldName(query)
	if id, err := protocol.ParseHash(q); err == nil && rs.rooms[id] != nil {
		i, _ := rs.Room(id, now)
		return i, nil
	}
	var fit, invited []RoomInfo
	for _, i := range rs.List(now) {
		switch id := i.ID.String(); {
		case foldName(i.Name) != q && (len(q) < minPrefix || !strings.HasPrefix(id, q)):
		case i.Mine == StandingProposed && i.State != RoomFounding || i.Mine == StandingNone || i.State == RoomFounding && !i.signed(rs.self()):
			invited = append(invited, i) // others gave it its name
		default:
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		fit = invited
	}
	switch len(fit) {
	case 0:
		return RoomInfo{}, fmt.Errorf("%w: it is neither the name of a room nor the first %d or more digits of its id", ErrNoRoom, minPrefix)
	case 1:
		return fit[0], nil
	}
	var ids []string
	for _, i := range fit[:min(len(fit), 8)] {
		ids = append(ids, fmt.Sprintf("%s (%s)", i.ID.Short(), i.State))
	}
	return RoomInfo{}, fmt.Errorf("that fits %d rooms: give more digits of the id of one of %s", len(fit), strings.Join(ids, ", "))
}

// Revision returns a number that is another one whenever RoomRecords may return something else.
func (rs *Rooms) Revision(id protocol.Hash) uint64 {
	if rm := rs.rooms[id]; rm != nil {
		return rm.revision
	}
	return 0
}

// RoomRecords returns all records of a room that are kept, epochs included, ascending by id: what a member is given that lacks
// them.
func (rs *Rooms) RoomRecords(id protocol.Hash) []*protocol.Envelope {
	rm := rs.rooms[id]
	if rm == nil {
		return nil
	}
	var out []*protocol.Envelope
	for _, n := range rm.records {
		out = append(out, n.env)
	}
	for _, e := range rm.epochs {
		out = append(out, e.env)
	}
	slices.SortFunc(out, func(a, b *protocol.Envelope) int {
		p, q := a.ID(), b.ID()
		return bytes.Compare(p[:], q[:])
	})
	return out
}

// RoomEnvelope returns a record that is kept, with all signatures: charters and cards are signed by one steward after another.
func (rs *Rooms) RoomEnvelope(room, id protocol.Hash) (*protocol.Envelope, bool) {
	rm := rs.rooms[room]
	if rm == nil || rm.records[id] == nil {
		return nil, false
	}
	e := *rm.records[id].env
	return &e, true
}

// ForgetRoom drops all that is known of a room and returns the ids of the records that were kept.
func (rs *Rooms) ForgetRoom(id protocol.Hash) (ids []protocol.Hash) {
	for _, e := range rs.RoomRecords(id) {
		ids = append(ids, e.ID())
	}
	if rm := rs.rooms[id]; rm != nil {
		for p := range rm.passed {
			rs.changed(rm, rm.records[p])
		}
	}
	delete(rs.rooms, id)
	return ids
}

// Saw says when a record that was kept came first: LoadRooms takes it for new.
func (rs *Rooms) Saw(room, id protocol.Hash, at time.Time) {
	if rm := rs.rooms[room]; rm != nil && rm.records[id] != nil && at.Before(rm.records[id].seen) {
		rm.records[id].seen = at
	}
}

// Heard notes when a node of the team last gave a sign of life in the room. Only the newest counts; nothing of it is kept.
func (rs *Rooms) Heard(room protocol.Hash, t protocol.TeamID, at time.Time) {
	if rm := rs.rooms[room]; rm != nil && at.After(rm.heard[t]) {
		rm.heard[t] = at
	}
}
