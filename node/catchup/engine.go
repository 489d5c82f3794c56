package catchup

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// Protocol is the libp2p protocol id.
const Protocol = "/entente/catchup/1"

// Options tune an engine. The zero value of a field takes its default.
type Options struct {
	Interval  time.Duration // between rounds; 10 minutes
	PokeDelay time.Duration // how long a gap may wait for gossip to fill it; 2 seconds
	Verifiers int           // concurrent calls of Ingest; GOMAXPROCS
	Window    int           // range requests that are on the way or being verified; 6 + 2 for each verifier
	Blobs     int           // blobs fetched at a time; 4

	PeerStreams int           // streams that a peer may have open at this node; 8
	Streams     int           // streams that all peers together may have open, and four times as many of peers that have one each; 64
	Patience    time.Duration // how long a peer may take for one frame, either way; 20 seconds

	Log      *slog.Logger                // nil: silent
	Progress func(done, all uint64)      // entries taken in since catching up began, and those there will have been; called in turn
	Compared func(p peer.ID, es []Entry) // p told what it holds; es is where that differs from what is held here
	Offence  func(p peer.ID, why string) // p broke the protocol: close its connections. May be called often, and at once
}

func (o Options) withDefaults() Options {
	o.Interval = cmp.Or(o.Interval, 10*time.Minute)
	o.PokeDelay = cmp.Or(o.PokeDelay, 2*time.Second)
	o.Verifiers = cmp.Or(o.Verifiers, runtime.GOMAXPROCS(0))
	o.Window = cmp.Or(o.Window, 6+2*o.Verifiers)
	o.Blobs = cmp.Or(o.Blobs, 4)
	o.PeerStreams = cmp.Or(o.PeerStreams, 8)
	o.Streams = cmp.Or(o.Streams, 64)
	o.Patience = cmp.Or(o.Patience, 20*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(uint64, uint64) {}
	}
	if o.Compared == nil {
		o.Compared = func(peer.ID, []Entry) {}
	}
	if o.Offence == nil {
		o.Offence = func(peer.ID, string) {}
	}
	return o
}

// An Engine catches up with peers and serves those that catch up. It is safe for concurrent use.
type Engine struct {
	host    host.Host
	backend Backend
	opt     Options
	guard   guard
	mine    snapshots
	asked   askedTeams
	verify  chan struct{} // a token for each Ingest
	bundles chan struct{} // a token for each bundle of records that is fetched

	inbox  inbox
	calls  chan func(*loop) // what workers have to say to the loop
	closed chan struct{}    // when Run ends
	wg     sync.WaitGroup
}

// New returns an engine. It does nothing before Run.
func New(h host.Host, b Backend, o Options) *Engine {
	o = o.withDefaults()
	return &Engine{
		host: h, backend: b, opt: o,
		guard:   guard{perPeer: o.PeerStreams, inAll: o.Streams, peers: map[peer.ID]*guest{}},
		asked:   askedTeams{peers: map[peer.ID]map[protocol.TeamID]protocol.Hash{}},
		verify:  make(chan struct{}, o.Verifiers),
		bundles: make(chan struct{}, 2),
		inbox:   inbox{wake: make(chan struct{}, 1), pokes: map[protocol.FeedID]poke{}},
		calls:   make(chan func(*loop)),
		closed:  make(chan struct{}),
	}
}

// Run serves peers and catches up until ctx ends. Everything it started has ended when it returns. It is called once.
func (e *Engine) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	e.host.SetStreamHandler(Protocol, func(s network.Stream) { e.handle(ctx, s) })
	notify := &network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if len(n.ConnsToPeer(c.RemotePeer())) == 0 {
			e.inbox.leave(c.RemotePeer())
		}
	}}
	e.host.Network().Notify(notify)
	defer func() {
		e.host.RemoveStreamHandler(Protocol)
		e.host.Network().StopNotify(notify)
		cancel()
		e.guard.close()
		close(e.closed)
		e.wg.Wait()
		e.guard.wait()
	}()
	l := newLoop(ctx, e)
	e.wg.Go(func() { e.blobLoop(ctx, l.blobs) })
	l.run()
}

// PeerReady says that p is connected and was admitted, or that more of it is wanted than before. The engine compares itself
// with p soon. A disconnection it notices by itself.
func (e *Engine) PeerReady(p peer.ID) { e.inbox.arrive(p) }

// Poke says that an entry of the feed came from p whose predecessor is not held. If the hole is still there a moment later,
// the engine fetches it, first from p.
func (e *Engine) Poke(f protocol.FeedID, p peer.ID) {
	e.inbox.poke(f, poke{peer: p, due: time.Now().Add(e.opt.PokeDelay)})
}

// Heard says that p passed on an author's heads, which the caller verified and kept. If the feeds do not reach as far a
// moment later, the engine fetches what is missing, first from p.
func (e *Engine) Heard(h *protocol.Heads, p peer.ID) {
	for _, head := range h.Feeds {
		e.inbox.poke(head.Feed, poke{peer: p, due: time.Now().Add(e.opt.PokeDelay), word: h, max: head.Seq})
	}
}

// PokeBlobs says that a statement was accepted whose body is a blob.
func (e *Engine) PokeBlobs() { e.inbox.set(&e.inbox.blobs) }

// post hands f to the loop, and reports whether it was taken.
func (e *Engine) post(f func(*loop)) bool {
	select {
	case e.calls <- f:
		return true
	case <-e.closed:
		return false
	}
}

// maxPokes bounds the feeds that wait for a look. One that finds no room is healed by the next round.
const maxPokes = 4096

type poke struct {
	peer peer.ID
	due  time.Time
	word *protocol.Heads
	max  uint64
}

// An inbox keeps what callers say until the loop reads it, so that no caller waits.
type inbox struct {
	wake chan struct{}

	mu    sync.Mutex
	moves []move                   // guarded by mu: arrivals and departures, in order
	pokes map[protocol.FeedID]poke // guarded by mu
	blobs bool                     // guarded by mu
}

type move struct {
	peer peer.ID
	left bool
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) arrive(p peer.ID) { b.move(move{p, false}) }
func (b *inbox) leave(p peer.ID)  { b.move(move{p, true}) }

func (b *inbox) move(m move) {
	b.mu.Lock()
	if n := len(b.moves); n == 0 || b.moves[n-1] != m {
		b.moves = append(b.moves, m)
	}
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) poke(f protocol.FeedID, p poke) {
	b.mu.Lock()
	old, ok := b.pokes[f]
	if ok {
		p.due = old.due
		p.max = max(p.max, old.max)
		if p.word == nil {
			p.word = old.word
		}
	}
	if ok || len(b.pokes) < maxPokes {
		b.pokes[f] = p
	}
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) set(flag *bool) {
	b.mu.Lock()
	*flag = true
	b.mu.Unlock()
	b.ring()
}
