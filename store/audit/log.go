package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrBroken says that the files do not fit the last checkpoint: they were cut, restored or changed. OpenAfterBreak goes
	// on, and the log says so.
	ErrBroken = errors.New("the disclosure log does not fit its last checkpoint")
	// ErrTampered says that something is not what the log wrote. In a Fault it is with the record concerned.
	ErrTampered = errors.New("the disclosure log was changed")
	// ErrLocked says that another process has the log open.
	ErrLocked = errors.New("the disclosure log is open in another process")
	// ErrErased says that the record was erased.
	ErrErased = errors.New("the record was erased")
	// ErrNoRecord says that there is no record of that number.
	ErrNoRecord = errors.New("no such record")
	// ErrClosed says that the log was closed, or that a write failed so that nobody knows what the disk holds. Open it anew.
	ErrClosed = errors.New("the disclosure log is closed, or could not be written before")
)

// A Fault is the first record that does not fit. It matches ErrTampered.
type Fault struct {
	Index uint64
	Why   string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("record %d of the disclosure log: %s", f.Index, f.Why)
}

// Unwrap makes it match ErrTampered.
func (f *Fault) Unwrap() error { return ErrTampered }

// A Cipher seals what is of this node alone. It is safe for concurrent use.
type Cipher interface {
	// Seal returns the authenticated encryption of plaintext, bound to aad: at most 56 bytes longer, always by as many.
	Seal(plaintext, aad []byte) []byte
	// Open is the inverse of Seal; it fails for any other bytes and any other aad.
	Open(ciphertext, aad []byte) ([]byte, error)
}

// A Log is an open disclosure log. It is safe for concurrent use.
type Log struct {
	folder  *folder
	records *os.File
	sealer  sealer
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	base    string // origin before any break
	now     func() time.Time
	problem error // found while opening

	erasing sync.Mutex // one erasure or verification at a time; taken before writing
	writing sync.Mutex // one writer at a time; taken before mu
	edge    *edge      // with writing
	failed  error      // with writing: why nothing can be written any more

	queue   sync.Mutex
	pending *batch // what the next writer takes

	mu     sync.RWMutex // the slots and hashes below size, against erasure
	size   uint64       // durable records
	hashes stored
	last   *checkpoint
}

// Open opens the log in dir, made if it is not there, and cuts what a crash tore. Only one process may have it open.
//
// The origin names the log in its checkpoints; it must stay the same. ErrBroken says that the files do not fit together: the
// text says why.
func Open(dir string, c Cipher, key ed25519.PrivateKey, origin string, now func() time.Time) (*Log, error) {
	l, err := load(dir, c, key, origin, now)
	if err != nil {
		return nil, err
	}
	if l.problem == nil {
		err = l.settle()
	} else {
		err = l.problem
	}
	if err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// OpenAfterBreak is Open for a log that may be broken: refusing to start would stop every restricted exchange, so it goes on,
// and nothing hides the break. The files are copied into a directory
// broken-N. The log goes on after the last record before the first one that does not fit, with a record of the break; it
// has the actor, the reason, and the checkpoint that was given up. The origin of checkpoints is then origin/N: towards
// everyone else this is another log. A log that is not broken is just opened.
func OpenAfterBreak(dir string, c Cipher, key ed25519.PrivateKey, origin string, now func() time.Time, actor, reason string) (*Log, error) {
	l, err := load(dir, c, key, origin, now)
	if err != nil {
		return nil, err
	}
	if l.problem == nil {
		err = l.settle()
	} else {
		err = l.restart(actor, reason)
	}
	if err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// load opens the files and finds out how many records there are. It makes files that are missing, and changes nothing in
// those that are there.
func load(dir string, c Cipher, key ed25519.PrivateKey, origin string, now func() time.Time) (*Log, error) {
	public := key.Public().(ed25519.PublicKey)
	if _, err := verifier(origin, public); err != nil {
		return nil, err
	}
	sealed, err := sealedSize(c)
	if err != nil {
		return nil, err
	}
	d, err := openFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the disclosure log: %w", err)
	}
	l := &Log{folder: d, sealer: sealer{cipher: c, sealed: sealed}, public: public, private: key, base: origin, now: now}
	if err := l.load(); err != nil {
		l.release()
		return nil, fmt.Errorf("opening the disclosure log: %w", err)
	}
	return l, nil
}

func (l *Log) load() error {
	text, err := l.readCheckpoint()
	if err != nil {
		return err
	}
	if l.records, err = l.folder.open(recordsFile, true); err != nil {
		return err
	}
	if l.hashes.file, err = l.folder.open(hashesFile, true); err != nil {
		return err
	}
	count, hashBytes, err := l.lengths()
	if err != nil {
		return err
	}
	if text == nil && count == 0 && hashBytes == 0 {
		return l.create()
	}
	return l.examine(text, count)
}

// lengths returns how many whole slots of records there are, and the size of the file of hashes.
func (l *Log) lengths() (count uint64, hashBytes int64, err error) {
	st, err := l.records.Stat()
	if err != nil {
		return 0, 0, err
	}
	if n := st.Size() / slotSize; n > 0 {
		count = uint64(n - 1)
	}
	if st, err = l.hashes.file.Stat(); err != nil {
		return 0, 0, err
	}
	return count, st.Size(), nil
}

// readCheckpoint returns nil where there is none.
func (l *Log) readCheckpoint() ([]byte, error) {
	f, err := l.folder.open(checkpointFile, false)
	if f == nil || err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxCheckpoint+int64(len(brokenMark))+1))
}

// create makes the files of a new log. It is new until it has a checkpoint.
func (l *Log) create() error {
	rand.Read(l.sealer.id[:])
	l.edge = &edge{}
	if err := errors.Join(writeAt(l.records, l.sealer.header(), 0), truncate(l.records, slotSize), syncFile(l.records)); err != nil {
		return err
	}
	if err := l.folder.syncParent(); err != nil {
		return err
	}
	return l.writeCheckpoint()
}

// settle makes a log that was found whole ready to write: the tail that load found gets its hashes and a checkpoint.
func (l *Log) settle() error {
	if err := truncate(l.records, slotAt(l.size)); err != nil {
		return err
	}
	if err := errors.Join(syncFile(l.records), l.hashes.flush(), syncFile(l.hashes.file)); err != nil {
		return err
	}
	if err := l.redoErasures(); err != nil {
		return err
	}
	if l.last.size == l.size {
		return nil
	}
	return l.writeCheckpoint()
}

// Size returns the number of records.
func (l *Log) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.size
}

// Origin returns the origin of the next checkpoint.
func (l *Log) Origin() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.origin()
}

func (l *Log) origin() string {
	if l.last == nil {
		return l.base
	}
	return l.last.origin
}

// Close writes a checkpoint and closes the files.
func (l *Log) Close() error {
	l.erasing.Lock()
	defer l.erasing.Unlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.records == nil {
		return nil
	}
	var err error
	if l.failed == nil && l.last.size != l.size {
		err = l.writeCheckpoint()
	}
	l.failed = ErrClosed
	return errors.Join(err, l.release())
}

// release closes the files.
func (l *Log) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := []error{l.folder.close()}
	for _, f := range []*os.File{l.records, l.hashes.file} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	l.records = nil
	return errors.Join(errs...)
}

// Checkpoint makes the present tree the one that the files are measured by, and returns its signed text. A caller does
// so every hour; the log does so besides every CheckpointEvery records and when it is closed.
func (l *Log) Checkpoint() ([]byte, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.failed != nil {
		return nil, l.failed
	}
	if l.last.size != l.size {
		if err := l.writeCheckpoint(); err != nil {
			return nil, fmt.Errorf("writing the checkpoint of the disclosure log: %w", err)
		}
	}
	return bytes.Clone(l.last.text), nil
}

// writeCheckpoint signs the present tree after its hashes are durable. The records are.
func (l *Log) writeCheckpoint() error {
	if err := syncFile(l.hashes.file); err != nil {
		return err
	}
	cp, err := signCheckpoint(l.private, l.origin(), l.edge.size, l.edge.root())
	if err != nil {
		return err
	}
	if err := l.folder.replace(checkpointFile, cp.text); err != nil {
		return err
	}
	l.mu.Lock()
	l.last = cp
	l.mu.Unlock()
	return nil
}
