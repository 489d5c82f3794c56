package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

// Limits of one node.
const (
	MaxAudiences  = 4096 // audiences, those given up included
	MaxFormer     = 256  // replaced node keys
	MaxIdentities = 64   // former age identities that still open what was sealed to them
)

// Errors of a ring, besides those of files.
var (
	ErrWrongUnlock = errors.New("wrong unlock secret")
	ErrInUse       = errors.New("the keys are in use by another process: stop it first")
	ErrClosed      = errors.New("the ring is closed")
	ErrDropped     = errors.New("the audience's key was given up")
)

const (
	nodeKey           = "node.key"
	nodeRecordVersion = 1
)

// A nodeRecord is what node.key holds.
type nodeRecord struct {
	Version   uint64         `cbor:"1,keyasint"`
	Sign      [32]byte       `cbor:"2,keyasint"` // seed of the node's signing key
	Transport [32]byte       `cbor:"3,keyasint"` // seed of the libp2p peer key, Ed25519
	Identity  string         `cbor:"4,keyasint"` // age hybrid identity for what is sealed to the node
	Local     [32]byte       `cbor:"5,keyasint"` // data key of this node's own values
	Badger    [32]byte       `cbor:"6,keyasint"`
	Former    []protocol.KID `cbor:"7,keyasint,omitempty"` // signing keys before, the oldest first
	Audiences []audienceKey  `cbor:"8,keyasint,omitempty"` // ascending by tag
	Next      *nextKeys      `cbor:"9,keyasint,omitempty"` // that wait to replace Sign, Transport and Identity

	Since      int64            `cbor:"10,keyasint,omitzero"`  // when Identity was taken into use, in Unix seconds; 0: not known
	Identities []formerIdentity `cbor:"11,keyasint,omitempty"` // age identities before, the oldest first
	Audit      [32]byte         `cbor:"12,keyasint,omitzero"`  // seed of the key that signs the audit log; zero: of an older version
}

type audienceKey struct {
	Tag protocol.Hash `cbor:"1,keyasint"`
	Key [32]byte      `cbor:"2,keyasint,omitzero"` // zero: given up
}

// A Ring holds the keys of this node, in memory and in node.key. One process has it open at a time. It is safe for concurrent
// use and prints as "[secret]".
type Ring struct {
	dir    *folder
	lock   *os.File
	unlock Unlock
	to     seal.Recipient // node.key is sealed to it
	local  *seal.Cipher
	epochs epochs

	mu         sync.Mutex
	closed     bool
	rec        nodeRecord
	key        *protocol.PrivateKey
	identities []seal.Identity // the present one, then all others that open something
	audiences  map[protocol.Hash]*seal.Cipher
}

// Create makes the keys of a new node in dir, which it makes where it is missing. ErrExists if a node is there. The work factor
// is that of seal.SealPassphrase and matters only for a typed passphrase.
func Create(dir string, u Unlock, workFactor int) (*Ring, error) {
	return start(createKeys, dir, u, "making the node's keys", func(r *Ring) error {
		rec := nodeRecord{Version: nodeRecordVersion, Local: newKey(), Badger: newKey(), Audit: newKey()}
		next, err := newNextKeys()
		if err != nil {
			return err
		}
		rec.Sign, rec.Transport, rec.Identity = next.Sign, next.Transport, next.Identity
		return r.create(rec, workFactor)
	})
}

// Open opens the keys of the node in dir. Errors to tell apart: ErrNoKey, ErrWrongUnlock or seal.ErrWrongPassphrase, ErrUnsafe,
// ErrInUse; seal.ErrDamaged if node.key is not whole.
func Open(dir string, u Unlock) (*Ring, error) {
	return start(openKeys, dir, u, "opening the node's keys", (*Ring).load)
}

// start opens a directory of keys, takes its lock, and calls do.
func start(open func(string) (*folder, error), dir string, u Unlock, doing string, do func(*Ring) error) (*Ring, error) {
	f, err := open(dir)
	if err != nil {
		return nil, err
	}
	r, err := newRing(f, u)
	if err != nil {
		return nil, err
	}
	if err := do(r); err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return r, nil
}

// newRing takes the lock of the folder, which it closes on an error.
func newRing(f *folder, u Unlock) (*Ring, error) {
	lock, err := f.root.Open(".")
	if err != nil {
		f.close()
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		f.close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", f.path, ErrInUse)
		}
		return nil, fmt.Errorf("locking %s: %w", f.path, err)
	}
	f.clean(nodeKey)
	f.clean(epochsKey)
	return &Ring{dir: f, lock: lock, unlock: u, audiences: map[protocol.Hash]*seal.Cipher{}}, nil
}

// create writes the first record of a node.
func (r *Ring) create(rec nodeRecord, workFactor int) error {
	for _, name := range []string{nodeKey, epochsKey} {
		if r.dir.has(name) {
			return fmt.Errorf("%s %w", r.dir.file(name), ErrExists)
		}
	}
	id, err := r.unlock.identity(r.dir, true, workFactor)
	if err != nil {
		return err
	}
	r.unlocked(id)
	r.epochs.adopt(&epochsRecord{})
	if err := r.write(&rec, r.dir.create); err != nil {
		return err
	}
	return r.adopt(rec)
}

func (r *Ring) load() error {
	text, err := r.dir.read(nodeKey)
	if err != nil {
		return err
	}
	id, err := r.unlock.identity(r.dir, false, 0)
	if err != nil {
		return err
	}
	r.unlocked(id)
	plain, err := seal.UnarmorWith(text, id)
	if errors.Is(err, seal.ErrNotRecipient) {
		return fmt.Errorf("%s: %w", r.dir.file(nodeKey), ErrWrongUnlock)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.dir.file(nodeKey), err)
	}
	defer clear(plain)
	var rec nodeRecord
	if err := protocol.Unmarshal(plain, &rec); err != nil {
		return fmt.Errorf("%s: this version cannot read it; a newer one may have written it", r.dir.file(nodeKey))
	}
	if err := rec.check(); err != nil {
		return fmt.Errorf("%s: %w", r.dir.file(nodeKey), err)
	}
	if err := r.loadEpochs(id); err != nil {
		return err
	}
	if rec.Audit == [32]byte{} { // written before there was one
		rec.Audit = newKey()
		if err := r.write(&rec, r.dir.replace); err != nil {
			return err
		}
	}
	return r.adopt(rec)
}

// unlocked keeps what is needed to write node.key again, and lets go of the secret that opens it.
func (r *Ring) unlocked(id seal.Identity) {
	r.to = id.Recipient()
	r.unlock.id, r.unlock.passphrase = seal.Identity{}, ""
}

func (rec *nodeRecord) check() error {
	var zero [32]byte
	switch {
	case rec.Version != nodeRecordVersion:
		return fmt.Errorf("version %d: this program reads version %d", rec.Version, nodeRecordVersion)
	case rec.Sign == zero || rec.Transport == zero || rec.Local == zero || rec.Badger == zero:
		return errors.New("a key is missing")
	case rec.Next != nil && (rec.Next.Sign == zero || rec.Next.Transport == zero):
		return errors.New("a key that waits is missing")
	case len(rec.Audiences) > MaxAudiences || len(rec.Former) > MaxFormer || len(rec.Identities) > MaxIdentities:
		return errors.New("too many audiences, former keys or former identities")
	}
	for i, a := range rec.Audiences {
		if i > 0 && bytes.Compare(rec.Audiences[i-1].Tag[:], a.Tag[:]) >= 0 {
			return errors.New("audiences are out of order")
		}
	}
	return nil
}

// adopt makes rec the record of the ring, after it was read or written. The caller owns the ring or holds its lock.
func (r *Ring) adopt(rec nodeRecord) error {
	key, err := protocol.KeyFromSeed(protocol.Ed25519, rec.Sign)
	if err != nil {
		return err
	}
	ids, err := rec.identities()
	if err != nil {
		return err
	}
	r.rec, r.key, r.identities = rec, key, ids
	if r.local == nil {
		r.local = seal.NewCipher(rec.Local)
	}
	return nil
}

func (r *Ring) write(rec *nodeRecord, put func(string, []byte) error) error {
	plain, err := protocol.Marshal(rec)
	if err != nil {
		return err
	}
	defer clear(plain)
	text, err := seal.ArmorTo(plain, r.to)
	if err != nil {
		return err
	}
	return put(nodeKey, text)
}

// Close forgets the keys and lets other processes have them. Ciphers that were handed out go on working.
func (r *Ring) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	clear(r.rec.Audiences)
	r.rec, r.identities = nodeRecord{}, nil
	clear(r.audiences)
	r.epochs.close()
	err := r.lock.Close()
	r.dir.close()
	return err
}

// NodeKey returns the key that signs for this node.
func (r *Ring) NodeKey() *protocol.PrivateKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.key
}

// KID returns the id of the node's key.
func (r *Ring) KID() protocol.KID { return r.NodeKey().Public().ID() }

// Former returns the ids of the signing keys that [Ring.ReplaceNode] replaced, the oldest first.
func (r *Ring) Former() []protocol.KID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.rec.Former)
}

// TransportSeed returns the seed of the libp2p peer key. The ring must be open.
func (r *Ring) TransportSeed() [32]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mustBeOpen()
	return r.rec.Transport
}

// PeerKey returns the libp2p peer key. The ring must be open.
func (r *Ring) PeerKey() ed25519.PrivateKey {
	seed := r.TransportSeed()
	defer clear(seed[:])
	return ed25519.NewKeyFromSeed(seed[:])
}

// BadgerKey returns the key of the database's own encryption, which hides its keys. The ring must be open.
func (r *Ring) BadgerKey() [32]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mustBeOpen()
	return r.rec.Badger
}

// mustBeOpen keeps a caller from using a key of zeros.
func (r *Ring) mustBeOpen() {
	if r.closed {
		panic("keyring: a key was asked of a closed ring")
	}
}

// Local returns the cipher of this node's own values.
func (r *Ring) Local() *seal.Cipher { return r.local }

// Audience returns the cipher of an audience. The first call for a tag makes its data key, which is durable when the call
// returns. ErrDropped if the key was given up.
func (r *Ring) Audience(tag protocol.Hash) (*seal.Cipher, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.audiences[tag]; ok {
		return c, nil
	}
	i, found := r.find(tag)
	switch {
	case r.closed:
		return nil, ErrClosed
	case !found:
		if err := r.setAudience(audienceKey{Tag: tag, Key: newKey()}); err != nil {
			return nil, fmt.Errorf("keeping the key of a new audience: %w", err)
		}
	case r.rec.Audiences[i].Key == [32]byte{}:
		return nil, ErrDropped
	}
	c := seal.NewCipher(r.rec.Audiences[i].Key)
	r.audiences[tag] = c
	return c, nil
}

// HasAudience reports whether the audience has a data key. It makes none.
func (r *Ring) HasAudience(tag protocol.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, found := r.find(tag)
	return found && r.rec.Audiences[i].Key != [32]byte{}
}

// DropAudience forgets the data key of an audience, durably: what is sealed under it cannot be read any more (see the package's
// note on older copies), and [Ring.Audience] answers ErrDropped. Ciphers that were handed out before must be dropped by their
// holders.
func (r *Ring) DropAudience(tag protocol.Hash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if err := r.setAudience(audienceKey{Tag: tag}); err != nil {
		return fmt.Errorf("dropping the key of an audience: %w", err)
	}
	delete(r.audiences, tag)
	return nil
}

// RenewAudience makes a new data key for an audience whose key was given up, durably, as when a team comes back into a room that it
// had left. What was sealed under the former key stays closed. An audience that has a key keeps it. It is called only when the store
// has forgotten what was under the former key: a store that still has the cipher would go on with that.
func (r *Ring) RenewAudience(tag protocol.Hash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if i, found := r.find(tag); !found || r.rec.Audiences[i].Key != [32]byte{} {
		return nil
	}
	if err := r.setAudience(audienceKey{Tag: tag, Key: newKey()}); err != nil {
		return fmt.Errorf("keeping the new key of an audience: %w", err)
	}
	return nil
}

// setAudience puts a into the record and writes it. Nothing changes on an error. The caller holds the lock.
func (r *Ring) setAudience(a audienceKey) error {
	rec := r.rec
	i, found := r.find(a.Tag)
	if found {
		rec.Audiences = slices.Clone(rec.Audiences)
		rec.Audiences[i] = a
	} else if len(rec.Audiences) < MaxAudiences {
		rec.Audiences = slices.Insert(slices.Clone(rec.Audiences), i, a)
	} else {
		return fmt.Errorf("this node knows %d audiences already, and no more than that", MaxAudiences)
	}
	if err := r.write(&rec, r.dir.replace); err != nil {
		return err
	}
	clear(r.rec.Audiences)
	r.rec = rec
	return nil
}

// find returns where the tag is in the record, or belongs.
func (r *Ring) find(tag protocol.Hash) (int, bool) {
	return slices.BinarySearchFunc(r.rec.Audiences, tag, func(a audienceKey, t protocol.Hash) int {
		return bytes.Compare(a.Tag[:], t[:])
	})
}

func newKey() (k [32]byte) {
	rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return k
}

// OnDisk is [Unlock.OnDisk] of the secret that opened the ring, for the directory above that of the keys.
func (r *Ring) OnDisk() bool { return r.unlock.OnDisk(filepath.Dir(r.dir.path)) }

// Where is [Unlock.Where] of the secret that opened the ring, for the directory above that of the keys.
func (r *Ring) Where() string { return r.unlock.Where(filepath.Dir(r.dir.path)) }

// Format implements fmt.Formatter, so that no verb prints a key.
func (*Ring) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
