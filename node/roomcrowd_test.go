package node_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol/tlp"
)

// What is said in a room comes to all members straight from its author, once: of the times that it takes, the 99th percentile is at
// most 1.15 times that of the distances. ENTENTE_THOROUGH asks for 50 teams.
func TestRoomDelivery(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	count, stewards := 8, 4
	if os.Getenv("ENTENTE_THOROUGH") != "" {
		count, stewards = 50, 7
	}
	count = number("ENTENTE_ROOM_TEAMS", count)
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("m%02d", i)
	}
	nodetest.Run(t, 480, names, func(w *nodetest.World) {
		start := time.Now()
		w.AllMeet()
		all := w.Teams()
		room := w.FoundRoom(node.RoomTerms{}, all[:stewards], all[stewards:])
		for _, m := range all { // streams are opened
			m.SendsTo(nodetest.InRoom(room), tlp.Amber, "here")
		}
		w.Wait(time.Minute)
		t.Logf("%d teams stand in %v", count, time.Since(start))
		dice := rand.New(rand.NewPCG(480, 1))
		var took, far []time.Duration
		for range 2 {
			for _, i := range dice.Perm(count)[:min(count, 8)] {
				a := all[i]
				begin := time.Now()
				id := a.SendsTo(nodetest.InRoom(room), tlp.Amber, "a host of yours scans ours")
				var mu sync.Mutex
				var wg sync.WaitGroup
				for _, b := range all {
					if a == b {
						continue
					}
					wg.Go(func() {
						for end := begin.Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
							if v, err := b.Node.Message(id); err == nil && v.Complete {
								mu.Lock()
								defer mu.Unlock()
								took, far = append(took, time.Since(begin)), append(far, a.Distance(b))
								return
							}
						}
						t.Errorf("%s never gets what %s says", b.Name, a.Name)
					})
				}
				wg.Wait()
				raw := a.LastPushed()
				if len(raw) < 200 {
					t.Fatalf("%s pushed nothing", a.Name)
				}
				w.Wait(10 * time.Second)
				for _, b := range all {
					if n := b.Copies(raw[len(raw)/2 : len(raw)/2+64]); a != b && n != 1 {
						t.Errorf("%s got %d copies of what %s says", b.Name, n, a.Name)
					}
				}
			}
		}
		p := func(ds []time.Duration, n int) time.Duration {
			slices.Sort(ds)
			return ds[(len(ds)*n+99)/100-1]
		}
		ratio := float64(p(took, 99)) / float64(p(far, 99))
		t.Logf("%d deliveries among %d teams: p50 %v, p99 %v; distances p50 %v, p99 %v; ratio %.3f", len(took), count, p(took, 50), p(took, 99), p(far, 50), p(far, 99), ratio)
		if ratio > 1.15 {
			t.Errorf("the 99th percentile of deliveries is %.2f times that of the distances, want at most 1.15", ratio)
		}
	})
}
