package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/keyring"
)

// A thief copies the keys of a home whenever they change: nothing that its node destroys is lost to them.
type thief struct {
	home string
	quit chan struct{}
	done chan []string // the copies
}

// robs lets a thief into a home.
func (g *gathering) robs(home string) *thief {
	th := &thief{home: home, quit: make(chan struct{}), done: make(chan []string, 1)}
	go func() {
		var copies []string
		var last []byte
		steal := func() {
			b, err := os.ReadFile(filepath.Join(node.KeysDir(g.path(home)), "epochs.key"))
			if err != nil || bytes.Equal(b, last) {
				return
			}
			loot := g.path(fmt.Sprintf("%s.loot-%d", home, len(copies)))
			_ = os.RemoveAll(loot)
			if os.Mkdir(loot, 0o700) == nil && exec.Command("cp", "-a", node.KeysDir(g.path(home)), node.KeysDir(loot)).Run() == nil {
				copies, last = append(copies, loot), b
			} // else a file was replaced under its hands: again
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			steal()
			select {
			case <-tick.C:
			case <-th.quit:
				steal()
				th.done <- copies
				return
			}
		}
	}()
	return th
}

// granted returns the epochs of which others noted that they gave a team the identity.
func (g *gathering) granted(to string, by ...string) map[protocol.Hash]string {
	g.t.Helper()
	out := map[protocol.Hash]string{}
	for _, home := range by {
		g.ask(home, func(c *control.Client) error {
			return c.AuditLog(context.Background(), 0, time.Time{}, func(r control.AuditRecord) error {
				if r.Action == "grant" && r.Allowed && r.Object != nil && r.Team != nil && *r.Team == g.teams[to] {
					out[*r.Object] = home
				}
				return nil
			})
		})
	}
	return out
}

// A heap is what was said in a room, as it is kept.
type heap struct {
	parcels map[protocol.Hash]*protocol.Parcel // by the statement's id
	epochs  map[protocol.Hash]*protocol.Epoch
}

// heap reads what each author keeps of what it said, and the epochs that anybody knows.
func (g *gathering) heap() heap {
	g.t.Helper()
	h := heap{map[protocol.Hash]*protocol.Parcel{}, map[protocol.Hash]*protocol.Epoch{}}
	for _, home := range g.homes {
		g.heapOf(home, &h)
	}
	return h
}

func (g *gathering) heapOf(home string, h *heap) {
	g.t.Helper()
	r := g.ring(home)
	defer r.Close()
	s, err := store.Open(filepath.Join(g.path(home), "store"), storeKeys{r}, store.Options{})
	if err != nil {
		g.t.Fatal(err)
	}
	defer s.Close()
	g.records(s, h)
	feed := protocol.FeedOf(r.NodeKey().Public().ID(), protocol.RoomChannel(g.room))
	if err := s.Range(feed, 0, 0, false, func(_ uint64, raw []byte) bool {
		env, err := protocol.DecodeEnvelope(bytes.Clone(raw), protocol.MaxParcel)
		if err != nil {
			g.t.Fatal(err)
		}
		p, err := protocol.Decode[protocol.Parcel](env)
		if err != nil {
			g.t.Fatal(err)
		}
		id, err := s.StatementOf(env.ID())
		if err != nil {
			g.t.Fatal(err)
		}
		h.parcels[id] = p
		return true
	}); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gathering) records(s *store.Store, h *heap) {
	g.t.Helper()
	if err := s.RoomRecords(func(room protocol.Hash, _ time.Time, e *protocol.Envelope) error {
		if room != g.room || e.Type != protocol.TypeEpoch {
			return nil
		}
		ep, err := protocol.Decode[protocol.Epoch](e)
		h.epochs[e.ID()] = ep
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
}

// why says what a stopped node has of what was said.
func (g *gathering) why(home string, x saying) string {
	g.t.Helper()
	h := g.heap()
	p := h.parcels[x.id]
	if p == nil {
		return "its author has no parcel of it"
	}
	r := g.ring(home)
	defer r.Close()
	s, err := store.Open(filepath.Join(g.path(home), "store"), storeKeys{r}, store.Options{})
	if err != nil {
		g.t.Fatal(err)
	}
	defer s.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "it is entry %d", p.Seq)
	held := false
	if err := s.Range(p.Feed, p.Seq, p.Seq, false, func(uint64, []byte) bool { held = true; return false }); err != nil {
		g.t.Fatal(err)
	}
	fmt.Fprintf(&b, ", held: %v, sealed to epoch %s, whose identity is held: %v", held, p.Epoch.Short(), r.HasEpoch(p.Epoch))
	closed := false
	if err := s.Closed(p.Epoch, func(raw []byte) bool {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
		if err == nil {
			q, err := protocol.Decode[protocol.Parcel](env)
			closed = closed || err == nil && q.Feed == p.Feed && q.Seq == p.Seq
		}
		return true
	}); err != nil {
		g.t.Fatal(err)
	}
	fmt.Fprintf(&b, ", closed: %v", closed)
	mine := heap{map[protocol.Hash]*protocol.Parcel{}, map[protocol.Hash]*protocol.Epoch{}}
	g.records(s, &mine)
	fmt.Fprintf(&b, ", whose record is held: %v", mine.epochs[p.Epoch] != nil)
	return b.String()
}

// ageFiles returns what begins like an age file within bytes of a stream, each to the end that the length before it gives.
func ageFiles(b []byte) (out [][]byte) {
	magic := []byte("age-encryption.org/v1\n")
	for at := 0; ; {
		i := bytes.Index(b[at:], magic)
		if i < 0 {
			return out
		}
		i += at
		at = i + 1
		n := 0
		switch { // the head of a CBOR byte string
		case i >= 2 && b[i-2] == 0x58:
			n = int(b[i-1])
		case i >= 3 && b[i-3] == 0x59:
			n = int(binary.BigEndian.Uint16(b[i-2:]))
		case i >= 5 && b[i-5] == 0x5a:
			n = int(binary.BigEndian.Uint32(b[i-4:]))
		}
		if n > 0 && n <= len(b)-i {
			out = append(out, b[i:i+n])
		}
	}
}

// judges wants a thief of all that a team ever had to open what was said early, and nothing of what is secret to the team. All
// nodes are stopped.
func (g *gathering) judges(th *thief, given map[protocol.Hash]string, early, secret []saying) {
	g.t.Helper()
	close(th.quit)
	copies := <-th.done
	unlock, err := keyring.UnlockFile(g.path(th.home + ".unlock"))
	if err != nil {
		g.t.Fatal(err)
	}
	h := g.heap()
	keys := map[protocol.Hash]seal.Identity{}
	stolen, captured := 0, 0
	for _, dir := range append(copies, g.path(th.home)) {
		r, err := keyring.Open(node.KeysDir(dir), unlock)
		if err != nil {
			g.t.Fatal(err)
		}
		for _, id := range r.Epochs(g.room) {
			if k, ok := r.Epoch(id); ok {
				keys[id] = k.Identity
				stolen++
			}
		}
		for _, part := range g.readHeard(th.home) { // also what its node would not take
			if dir != g.path(th.home) {
				break
			}
			for _, file := range ageFiles(part) {
				for id, ep := range h.epochs {
					if k, err := r.OpenGrant(file, ep.Recipient); err == nil {
						keys[id] = k
						captured++
					}
				}
			}
		}
		r.Close()
	}
	if stolen == 0 || captured == 0 {
		g.t.Fatalf("of %d copies of the keys of %s and its streams, %d and %d keys of the room came: the test looks in the wrong place",
			len(copies), th.home, stolen, captured)
	}
	opens := func(x saying) []byte {
		p := h.parcels[x.id]
		if p == nil {
			g.t.Fatalf("there is no parcel of what %s said: the test looks in the wrong place", x.from)
		}
		for _, k := range keys { // whatever the parcel says
			if inner, err := seal.OpenSmall(p.Body, k); err == nil {
				return inner
			}
		}
		return nil
	}
	for _, x := range early {
		if inner := opens(x); inner == nil || !bytes.Contains(inner, []byte(x.word)) {
			g.t.Errorf("what %s said before cannot be opened with what %s had", x.from, th.home)
		}
	}
	for _, x := range secret {
		if opens(x) != nil {
			g.t.Errorf("what %s said when it knew that %s is out can be opened with what %s had", x.from, th.home, th.home)
		}
		p := h.parcels[x.id]
		if by, ok := given[p.Epoch]; ok {
			g.t.Errorf("%s gave %s the key to what %s said when it knew that it is out", by, th.home, x.from)
		}
	}

	loot := g.hoard(th.home, protocol.Channel{}, protocol.RoomChannel(g.room))
	streams := g.readHeard(th.home)
	log, err := os.ReadFile(g.path(th.home + ".log"))
	if err != nil {
		g.t.Fatal(err)
	}
	places := map[string]haystack{
		"the store of " + th.home:   newHaystack(loot.bytes...),
		"the files of " + th.home:   newHaystack(append(readTree(g.t, g.path(th.home)), log)...),
		"the streams of " + th.home: newHaystack(streams...),
	}
	if places["the store of "+th.home].shows(early[0].word) == "" {
		g.t.Fatalf("the store of %s lacks what was said before: the test looks in the wrong place", th.home)
	}
	for name, hay := range places {
		for _, x := range secret {
			if hay.shows(x.word) != "" {
				g.t.Errorf("%s show what %s said when it knew that %s is out", name, x.from, th.home)
			}
		}
	}
	g.t.Logf("%d messages before, %d that are secret to %s; %d keys of the room, from %d copies and %d captured grants; %d values in its store, %d closed",
		len(early), len(secret), th.home, len(keys), len(copies), captured, len(loot.bytes), loot.closed)
}
