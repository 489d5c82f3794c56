package nodetest

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store/keyring"
)

// A hoard is everything in a team's store that whoever has the home and its unlock secret can read: the names of all values,
// and every value that one of the node's keys opens. It is read below package store, so that it has what the store hides.
type hoard struct {
	names  [][]byte
	values [][]byte
	blobs  [][]byte // each put together from its pieces, as far as they are held
	closed int      // values that no key opens
}

// hoard reads the store of the team, whose node must be stopped.
func (t *Team) hoard() *hoard {
	t.w.T.Helper()
	if t.Node != nil {
		t.w.T.Fatalf("the home of %s is in use", t.Name)
	}
	h, err := readHoard(t.Home, t.w.tags())
	if err != nil {
		t.w.T.Fatalf("reading the store of %s from below: %v", t.Name, err)
	}
	return h
}

type opener interface {
	Open(ciphertext, aad []byte) ([]byte, error)
}

func readHoard(home string, tags []protocol.Hash) (*hoard, error) {
	unlock, err := keyring.UnlockFile(node.DefaultUnlockFile(home))
	if err != nil {
		return nil, err
	}
	ring, err := keyring.Open(node.KeysDir(home), unlock)
	if err != nil {
		return nil, err
	}
	defer ring.Close()
	ciphers := []opener{ring.Local()}
	for _, tag := range tags {
		if !ring.HasAudience(tag) {
			continue
		}
		c, err := ring.Audience(tag)
		if err != nil {
			return nil, err
		}
		ciphers = append(ciphers, c)
	}
	secret := ring.BadgerKey()
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(home, "store")).WithEncryptionKey(secret[:]).WithLogger(nil).
		WithMemTableSize(8 << 20).WithValueThreshold(512).WithValueLogFileSize(32 << 20).WithNumCompactors(0).
		WithIndexCacheSize(16 << 20).WithCompression(options.None).WithMetricsEnabled(false).WithCompactL0OnClose(false))
	if err != nil {
		return nil, err
	}
	h := &hoard{}
	pieces := map[string][]byte{}
	var order []string
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := it.Item().KeyCopy(nil)
			h.names = append(h.names, key)
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return fmt.Errorf("value of %q: %w", key[:1], err)
			}
			if len(v) == 0 {
				continue
			}
			i := slices.IndexFunc(ciphers, func(c opener) bool {
				plain, err := c.Open(v, key)
				if err == nil {
					h.values = append(h.values, plain)
				}
				return err == nil
			})
			if i < 0 {
				h.closed++
				continue
			}
			if key[0] == 'b' && len(key) > 1+32+8 { // a piece of a blob
				name := string(key[:1+32+8])
				if _, ok := pieces[name]; !ok {
					order = append(order, name)
				}
				pieces[name] = append(pieces[name], h.values[len(h.values)-1]...)
			}
		}
		return nil
	})
	for _, name := range order {
		h.blobs = append(h.blobs, pieces[name])
	}
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	return h, err
}

// has reports whether the bytes are anywhere in what can be read.
func (h *hoard) has(b []byte) bool {
	return anyHas(h.names, b) || anyHas(h.values, b) || anyHas(h.blobs, b)
}

func anyHas(all [][]byte, b []byte) bool {
	return slices.ContainsFunc(all, func(d []byte) bool { return bytes.Contains(d, b) })
}
