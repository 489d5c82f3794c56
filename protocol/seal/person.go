package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// Limits of a person's identity file.
const (
	MaxPersonFile       = 64 << 10 // bytes
	MaxPersonIdentities = 32

	maxPluginText = 200 // bytes of what a plugin says is wrong
)

// A UI asks the person in front of a screen on behalf of a plugin of age, as for the PIN of a hardware key. What the plugin says
// is not cleaned of control characters.
type UI interface {
	Message(plugin, text string) error
	Ask(plugin, prompt string, secret bool) (string, error)
	// Confirm returns whether the person chose yes. If no is empty there is nothing else to choose.
	Confirm(plugin, prompt, yes, no string) (bool, error)
	// Waiting is called from another goroutine when the plugin has done nothing for some seconds: it may wait for a touch.
	Waiting(plugin string)
}

// ParsePersonIdentity reads the text form of an identity that a person uses: that of [ParseIdentity], or "AGE-PLUGIN-NAME-1…".
// The latter runs the program age-plugin-NAME each time it opens something, and must not be used by a node. Errors do not repeat
// the text.
func ParsePersonIdentity(s string) (Identity, error) {
	if !strings.HasPrefix(s, "AGE-PLUGIN-") {
		return ParseIdentity(s)
	}
	p, err := plugin.NewIdentity(s, &plugin.ClientUI{})
	if err != nil {
		return Identity{}, errors.New("not an identity of an age plugin: want AGE-PLUGIN-NAME-1…, whole and without a mistake")
	}
	return Identity{plugin: p}, nil
}

// Plugin returns the name of the plugin that does the work of the identity, or nothing.
func (i Identity) Plugin() string {
	if i.plugin == nil {
		return ""
	}
	return i.plugin.Name()
}

// WithUI returns the identity with somebody to ask. Without, a plugin is told that nobody is there. It changes nothing for an
// identity without a plugin.
func (i Identity) WithUI(ui UI) Identity {
	i.ui = ui
	return i
}

// ReadPersonFile reads an identity file that age-keygen -pq or a plugin of age wrote, or several of them together: the present
// identity first, former ones after it. The recipient is that of the first identity; for a plugin it is taken from a comment
// before it, and zero if no comment tells.
func ReadPersonFile(r io.Reader) (ids []Identity, to Recipient, err error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxPersonFile+1))
	if err != nil {
		return nil, Recipient{}, err
	}
	defer clear(text)
	if len(text) > MaxPersonFile {
		return nil, Recipient{}, fmt.Errorf("an identity file of over %d bytes", MaxPersonFile)
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			if told := recipientIn(line); len(ids) == 0 && !told.IsZero() {
				to = told
			}
			continue
		}
		id, err := ParsePersonIdentity(string(line))
		if err != nil {
			return nil, Recipient{}, err
		}
		if len(ids) == MaxPersonIdentities {
			return nil, Recipient{}, fmt.Errorf("an identity file with more than %d identities", MaxPersonIdentities)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, Recipient{}, errors.New("an identity file without an identity")
	}
	if own := ids[0].Recipient(); !own.IsZero() {
		to = own
	}
	return ids, to, nil
}

// recipientIn returns the recipient that a comment names.
func recipientIn(comment []byte) Recipient {
	for word := range bytes.FieldsSeq(comment) {
		if r, err := ParseRecipient(string(word)); err == nil {
			return r
		}
	}
	return Recipient{}
}

// device asks a plugin to open a file.
type device struct{ id Identity }

func (d device) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	p, err := plugin.NewIdentity(d.id.plugin.String(), clientUI(d.id.ui))
	if err != nil {
		return nil, err
	}
	key, err := p.Unwrap(stanzas)
	if err != nil && !errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, &pluginError{p.Name(), err}
	}
	return key, err
}

func clientUI(ui UI) *plugin.ClientUI {
	if ui == nil {
		return &plugin.ClientUI{}
	}
	return &plugin.ClientUI{DisplayMessage: ui.Message, RequestValue: ui.Ask, Confirm: ui.Confirm, WaitTimer: ui.Waiting}
}

// A pluginError is what a plugin said is wrong, or that it is not there.
type pluginError struct {
	name string
	err  error
}

func (e *pluginError) Error() string {
	var missing *plugin.NotFoundError
	if errors.As(e.err, &missing) {
		return fmt.Sprintf("the program age-plugin-%s is not installed: put it where programs are found", e.name)
	}
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimPrefix(e.err.Error(), e.name+" plugin: "))
	return "the program age-plugin-" + e.name + " says: " + text[:min(len(text), maxPluginText)]
}
