package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/audit"
)

// MaxEraseReason bounds the reason of an erasure, in bytes.
const MaxEraseReason = audit.MinReason

// An AuditRecord is one decision in the disclosure log.
type AuditRecord struct {
	Index   uint64           `json:"index"`
	Erased  bool             `json:"erased,omitempty"` // its content is gone; its place in the log is not
	Time    *time.Time       `json:"time"`
	Actor   string           `json:"actor"`  // a person or the node
	Action  string           `json:"action"` // compose, receive, view, export, …
	Object  *protocol.Hash   `json:"object"` // a message or an agreement
	Team    *protocol.TeamID `json:"team"`   // the other one
	Label   *tlp.Label       `json:"tlp"`
	Allowed bool             `json:"allowed"`
	Rule    string           `json:"rule,omitempty"`
	Reason  string           `json:"reason,omitempty"`
}

// An AuditReport says whether the disclosure log is whole.
type AuditReport struct {
	Whole      bool     `json:"whole"`
	Records    uint64   `json:"records"`
	Erased     uint64   `json:"erased"`     // records whose content is gone, which the tree allows
	Checkpoint string   `json:"checkpoint"` // signed note, for whoever keeps it elsewhere
	Key        string   `json:"key"`        // which verifies it
	Problems   []string `json:"problems,omitempty"`
}

type auditProofs struct {
	Proofs []string `json:"proofs"`
}

type auditErased struct {
	Erased int `json:"erased"`
}

// AuditLog calls fn with each record from an index on and since a time, the oldest first; the zero values are all.
func (c *Client) AuditLog(ctx context.Context, from uint64, since time.Time, fn func(AuditRecord) error) error {
	q := url.Values{"from": {strconv.FormatUint(from, 10)}}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	return stream(ctx, c, http.MethodGet, "/v1/audit", q, fn)
}

// AuditProve returns proofs of every decision that the log holds about a message or an agreement, named by its id or the
// beginning of a message's: texts that anybody can verify with the log's public key.
func (c *Client) AuditProve(ctx context.Context, idOrPrefix string) ([]string, error) {
	p, err := get[auditProofs](ctx, c, "/v1/audit/proof/"+url.PathEscape(idOrPrefix), nil)
	if err != nil {
		return nil, err
	}
	return p.Proofs, nil
}

// AuditVerify checks the whole log against its signed checkpoint.
func (c *Client) AuditVerify(ctx context.Context) (*AuditReport, error) {
	return post[AuditReport](ctx, c, "/v1/audit/verify", nil, nil)
}

// AuditErase erases what the log says about a message or an agreement, named as for AuditProve, and returns how many records
// that were. Who asked and the reason stay in the log.
func (c *Client) AuditErase(ctx context.Context, idOrPrefix, who, reason string) (int, error) {
	e, err := post[auditErased](ctx, c, "/v1/audit/erase/"+url.PathEscape(idOrPrefix), url.Values{"who": {who}, "reason": {reason}}, nil)
	if err != nil {
		return 0, err
	}
	return e.Erased, nil
}

// auditLog reads the log once: no page is read again for the next.
func (s *Server) auditLog(w http.ResponseWriter, r *http.Request) error {
	since, err := sinceOf(r)
	if err != nil {
		return err
	}
	from, err := number(r.FormValue("from"))
	if err != nil {
		return usagef("from: %v", err)
	}
	l := newLineWriter(w)
	gone := false
	err = s.n.AuditLog(from, since, func(e *audit.Entry) bool {
		gone = l.write(AuditRecordOf(e)) != nil
		return !gone
	})
	if !gone {
		l.finish(err)
	}
	return nil
}

// AuditRecordOf gives a record of the log, as a proof shows one, the form of the interface.
func AuditRecordOf(e *audit.Entry) AuditRecord {
	a := AuditRecord{Index: e.Index, Erased: e.Erased, Time: whenPtr(e.Time), Actor: e.Actor, Action: e.Action, Object: present(e.Object),
		Team: present(e.Team), Allowed: e.Allowed, Rule: e.Rule, Reason: e.Reason}
	if e.Label.Valid() {
		a.Label = &e.Label
	}
	return a
}

// auditProve takes a whole id, which may be an agreement's, or the beginning of a message's.
func (s *Server) auditProve(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	ps, err := s.n.AuditProve(id)
	if err != nil {
		return err
	}
	return writeJSON(w, auditProofs{Proofs: ps})
}

func (s *Server) auditErase(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	who, reason := q.Get("who"), q.Get("reason")
	switch {
	case who == "" || len(who) > audit.MaxActor:
		return usagef("who: want a name of at most %d bytes", audit.MaxActor)
	case strings.TrimSpace(reason) == "" || len(reason) > MaxEraseReason:
		return usagef("reason: want a text of at most %d bytes", MaxEraseReason)
	}
	n, err := s.n.AuditErase(id, who, reason)
	if err != nil {
		return err
	}
	return writeJSON(w, auditErased{n})
}

func (s *Server) auditVerify(w http.ResponseWriter, r *http.Request) error {
	v, err := s.n.AuditVerify()
	var fault *audit.Fault
	if err != nil && !errors.As(err, &fault) && !errors.Is(err, audit.ErrTampered) && !errors.Is(err, audit.ErrBroken) {
		return err
	}
	out := AuditReport{Whole: err == nil, Records: v.Records, Erased: v.Erased, Checkpoint: v.Checkpoint, Key: v.Key}
	if err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	for _, b := range v.Breaks {
		out.Problems = append(out.Problems, fmt.Sprintf("record %d: the log went on after it was broken: %s", b.Index, b.Reason))
	}
	return writeJSON(w, out)
}

// sinceOf reads the time in a request.
func sinceOf(r *http.Request) (time.Time, error) {
	v := r.FormValue("since")
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return t, usagef("since: %q is no time of RFC 3339", v)
	}
	return t, nil
}
