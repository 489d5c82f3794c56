package audit

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestErase(t *testing.T) {
	noSync(t)
	dir := tempDir(t)
	l := openLog(t, dir)
	appendAll(t, l, testRecords(0, 10)...)
	before := readFile(t, dir, recordsFile)
	old, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := l.Prove(4)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := l.Prove(3)
	if err != nil {
		t.Fatal(err)
	}

	n, err := l.EraseObject(testObject(3), "anna", "the person asked for it")
	if n != 2 || err != nil {
		t.Fatalf("erase: got %d, %v; want 2", n, err)
	}
	check := func(when string) {
		t.Helper()
		got := entries(t, l)
		for _, i := range []int{3, 8} {
			if want := (Entry{Index: uint64(i), Erased: true}); !reflect.DeepEqual(got[i], want) {
				t.Errorf("%s: got %+v, want %+v", when, got[i], want)
			}
			at, b := slotAt(uint64(i)), readFile(t, dir, recordsFile)
			if was := before[at+slotHead+40 : at+slotSize]; !allZero(b[at+slotHead+32:at+slotSize]) || bytes.Contains(b, was) {
				t.Errorf("%s: bytes of record %d are left", when, i)
			}
			if _, err := l.Prove(uint64(i)); !errors.Is(err, ErrErased) {
				t.Errorf("%s: prove %d: got %v, want %v", when, i, err, ErrErased)
			}
		}
		e := got[10]
		if e.Action != ActionErase || e.Actor != "anna" || e.Reason != "the person asked for it" || !e.Object.IsZero() {
			t.Errorf("%s: the record of it: got %+v", when, e)
		}
		if r := verify(t, l); r.Erased != 2 {
			t.Errorf("%s: got %d erased, want 2", when, r.Erased)
		}
		if err := l.Extends(old); err != nil {
			t.Errorf("%s: extends: %v", when, err)
		}
		for _, p := range [][]byte{kept, gone} { // who has a proof keeps it
			if _, err := VerifyProof(p, testPublic()); err != nil {
				t.Errorf("%s: an earlier proof: %v", when, err)
			}
		}
		if _, err := l.Prove(4); err != nil {
			t.Errorf("%s: prove: %v", when, err)
		}
	}
	check("at once")
	closeLog(t, l)
	l = openLog(t, dir)
	check("opened again")
	closeLog(t, l)
	remove(t, dir, hashesFile)
	l = openLog(t, dir)
	check("the hashes made again")

	if n, err := l.EraseObject(testObject(3), "anna", "again"); n != 0 || err != nil || l.Size() != 11 {
		t.Errorf("again: got %d, %v, %d records", n, err, l.Size())
	}
	if n, err := l.EraseBefore(testTime.Add(100*time.Hour), "anna", "all"); n != 8 || err != nil {
		t.Errorf("all: got %d, %v; want 8", n, err)
	}
	if n, err := l.EraseBefore(testTime.Add(100*time.Hour), "anna", "all"); n != 0 || err != nil {
		t.Errorf("its own records: got %d, %v; want 0", n, err)
	}
	if r := verify(t, l); r.Erased != 10 {
		t.Errorf("got %d erased, want 10", r.Erased)
	}
}

func TestEraseRefused(t *testing.T) {
	noSync(t)
	l := openLog(t, tempDir(t))
	appendAll(t, l, testRecords(0, 5)...)
	if n, err := l.EraseObject(testObject(1), strings.Repeat("x", MaxActor+1), "r"); n != 0 || err == nil {
		t.Errorf("got %d, %v; want an error", n, err)
	}
	if r := verify(t, l); r.Erased != 0 || r.Records != 5 {
		t.Errorf("got %+v", r)
	}
}

// TestEraseMany needs several records of the erasure: for the number, and for the gaps.
func TestEraseMany(t *testing.T) {
	noSync(t)
	dir := tempDir(t)
	l := openLog(t, dir)
	const n = 6 * MaxAppend
	for i := 0; i < n; i += MaxAppend {
		appendAll(t, l, testRecords(i, i+MaxAppend)...)
	}
	if got, err := l.EraseObject(testObject(2), "anna", "r"); got != (n+2)/5 || err != nil {
		t.Fatalf("object: got %d, %v; want %d", got, err, (n+2)/5)
	}
	afterObject := l.Size() - n
	if got, err := l.EraseBefore(testTime.Add(n*time.Minute), "anna", "r"); got != n-(n+2)/5 || err != nil {
		t.Fatalf("time: got %d, %v; want %d", got, err, n-(n+2)/5)
	}
	if afterObject < 2 || l.Size()-n-afterObject < 2 {
		t.Errorf("got %d and %d records of erasures, want several", afterObject, l.Size()-n-afterObject)
	}
	if r := verify(t, l); r.Erased != n {
		t.Errorf("got %d erased, want %d", r.Erased, n)
	}
	closeLog(t, l)
	verify(t, openLog(t, dir))
}

func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all spans
		at := uint64(0)
		for range rapid.IntRange(0, 200).Draw(t, "spans") {
			at += rapid.Uint64Range(1, 1<<rapid.IntRange(1, 40).Draw(t, "bits")).Draw(t, "gap")
			all = append(all, span{at, rapid.Uint64Range(1, 9000).Draw(t, "count")})
			at = all[len(all)-1].end()
		}
		rest := append(spans(nil), all...)
		var again spans
		for len(rest) > 0 {
			encoded, taken, left := rest.take()
			if len(encoded) > maxSpanBytes || taken.count() > maxErase || taken.count() == 0 {
				t.Fatalf("took %d in %d bytes", taken.count(), len(encoded))
			}
			got, err := parseSpans(encoded, at)
			if err != nil || !reflect.DeepEqual(got, taken) {
				t.Fatalf("got %v, %v; want %v", got, err, taken)
			}
			if _, err := parseSpans(encoded, taken[len(taken)-1].end()-1); err == nil {
				t.Fatal("named a record behind the limit")
			}
			for _, s := range taken {
				if n := len(again); n > 0 && again[n-1].end() == s.first {
					again[n-1].count += s.count
				} else {
					again = append(again, s)
				}
			}
			rest = left
		}
		if !reflect.DeepEqual(again, all) {
			t.Fatalf("got %v, want %v", again, all)
		}
	})
}
