package protocol

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
)

// A Suite names how a key signs.
type Suite uint8

// The suites. A key belongs to one suite; the suite is inside its certified form, so it cannot be downgraded.
const (
	Ed25519 Suite = 1 // Ed25519 (RFC 8032): nodes
	Hybrid  Suite = 2 // Ed25519 and ML-DSA-65 (FIPS 204), both of which must verify: root, recovery and officer keys
)

const mldsaContext = "entente/v1"

// mlSizes are the suites, with the bytes of the ML-DSA part of a signature.
var mlSizes = map[Suite]int{Ed25519: 0, Hybrid: mldsa65.SignatureSize}

// ErrSignature is wrapped by every error that says a signature does not verify, or not by a key that may sign this.
var ErrSignature = errors.New("not validly signed")

// A PublicKey is the certified form of a key: what a record of a higher tier lists.
type PublicKey struct {
	Suite Suite    `cbor:"1,keyasint"`
	Ed    [32]byte `cbor:"2,keyasint"`
	ML    []byte   `cbor:"3,keyasint,omitempty"` // 1,952 bytes in suite Hybrid, absent otherwise
}

func (k PublicKey) check() error {
	switch {
	case k.Suite == Ed25519 && len(k.ML) == 0, k.Suite == Hybrid && len(k.ML) == mldsa65.PublicKeySize:
	default:
		return fmt.Errorf("key of suite %d with an ML-DSA part of %d bytes", k.Suite, len(k.ML))
	}
	if weak(k.Ed) {
		return errors.New("an Ed25519 key that anybody can sign with, or that is not in its canonical form")
	}
	return nil
}

// smallOrder are the y coordinates of the eight points of small order, in the form of RFC 8032: 0, 1, -1, and the two of
// the points of order eight.
var smallOrder = [...]string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
}

// weak reports whether the encoded point has small order, so that one signature fits many messages and the owner of the key
// can deny each, or is not in the one form of RFC 8032, so that a key would have two ids. crypto/ed25519 accepts both.
func weak(ed [32]byte) bool {
	ed[31] &= 0x7f // without the sign of x
	if ed[0] >= 0xed && ed[31] == 0x7f && !slices.ContainsFunc(ed[1:31], func(b byte) bool { return b != 0xff }) {
		return true // y is not below 2^255 - 19
	}
	return slices.Contains(smallOrder[:], hex.EncodeToString(ed[:]))
}

// ID returns the key's id.
func (k PublicKey) ID() KID {
	h := Sum("entente/v1/kid", must(Marshal(k)))
	return KID(h[:16])
}

// Equal reports whether k and o are the same key.
func (k PublicKey) Equal(o PublicKey) bool {
	return k.Suite == o.Suite && k.Ed == o.Ed && string(k.ML) == string(o.ML)
}

func (k PublicKey) verify(msg []byte, s Signature) bool {
	if s.KID != k.ID() || s.Suite != k.Suite || !ed25519.Verify(k.Ed[:], msg, s.Ed[:]) {
		return false
	}
	if k.Suite == Ed25519 {
		return len(s.ML) == 0
	}
	var pk mldsa65.PublicKey
	return len(s.ML) == mldsa65.SignatureSize && pk.UnmarshalBinary(k.ML) == nil &&
		mldsa65.Verify(&pk, msg, []byte(mldsaContext), s.ML)
}

// A PrivateKey signs. It is derived from a seed of 32 bytes, which is all that need be kept. Only store/keyring keeps one.
type PrivateKey struct {
	pub PublicKey
	ed  ed25519.PrivateKey
	ml  *mldsa65.PrivateKey
}

// GenerateKey makes a new key and returns it with its seed, which the caller owns and must guard.
func GenerateKey(s Suite) (*PrivateKey, [32]byte, error) {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, seed, err
	}
	k, err := KeyFromSeed(s, seed)
	return k, seed, err
}

// KeyFromSeed derives the key of a suite from its seed: HKDF-SHA-256 with one label for each algorithm.
func KeyFromSeed(s Suite, seed [32]byte) (*PrivateKey, error) {
	derive := func(label string) []byte {
		return must(hkdf.Key(sha256.New, seed[:], nil, "entente/v1/"+label, 32))
	}
	k := &PrivateKey{ed: ed25519.NewKeyFromSeed(derive("ed25519"))}
	k.pub = PublicKey{Suite: s, Ed: [32]byte(k.ed.Public().(ed25519.PublicKey))}
	switch s {
	case Ed25519:
	case Hybrid:
		ml := [32]byte(derive("ml-dsa-65"))
		pk, sk := mldsa65.NewKeyFromSeed(&ml)
		k.pub.ML, k.ml = pk.Bytes(), sk
	default:
		return nil, fmt.Errorf("unknown signature suite %d", s)
	}
	return k, nil
}

// Format implements fmt.Formatter, so that no verb prints a key.
func (PrivateKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// Public returns the certified form of the key.
func (k *PrivateKey) Public() PublicKey { return k.pub }

func (k *PrivateKey) sign(msg []byte) (Signature, error) {
	s := Signature{KID: k.pub.ID(), Suite: k.pub.Suite, Ed: [64]byte(ed25519.Sign(k.ed, msg)), ML: []byte{}}
	if k.ml != nil {
		s.ML = make([]byte, mldsa65.SignatureSize)
		if err := mldsa65.SignTo(k.ml, msg, []byte(mldsaContext), true, s.ML); err != nil {
			return Signature{}, err
		}
	}
	return s, nil
}
