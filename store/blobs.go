package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// ChunkSize is how much of a blob is sealed, stored and resumed at a time.
const ChunkSize = 256 << 10

// blobMeta is what the store knows of a blob.
type blobMeta struct {
	Tag      protocol.Hash `cbor:"1,keyasint"` // of the audience whose key seals the chunks
	Have     uint64        `cbor:"2,keyasint"` // bytes held from the beginning, in whole chunks until Complete
	Complete bool          `cbor:"3,keyasint,omitempty"`
	Made     uint64        `cbor:"4,keyasint"` // Unix seconds
}

// blob reads what is known of a blob.
func (t *tx) blob(b blobKey) (*blobMeta, error) {
	var m blobMeta
	if err := t.readRecord(b.meta(), t.s.local, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

func (t *tx) putBlob(b blobKey, m *blobMeta) error { return t.putRecord(b.meta(), t.s.local, m) }

// want notes that the message n refers to a blob, which is fetched if it is not there.
func (t *tx) want(b blobKey, tag protocol.Hash, n uint64) error {
	if err := t.Set(b.ref(n), nil); err != nil {
		return err
	}
	m, err := t.blob(b)
	if err != nil {
		m = &blobMeta{Tag: tag, Made: uint64(t.s.opt.Now().Unix())}
		if err := t.putBlob(b, m); err != nil {
			return err
		}
	}
	if m.Complete {
		return nil
	}
	return t.Set(b.wanted(), nil)
}

// WantedBlobs visits the blobs that are not whole, each with a message that refers to it. A blob that was staged and that no
// message refers to is left out. tags are the channels of the message: who is at their ends may have the blob.
func (s *Store) WantedBlobs(fn func(ref protocol.BlobRef, message protocol.Hash, tags []protocol.Hash) bool) error {
	return s.view(func(t *tx) error {
		return t.scan([]byte{kWanted}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			k := item.Key()
			if len(k) != keyLengths[kWanted] {
				return true, nil
			}
			b := blobAt(k)
			more := true
			err := t.refs(b, func(n uint64) bool {
				pl, err := t.placeN(n)
				if err != nil {
					return true
				}
				rec, _, err := t.messageRec(pl)
				if err != nil {
					return true
				}
				more = fn(protocol.BlobRef{Size: b.size, Hash: b.hash}, rec.ID, t.tagsOf(pl, rec.ID))
				return false
			})
			return more, err
		})
	})
}

// refs visits the numbers of the messages that refer to a blob.
func (t *tx) refs(b blobKey, fn func(n uint64) bool) error {
	return t.scan(b.refs(), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
		return len(item.Key()) != keyLengths[kBlobRef] || fn(numAt(item.Key(), 41)), nil
	})
}

// BlobHave returns how much of a blob is held, from its beginning, and its size; zeros for one that is not known.
func (s *Store) BlobHave(hash protocol.Hash) (have, size uint64, complete bool, err error) {
	err = s.view(func(t *tx) error {
		return t.scan(key(kBlob, hash), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kBlob] {
				return true, nil
			}
			b := blobAt(item.Key())
			if m, err := t.blob(b); err == nil && (m.Complete || size == 0 || m.Have > have) {
				have, size, complete = m.Have, b.size, m.Complete
			}
			return !complete, nil
		})
	})
	return have, size, complete, err
}

// A BlobWriter takes in the bytes of a blob from where they end. It is not safe for concurrent use, and has to be ended by
// Commit or Abort.
type BlobWriter struct {
	s    *Store
	blob blobKey
	meta blobMeta
	c    Cipher
	buf  []byte // less than a chunk
	done bool
}

// BlobWriter goes on with a blob that a message refers to. ErrNotFound: none does. ErrBusy: another writer is at it.
func (s *Store) BlobWriter(ref protocol.BlobRef) (*BlobWriter, error) {
	return s.blobWriter(blobOf(ref), nil)
}

// BlobTags returns the channels of the messages that refer to a blob, or, while there is none, the one that it was staged for;
// ErrNotFound: it is not known.
func (s *Store) BlobTags(hash protocol.Hash) ([]protocol.Hash, error) {
	var tags []protocol.Hash
	err := s.view(func(t *tx) error {
		return t.scan(key(kBlob, hash), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kBlob] {
				return true, nil
			}
			b := blobAt(item.Key())
			found := false
			err := t.refs(b, func(n uint64) bool {
				pl, err := t.placeN(n)
				if err != nil {
					return true
				}
				rec, _, err := t.messageRec(pl)
				if err != nil {
					return true
				}
				found = true
				for _, tag := range t.tagsOf(pl, rec.ID) {
					if !slices.Contains(tags, tag) {
						tags = append(tags, tag)
					}
				}
				return len(tags) < maxAlso
			})
			if m, merr := t.blob(b); !found && err == nil && merr == nil && !slices.Contains(tags, m.Tag) {
				tags = append(tags, m.Tag)
			}
			return true, err
		})
	})
	if err == nil && len(tags) == 0 {
		err = ErrNotFound
	}
	return tags, err
}

// StageBlob begins, or goes on with, a blob whose message is yet to be accepted. It is kept under the key of the channel of
// that tag. Without a message, Prune and Fsck remove it after a day.
func (s *Store) StageBlob(ref protocol.BlobRef, tag protocol.Hash) (*BlobWriter, error) {
	if ref.Size == 0 || ref.Size > protocol.MaxBlob || ref.Hash.IsZero() {
		return nil, fmt.Errorf("a blob of %d bytes: want 1 to %d, and a hash", ref.Size, protocol.MaxBlob)
	}
	return s.blobWriter(blobOf(ref), &tag)
}

func (s *Store) blobWriter(b blobKey, stage *protocol.Hash) (*BlobWriter, error) {
	s.blobMu.Lock()
	if s.writing[b] {
		s.blobMu.Unlock()
		return nil, ErrBusy
	}
	s.writing[b] = true
	s.blobMu.Unlock()
	w := &BlobWriter{s: s, blob: b, buf: make([]byte, 0, ChunkSize)}
	err := s.update(func(t *tx) error {
		m, err := t.blob(b)
		if err != nil && stage == nil {
			if err := t.rebuildBlob(b); err != nil {
				return err
			}
			if m, err = t.blob(b); err != nil {
				return err
			}
		}
		if err != nil {
			m = &blobMeta{Tag: *stage, Made: uint64(s.opt.Now().Unix())}
			if err := t.addAudience(m.Tag); err != nil {
				return err
			}
			if err := t.putBlob(b, m); err != nil {
				return err
			}
		}
		w.meta = *m
		w.c, err = s.cipher(m.Tag)
		return err
	})
	if err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

func (w *BlobWriter) end() {
	w.done = true
	w.s.blobMu.Lock()
	delete(w.s.writing, w.blob)
	w.s.blobMu.Unlock()
}

// Have returns how many bytes are held: what Write gets next is from there on. It is the size if the blob is complete.
func (w *BlobWriter) Have() uint64 { return w.meta.Have + uint64(len(w.buf)) }

// Write takes the next bytes. Every whole chunk is on the disk when it returns.
func (w *BlobWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, errors.New("writing to a blob after its end")
	}
	if uint64(len(p)) > w.blob.size-w.Have() {
		return 0, fmt.Errorf("more bytes than the blob's %d", w.blob.size)
	}
	n := 0
	for len(p) > 0 {
		m := min(len(p), ChunkSize-len(w.buf))
		w.buf = append(w.buf, p[:m]...)
		if len(w.buf) == ChunkSize {
			if err := w.flush(); err != nil {
				w.buf = w.buf[:len(w.buf)-m]
				return n, err
			}
		}
		p, n = p[m:], n+m
	}
	return n, nil
}

// flush stores the buffered bytes as the next chunk.
func (w *BlobWriter) flush() error {
	meta := w.meta
	meta.Have += uint64(len(w.buf))
	err := w.s.update(func(t *tx) error {
		if err := w.s.room(t.c.Bytes + uint64(len(w.buf))); err != nil {
			return err
		}
		m, err := t.blob(w.blob)
		if err != nil {
			return fmt.Errorf("the blob was removed meanwhile: %w", err)
		}
		if m.Tag != w.meta.Tag {
			return fmt.Errorf("the blob is another channel's by now: %w", ErrNotFound)
		}
		if _, err := w.s.cipher(m.Tag); err != nil {
			return err // given up
		}
		k := w.blob.chunk(uint32(w.meta.Have / ChunkSize))
		t.c.sub(t.sizeOf(k))
		size, err := t.put(k, w.c, w.buf)
		if err != nil {
			return err
		}
		t.c.add(size)
		return t.putBlob(w.blob, &meta)
	})
	if err == nil {
		w.meta, w.buf = meta, w.buf[:0]
	}
	return err
}

// Commit ends the blob: it reads all of it back and compares its hash. ErrBlobHash: the bytes were wrong, and are dropped.
func (w *BlobWriter) Commit() error {
	if w.done {
		return errors.New("committing a blob after its end")
	}
	defer w.end()
	if w.meta.Complete {
		return nil
	}
	if w.Have() != w.blob.size {
		return fmt.Errorf("a blob of %d bytes has %d only", w.blob.size, w.Have())
	}
	if len(w.buf) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	got, err := w.s.hashBlob(w.blob, w.meta.Tag)
	if errors.Is(err, ErrNotFound) {
		return w.s.cutBlob(w.blob, got.good)
	}
	if err != nil {
		return err
	}
	if got.sum != w.blob.hash {
		if err := w.s.cutBlob(w.blob, 0); err != nil {
			return err
		}
		return ErrBlobHash
	}
	w.meta.Complete = true
	return w.s.update(func(t *tx) error {
		var refs []uint64
		if err := t.refs(w.blob, func(n uint64) bool {
			refs = append(refs, n)
			return len(refs) < 1000
		}); err != nil {
			return err
		}
		for _, n := range refs {
			if err := t.Set(key(kReindex, n), nil); err != nil {
				return err
			}
		}
		if err := t.Delete(w.blob.wanted()); err != nil {
			return err
		}
		return t.putBlob(w.blob, &w.meta)
	})
}

// Abort ends the writing. Whole chunks stay, so that it can go on from there.
func (w *BlobWriter) Abort() error {
	if !w.done {
		w.end()
	}
	return nil
}

// blobSum is the hash of a blob's chunks, and how many bytes could be read.
type blobSum struct {
	sum  protocol.Hash
	good uint64
}

// hashBlob reads the chunks of a blob; ErrNotFound where one cannot be read.
func (s *Store) hashBlob(b blobKey, tag protocol.Hash) (blobSum, error) {
	c, err := s.cipher(tag)
	if err != nil {
		return blobSum{}, err
	}
	h := sha256.New()
	var good uint64
	for i := range b.chunks() {
		p, err := s.chunk(b, i, c)
		if err != nil {
			return blobSum{good: good}, err
		}
		h.Write(p)
		good += uint64(len(p))
	}
	return blobSum{protocol.Hash(h.Sum(nil)), good}, nil
}

// chunk reads one chunk of a blob.
func (s *Store) chunk(b blobKey, i uint32, c Cipher) ([]byte, error) {
	var p []byte
	err := s.view(func(t *tx) (err error) {
		p, err = t.read(b.chunk(i), c)
		if want := min(ChunkSize, b.size-uint64(i)*ChunkSize); err == nil && uint64(len(p)) != want {
			t.s.damaged.Add(1)
			err = errDamaged
		}
		return err
	})
	return p, err
}

// cutBlob drops the chunks of a blob from a byte on, and wants it again.
func (s *Store) cutBlob(b blobKey, good uint64) error {
	return s.update(func(t *tx) error {
		m, err := t.blob(b)
		if err != nil {
			return err
		}
		have := min(good/ChunkSize*ChunkSize, m.Have)
		w := s.db.NewWriteBatch()
		defer w.Cancel()
		if err := t.dropChunks(w, b, uint32(have/ChunkSize)); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		m.Have, m.Complete = have, false
		if err := t.putBlob(b, m); err != nil {
			return err
		}
		referred := false
		if err := t.refs(b, func(uint64) bool { referred = true; return false }); err != nil || !referred {
			return err
		}
		return t.Set(b.wanted(), nil)
	})
}

// dropChunks deletes chunks from an index on.
func (t *tx) dropChunks(w *badger.WriteBatch, b blobKey, from uint32) error {
	return t.scan(key(kChunk, b.hash, b.size), b.chunk(from), scanOptions{}, func(item *badger.Item) (bool, error) {
		t.c.sub(len(item.Key()) + int(item.ValueSize()))
		return true, w.Delete(item.KeyCopy(nil))
	})
}

// OpenBlob opens a blob that is complete; ErrNotFound otherwise. A chunk that cannot be read any more ends the reading with
// ErrNotFound, and the blob is wanted again from there on.
func (s *Store) OpenBlob(hash protocol.Hash) (io.ReadSeekCloser, error) {
	var whole *blobKey
	err := s.view(func(t *tx) error {
		return t.scan(key(kBlob, hash), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kBlob] {
				return true, nil
			}
			b := blobAt(item.Key())
			if m, err := t.blob(b); err == nil && m.Complete {
				whole = &b
			}
			return whole == nil, nil
		})
	})
	if err != nil {
		return nil, err
	}
	if whole == nil {
		return nil, ErrNotFound
	}
	return s.openBlob(*whole)
}

func (s *Store) openBlob(b blobKey) (io.ReadSeekCloser, error) {
	r := &blobReader{s: s, blob: b, at: -1}
	err := s.view(func(t *tx) error {
		m, err := t.blob(b)
		if err != nil {
			return err
		}
		if !m.Complete {
			return ErrNotFound
		}
		r.c, err = s.cipher(m.Tag)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// A blobReader reads a blob, with one chunk in memory.
type blobReader struct {
	s    *Store
	blob blobKey
	c    Cipher
	off  int64
	at   int64 // index of the chunk in buf; -1: none
	buf  []byte
}

func (r *blobReader) Read(p []byte) (int, error) {
	if r.c == nil {
		return 0, errors.New("reading a blob after it was closed")
	}
	if r.off >= int64(r.blob.size) {
		return 0, io.EOF
	}
	if i := r.off / ChunkSize; i != r.at {
		b, err := r.s.chunk(r.blob, uint32(i), r.c)
		if errors.Is(err, ErrNotFound) {
			return 0, errors.Join(err, r.s.cutBlob(r.blob, uint64(i)*ChunkSize))
		}
		if err != nil {
			return 0, err
		}
		r.buf, r.at = b, i
	}
	n := copy(p, r.buf[r.off%ChunkSize:])
	r.off += int64(n)
	return n, nil
}

func (r *blobReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += int64(r.blob.size)
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, errors.New("seeking before the beginning of a blob")
	}
	r.off = offset
	return offset, nil
}

func (r *blobReader) Close() error {
	r.c, r.buf, r.at = nil, nil, -1
	return nil
}
