package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
)

// signed is an envelope and the key that signed it and the statement inside.
type signed struct {
	parcel, statement *protocol.Envelope
	key               protocol.PublicKey
}

// caughtUp is what the catching-up process measured.
type caughtUp struct {
	Seconds   float64 // from the connection's start until all are accepted
	Indexed   int     // messages that were searchable by then
	IndexSecs float64 // from then until all are
	CPU       float64 // seconds of processor time until all are accepted
	BaseKiB   int     // anonymous memory before
	PeakKiB   int     // the most of it
}

// BenchmarkCatchUp measures how fast a node that was away takes in ENTENTE_BENCH_MESSAGES messages of 1 KB by ten authors,
// over loopback, from one colleague, and how fast one core verifies the same signatures in the same run. The ratio of the
// two must be at least 0.5 on an idle machine. The ratio by processor time (cpu-ratio) hardly depends on what else the machine
// does: it is the part of the node's work that is verifying.
func BenchmarkCatchUp(b *testing.B) {
	count := benchSize("ENTENTE_BENCH_MESSAGES", 100_000, 2_000)
	var authors []*actor
	var intros [][]byte
	for i := range 10 {
		authors = append(authors, newActor(b, fmt.Sprintf("author-%d", i)))
		intros = append(intros, authors[i].intro)
	}
	server, serverIntro := found(b, "server")
	var sample []signed
	at := time.Now()
	fill(b, server, authors, count, func(a *actor, env *protocol.Envelope) {
		p, err := protocol.Decode[protocol.Parcel](env)
		if err != nil {
			b.Fatal(err)
		}
		st, err := protocol.DecodeEnvelope(p.Body, protocol.MaxParcel)
		if err != nil {
			b.Fatal(err)
		}
		sample = append(sample, signed{env, st, a.key.Public()})
	})
	b.Logf("prepared %d messages in %v", count, time.Since(at).Round(time.Millisecond))
	for b.Loop() {
		home, intro := found(b, "returning")
		meet(b, server, append(intros, intro)...)
		meet(b, home, append(intros, serverIntro)...)
		s := play(b, "serve", server)
		s.line()
		wall, cpu := verifyRates(b, sample)
		os.Setenv("ENTENTE_BENCH_MESSAGES", fmt.Sprint(count))
		c := play(b, "catch-up", home)
		var got caughtUp
		c.answer(&got)
		c.end()
		wall2, cpu2 := verifyRates(b, sample)
		s.end()
		rate, verify := float64(count)/got.Seconds, (wall+wall2)/2
		b.ReportMetric(rate, "msgs/s")
		b.ReportMetric(verify, "verify/s")
		b.ReportMetric(rate/verify, "ratio")
		b.ReportMetric(float64(count)/got.CPU/((cpu+cpu2)/2), "cpu-ratio")
		b.ReportMetric(got.CPU/float64(count)*1e6, "cpu-µs/msg")
		b.ReportMetric(float64(got.PeakKiB-got.BaseKiB)/1024, "rss-growth-MiB")
		b.ReportMetric(float64(got.Indexed), "indexed-meanwhile")
		b.ReportMetric(float64(count-got.Indexed)/got.IndexSecs, "indexed/s")
	}
	b.ReportMetric(0, "ns/op")
}

// verifyRates returns how many messages, of two signatures each, one core verifies in a second, by the clock and by the
// processor time that it got.
func verifyRates(b *testing.B, ms []signed) (wall, cpu float64) {
	b.Helper()
	at, used := time.Now(), cpuSeconds()
	for _, m := range ms {
		if err := errors.Join(m.parcel.VerifyNode(m.key), m.statement.VerifyNode(m.key)); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(len(ms))
	return n / time.Since(at).Seconds(), n / (cpuSeconds() - used)
}

// catchUp starts the node of a home and measures until everything is here and searchable.
func catchUp(home string, _ *told) (any, error) {
	count := uint64(benchSize("ENTENTE_BENCH_MESSAGES", 0, 0))
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	runtime.GC()
	debug.FreeOSMemory()
	got := caughtUp{BaseKiB: statusKiB("RssAnon")}
	if path := os.Getenv("ENTENTE_BENCH_PROFILE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
	}
	at, cpu := time.Now(), cpuSeconds()
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, closing())
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := at.Add(20 * time.Minute); n.LastN() < count; <-tick.C {
		got.PeakKiB = max(got.PeakKiB, statusKiB("RssAnon"))
		if time.Now().After(end) {
			return nil, fmt.Errorf("after %v: only %d messages are here", time.Since(at), n.LastN())
		}
	}
	got.Seconds, got.CPU = time.Since(at).Seconds(), cpuSeconds()-cpu
	pprof.StopCPUProfile()
	at = time.Now()
	for first := true; ; first = false {
		s, err := n.Status()
		if err != nil {
			return nil, err
		}
		if first {
			got.Indexed = int(count - s.Store.Pending)
		}
		got.PeakKiB = max(got.PeakKiB, statusKiB("RssAnon"))
		if s.Store.Pending == 0 {
			break
		}
		<-tick.C
	}
	got.IndexSecs = time.Since(at).Seconds()
	return got, closing()
}
