package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

func (w *demoWorld) away() error {
	a, d, f := w.teams[0], w.teams[3], w.teams[5]
	if err := d.leave(); err != nil {
		return err
	}
	const reports = 20
	began := len(w.letters)
	if _, err := w.post(a, demoFile("after.md"), node.Draft{}, w.but(a)); err != nil {
		return err
	}
	for i := range reports {
		l, err := w.post(f, demoReport(i+1), node.Draft{}, w.but(f))
		if err != nil {
			return err
		}
		l.routine = true
	}
	missed := w.letters[began:]
	holdsAll := func(t *demoTeam) error {
		for _, l := range missed {
			if err := t.holds(l); err != nil {
				return err
			}
		}
		return nil
	}
	w.claim(w.until(func() error { return w.each(w.but(d), holdsAll) }), "while %s is off, %d messages reach all others", d.name, len(missed))
	if err := d.join(w.ctx); err != nil {
		return err
	}
	back := time.Now()
	err := w.until(func() error { return holdsAll(d) })
	w.claim(err, "it comes back, and holds all of them %d ms later", time.Since(back).Milliseconds())
	said := uint64(0)
	err = w.until(func() (err error) {
		said, err = w.complete(d)
		return err
	})
	w.claim(err, "and can prove it: the signed heads of all authors speak of %d messages, and none is missing", said)
	return nil
}

// complete is nil if the team holds everything that the authors have sent, and their signed words say that this is all. It
// returns of how many messages they speak.
func (w *demoWorld) complete(t *demoTeam) (said uint64, err error) {
	for _, author := range w.but(t) {
		own, err := author.knows(author)
		if err != nil {
			return 0, err
		}
		seen, err := t.knows(author)
		if err != nil {
			return 0, err
		}
		if len(own.Nodes) != 1 || len(seen.Nodes) != 1 {
			return 0, fmt.Errorf("%s has %d nodes, and %s knows %d", author.name, len(own.Nodes), t.name, len(seen.Nodes))
		}
		sent, f := own.Nodes[0].Feed.Beyond, seen.Nodes[0].Feed
		if sent > 0 && (!f.Complete || f.Said != sent || f.Held != sent) {
			return 0, fmt.Errorf("%s sent %d messages; the word that %s has speaks of %d, and it holds %d", author.name, sent, t.name, f.Said, f.Held)
		}
		said += f.Said
	}
	return said, nil
}

func (w *demoWorld) corrected() error {
	a, b := w.teams[0], w.teams[1]
	first, second := w.letter("log4shell.csaf.json"), demoFile("log4shell-2.csaf.json")
	_, err := b.send(w.ctx, second, node.Draft{Supersedes: first.id})
	w.claim(refusedBy(err, "correct-own"), "%s may not correct what %s said (rule correct-own)", b.name, a.name)
	l, took, err := w.deliver(a, second, node.Draft{Supersedes: first.id}, w.but(a))
	if l == nil {
		return err
	}
	w.claim(errors.Join(err, w.until(func() error {
		return w.each(w.teams, func(t *demoTeam) error {
			v, err := t.node.Message(first.id)
			if err == nil && v.SupersededBy != l.id {
				err = fmt.Errorf("%s does not know that it is superseded", t.name)
			}
			return err
		})
	})), "%s corrects itself: at all six the first version is marked as superseded, after %d ms", a.name, took.Milliseconds())
	return nil
}

// stranger is a team that got hold of the introductions of all others. It stays until the end.
func (w *demoWorld) stranger() error {
	s := w.newTeam("CERT Nowhere", "XZ")
	if err := s.found(); err != nil {
		return err
	}
	if err := s.join(w.ctx); err != nil {
		return err
	}
	w.uninvited = append(w.uninvited, s)
	for _, t := range w.teams {
		if err := s.adds(t); err != nil {
			return err
		}
	}
	w.claim(w.until(func() error { return w.each(w.teams, s.turnedAway) }), "%s has the introductions of all six, and no node lets it in", s.name)
	w.claim(w.each(w.teams, func(t *demoTeam) error { return t.lacksTeam(s) }), "nobody knows it")
	var err error
	if n := s.node.LastN(); n != 0 {
		err = fmt.Errorf("it holds %d messages", n)
	}
	w.claim(err, "it holds nothing")
	return nil
}

func (w *demoWorld) blocked() error {
	b, d, e := w.teams[1], w.teams[3], w.teams[4]
	for _, t := range w.but(e) {
		if err := t.node.BlockTeam(e.id, demoOfficer); err != nil {
			return err
		}
	}
	w.claim(w.until(func() error {
		return w.each(w.but(e), func(t *demoTeam) error {
			if e.connected(t) == nil || t.connected(e) == nil {
				return fmt.Errorf("%s is still connected to %s", e.name, t.name)
			}
			return t.holdsState(e, trust.Blocked)
		})
	}), "all others block %s: no node is connected to it any more", e.name)
	if _, err := w.post(e, demoFile("blocked.md"), node.Draft{}, nil); err != nil {
		return err
	}
	l, _, err := w.deliver(d, demoFile("citrixbleed.txt"), node.Draft{}, w.but(d, e))
	if l == nil {
		return err
	}
	if err == nil && e.holds(l) == nil {
		err = fmt.Errorf("%s holds it", e.name)
	}
	w.claim(err, "what %s sends now is at the other four, and not at %s", d.country, e.country)
	err = nil
	if b.holds(w.letter("blocked.md")) == nil {
		err = fmt.Errorf("%s holds it", b.name)
	}
	w.claim(err, "what %s sends is at nobody", e.country)
	return nil
}

// stolen takes the third team's server away and makes another one from its backup.
func (w *demoWorld) stolen() error {
	a, c, e := w.teams[0], w.teams[2], w.teams[4]
	friends := w.but(c, e)
	var backup bytes.Buffer
	if err := c.node.Backup(w.ctx, &backup); err != nil {
		return err
	}
	last, _, err := w.deliver(c, demoFile("lastword.txt"), node.Draft{}, friends)
	if last == nil {
		return err
	}
	w.claim(err, "%s sends one more message after its backup was made", c.name)
	if err := c.leave(); err != nil {
		return err
	}
	c.home += "-restored"
	if _, err := node.Restore(w.ctx, c.home, node.DefaultUnlockFile(c.home), &backup); err != nil {
		return err
	}
	if err := c.join(w.ctx); err != nil {
		return err
	}
	_, err = c.send(w.ctx, demoFile("recovered.txt"), node.Draft{})
	w.claim(refusedBy(err, "signing-stopped"), "restored, it notices by itself and refuses to sign (rule signing-stopped)")
	w.claim(w.until(func() error { return c.holds(last) }), "it gets its own last message back from the others")
	if err := w.replaceNode(c); err != nil {
		return err
	}
	// Nobody lets the new keys in before they are known. A person hands the new introduction to one colleague, who tells the
	// others.
	if err := a.adds(c); err != nil {
		return err
	}
	w.claim(w.until(func() error {
		return w.each(friends, func(t *demoTeam) error { return t.connected(c) })
	}), "its officer revokes the old keys and certifies new ones; %s is told, and all four let the new node in", a.name)
	l, took, err := w.deliver(c, demoFile("recovered.txt"), node.Draft{}, friends)
	if l == nil {
		return err
	}
	w.claim(err, "it speaks again: all four have it after %d ms", took.Milliseconds())
	w.claim(w.each(friends, func(t *demoTeam) error { return t.holds(last) }), "what it said before the theft stands")
	return nil
}

// replaceNode gives the team's node new keys, and revokes the old ones with a cut-off at what this store holds.
func (w *demoWorld) replaceNode(t *demoTeam) error {
	if err := t.leave(); err != nil {
		return err
	}
	if err := t.open(); err != nil {
		return err
	}
	officer, err := t.officer()
	if err != nil {
		return err
	}
	own := t.node.OwnRecords()
	r, err := t.node.ReplaceNode()
	if err != nil {
		return err
	}
	now := time.Now()
	m := *own.Manifest
	m.Version, m.Prev, m.Root = m.Version+1, own.ManifestID, own.RootID
	m.Issued, m.Expires = uint64(now.Unix()), uint64(now.Add(node.ManifestLife).Unix())
	m.Revoked = slices.Clone(m.Revoked)
	for _, n := range m.Nodes {
		m.Revoked = append(m.Revoked, protocol.Revoked{Node: n, At: uint64(now.Unix()), Why: "stolen"})
	}
	m.Nodes = []protocol.Node{r.Node}
	me, err := protocol.Sign(&m, officer)
	if err != nil {
		return err
	}
	ce, err := protocol.Sign(r.Cutoff, officer)
	if err != nil {
		return err
	}
	if err := t.node.AddOwnRecords([]*protocol.Envelope{me, ce}); err != nil {
		return err
	}
	if err := t.leave(); err != nil {
		return err
	}
	return t.join(w.ctx)
}

// thief starts the stolen home, with the keys that were revoked. It stays until the end.
func (w *demoWorld) thief() error {
	c, e := w.teams[2], w.teams[4]
	th := &demoTeam{name: "the thief", country: c.country, home: strings.TrimSuffix(c.home, "-restored"), id: c.id}
	var ahead atomic.Int64
	th.clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	if err := th.join(w.ctx); err != nil {
		return err
	}
	w.uninvited = append(w.uninvited, th)
	friends := w.but(c, e)
	w.claim(w.until(func() error { return w.each(friends, th.turnedAway) }), "no node lets it in")
	ahead.Store(int64(time.Minute)) // a node that nobody answers waits before it speaks; a thief turns the clock
	l, err := w.post(th, demoFile("thief.txt"), node.Draft{}, nil)
	if err != nil {
		return err
	}
	w.claim(w.each(w.teams, func(t *demoTeam) error {
		if _, err := t.node.Message(l.id); !errors.Is(err, node.ErrNotFound) {
			return fmt.Errorf("%s holds it (%w)", t.name, err)
		}
		return nil
	}), "what it says with the stolen keys is at nobody")
	return nil
}

func (w *demoWorld) checked() error {
	var values, signed uint64
	err := w.each(w.teams, func(t *demoTeam) error {
		r, err := t.node.Fsck(w.ctx, false, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		values, signed = values+r.Values, signed+r.Parcels+r.Records
		if r.Found > 0 {
			return fmt.Errorf("%s: %v", t.name, r.Problems)
		}
		return nil
	})
	w.claim(err, "fsck finds six clean stores: %d values authenticate, %d signed records verify", values, signed)
	return nil
}

// accounted compares what everybody holds with what everybody should.
func (w *demoWorld) accounted() error {
	var tab table
	head := []string{"", "", "", "from"}
	for _, t := range w.teams {
		head = append(head, t.country)
	}
	tab.add(head...)
	var wrong []error
	cells := 0
	for _, l := range w.letters {
		row := []string{"          ", l.label.String(), shorten(l.doc.name, 24), l.author.country}
		for _, t := range w.teams {
			should := slices.Contains(l.readers, t)
			has := t.holds(l)
			cells++
			switch {
			case should && has != nil:
				wrong = append(wrong, has)
			case !should && has == nil:
				wrong = append(wrong, fmt.Errorf("%s holds %s", t.name, l.doc.name))
			}
			mark := "·"
			switch {
			case has == nil && l.label == tlp.Red:
				mark = "✉"
			case has == nil:
				mark = "✓"
			case slices.Contains(l.destroyed, t):
				mark = "×"
			}
			row = append(row, mark)
		}
		if !l.routine {
			tab.add(row...)
		}
	}
	if !w.out.json {
		tab.print(w.out)
	}
	w.say("           ✓ has it whole   ✉ carries it closed, for a person   × destroyed it   · has nothing of it")
	w.claim(errors.Join(wrong...), "for %d documents and six teams: who should have it has it whole, and nobody else", cells/len(w.teams))
	return w.uninvitedHold()
}

// uninvitedHold looks again at those who came uninvited, after all that was sent since.
func (w *demoWorld) uninvitedHold() error {
	stranger, thief := w.uninvited[0], w.uninvited[1]
	var err error
	if n := stranger.node.LastN(); n != 0 {
		err = fmt.Errorf("it holds %d messages", n)
	}
	w.claim(err, "%s still holds nothing", stranger.name)
	err = nil
	if thief.holds(w.letter("recovered.txt")) == nil {
		err = errors.New("it holds it")
	}
	w.claim(err, "the thief holds nothing that was sent after the theft")
	a, b, f := w.teams[0], w.teams[1], w.teams[5]
	secrets, err := w.lettersBetween(a, f)
	if err != nil {
		return err
	}
	more, err := w.lettersBetween(a, b)
	if err != nil {
		return err
	}
	room, err := w.saidIn(w.lettersInRoom())
	if err != nil {
		return err
	}
	values, err := w.keepsSecrets(slices.Concat(secrets, more, room), append(slices.Clone(w.teams), w.uninvited...))
	w.claim(err, "all homes are searched again, and the stranger's and the thief's, %d values: of what two told each other no third has a byte, "+
		"and of what was said in the room nobody who was out of it then", values)
	return nil
}
