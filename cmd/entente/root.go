package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store/keyring"
)

// rootView is what root show prints.
type rootView struct {
	Team      protocol.TeamID   `json:"id"`
	Record    protocol.Hash     `json:"record"`
	N         uint64            `json:"n"`
	Keys      []protocol.KID    `json:"keys"`
	Threshold uint64            `json:"threshold"`
	Officers  []control.Officer `json:"officers"`
	Sealed    protocol.Hash     `json:"recovery"` // what the recovery words must fit
	Issued    string            `json:"issued"`
	Reason    string            `json:"reason,omitempty"`
	Here      bool              `json:"here"` // the root key is among this home's keys
}

var rootShowCmd = command{
	name: "root show", section: "People and keys",
	short:   "this team's root record",
	example: `entente root show`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "root show"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				cer, err := p.ceremony(ctx, c)
				if err != nil {
					return err
				}
				return showRoot(p, cer)
			})
		}
	},
}

func showRoot(p *program, cer *ceremony) error {
	v := rootView{Team: cer.team, Record: cer.rootID, N: cer.root.N, Threshold: cer.root.Threshold, Sealed: cer.root.Sealed,
		Issued: stampUnix(cer.root.Issued), Reason: cer.root.Reason}
	for _, k := range cer.root.Keys {
		v.Keys = append(v.Keys, k.ID())
	}
	for _, o := range cer.root.Officers {
		v.Officers = append(v.Officers, control.Officer{Name: o.Name, Key: o.Key.ID(), Acts: o.Acts})
	}
	_, err := os.Lstat(rootKeyPath(p))
	v.Here = err == nil
	if p.json {
		return p.out.object(v)
	}
	o := p.out
	o.linef("team       %s", v.Team)
	o.linef("record     %d, of %s", v.N, v.Issued)
	if v.Reason != "" {
		o.linef("reason     %s", plainLine(v.Reason))
	}
	for _, k := range v.Keys {
		o.linef("root key   %s", k)
	}
	for _, f := range v.Officers {
		o.linef("officer    %s (key %s)", plainLine(f.Name), f.Key)
	}
	if v.Here {
		p.sayf("entente: the root key lies in %s: carry it to a stick in a safe; the node does not need it", rootKeyPath(p))
	}
	return nil
}

func rootKeyPath(p *program) string { return filepath.Join(p.keysDir(), "root.key") }

var rootRotateCmd = command{
	name: "root rotate", section: "People and keys",
	short: "a new root key in place of the present one",
	long: `The present root key signs the new one. Its file is written to HOME/keys/root.key; carry it away and destroy
the former one.`,
	example: `entente root rotate --root-key /media/stick/root.key`,
	setup: func(fs *flag.FlagSet, p *program) action {
		root := p.rootFlag(fs)
		newPass := fs.String("new-passphrase-file", "", "the new root key's passphrase is the first line of `FILE`")
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "root rotate"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error {
				cer, err := p.ceremony(ctx, c)
				if err != nil {
					return err
				}
				old, err := cer.rootKey(*root)
				if err != nil {
					return err
				}
				fresh, err := p.newRoot(*newPass)
				if err != nil {
					return err
				}
				next := cer.nextRoot("root key rotated")
				next.Keys, next.Threshold = []protocol.PublicKey{fresh.key.Public()}, 1
				e, err := cer.signRoot(next, old, fresh.key)
				if err == nil {
					err = c.AddOwn(ctx, e)
				}
				if err != nil {
					return errors.Join(err, fresh.discard())
				}
				if err := fresh.install(); err != nil {
					return err
				}
				return p.rootChanged(cer, "")
			})
		}
	},
}

// freshRoot is a new root key that waits in a directory of its own until its record is taken in.
type freshRoot struct {
	p   *program
	dir string
	key *protocol.PrivateKey
}

// newRoot makes a root key beside the present one.
func (p *program) newRoot(passFile string) (*freshRoot, error) {
	given := p.passphraseFile
	if passFile != "" {
		p.passphraseFile = passFile
	}
	pass, err := p.newPassphrase("the new root key")
	p.passphraseFile = given
	if err != nil {
		return nil, err
	}
	r := &freshRoot{p: p, dir: filepath.Join(p.home, "new-root")}
	if _, err := os.Lstat(r.dir); err == nil {
		return nil, withHint(fmt.Errorf("%s is there from a ceremony that did not end", r.dir),
			"if entente root show lists its key, move its files to %s; else remove it", p.keysDir())
	}
	if r.key, err = keyring.CreateRoot(r.dir, string(pass), testOnlyWorkFactor); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *freshRoot) discard() error { return os.RemoveAll(r.dir) }

// install puts the new key in the place of the former one, whose files are kept under another name.
func (r *freshRoot) install() error {
	for _, name := range []string{"root.key", "root.pub"} {
		at := filepath.Join(r.p.keysDir(), name)
		err := os.Rename(at, filepath.Join(r.p.keysDir(), "former-"+r.key.Public().ID().String()[:8]+"-"+name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Rename(filepath.Join(r.dir, name), at); err != nil {
			return err
		}
	}
	return os.Remove(r.dir)
}

// rootChanged says what a ceremony of the root did. words are new recovery words, for programs; people have seen them.
func (p *program) rootChanged(cer *ceremony, words string) error {
	if p.json {
		v := map[string]any{"id": cer.team, "record": cer.rootID, "n": cer.root.N}
		if words != "" {
			v["recovery_words"] = words
		}
		return p.out.object(v)
	}
	p.out.linef("root record %d is signed; the team's id and fingerprint stay the same", cer.root.N)
	if _, err := os.Lstat(rootKeyPath(p)); err == nil {
		p.sayf("entente: carry %s to a stick in a safe, and destroy what is left of a former one", rootKeyPath(p))
	}
	return nil
}

// showWords shows recovery words, to be written down.
func (p *program) showWords(words string) {
	p.sayf("\nWRITE THESE 24 WORDS ON PAPER NOW. They are shown this once and kept nowhere.")
	p.sayf("They bring the team back when the root key is lost. Put the paper into a safe.\n")
	ws := strings.Fields(words)
	for i := 0; i < len(ws); i += 6 {
		p.sayf("    %s", numbered(ws[i:min(i+6, len(ws))], i+1))
	}
	p.sayf("")
}

// showWordsFirst shows the words that a ceremony commits to before its record is taken in: afterwards the former words are
// spent, and nothing may stand between that and the new ones being known.
func (p *program) showWordsFirst(words string) {
	if p.json {
		return // they are in the result
	}
	p.showWords(words)
	p.sayf("They count once the record is signed; keep the former words until then.\n")
}

// recoveryWords takes the words from a file or the terminal.
func (p *program) recoveryWords(file string) (*protocol.PrivateKey, protocol.SealedSet, error) {
	var words string
	if file != "" {
		b, err := p.input(file, maxPassphraseFile)
		if err != nil {
			return nil, protocol.SealedSet{}, err
		}
		words = string(b)
	} else {
		var err error
		if words, err = p.ask("The 24 recovery words, in their order: "); err != nil {
			return nil, protocol.SealedSet{}, withHint(err, "or give them with --words-file")
		}
	}
	k, set, err := keyring.RecoveryFromWords(words)
	if err != nil {
		return nil, set, withHint(err, "nothing was changed")
	}
	return k, set, nil
}

// sealedRoot returns the successor of the root record by authority of the recovery words, committed to new ones.
func (c *ceremony) sealedRoot(set protocol.SealedSet, reason string) (next *protocol.Root, words string, err error) {
	if set.Commitment() != c.root.Sealed {
		return nil, "", withHint(errors.New("these are the recovery words of another team, or former ones of this team"),
			"nothing was changed; each set of words serves once")
	}
	_, words, fresh, err := keyring.NewRecovery()
	if err != nil {
		return nil, "", err
	}
	next = c.nextRoot(reason)
	next.Path, next.Reveal, next.Sealed = protocol.PathSealed, &set, fresh.Commitment()
	return next, words, nil
}

func wordsFlag(fs *flag.FlagSet) *string {
	return fs.String("words-file", "", "the recovery words are in `FILE`; - is standard input (default: asked for)")
}

var rootRecoverCmd = command{
	name: "root recover", section: "People and keys",
	short: "a new root key by the recovery words, when the present one is lost or stolen",
	long: `The words overrule the present root key. They serve once: new ones are shown, to be written down. The team's
id, fingerprint and relations stay as they are.

Where an officer's key may be in wrong hands too, --new-officer NAME makes one, and no other counts then.`,
	example: `entente root recover
entente root recover --new-officer "Ada Example"`,
	setup: func(fs *flag.FlagSet, p *program) action {
		file := wordsFlag(fs)
		officer := fs.String("new-officer", "", "make a key for officer `NAME`, and let no other officer count")
		newPass := fs.String("new-passphrase-file", "", "the new keys' passphrase is the first line of `FILE`")
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "root recover"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return recoverRoot(ctx, p, c, *file, *officer, *newPass) })
		}
	},
}

func recoverRoot(ctx context.Context, p *program, c *control.Client, file, officer, newPass string) (err error) {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	key, set, err := p.recoveryWords(file)
	if err != nil {
		return err
	}
	next, words, err := cer.sealedRoot(set, "recovered")
	if err != nil {
		return err
	}
	fresh, err := p.newRoot(newPass)
	if err != nil {
		return err
	}
	undo := []func() error{fresh.discard}
	defer func() {
		if err != nil {
			for _, u := range undo {
				err = errors.Join(err, u())
			}
		}
	}()
	next.Keys, next.Threshold = []protocol.PublicKey{fresh.key.Public()}, 1
	if officer != "" {
		k, undoOfficer, err := p.makeOfficer(officer, newPass)
		if err != nil {
			return err
		}
		undo = append(undo, undoOfficer)
		next.Officers = []protocol.Officer{{Key: k.Public(), Name: officer}}
		next.Thresholds = nil
	}
	e, err := cer.signRoot(next, key, fresh.key)
	if err != nil {
		return err
	}
	es := []*protocol.Envelope{e}
	if officer != "" {
		given := p.passphraseFile
		if newPass != "" {
			p.passphraseFile = newPass
		}
		again, err := cer.resign(ctx, c, officer)
		p.passphraseFile = given
		if err != nil {
			return err
		}
		es = append(es, again...)
	}
	p.showWordsFirst(words)
	if err := c.AddOwn(ctx, es...); err != nil {
		return err
	}
	undo = nil
	if err := fresh.install(); err != nil {
		return err
	}
	return p.rootChanged(cer, words)
}

var rootResealCmd = command{
	name: "root reseal", section: "People and keys",
	short: "new recovery words in place of the present ones",
	long: `Do this when somebody may have seen the words, and every three years: former root keys lose what power they
had. Needs the present words and the root key.`,
	example: `entente root reseal --root-key /media/stick/root.key`,
	setup: func(fs *flag.FlagSet, p *program) action {
		file := wordsFlag(fs)
		root := p.rootFlag(fs)
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "root reseal"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error {
				cer, err := p.ceremony(ctx, c)
				if err != nil {
					return err
				}
				key, set, err := p.recoveryWords(*file)
				if err != nil {
					return err
				}
				next, words, err := cer.sealedRoot(set, "recovery words renewed")
				if err != nil {
					return err
				}
				rk, err := cer.rootKey(*root)
				if err != nil {
					return err
				}
				e, err := cer.signRoot(next, key, rk)
				if err != nil {
					return err
				}
				p.showWordsFirst(words)
				if err := c.AddOwn(ctx, e); err != nil {
					return err
				}
				return p.rootChanged(cer, words)
			})
		}
	},
}
