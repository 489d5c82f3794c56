package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Files of a log, in its directory.
const (
	recordsFile    = "records"
	hashesFile     = "hashes"
	checkpointFile = "checkpoint"
	brokenDir      = "broken-" // and a number: the files as they were before a break
)

// testOnlyDisk stands between the log and the disk, to lose power there. It is called before the act: a write (to a file,
// at an offset), a sync, a truncation, a renaming. An error keeps the act from happening; n bytes of a write still do.
var testOnlyDisk func(op, name string, off int64, b []byte) (n int, err error)

// testOnlyNoSync spares tests with thousands of writes the wait for a disk.
var testOnlyNoSync bool

// A folder is the directory of a log, with its changes going through testOnlyDisk.
type folder struct {
	root *os.Root
	dir  *os.File // locked
}

// openFolder opens the directory, made if it is not there, and locks it.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	dir, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		dir.Close()
		root.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, err
	}
	return &folder{root, dir}, nil
}

// syncParent makes the directory itself durable.
func (d *folder) syncParent() error {
	abs, err := filepath.Abs(d.root.Name())
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(abs))
	if err != nil {
		return err
	}
	return errors.Join(syncFile(parent), parent.Close())
}

func (d *folder) close() error { return errors.Join(d.dir.Close(), d.root.Close()) }

// open opens a file, made when it is missing if write is set. A file that is missing is nil without an error.
func (d *folder) open(name string, write bool) (*os.File, error) {
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR | os.O_CREATE
	}
	f, err := d.root.OpenFile(name, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// replace gives a small file new content, durably and at once.
func (d *folder) replace(name string, b []byte) error {
	tmp := name + ".tmp"
	f, err := d.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(writeAt(f, b, 0), syncFile(f), f.Close()); err != nil {
		return err
	}
	if testOnlyDisk != nil {
		if _, err := testOnlyDisk("rename", d.root.Name()+"/"+name, 0, b); err != nil {
			return err
		}
	}
	if err := d.root.Rename(tmp, name); err != nil {
		return err
	}
	return syncFile(d.dir)
}

// setAside copies the files of the log, as far as they are there, into the next free broken directory.
func (d *folder) setAside() (number int, err error) {
	for number = 1; ; number++ {
		err := d.root.Mkdir(brokenDir+strconv.Itoa(number), 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return 0, err
		}
	}
	to := brokenDir + strconv.Itoa(number)
	for _, name := range []string{recordsFile, hashesFile, checkpointFile} {
		if err := d.copy(name, to+"/"+name); err != nil {
			return 0, err
		}
	}
	f, err := d.root.Open(to)
	if err != nil {
		return 0, err
	}
	return number, errors.Join(syncFile(f), f.Close(), syncFile(d.dir))
}

func (d *folder) copy(from, to string) error {
	in, err := d.open(from, false)
	if in == nil || err != nil {
		return err
	}
	defer in.Close()
	out, err := d.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, syncFile(out), out.Close())
}

func writeAt(f *os.File, b []byte, off int64) error {
	if testOnlyDisk != nil {
		if n, err := testOnlyDisk("write", f.Name(), off, b); err != nil {
			_, werr := f.WriteAt(b[:n], off)
			return errors.Join(err, werr)
		}
	}
	_, err := f.WriteAt(b, off)
	return err
}

func syncFile(f *os.File) error {
	if testOnlyDisk != nil {
		if _, err := testOnlyDisk("sync", f.Name(), 0, nil); err != nil {
			return err
		}
	}
	if testOnlyNoSync {
		return nil
	}
	return f.Sync()
}

func truncate(f *os.File, size int64) error {
	if testOnlyDisk != nil {
		if _, err := testOnlyDisk("truncate", f.Name(), size, nil); err != nil {
			return err
		}
	}
	return f.Truncate(size)
}
