package content

import (
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// A lexer reads JSON (RFC 8259) from an input, a token at a time. Unlike encoding/json it never holds a whole string: one
// longer than MaxString goes to spill in parts. It is strict: no invalid UTF-8, no control characters in strings. A lone
// surrogate escape, which the grammar allows, becomes U+FFFD.
type lexer struct {
	in *input

	str   []byte   // last string, decoded; valid until the next call. Only its beginning if long
	long  bool     // the last string was longer than MaxString, and went to spill
	spill *indexer // gets the parts of a long string; may be nil
	kept  []byte   // backs str where decoding or joining was needed
	head  []byte   // beginning of a long string
}

// fail reports malformed input at the current byte, or the reader's own error if that is why it ended.
func (l *lexer) fail(detail string) error {
	if l.in.pos == l.in.end {
		if err := l.in.failed(); err != nil {
			return err
		}
		if l.in.err == io.EOF {
			detail = "JSON ends early"
		}
	}
	return &Error{Offset: l.in.offset(), Reason: ErrBroken, Detail: detail}
}

// peek returns the next byte that is not white space, without taking it; 0 at the end.
func (l *lexer) peek() byte {
	for {
		for l.in.pos < l.in.end {
			switch c := l.in.buf[l.in.pos]; c {
			case ' ', '\t', '\r', '\n':
				l.in.pos++
			default:
				return c
			}
		}
		if !l.in.more() {
			return 0
		}
	}
}

// string reads a string; the next byte must be its opening quote.
func (l *lexer) string() error {
	in := l.in
	in.pos++
	l.long = false
	l.kept = l.kept[:0]
	for {
		if in.pos == in.end && !in.more() {
			return l.fail("")
		}
		i, high := in.pos, byte(0)
		for i < in.end {
			c := in.buf[i]
			if c == '"' || c == '\\' || c < 0x20 {
				break
			}
			high |= c
			i++
		}
		part := in.buf[in.pos:i]
		if high >= 0x80 && !utf8.Valid(part) {
			if i < in.end || in.err != nil && i == in.end {
				return l.badUTF8(part)
			}
			whole := wholeRunes(part)
			if !utf8.Valid(whole) {
				return l.badUTF8(part)
			}
			if len(whole) == 0 { // only the start of a rune is here
				if !in.more() {
					return l.badUTF8(part)
				}
				continue
			}
			l.keep(whole)
			in.pos += len(whole)
			continue
		}
		if i < in.end && in.buf[i] == '"' {
			in.pos = i + 1
			if len(l.kept) == 0 && !l.long && len(part) <= MaxString {
				l.str = part
				return nil
			}
			l.keep(part)
			l.str = l.kept
			if l.long {
				l.str = l.head
				if l.spill != nil {
					l.spill.feed(l.kept)
				}
			}
			return nil
		}
		l.keep(part)
		in.pos = i
		if i == in.end {
			continue
		}
		if in.buf[i] != '\\' {
			return l.fail("control character in a string")
		}
		if err := l.escape(); err != nil {
			return err
		}
	}
}

func (l *lexer) badUTF8(part []byte) error {
	for len(part) > 0 {
		r, n := utf8.DecodeRune(part)
		if r == utf8.RuneError && n == 1 {
			break
		}
		part = part[n:]
		l.in.pos += n
	}
	return l.fail("string is not UTF-8")
}

// keep appends to the string. What does not fit any more is spilled together with what was kept: from then on the string
// is long, and kept is only a buffer.
func (l *lexer) keep(p []byte) {
	for len(l.kept)+len(p) > MaxString {
		n := MaxString - len(l.kept)
		l.kept = append(l.kept, p[:n]...)
		p = p[n:]
		if !l.long {
			l.long = true
			l.head = append(l.head[:0], l.kept[:4*MaxTitle]...)
		}
		if l.spill != nil {
			l.spill.feed(l.kept)
		}
		l.kept = l.kept[:0]
	}
	l.kept = append(l.kept, p...)
}

// escape reads one escape sequence; the next byte must be its backslash.
func (l *lexer) escape() error {
	p := l.in.ensure(2)
	if len(p) < 2 {
		l.in.pos = l.in.end
		return l.fail("")
	}
	var c byte
	switch p[1] {
	case '"', '\\', '/':
		c = p[1]
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return l.unicodeEscape()
	default:
		return l.fail("unknown escape in a string")
	}
	l.in.pos += 2
	l.keep([]byte{c})
	return nil
}

func (l *lexer) unicodeEscape() error {
	p := l.in.ensure(12)
	if len(p) < 6 {
		l.in.pos = l.in.end
		return l.fail("")
	}
	r, ok := hex4(p[2:6])
	if !ok {
		return l.fail("invalid \\u escape in a string")
	}
	n := 6
	if utf16.IsSurrogate(r) {
		r = utf8.RuneError
		if len(p) >= 12 && p[6] == '\\' && p[7] == 'u' {
			high, _ := hex4(p[2:6])
			if low, ok := hex4(p[8:12]); ok && utf16.DecodeRune(high, low) != utf8.RuneError {
				r, n = utf16.DecodeRune(high, low), 12
			}
		}
	}
	l.in.pos += n
	var b [utf8.UTFMax]byte
	l.keep(b[:utf8.EncodeRune(b[:], r)])
	return nil
}

func hex4(p []byte) (r rune, ok bool) {
	for _, c := range p {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// scalar reads a number, true, false or null.
func (l *lexer) scalar() error {
	switch l.peek() {
	case 't':
		return l.literal("true")
	case 'f':
		return l.literal("false")
	case 'n':
		return l.literal("null")
	default:
		return l.number()
	}
}

func (l *lexer) literal(want string) error {
	p := l.in.ensure(len(want))
	if !bytes.HasPrefix(p, []byte(want)) {
		if len(p) < len(want) && bytes.HasPrefix([]byte(want), p) {
			l.in.pos = l.in.end
		}
		return l.fail("neither a value nor the end of one")
	}
	l.in.pos += len(want)
	return nil
}

// number reads a number of any length.
func (l *lexer) number() error {
	if l.next() == '-' {
		l.in.pos++
	}
	if l.next() == '0' {
		l.in.pos++
	} else if l.digits() == 0 {
		return l.fail("neither a value nor the end of one")
	}
	if l.next() == '.' {
		l.in.pos++
		if l.digits() == 0 {
			return l.fail("malformed number")
		}
	}
	if c := l.next(); c == 'e' || c == 'E' {
		l.in.pos++
		if c := l.next(); c == '+' || c == '-' {
			l.in.pos++
		}
		if l.digits() == 0 {
			return l.fail("malformed number")
		}
	}
	return nil
}

// next returns the next byte without taking it; 0 at the end.
func (l *lexer) next() byte {
	if l.in.pos == l.in.end && !l.in.more() {
		return 0
	}
	return l.in.buf[l.in.pos]
}

func (l *lexer) digits() (n int) {
	for c := l.next(); c >= '0' && c <= '9'; c = l.next() {
		l.in.pos++
		n++
	}
	return n
}
