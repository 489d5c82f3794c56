package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/entente-network/entente/protocol"
)

// Open opens the store in a directory, which is made if it is not there. The keys must be those that it was written with.
// Its work does not grow with the number of messages: it looks at the newest entry of each feed, where a crash of the
// machine leaves its traces.
func Open(dir string, k Keys, o Options) (*Store, error) {
	if dir == "" {
		return nil, errors.New("opening the store: no directory given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	secret := k.BadgerKey()
	// Values from 512 bytes on are in the value log: with them in the tables, memory grows to gigabytes. Badger panics with
	// encryption and no index cache. Blocks are checked when they are read: at opening it would cost as much as all tables.
	opt := badger.DefaultOptions(dir).
		WithMemTableSize(8 << 20).WithNumMemtables(2).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(6).WithNumCompactors(2).WithNumGoroutines(2).
		WithBlockCacheSize(8 << 20).WithIndexCacheSize(16 << 20).
		WithValueThreshold(512).WithValueLogFileSize(32 << 20).
		WithSyncWrites(true).WithChecksumVerificationMode(options.OnBlockRead).
		WithEncryptionKey(secret[:]).WithEncryptionKeyRotationDuration(30 * 24 * time.Hour)
	return open(dir, opt, k, o)
}

// OpenMemory opens an empty store that keeps nothing beyond Close. It is small: simulations run dozens of them, for days of
// simulated time. So it never compacts: Badger's compactors wake twenty times a second, also in that time.
func OpenMemory(k Keys, o Options) (*Store, error) {
	opt := badger.DefaultOptions("").WithInMemory(true).
		WithMemTableSize(3 << 20).WithNumMemtables(1).WithValueThreshold(300 << 10). // more than a chunk; a transaction takes the largest parcel and its statement
		WithNumLevelZeroTables(math.MaxInt32 - 1).WithNumLevelZeroTablesStall(math.MaxInt32).WithNumCompactors(0).WithNumGoroutines(1).
		WithBlockCacheSize(0).WithIndexCacheSize(0)
	return open("", opt, k, o)
}

func open(dir string, opt badger.Options, k Keys, o Options) (_ *Store, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	opt.BaseTableSize, opt.TableSizeMultiplier = 8<<20, 1 // tables of one size on all levels: they are checked one by one in memory
	opt = opt.WithLogger(nil).WithMetricsEnabled(false).WithCompression(options.None).WithDetectConflicts(false)
	if testOnlyTune != nil {
		opt = testOnlyTune(opt)
	}
	var running *os.File
	bad, unclean := 0, false
	if dir != "" {
		if running, unclean, err = claim(dir); err != nil {
			return nil, fmt.Errorf("opening the store: %w", err)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, release(running, false))
			}
		}()
		if bad, err = checkTables(opt, unclean); err != nil {
			return nil, fmt.Errorf("opening the store: %w", err)
		}
	}
	db, err := openBadger(opt)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s := &Store{
		db: db, keys: k, local: k.Local(), opt: o, dir: dir, running: running,
		queue: make(chan *acceptRequest, maxQueue), quit: make(chan struct{}), done: make(chan struct{}), idle: make(chan struct{}), verified: make(chan struct{}),
		audiences: map[shortTag]protocol.Hash{}, ciphers: map[protocol.Hash]Cipher{}, writing: map[blobKey]bool{},
	}
	s.damaged.Add(uint64(bad))
	if err := s.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store: %w", err), db.Close())
	}
	if dir != "" && !unclean {
		go s.verifyTables(opt)
	} else {
		close(s.verified)
	}
	go s.write()
	return s, nil
}

// testOnlyTune makes files small in tests.
var testOnlyTune func(badger.Options) badger.Options

// openBadger turns a panic over damaged files into an error.
func openBadger(opt badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the files are damaged beyond reading (%v): move the directory away; peers and a backup fill a new one", r)
		}
	}()
	return badger.Open(opt)
}

// start reads what the store needs in memory, and mends what a crash of the machine broke.
func (s *Store) start() error {
	if err := s.migrate(schemaVersion, migrations); err != nil {
		return err
	}
	if err := s.loadState(); err != nil {
		return err
	}
	if err := s.resumeForget(); err != nil {
		return err
	}
	return s.checkTails()
}

// loadState reads audiences and counters. The audiences are in the extents as well, if their own records were lost.
func (s *Store) loadState() error {
	return s.update(func(t *tx) error {
		tags := map[protocol.Hash]bool{communityTag: true}
		err := t.extents(func(_ protocol.FeedID, x *extentRec) error {
			if !x.Tag.IsZero() {
				tags[x.Tag] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.audMu.Lock()
		for tag := range tags {
			s.audiences[short(tag)] = tag
		}
		s.audMu.Unlock()
		err = t.scan([]byte{kAudience}, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			tag, err := t.open(item, s.local)
			if err == nil && len(tag) == 32 {
				s.audMu.Lock()
				s.audiences[short(protocol.Hash(tag))] = protocol.Hash(tag)
				s.audMu.Unlock()
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		if err := t.readRecord([]byte{kCounters}, s.local, &s.counters); err != nil {
			if s.counters, err = t.count(); err != nil {
				return err
			}
		}
		t.c = s.counters
		// The counters may be older than the messages if a part of the files was lost.
		return t.scan([]byte{kMessage}, nil, scanOptions{reverse: true}, func(item *badger.Item) (bool, error) {
			if p, ok := placeOf(item.Key()); ok {
				t.c.LastN = max(t.c.LastN, p.n)
			}
			return false, nil
		})
	})
}

// count makes the counters anew. Indexing begins again.
func (t *tx) count() (counters, error) {
	var c counters
	err := t.scan(nil, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
		k := item.Key()
		switch k[0] {
		case kMessage:
			c.Messages++
			c.LastN = max(c.LastN, numAt(k, 1))
		case kParcel:
			c.Parcels++
		}
		if bulky(k[0]) {
			c.add(len(k) + int(item.ValueSize()))
		}
		return true, nil
	})
	return c, err
}

// bulky reports whether entries with a prefix count in counters.Bytes.
func bulky(prefix byte) bool {
	switch prefix {
	case kMessage, kInner, kParcel, kChunk, kTerms, kPosting:
		return true
	}
	return false
}

// Close waits for what is under way and closes the store. Later calls of any method return ErrClosed.
func (s *Store) Close() error {
	s.life.Lock()
	if s.closing {
		s.life.Unlock()
		return ErrClosed
	}
	s.closing = true
	if s.users == 0 {
		close(s.idle)
	}
	s.life.Unlock()
	close(s.quit)
	<-s.done
	<-s.verified
	<-s.idle
	err := s.db.Close()
	if err != nil {
		err = fmt.Errorf("closing the store: %w", err)
	}
	return errors.Join(err, release(s.running, err == nil && s.failed == nil))
}

// Stats says how much the store holds.
func (s *Store) Stats() Stats {
	c := s.committed()
	st := Stats{Messages: c.Messages, Parcels: c.Parcels, Bytes: c.Bytes, LastN: c.LastN, Pending: c.LastN - min(c.LastN, c.Indexed),
		Damaged: s.damaged.Load(), Schema: schemaVersion}
	if s.dir != "" {
		// A file that vanishes meanwhile counts nothing.
		_ = filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				st.DiskBytes += uint64(info.Size())
			}
			return nil
		})
	}
	return st
}

// RunGC gives back disk space of what was deleted. It takes a while and is worth calling every few hours; Badger knows what
// can go only after it has compacted its tables, so space comes back late.
func (s *Store) RunGC(ctx context.Context) error {
	if s.dir == "" {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	for ctx.Err() == nil {
		switch err := s.db.RunValueLogGC(0.5); {
		case errors.Is(err, badger.ErrNoRewrite), errors.Is(err, badger.ErrRejected):
			return nil
		case err != nil:
			return fmt.Errorf("freeing disk space: %w", err)
		}
	}
	return ctx.Err()
}
