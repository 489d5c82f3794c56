package node_test

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// What the oracle says of rooms can fail: each of these worlds has something broken in it, and it is noticed.
func TestOracleNoticesInRooms(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	// first returns the epoch that was the first of a room, however late it is asked for.
	var mu sync.Mutex
	firsts := map[protocol.Hash]trust.Usable{}
	first := func(rs *trust.Rooms, room protocol.Hash) (trust.Usable, bool) {
		mu.Lock()
		defer mu.Unlock()
		if u, ok := firsts[room]; ok {
			return u, true
		}
		u, ok := rs.UsableEpoch(room, time.Now(), nil)
		if ok {
			firsts[room] = u
		}
		return u, ok
	}
	joins := func(w *nodetest.World, room protocol.Hash, fr *nodetest.Team) {
		at, de := w.As("at"), w.As("de")
		at.Vouches(room, fr)
		fr.Accepts(room)
		w.Until("the acceptance is there", func() bool { return len(at.SeesProposal(room, "admission", fr).Missing) == 0 })
		at.Admits(room, fr)
		de.Votes(room, fr)
		for _, m := range []*nodetest.Team{at, fr} {
			m.SeesMember(room, fr, trust.StandingMember)
		}
	}
	one, none := 1, 0
	for i, c := range []struct {
		name string
		kind string // of the fault to be found
		make func(on *atomic.Pointer[string]) node.Mutant
		arm  func(w *nodetest.World) string
		tell func(w *nodetest.World, room protocol.Hash)
	}{
		{name: "the first key for ever", kind: "opened",
			make: func(*atomic.Pointer[string]) node.Mutant { return node.Mutant{Epoch: first} },
			tell: func(w *nodetest.World, room protocol.Hash) {
				at, de, pl := w.As("at"), w.As("de"), w.As("pl")
				says(room, at, "all hear this", de, pl)
				at.HoldsOut(room, pl)
				de.SeesMember(room, pl, trust.StandingHeld)
				says(room, at, "pl is not to hear this", de)
				w.Wait(time.Minute)
			}},
		{name: "keys of the past for newcomers", kind: "opened",
			make: func(*atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Grants: func(rs *trust.Rooms, room protocol.Hash) (ids []protocol.Hash) {
					if i, _ := rs.Room(room, time.Now()); i.Mine != trust.StandingMember {
						return nil // it would use up what it may ask for
					}
					for _, e := range rs.RoomRecords(room) {
						if e.Type == protocol.TypeEpoch {
							ids = append(ids, e.ID())
						}
					}
					return ids
				}}
			},
			tell: func(w *nodetest.World, room protocol.Hash) {
				at, de, pl, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("fr")
				says(room, at, "before fr", de, pl)
				joins(w, room, fr)
				says(room, at, "welcome", de, pl, fr)
				w.Wait(time.Minute)
			}},
		{name: "a room told to whoever asks", kind: "third",
			make: func(*atomic.Pointer[string]) node.Mutant {
				return node.Mutant{MayHave: func(_ protocol.TeamID, c protocol.Channel) bool { return !c.Room().IsZero() }}
			},
			tell: func(w *nodetest.World, room protocol.Hash) {
				says(room, w.As("at"), "among us", w.As("de"), w.As("pl"))
				w.Wait(6 * time.Minute)
			}},
		{name: "sealed to somebody else too", kind: "opened",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Seal: func(_ protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error) {
					return seal.SealSmall(inner, also(on, to)...)
				}}
			},
			arm: func(w *nodetest.World) string { return recipient(t, w.As("fr")) }},
		{name: "not padded", kind: "length",
			make: func(*atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Seal: func(_ protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error) {
					var b bytes.Buffer
					w, err := seal.Seal(&b, to...)
					if err != nil {
						return nil, err
					}
					if _, err := w.Write(inner); err != nil {
						return nil, err
					}
					err = w.Close()
					return b.Bytes(), err
				}}
			}},
		{name: "nothing is logged", kind: "audit",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Record: func(rs []audit.Record) []audit.Record {
					if on.Load() == nil {
						return rs
					}
					return slices.DeleteFunc(rs, func(r audit.Record) bool { return r.Action != "grant" })
				}}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := new(atomic.Pointer[string])
			node.Mutate(c.make(on))
			defer node.Mutate(node.Mutant{})
			nodetest.Catches(t, uint64(450+i), []string{"at", "de", "pl", "fr"}, c.kind, func(w *nodetest.World) {
				w.AllMeet()
				at, de, pl := w.As("at"), w.As("de"), w.As("pl")
				room := w.FoundRoom(node.RoomTerms{Sponsors: &one, ObjectionDays: &none}, []*nodetest.Team{at, de}, []*nodetest.Team{pl})
				arm := ""
				if c.arm != nil {
					arm = c.arm(w)
				}
				on.Store(&arm)
				if c.tell != nil {
					c.tell(w, room)
					return
				}
				at.SendsTo(nodetest.InRoom(room), tlp.Amber, "a host of yours scans ours")
				w.Wait(30 * time.Second)
			})
		})
	}
}
