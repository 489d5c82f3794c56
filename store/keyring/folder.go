package keyring

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Errors that callers tell apart.
var (
	// ErrUnsafe says that others can read or change a file of keys. The text names the file and the command that mends it.
	ErrUnsafe = errors.New("unsafe")
	// ErrExists says that a key is there already. Nothing was changed.
	ErrExists = errors.New("exists already")
	// ErrNoKey says that a key is not there. It matches fs.ErrNotExist.
	ErrNoKey = fmt.Errorf("no such key: %w", fs.ErrNotExist)
)

const maxFile = 2 << 20 // bytes of one file of keys

// testOnlyStep is called between the steps of a write, to die there.
var testOnlyStep func(step string) error

func step(name string) error {
	if testOnlyStep != nil {
		return testOnlyStep(name)
	}
	return nil
}

// testOnlyNoSync spares tests with thousands of writes the wait for a disk.
var testOnlyNoSync bool

func syncFile(f *os.File) error {
	if testOnlyNoSync {
		return nil
	}
	return f.Sync()
}

// A folder is an open directory. It stays the same directory if its path is moved or replaced meanwhile.
type folder struct {
	root *os.Root
	path string
}

// openFolder opens a directory after checking that nobody else leads the path elsewhere.
func openFolder(path string) (*folder, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := checkWay(abs); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	return &folder{root, abs}, nil
}

// openKeys opens the directory of keys, and checks it and every file in it.
func openKeys(path string) (*folder, error) {
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%w: %s is a symbolic link: give the directory's own path", ErrUnsafe, path)
	}
	f, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	if err := f.audit(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// createKeys is openKeys, and makes the directory where it is missing. Its parent must be there.
func createKeys(path string) (*folder, error) {
	err := os.Mkdir(path, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err == nil {
		parent, err := openFolder(filepath.Dir(filepath.Clean(path)))
		if err != nil {
			return nil, err
		}
		defer parent.close()
		if err := parent.sync(); err != nil {
			return nil, err
		}
	}
	return openKeys(path)
}

func (f *folder) close() { f.root.Close() }

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// checkWay refuses a path with a symbolic link that somebody else made or can replace.
func checkWay(abs string) error {
	for p := abs; p != filepath.Dir(p); p = filepath.Dir(p) {
		fi, err := os.Lstat(p)
		if err != nil {
			return err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		in, err := os.Lstat(filepath.Dir(p))
		if err != nil {
			return err
		}
		if o := owner(fi); o != 0 && o != os.Geteuid() || in.Mode().Perm()&0o002 != 0 && in.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("%w: %s is a symbolic link that somebody else can lead elsewhere: give a path without it", ErrUnsafe, p)
		}
	}
	return nil
}

func (f *folder) audit() error {
	dir, err := f.root.Stat(".")
	if err != nil {
		return err
	}
	if err := checkOwn(f.path, dir, 0o700); err != nil {
		return err
	}
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fi, err := f.root.Lstat(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // the temporary file of another process
		}
		if err != nil {
			return err
		}
		if err := checkOwn(f.file(e.Name()), fi, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// checkOwn refuses what belongs to somebody else or is open to others. A directory may stand where a file may.
func checkOwn(path string, fi fs.FileInfo, mode fs.FileMode) error {
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: %s is a symbolic link: put the file itself there", ErrUnsafe, path)
	case owner(fi) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to user %d and this program runs as user %d: run chown %d %s", ErrUnsafe, path,
			owner(fi), os.Geteuid(), os.Geteuid(), shell(path))
	case fi.Mode().Perm()&0o077 != 0:
		if fi.IsDir() {
			mode = 0o700
		}
		return fmt.Errorf("%w: %s has mode %04o, so that others may have read it: run chmod %o %s", ErrUnsafe, path, fi.Mode().Perm(),
			mode, shell(path))
	}
	return nil
}

func owner(fi fs.FileInfo) int {
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// shell returns the path as one word of a shell.
func shell(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+", r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func (f *folder) has(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
}

// read returns a whole file of keys. The error for a missing one is ErrNoKey.
func (f *folder) read(name string) ([]byte, error) { return f.readMax(name, maxFile) }

// readMax is read for a file of at most max bytes.
func (f *folder) readMax(name string, max int64) ([]byte, error) {
	fi, err := f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", f.file(name), ErrNoKey)
	}
	if err != nil {
		return nil, err
	}
	if err := checkOwn(f.file(name), fi, 0o600); err != nil {
		return nil, err
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readRegular(file, max)
}

// readRegular reads a regular file of at most max bytes.
func readRegular(file *os.File, max int64) ([]byte, error) {
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > max {
		return nil, fmt.Errorf("%s is not a file of keys: want a regular file of at most %d bytes", file.Name(), max)
	}
	return io.ReadAll(io.LimitReader(file, max))
}

// create writes a new file; ErrExists if the name is taken.
func (f *folder) create(name string, data []byte) error { return f.write(name, data, false) }

// replace writes a file in the place of the one that is there.
func (f *folder) replace(name string, data []byte) error { return f.write(name, data, true) }

func (f *folder) write(name string, data []byte, over bool) (err error) {
	tmp := "." + name + "." + rand.Text() + ".tmp"
	file, err := f.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			f.root.Remove(tmp)
		}
	}()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := syncFile(file); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := step("written"); err != nil {
		return err
	}
	if over {
		err = f.root.Rename(tmp, name)
	} else {
		err = f.place(tmp, name)
	}
	if err != nil {
		return err
	}
	return f.sync()
}

// place moves tmp to a name that is free. File systems without hard links leave a moment in which another process may take it.
func (f *folder) place(tmp, name string) error {
	err := f.root.Link(tmp, name)
	switch {
	case err == nil:
		return f.root.Remove(tmp)
	case errors.Is(err, fs.ErrExist) || f.has(name):
		return fmt.Errorf("%s %w", f.file(name), ErrExists)
	}
	return f.root.Rename(tmp, name)
}

// sync makes the names in the folder durable.
func (f *folder) sync() error {
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return syncFile(d)
}

// clean removes what a crash left of writes to name. The caller is the only writer of name.
func (f *folder) clean(name string) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+name+".") && strings.HasSuffix(e.Name(), ".tmp") {
			f.root.Remove(e.Name())
		}
	}
}

// withPublic returns the names, without their suffix, of the public files that begin with a prefix, in order.
func (f *folder) withPublic(prefix string) ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), publicSuffix); ok && strings.HasPrefix(base, prefix) {
			out = append(out, base)
		}
	}
	return out, nil
}
