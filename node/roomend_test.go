package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// Two of four stewards adopt two charters, each before another half of the room. When the halves meet the room is frozen, with a
// proof of who it was; the honest found it anew, with one signature each.
func TestStewardsEquivocate(t *testing.T) {
	nodetest.Run(t, 430, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl, cz}, []*nodetest.Team{fr})
		says(room, at, "before the quarrel", de, pl, cz, fr)
		w.Wait(time.Minute)
		var twins []*nodetest.Team
		for _, s := range []*nodetest.Team{pl, cz} {
			s.Leaves()
			twins = append(twins, s.CopyTo(s.Name+"-twin"))
		}
		w.Split([]*nodetest.Team{at, fr, pl, cz}, append([]*nodetest.Team{de}, twins...))
		for _, s := range append([]*nodetest.Team{pl, cz}, twins...) {
			s.Returns()
		}
		one := at.Amends(room, node.RoomTerms{Text: "one story"})
		w.Decide(room, one, at, pl, cz)
		other := de.Amends(room, node.RoomTerms{Text: "another story"})
		w.Decide(room, other, append([]*nodetest.Team{de}, twins...)...)
		for _, tw := range twins {
			tw.Leaves()
		}
		pl.Leaves()
		cz.Leaves()
		w.Heal()
		w.Together(at, de, fr)
		for _, m := range []*nodetest.Team{at, de, fr} {
			v := m.SeesRoom(room, trust.RoomFrozen)
			if !strings.Contains(v.Why, "found the room anew") || !strings.Contains(v.Why, "pl") || !strings.Contains(v.Why, "cz") {
				t.Errorf("what %s reads does not say who cheated or what to do: %q", m.Name, v.Why)
			}
			if len(v.Rivals) != 2 {
				t.Errorf("%s has %d rival charters, want 2", m.Name, len(v.Rivals))
			}
			for _, c := range []*nodetest.Team{pl, cz} {
				if !slices.ContainsFunc(v.Cheats, func(x trust.Cheat) bool { return x.Team == c.ID }) {
					t.Errorf("%s has no proof against %s", m.Name, c.Name)
				}
			}
			if got := m.Refuses(nodetest.InRoom(room), tlp.Amber); got == "" {
				t.Errorf("%s speaks in a frozen room", m.Name)
			}
		}
		next := at.Founds("a room again", node.RoomTerms{Replaces: room}, nil, nil)
		de.SignsRoom(next)
		fr.Accepts(next)
		for _, m := range []*nodetest.Team{at, de, fr} {
			v := m.SeesRoom(next, trust.RoomOpen)
			if v.Standing(pl.ID) != trust.StandingNone || v.Standing(cz.ID) != trust.StandingNone {
				t.Errorf("%s takes along who cheated", m.Name)
			}
			for _, o := range []*nodetest.Team{at, de, fr} {
				m.SeesMember(next, o, trust.StandingMember)
			}
		}
		says(next, at, "we go on", de, fr)
	})
}

// Half of the stewards vanish. After five weeks the room says that nothing can be decided in it any more, and what to do; members
// go on as they are, or found it anew.
func TestStewardsVanish(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 431, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		room := w.FoundRoom(node.RoomTerms{}, []*nodetest.Team{at, de, pl, cz}, []*nodetest.Team{fr})
		says(room, at, "all are here", de, pl, cz, fr)
		w.Wait(time.Minute) // what they have to say to each other is said
		pl.Leaves()
		cz.Leaves()
		w.Wait(time.Minute)
		for range 2 {
			w.Passes(days(17))
		}
		at.SeesRoom(room, trust.RoomOpen)
		w.Passes(days(3))
		v := at.SeesRoom(room, trust.RoomQuorumLost)
		if !strings.Contains(v.Why, "pl") || !strings.Contains(v.Why, "cz") || !strings.Contains(v.Why, "found the room anew") {
			t.Errorf("it is not said who is missing or what to do: %q", v.Why)
		}
		last := says(room, at, "members go on", de, fr)
		next := at.Founds("a room again", node.RoomTerms{Replaces: room}, nil, nil)
		de.SignsRoom(next)
		fr.Accepts(next)
		for _, m := range []*nodetest.Team{at, de, fr} {
			m.SeesRoom(next, trust.RoomOpen)
			for _, o := range []*nodetest.Team{at, de, fr} {
				m.SeesMember(next, o, trust.StandingMember)
			}
			if v := m.SeesRoom(room, trust.RoomQuorumLost); len(v.RoomInfo.Silent) != 2 {
				t.Errorf("%s calls %d stewards silent, want 2", m.Name, len(v.RoomInfo.Silent))
			}
			m.Refounds(room, next)
			m.SeesRoom(room, trust.RoomClosed)
		}
		says(next, at, "on we go", de, fr)
		pl.Returns()
		w.Together(pl, at)
		pl.Accepts(next)
		says(next, pl, "sorry, we moved house", at, de, fr)
		cz.Returns()
		w.Together(cz, de)
		cz.Reads(last, "members go on")
	})
}

// The stewards close a room: nobody speaks in it any more, and after a while every node destroys its keys of it.
func TestClosingARoom(t *testing.T) {
	nodetest.Run(t, 432, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		room := w.Incident(at, de, pl, cz)
		id := says(room, at, "for the incident alone", de, pl, cz)
		cz.Leaves()
		w.Decide(room, at.ClosesRoom(room), at, de, pl)
		for _, m := range []*nodetest.Team{at, de, pl} {
			m.SeesRoom(room, trust.RoomClosed)
			if got := m.Refuses(nodetest.InRoom(room), tlp.Amber); got == "" {
				t.Errorf("%s speaks in a closed room", m.Name)
			}
		}
		cz.Returns()
		cz.SeesRoom(room, trust.RoomClosed)
		cz.Reads(id, "for the incident alone")
		w.Passes(2 * time.Hour) // keys that are over are looked for every hour
		w.Passes(days(15))
		for _, m := range w.Teams() {
			if n := m.HoldsEpochs(room); n != 0 {
				t.Errorf("%s holds %d keys of a room that is closed", m.Name, n)
			}
		}
		if err := at.Node.ForgetRoom(t.Context(), room.String()); err != nil {
			t.Fatal(err)
		}
		at.Lacks(id)
		at.Leaves()
		at.KeepsNothingOf(id)
	})
}

// Nodes are stopped, or lose their power, between any two steps of a room. All that they knew they know afterwards.
func TestRoomSurvivesCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 433, []string{"at", "de", "pl", "cz"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz := w.As("at"), w.As("de"), w.As("pl"), w.As("cz")
		all := []*nodetest.Team{at, de, pl, cz}
		turn := 0
		power := func() {
			m := all[turn%len(all)]
			if turn++; turn%2 == 0 {
				m.CrashesOnDisk()
			} else {
				m.Leaves()
			}
			m.Returns()
		}
		room := at.Founds("a room", node.RoomTerms{Incident: true}, []*nodetest.Team{de, pl}, nil)
		power()
		de.SignsRoom(room)
		power()
		power()
		pl.SignsRoom(room)
		power()
		at.SeesRoom(room, trust.RoomOpen)
		w.Together(at, de, pl)
		first := says(room, at, "we stand", de, pl)
		power()
		at.Vouches(room, cz)
		cz.SeesMember(room, cz, trust.StandingProposed)
		power()
		cz.Accepts(room)
		power()
		w.Until("the acceptance is there", func() bool { return len(at.SeesProposal(room, "admission", cz).Missing) == 0 })
		at.Admits(room, cz)
		power()
		de.Votes(room, cz)
		power()
		pl.Votes(room, cz)
		power()
		for _, m := range all {
			m.SeesMember(room, cz, trust.StandingMember)
		}
		w.Together(all...)
		says(room, cz, "thank you", at, de, pl)
		cz.Reads(first, "we stand")
		at.HoldsOut(room, cz)
		at.CrashesOnDisk()
		at.Returns()
		at.SeesMember(room, cz, trust.StandingHeld)
		de.SeesMember(room, cz, trust.StandingHeld)
		says(room, de, "cz is not to hear this", pl, at)
	})
}

// A member's node gets new keys, as after a theft: it reads on, and the old ones open nothing that is said when the others know. Others
// renew the keys to which grants are sealed every month.
func TestNodeKeysChangeInARoom(t *testing.T) {
	nodetest.Run(t, 434, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		room := w.Incident(at, de, pl)
		first := says(room, at, "before", de, pl)
		de.ReplacesNode("stolen")
		w.Together(at, de, pl)
		for _, m := range []*nodetest.Team{at, pl} {
			w.Until(m.Name+" knows", func() bool { return len(m.Knows(de).Nodes) == 2 })
		}
		says(room, at, "after", de, pl)
		says(room, de, "with new keys", at, pl)
		de.Reads(first, "before")
		for i := range 3 {
			w.Passes(days(16))
			says(room, pl, fmt.Sprint("months later ", i), at, de)
			says(room, de, fmt.Sprint("indeed ", i), at, pl)
		}
		if n := w.Keys(at); n < 2 {
			t.Errorf("at had %d keys, so none was renewed", n)
		}
	})
}

// de and pl have never heard of each other; at knows both, and founds a room with them. In it they read each other, and are connected.
// Nothing else passes between them.
func TestMembersWhoNeverMet(t *testing.T) {
	nodetest.Run(t, 435, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		w.Meet(at, de)
		w.Meet(at, pl)
		room := w.Incident(at, de, pl)
		says(room, at, "you will get along", de, pl)
		says(room, de, "good day", at, pl)
		says(room, pl, "nice to meet you", at, de)
		de.Connects(pl)
		w.CutOff(at, de)
		w.CutOff(at, pl)
		says(room, de, "between us", pl)
		w.Heal()
		w.Together(at, de)
		w.Together(at, pl)
	})
}

// A team is in two rooms at once, with others in each. Neither has a byte of the other.
func TestTwoRooms(t *testing.T) {
	nodetest.Run(t, 436, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		one, two := w.Incident(at, de, pl), w.Incident(at, cz, fr)
		a, b := says(one, at, "to one", de, pl), says(two, at, "to two", cz, fr)
		says(one, de, "one answers", at, pl)
		says(two, fr, "two answers", at, cz)
		w.Wait(time.Minute)
		for _, m := range []*nodetest.Team{cz, fr} {
			m.Lacks(a)
		}
		for _, m := range []*nodetest.Team{de, pl} {
			m.Lacks(b)
		}
		if n := len(at.Node.Rooms()); n != 2 {
			t.Errorf("at is in %d rooms, want 2", n)
		}
		if err := de.TriesIn(two, node.RoomAct{Kind: "leave"}); !errors.Is(err, trust.ErrNoRoom) {
			t.Errorf("who is in no room leaves it: %v", err)
		}
	})
}
