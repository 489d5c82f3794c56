package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

const testWorkFactor = MinWorkFactor

func newIdentity(t testing.TB) Identity {
	t.Helper()
	id, err := GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// sealed returns plaintext as a file made by the function.
func sealed(t testing.TB, plaintext []byte, start func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := start(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plaintext); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sealedTo(t testing.TB, plaintext []byte, to ...Recipient) []byte {
	t.Helper()
	return sealed(t, plaintext, func(w io.Writer) (io.WriteCloser, error) { return Seal(w, to...) })
}

func sealedPassphrase(t testing.TB, plaintext []byte, passphrase string) []byte {
	t.Helper()
	return sealed(t, plaintext, func(w io.Writer) (io.WriteCloser, error) {
		return SealPassphrase(w, passphrase, testWorkFactor)
	})
}

func openAll(file []byte, ids ...Identity) ([]byte, error) {
	r, err := Open(bytes.NewReader(file), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func openAllPassphrase(file []byte, passphrase string) ([]byte, error) {
	r, err := OpenPassphrase(bytes.NewReader(file), passphrase)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestRoundTrip(t *testing.T) {
	a, b, c := newIdentity(t), newIdentity(t), newIdentity(t)
	for _, n := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000} {
		want := random(n)
		file := sealedTo(t, want, a.Recipient(), b.Recipient())
		for i, ids := range [][]Identity{{a}, {b}, {c, {}, b}} {
			got, err := openAll(file, ids...)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, identities %d: got %d bytes, %v", n, i, len(got), err)
			}
		}
		if _, err := openAll(file, c); !errors.Is(err, ErrNotRecipient) {
			t.Errorf("a stranger: got %v, want ErrNotRecipient", err)
		}
		file = sealedPassphrase(t, want, "correct horse")
		if got, err := openAllPassphrase(file, "correct horse"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, passphrase: got %d bytes, %v", n, len(got), err)
		}
	}
}

func TestManyRecipients(t *testing.T) {
	id := newIdentity(t)
	to := make([]Recipient, MaxRecipients)
	for i := range to {
		to[i] = id.Recipient()
	}
	if got, err := openAll(sealedTo(t, []byte("x"), to...), id); err != nil || string(got) != "x" {
		t.Errorf("%d recipients: got %q, %v", len(to), got, err)
	}
	for _, to := range [][]Recipient{nil, append(to, to[0]), {id.Recipient(), {}}} {
		if _, err := Seal(io.Discard, to...); err == nil {
			t.Errorf("%d recipients were accepted", len(to))
		}
	}
}

func TestOpenWithoutIdentity(t *testing.T) {
	if _, err := Open(strings.NewReader("")); err == nil {
		t.Error("no identity: no error")
	}
	if _, err := Open(strings.NewReader(""), Identity{}); err == nil {
		t.Error("the zero identity: no error")
	}
}

func TestWrongPassphrase(t *testing.T) {
	file := sealedPassphrase(t, []byte("x"), "correct horse")
	for _, p := range []string{"", "Correct horse", "correct horse "} {
		_, err := openAllPassphrase(file, p)
		if !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("%q: got %v, want ErrWrongPassphrase", p, err)
		}
		if p != "" && strings.Contains(err.Error(), p) {
			t.Errorf("the error repeats the passphrase: %v", err)
		}
	}
	id := newIdentity(t)
	_, err := openAllPassphrase(sealedTo(t, []byte("x"), id.Recipient()), "correct horse")
	if !errors.Is(err, errPassphrase) || errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("a file without a passphrase: got %v", err)
	}
	if _, err := openAll(file, id); !errors.Is(err, errMixed) {
		t.Errorf("an identity on a passphrase file: got %v", err)
	}
}

func TestWorkFactor(t *testing.T) {
	for _, f := range []int{-1, 1, MinWorkFactor - 1, MaxWorkFactor + 1, 31} {
		if _, err := SealPassphrase(io.Discard, "p", f); err == nil {
			t.Errorf("work factor %d was accepted", f)
		}
	}
	if _, err := SealPassphrase(io.Discard, "", testWorkFactor); err == nil {
		t.Error("an empty passphrase was accepted")
	}
	var b bytes.Buffer
	if _, err := SealPassphrase(&b, "p", 0); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(" %d\n", DefaultWorkFactor); !strings.Contains(b.String(), want) {
		t.Errorf("no work factor given: the header lacks %q", want)
	}
	// A file that asks for more work than allowed is refused before the work.
	dear := bytes.Replace(sealedPassphrase(t, nil, "p"), []byte(fmt.Sprintf(" %d\n", testWorkFactor)), []byte(" 23\n"), 1)
	if _, err := OpenPassphrase(bytes.NewReader(dear), "p"); !errors.Is(err, ErrDamaged) {
		t.Errorf("work factor 23: got %v", err)
	}
}

// A file that was cut anywhere must never read as whole. In small files every length is tried; in one of three chunks, those
// around each boundary, where the bytes so far authenticate and only the end is missing.
func TestTruncated(t *testing.T) {
	id := newIdentity(t)
	small := sealedTo(t, []byte("attack at dawn"), id.Recipient())
	for n := range small {
		if got, err := openAll(small[:n], id); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: got %q, %v", n, len(small), got, err)
		}
	}
	const chunk = 64<<10 + 16
	plain := random(3 * 64 << 10)
	large := sealedTo(t, plain, id.Recipient())
	start := len(large) - 3*chunk
	for i := range 3 {
		for d := -20; d <= 20; d++ {
			n := start + i*chunk + d
			got, err := openAll(large[:n], id)
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("%d of %d bytes: got %d bytes, %v", n, len(large), len(got), err)
			}
			if !bytes.HasPrefix(plain, got) {
				t.Fatalf("%d of %d bytes: bytes were given that were never sealed", n, len(large))
			}
		}
	}
}

func TestChanged(t *testing.T) {
	id := newIdentity(t)
	file := sealedTo(t, []byte("attack at dawn"), id.Recipient())
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		if got, err := openAll(bad, id); err == nil {
			t.Fatalf("byte %d changed: got %q", i, got)
		}
	}
	if got, err := openAll(append(bytes.Clone(file), 0), id); err == nil {
		t.Errorf("a byte after the end: got %q", got)
	}
}

// Mallory has an identity file opened where a sealed file is wanted, and reads the log afterwards.
func TestErrorsRepeatNothing(t *testing.T) {
	id := newIdentity(t)
	secret := id.Secret()
	_, err1 := OpenPassphrase(strings.NewReader(secret), "p")
	_, err2 := UnarmorPassphrase([]byte(secret), "p")
	_, err3 := Open(strings.NewReader("age-encryption.org/v1\n-> "+secret+"\n"), id)
	_, err4 := ParseIdentity(secret[:len(secret)-1])
	_, err5 := ParseIdentity(strings.ToLower(secret) + "x")
	_, err6 := ParseRecipient(secret)
	_, err7 := ReadIdentityFile(strings.NewReader("x" + secret + "\n"))
	_, err8 := ReadIdentityFile(strings.NewReader(secret + "\n" + secret + "\n"))
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8} {
		if err == nil {
			t.Errorf("case %d: no error", i+1)
		} else if strings.Contains(strings.ToUpper(err.Error()), secret[20:40]) {
			t.Errorf("case %d: the error repeats the secret", i+1)
		}
	}
}

type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func TestReadErrorIsNotDamage(t *testing.T) {
	id := newIdentity(t)
	file := sealedTo(t, random(200_000), id.Recipient())
	disk := errors.New("disk on fire")
	for _, n := range []int{10, 1000, len(file) - 1000} {
		r, err := Open(failing{bytes.NewReader(file[:n]), disk}, id)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, disk) || errors.Is(err, ErrDamaged) {
			t.Errorf("failing after %d bytes: got %v", n, err)
		}
	}
}

// endless gives a header line that never ends.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	e.n += len(p)
	return len(p), nil
}

func TestHeaderIsBounded(t *testing.T) {
	e := new(endless)
	in := io.MultiReader(strings.NewReader("age-encryption.org/v1\n-> "), e)
	if _, err := Open(in, newIdentity(t)); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
	if e.n > MaxHeader {
		t.Errorf("%d bytes were read of a header, more than %d", e.n, MaxHeader)
	}
}

func TestIdentity(t *testing.T) {
	id := newIdentity(t)
	again, err := ParseIdentity(id.Secret())
	if err != nil {
		t.Fatal(err)
	}
	if again.Recipient().String() != id.Recipient().String() {
		t.Error("the text form gives another identity")
	}
	r, err := ParseRecipient(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := openAll(sealedTo(t, []byte("x"), r), id); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	if !strings.HasPrefix(r.String(), "age1pq1") || (Recipient{}).String() != "" || !(Recipient{}).IsZero() {
		t.Errorf("got recipients %.20q, %q", r, Recipient{})
	}
	file := "# created: today\r\n# public key: " + r.String() + "\r\n\r\n" + id.Secret() + "\r\n"
	if again, err = ReadIdentityFile(strings.NewReader(file)); err != nil || again.Secret() != id.Secret() {
		t.Errorf("identity file: got %v", err)
	}
	for _, bad := range []string{"", "# nothing\n", strings.Repeat("#\n", MaxIdentityFile)} {
		if _, err := ReadIdentityFile(strings.NewReader(bad)); err == nil {
			t.Errorf("identity file %.20q: no error", bad)
		}
	}
}

func TestOnlyHybrid(t *testing.T) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRecipient(x.Recipient().String()); err == nil || !strings.Contains(err.Error(), "not hybrid") {
		t.Errorf("X25519 recipient: got %v", err)
	}
	if _, err := ParseIdentity(x.String()); err == nil {
		t.Error("X25519 identity: no error")
	}
	for _, s := range []string{"", "age1", "age1pq1", "age1pq1qqqq", "ssh-ed25519 AAAA", newIdentity(t).Recipient().String() + "q"} {
		if _, err := ParseRecipient(s); err == nil {
			t.Errorf("recipient %.30q: no error", s)
		}
	}
	file := sealed(t, []byte("x"), func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, x.Recipient()) })
	if _, err := openAll(file, newIdentity(t)); !errors.Is(err, errMixed) {
		t.Errorf("a file to an X25519 recipient: got %v", err)
	}
}

func TestArmor(t *testing.T) {
	id := newIdentity(t)
	want := random(5000)
	text, err := ArmorTo(want, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(text, []byte("-----BEGIN AGE ENCRYPTED FILE-----\n")) {
		t.Errorf("got %.40q", text)
	}
	if got, err := UnarmorWith(text, id); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	for n := range text[:len(text)-1] { // the last byte is a line end
		if _, err := UnarmorWith(text[:n], id); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: got %v", n, len(text), err)
		}
	}
	if text, err = ArmorPassphrase(want, "p", testWorkFactor); err != nil {
		t.Fatal(err)
	}
	if got, err := UnarmorPassphrase(text, "p"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := UnarmorPassphrase(text, "q"); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("wrong passphrase: got %v", err)
	}
	if _, err := ArmorTo(make([]byte, MaxSmall+1), id.Recipient()); err == nil {
		t.Error("a large file was armored")
	}
	if _, err := UnarmorWith(make([]byte, maxArmored+1), id); !errors.Is(err, ErrDamaged) {
		t.Errorf("a large file: got %v", err)
	}
	if text, err = ArmorTo(make([]byte, MaxSmall), id.Recipient()); err != nil {
		t.Fatal(err)
	}
	if got, err := UnarmorWith(text, id); err != nil || len(got) != MaxSmall {
		t.Errorf("greatest file: got %d bytes, %v", len(got), err)
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	id := newIdentity(t)
	c := NewCipher([32]byte(random(32)))
	for _, v := range []any{id, &id, struct{ I Identity }{id}, []Identity{id}, c, *c, struct{ C *Cipher }{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); !strings.Contains(got, redacted) {
				t.Errorf("%s of %T: got %q", verb, v, got)
			} else if strings.Contains(got, id.Secret()) {
				t.Errorf("%s of %T prints the secret", verb, v)
			}
		}
		if b, err := json.Marshal(v); err == nil && strings.Contains(string(b), id.Secret()[20:40]) {
			t.Errorf("JSON of %T shows the secret", v)
		}
	}
}

func FuzzOpen(f *testing.F) {
	id := newIdentity(f)
	f.Add(sealedTo(f, []byte("x"), id.Recipient()))
	f.Add(sealedTo(f, random(70_000), id.Recipient(), newIdentity(f).Recipient()))
	f.Add(sealedPassphrase(f, []byte("x"), "p"))
	f.Add([]byte("age-encryption.org/v1\n-> mlkem768x25519 AAAA\nAAAA\n--- AAAA\n"))
	text, err := ArmorTo([]byte("x"), id.Recipient())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, file []byte) {
		if r, err := Open(bytes.NewReader(file), id); err == nil {
			if n, _ := io.Copy(io.Discard, r); n > int64(len(file)) {
				t.Errorf("%d bytes out of %d", n, len(file))
			}
		}
		if got, err := UnarmorWith(file, id); err == nil && len(got) > len(file) {
			t.Errorf("%d bytes out of %d", len(got), len(file))
		}
	})
}
