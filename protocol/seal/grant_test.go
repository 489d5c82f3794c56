package seal

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// maxGrant is protocol.MaxGrantKey, which this package does not know.
const maxGrant = 4096

func newEpoch(tb testing.TB) (Identity, string) {
	tb.Helper()
	id, to, err := NewEpochKey()
	if err != nil {
		tb.Fatal(err)
	}
	return id, to
}

func grant(tb testing.TB, id Identity, to Recipient) []byte {
	tb.Helper()
	file, err := SealIdentity(id, to)
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

// Two nodes are given the identity of an epoch, and open what is sealed to it.
func TestGrant(t *testing.T) {
	epoch, announced := newEpoch(t)
	to, err := ParseRecipient(announced)
	if err != nil {
		t.Fatal(err)
	}
	message := sealedSmall(t, []byte("to the room"), to)
	a, b, former := newIdentity(t), newIdentity(t), newIdentity(t)
	for _, node := range []Identity{a, b} {
		file := grant(t, epoch, node.Recipient())
		if len(file) > maxGrant {
			t.Errorf("got a grant of %d bytes, at most %d fit", len(file), maxGrant)
		}
		got, err := OpenIdentity(file, announced, former, node)
		if err != nil {
			t.Fatal(err)
		}
		if got.Secret() != epoch.Secret() {
			t.Error("got another identity")
		}
		if plain, err := OpenSmall(message, got); err != nil || string(plain) != "to the room" {
			t.Errorf("got %q, %v", plain, err)
		}
	}
	if _, err := OpenIdentity(grant(t, epoch, a.Recipient()), announced, b); !errors.Is(err, ErrNotRecipient) {
		t.Errorf("another node: got %v, want ErrNotRecipient", err)
	}
	other, _ := newEpoch(t)
	if _, err := OpenIdentity(grant(t, other, a.Recipient()), announced, a); !errors.Is(err, ErrOtherIdentity) {
		t.Errorf("another identity: got %v, want ErrOtherIdentity", err)
	}
}

// Whatever else is inside a grant is refused, and not repeated.
func TestGrantOfSomethingElse(t *testing.T) {
	epoch, announced := newEpoch(t)
	node := newIdentity(t)
	for _, inside := range []string{"", "x", epoch.Secret() + "\n", " " + epoch.Secret(), epoch.Secret() + epoch.Secret(), strings.ToLower(epoch.Secret()[:9]) + epoch.Secret()[9:],
		"AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWG5V9C", "AGE-PLUGIN-X-1QQQQ", announced} {
		_, err := OpenIdentity(sealedSmall(t, []byte(inside), node.Recipient()), announced, node)
		if !errors.Is(err, ErrOtherIdentity) || strings.Contains(err.Error(), "AGE-") {
			t.Errorf("%.20q inside: got %v, want ErrOtherIdentity", inside, err)
		}
	}
	file := grant(t, epoch, node.Recipient())
	for n := 0; n < len(file); n += 13 {
		if _, err := OpenIdentity(file[:n], announced, node); err == nil {
			t.Fatalf("%d of %d bytes: got no error", n, len(file))
		}
		bad := append([]byte(nil), file...)
		bad[n] ^= 1
		if _, err := OpenIdentity(bad, announced, node); err == nil {
			t.Fatalf("byte %d changed: got no error", n)
		}
	}
	if _, err := SealIdentity(Identity{}, node.Recipient()); err == nil {
		t.Error("no identity: got no error")
	}
	if _, err := SealIdentity(epoch, Recipient{}); err == nil {
		t.Error("no recipient: got no error")
	}
}

// Every grant has the same length, so that it tells nothing.
func TestGrantSize(t *testing.T) {
	sizes := map[int]bool{}
	for range 20 {
		epoch, _ := newEpoch(t)
		sizes[len(grant(t, epoch, newIdentity(t).Recipient()))] = true
	}
	if len(sizes) != 1 {
		t.Errorf("got grants of lengths %v", sizes)
	}
}

func FuzzOpenIdentity(f *testing.F) {
	epoch, announced := newEpoch(f)
	node := newIdentity(f)
	f.Add(grant(f, epoch, node.Recipient()))
	f.Add(sealedSmall(f, []byte("x"), node.Recipient()))
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		id, err := OpenIdentity(file, announced, node)
		if err == nil && id.Recipient().String() != announced {
			t.Error("another identity than the one announced")
		}
	})
}

// The grants of one node for all of a room, and what each of them costs the other side.
func BenchmarkGrant(b *testing.B) {
	epoch, announced := newEpoch(b)
	node := newIdentity(b)
	for _, n := range []int{1, 250} {
		b.Run(fmt.Sprintf("seal %d", n), func(b *testing.B) {
			for b.Loop() {
				for range n {
					grant(b, epoch, node.Recipient())
				}
			}
		})
	}
	file := grant(b, epoch, node.Recipient())
	b.Run("open", func(b *testing.B) {
		b.ReportMetric(float64(len(file)), "bytes")
		for b.Loop() {
			if _, err := OpenIdentity(file, announced, node); err != nil {
				b.Fatal(err)
			}
		}
	})
}
