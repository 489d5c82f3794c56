package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestModel runs random acts against the log and against a list.
func TestModel(t *testing.T) {
	noSync(t)
	parent := tempDir(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		dir := filepath.Join(parent, fmt.Sprint(run))
		defer os.RemoveAll(dir)
		open := func() *Log {
			l, err := Open(dir, newCipher(1), testKey, testOrigin, testNow)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := open()
		defer func() { l.Close() }()
		var model []Entry // what Each should show, without the log's own records
		own := 0
		var checkpoints, proofs [][]byte

		erase := func(match func(*Entry) bool) (n int) {
			for i := range model {
				if e := &model[i]; !e.Erased && !strings.HasPrefix(e.Action, ownPrefix) && match(e) {
					*e = Entry{Index: e.Index, Erased: true}
					n++
				}
			}
			return n
		}
		noteOwn := func() {
			for i := uint64(len(model)); i < l.Size(); i++ {
				own++
				model = append(model, Entry{Index: i, Record: Record{Action: ActionErase}})
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				n := rapid.IntRange(1, 6).Draw(t, "n")
				at := rapid.IntRange(0, 50).Draw(t, "at")
				first, err := l.Append(testRecords(at, at+n))
				if err != nil || first != uint64(len(model)) {
					t.Fatalf("append: got %d, %v; want %d", first, err, len(model))
				}
				for i := range n {
					model = append(model, Entry{Index: first + uint64(i), Record: testRecord(at + i)})
				}
			},
			"checkpoint": func(t *rapid.T) {
				text, err := l.Checkpoint()
				if err != nil {
					t.Fatal(err)
				}
				checkpoints = append(checkpoints, text)
			},
			"object": func(t *rapid.T) {
				object := testObject(rapid.IntRange(0, 4).Draw(t, "object"))
				got, err := l.EraseObject(object, "a", "r")
				if want := erase(func(e *Entry) bool { return e.Object == object }); err != nil || got != want {
					t.Fatalf("erase: got %d, %v; want %d", got, err, want)
				}
				noteOwn()
			},
			"before": func(t *rapid.T) {
				before := testTime.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "minutes")) * time.Minute)
				got, err := l.EraseBefore(before, "a", "r")
				if want := erase(func(e *Entry) bool { return e.Time.Before(before) }); err != nil || got != want {
					t.Fatalf("erase: got %d, %v; want %d", got, err, want)
				}
				noteOwn()
			},
			"prove": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "index")
				text, err := l.Prove(uint64(i))
				if model[i].Erased != (err != nil) {
					t.Fatalf("prove %d: %v", i, err)
				}
				if err == nil {
					proofs = append(proofs, text)
				}
			},
			"reopen": func(t *rapid.T) {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = open()
			},
			"": func(t *rapid.T) {
				var got []Entry
				if err := l.Each(0, func(e *Entry) bool {
					if strings.HasPrefix(e.Action, ownPrefix) {
						e.Record = Record{Action: e.Action}
					}
					got = append(got, *e)
					return true
				}); err != nil {
					t.Fatal(err)
				}
				if len(got)+len(model) > 0 && !reflect.DeepEqual(got, model) {
					t.Fatalf("got %v, want %v", got, model)
				}
				if _, err := l.Verify(); err != nil {
					t.Fatal(err)
				}
				for _, c := range last(checkpoints, 3) {
					if err := l.Extends(c); err != nil {
						t.Fatal(err)
					}
				}
				for _, p := range last(proofs, 3) {
					if _, err := VerifyProof(p, testPublic()); err != nil {
						t.Fatal(err)
					}
				}
			},
		})
	})
}

// last returns the last n of them, or all.
func last[T any](all []T, n int) []T { return all[max(0, len(all)-n):] }
