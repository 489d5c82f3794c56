package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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

var (
	encMode = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
	}.EncMode())
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

// Unmarshal decodes data into v if data is the deterministic encoding of the result. A field that v requires and data
// lacks, or that data gives with its absent value, is refused by the same comparison.
func Unmarshal(data []byte, v any) error {
	if err := canonical(data); err != nil {
		return err
	}
	core, err := dropExtensions(data)
	if err != nil {
		return err
	}
	if err := decMode.Unmarshal(core, v); err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if !bytes.Equal(again, core) {
		return fmt.Errorf("%w: a field is missing, has its absent value, or a wrong length", ErrMalformed)
	}
	return nil
}

// canonical checks that data is one well-formed item in the deterministic encoding: shortest heads, map keys ascending and
// unique, no floats, tags, indefinite lengths, null or undefined, bounded depth and sizes, valid UTF-8.
func canonical(data []byte) error {
	n, err := walk(data, 0)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if n != len(data) {
		return fmt.Errorf("%w: %d bytes after the end", ErrMalformed, len(data)-n)
	}
	return nil
}

// head reads the head of the item at the start of b: its major type, argument and length in bytes.
func head(b []byte) (major byte, arg uint64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, 0, errors.New("truncated")
	}
	major, low := b[0]>>5, b[0]&31
	switch {
	case low < 24:
		return major, uint64(low), 1, nil
	case low > 27:
		return 0, 0, 0, fmt.Errorf("initial byte %#02x is not allowed", b[0])
	}
	size = 1 + 1<<(low-24)
	if len(b) < size {
		return 0, 0, 0, errors.New("truncated")
	}
	var buf [8]byte
	copy(buf[9-size:], b[1:size])
	arg = binary.BigEndian.Uint64(buf[:])
	if shortest := map[byte]uint64{24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}[low]; arg < shortest {
		return 0, 0, 0, errors.New("a number is not in its shortest form")
	}
	return major, arg, size, nil
}

// walk returns the length of the item at the start of b.
func walk(b []byte, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	major, arg, n, err := head(b)
	if err != nil {
		return 0, err
	}
	switch major {
	case 0, 1:
		return n, nil
	case 2, 3:
		if arg > uint64(len(b)-n) {
			return 0, errors.New("truncated")
		}
		if major == 3 && !utf8.Valid(b[n:n+int(arg)]) {
			return 0, errors.New("a text is not UTF-8")
		}
		return n + int(arg), nil
	case 4, 5:
		if arg > maxArray {
			return 0, fmt.Errorf("a list of %d entries: at most %d", arg, maxArray)
		}
		var prev []byte
		for range arg {
			m, err := walk(b[n:], depth+1)
			if err != nil {
				return 0, err
			}
			key := b[n : n+m]
			n += m
			if major == 4 {
				continue
			}
			if prev != nil && bytes.Compare(prev, key) >= 0 {
				return 0, errors.New("the keys of a map are not ascending")
			}
			prev = key
			if m, err = walk(b[n:], depth+1); err != nil {
				return 0, err
			}
			n += m
		}
		return n, nil
	case 7:
		if b[0] == 0xf4 || b[0] == 0xf5 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("initial byte %#02x is not allowed", b[0])
}

// dropExtensions returns canonical data without the extension keys of its outermost map.
func dropExtensions(data []byte) ([]byte, error) {
	major, pairs, n, err := head(data)
	if err != nil || major != 5 {
		return data, nil
	}
	var kept [][]byte
	for range pairs {
		k, err := walk(data[n:], 1)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
		v, err := walk(data[n+k:], 1)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
		if m, key, _, _ := head(data[n:]); m != 0 || key < extLow || key > extHigh {
			kept = append(kept, data[n:n+k+v])
		}
		n += k + v
	}
	if uint64(len(kept)) == pairs {
		return data, nil
	}
	out := must(Marshal(uint64(len(kept)))) // the same head, of the major type unsigned integer
	out[0] |= 5 << 5
	return append(out, bytes.Join(kept, nil)...), nil
}
