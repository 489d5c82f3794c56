package gossip_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/node/nodetest/world"
)

// The measured world: messages of 1 KB from random nodes, ten a second.
const (
	messageBytes = 1 << 10
	perSecond    = 10
	settle       = 20 * time.Second // for meshes to form and distances to be known
	idleWindow   = 15 * time.Second // one round of keep-alives
	healWindow   = 10 * time.Second // after the last message
)

// Environment of a measurement, set by BenchmarkWorld for the process it starts.
const (
	envNodes    = "ENTENTE_WORLD_N"        // default 250 in the benchmark
	envMessages = "ENTENTE_WORLD_MESSAGES" // default 100 in the benchmark
	envSeed     = "ENTENTE_WORLD_SEED"
	envOut      = "ENTENTE_WORLD_OUT" // a file for the figures; the process then ends without cleaning up
)

// trial is one world to measure.
type trial struct {
	name     string
	loss     float64 // of packets, once the mesh stands
	vanish   float64 // share of nodes that lose power half-way
	degree   int     // random connections per node; 0: everyone with everyone
	join     func(t *testing.T, h host.Host, members map[peer.ID]bool, deliver func([]byte)) seat
	baseline bool // measured beside, not asserted
}

var trials = []trial{
	{name: "clean", join: joinGossip},
	{name: "loss1", loss: 0.01, join: joinGossip},
	{name: "vanish20", vanish: 0.2, join: joinGossip},
	{name: "default", degree: 28, join: joinDefault, baseline: true},
	{name: "default-loss1", loss: 0.01, degree: 28, join: joinDefault, baseline: true},
	{name: "default-vanish20", vanish: 0.2, degree: 28, join: joinDefault, baseline: true},
}

// seat is a node's place in the topic under measurement.
type seat interface {
	publish(data []byte) error
	sent() uint64 // copies
	leave()
}

type gossipSeat struct{ *gossip.Topic }

func (s gossipSeat) publish(data []byte) error {
	return s.Topic.Publish(context.Background(), data, true)
}
func (s gossipSeat) sent() uint64 { return s.Stats().Sent }
func (s gossipSeat) leave()       { s.Topic.Close() }

func joinGossip(t *testing.T, h host.Host, members map[peer.ID]bool, deliver func([]byte)) seat {
	topic, err := gossip.Join(context.Background(), h, gossip.Config{
		Admit: func(p peer.ID) bool { return members[p] },
		Validate: func(_ context.Context, _ peer.ID, data []byte) gossip.Verdict {
			deliver(data)
			return gossip.Accept
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return gossipSeat{topic}
}

// defaultSeat is gossipsub as its library sets it up.
type defaultSeat struct {
	topic  *pubsub.Topic
	copies atomic.Uint64
	cancel context.CancelFunc
}

func (s *defaultSeat) publish(data []byte) error {
	return s.topic.Publish(context.Background(), data)
}
func (s *defaultSeat) sent() uint64 { return s.copies.Load() }
func (s *defaultSeat) leave()       { s.cancel() }

func joinDefault(t *testing.T, h host.Host, _ map[peer.ID]bool, deliver func([]byte)) seat {
	s := &defaultSeat{}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithRawTracer(copyCounter{&s.copies}))
	if err != nil {
		t.Fatal(err)
	}
	if s.topic, err = ps.Join(gossip.Name); err != nil {
		t.Fatal(err)
	}
	sub, err := s.topic.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if m.ReceivedFrom != h.ID() {
				deliver(m.GetData())
			}
		}
	}()
	return s
}

// figures are the results of one trial. Times are virtual.
type figures struct {
	Nodes, Messages    int
	Seed               uint64
	P50, P99, Max      time.Duration // from Publish to Validate
	Bound50, Bound99   time.Duration // direct one-way latency of the same pairs
	Last50, Last99     float64       // until all have it, over the time to the farthest; over messages
	Copies, Bytes      float64       // per delivery
	Delivered, Ordered int           // to the living, of messages of the living
}

func (f figures) ratio() float64 { return float64(f.P99) / float64(f.Bound99) }

// measure runs a trial. It must run in a bubble.
func measure(t *testing.T, tr trial, n, messages int, seed uint64) figures {
	w := world.New(t, seed, n, world.Options{})
	dice := rand.New(rand.NewPCG(seed, 3))
	members := make(map[peer.ID]bool, n)
	everyone := make([]int, n)
	for i := range n {
		members[w.Host(i).ID()] = true
		everyone[i] = i
	}
	if tr.degree == 0 || tr.degree >= n {
		w.Mesh(everyone...)
	} else {
		w.ConnectAll(randomPairs(dice, n, tr.degree))
	}

	sent := make([]atomic.Int64, messages)
	took := make([][]atomic.Int64, n) // by node and message; 0: not received
	seats := make([]seat, n)
	for i := range n {
		took[i] = make([]atomic.Int64, messages)
		seats[i] = tr.join(t, w.At(i), members, func(data []byte) {
			m := int(binary.BigEndian.Uint64(data))
			took[i][m].CompareAndSwap(0, time.Now().UnixNano()-sent[m].Load())
		})
		defer seats[i].leave()
	}
	time.Sleep(settle)
	before := w.Traffic().Bytes
	time.Sleep(idleWindow)
	idle := float64(w.Traffic().Bytes-before) / idleWindow.Seconds()

	w.Loss(tr.loss)
	alive := slices.Clone(everyone)
	authors := make([]int, messages)
	copies := func() (sum uint64) {
		for _, s := range seats {
			sum += s.sent()
		}
		return sum
	}
	start, startBytes, startCopies := time.Now(), w.Traffic().Bytes, copies()
	for m := range messages {
		if m == messages/2 && tr.vanish > 0 {
			dice.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
			gone := int(tr.vanish * float64(n))
			for _, i := range alive[:gone] {
				w.Crash(i)
			}
			alive = alive[gone:]
		}
		authors[m] = alive[dice.IntN(len(alive))]
		data := make([]byte, messageBytes)
		for i := range data {
			data[i] = byte(dice.Uint32())
		}
		binary.BigEndian.PutUint64(data, uint64(m))
		sent[m].Store(time.Now().UnixNano())
		if err := seats[authors[m]].publish(data); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / perSecond)
	}
	time.Sleep(healWindow)
	spent := float64(w.Traffic().Bytes-startBytes) - idle*time.Since(start).Seconds()
	sentCopies := copies() - startCopies

	f := figures{Nodes: n, Messages: messages, Seed: seed}
	var times, bounds []time.Duration
	var last []float64
	all := 0 // deliveries, also to nodes that vanished later
	for m, a := range authors {
		var slowest, farthest time.Duration
		for i := range n {
			d := time.Duration(took[i][m].Load())
			if i != a && d > 0 {
				all++
			}
			if i == a || !slices.Contains(alive, i) || !slices.Contains(alive, a) {
				continue
			}
			f.Ordered++
			bound := w.Latency(a, i)
			farthest = max(farthest, bound)
			if d == 0 {
				slowest = math.MaxInt64
				continue
			}
			f.Delivered++
			slowest = max(slowest, d)
			times, bounds = append(times, d), append(bounds, bound)
		}
		if farthest > 0 {
			last = append(last, float64(slowest)/float64(farthest))
		}
	}
	f.P50, f.P99, f.Max = percentile(times, 50), percentile(times, 99), percentile(times, 100)
	f.Bound50, f.Bound99 = percentile(bounds, 50), percentile(bounds, 99)
	f.Last50, f.Last99 = percentile(last, 50), percentile(last, 99)
	f.Copies = float64(sentCopies) / float64(all)
	f.Bytes = spent / float64(all)
	return f
}

func percentile[T time.Duration | float64](xs []T, p int) T {
	if len(xs) == 0 {
		return 0
	}
	slices.Sort(xs)
	return xs[min(len(xs)*p/100, len(xs)-1)]
}

// randomPairs gives every node about degree neighbours.
func randomPairs(dice *rand.Rand, n, degree int) [][2]int {
	pairs := make(map[[2]int]bool)
	for i := range n {
		for range degree / 2 {
			if j := dice.IntN(n); j != i {
				pairs[[2]int{min(i, j), max(i, j)}] = true
			}
		}
	}
	sorted := slices.Collect(maps.Keys(pairs))
	slices.SortFunc(sorted, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return sorted
}

// TestWorldSmall checks the spread of messages in a world of 50 nodes, with slack. Figures of the wanted size come from
// BenchmarkWorld.
func TestWorldSmall(t *testing.T) {
	n, messages := setting(envNodes, 50), setting(envMessages, 40)
	out := os.Getenv(envOut)
	if world.RaceEnabled && out == "" {
		n, messages = 16, 20
	}
	seed := uint64(setting(envSeed, 1))
	for _, tr := range trials {
		if tr.baseline && out == "" {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			if testing.Short() && tr.name != "clean" {
				t.Skip("short: one world is enough")
			}
			world.Test(t, func(t *testing.T) {
				f := measure(t, tr, n, messages, seed)
				if out != "" {
					report(t, out, f)
				}
				t.Logf("%+v", f)
				if f.Delivered != f.Ordered {
					t.Errorf("%d of %d deliveries", f.Delivered, f.Ordered)
				}
				if f.ratio() > 1.15 {
					t.Errorf("p99 %v is %.2f times the bound %v, want at most 1.15", f.P99, f.ratio(), f.Bound99)
				}
				if f.Copies > 4 {
					t.Errorf("%.2f copies per delivery, want at most 4", f.Copies)
				}
			})
		})
	}
}

// BenchmarkWorld measures delivery in a simulated world, for this package and for gossipsub as its library sets it up
// with 28 connections. Each trial has a process of its own, since taking a big world down costs more than it gives:
//
//	go test ./node/gossip -run '^$' -bench World -benchtime 1x -timeout 1h
//
// 250 nodes all connected with each other take about 7 GB and 4 minutes per trial. ENTENTE_WORLD_N sets another number.
// All times are virtual: add the publisher's processor time, some 15 ms for 249 copies on one slow core.
func BenchmarkWorld(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for _, tr := range trials {
		b.Run(tr.name, func(b *testing.B) {
			for b.Loop() {
				out := filepath.Join(b.TempDir(), "figures.json")
				cmd := exec.Command(self, "-test.run", "^TestWorldSmall$/^"+tr.name+"$", "-test.timeout", "0") // the benchmark has its own
				cmd.Env = append(os.Environ(), envOut+"="+out,
					fmt.Sprintf("%s=%d", envNodes, setting(envNodes, 250)),
					fmt.Sprintf("%s=%d", envMessages, setting(envMessages, 100)))
				if text, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, text)
				}
				text, err := os.ReadFile(out)
				if err != nil {
					b.Fatal(err)
				}
				var f figures
				if err := json.Unmarshal(text, &f); err != nil {
					b.Fatal(err)
				}
				ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
				b.ReportMetric(ms(f.P50), "p50-ms")
				b.ReportMetric(ms(f.P99), "p99-ms")
				b.ReportMetric(ms(f.Max), "max-ms")
				b.ReportMetric(ms(f.Bound50), "bound-p50-ms")
				b.ReportMetric(ms(f.Bound99), "bound-p99-ms")
				b.ReportMetric(f.ratio(), "p99/bound")
				b.ReportMetric(f.Last50, "last/bound-p50")
				b.ReportMetric(f.Last99, "last/bound-p99")
				b.ReportMetric(f.Copies, "copies/delivery")
				b.ReportMetric(f.Bytes, "bytes/delivery")
				b.ReportMetric(100*float64(f.Delivered)/float64(f.Ordered), "delivered-%")
			}
		})
	}
}

// report hands the figures to BenchmarkWorld and ends the process.
func report(t *testing.T, file string, f figures) {
	if t.Failed() {
		return
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	os.Exit(0)
}

func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// copyCounter counts the copies of messages a default router sends.
type copyCounter struct{ n *atomic.Uint64 }

func (c copyCounter) SendRPC(rpc *pubsub.RPC, _ peer.ID) { c.n.Add(uint64(len(rpc.GetPublish()))) }

func (copyCounter) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (copyCounter) OnClosedOutboundStream(peer.ID)           {}
func (copyCounter) Join(string)                              {}
func (copyCounter) Leave(string)                             {}
func (copyCounter) Graft(peer.ID, string)                    {}
func (copyCounter) Prune(peer.ID, string)                    {}
func (copyCounter) ValidateMessage(*pubsub.Message)          {}
func (copyCounter) DeliverMessage(*pubsub.Message)           {}
func (copyCounter) RejectMessage(*pubsub.Message, string)    {}
func (copyCounter) DuplicateMessage(*pubsub.Message)         {}
func (copyCounter) ThrottlePeer(peer.ID)                     {}
func (copyCounter) RecvRPC(*pubsub.RPC)                      {}
func (copyCounter) DropRPC(*pubsub.RPC, peer.ID)             {}
func (copyCounter) UndeliverableMessage(*pubsub.Message)     {}
