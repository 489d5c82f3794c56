package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

var agreeOfferCmd = command{
	name: "agree offer", section: "Agreements", args: "TEAM",
	short: "offer a team an agreement, signed by an officer of yours",
	long: `An agreement says what two teams may send each other, up to which label, for how long, and what each does with
it. It is in effect once officers of both have signed the same document. You see the document before you sign.

--type names what information it is about: ` + strings.Join(protocol.InformationTypes(), ", ") + `.
--onward says how far a receiver may pass on what it got, at most: none, constituents, or as each message's
label permits (label). --receipts says what receivers tell authors: none, stored, or also who opened RED (opened).
--iep sets a field of FIRST's Information Exchange Policy:
` + iepHelp(),
	example: `entente agree offer CERT-OTHER --tlp-max AMBER --days 365 --purpose "cross-border incidents"
entente agree offer CERT-OTHER --tlp-max RED --keep 90 --onward none --iep permitted_actions=none --text terms.txt`,
	complete: teamNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		t := termsFlags(fs)
		s := p.signFlags(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the team"); err != nil {
				return err
			}
			if t.ceiling == "" {
				return usagef("--tlp-max is missing: the strictest label that may be sent under the agreement")
			}
			terms := control.Terms{Partner: args[0]}
			if err := t.fill(&terms); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error { return offer(ctx, p, c, terms, s) })
		}
	},
}

// signFlags are the flags of commands by which an officer signs something about an agreement.
type signFlags struct {
	officer *string
	yes     bool
}

func (p *program) signFlags(fs *flag.FlagSet) *signFlags {
	s := &signFlags{officer: p.officerFlag(fs)}
	fs.BoolVar(&s.yes, "yes", false, "do not ask on the terminal")
	p.passphraseFlag(fs)
	return s
}

func offer(ctx context.Context, p *program, c *control.Client, terms control.Terms, s *signFlags) error {
	a, err := c.DraftAgreement(ctx, terms)
	if err != nil {
		return err
	}
	if err := checkDraft(a, &terms); err != nil {
		return err
	}
	// The record's id is that of the document, whoever signs: what is shown is what is signed.
	unsigned, err := protocol.Sign(a)
	if err != nil {
		return err
	}
	if err := showTerms(ctx, p, c, unsigned.ID(), a); err != nil {
		return err
	}
	if err := p.confirm("Sign and offer this agreement?", "nothing was signed", s.yes); err != nil {
		return err
	}
	v, err := signRecord(ctx, p, c, unsigned, *s.officer)
	if err != nil {
		return err
	}
	if p.json {
		return p.out.object(v)
	}
	p.out.linef("%s  %s to %s, up to TLP:%s, until %s", v.ID, plainLine(v.State), plainLine(v.Partner.Name), v.TLPMax, stamp(v.ValidUntil))
	p.sayf("entente: it is in effect once an officer of %s has signed it too: entente agree sign %s", plainLine(v.Partner.Name), v.ID.Short())
	return nil
}

// showTerms prints what a person is about to sign, on standard error: standard output is for results.
func showTerms(ctx context.Context, p *program, c *control.Client, id protocol.Hash, a *protocol.Agreement) error {
	if p.json {
		return nil
	}
	nameA, nameB, err := partyNames(ctx, c, a)
	if err != nil {
		return err
	}
	p.sayf("%s", agreementText(id, a, nameA, nameB))
	return nil
}

// partyNames returns what this team calls the two parties.
func partyNames(ctx context.Context, c *control.Client, a *protocol.Agreement) (nameA, nameB string, err error) {
	ta, err := c.Team(ctx, a.A.String())
	if err != nil {
		return "", "", err
	}
	tb, err := c.Team(ctx, a.B.String())
	if err != nil {
		return "", "", err
	}
	return ta.Name, tb.Name, nil
}

// signRecord lets an officer sign an agreement or a word on one, and hands it to the node.
func signRecord(ctx context.Context, p *program, c *control.Client, e *protocol.Envelope, officer string) (*control.Agreement, error) {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return nil, err
	}
	key, _, err := cer.officer(officer, protocol.ActAgree)
	if err != nil {
		return nil, err
	}
	if err := e.AddSignature(key); err != nil {
		return nil, err
	}
	return c.AddAgreement(ctx, e)
}

var agreeSignCmd = command{
	name: "agree sign", section: "Agreements", args: "ID",
	short: "sign an agreement that was offered to this team",
	long: `ID is the beginning of an agreement's id, or the partner's name. You see the document before you sign it.
Once officers of both teams have signed, it is in effect from the time that it names.`,
	example:  `entente agree sign 3f2a9c1d7b`,
	complete: agreementIDs,
	setup: func(fs *flag.FlagSet, p *program) action {
		s := p.signFlags(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the agreement"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error { return signAgreement(ctx, p, c, args[0], s) })
		}
	},
}

func signAgreement(ctx context.Context, p *program, c *control.Client, query string, s *signFlags) error {
	v, err := c.Agreement(ctx, query)
	if err != nil {
		return err
	}
	e, a, err := document(v)
	if err != nil {
		return err
	}
	if v.SignedBySelf {
		return usagef("agreement %s is signed by this team already: it is %s", v.ID.Short(), v.State)
	}
	if err := showTerms(ctx, p, c, e.ID(), a); err != nil {
		return err
	}
	if err := p.confirm("Sign this agreement?", "nothing was signed", s.yes); err != nil {
		return err
	}
	if v, err = signRecord(ctx, p, c, e, *s.officer); err != nil {
		return err
	}
	return printStanding(p, v)
}

// document returns the signed document of an agreement, which must be the one of its id.
func document(v *control.Agreement) (*protocol.Envelope, *protocol.Agreement, error) {
	e, err := protocol.DecodeEnvelope(v.Record, protocol.MaxRecord)
	if err != nil {
		return nil, nil, err
	}
	if e.ID() != v.ID {
		return nil, nil, fmt.Errorf("agreement %s: the node keeps another document under this id: see entente fsck", v.ID.Short())
	}
	a, err := protocol.Decode[protocol.Agreement](e)
	return e, a, err
}

func printStanding(p *program, v *control.Agreement) error {
	if p.json {
		return p.out.object(v)
	}
	p.out.linef("the agreement with %s is %s, up to TLP:%s, until %s", plainLine(v.Partner.Name), plainLine(v.State), v.TLPMax, stamp(v.ValidUntil))
	if v.Why != "" {
		p.sayf("entente: %s", plainLine(v.Why))
	}
	return nil
}

var agreeListCmd = command{
	name: "agree list", section: "Agreements",
	short:   "the agreements of this team, ended ones included",
	example: `entente agree list`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "agree list"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				var as []control.Agreement
				err := c.Agreements(ctx, func(a control.Agreement) error {
					if p.json {
						return p.out.object(a)
					}
					as = append(as, a)
					return nil
				})
				if err != nil || p.json {
					return err
				}
				printAgreements(p, as)
				return nil
			})
		}
	},
}

func printAgreements(p *program, as []control.Agreement) {
	if len(as) == 0 {
		p.sayf("entente: there is no agreement: entente agree offer TEAM")
		return
	}
	var ids []string
	for _, a := range as {
		ids = append(ids, a.ID.String())
	}
	short := shortIDs(ids)
	var t table
	t.add("ID", "PARTNER", "STATE", "TLP UP TO", "UNTIL", "ABOUT")
	for _, a := range as {
		about := a.Title
		if a.Why != "" {
			about = strings.TrimPrefix(about+"; "+a.Why, "; ")
		}
		t.add(short[a.ID.String()], shorten(a.Partner.Name, 40), a.State, a.TLPMax.String(), stamp(a.ValidUntil), shorten(about, 80))
	}
	t.print(p.out)
}

var agreeShowCmd = command{
	name: "agree show", section: "Agreements", args: "ID",
	short: "one agreement: where it stands, and its terms",
	long: `ID is the beginning of an agreement's id, or the partner's name. With --text, the document alone, in words, as it
may be printed and kept with the paper.`,
	example: `entente agree show CERT-OTHER
entente agree show 3f2a9c1d7b --text > agreement.txt`,
	complete: agreementIDs,
	setup: func(fs *flag.FlagSet, p *program) action {
		text := fs.Bool("text", false, "the document in words, and nothing else")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the agreement"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error { return showAgreement(ctx, p, c, args[0], *text) })
		}
	},
}

func showAgreement(ctx context.Context, p *program, c *control.Client, query string, text bool) error {
	v, err := c.Agreement(ctx, query)
	if err != nil {
		return err
	}
	if p.json && !text {
		return p.out.object(v)
	}
	_, a, err := document(v)
	if err != nil {
		return err
	}
	nameA, nameB, err := partyNames(ctx, c, a)
	if err != nil {
		return err
	}
	doc := agreementText(v.ID, a, nameA, nameB)
	if p.json {
		return p.out.object(map[string]any{"id": v.ID, "text": doc})
	}
	if !text {
		o := p.out
		o.linef("state      %s", plainLine(v.State))
		if v.Why != "" {
			o.linef("           %s", plainLine(v.Why))
		}
		o.linef("signed     by your team: %s; by %s: %s", yesNo(v.SignedBySelf), plainLine(v.Partner.Name), yesNo(v.SignedByPartner))
		o.linef("declared   by your team: %s; by %s: %s", v.Mine, plainLine(v.Partner.Name), v.Theirs)
		o.linef("")
	}
	p.out.linef("%s", doc)
	return nil
}

var agreeSuspendCmd = command{
	name: "agree suspend", section: "Agreements", args: "ID",
	short:    "stop the exchange under an agreement, until this team resumes it",
	example:  `entente agree suspend CERT-OTHER --reason "their mail gateway is compromised"`,
	complete: agreementIDs,
	setup:    declare(protocol.PartySuspended, ""),
}

var agreeResumeCmd = command{
	name: "agree resume", section: "Agreements", args: "ID",
	short:    "take back this team's own suspension of an agreement",
	example:  `entente agree resume CERT-OTHER`,
	complete: agreementIDs,
	setup:    declare(protocol.PartyOK, ""),
}

var agreeEndCmd = command{
	name: "agree end", section: "Agreements", args: "ID",
	short: "end an agreement, for good",
	long: `Nothing is sent or taken in under it from then on, on either side. What was received stays bound by its labels,
and is deleted when the term of retention is over. It cannot be resumed; offer a new one instead.`,
	example:  `entente agree end 3f2a9c1d7b --reason "the team was merged into another"`,
	complete: agreementIDs,
	setup:    declare(protocol.PartyEnded, "This ends the agreement for good. End it?"),
}

// declare returns the action of a command that puts this team's register of an agreement to a status.
func declare(s protocol.PartyStatus, question string) func(*flag.FlagSet, *program) action {
	return func(fs *flag.FlagSet, p *program) action {
		sign := p.signFlags(fs)
		reason := fs.String("reason", "", "why, a `TEXT` that the partner sees")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the agreement"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				v, err := c.Agreement(ctx, args[0])
				if err != nil {
					return err
				}
				if question != "" {
					if err := p.confirm(question, "nothing was signed", sign.yes); err != nil {
						return err
					}
				}
				st, err := c.DraftStatus(ctx, v.ID, s.String(), *reason)
				if err != nil {
					return err
				}
				if st.Agreement != v.ID || st.Status != s {
					return errors.New("the node drafted another word on the agreement than was asked for: nothing was signed")
				}
				e, err := protocol.Sign(st)
				if err != nil {
					return err
				}
				if v, err = signRecord(ctx, p, c, e, *sign.officer); err != nil {
					return err
				}
				return printStanding(p, v)
			})
		}
	}
}

var agreeRenewCmd = command{
	name: "agree renew", section: "Agreements", args: "ID",
	short: "offer the same terms anew, before an agreement ends",
	long: `The terms are those of the old agreement, for as long as that was to last, but for what the flags change. The old one
stays in effect until officers of both teams have signed the new one.`,
	example: `entente agree renew CERT-OTHER
entente agree renew 3f2a9c1d7b --tlp-max RED --days 730`,
	complete: agreementIDs,
	setup: func(fs *flag.FlagSet, p *program) action {
		t := termsFlags(fs)
		s := p.signFlags(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the agreement"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				v, err := c.Agreement(ctx, args[0])
				if err != nil {
					return err
				}
				_, a, err := document(v)
				if err != nil {
					return err
				}
				terms := control.Terms{Partner: v.Partner.ID.String(), TLPMax: a.Ceiling, Days: int(v.ValidUntil.Sub(v.ValidFrom) / (24 * time.Hour)),
					KeepDays: int(a.Keep), Title: a.Title, Purposes: a.Purposes, Types: a.Types, Onward: a.Onward.String(),
					Receipts: a.Receipts.String(), Policy: &a.Policy, Text: a.Text, Prev: v.ID}
				if err := t.fill(&terms); err != nil {
					return err
				}
				return offer(ctx, p, c, terms, s)
			})
		}
	},
}

// agreementIDs returns, for completion, how the known agreements may be named.
func agreementIDs(ctx context.Context, p *program) []string {
	c, err := p.dial()
	if err != nil {
		return nil
	}
	defer c.Close()
	var out []string
	_ = c.Agreements(ctx, func(a control.Agreement) error {
		out = append(out, a.ID.Short(), a.Partner.Name)
		return nil
	})
	return out
}
