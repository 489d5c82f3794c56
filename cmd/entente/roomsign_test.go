package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A node that drafts something else than an officer asked for gets no signature.
func TestCheckPaper(t *testing.T) {
	r := someRoom("Ring")
	self, other := protocol.Hash{1}, protocol.Hash{3}
	team := other.String()
	charter := func() *protocol.Charter {
		c := someCharter()
		c.Room, c.Prev, c.Version = r.ID, *r.Charter, r.Version+1
		return &c
	}
	closing := charter()
	closing.Closed = true
	room, elsewhere := r.ID, protocol.Hash{77}
	proposal := protocol.Hash{0xab}
	card := func(s protocol.MemberStatus, room protocol.Hash) *protocol.MemberCard {
		return &protocol.MemberCard{Room: room, Subject: other, Status: s}
	}
	for _, tc := range []struct {
		what string
		rec  protocol.Record
		act  control.RoomAct
		ok   bool
	}{
		{"an acceptance", &protocol.Accept{Room: room, Team: self}, control.RoomAct{Kind: "accept"}, true},
		{"an acceptance elsewhere", &protocol.Accept{Room: elsewhere, Team: self}, control.RoomAct{Kind: "accept"}, false},
		{"another team's acceptance", &protocol.Accept{Room: room, Team: other}, control.RoomAct{Kind: "accept"}, false},
		{"a leave instead", &protocol.Leave{Room: room, Team: self}, control.RoomAct{Kind: "accept"}, false},
		{"a leave", &protocol.Leave{Room: room, Team: self}, control.RoomAct{Kind: "leave"}, true},
		{"a vouch", &protocol.Vouch{Room: room, Team: self, Applicant: other, Text: "x"}, control.RoomAct{Kind: "vouch", Team: team, Reason: "x"}, true},
		{"a vouch in other words", &protocol.Vouch{Room: room, Team: self, Applicant: other, Text: "y"}, control.RoomAct{Kind: "vouch", Team: team, Reason: "x"}, false},
		{"a vouch for another", &protocol.Vouch{Room: room, Team: self, Applicant: elsewhere}, control.RoomAct{Kind: "vouch", Team: team}, false},
		{"an objection", &protocol.Objection{Room: room, Team: self, Subject: other}, control.RoomAct{Kind: "object", Team: team}, true},
		{"its opposite", &protocol.Objection{Room: room, Team: self, Subject: other, Withdrawn: true}, control.RoomAct{Kind: "object", Team: team}, false},
		{"taking it back", &protocol.Objection{Room: room, Team: self, Subject: other, Withdrawn: true}, control.RoomAct{Kind: "withdraw", Team: team}, true},
		{"a hold", &protocol.Hold{Room: room, Team: self, Subject: other}, control.RoomAct{Kind: "hold", Team: team}, true},
		{"a hold on another", &protocol.Hold{Room: room, Team: self, Subject: elsewhere}, control.RoomAct{Kind: "hold", Team: team}, false},
		{"a removal", card(protocol.MemberRemoved, room), control.RoomAct{Kind: "remove", Team: team}, true},
		{"a removal for a suspension", card(protocol.MemberRemoved, room), control.RoomAct{Kind: "suspend", Team: team}, false},
		{"a removal elsewhere", card(protocol.MemberRemoved, elsewhere), control.RoomAct{Kind: "remove", Team: team}, false},
		{"a renewal", card(protocol.MemberFull, room), control.RoomAct{Kind: "renew", Team: team}, true},
		{"a renewal for a removal", card(protocol.MemberFull, room), control.RoomAct{Kind: "remove", Team: team}, false},
		{"the first vote on an admission", card(protocol.MemberFull, room), control.RoomAct{Kind: "vote", Proposal: team}, true},
		{"a vote on another admission", card(protocol.MemberFull, room), control.RoomAct{Kind: "vote", Proposal: elsewhere.String()}, false},
		{"an approval", &protocol.Approve{Room: room, Team: self, Charter: proposal}, control.RoomAct{Kind: "vote", Proposal: proposal.String()}, true},
		{"an approval of another charter", &protocol.Approve{Room: room, Team: self, Charter: elsewhere}, control.RoomAct{Kind: "vote", Proposal: proposal.String()}, false},
		{"an adoption", &protocol.Adopt{Room: room, Team: self, Charter: proposal}, control.RoomAct{Kind: "vote", Proposal: proposal.String()}, true},
		{"an adoption that gives up unasked", &protocol.Adopt{Room: room, Team: self, Charter: proposal, Voids: []protocol.Hash{{1}}},
			control.RoomAct{Kind: "vote", Proposal: proposal.String()}, false},
		{"one that was asked", &protocol.Adopt{Room: room, Team: self, Charter: proposal, Voids: []protocol.Hash{{1}}},
			control.RoomAct{Kind: "vote", Proposal: proposal.String(), GiveUp: true}, true},
		{"an amendment", charter(), control.RoomAct{Kind: "amend", Terms: &control.RoomTerms{TLPMax: tlp.Amber}}, true},
		{"other terms", charter(), control.RoomAct{Kind: "amend", Terms: &control.RoomTerms{TLPMax: tlp.Green}}, false},
		{"a closing for an amendment", closing, control.RoomAct{Kind: "amend", Terms: &control.RoomTerms{}}, false},
		{"a closing", closing, control.RoomAct{Kind: "close"}, true},
		{"an amendment for a vote", charter(), control.RoomAct{Kind: "vote", Proposal: proposal.String()}, false},
		{"a new room", &protocol.Refound{Room: room, Team: self, New: proposal}, control.RoomAct{Kind: "refound", Next: proposal}, true},
		{"another new room", &protocol.Refound{Room: room, Team: self, New: elsewhere}, control.RoomAct{Kind: "refound", Next: proposal}, false},
	} {
		err := checkPaper(&r, &protocol.Envelope{}, tc.rec, tc.act, self)
		if (err == nil) != tc.ok {
			t.Errorf("%s: got %v, want ok %v", tc.what, err, tc.ok)
		}
	}

	// A founding charter is the one of the room, and this team is among its stewards.
	first := someCharter()
	first.Version, first.CardDays, first.Room, first.Prev, first.Voids, first.Replaces = 1, 366, protocol.Hash{}, protocol.Hash{}, nil, protocol.Hash{}
	e, err := protocol.Sign(&first)
	if err != nil {
		t.Fatal(err)
	}
	founding := control.Room{ID: e.ID()}
	if err := checkPaper(&founding, e, &first, control.RoomAct{Kind: "sign"}, self); err != nil {
		t.Errorf("the founding charter: %v", err)
	}
	if checkPaper(&r, e, &first, control.RoomAct{Kind: "sign"}, self) == nil || checkPaper(&founding, e, &first, control.RoomAct{Kind: "sign"}, other) == nil ||
		checkPaper(&founding, e, &first, control.RoomAct{Kind: "accept"}, self) == nil {
		t.Error("another founding charter was not seen")
	}
}

// A new room has exactly the teams and terms that were given.
func TestCheckNewRoom(t *testing.T) {
	zero, keep := 0, 77
	from := time.Unix(1735689600, 0)
	policy := protocol.DefaultIEP()
	asked := control.RoomTerms{Name: "Northern ring", Purpose: "phishing", TLPMax: tlp.Amber, KeepDays: &keep, HoldDays: 13, CardDays: 300, EpochDays: 29, FreshHours: 167,
		Attribution: "room", Onward: "none", History: "date", HistoryFrom: &from, Policy: &policy}
	good := someCharter()
	good.Version, good.Replaces = 1, protocol.Hash{}
	check := func(c protocol.Charter, t control.RoomTerms) error {
		return checkNewRoom(&c, &t, protocol.Hash{1}, []protocol.TeamID{{2}}, []protocol.TeamID{{3}})
	}
	if err := check(good, asked); err != nil {
		t.Errorf("what was asked for: %v", err)
	}
	if err := check(good, control.RoomTerms{}); err != nil {
		t.Errorf("the defaults of the node: %v", err)
	}
	sponsors := asked
	sponsors.Sponsors = &zero
	if check(good, sponsors) == nil {
		t.Error("other sponsors were not seen")
	}
	for _, f := range []string{"Name", "Purpose", "Stewards", "HoldDays", "CardDays", "Ceiling", "Policy", "Attribution", "Onward", "Keep", "History", "HistoryFrom", "EpochDays",
		"FreshHours", "Members", "Replaces"} {
		c := good
		charterEdits[f](&c)
		if check(c, asked) == nil {
			t.Errorf("another %s was not seen", f)
		}
	}
	more := good
	more.Stewards = []protocol.TeamID{{1}, {2}, {3}}
	if check(more, asked) == nil {
		t.Error("a steward too many was not seen")
	}
	more = good
	more.Members = append(more.Members, protocol.Seat{Team: protocol.Hash{4}})
	if check(more, asked) == nil {
		t.Error("a member too many was not seen")
	}
}

func TestProposalIn(t *testing.T) {
	r := someRoom("Ring")
	r.Proposals[0].Name = "CERT-3"
	second := r.Proposals[0]
	second.ID, second.Kind = protocol.Hash{0xcd}, "suspension"
	for _, q := range []string{"cert-3", "ab00", protocol.Hash{3}.String(), protocol.Hash{0xab}.String()} {
		if p, err := proposalIn(&r, q); err != nil || p.ID != (protocol.Hash{0xab}) {
			t.Errorf("proposalIn(%q): got %v, %v", q, p, err)
		}
	}
	r.Proposals = append(r.Proposals, second)
	var usage *usageError
	for _, q := range []string{"CERT-3", "nothing", "ab"} {
		if p, err := proposalIn(&r, q); !errors.As(err, &usage) || !strings.Contains(err.Error(), "suspension of CERT-3") {
			t.Errorf("proposalIn(%q): got %v, %v, want the choice", q, p, err)
		}
	}
	if p, err := proposalIn(&r, "cd00"); err != nil || p.Kind != "suspension" {
		t.Errorf("the second: got %v, %v", p, err)
	}
}

// What is renewed without being named: what ends soon or is over, but nothing that this team cannot vote on or has voted on.
func TestEnding(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	in := func(days int) *time.Time { u := now.AddDate(0, 0, days); return &u }
	m := func(n byte, status string, until *time.Time) control.RoomMember {
		return control.RoomMember{TeamRef: control.TeamRef{ID: protocol.Hash{n}}, Status: status, Until: until}
	}
	self := m(1, "member", in(5))
	self.Self = true
	voted, open := protocol.Hash{6}, protocol.Hash{7}
	r := control.Room{Members: []control.RoomMember{self, m(2, "member", in(89)), m(3, "member", in(91)), m(4, "lapsed", in(-3)), m(5, "removed", in(5)), m(6, "member", in(5)),
		m(7, "member", in(5)), m(8, "held", in(5)), m(9, "member", nil)},
		Proposals: []control.RoomProposal{{Kind: "renewal", Subject: &voted}, {Kind: "renewal", Subject: &open, Mine: true}}}
	var got []byte
	for _, e := range ending(&r, now) {
		got = append(got, e.ID[0])
	}
	if string(got) != "\x02\x04\x07" {
		t.Errorf("got the teams %v, want 2, 4 and 7", got)
	}
}

func TestSplit(t *testing.T) {
	if got := strings.Join(split(list{"A, B", "C,,", ""}), "|"); got != "A|B|C" {
		t.Errorf("got %s", got)
	}
}
