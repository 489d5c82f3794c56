package direct

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Protocol is the libp2p protocol id.
const Protocol = "/entente/direct/1"

// ErrRefused is wrapped by an error of Backend.Take that says: the peer, and not this node, is at fault.
var ErrRefused = errors.New("refused")

// A Backend is what the courier asks of the node. All methods are called from several goroutines at once.
type Backend interface {
	// Admits reports whether p may speak this protocol at all. A stream of any other peer is reset.
	Admits(p peer.ID) bool
	// Take verifies and keeps what p pushed, in the order in which it came. Calls for one peer never overlap, and while it
	// runs nothing more is read of that peer than a small buffer takes. The raws are its own. An error that wraps ErrRefused
	// makes p an offender; any other says that this node could not do its work. Both end the stream.
	Take(ctx context.Context, p peer.ID, raws [][]byte) error
	// Behind says that p could not push all it has for this node: compare with it by catch-up. It does not block.
	Behind(p peer.ID)
}

// Options tune a courier. The zero value of a field takes its default.
type Options struct {
	Queue      int           // records that wait for one peer; 1024
	QueueBytes int           // bytes that wait for one peer; 4 MiB
	AllBytes   int           // bytes that wait for all peers together; 32 MiB
	InBytes    int           // bytes that came in from all peers together and that Take has not taken; 32 MiB
	Patience   time.Duration // how long a peer may take for one frame, either way; 20 seconds
	Settle     time.Duration // between a loss and the word of it, longer than catch-up announces an old list; 1.5 seconds
	Idle       time.Duration // after which a stream without anything to send is closed; 10 minutes

	Log     *slog.Logger                // nil: silent
	Offence func(p peer.ID, why string) // p broke the protocol: close its connections. May be called often, and at once
}

// A Courier pushes records to peers and takes in what they push. It is safe for concurrent use.
type Courier struct {
	host    host.Host
	backend Backend
	opt     Options
}

// New returns a courier that serves peers until Close.
func New(h host.Host, b Backend, o Options) *Courier { return &Courier{host: h, backend: b, opt: o} }

// Push sends an encoded record to p soon, an urgent one before those that are not. It does not block. The caller does not
// change raw any more. If p is not connected, or too slow, the record is dropped, and p told to catch up.
func (c *Courier) Push(p peer.ID, raw []byte, urgent bool) {}

// Recheck asks the backend again whether p is admitted. If not, its streams are reset, and what waits for it is dropped.
func (c *Courier) Recheck(p peer.ID) {}

// Close ends everything and waits for it. What waits to be sent is dropped.
func (c *Courier) Close() error { return nil }
