package direct

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

const (
	maxPending      = 256 << 10 // bytes of one peer's records that wait for Take, after which nothing more is read of it
	maxPendingCount = 1024      // records

	// A peer that keeps to the protocol never meets these.
	opensEach, opensBurst   = time.Second, 32 // streams opened
	behindEach, behindBurst = time.Second, 32 // words of a loss
)

// A guest is a peer that pushes. Fields are guarded by Courier.mu. One stream of it is served at a time; a newer one takes its
// place, for the peer knows best that the other broke.
type guest struct {
	active  *inlet
	waiting *inlet // takes over when active has ended
	gone    bool   // it disconnected
	opens   *rate.Limiter
	behinds *rate.Limiter
}

// stops returns what ends all streams of the guest.
func (g *guest) stops() []func() {
	var out []func()
	for _, in := range []*inlet{g.active, g.waiting} {
		if in != nil {
			out = append(out, in.end)
		}
	}
	return out
}

// An inlet is a stream on which a peer pushes.
type inlet struct {
	s      network.Stream
	ctx    context.Context // ends when nothing more is to be read
	cancel context.CancelFunc
	turn   chan struct{} // closed when it is the active one
}

// end ends the reading of the stream.
func (in *inlet) end() {
	in.cancel()
	_ = in.s.Reset()
}

// handle serves one stream until it ends.
func (c *Courier) handle(s network.Stream) {
	p := s.Conn().RemotePeer()
	if !c.backend.Admits(p) {
		_ = s.Reset()
		return
	}
	in := &inlet{s: s, turn: make(chan struct{})}
	in.ctx, in.cancel = context.WithCancel(c.ctx)
	defer in.end()
	defer context.AfterFunc(in.ctx, func() { _ = s.Reset() })()
	g, tooMany := c.enter(p, in)
	if tooMany {
		c.offence(p, "it opens stream after stream")
	}
	if g == nil {
		return
	}
	defer c.leave(p, g, in)
	select {
	case <-in.turn:
		c.receive(p, g, in)
	case <-in.ctx.Done():
	}
}

// enter makes the inlet the next of the peer. Who gets a guest calls leave.
func (c *Courier) enter(p peer.ID, in *inlet) (g *guest, tooMany bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	g = c.guests[p]
	if g == nil {
		g = &guest{opens: rate.NewLimiter(rate.Every(opensEach), opensBurst), behinds: rate.NewLimiter(rate.Every(behindEach), behindBurst)}
		c.guests[p] = g
	}
	g.gone = false
	if !g.opens.Allow() {
		return nil, true
	}
	c.wg.Add(1)
	if g.active == nil {
		g.active = in
		close(in.turn)
		return g, false
	}
	for _, end := range g.stops() {
		go end() // a stream may take a moment to reset
	}
	g.waiting = in
	return g, false
}

func (c *Courier) leave(p peer.ID, g *guest, in *inlet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wg.Done()
	switch in {
	case g.waiting:
		g.waiting = nil
	case g.active:
		if g.active, g.waiting = g.waiting, nil; g.active != nil {
			close(g.active.turn)
		}
	}
	if g.gone && g.active == nil && c.guests[p] == g {
		delete(c.guests, p)
	}
}

// receive reads frames and has them taken, until the stream or the backend's patience ends.
func (c *Courier) receive(p peer.ID, g *guest, in *inlet) {
	box := &intake{news: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		if !c.takeAll(p, box) {
			in.end()
		}
	}()
	err := c.read(in, g, box)
	box.close()
	<-taken
	c.budget.Release(int64(box.rest()))
	switch {
	case errors.Is(err, io.EOF), in.ctx.Err() != nil:
	case isStall(err):
		c.offence(p, "it stalls in the middle of a frame")
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, errBehinds):
		c.offence(p, err.Error())
	default:
		c.opt.Log.Debug("taking in what a peer pushes", "peer", p, "err", err)
	}
}

var (
	errBehinds = errors.New("it says again and again that it is behind")
	errIdle    = errors.New("nothing came for long")
)

// read reads frames until something is wrong or over. io.EOF says that the peer ended the stream between two frames.
func (c *Courier) read(in *inlet, g *guest, box *intake) error {
	r := bufio.NewReaderSize(in.s, 16<<10)
	for {
		// Longer than an honest peer keeps a stream open that it does not use.
		if err := in.s.SetReadDeadline(time.Now().Add(2*c.opt.Idle + c.opt.Patience)); err != nil {
			return err
		}
		if _, err := r.Peek(1); isStall(err) {
			return errIdle
		} else if err != nil {
			return err
		}
		n, err := c.length(in, r)
		if err != nil {
			return err
		}
		l, err := c.content(in, r, n)
		if err == nil && l.Behind && !g.behinds.Allow() {
			err = errBehinds
		}
		if err == nil {
			err = box.put(in.ctx, l, n)
		}
		if err != nil {
			c.budget.Release(int64(n))
			return err
		}
	}
}

// length reads the length of a frame, and takes as much of the budget.
func (c *Courier) length(in *inlet, r *bufio.Reader) (int, error) {
	if err := in.s.SetReadDeadline(time.Now().Add(c.opt.Patience)); err != nil {
		return 0, err
	}
	n, err := frame.Length(r, maxFrame)
	if err != nil {
		return 0, err
	}
	return n, c.budget.Acquire(in.ctx, int64(n)) // in turn, so that large frames come through as well
}

func (c *Courier) content(in *inlet, r *bufio.Reader, n int) (*load, error) {
	if err := in.s.SetReadDeadline(time.Now().Add(c.opt.Patience)); err != nil {
		return nil, err
	}
	data, err := frame.Content(r, n)
	if err != nil {
		return nil, err
	}
	return frame.Decode[load](data)
}

// takeAll hands what comes to the backend, all that came meanwhile at a time. It reports whether the stream came to its end.
func (c *Courier) takeAll(p peer.ID, box *intake) bool {
	for {
		raws, behind, size, ok := box.get()
		if !ok {
			return true
		}
		var err error
		if len(raws) > 0 {
			err = c.backend.Take(c.ctx, p, raws)
		}
		c.budget.Release(int64(size))
		switch {
		case err == nil:
		case errors.Is(err, ErrRefused):
			c.offence(p, err.Error())
			return false
		default:
			if c.ctx.Err() == nil {
				c.opt.Log.Warn("cannot take in what a peer pushed", "peer", p, "err", err)
			}
			return false
		}
		if behind {
			c.backend.Behind(p)
		}
	}
}

// An intake is what was read of one peer and not taken yet.
type intake struct {
	news, room chan struct{} // one token each

	mu     sync.Mutex
	raws   [][]byte // guarded by mu
	behind bool     // guarded by mu
	size   int      // guarded by mu: bytes of the frames
	closed bool     // guarded by mu: nothing more comes
}

// put adds what a frame of n bytes carried. It waits for room, and fails with ctx.
func (b *intake) put(ctx context.Context, l *load, n int) error {
	for !b.add(l, n) {
		select {
		case <-b.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *intake) add(l *load, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size >= maxPending || len(b.raws) >= maxPendingCount {
		return false
	}
	b.raws = append(b.raws, l.Records...)
	b.behind = b.behind || l.Behind
	b.size += n
	signal(b.news)
	return true
}

// get waits for something, and takes out all that is there. ok is false when nothing is left and nothing more comes.
func (b *intake) get() (raws [][]byte, behind bool, size int, ok bool) {
	for {
		b.mu.Lock()
		if b.size > 0 {
			raws, behind, size = b.raws, b.behind, b.size
			b.raws, b.behind, b.size = nil, false, 0
			b.mu.Unlock()
			signal(b.room)
			return raws, behind, size, true
		}
		closed := b.closed
		b.mu.Unlock()
		if closed {
			return nil, false, 0, false
		}
		<-b.news
	}
}

// close says that nothing more comes.
func (b *intake) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	signal(b.news)
}

// rest drops what was not taken, and returns its size.
func (b *intake) rest() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.size
	b.raws, b.size = nil, 0
	return n
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
