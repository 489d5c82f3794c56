package audit

import (
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/tlog"
)

// An edge is the right edge of a tree: the roots of its whole subtrees, the greatest first.
type edge struct {
	size  uint64
	roots []tlog.Hash
}

// readEdge takes the edge of the tree with size leaves from stored hashes.
func readEdge(size uint64, r tlog.HashReader) (*edge, error) {
	var indexes []int64
	done := uint64(0)
	for level := 62; level >= 0; level-- {
		if size&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, int64(done>>level)))
			done += 1 << level
		}
	}
	roots, err := r.ReadHashes(indexes)
	return &edge{size, roots}, err
}

// clone returns a copy that can go on by itself.
func (e *edge) clone() *edge { return &edge{e.size, append([]tlog.Hash(nil), e.roots...)} }

// add appends a leaf and returns the hashes to store for it: the leaf, and the root of every subtree that it completes.
func (e *edge) add(leaf tlog.Hash) []tlog.Hash {
	stored := []tlog.Hash{leaf}
	h := leaf
	for n := e.size; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(e.roots[len(e.roots)-1], h)
		e.roots = e.roots[:len(e.roots)-1]
		stored = append(stored, h)
	}
	e.roots = append(e.roots, h)
	e.size++
	return stored
}

// root returns the hash of the tree.
func (e *edge) root() tlog.Hash {
	if e.size == 0 {
		return emptyRoot
	}
	h := e.roots[len(e.roots)-1]
	for i := len(e.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(e.roots[i], h)
	}
	return h
}

// emptyRoot is the hash of the tree without leaves.
var emptyRoot, _ = tlog.TreeHash(0, nil)

// stored are the hashes of a tree in the order of tlog.StoredHashIndex: the first inFile ones in a file, the others in memory.
type stored struct {
	file   *os.File // nil: there is none
	inFile int64
	extra  []tlog.Hash
}

// ReadHashes makes it a tlog.HashReader.
func (s *stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		switch {
		case x < 0 || x >= s.inFile+int64(len(s.extra)):
			return nil, fmt.Errorf("%w: hash %d is not there", ErrTampered, x)
		case x >= s.inFile:
			out[i] = s.extra[x-s.inFile]
		default:
			if _, err := s.file.ReadAt(out[i][:], x*tlog.HashSize); err != nil {
				return nil, fmt.Errorf("reading the hashes: %w", err)
			}
		}
	}
	return out, nil
}

// flush writes what is in memory behind what is in the file, and cuts the file there. It does not sync.
func (s *stored) flush() error {
	if err := writeHashes(s.file, s.inFile, s.extra); err != nil {
		return err
	}
	s.inFile += int64(len(s.extra))
	s.extra = nil
	return truncate(s.file, s.inFile*tlog.HashSize)
}

func writeHashes(f *os.File, at int64, hashes []tlog.Hash) error {
	if len(hashes) == 0 {
		return nil
	}
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return writeAt(f, b, at*tlog.HashSize)
}
