package node_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A cable is cut. On both sides people go on talking. When it is mended, all hold all of it, and everybody can prove by the
// authors' signed words that nothing is missing.
func TestPartition(t *testing.T) {
	nodetest.Run(t, 3, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		before := at.Sends(tlp.Green, "all is well")
		for _, tm := range w.Teams() {
			tm.Holds(before)
		}
		w.Split([]*nodetest.Team{at, de}, []*nodetest.Team{pl, cz})
		var west, east []protocol.Hash
		for i := range 5 {
			west = append(west, at.Sends(tlp.Green, fmt.Sprint("west ", i)), de.Sends(tlp.Clear, fmt.Sprint("also west ", i)))
			east = append(east, pl.Sends(tlp.Green, fmt.Sprint("east ", i)))
		}
		de.HoldsAll(west)
		cz.HoldsAll(east)
		w.Wait(2 * time.Minute)
		pl.LacksAll(west)
		de.LacksAll(east)
		w.Heal()
		for _, tm := range w.Teams() {
			tm.HoldsAll(west)
			tm.HoldsAll(east)
		}
		w.Settle()
		for _, a := range w.Teams() {
			for _, b := range []*nodetest.Team{at, de, pl} {
				if a == b {
					continue
				}
				w.Until(a.Name+" can prove that it has all of "+b.Name, func() bool {
					f := a.Knows(b).Nodes[0].Feed
					return f.Complete && f.Said >= 5 && f.Held == f.Said
				})
			}
		}
	})
}

// Every hundredth, then every twentieth packet is lost. Thirty messages are said in one breath; all arrive everywhere.
func TestLoss(t *testing.T) {
	for i, loss := range []float64{0.01, 0.05} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			nodetest.Run(t, uint64(4+i), []string{"at", "de", "pl"}, func(w *nodetest.World) {
				w.AllMeet()
				w.Loss(loss)
				var ids []protocol.Hash
				for i := range 30 {
					ids = append(ids, w.Teams()[i%3].Sends(tlp.Green, fmt.Sprint("message ", i)))
				}
				for _, tm := range w.Teams() {
					tm.HoldsAll(ids)
				}
				w.Settle()
			})
		})
	}
}

// The power fails at de, first while it sends, then while it catches up after an absence. Nobody hears a goodbye. Each time
// it comes back, and in the end nothing is lost and nothing doubled.
func TestCrash(t *testing.T) {
	nodetest.Run(t, 6, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		var ids []protocol.Hash
		for i := range 10 {
			ids = append(ids, de.Sends(tlp.Green, fmt.Sprint("before the crash ", i)))
		}
		de.Crashes() // what was stored may not have left yet
		for i := range 20 {
			ids = append(ids, at.Sends(tlp.Green, fmt.Sprint("while de is dark ", i)))
		}
		big := bytes.Repeat([]byte("a log of the night\n"), 30_000)
		doc := pl.SendsFile(tlp.Green, "night.txt", big)
		de.Returns()
		w.Until("de has begun to catch up", func() bool { return de.Knows(at).Nodes[0].Connected })
		w.Wait(150 * time.Millisecond)
		de.Crashes()
		w.Wait(time.Minute)
		de.Returns()
		ids = append(ids, de.Sends(tlp.Green, "here again"))
		for _, tm := range w.Teams() {
			tm.HoldsAll(ids)
			if got := tm.Holds(doc); !bytes.Equal(got, big) {
				t.Errorf("%s has another document", tm.Name)
			}
		}
		w.Settle()
	})
}

// A document of 3 MB is on its way to pl, over a network without gossip's help, when its author's power fails after a third.
// de has all of it, and gives pl the rest.
func TestLargeBodyFromAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 7, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		big := bytes.Repeat([]byte("all connections of one week\n"), 3<<20/28)
		w.Split([]*nodetest.Team{at, de})
		doc := at.SendsFile(tlp.Green, "week.txt", big)
		de.Holds(doc)
		w.Heal()
		w.Cut(1, 2) // pl gets it from at only
		w.Until("a third is at pl", func() bool {
			s, err := pl.Node.Status()
			if err != nil {
				t.Fatal(err)
			}
			return s.Store.Bytes > 1<<20
		})
		if _, _, err := pl.Node.OpenBody(doc); err == nil {
			t.Fatal("pl has all of it already")
		}
		at.Crashes()
		w.Heal()
		if got := pl.Holds(doc); !bytes.Equal(got, big) {
			t.Error("the document came out changed")
		}
	})
}
