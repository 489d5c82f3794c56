package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store/keyring"
)

// A ceremony makes the next records of this team from its present ones, with keys that people unlock here. The node gets
// the finished records and never a key of an officer or of the root.
type ceremony struct {
	p          *program
	team       protocol.TeamID
	root       protocol.Root
	rootID     protocol.Hash
	manifest   protocol.Manifest
	manifestID protocol.Hash
	card       protocol.Card
	self       protocol.Node // this node's entry
	now        time.Time
}

func (p *program) ceremony(ctx context.Context, c *control.Client) (*ceremony, error) {
	own, err := c.Own(ctx)
	if err != nil {
		return nil, err
	}
	cer := &ceremony{p: p, rootID: own.RootID, manifestID: own.ManifestID, now: time.Now()}
	for _, r := range []struct {
		what string
		raw  []byte
		into any
	}{{"root record", own.Root, &cer.root}, {"manifest", own.Manifest, &cer.manifest}, {"card", own.Card, &cer.card}, {"node", own.Node, &cer.self}} {
		if len(r.raw) == 0 {
			return nil, fmt.Errorf("the home has no %s of this team: see entente fsck", r.what)
		}
		if err := protocol.Unmarshal(r.raw, r.into); err != nil {
			return nil, fmt.Errorf("this team's %s: %w", r.what, err)
		}
	}
	cer.team = cer.root.Team
	if cer.team.IsZero() {
		cer.team = cer.rootID
	}
	return cer, nil
}

func (c *ceremony) unix() uint64 { return uint64(c.now.Unix()) }

// officer unlocks the key of an officer who may sign the act: the named one, or the only one whose key is here.
func (c *ceremony) officer(name string, act protocol.Act) (*protocol.PrivateKey, string, error) {
	if k := c.root.K(act); k > 1 {
		return nil, "", fmt.Errorf("%s needs the signatures of %d officers, and this version collects only one", act, k)
	}
	return c.officerAlone(name, act)
}

// officerAlone is officer for what one officer alone may sign, however many others must.
func (c *ceremony) officerAlone(name string, act protocol.Act) (*protocol.PrivateKey, string, error) {
	here, err := keyring.Officers(c.p.keysDir())
	if err != nil {
		return nil, "", err
	}
	may := c.root.OfficerKeys(act)
	here = slices.DeleteFunc(here, func(o keyring.Officer) bool {
		return !slices.ContainsFunc(may, func(k protocol.PublicKey) bool { return k.Equal(o.Key) })
	})
	if name != "" {
		here = slices.DeleteFunc(here, func(o keyring.Officer) bool { return o.Name != name })
	}
	switch {
	case len(here) == 0 && name != "":
		return nil, "", fmt.Errorf("no key of an officer %q who may sign this is in %s", name, c.p.keysDir())
	case len(here) == 0:
		return nil, "", fmt.Errorf("no officer's key that may sign this is in %s: bring it there, or work where it is", c.p.keysDir())
	case len(here) > 1:
		var names []string
		for _, o := range here {
			names = append(names, o.Name)
		}
		return nil, "", usagef("several officers' keys are here (%s): say whose with --officer NAME", strings.Join(names, ", "))
	}
	pass, err := c.p.passphrase("officer " + here[0].Name)
	if err != nil {
		return nil, "", err
	}
	k, err := keyring.OpenOfficer(c.p.keysDir(), here[0].Name, string(pass))
	return k, here[0].Name, err
}

// rootKey unlocks the root key, in the home or where it was carried.
func (c *ceremony) rootKey(file string) (*protocol.PrivateKey, error) {
	if c.root.Threshold > 1 {
		return nil, fmt.Errorf("the root needs %d signatures, and this version collects only one", c.root.Threshold)
	}
	if file == "" {
		file = c.p.keysDir()
	}
	pass, err := c.p.passphrase("the root key")
	if err != nil {
		return nil, err
	}
	k, err := keyring.OpenRoot(file, string(pass))
	if err != nil {
		return nil, withHint(err, "if the root key was carried away, name its file with --root-key; if it is lost: entente root recover")
	}
	if !slices.ContainsFunc(c.root.Keys, func(r protocol.PublicKey) bool { return r.Equal(k.Public()) }) {
		return nil, withHint(errors.New("this is not the team's present root key"), "a former one? compare with entente root show")
	}
	return k, nil
}

// nextRoot returns the successor of the root record. The present manifest stays valid under it.
func (c *ceremony) nextRoot(reason string) *protocol.Root {
	r := c.root
	r.Team, r.N, r.Prev, r.Path, r.Reveal = c.team, c.root.N+1, c.rootID, protocol.PathRoot, nil
	r.Issued, r.Reason = c.unix(), reason
	r.Officers, r.Keys = slices.Clone(c.root.Officers), slices.Clone(c.root.Keys)
	r.Floor = &protocol.Floor{Version: c.manifest.Version, Manifest: c.manifestID}
	return &r
}

// signRoot signs the next root record and makes it the present one.
func (c *ceremony) signRoot(r *protocol.Root, keys ...*protocol.PrivateKey) (*protocol.Envelope, error) {
	e, err := protocol.Sign(r, keys...)
	if err != nil {
		return nil, err
	}
	c.root, c.rootID = *r, e.ID()
	return e, nil
}

// manifestLife is for how long a manifest is signed.
const manifestLife = protocol.MaxManifestLife - 24*time.Hour

// nextManifest returns the successor of the manifest under the present root record.
func (c *ceremony) nextManifest() *protocol.Manifest {
	m := c.manifest
	m.Version, m.Prev, m.Root = c.manifest.Version+1, c.manifestID, c.rootID
	m.Issued, m.Expires = c.unix(), uint64(c.now.Add(manifestLife).Unix())
	m.Nodes, m.Revoked = slices.Clone(c.manifest.Nodes), slices.Clone(c.manifest.Revoked)
	return &m
}

// nextCard returns the successor of the card.
func (c *ceremony) nextCard() *protocol.Card {
	n := c.card
	n.Version, n.Issued = c.card.Version+1, c.unix()
	return &n
}

// resign signs again what only former officers had signed, so that it goes on counting under a new root record: the card
// and this team's attestations.
func (c *ceremony) resign(ctx context.Context, cl *control.Client, officer string) ([]*protocol.Envelope, error) {
	k, _, err := c.officer(officer, protocol.ActCard)
	if err != nil {
		return nil, err
	}
	e, err := protocol.Sign(c.nextCard(), k)
	if err != nil {
		return nil, err
	}
	out := []*protocol.Envelope{e}
	given, err := cl.OwnAttestations(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range given {
		if a.Retract || a.Expires <= c.unix() {
			continue
		}
		a.Issued = max(c.unix(), a.Issued+1)
		if e, err = protocol.Sign(a, k); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (p *program) officerFlag(fs flagSet) *string {
	return fs.String("officer", "", "sign as officer `NAME` (default: the only one whose key is here)")
}

func (p *program) rootFlag(fs flagSet) *string {
	return fs.String("root-key", "", "the root key is in `FILE` (default: among the home's keys)")
}

type flagSet interface {
	String(name, value, usage string) *string
}
