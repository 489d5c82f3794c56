package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
)

// A program agrees with another team on terms, without a network: it drafts, an officer signs, the node keeps it.
func TestAgreements(t *testing.T) {
	n, home := newNode(t, false)
	other, _ := newNamed(t, "CERT-B", false)
	c := Local(n, home)
	defer c.Close()
	ctx := t.Context()
	intro, err := other.Introduction()
	if err != nil {
		t.Fatal(err)
	}
	partner, err := c.AddTeam(ctx, intro, "tester")
	if err != nil {
		t.Fatal(err)
	}
	officer, err := keyring.OpenOfficer(node.KeysDir(home), "Ada", "passphrase")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC)
	policy := protocol.DefaultIEP()
	policy.Attribution = "must-not"
	draft, err := c.DraftAgreement(ctx, Terms{Partner: partner.ID.String(), TLPMax: tlp.Amber, Days: 30, KeepDays: 7, Title: "A title", Purposes: []string{"a purpose"},
		Types: []string{"updates"}, Onward: "none", Receipts: "stored", Policy: &policy, Text: "More.", From: &from})
	if err != nil {
		t.Fatal(err)
	}
	e, err := protocol.Sign(draft, officer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Agreement(ctx, e.ID().String()); !errors.Is(err, &Error{Code: NotFound}) {
		t.Errorf("a draft is kept: %v", err)
	}
	a, err := c.AddAgreement(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	if a.ID != e.ID() || a.State != "offered" || !a.SignedBySelf || a.SignedByPartner || !a.Offered || a.Partner.ID != partner.ID ||
		a.TLPMax != tlp.Amber || a.KeepDays != 7 || a.Title != "A title" || a.Onward != "none" || a.Receipts != "stored" || a.Policy != policy ||
		fmt.Sprint(a.Purposes, a.Types) != "[a purpose] [updates]" || !a.ValidFrom.Equal(from) || !a.ValidUntil.Equal(from.AddDate(0, 0, 30)) ||
		a.Mine != "ok" || a.Theirs != "ok" || a.Prev != nil {
		t.Errorf("got %+v", a)
	}
	if back, err := protocol.DecodeEnvelope(a.Record, protocol.MaxRecord); err != nil || back.ID() != a.ID {
		t.Errorf("the document came back as %v, %v", back, err)
	}

	st, err := c.DraftStatus(ctx, a.ID, "ended", "tried out")
	if err != nil || st.Status != protocol.PartyEnded || st.Agreement != a.ID || st.Reason != "tried out" {
		t.Fatalf("a status: got %+v, %v", st, err)
	}
	if e, err = protocol.Sign(st, officer); err != nil {
		t.Fatal(err)
	}
	if a, err = c.AddAgreement(ctx, e); err != nil || a.Mine != "ended" {
		t.Errorf("after the end: got %+v, %v", a, err)
	}
	if _, err := c.DraftStatus(ctx, a.ID, "ok", ""); !errors.Is(err, &Error{Code: Refused}) {
		t.Errorf("resuming what was ended: got %v", err)
	}
	count := 0
	if err := c.Agreements(ctx, func(l Agreement) error { count++; return nil }); err != nil || count != 1 {
		t.Errorf("got %d agreements, %v", count, err)
	}

	// What makes no sense changes nothing, and says so.
	for what, err := range map[string]error{
		"a status that is none": second(c.DraftStatus(ctx, a.ID, "perhaps", "")),
		"onward to the moon":    second(c.DraftAgreement(ctx, Terms{Partner: partner.ID.String(), TLPMax: tlp.Amber, Onward: "moon"})),
		"receipts of gold":      second(c.DraftAgreement(ctx, Terms{Partner: partner.ID.String(), TLPMax: tlp.Amber, Receipts: "gold"})),
		"bytes that are none":   second(c.one(ctx, http.MethodPost, "/v1/agreements", strings.NewReader("nothing"))),
		"a record too long":     second(c.one(ctx, http.MethodPost, "/v1/agreements", bytes.NewReader(make([]byte, protocol.MaxRecord+1)))),
		"an id that is none":    second(c.one(ctx, http.MethodPost, "/v1/agreements/x/status", strings.NewReader("{}"))),
	} {
		if !errors.Is(err, &Error{Code: Usage}) {
			t.Errorf("%s: got %v, want code %s", what, err, Usage)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func (c *Client) one(ctx context.Context, method, path string, body io.Reader) (*struct{}, error) {
	return one[struct{}](ctx, c, method, path, nil, body)
}

// A draft that makes no sense is refused, and the longest that makes sense fits into a request.
func TestDraftBounds(t *testing.T) {
	n, home := newNode(t, false)
	c := Local(n, home)
	defer c.Close()
	ctx := t.Context()
	many := make([]protocol.Hash, protocol.MaxRefs+1)
	for i := range many {
		many[i][0] = byte(i + 1)
	}
	for what, d := range map[string]Draft{
		"nobody":            {To: ""},
		"a kind unknown":    {To: "cellar:X"},
		"a team, unnamed":   {To: "team:"},
		"a room unnamed":    {To: "room:"},
		"a person unnamed":  {To: "person:"},
		"a named community": {To: "community:X"},
		"too many refs":     {To: "community", Refs: many},
		"too many sources":  {To: "community", Sources: many},
	} {
		_, err := c.Send(ctx, d, strings.NewReader("TLP:CLEAR\n"))
		if !errors.Is(err, &Error{Code: Usage}) {
			t.Errorf("%s: got %v, want code %s", what, err, Usage)
		}
	}
	name := strings.Repeat("ü", protocol.MaxName/2)
	var ps []string
	for range protocol.MaxPersons {
		ps = append(ps, protocol.Hash{1}.String()+"/"+name)
	}
	_, err := c.Preview(ctx, Draft{To: "person:" + strings.Join(ps, ","), Refs: many[:protocol.MaxRefs], Sources: many[:protocol.MaxRefs], Label: tlp.Red, As: name})
	var e *Error
	if !errors.As(err, &e) || e.Code == Usage && strings.Contains(e.Text, "header") {
		t.Errorf("the longest draft: got %v, want that its team is not known", err)
	}
}

// The log, bundles and receipts of a node that has said nothing to anybody.
func TestNothingRestrictedYet(t *testing.T) {
	n, home := newNode(t, false)
	c := Local(n, home)
	defer c.Close()
	ctx := t.Context()
	r, err := c.AuditVerify(ctx)
	if err != nil || !r.Whole || r.Key == "" || r.Checkpoint == "" {
		t.Errorf("the log: got %+v, %v", r, err)
	}
	if err := c.AuditLog(ctx, 0, time.Time{}, func(r AuditRecord) error { return fmt.Errorf("a record: %+v", r) }); err != nil {
		t.Error(err)
	}
	id := protocol.Hash{1}
	for what, err := range map[string]error{
		"a proof":             second(c.AuditProve(ctx, id.String())),
		"an erasure":          second(c.AuditErase(ctx, id.String(), "Ada", "asked for")),
		"receipts":            c.Receipts(ctx, id, func(Receipt) error { return nil }),
		"sealed content":      second(c.Sealed(ctx, id)),
		"a reader":            c.Opened(ctx, id, "Ada"),
		"an export":           c.ExportMessage(ctx, id, "team", "", io.Discard),
		"a bundle for nobody": second(c.ExportBundle(ctx, "nobody", time.Time{}, io.Discard)),
		"an agreement":        second(c.Agreement(ctx, "nobody")),
	} {
		if !errors.Is(err, &Error{Code: NotFound}) {
			t.Errorf("%s: got %v, want code %s", what, err, NotFound)
		}
	}
	if err := c.ExportMessage(ctx, id, "team", "everybody", io.Discard); !errors.Is(err, &Error{Code: Usage}) {
		t.Errorf("an export attributed to everybody: got %v", err)
	}
	if err := c.ExportMessage(ctx, id, "moon", "", io.Discard); !errors.Is(err, &Error{Code: Usage}) {
		t.Errorf("an export to the moon: got %v", err)
	}
	if _, err := c.ImportBundle(ctx, strings.NewReader("no bundle"), 9); !errors.Is(err, &Error{Code: Refused}) {
		t.Errorf("importing nonsense: got %v", err)
	}
	s, err := c.Status(ctx)
	if err != nil || s.Outbox == nil || len(s.Outbox) != 0 || s.Agreed != 0 {
		t.Errorf("status: got %+v, %v", s, err)
	}
}

// A sealed blob is read from anywhere, asked for where the reading is; an answer that was cut is an error.
func TestRemoteBlob(t *testing.T) {
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(i / 7)
	}
	asked, cut := 0, false
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/messages/{id}/blob", func(w http.ResponseWriter, r *http.Request) {
		asked++
		at, err := number(r.FormValue("offset"))
		if err != nil || at > uint64(len(data)) {
			writeError(w, usagef("offset"))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-int(at)))
		if cut {
			_, _ = w.Write(data[at : at+10])
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(data[at:])
	})
	l := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: m, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	c := newClient(l.dial, l.Close)
	defer c.Close()
	b := c.SealedBlob(t.Context(), protocol.Hash{1}, int64(len(data)))
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, data) || asked != 1 {
		t.Fatalf("read %d bytes in %d requests, %v", len(got), asked, err)
	}
	if err := iotest.TestReader(c.SealedBlob(t.Context(), protocol.Hash{1}, int64(len(data))), data); err != nil {
		t.Error(err)
	}
	// Going to where the reading is anyway asks for nothing.
	asked = 0
	part := make([]byte, 1000)
	b = c.SealedBlob(t.Context(), protocol.Hash{1}, int64(len(data)))
	for at := int64(500); at < 5000; at += 1000 {
		if _, err := b.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, part); err != nil || !bytes.Equal(part, data[at:at+1000]) {
			t.Fatalf("at %d: %v", at, err)
		}
	}
	if asked != 1 {
		t.Errorf("reading on took %d requests, want 1", asked)
	}
	if _, err := b.Seek(-1, io.SeekStart); err == nil {
		t.Error("a place before the beginning: no error")
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	cut = true
	b = c.SealedBlob(t.Context(), protocol.Hash{1}, int64(len(data)))
	if got, err := io.ReadAll(b); err == nil {
		t.Errorf("a cut answer of %d bytes: no error", len(got))
	}
	// More was promised than there is.
	cut = false
	b = c.SealedBlob(t.Context(), protocol.Hash{1}, int64(len(data))+5)
	if _, err := io.ReadAll(b); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a blob that is too short: got %v", err)
	}
}

// A bundle that breaks off midway is an error, whatever came before; one that is refused has no first byte.
func TestCutBundle(t *testing.T) {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/bundle", func(w http.ResponseWriter, r *http.Request) {
		l := &lazyWriter{w: w, trailers: errorTrailer + ", " + reportTrailer}
		_, _ = io.WriteString(l, "begun")
		if r.FormValue("team") == "fire" {
			w.Header().Set(errorTrailer, oneLine(&Error{Text: "the disk is on fire", Code: Failed}))
		}
	})
	l := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: m}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	c := newClient(l.dial, l.Close)
	defer c.Close()
	if _, err := c.ExportBundle(t.Context(), "fire", time.Time{}, io.Discard); err == nil || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("a failure midway: got %v", err)
	}
	if r, err := c.ExportBundle(t.Context(), "quiet", time.Time{}, io.Discard); err == nil {
		t.Errorf("an end without a report: got %+v", r)
	}
}

// What a person agreed to is what is sent: other readers, or another label, are refused.
func TestExpect(t *testing.T) {
	n, home := newNode(t, true)
	c := Local(n, home)
	defer c.Close()
	ctx := t.Context()
	d := Draft{To: "community", Label: tlp.Green, DryRun: true}
	shown, err := c.Send(ctx, d, strings.NewReader("a word"))
	if err != nil || shown.Digest == nil {
		t.Fatalf("got %+v, %v; want a digest", shown, err)
	}
	d.DryRun, d.Expect = false, *shown.Digest
	d.Label = tlp.Clear
	if _, err := c.Send(ctx, d, strings.NewReader("a word")); !errors.Is(err, &Error{Code: Refused, Rule: "readers-changed"}) {
		t.Errorf("another label: got %v, want rule readers-changed", err)
	}
	d.Label = tlp.Green
	if sent, err := c.Send(ctx, d, strings.NewReader("a word")); err != nil || sent.ID == nil {
		t.Errorf("as shown: got %+v, %v", sent, err)
	}
	if v, err := c.Preview(ctx, Draft{To: "community"}); err != nil || v.Digest != nil {
		t.Errorf("a preview without a label: got digest %v, %v", v.Digest, err)
	}
}

// The log is read from an index on, and nothing is erased from it without a name and a reason.
func TestAuditErase(t *testing.T) {
	n, home := newNode(t, false)
	c := Local(n, home)
	defer c.Close()
	ctx := t.Context()
	for range 3 { // refused, and kept
		if _, err := c.Send(ctx, Draft{To: "community", Label: tlp.Red}, strings.NewReader("a word")); !errors.Is(err, &Error{Code: Refused}) {
			t.Fatalf("RED to the community: got %v", err)
		}
	}
	all := auditRecords(t, c, 0)
	if len(all) < 3 {
		t.Fatalf("got %d records, want 3", len(all))
	}
	if got := auditRecords(t, c, all[1].Index); len(got) != len(all)-1 || got[0].Index != all[1].Index {
		t.Errorf("from the second on: got %+v", got)
	}
	id := protocol.Hash{1}.String()
	for name, err := range map[string]error{
		"no reason":   second(c.AuditErase(ctx, id, "Ada", " ")),
		"long reason": second(c.AuditErase(ctx, id, "Ada", strings.Repeat("x", MaxEraseReason+1))),
		"nobody":      second(c.AuditErase(ctx, id, "", "asked for")),
	} {
		if !errors.Is(err, &Error{Code: Usage}) {
			t.Errorf("%s: got %v, want code %s", name, err, Usage)
		}
	}
	if got := auditRecords(t, c, 0); len(got) != len(all) {
		t.Errorf("got %d records, want %d as before", len(got), len(all))
	}
}

func auditRecords(t *testing.T, c *Client, from uint64) []AuditRecord {
	t.Helper()
	var out []AuditRecord
	if err := c.AuditLog(t.Context(), from, time.Time{}, func(r AuditRecord) error { out = append(out, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}
