package catchup

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A peer that keeps to its limits as an asker never meets these. One that opens streams beyond its share has the stream
// reset, and is an offender after excessBurst of them; one is forgiven each excessRefill.
const (
	excessBurst  = 32
	excessRefill = time.Second
	listBurst    = 20 // requests for whole lists, which cost more than they weigh
	listRefill   = 3 * time.Second
)

// inReserve is how many times the streams of all are open at the most: beyond the first time, only to peers that have none,
// so that a team with many nodes does not keep the others out.
const inReserve = 4

// A guard counts what peers have open.
type guard struct {
	perPeer, inAll int

	mu      sync.Mutex
	open    int                // guarded by mu
	ended   bool               // guarded by mu
	peers   map[peer.ID]*guest // guarded by mu
	handled sync.WaitGroup
}

type guest struct {
	open   int
	excess bucket
	lists  bucket
}

// A bucket holds tokens that come back with time. The zero bucket is full.
type bucket struct {
	used float64
	at   time.Time
}

// take takes a token, if one is left.
func (b *bucket) take(now time.Time, burst int, refill time.Duration) bool {
	b.used = max(0, b.used-float64(now.Sub(b.at))/float64(refill))
	b.at = now
	if b.used > float64(burst)-1 {
		return false
	}
	b.used++
	return true
}

// enter admits a stream of p; the caller leaves if ok. offence says that p has gone too far.
func (g *guard) enter(p peer.ID, now time.Time) (ok, offence bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return false, false
	}
	v := g.peers[p]
	if v == nil {
		v = &guest{}
		g.peers[p] = v
	}
	switch {
	case v.open >= g.perPeer:
		return false, !v.excess.take(now, excessBurst, excessRefill)
	case g.open >= g.inAll && (v.open > 0 || g.open >= inReserve*g.inAll):
		return false, false // others' fault
	}
	v.open++
	g.open++
	g.handled.Add(1)
	return true, false
}

func (g *guard) leave(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	g.peers[p].open--
	g.handled.Done()
}

// list asks whether p may have one more list now.
func (g *guard) list(p peer.ID, now time.Time) (ok, offence bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.peers[p]
	if v.lists.take(now, listBurst, listRefill) {
		return true, false
	}
	return false, !v.excess.take(now, excessBurst, excessRefill)
}

// forget drops what is known of a peer that has left. Its count of excess goes too: a new connection costs more.
func (g *guard) forget(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v := g.peers[p]; v != nil && v.open == 0 {
		delete(g.peers, p)
	}
}

// close refuses every further stream.
func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}

// wait returns when no stream is being answered.
func (g *guard) wait() { g.handled.Wait() }
