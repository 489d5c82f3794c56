package audit

import (
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/entente-network/entente/protocol"
)

// Errors that callers tell apart.
var (
	// ErrBroken says that the files do not fit the last checkpoint: cut, restored or changed. OpenReadOnly still shows
	// what is there, and OpenAfterBreak goes on.
	ErrBroken = errors.New("the disclosure log does not fit its last checkpoint")
	// ErrTampered says that something in the log, or a proof, is not what was written.
	ErrTampered = errors.New("the disclosure log was changed")
	// ErrLocked says that another process has the log open.
	ErrLocked = errors.New("the disclosure log is open in another process")
	// ErrErased says that the record was erased.
	ErrErased = errors.New("the record was erased")
)

// A Cipher seals records; store.Cipher has it.
type Cipher interface {
	Seal(plaintext, aad []byte) []byte
	Open(ciphertext, aad []byte) ([]byte, error)
}

type Log struct{}

var errTODO = errors.New("not yet")

func Open(dir string, c Cipher, key ed25519.PrivateKey, origin string, now func() time.Time) (*Log, error) {
	return nil, errTODO
}

func OpenReadOnly(dir string, c Cipher, key ed25519.PublicKey, origin string) (*Log, error) {
	return nil, errTODO
}

func OpenAfterBreak(dir string, c Cipher, key ed25519.PrivateKey, origin string, now func() time.Time, actor, reason string) (*Log, error) {
	return nil, errTODO
}

func (l *Log) Append(rs []Record) (first uint64, err error)                        { return 0, errTODO }
func (l *Log) Size() uint64                                                        { return 0 }
func (l *Log) Problem() error                                                      { return errTODO }
func (l *Log) Each(from uint64, fn func(*Entry) bool) error                        { return errTODO }
func (l *Log) Find(object protocol.Hash) ([]Entry, error)                          { return nil, errTODO }
func (l *Log) Checkpoint() ([]byte, error)                                         { return nil, errTODO }
func (l *Log) Prove(index uint64) ([]byte, error)                                  { return nil, errTODO }
func (l *Log) ProveExtends(old []byte) ([]byte, error)                             { return nil, errTODO }
func (l *Log) Extends(old []byte) error                                            { return errTODO }
func (l *Log) Verify() (Report, error)                                             { return Report{}, errTODO }
func (l *Log) EraseObject(object protocol.Hash, actor, reason string) (int, error) { return 0, errTODO }
func (l *Log) EraseBefore(t time.Time, actor, reason string) (int, error)          { return 0, errTODO }
func (l *Log) Close() error                                                        { return errTODO }

type Report struct {
	Records uint64
	Erased  uint64
	Breaks  []Entry
}

type Proven struct {
	Origin string
	Size   uint64
	Entry
}

func VerifyProof(text []byte, key ed25519.PublicKey) (*Proven, error) { return nil, errTODO }
func VerifyExtends(old, text []byte, key ed25519.PublicKey) error     { return errTODO }
