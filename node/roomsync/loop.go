package roomsync

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

const (
	maxTalking   = 128 // conversations that this node opened
	maxAnswering = 128 // streams of all peers that are answered or wait for it
)

// A change is news of a room for which others are compared with.
type change struct {
	due  time.Time
	from peer.ID // who brought all of it, and need not be asked; empty: there are several, or this node itself
}

// run begins conversations when they are due.
func (e *Engine) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for turn := uint64(0); ; turn++ {
		select {
		case <-e.ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		}
		now := time.Now()
		e.spread(now, turn)
		timer.Reset(max(e.begins(now).Sub(now), time.Millisecond))
	}
}

// spread has a few peers compared with for each change that is due. Which ones differs from turn to turn.
func (e *Engine) spread(now time.Time, turn uint64) {
	e.mu.Lock()
	due := map[protocol.Hash]*change{}
	for room, c := range e.changes {
		if !c.due.After(now) {
			due[room] = c
			delete(e.changes, room)
		}
	}
	var peers []peer.ID
	for p, pt := range e.partners {
		if pt.ready && len(due) > 0 {
			peers = append(peers, p)
		}
	}
	e.mu.Unlock()
	for _, room := range slices.SortedFunc(maps.Keys(due), func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		place := map[peer.ID][32]byte{}
		for _, p := range peers {
			seed := binary.BigEndian.AppendUint64([]byte(e.host.ID()), turn)
			place[p] = sha256.Sum256(slices.Concat(seed, room[:], []byte(p)))
		}
		slices.SortFunc(peers, func(a, b peer.ID) int {
			x, y := place[a], place[b]
			return bytes.Compare(x[:], y[:])
		})
		left := e.opt.Fan
		for _, p := range peers {
			if left == 0 {
				break
			}
			if p != due[room].from && shares(e.shared(p), room) {
				left--
				e.want(p, now, now)
			}
		}
	}
}

func shares(rooms []Room, room protocol.Hash) bool {
	return slices.ContainsFunc(rooms, func(r Room) bool { return r.ID == room })
}

// want has a peer compared with, if it is there.
func (e *Engine) want(p peer.ID, at, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if pt := e.partners[p]; pt != nil && pt.ready {
		pt.want(at, now)
		e.ring()
	}
}

// begins begins what is due, as much as may be at a time, and returns when to look again.
func (e *Engine) begins(now time.Time) time.Time {
	type task struct {
		*partner
		at   time.Time
		tell bool
	}
	var tasks []task
	at := now.Add(e.opt.Every)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.changes {
		at = earliest(at, c.due)
	}
	for _, pt := range e.partners {
		due, tell, ok := pt.due()
		switch {
		case !ok:
		case due.After(now):
			at = earliest(at, due)
		default:
			tasks = append(tasks, task{pt, due, tell})
		}
	}
	slices.SortFunc(tasks, func(a, b task) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.peer, b.peer)) })
	for _, t := range tasks[:min(len(tasks), maxTalking-e.talking)] { // who ends one rings
		t.talking = true
		e.talking++
		e.wg.Go(func() { e.converse(t.partner, t.tell) })
	}
	return at
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// converse has one conversation with a peer, if there is anything to talk about.
func (e *Engine) converse(pt *partner, tell bool) {
	if e.host.Network().Connectedness(pt.peer) != network.Connected {
		e.drop(pt.peer)
	}
	began := time.Now()
	e.mu.Lock()
	ws := pt.begin(tell, began)
	e.mu.Unlock()
	var f finding
	var err error
	switch {
	case pt.ctx.Err() != nil || !e.backend.Admits(pt.peer) || len(e.backend.Rooms(pt.peer)) == 0:
	case tell:
		err = e.hand(pt.ctx, pt.peer, ws)
	default:
		f, err = e.compare(pt.ctx, pt.peer, pt.purse)
	}

	now := time.Now()
	e.mu.Lock()
	pt.talking = false
	e.talking--
	switch {
	case err != nil:
		pt.failed(now, &e.opt)
	case !tell:
		pt.found(f, now, &e.opt)
	}
	if pt.stalls++; !isStall(err) {
		pt.stalls = 0
	}
	stalls := pt.stalls
	e.mu.Unlock()
	e.ring()
	switch {
	case err == nil, pt.ctx.Err() != nil:
	case stalls == maxStalls:
		e.offence(pt.peer, "it does not answer")
	default:
		e.judge(pt.peer, err)
	}
}

// handle answers one stream.
func (e *Engine) handle(s network.Stream) {
	p := s.Conn().RemotePeer()
	if !e.backend.Admits(p) {
		_ = s.Reset()
		return
	}
	pt, flood := e.enter(p)
	if flood {
		e.offence(p, "it opens stream after stream")
	}
	if pt == nil {
		_ = s.Reset()
		return
	}
	defer e.leave(pt)
	select {
	case pt.turn <- struct{}{}:
		defer func() { <-pt.turn }()
	case <-pt.ctx.Done():
		_ = s.Reset()
		return
	}
	began := time.Now()
	t := newTalk(pt.ctx, s, e.opt.Patience)
	compared, took, err := e.answer(pt.ctx, t, pt)
	t.end(err)
	e.answered(pt, began, compared, took)
	switch {
	case err == nil, pt.ctx.Err() != nil:
	case isStall(err):
		e.offence(p, "it opens a stream and stalls")
	default:
		e.judge(p, err)
	}
}

// enter lets one more stream of a peer wait for its turn, if it may. Who gets a partner calls leave.
func (e *Engine) enter(p peer.ID) (pt *partner, flood bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	pt = e.partner(p, time.Now())
	switch {
	case pt == nil:
		return nil, false
	case !pt.opens.Allow():
		return nil, true
	case pt.queue >= maxQueue || e.answering >= maxAnswering:
		return nil, false
	}
	pt.queue++
	e.answering++
	e.wg.Add(1)
	return pt, false
}

func (e *Engine) leave(pt *partner) {
	e.mu.Lock()
	pt.queue--
	e.answering--
	e.mu.Unlock()
	e.ring()
	e.away(pt.peer) // its end may have come before its stream
	e.wg.Done()
}

// answered takes in what came of a stream of a peer. What the peer brought, or whatever made this node want to compare, may leave
// it without an identity that the peer did not offer by itself.
func (e *Engine) answered(pt *partner, began time.Time, compared, took bool) {
	now := time.Now()
	e.mu.Lock()
	look := took || !pt.soon.IsZero()
	if compared {
		pt.compared(began, now, &e.opt)
	}
	e.mu.Unlock()
	if !look || pt.ctx.Err() != nil {
		return
	}
	for _, r := range e.shared(pt.peer) {
		if len(e.backend.Wants(pt.peer, r.ID)) > 0 {
			e.want(pt.peer, now.Add(e.opt.Settle), now)
			return
		}
	}
}

// judge says what went wrong with a peer.
func (e *Engine) judge(p peer.ID, err error) {
	if errors.Is(err, protocol.ErrMalformed) || errors.Is(err, ErrRefused) {
		e.offence(p, err.Error())
		return
	}
	e.opt.Log.Debug("talking of rooms with a peer", "peer", p, "err", err)
}
