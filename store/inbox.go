package store

import (
	"errors"
	"slices"
	"sort"

	"github.com/dgraph-io/badger/v4"
)

// Inbox visits the messages that a query selects, the newest last, until fn returns false. What cannot be read is left out, and so is
// what is held back.
func (s *Store) Inbox(q Query, fn func(*Message) bool) error {
	if q.Newest && (q.Limit <= 0 || q.Limit > MaxPage) {
		q.Limit = MaxPage
	}
	var page []*Message
	var bad []place
	err := s.view(func(t *tx) error {
		since := uint64(max(q.Since.UnixMilli(), 0))
		if q.Since.IsZero() {
			since = 0
		}
		seek := key(kMessage, q.After+1)
		switch {
		case q.Newest:
			seek = nil
		case since > 0:
			seek = key(kMessage, max(q.After+1, t.firstSince(since)))
		}
		count := 0
		return t.scan([]byte{kMessage}, seek, scanOptions{values: true, reverse: q.Newest}, func(item *badger.Item) (bool, error) {
			pl, ok := placeOf(item.Key())
			if !ok {
				return true, nil
			}
			if pl.n <= q.After {
				return false, nil
			}
			if !q.Tag.IsZero() && pl.aud != short(q.Tag) {
				return true, nil
			}
			m, err := t.messageAt(item, pl, q.Bodies)
			if err != nil {
				if errors.Is(err, ErrNotFound) && len(bad) < 100 {
					bad = append(bad, pl)
				}
				return true, nil
			}
			if uint64(m.Received.UnixMilli()) < since {
				return !q.Newest, nil // older ones were received earlier
			}
			if m.Held != "" && !q.WithHeld {
				return true, nil
			}
			if q.Label.Valid() && m.Statement.Label != q.Label || !q.From.IsZero() && m.Statement.Author != q.From {
				return true, nil
			}
			count++
			if q.Newest {
				page = append(page, m)
				return count < q.Limit, nil
			}
			return fn(m) && (q.Limit <= 0 || count < q.Limit), nil
		})
	})
	s.restore(bad)
	if err != nil {
		return err
	}
	slices.Reverse(page)
	for _, m := range page {
		if !fn(m) {
			break
		}
	}
	return nil
}

// firstSince returns the smallest arrival number of a message received at or after a time, by bisection: the time of receipt
// rises with the number.
func (t *tx) firstSince(since uint64) uint64 {
	last := t.s.LastN()
	return 1 + uint64(sort.Search(int(last), func(i int) bool {
		found := true
		_ = t.scan([]byte{kMessage}, key(kMessage, uint64(i)+1), scanOptions{}, func(item *badger.Item) (bool, error) {
			pl, ok := placeOf(item.Key())
			if !ok {
				return true, nil
			}
			rec, _, err := t.messageRec(pl)
			if err != nil {
				return true, nil
			}
			found = rec.Received >= since
			return false, nil
		})
		return found
	}))
}

// placeN finds the message with an arrival number.
func (t *tx) placeN(n uint64) (place, error) {
	pl, err := place{}, error(ErrNotFound)
	scanErr := t.scan(key(kMessage, n), nil, scanOptions{}, func(item *badger.Item) (bool, error) {
		if p, ok := placeOf(item.Key()); ok {
			pl, err = p, nil
		}
		return false, nil
	})
	if scanErr != nil {
		err = scanErr
	}
	return pl, err
}
