package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxCheckpoint = 16 << 10 // bytes; cosignatures of witnesses included
	maxOrigin     = 200      // bytes
)

// A checkpoint is the head of a tree in a signed note: c2sp.org/tlog-checkpoint.
type checkpoint struct {
	text   []byte
	origin string
	size   uint64
	root   tlog.Hash
}

// signCheckpoint makes the text. Ed25519 is deterministic, so that one tree has one text.
func signCheckpoint(key ed25519.PrivateKey, origin string, size uint64, root tlog.Hash) (*checkpoint, error) {
	v, err := verifier(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	n := &note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)}
	text, err := note.Sign(n, signer{v, key})
	if err != nil {
		return nil, err
	}
	return &checkpoint{text, origin, size, root}, nil
}

// parseCheckpoint verifies a text. The origin is what the text says.
func parseCheckpoint(text []byte, key ed25519.PublicKey) (*checkpoint, error) {
	if len(text) > maxCheckpoint {
		return nil, fmt.Errorf("a checkpoint of more than %d bytes", maxCheckpoint)
	}
	origin, _, _ := bytes.Cut(text, []byte("\n"))
	v, err := verifier(string(origin), key)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		return nil, errors.New("the checkpoint is not signed with the key of this log, or damaged")
	}
	for _, s := range n.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return nil, errors.New("a signature of the checkpoint is damaged")
		}
	}
	lines := strings.Split(n.Text, "\n") // the last is empty
	if len(lines) < 4 {
		return nil, errors.New("the checkpoint has too few lines")
	}
	size, err := parseUint(lines[1])
	if err != nil {
		return nil, errors.New("the checkpoint has no size")
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return nil, errors.New("the checkpoint has no hash")
	}
	return &checkpoint{text, lines[0], size, root}, nil
}

// generation returns which one of a base's origins the origin is: 0 for the base, n for base/n, after a break.
func generation(origin, base string) (int, bool) {
	if origin == base {
		return 0, true
	}
	rest, ok := strings.CutPrefix(origin, base+"/")
	if !ok {
		return 0, false
	}
	n, err := parseUint(rest)
	return int(n), err == nil && n > 0 && n < 1<<31
}

func originOf(base string, generation int) string {
	if generation == 0 {
		return base
	}
	return base + "/" + strconv.Itoa(generation)
}

// parseUint reads a decimal in its one form, below 2^62.
func parseUint(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 62)
	if err == nil && strconv.FormatUint(n, 10) != s {
		err = errors.New("a number is not in its shortest form")
	}
	return n, err
}

// parseHash reads a hash in its one form.
func parseHash(s string) (h tlog.Hash, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err == nil && len(b) != len(h) {
		err = errors.New("a hash has a wrong length")
	}
	copy(h[:], b)
	return h, err
}

// checkOrigin refuses what cannot be the name of a key of a note.
func checkOrigin(origin string) error {
	bad := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' || r == unicode.ReplacementChar
	}
	if origin == "" || len(origin) > maxOrigin || strings.ContainsFunc(origin, bad) {
		return fmt.Errorf("%.40q is no origin: 1 to %d bytes without spaces and +", origin, maxOrigin)
	}
	return nil
}

func verifier(origin string, key ed25519.PublicKey) (note.Verifier, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, errors.New("the public key of the log has a wrong length")
	}
	if err := checkOrigin(origin); err != nil {
		return nil, err
	}
	text, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(text)
}

// VerifierKey returns the text by which other programs know the log's key: the vkey of c2sp.org/signed-note.
func VerifierKey(origin string, key ed25519.PublicKey) (string, error) {
	if _, err := verifier(origin, key); err != nil {
		return "", err
	}
	return note.NewEd25519VerifierKey(origin, key)
}

// signer is a note.Signer whose key never is a text.
type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }
