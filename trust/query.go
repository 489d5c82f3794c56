package trust

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
)

// minPrefix is the shortest prefix of an id that Find takes, in digits.
const minPrefix = 4

// attestationsNeeded is how many teams that I verified have to attest another to make it introduced.
const attestationsNeeded = 2

// An AmbiguousError says that a name or prefix fits several teams.
type AmbiguousError struct {
	Query      string
	Candidates []Team
}

func (e *AmbiguousError) Error() string {
	var names []string
	for _, t := range e.Candidates {
		names = append(names, fmt.Sprintf("%s (%s)", t.Name, t.ID.Short()))
	}
	return fmt.Sprintf("%.80q fits %d teams: give more digits of the id of one of %s", e.Query, len(names), strings.Join(names, ", "))
}

// Team returns what is known of a team at the time now.
func (b *Book) Team(id protocol.TeamID, now time.Time) (Team, bool) {
	t := b.teams[id]
	if t == nil {
		return Team{}, false
	}
	return b.view(t, now), true
}

// Teams returns all teams, my own included, by name.
func (b *Book) Teams(now time.Time) []Team {
	ts := make([]Team, 0, len(b.teams))
	for _, t := range b.teams {
		ts = append(ts, b.view(t, now))
	}
	slices.SortFunc(ts, func(x, y Team) int {
		return cmp.Or(strings.Compare(foldName(x.Name), foldName(y.Name)), bytes.Compare(x.ID[:], y.ID[:]))
	})
	return ts
}

func (b *Book) view(t *team, now time.Time) Team {
	v := Team{ID: t.id, Name: t.id.Short(), Attestors: b.attestors(t, now)}
	v.State, v.Why = b.state(t, v.Attestors, now)
	if t.head != nil {
		v.Root, v.RootID = t.head.Root, t.head.id
	}
	if m := t.best(); m != nil {
		v.Manifest, v.ManifestID = m.Manifest, m.id
	}
	if c := t.card; c != nil {
		v.Card, v.CardID, v.Name, v.Country = c.Card, c.id, c.Name, c.Country
	}
	v.Added = t.added
	if t.verified != nil {
		v.VerifiedAt, v.Method = t.verified.At, t.verified.Method
	}
	return v
}

// state ranks what may be said of a team: my own, blocked, disputed, stale, then what people vouch for. A team that nobody
// vouches for is unknown whatever its records are like: stale and disputed still permit to read and to connect.
func (b *Book) state(t *team, attestors []protocol.TeamID, now time.Time) (State, string) {
	trouble, why := t.trouble(now)
	switch {
	case t.id == b.self:
		return Verified, why
	case t.isBlocked():
		return Blocked, fmt.Sprintf("blocked here on %s", t.blocked.At.UTC().Format(time.DateOnly))
	case !t.wasAdded && len(attestors) < attestationsNeeded:
		return Unknown, fmt.Sprintf("no person here added it, and %d of the %d teams needed attest it", len(attestors), attestationsNeeded)
	case trouble != Verified:
		return trouble, why
	case t.verified != nil:
		return Verified, ""
	}
	return Introduced, ""
}

// attestors returns the teams that I verified, that are neither blocked nor disputed, and that attest t now, ascending.
func (b *Book) attestors(t *team, now time.Time) []protocol.TeamID {
	var ids []protocol.TeamID
	for id, a := range t.attests {
		i := b.teams[id]
		if i == nil || i.head == nil || id == b.self || i.verified == nil || i.isBlocked() || i.disputed || i.rivals() {
			continue
		}
		if !a.Retract && now.Unix() < int64(a.Expires) && i.head.enough(protocol.ActAttest, a.signers) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// Find returns the team of a name, in any case, or of an id or its first digits. Teams that nobody vouches for are found only
// where no other fits, so that they cannot take a name away. Errors wrap ErrNoTeam or are an *AmbiguousError.
func (b *Book) Find(nameOrPrefix string, now time.Time) (Team, error) {
	q := foldName(nameOrPrefix)
	if id, err := protocol.ParseHash(q); err == nil {
		if t, ok := b.Team(id, now); ok {
			return t, nil
		}
		return Team{}, fmt.Errorf("%w: of id %s", ErrNoTeam, id.Short())
	}
	var vouched, others []Team
	for _, t := range b.Teams(now) {
		byName := t.Card != nil && foldName(t.Name) == q
		if !byName && (len(q) < minPrefix || !strings.HasPrefix(t.ID.String(), q)) {
			continue
		}
		if t.State == Unknown {
			others = append(others, t)
		} else {
			vouched = append(vouched, t)
		}
	}
	if len(vouched) == 0 {
		vouched = others
	}
	switch len(vouched) {
	case 0:
		return Team{}, fmt.Errorf("%w: %.80q is neither the name of a team nor the first %d or more digits of its id", ErrNoTeam,
			nameOrPrefix, minPrefix)
	case 1:
		return vouched[0], nil
	}
	return Team{}, &AmbiguousError{Query: nameOrPrefix, Candidates: vouched}
}

// foldName maps names that a person would take for one to one: case and spaces do not distinguish.
func foldName(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// NodeOf returns the node of the key as that team lists it. Parcels, heads, addresses and greetings name both; whoever has
// both should ask here.
func (b *Book) NodeOf(id protocol.TeamID, kid protocol.KID) (NodeInfo, bool) {
	t := b.teams[id]
	if t == nil {
		return NodeInfo{}, false
	}
	n, ok := t.listed[kid]
	if !ok {
		return NodeInfo{}, false
	}
	return t.info(kid, n), true
}

func (t *team) info(kid protocol.KID, n listed) NodeInfo {
	i := NodeInfo{Team: t.id, Node: n.Node}
	if n.revoked != nil {
		i.Revoked, i.RevokedAt, i.Why = true, unixTime(n.revoked.At), n.revoked.Why
		i.Cutoff = t.merged(kid)
	} else if a := t.addrs[kid]; a != nil {
		i.Addrs, i.AddrExpires = slices.Clone(a.Addrs), unixTime(a.Expires)
	}
	return i
}

// Node returns the node of the key, current or revoked. A team may list the key of another's node; the team that the key
// itself named in an address counts then, and none if that does not decide it. NodeOf has no such doubt.
func (b *Book) Node(kid protocol.KID) (NodeInfo, bool) {
	claims := b.nodes[kid]
	if len(claims) > 1 {
		claims = slices.DeleteFunc(slices.Clone(claims), func(id protocol.TeamID) bool { return b.teams[id].addrs[kid] == nil })
	}
	if len(claims) != 1 {
		return NodeInfo{}, false
	}
	return b.NodeOf(claims[0], kid)
}

// NodesByPeer returns every current node that a team lists with the transport identity: one, unless a team lists what is
// another's. The greeting says which of them speaks.
func (b *Book) NodesByPeer(peer []byte) []NodeInfo {
	var out []NodeInfo
	for _, id := range b.peers[string(peer)] {
		t := b.teams[id]
		for kid, n := range t.listed {
			if n.revoked == nil && bytes.Equal(n.Peer, peer) {
				out = append(out, t.info(kid, n))
			}
		}
	}
	return out
}

// NodeByPeer returns the current node of the transport identity. Where several teams list it, the team that a person
// verified, or at least added, counts first, then the lowest id.
func (b *Book) NodeByPeer(peer []byte) (NodeInfo, bool) {
	nodes := b.NodesByPeer(peer)
	if len(nodes) == 0 {
		return NodeInfo{}, false
	}
	trust := func(n NodeInfo) int {
		switch t := b.teams[n.Team]; {
		case t.id == b.self:
			return 3
		case t.isBlocked():
			return 0
		case t.verified != nil:
			return 2
		case t.wasAdded:
			return 1
		}
		return 0
	}
	return slices.MaxFunc(nodes, func(x, y NodeInfo) int { return cmp.Compare(trust(x), trust(y)) }), true
}

// Nodes returns the nodes of a team: the current ones first, each by key.
func (b *Book) Nodes(id protocol.TeamID) []NodeInfo {
	t := b.teams[id]
	if t == nil {
		return nil
	}
	kids := slices.SortedFunc(maps.Keys(t.listed), func(x, y protocol.KID) int {
		if p, q := t.listed[x].revoked != nil, t.listed[y].revoked != nil; p != q {
			if q {
				return -1
			}
			return 1
		}
		return bytes.Compare(x[:], y[:])
	})
	out := make([]NodeInfo, 0, len(kids))
	for _, kid := range kids {
		out = append(out, t.info(kid, t.listed[kid]))
	}
	return out
}

// RecordIDs returns the ids of all records of a team that are kept and may spread, ascending: all but private cut-offs.
func (b *Book) RecordIDs(id protocol.TeamID) []protocol.Hash {
	t := b.teams[id]
	if t == nil {
		return nil
	}
	return t.recordIDs(false)
}

func (t *team) recordIDs(private bool) []protocol.Hash {
	ids := slices.Collect(maps.Keys(t.roots))
	for _, m := range t.manifests {
		ids = append(ids, m.id)
	}
	if t.card != nil {
		ids = append(ids, t.card.id)
	}
	for _, a := range t.attests {
		ids = append(ids, a.id)
	}
	for _, c := range t.cutoffs {
		if private || !isPrivate(c.Cutoff) {
			ids = append(ids, c.id)
		}
	}
	for _, a := range t.addrs {
		ids = append(ids, a.id)
	}
	for _, r := range t.recips {
		ids = append(ids, r.id)
	}
	slices.SortFunc(ids, func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// Digest returns a hash over the ids of all records of a team that are kept and may spread. Two nodes with equal digests have nothing to
// tell each other about the team. Unequal ones may stay so: attestations by teams that only one of them knows differ.
func (b *Book) Digest(id protocol.TeamID) protocol.Hash {
	var ids [][]byte
	for _, r := range b.RecordIDs(id) {
		ids = append(ids, r[:])
	}
	return protocol.Sum("entente/v1/digest", ids...)
}

// Shareable reports whether I may pass the records of the team on: my own, those of teams that a person of mine added or
// verified, and of teams that one I verified attests; never of blocked ones.
func (b *Book) Shareable(id protocol.TeamID, now time.Time) bool {
	t := b.teams[id]
	switch {
	case t == nil || t.head == nil:
		return false
	case id == b.self:
		return true
	case t.isBlocked():
		return false
	}
	return t.wasAdded || len(b.attestors(t, now)) > 0
}

// Expendable returns the teams that may be forgotten to make room, ascending: no person decided anything about them, no team
// that I verified attests them, and there is no agreement with them.
func (b *Book) Expendable(now time.Time) []protocol.TeamID {
	return b.collect(func(t *team) bool {
		return t.id != b.self && !t.acted && len(b.partners[t.id]) == 0 && len(b.attestors(t, now)) == 0
	})
}

func (b *Book) collect(want func(*team) bool) []protocol.TeamID {
	var ids []protocol.TeamID
	for id, t := range b.teams {
		if want(t) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// Forget removes all that is known of a team, but not what it attested about others, and returns the ids of the records
// that were kept of it. A team that a person decided about, or with which there is an agreement, is never forgotten; nil says so.
func (b *Book) Forget(id protocol.TeamID) []protocol.Hash {
	t := b.teams[id]
	if t == nil || t.acted || id == b.self || len(b.partners[id]) > 0 {
		return nil
	}
	ids := t.recordIDs(true)
	b.logs++
	b.generation++
	b.unlist(t)
	delete(b.teams, id)
	return ids
}
