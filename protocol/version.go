package protocol

import (
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
	return &Hello{Versions: versions, Team: team, Node: node, Software: software, Time: unixMilli}
}

// Encode returns the wire form.
func (h *Hello) Encode() []byte { return must(Marshal(h)) }

// DecodeHello reads the wire form.
func DecodeHello(data []byte) (*Hello, error) {
	if len(data) > 1024 {
		return nil, fmt.Errorf("%w: a greeting of %d bytes", ErrMalformed, len(data))
	}
	var h Hello
	if err := Unmarshal(data, &h); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if len(h.Versions) == 0 || len(h.Versions) > 16 || len(h.Software) > 100 {
		return nil, fmt.Errorf("%w: greeting: versions or software out of bounds", ErrMalformed)
	}
	return &h, nil
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
