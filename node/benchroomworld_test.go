package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/multiformats/go-multiaddr"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/direct"
	"github.com/entente-network/entente/node/nodetest/world"
	"github.com/entente-network/entente/node/roomsync"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store/keyring"
)

// A simulated world needs a test, so that a benchmark has a process of its own run one and write what it measured to a file.
const (
	worldFileEnv  = "ENTENTE_BENCH_WORLD_FILE"
	worldCountEnv = "ENTENTE_BENCH_WORLD_COUNT"
)

// inWorld has a test of this binary run in a process of its own, and reads what it measured.
func inWorld(b *testing.B, test string, count int, v any) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "measured.json")
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), worldFileEnv+"="+file, worldCountEnv+"="+strconv.Itoa(count))
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", test, err, out)
	}
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// asked returns how many members a benchmark asks for, and skips the test if none does.
func asked(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(worldCountEnv))
	if err != nil || n < 1 {
		t.Skip("a part of a benchmark, which runs it in a process of its own")
	}
	return n
}

func report(t *testing.T, v any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(os.Getenv(worldFileEnv), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A meter counts what a host writes to its streams, by protocol.
type meter struct {
	mu   sync.Mutex
	said map[libp2pproto.ID]int // guarded by mu
}

func (m *meter) snapshot() map[libp2pproto.ID]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.said)
}

type meteredHost struct {
	host.Host
	m *meter
}

func (h *meteredHost) NewStream(ctx context.Context, p peer.ID, ids ...libp2pproto.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &meteredStream{s, h.m}, nil
}

func (h *meteredHost) SetStreamHandler(id libp2pproto.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) { f(&meteredStream{s, h.m}) })
}

type meteredStream struct {
	network.Stream
	m *meter
}

func (s *meteredStream) Write(b []byte) (int, error) {
	s.m.mu.Lock()
	s.m.said[s.Protocol()] += len(b)
	s.m.mu.Unlock()
	return s.Stream.Write(b)
}

// A light member speaks package roomsync and hears package direct. It keeps what it is given in memory.
type light struct {
	*member
	room  protocol.Hash
	maker peer.ID
	key   protocol.PublicKey // of the maker's node

	mu      sync.Mutex
	records []roomsync.Record                 // guarded by mu; ascending, replaced and never written to
	epochs  map[protocol.Hash]*protocol.Epoch // guarded by mu
	held    map[protocol.Hash]seal.Identity   // guarded by mu
	closed  []*protocol.Parcel                // guarded by mu; of which it has no identity yet
	read    map[protocol.Hash]time.Time       // guarded by mu; by epoch, when it first opened something
	got     map[protocol.Type]int             // guarded by mu; bytes of what it was given
	fault   error                             // guarded by mu
}

func (l *light) Admits(p peer.ID) bool { return p == l.maker }

func (l *light) Rooms(peer.ID) []roomsync.Room {
	l.mu.Lock()
	defer l.mu.Unlock()
	return []roomsync.Room{{ID: l.room, Digest: roomsync.Digest(l.records)}}
}

func (l *light) Records(peer.ID, protocol.Hash) []roomsync.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records
}

func (l *light) Held(protocol.Hash) (out []protocol.Hash) {
	for _, r := range l.Records("", l.room) {
		out = append(out, r.Sum)
	}
	return out
}

func (l *light) Take(_ context.Context, _ peer.ID, _ protocol.Hash, raws [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, raw := range raws {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
		if err != nil {
			return l.fails(err)
		}
		l.got[env.Type] += len(raw)
		if env.Type == protocol.TypeEpoch {
			e, err := protocol.Decode[protocol.Epoch](env)
			if err == nil {
				err = env.VerifyNode(l.key)
			}
			if err != nil {
				return l.fails(err)
			}
			l.epochs[env.ID()] = e
		}
		l.put(env, raw)
	}
	return nil
}

// fails notes what should not have happened. mu is held.
func (l *light) fails(err error) error {
	l.fault = err
	return fmt.Errorf("%w: %w", roomsync.ErrRefused, err)
}

// put keeps a record. mu is held.
func (l *light) put(env *protocol.Envelope, raw []byte) {
	id := env.ID()
	i, known := slices.BinarySearchFunc(l.records, id, func(r roomsync.Record, id protocol.Hash) int { return bytes.Compare(r.ID[:], id[:]) })
	r := roomsync.Record{ID: id, Sum: roomsync.Sum(raw), Raw: raw}
	l.records = slices.Clone(l.records)
	if known {
		l.records[i] = r
	} else {
		l.records = slices.Insert(l.records, i, r)
	}
}

func (l *light) Wants(peer.ID, protocol.Hash) (out []protocol.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.epochs {
		if _, have := l.held[id]; !have && slices.Contains(e.Nodes, l.member.key.Public().ID()) {
			out = append(out, id)
		}
	}
	return out
}

func (l *light) Grants(context.Context, peer.ID, protocol.Hash, []protocol.Hash) ([][]byte, error) {
	return nil, nil
}

func (l *light) TakeGrants(_ context.Context, _ peer.ID, _ protocol.Hash, raws [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, raw := range raws {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
		if err != nil {
			return l.fails(err)
		}
		l.got[env.Type] += len(raw)
		g, err := protocol.Decode[protocol.Grant](env)
		if err == nil {
			err = env.VerifyNode(l.key)
		}
		if err != nil {
			return l.fails(err)
		}
		e := l.epochs[g.Epoch]
		if e == nil || g.For != l.member.key.Public().ID() {
			return l.fails(fmt.Errorf("a grant of nothing, or for another node"))
		}
		identity, err := seal.OpenIdentity(g.Key, e.Recipient, l.identity)
		if err != nil {
			return l.fails(err)
		}
		l.held[g.Epoch] = identity
	}
	l.opens()
	return nil
}

func (l *light) Compared(peer.ID, protocol.Hash) {}

// opens opens what it can. mu is held.
func (l *light) opens() {
	l.closed = slices.DeleteFunc(l.closed, func(p *protocol.Parcel) bool {
		identity, ok := l.held[p.Epoch]
		if !ok {
			return false
		}
		if _, err := seal.OpenSmall(p.Body, identity); err != nil {
			l.fault = err
		} else if l.read[p.Epoch].IsZero() {
			l.read[p.Epoch] = time.Now()
		}
		return true
	})
}

// An ear is the end of the courier at a light member.
type ear struct{ *light }

func (e ear) Behind(peer.ID) {}

func (e ear) Take(_ context.Context, _ peer.ID, raws [][]byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, raw := range raws {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
		if err != nil {
			return err
		}
		if env.Type != protocol.TypeParcel {
			continue
		}
		p, err := protocol.Decode[protocol.Parcel](env)
		if err == nil {
			err = env.VerifyNode(e.key)
		}
		if err != nil {
			return err
		}
		e.closed = append(e.closed, p)
	}
	e.opens()
	return nil
}

// readAt returns when it first read something of an epoch.
func (l *light) readAt(epoch protocol.Hash) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.read[epoch]
	return at, ok
}

// A roomWorld is one whole node, the maker, and around it light members and a few other whole nodes, all in one room.
type roomWorld struct {
	*world.World
	*hall
	t      *testing.T
	node   *node.Node
	room   protocol.Hash
	lights []*light
	whole  []*node.Node
	meter  *meter // of the maker
}

// newRoomWorld makes one of so many members, as many of them whole nodes as said. All are connected with the maker.
func newRoomWorld(t *testing.T, count, whole int) *roomWorld {
	t.Helper()
	w := &roomWorld{World: world.New(t, 1, count, world.Options{}), t: t, meter: &meter{said: map[libp2pproto.ID]int{}}}
	members := newMembers(t, count-1-whole, func(i int) crypto.PrivKey { return w.Key(i + 1) })
	dir := t.TempDir()
	w.hall = newHall(t, dir, "maker", members, w.Addr(0).String())
	halls := []*hall{w.hall}
	for i := range whole {
		halls = append(halls, newHall(t, dir, fmt.Sprint("whole-", i), members, w.Addr(count-whole+i).String()))
	}
	w.introduce(halls)
	party := members[:len(members):len(members)]
	for _, h := range halls[1:] {
		party = append(party, h.own)
	}
	var ring *keyring.Ring
	w.node, ring = w.opens(w.hall, 0)
	w.room = w.found(t, w.node, "a room", party...)
	if err := w.node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, h := range halls[1:] {
		n, _ := w.opens(h, count-whole+i)
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.whole = append(w.whole, n)
	}
	s, err := w.node.Status()
	if err != nil {
		t.Fatal(err)
	}
	maker, err := peer.Decode(s.Peer)
	if err != nil {
		t.Fatal(err)
	}
	var records []roomsync.Record
	for _, e := range (node.RoomBench{Node: w.node}).Records(w.room) {
		raw := e.Encode()
		records = append(records, roomsync.Record{ID: e.ID(), Sum: roomsync.Sum(raw), Raw: raw})
	}
	var all sync.WaitGroup
	for i, m := range members {
		l := &light{member: m, room: w.room, maker: maker, key: ring.NodeKey().Public(), records: records, epochs: map[protocol.Hash]*protocol.Epoch{},
			held: map[protocol.Hash]seal.Identity{}, read: map[protocol.Hash]time.Time{}, got: map[protocol.Type]int{}}
		w.lights = append(w.lights, l)
		all.Go(func() { w.join(l, i+1) })
	}
	all.Wait()
	return w
}

// introduce lets the teams of homes take in each other's introductions.
func (w *roomWorld) introduce(halls []*hall) {
	w.t.Helper()
	for _, from := range halls {
		intro, err := withNode(from.home, (*node.Node).Introduction)
		for _, to := range halls {
			if to != from && err == nil {
				_, err = withNode(to.home, func(n *node.Node) (node.TeamInfo, error) { return n.AddTeam(intro, "officer-1") })
			}
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// opens opens the node of a home, which will stand at a place, until the test ends.
func (w *roomWorld) opens(h *hall, place int) (*node.Node, *keyring.Ring) {
	w.t.Helper()
	cfg, err := node.LoadConfig(h.home)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.NewHost = func(key crypto.PrivKey, g connmgr.ConnectionGater) (host.Host, error) {
		h, err := libp2p.New(w.Option(place), libp2p.Identity(key), libp2p.ListenAddrs(w.Addr(place)), libp2p.ConnectionGater(g), libp2p.NoTransports,
			libp2p.Transport(libp2pquic.NewTransport), libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableIdentifyAddressDiscovery(),
			libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ForceReachabilityPublic())
		if err != nil || place != 0 {
			return h, err
		}
		return &meteredHost{h, w.meter}, nil
	}
	ring, err := openRing(h.home)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := node.Open(cfg, ring)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := errors.Join(n.Close(), ring.Close()); err != nil {
			w.t.Error(err)
		}
	})
	return n, ring
}

// join puts a light member at a place, and has it meet the node.
func (w *roomWorld) join(l *light, place int) {
	h := w.Host(place)
	e := roomsync.New(h, l, roomsync.Options{})
	w.t.Cleanup(func() { _ = e.Close() })
	d := direct.New(h, ear{l}, direct.Options{})
	w.t.Cleanup(func() { _ = d.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.Connect(ctx, peer.AddrInfo{ID: l.maker, Addrs: []multiaddr.Multiaddr{w.Addr(0)}}); err != nil {
		w.t.Errorf("place %d: %v", place, err)
		return
	}
	p := person{Team: l.team, Node: l.member.key.Public().ID()}
	if err := p.greet(ctx, h, l.maker); err != nil {
		w.t.Errorf("place %d: %v", place, err)
		return
	}
	e.PeerReady(l.maker)
}

// says has the node say something, and returns the epoch to which it was sealed.
func (w *roomWorld) says(text string) protocol.Hash {
	w.t.Helper()
	saysIn(w.t, w.node, w.room, text)
	u, ok := node.RoomBench{Node: w.node}.Usable(w.room)
	if !ok {
		w.t.Fatal("the room has no key")
	}
	return u.ID
}

// allHold waits until all whole nodes can read so many messages, and returns when the last of them could, to 50 ms.
func (w *roomWorld) allHold(messages uint64) time.Time {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if !slices.ContainsFunc(w.whole, func(n *node.Node) bool { return n.LastN() < messages }) {
			return time.Now()
		}
	}
	w.t.Fatalf("not all whole nodes can read %d messages", messages)
	return time.Time{}
}

// allRead waits until these have read something of an epoch, and returns when the first and the last of them had.
func (w *roomWorld) allRead(epoch protocol.Hash, ls []*light) (first, last time.Time) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		n := 0
		first, last = time.Time{}, time.Time{}
		for _, l := range ls {
			at, ok := l.readAt(epoch)
			if !ok {
				continue
			}
			n++
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
		if n == len(ls) {
			return first, last
		}
		if time.Now().After(end) {
			for _, l := range ls {
				if l.mu.Lock(); l.fault != nil {
					w.t.Errorf("a light member: %v", l.fault)
				}
				l.mu.Unlock()
			}
			w.t.Fatalf("%d of %d members can read it", n, len(ls))
		}
	}
}

// removedInWorld is what a removal costs in the simulated world.
type removedInWorld struct {
	Granted, Light     int
	First, Read        time.Duration // from the vote until the first and the last light member can read
	Whole              time.Duration // and the last of the whole nodes
	Room, Message      int           // bytes that the node wrote to streams of rooms and of the courier
	Card, Epoch, Grant int           // bytes of these that members were given
	CPU                time.Duration // of the whole world
}

func removalInWorld(b *testing.B, count int) (r removedInWorld) {
	b.Helper()
	inWorld(b, "TestRoomRemovalInWorld", count, &r)
	return r
}

// TestRoomRemovalInWorld is a part of BenchmarkRoomRemoval.
func TestRoomRemovalInWorld(t *testing.T) {
	count := asked(t)
	world.Test(t, func(t *testing.T) {
		w := newRoomWorld(t, count, benchSize("ENTENTE_BENCH_WHOLE", min(3, count/5), 1))
		time.Sleep(30 * time.Second) // virtual: until all have compared what they have
		w.allRead(w.says("before"), w.lights)
		w.allHold(1)
		out := w.lights[len(w.lights)-1]
		almost, whole := w.removal(t, w.node, w.room, w.members[:min(benchStewards-1, len(w.members))], out.member)
		if err := (node.RoomBench{Node: w.node}).Take(w.room, almost); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second) // until all have that, too
		stay := w.lights[:len(w.lights)-1]
		given := func(k protocol.Type) (n int) {
			for _, l := range w.lights {
				l.mu.Lock()
				n += l.got[k]
				l.mu.Unlock()
			}
			return n
		}
		r := removedInWorld{Granted: len(stay) + len(w.whole), Card: -given(protocol.TypeMemberCard), Epoch: -given(protocol.TypeEpoch), Grant: -given(protocol.TypeGrant)}
		before, cpu, at := w.meter.snapshot(), usedCPU(), time.Now()
		if _, err := w.node.AddToRoom(t.Context(), whole); err != nil {
			t.Fatal(err)
		}
		epoch := w.says("after")
		r.Whole = w.allHold(2).Sub(at) // as a rule not later than the last of all
		first, last := w.allRead(epoch, stay)
		r.First, r.Read, r.CPU = first.Sub(at), last.Sub(at), usedCPU()-cpu
		after := w.meter.snapshot()
		r.Room, r.Message = after[roomsync.Protocol]-before[roomsync.Protocol], after[direct.Protocol]-before[direct.Protocol]
		r.Card += given(protocol.TypeMemberCard)
		r.Epoch += given(protocol.TypeEpoch)
		r.Light = len(stay)
		r.Grant += given(protocol.TypeGrant)
		out.mu.Lock()
		_, reads := out.held[epoch]
		out.mu.Unlock()
		if reads {
			t.Error("the member that was removed has the new key")
		}
		report(t, r)
	})
}
