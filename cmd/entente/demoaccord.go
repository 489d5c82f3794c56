package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// The persons of the story who read RED.
const (
	demoAuthor = "Anna"  // of the first team
	demoReader = "Bruno" // of the second
)

// demoTerms are what the first team offers to the last.
func demoTerms(partner *demoTeam) node.Terms {
	return node.Terms{Partner: partner.id.String(), Title: "Help for those whose files were taken", Ceiling: tlp.Amber, Days: 365, Keep: 90,
		Purposes: []string{"help the victims of MOVEit Transfer in both countries"}, Types: []string{"incident-information"},
		Onward: protocol.OnwardConstituents, Text: "A question is answered within one working day."}
}

func under(agreement protocol.Hash) string { return "agreement:" + agreement.String() }

// signs has the team's officer sign an agreement or a word on one.
func (w *demoWorld) signs(t *demoTeam, record *protocol.Envelope) error {
	key, err := t.officer()
	if err != nil {
		return err
	}
	if err := record.AddSignature(key); err != nil {
		return err
	}
	_, err = t.node.AddAgreement(w.ctx, record)
	return err
}

// offers drafts an agreement and has the team's officer sign it first.
func (w *demoWorld) offers(t *demoTeam, terms node.Terms) (id protocol.Hash, err error) {
	a, err := t.node.DraftAgreement(terms)
	if err != nil {
		return id, err
	}
	offer, err := protocol.Sign(a)
	if err != nil {
		return id, err
	}
	id = offer.ID()
	w.channels = append(w.channels, a.Channel(id))
	return id, w.signs(t, offer)
}

// accepts has the team's officer sign what was offered.
func (w *demoWorld) accepts(t *demoTeam, id protocol.Hash) error {
	v, err := t.node.Agreement(id.String())
	if err != nil {
		return err
	}
	offer, err := protocol.DecodeEnvelope(v.Envelope.Encode(), protocol.MaxRecord)
	if err != nil {
		return err
	}
	return w.signs(t, offer)
}

// declares has the team's officer sign a word on an agreement.
func (w *demoWorld) declares(t *demoTeam, id protocol.Hash, s protocol.PartyStatus, reason string) error {
	word, err := t.node.DraftStatus(id, s, reason)
	if err != nil {
		return err
	}
	record, err := protocol.Sign(word)
	if err != nil {
		return err
	}
	return w.signs(t, record)
}

// stands is nil if the agreement is in the state at the team.
func (t *demoTeam) stands(id protocol.Hash, want trust.AgreementState) error {
	v, err := t.node.Agreement(id.String())
	if err == nil && v.State != want {
		err = fmt.Errorf("at %s the agreement is %s (%s)", t.name, v.State, v.Why)
	}
	return err
}

// reads returns the agreement as a person of the team reads it.
func (t *demoTeam) reads(id protocol.Hash) (string, error) {
	v, err := t.node.Agreement(id.String())
	if err != nil {
		return "", err
	}
	names := map[protocol.TeamID]string{v.Partner: v.PartnerName, t.id: v.SelfName}
	return agreementText(v.ID, v.Agreement, names[v.A], names[v.B]), nil
}

func (w *demoWorld) agree() error {
	a, f := w.teams[0], w.teams[5]
	_, err := a.send(w.ctx, demoFile("victim.txt"), node.Draft{Audience: "team:" + f.id.String()})
	w.claim(refusedBy(err, "needs-verified-or-agreement"), "%s knows %s by the word of others only: AMBER to it is refused (rule needs-verified-or-agreement)", a.name, f.name)
	id, err := w.offers(a, demoTerms(f))
	if err != nil {
		return err
	}
	w.agreed, w.channels = id, append(w.channels, protocol.Between(a.id, f.id, protocol.Hash{}))
	var text string
	w.claim(w.until(func() error {
		theirs, err := f.reads(id)
		if err != nil {
			return err
		}
		if text, err = a.reads(id); err == nil && text != theirs {
			err = errors.New("the two texts differ")
		}
		return err
	}), "an officer of %s offers terms; both sides read the same text, word for word", a.name)
	w.excerpt(text, "What may be sent", "Passing on", "Retention", "Suspension and end")
	_, err = a.send(w.ctx, demoFile("victim.txt"), node.Draft{Audience: under(id)})
	w.claim(refusedBy(err, "agreement-offered"), "one signature is no agreement (rule agreement-offered)")
	signed := time.Now()
	if err := w.accepts(f, id); err != nil {
		return err
	}
	err = w.until(func() error { return errors.Join(a.stands(id, trust.Active), f.stands(id, trust.Active)) })
	w.claim(err, "an officer of %s signs, and it is in effect at both, %d ms later", f.name, time.Since(signed).Milliseconds())
	w.claim(w.each(w.but(a, f), func(t *demoTeam) error {
		if as := t.node.Agreements(); len(as) != 0 {
			return fmt.Errorf("%s knows of %d agreements", t.name, len(as))
		}
		return nil
	}), "the others know nothing of it")
	return nil
}

// excerpt prints articles of an agreement's text.
func (w *demoWorld) excerpt(text string, titles ...string) {
	for _, part := range strings.Split(text, "\n\n") {
		head, _, _ := strings.Cut(part, "\n")
		_, title, numbered := strings.Cut(head, ". ")
		if !numbered || !slices.Contains(titles, title) {
			continue
		}
		for line := range strings.SplitSeq(part, "\n") {
			w.say("           │ %s", line)
		}
	}
}

func (w *demoWorld) restricted() error {
	a, b, f := w.teams[0], w.teams[1], w.teams[5]
	terms := node.Draft{Audience: under(w.agreed)}
	preview := terms
	preview.DryRun = true
	sent, err := a.send(w.ctx, demoFile("victim.txt"), preview)
	if err == nil && (len(sent.Readers) != 1 || sent.Readers[0].ID != f.id || sent.Readers[0].Nodes != 1) {
		err = fmt.Errorf("it names %d readers", len(sent.Readers))
	}
	w.claim(err, "a preview names who would read it: one node of %s, and nobody else", f.name)
	l, took, err := w.deliver(a, demoFile("victim.txt"), terms, []*demoTeam{f})
	if l == nil {
		return err
	}
	w.claim(err, "%s: %s from %s is at %s, byte for byte, after %d ms", l.label, l.doc.name, a.country, f.country, took.Milliseconds())
	large := terms
	large.Label = tlp.Amber
	list, took, err := w.deliver(a, demoAccounts(), large, []*demoTeam{f})
	if list == nil {
		return err
	}
	w.claim(err, "%s: and %s, %d kB, after %d ms", list.label, list.doc.name, len(list.doc.data)/1000, took.Milliseconds())
	answer := terms
	answer.Refs = []protocol.Hash{l.id}
	back, took, err := w.deliver(f, demoFile("answer.txt"), answer, []*demoTeam{a})
	if back == nil {
		return err
	}
	w.claim(err, "%s: the answer is back at %s under the same terms after %d ms", back.label, a.country, took.Milliseconds())
	_, err = a.send(w.ctx, demoFile("strict.txt"), terms)
	w.claim(refusedBy(err, "agreement-ceiling"), "AMBER+STRICT is more than was agreed, and refused (rule agreement-ceiling)")
	lesson := demoDoc{"lesson.txt", []byte("What a ministry taught us\n\nEnd the sessions too.\n")}
	derived := node.Draft{Sources: []protocol.Hash{l.id}}
	_, err = f.send(w.ctx, lesson, node.Draft{Label: tlp.Green, Sources: derived.Sources})
	w.claim(refusedBy(err, "source-loosened"), "what %s makes of it does not become GREEN (rule source-loosened)", f.country)
	derived.Audience = "team:" + b.id.String()
	_, err = f.send(w.ctx, lesson, derived)
	w.claim(refusedBy(err, "source-audience"), "nor does it go to %s, though %s trusts it (rule source-audience)", b.country, f.country)
	_, _, err = f.node.ExportMessage(l.id, trust.ReachCommunity)
	err = refusedBy(err, "reach-label")
	if r, _, kept := f.node.ExportMessage(l.id, trust.ReachConstituents); kept == nil {
		err = errors.Join(err, r.Close())
	} else {
		err = errors.Join(err, kept)
	}
	w.claim(err, "%s may export it for its constituents, as AMBER says, and not for other teams (rule reach-label)", f.country)
	secrets, err := w.lettersBetween(a, f)
	if err != nil {
		return err
	}
	values, err := w.keepsSecrets(secrets, w.teams)
	w.claim(err, "six homes are searched with their own keys, %d values: %s and %s have text, ids and ciphertext, and no other has a byte",
		values, a.country, f.country)
	return nil
}

// addsOperator has the officer sign that RED can be sealed to a person.
func (t *demoTeam) addsOperator(name string) error {
	recipient, err := keyring.CreateOperator(node.KeysDir(t.home), name, demoPassphrase, demoWorkFactor)
	if err != nil {
		return err
	}
	key, err := t.officer()
	if err != nil {
		return err
	}
	now := time.Now()
	own := t.node.OwnRecords()
	m := *own.Manifest
	m.Version, m.Prev, m.Root = m.Version+1, own.ManifestID, own.RootID
	m.Issued, m.Expires = uint64(now.Unix()), uint64(now.Add(node.ManifestLife).Unix())
	m.Operators = append(slices.Clone(m.Operators), protocol.Operator{Name: name, Recipient: recipient})
	e, err := protocol.Sign(&m, key)
	if err != nil {
		return err
	}
	return t.node.AddOwnRecords([]*protocol.Envelope{e})
}

// opens opens RED as a person does beside the node: with their own key, and its passphrase.
func (t *demoTeam) opens(l *demoLetter, person, passphrase string) ([]byte, error) {
	ids, err := keyring.OpenOperator(node.KeysDir(t.home), person, passphrase)
	if err != nil {
		return nil, err
	}
	s, err := t.node.Sealed(l.id)
	if err != nil {
		return nil, err
	}
	plain, err := seal.OpenSmall(s.Statement.Content, ids...)
	if err != nil {
		return nil, err
	}
	c, err := protocol.DecodeContent(plain, s.Statement)
	if err != nil {
		return nil, err
	}
	return c.Body.Inline, nil
}

func (w *demoWorld) red() error {
	a, b, f := w.teams[0], w.teams[1], w.teams[5]
	doc := demoFile("source.md")
	to := node.Draft{Audience: "person:" + b.id.String() + "/" + demoReader, As: demoAuthor}
	_, err := a.send(w.ctx, doc, to)
	w.claim(refusedBy(err, "no-operators"), "%s names nobody yet to whom RED can be sealed (rule no-operators)", b.name)
	if err := errors.Join(a.addsOperator(demoAuthor), b.addsOperator(demoReader)); err != nil {
		return err
	}
	w.channels = append(w.channels, protocol.Between(a.id, b.id, protocol.Hash{}))
	var sent *node.Sent
	err = w.until(func() (err error) {
		try := to
		try.DryRun = true
		sent, err = a.send(w.ctx, doc, try)
		return err
	})
	if err == nil && (len(sent.Readers) != 2 || !slices.Equal(sent.Readers[0].Persons, []string{demoReader})) {
		err = fmt.Errorf("it names %d readers", len(sent.Readers))
	}
	w.claim(err, "its officer signs that %s may get it; the preview names %s, and %s who wrote it", demoReader, demoReader, demoAuthor)
	l, took, err := w.deliver(a, doc, to, []*demoTeam{b})
	if l == nil {
		return err
	}
	w.claim(err, "%s: the node of %s carries it after %d ms: without a title, and it cannot show it (rule person-only)", l.label, b.country, took.Milliseconds())
	s, err := b.node.Sealed(l.id)
	if err != nil {
		return err
	}
	if _, err = b.ring.UnsealSmall(s.Statement.Content); errors.Is(err, seal.ErrNotRecipient) {
		err = nil
	} else if err == nil {
		err = errors.New("it does")
	}
	w.claim(err, "no key of the node opens it")
	if _, err = b.opens(l, demoReader, "guess guess guess"); err == nil {
		err = errors.New("it opened")
	} else {
		err = nil
	}
	w.claim(err, "nor does a wrong passphrase of %s", demoReader)
	text, err := b.opens(l, demoReader, demoPassphrase)
	if err == nil && !bytes.Equal(text, doc.data) {
		err = errors.New("other bytes than were sent")
	}
	w.claim(err, "%s opens it with the right one: byte for byte what was sent", demoReader)
	if err := b.node.Opened(w.ctx, l.id, demoReader); err != nil {
		return err
	}
	w.claim(w.until(func() error { return a.heard(l, b, "opened", demoReader) }), "%s sees in its receipts that %s has opened it", a.country, demoReader)
	w.claim(w.until(func() error {
		return errors.Join(a.heard(w.letter("victim.txt"), f, "stored", ""), a.heard(w.letter("accounts.csv"), f, "stored", ""),
			f.heard(w.letter("answer.txt"), a, "stored", ""))
	}), "and %s and %s that their letters are stored", a.country, f.country)
	_, _, err = b.node.ExportMessage(l.id, trust.ReachTeam)
	w.claim(refusedBy(err, "red-export"), "RED is exported to nobody (rule red-export)")
	return nil
}

// heard is nil if the team has a receipt of the other for its letter, that names the person who opened it or the rule that
// holds it back.
func (t *demoTeam) heard(l *demoLetter, from *demoTeam, state, by string) error {
	rs, err := t.node.Receipts(l.id)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if r.Team == from.id && r.State == state && r.Person+r.Rule == by {
			return nil
		}
	}
	return fmt.Errorf("%s has no receipt that says %s of %s", t.name, state, l.doc.name)
}
