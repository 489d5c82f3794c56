package trust

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

// Who wants to fill a room brings teams that cost nothing: none of their words and epochs is taken in.
func TestStrangersCannotFillARoom(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "nobody")
	c.found(4, nil)
	c.signAll(c.teams[1:4]...)
	a, nobody := c.teams[0], c.teams[4]
	at := uint64(c.now.Unix())
	e := &protocol.Epoch{Room: c.room, Charter: c.room, Cards: protocol.Sum("x"), Team: nobody.ID, Node: nobody.Node.Public().ID(), Recipient: "age1pq1x",
		Nodes: []protocol.KID{nobody.Node.Public().ID()}, Created: at, Until: at + 3600}
	env, err := protocol.Sign(e, nobody.Node)
	if err != nil {
		t.Fatal(err)
	}
	leave := nobody.Sign(&protocol.Leave{Room: c.room, Team: nobody.ID, Root: nobody.ID, Issued: at})
	for _, env := range []*protocol.Envelope{env, leave} {
		if r := c.ledgers[a].AddRoomRecord(env, c.now); !errors.Is(r.Err, ErrMissing) || r.Added {
			t.Errorf("%s: got %+v", env.Type, r)
		}
	}
}

// A member that floods a room keeps nobody from leaving, nor stewards from deciding, nor anybody from making an epoch.
func TestMemberCannotFillARoom(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "flood", "CERT-E")
	c.found(4, func(ch *protocol.Charter) { ch.Sponsors, ch.ObjectionDays = 0, 0 })
	c.signAll(c.teams[1:4]...)
	a, b, flood, e := c.teams[0], c.teams[1], c.teams[4], c.teams[5]
	for _, in := range []*trusttest.Team{flood, e} {
		v, dec := c.ledgers[a].DraftVouch(c.room, in.ID, "", c.now)
		allowed(t, dec)
		c.tell(a.Sign(v))
		acc, dec := c.ledgers[in].DraftAccept(c.room, c.now)
		allowed(t, dec)
		c.tell(in.Sign(acc))
		c.signAll(c.teams[:4]...)
		c.want(in, StandingMember)
	}
	l := c.ledgers[a]
	at := uint64(c.now.Unix())
	words, epochs := 0, 0
	for i := range maxMemberShare + 50 {
		v := &protocol.Vouch{Room: c.room, Charter: c.room, Applicant: protocol.Sum(fmt.Sprint(i)), Team: flood.ID, Root: flood.ID, Issued: at, Expires: at + 86400}
		if l.AddRoomRecord(flood.Sign(v), c.now).Added {
			words++
		}
	}
	for i := range maxEpochShare + 50 {
		e := &protocol.Epoch{Room: c.room, Charter: c.room, Cards: protocol.Sum("x"), Team: flood.ID, Node: flood.Node.Public().ID(), Recipient: "age1pq1x",
			Nodes: []protocol.KID{flood.Node.Public().ID()}, Created: at + uint64(i), Until: at + uint64(i) + 3600}
		env, err := protocol.Sign(e, flood.Node)
		if err != nil {
			t.Fatal(err)
		}
		if r := l.AddRoomRecord(env, c.now); r.Added {
			epochs += 1 - len(r.Drop)
		}
	}
	if words > maxMemberShare || epochs > maxEpochShare {
		t.Errorf("one member has %d words and %d epochs in the room", words, epochs)
	}
	leave, dec := c.ledgers[e].DraftLeave(c.room, "", nil, c.now)
	allowed(t, dec)
	if r := l.AddRoomRecord(e.Sign(leave), c.now); !r.Added {
		t.Errorf("a leave: %v", r.Err)
	}
	c.now = c.now.Add(time.Minute)
	hold, dec := c.ledgers[b].DraftHold(c.room, flood.ID, "", c.now)
	allowed(t, dec)
	if r := l.AddRoomRecord(b.Sign(hold), c.now); !r.Added {
		t.Errorf("a hold: %v", r.Err)
	}
	next, dec := l.DraftEpoch(c.room, a.Node.Public().ID(), "age1pq1y", c.now)
	allowed(t, dec)
	env, err := protocol.Sign(next, a.Node)
	if err != nil {
		t.Fatal(err)
	}
	if r := l.AddRoomRecord(env, c.now); !r.Added {
		t.Errorf("an epoch: %v", r.Err)
	}
	if u, ok := l.UsableEpoch(c.room, c.now, nil); !ok || u.ID != env.ID() {
		t.Errorf("got epoch %s, %v", u.ID.Short(), ok)
	}
}

// Of many epochs the oldest of the team that has most gives way.
func TestEpochsGiveWay(t *testing.T) {
	rm := newRoom(protocol.Sum("room"))
	put := func(team string, created int) *epoch {
		e := &epoch{id: protocol.Sum(team, fmt.Append(nil, created)), Epoch: &protocol.Epoch{Team: protocol.Sum(team), Created: uint64(created)}}
		rm.putEpoch(e)
		return e
	}
	var oldest *epoch
	for i := range maxEpochShare {
		if e := put("greedy", 1000+i); i == 0 {
			oldest = e
		}
	}
	for i := 0; len(rm.epochs) < maxEpochs; i++ {
		put(fmt.Sprint("team ", i%32), i)
	}
	one := &epoch{id: protocol.Sum("one"), Epoch: &protocol.Epoch{Team: protocol.Sum("modest"), Created: 5}}
	if gives, full := rm.crowded(one); !full || gives != oldest {
		t.Errorf("got %v, %v", gives, full)
	}
	again := &epoch{id: protocol.Sum("again"), Epoch: &protocol.Epoch{Team: protocol.Sum("greedy"), Created: 1}}
	if gives, full := rm.crowded(again); !full || gives != again {
		t.Errorf("one that is older than all: got %v, %v", gives, full)
	}
}

// Signatures of nobody, or wrong ones, that somebody adds to a charter do not travel, and do not spoil it when the key is somebody's.
func TestWrongSignaturesDoNotSpoilACharter(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	c.found(4, nil)
	c.signAll(c.teams[1:4]...)
	a, d := c.teams[0], c.teams[3]
	next := trusttest.Key(t, protocol.Hybrid) // the officer whom D will name
	env, _ := c.ledgers[a].RoomEnvelope(c.room, c.room)
	bad := *env
	bad.Sigs = append(append([]protocol.Signature(nil), env.Sigs...), protocol.Signature{KID: next.Public().ID(), Suite: protocol.Hybrid, ML: make([]byte, len(env.Sigs[0].ML))})
	before := c.ledgers[a].RoomRecords(c.room)
	c.ledgers[a].AddRoomRecord(&bad, c.now)
	for i, e := range c.ledgers[a].RoomRecords(c.room) {
		if string(e.Encode()) != string(before[i].Encode()) {
			t.Errorf("a %s looks different by a signature of nobody", e.Type)
		}
	}
	kept, _ := c.ledgers[a].RoomEnvelope(c.room, c.room)
	root := d.NextRoot(func(r *protocol.Root) {
		r.Officers = append(slices.Clone(r.Officers), protocol.Officer{Name: "next", Key: next.Public()})
	})
	book := c.ledgers[a].book
	if _, _, err := book.Add(root, c.now); err != nil {
		t.Fatal(err)
	}
	again := NewRooms(book)
	if errs := again.LoadRooms([]*protocol.Envelope{kept}, c.now); len(errs) > 0 {
		t.Fatalf("the charter is refused at the next start: %v", errs)
	}
	if i, ok := again.Room(c.room, c.now); !ok || i.State != RoomOpen {
		t.Errorf("got %+v", i)
	}
	if got := again.RoomRecords(c.room)[0]; len(got.Sigs) != 4 {
		t.Errorf("%d signatures are told to others, want the four good ones", len(got.Sigs))
	}
}

// A steward holds a member once under a charter. A second hold does not count, and is the proof that it cheated.
func TestSecondHoldIsACheat(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	c.found(4, nil)
	c.signAll(c.teams[1:4]...)
	a, b, d := c.teams[0], c.teams[1], c.teams[3]
	hold, dec := c.ledgers[b].DraftHold(c.room, d.ID, "", c.now)
	allowed(t, dec)
	c.tell(b.Sign(hold))
	c.want(d, StandingHeld)
	c.now = c.now.Add(13 * 24 * time.Hour)
	_, dec = c.ledgers[b].DraftHold(c.room, d.ID, "", c.now)
	refusedBy(t, dec, "hold-given")
	at := uint64(c.now.Unix())
	c.tell(b.Sign(&protocol.Hold{Room: c.room, Charter: c.room, Subject: d.ID, Team: b.ID, Root: b.ID, Issued: at, Until: at + 14*86400}))
	c.now = c.now.Add(2 * 24 * time.Hour)
	c.want(d, StandingMember)
	if i := c.info(a); len(i.Cheats) != 1 || i.Cheats[0].Team != b.ID || len(i.Warnings) == 0 {
		t.Errorf("got %v, %q", i.Cheats, i.Warnings)
	}
}

// A room into which this team is asked, with a name that is the id or the name of another, does not take its place.
func TestNamesOfInvitationsTakeNoPlace(t *testing.T) {
	c := newCircle(t, "CERT-A", "CERT-B", "CERT-C", "CERT-D")
	c.found(4, nil)
	c.signAll(c.teams[1:4]...)
	a, b := c.teams[0], c.teams[1]
	mine := c.info(a)
	for i, name := range []string{c.room.String(), mine.Name, c.room.String()[:12]} {
		ch, ok := c.ledgers[b].NewCharter(name, []protocol.TeamID{b.ID, a.ID}, nil, c.now)
		if !ok {
			t.Fatal("no charter")
		}
		ch.Salt[0] = byte(i)
		if r := c.ledgers[a].AddRoomRecord(b.Sign(ch), c.now); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, q := range []string{c.room.String(), mine.Name, c.room.String()[:12]} {
		if got, err := c.ledgers[a].Find(q, c.now); err != nil || got.ID != c.room {
			t.Errorf("%.20q: got %s, %v", q, got.ID.Short(), err)
		}
	}
}
