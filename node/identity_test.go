package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// The machine of at is cloned, and both run, each on one side of a cut cable. Both sign a second message. When the cable is
// mended, both notice and stop; others keep what they heard first, hold one proof that at's key said two things, and say so.
func TestClone(t *testing.T) {
	nodetest.Run(t, 10, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		first := at.Sends(tlp.Green, "there is one of me")
		w.Settle()
		at.Leaves()
		clone := at.CopyTo("clone")
		w.Split([]*nodetest.Team{at, de}, []*nodetest.Team{clone, pl, cz})
		at.Returns()
		clone.Returns()
		w.Together(at, de)
		w.Together(clone, pl)
		one := at.Sends(tlp.Green, "said by the one")
		other := clone.Sends(tlp.Green, "said by the other")
		de.Holds(one)
		pl.Holds(other)
		cz.Holds(other)
		w.Heal()
		for _, tm := range []*nodetest.Team{de, pl, cz} {
			tm.Doctor("of at signed two different messages for one place")
			tm.Holds(first)
		}
		de.Lacks(other)
		pl.Lacks(one)
		w.Until("one of the two stops", func() bool { return stopped(t, at) || stopped(t, clone) })
		for _, tm := range []*nodetest.Team{at, clone} {
			if stopped(t, tm) {
				if rule := tm.Refused("a third word"); rule != "signing-stopped" {
					t.Errorf("%s refuses by rule %q", tm.Name, rule)
				}
				tm.Doctor("this node does not sign")
			}
		}
	})
}

func stopped(t *testing.T, tm *nodetest.Team) bool {
	t.Helper()
	s, err := tm.Node.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s.Stopped != ""
}

// The disk of at dies after six messages. It is restored from a copy that was made after the third: a backup, without the file
// of heads, or an image of the whole machine, which only its colleagues can tell from the true one. The restored node does not sign, fetches its own lost messages, and speaks again with a new key that an officer certified.
// What the old key said stays readable; what it says now is refused everywhere, whatever time it claims.
func TestRestored(t *testing.T) {
	t.Run("a backup", func(t *testing.T) { restored(t, 11, false) })
	t.Run("an image", func(t *testing.T) { restored(t, 17, true) })
}

func restored(t *testing.T, seed uint64, withHeads bool) {
	t.Helper()
	nodetest.Run(t, seed, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		var ids []protocol.Hash
		say := func(n int) {
			for range n {
				ids = append(ids, at.Sends(tlp.Green, fmt.Sprint("message ", len(ids)+1)))
			}
			w.Settle()
		}
		say(3)
		at.Leaves()
		back := at.CopyTo("restored")
		if !withHeads {
			if err := os.Remove(filepath.Join(back.Home, "heads")); err != nil {
				t.Fatal(err)
			}
		}
		at.Returns()
		w.Together(w.Teams()[:4]...)
		say(3)
		at.Crashes()
		w.Wait(time.Minute)
		back.Returns()
		if rule := back.Refused("as if nothing had happened"); rule != "signing-stopped" {
			t.Errorf("the restored node refuses by rule %q", rule)
		}
		back.HoldsAll(ids)
		back.Doctor("this node does not sign")
		w.Together(back, de)
		w.Together(back, pl)
		w.Together(back, cz)
		thief := at.Stolen()
		thief.Follows(de)

		r, err := back.Node.PrepareNode()
		if err != nil {
			t.Fatal(err)
		}
		if r.Cutoff.LastSeq != 6 {
			t.Fatalf("the cut-off stands at %d", r.Cutoff.LastSeq)
		}
		back.Certifies(func(m *protocol.Manifest) {
			nodetest.Revoke(m, r.Old, "restored from a backup")
			m.Nodes = append(m.Nodes, r.Node)
		}, r.Cutoff)
		for _, tm := range []*nodetest.Team{de, pl, cz} {
			w.Until(tm.Name+" knows the new key", func() bool { return len(tm.Knows(back).Nodes) == 2 })
		}
		back.Leaves()
		back.Returns()
		again := back.Sends(tlp.Green, "back again")
		for _, tm := range []*nodetest.Team{de, pl, cz} {
			tm.Holds(again)
			tm.HoldsAll(ids)
			for _, id := range ids {
				if v, err := tm.Node.Message(id); err != nil || v.Quarantined != "" || v.Title == "" {
					t.Errorf("%s cannot read what the old key said: %+v, %v", tm.Name, v, err)
				}
			}
		}

		mallory := cz.Turns()
		mallory.Connects(de, pl)
		now, nowID := thief.Says("said with the old key")
		st := thief.Statement("said long ago, it says")
		st.Clock = protocol.HLC(0).Next(time.Now().Add(-24 * time.Hour))
		old, oldID := thief.Parcel(st)
		mallory.Publishes(now)
		mallory.Publishes(old)
		w.Wait(2 * time.Minute)
		for _, tm := range []*nodetest.Team{de, pl} {
			tm.Lacks(nowID)
			tm.Lacks(oldID)
		}
		de.Holds(back.Sends(tlp.Green, "still here"))
	})
}

// at's key is stolen. On the far side of a cut cable the thief speaks in at's name, in a place where at itself said something,
// and beyond. at revokes the key up to its own last word. When the cable is mended, that word takes the thief's place
// everywhere, and nothing more of the old key is taken in.
func TestRevokedBehindAPartition(t *testing.T) {
	nodetest.Run(t, 12, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		var ids []protocol.Hash
		for i := range 3 {
			ids = append(ids, at.Sends(tlp.Green, fmt.Sprint("message ", i+1)))
		}
		w.Settle()
		thief := at.Stolen()
		thief.Follows(pl)
		mallory := cz.Turns()
		w.Split([]*nodetest.Team{at, de}, []*nodetest.Team{pl, cz})
		mallory.Connects(pl)
		ids = append(ids, at.Sends(tlp.Green, "message 4"))
		de.HoldsAll(ids)
		four, fourID := thief.Says("message 4, says the thief")
		five, fiveID := thief.Says("message 5, says the thief")
		mallory.Publishes(four)
		mallory.Publishes(five)
		pl.Holds(fourID)
		pl.Holds(fiveID)

		r, err := at.Node.PrepareNode()
		if err != nil {
			t.Fatal(err)
		}
		at.Certifies(func(m *protocol.Manifest) {
			nodetest.Revoke(m, r.Old, "stolen")
			m.Nodes = append(m.Nodes, r.Node)
		}, r.Cutoff)
		w.Until("de knows", func() bool { return len(de.Knows(at).Nodes) == 2 })
		at.Leaves()
		at.Returns()
		w.Together(at, de)
		new := at.Sends(tlp.Green, "with a new key")
		de.Holds(new)
		w.Heal()
		pl.HoldsAll(ids)
		pl.Holds(new)
		pl.Lacks(fourID)
		de.Lacks(fourID)
		de.Lacks(fiveID)
		six, sixID := thief.Says("message 6, says the thief")
		mallory.Publishes(six)
		w.Wait(12 * time.Minute)
		pl.Lacks(sixID)
		de.Lacks(fiveID)
		de.Lacks(sixID)
		// What pl took in before it knew is not hidden, and not believed either.
		if v, err := pl.Node.Message(fiveID); err == nil && v.Doubt == "" {
			t.Errorf("pl shows the thief's words without doubt: %+v", v)
		}
		if v, err := pl.Node.Message(ids[0]); err != nil || v.Doubt != "" {
			t.Errorf("pl doubts what at said: %+v, %v", v, err)
		}
		// The index of the message that made way is swept up by a repair.
		if _, err := pl.Node.Fsck(t.Context(), true, nil); err != nil {
			t.Fatal(err)
		}
	})
}

// at and d never met. But b and c, whom both verified, verified both. So at and d find each other, and talk. Then b takes
// its word back, and one word is not enough.
func TestIntroducedByColleagues(t *testing.T) {
	nodetest.Run(t, 13, []string{"at", "b", "c", "d"}, func(w *nodetest.World) {
		at, b, c, d := w.As("at"), w.As("b"), w.As("c"), w.As("d")
		w.Meet(at, b, c)
		w.Meet(b, c, d)
		at.Verifies(b)
		at.Verifies(c)
		d.Verifies(b)
		d.Verifies(c)
		w.Wait(time.Minute)
		if s := state(at, d); s == trust.Introduced || s == trust.Verified {
			t.Fatalf("at holds d as %v, for whom nobody spoke", s)
		}
		for _, x := range []*nodetest.Team{b, c} {
			x.Verifies(at)
			x.Verifies(d)
		}
		w.Until("at knows d", func() bool { return state(at, d) == trust.Introduced })
		w.Until("d knows at", func() bool { return state(d, at) == trust.Introduced })
		w.Together(at, d)
		d.Holds(at.Sends(tlp.Green, "pleased to meet you"))
		at.Holds(d.Sends(tlp.Green, "likewise"))
		w.Settle()

		now := uint64(time.Now().Unix())
		e, err := protocol.Sign(&protocol.Attest{Issuer: b.ID, Subject: d.ID, Method: "phone", Issued: now,
			Expires: now + 86400*365, Retract: true}, b.Officer())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Node.AddOwnRecords([]*protocol.Envelope{e}); err != nil {
			t.Fatal(err)
		}
		w.Until("at knows d no more", func() bool { return state(at, d) == trust.Unknown })
		w.Until("they part", func() bool { return !at.Knows(d).Nodes[0].Connected })
		id := d.Sends(tlp.Green, "do you still hear me?")
		b.Holds(id)
		w.Wait(time.Minute)
		at.Lacks(id)
	})
}

// state returns how the first team holds the second, Unknown if it never heard of it.
func state(t, o *nodetest.Team) trust.State {
	info, err := t.Node.Team(o.ID.String())
	if err != nil {
		return trust.Unknown
	}
	return info.State
}

// at and de block pl. It takes effect at once: connections end, pl gets nothing more of either, and its words are refused. Then
// they make up, and all get what they missed.
func TestBlock(t *testing.T) {
	nodetest.Run(t, 14, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		before := at.Sends(tlp.Green, "before")
		w.Settle()
		for _, tm := range []*nodetest.Team{at, de} {
			if err := tm.Node.BlockTeam(pl.ID, "officer-1"); err != nil {
				t.Fatal(err)
			}
		}
		during := []protocol.Hash{at.Sends(tlp.Green, "without pl"), de.Sends(tlp.Clear, "the same")}
		de.Holds(during[0])
		mine := pl.Sends(tlp.Green, "does anybody hear me?")
		w.Wait(time.Second)
		for _, tm := range []*nodetest.Team{at, de} {
			if tm.Knows(pl).Nodes[0].Connected {
				t.Errorf("%s is still connected with pl", tm.Name)
			}
		}
		w.Wait(15 * time.Minute)
		pl.LacksAll(during)
		at.Lacks(mine)
		de.Lacks(mine)
		pl.Holds(before)
		at.Doctor("pl is blocked")
		for _, tm := range []*nodetest.Team{at, de} {
			if err := tm.Node.UnblockTeam(pl.ID, "officer-1"); err != nil {
				t.Fatal(err)
			}
		}
		pl.HoldsAll(during)
		at.Holds(mine)
		de.Holds(mine)
		w.Settle()
	})
}

// The manifest of de runs out. Others hold it as stale: what it said can be read, nothing new passes either way. A renewed
// manifest finds its way, and everybody gets what was missed.
func TestManifestExpires(t *testing.T) {
	nodetest.Run(t, 15, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		old := de.Sends(tlp.Green, "in good time")
		w.Settle()
		de.Certifies(func(m *protocol.Manifest) { m.Expires = uint64(time.Now().Add(5 * time.Minute).Unix()) })
		w.Wait(7 * time.Minute)
		for _, tm := range []*nodetest.Team{at, pl} {
			if s := tm.Knows(de).State; s != trust.Stale {
				t.Errorf("%s holds de as %v", tm.Name, s)
			}
			tm.Holds(old)
		}
		at.Doctor("de is stale")
		de.Doctor("this team's manifest has expired")
		theirs := at.Sends(tlp.Green, "de should not get this yet")
		mine := de.Sends(tlp.Green, "nobody should get this yet")
		pl.Holds(theirs)
		w.Wait(3 * time.Minute)
		at.Lacks(mine)
		pl.Lacks(mine)
		de.Lacks(theirs)
		de.Certifies(nil)
		for _, tm := range w.Teams() {
			tm.HoldsAll([]protocol.Hash{old, theirs, mine})
		}
		w.Settle()
	})
}

// at corrects what it said, and everybody sees which word is the last. pl may not correct at: its own node refuses, and who
// goes round that changes nothing.
func TestCorrection(t *testing.T) {
	nodetest.Run(t, 16, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		id := at.Sends(tlp.Green, "the address is 192.0.2.1")
		c := at.Corrects(id, tlp.Green, "the address is 192.0.2.2")
		for _, tm := range []*nodetest.Team{de, pl} {
			tm.Holds(c)
			if v, err := tm.Node.Message(id); err != nil || v.SupersededBy != c {
				t.Errorf("%s: %+v, %v", tm.Name, v, err)
			}
			if v, err := tm.Node.Message(c); err != nil || v.Supersedes != id || v.Kind != "correction" {
				t.Errorf("%s: %+v, %v", tm.Name, v, err)
			}
		}
		_, err := pl.Node.Send(context.Background(), node.Draft{Audience: "community", Label: tlp.Green, Size: 2, Supersedes: id}, strings.NewReader("no"))
		var refused *node.RefusedError
		if !errors.As(err, &refused) || refused.Rule != "correct-own" {
			t.Errorf("pl corrects at: %v", err)
		}
		_, err = at.Node.Send(context.Background(), node.Draft{Audience: "community", Label: tlp.Clear, Size: 2, Supersedes: id}, strings.NewReader("no"))
		if !errors.As(err, &refused) || refused.Rule != "label-loosened" {
			t.Errorf("at widens its label: %v", err)
		}
		mallory := pl.Turns()
		mallory.Connects(at, de)
		for _, old := range []protocol.Hash{id, c} {
			st := mallory.Statement("the address is 203.0.113.66")
			st.Kind, st.Supersedes = protocol.KindCorrection, old
			raw, _ := mallory.Parcel(st)
			mallory.Publishes(raw)
		}
		w.Wait(time.Minute)
		for _, tm := range []*nodetest.Team{at, de} {
			if v, err := tm.Node.Message(id); err != nil || v.SupersededBy != c {
				t.Errorf("%s lets pl correct at: %+v, %v", tm.Name, v, err)
			}
			if v, err := tm.Node.Message(c); err != nil || !v.SupersededBy.IsZero() {
				t.Errorf("%s lets pl correct at: %+v, %v", tm.Name, v, err)
			}
		}
	})
}
