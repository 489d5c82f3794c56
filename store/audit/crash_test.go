package audit

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol"
)

var errPower = errors.New("the power failed")

// A disk fails after so many bytes and acts. What was not synced by then may be lost, sector by sector.
type disk struct {
	left     int
	dead     bool
	unsynced []change
}

// A change is what undoes an act. size is the size of the file before.
type change struct {
	name string
	size int64
	off  int64
	old  []byte // what was there, with zeros behind the end
	temp bool   // a renaming: name is a whole file
}

// install puts the disk under all logs until the function that it returns is called.
func (d *disk) install() (remove func()) {
	testOnlyDisk = d.act
	return func() { testOnlyDisk = nil }
}

func (d *disk) act(op, name string, off int64, b []byte) (int, error) {
	if d.dead {
		return 0, errPower
	}
	cost := 1
	if op == "write" {
		cost = len(b)
	}
	n := min(cost, d.left)
	d.left -= n
	d.dead = n < cost
	switch op {
	case "write":
		d.note(name, off, n)
	case "sync":
		if d.dead {
			break
		}
		var kept []change
		for _, c := range d.unsynced {
			dir := c.temp && filepath.Dir(c.name) == filepath.Clean(name)
			if c.name != name && !dir {
				kept = append(kept, c)
			}
		}
		d.unsynced = kept
	case "truncate":
		if st, err := os.Stat(name); err == nil && !d.dead && st.Size() > off {
			d.note(name, off, int(st.Size()-off))
		}
	case "rename":
		if !d.dead {
			old, err := os.ReadFile(name)
			size := int64(len(old))
			if err != nil {
				size = -1
			}
			d.unsynced = append(d.unsynced, change{name: name, size: size, old: old, temp: true})
		}
	}
	if d.dead {
		return n, errPower
	}
	return n, nil
}

// note remembers what an act is about to change.
func (d *disk) note(name string, off int64, n int) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return
	}
	old := make([]byte, n)
	if _, err := f.ReadAt(old, off); err != nil && err != io.EOF {
		return
	}
	d.unsynced = append(d.unsynced, change{name: name, size: st.Size(), off: off, old: old})
}

// lose undoes some of what was not synced.
func (d *disk) lose(t *testing.T, rng *rand.Rand) {
	t.Helper()
	for len(d.unsynced) > 0 {
		c := d.unsynced[len(d.unsynced)-1]
		d.unsynced = d.unsynced[:len(d.unsynced)-1]
		if c.temp {
			if rng.IntN(2) == 0 {
				continue
			}
			if c.size < 0 {
				if err := os.Remove(c.name); err != nil {
					t.Fatal(err)
				}
			} else {
				writeFile(t, c.old, c.name)
			}
			continue
		}
		b := readFile(t, c.name)
		lostAll := true
		for at := 0; at < len(c.old); {
			end := min(at+slotSize-int((c.off+int64(at))%slotSize), len(c.old))
			if rng.IntN(2) == 0 && c.off+int64(end) <= int64(len(b)) {
				copy(b[c.off+int64(at):], c.old[at:end])
			} else {
				lostAll = false
			}
			at = end
		}
		if lostAll && int64(len(b)) > c.size && rng.IntN(2) == 0 {
			b = b[:c.size]
		}
		writeFile(t, b, c.name)
	}
}

// A witness knows what the log promised.
type witness struct {
	acked   []Record
	tried   []Record // of the call that failed
	erased  map[protocol.Hash]int
	erasing protocol.Hash // of the call that failed
	text    []byte        // the last checkpoint
}

// work uses a log until the power fails.
func (w *witness) work(dir string) {
	l, err := Open(dir, newCipher(1), testKey, testOrigin, testNow)
	if err != nil {
		return
	}
	defer l.Close()
	for step := range 9 {
		n := len(w.acked)
		rs := testRecords(n, n+1+step%4)
		if _, err := l.Append(rs); err != nil {
			w.tried = rs
			return
		}
		w.acked = append(w.acked, rs...)
		switch step {
		case 2, 6:
			text, err := l.Checkpoint()
			if err != nil {
				return
			}
			w.text = text
		case 4, 7:
			object := testObject(n % 5)
			w.erasing = object
			if _, err := l.EraseObject(object, "anna", "test"); err != nil {
				return
			}
			w.erased[object] = len(w.acked)
			w.erasing = protocol.Hash{}
		}
	}
}

// check opens the log after a failure and compares.
func (w *witness) check(dir string) error {
	l, err := Open(dir, newCipher(1), testKey, testOrigin, testNow)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer l.Close()
	if _, err := l.Verify(); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if w.text != nil {
		if err := l.Extends(w.text); err != nil {
			return fmt.Errorf("extends: %w", err)
		}
	}
	var now []Record
	owned := append(append([]Record(nil), w.acked...), w.tried...)
	erasures := 0
	var bad error
	err = l.Each(0, func(e *Entry) bool {
		if strings.HasPrefix(e.Action, ownPrefix) {
			erasures++
			return true
		}
		n := len(now)
		if n >= len(owned) {
			bad = fmt.Errorf("record %d was never appended", e.Index)
			return false
		}
		want := owned[n]
		must := n < w.erased[want.Object]
		may := must || want.Object == w.erasing
		if e.Erased && !may || !e.Erased && (must || !reflect.DeepEqual(e.Record, want)) {
			bad = fmt.Errorf("record %d: got %+v, want %+v, erased %v", e.Index, *e, want, must)
			return false
		}
		now = append(now, want)
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	if len(now) < len(w.acked) {
		return fmt.Errorf("%d records are there, Append returned for %d", len(now), len(w.acked))
	}
	// The next life starts from what is there.
	if w.erasing != (protocol.Hash{}) {
		if found, err := l.Find(w.erasing); err != nil {
			return err
		} else if len(found) == 0 {
			w.erased[w.erasing] = len(now)
		}
	}
	w.acked, w.tried, w.erasing = now, nil, protocol.Hash{}
	return nil
}

func TestPowerFailsAnywhere(t *testing.T) {
	noSync(t)
	step := 211
	if testing.Short() {
		step = 997
	}
	parent := tempDir(t)
	for budget := 0; ; {
		rng := rand.New(rand.NewPCG(1, uint64(budget)))
		dir := filepath.Join(parent, fmt.Sprint(budget))
		w := &witness{erased: map[protocol.Hash]int{}}
		whole := true
		for life := range 3 {
			d := &disk{left: budget}
			if life > 0 {
				d.left = rng.IntN(budget + 1)
			}
			remove := d.install()
			w.work(dir)
			remove()
			whole = whole && !d.dead
			d.lose(t, rng)
			if err := w.check(dir); err != nil {
				t.Fatalf("budget %d, life %d: %v", budget, life, err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if whole {
			return
		}
		if budget < slotSize+400 { // where the log is made
			budget += 3
		} else {
			budget += step
		}
	}
}

// TestTruncated cuts each file at every length.
func TestTruncated(t *testing.T) {
	noSync(t)
	dir := tempDir(t)
	l := openLog(t, dir)
	const kept, all = 6, 9
	appendAll(t, l, testRecords(0, kept)...)
	if _, err := l.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	for i := kept; i < all; i++ {
		appendAll(t, l, testRecord(i))
	}
	killed := copyDir(t, dir)

	for name, wants := range map[string]func(n int) int{ // -1: broken
		recordsFile: func(n int) int {
			if n := n/slotSize - 1; n >= kept {
				return n
			}
			return -1
		},
		hashesFile:     func(int) int { return all },
		checkpointFile: func(int) int { return -1 },
	} {
		whole := readFile(t, killed, name)
		cut := tempDir(t)
		for n := range whole {
			if n > slotSize && n < len(whole)-slotSize && n%slotSize > 3 && n%slotSize < slotSize-3 && n%29 > 0 {
				continue // the middle of a slot in the middle of the file
			}
			for _, file := range []string{recordsFile, hashesFile, checkpointFile} {
				writeFile(t, readFile(t, killed, file), cut, file)
			}
			writeFile(t, whole[:n], cut, name)
			want := wants(n)
			l, err := Open(cut, newCipher(1), testKey, testOrigin, testNow)
			if want < 0 {
				if !errors.Is(err, ErrBroken) {
					t.Fatalf("%s cut to %d: got %v, want %v", name, n, err, ErrBroken)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s cut to %d: %v", name, n, err)
			}
			if got := int(l.Size()); got != want {
				t.Fatalf("%s cut to %d: got %d records, want %d", name, n, got, want)
			}
			verify(t, l)
			closeLog(t, l)
		}
	}
}

// TestDamagedTail tells a torn write from a record that was durable and is not any more.
func TestDamagedTail(t *testing.T) {
	noSync(t)
	dir := tempDir(t)
	l := openLog(t, dir)
	appendAll(t, l, testRecords(0, 3)...)
	appendAll(t, l, testRecords(3, 6)...)
	killed := copyDir(t, dir)
	for i, want := range []int{-1, -1, -1, 3, 4, 5} {
		b := readFile(t, killed, recordsFile)
		b[slotAt(uint64(i))+100] ^= 1
		d := copyDir(t, killed)
		writeFile(t, b, d, recordsFile)
		l, err := Open(d, newCipher(1), testKey, testOrigin, testNow)
		if want < 0 {
			if !errors.Is(err, ErrBroken) {
				t.Errorf("record %d damaged: got %v, want %v", i, err, ErrBroken)
			}
			continue
		}
		if err != nil || int(l.Size()) != want {
			t.Fatalf("record %d damaged: got %v, %v; want %d records", i, l, err, want)
		}
		closeLog(t, l)
	}
}

func TestDiskFull(t *testing.T) {
	noSync(t)
	l := openLog(t, tempDir(t))
	appendAll(t, l, testRecords(0, 3)...)
	for _, name := range []string{recordsFile, hashesFile} {
		testOnlyDisk = func(op, file string, _ int64, b []byte) (int, error) {
			if op == "write" && filepath.Base(file) == name {
				return len(b) / 2, errPower
			}
			return len(b), nil
		}
		_, err := l.Append(testRecords(3, 5))
		testOnlyDisk = nil
		if !errors.Is(err, errPower) {
			t.Fatalf("%s: got %v, want %v", name, err, errPower)
		}
	}
	appendAll(t, l, testRecords(3, 8)...)
	if got := entries(t, l); len(got) != 8 || got[7].Reason != testRecord(7).Reason {
		t.Errorf("got %v", got)
	}
	verify(t, l)
}

func TestSyncFails(t *testing.T) {
	noSync(t)
	dir := tempDir(t)
	l := openLog(t, dir)
	appendAll(t, l, testRecords(0, 3)...)
	testOnlyDisk = func(op, file string, _ int64, b []byte) (int, error) {
		if op == "sync" && filepath.Base(file) == recordsFile {
			return 0, errPower
		}
		return len(b), nil
	}
	_, err := l.Append(testRecords(3, 5))
	testOnlyDisk = nil
	if !errors.Is(err, errPower) {
		t.Fatalf("got %v, want %v", err, errPower)
	}
	if _, err := l.Append(testRecords(3, 5)); !errors.Is(err, ErrClosed) {
		t.Errorf("after it: got %v, want %v", err, ErrClosed)
	}
	closeLog(t, l)
	l = openLog(t, dir)
	if got := l.Size(); got < 3 {
		t.Errorf("got %d records, want 3 at least", got)
	}
	verify(t, l)
}
