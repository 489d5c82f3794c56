package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/content"
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
	t.add("ID", "RECEIVED", "FROM", "TLP", "TITLE")
	for _, m := range l.ms {
		t.add(short[m.ID.String()], stamp(m.Received), shorten(m.Author.Name, 30), m.TLP.String(), titleOf(m))
	}
	t.print(l.p.out)
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
	case m.Title == nil:
		b.WriteString("(opened by persons only)")
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
						p.out.linef("%s  %s  %s  TLP:%s  %s", m.ID.Short(), stamp(m.Received), shorten(plainLine(m.Author.Name), 30), m.TLP, plainLine(titleOf(m)))
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

var showCmd = command{
	name: "show", section: "Messages", args: "ID",
	short: "one message whole",
	long: `ID is the beginning of a message's id. Prints its header and its content, in plain words for known formats. With
--body, or -o FILE, the content's exact original bytes.`,
	example: `entente show 3f2a9c1d7b
entente show 3f2a9c1d7b --body > advisory.json
entente show 3f2a9c1d7b -o advisory.json`,
	setup: func(fs *flag.FlagSet, p *program) action {
		body := fs.Bool("body", false, "write the content's exact original bytes to standard output")
		out := fs.String("o", "", "write them to `FILE`, which must not be there yet")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the id of the message"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				m, err := c.Message(ctx, args[0])
				if err != nil {
					return err
				}
				switch {
				case *out != "":
					return writeFile(*out, 0o600, func(w io.Writer) error { return c.Body(ctx, m.ID, w) })
				case *body:
					return writeBody(ctx, p, c, m)
				case p.json:
					return p.out.object(m)
				}
				return showMessage(ctx, p, c, m)
			})
		}
	},
}

// maxShown bounds the text that show prints of one message.
const maxShown = 256 << 10

// writeBody writes the exact bytes to standard output. To a terminal it writes only text that does nothing there.
func writeBody(ctx context.Context, p *program, c *control.Client, m *control.Message) error {
	w := p.out.writer()
	if f, ok := p.stdout.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return c.Body(ctx, m.ID, w)
	}
	g := &terminalGuard{w: w}
	if err := c.Body(ctx, m.ID, g); err != nil {
		return err
	}
	return g.finish()
}

// terminalGuard refuses bytes that a terminal would act upon.
type terminalGuard struct {
	w    io.Writer
	part []byte // of a character or line end that was cut
}

// errNotPlain says that content would do something to a terminal.
var errNotPlain = withHint(errors.New("the content has bytes that could do something to your terminal"), "write it to a file: -o FILE")

func (g *terminalGuard) Write(b []byte) (int, error) {
	all := append(g.part, b...)
	whole := len(all)
	if whole > 0 && all[whole-1] == '\r' {
		whole--
	}
	for i := 1; i < utf8.UTFMax && i <= len(all); i++ {
		if utf8.RuneStart(all[len(all)-i]) {
			if !utf8.FullRune(all[len(all)-i:]) {
				whole = len(all) - i
			}
			break
		}
	}
	text := string(all[:whole])
	if t := strings.ReplaceAll(text, "\r\n", "\n"); plainText(t) != t {
		return 0, errNotPlain
	}
	g.part = append([]byte(nil), all[whole:]...)
	if _, err := io.WriteString(g.w, text); err != nil {
		return 0, err
	}
	return len(b), nil
}

// finish says whether all was written.
func (g *terminalGuard) finish() error {
	if len(g.part) > 0 {
		return errNotPlain
	}
	return nil
}

func showMessage(ctx context.Context, p *program, c *control.Client, m *control.Message) error {
	o := p.out
	if m.Doubt != "" {
		o.linef("doubtful   %s", plainLine(m.Doubt))
	}
	if m.Quarantined != "" {
		o.linef("held back  %s", plainLine(m.Quarantined))
	}
	o.linef("TLP:%s", m.TLP)
	o.linef("title      %s", plainLine(titleOf(*m)))
	o.linef("from       %s (%s)", plainLine(m.Author.Name), m.Author.ID.Short())
	o.linef("to         %s", plainLine(m.Audience.Name))
	o.linef("created    %s", stamp(m.Created))
	o.linef("received   %s", stamp(m.Received))
	o.linef("id         %s", m.ID)
	if m.Supersedes != nil {
		o.linef("corrects   %s", m.Supersedes)
	}
	if m.SupersededBy != nil {
		o.linef("corrected  by %s: read that one", m.SupersededBy)
	}
	o.linef("content    %s, %s%s", plainLine(m.Format), size(int64(m.Size)), inParens(m.File))
	if m.Quarantined != "" {
		return nil
	}
	if !m.Complete {
		o.linef("           it has not arrived whole yet; the node is fetching it")
		return nil
	}
	return showContent(ctx, p, c, m)
}

func inParens(s string) string {
	if s == "" {
		return ""
	}
	return " (" + plainLine(s) + ")"
}

// showContent prints what the content says: text as it is, of known structures the indicators by kind and the text in them.
func showContent(ctx context.Context, p *program, c *control.Client, m *control.Message) error {
	var head limited
	head.max = maxShown
	counts := map[content.Kind]int{}
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(c.Body(ctx, m.ID, io.MultiWriter(&head, pw))) }()
	_, err := content.Read(pr, m.File, func(t content.Term) { counts[t.Kind]++ })
	if err != nil {
		// What this version cannot read is still the message; its first bytes are shown.
		if _, derr := io.Copy(io.Discard, pr); derr != nil {
			return derr
		}
	}
	pr.Close()
	var ks []string
	for _, k := range []content.Kind{content.Address, content.Domain, content.URL, content.Hash, content.CVE, content.Email} {
		if n := counts[k]; n > 0 {
			ks = append(ks, fmt.Sprintf("%d %s", n, k))
		}
	}
	if len(ks) > 0 {
		p.out.linef("mentions   %s", strings.Join(ks, ", "))
	}
	if m.Format == string(content.Opaque) {
		p.out.linef("\nNot text: take it out with entente show %s -o FILE", m.ID.Short())
		return nil
	}
	p.out.linef("")
	text := readable(m.Format, head.b)
	p.out.linef("%s", strings.TrimRight(plainText(strings.ReplaceAll(text, "\r\n", "\n")), "\n"))
	if m.Size > maxShown {
		p.out.linef("\n… %s in all: take it out with entente show %s -o FILE", size(int64(m.Size)), m.ID.Short())
	}
	return nil
}

// limited keeps the first max bytes that are written to it.
type limited struct {
	b   []byte
	max int
}

func (l *limited) Write(p []byte) (int, error) {
	l.b = append(l.b, p[:min(len(p), l.max-len(l.b))]...)
	return len(p), nil
}
