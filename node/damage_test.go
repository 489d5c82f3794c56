package node_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// The power fails at pl, and its disk garbles what it keeps. When it returns, whatever cannot be read is fetched again from
// the others, and fsck finds nothing afterwards.
func TestDamagedStore(t *testing.T) {
	for i, kind := range []string{"*.vlog", "*.mem"} {
		t.Run(kind, func(t *testing.T) {
			nodetest.Run(t, uint64(20+i), []string{"at", "de", "pl"}, func(w *nodetest.World) {
				w.AllMeet()
				at, de, pl := w.As("at"), w.As("de"), w.As("pl")
				var ids []protocol.Hash
				for i := range 40 {
					ids = append(ids, at.SendsFile(tlp.Green, "", bytes.Repeat([]byte(fmt.Sprintln("message", i)), 200)))
				}
				big := bytes.Repeat([]byte("connections\n"), 60_000)
				ids = append(ids, de.SendsFile(tlp.Green, "connections.txt", big))
				pl.HoldsAll(ids)
				w.Settle()
				pl.CrashesOnDisk()
				garbleFiles(t, filepath.Join(pl.Home, "store"), kind)
				w.Split([]*nodetest.Team{pl})
				pl.Returns()
				lost := 0
				for _, id := range ids {
					if _, _, err := pl.Node.OpenBody(id); err != nil {
						lost++
					}
				}
				rep, err := pl.Node.Fsck(t.Context(), true, nil) // what nobody reads is found by reading all
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d of %d messages lost, %d problems", lost, len(ids), rep.Found)
				w.Heal()
				pl.HoldsAll(ids)
				if got := pl.Holds(ids[40]); !bytes.Equal(got, big) {
					t.Error("the document came out changed")
				}
				w.Settle()
			})
		})
	}
}

// garbleFiles turns over some bytes at a third and at two thirds of each file of the kind.
func garbleFiles(t *testing.T, dir, kind string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, kind))
	if err != nil {
		t.Fatal(err)
	}
	if more, _ := filepath.Glob(filepath.Join(dir, "*", kind)); len(files) == 0 {
		files = more
	}
	if len(files) == 0 {
		t.Skipf("the store has no %s files now", kind)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		used := len(bytes.TrimRight(b, "\x00"))
		for _, at := range []int{used / 3, used * 2 / 3} {
			for i := at; i < min(at+64, used); i++ {
				b[i] ^= 0xa5
			}
		}
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
