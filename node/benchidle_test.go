package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/protocol"
)

// idled is what a node without work occupies.
type idled struct {
	AloneKiB, PeakKiB, QuietKiB int // anonymous memory: before the connections, at most, and in the end
	CPU                         float64
	Connected                   int
}

// BenchmarkIdleMemory measures the anonymous memory of a node with 250 connections, half of them QUIC and half TCP, whose
// community says nothing. It must stay below 128 MiB.
func BenchmarkIdleMemory(b *testing.B) {
	count := benchSize("ENTENTE_BENCH_PEERS", 250, 20)
	home, _ := found(b, "idle")
	var intros [][]byte
	var people []person
	for i := range count {
		a := newActor(b, fmt.Sprintf("peer-%d", i))
		raw, err := crypto.MarshalPrivateKey(a.peer)
		if err != nil {
			b.Fatal(err)
		}
		intros = append(intros, a.intro)
		people = append(people, person{a.team, a.key.Public().ID(), raw})
	}
	meet(b, home, intros...)
	for b.Loop() {
		n := play(b, "idle", home)
		list, err := json.Marshal(guests{n.line(), people})
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, "crowd.json"), list, 0o600); err != nil {
			b.Fatal(err)
		}
		others := play(b, "crowd", home)
		others.line()
		n.tell()
		var got idled
		n.answer(&got)
		others.end()
		n.end()
		b.ReportMetric(float64(got.Connected), "peers")
		b.ReportMetric(float64(got.AloneKiB)/1024, "alone-MiB")
		b.ReportMetric(float64(got.PeakKiB)/1024, "peak-MiB")
		b.ReportMetric(float64(got.QuietKiB)/1024, "idle-MiB")
		b.ReportMetric(got.CPU*100, "idle-cpu-%")
	}
	b.ReportMetric(0, "ns/op")
}

// idle runs a node, and once all its teams are connected looks at its memory for ENTENTE_BENCH_QUIET seconds, in the last
// quarter also at its processor time.
func idle(home string, told *told) (any, error) {
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, closing())
	}
	got := idled{AloneKiB: statusKiB("RssAnon")}
	s, err := n.Status()
	if err != nil {
		return nil, err
	}
	fmt.Println(s.Peer)
	told.wait()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	quiet := time.Duration(benchSize("ENTENTE_BENCH_QUIET", 90, 5)) * time.Second
	for end := time.Now().Add(quiet * 3 / 4); time.Now().Before(end); <-tick.C {
		got.PeakKiB = max(got.PeakKiB, statusKiB("RssAnon"))
	}
	cpu, at := cpuSeconds(), time.Now()
	for end := at.Add(quiet / 4); time.Now().Before(end); <-tick.C {
	}
	got.CPU = (cpuSeconds() - cpu) / time.Since(at).Seconds()
	got.QuietKiB = statusKiB("RssAnon")
	got.PeakKiB = max(got.PeakKiB, got.QuietKiB)
	if s, err = n.Status(); err != nil {
		return nil, err
	}
	for _, t := range s.Others {
		if t.Nodes[0].Connected {
			got.Connected++
		}
	}
	return got, closing()
}

// A person is one light peer: it says hello and sits in the community topic.
type person struct {
	Team protocol.TeamID
	Node protocol.KID
	Key  []byte
}

// guests are the people who connect to a node, by its peer id.
type guests struct {
	Of     string
	People []person
}

// crowd connects the people of a home's crowd.json to its node, and holds on until told to end.
func crowd(home string, told *told) (any, error) {
	list, err := os.ReadFile(filepath.Join(home, "crowd.json"))
	if err != nil {
		return nil, err
	}
	var g guests
	if err := json.Unmarshal(list, &g); err != nil {
		return nil, err
	}
	to, err := addrOf(home, g.Of)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i, p := range g.People {
		at := peer.AddrInfo{ID: to.ID, Addrs: []multiaddr.Multiaddr{to.Addrs[i%len(to.Addrs)]}}
		h, err := p.join(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("peer %d: %w", i, err)
		}
		defer h.Close()
	}
	fmt.Println("connected")
	told.wait()
	return nil, nil
}

// join connects with the node, greets it, and joins the topic.
func (p person) join(ctx context.Context, to peer.AddrInfo) (host.Host, error) {
	key, err := crypto.UnmarshalPrivateKey(p.Key)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.NoTransports, libp2p.Transport(libp2pquic.NewTransport),
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.DisableRelay(),
		libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery(), libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return nil, err
	}
	_, err = gossip.Join(ctx, h, gossip.Config{Admit: func(peer.ID) bool { return true },
		Validate: func(context.Context, peer.ID, []byte) gossip.Verdict { return gossip.Accept }})
	if err == nil {
		err = h.Connect(ctx, to)
	}
	if err == nil {
		err = p.greet(ctx, h, to.ID)
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (p person) greet(ctx context.Context, h host.Host, to peer.ID) error {
	s, err := h.NewStream(ctx, to, "/entente/hello/1")
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Write(protocol.NewHello(p.Team, p.Node, "bench", uint64(time.Now().UnixMilli())).Encode()); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	_, err = io.ReadAll(io.LimitReader(s, protocol.MaxHello))
	return err
}

// addrOf returns where the node of a home, which has the peer id, listens.
func addrOf(home, id string) (to peer.AddrInfo, err error) {
	cfg, err := node.LoadConfig(home)
	if err != nil {
		return to, err
	}
	if to.ID, err = peer.Decode(id); err != nil {
		return to, err
	}
	for _, s := range cfg.Listen {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return to, err
		}
		to.Addrs = append(to.Addrs, a)
	}
	return to, nil
}
