package trust

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
)

// copied returns a ledger that can be changed without the other.
func (rs *Rooms) copied() *Rooms {
	c := *rs
	c.rooms = map[protocol.Hash]*room{}
	for id, rm := range rs.rooms {
		o := *rm
		o.records, o.epochs, o.heard, o.passed = map[protocol.Hash]*roomRecord{}, maps.Clone(rm.epochs), maps.Clone(rm.heard), maps.Clone(rm.passed)
		o.ranks, o.counts = maps.Clone(rm.ranks), maps.Clone(rm.counts)
		for id, n := range rm.records {
			m := *n
			m.signers = maps.Clone(n.signers)
			o.records[id] = &m
		}
		o.drawn, o.roll = nil, nil
		c.rooms[id] = &o
	}
	return &c
}

// keptRooms returns everything that a ledger would give to others, signatures included.
func keptRooms(rs *Rooms) string {
	var out []byte
	for _, id := range slices.SortedFunc(maps.Keys(rs.rooms), func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		out = append(out, id[:]...)
		for _, e := range rs.RoomRecords(id) {
			out = append(out, e.Encode()...)
		}
	}
	return string(out)
}

// fuzzRoom returns a ledger of a steward with a room in which everything happened that can be recorded, and one that knows the teams
// and no room; all records; and keys to sign with.
func fuzzRoom(f testing.TB) (full, empty *Rooms, room protocol.Hash, records []*protocol.Envelope, keys []*protocol.PrivateKey) {
	f.Helper()
	c := newCircle(f, "CERT-A", "CERT-B", "CERT-C", "CERT-D", "CERT-E")
	a, b, d, e := c.teams[0], c.teams[1], c.teams[3], c.teams[4]
	empty = NewRooms(bookOf(f, a, c.teams[1:]...))
	c.found(3, func(n *protocol.Charter) { n.ObjectionDays = 0 })
	c.signAll(c.teams[1:3]...)
	c.makeEpoch(a)
	c.now = c.now.Add(time.Hour)
	c.join(d, c.teams[:3]...)
	v, dec := c.ledgers[a].DraftVouch(c.room, e.ID, "", c.now)
	allowed(f, dec)
	c.tell(a.Sign(v))
	o, dec := c.ledgers[d].DraftObjection(c.room, e.ID, "no", false, c.now)
	allowed(f, dec)
	c.tell(d.Sign(o))
	h, dec := c.ledgers[a].DraftHold(c.room, d.ID, "", c.now)
	allowed(f, dec)
	c.tell(a.Sign(h))
	next, dec := c.ledgers[b].DraftCharter(c.room, c.now, func(n *protocol.Charter) { n.Salt = [16]byte{9} })
	allowed(f, dec)
	c.tell(b.Sign(next))
	c.signAll(c.teams[:3]...)
	c.now = c.now.Add(time.Hour)
	l, dec := c.ledgers[d].DraftLeave(c.room, "", nil, c.now)
	allowed(f, dec)
	c.tell(d.Sign(l))
	root, _ := c.ledgers[a].rootOf(b.ID)
	c.tell(b.Sign(&protocol.Refound{Room: c.room, Charter: next.Prev, New: protocol.Sum("test", nil), Team: b.ID, Root: root, Issued: uint64(c.now.Unix())}))
	c.makeEpoch(b)
	for _, t := range c.teams {
		keys = append(keys, t.Officer, t.Node)
	}
	return c.ledgers[a], empty, c.room, c.ledgers[a].RoomRecords(c.room), keys
}

// checkRoomRecord gives a record to a copy of the ledger. Whatever it is: no panic, and what is refused or known changes nothing. What
// is taken in is there afterwards, and is known when it comes again; and all questions have an answer.
func checkRoomRecord(t *testing.T, base *Rooms, e *protocol.Envelope, at time.Time) (added bool) {
	t.Helper()
	rs := base.copied()
	before := keptRooms(rs)
	r := rs.AddRoomRecord(e, at)
	switch {
	case (r.Err != nil || !r.Added) && keptRooms(rs) != before:
		t.Fatalf("not added (%v), and yet something changed", r.Err)
	case r.Err != nil && r.Added:
		t.Fatalf("added, and refused: %v", r.Err)
	case r.Added && (r.ID != e.ID() || r.Envelope.ID() != r.ID || keptRooms(rs) == before):
		t.Fatal("added, and not there")
	case r.Added:
		if again := rs.AddRoomRecord(e, at); again.Added || again.Err != nil {
			t.Fatalf("the second time: added %v, %v", again.Added, again.Err)
		}
	}
	for _, i := range rs.List(at) {
		answerOf(rs, i.ID, at)
		rs.Drafts(i.ID, at)
		if (i.Why == "") != (i.State == RoomOpen) {
			t.Fatalf("%v: %q", i.State, i.Why)
		}
	}
	return r.Added
}

// checkRoomOrder loads records as they are and in another order: both say the same of the room.
func checkRoomOrder(t *testing.T, empty *Rooms, room protocol.Hash, records []*protocol.Envelope, seed uint64, at time.Time) {
	t.Helper()
	first, second := empty.copied(), empty.copied()
	first.LoadRooms(records, at)
	rand.New(rand.NewPCG(seed, 4)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	second.LoadRooms(records, at)
	if keptRooms(first) != keptRooms(second) || !reflect.DeepEqual(answerOf(first, room, at), answerOf(second, room, at)) {
		t.Fatal("the order of records matters")
	}
}

// Records in which one field is changed, signed well by those who signed the one that they were made of: whatever it is, nothing
// panics, what is refused changes nothing, and with all others the changed one says the same in any order.
func TestRoomRecordsChanged(t *testing.T) {
	full, empty, room, records, keys := fuzzRoom(t)
	var hashes []protocol.Hash
	for _, e := range records {
		hashes = append(hashes, e.ID())
	}
	for id := range full.book.teams {
		hashes = append(hashes, id)
	}
	hashes = append(ascending(hashes), protocol.Hash{})
	rng := rand.New(rand.NewPCG(1, 4))
	at := now.Add(3 * time.Hour)
	taken := 0
	for n := range 500 {
		e := records[rng.IntN(len(records))]
		rec, err := readRoomRecord(e)
		if e.Type == protocol.TypeEpoch {
			rec, err = decoded(protocol.Decode[protocol.Epoch](e))
		}
		if err != nil {
			t.Fatal(err)
		}
		switch f := reflect.ValueOf(rec).Elem().Field(rng.IntN(reflect.ValueOf(rec).Elem().NumField())); f.Interface().(type) {
		case protocol.Hash:
			f.Set(reflect.ValueOf(hashes[rng.IntN(len(hashes))]))
		case []protocol.Hash:
			f.Set(reflect.ValueOf(ascending([]protocol.Hash{hashes[rng.IntN(len(hashes))]})))
		case bool:
			f.SetBool(!f.Bool())
		default:
			switch {
			case f.CanUint():
				f.SetUint([]uint64{f.Uint() + 1, f.Uint() - 1, 0, 1, 2, f.Uint() + 86400, f.Uint() - 86400}[rng.IntN(7)])
			case f.Kind() == reflect.Slice && f.Len() > 0:
				f.Set(f.Slice(rng.IntN(f.Len()), f.Len()))
			case f.Kind() == reflect.String:
				f.SetString("other")
			}
		}
		signers := slices.DeleteFunc(slices.Clone(keys), func(k *protocol.PrivateKey) bool { return !hasSig(e, k.Public().ID()) })
		changed, err := protocol.Sign(rec, signers...)
		if err != nil {
			continue // the record's own rules
		}
		if !checkRoomRecord(t, full, changed, at) {
			continue
		}
		taken++
		if n%4 == 0 {
			checkRoomOrder(t, empty, room, append(slices.Clone(records), changed), uint64(n), at)
		}
	}
	t.Logf("%d changed records were taken in", taken)
	if taken == 0 {
		t.Error("none is taken in")
	}
}

// FuzzRoomRecord feeds a ledger with envelopes of any bytes.
func FuzzRoomRecord(f *testing.F) {
	full, empty, _, records, _ := fuzzRoom(f)
	for _, e := range records {
		f.Add(e.Encode())
	}
	f.Add([]byte{})
	at := now.Add(3 * time.Hour)
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := protocol.DecodeEnvelope(data, protocol.MaxRecord); err == nil {
			checkRoomRecord(t, full, e, at)
			checkRoomRecord(t, empty, e, at)
		}
	})
}

// FuzzRoomRecordSigned feeds a ledger with records of any content that are signed well, by keys that may or may not: a member whose
// program is broken, or a traitor. Together with the others they say the same in any order.
func FuzzRoomRecordSigned(f *testing.F) {
	full, empty, room, records, keys := fuzzRoom(f)
	types := protocol.Types()
	for _, e := range records {
		signer := slices.IndexFunc(keys, func(k *protocol.PrivateKey) bool { return k.Public().ID() == e.Sigs[0].KID })
		f.Add(uint8(slices.Index(types, e.Type)), uint8(max(0, signer)), uint8(1), e.Payload)
	}
	at := now.Add(3 * time.Hour)
	f.Fuzz(func(t *testing.T, typ, signer, more uint8, payload []byte) {
		e := &protocol.Envelope{Type: types[int(typ)%len(types)], Payload: payload}
		if _, err := RoomOfRecord(e); err != nil {
			return // not worth a signature
		}
		if err := e.AddSignature(keys[int(signer)%len(keys)]); err != nil {
			t.Fatal(err)
		}
		if more > signer {
			if err := e.AddSignature(keys[int(more)%len(keys)]); err != nil {
				return
			}
		}
		if !checkRoomRecord(t, full, e, at) {
			return
		}
		checkRoomOrder(t, empty, room, append(slices.Clone(records), e), uint64(more), at)
	})
}
