package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A SealedMessage is what a person needs to open RED content with an identity of their own: the node cannot.
type SealedMessage struct {
	ID        protocol.Hash
	Statement *protocol.Statement
	Content   []byte // sealed to the persons of the statement's audience
	BlobSize  int64  // bytes of the body's ciphertext, where it travels apart; 0 if it does not
}

type sealedAnswer struct {
	ID        protocol.Hash `json:"id"`
	Statement []byte        `json:"statement"` // in its wire form, Content included
	BlobSize  int64         `json:"blob_size,omitempty"`
}

// A Receipt says what became of one of this team's messages at one team. State is sent, stored, opened, held or cannot-open.
type Receipt struct {
	Team   protocol.TeamID `json:"team"`
	Name   string          `json:"name"` // of the team
	State  string          `json:"state"`
	Person string          `json:"person,omitempty"` // who opened RED content
	Rule   string          `json:"rule,omitempty"`   // by which it is held back there
	At     *time.Time      `json:"at,omitempty"`
}

// Sealed returns what is sealed to persons of one RED message.
func (c *Client) Sealed(ctx context.Context, id protocol.Hash) (*SealedMessage, error) {
	a, err := get[sealedAnswer](ctx, c, "/v1/messages/"+id.String()+"/sealed", nil)
	if err != nil {
		return nil, err
	}
	var st protocol.Statement
	if err := protocol.Unmarshal(a.Statement, &st); err != nil {
		return nil, fmt.Errorf("the node's answer is not understood: %w", err)
	}
	return &SealedMessage{ID: a.ID, Statement: &st, Content: st.Content, BlobSize: a.BlobSize}, nil
}

// SealedBlob returns the ciphertext of a RED message's body, of the size that SealedMessage names. It may be read from any
// place; the caller closes it.
func (c *Client) SealedBlob(ctx context.Context, id protocol.Hash, size int64) io.ReadSeekCloser {
	return &remoteBlob{ctx: ctx, c: c, path: "/v1/messages/" + id.String() + "/blob", size: size}
}

// Opened tells the node that a person opened RED content: it keeps that in the disclosure log, and tells the author.
func (c *Client) Opened(ctx context.Context, id protocol.Hash, person string) error {
	_, err := post[struct{}](ctx, c, "/v1/messages/"+id.String()+"/opened", url.Values{"person": {person}}, nil)
	return err
}

// Receipts calls fn with what became of one of this team's messages, at each team at least once.
func (c *Client) Receipts(ctx context.Context, id protocol.Hash, fn func(Receipt) error) error {
	return stream(ctx, c, http.MethodGet, "/v1/messages/"+id.String()+"/receipts", nil, fn)
}

// A remoteBlob reads bytes that the node keeps. It asks for them where the reading is.
type remoteBlob struct {
	ctx  context.Context
	c    *Client
	path string
	size int64
	at   int64
	open io.ReadCloser // gives the bytes from at on; nil: not asked for yet
}

// Read implements io.Reader.
func (b *remoteBlob) Read(p []byte) (int, error) {
	if b.at >= b.size {
		return 0, io.EOF
	}
	if b.open == nil {
		resp, err := b.c.do(b.ctx, http.MethodGet, b.path, url.Values{"offset": {strconv.FormatInt(b.at, 10)}}, nil)
		if err != nil {
			return 0, err
		}
		b.open = resp.Body
	}
	n, err := b.open.Read(p)
	b.at += int64(n)
	if errors.Is(err, io.EOF) && b.at < b.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("the answer was cut: %w", err)
	}
	return n, err
}

// Seek implements io.Seeker.
func (b *remoteBlob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("a place before the beginning")
	}
	if offset != b.at {
		if err := b.Close(); err != nil {
			return 0, err
		}
		b.at = offset
	}
	return offset, nil
}

// Close implements io.Closer.
func (b *remoteBlob) Close() error {
	if b.open == nil {
		return nil
	}
	err := b.open.Close()
	b.open = nil
	return err
}

func (s *Server) sealed(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	v, err := s.n.Sealed(id)
	if err != nil {
		return err
	}
	if v.Blob != nil {
		defer v.Blob.Close()
	}
	out := sealedAnswer{ID: id, BlobSize: int64(v.BlobSize)}
	if out.Statement, err = protocol.Marshal(v.Statement); err != nil {
		return err
	}
	return writeJSON(w, out)
}

func (s *Server) sealedBlob(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	at, err := number(r.FormValue("offset"))
	if err != nil {
		return usagef("offset: %v", err)
	}
	v, err := s.n.Sealed(id)
	if err != nil {
		return err
	}
	if v.Blob == nil {
		return &Error{Code: NotFound, Text: fmt.Sprintf("no content of message %s lies apart from it, or it has not arrived whole yet", id.Short())}
	}
	defer v.Blob.Close()
	size := uint64(v.BlobSize)
	if at > size {
		return usagef("offset %d of %d bytes", at, size)
	}
	if _, err := v.Blob.Seek(int64(at), io.SeekStart); err != nil {
		return err
	}
	w.Header().Set("Content-Type", typeBytes)
	w.Header().Set("Content-Length", strconv.FormatUint(size-at, 10))
	if _, err := copySteadily(w, v.Blob); err != nil {
		s.log.Debug("a message's sealed content was not taken whole", "id", id.Short(), "err", err)
		panic(http.ErrAbortHandler) // the client sees fewer bytes than announced
	}
	return nil
}

func (s *Server) opened(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	if err := s.n.Opened(r.Context(), id, r.FormValue("person")); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

func (s *Server) receipts(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	rs, err := s.n.Receipts(id)
	if err != nil {
		return err
	}
	l := newLineWriter(w)
	for _, v := range rs {
		if l.write(Receipt{Team: v.Team, Name: v.TeamName, State: v.State, Person: v.Person, Rule: v.Rule, At: whenPtr(v.At)}) != nil {
			return nil
		}
	}
	l.finish(nil)
	return nil
}
