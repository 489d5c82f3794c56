package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// reaches are how far content may be taken out of the node.
var reaches = []string{"team", "constituents", "community", "public"}

var exportCmd = command{
	name: "export", section: "Care", args: "FILE",
	short: "write a bundle for carrying by hand, or a message for use outside",
	long: `With --to media: everything that the team named by --for may have of this node, sealed as on the network, for a team
that cannot be reached. The other side takes it in with entente import; what it has already does no harm. --for may be
left out while only one other team is known.

With --message: that message's content, for people or systems outside this node. --to says how far it is to go: team (your
own), constituents, community or public. What the label, an agreement or a charter forbids is refused (exit code 3), and
every export of what is stricter than GREEN is kept in the disclosure log.

What others said in a room is attributed as its charter says, or less: --attribute author, room (a member of the room, no
name) or none. Where the author is not to be named, content that names it is refused, and nothing that is printed does.`,
	example: `entente export /media/stick/for-cert-other.bundle --to media --for CERT-OTHER --since 30d
entente export advisory.json --message 3f2a9c1d7b --to constituents
entente export lesson.md --message 3f2a9c1d7b --to team --attribute none`,
	setup: func(fs *flag.FlagSet, p *program) action {
		to := fs.String("to", "", "`WHERE`: media, or for a message team, constituents, community or public")
		team := fs.String("for", "", "the `TEAM` that the bundle is for")
		since := fs.String("since", "", "only what this node has since `T`")
		message := fs.String("message", "", "the content of the message `ID`")
		attribute := fs.String("attribute", "", "of what was said in a room: `author`, room or none (default: as its charter asks)")
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the file to write"); err != nil {
				return err
			}
			switch {
			case *message != "" && !slices.Contains(reaches, *to):
				return usagef("--to %q: a message is exported to one of %s", *to, strings.Join(reaches, ", "))
			case *message != "" && (*team != "" || *since != ""):
				return usagef("--for and --since are of bundles, and --message is of one message")
			case *message == "" && *attribute != "":
				return usagef("--attribute is of one message: --message ID")
			case *message == "" && *to != "media":
				return usagef("--to %q: want media, or --message ID with one of %s", *to, strings.Join(reaches, ", "))
			}
			if *attribute != "" {
				if _, err := protocol.ParseAttribution(*attribute); err != nil {
					return usagef("--attribute: %v", err)
				}
			}
			if *message != "" {
				return p.withHome(func(c *control.Client, _ bool) error {
					return exportMessage(ctx, p, c, args[0], *message, *to, *attribute)
				})
			}
			var from time.Time
			if *since != "" {
				var err error
				if from, err = parseSince(*since, time.Now()); err != nil {
					return err
				}
			}
			return p.withHome(func(c *control.Client, _ bool) error { return exportBundle(ctx, p, c, args[0], *team, from) })
		}
	},
}

func exportMessage(ctx context.Context, p *program, c *control.Client, file, id, reach, attribution string) error {
	m, err := c.Message(ctx, id)
	if err != nil {
		return err
	}
	if attribution, err = attributionOf(ctx, c, m, attribution); err != nil {
		return err
	}
	err = writeFile(file, 0o600, func(w io.Writer) error { return c.ExportMessage(ctx, m.ID, reach, attribution, w) })
	if err != nil {
		return err
	}
	if hidesAuthor(m, attribution) {
		return printUnattributed(p, m, file, reach, attribution)
	}
	if p.json {
		return p.out.object(map[string]any{"file": file, "id": m.ID, "tlp": m.TLP, "to": reach})
	}
	p.out.linef("%s  TLP:%s  for %s  %s", m.ID.Short(), m.TLP, reach, plainLine(file))
	return nil
}

func exportBundle(ctx context.Context, p *program, c *control.Client, file, team string, since time.Time) error {
	if team == "" {
		var err error
		if team, err = onlyTeam(ctx, c); err != nil {
			return err
		}
	}
	var r *control.BundleReport
	bar := p.progress("writing bytes", 0)
	err := writeFile(file, 0o600, func(w io.Writer) (err error) {
		defer bar.clear()
		r, err = c.ExportBundle(ctx, team, since, io.MultiWriter(w, &countedWriter{step: bar.step}))
		return err
	})
	if err != nil {
		return err
	}
	if p.json {
		return p.out.object(r)
	}
	p.out.linef("%s: %s", plainLine(file), bundleText(r))
	p.sayf("entente: the other side takes it in with: entente import FILE")
	return nil
}

// onlyTeam returns the other team, if there is but one.
func onlyTeam(ctx context.Context, c *control.Client) (string, error) {
	var others []string
	err := c.Teams(ctx, func(t control.Team) error {
		if !t.Self {
			others = append(others, t.ID.String())
		}
		return nil
	})
	if err == nil && len(others) != 1 {
		err = usagef("--for is missing: a bundle is sealed to one team, and %d others are known", len(others))
	}
	return strings.Join(others, ""), err
}

// bundleText says in words what a bundle held.
func bundleText(r *control.BundleReport) string {
	return fmt.Sprintf("%s, %s, %s, %s", plural(r.Records, "identity record", "identity records"), plural(r.Parcels, "message", "messages"),
		plural(r.Blobs, "attachment", "attachments"), size(r.Bytes))
}

var importCmd = command{
	name: "import", section: "Care", args: "FILE",
	short: "take in a bundle that was carried by hand",
	long: `Everything in it is checked as if it came over the network: signatures, the chain of each feed, labels and audiences.
What is here already is passed over. What is damaged is refused, and does not stop the rest.`,
	example: `entente import /media/stick/for-cert-example.bundle`,
	setup: func(fs *flag.FlagSet, p *program) action {
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the bundle"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return importBundle(ctx, p, c, args[0]) })
		}
	},
}

func importBundle(ctx context.Context, p *program, c *control.Client, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", file)
	}
	in := io.Reader(f)
	if fi.Size() >= showsProgress {
		bar := p.bytesProgress("reading "+plainLine(file), fi.Size())
		defer bar.clear()
		in = io.TeeReader(f, &countedWriter{step: bar.step})
	}
	r, err := c.ImportBundle(ctx, in, fi.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if p.json {
		err = p.out.object(r)
	} else {
		p.out.linef("%s is from %s: %s", plainLine(file), plainLine(r.Team.Name), bundleText(r))
		switch {
		case r.Parcels == 0:
		case r.New == 0 && r.Waiting == 0 && r.Refused == 0:
			p.out.linef("all of it was here already")
		default:
			p.out.linef("%s taken in", plural(r.New, "message was", "messages were"))
		}
		if r.Waiting > 0 {
			p.out.linef("%s not taken in: something else has to come first, such as a signature; import the bundle again then, or let the node fetch them",
				plural(r.Waiting, "message was", "messages were"))
		}
	}
	if err == nil && r.Refused > 0 {
		err = &partial{fmt.Sprintf("%s refused: not what they should be", plural(r.Refused, "part was", "parts were")), exitFailed}
	}
	return err
}
