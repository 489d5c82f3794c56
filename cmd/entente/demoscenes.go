package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// A demoScene is a part of the story. What it claims is counted; its error means that nothing can follow.
type demoScene struct {
	title string
	tell  func(*demoWorld) error
}

// demoScenes is the story. A scene builds on those before it.
var demoScenes = []demoScene{
	{"Six teams are founded", (*demoWorld).founded},
	{"An introduction is changed on the way", (*demoWorld).tampered},
	{"Introductions are exchanged", (*demoWorld).introduced},
	{"Fingerprints are read over the phone", (*demoWorld).verified},
	{"A team becomes known through two colleagues", (*demoWorld).attested},
	{"Documents go out to everybody", (*demoWorld).published},
	{"Labels are rules", (*demoWorld).labelled},
	{"Indicators are found", (*demoWorld).searched},
	{"A node is switched off, and messages pass", (*demoWorld).away},
	{"An advisory is corrected", (*demoWorld).corrected},
	{"Two teams agree", (*demoWorld).agree},
	{"Something for the other team alone", (*demoWorld).restricted},
	{"Something for one person alone", (*demoWorld).red},
	{"A line is cut, and a stick goes by car", (*demoWorld).carried},
	{"One side suspends", (*demoWorld).suspended},
	{"Keys change", (*demoWorld).rotated},
	{"An agreement ends", (*demoWorld).ended},
	{"Who decided what can be shown", (*demoWorld).proven},
	{"Four teams form a room", (*demoWorld).formed},
	{"Something for the room alone", (*demoWorld).spoken},
	{"A fifth team is admitted", (*demoWorld).admitted},
	{"One steward holds a member", (*demoWorld).held},
	{"The stewards remove it", (*demoWorld).removed},
	{"Something leaves the room", (*demoWorld).reported},
	{"The room is closed", (*demoWorld).dissolved},
	{"A steward goes, and nobody can decide", (*demoWorld).orphaned},
	{"A stranger knocks", (*demoWorld).stranger},
	{"A team is blocked by all", (*demoWorld).blocked},
	{"A server is stolen, and comes back from its backup", (*demoWorld).stolen},
	{"The thief switches it on", (*demoWorld).thief},
	{"Everything stored is checked", (*demoWorld).checked},
	{"Who could read what", (*demoWorld).accounted},
	{"The nodes can be explored", (*demoWorld).explore},
}

// refusedBy is nil if err is a refusal by the rule.
func refusedBy(err error, rule string) error {
	var r *node.RefusedError
	switch {
	case err == nil:
		return errors.New("it was not refused")
	case !errors.As(err, &r):
		return err
	case r.Rule != rule:
		return fmt.Errorf("it was refused by the rule %s", r.Rule)
	}
	return nil
}

// holdsState is nil if t holds o in the state.
func (t *demoTeam) holdsState(o *demoTeam, want trust.State) error {
	info, err := t.knows(o)
	if err == nil && info.State != want {
		err = fmt.Errorf("%s holds %s as %s", t.name, o.name, info.State)
	}
	return err
}

func (t *demoTeam) lacksTeam(o *demoTeam) error {
	if _, err := t.knows(o); err == nil {
		return fmt.Errorf("%s knows %s", t.name, o.name)
	} else if !errors.Is(err, trust.ErrNoTeam) {
		return err
	}
	return nil
}

func (w *demoWorld) founded() error {
	for _, t := range w.teams {
		if err := t.found(); err != nil {
			return err
		}
		if err := t.join(w.ctx); err != nil {
			return err
		}
		digits, err := t.readsOut()
		if err != nil {
			return err
		}
		w.claim(trust.CheckFingerprint(t.id, digits), "%s %-12s  %s", t.country, t.name, digits)
	}
	return nil
}

func (w *demoWorld) tampered() error {
	a, b := w.teams[0], w.teams[1]
	intro, err := b.node.Introduction()
	if err != nil {
		return err
	}
	bad := slices.Clone(intro)
	i := len(bad) / 2
	for bad[i] == '\n' {
		i++
	}
	if bad[i] == 'A' {
		bad[i] = 'B'
	} else {
		bad[i] = 'A'
	}
	_, err = a.node.AddTeam(bad, demoOfficer)
	w.claim(refusedBy(err, "introduction"), "with one character of it changed, %s refuses it", a.name)
	w.claim(a.lacksTeam(b), "and nothing changed: it knows no %s", b.name)
	return nil
}

// introduced leaves out one thing: of the last team only the second and third hear by hand.
func (w *demoWorld) introduced() error {
	b, c, f := w.teams[1], w.teams[2], w.teams[5]
	hears := func(t, o *demoTeam) bool { return t != o && (o != f || t == b || t == c) }
	pairs := 0
	for _, t := range w.teams {
		for _, o := range w.teams {
			if !hears(t, o) {
				continue
			}
			if err := t.adds(o); err != nil {
				return fmt.Errorf("%s adds %s: %w", t.name, o.name, err)
			}
			if hears(o, t) {
				pairs++
			}
		}
	}
	w.claim(w.until(func() error {
		return w.each(w.teams, func(t *demoTeam) error {
			var errs []error
			for _, o := range w.teams {
				if hears(t, o) && hears(o, t) {
					errs = append(errs, t.connected(o))
				}
			}
			return errors.Join(errs...)
		})
	}), "the nodes of all %d pairs of teams that know each other are connected", pairs/2)
	w.claim(w.each(w.but(b, c, f), func(t *demoTeam) error {
		if t.lacksTeam(f) == nil {
			return nil
		}
		return t.holdsState(f, trust.Unknown)
	}), "%s has handed its introduction to %s and %s only; to the others it is unknown", f.name, b.name, c.name)
	return nil
}

func (w *demoWorld) verified() error {
	a, b := w.teams[0], w.teams[1]
	digits, err := b.readsOut()
	if err != nil {
		return err
	}
	last := len(digits) - 1
	wrong := digits[:last] + string('0'+(digits[last]-'0'+1)%10)
	w.claim(refusedBy(a.verifies(b, wrong), "fingerprint"), "with the last digit wrong, %s refuses", a.name)
	w.claim(a.holdsState(b, trust.Introduced), "and nothing changed: %s is introduced, as before", b.name)
	compared := 0
	for _, t := range w.teams {
		for _, o := range w.teams[:3] {
			if o == t || o == a && t == w.teams[5] {
				continue
			}
			if digits, err = o.readsOut(); err == nil {
				err = t.verifies(o, digits)
			}
			if err != nil {
				return fmt.Errorf("%s verifies %s: %w", t.name, o.name, err)
			}
			compared++
		}
	}
	w.claim(w.each(w.teams, func(t *demoTeam) error {
		return w.each(w.teams[1:3], func(o *demoTeam) error {
			return t.holdsState(o, trust.Verified)
		})
	}), "after %d calls with the right digits, every team has verified %s and %s", compared, b.name, w.teams[2].name)
	return nil
}

func (w *demoWorld) attested() error {
	b, c, f := w.teams[1], w.teams[2], w.teams[5]
	others := w.but(b, c, f)
	digits, err := f.readsOut()
	if err != nil {
		return err
	}
	// vouched is nil once all others know the team by the word of these, and by nothing else.
	vouched := func(state trust.State, by ...*demoTeam) func() error {
		return func() error {
			return w.each(others, func(t *demoTeam) error {
				info, err := t.knows(f)
				if err != nil {
					return err
				}
				if len(info.Attestors) != len(by) || info.State != state || !info.Added.IsZero() {
					return fmt.Errorf("%s holds %s as %s, by the word of %d", t.name, f.name, info.State, len(info.Attestors))
				}
				for _, o := range by {
					if !slices.Contains(info.Attestors, o.id) {
						return fmt.Errorf("%s did not hear it from %s", t.name, o.name)
					}
				}
				return nil
			})
		}
	}
	if err := b.verifies(f, digits); err != nil {
		return err
	}
	w.claim(w.until(vouched(trust.Unknown, b)), "%s attests %s: for the others the word of one is not enough", b.name, f.name)
	if err := c.verifies(f, digits); err != nil {
		return err
	}
	w.claim(w.until(vouched(trust.Introduced, b, c)), "%s attests it too: now the other three hold it as introduced, and nobody added it by hand", c.name)
	w.claim(w.until(func() error {
		return w.each(others, func(t *demoTeam) error { return errors.Join(t.connected(f), f.connected(t)) })
	}), "their nodes are connected to it")
	return nil
}

func (w *demoWorld) published() error {
	var slowest time.Duration
	for _, s := range []struct {
		from  int
		doc   demoDoc
		asked tlp.Label
		want  tlp.Label
	}{
		{0, demoFile("log4shell.csaf.json"), tlp.Unset, tlp.Clear},
		{1, demoFile("sunburst.misp.json"), tlp.Unset, tlp.Green},
		{2, demoFile("xz.stix.json"), tlp.Unset, tlp.Clear},
		{3, demoFile("notpetya.md"), tlp.Unset, tlp.Green},
		{5, demoFile("moveit.intelmq.jsonl"), tlp.Unset, tlp.Green},
		{5, demoImage(), tlp.Green, tlp.Green},
	} {
		from := w.teams[s.from]
		l, took, err := w.deliver(from, s.doc, node.Draft{Label: s.asked}, w.but(from))
		if l == nil {
			return err
		}
		slowest = max(slowest, took)
		if err == nil && l.label != s.want {
			err = fmt.Errorf("it went out as TLP:%s", l.label)
		}
		source := "the label is the document's own"
		if s.asked.Valid() {
			source = "the label was given by hand"
		}
		w.claim(err, "%s: %s from %s is at all five others, byte for byte, after %d ms; %s", l.label, l.doc.name, from.country, took.Milliseconds(), source)
	}
	w.say("           The slowest delivery took %d ms.", slowest.Milliseconds())
	return nil
}

func (w *demoWorld) labelled() error {
	a, d := w.teams[0], w.teams[3]
	before := w.stored()
	for _, c := range []struct {
		file  string
		asked tlp.Label
		rule  string
		says  string
	}{
		{"unmarked.txt", tlp.Unset, "unlabelled", "a file without a marking is refused"},
		{"notpetya.md", tlp.Clear, "label-loosened", "a GREEN file is refused as CLEAR: a label is never loosened"},
		{"victim.txt", tlp.Unset, "community-ceiling", "an AMBER file is refused for the community"},
		{"unmarked.txt", tlp.Red, "community-ceiling", "and so is what is called RED by hand"},
	} {
		_, err := a.send(w.ctx, demoFile(c.file), node.Draft{Label: c.asked})
		w.claim(refusedBy(err, c.rule), "%s (rule %s)", c.says, c.rule)
	}
	sent, err := d.send(w.ctx, demoFile("citrixbleed.txt"), node.Draft{Label: tlp.Green, DryRun: true})
	if err == nil && (sent.Label != tlp.Green || len(sent.Readers) != len(w.teams)-1) {
		err = fmt.Errorf("it would go out as TLP:%s to %d teams", sent.Label, len(sent.Readers))
	}
	w.claim(err, "a CLEAR file may go out as GREEN: a preview names the five teams that would read it")
	err = nil
	if after := w.stored(); after != before {
		err = fmt.Errorf("messages stored: %s before, %s after", before, after)
	}
	w.claim(err, "nothing of all this was stored anywhere")
	return nil
}

// stored counts the messages at each node.
func (w *demoWorld) stored() string {
	var counts []string
	for _, t := range w.teams {
		counts = append(counts, fmt.Sprint(t.node.LastN()))
	}
	return strings.Join(counts, " ")
}

func (w *demoWorld) searched() error {
	for _, q := range []struct{ what, query, file string }{
		{"vulnerability", "CVE-2021-44228", "log4shell.csaf.json"},
		{"address", "203.0.113.66", "moveit.intelmq.jsonl"},
		{"domain", "avsvmcloud[.]com", "sunburst.misp.json"},
		{"hash", "027CC450EF5F8C5F653329641EC1FED91F694E0D229928963B30F6B0D7D3A745", "notpetya.md"},
		{"hash", "cbeef92e67bf41ca9c015557d81f39adaba67ca9fb3574139754999030b83537", "xz.stix.json"},
	} {
		l := w.letter(q.file)
		w.claim(w.until(func() error {
			return w.each(w.teams, func(t *demoTeam) error {
				found, err := t.node.Search(q.query, 10)
				if err == nil && (len(found) != 1 || found[0].ID != l.id) {
					err = fmt.Errorf("%s finds %d messages", t.name, len(found))
				}
				return err
			})
		}), "the %s %s finds %s at all six, and nothing else", q.what, shorten(q.query, 20), q.file)
	}
	return nil
}

// letter returns the last letter of that file.
func (w *demoWorld) letter(file string) *demoLetter {
	for _, l := range slices.Backward(w.letters) {
		if l.doc.name == file {
			return l
		}
	}
	return nil
}
