package node

import (
	"sync"
	"time"

	"github.com/entente-network/entente/protocol"
)

// What a node may say about itself (addresses, heads) beside messages: so much at once, and one more every paceRefill. It is
// stored and relayed by everybody, so a node that says more is not listened to for a while; nothing is lost by that, since
// only the newest counts.
const (
	paceBurst  = 30
	paceRefill = 2 * time.Second
)

// pace counts what each node said about itself lately. Its size is bounded by the number of known nodes.
type pace struct {
	mu sync.Mutex
	m  map[protocol.KID]allowance // guarded by mu
}

type allowance struct {
	left float64
	at   time.Time
}

// take reports whether the node may say one more thing now.
func (p *pace) take(k protocol.KID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		p.m = map[protocol.KID]allowance{}
	}
	a, ok := p.m[k]
	if !ok {
		a.left = paceBurst
	} else if since := now.Sub(a.at); since > 0 {
		a.left = min(paceBurst, a.left+float64(since)/float64(paceRefill))
	}
	a.at = now
	may := a.left >= 1
	if may {
		a.left--
	}
	p.m[k] = a
	return may
}
