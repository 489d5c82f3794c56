package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
)

// Five teams speak in a room all the time. Meanwhile one is held, the charter is changed, and one is removed and comes back; and
// about every second one of the nodes is killed without warning. At the end everything that was accepted is with all who
// were in by then, once; all see the same room; no steward voted for two things in one place; and what they keep is whole.
//
//	ENTENTE_KILLS=60 ENTENTE_SEED=1 go test ./cmd/entente -run KillNineRoom -timeout 1h
func TestKillNineRoom(t *testing.T) {
	kills, dice := killing(t, 5)
	w := newLeague(t)
	g := gather(w, []string{"a", "b", "c"}, []string{"d", "e"}, "--incident")
	for _, home := range g.homes {
		g.hear([]saying{g.says(home, inline, "")}, g.homes...)
	}
	quit, enough := make(chan struct{}), make(chan struct{})
	var talkers sync.WaitGroup
	for _, home := range g.homes {
		talkers.Go(func() { g.mutter(home, quit) })
	}
	type end struct {
		rounds int
		err    error
	}
	affairs := make(chan end, 1)
	go func() {
		for n := 0; ; n++ {
			if err := g.affair(n); err != nil {
				affairs <- end{n, err}
				return
			}
			if n == 0 {
				continue // one of each kind
			}
			select {
			case <-enough:
				affairs <- end{n + 1, nil}
				return
			default:
			}
		}
	}()
	for range kills {
		moment := time.NewTimer(time.Duration(500+dice.IntN(1000)) * time.Millisecond)
		<-moment.C
		victim := g.homes[dice.IntN(len(g.homes))]
		g.kill(victim)
		g.start(victim)
	}
	close(enough)
	held := <-affairs
	close(quit)
	talkers.Wait()
	if held.err != nil {
		t.Fatal(held.err)
	}
	for _, home := range g.homes {
		g.connected(home, 4)
	}
	g.alike()
	for _, home := range g.homes {
		g.says(home, inline, "")
	}
	for _, home := range g.homes {
		var due []saying
		for _, x := range g.sayings() {
			if slices.Contains(g.stewards, home) || x.with[home] { // what was said while it was out it may have, or not
				due = append(due, x)
			}
		}
		t.Logf("%d messages of %d are for %s", len(due), len(g.sayings()), home)
		g.hear(due, home)
	}
	g.alike()
	for _, home := range g.homes {
		g.sound(home)
	}
	g.stopAll()
	g.votedOnce()
	t.Logf("%d messages accepted over %d kills and %d affairs", len(g.sayings()), kills, held.rounds)
}

// mutter has a team speak all the time. Its node may be killed, and its team may be out.
func (g *gathering) mutter(home string, quit <-chan struct{}) {
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		size := inline
		if n%4 == 3 {
			size = apart
		}
		_, _ = g.say(home, size, "") // what is refused is not noted
		select {
		case <-quit:
			return
		case <-tick.C:
		}
	}
}

// affair has something decided about a member, and undone, whoever is killed meanwhile.
func (g *gathering) affair(n int) error {
	other := []string{"d", "e"}[n/2%2]
	stands := func(status string) func(*control.Room) bool {
		return func(r *control.Room) bool { return g.standing(r, other) == status }
	}
	about := func(kind string) func(*control.Room) bool {
		return func(r *control.Room) bool {
			return slices.ContainsFunc(r.Proposals, func(p control.RoomProposal) bool {
				return p.Kind == kind && (p.Subject == nil || *p.Subject == g.teams[other])
			})
		}
	}
	never := func(*control.Room) bool { return false }
	room := g.room.String()
	if n%2 == 1 {
		return errors.Join(
			g.brings(other+" removed", stands("removed"), about("removal"), "a", "room", "remove", room, teamName(other)),
			g.brings(other+" in again", stands("member"), about("admission"), "b", "room", "propose", room, teamName(other)))
	}
	steward := g.stewards[n/2%3]
	if err := g.brings(other+" held", stands("held"), never, steward, "room", "hold", room, teamName(other)); err != nil {
		return err
	}
	r, err := g.look("c")
	for end := time.Now().Add(g.patience()); err != nil && time.Now().Before(end); r, err = g.look("c") {
		runtime.Gosched() // it is starting
	}
	if err != nil {
		return err
	}
	next := func(now *control.Room) bool { return now.Version == r.Version+1 && g.standing(now, other) == "member" }
	return g.brings("other terms", next, about("charter"), "c", "room", "amend", room, "--purpose", fmt.Sprintf("affair %d", n))
}

// look returns the room as a team sees it.
func (g *gathering) look(home string) (*control.Room, error) {
	c, err := control.Dial(g.path(home))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Room(context.Background(), g.room.String())
}

// brings has people do what is needed until all see the room as it is to be: one of them begins, unless they see that it has
// begun, and all do what waits for them.
func (g *gathering) brings(what string, done, begun func(*control.Room) bool, home string, args ...string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	try := func(home string, args ...string) {
		if out, err := g.command(home, args...).CombinedOutput(); err != nil {
			last = fmt.Errorf("%s: %v: %w: %s", home, args, err, out)
		}
	}
	for end := time.Now().Add(2 * g.patience()); time.Now().Before(end); <-tick.C {
		all := true
		for _, h := range g.homes {
			r, err := g.look(h)
			if err != nil || !done(r) {
				all = false
			}
			if err != nil || done(r) {
				continue
			}
			if h == home && !begun(r) {
				try(home, args...)
			}
			for _, d := range r.Waiting {
				if d.Kind == "accept" {
					try(h, "room", "accept", g.room.String())
				} else {
					try(h, "room", "vote", g.room.String(), d.ID.String())
				}
			}
		}
		if all {
			return nil
		}
	}
	seen := ""
	for _, h := range g.homes {
		if r, err := g.look(h); err == nil {
			seen += "\n" + h + ": " + g.brief(r)
		}
	}
	return fmt.Errorf("waited in vain for %s; the last refusal: %w%s", what, last, seen)
}

// alike waits until all see the same room, and wants nobody to have cheated.
func (g *gathering) alike() {
	g.t.Helper()
	g.pollFor(g.patience(), "all to see the same room", func() (bool, error) {
		views := map[string][]string{}
		for _, home := range g.homes {
			r, err := g.look(home)
			if err != nil {
				return false, err
			}
			if len(r.Cheats) > 0 {
				g.t.Fatalf("%s can prove that somebody cheated: %+v", home, r.Cheats)
			}
			for i := range r.Members {
				r.Members[i].Self = false
			}
			for i := range r.Proposals {
				p := &r.Proposals[i]
				p.Mine, p.Why = false, "" // which differ by who looks
			}
			b, err := json.Marshal(control.Room{ID: r.ID, Name: r.Name, State: r.State, Charter: r.Charter, Version: r.Version, Members: r.Members,
				Proposals: r.Proposals, Quorum: r.Quorum, Terms: r.Terms, Rivals: r.Rivals, Record: r.Record})
			if err != nil {
				return false, err
			}
			views[string(b)] = append(views[string(b)], home)
		}
		var all []string
		for v, homes := range views {
			all = append(all, strings.Join(homes, " ")+": "+v)
		}
		return len(views) == 1, errors.New(strings.Join(all, "\n"))
	})
}

// votedOnce wants no officer's signature under two cards that follow the same one. All nodes are stopped.
func (g *gathering) votedOnce() {
	g.t.Helper()
	type slot struct {
		charter, prev protocol.Hash
		subject       protocol.TeamID
		n             uint64
		by            protocol.KID
	}
	votes, cards := map[slot]protocol.Hash{}, 0
	for _, home := range g.homes {
		r := g.ring(home)
		s, err := store.Open(filepath.Join(g.path(home), "store"), storeKeys{r}, store.Options{})
		if err != nil {
			g.t.Fatal(err)
		}
		if err := s.RoomRecords(func(_ protocol.Hash, _ time.Time, e *protocol.Envelope) error {
			if e.Type != protocol.TypeMemberCard {
				return nil
			}
			c, err := protocol.Decode[protocol.MemberCard](e)
			if err != nil {
				return err
			}
			cards++
			for _, sig := range e.Sigs {
				k := slot{c.Charter, c.Prev, c.Subject, c.N, sig.KID}
				if was, ok := votes[k]; ok && was != e.ID() {
					g.t.Errorf("%s holds two votes of one officer about the same: %s and %s", home, was.Short(), e.ID().Short())
				}
				votes[k] = e.ID()
			}
			return nil
		}); err != nil {
			g.t.Fatal(err)
		}
		s.Close()
		r.Close()
	}
	if cards == 0 {
		g.t.Fatal("nobody holds a card: the test looks in the wrong place")
	}
}

// ownDisk has a stopped node keep its store on a disk of its own, and returns how to make it full, and larger again.
func (w *league) ownDisk(home string) (fill, grow func()) {
	w.t.Helper()
	dir, aside := filepath.Join(w.path(home), "store"), w.path(home+".aside")
	if err := os.Rename(dir, aside); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1g,mode=700", "none", dir).CombinedOutput(); err != nil {
		w.t.Skipf("a disk of its own cannot be mounted: %s", out)
	}
	w.t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	if out, err := exec.Command("cp", "-a", "--sparse=always", aside+"/.", dir).CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	resize := func(size uint64) {
		w.t.Helper()
		if out, err := exec.Command("mount", "-o", fmt.Sprintf("remount,size=%d", size), dir).CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
	}
	fill = func() {
		w.t.Helper()
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			w.t.Fatal(err)
		}
		resize((s.Blocks - s.Bfree) * uint64(s.Bsize))
	}
	return fill, func() { w.t.Helper(); resize(1 << 30) }
}

// The disk of a steward is full when it votes. What it cannot keep it tells nobody; once there is room it votes, once.
func TestVoteOnFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("mounting a small disk takes root on Linux")
	}
	w := newLeague(t)
	g := gather(w, []string{"a", "b", "c"}, []string{"d"})
	g.stop("b")
	fill, grow := g.ownDisk("b")
	g.start("b")
	g.connected("b", 3)
	room := g.room.String()
	g.run("a", "room", "remove", room, "TEAM-D")
	mine := func(r *control.Room) bool {
		return slices.ContainsFunc(r.Proposals, func(p control.RoomProposal) bool { return p.Mine })
	}
	g.inRoom("b", "a vote to give", mine)
	votes := func(home string) (n int) {
		g.inRoom(home, "the proposal", func(r *control.Room) bool {
			i := slices.IndexFunc(r.Proposals, func(p control.RoomProposal) bool { return p.Kind == "removal" })
			if i >= 0 {
				n = r.Proposals[i].Votes
			}
			return i >= 0
		})
		return n
	}

	fill()
	refused, err := g.command("b", "room", "vote", room, "TEAM-D").CombinedOutput()
	if err == nil {
		t.Fatalf("on a full disk the vote was kept, it says: %s", refused)
	}
	t.Logf("on a full disk: %s", refused)
	g.says("a", inline, "") // what b gave away would have come before
	g.hear(g.sayings(), "c")
	told := votes("a") > 1 || votes("c") > 1
	g.kill("b")
	grow()
	g.start("b")
	g.connected("b", 3)
	kept := votes("b") > 1
	if told && !kept {
		t.Error("others had a vote of b that b did not keep")
	}
	g.hear(g.sayings(), "b")
	if !kept {
		g.inRoom("b", "a vote to give", mine)
		g.run("b", "room", "vote", room, "TEAM-D")
	}
	g.inRoom("c", "two votes", func(r *control.Room) bool { return mine(r) && r.Proposals[0].Votes == 2 })
	g.run("c", "room", "vote", room, "TEAM-D")
	g.sees("d", "removed", "a", "b", "c")
	g.says("b", inline, "")
	g.hear(g.sayings(), "a", "b", "c")
	for _, home := range []string{"a", "b", "c"} {
		g.sound(home)
	}
	g.stopAll()
	g.votedOnce()
}
