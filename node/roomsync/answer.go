package roomsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/entente-network/entente/protocol"
)

// answer is the other side of a conversation, whatever it is for. compared says that the two were compared, and took that this
// side was given something.
func (e *Engine) answer(ctx context.Context, t *talk, pt *partner) (compared, took bool, err error) {
	first, err := t.first()
	if err != nil {
		return false, false, err
	}
	x := e.exchange(ctx, t, pt.purse)
	defer x.release()
	switch {
	case first.Kind == kindTell:
		err = x.told(first)
	case pt.compares.Allow():
		compared, err = true, x.compared(first)
	default:
		err = errOften
	}
	return compared && err == nil, x.took, err
}

var errOften = fmt.Errorf("%w: it compares again and again", protocol.ErrMalformed)

// told takes what the peer hands over by itself.
func (x *exchange) told(first *page) error {
	x.most = maxTold
	if _, err := x.read(hasRecords|hasGrants, first, func(p *part) error {
		x.took = true
		var err error
		if len(p.Records) > 0 {
			err = x.backend.Take(x.ctx, x.peer, p.Room, p.Records)
		}
		if err == nil && len(p.Grants) > 0 {
			err = x.backend.TakeGrants(x.ctx, x.peer, p.Room, p.Grants)
		}
		return err
	}); err != nil {
		return err
	}
	return x.turn().end(false)
}

// compared answers a comparison.
func (x *exchange) compared(first *page) error {
	theirs := map[protocol.Hash]protocol.Hash{}
	if _, err := x.read(hasDigest, first, func(p *part) error {
		theirs[p.Room] = p.Digest
		return nil
	}); err != nil {
		return err
	}
	told, err := x.list(theirs)
	if err != nil {
		return err
	}

	reply := map[protocol.Hash][]byte{}
	var last protocol.Hash
	rest, err := x.read(hasOffers|hasAsks, nil, func(p *part) error {
		if p.Room == last {
			return fmt.Errorf("%w: a room named twice", protocol.ErrMalformed)
		}
		last = p.Room
		if out := x.lacking(p.Room, p.Offers); len(out) > 0 {
			reply[p.Room] = out
		}
		return x.note(p)
	})
	if errors.Is(err, io.EOF) { // all the same
		x.settle(told)
		return nil
	} else if err != nil {
		return err
	}
	if rest {
		told = slices.DeleteFunc(told, func(room protocol.Hash) bool { return descends(room, last) })
	}
	w := x.turn()
	for _, room := range ascending(reply, x.asks) {
		if out := reply[room]; len(out) > 0 {
			if err := w.add(part{Room: room, Asks: out}); err != nil {
				return err
			}
		}
		if err := x.give(w, room); err != nil {
			return err
		}
	}
	if err := w.end(false); err != nil {
		return err
	}

	n := 0
	err = x.receive(hasRecords|hasEpochs, func(p *part) error {
		if n += len(p.Epochs); n > MaxGrants {
			return fmt.Errorf("%w: it asks for over %d grants", protocol.ErrMalformed, MaxGrants)
		}
		x.wants[p.Room] = append(x.wants[p.Room], p.Epochs...)
		return nil
	})
	over := errors.Is(err, io.EOF) // nothing more is wanted
	if err != nil && !over {
		return err
	}
	x.settle(told)
	if over {
		return nil
	}
	return x.grant()
}

// list says what is the same, and of all else what the peer may ask for. It returns the rooms that both named and that differ.
func (x *exchange) list(theirs map[protocol.Hash]protocol.Hash) (told []protocol.Hash, err error) {
	err = x.say(func(yield func(part) bool) {
		for _, room := range ascending(x.mine, x.mine) {
			digest, named := theirs[room]
			p := part{Room: room, Same: named && digest == x.mine[room]}
			if p.Same {
				x.backend.Compared(x.peer, room)
			} else if p.Offers = x.offers(room, nil); p.has() == 0 {
				continue
			}
			if !yield(p) {
				return
			}
			if named && !p.Same {
				told = append(told, room)
			}
		}
	})
	return told, err
}

// grant answers with the grants that the peer asked for and may have.
func (x *exchange) grant() error {
	w := x.turn()
	for _, r := range x.shared(x.peer) {
		want := x.wants[r.ID]
		if len(want) == 0 {
			continue
		}
		raws, err := x.backend.Grants(x.ctx, x.peer, r.ID, want)
		if err == nil {
			err = w.addRaws(r.ID, raws, true)
		}
		if err != nil {
			return err
		}
	}
	return w.end(false)
}
