package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// Limits of a record, in bytes of UTF-8. A reason is never refused: what does not fit is cut. MinReason bytes always fit.
const (
	MaxActor  = protocol.MaxName
	MaxAction = 32
	MaxRule   = protocol.MaxRule
	MinReason = 128

	MaxAppend = 1024 // records in one call of Append
)

// Actions of the records that the log writes about itself. Append refuses every action with their prefix.
const (
	ActionErase = "audit-erase"
	ActionBreak = "audit-break"

	ownPrefix = "audit-"
)

const (
	saltSize   = 16
	maxEncoded = 430 // bytes of an encoded record
)

// A Record is one decision.
type Record struct {
	Time    time.Time       // kept to the millisecond, in UTC
	Actor   string          // who asked: an operator's name, or a part of the node
	Action  string          // what was asked: compose, receive, view, export
	Object  protocol.Hash   // id of the statement or agreement; zero where there is none
	Team    protocol.TeamID // the other team; zero where there is none, or where there are several
	Label   tlp.Label       // may be Unset
	Allowed bool
	Rule    string // which rule decided
	Reason  string // the same in words
}

// An Entry is a record at its place in the log. Of an erased one nothing but Index and Erased is set.
type Entry struct {
	Index  uint64
	Erased bool
	Record
}

// wire is a record as it is encoded and hashed.
type wire struct {
	Time    uint64          `cbor:"1,keyasint"` // Unix milliseconds
	Actor   string          `cbor:"2,keyasint,omitempty"`
	Action  string          `cbor:"3,keyasint"`
	Object  protocol.Hash   `cbor:"4,keyasint,omitzero"`
	Team    protocol.TeamID `cbor:"5,keyasint,omitzero"`
	Label   tlp.Label       `cbor:"6,keyasint,omitempty"`
	Allowed bool            `cbor:"7,keyasint,omitempty"`
	Rule    string          `cbor:"8,keyasint,omitempty"`
	Reason  string          `cbor:"9,keyasint,omitempty"`
	Erased  []byte          `cbor:"10,keyasint,omitempty"` // of ActionErase: the ranges that were erased
	Size    uint64          `cbor:"11,keyasint,omitempty"` // of ActionBreak: the checkpoint that was given up
	Root    protocol.Hash   `cbor:"12,keyasint,omitzero"`
}

// newWire checks a record of a caller.
func newWire(r *Record) (*wire, error) {
	if r.Action == "" || strings.HasPrefix(r.Action, ownPrefix) {
		return nil, fmt.Errorf("%.40q is no action of a decision", r.Action)
	}
	return own(r)
}

// own is newWire without the check of the action: for the log's own records.
func own(r *Record) (*wire, error) {
	ms := r.Time.UnixMilli()
	if r.Time.IsZero() || ms < 0 || ms > protocol.MaxTime*1000 {
		return nil, errors.New("a record needs a time between 1970 and 9999")
	}
	for _, f := range []struct {
		what, text string
		max        int
	}{{"actor", r.Actor, MaxActor}, {"action", r.Action, MaxAction}, {"rule", r.Rule, MaxRule}} {
		if len(f.text) > f.max || !utf8.ValidString(f.text) {
			return nil, fmt.Errorf("the %s of a record is longer than %d bytes, or not UTF-8", f.what, f.max)
		}
	}
	if r.Label > tlp.Red {
		return nil, fmt.Errorf("%d is no TLP label", r.Label)
	}
	return &wire{Time: uint64(ms), Actor: r.Actor, Action: r.Action, Object: r.Object, Team: r.Team, Label: r.Label,
		Allowed: r.Allowed, Rule: r.Rule, Reason: strings.ToValidUTF8(r.Reason, "\uFFFD")}, nil
}

// record is the inverse of newWire.
func (w *wire) record() Record {
	return Record{Time: time.UnixMilli(int64(w.Time)).UTC(), Actor: w.Actor, Action: w.Action, Object: w.Object,
		Team: w.Team, Label: w.Label, Allowed: w.Allowed, Rule: w.Rule, Reason: w.Reason}
}

// encode returns the encoding, with the reason cut to what fits.
func (w *wire) encode() ([]byte, error) {
	b, err := protocol.Marshal(w)
	if err != nil || len(b) <= maxEncoded {
		return b, err
	}
	const dots = "…"
	c := *w
	keep := len(w.Reason) - (len(b) - maxEncoded) - len(dots)
	if keep < 0 {
		return nil, fmt.Errorf("a record of %d bytes is too long", len(b))
	}
	for keep > 0 && !utf8.RuneStart(w.Reason[keep]) {
		keep--
	}
	c.Reason = w.Reason[:keep] + dots
	return protocol.Marshal(&c)
}

// An opening is a record with the salt that hides it: what the leaf of the tree commits to.
type opening struct {
	salt    [saltSize]byte
	encoded []byte
}

func newOpening(w *wire) (*opening, error) {
	encoded, err := w.encode()
	if err != nil {
		return nil, err
	}
	o := &opening{encoded: encoded}
	rand.Read(o.salt[:])
	return o, nil
}

// leaf returns the leaf's hash. The entry of the tree is SHA-256(salt ‖ record).
func (o *opening) leaf() tlog.Hash {
	entry := sha256.Sum256(o.bytes())
	return tlog.RecordHash(entry[:])
}

// bytes returns the opening as a proof carries it.
func (o *opening) bytes() []byte {
	return append(o.salt[:len(o.salt):len(o.salt)], o.encoded...)
}

// parseOpening is the inverse of bytes.
func parseOpening(b []byte) (*opening, *wire, error) {
	if len(b) <= saltSize || len(b) > saltSize+maxEncoded {
		return nil, nil, errors.New("a record has a wrong length")
	}
	o := &opening{encoded: b[saltSize:]}
	copy(o.salt[:], b)
	w, err := decodeWire(o.encoded)
	return o, w, err
}

func decodeWire(b []byte) (*wire, error) {
	w := new(wire)
	if err := protocol.Unmarshal(b, w); err != nil {
		return nil, err
	}
	if w.Time > protocol.MaxTime*1000 || w.Action == "" || w.Label > tlp.Red {
		return nil, errors.New("a record has a time, an action or a label that cannot be")
	}
	return w, nil
}

// A span is count records from first on.
type span struct{ first, count uint64 }

func (s span) end() uint64 { return s.first + s.count }

// spans are ascending, and neither overlap nor touch.
type spans []span

// add appends an index that is above all others.
func (s *spans) add(i uint64) {
	if n := len(*s); n > 0 && (*s)[n-1].end() == i {
		(*s)[n-1].count++
		return
	}
	*s = append(*s, span{i, 1})
}

func (s spans) count() (n uint64) {
	for _, v := range s {
		n += v.count
	}
	return n
}

// Limits of one record of an erasure.
const (
	maxSpanBytes = 200
	maxErase     = 4096 // records; so that nobody waits for long
)

// take cuts off what one record of an erasure can name.
func (s spans) take() (encoded []byte, taken, rest spans) {
	rest = append(spans(nil), s...)
	var last, n uint64
	for len(rest) > 0 && n < maxErase {
		v := rest[0]
		v.count = min(v.count, maxErase-n)
		next := binary.AppendUvarint(encoded, v.first-last)
		next = binary.AppendUvarint(next, v.count)
		if len(next) > maxSpanBytes {
			break
		}
		encoded, last, n = next, v.end(), n+v.count
		taken = append(taken, v)
		if rest[0].first, rest[0].count = v.end(), rest[0].count-v.count; rest[0].count == 0 {
			rest = rest[1:]
		}
	}
	return encoded, taken, rest
}

// parseSpans reads the spans of a record at the index limit; all lie below it.
func parseSpans(b []byte, limit uint64) (spans, error) {
	var s spans
	at := uint64(0)
	for len(b) > 0 {
		skip, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.New("the list of what was erased is malformed")
		}
		count, m := binary.Uvarint(b[n:])
		if m <= 0 || count == 0 || skip > limit-at || count > limit-at-skip {
			return nil, errors.New("the list of what was erased is malformed")
		}
		s = append(s, span{at + skip, count})
		at += skip + count
		b = b[n+m:]
	}
	return s, nil
}
