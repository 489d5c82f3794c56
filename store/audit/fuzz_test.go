package audit

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
)

func FuzzVerifyProof(f *testing.F) {
	noSync(f)
	l := openLog(f, tempDir(f))
	appendAll(f, l, testRecords(0, 7)...)
	for i := range 7 {
		text, err := l.Prove(uint64(i))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := VerifyProof(text, testPublic())
		if err != nil {
			if !errors.Is(err, ErrProof) {
				t.Fatalf("got %v, want %v", err, ErrProof)
			}
			return
		}
		if !reflect.DeepEqual(p.Record, testRecord(int(p.Index))) {
			t.Fatalf("a forgery: %+v", p)
		}
	})
}

func FuzzVerifyExtends(f *testing.F) {
	noSync(f)
	l := openLog(f, tempDir(f))
	appendAll(f, l, testRecords(0, 3)...)
	old, err := l.Checkpoint()
	if err != nil {
		f.Fatal(err)
	}
	appendAll(f, l, testRecords(3, 7)...)
	if _, err := l.Checkpoint(); err != nil {
		f.Fatal(err)
	}
	proof, err := l.ProveExtends(old)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old, proof)
	f.Fuzz(func(t *testing.T, old, text []byte) {
		if err := VerifyExtends(old, text, testPublic()); err != nil && !errors.Is(err, ErrProof) {
			t.Fatalf("got %v, want %v", err, ErrProof)
		}
	})
}

// FuzzSlot reads slots with a cipher that accepts everything, so that the inner form is reached.
func FuzzSlot(f *testing.F) {
	s := &sealer{cipher: openCipher{}, sealed: plainSize}
	for i := range 3 {
		r := testRecord(i)
		w, err := newWire(&r)
		if err != nil {
			f.Fatal(err)
		}
		o, err := newOpening(w)
		if err != nil {
			f.Fatal(err)
		}
		slot := make([]byte, slotSize)
		s.write(slot, 9, i, o)
		f.Add(slot, uint64(9))
	}
	f.Add(erasedSlot(emptyRoot), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, index uint64) {
		slot := make([]byte, slotSize)
		copy(slot, b)
		o, w, back, err := s.read(slot, index)
		if err != nil {
			return
		}
		if back > index || back >= maxBatch {
			t.Fatalf("%d records before record %d in its batch", back, index)
		}
		again, err := w.encode()
		if err != nil || !bytes.Equal(again, o.encoded) {
			t.Fatalf("read %x, which encodes as %x, %v", o.encoded, again, err)
		}
		if w.Erased != nil {
			if named, err := parseSpans(w.Erased, index); err == nil && len(named) > 0 && named[len(named)-1].end() > index {
				t.Fatalf("record %d names %v", index, named)
			}
		}
	})
}

// openCipher does not seal.
type openCipher struct{}

func (openCipher) Seal(plain, _ []byte) []byte { return bytes.Clone(plain) }

func (openCipher) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }

// FuzzFiles opens a log from any files. It opens or says why not, and what opens can be read and written.
func FuzzFiles(f *testing.F) {
	noSync(f)
	dir := tempDir(f)
	l := openLog(f, dir)
	appendAll(f, l, testRecords(0, 4)...)
	if _, err := l.EraseObject(testObject(2), "anna", "r"); err != nil {
		f.Fatal(err)
	}
	appendAll(f, l, testRecords(4, 6)...)
	records, hashes, text := readFile(f, dir, recordsFile), readFile(f, dir, hashesFile), readFile(f, dir, checkpointFile)
	f.Add(records, hashes, text)
	f.Add(records[:slotAt(5)], hashes, text)
	f.Add(records, hashes[:64], text)
	f.Add([]byte{}, []byte{}, []byte{})
	f.Add(records, hashes, append([]byte(brokenMark), text...))
	f.Fuzz(func(t *testing.T, records, hashes, text []byte) {
		dir := filepath.Join(tempDir(t))
		writeFile(t, records, dir, recordsFile)
		writeFile(t, hashes, dir, hashesFile)
		writeFile(t, text, dir, checkpointFile)
		l, err := Open(dir, newCipher(1), testKey, testOrigin, testNow)
		if errors.Is(err, ErrBroken) {
			l, err = openAfterBreak(dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, _ = l.Verify() // may complain: Open does not read every record
		first, err := l.Append(testRecords(0, 2))
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Prove(first)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyProof(p, testPublic()); err != nil {
			t.Fatal(err)
		}
	})
}
