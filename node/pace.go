package node

import (
	"sync"
	"time"
)

// What a node may say about itself (addresses, heads) beside messages: so much at once, and one more every paceRefill. It is
// stored and relayed by everybody, so a node that says more is not listened to for a while; nothing is lost by that, since
// only the newest counts.
const (
	saidBurst  = 30
	saidRefill = 2 * time.Second
)

// How many identity records one neighbour may pass on: enough for a community that meets at once. Each costs signatures to
// verify and a write to the disk. What is refused is fetched by comparing with others.
const (
	handedBurst  = 4096
	handedRefill = 50 * time.Millisecond
)

// How often one team is told that something of it could not be opened. Such a word is sealed too: if neither can open what the
// other sends, each word would be answered by another.
const (
	closedBurst  = 64
	closedRefill = 5 * time.Minute
)

// How often one node is granted the same epoch. Each costs a signature and a record in the disclosure log; once is enough but for a
// node that lost its keys.
const (
	grantBurst  = 4
	grantRefill = time.Hour
)

// A pace allows each of many so many things at once, and one more after each refill.
type pace struct {
	burst  float64
	refill time.Duration

	mu sync.Mutex
	m  map[string]allowance // guarded by mu
}

type allowance struct {
	left float64
	at   time.Time
}

// maxPaced bounds how many are remembered. Beyond it all begin anew.
const maxPaced = 65536

func newPace(burst float64, refill time.Duration) *pace {
	return &pace{burst: burst, refill: refill, m: map[string]allowance{}}
}

// take reports whether who may do one more thing now.
func (p *pace) take(who string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.m[who]
	if !ok {
		if len(p.m) == maxPaced {
			clear(p.m)
		}
		a.left = p.burst
	} else if since := now.Sub(a.at); since > 0 {
		a.left = min(p.burst, a.left+float64(since)/float64(p.refill))
	}
	a.at = now
	may := a.left >= 1
	if may {
		a.left--
	}
	p.m[who] = a
	return may
}
