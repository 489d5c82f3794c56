package node

import (
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
)

func TestPace(t *testing.T) {
	var p pace
	k, other := protocol.KID{1}, protocol.KID{2}
	now := time.Unix(1e9, 0)
	for i := range paceBurst {
		if !p.take(k, now) {
			t.Fatalf("refused at %d of a burst of %d", i+1, paceBurst)
		}
	}
	if p.take(k, now) {
		t.Error("more than the burst")
	}
	if !p.take(other, now) {
		t.Error("one node pays for another")
	}
	if now = now.Add(-time.Hour); p.take(k, now) {
		t.Error("a clock that went back refilled it")
	}
	if now = now.Add(paceRefill); !p.take(k, now) {
		t.Error("not refilled")
	}
	if p.take(k, now) {
		t.Error("refilled twice")
	}
}
