package direct

import (
	"fmt"

	"github.com/entente-network/entente/protocol"
)

// Limits of the wire form.
const (
	MaxBatch   = 256       // records in one frame
	BatchBytes = 128 << 10 // bytes of records after which a frame ends

	// maxFrame is the bytes of a frame: a batch that the largest record ends, and 5 bytes for the head of each.
	maxFrame = BatchBytes + protocol.MaxRecord + 5*MaxBatch + 64
)

// A load is the content of a frame. A stream carries nothing else, in one direction.
type load struct {
	Records [][]byte `cbor:"1,keyasint,omitempty"` // encoded envelopes
	Behind  bool     `cbor:"2,keyasint,omitempty"` // there is more that was not, or perhaps not, pushed: compare
}

// Check implements frame.Checker.
func (l *load) Check() error {
	if len(l.Records) > MaxBatch || len(l.Records) == 0 && !l.Behind {
		return fmt.Errorf("%w: a frame of %d records: want 1 to %d, or word of a loss", protocol.ErrMalformed, len(l.Records), MaxBatch)
	}
	for _, r := range l.Records {
		if len(r) == 0 || len(r) > protocol.MaxRecord {
			return fmt.Errorf("%w: a record of %d bytes: want 1 to %d", protocol.ErrMalformed, len(r), protocol.MaxRecord)
		}
	}
	return nil
}
