package trust

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

type card struct {
	signed
	*protocol.Card
}

type attest struct {
	signed
	*protocol.Attest
}

type cutoff struct {
	signed
	*protocol.Cutoff
}

type address struct {
	id protocol.Hash
	*protocol.Address
}

func (b *Book) addCard(e *protocol.Envelope, load bool) (bool, []protocol.Hash, error) {
	pc, err := protocol.Decode[protocol.Card](e)
	if err != nil {
		return false, nil, err
	}
	t, err := b.known(pc.Team)
	if err != nil {
		return false, nil, err
	}
	c := &card{signed{id: e.ID()}, pc}
	if t.card != nil && t.card.id == c.id && t.head.enough(protocol.ActCard, t.card.signers) {
		return false, nil, nil
	}
	if c.signers, err = t.verify(e, protocol.ActCard, load); err != nil {
		return false, nil, fmt.Errorf("card of team %s: %w", c.Team.Short(), err)
	}
	if old := t.card; old != nil {
		if !t.newerCard(c, old) {
			return false, []protocol.Hash{c.id}, nil
		}
		t.card = c
		return true, replaced(old.id, c.id), nil
	}
	t.card = c
	return true, nil, nil
}

// replaced returns what may be dropped when the record old makes way. New officers may have signed the very same content.
func replaced(old, by protocol.Hash) []protocol.Hash {
	if old == by {
		return nil
	}
	return []protocol.Hash{old}
}

// newerCard says which of two cards counts: one of present officers before one of former ones, then the greater version, then
// the lower id.
func (t *team) newerCard(a, b *card) bool {
	if p, q := t.head.enough(protocol.ActCard, a.signers), t.head.enough(protocol.ActCard, b.signers); p != q {
		return p
	}
	return cmp.Or(cmp.Compare(b.Version, a.Version), bytes.Compare(a.id[:], b.id[:])) < 0
}

func (b *Book) addAttest(e *protocol.Envelope, now time.Time, load bool) (bool, []protocol.Hash, error) {
	pa, err := protocol.Decode[protocol.Attest](e)
	if err != nil {
		return false, nil, err
	}
	subject, err := b.known(pa.Subject)
	if err != nil {
		return false, nil, err
	}
	issuer, err := b.known(pa.Issuer)
	if err != nil {
		return false, nil, err
	}
	a := &attest{signed{id: e.ID()}, pa}
	old := subject.attests[a.Issuer]
	if old != nil && old.id == a.id && issuer.head.enough(protocol.ActAttest, old.signers) {
		return false, nil, nil
	}
	if a.signers, err = issuer.verify(e, protocol.ActAttest, load); err != nil {
		return false, nil, fmt.Errorf("attestation of team %s by %s: %w", a.Subject.Short(), a.Issuer.Short(), err)
	}
	if now.Unix() >= int64(a.Expires) || old != nil && !issuer.newerAttest(a, old) {
		return false, []protocol.Hash{a.id}, nil
	}
	var drop []protocol.Hash
	if old != nil {
		drop = replaced(old.id, a.id)
	}
	subject.attests[a.Issuer] = a
	drop = append(drop, b.trimAttests(subject, now)...)
	return subject.attests[a.Issuer] == a, drop, nil
}

// newerAttest says which of two attestations of the team about one subject counts: one of present officers before one of
// former ones, then the later, then the one that takes back.
func (t *team) newerAttest(a, b *attest) bool {
	if p, q := t.head.enough(protocol.ActAttest, a.signers), t.head.enough(protocol.ActAttest, b.signers); p != q {
		return p
	}
	if a.Issued != b.Issued {
		return a.Issued > b.Issued
	}
	if a.Retract != b.Retract {
		return a.Retract
	}
	return bytes.Compare(a.id[:], b.id[:]) < 0
}

// trimAttests removes expired attestations, and beyond the limit those of issuers that I did not verify.
func (b *Book) trimAttests(t *team, now time.Time) (drop []protocol.Hash) {
	var kept []*attest
	for issuer, a := range t.attests {
		if now.Unix() >= int64(a.Expires) {
			drop = append(drop, a.id)
			delete(t.attests, issuer)
			continue
		}
		kept = append(kept, a)
	}
	if len(kept) > MaxAttests {
		slices.SortFunc(kept, func(x, y *attest) int {
			p, q := b.verifiedByMe(x.Issuer), b.verifiedByMe(y.Issuer)
			if p != q {
				if p {
					return -1
				}
				return 1
			}
			return bytes.Compare(x.Issuer[:], y.Issuer[:])
		})
		for _, a := range kept[MaxAttests:] {
			drop = append(drop, a.id)
			delete(t.attests, a.Issuer)
		}
	}
	slices.SortFunc(drop, func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) })
	return drop
}

func (b *Book) verifiedByMe(id protocol.TeamID) bool {
	t := b.teams[id]
	return t != nil && t.verified != nil
}

func (b *Book) addCutoff(e *protocol.Envelope, load bool) (bool, []protocol.Hash, error) {
	pc, err := protocol.Decode[protocol.Cutoff](e)
	if err != nil {
		return false, nil, err
	}
	t, err := b.known(pc.Team)
	if err != nil {
		return false, nil, err
	}
	if _, ok := t.listed[pc.Node]; !ok {
		return false, nil, fmt.Errorf("%w: the manifest of team %s that lists node %s", ErrMissing, pc.Team.Short(), pc.Node)
	}
	c := &cutoff{signed{id: e.ID()}, pc}
	if slices.ContainsFunc(t.cutoffs, func(o *cutoff) bool { return o.id == c.id }) {
		return false, nil, nil
	}
	if c.signers, err = t.verify(e, protocol.ActManifest, load); err != nil {
		return false, nil, fmt.Errorf("cut-off of team %s: %w", c.Team.Short(), err)
	}
	var drop []protocol.Hash
	keep := make([]*cutoff, 0, len(t.cutoffs)+1)
	for _, o := range t.cutoffs {
		switch {
		case o.restricts(c) && t.counts(o):
			return false, []protocol.Hash{c.id}, nil
		case c.restricts(o):
			drop = append(drop, o.id)
		default:
			keep = append(keep, o)
		}
	}
	if len(keep) >= MaxCutoffs {
		return false, nil, fmt.Errorf("%w: %d cut-offs of team %s are known", ErrFull, MaxCutoffs, c.Team.Short())
	}
	t.cutoffs = append(keep, c)
	return true, drop, nil
}

// isPrivate reports whether the cut-off is of a feed between two teams: it is for the other one alone.
func isPrivate(c *protocol.Cutoff) bool { return c.Feed != protocol.FeedOf(c.Node, protocol.Channel{}) }

// Private reports whether an identity record must not spread: a cut-off of a feed between two teams, or one that cannot be
// read.
func Private(e *protocol.Envelope) bool {
	if e.Type != protocol.TypeCutoff {
		return false
	}
	c, err := protocol.Decode[protocol.Cutoff](e)
	return err != nil || isPrivate(c)
}

// restricts reports whether c makes o needless.
func (c *cutoff) restricts(o *cutoff) bool {
	if c.Node != o.Node || c.Feed != o.Feed || c.LastSeq > o.LastSeq || c.LastSeq == o.LastSeq && c.LastHash != o.LastHash {
		return false
	}
	for _, v := range o.Void {
		if v <= c.LastSeq && !slices.Contains(c.Void, v) {
			return false
		}
	}
	return true
}

// counts reports whether the cut-off was signed by officers of a root record that counts. Those of former officers stay:
// what restricts is never undone by a change of officers, only by a recovery that overrules them.
func (t *team) counts(c *cutoff) bool {
	for id := range t.path {
		if t.roots[id].enough(protocol.ActManifest, c.signers) {
			return true
		}
	}
	return false
}

// merged returns the most restrictive of the cut-offs of a node, feed by feed: the lowest last entry, the union of the void.
// Where two name different entries as that last one, nothing stands.
func (t *team) merged(node protocol.KID) map[protocol.FeedID]protocol.Cutoff {
	out := map[protocol.FeedID]protocol.Cutoff{}
	for _, c := range t.cutoffs {
		if c.Node != node || !t.counts(c) {
			continue
		}
		m, ok := out[c.Feed]
		if !ok || c.LastSeq < m.LastSeq {
			void := m.Void
			m = *c.Cutoff
			m.Void = slices.Concat(void, c.Void)
		} else {
			m.Void = slices.Concat(m.Void, c.Void)
		}
		out[c.Feed] = m
	}
	for _, c := range t.cutoffs {
		if m := out[c.Feed]; c.Node == node && t.counts(c) && c.LastSeq == m.LastSeq && c.LastHash != m.LastHash {
			m.LastSeq, m.LastHash = 0, protocol.Hash{}
			out[c.Feed] = m
		}
	}
	for feed, m := range out {
		slices.Sort(m.Void)
		m.Void = slices.DeleteFunc(slices.Compact(m.Void), func(v uint64) bool { return v > m.LastSeq })
		out[feed] = m
	}
	return out
}

func (b *Book) addAddress(e *protocol.Envelope, now time.Time, load bool) (bool, []protocol.Hash, error) {
	pa, err := protocol.Decode[protocol.Address](e)
	if err != nil {
		return false, nil, err
	}
	t, err := b.known(pa.Team)
	if err != nil {
		return false, nil, err
	}
	a := &address{e.ID(), pa}
	old := t.addrs[a.Node]
	if old != nil && old.id == a.id {
		return false, nil, nil
	}
	n, ok := t.listed[a.Node]
	switch {
	case !ok:
		return false, nil, fmt.Errorf("%w: the manifest of team %s that lists node %s", ErrMissing, a.Team.Short(), a.Node)
	case n.revoked != nil:
		return false, nil, fmt.Errorf("%w: address of node %s of team %s: the node is revoked", ErrOverruled, a.Node, a.Team.Short())
	}
	if err := e.VerifyNode(n.Key); err != nil {
		return false, nil, err
	}
	// One that ran out since is the last that was heard of a team that was away: a hint of where to ask.
	if !load && now.Unix() >= int64(a.Expires) ||
		old != nil && cmp.Or(cmp.Compare(old.Seq, a.Seq), bytes.Compare(a.id[:], old.id[:])) >= 0 {
		return false, []protocol.Hash{a.id}, nil
	}
	t.addrs[a.Node] = a
	if old != nil {
		return true, []protocol.Hash{old.id}, nil
	}
	return true, nil, nil
}
