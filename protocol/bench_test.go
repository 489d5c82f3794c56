package protocol

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
)

// parcelWith returns an encoded parcel around a statement with a body of n bytes.
func parcelWith(tb testing.TB, n int) []byte {
	tb.Helper()
	st := exampleStatement()
	body := bytes.Repeat([]byte{'x'}, n)
	st.Body = Body{Format: "text", Size: uint64(n), Hash: sha256.Sum256(body), Inline: body}
	return sign(tb, exampleParcel(st, 1), nodeKey).Encode()
}

func BenchmarkDecodeParcel(b *testing.B) {
	for _, n := range []int{1 << 10, 4 << 10, 32 << 10} {
		b.Run(fmt.Sprintf("body=%dKiB", n>>10), func(b *testing.B) {
			data := parcelWith(b, n)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				e, err := DecodeEnvelope(data, MaxParcel)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Decode[Parcel](e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenCommunity(b *testing.B) {
	e, err := DecodeEnvelope(parcelWith(b, 4<<10), MaxParcel)
	if err != nil {
		b.Fatal(err)
	}
	p, err := Decode[Parcel](e)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.OpenCommunity(nodeKey.Public()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSealed(b *testing.B) {
	st := exampleAmber()
	body := bytes.Repeat([]byte{'x'}, 4<<10)
	st.Body = Body{Format: "text", Size: uint64(len(body)), Hash: sha256.Sum256(body), Inline: body}
	c := Between(at, de, Hash{})
	p, inner := sealedParcel(st, c, 1), innerOf(st)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.OpenSealed(nodeKey.Public(), inner, c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct {
		name string
		typ  Type
	}{{"ed25519", TypeParcel}, {"hybrid", TypeCard}} {
		b.Run(c.name, func(b *testing.B) {
			x := exampleOf(b, c.typ)
			e, keys := sign(b, x.record, x.keys...), x.public()
			b.ReportAllocs()
			for b.Loop() {
				if n, err := e.Signers(x.use, keys); n != 1 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkDecodeManifest(b *testing.B) {
	data := sign(b, largest()[1].record, officerKey).Encode()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		e, err := DecodeEnvelope(data, MaxRecord)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Decode[Manifest](e); err != nil {
			b.Fatal(err)
		}
	}
}
