// Package frame is how the node's own protocols put records on a stream: each as a frame, which is its length as an unsigned
// varint in the shortest form, and its deterministic encoding.
//
// Whoever reads a frame names the most that it may have, so that a peer cannot make this node hold more. What a frame
// contains knows its own bounds: see [Checker].
package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/entente-network/entente/protocol"
)

// maxLength is how many bytes the length of a frame takes at the most.
const maxLength = 5

// A Checker is a frame's content that knows its own bounds.
type Checker interface{ Check() error }

// Append appends v to b as a frame.
func Append(b []byte, v any) ([]byte, error) {
	data, err := protocol.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(binary.AppendUvarint(b, uint64(len(data))), data...), nil
}

// Read reads the bytes of one frame of at most most bytes. The error is io.EOF if there is none, io.ErrUnexpectedEOF if it
// is cut off, and wraps protocol.ErrMalformed if it is too long or its length is not in the shortest form.
func Read(r *bufio.Reader, most int) ([]byte, error) {
	n, err := Length(r, most)
	if err != nil {
		return nil, err
	}
	return Content(r, n)
}

// Length reads the length of a frame, the first half of what Read does.
func Length(r *bufio.Reader, most int) (int, error) {
	var n uint64
	for i := range maxLength {
		c, err := r.ReadByte()
		if err != nil {
			if i > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c >= 0x80 {
			continue
		}
		if c == 0 || n > uint64(most) {
			return 0, fmt.Errorf("%w: a frame of %d bytes: want 1 to %d, in the shortest form", protocol.ErrMalformed, n, most)
		}
		return int(n), nil
	}
	return 0, fmt.Errorf("%w: the length of a frame is too long", protocol.ErrMalformed)
}

// Content reads the n bytes that follow a length. Memory is taken as the bytes arrive, not as they are announced.
func Content(r *bufio.Reader, n int) ([]byte, error) {
	const step = 64 << 10
	buf := make([]byte, 0, min(n, step))
	for len(buf) < n {
		from := len(buf)
		m := min(n-from, max(step, from))
		if cap(buf)-from < m {
			grown := make([]byte, from, from+m)
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:from+m]
		if _, err := io.ReadFull(r, buf[from:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}

// Decode reads a frame's content. An error wraps protocol.ErrMalformed.
func Decode[T any, P interface {
	*T
	Checker
}](data []byte) (*T, error) {
	var v T
	if err := protocol.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return &v, P(&v).Check()
}
