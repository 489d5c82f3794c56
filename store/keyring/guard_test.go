package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
)

type marks = map[protocol.FeedID]Mark

var (
	nodeA = protocol.KID{1}
	nodeB = protocol.KID{2}
)

func newGuardFile(t testing.TB) (*Guard, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heads")
	g, err := CreateGuard(path, nodeA)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g, path
}

func openGuard(t testing.TB, path string) *Guard {
	t.Helper()
	g, err := OpenGuard(path, nodeA, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func advance(t testing.TB, g *Guard, m marks) {
	t.Helper()
	if err := g.Advance(m); err != nil {
		t.Fatal(err)
	}
}

func TestGuard(t *testing.T) {
	g, path := newGuardFile(t)
	f1, f2 := hash(1), hash(2)
	advance(t, g, marks{f1: {1, hash(11)}, f2: {7, hash(27)}})
	advance(t, g, marks{f1: {5, hash(15)}})
	advance(t, g, marks{f1: {5, hash(15)}, f2: {8, hash(28)}}) // the first is known
	advance(t, g, nil)
	want := marks{f1: {5, hash(15)}, f2: {8, hash(28)}}
	for range 2 {
		if got := g.Marks(); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		g.Close()
		g = openGuard(t, path)
	}
	if m, ok := g.Mark(f1); !ok || m.Seq != 5 {
		t.Errorf("got %v, %t", m, ok)
	}
	if _, ok := g.Mark(hash(3)); ok {
		t.Error("a mark of a feed that was never signed")
	}
	for _, bad := range []marks{
		{f1: {4, hash(14)}},
		{f1: {5, hash(99)}},
		{f1: {6, hash(16)}, f2: {7, hash(27)}},
	} {
		if err := g.Advance(bad); !errors.Is(err, ErrRestored) {
			t.Errorf("%v: got %v, want ErrRestored", bad, err)
		}
	}
	if err := g.Advance(marks{f1: {6, protocol.Hash{}}}); err == nil || errors.Is(err, ErrRestored) {
		t.Errorf("a mark without a hash: got %v", err)
	}
	if got := g.Marks(); !maps.Equal(got, want) {
		t.Errorf("a refused call left %v", got)
	}
	tooMany := marks{}
	for i := range MaxMarks + 1 {
		tooMany[protocol.Sum("test", fmt.Append(nil, i))] = Mark{1, hash(1)}
	}
	if err := g.Advance(tooMany); err == nil {
		t.Error("too many feeds at once were accepted")
	}
	g.Close()
	if err := g.Advance(marks{f1: {6, hash(16)}}); err == nil {
		t.Error("a closed guard recorded something")
	}
}

// An administrator restores last week's backup. The file of heads was in no backup, and tells.
func TestGuardTellsARestoredStore(t *testing.T) {
	g, _ := newGuardFile(t)
	f1, f2 := hash(1), hash(2)
	advance(t, g, marks{f1: {5, hash(15)}, f2: {3, hash(23)}})
	tests := []struct {
		name     string
		store    marks
		restored bool
	}{
		{"as it was left", marks{f1: {5, hash(15)}, f2: {3, hash(23)}}, false},
		{"a crash before the last entries left", marks{f1: {9, hash(19)}, f2: {3, hash(23)}, hash(3): {1, hash(31)}}, false},
		{"one feed behind", marks{f1: {4, hash(14)}, f2: {3, hash(23)}}, true},
		{"one feed gone", marks{f1: {5, hash(15)}}, true},
		{"empty", nil, true},
		{"as far, with another entry", marks{f1: {5, hash(16)}, f2: {3, hash(23)}}, true},
	}
	for _, tt := range tests {
		if err := g.Check(tt.store); errors.Is(err, ErrRestored) != tt.restored || err != nil && !tt.restored {
			t.Errorf("%s: got %v, want restored=%t", tt.name, err, tt.restored)
		}
	}
}

func TestGuardOfAnotherNode(t *testing.T) {
	g, path := newGuardFile(t)
	advance(t, g, marks{hash(1): {5, hash(15)}})
	g.Close()
	if _, err := OpenGuard(path, nodeB, nil); !errors.Is(err, ErrOtherNode) {
		t.Errorf("a node that replaced nothing: got %v", err)
	}
	if _, err := CreateGuard(path, nodeB); !errors.Is(err, ErrExists) {
		t.Errorf("making another: got %v", err)
	}
	g, err := OpenGuard(path, nodeB, []protocol.KID{nodeA})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Marks()) != 0 {
		t.Error("the new key has marks of the old one")
	}
	if err := g.Check(nil); err != nil {
		t.Errorf("the new key's feeds are empty: %v", err)
	}
	advance(t, g, marks{hash(2): {1, hash(21)}})
	g.Close()
	// node.key came back from a backup, with the former key.
	for _, former := range [][]protocol.KID{nil, {nodeB}} {
		if _, err := OpenGuard(path, nodeA, former); !errors.Is(err, ErrOtherNode) {
			t.Errorf("a former key: got %v", err)
		}
	}
	if g, err = OpenGuard(path, nodeB, []protocol.KID{nodeA}); err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if m, ok := g.Mark(hash(2)); !ok || m.Seq != 1 {
		t.Errorf("got %v, %t", m, ok)
	}
}

func TestGuardMissing(t *testing.T) {
	g, path := newGuardFile(t)
	g.Close()
	if ok, err := GuardExists(path); !ok || err != nil {
		t.Errorf("got %t, %v", ok, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if ok, err := GuardExists(path); ok || err != nil {
		t.Errorf("got %t, %v", ok, err)
	}
	if _, err := OpenGuard(path, nodeA, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("got %v, want ErrNoKey", err)
	}
	if ok, _ := GuardExists(path); ok {
		t.Error("opening made a file")
	}
}

// Whatever length a crash leaves of the file, and whatever garbage behind it, the marks of the whole lines are there.
func TestGuardTornTail(t *testing.T) {
	g, path := newGuardFile(t)
	after := []int64{g.size} // length of the file after each line
	for i := range 3 {
		advance(t, g, marks{hash(1): {uint64(i + 1), hash(byte(10 + i))}, hash(2): {uint64(i + 7), hash(byte(20 + i))}})
		after = append(after, g.size)
	}
	g.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		for _, tail := range []string{"", strings.Repeat("\x00", 50), "\n", "\n\n\x00\n", "marks ", "node x\n", "entente-heads 1\n"} {
			data := append(slices.Clone(whole[:n]), tail...)
			same := 0 // bytes as they were written, for the garbage may begin like what is missing
			for same < min(len(data), len(whole)) && data[same] == whole[same] {
				same++
			}
			lines, _ := slices.BinarySearch(after, int64(same)+1)
			h, size, err := decodeHeads(data)
			switch {
			case lines == 0 && !errors.Is(err, ErrGuardDamaged):
				t.Fatalf("%d bytes and %q: got %v, want ErrGuardDamaged", n, tail, err)
			case lines > 0 && (err != nil || int64(size) != after[lines-1] || h.marks[hash(1)].Seq != uint64(lines-1)):
				t.Fatalf("%d bytes and %q: got %d bytes, mark %d, %v; want %d lines", n, tail, size, h.marks[hash(1)].Seq, err, lines)
			}
		}
	}
	// Damage before the last line is no tear: marks are lost that were acknowledged.
	for n := range after[2] {
		bad := slices.Clone(whole)
		bad[n] ^= 1
		if _, _, err := decodeHeads(bad); !errors.Is(err, ErrGuardDamaged) {
			t.Errorf("byte %d changed: got %v, want ErrGuardDamaged", n, err)
		}
	}
	// In the file, too, the torn end goes, and the next mark is recorded behind what is whole.
	for _, n := range []int64{after[2], after[2] + 1, after[3] - 1} {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		g := openGuard(t, path)
		if m, _ := g.Mark(hash(1)); m.Seq != 2 {
			t.Errorf("%d bytes: got %d, want 2", n, m.Seq)
		}
		advance(t, g, marks{hash(1): {100, hash(9)}})
		g.Close()
		g = openGuard(t, path)
		if m, _ := g.Mark(hash(1)); m.Seq != 100 {
			t.Errorf("%d bytes: a mark behind the tear was lost", n)
		}
		g.Close()
	}
}

func TestGuardWriteFails(t *testing.T) {
	g, path := newGuardFile(t)
	advance(t, g, marks{hash(1): {1, hash(11)}})
	crash := errors.New("disk gone")
	restore := failAt(t, "guard written", crash)
	if err := g.Advance(marks{hash(1): {2, hash(12)}}); !errors.Is(err, crash) {
		t.Errorf("got %v", err)
	}
	restore()
	if m, _ := g.Mark(hash(1)); m.Seq != 1 {
		t.Errorf("a mark that may not be durable counts: %v", m)
	}
	// After a failed sync nobody knows what the disk holds; writing on would pretend to.
	if err := g.Advance(marks{hash(1): {3, hash(13)}}); !errors.Is(err, ErrGuardBroken) {
		t.Errorf("got %v, want ErrGuardBroken", err)
	}
	g.Close()
	g = openGuard(t, path)
	advance(t, g, marks{hash(1): {3, hash(13)}})
}

func TestGuardCompaction(t *testing.T) {
	noSync(t)
	g, path := newGuardFile(t)
	g.limit = 4 << 10
	want := marks{}
	var greatest int64
	for i := range 400 {
		feed := hash(byte(i % 5))
		want[feed] = Mark{uint64(i + 1), hash(byte(i))}
		advance(t, g, marks{feed: want[feed]})
		greatest = max(greatest, g.size)
		if g.limit > 4<<10 {
			g.limit = 4 << 10
		}
	}
	if greatest > 8<<10 {
		t.Errorf("the file grew to %d bytes", greatest)
	}
	if got := files(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("%d files were left", len(got))
	}
	// Compaction that fails leaves the guard working on the file that is whole.
	failAt(t, "written", errors.New("disk full"))
	g.limit = 0
	for i := range 3 {
		want[hash(1)] = Mark{uint64(1000 + i), hash(1)}
		advance(t, g, marks{hash(1): want[hash(1)]})
	}
	g.Close()
	if got := openGuard(t, path).Marks(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGuardManyFeeds(t *testing.T) {
	g, path := newGuardFile(t)
	want := marks{}
	for i := range 3 * MaxMarks {
		want[protocol.Sum("test", fmt.Append(nil, i))] = Mark{uint64(i + 1), hash(1)}
	}
	part := marks{}
	for f, m := range want {
		if part[f] = m; len(part) == MaxMarks {
			advance(t, g, part)
			part = marks{}
		}
	}
	g.mu.Lock()
	if err := g.rewrite(); err != nil {
		t.Fatal(err)
	}
	g.mu.Unlock()
	g.Close()
	if got := openGuard(t, path).Marks(); !maps.Equal(got, want) {
		t.Errorf("got %d marks, want %d", len(got), len(want))
	}
}

func TestGuardConcurrent(t *testing.T) {
	noSync(t)
	g, path := newGuardFile(t)
	var wg sync.WaitGroup
	for n := range byte(8) {
		wg.Go(func() {
			for i := range uint64(20) {
				if err := g.Advance(marks{hash(n): {i + 1, hash(byte(i))}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	g.Close()
	g = openGuard(t, path)
	for n := range byte(8) {
		if m, _ := g.Mark(hash(n)); m.Seq != 20 {
			t.Errorf("feed %d: got %d, want 20", n, m.Seq)
		}
	}
}

func TestGuardPermissions(t *testing.T) {
	g, path := newGuardFile(t)
	g.Close()
	chmod(t, path, 0o644)
	if _, err := OpenGuard(path, nodeA, nil); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("got %v", err)
	}
	chmod(t, path, 0o600)
	move(t, path, path+"2")
	link(t, path+"2", path)
	if _, err := OpenGuard(path, nodeA, nil); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a link: got %v", err)
	}
}

// Against a plain map: any order of steps, crashes that tear the last line, and reopening.
func TestGuardProperties(t *testing.T) {
	noSync(t)
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint("heads", n))
		g, err := CreateGuard(path, nodeA)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { g.Close() }()
		model := marks{}
		t.Repeat(map[string]func(*rapid.T){
			"advance": func(t *rapid.T) {
				to := marks{}
				for range rapid.IntRange(1, 4).Draw(t, "feeds") {
					to[hash(rapid.Byte().Draw(t, "feed")%4)] = Mark{rapid.Uint64Range(1, 20).Draw(t, "seq"), hash(rapid.Byte().Draw(t, "hash") % 2)}
				}
				refuse := false
				for f, m := range to {
					old := model[f]
					refuse = refuse || m.Seq < old.Seq || m.Seq == old.Seq && m.Hash != old.Hash
				}
				err := g.Advance(to)
				if errors.Is(err, ErrRestored) != refuse || err != nil && !refuse {
					t.Fatalf("%v on %v: got %v", to, model, err)
				}
				if err == nil {
					maps.Copy(model, to)
				}
			},
			"compact": func(t *rapid.T) { g.limit = 0 },
			"crash": func(t *rapid.T) {
				g.Close()
				line := marksLine(marks{hash(1): {99, hash(1)}})
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					t.Fatal(err)
				}
				f.Write(line[:rapid.IntRange(0, len(line)-1).Draw(t, "torn")])
				f.Close()
				if g, err = OpenGuard(path, nodeA, nil); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if got := g.Marks(); !maps.Equal(got, model) {
					t.Fatalf("got %v, want %v", got, model)
				}
			},
		})
	})
}

func FuzzDecodeHeads(f *testing.F) {
	h := heads{nodes: []protocol.KID{nodeA, nodeB}, marks: marks{hash(1): {3, hash(2)}, hash(2): {1, hash(4)}}}
	f.Add(h.encode())
	f.Add(append(h.encode(), "marks "...))
	f.Add(headsLine(headsTitle))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, whole, err := decodeHeads(data)
		if err != nil {
			return
		}
		if whole > len(data) {
			t.Fatalf("%d whole bytes of %d", whole, len(data))
		}
		again, n, err := decodeHeads(h.encode())
		if err != nil || n != len(h.encode()) || !maps.Equal(again.marks, h.marks) || !slices.Equal(again.nodes, h.nodes) {
			t.Fatalf("encoded again it reads otherwise: %v", err)
		}
		same, n, err := decodeHeads(data[:whole])
		if err != nil || n != whole || !bytes.Equal(same.encode()[:10], h.encode()[:10]) || !maps.Equal(same.marks, h.marks) {
			t.Fatalf("without its tail it reads otherwise: %v", err)
		}
	})
}

func BenchmarkAdvance(b *testing.B) {
	g, _ := newGuardFile(b)
	for i := range uint64(b.N) {
		if err := g.Advance(marks{hash(1): {i + 1, hash(1)}}); err != nil {
			b.Fatal(err)
		}
	}
}
