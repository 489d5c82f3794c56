package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"index/suffixarray"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/keyring"
)

// An opener opens what is sealed to one key.
type opener interface {
	Open(ciphertext, aad []byte) ([]byte, error)
}

// ring opens the keys of a team whose node is stopped.
func (w *league) ring(home string) *keyring.Ring {
	w.t.Helper()
	unlock, err := keyring.UnlockFile(w.path(home + ".unlock"))
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := keyring.Open(node.KeysDir(w.path(home)), unlock)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// A hoard is all that somebody reads out of a home with its unlock secret, below the interface of the store, so that nothing
// is hidden: the names of all values, every value, every piece of a blob.
type hoard struct {
	bytes  [][]byte
	closed int // values that no key opens
}

// hoard reads a home whose node is stopped, with the keys of the channels.
func (w *league) hoard(home string, channels ...protocol.Channel) *hoard {
	w.t.Helper()
	r := w.ring(home)
	defer r.Close()
	keys := []opener{r.Local()}
	for _, c := range channels {
		if !r.HasAudience(c.Tag()) {
			continue
		}
		k, err := r.Audience(c.Tag())
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, k)
	}
	secret := r.BadgerKey()
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(w.path(home), "store")).WithEncryptionKey(secret[:]).WithLogger(nil).
		WithMemTableSize(8 << 20).WithValueThreshold(512).WithValueLogFileSize(32 << 20).WithNumCompactors(0).
		WithIndexCacheSize(16 << 20).WithCompression(options.None).WithMetricsEnabled(false).WithCompactL0OnClose(false))
	if err != nil {
		w.t.Fatal(err)
	}
	h := &hoard{}
	err = db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.AllVersions = true // also what was overwritten or deleted, and not yet swept
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			name := item.KeyCopy(nil)
			h.bytes = append(h.bytes, name)
			if item.IsDeletedOrExpired() {
				continue
			}
			v, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			if len(v) == 0 {
				continue
			}
			opened := false
			for _, k := range keys {
				if plain, err := k.Open(v, name); err == nil {
					h.bytes, opened = append(h.bytes, plain), true
					break
				}
			}
			if !opened {
				h.closed++
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// storeKeys hands a ring's ciphers to the store.
type storeKeys struct{ *keyring.Ring }

func (k storeKeys) Local() store.Cipher { return k.Ring.Local() }

func (k storeKeys) Audience(tag protocol.Hash) (store.Cipher, error) { return k.Ring.Audience(tag) }

// A private is something that two teams exchanged and that nobody else may hold, in any form.
type private struct {
	what  string
	bytes []byte
}

// privates returns what lies in the feeds between teams in the store of a stopped node: ids and bytes of parcels and blobs.
func (w *league) privates(home string, between ...protocol.Channel) (out []private) {
	w.t.Helper()
	r := w.ring(home)
	defer r.Close()
	s, err := store.Open(filepath.Join(w.path(home), "store"), storeKeys{r}, store.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	extents, err := s.Extents()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range extents {
		for _, c := range between {
			if protocol.FeedOf(e.Node, c) != e.Feed {
				continue
			}
			out = append(out, private{"a feed", e.Feed[:]})
			err := s.Range(e.Feed, 0, math.MaxUint64-1, false, func(_ uint64, raw []byte) bool {
				out = append(out, w.parcel(s, bytes.Clone(raw))...)
				return true
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return out
}

// ageHead is more than the beginning that all age files have in common.
const ageHead = 64

func (w *league) parcel(s *store.Store, raw []byte) []private {
	w.t.Helper()
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := protocol.Decode[protocol.Parcel](env)
	if err != nil {
		w.t.Fatal(err)
	}
	id := env.ID()
	out := []private{{"a parcel", p.Body[ageHead:]}, {"a parcel's id", id[:]}}
	if st, err := s.StatementOf(id); err == nil {
		out = append(out, private{"a statement's id", st[:]})
	}
	if p.Blob == nil {
		return out
	}
	blob, err := s.OpenBlob(p.Blob.Hash)
	if err != nil {
		w.t.Fatal(err)
	}
	defer blob.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(blob); err != nil {
		w.t.Fatal(err)
	}
	return append(out, private{"a blob", b.Bytes()[ageHead:]}, private{"a blob's hash", p.Blob.Hash[:]})
}

// A haystack is bytes in which anything is found fast.
type haystack struct{ index *suffixarray.Index }

func newHaystack(parts ...[]byte) haystack {
	return haystack{suffixarray.New(bytes.Join(parts, []byte("\x00\xff-")))}
}

// piece is how much makes one private thing known again.
const piece = 24

// has reports whether any piece of b is in the haystack.
func (h haystack) has(b []byte) bool {
	if len(b) < piece {
		return len(h.index.Lookup(b, 1)) > 0
	}
	for i := 0; i+piece <= len(b); i += piece {
		if len(h.index.Lookup(b[i:i+piece], 1)) > 0 {
			return true
		}
	}
	return false
}

// readTree returns the contents of all files below a folder, and their names.
func readTree(t *testing.T, dir string) (out [][]byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		out = append(out, []byte(d.Name()))
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(p)
		out = append(out, bytes.TrimRight(b, "\x00")) // some files are made larger than what is in them
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// disguises returns a text and what it looks like in the usual notations.
func disguises(s []byte) [][]byte {
	out := [][]byte{s, []byte(hex.EncodeToString(s)), bytes.ToUpper(s), bytes.ToLower(s)}
	for i := range 3 { // in base64 it depends on the place
		if len(s) > i+6 {
			whole := s[i : i+(len(s)-i)/3*3]
			out = append(out, []byte(base64.RawStdEncoding.EncodeToString(whole)), []byte(base64.RawURLEncoding.EncodeToString(whole)))
		}
	}
	return out
}

// shows returns the first of the words that lies in the bytes in any usual notation, or "".
func (h haystack) shows(words ...string) string {
	for _, word := range words {
		for _, d := range disguises([]byte(word)) {
			if len(h.index.Lookup(d, 1)) > 0 {
				return word
			}
		}
	}
	return ""
}
