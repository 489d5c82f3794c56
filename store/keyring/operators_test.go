package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol/seal"
)

// pluginLine is an identity of age-plugin-somekey.
const pluginLine = "AGE-PLUGIN-SOMEKEY-1WDKX7APQXYWD9J5U"

// hardwareRecipient returns the recipient of a key such as hardware has.
func hardwareRecipient(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "hardware.pub"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func listed(t testing.TB, keys string) string {
	t.Helper()
	list, err := Operators(keys)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range list {
		kind := o.Plugin
		switch {
		case o.Protected:
			kind = "passphrase"
		case o.Elsewhere:
			kind = "elsewhere"
		}
		out = append(out, o.Name+" "+kind)
	}
	return strings.Join(out, ", ")
}

func TestOperators(t *testing.T) {
	_, keys := newHome(t)
	to, err := CreateOperator(keys, "Zoë O'Hara", "phrase", lowWork)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateOperator(keys, "Ada", "other", lowWork); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateOfficer(keys, "Ada", "officer", lowWork); err != nil { // one person may be both
		t.Fatal(err)
	}
	if got, want := listed(t, keys), "Ada passphrase, Zoë O'Hara passphrase"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	file := sealTo(t, to, "for her eyes")
	ids, err := OpenOperator(keys, "Zoë O'Hara", "phrase")
	if err != nil || len(ids) != 1 || ids[0].Recipient().String() != to {
		t.Fatalf("got %d identities, %v", len(ids), err)
	}
	if got, err := seal.OpenSmall(file, ids...); err != nil || string(got) != "for her eyes" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := OpenOperator(keys, "Ada", "phrase"); !errors.Is(err, seal.ErrWrongPassphrase) {
		t.Errorf("wrong passphrase: got %v", err)
	}
	if _, err := OpenOperator(keys, "Nobody", "phrase"); !errors.Is(err, ErrNoKey) || errors.Is(err, ErrElsewhere) {
		t.Errorf("no such operator: got %v", err)
	}
	if _, err := CreateOperator(keys, "Ada", "p", lowWork); !errors.Is(err, ErrExists) {
		t.Errorf("again: got %v", err)
	}
	if _, err := CreateOperator(keys, "Empty", "", lowWork); err == nil {
		t.Error("an empty passphrase was accepted")
	}
	for _, name := range []string{"", "../x", "a/b", " a", "a\n", strings.Repeat("x", MaxOfficerName+1)} {
		_, err1 := CreateOperator(keys, name, "p", lowWork)
		_, err2 := OpenOperator(keys, name, "p")
		_, err3 := ImportOperator(keys, name, "", to)
		_, err4 := RotateOperator(keys, name, "p", lowWork)
		for i, err := range []error{err1, err2, err3, err4, RemoveOperator(keys, name)} {
			if err == nil || errors.Is(err, ErrNoKey) {
				t.Errorf("operator name %.20q was accepted by call %d: %v", name, i+1, err)
			}
		}
	}
	for path, text := range files(t, keys) {
		if bytes.Contains(text, []byte("AGE-SECRET-KEY")) {
			t.Errorf("%s holds an identity in the clear", path)
		}
	}

	if err := RemoveOperator(keys, "Ada"); err != nil {
		t.Fatal(err)
	}
	if err := RemoveOperator(keys, "Ada"); !errors.Is(err, ErrNoKey) {
		t.Errorf("removed again: got %v", err)
	}
	if got, want := listed(t, keys), "Zoë O'Hara passphrase"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if list, err := Officers(keys); err != nil || len(list) != 1 {
		t.Errorf("the officer of that name: got %d, %v", len(list), err)
	}
}

// What a person could read, the person can read after a rotation, and after a crash in the middle of one.
func TestRotateOperator(t *testing.T) {
	_, keys := newHome(t)
	to, err := CreateOperator(keys, "ada", "phrase", lowWork)
	if err != nil {
		t.Fatal(err)
	}
	old := sealTo(t, to, "x")
	crash := errors.New("power went")
	restore := failAt(t, "written", crash)
	if _, err := RotateOperator(keys, "ada", "phrase", lowWork); !errors.Is(err, crash) {
		t.Errorf("got %v, want %v", err, crash)
	}
	restore()
	if ids, err := OpenOperator(keys, "ada", "phrase"); err != nil || len(ids) != 1 || ids[0].Recipient().String() != to {
		t.Errorf("after a crash: got %d identities, %v", len(ids), err)
	}

	public, err := os.ReadFile(filepath.Join(keys, "operator-ada.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotateOperator(keys, "ada", "wrong", lowWork); !errors.Is(err, seal.ErrWrongPassphrase) {
		t.Errorf("wrong passphrase: got %v", err)
	}
	newer, err := RotateOperator(keys, "ada", "phrase", lowWork)
	if err != nil || newer == to {
		t.Fatalf("got %.20q, %v", newer, err)
	}
	// The crash came between the two files: the public one is put right.
	if err := os.WriteFile(filepath.Join(keys, "operator-ada.pub"), public, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ids, err := OpenOperator(keys, "ada", "phrase")
		if err != nil || len(ids) != 2 {
			t.Fatalf("got %d identities, %v", len(ids), err)
		}
		for _, file := range [][]byte{old, sealTo(t, newer, "x")} {
			if _, err := seal.OpenSmall(file, ids...); err != nil {
				t.Error(err)
			}
		}
		if list, err := Operators(keys); err != nil || list[0].Recipient != newer {
			t.Errorf("the recipient is not the new one, or %v", err)
		}
	}
	if err := os.Remove(filepath.Join(keys, "operator-ada.pub")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOperator(keys, "ada", "phrase"); err != nil || listed(t, keys) != "ada passphrase" {
		t.Errorf("a lost public file: got %v", err)
	}
	if err := os.WriteFile(filepath.Join(keys, "operator-ada.pub"), []byte(hardwareRecipient(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOperator(keys, "ada", "phrase"); err == nil || !strings.Contains(err.Error(), "was replaced") {
		t.Errorf("another public file: got %v", err)
	}
}

func TestImportOperator(t *testing.T) {
	_, keys := newHome(t)
	id, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	to, hard := id.Recipient().String(), hardwareRecipient(t)
	own := writeFile(t, "own", "# public key: "+to+"\n"+id.Secret()+"\n")
	told := writeFile(t, "told", "#  Recipient: "+hard+"\n"+pluginLine+"\n")
	untold := writeFile(t, "untold", pluginLine+"\n")
	for _, c := range []struct{ name, file, recipient, want string }{
		{"a own file", own, "", to},
		{"b own file and recipient", own, to, to},
		{"c recipient", "", to, to},
		{"d hardware recipient", "", hard, hard},
		{"e plugin", told, "", hard},
		{"f plugin and recipient", untold, hard, hard},
	} {
		if got, err := ImportOperator(keys, c.name, c.file, c.recipient); err != nil || got != c.want {
			t.Errorf("%s: got %.20q, %v; want %.20q", c.name, got, err, c.want)
		}
	}
	want := "a own file elsewhere, b own file and recipient elsewhere, c recipient elsewhere, d hardware recipient elsewhere, " +
		"e plugin somekey, f plugin and recipient somekey"
	if got := listed(t, keys); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for path, text := range files(t, keys) {
		if bytes.Contains(text, []byte("AGE-SECRET-KEY")) {
			t.Errorf("%s holds an identity in the clear", path)
		}
	}
	if _, err := OpenOperator(keys, "c recipient", ""); !errors.Is(err, ErrElsewhere) || !errors.Is(err, ErrNoKey) {
		t.Errorf("kept elsewhere: got %v", err)
	}
	for _, name := range []string{"e plugin", "f plugin and recipient"} {
		ids, err := OpenOperator(keys, name, "")
		if err != nil || len(ids) != 1 || ids[0].Plugin() != "somekey" || ids[0].Secret() != pluginLine {
			t.Errorf("%s: got %d identities, %v", name, len(ids), err)
		}
		if _, err := RotateOperator(keys, name, "", lowWork); err == nil || !strings.Contains(err.Error(), "age-plugin-somekey") {
			t.Errorf("%s: rotated with %v", name, err)
		}
	}
	for _, c := range []struct{ name, file, recipient, want string }{
		{"nothing", "", "", "neither"},
		{"untold", untold, "", "does not tell the recipient"},
		{"of another", own, hard, "of another recipient"},
		{"not hybrid", "", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "not hybrid"},
		{"no file", filepath.Join(keys, "absent"), "", "no such file"},
		{"c recipient", "", hard, "exists already"},
	} {
		if _, err := ImportOperator(keys, c.name, c.file, c.recipient); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		} else if strings.Contains(err.Error(), id.Secret()[20:40]) {
			t.Errorf("%s: the error repeats the secret", c.name)
		}
	}
}

func TestOpenOperatorFile(t *testing.T) {
	home, keys := newHome(t)
	to, err := CreateOperator(keys, "ada", "phrase", lowWork)
	if err != nil {
		t.Fatal(err)
	}
	carried := filepath.Join(home, "carried")
	if err := os.Rename(filepath.Join(keys, "operator-ada.key"), carried); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOperator(keys, "ada", "phrase"); !errors.Is(err, ErrElsewhere) {
		t.Errorf("carried away: got %v", err)
	}
	if need, err := ProtectedOperatorFile(carried); err != nil || !need {
		t.Errorf("a protected file: got %v, %v", need, err)
	}
	ids, err := OpenOperatorFile(carried, "phrase")
	if err != nil || len(ids) != 1 || ids[0].Recipient().String() != to {
		t.Errorf("got %d identities, %v", len(ids), err)
	}
	if _, err := OpenOperatorFile(carried, "wrong"); !errors.Is(err, seal.ErrWrongPassphrase) {
		t.Errorf("wrong passphrase: got %v", err)
	}
	if _, err := ImportOperator(keys, "eve", carried, ""); err == nil || !strings.Contains(err.Error(), "protected with a passphrase") {
		t.Errorf("imported with %v", err)
	}
	plain := writeFile(t, "plain", ids[0].Secret())
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	if need, err := ProtectedOperatorFile(plain); err != nil || need {
		t.Errorf("a file in the clear: got %v, %v", need, err)
	}
	if again, err := OpenOperatorFile(plain, ""); err != nil || len(again) != 1 || again[0].Secret() != ids[0].Secret() {
		t.Errorf("a file in the clear: got %d identities, %v", len(again), err)
	}
}

// The file of an operator is an identity file of age: what is sealed to persons opens without this project.
func TestAgeOpensOperatorFile(t *testing.T) {
	_, keys := newHome(t)
	to, err := CreateOperator(keys, "ada", "phrase", lowWork)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := RotateOperator(keys, "ada", "phrase", lowWork)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(keys, "operator-ada.key"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := seal.UnarmorPassphrase(text, "phrase")
	if err != nil {
		t.Fatal(err)
	}
	ids, told, err := seal.ReadPersonFile(bytes.NewReader(plain))
	if err != nil || told.String() != newer || len(ids) != 2 || ids[1].Recipient().String() != to {
		t.Errorf("got %d identities of %.20q, %v", len(ids), told, err)
	}
	if want := fmt.Sprintf("# public key: %s\nAGE-SECRET-KEY-PQ-1", newer); !strings.HasPrefix(string(plain), want) {
		t.Errorf("got %.40q…", plain)
	}
	if err := ChangePassphrase(filepath.Join(keys, "operator-ada.key"), "phrase", "other", lowWork); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOperator(keys, "ada", "other"); err != nil {
		t.Errorf("after changing the passphrase: %v", err)
	}
}
