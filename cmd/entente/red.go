package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store/keyring"
)

// openedMessage is TLP:RED content that a person opened in this process. The node has no part in it.
type openedMessage struct {
	content *protocol.Content
	person  string
	read    reading
}

// openSealed opens the content of a RED message with the identity of a person of this team, and tells the node so before
// anything of it is shown.
func openSealed(ctx context.Context, p *program, c *control.Client, m *control.Message, who readerFlags) (*openedMessage, error) {
	s, err := c.Sealed(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	person, ids, err := p.person(m, who)
	if err != nil {
		return nil, err
	}
	plain, err := seal.OpenSmall(s.Content, ids...)
	if err != nil {
		err = fmt.Errorf("message %s cannot be opened with the identity of %s: %w", m.ID.Short(), person, err)
		if errors.Is(err, seal.ErrNotRecipient) {
			err = withHint(err, "it was sealed to another identity that %s had at the time: ask %s to send it again", person, m.Author.Name)
		}
		return nil, err
	}
	inside, err := protocol.DecodeContent(plain, s.Statement)
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", m.ID.Short(), err)
	}
	if err := c.Opened(ctx, m.ID, person); err != nil {
		return nil, err
	}
	o := &openedMessage{content: inside, person: person}
	o.read = func(w io.Writer) error { return readSealed(ctx, p, c, s, &inside.Body, w) }
	return o, nil
}

// readerFlags say who opens RED content.
type readerFlags struct {
	as       string
	identity string
}

// person finds who of this team opens a message here, and their identities: the person that is named, or the only one of the
// audience whose identity is among the home's keys.
func (p *program) person(m *control.Message, who readerFlags) (string, []seal.Identity, error) {
	var own []string
	for _, q := range m.Persons {
		if q.Self && (who.as == "" || strings.EqualFold(who.as, q.Name)) {
			own = append(own, q.Name)
		}
	}
	if len(own) == 0 {
		e := &control.Error{Code: control.Refused, Rule: "not-named", Hint: "nobody else can open it; ask the author if another person should have it",
			Text: fmt.Sprintf("message %s is for %s alone, and nobody of this team is among them", m.ID.Short(), personNames(m.Persons))}
		if who.as != "" {
			e.Text = fmt.Sprintf("message %s is for %s alone, and %s is not among them", m.ID.Short(), personNames(m.Persons), who.as)
		}
		return "", nil, e
	}
	if who.identity != "" {
		return p.carriedIdentity(own, who.identity)
	}
	here, err := keyring.Operators(p.keysDir())
	if err != nil {
		return "", nil, err
	}
	here = slices.DeleteFunc(here, func(f keyring.OperatorFile) bool {
		return f.Elsewhere || !slices.ContainsFunc(own, func(n string) bool { return strings.EqualFold(n, f.Name) })
	})
	switch {
	case len(here) == 0:
		return "", nil, withHint(fmt.Errorf("message %s is for %s, whose identity is not in %s", m.ID.Short(), strings.Join(own, ", "), p.keysDir()),
			"name the file with it: --identity FILE, or open it where the identity is")
	case len(here) > 1:
		var names []string
		for _, f := range here {
			names = append(names, f.Name)
		}
		return "", nil, usagef("several who can open it have their identities here (%s): say who reads with --as NAME", strings.Join(names, ", "))
	}
	f := here[0]
	var pass []byte
	if f.Protected {
		if pass, err = p.passphrase("operator " + f.Name); err != nil {
			return "", nil, err
		}
	}
	ids, err := keyring.OpenOperator(p.keysDir(), f.Name, string(pass))
	i := slices.IndexFunc(own, func(n string) bool { return strings.EqualFold(n, f.Name) })
	return own[i], p.withScreen(ids), err
}

// carriedIdentity opens the identity that a person keeps in a file of their own.
func (p *program) carriedIdentity(own []string, file string) (string, []seal.Identity, error) {
	if len(own) > 1 {
		return "", nil, usagef("the message is for several persons of this team (%s): say who reads with --as NAME", strings.Join(own, ", "))
	}
	protected, err := keyring.ProtectedOperatorFile(file)
	if err != nil {
		return "", nil, err
	}
	var pass []byte
	if protected {
		if pass, err = p.passphrase("operator " + own[0]); err != nil {
			return "", nil, err
		}
	}
	ids, err := keyring.OpenOperatorFile(file, string(pass))
	return own[0], p.withScreen(ids), err
}

// withScreen lets the plugins of hardware keys ask the person at the terminal.
func (p *program) withScreen(ids []seal.Identity) []seal.Identity {
	for i := range ids {
		ids[i] = ids[i].WithUI(screen{p})
	}
	return ids
}

// screen is where a plugin asks for a PIN or a touch.
type screen struct{ p *program }

// Message implements seal.UI.
func (s screen) Message(plugin, text string) error {
	s.p.sayf("entente: %s: %s", plainLine(plugin), plainLine(text))
	return nil
}

// Ask implements seal.UI.
func (s screen) Ask(plugin, prompt string, secret bool) (string, error) {
	q := fmt.Sprintf("%s: %s: ", plainLine(plugin), plainLine(prompt))
	if !secret {
		return s.p.ask(q)
	}
	b, err := s.p.askSecret(q)
	return string(b), err
}

// Confirm implements seal.UI.
func (s screen) Confirm(plugin, prompt, yes, no string) (bool, error) {
	choice := plainLine(yes)
	if no != "" {
		choice = fmt.Sprintf("y: %s, n: %s", choice, plainLine(no))
	}
	a, err := s.p.ask(fmt.Sprintf("%s: %s [%s] ", plainLine(plugin), plainLine(prompt), choice))
	return no == "" || strings.HasPrefix(strings.ToLower(a), "y"), err
}

// Waiting implements seal.UI.
func (s screen) Waiting(plugin string) {
	s.p.sayf("entente: waiting for %s: it may want to be touched", plainLine(plugin))
}

// fill adds to a header what only the person knows.
func (o *openedMessage) fill(m *control.Message) {
	b := &o.content.Body
	m.Title, m.Format, m.Size, m.File = &o.content.Title, b.Format, b.Size, b.Name
}

// readSealed writes the exact original bytes of opened content. A body that travels apart is opened chunk by chunk; its hash
// is compared at the end.
func readSealed(ctx context.Context, p *program, c *control.Client, s *control.SealedMessage, b *protocol.Body, w io.Writer) error {
	if !b.External() {
		_, err := w.Write(b.Inline)
		return err
	}
	if s.BlobSize == 0 {
		return withHint(fmt.Errorf("the content of message %s has not arrived whole yet", s.ID.Short()), "the node is fetching it: try again later")
	}
	key, err := seal.ParseIdentity(b.Key)
	if err != nil {
		return fmt.Errorf("the key of the content of message %s: %w", s.ID.Short(), err)
	}
	blob := c.SealedBlob(ctx, s.ID, s.BlobSize)
	r, err := seal.OpenBlob(blob, s.BlobSize, key, b.Size)
	if err != nil {
		blob.Close()
		return fmt.Errorf("the content of message %s: %w", s.ID.Short(), err)
	}
	defer r.Close()
	sum := sha256.New()
	to := io.MultiWriter(w, sum)
	if b.Size >= showsProgress {
		bar := p.bytesProgress("opening", int64(b.Size))
		defer bar.clear()
		to = io.MultiWriter(to, &countedWriter{step: bar.step})
	}
	if _, err := io.Copy(to, r); err != nil {
		return fmt.Errorf("the content of message %s: %w", s.ID.Short(), err)
	}
	if !bytes.Equal(sum.Sum(nil), b.Hash[:]) {
		return errors.New("what was written is not what the author sent: its hash differs; do not use it")
	}
	return nil
}

// countedWriter tells how much was written.
type countedWriter struct {
	n    int
	step func(int)
}

func (w *countedWriter) Write(b []byte) (int, error) {
	w.n += len(b)
	w.step(w.n)
	return len(b), nil
}
