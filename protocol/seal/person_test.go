package seal

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"
	"filippo.io/hpke"
)

const testPlugin = "ententetest"

// The test program is its own hardware key: under the name of a plugin it answers as one.
func TestMain(m *testing.M) {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") != "age-plugin-"+testPlugin {
		os.Exit(m.Run())
	}
	p, err := plugin.New(testPlugin)
	if err != nil {
		panic(err)
	}
	p.HandleIdentity(func(seed []byte) (age.Identity, error) { return softHardware{p, hardwareKey(seed)}, nil })
	os.Exit(p.Main())
}

func hardwareKey(seed []byte) hpke.PrivateKey {
	k, err := hpke.MLKEM768P256().DeriveKeyPair(seed)
	if err != nil {
		panic(err)
	}
	return k
}

// softHardware opens stanzas of type mlkem768p256tag, after a person typed 1234.
type softHardware struct {
	p *plugin.Plugin
	k hpke.PrivateKey
}

func (h softHardware) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	r, err := tag.NewHybridRecipient(h.k.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	for _, s := range stanzas {
		if s.Type != stanzaHardware || len(s.Args) != 2 {
			continue
		}
		enc, err := base64.RawStdEncoding.DecodeString(s.Args[1])
		if err != nil {
			return nil, err
		}
		if want, err := r.Tag(enc); err != nil || base64.RawStdEncoding.EncodeToString(want) != s.Args[0] {
			continue
		}
		if err := h.p.DisplayMessage("touch the key"); err != nil {
			return nil, err
		}
		pin, err := h.p.RequestValue("PIN", true)
		if err != nil {
			return nil, errors.New("nobody typed a PIN")
		}
		if pin != "1234" {
			return nil, errors.New("wrong PIN\x1b[2J")
		}
		if yes, err := h.p.Confirm("open it?", "yes", "no"); err != nil || !yes {
			return nil, errors.New("not confirmed")
		}
		open, err := hpke.NewRecipient(enc, h.k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("age-encryption.org/mlkem768p256tag"))
		if err != nil {
			return nil, err
		}
		return open.Open(nil, s.Body)
	}
	return nil, age.ErrIncorrectIdentity
}

// installPlugin puts the test program where plugins are found.
func installPlugin(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "age-plugin-"+testPlugin)); err != nil {
		t.Skipf("no symbolic link to this program: %v", err)
	}
	t.Setenv("PATH", dir)
}

// typist is a person in front of a screen.
type typist struct {
	pin  string
	no   bool
	seen []string
}

func (p *typist) Message(plugin, text string) error {
	p.seen = append(p.seen, plugin+": "+text)
	return nil
}

func (p *typist) Ask(plugin, prompt string, secret bool) (string, error) {
	p.seen = append(p.seen, fmt.Sprintf("%s: %s %v", plugin, prompt, secret))
	return p.pin, nil
}

func (p *typist) Confirm(plugin, prompt, yes, no string) (bool, error) {
	p.seen = append(p.seen, fmt.Sprintf("%s: %s %s %s", plugin, prompt, yes, no))
	return !p.no, nil
}

func (*typist) Waiting(string) {}

func TestPlugin(t *testing.T) {
	installPlugin(t)
	seed := random(32)
	id, err := ParsePersonIdentity(plugin.EncodeIdentity(testPlugin, seed))
	if err != nil {
		t.Fatal(err)
	}
	to, err := ParseRecipient(plugin.EncodeRecipient("tagpq", hardwareKey(seed).PublicKey().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !to.Hardware() || to.IsZero() || id.IsZero() || id.Plugin() != testPlugin || !id.Recipient().IsZero() {
		t.Errorf("got plugin %q, hardware %v", id.Plugin(), to.Hardware())
	}
	soft := newIdentity(t)
	file := sealedSmall(t, []byte("for one person"), soft.Recipient(), to, newHardware(t))

	right := &typist{pin: "1234"}
	got, err := OpenSmall(file, id.WithUI(right))
	if err != nil || string(got) != "for one person" {
		t.Fatalf("got %q, %v", got, err)
	}
	want := "ententetest: touch the key|ententetest: PIN true|ententetest: open it? yes no"
	if seen := strings.Join(right.seen, "|"); seen != want {
		t.Errorf("the person saw %q, want %q", seen, want)
	}
	if got, err := OpenSmall(file, soft); err != nil || string(got) != "for one person" {
		t.Errorf("the recipient without hardware: got %q, %v", got, err)
	}
	for _, c := range []struct {
		name string
		id   Identity
		want string
	}{
		{"wrong PIN", id.WithUI(&typist{pin: "0000"}), "age-plugin-ententetest says: wrong PIN"},
		{"not confirmed", id.WithUI(&typist{pin: "1234", no: true}), "says: not confirmed"},
		{"nobody there", id, "says: client failed to display message"},
	} {
		_, err := OpenSmall(file, c.id)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrDamaged) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	other, err := ParsePersonIdentity(plugin.EncodeIdentity(testPlugin, random(32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSmall(file, other.WithUI(right)); !errors.Is(err, ErrNotRecipient) {
		t.Errorf("another key: got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := OpenSmall(file, id); err == nil || !strings.Contains(err.Error(), "age-plugin-ententetest is not installed") {
		t.Errorf("no plugin: got %v", err)
	}
}

func TestReadPersonFile(t *testing.T) {
	a, b, hard := newIdentity(t), newIdentity(t), newHardware(t)
	line := plugin.EncodeIdentity(testPlugin, []byte("seed"))
	for _, c := range []struct {
		name, text string
		want       []string
		to         Recipient
	}{
		{"of age-keygen", "# created: today\n# public key: " + a.Recipient().String() + "\n" + a.Secret() + "\n", []string{a.Secret()}, a.Recipient()},
		{"without a comment", "\r\n" + a.Secret() + "\r\n", []string{a.Secret()}, a.Recipient()},
		{"with a wrong comment", "# " + b.Recipient().String() + "\n" + a.Secret(), []string{a.Secret()}, a.Recipient()},
		{"with a former one", a.Secret() + "\n" + b.Secret() + "\n", []string{a.Secret(), b.Secret()}, a.Recipient()},
		{"of a plugin", "#    Recipient: " + hard.String() + "\n" + line + "\n", []string{line}, hard},
		{"of a plugin that does not tell", "# Serial: 1\n" + line + "\n# " + hard.String(), []string{line}, Recipient{}},
	} {
		ids, to, err := ReadPersonFile(strings.NewReader(c.text))
		if err != nil || len(ids) != len(c.want) || to.String() != c.to.String() {
			t.Errorf("%s: got %d identities, recipient %.20q, %v", c.name, len(ids), to, err)
			continue
		}
		for i, id := range ids {
			if id.Secret() != c.want[i] {
				t.Errorf("%s: identity %d is another", c.name, i)
			}
		}
	}
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text string }{
		{"empty", ""},
		{"comments", "# nothing\n"},
		{"not hybrid", x.String()},
		{"cut", line[:len(line)-1]},
		{"a path as the plugin's name", plugin.EncodeIdentity("X", nil)[:11] + "../X-1QQQ"},
		{"too long", strings.Repeat("#\n", MaxPersonFile)},
		{"too many", strings.Repeat(a.Secret()+"\n", MaxPersonIdentities+1)},
	} {
		if _, _, err := ReadPersonFile(strings.NewReader(c.text)); err == nil {
			t.Errorf("%s: no error", c.name)
		} else if len(c.text) > 40 && strings.Contains(err.Error(), c.text[20:40]) {
			t.Errorf("%s: the error repeats the secret", c.name)
		}
	}
}

func TestHardwareRecipient(t *testing.T) {
	hard := newHardware(t)
	again, err := ParseRecipient(hard.String())
	if err != nil || again.String() != hard.String() {
		t.Errorf("got %.20q, %v", again, err)
	}
	classic, err := hpke.DHKEM(ecdh.P256()).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	raw := classic.PublicKey().Bytes()
	short := plugin.EncodeRecipient("tag", append([]byte{2 | raw[64]&1}, raw[1:33]...))
	if _, err := tag.ParseRecipient(short); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRecipient(short); err == nil || !strings.Contains(err.Error(), "not hybrid") {
		t.Errorf("a recipient in hardware that is not hybrid: got %v", err)
	}
	for _, s := range []string{"age1tagpq1", strings.ToUpper(hard.String()), hard.String() + "q", hard.String()[:100]} {
		if _, err := ParseRecipient(s); err == nil {
			t.Errorf("recipient %.30q: no error", s)
		}
	}
}
