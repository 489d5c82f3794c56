package seal

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
)

// identities returns what age asks to open a file of at most limit stanzas.
func identities(ids []Identity, limit int) ([]age.Identity, error) {
	var as []age.Identity
	for _, id := range ids {
		if a := id.age(); a != nil {
			as = append(as, only{a, limit})
		}
	}
	if len(as) == 0 {
		return nil, errors.New("opening: no identity given")
	}
	return as, nil
}

// only is an identity that refuses files which are sealed to recipients of other kinds besides, or to too many.
type only struct {
	id    age.Identity
	limit int
}

func (o only) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) > o.limit {
		return nil, errMany
	}
	for _, s := range stanzas {
		if s.Type != stanzaHybrid && s.Type != stanzaHardware {
			return nil, errMixed
		}
	}
	return o.id.Unwrap(stanzas)
}

// openError says why age did not open a file. Age's own text repeats parts of the file.
func openError(err, noMatch error) error {
	var failed *readError
	var device *pluginError
	var other *age.NoIdentityMatchError
	switch {
	case errors.As(err, &failed):
		return fmt.Errorf("opening: %w", failed.err)
	case errors.Is(err, errMixed):
		return fmt.Errorf("opening: %w", errMixed)
	case errors.Is(err, errMany):
		return fmt.Errorf("opening: %w", errMany)
	case errors.As(err, &device):
		return fmt.Errorf("opening: %w", device)
	case !errors.As(err, &other):
		return fmt.Errorf("opening: %w", ErrDamaged)
	case errors.Is(noMatch, ErrWrongPassphrase) && (len(other.StanzaTypes) != 1 || other.StanzaTypes[0] != "scrypt"):
		return fmt.Errorf("opening: %w", errPassphrase)
	}
	return fmt.Errorf("opening: %w", noMatch)
}

// chunkError says why age gave no more of a file that it opened.
func chunkError(err error) error {
	var failed *readError
	if errors.As(err, &failed) {
		return fmt.Errorf("opening: %w", failed.err)
	}
	return fmt.Errorf("opening: %w", ErrDamaged)
}

// A readError is an error that is not the file's fault, but that of what it is read from.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func sourceError(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &readError{err}
}

// source is what an age file is read from. It bounds the header.
type source struct {
	r    io.Reader
	left int // bytes that may still be read; negative: no limit any more
}

func (s *source) Read(p []byte) (int, error) {
	if s.left >= 0 && len(p) > s.left {
		if s.left == 0 {
			return 0, errTooLong
		}
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	if s.left >= 0 {
		s.left -= n
	}
	return n, sourceError(err)
}

// opened gives what age authenticated, and tells a failing disk from a changed file.
type opened struct{ plain io.Reader }

func (o opened) Read(p []byte) (int, error) {
	n, err := o.plain.Read(p)
	if err != nil && err != io.EOF {
		err = chunkError(err)
	}
	return n, err
}

// sourceAt is source for a file that is read at any place.
type sourceAt struct{ r io.ReaderAt }

func (s sourceAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	return n, sourceError(err)
}

// openedAt is opened for a file that is read at any place.
type openedAt struct{ plain io.ReaderAt }

func (o openedAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.plain.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = chunkError(err)
	}
	return n, err
}

// asReaderAt returns r as something that is read at any place.
func asReaderAt(r io.ReadSeeker) io.ReaderAt {
	if at, ok := r.(io.ReaderAt); ok {
		return at
	}
	return &seekingAt{r: r, off: -1}
}

// seekingAt reads at any place by seeking, unless it is there already.
type seekingAt struct {
	mu  sync.Mutex
	r   io.ReadSeeker
	off int64 // negative: not known
}

func (s *seekingAt) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off != off {
		s.off = -1
		if _, err := s.r.Seek(off, io.SeekStart); err != nil {
			return 0, err
		}
		s.off = off
	}
	n, err := io.ReadFull(s.r, p)
	s.off += int64(n)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	if err != nil && err != io.EOF {
		s.off = -1
	}
	return n, err
}
