package store

import (
	"context"
	"io"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

type acceptRequest struct{}
type counters struct{}
type shortTag [8]byte
type blobKey struct{}
type BlobWriter struct{}

func (w *BlobWriter) Have() uint64                { return 0 }
func (w *BlobWriter) Write(p []byte) (int, error) { return 0, nil }
func (w *BlobWriter) Commit() error               { return nil }
func (w *BlobWriter) Abort() error                { return nil }

type Report struct{}
type FsckOptions struct{}
type Pruned struct{ Messages, Bytes uint64 }

func Open(dir string, k Keys, o Options) (*Store, error) { panic("todo") }
func OpenMemory(k Keys, o Options) (*Store, error)       { panic("todo") }
func (s *Store) Close() error                            { panic("todo") }
func (s *Store) Stats() Stats                            { panic("todo") }

func (s *Store) PutRecord(team protocol.TeamID, e *protocol.Envelope) error { panic("todo") }
func (s *Store) DeleteRecords(ids ...protocol.Hash) error                   { panic("todo") }
func (s *Store) Records(fn func(protocol.TeamID, *protocol.Envelope) error) error {
	panic("todo")
}
func (s *Store) TeamRecords(team protocol.TeamID, want map[protocol.Hash]bool) ([][]byte, error) {
	panic("todo")
}
func (s *Store) PutAct(a trust.OwnAct) error                                         { panic("todo") }
func (s *Store) Acts() ([]trust.OwnAct, error)                                       { panic("todo") }
func (s *Store) PutHeads(e *protocol.Envelope, h *protocol.Heads) error              { panic("todo") }
func (s *Store) Heads(kid protocol.KID) (*protocol.Envelope, *protocol.Heads, error) { panic("todo") }
func (s *Store) AllHeads(fn func(*protocol.Envelope, *protocol.Heads) bool) error    { panic("todo") }

func (s *Store) Accept(entries []Entry) ([]Outcome, error)             { panic("todo") }
func (s *Store) Extent(feed protocol.FeedID) (Extent, bool, error)     { panic("todo") }
func (s *Store) Extents() ([]Extent, error)                            { panic("todo") }
func (s *Store) Missing(feed protocol.FeedID, max int) ([]Span, error) { panic("todo") }
func (s *Store) SetFirst(feed protocol.FeedID, first uint64) error     { panic("todo") }
func (s *Store) Range(feed protocol.FeedID, from, to uint64, reverse bool, fn func(seq uint64, raw []byte) bool) error {
	panic("todo")
}
func (s *Store) Forks(fn func(feed protocol.FeedID, seq uint64, p protocol.ForkProof) bool) error {
	panic("todo")
}

func (s *Store) Message(id protocol.Hash) (*Message, error)  { panic("todo") }
func (s *Store) FindID(prefix string) (protocol.Hash, error) { panic("todo") }
func (s *Store) Inbox(q Query, fn func(*Message) bool) error { panic("todo") }
func (s *Store) LastN() uint64                               { panic("todo") }
func (s *Store) OpenBody(id protocol.Hash) (io.ReadSeekCloser, uint64, error) {
	panic("todo")
}
func (s *Store) SearchTerms(terms []string, limit int) ([]*Message, error) { panic("todo") }
func (s *Store) IndexPending(max int) ([]*Message, error)                  { panic("todo") }
func (s *Store) Index(n uint64, terms []string) error                      { panic("todo") }

func (s *Store) BlobHave(hash protocol.Hash) (have, size uint64, complete bool, err error) {
	panic("todo")
}
func (s *Store) BlobWriter(ref protocol.BlobRef) (*BlobWriter, error) { panic("todo") }
func (s *Store) StageBlob(ref protocol.BlobRef, a protocol.Audience) (*BlobWriter, error) {
	panic("todo")
}
func (s *Store) OpenBlob(hash protocol.Hash) (io.ReadSeekCloser, error) { panic("todo") }
func (s *Store) WantedBlobs(fn func(ref protocol.BlobRef, message protocol.Hash) bool) error {
	panic("todo")
}

func (s *Store) Prune(ctx context.Context, before time.Time) (Pruned, error) { panic("todo") }
func (s *Store) Fsck(ctx context.Context, o FsckOptions) (*Report, error)    { panic("todo") }
func (s *Store) Backup(ctx context.Context, w io.Writer) error               { panic("todo") }
func (s *Store) Load(ctx context.Context, r io.Reader) error                 { panic("todo") }
func (s *Store) RunGC(ctx context.Context) error                             { panic("todo") }
