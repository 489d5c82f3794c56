package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
)

// alone is the node of a team that knows nobody, as a client sees it.
func alone(t *testing.T) *control.Client {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	if _, err := node.Found(node.Founding{Home: home, Name: "CERT-A", Country: "XA", Officer: "Ada", Passphrase: "passphrase",
		Listen: []string{"/ip4/127.0.0.1/tcp/0"}, WorkFactor: seal.MinWorkFactor}, time.Now()); err != nil {
		t.Fatal(err)
	}
	u, err := keyring.UnlockFile(node.DefaultUnlockFile(home))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(node.KeysDir(home), u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	cfg, err := node.LoadConfig(home)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(cfg, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := control.Local(n, home)
	t.Cleanup(func() { c.Close() })
	return c
}

// What a person saw is what goes out: a file whose preview was refused, or shown with other readers, is not sent.
func TestSendsWhatWasShown(t *testing.T) {
	c := alone(t)
	dir := t.TempDir()
	var files []*outgoing
	for name, text := range map[string]string{"a.md": "TLP:GREEN\n# One", "b.md": "TLP:GREEN\n# Two"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, &outgoing{name: path})
	}
	var out, said bytes.Buffer
	p := &program{stdin: strings.NewReader(""), stdout: &out, stderr: &said, getenv: func(string) string { return "" }}
	p.out = &printer{w: p.stdout}
	d := control.Draft{To: "community"}
	if err := announce(t.Context(), p, c, files[:1], d, true); err != nil {
		t.Fatal(err)
	}
	if files[0].agreed.IsZero() || files[0].agreed == nothingShown {
		t.Errorf("after a preview: got %s", files[0].agreed)
	}
	d.Label = tlp.Amber
	if _, err := previews(t.Context(), p, c, files[1:], d); err != nil || files[1].agreed != nothingShown {
		t.Fatalf("after a refused preview: got %s, %v", files[1].agreed, err)
	}
	d.Label = tlp.Green
	if _, err := files[1].send(t.Context(), p, c, d); !errors.Is(err, &control.Error{Code: control.Refused, Rule: "readers-changed"}) {
		t.Errorf("permitted only after the preview: got %v", err)
	}
	if v, err := files[0].send(t.Context(), p, c, d); err != nil || v.ID == nil {
		t.Errorf("as shown: got %+v, %v", v, err)
	}
}
