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
			return fmt.Errorf("the disclosure log could not be written: %w", err)
		}
	}
	return nil
}

// AuditLog calls fn with the entries of the disclosure log since a time, in their order, until it returns false.
func (n *Node) AuditLog(since time.Time, fn func(*audit.Entry) bool) error {
	return n.audit.Each(0, func(e *audit.Entry) bool {
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
