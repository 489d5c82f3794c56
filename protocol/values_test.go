package protocol

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123)
	h := HLC(0).Next(now)
	if got := h.Time(); !got.Equal(now) {
		t.Errorf("got %v, want %v", got, now)
	}
	for _, at := range []time.Time{now, now.Add(-time.Hour)} { // the clock stands, or was set back
		next := h.Next(at)
		if next != h+1 {
			t.Errorf("after %d at %v: got %d, want %d", h, at, next, h+1)
		}
		h = next
	}
	if got := maxClock.Time().Year(); got != 9999 {
		t.Errorf("the last clock is in the year %d, want 9999", got)
	}
	if got := (maxClock + 1).Time().Year(); got != 10000 {
		t.Errorf("the clock after the last is in the year %d, want 10000", got)
	}
}

func TestKindNames(t *testing.T) {
	for k, want := range map[Kind]string{KindMessage: "message", KindCorrection: "correction", KindReceipts: "receipts", KindRecords: "records", 0: "kind-0", 9: "kind-9"} {
		if got := k.String(); got != want {
			t.Errorf("kind %d: got %s, want %s", uint8(k), got, want)
		}
	}
}

func TestOfficersMay(t *testing.T) {
	all, some := testKey(Hybrid, 7).Public(), testKey(Hybrid, 8).Public()
	r := &Root{Officers: []Officer{{Key: all, Name: "a"}, {Key: some, Name: "b", Acts: []Act{ActCard, ActVote}}},
		Thresholds: []Threshold{{ActVote, 2}}}
	for _, c := range []struct {
		act  Act
		keys []PublicKey
		k    int
	}{
		{ActManifest, []PublicKey{all}, 1}, {ActCard, []PublicKey{all, some}, 1}, {ActVote, []PublicKey{all, some}, 2},
	} {
		if got := r.OfficerKeys(c.act); !slices.EqualFunc(got, c.keys, PublicKey.Equal) {
			t.Errorf("%s: got %d keys, want %d", c.act, len(got), len(c.keys))
		}
		if got := r.K(c.act); got != c.k {
			t.Errorf("%s: got threshold %d, want %d", c.act, got, c.k)
		}
	}
}

func TestIDText(t *testing.T) {
	h := Sum("x")
	text, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back Hash
	if err := back.UnmarshalText(text); err != nil || back != h || string(text) != h.String() {
		t.Errorf("got %s, %v; want %s", back, err, h)
	}
	if got := h.Short(); len(got) != 10 || !strings.HasPrefix(h.String(), got) {
		t.Errorf("got short form %q of %s", got, h)
	}
	k := nodeKey.Public().ID()
	text, err = k.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var kid KID
	if err := kid.UnmarshalText(text); err != nil || kid != k {
		t.Errorf("got %s, %v; want %s", kid, err, k)
	}
	for _, s := range []string{"", "0", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("g", 64), strings.Repeat("0", 33)} {
		if h, err := ParseHash(s); err == nil || !h.IsZero() {
			t.Errorf("%q as an id: got %s, want an error", s, h)
		}
		var k KID
		if err := k.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q as a key id: got %s, want an error", s, k)
		}
	}
	if !(Hash{}).IsZero() || !(KID{}).IsZero() || h.IsZero() || k.IsZero() {
		t.Error("only zero is absent")
	}
}

// TestKeyFromSeed fixes the derivation: a change would lose every key that is kept as a seed.
func TestKeyFromSeed(t *testing.T) {
	for _, c := range []struct {
		suite Suite
		want  string
	}{{Ed25519, "0e1a5023d433e2319a0105089927be0b"}, {Hybrid, "76371f1daa71c524f9b602a544fcd3d2"}} {
		if got := testKey(c.suite, 1).Public().ID().String(); got != c.want {
			t.Errorf("suite %d: got key %s, want %s", c.suite, got, c.want)
		}
	}
	if k, err := KeyFromSeed(3, [32]byte{}); err == nil {
		t.Errorf("suite 3: got key %s, want an error", k.Public().ID())
	}
	a, seed, err := GenerateKey(Hybrid)
	if err != nil {
		t.Fatal(err)
	}
	b, err := KeyFromSeed(Hybrid, seed)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Public().Equal(b.Public()) {
		t.Error("the seed does not give the key again")
	}
	if other := testKey(Hybrid, 1).Public(); a.Public().Equal(other) || a.Public().ID() == other.ID() {
		t.Error("two new keys are the same")
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	secret := hex.EncodeToString(officerKey.ed.Seed())
	raw := fmt.Sprint(officerKey.ed.Seed())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{officerKey, *officerKey, struct{ K *PrivateKey }{officerKey}, []PrivateKey{*officerKey}} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(strings.ToLower(got), secret[:16]) || strings.Contains(got, raw[1:20]) {
				t.Errorf("%s of a %T prints the key", verb, v)
			}
		}
	}
}
