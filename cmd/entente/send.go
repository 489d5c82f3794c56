package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	short: "send files under their TLP label, to exactly whom you name",
	long: `Each file becomes a message, byte for byte; a folder stands for all files in it. - is standard input.

AUDIENCE is one of
  community                the teams that yours knows as introduced or verified, for CLEAR and GREEN
  team:TEAM[,TEAM…]        these teams and nobody else; RED goes to their operators
  person:TEAM/NAME[,…]     these operators and nobody else; RED only
  agreement:AGREEMENT      the other party of an agreement, named by its id or by the partner
  room:ROOM                the members of a room, as your node knows them at this moment; never RED

Without --tlp the label is the file's own strictest marking; a file without one is refused. With --tlp the
file's label may be tightened, never loosened. --from-message names a message that this one is derived from:
then it is at least as strict as that one.

Before anything is sent you see who will be able to read it. On a terminal, what is stricter than GREEN waits
for your yes. A file that is refused does not stop the others; the exit code is that of the worst.`,
	example: `entente send advisory.json --to community
entente send note.md --to community --tlp GREEN --urgent
entente send case.md --to agreement:CERT-OTHER
entente send case.md --to "room:Northern ring"
entente send names.md --to "person:CERT-OTHER/Bo Example" --tlp RED --as Ada
entente send reports/ --to team:CERT-OTHER,CERT-THIRD --dry-run`,
	setup: func(fs *flag.FlagSet, p *program) action {
		var d control.Draft
		fs.StringVar(&d.To, "to", "", "`AUDIENCE`: community, team:TEAM, person:TEAM/NAME, agreement:AGREEMENT or room:ROOM")
		m := manner(fs, &d)
		var from list
		fs.Var(&from, "from-message", "it is derived from the message `ID`; may be repeated")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, -1, "the file to send"); err != nil {
				return err
			}
			if d.To == "" {
				return usagef("--to is missing: whom is it for? --to community, or see: entente help send")
			}
			if err := m.label(&d); err != nil {
				return err
			}
			files, err := expand(args)
			if err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				for _, id := range from {
					src, err := c.Message(ctx, id)
					if err != nil {
						return fmt.Errorf("--from-message: %w", err)
					}
					d.Sources = append(d.Sources, src.ID)
				}
				return sendFiles(ctx, p, c, files, d, m.yes)
			})
		}
	},
}

// mannerFlags are the flags of all commands that send.
type mannerFlags struct {
	tlp string
	yes bool
}

func manner(fs *flag.FlagSet, d *control.Draft) *mannerFlags {
	var m mannerFlags
	fs.StringVar(&m.tlp, "tlp", "", "`LABEL`: CLEAR, GREEN, AMBER, AMBER+STRICT or RED; never wider than the file's own")
	fs.BoolVar(&d.Urgent, "urgent", false, "deliver before other messages")
	fs.StringVar(&d.As, "as", "", "of RED: your team's operator `NAME` can read it back")
	fs.BoolVar(&d.DryRun, "dry-run", false, "say what would be sent and who could read it, and send nothing")
	fs.BoolVar(&m.yes, "yes", false, "do not ask on the terminal")
	return &m
}

// label reads --tlp.
func (m *mannerFlags) label(d *control.Draft) error {
	if m.tlp == "" {
		return nil
	}
	l, err := tlp.Parse(m.tlp)
	if err != nil {
		return usagef("--tlp: %v", err)
	}
	d.Label = l
	return nil
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
func sendFiles(ctx context.Context, p *program, c *control.Client, names []string, d control.Draft, yes bool) error {
	files := make([]*outgoing, len(names))
	for i, n := range names {
		files[i] = &outgoing{name: n}
	}
	return sendOutgoing(ctx, p, c, files, d, yes)
}

func sendOutgoing(ctx context.Context, p *program, c *control.Client, files []*outgoing, d control.Draft, yes bool) error {
	if err := announce(ctx, p, c, files, d, yes); err != nil {
		return err
	}
	bar := p.progress("sending", len(files))
	failed, worst := 0, exitDone
	var failure error
	for i, f := range files {
		sent, err := f.send(ctx, p, c, d)
		if ctx.Err() != nil {
			bar.clear()
			return &partial{fmt.Sprintf("interrupted after %d of %d files", i, len(files)), exitFailed}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", f.name, err)
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
			if err := printSent(p, sent, f.name, len(files) == 1); err != nil {
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

// An outgoing is one file to be sent. Standard input is held, because it is read several times.
type outgoing struct {
	name   string // as given; - is standard input
	held   []byte
	agreed protocol.Hash // names the readers that were shown; zero: none were
}

// open returns the file's bytes from their beginning, its base name and its size.
func (f *outgoing) open(p *program) (content io.ReadSeekCloser, base string, n int64, err error) {
	if f.name == "-" {
		if f.held == nil {
			if f.held, err = readAtMost(p.stdin, maxStdin); err != nil {
				return nil, "", 0, withHint(err, "put it into a file")
			}
		}
		return memoryFile{bytes.NewReader(f.held)}, "", int64(len(f.held)), nil
	}
	file, err := os.Open(f.name)
	if err != nil {
		return nil, "", 0, err
	}
	fi, err := file.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		file.Close()
		return nil, "", 0, err
	}
	return file, filepath.Base(f.name), fi.Size(), nil
}

type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

// send sends the file as one message, or with d.DryRun asks what would become of it.
func (f *outgoing) send(ctx context.Context, p *program, c *control.Client, d control.Draft) (*control.Sent, error) {
	r, base, n, err := f.open(p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if d.Name = base; !d.DryRun {
		d.Expect = f.agreed
	}
	if d.DryRun || n < showsProgress {
		return c.Send(ctx, d, r)
	}
	bar := p.bytesProgress("sending "+plainLine(base), n)
	defer bar.clear()
	return c.Send(ctx, d, &countedReader{ReadSeeker: r, step: bar.step})
}

// countedReader tells how far its reader was read for the second time: the first is for the hash, and quick.
type countedReader struct {
	io.ReadSeeker
	again bool
	at    int64
	step  func(int)
}

func (r *countedReader) Read(b []byte) (int, error) {
	n, err := r.ReadSeeker.Read(b)
	if r.at += int64(n); r.again {
		r.step(int(r.at))
	}
	return n, err
}

func (r *countedReader) Seek(offset int64, whence int) (int64, error) {
	at, err := r.ReadSeeker.Seek(offset, whence)
	r.again, r.at = true, at
	return at, err
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
