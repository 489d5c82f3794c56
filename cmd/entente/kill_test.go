package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
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
	rounds := 5
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
	dice := rand.New(rand.NewPCG(seed, 0))
	w := newTrio(t)
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

// A trio is three teams that have met, each a process.
type trio struct {
	t    *testing.T
	dir  string
	bin  string
	ends map[string]func()
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &trio{t: t, dir: t.TempDir(), ends: map[string]func(){}}
	w.bin = filepath.Join(w.dir, "entente") // by this name the test binary is the program
	if err := os.Symlink(self, w.bin); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Cleanup(func() {
		for _, end := range w.ends {
			end()
		}
	})
	for i, home := range []string{"a", "b", "c"} {
		port := freePort(t)
		w.run(home, "init", "--name", "TEAM-"+strings.ToUpper(home), "--country", "X"+string(rune('A'+i)), "--officer", "Ada",
			"--listen", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port), "--listen", fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", port))
		w.start(home)
		w.run(home, "introduction", "--out", home+".intro")
	}
	for home := range w.ends {
		for other := range w.ends {
			if home != other {
				w.run(home, "team", "add", other+".intro")
			}
		}
	}
	for home := range w.ends {
		w.until(home+" to be connected with both", func(c *control.Client) (bool, error) {
			s, err := c.Status(context.Background())
			if err != nil {
				return false, err
			}
			n := 0
			for _, p := range s.Peers {
				if p.Connected {
					n++
				}
			}
			return n == 2, nil
		}, home)
	}
	return w
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (w *trio) command(home string, args ...string) *exec.Cmd {
	cmd := exec.Command(w.bin, append([]string{"--home", filepath.Join(w.dir, home)}, args...)...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "ENTENTE_PASSPHRASE=correct horse battery")
	return cmd
}

func (w *trio) run(home string, args ...string) {
	w.t.Helper()
	if out, err := w.command(home, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("entente --home %s %v: %v\n%s", home, args, err, out)
	}
}

// start starts a node and waits until its socket answers.
func (w *trio) start(home string) {
	w.t.Helper()
	cmd := w.command(home, "run", "--verbose")
	log, err := os.OpenFile(filepath.Join(w.dir, home+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	w.ends[home] = func() { _ = cmd.Process.Kill(); <-done }
	w.until(home+" to start", func(c *control.Client) (bool, error) {
		_, err := c.Status(context.Background())
		return err == nil, err
	}, home)
}

func (w *trio) kill(home string) { w.ends[home]() }

// until polls a node until cond holds.
func (w *trio) until(what string, cond func(*control.Client) (bool, error), home string) {
	w.t.Helper()
	var last error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c, err := control.Dial(filepath.Join(w.dir, home))
		if err != nil {
			last = err
			continue
		}
		ok, err := cond(c)
		_ = c.Close()
		if ok {
			return
		}
		last = err
	}
	log, _ := os.ReadFile(filepath.Join(w.dir, home+".log"))
	w.t.Fatalf("waited in vain for %s: %v; its log ends in:\n%s", what, last, log[max(0, len(log)-8000):])
}

// documents returns the paths of what is sent.
func (w *trio) documents() []string {
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
func (w *trio) send(home string, docs []string) func() map[protocol.Hash]string {
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
func (w *trio) holds(home string, accepted map[protocol.Hash]string) {
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
