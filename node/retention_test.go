package node_test

import (
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol/tlp"
)

// A team keeps messages for a day and forgets the first ones. Another team, which joins later, gets what there still is, and
// does not wait for what the author says that it keeps no more.
func TestNewcomerAfterRetention(t *testing.T) {
	nodetest.Run(t, 31, []string{"at", "de"}, func(w *nodetest.World) {
		at, de := w.As("at"), w.As("de")
		at.Leaves()
		cfg, err := node.LoadConfig(at.Home)
		if err != nil {
			t.Fatal(err)
		}
		cfg.RetentionDays = 1
		if err := cfg.Save(); err != nil {
			t.Fatal(err)
		}
		at.Returns()
		old := at.Sends(tlp.Green, "the day before yesterday")
		at.SetClock(48 * time.Hour) // its days pass, without the simulation of every second
		fresh := at.Sends(tlp.Green, "today")
		w.Until("at has forgotten the old message", func() bool {
			_, err := at.Node.Message(old)
			return err != nil
		})
		de.SetClock(at.Ahead())
		w.AllMeet()
		de.Holds(fresh)
		de.Lacks(old)
		w.Until("de knows that it has all there is", func() bool {
			f := de.Knows(at).Nodes[0].Feed
			return f.Complete && f.Said == 2
		})
	})
}

// A team keeps messages for a day, says nothing for two, and is started anew: it has forgotten all it said, and knows how to
// go on.
func TestSpeaksAgainAfterRetention(t *testing.T) {
	nodetest.Run(t, 32, []string{"at", "de"}, func(w *nodetest.World) {
		at, de := w.As("at"), w.As("de")
		w.AllMeet()
		at.Leaves()
		cfg, err := node.LoadConfig(at.Home)
		if err != nil {
			t.Fatal(err)
		}
		cfg.RetentionDays = 1
		if err := cfg.Save(); err != nil {
			t.Fatal(err)
		}
		at.Returns()
		at.Connects(de)
		old := at.Sends(tlp.Green, "the day before yesterday")
		de.Holds(old)
		at.SetClock(48 * time.Hour)
		w.Until("at has forgotten its message", func() bool {
			_, err := at.Node.Message(old)
			return err != nil
		})
		at.Leaves()
		at.Returns()
		at.Connects(de)
		de.SetClock(at.Ahead())
		de.Holds(at.Sends(tlp.Green, "today"))
	})
}
