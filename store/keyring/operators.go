package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol/seal"
)

const operatorFile = "operator-"

// ErrElsewhere says that the operator's identity is not in the directory of keys: the person keeps it. It matches ErrNoKey.
var ErrElsewhere = fmt.Errorf("the operator keeps the identity elsewhere: name its file (%w)", ErrNoKey)

// armorStart begins an identity file that a passphrase protects.
var armorStart = []byte("-----BEGIN AGE ENCRYPTED FILE-----")

// An OperatorFile is what a directory of keys tells of an operator without a passphrase.
type OperatorFile struct {
	Name      string
	Recipient string
	Protected bool   // a passphrase opens the identity
	Elsewhere bool   // only the recipient is here
	Plugin    string // name of the plugin that does the work, if one does
}

// CreateOperator makes an identity for a person who reads what is sealed to persons, in dir, which it makes where it is missing.
// Its recipient goes into the team's manifest. ErrExists if the operator has one.
func CreateOperator(dir, name, passphrase string, workFactor int) (recipient string, err error) {
	id, err := seal.GenerateIdentity()
	if err != nil {
		return "", err
	}
	return addOperator(dir, name, id.Recipient(), func(f *folder) error {
		text, err := protectIdentities([]seal.Identity{id}, passphrase, workFactor)
		if err != nil {
			return err
		}
		return f.create(operatorFile+name+secretSuffix, text)
	})
}

// ImportOperator takes an identity that a person made, and returns its recipient. From an identity file of a plugin of age the
// line for the plugin is kept, which alone opens nothing. Of a file with an identity in the clear only the recipient is kept: the
// person keeps the file. Either argument may be empty: without a file there is only the recipient, and without a recipient it is
// that which the file tells.
func ImportOperator(dir, name, identityFile, recipient string) (string, error) {
	var to seal.Recipient
	var err error
	if recipient != "" {
		if to, err = seal.ParseRecipient(recipient); err != nil {
			return "", fmt.Errorf("operator %s: %w", name, err)
		}
	}
	var own seal.Identity
	if identityFile != "" {
		ids, told, err := readPersonFile(identityFile)
		if err != nil {
			return "", err
		}
		switch own = ids[0]; {
		case to.IsZero() && told.IsZero():
			return "", fmt.Errorf("%s does not tell the recipient: give it too", identityFile)
		case to.IsZero():
			to = told
		case !told.IsZero() && told.String() != to.String():
			return "", fmt.Errorf("%s is of another recipient than the one given", identityFile)
		}
	}
	if to.IsZero() {
		return "", fmt.Errorf("operator %s: neither an identity file nor a recipient was given", name)
	}
	return addOperator(dir, name, to, func(f *folder) error {
		if own.Plugin() == "" {
			return nil
		}
		return f.create(operatorFile+name+secretSuffix, []byte("# public key: "+to.String()+"\n"+own.Secret()+"\n"))
	})
}

// addOperator writes the files of an operator. The secret one is written before the public one, so that none is told of whose
// identity was lost in a crash.
func addOperator(dir, name string, to seal.Recipient, secret func(*folder) error) (string, error) {
	if err := checkPersonName("operator", name); err != nil {
		return "", err
	}
	f, err := createKeys(dir)
	if err != nil {
		return "", err
	}
	defer f.close()
	for _, suffix := range []string{secretSuffix, publicSuffix} {
		if f.has(operatorFile + name + suffix) {
			return "", fmt.Errorf("%s %w", f.file(operatorFile+name+suffix), ErrExists)
		}
	}
	if err := secret(f); err != nil {
		return "", err
	}
	return to.String(), f.create(operatorFile+name+publicSuffix, recipientFile(to))
}

// recipientFile is a recipients file of age.
func recipientFile(to seal.Recipient) []byte { return []byte(to.String() + "\n") }

// protectIdentities returns an identity file of age that a passphrase opens: the first identity is the present one.
func protectIdentities(ids []seal.Identity, passphrase string, workFactor int) ([]byte, error) {
	var b bytes.Buffer
	defer func() { clear(b.Bytes()) }()
	fmt.Fprintf(&b, "# public key: %s\n", ids[0].Recipient())
	for _, id := range ids {
		b.WriteString(id.Secret() + "\n")
	}
	return seal.ArmorPassphrase(b.Bytes(), passphrase, workFactor)
}

// OpenOperator returns the identities of an operator: the present one, then those before it, which open what is older. An
// identity of a plugin needs no passphrase, and a screen to ask on (seal.Identity.WithUI). Errors to tell apart: ErrNoKey,
// ErrElsewhere, seal.ErrWrongPassphrase.
func OpenOperator(dir, name, passphrase string) ([]seal.Identity, error) {
	if err := checkPersonName("operator", name); err != nil {
		return nil, err
	}
	f, err := openKeys(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.operator(name, passphrase)
}

func (f *folder) operator(name, passphrase string) ([]seal.Identity, error) {
	base := operatorFile + name
	text, err := f.read(base + secretSuffix)
	if errors.Is(err, ErrNoKey) && f.has(base+publicSuffix) {
		return nil, fmt.Errorf("operator %s: %w", name, ErrElsewhere)
	}
	if err != nil {
		return nil, err
	}
	ids, own, err := openPersonText(f.file(base+secretSuffix), text, passphrase)
	if err != nil {
		return nil, err
	}
	told, err := f.operatorRecipient(base)
	switch {
	case errors.Is(err, ErrNoKey): // a crash came between the two files
		return ids, f.create(base+publicSuffix, recipientFile(own))
	case err != nil:
		return nil, err
	case told.String() == own.String():
		return ids, nil
	}
	for _, id := range ids[1:] { // a crash came in the middle of a rotation
		if id.Recipient().String() == told.String() {
			return ids, f.replace(base+publicSuffix, recipientFile(own))
		}
	}
	return nil, fmt.Errorf("%s is not the public side of the identity beside it: one of them was replaced", f.file(base+publicSuffix))
}

// OpenOperatorFile returns the identities in a file that the person keeps, wherever it is: an identity file, in the clear or
// protected with a passphrase. Its permissions are the person's affair, as removable media often keep none.
func OpenOperatorFile(path, passphrase string) ([]seal.Identity, error) {
	text, err := readCarried(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	ids, _, err := openPersonText(path, text, passphrase)
	return ids, err
}

// ProtectedOperatorFile reports whether a file that the person keeps needs a passphrase.
func ProtectedOperatorFile(path string) (bool, error) {
	text, err := readCarried(path)
	if err != nil {
		return false, err
	}
	defer clear(text)
	return bytes.HasPrefix(text, armorStart), nil
}

func openPersonText(path string, text []byte, passphrase string) ([]seal.Identity, seal.Recipient, error) {
	if bytes.HasPrefix(text, armorStart) {
		plain, err := seal.UnarmorPassphrase(text, passphrase)
		if err != nil {
			return nil, seal.Recipient{}, fmt.Errorf("%s: %w", path, err)
		}
		defer clear(plain)
		text = plain
	}
	ids, to, err := seal.ReadPersonFile(bytes.NewReader(text))
	if err != nil {
		return nil, seal.Recipient{}, fmt.Errorf("%s: %w", path, err)
	}
	return ids, to, nil
}

func readPersonFile(path string) ([]seal.Identity, seal.Recipient, error) {
	text, err := readCarried(path)
	if err != nil {
		return nil, seal.Recipient{}, err
	}
	defer clear(text)
	if bytes.HasPrefix(text, armorStart) {
		return nil, seal.Recipient{}, fmt.Errorf("%s is protected with a passphrase: give the recipient in its place", path)
	}
	return openPersonText(path, text, "")
}

// RotateOperator makes a new identity for an operator whose identity a passphrase opens, and returns its recipient. The identities
// before stay in the file, so that older messages stay readable; at most seal.MaxPersonIdentities are kept.
func RotateOperator(dir, name, passphrase string, workFactor int) (recipient string, err error) {
	if err := checkPersonName("operator", name); err != nil {
		return "", err
	}
	f, err := openKeys(dir)
	if err != nil {
		return "", err
	}
	defer f.close()
	ids, err := f.operator(name, passphrase)
	if err != nil {
		return "", err
	}
	if ids[0].Plugin() != "" {
		return "", fmt.Errorf("the identity of operator %s is made by age-plugin-%s: make another with it, remove the operator and add it anew",
			name, ids[0].Plugin())
	}
	id, err := seal.GenerateIdentity()
	if err != nil {
		return "", err
	}
	ids = append([]seal.Identity{id}, ids...)
	ids = ids[:min(len(ids), seal.MaxPersonIdentities)]
	text, err := protectIdentities(ids, passphrase, workFactor)
	if err != nil {
		return "", err
	}
	if err := f.replace(operatorFile+name+secretSuffix, text); err != nil {
		return "", err
	}
	return id.Recipient().String(), f.replace(operatorFile+name+publicSuffix, recipientFile(id.Recipient()))
}

// RemoveOperator removes the files of an operator: what is sealed to the identity cannot be read any more, unless the person keeps
// it elsewhere. ErrNoKey if there is none of that name.
func RemoveOperator(dir, name string) error {
	if err := checkPersonName("operator", name); err != nil {
		return err
	}
	f, err := openKeys(dir)
	if err != nil {
		return err
	}
	defer f.close()
	found := false
	for _, suffix := range []string{secretSuffix, publicSuffix} {
		err := f.root.Remove(operatorFile + name + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		found = found || err == nil
	}
	if !found {
		return fmt.Errorf("operator %s: %w", name, ErrNoKey)
	}
	return f.sync()
}

// Operators returns the operators whose files are in dir, by name. It needs no passphrase.
func Operators(dir string) ([]OperatorFile, error) {
	f, err := openKeys(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	bases, err := f.withPublic(operatorFile)
	if err != nil {
		return nil, err
	}
	var out []OperatorFile
	for _, base := range bases {
		to, err := f.operatorRecipient(base)
		if err != nil {
			return nil, err
		}
		o := OperatorFile{Name: strings.TrimPrefix(base, operatorFile), Recipient: to.String()}
		text, err := f.read(base + secretSuffix)
		switch {
		case errors.Is(err, ErrNoKey):
			o.Elsewhere = true
		case err != nil:
			return nil, err
		case bytes.HasPrefix(text, armorStart):
			o.Protected = true
		default:
			ids, _, err := openPersonText(f.file(base+secretSuffix), text, "")
			if err != nil {
				return nil, err
			}
			o.Plugin = ids[0].Plugin()
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b OperatorFile) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (f *folder) operatorRecipient(base string) (seal.Recipient, error) {
	text, err := f.read(base + publicSuffix)
	if err != nil {
		return seal.Recipient{}, err
	}
	to, err := seal.ParseRecipient(strings.TrimSpace(string(text)))
	if err != nil {
		return seal.Recipient{}, fmt.Errorf("%s: %w", f.file(base+publicSuffix), err)
	}
	return to, nil
}
