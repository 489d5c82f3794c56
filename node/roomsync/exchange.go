package roomsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/entente-network/entente/protocol"
)

// An exchange is what both sides of a conversation do. Its peer is that of its talk.
type exchange struct {
	*Engine
	*talk
	ctx   context.Context
	purse *rate.Limiter

	mine    map[protocol.Hash]protocol.Hash   // digests of the rooms that are shared, as this side began
	offered map[protocol.Hash][]Record        // of which the peer may ask for some
	missing map[protocol.Hash]map[mark]bool   // what this side asked for and did not get yet
	cut     map[protocol.Hash]bool            // rooms of which this side did not ask for all
	asks    map[protocol.Hash]map[mark]bool   // what the peer asks for
	wants   map[protocol.Hash][]protocol.Hash // epochs whose grants one side asks for
	strange map[protocol.Hash][][]byte        // what came of rooms that are not shared, to be taken together

	asking, asked int  // marks that this side, that the peer asks for
	spent         int  // bytes that the peer was given for asking
	budget        int  // bytes taken of Engine.strange
	took          bool // this side was given something
	short         bool // something was left for another conversation
}

func (e *Engine) exchange(ctx context.Context, t *talk, purse *rate.Limiter) *exchange {
	x := &exchange{
		Engine: e, talk: t, ctx: ctx, purse: purse,
		mine: map[protocol.Hash]protocol.Hash{}, offered: map[protocol.Hash][]Record{},
		missing: map[protocol.Hash]map[mark]bool{}, cut: map[protocol.Hash]bool{},
		asks: map[protocol.Hash]map[mark]bool{}, wants: map[protocol.Hash][]protocol.Hash{}, strange: map[protocol.Hash][][]byte{},
	}
	for _, r := range e.shared(t.peer) {
		x.mine[r.ID] = r.Digest
	}
	return x
}

// offers returns the marks of what the peer may be given of a room beyond what it offers itself.
func (x *exchange) offers(room protocol.Hash, theirs []byte) []byte {
	known := map[mark]bool{}
	for m := range marks(theirs) {
		known[m] = true
	}
	rs := x.backend.Records(x.peer, room)
	rs = rs[:min(len(rs), MaxRecords)]
	var out []byte
	for _, r := range rs {
		if m := markOf(r.Sum); !known[m] {
			out = append(out, m[:]...)
		}
	}
	if len(out) > 0 {
		x.offered[room] = rs // as they are: what the peer gives may add signatures to them
	}
	return out
}

// lacking returns the marks of what this node has not of what the peer offers, to be asked for. What this node has counts in a
// room that is shared alone: who is in none learns nothing from what is asked for.
func (x *exchange) lacking(room protocol.Hash, offers []byte) []byte {
	if len(offers) == 0 {
		return nil
	}
	have := map[mark]bool{}
	if _, shared := x.mine[room]; shared {
		for _, sum := range x.backend.Held(room) {
			have[markOf(sum)] = true
		}
	}
	missing := map[mark]bool{}
	var out []byte
	for m := range marks(offers) {
		if have[m] || missing[m] {
			continue
		}
		if x.asking == maxAsked {
			x.cut[room], x.short = true, true
			break
		}
		missing[m] = true
		x.asking++
		out = append(out, m[:]...)
	}
	if len(out) > 0 {
		x.missing[room] = missing
	}
	return out
}

// note notes what the peer asks for.
func (x *exchange) note(p *part) error {
	for m := range marks(p.Asks) {
		if x.asks[p.Room] == nil {
			x.asks[p.Room] = map[mark]bool{}
		}
		x.asks[p.Room][m] = true
		x.asked++
	}
	if x.asked > maxAsked {
		return fmt.Errorf("%w: it asks for over %d records", protocol.ErrMalformed, maxAsked)
	}
	return nil
}

// give says the records of a room that the peer was offered and asked for, as far as its purse goes; the first charter, whose id
// is the room's, before all else.
func (x *exchange) give(w *turn, room protocol.Hash) error {
	asks, rs := x.asks[room], x.offered[room]
	if len(asks) == 0 || !shares(x.shared(x.peer), room) {
		return nil
	}
	if i, ok := slices.BinarySearchFunc(rs, room, func(r Record, id protocol.Hash) int { return bytes.Compare(r.ID[:], id[:]) }); ok {
		rs = slices.Concat(rs[i:i+1], rs[:i], rs[i+1:])
	}
	var raws [][]byte
	for _, r := range rs {
		if !asks[markOf(r.Sum)] {
			continue
		}
		n := len(r.Raw)
		if x.spent+n > maxGiven || !x.purse.AllowN(time.Now(), n) {
			break
		}
		x.spent += n
		raws = append(raws, r.Raw)
	}
	return w.addRaws(room, raws, false)
}

// take has records kept that this side asked for: at once if the room is shared, else when all of them are there, as far as there
// is memory for them. For whether a room is anything to this node may show in any of its records.
func (x *exchange) take(room protocol.Hash, raws [][]byte) error {
	if len(raws) == 0 {
		return nil
	}
	missing := x.missing[room]
	for _, r := range raws {
		m := markOf(Sum(r))
		if !missing[m] {
			return fmt.Errorf("%w: a record that was not asked for", protocol.ErrMalformed)
		}
		delete(missing, m)
	}
	if _, shared := x.mine[room]; !shared {
		size := 0
		for _, r := range raws {
			size += len(r)
		}
		raws = append(x.strange[room], raws...)
		delete(x.strange, room)
		if x.budget+size <= maxGiven && x.Engine.strange.TryAcquire(int64(size)) {
			x.budget += size
			x.strange[room] = raws
			return nil
		}
	}
	x.took = true
	return x.backend.Take(x.ctx, x.peer, room, raws)
}

// takeStrange has kept what came of rooms that are not shared.
func (x *exchange) takeStrange() error {
	for _, room := range ascending(x.strange, x.strange) {
		if raws := x.strange[room]; len(raws) > 0 {
			x.took = true
			if err := x.backend.Take(x.ctx, x.peer, room, raws); err != nil {
				return err
			}
		}
	}
	clear(x.strange)
	return nil
}

// receive reads a turn of records, which it has kept, though the turn breaks off, and whatever each takes in besides.
func (x *exchange) receive(fields field, each func(*part) error) error {
	_, err := x.read(fields, nil, func(p *part) error {
		if err := each(p); err != nil {
			return err
		}
		return x.take(p.Room, p.Records)
	})
	return errors.Join(err, x.takeStrange())
}

// release gives back what the exchange took of budgets.
func (x *exchange) release() { x.Engine.strange.Release(int64(x.budget)) }

// settle says that shared rooms of which the peer told all were compared, where all that was asked for came.
func (x *exchange) settle(rooms []protocol.Hash) {
	for _, room := range rooms {
		if x.cut[room] || len(x.missing[room]) > 0 {
			x.short = true
			continue
		}
		x.backend.Compared(x.peer, room)
	}
}

// ask notes the epochs whose identities this node may have and lacks, and returns their number.
func (x *exchange) ask() int {
	n := 0
	clear(x.wants)
	for _, r := range x.shared(x.peer) {
		want := x.backend.Wants(x.peer, r.ID)
		if want = want[:min(len(want), MaxGrants-n)]; len(want) > 0 {
			x.wants[r.ID] = want
			n += len(want)
		}
	}
	return n
}

// ascending returns the keys of maps that have rooms as keys, in order.
func ascending[A, B any](a map[protocol.Hash]A, b map[protocol.Hash]B) []protocol.Hash {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.SortFunc(keys, func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}
