package keyring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

func TestPeople(t *testing.T) {
	_, keys := newHome(t)
	root, err := CreateRoot(keys, "root phrase", lowWork)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]*protocol.PrivateKey{}
	for _, name := range []string{"Zoë O'Hara", "Ada", "b@example.org"} {
		if made[name], err = CreateOfficer(keys, name, "phrase of "+name, lowWork); err != nil {
			t.Fatal(err)
		}
	}
	officers, err := Officers(keys)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range officers {
		names = append(names, o.Name)
		if !o.Key.Equal(made[o.Name].Public()) || o.Key.Suite != protocol.Hybrid {
			t.Errorf("%s: another key is listed", o.Name)
		}
		k, err := OpenOfficer(keys, o.Name, "phrase of "+o.Name)
		if err != nil || !k.Public().Equal(o.Key) {
			t.Errorf("%s: opened with %v", o.Name, err)
		}
	}
	if got, want := strings.Join(names, ","), "Ada,Zoë O'Hara,b@example.org"; got != want {
		t.Errorf("got officers %s, want %s", got, want)
	}
	if k, err := OpenRoot(keys, "root phrase"); err != nil || !k.Public().Equal(root.Public()) {
		t.Errorf("root: opened with %v", err)
	}
	if k, err := RootPublic(keys); err != nil || !k.Equal(root.Public()) {
		t.Errorf("root's public side: %v", err)
	}

	if _, err := OpenOfficer(keys, "Ada", "root phrase"); !errors.Is(err, seal.ErrWrongPassphrase) || strings.Contains(err.Error(), "phrase of") {
		t.Errorf("wrong passphrase: got %v", err)
	}
	if _, err := OpenOfficer(keys, "Nobody", "p"); !errors.Is(err, ErrNoKey) {
		t.Errorf("no such officer: got %v", err)
	}
	if _, err := CreateOfficer(keys, "Ada", "p", lowWork); !errors.Is(err, ErrExists) {
		t.Errorf("again: got %v", err)
	}
	if _, err := CreateRoot(keys, "p", lowWork); !errors.Is(err, ErrExists) {
		t.Errorf("root again: got %v", err)
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", " a", "a\n", "a\x00", "a\u202eb", strings.Repeat("x", MaxOfficerName+1)} {
		_, err1 := CreateOfficer(keys, name, "p", lowWork)
		_, err2 := OpenOfficer(keys, name, "p")
		if name == "." || name == ".." { // odd, and harmless behind "officer-"
			continue
		}
		if err1 == nil || err2 == nil {
			t.Errorf("officer name %.20q was accepted", name)
		}
	}
	if _, err := CreateOfficer(keys, "Empty", "", lowWork); err == nil {
		t.Error("an empty passphrase was accepted")
	} else if _, err := OpenOfficer(keys, "Empty", ""); !errors.Is(err, ErrNoKey) {
		t.Errorf("a key without passphrase was left: %v", err)
	}
}

// The root key is carried to a safe. The node and the officers do without it; for a ceremony it comes back, in any directory.
func TestRootCarriedAway(t *testing.T) {
	_, keys := newHome(t)
	root, err := CreateRoot(keys, "p", lowWork)
	if err != nil {
		t.Fatal(err)
	}
	stick := filepath.Join(t.TempDir(), "safe.key")
	move(t, filepath.Join(keys, "root.key"), stick)
	chmod(t, stick, 0o755) // as on a stick without permissions

	u := newUnlock(t)
	create(t, keys, u).Close()
	if _, err := OpenRoot(keys, "p"); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "carried away") {
		t.Errorf("in the directory: got %v", err)
	}
	if _, err := CreateRoot(keys, "p", lowWork); !errors.Is(err, ErrExists) {
		t.Errorf("making a second root key: got %v", err)
	}
	if k, err := RootPublic(keys); err != nil || !k.Equal(root.Public()) {
		t.Errorf("public side: %v", err)
	}
	if k, err := OpenRoot(stick, "p"); err != nil || !k.Public().Equal(root.Public()) {
		t.Errorf("from the stick: %v", err)
	}
	if _, err := OpenRoot(stick, "q"); !errors.Is(err, seal.ErrWrongPassphrase) {
		t.Errorf("from the stick, wrong passphrase: got %v", err)
	}
	if _, err := OpenRoot(stick+"x", "p"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: got %v", err)
	}
	// An officer's key under the root's name is no root key.
	if _, err := CreateOfficer(keys, "Ada", "p", lowWork); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRoot(filepath.Join(keys, "officer-Ada.key"), "p"); err == nil || !strings.Contains(err.Error(), "officer key") {
		t.Errorf("an officer key as root: got %v", err)
	}
}

// Mallory can write in the directory and has people certify her key instead of theirs.
func TestReplacedPublicSide(t *testing.T) {
	_, keys := newHome(t)
	for _, name := range []string{"Ada", "Mallory"} {
		if _, err := CreateOfficer(keys, name, "p", lowWork); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := CreateRoot(keys, "p", lowWork); err != nil {
		t.Fatal(err)
	}
	ada, mallory := filepath.Join(keys, "officer-Ada.pub"), filepath.Join(keys, "officer-Mallory.pub")
	theirs, err := os.ReadFile(mallory)
	if err != nil {
		t.Fatal(err)
	}
	honest, err := os.ReadFile(ada)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{ada, filepath.Join(keys, "root.pub")} {
		if err := os.WriteFile(path, theirs, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenOfficer(keys, "Ada", "p"); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("officer: got %v", err)
	}
	_, err1 := OpenRoot(keys, "p")
	_, err2 := OpenRoot(filepath.Join(keys, "root.key"), "p")
	_, err3 := RootPublic(keys)
	if err1 == nil || err2 == nil || err3 == nil {
		t.Errorf("root: got %v, %v, %v", err1, err2, err3)
	}
	// Nor does a torn one pass, and a lost one is written again.
	for n := 0; n < len(honest)-1; n += 97 {
		if err := os.WriteFile(ada, honest[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Officers(keys); err == nil {
			t.Fatalf("%d of %d bytes: no error", n, len(honest))
		}
	}
	if err := os.Remove(ada); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOfficer(keys, "Ada", "p"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(ada); err != nil || !bytes.Equal(got, honest) {
		t.Errorf("written again: %v", err)
	}
}

func TestChangePassphrase(t *testing.T) {
	_, keys := newHome(t)
	if _, err := CreateRoot(keys, "old", lowWork); err != nil {
		t.Fatal(err)
	}
	create(t, keys, UnlockPassphrase("old")).Close()
	for _, name := range []string{"root.key", unlockAge} {
		path := filepath.Join(keys, name)
		if err := ChangePassphrase(path, "wrong", "new", lowWork); !errors.Is(err, seal.ErrWrongPassphrase) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := ChangePassphrase(path, "old", "", lowWork); err == nil {
			t.Errorf("%s: an empty passphrase was accepted", name)
		}
		if err := ChangePassphrase(path, "old", "new", lowWork); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenRoot(keys, "old"); !errors.Is(err, seal.ErrWrongPassphrase) {
		t.Errorf("the old passphrase: got %v", err)
	}
	if _, err := OpenRoot(keys, "new"); err != nil {
		t.Error(err)
	}
	r, err := Open(keys, UnlockPassphrase("new"))
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}
