package nodetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/protocol"
)

// Hello is the libp2p protocol by which nodes greet each other.
const Hello = "/entente/hello/1"

// A Peer is a bare host with the keys of a team's node, which greets like a node and otherwise does what the story says.
type Peer struct {
	*Author
	Host  host.Host
	Topic *gossip.Topic

	pushes map[*Team]network.Stream // of package direct
	liar   *Liar

	mu    sync.Mutex
	heard [][]byte // guarded by mu
}

// Turns stops the team's node and puts a bare host with its keys in its place.
func (t *Team) Turns() *Peer {
	t.w.T.Helper()
	t.stop()
	p := &Peer{Author: t.Stolen()}
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(t.keys.transport[:]))
	if err != nil {
		t.w.T.Fatal(err)
	}
	if p.Host, err = t.newHost(key, nil); err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	t.peer = p
	p.Host.SetStreamHandler(Hello, func(s network.Stream) {
		_, _ = s.Write(p.hello())
		_ = s.CloseWrite()
		_, _ = io.Copy(io.Discard, s)
		_ = s.Close()
	})
	p.Topic, err = gossip.Join(context.Background(), p.Host, gossip.Config{
		Admit: func(peer.ID) bool { return true },
		Validate: func(_ context.Context, _ peer.ID, data []byte) gossip.Verdict {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.heard = append(p.heard, data)
			return gossip.Ignore
		},
	})
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	return p
}

func (p *Peer) close() {
	if p.liar != nil {
		p.liar.engine.Close()
	}
	p.Topic.Close()
	if err := p.Host.Close(); err != nil {
		p.t.w.T.Errorf("%s: closing: %v", p.t.Name, err)
	}
}

func (p *Peer) hello() []byte {
	return protocol.NewHello(p.t.ID, p.Key.Public().ID(), "mallory", uint64(time.Now().UnixMilli())).Encode()
}

// Connects dials the nodes of the teams, and greets them.
func (p *Peer) Connects(teams ...*Team) {
	p.t.w.T.Helper()
	for _, o := range teams {
		p.t.w.Until(p.t.Name+" reaches "+o.Name, func() bool { return p.greet(o) == nil })
	}
	p.t.w.Wait(3 * time.Second) // until it has a seat in the community topic
}

func (p *Peer) greet(o *Team) error {
	id := o.peerID()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := p.Host.Connect(ctx, peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{p.t.w.Addr(o.place)}})
	if err != nil {
		return err
	}
	s, err := p.Host.NewStream(ctx, id, Hello)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Write(p.hello()); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, s)
	return err
}

// Connected reports whether a connection with the team's node stands.
func (p *Peer) Connected(o *Team) bool {
	return p.Host.Network().Connectedness(o.peerID()) == network.Connected
}

// Opens opens a stream to the team's node.
func (p *Peer) Opens(o *Team, proto libp2p.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(network.WithNoDial(context.Background(), "story"), 5*time.Second)
	defer cancel()
	return p.Host.NewStream(ctx, o.peerID(), proto)
}

// Heard waits until something came over the topic that contains the text, and returns it.
func (p *Peer) Heard(text string) (data []byte) {
	p.t.w.T.Helper()
	p.t.w.Until(p.t.Name+" hears "+text, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, b := range p.heard {
			if bytes.Contains(b, []byte(text)) {
				data = b
			}
		}
		return data != nil
	})
	return data
}

// Publishes sends bytes to everybody on the community topic.
func (p *Peer) Publishes(data []byte) {
	p.t.w.T.Helper()
	if err := p.Topic.Publish(context.Background(), append([]byte(nil), data...), false); err != nil {
		p.t.w.T.Fatalf("%s publishes: %v", p.t.Name, err)
	}
}

// peerID returns the libp2p id of the team's node.
func (t *Team) peerID() peer.ID {
	t.w.T.Helper()
	s, err := t.Node.Status()
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	id, err := peer.Decode(s.Peer)
	if err != nil {
		t.w.T.Fatal(err)
	}
	return id
}
