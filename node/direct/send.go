package direct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/frame"
)

const (
	// maxLines bounds the peers of which something is remembered. One that is forgotten while it is away compares by catch-up
	// when it is back, as any does.
	maxLines = 4096

	reopen     = 500 * time.Millisecond // before a stream that broke is opened again; doubles each time
	reopenMost = 5 * time.Minute
	steady     = 10 * time.Second // a stream that lived for so long was no failure
	patientFor = 3                // failures in a row after which what waits is dropped
)

// A line is what waits for one peer, and the goroutine that sends it, which ends when nothing is left to do. Fields are guarded
// by Courier.mu.
type line struct {
	*Courier
	peer peer.ID
	wake chan struct{}

	queue
	running bool
	met     bool // the peer connected since reachability was last asked for
	out     *outlet
}

// ring wakes the goroutine.
func (l *line) ring() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// start has the goroutine run.
func (l *line) start() {
	if l.running {
		l.ring()
		return
	}
	l.running = true
	l.wg.Go(l.run)
}

// push queues a record, or drops it where there is no room.
func (l *line) push(raw []byte, urgent bool, now time.Time) {
	full := func() bool {
		return l.len() >= l.opt.Queue || l.size+len(raw) > l.opt.QueueBytes || l.waiting+len(raw) > l.opt.AllBytes
	}
	for urgent && full() {
		before := l.size
		if !l.dropNewest() {
			break
		}
		l.waiting -= before - l.size
		l.lose(now)
	}
	if l.len() > 0 && full() {
		l.lose(now)
		return
	}
	l.add(raw, urgent)
	l.waiting += len(raw)
}

// discard drops what waits.
func (l *line) discard() {
	l.waiting -= l.size
	l.clear()
}

// forget drops what waits, and that anything was lost.
func (l *line) forget() {
	l.discard()
	l.firstLoss, l.lastLoss = time.Time{}, time.Time{}
}

// makeRoom forgets a line of a peer that is away, if there are too many. c.mu is held.
func (c *Courier) makeRoom() {
	if len(c.lines) < maxLines {
		return
	}
	for p, l := range c.lines {
		if !l.running {
			delete(c.lines, p)
			return
		}
	}
}

// run sends what waits until there is nothing to do for long, the peer is gone, or the courier closes.
func (l *line) run() {
	var opens time.Time // not before
	fails := 0
	broke := func(o *outlet, stalled bool) {
		if o.s != nil && time.Since(o.opened) > steady {
			fails = 0
		}
		opens = time.Now().Add(min(reopen<<min(fails, 16), reopenMost))
		fails++
		l.broke(o, stalled || fails > patientFor)
	}
	for {
		if !l.goesOn() {
			return
		}
		now := time.Now()
		o, at, work := l.look(now)
		if o != nil && o.isGone() {
			broke(o, false)
			continue
		}
		switch {
		case work && o == nil && at.Before(opens):
			at = opens
		case !work && o == nil:
			at = now
		case !work:
			at = o.used.Add(l.opt.Idle)
		}
		if wait := at.Sub(now); wait > 0 {
			l.pause(o, wait)
			continue
		}
		if !work {
			if l.rest(o) {
				return
			}
			continue
		}
		if o == nil {
			var err error
			if o, err = l.open(); err != nil {
				l.opt.Log.Debug("opening a stream to push on", "peer", l.peer, "err", err)
				broke(o, false)
				continue
			}
		}
		if err := l.send(o); err != nil {
			l.opt.Log.Debug("pushing to a peer", "peer", l.peer, "err", err)
			broke(o, isStall(err))
		}
	}
}

// goesOn reports whether the line has a peer to serve. If not it has ended.
func (l *line) goesOn() bool {
	for {
		l.mu.Lock()
		l.met = false
		l.mu.Unlock()
		ok := l.ctx.Err() == nil && l.reachable(l.peer)
		admitted := ok || l.backend.Admits(l.peer)
		l.mu.Lock()
		if ok || l.met && l.ctx.Err() == nil {
			l.mu.Unlock()
			if ok {
				return true
			}
			continue
		}
		o := l.out
		switch {
		case !admitted:
			l.forget()
		case l.len() > 0 || o != nil && o.wrote:
			l.discard()
			l.lose(time.Now())
		}
		l.end()
		l.mu.Unlock()
		if o != nil {
			o.close()
		}
		return false
	}
}

// end notes that the goroutine ends. l.mu is held.
func (l *line) end() {
	l.running, l.out = false, nil
	if !l.lost() && l.lines[l.peer] == l {
		delete(l.lines, l.peer)
	}
}

// rest ends the line if nothing came meanwhile.
func (l *line) rest(o *outlet) bool {
	l.mu.Lock()
	if l.len() > 0 || l.lost() {
		l.mu.Unlock()
		return false
	}
	l.end()
	l.mu.Unlock()
	if o != nil {
		o.close()
	}
	return true
}

// look returns the open stream, and when there is work, if there is any.
func (l *line) look(now time.Time) (o *outlet, at time.Time, work bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, work = l.due(now, l.opt.Settle)
	return l.out, at, work
}

// pause waits until something happens.
func (l *line) pause(o *outlet, d time.Duration) {
	var gone chan struct{}
	if o != nil {
		gone = o.gone
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.wake:
	case <-gone:
	case <-l.ctx.Done():
	case <-t.C:
	}
}

// broke drops a stream. What was written may not have arrived. What waits is kept for the next stream, or given up.
func (l *line) broke(o *outlet, giveUp bool) {
	o.reset()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = nil
	if o.wrote || giveUp && l.len() > 0 {
		l.lose(time.Now())
	}
	if giveUp {
		l.discard()
	}
}

// send writes what is due.
func (l *line) send(o *outlet) error {
	l.mu.Lock()
	before := l.size
	next := l.next(time.Now(), l.opt.Settle)
	l.waiting -= before - l.size
	l.mu.Unlock()
	if next == nil {
		return nil // Recheck was here
	}
	o.wrote = true
	data, err := frame.Append(nil, next)
	if err != nil {
		return err
	}
	if err := o.s.SetWriteDeadline(time.Now().Add(l.opt.Patience)); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	if err := l.ctx.Err(); err != nil {
		return err // after the deadline was set, or Close would wait for it
	}
	_, err = o.s.Write(data)
	o.used = time.Now()
	return err
}

// An outlet is a stream to a peer. It is used by one goroutine, but for gone and reset.
type outlet struct {
	s      network.Stream // nil: it could not be opened
	gone   chan struct{}  // closed when the peer ended it
	stop   func() bool
	opened time.Time
	used   time.Time
	wrote  bool
}

// open opens a stream and watches it. The outlet is never nil.
func (l *line) open() (*outlet, error) {
	o := &outlet{gone: make(chan struct{})}
	ctx, cancel := context.WithTimeout(network.WithNoDial(l.ctx, "direct delivery uses connections, it makes none"), l.opt.Patience)
	defer cancel()
	s, err := l.host.NewStream(ctx, l.peer, Protocol)
	if err != nil {
		return o, err
	}
	o.s, o.opened, o.used = s, time.Now(), time.Now()
	o.stop = context.AfterFunc(l.ctx, func() { _ = s.SetWriteDeadline(time.Now()) })
	l.mu.Lock()
	l.out = o
	l.mu.Unlock()
	l.wg.Go(func() { l.watch(o) })
	return o, nil
}

// watch notices when the peer ends the stream. A peer has nothing to say on it.
func (l *line) watch(o *outlet) {
	defer close(o.gone)
	if n, _ := io.ReadFull(o.s, make([]byte, 1)); n > 0 {
		o.reset()
		l.offence(l.peer, "it answers where nothing was asked")
	}
}

func (o *outlet) isGone() bool {
	select {
	case <-o.gone:
		return true
	default:
		return false
	}
}

func (o *outlet) reset() {
	if o.s != nil {
		o.stop()
		_ = o.s.Reset()
	}
}

// close ends the stream after what was written.
func (o *outlet) close() {
	o.stop()
	_ = o.s.Close()
}

func isStall(err error) bool {
	var t interface{ Timeout() bool } // stream multiplexers have errors of their own for a deadline
	return errors.As(err, &t) && t.Timeout()
}
