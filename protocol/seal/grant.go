package seal

import "errors"

// ErrOtherIdentity says that what was handed over is another identity than was announced.
var ErrOtherIdentity = errors.New("another identity than the one announced")

// NewEpochKey makes the identity of an epoch, and returns it with the recipient that the epoch announces.
func NewEpochKey() (Identity, string, error) {
	id, err := GenerateIdentity()
	if err != nil {
		return Identity{}, "", err
	}
	return id, id.Recipient().String(), nil
}

// SealIdentity returns the identity sealed to one recipient, as [SealSmall] seals: what a protocol.Grant carries. The file has
// less than 3 KiB. An identity of a plugin is refused.
func SealIdentity(id Identity, to Recipient) ([]byte, error) {
	if id.id == nil {
		return nil, errors.New("sealing an identity: it is missing, or a plugin's")
	}
	secret := []byte(id.Secret())
	defer clear(secret)
	return SealSmall(secret, to)
}

// OpenIdentity returns the identity in a file of [SealIdentity]. It has to be that of the recipient which was announced: so all to
// whom it was given hold the same. Errors to tell apart: [ErrNotRecipient], [ErrOtherIdentity]; whatever else is wrong is the
// maker's doing.
func OpenIdentity(file []byte, announced string, ids ...Identity) (Identity, error) {
	secret, err := OpenSmall(file, ids...)
	if err != nil {
		return Identity{}, err
	}
	defer clear(secret)
	id, err := ParseIdentity(string(secret))
	if err != nil || id.Recipient().String() != announced {
		return Identity{}, ErrOtherIdentity
	}
	return id, nil
}
