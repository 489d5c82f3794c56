package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/vectors and the examples in SPEC.md")

const vectorDir = "testdata/vectors"

// What a vector expects.
const (
	valid     = "valid"
	malformed = "malformed" // refused before any signature is looked at
	unsigned  = "unsigned"  // well formed, but not validly signed
)

// A vector is one file of testdata/vectors: an input, and what has to happen with it.
type vector struct {
	name    string // of the file, without its ending
	expect  string
	form    string // envelope, hello, bundle, statement in parcel, statement in sealed parcel, content in statement
	rules   string // the tags of SPEC.md that it is about
	use     Use
	keys    []PublicKey
	id      string
	comment string
	channel Channel // of a sealed parcel
	inner   []byte  // what the sealed bytes were opened to
	data    []byte
}

func (v vector) format() []byte {
	var b bytes.Buffer
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	line("expect", v.expect)
	line("form", v.form)
	line("rules", v.rules)
	line("id", v.id)
	line("use", string(v.use))
	for _, k := range v.keys {
		line("key", hex.EncodeToString(must(Marshal(k))))
	}
	line("comment", v.comment)
	if room := v.channel.Room(); !room.IsZero() {
		line("channel", room.String())
	} else if !v.channel.IsCommunity() {
		channel := v.channel.low.String() + " " + v.channel.high.String()
		if id := v.channel.Agreement(); !id.IsZero() {
			channel += " " + id.String()
		}
		line("channel", channel)
	}
	line("inner", hex.EncodeToString(v.inner))
	b.WriteByte('\n')
	for h := hex.EncodeToString(v.data); h != ""; {
		n := min(len(h), 120)
		b.WriteString(h[:n] + "\n")
		h = h[n:]
	}
	return b.Bytes()
}

func parseVector(name string, text []byte) (v vector, err error) {
	v.name = name
	header, body, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return v, errors.New("no empty line after the header")
	}
	for line := range strings.Lines(header) {
		field, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		switch field {
		case "expect":
			v.expect = value
		case "form":
			v.form = value
		case "rules":
			v.rules = value
		case "id":
			v.id = value
		case "use":
			v.use = Use(value)
		case "key":
			b, err := hex.DecodeString(value)
			if err != nil {
				return v, err
			}
			var k PublicKey
			if err := Unmarshal(b, &k); err != nil {
				return v, err
			}
			v.keys = append(v.keys, k)
		case "comment":
			v.comment = value
		case "channel":
			var ids [3]Hash
			for i, s := range strings.Fields(value) {
				if ids[i], err = ParseHash(s); err != nil {
					return v, err
				}
			}
			if v.channel = Between(ids[0], ids[1], ids[2]); ids[1].IsZero() {
				v.channel = RoomChannel(ids[0])
			}
		case "inner":
			if v.inner, err = hex.DecodeString(value); err != nil {
				return v, err
			}
		default:
			return v, fmt.Errorf("unknown header %q", field)
		}
	}
	v.data, err = hex.DecodeString(strings.ReplaceAll(body, "\n", ""))
	return v, err
}

// run reads the input as its form asks, and verifies it with the keys.
func (v vector) run() error {
	switch v.form {
	case "hello":
		_, err := DecodeHello(v.data)
		return err
	case "bundle":
		b, err := DecodeBundle(v.data)
		if err == nil {
			_, err = b.Envelopes()
		}
		return err
	case "statement in parcel", "statement in sealed parcel":
		e, err := DecodeEnvelope(v.data, MaxParcel)
		if err != nil {
			return err
		}
		p, err := Decode[Parcel](e)
		if err != nil {
			return err
		}
		if err := e.VerifyNode(v.keys[0]); err != nil {
			return err
		}
		if v.form == "statement in parcel" {
			_, _, err = p.OpenCommunity(v.keys[0])
		} else {
			_, _, err = p.OpenSealed(v.keys[0], v.inner, v.channel)
		}
		return err
	case "content in statement":
		e, err := DecodeEnvelope(v.data, MaxStatement)
		if err != nil {
			return err
		}
		st, err := Decode[Statement](e)
		if err != nil {
			return err
		}
		if err := e.VerifyNode(v.keys[0]); err != nil {
			return err
		}
		_, err = DecodeContent(v.inner, st)
		return err
	case "envelope":
		e, err := DecodeEnvelope(v.data, MaxRecord)
		if err != nil {
			return err
		}
		if _, err := decodeAny(e); err != nil {
			return err
		}
		if v.id != "" && e.ID().String() != v.id {
			return fmt.Errorf("got id %s, want %s", e.ID(), v.id)
		}
		if v.use == UseNode && len(v.keys) == 1 {
			return e.VerifyNode(v.keys[0])
		}
		n, err := e.Signers(v.use, v.keys)
		if err == nil && n != len(v.keys) {
			err = fmt.Errorf("%w: by %d of %d keys", ErrSignature, n, len(v.keys))
		}
		return err
	}
	return fmt.Errorf("unknown form %q", v.form)
}

// check reports how the outcome differs from what is expected.
func (v vector) check() error {
	err := v.run()
	switch {
	case v.expect == valid && err != nil:
		return fmt.Errorf("refused, want valid: %w", err)
	case v.expect == malformed && !errors.Is(err, ErrMalformed):
		return fmt.Errorf("got error %v, want one that wraps ErrMalformed", err)
	case v.expect == unsigned && !errors.Is(err, ErrSignature):
		return fmt.Errorf("got error %v, want one that wraps ErrSignature", err)
	case v.expect != valid && v.expect != malformed && v.expect != unsigned:
		return fmt.Errorf("unknown expectation %q", v.expect)
	}
	return nil
}

// TestVectors judges by what the files say. The cases in code only write them: a difference means that the wire form has
// changed. Run with -update then, and read what git diff shows.
func TestVectors(t *testing.T) {
	written := map[string]bool{}
	for _, v := range vectors() {
		file := filepath.Join(vectorDir, v.name+".txt")
		if written[file] {
			t.Fatalf("two vectors are named %s", v.name)
		}
		written[file] = true
		if *update {
			if err := os.MkdirAll(vectorDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, v.format(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v: run go test ./protocol -update", err)
		} else if !bytes.Equal(got, v.format()) {
			t.Errorf("%s: the file is not what the code makes", v.name)
		}
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			if !written[file] && *update {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				return
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			v, err := parseVector(name, text)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.check(); err != nil {
				t.Errorf("%s: %v", v.comment, err)
			}
		})
	}
}
