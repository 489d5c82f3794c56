package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

func TestRing(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	kid, seed, badger, to := r.KID(), r.TransportSeed(), r.BadgerKey(), r.Recipient()
	value := r.Local().Seal([]byte("own"), nil)
	room := audience(t, r, hash(1)).Seal([]byte("room"), nil)

	r = reopen(t, r, u)
	if r.KID() != kid || r.TransportSeed() != seed || r.BadgerKey() != badger || r.Recipient() != to {
		t.Error("the keys are others after opening again")
	}
	if got, err := r.Local().Open(value, nil); err != nil || string(got) != "own" {
		t.Errorf("own value: got %q, %v", got, err)
	}
	if got, err := audience(t, r, hash(1)).Open(room, nil); err != nil || string(got) != "room" {
		t.Errorf("an audience's value: got %q, %v", got, err)
	}
	if _, err := audience(t, r, hash(2)).Open(room, nil); err == nil {
		t.Error("another audience's key opens the value")
	}
	if !bytes.Equal(r.PeerKey().Seed(), seed[:]) {
		t.Error("the peer key is not that of the seed")
	}

	// What is sealed to the recipient that the manifest carries, the ring opens.
	rcpt, err := seal.ParseRecipient(r.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := seal.Seal(&b, rcpt)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "red")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	plain, err := r.Unseal(&b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(plain); err != nil || string(got) != "red" {
		t.Errorf("sealed to the node: got %q, %v", got, err)
	}
}

// The record signs as the protocol asks, and only as a node.
func TestNodeKeySigns(t *testing.T) {
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	if s := r.NodeKey().Public().Suite; s != protocol.Ed25519 {
		t.Errorf("got suite %d", s)
	}
	e, err := protocol.Sign(&protocol.Heads{Team: hash(1), Node: r.KID(), N: 1, Time: 1}, r.NodeKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.VerifyNode(r.NodeKey().Public()); err != nil {
		t.Error(err)
	}
}

func TestCreateOverwritesNothing(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	r.Close()
	before := files(t, keys)
	for _, u := range []Unlock{u, newUnlock(t), UnlockPassphrase("p")} {
		if _, err := Create(keys, u, lowWork); !errors.Is(err, ErrExists) {
			t.Errorf("got %v, want ErrExists", err)
		}
	}
	if after := files(t, keys); !bytes.Equal(before[r.dir.file(nodeKey)], after[r.dir.file(nodeKey)]) || len(after) != 1 {
		t.Errorf("files after it: %d", len(after))
	}
	if _, err := CreateUnlockFile(u.path); !errors.Is(err, ErrExists) {
		t.Errorf("unlock file: got %v, want ErrExists", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	if _, err := Open(keys, u); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	if _, err := CreateOfficer(keys, "Ada", "p", lowWork); err != nil {
		t.Errorf("an officer key beside a running node: %v", err)
	}
	reopen(t, r, u)
}

func TestWrongUnlock(t *testing.T) {
	_, keys := newHome(t)
	create(t, keys, newUnlock(t)).Close()
	if _, err := Open(keys, newUnlock(t)); !errors.Is(err, ErrWrongUnlock) {
		t.Errorf("another identity: got %v", err)
	}
	if _, err := Open(keys, UnlockPassphrase("p")); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "not opened by a passphrase") {
		t.Errorf("a passphrase: got %v", err)
	}
	if _, err := Open(keys, Unlock{}); err == nil {
		t.Error("no secret at all: no error")
	}

	_, keys = newHome(t)
	create(t, keys, UnlockPassphrase("correct horse")).Close()
	if _, err := Open(keys, UnlockPassphrase("wrong horse")); !errors.Is(err, seal.ErrWrongPassphrase) {
		t.Errorf("wrong passphrase: got %v", err)
	} else if strings.Contains(err.Error(), "horse") {
		t.Errorf("the error shows a passphrase: %v", err)
	}
	if _, err := Open(keys, newUnlock(t)); !errors.Is(err, ErrWrongUnlock) {
		t.Errorf("an identity: got %v", err)
	}
	r, err := Open(keys, UnlockPassphrase("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	// The passphrase is not needed any more to keep a new audience, nor is scrypt's work.
	want := audience(t, r, hash(1)).Term("x")
	r = reopen(t, r, UnlockPassphrase("correct horse"))
	if audience(t, r, hash(1)).Term("x") != want {
		t.Error("the audience has another key")
	}
	r.Close()

	// Both ways in are told from a node that is not there.
	_, keys = newHome(t)
	if err := os.Mkdir(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, u := range []Unlock{newUnlock(t), UnlockPassphrase("p")} {
		if _, err := Open(keys, u); !errors.Is(err, ErrNoKey) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("no node: got %v, want ErrNoKey", err)
		}
	}
}

// A crash between unlock.age and node.key leaves a passphrase that a second attempt goes on with.
func TestCreateAfterCrash(t *testing.T) {
	_, keys := newHome(t)
	crash := errors.New("power cut")
	n := 0
	testOnlyStep = func(string) error {
		if n++; n == 2 {
			return crash
		}
		return nil
	}
	t.Cleanup(func() { testOnlyStep = nil })
	if _, err := Create(keys, UnlockPassphrase("p"), lowWork); !errors.Is(err, crash) {
		t.Fatalf("got %v", err)
	}
	testOnlyStep = nil
	if _, err := Create(keys, UnlockPassphrase("q"), lowWork); !errors.Is(err, seal.ErrWrongPassphrase) {
		t.Errorf("another passphrase: got %v", err)
	}
	reopen(t, create(t, keys, UnlockPassphrase("p")), UnlockPassphrase("p"))
}

func TestTornAndChangedFiles(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	kid := r.KID()
	r.Close()
	path := filepath.Join(keys, nodeKey)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(data []byte) error {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(keys, u)
		if err == nil {
			if r.KID() != kid {
				t.Fatal("a changed file gave another key")
			}
			r.Close()
		}
		return err
	}
	for n := 0; n < len(whole)-1; n += 7 { // the last byte is a line end
		if err := try(whole[:n]); !errors.Is(err, seal.ErrDamaged) {
			t.Fatalf("%d of %d bytes: got %v", n, len(whole), err)
		}
	}
	for n := 0; n < len(whole)-1; n += 5 {
		bad := bytes.Clone(whole)
		bad[n] ^= 1
		if try(bad) == nil {
			t.Fatalf("byte %d changed: no error", n)
		}
	}
	if err := try(make([]byte, maxFile+1)); err == nil {
		t.Error("a huge file was read")
	}
	// Sealed to the right secret, with something else inside.
	for _, inside := range []string{"", "x", "\xa0"} {
		text, err := seal.ArmorTo([]byte(inside), r.to)
		if err != nil {
			t.Fatal(err)
		}
		if err := try(text); err == nil {
			t.Errorf("inside %q: no error", inside)
		}
	}
	if err := try(whole); err != nil {
		t.Errorf("the whole file: %v", err)
	}
}

// A write that dies leaves the old file, and its remains are cleared away.
func TestCrashWhileWriting(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	kid := r.KID()
	kept := audience(t, r, hash(1)).Term("x")
	crash := errors.New("power cut")
	restore := failAt(t, "written", crash)
	if _, err := r.Audience(hash(2)); !errors.Is(err, crash) {
		t.Errorf("new audience: got %v", err)
	}
	if err := r.DropAudience(hash(1)); !errors.Is(err, crash) {
		t.Errorf("dropping: got %v", err)
	}
	if err := r.ReplaceNode(); !errors.Is(err, crash) {
		t.Errorf("replacing: got %v", err)
	}
	restore()
	check := func(r *Ring) {
		t.Helper()
		if r.KID() != kid || len(r.Former()) != 0 || r.HasAudience(hash(2)) || audience(t, r, hash(1)).Term("x") != kept {
			t.Error("a write that failed changed the keys")
		}
	}
	check(r)
	left := r.dir.file("." + nodeKey + ".LEFT.tmp")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(reopen(t, r, u))
	if got := files(t, keys); len(got) != 1 {
		t.Errorf("%d files are in keys, want node.key alone", len(got))
	}
}

func TestConcurrentAudiences(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	const tags, each = 8, 8
	var mu sync.Mutex
	terms := map[byte]map[[16]byte]bool{}
	var wg sync.WaitGroup
	for i := range tags * each {
		wg.Go(func() {
			tag := byte(i % tags)
			c, err := r.Audience(hash(tag))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if terms[tag] == nil {
				terms[tag] = map[[16]byte]bool{}
			}
			terms[tag][c.Term("x")] = true
		})
	}
	wg.Wait()
	r = reopen(t, r, u)
	all := map[[16]byte]bool{}
	for tag, got := range terms {
		term := audience(t, r, hash(tag)).Term("x")
		if len(got) != 1 || !got[term] {
			t.Errorf("audience %d: %d keys were handed out, kept one of them: %t", tag, len(got), got[term])
		}
		all[term] = true
	}
	if len(all) != tags {
		t.Errorf("%d different keys for %d audiences", len(all), tags)
	}
}

func TestDropAudience(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	audience(t, r, hash(1))
	other := audience(t, r, hash(2)).Seal([]byte("other"), nil)
	if err := r.DropAudience(hash(1)); err != nil {
		t.Fatal(err)
	}
	if err := r.DropAudience(hash(3)); err != nil { // before it ever had a key
		t.Fatal(err)
	}
	for range 2 {
		for _, n := range []byte{1, 3} {
			if _, err := r.Audience(hash(n)); !errors.Is(err, ErrDropped) {
				t.Errorf("audience %d: got %v, want ErrDropped", n, err)
			}
		}
		if _, err := audience(t, r, hash(2)).Open(other, nil); err != nil {
			t.Errorf("the other audience: %v", err)
		}
		r = reopen(t, r, u)
	}
}

func TestManyAudiences(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	for i := range MaxAudiences {
		tag := protocol.Sum("test", fmt.Append(nil, i))
		at, _ := r.find(tag)
		r.rec.Audiences = append(r.rec.Audiences[:at], append([]audienceKey{{Tag: tag, Key: newKey()}}, r.rec.Audiences[at:]...)...)
	}
	if _, err := r.Audience(hash(1)); err == nil {
		t.Error("one too many was accepted")
	}
	for range MaxFormer {
		r.rec.Former = append(r.rec.Former, protocol.KID{1})
	}
	if err := r.ReplaceNode(); err == nil {
		t.Error("one replacement too many was accepted")
	}
	// The fullest record can be written and read.
	if err := r.write(&r.rec, r.dir.replace); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, r, u)
	if len(r.rec.Audiences) != MaxAudiences || len(r.Former()) != MaxFormer {
		t.Errorf("got %d audiences, %d former keys", len(r.rec.Audiences), len(r.Former()))
	}
}

func TestReplaceNode(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	kid, seed, to := r.KID(), r.TransportSeed(), r.Recipient()
	value := r.Local().Seal([]byte("own"), nil)
	room := audience(t, r, hash(1)).Seal([]byte("room"), nil)
	badger := r.BadgerKey()
	if err := r.ReplaceNode(); err != nil {
		t.Fatal(err)
	}
	second := r.KID()
	for range 2 {
		if r.KID() != second || second == kid || r.TransportSeed() == seed || r.Recipient() == to {
			t.Error("a key stayed")
		}
		if f := r.Former(); len(f) != 1 || f[0] != kid {
			t.Errorf("former keys: got %v, want %v", f, kid)
		}
		_, err1 := r.Local().Open(value, nil)
		_, err2 := audience(t, r, hash(1)).Open(room, nil)
		if err1 != nil || err2 != nil || r.BadgerKey() != badger {
			t.Errorf("the store cannot be read any more: %v, %v", err1, err2)
		}
		r = reopen(t, r, u)
	}
	if err := r.ReplaceNode(); err != nil {
		t.Fatal(err)
	}
	if f := r.Former(); len(f) != 2 || f[1] != second {
		t.Errorf("former keys: got %v", f)
	}
}

func TestClosedRing(t *testing.T) {
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	r.Close()
	if err := r.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	_, err1 := r.Audience(hash(1))
	for i, err := range []error{err1, r.DropAudience(hash(1)), r.ReplaceNode()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("case %d: got %v, want ErrClosed", i, err)
		}
	}
	if _, err := r.Unseal(strings.NewReader("")); err == nil {
		t.Error("unsealing: no error")
	}
	defer func() {
		if recover() == nil {
			t.Error("a closed ring gave a key of zeros")
		}
	}()
	r.BadgerKey()
}

// A thief has a copy of the disk: the whole home, and not the unlock secret, which lay elsewhere.
func TestCopiedDisk(t *testing.T) {
	for _, typed := range []bool{false, true} {
		t.Run(fmt.Sprintf("typed=%t", typed), func(t *testing.T) {
			home, keys := newHome(t)
			u := UnlockPassphrase("correct horse battery")
			if !typed {
				u = newUnlock(t)
			}
			unlockID := u.id
			r := create(t, keys, u)
			audience(t, r, hash(1))
			gone := r.rec.Sign
			if err := r.ReplaceNode(); err != nil {
				t.Fatal(err)
			}
			g, err := CreateGuard(filepath.Join(home, "heads"), r.KID())
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if _, err := CreateRoot(keys, "root passphrase", lowWork); err != nil {
				t.Fatal(err)
			}
			if _, err := CreateOfficer(keys, "Ada", "officer passphrase", lowWork); err != nil {
				t.Fatal(err)
			}
			secrets := map[string][]byte{
				"former seed":    gone[:],
				"sign seed":      r.rec.Sign[:],
				"transport seed": r.rec.Transport[:],
				"local key":      r.rec.Local[:],
				"badger key":     r.rec.Badger[:],
				"audience key":   r.rec.Audiences[0].Key[:],
				"age identity":   []byte(r.rec.Identity),
				"any identity":   []byte("AGE-SECRET-KEY-"),
				"root seed":      personSeed(t, keys, "root.key", "root passphrase"),
				"officer seed":   personSeed(t, keys, "officer-Ada.key", "officer passphrase"),
				"passphrases":    []byte("passphrase"),
				"unlock phrase":  []byte("correct horse battery"),
			}
			if !unlockID.IsZero() {
				secrets["unlock"] = []byte(unlockID.Secret())
				secrets["unlock recipient"] = []byte(unlockID.Recipient().String())
			}
			for path, data := range files(t, home) {
				for name, secret := range secrets {
					if shows(data, secret) {
						t.Errorf("%s shows the %s", path, name)
					}
				}
			}
			r.Close()
			stolen := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(stolen, os.DirFS(home)); err != nil {
				t.Fatal(err)
			}
			chmodAll(t, stolen)
			for _, u := range []Unlock{{}, newUnlock(t), UnlockPassphrase("guess")} {
				if r, err := Open(filepath.Join(stolen, "keys"), u); err == nil {
					r.Close()
					t.Error("the copy was opened")
				}
			}
			if r, err := Open(filepath.Join(stolen, "keys"), u); err != nil {
				t.Errorf("the copy is whole: %v", err)
			} else {
				r.Close()
			}
		})
	}
}

// TestShows keeps the search above honest.
func TestShows(t *testing.T) {
	secret := bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef, 0x01}, 6)
	for pad := range 3 {
		raw := append(append(make([]byte, pad), secret...), 7, 7)
		std, url := base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw)
		for _, text := range []string{string(raw), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), std, url,
			std[:20] + "\n" + std[20:]} {
			if !shows([]byte("x"+text+"y"), secret) {
				t.Errorf("padding %d: not found in %q", pad, text)
			}
		}
	}
	if shows([]byte(hex.EncodeToString(secret[1:])), secret) {
		t.Error("found where it is not")
	}
}

func personSeed(t *testing.T, keys, name, passphrase string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(keys, name))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := seal.UnarmorPassphrase(text, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	var s secretFile
	if err := protocol.Unmarshal(plain, &s); err != nil {
		t.Fatal(err)
	}
	return s.Seed[:]
}

func chmodAll(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The tool for the day on which this program is not at hand.
func TestAgeOpensNodeKey(t *testing.T) {
	tool, err := exec.LookPath("age")
	if err != nil {
		t.Skip("the age tool is not installed")
	}
	if out, err := exec.Command(tool, "--version").Output(); err != nil || strings.HasPrefix(strings.TrimPrefix(string(out), "v"), "1.2") {
		t.Skipf("age %s knows no hybrid identities", bytes.TrimSpace(out))
	}
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	out, err := exec.Command(tool, "-d", "-i", u.path, r.dir.file(nodeKey)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var rec nodeRecord
	if err := protocol.Unmarshal(out, &rec); err != nil || rec.Sign != r.rec.Sign {
		t.Errorf("got %d bytes, %v", len(out), err)
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	typed := UnlockPassphrase("correct horse")
	r := create(t, keys, u)
	for _, v := range []any{r, u, &u, typed, struct{ U Unlock }{typed}, struct{ R *Ring }{r}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			got := fmt.Sprintf(verb, v)
			if !strings.Contains(got, redacted) || strings.Contains(got, "horse") || strings.Contains(got, "AGE-") {
				t.Errorf("%s of %T: got %.80q", verb, v, got)
			}
		}
	}
}
