package trust

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

// An answer is all that a ledger says of a room from what it keeps.
type answer struct {
	Info    RoomInfo
	Readers []Reader
	Order   []protocol.KID
	Usable  Usable
	OK      bool
	Rekey   string
}

func answerOf(rs *Rooms, room protocol.Hash, at time.Time) (a answer) {
	a.Info, _ = rs.Room(room, at)
	a.Readers, a.Order, a.Rekey = rs.Readers(room, at), rs.EpochOrder(room, at), rs.NeedsRekey(room, at)
	a.Usable, a.OK = rs.UsableEpoch(room, at, nil)
	return a
}

// coldly answers without anything that was kept.
func coldly(rs *Rooms, room protocol.Hash, at time.Time) answer {
	rm := rs.rooms[room]
	rm.drawn, rm.roll = nil, nil
	return answerOf(rs, room, at)
}

// What is kept is what would be computed: while records come, while terms end, and when a clock goes back.
func TestRollIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newRoomWorld(t, rapid.IntRange(3, 5).Draw(t, "stewards"), 2, 1, 0)
		rs := w.ledgers[0]
		for _, id := range w.teams[:rapid.IntRange(0, len(w.teams)).Draw(t, "expire")] {
			m := rs.book.teams[id].manifests[0]
			m.Expires = uint64(w.now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "manifest")) * time.Hour).Unix())
		}
		for n := range rapid.IntRange(4, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0:
				w.act(t)
			case 1:
				w.meet(t)
			case 2:
				w.sponsor(t)
			case 3, 4:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "hours")) * time.Hour)
			case 5:
				if e, d := rs.DraftEpoch(w.room, kidFor("node", rs.self()), "age1x", w.now); d.Allowed {
					e.Created += uint64(rapid.IntRange(0, 7200).Draw(t, "ahead"))
					rs.rooms[w.room].putEpoch(&epoch{id: protocol.Sum("test", []byte("epoch"), []byte{byte(n)}), Epoch: e})
				}
			case 6:
				kind := rapid.SampledFrom([]ActKind{ActBlocked, ActUnblocked}).Draw(t, "act")
				rs.book.Act(OwnAct{Team: rapid.SampledFrom(w.teams).Draw(t, "whom"), Kind: kind, At: w.now.Add(time.Duration(n))})
			case 7:
				if h, d := rs.DraftHold(w.room, rapid.SampledFrom(w.teams).Draw(t, "held"), "", w.now); d.Allowed {
					w.put(h, rs.self())
				}
			case 8:
				for r := range w.pool {
					w.deliver(0, r)
				}
			}
			back := time.Duration(rapid.IntRange(0, 2).Draw(t, "back")) * time.Hour
			jump := time.Duration(rapid.SampledFrom([]int{1, 14, 15, 30, 31, 180, 181}).Draw(t, "days")) * 24 * time.Hour
			for _, at := range []time.Time{w.now, w.now.Add(time.Second), w.now.Add(-back), w.now.Add(jump)} {
				warm := answerOf(rs, w.room, at)
				if cold := coldly(rs, w.room, at); !reflect.DeepEqual(warm, cold) {
					t.Fatalf("kept:\n%+v\ncomputed:\n%+v", warm, cold)
				}
				answerOf(rs, w.room, w.now)
			}
		}
	})
}

// Identity records that do not touch a room leave what is kept alone; those that do are noticed.
func TestRollFollowsTheBook(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	a, d := c.teams[0], c.teams[3]
	c.found(4, nil)
	c.signAll(c.teams[1:]...)
	la := c.ledgers[a]
	la.Readers(c.room, c.now)
	rm := la.rooms[c.room]
	keptRoll, keptDrawn := rm.roll, rm.drawn
	mustAdd(t, la.book, d.Address("/ip4/192.0.2.9/tcp/1"), d.Recipient(2, recipientText("x")))
	if la.Readers(c.room, c.now); rm.roll != keptRoll || rm.drawn != keptDrawn {
		t.Error("an address makes the room be computed anew")
	}
	reads := func(who *trusttest.Team, want bool) {
		t.Helper()
		if got := slices.ContainsFunc(la.Readers(c.room, c.now), func(r Reader) bool { return r.Team == who.ID }); got != want {
			t.Errorf("%s reads: %v, want %v", who.Name, got, want)
		}
	}
	reads(d, true)
	act(la.book, ActBlocked, d)
	reads(d, false)
	if rm.drawn != keptDrawn {
		t.Error("a block makes the charter be computed anew")
	}
	reads(c.teams[2], true)
	mustAdd(t, la.book, c.teams[2].RevokeNode(c.teams[2].Node.Public().ID(), "stolen"))
	reads(c.teams[2], false)
	mustAdd(t, la.book, c.teams[1].NextRoot(nil))
	if la.Readers(c.room, c.now); rm.drawn == keptDrawn {
		t.Error("a root record is not noticed")
	}

	// A word that a member goes on elsewhere, kept with the old room, counts in the new one at once.
	old := c.room
	c.now = c.now.Add(StewardSilence + time.Hour)
	c.found(2, func(n *protocol.Charter) {
		n.Replaces = old
		root, _ := la.rootOf(d.ID)
		n.Members = append(n.Members, protocol.Seat{Team: d.ID, Root: root, Status: protocol.MemberFull, Until: n.Issued + 86400, Joined: n.Issued})
		slices.SortFunc(n.Members, func(x, y protocol.Seat) int { return slices.Compare(x.Team[:], y.Team[:]) })
	})
	c.signAll(c.teams[1])
	c.want(d, StandingProposed)
	r, dec := c.ledgers[d].DraftRefound(old, c.room, c.now)
	allowed(t, dec)
	c.tell(d.Sign(r))
	c.want(d, StandingMember)
	la.ForgetRoom(old)
	if i, _ := la.Room(c.room, c.now); i.Standing(d.ID) != StandingProposed {
		t.Errorf("after the old room was forgotten: %v", i.Standing(d.ID))
	}
}
