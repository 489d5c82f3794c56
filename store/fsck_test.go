package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// keysOf returns the keys with a prefix.
func keysOf(t *testing.T, s *Store, prefix ...byte) (keys [][]byte) {
	t.Helper()
	if err := s.view(func(t *tx) error {
		return t.scan(prefix, nil, scanOptions{}, func(item *badger.Item) (bool, error) {
			keys = append(keys, item.KeyCopy(nil))
			return true, nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}

// edit changes entries behind the store's back.
func edit(t *testing.T, s *Store, fn func(t *tx) error) {
	t.Helper()
	if err := s.update(fn); err != nil {
		t.Fatal(err)
	}
}

// Each kind of value is spoilt in each way: Fsck finds it, repairs what it can, and what is lost comes in again.
func TestFsckFinds(t *testing.T) {
	garbled := func(tx *tx, k []byte) error {
		item, err := tx.Get(k)
		if err != nil {
			return err
		}
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		v[len(v)/2] ^= 1
		return tx.Set(k, v)
	}
	emptied := func(tx *tx, k []byte) error { return tx.Set(k, nil) }
	deleted := func(tx *tx, k []byte) error { return tx.Delete(k) }
	lengthened := func(tx *tx, k []byte) error { return tx.Set(append(k, 0), nil) }
	ways := map[string]func(*tx, []byte) error{"garbled": garbled, "emptied": emptied, "deleted": deleted, "a longer key": lengthened}
	// What is lost with an entry that nothing else tells of.
	unnoticed := []byte{kSchema, kSchema2, kAudience, kCounters, kHeads, kFork, kAct, kCorrect, kQuota, kReindex, kAgreed, kAlso, kReceipts, kInside, kLink, kNote,
		kRoom, kRoomNote, kClosed}
	for prefix := range keyLengths {
		if prefix == kForget { // there while a channel is being forgotten only
			continue
		}
		for way, spoil := range ways {
			name := fmt.Sprintf("%s (%c) %s", kindNames[prefix], prefix, way)
			s, err := OpenMemory(newTestKeys("test"), Options{DailyQuota: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			a, es := fill(t, s)
			fix := a.statement("a correction", "x")
			fix.Kind, fix.Supersedes = protocol.KindCorrection, es[0].StatementID
			es = append(es, a.entry(fix))
			mustAccept(t, s, es[len(es)-1])
			sealed, room := fillSealed(t, s), fillRoom(t, s)
			indexAll(t, s)
			putIdentity(t, s)
			h := &protocol.Heads{Team: a.team, Node: a.key.Public().ID(), N: 1, Time: 1}
			e, err := protocol.Sign(h, a.key)
			if err := errors.Join(err, s.PutHeads(e, h)); err != nil {
				t.Fatal(err)
			}
			lookup := lookupAll(a, sealed.b, room.b)
			mustClean(t, s, lookup)
			keys := keysOf(t, s, prefix)
			if prefix == kInner {
				keys = keys[len(keys)-1:] // of what was received: for the other see TestLostOwn
			}
			noValue := slices.Contains([]byte{kReindex, kBlobRef, kWanted, kPosting, kHeld, kLink, kClosed}, prefix)
			if prefix == kReindex || noValue && (way == "garbled" || way == "emptied") {
				s.Close()
				continue
			}
			if len(keys) == 0 {
				t.Fatalf("%s: there is none", name)
			}
			edit(t, s, func(tx *tx) error { return spoil(tx, keys[len(keys)/2]) })

			rep, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup})
			if err != nil {
				t.Fatal(err)
			}
			if wantFound := way != "deleted" || !slices.Contains(unnoticed, prefix); (rep.Found > 0) != wantFound {
				t.Errorf("%s: got %d problems %v, want some: %v", name, rep.Found, rep.Problems, wantFound)
			}
			if _, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup, Repair: true}); err != nil {
				t.Fatal(err)
			}
			out, err := s.Accept(slices.Concat(es, sealed.again, room.their))
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range out {
				if o.Err != nil || o.Verdict != trust.Accept && o.Verdict != trust.Known {
					t.Errorf("%s: accepting entry %d again: got %+v", name, i+1, o)
				}
			}
			for _, e := range es[20:21] {
				if _, _, complete, _ := s.BlobHave(e.Statement.Body.Hash); !complete {
					writeBlob(t, s, blobBytes(ChunkSize+1))
				}
			}
			indexAll(t, s)
			if _, err := s.Fsck(t.Context(), FsckOptions{Repair: true}); err != nil { // what became whole only now
				t.Fatal(err)
			}
			indexAll(t, s)
			if again, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup}); err != nil || again.Found != 0 {
				t.Errorf("%s: after repair: got %v, %v; at first %v", name, again.Problems, err, rep.Problems)
			}
			for i, e := range es {
				m, err := s.Message(e.StatementID)
				if err != nil || m.Complete != (i != 21) || i == 0 && prefix != kCorrect && m.Superseded != es[22].StatementID {
					t.Errorf("%s: message %d: got %+v, %v", name, i+1, m, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Values that were moved to other keys do not authenticate there.
func TestMovedValues(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(4)
	mustAccept(t, s, es...)
	indexAll(t, s)
	keys := keysOf(t, s, kMessage)
	edit(t, s, func(tx *tx) error {
		item, err := tx.Get(keys[0])
		if err != nil {
			return err
		}
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		return tx.Set(keys[1], v)
	})
	m, err := s.Message(es[1].StatementID) // made anew from its entry
	if err != nil || m.Statement.Title != es[1].Statement.Title || m.ID != es[1].StatementID {
		t.Errorf("got %+v, %v", m, err)
	}
	if s.Stats().Damaged == 0 {
		t.Error("the damage was not counted")
	}
	indexAll(t, s)
	mustClean(t, s, a.lookup)
}

// What was stored under this node's own keys but never signed by its author is found, and goes.
func TestFsckSignatures(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(4)
	es[2].Envelope.Sigs[0].Ed[5] ^= 1
	es[2].Raw = es[2].Envelope.Encode()
	mustAccept(t, s, es...) // the caller has not verified it
	red := a.statement("too strict", "x")
	red.Label = tlp.Amber
	mustAccept(t, s, a.entry(red))
	indexAll(t, s)
	rep, err := s.Fsck(t.Context(), FsckOptions{Lookup: func(protocol.KID) (protocol.PublicKey, bool) { return protocol.PublicKey{}, false }})
	if err != nil || rep.Unverified != 5 || rep.Found != 1 || rep.Problems[0].Kind != "label" {
		t.Errorf("without keys: got %+v, %v", rep, err)
	}
	rep, err = s.Fsck(t.Context(), FsckOptions{Lookup: a.lookup, Repair: true})
	if err != nil || rep.Found != 2 || rep.Repaired != 1 {
		t.Errorf("got %+v, %v, want a bad signature and a label", rep, err)
	}
	if _, err := s.Message(es[2].StatementID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the message that nobody signed: got %v, want ErrNotFound", err)
	}
	if holes, err := s.Missing(a.feed, 10); err != nil || fmt.Sprint(holes) != "[{3 3}]" {
		t.Errorf("got holes %v, %v", holes, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fsck(ctx, FsckOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// A feed whose extent was lost is known again when it is asked for, and when an entry comes.
func TestLostExtent(t *testing.T) {
	for _, ask := range []bool{true, false} {
		s := openTest(t, "", Options{})
		a := newAuthor(t, "at")
		es := a.entries(5)
		mustAccept(t, s, es[0], es[1], es[3])
		edit(t, s, func(tx *tx) error { return tx.Delete(key(kExtent, a.feed)) })
		if ask {
			if x, ok, err := s.Extent(a.feed); err != nil || !ok || x.Next != 3 || x.Max != 4 || x.Head != es[1].Envelope.ID() || x.Team != a.team {
				t.Errorf("got %+v, %v, %v", x, ok, err)
			}
		}
		mustAccept(t, s, es[2], es[4])
		if x, _, _ := s.Extent(a.feed); x.Next != 6 || x.Head != a.head {
			t.Errorf("got %+v", x)
		}
		indexAll(t, s)
		mustClean(t, s, a.lookup)
	}
}

// More entries than one transaction passes are held beyond a hole. Closing the hole passes them all, soon.
func TestLongAdvance(t *testing.T) {
	if testing.Short() {
		t.Skip("signs thousands of entries")
	}
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	es := a.entries(2*maxAdvance + 100)
	mustAccept(t, s, es[1:]...)
	mustAccept(t, s, es[0])
	for range 3 { // the writer goes on by itself, before what is asked of it next
		mustAccept(t, s, a.entries(1)...)
	}
	if x, _, _ := s.Extent(a.feed); x.Next != a.seq+1 {
		t.Errorf("got %+v, want all of %d", x, a.seq)
	}
}
