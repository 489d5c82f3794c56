package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// A modelMessage is what the store has to know of a statement.
type modelMessage struct {
	n        uint64
	received time.Time
	held     bool
	home     protocol.Hash   // the channel whose key it is under
	also     []protocol.Hash // the others that it is in
	title    string
}

// Whatever two teams send each other, hold back, release, prune and forget, and however often the store is opened: what is
// there is what has to be, and Fsck finds nothing.
func TestExchange(t *testing.T) {
	agreement := protocol.Sum("agreement")
	me, them := newAuthor(t, "me"), newAuthor(t, "de")
	de, pl, agreed := me.to("de", protocol.Hash{}), me.to("pl", protocol.Hash{}), me.to("de", agreement)
	var ours [][]Entry
	for i := range 9 {
		switch i % 3 {
		case 0:
			ours = append(ours, toAll(de.statement("to both", "x"), de, pl))
		case 1:
			ours = append(ours, toAll(pl.statement("to one", "x"), pl))
		default:
			ours = append(ours, toAll(agreed.statement("agreed", "x"), agreed))
		}
		link := toAll(de.statement("for programs", "x"), de)
		link[0].Link = true
		ours = append(ours, link)
	}
	var theirs []Entry
	for _, from := range []*author{them, them.to("me", protocol.Hash{}), them.to("me", agreement)} {
		for i := range 7 {
			e := from.entry(from.statement("theirs", "y"))
			switch {
			case i%3 == 1 && !from.ch.IsCommunity():
				e.Held = "a-rule"
			case i%7 == 5:
				e = back(e)[0]
			}
			theirs = append(theirs, e)
		}
	}
	tags := []protocol.Hash{communityTag, de.ch.Tag(), pl.ch.Tag(), agreed.ch.Tag()}
	lookup := lookupAll(me, them)
	rapid.Check(t, func(rt *rapid.T) {
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		must(err)
		ck, keys := newClock(), newTestKeys("test")
		onDisk := rapid.IntRange(0, 4).Draw(rt, "on disk") == 4 // which takes long
		open := func() (*Store, error) {
			if onDisk {
				return Open(dir, keys, Options{Now: ck.now})
			}
			return OpenMemory(keys, Options{Now: ck.now})
		}
		s, err := open()
		must(err)
		defer func() { must(s.Close()) }()
		model := map[protocol.Hash]*modelMessage{}
		next := 0 // of ours
		accept := func(es []Entry) {
			out, err := s.Accept(es)
			if err != nil && !slices.ContainsFunc(es, func(e Entry) bool { return keys.gone[e.Tag] }) {
				rt.Fatal(err)
			}
			for i, o := range out {
				e := es[i]
				switch m := model[e.StatementID]; {
				case o.Err != nil && !keys.gone[e.Tag]:
					rt.Fatal(o.Err)
				case o.Err != nil || o.Verdict != trust.Accept || e.Link:
				case m == nil:
					model[e.StatementID] = &modelMessage{n: o.N, received: ck.t, held: e.Held != "", home: e.Tag, title: e.Statement.Title}
				default:
					m.also = append(m.also, e.Tag)
				}
			}
		}
		before := func(rt *rapid.T) time.Time {
			return ck.t.Add(-time.Duration(rapid.IntRange(-1, 3).Draw(rt, "hours")) * time.Hour)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"theirs": func(rt *rapid.T) {
				var some []Entry
				for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(theirs)-1), 1, 6, rapid.ID).Draw(rt, "entries") {
					some = append(some, theirs[i])
				}
				accept(some)
			},
			"ours": func(rt *rapid.T) {
				if next == len(ours) {
					rt.Skip("all said")
				}
				accept(ours[next])
				next++
			},
			"release": func(rt *rapid.T) {
				var held []protocol.Hash
				must(s.Held(func(m *Message) bool { held = append(held, m.ID); return true }))
				if len(held) == 0 {
					rt.Skip("none is held back")
				}
				id := rapid.SampledFrom(held).Draw(rt, "held")
				must(s.Release(id))
				model[id].held = false
			},
			"later": func(rt *rapid.T) { ck.t = ck.t.Add(time.Hour) },
			"prune": func(rt *rapid.T) {
				limit := before(rt)
				_, err := s.Prune(t.Context(), limit)
				must(err)
				for id, m := range model {
					if m.received.Before(limit) {
						delete(model, id)
					}
				}
			},
			"prune one": func(rt *rapid.T) {
				limit, tag := before(rt), rapid.SampledFrom(tags).Draw(rt, "tag")
				if keys.gone[tag] {
					rt.Skip("its key is gone")
				}
				_, err := s.PruneTag(t.Context(), tag, protocol.TeamID{}, limit)
				must(err)
				for id, m := range model {
					switch i := slices.Index(m.also, tag); {
					case !m.received.Before(limit):
					case i >= 0:
						m.also = slices.Delete(m.also, i, i+1)
					case m.home == tag && len(m.also) > 0:
						m.home, m.also = m.also[0], m.also[1:]
					case m.home == tag:
						delete(model, id)
					}
				}
			},
			"forget": func(rt *rapid.T) {
				tag := rapid.SampledFrom(tags[1:]).Draw(rt, "tag")
				keys.drop(tag)
				must(s.Forget(tag))
				for id, m := range model {
					if m.home == tag {
						delete(model, id)
					} else if i := slices.Index(m.also, tag); i >= 0 {
						m.also = slices.Delete(m.also, i, i+1)
					}
				}
			},
			"open anew": func(rt *rapid.T) {
				if !onDisk {
					rt.Skip("nothing would be left")
				}
				must(s.Close())
				s, err = open()
				must(err)
			},
			"index": func(rt *rapid.T) {
				ms, err := s.IndexPending(rapid.IntRange(1, 10).Draw(rt, "some"))
				must(err)
				for _, m := range ms {
					if model[m.ID].held {
						rt.Fatalf("message %d is held back, and to be indexed", m.N)
					}
					must(s.Index(m.N, []string{"all"}))
				}
			},
			"": func(rt *rapid.T) {
				seen := 0
				must(s.Inbox(Query{WithHeld: true, Bodies: true}, func(m *Message) bool {
					want := model[m.ID]
					if want == nil {
						rt.Fatalf("message %d should be gone", m.N)
						return false
					}
					if m.N != want.n || (m.Held != "") != want.held || m.Tag != want.home || m.Statement.Title != want.title || !m.Complete || !m.Received.Equal(want.received) {
						rt.Fatalf("got %+v, want %+v", m, want)
					}
					in, err := s.channelsOf(m.ID)
					must(err)
					if len(in) != 1+len(want.also) {
						rt.Fatalf("message %d is in %d channels, want %d", m.N, len(in), 1+len(want.also))
					}
					if env, err := s.Envelope(m.ID); err != nil || len(env) == 0 {
						rt.Fatalf("the envelope of message %d: %v", m.N, err)
					}
					seen++
					return true
				}))
				if seen != len(model) || s.Stats().Messages != uint64(seen) {
					rt.Fatalf("got %d messages, counted %d, want %d", seen, s.Stats().Messages, len(model))
				}
				must(s.Inbox(Query{}, func(m *Message) bool {
					if m.Held != "" {
						rt.Fatalf("message %d is held back, and shown", m.N)
					}
					return true
				}))
				found, err := s.SearchTerms([]string{"all"}, 0)
				must(err)
				for _, m := range found {
					if want := model[m.ID]; want == nil || want.held {
						rt.Fatalf("found message %d", m.N)
					}
				}
				for _, es := range ours[:next] { // what this node made it knows as long as it keeps it
					for _, e := range es {
						_, err := s.StatementOf(e.Envelope.ID())
						if kept := s.holds(e.Parcel.Feed, e.Parcel.Seq); kept != (err == nil) {
							rt.Fatalf("entry %d of ours: kept %v, its statement: %v", e.Parcel.Seq, kept, err)
						}
					}
				}
				rep, err := s.Fsck(t.Context(), FsckOptions{Lookup: lookup})
				must(err)
				if rep.Found > 0 {
					rt.Fatalf("got %v", rep.Problems)
				}
			},
		})
	})
}

func (s *Store) holds(feed protocol.FeedID, seq uint64) (kept bool) {
	_ = s.view(func(t *tx) error {
		kept = t.has(parcelKey(feed, seq))
		return nil
	})
	return kept
}

// A home of the layout before has heads without a reader in their keys, in its store and in its backups.
func TestMigrateHeads(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	a, _ := fill(t, s)
	h := &protocol.Heads{Team: a.team, Node: a.key.Public().ID(), N: 7, Time: 1}
	e, err := protocol.Sign(h, a.key)
	if err != nil {
		t.Fatal(err)
	}
	old := key(kHeads, h.Node)
	edit(t, s, func(tx *tx) error {
		_, err := tx.put(old, s.local, e.Encode())
		return errors.Join(err, tx.Set(key(kHeads, protocol.KID{1}), []byte("garbage")))
	})
	if err := s.setSchema(1); err != nil {
		t.Fatal(err)
	}
	backup := rawBackup(t, s, 1)
	check := func(s *Store) {
		t.Helper()
		if _, got, err := s.Heads(h.Node, protocol.TeamID{}); err != nil || got.N != 7 {
			t.Errorf("got %+v, %v", got, err)
		}
		if v, err := s.schema(); v != schemaVersion || err != nil {
			t.Errorf("got version %d, %v", v, err)
		}
		if keys := keysOf(t, s, kHeads); len(keys) != 1 {
			t.Errorf("got %d heads, want 1", len(keys))
		}
		mustClean(t, s, a.lookup)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, dir, Options{})
		check(s)
	}
	loaded := openTest(t, "", Options{})
	if err := loaded.Load(t.Context(), bytes.NewReader(backup)); err != nil {
		t.Fatal(err)
	}
	check(loaded)
}

// rawBackup writes a backup of a former layout, with all that can be opened.
func rawBackup(t *testing.T, s *Store, version uint64) []byte {
	t.Helper()
	b := binary.BigEndian.AppendUint64([]byte(backupMagic), version)
	count := uint64(0)
	if err := s.view(func(tx *tx) error {
		return tx.scan(nil, nil, scanOptions{values: true}, func(item *badger.Item) (bool, error) {
			v, err := item.ValueCopy(nil)
			if err != nil || string(v) == "garbage" {
				return err == nil, err
			}
			k := item.KeyCopy(nil)
			b = append(binary.AppendUvarint(append(b, 1), uint64(len(k))), k...)
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
			count++
			return true, nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	b = binary.BigEndian.AppendUint64(append(b, 0), count)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// channelsOf returns the channels that the message of a statement is in: of ours it may be several, of others' it is one.
func (s *Store) channelsOf(id protocol.Hash) (tags []protocol.Hash, err error) {
	err = s.view(func(t *tx) error {
		pl, err := t.place(id)
		if err != nil {
			return err
		}
		tags = t.tagsOf(pl, id)
		return nil
	})
	return tags, err
}
