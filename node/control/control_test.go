package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
)

// newNode makes a team and opens its node, which listens on loopback if it is to run.
func newNode(t *testing.T, run bool) (*node.Node, string) {
	t.Helper()
	return newNamed(t, "CERT-A", run)
}

func newNamed(t *testing.T, name string, run bool) (*node.Node, string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	if _, err := node.Found(node.Founding{Home: home, Name: name, Country: "XA", Officer: "Ada", Passphrase: "passphrase",
		Listen: []string{"/ip4/127.0.0.1/tcp/0"}, WorkFactor: seal.MinWorkFactor}, time.Now()); err != nil {
		t.Fatal(err)
	}
	u, err := keyring.UnlockFile(node.DefaultUnlockFile(home))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(node.KeysDir(home), u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	cfg, err := node.LoadConfig(home)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Offline = !run
	n, err := node.Open(cfg, ring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("closing the node: %v", err)
		}
	})
	if run {
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return n, home
}

// serve answers for the home on its socket, in a directory of this test.
func serve(t *testing.T, n *node.Node, home string) *Server {
	t.Helper()
	l, err := Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(n, home, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return s
}

// shortRuntime puts sockets into a directory with a short path, as XDG_RUNTIME_DIR has one.
func shortRuntime(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return dir
}

// A bridge publishes, watches, is restarted, and goes on where it was.
func TestPublishAndWatchWithResume(t *testing.T) {
	shortRuntime(t)
	n, home := newNode(t, true)
	serve(t, n, home)
	c, err := Dial(home)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	send := func(text string) *Sent {
		t.Helper()
		s, err := c.Send(ctx, Draft{To: "community", Name: "x.md"}, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := send("TLP:GREEN\n# one\n")
	if first.ID == nil || first.TLP == nil || *first.TLP != tlp.Green || first.Audience.Kind != "community" {
		t.Fatalf("got %+v", first)
	}
	second := send("TLP:CLEAR\n# two\n")
	stop := errors.New("enough")
	watch := func(after uint64, want ...protocol.Hash) (last uint64) {
		t.Helper()
		var got []protocol.Hash
		err := c.Watch(ctx, after, func(m Message) error {
			got, last = append(got, m.ID), m.N
			if len(got) == len(want) {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("watch after %d: got %v, %v; want %v", after, got, err, want)
		}
		return last
	}
	at := watch(0, *first.ID)
	at = watch(at, *second.ID)
	live := make(chan Message, 1)
	go func() {
		_ = c.Watch(ctx, at, func(m Message) error {
			live <- m
			return stop
		})
	}()
	third := send("TLP:CLEAR\n# three\n")
	select {
	case m := <-live:
		if m.ID != *third.ID {
			t.Errorf("got %v, want %v", m.ID, *third.ID)
		}
	case <-ctx.Done():
		t.Error("a message that arrived during a watch was not seen")
	}

	// Large content goes and comes as it is.
	big := append([]byte("TLP:CLEAR\n"), bytes.Repeat([]byte("0123456789abcdef\n"), 20_000)...)
	s, err := c.Send(ctx, Draft{To: "community"}, bytes.NewReader(big))
	if err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	if err := c.Body(ctx, *s.ID, &back); err != nil || !bytes.Equal(back.Bytes(), big) {
		t.Errorf("the content came back as %d bytes, %v; want %d", back.Len(), err, len(big))
	}
}

// What a watcher's server says at its end is an end, not a success that hides something.
func TestWatchEndsWithTheServer(t *testing.T) {
	shortRuntime(t)
	n, home := newNode(t, true)
	s := serve(t, n, home)
	c, err := Dial(home)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		resp, err := c.do(t.Context(), http.MethodGet, "/v1/watch", nil, nil)
		close(started)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		ended <- err
	}()
	<-started
	// A watch does not hold up the end until the time for requests at work is over.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the watch goes on without a server")
	}
	if _, err := Dial(home); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: got %v, want ErrNotRunning", err)
	}
}

func TestErrors(t *testing.T) {
	n, home := newNode(t, false)
	c := Local(n, home)
	defer c.Close()
	ctx := t.Context()
	var last error
	check := func(what string, err error, code Code, rule string) {
		t.Helper()
		last = err
		var e *Error
		if !errors.As(err, &e) || e.Code != code || rule != "" && e.Rule != rule {
			t.Errorf("%s: got %#v, want code %s, rule %q", what, err, code, rule)
		}
	}
	_, err := c.Team(ctx, "CERT-NOBODY")
	check("an unknown team", err, NotFound, "")
	_, err = c.Message(ctx, strings.Repeat("0", 64))
	check("an unknown message", err, NotFound, "")
	_, err = c.Preview(ctx, Draft{To: "everybody"})
	check("an unknown audience", err, Usage, "")
	_, err = c.Preview(ctx, Draft{To: "community", Label: tlp.Red})
	check("RED to the community", err, Refused, "community-ceiling")
	_, err = c.AddTeam(ctx, []byte("nonsense"), "x")
	check("no introduction", err, Refused, "introduction")
	if !errors.Is(last, &Error{Code: Refused}) || errors.Is(last, &Error{Code: Refused, Rule: "other"}) || errors.Is(last, &Error{Code: Usage}) {
		t.Error("errors.Is does not tell codes and rules apart")
	}
	_, err = c.VerifyTeam(ctx, protocol.Sum("nobody"), "1", "phone", "x", nil)
	check("an unknown team's fingerprint", err, NotFound, "")
	check("an unknown request", func() error {
		_, err := c.do(ctx, http.MethodGet, "/v1/nonsense", nil, nil)
		return err
	}(), NotFound, "")
	check("a request of nonsense", func() error {
		_, err := c.do(ctx, http.MethodPost, "/v1/own", nil, strings.NewReader("{"))
		return err
	}(), Usage, "")
	check("a request that is too long", func() error {
		_, err := c.do(ctx, http.MethodPost, "/v1/own", nil, io.LimitReader(rand.Reader, maxJSON+2))
		return err
	}(), Usage, "")
}

// Without a network, what needs none works.
func TestLocal(t *testing.T) {
	n, home := newNode(t, false)
	c := Local(n, home)
	ctx := t.Context()
	s, err := c.Status(ctx)
	if err != nil || s.Running || s.Team.Name != "CERT-A" {
		t.Errorf("status: got %+v, %v", s, err)
	}
	if b, err := c.Introduction(ctx); err != nil || !bytes.Contains(b, []byte("BEGIN ENTENTE INTRODUCTION")) {
		t.Errorf("introduction: got %.80q, %v", b, err)
	}
	if r, err := c.Fsck(ctx, false, nil); err != nil || !r.Clean {
		t.Errorf("fsck: got %+v, %v", r, err)
	}
	var backup bytes.Buffer
	if err := c.Backup(ctx, &backup); err != nil || backup.Len() == 0 {
		t.Errorf("backup: got %d bytes, %v", backup.Len(), err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Status(ctx); err == nil {
		t.Error("a closed client answers")
	}
}

// A crashed node leaves its socket behind. It is no running node, and the next one takes its place; a running one's is not
// taken.
func TestDeadSocket(t *testing.T) {
	shortRuntime(t)
	home := t.TempDir()
	if _, err := Dial(home); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: got %v, want ErrNotRunning", err)
	}
	l, err := Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	l.(*guard).SetUnlinkOnClose(false)
	l.(*guard).UnixListener.Close() // as a crash does
	path, err := SocketPath(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the dead socket is gone: %v", err)
	}
	if _, err := Dial(home); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a dead socket: got %v, want ErrNotRunning", err)
	}
	if l, err = Listen(home); err != nil {
		t.Fatalf("over a dead socket: %v", err)
	}
	if _, err := Listen(home); err == nil || !strings.Contains(err.Error(), "already answers") {
		t.Errorf("over a living socket: got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(path)); err == nil {
		t.Error("the directory of the socket is left behind")
	}
}

// Somebody else takes the name of the directory in /tmp first: as a directory that they can enter, as a link, as a file.
func TestUnsafeSocketDirectory(t *testing.T) {
	base := shortRuntime(t)
	home := t.TempDir()
	path, err := SocketPath(home)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if filepath.Dir(dir) != base || len(path) >= maxSocketPath {
		t.Fatalf("the socket is to lie at %s", path)
	}
	for name, prepare := range map[string]func() error{
		"open to others": func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) },
		"a link":         func() error { return os.Symlink(t.TempDir(), dir) },
		"a file":         func() error { return os.WriteFile(dir, nil, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := prepare(); err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := checkDir(dir, os.Geteuid()); err == nil {
				t.Error("the directory is accepted")
			}
			if _, err := Dial(home); err == nil || errors.Is(err, ErrNotRunning) {
				t.Errorf("a client: got %v, want an error that names the directory", err)
			}
		})
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkDir(dir, os.Geteuid()+1); err == nil {
		t.Error("a directory of another user is accepted")
	}
}

func TestSocketPath(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/tmp/"+strings.Repeat("long/", 30))
	home := t.TempDir()
	path, err := SocketPath(home)
	if err != nil || len(path) >= maxSocketPath || !strings.HasPrefix(path, "/tmp/entente-") {
		t.Errorf("got %q, %v: want a short path in /tmp", path, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	if other, _ := SocketPath(link); other != path {
		t.Errorf("one home by two paths: %s and %s", path, other)
	}
	if other, _ := SocketPath(t.TempDir()); other == path {
		t.Error("two homes have one socket")
	}
}

func TestPeer(t *testing.T) {
	for _, tc := range []struct {
		peer, uid int
		want      bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {0, 0, true}} {
		if got := allowedPeer(tc.peer, tc.uid); got != tc.want {
			t.Errorf("user %d at the socket of %d: got %v, want %v", tc.peer, tc.uid, got, tc.want)
		}
	}
	shortRuntime(t)
	home := t.TempDir()
	l, err := Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dialHome(home)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if uid, err := peerUID(c.(*net.UnixConn)); err != nil || uid != os.Geteuid() {
		t.Errorf("peerUID: got %d, %v; want %d", uid, err, os.Geteuid())
	}
	if os.Geteuid() != 0 {
		if err := checkPeer(c, os.Geteuid()+1); err == nil {
			t.Error("a server of another user is accepted")
		}
	}
	if err := checkPeer(&net.TCPConn{}, os.Geteuid()); err == nil {
		t.Error("TCP is accepted")
	}
}

// A client that opens connection after connection costs itself those beyond the limit, and gives them back by closing.
func TestConnectionLimit(t *testing.T) {
	shortRuntime(t)
	home := t.TempDir()
	l, err := Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path, _ := SocketPath(home)
	accepted := make(chan net.Conn, 2*maxConns)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	var last net.Conn
	for range maxConns + 1 {
		if last, err = net.Dial("unix", path); err != nil {
			t.Fatal(err)
		}
		defer last.Close()
	}
	if err := last.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection beyond the limit: got %v, want it closed", err)
	}
	c := <-accepted
	if err := errors.Join(c.Close(), ignoreClosed(c.Close())); err != nil {
		t.Error(err)
	}
	if len(l.(*guard).slots) != maxConns-1 {
		t.Errorf("closing twice gave back %d slots, want 1", maxConns-len(l.(*guard).slots))
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Requests beyond the limit are told to come back.
func TestRequestLimit(t *testing.T) {
	n, home := newNode(t, false)
	c := Local(n, home)
	defer c.Close()
	s := NewServer(n, home, slog.New(slog.DiscardHandler))
	slots := make(chan struct{}, 1)
	slots <- struct{}{}
	h := s.limited(slots, func(http.ResponseWriter, *http.Request) error {
		t.Error("the request was let in")
		return nil
	})
	l := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	busy := newClient(l.dial, l.Close)
	defer busy.Close()
	if _, err := busy.Status(t.Context()); !errors.Is(err, &Error{Code: Busy}) {
		t.Errorf("got %v, want code %s", err, Busy)
	}
}

// An answer that breaks off midway is an error, whatever arrived before.
func TestCutAnswers(t *testing.T) {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/messages", func(w http.ResponseWriter, r *http.Request) {
		l := newLineWriter(w)
		_ = l.write(Message{TLP: tlp.Clear})
		l.finish(&Error{Text: "the disk is on fire", Code: Failed})
	})
	m.HandleFunc("GET /v1/messages/{id}/body", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
		panic(http.ErrAbortHandler)
	})
	m.HandleFunc("POST /v1/backup", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", errorTrailer)
		_, _ = io.WriteString(w, "begun")
		w.Header().Set(errorTrailer, oneLine(&Error{Text: "the disk is on fire", Code: Failed}))
	})
	m.HandleFunc("POST /v1/fsck", func(w http.ResponseWriter, r *http.Request) {
		_ = newLineWriter(w).write(fsckLine{Values: 1})
	})
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	l := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: m, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	c := newClient(l.dial, l.Close)
	defer c.Close()
	ctx := t.Context()
	n := 0
	err := c.Inbox(ctx, Query{}, func(Message) error { n++; return nil })
	if e := (*Error)(nil); !errors.As(err, &e) || e.Text != "the disk is on fire" || n != 1 {
		t.Errorf("a list: got %v after %d messages", err, n)
	}
	if err := c.Body(ctx, protocol.Hash{}, io.Discard); err == nil {
		t.Error("content: no error")
	}
	if err := c.Backup(ctx, io.Discard); err == nil || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("a backup: got %v", err)
	}
	if _, err := c.Fsck(ctx, false, nil); err == nil {
		t.Error("a check: no error")
	}
	if _, err := c.Status(ctx); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("an answer without a reason: got %v", err)
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte("{\"id\":\"\"}\n{\"error\":\"x\",\"code\":\"failed\"}\n"))
	f.Add([]byte("\n\n{}\n[]\n"))
	f.Add([]byte("{\"n\":1}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 0
		err := readLines(bytes.NewReader(data), func(Message) error { lines++; return nil })
		if lines > bytes.Count(data, []byte("\n"))+1 {
			t.Errorf("%d lines out of %q, %v", lines, data, err)
		}
	})
}
