package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

// A recipientCache keeps parsed recipients, since parsing one takes half as long as sealing to it.
type recipientCache struct {
	mu sync.Mutex
	m  map[string]seal.Recipient // guarded by mu; at most maxRecipients
}

const maxRecipients = 1024

func (c *recipientCache) parse(s string) (seal.Recipient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.m[s]; ok {
		return r, nil
	}
	r, err := seal.ParseRecipient(s)
	if err != nil {
		return r, err
	}
	if c.m == nil || len(c.m) >= maxRecipients {
		c.m = map[string]seal.Recipient{}
	}
	c.m[s] = r
	return r, nil
}

// sealTo seals an encoded statement to the current nodes of a team.
func (n *Node) sealTo(team protocol.TeamID, inner []byte) ([]byte, error) {
	n.mu.RLock()
	to := n.book.RecipientsOf(team)
	n.mu.RUnlock()
	var rs []seal.Recipient
	for _, t := range to {
		r, err := n.recipients.parse(t.Recipient)
		if err != nil {
			n.log.Warn("a node names a key to which nothing can be sealed; its team's other nodes get what it does not", "team", team.Short(), "node", t.Node)
			continue
		}
		rs = append(rs, r)
	}
	if len(rs) == 0 {
		return nil, fmt.Errorf("team %s has no node to which anything could be sealed", team.Short())
	}
	if testOnlySeal != nil {
		return testOnlySeal(team, inner, rs)
	}
	return seal.SealSmall(inner, rs...)
}

// sealContent replaces title and body by what only the persons can open.
func (n *Node) sealContent(st *protocol.Statement, persons []string) error {
	st.Author, st.Node = n.team, n.kid
	c := protocol.Content{Context: st.Context(), Title: st.Title, Body: st.Body}
	plain, err := c.Encode()
	if err != nil {
		return err
	}
	defer clear(plain)
	var rs []seal.Recipient
	for _, p := range persons {
		r, err := seal.ParseRecipient(p)
		if err != nil {
			return err
		}
		rs = append(rs, r)
	}
	if st.Content, err = seal.SealSmall(plain, rs...); err != nil {
		return err
	}
	if testOnlyContent != nil {
		st.Content = testOnlyContent(plain, st.Content)
	}
	st.Title, st.Body = "", protocol.Body{}
	return nil
}

// A sealedFile is a large document on its way into the store, sealed to a key of its own. Its file holds ciphertext alone.
type sealedFile struct {
	f   *os.File
	key seal.Identity
	w   io.WriteCloser // seals into f and sum
	sum hash.Hash
}

func (n *Node) newSealedFile(size uint64) (*sealedFile, error) {
	dir := outDir(n.cfg.Home)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := seal.NewBlobKey()
	if err != nil {
		return nil, err
	}
	s := &sealedFile{key: key, sum: sha256.New()}
	if s.f, err = os.CreateTemp(dir, "sealed-*"); err != nil {
		return nil, err
	}
	if s.w, err = seal.SealBlob(io.MultiWriter(s.f, s.sum), key, size); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func outDir(home string) string { return filepath.Join(home, "out") }

func (s *sealedFile) Write(b []byte) (int, error) { return s.w.Write(b) }

// keep puts the ciphertext into the store, under the channel's tag.
func (s *sealedFile) keep(n *Node, tag protocol.Hash) (*protocol.BlobRef, error) {
	if err := s.w.Close(); err != nil {
		return nil, err
	}
	size, err := s.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	ref := protocol.BlobRef{Size: uint64(size), Hash: protocol.Hash(s.sum.Sum(nil))}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	w, err := n.st.StageBlob(ref, tag)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, s.f, make([]byte, 256<<10)); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return &ref, w.Commit()
}

func (s *sealedFile) remove() {
	_ = s.f.Close()
	_ = os.Remove(s.f.Name())
}
