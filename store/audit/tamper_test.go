package audit

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// tamperedLog is an open log of 8 records and one of an erasure, all in a checkpoint.
func tamperedLog(t *testing.T) (*Log, string) {
	t.Helper()
	dir := tempDir(t)
	l := openLog(t, dir)
	appendAll(t, l, testRecords(0, 8)...)
	if _, err := l.EraseObject(testObject(1), "anna", "asked to"); err != nil {
		t.Fatal(err)
	}
	return l, dir
}

// TestVerifyFindsEveryByte changes each byte of each file under an open log.
func TestVerifyFindsEveryByte(t *testing.T) {
	noSync(t)
	l, dir := tamperedLog(t)
	for _, name := range []string{recordsFile, hashesFile, checkpointFile} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for off, was := range readFile(t, dir, name) {
			for _, flip := range []byte{1, 0x20, 0xff} {
				if _, err := f.WriteAt([]byte{was ^ flip}, int64(off)); err != nil {
					t.Fatal(err)
				}
				_, err := l.Verify()
				if !errors.Is(err, ErrTampered) {
					t.Fatalf("%s, byte %d ^ %#x: got %v, want %v", name, off, flip, err, ErrTampered)
				}
				var fault *Fault
				if name == recordsFile && off >= slotSize {
					if want := uint64(off/slotSize - 1); !errors.As(err, &fault) || fault.Index != want {
						t.Fatalf("%s, byte %d: got %v, want record %d", name, off, err, want)
					}
				}
			}
			if _, err := f.WriteAt([]byte{was}, int64(off)); err != nil {
				t.Fatal(err)
			}
		}
		verify(t, l)
	}
}

// TestOpenFindsOrMends changes bytes of a log that is closed. It is refused, or Verify complains, or all is as it was.
func TestOpenFindsOrMends(t *testing.T) {
	noSync(t)
	l, dir := tamperedLog(t)
	want := entries(t, l)
	closeLog(t, l)
	at := tempDir(t)
	for _, name := range []string{recordsFile, hashesFile, checkpointFile} {
		whole := readFile(t, dir, name)
		for off := 0; off < len(whole); off += 13 {
			for _, file := range []string{recordsFile, hashesFile, checkpointFile} {
				writeFile(t, readFile(t, dir, file), at, file)
			}
			b := readFile(t, dir, name)
			b[off] ^= 0x10
			writeFile(t, b, at, name)
			l, err := Open(at, newCipher(1), testKey, testOrigin, testNow)
			if errors.Is(err, ErrBroken) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Verify(); err == nil {
				if name != hashesFile {
					t.Fatalf("%s, byte %d: not found", name, off)
				}
				if got := entries(t, l); !reflect.DeepEqual(got, want) {
					t.Fatalf("%s, byte %d: got %v", name, off, got)
				}
			}
			closeLog(t, l)
		}
	}
}

// TestMovedRecords exchanges whole slots, which are all authentic.
func TestMovedRecords(t *testing.T) {
	noSync(t)
	l, dir := tamperedLog(t)
	other, otherDir := tamperedLog(t)
	whole, foreign := readFile(t, dir, recordsFile), readFile(t, otherDir, recordsFile)
	closeLog(t, other)
	put := func(b []byte, to uint64, slot []byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[slotAt(to):], slot[:slotSize])
		return b
	}
	for name, c := range map[string]struct {
		records []byte
		want    uint64
	}{
		"two exchanged":        {put(put(whole, 2, whole[slotAt(3):]), 3, whole[slotAt(2):]), 2},
		"one twice":            {put(whole, 5, whole[slotAt(4):]), 5},
		"of another log":       {put(whole, 4, foreign[slotAt(4):]), 4},
		"an erased one moved":  {put(whole, 2, whole[slotAt(1):]), 2},
		"erased by a stranger": {put(whole, 3, erasedSlot(mustLeaf(t, l, 3))), 3},
		"zeros":                {put(whole, 7, make([]byte, slotSize)), 7},
	} {
		writeFile(t, c.records, dir, recordsFile)
		_, err := l.Verify()
		var fault *Fault
		if !errors.As(err, &fault) || fault.Index != c.want {
			t.Errorf("%s: got %v, want record %d", name, err, c.want)
		}
	}
	writeFile(t, whole, dir, recordsFile)
	verify(t, l)
}

func mustLeaf(t *testing.T, l *Log, index uint64) (h [32]byte) {
	t.Helper()
	slot := make([]byte, slotSize)
	if err := l.readSlots(slot, index); err != nil {
		t.Fatal(err)
	}
	leaf, err := l.sealer.leaf(slot, index)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestVerifyFindsLengths(t *testing.T) {
	noSync(t)
	l, dir := tamperedLog(t)
	whole := readFile(t, dir, recordsFile)
	for name, b := range map[string][]byte{
		"longer":  append(append([]byte(nil), whole...), 0),
		"shorter": whole[:len(whole)-1],
		"empty":   nil,
	} {
		writeFile(t, b, dir, recordsFile)
		if _, err := l.Verify(); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: got %v, want %v", name, err, ErrTampered)
		}
	}
	writeFile(t, whole, dir, recordsFile)
	writeFile(t, readFile(t, dir, hashesFile)[:32*5], dir, hashesFile)
	if _, err := l.Verify(); !errors.Is(err, ErrTampered) {
		t.Errorf("hashes: got %v, want %v", err, ErrTampered)
	}
}

// TestEachNamesDamage: a reader of a damaged log gets past the damage.
func TestEachNamesDamage(t *testing.T) {
	noSync(t)
	l, dir := tamperedLog(t)
	b := readFile(t, dir, recordsFile)
	b[slotAt(3)+77] ^= 1
	writeFile(t, b, dir, recordsFile)
	var got []uint64
	note := func(e *Entry) bool { got = append(got, e.Index); return true }
	var fault *Fault
	if err := l.Each(0, note); !errors.As(err, &fault) || fault.Index != 3 {
		t.Errorf("got %v, want record 3", err)
	}
	if err := l.Each(fault.Index+1, note); err != nil {
		t.Error(err)
	}
	if want := []uint64{0, 1, 2, 4, 5, 6, 7, 8}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := l.Prove(3); !errors.As(err, &fault) {
		t.Errorf("prove: got %v, want a fault", err)
	}
}
