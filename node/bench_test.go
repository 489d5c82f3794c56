package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
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
	Later     int     // messages that became searchable after that
	IndexSecs float64 // in so many seconds, at most indexFor
	CPU       float64 // seconds of processor time until all are accepted
	BaseKiB   int     // anonymous memory before
	CatchKiB  int     // the most of it until all are accepted
	PeakKiB   int     // the most of it, indexing included
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
	index(b, server) // it would do so while it serves
	b.Logf("prepared %d messages in %v", count, time.Since(at).Round(time.Millisecond))
	for b.Loop() {
		home, intro := found(b, "returning")
		meet(b, server, append(intros, intro)...)
		meet(b, home, append(intros, serverIntro)...)
		s := play(b, "serve", server)
		s.line()
		wall, cpu := verifyRates(b, sample)
		b.Setenv("ENTENTE_BENCH_MESSAGES", fmt.Sprint(count))
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
		b.ReportMetric(float64(got.CatchKiB-got.BaseKiB)/1024, "rss-growth-MiB")
		b.ReportMetric(float64(got.PeakKiB-got.BaseKiB)/1024, "rss-growth-indexing-MiB")
		b.ReportMetric(float64(got.Indexed), "indexed-meanwhile")
		b.ReportMetric(float64(got.Later)/got.IndexSecs, "indexed/s")
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

// indexFor is how long indexing is measured.
const indexFor = time.Minute

// catchUp starts the node of a home and measures until everything is here, and how fast it becomes searchable.
func catchUp(home string, _ *told) (any, error) {
	count := uint64(benchSize("ENTENTE_BENCH_MESSAGES", 0, 0))
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	runtime.GC()
	debug.FreeOSMemory()
	got := caughtUp{BaseKiB: statusKiB("RssAnon")}
	if err := profile("catchup"); err != nil {
		return nil, err
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
	got.CatchKiB = got.PeakKiB
	got.Seconds, got.CPU = time.Since(at).Seconds(), cpuSeconds()-cpu
	pprof.StopCPUProfile()
	if err := profile("index"); err != nil {
		return nil, err
	}
	at = time.Now()
	for first := true; ; first = false {
		s, err := n.Status()
		if err != nil {
			return nil, err
		}
		if indexed := int(count - s.Store.Pending); first {
			got.Indexed = indexed
		} else {
			got.Later = indexed - got.Indexed
		}
		got.PeakKiB = max(got.PeakKiB, statusKiB("RssAnon"))
		if s.Store.Pending == 0 || time.Since(at) > indexFor {
			break
		}
		<-tick.C
	}
	got.IndexSecs = time.Since(at).Seconds()
	pprof.StopCPUProfile()
	return got, closing()
}

// profile begins to write a CPU profile of this process to the directory ENTENTE_BENCH_PROFILES, if there is one.
func profile(name string) error {
	dir := os.Getenv("ENTENTE_BENCH_PROFILES")
	if dir == "" {
		return nil
	}
	f, err := os.Create(filepath.Join(dir, name+".pprof"))
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

// BenchmarkStart measures the work from opening a home to a node that accepts connections, with few and with many messages
// in the store. It must not grow with their number. What is left is the opening of table files, of which there is one for each
// 8 MB; they are read through after the start, which is part of the processor time here (cpu-ratio) and not of the time.
func BenchmarkStart(b *testing.B) {
	sizes := []int{1000, benchSize("ENTENTE_BENCH_MESSAGES", 100_000, 10_000)}
	var homes []string
	for _, count := range sizes {
		author := newActor(b, "author")
		home, _ := found(b, fmt.Sprintf("with-%d", count))
		meet(b, home, author.intro)
		fill(b, home, []*actor{author}, count, nil)
		index(b, home)
		homes = append(homes, home)
	}
	var times, cpus [2][]float64
	for b.Loop() {
		for range 5 {
			for i, home := range homes {
				c := play(b, "start", home)
				var got started
				c.answer(&got)
				c.end()
				times[i], cpus[i] = append(times[i], got.Seconds), append(cpus[i], got.CPU)
			}
		}
	}
	b.ReportMetric(median(times[0])*1e3, "ms-few")
	b.ReportMetric(median(times[1])*1e3, "ms-many")
	b.ReportMetric(median(times[1])/median(times[0]), "ratio")
	b.ReportMetric(median(cpus[1])/median(cpus[0]), "cpu-ratio")
	b.ReportMetric(0, "ns/op")
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return xs[len(xs)/2]
}

// started is what a start costs.
type started struct{ Seconds, CPU float64 }

// start measures how long a node takes to get ready.
func start(home string, _ *told) (any, error) {
	at, cpu := time.Now(), cpuSeconds()
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, closing())
	}
	return started{time.Since(at).Seconds(), cpuSeconds() - cpu}, closing()
}

// BenchmarkBinary builds the program as it is released and reports its size, which must be below 40 MB.
func BenchmarkBinary(b *testing.B) {
	tool, err := exec.LookPath("go")
	if err != nil {
		b.Skip("no go command to build with")
	}
	for b.Loop() {
		out := filepath.Join(b.TempDir(), "entente")
		cmd := exec.Command(tool, "build", "-trimpath", "-ldflags=-s -w", "-o", out, "../cmd/entente")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if msg, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, msg)
		}
		fi, err := os.Stat(out)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(fi.Size())/1e6, "MB")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSend measures Send for texts of a few words: each is synced to the disk before it is published.
func BenchmarkSend(b *testing.B) {
	home, _ := found(b, "sender")
	n, closing, err := openNode(home)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := closing(); err != nil {
			b.Error(err)
		}
	}()
	if err := n.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	send := func() error {
		_, err := n.Send(context.Background(), node.Draft{Audience: "community", Label: tlp.Green, Size: -1},
			strings.NewReader("TLP:GREEN\nSeen at our mail gateway: 198.51.100.7"))
		return err
	}
	perSecond := func(b *testing.B) {
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	}
	b.Run("one-sender", func(b *testing.B) {
		for b.Loop() {
			if err := send(); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b)
	})
	b.Run("many-senders", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := send(); err != nil {
					b.Error(err)
					return
				}
			}
		})
		perSecond(b)
	})
}
