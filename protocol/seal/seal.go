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
	errMany       = errors.New("sealed to more recipients than allowed")
	errPassphrase = errors.New("not sealed with a passphrase")
	errTooLong    = errors.New("longer than allowed")
)

// Seal returns a writer that encrypts to w for all the recipients. The file is whole only after Close returned nil; Close does
// not close w. A stolen identity opens everything ever sealed to it: there is no forward secrecy.
func Seal(w io.Writer, to ...Recipient) (io.WriteCloser, error) {
	if len(to) == 0 || len(to) > MaxRecipients {
		return nil, fmt.Errorf("sealing to %d recipients: want 1 to %d", len(to), MaxRecipients)
	}
	rs, err := recipients(to)
	if err != nil {
		return nil, err
	}
	return age.Encrypt(w, rs...)
}

// Open returns a reader of what was sealed to one of the identities. See the package's note on reading a stream.
func Open(r io.Reader, ids ...Identity) (io.Reader, error) {
	as, err := identities(ids, MaxRecipients)
	if err != nil {
		return nil, err
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
	if err != nil {
		return nil, openError(err, noMatch)
	}
	src.left = -1
	return opened{plain}, nil
}
