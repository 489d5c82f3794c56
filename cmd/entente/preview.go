package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// announce shows who will be able to read, before anything is sent, and waits for a yes where one is wanted. Programs get
// the readers with each result.
func announce(ctx context.Context, p *program, c *control.Client, files []*outgoing, d control.Draft, yes bool) error {
	if p.json {
		return nil
	}
	if d.To == "community" && len(files) > 1 {
		v, err := c.Preview(ctx, d)
		if err != nil {
			return err
		}
		printPreview(p, v, 0)
		return nil
	}
	groups, err := previews(ctx, p, c, files, d)
	if err != nil {
		return err
	}
	room, err := caution(ctx, p, c, d)
	if err != nil {
		return err
	}
	strictest := tlp.Unset
	for _, g := range groups {
		n := g.files
		if len(files) == 1 {
			n = 0
		}
		printPreview(p, g.sent, n)
		strictest = max(strictest, *g.sent.TLP)
	}
	if d.DryRun || strictest <= tlp.Green {
		return nil
	}
	if err := p.confirm("Send it?", "nothing was sent", yes); err != nil {
		return err
	}
	if room != nil && p.attended() {
		_ = c.RoomSeen(ctx, room.ID) // only what is news the next time depends on it
	}
	return nil
}

// nothingShown fits no preview: a file of which nobody saw the readers is not sent, should it be permitted a moment later.
var nothingShown = protocol.Sum("entente/no-preview")

// A previewGroup is a number of files that the same readers will be able to read.
type previewGroup struct {
	sent  *control.Sent
	files int
}

// previews asks for each file what would become of it. A file that would be refused is left out: it is refused in its turn,
// which the disclosure log keeps.
func previews(ctx context.Context, p *program, c *control.Client, files []*outgoing, d control.Draft) ([]*previewGroup, error) {
	asked := d.DryRun
	d.DryRun = true
	var groups []*previewGroup
	at := map[string]*previewGroup{}
	for _, f := range files {
		v, err := f.send(ctx, p, c, d)
		switch {
		case err != nil && len(files) == 1 && (asked || exitCode(err) != exitRefused):
			return nil, fmt.Errorf("%s: %w", f.name, err)
		case errors.Is(err, control.ErrNotRunning) || ctx.Err() != nil:
			return nil, err
		case err != nil || v.TLP == nil:
			f.agreed = nothingShown
			continue
		}
		if v.Digest != nil {
			f.agreed = *v.Digest
		}
		key := fmt.Sprint(*v.TLP, v.Readers, v.Persons, v.Notes)
		if g, ok := at[key]; ok {
			g.files++
			continue
		}
		at[key] = &previewGroup{sent: v, files: 1}
		groups = append(groups, at[key])
	}
	return groups, nil
}

// printPreview says on standard error who will be able to read; with files above 0, of how many files.
func printPreview(p *program, v *control.Sent, files int) {
	this := "this"
	if files > 0 {
		this = plural(files, "file", "files")
	}
	teams := byTeam(v.Readers)
	self := slices.IndexFunc(teams, func(t readerTeam) bool { return t.self })
	if self >= 0 {
		teams = slices.Delete(teams, self, self+1)
	}
	restricted := v.Audience.Kind != "community"
	switch {
	case len(teams) == 0:
		p.sayf("entente: nobody will be able to read %s yet: no team of the audience is known", this)
		return
	case len(v.Persons) > 0:
		p.sayf("entente: TLP:RED: %s alone will be able to read %s, with a passphrase or token of their own:",
			plural(len(v.Persons), "person", "persons"), this)
		for _, q := range v.Persons {
			p.sayf("  %s of %s", plainLine(q.Name), plainLine(q.TeamName))
		}
		p.sayf("entente: %s will keep it for them, and cannot read it:", plural(len(teams), "team", "teams"))
	case restricted:
		label := "?"
		if v.TLP != nil {
			label = v.TLP.String()
		}
		p.sayf("entente: TLP:%s: %s, and nobody else, will be able to read %s:", label, plural(len(teams), "team", "teams"), this)
	default:
		p.sayf("entente: %s will be able to read %s:", plural(len(teams), "team", "teams"), this)
	}
	const most = 20
	for i, t := range teams {
		if i == most && len(teams) > most+1 {
			p.sayf("  … and %d more; all of them with --json or entente %s", len(teams)-most, map[bool]string{true: "room show", false: "team list"}[v.Audience.Kind == "room"])
			break
		}
		away := ""
		switch {
		case !restricted:
		case t.connected == 0:
			away = ", not connected: it gets this when it comes back"
		default:
			away = fmt.Sprintf(", %d connected", t.connected)
		}
		p.sayf("  %s (%s%s)", plainLine(t.name), plural(t.nodes, "node", "nodes"), away)
	}
	notes := v.Notes
	if len(notes) == 0 && v.Note != "" {
		notes = []string{v.Note}
	}
	for _, n := range notes {
		p.sayf("entente: %s", plainLine(n))
	}
}

type readerTeam struct {
	name             string
	nodes, connected int
	self             bool
}

// byTeam counts the nodes of each team that can read, in the order given.
func byTeam(rs []control.Reader) []readerTeam {
	var out []readerTeam
	at := map[protocol.TeamID]int{}
	for _, r := range rs {
		i, ok := at[r.Team]
		if !ok {
			i = len(out)
			at[r.Team] = i
			out = append(out, readerTeam{name: r.Name, self: r.Self})
		}
		out[i].nodes++
		if r.Connected {
			out[i].connected++
		}
	}
	return out
}

// personNames names persons in one line.
func personNames(ps []control.Person) string {
	if len(ps) == 0 {
		return "persons"
	}
	var names []string
	for i, q := range ps {
		if i == 3 && len(ps) > 4 {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more", len(ps)-i)
		}
		names = append(names, q.Name)
	}
	return strings.Join(names, ", ")
}

// attended reports whether a person sees what is written to standard error.
func (p *program) attended() bool {
	f, ok := p.stderr.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && !p.json
}

// confirm waits for a yes, if a person is at the terminal and did not say it already. Scripts go on.
func (p *program) confirm(question, otherwise string, yes bool) error {
	if yes || !p.attended() {
		return nil
	}
	answer, err := p.ask(question + " [y/N] ")
	switch {
	case errors.Is(err, errNoTerminal):
		return nil
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return &partial{otherwise, exitFailed}
	}
	return nil
}
