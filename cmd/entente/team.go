package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

var teamAddCmd = command{
	name: "team add", section: "Teams", args: "FILE",
	short: "take in another team's introduction",
	long: `FILE is what the other team's "entente introduction" wrote; a whole mail with it inside will do, and - is
standard input. The team is "introduced" then: CLEAR and GREEN messages pass between you. Compare the
fingerprint next, with entente team verify.

A damaged introduction, or one that contradicts what is known, is refused and changes nothing.`,
	example: `entente team add cert-other.txt`,
	setup: func(fs *flag.FlagSet, p *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the file with the introduction"); err != nil {
				return err
			}
			b, err := p.input(args[0], 2*protocol.MaxBundle)
			if err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				t, err := c.AddTeam(ctx, b, p.who())
				if err != nil {
					return err
				}
				if p.json {
					return p.out.object(t)
				}
				p.out.linef("%s is %s: %s", plainLine(t.Name), t.State, t.ID)
				if t.State == trust.Introduced.String() {
					p.sayf("entente: next, call them on a number that you know, and let them read out their fingerprint:")
					p.sayf("entente: entente team verify %s --fingerprint \"DIGITS\"", quoted(t.Name))
				}
				return nil
			})
		}
	},
}

var teamListCmd = command{
	name: "team list", section: "Teams",
	short: "the teams that this one knows",
	example: `entente team list
entente team list --responsible 192.0.2.7`,
	setup: func(fs *flag.FlagSet, p *program) action {
		responsible := fs.String("responsible", "", "only teams that say they answer for `X`: an address, prefix, domain, ASN or country; the nearest first")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "team list"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				var ts []control.Team
				take := func(t control.Team) error {
					if p.json {
						return p.out.object(t)
					}
					ts = append(ts, t)
					return nil
				}
				err := error(nil)
				if *responsible != "" {
					err = c.Responsible(ctx, *responsible, take)
				} else {
					err = c.Teams(ctx, take)
				}
				if err != nil || p.json {
					return err
				}
				if len(ts) == 0 && *responsible != "" {
					p.sayf("entente: no known team says that it answers for %s", plainLine(*responsible))
				}
				printTeams(p, ts, *responsible != "")
				return nil
			})
		}
	},
}

func printTeams(p *program, ts []control.Team, claims bool) {
	if len(ts) == 0 {
		return
	}
	var ids []string
	for _, t := range ts {
		ids = append(ids, t.ID.String())
	}
	short := shortIDs(ids)
	var t table
	head := []string{"ID", "NAME", "COUNTRY", "STATE", "NODES", "CONNECTED"}
	if claims {
		head = append(head, "ANSWERS FOR")
	}
	t.add(head...)
	for _, e := range ts {
		state, up := e.State, 0
		if e.Self {
			state = "yourself"
		}
		nodes := 0
		for _, n := range e.Nodes {
			if !n.Revoked {
				nodes++
			}
			if n.Connected {
				up++
			}
		}
		row := []string{short[e.ID.String()], shorten(e.Name, 48), e.Country, state, fmt.Sprint(nodes), fmt.Sprint(up)}
		if claims {
			row = append(row, e.Claim)
		}
		t.add(row...)
	}
	t.print(p.out)
}

var teamShowCmd = command{
	name: "team show", section: "Teams", args: "TEAM",
	short:    "everything known of one team, and its fingerprint",
	long:     `TEAM is a name, if only one known team bears it, or the beginning of a team's id.`,
	example:  `entente team show CERT-OTHER`,
	complete: teamNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the team"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				t, err := c.Team(ctx, args[0])
				if err != nil {
					return err
				}
				if p.json {
					return p.out.object(t)
				}
				printTeam(p, t)
				return nil
			})
		}
	},
}

func printTeam(p *program, t *control.Team) {
	o := p.out
	o.linef("name         %s (%s)", plainLine(t.Name), plainLine(t.Country))
	o.linef("id           %s", t.ID)
	state := t.State
	switch {
	case t.Self:
		state = "your own team"
	case t.Verified != nil && t.Method != "":
		state += fmt.Sprintf(" (%s, by %s)", stampPtr(t.Verified), plainLine(t.Method))
	}
	o.linef("state        %s", state)
	if t.Why != "" {
		o.linef("             %s", plainLine(t.Why))
	}
	o.linef("fingerprint  %s", plainLine(t.Fingerprint))
	if len(t.Attestors) > 0 {
		o.linef("attested by  %s that yours verified", plural(len(t.Attestors), "team", "teams"))
	}
	if t.Expires != nil {
		o.linef("manifest     valid until %s", stampPtr(t.Expires))
	}
	for _, f := range t.Officers {
		o.linef("officer      %s (key %s)", plainLine(f.Name), f.Key)
	}
	if t.Card != nil {
		printCard(p, t.Card)
	}
	if len(t.Nodes) == 0 {
		return
	}
	o.linef("")
	var tb table
	tb.add("NODE", "ID", "CONNECTED", "HELD", "LAST SEEN", "ADDRESSES")
	for _, n := range t.Nodes {
		up := "no"
		switch {
		case n.Revoked:
			up = "revoked"
		case n.Connected:
			up = "yes"
		}
		tb.add(shorten(n.Name, 30), n.ID.String()[:10], up, fmt.Sprint(n.Feed.Held), stampPtr(n.LastSeen), strings.Join(n.Addresses, " "))
	}
	tb.print(o)
}

var teamVerifyCmd = command{
	name: "team verify", section: "Teams", args: "TEAM",
	short: "record that a person compared the fingerprint",
	long: `Call the team on a number that you know from elsewhere, never from its introduction. They read their
fingerprint to you from their own screen; you type what you hear. If it is right, the team is verified, and
an officer of yours signs an attestation that helps colleagues. A wrong number is refused (exit code 3) and
changes nothing.`,
	example: `entente team verify CERT-OTHER --fingerprint "12345 67890 12345 67890 12345 67890 12345 67890" --method phone
entente team verify CERT-OTHER --fingerprint "…" --local`,
	complete: teamNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		digits := fs.String("fingerprint", "", "the 40 `DIGITS` that they read to you; spaces do not matter")
		method := fs.String("method", "", "how you compared: `"+strings.Join(protocol.Methods(), "|")+"`")
		local := fs.Bool("local", false, "tell nobody: no attestation is signed, no passphrase needed")
		officer := fs.String("officer", "", "sign as officer `NAME` (default: the only one whose key is here)")
		p.passphraseFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the team"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				return verifyTeam(ctx, p, c, args[0], *digits, *method, *officer, *local)
			})
		}
	},
}

func verifyTeam(ctx context.Context, p *program, c *control.Client, name, digits, method, officer string, local bool) error {
	t, err := c.Team(ctx, name)
	if err != nil {
		return err
	}
	if t.Self {
		return usagef("this is your own team: the others verify it, with the fingerprint from entente team show")
	}
	if digits == "" {
		if digits, err = p.ask(fmt.Sprintf("The 40 digits that %s reads to you: ", plainLine(t.Name))); err != nil {
			return usagef("--fingerprint is missing: the digits that %s reads to you", plainLine(t.Name))
		}
	}
	// The number is judged before anybody is asked for a passphrase.
	if err := trust.CheckFingerprint(t.ID, digits); err != nil {
		return &control.Error{Code: control.Refused, Rule: "fingerprint", Text: err.Error(),
			Hint: "nothing was changed. Let them read it once more; if it still differs, this introduction is not theirs: entente team block " + quoted(t.Name)}
	}
	if method == "" {
		if method, err = p.ask(fmt.Sprintf("How did you compare (%s)? ", strings.Join(protocol.Methods(), ", "))); err != nil {
			method = "phone"
			p.sayf("entente: --method was not given: recorded as %s", method)
		}
	}
	if !slices.Contains(protocol.Methods(), method) {
		return usagef("--method %q: want one of %s", method, strings.Join(protocol.Methods(), ", "))
	}
	var attest []byte
	by := p.who()
	if !local {
		e, name, err := attestation(ctx, p, c, t.ID, method, officer)
		if err != nil {
			return withHint(err, "to verify without telling others, and without a passphrase: --local")
		}
		attest, by = e.Encode(), name
	}
	if t, err = c.VerifyTeam(ctx, t.ID, digits, method, by, attest); err != nil {
		return err
	}
	if p.json {
		return p.out.object(t)
	}
	p.out.linef("%s is %s", plainLine(t.Name), t.State)
	return nil
}

// attestLife is how long an attestation is valid.
const attestLife = 2 * 365 * 24 * time.Hour

// attestation signs that a person of this team compared the fingerprint.
func attestation(ctx context.Context, p *program, c *control.Client, subject protocol.TeamID, method, officer string) (*protocol.Envelope, string, error) {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return nil, "", err
	}
	key, name, err := cer.officer(officer, protocol.ActAttest)
	if err != nil {
		return nil, "", err
	}
	e, err := protocol.Sign(&protocol.Attest{Issuer: cer.team, Subject: subject, Method: method, Issued: cer.unix(),
		Expires: cer.unix() + uint64(attestLife/time.Second)}, key)
	return e, name, err
}

var teamBlockCmd = command{
	name: "team block", section: "Teams", args: "TEAM",
	short:    "end all exchange with a team, from the next message on",
	example:  `entente team block CERT-OTHER`,
	complete: teamNames,
	setup:    decideTeam((*control.Client).BlockTeam),
}

var teamUnblockCmd = command{
	name: "team unblock", section: "Teams", args: "TEAM",
	short:    "take a block back",
	example:  `entente team unblock CERT-OTHER`,
	complete: teamNames,
	setup:    decideTeam((*control.Client).UnblockTeam),
}

func decideTeam(decide func(*control.Client, context.Context, protocol.TeamID, string) (*control.Team, error)) func(*flag.FlagSet, *program) action {
	return func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the team"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				t, err := c.Team(ctx, args[0])
				if err != nil {
					return err
				}
				if t.Self {
					return usagef("this is your own team")
				}
				if t, err = decide(c, ctx, t.ID, p.who()); err != nil {
					return err
				}
				if p.json {
					return p.out.object(t)
				}
				p.out.linef("%s is %s", plainLine(t.Name), t.State)
				return nil
			})
		}
	}
}

// input reads a file, or standard input for "-".
func (p *program) input(name string, max int64) ([]byte, error) {
	if name == "-" {
		b, err := readAtMost(p.stdin, max)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return b, nil
	}
	return readSmall(name, max)
}

// quoted returns a name as it would be typed in a shell.
func quoted(s string) string {
	s = plainLine(s)
	if strings.ContainsAny(s, " '\"$`\\!*?[](){}<>|&;#~") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
