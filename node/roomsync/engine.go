package roomsync

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/semaphore"

	"github.com/entente-network/entente/protocol"
)

// Protocol is the libp2p protocol id.
const Protocol = "/entente/room/1"

// ErrRefused is wrapped by an error of Backend.Take or TakeGrants that says: the peer, and not this node, is at fault.
var ErrRefused = errors.New("refused")

// A Room is one of which a peer may be given something.
type Room struct {
	ID     protocol.Hash
	Digest protocol.Hash // of all that the peer may be given of it: see Digest
}

// A Record is one that a peer may be given.
type Record struct {
	ID, Sum protocol.Hash // Sum is that of Raw: a record with more signatures has another
	Raw     []byte        // the encoded envelope, which nobody changes any more
}

// Sum returns the sum of an encoded envelope.
func Sum(raw []byte) protocol.Hash { return protocol.Sum("entente/room/v1/sum", raw) }

// Digest returns the digest of records, which ascend by ID. Two nodes that have the same have the same digest.
func Digest(rs []Record) protocol.Hash {
	b := make([]byte, 0, len(protocol.Hash{})*len(rs))
	for _, r := range rs {
		b = append(b, r.Sum[:]...)
	}
	return protocol.Sum("entente/room/v1/digest", b)
}

// A Backend is what the engine asks of the node. All methods are called from several goroutines at once, and none may call
// Close.
type Backend interface {
	// Admits reports whether p may speak this protocol at all: a stream of any other peer is reset, and none is opened to it.
	// It must not depend on rooms.
	Admits(p peer.ID) bool
	// Rooms returns the rooms of which p may be given something, ascending by ID; at most MaxRooms. It is asked often. What
	// p may be given and refuses to keep is offered to it again and again: a node that was removed does best to name only
	// what the others still take from it.
	Rooms(p peer.ID) []Room
	// Records returns what p may be given of a room, ascending by ID; nil: nothing. At most MaxRecords.
	Records(p peer.ID, room protocol.Hash) []Record
	// Held returns the Sums of all that this node has of a room, whoever may be given it, in any order.
	Held(room protocol.Hash) []protocol.Hash
	// Take verifies and durably keeps what p gave of a room, of which this node may know nothing yet. The first charter, if p
	// gives it, comes first of all; other records come in any order. Of a room that Rooms does not name to p, all that p
	// gives after a comparison comes in one call, where there is memory for it. raws are Take's to keep. An error ends the conversation.
	// One that wraps ErrRefused makes p an offender. Any other says that this node could not do its work, or cannot judge
	// yet: the same will be asked for again. To a p that shares no room with this node it must make no difference whether the
	// room is known.
	Take(ctx context.Context, p peer.ID, room protocol.Hash, raws [][]byte) error
	// Wants returns the epochs whose identity this node may have and lacks, and p may hold; the first MaxGrants count.
	Wants(p peer.ID, room protocol.Hash) []protocol.Hash
	// Grants returns encoded grants of these epochs for p's node, of those that it may have and this node holds.
	Grants(ctx context.Context, p peer.ID, room protocol.Hash, epochs []protocol.Hash) ([][]byte, error)
	// TakeGrants verifies grants and durably keeps what they grant. They come after the records of the same peer that it
	// gave at the same time. Errors are as those of Take.
	TakeGrants(ctx context.Context, p peer.ID, room protocol.Hash, raws [][]byte) error
	// Compared says that this node now has all of a room that p said it may give: p is in the room and was heard. It does
	// not block.
	Compared(p peer.ID, room protocol.Hash)
}

// Options tune an engine. The zero value of a field takes its default.
type Options struct {
	Every    time.Duration // after which a peer is compared with again; 5 minutes
	Settle   time.Duration // between a change and comparing for it; 2 seconds
	Gap      time.Duration // between two comparisons with one peer, at least; doubles while they find differences; 1 second
	Fan      int           // peers that are compared with for a change; 4
	Patience time.Duration // how long a peer may take for one frame, either way; 20 seconds

	Log     *slog.Logger                // nil: silent
	Offence func(p peer.ID, why string) // p broke the protocol: close its connections. May be called often, and at once
}

func (o Options) withDefaults() Options {
	o.Every = cmp.Or(o.Every, 5*time.Minute)
	o.Settle = cmp.Or(o.Settle, 2*time.Second)
	o.Gap = cmp.Or(o.Gap, time.Second)
	o.Fan = cmp.Or(o.Fan, 4)
	o.Patience = cmp.Or(o.Patience, 20*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Offence == nil {
		o.Offence = func(peer.ID, string) {}
	}
	return o
}

// An Engine keeps rooms the same with peers. It is safe for concurrent use.
type Engine struct {
	host    host.Host
	backend Backend
	opt     Options
	notify  *network.NotifyBundle
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wake    chan struct{}       // a token for the loop
	strange *semaphore.Weighted // maxStrange
	wg      sync.WaitGroup

	mu        sync.Mutex // never held over a wait for the network or a call of the backend
	closed    bool
	partners  map[peer.ID]*partner      // guarded by mu
	changes   map[protocol.Hash]*change // guarded by mu
	talking   int                       // guarded by mu: conversations that this node opened
	answering int                       // guarded by mu: streams that peers opened
}

// New returns an engine that serves the host's peers until Close.
func New(h host.Host, b Backend, o Options) *Engine {
	e := &Engine{host: h, backend: b, opt: o.withDefaults(), wake: make(chan struct{}, 1), partners: map[peer.ID]*partner{},
		changes: map[protocol.Hash]*change{}, strange: semaphore.NewWeighted(maxStrange)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.notify = &network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) { e.away(c.RemotePeer()) }}
	h.Network().Notify(e.notify)
	h.SetStreamHandler(Protocol, e.handle)
	e.wg.Go(e.run)
	return e
}

// PeerReady says that p is connected and was admitted, or that p may have more of rooms than before. The engine compares itself
// with p soon, if a room is shared. A disconnection it notices by itself.
func (e *Engine) PeerReady(p peer.ID) {
	now := time.Now()
	first := now
	if p < e.host.ID() { // p begins, since it is told the same
		first = now.Add(e.opt.Settle)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if pt := e.partner(p, now); pt != nil {
		pt.ready = true
		pt.want(first, now)
		e.ring()
	}
}

// Changed says that this node learned something new of a room, from a peer or, if from is empty, by itself. A moment later the
// engine compares itself with a few other peers that share the room.
func (e *Engine) Changed(room protocol.Hash, from peer.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.changes[room]
	if c == nil {
		if len(e.changes) >= MaxRooms {
			return
		}
		c = &change{due: time.Now().Add(e.opt.Settle), from: from}
		e.changes[room] = c
		e.ring()
	}
	if c.from != from {
		c.from = ""
	}
}

// Tell hands fresh records of a room to p at once, together with what else waits for it. It does not block. Nobody changes the
// raws any more. If p is too slow they are dropped, and p is compared with instead; if it is not connected, or may not be given
// anything of the room, nothing happens.
func (e *Engine) Tell(p peer.ID, room protocol.Hash, raws [][]byte) {
	e.tell(p, room, raws, protocol.MaxRecord, false)
}

// Grant is Tell for grants. They arrive after the records that p was told before.
func (e *Engine) Grant(p peer.ID, room protocol.Hash, raws [][]byte) {
	e.tell(p, room, raws, maxGrant, true)
}

func (e *Engine) tell(p peer.ID, room protocol.Hash, raws [][]byte, most int, grant bool) {
	var ws []word
	for _, r := range raws {
		if len(r) > 0 && len(r) <= most {
			ws = append(ws, word{room, r, grant})
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if pt := e.partners[p]; pt != nil && pt.ready && len(ws) > 0 {
		pt.tell(ws, time.Now())
		e.ring()
	}
}

// Recheck asks the backend again whether p is admitted. If not, its streams are reset, and what waits for it is dropped.
func (e *Engine) Recheck(p peer.ID) {
	if !e.backend.Admits(p) {
		e.drop(p)
	}
}

// Close ends everything and waits for it. It returns nil.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.host.RemoveStreamHandler(Protocol)
	e.host.Network().StopNotify(e.notify)
	e.cancel()
	e.wg.Wait()
	return nil
}

// partner returns the partner of a peer, a new one if there is none; nil after Close. mu is held.
func (e *Engine) partner(p peer.ID, now time.Time) *partner {
	if e.closed {
		return nil
	}
	pt := e.partners[p]
	if pt == nil {
		pt = newPartner(e.ctx, e.host.ID(), p, &e.opt)
		pt.regular = next(now, pt.phase, e.opt.Every)
		e.partners[p] = pt
	}
	return pt
}

// drop ends all that is going on with a peer, and forgets it.
func (e *Engine) drop(p peer.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if pt := e.partners[p]; pt != nil {
		pt.cancel()
		delete(e.partners, p)
	}
}

// away drops a peer that is not connected.
func (e *Engine) away(p peer.ID) {
	if e.host.Network().Connectedness(p) != network.Connected {
		e.drop(p)
	}
}

// shared returns the rooms that are shared with a peer.
func (e *Engine) shared(p peer.ID) []Room {
	rs := e.backend.Rooms(p)
	return rs[:min(len(rs), MaxRooms)]
}

// ring wakes the loop.
func (e *Engine) ring() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// offence names a peer that broke the protocol.
func (e *Engine) offence(p peer.ID, why string) {
	e.opt.Log.Warn("a peer broke the protocol of rooms", "peer", p, "why", why)
	e.opt.Offence(p, why)
}
