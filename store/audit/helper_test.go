package audit

import (
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

const testOrigin = "entente.test/audit/0123456789abcdef"

var testTime = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func testNow() time.Time { return testTime }

// testCipher is XChaCha20-Poly1305 with random nonces, as the keyring's.
type testCipher struct{ aead cipher.AEAD }

func newCipher(seed byte) testCipher {
	key := make([]byte, chacha20poly1305.KeySize)
	key[0] = seed
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err)
	}
	return testCipher{aead}
}

func (c testCipher) Seal(plaintext, aad []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	return c.aead.Seal(nonce, nonce, plaintext, aad)
}

func (c testCipher) Open(sealed, aad []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errors.New("too short")
	}
	return c.aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], aad)
}

func newKey(seed byte) ed25519.PrivateKey {
	s := make([]byte, ed25519.SeedSize)
	s[0] = seed
	return ed25519.NewKeyFromSeed(s)
}

var testKey = newKey(1)

func testPublic() ed25519.PublicKey { return testKey.Public().(ed25519.PublicKey) }

// noSync spares the waits for the disk in tests that do not need them.
func noSync(t testing.TB) {
	t.Helper()
	testOnlyNoSync = true
	t.Cleanup(func() { testOnlyNoSync = false })
}

// tempDir is a directory in memory where there is one: for tests that write small files by the thousand.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "audit")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func openLog(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir, newCipher(1), testKey, testOrigin, testNow)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func testObject(i int) protocol.Hash { return protocol.Sum("test", fmt.Append(nil, i)) }

// testRecord is the i-th of many: its object is one of five.
func testRecord(i int) Record {
	return Record{
		Time:    testTime.Add(time.Duration(i) * time.Minute),
		Actor:   "op-anna",
		Action:  "receive",
		Object:  testObject(i % 5),
		Team:    testObject(1000 + i),
		Label:   tlp.Amber,
		Allowed: i%3 != 0,
		Rule:    "agreement",
		Reason:  fmt.Sprintf("the agreement with team %d permits TLP:AMBER", i),
	}
}

func testRecords(from, to int) []Record {
	var rs []Record
	for i := from; i < to; i++ {
		rs = append(rs, testRecord(i))
	}
	return rs
}

func appendAll(t testing.TB, l *Log, rs ...Record) {
	t.Helper()
	want := l.Size()
	first, err := l.Append(rs)
	if err != nil || first != want {
		t.Fatalf("append: got %d, %v; want %d", first, err, want)
	}
}

func entries(t testing.TB, l *Log) []Entry {
	t.Helper()
	var got []Entry
	if err := l.Each(0, func(e *Entry) bool { got = append(got, *e); return true }); err != nil {
		t.Fatal(err)
	}
	return got
}

func verify(t testing.TB, l *Log) Report {
	t.Helper()
	r, err := l.Verify()
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, b []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyDir copies the files of a log as they are, as a power failure would leave what is written.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := tempDir(t)
	for _, name := range []string{recordsFile, hashesFile, checkpointFile} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			writeFile(t, b, to, name)
		}
	}
	return to
}
