package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// Terms are what a person offers to another team. The zero value of a field is its default.
type Terms struct {
	Partner  string
	Title    string
	Ceiling  tlp.Label
	Days     int       // of validity; 0: one year
	From     time.Time // zero: now
	Keep     int       // days of retention at the receiver; 0: no term
	Purposes []string
	Types    []string            // of protocol.InformationTypes; empty: all
	Onward   protocol.Onward     // 0: as the label permits
	Receipts protocol.Receipting // 0: stored and opened
	Policy   protocol.IEP        // zero: protocol.DefaultIEP
	Text     string
	Prev     protocol.Hash // the agreement that this one renews
}

// defaultTerm is how long an agreement is valid if nobody says otherwise.
const defaultTerm = 365

// An AgreementView is an agreement as this team holds it.
type AgreementView struct {
	trust.AgreementInfo
	PartnerName string
	SelfName    string
}

// loadAgreements replays the stored records of agreements into the book.
func (n *Node) loadAgreements() error {
	var es []*protocol.Envelope
	if err := n.st.Agreements(func(e *protocol.Envelope) error {
		es = append(es, e)
		return nil
	}); err != nil {
		return err
	}
	drop, errs := n.book.LoadAgreements(es, n.now())
	for _, err := range errs {
		n.log.Warn("a stored record of an agreement no longer counts", "err", err)
	}
	return errors.Join(n.loadOver(), n.st.DeleteAgreements(drop...))
}

// DraftAgreement makes the document that an officer of this team signs as an offer. It keeps nothing.
func (n *Node) DraftAgreement(t Terms) (*protocol.Agreement, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	now := n.now()
	partner, err := n.book.Find(t.Partner, now)
	if err != nil {
		return nil, err
	}
	if partner.ID == n.team {
		return nil, errors.New("an agreement is with another team")
	}
	if partner.State != trust.Introduced && partner.State != trust.Verified {
		return nil, &RefusedError{Rule: "peer-" + partner.State.String(), Reason: fmt.Sprintf("%s is %s: %s", partner.Name, partner.State, partner.Why)}
	}
	self, _ := n.book.Team(n.team, now)
	if t.Days == 0 {
		t.Days = defaultTerm
	}
	if t.From.IsZero() {
		t.From = now
	}
	if t.Onward == 0 {
		t.Onward = protocol.OnwardLabel
	}
	if t.Receipts == 0 {
		t.Receipts = protocol.ReceiptsOpened
	}
	if (t.Policy == protocol.IEP{}) {
		t.Policy = protocol.DefaultIEP()
	}
	if t.Days < 1 || t.Keep < 0 {
		return nil, errors.New("days of validity and of retention are counted from 1")
	}
	if !t.Prev.IsZero() {
		if prev, ok := n.book.Agreement(t.Prev, now); !ok || prev.Partner != partner.ID {
			return nil, fmt.Errorf("agreement %s, which is to be renewed: %w", t.Prev.Short(), ErrNotFound)
		}
	}
	a := &protocol.Agreement{A: n.team, B: partner.ID, RootA: self.RootID, RootB: partner.RootID, Prev: t.Prev, Title: t.Title, Ceiling: t.Ceiling,
		Policy: t.Policy, Purposes: t.Purposes, Types: t.Types, Onward: t.Onward, Keep: uint64(t.Keep), Receipts: t.Receipts,
		From: uint64(t.From.Unix()), Until: uint64(t.From.AddDate(0, 0, t.Days).Unix()), Issued: uint64(now.Unix()), Text: t.Text}
	if _, err := rand.Read(a.Salt[:]); err != nil {
		return nil, err
	}
	return a, protocol.Check(a)
}

// DraftStatus makes this team's next word on an agreement, for an officer to sign. It keeps nothing.
func (n *Node) DraftStatus(id protocol.Hash, s protocol.PartyStatus, reason string) (*protocol.AgreementStatus, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	now := n.now()
	a, ok := n.book.Agreement(id, now)
	switch {
	case !ok:
		return nil, fmt.Errorf("agreement %s: %w", id.Short(), ErrNotFound)
	case a.Mine == protocol.PartyEnded:
		return nil, &RefusedError{Rule: "agreement-ended", Reason: "this team ended the agreement, which is for good: offer a new one"}
	case a.State.Final():
		return nil, &RefusedError{Rule: "agreement-" + a.State.String(), Reason: "the agreement is " + a.State.String() + ": there is nothing left to change"}
	}
	self, _ := n.book.Team(n.team, now)
	st := &protocol.AgreementStatus{Agreement: id, Party: n.team, Root: self.RootID, Counter: a.MyCounter + 1, Status: s, Reason: reason,
		Time: uint64(now.Unix())}
	return st, protocol.Check(st)
}

// AddAgreement takes in what officers of this team signed: an offer, a signature under one, or a word on one. It is kept, takes
// effect here at once, and is told to the partner as soon as it can be reached.
func (n *Node) AddAgreement(ctx context.Context, env *protocol.Envelope) (AgreementView, error) {
	id, err := n.takeAgreement(env, protocol.TeamID{})
	if errors.Is(err, errKeeping) {
		return AgreementView{}, err
	}
	if err != nil {
		return AgreementView{}, &RefusedError{Rule: "agreement", Reason: err.Error(), Err: err, Hint: "nothing was changed"}
	}
	n.mu.RLock()
	a, ok := n.book.Agreement(id, n.now())
	n.mu.RUnlock()
	if !ok {
		return AgreementView{}, fmt.Errorf("agreement %s: %w", id.Short(), ErrNotFound)
	}
	if err := n.tellAgreements(ctx, a.Partner); err != nil {
		n.log.Warn("what was agreed is kept, and was not told to the partner yet", "team", a.Partner.Short(), "err", err)
	}
	return n.agreementView(a), n.rejudge()
}

// takeAgreement keeps a record of an agreement: from a team, which must be a party, or from people of this one.
func (n *Node) takeAgreement(env *protocol.Envelope, from protocol.TeamID) (of protocol.Hash, err error) {
	n.knowing.Lock()
	defer n.knowing.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !from.IsZero() {
		if err := n.partyTo(env, from); err != nil {
			return of, err
		}
	}
	r := n.book.AddAgreement(env, n.now())
	if r.Err != nil {
		return r.Of, r.Err
	}
	if r.Added {
		n.unkept = append(n.unkept, r.Envelope)
		n.afterBookChange()
	}
	// What the disk did not take stays first in line: until it is there nobody is told that it was taken in.
	for len(n.unkept) > 0 {
		if err := n.st.PutAgreement(n.unkept[0]); err != nil {
			return r.Of, fmt.Errorf("%w: %w", errKeeping, err)
		}
		n.unkept = n.unkept[1:]
	}
	return r.Of, n.st.DeleteAgreements(r.Drop...)
}

// partyTo checks that a record of an agreement is about one with the team. n.mu is held.
func (n *Node) partyTo(env *protocol.Envelope, team protocol.TeamID) error {
	if env.Type == protocol.TypeAgreement {
		a, err := protocol.Decode[protocol.Agreement](env)
		if err != nil {
			return err
		}
		if a.A != team && a.B != team {
			return errors.New("an agreement of others")
		}
		return nil
	}
	s, err := protocol.Decode[protocol.AgreementStatus](env)
	if err != nil {
		return err
	}
	if a, ok := n.book.Agreement(s.Agreement, n.now()); ok && a.Partner != team {
		return errors.New("a word on an agreement of others")
	}
	return nil
}

// takeCarried takes in a record that a team sent to this one alone.
func (n *Node) takeCarried(from protocol.TeamID, env *protocol.Envelope) error {
	switch env.Type {
	case protocol.TypeAgreement, protocol.TypeAgreementStatus:
		_, err := n.takeAgreement(env, from)
		if err == nil {
			n.judge()
		}
		return err
	case protocol.TypeCutoff:
		c, err := protocol.Decode[protocol.Cutoff](env)
		if err != nil {
			return err
		}
		if c.Team != from {
			return errors.New("a cut-off of another team")
		}
		res, err := n.takeRecords(env)
		if err != nil {
			return fmt.Errorf("%w: %w", errKeeping, err)
		}
		return res[0].Err
	}
	return fmt.Errorf("%.60q is not what teams send each other", string(env.Type))
}

// tellAgreements sends the partner what this team signed, unless it was sent before. All of it goes each time that anything is
// new, so that nothing depends on what became of an earlier word.
func (n *Node) tellAgreements(ctx context.Context, partner protocol.TeamID) error {
	if err := n.retelling.take(ctx); err != nil {
		return err
	}
	defer n.retelling.leave()
	note := toldNote(partner)
	records, digest, err := n.signedByUs(partner)
	if err != nil {
		return err
	}
	before, err := n.st.Note(note)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if len(records) == 0 || string(before) == string(digest[:]) {
		return nil
	}
	var batch [][]byte
	size := 0
	for i, r := range records {
		batch, size = append(batch, r), size+len(r)
		if i+1 < len(records) && len(batch) < protocol.MaxCarried && size+len(records[i+1]) < maxCarriedBytes {
			continue
		}
		if err := n.sayControl(ctx, partner, &protocol.Statement{Kind: protocol.KindRecords, Records: batch}); err != nil {
			return err
		}
		batch, size = nil, 0
	}
	return n.st.PutNote(note, digest[:])
}

// retell tells every partner what it was not told yet, as after a crash.
func (n *Node) retell(ctx context.Context) {
	n.mu.RLock()
	partners := slices.Collect(maps.Keys(n.channelsKnown.pairs))
	n.mu.RUnlock()
	for _, p := range partners {
		if err := n.tellAgreements(ctx, p); err != nil {
			n.log.Warn("what was agreed was not told to the partner yet", "team", p.Short(), "err", err)
		}
	}
}

func toldNote(partner protocol.TeamID) string { return "told " + partner.String() }

// maxCarriedBytes bounds the records of one statement.
const maxCarriedBytes = 96 << 10

// signedByUs returns the records of agreements with a partner that officers of this team signed, and the cut-offs of feeds to
// the partner and in rooms that it shares, with a digest over all of them.
func (n *Node) signedByUs(partner protocol.TeamID) (records [][]byte, digest protocol.Hash, err error) {
	own, err := n.st.TeamRecords(n.team, nil)
	if err != nil {
		return nil, digest, err
	}
	var cutoffs []*protocol.Envelope
	for _, raw := range own {
		if e, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord); err == nil && e.Type == protocol.TypeCutoff {
			cutoffs = append(cutoffs, e)
		}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	var parts [][]byte
	add := func(e *protocol.Envelope, signed bool) {
		id, s := e.ID(), byte(0)
		if signed {
			s = 1
		}
		records, parts = append(records, e.Encode()), append(parts, id[:], []byte{s})
	}
	for _, a := range n.book.Agreements(n.now()) {
		if a.Partner != partner {
			continue
		}
		var words []*protocol.Envelope
		for _, s := range a.Statuses {
			if w, err := protocol.Decode[protocol.AgreementStatus](s); err == nil && w.Party == n.team {
				words = append(words, s)
			}
		}
		if a.SignedBySelf || len(words) > 0 { // a word goes with what it is about
			add(a.Envelope, a.SignedBySelf)
		}
		for _, s := range words {
			add(s, true)
		}
	}
	for _, e := range cutoffs {
		if c, err := protocol.Decode[protocol.Cutoff](e); err == nil {
			if f, ok := n.channelsKnown.feeds[c.Feed]; ok && (f.channel.Joins(partner) || n.channelsKnown.rooms[f.channel.Room()].Shares[partner] == trust.ShareAll) {
				add(e, true)
			}
		}
	}
	return records, protocol.Sum("entente/v1/told", parts...), nil
}

func (n *Node) agreementView(a trust.AgreementInfo) AgreementView {
	n.mu.RLock()
	defer n.mu.RUnlock()
	v := AgreementView{AgreementInfo: a, PartnerName: a.Partner.Short()}
	if t, ok := n.book.Team(a.Partner, n.now()); ok {
		v.PartnerName = t.Name
	}
	if t, ok := n.book.Team(n.team, n.now()); ok {
		v.SelfName = t.Name
	}
	return v
}

// Agreements returns all agreements of this team.
func (n *Node) Agreements() []AgreementView {
	n.mu.RLock()
	as := n.book.Agreements(n.now())
	n.mu.RUnlock()
	out := make([]AgreementView, 0, len(as))
	for _, a := range as {
		out = append(out, n.agreementView(a))
	}
	return out
}

// Agreement finds an agreement by the beginning of its id, or by its partner.
func (n *Node) Agreement(query string) (AgreementView, error) {
	n.mu.RLock()
	a, err := n.book.FindAgreement(query, n.now())
	n.mu.RUnlock()
	if err != nil {
		return AgreementView{}, err
	}
	return n.agreementView(a), nil
}

// pastKeeping reports whether nothing of an agreement is kept any more: it is over, and the term of retention that it set has
// passed since this node first saw that. What the partner wrote about the time does not count. n.mu is held for reading.
func (n *Node) pastKeeping(a trust.AgreementInfo) bool {
	over, seen := n.over[a.ID]
	return a.State.Final() && a.Keep > 0 && seen && n.now().Sub(over) > time.Duration(a.Keep)*24*time.Hour
}

func overNote(id protocol.Hash) string { return "over " + id.String() }

// noteOver keeps when this node first saw that an agreement is over, or that it is not after all.
func (n *Node) noteOver(a trust.AgreementInfo) error {
	n.mu.RLock()
	_, seen := n.over[a.ID]
	n.mu.RUnlock()
	if seen == a.State.Final() {
		return nil
	}
	var value []byte
	now := n.now()
	if !seen {
		value = binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))
	}
	if err := n.st.PutNote(overNote(a.ID), value); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if seen {
		delete(n.over, a.ID)
	} else {
		n.over[a.ID] = now
	}
	return nil
}

// noteAllOver is noteOver for all agreements.
func (n *Node) noteAllOver() error {
	n.mu.RLock()
	as := n.book.Agreements(n.now())
	n.mu.RUnlock()
	var errs []error
	for _, a := range as {
		errs = append(errs, n.noteOver(a))
	}
	return errors.Join(errs...)
}

// loadOver reads what noteOver kept.
func (n *Node) loadOver() error {
	n.over = map[protocol.Hash]time.Time{}
	for _, a := range n.book.Agreements(n.now()) {
		b, err := n.st.Note(overNote(a.ID))
		if errors.Is(err, store.ErrNotFound) || err == nil && len(b) != 8 {
			continue
		}
		if err != nil {
			return err
		}
		n.over[a.ID] = time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	}
	return nil
}

// keepTerms forgets what agreements say shall be forgotten: single messages of the partner after their term, and everything, by
// giving up the key, when the agreement is over and the term has passed.
func (n *Node) keepTerms(ctx context.Context) error {
	n.mu.RLock()
	as := n.book.Agreements(n.now())
	n.mu.RUnlock()
	var errs []error
	for _, a := range as {
		if a.Keep == 0 {
			continue
		}
		tag := a.Agreement.Channel(a.ID).Tag()
		n.mu.RLock()
		past := n.pastKeeping(a)
		n.mu.RUnlock()
		if past {
			errs = append(errs, n.shred(tag))
			continue
		}
		p, err := n.st.PruneTag(ctx, tag, n.team, n.now().Add(-time.Duration(a.Keep)*24*time.Hour))
		errs = append(errs, err)
		if p.Messages > 0 {
			n.log.Info("forgot messages whose term in their agreement is over", "agreement", a.ID.Short(), "messages", p.Messages)
		}
	}
	return errors.Join(errs...)
}

// shred gives up the key of a channel, after which nothing that was kept under it can be read, and removes it.
func (n *Node) shred(tag protocol.Hash) error {
	if n.ring.HasAudience(tag) {
		if err := n.ring.DropAudience(tag); err != nil {
			return err
		}
	}
	return n.st.Forget(tag)
}
