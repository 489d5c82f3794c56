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
	"github.com/entente-network/entente/trust"
)

const (
	demoRoomName    = "KA-SAT"
	demoRoomPurpose = "modems that were wiped on 24 February"
)

// insideRoom is the room of the story as an audience.
func (w *demoWorld) insideRoom() node.Draft { return node.Draft{Audience: "room:" + w.room.String()} }

// types runs a command as a person of the team types it, with their passphrase in their environment.
func (w *demoWorld) types(t *demoTeam, args ...string) (string, error) {
	if t.server == nil {
		if err := t.serve(); err != nil {
			return "", err
		}
	}
	line, width := "entente", 0
	for _, a := range args {
		if width += len(a) + 3; width > 100 && strings.HasPrefix(a, "--") {
			line, width = line+" \\\n               ", len(a)
		}
		line += " " + quoted(a)
	}
	w.say("           %s $ %s", t.country, line)
	var out, errs bytes.Buffer
	p := &program{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(k string) string {
		return map[string]string{"ENTENTE_PASSPHRASE": demoPassphrase}[k]
	}}
	if code := p.main(w.ctx, append([]string{"--home", t.home}, args...)); code != exitDone {
		return "", fmt.Errorf("%s: %s: exit code %d: %s", t.name, line, code, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// inRoom is nil once the team sees the room as it should be.
func (w *demoWorld) inRoom(t *demoTeam, what string, is func(v *node.RoomView) bool) error {
	v, err := t.node.Room(w.room.String())
	if err == nil && !is(&v) {
		err = fmt.Errorf("%s does not see the room with %s: it is %s (%s)", t.name, what, v.State, v.Why)
	}
	return err
}

// sees is nil once all of the teams see the other one in that place.
func (w *demoWorld) sees(by []*demoTeam, o *demoTeam, s trust.Standing) error {
	return w.each(by, func(t *demoTeam) error {
		return w.inRoom(t, o.name+" as "+s.String(), func(v *node.RoomView) bool { return v.Standing(o.id) == s })
	})
}

// votes has a steward vote for what is proposed about a team, or with nil for a charter, once it sees the votes of so many others
// and may vote.
func (w *demoWorld) votes(t, about *demoTeam, others int) error {
	query := ""
	if err := w.until(func() error {
		return w.inRoom(t, "something to vote for", func(v *node.RoomView) bool {
			i := slices.IndexFunc(v.Proposals, func(q trust.Proposal) bool {
				if about == nil && q.Kind != "charter" || about != nil && q.Subject != about.id || len(q.Votes)+len(q.Adopted) < others {
					return false
				}
				return slices.ContainsFunc(v.Waiting, func(d trust.Draft) bool { return d.ID == q.ID })
			})
			if i < 0 {
				return false
			}
			if query = v.Proposals[i].ID.Short(); about != nil {
				query = about.name
			}
			return true
		})
	}); err != nil {
		return err
	}
	_, err := w.types(t, "room", "vote", demoRoomName, query)
	return err
}

// charterAt returns the room's charter as a person of the team reads it.
func (w *demoWorld) charterAt(t *demoTeam) (string, error) {
	v, err := t.node.Room(w.room.String())
	if err != nil || v.Charter == nil {
		return "", errors.Join(err, errors.New("no charter is in effect"))
	}
	return charterText(v.CharterID, v.Charter, func(id protocol.TeamID) string { return v.Names[id] }), nil
}

func (w *demoWorld) formed() error {
	a, b, c, f := w.teams[0], w.teams[1], w.teams[2], w.teams[5]
	w.roomed = []*demoTeam{a, b, c, f}
	began := time.Now()
	if _, err := w.types(a, "room", "create", demoRoomName, "--incident", "--steward", b.name, "--steward", c.name, "--steward", f.name,
		"--onward", "constituents", "--purpose", demoRoomPurpose); err != nil {
		return err
	}
	v, err := a.node.Room(demoRoomName)
	if err != nil {
		return err
	}
	w.room, w.channels = v.ID, append(w.channels, protocol.RoomChannel(v.ID))
	_, err = a.send(w.ctx, demoFile("acidrain.misp.json"), w.insideRoom())
	w.claim(refusedBy(err, "room-founding"), "one signature is no room (rule room-founding)")
	for _, t := range w.roomed[1:] {
		if err := w.until(func() error {
			return w.inRoom(t, "its charter to sign", func(v *node.RoomView) bool { return len(v.Waiting) > 0 })
		}); err != nil {
			return err
		}
		if _, err := w.types(t, "room", "sign", demoRoomName); err != nil {
			return err
		}
	}
	err = w.until(func() error {
		return w.each(w.roomed, func(t *demoTeam) error {
			return errors.Join(w.sees(w.roomed, t, trust.StandingMember), w.inRoom(t, "all signatures", func(v *node.RoomView) bool { return v.State == trust.RoomOpen }))
		})
	})
	w.claim(err, "with the fourth command the room is open at all four, %d ms after the first was typed", time.Since(began).Milliseconds())
	text, err := w.charterAt(a)
	w.claim(errors.Join(err, w.each(w.roomed, func(t *demoTeam) error {
		theirs, err := w.charterAt(t)
		if err == nil && theirs != text {
			err = fmt.Errorf("%s reads another charter", t.name)
		}
		return err
	})), "all four read the same charter, word for word")
	w.excerpt(text, "What may be said", "Admission", "Holds", "Attribution outside")
	outside := w.but(w.roomed...)
	w.claim(w.each(outside, func(t *demoTeam) error {
		if rs := t.node.Rooms(); len(rs) != 0 {
			return fmt.Errorf("%s knows of %d rooms", t.name, len(rs))
		}
		return w.each(w.roomed, t.connected)
	}), "%s and %s are connected to all four, and know of no room", outside[0].name, outside[1].name)
	return nil
}

func (w *demoWorld) spoken() error {
	a, b, c, f := w.teams[0], w.teams[1], w.teams[2], w.teams[5]
	w.claim(w.readBy(a, b, c, f), "a preview names who would read it: a node each of %s, %s and %s", b.name, c.name, f.name)
	for _, s := range []struct {
		from *demoTeam
		doc  demoDoc
		want tlp.Label
	}{{a, demoFile("acidrain.misp.json"), tlp.Amber}, {f, demoFile("windfarm.txt"), tlp.AmberStrict}} {
		others := slices.DeleteFunc(slices.Clone(w.roomed), func(t *demoTeam) bool { return t == s.from })
		l, took, err := w.deliver(s.from, s.doc, w.insideRoom(), others)
		if l == nil {
			return err
		}
		if err == nil && l.label != s.want {
			err = fmt.Errorf("it went out as TLP:%s", l.label)
		}
		w.claim(err, "%s: %s from %s is at the other three, byte for byte, after %d ms", l.label, l.doc.name, s.from.country, took.Milliseconds())
	}
	l := w.letter("acidrain.misp.json")
	w.claim(w.until(func() error {
		return w.each(w.teams, func(t *demoTeam) error {
			found, err := t.node.Search("9b4dfaca873961174ba935fddaf696145afe7bbf5734509f95feb54f3584fd9a", 10)
			if in := slices.Contains(w.roomed, t); err == nil && (in != (len(found) == 1) || in && found[0].ID != l.id) {
				err = fmt.Errorf("%s finds %d messages", t.name, len(found))
			}
			return err
		})
	}), "the hash of the wiper finds it at these four, and at nobody else")
	_, err := a.send(w.ctx, demoFile("source.md"), w.insideRoom())
	var r *node.RefusedError
	if errors.As(err, &r) && r.Rule == "room-ceiling" {
		w.claim(nil, "RED is refused for a room: %s (rule room-ceiling)", r.Reason)
	} else {
		w.claim(refusedBy(err, "room-ceiling"), "RED is refused for a room")
	}
	return w.nothingOutside()
}

// readBy is nil if what the team says in the room now would be read by one node each of these, and by nobody else.
func (w *demoWorld) readBy(t *demoTeam, readers ...*demoTeam) error {
	d := w.insideRoom()
	d.DryRun = true
	sent, err := t.send(w.ctx, demoFile("gateway.txt"), d)
	if err != nil {
		return err
	}
	for _, r := range sent.Readers {
		if r.Nodes != 1 || !slices.ContainsFunc(readers, func(t *demoTeam) bool { return t.id == r.ID }) {
			return fmt.Errorf("it names %s, with %d nodes", r.Name, r.Nodes)
		}
	}
	if len(sent.Readers) != len(readers) {
		return fmt.Errorf("it names %d readers", len(sent.Readers))
	}
	return nil
}

// nothingOutside looks for the room where it must not be known: in homes, and in all that its members give to those who are
// not in it.
func (w *demoWorld) nothingOutside() error {
	secrets, err := w.roomSecrets()
	if err != nil {
		return err
	}
	values, err := w.keepsSecrets(secrets, w.teams)
	outside := w.but(w.roomed...)
	var names []string
	for _, o := range outside {
		names = append(names, o.name)
	}
	w.claim(err, "six homes are searched with their own keys, %d values: at %s there is no name, no id, no text and no ciphertext of the room", values,
		strings.Join(names, " and "))
	given := 0
	err = w.each(outside, func(o *demoTeam) error {
		return w.each(w.roomed, func(t *demoTeam) error {
			return w.given(t, o, func(name string, data []byte) error {
				given += len(data)
				for _, s := range secrets {
					if bytes.Contains(data, s.needle) || strings.Contains(name, w.room.String()) {
						return fmt.Errorf("%s would give %s %s", t.name, o.name, s.what)
					}
				}
				return nil
			})
		})
	})
	w.claim(err, "nor is there in all that the four would give to them now, %d kB", given/1000)
	return nil
}

func (w *demoWorld) admitted() error {
	a, b, c, e, f := w.teams[0], w.teams[1], w.teams[2], w.teams[4], w.teams[5]
	past := w.lettersInRoom()
	if _, err := w.types(b, "room", "propose", demoRoomName, e.name, "--reason", "their modems are of the same make"); err != nil {
		return err
	}
	if err := w.until(func() error {
		return w.inRoom(e, "its charter to accept", func(v *node.RoomView) bool { return len(v.Waiting) > 0 })
	}); err != nil {
		return err
	}
	secrets, err := w.saidIn(past)
	if err != nil {
		return err
	}
	_, err = w.keepsSecrets(secrets, []*demoTeam{e})
	w.claim(err, "%s is asked: it sees the charter, and has nothing of what was said", e.name)
	if _, err := w.types(e, "room", "accept", demoRoomName); err != nil {
		return err
	}
	for i, t := range []*demoTeam{b, a, c} {
		if err := w.votes(t, e, i); err != nil {
			return err
		}
	}
	voted := time.Now()
	w.roomed = append(w.roomed, e)
	err = w.until(func() error { return w.sees(w.roomed, e, trust.StandingMember) })
	w.claim(err, "a sponsor, its own word and three of four stewards: it is a member at all five, %d ms after the last vote", time.Since(voted).Milliseconds())
	err = w.until(func() error {
		var errs []error
		for _, l := range past {
			errs = append(errs, e.holds(l))
		}
		return errors.Join(errs...)
	})
	w.claim(err, "the charter of an incident opens the past: it holds what was said before, %d ms after", time.Since(voted).Milliseconds())
	for _, l := range past {
		l.readers = append(l.readers, e)
	}
	l, took, err := w.deliver(b, demoFile("modems.txt"), w.insideRoom(), []*demoTeam{a, c, f, e})
	if l == nil {
		return err
	}
	w.claim(err, "%s: what %s says is at the other four after %d ms", l.label, b.country, took.Milliseconds())
	return nil
}
