package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every call that opens the directory of keys refuses it, and says which file is wrong and what to run.
func TestPermissions(t *testing.T) {
	tests := []struct {
		name string
		bend func(t *testing.T, home, keys string) string // returns what the error must contain
	}{
		{"directory open to the group", func(t *testing.T, _, keys string) string {
			chmod(t, keys, 0o750)
			return "chmod 700 " + keys
		}},
		{"directory open to all", func(t *testing.T, _, keys string) string {
			chmod(t, keys, 0o701)
			return "chmod 700 " + keys
		}},
		{"node.key open to the group", func(t *testing.T, _, keys string) string {
			chmod(t, filepath.Join(keys, nodeKey), 0o640)
			return "chmod 600 " + filepath.Join(keys, nodeKey)
		}},
		{"another key open to all", func(t *testing.T, _, keys string) string {
			chmod(t, filepath.Join(keys, "root.key"), 0o604)
			return "chmod 600 " + filepath.Join(keys, "root.key")
		}},
		{"a directory in it", func(t *testing.T, _, keys string) string {
			dir := filepath.Join(keys, "it's old")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			return `chmod 700 '` + filepath.Join(keys, `it'\''s old`) + `'`
		}},
		{"a file that is a link", func(t *testing.T, home, keys string) string {
			move(t, filepath.Join(keys, nodeKey), filepath.Join(home, "elsewhere"))
			link(t, filepath.Join(home, "elsewhere"), filepath.Join(keys, nodeKey))
			return "symbolic link"
		}},
		{"the directory is a link", func(t *testing.T, home, keys string) string {
			move(t, keys, filepath.Join(home, "elsewhere"))
			link(t, filepath.Join(home, "elsewhere"), keys)
			return "symbolic link"
		}},
		{"a file of somebody else", func(t *testing.T, _, keys string) string {
			chown(t, filepath.Join(keys, nodeKey), 12345)
			return "chown 0 " + filepath.Join(keys, nodeKey)
		}},
		{"a directory of somebody else", func(t *testing.T, _, keys string) string {
			chown(t, keys, 12345)
			return "belongs to user 12345"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home, keys := newHome(t)
			u := newUnlock(t)
			create(t, keys, u).Close()
			if _, err := CreateRoot(keys, "p", lowWork); err != nil {
				t.Fatal(err)
			}
			if _, err := CreateOfficer(keys, "Ada", "p", lowWork); err != nil {
				t.Fatal(err)
			}
			want := tt.bend(t, home, keys)
			calls := map[string]func() error{
				"Open":          func() error { _, err := Open(keys, u); return err },
				"Create":        func() error { _, err := Create(keys, u, lowWork); return err },
				"CreateOfficer": func() error { _, err := CreateOfficer(keys, "Bob", "p", lowWork); return err },
				"OpenOfficer":   func() error { _, err := OpenOfficer(keys, "Ada", "p"); return err },
				"OpenRoot":      func() error { _, err := OpenRoot(keys, "p"); return err },
				"Officers":      func() error { _, err := Officers(keys); return err },
				"RootPublic":    func() error { _, err := RootPublic(keys); return err },
			}
			for name, call := range calls {
				if err := call(); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %q", name, err, want)
				}
			}
		})
	}
}

// Mallory owns a link on the way to the keys and leads it where she wants.
func TestLinkOfSomebodyElse(t *testing.T) {
	base := t.TempDir()
	real := filepath.Join(base, "real")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	way := filepath.Join(base, "way")
	link(t, real, way)
	u := newUnlock(t)
	keys := filepath.Join(way, "keys")
	create(t, keys, u).Close() // a link of one's own is fine

	chmod(t, base, 0o777)
	if _, err := Open(keys, u); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), way) {
		t.Errorf("a link that all can replace: got %v", err)
	}
	if err := os.Chmod(base, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	r, err := Open(keys, u)
	if err != nil {
		t.Fatalf("a link of one's own in a sticky directory: %v", err)
	}
	r.Close()
	chown(t, way, 12345)
	if _, err := Open(keys, u); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), way) {
		t.Errorf("a link of somebody else: got %v", err)
	}
}

func TestModesOfNewFiles(t *testing.T) {
	home, keys := newHome(t)
	u, err := CreateUnlockFile(filepath.Join(home, "unlock"))
	if err != nil {
		t.Fatal(err)
	}
	r := create(t, keys, u)
	audience(t, r, hash(1))
	g, err := CreateGuard(filepath.Join(home, "heads"), r.KID())
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	if _, err := CreateRoot(keys, "p", lowWork); err != nil {
		t.Fatal(err)
	}
	for path := range files(t, home) {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v", path, fi.Mode(), err)
		}
	}
	if fi, err := os.Stat(keys); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%s: got %v, %v", keys, fi.Mode(), err)
	}
}

func TestMissingParent(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "no", "keys")
	if _, err := Create(keys, newUnlock(t), lowWork); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(keys, newUnlock(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	if err := os.Lchown(path, uid, -1); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}
