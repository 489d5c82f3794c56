package seal

import (
	"bytes"
	"errors"
	"math/bits"
)

// MinPadded is the least size that padding gives, in bytes.
const MinPadded = 1 << 10

// padMark ends the content of padded bytes.
const padMark = 0x80

var errPadding = errors.New("the padding is not what padding gives")

// PaddedSize returns to how many bytes n are padded: Padmé (PURBs, PoPETs 2019, section 4), and never less than [MinPadded].
// It adds at most 12 percent, less for larger sizes, and tells of the size n no more than about log2(log2(n)) bits. n is below
// 2^63.
func PaddedSize(n uint64) uint64 {
	n = max(n, MinPadded)
	e := bits.Len64(n) - 1 // the exponent
	s := bits.Len(uint(e)) // the bits that the exponent takes: as many of the mantissa are kept
	low := uint64(1)<<(e-s) - 1
	return (n + low) &^ low
}

// Pad returns plain, a mark and zeros, of [PaddedSize] of one byte more than plain has.
func Pad(plain []byte) []byte {
	out := make([]byte, PaddedSize(uint64(len(plain))+1))
	out[copy(out, plain)] = padMark
	return out
}

// Unpad returns the plain bytes of what [Pad] returned; they share its memory. Whatever else is refused, so that a text has one
// padded form.
func Unpad(padded []byte) ([]byte, error) {
	plain, ok := bytes.CutSuffix(bytes.TrimRight(padded, "\x00"), []byte{padMark})
	if !ok || uint64(len(padded)) != PaddedSize(uint64(len(plain))+1) {
		return nil, errPadding
	}
	return plain, nil
}
