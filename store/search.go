package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

const (
	// MaxTerms bounds the terms of one message. What is beyond cannot be searched for.
	MaxTerms = 500_000
	// MaxQueryTerms bounds the terms of one search.
	MaxQueryTerms = 32

	termsChunk = 1000 // terms of a message under one key
)

// Terms are the index terms of one message. To the store they are opaque.
type Terms struct {
	N     uint64
	Terms []string
}

// IndexPending returns messages that wait for their terms, with inline bodies, at most max of them: first those whose body
// came or was healed since, then the oldest. It returns the same ones until Index was called for them. A blob body may still
// be missing (Complete); the message comes again when it is there. What is held back waits until its release.
func (s *Store) IndexPending(max int) ([]*Message, error) {
	var out []*Message
	seen := map[uint64]bool{}
	var bad []place
	take := func(t *tx, pl place) {
		if seen[pl.n] {
			return
		}
		seen[pl.n] = true
		if t.has(key(kHeld, pl.n)) {
			return
		}
		m, err := t.message(pl, true)
		if err != nil {
			if errors.Is(err, ErrNotFound) {
				bad = append(bad, pl)
			}
			return
		}
		if m.Held != "" {
			return
		}
		if !m.Complete && m.Statement.Outside() == nil {
			bad = append(bad, pl)
		}
		out = append(out, m)
	}
	var gone []uint64
	err := s.view(func(t *tx) error {
		err := t.scan([]byte{kReindex}, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kReindex] {
				return true, nil
			}
			n := numAt(item.Key(), 1)
			if pl, err := t.placeN(n); err == nil {
				take(t, pl)
			} else {
				gone = append(gone, n)
			}
			return len(out) < max && len(gone) < 1000, nil
		})
		if err != nil || len(out) >= max {
			return err
		}
		from := s.committed().Indexed + 1
		return t.scan([]byte{kMessage}, key(kMessage, from), scanOptions{}, func(item *badger.Item) (bool, error) {
			if pl, ok := placeOf(item.Key()); ok {
				take(t, pl)
			}
			return len(out) < max && len(bad) < 1000, nil
		})
	})
	if err != nil {
		return nil, err
	}
	for _, pl := range bad {
		s.restore([]place{pl})
		s.heal(pl)
	}
	if len(gone) > 0 {
		err = s.update(func(t *tx) error {
			for _, n := range gone {
				if err := t.Delete(key(kReindex, n)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return out, err
}

// Index stores the terms of the message n. It may be called again for a message, with other terms: those add up.
func (s *Store) Index(n uint64, terms []string) error { return s.IndexAll([]Terms{{n, terms}}) }

// IndexAll stores the terms of several messages, in fewer transactions than as many calls of Index.
func (s *Store) IndexAll(all []Terms) error {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	for len(all) > 0 {
		n, terms := 0, 0
		for n < len(all) && n < 256 {
			terms += len(all[n].Terms)
			if n > 0 && terms > s.termsPerTx() {
				break
			}
			n++
		}
		if err := s.indexSome(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// termsPerTx returns how many postings one transaction may write: each sync of the disk should be worth it.
func (s *Store) termsPerTx() int {
	const size = 2 * (33 + 16 + 16) // of a posting and its place in the list, with what Badger adds
	return max(termsChunk, min(int(s.db.MaxBatchCount()/2), int(s.db.MaxBatchSize()/size)))
}

// indexSome stores the terms of a few messages, and then says that they are indexed.
func (s *Store) indexSome(some []Terms) error {
	type chunk struct {
		pl    place
		i     uint32
		terms []string
	}
	var chunks []chunk
	done := map[uint64]bool{}
	err := s.view(func(t *tx) error {
		for _, e := range some {
			pl, err := t.placeN(e.N)
			if errors.Is(err, ErrNotFound) {
				done[e.N] = true // pruned meanwhile
				continue
			}
			if err != nil {
				return err
			}
			done[e.N] = true
			terms := slices.Clone(e.Terms[:min(len(e.Terms), MaxTerms)])
			slices.Sort(terms)
			terms = slices.Compact(terms)
			// Chunk 0 comes last: where it is, all are. A message without terms has an empty one.
			for i := len(terms) / termsChunk; i >= 0; i-- {
				from := i * termsChunk
				chunks = append(chunks, chunk{pl, uint32(i), terms[from:min(from+termsChunk, len(terms))]})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for {
		n, terms := 0, 0
		for n < len(chunks) {
			terms += len(chunks[n].terms)
			if n > 0 && terms > s.termsPerTx() {
				break
			}
			n++
		}
		group := chunks[:n]
		chunks = chunks[n:]
		err := s.update(func(t *tx) error {
			for _, c := range group {
				if err := t.putTerms(c.pl, c.i, c.terms); err != nil {
					return err
				}
			}
			if len(chunks) > 0 {
				return nil
			}
			return t.indexed(done)
		})
		if err != nil || len(chunks) == 0 {
			return err
		}
	}
}

func (t *tx) putTerms(pl place, i uint32, terms []string) error {
	c, err := t.s.cipherOf(pl.aud)
	if err != nil {
		return nil // the audience was given up
	}
	k := termsKey(pl, i)
	list, err := t.read(k, c) // of an earlier time
	if err != nil || len(list)%16 != 0 {
		list = nil
	}
	if !t.has(k) {
		list = nil
	}
	known := map[[16]byte]bool{}
	for j := 0; j < len(list); j += 16 {
		known[[16]byte(list[j:])] = true
	}
	for _, term := range terms {
		h := c.Term(term)
		if known[h] {
			continue
		}
		known[h] = true
		list = append(list, h[:]...)
		x := postingKey(pl, h)
		if err := t.Set(x, nil); err != nil {
			return err
		}
		t.c.add(len(x))
	}
	t.c.sub(t.sizeOf(k))
	size, err := t.put(k, c, list)
	t.c.add(size)
	return err
}

func termsKey(pl place, i uint32) []byte { return key(kTerms, pl.n, pl.aud, i) }

func postingKey(pl place, term [16]byte) []byte {
	return key(kPosting, pl.aud, term, math.MaxUint64-pl.n)
}

// indexed notes that messages have their terms, and moves the cursor over them.
func (t *tx) indexed(done map[uint64]bool) error {
	for n := range done {
		if err := t.Delete(key(kReindex, n)); err != nil {
			return err
		}
	}
	return t.scan([]byte{kMessage}, key(kMessage, t.c.Indexed+1), scanOptions{}, func(item *badger.Item) (bool, error) {
		pl, ok := placeOf(item.Key())
		if !ok {
			return true, nil
		}
		if !done[pl.n] && !t.has(termsKey(pl, 0)) {
			if rec, _, err := t.messageRec(pl); err == nil && rec.Held == "" {
				return false, nil
			}
			// It cannot be read, or is held back: if it is healed or released it comes again.
		}
		t.c.Indexed = max(t.c.Indexed, pl.n)
		return true, nil
	})
}

// dropTerms removes the postings of a message. It is for a caller that holds indexMu and writeMu.
func (s *Store) dropTerms(t *tx, w *badger.WriteBatch, pl place) (freed int, err error) {
	c, cerr := s.cipherOf(pl.aud)
	err = t.scan(key(kTerms, pl.n, pl.aud), nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
		k := item.KeyCopy(nil)
		freed += len(k) + int(item.ValueSize())
		if cerr == nil {
			if list, err := t.open(item, c); err == nil {
				for ; len(list) >= 16; list = list[16:] {
					x := postingKey(pl, [16]byte(list))
					freed += len(x)
					if err := w.Delete(x); err != nil {
						return false, err
					}
				}
			}
		}
		return true, w.Delete(k)
	})
	return freed, err
}

// SearchTerms returns the newest messages that have all of the terms, the newest first, at most limit of them; 0 means
// MaxPage. They are without inline bodies.
func (s *Store) SearchTerms(terms []string, limit int) ([]*Message, error) {
	if len(terms) == 0 || len(terms) > MaxQueryTerms {
		return nil, fmt.Errorf("a search for %d terms: want 1 to %d", len(terms), MaxQueryTerms)
	}
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	var out []*Message
	for _, tag := range s.tags() {
		c, err := s.cipher(tag)
		if err != nil {
			continue // given up: nothing of it can be read
		}
		err = s.view(func(t *tx) error {
			found := 0
			return t.match(short(tag), c, terms, func(n uint64) bool {
				pl, err := t.placeN(n)
				if err != nil {
					return true
				}
				m, err := t.message(pl, false)
				if err != nil || pl.aud != short(tag) || m.Held != "" {
					return true
				}
				out = append(out, m)
				found++
				return found < limit
			})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b *Message) int { return int(int64(b.N - a.N)) })
	return out[:min(len(out), limit)], nil
}

// match visits the numbers of the messages that have all terms, the greatest first, by leaping from list to list.
func (t *tx) match(a shortTag, c Cipher, terms []string, fn func(n uint64) bool) error {
	var its []*badger.Iterator
	defer func() {
		for _, it := range its {
			it.Close()
		}
	}()
	var prefixes [][]byte
	for _, term := range terms {
		p := key(kPosting, a, c.Term(term))
		prefixes = append(prefixes, p)
		its = append(its, t.iterator(p, scanOptions{}))
	}
	at := make([]byte, 8) // the complement of the number that all have to agree on
	for {
		agreed := 0
		for i := 0; agreed < len(its); i = (i + 1) % len(its) {
			its[i].Seek(append(slices.Clone(prefixes[i]), at...))
			if !its[i].Valid() {
				return nil
			}
			k := its[i].Item().Key()
			if len(k) != keyLengths[kPosting] {
				return nil
			}
			if got := k[25:]; bytes.Equal(got, at) {
				agreed++
			} else {
				copy(at, got)
				agreed = 1
			}
		}
		inv := numAt(append([]byte{0}, at...), 1)
		if !fn(math.MaxUint64 - inv) {
			return nil
		}
		if inv == math.MaxUint64 {
			return nil
		}
		copy(at, key(0, inv+1)[1:])
	}
}
