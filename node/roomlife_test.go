package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// says lets a team say something in a room, and waits until the readers have it.
func says(room protocol.Hash, from *nodetest.Team, text string, readers ...*nodetest.Team) protocol.Hash {
	id := from.SendsTo(nodetest.InRoom(room), tlp.Amber, text)
	for _, r := range readers {
		r.Reads(id, text)
	}
	return id
}

// rule returns the rule by which something was refused.
func rule(t *testing.T, err error) string {
	t.Helper()
	var no *node.RefusedError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &no):
		t.Fatalf("not a refusal: %v", err)
	}
	return no.Rule
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// A team is admitted: two members speak for it, it accepts, three weeks pass in which members may object, and the stewards vote.
// What was said before it joined it reads if the charter says so.
func TestAdmission(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	for i, c := range []struct {
		name    string
		terms   node.RoomTerms
		old     bool // a newcomer reads what was said before
		recent  bool // and what was said after a date of the charter
		contest bool
	}{
		{name: "joining", contest: true},
		{name: "date", terms: node.RoomTerms{History: protocol.HistoryDate, EpochDays: 5}, recent: true},
		{name: "all", terms: node.RoomTerms{History: protocol.HistoryAll}, old: true, recent: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodetest.Run(t, uint64(410+i), []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
				w.AllMeet()
				at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
				terms := c.terms
				if terms.History == protocol.HistoryDate {
					terms.HistoryFrom = time.Now().Add(days(12))
				}
				room := w.FoundRoom(terms, []*nodetest.Team{at, de, pl}, []*nodetest.Team{fr})
				old := says(room, at, "before anybody thought of cz", de, pl, fr)
				w.Passes(days(10))
				at.Vouches(room, cz)
				cz.SeesMember(room, cz, trust.StandingProposed)
				cz.Accepts(room)
				w.Passes(days(9))
				recent := says(room, de, "while cz waits", at, pl, fr)
				de.Vouches(room, cz)
				refused := func(why string) {
					t.Helper()
					got := ""
					for range 60 {
						if got = rule(t, at.TriesIn(room, node.RoomAct{Kind: "admit", Team: cz.ID.String()})); got == why {
							return
						}
						w.Wait(time.Second)
					}
					t.Fatalf("a vote is refused by rule %q, want %q", got, why)
				}
				refused("objection-window")
				if c.contest {
					fr.Objects(room, cz)
				}
				w.Passes(days(11))
				w.Passes(days(11))
				objected := func(n int) {
					t.Helper()
					w.Until("at knows of the objection, or that it is withdrawn", func() bool {
						return len(at.SeesProposal(room, "admission", cz).Objected) == n
					})
				}
				if c.contest {
					objected(1)
					fr.In(room, node.RoomAct{Kind: "withdraw", Team: cz.ID.String()})
					objected(0)
				}
				at.Admits(room, cz)
				for _, s := range []*nodetest.Team{de, pl} {
					s.Votes(room, cz)
				}
				for _, m := range []*nodetest.Team{at, de, pl, fr, cz} {
					m.SeesMember(room, cz, trust.StandingMember)
				}
				says(room, at, "welcome", de, pl, fr, cz)
				says(room, cz, "thank you", at, de, pl, fr)
				w.Wait(time.Minute)
				for _, x := range []struct {
					id   protocol.Hash
					want bool
				}{{old, c.old}, {recent, c.recent}} {
					if x.want {
						cz.Holds(x.id)
					} else {
						cz.Lacks(x.id)
					}
				}
			})
		})
	}
}

// One steward keeps a member out, at once and for two weeks; then it is back, and what was said meanwhile comes.
func TestHold(t *testing.T) {
	nodetest.Run(t, 420, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		room := w.Incident(at, de, pl, cz)
		says(room, at, "all hear this", de, pl, cz)
		de.HoldsOut(room, cz)
		quiet := says(room, de, "cz is not to hear this", at, pl)
		for _, m := range []*nodetest.Team{at, pl} {
			m.SeesMember(room, cz, trust.StandingHeld)
		}
		cz.SeesMember(room, cz, trust.StandingHeld)
		says(room, at, "nor this", de, pl)
		w.Wait(time.Minute)
		cz.Lacks(quiet)
		if got := cz.Refuses(nodetest.InRoom(room), tlp.Amber); got == "" {
			t.Error("who is held speaks")
		}
		if got := rule(t, de.TriesIn(room, node.RoomAct{Kind: "hold", Team: cz.ID.String()})); got != "hold-given" {
			t.Errorf("a second hold by the same steward: rule %q", got)
		}
		w.Passes(days(15))
		for _, m := range w.Teams() {
			m.SeesMember(room, cz, trust.StandingMember)
		}
		says(room, cz, "here again", at, de, pl)
		says(room, at, "welcome back", de, pl, cz)
	})
}

// A member is removed while everybody speaks. Nothing whose author knew of it can be opened with what the removed one has.
func TestRemovalInTheMiddle(t *testing.T) {
	nodetest.Run(t, 421, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		all := []*nodetest.Team{at, de, pl, cz}
		room := w.FoundRoom(node.RoomTerms{}, all, []*nodetest.Team{fr})
		var ids []protocol.Hash
		n := 0
		chatter := func() {
			for _, m := range all {
				n++
				ids = append(ids, m.SendsTo(nodetest.InRoom(room), tlp.Amber, fmt.Sprint("word ", n)))
				w.Wait(17 * time.Millisecond)
			}
		}
		chatter()
		at.Removes(room, fr)
		chatter()
		de.Votes(room, fr)
		chatter()
		pl.Votes(room, fr)
		for range 5 {
			chatter()
		}
		for _, m := range all {
			m.SeesMember(room, fr, trust.StandingRemoved)
		}
		fr.SeesMember(room, fr, trust.StandingRemoved)
		chatter()
		for _, m := range all {
			m.HoldsAll(ids)
		}
		if got := fr.Refuses(nodetest.InRoom(room), tlp.Amber); got == "" {
			t.Error("who was removed speaks")
		}
	})
}

// The one that is removed hears one member alone, which for a while hears nobody else. As soon as that member knows, it tells it
// nothing more.
func TestRemovedBehindAPartition(t *testing.T) {
	nodetest.Run(t, 422, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl, cz}, []*nodetest.Team{fr})
		says(room, cz, "hello", at, de, pl, fr)
		w.Split([]*nodetest.Team{at, de, pl}, []*nodetest.Team{cz, fr})
		for i, s := range []*nodetest.Team{at, de, pl} {
			if i == 0 {
				s.Removes(room, fr)
			} else {
				s.Votes(room, fr)
			}
		}
		at.SeesMember(room, fr, trust.StandingRemoved)
		secret := says(room, at, "fr leaks", de, pl)
		says(room, cz, "does anybody hear us?", fr) // cz cannot know
		w.Heal()
		for _, m := range []*nodetest.Team{at, de, pl} {
			w.CutOff(m, fr)
		}
		cz.SeesMember(room, fr, trust.StandingRemoved)
		cz.Reads(secret, "fr leaks")
		after := says(room, cz, "now I know", at, de, pl)
		w.Wait(2 * time.Minute)
		fr.Lacks(secret)
		fr.Lacks(after)
		w.Heal()
		w.Together(w.Teams()...)
		w.Wait(2 * time.Minute)
		fr.Lacks(secret)
	})
}

// Two parts of a room that never meet are one through a third: card, key and message come through it.
func TestThirdMemberForwards(t *testing.T) {
	nodetest.Run(t, 423, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl}, []*nodetest.Team{cz})
		says(room, at, "all are here", de, pl, cz)
		for _, m := range []*nodetest.Team{at, de} {
			w.CutOff(m, cz)
		}
		w.Wait(time.Minute)
		at.HoldsOut(room, pl) // at's word reaches cz through de? No: through pl alone, which it is about
		cz.SeesMember(room, pl, trust.StandingHeld)
		id := at.SendsTo(nodetest.InRoom(room), tlp.Amber, "not for pl")
		de.Reads(id, "not for pl")
		w.Wait(time.Minute)
		pl.Lacks(id)
		w.Heal()
		cz.Reads(id, "not for pl")
		w.Passes(days(15))
		for _, m := range w.Teams() {
			m.SeesMember(room, pl, trust.StandingMember)
		}
		for _, m := range []*nodetest.Team{at, de} {
			w.CutOff(m, cz)
		}
		w.Wait(time.Minute)
		through := at.SendsTo(nodetest.InRoom(room), tlp.Amber, "through pl")
		cz.Reads(through, "through pl")
		back := cz.SendsTo(nodetest.InRoom(room), tlp.Amber, "and back")
		at.Reads(back, "and back")
		w.Heal()
	})
}

// A member comes back after three weeks. It may not speak before it has heard from others who is still in the room.
func TestAwayFromARoom(t *testing.T) {
	nodetest.Run(t, 424, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl}, []*nodetest.Team{cz, fr})
		says(room, cz, "off for a while", at, de, pl, fr)
		cz.Leaves()
		var missed []protocol.Hash
		for i := range 3 {
			w.Passes(days(7))
			missed = append(missed, says(room, at, fmt.Sprint("week ", i), de, pl))
		}
		at.Removes(room, fr)
		de.Votes(room, fr)
		pl.Votes(room, fr)
		at.SeesMember(room, fr, trust.StandingRemoved)
		missed = append(missed, says(room, at, "without fr", de, pl))
		w.Split([]*nodetest.Team{at, de, pl}, []*nodetest.Team{cz, fr})
		cz.Returns()
		cz.Connects(fr)
		w.Wait(time.Minute)
		if got := cz.Refuses(nodetest.InRoom(room), tlp.Amber); got != "not-fresh" {
			t.Errorf("who was away speaks before it caught up: rule %q", got)
		}
		w.Heal()
		cz.SeesMember(room, fr, trust.StandingRemoved)
		cz.HoldsAll(missed)
		w.Until("cz may speak again", func() bool { return cz.Refuses(nodetest.InRoom(room), tlp.Amber) == "" })
		says(room, cz, "back", at, de, pl)
	})
}

// A member leaves by its own word, with nobody's vote. What it said before stays, what is said after it does not get.
func TestLeavingARoom(t *testing.T) {
	nodetest.Run(t, 425, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl}, []*nodetest.Team{cz})
		says(room, cz, "a last word", at, de, pl)
		w.Split([]*nodetest.Team{at, de, cz}, []*nodetest.Team{pl})
		last := says(room, cz, "really the last", at, de)
		cz.LeavesRoom(room)
		if n := cz.HoldsEpochs(room); n != 0 {
			t.Errorf("who left holds %d keys of the room", n)
		}
		at.SeesMember(room, cz, trust.StandingLeft)
		says(room, at, "it is gone", de)
		w.Heal()
		pl.SeesMember(room, cz, trust.StandingLeft)
		pl.Reads(last, "really the last")
		says(room, pl, "we shall miss it", at, de)
		if got := cz.Refuses(nodetest.InRoom(room), tlp.Amber); got == "" {
			t.Error("who left speaks")
		}
	})
}

// Memberships end unless the stewards renew them.
func TestRenewalAndLapse(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 426, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		room := w.FoundRoom(node.RoomTerms{CardDays: 40}, []*nodetest.Team{at, de, pl}, []*nodetest.Team{cz, fr})
		says(room, fr, "all are here", at, de, pl, cz)
		w.Passes(days(20))
		warned := false
		for _, s := range at.SeesIn(room).Warnings {
			warned = warned || strings.Contains(s, "membership")
		}
		if !warned {
			t.Errorf("no word that memberships end: %q", at.SeesIn(room).Warnings)
		}
		renewed := []*nodetest.Team{at, de, pl, cz}
		for _, m := range renewed {
			n := 0
			for _, s := range []*nodetest.Team{at, de, pl} {
				if s == m {
					continue
				}
				if n == 0 {
					s.Renews(room, m)
				} else {
					s.Votes(room, m)
				}
				n++
			}
		}
		w.Passes(days(22))
		for _, m := range renewed {
			m.SeesMember(room, fr, trust.StandingLapsed)
			for _, o := range renewed {
				m.SeesMember(room, o, trust.StandingMember)
			}
		}
		id := says(room, at, "fr was not renewed", de, pl, cz)
		w.Wait(time.Minute)
		fr.Lacks(id)
		at.Renews(room, fr)
		de.Votes(room, fr)
		pl.Votes(room, fr)
		fr.SeesMember(room, fr, trust.StandingMember)
		says(room, fr, "here again", at, de, pl, cz)
	})
}

// A new charter takes effect with a new key.
func TestCharterChange(t *testing.T) {
	nodetest.Run(t, 427, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl, cz}, []*nodetest.Team{fr})
		says(room, at, "under the first charter", de, pl, cz, fr)
		before := at.SeesIn(room).Epoch
		c := at.Amends(room, node.RoomTerms{Ceiling: tlp.Amber, Text: "no more strict matters", DropStewards: []string{"cz"}})
		w.Decide(room, c, at, de, pl)
		for _, m := range w.Teams() {
			m.SeesMember(room, fr, trust.StandingMember)
			w.Until(m.Name+" has the charter", func() bool { return m.SeesIn(room).Version == 2 })
		}
		says(room, at, "under the second charter", de, pl, cz, fr)
		if v := at.SeesIn(room); v.Epoch == before {
			t.Error("the key is the one of the former charter")
		} else if len(v.Stewards) != 3 {
			t.Errorf("stewards %d, want 3", len(v.Stewards))
		}
		if got := at.Refuses(nodetest.InRoom(room), tlp.AmberStrict); got != "room-ceiling" {
			t.Errorf("above the ceiling of the new charter: rule %q", got)
		}
		if got := rule(t, cz.TriesIn(room, node.RoomAct{Kind: "hold", Team: fr.ID.String()})); got != "not-steward" {
			t.Errorf("who is steward no more holds a member: rule %q", got)
		}
	})
}

// Whoever gave the last vote for a newcomer speaks to it at once, and does not wait for anybody to make a new key.
func TestFirstWordsToANewcomer(t *testing.T) {
	nodetest.Run(t, 428, []string{"at", "de", "pl", "cz", "fr", "es"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		stewards := []*nodetest.Team{at, de, pl}
		one, none := 1, 0
		room := w.FoundRoom(node.RoomTerms{Sponsors: &one, ObjectionDays: &none}, stewards, nil)
		says(room, at, "all are here", de, pl)
		for i, name := range []string{"cz", "fr", "es"} {
			last, others := stewards[i], []*nodetest.Team{stewards[(i+1)%3], stewards[(i+2)%3]}
			n := w.As(name)
			last.Vouches(room, n)
			n.Accepts(room)
			w.Until("the acceptance is there", func() bool { return len(others[0].SeesProposal(room, "admission", n).Missing) == 0 })
			others[0].Admits(room, n)
			others[1].Votes(room, n)
			w.Until("two have voted", func() bool { return len(last.SeesProposal(room, "admission", n).Votes) == 2 })
			last.Votes(room, n)
			id := last.SendsTo(nodetest.InRoom(room), tlp.Amber, "welcome, "+name)
			n.SeesMember(room, n, trust.StandingMember)
			n.Reads(id, "welcome, "+name)
		}
	})
}
