package roomsync

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/entente-network/entente/protocol"
)

const (
	tellSettle = 5 * time.Millisecond  // after the first word, for what belongs to it
	tellGap    = 50 * time.Millisecond // between two conversations that tell one peer
	maxWaiting = 1024                  // records that wait for one peer
	maxStalls  = 3                     // conversations in a row without an answer, after which a peer is an offender

	// A peer that keeps to its own limits never meets these.
	opensEach, opensBurst       = 25 * time.Millisecond, 64
	comparesEach, comparesBurst = 500 * time.Millisecond, 32
	maxQueue                    = 2 // streams of one peer that are answered or wait for it

	// A peer is given only so many bytes of what it asks for over time, so that one that never has enough costs little.
	purseEach = 128 << 10 // bytes in a second
	purseSize = maxGiven
)

// A partner is a connected peer, and when to speak with it. It decides without a clock. Fields without a word are guarded by
// Engine.mu.
type partner struct {
	peer   peer.ID            // constant
	ctx    context.Context    // constant; ends when the peer is gone or no longer admitted
	cancel context.CancelFunc // constant
	turn   chan struct{}      // constant; a token for the stream that is answered
	queue  int                // streams of the peer that are answered or wait for it

	opens    *rate.Limiter // constant: streams of the peer
	compares *rate.Limiter // constant: comparisons that the peer asks for
	purse    *rate.Limiter // constant: bytes of what it asks for

	ready   bool
	talking bool          // a conversation that this node opened is on its way
	phase   time.Duration // within Every, at which the peer is compared with
	regular time.Time     // when it is next
	soon    time.Time     // when it shall be before that; zero: not
	since   time.Time     // when soon was last asked for
	last    time.Time     // when the last comparison was begun
	gap     time.Duration // from last to the next
	fails   int           // in a row
	stalls  int           // in a row
	retry   time.Time     // nothing is begun before

	wait  []word    // what the peer is to be told
	size  int       // bytes of it
	first time.Time // when the first of it came
	spoke time.Time // when the peer was told something
}

// A word is a record or a grant that a peer is told.
type word struct {
	room  protocol.Hash
	raw   []byte
	grant bool
}

// newPartner returns the partner of a peer of self's.
func newPartner(ctx context.Context, self, p peer.ID, o *Options) *partner {
	sum := sha256.Sum256([]byte(string(self) + string(p)))
	pt := &partner{
		peer: p, turn: make(chan struct{}, 1), gap: o.Gap,
		phase:    time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(o.Every)),
		opens:    rate.NewLimiter(rate.Every(opensEach), opensBurst),
		compares: rate.NewLimiter(rate.Every(comparesEach), comparesBurst),
		purse:    rate.NewLimiter(purseEach, purseSize),
	}
	pt.ctx, pt.cancel = context.WithCancel(ctx)
	return pt
}

// due returns when there is something to do, and whether that is to tell rather than to compare. ok is false if there is nothing:
// a conversation is on its way, or the peer begins one, which serves as well.
func (pt *partner) due() (at time.Time, tell, ok bool) {
	if !pt.ready || pt.talking {
		return at, false, false
	}
	if ok = pt.queue == 0; ok {
		at = pt.regular
		if !pt.soon.IsZero() && pt.soon.Before(at) {
			at = pt.soon
		}
		at = latest(at, pt.last.Add(pt.gap))
	}
	if t := latest(pt.first.Add(tellSettle), pt.spoke.Add(tellGap)); len(pt.wait) > 0 && (!ok || !t.After(at)) {
		at, tell, ok = t, true, true
	}
	return latest(at, pt.retry), tell, ok
}

// want has the peer compared with at the time or earlier.
func (pt *partner) want(at, now time.Time) {
	if pt.soon.IsZero() || at.Before(pt.soon) {
		pt.soon = at
	}
	pt.since = now
}

// tell has words wait for the peer. If there are too many, all are dropped, and it is compared with instead.
func (pt *partner) tell(ws []word, now time.Time) {
	if len(pt.wait) == 0 {
		pt.first = now
	}
	for _, w := range ws {
		pt.size += len(w.raw)
	}
	if pt.wait = append(pt.wait, ws...); len(pt.wait) > maxWaiting || pt.size > maxTold/2 {
		pt.hush()
		pt.want(now, now)
	}
}

// hush drops what waits.
func (pt *partner) hush() []word {
	ws := pt.wait
	pt.wait, pt.size = nil, 0
	return ws
}

// begin notes that a conversation begins, and returns what there is to tell.
func (pt *partner) begin(tell bool, now time.Time) []word {
	if tell {
		pt.spoke = now
		return pt.hush()
	}
	pt.last, pt.soon = now, time.Time{}
	return nil
}

// compared notes that a comparison by the peer that began at the time has succeeded. It serves for what was wanted before.
func (pt *partner) compared(began, now time.Time, o *Options) {
	if pt.since.Before(began) {
		pt.soon = time.Time{}
	}
	pt.regular = next(now.Add(o.Every/2), pt.phase, o.Every)
}

// found sets the pace by what a comparison that this node began has found.
func (pt *partner) found(f finding, now time.Time, o *Options) {
	pt.fails = 0
	pt.regular = next(now.Add(o.Every/2), pt.phase, o.Every)
	if pt.gap *= 2; !f.differs {
		pt.gap = o.Gap
	}
	pt.gap = min(pt.gap, max(o.Gap, o.Every/10))
	if f.short {
		pt.want(now, now)
	}
}

// failed sets the pace after a conversation that failed. What was lost with it is found by comparing.
func (pt *partner) failed(now time.Time, o *Options) {
	pt.fails++
	pt.retry = now.Add(min(o.Gap<<min(pt.fails, 20), o.Every))
	pt.want(now, now)
}

// next returns the first time from t on that is at the phase of a period.
func next(t time.Time, phase, every time.Duration) time.Time {
	ahead := (int64(phase) - t.UnixNano()) % int64(every)
	if ahead < 0 {
		ahead += int64(every)
	}
	return t.Add(time.Duration(ahead))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
