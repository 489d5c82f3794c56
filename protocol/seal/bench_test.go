package seal

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"filippo.io/hpke"
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

// What SealSmall and OpenSmall cannot do without for one recipient: the exchange of a key, and the padded content under it.
func BenchmarkBare(b *testing.B) {
	kem, kdf, aead, padded := hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), Pad(random(4<<10))
	key, err := kem.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	sealed, err := hpke.Seal(key.PublicKey(), kdf, aead, nil, padded)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			if _, err := hpke.Seal(key.PublicKey(), kdf, aead, nil, padded); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := hpke.Open(key, kdf, aead, nil, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
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
