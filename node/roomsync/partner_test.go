package roomsync

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestNext(t *testing.T) {
	base := time.Unix(1_800_000_000, 0) // a multiple of five minutes
	for _, tt := range []struct{ at, phase, want time.Duration }{
		{0, 0, 0}, {1, 0, 5 * time.Minute}, {0, time.Minute, time.Minute}, {time.Minute, time.Minute, time.Minute},
		{2 * time.Minute, time.Minute, 6 * time.Minute}, {-time.Second, 299 * time.Second, -time.Second},
	} {
		if got := next(base.Add(tt.at), tt.phase, 5*time.Minute); !got.Equal(base.Add(tt.want)) {
			t.Errorf("next(%v, %v) = %v: want %v", tt.at, tt.phase, got.Sub(base), tt.want)
		}
	}
}

// Peers are compared with at different times.
func TestPhases(t *testing.T) {
	seen := map[time.Duration]int{}
	for i := range 200 {
		pt := newPartner(t.Context(), "self", peer.ID(hash(i).String()), &testOptions)
		if pt.phase < 0 || pt.phase >= testOptions.Every {
			t.Fatalf("phase %v", pt.phase)
		}
		seen[pt.phase/(30*time.Second)]++
	}
	for slot := range 10 {
		if n := seen[time.Duration(slot)]; n < 5 || n > 45 {
			t.Errorf("%d of 200 peers in one of ten slots", n)
		}
	}
}

func TestPace(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	pt := newPartner(t.Context(), "self", "p", &testOptions)
	o := &testOptions
	expect := func(what string, want time.Duration, tell, ok bool) {
		t.Helper()
		at, gotTell, gotOK := pt.due()
		if gotOK != ok || ok && (gotTell != tell || !at.Equal(now.Add(want))) {
			t.Errorf("%s: due in %v, tell %t, ok %t: want %v, %t, %t", what, at.Sub(now), gotTell, gotOK, want, tell, ok)
		}
	}
	pt.regular = now.Add(time.Minute)
	expect("not ready", 0, false, false)
	pt.ready = true
	expect("regular", time.Minute, false, true)
	pt.want(now.Add(2*time.Second), now)
	pt.want(now.Add(3*time.Second), now)
	expect("soon", 2*time.Second, false, true)
	pt.queue = 1
	expect("it begins itself", 0, false, false)
	pt.tell([]word{{raw: []byte{1}}}, now)
	expect("while it is told", tellSettle, true, true)
	pt.queue = 0
	expect("told first", tellSettle, true, true)
	if ws := pt.begin(true, now); len(ws) != 1 || pt.size != 0 {
		t.Errorf("%d words, %d bytes left", len(ws), pt.size)
	}
	pt.tell([]word{{raw: []byte{1}}}, now)
	expect("told again", tellGap, true, true)
	pt.begin(true, now)

	// Differences make the gap longer, to a tenth of the time between two comparisons.
	for _, want := range []time.Duration{2, 4, 8, 16, 30, 30} {
		pt.begin(false, now)
		pt.found(finding{differs: true, short: true}, now, o)
		expect("after a difference", want*time.Second, false, true)
	}
	pt.begin(false, now)
	pt.found(finding{}, now, o)
	if at, _, _ := pt.due(); at.Sub(now) < o.Every/2 || at.Sub(now) > 3*o.Every/2 || pt.gap != o.Gap {
		t.Errorf("after none: due in %v, gap %v", at.Sub(now), pt.gap)
	}
	// So do failures, to the whole.
	for _, want := range []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		pt.failed(now, o)
		expect("after a failure", want*time.Second, false, true)
	}

	// A comparison that the peer began serves for what was wanted before.
	pt.found(finding{}, now, o)
	pt.retry = time.Time{}
	pt.want(now, now)
	pt.compared(now, now, o)
	expect("wanted at the same time", o.Gap, false, true)
	pt.compared(now.Add(1), now, o)
	if at, _, _ := pt.due(); at.Sub(now) < o.Every/2 {
		t.Errorf("after its comparison: due in %v", at.Sub(now))
	}
}
