package direct

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
const Protocol = "/entente/direct/1"

// ErrRefused is wrapped by an error of Backend.Take that says: the peer, and not this node, is at fault.
var ErrRefused = errors.New("refused")

// A Backend is what the courier asks of the node. All methods are called from several goroutines at once, and none may call
// Close.
type Backend interface {
	// Admits reports whether p may speak this protocol at all: a stream of any other peer is reset, and none is opened to
	// it. It is asked often.
	Admits(p peer.ID) bool
	// Take verifies and keeps what p pushed, in the order in which it came, which is that of the feeds but for urgent records
	// and what was lost. Calls for one peer never overlap, and while one runs little more is read of that peer. The raws are
	// Take's to keep. ctx ends with Close only. An error that wraps ErrRefused makes p an offender; any other says that this
	// node could not do its work, and has p send word of a loss later. Both end the stream.
	Take(ctx context.Context, p peer.ID, raws [][]byte) error
	// Behind says that p could not push all that it has for this node: compare with it by catch-up. It does not block.
	Behind(p peer.ID)
}

// Options tune a courier. The zero value of a field takes its default.
type Options struct {
	Queue      int           // records that wait for one peer; 1024
	QueueBytes int           // bytes that wait for one peer; 4 MiB
	AllBytes   int           // bytes that wait for all peers together, though each may have one record waiting; 32 MiB
	InBytes    int           // bytes that came, or are announced, from all peers together and are not taken yet; 32 MiB
	Patience   time.Duration // how long a peer may take for one frame, either way; 20 seconds
	Settle     time.Duration // between a loss and word of it; 1.5 seconds, for catch-up may announce a list that is a second old
	Idle       time.Duration // after which a stream without anything to send is closed; 10 minutes

	Log     *slog.Logger                // nil: silent
	Offence func(p peer.ID, why string) // p broke the protocol: close its connections. May be called often, and at once
}

func (o Options) withDefaults() Options {
	o.Queue = cmp.Or(o.Queue, 1024)
	o.QueueBytes = cmp.Or(o.QueueBytes, 4<<20)
	o.AllBytes = cmp.Or(o.AllBytes, 32<<20)
	o.InBytes = max(cmp.Or(o.InBytes, 32<<20), maxFrame)
	o.Patience = cmp.Or(o.Patience, 20*time.Second)
	o.Settle = cmp.Or(o.Settle, 1500*time.Millisecond)
	o.Idle = cmp.Or(o.Idle, 10*time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Offence == nil {
		o.Offence = func(peer.ID, string) {}
	}
	return o
}

// A Courier pushes records to peers and takes in what they push. It is safe for concurrent use.
type Courier struct {
	host    host.Host
	backend Backend
	opt     Options
	notify  *network.NotifyBundle
	budget  *semaphore.Weighted // InBytes
	ctx     context.Context     // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex // never held over a wait for the network
	closed  bool
	lines   map[peer.ID]*line  // guarded by mu
	guests  map[peer.ID]*guest // guarded by mu
	waiting int                // guarded by mu: bytes in all queues
}

// New returns a courier that serves the host's peers until Close.
func New(h host.Host, b Backend, o Options) *Courier {
	o = o.withDefaults()
	c := &Courier{host: h, backend: b, opt: o, budget: semaphore.NewWeighted(int64(o.InBytes)),
		lines: map[peer.ID]*line{}, guests: map[peer.ID]*guest{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.notify = &network.NotifyBundle{
		ConnectedF: func(_ network.Network, conn network.Conn) { c.connected(conn.RemotePeer()) },
		DisconnectedF: func(n network.Network, conn network.Conn) {
			if len(n.ConnsToPeer(conn.RemotePeer())) == 0 {
				c.disconnected(conn.RemotePeer())
			}
		},
	}
	h.Network().Notify(c.notify)
	h.SetStreamHandler(Protocol, c.handle)
	return c
}

// Push sends an encoded record to p soon, an urgent one before those that are not. It does not block. Nobody changes raw any
// more. What cannot be sent, because p is not connected or too slow, is dropped, and p is told to catch up as soon as may be.
// For a peer that is not admitted it does nothing.
func (c *Courier) Push(p peer.ID, raw []byte, urgent bool) {
	if len(raw) == 0 || len(raw) > protocol.MaxRecord || !c.backend.Admits(p) {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	l := c.lines[p]
	if l == nil {
		c.makeRoom()
		l = &line{Courier: c, peer: p, wake: make(chan struct{}, 1)}
		c.lines[p] = l
	}
	l.push(raw, urgent, now)
	l.start()
}

// Recheck asks the backend again whether p is admitted. If not, its streams are reset, and what waits for it is dropped.
func (c *Courier) Recheck(p peer.ID) {
	if c.backend.Admits(p) {
		return
	}
	c.mu.Lock()
	l, g := c.lines[p], c.guests[p]
	var cut []func()
	if l != nil {
		l.forget()
		if l.out != nil {
			cut = append(cut, l.out.reset)
		}
		l.ring() // it ends by itself, for it asks too
		if !l.running {
			delete(c.lines, p)
		}
	}
	if g != nil {
		cut = append(cut, g.stops()...)
	}
	c.mu.Unlock()
	for _, f := range cut {
		f()
	}
}

// Close ends everything and waits for it. What waits to be sent is dropped. It returns nil.
func (c *Courier) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.host.RemoveStreamHandler(Protocol)
	c.host.Network().StopNotify(c.notify)
	c.cancel()
	c.wg.Wait()
	return nil
}

// connected has the peer told of what was lost while it was away.
func (c *Courier) connected(p peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lines[p]; l != nil && !c.closed {
		l.met = true
		l.start()
	}
}

func (c *Courier) disconnected(p peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lines[p]; l != nil {
		l.ring()
	}
	if g := c.guests[p]; g != nil {
		if g.active == nil {
			delete(c.guests, p)
		}
		g.gone = true
	}
}

// reachable reports whether anything can be sent to p now.
func (c *Courier) reachable(p peer.ID) bool {
	return c.host.Network().Connectedness(p) == network.Connected && c.backend.Admits(p)
}

// offence names a peer that broke the protocol.
func (c *Courier) offence(p peer.ID, why string) {
	c.opt.Log.Warn("a peer broke the protocol of direct delivery", "peer", p, "why", why)
	c.opt.Offence(p, why)
}
