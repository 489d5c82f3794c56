package audit

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// brokenLog returns the files of a closed log of 8 records, two of them erased, and its checkpoint.
func brokenLog(t *testing.T) (dir string, text []byte) {
	t.Helper()
	dir = tempDir(t)
	l := openLog(t, dir)
	appendAll(t, l, testRecords(0, 7)...)
	if n, err := l.EraseObject(testObject(1), "anna", "asked to"); n != 2 || err != nil {
		t.Fatalf("erase: got %d, %v", n, err)
	}
	text, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	return dir, text
}

var breaks = map[string]struct {
	damage func(t *testing.T, dir string)
	left   int // records before the one of the break
}{
	"records cut": {func(t *testing.T, dir string) {
		writeFile(t, readFile(t, dir, recordsFile)[:slotAt(5)], dir, recordsFile)
	}, 5},
	"records from earlier, one of them": {func(t *testing.T, dir string) {
		writeFile(t, readFile(t, dir, recordsFile)[:slotAt(7)], dir, recordsFile)
	}, 7},
	"records gone":    {func(t *testing.T, dir string) { remove(t, dir, recordsFile) }, 0},
	"checkpoint gone": {func(t *testing.T, dir string) { remove(t, dir, checkpointFile) }, 8},
	"checkpoint damaged": {func(t *testing.T, dir string) {
		b := readFile(t, dir, checkpointFile)
		b[len(b)-10] ^= 1
		writeFile(t, b, dir, checkpointFile)
	}, 8},
	"checkpoint of another key": {func(t *testing.T, dir string) {
		cp, err := signCheckpoint(newKey(2), testOrigin, 0, emptyRoot)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, cp.text, dir, checkpointFile)
	}, 8},
	"checkpoint of another origin": {func(t *testing.T, dir string) {
		cp, err := signCheckpoint(testKey, "another", 0, emptyRoot)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, cp.text, dir, checkpointFile)
	}, 8},
	"header damaged": {func(t *testing.T, dir string) {
		b := readFile(t, dir, recordsFile)
		b[3] ^= 1
		writeFile(t, b, dir, recordsFile)
	}, 0},
	"all but hashes gone": {func(t *testing.T, dir string) {
		remove(t, dir, recordsFile)
		remove(t, dir, checkpointFile)
	}, 0},
	"a record and the hashes damaged": {func(t *testing.T, dir string) {
		b := readFile(t, dir, recordsFile)
		b[slotAt(4)+50] ^= 1
		writeFile(t, b, dir, recordsFile)
		remove(t, dir, hashesFile)
	}, 4},
	"a record exchanged, the hashes gone": {func(t *testing.T, dir string) {
		b := readFile(t, dir, recordsFile)
		copy(b[slotAt(1):], erasedSlot(emptyRoot))
		writeFile(t, b, dir, recordsFile)
		remove(t, dir, hashesFile)
	}, 8},
}

func remove(t *testing.T, path ...string) {
	t.Helper()
	if err := os.Remove(filepath.Join(path...)); err != nil {
		t.Fatal(err)
	}
}

func openAfterBreak(dir string) (*Log, error) {
	return OpenAfterBreak(dir, newCipher(1), testKey, testOrigin, testNow, "anna", "the disk was exchanged")
}

func TestBreak(t *testing.T) {
	noSync(t)
	whole, text := brokenLog(t)
	for name, c := range breaks {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, whole)
			c.damage(t, dir)
			damaged := copyDir(t, dir)

			if _, err := Open(dir, newCipher(1), testKey, testOrigin, testNow); !errors.Is(err, ErrBroken) {
				t.Fatalf("open: got %v, want %v", err, ErrBroken)
			}

			l, err := openAfterBreak(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			got := entries(t, l)
			if len(got) != c.left+1 {
				t.Fatalf("got %d records, want %d", len(got), c.left+1)
			}
			b := got[c.left]
			if b.Action != ActionBreak || b.Actor != "anna" || !strings.HasPrefix(b.Reason, "the disk was exchanged: ") {
				t.Errorf("the record of the break: got %+v", b)
			}
			if want := testOrigin + "/1"; l.Origin() != want {
				t.Errorf("origin: got %q, want %q", l.Origin(), want)
			}
			if err := l.Extends(text); c.left < 8 && err == nil {
				t.Error("extends what it lost")
			}
			appendAll(t, l, testRecords(10, 12)...)
			p, err := l.Prove(uint64(c.left))
			if err != nil {
				t.Fatal(err)
			}
			if v, err := VerifyProof(p, testPublic()); err != nil || v.Origin != testOrigin+"/1" {
				t.Errorf("proof: got %+v, %v", v, err)
			}
			for _, file := range []string{recordsFile, hashesFile, checkpointFile} {
				was, err := os.ReadFile(filepath.Join(damaged, file))
				if err == nil && !bytes.Equal(was, readFile(t, dir, brokenDir+"1", file)) {
					t.Errorf("%s was not kept", file)
				}
			}
			closeLog(t, l)
			l = openLog(t, dir)
			if r := verify(t, l); len(r.Breaks) != 1 {
				t.Errorf("report: got %+v", r)
			}
		})
	}
}

func TestBreakAgain(t *testing.T) {
	noSync(t)
	dir, _ := brokenLog(t)
	for n := 1; n <= 2; n++ {
		b := readFile(t, dir, recordsFile)
		writeFile(t, b[:len(b)-slotSize], dir, recordsFile)
		l, err := openAfterBreak(dir)
		if err != nil {
			t.Fatal(err)
		}
		if want := originOf(testOrigin, n); l.Origin() != want {
			t.Errorf("origin: got %q, want %q", l.Origin(), want)
		}
		appendAll(t, l, testRecord(20))
		closeLog(t, l)
	}
	l, err := openAfterBreak(dir) // nothing is broken
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, l); len(r.Breaks) != 2 {
		t.Errorf("got %d breaks, want 2", len(r.Breaks))
	}
	closeLog(t, l)
}

// TestPowerFailsInBreak: a log that was broken never opens without a record of it.
func TestPowerFailsInBreak(t *testing.T) {
	noSync(t)
	whole, _ := brokenLog(t)
	for name, c := range breaks {
		t.Run(name, func(t *testing.T) {
			for budget := 0; ; budget += 97 {
				rng := rand.New(rand.NewPCG(2, uint64(budget)))
				dir := copyDir(t, whole)
				c.damage(t, dir)
				d := &disk{left: budget}
				uninstall := d.install()
				l, err := openAfterBreak(dir)
				if err == nil {
					l.Close()
				}
				uninstall()
				d.lose(t, rng)
				l, err = Open(dir, newCipher(1), testKey, testOrigin, testNow)
				if errors.Is(err, ErrBroken) {
					l, err = openAfterBreak(dir)
				}
				if err != nil {
					t.Fatalf("budget %d: %v", budget, err)
				}
				n := 0
				for _, e := range entries(t, l) {
					if e.Action == ActionBreak {
						n++
					}
				}
				if n == 0 || n > 2 {
					t.Fatalf("budget %d: %d records of the break", budget, n)
				}
				l.Close()
				if !d.dead {
					return
				}
			}
		})
	}
}

func TestOtherCipher(t *testing.T) {
	noSync(t)
	dir, _ := brokenLog(t)
	_, err := Open(dir, newCipher(2), testKey, testOrigin, testNow)
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "another key") {
		t.Errorf("got %v, want %v, and the key", err, ErrBroken)
	}
}

// TestSetBack: a log that was set back as a whole opens, but does not go on from a checkpoint that was kept elsewhere.
func TestSetBack(t *testing.T) {
	noSync(t)
	dir, _ := brokenLog(t)
	before := copyDir(t, dir)
	l := openLog(t, dir)
	appendAll(t, l, testRecords(10, 12)...)
	text, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l = openLog(t, before)
	if err := l.Extends(text); !errors.Is(err, ErrTampered) {
		t.Errorf("shorter: got %v, want %v", err, ErrTampered)
	}
	appendAll(t, l, testRecords(10, 13)...)
	if err := l.Extends(text); !errors.Is(err, ErrTampered) {
		t.Errorf("longer: got %v, want %v", err, ErrTampered)
	}
}
