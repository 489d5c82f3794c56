package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/content"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// A Draft is what a person wants to send, beside the document itself.
type Draft struct {
	Audience   string        // "community"
	Label      tlp.Label     // asked for by the person; Unset: the document's own
	Urgent     bool          // goes first
	Name       string        // the file's base name, may be empty
	Size       int64         // bytes of the document; -1: unknown, at most protocol.MaxInline are taken
	Hash       protocol.Hash // SHA-256 of the document; needed above protocol.MaxInline
	Supersedes protocol.Hash // the statement that this one corrects
	DryRun     bool          // judge and list readers, send nothing
}

// A Reader is a team that will be able to read a message, and by how many nodes.
type Reader struct {
	ID        protocol.TeamID
	Name      string
	Nodes     int
	Connected int
}

// Sent says what was sent, or with Draft.DryRun would be.
type Sent struct {
	ID       protocol.Hash // zero in a dry run
	Label    tlp.Label
	Audience string
	Title    string
	Format   string
	Readers  []Reader
}

// A RefusedError says that a rule forbids what was asked; nothing was changed.
type RefusedError struct {
	Rule   string // short and stable
	Reason string
	Hint   string // what to do next, may be empty
	Err    error
}

func (e *RefusedError) Error() string { return "refused: " + e.Reason + " (rule " + e.Rule + ")" }
func (e *RefusedError) Unwrap() error { return e.Err }

// Send publishes one document under its label. It returns once the message is stored durably and handed to the network;
// teams that are away get it when they come back. The document is read once.
func (n *Node) Send(ctx context.Context, d Draft, body io.Reader) (*Sent, error) {
	aud, err := n.audience(d.Audience)
	if err != nil {
		return nil, err
	}
	doc, err := n.readDocument(aud, d, body)
	if err != nil {
		return nil, err
	}
	defer doc.discard()
	label, dec := trust.ChooseLabel(d.Label, doc.info.Label)
	if !dec.Allowed {
		return nil, refused(dec)
	}
	readers, dec := n.readers(aud, label)
	if !dec.Allowed {
		return nil, refused(dec)
	}
	kind := protocol.KindMessage
	if !d.Supersedes.IsZero() {
		kind = protocol.KindCorrection
		if dec, err := n.mayCorrect(d.Supersedes, label); err != nil {
			return nil, err
		} else if !dec.Allowed {
			return nil, refused(dec)
		}
	}
	sent := &Sent{Label: label, Audience: d.Audience, Title: doc.info.Title, Format: string(doc.info.Format), Readers: readers}
	if d.DryRun {
		return sent, nil
	}
	if err := n.readyToSign(ctx); err != nil {
		return nil, err
	}
	if err := doc.keep(); err != nil {
		return nil, err
	}
	st := &protocol.Statement{Kind: kind, Audience: aud, Label: label, Title: doc.info.Title, Urgent: d.Urgent,
		Supersedes: d.Supersedes, Body: doc.body}
	if _, err := rand.Read(st.Salt[:]); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err // who asked for it is gone; nothing was signed
	}
	raw, id, err := n.append(st)
	if err != nil {
		return nil, err
	}
	sent.ID = id
	n.tellSoon()
	if err := n.topic.Publish(ctx, raw, d.Urgent); err != nil {
		n.log.Warn("a message is stored, but was not published; colleagues will fetch it", "id", id.Short(), "err", err)
	}
	return sent, nil
}

func refused(d trust.Decision) error {
	return &RefusedError{Rule: d.Rule, Reason: d.Reason, Hint: hints[d.Rule]}
}

// hints say what a person can do about a rule.
var hints = map[string]string{
	"unlabelled":        "give one with --tlp",
	"label-loosened":    "leave --tlp away, or give a stricter one",
	"community-ceiling": "the community gets CLEAR and GREEN; send it to named teams, which a later version can",
}

func (n *Node) audience(s string) (protocol.Audience, error) {
	if s != "community" {
		return protocol.Audience{}, fmt.Errorf("unknown audience %.60q: this version sends to: community", s)
	}
	return protocol.Audience{Kind: protocol.Community}, nil
}

// readers lists the teams that a message of the label would reach, or says which rule refuses it.
func (n *Node) readers(aud protocol.Audience, l tlp.Label) ([]Reader, trust.Decision) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	dec := trust.Decide(trust.Question{Action: trust.Compose, Label: l, Audience: aud.Kind, Self: true})
	if !dec.Allowed {
		return nil, dec
	}
	var out []Reader
	for _, t := range n.book.Teams(n.now()) {
		if t.ID == n.team || !trust.Decide(trust.Question{Action: trust.Compose, Label: l, Audience: aud.Kind, Peer: t.State}).Allowed {
			continue
		}
		r := Reader{ID: t.ID, Name: t.Name}
		for _, info := range n.book.Nodes(t.ID) {
			if info.Revoked {
				continue
			}
			r.Nodes++
			if n.connectedPeer(info.Node.Peer) {
				r.Connected++
			}
		}
		out = append(out, r)
	}
	return out, dec
}

// mayCorrect judges a correction: only of this team's own statement, and not wider than it.
func (n *Node) mayCorrect(id protocol.Hash, l tlp.Label) (trust.Decision, error) {
	old, err := n.st.Message(id)
	if err != nil {
		return trust.Decision{}, fmt.Errorf("message %s: %w", id.Short(), ErrNotFound)
	}
	return trust.MayCorrect(old.Statement, n.team, l), nil
}

// A document is what Send read: its description, and its bytes in memory or in the store.
type document struct {
	info content.Info
	body protocol.Body
	blob blobWriter // nil for a small one
	kept bool
}

type blobWriter interface {
	io.Writer
	Commit() error
	Abort() error
}

// readDocument reads the document once: label, title and hash are taken from the same bytes that are kept. A large one
// goes to the store chunk by chunk, sealed.
func (n *Node) readDocument(aud protocol.Audience, d Draft, r io.Reader) (*document, error) {
	doc := &document{}
	head, err := io.ReadAll(io.LimitReader(r, protocol.MaxInline+1))
	if err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	name := cleanName(d.Name)
	if len(head) <= protocol.MaxInline {
		doc.info, err = content.Read(bytes.NewReader(head), name, nil)
		if err != nil {
			return nil, unreadable(err)
		}
		doc.body = protocol.Body{Format: string(doc.info.Format), Name: name, Size: uint64(len(head)), Hash: sha256.Sum256(head), Inline: head}
		return doc, nil
	}
	if d.Hash.IsZero() || d.Size <= protocol.MaxInline {
		return nil, fmt.Errorf("a document of over %d bytes needs its size and hash beforehand", protocol.MaxInline)
	}
	if d.Size > protocol.MaxBlob {
		return nil, fmt.Errorf("a document of %d bytes: at most %d", d.Size, protocol.MaxBlob)
	}
	ref := protocol.BlobRef{Size: uint64(d.Size), Hash: d.Hash}
	all := io.Reader(io.MultiReader(bytes.NewReader(head), r))
	if d.DryRun {
		all = io.LimitReader(all, d.Size+1)
	} else {
		w, err := n.st.StageBlob(ref, aud)
		if err != nil {
			return nil, err
		}
		doc.blob = w
		all = io.TeeReader(all, &keeper{w: w, skip: w.Have()})
	}
	sum := sha256.New()
	all = io.TeeReader(all, sum)
	doc.info, err = content.Read(all, name, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, all) // content may stop before the end, the store must not
	}
	var broken *content.Error
	switch {
	case errors.As(err, &broken):
		err = unreadable(err)
	case err != nil:
		err = fmt.Errorf("reading the document: %w", err)
	case protocol.Hash(sum.Sum(nil)) != d.Hash:
		err = errors.New("the document changed while it was read: its hash is not the one announced; send it again")
	}
	if err != nil {
		doc.discard()
		return nil, err
	}
	doc.body = protocol.Body{Format: string(doc.info.Format), Name: name, Size: ref.Size, Hash: ref.Hash}
	return doc, nil
}

func unreadable(err error) error {
	return &RefusedError{Rule: "marking", Reason: err.Error(), Err: err,
		Hint: "its markings could not be read for certain, so nothing was sent: mend the file, or pack it and give --tlp"}
}

// A keeper writes what the store does not have yet of a document: one that was refused or interrupted before, or that is
// held already, begins there with its first bytes.
type keeper struct {
	w    io.Writer
	skip uint64
}

func (k *keeper) Write(b []byte) (int, error) {
	n := min(uint64(len(b)), k.skip)
	k.skip -= n
	if n == uint64(len(b)) {
		return len(b), nil
	}
	m, err := k.w.Write(b[n:])
	return int(n) + m, err
}

// keep makes the bytes stay. What is discarded before it is not referred to by any message; the store removes it after a
// while, and goes on with it if the same document comes again.
func (d *document) keep() error {
	if d.blob == nil {
		return nil
	}
	if err := d.blob.Commit(); err != nil {
		return fmt.Errorf("keeping the document: %w", err)
	}
	d.kept = true
	return nil
}

func (d *document) discard() {
	if d.blob != nil && !d.kept {
		_ = d.blob.Abort()
	}
}

// ErrNotFound says that no message or team of that id is known here.
var ErrNotFound = errors.New("not found")

// cleanName returns the base name of a file, made harmless for people who save it elsewhere.
func cleanName(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		switch {
		case r == '/' || r == '\\':
			out = out[:0]
		case r < 0x20 || r == 0x7f || r == '�':
		default:
			out = append(out, r)
		}
	}
	name := string(out)
	for len(name) > 200 {
		name = name[:len(name)-1]
	}
	if name == "." || name == ".." {
		return ""
	}
	return string(bytes.ToValidUTF8([]byte(name), nil))
}
