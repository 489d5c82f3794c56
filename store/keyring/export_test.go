package keyring

import (
	"path/filepath"
	"testing"

	"github.com/entente-network/entente/protocol"
)

// A node restored from a backup reads what it sealed before, under another unlock secret.
func TestExportImport(t *testing.T) {
	dir := t.TempDir()
	u, err := CreateUnlockFile(filepath.Join(dir, "unlock"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := Create(filepath.Join(dir, "keys"), u, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	tag := protocol.Sum("tag")
	c, err := a.Audience(tag)
	if err != nil {
		t.Fatal(err)
	}
	sealed := c.Seal([]byte("text"), []byte("place"))
	rec, err := a.Export()
	if err != nil {
		t.Fatal(err)
	}
	v, err := CreateUnlockFile(filepath.Join(dir, "unlock2"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Import(filepath.Join(dir, "keys2"), v, rec)
	if err != nil {
		t.Fatal(err)
	}
	if b.KID() != a.KID() {
		t.Error("another node key")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = Open(filepath.Join(dir, "keys2"), v); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d, err := b.Audience(tag)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Open(sealed, []byte("place")); err != nil || string(got) != "text" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Import(filepath.Join(dir, "keys2"), v, rec); err == nil {
		t.Error("restored over a node")
	}
	if _, err := Import(filepath.Join(dir, "keys3"), v, rec[:len(rec)-1]); err == nil {
		t.Error("restored from half a record")
	}
}
