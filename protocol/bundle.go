package protocol

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
)

// A Bundle is a set of one team's identity records: an introduction, or an answer in an exchange between nodes. Nothing in
// it is believed for being in it; each record is verified by package trust.
type Bundle struct {
	Team    TeamID   `cbor:"1,keyasint"`
	Records [][]byte `cbor:"2,keyasint"` // encoded envelopes
}

// Encode returns the wire form.
func (b *Bundle) Encode() []byte { return must(Marshal(b)) }

// DecodeBundle reads the wire form. It decodes no record.
func DecodeBundle(data []byte) (*Bundle, error) {
	if len(data) > MaxBundle {
		return nil, fmt.Errorf("%w: a bundle of %d bytes: at most %d", ErrMalformed, len(data), MaxBundle)
	}
	var b Bundle
	if err := Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if b.Team.IsZero() || len(b.Records) > MaxRecords {
		return nil, fmt.Errorf("%w: bundle without a team, or of over %d records", ErrMalformed, MaxRecords)
	}
	return &b, nil
}

// Envelopes decodes the records.
func (b *Bundle) Envelopes() ([]*Envelope, error) {
	var out []*Envelope
	for i, r := range b.Records {
		e, err := DecodeEnvelope(r, MaxRecord)
		if err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i+1, len(b.Records), err)
		}
		out = append(out, e)
	}
	return out, nil
}

const pemType = "ENTENTE INTRODUCTION"

// Armor returns the bundle as text that survives mail: PEM of the wire form.
func (b *Bundle) Armor() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: b.Encode()})
}

// Unarmor reads the text form. Text before and after it is ignored, so that a mail can be read whole.
func Unarmor(text []byte) (*Bundle, error) {
	if len(text) > 2*MaxBundle {
		return nil, fmt.Errorf("%w: an introduction of %d bytes: at most %d", ErrMalformed, len(text), 2*MaxBundle)
	}
	if i := bytes.Index(text, []byte("-----BEGIN "+pemType)); i > 0 {
		text = text[i:]
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("%w: no whole %s block found: it may have been cut or changed on the way", ErrMalformed, pemType)
	}
	if len(block.Headers) != 0 {
		return nil, errors.New("an introduction with headers is refused: nothing outside the signed records is believed")
	}
	return DecodeBundle(block.Bytes)
}
