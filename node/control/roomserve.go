package control

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

func (s *Server) rooms(w http.ResponseWriter, _ *http.Request) error {
	l := newLineWriter(w)
	for _, v := range s.n.Rooms() {
		r := s.room(v)
		r.Record, r.Teams = nil, nil
		for i := range r.Proposals {
			r.Proposals[i].Record = nil
		}
		if l.write(r) != nil {
			return nil
		}
	}
	l.finish(nil)
	return nil
}

func (s *Server) oneRoom(w http.ResponseWriter, r *http.Request) error {
	v, err := s.n.Room(r.PathValue("room"))
	if err != nil {
		return err
	}
	return writeJSON(w, s.room(v))
}

func (s *Server) draftRoom(w http.ResponseWriter, r *http.Request) error {
	req, err := readJSON[RoomTerms](r)
	if err != nil {
		return err
	}
	t, err := req.terms()
	if err != nil {
		return err
	}
	c, err := s.n.DraftRoom(*t)
	if err != nil {
		return err
	}
	return writePaper(w, &node.RoomPaper{Kind: "sign", Record: c})
}

func (s *Server) draftInRoom(w http.ResponseWriter, r *http.Request) error {
	room, err := roomID(r)
	if err != nil {
		return err
	}
	req, err := readJSON[RoomAct](r)
	if err != nil {
		return err
	}
	a := node.RoomAct{Kind: req.Kind, Team: req.Team, Proposal: req.Proposal, Reason: req.Reason, GiveUp: req.GiveUp, Next: req.Next}
	if req.Terms != nil {
		if a.Terms, err = req.Terms.terms(); err != nil {
			return err
		}
	}
	p, err := s.n.DraftInRoom(room.String(), a)
	if err != nil {
		return err
	}
	return writePaper(w, p)
}

func writePaper(w http.ResponseWriter, p *node.RoomPaper) error {
	out := RoomPaper{Room: p.Room, Kind: p.Kind, What: p.What}
	if p.Envelope != nil {
		out.Envelope = p.Envelope.Encode()
		return writeJSON(w, out)
	}
	e, err := protocol.Sign(p.Record)
	if err != nil {
		return err
	}
	out.Type, out.Record = e.Type, e.Payload
	return writeJSON(w, out)
}

func (s *Server) addToRoom(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(r, protocol.MaxRecord)
	if err != nil {
		return err
	}
	e, err := protocol.DecodeEnvelope(b, protocol.MaxRecord)
	if err != nil {
		return usagef("room: %v", err)
	}
	v, err := s.n.AddToRoom(r.Context(), e)
	if err != nil {
		return err
	}
	return writeJSON(w, s.room(v))
}

func (s *Server) forgetRoom(w http.ResponseWriter, r *http.Request) error {
	room, err := roomID(r)
	if err != nil {
		return err
	}
	if err := s.n.ForgetRoom(r.Context(), room.String()); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

func (s *Server) roomSeen(w http.ResponseWriter, r *http.Request) error {
	room, err := roomID(r)
	if err != nil {
		return err
	}
	if err := s.n.RoomSeen(room); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

func roomID(r *http.Request) (protocol.Hash, error) {
	id, err := protocol.ParseHash(r.PathValue("room"))
	if err != nil {
		return id, usagef("room: %v", err)
	}
	return id, nil
}

// terms reads the words of a person.
func (t *RoomTerms) terms() (*node.RoomTerms, error) {
	out := &node.RoomTerms{Name: t.Name, Stewards: t.Stewards, Members: t.Members, Purpose: t.Purpose, Text: t.Text, Ceiling: t.TLPMax,
		Sponsors: t.Sponsors, ObjectionDays: t.ObjectionDays, HoldDays: t.HoldDays, CardDays: t.CardDays, EpochDays: t.EpochDays,
		FreshHours: t.FreshHours, Keep: t.KeepDays, Policy: t.Policy, Incident: t.Incident, Replaces: t.Replaces,
		AddStewards: t.AddStewards, DropStewards: t.DropStewards}
	var err error
	if t.Attribution != "" {
		if out.Attribution, err = protocol.ParseAttribution(t.Attribution); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if t.Onward != "" {
		if out.Onward, err = protocol.ParseOnward(t.Onward); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if t.History != "" {
		if out.History, err = protocol.ParseHistory(t.History); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if t.HistoryFrom != nil {
		out.HistoryFrom = *t.HistoryFrom
	}
	return out, nil
}

// A roomNames says what this team calls the teams of a room.
type roomNames map[protocol.TeamID]string

func (ns roomNames) ref(t protocol.TeamID) TeamRef {
	if n := ns[t]; n != "" {
		return TeamRef{ID: t, Name: n}
	}
	return TeamRef{ID: t, Name: t.Short()}
}

func (ns roomNames) refs(ts []protocol.TeamID) []TeamRef {
	var out []TeamRef
	for _, t := range ts {
		out = append(out, ns.ref(t))
	}
	return out
}

// all lists the names, by id.
func (ns roomNames) all() []TeamRef {
	var ids []protocol.TeamID
	for t := range ns {
		ids = append(ids, t)
	}
	slices.SortFunc(ids, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
	return ns.refs(ids)
}

// room puts a view into the words of the interface.
func (s *Server) room(v node.RoomView) Room {
	ns := roomNames(v.Names)
	out := Room{
		ID: v.ID, Name: v.Name, State: stateOf(v.State), Why: v.Why, Charter: present(v.CharterID), Version: v.Version, Epoch: present(v.Epoch),
		EpochEnds: whenPtr(v.EpochEnds), Members: []RoomMember{}, Proposals: []RoomProposal{}, Own: v.Mine.String(), Steward: v.Steward,
		Quorum: v.Quorum, Warnings: v.Warnings, Readers: []RoomReader{}, Joined: ns.refs(v.Joined), Gone: ns.refs(v.Gone),
		Looked: whenPtr(v.Looked), Silent: v.Mute, Rivals: v.Rivals, Next: v.Next, Forgets: whenPtr(v.Forgets), Teams: ns.all(),
	}
	for _, m := range v.Members {
		out.Members = append(out.Members, RoomMember{TeamRef: ns.ref(m.Team), Status: m.Status.String(), Steward: slices.Contains(v.Stewards, m.Team),
			Self: m.Team == s.n.TeamID(), Until: whenPtr(m.Until), Since: whenPtr(m.Since), Why: m.Why})
	}
	for _, r := range v.Readers {
		out.Readers = append(out.Readers, RoomReader{Team: r.ID, Name: r.Name, Nodes: r.Nodes, Connected: r.Connected, Self: r.Self})
	}
	for _, m := range v.Members {
		if why, ok := v.Unreached[m.Team]; ok {
			out.Unreached = append(out.Unreached, RoomUnreached{TeamRef: ns.ref(m.Team), Why: why})
		}
	}
	for _, p := range v.Proposals {
		out.Proposals = append(out.Proposals, proposal(ns, p))
	}
	for _, d := range v.Waiting {
		out.Waiting = append(out.Waiting, waiting(&out, d))
	}
	for _, c := range v.Cheats {
		out.Cheats = append(out.Cheats, RoomCheat{Team: ns.ref(c.Team), A: c.A, B: c.B})
	}
	if c := v.Charter; c != nil {
		out.Record = payload(c)
		out.Terms = &RoomTermsView{Purpose: c.Purpose, TLPMax: c.Ceiling, Sponsors: c.Sponsors, ObjectionDays: c.ObjectionDays, HoldDays: c.HoldDays,
			CardDays: c.CardDays, EpochDays: c.EpochDays, FreshHours: c.FreshHours, KeepDays: c.Keep, Attribution: c.Attribution.String(),
			Onward: c.Onward.String(), History: c.History.String(), Policy: c.Policy, Replaces: present(c.Replaces)}
		if c.HistoryFrom != 0 {
			out.Terms.HistoryFrom = whenPtr(unixTime(c.HistoryFrom))
		}
	}
	return out
}

// stateOf names the state of a room. Of one of which the charter has not arrived yet, all that is known is that it is to be.
func stateOf(s trust.RoomState) string {
	if s == trust.NoRoom {
		s = trust.RoomFounding
	}
	return s.String()
}

// payload encodes a record that was decoded before, and so encodes again.
func payload(r protocol.Record) []byte {
	b, err := protocol.Marshal(r)
	if err != nil {
		return nil
	}
	return b
}

func proposal(ns roomNames, p trust.Proposal) RoomProposal {
	out := RoomProposal{ID: p.ID, Kind: p.Kind, Votes: len(p.Votes), Needed: p.Needed, Voted: ns.refs(p.Votes), Adopted: ns.refs(p.Adopted),
		Missing: p.Missing, Objected: ns.refs(p.Objected), Mine: p.MineVote, Why: p.Why, Opens: whenPtr(p.Opens)}
	for _, w := range p.For {
		out.For = append(out.For, RoomWord{ns.ref(w.Team), w.Text})
	}
	for _, w := range p.Against {
		out.Against = append(out.Against, RoomWord{ns.ref(w.Team), w.Text})
	}
	if !p.Subject.IsZero() {
		out.Subject, out.Name = present(p.Subject), ns.ref(p.Subject).Name
	}
	if p.Card != nil {
		out.Reason, out.Until = p.Card.Reason, whenPtr(unixTime(p.Card.Until))
	}
	if p.Charter != nil {
		out.Record = payload(p.Charter)
	}
	return out
}

// waiting puts what an officer would sign next beside the proposal that it is about.
func waiting(r *Room, d trust.Draft) RoomDraft {
	out := RoomDraft{Kind: d.Kind, ID: d.ID, Clerk: d.Clerk, Why: d.Why}
	for _, p := range r.Proposals {
		if p.ID == d.ID {
			out.About, out.Subject, out.Name = p.Kind, p.Subject, p.Name
		}
	}
	return out
}

// roomHints say what to do next where a rule of rooms refused and the node said no more.
var roomHints = map[string]string{
	"room-ceiling":   "TLP:RED goes to persons: --to person:TEAM/NAME; what is too strict for this room goes to fewer teams: --to team:TEAM",
	"room-founding":  "who has not signed yet: entente room show ROOM",
	"room-frozen":    "who cheated, and how to go on without them: entente room show ROOM",
	"room-closed":    "found a new one: entente room create; what was received stays readable until entente room forget ROOM",
	"not-steward":    "any member can propose a team (entente room propose), object (entente room object) and leave; the rest is for stewards",
	"not-fresh":      "see who is connected with entente status, and try again when it has caught up; for other teams: --to team:TEAM",
	"hold-given":     "propose what the stewards decide together: entente room suspend ROOM TEAM, or entente room remove ROOM TEAM",
	"card-lost":      "if the stewards cannot agree otherwise: entente room vote ROOM PROPOSAL --give-up",
	"card-locked":    "where it is urgent: entente room hold ROOM TEAM; and let the vote on the charter end first: entente room show ROOM",
	"card-unfounded": "what is missing: entente room show ROOM",
	"objected":       "who objects: entente room show ROOM; they take it back with entente room object ROOM TEAM --withdraw",
	"no-proposal":    "what waits: entente room waiting",
	"room-unchanged": "other terms or stewards: entente room amend ROOM",
}

// attention is what a person should know of a room without asking; nil: nothing.
func (r *Room) attention() (out []Finding) {
	show := "entente room show " + r.ID.Short()
	switch r.State {
	case trust.RoomFrozen.String(), trust.RoomQuorumLost.String():
		out = append(out, Finding{Level: string(node.Bad), Text: fmt.Sprintf("room %s is %s: %s", r.Name, r.State, r.Why), Next: show})
	case trust.RoomClosed.String():
		if r.Forgets != nil {
			out = append(out, Finding{Level: string(node.Warn), Text: fmt.Sprintf("room %s is closed: its keys and messages are destroyed here on %s", r.Name,
				r.Forgets.Format(time.DateOnly)), Next: "now: entente room forget " + r.ID.Short()})
		}
	}
	for _, w := range r.Warnings {
		if len(r.Waiting) == 0 || !strings.HasSuffix(w, waitWarning) {
			out = append(out, Finding{Level: string(node.Warn), Text: "room " + r.Name + ": " + w, Next: show})
		}
	}
	for _, u := range r.Unreached {
		out = append(out, Finding{Level: string(node.Warn), Text: fmt.Sprintf("room %s: %s reads nothing now: %s", r.Name, u.Name, u.Why), Next: show})
	}
	if r.Silent != "" && r.State == trust.RoomOpen.String() && r.Own == trust.StandingMember.String() {
		out = append(out, Finding{Level: string(node.Warn), Text: fmt.Sprintf("room %s: this node does not speak in it: %s", r.Name, r.Silent), Next: show})
	}
	if n := len(r.Waiting); n > 0 {
		out = append(out, Finding{Level: string(node.Warn), Text: fmt.Sprintf("room %s: %s for an officer of this team", r.Name, things(n)),
			Next: "entente room waiting"})
	}
	return out
}

// waitWarning ends the warning that counts votes to be given, which Waiting names one by one.
const waitWarning = "wait for our vote"

func things(n int) string {
	if n == 1 {
		return "1 thing waits"
	}
	return fmt.Sprintf("%d things wait", n)
}

// roomSummaries are the rooms as a status gives them.
func (s *Server) roomSummaries() []RoomSummary {
	out := []RoomSummary{}
	for _, v := range s.n.Rooms() {
		r := s.room(v)
		sum := RoomSummary{ID: r.ID, Name: r.Name, State: r.State, Own: r.Own, Waiting: len(r.Waiting)}
		for _, f := range r.attention() {
			sum.Attention = append(sum.Attention, f.Text)
		}
		out = append(out, sum)
	}
	return out
}

// roomFindings are what doctor says of rooms.
func (s *Server) roomFindings() (out []Finding) {
	for _, v := range s.n.Rooms() {
		r := s.room(v)
		out = append(out, r.attention()...)
	}
	return out
}

// withRooms adds what is said of rooms. Then not everything is in order, should that be all that there was to say.
func withRooms(fs, rooms []Finding) []Finding {
	if len(rooms) > 0 && len(fs) == 1 && fs[0].Level == string(node.OK) {
		fs = nil
	}
	return append(fs, rooms...)
}
