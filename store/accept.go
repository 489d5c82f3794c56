package store

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

const (
	maxQueue     = 256     // calls of Accept that wait for the writer
	entryReserve = 8 << 10 // bytes of a transaction that an entry takes beside its parcel, at most
	entryKeys    = 16      // keys of a transaction that an entry writes, at most
)

// An acceptRequest is one call of Accept, or, without entries, a feed to go on with.
type acceptRequest struct {
	entries  []Entry
	outcomes []Outcome
	left     int // entries without an outcome; owned by the writer
	done     chan struct{}
	feed     protocol.FeedID
	full     error // there is no room for all entries, which are of this node
}

// Accept takes entries in, in their order, and returns once they are on the disk. What it returns for an entry stands for it
// alone; the error is for a call of which nothing was stored: ErrFull, ErrClosed, ErrBroken, or, if it hits all entries,
// ErrQuota. The caller has verified signatures and asked trust.Decide.
//
// The entries of one call are on the disk together or not at all, as long as they fit one transaction: 64 of any size do.
func (s *Store) Accept(entries []Entry) ([]Outcome, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	entries = slices.Clone(entries)
	for i := range entries {
		if e := &entries[i]; e.Raw == nil && e.Envelope != nil {
			e.Raw = e.Envelope.Encode()
		}
	}
	r := &acceptRequest{entries: entries, outcomes: make([]Outcome, len(entries)), left: len(entries), done: make(chan struct{})}
	select {
	case s.queue <- r:
	case <-s.quit:
		return nil, ErrClosed
	}
	select {
	case <-r.done:
	case <-s.done:
		select {
		case <-r.done:
		default:
			return nil, ErrClosed
		}
	}
	for _, o := range r.outcomes {
		if o.Err == nil {
			return r.outcomes, nil
		}
	}
	return nil, r.outcomes[0].Err
}

// later has the writer go on with a feed after the current transaction. A full queue drops it: the next entry of the feed, or
// the next opening, goes on as well.
func (s *Store) later(feed protocol.FeedID) {
	select {
	case s.queue <- &acceptRequest{feed: feed}:
	default:
	}
}

// write is the writer's goroutine.
func (s *Store) write() {
	defer close(s.done)
	for {
		var batch []*acceptRequest
		select {
		case r := <-s.queue:
			batch = append(batch, r)
		case <-s.quit:
			return
		}
		for more := true; more && len(batch) < maxQueue; {
			select {
			case r := <-s.queue:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		s.process(batch)
	}
}

// An item is one entry of a batch, and where its outcome goes.
type item struct {
	r *acceptRequest
	i int
}

func (it item) entry() *Entry { return &it.r.entries[it.i] }

func (it item) settle(o Outcome) {
	it.r.outcomes[it.i] = o
	if it.r.left--; it.r.left == 0 {
		close(it.r.done)
	}
}

// process handles requests in transactions as large as Badger takes. A request that fits into one is not split.
func (s *Store) process(batch []*acceptRequest) {
	maxBytes, maxKeys := int(s.db.MaxBatchSize()/2), int(s.db.MaxBatchCount()/2)
	var items []item
	size := 0
	flush := func() {
		if len(items) > 0 {
			s.commitItems(items)
		}
		items, size = nil, 0
	}
	for _, r := range batch {
		if r.entries == nil {
			s.goOn(r.feed)
			continue
		}
		whole := 0
		for i := range r.entries {
			whole += r.entries[i].size()
		}
		if size+whole > maxBytes || (len(items)+len(r.entries))*entryKeys > maxKeys {
			flush()
		}
		count := (*Entry).size
		if whole > maxBytes {
			count = s.footprint
		}
		for i := range r.entries {
			n := count(&r.entries[i])
			if size+n > maxBytes || (len(items)+1)*entryKeys > maxKeys {
				flush() // the request alone is too large
			}
			items, size = append(items, item{r, i}), size+n
		}
		if whole > maxBytes {
			flush()
		}
	}
	flush()
}

// size is what an entry costs, at most.
func (e *Entry) size() int { return len(e.Raw) + len(e.Inner) + entryReserve }

// footprint is what an entry takes of a transaction, at most: of what goes to the value log it is next to nothing.
func (s *Store) footprint(e *Entry) int {
	n := entryReserve
	for _, b := range [][]byte{e.Raw, e.Inner} {
		if int64(len(b)) < s.db.Opts().ValueThreshold {
			n += len(b)
		}
	}
	return n
}

// byRequest cuts items where another request begins; items of one request alone it cuts each from each.
func byRequest(items []item) [][]item {
	var out [][]item
	one := items[0].r == items[len(items)-1].r
	for i, it := range items {
		if i == 0 || one || it.r != items[i-1].r {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], it)
	}
	return out
}

// commitItems handles items in one transaction. If that cannot be written, then each request in its own; and one that is too
// large for that entry by entry.
func (s *Store) commitItems(items []item) {
	outcomes := make([]Outcome, len(items))
	s.writeMu.Lock()
	err := s.updateLocked(func(t *tx) error {
		in := &intake{tx: t, extents: map[protocol.FeedID]*extentRec{}, stored: map[protocol.FeedID]extentRec{}}
		for i, it := range items {
			if it.i == 0 {
				it.r.full = in.roomFor(it.r.entries)
			}
			in.full = it.r.full
			o, err := in.accept(it.entry())
			if err != nil {
				return err
			}
			outcomes[i] = o
		}
		return in.finish()
	})
	s.writeMu.Unlock()
	one := items[0].r == items[len(items)-1].r
	if err != nil && len(items) > 1 && !errors.Is(err, ErrBroken) && (!one || errors.Is(err, badger.ErrTxnTooBig)) {
		for _, some := range byRequest(items) {
			s.commitItems(some)
		}
		return
	}
	for i, it := range items {
		if err != nil {
			outcomes[i] = Outcome{Err: err}
		}
		it.settle(outcomes[i])
	}
}

// goOn moves a feed's Next over entries that are held already.
func (s *Store) goOn(feed protocol.FeedID) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	_ = s.updateLocked(func(t *tx) error { // if it fails, the next entry goes on
		x, err := t.extent(feed)
		if err != nil {
			return err
		}
		c, err := s.cipher(x.Tag)
		if err != nil {
			return err
		}
		if err := t.advance(feed, x, c); err != nil {
			return err
		}
		return t.putExtent(feed, x)
	})
}

// An intake is what one transaction of the writer has in hand.
type intake struct {
	*tx
	extents map[protocol.FeedID]*extentRec
	stored  map[protocol.FeedID]extentRec // as they were before
	full    error                         // there is no room for all entries of the request in hand, which are ours
}

// roomFor refuses entries of this node unless there is room for all: they may be one statement to several teams.
func (in *intake) roomFor(es []Entry) error {
	size := 0
	for i := range es {
		if es[i].Via != "" {
			return nil // judged one by one
		}
		size += es[i].size()
	}
	return in.s.room(in.c.Bytes + uint64(size))
}

func (in *intake) extent(feed protocol.FeedID) (*extentRec, error) {
	if x := in.extents[feed]; x != nil {
		return x, nil
	}
	x, err := in.tx.extent(feed)
	if errors.Is(err, ErrNotFound) {
		if x, err = in.rebuildExtent(feed); errors.Is(err, ErrNotFound) {
			x, err = newExtent(), nil
		}
	}
	if err != nil {
		return nil, err
	}
	in.extents[feed], in.stored[feed] = x, *x
	return x, nil
}

func (in *intake) finish() error {
	for feed, x := range in.extents {
		if x.Tag.IsZero() || *x == in.stored[feed] {
			continue // nothing was taken in
		}
		if err := in.putExtent(feed, x); err != nil {
			return err
		}
	}
	return nil
}

// accept judges one entry, and stores what follows. An error means that the transaction is of no use.
func (in *intake) accept(e *Entry) (Outcome, error) {
	if err := e.check(); err != nil {
		return Outcome{Err: err}, nil
	}
	p, raw := e.Parcel, e.Raw
	c, err := in.s.cipher(e.Tag)
	if err != nil {
		return Outcome{Err: err}, nil
	}
	x, err := in.extent(p.Feed)
	if err != nil {
		return Outcome{}, err
	}
	if !x.Tag.IsZero() && x.Tag != e.Tag {
		return Outcome{Err: errors.New("an entry of a feed that is another channel's")}, nil
	}
	id := e.Envelope.ID()
	here, lost := in.slot(p.Feed, p.Seq, x, c)
	if here == nil && !lost && p.Seq < x.First {
		return Outcome{Verdict: trust.Known}, nil // pruned, or given up by its author
	}
	v := trust.CheckEntry(p, id, e.Node, here.neighbour(), in.before(p, x, c), in.after(p, e.Node, x, c))
	switch v {
	case trust.Known:
		return in.opened(e, id, here, c)
	case trust.Fork:
		x.Forked = true
		proof, err := in.fork(p.Feed, p.Seq, c, here, e.Envelope)
		return Outcome{Verdict: v, Proof: proof}, err
	case trust.Accept, trust.Replace, trust.Hollow:
	default:
		return Outcome{Verdict: v}, nil
	}
	if in.full != nil {
		return Outcome{Err: in.full}, nil
	}
	if err := in.s.room(in.c.Bytes + uint64(e.size())); err != nil {
		return Outcome{Err: err}, nil
	}
	if !lost {
		if err := in.spend(e, len(raw)); err != nil {
			return Outcome{Err: err}, nil
		}
	}
	if x.Tag.IsZero() {
		x.Node, x.Team, x.Tag = p.Node, p.Team, e.Tag
		if err := in.addAudience(e.Tag); err != nil {
			return Outcome{Err: err}, nil
		}
	}
	o := Outcome{Verdict: v}
	if here != nil { // off the cut-off's chain: it makes way
		if o.Proof, err = in.fork(p.Feed, p.Seq, c, here, e.Envelope); err != nil {
			return o, err
		}
		x.Forked = true
		if err := in.displace(here, e.Tag); err != nil {
			return o, err
		}
	}
	if e.Link || v == trust.Hollow {
		o.N = in.ownMessage(p, id)
	} else if o.N, err = in.keepMessage(e, id, c, lost); err != nil {
		return o, err
	}
	if o.N == 0 {
		if err := in.keepLink(e); err != nil {
			return o, err
		}
	}
	return o, in.keepParcel(p, id, raw, o.N, x, c)
}

// slot reads what is held in a place. lost says that something is or was there which cannot be read: the newcomer heals it.
func (in *intake) slot(feed protocol.FeedID, seq uint64, x *extentRec, c Cipher) (h *held, lost bool) {
	h, err := in.held(feed, seq, c)
	if err == nil {
		return h, false
	}
	return nil, errors.Is(err, errDamaged) || seq >= x.First && seq < x.Next
}

func (in *intake) before(p *protocol.Parcel, x *extentRec, c Cipher) trust.Neighbour {
	if p.Seq == x.Next && !x.Head.IsZero() {
		return trust.Neighbour{Held: true, ID: x.Head}
	}
	if p.Seq == 1 {
		return trust.Neighbour{}
	}
	h, _ := in.held(p.Feed, p.Seq-1, c)
	return h.neighbour()
}

func (in *intake) after(p *protocol.Parcel, node trust.NodeInfo, x *extentRec, c Cipher) trust.Neighbour {
	if cut, ok := node.Cutoff[p.Feed]; node.Revoked && (!ok || !in.anchored(cut, p.Seq+1, x, c)) || p.Seq >= x.Max {
		return trust.Neighbour{}
	}
	h, _ := in.held(p.Feed, p.Seq+1, c)
	return h.neighbour()
}

// anchored reports whether all entries from seq to the cut-off's last are held and chained to it. It remembers how far it
// came, and goes on from there: one transaction looks at no more than maxAdvance entries.
func (in *intake) anchored(cut protocol.Cutoff, seq uint64, x *extentRec, c Cipher) bool {
	if seq > cut.LastSeq {
		return false
	}
	if x.Anchor.Last != cut.LastHash {
		x.Anchor = anchor{Last: cut.LastHash, Seq: cut.LastSeq + 1, Want: cut.LastHash}
	}
	for range maxAdvance {
		if x.Anchor.Seq <= seq || x.Anchor.Seq <= 1 {
			break
		}
		h, err := in.held(cut.Feed, x.Anchor.Seq-1, c)
		if err != nil || h.id != x.Anchor.Want {
			break
		}
		x.Anchor.Seq, x.Anchor.Want = x.Anchor.Seq-1, h.parcel.Prev
	}
	return x.Anchor.Seq <= seq
}

// A forkRec is a stored proof.
type forkRec struct {
	A []byte `cbor:"1,keyasint"`
	B []byte `cbor:"2,keyasint"`
}

// fork keeps the proof that a node said two things in one place, once for each place. A newcomer that only contradicts its
// neighbours proves nothing by itself.
func (in *intake) fork(feed protocol.FeedID, seq uint64, c Cipher, here *held, other *protocol.Envelope) (*protocol.ForkProof, error) {
	k := key(kFork, feed, seq)
	if here == nil || in.has(k) {
		return nil, nil
	}
	proof := &protocol.ForkProof{A: here.env, B: other}
	return proof, in.putRecord(k, c, &forkRec{A: here.raw, B: other.Encode()})
}

// keepParcel writes the entry and moves the extent.
func (in *intake) keepParcel(p *protocol.Parcel, id protocol.Hash, raw []byte, n uint64, x *extentRec, c Cipher) error {
	k := parcelKey(p.Feed, p.Seq)
	if in.has(k) { // damaged or displaced
		in.c.sub(in.sizeOf(k))
		in.c.Parcels -= min(in.c.Parcels, 1)
	}
	size, err := in.put(k, c, append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(raw)), n), raw...))
	if err != nil {
		return err
	}
	in.c.add(size)
	in.c.Parcels++
	x.Max = max(x.Max, p.Seq)
	switch p.Seq {
	case x.Next:
		x.Next, x.Head = x.Next+1, id
	case x.Next - 1:
		x.Head = id
	default:
		return nil
	}
	if x.Next > x.Max {
		return nil
	}
	return in.advance(p.Feed, x, c)
}

// Forks visits the proofs that nodes said two things in one place.
func (s *Store) Forks(fn func(feed protocol.FeedID, seq uint64, p protocol.ForkProof) bool) error {
	return s.view(func(t *tx) error {
		return t.scan([]byte{kFork}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			k := item.Key()
			if len(k) != keyLengths[kFork] {
				return true, nil
			}
			feed, seq := hashAt(k, 1), numAt(k, 33)
			var p protocol.ForkProof
			if err := t.readFork(item, feed, &p); err != nil {
				return true, nil
			}
			return fn(feed, seq, p), nil
		})
	})
}

func (t *tx) readFork(item *badger.Item, feed protocol.FeedID, p *protocol.ForkProof) error {
	x, err := t.extent(feed)
	if err != nil {
		return err
	}
	c, err := t.s.cipher(x.Tag)
	if err != nil {
		return err
	}
	b, err := t.open(item, c)
	if err != nil {
		return err
	}
	var r forkRec
	if err := t.decode(b, &r); err != nil {
		return err
	}
	if p.A, err = protocol.DecodeEnvelope(r.A, protocol.MaxParcel); err == nil {
		p.B, err = protocol.DecodeEnvelope(r.B, protocol.MaxParcel)
	}
	return err
}
