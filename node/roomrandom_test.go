package node_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// What happens in rooms in random order: teams found them, speak, are proposed, voted in, held, suspended, removed and let in again,
// leave, change charters; lose their power, are parted and find each other. Whatever it is, the oracle finds no reader too many, and in
// the end all members see the same and have what was said for them.
//
// ENTENTE_WORLD_RUNS, ENTENTE_WORLD_SEED and ENTENTE_WORLD_STEPS ask for more and longer ones.
func TestRandomRooms(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	runs, first, steps := number("ENTENTE_WORLD_RUNS", 2), number("ENTENTE_WORLD_SEED", 5000), number("ENTENTE_WORLD_STEPS", 60)
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { randomRooms(t, uint64(seed), steps) })
	}
}

// A bustle is a world in which things happen in rooms.
type bustle struct {
	chaos
	rooms []protocol.Hash
}

func randomRooms(t *testing.T, seed uint64, steps int) {
	dice := rand.New(rand.NewPCG(seed, 9))
	names := []string{"at", "de", "pl", "cz", "fr", "es"}[:5+dice.IntN(2)]
	nodetest.Run(t, seed, names, func(w *nodetest.World) {
		c := &bustle{chaos: chaos{t: t, w: w, dice: dice, teams: slices.Clone(w.Teams())}}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("seed %d: %q", seed, c.log)
			}
		})
		w.AllMeet()
		for range 2 {
			c.found()
		}
		for range steps {
			c.happens()
			w.Wait(time.Duration(1+dice.IntN(4000)) * time.Millisecond)
		}
		c.makePeace()
		w.Wait(6 * time.Minute) // all have compared themselves with each other
		for _, room := range c.rooms {
			w.Until("all members see the same", func() bool { return w.Alike(room) == "" })
		}
		for _, id := range c.sent {
			w.Delivered(id)
		}
	})
}

// found makes a room with two to four stewards and perhaps others, all of whom sign.
func (c *bustle) found() {
	mixed := slices.Clone(c.teams)
	c.dice.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	n := 2 + c.dice.IntN(3)
	m := n + c.dice.IntN(len(mixed)-n)
	sponsors, wait := 1, c.dice.IntN(2)*3
	terms := node.RoomTerms{Sponsors: &sponsors, ObjectionDays: &wait, HoldDays: 3, EpochDays: 4 + c.dice.IntN(10),
		History: []protocol.History{protocol.HistoryJoining, protocol.HistoryAll}[c.dice.IntN(2)]}
	room := c.w.FoundRoom(terms, mixed[:n], mixed[n:m])
	c.say("%s founds %s with %d stewards and %d members", mixed[0].Name, room.Short(), n, m)
	c.rooms = append(c.rooms, room)
}

func (c *bustle) happens() {
	a, b, _ := c.pick()
	if a.Node == nil {
		c.power(a)
		return
	}
	room := c.rooms[c.dice.IntN(len(c.rooms))]
	act := func(kind string) {
		err := a.TriesIn(room, node.RoomAct{Kind: kind, Team: b.ID.String(), Reason: "as it happens"})
		c.say("%s: %s %s in %s: %v", a.Name, kind, b.Name, room.Short(), err)
	}
	switch n := c.dice.IntN(100); {
	case n < 35:
		c.word(a, room)
	case n < 58:
		c.waits(a, room)
	case n < 62:
		act("hold")
	case n < 67:
		act("remove")
	case n < 70:
		act("suspend")
	case n < 74:
		act("readmit")
	case n < 80:
		act("vouch")
	case n < 82:
		act("object")
	case n < 84:
		act("withdraw")
	case n < 85:
		act("leave")
	case n < 88:
		days := 4 + c.dice.IntN(10)
		err := a.TriesIn(room, node.RoomAct{Kind: "amend", Terms: &node.RoomTerms{EpochDays: days}})
		c.say("%s amends %s: %v", a.Name, room.Short(), err)
	case n < 92:
		c.power(a)
	case n < 96:
		c.cables()
	case c.days < 20:
		d := 1 + c.dice.IntN(4)
		c.days += d
		c.say("%d days pass", d)
		c.w.Passes(time.Duration(d) * day)
	}
}

// word lets a team say something in a room, if it may.
func (c *bustle) word(a *nodetest.Team, room protocol.Hash) {
	if _, err := a.Node.Room(room.String()); err != nil {
		return
	}
	doc := []byte(fmt.Sprint("random word ", len(c.sent)))
	if c.dice.IntN(6) == 0 {
		doc = nodetest.Document("random document", 40_000)
	}
	id, err := a.TriesToSend(node.Draft{Audience: nodetest.InRoom(room), Label: []tlp.Label{tlp.Green, tlp.Amber, tlp.AmberStrict}[c.dice.IntN(3)]}, doc)
	if err != nil {
		c.say("%s may not speak in %s: %s", a.Name, room.Short(), rule(c.t, err))
		return
	}
	c.say("%s says %s in %s", a.Name, id.Short(), room.Short())
	c.sent = append(c.sent, id)
}

// waits lets officers of a team do one of the things that wait for them.
func (c *bustle) waits(a *nodetest.Team, room protocol.Hash) {
	v, err := a.Node.Room(room.String())
	if err != nil || len(v.Waiting) == 0 {
		return
	}
	d := v.Waiting[c.dice.IntN(len(v.Waiting))]
	act := node.RoomAct{Kind: d.Kind}
	switch d.Kind {
	case "approve", "adopt", "give-up", "vote":
		act.Kind, act.Proposal, act.GiveUp = "vote", d.ID.String(), d.Kind == "give-up"
		if d.ID.IsZero() {
			act.Proposal = d.Record.(*protocol.MemberCard).Subject.String()
		}
	}
	err = a.TriesIn(room, act)
	c.say("%s: %s of %s in %s: %v", a.Name, d.Kind, d.ID.Short(), room.Short(), err)
}
