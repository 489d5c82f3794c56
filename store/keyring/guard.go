package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/entente-network/entente/protocol"
)

// Limits of a guard.
const (
	MaxMarks = 1024 // feeds in one call of Advance

	maxGuard     = 64 << 20 // bytes of the file
	compactGuard = 1 << 20  // bytes from which the file is written anew
)

// Errors of a guard. After each of the first three the node must not sign until an officer certified a new node key.
var (
	// ErrRestored says that the store, or the node key, is older than what this node signed: a restored backup or a clone.
	ErrRestored = errors.New("this node signed more than its store holds")
	// ErrOtherNode says that the guard belongs to a node key that this node does not know.
	ErrOtherNode = errors.New("the file of heads is of another node key")
	// ErrGuardDamaged says that the file lost marks. Move it away and make another after the node key was replaced.
	ErrGuardDamaged = errors.New("the file of heads is damaged")
	// ErrGuardBroken says that a write failed, so that it is unknown what the disk holds. Open the guard anew.
	ErrGuardBroken = errors.New("the file of heads was closed, or could not be written before")
)

// A Mark says how far a feed was signed.
type Mark struct {
	Seq  uint64
	Hash protocol.Hash // id of the entry Seq
}

// A Guard remembers how far this node signed its own feeds, in a file outside backups. It keeps a node whose store was restored
// or cloned from signing a second entry for a sequence number, which all others would see as a fork. Safe for concurrent use.
//
// The rule: an entry leaves the node only after it is durable in the store, and after [Guard.Advance] returned for it. So the
// store holds everything that the guard records, or else it was restored. The store may be ahead by what a crash kept from
// leaving; that may leave later, after Advance. Many entries need one Advance.
//
// A guard that is missing says nothing. If the store holds entries of this node's present key, the node must refuse to sign,
// as if it was restored; if it holds none, [CreateGuard] makes one.
//
// The file is a log of lines, each with a checksum. One call of Advance is one line and one sync. A last line that a crash tore
// was never acknowledged, and is dropped.
type Guard struct {
	mu     sync.Mutex
	dir    *folder
	name   string
	file   *os.File
	size   int64 // bytes of whole lines
	limit  int64 // bytes from which to compact
	broken bool
	heads
}

// CreateGuard makes the guard of a node key. ErrExists if there is one. Its directory must be there.
func CreateGuard(path string, node protocol.KID) (*Guard, error) {
	g, err := newGuard(path)
	if err != nil {
		return nil, err
	}
	g.heads = heads{nodes: []protocol.KID{node}, marks: map[protocol.FeedID]Mark{}}
	if err := g.dir.create(g.name, g.heads.encode()); err != nil {
		g.Close()
		return nil, err
	}
	if err := g.load(); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// OpenGuard opens the guard of a node key. Former are the keys that this one replaced ([Ring.Former]): the guard of one of them
// is taken over, and its marks are dropped, as the new key has feeds of its own. Errors to tell apart: ErrNoKey if there is no
// guard, ErrOtherNode, ErrGuardDamaged, ErrUnsafe.
func OpenGuard(path string, node protocol.KID, former []protocol.KID) (*Guard, error) {
	g, err := newGuard(path)
	if err != nil {
		return nil, err
	}
	if err := g.load(); err != nil {
		g.Close()
		return nil, err
	}
	if g.node() == node {
		return g, nil
	}
	if !slices.Contains(former, g.node()) || slices.Contains(g.nodes, node) {
		g.Close()
		return nil, fmt.Errorf("%s: %w: %s, and this node has %s", path, ErrOtherNode, g.nodes[len(g.nodes)-1], node)
	}
	g.heads = heads{nodes: append(g.nodes, node), marks: map[protocol.FeedID]Mark{}}
	if err := g.rewrite(); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// GuardExists reports whether there is a file of heads.
func GuardExists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func newGuard(path string) (*Guard, error) {
	f, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return &Guard{dir: f, name: filepath.Base(path)}, nil
}

// load reads the file and drops what a crash tore off its end.
func (g *Guard) load() error {
	fi, err := g.dir.root.Lstat(g.name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", g.dir.file(g.name), ErrNoKey)
	}
	if err != nil {
		return err
	}
	if err := checkOwn(g.dir.file(g.name), fi, 0o600); err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxGuard {
		return fmt.Errorf("%s: %w: want a regular file of at most %d bytes", g.dir.file(g.name), ErrGuardDamaged, maxGuard)
	}
	g.dir.clean(g.name)
	file, err := g.dir.root.OpenFile(g.name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if g.file != nil {
		g.file.Close()
	}
	g.file = file
	data, err := io.ReadAll(io.LimitReader(file, maxGuard))
	if err != nil {
		return err
	}
	h, whole, err := decodeHeads(data)
	if err != nil {
		return fmt.Errorf("%s: %w", g.dir.file(g.name), err)
	}
	if whole < len(data) {
		if err := file.Truncate(int64(whole)); err != nil {
			return err
		}
		if err := syncFile(file); err != nil {
			return err
		}
	}
	g.heads, g.size, g.limit = h, int64(whole), max(compactGuard, 4*int64(len(h.encode())))
	return nil
}

// Close closes the file.
func (g *Guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = true
	g.dir.close()
	if g.file == nil {
		return nil
	}
	err := g.file.Close()
	g.file = nil
	return err
}

// Mark returns how far the feed was signed; false if it never was.
func (g *Guard) Mark(feed protocol.FeedID) (Mark, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, ok := g.marks[feed]
	return m, ok
}

// Marks returns how far each feed was signed.
func (g *Guard) Marks() map[protocol.FeedID]Mark {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.marks)
}

// Check compares the guard with the newest entries of this node's own feeds in the store. ErrRestored if any feed was signed
// further than it reaches, or otherwise.
func (g *Guard) Check(own map[protocol.FeedID]Mark) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for feed, signed := range g.marks {
		if err := signed.covered(feed, own[feed]); err != nil {
			return err
		}
	}
	return nil
}

// covered checks that a feed with the given newest entry can hold the mark.
func (m Mark) covered(feed protocol.FeedID, newest Mark) error {
	if newest.Seq < m.Seq {
		return fmt.Errorf("%w: feed %s: entry %d was signed, and the newest is %d: the store was restored or cloned, or lost entries",
			ErrRestored, feed.Short(), m.Seq, newest.Seq)
	}
	if newest.Seq == m.Seq && newest.Hash != m.Hash {
		return fmt.Errorf("%w: feed %s: another entry %d was signed than the one at hand: the store was restored or cloned",
			ErrRestored, feed.Short(), m.Seq)
	}
	return nil
}

// Advance records that the feeds were signed this far, and returns when that is durable. It is called after the store committed
// the entries and before they leave. ErrRestored if a feed was signed further already, or otherwise at the same place; then
// nothing is recorded and none of the entries may leave.
func (g *Guard) Advance(to map[protocol.FeedID]Mark) error {
	if len(to) > MaxMarks {
		return fmt.Errorf("%d feeds at once: at most %d", len(to), MaxMarks)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken {
		return ErrGuardBroken
	}
	fresh := map[protocol.FeedID]Mark{}
	for feed, m := range to {
		if m.Seq == 0 || m.Hash.IsZero() {
			return errors.New("a mark without sequence number or hash")
		}
		if err := g.marks[feed].covered(feed, m); err != nil {
			return err
		}
		if m != g.marks[feed] {
			fresh[feed] = m
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := g.append(marksLine(fresh)); err != nil {
		return fmt.Errorf("recording how far this node signed: %w", err)
	}
	maps.Copy(g.marks, fresh)
	if g.size > g.limit && g.rewrite() != nil {
		g.limit = 2 * g.size // the file in use is whole; try again later
	}
	return nil
}

// append writes a line behind the whole ones. If it cannot be known what the disk holds then, the guard is broken.
func (g *Guard) append(line []byte) error {
	if g.size+int64(len(line)) > maxGuard {
		return fmt.Errorf("the file of heads would be over %d bytes", maxGuard)
	}
	if _, err := g.file.WriteAt(line, g.size); err != nil {
		g.broken = g.file.Truncate(g.size) != nil
		return err
	}
	if err := step("guard written"); err != nil {
		g.broken = true
		return err
	}
	if err := syncFile(g.file); err != nil {
		g.broken = true
		return err
	}
	g.size += int64(len(line))
	return nil
}

// inPlace reports whether the open file is still the one of that name.
func (g *Guard) inPlace() bool {
	a, err1 := g.file.Stat()
	b, err2 := g.dir.root.Lstat(g.name)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// rewrite replaces the file by a short one of the same content.
func (g *Guard) rewrite() error {
	data := g.heads.encode()
	if err := g.dir.replace(g.name, data); err != nil {
		g.broken = !g.inPlace()
		return err
	}
	file, err := g.dir.root.OpenFile(g.name, os.O_RDWR, 0)
	if err != nil {
		g.broken = true // the old file has no name any more
		return err
	}
	g.file.Close()
	g.file, g.size, g.limit = file, int64(len(data)), max(compactGuard, 4*int64(len(data)))
	return nil
}
