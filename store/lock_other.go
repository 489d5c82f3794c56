//go:build !unix

package store

import "os"

// lockFile does nothing on this system: Badger's own lock has to do.
func lockFile(*os.File) (bool, error) { return true, nil }
