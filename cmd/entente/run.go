package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/store/keyring"
)

// closeGrace is how long requests at work get when the node ends.
const closeGrace = 5 * time.Second

var runCmd = command{
	name: "run", section: "Start",
	short: "run the node, in the foreground",
	long: `Joins the network and answers the other commands, until it is interrupted. Prints a line with the word
"ready" on standard error once it accepts connections. Addresses and limits are read from HOME/config.json.

The secret that unlocks the node's keys is taken from --unlock-file, from the credential entente-unlock of
the service manager, from HOME/unlock, or is asked for on the terminal.`,
	example: `entente run
entente --home /var/lib/entente run --unlock-file /run/keys/entente-unlock`,
	setup: func(fs *flag.FlagSet, p *program) action {
		p.unlockFlag(fs)
		verbose := fs.Bool("verbose", false, "log more")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "run"); err != nil {
				return err
			}
			return run(ctx, p, *verbose)
		}
	},
}

// testOnlyConfig, if not nil, changes how the node of a test runs.
var testOnlyConfig func(*node.Config)

func run(ctx context.Context, p *program, verbose bool) (err error) {
	if p.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(node.MemoryLimit)
	}
	if p.answers() {
		return p.running()
	}
	cfg, err := p.config()
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	log := p.logger(level)
	cfg.Log = log
	if testOnlyConfig != nil {
		testOnlyConfig(&cfg)
	}
	n, closeNode, err := p.open(cfg)
	if errors.Is(err, keyring.ErrInUse) {
		if p.answers() {
			return p.running()
		}
		return p.inUse()
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeNode()) }()
	if err := n.Start(ctx); err != nil {
		return withHint(err, "see listen in %s/config.json: another program may use the port", p.home)
	}
	l, err := control.Listen(p.home)
	if err != nil {
		return err
	}
	srv := control.NewServer(n, p.home, log)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	st, err := n.Status()
	if err != nil {
		return err
	}
	log.Info("ready", "team", plainLine(st.Team.Name), "listening", strings.Join(st.Listening, " "))
	if st.Stopped != "" {
		log.Warn("this node does not sign", "why", st.Stopped)
	}
	notify(p, "READY=1")
	select {
	case err = <-served:
	case <-n.Broken():
		notify(p, "STOPPING=1")
		err = withHint(errors.New("the store takes nothing in any more: its files are damaged, or the disk is full"),
			"free disk space if that is it, and start the node again: opening mends the store, and what is missing is fetched from others")
	case <-ctx.Done():
		notify(p, "STOPPING=1")
		log.Info("ending")
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	return errors.Join(err, srv.Close(grace))
}

func (p *program) running() error {
	return withHint(fmt.Errorf("a node is running for the home %s already", p.home), "use it, or stop it first: entente status%s", p.homeFlag())
}

// notify tells the service manager how the node is (sd_notify), if there is one.
func notify(p *program, state string) {
	path := p.getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if rest, ok := strings.CutPrefix(path, "@"); ok {
		path = "\x00" + rest
	}
	if c, err := net.Dial("unixgram", path); err == nil {
		defer c.Close()
		_, _ = c.Write([]byte(state))
	}
}
