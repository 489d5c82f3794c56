package trust

import (
	"bytes"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// roomReasons are the words of the rules of rooms that need no more than themselves.
var roomReasons = map[string]string{
	"no-room":            "there is no such room here",
	"room-founding":      "the room is not founded yet: all of its first stewards have to sign the charter",
	"room-frozen":        "the room is frozen, because stewards cheated: nothing is decided or sent in it; found it anew",
	"room-closed":        "the room is closed",
	"room-unchanged":     "the room works: it need not be founded anew",
	"no-proposal":        "there is no such proposal in the room, or it was overtaken",
	"not-steward":        "our team is no steward of the room: only stewards vote",
	"not-member":         "our team is no member of the room now",
	"not-proposed":       "our team is neither proposed for the room nor named by its charter",
	"not-applicant":      "the team is a member already",
	"no-such-member":     "the team is no member of the room",
	"own-team":           "a team does not decide about itself: to be out, leave the room",
	"own-card":           "a team has no vote on its own membership",
	"already-signed":     "our team has signed that",
	"vote-given":         "our team has voted for it",
	"vote-twice":         "our team has voted in this round: a second vote would be a proof against us",
	"vote-round":         "our team has voted in a later round",
	"vote-locked":        "our team has adopted another charter, and may approve this one only after a quorum did: let the others vote first",
	"vote-approvals":     "too few stewards have approved it in one round yet",
	"charter-unfit":      "the charter gives a member what no card gave it: vote for cards first, or draft it anew",
	"charter-unaccepted": "a new steward has not accepted the charter yet",
	"card-lost":          "the charter would undo a restriction for which our team voted: let the others vote for the card, draft the charter anew, or adopt it and give the card up",
	"card-locked":        "our team has adopted the next charter, and votes for no card under this one: where it is urgent, hold the member",
	"card-stale":         "the card follows one that was overtaken: draft it anew",
	"card-unfounded":     "the card is not founded as the charter asks: sponsors, the team's acceptance of this charter, or its term",
	"card-opened":        "the card says that the admission was open to objections before there were sponsors and an acceptance",
	"objection-window":   "members may still object",
	"officer-new":        "an officer who signed for the team, or for one that vouches for it, is new: vote when our people have verified that team anew, or after 14 days, if nobody objects",
	"objected":           "a member objects, and the card does not say so: talk to it, or draft a card that overrules it, which takes one vote more",
	"hold-given":         "our team has held this member once under this charter: more takes the stewards' vote",
	"epoch-unknown":      "the key period of the message is not known here yet",
	"epoch-mismatch":     "the message names another charter than its key period",
	"epoch-author":       "the author's node was not among those of the key period",
	"author-held":        "the author is held in the room: its messages wait",
	"author-suspended":   "the author is suspended in the room: its messages wait",
	"author-out":         "the author is no member of the room any more, and what it said then is not within what the stewards let stand",
	"room-ceiling":       "the label is too strict for the room",
	"not-fresh":          "this node has not heard from enough members of late: let it catch up first, or who is out might still read",
	"from-the-future":    "it is dated ahead of our clock: a term that begins later also ends later",
	"grant-node":         "the node is none that may read in the room now",
	"grant-history":      "the charter does not give members what was said before they joined",
	"grant-excluded":     "the key period is of a time when the team was a member, and is not for it: who made it may know why",
}

func roomDecision(rule string) Decision {
	if rule == "" {
		return Decision{Allowed: true, Rule: "room"}
	}
	return Decision{Rule: rule, Reason: roomReasons[rule]}
}

// ballots returns the votes of a team on what follows v.
func (r *roomAt) ballots(v *roomVersion, t protocol.TeamID) []ballot {
	var out []ballot
	for _, a := range r.approves {
		if a.rec.Team == t && a.rec.Version == v.Version+1 {
			out = append(out, ballot{false, a.rec.Round, a.rec.Charter})
		}
	}
	for _, a := range r.adopts {
		if a.rec.Team == t && a.rec.Version == v.Version+1 {
			out = append(out, ballot{true, a.rec.Round, a.rec.Charter})
		}
	}
	return out
}

// rounds returns the greatest round in which anybody voted.
func (v *roomVersion) rounds() uint64 {
	last := uint64(0)
	for k := range v.approved {
		last = max(last, k.round)
	}
	return last
}

// approval returns in which round my team would approve the charter, and the round of the approvals that lift its lock, or the
// rule by which it may not. It goes where most votes for the charter are; far ahead only if more did than may cheat. While its
// own approval stands it waits for the others, unless one of them is in a later round: who all went on at once would never meet.
func (r *roomAt) approval(v *roomVersion, n charterFact) (round, pol uint64, rule string) {
	if !v.IsSteward(r.self) {
		return 0, 0, "not-steward"
	}
	switch {
	case v.misfits[n.id] != "":
		return 0, 0, "charter-unfit"
	case r.ahead(n.Issued):
		return 0, 0, "from-the-future"
	}
	p := positionOf(r.ballots(v, r.self))
	start := max(p.round, 1)
	_, approved := v.approved[voteKey{start, n.id}][r.self]
	_, adopted := v.adopted[voteKey{start, n.id}][r.self]
	if (approved || adopted) && !v.approvedAfter(start, n.id) {
		return 0, 0, "vote-given"
	}
	best := -1
	for at := start; at <= min(max(v.rounds(), start)+1, protocol.MaxRound); at++ {
		here := v.approvals(at, n.id)
		if at > start+1 && at != v.rounds()+1 && here <= protocol.Faults(len(v.Stewards)) {
			continue
		}
		lift, why := p.mayApprove(at, n.id, v.approvals, v.quorum)
		if why != "" {
			if best < 0 && (rule == "" || rule == "vote-twice") {
				rule = why
			}
			continue
		}
		if at > start+1 && here == 0 && best >= 0 {
			continue
		}
		if here > best {
			best, round, pol = here, at, lift
		}
	}
	if best < 0 {
		return 0, 0, rule
	}
	return round, pol, ""
}

// approvedAfter reports whether anybody approved the charter in a later round.
func (v *roomVersion) approvedAfter(round uint64, charter protocol.Hash) bool {
	for k := range v.approved {
		if k.charter == charter && k.round > round {
			return true
		}
	}
	return false
}

// adoption returns in which round my team would adopt the charter, giving up the cards in voids, or the rule by which it may
// not.
func (r *roomAt) adoption(v *roomVersion, n charterFact, voids []protocol.Hash) (round uint64, rule string) {
	if !v.IsSteward(r.self) {
		return 0, "not-steward"
	}
	if v.misfits[n.id] != "" {
		return 0, "charter-unfit"
	}
	if len(r.unaccepted(v, n)) > 0 {
		return 0, "charter-unaccepted"
	}
	if r.loses(v, n.Charter, voids) != nil {
		return 0, "card-lost"
	}
	p := positionOf(r.ballots(v, r.self))
	rule = "vote-approvals"
	for at := max(p.round, 1); at <= v.rounds(); at++ {
		switch why := p.mayAdopt(at, n.id, v.approvals, v.quorum); {
		case why == "":
			return at, ""
		case why == "vote-twice" && rule == "vote-approvals":
			rule = why
		}
	}
	return 0, rule
}

// loses returns a card of my team's that the charter would lose and that is not given up.
func (r *roomAt) loses(v *roomVersion, next *protocol.Charter, voids []protocol.Hash) *roomCard {
	var mine []*roomCard
	for _, c := range v.cards {
		if _, ok := c.votes[r.self]; ok && !slices.Contains(voids, c.id) {
			mine = append(mine, c)
		}
	}
	return losesCard(next, mine, func(c *roomCard) bool { return v.lines[c.Subject].overtaken(c) })
}

// lost returns the cards of my team's that the charter would lose.
func (r *roomAt) lost(v *roomVersion, next *protocol.Charter) (ids []protocol.Hash) {
	for c := r.loses(v, next, nil); c != nil; c = r.loses(v, next, ids) {
		ids = append(ids, c.id)
	}
	return ids
}

// cardVote returns the rule by which my team may not vote for the card now; "" if it may.
func (r *roomAt) cardVote(v *roomVersion, c *protocol.MemberCard) (rule string) {
	l := v.lines[c.Subject]
	if l == nil {
		l = &line{}
	}
	n, prev := l.tip().next()
	switch {
	case !v.IsSteward(r.self):
		return "not-steward"
	case c.Subject == r.self:
		return "own-card"
	case c.Charter != v.id || c.N != n || c.Prev != prev:
		return "card-stale"
	case r.unfounded(v, l.tip(), c) != "":
		return "card-unfounded"
	case r.ahead(c.Issued):
		return "from-the-future"
	}
	if c.Opened != 0 {
		if rule := r.admissionVote(v, c); rule != "" {
			return rule
		}
	}
	var charters []protocol.Hash
	for k := range v.approved {
		if !slices.Contains(charters, k.charter) {
			charters = append(charters, k.charter)
		}
	}
	return positionOf(r.ballots(v, r.self)).mayVoteCard(v.rounds(), charters, v.approvals, v.quorum)
}

// admissionVote checks what only the stewards see to: the window, and who objects.
func (r *roomAt) admissionVote(v *roomVersion, c *protocol.MemberCard) (rule string) {
	if c.Opened < c.Joined {
		return "card-opened"
	}
	members := 0
	for _, id := range c.Vouches {
		w, ok := r.vouches[id]
		switch {
		case ok && w.rec.Issued > c.Opened:
			return "card-opened"
		case ok && r.sponsors(v, w) && r.member(v, w.rec.Team, v.lines[w.rec.Team]).Status == StandingMember:
			members++
		}
	}
	if members < int(v.Sponsors) {
		return "card-unfounded"
	}
	if v.ObjectionDays > 0 && r.now.Before(r.opens(v, c.Opened, append([]protocol.Hash{c.Accept}, c.Vouches...))) {
		return "objection-window"
	}
	for _, o := range r.openObjections(v, c.Subject) {
		if !slices.Contains(c.Objections, o.id) {
			return "objected"
		}
	}
	if r.isNew(append([]protocol.Hash{c.Accept}, c.Vouches...)...) {
		return "officer-new"
	}
	return ""
}

// isNew reports whether one of the records was signed by an officer whose permissive acts wait (Book.permits). That is for my
// team's own vote alone: what others see of the room must not depend on when each of them first saw an officer.
func (r *roomAt) isNew(ids ...protocol.Hash) bool {
	return slices.ContainsFunc(ids, func(id protocol.Hash) bool { n := r.records[id]; return n != nil && r.waits(n) })
}

// waits reports whether the signature of one team counts for my team's vote only later.
func (rs *Rooms) waits(n *roomRecord, now time.Time) bool {
	t := rs.book.teams[n.team]
	if t == nil || t.roots[n.root] == nil {
		return false
	}
	_, until := rs.book.permits(t, t.roots[n.root], protocol.ActVote, n.signers[n.team], now)
	return !until.IsZero()
}

// ahead reports whether a time of issue is so far ahead that a term which begins then would be longer than the charter permits.
func (r *roomAt) ahead(issued uint64) bool {
	return unixTime(issued).After(r.now.Add(protocol.MaxClockAhead))
}

// deciding returns the rule by which nothing is decided in the room now; "" if it is.
func (r *roomAt) deciding() (rule string) {
	switch {
	case len(r.charters) == 0:
		return "no-room"
	case r.head() == nil:
		return "room-founding"
	case len(r.rivals) > 0:
		return "room-frozen"
	case r.head().Closed:
		return "room-closed"
	}
	return ""
}

// proposal returns the charter of the id that would follow the present one.
func (r *roomAt) proposal(id protocol.Hash) (charterFact, bool) {
	for _, n := range r.head().proposals {
		if n.id == id {
			return n, true
		}
	}
	return charterFact{}, false
}

// MaySign says whether my team's officers may sign the founding charter.
func (rs *Rooms) MaySign(room protocol.Hash, now time.Time) Decision {
	r := rs.at(room, now)
	switch {
	case r == nil:
		return roomDecision("no-room")
	case r.head() != nil || !slices.ContainsFunc(r.charters, func(c charterFact) bool { return c.id == room && c.IsSteward(rs.self()) }):
		return roomDecision("no-proposal")
	case !slices.Contains(r.unsigned, rs.self()):
		return roomDecision("already-signed")
	}
	return roomDecision("")
}

// MayApprove says whether my team may approve the charter now.
func (rs *Rooms) MayApprove(room, charter protocol.Hash, now time.Time) Decision {
	_, d := rs.DraftApprove(room, charter, now)
	return d
}

// MayAdopt says whether my team may adopt the charter now. That takes no decision of a person: approving did.
func (rs *Rooms) MayAdopt(room, charter protocol.Hash, now time.Time) Decision {
	_, d := rs.DraftAdopt(room, charter, now)
	return d
}

// MayVoteCard says whether my team may sign the card of the id now.
func (rs *Rooms) MayVoteCard(room, card protocol.Hash, now time.Time) Decision {
	r := rs.at(room, now)
	if r == nil {
		return roomDecision("no-room")
	}
	if rule := r.deciding(); rule != "" {
		return roomDecision(rule)
	}
	for _, c := range r.head().cards {
		if c.id == card {
			if _, ok := c.votes[rs.self()]; ok {
				return roomDecision("vote-given")
			}
			return roomDecision(r.cardVote(r.head(), c.MemberCard))
		}
	}
	return roomDecision("no-proposal")
}

// ascending sorts ids and returns them.
func ascending(ids []protocol.Hash) []protocol.Hash {
	slices.SortFunc(ids, func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// Ask is Book.Ask, for every audience: for a room it also says what follows from the room's records.
func (rs *Rooms) Ask(act Action, l tlp.Label, aud protocol.Audience, peer protocol.TeamID, now time.Time) Question {
	q := rs.book.Ask(act, l, aud, peer, now)
	if aud.Kind != protocol.InRoom {
		return q
	}
	r := rs.at(aud.Room, now)
	if r == nil {
		return q
	}
	var i RoomInfo
	if v := r.head(); v != nil {
		r.brief(&i, v)
	} else if r.founding(&i); i.Charter == nil {
		return q
	}
	q.Room, q.Standing = i.State, i.Standing(peer)
	q.Ceiling, q.Onward, q.Attribution = i.Charter.Ceiling, i.Charter.Onward, i.Charter.Attribution
	return q
}
