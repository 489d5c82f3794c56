package control

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// A program founds a room, without a network: it drafts, an officer signs, the node keeps it.
func TestRooms(t *testing.T) {
	n, home := newNode(t, false)
	other, _ := newNamed(t, "CERT-B", false)
	c := Local(n, home)
	defer c.Close()
	ctx := t.Context()
	intro, err := other.Introduction()
	if err != nil {
		t.Fatal(err)
	}
	partner, err := c.AddTeam(ctx, intro, "tester")
	if err != nil {
		t.Fatal(err)
	}
	officer, err := keyring.OpenOfficer(node.KeysDir(home), "Ada", "passphrase")
	if err != nil {
		t.Fatal(err)
	}
	zero, keep := 0, 77
	from := time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC)
	policy := protocol.DefaultIEP()
	policy.Notify = "must-not"
	terms := RoomTerms{Name: "Northern ring", Stewards: []string{"CERT-B"}, Purpose: "phishing", Text: "More.", TLPMax: tlp.Amber, Sponsors: &zero, ObjectionDays: &zero,
		HoldDays: 13, CardDays: 300, EpochDays: 29, FreshHours: 167, KeepDays: &keep, Attribution: "none", Onward: "constituents", History: "date", HistoryFrom: &from, Policy: &policy}
	paper, err := c.DraftRoom(ctx, terms)
	if err != nil {
		t.Fatal(err)
	}
	e, rec, err := paper.Open()
	if err != nil {
		t.Fatal(err)
	}
	charter, ok := rec.(*protocol.Charter)
	if !ok || paper.Kind != "sign" || charter.Name != "Northern ring" || len(charter.Stewards) != 2 || charter.Ceiling != tlp.Amber || charter.Sponsors != 0 ||
		charter.ObjectionDays != 0 || charter.HoldDays != 13 || charter.CardDays != 300 || charter.EpochDays != 29 || charter.FreshHours != 167 || charter.Keep != 77 ||
		charter.Attribution != protocol.AttributeNothing || charter.Onward != protocol.OnwardConstituents || charter.History != protocol.HistoryDate ||
		charter.HistoryFrom != uint64(from.Unix()) || charter.Policy != policy || charter.Text != "More." || charter.Purpose != "phishing" {
		t.Fatalf("drafted %s: %+v", paper.Kind, rec)
	}
	if _, err := c.Room(ctx, e.ID().String()); !errors.Is(err, &Error{Code: NotFound}) {
		t.Errorf("a draft is kept: %v", err)
	}
	if err := e.AddSignature(officer); err != nil {
		t.Fatal(err)
	}
	r, err := c.AddToRoom(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != e.ID() || r.Name != "Northern ring" || r.State != "founding" || r.Charter == nil || *r.Charter != r.ID || r.Epoch != nil || !r.Steward || r.Own != "proposed" ||
		len(r.Members) != 2 || r.Members[0].Status != "proposed" || len(r.Proposals) != 1 || r.Proposals[0].Kind != "founding" || r.Proposals[0].Votes != 1 ||
		r.Proposals[0].Needed != 2 || r.Proposals[0].Subject != nil || r.Terms == nil || r.Terms.TLPMax != tlp.Amber || r.Terms.KeepDays != 77 || r.Terms.Attribution != "none" ||
		r.Terms.HistoryFrom == nil || !r.Terms.HistoryFrom.Equal(from) || len(r.Waiting) != 0 || !strings.Contains(r.Why, "CERT-B") {
		t.Errorf("got %+v", r)
	}
	if back, err := CharterOf(r.Record); err != nil || back.Salt != charter.Salt {
		t.Errorf("the charter came back as %+v, %v", back, err)
	}
	if !slices.ContainsFunc(r.Members, func(m RoomMember) bool { return m.ID == partner.ID && m.Name == "CERT-B" && m.Steward && !m.Self }) {
		t.Errorf("got the members %+v", r.Members)
	}

	for _, q := range []string{"northern RING", r.ID.String(), r.ID.Short()} {
		if got, err := c.Room(ctx, q); err != nil || got.ID != r.ID {
			t.Errorf("room %q: got %v, %v", q, got, err)
		}
	}
	count := 0
	if err := c.Rooms(ctx, func(l Room) error {
		count++
		if l.ID != r.ID || l.Record != nil || l.Proposals[0].Record != nil {
			t.Errorf("listed as %+v", l)
		}
		return nil
	}); err != nil || count != 1 {
		t.Errorf("got %d rooms, %v", count, err)
	}
	s, err := c.Status(ctx)
	if err != nil || len(s.Rooms) != 1 || s.Rooms[0].ID != r.ID || s.Rooms[0].State != "founding" || s.Rooms[0].Waiting != 0 {
		t.Errorf("status: got %+v, %v", s.Rooms, err)
	}
	if err := c.RoomSeen(ctx, r.ID); err != nil {
		t.Errorf("having looked: %v", err)
	}
	if got, err := c.Room(ctx, r.ID.String()); err != nil || got.Looked == nil {
		t.Errorf("after having looked: got %+v, %v", got, err)
	}

	// What the rules forbid says by which, and what to do.
	var refusal *Error
	_, err = c.DraftInRoom(ctx, r.ID, RoomAct{Kind: "sign"})
	if !errors.As(err, &refusal) || refusal.Code != Refused || refusal.Rule != "already-signed" {
		t.Errorf("signing twice: got %v", err)
	}
	_, err = c.Send(ctx, Draft{To: "room:Northern ring"}, strings.NewReader("TLP:AMBER\n# x\n"))
	if !errors.As(err, &refusal) || refusal.Rule != "room-founding" || refusal.Hint == "" {
		t.Errorf("speaking before it is founded: got %+v", err)
	}
	if err := c.ForgetRoom(ctx, r.ID); !errors.Is(err, &Error{Code: Refused}) {
		t.Errorf("forgetting what was signed: got %v", err)
	}
	for what, err := range map[string]error{
		"an unknown room":    second(c.Room(ctx, "Southern ring")),
		"in an unknown room": second(c.DraftInRoom(ctx, protocol.Hash{1}, RoomAct{Kind: "leave"})),
		"forgetting none":    c.ForgetRoom(ctx, protocol.Hash{1}),
		"seeing none":        c.RoomSeen(ctx, protocol.Hash{1}),
		"an unknown steward": second(c.DraftRoom(ctx, RoomTerms{Name: "x", Stewards: []string{"CERT-X"}})),
	} {
		if !errors.Is(err, &Error{Code: NotFound}) {
			t.Errorf("%s: got %v, want code %s", what, err, NotFound)
		}
	}
	for what, terms := range map[string]RoomTerms{"attribution": {Attribution: "x"}, "onward": {Onward: "x"}, "history": {History: "x"}} {
		if _, err := c.DraftRoom(ctx, terms); !errors.Is(err, &Error{Code: Usage}) {
			t.Errorf("%s: got %v, want code %s", what, err, Usage)
		}
		if _, err := c.DraftInRoom(ctx, r.ID, RoomAct{Kind: "amend", Terms: &terms}); !errors.Is(err, &Error{Code: Usage}) {
			t.Errorf("an amended %s: got %v, want code %s", what, err, Usage)
		}
	}
	if _, err := c.DraftInRoom(ctx, r.ID, RoomAct{Kind: "dance"}); err == nil {
		t.Error("an act that there is not was drafted")
	}
	if _, err := post[Room](ctx, c, "/v1/rooms", nil, strings.NewReader("no record")); !errors.Is(err, &Error{Code: Usage}) {
		t.Errorf("no record: got %v", err)
	}
	if _, err := post[RoomPaper](ctx, c, "/v1/rooms/northern/draft", nil, jsonBody(RoomAct{})); !errors.Is(err, &Error{Code: Usage}) {
		t.Errorf("no id: got %v", err)
	}
}

// A document of another kind is no paper of a room.
func TestRoomPaperOpen(t *testing.T) {
	for what, p := range map[string]RoomPaper{
		"nothing":        {},
		"another record": {Type: protocol.TypeManifest, Record: []byte{0xa0}},
		"no record":      {Type: protocol.TypeLeave, Record: []byte("x")},
		"no envelope":    {Envelope: []byte("x")},
	} {
		if _, rec, err := p.Open(); err == nil {
			t.Errorf("%s: got %+v", what, rec)
		}
	}
	if _, err := CharterOf(nil); err == nil {
		t.Error("a charter that is not there was read")
	}
}

// What a person should know of a room is in the words of doctor and status; a room in order needs none.
func TestRoomAttention(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		r     Room
		level node.Level
		want  string
	}{
		{Room{State: "open", Own: "member"}, "", ""},
		{Room{State: "founding", Why: "x"}, "", ""},
		{Room{State: "closed"}, "", ""},
		{Room{State: "closed", Forgets: &at}, node.Warn, "2026-03-01"},
		{Room{State: "frozen", Why: "two charters"}, node.Bad, "is frozen: two charters"},
		{Room{State: "quorum-lost", Why: "silent"}, node.Bad, "is quorum-lost: silent"},
		{Room{State: "open", Warnings: []string{"one steward more"}}, node.Warn, "Ring: one steward more"},
		{Room{State: "open", Unreached: []RoomUnreached{{TeamRef: TeamRef{Name: "CERT-C"}, Why: "stale"}}}, node.Warn, "CERT-C reads nothing now: stale"},
		{Room{State: "open", Own: "member", Silent: "not fresh"}, node.Warn, "does not speak in it: not fresh"},
		{Room{State: "open", Own: "held", Silent: "no member"}, "", ""},
		{Room{State: "open", Waiting: []RoomDraft{{Kind: "vote"}}, Warnings: []string{"1 proposals " + waitWarning}}, node.Warn, "1 thing waits"},
	} {
		tc.r.Name = "Ring"
		got := tc.r.attention()
		switch {
		case tc.want == "" && len(got) > 0:
			t.Errorf("%+v: got %+v, want nothing", tc.r, got)
		case tc.want != "" && (len(got) != 1 || got[0].Level != string(tc.level) || !strings.Contains(got[0].Text, tc.want) || got[0].Next == ""):
			t.Errorf("%+v: got %+v, want %s: %s", tc.r, got, tc.level, tc.want)
		}
	}
	fine := []Finding{{Level: string(node.OK), Text: "everything is in order"}}
	trouble := []Finding{{Level: string(node.Bad), Text: "frozen"}}
	if got := withRooms(fine, trouble); len(got) != 1 || got[0] != trouble[0] {
		t.Errorf("trouble in a room: got %+v", got)
	}
	if got := withRooms(fine, nil); len(got) != 1 || got[0] != fine[0] {
		t.Errorf("no trouble: got %+v", got)
	}
}

// What waits is told with what it is about.
func TestRoomWaiting(t *testing.T) {
	n, home := newNode(t, false)
	s := NewServer(n, home, slog.New(slog.DiscardHandler))
	subject := protocol.Hash{3}
	v := node.RoomView{Names: map[protocol.TeamID]string{subject: "CERT-C"}}
	v.Mine = trust.StandingMember
	v.Proposals = []trust.Proposal{{ID: protocol.Hash{1}, Kind: "removal", Subject: subject}}
	v.Waiting = []trust.Draft{{Kind: "vote", ID: protocol.Hash{1}}, {Kind: "accept", ID: protocol.Hash{2}}}
	r := s.room(v)
	if len(r.Waiting) != 2 || r.Waiting[0].About != "removal" || r.Waiting[0].Name != "CERT-C" || r.Waiting[0].Subject == nil || r.State != "founding" {
		t.Errorf("got %+v in state %s", r.Waiting, r.State)
	}
}
