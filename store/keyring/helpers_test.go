package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

const lowWork = seal.MinWorkFactor

// newHome returns a home directory and the path of keys in it, not made yet.
func newHome(t testing.TB) (home, keys string) {
	t.Helper()
	home = t.TempDir()
	return home, filepath.Join(home, "keys")
}

// newUnlock returns an unlock identity in a file outside of any home.
func newUnlock(t testing.TB) Unlock {
	t.Helper()
	u, err := CreateUnlockFile(filepath.Join(t.TempDir(), "unlock"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func create(t testing.TB, keys string, u Unlock) *Ring {
	t.Helper()
	r, err := Create(keys, u, lowWork)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func reopen(t testing.TB, r *Ring, u Unlock) *Ring {
	t.Helper()
	r.Close()
	again, err := Open(r.dir.path, u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

func audience(t testing.TB, r *Ring, tag protocol.Hash) *seal.Cipher {
	t.Helper()
	c, err := r.Audience(tag)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// failAt makes writes die at a step until the test ends or the returned function is called.
func failAt(t testing.TB, name string, err error) (restore func()) {
	t.Helper()
	testOnlyStep = func(s string) error {
		if s == name {
			return err
		}
		return nil
	}
	restore = func() { testOnlyStep = nil }
	t.Cleanup(restore)
	return restore
}

// noSync spares the test the wait for the disk.
func noSync(t testing.TB) {
	t.Helper()
	testOnlyNoSync = true
	t.Cleanup(func() { testOnlyNoSync = false })
}

// files returns the content of every file below dir.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		out[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shows reports whether data holds the secret: raw, in hexadecimal, or in base64 at any alignment.
func shows(data, secret []byte) bool {
	if bytes.Contains(data, secret) {
		return true
	}
	lower := bytes.ToLower(data)
	flat := strings.NewReplacer("\n", "", "\r", "").Replace(string(data))
	if bytes.Contains(lower, []byte(hex.EncodeToString(secret))) {
		return true
	}
	for shift := range 3 {
		b := append(make([]byte, shift), secret...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(b)
			text = text[(shift*8+5)/6 : len(text)-1] // without digits that hold bits of what is around
			if strings.Contains(flat, text) {
				return true
			}
		}
	}
	return false
}

func hash(n byte) protocol.Hash { return protocol.Hash{0: n, 31: 1} }
