package node_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// What happens to teams in random order: they verify each other, agree, suspend, end and block; write at every label to whoever
// they like; crash, part and change keys; and a thief copies the home of one of them. Whatever it is, the oracle finds that those
// for whom a message was sent can read it and nobody else, and in the end all of it arrived that may still arrive.
//
// ENTENTE_WORLD_RUNS and ENTENTE_WORLD_SEED ask for more of these worlds, beginning with a seed; ENTENTE_WORLD_STEPS for longer ones.
func TestRandomWorlds(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	runs, first, steps := number("ENTENTE_WORLD_RUNS", 3), number("ENTENTE_WORLD_SEED", 1000), number("ENTENTE_WORLD_STEPS", 60)
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { randomWorld(t, uint64(seed), steps) })
	}
}

func number(env string, n int) int {
	if v, err := strconv.Atoi(os.Getenv(env)); err == nil {
		return v
	}
	return n
}

// A chaos is a world in which things happen.
type chaos struct {
	t     *testing.T
	w     *nodetest.World
	dice  *rand.Rand
	teams []*nodetest.Team
	deals []deal
	split bool
	days  int  // that passed
	thief bool // has been
	sent  []protocol.Hash
	log   []string
}

type deal struct {
	id   protocol.Hash
	a, b *nodetest.Team
}

func randomWorld(t *testing.T, seed uint64, steps int) {
	dice := rand.New(rand.NewPCG(seed, 7))
	names := []string{"at", "de", "pl", "cz", "fr", "es"}[:4+dice.IntN(2)]
	nodetest.Run(t, seed, names, func(w *nodetest.World) {
		c := &chaos{t: t, w: w, dice: dice, teams: slices.Clone(w.Teams())}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("seed %d: %q", seed, c.log)
			}
		})
		w.AllMeet()
		for _, tm := range c.teams {
			tm.Employs("anna", "bert")
		}
		for _, a := range c.teams {
			for _, b := range c.teams {
				if a != b && dice.IntN(10) < 7 {
					a.Verifies(b)
				}
			}
		}
		w.Wait(5 * time.Second)
		for range 3 {
			a, b, _ := c.pick()
			c.deals = append(c.deals, deal{w.Agree(a, b, node.Terms{Ceiling: tlp.AmberStrict}), a, b})
		}
		for range steps {
			c.step()
			w.Wait(time.Duration(1+dice.IntN(4000)) * time.Millisecond)
		}
		c.makePeace()
	})
}

func (c *chaos) say(format string, args ...any) { c.log = append(c.log, fmt.Sprintf(format, args...)) }

// pick returns two different teams; up ones if the first returned true.
func (c *chaos) pick() (a, b *nodetest.Team, up bool) {
	i := c.dice.IntN(len(c.teams))
	j := (i + 1 + c.dice.IntN(len(c.teams)-1)) % len(c.teams)
	a, b = c.teams[i], c.teams[j]
	return a, b, a.Node != nil && b.Node != nil
}

func (c *chaos) step() {
	a, b, up := c.pick()
	switch n := c.dice.IntN(100); {
	case n < 45:
		c.letter()
	case n < 53 && up:
		c.say("%s verifies %s", a.Name, b.Name)
		a.Verifies(b)
	case n < 60 && up && !c.split && c.friends(a, b):
		c.say("%s and %s agree", a.Name, b.Name)
		terms := node.Terms{Ceiling: []tlp.Label{tlp.Amber, tlp.AmberStrict, tlp.Red}[c.dice.IntN(3)], Days: 20 + c.dice.IntN(100)}
		c.deals = append(c.deals, deal{a.Offers(b, terms), a, b})
		if c.dice.IntN(4) > 0 {
			b.Signs(c.deals[len(c.deals)-1].id)
		}
	case n < 70 && len(c.deals) > 0:
		c.change(c.deals[c.dice.IntN(len(c.deals))])
	case n < 73 && up:
		c.say("%s blocks %s", a.Name, b.Name)
		a.Blocks(b)
	case n < 76 && up:
		c.say("%s unblocks %s", a.Name, b.Name)
		a.Unblocks(b)
	case n < 80:
		c.power(a)
	case n < 84:
		c.cables()
	case n < 88 && c.days < 50:
		d := 1 + c.dice.IntN(12)
		c.days += d
		c.say("%d days pass", d)
		c.w.Passes(time.Duration(d) * day)
	case n < 91 && up && !c.split:
		c.replace(a)
	case n < 94 && !c.thief && a.Node != nil:
		c.thief = true
		c.say("the home of %s is copied", a.Name)
		a.Leaves()
		a.CopyTo("thief")
		a.Returns()
	case n < 97 && a.Node != nil:
		c.say("anna of %s has a new key", a.Name)
		a.Rekeys("anna")
	}
}

// friends reports whether the two hold each other as introduced or verified, and are connected: so that word passes.
func (c *chaos) friends(a, b *nodetest.Team) bool {
	good := func(s trust.State) bool { return s == trust.Introduced || s == trust.Verified }
	return good(state(a, b)) && good(state(b, a)) && slices.ContainsFunc(a.Knows(b).Nodes, func(n node.NodeView) bool { return n.Connected })
}

func (c *chaos) letter() {
	a, b, _ := c.pick()
	if a.Node == nil || state(a, b) == trust.Unknown {
		return
	}
	label := []tlp.Label{tlp.Clear, tlp.Green, tlp.Amber, tlp.AmberStrict, tlp.Red}[c.dice.IntN(5)]
	to := nodetest.To(b)
	switch c.dice.IntN(6) {
	case 0:
		to = "community"
	case 1:
		if d := c.teams[c.dice.IntN(len(c.teams))]; d != a && d != b {
			to = nodetest.To(b, d)
		}
	case 2:
		to, label = b.Person("anna"), tlp.Red
	case 3, 4:
		var of []deal
		for _, d := range c.deals {
			if _, err := a.Node.Agreement(d.id.String()); err == nil {
				of = append(of, d)
			}
		}
		if len(of) > 0 {
			to = nodetest.Under(of[c.dice.IntN(len(of))].id)
		}
	}
	doc := []byte(fmt.Sprint("random text ", len(c.sent)))
	if c.dice.IntN(6) == 0 {
		doc = nodetest.Document("random document", 40_000+c.dice.IntN(60_000))
	}
	d := node.Draft{Audience: to, Label: label, Urgent: c.dice.IntN(5) == 0}
	if label == tlp.Red && c.dice.IntN(2) == 0 {
		d.As = "bert"
	}
	id, err := a.TriesToSend(d, doc)
	var no *node.RefusedError
	switch {
	case err == nil:
		c.say("%s sends %s %s to %.12s", a.Name, label, id.Short(), to)
		c.sent = append(c.sent, id)
	case errors.As(err, &no):
		c.say("%s may not send %s to %.12s: %s", a.Name, label, to, no.Rule)
	default:
		c.t.Fatalf("%s sends: %v", a.Name, err)
	}
}

func (c *chaos) change(d deal) {
	tm := d.a
	if c.dice.IntN(2) == 0 {
		tm = d.b
	}
	if tm.Node == nil {
		return
	}
	s := []protocol.PartyStatus{protocol.PartySuspended, protocol.PartySuspended, protocol.PartyOK, protocol.PartyOK, protocol.PartyEnded}[c.dice.IntN(5)]
	err := tm.TriesToSay(d.id, s)
	c.say("%s says %v on %s: %v", tm.Name, s, d.id.Short(), err)
}

func (c *chaos) power(a *nodetest.Team) {
	switch {
	case a.Node == nil:
		c.say("%s returns", a.Name)
		a.Returns()
	case c.dice.IntN(2) == 0:
		c.say("%s leaves", a.Name)
		a.Leaves()
	default:
		c.say("%s crashes", a.Name)
		a.CrashesOnDisk()
		if c.dice.IntN(2) == 0 {
			a.Returns()
		}
	}
}

func (c *chaos) cables() {
	if c.split {
		c.say("the cable is mended")
		c.w.Heal()
		c.split = false
		return
	}
	c.say("the world is cut")
	shuffled := slices.Clone(c.teams)
	c.dice.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	cut := 1 + c.dice.IntN(len(shuffled)-1)
	c.w.Split(shuffled[:cut], shuffled[cut:])
	c.split = true
}

// replace gives a team's node new keys, if at least one other team can hear of it and pass it on.
func (c *chaos) replace(a *nodetest.Team) {
	for _, b := range c.teams {
		if b == a || b.Node == nil || !c.friends(a, b) {
			return
		}
	}
	if s, err := a.Node.Status(); err != nil || s.Stopped != "" {
		return
	}
	c.say("%s replaces its node", a.Name)
	a.ReplacesNode("lost")
	c.w.Wait(20 * time.Second)
}

// makePeace lets everybody come back, mends and forgives everything, and waits until all has arrived that may.
func (c *chaos) makePeace() {
	c.w.Heal()
	for _, tm := range c.teams {
		if tm.Node == nil {
			tm.Returns()
		}
	}
	c.w.Wait(2 * time.Second)
	for _, a := range c.teams {
		for _, b := range c.teams {
			if a != b && state(a, b) == trust.Blocked {
				a.Unblocks(b)
			}
		}
	}
	c.w.Together(c.teams...)
	for _, d := range c.deals {
		for _, tm := range []*nodetest.Team{d.a, d.b} {
			_ = tm.TriesToSay(d.id, protocol.PartyOK)
		}
	}
	c.w.Wait(3 * time.Minute)
	c.w.Settle()
	for _, id := range c.sent {
		c.w.Delivered(id)
	}
}
