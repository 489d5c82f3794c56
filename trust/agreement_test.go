package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust/trusttest"
)

const day = 24 * time.Hour

// pair makes two teams that verified each other, and the Book of each.
func pair(t testing.TB) (a, b *trusttest.Team, ab, bb *Book) {
	t.Helper()
	a, b = trusttest.NewTeam(t, "CERT-A", "AT", now), trusttest.NewTeam(t, "CERT-B", "DE", now)
	return a, b, bookOf(t, a, b), bookOf(t, b, a)
}

func bookOf(t testing.TB, self *trusttest.Team, others ...*trusttest.Team) *Book {
	t.Helper()
	b := NewBook(self.ID)
	mustAdd(t, b, self.Records()...)
	for _, o := range others {
		act(b, ActVerified, o)
		mustAdd(t, b, o.Records()...)
	}
	return b
}

// agree takes in records of agreements that have to be new.
func agree(t testing.TB, b *Book, es ...*protocol.Envelope) {
	t.Helper()
	for i, e := range es {
		if r := b.AddAgreement(e, now); r.Err != nil || !r.Added || r.ID != e.ID() {
			t.Fatalf("record %d (%s): added %v, %v", i, e.Type, r.Added, r.Err)
		}
	}
}

// disagree adds a record that has to be refused with the error, and checks that nothing changed.
func disagree(t testing.TB, b *Book, e *protocol.Envelope, want error) {
	t.Helper()
	before := kept(b)
	if r := b.AddAgreement(e, now); r.Added || len(r.Drop) != 0 || !errors.Is(r.Err, want) {
		t.Fatalf("%s: added %v, %v; want %v", e.Type, r.Added, r.Err, want)
	}
	if kept(b) != before {
		t.Fatalf("%s: refused, and yet something changed", e.Type)
	}
}

// kept returns all that is kept of agreements, signatures included, as one string.
func kept(b *Book) string {
	var out strings.Builder
	for _, e := range b.AgreementRecords() {
		out.Write(e.Encode())
	}
	return out.String()
}

func wantAgreement(t testing.TB, b *Book, id protocol.Hash, at time.Time, want AgreementState) AgreementInfo {
	t.Helper()
	got, ok := b.Agreement(id, at)
	if !ok || got.State != want || (got.Why == "") != (want == Active) {
		t.Fatalf("%v (%q), known %v; want %v", got.State, got.Why, ok, want)
	}
	return got
}

func TestAgreementLife(t *testing.T) {
	a, b, ab, bb := pair(t)
	offer := a.Offer(b, nil)
	id := offer.ID()
	both := func(at time.Time, want AgreementState) {
		t.Helper()
		wantAgreement(t, ab, id, at, want)
		wantAgreement(t, bb, id, at, want)
	}
	agree(t, ab, offer)
	agree(t, bb, offer)
	both(now, Offered)
	if i := wantAgreement(t, bb, id, now, Offered); i.SignedBySelf || !i.SignedByPartner || i.Partner != a.ID || i.Ceiling != tlp.AmberStrict {
		t.Errorf("signed by self %v, by the partner %v, who is %s", i.SignedBySelf, i.SignedByPartner, i.Partner.Short())
	}
	both(now.Add(365*day), VoidState)

	signed := b.Countersign(offer)
	agree(t, bb, signed)
	wantAgreement(t, ab, id, now, Offered)
	agree(t, ab, signed)
	both(now, Active)
	both(now.Add(365*day-time.Second), Active)
	both(now.Add(365*day), Expired)
	both(now.Add(-time.Second), Waiting)
	if ab.CeilingWith(b.ID, now) != tlp.AmberStrict || ab.CeilingWith(b.ID, now.Add(365*day)).Valid() {
		t.Error("what the agreement permits is not what is known of the partner")
	}

	// Either party may suspend. Both must want it back.
	for _, e := range []*protocol.Envelope{a.Word(id, 1, protocol.PartySuspended), b.Word(id, 1, protocol.PartySuspended)} {
		agree(t, ab, e)
		agree(t, bb, e)
	}
	both(now, Suspended)
	resumed := a.Word(id, 2, protocol.PartyOK)
	agree(t, ab, resumed)
	agree(t, bb, resumed)
	both(now, Suspended)
	if i, _ := ab.Agreement(id, now); i.Mine != protocol.PartyOK || i.Theirs != protocol.PartySuspended || i.MyCounter != 2 || len(i.Statuses) != 2 {
		t.Errorf("mine %s, theirs %s, counter %d, %d words", i.Mine, i.Theirs, i.MyCounter, len(i.Statuses))
	}
	resumed = b.Word(id, 2, protocol.PartyOK)
	agree(t, ab, resumed)
	agree(t, bb, resumed)
	both(now, Active)

	// The end is for good, whatever comes later.
	ended := b.Word(id, 3, protocol.PartyEnded)
	agree(t, bb, ended)
	wantAgreement(t, ab, id, now, Active)
	agree(t, ab, ended)
	both(now, Ended)
	both(now.Add(365*day), Ended)
	for _, e := range []*protocol.Envelope{b.Word(id, 4, protocol.PartyOK), a.Word(id, 9, protocol.PartyOK)} {
		ab.AddAgreement(e, now)
		bb.AddAgreement(e, now)
	}
	both(now, Ended)
	if kept(ab) != kept(bb) {
		t.Error("the two keep different records")
	}
}

func TestAnOfferThatIsWithdrawnIsVoid(t *testing.T) {
	a, b, ab, bb := pair(t)
	offer := a.Offer(b, nil)
	agree(t, bb, offer, a.Word(offer.ID(), 1, protocol.PartyEnded))
	wantAgreement(t, bb, offer.ID(), now, VoidState)
	// B signed before it knew.
	agree(t, bb, b.Countersign(offer))
	wantAgreement(t, bb, offer.ID(), now, Ended)
	agree(t, ab, b.Countersign(offer), a.Word(offer.ID(), 1, protocol.PartyEnded))
	wantAgreement(t, ab, offer.ID(), now, Ended)
}

// Of two words with one counter, which two officers signed at the same time, the more restrictive counts, in any order.
func TestSameCounterTwice(t *testing.T) {
	a, b, _, _ := pair(t)
	offer := b.Countersign(a.Offer(b, nil))
	words := []*protocol.Envelope{a.Word(offer.ID(), 1, protocol.PartyOK), a.Word(offer.ID(), 1, protocol.PartySuspended)}
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		book := bookOf(t, b, a)
		agree(t, book, offer)
		for _, i := range order {
			if r := book.AddAgreement(words[i], now); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		wantAgreement(t, book, offer.ID(), now, Suspended)
	}
}

func TestAgreementsThatAreRefused(t *testing.T) {
	a, b, ab, bb := pair(t)
	stranger := trusttest.NewTeam(t, "CERT-C", "FR", now)
	offer := a.Offer(b, nil)
	id := offer.ID()

	disagree(t, bookOf(t, stranger, a, b), offer, ErrRule)          // of others
	disagree(t, bookOf(t, b), offer, ErrMissing)                    // of a team that is not known
	disagree(t, bb, a.Word(id, 1, protocol.PartyEnded), ErrMissing) // on what is not known
	disagree(t, bb, a.CardEnv, protocol.ErrMalformed)

	unsigned := *offer
	unsigned.Sigs = nil
	foreign := unsigned
	if err := foreign.AddSignature(stranger.Officer); err != nil {
		t.Fatal(err)
	}
	disagree(t, bb, &foreign, protocol.ErrSignature)
	wrong := *offer
	wrong.Sigs = slices.Clone(offer.Sigs)
	wrong.Sigs[0].Ed[0] ^= 1
	disagree(t, bb, &wrong, protocol.ErrSignature)

	// A signature of somebody else is left out, and does not harm.
	stuffed := *offer
	if err := stuffed.AddSignature(stranger.Officer); err != nil {
		t.Fatal(err)
	}
	r := bb.AddAgreement(&stuffed, now)
	if !r.Added || len(r.Envelope.Sigs) != 1 || r.Envelope.ID() != id {
		t.Fatalf("added %v with %d signatures: %v", r.Added, len(r.Envelope.Sigs), r.Err)
	}
	if r := bb.AddAgreement(offer, now); r.Added || r.Err != nil {
		t.Errorf("the same again: added %v, %v", r.Added, r.Err)
	}

	// No officer speaks for another team, and no team for a third.
	word := &protocol.AgreementStatus{Agreement: id, Party: a.ID, Root: a.RootEnv.ID(), Counter: 1, Status: protocol.PartyEnded, Time: 1}
	disagree(t, bb, b.Sign(word), protocol.ErrSignature)
	word.Party, word.Root = stranger.ID, stranger.RootEnv.ID()
	disagree(t, bb, stranger.Sign(word), ErrRule)
	word.Party, word.Root = a.ID, stranger.ID
	disagree(t, bb, a.Sign(word), ErrMissing)

	lapsed := a.Offer(b, func(x *protocol.Agreement) { x.From, x.Until = x.From-20, x.From })
	disagree(t, bb, lapsed, ErrRule)
	// The word that belongs to it is refused for good, too, instead of waiting for ever; a later word on an agreement that came
	// late is not.
	disagree(t, bb, a.Word(lapsed.ID(), 1, protocol.PartyEnded), ErrNoAgreement)
	if r := bb.AddAgreement(a.Word(lapsed.ID(), 1, protocol.PartyEnded), now); errors.Is(r.Err, ErrMissing) {
		t.Errorf("a word on what was refused: %v", r.Err)
	}
	word = &protocol.AgreementStatus{Agreement: id, Party: a.ID, Root: a.RootEnv.ID(), Counter: 1, Status: protocol.PartyEnded, Time: 1}
	disagree(t, ab, a.Sign(word), ErrMissing)
	agree(t, ab, offer, a.Sign(word))
	for range maxRefused + 1 {
		ab.refuse(protocol.Sum("refused", []byte{byte(len(ab.refused)), byte(len(ab.refused) >> 8)}), ErrRule)
	}
	if len(ab.refused) > maxRefused {
		t.Errorf("%d refused agreements are remembered", len(ab.refused))
	}
}

// Where a team asks for two officers, an agreement and its resumption take two; to suspend takes one.
func TestAgreementThresholds(t *testing.T) {
	a, b, _, _ := pair(t)
	second := trusttest.Key(t, protocol.Hybrid)
	a.NextRoot(func(r *protocol.Root) {
		r.Officers = append(r.Officers, protocol.Officer{Key: second.Public(), Name: "second officer"})
		r.Thresholds = []protocol.Threshold{{Act: protocol.ActAgree, K: 2}}
	})
	bb := bookOf(t, b, a)
	offer := a.Offer(b, nil)
	id := offer.ID()
	agree(t, bb, offer, b.Countersign(offer))
	if i := wantAgreement(t, bb, id, now, Offered); i.SignedByPartner {
		t.Error("one officer of two signed, and it counts")
	}
	more := *offer
	if err := more.AddSignature(second); err != nil {
		t.Fatal(err)
	}
	agree(t, bb, &more)
	if i := wantAgreement(t, bb, id, now, Active); len(i.Envelope.Sigs) != 3 {
		t.Errorf("%d signatures are kept, want all three", len(i.Envelope.Sigs))
	}
	agree(t, bb, a.Word(id, 1, protocol.PartySuspended))
	wantAgreement(t, bb, id, now, Suspended)
	resume := a.Word(id, 2, protocol.PartyOK)
	disagree(t, bb, resume, protocol.ErrSignature)
	if err := resume.AddSignature(second); err != nil {
		t.Fatal(err)
	}
	agree(t, bb, resume)
	wantAgreement(t, bb, id, now, Active)
}

// A renewal takes over when both signed it and its time has come, and not before. What was sent under the old terms before the
// sender knew is still taken in, as long as the old terms and the new ones would permit it.
func TestRenewal(t *testing.T) {
	a, b, ab, bb := pair(t)
	old := b.Countersign(a.Offer(b, nil))
	agree(t, ab, old)
	agree(t, bb, old)
	half := now.Add(80 * day)
	offer := b.Offer(a, func(x *protocol.Agreement) {
		x.Prev, x.Ceiling, x.From, x.Until = old.ID(), tlp.Amber, uint64(half.Unix()), uint64(half.Add(365*day).Unix())
	})
	agree(t, ab, offer)
	wantAgreement(t, ab, old.ID(), half, Active)
	agree(t, ab, a.Countersign(offer))
	wantAgreement(t, ab, old.ID(), half.Add(-time.Second), Active)
	wantAgreement(t, ab, offer.ID(), half.Add(-time.Second), Waiting)
	i := wantAgreement(t, ab, old.ID(), half, Superseded)
	if i.Underway != Active || !i.Since.Equal(half) {
		t.Errorf("what is under way counts as under an agreement that is %v since %v", i.Underway, i.Since)
	}
	wantAgreement(t, ab, offer.ID(), half, Active)

	aud := protocol.Audience{Kind: protocol.InAgreement, Teams: []protocol.TeamID{a.ID}, Agreement: old.ID()}
	if d := Decide(ab.Ask(Receive, tlp.AmberStrict, aud, b.ID, half)); !d.Allowed {
		t.Errorf("what B sent under the old terms is refused: %s", d.Rule)
	}
	aud.Teams[0] = b.ID
	if d := Decide(ab.Ask(Compose, tlp.Amber, aud, b.ID, half)); d.Allowed || d.Rule != "agreement-superseded" {
		t.Errorf("sending under the old terms: %+v", d)
	}
	if i, _ := ab.Agreement(old.ID(), now.Add(365*day)); i.State != Superseded || i.Underway != Expired {
		t.Errorf("after its own end: %v, under way %v", i.State, i.Underway)
	}

	// To end the new one does not bring the old terms back.
	agree(t, ab, b.Word(offer.ID(), 1, protocol.PartyEnded))
	if i := wantAgreement(t, ab, old.ID(), half, Superseded); i.Underway != Ended {
		t.Errorf("after the new one was ended, under way is %v", i.Underway)
	}
	if ab.CeilingWith(b.ID, half).Valid() {
		t.Error("the old terms came back")
	}

	// A successor of two other teams is none.
	c := trusttest.NewTeam(t, "CERT-C", "FR", now)
	act(bb, ActVerified, c)
	mustAdd(t, bb, c.Records()...)
	agree(t, bb, b.Countersign(c.Offer(b, func(x *protocol.Agreement) { x.Prev = old.ID() })))
	wantAgreement(t, bb, old.ID(), now, Active)
}

// While the records of a party contradict each other, an agreement is held; when the party has settled that, it goes on.
func TestDisputedParty(t *testing.T) {
	a, b, ab, _ := pair(t)
	offer := b.Countersign(a.Offer(b, nil))
	agree(t, ab, offer)
	thief := b.Fork()
	last := b.RootEnv.ID()
	mustAdd(t, ab, b.NextRoot(nil), thief.NextRoot(func(r *protocol.Root) { r.Reason = "stolen" }))
	wantState(t, ab, b.ID, now, Disputed)
	i := wantAgreement(t, ab, offer.ID(), now, HeldState)
	if !i.SignedByPartner || ab.CeilingWith(b.ID, now).Valid() {
		t.Error("held, and yet it counts, or its signatures do not")
	}
	// What restricts gets through meanwhile.
	agree(t, ab, b.Word(offer.ID(), 1, protocol.PartySuspended))
	disagree(t, ab, b.Word(offer.ID(), 2, protocol.PartyOK), ErrOverruled)
	mustAdd(t, ab, b.Recover(last, nil))
	wantAgreement(t, ab, offer.ID(), now, Active) // the word was under a record that is overruled now
	agree(t, ab, b.Word(offer.ID(), 1, protocol.PartySuspended))
	wantAgreement(t, ab, offer.ID(), now, Suspended)
}

// A thief of root keys signs agreements and takes suspensions back. The recovery undoes both, and what the true officers had
// suspended is suspended still.
func TestRecoveryOverrulesWhatAThiefAgreed(t *testing.T) {
	a, b, ab, _ := pair(t)
	act(ab, ActVerified, b)
	good := b.Countersign(a.Offer(b, nil))
	agree(t, ab, good, b.Word(good.ID(), 5, protocol.PartySuspended))
	last := b.RootEnv.ID()

	thief := b.Fork()
	mustAdd(t, ab, thief.NextRoot(nil))
	agree(t, ab, thief.Word(good.ID(), 100, protocol.PartyOK))
	wantAgreement(t, ab, good.ID(), now, Active)
	bad := a.Countersign(thief.Offer(a, nil))
	agree(t, ab, bad)
	wantAgreement(t, ab, bad.ID(), now, Active)

	mustAdd(t, ab, b.Recover(last, nil))
	wantAgreement(t, ab, good.ID(), now, Suspended)
	wantAgreement(t, ab, bad.ID(), now, Offered)

	again := NewBook(a.ID)
	act(again, ActVerified, b)
	again.Load(append(a.Records(), append(b.RootLog(), thief.RootLog()...)...), now)
	if drop, errs := again.LoadAgreements(ab.AgreementRecords(), now); len(drop)+len(errs) > 0 {
		t.Fatalf("loading: %d dropped, %v", len(drop), errs)
	}
	wantAgreement(t, again, good.ID(), now, Suspended)
	wantAgreement(t, again, bad.ID(), now, Offered)
}

// New officers cannot bring back to life what former ones signed for, and former ones cannot sign any more; but a suspension
// that was on its way while the officers changed still counts.
func TestChangeOfOfficers(t *testing.T) {
	a, b, ab, _ := pair(t)
	offer := b.Countersign(a.Offer(b, nil))
	agree(t, ab, offer)
	late := b.Word(offer.ID(), 1, protocol.PartySuspended)
	ok := b.Word(offer.ID(), 2, protocol.PartyOK)
	unsigned := b.Offer(a, nil)
	b.Officer = trusttest.Key(t, protocol.Hybrid)
	mustAdd(t, ab, b.NextRoot(func(r *protocol.Root) {
		r.Officers = []protocol.Officer{{Key: b.Officer.Public(), Name: "new"}}
	}))
	wantAgreement(t, ab, offer.ID(), now, Active)
	agree(t, ab, late)
	wantAgreement(t, ab, offer.ID(), now, Suspended)
	disagree(t, ab, ok, ErrOverruled)
	disagree(t, ab, unsigned, ErrOverruled)
	agree(t, ab, b.Word(offer.ID(), 2, protocol.PartyOK))
	i := wantAgreement(t, ab, offer.ID(), now, Suspended)
	if !strings.Contains(i.Why, "2026-10-19") {
		t.Errorf("the new officer's word waits: %q", i.Why)
	}
	wantAgreement(t, ab, offer.ID(), now.Add(OfficerWait), Active)
}

// What an officer signs who was named after we verified the team waits for 14 days, also across a restart.
func TestNewOfficersWait(t *testing.T) {
	a, b, ab, _ := pair(t)
	if len(ab.Sightings()) != 0 {
		t.Fatal("the officers whom an introduction names are new")
	}
	seen := now.Add(100 * day)
	b.Officer = trusttest.Key(t, protocol.Hybrid)
	first := *b.RootRec
	rotated := b.NextRoot(func(r *protocol.Root) {
		r.Officers = append(slices.Clone(first.Officers), protocol.Officer{Key: b.Officer.Public(), Name: "new"})
	})
	if _, _, err := ab.Add(rotated, seen); err != nil {
		t.Fatal(err)
	}
	offer := a.Countersign(b.Offer(a, func(x *protocol.Agreement) { x.Ceiling = tlp.Amber }))
	check := func(book *Book) {
		t.Helper()
		i := wantAgreement(t, book, offer.ID(), seen.Add(OfficerWait-time.Second), Offered)
		if until := seen.Add(OfficerWait).Format(time.DateOnly); !strings.Contains(i.Why, until) || i.SignedByPartner {
			t.Errorf("%q does not say %s, or it counts already", i.Why, until)
		}
		wantAgreement(t, book, offer.ID(), seen.Add(OfficerWait), Active)
	}
	agree(t, ab, offer)
	check(ab)

	acts := ab.Sightings()
	if len(acts) != 1 || acts[0].Team != b.ID || !acts[0].At.Equal(seen) || acts[0].Kind != ActSighted {
		t.Fatalf("to be kept: %+v", acts)
	}
	for _, o := range acts {
		ab.Act(o)
	}
	if len(ab.Sightings()) != 0 {
		t.Error("a sighting that was kept is still to be kept")
	}
	check(ab)
	for _, actsFirst := range []bool{true, false} {
		again := NewBook(a.ID)
		act(again, ActVerified, b)
		if actsFirst {
			again.Act(acts[0])
		}
		if _, errs := again.Load(append(a.Records(), b.Records()...), seen.Add(day)); len(errs) > 0 {
			t.Fatal(errs)
		}
		again.LoadAgreements(ab.AgreementRecords(), seen.Add(day))
		if !actsFirst {
			again.Act(acts[0])
		}
		check(again)
	}

	// Whoever compares the fingerprint again has asked.
	ab.Act(OwnAct{Team: b.ID, Kind: ActVerified, At: seen.Add(day)})
	wantAgreement(t, ab, offer.ID(), seen.Add(day), Active)
}

// A partner cannot fill the Book with offers, and cannot keep us from making ours.
func TestAgreementLimits(t *testing.T) {
	a, b, ab, _ := pair(t)
	var first *protocol.Envelope
	for i := range MaxOpenAgreements {
		e := b.Offer(a, func(x *protocol.Agreement) { x.Until = x.From + uint64(86400*(i+1)) })
		if i == 0 {
			first = e
		}
		agree(t, ab, e)
	}
	disagree(t, ab, b.Offer(a, nil), ErrFull)
	agree(t, ab, a.Offer(b, nil))
	agree(t, ab, b.Word(first.ID(), 1, protocol.PartyEnded))
	agree(t, ab, b.Offer(a, nil))

	// What never came into effect makes way in the end: the oldest first, with its words.
	n := 0
	for len(ab.partners[b.ID]) < MaxAgreements+1 {
		e := b.Offer(a, nil)
		agree(t, ab, b.Word(ab.anyOpen(t, a.ID), 1, protocol.PartyEnded), e)
		n++
	}
	last := b.Offer(a, nil)
	agree(t, ab, b.Word(ab.anyOpen(t, a.ID), 1, protocol.PartyEnded))
	r := ab.AddAgreement(last, now)
	if r.Err != nil || !r.Added || len(r.Drop) != 2 || !slices.Contains(r.Drop, first.ID()) {
		t.Errorf("after %d: added %v, %d dropped, %v", n, r.Added, len(r.Drop), r.Err)
	}
	if _, ok := ab.Agreement(first.ID(), now); ok || len(ab.partners[b.ID]) != MaxAgreements+1 {
		t.Errorf("the oldest is there: %v, of %d", ok, len(ab.partners[b.ID]))
	}
	if got := ab.Forget(b.ID); got != nil {
		t.Error("a team with agreements was forgotten")
	}
}

// anyOpen returns an offer that is open, of the other team.
func (b *Book) anyOpen(t *testing.T, self protocol.TeamID) protocol.Hash {
	t.Helper()
	for _, i := range b.Agreements(now) {
		if i.State == Offered && i.A != self {
			return i.ID
		}
	}
	t.Fatal("no offer is open")
	return protocol.Hash{}
}

func TestFindAgreement(t *testing.T) {
	a, b, ab, _ := pair(t)
	if _, err := ab.FindAgreement("CERT-B", now); !errors.Is(err, ErrNoAgreement) {
		t.Errorf("none: %v", err)
	}
	if _, err := ab.FindAgreement("nobody", now); !errors.Is(err, ErrNoAgreement) {
		t.Errorf("nobody: %v", err)
	}
	over := b.Countersign(a.Offer(b, nil))
	agree(t, ab, over, a.Word(over.ID(), 1, protocol.PartyEnded))
	active := b.Countersign(a.Offer(b, nil))
	agree(t, ab, a.Offer(b, nil), active)
	for _, q := range []string{"cert-b", "CERT-B", active.ID().String(), active.ID().String()[:12], b.ID.String()} {
		if got, err := ab.FindAgreement(q, now); err != nil || got.ID != active.ID() {
			t.Errorf("%q: %s, %v", q, got.ID.Short(), err)
		}
	}
	if got, err := ab.FindAgreement(over.ID().Short(), now); err != nil || got.ID != over.ID() {
		t.Errorf("by prefix: %s, %v", got.ID.Short(), err)
	}
	second := b.Countersign(a.Offer(b, nil))
	agree(t, ab, second)
	if _, err := ab.FindAgreement("cert-b", now); err == nil || !strings.Contains(err.Error(), second.ID().Short()) {
		t.Errorf("two are active: %v", err)
	}
	if got := ab.Agreements(now); len(got) != 4 || got[0].State != Active || got[3].State != Ended {
		t.Errorf("%d agreements, the first %v, the last %v", len(got), got[0].State, got[3].State)
	}
}

// A name that is also how the id of an agreement begins, which a partner can choose, is not taken for either.
func TestFindAgreementAmbiguous(t *testing.T) {
	a, b, ab, _ := pair(t)
	active := b.Countersign(a.Offer(b, nil))
	agree(t, ab, active)
	name := active.ID().String()[:10]
	hex := trusttest.NewTeam(t, name, "FR", now)
	act(ab, ActVerified, hex)
	mustAdd(t, ab, hex.Records()...)
	refused := func(when string) {
		t.Helper()
		if i, err := ab.FindAgreement(name, now); err == nil || errors.Is(err, ErrNoAgreement) || !strings.Contains(err.Error(), "more digits") {
			t.Errorf("%s: got %s, %v; want a choice", when, i.ID.Short(), err)
		}
	}
	refused("nothing agreed with that team")
	theirs := hex.Countersign(a.Offer(hex, nil))
	agree(t, ab, theirs)
	refused("both agreed")
	for q, want := range map[string]*protocol.Envelope{active.ID().String()[:14]: active, "cert-b": active, hex.ID.String(): theirs, theirs.ID().Short(): theirs} {
		if i, err := ab.FindAgreement(q, now); err != nil || i.ID != want.ID() {
			t.Errorf("%q: got %s, %v; want %s", q, i.ID.Short(), err, want.ID().Short())
		}
	}
}

// Ask fills in what follows from what is known.
func TestAsk(t *testing.T) {
	a, b, ab, _ := pair(t)
	c := trusttest.NewTeam(t, "CERT-C", "FR", now)
	act(ab, ActAdded, c)
	mustAdd(t, ab, c.Records()...)
	direct := protocol.Audience{Kind: protocol.Direct, Teams: []protocol.TeamID{c.ID}}
	if d := Decide(ab.Ask(Compose, tlp.Amber, direct, c.ID, now)); d.Rule != "needs-verified-or-agreement" {
		t.Errorf("AMBER to a team that is not verified: %+v", d)
	}
	e := c.Countersign(a.Offer(c, func(x *protocol.Agreement) { x.Ceiling = tlp.Amber }))
	agree(t, ab, e)
	if d := Decide(ab.Ask(Compose, tlp.Amber, direct, c.ID, now)); !d.Allowed {
		t.Errorf("AMBER with an agreement: %+v", d)
	}
	if d := Decide(ab.Ask(Compose, tlp.AmberStrict, direct, c.ID, now)); d.Allowed {
		t.Error("AMBER+STRICT beyond the agreement's ceiling")
	}
	in := protocol.Audience{Kind: protocol.InAgreement, Teams: []protocol.TeamID{c.ID}, Agreement: e.ID()}
	if q := ab.Ask(Compose, tlp.Amber, in, c.ID, now); q.Agreement != Active || q.Ceiling != tlp.Amber || q.Onward != protocol.OnwardConstituents {
		t.Errorf("in the agreement: %+v", q)
	}
	if q := ab.Ask(Compose, tlp.Amber, in, a.ID, now); !q.Self || q.Agreement != Active {
		t.Errorf("of ourselves: %+v", q)
	}
	// A third team has no part in it, whatever a message says.
	if q := ab.Ask(Receive, tlp.Amber, in, b.ID, now); q.Agreement != NoAgreement {
		t.Errorf("of a third team: %+v", q)
	}
	in.Agreement = protocol.Hash{1}
	if d := Decide(ab.Ask(Compose, tlp.Clear, in, c.ID, now)); d.Rule != "no-agreement" {
		t.Errorf("in none: %+v", d)
	}
}

// I-17, I-18, I-19: whatever the officers of both sign, in whatever order and however often it arrives, the state is the same on
// both sides; it is active only if all that it takes is there, and nothing that restricts makes it so.
func TestAgreementStateIsAFunctionOfTheSet(t *testing.T) {
	a, b, _, _ := pair(t)
	offer := a.Offer(b, nil)
	next := b.Offer(a, func(x *protocol.Agreement) { x.Prev, x.From = offer.ID(), x.From+uint64(90*86400) })
	all := []*protocol.Envelope{offer, b.Countersign(offer), next, a.Countersign(next)}
	for _, s := range []protocol.PartyStatus{protocol.PartyOK, protocol.PartySuspended, protocol.PartyEnded} {
		for n := range uint64(3) {
			all = append(all, a.Word(offer.ID(), n+1, s), b.Word(offer.ID(), n+1, s))
		}
		all = append(all, b.Word(next.ID(), 1, s))
	}
	ab, bb := bookOf(t, a, b), bookOf(t, b, a)
	fresh := func(base *Book) *Book { return base.copyWith(protocol.TeamID{}) }
	fill := func(book *Book, es []*protocol.Envelope) *Book {
		todo := es
		for range 3 {
			var missing []*protocol.Envelope
			for _, e := range todo {
				if r := book.AddAgreement(e, now); errors.Is(r.Err, ErrMissing) {
					missing = append(missing, e)
				} else if r.Err != nil {
					panic(r.Err)
				}
			}
			todo = missing
		}
		return book
	}
	times := []time.Time{now.Add(-day), now, now.Add(91 * day), now.Add(366 * day)}
	states := func(book *Book) (out string) {
		for _, e := range []*protocol.Envelope{offer, next} {
			for _, at := range times {
				i, _ := book.Agreement(e.ID(), at)
				out += fmt.Sprint(i.State, i.Underway, " ")
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfDistinct(rapid.IntRange(0, len(all)-1), func(i int) int { return i }).Draw(t, "records")
		var es []*protocol.Envelope
		for _, i := range set {
			es = append(es, all[i])
		}
		again := rapid.Permutation(slices.Concat(es, rapid.SliceOfN(rapid.SampledFrom(all[:1]), 0, 1).Draw(t, "offer"))).Draw(t, "order")
		if len(es) > 0 {
			again = append(again, rapid.SliceOfN(rapid.SampledFrom(again), 0, 6).Draw(t, "repeated")...)
		}
		x, y := fill(fresh(ab), again[:len(again):len(again)]), fill(fresh(bb), rapid.Permutation(again).Draw(t, "other order"))
		if states(x) != states(y) || kept(x) != kept(y) {
			t.Fatalf("%s\n%s", states(x), states(y))
		}
		for _, e := range []*protocol.Envelope{offer, next} {
			for _, at := range times {
				i, ok := x.Agreement(e.ID(), at)
				if !ok {
					continue
				}
				effective := i.SignedBySelf && i.SignedByPartner && i.Mine == protocol.PartyOK && i.Theirs == protocol.PartyOK &&
					at.Unix() >= int64(i.From) && at.Unix() < int64(i.Until)
				if i.State == Active && !effective || effective && i.State != Active && i.State != Superseded {
					t.Fatalf("%v at %v: %+v", i.State, at, i)
				}
				if i.State == Active {
					continue
				}
				for _, w := range all {
					s, err := protocol.Decode[protocol.AgreementStatus](w)
					if err != nil || s.Status == protocol.PartyOK {
						continue
					}
					z := fill(fresh(x), []*protocol.Envelope{w})
					if j, _ := z.Agreement(e.ID(), at); j.State == Active || j.Underway == Active && i.Underway != Active {
						t.Fatalf("%v became active by %s", i.State, s.Status)
					}
				}
			}
		}
	})
}

func TestAgreementStateText(t *testing.T) {
	for s := NoAgreement; s <= VoidState; s++ {
		text, err := s.MarshalText()
		var back AgreementState
		if err != nil || back.UnmarshalText(text) != nil || back != s || string(text) != s.String() {
			t.Errorf("%d: %s, %v, back %d", s, text, err, back)
		}
		if (len(reasons["agreement-"+s.String()]) == 0) != (s == NoAgreement || s == Active) {
			t.Errorf("%s: no words for the refusal, or some for none", s)
		}
	}
	if _, err := AgreementState(77).MarshalText(); err == nil {
		t.Error("77 is written as a state")
	}
	var s AgreementState
	if s.UnmarshalText([]byte("lively")) == nil {
		t.Error("lively is read as a state")
	}
}
