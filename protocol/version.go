package protocol

import (
	"errors"
	"fmt"
	"slices"
)

// Version is the newest protocol version that this code speaks.
const Version = 1

// versions are all that it speaks, the newest first.
var versions = []uint64{Version}

// A Hello opens every connection between nodes, before anything else is said.
type Hello struct {
	Versions []uint64 `cbor:"1,keyasint"` // that the speaker speaks, the newest first
	Team     TeamID   `cbor:"2,keyasint"`
	Node     KID      `cbor:"3,keyasint"`
	Software string   `cbor:"4,keyasint,omitempty"`
	Time     uint64   `cbor:"5,keyasint"` // Unix milliseconds, to show a wrong clock; nothing else depends on it
}

// NewHello returns the greeting of a node.
func NewHello(team TeamID, node KID, software string, unixMilli uint64) *Hello {
	return &Hello{Versions: slices.Clone(versions), Team: team, Node: node, Software: software, Time: unixMilli}
}

// Encode returns the wire form.
func (h *Hello) Encode() []byte { return must(Marshal(h)) }

// DecodeHello reads the wire form.
func DecodeHello(data []byte) (*Hello, error) {
	if len(data) > MaxHello {
		return nil, fmt.Errorf("%w: a greeting of %d bytes: at most %d", ErrMalformed, len(data), MaxHello)
	}
	var h Hello
	if err := Unmarshal(data, &h); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("greeting: %w: %w", ErrMalformed, err)
	}
	return &h, nil
}

func (h *Hello) check() error {
	if h.Team.IsZero() || h.Node.IsZero() {
		return errors.New("team or node is missing")
	}
	if len(h.Versions) == 0 || len(h.Versions) > MaxVersions {
		return fmt.Errorf("%d versions: want 1 to %d", len(h.Versions), MaxVersions)
	}
	for i, v := range h.Versions {
		if v == 0 || i > 0 && h.Versions[i-1] <= v {
			return errors.New("versions are not descending")
		}
	}
	if h.Software == "" {
		return nil
	}
	if len(h.Software) > MaxSoftware {
		return fmt.Errorf("software of %d bytes: at most %d", len(h.Software), MaxSoftware)
	}
	return checkName("software", h.Software)
}

// Negotiate returns the newest version that both speak.
func (h *Hello) Negotiate() (uint64, error) {
	for _, v := range versions {
		if slices.Contains(h.Versions, v) {
			return v, nil
		}
	}
	return 0, fmt.Errorf("no common protocol version: the peer speaks %v, this node %v", h.Versions, versions)
}
