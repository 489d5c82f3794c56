package trust

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
)

// A roomWorld is teams of whom each has a ledger of its own, in which records arrive in any order or not at all. Signatures
// are not made: who signed is written beside the record. All else is production code.
type roomWorld struct {
	t       fataler
	now     time.Time
	teams   []protocol.TeamID
	ledgers []*Rooms // of the teams, in order; of traitors too, who do not obey them
	traitor map[protocol.TeamID]bool
	room    protocol.Hash
	pool    []pooled
	blessed map[protocol.TeamID]bool // teams that an honest steward let in
	salt    byte
	got     [][]bool // of each record, to whom it was delivered
}

type fataler interface {
	Fatalf(string, ...any)
	Helper()
}

// A pooled record is one that somebody signed, to be delivered to anybody.
type pooled struct {
	env *protocol.Envelope
	by  []protocol.TeamID
}

func roomTeam(n int) protocol.TeamID { return protocol.Sum("test", []byte("team"), []byte{byte(n)}) }

// kidFor returns the key of the officer or the node of a team.
func kidFor(what string, t protocol.TeamID) protocol.KID {
	h := protocol.Sum("test", []byte(what), t[:])
	return protocol.KID(h[:16])
}

// fakeBook returns a Book of self that knows the teams, each with one officer and one node.
func fakeBook(self protocol.TeamID, teams []protocol.TeamID) *Book {
	b := NewBook(self)
	for _, id := range teams {
		t := newTeam(id)
		r := &root{id: protocol.Sum("test", []byte("root"), id[:]), officers: []protocol.KID{kidFor("officer", id)},
			Root: &protocol.Root{Team: id, Officers: []protocol.Officer{{Name: "officer"}}}}
		t.roots[r.id], t.head, t.path[r.id] = r, r, true
		t.manifests = []*manifest{{id: protocol.Sum("test", []byte("manifest"), id[:]),
			Manifest: &protocol.Manifest{Team: id, Version: 1, Root: r.id, Expires: uint64(now.Add(1000 * 24 * time.Hour).Unix())}}}
		t.listed[kidFor("node", id)] = listed{}
		t.wasAdded = true
		b.teams[id] = t
	}
	return b
}

func newRoomWorld(t fataler, stewards, members, outsiders, traitors int) *roomWorld {
	t.Helper()
	w := &roomWorld{t: t, now: now, traitor: map[protocol.TeamID]bool{}, blessed: map[protocol.TeamID]bool{}}
	for i := range stewards + members + outsiders {
		w.teams = append(w.teams, roomTeam(i))
	}
	for _, id := range w.teams {
		w.ledgers = append(w.ledgers, NewRooms(fakeBook(id, w.teams)))
	}
	for i := range traitors {
		w.traitor[w.teams[stewards-1-i]] = true
	}
	c, ok := w.ledgers[0].NewCharter("room", slices.Clone(w.teams[:stewards]), slices.Clone(w.teams[stewards:stewards+members]), w.now)
	if !ok {
		t.Fatalf("no charter")
	}
	c.Sponsors, c.ObjectionDays = 2, 1
	w.room = w.put(c, w.teams[:stewards]...)
	for _, id := range w.teams[:stewards+members] {
		w.blessed[id] = true
	}
	for i := range members {
		m := stewards + i
		root, _ := w.ledgers[m].rootOf(w.teams[m])
		w.put(&protocol.Accept{Room: w.room, Charter: w.room, Team: w.teams[m], Root: root, Issued: uint64(w.now.Unix())}, w.teams[m])
	}
	w.deliverAll()
	return w
}

// put makes a record that the teams signed, and returns its id. Only those who signed it have it yet.
func (w *roomWorld) put(r protocol.Record, by ...protocol.TeamID) protocol.Hash {
	w.t.Helper()
	e, err := protocol.Sign(r)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return w.cosign(e, by...)
}

func (w *roomWorld) cosign(e *protocol.Envelope, by ...protocol.TeamID) protocol.Hash {
	w.t.Helper()
	c := *e
	c.Sigs = nil
	w.pool, w.got = append(w.pool, pooled{&c, by}), append(w.got, make([]bool, len(w.teams)))
	for i, id := range w.teams {
		if slices.Contains(by, id) && w.room != (protocol.Hash{}) {
			w.deliver(i, len(w.pool)-1)
		}
	}
	return c.ID()
}

// deliver gives the team a record, as AddRoomRecord does after it verified it.
func (w *roomWorld) deliver(i, record int) RoomResult {
	w.t.Helper()
	if w.got[record][i] {
		return RoomResult{}
	}
	w.got[record][i] = true
	rs, p := w.ledgers[i], w.pool[record]
	e := *p.env
	for _, id := range p.by {
		e.Sigs = append(slices.Clone(e.Sigs), protocol.Signature{KID: kidFor("officer", id)})
	}
	rec, err := readRoomRecord(&e)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	n := &roomRecord{id: e.ID(), env: &e, rec: rec, signers: map[protocol.TeamID][]protocol.KID{}}
	n.team, n.root = signerOf(rec)
	for _, id := range p.by {
		n.signers[id] = []protocol.KID{kidFor("officer", id)}
	}
	id := roomOf(rec, n.id)
	rm := rs.rooms[id]
	if rm == nil {
		rm = newRoom(id)
	}
	return rs.take(rm, n, RoomResult{ID: n.id, Room: id, Envelope: &e})
}

func (w *roomWorld) deliverAll() {
	for i := range w.ledgers {
		for r := range w.pool {
			w.deliver(i, r)
		}
	}
}

func (w *roomWorld) honest() (out []int) {
	for i, id := range w.teams {
		if !w.traitor[id] {
			out = append(out, i)
		}
	}
	return out
}

// sign lets the officers of the team sign a draft.
func (w *roomWorld) sign(i int, d Draft) {
	me := w.teams[i]
	if d.Record == nil {
		e, ok := w.ledgers[i].RoomEnvelope(w.room, d.ID)
		if !ok {
			w.t.Fatalf("nothing to sign with others")
		}
		if k, err := protocol.Decode[protocol.MemberCard](e); err == nil && k.Status == protocol.MemberFull {
			w.blessed[k.Subject] = true
		}
		w.cosign(e, me)
		return
	}
	if k, ok := d.Record.(*protocol.MemberCard); ok && k.Status == protocol.MemberFull {
		w.blessed[k.Subject] = true
	}
	w.put(d.Record, me)
}

// act lets an honest team do something at random.
func (w *roomWorld) act(t *rapid.T) {
	i := rapid.SampledFrom(w.honest()).Draw(t, "team")
	rs, me := w.ledgers[i], w.teams[i]
	other := rapid.SampledFrom(w.teams).Draw(t, "other")
	switch rapid.IntRange(0, 11).Draw(t, "what") {
	case 0, 1, 2, 3, 4:
		if ds := rs.Drafts(w.room, w.now); len(ds) > 0 {
			w.sign(i, rapid.SampledFrom(ds).Draw(t, "draft"))
		}
	case 5:
		to := rapid.SampledFrom([]protocol.MemberStatus{protocol.MemberRemoved, protocol.MemberSuspended, protocol.MemberFull}).Draw(t, "to")
		if c, d := rs.DraftCard(w.room, other, to, "", nil, w.now); d.Allowed {
			if c.Status == protocol.MemberFull {
				w.blessed[other] = true
			}
			w.put(c, me)
		}
	case 6, 7:
		voids := rapid.Bool().Draw(t, "voids")
		if c, d := rs.DraftCharter(w.room, w.now, func(c *protocol.Charter) {
			w.salt++
			c.Salt = [16]byte{w.salt}
			if n := len(c.Stewards); n > 2 && rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
				c.Stewards = c.Stewards[:n-1]
			}
			if s, ok := c.Seat(other); ok && s.Status == protocol.MemberFull && !c.IsSteward(other) && rapid.IntRange(0, 3).Draw(t, "promote") == 0 {
				c.Stewards = ascending(append(slices.Clone(c.Stewards), other))
			}
			if voids {
				for _, k := range rs.at(w.room, w.now).head().cards {
					if k.restricting && len(c.Voids) < 4 {
						c.Voids = append(c.Voids, k.id)
					}
				}
				ascending(c.Voids)
			}
		}); d.Allowed && len(c.Stewards) >= 2 {
			w.put(c, me)
		}
	case 8:
		if h, d := rs.DraftHold(w.room, other, "", w.now); d.Allowed {
			w.put(h, me)
		}
	case 9:
		if v, d := rs.DraftVouch(w.room, other, "", w.now); d.Allowed {
			w.put(v, me)
		}
	case 10:
		if o, d := rs.DraftObjection(w.room, other, "", rapid.Bool().Draw(t, "withdrawn"), w.now); d.Allowed {
			w.put(o, me)
		}
	case 11:
		if l, d := rs.DraftLeave(w.room, "", nil, w.now); d.Allowed && rapid.IntRange(0, 3).Draw(t, "leave") == 0 {
			w.put(l, me)
		}
	}
}

// meet brings the honest together, who all know all and sign what waits for them about one proposal.
func (w *roomWorld) meet(t *rapid.T) {
	h := w.honest()
	for _, i := range h {
		for r := range w.pool {
			w.deliver(i, r)
		}
	}
	info, _ := w.ledgers[h[0]].Room(w.room, w.now)
	if len(info.Proposals) == 0 {
		return
	}
	about := rapid.SampledFrom(info.Proposals).Draw(t, "about").ID
	for range rapid.IntRange(1, 3).Draw(t, "times") {
		from := len(w.pool)
		for _, i := range h {
			for _, d := range w.ledgers[i].Drafts(w.room, w.now) {
				if d.ID == about || d.Kind == "accept" {
					w.sign(i, d)
				}
			}
			for r := from; r < len(w.pool); r++ {
				w.deliver(i, r)
			}
		}
		for _, i := range h {
			for r := from; r < len(w.pool); r++ {
				w.deliver(i, r)
			}
		}
	}
}

// sponsor lets members vouch for a team, and the team accept.
func (w *roomWorld) sponsor(t *rapid.T) {
	other := rapid.SampledFrom(w.teams).Draw(t, "applicant")
	if w.traitor[other] {
		return
	}
	for _, i := range w.honest() {
		if v, d := w.ledgers[i].DraftVouch(w.room, other, "", w.now); d.Allowed {
			w.put(v, w.teams[i])
		}
	}
	i := slices.Index(w.teams, other)
	for r := range w.pool {
		w.deliver(i, r)
	}
	if a, d := w.ledgers[i].DraftAccept(w.room, w.now); d.Allowed {
		w.put(a, other)
	}
}

// cheat lets a traitor sign whatever helps it: every vote on every charter in every round, every card, cards that admit
// outsiders, charters that name them, holds on everybody.
func (w *roomWorld) cheat(t *rapid.T) {
	bad := slices.DeleteFunc(slices.Clone(w.teams), func(id protocol.TeamID) bool { return !w.traitor[id] })
	if len(bad) == 0 {
		return
	}
	me := rapid.SampledFrom(bad).Draw(t, "traitor")
	other := rapid.SampledFrom(w.teams).Draw(t, "victim")
	rs := w.ledgers[slices.Index(w.teams, me)]
	for r := range w.pool {
		w.deliver(slices.Index(w.teams, me), r)
	}
	v := rs.at(w.room, w.now).head()
	root, _ := rs.rootOf(me)
	at := uint64(w.now.Unix())
	switch rapid.IntRange(0, 4).Draw(t, "how") {
	case 0:
		for _, n := range v.proposals {
			for round := uint64(1); round <= v.rounds()+1; round++ {
				w.put(&protocol.Approve{Room: w.room, Charter: n.id, Version: n.Version, Round: round, Team: me, Root: root, Issued: at}, me)
			}
		}
	case 1:
		for k, by := range v.approved {
			ids := ascending(slices.Collect(maps.Values(by)))
			w.put(&protocol.Adopt{Room: w.room, Charter: k.charter, Version: v.Version + 1, Round: k.round, Team: me, Root: root, Approves: ids, Issued: at}, me)
		}
	case 2:
		for _, c := range v.cards {
			if e, ok := rs.RoomEnvelope(w.room, c.id); ok {
				w.cosign(e, me)
			}
		}
	case 3:
		hr, _ := rs.rootOf(other)
		c := &protocol.MemberCard{Room: w.room, Charter: v.id, Subject: other, Root: hr, N: 1, Joined: at, Until: at + 86400, Issued: at,
			Status: rapid.SampledFrom([]protocol.MemberStatus{1, 2, 3}).Draw(t, "status")}
		w.put(c, me)
		if other != me {
			w.put(&protocol.Hold{Room: w.room, Charter: v.id, Subject: other, Team: me, Root: root, Until: at + 13*86400, Issued: at}, me)
		}
	case 4:
		if c, d := rs.DraftCharter(w.room, w.now, func(c *protocol.Charter) {
			w.salt++
			c.Salt = [16]byte{w.salt, 1}
			if _, ok := c.Seat(other); !ok {
				hr, _ := rs.rootOf(other)
				c.Members = append(c.Members, protocol.Seat{Team: other, Root: hr, Status: protocol.MemberFull, Until: at + 86400, Joined: at})
				slices.SortFunc(c.Members, func(a, b protocol.Seat) int { return bytes.Compare(a.Team[:], b.Team[:]) })
			}
		}); d.Allowed && len(c.Stewards) >= 2 {
			w.put(c, me)
		}
	}
}

// check looks at what one honest team sees.
func (w *roomWorld) check(i int) {
	w.t.Helper()
	rs := w.ledgers[i]
	r := rs.at(w.room, w.now)
	if len(r.rivals) > 0 {
		w.t.Fatalf("two charters are certified for one version (I-20)")
	}
	for n, v := range r.versions {
		if n > 0 {
			w.kept(r.versions[n-1], v)
		}
	}
	v := r.head()
	for _, m := range r.members(v) {
		if m.Status == StandingMember && !w.blessed[m.Team] {
			w.t.Fatalf("a member that no honest steward let in (I-27)")
		}
	}
	for _, c := range r.roomFacts.cheats(v) {
		if !w.traitor[c.team] {
			w.t.Fatalf("an honest steward is accused of cheating")
		}
	}
	for _, v := range r.versions {
		for t, l := range v.lines {
			for _, c := range l.valid {
				w.founded(r, v, t, c)
			}
		}
	}
	// I-25: without the holds, the same votes count.
	bare := *r.roomFacts
	bare.holds = nil
	if a, b := chainSummary(r.roomChain), chainSummary(bare.chain()); a != b {
		w.t.Fatalf("holds change what was decided (I-25):\n%s\n%s", a, b)
	}
}

func chainSummary(c *roomChain) string {
	out := ""
	for _, v := range c.versions {
		var ids []protocol.Hash
		for _, l := range v.lines {
			for _, c := range l.path {
				ids = append(ids, c.id)
			}
		}
		out += fmt.Sprintf("%s %v\n", v.id, ascending(ids))
	}
	return out
}

// kept checks I-22: what was certified against a member is in the next version, void by its word or by that of a steward who
// adopted it, or was certified back.
func (w *roomWorld) kept(before, after *roomVersion) {
	gaveUp := map[protocol.Hash]bool{}
	for _, p := range w.pool {
		if a, err := protocol.Decode[protocol.Adopt](p.env); err == nil {
			for _, id := range a.Voids {
				gaveUp[id] = true
			}
		}
	}
	for _, l := range before.lines {
		for _, c := range l.valid {
			follows := slices.ContainsFunc(l.valid, func(o *roomCard) bool { return o.Prev == c.id })
			if !c.restricting || follows || gaveUp[c.id] || slices.Contains(after.Voids, c.id) {
				continue
			}
			if s, ok := after.Seat(c.Subject); ok && !asStrict(s.Status, s.Until, c.Status, c.Until) {
				w.t.Fatalf("version %d loses a certified card (I-22)", after.Version)
			}
		}
	}
}

// founded checks I-24 by counting once more.
func (w *roomWorld) founded(r *roomAt, v *roomVersion, t protocol.TeamID, c *roomCard) {
	voters := 0
	for s := range c.votes {
		if v.IsSteward(s) && s != t {
			voters++
		}
	}
	q := protocol.Quorum(len(v.Stewards))
	if len(v.Stewards) == 3 && v.IsSteward(t) {
		q = 2
	}
	if voters < q {
		w.t.Fatalf("a card counts with %d of %d votes (I-24)", voters, q)
	}
	if c.Accept.IsZero() {
		return
	}
	sponsors := map[protocol.TeamID]bool{}
	for _, id := range c.Vouches {
		if x := r.vouches[id]; x.rec != nil && x.rec.Applicant == t && x.rec.Team != t {
			sponsors[x.rec.Team] = true
		}
	}
	if a := r.accepts[c.Accept]; len(sponsors) < 2 || a.rec == nil || a.rec.Team != t || a.rec.Charter != v.id {
		w.t.Fatalf("a team was admitted with %d sponsors and acceptance %v (I-24)", len(sponsors), a.rec)
	}
}

// public returns what all have to agree on.
func public(i RoomInfo) RoomInfo {
	i.Mine, i.Steward, i.Warnings = 0, false, nil
	i.Proposals = slices.Clone(i.Proposals)
	for n := range i.Proposals {
		i.Proposals[n].MineVote, i.Proposals[n].Why = false, ""
	}
	return i
}

// I-20, I-22, I-24, I-25, I-26, I-27 and I-44 in random worlds: stewards and members who do what their ledgers let them do, in
// partitions, and as many traitors as the room bears, who do not.
func TestRoomWorlds(t *testing.T) {
	decided, admitted := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w, end := runRoomWorld(t, t)
		if end.Version > 1 {
			decided++
		}
		for _, m := range end.Members {
			if m.Status == StandingMember && m.Since.After(now) {
				admitted++
			}
		}
		w.backdate(end)
		w.decide()
	})
	t.Logf("%d worlds with a later charter, %d teams admitted", decided, admitted)
	if decided == 0 {
		t.Error("no world gets beyond its first charter")
	}
}

// runRoomWorld lets a world run, and returns it with what all saw in the end. What is wrong goes to f.
func runRoomWorld(t *rapid.T, f fataler) (*roomWorld, RoomInfo) {
	stewards := rapid.IntRange(2, 7).Draw(t, "stewards")
	w := newRoomWorld(f, stewards, 2, 2, protocol.Faults(stewards))
	for range rapid.IntRange(5, 60).Draw(t, "steps") {
		switch rapid.IntRange(0, 13).Draw(t, "step") {
		case 0, 1, 2, 3:
			w.act(t)
		case 4:
			w.cheat(t)
		case 5, 6, 7:
			i := rapid.SampledFrom(w.honest()).Draw(t, "to")
			for range rapid.IntRange(1, 8).Draw(t, "records") {
				w.deliver(i, rapid.IntRange(0, len(w.pool)-1).Draw(t, "record"))
			}
			w.check(i)
		case 8:
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 72).Draw(t, "hours")) * time.Hour)
		case 9:
			i := rapid.SampledFrom(w.honest()).Draw(t, "heals")
			for r := range w.pool {
				w.deliver(i, r)
			}
			w.check(i)
		case 10, 11, 12:
			w.meet(t)
		case 13:
			w.sponsor(t)
		}
	}
	w.deliverAll()
	h := w.honest()
	first, _ := w.ledgers[h[0]].Room(w.room, w.now)
	for _, i := range h {
		w.check(i)
		if info, _ := w.ledgers[i].Room(w.room, w.now); !reflect.DeepEqual(public(info), public(first)) {
			f.Fatalf("with the same records, two see the room differently (I-44):\n%+v\n%+v", public(first), public(info))
		}
	}
	return w, first
}

// decide checks I-21: the honest, who know all, get to a next version by what their ledgers let them do. Who is locked is
// followed.
func (w *roomWorld) decide() {
	w.t.Helper()
	h := w.honest()
	before, _ := w.ledgers[h[0]].Room(w.room, w.now)
	if len(slices.DeleteFunc(slices.Clone(before.Stewards), func(t protocol.TeamID) bool { return w.traitor[t] })) < before.Quorum {
		return // more traitors among the stewards that are left than these may be silent
	}
	var target protocol.Hash
	locked := uint64(0)
	for _, i := range h {
		r := w.ledgers[i].at(w.room, w.now)
		if p := positionOf(r.ballots(r.head(), w.teams[i])); r.head().IsSteward(w.teams[i]) && p.lock.round > locked {
			locked, target = p.lock.round, p.lock.charter
		}
	}
	for _, i := range h {
		if !target.IsZero() {
			break
		}
		if c, d := w.ledgers[i].DraftCharter(w.room, w.now, func(c *protocol.Charter) { c.Salt = [16]byte{255} }); d.Allowed {
			if len(c.Stewards) < 2 {
				return // too many stewards are out for a next version
			}
			target = w.put(c, w.teams[i])
		}
	}
	why := ""
	for range 60 { // a traitor that votes in every round makes them look for each other
		w.deliverAll()
		for _, i := range h {
			if a, d := w.ledgers[i].DraftApprove(w.room, target, w.now); d.Allowed {
				w.put(a, w.teams[i])
			} else {
				why += d.Rule + " "
			}
		}
		w.deliverAll()
		for _, i := range h {
			for _, d := range w.ledgers[i].Drafts(w.room, w.now) {
				if d.ID == target && (d.Kind == "adopt" || d.Kind == "give-up") {
					w.sign(i, d)
				}
			}
		}
		w.deliverAll()
		if after, _ := w.ledgers[h[0]].Room(w.room, w.now); after.Version > before.Version {
			return
		}
	}
	w.t.Fatalf("the honest cannot decide, though all know all (I-21): %s", why)
}

// A catcher notes what is wrong in a world, and ends it.
type catcher struct{ caught string }

func (c *catcher) Helper() {}
func (c *catcher) Fatalf(format string, args ...any) {
	c.caught = fmt.Sprintf(format, args...)
	panic(c)
}

// caughtBy returns what is wrong in a world.
func caughtBy(run func(*catcher)) (why string) {
	var c catcher
	defer func() {
		if p := recover(); p != nil && p != any(&c) {
			panic(p)
		}
		why = c.caught
	}()
	run(&c)
	return
}

// Rooms that look as good as ours. Each must be caught.
func TestRoomWorldsCatchMutants(t *testing.T) {
	mutants := map[string]func(){
		"a majority decides":                func() { testOnlyQuorum = func(n int) int { return n/2 + 1 } },
		"a minority decides":                func() { testOnlyQuorum = func(n int) int { return max(1, n/3) } },
		"nothing guards what was certified": func() { testOnlyLoses = func() bool { return false } },
	}
	for name, mutate := range mutants {
		t.Run(name, func(t *testing.T) {
			defer func() { testOnlyQuorum, testOnlyLoses = nil, nil }()
			mutate()
			mustCatch(t, 2000, func(t *rapid.T) string {
				return caughtBy(func(c *catcher) { runRoomWorld(t, c) })
			})
		})
	}
}

// backdate checks I-26: with the keys of all who ever were stewards, nothing under a version that was followed has effect.
func (w *roomWorld) backdate(before RoomInfo) {
	w.t.Helper()
	if before.Version < 2 {
		return
	}
	rs := w.ledgers[w.honest()[0]]
	first := rs.at(w.room, w.now).versions[0]
	at := uint64(w.now.Unix())
	for n, m := range first.Members {
		root, _ := rs.rootOf(m.Team)
		to := protocol.MemberStatus(n%3 + 1)
		w.put(&protocol.MemberCard{Room: w.room, Charter: first.id, Subject: m.Team, Root: root, N: 1, Joined: m.Joined, Until: at + 86400,
			Issued: at, Status: to}, slices.DeleteFunc(slices.Clone(first.Stewards), func(t protocol.TeamID) bool { return t == m.Team })...)
	}
	w.deliverAll()
	after, _ := rs.Room(w.room, w.now)
	if !reflect.DeepEqual(before.Members, after.Members) || before.CharterID != after.CharterID {
		w.t.Fatalf("cards under a version that was followed have effect (I-26)")
	}
}

// A steward that adopted a charter in a round, which its lock on another did not keep it from, approves nothing in that round any
// more: without the approvals that lifted the lock it would look like a vote against the lock, and be a proof of cheating.
func TestAdoptedIsNotApproved(t *testing.T) {
	x, y := protocol.Sum("test", []byte("x")), protocol.Sum("test", []byte("y"))
	p := positionOf([]ballot{{false, 4, x}, {true, 4, x}, {true, 7, y}})
	if _, rule := p.mayApprove(7, y, func(uint64, protocol.Hash) int { return 3 }, 3); rule != "vote-twice" {
		t.Errorf("got %q", rule)
	}
	if _, rule := p.mayApprove(8, y, func(uint64, protocol.Hash) int { return 3 }, 3); rule != "" {
		t.Errorf("got %q", rule)
	}
}

// The terms change again and again while a team is asked in. It accepts each of them, and all members learn of it; but nobody keeps
// more than a few of its words on one.
func TestWhoIsAskedInAcceptsEachCharter(t *testing.T) {
	w := newRoomWorld(t, 4, 0, 1, 0)
	guest := len(w.teams) - 1
	root, _ := w.ledgers[guest].rootOf(w.teams[guest])
	for n := range 8 {
		v, d := w.ledgers[0].DraftVouch(w.room, w.teams[guest], "", w.now)
		if !d.Allowed {
			t.Fatal(d.Reason)
		}
		w.put(v, w.teams[0])
		w.deliverAll()
		w.ledgers[1].Room(w.room, w.now)
		a, d := w.ledgers[guest].DraftAccept(w.room, w.now)
		if !d.Allowed {
			t.Fatalf("version %d: %s", n+1, d.Reason)
		}
		w.put(a, w.teams[guest])
		if r := w.deliver(1, len(w.pool)-1); r.Err != nil || !r.Added {
			t.Fatalf("version %d: %v", n+1, r.Err)
		}
		w.deliverAll()
		c, d := w.ledgers[0].DraftCharter(w.room, w.now, func(c *protocol.Charter) { c.Salt = [16]byte{byte(n)} })
		if !d.Allowed {
			t.Fatal(d.Reason)
		}
		w.put(c, w.teams[0])
		for range 3 {
			w.deliverAll()
			for i := range 4 {
				if ds := w.ledgers[i].Drafts(w.room, w.now); len(ds) > 0 && ds[0].Kind != "vote" {
					w.sign(i, ds[0])
				}
			}
		}
		w.deliverAll()
		if i, _ := w.ledgers[1].Room(w.room, w.now); i.Version != uint64(n+2) {
			t.Fatalf("version %d", i.Version)
		}
	}
	full := 0
	head, _ := w.ledgers[1].Room(w.room, w.now)
	for n := range 2 * sureShare {
		w.put(&protocol.Accept{Room: w.room, Charter: head.CharterID, Team: w.teams[guest], Root: root, Issued: uint64(w.now.Unix() + int64(n))}, w.teams[guest])
		if r := w.deliver(1, len(w.pool)-1); errors.Is(r.Err, ErrFull) {
			full++
		}
	}
	if full != sureShare {
		t.Errorf("%d of %d words on one charter are refused", full, 2*sureShare)
	}
}
