package keyring

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

// MaxOfficerName is the greatest length of an officer's or operator's name, in bytes: it is part of a file name.
const MaxOfficerName = 64

const (
	rootFile     = "root"
	officerFile  = "officer-"
	secretSuffix = ".key"
	publicSuffix = ".pub"
	pemPublic    = "ENTENTE PUBLIC KEY"
	fileVersion  = 1
)

// A secretFile is what the file of a root or officer key holds.
type secretFile struct {
	Version uint64       `cbor:"1,keyasint"`
	Use     protocol.Use `cbor:"2,keyasint"`
	Name    string       `cbor:"3,keyasint,omitempty"`
	Seed    [32]byte     `cbor:"4,keyasint"`
}

// A publicFile is what lies beside it, readable without the passphrase.
type publicFile struct {
	Version uint64             `cbor:"1,keyasint"`
	Use     protocol.Use       `cbor:"2,keyasint"`
	Name    string             `cbor:"3,keyasint,omitempty"`
	Key     protocol.PublicKey `cbor:"4,keyasint"`
}

// An Officer is the public side of an officer key in a directory of keys.
type Officer struct {
	Name string
	Key  protocol.PublicKey
}

// CreateRoot makes a root key in dir, which it makes where it is missing. ErrExists if one is there.
func CreateRoot(dir, passphrase string, workFactor int) (*protocol.PrivateKey, error) {
	return createPerson(dir, rootFile, protocol.UseRoot, "", passphrase, workFactor)
}

// CreateOfficer makes an officer key in dir, which it makes where it is missing. ErrExists if the officer has one.
func CreateOfficer(dir, name, passphrase string, workFactor int) (*protocol.PrivateKey, error) {
	if err := checkPersonName("officer", name); err != nil {
		return nil, err
	}
	return createPerson(dir, officerFile+name, protocol.UseOfficer, name, passphrase, workFactor)
}

func createPerson(dir, base string, use protocol.Use, name, passphrase string, workFactor int) (*protocol.PrivateKey, error) {
	f, err := createKeys(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if f.has(base + secretSuffix) {
		return nil, fmt.Errorf("%s %w", f.file(base+secretSuffix), ErrExists)
	}
	if f.has(base + publicSuffix) {
		return nil, fmt.Errorf("%s %w: the key itself was carried away; bring it back, or remove this file to make another",
			f.file(base+publicSuffix), ErrExists)
	}
	key, seed, err := protocol.GenerateKey(protocol.Hybrid)
	if err != nil {
		return nil, err
	}
	defer clear(seed[:])
	plain, err := protocol.Marshal(&secretFile{Version: fileVersion, Use: use, Name: name, Seed: seed})
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	text, err := seal.ArmorPassphrase(plain, passphrase, workFactor)
	if err != nil {
		return nil, err
	}
	if err := f.create(base+secretSuffix, text); err != nil {
		return nil, err
	}
	return key, f.writePublic(base, use, name, key.Public())
}

func (f *folder) writePublic(base string, use protocol.Use, name string, key protocol.PublicKey) error {
	data, err := protocol.Marshal(&publicFile{Version: fileVersion, Use: use, Name: name, Key: key})
	if err != nil {
		return err
	}
	return f.create(base+publicSuffix, pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: data}))
}

// OpenRoot opens the root key in a directory of keys, or in the file of that name, wherever it was carried. Permissions are
// checked in the directory; a carried file is guarded by its passphrase, as removable media often keep no permissions.
func OpenRoot(fileOrDir, passphrase string) (*protocol.PrivateKey, error) {
	fi, err := os.Stat(fileOrDir)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return openPerson(fileOrDir, rootFile, protocol.UseRoot, "", passphrase)
	}
	text, err := readCarried(fileOrDir)
	if err != nil {
		return nil, err
	}
	key, err := openSecret(fileOrDir, text, protocol.UseRoot, "", passphrase)
	if err != nil {
		return nil, err
	}
	public := strings.TrimSuffix(fileOrDir, secretSuffix) + publicSuffix
	text, err = readCarried(public)
	if errors.Is(err, fs.ErrNotExist) {
		return key, nil
	}
	if err != nil {
		return nil, err
	}
	return key, matches(public, text, protocol.UseRoot, "", key)
}

// OpenOfficer opens the key of an officer. ErrNoKey if there is none of that name.
func OpenOfficer(dir, name, passphrase string) (*protocol.PrivateKey, error) {
	if err := checkPersonName("officer", name); err != nil {
		return nil, err
	}
	return openPerson(dir, officerFile+name, protocol.UseOfficer, name, passphrase)
}

func openPerson(dir, base string, use protocol.Use, name, passphrase string) (*protocol.PrivateKey, error) {
	f, err := openKeys(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	text, err := f.read(base + secretSuffix)
	if errors.Is(err, ErrNoKey) && use == protocol.UseRoot {
		return nil, fmt.Errorf("%w: it may have been carried away; name its file instead", err)
	}
	if err != nil {
		return nil, err
	}
	key, err := openSecret(f.file(base+secretSuffix), text, use, name, passphrase)
	if err != nil {
		return nil, err
	}
	text, err = f.read(base + publicSuffix)
	if errors.Is(err, ErrNoKey) { // lost, or never written because of a crash
		return key, f.writePublic(base, use, name, key.Public())
	}
	if err != nil {
		return nil, err
	}
	return key, matches(f.file(base+publicSuffix), text, use, name, key)
}

// openSecret opens the text of a key file and checks that it is the wanted key.
func openSecret(path string, text []byte, use protocol.Use, name, passphrase string) (*protocol.PrivateKey, error) {
	plain, err := seal.UnarmorPassphrase(text, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer clear(plain)
	var s secretFile
	if err := protocol.Unmarshal(plain, &s); err != nil || s.Version != fileVersion {
		return nil, fmt.Errorf("%s holds no root or officer key that this program reads", path)
	}
	defer clear(s.Seed[:])
	if s.Use != use || s.Name != name {
		return nil, fmt.Errorf("%s holds the %s key %q, and not the %s key %q", path, s.Use, s.Name, use, name)
	}
	return protocol.KeyFromSeed(protocol.Hybrid, s.Seed)
}

// matches checks that a public file is that of the key.
func matches(path string, text []byte, use protocol.Use, name string, key *protocol.PrivateKey) error {
	p, err := readPublic(path, text)
	if err != nil {
		return err
	}
	if p.Use != use || p.Name != name || !p.Key.Equal(key.Public()) {
		return fmt.Errorf("%s is not the public side of the key beside it: one of them was replaced", path)
	}
	return nil
}

func readPublic(path string, text []byte) (*publicFile, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemPublic {
		return nil, fmt.Errorf("%s is not a whole public key file", path)
	}
	var p publicFile
	if err := protocol.Unmarshal(block.Bytes, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.Version != fileVersion {
		return nil, fmt.Errorf("%s: version %d: this program reads version %d", path, p.Version, fileVersion)
	}
	return &p, nil
}

// readCarried reads a file outside the directory of keys.
func readCarried(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readRegular(file, maxFile)
}

// Officers returns the officers whose keys are in dir, by name. It needs no passphrase.
func Officers(dir string) ([]Officer, error) {
	f, err := openKeys(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	bases, err := f.withPublic(officerFile)
	if err != nil {
		return nil, err
	}
	var out []Officer
	for _, base := range bases {
		p, err := f.public(base, protocol.UseOfficer)
		if err != nil {
			return nil, err
		}
		out = append(out, Officer{Name: p.Name, Key: p.Key})
	}
	slices.SortFunc(out, func(a, b Officer) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// RootPublic returns the public side of the root key. It needs no passphrase, and not the key's own file. ErrNoKey if dir never
// had one.
func RootPublic(dir string) (protocol.PublicKey, error) {
	f, err := openKeys(dir)
	if err != nil {
		return protocol.PublicKey{}, err
	}
	defer f.close()
	p, err := f.public(rootFile, protocol.UseRoot)
	if err != nil {
		return protocol.PublicKey{}, err
	}
	return p.Key, nil
}

func (f *folder) public(base string, use protocol.Use) (*publicFile, error) {
	text, err := f.read(base + publicSuffix)
	if err != nil {
		return nil, err
	}
	p, err := readPublic(f.file(base+publicSuffix), text)
	if err != nil {
		return nil, err
	}
	if p.Use != use {
		return nil, fmt.Errorf("%s is of a %s key, and not of a %s key", f.file(base+publicSuffix), p.Use, use)
	}
	return p, nil
}

// ChangePassphrase seals a file of this package that a passphrase opens with another one: a root or officer key, or unlock.age.
// Older copies still open with the old one.
func ChangePassphrase(file, old, passphrase string, workFactor int) error {
	f, err := openFolder(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer f.close()
	name := filepath.Base(file)
	text, err := f.read(name)
	if err != nil {
		return err
	}
	plain, err := seal.UnarmorPassphrase(text, old)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer clear(plain)
	if text, err = seal.ArmorPassphrase(plain, passphrase, workFactor); err != nil {
		return err
	}
	return f.replace(name, text)
}

// checkPersonName keeps to names that are the same in every file system and in every terminal.
func checkPersonName(role, name string) error {
	bad := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ._-@'", r)
	}
	if name == "" || len(name) > MaxOfficerName || strings.TrimSpace(name) != name || strings.IndexFunc(name, bad) >= 0 {
		return fmt.Errorf("%s name %.80q: want 1 to %d bytes of letters, digits, spaces and . _ - @ '", role, name, MaxOfficerName)
	}
	return nil
}
