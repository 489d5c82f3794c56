package catchup

import (
	"context"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// Protocol is the libp2p protocol id.
const Protocol = "/entente/catchup/1"

// Options tune an engine. The zero value of a field takes its default.
type Options struct {
	Interval  time.Duration // between rounds; 10 minutes
	PokeDelay time.Duration // how long a gap may wait for gossip to fill it; 2 seconds
	Window    int           // answers to range requests that are on the way or being verified; 6 + 2 for each verifier
	Verifiers int           // concurrent calls of Ingest; GOMAXPROCS
	Blobs     int           // blobs fetched at a time; 2

	PeerStreams int           // streams that a peer may have open at this node; 8
	Streams     int           // streams that all peers together may have open; 64
	Patience    time.Duration // how long a peer may take for one frame, either way; 20 seconds

	Log      *slog.Logger                // nil: silent
	Progress func(done, total uint64)    // entries taken in since catching up began, and those known to be wanted; called in turn
	Offence  func(p peer.ID, why string) // p broke the protocol; the caller should close its connections. May be called often
}

// An Engine catches up with peers and serves those that catch up. It is safe for concurrent use.
type Engine struct {
	host    host.Host
	backend Backend
	opt     Options
}

// New returns an engine. It does nothing before Run.
func New(h host.Host, b Backend, o Options) *Engine {
	return &Engine{host: h, backend: b, opt: o}
}

// Run serves peers and catches up until ctx ends. Everything it started has ended when it returns. It is called once.
func (e *Engine) Run(ctx context.Context) {}

// PeerReady says that p is connected and was admitted. The engine compares itself with p soon. A disconnection it notices
// by itself.
func (e *Engine) PeerReady(p peer.ID) {}

// Poke says that an entry of the feed came from p whose predecessor is not held. If the hole is still there a moment later,
// the engine fetches it, first from p.
func (e *Engine) Poke(f protocol.FeedID, p peer.ID) {}

// PokeBlobs says that a statement was accepted whose body is a blob.
func (e *Engine) PokeBlobs() {}

// Round compares this node with a few peers at once, without waiting for the interval.
func (e *Engine) Round() {}
