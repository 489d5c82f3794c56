package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// This file is a second decoder, written from SPEC.md and sharing no code with the package: it decides which bytes have
// the form of a record. What the fields are it reads from the tables of SPEC.md.

// The items of CBOR as the reference knows them: uint64, refNegative, []byte, string, []any, refMap, bool. The encoder also
// takes refRaw, for what must not be decodable.
type (
	refNegative uint64
	refMap      []refPair
	refPair     struct{ key, value any }
	refRaw      []byte
)

var errRef = errors.New("not in the form of SPEC.md")

func refHead(major int, n uint64) []byte {
	b := []byte{byte(major << 5)}
	switch {
	case n < 24:
		b[0] |= byte(n)
		return b
	case n < 1<<8:
		b[0] |= 24
		return append(b, byte(n))
	case n < 1<<16:
		b[0] |= 25
		return binary.BigEndian.AppendUint16(b, uint16(n))
	case n < 1<<32:
		b[0] |= 26
		return binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b[0] |= 27
	return binary.BigEndian.AppendUint64(b, n)
}

// refEncode encodes the item; a map keeps the order of its pairs.
func refEncode(v any) []byte {
	switch v := v.(type) {
	case uint64:
		return refHead(0, v)
	case refNegative:
		return refHead(1, uint64(v))
	case []byte:
		return append(refHead(2, uint64(len(v))), v...)
	case string:
		return append(refHead(3, uint64(len(v))), v...)
	case []any:
		b := refHead(4, uint64(len(v)))
		for _, e := range v {
			b = append(b, refEncode(e)...)
		}
		return b
	case refMap:
		b := refHead(5, uint64(len(v)))
		for _, p := range v {
			b = append(append(b, refEncode(p.key)...), refEncode(p.value)...)
		}
		return b
	case bool:
		if v {
			return []byte{0xf5}
		}
		return []byte{0xf4}
	case refRaw:
		return v
	}
	panic(fmt.Sprintf("no item: %T", v))
}

// refDecode decodes all of b.
func refDecode(b []byte) (any, error) {
	v, rest, err := refItem(b, 0)
	if err == nil && len(rest) > 0 {
		err = errRef
	}
	return v, err
}

func refItem(b []byte, depth int) (v any, rest []byte, err error) {
	if len(b) == 0 || depth > 8 {
		return nil, nil, errRef
	}
	if b[0] == 0xf4 || b[0] == 0xf5 {
		return b[0] == 0xf5, b[1:], nil
	}
	major, n := int(b[0]>>5), uint64(b[0]&31)
	if k := int(n) - 24; k >= 0 {
		if k > 3 || len(b) < 1+1<<k {
			return nil, nil, errRef
		}
		n, _ = strconv.ParseUint(fmt.Sprintf("%x", b[1:1+1<<k]), 16, 64)
	}
	shortest := refHead(major, n)
	if major > 5 || !bytes.HasPrefix(b, shortest) {
		return nil, nil, errRef
	}
	rest = b[len(shortest):]
	switch major {
	case 0:
		return n, rest, nil
	case 1:
		return refNegative(n), rest, nil
	case 2, 3:
		if n > uint64(len(rest)) {
			return nil, nil, errRef
		}
		s := rest[:n]
		if major == 2 {
			return s, rest[n:], nil
		}
		if !utf8.Valid(s) {
			return nil, nil, errRef
		}
		return string(s), rest[n:], nil
	}
	if n > 4096 {
		return nil, nil, errRef
	}
	list, pairs, keys := []any{}, refMap{}, [][]byte{}
	for range n {
		var p refPair
		if major == 5 {
			at := rest
			if p.key, rest, err = refItem(rest, depth+1); err != nil {
				return nil, nil, err
			}
			switch p.key.(type) {
			case []any, refMap, bool:
				return nil, nil, errRef
			}
			keys = append(keys, at[:len(at)-len(rest)])
		}
		if p.value, rest, err = refItem(rest, depth+1); err != nil {
			return nil, nil, err
		}
		list, pairs = append(list, p.value), append(pairs, p)
	}
	if major == 4 {
		return list, rest, nil
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) || len(slices.CompactFunc(keys, bytes.Equal)) != len(pairs) {
		return nil, nil, errRef
	}
	return pairs, rest, nil
}

// A refField is a row of a table of SPEC.md.
type refField struct {
	key      uint64
	form     string
	optional bool
}

// refSchema reads the tables of SPEC.md: the fields of each map.
var refSchema = sync.OnceValue(func() map[string][]refField {
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		panic(err)
	}
	schema, name := map[string][]refField{}, ""
	title := regexp.MustCompile(`^\| \*\*(.+)\*\* \| \| \| \|$`)
	row := regexp.MustCompile(`^\| (\d+) \| [^|]+ \| ([^|]+) \| (always|unless empty) \|$`)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if m := title.FindStringSubmatch(line); m != nil {
			name = m[1]
		} else if m := row.FindStringSubmatch(line); m != nil {
			key, _ := strconv.ParseUint(m[1], 10, 64)
			schema[name] = append(schema[name], refField{key, m[2], m[3] == "unless empty"})
		}
	}
	return schema
})

// refHasForm reports whether the item has the form, as a cell of a table writes it.
func refHasForm(v any, form string) bool {
	if of, ok := strings.CutPrefix(form, "list of "); ok {
		list, ok := v.([]any)
		return ok && !slices.ContainsFunc(list, func(e any) bool { return !refHasForm(e, of) })
	}
	if name, ok := strings.CutPrefix(form, "*"); ok {
		m, ok := v.(refMap)
		return ok && refHasFields(m, strings.TrimSuffix(name, "*"))
	}
	n, isUint := v.(uint64)
	b, isBytes := v.([]byte)
	switch form {
	case "uint8", "uint32", "uint64":
		bits, _ := strconv.Atoi(form[4:])
		return isUint && (bits == 64 || n>>bits == 0)
	case "bytes":
		return isBytes
	case "bytes16", "kid":
		return isBytes && len(b) == 16
	case "bytes32", "hash":
		return isBytes && len(b) == 32
	case "bytes64":
		return isBytes && len(b) == 64
	case "text":
		_, ok := v.(string)
		return ok
	case "bool":
		_, ok := v.(bool)
		return ok
	case "envelope":
		l, ok := v.([]any)
		return ok && len(l) == 3 && refHasForm(l[0], "text") && refHasForm(l[1], "bytes") && refHasForm(l[2], "list of signature")
	case "signature":
		l, ok := v.([]any)
		return ok && len(l) == 4 && refHasForm(l[0], "kid") && refHasForm(l[1], "uint8") && refHasForm(l[2], "bytes64") && refHasForm(l[3], "bytes")
	}
	panic("SPEC.md names an unknown form: " + form)
}

// refHasFields reports whether the map has the fields of the table, each in its form, and no others.
func refHasFields(m refMap, name string) bool {
	fields, ok := refSchema()[name]
	if !ok {
		panic("SPEC.md has no table of " + name)
	}
	known := 0
	for _, f := range fields {
		i := slices.IndexFunc(m, func(p refPair) bool { return p.key == any(f.key) })
		switch {
		case i < 0 && !f.optional:
			return false
		case i < 0:
			continue
		case !refHasForm(m[i].value, f.form), f.optional && refIsEmpty(m[i].value, f.form):
			return false
		}
		known++
	}
	return known == len(m)
}

// refIsEmpty reports whether the value is the absent one of its form.
func refIsEmpty(v any, form string) bool {
	switch v := v.(type) {
	case []byte:
		return len(v) == 0 || form == "hash" && len(bytes.Trim(v, "\x00")) == 0
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case bool:
		return !v
	case uint64:
		return v == 0
	case refMap: // of the maps, only the body has an absent value
		return form == "*body*" && !slices.ContainsFunc(v, func(p refPair) bool {
			b, ok := p.value.([]byte)
			return !(ok && len(bytes.Trim(b, "\x00")) == 0) && !refIsEmpty(p.value, "")
		})
	}
	return false
}

// refAccepts reports whether data has the form of the record, bundle or greeting with the name, or of an envelope.
func refAccepts(name string, data []byte) bool {
	v, err := refDecode(data)
	if err != nil {
		return false
	}
	if name == "envelope" {
		return refHasForm(v, name)
	}
	m, ok := v.(refMap)
	if !ok {
		return false
	}
	m = slices.DeleteFunc(slices.Clone(m), func(p refPair) bool {
		k, ok := p.key.(uint64)
		return ok && k >= 900 && k <= 999
	})
	return refHasFields(m, name)
}
