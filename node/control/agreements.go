package control

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// An Agreement is a bilateral agreement and where it stands. State is offered, waiting, active, suspended, disputed, ended,
// expired, superseded or void.
type Agreement struct {
	ID              protocol.Hash  `json:"id"`
	Partner         TeamRef        `json:"partner"`
	State           string         `json:"state"`
	Why             string         `json:"why,omitempty"` // of a state that hinders, in words
	TLPMax          tlp.Label      `json:"tlp_max"`
	ValidFrom       time.Time      `json:"valid_from"`
	ValidUntil      time.Time      `json:"valid_until"`
	Title           string         `json:"title,omitempty"`
	SignedBySelf    bool           `json:"signed_by_self"`
	SignedByPartner bool           `json:"signed_by_partner"`
	Offered         bool           `json:"offered_by_self"` // this team wrote it
	Mine            string         `json:"own_status"`      // ok, suspended or ended: what this team declared
	Theirs          string         `json:"partner_status"`  // what the partner declared
	Purposes        []string       `json:"purposes,omitempty"`
	Types           []string       `json:"types,omitempty"` // of information; empty: all
	Onward          string         `json:"onward"`
	Receipts        string         `json:"receipts"`
	KeepDays        uint64         `json:"keep_days,omitempty"`
	Policy          protocol.IEP   `json:"policy"`
	Prev            *protocol.Hash `json:"prev,omitempty"` // the agreement that it renews
	Record          []byte         `json:"record"`         // the signed document in its wire form
}

// Terms are what a person fills into an agreement that is offered. Zero fields take the defaults of the node.
type Terms struct {
	Partner  string        `json:"partner"` // a team: name or beginning of an id
	TLPMax   tlp.Label     `json:"tlp_max"`
	Days     int           `json:"days,omitempty"`
	KeepDays int           `json:"keep_days,omitempty"`
	Title    string        `json:"title,omitempty"`
	Purposes []string      `json:"purposes,omitempty"`
	Types    []string      `json:"types,omitempty"`
	Onward   string        `json:"onward,omitempty"`
	Receipts string        `json:"receipts,omitempty"`
	Policy   *protocol.IEP `json:"policy,omitempty"`
	Text     string        `json:"text,omitempty"`
	Prev     protocol.Hash `json:"prev,omitzero"` // the agreement that this one renews
	From     *time.Time    `json:"from,omitempty"`
}

type statusRequest struct {
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// rawRecord is one record in its wire form, signed or not.
type rawRecord struct {
	Record []byte `json:"record"`
}

// Agreements calls fn with each agreement that this team knows to be party of, the newest last.
func (c *Client) Agreements(ctx context.Context, fn func(Agreement) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/agreements", nil, fn)
}

// Agreement returns one agreement by the beginning of its id or the partner's name.
func (c *Client) Agreement(ctx context.Context, query string) (*Agreement, error) {
	return get[Agreement](ctx, c, "/v1/agreements/"+url.PathEscape(query), nil)
}

// DraftAgreement returns the document for the terms, which officers of both teams sign.
func (c *Client) DraftAgreement(ctx context.Context, t Terms) (*protocol.Agreement, error) {
	return draftOf[protocol.Agreement](post[rawRecord](ctx, c, "/v1/agreements/draft", nil, jsonBody(t)))
}

// DraftStatus returns this team's next word on an agreement, for an officer to sign. status is ok, suspended or ended.
func (c *Client) DraftStatus(ctx context.Context, id protocol.Hash, status, reason string) (*protocol.AgreementStatus, error) {
	return draftOf[protocol.AgreementStatus](post[rawRecord](ctx, c, "/v1/agreements/"+id.String()+"/status", nil,
		jsonBody(statusRequest{Status: status, Reason: reason})))
}

func draftOf[T any](raw *rawRecord, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	var v T
	return &v, protocol.Unmarshal(raw.Record, &v)
}

// AddAgreement hands over an offer, a signature or a status that an officer signed. The node keeps it and sends it to the
// partner.
func (c *Client) AddAgreement(ctx context.Context, e *protocol.Envelope) (*Agreement, error) {
	return post[Agreement](ctx, c, "/v1/agreements", nil, bytes.NewReader(e.Encode()))
}

func (s *Server) agreements(w http.ResponseWriter, r *http.Request) error {
	l := newLineWriter(w)
	for _, a := range s.n.Agreements() {
		if l.write(s.agreement(a)) != nil {
			return nil
		}
	}
	l.finish(nil)
	return nil
}

func (s *Server) oneAgreement(w http.ResponseWriter, r *http.Request) error {
	a, err := s.n.Agreement(r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, s.agreement(a))
}

func (s *Server) draftAgreement(w http.ResponseWriter, r *http.Request) error {
	req, err := readJSON[Terms](r)
	if err != nil {
		return err
	}
	t := node.Terms{Partner: req.Partner, Ceiling: req.TLPMax, Days: req.Days, Keep: req.KeepDays, Title: req.Title,
		Purposes: req.Purposes, Types: req.Types, Text: req.Text, Prev: req.Prev, Policy: protocol.DefaultIEP()}
	if req.Onward != "" {
		if t.Onward, err = protocol.ParseOnward(req.Onward); err != nil {
			return usagef("%v", err)
		}
	}
	if req.Receipts != "" {
		if t.Receipts, err = protocol.ParseReceipting(req.Receipts); err != nil {
			return usagef("%v", err)
		}
	}
	if req.Policy != nil {
		t.Policy = *req.Policy
	}
	if req.From != nil {
		t.From = *req.From
	}
	a, err := s.n.DraftAgreement(t)
	if err != nil {
		return err
	}
	return writeRecord(w, a)
}

func writeRecord(w http.ResponseWriter, r protocol.Record) error {
	b, err := protocol.Marshal(r)
	if err != nil {
		return err
	}
	return writeJSON(w, rawRecord{Record: b})
}

var partyStatuses = []protocol.PartyStatus{protocol.PartyOK, protocol.PartySuspended, protocol.PartyEnded}

func (s *Server) draftStatus(w http.ResponseWriter, r *http.Request) error {
	id, err := protocol.ParseHash(r.PathValue("id"))
	if err != nil {
		return usagef("agreement: %v", err)
	}
	req, err := readJSON[statusRequest](r)
	if err != nil {
		return err
	}
	for _, p := range partyStatuses {
		if p.String() == req.Status {
			st, err := s.n.DraftStatus(id, p, req.Reason)
			if err != nil {
				return err
			}
			return writeRecord(w, st)
		}
	}
	return usagef("status %.20q: want one of %v", req.Status, partyStatuses)
}

func (s *Server) addAgreement(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(r, protocol.MaxRecord)
	if err != nil {
		return err
	}
	e, err := protocol.DecodeEnvelope(b, protocol.MaxRecord)
	if err != nil {
		return usagef("agreement: %v", err)
	}
	a, err := s.n.AddAgreement(r.Context(), e)
	if err != nil {
		return err
	}
	return writeJSON(w, s.agreement(a))
}

func (s *Server) agreement(v node.AgreementView) Agreement {
	a := v.Agreement
	return Agreement{
		ID: v.ID, Partner: TeamRef{ID: v.Partner, Name: v.PartnerName}, State: v.State.String(), Why: v.Why, TLPMax: a.Ceiling,
		ValidFrom: unixTime(a.From), ValidUntil: unixTime(a.Until), Title: a.Title, SignedBySelf: v.SignedBySelf,
		SignedByPartner: v.SignedByPartner, Offered: a.A == s.n.TeamID(), Mine: partyStatus(v.Mine), Theirs: partyStatus(v.Theirs),
		Purposes: a.Purposes, Types: a.Types, Onward: a.Onward.String(), Receipts: a.Receipts.String(), KeepDays: a.Keep,
		Policy: a.Policy, Prev: present(a.Prev), Record: v.Envelope.Encode(),
	}
}

// partyStatus names where a party has put an agreement; one that said nothing has it as signed.
func partyStatus(p protocol.PartyStatus) string { return max(p, protocol.PartyOK).String() }

func unixTime(s uint64) time.Time { return time.Unix(int64(s), 0).UTC() }
