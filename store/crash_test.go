package store

import (
	"bufio"
	"encoding/binary"
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

const (
	crashEnv      = "ENTENTE_STORE_CRASH_DIR"
	crashRoomsEnv = "ENTENTE_STORE_CRASH_ROOMS_DIR"
)

func TestMain(m *testing.M) {
	for env, write := range map[string]func(string) error{crashEnv: crashWriter, crashRoomsEnv: crashRoomWriter} {
		if dir := os.Getenv(env); dir != "" {
			if err := write(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
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

// runUntilKilled runs the child of a crash test, kills it when it has printed n lines, and returns the ids that it printed.
func runUntilKilled(t *testing.T, env, dir string, lines int) (acked []protocol.Hash) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env+"="+dir)
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
		if n == lines {
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
	return acked
}

// crashRoomWriter is the child of TestCrashRooms: it keeps records of rooms until it is killed, and prints each id once it is kept.
// What it deletes it never printed.
func crashRoomWriter(dir string) error {
	s, err := Open(dir, newTestKeys("test"), Options{})
	if err != nil {
		return err
	}
	var tb testing.B
	a := authorOf(&tb, "at", crashSeed)
	n := uint64(0)
	if b, err := s.RoomNote(crashRoom(0), "n"); err == nil {
		n = binary.BigEndian.Uint64(b)
	}
	for ; ; n++ {
		room := crashRoom(n % 3)
		var es []*protocol.Envelope
		for i := range n%7*20 + 2 { // some take several transactions
			es = append(es, leave(&tb, a, room, int(n*1000+i+1)))
		}
		if err := s.PutRoomRecords(room, es...); err != nil {
			return err
		}
		if err := s.DeleteRoomRecords(room, es[0].ID()); err != nil {
			return err
		}
		if err := s.PutRoomNote(crashRoom(0), "n", binary.BigEndian.AppendUint64(nil, n+1)); err != nil {
			return err
		}
		for _, e := range es[1:] {
			fmt.Println(e.ID())
		}
	}
}

func crashRoom(i uint64) protocol.Hash { return protocol.Sum(fmt.Sprint("room ", i)) }

// The process is killed while it keeps records of rooms. What it had acknowledged is there.
func TestCrashRooms(t *testing.T) {
	dir := t.TempDir()
	var acked []protocol.Hash
	for round := range 4 {
		acked = append(acked, runUntilKilled(t, crashRoomsEnv, dir, 60+97*round)...)
		s := openTest(t, dir, Options{})
		there := map[protocol.Hash]bool{}
		for room, records := range roomRecords(t, s) {
			for id, raw := range records {
				e, err := protocol.DecodeEnvelope([]byte(raw), protocol.MaxRecord)
				if err != nil {
					t.Fatal(err)
				}
				if l, err := protocol.Decode[protocol.Leave](e); err != nil || l.Room != room {
					t.Errorf("round %d: a record of another room, or %v", round, err)
				}
				there[id] = true
			}
		}
		for _, id := range acked {
			if !there[id] {
				t.Errorf("round %d: record %s was kept and is not there", round, id.Short())
			}
		}
		if len(acked) < 60 {
			t.Errorf("round %d: %d kept", round, len(acked))
		}
		mustClean(t, s, nil)
		if got := s.Stats().Damaged; got != 0 {
			t.Errorf("round %d: got %d damaged values, want none", round, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The process is killed while it writes, again and again. What it had acknowledged is there, once, and in order.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	a := authorOf(t, "at", crashSeed)
	var acked []protocol.Hash
	for round := range 5 {
		acked = append(acked, runUntilKilled(t, crashEnv, dir, 40+17*round)...)
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
