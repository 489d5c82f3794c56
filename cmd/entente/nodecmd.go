package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// nodeView is a node of this team as node list prints one.
type nodeView struct {
	control.Node
	This bool `json:"this"`
}

var nodeListCmd = command{
	name: "node list", section: "People and keys",
	short:   "this team's nodes, revoked ones included",
	example: `entente node list`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "node list"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				own, err := c.Team(ctx, s.Team.ID.String())
				if err != nil {
					return err
				}
				var t table
				t.add("ID", "NAME", "STATE", "ADDRESSES")
				for _, n := range own.Nodes {
					v := nodeView{n, n.ID == s.Node}
					if p.json {
						if err := p.out.object(v); err != nil {
							return err
						}
						continue
					}
					state := "current"
					if n.Revoked {
						state = "revoked"
					} else if v.This {
						state = "this one"
					}
					t.add(n.ID.String(), n.Name, state, strings.Join(n.Addresses, " "))
				}
				if !p.json {
					t.print(p.out)
				}
				return nil
			})
		}
	},
}

var nodeRenewCmd = command{
	name: "node renew", section: "People and keys",
	short: "sign the list of nodes anew, before it expires",
	long:  `A manifest is valid for half a year. A team that lets it expire is stale for the others until it signs a new one.`,
	example: `entente node renew
entente node renew --name gateway`,
	setup: func(fs *flag.FlagSet, p *program) action {
		name := fs.String("name", "", "give this node another `NAME`")
		officer := p.officerFlag(fs)
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "node renew"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error {
				cer, err := p.ceremony(ctx, c)
				if err != nil {
					return err
				}
				m := cer.nextManifest()
				if *name != "" {
					i := slices.IndexFunc(m.Nodes, func(n protocol.Node) bool { return n.Key.Equal(cer.self.Key) })
					if i < 0 {
						return fmt.Errorf("this node is not in the manifest: see entente node replace")
					}
					m.Nodes[i].Name = *name
				}
				return cer.publishManifest(ctx, c, m, nil, *officer)
			})
		}
	},
}

// publishManifest lets an officer sign a manifest, and cut-offs with it, and hands them to the node.
func (c *ceremony) publishManifest(ctx context.Context, cl *control.Client, m *protocol.Manifest, cuts []*protocol.Cutoff, officer string) error {
	key, _, err := c.officer(officer, protocol.ActManifest)
	if err != nil {
		return err
	}
	e, err := protocol.Sign(m, key)
	if err != nil {
		return err
	}
	es := []*protocol.Envelope{e}
	for _, cut := range cuts {
		if e, err = protocol.Sign(cut, key); err != nil {
			return err
		}
		es = append(es, e)
	}
	if err := cl.AddOwn(ctx, es...); err != nil {
		return err
	}
	if c.p.json {
		return c.p.out.object(map[string]any{"manifest": m.Version, "expires": stampUnix(m.Expires), "nodes": len(m.Nodes), "revoked": len(m.Revoked)})
	}
	c.p.out.linef("the manifest is signed (version %d, %s, valid until %s)", m.Version, plural(len(m.Nodes), "node", "nodes"), stampUnix(m.Expires))
	return nil
}

var nodeReplaceCmd = command{
	name: "node replace", section: "People and keys",
	short: "give this node new keys, after a restore, a clone or a theft",
	long: `Makes new keys for this node; an officer certifies them and revokes the old ones. What the old keys said, as
far as this store holds it, stands. Best done while the node runs, so that the other teams hear of it over
the connections they have. The node takes the new keys at its next start: restart it then.

After a restore, let the node run and catch up before: what it had sent after the backup comes back from the
other teams, and is cut off otherwise.`,
	example: `entente node replace`,
	setup: func(fs *flag.FlagSet, p *program) action {
		officer := p.officerFlag(fs)
		why := fs.String("why", "keys replaced", "the reason, `TEXT` that other teams see")
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "node replace"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, running bool) error {
				return replaceNode(ctx, p, c, *officer, *why, running)
			})
		}
	},
}

func replaceNode(ctx context.Context, p *program, c *control.Client, officer, why string, running bool) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	// The officer's key is unlocked before new keys are made: a wrong passphrase must change nothing.
	key, _, err := cer.officer(officer, protocol.ActManifest)
	if err != nil {
		return err
	}
	r, err := c.ReplaceNode(ctx)
	if err != nil {
		return err
	}
	var fresh protocol.Node
	if err := protocol.Unmarshal(r.Node, &fresh); err != nil {
		return err
	}
	m := cer.nextManifest()
	old := slices.IndexFunc(m.Nodes, func(n protocol.Node) bool { return n.Key.ID() == r.Old })
	if old >= 0 {
		m.Revoked = append(m.Revoked, protocol.Revoked{Node: m.Nodes[old], At: cer.unix(), Why: why})
		m.Nodes = slices.Delete(m.Nodes, old, old+1)
	}
	m.Nodes = append(m.Nodes, fresh)
	e, err := protocol.Sign(m, key)
	if err != nil {
		return err
	}
	es := []*protocol.Envelope{e}
	if old >= 0 {
		cuts, err := control.Cutoffs(append([][]byte{r.Cutoff}, r.Private...))
		if err != nil {
			return err
		}
		for _, cut := range cuts {
			if e, err = protocol.Sign(cut, key); err != nil {
				return err
			}
			es = append(es, e)
		}
	}
	if err := c.AddOwn(ctx, es...); err != nil {
		return withHint(err, "the node keeps its present keys: run entente node replace again")
	}
	if p.json {
		return p.out.object(map[string]string{"id": fresh.Key.ID().String(), "revoked": r.Old.String()})
	}
	p.out.linef("new keys are certified: %s", fresh.Key.ID())
	if running {
		p.sayf("entente: now restart the node: it takes them when it starts")
		return nil
	}
	p.sayf("entente: the node takes them when it starts: entente run%s", p.homeFlag())
	p.sayf("entente: no node was running, so the other teams have not heard of this: hand at least one of them your")
	p.sayf("entente: introduction again, or it will not let the node in")
	return nil
}

var nodeRevokeCmd = command{
	name: "node revoke", section: "People and keys", args: "NODE",
	short: "another node of this team may no longer speak",
	long: `NODE is a name or the beginning of an id, as entente node list prints them. What it said, as far as this node
holds it, stands; what comes later is refused everywhere. For this node itself see entente node replace.`,
	example: `entente node revoke laptop --why stolen`,
	setup: func(fs *flag.FlagSet, p *program) action {
		officer := p.officerFlag(fs)
		why := fs.String("why", "", "the reason, `TEXT` that other teams see")
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the node"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, _ bool) error { return revokeNode(ctx, p, c, args[0], *officer, *why) })
		}
	},
}

func revokeNode(ctx context.Context, p *program, c *control.Client, name, officer, why string) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	m := cer.nextManifest()
	var found []int
	for i, n := range m.Nodes {
		if n.Name == name || len(name) >= 4 && strings.HasPrefix(n.Key.ID().String(), name) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 0:
		return usagef("no node %q is in the manifest: see entente node list", name)
	case len(found) > 1:
		return usagef("%q fits %d nodes: give more digits of the id", name, len(found))
	}
	i := found[0]
	gone := m.Nodes[i]
	if gone.Key.Equal(cer.self.Key) {
		return usagef("this is the node itself: entente node replace gives it new keys and revokes the old ones")
	}
	m.Nodes = slices.Delete(m.Nodes, i, i+1)
	m.Revoked = append(m.Revoked, protocol.Revoked{Node: gone, At: cer.unix(), Why: why})
	cuts, err := c.CutoffDrafts(ctx, gone.Key.ID())
	if err != nil {
		return err
	}
	return cer.publishManifest(ctx, c, m, cuts, officer)
}
