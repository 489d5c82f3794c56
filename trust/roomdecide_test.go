package trust

import (
	"encoding/json"
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// everyRoomQuestion calls fn with each question about a room, with a value beyond each end. What agreements are there does not
// matter: they have two values.
func everyRoomQuestion(fn func(Question)) {
	q := Question{Audience: protocol.InRoom}
	for q.Action = 0; q.Action <= actionsEnd; q.Action++ {
		reachStep, attrStep := reachEnd, protocol.AttributeNothing+1
		if q.Action == Export {
			reachStep, attrStep = 1, 1
		}
		for q.Label = 0; q.Label <= labelsEnd; q.Label++ {
			for q.Peer = 0; q.Peer <= statesEnd; q.Peer++ {
				for q.Ceiling = 0; q.Ceiling <= labelsEnd; q.Ceiling++ {
					for q.Room = 0; q.Room <= RoomClosed+1; q.Room++ {
						for q.Standing = 0; q.Standing <= StandingRemoved+1; q.Standing++ {
							for q.Reach = 0; q.Reach <= reachEnd; q.Reach += reachStep {
								for q.Onward = 0; q.Onward <= onwardEnd; q.Onward += onwardEnd {
									for q.Attribution = 0; q.Attribution <= protocol.AttributeNothing; q.Attribution += attrStep {
										for q.Origin = 0; q.Origin <= protocol.AttributeNothing; q.Origin += attrStep {
											for bits := range 4 {
												q.Self, q.Control = bools[bits&1], bools[bits>>1]
												fn(q)
											}
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
}

// roomNeeds returns what a question about a room lacks to be permitted; "" if nothing.
func roomNeeds(q Question) string {
	moves := q.Action == Compose || q.Action == Relay || q.Action == Serve || q.Action == Receive
	isIn := q.Standing >= StandingMember && q.Standing <= StandingRemoved
	switch {
	case !moves && q.Action != View && q.Action != Export:
		return "an action"
	case q.Label < tlp.Clear || q.Label > tlp.Red:
		return "a label"
	case q.Control && (!moves || q.Label > tlp.AmberStrict):
		return "that control statements move"
	case !q.Self && q.Peer >= Blocked:
		return "a team that is not blocked"
	case !q.Self && q.Peer == Unknown && !isIn:
		return "a team that is known, or in the room"
	case q.Control:
		return ""
	case moves && !q.Self && (q.Peer == Stale || q.Peer == Disputed):
		return "a team without trouble"
	case moves && (!q.Self || q.Action == Compose):
		switch {
		case q.Room != RoomOpen && q.Room != RoomQuorumLost && (q.Room != RoomFrozen && q.Room != RoomClosed || q.Action == Compose):
			return "a room in use"
		case q.Standing != StandingMember:
			return "a member"
		case q.Label > q.Ceiling || q.Ceiling > tlp.Red || q.Label == tlp.Red:
			return "a label that the charter covers"
		}
	case q.Action == View && q.Content && q.Label == tlp.Red && !q.Person:
		return "a named person"
	case q.Action == Export && (q.Reach < ReachTeam || q.Reach > widest[min(q.Label, labelsEnd)]):
		return "a reach that the label permits"
	case q.Action == Export && !q.Self && q.Reach > ReachTeam && q.Onward != protocol.OnwardConstituents && q.Onward != protocol.OnwardLabel,
		q.Action == Export && !q.Self && q.Reach > ReachConstituents && q.Onward != protocol.OnwardLabel:
		return "a reach that the charter permits"
	case q.Action == Export && !q.Self && (q.Attribution == 0 || q.Origin < q.Attribution):
		return "an origin that the charter lets be told"
	}
	return ""
}

// I-36 for rooms, over the whole domain, as TestDecideOverItsWholeDomain: and what is said a second time decides.
func TestDecideInRooms(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole domain takes seconds")
	}
	permitted, all := 0, 0
	var next []Question
	everyRoomQuestion(func(q Question) {
		all++
		ok, rule := judge(q)
		if lacks := roomNeeds(q); ok != (lacks == "") {
			t.Fatalf("%+v: permitted %v (%s), and it lacks %q", q, ok, rule, lacks)
		}
		if !ok {
			if all%97 == 0 && reason(q, rule) == "" {
				t.Fatalf("no reason for %s", rule)
			}
			return
		}
		permitted++
		next = easier(q, next[:0])
		for _, edit := range []func(*Question){
			func(e *Question) { e.Room = RoomOpen },
			func(e *Question) { e.Standing = StandingMember },
			func(e *Question) { e.Origin = max(e.Origin, protocol.AttributeNothing) },
			func(e *Question) { e.Attribution = min(e.Attribution, protocol.AttributeAuthor) },
		} {
			e := q
			edit(&e)
			next = append(next, e)
		}
		for _, e := range next {
			if ok, rule := judge(e); !ok {
				t.Fatalf("%+v is permitted, but %+v is refused by %s", q, e, rule)
			}
		}
	})
	t.Logf("%d of %d questions are permitted", permitted, all)
	if permitted == 0 {
		t.Error("nothing is permitted")
	}
}

// What a room's records say is what Decide is asked.
func TestAskRoom(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, b, e := c.teams[0], c.teams[1], c.teams[4]
	c.found(4, func(n *protocol.Charter) { n.Ceiling = tlp.Amber })
	aud := protocol.Audience{Kind: protocol.InRoom, Room: c.room, Charter: c.room, Epoch: c.room}
	ask := func(act Action, l tlp.Label, peer protocol.TeamID) Question {
		return c.ledgers[a].Ask(act, l, aud, peer, c.now)
	}
	refusedBy(t, Decide(ask(Compose, tlp.Amber, b.ID)), "room-founding")
	c.signAll(c.teams[1:4]...)
	allowed(t, Decide(ask(Compose, tlp.Amber, b.ID)))
	allowed(t, Decide(ask(Compose, tlp.Amber, a.ID)))
	refusedBy(t, Decide(ask(Compose, tlp.AmberStrict, b.ID)), "room-ceiling")
	refusedBy(t, Decide(ask(Compose, tlp.Red, b.ID)), "room-ceiling")
	refusedBy(t, Decide(ask(Compose, tlp.Amber, e.ID)), "room-standing")
	export := ask(Export, tlp.Amber, b.ID)
	export.Reach = ReachTeam
	refusedBy(t, Decide(export), "attribution")
	export.Origin = protocol.AttributeRoom
	allowed(t, Decide(export))
	export.Reach = ReachConstituents
	refusedBy(t, Decide(export), "reach-room")
	aud.Room = protocol.Sum("test", nil)
	refusedBy(t, Decide(ask(Compose, tlp.Amber, b.ID)), "no-room")

	// What is derived from the room's stays in the room.
	aud.Room = c.room
	st := &protocol.Statement{Author: b.ID, Audience: aud, Label: tlp.Amber}
	allowed(t, MayDerive([]*protocol.Statement{st}, aud, a.ID))
	for _, to := range []protocol.Audience{{Kind: protocol.Direct, Teams: []protocol.TeamID{e.ID}}, {Kind: protocol.Community},
		{Kind: protocol.InRoom, Room: protocol.Sum("test", nil)}} {
		refusedBy(t, MayDerive([]*protocol.Statement{st}, to, a.ID), "source-audience")
	}
}

func TestRoomNames(t *testing.T) {
	for s := RoomState(0); int(s) < len(roomStateNames); s++ {
		var back RoomState
		text, err := json.Marshal(s)
		if err != nil || json.Unmarshal(text, &back) != nil || back != s || string(text) != `"`+s.String()+`"` {
			t.Errorf("%v: %s, %v", s, text, err)
		}
	}
	for s := Standing(0); int(s) < len(standingNames); s++ {
		var back Standing
		text, err := json.Marshal(s)
		if err != nil || json.Unmarshal(text, &back) != nil || back != s || string(text) != `"`+s.String()+`"` {
			t.Errorf("%v: %s, %v", s, text, err)
		}
	}
	if _, err := RoomState(9).MarshalText(); err == nil || RoomState(9).String() != "room-state-9" {
		t.Error("a state that is none has a name")
	}
	if _, err := Standing(9).MarshalText(); err == nil || Standing(9).String() != "standing-9" {
		t.Error("a standing that is none has a name")
	}
	var s Standing
	var r RoomState
	if s.UnmarshalText([]byte("admin")) == nil || r.UnmarshalText([]byte("shut")) == nil {
		t.Error("an unknown name is read")
	}
	for rule, words := range roomReasons {
		if words == "" || len(rule) > protocol.MaxRule {
			t.Errorf("rule %s: %q", rule, words)
		}
	}
}
