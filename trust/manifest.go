package trust

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A manifest is one whose signatures were verified under the root record that it names.
type manifest struct {
	id protocol.Hash
	*protocol.Manifest
}

// listed is a node of a manifest.
type listed struct {
	protocol.Node
	revoked *protocol.Revoked // nil: current
}

// A standing says how far a manifest counts under the present head of the root log.
type standing int

const (
	overruled standing = iota // signed under a record that does not count
	outdated                  // signed under an earlier record that counts
	valid                     // signed under the head, or named by the head's floor
)

func (t *team) standing(m *manifest) standing {
	floor := t.head.Floor
	switch {
	case floor != nil && m.id == floor.Manifest && m.Version == floor.Version:
		return valid
	case m.Root == t.head.id && (floor == nil || m.Version > floor.Version):
		return valid
	case t.path[m.Root]:
		return outdated
	}
	return overruled
}

// better orders manifests, the one that counts first. Under one head, the greater version wins; so the version never
// decreases under one head. A new head starts counting at its floor: otherwise a stolen officer key could sign the greatest
// version that there is, and the team could never be repaired.
func (t *team) better(a, b *manifest) int {
	depth := func(m *manifest) uint64 {
		if r := t.roots[m.Root]; r != nil {
			return r.N
		}
		return 0 // a record that was evicted
	}
	c := cmp.Compare(t.standing(b), t.standing(a))
	if c == 0 && t.standing(a) != valid {
		c = cmp.Compare(depth(b), depth(a))
	}
	return cmp.Or(c, cmp.Compare(b.Version, a.Version), bytes.Compare(a.id[:], b.id[:]))
}

// rivals reports whether two valid manifests of one version are held.
func (t *team) rivals() bool { return len(t.manifests) == 2 }

// best returns the manifest that counts, or nil.
func (t *team) best() *manifest {
	if len(t.manifests) == 0 {
		return nil
	}
	return t.manifests[0]
}

func (b *Book) addManifest(e *protocol.Envelope, load bool) (bool, []protocol.Hash, error) {
	pm, err := protocol.Decode[protocol.Manifest](e)
	if err != nil {
		return false, nil, err
	}
	t, err := b.known(pm.Team)
	if err != nil {
		return false, nil, err
	}
	m := &manifest{id: e.ID(), Manifest: pm}
	if slices.ContainsFunc(t.manifests, func(o *manifest) bool { return o.id == m.id }) {
		return false, nil, nil
	}
	r := t.roots[m.Root]
	if r == nil {
		return false, nil, fmt.Errorf("%w: the root record that manifest %d of team %s names", ErrMissing, m.Version, m.Team.Short())
	}
	if _, err := r.verify(e, protocol.ActManifest); err != nil {
		return false, nil, fmt.Errorf("manifest %d of team %s: %w", m.Version, m.Team.Short(), err)
	}
	fresh := t.standing(m)
	if m.Root == t.head.id && fresh != valid {
		return false, nil, fmt.Errorf("%w: manifest %d of team %s: its root record asks for a version above %d", ErrRule, m.Version,
			m.Team.Short(), t.head.Floor.Version)
	}
	cur := t.best()
	switch {
	case load:
	case fresh == overruled, fresh == outdated && cur != nil && t.standing(cur) == valid:
		return false, nil, fmt.Errorf("%w: manifest %d of team %s: by officers of root record %d; record %d counts now", ErrOverruled,
			m.Version, m.Team.Short(), r.N, t.head.N)
	}
	if cur != nil && fresh == valid && t.standing(cur) == valid && m.Version > cur.Version {
		if err := keepsNodes(cur, m); err != nil {
			return false, nil, err
		}
	}
	t.manifests = append(t.manifests, m)
	drop := b.refresh(t)
	return !slices.Contains(drop, m.id), drop, nil
}

// keepsNodes checks that every node of old is in next, and that what was revoked stays revoked. A node that is silently left
// out could come back as somebody else's, and what it said could not be verified any more.
func keepsNodes(old, next *manifest) error {
	current, revoked := map[protocol.KID]bool{}, map[protocol.KID]bool{}
	for _, n := range next.Nodes {
		current[n.Key.ID()] = true
	}
	for _, r := range next.Revoked {
		revoked[r.Node.Key.ID()] = true
	}
	for _, n := range old.Nodes {
		if id := n.Key.ID(); !current[id] && !revoked[id] {
			return fmt.Errorf("%w: manifest %d of team %s leaves out node %s: a node that is given up is listed as revoked", ErrRule,
				next.Version, next.Team.Short(), id)
		}
	}
	for _, r := range old.Revoked {
		if id := r.Node.Key.ID(); !revoked[id] {
			return fmt.Errorf("%w: manifest %d of team %s takes back that node %s is revoked: give it a new key", ErrRule, next.Version,
				next.Team.Short(), id)
		}
	}
	return nil
}

// refresh makes all that follows from the root log and the manifests of a team fit them, and returns what may be dropped.
func (b *Book) refresh(t *team) (drop []protocol.Hash) {
	slices.SortFunc(t.manifests, t.better)
	keep := min(1, len(t.manifests))
	if len(t.manifests) > 1 && t.standing(t.manifests[1]) == valid && t.manifests[0].Version == t.manifests[1].Version {
		keep = 2
	}
	for _, m := range t.manifests[keep:] {
		drop = append(drop, m.id)
	}
	t.manifests = slices.Clone(t.manifests[:keep])

	b.unlist(t)
	if m := t.best(); m != nil {
		for _, n := range m.Nodes {
			t.listed[n.Key.ID()] = listed{Node: n}
			b.peers[string(n.Peer)] = with(b.peers[string(n.Peer)], t.id)
		}
		for i := range m.Revoked {
			t.listed[m.Revoked[i].Node.Key.ID()] = listed{Node: m.Revoked[i].Node, revoked: &m.Revoked[i]}
		}
		for kid := range t.listed {
			b.nodes[kid] = with(b.nodes[kid], t.id)
		}
	}
	for kid, a := range t.addrs {
		if n, ok := t.listed[kid]; !ok || n.revoked != nil {
			drop = append(drop, a.id)
			delete(t.addrs, kid)
		}
	}
	for kid, r := range t.recips {
		if n, ok := t.listed[kid]; !ok || n.revoked != nil {
			drop = append(drop, r.id)
			delete(t.recips, kid)
		}
	}
	slices.SortFunc(drop, func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) })
	return drop
}

// unlist takes the nodes of a team out of the indices.
func (b *Book) unlist(t *team) {
	for kid, n := range t.listed {
		without(b.nodes, kid, t.id)
		without(b.peers, string(n.Peer), t.id)
	}
	clear(t.listed)
}

func with(ids []protocol.TeamID, id protocol.TeamID) []protocol.TeamID {
	i, found := slices.BinarySearchFunc(ids, id, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
	if found {
		return ids
	}
	return slices.Insert(slices.Clone(ids), i, id)
}

func without[K comparable](index map[K][]protocol.TeamID, key K, id protocol.TeamID) {
	ids := slices.DeleteFunc(slices.Clone(index[key]), func(o protocol.TeamID) bool { return o == id })
	if len(ids) == 0 {
		delete(index, key)
	} else {
		index[key] = ids
	}
}

// trouble returns why a team is disputed or stale, in words, or Verified for a team that is neither.
func (t *team) trouble(now time.Time) (State, string) {
	m := t.best()
	switch {
	case t.head == nil:
		return Stale, "none of its records has arrived yet"
	case t.disputed:
		return Disputed, fmt.Sprintf("its root log is forked after record %d, by equal authority: the team has to settle that, with its "+
			"recovery keys if need be", t.head.N)
	case t.rivals():
		return Disputed, fmt.Sprintf("there are two different manifests of version %d: the team has to sign a newer one", m.Version)
	case m == nil:
		return Stale, "its manifest has not arrived yet"
	case t.standing(m) == overruled:
		return Stale, fmt.Sprintf("its manifest was signed by an authority that root record %d overruled: a new one has not arrived yet", t.head.N)
	case t.standing(m) == outdated:
		return Stale, fmt.Sprintf("root record %d replaced the officers who signed its manifest: a new one has not arrived yet", t.head.N)
	case now.Unix() >= int64(m.Expires):
		return Stale, fmt.Sprintf("its manifest expired on %s: the team has to sign a new one", unixTime(m.Expires).Format(time.DateOnly))
	}
	return Verified, ""
}

func unixTime(s uint64) time.Time { return time.Unix(int64(s), 0).UTC() }
