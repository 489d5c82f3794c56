package seal

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

func BenchmarkSealSmall(b *testing.B) {
	plain := random(4 << 10)
	for _, n := range []int{1, 2, 16, 64} {
		to := make([]Recipient, n)
		for i := range to {
			to[i] = newIdentity(b).Recipient()
		}
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := SealSmall(plain, to...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The recipient's stanza is anywhere, so that half of them are tried.
func BenchmarkOpenSmall(b *testing.B) {
	plain := random(4 << 10)
	for _, n := range []int{1, 2, 16, 64} {
		id := newIdentity(b)
		to := []Recipient{id.Recipient()}
		for len(to) < n {
			to = append(to, newIdentity(b).Recipient())
		}
		var files [8][]byte
		for i := range files {
			files[i] = sealedSmall(b, plain, to...)
		}
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := OpenSmall(files[i%len(files)], id); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

const benchBlob = 16 << 20

func BenchmarkSealBlob(b *testing.B) {
	key, plain := newIdentity(b), random(benchBlob)
	b.SetBytes(benchBlob)
	b.ReportAllocs()
	for b.Loop() {
		w, err := SealBlob(io.Discard, key, benchBlob)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenBlob(b *testing.B) {
	key := newIdentity(b)
	file := sealedBlob(b, random(benchBlob), key)
	b.SetBytes(benchBlob)
	b.ReportAllocs()
	for b.Loop() {
		r, err := OpenBlob(nopCloser{bytes.NewReader(file)}, int64(len(file)), key, benchBlob)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
