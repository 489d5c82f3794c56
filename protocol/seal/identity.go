package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"
)

// MaxIdentityFile is the greatest length of an identity file, in bytes.
const MaxIdentityFile = 4 << 10

// What age calls the recipients of this package in the header of a file. Both are hybrid; the second has its key in hardware.
const (
	stanzaHybrid   = "mlkem768x25519"
	stanzaHardware = "mlkem768p256tag"
)

// An Identity opens what was sealed to its recipient. The zero Identity opens nothing. It prints as "[secret]".
type Identity struct {
	id     *age.HybridIdentity
	plugin *plugin.Identity // in place of id, if a plugin does the work
	ui     UI
}

// GenerateIdentity makes a new identity.
func GenerateIdentity() (Identity, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return Identity{}, err
	}
	return Identity{id: id}, nil
}

// ParseIdentity reads the text form "AGE-SECRET-KEY-PQ-1…". Its errors do not repeat the text.
func ParseIdentity(s string) (Identity, error) {
	id, err := age.ParseHybridIdentity(s)
	if err != nil {
		return Identity{}, errors.New("not a hybrid age identity: want AGE-SECRET-KEY-PQ-1…, whole and without a mistake")
	}
	return Identity{id: id}, nil
}

// ReadIdentityFile reads an identity file as age-keygen -pq writes it: one identity on a line of its own, empty lines, and
// lines that begin with "#".
func ReadIdentityFile(r io.Reader) (Identity, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxIdentityFile+1))
	if err != nil {
		return Identity{}, err
	}
	defer clear(text)
	if len(text) > MaxIdentityFile {
		return Identity{}, fmt.Errorf("an identity file of over %d bytes", MaxIdentityFile)
	}
	var found Identity
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if !found.IsZero() {
			return Identity{}, errors.New("an identity file with more than one identity: want one")
		}
		if found, err = ParseIdentity(string(line)); err != nil {
			return Identity{}, err
		}
	}
	if found.IsZero() {
		return Identity{}, errors.New("an identity file without an identity")
	}
	return found, nil
}

// IsZero reports whether i is no identity.
func (i Identity) IsZero() bool { return i.id == nil && i.plugin == nil }

// Secret returns the text form, for a file of mode 0600. It must reach no log, error or screen.
func (i Identity) Secret() string {
	if i.plugin != nil {
		return i.plugin.String()
	}
	return i.id.String()
}

// Recipient returns the public side. It is zero for an identity of a plugin, which does not tell it. It must not be called on
// the zero Identity.
func (i Identity) Recipient() Recipient {
	if i.plugin != nil {
		return Recipient{}
	}
	return Recipient{hybrid: i.id.Recipient()}
}

// age returns what age calls to open a file, nil for the zero Identity.
func (i Identity) age() age.Identity {
	switch {
	case i.plugin != nil:
		return device{i}
	case i.id != nil:
		return i.id
	}
	return nil
}

// Format implements fmt.Formatter, so that no verb prints the secret.
func (Identity) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

const redacted = "[secret]"

// A Recipient is the public side of an Identity. The zero Recipient is refused by [Seal].
type Recipient struct {
	hybrid   *age.HybridRecipient
	hardware *tag.Recipient // in place of hybrid
}

// ParseRecipient reads the text form "age1pq1…", or "age1tagpq1…" of a key in hardware. Recipients of other kinds are refused:
// what is sealed to them would be readable by whoever records it today and has a quantum computer one day.
func ParseRecipient(s string) (Recipient, error) {
	switch {
	case strings.HasPrefix(s, "age1tagpq1"):
		if r, err := tag.ParseRecipient(s); err == nil && r.Hybrid() {
			return Recipient{hardware: r}, nil
		}
	case strings.HasPrefix(s, "age1pq1"):
		if r, err := age.ParseHybridRecipient(s); err == nil {
			return Recipient{hybrid: r}, nil
		}
	case strings.HasPrefix(s, "age1"):
		return Recipient{}, fmt.Errorf("recipient %.24q… is not hybrid: make one with age-keygen -pq", s)
	}
	return Recipient{}, errors.New("not a hybrid age recipient: want age1pq1… or age1tagpq1…, whole and without a mistake")
}

// IsZero reports whether r is no recipient.
func (r Recipient) IsZero() bool { return r.hybrid == nil && r.hardware == nil }

// Hardware reports whether the recipient's key is one in hardware, which a plugin of age asks.
func (r Recipient) Hardware() bool { return r.hardware != nil }

// String returns the text form, of some 2,000 characters. The zero Recipient is the empty string.
func (r Recipient) String() string {
	switch {
	case r.hardware != nil:
		return r.hardware.String()
	case r.hybrid != nil:
		return r.hybrid.String()
	}
	return ""
}

// recipients returns what age calls to seal a file.
func recipients(to []Recipient) ([]age.Recipient, error) {
	rs := make([]age.Recipient, len(to))
	for i, r := range to {
		switch {
		case r.hardware != nil:
			rs[i] = r.hardware
		case r.hybrid != nil:
			rs[i] = r.hybrid
		default:
			return nil, fmt.Errorf("sealing: recipient %d of %d is missing", i+1, len(to))
		}
	}
	return rs, nil
}
