package store

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// errDamaged is a value that is there and cannot be believed. To callers it is not found.
var errDamaged = fmt.Errorf("damaged: %w", ErrNotFound)

// counters are the small numbers that change with every intake. Bytes counts parcels, messages, blobs and postings.
type counters struct {
	LastN    uint64 `cbor:"1,keyasint"`
	Received uint64 `cbor:"2,keyasint"` // of LastN, Unix milliseconds: it never falls
	Bytes    uint64 `cbor:"3,keyasint"`
	Messages uint64 `cbor:"4,keyasint"`
	Parcels  uint64 `cbor:"5,keyasint"`
	Indexed  uint64 `cbor:"6,keyasint"` // every message up to this number was indexed, or cannot be read
}

func (c *counters) add(n int) { c.Bytes += uint64(n) }
func (c *counters) sub(n int) { c.Bytes -= min(c.Bytes, uint64(n)) }

// A tx reads, and writes if it was made by update.
type tx struct {
	*badger.Txn
	s    *Store
	c    counters  // written at the commit
	lost []blobKey // blobs that messages refer to and of which nothing is known: view wants them again
}

// enter keeps Close waiting until leave. Methods that were entered may call each other.
func (s *Store) enter() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closing {
		return ErrClosed
	}
	if s.failed != nil {
		return s.failed
	}
	s.users++
	return nil
}

// fail stops the store: a file is damaged in a way that only opening anew mends. Every later call gets the error.
func (s *Store) fail(err error) {
	s.damaged.Add(1)
	s.life.Lock()
	defer s.life.Unlock()
	if s.failed == nil {
		s.failed = err
	}
}

func (s *Store) leave() {
	s.life.Lock()
	defer s.life.Unlock()
	s.users--
	if s.closing && s.users == 0 {
		close(s.idle)
	}
}

// view runs fn on a snapshot.
func (s *Store) view(fn func(t *tx) error) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	defer s.caught(&err)
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	t := &tx{Txn: txn, s: s}
	err = fn(t)
	for _, b := range t.lost {
		// If it fails, the next reader tries again.
		_ = s.update(func(t *tx) error {
			if _, err := t.blob(b); err == nil {
				return nil
			}
			return t.rebuildBlob(b)
		})
	}
	return err
}

// update runs fn and commits what it wrote, synced. It is the only writer while it runs.
func (s *Store) update(fn func(t *tx) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	return s.updateLocked(fn)
}

// updateLocked is update for a caller that holds writeMu and has entered.
func (s *Store) updateLocked(fn func(t *tx) error) (err error) {
	if s.broken != nil {
		return s.broken
	}
	defer s.caught(&err)
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	t := &tx{Txn: txn, s: s, c: s.counters}
	if err := fn(t); err != nil {
		return err
	}
	if t.c != s.counters {
		if err := t.putRecord([]byte{kCounters}, s.local, &t.c); err != nil {
			return err
		}
	}
	if err := commit(txn); err != nil {
		s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
		if errors.Is(err, syscall.ENOSPC) {
			s.broken = fmt.Errorf("%w: %w", ErrFull, s.broken)
		}
		return s.broken
	}
	s.counters = t.c
	return nil
}

// committed returns the counters as of the last commit. The caller does not hold writeMu.
func (s *Store) committed() counters {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	return s.counters
}

// testOnlyCommit fails commits in tests.
var testOnlyCommit func() error

func commit(txn *badger.Txn) error {
	if testOnlyCommit != nil {
		if err := testOnlyCommit(); err != nil {
			return err
		}
	}
	return txn.Commit()
}

// caught turns a panic of Badger, which damaged table files can cause, into an error. What was read is not believed.
func (s *Store) caught(err *error) {
	r := recover()
	if r == nil {
		return
	}
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.HasPrefix(f.Function, "runtime.") {
			continue
		}
		if !strings.HasPrefix(f.Function, "github.com/dgraph-io/") {
			panic(r) // a mistake of ours, or of a caller's function
		}
		break
	}
	*err = fmt.Errorf("%w: a table file is damaged: %v", ErrBroken, r)
	s.fail(*err)
}

// read returns the value under k, opened with c. The error is ErrNotFound or errDamaged, which is counted.
func (t *tx) read(k []byte, c Cipher) ([]byte, error) {
	item, err := t.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil { // a block of a table
		err = fmt.Errorf("%w: a table file is damaged: %w", ErrBroken, err)
		t.s.fail(err)
		return nil, err
	}
	return t.open(item, c)
}

// open opens the value of an item with c.
func (t *tx) open(item *badger.Item, c Cipher) ([]byte, error) {
	var plain []byte
	err := item.Value(func(v []byte) (err error) {
		if len(v) == 0 {
			return errDamaged
		}
		plain, err = c.Open(v, item.Key())
		return err
	})
	if err != nil {
		t.s.damaged.Add(1)
		return nil, errDamaged
	}
	return plain, nil
}

// readRecord reads a value of a struct type of this package.
func (t *tx) readRecord(k []byte, c Cipher, v any) error {
	b, err := t.read(k, c)
	if err != nil {
		return err
	}
	return t.decode(b, v)
}

func (t *tx) decode(b []byte, v any) error {
	if err := protocol.Unmarshal(b, v); err != nil {
		t.s.damaged.Add(1)
		return errDamaged
	}
	return nil
}

// put seals and writes a value, and returns what it costs.
func (t *tx) put(k []byte, c Cipher, plain []byte) (int, error) {
	v := c.Seal(plain, k)
	return len(k) + len(v), t.Set(k, v)
}

func (t *tx) putRecord(k []byte, c Cipher, v any) error {
	b, err := protocol.Marshal(v)
	if err != nil {
		return err
	}
	_, err = t.put(k, c, b)
	return err
}

// has reports whether the key is there, whatever its value is.
func (t *tx) has(k []byte) bool {
	_, err := t.Get(k)
	return err == nil
}

// sizeOf returns what the entry under k costs, about.
func (t *tx) sizeOf(k []byte) int {
	item, err := t.Get(k)
	if err != nil {
		return 0
	}
	return len(k) + int(item.ValueSize())
}

// scan visits the entries whose keys begin with prefix, from the key seek on (nil: all), until fn returns false. The item
// is valid during the call. A transaction that writes has one scan at a time.
func (t *tx) scan(prefix, seek []byte, o scanOptions, fn func(item *badger.Item) (bool, error)) error {
	it := t.iterator(prefix, o)
	defer it.Close()
	if seek == nil {
		seek = prefix
		if o.reverse {
			seek = append(append([]byte(nil), prefix...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		}
	}
	for it.Seek(seek); it.Valid(); it.Next() {
		more, err := fn(it.Item())
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// scanOptions say what a scan fetches ahead, and in which direction it goes.
type scanOptions struct{ values, reverse bool }

func (t *tx) iterator(prefix []byte, o scanOptions) *badger.Iterator {
	return t.NewIterator(badger.IteratorOptions{Prefix: prefix, PrefetchValues: o.values, PrefetchSize: 16, Reverse: o.reverse})
}

// cipher returns the cipher of an audience.
func (s *Store) cipher(tag protocol.Hash) (Cipher, error) {
	s.audMu.Lock()
	defer s.audMu.Unlock()
	if c, ok := s.ciphers[tag]; ok {
		return c, nil
	}
	c, err := s.keys.Audience(tag)
	if err != nil {
		return nil, fmt.Errorf("the data key of an audience: %w", err)
	}
	s.ciphers[tag] = c
	return c, nil
}

// cipherOf returns the cipher of the audience that a key names.
func (s *Store) cipherOf(a shortTag) (Cipher, error) {
	s.audMu.Lock()
	tag, ok := s.audiences[a]
	s.audMu.Unlock()
	if !ok {
		return nil, errDamaged
	}
	return s.cipher(tag)
}

// cipherFor returns the cipher of the value under a key; nil for a key without value.
func (t *tx) cipherFor(k []byte) (Cipher, error) {
	switch k[0] {
	case kReindex, kBlobRef, kWanted, kPosting, kHeld, kLink, kClosed:
		return nil, nil
	case kMessage, kTerms, kInner:
		return t.s.cipherOf(shortTag(k[9:17]))
	case kRoom, kRoomNote:
		return t.s.cipherOf(shortTag(k[1:9]))
	case kParcel, kFork:
		x, err := t.extent(hashAt(k, 1))
		if err != nil {
			return nil, err
		}
		return t.s.cipher(x.Tag)
	case kChunk:
		m, err := t.blob(blobAt(k))
		if err != nil {
			return nil, err
		}
		return t.s.cipher(m.Tag)
	}
	return t.s.local, nil
}

// tagOf returns the whole tag of an audience; zero if it is not known.
func (s *Store) tagOf(a shortTag) protocol.Hash {
	s.audMu.Lock()
	defer s.audMu.Unlock()
	return s.audiences[a]
}

// tags returns the audiences that the store holds something of.
func (s *Store) tags() []protocol.Hash {
	s.audMu.Lock()
	defer s.audMu.Unlock()
	var out []protocol.Hash
	for _, tag := range s.audiences {
		out = append(out, tag)
	}
	return out
}

// addAudience notes that the store holds something of the audience.
func (t *tx) addAudience(tag protocol.Hash) error {
	t.s.audMu.Lock()
	known, ok := t.s.audiences[short(tag)]
	if !ok {
		t.s.audiences[short(tag)] = tag // only says where to look: no harm if the commit fails
	}
	t.s.audMu.Unlock()
	if ok && known != tag {
		return errors.New("two audiences have tags that begin alike: the second is refused")
	}
	k := key(kAudience, short(tag))
	if t.has(k) {
		return nil
	}
	_, err := t.put(k, t.s.local, tag[:])
	return err
}
