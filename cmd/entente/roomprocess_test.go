package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// envWall names a file with the peers that a node cannot reach, and that cannot reach it. It may change while the node runs.
const envWall = "ENTENTE_TEST_WALL"

func init() { // after that of processes_test.go
	file := os.Getenv(envWall)
	if file == "" {
		return
	}
	before := testOnlyConfig
	testOnlyConfig = func(c *node.Config) {
		if before != nil {
			before(c)
		}
		newHost, listen := c.NewHost, c.Listen
		if newHost == nil {
			newHost = func(k crypto.PrivKey, g connmgr.ConnectionGater) (host.Host, error) {
				return libp2p.New(libp2p.Identity(k), libp2p.ListenAddrStrings(listen...), libp2p.ConnectionGater(g),
					libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.DisableRelay(), libp2p.DisableMetrics())
			}
		}
		c.NewHost = func(k crypto.PrivKey, g connmgr.ConnectionGater) (host.Host, error) {
			w := wall{g, file}
			h, err := newHost(k, w)
			if err == nil {
				go w.stand(h)
			}
			return h, err
		}
	}
}

// A wall lets nothing through between a node and some others.
type wall struct {
	connmgr.ConnectionGater
	file string
}

func (w wall) against() map[peer.ID]bool {
	b, _ := os.ReadFile(w.file)
	out := map[peer.ID]bool{}
	for _, s := range strings.Fields(string(b)) {
		p, err := peer.Decode(s)
		if err != nil {
			panic(err)
		}
		out[p] = true
	}
	return out
}

func (w wall) InterceptPeerDial(p peer.ID) bool {
	return !w.against()[p] && w.ConnectionGater.InterceptPeerDial(p)
}

func (w wall) InterceptSecured(d network.Direction, p peer.ID, a network.ConnMultiaddrs) bool {
	return !w.against()[p] && w.ConnectionGater.InterceptSecured(d, p, a)
}

// stand cuts connections as soon as the wall stands, and makes them anew when it is gone, for as long as the process lives.
func (w wall) stand(h host.Host) {
	was := map[peer.ID]bool{}
	for range time.Tick(50 * time.Millisecond) {
		is := w.against()
		for _, p := range h.Network().Peers() {
			if is[p] {
				_ = h.Network().ClosePeer(p)
			}
		}
		for p := range was {
			if !is[p] {
				_ = h.Connect(context.Background(), peer.AddrInfo{ID: p}) // it would be dialled some time; a test waits for it
			}
		}
		was = is
	}
}

// A gathering is a league with a room.
type gathering struct {
	*league
	room     protocol.Hash
	name     string
	stewards []string
	teams    map[string]protocol.TeamID
	peers    map[string]string

	mu   sync.Mutex
	said []saying // guarded by mu
}

// A saying is a message in a room that was accepted. Its author had heard before that a team was out, or it had not even after;
// of those in between nothing is known.
type saying struct {
	from          string
	id            protocol.Hash
	word          string // in it, in each line, and in nothing else
	sum           [32]byte
	knew, unaware bool
	with          map[string]bool // teams that its author saw as members before and after
}

// gather makes teams which know and verified each other, and founds a room of them. Walls may be built around all of them.
func gather(w *league, stewards, members []string, flags ...string) *gathering {
	w.t.Helper()
	g := assemble(w, slices.Concat(stewards, members)...)
	g.founds(stewards, members, flags...)
	return g
}

// assemble is gather without a room.
func assemble(w *league, homes ...string) *gathering {
	w.t.Helper()
	g := &gathering{league: w, teams: map[string]protocol.TeamID{}, peers: map[string]string{}}
	ctx := context.Background()
	intro := map[string][]byte{}
	for _, home := range homes {
		w.env[home] = append(w.env[home], envWall+"="+w.path(home+".wall"))
		w.found(home)
		g.teams[home] = w.team(home)
		intro[home] = w.contents(home + ".intro")
		w.ask(home, func(c *control.Client) error {
			t, err := c.Team(ctx, g.teams[home].String())
			if err == nil && len(t.Nodes) != 1 {
				err = fmt.Errorf("%d nodes", len(t.Nodes))
			}
			if err == nil {
				g.peers[home] = t.Nodes[0].Peer
			}
			return err
		})
	}
	for _, home := range homes {
		w.ask(home, func(c *control.Client) error {
			for _, other := range homes {
				if other == home {
					continue
				}
				id := g.teams[other]
				if _, err := c.AddTeam(ctx, intro[other], "Ada"); err != nil {
					return err
				}
				if _, err := c.VerifyTeam(ctx, id, trust.Fingerprint(id), "phone", "Ada", nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, home := range homes {
		w.connected(home, len(homes)-1)
	}
	return g
}

// founds founds the room, and waits until all see it open with all members.
func (g *gathering) founds(stewards, members []string, flags ...string) {
	g.t.Helper()
	g.name, g.stewards = "Hollyhock ring", stewards
	args := []string{"room", "create", g.name, "--tlp-max", "AMBER", "--json"}
	for _, s := range stewards[1:] {
		args = append(args, "--steward", teamName(s))
	}
	for _, m := range members {
		args = append(args, "--member", teamName(m))
	}
	var r control.Room
	g.object(&r, stewards[0], append(args, flags...)...)
	g.room = r.ID
	for _, home := range slices.Concat(stewards[1:], members) {
		g.inRoom(home, "something to sign", func(r *control.Room) bool { return len(r.Waiting) > 0 })
		if slices.Contains(stewards, home) {
			g.run(home, "room", "sign", g.room.String())
		} else {
			g.inRoom(home, "an open room", func(r *control.Room) bool { return r.State == "open" })
			g.run(home, "room", "accept", g.room.String())
		}
	}
	for _, home := range slices.Concat(stewards, members) {
		g.inRoom(home, "all members", func(r *control.Room) bool {
			in := 0
			for _, m := range r.Members {
				if m.Status == "member" {
					in++
				}
			}
			return r.State == "open" && in == len(stewards)+len(members)
		})
	}
}

// inRoom waits until a team sees the room as it should be.
func (g *gathering) inRoom(home, what string, is func(*control.Room) bool) {
	g.t.Helper()
	g.until(home+" to see "+what, func(c *control.Client) (bool, error) {
		r, err := c.Room(context.Background(), g.room.String())
		if err != nil {
			return false, err
		}
		return is(r), errors.New(g.brief(r))
	}, home)
}

// brief says what a team sees of the room.
func (g *gathering) brief(r *control.Room) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s), version %d:", r.State, r.Why, r.Version)
	for _, m := range r.Members {
		fmt.Fprintf(&b, " %s %s,", m.Name, m.Status)
	}
	for _, p := range r.Proposals {
		fmt.Fprintf(&b, " %s of %s with %d votes (mine: %v, %s, missing: %q),", p.Kind, p.Name, p.Votes, p.Mine, p.Why, p.Missing)
	}
	fmt.Fprintf(&b, " %d wait", len(r.Waiting))
	return b.String()
}

// sees waits until teams see another one where it stands.
func (g *gathering) sees(other, status string, homes ...string) {
	g.t.Helper()
	for _, home := range homes {
		g.inRoom(home, other+" "+status, func(r *control.Room) bool { return g.standing(r, other) == status })
	}
}

func (g *gathering) standing(r *control.Room, home string) string {
	for _, m := range r.Members {
		if m.ID == g.teams[home] {
			return m.Status
		}
	}
	return "none"
}

// removes has all stewards put a team out.
func (g *gathering) removes(other string) {
	g.t.Helper()
	g.run(g.stewards[0], "room", "remove", g.room.String(), teamName(other), "--reason", "it passed things on")
	for i, s := range g.stewards[1:] {
		g.inRoom(s, "the votes of those before it", func(r *control.Room) bool {
			return g.standing(r, other) == "removed" || slices.ContainsFunc(r.Proposals, func(p control.RoomProposal) bool { return p.Mine && p.Votes > i })
		})
		if i+2 <= g.quorum() {
			g.run(s, "room", "vote", g.room.String(), teamName(other))
		}
	}
}

func (g *gathering) quorum() (q int) {
	g.t.Helper()
	g.ask(g.stewards[0], func(c *control.Client) error {
		r, err := c.Room(context.Background(), g.room.String())
		if err == nil {
			q = r.Quorum
		}
		return err
	})
	return q
}

// notice returns a text with the word in every line.
func notice(word string, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "TLP:AMBER\n# Notice %s\n\n%s\n", word, word)
	for b.Len() < size {
		fmt.Fprintf(&b, "%s %016x %016x\n", word, rand.Uint64(), rand.Uint64())
	}
	return b.Bytes()
}

// inline is below what travels apart from its message, apart is above.
const (
	inline = 400
	apart  = 40_000
)

// say says something in the room, and notes what its author knew of where another team stands.
func (g *gathering) say(home string, size int, other string) (saying, error) {
	ctx := context.Background()
	c, err := control.Dial(g.path(home))
	if err != nil {
		return saying{}, err
	}
	defer c.Close()
	in := func() (map[string]bool, error) {
		r, err := c.Room(ctx, g.room.String())
		if err != nil {
			return nil, err
		}
		in := map[string]bool{}
		for _, h := range g.homes {
			if g.standing(r, h) == "member" {
				in[h] = true
			}
		}
		return in, nil
	}
	x := saying{from: home, word: fmt.Sprintf("thimblerig%016x", rand.Uint64())}
	before, err := in()
	if err != nil {
		return x, err
	}
	x.knew = other != "" && !before[other]
	text := notice(x.word, size)
	x.sum = sha256.Sum256(text)
	sent, err := c.Send(ctx, control.Draft{To: "room:" + g.room.String()}, bytes.NewReader(text))
	if err != nil {
		return x, err
	}
	x.id = *sent.ID
	g.mu.Lock()
	g.said = append(g.said, x)
	at := len(g.said) - 1
	g.mu.Unlock()
	if after, err := in(); err == nil {
		x.with = map[string]bool{}
		for h := range after {
			if before[h] {
				x.with[h] = true
			}
		}
		x.unaware = after[other]
		g.mu.Lock()
		g.said[at] = x
		g.mu.Unlock()
	}
	return x, nil
}

// says is say for who must succeed.
func (g *gathering) says(home string, size int, other string) saying {
	g.t.Helper()
	x, err := g.say(home, size, other)
	if err != nil {
		g.t.Fatalf("%s says something in the room: %v", home, err)
	}
	return x
}

func (g *gathering) sayings() []saying {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.said)
}

// hear waits until teams have what was said, and compares it.
func (g *gathering) hear(xs []saying, homes ...string) {
	g.t.Helper()
	for _, home := range homes {
		for _, x := range xs {
			if !g.arrives(home, x) {
				return
			}
			g.ask(home, func(c *control.Client) error {
				h := sha256.New()
				err := c.Body(context.Background(), x.id, h)
				if err == nil && [32]byte(h.Sum(nil)) != x.sum {
					g.t.Errorf("at %s, what %s said came out changed", home, x.from)
				}
				return err
			})
		}
		g.once(home)
	}
}

// arrives waits until a team has what was said. If it does not come, it ends the test with what hinders it.
func (g *gathering) arrives(home string, x saying) bool {
	g.t.Helper()
	last := ""
	for end := time.Now().Add(g.patience()); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		c, err := control.Dial(g.path(home))
		if err != nil {
			continue // it is starting
		}
		m, err := c.Message(context.Background(), x.id.String())
		_ = c.Close()
		if err == nil && m.Complete {
			return true
		}
		if last = fmt.Sprint(err); err == nil {
			last = fmt.Sprintf("%d of %d bytes are there", m.Arrived, m.Size)
		}
	}
	g.stopAll()
	g.t.Fatalf("%s never has what %s said: %s; %s", home, x.from, last, g.why(home, x))
	return false
}

// once wants every message once.
func (g *gathering) once(home string) (seen map[protocol.Hash]control.Message) {
	g.t.Helper()
	seen = map[protocol.Hash]control.Message{}
	sums := map[[32]byte]protocol.Hash{}
	g.ask(home, func(c *control.Client) error {
		return c.Inbox(context.Background(), control.Query{}, func(m control.Message) error {
			if _, twice := seen[m.ID]; twice {
				g.t.Errorf("%s holds %s twice", home, m.ID.Short())
			}
			seen[m.ID] = m
			if !m.Complete {
				return nil
			}
			h := sha256.New()
			if err := c.Body(context.Background(), m.ID, h); err != nil {
				return err
			}
			sum := [32]byte(h.Sum(nil))
			if before, ok := sums[sum]; ok {
				g.t.Errorf("%s holds the same twice, as %s and %s", home, before.Short(), m.ID.Short())
			}
			sums[sum] = m.ID
			return nil
		})
	})
	return seen
}

// walls builds a wall between a team and others, and waits until it stands; with none it is taken down.
func (g *gathering) walls(home string, others ...string) {
	g.t.Helper()
	var b strings.Builder
	for _, o := range others {
		fmt.Fprintln(&b, g.peers[o])
	}
	g.write(home+".wall.new", b.String())
	if err := os.Rename(g.path(home+".wall.new"), g.path(home+".wall")); err != nil {
		g.t.Fatal(err)
	}
}

// tapped has what goes over a team's streams recorded.
func (w *league) tapped(home string) {
	w.t.Helper()
	tap := w.path(home + ".tap")
	if err := os.Mkdir(tap, 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.env[home] = append(w.env[home], envTap+"="+tap)
}

// talk has teams speak all the time, some of it short and some of it long, until the returned function is called. What a team
// that is out is told for it is in the map that this returns.
func (g *gathering) talk(other string, homes ...string) (hush func() (refused map[string]error)) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := map[string]error{}
	for _, home := range homes {
		for _, size := range []int{inline, apart} {
			every := 400 * time.Millisecond
			if size == apart {
				every *= 3
			}
			wg.Go(func() {
				tick := time.NewTicker(every)
				defer tick.Stop()
				for {
					if _, err := g.say(home, size, other); err != nil {
						mu.Lock()
						refused[home] = errors.Join(refused[home], err)
						mu.Unlock()
						return
					}
					select {
					case <-quit:
						return
					case <-tick.C:
					}
				}
			})
		}
	}
	return func() map[string]error {
		close(quit)
		wg.Wait()
		return refused
	}
}

// Five teams speak all the time while the stewards put one of them out. It read all that was said before. Of what was said by
// those who knew that it is out it can open nothing: not with all that was ever on its disk, its captured streams and all its
// keys. Nobody else misses a word.
func TestRemovalMeanwhile(t *testing.T) {
	w := newLeague(t)
	w.tapped("e")
	g := gather(w, []string{"a", "b", "c"}, []string{"d", "e"})
	stay := []string{"a", "b", "c", "d"}
	th := g.robs("e")
	hush := g.talk("e", append(stay, "e")...)
	g.pollFor(g.patience(), "everybody to say something", func() (bool, error) {
		by := map[string]int{}
		for _, x := range g.sayings() {
			by[x.from]++
		}
		return len(by) == 5 && min(by["a"], by["b"], by["c"], by["d"], by["e"]) >= 3, fmt.Errorf("%v", by)
	})
	early := g.sayings()
	g.hear(early, append(stay, "e")...)
	g.removes("e")
	g.sees("e", "removed", stay...)
	g.pollFor(g.patience(), "everybody to say something that e must not hear", func() (bool, error) {
		by := map[string]int{}
		for _, x := range g.sayings() {
			if x.knew {
				by[x.from]++
			}
		}
		return min(by["a"], by["b"], by["c"], by["d"]) >= 3, fmt.Errorf("%v", by)
	})
	g.sees("e", "removed", "e")
	refused := hush()
	if x, err := g.say("e", inline, "e"); err == nil {
		t.Errorf("e still speaks: %s", x.id.Short())
	}
	for _, home := range stay {
		if refused[home] != nil {
			t.Errorf("%s could not speak: %v", home, refused[home])
		}
	}
	var said, secret []saying
	for _, x := range g.sayings() {
		if x.from == "e" {
			continue // its last words may have come after what the stewards let stand
		}
		if said = append(said, x); x.knew {
			secret = append(secret, x)
		}
	}
	g.hear(said, stay...)
	g.hear(early, "e")
	g.lacks("e", secret)
	for _, home := range stay {
		g.sound(home)
	}
	given := g.granted("e", stay...)
	g.stopAll()
	g.judges(th, given, early, secret)
}

// The team that is put out reaches one member alone, which for a while hears of no steward. What that member says until it
// learns of it may be read; nothing after, and nothing ever of those who knew.
func TestRemovedBehindWall(t *testing.T) {
	w := newLeague(t)
	w.tapped("e")
	g := gather(w, []string{"a", "b", "c"}, []string{"d", "e"})
	stewards := []string{"a", "b", "c"}
	th := g.robs("e")
	var early, secret []saying
	for _, home := range []string{"a", "d", "e"} {
		early = append(early, g.says(home, inline, "e"))
	}
	g.hear(early, "a", "b", "c", "d", "e")
	g.walls("d", stewards...)
	g.walls("e", stewards...)
	for home, others := range map[string]int{"a": 2, "b": 2, "c": 2, "d": 1, "e": 1} {
		g.connected(home, others)
	}
	g.removes("e")
	g.sees("e", "removed", stewards...)
	for _, size := range []int{inline, apart} {
		for _, home := range stewards {
			secret = append(secret, g.says(home, size, "e"))
		}
		x := g.says("d", size, "e")
		if x.knew || !x.unaware {
			t.Fatal("d knows of the removal behind the wall")
		}
		early = append(early, x)
	}
	g.hear(secret, stewards...)
	g.hear(early, "d", "e")

	g.walls("d")
	g.connected("d", 4)
	g.sees("e", "removed", "d")
	for _, size := range []int{inline, apart} {
		secret = append(secret, g.says("d", size, "e"), g.says("b", size, "e"))
	}
	g.hear(slices.Concat(early, secret), "a", "b", "c", "d")
	g.connected("e", 1) // d still serves it what is for all
	g.write("after.md", "TLP:GREEN\n# All hear of the dragonfly\n")
	g.gets("e", g.sends("a", "after.md", "community"))
	g.lacks("e", secret)
	given := g.granted("e", "a", "b", "c", "d")

	g.walls("e")
	g.connected("e", 4)
	g.sees("e", "removed", "e")
	if x, err := g.say("e", inline, "e"); err == nil {
		t.Errorf("e still speaks: %s", x.id.Short())
	}
	g.lacks("e", secret)
	for _, home := range []string{"a", "b", "c", "d"} {
		g.sound(home)
	}
	g.stopAll()
	g.judges(th, given, early, secret)
}

// lacks wants a team to have none of what was said.
func (g *gathering) lacks(home string, xs []saying) {
	g.t.Helper()
	g.ask(home, func(c *control.Client) error {
		for _, x := range xs {
			if m, err := c.Message(context.Background(), x.id.String()); err == nil {
				g.t.Errorf("%s has what %s said when it knew: %+v", home, x.from, m)
			}
		}
		return nil
	})
}

func (g *gathering) stopAll() {
	g.t.Helper()
	for _, home := range g.homes {
		g.stop(home)
	}
}

// clockwise restarts a node with a clock that is so far ahead.
func (g *gathering) clockwise(home string, ahead time.Duration) {
	g.t.Helper()
	g.stop(home)
	g.env[home] = append(slices.DeleteFunc(g.env[home], func(s string) bool { return strings.HasPrefix(s, envClock+"=") }), envClock+"="+ahead.String())
	g.start(home)
	g.connected(home, len(g.homes)-1)
}

// exits runs a command that is to fail, and wants the text in what it says.
func (g *gathering) exits(want string, home string, args ...string) {
	g.t.Helper()
	out, err := g.command(home, args...).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(want)) {
		g.t.Errorf("%s: entente %v: %v, want %q in: %s", home, args, err, want, out)
	}
}

// One steward's clock is wrong by weeks. That opens nothing early and keeps nothing closed for the others: not a hold, not the
// time for objections. It is told so when it sends.
func TestClockOfOneSteward(t *testing.T) {
	const day = 24 * time.Hour
	w := newLeague(t)
	g := assemble(w, "a", "b", "c", "d", "e")
	g.founds([]string{"a", "b", "c", "d"}, nil, "--sponsors", "1")
	all := []string{"a", "b", "c", "d"}
	room := g.room.String()
	g.run("a", "room", "propose", room, "TEAM-E", "--reason", "met at two exercises")
	g.inRoom("e", "its invitation", func(r *control.Room) bool { return len(r.Waiting) > 0 })
	g.run("e", "room", "accept", room)
	for _, home := range all {
		g.inRoom(home, "an admission", func(r *control.Room) bool {
			return slices.ContainsFunc(r.Proposals, func(p control.RoomProposal) bool { return p.Kind == "admission" && p.Opens != nil })
		})
	}
	for _, home := range []string{"a", "c", "d"} {
		g.exits("objection", home, "room", "vote", room, "TEAM-E")
	}

	// b is 25 days ahead: to b the time for objections is over. To nobody else.
	g.clockwise("b", 25*day)
	g.inRoom("b", "a vote to give", func(r *control.Room) bool { return len(r.Waiting) > 0 })
	g.run("b", "room", "vote", room, "TEAM-E")
	out, err := g.command("b", "send", g.write("ahead.md", "TLP:AMBER\n# Ahead of time\n"), "--to", "room:"+room).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("clock")) {
		t.Errorf("sending with a wrong clock: %v, and no word of the clock in: %s", err, out)
	}
	g.run("b", "room", "hold", room, "TEAM-D", "--reason", "by a clock that is wrong")
	for _, home := range []string{"a", "c", "d"} {
		g.inRoom(home, "the vote of b", func(r *control.Room) bool {
			return slices.ContainsFunc(r.Proposals, func(p control.RoomProposal) bool { return p.Kind == "admission" && p.Votes == 1 })
		})
		g.exits("refused", home, "room", "vote", room, "TEAM-E")
		g.sees("d", "member", home)
		g.sees("e", "proposed", home)
	}
	x := g.says("a", inline, "")
	g.hear([]saying{x}, "c", "d") // d is held by nobody but b

	// b is right again, and the hold that it dated ahead is in effect nowhere.
	g.clockwise("b", 0)
	g.sees("d", "member", all...)
	g.hear([]saying{x}, "b")

	// The time for objections is over for all but b, whose clock is now three weeks behind. They decide without it.
	for _, home := range []string{"a", "c", "d", "e"} {
		g.stop(home)
		g.env[home] = append(g.env[home], envClock+"="+(22*day).String())
	}
	for _, home := range []string{"a", "c", "d", "e"} {
		g.start(home)
	}
	for _, home := range []string{"a", "c", "d", "e"} {
		g.connected(home, 4)
	}
	g.exits("refused", "b", "room", "vote", room, "TEAM-E")
	for i, home := range []string{"a", "c", "d"} {
		g.inRoom(home, "a vote to give", func(r *control.Room) bool {
			return len(r.Waiting) > 0 && (i == 0 || slices.ContainsFunc(r.Proposals, func(p control.RoomProposal) bool { return p.Mine && p.Votes >= i }))
		})
		g.run(home, "room", "vote", room, "TEAM-E") // not what b dated ahead
	}
	g.sees("e", "member", "a", "c", "d", "e")
	for _, home := range g.homes {
		g.sound(home)
	}
}

// readHeard returns what came over the streams of a team with a record, one part for each.
func (w *league) readHeard(home string) (out [][]byte) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.path(home+".tap"), "*.heard"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}
