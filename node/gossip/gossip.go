// Package gossip carries the community topic: what a node publishes here reaches every team of its community within
// about one trip of light and routing, and members pass on what they have verified.
//
// It is the only importer of go-libp2p-pubsub. It knows no team, key or record: [Config.Admit] says which peers belong to
// the community now, and [Config.Validate] judges each message. A message is handed over inside Validate and nowhere
// else, before it is relayed, so whatever a node passes on it has verified and kept. There is no subscription to drain.
//
// # Spread
//
// A node is connected to every team of its community and sends what it publishes to all of them at once, the farthest
// first, so that the time to send the copies hides behind the long lines. A sparse mesh (three neighbours) carries second
// copies, which fill in what a lossy line or a vanished node left out; announcements of message ids repair the rest.
// Flooding is more than speed: communities differ from team to team, and a neighbour who does not know the author does not
// pass a message on, so the author reaches its own community itself. BenchmarkWorld measures all this.
//
// Gossip is the fast path only. Nothing here is a promise of delivery: queues drop when full (see [Config.Drops]), a peer
// that was away has missed what was said. node/catchup heals that.
//
// # Who hears what
//
// To a peer that is not admitted nothing is sent: no message, no message id, not even the name of the topic, whatever
// protocol or subscription it offers; and nothing of what it sends is looked at. Admit is asked anew for every message
// and every RPC, but a peer announces its interest once per connection. Therefore:
//   - when a peer loses its place (revoked, blocked), call [Topic.Forget] and close its connection;
//   - when it gains one, call [Topic.Remember] after Admit says yes.
//
// Membership of the topic is no secrecy: any member may tell others. Only what may go to the whole community belongs here.
//
// # Misbehaviour
//
// Reject costs the peer that forwarded the message (not its author): it leaves the mesh after one, is not listened to
// after eight within ten minutes. Say Reject only for what every honest forwarder would have noticed itself, such as a
// bad signature. Ignore costs nothing: it is the answer to unknown authors, old messages, versions from the future, a
// full disk. A node that answered Reject there would cut itself off from everyone who knows more than it does.
// Ignored messages and bytes are only rationed per peer, so that nobody can fill the memory with them.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Name is the topic on the wire. The number changes with a wire form that old nodes could not read.
const Name = "/entente/community/1"

// MaxMessage is the greatest length of a message in bytes. Longer things travel over node/catchup.
const MaxMessage = 256 << 10

// Errors of [Topic.Publish].
var (
	ErrClosed = errors.New("the community topic is closed")
	ErrSize   = errors.New("message has no acceptable size for the community topic")
)

// Verdict is the judgement of a message that came from a peer.
type Verdict uint8

// Verdicts. The zero value is Ignore.
const (
	Ignore Verdict = iota // not passed on, no one's fault
	Accept                // taken over by the callee; passed on
	Reject                // not passed on; the forwarder pays
)

// Config is what a topic asks of its owner. Admit and Validate are required.
type Config struct {
	// Admit says whether this peer belongs to a team of the community now. It is called very often and from inside the
	// router: it must be quick, must not block and must not call the Topic's waiting methods.
	Admit func(peer.ID) bool

	// Validate judges a message that peer from forwarded, and on Accept has taken it over: kept it or queued it. It is
	// called once per message and ten minutes, by several goroutines at a time and in no particular order, never for what
	// this node published. It may block for a disk write; while all callers wait, further messages queue and then drop.
	// data must not be changed and may be kept. ctx ends with Close. It may call the Topic, but not Close.
	Validate func(ctx context.Context, from peer.ID, data []byte) Verdict

	// Drops, if set, is told of every copy of a message that was lost here for want of room: "outbound queue full",
	// "inbound queue full" or "peer over its allowance". It is called from inside the router: it must be quick and must not
	// call the Topic's waiting methods.
	Drops func(why string)
}

// Topic is a node's seat in the community topic. Its methods may be called from any goroutine. Publish, Peers and Close
// wait for the router, which may be inside Admit or Drops: call them neither from there nor under a lock that these take.
type Topic struct {
	host   host.Host
	gate   *gate
	count  *counters
	ps     *pubsub.PubSub
	topic  *pubsub.Topic
	relay  pubsub.RelayCancelFunc
	cancel context.CancelFunc
	leave  func() bool // ends the watch on the context of Join
	own    sync.WaitGroup
	fresh  chan struct{} // a peer has come whose distance is unknown

	errands errands

	// publishing holds one token. Who has it may hand a batch to the router, which blocks for ever once the router has
	// ended; Close takes the token for good before it ends the router.
	publishing chan struct{}
	judging    chan struct{} // holds one token per running Validate; Close fills it for good
	closed     chan struct{}
	closing    sync.Once
}

// Join takes the node's seat in the community topic and relays for it until Close or the end of ctx. One host can join
// once. Close the topic before the host.
func Join(ctx context.Context, h host.Host, c Config) (*Topic, error) {
	if c.Admit == nil || c.Validate == nil {
		return nil, errors.New("joining the community topic: Admit and Validate must be set")
	}
	// The router must outlive every Publish; Close ends it.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &Topic{
		host:       h,
		cancel:     cancel,
		fresh:      make(chan struct{}, 1),
		publishing: make(chan struct{}, 1),
		judging:    make(chan struct{}, workers()),
		closed:     make(chan struct{}),
		errands:    errands{some: make(chan struct{}, 1)},
	}
	t.count = &counters{drops: c.Drops, fresh: t.fresh}
	t.gate = newGate(c.Admit, t.count)
	if err := t.start(own, c.Validate); err != nil {
		t.end()
		return nil, fmt.Errorf("joining the community topic: %w", err)
	}
	t.own.Go(func() { t.measure(own) })
	t.own.Go(func() { t.errands.run(own) })
	t.leave = context.AfterFunc(ctx, t.Close)
	t.publishing <- struct{}{} // from here on Close can proceed
	return t, nil
}

func (t *Topic) start(ctx context.Context, validate func(context.Context, peer.ID, []byte) Verdict) error {
	var err error
	if t.ps, err = pubsub.NewGossipSub(ctx, t.host, options(t.gate, t.count)...); err != nil {
		return err
	}
	self := t.host.ID()
	judge := func(ctx context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if from == self {
			return pubsub.ValidationAccept // Publish passes here too
		}
		select {
		case t.judging <- struct{}{}:
			defer func() { <-t.judging }()
		case <-t.closed:
			return pubsub.ValidationIgnore
		}
		switch validate(ctx, from, m.GetData()) {
		case Accept:
			t.count.accepted.Add(1)
			return pubsub.ValidationAccept
		case Reject:
			t.count.rejected.Add(1)
			return pubsub.ValidationReject
		default:
			t.count.ignored.Add(1)
			t.gate.ignored(from, time.Now())
			return pubsub.ValidationIgnore
		}
	}
	if err = t.ps.RegisterTopicValidator(Name, judge, pubsub.WithValidatorInline(true)); err != nil {
		return err
	}
	if t.topic, err = t.ps.Join(Name); err != nil {
		return err
	}
	t.relay, err = t.topic.Relay()
	return err
}

// Publish sends data to every peer of the community. Urgent messages go to the farthest peers first; the order of the
// others is random. It returns when the copies are queued, also where there is nobody to send to. data belongs to the
// topic afterwards. Publishing the same bytes again within ten minutes does nothing.
func (t *Topic) Publish(ctx context.Context, data []byte, urgent bool) error {
	if len(data) == 0 || len(data) > MaxMessage {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrSize, len(data), MaxMessage)
	}
	select {
	case <-t.publishing:
	case <-t.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { t.publishing <- struct{}{} }()

	var batch pubsub.MessageBatch
	if err := t.topic.AddToBatch(ctx, &batch, data); err != nil {
		return fmt.Errorf("publishing to the community: %w", err)
	}
	order := &order{admit: t.gate.admits}
	if urgent {
		order.distance = t.host.Peerstore().LatencyEWMA
	}
	return t.ps.PublishBatch(&batch, func(o *pubsub.BatchPublishOptions) error {
		o.Strategy = order
		return nil
	})
}

// Forget takes a peer out of the topic at once: nothing published is queued for it and nothing it sends is looked at,
// whatever Admit says, until Remember. It does not wait, so it may be called under the caller's locks; the router takes the
// peer out of the mesh within moments. Bytes already handed to its connection may still arrive: close the connection as
// well.
func (t *Topic) Forget(p peer.ID) {
	t.gate.forget(p)
	t.errands.add(func() { t.ps.BlacklistPeer(p) })
}

// Remember lets a peer in that Admit says yes to, after Forget or because its team has joined the community. If the peer
// is connected but has no seat, the connection is closed soon: peers announce their interest when they connect. It does
// not wait.
func (t *Topic) Remember(p peer.ID) {
	t.gate.remember(p)
	t.errands.add(func() {
		if t.host.Network().Connectedness(p) == network.NotConnected || slices.Contains(t.Peers(), p) {
			return
		}
		// An error means that the connection has gone by itself.
		_ = t.host.Network().ClosePeer(p)
	})
}

// Peers returns the admitted peers that have announced themselves, in no order.
func (t *Topic) Peers() []peer.ID {
	all := t.topic.ListPeers()
	in := all[:0]
	for _, p := range all {
		if t.gate.admits(p) {
			in = append(in, p)
		}
	}
	return in
}

// Stats returns what the topic has done since Join.
func (t *Topic) Stats() Stats { return t.count.stats() }

// Close leaves the topic. When it returns, no Validate runs and none will. It is safe to call more than once.
func (t *Topic) Close() {
	t.closing.Do(func() {
		<-t.publishing // never given back
		close(t.closed)
		t.leave()
		t.relay()
		t.end()
		for range cap(t.judging) {
			t.judging <- struct{}{}
		}
		t.own.Wait()
	})
}

func (t *Topic) end() {
	t.cancel()
	for _, id := range protocols {
		t.host.RemoveStreamHandler(id)
	}
}
