package trust

import (
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// bigRoom returns the ledger of a steward of a room of 250 members and 2,000 records or more: 50 came by cards, all were renewed
// again and again, some are held, some object and left, two charters wait, and the room had 20 keys.
func bigRoom(b *testing.B) (*roomWorld, *Rooms) {
	b.Helper()
	w := &roomWorld{t: b, now: now, traitor: map[protocol.TeamID]bool{}, blessed: map[protocol.TeamID]bool{}}
	for i := range 250 {
		w.teams = append(w.teams, roomTeam(i))
	}
	rs := NewRooms(fakeBook(w.teams[0], w.teams))
	for range w.teams {
		w.ledgers = append(w.ledgers, rs) // one for all
	}
	stewards, founders := w.teams[:7], w.teams[:200]
	c, ok := rs.NewCharter("room", stewards, founders, w.now)
	if !ok {
		b.Fatal("no charter")
	}
	c.ObjectionDays = 1
	w.room = w.put(c, stewards...)
	w.deliver(0, 0)
	root := func(t protocol.TeamID) protocol.Hash { r, _ := rs.rootOf(t); return r }
	at := func() uint64 { return uint64(w.now.Unix()) }
	for _, t := range founders[7:] {
		w.put(&protocol.Accept{Room: w.room, Charter: w.room, Team: t, Root: root(t), Issued: at()}, t)
	}
	for _, t := range w.teams[200:] {
		for _, s := range w.teams[:2] {
			w.put(&protocol.Vouch{Room: w.room, Applicant: t, Team: s, Root: root(s), Issued: at(), Expires: at() + 30*86400, Charter: w.room}, s)
		}
		w.put(&protocol.Accept{Room: w.room, Charter: w.room, Team: t, Root: root(t), Issued: at() + 1}, t)
	}
	w.now = w.now.Add(50 * time.Hour)
	epoch := func(n byte) {
		e, d := rs.DraftEpoch(w.room, kidFor("node", rs.self()), "age1pq1example", w.now)
		if !d.Allowed {
			b.Fatal(d.Reason)
		}
		e.Team, e.Node = w.teams[n%7], kidFor("node", w.teams[n%7])
		id := protocol.Sum("test", []byte("epoch"), []byte{n})
		rs.rooms[w.room].putEpoch(&epoch{id: id, Epoch: e})
	}
	tip := map[protocol.TeamID]*protocol.MemberCard{}
	for i, t := range w.teams {
		tip[t] = &protocol.MemberCard{Room: w.room, Charter: w.room, Subject: t, Root: root(t), Status: protocol.MemberFull, Joined: uint64(now.Unix()),
			Until: at() + 365*86400, Issued: at()}
		if i < len(founders) {
			continue
		}
		k, d := rs.DraftCard(w.room, t, protocol.MemberFull, "", nil, w.now)
		if !d.Allowed {
			b.Fatal(d.Reason)
		}
		*tip[t] = *k
		tip[t].Prev = w.put(k, stewards[:5]...)
		tip[t].Accept, tip[t].Opened, tip[t].Vouches = protocol.Hash{}, 0, nil
	}
	for n := range 7 {
		w.now = w.now.Add(24 * time.Hour)
		for i, t := range w.teams {
			k := tip[t]
			k.N, k.Issued, k.Until = k.N+1, at(), at()+365*86400
			k.Prev = w.put(k, slices.DeleteFunc(slices.Clone(stewards), func(s protocol.TeamID) bool { return s == t })[:5+i%2]...)
		}
		epoch(byte(n))
	}
	for i, t := range w.teams[100:110] {
		s := stewards[i%7]
		w.put(&protocol.Hold{Room: w.room, Charter: w.room, Subject: t, Team: s, Root: root(s), Issued: at(), Until: at() + 14*86400}, s)
	}
	for _, t := range w.teams[110:120] {
		w.put(&protocol.Leave{Room: w.room, Team: t, Root: root(t), Issued: at()}, t)
	}
	for n := range 2 {
		c, d := rs.DraftCharter(w.room, w.now, func(c *protocol.Charter) { c.Salt = [16]byte{byte(n + 1)} })
		if !d.Allowed {
			b.Fatal(d.Reason)
		}
		id := w.put(c, w.teams[0])
		for _, s := range stewards[:3] {
			w.put(&protocol.Approve{Room: w.room, Charter: id, Version: 2, Round: uint64(n + 1), Team: s, Root: root(s), Issued: at()}, s)
		}
	}
	for n := range 14 {
		epoch(byte(7 + n))
	}
	if n := len(rs.rooms[w.room].records); n < 2000 {
		b.Fatalf("%d records", n)
	}
	if n := len(rs.Readers(w.room, w.now)); n != 230 {
		b.Fatalf("%d readers", n)
	}
	return w, rs
}

// What it costs to ask about a room of 250 members and 2,000 records. Cold: after a record came that changes it. Of the others
// the node asks for every message.
func BenchmarkRoom(b *testing.B) {
	w, rs := bigRoom(b)
	rm := rs.rooms[w.room]
	u, ok := rs.UsableEpoch(w.room, w.now, nil)
	if !ok {
		b.Fatal("no key")
	}
	author := w.teams[3]
	node := kidFor("node", author)
	st := &protocol.Statement{Author: author, Node: node, Label: tlp.Amber,
		Audience: protocol.Audience{Kind: protocol.InRoom, Room: w.room, Charter: u.Charter, Epoch: u.ID}}
	synced := map[protocol.TeamID]time.Time{}
	for _, t := range w.teams {
		synced[t] = w.now
	}
	for _, x := range []struct {
		name string
		do   func()
	}{
		{"room cold", func() { rm.drawn, rm.roll = nil, nil; rs.Room(w.room, w.now) }},
		{"room", func() { rs.Room(w.room, w.now) }},
		{"usable cold", func() { rm.drawn, rm.roll = nil, nil; rs.UsableEpoch(w.room, w.now, nil) }},
		{"usable", func() { rs.UsableEpoch(w.room, w.now, nil) }},
		{"accept", func() {
			if d := rs.AcceptMessage(st, protocol.FeedOf(node, protocol.RoomChannel(w.room)), 1, w.now); !d.Allowed {
				b.Fatal(d.Reason)
			}
		}},
		{"speak", func() {
			if d := rs.MaySpeak(w.room, tlp.Amber, synced, w.now); !d.Allowed {
				b.Fatal(d.Reason)
			}
		}},
		{"readers", func() { rs.Readers(w.room, w.now) }},
		{"rekey", func() { rs.NeedsRekey(w.room, w.now) }},
		{"draft", func() { rs.DraftEpoch(w.room, kidFor("node", w.teams[0]), "age1pq1example", w.now) }},
		{"grant", func() {
			if d := rs.MayGrant(w.room, u.ID, node, w.now); !d.Allowed {
				b.Fatal(d.Reason)
			}
		}},
		{"ask", func() { rs.Ask(Receive, tlp.Amber, st.Audience, author, w.now) }},
		{"drafts", func() { rs.Drafts(w.room, w.now) }},
	} {
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				x.do()
			}
		})
	}
}
