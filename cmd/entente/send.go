package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// maxStdin bounds what is read from standard input, which is held in memory: plain content is written to no other file.
const maxStdin = 64 << 20

var sendCmd = command{
	name: "send", section: "Messages", args: "FILE…",
	short: "publish files under their TLP label",
	long: `Each file becomes a message, byte for byte; a folder stands for all files in it. - is standard input.

Without --tlp the label is the file's own strictest marking; a file without one is refused. With --tlp the
file's label may be tightened, never loosened. The audience is "community": the teams that yours knows as
introduced or verified, for CLEAR and GREEN. Before anything is sent, the readers are shown.

A file that is refused does not stop the others; the exit code is that of the worst.`,
	example: `entente send advisory.json --to community
entente send note.md --to community --tlp GREEN --urgent
entente send reports/ --to community --dry-run`,
	setup: func(fs *flag.FlagSet, p *program) action {
		var d control.Draft
		fs.StringVar(&d.To, "to", "", "`AUDIENCE`: community")
		label := fs.String("tlp", "", "`LABEL`: CLEAR, GREEN, AMBER, AMBER+STRICT or RED; never wider than the file's own")
		fs.BoolVar(&d.Urgent, "urgent", false, "deliver before other messages")
		fs.BoolVar(&d.DryRun, "dry-run", false, "say what would be sent and who could read it, and send nothing")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, -1, "the file to send"); err != nil {
				return err
			}
			if d.To == "" {
				return usagef("--to is missing: whom is it for? --to community")
			}
			if *label != "" {
				l, err := tlp.Parse(*label)
				if err != nil {
					return usagef("--tlp: %v", err)
				}
				d.Label = l
			}
			files, err := expand(args)
			if err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error { return sendFiles(ctx, p, c, files, d) })
		}
	},
}

// expand replaces folders by the regular files in them, in order. Hidden files are left out.
func expand(args []string) ([]string, error) {
	var files []string
	for _, a := range args {
		fi, err := os.Stat(a)
		if a == "-" || err == nil && !fi.IsDir() {
			files = append(files, a)
			continue
		}
		if err != nil {
			files = append(files, a) // reported when its turn comes
			continue
		}
		before := len(files)
		err = filepath.WalkDir(a, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case path != a && strings.HasPrefix(e.Name(), "."):
				if e.IsDir() {
					return filepath.SkipDir
				}
			case e.Type().IsRegular():
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, usagef("the folder %s holds no file", a)
		}
	}
	return files, nil
}

// sendFiles sends one message for each file. It goes on after a failure and returns the worst.
func sendFiles(ctx context.Context, p *program, c *control.Client, files []string, d control.Draft) error {
	if err := announce(ctx, p, c, d); err != nil {
		return err
	}
	bar := p.progress("sending", len(files))
	failed, worst := 0, exitDone
	var failure error
	for i, name := range files {
		sent, err := sendFile(ctx, p, c, name, d)
		if ctx.Err() != nil {
			bar.clear()
			return &partial{fmt.Sprintf("interrupted after %d of %d files", i, len(files)), exitFailed}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			if len(files) == 1 {
				return err
			}
			bar.clear()
			p.complain(err)
			failed++
			if code := exitCode(err); failure == nil || severity(code) > severity(worst) {
				worst, failure = code, err
			}
		} else {
			bar.clear()
			if err := printSent(p, sent, name, len(files) == 1); err != nil {
				return err
			}
		}
		if len(files) > 1 {
			bar.step(i + 1)
		}
		if errors.Is(failure, control.ErrNotRunning) {
			return failure
		}
	}
	bar.clear()
	if failed > 0 {
		return &partial{fmt.Sprintf("%d of %s not sent", failed, plural(len(files), "file was", "files were")), worst}
	}
	return nil
}

// severity orders exit codes, the worst last.
func severity(code int) int {
	return slices.Index([]int{exitDone, exitUsage, exitRefused, exitFailed, exitNoNode}, code)
}

// announce shows who will be able to read, before anything is sent.
func announce(ctx context.Context, p *program, c *control.Client, d control.Draft) error {
	v, err := c.Preview(ctx, d)
	if err != nil {
		return err
	}
	if p.json {
		return nil // programs get the readers with each result
	}
	teams := byTeam(v.Readers)
	if len(teams) == 0 {
		p.sayf("entente: nobody will be able to read this yet: no team of the audience is known")
		return nil
	}
	p.sayf("entente: %s will be able to read this:", plural(len(teams), "team", "teams"))
	const most = 20
	for i, t := range teams {
		if i == most && len(teams) > most+1 {
			p.sayf("  … and %d more; all of them with --json or entente team list", len(teams)-most)
			break
		}
		p.sayf("  %s (%s)", plainLine(t.name), plural(t.nodes, "node", "nodes"))
	}
	if v.Note != "" {
		p.sayf("entente: %s", plainLine(v.Note))
	}
	return nil
}

type readerTeam struct {
	name  string
	nodes int
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
			out = append(out, readerTeam{name: r.Name})
		}
		out[i].nodes++
	}
	return out
}

func sendFile(ctx context.Context, p *program, c *control.Client, name string, d control.Draft) (*control.Sent, error) {
	if name == "-" {
		b, err := readAtMost(p.stdin, maxStdin)
		if err != nil {
			return nil, withHint(err, "put it into a file")
		}
		return c.Send(ctx, d, bytes.NewReader(b))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	d.Name = filepath.Base(name)
	return c.Send(ctx, d, f)
}

func printSent(p *program, s *control.Sent, name string, alone bool) error {
	if p.json {
		return p.out.object(s)
	}
	what := "sent"
	id := "-"
	if s.DryRun {
		what = "would be sent"
	}
	if s.ID != nil {
		id = s.ID.String()
		if !alone {
			id = s.ID.Short()
		}
	}
	label := "?"
	if s.TLP != nil {
		label = s.TLP.String()
	}
	p.out.linef("%s  %s  TLP:%s  to %s  %s", id, what, label, plainLine(s.Audience.Name), plainLine(name))
	return p.out.flush()
}

var correctCmd = command{
	name: "correct", section: "Messages", args: "ID FILE",
	short: "replace a message of this team by a corrected one",
	long: `The correction is a message of its own that names the one it replaces; whoever holds the old one sees that.
It goes to the same audience, and its label may not be wider than the old one's.`,
	example: `entente correct 3f2a9c1d7b advisory-v2.json`,
	setup: func(fs *flag.FlagSet, p *program) action {
		var d control.Draft
		label := fs.String("tlp", "", "`LABEL`, if the file has none or a wider one")
		fs.BoolVar(&d.Urgent, "urgent", false, "deliver before other messages")
		fs.BoolVar(&d.DryRun, "dry-run", false, "say what would be sent and who could read it, and send nothing")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 2, 2, "the id of the message, and the file"); err != nil {
				return err
			}
			if *label != "" {
				l, err := tlp.Parse(*label)
				if err != nil {
					return usagef("--tlp: %v", err)
				}
				d.Label = l
			}
			return p.withNode(func(c *control.Client) error {
				m, err := c.Message(ctx, args[0])
				if err != nil {
					return err
				}
				d.To, d.Supersedes = m.Audience.Kind, m.ID
				return sendFiles(ctx, p, c, args[1:], d)
			})
		}
	},
}
