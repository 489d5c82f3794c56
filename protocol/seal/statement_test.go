package seal

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"filippo.io/hpke"
	"pgregory.net/rapid"
)

func sealedSmall(t testing.TB, plain []byte, to ...Recipient) []byte {
	t.Helper()
	file, err := SealSmall(plain, to...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

const vectorSecret = "AGE-SECRET-KEY-PQ-18R2NY4XNDDNQVTC5P8883PVSLZ3D9J4JJ78NQXWEGCD0SAMHJ8XQESQKT7"

func vectorIdentity(t testing.TB) Identity {
	t.Helper()
	id, err := ParseIdentity(vectorSecret)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// newHardware returns the recipient of a key such as hardware has.
func newHardware(t testing.TB) Recipient {
	t.Helper()
	k, err := hpke.MLKEM768P256().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipient(plugin.EncodeRecipient("tagpq", k.PublicKey().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stanzas returns the types in the header of a file, in order.
func stanzas(t testing.TB, file []byte) []string {
	t.Helper()
	head, err := age.ExtractHeader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(head)) {
		if rest, ok := strings.CutPrefix(line, "-> "); ok {
			kind, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			out = append(out, kind)
		}
	}
	return out
}

func TestPaddedSize(t *testing.T) {
	for _, c := range []struct{ n, want uint64 }{
		{0, 1024}, {1, 1024}, {1023, 1024}, {1024, 1024},
		{1025, 1088}, {1088, 1088}, {1089, 1152}, // ten bits of exponent, four of which are kept: steps of 64
		{4096, 4096}, {4097, 4352}, {65536, 65536}, {65537, 67584}, {1 << 30, 1 << 30}, {1<<30 + 1, 1<<30 + 1<<25},
		{9 << 10, 9 << 10}, // the paper's example: 9 of 2^3 and a bit
	} {
		if got := PaddedSize(c.n); got != c.want {
			t.Errorf("PaddedSize(%d): got %d, want %d", c.n, got, c.want)
		}
	}
}

func TestPaddedSizeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 1<<62).Draw(t, "n") >> rapid.IntRange(0, 61).Draw(t, "shift")
		p := PaddedSize(n)
		switch {
		case p < n || p < MinPadded:
			t.Fatalf("%d is padded to %d", n, p)
		case PaddedSize(p) != p:
			t.Fatalf("%d is padded to %d, and that to %d", n, p, PaddedSize(p))
		case n >= MinPadded && float64(p-n) > 0.12*float64(n):
			t.Fatalf("%d is padded to %d: over 12 percent", n, p)
		case PaddedSize(n+1) < p:
			t.Fatalf("%d is padded to more than %d is", n, n+1)
		}
		// What the size tells: an exponent, and as many bits of the mantissa as that takes.
		if m := bits.Len64(p) - bits.TrailingZeros64(p); p > MinPadded && m > bits.Len(uint(bits.Len64(p)-1))+1 {
			t.Fatalf("%d is padded to %d: %d bits of it mean something", n, p, m)
		}
	})
}

func TestPad(t *testing.T) {
	for _, n := range []int{0, 1, 1022, 1023, 1024, 5000} {
		plain := random(n)
		p := Pad(plain)
		if uint64(len(p)) != PaddedSize(uint64(n)+1) {
			t.Errorf("%d bytes: padded to %d", n, len(p))
		}
		got, err := Unpad(p)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
	for _, plain := range []string{"\x80", "\x00", "\x80\x00\x00", "a\x00\x80\x00"} {
		if got, err := Unpad(Pad([]byte(plain))); err != nil || string(got) != plain {
			t.Errorf("%q: got %q, %v", plain, got, err)
		}
	}
	zeros := make([]byte, 2048)
	mark := func(n, at int) []byte {
		b := make([]byte, n)
		b[at] = padMark
		return b
	}
	for _, c := range []struct {
		name string
		bad  []byte
	}{
		{"nothing", nil},
		{"no mark", zeros[:1024]},
		{"another mark", append(bytes.Repeat([]byte{1}, 10), zeros[:1014]...)},
		{"too short", mark(1023, 5)},
		{"not a padded size", mark(1025, 5)},
		{"more zeros than needed", mark(1088, 1023)},
		{"far more zeros than needed", mark(2048, 5)},
	} {
		if got, err := Unpad(c.bad); err == nil {
			t.Errorf("%s: got %d bytes", c.name, len(got))
		}
	}
}

// One statement has one padded form, so that nothing can be hidden in another.
func FuzzUnpad(f *testing.F) {
	f.Add(Pad(nil))
	f.Add(Pad([]byte("x\x80\x00")))
	f.Add(make([]byte, 1024))
	f.Add([]byte{padMark})
	f.Fuzz(func(t *testing.T, padded []byte) {
		plain, err := Unpad(padded)
		if err == nil && !bytes.Equal(Pad(plain), padded) {
			t.Errorf("%d bytes are not what their content is padded to", len(padded))
		}
	})
}

func TestSealSmall(t *testing.T) {
	plain := random(4000)
	for _, n := range []int{1, 2, 3, 5, 8, 33, 64} {
		ids, to := make([]Identity, n), make([]Recipient, n)
		for i := range ids {
			ids[i] = newIdentity(t)
			to[i] = ids[i].Recipient()
		}
		file := sealedSmall(t, plain, to...)
		want := 1 << bits.Len(uint(n-1))
		if got := len(stanzas(t, file)); got != want {
			t.Errorf("%d recipients: got %d stanzas, want %d", n, got, want)
		}
		for i, id := range ids {
			if got, err := OpenSmall(file, newIdentity(t), Identity{}, id); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("recipient %d of %d: got %d bytes, %v", i+1, n, len(got), err)
			}
		}
		if _, err := OpenSmall(file, newIdentity(t)); !errors.Is(err, ErrNotRecipient) {
			t.Errorf("another identity: got %v", err)
		}
	}
	to := newIdentity(t).Recipient()
	for _, c := range []struct {
		name string
		to   []Recipient
		n    int
	}{
		{"nobody", nil, 1},
		{"too many", slices.Repeat([]Recipient{to}, MaxTo+1), 1},
		{"a missing recipient", []Recipient{to, {}}, 1},
		{"too long", []Recipient{to}, MaxSmall},
	} {
		if _, err := SealSmall(make([]byte, c.n), c.to...); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
	if _, err := OpenSmall(sealedSmall(t, plain, to)); err == nil {
		t.Error("no identity: no error")
	}
	if got, err := SealSmall(make([]byte, MaxSmall-1), slices.Repeat([]Recipient{newHardware(t)}, MaxTo)...); err != nil || len(got) > maxSmallFile {
		t.Errorf("the greatest file: got %d bytes, %v; want at most %d", len(got), err, maxSmallFile)
	}
}

// Sizes tell nothing but a Padmé value, and the number of stanzas of each type (I-35).
func TestSealedSizes(t *testing.T) {
	const hybrid, hardware, rest = 1557, 1609, 22 + 48 + nonceSize
	soft, hard := newIdentity(t).Recipient(), newHardware(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 100_000).Draw(t, "n")
		a := rapid.IntRange(0, 5).Draw(t, "hybrid")
		b := rapid.IntRange(0, 5).Draw(t, "hardware")
		if a+b == 0 {
			a = 1
		}
		file, err := SealSmall(make([]byte, n), slices.Concat(slices.Repeat([]Recipient{soft}, a), slices.Repeat([]Recipient{hard}, b))...)
		if err != nil {
			t.Fatal(err)
		}
		for bits.OnesCount(uint(a+b)) != 1 {
			if a > 0 {
				a++
			} else {
				b++ // among keys in hardware, a throw-away one looks like them
			}
		}
		padded := int(PaddedSize(uint64(n) + 1))
		if want := rest + a*hybrid + b*hardware + padded + (padded+chunkSize-1)/chunkSize*chunkTag; len(file) != want {
			t.Fatalf("%d bytes for %d+%d recipients: got %d, want %d", n, a, b, len(file), want)
		}
	})
}

// The order of the recipients must not show in that of the stanzas.
func TestShuffle(t *testing.T) {
	soft, hard := newIdentity(t).Recipient(), newHardware(t)
	var at [4]int
	for range 400 {
		at[slices.Index(stanzas(t, sealedSmall(t, nil, hard, soft, soft)), stanzaHardware)]++
	}
	for i, n := range at {
		if n < 40 { // 100 are expected, with a deviation of 9
			t.Errorf("the first recipient is %d times of 400 at place %d: %v", n, i, at)
		}
	}
}

// A file that was cut or changed anywhere gives nothing at all.
func TestSmallDamaged(t *testing.T) {
	id := newIdentity(t)
	file := sealedSmall(t, []byte("attack at dawn"), id.Recipient(), newHardware(t))
	for n := range file {
		if got, err := OpenSmall(file[:n], id); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: got %q, %v", n, len(file), got, err)
		}
		bad := bytes.Clone(file)
		bad[n] ^= 1
		if got, err := OpenSmall(bad, id); err == nil {
			t.Fatalf("byte %d changed: got %q", n, got)
		}
	}
	if got, err := OpenSmall(append(bytes.Clone(file), 0), id); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte after the end: got %q, %v", got, err)
	}
	if _, err := OpenSmall(make([]byte, maxSmallFile+1), id); !errors.Is(err, ErrDamaged) {
		t.Errorf("a large file: got %v", err)
	}
	unpadded := sealedTo(t, random(1000), id.Recipient())
	if _, err := OpenSmall(unpadded, id); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file without padding: got %v", err)
	}
}

// counting counts the decapsulations that a file asks for.
type counting struct {
	age.Identity
	n *int
}

func (c counting) Unwrap(s []*age.Stanza) ([]byte, error) {
	*c.n += len(s)
	return c.Identity.Unwrap(s)
}

// A bomb of stanzas is refused before any work on keys; so is a file that is sealed to something weaker besides.
func TestOnlyFewHybridStanzas(t *testing.T) {
	id, to := newIdentity(t), newIdentity(t).Recipient()
	many := func(n int) []byte {
		return sealedTo(t, Pad([]byte("x")), append(slices.Repeat([]Recipient{to}, n-1), id.Recipient())...)
	}
	if _, err := OpenSmall(many(MaxTo), id); err != nil {
		t.Errorf("%d stanzas: %v", MaxTo, err)
	}
	if _, err := OpenSmall(many(MaxTo+1), id); !errors.Is(err, errMany) {
		t.Errorf("%d stanzas: got %v", MaxTo+1, err)
	}
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	mixed := func(to ...age.Recipient) []byte {
		return sealed(t, Pad([]byte("x")), func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, to...) })
	}
	unlabelled := struct{ age.Recipient }{id.Recipient().hybrid} // age's own guard against mixing is off
	for _, file := range [][]byte{mixed(x.Recipient()), mixed(unlabelled, x.Recipient()), mixed(x.Recipient(), unlabelled)} {
		if got, err := OpenSmall(file, id); !errors.Is(err, errMixed) {
			t.Errorf("sealed to an X25519 recipient besides: got %q, %v", got, err)
		}
	}
	n := 0
	for _, file := range [][]byte{many(MaxTo + 1), mixed(unlabelled, x.Recipient())} {
		age.Decrypt(bytes.NewReader(file), only{counting{id.id, &n}, MaxTo})
	}
	if n != 0 {
		t.Errorf("%d stanzas were tried of files that are refused", n)
	}
}

// The file in testdata was made by the first version, for one identity, another one, and a hardware key: it opens for ever.
func TestSmallVector(t *testing.T) {
	file := testFile(t, "small.age")
	if got, want := strings.Join(stanzas(t, file), " "), "mlkem768x25519 mlkem768x25519 mlkem768p256tag mlkem768x25519"; got != want {
		t.Errorf("got stanzas %s, want %s", got, want)
	}
	got, err := OpenSmall(file, vectorIdentity(t))
	if want := "TLP:RED is for the eyes of one person.\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := OpenSmall(file, newIdentity(t)); !errors.Is(err, ErrNotRecipient) {
		t.Errorf("another identity: got %v", err)
	}
}

func FuzzOpenSmall(f *testing.F) {
	id := newIdentity(f)
	f.Add(sealedSmall(f, []byte("x"), id.Recipient()))
	f.Add(sealedSmall(f, random(70_000), id.Recipient(), newHardware(f), newIdentity(f).Recipient()))
	f.Add(sealedTo(f, []byte("x"), id.Recipient()))
	f.Add([]byte("age-encryption.org/v1\n-> mlkem768p256tag AAAA AAAA\nAAAA\n--- AAAA\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if got, err := OpenSmall(file, id); err == nil && len(got) > len(file) {
			t.Errorf("%d bytes out of %d", len(got), len(file))
		}
	})
}
