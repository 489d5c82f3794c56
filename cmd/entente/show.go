package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/content"
)

var showCmd = command{
	name: "show", section: "Messages", args: "ID",
	short: "one message whole",
	long: `ID is the beginning of a message's id. Prints its header and its content, in plain words for known formats. With
--body, or -o FILE, the content's exact original bytes.

TLP:RED is opened here, with your passphrase or token: the node cannot read it. That you opened it is kept in
this team's disclosure log, and the author is told. With --json, RED is opened only if --as says for whom.`,
	example: `entente show 3f2a9c1d7b
entente show 3f2a9c1d7b --body > advisory.json
entente show 3f2a9c1d7b -o advisory.json
entente show 3f2a9c1d7b --as "Bo Example"`,
	setup: func(fs *flag.FlagSet, p *program) action {
		body := fs.Bool("body", false, "write the content's exact original bytes to standard output")
		out := fs.String("o", "", "write them to `FILE`, which must not be there yet")
		var who readerFlags
		fs.StringVar(&who.as, "as", "", "open TLP:RED as operator `NAME` (default: the only one whose identity is here)")
		fs.StringVar(&who.identity, "identity", "", "your identity is in `FILE` (default: among the home's keys)")
		p.passphraseFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the id of the message"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				m, err := c.Message(ctx, args[0])
				if err != nil {
					return err
				}
				return show(ctx, p, c, m, who, *out, *body)
			})
		}
	},
}

// A reading gives a message's exact original bytes.
type reading func(io.Writer) error

func show(ctx context.Context, p *program, c *control.Client, m *control.Message, who readerFlags, out string, body bool) error {
	shown := !p.json && !body && out == ""
	if shown {
		showHeader(p, m)
		if err := p.out.flush(); err != nil {
			return err
		}
	}
	read := reading(func(w io.Writer) error { return c.Body(ctx, m.ID, w) })
	if m.Sealed && (body || out != "" || who.as != "" || shown && m.Quarantined == "") {
		opened, err := openSealed(ctx, p, c, m, who)
		if err != nil {
			return err
		}
		read = opened.read
		opened.fill(m)
		if shown {
			p.out.linef("opened     by %s: %s", plainLine(opened.person), plainLine(titleOf(*m)))
			p.out.linef("content    %s, %s%s", plainLine(m.Format), size(int64(m.Size)), inParens(m.File))
		}
	}
	switch {
	case out != "":
		return writeFile(out, 0o600, read)
	case body:
		return writeBody(p, read)
	case p.json:
		return p.out.object(m)
	case m.Quarantined != "":
		return nil
	case !m.Complete:
		p.out.linef("           it has not arrived whole yet%s; the node is fetching it", inParens(arrived(m)))
		return nil
	}
	return showContent(p, m, read)
}

// arrived says how far the content is here; "" if that is not known.
func arrived(m *control.Message) string {
	if m.Size == 0 || m.Arrived == 0 {
		return ""
	}
	return fmt.Sprintf("%s of %s", size(int64(m.Arrived)), size(int64(m.Size)))
}

// maxShown bounds the text that show prints of one message.
const maxShown = 256 << 10

// writeBody writes the exact bytes to standard output. To a terminal it writes only text that does nothing there.
func writeBody(p *program, read reading) error {
	w := p.out.writer()
	if f, ok := p.stdout.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return read(w)
	}
	g := &terminalGuard{w: w}
	if err := read(g); err != nil {
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

func showHeader(p *program, m *control.Message) {
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
	o.linef("to         %s", plainLine(audienceOf(m.Audience)))
	if m.Audience.Kind != "community" && len(m.Persons) == 0 {
		o.linef("           and nobody else")
	}
	for _, q := range m.Persons {
		o.linef("for        %s of %s", plainLine(q.Name), plainLine(q.TeamName))
	}
	if m.Agreement != nil {
		o.linef("agreement  %s", m.Agreement)
	}
	o.linef("created    %s", stamp(m.Created))
	o.linef("received   %s", stamp(m.Received))
	o.linef("id         %s", m.ID)
	for _, r := range m.Refs {
		o.linef("about      %s", r)
	}
	if m.Supersedes != nil {
		o.linef("corrects   %s", m.Supersedes)
	}
	if m.SupersededBy != nil {
		o.linef("corrected  by %s: read that one", m.SupersededBy)
	}
	if !m.Sealed {
		o.linef("content    %s, %s%s", plainLine(m.Format), size(int64(m.Size)), inParens(m.File))
	}
}

func inParens(s string) string {
	if s == "" {
		return ""
	}
	return " (" + plainLine(s) + ")"
}

// showContent prints what the content says: text as it is, of known structures the indicators by kind and the text in them.
func showContent(p *program, m *control.Message, read reading) error {
	var head limited
	head.max = maxShown
	counts := map[content.Kind]int{}
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(read(io.MultiWriter(&head, pw))) }()
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
