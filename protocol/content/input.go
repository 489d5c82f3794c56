package content

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

const (
	bufferSize = 128 << 10
	sniffSize  = 4 << 10 // bytes by which text, JSON and the rest are told apart
)

// An input is a window on the reader. Its bytes are buf[pos:end].
type input struct {
	r    io.Reader
	buf  []byte
	pos  int
	end  int
	base int64 // offset of buf[0] in the document
	err  error // what ended the reader; io.EOF at a regular end
}

func newInput(r io.Reader) *input {
	return &input{r: r, buf: make([]byte, bufferSize)}
}

// offset is the place of buf[pos] in the document.
func (in *input) offset() int64 { return in.base + int64(in.pos) }

// more reads at least one more byte, moving the window to make room. It returns false at the end of the reader, and when
// the window is full.
func (in *input) more() bool {
	if in.err != nil {
		return false
	}
	if in.pos > 0 && (in.end == len(in.buf) || in.pos == in.end) {
		n := copy(in.buf, in.buf[in.pos:in.end])
		in.base += int64(in.pos)
		in.pos, in.end = 0, n
	}
	if in.end == len(in.buf) {
		return false
	}
	for range 100 {
		n, err := in.r.Read(in.buf[in.end:])
		if n < 0 || n > len(in.buf)-in.end {
			n, err = 0, io.ErrNoProgress
		}
		in.end += n
		in.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	in.err = io.ErrNoProgress
	return false
}

// ensure makes n bytes available, fewer only at the end. n must be small against the buffer.
func (in *input) ensure(n int) []byte {
	for in.end-in.pos < n && in.more() {
	}
	return in.buf[in.pos:in.end]
}

// failed is the reader's error, nil at a regular end.
func (in *input) failed() error {
	if in.err == nil || in.err == io.EOF {
		return nil
	}
	return in.err
}

// drain reads to the end.
func (in *input) drain() error {
	in.pos = in.end
	for in.more() {
		in.pos = in.end
	}
	return in.failed()
}

type sniffed int

const (
	sniffText sniffed = iota
	sniffJSON
	sniffBinary
)

// sniff looks at the start of the document and skips a byte order mark.
//
// An object is JSON as soon as it opens like one: from there on it claims to be JSON, and must be. An array is JSON if its
// first element is such an object, or if all of the start lexes; text may well begin with a bracket.
func (in *input) sniff() sniffed {
	head := in.ensure(sniffSize)
	whole := len(head) < sniffSize
	head = head[:min(len(head), sniffSize)]
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		in.pos += 3
		head = head[3:]
	}
	if !whole {
		head = wholeRunes(head)
	}
	if !isText(head) {
		return sniffBinary
	}
	p := skipSpace(head)
	if len(p) == 0 {
		return sniffText
	}
	if opensObject(p) {
		return sniffJSON
	}
	if p[0] == '[' {
		if opensObject(skipSpace(p[1:])) || lexes(p, whole) {
			return sniffJSON
		}
	}
	return sniffText
}

// lexes reports whether p is JSON, or the beginning of it.
func lexes(p []byte, whole bool) bool {
	_, err := readJSON(&input{buf: p, end: len(p), err: io.EOF}, newIndexer(nil))
	var e *Error
	if !errors.As(err, &e) || e.Reason != ErrBroken {
		return true
	}
	return !whole && e.Offset == int64(len(p))
}

func skipSpace(p []byte) []byte { return bytes.TrimLeft(p, " \t\r\n") }

func opensObject(p []byte) bool {
	if len(p) == 0 || p[0] != '{' {
		return false
	}
	p = skipSpace(p[1:])
	return len(p) > 0 && (p[0] == '"' || p[0] == '}')
}

// isText reports whether p is UTF-8 without binary control characters.
func isText(p []byte) bool {
	if !utf8.Valid(p) {
		return false
	}
	for _, c := range p {
		if binaryByte[c] {
			return false
		}
	}
	return true
}

// wholeRunes is p without an unfinished rune at its end.
func wholeRunes(p []byte) []byte {
	for i := 1; i <= 3 && i <= len(p); i++ {
		c := p[len(p)-i]
		if c < 0x80 {
			return p
		}
		if utf8.RuneStart(c) {
			if !utf8.FullRune(p[len(p)-i:]) {
				return p[:len(p)-i]
			}
			return p
		}
	}
	return p
}

// binaryByte marks the control characters that text does not contain: all but the ones for layout and terminal colours.
var binaryByte = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = c < '\b' || c > '\r' && c != 0x1b
	}
	return t
}()
