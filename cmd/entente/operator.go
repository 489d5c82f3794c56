package main

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store/keyring"
)

// operatorView is an operator as operator list prints one.
type operatorView struct {
	Name      string `json:"name"`
	Recipient string `json:"recipient"`
	Here      bool   `json:"here"`             // the identity is among this home's keys
	Plugin    string `json:"plugin,omitempty"` // that holds the identity
	Problem   string `json:"problem,omitempty"`
}

var operatorListCmd = command{
	name: "operator list", section: "People and keys",
	short:   "to whom of this team TLP:RED can be sealed",
	example: `entente operator list`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "operator list"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error { return listOperators(ctx, p, c) })
		}
	},
}

func listOperators(ctx context.Context, p *program, c *control.Client) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	here, err := keyring.Operators(p.keysDir())
	if err != nil {
		return err
	}
	var t table
	t.add("NAME", "RECIPIENT", "IDENTITY")
	for _, o := range cer.manifest.Operators {
		v := operatorView{Name: o.Name, Recipient: o.Recipient}
		where := "elsewhere"
		if i := slices.IndexFunc(here, func(f keyring.OperatorFile) bool { return f.Name == o.Name }); i >= 0 {
			f := here[i]
			v.Here, v.Plugin = !f.Elsewhere, f.Plugin
			switch {
			case f.Recipient != o.Recipient:
				v.Problem = "the identity here is not the one that the manifest names"
				where = "here, but " + v.Problem
			case f.Plugin != "":
				where = "with age-plugin-" + f.Plugin
			case f.Protected:
				where = "here, with a passphrase"
			}
		}
		if p.json {
			if err := p.out.object(v); err != nil {
				return err
			}
			continue
		}
		t.add(o.Name, o.Recipient[:min(len(o.Recipient), 20)]+"…", where)
	}
	switch {
	case p.json:
	case len(cer.manifest.Operators) == 0:
		p.sayf("entente: nobody yet, so nobody can send TLP:RED to this team: entente operator add NAME")
	default:
		t.print(p.out)
	}
	return nil
}

var operatorAddCmd = command{
	name: "operator add", section: "People and keys", args: "NAME",
	short: "add a person to whom TLP:RED can be sealed",
	long: `Makes an identity for the person in HOME/keys, locked with a passphrase that the person types; then an officer
signs that it counts. The node cannot open it. Without a terminal, one passphrase serves for both;
--new-passphrase-file gives the person another.

A person who has a post-quantum age identity already gives it with --identity-file (that of a hardware key's plugin
is kept here, as it opens nothing alone; of another only the recipient), or only its --recipient.`,
	example: `entente operator add "Bo Example"
entente operator add "Cy Example" --recipient age1pq1…`,
	setup: func(fs *flag.FlagSet, p *program) action {
		file := fs.String("identity-file", "", "the person's own age identity `FILE`, as of a hardware key's plugin")
		recipient := fs.String("recipient", "", "the person's own age `RECIPIENT`: age1pq1… or age1tagpq1…")
		newPass := fs.String("new-passphrase-file", "", "the person's passphrase is the first line of `FILE`")
		officer := p.officerFlag(fs)
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the person's name"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error {
				return addOperator(ctx, p, c, args[0], *file, *recipient, *newPass, *officer)
			})
		}
	},
}

func addOperator(ctx context.Context, p *program, c *control.Client, name, file, recipient, newPass, officer string) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	if i := findOperator(cer.manifest.Operators, name); i >= 0 {
		return usagef("there is an operator %q already: give the new one another name, or see entente operator rotate", cer.manifest.Operators[i].Name)
	}
	if recipient != "" {
		if _, err := seal.ParseRecipient(recipient); err != nil {
			return usagef("--recipient: %v", err)
		}
	}
	// The officer's key is unlocked before anything is made: a wrong passphrase changes nothing.
	key, _, err := cer.officer(officer, protocol.ActManifest)
	if err != nil {
		return err
	}
	var made string
	if file != "" || recipient != "" {
		made, err = keyring.ImportOperator(p.keysDir(), name, file, recipient)
	} else {
		var pass []byte
		if pass, err = p.passphraseOf("operator "+name, newPass, (*program).newPassphrase); err == nil {
			made, err = keyring.CreateOperator(p.keysDir(), name, string(pass), testOnlyWorkFactor)
		}
	}
	if err != nil {
		return err
	}
	m := cer.nextManifest()
	m.Operators = append(slices.Clone(m.Operators), protocol.Operator{Name: name, Recipient: made})
	if err := cer.signManifest(ctx, c, m, key); err != nil {
		return errors.Join(err, keyring.RemoveOperator(p.keysDir(), name))
	}
	if p.json {
		v := operatorView{Name: name, Recipient: made}
		here, err := keyring.Operators(p.keysDir())
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(here, func(f keyring.OperatorFile) bool { return f.Name == name }); i >= 0 {
			v.Here, v.Plugin = !here[i].Elsewhere, here[i].Plugin
		}
		return p.out.object(v)
	}
	p.out.linef("%s is an operator: TLP:RED can be sealed to them", plainLine(name))
	if recipient == "" && file == "" {
		p.sayf("entente: the identity is %s; without it, or its passphrase, nobody can open what is sealed to it",
			filepath.Join(p.keysDir(), "operator-"+name+".key"))
	}
	return nil
}

// findOperator returns the place of the operator of a name; -1 if there is none. Names that differ in case only are the same to
// people.
func findOperator(os []protocol.Operator, name string) int {
	return slices.IndexFunc(os, func(o protocol.Operator) bool { return strings.EqualFold(o.Name, name) })
}

// passphraseOf asks for the passphrase of somebody else than the signer, who may have a file of their own for it.
func (p *program) passphraseOf(who, file string, ask func(*program, string) ([]byte, error)) ([]byte, error) {
	given := p.passphraseFile
	defer func() { p.passphraseFile = given }()
	if file != "" {
		p.passphraseFile = file
	}
	return ask(p, who)
}

// signManifest signs a manifest and hands it to the node.
func (c *ceremony) signManifest(ctx context.Context, cl *control.Client, m *protocol.Manifest, key *protocol.PrivateKey) error {
	slices.SortFunc(m.Operators, func(a, b protocol.Operator) int { return strings.Compare(a.Name, b.Name) })
	e, err := protocol.Sign(m, key)
	if err != nil {
		return err
	}
	return cl.AddOwn(ctx, e)
}

var operatorRemoveCmd = command{
	name: "operator remove", section: "People and keys", args: "NAME",
	short: "nothing more is sealed to this person",
	long: `An officer signs it. The person's identity stays in HOME/keys, so that what was sealed to it before can still be
read, unless --delete-identity is given.`,
	example: `entente operator remove "Bo Example"`,
	complete: func(ctx context.Context, p *program) []string {
		fs, err := keyring.Operators(p.keysDir())
		if err != nil {
			return nil
		}
		var names []string
		for _, f := range fs {
			names = append(names, f.Name)
		}
		return names
	},
	setup: func(fs *flag.FlagSet, p *program) action {
		destroy := fs.Bool("delete-identity", false, "delete the identity too: what was sealed to it cannot be read any more")
		officer := p.officerFlag(fs)
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the person's name"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return removeOperator(ctx, p, c, args[0], *officer, *destroy) })
		}
	},
}

// operatorToChange finds an operator in a manifest, and unlocks the key of the officer who signs the change.
func operatorToChange(cer *ceremony, m *protocol.Manifest, name, officer string) (int, *protocol.PrivateKey, error) {
	i := findOperator(m.Operators, name)
	if i < 0 {
		return 0, nil, usagef("there is no operator %q: see entente operator list", name)
	}
	key, _, err := cer.officer(officer, protocol.ActManifest)
	return i, key, err
}

func removeOperator(ctx context.Context, p *program, c *control.Client, name, officer string, destroy bool) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	m := cer.nextManifest()
	i, key, err := operatorToChange(cer, m, name, officer)
	if err != nil {
		return err
	}
	name = m.Operators[i].Name
	m.Operators = slices.Delete(slices.Clone(m.Operators), i, i+1)
	if err := cer.signManifest(ctx, c, m, key); err != nil {
		return err
	}
	if destroy {
		if err := keyring.RemoveOperator(p.keysDir(), name); err != nil && !errors.Is(err, keyring.ErrNoKey) {
			return err
		}
	}
	if p.json {
		return p.out.object(map[string]string{"removed": name})
	}
	p.out.linef("nothing more is sealed to %s, by whoever has this team's new manifest", plainLine(name))
	return nil
}

var operatorRotateCmd = command{
	name: "operator rotate", section: "People and keys", args: "NAME",
	short: "give a person a new identity; the old ones still open what is older",
	long: `The person types their passphrase, and an officer signs that the new identity counts. Without a terminal, one passphrase
serves for both; --operator-passphrase-file gives the person's.`,
	example:  `entente operator rotate "Bo Example"`,
	complete: operatorRemoveCmd.complete,
	setup: func(fs *flag.FlagSet, p *program) action {
		passFile := fs.String("operator-passphrase-file", "", "the person's passphrase is the first line of `FILE`")
		officer := p.officerFlag(fs)
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the person's name"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return rotateOperator(ctx, p, c, args[0], *passFile, *officer) })
		}
	},
}

func rotateOperator(ctx context.Context, p *program, c *control.Client, name, passFile, officer string) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	m := cer.nextManifest()
	i, key, err := operatorToChange(cer, m, name, officer)
	if err != nil {
		return err
	}
	name = m.Operators[i].Name
	pass, err := p.passphraseOf("operator "+name, passFile, (*program).passphrase)
	if err != nil {
		return err
	}
	// The old identity stays in the file: if the manifest is not taken in, what is sealed to the old one opens as before, and
	// this may be done again.
	recipient, err := keyring.RotateOperator(p.keysDir(), name, string(pass), testOnlyWorkFactor)
	if err != nil {
		return err
	}
	m.Operators = slices.Clone(m.Operators)
	m.Operators[i].Recipient = recipient
	if err := cer.signManifest(ctx, c, m, key); err != nil {
		return withHint(err, "the new identity is in %s, but not in the manifest: run entente operator rotate again", p.keysDir())
	}
	if p.json {
		return p.out.object(operatorView{Name: name, Recipient: recipient, Here: true})
	}
	p.out.linef("%s has a new identity; what was sealed to the old one can still be opened", plainLine(name))
	return nil
}
