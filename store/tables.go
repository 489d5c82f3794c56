package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/dgraph-io/ristretto/v2/z"
	"google.golang.org/protobuf/proto"
)

// runningFile is locked while the store is open. It has content from the opening to an orderly end.
const runningFile = "running"

// claim takes the directory for this process. unclean says that its last user did not end orderly.
func claim(dir string) (f *os.File, unclean bool, err error) {
	if f, err = os.OpenFile(filepath.Join(dir, runningFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, false, err
	}
	ok, err := lockFile(f)
	if err == nil && !ok {
		err = fmt.Errorf("%s is in use by another process", dir)
	}
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			unclean = info.Size() > 0
			_, err = f.WriteAt([]byte("open\n"), 0)
		}
	}
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	return f, unclean, nil
}

// release gives the directory back. orderly says that nothing is left to mend.
func release(f *os.File, orderly bool) error {
	if f == nil {
		return nil
	}
	var err error
	if orderly {
		err = f.Truncate(0)
	}
	return errors.Join(err, f.Close())
}

// Badger ends the process over a damaged table file, when it opens or when it compacts it; a block that it cannot read ends an
// iteration as if nothing followed. So the files are looked at from outside.
//
// checkTables does so before Badger opens them: at the index and the last block of each, or at all blocks if the last user did
// not end orderly. Damaged tables are taken out of the manifest, and Badger then deletes them; what was in them is missing, and
// is fetched again. verifyTables looks at all blocks while the store is in use, and stops it if one is damaged. The next
// opening then mends it.

// A tableCheck reads table files.
type tableCheck struct {
	opt    badger.Options
	keys   *badger.KeyRegistry
	index  *ristretto.Cache[uint64, *fb.TableIndex]
	tables map[uint64]badger.TableManifest
	end    int64 // length of the part of the manifest that can be read
}

// newTableCheck reads manifest and keys; nil if there are none, or none that can be read: Badger reports that.
func newTableCheck(opt badger.Options) (*tableCheck, error) {
	tables, end, err := readManifest(opt)
	if err != nil {
		return nil, nil
	}
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: opt.Dir, ReadOnly: true, EncryptionKey: opt.EncryptionKey,
		EncryptionKeyRotationDuration: opt.EncryptionKeyRotationDuration})
	if err != nil {
		return nil, nil
	}
	index, err := ristretto.NewCache(&ristretto.Config[uint64, *fb.TableIndex]{NumCounters: 100, MaxCost: 1 << 20, BufferItems: 64})
	if err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	return &tableCheck{opt, keys, index, tables, end}, nil
}

func (tc *tableCheck) close() error {
	tc.index.Close()
	return tc.keys.Close()
}

func readManifest(opt badger.Options) (map[uint64]badger.TableManifest, int64, error) {
	f, err := os.Open(filepath.Join(opt.Dir, badger.ManifestFilename))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, opt.ExternalMagicVersion, opt)
	return m.Tables, end, err
}

// checkTables removes damaged tables before the store is opened, and returns how many. unclean says that all blocks are to be
// looked at.
func checkTables(opt badger.Options, unclean bool) (bad int, err error) {
	tc, err := newTableCheck(opt)
	if tc == nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, tc.close()) }()
	var set pb.ManifestChangeSet
	for id := range tc.tables {
		mf, err := z.OpenMmapFile(table.NewFilename(id, opt.Dir), os.O_RDONLY, 0)
		if err == nil {
			err = errors.Join(tc.check(id, mf.Data, unclean), mf.Close(-1))
		}
		if err != nil {
			set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
		}
	}
	if len(set.Changes) == 0 {
		return 0, nil
	}
	return len(set.Changes), tc.amend(&set)
}

// amend adds changes to the manifest, in the form of Badger's own.
func (tc *tableCheck) amend(set *pb.ManifestChangeSet) error {
	b, err := proto.Marshal(set)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(b, y.CastagnoliCrcTable))
	f, err := os.OpenFile(filepath.Join(tc.opt.Dir, badger.ManifestFilename), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(tc.end); err != nil { // as Badger does with what it cannot read
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(append(head, b...), tc.end)
	return errors.Join(err, f.Sync(), f.Close())
}

// verifyTables looks at all blocks of all tables that are there at opening. Tables that come later were written by this
// process. It ends when the store is closed.
func (s *Store) verifyTables(opt badger.Options) {
	defer close(s.verified)
	tc, err := newTableCheck(opt)
	if tc == nil || err != nil {
		return
	}
	defer tc.close()
	for id := range tc.tables {
		select {
		case <-s.quit:
			return
		default:
		}
		// Not mapped: Badger truncates a table before it deletes it.
		data, err := os.ReadFile(table.NewFilename(id, opt.Dir))
		if err != nil || tc.check(id, data, true) == nil {
			continue
		}
		if now, _, err := readManifest(opt); err == nil {
			if _, ok := now[id]; ok { // not one that was compacted meanwhile
				s.fail(fmt.Errorf("%w: the file of table %d is damaged", ErrBroken, id))
				return
			}
		}
	}
}

// check reads a table: its index and last block, or with all every block.
func (tc *tableCheck) check(id uint64, data []byte, all bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged: %v", r)
		}
	}()
	if err := checkFooter(data); err != nil {
		return err
	}
	dk, err := tc.keys.DataKey(tc.tables[id].KeyID)
	if err != nil {
		return err
	}
	t, err := table.OpenInMemoryTable(data, id, &table.Options{ReadOnly: true, BlockSize: tc.opt.BlockSize, DataKey: dk,
		Compression: tc.tables[id].Compression, ChkMode: options.OnBlockRead, IndexCache: tc.index})
	if err != nil || !all {
		return err
	}
	return t.VerifyChecksum()
}

// checkFooter checks the index of a table: its length and checksum, read from the end. Behind them is the only part of a table
// that Badger reads without bearing errors.
func checkFooter(b []byte) error {
	errFooter := errors.New("the end of the table is damaged")
	tail := func(n uint64) ([]byte, bool) {
		if n > uint64(len(b)) {
			return nil, false
		}
		t := b[uint64(len(b))-n:]
		b = b[:uint64(len(b))-n]
		return t, true
	}
	size, ok := tail(4)
	if !ok {
		return errFooter
	}
	sum, ok := tail(uint64(binary.BigEndian.Uint32(size)))
	if !ok || len(sum) > 64 {
		return errFooter
	}
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return err
	}
	if size, ok = tail(4); !ok {
		return errFooter
	}
	index, ok := tail(uint64(binary.BigEndian.Uint32(size)))
	if !ok || len(index) == 0 {
		return errFooter
	}
	return y.VerifyChecksum(index, &want)
}
