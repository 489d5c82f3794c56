package trust

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
)

// StewardSilence is for how long a steward may be silent before it is not counted on any more. Nodes of stewards speak every
// month by themselves: the heads of their feeds are enough.
const StewardSilence = 35 * 24 * time.Hour

// A roomAt is a room at one time, as one team sees it.
type roomAt struct {
	*roomFacts
	*roomChain
	now     time.Time
	self    protocol.TeamID
	call    func(protocol.TeamID) string
	heard   map[protocol.TeamID]time.Time
	records map[protocol.Hash]*roomRecord
	waits   func(*roomRecord) bool
	roll    *roll // at now; nil while the room is being founded
}

// info computes what is known of the room.
func (r *roomAt) info() RoomInfo {
	i := RoomInfo{ID: r.room}
	v := r.head()
	if v == nil {
		r.founding(&i)
		return i
	}
	r.brief(&i, v)
	i.Members = slices.Clone(i.Members)
	for _, w := range r.versions {
		for _, c := range w.cheating {
			i.Cheats = append(i.Cheats, Cheat{c.team, c.a, c.b})
			i.Warnings = append(i.Warnings, fmt.Sprintf("%s voted twice, or against its own vote, and the records prove it: talk to its people", r.call(c.team)))
		}
	}
	if i.State == RoomOpen || i.State == RoomQuorumLost {
		i.Proposals = r.proposals(v)
	}
	r.warn(&i)
	return i
}

// brief fills in all but what needs somebody's doing. Members are not a copy.
func (r *roomAt) brief(i *RoomInfo, v *roomVersion) {
	i.Name, i.Version, i.CharterID, i.Charter, i.Stewards, i.Quorum = v.Name, v.Version, v.id, v.Charter, v.Stewards, v.quorum
	i.Members = r.roll.members
	i.Mine, i.Steward = i.Standing(r.self), v.IsSteward(r.self)
	i.Cards, i.Holds, i.Rivals = r.roll.cards, r.roll.held, r.rivals
	r.setState(i, v)
}

// founding fills in what is known of a room whose first stewards have not all signed.
func (r *roomAt) founding(i *RoomInfo) {
	i.State = RoomFounding
	at := slices.IndexFunc(r.charters, func(c charterFact) bool { return c.id == r.room })
	if at < 0 {
		i.State, i.Why = NoRoom, "its charter has not arrived yet"
		return
	}
	c := r.charters[at]
	i.Name, i.Version, i.CharterID, i.Charter, i.Stewards, i.Quorum = c.Name, 1, c.id, c.Charter, c.Stewards, quorumOf(len(c.Stewards))
	for _, s := range c.Members {
		i.Members = append(i.Members, RoomMember{Team: s.Team, Status: StandingProposed, Until: unixTime(s.Until), Since: unixTime(s.Joined),
			Why: "the room is being founded"})
	}
	i.Mine, i.Steward = i.Standing(r.self), c.IsSteward(r.self)
	i.Why = "not signed yet by " + r.names(r.unsigned)
	p := Proposal{ID: c.id, Kind: "founding", Charter: c.Charter, Needed: len(c.Stewards), MineVote: slices.Contains(r.unsigned, r.self)}
	for _, s := range c.Stewards {
		if !slices.Contains(r.unsigned, s) {
			p.Votes = append(p.Votes, s)
		}
	}
	i.Proposals = []Proposal{p}
}

// names lists teams for people.
func (r *roomAt) names(ts []protocol.TeamID) string {
	var out []string
	for _, t := range ts {
		out = append(out, r.call(t))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (r *roomAt) setState(i *RoomInfo, v *roomVersion) {
	i.State = RoomOpen
	for _, f := range r.refounds {
		if f.rec.Room == r.room && f.depth >= 0 && i.Standing(f.rec.Team) != StandingNone && !slices.Contains(i.Next, f.rec.New) {
			i.Next = append(i.Next, f.rec.New)
		}
	}
	slices.SortFunc(i.Next, func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) })
	left := slices.ContainsFunc(r.refounds, func(f fact[protocol.Refound]) bool {
		return f.rec.Room == r.room && f.rec.Team == r.self && f.depth >= 0
	})
	live, silent := r.liveStewards(i, v)
	i.Silent = silent
	switch {
	case left:
		i.State, i.Why = RoomClosed, "our team goes on in a new room"
	case len(r.rivals) > 0:
		i.State = RoomFrozen
		i.Why = fmt.Sprintf("two charters were decided for version %d, so at least %d stewards cheated (%s): nothing is sent any more; "+
			"found the room anew, without them, with one signature of each member", v.Version+1, max(1, 2*v.quorum-len(v.Stewards)), r.accused(v))
	case v.Closed:
		i.State, i.Why = RoomClosed, fmt.Sprintf("its stewards closed it on %s", unixTime(v.Issued).Format(time.DateOnly))
	case live < v.quorum:
		i.State = RoomQuorumLost
		i.Why = fmt.Sprintf("only %d of the %d stewards needed for a decision can be counted on (not: %s, who are silent or out): members go on as they are; "+
			"reach the others, or found the room anew, with one signature of each member", live, v.quorum, r.names(silent))
	case live == v.quorum && len(silent) > 0:
		i.Warnings = append(i.Warnings, fmt.Sprintf("one steward more that falls silent, and nothing can be decided (silent: %s): "+
			"reach them, or agree on other stewards", r.names(silent)))
	}
}

func (r *roomAt) accused(v *roomVersion) string {
	var ts []protocol.TeamID
	for _, c := range v.cheating {
		ts = append(ts, c.team)
	}
	if len(ts) == 0 {
		return "some of the proof has not arrived yet"
	}
	return r.names(ts)
}

// liveStewards counts the stewards that can be counted on for a vote, and returns the others. Who left or was removed is given no
// records to vote on; who is held or suspended is.
func (r *roomAt) liveStewards(i *RoomInfo, v *roomVersion) (live int, silent []protocol.TeamID) {
	for _, s := range v.Stewards {
		last := unixTime(v.Issued)
		if h := r.heard[s]; h.After(last) && !h.After(r.now.Add(protocol.MaxClockAhead)) {
			last = h
		}
		if out := i.Standing(s); out == StandingLeft || out == StandingRemoved || s != r.self && r.now.Sub(last) > StewardSilence {
			silent = append(silent, s)
		} else {
			live++
		}
	}
	return live, silent
}

func (r *roomAt) warn(i *RoomInfo) {
	if i.State != RoomOpen && i.State != RoomQuorumLost {
		return
	}
	soon := r.now.Add(30 * 24 * time.Hour)
	var ending []protocol.TeamID
	for _, m := range i.Members {
		if m.Status == StandingMember && m.Until.Before(soon) {
			ending = append(ending, m.Team)
		}
	}
	if len(ending) > 0 {
		i.Warnings = append(i.Warnings, fmt.Sprintf("within 30 days the membership ends of %s: the stewards have to renew it", r.names(ending)))
	}
	waiting := 0
	for _, p := range i.Proposals {
		if p.MineVote {
			waiting++
		}
	}
	if waiting > 0 {
		i.Warnings = append(i.Warnings, fmt.Sprintf("%d proposals wait for our vote", waiting))
	}
}

// members returns where everybody stands, ascending by team.
func (r *roomAt) members(v *roomVersion) []RoomMember {
	var out []RoomMember
	seen := map[protocol.TeamID]bool{}
	for t, l := range v.lines {
		if l.tip().status != 0 {
			seen[t] = true
			out = append(out, r.member(v, t, l))
		}
	}
	for _, w := range r.vouches {
		t := w.rec.Applicant
		if !seen[t] && w.rec.Charter == v.id && w.depth >= 0 && r.now.Unix() < int64(w.rec.Expires) && r.sponsors(v, w) {
			seen[t] = true
			out = append(out, RoomMember{Team: t, Status: StandingProposed, Why: "proposed: sponsors, its acceptance and the stewards' votes decide"})
		}
	}
	slices.SortFunc(out, func(a, b RoomMember) int { return bytes.Compare(a.Team[:], b.Team[:]) })
	return out
}

// sponsors reports whether the vouch is by a member.
func (r *roomAt) sponsors(v *roomVersion, w fact[protocol.Vouch]) bool {
	l := v.lines[w.rec.Team]
	return l != nil && l.tip().status == protocol.MemberFull
}

// member says where a team stands that has a seat or a card.
func (r *roomAt) member(v *roomVersion, t protocol.TeamID, l *line) RoomMember {
	p := l.tip()
	m := RoomMember{Team: t, Status: StandingMember, Until: unixTime(p.until), Since: unixTime(p.joined)}
	reason := ""
	if p.card != nil {
		m.Card, m.Cuts = p.card.id, p.card.Cuts
		if p.card.Reason != "" {
			reason = ": " + p.card.Reason
		}
	}
	hold := r.holdOf(v, t)
	switch left := r.leaveOf(t, p.joined); {
	case p.status == protocol.MemberRemoved:
		m.Status, m.Why = StandingRemoved, "the stewards removed it"+reason
	case left != nil:
		m.Cuts = left.Cuts
		m.Status, m.Why = StandingLeft, fmt.Sprintf("it left on %s", unixTime(left.Issued).Format(time.DateOnly))
	case r.bound[t] == 0:
		m.Status, m.Why = StandingProposed, "it has not accepted the charter yet"
	case p.status == protocol.MemberSuspended:
		m.Status, m.Why = StandingSuspended, "the stewards suspended it"+reason
	case r.now.Unix() >= int64(p.until):
		m.Status, m.Why = StandingLapsed, "its membership ended: the stewards can renew it"
	case hold != nil:
		m.Status, m.Until = StandingHeld, unixTime(hold.Until)
		m.Why = fmt.Sprintf("%s holds it until %s", r.call(hold.Team), m.Until.Format(time.DateOnly))
		if hold.Reason != "" {
			m.Why += ": " + hold.Reason
		}
	}
	return m
}

// leaveOf returns the team's word that it is out, if it is newer than its last acceptance.
func (r *roomAt) leaveOf(t protocol.TeamID, joined uint64) *protocol.Leave {
	var last *protocol.Leave
	for _, l := range r.leavesOf[t] {
		if l.depth >= 0 && l.rec.Issued >= joined && (last == nil || l.rec.Issued > last.Issued) {
			last = l.rec
		}
	}
	return last
}

// holdOf returns the hold on the team that lasts longest, if one is in effect.
func (r *roomAt) holdOf(v *roomVersion, t protocol.TeamID) *protocol.Hold {
	var last *protocol.Hold
	for _, h := range r.holdsOn[t] {
		if r.inEffect(v, h) && (last == nil || h.rec.Until > last.Until || h.rec.Until == last.Until &&
			bytes.Compare(h.rec.Team[:], last.Team[:]) < 0) {
			last = h.rec
		}
	}
	return last
}

// holdable reports whether a hold, taken alone, is within the charter.
func (v *roomVersion) holdable(h fact[protocol.Hold]) bool {
	return h.rec.Charter == v.id && v.IsSteward(h.rec.Team) && h.depth >= v.pins[h.rec.Team] && h.rec.Until <= h.rec.Issued+v.HoldDays*86400
}

// first reports whether a hold is within the charter, and the first that its steward gave for the member: no other counts.
func (r *roomAt) first(v *roomVersion, h fact[protocol.Hold]) bool {
	return v.holdable(h) && !slices.ContainsFunc(r.holdsOn[h.rec.Subject], func(o fact[protocol.Hold]) bool {
		return o.rec.Team == h.rec.Team && v.holdable(o) && cmp.Or(cmp.Compare(o.rec.Issued, h.rec.Issued), bytes.Compare(o.id[:], h.id[:])) < 0
	})
}

func (r *roomAt) inEffect(v *roomVersion, h fact[protocol.Hold]) bool {
	return r.first(v, h) && unixTime(h.rec.Issued).Before(r.now.Add(protocol.MaxClockAhead)) &&
		r.now.Unix() < int64(h.rec.Until)
}

// bare returns the digest of no card and no leave.
func (v *roomVersion) bare() protocol.Hash { return v.digest("entente/v1/carded", nil) }

func (v *roomVersion) digest(domain string, ids []protocol.Hash) protocol.Hash {
	parts := [][]byte{v.id[:]}
	for _, id := range ascending(ids) {
		parts = append(parts, id[:])
	}
	return protocol.Sum(domain, parts...)
}

// digests returns what an epoch names: hashes over the cards and leaves that count, and over the holds in effect.
func (r *roomAt) digests(v *roomVersion) (cards, holds protocol.Hash) {
	var ids, held []protocol.Hash
	for _, l := range v.lines {
		for _, c := range l.path {
			ids = append(ids, c.id)
		}
	}
	for _, l := range r.leaves {
		if l.depth >= 0 {
			ids = append(ids, l.id)
		}
	}
	for _, h := range r.holds {
		if r.inEffect(v, h) {
			held = append(held, h.id)
		}
	}
	if len(held) > 0 {
		holds = v.digest("entente/v1/held", held)
	}
	return v.digest("entente/v1/carded", ids), holds
}

// proposals returns what waits for votes: charters first, then what concerns members, by team.
func (r *roomAt) proposals(v *roomVersion) []Proposal {
	var out []Proposal
	for _, n := range v.proposals {
		out = append(out, r.charterProposal(v, n))
	}
	var about []Proposal
	drafted := map[protocol.TeamID]bool{}
	for _, c := range v.cards {
		l := v.lines[c.Subject]
		n, prev := l.tip().next()
		if c.N != n || c.Prev != prev || slices.Contains(l.valid, c) {
			continue
		}
		p := r.cardProposal(v, l.tip(), c)
		drafted[c.Subject] = drafted[c.Subject] || p.Kind == "admission" && !r.ahead(c.Issued) // a clock that is wrong keeps nobody from deciding
		about = append(about, p)
	}
	for _, m := range r.roll.members {
		back := (m.Status == StandingRemoved || m.Status == StandingLeft) && r.asked(m.Team)
		if !drafted[m.Team] && (back || m.Status == StandingProposed && v.lines[m.Team].status() == 0) {
			about = append(about, r.application(v, m.Team))
		}
	}
	slices.SortFunc(about, func(a, b Proposal) int {
		return cmp.Or(bytes.Compare(a.Subject[:], b.Subject[:]), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return append(out, about...)
}

func (l *line) status() protocol.MemberStatus {
	if l == nil {
		return 0
	}
	return l.tip().status
}

func (r *roomAt) charterProposal(v *roomVersion, n charterFact) Proposal {
	p := Proposal{ID: n.id, Kind: "charter", Charter: n.Charter, Needed: v.quorum}
	for k, by := range v.approved {
		if k.charter == n.id && (len(by) > len(p.Votes) || len(by) == len(p.Votes) && k.round > p.Round) {
			p.Round, p.Votes = k.round, p.Votes[:0]
			for _, s := range v.Stewards {
				if _, ok := by[s]; ok {
					p.Votes = append(p.Votes, s)
				}
			}
		}
	}
	for _, s := range v.Stewards {
		if _, ok := v.adopted[voteKey{p.Round, n.id}][s]; ok {
			p.Adopted = append(p.Adopted, s)
		}
	}
	if why := v.misfits[n.id]; why != "" {
		p.Missing = append(p.Missing, why)
	}
	for _, s := range r.unaccepted(v, n) {
		p.Missing = append(p.Missing, "the acceptance of "+r.call(s)+", who is to be a steward")
	}
	if v.IsSteward(r.self) {
		_, _, rule := r.approval(v, n)
		p.MineVote, p.Why = rule == "", roomReasons[rule]
	}
	return p
}

func (r *roomAt) cardProposal(v *roomVersion, after place, c *roomCard) Proposal {
	p := Proposal{ID: c.id, Kind: kindOf(after, c.MemberCard), Subject: c.Subject, Card: c.MemberCard, Votes: r.voters(v, c), Needed: v.needed(c.MemberCard)}
	if why := r.unfounded(v, after, c.MemberCard); why != "" {
		p.Missing = append(p.Missing, why)
	}
	if c.Opened != 0 {
		p.Opens = r.opens(v, c.Opened, append([]protocol.Hash{c.Accept}, c.Vouches...))
		p.Objected = r.objectors(v, c.Subject)
		p.Against = r.against(v, c.Subject)
		for _, id := range c.Vouches {
			if w, ok := r.vouches[id]; ok {
				p.For = append(p.For, Word{w.rec.Team, w.rec.Text})
			}
		}
	}
	if v.IsSteward(r.self) && !slices.Contains(p.Votes, r.self) {
		rule := r.cardVote(v, c.MemberCard)
		p.MineVote, p.Why = rule == "", roomReasons[rule]
	}
	return p
}

// kindOf names what a card does after a place.
func kindOf(after place, c *protocol.MemberCard) string {
	switch {
	case c.Status == protocol.MemberRemoved:
		return "removal"
	case c.Status == protocol.MemberSuspended:
		return "suspension"
	case !c.Accept.IsZero():
		return "admission"
	case after.status == protocol.MemberSuspended:
		return "readmission"
	}
	return "renewal"
}

// application is the proposal to admit a team for which nobody drafted a card yet.
func (r *roomAt) application(v *roomVersion, t protocol.TeamID) Proposal {
	p := Proposal{ID: t, Kind: "admission", Subject: t, Needed: v.needed(&protocol.MemberCard{Subject: t}), Objected: r.objectors(v, t)}
	sponsors, accept, opened := r.admission(v, t)
	p.Against = r.against(v, t)
	for _, w := range sponsors {
		p.For = append(p.For, Word{w.rec.Team, w.rec.Text})
	}
	if n := int(v.Sponsors) - len(sponsors); n > 0 {
		p.Missing = append(p.Missing, fmt.Sprintf("%d more members that vouch for it", n))
	}
	if accept.rec == nil {
		p.Missing = append(p.Missing, "its acceptance of the charter")
	}
	if len(p.Missing) == 0 {
		ids := []protocol.Hash{accept.id}
		for _, w := range sponsors {
			ids = append(ids, w.id)
		}
		p.Opens = r.opens(v, opened, ids)
		p.MineVote = v.IsSteward(r.self) && !r.now.Before(p.Opens)
		if p.MineVote && r.isNew(ids...) {
			p.MineVote, p.Why = false, roomReasons["officer-new"]
		}
	}
	return p
}

// opens returns until when my team lets members object to an admission: for as long as the charter says since it was open, by
// the times of those who signed, but if I saw their words more than seenLate later, since I did. Who dates a word back gains
// nothing.
func (r *roomAt) opens(v *roomVersion, opened uint64, words []protocol.Hash) time.Time {
	from := unixTime(opened)
	for _, id := range words {
		if n := r.records[id]; n != nil && n.seen.After(from.Add(seenLate)) {
			from = n.seen
		}
	}
	return from.Add(time.Duration(v.ObjectionDays) * 24 * time.Hour)
}

// seenLate is how late a word may come and still count from when it was signed.
const seenLate = 24 * time.Hour

// admission returns what there is for admitting a team: the vouches of present members, one of each, its newest acceptance of
// this charter, and since when all that is needed has been there.
func (r *roomAt) admission(v *roomVersion, t protocol.TeamID) (sponsors []fact[protocol.Vouch], accept fact[protocol.Accept], opened uint64) {
	best := map[protocol.TeamID]fact[protocol.Vouch]{}
	for _, w := range r.vouches {
		var tip *roomCard
		if l := v.lines[t]; l != nil {
			tip = l.tip().card
		}
		if w.rec.Applicant != t || w.rec.Charter != v.id || v.spent(tip, w.id) || w.depth < 0 || r.now.Unix() >= int64(w.rec.Expires) || !r.sponsors(v, w) {
			continue
		}
		if r.member(v, w.rec.Team, v.lines[w.rec.Team]).Status != StandingMember {
			continue
		}
		if o, ok := best[w.rec.Team]; !ok || cmp.Or(cmp.Compare(w.rec.Issued, o.rec.Issued), bytes.Compare(w.id[:], o.id[:])) < 0 {
			best[w.rec.Team] = w
		}
	}
	for _, w := range best {
		sponsors = append(sponsors, w)
	}
	last := func(w fact[protocol.Vouch]) int {
		if r.isNew(w.id) {
			return 1
		}
		return 0
	}
	slices.SortFunc(sponsors, func(a, b fact[protocol.Vouch]) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a.rec.Issued, b.rec.Issued), bytes.Compare(a.id[:], b.id[:]))
	})
	sponsors = sponsors[:min(len(sponsors), max(int(v.Sponsors), 1))]
	for _, a := range r.accepts {
		if a.rec.Team == t && a.rec.Charter == v.id && a.depth >= 0 && (accept.rec == nil ||
			cmp.Or(cmp.Compare(accept.rec.Issued, a.rec.Issued), bytes.Compare(a.id[:], accept.id[:])) < 0) {
			accept = a
		}
	}
	if accept.rec != nil {
		opened = accept.rec.Issued
	}
	for _, w := range sponsors {
		opened = max(opened, w.rec.Issued)
	}
	return sponsors, accept, opened
}

// against returns the objections to the team's admission that stand, by id.
func (r *roomAt) against(v *roomVersion, t protocol.TeamID) (out []Word) {
	for _, o := range r.openObjections(v, t) {
		out = append(out, Word{o.rec.Team, o.rec.Reason})
	}
	return out
}

// objectors returns the members that object to the team's admission, ascending.
func (r *roomAt) objectors(v *roomVersion, t protocol.TeamID) []protocol.TeamID {
	var out []protocol.TeamID
	for _, o := range r.openObjections(v, t) {
		out = append(out, o.rec.Team)
	}
	slices.SortFunc(out, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
	return out
}

// openObjections returns the latest objection of each member that was not taken back.
func (r *roomAt) openObjections(v *roomVersion, t protocol.TeamID) []fact[protocol.Objection] {
	last := map[protocol.TeamID]fact[protocol.Objection]{}
	for _, o := range r.objections {
		if o.rec.Subject != t || o.depth < 0 || v.lines[o.rec.Team].status() != protocol.MemberFull {
			continue
		}
		old, ok := last[o.rec.Team]
		if !ok || o.rec.Issued > old.rec.Issued || o.rec.Issued == old.rec.Issued && (old.rec.Withdrawn || !o.rec.Withdrawn) &&
			(old.rec.Withdrawn != o.rec.Withdrawn || bytes.Compare(o.id[:], old.id[:]) < 0) {
			last[o.rec.Team] = o
		}
	}
	var out []fact[protocol.Objection]
	for _, o := range last {
		if !o.rec.Withdrawn {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b fact[protocol.Objection]) int { return bytes.Compare(a.id[:], b.id[:]) })
	return out
}
