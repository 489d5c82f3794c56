package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
)

// day prints a time for people where the day is what counts.
func day(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

// maxNamed bounds how many teams a prompt names.
const maxNamed = 40

// teamList names teams in one line.
func teamList(ts []control.TeamRef) string {
	var out []string
	for i, t := range ts {
		if i == maxNamed && len(ts) > maxNamed+1 {
			return strings.Join(out, ", ") + fmt.Sprintf(" and %d more", len(ts)-i)
		}
		out = append(out, plainLine(t.Name))
	}
	return strings.Join(out, ", ")
}

// readersOf returns the other teams that read what is said in a room now.
func readersOf(r *control.Room) []control.TeamRef {
	var out []control.TeamRef
	for _, t := range r.Readers {
		if !t.Self {
			out = append(out, control.TeamRef{ID: t.Team, Name: t.Name})
		}
	}
	return out
}

// briefing is what a person sees of a room before they sign or say something in it: who reads now, who came and went since
// somebody of this team looked, what waits, and what is about to go wrong.
func briefing(r *control.Room) []string {
	version := ""
	if r.Version > 0 {
		version = fmt.Sprintf(", version %d of its charter", r.Version)
	}
	out := []string{fmt.Sprintf("room %s (%s) is %s%s", plainLine(r.Name), r.ID.Short(), plainLine(r.State), version)}
	if r.Why != "" {
		out = append(out, "  "+plainLine(r.Why))
	}
	switch rs := readersOf(r); {
	case len(rs) > 0:
		out = append(out, fmt.Sprintf("who reads what is said in it now, beside your team: %s", teamList(rs)))
	case r.State == "open" || r.State == "quorum-lost":
		out = append(out, "nobody but your team reads what is said in it now")
	}
	for _, u := range r.Unreached {
		out = append(out, fmt.Sprintf("not %s, for now: %s", plainLine(u.Name), plainLine(u.Why)))
	}
	out = append(out, news(r)...)
	for _, p := range r.Proposals {
		if p.Kind != "founding" {
			out = append(out, "waits for votes: "+proposalText(p))
		}
	}
	return append(out, warnings(r)...)
}

// warnings are those that are not said better by what waits.
func warnings(r *control.Room) (out []string) {
	for _, w := range r.Warnings {
		if !strings.HasSuffix(w, "wait for our vote") {
			out = append(out, "warning: "+plainLine(w))
		}
	}
	return out
}

// news says who came and went since somebody of this team last looked.
func news(r *control.Room) (out []string) {
	since := "since your team last looked"
	if r.Looked != nil {
		since += " on " + day(r.Looked)
	}
	if len(r.Joined) > 0 {
		out = append(out, fmt.Sprintf("joined %s: %s", since, teamList(r.Joined)))
	}
	if len(r.Gone) > 0 {
		out = append(out, fmt.Sprintf("out %s: %s", since, teamList(r.Gone)))
	}
	return out
}

// proposalText describes a proposal in one line.
func proposalText(p control.RoomProposal) string {
	s := p.Kind
	switch {
	case p.Kind == "charter":
		s = "a new charter"
	case p.Name != "":
		s += " of " + plainLine(p.Name)
	}
	s += fmt.Sprintf(" (%s), %d of %d votes", p.ID.Short(), p.Votes, p.Needed)
	if len(p.Adopted) > 0 {
		s += fmt.Sprintf(", adopted by %d", len(p.Adopted))
	}
	if p.Opens != nil && p.Opens.After(time.Now()) {
		s += ", open to objections until " + day(p.Opens)
	}
	if len(p.Objected) > 0 {
		s += ", objected to by " + teamList(p.Objected)
	}
	if p.Reason != "" {
		s += ": " + plainLine(p.Reason)
	}
	return s
}

// caution says, before something is said in a room, what a person should know beside who reads it; of another audience nothing.
func caution(ctx context.Context, p *program, c *control.Client, d control.Draft) (*control.Room, error) {
	query, ok := strings.CutPrefix(d.To, "room:")
	if !ok {
		return nil, nil
	}
	r, err := c.Room(ctx, query)
	if err != nil {
		return nil, err
	}
	for _, l := range cautions(r) {
		p.sayf("entente: %s", l)
	}
	return r, nil
}

// cautions is what may go wrong where something is said in a room now.
func cautions(r *control.Room) []string {
	out := news(r)
	for _, u := range r.Unreached {
		out = append(out, fmt.Sprintf("%s will not be able to read it, for now: %s", plainLine(u.Name), plainLine(u.Why)))
	}
	for _, q := range r.Proposals {
		if q.Mine {
			out = append(out, "waits for your vote: "+proposalText(q))
		}
	}
	return append(out, warnings(r)...)
}
