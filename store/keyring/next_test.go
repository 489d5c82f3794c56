package keyring

import (
	"crypto/ed25519"
	"path/filepath"
	"testing"
)

// An officer certifies new keys while the node still speaks with the old ones; at its next start it takes them.
func TestPrepareAndPromote(t *testing.T) {
	home, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	if err := r.Promote(); err == nil {
		t.Error("promoting nothing: no error")
	}
	kid, value := r.KID(), r.Local().Seal([]byte("own"), nil)
	next, err := r.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	if r.KID() != kid || next.Key.ID() == kid {
		t.Error("preparing changed the present key")
	}
	backup, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	r = reopen(t, r, u)
	again, err := r.Prepare()
	if err != nil || again.Key.ID() != next.Key.ID() {
		t.Errorf("preparing twice: got key %v, %v; want %v", again.Key.ID(), err, next.Key.ID())
	}
	if p, ok, err := r.Prepared(); !ok || err != nil || p.Recipient != next.Recipient {
		t.Errorf("prepared: got %v, %v", ok, err)
	}
	if err := r.Promote(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		peer := r.PeerKey().Public().(ed25519.PublicKey)
		if r.KID() != next.Key.ID() || r.Recipient() != next.Recipient || !peer.Equal(next.Peer) {
			t.Error("the keys are not those that waited")
		}
		if f := r.Former(); len(f) != 1 || f[0] != kid {
			t.Errorf("former keys: got %v, want %v", f, kid)
		}
		if _, ok, _ := r.Prepared(); ok {
			t.Error("keys wait still")
		}
		if _, err := r.Local().Open(value, nil); err != nil {
			t.Errorf("the store cannot be read any more: %v", err)
		}
		r = reopen(t, r, u)
	}

	// A backup from the time between must not bring the new key to life a second time.
	restored, err := Import(filepath.Join(home, "restored"), u, backup)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if _, ok, _ := restored.Prepared(); ok || restored.KID() != kid {
		t.Error("a restored node has keys that the node uses since")
	}
}
