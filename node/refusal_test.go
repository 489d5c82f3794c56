package node_test

import (
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// refuses fails the test unless the team refuses to send by the rule.
func refuses(t *testing.T, tm *nodetest.Team, audience string, l tlp.Label, rule string) {
	t.Helper()
	if got := tm.Refuses(audience, l); got != rule {
		t.Errorf("%s sends %s to %.40s: refused by %q, want %q", tm.Name, l, audience, got, rule)
	}
}

// What at may not send to de is refused by its rule while it is written, whatever is the matter; and it is sent when nothing is
// any more.
func TestRefusedAtComposing(t *testing.T) {
	nodetest.Run(t, 210, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		to := nodetest.To(de)
		refuses(t, at, "community", tlp.Amber, "community-ceiling")
		refuses(t, at, to, tlp.Amber, "needs-verified-or-agreement")
		refuses(t, at, to, tlp.Unset, "unlabelled")
		refuses(t, at, to, tlp.Red, "no-operators")
		de.Reads(at.SendsTo(to, tlp.Green, "this much always"), "this much always")
		de.Employs("anna")
		at.KnowsStaff(de, "anna")
		refuses(t, at, to, tlp.Red, "needs-verified")

		offered := at.Offers(de, node.Terms{Ceiling: tlp.Amber})
		refuses(t, at, nodetest.Under(offered), tlp.Green, "agreement-offered")
		de.Signs(offered)
		at.Sees(offered, trust.Active)
		de.Sees(offered, trust.Active)
		de.Reads(at.SendsTo(nodetest.Under(offered), tlp.Amber, "as agreed"), "as agreed")
		de.Reads(at.SendsTo(to, tlp.Amber, "since it is agreed"), "since it is agreed")
		refuses(t, at, nodetest.Under(offered), tlp.AmberStrict, "agreement-ceiling")
		refuses(t, at, nodetest.Under(offered), tlp.Red, "agreement-ceiling")
		refuses(t, at, to, tlp.AmberStrict, "needs-verified-or-agreement")

		at.Suspends(offered)
		refuses(t, at, nodetest.Under(offered), tlp.Clear, "agreement-suspended")
		refuses(t, at, to, tlp.Amber, "needs-verified-or-agreement")
		de.Sees(offered, trust.Suspended)
		refuses(t, de, nodetest.Under(offered), tlp.Clear, "agreement-suspended")
		at.Resumes(offered)
		at.Sees(offered, trust.Active)
		de.Sees(offered, trust.Active)
		at.Reads(de.SendsTo(nodetest.Under(offered), tlp.Amber, "again"), "again")
		de.Ends(offered)
		at.Sees(offered, trust.Ended)
		refuses(t, at, nodetest.Under(offered), tlp.Clear, "agreement-ended")
		refuses(t, de, nodetest.Under(offered), tlp.Clear, "agreement-ended")

		later := w.Agree(at, de, node.Terms{Ceiling: tlp.Amber, From: time.Now().Add(24 * time.Hour), Days: 3})
		refuses(t, at, nodetest.Under(later), tlp.Amber, "agreement-waiting")
		w.Passes(2 * 24 * time.Hour)
		de.Reads(at.SendsTo(nodetest.Under(later), tlp.Amber, "its time has come"), "its time has come")
		w.Passes(3 * 24 * time.Hour)
		refuses(t, at, nodetest.Under(later), tlp.Amber, "agreement-expired")
		refuses(t, de, nodetest.Under(later), tlp.Amber, "agreement-expired")

		w.Befriend(at, de)
		red := at.SendsTo(to, tlp.Red, "for your people")
		de.Opens(red, "anna")
		refuses(t, at, de.Person("nobody"), tlp.Red, "no-operators")
		refuses(t, at, de.Person("anna"), tlp.Amber, "person-red")
	})
}

// A team that is stale, disputed or blocked gets nothing, and whoever writes to it is told so at once.
func TestRefusedForTheTeam(t *testing.T) {
	nodetest.Run(t, 211, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{})
		at.Blocks(de)
		for _, to := range []string{nodetest.To(de), nodetest.Under(agreed)} {
			for _, l := range []tlp.Label{tlp.Clear, tlp.Amber} {
				refuses(t, at, to, l, "peer-blocked")
			}
		}
		w.Wait(time.Second)
		at.Unblocks(de)
		w.Together(at, de)
		de.Reads(at.SendsTo(nodetest.Under(agreed), tlp.Amber, "we made up"), "we made up")
		de.Certifies(func(m *protocol.Manifest) { m.Expires = uint64(time.Now().Add(5 * time.Minute).Unix()) })
		w.Wait(7 * time.Minute)
		for _, to := range []string{nodetest.To(de), nodetest.Under(agreed)} {
			refuses(t, at, to, tlp.Amber, "peer-stale")
		}
		de.Certifies(nil)
		w.Until("at knows", func() bool { return at.Knows(de).State == trust.Verified })
		de.Reads(at.SendsTo(nodetest.To(de), tlp.Amber, "renewed"), "renewed")
	})
}

// de suspends the agreement and at, behind a cut cable, does not hear of it. What at sends meanwhile is carried to de by hand, and
// waits there unseen; at learns by a receipt that it does, and when the agreement is resumed it is shown.
func TestSuspendedDuringAPartition(t *testing.T) {
	nodetest.Run(t, 212, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{})
		de.Reads(at.SendsTo(nodetest.Under(agreed), tlp.Amber, "before"), "before")
		w.Split([]*nodetest.Team{at}, []*nodetest.Team{de})
		w.Wait(time.Minute)
		de.Suspends(agreed)
		late := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "at does not know")
		de.Imports(at.Carries(de))
		de.HoldsBack(late, "agreement-suspended")
		if inbox(t, de)[late] {
			t.Error("de shows it")
		}
		later := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "at still does not know")
		w.Heal()
		at.Receipt(late, de, "held")
		at.Sees(agreed, trust.Suspended)
		refuses(t, at, nodetest.Under(agreed), tlp.Amber, "agreement-suspended")
		w.Wait(5 * time.Minute)
		for _, id := range []protocol.Hash{late, later} {
			if inbox(t, de)[id] {
				t.Error("de shows what came under an agreement that it suspended")
			}
		}
		de.Leaves()
		de.Returns()
		de.HoldsBack(late, "agreement-suspended")
		w.Together(at, de)
		de.Resumes(agreed)
		de.Reads(late, "at does not know")
		de.Reads(later, "at still does not know")
		at.Receipt(late, de, "stored")
		at.Receipt(later, de, "stored")
		at.Sees(agreed, trust.Active)
		de.Reads(at.SendsTo(nodetest.Under(agreed), tlp.Amber, "after"), "after")
	})
}

// de does not have at as verified any longer, for it never had: what at may send, since it verified de, is held back at de until
// somebody there compared fingerprints.
func TestHeldUntilVerified(t *testing.T) {
	nodetest.Run(t, 213, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		at.Verifies(de)
		id := at.SendsTo(nodetest.To(de), tlp.AmberStrict, "at trusts de, and de does not know at")
		de.HoldsBack(id, "needs-verified-or-agreement")
		at.Receipt(id, de, "held")
		de.Leaves()
		de.Returns()
		de.HoldsBack(id, "needs-verified-or-agreement")
		de.Verifies(at)
		de.Reads(id, "at trusts de")
		at.Receipt(id, de, "stored")
	})
}

// at's agreement ends while its message is under way: de, who ended it, keeps the message hidden for good, and at knows.
func TestEndedDuringAPartition(t *testing.T) {
	nodetest.Run(t, 214, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		agreed := w.Agree(at, de, node.Terms{})
		w.Split([]*nodetest.Team{at}, []*nodetest.Team{de})
		w.Wait(time.Minute)
		de.Ends(agreed)
		late := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "too late")
		de.Imports(at.Carries(de))
		de.HoldsBack(late, "agreement-ended")
		w.Heal()
		de.HoldsBack(late, "agreement-ended")
		at.Receipt(late, de, "held")
		at.Sees(agreed, trust.Ended)
		w.Wait(time.Hour)
		de.HoldsBack(late, "agreement-ended")
	})
}

// The clock of at, or of de, is wrong by days either way. Messages under an agreement that is valid by both clocks pass; those of
// the future wait for their time; nothing is lost when the clocks are set.
func TestWrongClocks(t *testing.T) {
	for i, wrong := range []time.Duration{3 * 24 * time.Hour, -3 * 24 * time.Hour} {
		nodetest.Run(t, uint64(215+i), []string{"at", "de"}, func(w *nodetest.World) {
			w.AllMeet()
			at, de := w.As("at"), w.As("de")
			w.Befriend(at, de)
			agreed := w.Agree(at, de, node.Terms{From: time.Now().Add(-10 * 24 * time.Hour)})
			at.SetClock(wrong)
			w.Wait(2 * time.Minute)
			one := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "what time is it?")
			two := de.SendsTo(nodetest.Under(agreed), tlp.Amber, "you are out by days")
			de.Arrives(one)
			at.Arrives(two)
			at.Receipt(one, de, "stored")
			de.Receipt(two, at, "stored")
			at.SetClock(0)
			at.Reads(two, "you are out")
			three := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "set")
			if wrong > 0 {
				for _, tm := range w.Teams() {
					tm.SetClock(wrong) // the days pass
				}
			}
			de.Reads(one, "what time")
			de.Reads(three, "set")
		})
	}
}

// Two root records of de contradict each other: at, who heard of both, holds de as disputed, and nothing that is meant for de is
// sent, agreed or not, nor anything of de taken in; what de said before can be read.
func TestRefusedWhileDisputed(t *testing.T) {
	nodetest.Run(t, 217, []string{"at", "de", "mallory"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{})
		old := de.SendsTo(nodetest.Under(agreed), tlp.Amber, "in good time")
		at.Reads(old, "in good time")
		two := de.TwoRoots()
		mallory := w.As("mallory").Turns()
		mallory.Connects(at, de)
		for _, raw := range two {
			mallory.Publishes(raw)
		}
		w.Until("at holds de as disputed", func() bool { return at.Knows(de).State == trust.Disputed })
		refuses(t, at, nodetest.To(de), tlp.Amber, "peer-disputed")
		if got := at.Refuses(nodetest.Under(agreed), tlp.Amber); got != "peer-disputed" && got != "agreement-disputed" {
			t.Errorf("under the agreement: refused by %q", got)
		}
		at.Reads(old, "in good time")
	})
}

// de blocks at, who does not know: nothing passes, and de keeps nothing that at sends meanwhile. Then they make up, and all of it
// arrives.
func TestBlockedByTheReceiver(t *testing.T) {
	nodetest.Run(t, 218, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		agreed := w.Agree(at, de, node.Terms{})
		de.Blocks(at)
		id := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "do you hear me?")
		w.Wait(10 * time.Minute)
		de.Lacks(id)
		if r := at.Receipt(id, de, "sent"); r.Person != "" {
			t.Errorf("a receipt of somebody who hears nothing: %+v", r)
		}
		de.Unblocks(at)
		de.Reads(id, "do you hear me?")
		at.Receipt(id, de, "stored")
	})
}

// at and de agreed on no receipts: at learns nothing of what becomes of its messages, not even which person opened RED.
func TestNoReceipts(t *testing.T) {
	nodetest.Run(t, 219, []string{"at", "de"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		w.Befriend(at, de)
		de.Employs("anna")
		at.KnowsStaff(de, "anna")
		agreed := w.Agree(at, de, node.Terms{Receipts: protocol.ReceiptsNone})
		text := at.SendsTo(nodetest.Under(agreed), tlp.Amber, "no questions asked")
		red := at.SendsTo(nodetest.Under(agreed), tlp.Red, "nor here")
		de.Reads(text, "no questions asked")
		de.Opens(red, "anna")
		w.Wait(5 * time.Minute)
		for _, id := range []protocol.Hash{text, red} {
			rs, err := at.Node.Receipts(id)
			if err != nil || len(rs) != 1 || rs[0].State != "sent" {
				t.Errorf("at knows %+v, %v", rs, err)
			}
		}
	})
}
