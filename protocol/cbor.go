package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// ErrMalformed is wrapped by every error that says: these bytes are not the one encoding of a value of the wanted form.
var ErrMalformed = errors.New("malformed")

// Keys of a record's map from extLow to extHigh are extensions that a reader without knowledge of them ignores.
const (
	extLow  = 900
	extHigh = 999
)

// Major types and simple values of CBOR (RFC 8949 §3).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap

	simpleFalse = 0xf4
	simpleTrue  = 0xf5
)

var errTruncated = errors.New("truncated")

var (
	encMode = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
	}.UserBufferEncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   maxDepth,
		MaxArrayElements:  maxArray,
		MaxMapPairs:       maxArray,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal returns the deterministic encoding of v.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// Unmarshal decodes data into v, which must be zero, if data is the deterministic encoding of the result. A field that v
// requires and data lacks, or that data gives with its absent value, is refused by the same comparison. Extensions are
// left out of v and out of the comparison; who needs them keeps data.
func Unmarshal(data []byte, v any) error {
	s := scanner{b: data}
	if err := s.item(0); err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if s.off != len(data) {
		return fmt.Errorf("%w: %d bytes after the end", ErrMalformed, len(data)-s.off)
	}
	core := data
	if s.extended {
		core = dropExtensions(data)
	}
	if err := decMode.Unmarshal(core, v); err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	again := buffers.Get().(*bytes.Buffer)
	defer recycle(again)
	if err := encMode.MarshalToBuffer(v, again); err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if !bytes.Equal(again.Bytes(), core) {
		return fmt.Errorf("%w: a field is missing, has its absent value, or a wrong length", ErrMalformed)
	}
	return nil
}

// buffers holds the re-encodings that Unmarshal compares with and drops.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func recycle(b *bytes.Buffer) {
	if b.Cap() <= MaxRecord {
		b.Reset()
		buffers.Put(b)
	}
}

// A scanner walks over one item and refuses what is not in the deterministic encoding: shortest heads, map keys ascending
// and unique, no floats, tags, indefinite lengths, null or undefined, bounded depth and sizes, valid UTF-8.
type scanner struct {
	b        []byte
	off      int  // start of what was not read yet
	extended bool // the outermost map has extension keys
}

// head reads the head of the next item: its initial byte and its argument.
func (s *scanner) head() (initial byte, arg uint64, err error) {
	if s.off >= len(s.b) {
		return 0, 0, errTruncated
	}
	initial = s.b[s.off]
	low := initial & 31
	s.off++
	if low < 24 {
		return initial, uint64(low), nil
	}
	if low > 27 {
		return 0, 0, fmt.Errorf("initial byte %#02x is not allowed", initial)
	}
	size := 1 << (low - 24)
	if len(s.b)-s.off < size {
		return 0, 0, errTruncated
	}
	for _, c := range s.b[s.off : s.off+size] {
		arg = arg<<8 | uint64(c)
	}
	s.off += size
	if size == 1 && arg < 24 || size > 1 && arg>>(4*size) == 0 {
		return 0, 0, errors.New("a number is not in its shortest form")
	}
	return initial, arg, nil
}

// item reads the next item, which is inside depth others.
func (s *scanner) item(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	initial, arg, err := s.head()
	if err != nil {
		return err
	}
	switch initial >> 5 {
	case majorUint, majorNegative:
		return nil
	case majorBytes, majorText:
		if arg > uint64(len(s.b)-s.off) {
			return errTruncated
		}
		text := s.b[s.off : s.off+int(arg)]
		s.off += int(arg)
		if initial>>5 == majorText && !utf8.Valid(text) {
			return errors.New("a text is not UTF-8")
		}
		return nil
	case majorArray:
		if arg > maxArray {
			return fmt.Errorf("a list of %d entries: at most %d", arg, maxArray)
		}
		for range arg {
			if err := s.item(depth + 1); err != nil {
				return err
			}
		}
		return nil
	case majorMap:
		if arg > maxArray {
			return fmt.Errorf("a map of %d entries: at most %d", arg, maxArray)
		}
		var last []byte
		for range arg {
			start := s.off
			if isExtension(s.b[start:]) && depth == 0 {
				s.extended = true
			}
			if err := s.item(depth + 1); err != nil {
				return err
			}
			key := s.b[start:s.off]
			if key[0]>>5 > majorText {
				return errors.New("a key of a map is neither a number nor a string")
			}
			if bytes.Compare(last, key) >= 0 {
				return errors.New("the keys of a map are not ascending")
			}
			last = key
			if err := s.item(depth + 1); err != nil {
				return err
			}
		}
		return nil
	}
	if initial == simpleFalse || initial == simpleTrue {
		return nil
	}
	return fmt.Errorf("initial byte %#02x is not allowed", initial)
}

// isExtension reports whether b starts with a key that is an extension; b need not be whole.
func isExtension(b []byte) bool {
	if len(b) < 3 || b[0] != majorUint<<5|25 {
		return false
	}
	key := int(b[1])<<8 | int(b[2])
	return key >= extLow && key <= extHigh
}

// dropExtensions returns a copy of data, a map that was scanned, without the extension keys of that map.
func dropExtensions(data []byte) []byte {
	s := scanner{b: data}
	_, pairs, _ := s.head()
	kept := make([]byte, 0, len(data))
	n := uint64(0)
	for range pairs {
		start := s.off
		if errors.Join(s.item(1), s.item(1)) != nil { // key and value
			panic("protocol: extensions dropped from data that was not scanned")
		}
		if !isExtension(data[start:]) {
			kept = append(kept, data[start:s.off]...)
			n++
		}
	}
	out := must(Marshal(n)) // the same head, of the major type unsigned integer
	out[0] |= majorMap << 5
	return append(out, kept...)
}
