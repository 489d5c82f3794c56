package frame_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

func reader(data []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(data)) }

func TestRead(t *testing.T) {
	of := func(n int) []byte { return append(binary.AppendUvarint(nil, uint64(n)), make([]byte, n)...) }
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"small":         {of(1), nil},
		"at the limit":  {of(200_000), nil},
		"empty":         {[]byte{0}, protocol.ErrMalformed},
		"too long":      {of(200_001), protocol.ErrMalformed},
		"announced":     {binary.AppendUvarint(nil, 1<<34), protocol.ErrMalformed},
		"endless":       {bytes.Repeat([]byte{0xff}, 20), protocol.ErrMalformed},
		"not shortest":  {[]byte{0x81, 0x00, 1}, protocol.ErrMalformed},
		"cut":           {of(100_000)[:70_000], io.ErrUnexpectedEOF},
		"cut in length": {[]byte{0x80}, io.ErrUnexpectedEOF},
		"nothing":       {nil, io.EOF},
	} {
		got, err := frame.Read(reader(c.data), 200_000)
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || len(got) == 0) {
			t.Errorf("%s: got %d bytes, %v; want %v", name, len(got), err, c.want)
		}
	}
}

// An announced length takes no memory before its bytes come.
func TestReadTakesMemoryAsBytesCome(t *testing.T) {
	data := append(binary.AppendUvarint(nil, 1<<30), make([]byte, 100)...)
	res := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := frame.Read(reader(data), 1<<30); !errors.Is(err, io.ErrUnexpectedEOF) {
				b.Fatalf("got %v", err)
			}
		}
	})
	if n := res.AllocedBytesPerOp(); n > 256<<10 {
		t.Errorf("%d bytes taken for 100 that came", n)
	}
}

type pair struct {
	A uint64 `cbor:"1,keyasint"`
	B []byte `cbor:"2,keyasint,omitempty"`
}

func (p *pair) Check() error {
	if p.A > 9 {
		return fmt.Errorf("%w: over 9", protocol.ErrMalformed)
	}
	return nil
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		give pair
		ok   bool
	}{"plain": {pair{3, []byte("x")}, true}, "out of bounds": {pair{A: 10}, false}} {
		data, err := frame.Append(nil, &c.give)
		if err != nil {
			t.Fatal(err)
		}
		content, err := frame.Read(reader(data), 100)
		if err != nil {
			t.Fatal(err)
		}
		got, err := frame.Decode[pair](content)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
		if c.ok && (got.A != c.give.A || !bytes.Equal(got.B, c.give.B)) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.give)
		}
	}
	if _, err := frame.Decode[pair]([]byte{0xa1}); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("half a map: got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{3, 1, 2, 3}, 3)
	f.Add([]byte{0x80, 0x01}, 300)
	f.Fuzz(func(t *testing.T, data []byte, most int) {
		most &= 1<<16 - 1
		got, err := frame.Read(reader(data), most)
		if err == nil && (len(got) == 0 || len(got) > most || !bytes.Contains(data, got)) {
			t.Fatalf("got %d bytes with a limit of %d", len(got), most)
		}
	})
}
