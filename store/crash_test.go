package store

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
)

const crashEnv = "ENTENTE_STORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		if err := crashWriter(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var crashSeed = [32]byte{1, 2, 3}

// crashWriter is the child of TestCrash: it goes on with a feed until it is killed, and prints each id once it is accepted.
func crashWriter(dir string) error {
	s, err := Open(dir, newTestKeys("test"), Options{})
	if err != nil {
		return err
	}
	var tb testing.B
	a := authorOf(&tb, "at", crashSeed)
	x, ok, err := s.Extent(a.feed)
	if err != nil {
		return err
	}
	if ok {
		a.seq, a.head = x.Next-1, x.Head
	}
	pairs := crashPairs(a)
	for _, p := range pairs {
		if x, ok, err := s.Extent(p.feed); err != nil {
			return err
		} else if ok {
			p.seq, p.head = x.Next-1, x.Head
		}
	}
	for i := 0; ; i++ {
		var es []Entry
		if i%2 == 0 {
			es = a.entries(i%5 + 1)
		} else {
			es = toAll(pairs[0].statement("to all", "x"), pairs...)
		}
		if _, err := s.Accept(es); err != nil {
			return err
		}
		for i, e := range es {
			if i == 0 || e.StatementID != es[0].StatementID {
				fmt.Println(e.StatementID)
			}
		}
		ms, err := s.IndexPending(3)
		if err != nil {
			return err
		}
		for _, m := range ms {
			if err := s.Index(m.N, []string{"all"}); err != nil {
				return err
			}
		}
	}
}

// crashPairs are the feeds that take what is for several teams.
func crashPairs(a *author) []*author {
	return []*author{a.to("de", protocol.Hash{}), a.to("pl", protocol.Hash{}), a.to("fi", protocol.Hash{})}
}

// The process is killed while it writes, again and again. What it had acknowledged is there, once, and in order.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	a := authorOf(t, "at", crashSeed)
	var acked []protocol.Hash
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		hung := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
		sc := bufio.NewScanner(out)
		for n := 0; sc.Scan(); n++ {
			var id protocol.Hash
			if _, err := hex.Decode(id[:], sc.Bytes()); err != nil {
				t.Fatal(err)
			}
			acked = append(acked, id)
			if n == 40+17*round {
				cmd.Process.Kill()
				break
			}
		}
		rest, _ := io.ReadAll(out) // written before the kill; the last line may be cut
		for line := range strings.Lines(string(rest)) {
			if id, err := protocol.ParseHash(strings.TrimSpace(line)); err == nil && strings.HasSuffix(line, "\n") {
				acked = append(acked, id)
			}
		}
		cmd.Wait()
		hung.Stop()
		if stderr.Len() > 0 {
			t.Fatalf("the child says: %s", stderr.String())
		}

		s := openTest(t, dir, Options{})
		seen := map[protocol.Hash]int{}
		for _, id := range ids(t, s, Query{}) {
			seen[id]++
		}
		for _, id := range acked {
			if seen[id] != 1 {
				t.Errorf("round %d: message %s was accepted and is there %d times", round, id.Short(), seen[id])
			}
		}
		if len(acked) < 40 || len(seen) < len(acked) {
			t.Errorf("round %d: %d accepted, %d there", round, len(acked), len(seen))
		}
		mustClean(t, s, a.lookup)
		nexts := map[uint64]bool{}
		for _, p := range crashPairs(a) {
			x, ok, err := s.Extent(p.feed)
			if err != nil || !ok {
				t.Fatal(x, err)
			}
			nexts[x.Next] = true
		}
		if len(nexts) != 1 {
			t.Errorf("round %d: what is for several teams reached some: the next are %v", round, nexts)
		}
		if got := s.Stats().Damaged; got != 0 {
			t.Errorf("round %d: got %d damaged values, want none", round, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := openTest(t, dir, Options{})
	indexAll(t, s)
	mustClean(t, s, a.lookup)
}
