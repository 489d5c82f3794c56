package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/store/audit"
)

// maxProofs bounds a file of proofs, in bytes.
const maxProofs = 4 << 20

var auditLogCmd = command{
	name: "audit log", section: "Care",
	short: "who was given what, and what was refused",
	long: `The disclosure log has every decision about messages stricter than GREEN: sending, taking in, viewing, exporting, and
which rule decided. It holds no content and no title. T is a time, or a span before now such as 12h or 7d.`,
	example: `entente audit log --since 7d`,
	setup: func(fs *flag.FlagSet, p *program) action {
		since := fs.String("since", "", "only what was decided since `T`")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "audit log"); err != nil {
				return err
			}
			var from time.Time
			if *since != "" {
				var err error
				if from, err = parseSince(*since, time.Now()); err != nil {
					return err
				}
			}
			return p.withNode(func(c *control.Client) error { return auditLog(ctx, p, c, from) })
		}
	},
}

func auditLog(ctx context.Context, p *program, c *control.Client, since time.Time) error {
	names := map[string]string{}
	err := c.Teams(ctx, func(t control.Team) error {
		names[t.ID.String()] = t.Name
		return nil
	})
	if err != nil {
		return err
	}
	var t table
	t.add("NUMBER", "TIME", "WHO", "ACTION", "TLP", "TEAM", "ABOUT", "DECISION")
	err = c.AuditLog(ctx, 0, since, func(r control.AuditRecord) error {
		if p.json {
			return p.out.object(r)
		}
		if r.Erased {
			t.add(fmt.Sprint(r.Index), "-", "-", "erased", "-", "-", "-", "-")
			return nil
		}
		team, about, label := "-", "-", "-"
		if r.Team != nil {
			if team = names[r.Team.String()]; team == "" {
				team = r.Team.Short()
			}
		}
		if r.Object != nil {
			about = r.Object.Short()
		}
		if r.Label != nil {
			label = r.Label.String()
		}
		decision := "allowed"
		if !r.Allowed {
			decision = "refused"
		}
		if r.Rule != "" {
			decision += " (" + r.Rule + ")"
		}
		t.add(fmt.Sprint(r.Index), stamp(*r.Time), r.Actor, r.Action, label, shorten(team, 30), about, decision)
		return nil
	})
	if err == nil && !p.json {
		t.print(p.out)
	}
	return err
}

var auditProveCmd = command{
	name: "audit prove", section: "Care", args: "ID",
	short: "a proof of what was decided about a message, for others to verify",
	long: `ID is a message's or an agreement's. The proof is a text: the record, its place in the log, and the log's signed
checkpoint. Whoever has this team's log key, as audit verify prints it, verifies the proof without this node. It tells
the record, and nothing else of the log.`,
	example: `entente audit prove 3f2a9c1d7b -o told-them.txt`,
	setup: func(fs *flag.FlagSet, p *program) action {
		out := fs.String("o", "", "write it to `FILE`, which must not be there yet")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the id of the message"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				proofs, err := c.AuditProve(ctx, args[0])
				if err != nil {
					return err
				}
				if len(proofs) == 0 {
					return errErased(args[0])
				}
				if p.json {
					return p.out.object(map[string]any{"id": args[0], "proofs": proofs})
				}
				text := strings.Join(proofs, "\n")
				if *out != "" {
					return writeFile(*out, 0o600, func(w io.Writer) error {
						_, err := io.WriteString(w, text)
						return err
					})
				}
				p.out.writer().WriteString(plainText(text))
				return nil
			})
		}
	},
}

var auditEraseCmd = command{
	name: "audit erase", section: "Care", args: "ID --reason TEXT",
	short: "erase what the disclosure log says about a message or an agreement",
	long: `ID is a message's or an agreement's. Every record about it is overwritten: who decided, for which team, by which rule, and
the persons named. It cannot be undone, and nobody can prove those decisions any more. What stays: that there were so many
records in those places, their hashes, so that the log is whole and all other proofs hold, and a new record that says
who erased them, when, and the reason. So the reason must not say what was in them. The message itself stays, and so
do copies of the log in backups and proofs that were given away.

On a terminal it asks first.`,
	example: `entente audit erase 3f2a9c1d7b --reason "retention ended, case 2026-114"`,
	setup: func(fs *flag.FlagSet, p *program) action {
		reason := fs.String("reason", "", "why, in a few words: a `TEXT` that stays in the log")
		yes := fs.Bool("yes", false, "do not ask on the terminal")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the id of the message or agreement"); err != nil {
				return err
			}
			switch {
			case strings.TrimSpace(*reason) == "":
				return usagef("--reason is missing: it stays in the log in place of what is erased")
			case len(*reason) > control.MaxEraseReason:
				return usagef("--reason has %d bytes: at most %d", len(*reason), control.MaxEraseReason)
			}
			return p.withNode(func(c *control.Client) error { return auditErase(ctx, p, c, args[0], *reason, *yes) })
		}
	},
}

func auditErase(ctx context.Context, p *program, c *control.Client, id, reason string, yes bool) error {
	proofs, err := c.AuditProve(ctx, id) // there is something to erase, and how much
	if err != nil {
		return err
	}
	if len(proofs) == 0 {
		return errErased(id)
	}
	p.sayf("entente: this overwrites %s in the disclosure log, for good", plural(len(proofs), "record", "records"))
	p.sayf("entente: their places and hashes stay, and a record of who erased them and why: %s", plainLine(reason))
	if err := p.confirm("Erase?", "nothing was erased", yes); err != nil {
		return err
	}
	n, err := c.AuditErase(ctx, id, p.who(), reason)
	if err != nil {
		return err
	}
	if p.json {
		return p.out.object(map[string]any{"id": id, "erased": n})
	}
	p.out.linef("%s erased; the log is whole without them: entente audit verify", plural(n, "record was", "records were"))
	return nil
}

func errErased(id string) error {
	return fmt.Errorf("what the disclosure log had about %s is erased", id)
}

var auditVerifyCmd = command{
	name: "audit verify", section: "Care", args: "[PROOF]",
	short: "check the whole disclosure log, or a proof from another team",
	long: `Without an argument: recomputes this node's whole log from its records and compares it with the signed checkpoint, and
prints the log's key. With PROOF, a file that audit prove wrote, and the other team's log key, checks that proof; no node is
needed for it. The exit code is 1 if anything does not fit.`,
	example: `entente audit verify
entente audit verify told-them.txt --key "entente/…+…+…"`,
	setup: func(fs *flag.FlagSet, p *program) action {
		key := fs.String("key", "", "the `KEY` of the log that the proof is from")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 1, "the file with the proof"); err != nil {
				return err
			}
			switch {
			case len(args) == 1 && *key == "":
				return usagef("--key is missing: the key of the log, as the other team's audit verify prints it")
			case len(args) == 1:
				return verifyProof(p, args[0], *key)
			case *key != "":
				return usagef("--key goes with a proof: the log of this node is checked with its own key")
			}
			return p.withNode(func(c *control.Client) error { return verifyLog(ctx, p, c) })
		}
	},
}

func verifyLog(ctx context.Context, p *program, c *control.Client) error {
	r, err := c.AuditVerify(ctx)
	if err != nil {
		return err
	}
	if p.json {
		err = p.out.object(r)
	} else {
		o := p.out
		count := plural(int(r.Records), "record", "records")
		if r.Erased > 0 {
			count += fmt.Sprintf(", %d of them erased", r.Erased)
		}
		if r.Whole {
			o.linef("the log is whole: %s", count)
		} else {
			o.linef("the log is not whole: %s", count)
		}
		for _, q := range r.Problems {
			o.linef("  %s", plainLine(q))
		}
		o.linef("key         %s", plainLine(r.Key))
		if r.Checkpoint != "" {
			o.linef("checkpoint, for whoever keeps it elsewhere:")
		}
		for l := range strings.Lines(r.Checkpoint) {
			o.linef("%s", strings.TrimRight("  "+plainLine(strings.TrimRight(l, "\n")), " "))
		}
	}
	if err == nil && !r.Whole {
		err = &partial{"the disclosure log is not what this node wrote: keep a copy of HOME/audit, and ask who changed it", exitFailed}
	}
	return err
}

// proofMark begins a proof: the form of c2sp.org/tlog-proof.
const proofMark = "c2sp.org/tlog-proof@v1\n"

// splitProofs parts a file that may hold several proofs.
func splitProofs(text string) []string {
	var out []string
	for _, s := range strings.Split("\n"+strings.ReplaceAll(text, "\r\n", "\n"), "\n"+proofMark) {
		if strings.TrimSpace(s) != "" {
			out = append(out, proofMark+strings.TrimRight(s, "\n")+"\n")
		}
	}
	return out
}

// proven is what a proof shows.
type proven struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"` // of the log that was signed
	control.AuditRecord
}

func verifyProof(p *program, file, key string) error {
	public, err := logKey(key)
	if err != nil {
		return err
	}
	text, err := p.input(file, maxProofs)
	if err != nil {
		return err
	}
	proofs := splitProofs(string(text))
	if len(proofs) == 0 {
		return fmt.Errorf("%s holds no proof", file)
	}
	for i, proof := range proofs {
		v, err := audit.VerifyProof([]byte(proof), public)
		if err != nil {
			return withHint(fmt.Errorf("proof %d in %s: %w", i+1, file, err), "it was changed, or is from another log than the key's")
		}
		if p.json {
			if err := p.out.object(proven{Origin: v.Origin, Size: v.Size, AuditRecord: control.AuditRecordOf(&v.Entry)}); err != nil {
				return err
			}
			continue
		}
		r := v.Entry
		decision := "refused"
		if r.Allowed {
			decision = "allowed"
		}
		p.out.linef("proven      record %d of the log %s", r.Index, plainLine(v.Origin))
		p.out.linef("time        %s", stamp(r.Time))
		p.out.linef("who         %s", plainLine(r.Actor))
		p.out.linef("decision    %s %s by rule %s", plainLine(r.Action), decision, plainLine(r.Rule))
		p.out.linef("about       %s", r.Object)
		p.out.linef("team        %s", r.Team)
		p.out.linef("label       TLP:%s", r.Label)
	}
	return nil
}

// logKey reads a verifier key of c2sp.org/signed-note: NAME+HASH+KEY, the key being one byte for Ed25519 and the key itself.
func logKey(s string) (ed25519.PublicKey, error) {
	parts := strings.SplitN(s, "+", 3) // base64 may hold a + too, a name and a hash do not
	if len(parts) != 3 {
		return nil, usagef("--key %.80q: want NAME+HASH+KEY, as audit verify prints it", s)
	}
	b, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(b) != 1+ed25519.PublicKeySize || b[0] != 1 {
		return nil, usagef("--key %.80q: the part after the second + is no Ed25519 key", s)
	}
	return ed25519.PublicKey(b[1:]), nil
}
