package audit

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/entente-network/entente/protocol/tlp"
)

func TestAppendAndReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := openLog(t, dir)
	var want []Entry
	for i := 0; i < 20; i += 4 {
		appendAll(t, l, testRecords(i, i+4)...)
	}
	for i := range 20 {
		want = append(want, Entry{Index: uint64(i), Record: testRecord(i)})
	}
	check := func(when string) {
		t.Helper()
		if got := entries(t, l); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %v, want %v", when, got, want)
		}
		if r := verify(t, l); r.Records != 20 || r.Erased != 0 || r.Breaks != nil {
			t.Errorf("%s: report %+v", when, r)
		}
	}
	check("at once")
	closeLog(t, l)
	l = openLog(t, dir)
	check("opened again")

	found, err := l.Find(testObject(3))
	if err != nil || len(found) != 4 || found[1].Index != 8 {
		t.Errorf("find: got %v, %v", found, err)
	}
	for name, want := range map[string]os.FileMode{".": 0o700 | os.ModeDir, recordsFile: 0o600, hashesFile: 0o600, checkpointFile: 0o600} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode() != want {
			t.Errorf("mode of %s: got %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	l := openLog(t, t.TempDir())
	long := strings.Repeat("x", MaxActor+1)
	for name, change := range map[string]func(*Record){
		"no time":      func(r *Record) { r.Time = time.Time{} },
		"before 1970":  func(r *Record) { r.Time = time.Unix(-1, 0) },
		"far future":   func(r *Record) { r.Time = time.Unix(1<<40, 0) },
		"no action":    func(r *Record) { r.Action = "" },
		"own action":   func(r *Record) { r.Action = ActionErase },
		"long action":  func(r *Record) { r.Action = long },
		"long actor":   func(r *Record) { r.Actor = long },
		"long rule":    func(r *Record) { r.Rule = long },
		"actor no utf": func(r *Record) { r.Actor = "\xff" },
		"no label":     func(r *Record) { r.Label = tlp.Red + 1 },
	} {
		r := testRecord(0)
		change(&r)
		if _, err := l.Append([]Record{testRecord(1), r}); err == nil {
			t.Errorf("%s: appended", name)
		}
	}
	if _, err := l.Append(nil); err == nil {
		t.Error("appended nothing")
	}
	if _, err := l.Append(make([]Record, MaxAppend+1)); err == nil {
		t.Error("appended too much")
	}
	if got := l.Size(); got != 0 {
		t.Errorf("size: got %d, want 0", got)
	}
}

func TestReasonIsCut(t *testing.T) {
	l := openLog(t, t.TempDir())
	r := testRecord(0)
	r.Actor, r.Action, r.Rule = strings.Repeat("a", MaxActor), strings.Repeat("b", MaxAction), strings.Repeat("c", MaxRule)
	for shift := range 3 {
		r.Reason = strings.Repeat("x", shift) + strings.Repeat("é", 500)
		appendAll(t, l, r)
	}
	r.Reason = strings.Repeat("y", MinReason)
	appendAll(t, l, r)
	for _, e := range entries(t, l)[:3] {
		if n := len(e.Reason); n < MinReason || n > MinReason+30 || !strings.HasSuffix(e.Reason, "é…") {
			t.Errorf("reason: got %d bytes, %q", n, e.Reason)
		}
	}
	if got := entries(t, l)[3].Reason; got != r.Reason {
		t.Errorf("a reason of %d bytes came back as %q", MinReason, got)
	}
	r.Reason = "not \xff UTF-8"
	appendAll(t, l, r)
	if got := entries(t, l)[4].Reason; got != "not \uFFFD UTF-8" {
		t.Errorf("reason: got %q", got)
	}
}

func TestConcurrentAppends(t *testing.T) {
	l := openLog(t, t.TempDir())
	const callers, each = 16, 25
	var mu sync.Mutex
	at := map[uint64]int{}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				n := c*each + i
				first, err := l.Append([]Record{testRecord(2 * n), testRecord(2*n + 1)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				at[first] = n
				mu.Unlock()
				if i%10 == 0 {
					if _, err := l.Prove(first); err != nil {
						t.Error(err)
					}
					if _, err := l.Verify(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		if _, err := l.EraseObject(testObject(2), "anna", "test"); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	got := entries(t, l)
	for first, n := range at {
		for k := range 2 {
			e := got[first+uint64(k)]
			if want := testRecord(2*n + k); !e.Erased && !reflect.DeepEqual(e.Record, want) {
				t.Fatalf("record %d: got %v, want %v", e.Index, e.Record, want)
			}
		}
	}
	verify(t, l)
}

func TestLockedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	if _, err := Open(dir, newCipher(1), testKey, testOrigin, testNow); !errors.Is(err, ErrLocked) {
		t.Errorf("open twice: got %v, want %v", err, ErrLocked)
	}
	closeLog(t, l)
	closeLog(t, openLog(t, dir))
}

func TestClosed(t *testing.T) {
	l := openLog(t, t.TempDir())
	appendAll(t, l, testRecord(0))
	closeLog(t, l)
	closeLog(t, l)
	_, appendErr := l.Append(testRecords(0, 1))
	_, verifyErr := l.Verify()
	_, eraseErr := l.EraseObject(testObject(0), "anna", "test")
	_, checkpointErr := l.Checkpoint()
	for name, err := range map[string]error{
		"append": appendErr, "verify": verifyErr, "erase": eraseErr, "checkpoint": checkpointErr,
		"each": l.Each(0, func(*Entry) bool { return true }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: got %v, want %v", name, err, ErrClosed)
		}
	}
	if _, err := l.Prove(0); err == nil {
		t.Error("proved from a closed log")
	}
}

// TestCheckpointForOthers reads a checkpoint as any other program would.
func TestCheckpointForOthers(t *testing.T) {
	l := openLog(t, t.TempDir())
	appendAll(t, l, testRecords(0, 5)...)
	text, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := VerifierKey(testOrigin, testPublic())
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if want := testOrigin + "\n5\n"; !strings.HasPrefix(n.Text, want) || strings.Count(n.Text, "\n") != 3 {
		t.Errorf("got %q, want %q and a hash", n.Text, want)
	}
}

func TestCheckpointByItself(t *testing.T) {
	noSync(t)
	l := openLog(t, t.TempDir())
	for i := range 3 {
		appendAll(t, l, testRecords(i*MaxAppend, (i+1)*MaxAppend)...)
	}
	if got := l.checkpoint().size; got != 3*MaxAppend {
		t.Errorf("the checkpoint is of %d records, want %d", got, 3*MaxAppend)
	}
	verify(t, l)
}

func TestOrigin(t *testing.T) {
	for _, origin := range []string{"", "a b", "a+b", "a\nb", strings.Repeat("x", maxOrigin+1), "\xff"} {
		if _, err := Open(t.TempDir(), newCipher(1), testKey, origin, testNow); err == nil {
			t.Errorf("origin %q: opened", origin)
		}
	}
}
