package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/entente-network/entente/protocol/seal"
)

// CredentialName is the name under which a service manager hands over the unlock identity: LoadCredential= or
// LoadCredentialEncrypted= of systemd.
const CredentialName = "entente-unlock"

const unlockAge = "unlock.age"

// An Unlock is the secret that opens node.key. It prints as "[secret]".
type Unlock struct {
	kind       unlockKind
	path       string // of a file or credential
	id         seal.Identity
	passphrase string
}

type unlockKind uint8

const (
	unlockFile unlockKind = iota + 1
	unlockTyped
	unlockCredential
)

// CreateUnlockFile writes a new unlock identity to path, which must be free and whose directory must be there.
func CreateUnlockFile(path string) (Unlock, error) {
	id, err := seal.GenerateIdentity()
	if err != nil {
		return Unlock{}, err
	}
	f, err := openFolder(filepath.Dir(path))
	if err != nil {
		return Unlock{}, err
	}
	defer f.close()
	text := []byte("# Opens the keys and the store of an Entente node. Keep a copy where no copy of its disk is.\n" + id.Secret() + "\n")
	defer clear(text)
	if err := f.create(filepath.Base(path), text); err != nil {
		return Unlock{}, err
	}
	return Unlock{kind: unlockFile, path: path, id: id}, nil
}

// UnlockFile reads the unlock identity from a file of mode 0600 that belongs to this user or to root.
func UnlockFile(path string) (Unlock, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Unlock{}, fmt.Errorf("unlock file %s: %w", path, ErrNoKey)
	}
	if err != nil {
		return Unlock{}, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return Unlock{}, err
	}
	if owner(fi) != 0 || os.Geteuid() == 0 || fi.Mode().Perm()&0o077 != 0 {
		if err := checkOwn(path, fi, 0o600); err != nil {
			return Unlock{}, err
		}
	}
	id, err := readIdentity(file)
	if err != nil {
		return Unlock{}, fmt.Errorf("unlock file %s: %w", path, err)
	}
	return Unlock{kind: unlockFile, path: path, id: id}, nil
}

// UnlockCredential reads the unlock identity that the service manager handed over as [CredentialName]. Its permissions are the
// manager's affair.
func UnlockCredential() (Unlock, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return Unlock{}, fmt.Errorf("credential %s: %w: the service manager set no CREDENTIALS_DIRECTORY", CredentialName, ErrNoKey)
	}
	path := filepath.Join(dir, CredentialName)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Unlock{}, fmt.Errorf("credential %s: %w: set LoadCredential=%s:FILE in the unit", CredentialName, ErrNoKey, CredentialName)
	}
	if err != nil {
		return Unlock{}, err
	}
	defer file.Close()
	id, err := readIdentity(file)
	if err != nil {
		return Unlock{}, fmt.Errorf("credential %s: %w", CredentialName, err)
	}
	return Unlock{kind: unlockCredential, path: path, id: id}, nil
}

// UnlockPassphrase takes a passphrase that a person typed. Whether it is right shows when the ring is opened.
func UnlockPassphrase(passphrase string) Unlock {
	return Unlock{kind: unlockTyped, passphrase: passphrase}
}

func readIdentity(file *os.File) (seal.Identity, error) {
	fi, err := file.Stat()
	if err != nil {
		return seal.Identity{}, err
	}
	if fi.IsDir() {
		return seal.Identity{}, errors.New("a directory where a file is wanted")
	}
	return seal.ReadIdentityFile(file)
}

// Typed reports whether a person typed the secret.
func (u Unlock) Typed() bool { return u.kind == unlockTyped }

// OnDisk reports whether a copy of the disk that holds the home directory holds the secret too. Where that cannot be found
// out, it reports true.
func (u Unlock) OnDisk(home string) bool {
	if u.kind != unlockFile {
		return false
	}
	file, err1 := filepath.EvalSymlinks(u.path)
	dir, err2 := filepath.EvalSymlinks(home)
	if err1 != nil || err2 != nil {
		return true
	}
	file, err1 = filepath.Abs(file)
	dir, err2 = filepath.Abs(dir)
	if err1 != nil || err2 != nil {
		return true
	}
	if strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/") {
		return true
	}
	a, err1 := os.Stat(file)
	b, err2 := os.Stat(dir)
	if err1 != nil || err2 != nil {
		return true
	}
	da, ok1 := device(a)
	db, ok2 := device(b)
	return !ok1 || !ok2 || da == db
}

func device(fi fs.FileInfo) (uint64, bool) {
	s, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(s.Dev), true
}

// Where says in words where the secret lies and what that means for a node with this home directory.
func (u Unlock) Where(home string) string {
	switch {
	case u.kind == unlockTyped:
		return "typed when the node starts: a copied disk can be opened only by who guesses the passphrase"
	case u.kind == unlockCredential:
		return "handed over by the service manager: whether a copied disk can be opened depends on where that keeps it"
	case u.kind != unlockFile:
		return "nowhere: no unlock secret was given"
	case u.OnDisk(home):
		return "on this disk, in " + u.path + ": a copied disk can be opened"
	}
	return "on another file system, in " + u.path + ": a copy of this one alone cannot be opened"
}

// Format implements fmt.Formatter, so that no verb prints the secret.
func (Unlock) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

const redacted = "[secret]"

// identity returns what node.key is sealed to. With a passphrase it is read from the folder, or made there if create is set.
func (u Unlock) identity(f *folder, create bool, workFactor int) (seal.Identity, error) {
	if u.kind != unlockTyped {
		if u.id.IsZero() {
			return u.id, errors.New("no unlock secret was given: type a passphrase, name an unlock file, or let the service manager hand one over")
		}
		return u.id, nil
	}
	if create && !f.has(unlockAge) {
		id, err := seal.GenerateIdentity()
		if err != nil {
			return id, err
		}
		secret := []byte(id.Secret() + "\n")
		defer clear(secret)
		text, err := seal.ArmorPassphrase(secret, u.passphrase, workFactor)
		if err != nil {
			return seal.Identity{}, err
		}
		return id, f.create(unlockAge, text)
	}
	text, err := f.read(unlockAge)
	if errors.Is(err, ErrNoKey) {
		return seal.Identity{}, fmt.Errorf("this node is not opened by a passphrase: name its unlock file (%w)", err)
	}
	if err != nil {
		return seal.Identity{}, err
	}
	secret, err := seal.UnarmorPassphrase(text, u.passphrase)
	if err != nil {
		return seal.Identity{}, fmt.Errorf("%s: %w", f.file(unlockAge), err)
	}
	defer clear(secret)
	return seal.ParseIdentity(strings.TrimSpace(string(secret)))
}
