package roomsync

import (
	"bytes"
	"fmt"

	"github.com/entente-network/entente/protocol"
)

// Limits of the wire form.
const (
	MaxRooms   = 256   // rooms that one side names in a conversation
	MaxRecords = 16384 // records of one room
	MaxGrants  = 256   // grants in one conversation
	MarkSize   = 16    // bytes of a mark

	maxFrame   = 1 << 20   // bytes of a frame
	frameBytes = 256 << 10 // bytes of parts after which a frame ends
	maxBatch   = 256       // records or grants in one part
	maxGrant   = 16 << 10  // bytes of an encoded grant

	// What finds no place in one conversation is left for the next.
	maxMarks = 1 << 19      // marks in one turn that offers
	maxAsked = 1 << 14      // records that are asked for in one conversation
	maxGiven = 32 << 20     // bytes of records that are given in one turn
	maxTurn  = 2 * maxGiven // bytes of the frames of one turn
	maxTold  = 4 << 20      // bytes of what is told in one conversation

	// maxStrange is the bytes of rooms that are not shared with who gave them, and not taken yet, in all conversations.
	maxStrange = 2 * maxGiven
)

// A kind is what a conversation is for.
type kind uint8

const (
	kindCompare kind = 1
	kindTell    kind = 2
)

// A page is the content of a frame.
type page struct {
	Kind  kind   `cbor:"1,keyasint,omitempty"` // in the first page of a conversation alone
	Parts []part `cbor:"2,keyasint,omitempty"` // rooms do not descend, also not from page to page
	More  bool   `cbor:"3,keyasint,omitempty"` // another page of this turn follows
	Rest  bool   `cbor:"4,keyasint,omitempty"` // in the last page: rooms beyond the last were left out
}

// A part is what a page says of one room. Which fields there may be depends on the turn.
type part struct {
	Room    protocol.Hash   `cbor:"1,keyasint"`
	Digest  protocol.Hash   `cbor:"2,keyasint,omitzero"`
	Same    bool            `cbor:"3,keyasint,omitempty"` // the digests are equal
	Offers  []byte          `cbor:"4,keyasint,omitempty"` // marks of what may be asked for
	Asks    []byte          `cbor:"5,keyasint,omitempty"` // marks of what is wanted
	Records [][]byte        `cbor:"6,keyasint,omitempty"` // encoded envelopes
	Epochs  []protocol.Hash `cbor:"7,keyasint,omitempty"` // whose grants are wanted
	Grants  [][]byte        `cbor:"8,keyasint,omitempty"` // encoded envelopes
}

// A field is a bit for each of a part's.
type field uint8

const (
	hasDigest field = 1 << iota
	hasSame
	hasOffers
	hasAsks
	hasRecords
	hasEpochs
	hasGrants
)

// has returns which fields there are.
func (p *part) has() field {
	var f field
	for i, there := range []bool{!p.Digest.IsZero(), p.Same, len(p.Offers) > 0, len(p.Asks) > 0, len(p.Records) > 0, len(p.Epochs) > 0,
		len(p.Grants) > 0} {
		if there {
			f |= 1 << i
		}
	}
	return f
}

// size returns nearly the bytes of the part.
func (p *part) size() int {
	n := 128 + len(p.Offers) + len(p.Asks) + 36*len(p.Epochs)
	for _, raws := range [][][]byte{p.Records, p.Grants} {
		for _, r := range raws {
			n += 5 + len(r)
		}
	}
	return n
}

// Check implements frame.Checker.
func (p *page) Check() error {
	if p.Kind > kindTell || p.More && (p.Rest || len(p.Parts) == 0) {
		return fmt.Errorf("%w: a page of kind %d of %d parts, more %t, rest %t", protocol.ErrMalformed, p.Kind, len(p.Parts), p.More, p.Rest)
	}
	for i := range p.Parts {
		if err := p.Parts[i].check(); err != nil {
			return err
		}
		if i > 0 && descends(p.Parts[i-1].Room, p.Parts[i].Room) {
			return errOrder
		}
	}
	return nil
}

var errOrder = fmt.Errorf("%w: rooms are not ascending", protocol.ErrMalformed)

func (p *part) check() error {
	if p.Room.IsZero() || p.has() == 0 || len(p.Offers)%MarkSize != 0 || len(p.Asks)%MarkSize != 0 || len(p.Offers) > MaxRecords*MarkSize ||
		len(p.Asks) > maxAsked*MarkSize || len(p.Epochs) > MaxGrants {
		return fmt.Errorf("%w: a part without a room or content, or of %d offers, %d asks, %d epochs", protocol.ErrMalformed,
			len(p.Offers)/MarkSize, len(p.Asks)/MarkSize, len(p.Epochs))
	}
	for _, e := range p.Epochs {
		if e.IsZero() {
			return fmt.Errorf("%w: an epoch without an id", protocol.ErrMalformed)
		}
	}
	if err := checkRaws(p.Records, protocol.MaxRecord); err != nil {
		return err
	}
	return checkRaws(p.Grants, maxGrant)
}

func checkRaws(raws [][]byte, most int) error {
	if len(raws) > maxBatch {
		return fmt.Errorf("%w: a part of %d records: at most %d", protocol.ErrMalformed, len(raws), maxBatch)
	}
	for _, r := range raws {
		if len(r) == 0 || len(r) > most {
			return fmt.Errorf("%w: a record of %d bytes: want 1 to %d", protocol.ErrMalformed, len(r), most)
		}
	}
	return nil
}

func descends(a, b protocol.Hash) bool { return bytes.Compare(a[:], b[:]) > 0 }

// A mark stands for a record with its signatures.
type mark [MarkSize]byte

func markOf(sum protocol.Hash) mark { return mark(sum[:MarkSize]) }

// marks returns the marks in a list of them.
func marks(list []byte) func(yield func(mark) bool) {
	return func(yield func(mark) bool) {
		for ; len(list) >= MarkSize; list = list[MarkSize:] {
			if !yield(mark(list)) {
				return
			}
		}
	}
}
