package keyring

import "testing"

func TestInUse(t *testing.T) {
	home, keys := newHome(t)
	if InUse(home + "/nothing") {
		t.Error("a directory that is not there is in use")
	}
	r := create(t, keys, newUnlock(t))
	if !InUse(keys) {
		t.Error("an open ring is not in use")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if InUse(keys) {
		t.Error("a closed ring is in use")
	}
}
