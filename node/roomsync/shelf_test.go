package roomsync

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/nodetest/world"
	"github.com/entente-network/entente/protocol"
)

// hash returns an id.
func hash(parts ...any) protocol.Hash { return protocol.Sum("test", []byte(fmt.Sprint(parts...))) }

// A paper is a record as these tests know it: an id, a set of signatures that can grow, and the weight of its content.
type paper struct {
	id   protocol.Hash
	sigs uint64
	size int
}

func (p paper) raw() []byte {
	b := append(p.id[:], fmt.Sprintf("%016x", p.sigs)...)
	return append(b, bytes.Repeat([]byte{'.'}, p.size)...)
}

func readPaper(raw []byte) (p paper, err error) {
	if len(raw) < 48 {
		return p, fmt.Errorf("%w: no paper", ErrRefused)
	}
	p.id, p.size = protocol.Hash(raw), len(raw)-48
	if _, err := fmt.Sscanf(string(raw[32:48]), "%016x", &p.sigs); err != nil {
		return p, fmt.Errorf("%w: no paper", ErrRefused)
	}
	return p, nil
}

type shelfRoom map[protocol.Hash]paper

// A shelf is a Backend that keeps papers in memory.
type shelf struct {
	mu       sync.Mutex
	rooms    map[protocol.Hash]shelfRoom
	members  map[protocol.Hash]map[peer.ID]bool
	hides    map[peer.ID]map[protocol.Hash]bool // ids that a peer may not have
	barred   map[peer.ID]bool
	held     map[protocol.Hash]bool // epochs whose identity is here
	wanted   map[protocol.Hash]protocol.Hash
	compared map[peer.ID]int
	asked    map[peer.ID]int // for rooms
	records  int             // calls
	grants   int             // that were made
	takes    int             // calls
	taken    int             // bytes
	log      []string        // of what was taken, in order
	offences []string
	firsts   map[protocol.Hash]protocol.Hash // which record of a room was taken first
	forgets  bool                            // keeps nothing of what it takes
	take     func(ctx context.Context, p peer.ID) error
	engine   *Engine
}

func newShelf() *shelf {
	return &shelf{rooms: map[protocol.Hash]shelfRoom{}, members: map[protocol.Hash]map[peer.ID]bool{}, barred: map[peer.ID]bool{},
		hides: map[peer.ID]map[protocol.Hash]bool{}, held: map[protocol.Hash]bool{}, wanted: map[protocol.Hash]protocol.Hash{},
		firsts: map[protocol.Hash]protocol.Hash{}, compared: map[peer.ID]int{}, asked: map[peer.ID]int{}}
}

func (s *shelf) Admits(p peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.barred[p]
}

func (s *shelf) Rooms(p peer.ID) (out []Room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[p]++
	for _, room := range ascending(s.rooms, s.members) {
		if rs := s.of(p, room); len(rs) > 0 {
			out = append(out, Room{room, Digest(rs)})
		}
	}
	return out
}

func (s *shelf) Records(p peer.ID, room protocol.Hash) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records++
	return s.of(p, room)
}

// of returns what a peer may have of a room. s.mu is held.
func (s *shelf) of(p peer.ID, room protocol.Hash) (out []Record) {
	if !s.members[room][p] {
		return nil
	}
	for id, pa := range s.rooms[room] {
		if !s.hides[p][id] {
			raw := pa.raw()
			out = append(out, Record{id, Sum(raw), raw})
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out
}

func (s *shelf) Held(room protocol.Hash) (out []protocol.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pa := range s.rooms[room] {
		out = append(out, Sum(pa.raw()))
	}
	return out
}

func (s *shelf) Take(ctx context.Context, p peer.ID, room protocol.Hash, raws [][]byte) error {
	s.mu.Lock()
	take := s.take
	s.mu.Unlock()
	if take != nil {
		if err := take(ctx, p); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.takes++
	gained := false
	for _, raw := range raws {
		pa, err := readPaper(raw)
		if err != nil {
			s.mu.Unlock()
			return err
		}
		if _, ok := s.firsts[room]; !ok {
			s.firsts[room] = pa.id
		}
		s.taken += len(raw)
		s.log = append(s.log, "record")
		gained = !s.forgets && s.add(room, pa) || gained
	}
	engine := s.engine
	s.mu.Unlock()
	if gained && engine != nil {
		engine.Changed(room, p)
	}
	return nil
}

// add keeps a paper, and reports whether it says anything new. s.mu is held.
func (s *shelf) add(room protocol.Hash, pa paper) bool {
	if s.rooms[room] == nil {
		s.rooms[room] = shelfRoom{}
	}
	old, ok := s.rooms[room][pa.id]
	pa.sigs |= old.sigs
	s.rooms[room][pa.id] = pa
	return !ok || pa.sigs != old.sigs
}

// put keeps papers of a room.
func (s *shelf) put(room protocol.Hash, ps ...paper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		s.add(room, p)
	}
}

// join makes peers members of a room, as this node sees it.
func (s *shelf) join(room protocol.Hash, ps ...peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members[room] == nil {
		s.members[room] = map[peer.ID]bool{}
	}
	for _, p := range ps {
		s.members[room][p] = true
	}
}

func (s *shelf) Wants(_ peer.ID, room protocol.Hash) (out []protocol.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for epoch, of := range s.wanted {
		if of == room && !s.held[epoch] {
			out = append(out, epoch)
		}
	}
	return out
}

func (s *shelf) Grants(_ context.Context, p peer.ID, room protocol.Hash, epochs []protocol.Hash) (out [][]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range epochs {
		if s.held[e] && s.members[room][p] {
			s.grants++
			out = append(out, e[:])
		}
	}
	return out, nil
}

func (s *shelf) TakeGrants(_ context.Context, _ peer.ID, _ protocol.Hash, raws [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, raw := range raws {
		s.log = append(s.log, "grant")
		s.held[protocol.Hash(raw)] = true
	}
	return nil
}

func (s *shelf) Compared(p peer.ID, _ protocol.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compared[p]++
}

func (s *shelf) offence(_ peer.ID, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offences = append(s.offences, why)
}

func (s *shelf) blamed(why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.offences, func(o string) bool { return strings.Contains(o, why) })
}

func (s *shelf) innocent(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.offences) > 0 {
		t.Errorf("offences %q: want none", s.offences)
	}
}

// count returns a number that is guarded.
func count[T any](s *shelf, f func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

// same reports whether two shelves have the same of a room.
func same(a, b *shelf, room protocol.Hash) bool {
	a.mu.Lock()
	mine := maps.Clone(a.rooms[room])
	a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Equal(mine, b.rooms[room])
}

// A post is a host with an engine, and its shelf.
type post struct {
	host.Host
	*Engine
	*shelf
}

// open puts a post at a place.
func open(t *testing.T, w *world.World, place int, o Options) *post {
	t.Helper()
	p := &post{Host: w.Host(place), shelf: newShelf()}
	o.Offence = p.shelf.offence
	p.Engine = New(p.Host, p.shelf, o)
	p.shelf.engine = p.Engine
	opened = append(opened, p.shelf)
	t.Cleanup(func() {
		_ = p.Engine.Close()
		opened = nil
	})
	return p
}

// posts runs f with n posts that all know of one room, in which all are, and are not connected.
func posts(t *testing.T, n int, o Options, f func(t *testing.T, w *world.World, ps []*post)) {
	t.Helper()
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 1, n, world.Options{})
		var ps []*post
		for i := range n {
			ps = append(ps, open(t, w, i, o))
		}
		for _, p := range ps {
			for _, q := range ps {
				p.join(theRoom, q.ID())
			}
			p.put(theRoom, paper{id: theRoom, size: 100})
		}
		f(t, w, ps)
		settle(0)
		for _, p := range ps {
			_ = p.Engine.Close()
		}
	})
}

// meet connects posts and says so.
func meet(w *world.World, ps []*post, pairs ...[2]int) {
	w.ConnectAll(pairs)
	for _, p := range pairs {
		ps[p[0]].PeerReady(ps[p[1]].ID())
		ps[p[1]].PeerReady(ps[p[0]].ID())
	}
}

var theRoom = hash("the room")

// papers returns papers that nobody else has.
func papers(who string, n, size int) (out []paper) {
	for i := range n {
		out = append(out, paper{id: hash(who, i), sigs: 1, size: size})
	}
	return out
}

// settle lets virtual time pass, and what is due happen. Between two calls a test has the shelves for itself: nothing happens
// then, and the locks say so to the race detector.
func settle(d time.Duration) {
	fence := func() {
		for _, s := range opened {
			s.mu.Lock()
			s.mu.Unlock() //lint:ignore SA2001 a fence
		}
	}
	fence()
	time.Sleep(d)
	synctest.Wait()
	fence()
}

// opened are the shelves of the test that runs.
var opened []*shelf
