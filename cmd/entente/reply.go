package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/content"
	"github.com/entente-network/entente/protocol/tlp"
)

var correctCmd = command{
	name: "correct", section: "Messages", args: "ID FILE",
	short: "replace a message of this team by a corrected one",
	long: `The correction is a message of its own that names the one it replaces; whoever holds the old one sees that.
It goes to the same audience, and its label may not be wider than the old one's.`,
	example: `entente correct 3f2a9c1d7b advisory-v2.json`,
	setup: func(fs *flag.FlagSet, p *program) action {
		var d control.Draft
		flags := manner(fs, &d)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 2, 2, "the id of the message, and the file"); err != nil {
				return err
			}
			if err := flags.label(&d); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				m, err := c.Message(ctx, args[0])
				if err != nil {
					return err
				}
				d.To, d.Supersedes = m.To, m.ID
				return sendFiles(ctx, p, c, args[1:], d, flags.yes)
			})
		}
	},
}

var replyCmd = command{
	name: "reply", section: "Messages", args: "ID FILE",
	short: "answer a message, to its author alone where it was restricted",
	long: `The answer names the message that it is about. It goes to the author of that one, under the same agreement if
there was one; what was for the community is answered there. RED is answered to the author's persons among
those who can read it, or to all operators of the author if there are none.

Without --tlp the label is the file's own or, where the file has none, that of the message.`,
	example: `entente reply 3f2a9c1d7b answer.md`,
	setup: func(fs *flag.FlagSet, p *program) action {
		var d control.Draft
		flags := manner(fs, &d)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 2, 2, "the id of the message, and the file"); err != nil {
				return err
			}
			if err := flags.label(&d); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error { return reply(ctx, p, c, args[0], args[1], d, flags.yes) })
		}
	},
}

func reply(ctx context.Context, p *program, c *control.Client, id, name string, d control.Draft, yes bool) error {
	m, err := c.Message(ctx, id)
	if err != nil {
		return err
	}
	f := &outgoing{name: name}
	if d.Label == tlp.Unset {
		marked, err := f.marked(p)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !marked {
			d.Label = m.TLP
		}
	}
	d.Refs = append(d.Refs, m.ID)
	d.To = backTo(m)
	return sendOutgoing(ctx, p, c, []*outgoing{f}, d, yes)
}

// backTo returns the audience of an answer.
func backTo(m *control.Message) string {
	switch m.Audience.Kind {
	case "person":
		var ps []string
		for _, q := range m.Persons {
			if q.Team == m.Author.ID {
				ps = append(ps, q.Team.String()+"/"+q.Name)
			}
		}
		if len(ps) > 0 && !m.Own {
			return "person:" + strings.Join(ps, ",")
		}
	case "team":
	default: // the community, an agreement: both have the same name for either side
		return m.To
	}
	if m.Own { // a word more to the same readers
		return m.To
	}
	return "team:" + m.Author.ID.String()
}

// marked reports whether the file has a TLP marking of its own. What cannot be read for certain counts as marked: the node
// refuses it.
func (f *outgoing) marked(p *program) (bool, error) {
	r, base, _, err := f.open(p)
	if err != nil {
		return false, err
	}
	defer r.Close()
	info, err := content.Read(r, base, nil)
	return err != nil || info.Label != tlp.Unset, nil
}
