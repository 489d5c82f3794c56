package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// A Hash is a SHA-256 digest. Its text form is 64 lower-case hexadecimal digits. The zero Hash means absent.
type Hash [32]byte

// A TeamID names a team for ever: the id of its first root record, whatever happens to keys, names and people.
type TeamID = Hash

// A FeedID names the sequence of one node's parcels for one audience.
type FeedID = Hash

// A KID names a public key: the first 16 bytes of a domain-separated hash over its certified form.
type KID [16]byte

// IsZero reports whether h is absent.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns the whole digest in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short returns the first 10 digits, for people. It identifies nothing.
func (h Hash) Short() string { return h.String()[:10] }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is ParseHash.
func (h *Hash) UnmarshalText(b []byte) error {
	v, err := ParseHash(string(b))
	if err != nil {
		return err
	}
	*h = v
	return nil
}

// ParseHash reads 64 hexadecimal digits.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 64 {
		return h, fmt.Errorf("%.70q is not an id: want 64 hexadecimal digits, got %d characters", s, len(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, fmt.Errorf("%.70q is not an id: want hexadecimal digits only", s)
	}
	return h, nil
}

// Sum returns the SHA-256 of the domain and the parts. The domain is a string of this project that no other domain begins
// with, so that a digest made for one purpose never serves another. All parts but the last have a fixed length.
func Sum(domain string, parts ...[]byte) Hash {
	h := sha256.New()
	h.Write([]byte(domain))
	for _, p := range parts {
		h.Write(p)
	}
	return Hash(h.Sum(nil))
}

// Fingerprint returns the 40 decimal digits by which people compare a team's id over the phone: eight groups of five. They
// never change, as the id does not.
func Fingerprint(t TeamID) string {
	h := Sum("entente/v1/fingerprint", t[:])
	n := new(big.Int).SetBytes(h[:])
	digits := fmt.Sprintf("%040d", n.Mod(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(40), nil)))
	groups := make([]string, 8)
	for i := range groups {
		groups[i] = digits[5*i : 5*i+5]
	}
	return strings.Join(groups, " ")
}

// IsZero reports whether k is absent.
func (k KID) IsZero() bool { return k == KID{} }

// String returns the key id in hexadecimal.
func (k KID) String() string { return hex.EncodeToString(k[:]) }

// MarshalText implements encoding.TextMarshaler.
func (k KID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads 32 hexadecimal digits.
func (k *KID) UnmarshalText(b []byte) error {
	if len(b) != 32 {
		return fmt.Errorf("%.40q is not a key id: want 32 hexadecimal digits", b)
	}
	if _, err := hex.Decode(k[:], b); err != nil {
		return fmt.Errorf("%.40q is not a key id: want 32 hexadecimal digits", b)
	}
	return nil
}
