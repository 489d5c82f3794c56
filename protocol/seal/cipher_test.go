package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestCipher(t *testing.T) {
	c, other := NewCipher([32]byte{1}), NewCipher([32]byte{2})
	sealed := c.Seal([]byte("value"), []byte("place"))
	if got, err := c.Open(sealed, []byte("place")); err != nil || string(got) != "value" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := c.Open(sealed, []byte("elsewhere")); !errors.Is(err, ErrValue) {
		t.Errorf("another place: got %v", err)
	}
	if _, err := other.Open(sealed, []byte("place")); !errors.Is(err, ErrValue) {
		t.Errorf("another key: got %v", err)
	}
	if _, err := NewCipher([32]byte{1}).Open(sealed, []byte("place")); err != nil {
		t.Errorf("the same key again: got %v", err)
	}
	for n := range sealed {
		if _, err := c.Open(sealed[:n], []byte("place")); !errors.Is(err, ErrValue) {
			t.Errorf("%d of %d bytes: got %v", n, len(sealed), err)
		}
		bad := bytes.Clone(sealed)
		bad[n] ^= 0x80
		if _, err := c.Open(bad, []byte("place")); !errors.Is(err, ErrValue) {
			t.Errorf("byte %d changed: got %v", n, err)
		}
	}
	if bytes.Equal(sealed, c.Seal([]byte("value"), []byte("place"))) {
		t.Error("two values share a nonce")
	}
}

func TestCipherProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCipher([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")))
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		aad := rapid.SliceOf(rapid.Byte()).Draw(t, "aad")
		sealed := c.Seal(plain, aad)
		if len(sealed) != len(plain)+Overhead {
			t.Fatalf("got %d bytes for %d", len(sealed), len(plain))
		}
		got, err := c.Open(sealed, aad)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	})
}

func TestTerm(t *testing.T) {
	a, b := NewCipher([32]byte{1}), NewCipher([32]byte{2})
	if a.Term("ip:192.0.2.1") != NewCipher([32]byte{1}).Term("ip:192.0.2.1") {
		t.Error("one term has two forms under one key")
	}
	if a.Term("ip:192.0.2.1") == a.Term("ip:192.0.2.2") || a.Term("x") == b.Term("x") {
		t.Error("terms or keys are not told apart")
	}
	// Frozen: a store that was written keeps its index.
	term := a.Term("ip:192.0.2.1")
	if got, want := hex.EncodeToString(term[:]), "0e5479bfb7b0f9c65f00083ce60bbd72"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func BenchmarkTerm(b *testing.B) {
	c := NewCipher([32]byte{1})
	for b.Loop() {
		c.Term("ip:192.0.2.1")
	}
}

func BenchmarkSeal1500(b *testing.B) {
	c, plain, aad := NewCipher([32]byte{1}), make([]byte, 1500), make([]byte, 40)
	b.SetBytes(1500)
	for b.Loop() {
		c.Seal(plain, aad)
	}
}
