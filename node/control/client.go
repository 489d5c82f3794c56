package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A Client speaks with one node. It may be used by several goroutines. Its errors are those of the node, as [*Error], or
// those of the connection.
type Client struct {
	http  *http.Client
	close func() error
}

// Dial returns a client of the node that runs for the home, or ErrNotRunning.
func Dial(home string) (*Client, error) {
	c, err := dialHome(home)
	if err != nil {
		return nil, err
	}
	c.Close()
	return newClient(func(context.Context, string, string) (net.Conn, error) { return dialHome(home) }, nil), nil
}

func newClient(dial func(context.Context, string, string) (net.Conn, error), closing func() error) *Client {
	t := &http.Transport{DialContext: dial, DisableCompression: true, MaxIdleConns: 2, MaxResponseHeaderBytes: maxHeader}
	return &Client{http: &http.Client{Transport: t}, close: closing}
}

// Close ends the client's connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	if c.close != nil {
		return c.close()
	}
	return nil
}

// Status returns how the node is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Introduction returns this team's introduction as text.
func (c *Client) Introduction(ctx context.Context) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/introduction", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 2*protocol.MaxBundle))
}

// AddTeam takes in an introduction that a person handed over. by is who says so.
func (c *Client) AddTeam(ctx context.Context, introduction []byte, by string) (*Team, error) {
	return post[Team](ctx, c, "/v1/teams", url.Values{"by": {by}}, bytes.NewReader(introduction))
}

// Teams calls fn with each known team, this one included, in the order of names.
func (c *Client) Teams(ctx context.Context, fn func(Team) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/teams", nil, fn)
}

// Responsible calls fn with each team that claims the address, prefix, domain, ASN or country, the best claim first.
func (c *Client) Responsible(ctx context.Context, query string, fn func(Team) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/responsible", url.Values{"q": {query}}, fn)
}

// Team returns one team by its name or the beginning of its id.
func (c *Client) Team(ctx context.Context, nameOrPrefix string) (*Team, error) {
	return get[Team](ctx, c, "/v1/teams/"+url.PathEscape(nameOrPrefix), nil)
}

// VerifyTeam records that a person compared the fingerprint. attest is the signed attestation for others, or nil.
func (c *Client) VerifyTeam(ctx context.Context, id protocol.TeamID, digits, method, by string, attest []byte) (*Team, error) {
	return post[Team](ctx, c, "/v1/teams/"+id.String()+"/verify", nil,
		jsonBody(verifyRequest{Fingerprint: digits, Method: method, By: by, Attest: attest}))
}

type verifyRequest struct {
	Fingerprint string `json:"fingerprint"`
	Method      string `json:"method"`
	By          string `json:"by"`
	Attest      []byte `json:"attest,omitempty"`
}

// BlockTeam ends all exchange with a team.
func (c *Client) BlockTeam(ctx context.Context, id protocol.TeamID, by string) (*Team, error) {
	return post[Team](ctx, c, "/v1/teams/"+id.String()+"/block", url.Values{"by": {by}}, nil)
}

// UnblockTeam takes a block back.
func (c *Client) UnblockTeam(ctx context.Context, id protocol.TeamID, by string) (*Team, error) {
	return post[Team](ctx, c, "/v1/teams/"+id.String()+"/unblock", url.Values{"by": {by}}, nil)
}

// Own returns this team's own records.
func (c *Client) Own(ctx context.Context) (*Own, error) { return get[Own](ctx, c, "/v1/own", nil) }

// AddOwn hands over finished records of a ceremony: all or none are taken in, stored and spread.
func (c *Client) AddOwn(ctx context.Context, records ...*protocol.Envelope) error {
	var req rawRecords
	for _, e := range records {
		req.Records = append(req.Records, e.Encode())
	}
	_, err := post[struct{}](ctx, c, "/v1/own", nil, jsonBody(req))
	return err
}

// rawRecords are records in their wire form, signed or not.
type rawRecords struct {
	Records [][]byte `json:"records"`
}

// CutoffDrafts returns the cut-offs, not yet signed, by which stands what this node holds of another node of its team: one of
// what it said to the community, and one for each team to which it spoke alone. There is none if it never spoke.
func (c *Client) CutoffDrafts(ctx context.Context, node protocol.KID) ([]*protocol.Cutoff, error) {
	raw, err := get[rawRecords](ctx, c, "/v1/node/"+node.String()+"/cutoff", nil)
	if err != nil {
		return nil, err
	}
	return Cutoffs(raw.Records)
}

// Cutoffs reads the wire form of cut-offs that are not signed yet.
func Cutoffs(raws [][]byte) ([]*protocol.Cutoff, error) {
	var out []*protocol.Cutoff
	for _, b := range raws {
		if len(b) == 0 {
			continue
		}
		var c protocol.Cutoff
		if err := protocol.Unmarshal(b, &c); err != nil {
			return nil, err
		}
		out = append(out, &c)
	}
	return out, nil
}

// OwnAttestations returns what this team attests of others.
func (c *Client) OwnAttestations(ctx context.Context) ([]*protocol.Attest, error) {
	raw, err := get[rawRecords](ctx, c, "/v1/own/attestations", nil)
	if err != nil {
		return nil, err
	}
	var out []*protocol.Attest
	for _, b := range raw.Records {
		var a protocol.Attest
		if err := protocol.Unmarshal(b, &a); err != nil {
			return nil, err
		}
		out = append(out, &a)
	}
	return out, nil
}

// ReplaceNode makes new keys for this node. It takes them at its next start, once an officer listed them in a manifest.
func (c *Client) ReplaceNode(ctx context.Context) (*Replacement, error) {
	return post[Replacement](ctx, c, "/v1/node/replace", nil, nil)
}

// Preview says who would be able to read, and whether policy allows it, as far as can be told without the content.
func (c *Client) Preview(ctx context.Context, d Draft) (*Sent, error) {
	return post[Sent](ctx, c, "/v1/preview", d.values(), nil)
}

// Send publishes one message. The content is read twice, to its end: for its hash, and to hand it over; it must not change
// meanwhile. When Send returns, the message is signed and safely stored.
func (c *Client) Send(ctx context.Context, d Draft, content io.ReadSeeker) (*Sent, error) {
	h := sha256.New()
	var err error
	if d.size, err = io.Copy(h, content); err != nil {
		return nil, err
	}
	if d.size > protocol.MaxBlob {
		return nil, usagef("a document of %d bytes: at most %d can be sent", d.size, protocol.MaxBlob)
	}
	d.hash = protocol.Hash(h.Sum(nil))
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	resp, err := c.request(ctx, http.MethodPost, "/v1/messages", d.values(), io.LimitReader(content, d.size), d.size)
	if err != nil {
		return nil, err
	}
	return decode[Sent](resp)
}

func (d Draft) values() url.Values {
	v := url.Values{"to": {d.To}}
	if d.Label.Valid() {
		v.Set("tlp", d.Label.String())
	}
	if d.Urgent {
		v.Set("urgent", "true")
	}
	if d.Name != "" {
		v.Set("name", d.Name)
	}
	if !d.Supersedes.IsZero() {
		v.Set("supersedes", d.Supersedes.String())
	}
	for _, id := range d.Refs {
		v.Add("ref", id.String())
	}
	for _, id := range d.Sources {
		v.Add("source", id.String())
	}
	if !d.Expect.IsZero() {
		v.Set("expect", d.Expect.String())
	}
	if d.As != "" {
		v.Set("as", d.As)
	}
	if d.DryRun {
		v.Set("dry_run", "true")
	}
	if !d.hash.IsZero() {
		v.Set("sha256", d.hash.String())
	}
	return v
}

// Inbox calls fn with each message that the query selects, the newest last.
func (c *Client) Inbox(ctx context.Context, q Query, fn func(Message) error) error {
	v := url.Values{}
	if q.Label.Valid() {
		v.Set("tlp", q.Label.String())
	}
	if q.From != "" {
		v.Set("from", q.From)
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if q.After > 0 {
		v.Set("after", strconv.FormatUint(q.After, 10))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return stream(ctx, c, http.MethodGet, "/v1/messages", v, fn)
}

// Search calls fn with the messages in which all words and indicators occur, the newest last.
func (c *Client) Search(ctx context.Context, words string, limit int, fn func(Message) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/search", url.Values{"q": {words}, "limit": {strconv.Itoa(limit)}}, fn)
}

// Watch calls fn with each message as it arrives, those after the arrival number first. It returns when ctx or the node
// ends, or fn fails.
func (c *Client) Watch(ctx context.Context, after uint64, fn func(Message) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/watch", url.Values{"after": {strconv.FormatUint(after, 10)}}, fn)
}

// Message returns one message by its id or the beginning of it.
func (c *Client) Message(ctx context.Context, idOrPrefix string) (*Message, error) {
	return get[Message](ctx, c, "/v1/messages/"+url.PathEscape(idOrPrefix), nil)
}

// Body writes a message's content to w: its exact original bytes, or an error.
func (c *Client) Body(ctx context.Context, id protocol.Hash, w io.Writer) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/messages/"+id.String()+"/body", nil, nil)
	if err != nil {
		return err
	}
	return copyWhole(w, resp)
}

// Fsck checks everything stored. With repair, damaged values are removed, so that they are fetched again. progress, which
// may be nil, gets the number of values seen.
func (c *Client) Fsck(ctx context.Context, repair bool, progress func(values uint64)) (*FsckReport, error) {
	var report *FsckReport
	err := stream(ctx, c, http.MethodPost, "/v1/fsck", url.Values{"repair": {strconv.FormatBool(repair)}}, func(l fsckLine) error {
		if l.Report != nil {
			report = l.Report
		} else if progress != nil {
			progress(l.Values)
		}
		return nil
	})
	if err == nil && report == nil {
		err = errors.New("the node ended before the check did: run it again")
	}
	return report, err
}

// Backup writes the whole home, but for the unlock secret and the guard file, to w as a plain stream, which the caller
// seals.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.do(ctx, http.MethodPost, "/v1/backup", nil, nil)
	if err != nil {
		return err
	}
	return copyWhole(w, resp)
}

// Doctor looks for what may be wrong, with one team or, if none is named, at all.
func (c *Client) Doctor(ctx context.Context, team string, fn func(Finding) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/doctor", url.Values{"team": {team}}, fn)
}

// copyWhole copies an answer of raw bytes and makes sure that it is whole.
func copyWhole(w io.Writer, resp *http.Response) error {
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the answer was cut: %w", err)
	}
	if t := resp.Trailer.Get(errorTrailer); t != "" {
		return readError(http.StatusInternalServerError, []byte(t))
	}
	return nil
}

func jsonBody(v any) io.Reader {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the request types of this package always encode
	}
	return bytes.NewReader(b)
}

// do sends one request. A status other than 200 is returned as an error.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Response, error) {
	return c.request(ctx, method, path, q, body, -1)
}

// request is do with a body of known size; -1: the size shows from the body's type, or is not known.
func (c *Client) request(ctx context.Context, method, path string, q url.Values, body io.Reader, size int64) (*http.Response, error) {
	u := "http://node" + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	if size >= 0 {
		req.ContentLength = size
		if size == 0 {
			req.Body = http.NoBody
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error // its text is the URL, which says nothing to a person
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if errors.Is(err, ErrNotRunning) {
			return nil, ErrNotRunning
		}
		return nil, fmt.Errorf("talking to the node: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return nil, readError(resp.StatusCode, b)
	}
	return resp, nil
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (*T, error) {
	return one[T](ctx, c, http.MethodGet, path, q, nil)
}

func post[T any](ctx context.Context, c *Client, path string, q url.Values, body io.Reader) (*T, error) {
	return one[T](ctx, c, http.MethodPost, path, q, body)
}

func one[T any](ctx context.Context, c *Client, method, path string, q url.Values, body io.Reader) (*T, error) {
	resp, err := c.do(ctx, method, path, q, body)
	if err != nil {
		return nil, err
	}
	return decode[T](resp)
}

func decode[T any](resp *http.Response) (*T, error) {
	defer resp.Body.Close()
	var v T
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&v); err != nil {
		return nil, fmt.Errorf("the node's answer is not understood: %w", err)
	}
	return &v, nil
}

func stream[T any](ctx context.Context, c *Client, method, path string, q url.Values, fn func(T) error) error {
	resp, err := c.do(ctx, method, path, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return readLines(resp.Body, fn)
}
