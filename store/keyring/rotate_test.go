package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"pgregory.net/rapid"
)

var day0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func sealTo(t testing.TB, recipient, text string) []byte {
	t.Helper()
	to, err := seal.ParseRecipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	file, err := seal.SealSmall([]byte(text), to)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func opens(r *Ring, file []byte, want string) error {
	got, err := r.UnsealSmall(file)
	if err == nil && string(got) != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return err
}

// Keys rotate while a message is on its way: it opens until the former identity is destroyed, and not after that.
func TestRotate(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	if !r.IdentitySince().IsZero() {
		t.Errorf("a new node: got %v, want no time", r.IdentitySince())
	}
	if err := r.Date(day0); err != nil {
		t.Fatal(err)
	}
	kid, audit := r.KID(), r.AuditKey()
	first := sealTo(t, r.Recipient(), "first")
	to, err := r.Rotate(day0.Add(30 * day))
	if err != nil {
		t.Fatal(err)
	}
	second := sealTo(t, to, "second")
	if _, err := r.Rotate(day0.Add(60 * day)); err != nil {
		t.Fatal(err)
	}
	third := sealTo(t, r.Recipient(), "third")
	if err := r.Date(day0.Add(70 * day)); err != nil { // changes nothing: all times are known
		t.Fatal(err)
	}
	for range 2 {
		for i, file := range [][]byte{first, second, third} {
			if err := opens(r, file, []string{"first", "second", "third"}[i]); err != nil {
				t.Errorf("identity %d: %v", i+1, err)
			}
		}
		if got, want := r.IdentitySince(), day0.Add(60*day); !got.Equal(want) {
			t.Errorf("got since %v, want %v", got, want)
		}
		if r.KID() != kid || !r.AuditKey().Equal(audit) {
			t.Error("rotating changed another key")
		}
		r = reopen(t, r, u)
	}

	secret := r.rec.Identities[0].Identity
	for _, c := range []struct {
		before time.Time
		want   int
	}{{day0.Add(30 * day), 0}, {day0.Add(30*day + time.Second), 1}, {day0.Add(31 * day), 0}} {
		if got, err := r.DestroyIdentities(c.before); err != nil || got != c.want {
			t.Errorf("destroying those before %v: got %d, %v; want %d", c.before, got, err, c.want)
		}
	}
	for range 2 {
		if err := opens(r, first, "first"); !errors.Is(err, seal.ErrNotRecipient) {
			t.Errorf("sealed to a destroyed identity: got %v", err)
		}
		if err := errors.Join(opens(r, second, "second"), opens(r, third, "third")); err != nil {
			t.Error(err)
		}
		if record, err := r.Export(); err != nil || bytes.Contains(record, []byte(secret)) {
			t.Errorf("the record holds a destroyed identity, or %v", err)
		}
		r = reopen(t, r, u)
	}
	if got, err := r.DestroyIdentities(day0.Add(1000 * day)); err != nil || got != 1 {
		t.Errorf("destroying all: got %d, %v", got, err)
	}
	if err := opens(r, third, "third"); err != nil {
		t.Errorf("the present identity: %v", err)
	}
}

// A node that was replaced still opens what was sealed to it before, until its identities are destroyed.
func TestReplacedNodeStillOpens(t *testing.T) {
	for _, c := range []struct {
		name    string
		replace func(*Ring) error
	}{
		{"replaced", (*Ring).ReplaceNode},
		{"promoted", func(r *Ring) error {
			_, err := r.Prepare()
			return errors.Join(err, r.Promote())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, keys := newHome(t)
			u := newUnlock(t)
			r := create(t, keys, u)
			if err := r.Date(day0); err != nil {
				t.Fatal(err)
			}
			file, audit := sealTo(t, r.Recipient(), "before"), r.AuditKey()
			if err := c.replace(r); err != nil {
				t.Fatal(err)
			}
			r = reopen(t, r, u)
			if err := opens(r, file, "before"); err != nil {
				t.Error(err)
			}
			if in, err := r.Unseal(bytes.NewReader(file)); err != nil {
				t.Errorf("as a stream: %v", err)
			} else if _, err := io.Copy(io.Discard, in); err != nil {
				t.Errorf("as a stream: %v", err)
			}
			if !r.AuditKey().Equal(audit) {
				t.Error("the audit log has another key")
			}
			// When it was replaced is known only from the next start on.
			if n, err := r.DestroyIdentities(day0.Add(1000 * day)); err != nil || n != 0 || !r.IdentitySince().IsZero() {
				t.Errorf("without a time: %d were destroyed, since %v, %v", n, r.IdentitySince(), err)
			}
			if err := r.Date(day0.Add(day)); err != nil {
				t.Fatal(err)
			}
			if got := r.IdentitySince(); !got.Equal(day0.Add(day)) {
				t.Errorf("got since %v", got)
			}
			if n, err := r.DestroyIdentities(day0.Add(day + time.Second)); err != nil || n != 1 {
				t.Errorf("destroying: got %d, %v", n, err)
			}
		})
	}
}

// Other teams seal to the keys that an officer certified before the node takes them.
func TestPreparedIdentityOpens(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	next, err := r.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	file := sealTo(t, next.Recipient, "early")
	if _, err := r.Rotate(day0); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return nil },
		func() error { r = reopen(t, r, u); return nil },
		func() error { return r.Promote() },
	} {
		if err := errors.Join(step(), opens(r, file, "early")); err != nil {
			t.Error(err)
		}
	}
	if r.Recipient() != next.Recipient {
		t.Error("the node took another identity than the one certified")
	}
}

func TestBackupCarriesIdentities(t *testing.T) {
	home, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	file := sealTo(t, r.Recipient(), "before")
	if _, err := r.Rotate(day0); err != nil {
		t.Fatal(err)
	}
	record, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Import(filepath.Join(home, "back"), newUnlock(t), record)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if err := errors.Join(back.ReplaceNode(), opens(back, file, "before")); err != nil {
		t.Error(err)
	}
	if !back.AuditKey().Equal(r.AuditKey()) {
		t.Error("the audit log has another key")
	}
}

// A crash in the middle of a rotation leaves the identity that other teams know, or the new one beside it: never neither.
func TestCrashWhileRotating(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	file, to := sealTo(t, r.Recipient(), "before"), r.Recipient()
	if _, err := r.Rotate(day0); err != nil {
		t.Fatal(err)
	}
	newer := r.Recipient()
	crash := errors.New("power went")
	restore := failAt(t, "written", crash)
	_, err1 := r.Rotate(day0.Add(30 * day))
	_, err2 := r.DestroyIdentities(day0.Add(31 * day))
	if !errors.Is(err1, crash) || !errors.Is(err2, crash) {
		t.Errorf("got %v, %v; want %v", err1, err2, crash)
	}
	restore()
	for range 2 {
		if r.Recipient() != newer || newer == to || !r.IdentitySince().Equal(day0) {
			t.Error("a write that failed changed the identity")
		}
		if err := opens(r, file, "before"); err != nil {
			t.Error(err)
		}
		r = reopen(t, r, u)
	}
}

func TestRotateLimit(t *testing.T) {
	noSync(t)
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	for i := range MaxIdentities {
		if _, err := r.Rotate(day0.Add(time.Duration(i) * day)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Rotate(day0); err == nil {
		t.Error("one rotation too many was accepted")
	}
	r = reopen(t, r, u)
	if n, err := r.DestroyIdentities(day0.Add(10 * day)); err != nil || n != 10 {
		t.Errorf("destroying: got %d, %v", n, err)
	}
	if _, err := r.Rotate(day0.Add(100 * day)); err != nil {
		t.Errorf("after that: %v", err)
	}
	r.Close()
	_, err1 := r.Rotate(day0)
	_, err2 := r.DestroyIdentities(day0)
	_, err3 := r.UnsealSmall(nil)
	_, err4 := r.Unseal(bytes.NewReader(nil))
	for i, err := range []error{err1, err2, err3, err4, r.Date(day0)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d on a closed ring: got %v", i+1, err)
		}
	}
}

// A home that an older version made opens, and gets what it lacks, once.
func TestOldNodeKey(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	type oldRecord struct {
		Version   uint64   `cbor:"1,keyasint"`
		Sign      [32]byte `cbor:"2,keyasint"`
		Transport [32]byte `cbor:"3,keyasint"`
		Identity  string   `cbor:"4,keyasint"`
		Local     [32]byte `cbor:"5,keyasint"`
		Badger    [32]byte `cbor:"6,keyasint"`
	}
	plain, err := protocol.Marshal(&oldRecord{1, r.rec.Sign, r.rec.Transport, r.rec.Identity, r.rec.Local, r.rec.Badger})
	if err != nil {
		t.Fatal(err)
	}
	text, err := seal.ArmorTo(plain, r.to)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.dir.replace(nodeKey, text); err != nil {
		t.Fatal(err)
	}
	kid, to := r.KID(), r.Recipient()
	r = reopen(t, r, u)
	audit := r.AuditKey()
	r = reopen(t, r, u)
	if r.KID() != kid || r.Recipient() != to || !r.IdentitySince().IsZero() {
		t.Error("the keys are others")
	}
	if !r.AuditKey().Equal(audit) || bytes.Equal(audit.Seed(), make([]byte, 32)) {
		t.Error("the audit log's key was not kept")
	}
	back, err := Import(filepath.Join(t.TempDir(), "back"), newUnlock(t), plain)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if bytes.Equal(back.AuditKey().Seed(), make([]byte, 32)) {
		t.Error("a node restored from an old backup has no key for its audit log")
	}
}

// Whatever the order of rotations, replacements, destructions, restarts and restores: what was sealed to an identity opens exactly
// until that identity was destroyed.
func TestIdentitiesProperty(t *testing.T) {
	noSync(t)
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		u, err := CreateUnlockFile(filepath.Join(dir, "unlock"))
		if err != nil {
			rt.Fatal(err)
		}
		r, err := Create(filepath.Join(dir, "keys0"), u, 0)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { r.Close() }()
		now, homes := day0, 0
		type letter struct {
			file     []byte
			replaced time.Time // zero: not yet
			lost     bool
		}
		seal := func() *letter { return &letter{file: sealTo(t, r.Recipient(), "x")} }
		letters := []*letter{seal()}
		fail := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		fail(r.Date(now))
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			now = now.Add(day)
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				letters[len(letters)-1].replaced = now
				_, err := r.Rotate(now)
				fail(err)
				letters = append(letters, seal())
			case 2:
				letters[len(letters)-1].replaced = now
				fail(errors.Join(r.ReplaceNode(), r.Date(now)))
				letters = append(letters, seal())
			case 3:
				before := now.Add(-time.Duration(rapid.IntRange(0, 5).Draw(rt, "age")) * day)
				want := 0
				for _, l := range letters {
					if !l.replaced.IsZero() && !l.lost && l.replaced.Before(before) {
						l.lost = true
						want++
					}
				}
				if n, err := r.DestroyIdentities(before); err != nil || n != want {
					rt.Fatalf("destroying: got %d, %v; want %d", n, err, want)
				}
			case 4:
				record, err := r.Export()
				fail(err)
				r.Close()
				homes++
				r, err = Import(filepath.Join(dir, fmt.Sprintf("keys%d", homes)), u, record)
				fail(err)
			}
			for i, l := range letters {
				switch err := opens(r, l.file, "x"); {
				case l.lost && err == nil:
					rt.Fatalf("letter %d opens with a destroyed identity", i)
				case !l.lost && err != nil:
					rt.Fatalf("letter %d: %v", i, err)
				}
			}
		}
	})
}
