package catchup

import (
	"context"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// A Backend is what the engine asks of the node. All methods are called from several goroutines at once.
type Backend interface {
	// Admits reports whether p may speak this protocol at all. A stream of any other peer is reset.
	Admits(p peer.ID) bool

	Feeds
	Words
	Blobs
	Identities
}

// Feeds is the entries of feeds.
type Feeds interface {
	// Extents returns what this node holds of every feed, in any order.
	Extents() ([]Extent, error)
	// Extent returns what this node holds of one feed. ok is false if it holds nothing and never did.
	Extent(f protocol.FeedID) (x Extent, ok bool, err error)
	// Follow says whether entries of a feed that a peer announces are wanted, and up to which cut-off. It must refuse a feed
	// that is not one of the named node's, and a node that is not the named team's: what it wants bounds what is remembered
	// of peers' claims.
	Follow(team protocol.TeamID, node protocol.KID, f protocol.FeedID) Follow
	// Serves reports whether p may be told of the feed and be given its entries. It is false for a feed that is not known
	// here. Nothing of a feed that p is not served reaches p, and unless it is a community feed, p is never asked for it: to
	// p it is a feed like any that does not exist. It is asked often, and for every feed of a list.
	Serves(p peer.ID, f protocol.FeedID) bool
	// Range calls fn with the encoded parcels that this node holds of [from, to), ascending or, if reverse, descending,
	// until fn returns false. Holes are skipped. The parcels are fn's to keep.
	Range(f protocol.FeedID, from, to uint64, reverse bool, fn func(raw []byte) bool) error
	// Ingest verifies and keeps parcels that p answered to ask, in the order of raws. What it reports as accepted or known
	// is on disk. Calls for one feed may overlap, except for one that is fetched backwards. An error says that this node
	// could not do its work (a full disk, closing), and is no fault of p.
	Ingest(ctx context.Context, p peer.ID, ask Ask, raws [][]byte) (Report, error)
}

// Words is the authors' signed heads for the community. Those for one team travel by other ways; the engine neither gives nor
// asks for them, and takes them only from Heard.
type Words interface {
	// Heads calls fn with the newest heads of every node that this node has.
	Heads(fn func(h *protocol.Heads)) error
	// HeadsOf returns the encoded envelope of a node's newest heads, nil if there is none.
	HeadsOf(node protocol.KID) ([]byte, error)
	// AddHeads verifies and keeps an envelope that p answered. It returns the heads if they are valid and newer than what
	// was there, nil if they are valid and not newer. An error wraps ErrRefused if the envelope proves p wrong, as heads that
	// are for one team do.
	AddHeads(ctx context.Context, p peer.ID, raw []byte) (*protocol.Heads, error)
}

// Blobs is the bodies that travel apart from their statements.
type Blobs interface {
	// WantedBlobs returns up to max blobs that accepted statements name and that are not held whole, the most wanted first,
	// of those that p may have: p is a node of a team that may read the statement. A blob is asked of nobody else. It is
	// called for every peer, at most once in a second.
	WantedBlobs(p peer.ID, max int) ([]protocol.BlobRef, error)
	// OpenBlob opens a blob for p. ok is false if it is not held whole, or p may not have it: p cannot tell which.
	OpenBlob(p peer.ID, hash protocol.Hash) (r io.ReadSeekCloser, size uint64, ok bool, err error)
	// BlobWriter goes on with a blob where it was left.
	BlobWriter(ref protocol.BlobRef) (BlobWriter, error)
}

// A BlobWriter takes in the bytes of one blob. One is open for a blob at a time.
type BlobWriter interface {
	// Have returns how many bytes from the start are kept.
	Have() uint64
	// Write adds bytes at Have.
	io.Writer
	// Commit checks the hash of the whole, once Have is the size, and closes. If the hash is wrong it drops every byte and
	// returns an error that wraps ErrWrongBlob.
	Commit() error
	// Close ends writing and keeps what is there. It does nothing after Commit.
	Close() error
}

// Identities is the records by which teams are known.
type Identities interface {
	// Digests returns the digest of what this node holds of each team, and whether p may be told of it.
	Digests(p peer.ID) ([]TeamDigest, error)
	// Records returns all that p may have of a team's records, nil if nothing. It has at most protocol.MaxBundle bytes.
	Records(p peer.ID, team protocol.TeamID) (*protocol.Bundle, error)
	// AddRecords verifies and keeps what p answered. An error wraps ErrRefused if the bundle proves p wrong.
	AddRecords(ctx context.Context, p peer.ID, b *protocol.Bundle) error
}

// A TeamDigest is a hash over the records held of a team.
type TeamDigest struct {
	Team   protocol.TeamID
	Digest protocol.Hash
	Share  bool // whether the peer in question may have them
}

// Follow says how a feed is wanted. The zero Follow is: not at all.
type Follow struct {
	Wanted bool
	Cutoff *protocol.Cutoff // of a revoked node; nil for one in good standing
}

// An Ask is a request for the entries [From, To) of a feed.
type Ask struct {
	Feed     protocol.FeedID
	From, To uint64
	Reverse  bool // the newest first
}

// A Report says what became of parcels.
type Report struct {
	Accepted int // new, verified and kept
	Known    int // held before
	Waiting  int // not taken now, by nobody's fault: quarantined, of a team no longer followed, beyond a quota
	Refused  int // malformed, not authentic, or not what was asked for: the peer's fault
}

var (
	// ErrRefused is wrapped by an error that says: the peer, and not this node, is at fault.
	ErrRefused = errors.New("refused")
	// ErrWrongBlob is wrapped by BlobWriter.Commit if the bytes are not the ones that the hash names.
	ErrWrongBlob = errors.New("the bytes are not the ones that the hash names")
)
