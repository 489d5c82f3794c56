package store

import (
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
)

// A ReceiptRec is what one team says became of a statement.
type ReceiptRec struct {
	Team    protocol.TeamID
	Receipt protocol.Receipt
}

// maxReceipts bounds the receipts of one team for one statement: each person may open it, and each other state counts once.
const maxReceipts = protocol.MaxPersons + 6

// PutReceipts keeps what a team says became of statements of ours. What names no message that is held, or one that was not
// for the team, is passed over. Of receipts with the same state and person the first counts, and for HeldBack and CannotOpen
// the last. Taking the same ones in again changes nothing.
func (s *Store) PutReceipts(team protocol.TeamID, rs []protocol.Receipt) error {
	return s.update(func(t *tx) error {
		for i := range rs {
			if err := t.putReceipt(team, rs[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) putReceipt(team protocol.TeamID, r protocol.Receipt) error {
	id := r.Statement
	if r.State == protocol.CannotOpen {
		var err error
		if id, err = t.inside(r.Parcel); errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
	}
	pl, err := t.place(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	k := key(kReceipts, id, team)
	var have []protocol.Receipt
	if err := t.readRecord(k, t.s.local, &have); err != nil { // the first, or damaged: the others come again or do not
		rec, _, err := t.messageRec(pl)
		if err != nil {
			return nil
		}
		st, err := t.statement(rec)
		if err != nil || !slices.Contains(st.Audience.Teams, team) || st.Author == team {
			return nil
		}
		have = nil
	}
	i := slices.IndexFunc(have, func(o protocol.Receipt) bool { return o.State == r.State && o.Person == r.Person })
	last := r.State == protocol.HeldBack || r.State == protocol.CannotOpen
	switch {
	case i < 0 && len(have) >= maxReceipts:
		return nil
	case i < 0:
		have = append(have, r)
	case have[i] == r, last && have[i].Time > r.Time, !last && have[i].Time <= r.Time:
		return nil
	default:
		have[i] = r
	}
	return t.putRecord(k, t.s.local, have)
}

// Receipts returns what the teams said became of a statement, by team, in the order in which it came.
func (s *Store) Receipts(id protocol.Hash) ([]ReceiptRec, error) {
	var out []ReceiptRec
	err := s.view(func(t *tx) error {
		return t.scan(key(kReceipts, id), nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			if len(item.Key()) != keyLengths[kReceipts] {
				return true, nil
			}
			b, err := t.open(item, t.s.local)
			var rs []protocol.Receipt
			if err != nil || t.decode(b, &rs) != nil {
				return true, nil
			}
			for _, r := range rs {
				out = append(out, ReceiptRec{hashAt(item.Key(), 33), r})
			}
			return true, nil
		})
	})
	return out, err
}
