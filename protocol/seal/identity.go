package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// MaxIdentityFile is the greatest length of an identity file, in bytes.
const MaxIdentityFile = 4 << 10

// stanzaType is what age calls a hybrid recipient in the header of a file.
const stanzaType = "mlkem768x25519"

// An Identity opens what was sealed to its recipient. The zero Identity opens nothing. It prints as "[secret]".
type Identity struct {
	id *age.HybridIdentity
}

// GenerateIdentity makes a new identity.
func GenerateIdentity() (Identity, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return Identity{}, err
	}
	return Identity{id}, nil
}

// ParseIdentity reads the text form "AGE-SECRET-KEY-PQ-1…". Its errors do not repeat the text.
func ParseIdentity(s string) (Identity, error) {
	id, err := age.ParseHybridIdentity(s)
	if err != nil {
		return Identity{}, errors.New("not a hybrid age identity: want AGE-SECRET-KEY-PQ-1…, whole and without a mistake")
	}
	return Identity{id}, nil
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
func (i Identity) IsZero() bool { return i.id == nil }

// Secret returns the text form, for a file of mode 0600. It must reach no log, error or screen.
func (i Identity) Secret() string { return i.id.String() }

// Recipient returns the public side. It must not be called on the zero Identity.
func (i Identity) Recipient() Recipient { return Recipient{i.id.Recipient()} }

// Format implements fmt.Formatter, so that no verb prints the secret.
func (Identity) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

const redacted = "[secret]"

// A Recipient is the public side of an Identity. The zero Recipient is refused by [Seal].
type Recipient struct {
	r *age.HybridRecipient
}

// ParseRecipient reads the text form "age1pq1…". Recipients of other kinds are refused: what is sealed to them would be
// readable by whoever records it today and has a quantum computer one day.
func ParseRecipient(s string) (Recipient, error) {
	r, err := age.ParseHybridRecipient(s)
	if err == nil {
		return Recipient{r}, nil
	}
	if strings.HasPrefix(s, "age1") && !strings.HasPrefix(s, "age1pq1") {
		return Recipient{}, fmt.Errorf("recipient %.24q… is not hybrid: make one with age-keygen -pq", s)
	}
	return Recipient{}, errors.New("not a hybrid age recipient: want age1pq1…, whole and without a mistake")
}

// IsZero reports whether r is no recipient.
func (r Recipient) IsZero() bool { return r.r == nil }

// String returns the text form, of 1,959 characters. The zero Recipient is the empty string.
func (r Recipient) String() string {
	if r.r == nil {
		return ""
	}
	return r.r.String()
}

// only is an identity that refuses files which are sealed to recipients of other kinds besides.
type only struct{ id *age.HybridIdentity }

func (o only) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != stanzaType {
			return nil, errMixed
		}
	}
	return o.id.Unwrap(stanzas)
}
