package node_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

const day = 24 * time.Hour

// de is away for five weeks. Before and during that time at writes, and at's key is changed; de changes its own key when it is
// back, finding it due, and everything is there. Then at is away, and so on, until keys were destroyed on both sides.
func TestAwayForWeeks(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 220, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{})
		var ids []protocol.Hash
		w.Wait(2 * time.Minute) // until the nodes noted how old their keys are
		for round := range 6 {
			from, away := at, de
			if round%2 == 1 {
				from, away = de, at
			}
			early := from.SendsTo(nodetest.Under(agreed), tlp.Amber, "just before you go")
			away.Leaves()
			ids = append(ids, early, from.SendsTo(nodetest.Under(agreed), tlp.Amber, fmt.Sprint("the first day of ", round)))
			w.Passes(20 * day)
			doc := from.SendsFileTo(nodetest.To(away), tlp.Amber, "", nodetest.Document("in the third week", 100_000))
			w.Passes(15 * day)
			ids = append(ids, doc, from.SendsTo(nodetest.To(away), tlp.Amber, "the last day"))
			away.Returns()
			w.Together(at, de)
			at.Certifies(nil)
			de.Certifies(nil)
			for _, id := range ids[len(ids)-4:] {
				away.Holds(id)
				from.Receipt(id, away, "stored")
			}
		}
		if n := w.Keys(at); n < 3 {
			t.Errorf("at had %d keys in thirty weeks", n)
		}
		for _, id := range ids {
			at.Holds(id)
			de.Holds(id)
		}
	})
}

// The disk of de dies, and it is restored from a backup that is older than its last change of keys: what at had sealed to the
// newest key cannot be opened any more. It is sealed again without anybody asking, to the node's new key, and nothing is lost.
func TestRestoredBeforeItsKey(t *testing.T) {
	nodetest.Run(t, 221, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		de.Employs("anna")
		at.KnowsStaff(de, "anna")
		agreed := w.Agree(at, de, node.Terms{})
		var ids []protocol.Hash
		say := func(text string) {
			ids = append(ids, at.SendsTo(nodetest.Under(agreed), tlp.Amber, text))
		}
		say("in the backup")
		de.Reads(ids[0], "in the backup")
		de.Leaves()
		back := de.CopyTo("restored")
		if err := os.Remove(filepath.Join(back.Home, "heads")); err != nil {
			t.Fatal(err)
		}
		de.Returns()
		w.Together(at, de)
		w.Passes(31 * day) // both take new keys
		w.Wait(2 * time.Minute)
		say("sealed to a key that is not in the backup")
		red := at.SendsTo(de.Person("anna"), tlp.Red, "the same, for anna")
		de.Reads(ids[1], "sealed to a key")
		de.Crashes()
		say("sealed while nobody is there")
		large := at.SendsFileTo(nodetest.Under(agreed), tlp.Amber, "", nodetest.Document("a large one", 80_000))
		back.SetClock(at.Ahead())
		back.Returns()
		w.Together(back, at)
		w.Wait(time.Minute)
		back.ReplacesNode("restored")
		w.Together(back, at)
		for _, id := range append(ids, large) {
			back.Holds(id)
		}
		back.Opens(red, "anna")
		for _, id := range append(ids, large, red) {
			at.Receipt(id, back, "stored")
		}
		say("and on")
		back.Holds(ids[len(ids)-1])
		at.Reads(back.SendsTo(nodetest.Under(agreed), tlp.Amber, "we are back"), "we are back")
	})
}

// Both nodes are cut off from power at every moment of a message's way: nothing of it is lost, nothing comes twice.
func TestCrashesOnTheWay(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 222, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{})
		var ids []protocol.Hash
		for i, after := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond, 2100 * time.Millisecond, 4 * time.Second} {
			for j, victim := range []*nodetest.Team{at, de} {
				ids = append(ids, at.SendsTo(nodetest.Under(agreed), tlp.Amber, fmt.Sprint("text ", i, j)),
					at.SendsFileTo(nodetest.Under(agreed), tlp.Amber, "", nodetest.Document("file", 60_000)))
				w.Wait(after)
				victim.CrashesOnDisk()
				victim.Returns()
			}
			w.Together(at, de)
		}
		de.HoldsAll(ids)
		at.HoldsAll(ids)
		for _, id := range ids {
			at.Receipt(id, de, "stored")
		}
		n := 0
		for range inbox(t, de) {
			n++
		}
		if n != len(ids) {
			t.Errorf("de shows %d messages, %d were sent", n, len(ids))
		}
	})
}

// at and de never have a line to each other: everything goes by bundles that people carry, in both directions, twice, and changed
// on the way.
func TestCarried(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 223, []string{"at", "de"}, func(w *nodetest.World) {
		at, de := w.As("at"), w.As("de")
		w.Split([]*nodetest.Team{at}, []*nodetest.Team{de})
		at.Adds(de)
		de.Adds(at)
		w.Befriend(at, de)
		agreed := at.Offers(de, node.Terms{})
		de.Imports(at.Carries(de))
		de.Signs(agreed)
		at.Imports(de.Carries(at))
		at.Sees(agreed, trust.Active)
		text := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "by hand")
		doc := at.SendsFileTo(nodetest.Under(agreed), tlp.Amber, "", nodetest.Document("a large one, by hand", 300_000))
		bundle := at.Carries(de)
		changed := bytes.Clone(bundle)
		changed[len(changed)/2] ^= 1
		if _, err := de.Node.ImportBundle(t.Context(), bytes.NewReader(changed)); err == nil {
			t.Error("a bundle that was changed is taken in without a word")
		}
		if r := de.Imports(bundle); r.Refused > 0 {
			t.Errorf("the bundle: %+v", r)
		}
		de.Reads(text, "by hand")
		de.Holds(doc)
		if r := de.Imports(bundle); r.New > 0 {
			t.Errorf("the bundle again: %+v", r)
		}
		w.Wait(10 * time.Second)
		at.Imports(de.Carries(at))
		at.Receipt(text, de, "stored")
	})
}

// What was agreed to be kept for ten days is gone after eleven at the receiver; when the agreement is over and its term too, the
// key is given up, and not even who has the disk and all keys reads anything.
func TestRetentionAsAgreed(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 224, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{Keep: 10})
		other := at.SendsTo(nodetest.To(de), tlp.Amber, "without an agreement")
		old := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "for ten days")
		file := at.SendsFileTo(nodetest.Under(agreed), tlp.Amber, "", nodetest.Document("for ten days", 100_000))
		de.Holds(old)
		de.Holds(file)
		w.Passes(9 * day)
		fresh := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "for ten days, too")
		de.Holds(fresh)
		w.Passes(2 * day)
		w.Wait(2 * time.Hour)
		for _, id := range []protocol.Hash{old, file} {
			w.Until("it is forgotten", func() bool { _, err := de.Node.Message(id); return err != nil })
		}
		de.Reads(fresh, "for ten days, too")
		de.Ends(agreed)
		at.Sees(agreed, trust.Ended)
		de.Reads(fresh, "for ten days, too")
		w.Passes(11 * day)
		w.Wait(2 * time.Hour)
		for _, tm := range w.Teams() {
			w.Until(tm.Name+" has forgotten all of it", func() bool { _, err := tm.Node.Message(fresh); return err != nil })
			if rep, err := tm.Node.Fsck(t.Context(), false, nil); err != nil || rep.Found > 0 {
				t.Errorf("%s: fsck: %+v, %v", tm.Name, rep, err)
			}
		}
		de.Reads(other, "without an agreement")
		w.Wait(time.Hour)
		for _, tm := range w.Teams() {
			tm.Leaves()
			for _, id := range []protocol.Hash{fresh, old, file} {
				tm.KeepsNothingOf(id)
			}
			tm.Returns()
		}
		w.Together(at, de)
	})
}

// A thief copies the home of de and runs it. de notices, and replaces its node. From when at knows, the copy is given nothing, and
// its keys open nothing of what at sends; what came before it has, as thieves do.
func TestThiefOfAHome(t *testing.T) {
	nodetest.Run(t, 225, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{})
		before := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "before the theft")
		de.Reads(before, "before the theft")
		at.Receipt(before, de, "stored")
		de.Leaves()
		thief := de.CopyTo("thief")
		de.Returns()
		w.Together(at, de)
		de.ReplacesNode("stolen")
		w.Together(at, de)
		w.Until("at knows", func() bool { return len(at.Knows(de).Nodes) == 2 })
		var ids []protocol.Hash
		ids = append(ids, at.SendsTo(nodetest.Under(agreed), tlp.Amber, "after the theft"),
			at.SendsFileTo(nodetest.To(de), tlp.AmberStrict, "", nodetest.Document("after the theft, too", 90_000)))
		de.HoldsAll(ids)
		thief.Returns()
		w.Wait(5 * time.Minute)
		ids = append(ids, at.SendsTo(nodetest.Under(agreed), tlp.Amber, "while the thief knocks"))
		de.HoldsAll(ids)
		thief.Reads(before, "before the theft")
		for _, id := range ids {
			thief.Lacks(id)
		}
		at.Reads(de.SendsTo(nodetest.Under(agreed), tlp.Amber, "it was us"), "it was us")
	})
}

// anna of de leaves the team. What was sealed to her before she can still open with her key, as everybody can who keeps a letter;
// what at sends after it heard of it she cannot, nor does her new key open what is older than it for others.
func TestPersonLeaves(t *testing.T) {
	nodetest.Run(t, 226, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		at.Employs("otto")
		de.Employs("anna", "bert")
		at.KnowsStaff(de, "anna", "bert")
		one := at.SendsTo(nodetest.To(de), tlp.Red, "for all of you")
		de.Opens(one, "anna")
		de.Opens(one, "bert")
		de.Rekeys("bert")
		de.Dismisses("anna")
		at.KnowsStaff(de, "bert")
		two := at.SendsDraft(node.Draft{Audience: nodetest.To(de), Label: tlp.Red, As: "otto"}, []byte("for who is left"))
		de.CannotOpen(two, "anna")
		de.Opens(two, "bert")
		de.Opens(one, "bert") // with the key that he had then
		if _, doc := at.Opens(two, "otto"); !bytes.HasPrefix(doc, []byte("for who is left")) {
			t.Errorf("otto reads %.50q", doc)
		}
		refuses(t, at, de.Person("anna"), tlp.Red, "no-operators")
	})
}
