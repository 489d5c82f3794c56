package node

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	const burst, refill = 30, 2 * time.Second
	p := newPace(burst, refill)
	now := time.Unix(1e9, 0)
	for i := range burst {
		if !p.take("a", now) {
			t.Fatalf("refused at %d of a burst of %d", i+1, burst)
		}
	}
	if p.take("a", now) {
		t.Error("more than the burst")
	}
	if !p.take("b", now) {
		t.Error("one pays for another")
	}
	if now = now.Add(-time.Hour); p.take("a", now) {
		t.Error("a clock that went back refilled it")
	}
	if now = now.Add(refill); !p.take("a", now) {
		t.Error("not refilled")
	}
	if p.take("a", now) {
		t.Error("refilled twice")
	}
	for i := range maxPaced + 1 {
		p.take(string(rune(i)), now)
	}
	if len(p.m) > maxPaced {
		t.Errorf("%d are remembered", len(p.m))
	}
}
