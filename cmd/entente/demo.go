package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"

	"github.com/entente-network/entente/node/control"
)

var demoCmd = command{
	name: "demo", section: "Start",
	short: "a small world of six teams, to watch and to explore",
	long: `Six fictional teams with real nodes meet on this machine's loopback interface and tell a story: they verify
each other, publish documents about real incidents, refuse what rules forbid, go away and catch up; two of them sign an
agreement and exchange what nobody else may have; four form a closed room, admit a fifth team and remove it; a team is
blocked, a server lost to a thief. Every claim is checked when it is printed.

Then the nodes stay up, to be explored with the ordinary commands from another terminal, until Ctrl-C. With --once
the program ends after the story: with exit code 0 if every claim was true, else with 1.

The homes lie in a temporary directory that is removed at the end. With --home DIR they are made in DIR, which must
be empty, and are kept. Their keys are protected by a passphrase that everybody knows: use them for nothing else.`,
	example: `entente demo
entente demo --once`,
	setup: func(fs *flag.FlagSet, p *program) action {
		once := fs.Bool("once", false, "end after the story")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "demo"); err != nil {
				return err
			}
			return demo(ctx, p, *once)
		}
	},
}

func demo(ctx context.Context, p *program, once bool) (err error) {
	dir, remove, err := demoDir(p)
	if err != nil {
		return err
	}
	w := newDemoWorld(ctx, p.out, dir)
	defer func() { err = errors.Join(err, w.close(), remove()) }()
	w.say("Six fictional teams in one process, with real nodes on loopback. A ✓ stands before what was checked just then.")
	for _, s := range demoScenes {
		w.scene(s.title)
		if err := s.tell(w); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.claim(err, "the story can go on")
			return w.verdict()
		}
	}
	verdict := w.verdict()
	if once {
		return verdict
	}
	demoInvite(p, w)
	<-ctx.Done()
	p.sayf("entente: ending")
	return verdict
}

// demoDir returns where the homes go, and what removes them at the end. A home that is only the default is somebody's own.
func demoDir(p *program) (dir string, remove func() error, err error) {
	if p.home == p.defaultHome() {
		dir, err = os.MkdirTemp("", "entente-demo-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	if there, err := os.ReadDir(p.home); err == nil && len(there) > 0 {
		return "", nil, usagef("%s is not empty: the demo makes its homes in a directory of their own", p.home)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	return p.home, func() error { return nil }, os.MkdirAll(p.home, 0o700)
}

// demoInvite says how to look around. With --json it is no result, and goes to standard error.
func demoInvite(p *program, w *demoWorld) {
	line := func(format string, args ...any) {
		if p.json {
			p.sayf(format, args...)
			return
		}
		p.out.linef(format, args...)
	}
	line("\nThe six nodes stay up until Ctrl-C. Look around from another terminal:\n")
	for _, t := range w.teams {
		line("  %-2s  %-13s  --home %s", t.country, t.name, quoted(t.home))
	}
	line("\n  export ENTENTE_PASSPHRASE=%s   # of every officer, and of %s and %s\n", quoted(demoPassphrase), demoAuthor, demoReader)
	for _, cmd := range demoTour(w) {
		line("  entente %s", cmd)
	}
	_ = p.out.flush()
}

// demoTour returns commands that show what there is to see, without the program's name.
func demoTour(w *demoWorld) []string {
	a, b, e, f := w.teams[0], w.teams[1], w.teams[4], w.teams[5]
	var out []string
	for _, stop := range []struct {
		t   *demoTeam
		cmd string
	}{
		{a, "status"},
		{a, "team list"},
		{a, "inbox --limit 5"},
		{a, "search CVE-2023-34362"},
		{a, "agree list"},
		{f, "agree show " + w.agreed.Short() + " --text"},
		{a, "room list"},
		{b, "room show " + demoRoomName},
		{b, "show " + w.letter("source.md").id.Short() + " --as " + demoReader},
		{a, "receipts " + w.letter("source.md").id.Short()},
		{a, "audit log"},
		{a, "doctor " + quoted(e.name)},
		{a, "team unblock " + quoted(e.name)},
		{b, "watch"},
	} {
		out = append(out, "--home "+quoted(stop.t.home)+" "+stop.cmd)
	}
	return out
}

// explore opens the control sockets and asks each node over its own, as the ordinary commands do.
func (w *demoWorld) explore() error {
	for _, t := range w.teams {
		if t.server != nil {
			continue
		}
		if err := t.serve(); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	w.claim(w.each(w.teams, func(t *demoTeam) error {
		c, err := control.Dial(t.home)
		if err != nil {
			return err
		}
		defer c.Close()
		s, err := c.Status(w.ctx)
		if err != nil {
			return err
		}
		if s.Team.ID != t.id {
			return fmt.Errorf("the socket of %s answers for %s", t.name, s.Team.Name)
		}
		return nil
	}), "the ordinary commands reach all six nodes")
	return nil
}
