package world

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
)

// Key returns the libp2p key of the host at a place, which follows from the seed.
func (w *World) Key(i int) crypto.PrivKey {
	var in [16]byte
	binary.BigEndian.PutUint64(in[:8], w.seed)
	binary.BigEndian.PutUint64(in[8:], uint64(i))
	seed := sha256.Sum256(in[:])
	k, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic("world: a key from a seed: " + err.Error())
	}
	return k
}

// Host puts a plain host at a place, with the key of [World.Key], no limits on resources and no services besides ping
// and identify. opts come after the host's own.
func (w *World) Host(i int, opts ...libp2p.Option) host.Host {
	w.t.Helper()
	conns, err := connmgr.NewConnManager(1<<16, 1<<17, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		w.t.Fatalf("a host at place %d: %v", i, err)
	}
	all := append([]libp2p.Option{
		w.Option(i),
		libp2p.Identity(w.Key(i)),
		libp2p.ListenAddrs(w.Addr(i)),
		libp2p.NoTransports,
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.ConnectionManager(conns),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.ForceReachabilityPublic(),
	}, opts...)
	h, err := libp2p.New(all...)
	if err != nil {
		w.t.Fatalf("a host at place %d: %v", i, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.places[i].host = h
	return h
}

// Option puts a host that is made elsewhere at a place: it replaces the UDP socket. Such a host must offer the QUIC
// transport, listen on [World.Addr] and have libp2p.DisableIdentifyAddressDiscovery, without which virtual time stalls. It
// must be closed before the test ends. A place holds one host at a time: after a crash or a close, a new one.
func (w *World) Option(i int) libp2p.Option {
	listen := func(_ string, a *net.UDPAddr) (net.PacketConn, error) {
		if w.index(a) != i {
			return nil, errors.New("a host in a simulated world listens on the address of its place only")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		p := &w.places[i]
		for _, s := range p.sockets { // of a host closed by its owner
			s.Close()
			w.keepStats(p, s)
		}
		s := w.net.NewEndpoint(w.addrs[i], w.link)
		p.sockets = append(p.sockets[:0], s)
		return s, nil
	}
	source := func() (quicreuse.SourceIPSelector, error) { return sourceIP(w.addrs[i].IP), nil }
	manager := func(reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
		m, err := quicreuse.NewConnManager(reset, token, opts...)
		if err != nil {
			return nil, err
		}
		// Closing a host leaves this open, where it was given one.
		w.mu.Lock()
		defer w.mu.Unlock()
		w.places[i].quic = append(w.places[i].quic, m)
		return m, nil
	}
	return libp2p.QUICReuse(manager, quicreuse.OverrideListenUDP(listen), quicreuse.OverrideSourceIPSelector(source))
}

// sourceIP answers which of a host's addresses packets leave from.
type sourceIP net.IP

func (s sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return net.IP(s), nil
}
