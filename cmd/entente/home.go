package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/store/keyring"
)

// Where things lie in a home, as far as commands must know.
func (p *program) keysDir() string    { return filepath.Join(p.home, "keys") }
func (p *program) unlockPath() string { return filepath.Join(p.home, "unlock") }

// unlockFlag declares the flags of a command that may have to open the home itself.
func (p *program) unlockFlag(fs *flag.FlagSet) {
	p.passphraseFlag(fs)
	fs.StringVar(&p.unlockFile, "unlock-file", "", "the unlock secret is in `FILE` (default: the service manager's credential, or HOME/unlock)")
}

// unlock finds the secret that opens the node's keys: --unlock-file, the service manager's credential, the home's own file,
// and last a person at the terminal.
func (p *program) unlock() (keyring.Unlock, error) {
	if p.unlockFile != "" {
		return keyring.UnlockFile(p.unlockFile)
	}
	if dir := p.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, keyring.CredentialName)); err == nil {
			return keyring.UnlockCredential()
		}
	}
	if _, err := os.Lstat(p.unlockPath()); err == nil {
		return keyring.UnlockFile(p.unlockPath())
	}
	if _, err := os.Lstat(filepath.Join(p.keysDir(), "unlock.age")); err != nil {
		return keyring.Unlock{}, withHint(errors.New("the unlock secret that opens this node's keys was not found"),
			"name its file with --unlock-file, or put it back at %s", p.unlockPath())
	}
	b, err := p.passphrase("unlocking the node")
	if err != nil {
		return keyring.Unlock{}, err
	}
	return keyring.UnlockPassphrase(string(b)), nil
}

// open opens the home's node in this process. The caller closes it with the returned function. A home that another command
// has open is waited for.
func (p *program) open(cfg node.Config) (*node.Node, func() error, error) {
	u, err := p.unlock()
	if err != nil {
		return nil, nil, err
	}
	ring, err := keyring.Open(p.keysDir(), u)
	if errors.Is(err, keyring.ErrInUse) {
		if err := p.wait(func() bool { return p.answers() || !keyring.InUse(p.keysDir()) }); err != nil {
			return nil, nil, err
		}
		ring, err = keyring.Open(p.keysDir(), u)
	}
	if err != nil {
		return nil, nil, err
	}
	n, err := node.Open(cfg, ring)
	if err != nil {
		return nil, nil, errors.Join(err, ring.Close())
	}
	return n, func() error { return errors.Join(n.Close(), ring.Close()) }, nil
}

// inUse explains that somebody else has the home open.
func (p *program) inUse() error {
	return withHint(fmt.Errorf("the home %s is in use by another entente process", p.home),
		"if a node is running for it, use it, or stop it first: entente status%s", p.homeFlag())
}

// config reads the home's configuration.
func (p *program) config() (node.Config, error) {
	cfg, err := node.LoadConfig(p.home)
	if err != nil {
		return cfg, withHint(err, "make a team with entente init, or name another home with --home or ENTENTE_HOME")
	}
	return cfg, nil
}

// withNode runs fn with a client of the running node.
func (p *program) withNode(fn func(*control.Client) error) error {
	c, err := p.dialPatiently()
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c)
}

// patience is how long a command waits for a node that is just starting, or for another command that has the home open.
const patience = 10 * time.Second

// wait waits until cond holds, for as long as patience lasts. Only the person's impatience is an error.
func (p *program) wait(cond func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			return nil
		case <-p.interrupted:
			return context.Canceled
		}
	}
	return nil
}

// answers reports whether a node answers for the home.
func (p *program) answers() bool {
	c, err := p.dial()
	if err == nil {
		c.Close()
	}
	return !errors.Is(err, control.ErrNotRunning)
}

// dialPatiently waits for a node that has opened the home and does not answer yet.
func (p *program) dialPatiently() (*control.Client, error) {
	c, err := p.dial()
	if !errors.Is(err, control.ErrNotRunning) || !keyring.InUse(p.keysDir()) {
		return c, err
	}
	if err := p.wait(func() bool { return p.answers() || !keyring.InUse(p.keysDir()) }); err != nil {
		return nil, err
	}
	return p.dial()
}

// withHome runs fn with a client of the running node or, while none is running, of the home opened in this process, without
// a network. For commands that must also work then.
func (p *program) withHome(fn func(c *control.Client, running bool) error) error {
	c, err := p.dialPatiently()
	if errors.Is(err, control.ErrNotRunning) {
		err = p.withLocal(fn)
		if !errors.Is(err, keyring.ErrInUse) {
			return err
		}
		if c, err = p.dialPatiently(); errors.Is(err, control.ErrNotRunning) { // a node was faster, or so it seemed
			return p.inUse()
		}
	}
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c, true)
}

func (p *program) withLocal(fn func(c *control.Client, running bool) error) (err error) {
	cfg, err := p.config()
	if err != nil {
		return err
	}
	cfg.Offline, cfg.Log = true, p.logger(slog.LevelWarn)
	n, closeNode, err := p.open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeNode()) }()
	local := control.Local(n, p.home)
	defer local.Close()
	return fn(local, false)
}

// logger logs to standard error.
func (p *program) logger(l slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: l}))
}

// sayf prints a line for people beside the results.
func (p *program) sayf(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}

// who names the person at the keyboard, for the node's own record of who decided what.
func (p *program) who() string {
	for _, v := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if s := p.getenv(v); s != "" {
			return plainLine(s)
		}
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

// readAtMost reads r to its end, which must come within max bytes.
func readAtMost(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("over %d bytes: that is too long", max)
	}
	return b, nil
}

// writeFile writes a file that must not be there yet, whole or not at all.
func writeFile(name string, mode os.FileMode, fill func(io.Writer) error) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return withHint(err, "nothing was written: move the file that is there, or give another name")
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(name)
		}
	}()
	if err := fill(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
