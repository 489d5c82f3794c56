package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/seal"
)

var fsckCmd = command{
	name: "fsck", section: "Care",
	short: "check everything stored",
	long: `Every value must authenticate, every signature verify, every chain link, every label hold. Works with and
without a running node. With --repair, what is damaged is removed, and fetched again from other teams. The
exit code is 1 if anything is wrong that was not repaired.`,
	example: `entente fsck
entente fsck --repair`,
	setup: func(fs *flag.FlagSet, p *program) action {
		repair := fs.Bool("repair", false, "remove what is damaged, so that it is fetched again")
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "fsck"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return fsck(ctx, p, c, *repair) })
		}
	},
}

func fsck(ctx context.Context, p *program, c *control.Client, repair bool) error {
	bar := p.progress("checking", 0)
	r, err := c.Fsck(ctx, repair, func(values uint64) { bar.step(int(values)) })
	bar.clear()
	if err != nil {
		return err
	}
	if p.json {
		err = p.out.object(r)
	} else {
		p.out.linef("%d values checked: %d messages, %d parcels, %d identity records", r.Values, r.Messages, r.Parcels, r.Records)
		for _, q := range r.Problems {
			p.out.linef("  %s  %s", plainLine(q.Kind), plainLine(q.Where))
		}
		switch {
		case r.Found == 0:
			p.out.linef("clean")
		case repair:
			p.out.linef("%s found, %d repaired; what can be fetched again comes from other teams", plural(int(r.Found), "problem", "problems"), r.Repaired)
		default:
			p.out.linef("%s found", plural(int(r.Found), "problem", "problems"))
		}
	}
	if err != nil {
		return err
	}
	if !r.Clean {
		return &partial{"not everything is in order: entente fsck --repair removes what is damaged, and the node fetches it again", exitFailed}
	}
	return nil
}

var backupCmd = command{
	name: "backup", section: "Care", args: "FILE",
	short: "the whole home, encrypted, in one file",
	long: `Keys, teams, messages and settings, sealed with a passphrase. The file is read back and compared before the
command says that it is good. Works with and without a running node. The unlock secret is not in it; a
restore makes a new one.`,
	example: `entente backup /media/stick/cert-example-2026-03.backup`,
	setup: func(fs *flag.FlagSet, p *program) action {
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the file to write"); err != nil {
				return err
			}
			if _, err := os.Lstat(args[0]); err == nil {
				return withHint(fmt.Errorf("%s is there already", args[0]), "nothing was written: move it away, or give another name")
			}
			pass, err := p.newPassphrase("the backup")
			if err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return backup(ctx, p, c, args[0], string(pass)) })
		}
	},
}

func backup(ctx context.Context, p *program, c *control.Client, name, pass string) error {
	plain := sha256.New()
	err := writeFile(name, 0o600, func(w io.Writer) error {
		sealed, err := seal.SealPassphrase(w, pass, testOnlyWorkFactor)
		if err != nil {
			return err
		}
		if err := c.Backup(ctx, io.MultiWriter(sealed, plain)); err != nil {
			return err
		}
		return sealed.Close()
	})
	if err != nil {
		return err
	}
	p.sayf("entente: written; reading it back")
	again := sha256.New()
	n, err := openBackup(name, pass, func(r io.Reader) error {
		_, err := io.Copy(again, r)
		return err
	})
	if err == nil && !bytes.Equal(plain.Sum(nil), again.Sum(nil)) {
		err = errors.New("what was read back is not what was written")
	}
	if err != nil {
		return withHint(fmt.Errorf("the backup %s is no good: %w", name, err), "check the medium and make another; do not rely on this one")
	}
	if p.json {
		return p.out.object(map[string]any{"file": name, "bytes": n, "verified": true})
	}
	p.out.linef("%s is good (%s)", plainLine(name), size(n))
	return nil
}

// openBackup gives the opened stream of a backup to read, to its end, and returns the file's size.
func openBackup(name, pass string, read func(io.Reader) error) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	r, err := seal.OpenPassphrase(f, pass)
	if err != nil {
		return 0, err
	}
	if err := read(r); err != nil {
		return 0, err
	}
	// Only the end of the stream shows that nothing was cut off.
	_, err = io.Copy(io.Discard, r)
	return fi.Size(), err
}

var restoreCmd = command{
	name: "restore", section: "Care", args: "FILE",
	short: "make a home from a backup",
	long: `The home must not hold a team. The backup is checked to its end before anything is written. Afterwards the
node runs, receives and catches up, but does not sign: it may have said things after the backup was made.
Let it catch up, give it new keys with entente node replace, and restart it.`,
	example: `entente --home /var/lib/entente restore /media/stick/cert-example-2026-03.backup`,
	setup: func(fs *flag.FlagSet, p *program) action {
		p.passphraseFlag(fs)
		fs.StringVar(&p.unlockFile, "unlock-file", "", "write the new unlock secret to `FILE` (default HOME/unlock)")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the backup"); err != nil {
				return err
			}
			return restore(ctx, p, args[0])
		}
	},
}

func restore(ctx context.Context, p *program, name string) error {
	if _, err := os.Lstat(filepath.Join(p.home, "config.json")); err == nil {
		return withHint(fmt.Errorf("the home %s holds a team already", p.home), "nothing was changed: name an empty home with --home")
	}
	pass, err := p.passphrase("the backup")
	if err != nil {
		return err
	}
	if _, err := openBackup(name, string(pass), checkTar); err != nil {
		return withHint(fmt.Errorf("%s: %w", name, err), "nothing was changed: check the passphrase, or take another backup")
	}
	unlock := p.unlockFile
	if unlock == "" {
		unlock = node.DefaultUnlockFile(p.home)
	}
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		return err
	}
	var result struct {
		Team       string `json:"id"`
		Home       string `json:"home"`
		UnlockFile string `json:"unlock_file"`
		Next       string `json:"next"`
	}
	_, err = openBackup(name, string(pass), func(r io.Reader) error {
		team, err := node.Restore(ctx, p.home, unlock, r)
		result.Team = team.String()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	result.Home, result.UnlockFile = p.home, unlock
	result.Next = "run the node until it has caught up, then: entente node replace, and restart it"
	if p.json {
		return p.out.object(result)
	}
	p.out.linef("restored team %s into %s", result.Team, p.home)
	p.sayf("entente: a new unlock secret is in %s", unlock)
	p.sayf("entente: this node does not sign yet. Start it (entente run%s) and let it catch up with the others;", p.homeFlag())
	p.sayf("entente: then give it new keys (entente node replace%s) and restart it", p.homeFlag())
	return nil
}

// checkTar reads a whole archive.
func checkTar(r io.Reader) error {
	t := tar.NewReader(r)
	for {
		_, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not a backup of this program, or damaged: %w", err)
		}
		if _, err := io.Copy(io.Discard, t); err != nil {
			return err
		}
	}
}

var doctorCmd = command{
	name: "doctor", section: "Care", args: "[TEAM]",
	short:    "why messages may not arrive, in words",
	long:     `For one team, or for this node and all teams. The exit code is 1 if something is wrong.`,
	example:  `entente doctor CERT-OTHER`,
	complete: teamNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 1, "the team"); err != nil {
				return err
			}
			team := ""
			if len(args) > 0 {
				team = args[0]
			}
			return p.withNode(func(c *control.Client) error {
				bad := 0
				err := c.Doctor(ctx, team, func(f control.Finding) error {
					if f.Level == "bad" {
						bad++
					}
					if p.json {
						return p.out.object(f)
					}
					p.out.linef("%-4s  %s", plainLine(f.Level), plainLine(f.Text))
					if f.Next != "" {
						p.out.linef("      %s", plainLine(f.Next))
					}
					return nil
				})
				if err == nil && bad > 0 {
					err = &partial{fmt.Sprintf("%s found", plural(bad, "fault was", "faults were")), exitFailed}
				}
				return err
			})
		}
	},
}
