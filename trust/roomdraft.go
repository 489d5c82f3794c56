package trust

import (
	"bytes"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// VouchLife is for how long a drafted word for an applicant is valid.
const VouchLife = 180 * 24 * time.Hour

// A Draft is what an officer of my team would sign next. One without a record is a record of others to be signed with them:
// RoomEnvelope returns it by ID.
type Draft struct {
	Kind   string // sign, accept, approve, adopt, give-up (adopt, and void our own cards), vote
	ID     protocol.Hash
	Record protocol.Record
	Clerk  bool // nothing is left to decide: a node's owner may let it be signed at once
	Why    string
}

// NewCharter drafts the founding charter of a room with the terms that most rooms have; the caller changes what it wants and
// adds a salt. Stewards are members, whether or not they are among members. My own team is a steward. Teams whose root records
// are not known are an error of the caller: ok is false.
func (rs *Rooms) NewCharter(name string, stewards, members []protocol.TeamID, now time.Time) (c *protocol.Charter, ok bool) {
	at := uint64(now.Unix())
	c = &protocol.Charter{Version: 1, Name: name, Sponsors: 2, ObjectionDays: 21, HoldDays: 14, CardDays: 365, Ceiling: tlp.AmberStrict,
		Policy: protocol.DefaultIEP(), Attribution: protocol.AttributeRoom, Onward: protocol.OnwardNone, History: protocol.HistoryJoining,
		EpochDays: 30, FreshHours: 7 * 24, Issued: at}
	unique := func(ids ...protocol.TeamID) []protocol.TeamID {
		ids = ascending(ids)
		return slices.Compact(ids)
	}
	c.Stewards = unique(append(slices.Clone(stewards), rs.self())...)
	for _, t := range unique(append(slices.Clone(members), c.Stewards...)...) {
		root, known := rs.rootOf(t)
		if !known {
			return nil, false
		}
		c.Members = append(c.Members, protocol.Seat{Team: t, Root: root, Status: protocol.MemberFull, Until: at + c.CardDays*86400, Joined: at})
	}
	return c, true
}

// open returns the room if anything is decided in it now.
func (rs *Rooms) open(room protocol.Hash, now time.Time) (*roomAt, *roomVersion, string) {
	r := rs.at(room, now)
	if r == nil {
		return nil, nil, "no-room"
	}
	if rule := r.deciding(); rule != "" {
		return nil, nil, rule
	}
	return r, r.head(), ""
}

// standingOf returns where a team stands.
func (r *roomAt) standingOf(v *roomVersion, t protocol.TeamID) Standing {
	return r.roll.member(t).Status
}

// DraftApprove drafts my team's approval of a proposed charter.
func (rs *Rooms) DraftApprove(room, charter protocol.Hash, now time.Time) (*protocol.Approve, Decision) {
	r, v, rule := rs.open(room, now)
	if rule != "" {
		return nil, roomDecision(rule)
	}
	n, ok := r.proposal(charter)
	if !ok {
		return nil, roomDecision("no-proposal")
	}
	round, pol, rule := r.approval(v, n)
	if rule != "" {
		return nil, roomDecision(rule)
	}
	root, _ := rs.rootOf(rs.self())
	a := &protocol.Approve{Room: room, Charter: charter, Version: n.Version, Round: round, Team: rs.self(), Root: root, Issued: uint64(now.Unix())}
	if pol != 0 {
		a.Pol = &protocol.Pol{Round: pol, Approves: quorumIDs(v.approved[voteKey{pol, charter}], v.quorum)}
	}
	return a, roomDecision("")
}

// quorumIDs returns the ids of so many votes, ascending.
func quorumIDs(by map[protocol.TeamID]protocol.Hash, q int) []protocol.Hash {
	var ids []protocol.Hash
	for _, id := range by {
		ids = append(ids, id)
	}
	return ascending(ids)[:min(len(ids), q)]
}

// DraftAdopt drafts my team's adoption of a charter that a quorum approved. That needs no decision of a person, unless it gives
// up cards: restrictions for which my team voted, and which the charter does not have. Where some stewards adopted a charter and
// others voted for such a card, neither may get a quorum otherwise. The card can be voted for again under the new charter.
func (rs *Rooms) DraftAdopt(room, charter protocol.Hash, now time.Time, giveUp ...protocol.Hash) (*protocol.Adopt, Decision) {
	r, v, rule := rs.open(room, now)
	if rule != "" {
		return nil, roomDecision(rule)
	}
	n, ok := r.proposal(charter)
	if !ok {
		return nil, roomDecision("no-proposal")
	}
	voids := ascending(slices.Clone(giveUp))
	round, rule := r.adoption(v, n, voids)
	if rule != "" {
		return nil, roomDecision(rule)
	}
	root, _ := rs.rootOf(rs.self())
	return &protocol.Adopt{Room: room, Charter: charter, Version: n.Version, Round: round, Team: rs.self(), Root: root,
		Approves: quorumIDs(v.approved[voteKey{round, charter}], v.quorum), Issued: uint64(now.Unix()), Voids: voids}, roomDecision("")
}

// DraftCharter drafts the next version: the present terms, everybody where they stand now, and what edit changes. Former
// members are left out. The caller adds a salt after, or in edit.
func (rs *Rooms) DraftCharter(room protocol.Hash, now time.Time, edit func(*protocol.Charter)) (*protocol.Charter, Decision) {
	r, v, rule := rs.open(room, now)
	switch {
	case rule != "":
		return nil, roomDecision(rule)
	case !v.IsSteward(rs.self()):
		return nil, roomDecision("not-steward")
	}
	c := *v.Charter
	c.Room, c.Version, c.Prev, c.Replaces, c.Voids, c.Issued = room, v.Version+1, v.id, protocol.Hash{}, nil, uint64(now.Unix())
	c.Members, c.Stewards = nil, nil
	for _, m := range r.roll.members {
		l := v.lines[m.Team]
		if l.status() == 0 || m.Status == StandingRemoved || m.Status == StandingLeft {
			continue
		}
		p := l.tip()
		s := protocol.Seat{Team: m.Team, Root: p.root, Status: p.status, Until: p.until, Joined: p.joined}
		if root, ok := rs.rootOf(m.Team); ok && r.depthOf(m.Team, root) > r.depthOf(m.Team, p.root) {
			s.Root = root // officers of former root records have no say any more
		}
		s.Until = min(s.Until, c.Issued+c.CardDays*86400)
		c.Members = append(c.Members, s)
		if v.IsSteward(m.Team) && p.status == protocol.MemberFull {
			c.Stewards = append(c.Stewards, m.Team)
		}
	}
	slices.SortFunc(c.Members, func(a, b protocol.Seat) int { return bytes.Compare(a.Team[:], b.Team[:]) })
	ascending(c.Stewards)
	if edit != nil {
		edit(&c)
	}
	return &c, roomDecision("")
}

// DraftAccept drafts my team's acceptance of the terms: of the present charter, or of a proposed one that makes it a steward.
func (rs *Rooms) DraftAccept(room protocol.Hash, now time.Time) (*protocol.Accept, Decision) {
	r, v, rule := rs.open(room, now)
	if rule != "" {
		return nil, roomDecision(rule)
	}
	root, _ := rs.rootOf(rs.self())
	a := &protocol.Accept{Room: room, Charter: v.id, Team: rs.self(), Root: root, Issued: uint64(now.Unix())}
	for _, n := range v.proposals {
		if slices.Contains(r.unaccepted(v, n), rs.self()) {
			a.Charter = n.id
		}
	}
	if a.Charter != v.id {
		return a, roomDecision("")
	}
	s := r.standingOf(v, rs.self())
	switch _, seated := v.Seat(rs.self()); {
	case s == StandingMember || s == StandingHeld || s == StandingSuspended || s == StandingLapsed:
		return nil, roomDecision("already-signed")
	case s == StandingProposed && !seated || s == StandingLeft || s == StandingRemoved:
		since := v.lines[rs.self()].joined()
		if left := r.leaveOf(rs.self(), since); left != nil {
			since = max(since, left.Issued)
		}
		if _, accept, _ := r.admission(v, rs.self()); accept.rec != nil && accept.rec.Issued > since {
			return nil, roomDecision("already-signed")
		}
		return a, roomDecision("")
	case s == StandingProposed:
		return a, roomDecision("")
	}
	return nil, roomDecision("not-proposed")
}

// asked reports whether the team is to be in: proposed, or out and vouched for again.
func (r *roomAt) asked(t protocol.TeamID) bool {
	v := r.head()
	if s := r.standingOf(v, t); s != StandingLeft && s != StandingRemoved {
		return true
	}
	sponsors, _, _ := r.admission(v, t)
	return len(sponsors) > 0
}

// DraftVouch drafts my team's word for a team that is to be admitted. The first such word proposes it.
func (rs *Rooms) DraftVouch(room protocol.Hash, team protocol.TeamID, text string, now time.Time) (*protocol.Vouch, Decision) {
	r, v, rule := rs.open(room, now)
	switch {
	case rule != "":
	case r.standingOf(v, rs.self()) != StandingMember:
		rule = "not-member"
	case team == rs.self():
		rule = "own-team"
	case slices.Contains([]Standing{StandingMember, StandingHeld, StandingSuspended, StandingLapsed}, r.standingOf(v, team)):
		rule = "not-applicant"
	}
	if rule != "" {
		return nil, roomDecision(rule)
	}
	sponsors, _, _ := r.admission(v, team)
	if slices.ContainsFunc(sponsors, func(w fact[protocol.Vouch]) bool { return w.rec.Team == rs.self() }) {
		return nil, roomDecision("already-signed")
	}
	root, _ := rs.rootOf(rs.self())
	return &protocol.Vouch{Room: room, Applicant: team, Team: rs.self(), Root: root, Text: text, Issued: uint64(now.Unix()),
		Expires: uint64(now.Add(VouchLife).Unix()), Charter: v.id}, roomDecision("")
}

// DraftObjection drafts my team's objection to the admission of a team, or that it takes it back.
func (rs *Rooms) DraftObjection(room protocol.Hash, team protocol.TeamID, reason string, withdrawn bool, now time.Time) (*protocol.Objection, Decision) {
	r, v, rule := rs.open(room, now)
	switch {
	case rule != "":
	case r.standingOf(v, rs.self()) != StandingMember:
		rule = "not-member"
	case team == rs.self():
		rule = "own-team"
	case withdrawn && !slices.Contains(r.objectors(v, team), rs.self()):
		rule = "no-proposal"
	case slices.Contains([]Standing{StandingMember, StandingHeld, StandingSuspended, StandingLapsed}, r.standingOf(v, team)):
		rule = "not-applicant"
	}
	if rule != "" {
		return nil, roomDecision(rule)
	}
	root, _ := rs.rootOf(rs.self())
	return &protocol.Objection{Room: room, Subject: team, Team: rs.self(), Root: root, Withdrawn: withdrawn, Reason: reason,
		Issued: uint64(now.Unix())}, roomDecision("")
}

// DraftHold drafts a hold on a member, for as long as the charter lets one steward alone.
func (rs *Rooms) DraftHold(room protocol.Hash, team protocol.TeamID, reason string, now time.Time) (*protocol.Hold, Decision) {
	r, v, rule := rs.open(room, now)
	switch {
	case rule != "":
	case !v.IsSteward(rs.self()):
		rule = "not-steward"
	case team == rs.self():
		rule = "own-team"
	case v.lines[team].status() != protocol.MemberFull:
		rule = "no-such-member"
	case slices.ContainsFunc(r.holds, func(h fact[protocol.Hold]) bool {
		return h.rec.Team == rs.self() && h.rec.Subject == team && h.rec.Charter == v.id
	}):
		rule = "hold-given"
	}
	if rule != "" {
		return nil, roomDecision(rule)
	}
	root, _ := rs.rootOf(rs.self())
	at := uint64(now.Unix())
	return &protocol.Hold{Room: room, Charter: v.id, Subject: team, Team: rs.self(), Root: root, Until: at + v.HoldDays*86400, Reason: reason,
		Issued: at}, roomDecision("")
}

// DraftLeave drafts my team's word that it is out. It is possible in every state of a room. cuts say how far the feeds of my
// team's nodes in the room stand: what comes later than the leave, and is within them, is still taken in.
func (rs *Rooms) DraftLeave(room protocol.Hash, reason string, cuts []protocol.Head, now time.Time) (*protocol.Leave, Decision) {
	r := rs.at(room, now)
	switch {
	case r == nil || len(r.charters) == 0:
		return nil, roomDecision("no-room")
	case r.head() == nil:
		return nil, roomDecision("room-founding")
	}
	switch r.standingOf(r.head(), rs.self()) {
	case StandingNone, StandingLeft, StandingRemoved:
		return nil, roomDecision("not-member")
	}
	root, _ := rs.rootOf(rs.self())
	// Not before it joined, by whatever clock.
	at := max(uint64(now.Unix()), r.head().lines[rs.self()].joined())
	return &protocol.Leave{Room: room, Team: rs.self(), Root: root, Reason: reason, Issued: at, Cuts: cuts}, roomDecision("")
}

func (l *line) joined() uint64 {
	if l == nil {
		return 0
	}
	return l.tip().joined
}

// DraftCard drafts a card about a team: to admit it, to renew its membership, to suspend or to remove it, or to let it in again.
// Which of these follows from the status and where the team stands. The term is the longest that the charter permits. cuts
// say how far the feeds of who goes out stand.
func (rs *Rooms) DraftCard(room protocol.Hash, team protocol.TeamID, to protocol.MemberStatus, reason string, cuts []protocol.Head, now time.Time) (*protocol.MemberCard, Decision) {
	r, v, rule := rs.open(room, now)
	if rule != "" {
		return nil, roomDecision(rule)
	}
	var p place
	if l := v.lines[team]; l != nil {
		p = l.tip()
	}
	at := uint64(now.Unix())
	c := &protocol.MemberCard{Room: room, Charter: v.id, Subject: team, Root: p.root, Status: to, Until: at + v.CardDays*86400, Joined: p.joined,
		Reason: reason, Issued: at}
	c.N, c.Prev = p.next()
	if root, ok := rs.rootOf(team); ok && (p.status == 0 || r.depthOf(team, root) > r.depthOf(team, p.root)) {
		c.Root = root
	}
	if to != protocol.MemberFull {
		c.Cuts = cuts
	}
	standing := r.standingOf(v, team)
	if to == protocol.MemberFull && (p.status == 0 || p.status == protocol.MemberRemoved || standing == StandingLeft) {
		sponsors, accept, opened := r.admission(v, team)
		if accept.rec == nil || len(sponsors) < int(v.Sponsors) {
			return nil, roomDecision("card-unfounded")
		}
		c.Accept, c.Joined, c.Opened = accept.id, accept.rec.Issued, opened
		for _, w := range sponsors {
			c.Vouches = append(c.Vouches, w.id)
		}
		for _, o := range r.openObjections(v, team) {
			c.Objections = append(c.Objections, o.id)
		}
		ascending(c.Vouches)
		ascending(c.Objections)
	} else if p.status == 0 {
		return nil, roomDecision("no-such-member")
	}
	if rule := r.cardVote(v, c); rule != "" {
		return nil, roomDecision(rule)
	}
	return c, roomDecision("")
}

// DraftRefound drafts my team's word that it goes on in the new room, of which the charter says that it replaces this one.
func (rs *Rooms) DraftRefound(room, next protocol.Hash, now time.Time) (*protocol.Refound, Decision) {
	r, n := rs.at(room, now), rs.at(next, now)
	switch {
	case r == nil || r.head() == nil || n == nil || !slices.ContainsFunc(n.charters, func(c charterFact) bool { return c.id == next && c.Replaces == room }):
		return nil, roomDecision("no-room")
	}
	if i := r.info(); i.State != RoomFrozen && i.State != RoomQuorumLost {
		return nil, roomDecision("room-unchanged")
	}
	root, _ := rs.rootOf(rs.self())
	return &protocol.Refound{Room: room, Charter: r.head().id, New: next, Team: rs.self(), Root: root, Issued: uint64(now.Unix())}, roomDecision("")
}

// Drafts returns all that waits for my team's officers in the room.
func (rs *Rooms) Drafts(room protocol.Hash, now time.Time) []Draft {
	r := rs.at(room, now)
	if r == nil {
		return nil
	}
	var out []Draft
	if rs.MaySign(room, now).Allowed {
		out = append(out, Draft{Kind: "sign", ID: room, Why: "the room is being founded"})
	}
	if a, d := rs.DraftAccept(room, now); d.Allowed && (a.Charter != r.head().id || r.asked(rs.self())) {
		out = append(out, Draft{Kind: "accept", ID: a.Charter, Record: a, Why: "our team is proposed, or named by the charter"})
	}
	for _, p := range r.info().Proposals {
		if p.Kind == "charter" {
			if a, d := rs.DraftAdopt(room, p.ID, now); d.Allowed {
				out = append(out, Draft{Kind: "adopt", ID: p.ID, Record: a, Clerk: true, Why: "a quorum approved the charter"})
			} else if d.Rule == "card-lost" && len(p.Votes) >= p.Needed {
				n, _ := r.proposal(p.ID)
				if a, d := rs.DraftAdopt(room, p.ID, now, r.lost(r.head(), n.Charter)...); d.Allowed {
					out = append(out, Draft{Kind: "give-up", ID: p.ID, Record: a, Why: "a quorum approved the charter, which undoes a " +
						"restriction for which our team voted: if that gets no quorum, adopt the charter and vote for it again then"})
				}
			}
		}
		if !p.MineVote {
			continue
		}
		switch {
		case p.Kind == "charter":
			if a, d := rs.DraftApprove(room, p.ID, now); d.Allowed {
				out = append(out, Draft{Kind: "approve", ID: p.ID, Record: a, Why: "a steward proposes a new charter"})
			}
		case p.Card != nil:
			out = append(out, Draft{Kind: "vote", ID: p.ID, Why: "a steward proposes a " + p.Kind})
		case p.Kind == "admission":
			if c, d := rs.DraftCard(room, p.Subject, protocol.MemberFull, "", nil, now); d.Allowed {
				out = append(out, Draft{Kind: "vote", ID: p.ID, Record: c, Why: "a member proposes a team"})
			}
		}
	}
	return out
}
