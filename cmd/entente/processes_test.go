package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p_protocol "github.com/libp2p/go-libp2p/core/protocol"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// Teams as processes of the real program. What a test cannot do from outside it asks for in the environment of one process:
// another clock, and a record of what goes over its streams, as somebody would have it who broke their encryption.
const (
	envClock = "ENTENTE_TEST_CLOCK" // how far the node's clock is ahead
	envTap   = "ENTENTE_TEST_TAP"   // the folder for the record
	envPace  = "ENTENTE_TEST_PACE"  // bytes a second that come in over one stream of a node with a record
)

func init() {
	ahead, tap, pace := os.Getenv(envClock), os.Getenv(envTap), 0
	if s := os.Getenv(envPace); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			panic(err)
		}
		pace = n
	}
	if ahead == "" && tap == "" {
		return
	}
	testOnlyConfig = func(c *node.Config) {
		if ahead != "" {
			d, err := time.ParseDuration(ahead)
			if err != nil {
				panic(err)
			}
			c.Now = func() time.Time { return time.Now().Add(d) }
		}
		if tap != "" {
			listen := c.Listen
			c.NewHost = func(k crypto.PrivKey, g connmgr.ConnectionGater) (host.Host, error) {
				h, err := libp2p.New(libp2p.Identity(k), libp2p.ListenAddrStrings(listen...), libp2p.ConnectionGater(g),
					libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.DisableRelay(), libp2p.DisableMetrics())
				if err != nil {
					return nil, err
				}
				return &tappedHost{Host: h, dir: tap, pace: pace}, nil
			}
		}
	}
}

// A tappedHost writes what goes over each of its streams to two files: what it said, and what it heard.
type tappedHost struct {
	host.Host
	dir  string
	pace int
	mu   sync.Mutex
	n    int // guarded by mu
}

func (h *tappedHost) wrap(s network.Stream) (network.Stream, error) {
	h.mu.Lock()
	h.n++
	name := filepath.Join(h.dir, fmt.Sprintf("%d-%d", os.Getpid(), h.n))
	h.mu.Unlock()
	said, err := os.Create(name + ".said")
	if err != nil {
		return nil, err
	}
	heard, err := os.Create(name + ".heard")
	if err != nil {
		return nil, err
	}
	return &tappedStream{Stream: s, said: said, heard: heard, pace: h.pace}, nil
}

func (h *tappedHost) NewStream(ctx context.Context, p peer.ID, ids ...libp2p_protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return h.wrap(s)
}

func (h *tappedHost) SetStreamHandler(id libp2p_protocol.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(id, h.handler(f))
}

func (h *tappedHost) SetStreamHandlerMatch(id libp2p_protocol.ID, match func(libp2p_protocol.ID) bool, f network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, h.handler(f))
}

func (h *tappedHost) handler(f network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		t, err := h.wrap(s)
		if err != nil {
			panic(err) // a record with a hole would prove nothing
		}
		f(t)
	}
}

// The files of a tappedStream stay open for as long as the process lives: either half may be closed before the other.
type tappedStream struct {
	network.Stream
	said, heard *os.File
	pace        int
}

func (s *tappedStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if s.pace > 0 { // a narrow line
		time.Sleep(time.Duration(n) * time.Second / time.Duration(s.pace))
	}
	if _, werr := s.heard.Write(b[:n]); werr != nil {
		panic(werr)
	}
	return n, err
}

func (s *tappedStream) Write(b []byte) (int, error) {
	if _, err := s.said.Write(b); err != nil {
		panic(err)
	}
	return s.Stream.Write(b)
}

// A league is teams, each a process, on this machine.
type league struct {
	t     *testing.T
	dir   string
	bin   string
	homes []string
	mu    sync.Mutex
	procs map[string]*exec.Cmd // guarded by mu
	ends  map[string]func()
	env   map[string][]string // of nodes
}

// envFull asks the tests of this package to be as large as what they are about, whatever time it takes.
const envFull = "ENTENTE_FULL"

const officerPassphrase = "correct horse battery"

func newLeague(t *testing.T) *league {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &league{t: t, dir: t.TempDir(), procs: map[string]*exec.Cmd{}, ends: map[string]func(){}, env: map[string][]string{}}
	w.bin = filepath.Join(w.dir, "entente") // by this name the test binary is the program
	if err := os.Symlink(self, w.bin); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("ENTENTE_PASSPHRASE", "")
	t.Cleanup(func() {
		for _, end := range w.ends {
			end()
		}
		for _, home := range w.homes {
			if log, err := os.ReadFile(w.path(home + ".log")); t.Failed() && err == nil {
				t.Logf("the log of %s ends in:\n%s", home, log[max(0, len(log)-4000):])
			}
		}
	})
	return w
}

// found makes a team and starts its node. Its unlock secret lies beside its home.
func (w *league) found(home string) {
	w.t.Helper()
	port := freePort(w.t)
	w.homes = append(w.homes, home)
	w.run(home, "init", "--name", teamName(home), "--country", "X"+strings.ToUpper(home[:1]), "--officer", "Ada", "--node", home+"-node",
		"--unlock-file", w.path(home+".unlock"),
		"--listen", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port), "--listen", fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", port))
	w.start(home)
	w.run(home, "introduction", "--out", home+".intro")
}

func teamName(home string) string { return "TEAM-" + strings.ToUpper(home) }

// meet has all teams know each other and connect. Where verified is set, their persons compare fingerprints besides.
func (w *league) meet(verified bool) {
	w.t.Helper()
	for _, home := range w.homes {
		for _, other := range w.homes {
			if home != other {
				w.run(home, "team", "add", other+".intro")
			}
		}
	}
	for _, home := range w.homes {
		w.connected(home, len(w.homes)-1)
		for _, other := range w.homes {
			if verified && home != other {
				id := w.team(other)
				w.run(home, "team", "verify", id.String(), "--fingerprint", trust.Fingerprint(id), "--method", "phone")
			}
		}
	}
}

// connected waits until a node is connected with so many others.
func (w *league) connected(home string, others int) {
	w.t.Helper()
	w.until(home+" to be connected", func(c *control.Client) (bool, error) {
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
		return n == others, nil
	}, home)
}

// team returns the id of a team whose node runs.
func (w *league) team(home string) (id protocol.TeamID) {
	w.t.Helper()
	w.ask(home, func(c *control.Client) error {
		s, err := c.Status(context.Background())
		if err == nil {
			id = s.Team.ID
		}
		return err
	})
	return id
}

// ask asks a running node something once.
func (w *league) ask(home string, fn func(*control.Client) error) {
	w.t.Helper()
	c, err := control.Dial(w.path(home))
	if err == nil {
		err = fn(c)
		_ = c.Close()
	}
	if err != nil {
		w.t.Fatalf("asking %s: %v", home, err)
	}
}

// agree makes an agreement of two connected teams.
func (w *league) agree(home, other, label string, flags ...string) protocol.Hash {
	w.t.Helper()
	var a control.Agreement
	w.object(&a, home, append([]string{"agree", "offer", teamName(other), "--tlp-max", label, "--json"}, flags...)...)
	w.agreement(other, a.ID, "offered")
	w.run(other, "agree", "sign", a.ID.String())
	w.agreement(home, a.ID, "active")
	w.agreement(other, a.ID, "active")
	return a.ID
}

// agreement waits until an agreement is in the state at a team.
func (w *league) agreement(home string, id protocol.Hash, state string) {
	w.t.Helper()
	w.until(fmt.Sprintf("the agreement to be %s at %s", state, home), func(c *control.Client) (bool, error) {
		a, err := c.Agreement(context.Background(), id.String())
		if err != nil {
			return false, err
		}
		return a.State == state, errors.New(a.State + " " + a.Why)
	}, home)
}

// employs makes an operator at a team, and waits until another knows of them. The passphrase lies beside the home.
func (w *league) employs(home, name, other string) {
	w.t.Helper()
	w.write(home+"-"+name+".pass", "the passphrase of "+name+"\n")
	w.run(home, "operator", "add", name, "--new-passphrase-file", home+"-"+name+".pass")
	w.write("probe.md", "# Probe\n")
	w.until(other+" to know "+name, func(*control.Client) (bool, error) {
		out, err := w.command(other, "send", "probe.md", "--tlp", "RED", "--to", "person:"+teamName(home)+"/"+name, "--dry-run").CombinedOutput()
		return err == nil, fmt.Errorf("%w: %s", err, out)
	}, other)
}

func (w *league) path(name string) string { return filepath.Join(w.dir, name) }

func (w *league) write(name, text string) string {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return name
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (w *league) command(home string, args ...string) *exec.Cmd {
	cmd := exec.Command(w.bin, append([]string{"--home", w.path(home)}, args...)...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "ENTENTE_PASSPHRASE="+officerPassphrase)
	return cmd
}

// run runs a command to its end and returns what it wrote to standard output.
func (w *league) run(home string, args ...string) []byte {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd := w.command(home, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("entente --home %s %v: %v\n%s%s", home, args, err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes()
}

// object runs a command that prints one object.
func (w *league) object(v any, home string, args ...string) {
	w.t.Helper()
	if out := w.run(home, args...); json.Unmarshal(out, v) != nil {
		w.t.Fatalf("entente %v: not an object: %s", args, out)
	}
}

// sends sends a file and returns the message's id.
func (w *league) sends(home, file, to string, flags ...string) protocol.Hash {
	w.t.Helper()
	var s control.Sent
	w.object(&s, home, append([]string{"send", file, "--to", to, "--json"}, flags...)...)
	if s.ID == nil {
		w.t.Fatalf("%s has no id", file)
	}
	return *s.ID
}

// start starts a node and waits until its socket answers.
func (w *league) start(home string) {
	w.t.Helper()
	cmd := w.command(home, "run", "--verbose", "--unlock-file", w.path(home+".unlock"))
	cmd.Env = append(cmd.Env, w.env[home]...)
	log, err := os.OpenFile(w.path(home+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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
	w.mu.Lock()
	w.procs[home] = cmd
	w.mu.Unlock()
	w.ends[home] = func() { _ = cmd.Process.Kill(); <-done }
	w.until(home+" to start", func(c *control.Client) (bool, error) {
		_, err := c.Status(context.Background())
		return err == nil, err
	}, home)
}

func (w *league) process(home string) *os.Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.procs[home].Process
}

func (w *league) kill(home string) { w.ends[home]() }

// stop ends a node as a service manager does.
func (w *league) stop(home string) {
	w.t.Helper()
	if err := w.process(home).Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	w.pollFor(time.Minute, home+" to end", func() (bool, error) {
		return w.process(home).Signal(syscall.Signal(0)) != nil, nil
	})
	w.ends[home]()
}

// restart ends a node and starts it with another configuration.
func (w *league) restart(home string, change func(map[string]any)) {
	w.t.Helper()
	w.stop(home)
	file := filepath.Join(w.path(home), "config.json")
	b, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		w.t.Fatal(err)
	}
	change(c)
	if b, err = json.Marshal(c); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.start(home)
}

// until polls a node until cond holds.
func (w *league) until(what string, cond func(*control.Client) (bool, error), home string) {
	w.t.Helper()
	w.pollFor(w.patience(), what, func() (bool, error) {
		c, err := control.Dial(w.path(home))
		if err != nil {
			return false, err
		}
		defer c.Close()
		return cond(c)
	})
}

// patience is how long anything may take; more where the test was asked to be large.
func (w *league) patience() time.Duration {
	if os.Getenv(envFull) != "" {
		return 10 * time.Minute
	}
	return 2 * time.Minute
}

func (w *league) pollFor(long time.Duration, what string, cond func() (bool, error)) {
	w.t.Helper()
	var last error
	began := time.Now()
	for end := began.Add(long); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		ok, err := cond()
		if ok {
			if took := time.Since(began); took > 5*time.Second {
				w.t.Logf("waited %v for %s", took.Round(time.Millisecond), what)
			}
			return
		}
		last = err
	}
	w.t.Fatalf("waited in vain for %s: %v", what, last)
}

// gets waits until a team has a message whole.
func (w *league) gets(home string, id protocol.Hash) (got control.Message) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s to have message %s whole", home, id.Short()), func(c *control.Client) (bool, error) {
		m, err := c.Message(context.Background(), id.String())
		if err != nil {
			return false, err
		}
		got = *m
		return m.Complete, fmt.Errorf("%d of %d bytes", m.Arrived, m.Size)
	}, home)
	return got
}

// receipt waits until a message's author knows it to be in the state at a team.
func (w *league) receipt(home string, id protocol.Hash, of, state string) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s to be told that %s has %s %s", home, of, id.Short(), state), func(c *control.Client) (bool, error) {
		var states []string
		err := c.Receipts(context.Background(), id, func(r control.Receipt) error {
			if r.Name == teamName(of) {
				states = append(states, r.State)
			}
			return nil
		})
		return slices.Contains(states, state), errors.Join(err, fmt.Errorf("it knows %v", states))
	}, home)
}

// sound wants a store and a disclosure log that are whole.
func (w *league) sound(home string) {
	w.t.Helper()
	w.ask(home, func(c *control.Client) error {
		rep, err := c.Fsck(context.Background(), false, nil)
		if err != nil {
			return err
		}
		if !rep.Clean {
			w.t.Errorf("%s: fsck: %+v", home, rep)
		}
		audit, err := c.AuditVerify(context.Background())
		if err != nil {
			return err
		}
		if !audit.Whole || len(audit.Problems) > 0 {
			w.t.Errorf("%s: its disclosure log: %+v", home, audit)
		}
		return nil
	})
}

// doctor returns what the doctor says, a line for each finding.
func (w *league) doctor(home string) string {
	w.t.Helper()
	var b strings.Builder
	w.ask(home, func(c *control.Client) error {
		return c.Doctor(context.Background(), "", func(f control.Finding) error {
			_, err := fmt.Fprintf(&b, "%s %s; %s\n", f.Level, f.Text, f.Next)
			return err
		})
	})
	return b.String()
}

// memory returns the anonymous memory that a process has in use, in KiB; 0 where the system does not tell.
func memory(p *os.Process) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// A gauge notes the most memory that each of some processes has in use, until it is read.
type gauge struct {
	quit chan struct{}
	done chan map[string]int
}

func newGauge(processes map[string]func() *os.Process) *gauge {
	g := &gauge{quit: make(chan struct{}), done: make(chan map[string]int, 1)}
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		most := map[string]int{}
		for {
			for name, p := range processes {
				if p := p(); p != nil {
					most[name] = max(most[name], memory(p))
				}
			}
			select {
			case <-tick.C:
			case <-g.quit:
				g.done <- most
				return
			}
		}
	}()
	return g
}

// read ends the gauge and returns KiB.
func (g *gauge) read() map[string]int {
	close(g.quit)
	return <-g.done
}
