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
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// copied writes what the team has for another one to a stick.
func (w *demoWorld) copied(t, to *demoTeam) ([]byte, error) {
	var b bytes.Buffer
	_, err := t.node.ExportBundle(w.ctx, to.id.String(), time.Time{}, &b)
	return b.Bytes(), err
}

// carried takes the last team off the network. It stays off until suspended brings it back.
func (w *demoWorld) carried() error {
	a, d, f := w.teams[0], w.teams[3], w.teams[5]
	if err := f.leave(); err != nil {
		return err
	}
	l, err := w.post(a, demoFile("bystick.txt"), node.Draft{Audience: under(w.agreed)}, []*demoTeam{f})
	if err != nil {
		return err
	}
	out, err := a.node.Outbox()
	if err == nil && !slices.ContainsFunc(out, func(v node.OutboxView) bool { return v.Team == f.id && v.Waiting == 1 }) {
		err = fmt.Errorf("it says %+v", out)
	}
	w.claim(err, "%s cannot be reached: what %s sends it waits, and the outbox says so", f.name, a.name)
	stick, err := w.copied(a, f)
	if err != nil {
		return err
	}
	w.sticks = append(w.sticks, stick)
	_, err = d.node.ImportBundle(w.ctx, bytes.NewReader(stick))
	w.claim(refusedBy(err, "bundle"), "%s copies it to a stick; %s finds the stick, and cannot open it (rule bundle)", a.country, d.country)
	if err := f.open(); err != nil {
		return err
	}
	if err := f.newKey(); err != nil {
		return err
	}
	r, err := f.node.ImportBundle(w.ctx, bytes.NewReader(stick))
	if err != nil {
		return err
	}
	if err = f.holds(l); err == nil && r.Refused > 0 {
		err = fmt.Errorf("%d parts of it were refused", r.Refused)
	}
	w.claim(err, "%s has no line, and takes it in: %s, byte for byte", f.country, l.doc.name)
	return nil
}

// newKey does what a node does every thirty days: it makes a new key to which others seal, and says so. What is on its way to
// the former one can still be opened.
func (t *demoTeam) newKey() error {
	now := time.Now()
	recipient, err := t.ring.Rotate(now)
	if err != nil {
		return err
	}
	e, err := protocol.Sign(&protocol.NodeRecipient{Team: t.id, Node: t.ring.KID(), Seq: uint64(now.UnixMilli()), Recipient: recipient,
		Issued: uint64(now.Unix())}, t.ring.NodeKey())
	if err != nil {
		return err
	}
	return t.node.AddOwnRecords([]*protocol.Envelope{e})
}

func (w *demoWorld) suspended() error {
	a, f := w.teams[0], w.teams[5]
	terms := node.Draft{Audience: under(w.agreed)}
	if err := w.declares(f, w.agreed, protocol.PartySuspended, "our gateway may be in other hands"); err != nil {
		return err
	}
	_, err := f.send(w.ctx, demoFile("answer.txt"), terms)
	w.claim(refusedBy(err, "agreement-suspended"), "still without a line, %s suspends: at once it sends nothing any more (rule agreement-suspended)", f.country)
	l, err := w.post(a, demoFile("late.txt"), terms, []*demoTeam{f})
	if err != nil {
		return err
	}
	stick, err := w.copied(a, f)
	if err != nil {
		return err
	}
	if _, err := f.node.ImportBundle(w.ctx, bytes.NewReader(stick)); err != nil {
		return err
	}
	v, err := f.node.Message(l.id)
	if err == nil && (v.Held != "agreement-suspended" || v.Quarantined == "" || v.Title != "") {
		err = fmt.Errorf("it is not held back (%q)", v.Held)
	}
	if _, _, open := f.node.OpenBody(l.id); err == nil {
		err = refusedBy(open, "view")
	}
	w.claim(err, "%s does not know, and sends one more by stick: it is held back, and shown to nobody", a.country)
	if err := f.leave(); err != nil {
		return err
	}
	if err := f.join(w.ctx); err != nil {
		return err
	}
	back := time.Now()
	err = w.until(func() error { return a.stands(w.agreed, trust.Suspended) })
	took := time.Since(back)
	if _, refused := a.send(w.ctx, demoFile("newkey.txt"), terms); err == nil {
		err = refusedBy(refused, "agreement-suspended")
	}
	w.claim(err, "the line is back; %s hears of it after %d ms, and sends nothing either", a.country, took.Milliseconds())
	w.claim(w.until(func() error { return a.heard(l, f, "held", "agreement-suspended") }), "a receipt tells %s that its last letter is held, and by which rule", a.country)
	if err := w.declares(f, w.agreed, protocol.PartyOK, "it was a false alarm"); err != nil {
		return err
	}
	w.claim(w.until(func() error {
		return errors.Join(a.stands(w.agreed, trust.Active), f.stands(w.agreed, trust.Active), f.holds(l))
	}),
		"%s takes its word back: both may send again, and what was held is shown", f.country)
	return nil
}

func (w *demoWorld) rotated() error {
	a, f := w.teams[0], w.teams[5]
	w.claim(w.until(func() error { return w.sealsTo(a, f) }), "while it was off, the node of %s took its new key of the month; %s knows it", f.country, a.country)
	n, err := f.ring.DestroyIdentities(time.Now().Add(2 * time.Second))
	if err != nil {
		return err
	}
	if n == 0 {
		err = errors.New("there was none")
	}
	w.claim(err, "after sixty days more the old one is destroyed (here the clock is turned)")
	l, took, err := w.deliver(a, demoFile("newkey.txt"), node.Draft{Audience: under(w.agreed)}, []*demoTeam{f})
	if l == nil {
		return err
	}
	w.claim(err, "what %s sends is sealed to the new one: it is at %s after %d ms", a.country, f.country, took.Milliseconds())
	_, err = f.node.ImportBundle(w.ctx, bytes.NewReader(w.sticks[0]))
	w.claim(refusedBy(err, "bundle"), "the first stick was sealed to the old one: not even %s can open it any more", f.country)
	w.claim(f.holds(w.letter("bystick.txt")), "what was taken in from it can be read as before")
	return nil
}

// sealsTo is nil once the team knows the other's present key, which shows in the records that it would hand over.
func (w *demoWorld) sealsTo(t, o *demoTeam) error {
	known, err := w.recipients(t, o)
	if err == nil && !slices.Contains(known, o.ring.Recipient()) {
		err = fmt.Errorf("%s seals to a former key of %s", t.name, o.name)
	}
	return err
}

func (w *demoWorld) ended() error {
	a, f := w.teams[0], w.teams[5]
	old := w.agreed
	if err := w.declares(a, old, protocol.PartyEnded, "better terms are offered"); err != nil {
		return err
	}
	w.claim(w.until(func() error { return errors.Join(a.stands(old, trust.Ended), f.stands(old, trust.Ended)) }), "%s ends it, for both and for good", a.country)
	_, err := f.send(w.ctx, demoFile("answer.txt"), node.Draft{Audience: under(old)})
	if err = refusedBy(err, "agreement-ended"); err == nil {
		_, err = f.node.DraftStatus(old, protocol.PartyOK, "")
		err = refusedBy(err, "agreement-ended")
	}
	w.claim(err, "nothing is sent under it, and nobody can take that back (rule agreement-ended)")
	l := w.letter("victim.txt")
	_, _, err = f.node.ExportMessage(l.id, trust.ReachCommunity)
	w.claim(errors.Join(f.holds(l), refusedBy(err, "reach-label")), "what was received can be read as before, and stays bound as before (rule reach-label)")
	terms := demoTerms(f)
	terms.Ceiling = tlp.AmberStrict
	id, err := w.offers(a, terms)
	if err != nil {
		return err
	}
	if err := w.until(func() error { return w.accepts(f, id) }); err != nil {
		return err
	}
	err = w.until(func() error { return errors.Join(a.stands(id, trust.Active), f.stands(id, trust.Active)) })
	w.agreed = id
	w.claim(err, "a new one is offered and signed, up to AMBER+STRICT")
	strict, took, err := w.deliver(a, demoFile("strict.txt"), node.Draft{Audience: under(id)}, []*demoTeam{f})
	if strict == nil {
		return err
	}
	w.claim(err, "%s: what was too strict before is at %s after %d ms", strict.label, f.country, took.Milliseconds())
	return nil
}

func (w *demoWorld) proven() error {
	a, f := w.teams[0], w.teams[5]
	l := w.letter("victim.txt")
	proofs, err := a.node.AuditProve(l.id)
	if err != nil {
		return err
	}
	report, err := a.node.AuditVerify()
	if err != nil {
		return err
	}
	key, err := logKey(report.Key)
	if err != nil {
		return err
	}
	var told bool
	for _, p := range proofs {
		v, err := audit.VerifyProof([]byte(p), key)
		if err != nil {
			return err
		}
		told = told || v.Action == "compose" && v.Object == l.id && v.Team == f.id && v.Label == tlp.Amber && v.Allowed
	}
	if !told {
		err = errors.New("it proves something else")
	}
	w.claim(err, "%s proves from its disclosure log when, and by which rule, %s was let have %s; checking it takes no node", a.country, f.country, l.doc.name)
	i := bytes.Index([]byte(proofs[0]), []byte("extra ")) + 20
	bad := []byte(proofs[0])
	bad[i] ^= 1
	if _, err = audit.VerifyProof(bad, key); errors.Is(err, audit.ErrProof) {
		err = nil
	} else {
		err = errors.New("it passed")
	}
	w.claim(err, "with one character changed, the proof fails")
	refused := 0
	if err := a.node.AuditLog(0, time.Time{}, func(e *audit.Entry) bool {
		if !e.Allowed {
			refused++
		}
		return true
	}); err != nil {
		return err
	}
	if refused == 0 {
		err = errors.New("none is in it")
	}
	w.claim(err, "what %s refused in this story, %d times, is in it too", a.country, refused)
	var records uint64
	err = w.each(w.teams, func(t *demoTeam) error {
		r, err := t.node.AuditVerify()
		records += r.Records
		return errors.Join(err, w.silent(t))
	})
	w.claim(err, "all six logs are whole: %d records, without a title or a word of content", records)
	return nil
}

// silent is nil if nothing in the team's disclosure log tells what a letter says.
func (w *demoWorld) silent(t *demoTeam) error {
	var wrong []error
	err := t.node.AuditLog(0, time.Time{}, func(e *audit.Entry) bool {
		words := fmt.Sprintf("%+v", e.Record)
		for _, l := range w.letters {
			for line := range strings.Lines(string(l.doc.data)) {
				if line = strings.TrimSpace(line); len(line) > 20 && strings.Contains(words, line) || strings.Contains(words, l.title) && l.title != "" {
					wrong = append(wrong, fmt.Errorf("record %d of %s tells of %s", e.Index, t.name, l.doc.name))
				}
			}
		}
		return true
	})
	return errors.Join(append(wrong, err)...)
}
