package store

import (
	"encoding/binary"

	"github.com/entente-network/entente/protocol"
)

// schemaVersion is the version of the layout below. A change of the layout raises it and adds a migration (migrate.go).
const schemaVersion = 3

// The layout. Numbers are big-endian, so that the order of the keys is theirs. L: sealed with this node's own cipher;
// A: with that of the audience; -: no value. The additional data of every sealed value is the whole key.
//
//	!                            L  version of the layout; once more under ~, so that damage in one place does not hide it
//	a aud                        L  an audience: its whole tag
//	b hash size index            A  a chunk of a blob
//	B hash size                  L  a blob: audience, bytes held, complete (blobMeta)
//	c                            L  counters
//	d id                         L  an identity record: its team
//	E epoch feed seq             -  the entry is sealed to an epoch whose identity was not held
//	e team id                    L  an identity record: the envelope
//	f feed                       L  extent of a feed (extentRec)
//	g id                         L  an agreement, or a party's word on one
//	h kid team                   L  the newest heads record of a node for a team; for the community the team is zero
//	i id                         L  a statement id: where its message is (place)
//	j N                          -  the message is held back
//	k feed seq                   A  proof of a fork at this place (forkRec)
//	l feed seq time              -  the entry has no message of its own; when it was received, for pruning
//	m N aud feed seq             A  a message (messageRec)
//	n N aud                      A  the statement envelope of a sealed message
//	N name                       L  a note of the node for itself, under the hash of its name
//	o n                          L  a decision of a person of this team (actRec)
//	p feed seq                   A  a parcel: N of its message (0: none of its own), then the envelope
//	q N                          -  the message has to be indexed again
//	R aud id                     A  a record of a room: the room, then the envelope
//	r hash size N                -  the message refers to the blob
//	s id feed seq                L  a statement of this node is in this sealed parcel, too: the parcel's id
//	S aud name                   A  a note about a room, under the hash of its name
//	t N aud index                A  hashed terms of the message, of 16 bytes each: what to remove from x with it
//	u id                         L  corrections of this statement, which may come before it ([]correction)
//	v id team                    L  receipts of a team for a statement of ours ([]protocol.Receipt)
//	w hash size                  -  the blob is wanted
//	X aud                        L  an audience whose key was given up: what is left of it is being removed
//	x aud term ^N                -  the message has the term; newest first
//	y day team                   L  bytes taken in from a team on a day
//	z parcel                     L  of a sealed parcel that this node made: its statement, feed and seq
//
// An audience is that of a [protocol.Channel]; aud is the beginning of its tag. So every audience has index terms of its own,
// made with its own key.
const (
	kSchema   = '!'
	kSchema2  = '~'
	kAudience = 'a'
	kChunk    = 'b'
	kBlob     = 'B'
	kCounters = 'c'
	kTeamOf   = 'd'
	kRecord   = 'e'
	kClosed   = 'E'
	kExtent   = 'f'
	kAgreed   = 'g'
	kHeads    = 'h'
	kID       = 'i'
	kHeld     = 'j'
	kFork     = 'k'
	kLink     = 'l'
	kMessage  = 'm'
	kInner    = 'n'
	kNote     = 'N'
	kAct      = 'o'
	kParcel   = 'p'
	kReindex  = 'q'
	kRoom     = 'R'
	kBlobRef  = 'r'
	kAlso     = 's'
	kRoomNote = 'S'
	kTerms    = 't'
	kCorrect  = 'u'
	kReceipts = 'v'
	kWanted   = 'w'
	kForget   = 'X'
	kPosting  = 'x'
	kQuota    = 'y'
	kInside   = 'z'
)

// shortTag stands for an audience in keys.
type shortTag [8]byte

func short(tag protocol.Hash) shortTag { return shortTag(tag[:8]) }

// key joins a prefix and parts.
func key(prefix byte, parts ...any) []byte {
	b := make([]byte, 1, 64)
	b[0] = prefix
	for _, p := range parts {
		switch v := p.(type) {
		case protocol.Hash:
			b = append(b, v[:]...)
		case protocol.KID:
			b = append(b, v[:]...)
		case shortTag:
			b = append(b, v[:]...)
		case [16]byte:
			b = append(b, v[:]...)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		default:
			panic("store: a part of a key has no fixed length")
		}
	}
	return b
}

// keyLengths are the lengths of whole keys. A key of another length is none of ours.
var keyLengths = map[byte]int{
	kSchema: 1, kSchema2: 1, kAudience: 9, kChunk: 45, kBlob: 41, kCounters: 1, kTeamOf: 33, kRecord: 65, kExtent: 33,
	kAgreed: 33, kHeads: 49, kID: 33, kHeld: 9, kFork: 41, kLink: 49, kMessage: 57, kInner: 17, kNote: 33, kAct: 9, kParcel: 41, kReindex: 9,
	kBlobRef: 49, kAlso: 73, kTerms: 21, kCorrect: 33, kReceipts: 65, kWanted: 41, kForget: 9, kPosting: 33, kQuota: 37, kInside: 33,
	kRoom: 41, kRoomNote: 41, kClosed: 73,
}

// formerLengths are those of keys that a layout before the present one had, by the last version that had them.
var formerLengths = map[uint64]map[byte]int{1: {kHeads: 17}}

// ours reports whether a key is of the layout of a version.
func ours(k []byte, version uint64) bool {
	if len(k) == 0 {
		return false
	}
	for v := version; v < schemaVersion; v++ {
		if n := formerLengths[v][k[0]]; n != 0 && n == len(k) {
			return true
		}
	}
	return keyLengths[k[0]] == len(k)
}

func hashAt(k []byte, i int) protocol.Hash { return protocol.Hash(k[i : i+32]) }
func numAt(k []byte, i int) uint64         { return binary.BigEndian.Uint64(k[i : i+8]) }

// A place is where a message is. It is the value of an id, and all but received is the key of the message.
type place struct {
	n        uint64
	aud      shortTag
	feed     protocol.FeedID
	seq      uint64
	received uint64 // Unix milliseconds
}

func (p place) key() []byte { return key(kMessage, p.n, p.aud, p.feed, p.seq) }

// encode returns the value under kID.
func (p place) encode() []byte { return binary.BigEndian.AppendUint64(p.key()[1:], p.received) }

// placeOf reads the key of a message.
func placeOf(k []byte) (place, bool) {
	if len(k) != keyLengths[kMessage] {
		return place{}, false
	}
	return place{n: numAt(k, 1), aud: shortTag(k[9:17]), feed: hashAt(k, 17), seq: numAt(k, 49)}, true
}

// decodePlace reads the value under kID.
func decodePlace(v []byte) (place, bool) {
	if len(v) != 64 {
		return place{}, false
	}
	return place{n: numAt(v, 0), aud: shortTag(v[8:16]), feed: hashAt(v, 16), seq: numAt(v, 48), received: numAt(v, 56)}, true
}

// blobKey names a blob. The size is part of it: a wrong size that one author claims does not spoil another's blob.
type blobKey struct {
	hash protocol.Hash
	size uint64
}

func (b blobKey) meta() []byte                       { return key(kBlob, b.hash, b.size) }
func (b blobKey) chunk(i uint32) []byte              { return key(kChunk, b.hash, b.size, i) }
func (b blobKey) wanted() []byte                     { return key(kWanted, b.hash, b.size) }
func (b blobKey) refs() []byte                       { return key(kBlobRef, b.hash, b.size) }
func (b blobKey) ref(n uint64) []byte                { return key(kBlobRef, b.hash, b.size, n) }
func (b blobKey) chunks() uint32                     { return uint32((b.size + ChunkSize - 1) / ChunkSize) }
func blobAt(k []byte) blobKey                        { return blobKey{hashAt(k, 1), numAt(k, 33)} }
func blobOf(r protocol.BlobRef) blobKey              { return blobKey{r.Hash, r.Size} }
func parcelKey(f protocol.FeedID, seq uint64) []byte { return key(kParcel, f, seq) }
