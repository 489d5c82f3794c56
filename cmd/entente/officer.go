package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store/keyring"
)

// officerView is an officer as officer list prints one.
type officerView struct {
	control.Officer
	Here bool `json:"here"` // the key is among this home's keys
}

var officerListCmd = command{
	name: "officer list", section: "People and keys",
	short:   "who signs for this team",
	example: `entente officer list`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "officer list"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				cer, err := p.ceremony(ctx, c)
				if err != nil {
					return err
				}
				here, err := keyring.Officers(p.keysDir())
				if err != nil {
					return err
				}
				var t table
				t.add("NAME", "KEY", "MAY SIGN", "KEY IS HERE")
				for _, o := range cer.root.Officers {
					v := officerView{Officer: control.Officer{Name: o.Name, Key: o.Key.ID(), Acts: o.Acts},
						Here: slices.ContainsFunc(here, func(h keyring.Officer) bool { return h.Key.Equal(o.Key) })}
					if p.json {
						if err := p.out.object(v); err != nil {
							return err
						}
						continue
					}
					t.add(o.Name, v.Key.String(), acts(o.Acts), yesNo(v.Here))
				}
				if !p.json {
					t.print(p.out)
				}
				return nil
			})
		}
	},
}

func acts(as []protocol.Act) string {
	if len(as) == 0 {
		return "everything"
	}
	var ss []string
	for _, a := range as {
		ss = append(ss, string(a))
	}
	return strings.Join(ss, ", ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

var officerAddCmd = command{
	name: "officer add", section: "People and keys", args: "NAME",
	short: "add a person who signs for this team",
	long: `Makes a key for the officer in HOME/keys, locked with a passphrase that the officer types, and lets the
root key sign that it counts. Carry officer-NAME.key and officer-NAME.pub to where the officer works.
Without a terminal, one passphrase serves for both keys; --new-passphrase-file gives the officer another.`,
	example: `entente officer add "Bo Example"`,
	setup: func(fs *flag.FlagSet, p *program) action {
		root := p.rootFlag(fs)
		newPass := fs.String("new-passphrase-file", "", "the new officer's passphrase is the first line of `FILE`")
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the officer's name"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return addOfficer(ctx, p, c, args[0], *root, *newPass) })
		}
	},
}

func addOfficer(ctx context.Context, p *program, c *control.Client, name, rootFile, newPass string) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(cer.root.Officers, func(o protocol.Officer) bool { return o.Name == name }) {
		return usagef("there is an officer %q already: give the new one another name", name)
	}
	root, err := cer.rootKey(rootFile)
	if err != nil {
		return err
	}
	key, undo, err := p.makeOfficer(name, newPass)
	if err != nil {
		return err
	}
	next := cer.nextRoot("officer added")
	next.Officers = append(next.Officers, protocol.Officer{Key: key.Public(), Name: name})
	e, err := cer.signRoot(next, root)
	if err == nil {
		err = c.AddOwn(ctx, e)
	}
	if err != nil {
		return errors.Join(err, undo())
	}
	if p.json {
		return p.out.object(officerView{Officer: control.Officer{Name: name, Key: key.Public().ID()}, Here: true})
	}
	p.out.linef("%s is an officer: %s", plainLine(name), key.Public().ID())
	p.sayf("entente: the key is %s", filepath.Join(p.keysDir(), "officer-"+name+".key"))
	return nil
}

// makeOfficer makes an officer's key under a new passphrase. undo takes it away again.
func (p *program) makeOfficer(name, passFile string) (key *protocol.PrivateKey, undo func() error, err error) {
	given := p.passphraseFile
	if passFile != "" {
		p.passphraseFile = passFile
	}
	pass, err := p.newPassphrase("officer " + name)
	p.passphraseFile = given
	if err != nil {
		return nil, nil, err
	}
	key, err = keyring.CreateOfficer(p.keysDir(), name, string(pass), testOnlyWorkFactor)
	if err != nil {
		return nil, nil, err
	}
	base := filepath.Join(p.keysDir(), "officer-"+name)
	return key, func() error { return errors.Join(os.Remove(base+".key"), os.Remove(base+".pub")) }, nil
}

var officerRemoveCmd = command{
	name: "officer remove", section: "People and keys", args: "NAME",
	short: "what this officer signs counts no longer",
	long: `The root key signs it. Another officer signs the card and this team's attestations again, so that they go
on counting.`,
	example: `entente officer remove "Bo Example"`,
	setup: func(fs *flag.FlagSet, p *program) action {
		root := p.rootFlag(fs)
		officer := p.officerFlag(fs)
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the officer's name"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return removeOfficer(ctx, p, c, args[0], *root, *officer) })
		}
	},
}

func removeOfficer(ctx context.Context, p *program, c *control.Client, name, rootFile, officer string) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	next := cer.nextRoot("officer removed")
	next.Officers = slices.DeleteFunc(next.Officers, func(o protocol.Officer) bool { return o.Name == name })
	switch {
	case len(next.Officers) == len(cer.root.Officers):
		return usagef("there is no officer %q: see entente officer list", name)
	case len(next.Officers) == 0:
		return withHint(fmt.Errorf("%s is the only officer, and a team needs one", name), "add another first: entente officer add NAME")
	}
	root, err := cer.rootKey(rootFile)
	if err != nil {
		return err
	}
	e, err := cer.signRoot(next, root)
	if err != nil {
		return err
	}
	again, err := cer.resign(ctx, c, officer)
	if err != nil {
		return withHint(err, "nothing was changed: another officer has to sign the card again")
	}
	if err := c.AddOwn(ctx, append([]*protocol.Envelope{e}, again...)...); err != nil {
		return err
	}
	if p.json {
		return p.out.object(map[string]string{"removed": name})
	}
	p.out.linef("%s is no officer any more", plainLine(name))
	return nil
}
