package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// testOnlyWorkFactor, if not 0, makes scrypt cheap in tests.
var testOnlyWorkFactor int

var initCmd = command{
	name: "init", section: "Start",
	short: "make a new team: its root key, first officer and node",
	long: `Asks for a passphrase, which locks the root key and the officer's key. Prints the fingerprint that other
teams will ask you for, the recovery words, and what to keep offline. The words are shown once and kept
nowhere: write them down before you close the window.`,
	example: `entente init --name CERT-EXAMPLE --country XA --officer "Ada Example"
entente init --name CERT-EXAMPLE --country XA --listen /ip4/0.0.0.0/udp/4747/quic-v1 --advertise /dns4/node.cert.example/udp/4747/quic-v1`,
	setup: func(fs *flag.FlagSet, p *program) action {
		var f node.Founding
		var listen, advertise list
		fs.StringVar(&f.Name, "name", "", "the team's short `NAME`, as others should see it")
		fs.StringVar(&f.Country, "country", "", "its country: two letters `CC` (ISO 3166-1)")
		fs.StringVar(&f.Officer, "officer", "", "the `NAME` of the first officer, who signs for the team (default: your login)")
		fs.StringVar(&f.NodeName, "node", "", "a `NAME` for this machine (default: its host name)")
		fs.Var(&listen, "listen", "listen on `MULTIADDR`; may be repeated (default: port 4747, QUIC and TCP, all addresses)")
		fs.Var(&advertise, "advertise", "tell others to reach this node at `MULTIADDR`; may be repeated")
		fs.StringVar(&p.unlockFile, "unlock-file", "", "write the unlock secret to `FILE`, best on another medium (default HOME/unlock)")
		typed := fs.Bool("unlock-typed", false, "no unlock file: a person types a passphrase whenever the node starts")
		p.passphraseFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "init"); err != nil {
				return err
			}
			f.Home, f.Listen, f.Advertise, f.WorkFactor = p.home, listen, advertise, testOnlyWorkFactor
			f.UnlockFile = p.unlockFile
			return initTeam(p, f, *typed)
		}
	},
}

func initTeam(p *program, f node.Founding, typed bool) error {
	f.Country = strings.ToUpper(f.Country)
	switch {
	case f.Name == "":
		return usagef("--name is missing: the team's short name, such as CERT-EXAMPLE")
	case !protocol.IsCountry(f.Country):
		return usagef("--country %q: want the two letters of ISO 3166-1, such as AT", f.Country)
	case typed && f.UnlockFile != "":
		return usagef("--unlock-file and --unlock-typed exclude each other")
	}
	if f.Officer == "" {
		f.Officer = p.who()
	}
	if f.NodeName == "" {
		f.NodeName = hostName()
	}
	if _, err := os.Lstat(filepath.Join(p.home, "config.json")); err == nil {
		return withHint(fmt.Errorf("the home %s holds a team already", p.home), "nothing was changed: name another home with --home")
	}
	pass, err := p.newPassphrase("the root key and officer " + f.Officer)
	if err != nil {
		return err
	}
	f.Passphrase = string(pass)
	if typed {
		if pass, err = p.newPassphrase("unlocking the node at each start"); err != nil {
			return err
		}
		f.UnlockPassphrase = string(pass)
	}
	done, err := node.Found(f, time.Now())
	if err != nil {
		return err
	}
	fingerprint := trust.Fingerprint(done.Team)
	if p.json {
		return p.out.object(founded{Team: done.Team, Name: f.Name, Country: f.Country, Fingerprint: fingerprint,
			RecoveryWords: done.RecoveryWords, Officer: f.Officer, Home: p.home, RootFile: done.RootFile, UnlockFile: done.UnlockFile})
	}
	p.out.linef("team         %s (%s)", plainLine(f.Name), f.Country)
	p.out.linef("id           %s", done.Team)
	p.out.linef("fingerprint  %s", fingerprint)
	if err := p.out.flush(); err != nil {
		return err
	}
	p.showWords(done.RecoveryWords)
	p.sayf("Then:")
	p.sayf("  - move %s to a stick in a safe: the node does not need it", done.RootFile)
	if done.UnlockFile != "" {
		p.sayf("  - copy %s to a place where no copy of this disk is: it opens the node's keys", done.UnlockFile)
	}
	p.sayf("  - start the node: entente run%s", p.homeFlag())
	return nil
}

// founded is the result of init.
type founded struct {
	Team          protocol.TeamID `json:"id"`
	Name          string          `json:"name"`
	Country       string          `json:"country"`
	Fingerprint   string          `json:"fingerprint"`
	RecoveryWords string          `json:"recovery_words"`
	Officer       string          `json:"officer"`
	Home          string          `json:"home"`
	RootFile      string          `json:"root_file"`   // to be carried away
	UnlockFile    string          `json:"unlock_file"` // opens the node's keys; "": typed
}

// numbered prints words with their places.
func numbered(words []string, from int) string {
	var b strings.Builder
	for i, w := range words {
		fmt.Fprintf(&b, "%2d %-10s", from+i, w)
	}
	return strings.TrimRight(b.String(), " ")
}

func hostName() string {
	h, err := os.Hostname()
	h, _, _ = strings.Cut(h, ".")
	if h = plainLine(h); err != nil || h == "" || len(h) > protocol.MaxName {
		return "node"
	}
	return h
}
