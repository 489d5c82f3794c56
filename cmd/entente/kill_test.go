package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// Three teams as three processes. One of them sends the MISP feed and the CSAF advisories of ../shared/data, or documents of
// the test's own where those are absent. At a random moment of each round one process is killed without warning: the one that
// sends, one that receives, or one that is catching up. At the end everything that was accepted is everywhere, once, byte for
// byte, under its label, and fsck finds nothing.
//
//	ENTENTE_KILLS=100 go test ./cmd/entente -run KillNine -timeout 1h
func TestKillNine(t *testing.T) {
	rounds, dice := killing(t, 5)
	w := newLeague(t)
	for _, home := range []string{"a", "b", "c"} {
		w.found(home)
	}
	w.meet(false)
	docs := w.documents()
	accepted := map[protocol.Hash]string{}       // id to file
	each := max(10, (len(docs)+rounds-1)/rounds) // so that all are sent, and every round has some
	for round := range rounds {
		from := round * each % len(docs)
		to := min(from+each, len(docs))
		late := round%3 == 2
		if late { // the third one has something to catch up with when it comes
			w.kill("c")
		}
		send := w.send("a", docs[from:to])
		victim := []string{"a", "b", "c"}[round%3]
		moment := time.NewTimer(time.Duration(dice.IntN(400)) * time.Millisecond)
		<-moment.C
		if late {
			w.start("c")
			moment.Reset(time.Duration(dice.IntN(200)) * time.Millisecond)
			<-moment.C
		}
		w.kill(victim)
		for id, file := range send() {
			accepted[id] = file
		}
		w.start(victim)
	}
	for id, file := range w.send("a", docs[:1])() { // and all goes on afterwards
		accepted[id] = file
	}
	if len(accepted) == 0 {
		t.Fatal("nothing was accepted")
	}
	for _, home := range []string{"a", "b", "c"} {
		w.holds(home, accepted)
	}
	t.Logf("%d messages accepted over %d kills", len(accepted), rounds)
}

// killing returns how many kills there shall be, and what decides when.
func killing(t *testing.T, rounds int) (int, *rand.Rand) {
	t.Helper()
	if s := os.Getenv("ENTENTE_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("ENTENTE_KILLS: %v", err)
		}
		rounds = n
	}
	seed := rand.Uint64()
	if s := os.Getenv("ENTENTE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("ENTENTE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed %d (ENTENTE_SEED)", seed)
	return rounds, rand.New(rand.NewPCG(seed, 0))
}

// documents returns the paths of what is sent.
func (w *league) documents() []string {
	var docs []string
	for _, dir := range []string{"misp-feed-certfr", "csaf-cisa"} {
		_ = filepath.WalkDir(filepath.Join("..", "..", "..", "shared", "data", dir), func(p string, d fs.DirEntry, err error) error {
			base := filepath.Base(p)
			if err == nil && filepath.Ext(p) == ".json" && base != "manifest.json" && !strings.Contains(base, "feed-tlp") {
				abs, err := filepath.Abs(p)
				if err != nil {
					return err
				}
				docs = append(docs, abs)
			}
			return nil
		})
	}
	if len(docs) > 0 {
		return docs
	}
	w.t.Log("../shared/data is absent: sending documents of the test's own")
	for i := range 60 {
		p := filepath.Join(w.dir, fmt.Sprintf("doc-%02d.md", i))
		text := fmt.Sprintf("TLP:CLEAR\n# Document %d\n%s\n", i, strings.Repeat("198.51.100.7 ", i*i*4))
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
		docs = append(docs, p)
	}
	return docs
}

// send starts sending, and returns a function that waits for the end and returns what was accepted. Sending may fail: its
// node may be killed.
func (w *league) send(home string, docs []string) func() map[protocol.Hash]string {
	cmd := w.command(home, append([]string{"send", "--to", "community", "--json"}, docs...)...)
	out := &bytes.Buffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return func() map[protocol.Hash]string {
		_ = cmd.Wait()
		path := map[string]string{}
		for _, d := range docs {
			path[filepath.Base(d)] = d
		}
		ids := map[protocol.Hash]string{}
		for line := range strings.Lines(out.String()) {
			var s control.Sent
			if err := json.Unmarshal([]byte(line), &s); err == nil && s.ID != nil {
				ids[*s.ID] = path[filepath.Base(s.File)]
			}
		}
		return ids
	}
}

// holds waits until a node has every accepted message whole, and checks what it has.
func (w *league) holds(home string, accepted map[protocol.Hash]string) {
	w.t.Helper()
	ctx := context.Background()
	w.until(fmt.Sprintf("%s to hold %d messages", home, len(accepted)), func(c *control.Client) (bool, error) {
		missing, parts := len(accepted), 0
		err := c.Inbox(ctx, control.Query{}, func(m control.Message) error {
			if _, ok := accepted[m.ID]; ok {
				missing--
				if !m.Complete {
					parts++
				}
			}
			return nil
		})
		if err != nil || missing+parts == 0 {
			return err == nil, err
		}
		said := ""
		_ = c.Doctor(ctx, "", func(f control.Finding) error { said += "\n" + f.Level + " " + f.Text; return nil })
		return false, fmt.Errorf("%d are missing, %d not whole; doctor: %s", missing, parts, said)
	}, home)
	w.until(home+" to be checked", func(c *control.Client) (bool, error) {
		seen := map[protocol.Hash]bool{}
		err := c.Inbox(ctx, control.Query{}, func(m control.Message) error {
			if seen[m.ID] {
				w.t.Errorf("%s holds %s twice", home, m.ID)
			}
			seen[m.ID] = true
			file, ok := accepted[m.ID]
			if !ok {
				return nil // accepted, but the sender was killed before it could say so
			}
			if m.TLP.String() != "CLEAR" {
				w.t.Errorf("%s: %s is %s", home, file, m.TLP)
			}
			want, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			h := sha256.New()
			if err := c.Body(ctx, m.ID, h); err != nil {
				return err
			}
			if [32]byte(h.Sum(nil)) != sha256.Sum256(want) {
				w.t.Errorf("%s: %s came out changed", home, file)
			}
			return nil
		})
		if err != nil {
			return false, err
		}
		rep, err := c.Fsck(ctx, false, nil)
		if err != nil {
			return false, err
		}
		if !rep.Clean {
			w.t.Errorf("%s: fsck: %+v", home, rep)
		}
		return true, nil
	}, home)
}
