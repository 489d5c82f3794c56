package seal

import (
	"bytes"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"filippo.io/age"
	"filippo.io/age/tag"
	"filippo.io/hpke"
)

// Limits of what [SealSmall] makes.
const (
	MaxTo = 64 // stanzas, those of throw-away recipients included

	// maxSmallFile leaves room for the header, of 1,557 bytes for each hybrid recipient and 1,609 for each in hardware, and for
	// the tags of the chunks.
	maxSmallFile = MaxSmall + 128<<10
)

// SealSmall returns plain as a binary age file for 1 to [MaxTo] recipients, each given once. It hides the size of plain ([Pad])
// and the number of recipients: throw-away recipients, which nobody is, bring it to a power of two, and the order is a random one.
//
// What still shows: how many recipients have their key in hardware, if others have not, because their stanzas are of another type;
// and to whoever knows such a recipient, that it is one, because age puts a tag there.
func SealSmall(plain []byte, to ...Recipient) ([]byte, error) {
	if len(to) == 0 || len(to) > MaxTo {
		return nil, fmt.Errorf("sealing to %d recipients: want 1 to %d", len(to), MaxTo)
	}
	size := PaddedSize(uint64(len(plain)) + 1)
	if size > MaxSmall {
		return nil, fmt.Errorf("%d bytes are too many for a small file: at most %d with padding", len(plain), MaxSmall)
	}
	rs, err := recipients(to)
	if err != nil {
		return nil, err
	}
	if rs, err = hideCount(rs); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(len(rs)*1700 + 256 + int(size) + (int(size)/chunkSize+1)*chunkTag)
	w, err := age.Encrypt(&b, rs...)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	padded := Pad(plain)
	defer clear(padded)
	if _, err := w.Write(padded); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// hideCount returns the recipients in random order, with throw-away ones up to the next power of two. One throw-away key
// serves for all of a file: stanzas to one key cannot be told from stanzas to several.
func hideCount(rs []age.Recipient) ([]age.Recipient, error) {
	n := 1
	for n < len(rs) {
		n *= 2
	}
	if n > len(rs) {
		nobody, err := throwAway(rs)
		if err != nil {
			return nil, err
		}
		for len(rs) < n {
			rs = append(rs, nobody)
		}
	}
	if n > 1 {
		var seed [32]byte
		crand.Read(seed[:])
		rand.New(rand.NewChaCha8(seed)).Shuffle(n, func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
	}
	return rs, nil
}

// throwAway returns a recipient whose key nobody holds: one in hardware if all the others are, so that it looks as they do.
func throwAway(rs []age.Recipient) (age.Recipient, error) {
	soft := func(r age.Recipient) bool { _, hard := r.(*tag.Recipient); return !hard }
	if slices.ContainsFunc(rs, soft) {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			return nil, err
		}
		return id.Recipient(), nil
	}
	key, err := hpke.MLKEM768P256().GenerateKey()
	if err != nil {
		return nil, err
	}
	return tag.NewHybridRecipient(key.PublicKey().Bytes())
}

// OpenSmall returns the content of a file that [SealSmall] made, whole or not at all. At most [MaxTo] stanzas are looked at, and
// a file with more is refused before any work on keys. The caller clears the content.
//
// Errors to tell apart: [ErrNotRecipient]. Whatever else is wrong with a file is its maker's doing, and no other identity mends it.
func OpenSmall(file []byte, ids ...Identity) ([]byte, error) {
	as, err := identities(ids, MaxTo)
	if err != nil {
		return nil, err
	}
	if len(file) > maxSmallFile {
		return nil, fmt.Errorf("opening: %w: %d bytes are more than a small file has", ErrDamaged, len(file))
	}
	plain, size, err := age.DecryptReaderAt(bytes.NewReader(file), int64(len(file)), as...)
	if err != nil {
		return nil, openError(err, ErrNotRecipient)
	}
	if size > MaxSmall {
		return nil, fmt.Errorf("opening: %w: more than %d bytes", ErrDamaged, MaxSmall)
	}
	padded := make([]byte, size)
	if n, err := plain.ReadAt(padded, 0); int64(n) != size || err != nil && !errors.Is(err, io.EOF) {
		clear(padded)
		return nil, fmt.Errorf("opening: %w", ErrDamaged)
	}
	content, err := Unpad(padded)
	if err != nil {
		clear(padded)
		return nil, fmt.Errorf("opening: %w: %w", ErrDamaged, err)
	}
	return content, nil
}
