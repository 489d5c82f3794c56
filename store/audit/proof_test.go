package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestProofs(t *testing.T) {
	noSync(t)
	l := openLog(t, tempDir(t))
	for i := range 20 {
		appendAll(t, l, testRecord(i))
		for _, index := range []int{0, i / 2, i} {
			text, err := l.Prove(uint64(index))
			if err != nil {
				t.Fatal(err)
			}
			got, err := VerifyProof(text, testPublic())
			if err != nil {
				t.Fatalf("record %d of %d: %v\n%s", index, i+1, err, text)
			}
			if want := (Entry{Index: uint64(index), Record: testRecord(index)}); !reflect.DeepEqual(got.Entry, want) {
				t.Fatalf("record %d of %d: got %+v, want %+v", index, i+1, got.Entry, want)
			}
			if got.Origin != testOrigin || got.Size <= uint64(index) {
				t.Errorf("got %q, size %d", got.Origin, got.Size)
			}
		}
	}
	if _, err := l.Prove(20); !errors.Is(err, ErrNoRecord) {
		t.Errorf("got %v, want %v", err, ErrNoRecord)
	}
}

// TestProofByHand checks a proof with nothing of this package: the form is c2sp.org/tlog-proof.
func TestProofByHand(t *testing.T) {
	noSync(t)
	l := openLog(t, tempDir(t))
	appendAll(t, l, testRecords(0, 3)...)
	text, err := l.Prove(1)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" || lines[2] != "index 1" || lines[5] != "" || lines[6] != testOrigin || lines[7] != "3" {
		t.Fatalf("got\n%s", text)
	}
	opening, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		t.Fatal(err)
	}
	h := tlog.Hash(sha256.Sum256(opening))
	h = tlog.RecordHash(h[:])
	for i, s := range lines[3:5] {
		sibling, err := tlog.ParseHash(s)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			h = tlog.NodeHash(sibling, h)
		} else {
			h = tlog.NodeHash(h, sibling)
		}
	}
	if h.String() != lines[8] {
		t.Errorf("root: got %s, want %s", h, lines[8])
	}
}

func TestProofsThatDoNotHold(t *testing.T) {
	noSync(t)
	l := openLog(t, tempDir(t))
	appendAll(t, l, testRecords(0, 6)...)
	text, err := l.Prove(2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyProof(text, newKey(2).Public().(ed25519.PublicKey)); err == nil {
		t.Error("holds with another key")
	}
	for at := range text {
		for _, flip := range []byte{1, 2, 4, 0x80} {
			b := bytes.Clone(text)
			b[at] ^= flip
			if p, err := VerifyProof(b, testPublic()); !errors.Is(err, ErrProof) {
				t.Fatalf("byte %d ^ %#x: got %+v, %v", at, flip, p, err)
			}
		}
		if _, err := VerifyProof(text[:at], testPublic()); !errors.Is(err, ErrProof) {
			t.Fatalf("cut to %d: got %v, want %v", at, err, ErrProof)
		}
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i := range lines {
		without := strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
		twice := strings.Join(lines[:i+1], "") + strings.Join(lines[i:], "")
		for _, s := range []string{without, twice} {
			if s == string(text) || s == twice && i == len(lines)-2 {
				continue // nothing is after the last line; and the signature may be there twice
			}
			if _, err := VerifyProof([]byte(s), testPublic()); !errors.Is(err, ErrProof) {
				t.Errorf("line %d: got %v, want %v\n%s", i, err, ErrProof, s)
			}
		}
	}
	for _, s := range []string{"", "\n\n", strings.Repeat("x", MaxProof+1), strings.Repeat("\n", 1000)} {
		if _, err := VerifyProof([]byte(s), testPublic()); !errors.Is(err, ErrProof) {
			t.Errorf("%.20q: got %v, want %v", s, err, ErrProof)
		}
	}
}

// TestWitnessedProof: the cosignature of a witness is carried, and does not disturb.
func TestWitnessedProof(t *testing.T) {
	noSync(t)
	l := openLog(t, tempDir(t))
	appendAll(t, l, testRecords(0, 3)...)
	text, err := l.Prove(1)
	if err != nil {
		t.Fatal(err)
	}
	head, checkpoint, _ := strings.Cut(string(text), "\n\n")
	own, err := verifier(testOrigin, testPublic())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(checkpoint), note.VerifierList(own))
	if err != nil {
		t.Fatal(err)
	}
	skey, _, err := note.GenerateKey(nil, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	both, err := note.Sign(n, witness)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyProof(fmt.Appendf(nil, "%s\n\n%s", head, both), testPublic()); err != nil {
		t.Error(err)
	}
}

func TestExtends(t *testing.T) {
	noSync(t)
	l := openLog(t, tempDir(t))
	other := openLog(t, tempDir(t))
	var olds [][]byte
	for i := range 12 {
		text, err := l.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		olds = append(olds, text)
		for n, old := range olds {
			if err := l.Extends(old); err != nil {
				t.Fatalf("%d to %d: %v", n, i, err)
			}
			proof, err := l.ProveExtends(old)
			if err != nil {
				t.Fatalf("%d to %d: %v", n, i, err)
			}
			if err := VerifyExtends(old, proof, testPublic()); err != nil {
				t.Fatalf("%d to %d: %v\n%s", n, i, err, proof)
			}
			for _, wrong := range olds[:n] {
				if err := VerifyExtends(wrong, proof, testPublic()); !errors.Is(err, ErrProof) {
					t.Fatalf("%d to %d for another: got %v", n, i, err)
				}
			}
		}
		appendAll(t, l, testRecord(i))
		appendAll(t, other, testRecord(i))
	}
	if _, err := other.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	old := olds[7]
	if err := other.Extends(old); !errors.Is(err, ErrTampered) {
		t.Errorf("another log with the same key: got %v, want %v", err, ErrTampered)
	}
	if _, err := other.ProveExtends(old); !errors.Is(err, ErrTampered) {
		t.Errorf("another log with the same key: got %v, want %v", err, ErrTampered)
	}
	proof, err := l.ProveExtends(old)
	if err != nil {
		t.Fatal(err)
	}
	for at := range proof {
		b := bytes.Clone(proof)
		b[at] ^= 1
		if err := VerifyExtends(old, b, testPublic()); !errors.Is(err, ErrProof) {
			t.Fatalf("byte %d: got %v, want %v", at, err, ErrProof)
		}
	}
	for _, bad := range [][]byte{nil, []byte("x"), old[:len(old)-3], bytes.Repeat([]byte("y"), maxCheckpoint+1)} {
		if l.Extends(bad) == nil || VerifyExtends(bad, proof, testPublic()) == nil {
			t.Errorf("%.20q passed for a checkpoint", bad)
		}
	}
}

// TestHiding: neither leaf nor proof of one record tells whether another is a guess.
func TestHiding(t *testing.T) {
	noSync(t)
	dir := tempDir(t)
	l := openLog(t, dir)
	appendAll(t, l, testRecord(0), testRecord(0))
	if mustLeaf(t, l, 0) == mustLeaf(t, l, 1) {
		t.Error("two equal records have one leaf")
	}
	r := testRecord(0)
	for name, secret := range map[string][]byte{
		"actor": []byte(r.Actor), "rule": []byte(r.Rule), "reason": []byte(r.Reason[:12]), "object": r.Object[:8], "team": r.Team[:8],
	} {
		for _, file := range []string{recordsFile, hashesFile, checkpointFile} {
			if bytes.Contains(readFile(t, dir, file), secret) {
				t.Errorf("the %s is in the file %s", name, file)
			}
		}
	}
}
