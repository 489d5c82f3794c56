package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/trust"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"entente": func() {
			testOnlyWorkFactor = seal.MinWorkFactor
			main()
		},
		// Writes a document made to do things to a terminal: it sets the title, clears the screen, turns the writing round.
		"hostile": func() {
			for name, text := range map[string]string{
				"escape.md":    "TLP:CLEAR\n# evil \x1b]0;pwned\x07\x1b[2J title\n\n\x1b[31mred\r\n",
				"text.md":      "TLP:CLEAR\n# evil \u202egnp.exe\u009b31m title\n\n\u2066turned\u009b2J\r\n",
				"\u202egpj.md": "TLP:CLEAR\n# a file with an evil name\n",
			} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					panic(err)
				}
			}
		},
		// entente, whose complaints are its output.
		"entente-says": func() {
			testOnlyWorkFactor = seal.MinWorkFactor
			os.Stderr = os.Stdout
			main()
		},
		"age-plugin-" + testPlugin: servePlugin,
		"hardware-key":             writeHardwareIdentity,
		// An editor that changes what a person would.
		"sed-editor": func() {
			name := os.Args[len(os.Args)-1]
			b, err := os.ReadFile(name)
			if err != nil {
				panic(err)
			}
			b = bytes.Replace(b, []byte(os.Args[1]), []byte(os.Args[2]), 1)
			if err := os.WriteFile(name, b, 0o600); err != nil {
				panic(err)
			}
		},
	})
}

// scriptPatience is how long a script waits for another process.
const scriptPatience = 60 * time.Second

// TestScripts runs testdata/script: the real program, with nodes as processes of their own on loopback.
func TestScripts(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "") // the test looks for sockets where the scripts do
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("ENTENTE_PASSPHRASE", "correct horse battery")
			e.Setenv("USER", "tester")
			e.Setenv("XDG_RUNTIME_DIR", "")
			e.Values[nodesKey{}] = &nodes{m: map[string]*process{}}
			ns := e.Values[nodesKey{}].(*nodes)
			e.Defer(ns.killAll)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"newteam":  cmdNewTeam,
			"node":     cmdNode,
			"end":      cmdEnd,
			"kill9":    cmdKill9,
			"meet":     cmdMeet,
			"vouch":    cmdVouch,
			"agree":    cmdAgree,
			"waitfor":  cmdWaitFor,
			"exits":    cmdExits,
			"capture":  cmdCapture,
			"fields":   cmdFields,
			"junk":     cmdJunk,
			"corrupt":  cmdCorrupt,
			"plain":    cmdPlain,
			"bigfile":  cmdBigFile,
			"env-file": cmdEnvFile,
		},
	})
}

type nodesKey struct{}

// nodes are the processes of one script. Only the script's goroutine uses it.
type nodes struct{ m map[string]*process }

type process struct {
	cmd  *exec.Cmd
	log  *logFile
	done chan error
}

func (ns *nodes) killAll() {
	for _, p := range ns.m {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// logFile takes a process's standard error.
type logFile struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func processes(ts *testscript.TestScript) *nodes { return ts.Value(nodesKey{}).(*nodes) }

// poll tries cond until it holds or patience ends.
func poll(ts *testscript.TestScript, what string, cond func() (bool, string)) {
	deadline := time.Now().Add(scriptPatience)
	for {
		ok, state := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waited %v in vain for %s; at last:\n%s", scriptPatience, what, state)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// newteam HOME NAME CC [fixed] makes a team whose node listens on loopback, with fixed at the same port after every start.
func cmdNewTeam(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: newteam HOME NAME CC [fixed]")
	}
	port := 0
	if len(args) > 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		port = l.Addr().(*net.TCPAddr).Port
		ts.Check(l.Close())
	}
	if err := ts.Exec("entente", "--home", args[0], "init", "--name", args[1], "--country", args[2], "--officer", "Ada",
		"--node", args[0]+"-node", "--listen", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port), "--listen", fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", port), "--json"); err != nil {
		ts.Fatalf("init: %v", err)
	}
}

// node HOME starts a node and waits until it is ready.
func cmdNode(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: node HOME [ARG…]")
	}
	home := args[0]
	bin, err := exec.LookPath("entente")
	if err != nil {
		bin = filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "entente")
	}
	cmd := exec.Command(bin, append([]string{"--home", ts.MkAbs(home), "run"}, args[1:]...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, k := range []string{"PATH", "ENTENTE_PASSPHRASE", "USER", "HOME", "TMPDIR", "CREDENTIALS_DIRECTORY", "GOCOVERDIR", "NOTIFY_SOCKET"} {
		if v := ts.Getenv(k); v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	p := &process{cmd: cmd, log: &logFile{}, done: make(chan error, 1)}
	cmd.Stderr = p.log
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	go func() {
		err := cmd.Wait()
		close(ended)
		p.done <- err
	}()
	processes(ts).m[home] = p
	poll(ts, "node "+home+" to be ready", func() (bool, string) {
		select {
		case <-ended:
			ts.Fatalf("node %s ended:\n%s", home, p.log)
		default:
		}
		return strings.Contains(p.log.String(), "ready"), p.log.String()
	})
}

// end HOME ends a node as a service manager does, and wants it to end cleanly.
func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	for _, home := range args {
		p := processes(ts).m[home]
		if p == nil {
			ts.Fatalf("no node %s is running", home)
		}
		ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
		if err := <-p.done; err != nil {
			ts.Fatalf("node %s ended with %v:\n%s", home, err, p.log)
		}
		delete(processes(ts).m, home)
	}
}

// kill9 HOME ends a node as a power cut does.
func cmdKill9(ts *testscript.TestScript, neg bool, args []string) {
	for _, home := range args {
		p := processes(ts).m[home]
		if p == nil {
			ts.Fatalf("no node %s is running", home)
		}
		ts.Check(p.cmd.Process.Kill())
		<-p.done
		delete(processes(ts).m, home)
	}
}

// meet A B lets two running teams add each other's introductions, and waits until they are connected.
func cmdMeet(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: meet HOME HOME")
	}
	for i, home := range args {
		other := args[1-i]
		file := "introduction-of-" + other + ".txt"
		for _, c := range [][]string{
			{"--home", other, "introduction", "--out", file},
			{"--home", home, "team", "add", file},
		} {
			if err := ts.Exec("entente", c...); err != nil {
				ts.Fatalf("entente %v: %v", c, err)
			}
		}
	}
	for _, home := range args {
		poll(ts, home+" to be connected", func() (bool, string) {
			s, err := status(ts, home)
			if err != nil {
				return false, err.Error()
			}
			for _, e := range s.Peers {
				if e.Connected {
					return true, ""
				}
			}
			return false, fmt.Sprintf("%+v", s.Peers)
		})
	}
}

// vouch A B lets persons of two running teams that have met compare their fingerprints.
func cmdVouch(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: vouch HOME HOME")
	}
	for i, home := range args {
		s, err := status(ts, args[1-i])
		ts.Check(err)
		if err := ts.Exec("entente", "--home", home, "team", "verify", s.Team.ID.String(), "--fingerprint", trust.Fingerprint(s.Team.ID), "--method", "phone"); err != nil {
			ts.Fatalf("team verify: %v", err)
		}
	}
}

// agree A B LABEL [FLAG…] makes an agreement of two connected teams, and sets AGREEMENT to its id.
func cmdAgree(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: agree HOME HOME LABEL [FLAG…]")
	}
	other, err := status(ts, args[1])
	ts.Check(err)
	if err := ts.Exec("entente", append([]string{"--home", args[0], "agree", "offer", other.Team.ID.String(), "--tlp-max", args[2], "--json"}, args[3:]...)...); err != nil {
		ts.Fatalf("agree offer: %v", err)
	}
	var a control.Agreement
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &a))
	poll(ts, "the offer to arrive", func() (bool, string) {
		err := ts.Exec("entente", "--home", args[1], "agree", "show", a.ID.String(), "--json")
		return err == nil, fmt.Sprint(err)
	})
	if err := ts.Exec("entente", "--home", args[1], "agree", "sign", a.ID.String()); err != nil {
		ts.Fatalf("agree sign: %v", err)
	}
	for _, home := range args[:2] {
		poll(ts, "the agreement to be active at "+home, func() (bool, string) {
			err := ts.Exec("entente", "--home", home, "agree", "show", a.ID.String(), "--json")
			out := ts.ReadFile("stdout")
			return strings.Contains(out, `"state":"active"`), fmt.Sprintf("%s\n%v", out, err)
		})
	}
	ts.Setenv("AGREEMENT", a.ID.String())
}

func status(ts *testscript.TestScript, home string) (*control.Status, error) {
	c, err := control.Dial(ts.MkAbs(home))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Status(context.Background())
}

// waitfor REGEXP COMMAND… runs the command until its standard output matches.
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: waitfor REGEXP COMMAND…")
	}
	re := regexp.MustCompile("(?m)" + args[0])
	poll(ts, strings.Join(args, " "), func() (bool, string) {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		return re.MatchString(out) != neg, fmt.Sprintf("%s\n%s\n%v", out, ts.ReadFile("stderr"), err)
	})
}

// exits CODE COMMAND… wants exactly this exit code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v: %v", args[1:], err)
	}
	if got != want {
		ts.Fatalf("%v: exit code %d, want %d", args[1:], got, want)
	}
}

// capture VAR REGEXP sets a variable to what the first group matched in standard output.
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: capture VAR REGEXP")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("standard output does not match %q", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// fields FIELD… wants every line of standard output to be a JSON object with the fields; a dot goes into one, and into the
// first entry of a list.
func cmdFields(ts *testscript.TestScript, neg bool, args []string) {
	lines := 0
	sc := bufio.NewScanner(strings.NewReader(ts.ReadFile("stdout")))
	sc.Buffer(nil, 16<<20)
	for ; sc.Scan(); lines++ {
		var v map[string]any
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			ts.Fatalf("line %d is no JSON object: %v\n%s", lines+1, err, sc.Text())
		}
		for _, f := range args {
			if !hasField(v, strings.Split(f, ".")) {
				ts.Fatalf("line %d has no field %s:\n%s", lines+1, f, sc.Text())
			}
		}
	}
	if lines == 0 {
		ts.Fatalf("standard output is empty")
	}
}

func hasField(v any, path []string) bool {
	if l, ok := v.([]any); ok {
		return len(l) > 0 && hasField(l[0], path)
	}
	if len(path) == 0 {
		return true
	}
	m, ok := v.(map[string]any)
	if !ok {
		return false
	}
	next, ok := m[path[0]]
	if len(path) == 1 {
		return ok
	}
	return ok && hasField(next, path[1:])
}

// junk HOME attacks a node where it listens, and its control socket, with noise and half-finished requests.
func cmdJunk(ts *testscript.TestScript, neg bool, args []string) {
	for _, home := range args {
		s, err := status(ts, home)
		ts.Check(err)
		sock, err := control.SocketPath(ts.MkAbs(home))
		ts.Check(err)
		noise := make([]byte, 64<<10)
		rand.Read(noise)
		loads := [][]byte{noise, nil, []byte("GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"),
			[]byte("POST /v1/own HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"records\":[\"AAAA\"]}"),
			bytes.Repeat([]byte("GET / HTTP/1.1\r\nX: "), 4096), []byte("/multistream/1.0.0\n/noise\n"), []byte("\x13/multistream/1.0.0\n\xff\xff\xff\xff\x0f")}
		dials := []func() (net.Conn, error){func() (net.Conn, error) { return net.Dial("unix", sock) }}
		for _, a := range s.Listening {
			m, err := multiaddr.NewMultiaddr(strings.TrimSuffix(a, "/quic-v1"))
			ts.Check(err)
			dials = append(dials, func() (net.Conn, error) {
				network, addr, err := manet.DialArgs(m)
				if err != nil {
					return nil, err
				}
				return net.Dial(network, addr)
			})
		}
		for _, dial := range dials {
			for _, load := range loads {
				c, err := dial()
				ts.Check(err)
				c.SetDeadline(time.Now().Add(time.Second))
				for part := range len(load)/1000 + 1 {
					// The other end may hang up on us at any point.
					if _, err := c.Write(load[part*1000 : min(len(load), part*1000+1000)]); err != nil {
						break
					}
				}
				c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}
		}
	}
}

// corrupt FILE changes one character in the middle of an armored file.
func cmdCorrupt(ts *testscript.TestScript, neg bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	i := len(b) / 2
	for b[i] == '\n' {
		i++
	}
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// plain wants standard output and standard error without anything that a terminal acts upon.
func cmdPlain(ts *testscript.TestScript, neg bool, args []string) {
	for _, f := range []string{"stdout", "stderr"} {
		if s := ts.ReadFile(f); s != plainText(s) {
			ts.Fatalf("%s holds characters that a terminal acts upon: %q", f, s)
		}
	}
}

// bigfile FILE SIZE writes a text of that size, marked TLP:CLEAR.
func cmdBigFile(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b bytes.Buffer
	b.WriteString("TLP:CLEAR\n# A long report\n")
	for b.Len() < n {
		fmt.Fprintf(&b, "line %d of the long report\n", b.Len())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes()[:n], 0o600))
}

// env-file FILE VAR writes the value of a variable to a file.
func cmdEnvFile(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.Getenv(args[1])+"\n"), 0o600))
}
