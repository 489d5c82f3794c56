package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// Two teams as two processes, which exchange AMBER by name and under agreements, large and small, and RED for a person. In each
// round one of them is killed without warning at a random moment: the one that sends, the one that receives, one that catches
// up, one that offers or signs an agreement; in long runs also one that changes the key that others seal to. At the end
// everything that was accepted is at the receiver, once, byte for byte, its author knows that, and both disclosure logs are
// whole and speak of it.
//
//	ENTENTE_KILLS=60 ENTENTE_SEED=1 go test ./cmd/entente -run KillNineSealed -timeout 1h
func TestKillNineSealed(t *testing.T) {
	rounds, dice := killing(t, 5)
	w := newLeague(t)
	w.found("a")
	w.found("b")
	w.meet(true)
	w.employs("b", "Bo", "a")
	w.employs("a", "Al", "b")
	k := &sealedKills{league: w, dice: dice, agreement: w.agree("a", "b", "AMBER"), accepted: map[protocol.Hash]errand{}}
	for round := range rounds {
		victim := []string{"a", "b"}[dice.IntN(2)]
		kind := round % 6
		if round%12 == 11 {
			kind = 6
		}
		switch kind {
		case 0: // one sends
			k.during(victim, 300, k.send("a", round))
		case 1: // the other receives
			k.during("b", 500, k.send("a", round))
		case 2: // both do both
			k.during(victim, 500, k.send("a", round), k.send("b", round))
		case 3: // one catches up
			k.kill("b")
			k.send("a", round)()
			k.start("b")
			k.during(victim, 400)
		case 4: // they agree anew, and go on under the terms before
			k.agreeing(victim, k.send("b", round))
		case 5: // one is away while the other sends, and is killed as soon as it is back, three times
			k.kill("b")
			k.send("a", round)()
			k.start("b")
			for range 3 {
				k.during("b", 150)
			}
		case 6: // both change keys
			k.rotate(victim, round)
		}
	}
	for _, home := range w.homes {
		w.connected(home, 1)
	}
	k.send("a", rounds)()
	k.send("b", rounds)()
	k.holds()
}

// An errand is a message that was accepted, or may have been.
type errand struct {
	from, to string
	file     string
	red      bool
}

type sealedKills struct {
	*league
	dice      *rand.Rand
	agreement protocol.Hash
	accepted  map[protocol.Hash]errand
	all       map[[32]byte]errand // by content, accepted or not
	ahead     time.Duration
}

// during kills the victim within so many milliseconds, while the deeds go on, and starts it again.
func (k *sealedKills) during(victim string, millis int, deeds ...func()) {
	k.t.Helper()
	moment := time.NewTimer(time.Duration(k.dice.IntN(millis)) * time.Millisecond)
	<-moment.C
	k.kill(victim)
	for _, end := range deeds {
		end()
	}
	k.start(victim)
}

// send starts sending documents of all sorts, and returns what waits for the end and notes what was accepted.
func (k *sealedKills) send(from string, round int) func() {
	k.t.Helper()
	to, person := "b", "Bo"
	if from == "b" {
		to, person = "a", "Al"
	}
	if k.all == nil {
		k.all = map[[32]byte]errand{}
	}
	type batch struct {
		to    string
		label string
		sizes []int
	}
	var ends []func()
	for i, b := range []batch{
		{"agreement:" + k.agreement.String(), "AMBER", []int{300, 5_000, 20_000, 90_000, 900, 1_500_000, 700}},
		{"team:" + teamName(to), "AMBER", []int{1_000, 60_000, 400, 2_000}},
		{"person:" + teamName(to) + "/" + person, "RED", []int{500, 100_000}},
	} {
		args := []string{"send", "--to", b.to, "--json", "--yes"}
		files := map[string]errand{}
		for j, size := range b.sizes {
			name := fmt.Sprintf("%s-%d-%d-%d.md", from, round, i, j)
			k.document(name, b.label, "Document "+name, name, size)
			e := errand{from: from, to: to, file: name, red: b.label == "RED"}
			files[name] = e
			k.all[sha256.Sum256(k.contents(name))] = e
			args = append(args, name)
		}
		cmd := k.command(from, args...)
		out := &bytes.Buffer{}
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			k.t.Fatal(err)
		}
		ends = append(ends, func() {
			_ = cmd.Wait() // it fails if its node is killed
			for line := range strings.Lines(out.String()) {
				var s control.Sent
				if err := json.Unmarshal([]byte(line), &s); err == nil && s.ID != nil {
					k.accepted[*s.ID] = files[filepath.Base(s.File)]
				}
			}
		})
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// agreeing makes another agreement, while a deed goes on and the victim is killed once in the course of it. A step that fails
// because its node is gone is taken again, as a person would.
func (k *sealedKills) agreeing(victim string, deed func()) {
	k.t.Helper()
	killed := make(chan struct{})
	moment := time.AfterFunc(time.Duration(k.dice.IntN(900))*time.Millisecond, func() {
		_ = k.process(victim).Kill()
		close(killed)
	})
	defer moment.Stop()
	back := func() { // once it is dead it is started
		select {
		case <-killed:
			k.kill(victim)
			k.start(victim)
			killed = nil
		default:
		}
	}
	retry := func(what, home string, step func() error) {
		k.t.Helper()
		k.pollFor(k.patience(), what, func() (bool, error) {
			err := step()
			back()
			return err == nil, err
		})
	}
	output := func(home string, args ...string) ([]byte, error) {
		var said bytes.Buffer
		cmd := k.command(home, args...)
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("%v: %w: %s", args, err, said.Bytes())
		}
		return out, err
	}
	state := func(home string, id protocol.Hash) (string, error) {
		var a control.Agreement
		out, err := output(home, "agree", "show", id.String(), "--json")
		if err == nil {
			err = json.Unmarshal(out, &a)
		}
		return a.State, err
	}
	var a control.Agreement
	title := fmt.Sprintf("Terms %d", k.dice.Uint32())
	retry("an offer", "a", func() error {
		out, err := output("a", "agree", "offer", teamName("b"), "--tlp-max", "AMBER", "--title", title, "--json")
		if err == nil {
			err = json.Unmarshal(out, &a)
		}
		return err
	})
	retry("a signature", "b", func() error {
		if s, err := state("b", a.ID); err != nil || s == "active" {
			return err
		}
		_, err := output("b", "agree", "sign", a.ID.String())
		return err
	})
	for _, home := range k.homes {
		retry("the agreement to be active at "+home, home, func() error {
			s, err := state(home, a.ID)
			if err == nil && s != "active" {
				err = fmt.Errorf("it is %s", s)
			}
			return err
		})
	}
	deed()
	if killed != nil {
		<-killed
		k.kill(victim)
		k.start(victim)
	}
	k.agreement = a.ID
}

// rotate lets a month pass at both, so that they change keys within a minute, and kills the victim when it does, while both send.
func (k *sealedKills) rotate(victim string, round int) {
	k.t.Helper()
	k.ahead += 31 * 24 * time.Hour
	for _, home := range k.homes {
		k.stop(home)
		k.env[home] = []string{envClock + "=" + k.ahead.String()}
	}
	past, _ := os.ReadFile(k.path(victim + ".log"))
	for _, home := range k.homes {
		k.start(home)
	}
	const says = "has a new key for what is sealed to it"
	k.pollFor(2*time.Minute, victim+" to change its key", func() (bool, error) {
		log, err := os.ReadFile(k.path(victim + ".log"))
		return bytes.Contains(log[len(past):], []byte(says)), err
	})
	k.during(victim, 200, k.send("a", round), k.send("b", round))
}

// holds waits until everything accepted is where it belongs, and checks all that is there.
func (k *sealedKills) holds() {
	k.t.Helper()
	ctx := context.Background()
	byReceiver := map[string]int{}
	for id, e := range k.accepted {
		byReceiver[e.to]++
		k.gets(e.to, id)
		k.receipt(e.from, id, e.to, "stored")
	}
	if byReceiver["a"] == 0 || byReceiver["b"] == 0 {
		k.t.Fatalf("accepted: %v", byReceiver)
	}
	red := 0
	for _, home := range k.homes {
		seen := map[protocol.Hash]bool{}
		contents := map[[32]byte]protocol.Hash{}
		k.ask(home, func(c *control.Client) error {
			return c.Inbox(ctx, control.Query{}, func(m control.Message) error {
				if seen[m.ID] {
					k.t.Errorf("%s holds %s twice", home, m.ID)
				}
				seen[m.ID] = true
				if m.Own {
					return nil
				}
				var sum [32]byte
				if m.Sealed {
					person := map[string]string{"a": "Al", "b": "Bo"}[home]
					body := k.run(home, "show", m.ID.String(), "--body", "--as", person, "--passphrase-file", k.path(home+"-"+person+".pass"))
					sum = sha256.Sum256(body)
					red++
				} else {
					h := sha256.New()
					if err := c.Body(ctx, m.ID, h); err != nil {
						return err
					}
					sum = [32]byte(h.Sum(nil))
				}
				e, ok := k.all[sum]
				switch {
				case !ok || e.to != home:
					k.t.Errorf("%s holds %s, which nobody sent to it", home, m.ID)
				case k.accepted[m.ID].file != "" && k.accepted[m.ID] != e:
					k.t.Errorf("%s: %s came out as %s", home, k.accepted[m.ID].file, e.file)
				case contents[sum] != protocol.Hash{}:
					k.t.Errorf("%s holds %s twice, as %s and %s", home, e.file, contents[sum].Short(), m.ID.Short())
				case e.red != (m.TLP.String() == "RED"):
					k.t.Errorf("%s: %s is %s", home, e.file, m.TLP)
				}
				contents[sum] = m.ID
				return nil
			})
		})
		for id, e := range k.accepted {
			if !seen[id] {
				k.t.Errorf("%s does not show %s, which is from %s for %s", home, id.Short(), e.from, e.to)
			}
		}
		logged := map[string]map[protocol.Hash]bool{"compose": {}, "receive": {}}
		k.ask(home, func(c *control.Client) error {
			return c.AuditLog(ctx, 0, time.Time{}, func(r control.AuditRecord) error {
				if ids := logged[r.Action]; ids != nil && r.Object != nil && r.Allowed {
					ids[*r.Object] = true
				}
				return nil
			})
		})
		for id, e := range k.accepted {
			action := "receive"
			if e.from == home {
				action = "compose"
			}
			if !logged[action][id] {
				k.t.Errorf("the disclosure log of %s has no %s of %s", home, action, id.Short())
			}
		}
		k.sound(home)
	}
	k.t.Logf("%d messages accepted for a, %d for b; %d of RED opened", byReceiver["a"], byReceiver["b"], red)
}
