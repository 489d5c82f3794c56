package gossip_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/node/nodetest/world"
)

// dialects are all protocols an attacker may offer.
var dialects = []protocol.ID{
	"/floodsub/1.0.0", "/meshsub/1.0.0", "/meshsub/1.1.0", "/meshsub/1.2.0", "/meshsub/1.3.0",
}

const dialect protocol.ID = "/meshsub/1.2.0"

// community is a small world in which the members at the first places know each other. Messages that begin with "bad"
// are rejected by everyone, those that begin with "odd" ignored.
type community struct {
	t *testing.T
	w *world.World

	mu      sync.Mutex
	outside map[peer.ID]bool
	seats   []*member
}

type member struct {
	*gossip.Topic
	host host.Host

	mu    sync.Mutex
	got   []string // accepted, in order
	asked int      // how often Validate was called
}

func newCommunity(t *testing.T, places, members int) *community {
	t.Helper()
	c := &community{t: t, w: world.New(t, 7, places, world.Options{}), outside: make(map[peer.ID]bool)}
	all := make([]int, members)
	for i := range members {
		all[i] = i
		m := &member{host: c.w.Host(i)}
		var err error
		m.Topic, err = gossip.Join(context.Background(), m.host, gossip.Config{Admit: c.admits, Validate: m.validate})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		c.seats = append(c.seats, m)
	}
	c.w.Mesh(all...)
	time.Sleep(5 * time.Second)
	return c
}

func (c *community) admits(p peer.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.outside[p]
}

func (c *community) admit(p peer.ID, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outside[p] = !yes
}

func (m *member) validate(_ context.Context, _ peer.ID, data []byte) gossip.Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	switch {
	case bytes.HasPrefix(data, []byte("bad")):
		return gossip.Reject
	case bytes.HasPrefix(data, []byte("odd")):
		return gossip.Ignore
	}
	m.got = append(m.got, string(data))
	return gossip.Accept
}

func (m *member) has(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.got, text)
}

func (m *member) validated() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

// say publishes and waits until everyone has had time to hear.
func (m *member) say(t *testing.T, text string) {
	t.Helper()
	if err := m.Publish(t.Context(), []byte(text), true); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
}

// spy is an attacker with a network stack of its own: it says what it likes and writes down what it hears.
type spy struct {
	t    *testing.T
	host host.Host
	out  map[peer.ID]network.Stream

	mu    sync.Mutex
	heard []*pb.RPC
}

// spy puts an attacker at a place and connects it to the first member.
func (c *community) spy(i int, speaks ...protocol.ID) *spy {
	c.t.Helper()
	s := &spy{t: c.t, host: c.w.Host(i), out: make(map[peer.ID]network.Stream)}
	for _, p := range speaks {
		s.host.SetStreamHandler(p, s.listen)
	}
	c.w.Connect(i, 0)
	time.Sleep(time.Second)
	return s
}

func (s *spy) listen(in network.Stream) {
	r := &byteReader{Reader: in}
	for {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > 1<<20 {
			in.Reset()
			return
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		rpc := new(pb.RPC)
		if proto.Unmarshal(text, rpc) != nil {
			return
		}
		s.mu.Lock()
		s.heard = append(s.heard, rpc)
		s.mu.Unlock()
	}
}

type byteReader struct {
	io.Reader
	one [1]byte
}

func (r *byteReader) ReadByte() (byte, error) {
	_, err := io.ReadFull(r.Reader, r.one[:])
	return r.one[0], err
}

// write sends raw bytes on the spy's stream to a member, in the given dialect.
func (s *spy) write(to *member, as protocol.ID, raw []byte) error {
	id := to.host.ID()
	if s.out[id] == nil {
		st, err := s.host.NewStream(context.Background(), id, as)
		if err != nil {
			return err
		}
		s.out[id] = st
	}
	_, err := s.out[id].Write(raw)
	if err != nil {
		delete(s.out, id)
	}
	return err
}

func frame(rpc *pb.RPC) []byte {
	text, err := proto.Marshal(rpc)
	if err != nil {
		panic(err)
	}
	return append(binary.AppendUvarint(nil, uint64(len(text))), text...)
}

func (s *spy) rpc(to *member, rpc *pb.RPC) {
	s.t.Helper()
	if err := s.write(to, dialect, frame(rpc)); err != nil {
		s.t.Fatalf("the spy cannot speak: %v", err)
	}
}

func subscribe() *pb.RPC {
	return &pb.RPC{Subscriptions: []*pb.RPC_SubOpts{{Subscribe: proto.Bool(true), Topicid: proto.String(gossip.Name)}}}
}

func publish(texts ...string) *pb.RPC {
	rpc := new(pb.RPC)
	for _, text := range texts {
		rpc.Publish = append(rpc.Publish, &pb.Message{Data: []byte(text), Topic: proto.String(gossip.Name)})
	}
	return rpc
}

func graft() *pb.RPC {
	return &pb.RPC{Control: &pb.ControlMessage{Graft: []*pb.ControlGraft{{TopicID: proto.String(gossip.Name)}}}}
}

func want(text string) *pb.RPC {
	id := sha256.Sum256([]byte(text))
	return &pb.RPC{Control: &pb.ControlMessage{Iwant: []*pb.ControlIWant{{MessageIDs: []string{string(id[:])}}}}}
}

// learned lists what the RPCs the spy heard give away.
func (s *spy) learned() (texts []string, other int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rpc := range s.heard {
		for _, m := range rpc.GetPublish() {
			texts = append(texts, string(m.GetData()))
		}
		other += len(rpc.GetSubscriptions()) + len(rpc.GetControl().GetIhave()) + len(rpc.GetControl().GetGraft())
	}
	return texts, other
}

// A stranger gets past the handshake, say through a hole in the gater. It subscribes, asks to be a mesh neighbour and
// asks for a message whose id it guessed, in every dialect there is. It learns nothing, not even that there is a topic,
// and nobody looks at what it says.
func TestOutsiderHearsNothing(t *testing.T) {
	for _, as := range dialects {
		t.Run(strings.ReplaceAll(string(as[1:]), "/", "-"), func(t *testing.T) {
			world.Test(t, func(t *testing.T) {
				c := newCommunity(t, 4, 3)
				id, err := peer.IDFromPrivateKey(c.w.Key(3))
				if err != nil {
					t.Fatal(err)
				}
				c.admit(id, false)
				s := c.spy(3, dialects...)

				for _, rpc := range []*pb.RPC{subscribe(), graft(), publish("lies")} {
					if err := s.write(c.seats[0], as, frame(rpc)); err != nil {
						if as == "/meshsub/1.2.0" || as == "/meshsub/1.3.0" {
							t.Fatal(err)
						}
						break // not spoken here
					}
				}
				time.Sleep(time.Second)
				for i := range 10 {
					text := fmt.Sprint("message ", i)
					c.seats[i%3].say(t, text)
					s.write(c.seats[0], as, frame(want(text)))
				}
				time.Sleep(5 * time.Second)

				if texts, other := s.learned(); len(texts)+other > 0 {
					t.Errorf("the outsider heard %q and %d announcements", texts, other)
				}
				if c.seats[0].has("lies") {
					t.Error("an outsider's message was looked at")
				}
				for i := range 10 {
					if text := fmt.Sprint("message ", i); !c.seats[(i+1)%3].has(text) {
						t.Errorf("a member has missed %q", text)
					}
				}
				if got := c.seats[0].Peers(); slices.Contains(got, id) || len(got) != 2 {
					t.Errorf("peers %v, want the two other members", got)
				}
			})
		})
	}
}

// The same spy, admitted, hears everything: the test above would notice.
func TestInsiderHears(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 3, 2)
		s := c.spy(2, dialects...)
		s.rpc(c.seats[0], subscribe())
		time.Sleep(time.Second)
		c.seats[0].say(t, "hello")
		if texts, other := s.learned(); !slices.Contains(texts, "hello") || other == 0 {
			t.Errorf("an admitted peer heard %q and %d announcements", texts, other)
		}
	})
}

// A member's node is stolen. Its team revokes it; the others forget it and close its connections. From the first message
// after Forget on it hears nothing, though its software dials again and though nobody has told the connection yet.
func TestRevokedPeerHearsNothing(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 4, 4)
		stolen := c.seats[3]
		c.seats[0].say(t, "before")
		if !stolen.has("before") {
			t.Fatal("a member has missed a message")
		}

		c.admit(stolen.host.ID(), false)
		for _, m := range c.seats[:3] {
			m.Forget(stolen.host.ID())
		}
		c.seats[0].say(t, "while connected")
		for _, m := range c.seats[:3] {
			if err := m.host.Network().ClosePeer(stolen.host.ID()); err != nil {
				t.Error(err)
			}
		}
		c.seats[1].say(t, "while disconnected")
		for i := range 3 {
			c.w.Connect(3, i) // as if there were no gater
		}
		time.Sleep(3 * time.Second)
		c.seats[2].say(t, "after it came back")
		if err := stolen.Publish(t.Context(), []byte("from the thief"), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)

		for _, text := range []string{"while connected", "while disconnected", "after it came back"} {
			if stolen.has(text) {
				t.Errorf("the revoked node heard what was said %s", text)
			}
			if !c.seats[0].has(text) && !c.seats[1].has(text) {
				t.Errorf("nobody heard %q", text)
			}
		}
		for i, m := range c.seats[:3] {
			if m.has("from the thief") {
				t.Errorf("member %d listened to the revoked node", i)
			}
		}
	})
}

// A team is blocked by mistake and let in again. Its node is still connected, and has announced itself long ago.
func TestRememberLetsBackIn(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 2, 2)
		a, b := c.seats[0], c.seats[1]
		c.admit(b.host.ID(), false)
		a.Forget(b.host.ID())
		a.say(t, "blocked")

		c.admit(b.host.ID(), true)
		a.say(t, "still forgotten")
		a.Remember(b.host.ID())
		time.Sleep(time.Second)
		c.w.Connect(0, 1)
		time.Sleep(5 * time.Second)
		a.say(t, "back again")
		b.say(t, "thanks")

		if b.has("blocked") || b.has("still forgotten") {
			t.Error("a forgotten peer heard something")
		}
		if !b.has("back again") || !a.has("thanks") {
			t.Error("a remembered peer is still out")
		}
		before := a.host.Network().ConnsToPeer(b.host.ID())
		a.Remember(b.host.ID())
		time.Sleep(time.Second)
		if after := a.host.Network().ConnsToPeer(b.host.ID()); !slices.Equal(before, after) {
			t.Error("remembering a peer that is in closed its connection")
		}
	})
}

// A peer loses its place and the owner forgets to say Forget: what is published does not reach it even so.
func TestAdmitAloneStopsPublishing(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 3, 3)
		c.admit(c.seats[2].host.ID(), false)
		time.Sleep(2 * time.Second) // the mesh notices at its next beat
		c.seats[0].say(t, "private")
		if c.seats[2].has("private") {
			t.Error("a peer that is no longer admitted heard something")
		}
		if !c.seats[1].has("private") {
			t.Error("a member has missed a message")
		}
	})
}

// A member sends what no honest node would have passed on. It goes no further, and after a few the sender is not listened
// to, until it has behaved for a while.
func TestInvalidMessageCostsItsSender(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 4, 3)
		s := c.spy(3, dialect)
		victim := c.seats[0]
		s.rpc(victim, subscribe())
		s.rpc(victim, publish("bad 0"))
		time.Sleep(5 * time.Second)
		if got := c.seats[1].validated() + c.seats[2].validated(); got != 0 {
			t.Errorf("an invalid message was passed on to %d members", got)
		}
		s.rpc(victim, graft())
		time.Sleep(2 * time.Second)
		if !s.pruned() {
			t.Error("after an invalid message the sender may still join the mesh")
		}
		s.rpc(victim, publish("honest once"))
		for i := range 10 {
			s.rpc(victim, publish(fmt.Sprint("bad ", i+1)))
		}
		time.Sleep(time.Second)
		s.rpc(victim, publish("honest now"))
		time.Sleep(5 * time.Second)
		if !victim.has("honest once") {
			t.Error("one invalid message already silenced its sender")
		}
		if victim.has("honest now") {
			t.Error("eleven invalid messages did not silence their sender")
		}
		time.Sleep(30 * time.Minute)
		s.rpc(victim, publish("honest again"))
		time.Sleep(5 * time.Second)
		if !victim.has("honest again") {
			t.Error("half an hour later the sender is not forgiven")
		}
	})
}

func (s *spy) pruned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.heard, func(rpc *pb.RPC) bool { return len(rpc.GetControl().GetPrune()) > 0 })
}

// A node that lags behind passes on messages whose authors we do not know. That is no offence: it stays a neighbour in
// good standing, however many they are within its allowance.
func TestIgnoredMessagesCostNothing(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 4, 3)
		s := c.spy(3, dialect)
		victim := c.seats[0]
		s.rpc(victim, subscribe())
		for i := range 1000 {
			s.rpc(victim, publish(fmt.Sprint("odd ", i)))
		}
		time.Sleep(5 * time.Second)
		s.rpc(victim, graft())
		s.rpc(victim, publish("known author"))
		time.Sleep(5 * time.Second)
		if s.pruned() {
			t.Error("ignored messages cost the forwarder its place in the mesh")
		}
		if !victim.has("known author") || !c.seats[1].has("known author") {
			t.Error("after ignored messages a good one is not heard")
		}
		if got := c.seats[1].validated(); got != 1 {
			t.Errorf("ignored messages were passed on: %d validations, want 1", got)
		}
		if got := victim.Stats(); got.Ignored != 1000 || got.Rejected != 0 {
			t.Errorf("stats %+v, want 1000 ignored", got)
		}
	})
}

// A member repeats one valid message as often as its line carries, and claims messages of a gigabyte. Memory stays where
// it was, the message is judged once, and the others are heard.
func TestFloodDoesNotGrowMemory(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 3, 2)
		s := c.spy(2, dialect)
		victim := c.seats[0]
		again := strings.Repeat("again ", 200)
		s.rpc(victim, publish(again))
		time.Sleep(time.Second)
		before := heap()
		for range 5000 {
			s.rpc(victim, publish(again))
		}
		time.Sleep(5 * time.Second)
		for range 20 {
			s.write(victim, dialect, binary.AppendUvarint(nil, 1<<30))
			s.write(victim, dialect, make([]byte, 1<<10))
			delete(s.out, victim.host.ID())
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if grown := int64(heap()) - int64(before); grown > 8<<20 {
			t.Errorf("the flood left %d bytes behind", grown)
		}
		if got := victim.validated(); got != 1 {
			t.Errorf("one message was judged %d times", got)
		}
		if got := victim.Stats().Duplicates; got < 4000 {
			t.Errorf("%d duplicates counted, want about 5000", got)
		}
		c.seats[1].say(t, "still there?")
		if !victim.has("still there?") {
			t.Error("after the flood a member is not heard")
		}
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A member writes garbage: noise, half messages, messages without content, other topics, foreign authors. The node goes on.
func TestGarbage(t *testing.T) {
	noise := bytes.Repeat([]byte{0xff, 0x00, 0x7f, 0x80, 0x13}, 100)
	signed := publish("signed")
	signed.Publish[0].Signature = []byte("yes")
	named := publish("named")
	named.Publish[0].From = []byte("someone")
	elsewhere := publish("elsewhere")
	elsewhere.Publish[0].Topic = proto.String("/other")
	manyTopics := new(pb.RPC)
	for i := range 1000 {
		manyTopics.Subscriptions = append(manyTopics.Subscriptions, &pb.RPC_SubOpts{
			Subscribe: proto.Bool(true), Topicid: proto.String(fmt.Sprint("/topic/", i))})
	}
	control := new(pb.RPC)
	control.Control = &pb.ControlMessage{
		Ihave:     []*pb.ControlIHave{{TopicID: proto.String(gossip.Name), MessageIDs: make([]string, 1000)}, nil, {}},
		Iwant:     []*pb.ControlIWant{{MessageIDs: make([]string, 1000)}, nil},
		Graft:     []*pb.ControlGraft{{}, nil},
		Prune:     []*pb.ControlPrune{{TopicID: proto.String(gossip.Name), Peers: []*pb.PeerInfo{{PeerID: []byte("x")}, nil}}, nil},
		Idontwant: []*pb.ControlIDontWant{{MessageIDs: make([]string, 1000)}, nil},
	}
	for name, raw := range map[string][]byte{
		"noise":         noise,
		"framed noise":  append(binary.AppendUvarint(nil, uint64(len(noise))), noise...),
		"endless size":  bytes.Repeat([]byte{0xff}, 64),
		"half":          frame(publish("half a message"))[:12],
		"empty":         frame(publish("")),
		"nothing":       frame(new(pb.RPC)),
		"signed":        frame(signed),
		"named":         frame(named),
		"elsewhere":     frame(elsewhere),
		"many topics":   frame(manyTopics),
		"control":       frame(control),
		"many messages": frame(publish(make([]string, 2000)...)),
		"too long":      frame(publish(strings.Repeat("x", 2*gossip.MaxMessage))),
	} {
		t.Run(name, func(t *testing.T) {
			world.Test(t, func(t *testing.T) {
				c := newCommunity(t, 3, 2)
				s := c.spy(2, dialect)
				s.write(c.seats[0], dialect, raw) // may be cut off half-way
				time.Sleep(5 * time.Second)
				c.seats[1].say(t, "still there?")
				c.seats[0].say(t, "yes")
				if !c.seats[0].has("still there?") || !c.seats[1].has("yes") {
					t.Error("garbage silenced a member")
				}
				for _, text := range c.seats[0].got {
					if text != "" && text != "still there?" {
						t.Errorf("garbage was accepted: %.20q", text)
					}
				}
			})
		})
	}
}

func TestPublish(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 2, 2)
		a, b := c.seats[0], c.seats[1]
		greatest := strings.Repeat("x", gossip.MaxMessage)
		for _, text := range []string{"urgent", greatest} {
			a.say(t, text)
			if !b.has(text) {
				t.Errorf("a message of %d bytes was lost", len(text))
			}
		}
		if err := a.Publish(t.Context(), []byte("later"), false); err != nil {
			t.Fatal(err)
		}
		a.say(t, "urgent") // again
		if !b.has("later") {
			t.Error("a message that is not urgent was lost")
		}
		if got := b.validated(); got != 3 {
			t.Errorf("%d validations, want 3: the same bytes are one message", got)
		}
		if got := a.validated(); got != 0 {
			t.Errorf("Validate was asked %d times about this node's own messages", got)
		}
		for _, text := range []string{"", greatest + "x"} {
			if err := a.Publish(t.Context(), []byte(text), true); !errors.Is(err, gossip.ErrSize) {
				t.Errorf("publishing %d bytes: %v, want ErrSize", len(text), err)
			}
		}
	})
}

// Many goroutines publish while the topic closes: each gets an answer, none waits for ever.
func TestCloseWhilePublishing(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		c := newCommunity(t, 2, 2)
		a := c.seats[0]
		var all, begun sync.WaitGroup
		for i := range 50 {
			begun.Add(1)
			all.Go(func() {
				for k := 0; ; k++ {
					err := a.Publish(context.Background(), fmt.Appendf(nil, "%d %d", i, k), true)
					if k == 0 {
						begun.Done()
					}
					if errors.Is(err, gossip.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		begun.Wait()
		a.Close()
		a.Close()
		all.Wait()
		if got := a.Peers(); len(got) != 0 {
			t.Errorf("peers of a closed topic: %v", got)
		}
		a.Forget(c.seats[1].host.ID())
		if slices.ContainsFunc(a.host.Mux().Protocols(), func(p protocol.ID) bool { return strings.HasPrefix(string(p), "/meshsub") }) {
			t.Error("a closed topic still offers its protocols")
		}
	})
}

// The owner closes the topic in order to close its store: no message may be on its way in after that.
func TestCloseWaitsForValidate(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, 2, world.Options{})
		var running, ended atomic.Int32
		join := func(i int, validate func(context.Context, peer.ID, []byte) gossip.Verdict) *gossip.Topic {
			topic, err := gossip.Join(t.Context(), w.Host(i), gossip.Config{Admit: func(peer.ID) bool { return true }, Validate: validate})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(topic.Close)
			return topic
		}
		a := join(0, func(context.Context, peer.ID, []byte) gossip.Verdict { return gossip.Accept })
		b := join(1, func(ctx context.Context, _ peer.ID, _ []byte) gossip.Verdict {
			running.Add(1)
			<-ctx.Done()
			time.Sleep(time.Second) // a slow disk
			ended.Add(1)
			return gossip.Accept
		})
		w.Mesh(0, 1)
		time.Sleep(5 * time.Second)
		for i := range 30 {
			if err := a.Publish(t.Context(), []byte{1, byte(i)}, true); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		b.Close()
		begun := running.Load()
		if got := ended.Load(); begun == 0 || got != begun {
			t.Errorf("Close returned while %d of %d calls of Validate were running", begun-got, begun)
		}
		time.Sleep(5 * time.Second)
		if got := running.Load(); got != begun {
			t.Errorf("%d calls of Validate after Close", got-begun)
		}
	})
}

// The context of Join ends: the topic closes by itself.
func TestContextEndsTopic(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, 1, world.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		topic, err := gossip.Join(ctx, w.Host(0), gossip.Config{
			Admit:    func(peer.ID) bool { return true },
			Validate: func(context.Context, peer.ID, []byte) gossip.Verdict { return gossip.Accept },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := topic.Publish(t.Context(), []byte("to nobody"), true); err != nil {
			t.Errorf("publishing where there is nobody: %v", err)
		}
		cancel()
		time.Sleep(time.Second)
		if err := topic.Publish(t.Context(), []byte("too late"), true); !errors.Is(err, gossip.ErrClosed) {
			t.Errorf("after the context: %v, want ErrClosed", err)
		}
	})
}

func TestJoinNeedsItsFunctions(t *testing.T) {
	if _, err := gossip.Join(t.Context(), nil, gossip.Config{}); err == nil {
		t.Error("joined without Admit and Validate")
	}
}
