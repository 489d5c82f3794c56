package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

const (
	helloProtocol = "/entente/hello/1"
	helloTimeout  = 10 * time.Second
	dialTimeout   = 20 * time.Second
	minBackoff    = 2 * time.Second
	maxBackoff    = 5 * time.Minute
	dialsAtOnce   = 8
)

// peerTable holds what is known of each admitted peer's connection. It decides nothing.
type peerTable struct {
	mu   sync.Mutex
	m    map[peer.ID]*peerInfo // guarded by mu
	wake chan struct{}         // a peer wants to be dialled now
}

type peerInfo struct {
	greeted  bool // hellos were exchanged on the present connection
	dialing  bool
	backoff  time.Duration
	nextDial time.Time
	lastSeen time.Time
	lastErr  string        // why the last dial or greeting failed, for doctor
	skew     time.Duration // the peer's clock minus ours, at the greeting
	software string
}

func (t *peerTable) get(p peer.ID) *peerInfo {
	if t.m == nil {
		t.m = map[peer.ID]*peerInfo{}
	}
	i := t.m[p]
	if i == nil {
		i = &peerInfo{}
		t.m[p] = i
	}
	return i
}

// update changes the entry of a peer under the lock.
func (t *peerTable) update(p peer.ID, f func(*peerInfo)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.get(p))
}

// snapshot returns a copy of the entry of a peer.
func (t *peerTable) snapshot(p peer.ID) peerInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.m[p]; i != nil {
		return *i
	}
	return peerInfo{}
}

// dialNow forgets the peer's back-off.
func (t *peerTable) dialNow(p peer.ID) {
	t.update(p, func(i *peerInfo) { i.backoff, i.nextDial = 0, time.Time{} })
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// dialLoop keeps connections with all nodes of all teams that may connect, each with its own back-off.
func (n *Node) dialLoop(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	sem := make(chan struct{}, dialsAtOnce)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.peers.wake:
		}
		now := n.now()
		for _, p := range n.wanted() {
			if n.host.Network().Connectedness(p) == network.Connected {
				continue
			}
			due := false
			n.peers.update(p, func(i *peerInfo) {
				if due = !i.dialing && (!now.Before(i.nextDial) || i.nextDial.Sub(now) > 2*maxBackoff); due { // or the clock was set back
					i.dialing = true
				}
			})
			if !due {
				continue
			}
			select {
			case sem <- struct{}{}:
			case <-ctx.Done():
				return
			}
			n.spawn(func() {
				defer func() { <-sem }()
				n.dial(ctx, p)
			})
		}
	}
}

// wanted returns the admitted peers in a stable order.
func (n *Node) wanted() []peer.ID {
	n.mu.RLock()
	defer n.mu.RUnlock()
	ids := make([]peer.ID, 0, len(n.admitted))
	for p := range n.admitted {
		ids = append(ids, p)
	}
	slices.Sort(ids)
	return ids
}

func (n *Node) dial(ctx context.Context, p peer.ID) {
	addrs := n.addrsOf(p)
	err := errors.New("no address of it is known: it has to connect to us, or send a new introduction")
	if len(addrs) > 0 {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		n.host.Peerstore().AddAddrs(p, addrs, peerstore.TempAddrTTL)
		err = n.host.Connect(ctx, peer.AddrInfo{ID: p, Addrs: addrs})
		cancel()
	}
	now := n.now()
	n.peers.update(p, func(i *peerInfo) {
		i.dialing = false
		if err == nil {
			i.nextDial = now.Add(minBackoff) // refused by the other side: the connection drops right away
			return
		}
		i.lastErr = err.Error()
		i.backoff = min(max(2*i.backoff, minBackoff), maxBackoff)
		i.nextDial = now.Add(i.backoff + rand.N(i.backoff/2))
	})
}

// addrsOf returns where a peer can be dialled, by the signed address records of every node that is listed with its peer id:
// a team that lists another one's must not keep others from dialling it. Who answers proves its id in the handshake.
func (n *Node) addrsOf(p peer.ID) []multiaddr.Multiaddr {
	n.mu.RLock()
	infos := n.book.NodesByPeer([]byte(p))
	states := make([]trust.State, len(infos))
	for i, info := range infos {
		states[i] = n.states[info.Team]
	}
	as := n.admitted[p].team // also of who is known by a room alone
	n.mu.RUnlock()
	var out, old []multiaddr.Multiaddr
	for i, info := range infos {
		if info.Team != n.team && info.Team != as && !trust.MayConnect(states[i]) {
			continue
		}
		for _, s := range info.Addrs {
			a, err := multiaddr.NewMultiaddr(s)
			switch {
			case err != nil:
			case n.now().After(info.AddrExpires):
				old = append(old, a)
			default:
				out = append(out, a)
			}
		}
	}
	if len(out) == 0 {
		return old // two that were apart for longer than addresses last find each other where they were
	}
	return out
}

// advertised returns the addresses that this node tells others: those configured, else those it listens on; loopback only
// if there is nothing else.
func (n *Node) advertised() []string {
	if len(n.cfg.Advertise) > 0 {
		return n.cfg.Advertise[:min(len(n.cfg.Advertise), protocol.MaxAddrs)]
	}
	var outside, loop []string
	for _, a := range n.host.Addrs() {
		if manet.IsIPLoopback(a) {
			loop = append(loop, a.String())
		} else {
			outside = append(outside, a.String())
		}
	}
	if len(outside) == 0 {
		outside = loop
	}
	slices.Sort(outside)
	return outside[:min(len(outside), protocol.MaxAddrs)]
}

// addressSeq returns the number of this node's next address record: greater than the last one's, also after a clock that was
// ahead was set right.
func (n *Node) addressSeq(now time.Time) uint64 {
	seq := uint64(max(now.UnixMilli(), 1))
	recs, err := n.st.TeamRecords(n.team, nil)
	if err != nil {
		return seq
	}
	for _, r := range recs {
		e, err := protocol.DecodeEnvelope(r, protocol.MaxRecord)
		if err != nil || e.Type != protocol.TypeAddress {
			continue
		}
		if a, err := protocol.Decode[protocol.Address](e); err == nil && a.Node == n.kid {
			seq = max(seq, a.Seq+1)
		}
	}
	return seq
}

// connectedPeer reports whether the node with these peer id bytes is connected and has greeted.
func (n *Node) connectedPeer(id []byte) bool {
	return n.peers.snapshot(peer.ID(id)).greeted
}

// knowsOthers reports whether there is any node to connect to.
func (n *Node) knowsOthers() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.admitted) > 0
}

// notifiee greets on every new connection that this node opened, and notes when the last one of a peer is gone.
func (n *Node) notifiee(ctx context.Context) network.Notifiee {
	return &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			if c.Stat().Direction == network.DirOutbound {
				n.spawn(func() { n.greet(ctx, c.RemotePeer()) })
			}
		},
		DisconnectedF: func(net network.Network, c network.Conn) {
			p := c.RemotePeer()
			if net.Connectedness(p) == network.Connected {
				n.spawn(func() { n.seat(ctx, p) })
				return
			}
			n.peers.update(p, func(i *peerInfo) {
				if i.greeted {
					i.lastErr = "the connection was lost"
				} else if i.lastErr == "" {
					i.lastErr = "it ended the connection at once: it may not have added this team, or not know this node"
				}
				i.greeted = false
				i.backoff = min(max(2*i.backoff, minBackoff), maxBackoff)
				i.nextDial = n.now().Add(i.backoff/2 + rand.N(i.backoff/2))
			})
		},
	}
}

// seatDelay is how long the topic gets to mend itself after one of several connections with a peer ended.
const seatDelay = 5 * time.Second

// seat sees to it that a peer that is still connected has a seat in the topic. When the connection ends that carried the topic's
// stream, as after a machine lost power and came back under another address, the router forgets what the peer announced, and the
// peer, for whom nothing ended, does not announce it again: only a new connection brings it back.
func (n *Node) seat(ctx context.Context, p peer.ID) {
	t := time.NewTimer(seatDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	if n.inCommunity(p) {
		n.topic.Remember(p)
	}
}

// greet says hello and hears it. Only after it a peer counts as connected: libp2p reports a connection before the other
// side's gater has judged it.
func (n *Node) greet(ctx context.Context, p peer.ID) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	s, err := n.host.NewStream(ctx, p, helloProtocol)
	if err != nil {
		_ = n.host.Network().ClosePeer(p) // gone, or not ready to be greeted; it is dialled again
		return
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(helloTimeout))
	if _, err = s.Write(n.hello()); err == nil {
		if err = s.CloseWrite(); err == nil {
			err = n.hear(s, p)
		}
	}
	if err != nil {
		_ = s.Reset()
		n.dismiss(p, err)
	}
}

// answer is the other end of greet.
func (n *Node) answer(s network.Stream) {
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(helloTimeout))
	p := s.Conn().RemotePeer()
	if _, err := s.Write(n.hello()); err != nil {
		_ = s.Reset()
		return
	}
	_ = s.CloseWrite()
	if err := n.hear(s, p); err != nil {
		_ = s.Reset()
		n.dismiss(p, err)
	}
}

func (n *Node) hello() []byte {
	return protocol.NewHello(n.team, n.kid, "entente", uint64(n.now().UnixMilli())).Encode()
}

func (n *Node) hear(s network.Stream, p peer.ID) error {
	b, err := io.ReadAll(io.LimitReader(s, 1025))
	if err != nil {
		return fmt.Errorf("no greeting: %w", err)
	}
	h, err := protocol.DecodeHello(b)
	if err != nil {
		return err
	}
	if _, err := h.Negotiate(); err != nil {
		return err
	}
	now := n.now()
	n.peers.update(p, func(i *peerInfo) {
		i.greeted, i.backoff, i.lastErr, i.lastSeen = true, 0, "", now
		i.software = h.Software
		i.skew = time.UnixMilli(int64(h.Time)).Sub(now)
	})
	n.engine.PeerReady(p)
	n.circle.PeerReady(p)
	return nil
}

// dismiss ends the connection with a peer that broke the rules of an exchange.
func (n *Node) dismiss(p peer.ID, why error) {
	n.log.Warn("ending a connection", "peer", p, "why", why)
	n.peers.update(p, func(i *peerInfo) {
		i.greeted, i.lastErr = false, why.Error()
		i.backoff = maxBackoff
		i.nextDial = n.now().Add(maxBackoff)
	})
	n.spawn(func() { _ = n.host.Network().ClosePeer(p) })
}
