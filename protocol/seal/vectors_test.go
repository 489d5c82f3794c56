package seal

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	agetest "c2sp.org/CCTV/age"
)

// A vector is one file of the C2SP community test vectors of the age format.
type vector struct {
	expect, payload      string
	identity, passphrase []string
	armored              bool
	file                 []byte
}

func readVector(t *testing.T, file []byte) vector {
	t.Helper()
	v := vector{file: file}
	compressed := false
	for {
		line, rest, ok := bytes.Cut(v.file, []byte("\n"))
		if !ok {
			t.Fatal("vector without a file")
		}
		v.file = rest
		if len(line) == 0 {
			break
		}
		key, value, _ := strings.Cut(string(line), ": ")
		switch key {
		case "expect":
			v.expect = value
		case "payload":
			v.payload = value
		case "identity":
			v.identity = append(v.identity, value)
		case "passphrase":
			v.passphrase = append(v.passphrase, value)
		case "armored":
			v.armored = true
		case "compressed":
			compressed = true
		case "file key", "comment":
		default:
			t.Fatalf("vector with an unknown key %q", key)
		}
	}
	if compressed {
		r, err := zlib.NewReader(bytes.NewReader(v.file))
		if err != nil {
			t.Fatal(err)
		}
		if v.file, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// stricter are the vectors that age opens and this package refuses: they have a stanza that is not hybrid.
var stricter = map[string]bool{"hybrid_and_x25519": true, "hybrid_grease": true, "hybrid_uppercase": true}

func TestVectors(t *testing.T) {
	files, err := fs.ReadDir(agetest.Vectors, ".")
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	for _, f := range files {
		data, err := fs.ReadFile(agetest.Vectors, f.Name())
		if err != nil {
			t.Fatal(err)
		}
		v := readVector(t, data)
		var ids []Identity
		for _, s := range v.identity {
			if id, err := ParseIdentity(s); err == nil {
				ids = append(ids, id)
			}
		}
		if len(v.passphrase) != 1 && len(ids) == 0 {
			continue // X25519, which this package has not
		}
		t.Run(f.Name(), func(t *testing.T) {
			kind, got, err := "hybrid", []byte(nil), error(nil)
			switch {
			case len(v.passphrase) == 1 && v.armored:
				kind = "scrypt"
				got, err = UnarmorPassphrase(v.file, v.passphrase[0])
			case len(v.passphrase) == 1:
				kind = "scrypt"
				got, err = openAllPassphrase(v.file, v.passphrase[0])
			case v.armored:
				got, err = UnarmorWith(v.file, ids...)
			default:
				got, err = openAll(v.file, ids...)
			}
			ran[kind]++
			want := v.expect
			if stricter[f.Name()] {
				want = "refused"
			}
			switch want {
			case "success":
				if sum := sha256.Sum256(got); err != nil || hex.EncodeToString(sum[:]) != v.payload {
					t.Errorf("got %d bytes, %v; want success", len(got), err)
				}
			case "no match":
				if !errors.Is(err, ErrNotRecipient) && !errors.Is(err, ErrWrongPassphrase) && !errors.Is(err, errPassphrase) {
					t.Errorf("got %v, want no match", err)
				}
			case "refused":
				if !errors.Is(err, errMixed) {
					t.Errorf("got %v, want %v", err, errMixed)
				}
			default:
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, errMixed) {
					t.Errorf("got %d bytes, %v; want %s", len(got), err, want)
				}
			}
		})
	}
	if ran["hybrid"] < 15 || ran["scrypt"] < 20 {
		t.Errorf("vectors run: %v", ran)
	}
}
