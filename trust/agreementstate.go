package trust

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// AgreementInfo is what is known of one agreement at one time. It is a copy; the records it points to must not be changed.
type AgreementInfo struct {
	ID protocol.Hash
	*protocol.Agreement
	Envelope *protocol.Envelope   // with every signature that was verified
	Statuses []*protocol.Envelope // the parties' words, as far as they are kept
	Partner  protocol.TeamID
	State    AgreementState
	// Underway is the state that counts for what was sent before the state was known to its sender: as State, but Active
	// where an active successor took over, for the time that was agreed.
	Underway        AgreementState
	Why             string // why it is not active, in words
	SignedBySelf    bool   // by as many officers as the root record asks for
	SignedByPartner bool
	Mine, Theirs    protocol.PartyStatus // PartyOK where nothing was said
	MyCounter       uint64               // the greatest in our register; the next word of ours takes a greater one
	Since           time.Time            // when the state began, as far as the records say; zero if they do not
}

// An agreementStanding says where an agreement stands, and why.
type agreementStanding struct {
	state    AgreementState
	why      string
	since    uint64
	signed   [2]bool
	statuses [2]protocol.PartyStatus
	counters [2]uint64
}

// stand computes the state of an agreement: a function of the records that are kept, and now.
func (b *Book) stand(a *agreement, now time.Time) agreementStanding {
	s := b.standAlone(a, now)
	if s.state == Ended || s.state == VoidState || !s.signed[0] || !s.signed[1] {
		return s
	}
	if n := b.successor(a, now); n != nil {
		s.state, s.since, s.why = Superseded, n.From, fmt.Sprintf("agreement %s replaced it", n.id.Short())
	}
	return s
}

// standAlone is stand without regard to a successor.
func (b *Book) standAlone(a *agreement, now time.Time) agreementStanding {
	var s agreementStanding
	var waiting []string
	var ended, suspended *status
	var why string
	for i, id := range a.parties() {
		t := b.teams[id]
		r := t.roots[a.roots()[i]]
		ok, until := false, time.Time{}
		if r != nil && t.path[r.id] {
			ok, until = b.permits(t, r, protocol.ActAgree, a.signers[i], now)
		}
		s.signed[i] = ok
		switch {
		case !until.IsZero():
			waiting = append(waiting, fmt.Sprintf("an officer who signed for %s is new: the signature counts from %s, if nobody objects",
				b.call(id), until.UTC().Format(time.DateOnly)))
		case !ok && r != nil && !t.path[r.id] && !t.disputed:
			waiting = append(waiting, fmt.Sprintf("%s has replaced the officers who could sign it: make a new one", b.call(id)))
		case !ok:
			waiting = append(waiting, fmt.Sprintf("%s has not signed it", b.call(id)))
		}

		s.statuses[i] = protocol.PartyOK
		w := t.word(a.words[i])
		for _, o := range a.words[i] {
			s.counters[i] = max(s.counters[i], o.Counter)
		}
		if w == nil {
			continue
		}
		s.statuses[i] = w.Status
		switch w.Status {
		case protocol.PartyOK:
			if ok, until := b.permits(t, t.roots[w.Root], protocol.ActAgree, w.signers, now); !ok {
				s.statuses[i], suspended = protocol.PartySuspended, w
				why = fmt.Sprintf("an officer of %s who resumed it is new: that counts from %s, if nobody objects", b.call(id),
					until.UTC().Format(time.DateOnly))
			}
		case protocol.PartySuspended:
			suspended = w
			why = fmt.Sprintf("%s suspended it", b.call(id))
		default:
			if ended == nil || w.Time < ended.Time {
				ended = w
			}
		}
	}

	disputed := b.quarrel(a)
	both := s.signed[0] && s.signed[1]
	over := now.Unix() >= int64(a.Until)
	switch {
	case ended != nil:
		s.state, s.since = Ended, ended.Time
		s.why = fmt.Sprintf("%s ended it", b.call(ended.Party))
		if !both {
			s.state = VoidState
		}
	case over && both:
		s.state, s.since, s.why = Expired, a.Until, "its time is over: renew it"
	case over:
		s.state, s.since, s.why = VoidState, a.Until, "its time was over before both had signed it"
	case disputed != "":
		s.state, s.why = HeldState, disputed
	case !both:
		s.state, s.since, s.why = Offered, a.Issued, strings.Join(waiting, "; ")
	case suspended != nil:
		s.state, s.since, s.why = Suspended, suspended.Time, why
	case now.Unix() < int64(a.From):
		s.state, s.since, s.why = Waiting, a.Issued, fmt.Sprintf("it begins on %s", unixTime(a.From).Format(time.DateOnly))
	default:
		s.state, s.since = Active, a.From
	}
	return s
}

// call returns how people call a team: by the name on its card, as everywhere.
func (b *Book) call(id protocol.TeamID) string {
	if t := b.teams[id]; t != nil && t.card != nil {
		return t.card.Name
	}
	return "team " + id.Short()
}

// word returns the word of a party that counts, or nil: words under root records that do not count have no effect.
func (t *team) word(words []*status) *status {
	var best *status
	for _, w := range words {
		if t.roots[w.Root] != nil && t.path[w.Root] && (best == nil || compareWords(w, best) > 0) {
			best = w
		}
	}
	return best
}

// quarrel returns which party's records contradict each other, in words; "" if none do.
func (b *Book) quarrel(a *agreement) string {
	for _, id := range a.parties() {
		if t := b.teams[id]; t.disputed || t.rivals() {
			return fmt.Sprintf("the records of %s contradict each other", b.call(id))
		}
	}
	return ""
}

// successor returns the agreement that took the place of a: it names a, both signed it, and its time has come. What became of
// it later does not matter: to end it ends the relation, and does not bring the old terms back.
func (b *Book) successor(a *agreement, now time.Time) *agreement {
	var found *agreement
	for _, id := range b.partners[a.Partner(b.self)] {
		n := b.agreements[id]
		if n.Prev != a.id || now.Unix() < int64(n.From) {
			continue
		}
		if s := b.standAlone(n, now); s.signed[0] && s.signed[1] && (found == nil || n.From < found.From) {
			found = n
		}
	}
	return found
}

// underway returns AgreementInfo.Underway.
func (b *Book) underway(a *agreement, now time.Time) AgreementState {
	for {
		if s := b.standAlone(a, now).state; s != Active {
			return s
		}
		n := b.successor(a, now)
		if n == nil {
			return Active
		}
		a = n
	}
}

// AgreementRecords returns all records of agreements that are kept, ascending by id.
func (b *Book) AgreementRecords() []*protocol.Envelope {
	var out []*protocol.Envelope
	for _, a := range b.agreements {
		out = append(out, a.records()...)
	}
	slices.SortFunc(out, func(x, y *protocol.Envelope) int {
		p, q := x.ID(), y.ID()
		return bytes.Compare(p[:], q[:])
	})
	return out
}

func (a *agreement) records() []*protocol.Envelope {
	out := []*protocol.Envelope{a.env}
	for _, s := range slices.Concat(a.words[0], a.words[1]) {
		out = append(out, s.env)
	}
	return out
}

// Agreement returns what is known of an agreement at the time now.
func (b *Book) Agreement(id protocol.Hash, now time.Time) (AgreementInfo, bool) {
	a := b.agreements[id]
	if a == nil {
		return AgreementInfo{}, false
	}
	s := b.stand(a, now)
	me := a.side(b.self)
	i := AgreementInfo{ID: id, Agreement: a.Agreement, Envelope: a.env, Statuses: a.records()[1:], Partner: a.Partner(b.self),
		State: s.state, Underway: s.state, Why: s.why, SignedBySelf: s.signed[me], SignedByPartner: s.signed[1-me],
		Mine: s.statuses[me], Theirs: s.statuses[1-me], MyCounter: s.counters[me]}
	if s.state == Superseded {
		i.Underway = b.underway(a, now)
	}
	if s.since != 0 {
		i.Since = unixTime(s.since)
	}
	return i, true
}

// Agreements returns all agreements of my team: by partner's name, those that are active first, then the newest.
func (b *Book) Agreements(now time.Time) []AgreementInfo {
	var out []AgreementInfo
	names := map[protocol.TeamID]string{}
	for partner, ids := range b.partners {
		t, _ := b.Team(partner, now)
		names[partner] = foldName(t.Name)
		for _, id := range ids {
			i, _ := b.Agreement(id, now)
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(x, y AgreementInfo) int {
		return cmp.Or(strings.Compare(names[x.Partner], names[y.Partner]), bytes.Compare(x.Partner[:], y.Partner[:]),
			cmp.Compare(liveliness[x.State], liveliness[y.State]), cmp.Compare(y.Issued, x.Issued), bytes.Compare(x.ID[:], y.ID[:]))
	})
	return out
}

// liveliness orders the states by how likely a person means an agreement in them.
var liveliness = map[AgreementState]int{Active: 0, Suspended: 1, HeldState: 1, Waiting: 2, Offered: 3, Superseded: 4, Expired: 4, Ended: 4, VoidState: 5}

// nearest returns which of the agreements that Agreements gave a person means who names the partner. Several: there is a choice.
func (b *Book) nearest(partner protocol.TeamID, all []AgreementInfo) []AgreementInfo {
	var fit []AgreementInfo
	for _, i := range all {
		if i.Partner == partner && (len(fit) == 0 || liveliness[i.State] == liveliness[fit[0].State]) {
			fit = append(fit, i)
		}
	}
	if len(fit) > 0 && fit[0].State.Final() {
		fit = fit[:1]
	}
	return fit
}

// FindAgreement returns the agreement of an id or its first digits, or the one with the partner of a name, id or prefix: the
// active one, or else the one that is nearest to it. Errors wrap ErrNoAgreement, or say among which to choose. What fits a
// team and another agreement's id is refused: a partner can choose how an id of its agreements begins.
func (b *Book) FindAgreement(query string, now time.Time) (AgreementInfo, error) {
	q := foldName(query)
	if id, err := protocol.ParseHash(q); err == nil {
		if i, ok := b.Agreement(id, now); ok {
			return i, nil
		}
	}
	var fit []AgreementInfo
	all := b.Agreements(now)
	if len(q) >= minPrefix {
		for _, i := range all {
			if strings.HasPrefix(i.ID.String(), q) {
				fit = append(fit, i)
			}
		}
	}
	t, err := b.Find(query, now)
	with := b.nearest(t.ID, all)
	switch {
	case err != nil && (len(fit) == 0 || errors.Is(err, ErrNoTeam)):
	case len(fit) == 0 && len(with) == 0:
		return AgreementInfo{}, fmt.Errorf("%w: with %s", ErrNoAgreement, t.Name)
	case len(fit) == 0:
		fit = with
	case err != nil || len(with) == 0 || len(fit)+len(with) > 2 || fit[0].ID != with[0].ID:
		return AgreementInfo{}, fmt.Errorf("%.80q is a team and the beginning of an agreement's id, %s: give more digits of the id, or the whole id of the team",
			query, fit[0].ID.Short())
	}
	switch len(fit) {
	case 0:
		return AgreementInfo{}, fmt.Errorf("%w: %.80q is neither a partner nor the first %d or more digits of an agreement's id",
			ErrNoAgreement, query, minPrefix)
	case 1:
		return fit[0], nil
	}
	var ids []string
	for _, i := range fit[:min(len(fit), 8)] {
		ids = append(ids, fmt.Sprintf("%s (%s)", i.ID.Short(), i.State))
	}
	return AgreementInfo{}, fmt.Errorf("%.80q fits %d agreements: give more digits of the id of one of %s", query, len(fit), strings.Join(ids, ", "))
}

// CeilingWith returns the strictest label that an active agreement with the team permits; Unset if none is active.
func (b *Book) CeilingWith(team protocol.TeamID, now time.Time) tlp.Label {
	ceiling := tlp.Unset
	for _, id := range b.partners[team] {
		if a := b.agreements[id]; a.Ceiling > ceiling && b.stand(a, now).state == Active {
			ceiling = a.Ceiling
		}
	}
	return ceiling
}

// Ask returns the question about a statement of the label for the audience, with everything in it that follows from what is
// known: the state of the peer and of the agreement. The caller adds what only it knows: Control, Content, Person, Reach and
// Ahead.
func (b *Book) Ask(act Action, l tlp.Label, aud protocol.Audience, peer protocol.TeamID, now time.Time) Question {
	q := Question{Action: act, Label: l, Audience: aud.Kind, Self: peer == b.self && !peer.IsZero()}
	if t := b.teams[peer]; t != nil {
		q.Peer, _ = b.state(t, b.attestors(t, now), now)
	}
	switch aud.Kind {
	case protocol.Direct:
		if q.Ceiling = b.CeilingWith(peer, now); q.Ceiling.Valid() {
			q.Agreement = Active
		}
	case protocol.InAgreement:
		i, ok := b.Agreement(aud.Agreement, now)
		if !ok || !q.Self && peer != i.Partner || len(aud.Teams) != 1 || aud.Teams[0] != i.Partner && aud.Teams[0] != b.self {
			return q
		}
		q.Agreement, q.Ceiling, q.Onward = i.State, i.Ceiling, i.Onward
		if act != Compose {
			q.Agreement = i.Underway
		}
	}
	return q
}
