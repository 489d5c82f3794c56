package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/content"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// A Draft is what a person wants to send, beside the document itself.
type Draft struct {
	Audience   string          // community, team:TEAM[,TEAM], person:TEAM/NAME[,TEAM/NAME], agreement:AGREEMENT, room:ROOM
	Label      tlp.Label       // asked for by the person; Unset: the document's own
	Urgent     bool            // goes first
	Name       string          // the file's base name, may be empty
	Size       int64           // bytes of the document; -1: unknown, at most protocol.MaxInline are taken
	Hash       protocol.Hash   // SHA-256 of the document; needed above protocol.MaxInline
	Supersedes protocol.Hash   // the statement that this one corrects
	Refs       []protocol.Hash // statements that this one is about
	Sources    []protocol.Hash // statements that this one is derived from: it takes their strictest label
	Expect     protocol.Hash   // Sent.Digest of the preview that a person agreed to; zero: none was shown
	As         string          // of RED: an operator of this team who shall be able to read it back
	DryRun     bool            // judge and list readers, send nothing
}

// Sent says what was sent, or with Draft.DryRun would be.
type Sent struct {
	ID       protocol.Hash // zero in a dry run
	Label    tlp.Label
	Audience AudienceView
	Title    string
	Format   string
	Readers  []Reader
	Notes    []string // what else a sender should know
	// Digest names exactly whom and which keys this goes to, so that what is sent is what was shown.
	Digest protocol.Hash
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
	n.mu.RLock()
	to, err := n.target(d.Audience)
	n.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	doc, err := n.readDocument(to.kind == protocol.Community, d, body)
	if err != nil {
		return nil, err
	}
	defer doc.discard()
	sources, err := n.sources(d.Sources)
	if err != nil {
		return nil, err
	}
	label, dec := trust.ChooseLabel(d.Label, doc.info.Label, trust.Derive(sources))
	if !dec.Allowed {
		return nil, n.refuseSend(d, max(doc.info.Label, d.Label, trust.Derive(sources)), dec)
	}
	kind := protocol.KindMessage
	if !d.Supersedes.IsZero() {
		kind = protocol.KindCorrection
		if dec, err := n.mayCorrect(d.Supersedes, label); err != nil {
			return nil, err
		} else if !dec.Allowed {
			return nil, n.refuseSend(d, label, dec)
		}
	}
	st := &protocol.Statement{Kind: kind, Label: label, Urgent: d.Urgent, Supersedes: d.Supersedes, Refs: d.Refs, Sources: d.Sources}
	if to.kind == protocol.InRoom { // for a preview too: what is refused then is not sent a moment later
		n.catchUpInRoom(ctx, to.room.ID, label)
	}
	sent, persons, err := n.address(st, to, d.As, d.Expect, sources, !d.DryRun)
	if err != nil {
		return nil, err
	}
	sent.Title, sent.Format = doc.info.Title, string(doc.info.Format)
	if d.DryRun {
		return sent, nil
	}
	if err := n.readyToSign(ctx); err != nil {
		return nil, err
	}
	if _, err := rand.Read(st.Salt[:]); err != nil {
		return nil, err
	}
	st.Title, st.Body = doc.info.Title, doc.body
	if err := doc.keep(n, st); err != nil {
		return nil, err
	}
	if label == tlp.Red {
		if err := n.sealContent(st, persons); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err // who asked for it is gone; nothing was signed
	}
	if sent.ID, err = n.say(ctx, st); err != nil {
		return nil, err
	}
	return sent, nil
}

// refuseSend logs that something was not sent, and returns why.
func (n *Node) refuseSend(d Draft, l tlp.Label, dec trust.Decision) error {
	if d.DryRun {
		return refused(dec)
	}
	return errors.Join(refused(dec), n.record(n.disclosures(trust.Compose.String(), protocol.Hash{}, nil, l, dec)...))
}

// address decides on everybody who would read the statement, and gives it its audience. It returns what a person is told, and
// the recipients of the persons of RED. With record, decisions on what is stricter than GREEN are logged.
func (n *Node) address(st *protocol.Statement, to target, as string, expect protocol.Hash, sources []*protocol.Statement, record bool) (*Sent, []string, error) {
	n.mu.RLock()
	aud, dec := n.book.Address(to.addressees(), st.Label, as)
	if to.kind == protocol.InRoom { // its epoch is chosen when it is signed
		aud, dec = protocol.Audience{Kind: protocol.InRoom, Room: to.room.ID, Charter: to.room.CharterID}, trust.Decision{Allowed: true}
		if as != "" {
			dec = trust.Decision{Rule: "person-red", Reason: "only TLP:RED is sealed to persons, and it goes to no room"}
		}
	}
	st.Audience = aud
	sent := &Sent{Label: st.Label, Audience: n.audienceView(n.team, aud), Notes: n.notes(st, to)}
	var persons []string
	var err error
	if dec.Allowed {
		sent.Readers, dec = n.readers(st, to)
	}
	if dec.Allowed {
		dec = trust.MayDerive(sources, aud, n.team)
	}
	if dec.Allowed {
		persons, err = n.personKeys(aud)
	}
	if sent.Digest = n.readersDigest(st); dec.Allowed && err == nil && !expect.IsZero() && expect != sent.Digest {
		dec = trust.Decision{Rule: "readers-changed", Reason: "who would read it, or with which keys, is not what was shown any more"}
	}
	n.mu.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	if !dec.Allowed {
		if record {
			err = n.record(n.disclosures(trust.Compose.String(), protocol.Hash{}, aud.Teams, st.Label, dec)...)
		}
		return nil, nil, errors.Join(refused(dec), err)
	}
	return sent, persons, nil
}

// sources returns the statements that a message is derived from, as they are held here.
func (n *Node) sources(ids []protocol.Hash) ([]*protocol.Statement, error) {
	var out []*protocol.Statement
	for _, id := range ids {
		m, err := n.st.Message(id)
		if err != nil || m.Held != "" {
			return nil, fmt.Errorf("source %s: %w", id.Short(), ErrNotFound)
		}
		out = append(out, m.Statement)
	}
	return out, nil
}

func refused(d trust.Decision) error {
	return &RefusedError{Rule: d.Rule, Reason: d.Reason, Hint: hints[d.Rule]}
}

// hints say what a person can do about a rule.
var hints = map[string]string{
	"unlabelled":        "give one with --tlp",
	"label-loosened":    "leave --tlp away, or give a stricter one",
	"community-ceiling": "the community gets CLEAR and GREEN: name the teams with --to team:TEAM, or --to agreement:AGREEMENT",
	"readers-changed":   "look at it once more, and send it again",
	"person-red":        "give --tlp RED, or send it to the team",
	"room-ceiling":      "send it to single teams, or for TLP:RED to persons: --to person:TEAM/NAME",
	"not-fresh":         "wait until members of the room can be reached: entente status; entente room show",
	"no-operators":      "ask the team to name its people: entente operator add; then exchange introductions anew, or wait until it spreads",
}

// readers lists the teams that the statement would reach, or says which rule refuses it. To a named team that may not have it,
// nobody gets it. n.mu is held for reading.
func (n *Node) readers(st *protocol.Statement, to target) ([]Reader, trust.Decision) {
	dec := trust.Decide(n.question(trust.Compose, st, n.team))
	if !dec.Allowed {
		return nil, dec
	}
	if to.kind == protocol.InRoom {
		n.withRooms(func(rs *trust.Rooms) { dec = rs.MaySpeak(to.room.ID, st.Label, n.rooms.met[to.room.ID], n.now()) })
		if !dec.Allowed {
			return nil, dec
		}
		return n.roomReaders(to.room.ID), dec
	}
	teams := to.teams
	if to.kind == protocol.Community {
		teams = n.book.Teams(n.now())
	}
	var out []Reader
	for _, t := range teams {
		if t.ID == n.team {
			continue
		}
		d := trust.Decide(n.question(trust.Compose, st, t.ID))
		switch {
		case d.Allowed:
		case to.kind == protocol.Community:
			continue
		default:
			d.Reason = t.Name + ": " + d.Reason
			return nil, d
		}
		r := n.reader(t, st.Audience)
		if to.kind != protocol.Community && r.Nodes == 0 {
			return nil, trust.Decision{Rule: "no-recipient", Reason: t.Name + " names no key of a node to which this could be sealed"}
		}
		out = append(out, r)
	}
	if own := n.reader(trust.Team{ID: n.team, Name: "this team"}, st.Audience); len(own.Persons) > 0 {
		own.Self = true
		out = append(out, own)
	}
	return out, dec
}

// readersDigest is over label and audience, and over the keys of nodes to which a statement for single teams is sealed. n.mu is
// held for reading.
func (n *Node) readersDigest(st *protocol.Statement) protocol.Hash {
	parts := [][]byte{{byte(st.Label), byte(st.Audience.Kind)}, st.Audience.Agreement[:]}
	for _, t := range st.Audience.Teams {
		parts = append(parts, t[:])
		for _, to := range n.book.RecipientsOf(t) {
			key := protocol.RecipientHash(to.Recipient)
			parts = append(parts, key[:])
		}
	}
	for _, p := range st.Audience.Persons {
		parts = append(parts, p.Team[:], p.Key[:])
	}
	if room := st.Audience.Room; !room.IsZero() {
		parts = append(parts, room[:], st.Audience.Charter[:])
		n.withRooms(func(rs *trust.Rooms) {
			for _, r := range rs.Readers(room, n.now()) {
				parts = append(parts, r.Node[:])
			}
		})
	}
	return protocol.Sum("entente/v1/readers", parts...)
}

// reader describes one team that will read. n.mu is held for reading.
func (n *Node) reader(t trust.Team, a protocol.Audience) Reader {
	r := Reader{ID: t.ID, Name: t.Name}
	sealed := map[protocol.KID]bool{}
	for _, to := range n.book.RecipientsOf(t.ID) {
		sealed[to.Node] = true
	}
	for _, info := range n.book.Nodes(t.ID) {
		if info.Revoked || a.Kind != protocol.Community && !sealed[info.Node.Key.ID()] {
			continue
		}
		r.Nodes++
		if n.connectedPeer(info.Node.Peer) {
			r.Connected++
		}
	}
	for _, p := range a.Persons {
		if p.Team == t.ID {
			r.Persons = append(r.Persons, p.Name)
		}
	}
	return r
}

// notes are what a sender should know beyond the list of readers. n.mu is held for reading.
func (n *Node) notes(st *protocol.Statement, to target) []string {
	if to.kind == protocol.InRoom {
		return n.roomNotes(to.room.ID, st.Label)
	}
	var out []string
	switch {
	case to.kind == protocol.Community && st.Label == tlp.Green:
		out = append(out, "these teams may pass GREEN on within their own communities")
	case st.Label == tlp.Red && !slices.ContainsFunc(st.Audience.Persons, func(p protocol.Person) bool { return p.Team == n.team }):
		out = append(out, "nobody of this team will be able to read it back: name one with --as")
	case st.Label == tlp.Amber && to.agreement.Agreement != nil && to.agreement.Agreement.Onward == protocol.OnwardNone:
		out = append(out, "the agreement keeps it within the receiving team, though AMBER alone would let its constituents have it")
	case st.Label == tlp.Amber:
		out = append(out, "AMBER lets each of these teams inform those of its constituents who need to know")
	}
	return out
}

// mayCorrect judges a correction: only of this team's own statement, and not wider than it.
func (n *Node) mayCorrect(id protocol.Hash, l tlp.Label) (trust.Decision, error) {
	old, err := n.st.Message(id)
	if err != nil {
		return trust.Decision{}, fmt.Errorf("message %s: %w", id.Short(), ErrNotFound)
	}
	return trust.MayCorrect(old.Statement, n.team, l), nil
}

// A document is what Send read: its description, and its bytes in memory, in the store, or sealed in a file.
type document struct {
	info content.Info
	body protocol.Body
	blob blobWriter // of a large one for the community
	kept bool
	out  *sealedFile // of a large one for anybody else
}

type blobWriter interface {
	io.Writer
	Commit() error
	Abort() error
}

// readDocument reads the document once: label, title and hash are taken from the same bytes that are kept. A large one is
// never in the clear on the disk: for the community it goes to the store chunk by chunk, for others it is sealed on the way.
func (n *Node) readDocument(open bool, d Draft, r io.Reader) (*document, error) {
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
	if d.Size > maxDocument {
		return nil, fmt.Errorf("a document of %d bytes: at most %d", d.Size, maxDocument)
	}
	ref := protocol.BlobRef{Size: uint64(d.Size), Hash: d.Hash}
	doc.body = protocol.Body{Name: name, Size: ref.Size, Hash: ref.Hash}
	all := io.Reader(io.MultiReader(bytes.NewReader(head), r))
	switch {
	case d.DryRun:
		all = io.LimitReader(all, d.Size+1)
	case open:
		w, err := n.st.StageBlob(ref, protocol.Channel{}.Tag())
		if err != nil {
			return nil, err
		}
		doc.blob = w
		all = io.TeeReader(all, &keeper{w: w, skip: w.Have()})
	default:
		if doc.out, err = n.newSealedFile(ref.Size); err != nil {
			return nil, err
		}
		doc.body.Key = doc.out.key.Secret()
		all = io.TeeReader(all, doc.out)
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
	doc.body.Format = string(doc.info.Format)
	return doc, nil
}

// maxDocument leaves room for what sealing adds to the blob.
const maxDocument = protocol.MaxBlob / 8 * 7

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
func (d *document) keep(n *Node, st *protocol.Statement) error {
	var err error
	switch {
	case d.blob != nil:
		err = d.blob.Commit()
		d.kept = err == nil
	case d.out != nil:
		st.Blob, err = d.out.keep(n, n.channels(st)[0].Tag())
	}
	if err != nil {
		return fmt.Errorf("keeping the document: %w", err)
	}
	return nil
}

func (d *document) discard() {
	if d.blob != nil && !d.kept {
		_ = d.blob.Abort()
	}
	if d.out != nil {
		d.out.remove()
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
