package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// someCharter is the second version of a charter of three teams, with a value in every field.
func someCharter() protocol.Charter {
	seat := func(n byte) protocol.Seat {
		return protocol.Seat{Team: protocol.Hash{n}, Root: protocol.Hash{n, 1}, Status: protocol.MemberFull, Until: 1798761600, Joined: 1767225600}
	}
	return protocol.Charter{Room: protocol.Hash{9}, Version: 2, Prev: protocol.Hash{8}, Name: "Northern ring", Purpose: "phishing", Text: "One more\nthing.",
		Stewards: []protocol.TeamID{{1}, {2}}, Sponsors: 2, ObjectionDays: 20, HoldDays: 13, CardDays: 300, Ceiling: tlp.Amber, Policy: protocol.DefaultIEP(),
		Attribution: protocol.AttributeRoom, Onward: protocol.OnwardNone, Keep: 77, History: protocol.HistoryDate, HistoryFrom: 1735689600, EpochDays: 29,
		FreshHours: 167, Members: []protocol.Seat{seat(1), seat(2), seat(3)}, Voids: []protocol.Hash{{7}}, Replaces: protocol.Hash{6}, Issued: 1767225599}
}

func someNames(t protocol.TeamID) string { return fmt.Sprintf("CERT-%d", t[0]) }

// A charter in words says everything that the record says, so that nobody signs what was not shown.
func TestCharterTextSaysAll(t *testing.T) {
	c := someCharter()
	id := protocol.Hash{5}
	got := charterText(id, &c, someNames)
	for _, want := range []string{id.String(), c.Room.String(), c.Prev.String(), "Northern ring", "phishing", "One more\n  thing.", "TLP:AMBER ", "2 members vouch", "20 days",
		"13 days", "300 days", "77 days", "29 days", "167 hours", "never names the", "2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "both stewards",
		"CERT-1", "CERT-2", "CERT-3", c.Members[2].Team.String(), c.Members[2].Root.String(), c.Voids[0].String(), c.Replaces.String()} {
		if !strings.Contains(strings.ReplaceAll(got, "\n"+want, want), want) && !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
			t.Errorf("the text does not say %q:\n%s", want, got)
		}
	}
	for l := range strings.Lines(got) {
		if n := utf8.RuneCountInString(strings.TrimRight(l, "\n")); n > textWidth {
			t.Errorf("a line of %d characters: %q", n, l)
		}
	}
}

// charterEdits change each field of a charter, but for those that number it.
var charterEdits = map[string]func(*protocol.Charter){
	"Name":          func(c *protocol.Charter) { c.Name += "x" },
	"Purpose":       func(c *protocol.Charter) { c.Purpose = "" },
	"Text":          func(c *protocol.Charter) { c.Text += strings.Repeat("y", 100) },
	"Stewards":      func(c *protocol.Charter) { c.Stewards = c.Stewards[:1] },
	"Sponsors":      func(c *protocol.Charter) { c.Sponsors = 1 },
	"ObjectionDays": func(c *protocol.Charter) { c.ObjectionDays = 0 },
	"HoldDays":      func(c *protocol.Charter) { c.HoldDays++ },
	"CardDays":      func(c *protocol.Charter) { c.CardDays++ },
	"Ceiling":       func(c *protocol.Charter) { c.Ceiling = tlp.Green },
	"Policy":        func(c *protocol.Charter) { c.Policy.Notify = "must-not" },
	"Attribution":   func(c *protocol.Charter) { c.Attribution = protocol.AttributeNothing },
	"Onward":        func(c *protocol.Charter) { c.Onward = protocol.OnwardLabel },
	"Keep":          func(c *protocol.Charter) { c.Keep = 0 },
	"History":       func(c *protocol.Charter) { c.History = protocol.HistoryAll },
	"HistoryFrom":   func(c *protocol.Charter) { c.HistoryFrom += 86400 },
	"EpochDays":     func(c *protocol.Charter) { c.EpochDays-- },
	"FreshHours":    func(c *protocol.Charter) { c.FreshHours-- },
	"Members":       func(c *protocol.Charter) { c.Members = c.Members[:2] },
	"Voids":         func(c *protocol.Charter) { c.Voids = append(c.Voids, protocol.Hash{11}) },
	"Closed":        func(c *protocol.Charter) { c.Closed = true },
	"Replaces":      func(c *protocol.Charter) { c.Replaces = protocol.Hash{12} },
}

// What an amendment changes is told, whatever it is, in the summary and in the text.
func TestCharterChangesTellAll(t *testing.T) {
	skip := map[string]bool{"Room": true, "Version": true, "Prev": true, "Issued": true, "Salt": true}
	for i := range reflect.TypeFor[protocol.Charter]().NumField() {
		f := reflect.TypeFor[protocol.Charter]().Field(i).Name
		edit := charterEdits[f]
		if skip[f] {
			continue
		}
		if edit == nil {
			t.Errorf("no case changes the field %s", f)
			continue
		}
		old, next := someCharter(), someCharter()
		edit(&next)
		if got := charterChanges(&old, &next, someNames); len(got) == 0 {
			t.Errorf("a change of %s is not told", f)
		}
		if charterText(protocol.Hash{}, &old, someNames) == charterText(protocol.Hash{}, &next, someNames) {
			t.Errorf("a change of %s is not in the text", f)
		}
	}
	old := someCharter()
	if got := charterChanges(&old, &old, someNames); len(got) != 0 {
		t.Errorf("no change: got %q", got)
	}
	for what, edit := range map[string]func(*protocol.Seat){
		"status": func(s *protocol.Seat) { s.Status = protocol.MemberSuspended },
		"until":  func(s *protocol.Seat) { s.Until++ },
		"joined": func(s *protocol.Seat) { s.Joined++ },
		"root":   func(s *protocol.Seat) { s.Root[5]++ },
	} {
		next := someCharter()
		edit(&next.Members[1])
		if got := charterChanges(&old, &next, someNames); len(got) != 1 || !strings.Contains(got[0], "CERT-2") {
			t.Errorf("another %s of a member: got %q", what, got)
		}
	}
	next := someCharter()
	next.Members = append(next.Members, protocol.Seat{Team: protocol.Hash{4}, Status: protocol.MemberFull})
	next.Stewards = append(next.Stewards, protocol.Hash{4})
	if got := strings.Join(charterChanges(&old, &next, someNames), "\n"); !strings.Contains(got, "new steward: CERT-4") || !strings.Contains(got, "list of members: CERT-4") {
		t.Errorf("a new steward: got %q", got)
	}
}

// What others wrote into a charter does nothing to a terminal, and cannot make an article of its own.
func TestCharterTextIsPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := func(what string) string {
			return string(rapid.SliceOf(rapid.Byte()).Draw(t, what+" bytes")) + rapid.String().Draw(t, what)
		}
		c := someCharter()
		c.Name, c.Purpose, c.Text = s("name"), s("purpose"), s("text")
		name := s("team")
		got := charterText(protocol.Hash{}, &c, func(protocol.TeamID) string { return name })
		if plainText(got) != got {
			t.Fatalf("the text is not plain: %q", got)
		}
	})
	c := someCharter()
	c.Purpose, c.Text = "x\n3. What may be said\nMessages up to TLP:RED", "y\n3. What may be said\nEverything."
	got := charterText(protocol.Hash{}, &c, func(protocol.TeamID) string { return "A\n3. What may be said" })
	if n := strings.Count(got, "\n3. What may be said\n"); n != 1 {
		t.Errorf("the article on what may be said stands %d times at the beginning of a line:\n%s", n, got)
	}
}

// someRoom is a room of which everything that is printed is what name says.
func someRoom(name string) control.Room {
	c := someCharter()
	record, err := protocol.Marshal(&c)
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ref := func(n byte) control.TeamRef { return control.TeamRef{ID: protocol.Hash{n}, Name: name} }
	id := (&protocol.Envelope{Type: protocol.TypeCharter, Payload: record}).ID()
	subject := protocol.Hash{3}
	return control.Room{ID: protocol.Hash{9}, Name: name, State: "open", Why: name, Charter: &id, Version: 2, Own: "member", Steward: true, Quorum: 2, Record: record,
		Members: []control.RoomMember{{TeamRef: ref(1), Status: "member", Steward: true, Self: true, Until: &now}, {TeamRef: ref(2), Status: "member", Steward: true, Until: &now},
			{TeamRef: ref(3), Status: "held", Why: name, Until: &now}},
		Proposals: []control.RoomProposal{{ID: protocol.Hash{0xab}, Kind: "removal", Subject: &subject, Name: name, Votes: 1, Needed: 2, Voted: []control.TeamRef{ref(2)},
			Missing: []string{name}, Objected: []control.TeamRef{ref(2)}, For: []control.RoomWord{{TeamRef: ref(2), Text: name}}, Against: []control.RoomWord{{TeamRef: ref(2), Text: name}}, Mine: true, Why: name, Opens: &now, Reason: name}},
		Warnings: []string{name}, Readers: []control.RoomReader{{Team: protocol.Hash{2}, Name: name, Nodes: 1}}, Unreached: []control.RoomUnreached{{TeamRef: ref(3), Why: name}},
		Joined: []control.TeamRef{ref(2)}, Gone: []control.TeamRef{ref(3)}, Looked: &now, Silent: name, Forgets: &now,
		Waiting: []control.RoomDraft{{Kind: "vote", ID: protocol.Hash{0xab}, About: "removal", Name: name, Why: name}, {Kind: "give-up", ID: protocol.Hash{0xcd}, Why: name}},
		Cheats:  []control.RoomCheat{{Team: ref(2), A: protocol.Hash{0xa}, B: protocol.Hash{0xb}}}, Next: []protocol.Hash{{0xee}},
		Teams: []control.TeamRef{ref(1), ref(2), ref(3)}, Terms: &control.RoomTermsView{TLPMax: tlp.Amber, Sponsors: 2, History: "date", HistoryFrom: &now}}
}

// printed returns what is printed of a room in all places.
func printed(t *testing.T, r *control.Room) string {
	t.Helper()
	var out bytes.Buffer
	p := &program{out: &printer{w: &out}, stderr: &out}
	printRooms(p, []control.Room{*r})
	heir := *r
	heir.Terms = &control.RoomTermsView{TLPMax: tlp.Amber, Replaces: &r.ID}
	rs := []control.Room{*r, heir}
	inherit(rs)
	printRoom(p, r, nil)
	printRoom(p, r, rs[1:])
	if err := printWaiting(p, &rs[0]); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{showCharter(p, r, ""), printRoomStanding(p, r), printWaiting(p, r), p.out.flush()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range append(briefing(r), cautions(r)...) {
		p.sayf("entente: %s", l)
	}
	for _, rec := range someRecords() {
		lines, question := effect(r, &protocol.Envelope{Type: protocol.TypeMemberCard, Payload: []byte("x")}, rec, func(protocol.TeamID) string { return r.Name })
		for _, l := range append(lines, question) {
			p.sayf("entente: %s", l)
		}
	}
	return out.String()
}

// someRecords has one of each kind that an officer signs.
func someRecords() []protocol.Record {
	const evil = "reason\x1b[2J"
	first, last := someCharter(), someCharter()
	first.Version, last.Closed = 1, true
	second := someCharter()
	card := func(s protocol.MemberStatus) *protocol.MemberCard {
		return &protocol.MemberCard{Subject: protocol.Hash{3}, Status: s, Reason: evil}
	}
	admit := card(protocol.MemberFull)
	admit.Accept, admit.Objections = protocol.Hash{1}, []protocol.Hash{{2}}
	return []protocol.Record{&first, &second, &last, &protocol.Accept{}, &protocol.Vouch{Text: evil}, &protocol.Objection{Reason: evil}, &protocol.Objection{Withdrawn: true},
		&protocol.Hold{Reason: evil}, &protocol.Leave{Reason: evil}, &protocol.Refound{}, card(protocol.MemberRemoved), card(protocol.MemberSuspended), admit,
		card(protocol.MemberFull), &protocol.Approve{}, &protocol.Adopt{Voids: []protocol.Hash{{0xab}}}}
}

// Names, reasons and terms of others do nothing to a terminal, wherever a room shows them.
func TestHostileRoom(t *testing.T) {
	r := someRoom("RING\x1b]0;x\x07\u202e\u009b2J\u2028\U000E0041")
	for _, state := range []string{"founding", "open", "frozen", "quorum-lost", "closed"} {
		r.State = state
		if got := printed(t, &r); got != plainText(got) {
			t.Errorf("%s: the output holds characters that a terminal acts upon: %q", state, got)
		}
	}
}

// In every state a person finds what to do, in words and commands.
func TestRoomSaysWhatToDo(t *testing.T) {
	r := someRoom("Ring")
	for state, want := range map[string][]string{
		"open":        {"vote on the removal of Ring: entente room vote Ring " + protocol.Hash{0xab}.Short(), "--give-up", "joined since your team last looked on 2026-03-01: Ring", "key "},
		"founding":    {"entente room forget Ring"},
		"closed":      {"entente room forget Ring"},
		"quorum-lost": {"entente room create NEW --replaces Ring", "entente room refound Ring NEW", "entente room sign NEW"},
		"frozen": {"Ring cheated: two records that its officers signed prove it to anybody, " + protocol.Hash{0xa}.String() + " and " + protocol.Hash{0xb}.String(),
			"without who cheated", "it is founded anew; go on there, with one signature: entente room refound Ring Ring", "entente room create NEW --replaces Ring", "entente room refound Ring NEW", "others go on in room " + protocol.Hash{0xee}.Short()},
	} {
		r.State = state
		got := printed(t, &r)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: the page does not say %q:\n%s", state, w, got)
			}
		}
	}
}

// Each thing that is signed says what it does in words of its own, and asks.
func TestEffects(t *testing.T) {
	r := someRoom("Ring")
	seen := map[string]bool{}
	for _, rec := range someRecords() {
		lines, question := effect(&r, &protocol.Envelope{Type: protocol.TypeMemberCard, Payload: []byte("x")}, rec, someNames)
		text := strings.Join(lines, "\n")
		if len(lines) == 0 || !strings.HasSuffix(question, "?") || seen[text] {
			t.Errorf("%T says %q, and asks %q", rec, text, question)
		}
		seen[text] = true
		switch c := rec.(type) {
		case *protocol.MemberCard:
			if c.Status != protocol.MemberFull && !strings.Contains(text, "what it received before it keeps") {
				t.Errorf("a restriction says %q", text)
			}
		case *protocol.Hold:
			if !strings.Contains(text, "once under one charter") || !strings.Contains(text, "what it received before it keeps") {
				t.Errorf("a hold says %q", text)
			}
		}
	}
}

// Who is to be a steward is told that it decides, not that it comes in.
func TestAcceptingStewardship(t *testing.T) {
	r := someRoom("Ring")
	for team, want := range map[byte]string{1: "becomes a steward", 3: "once it is in"} {
		lines, _ := effect(&r, &protocol.Envelope{}, &protocol.Accept{Charter: *r.Charter, Team: protocol.Hash{team}}, someNames)
		if text := strings.Join(lines, "\n"); !strings.Contains(text, want) {
			t.Errorf("team %d: got %q, want %q in it", team, text, want)
		}
	}
}
