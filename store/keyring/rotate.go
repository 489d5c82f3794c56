package keyring

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol/seal"
)

// A formerIdentity is an age identity that another one replaced.
type formerIdentity struct {
	Identity string `cbor:"1,keyasint"`
	Replaced int64  `cbor:"2,keyasint,omitzero"` // in Unix seconds; 0: not known
}

// identities parses the present identity, the one that waits, for what others seal to it already, and the former ones, the newest
// first.
func (rec *nodeRecord) identities() ([]seal.Identity, error) {
	secrets := []string{rec.Identity}
	if rec.Next != nil {
		secrets = append(secrets, rec.Next.Identity)
	}
	for _, f := range slices.Backward(rec.Identities) {
		secrets = append(secrets, f.Identity)
	}
	ids := make([]seal.Identity, len(secrets))
	for i, s := range secrets {
		var err error
		if ids[i], err = seal.ParseIdentity(s); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// newIdentity puts an identity in the place of the present one, which becomes a former one. Now is in Unix seconds, 0 if not known.
func (rec *nodeRecord) newIdentity(secret string, now int64) error {
	if len(rec.Identities) >= MaxIdentities {
		return fmt.Errorf("this node holds %d former identities already: destroy the old ones first", MaxIdentities)
	}
	rec.Identities = append(slices.Clone(rec.Identities), formerIdentity{Identity: rec.Identity, Replaced: now})
	rec.Identity, rec.Since = secret, now
	return nil
}

// Recipient returns the age recipient for what is sealed to this node: the text for its place in the manifest.
func (r *Ring) Recipient() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mustBeOpen()
	return r.identities[0].Recipient().String()
}

// Unseal returns a reader of what was sealed to this node's recipient: the present one, one that waits ([Ring.Prepare]), or a
// former one that was not destroyed. See package seal on reading a stream.
func (r *Ring) Unseal(sealed io.Reader) (io.Reader, error) {
	ids, err := r.openers()
	if err != nil {
		return nil, err
	}
	return seal.Open(sealed, ids...)
}

// UnsealSmall returns the content of a file of seal.SealSmall, opened as by [Ring.Unseal]. The errors are those of seal.OpenSmall,
// and ErrClosed.
func (r *Ring) UnsealSmall(file []byte) ([]byte, error) {
	ids, err := r.openers()
	if err != nil {
		return nil, err
	}
	return seal.OpenSmall(file, ids...)
}

func (r *Ring) openers() ([]seal.Identity, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	return r.identities, nil // never written to, only replaced
}

// Rotate makes a new age identity for what is sealed to the node from now on, and returns its recipient. It is in use when the
// call returns, and the former one still opens what was sealed to it, until [Ring.DestroyIdentities]. The signing key stays, so
// that no officer is needed.
func (r *Ring) Rotate(now time.Time) (recipient string, err error) {
	id, err := seal.GenerateIdentity()
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return "", ErrClosed
	}
	rec := r.rec
	if err := rec.newIdentity(id.Secret(), now.Unix()); err != nil {
		return "", err
	}
	if err := r.write(&rec, r.dir.replace); err != nil {
		return "", fmt.Errorf("rotating the node's identity: %w", err)
	}
	return id.Recipient().String(), r.adopt(rec)
}

// IdentitySince returns when the present age identity was taken into use, to the second. It is zero if that was not recorded: see
// [Ring.Date].
func (r *Ring) IdentitySince() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec.Since == 0 {
		return time.Time{}
	}
	return time.Unix(r.rec.Since, 0)
}

// Date records now as the time of what has none: the present age identity of a node that is new, was replaced, or is of an older
// version, and the former one that a replacement left. A node calls it when it starts. It writes only if there is something to
// record.
func (r *Ring) Date(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	undated := func(f formerIdentity) bool { return f.Replaced == 0 }
	if r.rec.Since != 0 && !slices.ContainsFunc(r.rec.Identities, undated) {
		return nil
	}
	rec := r.rec
	if rec.Since == 0 {
		rec.Since = now.Unix()
	}
	rec.Identities = slices.Clone(rec.Identities)
	for i := range rec.Identities {
		if undated(rec.Identities[i]) {
			rec.Identities[i].Replaced = now.Unix()
		}
	}
	if err := r.write(&rec, r.dir.replace); err != nil {
		return fmt.Errorf("dating the node's identity: %w", err)
	}
	r.rec = rec
	return nil
}

// DestroyIdentities forgets the former age identities that were replaced before a time, durably, and returns how many. What was
// sealed to them alone cannot be opened any more; the package's note on older copies holds here too. One whose time is not known
// stays.
func (r *Ring) DestroyIdentities(before time.Time) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, ErrClosed
	}
	rec := r.rec
	rec.Identities = slices.DeleteFunc(slices.Clone(rec.Identities), func(f formerIdentity) bool {
		return f.Replaced != 0 && f.Replaced < before.Unix()
	})
	n := len(r.rec.Identities) - len(rec.Identities)
	if n == 0 {
		return 0, nil
	}
	if err := r.write(&rec, r.dir.replace); err != nil {
		return 0, fmt.Errorf("destroying former identities: %w", err)
	}
	return n, r.adopt(rec)
}

// AuditKey returns the key that signs the node's audit log. It is another than the node's key, so that a node can be replaced and
// its log go on. The ring must be open.
func (r *Ring) AuditKey() ed25519.PrivateKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mustBeOpen()
	return ed25519.NewKeyFromSeed(r.rec.Audit[:])
}
