package nodetest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// roomPatience is how much virtual time a story waits for the word of a room to reach a node that is connected with another member.
const roomPatience = 6 * time.Minute

// A circle is what a story knows of a room.
type circle struct {
	mark   []byte                               // is in its name and its purpose, and nowhere else
	party  map[protocol.TeamID]bool             // whom the story ever named for it
	seen   map[sighting]time.Time               // when a team last saw another one as a member, by true time
	since  map[sighting]time.Time               // since when it then was one
	epochs map[protocol.Hash]string             // the identity that the first holder of each epoch has
	all    bool                                 // a charter opened all of the past
	from   time.Time                            // or from then; zero: none did
	names  map[protocol.Hash]bool               // ids of its records, as far as people see them
	held   map[protocol.Hash]map[*Team]struct{} // epochs, and who ever held the identity
}

type sighting struct{ by, of protocol.TeamID }

// Founds lets an officer draw up and sign the charter of a room, and returns its id. It stands when all of its stewards signed.
func (t *Team) Founds(name string, terms node.RoomTerms, stewards, members []*Team) protocol.Hash {
	t.w.T.Helper()
	id, err := t.TriesToFound(name, terms, stewards, members)
	if err != nil {
		t.w.T.Fatalf("%s founds a room: %v", t.Name, err)
	}
	return id
}

// TriesToFound is Founds for a story that does not know whether it may.
func (t *Team) TriesToFound(name string, terms node.RoomTerms, stewards, members []*Team) (protocol.Hash, error) {
	t.w.T.Helper()
	doc, mark := marked(name)
	terms.Name, terms.Purpose = string(doc), "of room "+hex.EncodeToString(mark)
	for _, s := range stewards {
		terms.Stewards = append(terms.Stewards, s.ID.String())
	}
	for _, m := range members {
		terms.Members = append(terms.Members, m.ID.String())
	}
	c, err := t.Node.DraftRoom(terms)
	if err != nil {
		return protocol.Hash{}, err
	}
	e, err := protocol.Sign(c, t.Officer())
	if err != nil {
		return protocol.Hash{}, err
	}
	id := e.ID()
	r := t.w.circle(id)
	r.mark = mark
	for _, s := range c.Members {
		r.party[s.Team] = true
	}
	_, err = t.Node.AddToRoom(context.Background(), e)
	t.w.look()
	return id, err
}

// circle returns what is noted of a room.
func (w *World) circle(id protocol.Hash) *circle {
	if w.rooms == nil {
		w.rooms = map[protocol.Hash]*circle{}
	}
	if w.rooms[id] == nil {
		w.rooms[id] = &circle{party: map[protocol.TeamID]bool{}, seen: map[sighting]time.Time{}, since: map[sighting]time.Time{},
			epochs: map[protocol.Hash]string{}, names: map[protocol.Hash]bool{}, held: map[protocol.Hash]map[*Team]struct{}{}}
	}
	return w.rooms[id]
}

// TriesIn lets an officer of the team do something in a room, if it may.
func (t *Team) TriesIn(room protocol.Hash, act node.RoomAct) error {
	t.w.T.Helper()
	p, err := t.Node.DraftInRoom(room.String(), act)
	if err != nil {
		return err
	}
	if act.Kind == "vouch" {
		for _, o := range t.w.teams {
			if strings.HasPrefix(o.ID.String(), act.Team) {
				t.w.circle(room).party[o.ID] = true
			}
		}
	}
	for _, o := range t.w.teams { // who is about to lose keys had them
		if o.Node != nil {
			o.harvest()
		}
	}
	_, err = t.Node.AddToRoom(context.Background(), t.signsPaper(p))
	t.w.look()
	return err
}

// signsPaper lets an officer sign what was drawn up.
func (t *Team) signsPaper(p *node.RoomPaper) *protocol.Envelope {
	t.w.T.Helper()
	if p.Envelope == nil {
		e, err := protocol.Sign(p.Record, t.Officer())
		if err != nil {
			t.w.T.Fatalf("%s signs a %s: %v", t.Name, p.Kind, err)
		}
		return e
	}
	e, err := protocol.DecodeEnvelope(p.Envelope.Encode(), protocol.MaxRecord)
	if err == nil {
		err = e.AddSignature(t.Officer())
	}
	if err != nil {
		t.w.T.Fatalf("%s signs a %s: %v", t.Name, p.Kind, err)
	}
	return e
}

// In waits until the team may do something in a room, and lets an officer do it.
func (t *Team) In(room protocol.Hash, act node.RoomAct) {
	t.w.T.Helper()
	var err error
	for end := time.Now().Add(roomPatience); time.Now().Before(end); t.w.Wait(500 * time.Millisecond) {
		if err = t.TriesIn(room, act); err == nil {
			return
		}
	}
	t.w.T.Fatalf("%s may never %s %.12s%.12s in %s: %v", t.Name, act.Kind, act.Team, act.Proposal, room.Short(), err)
}

// SignsRoom lets an officer sign the charter of a room that is being founded.
func (t *Team) SignsRoom(room protocol.Hash) { t.w.T.Helper(); t.In(room, node.RoomAct{Kind: "sign"}) }

// Accepts lets an officer accept the terms of a room.
func (t *Team) Accepts(room protocol.Hash) { t.w.T.Helper(); t.In(room, node.RoomAct{Kind: "accept"}) }

// Vouches lets an officer speak for a team that is to be admitted; the first such word proposes it.
func (t *Team) Vouches(room protocol.Hash, o *Team) {
	t.w.T.Helper()
	t.In(room, node.RoomAct{Kind: "vouch", Team: o.ID.String(), Reason: "known for years"})
}

// Objects lets an officer object to the admission of a team.
func (t *Team) Objects(room protocol.Hash, o *Team) {
	t.w.T.Helper()
	t.In(room, node.RoomAct{Kind: "object", Team: o.ID.String(), Reason: "unpaid debts"})
}

// Votes lets an officer sign the card about a team for which another steward voted.
func (t *Team) Votes(room protocol.Hash, about *Team) {
	t.w.T.Helper()
	var card protocol.Hash
	t.seesRoom(room, "a card about "+about.Name, func(v *node.RoomView) bool {
		for _, p := range v.Proposals {
			if p.Subject == about.ID && p.Card != nil && !slices.Contains(p.Votes, t.ID) {
				card = p.ID
			}
		}
		return !card.IsZero()
	})
	t.VotesFor(room, card)
}

// VotesFor lets an officer say yes to a proposal, in whatever step it is.
func (t *Team) VotesFor(room, proposal protocol.Hash) {
	t.w.T.Helper()
	t.In(room, node.RoomAct{Kind: "vote", Proposal: proposal.String()})
}

// Admits lets a steward vote for the admission of a team.
func (t *Team) Admits(room protocol.Hash, o *Team) { t.w.T.Helper(); t.about(room, "admit", o) }

// Renews lets a steward vote for another term of a member.
func (t *Team) Renews(room protocol.Hash, o *Team) { t.w.T.Helper(); t.about(room, "renew", o) }

// Readmits lets a steward vote for letting in a suspended member again.
func (t *Team) Readmits(room protocol.Hash, o *Team) { t.w.T.Helper(); t.about(room, "readmit", o) }

// HoldsOut lets a steward hold a member, alone and at once.
func (t *Team) HoldsOut(room protocol.Hash, o *Team) { t.w.T.Helper(); t.about(room, "hold", o) }

// SuspendsIn lets a steward vote for the suspension of a member.
func (t *Team) SuspendsIn(room protocol.Hash, o *Team) { t.w.T.Helper(); t.about(room, "suspend", o) }

// Removes lets a steward vote for the removal of a member.
func (t *Team) Removes(room protocol.Hash, o *Team) { t.w.T.Helper(); t.about(room, "remove", o) }

func (t *Team) about(room protocol.Hash, kind string, o *Team) {
	t.w.T.Helper()
	t.In(room, node.RoomAct{Kind: kind, Team: o.ID.String(), Reason: "as the story has it"})
}

// LeavesRoom lets an officer take the team out of a room.
func (t *Team) LeavesRoom(room protocol.Hash) {
	t.w.T.Helper()
	t.In(room, node.RoomAct{Kind: "leave", Reason: "no more time"})
}

// Amends lets a steward draft a new charter, and returns its id. The stewards approve and adopt it ([World.Decide]).
func (t *Team) Amends(room protocol.Hash, terms node.RoomTerms) protocol.Hash {
	t.w.T.Helper()
	return t.proposes(room, node.RoomAct{Kind: "amend", Terms: &terms})
}

// ClosesRoom lets a steward draft the charter that closes a room, and returns its id.
func (t *Team) ClosesRoom(room protocol.Hash) protocol.Hash {
	t.w.T.Helper()
	return t.proposes(room, node.RoomAct{Kind: "close"})
}

func (t *Team) proposes(room protocol.Hash, act node.RoomAct) protocol.Hash {
	t.w.T.Helper()
	before := t.proposals(room)
	t.In(room, act)
	for id := range t.proposals(room) {
		if !before[id] {
			return id
		}
	}
	t.w.T.Fatalf("%s drafts a charter, and nothing is proposed", t.Name)
	return protocol.Hash{}
}

func (t *Team) proposals(room protocol.Hash) map[protocol.Hash]bool {
	t.w.T.Helper()
	out := map[protocol.Hash]bool{}
	for _, p := range t.SeesIn(room).Proposals {
		out[p.ID] = true
	}
	return out
}

// Decide lets stewards approve and then adopt a charter, as far as each has to, and waits until all of them see it in force.
func (w *World) Decide(room, charter protocol.Hash, stewards ...*Team) {
	w.T.Helper()
	decided := func(t *Team) bool { return t.SeesIn(room).CharterID == charter }
	for _, s := range stewards {
		if err := s.TriesIn(room, node.RoomAct{Kind: "vote", Proposal: charter.String()}); err != nil {
			var no *node.RefusedError
			if !errors.As(err, &no) || no.Rule != "vote-given" {
				s.VotesFor(room, charter)
			}
		}
	}
	errs := map[string]error{}
	waits := func(s *Team) bool { return !decided(s) }
	for end := time.Now().Add(roomPatience); slices.ContainsFunc(stewards, waits); w.Wait(500 * time.Millisecond) {
		for _, s := range stewards {
			if waits(s) {
				errs[s.Name] = s.TriesIn(room, node.RoomAct{Kind: "vote", Proposal: charter.String()})
			}
		}
		if time.Now().After(end) {
			for _, s := range stewards {
				for _, p := range s.SeesIn(room).Proposals {
					w.T.Logf("%s: %s %s: %d votes, %d adopted of %d, missing %q, round %d", s.Name, p.Kind, p.ID.Short(), len(p.Votes), len(p.Adopted), p.Needed, p.Missing, p.Round)
				}
			}
			w.T.Fatalf("the charter %s is never decided: %v", charter.Short(), errs)
		}
	}
}

// Refounds lets an officer take the team into the room that replaces another one.
func (t *Team) Refounds(old, next protocol.Hash) {
	t.w.T.Helper()
	t.In(old, node.RoomAct{Kind: "refound", Next: next})
}

// InRoom names a room as an audience.
func InRoom(id protocol.Hash) string { return "room:" + id.String() }

// SeesIn returns a room as the team sees it now.
func (t *Team) SeesIn(room protocol.Hash) node.RoomView {
	t.w.T.Helper()
	v, err := t.Node.Room(room.String())
	if err != nil {
		t.w.T.Fatalf("%s looks into the room %s: %v", t.Name, room.Short(), err)
	}
	return v
}

// SeesRoom waits until the team sees the room in a state.
func (t *Team) SeesRoom(room protocol.Hash, s trust.RoomState) node.RoomView {
	t.w.T.Helper()
	return t.seesRoom(room, s.String(), func(v *node.RoomView) bool { return v.State == s })
}

// SeesMember waits until a team stands somewhere in a room, as this team sees it.
func (t *Team) SeesMember(room protocol.Hash, o *Team, s trust.Standing) node.RoomView {
	t.w.T.Helper()
	return t.seesRoom(room, o.Name+" "+s.String(), func(v *node.RoomView) bool { return v.Standing(o.ID) == s })
}

// SeesProposal waits until something of a kind is proposed about a team, or with nil a charter.
func (t *Team) SeesProposal(room protocol.Hash, kind string, o *Team) trust.Proposal {
	t.w.T.Helper()
	var found trust.Proposal
	t.seesRoom(room, "a "+kind, func(v *node.RoomView) bool {
		for _, p := range v.Proposals {
			if p.Kind == kind && (o == nil || p.Subject == o.ID) {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

func (t *Team) seesRoom(room protocol.Hash, what string, ok func(v *node.RoomView) bool) node.RoomView {
	t.w.T.Helper()
	last := ""
	for end := time.Now().Add(roomPatience); time.Now().Before(end); t.w.Wait(200 * time.Millisecond) {
		v, err := t.Node.Room(room.String())
		if err == nil && ok(&v) {
			t.w.look()
			return v
		}
		if last = fmt.Sprint(err); err == nil {
			last = fmt.Sprintf("%s (%s), version %d:", v.State, v.Why, v.Version)
			for _, m := range v.Members {
				last += " " + v.Names[m.Team] + " " + m.Status.String() + ","
			}
		}
	}
	t.w.T.Fatalf("%s never sees the room %s as %s, but: %s", t.Name, room.Short(), what, last)
	return node.RoomView{}
}

// Incident lets one team found an incident room with the others as stewards, who sign, and waits until all see it open.
func (w *World) Incident(teams ...*Team) protocol.Hash {
	w.T.Helper()
	return w.FoundRoom(node.RoomTerms{Incident: true}, teams, nil)
}

// FoundRoom lets the first of the stewards found a room, all others sign or accept, and waits until all are members of it.
func (w *World) FoundRoom(terms node.RoomTerms, stewards, members []*Team) protocol.Hash {
	w.T.Helper()
	room := stewards[0].Founds("a room", terms, stewards[1:], members)
	for _, t := range stewards[1:] {
		t.SignsRoom(room)
	}
	for _, t := range members {
		t.Accepts(room)
	}
	all := append(slices.Clone(stewards), members...)
	for _, t := range all {
		t.SeesRoom(room, trust.RoomOpen)
		for _, o := range all {
			t.SeesMember(room, o, trust.StandingMember)
		}
	}
	return room
}

// look notes what every node that is up and means well sees of the rooms.
func (w *World) look() {
	now := time.Now()
	for id, c := range w.rooms {
		for _, t := range w.teams {
			if t.Node == nil {
				continue
			}
			v, err := t.Node.Room(id.String())
			if err != nil {
				continue
			}
			if v.Charter != nil {
				c.all = c.all || v.Charter.History == protocol.HistoryAll
				if at := time.Unix(int64(v.Charter.HistoryFrom), 0); v.Charter.History == protocol.HistoryDate && (c.from.IsZero() || at.Before(c.from)) {
					c.from = at
				}
			}
			for _, m := range v.Members {
				if m.Status == trust.StandingMember && v.Mine == trust.StandingMember {
					c.seen[sighting{t.ID, m.Team}], c.since[sighting{t.ID, m.Team}] = now, m.Since
				}
				c.names[m.Card] = true
			}
			for _, p := range v.Proposals {
				c.names[p.ID] = true
			}
			c.names[v.CharterID], c.names[v.Epoch], c.names[id] = true, true, true
		}
	}
}

// admits reports whether a team may read a letter in the room which it was not for when it was sent: since its author saw it as a
// member afterwards, to whom the charter opens what was said then.
func (c *circle) admits(l *Letter, t protocol.TeamID) bool {
	s := sighting{l.Author.ID, t}
	if !c.seen[s].After(l.At) {
		return false
	}
	return c.all || !c.since[s].After(l.Dated) || !c.from.IsZero() && !c.from.After(l.Dated)
}

// harvestEpochs notes the identities of epochs that the team holds, and that all who hold one hold the same.
func (t *Team) harvestEpochs(add func(secret string)) {
	t.w.T.Helper()
	for room, c := range t.w.rooms {
		for _, id := range t.ring.Epochs(room) {
			k, ok := t.ring.Epoch(id)
			if !ok {
				continue
			}
			secret := k.Identity.Secret()
			add(secret)
			switch was := c.epochs[id]; was {
			case "":
				c.epochs[id] = secret
			case secret:
			default:
				t.w.fault("epoch", "%s holds another identity for the epoch %s than others", t.Name, id.Short())
			}
			if c.held[id] == nil {
				c.held[id] = map[*Team]struct{}{}
			}
			c.held[id][t] = struct{}{}
		}
	}
}

// HoldsEpochs returns how many identities of a room's epochs the team's node holds now.
func (t *Team) HoldsEpochs(room protocol.Hash) int { return len(t.ring.Epochs(room)) }

// gathers notes for whom a letter in a room is: its members, as the author sees them now, to whom it can seal anything.
func (t *Team) gathers(l *Letter, query string) {
	t.w.T.Helper()
	v, err := t.Node.Room(query)
	if err != nil {
		t.w.T.Fatalf("%s looks up the room %.20s: %v", t.Name, query, err)
	}
	l.Room, l.Dated = v.ID, t.now()
	for _, m := range v.Members {
		if _, unfit := v.Unreached[m.Team]; m.Status == trust.StandingMember && m.Team != t.ID && !unfit {
			l.Teams = append(l.Teams, m.Team)
		}
	}
	switch {
	case v.State != trust.RoomOpen && v.State != trust.RoomQuorumLost:
		l.Void = "the room was " + v.State.String()
	case v.Mine != trust.StandingMember:
		l.Void = "its author was " + v.Mine.String()
	case v.Charter != nil && l.Label > v.Charter.Ceiling:
		l.Void = "it is above the ceiling"
	}
}

// reaches reports whether a letter is, or has become since, for the team.
func (w *World) reaches(l *Letter, t protocol.TeamID) bool {
	return t == l.Author.ID || slices.Contains(l.Teams, t) || !l.Room.IsZero() && w.circle(l.Room).admits(l, t)
}

// stays reports whether a team for whom a letter in a room was still is a member of it, as its author last saw it: who is out by
// now need not have got what it missed.
func (w *World) stays(l *Letter, t protocol.TeamID) bool {
	if l.Room.IsZero() {
		return true
	}
	c := w.circle(l.Room)
	last := time.Time{}
	for s, at := range c.seen {
		if s.by == l.Author.ID && at.After(last) {
			last = at
		}
	}
	of := sighting{l.Author.ID, t}
	return !last.IsZero() && c.seen[of].Equal(last) && c.seen[sighting{l.Author.ID, l.Author.ID}].Equal(last) &&
		(c.all || !c.since[of].After(l.Dated)) // who was out and came back is given what the charter gives newcomers
}

// partyOf returns the teams that the story ever named for a room.
func (w *World) partyOf(room protocol.Hash) (out []protocol.TeamID) {
	for t := range w.circle(room).party {
		out = append(out, t)
	}
	return out
}

// Alike says in what two members see a room differently, of those whose nodes are up; "" if in nothing.
func (w *World) Alike(room protocol.Hash) string {
	var first *Team
	var want string
	for _, t := range w.teams {
		if t.Node == nil {
			continue
		}
		v, err := t.Node.Room(room.String())
		if err != nil || v.Mine != trust.StandingMember {
			continue
		}
		got := fmt.Sprintf("%s, version %d, charter %s, cards %s, holds %s:", v.State, v.Version, v.CharterID.Short(), v.Cards.Short(), v.Holds.Short())
		for _, o := range w.teams {
			got += fmt.Sprintf(" %s %s", o.Name, v.Standing(o.ID))
		}
		if first == nil {
			first, want = t, got
		} else if got != want {
			return fmt.Sprintf("%s sees %s; %s sees %s", first.Name, want, t.Name, got)
		}
	}
	return ""
}
