package seal

import (
	"bytes"
	"fmt"
	"io"

	"filippo.io/age/armor"
)

// MaxSmall is the greatest content of an armored file, in bytes. Armored files hold keys, not data.
const MaxSmall = 1 << 20

// maxArmored leaves room for base64 and the header.
const maxArmored = MaxSmall*3/2 + MaxHeader

// ArmorPassphrase returns plaintext as an armored age file that the passphrase opens; the work factor is that of
// [SealPassphrase].
func ArmorPassphrase(plaintext []byte, passphrase string, workFactor int) ([]byte, error) {
	return armored(plaintext, func(w io.Writer) (io.WriteCloser, error) { return SealPassphrase(w, passphrase, workFactor) })
}

// UnarmorPassphrase returns the content of a file that [ArmorPassphrase] made, whole or not at all. The caller clears it.
func UnarmorPassphrase(text []byte, passphrase string) ([]byte, error) {
	return unarmored(text, func(r io.Reader) (io.Reader, error) { return OpenPassphrase(r, passphrase) })
}

// ArmorTo returns plaintext as an armored age file that each of the recipients opens.
func ArmorTo(plaintext []byte, to ...Recipient) ([]byte, error) {
	return armored(plaintext, func(w io.Writer) (io.WriteCloser, error) { return Seal(w, to...) })
}

// UnarmorWith returns the content of a file that [ArmorTo] made, whole or not at all. The caller clears it.
func UnarmorWith(text []byte, ids ...Identity) ([]byte, error) {
	return unarmored(text, func(r io.Reader) (io.Reader, error) { return Open(r, ids...) })
}

func armored(plaintext []byte, sealTo func(io.Writer) (io.WriteCloser, error)) ([]byte, error) {
	if len(plaintext) > MaxSmall {
		return nil, fmt.Errorf("%d bytes are too many for an armored file: at most %d", len(plaintext), MaxSmall)
	}
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := sealTo(a)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plaintext); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := a.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unarmored(text []byte, open func(io.Reader) (io.Reader, error)) ([]byte, error) {
	if len(text) > maxArmored {
		return nil, fmt.Errorf("opening: %w: %d bytes are more than an armored file has", ErrDamaged, len(text))
	}
	bin, err := io.ReadAll(armor.NewReader(bytes.NewReader(text)))
	if err != nil {
		return nil, fmt.Errorf("opening: %w", ErrDamaged)
	}
	r, err := open(bytes.NewReader(bin))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, MaxSmall+1))
	if err != nil {
		clear(plain)
		return nil, err
	}
	if len(plain) > MaxSmall {
		clear(plain)
		return nil, fmt.Errorf("opening: %w: more than %d bytes", ErrDamaged, MaxSmall)
	}
	return plain, nil
}
