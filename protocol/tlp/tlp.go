// Package tlp is the Traffic Light Protocol, version 2.0 (FIRST, August 2022): five labels that say how far a message may
// be shared, and their order.
//
// The zero Label is no label at all. It is not CLEAR: every rule refuses it. Labels are written in capitals, without
// spaces; [Parse] also reads the spellings that other systems use for the same meaning.
package tlp

import (
	"fmt"
	"strings"
)

// A Label is a TLP 2.0 label. Greater is stricter.
type Label uint8

// The labels in their order. Their numbers are part of the wire form.
const (
	Unset       Label = iota // refused everywhere
	Clear                    // no limit on disclosure
	Green                    // within the recipient's community
	Amber                    // within the recipient's organisation and its clients, need to know
	AmberStrict              // within the recipient's organisation only
	Red                      // for the named individuals only
)

var names = [...]string{"", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"}

// Valid reports whether l is one of the five labels.
func (l Label) Valid() bool { return l >= Clear && l <= Red }

// String returns the label in capitals without the prefix TLP:, or "UNSET".
func (l Label) String() string {
	if !l.Valid() {
		return "UNSET"
	}
	return names[l]
}

// All returns the five labels, the widest first.
func All() []Label { return []Label{Clear, Green, Amber, AmberStrict, Red} }

// Parse reads a label: with or without the prefix TLP:, in any case. WHITE is TLP 1.0 for CLEAR. Anything else, the empty
// string included, is an error: a label that is not understood must not be guessed at.
func Parse(s string) (Label, error) {
	t := strings.ToUpper(strings.TrimSpace(s))
	t = strings.TrimPrefix(t, "TLP:")
	switch t {
	case "WHITE":
		return Clear, nil
	case "AMBER-STRICT", "AMBER_STRICT":
		return AmberStrict, nil
	}
	for _, l := range All() {
		if t == names[l] {
			return l, nil
		}
	}
	return Unset, fmt.Errorf("%.40q is not a TLP label: use CLEAR, GREEN, AMBER, AMBER+STRICT or RED", s)
}

// Strictest returns the strictest of the labels; Unset if there is none, or if one of them is not a label: the unknown is
// never outvoted.
func Strictest(labels ...Label) Label {
	max := Unset
	for _, l := range labels {
		if !l.Valid() {
			return Unset
		}
		if l > max {
			max = l
		}
	}
	return max
}

// MarshalText writes the label in capitals. An invalid label is an error.
func (l Label) MarshalText() ([]byte, error) {
	if !l.Valid() {
		return nil, fmt.Errorf("no TLP label set")
	}
	return []byte(names[l]), nil
}

// UnmarshalText is Parse.
func (l *Label) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*l = v
	return nil
}
