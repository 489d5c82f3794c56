package node_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// A conspiracy is a room of at and de, who are its stewards, pl, and mallory, who turns against the others.
type conspiracy struct {
	t                    *testing.T
	w                    *nodetest.World
	at, de, pl, fr, evil *nodetest.Team
	room                 protocol.Hash
	m                    *nodetest.Peer
	l                    *nodetest.Liar
}

// conspire tells a story in which nothing that mallory says changes who is in the room or who reads what is said in it.
func conspire(t *testing.T, seed uint64, story func(c *conspiracy)) {
	t.Helper()
	nodetest.Run(t, seed, []string{"at", "de", "pl", "fr", "mallory"}, func(w *nodetest.World) {
		w.AllMeet()
		c := &conspiracy{t: t, w: w, at: w.As("at"), de: w.As("de"), pl: w.As("pl"), fr: w.As("fr"), evil: w.As("mallory")}
		c.room = w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{c.at, c.de}, []*nodetest.Team{c.pl, c.evil})
		says(c.room, c.at, "trust is good", c.de, c.pl, c.evil)
		says(c.room, c.evil, "indeed", c.at, c.de, c.pl)
		w.Wait(30 * time.Second)
		c.m = c.evil.Turns()
		c.l = c.m.Lies()
		c.m.Connects(c.at, c.de, c.pl)
		c.l.Gives(c.room, nil, c.at, c.de, c.pl)
		w.Wait(10 * time.Second)
		story(c)
		start := time.Now()
		says(c.room, c.at, "business as usual", c.de, c.pl)
		says(c.room, c.pl, "so it is", c.at, c.de)
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("the honest waited %v for each other", took)
		}
		for _, o := range []*nodetest.Team{c.at, c.de, c.pl} {
			for _, m := range []*nodetest.Team{c.at, c.de, c.pl} {
				o.SeesMember(c.room, m, trust.StandingMember)
			}
		}
	})
}

// gives lets mallory give records to all, and again after it was thrown out for them.
func (c *conspiracy) gives(es ...*protocol.Envelope) {
	c.t.Helper()
	c.l.Gives(c.room, es, c.at, c.de, c.pl)
	c.w.Wait(15 * time.Second)
}

// Records that mallory may not sign: they change nothing.
func TestLiarForgesRecords(t *testing.T) {
	conspire(t, 470, func(c *conspiracy) {
		v := c.at.SeesIn(c.room)
		now := uint64(time.Now().Unix())
		root := c.evil.ID // the first root record of a team has its id
		seat, _ := v.Charter.Seat(c.pl.ID)
		c.gives(c.l.Signs(&protocol.Hold{Room: c.room, Charter: v.CharterID, Subject: c.pl.ID, Team: c.evil.ID, Root: root, Until: now + 86400, Issued: now}))
		c.gives(c.l.Signs(&protocol.MemberCard{Room: c.room, Charter: v.CharterID, Subject: c.pl.ID, Root: seat.Root, N: 1, Status: protocol.MemberRemoved,
			Until: seat.Until, Joined: seat.Joined, Issued: now}))
		for _, r := range []protocol.Record{
			&protocol.Leave{Room: c.room, Team: c.pl.ID, Root: c.pl.ID, Issued: now},
			&protocol.Hold{Room: c.room, Charter: v.CharterID, Subject: c.pl.ID, Team: c.at.ID, Root: c.at.ID, Until: now + 86400, Issued: now},
			&protocol.Accept{Room: c.room, Charter: v.CharterID, Team: c.fr.ID, Root: c.fr.ID, Issued: now},
		} {
			c.gives(c.l.Signs(r))
			c.m.Connects(c.at, c.de, c.pl) // who forges is thrown out
		}
		c.w.Wait(time.Minute)
		c.at.SeesMember(c.room, c.fr, trust.StandingNone)
	})
}

// Epochs that let others in, or of which mallory hands out something else than the identity: nobody seals to the first, nor holds the
// second.
func TestLiarMakesEpochs(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	conspire(t, 471, func(c *conspiracy) {
		v := c.at.SeesIn(c.room)
		now := uint64(time.Now().Unix())
		like := protocol.Epoch{Room: c.room, Charter: v.CharterID, Cards: v.Cards, Holds: v.Holds, Created: now, Until: now + 20*86400}
		kid := func(tm *nodetest.Team) protocol.KID { return c.at.Knows(tm).Nodes[0].KID }
		for _, m := range []*nodetest.Team{c.at, c.de, c.pl, c.evil} {
			like.Nodes = append(like.Nodes, kid(m))
		}
		open, id := c.l.MakesEpoch(like, func(e *protocol.Epoch) { e.Nodes = append(e.Nodes, kid(c.fr)) })
		for _, m := range []*nodetest.Team{c.at, c.de, c.pl} {
			c.l.GrantsAs(c.room, open.ID(), id, m)
		}
		c.gives(open)
		if e := c.at.SeesIn(c.room).Epoch; e == open.ID() {
			t.Error("at would seal to an epoch that an outsider holds")
		}
		narrow, id := c.l.MakesEpoch(like, func(e *protocol.Epoch) { e.Nodes = []protocol.KID{kid(c.at), kid(c.evil)} })
		c.l.GrantsAs(c.room, narrow.ID(), id, c.at)
		c.gives(narrow)
		says(c.room, c.at, "nobody is left out", c.de, c.pl)
		held := c.at.HoldsEpochs(c.room)
		wrong, _ := c.l.MakesEpoch(like, nil)
		_, other := c.l.MakesEpoch(like, nil)
		for _, m := range []*nodetest.Team{c.at, c.de, c.pl} {
			c.l.GrantsAs(c.room, wrong.ID(), other, m)
		}
		c.gives(wrong)
		c.l.GrantsNoMore(wrong.ID())
		c.m.Connects(c.at, c.de, c.pl)
		c.w.Wait(time.Minute)
		if n := c.at.HoldsEpochs(c.room); n != held {
			t.Errorf("at holds %d keys, and held %d before mallory granted another than it announced", n, held)
		}
		good, id := c.l.MakesEpoch(like, nil) // in order, but pl has to get it from others
		c.l.GrantsAs(c.room, good.ID(), id, c.at)
		c.gives(good)
		c.w.Until("at holds a key that mallory rightly made", func() bool { return c.at.HoldsEpochs(c.room) > held })
		says(c.room, c.at, "who holds a key hands it on", c.de, c.pl)
	})
}

// Mallory never has the same as others say they have: they do not compare themselves for ever.
func TestLiarIsRestless(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	conspire(t, 472, func(c *conspiracy) {
		c.l.Restless(true)
		before := c.l.Talks()
		c.gives()
		c.w.Wait(20 * time.Minute)
		if n := c.l.Talks() - before; n < 3 || n > 3*4*60 {
			t.Errorf("three nodes spoke with mallory %d times in 20 minutes", n)
		}
		c.l.Restless(false)
	})
}

// Mallory asks others into a hundred rooms that make no sense: few are kept, and none if this team has no seat in it.
func TestLiarInvites(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	conspire(t, 473, func(c *conspiracy) {
		v := c.at.SeesIn(c.room)
		for i := range 100 {
			ch := *v.Charter
			ch.Name, ch.Issued = fmt.Sprint("come in ", i), uint64(time.Now().Unix())
			_, _ = rand.Read(ch.Salt[:]) // never fails
			ch.Stewards = []protocol.TeamID{c.evil.ID, c.pl.ID}
			slices.SortFunc(ch.Stewards, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
			if i%2 == 0 {
				ch.Members = slices.DeleteFunc(slices.Clone(ch.Members), func(s protocol.Seat) bool { return s.Team == c.at.ID })
			}
			e := c.l.Signs(&ch)
			c.l.Gives(e.ID(), []*protocol.Envelope{e}, c.at)
		}
		for range 5 {
			c.l.Gives(c.room, nil, c.at)
			c.w.Wait(time.Minute)
		}
		if n := len(c.at.Node.Rooms()); n < 2 || n > 1+16 {
			t.Errorf("at has %d rooms, want its own and a few invitations", n)
		}
		for _, r := range c.at.Node.Rooms() {
			if r.ID != c.room && r.Mine == trust.StandingNone {
				t.Errorf("at keeps a room in which it has no seat: %s", r.State)
			}
		}
	})
}

// Mallory was removed, and goes on speaking with the keys that it has.
func TestLiarWasRemoved(t *testing.T) {
	conspire(t, 474, func(c *conspiracy) {
		v := c.at.SeesIn(c.room)
		feed := c.m.InRoom(c.room, v.CharterID, v.Epoch).Follows()
		before, first := feed.Seals(feed.Word("said before it was out"))
		c.m.Pushes(c.at, before)
		c.m.Pushes(c.de, before)
		c.at.Arrives(first)
		c.de.Arrives(first)
		c.at.Removes(c.room, c.evil)
		c.de.Votes(c.room, c.evil)
		c.pl.SeesMember(c.room, c.evil, trust.StandingRemoved)
		says(c.room, c.at, "it is out", c.de, c.pl)
		after, late := feed.Seals(feed.Word("said afterwards"))
		for _, m := range []*nodetest.Team{c.at, c.de, c.pl} {
			c.m.Pushes(m, before, after)
		}
		c.w.Wait(time.Minute)
		for _, m := range []*nodetest.Team{c.at, c.de, c.pl} {
			m.Lacks(late)
		}
		c.pl.Arrives(first) // it was said in time, and the others have it
	})
}

// One steward of four approves two charters in one round. That is a proof against it, which all members have; but it alone decides
// nothing: the room goes on, and the others decide without it.
func TestStewardVotesTwice(t *testing.T) {
	nodetest.Run(t, 475, []string{"at", "de", "pl", "mallory", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, evil, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("mallory"), w.As("fr")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl, evil}, []*nodetest.Team{fr})
		says(room, at, "all are here", de, pl, evil, fr)
		w.Wait(30 * time.Second)
		m := evil.Turns()
		l := m.Lies()
		m.Connects(at, de, pl, fr)
		one := at.Amends(room, node.RoomTerms{Text: "one story"})
		other := de.Amends(room, node.RoomTerms{Text: "another story"})
		var votes []*protocol.Envelope
		for _, c := range []protocol.Hash{one, other} {
			votes = append(votes, l.Signs(&protocol.Approve{Room: room, Charter: c, Version: 2, Round: 1, Team: evil.ID, Root: evil.ID, Issued: uint64(time.Now().Unix())}))
		}
		l.Gives(room, votes[:1], at, pl)
		w.Wait(10 * time.Second)
		l.Gives(room, votes[1:], de, fr)
		for _, m := range []*nodetest.Team{at, de, pl, fr} {
			w.Until(m.Name+" has the proof", func() bool {
				return slices.ContainsFunc(m.SeesIn(room).Cheats, func(c trust.Cheat) bool { return c.Team == evil.ID })
			})
			v := m.SeesRoom(room, trust.RoomOpen)
			if !slices.ContainsFunc(v.Warnings, func(s string) bool { return strings.HasPrefix(s, "mallory voted twice") }) {
				t.Errorf("%s is not told who voted twice: %q", m.Name, v.Warnings)
			}
		}
		w.Decide(room, one, at, de, pl)
		says(room, fr, "on we go", at, de, pl)
	})
}
