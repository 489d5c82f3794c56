package catchup

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/entente-network/entente/protocol"
)

// Limits of the wire form.
const (
	MaxPage      = 1000    // entries in the answer to one range request
	PageBytes    = 1 << 20 // bytes of entries after which an answer ends
	MaxEntries   = 4096    // entries in one frame of a frontier
	MaxFrontier  = 65536   // entries in a frontier
	MaxHoles     = 32      // holes of one feed in a frontier
	MaxChunk     = 256 << 10
	MaxBlobReply = 64 << 20 // bytes of a blob in one answer; the rest is asked for again

	maxRequest = 96 << 10  // bytes of a request
	maxFrame   = 1 << 20   // bytes of any other frame but a bundle
	maxBatch   = 128 << 10 // bytes of parcels after which a frame ends
)

// A kind is what a request is for.
type kind uint8

const (
	kindFrontier kind = 1 // how far are your feeds? Only if not as mine
	kindHeads    kind = 2 // the newest signed heads of these nodes
	kindRange    kind = 3 // entries of a feed
	kindBlob     kind = 4 // bytes of a blob
	kindDigests  kind = 5 // what do you hold of which team? Only if not as I
	kindRecords  kind = 6 // the records of a team
)

// A request opens each stream; the answer fills the rest of it. Which fields a kind uses is in check.
type request struct {
	Kind    kind            `cbor:"1,keyasint"`
	Digest  protocol.Hash   `cbor:"2,keyasint,omitzero"`
	Nodes   []protocol.KID  `cbor:"3,keyasint,omitempty"` // ascending
	Feed    protocol.FeedID `cbor:"4,keyasint,omitzero"`
	From    uint64          `cbor:"5,keyasint,omitempty"`
	To      uint64          `cbor:"6,keyasint,omitempty"`
	Reverse bool            `cbor:"7,keyasint,omitempty"`
	Blob    protocol.Hash   `cbor:"8,keyasint,omitzero"`
	Offset  uint64          `cbor:"9,keyasint,omitempty"`
	Team    protocol.TeamID `cbor:"10,keyasint,omitzero"`
}

func (r *request) Check() error {
	want := request{Kind: r.Kind}
	ok := false
	switch r.Kind {
	case kindFrontier, kindDigests:
		want.Digest, ok = r.Digest, !r.Digest.IsZero()
	case kindHeads:
		want.Nodes, ok = r.Nodes, len(r.Nodes) > 0 && len(r.Nodes) <= MaxEntries
		for i := 1; i < len(r.Nodes); i++ {
			ok = ok && string(r.Nodes[i-1][:]) < string(r.Nodes[i][:])
		}
	case kindRange:
		want.Feed, want.From, want.To, want.Reverse = r.Feed, r.From, r.To, r.Reverse
		ok = !r.Feed.IsZero() && r.From >= 1 && r.From < r.To && r.To <= MaxSeq+1 && r.To-r.From <= MaxPage
	case kindBlob:
		want.Blob, want.Offset, ok = r.Blob, r.Offset, !r.Blob.IsZero() && r.Offset <= protocol.MaxBlob
	case kindRecords:
		want.Team, ok = r.Team, !r.Team.IsZero()
	}
	if !ok || !r.same(&want) {
		return fmt.Errorf("%w: a request of kind %d with fields out of bounds", protocol.ErrMalformed, r.Kind)
	}
	return nil
}

func (r *request) same(o *request) bool {
	return r.Digest == o.Digest && len(r.Nodes) == len(o.Nodes) && r.Feed == o.Feed && r.From == o.From && r.To == o.To &&
		r.Reverse == o.Reverse && r.Blob == o.Blob && r.Offset == o.Offset && r.Team == o.Team
}

// An Entry is what a node says it holds of one feed: all of [First, Next), Max, and what lies between but for the holes. If
// there are MaxHoles, there may be more beyond the last.
type Entry struct {
	Node  protocol.KID    `cbor:"1,keyasint"`
	Team  protocol.TeamID `cbor:"2,keyasint"`
	Feed  protocol.FeedID `cbor:"3,keyasint"`
	First uint64          `cbor:"4,keyasint"`
	Next  uint64          `cbor:"5,keyasint"`
	Head  protocol.Hash   `cbor:"6,keyasint,omitzero"`  // id of Next-1, absent if Next == First
	Max   uint64          `cbor:"7,keyasint,omitempty"` // absent unless something beyond Next is held
	Heads uint64          `cbor:"8,keyasint,omitempty"` // of a community feed: counter of the author's newest signed heads
	Holes []hole          `cbor:"9,keyasint,omitempty"` // the lowest, ascending, the first at Next; absent if Max is

	gaps []Span // all of them, for the digest
}

// A hole is a Span on the wire.
type hole struct {
	_    struct{} `cbor:",toarray"`
	From uint64
	To   uint64
}

func (e *Entry) Check() error {
	if e.Node.IsZero() || e.Team.IsZero() || e.Feed.IsZero() || e.First < 1 || e.Next < e.First || e.Next > MaxSeq+1 ||
		(e.Next == e.First) != e.Head.IsZero() || e.Max != 0 && e.Max <= e.Next || e.Max > MaxSeq {
		return fmt.Errorf("%w: an entry of a frontier is out of bounds", protocol.ErrMalformed)
	}
	at := e.Next
	for i, h := range e.Holes {
		if (i == 0) != (h.From == at) || h.From < at || h.To <= h.From || h.To > e.Max {
			return fmt.Errorf("%w: holes of a feed are out of order or of bounds", protocol.ErrMalformed)
		}
		at = h.To
	}
	if len(e.Holes) > MaxHoles || (e.Max == 0) != (len(e.Holes) == 0) {
		return fmt.Errorf("%w: a feed with %d holes: at most %d, and none only without Max", protocol.ErrMalformed, len(e.Holes), MaxHoles)
	}
	return nil
}

// A frontierPage answers kindFrontier. The first page carries the digest; if it is the asker's, nothing else. Feeds ascend
// over all pages.
type frontierPage struct {
	Digest  protocol.Hash `cbor:"1,keyasint,omitzero"`
	Entries []Entry       `cbor:"2,keyasint,omitempty"`
	More    bool          `cbor:"3,keyasint,omitempty"` // another page follows
}

func (p *frontierPage) Check() error {
	if len(p.Entries) > MaxEntries {
		return fmt.Errorf("%w: a page of %d entries: at most %d", protocol.ErrMalformed, len(p.Entries), MaxEntries)
	}
	for i := range p.Entries {
		if err := p.Entries[i].Check(); err != nil {
			return err
		}
		if i > 0 && !ascends(p.Entries[i-1].Feed, p.Entries[i].Feed) {
			return fmt.Errorf("%w: a frontier is not ascending by feed", protocol.ErrMalformed)
		}
	}
	if p.More && len(p.Entries) == 0 {
		return fmt.Errorf("%w: an empty page that is not the last", protocol.ErrMalformed)
	}
	return nil
}

// A headsPage answers kindHeads with encoded envelopes, in the order in which they were asked for; none for a node of which
// there are none.
type headsPage struct {
	Heads [][]byte `cbor:"1,keyasint,omitempty"`
	More  bool     `cbor:"2,keyasint,omitempty"`
}

func (p *headsPage) Check() error { return checkRaws(p.Heads, MaxEntries, protocol.MaxRecord, p.More) }

// A rangePage is a part of the answer to kindRange.
type rangePage struct {
	Parcels [][]byte `cbor:"1,keyasint,omitempty"` // encoded envelopes, in the order that was asked for
	More    bool     `cbor:"2,keyasint,omitempty"` // another page of this answer follows
	Rest    bool     `cbor:"3,keyasint,omitempty"` // in the last page: there is more in the range than one answer takes
	First   uint64   `cbor:"4,keyasint,omitempty"` // in the last page: the oldest entry that is held
}

func (p *rangePage) Check() error {
	if p.More && (p.Rest || p.First != 0) || p.First > MaxSeq+1 {
		return fmt.Errorf("%w: the end of an answer in the middle of it", protocol.ErrMalformed)
	}
	return checkRaws(p.Parcels, MaxPage, protocol.MaxParcel, p.More)
}

// A blobPage is a part of the answer to kindBlob. The first carries the size of the whole; 0 says that the blob is not here.
// The last of an answer may come before the end of the blob.
type blobPage struct {
	Size uint64 `cbor:"1,keyasint,omitempty"`
	Data []byte `cbor:"2,keyasint,omitempty"`
	More bool   `cbor:"3,keyasint,omitempty"`
}

func (p *blobPage) Check() error {
	if p.Size > protocol.MaxBlob || len(p.Data) > MaxChunk || p.More && len(p.Data) == 0 {
		return fmt.Errorf("%w: a part of a blob out of bounds", protocol.ErrMalformed)
	}
	return nil
}

// A teamDigest is a TeamDigest on the wire.
type teamDigest struct {
	Team   protocol.TeamID `cbor:"1,keyasint"`
	Digest protocol.Hash   `cbor:"2,keyasint"`
}

// A digestsPage answers kindDigests. If the digest over all is the asker's, it carries nothing else. Teams ascend.
type digestsPage struct {
	Digest protocol.Hash `cbor:"1,keyasint"`
	Teams  []teamDigest  `cbor:"2,keyasint,omitempty"`
}

func (p *digestsPage) Check() error {
	if len(p.Teams) > MaxEntries {
		return fmt.Errorf("%w: %d teams: at most %d", protocol.ErrMalformed, len(p.Teams), MaxEntries)
	}
	for i, t := range p.Teams {
		if t.Team.IsZero() || i > 0 && !ascends(p.Teams[i-1].Team, t.Team) {
			return fmt.Errorf("%w: teams are not ascending", protocol.ErrMalformed)
		}
	}
	return nil
}

func checkRaws(raws [][]byte, most, size int, more bool) error {
	if len(raws) > most || more && len(raws) == 0 {
		return fmt.Errorf("%w: a page of %d records: want 1 to %d, none only at the end", protocol.ErrMalformed, len(raws), most)
	}
	for _, r := range raws {
		if len(r) == 0 || len(r) > size {
			return fmt.Errorf("%w: a record of %d bytes: want 1 to %d", protocol.ErrMalformed, len(r), size)
		}
	}
	return nil
}

func ascends(a, b protocol.Hash) bool { return bytes.Compare(a[:], b[:]) < 0 }

// frontierDigest is the hash over a whole frontier. It leaves out First: nodes that differ only in how long they keep are
// equal.
func frontierDigest(es []Entry) protocol.Hash {
	b := make([]byte, 0, 96*len(es))
	for _, e := range es {
		b = append(b, e.Feed[:]...)
		b = binary.BigEndian.AppendUint64(b, e.Next)
		b = append(b, e.Head[:]...)
		b = binary.BigEndian.AppendUint64(b, e.Max)
		b = binary.BigEndian.AppendUint64(b, e.Heads)
		b = binary.BigEndian.AppendUint64(b, uint64(len(e.gaps)))
		for _, g := range e.gaps {
			b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, g.From), g.To)
		}
	}
	return protocol.Sum("entente/catchup/v1/frontier", b)
}

// teamsDigest is the hash over a whole list of teams.
func teamsDigest(ts []teamDigest) protocol.Hash {
	b := make([]byte, 0, 64*len(ts))
	for _, t := range ts {
		b = append(append(b, t.Team[:]...), t.Digest[:]...)
	}
	return protocol.Sum("entente/catchup/v1/teams", b)
}

// entryOf returns the extent as it is announced.
func entryOf(x Extent, heads uint64) Entry {
	e := Entry{Node: x.Node, Team: x.Team, Feed: x.Feed, First: max(x.First, 1), Heads: heads}
	e.Next = max(x.Next, e.First)
	if e.Next > e.First {
		e.Head = x.Head
	}
	if x.Max > e.Next {
		e.Max, e.gaps = x.Max, x.missing(Span{e.First, x.Max + 1})
		for _, g := range e.gaps[:min(len(e.gaps), MaxHoles)] {
			e.Holes = append(e.Holes, hole{From: g.From, To: g.To})
		}
	}
	return e
}
