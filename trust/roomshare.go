package trust

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A Share is how much of a room's records a team may be given. Greater is more.
type Share uint8

// The shares.
const (
	ShareNothing Share = iota
	ShareOwn           // what is about the team itself: of who was removed or left
	ShareTerms         // besides, the charters and how they were decided: of who is asked in, held, suspended or lapsed
	ShareAll           // of members, and of stewards whatever their standing, since they vote
)

// ShareOf returns what of a room's records a team may be given now. Of a team that is blocked here, nothing; and once my own team
// is out, nothing but its own word that it is.
func (rs *Rooms) ShareOf(room protocol.Hash, team protocol.TeamID, now time.Time) Share {
	r := rs.at(room, now)
	if r == nil || team == rs.self() {
		return ShareNothing
	}
	if t := rs.book.teams[team]; t != nil && t.isBlocked() {
		return ShareNothing
	}
	return r.share(team)
}

func (r *roomAt) share(team protocol.TeamID) Share {
	v := r.head()
	if v == nil {
		i := slices.IndexFunc(r.charters, func(c charterFact) bool { return c.id == r.room })
		if i < 0 {
			return ShareNothing
		}
		if _, ok := r.charters[i].Seat(team); ok {
			return ShareAll
		}
		return ShareNothing
	}
	switch s := r.standingOf(v, team); {
	case s == StandingRemoved || s == StandingLeft:
		return ShareOwn
	case s == StandingMember || v.IsSteward(team):
		return ShareAll
	case s == StandingProposed && v.lines[team].status() != 0: // a founding member that has not accepted
		return ShareAll
	case s == StandingNone:
		return ShareNothing
	}
	return ShareTerms
}

// SharedRooms returns the rooms of which the team may be given records now, ascending.
func (rs *Rooms) SharedRooms(team protocol.TeamID, now time.Time) []protocol.Hash {
	var out []protocol.Hash
	for id := range rs.rooms {
		if rs.ShareOf(id, team, now) > ShareNothing {
			out = append(out, id)
		}
	}
	return ascending(out)
}

// RecordsFor returns the records of a room that the team may be given now, ascending by id, epochs among them.
func (rs *Rooms) RecordsFor(room protocol.Hash, team protocol.TeamID, now time.Time) []*protocol.Envelope {
	share := rs.ShareOf(room, team, now)
	if share == ShareNothing {
		return nil
	}
	rm, r := rs.rooms[room], rs.at(room, now)
	if out := rs.ownWord(rm, r); out != nil {
		return out
	}
	if share == ShareAll {
		return rs.RoomRecords(room)
	}
	var out []*protocol.Envelope
	for _, n := range rm.records {
		if concerns(n.rec, team) || share >= ShareTerms && r.ofChain(n) {
			out = append(out, n.env)
		}
	}
	return byID(out)
}

// ownWord returns my team's word that it left, if that is how it stands; nil otherwise.
func (rs *Rooms) ownWord(rm *room, r *roomAt) (out []*protocol.Envelope) {
	v := r.head()
	if v == nil || r.standingOf(v, rs.self()) != StandingLeft {
		return nil
	}
	for _, n := range rm.records {
		if l, ok := n.rec.(*protocol.Leave); ok && l.Team == rs.self() {
			out = append(out, n.env)
		}
	}
	return byID(out)
}

func byID(es []*protocol.Envelope) []*protocol.Envelope {
	slices.SortFunc(es, func(a, b *protocol.Envelope) int {
		p, q := a.ID(), b.ID()
		return bytes.Compare(p[:], q[:])
	})
	return es
}

// concerns reports whether a record is about the team, or its own.
func concerns(rec protocol.Record, team protocol.TeamID) bool {
	switch r := rec.(type) {
	case *protocol.Vouch:
		return r.Applicant == team || r.Team == team
	case *protocol.MemberCard:
		return r.Subject == team
	case *protocol.Hold:
		return r.Subject == team || r.Team == team
	}
	by, _ := signerOf(rec)
	return by == team
}

// ofChain reports whether the record is one of the charters that count, or one by which they came to.
func (r *roomAt) ofChain(n *roomRecord) bool {
	counts := func(id protocol.Hash) bool {
		return slices.ContainsFunc(r.versions, func(v *roomVersion) bool { return v.id == id })
	}
	switch rec := n.rec.(type) {
	case *protocol.Charter:
		return counts(n.id)
	case *protocol.Approve:
		return counts(rec.Charter)
	case *protocol.Adopt:
		return counts(rec.Charter)
	case *protocol.Accept:
		return counts(rec.Charter) && slices.ContainsFunc(r.versions, func(v *roomVersion) bool { return v.IsSteward(rec.Team) })
	}
	return false
}

// ErrUninvited says that a room is nothing to my team.
var ErrUninvited = errors.New("the room is nothing to this team")

// CheckInvitation says whether records of a room that is not known here are a reason to take it in: its first charter has a seat for my
// team, or with it comes a word of somebody who vouches for my team. If people here gave the room up before, only a word that is
// newer counts. Who tells of it has a seat in it or vouches; zero: it came by hand. It verifies no signature. The error wraps ErrUninvited.
func (rs *Rooms) CheckInvitation(id protocol.Hash, from protocol.TeamID, es []*protocol.Envelope, gaveUp time.Time) error {
	charter, asked, part := false, false, from.IsZero()
	for _, e := range es {
		rec, err := readRoomRecord(e)
		if err != nil || roomOf(rec, e.ID()) != id {
			continue
		}
		switch r := rec.(type) {
		case *protocol.Charter:
			if e.ID() == id {
				charter = true
				_, seated := r.Seat(rs.self())
				asked = asked || seated && gaveUp.IsZero()
				_, seated = r.Seat(from)
				part = part || seated
			}
		case *protocol.Vouch:
			part = part || r.Team == from
			asked = asked || r.Applicant == rs.self() && (gaveUp.IsZero() || unixTime(r.Issued).After(gaveUp))
		}
	}
	if !charter || !asked || !part {
		return fmt.Errorf("%w: %s", ErrUninvited, id.Short())
	}
	return nil
}

// Standings is how a room and the teams in it stand: what is asked all the time.
type Standings struct {
	State   RoomState
	Teams   map[protocol.TeamID]Standing // who is only in former charters counts as removed
	Shares  map[protocol.TeamID]Share    // of all but my own
	Charter *protocol.Charter            // the one that counts; of a room that is being founded, the first
}

// Standings computes that.
func (rs *Rooms) Standings(room protocol.Hash, now time.Time) (s Standings, ok bool) {
	i, ok := rs.Room(room, now)
	if !ok || i.Charter == nil {
		return s, false
	}
	s = Standings{State: i.State, Teams: map[protocol.TeamID]Standing{}, Shares: map[protocol.TeamID]Share{}, Charter: i.Charter}
	for _, m := range i.Members {
		s.Teams[m.Team] = m.Status
		if m.Team != rs.self() {
			s.Shares[m.Team] = rs.ShareOf(room, m.Team, now)
		}
	}
	for _, v := range rs.at(room, now).versions {
		for t, l := range v.lines {
			if _, ok := s.Teams[t]; !ok && l.status() != 0 {
				s.Teams[t] = StandingRemoved
			}
		}
	}
	return s, true
}

// JudgeMessage says whether a statement that was opened with an epoch of a room is shown to the people of my team: whether its
// author could say it (AcceptMessage), under the terms of the charter that it names. What it refuses is held back, and asked about
// again when more is known.
func (rs *Rooms) JudgeMessage(st *protocol.Statement, feed protocol.FeedID, seq uint64, now time.Time) Decision {
	if d := rs.AcceptMessage(st, feed, seq, now); !d.Allowed {
		return d
	}
	q := rs.Ask(Receive, st.Label, st.Audience, st.Author, now)
	q.Self = st.Author == rs.self()
	q.Standing = StandingMember // for what it said here, whatever it is now
	for _, v := range rs.at(st.Audience.Room, now).versions {
		if v.id == st.Audience.Charter {
			q.Ceiling = v.Ceiling
		}
	}
	return Decide(q)
}

// RoomOfRecord returns the room that a record of a room is of, without verifying anything.
func RoomOfRecord(e *protocol.Envelope) (protocol.Hash, error) {
	if e.Type == protocol.TypeEpoch {
		p, err := protocol.Decode[protocol.Epoch](e)
		if err != nil {
			return protocol.Hash{}, err
		}
		return p.Room, nil
	}
	rec, err := readRoomRecord(e)
	if err != nil {
		return protocol.Hash{}, err
	}
	return roomOf(rec, e.ID()), nil
}

// Grantable returns the epochs of a room whose identity a node may have now (MayGrant), the newest first.
func (rs *Rooms) Grantable(room protocol.Hash, to protocol.KID, now time.Time) []protocol.Hash {
	rm := rs.rooms[room]
	if rm == nil {
		return nil
	}
	var es []*epoch
	for _, e := range rm.epochs {
		if rs.MayGrant(room, e.id, to, now).Allowed {
			es = append(es, e)
		}
	}
	slices.SortFunc(es, func(a, b *epoch) int {
		return cmp.Or(cmp.Compare(b.Created, a.Created), bytes.Compare(a.id[:], b.id[:]))
	})
	var out []protocol.Hash
	for _, e := range es {
		out = append(out, e.id)
	}
	return out
}

// EpochGrace is for how long after its end the identity of an epoch is kept, for members that were away.
const EpochGrace = 60 * 24 * time.Hour

// EpochOver says whether the identity of an epoch is to be destroyed now: some time after its end, unless the charter lets who joins
// later read what was said in it. Of a room that my team is out of, at once. An epoch that is not known is not over.
func (rs *Rooms) EpochOver(room, id protocol.Hash, now time.Time) bool {
	r := rs.at(room, now)
	if r == nil || rs.rooms[room].epochs[id] == nil || r.head() == nil {
		return false
	}
	v, e := r.head(), rs.rooms[room].epochs[id]
	switch s := r.standingOf(v, rs.self()); {
	case s == StandingRemoved || s == StandingLeft || s == StandingNone:
		return true
	case now.Before(unixTime(e.Until).Add(EpochGrace)):
		return false
	case v.History == protocol.HistoryAll:
		return false
	case v.History == protocol.HistoryDate:
		return e.Until < v.HistoryFrom
	}
	return true
}

// IDs returns the ids of all rooms, ascending.
func (rs *Rooms) IDs() []protocol.Hash {
	var out []protocol.Hash
	for id := range rs.rooms {
		out = append(out, id)
	}
	return ascending(out)
}
