package gossip

import (
	"context"
	"sync"
)

// errands are things to ask of the router that their callers need not wait for. They run one after another, in order.
type errands struct {
	some chan struct{} // holds one token while there may be some

	mu    sync.Mutex
	queue []func()
}

func (e *errands) add(f func()) {
	e.mu.Lock()
	e.queue = append(e.queue, f)
	e.mu.Unlock()
	select {
	case e.some <- struct{}{}:
	default:
	}
}

// run carries them out until ctx ends.
func (e *errands) run(ctx context.Context) {
	for {
		select {
		case <-e.some:
		case <-ctx.Done():
			return
		}
		e.mu.Lock()
		queue := e.queue
		e.queue = nil
		e.mu.Unlock()
		for _, f := range queue {
			f()
		}
	}
}
