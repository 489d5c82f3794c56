package roomsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/entente-network/entente/protocol"
)

// A finding is what a comparison found.
type finding struct {
	differs bool // somebody lacked something
	short   bool // and still does, for it was too much for one conversation, or did not come
}

// begin opens a stream. The caller ends the talk.
func (e *Engine) begin(ctx context.Context, p peer.ID, k kind) (*talk, error) {
	opening, cancel := context.WithTimeout(network.WithNoDial(ctx, "rooms use connections, they make none"), e.opt.Patience)
	defer cancel()
	s, err := e.host.NewStream(opening, p, Protocol)
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	t := newTalk(ctx, s, e.opt.Patience)
	t.kind = k
	return t, nil
}

// hand tells a peer what waited for it, of rooms that are shared.
func (e *Engine) hand(ctx context.Context, p peer.ID, ws []word) (err error) {
	rooms := e.shared(p)
	records, grants := map[protocol.Hash][][]byte{}, map[protocol.Hash][][]byte{}
	for _, w := range ws {
		switch {
		case !shares(rooms, w.room):
		case w.grant:
			grants[w.room] = append(grants[w.room], w.raw)
		default:
			records[w.room] = append(records[w.room], w.raw)
		}
	}
	if len(records)+len(grants) == 0 {
		return nil
	}
	t, err := e.begin(ctx, p, kindTell)
	if err != nil {
		return err
	}
	defer func() { t.end(err) }()
	w := t.turn()
	for _, room := range ascending(records, grants) {
		if err := w.addRaws(room, records[room], false); err != nil {
			return err
		}
		if err := w.addRaws(room, grants[room], true); err != nil {
			return err
		}
	}
	if err := w.end(false); err != nil {
		return err
	}
	_, err = t.read(0, nil, func(*part) error { return nil })
	return err
}

// compare compares with a peer with which rooms are shared, and exchanges what differs.
func (e *Engine) compare(ctx context.Context, p peer.ID, purse *rate.Limiter) (f finding, err error) {
	t, err := e.begin(ctx, p, kindCompare)
	if err != nil {
		return f, err
	}
	defer func() { t.end(err) }()
	x := e.exchange(ctx, t, purse)
	defer x.release()
	if f, err = x.compare(); errors.Is(err, io.EOF) { // where an answer was due
		err = io.ErrUnexpectedEOF
	}
	return f, err
}

// compare is the opener's side of a comparison.
func (x *exchange) compare() (f finding, err error) {
	w := x.turn()
	for _, room := range ascending(x.mine, x.mine) {
		if err := w.add(part{Room: room, Digest: x.mine[room]}); err != nil {
			return f, err
		}
	}
	if err := w.end(false); err != nil {
		return f, err
	}

	reply, told, err := x.hear()
	if err != nil {
		return f, err
	}
	if f.differs = len(reply) > 0; !f.differs && x.ask() == 0 {
		x.settle(told)
		return finding{short: x.short}, nil
	}
	if err := x.say(slices.Values(reply)); err != nil {
		return f, err
	}
	if err := x.receive(hasAsks|hasRecords, x.note); err != nil {
		return f, err
	}
	x.settle(told)
	f.short = x.short

	if x.ask() == 0 && len(x.asks) == 0 {
		return f, nil
	}
	w = x.turn()
	for _, room := range ascending(x.asks, x.wants) {
		err := x.give(w, room)
		if want := x.wants[room]; err == nil && len(want) > 0 {
			err = w.add(part{Room: room, Epochs: want})
		}
		if err != nil {
			return f, err
		}
	}
	if err := w.end(false); err != nil {
		return f, err
	}
	if _, err := x.read(hasGrants, nil, x.granted); err != nil {
		return f, err
	}
	f.differs = f.differs || x.ask() > 0
	return f, nil
}

// hear reads what the peer says to this side's digests. It returns what there is to say to that, and the rooms that differ of
// which the peer told what it would give.
func (x *exchange) hear() (reply []part, told []protocol.Hash, err error) {
	heard := map[protocol.Hash]bool{}
	var last protocol.Hash
	rest, err := x.read(hasSame|hasOffers, nil, func(p *part) error {
		_, shared := x.mine[p.Room]
		if heard[p.Room] || p.Same && (!shared || len(p.Offers) > 0) {
			return fmt.Errorf("%w: a room named twice, or the same that never was named", protocol.ErrMalformed)
		}
		heard[p.Room], last = true, p.Room
		if p.Same {
			x.backend.Compared(x.peer, p.Room)
			return nil
		}
		if shared {
			told = append(told, p.Room)
		}
		if out := (part{Room: p.Room, Offers: x.offers(p.Room, p.Offers), Asks: x.lacking(p.Room, p.Offers)}); out.has() != 0 {
			reply = append(reply, out)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for room := range x.mine {
		switch {
		case heard[room]:
		case rest && descends(room, last):
			x.short = true
		default: // the peer has nothing of it
			if out := (part{Room: room, Offers: x.offers(room, nil)}); out.has() != 0 {
				reply = append(reply, out)
			}
		}
	}
	slices.SortFunc(reply, func(a, b part) int { return bytes.Compare(a.Room[:], b.Room[:]) })
	return reply, told, nil
}

// say writes a turn of offers and asks, or as much of it as a turn takes.
func (x *exchange) say(parts iter.Seq[part]) error {
	w, n := x.turn(), 0
	for p := range parts {
		if n += len(p.Offers) / MarkSize; n > maxMarks {
			x.short = true
			return w.end(true)
		}
		if err := w.add(p); err != nil {
			return err
		}
	}
	return w.end(false)
}

// granted takes grants that this side asked for.
func (x *exchange) granted(p *part) error {
	want := x.wants[p.Room]
	if len(p.Grants) > len(want) {
		return fmt.Errorf("%w: a grant that was not asked for", protocol.ErrMalformed)
	}
	x.wants[p.Room] = want[len(p.Grants):]
	return x.backend.TakeGrants(x.ctx, x.peer, p.Room, p.Grants)
}
