package node

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// Every decision on a message that is stricter than GREEN goes to the disclosure log before it takes effect.

// actor is who the log says decided where no person did.
const actor = "node"

func auditDir(home string) string { return filepath.Join(home, "audit") }

// auditFiles are the files of the log, in the order in which a backup copies them.
var auditFiles = []string{"checkpoint", "records", "hashes"}

// auditOrigin names a team's disclosure log in its checkpoints.
func auditOrigin(team protocol.TeamID) string { return "entente/" + team.String() }

func (n *Node) openAudit() error {
	dir, key := auditDir(n.cfg.Home), n.ring.AuditKey()
	origin := auditOrigin(n.cfg.Team)
	log, err := audit.Open(dir, n.ring.Local(), key, origin, n.now)
	if errors.Is(err, audit.ErrBroken) {
		n.log.Error("the disclosure log was cut, changed or restored; it goes on, and says so", "err", err)
		n.auditDoubt = "the disclosure log was cut, changed or restored: entente audit verify says from where"
		log, err = audit.OpenAfterBreak(dir, n.ring.Local(), key, origin, n.now, actor, "it did not fit its last checkpoint at the start")
	}
	if err != nil {
		return fmt.Errorf("opening the disclosure log: %w", err)
	}
	n.audit = log
	return nil
}

func (n *Node) closeAudit() error {
	if n.audit == nil {
		return nil
	}
	return n.audit.Close()
}

// disclosures are the records of one decision about a statement, one for each team.
func (n *Node) disclosures(action string, id protocol.Hash, teams []protocol.TeamID, l tlp.Label, d trust.Decision) []audit.Record {
	if l <= tlp.Green {
		return nil
	}
	if len(teams) == 0 {
		teams = []protocol.TeamID{{}}
	}
	var out []audit.Record
	for _, t := range teams {
		out = append(out, audit.Record{Time: n.now(), Actor: actor, Action: action, Object: id, Team: t, Label: l,
			Allowed: d.Allowed, Rule: d.Rule, Reason: d.Reason})
	}
	return out
}

// record writes to the disclosure log. What it is about must not happen if it fails.
func (n *Node) record(rs ...audit.Record) error {
	if testOnlyRecord != nil {
		rs = testOnlyRecord(rs)
	}
	for chunk := range slices.Chunk(rs, audit.MaxAppend) {
		if _, err := n.audit.Append(chunk); err != nil {
			err = fmt.Errorf("the disclosure log could not be written: %w", err)
			n.trouble.set(err)
			if errors.Is(err, audit.ErrClosed) {
				n.breakOnce.Do(func() { close(n.broken) }) // it goes on when it is opened anew
			}
			return err
		}
	}
	return nil
}

// AuditLog calls fn with the entries of the disclosure log from an index on and since a time, in their order, until it returns
// false.
func (n *Node) AuditLog(from uint64, since time.Time, fn func(*audit.Entry) bool) error {
	return n.audit.Each(from, func(e *audit.Entry) bool {
		if !e.Erased && e.Time.Before(since) {
			return true
		}
		return fn(e)
	})
}

// An AuditReport says what verifying the whole disclosure log found.
type AuditReport struct {
	audit.Report
	Checkpoint string // C2SP signed note, for whoever keeps it elsewhere
	Key        string // which verifies it
}

// AuditVerify recomputes the whole disclosure log from its records.
func (n *Node) AuditVerify() (AuditReport, error) {
	key, err := audit.VerifierKey(auditOrigin(n.team), n.ring.AuditKey().Public().(ed25519.PublicKey))
	if err != nil {
		return AuditReport{}, err
	}
	r, err := n.audit.Verify()
	if err != nil {
		return AuditReport{Report: r, Key: key}, err
	}
	cp, err := n.audit.Checkpoint()
	return AuditReport{Report: r, Key: key, Checkpoint: string(cp)}, err
}

// AuditErase erases what the disclosure log says about a message or agreement: the records are gone, that there were some is not.
// It returns how many there were. The reason stays in the log, with who asked.
func (n *Node) AuditErase(id protocol.Hash, by, reason string) (int, error) {
	count, err := n.audit.EraseObject(id, by, reason)
	if err == nil && count == 0 {
		err = fmt.Errorf("the disclosure log has nothing about %s: %w", id.Short(), ErrNotFound)
	}
	return count, err
}

// keepAudit signs a checkpoint of the disclosure log, has the store remember it, and erases what is past its retention.
func (n *Node) keepAudit() error {
	if days := n.cfg.AuditDays; days > 0 && n.clockAgrees() {
		if _, err := n.audit.EraseBefore(n.now().AddDate(0, 0, -days), actor, "audit_days"); err != nil {
			return err
		}
	}
	cp, err := n.audit.Checkpoint()
	if err != nil {
		return err
	}
	return n.st.PutNote(auditNote, cp)
}

// auditNote holds the last checkpoint that the store knows of: a log that does not go on from it was set back.
const auditNote = "audit"

// checkAudit compares the disclosure log with the checkpoint that the store remembers.
func (n *Node) checkAudit() error {
	cp, err := n.st.Note(auditNote)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := n.audit.Extends(cp); err == nil {
		return nil
	}
	n.auditDoubt = "the disclosure log does not go on from the checkpoint that the store remembers: it was set back, cut or replaced"
	n.log.Error(n.auditDoubt)
	return n.record(audit.Record{Time: n.now(), Actor: actor, Action: "rollback", Rule: "rollback", Reason: n.auditDoubt})
}

// AuditProve returns proofs, as text, of every decision that was logged about a message or agreement.
func (n *Node) AuditProve(id protocol.Hash) ([]string, error) {
	es, err := n.audit.Find(id)
	if err != nil {
		return nil, err
	}
	if len(es) == 0 {
		return nil, fmt.Errorf("the disclosure log has nothing about %s: %w", id.Short(), ErrNotFound)
	}
	var out []string
	for _, e := range es {
		if e.Erased {
			continue
		}
		p, err := n.audit.Prove(e.Index)
		if err != nil {
			return nil, err
		}
		out = append(out, string(p))
	}
	return out, nil
}
