package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
)

const sealedBody = 4 << 10 // bytes of each message's text

// sealedRun is what one side of a sealed exchange measured.
type sealedRun struct {
	Seconds float64
	CPU     float64
}

// BenchmarkSealed measures how fast ENTENTE_BENCH_MESSAGES sealed messages of 4 KB go from one node to another over loopback,
// from the first call of Send, of 64 at once, to the last message stored at the receiver; and what the same cryptography costs
// by itself on one core in the same run: two signatures and the sealing at the sender, both verified and opened at the receiver.
// Both nodes, as processes of their own, share the machine. cpu-ratio is the part of both nodes' processor time that is this
// cryptography.
func BenchmarkSealed(b *testing.B) {
	count := benchSize("ENTENTE_BENCH_MESSAGES", 10_000, 500)
	for b.Loop() {
		from, fromIntro := found(b, "from")
		to, toIntro := found(b, "to")
		meet(b, from, toIntro)
		meet(b, to, fromIntro)
		verify(b, from, "to")
		verify(b, to, "from")
		b.Setenv("ENTENTE_BENCH_MESSAGES", fmt.Sprint(count))
		r := play(b, "sealed-receive", to)
		r.line()
		s := play(b, "sealed-send", from)
		s.line()
		wall, cpu := sealedCost(b, 1000)
		at := time.Now()
		s.tell()
		var sent, got sealedRun
		r.answer(&got)
		seconds := time.Since(at).Seconds()
		s.answer(&sent)
		r.end()
		s.end()
		wall2, cpu2 := sealedCost(b, 1000)
		rate, bare := float64(count)/seconds, 2/(wall+wall2)
		b.ReportMetric(rate, "msgs/s")
		b.ReportMetric(float64(count)/sent.Seconds, "sent/s")
		b.ReportMetric(bare, "bare/s")
		b.ReportMetric(rate/bare, "ratio")
		b.ReportMetric((cpu+cpu2)/2*1e6, "bare-cpu-µs/msg")
		b.ReportMetric((sent.CPU+got.CPU)/float64(count)*1e6, "cpu-µs/msg")
		b.ReportMetric((cpu+cpu2)/2/((sent.CPU+got.CPU)/float64(count)), "cpu-ratio")
	}
	b.ReportMetric(0, "ns/op")
}

// sealedCost returns what the cryptography of one message costs, in seconds by the clock and of processor time.
func sealedCost(b *testing.B, rounds int) (wall, cpu float64) {
	b.Helper()
	key, _, err := protocol.GenerateKey(protocol.Ed25519)
	if err != nil {
		b.Fatal(err)
	}
	id, err := seal.GenerateIdentity()
	if err != nil {
		b.Fatal(err)
	}
	text := bytes.Repeat([]byte("x"), sealedBody)
	teams := []protocol.TeamID{{1}, {2}}
	st := &protocol.Statement{Author: teams[0], Node: key.Public().ID(), Clock: 1 << 40, Kind: protocol.KindMessage, Label: tlp.Amber,
		Audience: protocol.Audience{Kind: protocol.Direct, Teams: teams[1:]},
		Body:     protocol.Body{Format: "text", Size: sealedBody, Hash: protocol.Sum("", text), Inline: text}}
	c := protocol.Between(teams[0], teams[1], protocol.Hash{})
	at, used := time.Now(), cpuSeconds()
	for i := range rounds {
		if err := func() error {
			stEnv, err := protocol.Sign(st, key)
			if err != nil {
				return err
			}
			body, err := seal.SealSmall(stEnv.Encode(), id.Recipient())
			if err != nil {
				return err
			}
			p := &protocol.Parcel{Team: st.Author, Node: st.Node, Feed: protocol.FeedOf(st.Node, c), Seq: uint64(i + 1), Class: protocol.Normal, Body: body, Sealed: true}
			if i > 0 {
				p.Prev = protocol.Hash{1}
			}
			env, err := protocol.Sign(p, key)
			if err != nil {
				return err
			}
			if err := env.VerifyNode(key.Public()); err != nil {
				return err
			}
			inner, err := seal.OpenSmall(p.Body, id)
			if err != nil {
				return err
			}
			_, _, err = p.OpenSealed(key.Public(), inner, c)
			return err
		}(); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(rounds)
	return time.Since(at).Seconds() / n, (cpuSeconds() - used) / n
}

// verify has a home's team compare fingerprints with the team of the name.
func verify(b *testing.B, home, name string) {
	b.Helper()
	if _, err := withNode(home, func(n *node.Node) (struct{}, error) {
		t, err := n.Team(name)
		if err != nil {
			return struct{}{}, err
		}
		officer, err := keyring.OpenOfficer(node.KeysDir(home), "officer-1", "correct horse")
		if err != nil {
			return struct{}{}, err
		}
		now := uint64(time.Now().Unix())
		e, err := protocol.Sign(&protocol.Attest{Issuer: n.TeamID(), Subject: t.ID, Method: "phone", Issued: now, Expires: now + 86400}, officer)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, n.VerifyTeam(t.ID, t.Fingerprint, "phone", "officer-1", e)
	}); err != nil {
		b.Fatal(err)
	}
}

// sealedReceive waits until all messages are stored.
func sealedReceive(home string, t *told) (any, error) {
	count := uint64(benchSize("ENTENTE_BENCH_MESSAGES", 0, 0))
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, closing())
	}
	if err := profile("sealed-receive"); err != nil {
		return nil, err
	}
	if err := t.say("ready"); err != nil {
		return nil, err
	}
	at, cpu := time.Now(), cpuSeconds()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n.LastN() < count {
		if time.Since(at) > 10*time.Minute {
			return nil, fmt.Errorf("after %v only %d messages are here", time.Since(at), n.LastN())
		}
		<-tick.C
	}
	got := sealedRun{time.Since(at).Seconds(), cpuSeconds() - cpu}
	pprof.StopCPUProfile()
	err = t.say(got)
	t.wait()
	return nil, errors.Join(err, closing())
}

// sealedSend sends all messages, 64 at once.
func sealedSend(home string, t *told) (any, error) {
	count := benchSize("ENTENTE_BENCH_MESSAGES", 0, 0)
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, closing())
	}
	for {
		s, err := n.Team("to")
		if err != nil {
			return nil, err
		}
		if s.Nodes[0].Connected {
			break
		}
		time.Sleep(10 * time.Millisecond) // another process
	}
	if err := t.say("ready"); err != nil {
		return nil, err
	}
	t.wait()
	if err := profile("sealed-send"); err != nil {
		return nil, err
	}
	text := bytes.Repeat([]byte("x"), sealedBody)
	at, cpu := time.Now(), cpuSeconds()
	work := make(chan int)
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	for range 64 {
		wg.Go(func() {
			for range work {
				if _, err := n.Send(context.Background(), node.Draft{Audience: "team:to", Label: tlp.Amber, Size: -1}, bytes.NewReader(text)); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	for i := range count {
		work <- i
	}
	close(work)
	wg.Wait()
	got := sealedRun{time.Since(at).Seconds(), cpuSeconds() - cpu}
	pprof.StopCPUProfile()
	err = t.say(got)
	t.wait()
	return nil, errors.Join(failed, err, closing())
}
