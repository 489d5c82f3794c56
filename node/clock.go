package node

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/entente-network/entente/protocol"
)

// What cannot be undone (forgetting messages, destroying keys) waits until the clock can be believed.
const (
	clockOff    = time.Hour      // how far clocks may differ
	clockSteady = 24 * time.Hour // how long a clock that nobody can confirm has to go on evenly
)

// A clockWatch notices when the clock is set.
type clockWatch struct {
	mu     sync.Mutex
	wall   time.Time // guarded by mu; what the clock said last
	mono   time.Time // guarded by mu; when that was, as the machine counts
	steady time.Time // guarded by mu; since when it was not set, as the machine counts
}

// tick looks at the clock. It is called every minute.
func (c *clockWatch) tick(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono := time.Now()
	if c.mono.IsZero() || (now.Sub(c.wall)-mono.Sub(c.mono)).Abs() > clockOff {
		c.steady = mono
	}
	c.wall, c.mono = now, mono
}

func (c *clockWatch) isSteady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.steady.IsZero() && time.Since(c.steady) >= clockSteady
}

// clockAgrees reports whether what the clock says may be acted on where that cannot be undone: more than half of the peers that
// are connected have about the same time, or, with nobody there, the clock has gone evenly for a day. Who knows no other team
// has nobody to ask.
func (n *Node) clockAgrees() bool {
	agree, all := 0, 0
	for _, p := range n.host.Network().Peers() {
		if s := n.peers.snapshot(p); s.greeted {
			all++
			if s.skew.Abs() <= clockOff {
				agree++
			}
		}
	}
	if all == 0 {
		return !n.knowsOthers() || n.clock.isSteady()
	}
	return 2*agree > all
}

// clockOffBy says that this node's clock differs from those of most nodes that it is connected with, so that what it says is held
// back there, or what it hears is held back here; "" if it does not.
func (n *Node) clockOffBy() string {
	if n.host == nil {
		return ""
	}
	var off []time.Duration // how far others are ahead
	for _, p := range n.host.Network().Peers() {
		if s := n.peers.snapshot(p); s.greeted {
			off = append(off, s.skew)
		}
	}
	if len(off) == 0 {
		return ""
	}
	slices.Sort(off)
	lower, upper := off[(len(off)-1)/2], off[len(off)/2]
	switch {
	case upper < -protocol.MaxClockAhead:
		return fmt.Sprintf("the clock of this node is %s ahead of those of most others: they show what it says now, and count what it decides, only when theirs get there; set it", span(-upper))
	case lower > protocol.MaxClockAhead:
		return fmt.Sprintf("the clock of this node is %s behind those of most others: what they say waits unseen here; set it", span(lower))
	}
	return ""
}

// span rounds a time for people.
func span(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Round(24*time.Hour)/(24*time.Hour)))
}
