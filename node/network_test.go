package node_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol/tlp"
)

// What one team publishes is at the others within a second, and who was away gets it later.
func TestPublishAndCatchUp(t *testing.T) {
	nodetest.Run(t, 1, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		start := time.Now()
		first := w.As("at").Sends(tlp.Green, "TLP:GREEN\nA first word.")
		w.As("de").Holds(first)
		w.As("pl").Holds(first)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the message took %v", took)
		}
		w.As("pl").Leaves()
		second := w.As("at").Sends(tlp.Clear, "said while pl is away")
		third := w.As("de").Sends(tlp.Green, "and so is this")
		big := bytes.Repeat([]byte("a large document\n"), 20_000)
		fourth := w.As("de").SendsFile(tlp.Green, "large.txt", big)
		w.As("pl").Returns()
		w.As("pl").Holds(second)
		w.As("pl").Holds(third)
		if got := w.As("pl").Holds(fourth); !bytes.Equal(got, big) {
			t.Error("the large document came out changed")
		}
		w.Settle()
		w.Until("pl can prove that it has everything of de", func() bool {
			f := w.As("pl").Knows(w.As("de")).Nodes[0].Feed
			return f.Complete && f.Said == 2
		})
	})
}

// A team that nobody introduced hears nothing, though it knows where everybody is.
func TestStranger(t *testing.T) {
	nodetest.Run(t, 2, []string{"at", "de", "mallory"}, func(w *nodetest.World) {
		at, de, mallory := w.As("at"), w.As("de"), w.As("mallory")
		at.Adds(de)
		de.Adds(at)
		mallory.Adds(at)
		mallory.Adds(de)
		at.Connects(de)
		id := at.Sends(tlp.Green, "for colleagues")
		de.Holds(id)
		time.Sleep(time.Minute)
		mallory.Lacks(id)
		if mallory.Knows(at).Nodes[0].Connected {
			t.Error("mallory is connected")
		}
		fs, err := mallory.Node.Doctor("at")
		if err != nil {
			t.Fatal(err)
		}
		said := false
		for _, f := range fs {
			said = said || strings.Contains(f.Text, "not connected")
		}
		if !said {
			t.Errorf("doctor does not say why: %v", fs)
		}
	})
}

// de loses power and comes back at once under another address, with the same keys, while at still holds the dead connection for the
// living one. When that has run out, both hear each other without delay again.
func TestBackElsewhere(t *testing.T) {
	nodetest.Run(t, 9, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		de.Leaves()
		moved := de.CopyTo("moved")
		de.Returns()
		w.Together(at, de)
		de.Crashes()
		moved.Returns()
		w.Together(moved, at)
		missed := at.Sends(tlp.Green, "into the dead line")
		w.Wait(time.Minute)
		moved.Holds(missed)
		w.Together(moved, at)
		start := time.Now()
		moved.Holds(at.Sends(tlp.Green, "do you hear me?"))
		at.Holds(moved.Sends(tlp.Green, "as well as before"))
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
