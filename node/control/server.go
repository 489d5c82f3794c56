package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// A Server answers clients of one node.
type Server struct {
	n        *node.Node
	log      *slog.Logger
	home     string
	started  time.Time
	requests chan struct{} // a slot for each request at work
	watches  chan struct{} // a slot for each watch
	http     *http.Server
	ending   context.Context // done when watches have to end
	end      context.CancelFunc
}

// NewServer returns a server for the node of the home. The log gets no query, no title and no content.
func NewServer(n *node.Node, home string, log *slog.Logger) *Server {
	s := &Server{n: n, log: log, home: home, started: time.Now(),
		requests: make(chan struct{}, maxRequests), watches: make(chan struct{}, maxWatches)}
	s.ending, s.end = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on the listener, one of Listen, until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends all requests; watches end too. Requests at work get until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	s.end()
	if err := s.http.Shutdown(ctx); err == nil {
		return nil
	}
	return s.http.Close()
}

// routes lists all requests. Those of "work" count against maxRequests.
func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	work := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		m.Handle(pattern, s.limited(s.requests, h))
	}
	work("GET /v1/status", s.status)
	work("GET /v1/introduction", s.introduction)
	work("GET /v1/teams", s.teams)
	work("POST /v1/teams", s.addTeam)
	work("GET /v1/responsible", s.responsible)
	work("GET /v1/teams/{team}", s.team)
	work("POST /v1/teams/{team}/verify", s.verifyTeam)
	work("POST /v1/teams/{team}/block", s.blockTeam)
	work("POST /v1/teams/{team}/unblock", s.unblockTeam)
	work("GET /v1/own", s.own)
	work("POST /v1/own", s.addOwn)
	work("POST /v1/node/replace", s.replaceNode)
	work("GET /v1/node/{node}/cutoff", s.cutoffDraft)
	work("GET /v1/own/attestations", s.attestations)
	work("POST /v1/preview", s.preview)
	work("POST /v1/messages", s.send)
	work("GET /v1/messages", s.inbox)
	work("GET /v1/messages/{id}", s.message)
	work("GET /v1/messages/{id}/body", s.body)
	work("GET /v1/messages/{id}/sealed", s.sealed)
	work("GET /v1/messages/{id}/blob", s.sealedBlob)
	work("POST /v1/messages/{id}/opened", s.opened)
	work("GET /v1/messages/{id}/receipts", s.receipts)
	work("GET /v1/messages/{id}/export", s.exportMessage)
	work("GET /v1/agreements", s.agreements)
	work("POST /v1/agreements", s.addAgreement)
	work("POST /v1/agreements/draft", s.draftAgreement)
	work("GET /v1/agreements/{id}", s.oneAgreement)
	work("POST /v1/agreements/{id}/status", s.draftStatus)
	work("GET /v1/rooms", s.rooms)
	work("POST /v1/rooms", s.addToRoom)
	work("POST /v1/rooms/draft", s.draftRoom)
	work("GET /v1/rooms/{room}", s.oneRoom)
	work("POST /v1/rooms/{room}/draft", s.draftInRoom)
	work("POST /v1/rooms/{room}/forget", s.forgetRoom)
	work("POST /v1/rooms/{room}/seen", s.roomSeen)
	work("GET /v1/audit", s.auditLog)
	work("GET /v1/audit/proof/{id}", s.auditProve)
	work("POST /v1/audit/verify", s.auditVerify)
	work("POST /v1/audit/erase/{id}", s.auditErase)
	work("GET /v1/bundle", s.exportBundle)
	work("POST /v1/bundle", s.importBundle)
	work("GET /v1/search", s.search)
	work("POST /v1/fsck", s.fsck)
	work("POST /v1/backup", s.backup)
	work("GET /v1/doctor", s.doctor)
	m.Handle("GET /v1/watch", s.limited(s.watches, s.watch))
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &Error{Code: NotFound, Text: "the node does not know this request",
			Hint: "the program and the node may be of different versions: compare entente version with entente status"})
	})
	return m
}

// limited runs h in one of the slots, with a bounded body that must keep coming.
func (s *Server) limited(slots chan struct{}, h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			writeError(w, &Error{Code: Busy, Text: "the node has too many requests at work", Hint: "try again in a moment"})
			return
		}
		rc := http.NewResponseController(w)
		// A connection keeps the deadlines of its last request.
		if err := errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{})); err != nil {
			return
		}
		r.Body = &steady{ReadCloser: r.Body, rc: rc}
		if err := h(w, r); err != nil { // nothing was written yet
			writeError(w, err)
		}
	})
}

// steady is a request body that is given up when the client stops sending.
type steady struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *steady) Read(p []byte) (int, error) {
	if err := b.rc.SetReadDeadline(time.Now().Add(stallTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.rc.SetReadDeadline(time.Time{}) // what follows is the node's work, which may take long
	}
	return n, err
}

// readBody reads a request's body of at most max bytes.
func readBody(r *http.Request, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, usagef("a request of over %d bytes", max)
	}
	return b, nil
}

func readJSON[T any](r *http.Request) (T, error) {
	var v T
	b, err := readBody(r, maxJSON)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, usagef("the request is not understood: %v", err)
	}
	return v, nil
}

func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	writeWhole(w, typeJSON, http.StatusOK, append(b, '\n'))
	return nil
}

func writeError(w http.ResponseWriter, err error) {
	e := toError(err)
	writeWhole(w, typeJSON, statuses[e.Code], []byte(oneLine(e)+"\n"))
}

// writeWhole sends an answer that is in memory. A client that does not take it costs its connection; nobody is left to be
// told.
func writeWhole(w http.ResponseWriter, contentType string, status int, b []byte) {
	if http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stallTimeout)) != nil {
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// toError classes an error of the node for programs and adds what to do next.
func toError(err error) *Error {
	var (
		own       *Error
		refused   *node.RefusedError
		wrong     *trust.FingerprintError
		ambiguous *trust.AmbiguousError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &refused):
		hint := refused.Hint
		if hint == "" {
			hint = roomHints[refused.Rule]
		}
		return &Error{Code: Refused, Text: refused.Reason, Rule: refused.Rule, Hint: hint}
	case errors.As(err, &wrong):
		return &Error{Code: Refused, Text: err.Error(), Rule: "fingerprint"}
	case errors.As(err, &ambiguous):
		return &Error{Code: Usage, Text: err.Error(), Hint: "name one of them by the beginning of its id: entente team list"}
	case errors.Is(err, trust.ErrNoTeam):
		return &Error{Code: NotFound, Text: err.Error(), Hint: "the teams known here: entente team list"}
	case errors.Is(err, trust.ErrNoAgreement):
		return &Error{Code: NotFound, Text: err.Error(), Hint: "the agreements known here: entente agree list"}
	case errors.Is(err, trust.ErrNoRoom):
		return &Error{Code: NotFound, Text: err.Error(), Hint: "the rooms known here: entente room list"}
	case errors.Is(err, node.ErrNotFound), errors.Is(err, store.ErrNotFound):
		return &Error{Code: NotFound, Text: err.Error()}
	case errors.Is(err, store.ErrFull):
		return &Error{Code: Full, Text: err.Error(), Hint: "free space or raise store_cap in config.json; nothing that was accepted is lost"}
	case errors.Is(err, os.ErrPermission):
		return &Error{Code: Failed, Text: err.Error(), Hint: "check who owns the home's files"}
	}
	return &Error{Code: Failed, Text: fmt.Sprint(err)}
}
