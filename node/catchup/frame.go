package catchup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/entente-network/entente/protocol"
)

// A checker is a frame's content that knows its own bounds.
type checker interface{ check() error }

// appendFrame appends v to b: its length as an unsigned varint, and its encoding.
func appendFrame(b []byte, v any) ([]byte, error) {
	data, err := protocol.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(binary.AppendUvarint(b, uint64(len(data))), data...), nil
}

// readFrame reads the bytes of one frame of at most most bytes. Memory is taken as the bytes arrive, not as they are
// announced.
func readFrame(r *bufio.Reader, most int) ([]byte, error) {
	var n uint64
	for i := 0; ; i++ {
		c, err := r.ReadByte()
		if err != nil {
			if i > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c == 0 || n > uint64(most) {
				return nil, fmt.Errorf("%w: a frame of %d bytes: want 1 to %d, in the shortest form", protocol.ErrMalformed, n, most)
			}
			break
		}
		if i == 4 {
			return nil, fmt.Errorf("%w: the length of a frame is too long", protocol.ErrMalformed)
		}
	}
	const step = 64 << 10
	buf := make([]byte, 0, min(n, step))
	for uint64(len(buf)) < n {
		from := len(buf)
		m := min(int(n)-from, max(step, from))
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

// decode reads a frame's content.
func decode[T any, P interface {
	*T
	checker
}](data []byte) (*T, error) {
	var v T
	if err := protocol.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return &v, P(&v).check()
}
