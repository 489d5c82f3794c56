package trust

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// Limits of a Book for agreements with one partner. Those that my officers signed do not count.
const (
	MaxOpenAgreements = 64  // that may still come into effect
	MaxAgreements     = 256 // in all; beyond, what never came into effect makes way
)

// ErrNoAgreement is wrapped where no agreement has the id, prefix or partner.
var ErrNoAgreement = errors.New("no such agreement")

// An AgreementState is where an agreement stands. Only Active permits anything. The zero AgreementState is NoAgreement.
type AgreementState uint8

// The states.
const (
	NoAgreement AgreementState = iota // there is none
	Offered                           // not signed by both yet
	Waiting                           // signed by both; its time has not come
	Active                            // in effect
	Suspended                         // a party suspended it, until the same party resumes
	HeldState                         // the records of a party contradict each other
	Ended                             // a party ended it, for good
	Expired                           // its time is over
	Superseded                        // its successor came into effect
	VoidState                         // it never came into effect, and never will
)

var agreementNames = [...]string{"none", "offered", "waiting", "active", "suspended", "disputed", "ended", "expired", "superseded", "void"}

// String returns the state in lower case.
func (s AgreementState) String() string {
	if int(s) < len(agreementNames) {
		return agreementNames[s]
	}
	return fmt.Sprintf("agreement-state-%d", uint8(s))
}

// MarshalText writes the state in lower case. A number that is no state is an error.
func (s AgreementState) MarshalText() ([]byte, error) {
	if int(s) >= len(agreementNames) {
		return nil, fmt.Errorf("%d is no state of an agreement", uint8(s))
	}
	return []byte(agreementNames[s]), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *AgreementState) UnmarshalText(b []byte) error {
	for i, n := range agreementNames {
		if n == string(b) {
			*s = AgreementState(i)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no state of an agreement: want one of %v", b, agreementNames)
}

// Final reports whether the state can lead to Active no more.
func (s AgreementState) Final() bool { return s >= Ended && s <= VoidState }

// An agreement is what is kept of one. It is never changed in place.
type agreement struct {
	id protocol.Hash
	*protocol.Agreement
	env     *protocol.Envelope // with the signatures of signers alone
	signers [2][]protocol.KID  // officers of A and of B
	words   [2][]*status       // of A and of B, the ones that may count: see keeps
}

// A status is one word of a party on an agreement.
type status struct {
	signed
	*protocol.AgreementStatus
	env *protocol.Envelope
}

func (a *agreement) parties() [2]protocol.TeamID { return [2]protocol.TeamID{a.A, a.B} }
func (a *agreement) roots() [2]protocol.Hash     { return [2]protocol.Hash{a.RootA, a.RootB} }

// An AgreementResult is what became of one record of an agreement.
type AgreementResult struct {
	Added    bool               // there is something new to keep: Envelope
	ID       protocol.Hash      // of the record
	Of       protocol.Hash      // the agreement that it is about
	Envelope *protocol.Envelope // what to keep under ID: the record with all signatures that were verified
	Drop     []protocol.Hash    // records that need not be kept any more
	Err      error
}

// AddAgreement verifies an agreement or a party's word on one and takes it in. Only agreements of my own team are.
//
// Added is false without an error for what is known or needless. An error means: refused, nothing changed; it wraps what the
// errors of Add wrap. The same agreement with other signatures is merged. A signature or a word that permits counts only if
// the root record that it names is the team's head when it comes; a word that restricts, if that is any record of the log.
//
// A word on an agreement that is not known wraps ErrMissing; one on an agreement that was refused wraps ErrNoAgreement, as
// nothing is missing that could still come. So whoever sends a word sends the agreement before it, each time.
func (b *Book) AddAgreement(e *protocol.Envelope, now time.Time) AgreementResult {
	return b.addAgreement(e, now, false)
}

// LoadAgreements takes in the records that this node's own store kept, in any order, after Load took in those of the teams. It
// must not be used for records that come from elsewhere. It returns the ids of records that need not be kept any more, and an
// error for each record that was refused.
func (b *Book) LoadAgreements(es []*protocol.Envelope, now time.Time) (drop []protocol.Hash, errs []error) {
	for _, typ := range []protocol.Type{protocol.TypeAgreement, protocol.TypeAgreementStatus} {
		for _, e := range es {
			if (e.Type == protocol.TypeAgreement) != (typ == protocol.TypeAgreement) {
				continue
			}
			r := b.addAgreement(e, now, true)
			drop = append(drop, r.Drop...)
			if r.Err != nil {
				errs = append(errs, r.Err)
			}
		}
	}
	return drop, errs
}

func (b *Book) addAgreement(e *protocol.Envelope, now time.Time, load bool) AgreementResult {
	r := AgreementResult{ID: e.ID(), Envelope: e}
	switch e.Type {
	case protocol.TypeAgreement:
		r.Of = r.ID
		a, err := b.readAgreement(e, load)
		if err != nil {
			r.Err = fmt.Errorf("agreement %s: %w", r.ID.Short(), err)
			b.refuse(r.ID, err)
			return r
		}
		r.Added, r.Envelope, r.Drop, r.Err = b.takeAgreement(a, now, load)
		b.refuse(a.id, r.Err)
	case protocol.TypeAgreementStatus:
		s, err := b.readStatus(e, load)
		if err != nil {
			r.Err = fmt.Errorf("status of an agreement: %w", err)
			return r
		}
		r.Of = s.Agreement
		r.Added, r.Drop = b.takeStatus(s)
	default:
		r.Err = fmt.Errorf("%w: %.60q is no record of an agreement", protocol.ErrMalformed, string(e.Type))
	}
	return r
}

// maxRefused bounds how many agreements that were refused are remembered.
const maxRefused = 1024

// refuse remembers an agreement that was refused for a reason that will not pass by itself.
func (b *Book) refuse(id protocol.Hash, err error) {
	if err == nil || errors.Is(err, ErrMissing) || errors.Is(err, protocol.ErrSignature) || errors.Is(err, protocol.ErrMalformed) {
		return
	}
	if len(b.refused) >= maxRefused {
		clear(b.refused)
	}
	b.refused[id] = true
}

// readAgreement verifies an agreement and returns it with the signatures that count.
func (b *Book) readAgreement(e *protocol.Envelope, load bool) (*agreement, error) {
	pa, err := protocol.Decode[protocol.Agreement](e)
	if err != nil {
		return nil, err
	}
	if b.self.IsZero() || pa.A != b.self && pa.B != b.self {
		return nil, fmt.Errorf("%w: it is between two other teams", ErrRule)
	}
	a := &agreement{id: e.ID(), Agreement: pa}
	old := b.agreements[a.id]
	var stale error
	for i, id := range a.parties() {
		t, err := b.known(id)
		if err != nil {
			return nil, err
		}
		r := t.roots[a.roots()[i]]
		if r == nil {
			return nil, fmt.Errorf("%w: the root record of team %s that it names", ErrMissing, id.Short())
		}
		if old != nil && !hasMore(e, r, old.signers[i]) {
			continue
		}
		signers, err := r.verifyFew(e, protocol.ActAgree, 0)
		switch {
		case err != nil:
			return nil, err
		case load || r == t.head:
			a.signers[i] = signers
		case len(signers) > 0:
			stale = fmt.Errorf("%w: officers of team %s signed under root record %d; the team has to make a new one under record %d",
				ErrOverruled, id.Short(), r.N, t.head.N)
		}
	}
	if len(a.signers[0])+len(a.signers[1]) == 0 {
		switch {
		case stale != nil:
			return nil, stale
		case old == nil:
			return nil, fmt.Errorf("%w: no officer of either party signed it", protocol.ErrSignature)
		}
	}
	a.env = withSigs(e, nil, slices.Concat(a.signers[0], a.signers[1]))
	return a, nil
}

// hasMore reports whether an officer of the record signed e who is not among the signers.
func hasMore(e *protocol.Envelope, r *root, signers []protocol.KID) bool {
	return slices.ContainsFunc(e.Sigs, func(s protocol.Signature) bool {
		return slices.Contains(r.officers, s.KID) && !slices.Contains(signers, s.KID)
	})
}

// withSigs returns e with its signatures of the keys, and those of more.
func withSigs(e, more *protocol.Envelope, keys []protocol.KID) *protocol.Envelope {
	out := *e
	out.Sigs = nil
	for _, s := range e.Sigs {
		if slices.Contains(keys, s.KID) {
			out.Sigs = append(out.Sigs, s)
		}
	}
	if more != nil {
		for _, s := range more.Sigs {
			if !slices.ContainsFunc(out.Sigs, func(o protocol.Signature) bool { return o.KID == s.KID }) {
				out.Sigs = append(out.Sigs, s)
			}
		}
	}
	slices.SortFunc(out.Sigs, func(x, y protocol.Signature) int { return bytes.Compare(x.KID[:], y.KID[:]) })
	return &out
}

// takeAgreement takes in what was verified, or merges it with what is known.
func (b *Book) takeAgreement(a *agreement, now time.Time, load bool) (added bool, env *protocol.Envelope, drop []protocol.Hash, err error) {
	partner := a.Partner(b.self)
	old := b.agreements[a.id]
	if old == nil {
		if drop, err = b.roomFor(a, partner, now, load); err != nil {
			return false, a.env, nil, err
		}
		b.agreements[a.id] = a
		b.partners[partner] = with(b.partners[partner], a.id)
		return true, a.env, drop, nil
	}
	merged := *old
	for i := range a.signers {
		for _, k := range a.signers[i] {
			if !slices.Contains(merged.signers[i], k) {
				merged.signers[i] = append(slices.Clone(merged.signers[i]), k)
				added = true
			}
		}
		slices.SortFunc(merged.signers[i], func(x, y protocol.KID) int { return bytes.Compare(x[:], y[:]) })
	}
	if !added {
		return false, old.env, nil, nil
	}
	merged.env = withSigs(a.env, old.env, slices.Concat(a.signers[0], a.signers[1]))
	if len(merged.env.Sigs) > protocol.MaxSigs {
		return false, old.env, nil, fmt.Errorf("%w: agreement %s has %d signatures", ErrFull, a.id.Short(), len(old.env.Sigs))
	}
	b.agreements[a.id] = &merged
	return true, merged.env, nil, nil
}

// roomFor returns what makes way for a new agreement with the partner, or an error if it has to stay out.
func (b *Book) roomFor(a *agreement, partner protocol.TeamID, now time.Time, load bool) ([]protocol.Hash, error) {
	mine := func(a *agreement) bool {
		if a.A == b.self {
			return len(a.signers[0]) > 0
		}
		return len(a.signers[1]) > 0
	}
	if load || mine(a) {
		return nil, nil
	}
	if now.Unix() >= int64(a.Until) {
		return nil, fmt.Errorf("%w: agreement %s: its time is over", ErrRule, a.id.Short())
	}
	open, all := 0, 0
	var victim *agreement
	for _, id := range b.partners[partner] {
		o := b.agreements[id]
		if mine(o) {
			continue
		}
		all++
		if !b.stand(o, now).state.Final() {
			open++
		} else if victim == nil || o.Until < victim.Until {
			victim = o
		}
	}
	switch {
	case open >= MaxOpenAgreements:
		return nil, fmt.Errorf("%w: %d agreements with team %s are open: end some", ErrFull, open, partner.Short())
	case all < MaxAgreements || victim == nil:
		return nil, nil
	}
	return b.dropAgreement(victim, partner), nil
}

func (b *Book) dropAgreement(a *agreement, partner protocol.TeamID) []protocol.Hash {
	drop := []protocol.Hash{a.id}
	for _, s := range slices.Concat(a.words[0], a.words[1]) {
		drop = append(drop, s.id)
	}
	delete(b.agreements, a.id)
	without(b.partners, partner, a.id)
	return drop
}

// readStatus verifies a party's word.
func (b *Book) readStatus(e *protocol.Envelope, load bool) (*status, error) {
	ps, err := protocol.Decode[protocol.AgreementStatus](e)
	if err != nil {
		return nil, err
	}
	s := &status{signed{id: e.ID()}, ps, e}
	a := b.agreements[s.Agreement]
	switch {
	case a == nil && b.refused[s.Agreement]:
		return nil, fmt.Errorf("%w: agreement %s was refused", ErrNoAgreement, s.Agreement.Short())
	case a == nil:
		return nil, fmt.Errorf("%w: agreement %s", ErrMissing, s.Agreement.Short())
	}
	if s.Party != a.A && s.Party != a.B {
		return nil, fmt.Errorf("%w: team %s is no party of agreement %s", ErrRule, s.Party.Short(), a.id.Short())
	}
	for _, o := range a.words[a.side(s.Party)] {
		if o.id == s.id {
			return o, nil
		}
	}
	t, err := b.known(s.Party)
	if err != nil {
		return nil, err
	}
	r := t.roots[s.Root]
	if r == nil {
		return nil, fmt.Errorf("%w: the root record of team %s that it names", ErrMissing, s.Party.Short())
	}
	// To restrict, one officer is enough, and one of a former record, too: the word may have been on its way when the
	// officers changed.
	k := 1
	if s.Status == protocol.PartyOK {
		k = r.K(protocol.ActAgree)
		if r != t.head && !load {
			return nil, fmt.Errorf("%w: officers of team %s signed under root record %d; record %d counts now", ErrOverruled,
				s.Party.Short(), r.N, t.head.N)
		}
	}
	if s.signers, err = r.verifyFew(e, protocol.ActAgree, k); err != nil {
		return nil, err
	}
	s.env = withSigs(e, nil, s.signers)
	return s, nil
}

func (a *agreement) side(t protocol.TeamID) int {
	if t == a.A {
		return 0
	}
	return 1
}

// takeStatus takes in what was verified, unless what is known makes it needless.
func (b *Book) takeStatus(s *status) (added bool, drop []protocol.Hash) {
	a := b.agreements[s.Agreement]
	i, t := a.side(s.Party), b.teams[s.Party]
	var kept []*status
	for _, o := range a.words[i] {
		switch {
		case o.id == s.id:
			return false, nil
		case t.replaces(o, s):
			return false, []protocol.Hash{s.id}
		case t.replaces(s, o), t.roots[o.Root] == nil: // of a branch that was given up
			drop = append(drop, o.id)
		default:
			kept = append(kept, o)
		}
	}
	kept = append(kept, s)
	slices.SortFunc(kept, compareWords)
	next := *a
	next.words[i] = kept
	b.agreements[a.id] = &next
	return true, drop
}

// testOnlyCompareWords, if set, takes the place of compareWords: tests show with it that they would notice a wrong order.
var testOnlyCompareWords func(a, b *status) int

// compareWords orders two words of one party, the one that counts last: the greater counter; of two with one counter the one
// that restricts more. An end comes after everything.
func compareWords(a, b *status) int {
	if testOnlyCompareWords != nil {
		return testOnlyCompareWords(a, b)
	}
	if p, q := a.Status == protocol.PartyEnded, b.Status == protocol.PartyEnded; p != q {
		if p {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.Counter, b.Counter), cmp.Compare(a.Status, b.Status), bytes.Compare(b.id[:], a.id[:]))
}

// replaces reports whether s makes o needless: it counts before o, whenever o counts at all. A word that was signed under
// another branch of the root log makes nothing needless: a recovery may overrule it.
func (t *team) replaces(s, o *status) bool {
	if compareWords(s, o) <= 0 {
		return false
	}
	for r := t.roots[o.Root]; r != nil; r = t.roots[r.Prev] {
		if r.id == s.Root {
			return true
		}
	}
	return false
}
