package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath keeps clear of the 104 to 108 bytes that systems allow in the address of a socket.
const maxSocketPath = 100

const socketName = "control"

// homeKey is the canonical path of a home, and the user who owns it.
func homeKey(home string) (path string, uid int, err error) {
	if path, err = filepath.Abs(home); err != nil {
		return "", 0, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	uid = os.Geteuid()
	if fi, err := os.Stat(path); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			uid = int(st.Uid)
		}
	}
	return path, uid, nil
}

// places are the directories where a server puts the socket of a home, the preferred one first.
func places(home string, uid int) []string { return under(home, uid, os.Getenv("XDG_RUNTIME_DIR")) }

// candidates are the directories where a client looks. A server started by a service manager and a client in a login shell
// see different environments, so there is one more.
func candidates(home string, uid int) []string {
	return under(home, uid, os.Getenv("XDG_RUNTIME_DIR"), "/run/user/"+strconv.Itoa(uid))
}

func under(home string, uid int, bases ...string) []string {
	sum := sha256.Sum256([]byte(home))
	tag := hex.EncodeToString(sum[:4])
	var dirs []string
	for _, base := range bases {
		if !filepath.IsAbs(base) {
			continue
		}
		dir := filepath.Join(base, "entente-"+tag)
		if len(dir)+len(socketName)+1 < maxSocketPath {
			dirs = append(dirs, dir)
		}
	}
	return append(dirs, fmt.Sprintf("/tmp/entente-%d-%s", uid, tag))
}

// checkDir refuses a directory that somebody else could have made or can enter: in /tmp anybody may take a name first.
func checkDir(dir string, uid int) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.IsDir():
		return fmt.Errorf("%s is not a directory: remove it, somebody may have put it there to intercept", dir)
	case !ok || int(st.Uid) != uid:
		return fmt.Errorf("%s belongs to another user: remove it, somebody may have put it there to intercept", dir)
	case fi.Mode().Perm() != 0o700:
		return fmt.Errorf("%s has mode %#o: want 0700", dir, fi.Mode().Perm())
	}
	return nil
}

// makeDir makes the directory for the socket, or accepts it if it is ours alone.
func makeDir(dir string, uid int) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return checkDir(dir, uid)
}

// SocketPath returns where a node of the home would listen.
func SocketPath(home string) (string, error) {
	path, uid, err := homeKey(home)
	if err != nil {
		return "", err
	}
	return filepath.Join(places(path, uid)[0], socketName), nil
}

// Listen opens the control socket of a home. The caller must hold the home's lock: a socket that nobody answers on is then
// one that a crashed node left, and is replaced. Closing the listener removes the socket.
func Listen(home string) (net.Listener, error) {
	path, _, err := homeKey(home)
	if err != nil {
		return nil, err
	}
	uid := os.Geteuid()
	var failed error
	for _, dir := range places(path, uid) {
		if err := makeDir(dir, uid); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		sock := filepath.Join(dir, socketName)
		if c, err := net.DialTimeout("unix", sock, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("a node already answers on %s: stop it first", sock)
		}
		if err := os.Remove(sock); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("removing the socket of a crashed node: %w", err)
		}
		l, err := net.Listen("unix", sock)
		if err != nil {
			return nil, err
		}
		if err := os.Chmod(sock, 0o600); err != nil {
			l.Close()
			return nil, err
		}
		return newGuard(l.(*net.UnixListener), dir, uid), nil
	}
	return nil, fmt.Errorf("no safe place for the control socket: %w", failed)
}

// dialHome connects to the node of a home and makes sure who it is. ErrNotRunning if there is none.
func dialHome(home string) (net.Conn, error) {
	path, uid, err := homeKey(home)
	if err != nil {
		return nil, err
	}
	for _, dir := range candidates(path, uid) {
		if err := checkDir(dir, uid); err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				continue
			}
			return nil, err
		}
		c, err := net.DialTimeout("unix", filepath.Join(dir, socketName), 5*time.Second)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
			continue // none, or the dead socket of a crashed node
		case err != nil:
			return nil, fmt.Errorf("reaching the node: %w", err)
		}
		if err := checkPeer(c, uid); err != nil {
			c.Close()
			return nil, fmt.Errorf("%s: %w: whatever answers there is not your node", dir, err)
		}
		return c, nil
	}
	return nil, ErrNotRunning
}

// checkPeer refuses a connection whose other end is neither uid nor root.
func checkPeer(c net.Conn, uid int) error {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return errors.New("not a unix socket")
	}
	peer, err := peerUID(uc)
	if err != nil {
		return fmt.Errorf("asking who the other end is: %w", err)
	}
	if !allowedPeer(peer, uid) {
		return fmt.Errorf("the other end is user %d, want %d", peer, uid)
	}
	return nil
}

func allowedPeer(peer, uid int) bool { return peer == uid || peer == 0 }

// guard is a listener that drops connections of other users, and those over maxConns.
type guard struct {
	*net.UnixListener
	dir   string
	uid   int
	slots chan struct{}
}

// Close removes the socket and its directory.
func (g *guard) Close() error {
	err := g.UnixListener.Close()
	_ = os.Remove(g.dir)
	return err
}

func newGuard(l *net.UnixListener, dir string, uid int) *guard {
	return &guard{UnixListener: l, dir: dir, uid: uid, slots: make(chan struct{}, maxConns)}
}

// Accept implements net.Listener.
func (g *guard) Accept() (net.Conn, error) {
	for {
		c, err := g.UnixListener.Accept()
		if err != nil {
			return nil, err
		}
		if checkPeer(c, g.uid) != nil {
			c.Close()
			continue
		}
		select {
		case g.slots <- struct{}{}:
			return &slotConn{Conn: c, release: sync.OnceFunc(func() { <-g.slots })}, nil
		default:
			c.Close()
		}
	}
}

// slotConn gives its slot back when it is closed.
type slotConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *slotConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
