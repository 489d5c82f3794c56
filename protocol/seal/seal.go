package seal

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// Limits of age files.
const (
	MaxRecipients = 256       // recipients of one file
	MaxHeader     = 512 << 10 // bytes before the content: 1,557 for each hybrid recipient, and some read ahead

	// MinWorkFactor and MaxWorkFactor bound scrypt's work factor N, for a work of 2^N. Opening needs 2^N KiB of memory, so a
	// file of unknown origin can ask for 4 GiB and some 15 seconds.
	MinWorkFactor = 10
	MaxWorkFactor = 22
	// DefaultWorkFactor takes half a second or less and 128 MiB. Zero stands for it.
	DefaultWorkFactor = 17
)

// Errors of opening. They never repeat content, passphrase or identity.
var (
	ErrWrongPassphrase = errors.New("wrong passphrase")
	ErrNotRecipient    = errors.New("sealed to other recipients")
	ErrDamaged         = errors.New("not a whole age file: it was cut or changed, or is something else")

	errMixed      = errors.New("sealed also to a recipient that is not hybrid")
	errPassphrase = errors.New("not sealed with a passphrase")
	errTooLong    = errors.New("longer than allowed")
)

// Seal returns a writer that encrypts to w for all the recipients. The file is whole only after Close returned nil; Close does
// not close w. A stolen identity opens everything ever sealed to it: there is no forward secrecy.
func Seal(w io.Writer, to ...Recipient) (io.WriteCloser, error) {
	if len(to) == 0 || len(to) > MaxRecipients {
		return nil, fmt.Errorf("sealing to %d recipients: want 1 to %d", len(to), MaxRecipients)
	}
	rs := make([]age.Recipient, len(to))
	for i, r := range to {
		if r.IsZero() {
			return nil, fmt.Errorf("sealing: recipient %d of %d is missing", i+1, len(to))
		}
		rs[i] = r.r
	}
	return age.Encrypt(w, rs...)
}

// Open returns a reader of what was sealed to one of the identities. See the package's note on reading a stream.
func Open(r io.Reader, ids ...Identity) (io.Reader, error) {
	var as []age.Identity
	for _, id := range ids {
		if !id.IsZero() {
			as = append(as, only(id))
		}
	}
	if len(as) == 0 {
		return nil, errors.New("opening: no identity given")
	}
	return open(r, ErrNotRecipient, as...)
}

// SealPassphrase returns a writer that encrypts to w. The file is whole only after Close returned nil; Close does not close w.
// The work factor is 0 for the default, or between [MinWorkFactor] and [MaxWorkFactor].
func SealPassphrase(w io.Writer, passphrase string, workFactor int) (io.WriteCloser, error) {
	if workFactor == 0 {
		workFactor = DefaultWorkFactor
	}
	if workFactor < MinWorkFactor || workFactor > MaxWorkFactor {
		return nil, fmt.Errorf("scrypt work factor %d: want %d to %d", workFactor, MinWorkFactor, MaxWorkFactor)
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, errors.New("an empty passphrase seals nothing")
	}
	r.SetWorkFactor(workFactor)
	return age.Encrypt(w, r)
}

// OpenPassphrase returns a reader of what was sealed with the passphrase. See the package's note on reading a stream.
func OpenPassphrase(r io.Reader, passphrase string) (io.Reader, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: it is empty", ErrWrongPassphrase)
	}
	id.SetMaxWorkFactor(MaxWorkFactor)
	return open(r, ErrWrongPassphrase, id)
}

func open(r io.Reader, noMatch error, ids ...age.Identity) (io.Reader, error) {
	src := &source{r: r, left: MaxHeader}
	plain, err := age.Decrypt(src, ids...)
	src.left = -1
	if err == nil {
		return &opened{plain: plain, src: src}, nil
	}
	var other *age.NoIdentityMatchError
	switch {
	case src.err != nil:
		return nil, fmt.Errorf("opening: %w", src.err)
	case errors.Is(err, errMixed):
		return nil, fmt.Errorf("opening: %w", errMixed)
	case !errors.As(err, &other):
		return nil, fmt.Errorf("opening: %w", ErrDamaged) // age's own text repeats parts of the file
	case errors.Is(noMatch, ErrWrongPassphrase) && (len(other.StanzaTypes) != 1 || other.StanzaTypes[0] != "scrypt"):
		return nil, fmt.Errorf("opening: %w", errPassphrase)
	}
	return nil, fmt.Errorf("opening: %w", noMatch)
}

// source is what an age file is read from. It bounds the header and remembers an error that is not the file's fault.
type source struct {
	r    io.Reader
	left int // bytes that may still be read; negative: no limit any more
	err  error
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
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// opened gives what age authenticated, and tells a failing disk from a changed file.
type opened struct {
	plain io.Reader
	src   *source
}

func (o *opened) Read(p []byte) (int, error) {
	n, err := o.plain.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case o.src.err != nil:
		return n, fmt.Errorf("opening: %w", o.src.err)
	}
	return n, fmt.Errorf("opening: %w", ErrDamaged)
}
