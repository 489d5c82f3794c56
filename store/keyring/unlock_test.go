package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhere(t *testing.T) {
	home, keys := newHome(t)
	inside, err := CreateUnlockFile(filepath.Join(home, "unlock"))
	if err != nil {
		t.Fatal(err)
	}
	beside := newUnlock(t)
	linked := inside
	linked.path = filepath.Join(t.TempDir(), "link")
	link(t, inside.path, linked.path)
	tests := []struct {
		name   string
		u      Unlock
		onDisk bool
		want   string
	}{
		{"under the home directory", inside, true, "a copied disk can be opened"},
		{"elsewhere on the same file system", beside, true, "a copied disk can be opened"},
		{"a link to it", linked, true, "a copied disk can be opened"},
		{"a file that is gone", Unlock{kind: unlockFile, path: "/nowhere/unlock"}, true, "a copied disk can be opened"},
		{"typed", UnlockPassphrase("correct horse"), false, "typed"},
		{"credential", Unlock{kind: unlockCredential, path: "/run/x", id: inside.id}, false, "service manager"},
		{"none", Unlock{}, false, "nowhere"},
	}
	for _, tt := range tests {
		got := tt.u.Where(home)
		if tt.u.OnDisk(home) != tt.onDisk || !strings.Contains(got, tt.want) || strings.Contains(got, "horse") {
			t.Errorf("%s: got %t, %q", tt.name, tt.u.OnDisk(home), got)
		}
	}
	r := create(t, keys, inside)
	if !r.OnDisk() || r.Where() != inside.Where(home) {
		t.Errorf("the ring says %q", r.Where())
	}

	// Another file system, where the machine has one.
	shm, err := os.MkdirTemp("/dev/shm", "entente-test")
	if err != nil {
		t.Skip("no second file system to try")
	}
	defer os.RemoveAll(shm)
	away, err := CreateUnlockFile(filepath.Join(shm, "unlock"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := os.Stat(shm)
	b, _ := os.Stat(home)
	if da, _ := device(a); da == func() uint64 { d, _ := device(b); return d }() {
		t.Skip("no second file system to try")
	}
	if away.OnDisk(home) || !strings.Contains(away.Where(home), "cannot be opened") {
		t.Errorf("on another file system: got %q", away.Where(home))
	}
}

func TestUnlockFile(t *testing.T) {
	u := newUnlock(t)
	again, err := UnlockFile(u.path)
	if err != nil {
		t.Fatal(err)
	}
	if again.id.Secret() != u.id.Secret() || again.Typed() || !UnlockPassphrase("p").Typed() {
		t.Error("another identity was read")
	}
	text, err := os.ReadFile(u.path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), u.id.Recipient().String()) {
		t.Error("the file shows the recipient, with which anybody could make a node.key")
	}
	if _, err := UnlockFile(u.path + "x"); !errors.Is(err, ErrNoKey) {
		t.Errorf("missing: got %v", err)
	}
	if _, err := UnlockFile(filepath.Dir(u.path)); err == nil {
		t.Error("a directory was read")
	}
	chmod(t, u.path, 0o644)
	if _, err := UnlockFile(u.path); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "chmod 600 "+u.path) {
		t.Errorf("open to all: got %v", err)
	}
	chmod(t, u.path, 0o600)
	secret := u.id.Secret()
	if err := os.WriteFile(u.path, []byte(secret[:len(secret)-2]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := UnlockFile(u.path); err == nil || strings.Contains(err.Error(), secret[20:40]) {
		t.Errorf("torn: got %v", err)
	}
}

func TestUnlockCredential(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := UnlockCredential(); !errors.Is(err, ErrNoKey) {
		t.Errorf("no service manager: got %v", err)
	}
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if _, err := UnlockCredential(); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "LoadCredential="+CredentialName) {
		t.Errorf("no credential: got %v", err)
	}
	file := newUnlock(t)
	move(t, file.path, filepath.Join(dir, CredentialName))
	chmod(t, filepath.Join(dir, CredentialName), 0o440) // as systemd shows an access control list
	u, err := UnlockCredential()
	if err != nil {
		t.Fatal(err)
	}
	_, keys := newHome(t)
	reopen(t, create(t, keys, file), u)
}
