package keyring

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/tyler-smith/go-bip39"

	"github.com/entente-network/entente/protocol"
)

// RecoveryWords is the number of words of a recovery key: 256 bits and a checksum of 8.
const RecoveryWords = 24

// ErrRecoveryWords is wrapped by every error that says: these are not the words of a recovery key.
var ErrRecoveryWords = errors.New("not the words of a recovery key")

// NewRecovery makes a recovery key. The words (BIP-39, English) are all that need be kept; they are shown once, on paper, and
// stored nowhere. The set is what the root record commits to; its salt follows from the words as well.
func NewRecovery() (*protocol.PrivateKey, string, protocol.SealedSet, error) {
	entropy := make([]byte, 32)
	rand.Read(entropy)
	defer clear(entropy)
	words, err := bip39.NewMnemonic(entropy)
	if err != nil {
		return nil, "", protocol.SealedSet{}, err
	}
	key, set, err := recovery(entropy)
	return key, words, set, err
}

// RecoveryFromWords returns the recovery key of the words. Case, spaces, line ends, punctuation and numbering do not matter. Its
// errors tell the place of a wrong word and never a word.
func RecoveryFromWords(words string) (*protocol.PrivateKey, protocol.SealedSet, error) {
	list := strings.FieldsFunc(strings.ToLower(words), func(r rune) bool { return !unicode.IsLetter(r) })
	for i, w := range list {
		if _, ok := bip39.GetWordIndex(w); !ok {
			return nil, protocol.SealedSet{}, fmt.Errorf("%w: word %d of %d, of %d letters, is not in the list: check its spelling",
				ErrRecoveryWords, i+1, len(list), len([]rune(w)))
		}
	}
	if len(list) != RecoveryWords {
		return nil, protocol.SealedSet{}, fmt.Errorf("%w: %d words, and there must be %d", ErrRecoveryWords, len(list), RecoveryWords)
	}
	entropy, err := bip39.EntropyFromMnemonic(strings.Join(list, " "))
	if err != nil {
		return nil, protocol.SealedSet{}, fmt.Errorf("%w: each word is in the list, but the last one, which checks the others, does not fit: "+
			"a word is wrong or two are in each other's place", ErrRecoveryWords)
	}
	defer clear(entropy)
	return recovery(entropy)
}

func recovery(entropy []byte) (*protocol.PrivateKey, protocol.SealedSet, error) {
	seed, err := hkdf.Key(sha256.New, entropy, nil, "entente/v1/recovery/seed", 32)
	if err != nil {
		return nil, protocol.SealedSet{}, err
	}
	defer clear(seed)
	salt, err := hkdf.Key(sha256.New, entropy, nil, "entente/v1/recovery/salt", 16)
	if err != nil {
		return nil, protocol.SealedSet{}, err
	}
	key, err := protocol.KeyFromSeed(protocol.Hybrid, [32]byte(seed))
	if err != nil {
		return nil, protocol.SealedSet{}, err
	}
	return key, protocol.SealedSet{Keys: []protocol.PublicKey{key.Public()}, Threshold: 1, Salt: [16]byte(salt)}, nil
}
