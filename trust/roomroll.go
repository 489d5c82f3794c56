package trust

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A roll is what a room's records and the Book say for a span of time: who is where, who may read, and which epochs may be used.
// A node asks for every message; a roll is called when one of these changed, or a term ended.
type roll struct {
	book        uint64    // Book.generation
	from, until time.Time // it is right from the one until just before the other; no until: for ever

	members     []RoomMember // ascending by team
	readers     []Reader     // ascending by key
	nodes       map[protocol.KID]protocol.TeamID
	cards, held protocol.Hash // digests
	admitted    uint64        // when the newest card was drafted that brought somebody in under the present charter
	founded     uint64        // under the first charter: when the last of its members accepted that do not read
	order       []protocol.KID
	fit         []Usable // the one to use first
}

func (l *roll) current(book uint64, now time.Time) bool {
	return l != nil && l.book == book && !now.Before(l.from) && (l.until.IsZero() || now.Before(l.until))
}

// ends notes that something changes at a time.
func (l *roll) ends(at time.Time) {
	if at.After(l.from) && (l.until.IsZero() || at.Before(l.until)) {
		l.until = at
	}
}

// begins notes that what is dated ahead of our clock is not believed yet.
func (l *roll) begins(issued uint64) {
	at := unixTime(issued).Add(-protocol.MaxClockAhead)
	l.ends(at)
	l.ends(at.Add(1))
}

// member returns where a team stands.
func (l *roll) member(t protocol.TeamID) RoomMember {
	i, ok := slices.BinarySearchFunc(l.members, t, func(m RoomMember, t protocol.TeamID) int { return bytes.Compare(m.Team[:], t[:]) })
	if !ok {
		return RoomMember{Team: t}
	}
	return l.members[i]
}

// callRoll computes the roll of a room that is founded.
func (rs *Rooms) callRoll(r *roomAt, epochs map[protocol.Hash]*epoch) *roll {
	v := r.head()
	l := &roll{book: rs.book.generation, from: r.now, members: r.members(v)}
	for _, x := range v.lines {
		l.ends(unixTime(x.tip().until))
		for _, c := range x.valid {
			if c.admits() && !r.ahead(c.Issued) {
				l.admitted = max(l.admitted, c.Issued)
			} else if c.admits() {
				l.begins(c.Issued)
			}
		}
	}
	for _, h := range r.holds {
		if h.rec.Charter == v.id {
			l.ends(unixTime(h.rec.Until))
			l.begins(h.rec.Issued)
		}
	}
	for _, w := range r.vouches {
		if w.rec.Charter == v.id {
			l.ends(unixTime(w.rec.Expires))
		}
	}
	for _, m := range l.members {
		if t := rs.book.teams[m.Team]; t != nil && t.best() != nil {
			l.ends(unixTime(t.best().Expires))
		}
	}
	for _, e := range epochs {
		l.ends(unixTime(e.Until))
		l.ends(Usable{Epoch: e.Epoch}.lastCall())
		l.begins(e.Created)
	}
	l.cards, l.held = r.digests(v)
	l.readers = rs.readers(r, l.members)
	l.nodes = map[protocol.KID]protocol.TeamID{}
	reads := map[protocol.TeamID]bool{}
	for _, n := range l.readers {
		l.nodes[n.Node], reads[n.Team] = n.Team, true
	}
	for _, f := range v.Members {
		if at := r.bound[f.Team]; v.Version == 1 && !reads[f.Team] {
			if !r.ahead(at) {
				l.founded = max(l.founded, at)
			} else {
				l.begins(at)
			}
		}
	}
	l.order = turns(v, l)
	l.fit = usable(r, l, epochs)
	return l
}

// readers returns the nodes that may read, ascending by key.
func (rs *Rooms) readers(r *roomAt, members []RoomMember) []Reader {
	if len(r.rivals) > 0 || r.head().Closed {
		return nil
	}
	var out []Reader
	for _, m := range members {
		if m.Status != StandingMember || rs.unfit(m.Team, r.now) != "" {
			continue
		}
		for kid, n := range rs.book.teams[m.Team].listed {
			if n.revoked == nil {
				out = append(out, Reader{m.Team, kid})
			}
		}
	}
	slices.SortFunc(out, func(a, b Reader) int {
		return cmp.Or(bytes.Compare(a.Node[:], b.Node[:]), bytes.Compare(a.Team[:], b.Team[:]))
	})
	return out
}

// turns returns the order of EpochOrder.
func turns(v *roomVersion, l *roll) []protocol.KID {
	type turn struct {
		steward bool
		hash    protocol.Hash
		kid     protocol.KID
	}
	var turns []turn
	for _, n := range l.readers {
		turns = append(turns, turn{v.IsSteward(n.Team), protocol.Sum("entente/v1/turn", l.cards[:], l.held[:], n.Node[:]), n.Node})
	}
	slices.SortFunc(turns, func(a, b turn) int {
		if a.steward != b.steward {
			if a.steward {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.hash[:], b.hash[:])
	})
	var out []protocol.KID
	for _, t := range turns {
		out = append(out, t.kid)
	}
	return out
}

// usable returns the epochs that may be used, in the order of UsableEpoch.
func usable(r *roomAt, l *roll, epochs map[protocol.Hash]*epoch) (fit []Usable) {
	if len(l.readers) == 0 {
		return nil
	}
	for id, e := range epochs {
		if mayUse(e.Epoch, r.head(), l, r.now) {
			fit = append(fit, Usable{id, e.Epoch})
		}
	}
	last := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	ends := func(u Usable) int { return last(u.ends(r.now)) }
	stale := func(u Usable) int { return last(u.Cards != l.cards || u.Holds != l.held) }
	slices.SortFunc(fit, func(a, b Usable) int {
		return cmp.Or(cmp.Compare(ends(a), ends(b)), cmp.Compare(stale(a), stale(b)),
			cmp.Compare(slices.Index(l.order, a.Node), slices.Index(l.order, b.Node)), cmp.Compare(b.Created, a.Created), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return fit
}
