package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// Overhead is by how many bytes a value of [Cipher.Seal] is longer than its plaintext.
const Overhead = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// ErrValue says that a value does not authenticate under this key and place.
var ErrValue = errors.New("sealed value does not authenticate: it is damaged, in another place, or of another key")

// A Cipher seals the values of a store under one data key, and blinds the terms of its index. Values: XChaCha20-Poly1305 with a
// random nonce of 24 bytes in front, safe for 2^64 values and more. Both keys are derived from the data key by HKDF-SHA-256, so
// that dropping the data key drops everything. A Cipher is safe for concurrent use and prints as "[secret]".
type Cipher struct {
	aead  cipher.AEAD
	index [32]byte
}

// NewCipher derives a cipher from a data key.
func NewCipher(key [32]byte) *Cipher {
	derive := func(label string) []byte {
		k, err := hkdf.Key(sha256.New, key[:], nil, label, 32)
		if err != nil {
			panic(err) // only for lengths that are not these
		}
		return k
	}
	c := &Cipher{index: [32]byte(derive("entente/v1/store/index"))}
	var err error
	if c.aead, err = chacha20poly1305.NewX(derive("entente/v1/store/value")); err != nil {
		panic(err)
	}
	return c
}

// Seal returns plaintext encrypted and bound to aad, which says where the value belongs and is not part of it.
func (c *Cipher) Seal(plaintext, aad []byte) []byte {
	out := make([]byte, chacha20poly1305.NonceSizeX, len(plaintext)+Overhead)
	rand.Read(out) // never fails: crypto/rand ends the program instead
	return c.aead.Seal(out, out, plaintext, aad)
}

// Open returns what was sealed with the same aad. The error is [ErrValue].
func (c *Cipher) Open(ciphertext, aad []byte) ([]byte, error) {
	if len(ciphertext) < Overhead {
		return nil, ErrValue
	}
	nonce, sealed := ciphertext[:chacha20poly1305.NonceSizeX], ciphertext[chacha20poly1305.NonceSizeX:]
	plaintext, err := c.aead.Open(nil, nonce, sealed, aad)
	if err != nil {
		return nil, ErrValue
	}
	return plaintext, nil
}

// Term returns what the index keeps instead of a term: equal for equal terms under one data key, and telling nothing without
// it. Two terms of one index meet by chance at about 2^64 terms.
func (c *Cipher) Term(term string) [16]byte {
	h := hmac.New(sha256.New, c.index[:])
	io.WriteString(h, term)
	return [16]byte(h.Sum(nil))
}

// Format implements fmt.Formatter, so that no verb prints the keys.
func (Cipher) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
