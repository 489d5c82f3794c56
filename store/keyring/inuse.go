package keyring

import (
	"errors"
	"os"
	"syscall"
)

// InUse reports whether a process has the ring in dir open. The answer may be out of date at once.
func InUse(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
