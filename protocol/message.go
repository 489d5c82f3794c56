package protocol

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol/tlp"
)

// A Kind is what a statement does.
type Kind uint8

// The kinds of statement.
const (
	KindMessage    Kind = 1
	KindCorrection Kind = 2 // replaces the statement in Supersedes, of the same author
	KindReceipts   Kind = 3 // says what became of statements of the other team; for programs
	KindRecords    Kind = 4 // carries records that officers signed, for the other team alone; for programs
)

var kindNames = map[Kind]string{KindMessage: "message", KindCorrection: "correction", KindReceipts: "receipts", KindRecords: "records"}

// ForPeople reports whether statements of the kind carry a document that people read.
func (k Kind) ForPeople() bool { return k == KindMessage || k == KindCorrection }

// ControlLabel is the label of every statement that is not for people.
const ControlLabel = tlp.AmberStrict

// String returns the kind's name in the interface.
func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// An HLC is a hybrid logical clock: Unix milliseconds times 65,536 plus a counter. It orders a list for people; no decision
// but expiry and the wait of messages from the future depends on it.
type HLC uint64

// maxClock is the last reading at MaxTime.
const maxClock HLC = (MaxTime*1000+999)<<16 | 0xffff

// Next returns a clock reading after h at the time now.
func (h HLC) Next(now time.Time) HLC { return max(HLC(now.UnixMilli())<<16, h+1) }

// Time returns the wall-clock part.
func (h HLC) Time() time.Time { return time.UnixMilli(int64(h >> 16)).UTC() }

// A Statement is what a team says: signed by a node of the author over its exact audience and label.
type Statement struct {
	Author     TeamID    `cbor:"1,keyasint"`
	Node       KID       `cbor:"2,keyasint"`
	Salt       [16]byte  `cbor:"3,keyasint"` // random, so that an id does not confirm guessed content
	Clock      HLC       `cbor:"4,keyasint"`
	Kind       Kind      `cbor:"5,keyasint"`
	Audience   Audience  `cbor:"6,keyasint"`
	Label      tlp.Label `cbor:"7,keyasint"`
	Title      string    `cbor:"8,keyasint,omitempty"`
	Urgent     bool      `cbor:"9,keyasint,omitempty"`
	Supersedes Hash      `cbor:"10,keyasint,omitzero"`
	Refs       []Hash    `cbor:"11,keyasint,omitempty"` // statements that this one is about
	Sources    []Hash    `cbor:"12,keyasint,omitempty"` // statements that this one is derived from
	Body       Body      `cbor:"13,keyasint,omitzero"`
	Content    []byte    `cbor:"14,keyasint,omitempty"` // RED: what stands for Title and Body, sealed to the persons of Audience
	Blob       *BlobRef  `cbor:"15,keyasint,omitempty"` // the body's ciphertext, where it travels apart, sealed to a key of its own
	Receipts   []Receipt `cbor:"16,keyasint,omitempty"`
	Records    [][]byte  `cbor:"17,keyasint,omitempty"` // encoded envelopes
}

// A Body is a document, byte for byte. One of at most MaxInline bytes is inside; a larger one is fetched by its hash.
type Body struct {
	Format string `cbor:"1,keyasint"`           // as package content names it
	Name   string `cbor:"2,keyasint,omitempty"` // the file's base name
	Size   uint64 `cbor:"3,keyasint"`
	Hash   Hash   `cbor:"4,keyasint"` // SHA-256 of the bytes
	Inline []byte `cbor:"5,keyasint,omitempty"`
	Key    string `cbor:"6,keyasint,omitempty"` // opens the blob that the statement names, if its audience is not the community
}

// External reports whether the body travels as a blob.
func (b *Body) External() bool { return b.Size > MaxInline }

// fits reports whether the blob can be the sealed body: there is one if the body travels apart, and ciphertext is longer.
func (b *Body) fits(blob *BlobRef) bool {
	return b.External() == (blob != nil) && (blob == nil || blob.Size > b.Size)
}

func (*Statement) recordType() Type { return TypeStatement }
func (*Statement) slot() []byte     { return nil }

func (s *Statement) check() error {
	if s.Author.IsZero() || s.Node.IsZero() || s.Clock == 0 {
		return errors.New("author, node or clock is missing")
	}
	if _, ok := kindNames[s.Kind]; !ok {
		return fmt.Errorf("unknown kind of statement %d", s.Kind)
	}
	if (s.Kind == KindCorrection) == s.Supersedes.IsZero() {
		return errors.New("a correction, and only a correction, names what it supersedes")
	}
	if err := s.Audience.check(); err != nil {
		return err
	}
	if slices.Contains(s.Audience.Teams, s.Author) {
		return errors.New("the author's team is among the teams that it is for")
	}
	if s.Clock > maxClock {
		return errors.New("the clock is after the year 9999")
	}
	if !s.Label.Valid() {
		return errors.New("no TLP label")
	}
	if err := checkTitle(s.Title); err != nil {
		return err
	}
	if len(s.Refs) > MaxRefs || len(s.Sources) > MaxRefs {
		return fmt.Errorf("over %d references", MaxRefs)
	}
	if slices.Contains(s.Refs, Hash{}) || slices.Contains(s.Sources, Hash{}) {
		return errors.New("a reference to nothing")
	}
	if !s.Kind.ForPeople() {
		return s.checkControl()
	}
	return s.checkMessage()
}

// checkMessage checks a statement that people read. What is RED goes to named persons, of every team that it is for and of no
// other but the author's, and to nobody besides.
func (s *Statement) checkMessage() error {
	if len(s.Receipts) != 0 || len(s.Records) != 0 {
		return errors.New("a message for people with receipts or records")
	}
	if (s.Label == tlp.Red) != (len(s.Audience.Persons) > 0) {
		return errors.New("RED is for named persons, and only RED is")
	}
	for _, p := range s.Audience.Persons {
		if p.Team != s.Author && !slices.Contains(s.Audience.Teams, p.Team) {
			return errors.New("a person of a team that the statement is not for")
		}
	}
	if s.Label == tlp.Red {
		for _, t := range s.Audience.Teams {
			if !slices.ContainsFunc(s.Audience.Persons, func(p Person) bool { return p.Team == t }) {
				return errors.New("RED goes to a team of which it names no person")
			}
		}
		if s.Title != "" || !s.Body.isZero() || len(s.Content) == 0 {
			return errors.New("RED content is sealed to persons, its title included")
		}
		return s.Blob.check()
	}
	if len(s.Content) != 0 {
		return errors.New("sealed to persons, and not RED")
	}
	if err := s.Body.check(s.Audience.Kind != Community); err != nil {
		return err
	}
	if s.Audience.Kind == Community && s.Blob != nil || s.Audience.Kind != Community && !s.Body.fits(s.Blob) {
		return errors.New("the sealed blob is not the body's")
	}
	return s.Blob.check()
}

// checkControl checks a statement that programs read: it goes to one team and carries nothing but what its kind says.
func (s *Statement) checkControl() error {
	switch {
	case s.Audience.Kind != Direct || len(s.Audience.Teams) != 1 || len(s.Audience.Persons) != 0:
		return errors.New("receipts and records go to one team")
	case s.Label != ControlLabel:
		return fmt.Errorf("receipts and records are %s", ControlLabel)
	case s.Title != "" || s.Urgent || !s.Body.isZero() || len(s.Content) != 0 || s.Blob != nil || len(s.Refs) != 0 || len(s.Sources) != 0:
		return errors.New("receipts and records with something beside them")
	case (s.Kind == KindReceipts) != (len(s.Receipts) > 0), (s.Kind == KindRecords) != (len(s.Records) > 0):
		return errors.New("the kind does not say what is inside")
	case len(s.Receipts) > MaxReceipts, len(s.Records) > MaxCarried:
		return fmt.Errorf("%d receipts, %d records: at most %d, %d", len(s.Receipts), len(s.Records), MaxReceipts, MaxCarried)
	}
	for i := range s.Receipts {
		if err := s.Receipts[i].check(); err != nil {
			return err
		}
	}
	for _, r := range s.Records {
		e, err := DecodeEnvelope(r, MaxRecord)
		if err != nil {
			return err
		}
		if !slices.Contains(carried, e.Type) {
			return fmt.Errorf("a statement that carries a record of type %s: want one of %v", e.Type, carried)
		}
	}
	return nil
}

// carried are the types of the records that a statement may carry: what is between two teams, and spreads to nobody else.
var carried = []Type{TypeAgreement, TypeAgreementStatus, TypeCutoff}

func checkTitle(s string) error {
	if len(s) > MaxTitle {
		return fmt.Errorf("a title of %d bytes: at most %d", len(s), MaxTitle)
	}
	if s == "" {
		return nil
	}
	return checkText("title", s)
}

func (b *Body) isZero() bool {
	return b.Format == "" && b.Name == "" && b.Size == 0 && b.Hash.IsZero() && b.Inline == nil && b.Key == ""
}

// check checks a body. A sealed one that travels apart has a key.
func (b *Body) check(sealed bool) error {
	if b.Format == "" || len(b.Format) > MaxFormat || len(b.Name) > MaxFile || b.Size > MaxBlob {
		return errors.New("body: format, name or size out of bounds")
	}
	if err := errors.Join(checkText("body format", b.Format), checkText("body name", b.Name)); err != nil {
		return err
	}
	if b.Name == "." || b.Name == ".." || strings.ContainsAny(b.Name, "/\\\n\t") {
		return errors.New("body: the name is not that of a file without its directory")
	}
	if b.External() {
		if len(b.Inline) != 0 || b.Hash.IsZero() {
			return errors.New("body: both inside and outside, or without a hash")
		}
		if sealed != (b.Key != "") {
			return errors.New("body: a key goes with a body that is sealed and travels apart")
		}
		if sealed {
			return checkToken("body key", b.Key, MaxBodyKey)
		}
		return nil
	}
	if b.Key != "" {
		return errors.New("body: a key without a blob")
	}
	if uint64(len(b.Inline)) != b.Size || sha256.Sum256(b.Inline) != b.Hash {
		return errors.New("body: size or hash does not fit its bytes")
	}
	return nil
}

// A Class orders delivery, not trust.
type Class uint8

// The classes of delivery.
const (
	Normal Class = 1
	Urgent Class = 2
)

// A Parcel is one entry of a feed: what travels. Anybody who holds the author's manifest can authenticate and count it
// without reading what is inside.
type Parcel struct {
	Team  TeamID   `cbor:"1,keyasint"`
	Node  KID      `cbor:"2,keyasint"`
	Feed  FeedID   `cbor:"3,keyasint"`
	Seq   uint64   `cbor:"4,keyasint"`          // from 1
	Prev  Hash     `cbor:"5,keyasint,omitzero"` // id of the parcel before; absent for Seq 1
	Class Class    `cbor:"6,keyasint"`
	Body  []byte   `cbor:"7,keyasint"` // an encoded statement envelope, or what it was sealed into
	Blob  *BlobRef `cbor:"8,keyasint,omitempty"`
	// Sealed says that Body is an age file of the padded envelope, for the nodes of one team or the epoch of a room.
	Sealed bool `cbor:"9,keyasint,omitempty"`
	// Epoch is, in the feed of a room, the id of the epoch to whose recipient Body is sealed, so that nobody has to try.
	Epoch Hash `cbor:"10,keyasint,omitzero"`
}

// A BlobRef names bytes that are fetched apart.
type BlobRef struct {
	Size uint64 `cbor:"1,keyasint"`
	Hash Hash   `cbor:"2,keyasint"` // SHA-256
}

func (*Parcel) recordType() Type { return TypeParcel }
func (p *Parcel) slot() []byte   { return slotKey(p.Node, p.Feed, p.Seq) }

func (p *Parcel) check() error {
	if p.Team.IsZero() || p.Node.IsZero() || p.Feed.IsZero() || p.Seq < 1 || (p.Seq == 1) != p.Prev.IsZero() {
		return errors.New("team, node, feed, sequence number or predecessor is missing")
	}
	if err := checkCounters(p.Seq); err != nil {
		return err
	}
	if p.Class != Normal && p.Class != Urgent {
		return fmt.Errorf("unknown class of delivery %d", p.Class)
	}
	if !p.Sealed && !p.Epoch.IsZero() {
		return errors.New("an epoch to which nothing is sealed")
	}
	if len(p.Body) == 0 || len(p.Body) > MaxParcel {
		return fmt.Errorf("a body of %d bytes: want 1 to %d", len(p.Body), MaxParcel)
	}
	return p.Blob.check()
}

// check admits nil.
func (b *BlobRef) check() error {
	if b != nil && (b.Size == 0 || b.Size > MaxBlob || b.Hash.IsZero()) {
		return errors.New("blob: size or hash out of bounds")
	}
	return nil
}

// OpenCommunity reads the statement inside a community parcel that was verified with the node key k: it checks the
// statement's own signature, that k is the key which the parcel names, and that author, node, audience, class and blob are
// those of the parcel. That the audience may have the statement's label is for trust.Decide.
func (p *Parcel) OpenCommunity(k PublicKey) (*Envelope, *Statement, error) {
	if p.Sealed {
		return nil, nil, fmt.Errorf("%w: the parcel is sealed, which nothing for the community is", ErrMalformed)
	}
	return p.open(k, p.Body, Channel{})
}

// OpenSealed is as OpenCommunity for a parcel of the channel, which is not the community's. inner is what the parcel's body
// was opened and unpadded to. It also checks that the statement is for both ends of the channel: a statement that was sealed
// to one audience is refused in every other.
func (p *Parcel) OpenSealed(k PublicKey, inner []byte, c Channel) (*Envelope, *Statement, error) {
	if !p.Sealed || c.IsCommunity() {
		return nil, nil, fmt.Errorf("%w: the parcel is not sealed", ErrMalformed)
	}
	return p.open(k, inner, c)
}

func (p *Parcel) open(k PublicKey, inner []byte, c Channel) (*Envelope, *Statement, error) {
	if id := k.ID(); id != p.Node {
		return nil, nil, fmt.Errorf("%w: the parcel is of node key %s, not of %s", ErrSignature, p.Node, id)
	}
	env, err := DecodeEnvelope(inner, MaxStatement)
	if err != nil {
		return nil, nil, err
	}
	st, err := Decode[Statement](env)
	if err != nil {
		return nil, nil, err
	}
	if err := env.VerifyNode(k); err != nil {
		return nil, nil, err
	}
	switch {
	case st.Author != p.Team || st.Node != p.Node:
		err = errors.New("the statement is another author's than the parcel")
	case p.Feed != FeedOf(p.Node, c) || !c.Carries(st.Author, st.Audience):
		err = errors.New("the statement is for another audience than the feed")
	case p.Epoch != st.Audience.Epoch:
		err = errors.New("the statement is for another epoch than the one to which it was sealed")
	case st.Urgent != (p.Class == Urgent):
		err = errors.New("the class of delivery is not the statement's")
	case !sameBlob(p.Blob, st.Outside()):
		err = errors.New("the blob is not the statement's body")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return env, st, nil
}

// Outside returns the blob that travels beside the statement, which its parcel names as well; nil if nothing does. For the
// community it is the body itself, for others the body's ciphertext.
func (s *Statement) Outside() *BlobRef {
	if s.Audience.Kind == Community && s.Body.External() {
		return &BlobRef{Size: s.Body.Size, Hash: s.Body.Hash}
	}
	return s.Blob
}

func sameBlob(a, b *BlobRef) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// Heads is a node's signed word on how far its feeds reach: by it a reader knows that nothing is missing at the end. Each is
// for one reader or all: the feeds between two teams are told to nobody else, and that of a room to its members.
type Heads struct {
	Team  TeamID `cbor:"1,keyasint"`
	Node  KID    `cbor:"2,keyasint"`
	N     uint64 `cbor:"3,keyasint"`           // counts up; Unix milliseconds of signing serve well
	Time  uint64 `cbor:"4,keyasint"`           // Unix seconds
	Feeds []Head `cbor:"5,keyasint,omitempty"` // ascending by feed
	For   TeamID `cbor:"6,keyasint,omitzero"`  // the team, or the room, that it is for; absent: the community
}

// A Head is the extent of one feed.
type Head struct {
	Feed  FeedID `cbor:"1,keyasint"`
	First uint64 `cbor:"2,keyasint"` // the oldest entry that the author still keeps
	Seq   uint64 `cbor:"3,keyasint"` // the newest
	Hash  Hash   `cbor:"4,keyasint"` // id of the newest
}

func (*Heads) recordType() Type { return TypeHeads }
func (h *Heads) slot() []byte   { return slotKey(h.Node, h.For, h.N) }

func (h *Heads) check() error {
	if h.Team.IsZero() || h.Node.IsZero() || h.N == 0 || h.Time == 0 {
		return errors.New("team, node, counter or time is missing")
	}
	if h.For == h.Team {
		return errors.New("heads are for another team, or for all")
	}
	if len(h.Feeds) > MaxHeads {
		return fmt.Errorf("%d feeds: at most %d", len(h.Feeds), MaxHeads)
	}
	if err := errors.Join(checkCounters(h.N), checkTimes(h.Time)); err != nil {
		return err
	}
	for i, f := range h.Feeds {
		if err := checkCounters(f.Seq); err != nil {
			return err
		}
		if f.Feed.IsZero() || f.First < 1 || f.First > f.Seq || f.Hash.IsZero() {
			return errors.New("a head is incomplete")
		}
		if i > 0 && string(h.Feeds[i-1].Feed[:]) >= string(f.Feed[:]) {
			return errors.New("heads are not ascending by feed")
		}
	}
	return nil
}
