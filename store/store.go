package store

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// Errors that a caller branches on.
var (
	// ErrNotFound says that the store holds no such thing, or held it damaged: both mean that it has to be fetched.
	ErrNotFound = errors.New("not found in the store")
	// ErrAmbiguous says that a prefix fits several ids.
	ErrAmbiguous = errors.New("several ids begin like this: give more digits")
	// ErrFull says that the cap of the store or the disk is reached. Nothing was stored; reading goes on.
	ErrFull = errors.New("the store is full: raise the cap, prune, or free disk space")
	// ErrQuota says that the author has used up the bytes of the day.
	ErrQuota = errors.New("the author's daily quota is used up")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrBroken says that a write failed half way, or that a file turned out to be damaged. Opening the store anew mends it.
	ErrBroken = errors.New("the store has to be opened anew")
	// ErrSchema says that the directory was written by a newer version of the program.
	ErrSchema = errors.New("the store was written by a newer version of this program")
	// ErrNotEmpty says that Load was called on a store with content.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrBusy says that another writer has the blob open.
	ErrBusy = errors.New("the blob is being written already")
	// ErrBlobHash says that the bytes of a blob do not have its hash. They were dropped.
	ErrBlobHash = errors.New("the bytes do not have the blob's hash")
)

// A Cipher seals the values of one audience, or of this node. It is safe for concurrent use.
type Cipher interface {
	// Seal returns the authenticated encryption of plaintext, bound to aad.
	Seal(plaintext, aad []byte) []byte
	// Open is the inverse of Seal; it fails for any other bytes and any other aad.
	Open(ciphertext, aad []byte) ([]byte, error)
	// Term returns a keyed hash of an index term.
	Term(term string) [16]byte
}

// Keys is what the store needs of the keyring.
type Keys interface {
	// Local returns the cipher for what is of this node alone.
	Local() Cipher
	// Audience returns the cipher of an audience, made on first use. An error means that its key was given up.
	Audience(tag protocol.Hash) (Cipher, error)
	// BadgerKey encrypts Badger's files, which hides the keys of the entries.
	BadgerKey() [32]byte
}

// Options bound what a store takes in. The zero value is a store without cap and quota.
type Options struct {
	MaxBytes   uint64           // bytes of sealed values and their keys; 0: no cap but the disk
	DailyQuota uint64           // bytes of one author in one day (UTC), blobs included; 0: no quota
	MinFree    uint64           // bytes that stay free on the disk; 0: DefaultMinFree
	Now        func() time.Time // nil: time.Now
}

// DefaultMinFree is how much of the disk the store leaves free: enough for its own upkeep to go on.
const DefaultMinFree = 256 << 20

// A Store is what this node keeps. It is safe for concurrent use.
type Store struct {
	db    *badger.DB
	keys  Keys
	local Cipher
	opt   Options
	dir   string // empty in memory

	running *os.File // nil in memory

	damaged atomic.Uint64

	queue chan *acceptRequest
	quit  chan struct{} // closed by Close
	done  chan struct{} // closed when the writer has ended

	life     sync.Mutex
	closing  bool
	failed   error // damage that only opening anew mends
	users    int
	idle     chan struct{} // closed when closing and no user is left
	verified chan struct{} // closed when the table files were looked at

	// writeMu is held by whoever reads and then writes, until the commit.
	writeMu  sync.Mutex
	counters counters // as committed
	broken   error    // of a failed commit

	indexMu sync.Mutex // held by who writes postings; taken before writeMu

	audMu     sync.Mutex
	audiences map[shortTag]protocol.Hash
	ciphers   map[protocol.Hash]Cipher

	blobMu  sync.Mutex
	writing map[blobKey]bool // blobs with a writer
}

// Stats says how much the store holds.
type Stats struct {
	Messages  uint64 // messages
	Parcels   uint64 // entries of feeds
	Bytes     uint64 // sealed values and their keys: what MaxBytes bounds
	DiskBytes uint64 // length of the files; more than Bytes until upkeep frees what was deleted
	LastN     uint64 // newest arrival number
	Pending   uint64 // messages that wait for indexing, at most
	Damaged   uint64 // damaged values met since the store was opened
	Schema    uint64 // version of the key layout
}
