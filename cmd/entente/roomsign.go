package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// A roomSigning is the work of one officer in a room: the node drafts, the person sees and confirms, the officer's key signs,
// the node takes it in. The key is unlocked once.
type roomSigning struct {
	p     *program
	c     *control.Client
	sign  *signFlags
	cer   *ceremony
	key   *protocol.PrivateKey
	names map[protocol.TeamID]string
	next  *control.Room // of refound: the new room
}

func (p *program) roomSigning(ctx context.Context, c *control.Client, s *signFlags) (*roomSigning, error) {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return nil, err
	}
	return &roomSigning{p: p, c: c, sign: s, cer: cer, names: map[protocol.TeamID]string{}}, nil
}

// know takes over what this team calls the teams of a room.
func (w *roomSigning) know(r *control.Room) {
	for _, t := range r.Teams {
		w.names[t.ID] = t.Name
	}
	for _, m := range r.Members {
		w.names[m.ID] = m.Name
	}
}

// namer returns what this team calls a team. One that is not known has its id only.
func (w *roomSigning) namer(ctx context.Context) namer {
	return func(t protocol.TeamID) string {
		if n, ok := w.names[t]; ok {
			return n
		}
		n := "team " + t.Short()
		if v, err := w.c.Team(ctx, t.String()); err == nil {
			n = v.Name
		}
		w.names[t] = n
		return n
	}
}

// oneOfficerActs are what a single officer signs, however many the team's root record wants for a vote: what restricts on
// sight, or warns.
func oneOfficerActs(rec protocol.Record) bool {
	switch rec.(type) {
	case *protocol.Hold, *protocol.Leave, *protocol.Objection:
		return true
	}
	return false
}

// put signs a document and hands it to the node.
func (w *roomSigning) put(ctx context.Context, e *protocol.Envelope, rec protocol.Record) (*control.Room, error) {
	if k := w.cer.root.K(protocol.ActVote); k > 1 && !oneOfficerActs(rec) {
		return nil, fmt.Errorf("%s needs the signatures of %d officers, and this version collects only one", protocol.ActVote, k)
	}
	if w.key == nil {
		key, _, err := w.cer.officerAlone(*w.sign.officer, protocol.ActVote)
		if err != nil {
			return nil, err
		}
		w.key = key
	}
	if err := e.AddSignature(w.key); err != nil {
		return nil, err
	}
	return w.c.AddToRoom(ctx, e)
}

// act does one thing in a room. What is mechanical after it, for the same proposal, is signed with it.
func (w *roomSigning) act(ctx context.Context, r *control.Room, a control.RoomAct) (*control.Room, error) {
	e, rec, err := w.draft(ctx, r, a)
	if err != nil {
		return nil, err
	}
	question, err := w.show(ctx, r, e, rec)
	if err != nil {
		return nil, err
	}
	if err := w.p.confirm(question, "nothing was signed", w.sign.yes); err != nil {
		return nil, err
	}
	after, err := w.put(ctx, e, rec)
	if err != nil {
		return nil, err
	}
	if w.p.attended() {
		_ = w.c.RoomSeen(ctx, r.ID) // only what is news the next time depends on it
	}
	return w.follow(ctx, after, e, rec)
}

// draft gets what is to be signed, and makes sure that it is what was asked for: an officer's signature must not depend on the
// node.
func (w *roomSigning) draft(ctx context.Context, r *control.Room, a control.RoomAct) (*protocol.Envelope, protocol.Record, error) {
	paper, err := w.c.DraftInRoom(ctx, r.ID, a)
	if err != nil {
		return nil, nil, err
	}
	e, rec, err := paper.Open()
	if err != nil {
		return nil, nil, err
	}
	if err := checkPaper(r, e, rec, a, w.cer.team); err != nil {
		return nil, nil, withHint(fmt.Errorf("the node drafted something else than was asked for: %w: nothing was signed", err), "are program and node of the same version?")
	}
	return e, rec, nil
}

// show prints the briefing, the document and what signing it does, and returns the question. Programs are shown nothing.
func (w *roomSigning) show(ctx context.Context, r *control.Room, e *protocol.Envelope, rec protocol.Record) (question string, err error) {
	w.know(r)
	name := w.namer(ctx)
	lines, question := effect(r, e, rec, name)
	if w.p.json {
		return question, nil
	}
	for _, l := range briefing(r) {
		w.p.sayf("entente: %s", l)
	}
	doc, err := w.document(r, e, rec, name)
	if err != nil {
		return "", err
	}
	if doc != "" {
		w.p.sayf("\n%s\n", doc)
	}
	for _, l := range lines {
		w.p.sayf("entente: %s", l)
	}
	return question, nil
}

// document returns the text of what a signature is about: a charter whole where it binds for the first time, else what it
// changes.
func (w *roomSigning) document(r *control.Room, e *protocol.Envelope, rec protocol.Record, name namer) (string, error) {
	switch d := rec.(type) {
	case *protocol.Charter:
		if d.Version == 1 {
			return charterText(e.ID(), d, name), nil
		}
		return changesText(r, d, e.ID(), name)
	case *protocol.Accept:
		c, err := charterIn(r, d.Charter)
		if err != nil {
			return "", err
		}
		return charterText(d.Charter, c, name), nil
	case *protocol.Refound:
		if w.next == nil || w.next.ID != d.New || w.next.Charter == nil {
			return "", fmt.Errorf("the charter of the new room %s is not here", d.New.Short())
		}
		c, err := charterIn(w.next, *w.next.Charter)
		if err != nil {
			return "", err
		}
		return charterText(*w.next.Charter, c, name), nil
	case *protocol.Approve:
		return proposedText(r, d.Charter, name)
	case *protocol.Adopt:
		return proposedText(r, d.Charter, name)
	}
	return "", nil
}

func proposedText(r *control.Room, id protocol.Hash, name namer) (string, error) {
	c, err := charterIn(r, id)
	if err != nil {
		return "", err
	}
	return changesText(r, c, id, name)
}

// changesText says what a proposed charter changes.
func changesText(r *control.Room, c *protocol.Charter, id protocol.Hash, name namer) (string, error) {
	old, err := control.CharterOf(r.Record)
	if err != nil {
		return "", err
	}
	changes := charterChanges(old, c, name)
	if len(changes) == 0 {
		changes = []string{"nothing: it repeats the terms and members in force"}
	}
	return fmt.Sprintf("Version %d of the charter (%s) changes:\n  - %s", c.Version, id, strings.Join(changes, "\n  - ")), nil
}

// charterIn returns the charter of the id, in force or proposed, which must be what it is called.
func charterIn(r *control.Room, id protocol.Hash) (*protocol.Charter, error) {
	raws := [][]byte{r.Record}
	for _, p := range r.Proposals {
		raws = append(raws, p.Record)
	}
	for _, raw := range raws {
		if (&protocol.Envelope{Type: protocol.TypeCharter, Payload: raw}).ID() == id {
			return control.CharterOf(raw)
		}
	}
	return nil, fmt.Errorf("the charter %s, which it is about, is not here: see entente room show %s", id.Short(), r.ID.Short())
}

// checkPaper compares a record with the act for which it was drafted.
func checkPaper(r *control.Room, e *protocol.Envelope, rec protocol.Record, a control.RoomAct, self protocol.TeamID) error {
	var (
		kinds         []string
		room, by, who = r.ID, self, protocol.TeamID{}
		about         protocol.Hash // of vote
	)
	switch d := rec.(type) {
	case *protocol.Charter:
		if d.Version == 1 {
			if a.Kind != "sign" || e.ID() != r.ID || !d.IsSteward(self) {
				return errors.New("another founding charter")
			}
			return nil
		}
		if r.Charter == nil || d.Room != r.ID || d.Prev != *r.Charter || d.Version != r.Version+1 || d.Closed != (a.Kind == "close") ||
			a.Kind != "amend" && a.Kind != "close" {
			return errors.New("another charter")
		}
		return checkTerms(d, a.Terms)
	case *protocol.Accept:
		kinds, room, by = []string{"accept"}, d.Room, d.Team
	case *protocol.Vouch:
		kinds, room, by, who = []string{"vouch"}, d.Room, d.Team, d.Applicant
		if d.Text != a.Reason {
			return errors.New("other words")
		}
	case *protocol.Objection:
		kinds, room, by, who = []string{"object", "withdraw"}, d.Room, d.Team, d.Subject
		if d.Withdrawn != (a.Kind == "withdraw") || !d.Withdrawn && d.Reason != a.Reason {
			return errors.New("another objection")
		}
	case *protocol.Hold:
		kinds, room, by, who = []string{"hold"}, d.Room, d.Team, d.Subject
		if d.Reason != a.Reason {
			return errors.New("another reason")
		}
	case *protocol.Leave:
		kinds, room, by = []string{"leave"}, d.Room, d.Team
	case *protocol.Refound:
		kinds, room, by = []string{"refound"}, d.Room, d.Team
		if d.New != a.Next {
			return errors.New("another new room")
		}
	case *protocol.MemberCard:
		kinds, room, who = cardKinds(d), d.Room, d.Subject
		if about = e.ID(); a.Kind == "vote" && len(e.Sigs) == 0 {
			about = d.Subject // nobody drafted a card for it before
		}
	case *protocol.Approve:
		kinds, room, by, about = []string{"vote"}, d.Room, d.Team, d.Charter
	case *protocol.Adopt:
		kinds, room, by, about = []string{"vote"}, d.Room, d.Team, d.Charter
		if len(d.Voids) > 0 && !a.GiveUp {
			return errors.New("giving up what was voted for")
		}
	}
	switch {
	case !slices.Contains(kinds, a.Kind):
		return errors.New("a document of another kind")
	case room != r.ID || by != self:
		return errors.New("another room or team")
	case a.Kind == "vote" && a.Proposal != about.String():
		return errors.New("another proposal")
	case a.Kind != "vote" && a.Team != "" && a.Team != who.String():
		return errors.New("another team")
	}
	return nil
}

// cardKinds returns the acts for which a card may be drafted.
func cardKinds(c *protocol.MemberCard) []string {
	switch c.Status {
	case protocol.MemberRemoved:
		return []string{"remove", "vote"}
	case protocol.MemberSuspended:
		return []string{"suspend", "vote"}
	}
	return []string{"admit", "renew", "readmit", "vote"}
}

// maxFollow bounds what is signed after one yes.
const maxFollow = 4

// follow signs what is left to do for the same proposal and needs no decision of a person any more: the approval of a charter
// that was just proposed, and its adoption once a quorum approved it.
func (w *roomSigning) follow(ctx context.Context, r *control.Room, e *protocol.Envelope, rec protocol.Record) (*control.Room, error) {
	var about protocol.Hash
	proposed := false
	switch d := rec.(type) {
	case *protocol.Charter:
		about, proposed = e.ID(), d.Version > 1
	case *protocol.Approve:
		about = d.Charter
	case *protocol.Accept:
		about = d.Charter
	default:
		return r, nil
	}
	for range maxFollow {
		i := slices.IndexFunc(r.Waiting, func(d control.RoomDraft) bool {
			return d.ID == about && (d.Clerk && d.Kind == "adopt" || proposed && d.Kind == "approve")
		})
		if i < 0 {
			return r, nil
		}
		e, rec, err := w.draft(ctx, r, control.RoomAct{Kind: "vote", Proposal: about.String()})
		if err != nil {
			return nil, err
		}
		switch rec.(type) {
		case *protocol.Approve:
			if !proposed {
				return r, nil
			}
			proposed = false
		case *protocol.Adopt:
		default:
			return r, nil
		}
		if r, err = w.put(ctx, e, rec); err != nil {
			return nil, err
		}
		if !w.p.json {
			w.p.sayf("entente: signed too: %s of the charter %s", map[bool]string{true: "your adoption", false: "your approval"}[isAdopt(rec)], about.Short())
		}
	}
	return r, nil
}

func isAdopt(rec protocol.Record) bool {
	_, ok := rec.(*protocol.Adopt)
	return ok
}

// signed runs fn with the room that is named and an officer's work in it, and prints where the room stands after.
func (p *program) signed(ctx context.Context, query string, s *signFlags, fn func(w *roomSigning, r *control.Room) (*control.Room, error)) error {
	return p.withNode(func(c *control.Client) error {
		r, err := c.Room(ctx, query)
		if err != nil {
			return err
		}
		w, err := p.roomSigning(ctx, c, s)
		if err != nil {
			return err
		}
		if r, err = fn(w, r); err != nil {
			return err
		}
		return printRoomStanding(p, r)
	})
}

// printRoomStanding says where a room stands after something was signed.
func printRoomStanding(p *program, r *control.Room) error {
	if p.json {
		return p.out.object(r)
	}
	p.out.linef("%s  %s is %s; your team: %s", r.ID.Short(), plainLine(r.Name), plainLine(r.State), plainLine(r.Own))
	for _, q := range r.Proposals {
		p.out.linef("  waits: %s", proposalText(q))
		for _, m := range q.Missing {
			p.out.linef("    missing: %s", plainLine(m))
		}
	}
	if r.Why != "" {
		p.sayf("entente: %s", plainLine(r.Why))
	}
	return nil
}

// teamIn returns the id of a team that is named for an act in a room: one of the room's, or any that is known.
func teamIn(ctx context.Context, c *control.Client, r *control.Room, query string) (protocol.TeamID, error) {
	var fit []protocol.TeamID
	for _, m := range r.Members {
		if strings.EqualFold(m.Name, query) || len(query) >= 4 && strings.HasPrefix(m.ID.String(), strings.ToLower(query)) {
			fit = append(fit, m.ID)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	t, err := c.Team(ctx, query)
	if err != nil {
		return protocol.TeamID{}, err
	}
	return t.ID, nil
}

// proposalIn returns the proposal of a room that is named by the beginning of its id, or by the team that it is about.
func proposalIn(r *control.Room, query string) (*control.RoomProposal, error) {
	var fit []*control.RoomProposal
	for i, p := range r.Proposals {
		prefix := len(query) >= 4 && strings.HasPrefix(p.ID.String(), strings.ToLower(query))
		subject := p.Subject != nil && len(query) >= 4 && strings.HasPrefix(p.Subject.String(), strings.ToLower(query))
		if prefix || subject || p.Name != "" && strings.EqualFold(p.Name, query) {
			fit = append(fit, &r.Proposals[i])
		}
	}
	if len(fit) > 1 && !slices.ContainsFunc(fit, func(p *control.RoomProposal) bool {
		return p.Subject == nil || fit[0].Subject == nil || *p.Subject != *fit[0].Subject || p.Kind != fit[0].Kind
	}) { // they come to the same: the one that can be voted for, where most votes are
		mine := func(p *control.RoomProposal) int {
			if p.Mine {
				return 0
			}
			return 1
		}
		fit = []*control.RoomProposal{slices.MinFunc(fit, func(a, b *control.RoomProposal) int {
			return cmp.Or(cmp.Compare(mine(a), mine(b)), cmp.Compare(b.Votes, a.Votes), bytes.Compare(a.ID[:], b.ID[:]))
		})}
	}
	var all []string
	for _, p := range r.Proposals {
		all = append(all, proposalText(p))
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		if len(all) == 0 {
			return nil, usagef("no proposal waits in room %s", r.Name)
		}
		return nil, usagef("no proposal in room %s fits %.60q: there is %s", r.Name, query, strings.Join(all, "; "))
	}
	return nil, usagef("several proposals fit %.60q: name one by the beginning of its id: %s", query, strings.Join(all, "; "))
}
