package seal

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
)

// MaxBlob is the greatest content of a blob, in bytes.
const MaxBlob = 1 << 40

// Sizes of age files.
const (
	chunkSize = 64 << 10 // bytes of content in a chunk
	chunkTag  = 16       // by how many bytes a sealed chunk is longer
	nonceSize = 16       // between header and chunks

	oneHeader = 1627 // bytes of the header of a file for one hybrid recipient

	readAhead = 4 * chunkSize // bytes that a Blob decrypts at a time
)

// NewBlobKey makes the identity that opens one blob. Its text goes to those who may open it, inside of something sealed to
// them.
func NewBlobKey() (Identity, error) { return GenerateIdentity() }

// SealedSize returns the exact size of what [SealBlob] writes for size bytes, which are at most [MaxBlob].
func SealedSize(size uint64) uint64 {
	padded := PaddedSize(size)
	return oneHeader + nonceSize + padded + (padded+chunkSize-1)/chunkSize*chunkTag
}

// SealBlob returns a writer that encrypts size bytes to w, for the holder of the key alone, followed by zeros up to
// [PaddedSize]. Its memory does not grow with size. What it wrote is whole only after Close returned nil; Close does not close
// w, and is an error if other than size bytes were written.
//
// Two calls give two different files for the same content: who wants to go on after a break keeps the file.
func SealBlob(w io.Writer, key Identity, size uint64) (io.WriteCloser, error) {
	if key.id == nil {
		return nil, errors.New("sealing a blob: no key given")
	}
	if size > MaxBlob {
		return nil, fmt.Errorf("a blob of %d bytes: at most %d", size, uint64(MaxBlob))
	}
	sealed, err := age.Encrypt(w, key.id.Recipient())
	if err != nil {
		return nil, fmt.Errorf("sealing a blob: %w", err)
	}
	return &blobWriter{sealed: sealed, size: size, left: size}, nil
}

type blobWriter struct {
	sealed     io.WriteCloser
	size, left uint64
	err        error // of an earlier call
}

func (w *blobWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if uint64(len(p)) > w.left {
		w.err = fmt.Errorf("sealing a blob: more than the %d bytes that were announced", w.size)
		return 0, w.err
	}
	n, err := w.sealed.Write(p)
	w.left -= uint64(n)
	w.err = err
	return n, err
}

func (w *blobWriter) Close() error {
	if w.err != nil {
		return w.err
	}
	w.err = errors.New("sealing a blob: it was closed")
	if w.left > 0 {
		return fmt.Errorf("sealing a blob: %d of %d bytes are missing", w.left, w.size)
	}
	zeros := make([]byte, chunkSize)
	for pad := PaddedSize(w.size) - w.size; pad > 0; {
		n := min(pad, chunkSize)
		if _, err := w.sealed.Write(zeros[:n]); err != nil {
			return err
		}
		pad -= n
	}
	return w.sealed.Close()
}

// A Blob reads what [SealBlob] sealed, from anywhere in it. ReadAt may be called concurrently; Read and Seek may not. It gives
// only bytes that authenticate, and the last one only after it found the padding to be zeros. After damage was found, an error
// that is [ErrDamaged] is given in place of the bytes; another error is that of the reader below.
type Blob struct {
	plain        io.ReaderAt
	src          io.Closer
	size, padded int64

	off   int64 // of Read
	ahead []byte
	start int64 // of ahead

	once    sync.Once
	padding error
}

// OpenBlob opens the blob in r, of cipherSize bytes, for size bytes of content. It reads the header and the last chunk, and no
// more than [Blob]'s methods ask for. The Blob owns r; on an error the caller still does.
//
// Errors to tell apart: [ErrNotRecipient] if the key is another blob's; [ErrDamaged], also if cipherSize is not [SealedSize] of
// size.
func OpenBlob(r io.ReadSeekCloser, cipherSize int64, key Identity, size uint64) (*Blob, error) {
	if key.id == nil {
		return nil, errors.New("opening a blob: no key given")
	}
	if size > MaxBlob || cipherSize < 0 || uint64(cipherSize) != SealedSize(size) {
		return nil, fmt.Errorf("opening a blob: %w: %d bytes are not what %d bytes are sealed to", ErrDamaged, cipherSize, size)
	}
	as, err := identities([]Identity{key}, 1)
	if err != nil {
		return nil, err
	}
	plain, padded, err := age.DecryptReaderAt(sourceAt{asReaderAt(r)}, cipherSize, as...)
	if err != nil {
		return nil, openError(err, ErrNotRecipient)
	}
	if uint64(padded) != PaddedSize(size) {
		return nil, fmt.Errorf("opening a blob: %w: its header is not that of a blob", ErrDamaged)
	}
	return &Blob{plain: openedAt{plain}, src: r, size: int64(size), padded: padded}, nil
}

// Size returns the number of bytes of content.
func (b *Blob) Size() int64 { return b.size }

// Close closes what the blob is read from.
func (b *Blob) Close() error {
	clear(b.ahead)
	b.ahead = nil
	return b.src.Close()
}

// ReadAt implements io.ReaderAt.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("reading a blob: negative offset")
	}
	if off >= b.size {
		return 0, b.end()
	}
	short := false
	if left := b.size - off; int64(len(p)) >= left {
		short = int64(len(p)) > left
		p = p[:left]
		if err := b.checkPadding(); err != nil {
			return 0, err
		}
	}
	n, err := b.plain.ReadAt(p, off)
	if n == len(p) {
		err = nil
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// Read implements io.Reader.
func (b *Blob) Read(p []byte) (int, error) {
	if b.off >= b.size {
		return 0, b.end()
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.off < b.start || b.off >= b.start+int64(len(b.ahead)) {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.ahead[b.off-b.start:])
	b.off += int64(n)
	return n, nil
}

// fill decrypts the chunks from the one that the offset is in.
func (b *Blob) fill() error {
	if b.ahead == nil {
		b.ahead = make([]byte, min(readAhead, b.size))
	}
	b.start = b.off &^ (chunkSize - 1)
	b.ahead = b.ahead[:min(int64(cap(b.ahead)), b.size-b.start)]
	n, err := b.ReadAt(b.ahead, b.start)
	b.ahead = b.ahead[:n]
	if b.off < b.start+int64(n) {
		return nil // an error shows when its place is read
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Seek implements io.Seeker.
func (b *Blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += b.off
	case io.SeekEnd:
		offset += b.size
	default:
		return 0, errors.New("seeking in a blob: unknown whence")
	}
	if offset < 0 {
		return 0, errors.New("seeking in a blob: before its start")
	}
	b.off = offset
	return offset, nil
}

func (b *Blob) end() error {
	if err := b.checkPadding(); err != nil {
		return err
	}
	return io.EOF
}

// checkPadding reads what follows the content, once.
func (b *Blob) checkPadding() error {
	b.once.Do(func() {
		buf := make([]byte, min(readAhead, b.padded-b.size))
		for off := b.size; off < b.padded; {
			// Up to the end of a chunk, so that no chunk is decrypted twice.
			n := min(int64(len(buf)), b.padded-off, readAhead-off%chunkSize)
			if got, err := b.plain.ReadAt(buf[:n], off); int64(got) != n {
				b.padding = err
				return
			}
			for _, c := range buf[:n] {
				if c != 0 {
					b.padding = fmt.Errorf("opening a blob: %w: %w", ErrDamaged, errPadding)
					return
				}
			}
			off += n
		}
	})
	return b.padding
}
