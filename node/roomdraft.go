package node

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// incidentDays is for how long a membership lasts in a room for one incident.
const incidentDays = 90

// DraftRoom makes the founding charter that an officer of this team signs first. It keeps nothing.
func (n *Node) DraftRoom(t RoomTerms) (*protocol.Charter, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	now := n.now()
	var old *trust.RoomInfo
	if !t.Replaces.IsZero() {
		n.withRooms(func(rs *trust.Rooms) {
			if i, ok := rs.Room(t.Replaces, now); ok {
				old = &i
			}
		})
		if old == nil || old.Charter == nil {
			return nil, fmt.Errorf("room %s, which is to be founded anew: %w", t.Replaces.Short(), trust.ErrNoRoom)
		}
		if old.State != trust.RoomFrozen && old.State != trust.RoomQuorumLost {
			return nil, refused(trust.Decision{Rule: "room-unchanged", Reason: "the room works: it need not be founded anew; amend its charter"})
		}
		n.follow(&t, old)
	}
	stewards, err := n.roomTeams(t.Stewards)
	if err != nil {
		return nil, err
	}
	members, err := n.roomTeams(t.Members)
	if err != nil {
		return nil, err
	}
	if old != nil {
		for _, id := range append(slices.Clone(stewards), members...) {
			if old.Standing(id) == trust.StandingNone {
				return nil, errors.New("who founds a room anew takes along only who is in it: others are proposed afterwards")
			}
		}
	}
	var c *protocol.Charter
	ok := false
	n.withRooms(func(rs *trust.Rooms) { c, ok = rs.NewCharter(t.Name, stewards, members, now) })
	if !ok {
		return nil, errors.New("the records of a team are not here yet: exchange introductions first")
	}
	if old != nil {
		was := old.Charter
		c.Replaces, c.Purpose, c.Text, c.Ceiling, c.Policy, c.Attribution, c.Onward, c.Keep = t.Replaces, was.Purpose, was.Text, was.Ceiling, was.Policy, was.Attribution, was.Onward, was.Keep
		c.Sponsors, c.ObjectionDays, c.HoldDays, c.CardDays, c.EpochDays, c.FreshHours = was.Sponsors, was.ObjectionDays, was.HoldDays, was.CardDays, was.EpochDays, was.FreshHours
		c.History, c.HistoryFrom = was.History, was.HistoryFrom
	}
	if t.Incident {
		c.Sponsors, c.ObjectionDays, c.CardDays, c.History = 1, 0, incidentDays, protocol.HistoryAll
	}
	if err := t.write(c); err != nil {
		return nil, err
	}
	for i := range c.Members {
		c.Members[i].Until = c.Issued + c.CardDays*86400
	}
	if _, err := rand.Read(c.Salt[:]); err != nil {
		return nil, err
	}
	return c, protocol.Check(c)
}

// follow fills in who goes on from a room that is founded anew, unless the terms name them: its members, and as stewards those who are
// not known to have cheated or fallen silent. n.mu is held for reading.
func (n *Node) follow(t *RoomTerms, old *trust.RoomInfo) {
	if t.Name == "" {
		t.Name = old.Name
	}
	cheated := func(id protocol.TeamID) bool {
		return slices.ContainsFunc(old.Cheats, func(c trust.Cheat) bool { return c.Team == id })
	}
	if len(t.Stewards) == 0 {
		for _, id := range old.Stewards {
			if id != n.team && old.Standing(id) == trust.StandingMember && !cheated(id) && !slices.Contains(old.Silent, id) {
				t.Stewards = append(t.Stewards, id.String())
			}
		}
	}
	if len(t.Members) == 0 {
		for _, m := range old.Members {
			if m.Team != n.team && m.Status == trust.StandingMember && !cheated(m.Team) {
				t.Members = append(t.Members, m.Team.String())
			}
		}
	}
}

// roomTeams finds teams that people name for a room. n.mu is held for reading.
func (n *Node) roomTeams(names []string) ([]protocol.TeamID, error) {
	var out []protocol.TeamID
	for _, name := range names {
		t, err := n.book.Find(strings.TrimSpace(name), n.now())
		if err != nil {
			return nil, err
		}
		if t.ID != n.team && t.State != trust.Introduced && t.State != trust.Verified {
			return nil, refused(trust.Decision{Rule: "peer-" + t.State.String(), Reason: fmt.Sprintf("%s is %s: %s", t.Name, t.State, t.Why)})
		}
		if !slices.Contains(out, t.ID) {
			out = append(out, t.ID)
		}
	}
	return out, nil
}

// write puts the terms that are given into a charter.
func (t *RoomTerms) write(c *protocol.Charter) error {
	set := func(to *uint64, v int) {
		if v != 0 {
			*to = uint64(v)
		}
	}
	given := func(to *uint64, v *int) {
		if v != nil {
			*to = uint64(*v)
		}
	}
	for what, v := range map[string]*int{"sponsors": t.Sponsors, "days for objections": t.ObjectionDays, "days of retention": t.Keep, "days of a hold": &t.HoldDays,
		"days of a membership": &t.CardDays, "days of an epoch": &t.EpochDays, "hours of freshness": &t.FreshHours} {
		if v != nil && *v < 0 {
			return fmt.Errorf("%d %s: counted from 0", *v, what)
		}
	}
	given(&c.Sponsors, t.Sponsors)
	given(&c.ObjectionDays, t.ObjectionDays)
	given(&c.Keep, t.Keep)
	set(&c.HoldDays, t.HoldDays)
	set(&c.CardDays, t.CardDays)
	set(&c.EpochDays, t.EpochDays)
	set(&c.FreshHours, t.FreshHours)
	if t.Name != "" {
		c.Name = t.Name
	}
	if t.Purpose != "" {
		c.Purpose = t.Purpose
	}
	if t.Text != "" {
		c.Text = t.Text
	}
	if t.Ceiling.Valid() {
		c.Ceiling = t.Ceiling
	}
	if t.Attribution != 0 {
		c.Attribution = t.Attribution
	}
	if t.Onward != 0 {
		c.Onward = t.Onward
	}
	if t.History != 0 {
		c.History, c.HistoryFrom = t.History, 0
		if t.History == protocol.HistoryDate {
			c.HistoryFrom = uint64(max(t.HistoryFrom.Unix(), 0))
		}
	}
	if t.Policy != nil {
		c.Policy = *t.Policy
	}
	return nil
}

// DraftInRoom makes what an officer of this team signs to do something in a room. It keeps nothing. What the rules forbid is a
// *RefusedError.
func (n *Node) DraftInRoom(room string, a RoomAct) (*RoomPaper, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	now := n.now()
	var info trust.RoomInfo
	var err error
	n.withRooms(func(rs *trust.Rooms) { info, err = rs.Find(room, now) })
	if err != nil {
		return nil, err
	}
	var about protocol.TeamID
	if a.Team != "" {
		if about, err = n.roomTeam(info, a.Team); err != nil {
			return nil, err
		}
	}
	var cuts []protocol.Head
	switch a.Kind {
	case "leave":
		about = n.team
		fallthrough
	case "suspend", "remove":
		if cuts, err = n.cutsOf(info.ID, about); err != nil {
			return nil, err
		}
	}
	edit, err := n.amendment(a)
	if err != nil {
		return nil, err
	}
	p := &RoomPaper{Room: info.ID, Kind: a.Kind}
	var d trust.Decision
	n.withRooms(func(rs *trust.Rooms) { d, err = drawUp(rs, p, info, a, about, cuts, edit, now) })
	switch {
	case err != nil:
		return nil, err
	case !d.Allowed:
		return nil, refused(d)
	case p.Record != nil:
		return p, protocol.Check(p.Record)
	}
	return p, nil
}

// drawUp fills in the paper.
func drawUp(rs *trust.Rooms, p *RoomPaper, info trust.RoomInfo, a RoomAct, about protocol.TeamID, cuts []protocol.Head, edit func(*protocol.Charter), now time.Time) (d trust.Decision, err error) {
	room := info.ID
	cosign := func(id protocol.Hash) {
		p.Envelope, _ = rs.RoomEnvelope(room, id)
	}
	card := func(to protocol.MemberStatus, kinds ...string) {
		ps := slices.SortedFunc(slices.Values(info.Proposals), rather)
		for _, q := range ps { // rather what others began than a second one beside it
			if q.Subject == about && q.Card != nil && q.MineVote && slices.Contains(kinds, q.Kind) {
				if d = rs.MayVoteCard(room, q.ID, now); d.Allowed {
					cosign(q.ID)
					return
				}
			}
		}
		p.Record, d = orNil(rs.DraftCard(room, about, to, a.Reason, cuts, now))
	}
	switch a.Kind {
	case "sign":
		if d = rs.MaySign(room, now); d.Allowed {
			cosign(room)
		}
	case "accept":
		p.Record, d = orNil(rs.DraftAccept(room, now))
	case "vouch":
		p.Record, d = orNil(rs.DraftVouch(room, about, a.Reason, now))
	case "object", "withdraw":
		p.Record, d = orNil(rs.DraftObjection(room, about, a.Reason, a.Kind == "withdraw", now))
	case "hold":
		p.Record, d = orNil(rs.DraftHold(room, about, a.Reason, now))
	case "leave":
		p.Record, d = orNil(rs.DraftLeave(room, a.Reason, cuts, now))
	case "admit":
		card(protocol.MemberFull, "admission")
	case "renew":
		card(protocol.MemberFull, "renewal")
	case "readmit":
		card(protocol.MemberFull, "readmission")
	case "suspend":
		card(protocol.MemberSuspended, "suspension")
	case "remove":
		card(protocol.MemberRemoved, "removal")
	case "amend", "close":
		var c *protocol.Charter
		if c, d = rs.DraftCharter(room, now, edit); d.Allowed {
			if _, err := rand.Read(c.Salt[:]); err != nil {
				return d, err
			}
			p.Record = c
		}
	case "refound":
		p.Record, d = orNil(rs.DraftRefound(room, a.Next, now))
	case "vote":
		return drawUpVote(rs, p, info, a, now)
	default:
		return d, fmt.Errorf("%.20q is nothing that is done in a room", a.Kind)
	}
	return d, nil
}

// orNil keeps a nil pointer from becoming a record.
func orNil[T any, P interface {
	*T
	protocol.Record
}](r *T, d trust.Decision) (protocol.Record, trust.Decision) {
	if r == nil {
		return nil, d
	}
	return P(r), d
}

// drawUpVote finds the next step of a proposal for this team.
func drawUpVote(rs *trust.Rooms, p *RoomPaper, info trust.RoomInfo, a RoomAct, now time.Time) (d trust.Decision, err error) {
	q, err := findProposal(info, a.Proposal)
	if err != nil {
		return d, err
	}
	p.Kind = "vote"
	switch {
	case q.Kind == "founding":
		p.Kind = "sign"
		if d = rs.MaySign(info.ID, now); d.Allowed {
			p.Envelope, _ = rs.RoomEnvelope(info.ID, info.ID)
		}
	case q.Kind == "charter":
		if p.Record, d = orNil(rs.DraftAdopt(info.ID, q.ID, now)); d.Allowed {
			p.Kind = "adopt"
			return d, nil
		}
		if a.GiveUp {
			for _, w := range rs.Drafts(info.ID, now) {
				if w.Kind == "give-up" && w.ID == q.ID {
					p.Kind, p.Record = "give-up", w.Record
					return trust.Decision{Allowed: true}, nil
				}
			}
		}
		var approve *protocol.Approve
		adopt := d
		if approve, d = rs.DraftApprove(info.ID, q.ID, now); d.Allowed {
			p.Kind, p.Record = "approve", approve
		} else if d.Rule == "vote-given" && adopt.Rule != "vote-approvals" {
			d = adopt
		}
	case q.Card == nil:
		p.Record, d = orNil(rs.DraftCard(info.ID, q.Subject, protocol.MemberFull, a.Reason, nil, now))
	default:
		if d = rs.MayVoteCard(info.ID, q.ID, now); d.Allowed {
			p.Envelope, _ = rs.RoomEnvelope(info.ID, q.ID)
		}
	}
	return d, nil
}

// findProposal finds a proposal by the beginning of its id, or the team that it is about if there is only one about it.
func findProposal(info trust.RoomInfo, query string) (trust.Proposal, error) {
	q := strings.ToLower(strings.TrimSpace(query))
	var fit []trust.Proposal
	for _, p := range info.Proposals {
		if len(q) >= 4 && (strings.HasPrefix(p.ID.String(), q) || !p.Subject.IsZero() && strings.HasPrefix(p.Subject.String(), q)) {
			fit = append(fit, p)
		}
	}
	switch len(fit) {
	case 0:
		return trust.Proposal{}, fmt.Errorf("nothing in the room is proposed under %.70q: entente room show lists what is", query)
	case 1:
		return fit[0], nil
	}
	if alike := func(p trust.Proposal) bool {
		return p.Kind == fit[0].Kind && p.Subject == fit[0].Subject && !p.Subject.IsZero()
	}; !slices.ContainsFunc(fit,
		func(p trust.Proposal) bool { return !alike(p) }) {
		return slices.MinFunc(fit, rather), nil // stewards who did not know of each other drew up the same twice
	}
	return trust.Proposal{}, fmt.Errorf("%d proposals fit %.70q: give more of the id", len(fit), query)
}

// rather orders proposals that come to the same: those for which this team can vote first, then by votes, so that they meet in one.
func rather(a, b trust.Proposal) int {
	mine := func(p trust.Proposal) int {
		if p.MineVote {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(mine(a), mine(b)), cmp.Compare(len(b.Votes), len(a.Votes)), bytes.Compare(a.ID[:], b.ID[:]))
}

// roomTeam finds a team that a person names in a room: also one that is known by the room alone. n.mu is held for reading.
func (n *Node) roomTeam(info trust.RoomInfo, query string) (protocol.TeamID, error) {
	t, err := n.book.Find(strings.TrimSpace(query), n.now())
	if err == nil {
		return t.ID, nil
	}
	q := strings.ToLower(strings.TrimSpace(query))
	var fit []protocol.TeamID
	for _, m := range info.Members {
		if len(q) >= 4 && strings.HasPrefix(m.Team.String(), q) {
			fit = append(fit, m.Team)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	return protocol.TeamID{}, err
}

// cutsOf says how far the feeds of a team in a room stand, as far as this node holds them. n.mu is held for reading.
func (n *Node) cutsOf(room protocol.Hash, team protocol.TeamID) ([]protocol.Head, error) {
	var cuts []protocol.Head
	for _, info := range n.book.Nodes(team) {
		f := protocol.FeedOf(info.Node.Key.ID(), protocol.RoomChannel(room))
		ext, held, err := n.st.Extent(f)
		if err != nil {
			return nil, err
		}
		if held && ext.Next > ext.First && len(cuts) < protocol.MaxNodes {
			cuts = append(cuts, protocol.Head{Feed: f, First: ext.First, Seq: ext.Next - 1, Hash: ext.Head})
		}
	}
	slices.SortFunc(cuts, func(a, b protocol.Head) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	return cuts, nil
}

// amendment returns what an act changes in a charter; nil if nothing. n.mu is held for reading.
func (n *Node) amendment(a RoomAct) (func(*protocol.Charter), error) {
	if a.Kind == "close" {
		return func(c *protocol.Charter) { c.Closed = true }, nil
	}
	if a.Kind != "amend" {
		return nil, nil
	}
	if a.Terms == nil {
		return nil, errors.New("an amendment of nothing: say what changes")
	}
	add, err := n.roomTeams(a.Terms.AddStewards)
	if err != nil {
		return nil, err
	}
	var drop []protocol.TeamID
	for _, name := range a.Terms.DropStewards {
		t, err := n.book.Find(name, n.now())
		if err != nil {
			return nil, err
		}
		drop = append(drop, t.ID)
	}
	if err := a.Terms.write(&protocol.Charter{}); err != nil {
		return nil, err
	}
	return func(c *protocol.Charter) {
		_ = a.Terms.write(c) // checked above
		c.Stewards = slices.DeleteFunc(append(c.Stewards, add...), func(t protocol.TeamID) bool { return slices.Contains(drop, t) })
		slices.SortFunc(c.Stewards, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
		c.Stewards = slices.Compact(c.Stewards)
		for i := range c.Members {
			c.Members[i].Until = min(c.Members[i].Until, c.Issued+c.CardDays*86400)
		}
	}, nil
}

// Rooms returns all rooms of this team: by name.
func (n *Node) Rooms() []RoomView {
	n.mu.RLock()
	var all []trust.RoomInfo
	n.withRooms(func(rs *trust.Rooms) { all = rs.List(n.now()) })
	n.mu.RUnlock()
	out := make([]RoomView, 0, len(all))
	for _, i := range all {
		out = append(out, n.roomView(i))
	}
	return out
}

// Room finds a room by its name, or its id or the beginning of that. Errors wrap trust.ErrNoRoom, or say among which to choose.
func (n *Node) Room(query string) (RoomView, error) {
	var i trust.RoomInfo
	var err error
	n.askRooms(func(rs *trust.Rooms) { i, err = rs.Find(query, n.now()) })
	if err != nil {
		return RoomView{}, err
	}
	return n.roomView(i), nil
}

func (n *Node) roomView(i trust.RoomInfo) RoomView {
	v := RoomView{RoomInfo: i, Names: map[protocol.TeamID]string{}}
	looked, seen := n.seenIn(i.ID)
	now := n.now()
	n.mu.RLock()
	defer n.mu.RUnlock()
	n.withRooms(func(rs *trust.Rooms) {
		v.Unreached = rs.Unreached(i.ID, now)
		v.Waiting = rs.Drafts(i.ID, now)
		if u, ok := rs.UsableEpoch(i.ID, now, n.holdsEpoch); ok {
			v.Epoch, v.EpochEnds = u.ID, time.Unix(int64(u.Until), 0)
		}
		if d := rs.MaySpeak(i.ID, openest, n.rooms.met[i.ID], now); !d.Allowed {
			v.Mute = d.Reason
		}
	})
	v.Readers = n.roomReaders(i.ID)
	names := append([]protocol.TeamID{n.team}, i.Stewards...)
	for _, m := range i.Members {
		names = append(names, m.Team)
	}
	for _, p := range i.Proposals {
		names = append(append(append(append(names, p.Subject), p.Votes...), p.Objected...), p.Adopted...)
	}
	for _, id := range names {
		if t, ok := n.book.Team(id, now); ok && t.Name != "" {
			v.Names[id] = t.Name
		} else if !id.IsZero() {
			v.Names[id] = id.Short()
		}
	}
	if over := n.overSince(i); !over.IsZero() {
		v.Forgets = over.Add(closedGrace)
	}
	if v.Looked = looked; !looked.IsZero() {
		for _, m := range i.Members {
			if is, was := m.Status == trust.StandingMember, seen[m.Team]; is && !was {
				v.Joined = append(v.Joined, m.Team)
			} else if was && !is {
				v.Gone = append(v.Gone, m.Team)
			}
		}
	}
	return v
}

// roomReaders lists the teams whose nodes read what is said in a room now, beside this one. n.mu is held for reading.
func (n *Node) roomReaders(room protocol.Hash) []Reader {
	var rs []trust.Reader
	n.withRooms(func(l *trust.Rooms) { rs = l.Readers(room, n.now()) })
	at := map[protocol.TeamID]int{}
	var out []Reader
	for _, r := range rs {
		if r.Team == n.team {
			continue
		}
		i, ok := at[r.Team]
		if !ok {
			i = len(out)
			at[r.Team] = i
			t, _ := n.book.Team(r.Team, n.now())
			out = append(out, Reader{ID: r.Team, Name: t.Name})
		}
		out[i].Nodes++
		if info, ok := n.book.NodeOf(r.Team, r.Node); ok && n.connectedPeer(info.Node.Peer) {
			out[i].Connected++
		}
	}
	slices.SortFunc(out, func(a, b Reader) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// seenNote holds who was in a room when a person of this team last looked: a time, and teams.
const seenNote = "seen"

// RoomSeen notes that a person of this team has looked at a room: what joined or left later is news.
func (n *Node) RoomSeen(room protocol.Hash) error {
	i, ok := n.knownRoom(room)
	if !ok {
		return fmt.Errorf("room %s: %w", room.Short(), trust.ErrNoRoom)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(n.now().Unix()))
	for _, m := range i.Members {
		if m.Status == trust.StandingMember {
			b = append(b, m.Team[:]...)
		}
	}
	return n.st.PutRoomNote(room, seenNote, b)
}

func (n *Node) seenIn(room protocol.Hash) (at time.Time, members map[protocol.TeamID]bool) {
	b, err := n.st.RoomNote(room, seenNote)
	if err != nil || len(b) < 8 {
		return at, nil
	}
	members = map[protocol.TeamID]bool{}
	at = time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	for b = b[8:]; len(b) >= 32; b = b[32:] {
		members[protocol.TeamID(b[:32])] = true
	}
	return at, members
}

// ForgetRoom destroys what this node has of a room, keys and messages: of one that the team was asked into and did not accept, that it
// left or was removed from, or that is closed. Asked again later, it may come in again.
func (n *Node) ForgetRoom(_ context.Context, query string) error {
	var i trust.RoomInfo
	var err error
	n.askRooms(func(rs *trust.Rooms) { i, err = rs.Find(query, n.now()) })
	if err != nil {
		return err
	}
	if i.State != trust.RoomClosed && i.Mine != trust.StandingNone && i.Mine != trust.StandingLeft && i.Mine != trust.StandingRemoved && i.Mine != trust.StandingProposed ||
		i.State == trust.RoomFounding && i.Steward && slices.ContainsFunc(i.Proposals, func(p trust.Proposal) bool { return slices.Contains(p.Votes, n.team) }) {
		return refused(trust.Decision{Rule: "room-member", Reason: "our team is in the room, or has signed its charter: leave it first"})
	}
	at := binary.BigEndian.AppendUint64(nil, uint64(n.now().Unix()))
	if err := n.st.PutNote(gaveUpNote(i.ID), at); err != nil {
		return err
	}
	n.knowing.Lock()
	defer n.knowing.Unlock()
	n.mu.Lock()
	n.withRooms(func(rs *trust.Rooms) {
		rs.ForgetRoom(i.ID)
		delete(n.rooms.sets, i.ID)
		delete(n.rooms.met, i.ID)
		delete(n.rooms.kept, i.ID)
		delete(n.rooms.due, i.ID)
		n.rooms.unkept = slices.DeleteFunc(n.rooms.unkept, func(k keptRecord) bool { return k.room == i.ID })
	})
	n.refreshAdmitted()
	n.mu.Unlock()
	n.pairs.forget(i.ID)
	return errors.Join(n.dropKeys(i.ID), n.shred(protocol.RoomChannel(i.ID).Tag()))
}
