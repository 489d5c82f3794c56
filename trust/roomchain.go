package trust

import (
	"bytes"
	"maps"
	"slices"

	"github.com/entente-network/entente/protocol"
)

// A fact is a verified record of one team about a room.
type fact[T any] struct {
	id    protocol.Hash
	rec   *T
	depth int // number of the root record whose officers signed; below 0: of one that does not count
}

// A charterFact is a charter and who signed it.
type charterFact struct {
	id protocol.Hash
	*protocol.Charter
	votes map[protocol.TeamID]int
}

// roomFacts is all that a room follows from. What is computed from it depends on no order and no repetition.
type roomFacts struct {
	room       protocol.Hash
	charters   []charterFact
	approves   []fact[protocol.Approve]
	adopts     []fact[protocol.Adopt]
	cards      []*roomCard
	vouches    map[protocol.Hash]fact[protocol.Vouch]
	accepts    map[protocol.Hash]fact[protocol.Accept]
	objections []fact[protocol.Objection]
	holds      []fact[protocol.Hold]
	leaves     []fact[protocol.Leave]
	refounds   []fact[protocol.Refound]

	holdsOn  map[protocol.TeamID][]fact[protocol.Hold]  // by subject
	leavesOf map[protocol.TeamID][]fact[protocol.Leave] // by team

	// depthOf returns the number from which on root records of the team count, if officers of the named one do.
	depthOf func(protocol.TeamID, protocol.Hash) int
}

// index sorts by team what is asked for each.
func (f *roomFacts) index() {
	f.holdsOn, f.leavesOf = map[protocol.TeamID][]fact[protocol.Hold]{}, map[protocol.TeamID][]fact[protocol.Leave]{}
	for _, h := range f.holds {
		f.holdsOn[h.rec.Subject] = append(f.holdsOn[h.rec.Subject], h)
	}
	for _, l := range f.leaves {
		f.leavesOf[l.rec.Team] = append(f.leavesOf[l.rec.Team], l)
	}
}

// A roomChain is the versions of a charter that count.
type roomChain struct {
	versions []*roomVersion // the first one first; none while it is being founded
	unsigned []protocol.TeamID
	bound    map[protocol.TeamID]uint64 // who accepted a version that counts, or founded the room, or founded it anew; and when first
	rivals   []protocol.Hash            // of the last version: charters that both follow it; the room is frozen
}

func (c *roomChain) head() *roomVersion {
	if len(c.versions) == 0 {
		return nil
	}
	return c.versions[len(c.versions)-1]
}

// A roomVersion is a version that counts, with all that was decided and voted under it.
type roomVersion struct {
	id protocol.Hash
	*protocol.Charter
	quorum    int
	pins      map[protocol.TeamID]int // of stewards: from which root record on their officers sign under it
	lines     map[protocol.TeamID]*line
	cards     []*roomCard // of this version, whether or not they count
	approved  map[voteKey]map[protocol.TeamID]protocol.Hash
	adopted   map[voteKey]map[protocol.TeamID]protocol.Hash
	proposals []charterFact            // that would follow it
	misfits   map[protocol.Hash]string // of proposals: see unfit
	cheating  []cheat
}

// approvals counts who approved what.
func (v *roomVersion) approvals(round uint64, charter protocol.Hash) int {
	return len(v.approved[voteKey{round, charter}])
}

// testOnlyQuorum, if set, takes the place of protocol.Quorum.
var testOnlyQuorum func(n int) int

func quorumOf(n int) int {
	if testOnlyQuorum != nil {
		return testOnlyQuorum(n)
	}
	return protocol.Quorum(n)
}

// chain finds the versions that count.
func (f *roomFacts) chain() *roomChain {
	c := &roomChain{}
	i := slices.IndexFunc(f.charters, func(c charterFact) bool { return c.id == f.room })
	if i < 0 {
		return c
	}
	first := f.charters[i]
	for _, s := range first.Stewards {
		if d, ok := first.votes[s]; !ok || d < f.pin(first.Charter, s) {
			c.unsigned = append(c.unsigned, s)
		}
	}
	if len(c.unsigned) > 0 {
		return c
	}
	for next := []charterFact{first}; len(next) == 1; {
		v := f.version(next[0])
		c.versions = append(c.versions, v)
		if next = f.successors(v); len(next) > 1 {
			for _, n := range next {
				c.rivals = append(c.rivals, n.id)
			}
		}
	}
	c.bound = f.binds(c)
	return c
}

// binds returns who bound itself to the room, and when: as a founding steward, by its word on a version that counts, or on founding the
// room anew.
func (f *roomFacts) binds(c *roomChain) map[protocol.TeamID]uint64 {
	out := map[protocol.TeamID]uint64{}
	bind := func(t protocol.TeamID, issued uint64) {
		if old, ok := out[t]; !ok || issued < old {
			out[t] = issued
		}
	}
	for _, s := range c.versions[0].Stewards {
		bind(s, c.versions[0].Issued)
	}
	ids := map[protocol.Hash]bool{}
	for _, v := range c.versions {
		ids[v.id] = true
	}
	for _, a := range f.accepts {
		if a.depth >= 0 && ids[a.rec.Charter] {
			bind(a.rec.Team, a.rec.Issued)
		}
	}
	for _, r := range f.refounds {
		if r.depth >= 0 && r.rec.New == f.room && r.rec.Room == c.versions[0].Replaces {
			bind(r.rec.Team, r.rec.Issued)
		}
	}
	return out
}

// pin returns from which root record on officers of the team sign under the charter.
func (f *roomFacts) pin(c *protocol.Charter, t protocol.TeamID) int {
	if s, ok := c.Seat(t); ok {
		return f.depthOf(t, s.Root)
	}
	return 0
}

// version draws what was decided and voted under a charter that counts.
func (f *roomFacts) version(c charterFact) *roomVersion {
	v := &roomVersion{id: c.id, Charter: c.Charter, quorum: quorumOf(len(c.Stewards)), lines: map[protocol.TeamID]*line{},
		pins: map[protocol.TeamID]int{}, misfits: map[protocol.Hash]string{}, approved: map[voteKey]map[protocol.TeamID]protocol.Hash{}, adopted: map[voteKey]map[protocol.TeamID]protocol.Hash{}}
	for _, s := range c.Stewards {
		v.pins[s] = f.pin(c.Charter, s)
	}
	subjects, admits := map[protocol.TeamID][]*roomCard{}, map[protocol.TeamID]bool{}
	for _, s := range c.Members {
		subjects[s.Team] = nil
	}
	for _, k := range f.cards {
		if k.Charter == v.id {
			v.cards = append(v.cards, k)
			subjects[k.Subject] = append(subjects[k.Subject], k)
			admits[k.Subject] = admits[k.Subject] || k.admits()
			k.carried = len(f.voters(v, k)) >= v.needed(k.MemberCard)
		}
	}
	// Whether an admission counts depends on who else was admitted, as sponsor. Who vouched has a place of its own, which does
	// not depend on the one for whom it vouched unless both vouched for each other: that counts for neither.
	for range len(subjects) + 1 {
		changed := false
		for t, cards := range subjects {
			if v.lines[t] != nil && !admits[t] {
				continue
			}
			var seat place
			if s, ok := c.Seat(t); ok {
				seat = place{status: s.Status, until: s.Until, joined: s.Joined, root: s.Root}
			}
			l := drawLine(seat, cards, func(after place, k *roomCard) bool { return f.counts(v, after, k) })
			changed = changed || v.lines[t] == nil || len(v.lines[t].valid) != len(l.valid)
			v.lines[t] = l
		}
		if !changed {
			break
		}
	}
	f.votes(v)
	for _, n := range f.charters {
		if n.Prev == v.id && n.Version == v.Version+1 && n.Room == f.room {
			v.proposals = append(v.proposals, n)
		}
	}
	slices.SortFunc(v.proposals, func(a, b charterFact) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, n := range v.proposals {
		v.misfits[n.id] = f.unfit(v, n.Charter)
	}
	v.cheating = f.cheats(v)
	return v
}

// votes collects approvals and adoptions of the next version. An adoption without the approvals that it names is none.
func (f *roomFacts) votes(v *roomVersion) {
	put := func(m map[voteKey]map[protocol.TeamID]protocol.Hash, k voteKey, t protocol.TeamID, id protocol.Hash) {
		if m[k] == nil {
			m[k] = map[protocol.TeamID]protocol.Hash{}
		}
		if old, ok := m[k][t]; !ok || bytes.Compare(id[:], old[:]) < 0 {
			m[k][t] = id
		}
	}
	known := map[protocol.Hash]*protocol.Approve{}
	for _, a := range f.approves {
		if r := a.rec; r.Version == v.Version+1 && v.IsSteward(r.Team) && a.depth >= v.pins[r.Team] {
			known[a.id] = r
			put(v.approved, voteKey{r.Round, r.Charter}, r.Team, a.id)
		}
	}
	for _, a := range f.adopts {
		r := a.rec
		if r.Version != v.Version+1 || !v.IsSteward(r.Team) || a.depth < v.pins[r.Team] {
			continue
		}
		by := map[protocol.TeamID]bool{}
		for _, id := range r.Approves {
			if k := known[id]; k != nil && k.Round == r.Round && k.Charter == r.Charter {
				by[k.Team] = true
			}
		}
		if len(by) >= v.quorum {
			put(v.adopted, voteKey{r.Round, r.Charter}, r.Team, a.id)
		}
	}
}

// successors returns the charters that follow v, ascending: one, or none, or a proof that stewards cheated.
func (f *roomFacts) successors(v *roomVersion) []charterFact {
	var out []charterFact
	for _, n := range v.proposals {
		if winner(n.id, v.adopted, v.quorum) && v.misfits[n.id] == "" && len(f.unaccepted(v, n)) == 0 {
			out = append(out, n)
		}
	}
	return out
}

// unfit returns why the charter cannot follow v, in words; "" if it can: each of its seats is one that counted before, or is
// stricter. So a charter admits nobody, and gives nothing back, by itself.
func (f *roomFacts) unfit(v *roomVersion, next *protocol.Charter) string {
	if v.Closed {
		return "the room is closed"
	}
	for _, s := range next.Members {
		l := v.lines[s.Team]
		if l == nil || !slices.ContainsFunc(l.places(), func(p place) bool {
			return p.status != 0 && asStrict(s.Status, s.Until, p.status, p.until) && s.Joined == p.joined &&
				f.depthOf(s.Team, s.Root) >= f.depthOf(s.Team, p.root)
		}) {
			return "it gives team " + s.Team.Short() + " what no card gave it: vote for a card first"
		}
	}
	return ""
}

// unaccepted returns the new stewards who have not accepted the charter.
func (f *roomFacts) unaccepted(v *roomVersion, next charterFact) []protocol.TeamID {
	var out []protocol.TeamID
	for _, s := range next.Stewards {
		if !v.IsSteward(s) && !f.accepted(s, next.id, f.pin(next.Charter, s)) {
			out = append(out, s)
		}
	}
	return out
}

func (f *roomFacts) accepted(t protocol.TeamID, charter protocol.Hash, depth int) bool {
	for _, a := range f.accepts {
		if a.rec.Team == t && a.rec.Charter == charter && a.depth >= depth {
			return true
		}
	}
	return false
}

// spent reports whether the vouch already brought the team in, before the card or with it.
func (v *roomVersion) spent(before *roomCard, vouch protocol.Hash) bool {
	for before != nil {
		if slices.Contains(before.Vouches, vouch) {
			return true
		}
		i := slices.IndexFunc(v.cards, func(c *roomCard) bool { return c.id == before.Prev })
		if i < 0 {
			return false
		}
		before = v.cards[i]
	}
	return false
}

// needed returns how many stewards have to vote for a card: a quorum, and one more over objections. The subject has no vote,
// so of three stewards the two others decide; of two none does.
func (v *roomVersion) needed(c *protocol.MemberCard) int {
	n := v.quorum
	if len(c.Objections) > 0 {
		n++
	}
	voters := len(v.Stewards)
	if v.IsSteward(c.Subject) {
		voters--
	}
	if voters < 2 {
		return n
	}
	return min(n, voters)
}

// voters returns the stewards whose votes for the card count, ascending.
func (f *roomFacts) voters(v *roomVersion, c *roomCard) []protocol.TeamID {
	var out []protocol.TeamID
	for _, s := range v.Stewards {
		if d, ok := c.votes[s]; ok && s != c.Subject && d >= v.pins[s] {
			out = append(out, s)
		}
	}
	return out
}

// counts reports whether the card has effect after the place: enough stewards voted for it, and it is well founded.
func (f *roomFacts) counts(v *roomVersion, after place, c *roomCard) bool {
	return c.carried && f.unfounded(v, after, c.MemberCard) == ""
}

// unfounded returns why no vote could make the card count after the place, in words; "" if votes can.
func (f *roomFacts) unfounded(v *roomVersion, after place, c *protocol.MemberCard) string {
	admits := !c.Accept.IsZero()
	if c.Until > c.Issued+v.CardDays*86400 {
		return "its term is longer than the charter permits"
	}
	if !admits {
		switch {
		case c.Status != protocol.MemberRemoved && (after.status == 0 || after.status == protocol.MemberRemoved):
			return "who is no member is admitted, with sponsors and its own acceptance"
		case after.status != 0 && (c.Joined != after.joined || f.depthOf(c.Subject, c.Root) < f.depthOf(c.Subject, after.root)):
			return "it does not continue what was before"
		}
		return ""
	}
	a, ok := f.accepts[c.Accept]
	if !ok || a.rec.Team != c.Subject || a.rec.Charter != v.id || a.depth < 0 || a.rec.Issued != c.Joined || after.joined >= c.Joined {
		return "the team has not accepted this charter since"
	}
	sponsors := map[protocol.TeamID]bool{}
	for _, id := range c.Vouches {
		w, ok := f.vouches[id]
		if !ok || w.rec.Applicant != c.Subject || w.rec.Charter != v.id || v.spent(after.card, id) || w.depth < 0 || c.Issued < w.rec.Issued || c.Issued >= w.rec.Expires {
			continue
		}
		if l := v.lines[w.rec.Team]; l != nil && slices.ContainsFunc(l.places(), func(p place) bool {
			return p.status == protocol.MemberFull && w.depth >= f.depthOf(w.rec.Team, p.root)
		}) {
			sponsors[w.rec.Team] = true
		}
	}
	if uint64(len(sponsors)) < v.Sponsors {
		return "too few members vouch for it"
	}
	return ""
}

// A cheat is a steward's votes that no honest one can have given: whoever holds them can prove it.
type cheat struct {
	team protocol.TeamID
	a, b protocol.Hash // ids of the records
}

// cheats returns who acted against the rules that bind all, ascending by team, one proof for each: two votes of a kind in one
// round, two holds of one member under one charter, or an approval while locked on another charter, without naming approvals since. Where two charters follow v, that are
// 2q-n stewards at least. Approvals that are named but not known are believed.
func (f *roomFacts) cheats(v *roomVersion) []cheat {
	found := map[protocol.TeamID]cheat{}
	accuse := func(t protocol.TeamID, a, b protocol.Hash) {
		if bytes.Compare(a[:], b[:]) > 0 {
			a, b = b, a
		}
		c, old := cheat{t, a, b}, found[t]
		if old.team.IsZero() || slices.Compare(slices.Concat(a[:], b[:]), slices.Concat(old.a[:], old.b[:])) < 0 {
			found[t] = c
		}
	}
	votes := func(t protocol.TeamID, version uint64, depth int) bool {
		return version == v.Version+1 && v.IsSteward(t) && depth >= v.pins[t]
	}
	type slot struct {
		team  protocol.TeamID
		round uint64
	}
	approves, adopts := map[slot][]fact[protocol.Approve]{}, map[protocol.TeamID][]fact[protocol.Adopt]{}
	known := map[protocol.Hash]*protocol.Approve{}
	for _, a := range f.approves {
		if r := a.rec; votes(r.Team, r.Version, a.depth) {
			known[a.id] = r
			for _, o := range approves[slot{r.Team, r.Round}] {
				if o.rec.Charter != r.Charter {
					accuse(r.Team, a.id, o.id)
				}
			}
			approves[slot{r.Team, r.Round}] = append(approves[slot{r.Team, r.Round}], a)
		}
	}
	for _, a := range f.adopts {
		r := a.rec
		if !votes(r.Team, r.Version, a.depth) {
			continue
		}
		for _, o := range adopts[r.Team] {
			if o.rec.Round == r.Round && o.rec.Charter != r.Charter {
				accuse(r.Team, a.id, o.id)
			}
		}
		adopts[r.Team] = append(adopts[r.Team], a)
	}
	for _, h := range f.holds {
		for _, o := range f.holdsOn[h.rec.Subject] {
			if o.id != h.id && o.rec.Team == h.rec.Team && v.holdable(o) && v.holdable(h) {
				accuse(h.rec.Team, h.id, o.id)
			}
		}
	}
	for s, as := range approves {
		var lock fact[protocol.Adopt]
		for _, a := range adopts[s.team] {
			if a.rec.Round < s.round && (lock.rec == nil || a.rec.Round > lock.rec.Round || a.rec.Round == lock.rec.Round && bytes.Compare(a.id[:], lock.id[:]) < 0) {
				lock = a
			}
		}
		for _, a := range as {
			if lock.rec != nil && lock.rec.Charter != a.rec.Charter && !excused(a.rec, lock.rec.Round, known) {
				accuse(s.team, a.id, lock.id)
			}
		}
	}
	out := slices.Collect(maps.Values(found))
	slices.SortFunc(out, func(a, b cheat) int { return bytes.Compare(a.team[:], b.team[:]) })
	return out
}

// excused reports whether the approval names what lifts a lock of the round.
func excused(a *protocol.Approve, lock uint64, known map[protocol.Hash]*protocol.Approve) bool {
	if a.Pol == nil || a.Pol.Round <= lock || a.Pol.Round >= a.Round {
		return false
	}
	for _, id := range a.Pol.Approves {
		if k := known[id]; k != nil && (k.Round != a.Pol.Round || k.Charter != a.Charter) {
			return false
		}
	}
	return true
}
