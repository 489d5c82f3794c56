package node

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/multiformats/go-multiaddr"
)

// transportKey returns the libp2p key of a node. It authenticates connections and nothing else.
func transportKey(seed [32]byte) (crypto.PrivKey, peer.ID, error) {
	k, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		return nil, "", err
	}
	id, err := peer.IDFromPrivateKey(k)
	return k, id, err
}

// newHost makes the libp2p host: QUIC, and TCP with TLS 1.3, both of which agree on keys with X25519MLKEM768. Noise is
// never offered, having no post-quantum key exchange. Strangers are refused at the handshake by the gater.
func newHost(key crypto.PrivKey, listen []string, g *gater) (host.Host, error) {
	limits, err := resourceLimits()
	if err != nil {
		return nil, err
	}
	conns, err := connmgr.NewConnManager(2200, 2400, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(listen...),
		libp2p.NoTransports,
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
		libp2p.ConnectionGater(g),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.Ping(true),
		libp2p.UserAgent("entente"),
	)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return h, nil
}

// resourceLimits raises libp2p's defaults, which throttle a mesh of hundreds of known peers, and keeps bounds on what an
// unknown one can occupy before the handshake tells who it is.
func resourceLimits() (network.ResourceManager, error) {
	l := rcmgr.DefaultLimits
	l.SystemBaseLimit.ConnsInbound, l.SystemBaseLimit.ConnsOutbound, l.SystemBaseLimit.Conns = 4096, 4096, 4096
	l.SystemBaseLimit.StreamsInbound, l.SystemBaseLimit.StreamsOutbound, l.SystemBaseLimit.Streams = 32768, 32768, 65536
	l.SystemBaseLimit.FD = 4096
	l.TransientBaseLimit.ConnsInbound, l.TransientBaseLimit.ConnsOutbound, l.TransientBaseLimit.Conns = 512, 512, 1024
	l.TransientBaseLimit.FD = 1024
	l.PeerBaseLimit.StreamsInbound, l.PeerBaseLimit.StreamsOutbound, l.PeerBaseLimit.Streams = 64, 256, 320
	l.PeerBaseLimit.Conns, l.PeerBaseLimit.ConnsInbound, l.PeerBaseLimit.ConnsOutbound = 8, 8, 8
	libp2p.SetDefaultServiceLimits(&l)
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l.AutoScale()),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 512}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: 512}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{
				{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
				{Prefix: netip.MustParsePrefix("::1/128")},
			},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: rate.Limit{RPS: 10, Burst: 64}}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: rate.Limit{RPS: 10, Burst: 64}}},
				GracePeriod:      time.Minute,
			},
		}))
}

// gater admits connections with nodes of known teams only. It is asked by libp2p from many goroutines.
type gater struct {
	admit func(peer.ID) bool
}

func (g *gater) InterceptPeerDial(p peer.ID) bool                                { return g.admit(p) }
func (g *gater) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool             { return true }
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool                     { return true }
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
func (g *gater) InterceptSecured(d network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return g.admit(p)
}
