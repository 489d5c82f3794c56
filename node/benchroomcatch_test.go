package node_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

func init() { roles["room-catch-up"] = roomCatchUp }

// BenchmarkRoomCatchUp measures how fast a member that was away takes in ENTENTE_BENCH_MESSAGES messages of 1 KB in a room of
// ENTENTE_BENCH_MEMBERS members, who all said some of them, over loopback from one other member; and what the same cryptography
// costs by itself on one core in the same run: two signatures verified and the message opened. ratio compares the two by the clock;
// cpu-ratio, the part of the node's processor time that is this cryptography, hardly depends on what else the machine does. In held
// the member has the key of the period; in granted it gets that from the other one as well, so that messages may come before what
// opens them.
func BenchmarkRoomCatchUp(b *testing.B) {
	count, size := benchSize("ENTENTE_BENCH_MESSAGES", 5_000, 300), benchSize("ENTENTE_BENCH_MEMBERS", 250, 20)
	members := newMembers(b, size-2, nil)
	server, returning := "server", "returning"
	listen := func() []string {
		port := strconv.Itoa(freePort(b))
		return []string{"/ip4/127.0.0.1/udp/" + port + "/quic-v1", "/ip4/127.0.0.1/tcp/" + port}
	}
	for _, holds := range []bool{true, false} {
		name := map[bool]string{true: "held", false: "granted"}[holds]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				s, r := newHall(b, dir, server, members, listen()...), newHall(b, dir, returning, members, listen()...)
				intro := func(h *hall) []byte {
					raw, err := withNode(h.home, (*node.Node).Introduction)
					if err != nil {
						b.Fatal(err)
					}
					return raw
				}
				meet(b, s.home, intro(r))
				meet(b, r.home, intro(s))
				room, key := s.opens(b, r, members)
				sample := s.fill(b, room, key, members, count)
				if err := r.keeps(s, room, key, holds); err != nil {
					b.Fatal(err)
				}
				index(b, s.home)
				from := play(b, "serve", s.home)
				from.line()
				wall, cpu := openingCost(b, sample, key)
				b.Setenv("ENTENTE_BENCH_MESSAGES", fmt.Sprint(count))
				to := play(b, "room-catch-up", r.home)
				var got caughtUp
				to.answer(&got)
				to.end()
				wall2, cpu2 := openingCost(b, sample, key)
				from.end()
				rate := float64(count) / got.Seconds
				b.ReportMetric(rate, "msgs/s")
				b.ReportMetric(2/(wall+wall2), "bare/s")
				b.ReportMetric(rate*(wall+wall2)/2, "ratio")
				b.ReportMetric((cpu+cpu2)/2/(got.CPU/float64(count)), "cpu-ratio")
				b.ReportMetric(got.CPU/float64(count)*1e6, "cpu-µs/msg")
				b.ReportMetric((cpu+cpu2)/2*1e6, "bare-cpu-µs/msg")
				b.ReportMetric(float64(got.CatchKiB-got.BaseKiB)/1024, "rss-growth-MiB")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// opens makes a room of this home, another one and members, and its key.
func (h *hall) opens(b *testing.B, other *hall, members []*member) (room protocol.Hash, key keyring.EpochKey) {
	b.Helper()
	n, closing, err := openNode(h.home)
	if err != nil {
		b.Fatal(err)
	}
	room = h.found(b, n, "a room", append(members[:len(members):len(members)], other.own)...)
	rb := node.RoomBench{Node: n}
	if err := rb.MakeEpoch(room); err != nil {
		b.Fatal(err)
	}
	u, ok := rb.Usable(room)
	if err := closing(); err != nil || !ok {
		b.Fatalf("the room has no key, %v", err)
	}
	ring, err := openRing(h.home)
	if err != nil {
		b.Fatal(err)
	}
	key, _ = ring.Epoch(u.ID)
	if err := ring.Close(); err != nil {
		b.Fatal(err)
	}
	return room, key
}

// keeps puts what another home has of a room, but for its messages, into this one; with the key of the epoch if holds.
func (h *hall) keeps(other *hall, room protocol.Hash, key keyring.EpochKey, holds bool) error {
	es, err := withNode(other.home, func(n *node.Node) ([]*protocol.Envelope, error) { return node.RoomBench{Node: n}.Records(room), nil })
	if err != nil {
		return err
	}
	ring, err := openRing(h.home)
	if err != nil {
		return err
	}
	st, err := store.Open(filepath.Join(h.home, "store"), ringKeys{ring}, store.Options{})
	if err != nil {
		return errors.Join(err, ring.Close())
	}
	err = st.PutRoomRecords(room, es...)
	if holds {
		err = errors.Join(err, ring.PutEpochs(key))
	}
	return errors.Join(err, st.Close(), ring.Close())
}

// A said is a message in a room, and who said it.
type said struct {
	parcel *protocol.Envelope
	key    protocol.PublicKey
	room   protocol.Hash
}

// fill puts count messages of the members into the store of the home, and returns every tenth of them.
func (h *hall) fill(b *testing.B, room protocol.Hash, key keyring.EpochKey, members []*member, count int) (sample []said) {
	b.Helper()
	st, closing := openStore(b, h.home)
	defer closing()
	last := make([]protocol.Hash, len(members))
	var batch []store.Entry
	for i := range count {
		at := i % len(members)
		m := members[at]
		s := newSaying(m.key, m.team, room, room, key.ID, i/len(members)+1, last[at])
		env, err := s.sign(m.key, key.Identity.Recipient())
		if err != nil {
			b.Fatal(err)
		}
		last[at] = env.ID()
		if i%10 == 0 {
			sample = append(sample, said{env, m.key.Public(), room})
		}
		batch = append(batch, store.Entry{Tag: protocol.RoomChannel(room).Tag(), Envelope: env, Parcel: s.parcel, StatementID: s.env.ID(),
			Statement: s.statement, Inner: s.inner, Via: "bench", Node: trust.NodeInfo{Team: m.team, Node: protocol.Node{Key: m.key.Public()}}})
		if len(batch) < 1000 && i < count-1 {
			continue
		}
		out, err := st.Accept(batch)
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range out {
			if o.Err != nil || o.Verdict != trust.Accept {
				b.Fatalf("the store says %s, %v", o.Verdict, o.Err)
			}
		}
		batch = batch[:0]
	}
	return sample
}

// openingCost returns what it costs to verify and open one message, in seconds by the clock and of processor time.
func openingCost(b *testing.B, sample []said, key keyring.EpochKey) (wall, cpu float64) {
	b.Helper()
	at := time.Now()
	used := cost(b, func() error {
		for _, s := range sample {
			if err := s.parcel.VerifyNode(s.key); err != nil {
				return err
			}
			p, err := protocol.Decode[protocol.Parcel](s.parcel)
			if err != nil {
				return err
			}
			inner, err := seal.OpenSmall(p.Body, key.Identity)
			if err != nil {
				return err
			}
			if _, _, err := p.OpenSealed(s.key, inner, protocol.RoomChannel(s.room)); err != nil {
				return err
			}
		}
		return nil
	})
	n := float64(len(sample))
	return time.Since(at).Seconds() / n, used.Seconds() / n
}

// roomCatchUp starts the node of a home and measures until all messages can be read.
func roomCatchUp(home string, _ *told) (any, error) {
	count := uint64(benchSize("ENTENTE_BENCH_MESSAGES", 0, 0))
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	got := caughtUp{BaseKiB: statusKiB("RssAnon")}
	if err := profile("room-catch-up"); err != nil {
		return nil, err
	}
	at, cpu := time.Now(), usedCPU()
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, closing())
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := at.Add(10 * time.Minute); n.LastN() < count; <-tick.C {
		got.CatchKiB = max(got.CatchKiB, statusKiB("RssAnon"))
		if time.Now().After(end) {
			return nil, fmt.Errorf("after %v: only %d messages are here", time.Since(at), n.LastN())
		}
	}
	got.Seconds, got.CPU = time.Since(at).Seconds(), (usedCPU() - cpu).Seconds()
	pprof.StopCPUProfile()
	return got, closing()
}
