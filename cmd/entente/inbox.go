package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/tlp"
)

var inboxCmd = command{
	name: "inbox", section: "Messages",
	short: "the messages here, the newest last",
	long: `T is a time (2026-03-01T12:00:00Z or 2026-03-01) or a span before now, such as 90m, 12h or 7d. It is compared
with when a message arrived here.`,
	example: `entente inbox
entente inbox --from CERT-OTHER --since 7d --tlp GREEN
entente inbox --limit 0 --json`,
	setup: func(fs *flag.FlagSet, p *program) action {
		label := fs.String("tlp", "", "only messages with this `LABEL`")
		from := fs.String("from", "", "only messages of this `TEAM`")
		since := fs.String("since", "", "only messages that arrived since `T`")
		limit := fs.Int("limit", 50, "the newest `N` only; 0: all")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "inbox"); err != nil {
				return err
			}
			q := control.Query{From: *from, Limit: *limit}
			if *limit < 0 {
				return usagef("--limit %d: want a number of messages, or 0 for all", *limit)
			}
			if *label != "" {
				l, err := tlp.Parse(*label)
				if err != nil {
					return usagef("--tlp: %v", err)
				}
				q.Label = l
			}
			if *since != "" {
				t, err := parseSince(*since, time.Now())
				if err != nil {
					return err
				}
				q.Since = t
			}
			return p.withNode(func(c *control.Client) error {
				l := messageList{p: p}
				if err := c.Inbox(ctx, q, l.add); err != nil {
					return err
				}
				l.print()
				return nil
			})
		}
	},
}

// parseSince reads a time, or a span before now.
func parseSince(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.Atoi(n); err == nil && days >= 0 && days < 100_000 {
			return now.AddDate(0, 0, -days), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usagef("--since %q: want a time such as 2026-03-01T12:00:00Z, a date, or a span such as 12h or 7d", s)
}

// messageList prints messages: as JSON at once, for people as a table at the end.
type messageList struct {
	p  *program
	ms []control.Message
}

func (l *messageList) add(m control.Message) error {
	if l.p.json {
		return l.p.out.object(m)
	}
	l.ms = append(l.ms, m)
	return nil
}

func (l *messageList) print() {
	if l.p.json || len(l.ms) == 0 {
		return
	}
	var ids []string
	for _, m := range l.ms {
		ids = append(ids, m.ID.String())
	}
	short := shortIDs(ids)
	var t table
	t.add("ID", "RECEIVED", "FROM", "TLP", "TO", "TITLE")
	for _, m := range l.ms {
		t.add(short[m.ID.String()], stamp(m.Received), shorten(m.Author.Name, 30), m.TLP.String(), shorten(audienceOf(m.Audience), 30), titleOf(m))
	}
	t.print(l.p.out)
}

// audienceOf returns what a list shows of an audience.
func audienceOf(a control.Audience) string {
	if a.Kind == "agreement" {
		return "agreement with " + a.Name
	}
	if a.Kind == "room" {
		return "room " + a.Name
	}
	return a.Name
}

// titleOf returns what a list shows of a message: marks for what one must know at once, and the title.
func titleOf(m control.Message) string {
	var b strings.Builder
	if m.Urgent {
		b.WriteString("URGENT ")
	}
	if m.Kind == "correction" {
		b.WriteString("(correction) ")
	}
	if m.SupersededBy != nil {
		b.WriteString("(corrected) ")
	}
	if !m.Complete {
		b.WriteString("(arriving) ")
	}
	switch {
	case m.Title == nil && m.Sealed:
		b.WriteString("(for " + personNames(m.Persons) + " to open)")
	case m.Title == nil:
		b.WriteString("(not shown)")
	case *m.Title == "":
		b.WriteString("(no title)")
	default:
		b.WriteString(*m.Title)
	}
	return b.String()
}

var searchCmd = command{
	name: "search", section: "Messages", args: "WORDS",
	short: "find messages by words and indicators",
	long: `Searches this node's own store; nothing is asked of others. Words, addresses, domains, URLs, hashes, CVE ids
and mail addresses are found, defanged ones (1.2.3[.]4, hxxp://) too. All of them must occur.`,
	example: `entente search CVE-2024-3400
entente search 192.0.2.7 loader`,
	setup: func(fs *flag.FlagSet, p *program) action {
		limit := fs.Int("limit", 50, "the newest `N` only")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, -1, "what to search for"); err != nil {
				return err
			}
			if *limit < 1 {
				return usagef("--limit %d: want a number of messages", *limit)
			}
			return p.withNode(func(c *control.Client) error {
				l := messageList{p: p}
				if err := c.Search(ctx, strings.Join(args, " "), *limit, l.add); err != nil {
					return err
				}
				if !p.json && len(l.ms) == 0 {
					p.sayf("entente: no message here has all of that")
				}
				l.print()
				return nil
			})
		}
	},
}

var watchCmd = command{
	name: "watch", section: "Messages",
	short: "messages as they arrive, until interrupted",
	long: `Prints the same as inbox. To go on where an earlier watch ended, without missing any, give the field n of the
last message that was dealt with; 0 begins with the oldest.`,
	example: `entente watch
entente watch --json --after 1042`,
	setup: func(fs *flag.FlagSet, p *program) action {
		after := fs.Int64("after", -1, "begin after arrival number `N` (default: what arrives from now on)")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "watch"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				from := uint64(max(*after, 0))
				if *after < 0 {
					s, err := c.Status(ctx)
					if err != nil {
						return err
					}
					from = s.LastN
				}
				err := c.Watch(ctx, from, func(m control.Message) error {
					if p.json {
						if err := p.out.object(m); err != nil {
							return err
						}
					} else {
						p.out.linef("%s  %s  %s  TLP:%s  to %s  %s", m.ID.Short(), stamp(m.Received), shorten(plainLine(m.Author.Name), 30), m.TLP,
							shorten(plainLine(audienceOf(m.Audience)), 30), plainLine(titleOf(m)))
					}
					return p.out.flush()
				})
				if ctx.Err() != nil {
					return nil
				}
				if err == nil {
					err = fmt.Errorf("the node has ended")
				}
				return err
			})
		}
	},
}
