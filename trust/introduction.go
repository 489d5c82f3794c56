package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// CheckIntroduction verifies a bundle that a person wants to add: by itself it must be whole (the root log from its first
// record, a valid manifest, the card, all signatures), and it must fit what is known of the team and of other teams. It
// returns the team as it would be known, and changes nothing; the caller then takes in the act and adds the records, in this
// order.
//
// Records that need an issuer who is not known here, such as attestations, are no fault. Errors say what the person should
// do; they wrap ErrConflict where the bundle contradicts what is known.
func (b *Book) CheckIntroduction(es []*protocol.Envelope, id protocol.TeamID, now time.Time) (*Team, error) {
	if id == b.self {
		return nil, fmt.Errorf("%w: this is the introduction of your own team; nothing was changed", ErrConflict)
	}
	alone, err := wholeAlone(es, id, now)
	if err != nil {
		return nil, err
	}
	if t := b.teams[id]; t != nil && t.isBlocked() {
		return nil, fmt.Errorf("%w: the team is blocked here: unblock it first, if you mean to; nothing was changed", ErrConflict)
	}
	for _, o := range b.Teams(now) {
		if o.ID != id && o.Card != nil && foldName(o.Name) == foldName(alone.card.Name) && o.State != Unknown && o.State != Blocked {
			return nil, fmt.Errorf("%w: another team is known by the name %.80q (%s): call both to learn which is theirs; block the old one "+
				"if it was given up; nothing was changed", ErrConflict, o.Name, o.ID.Short())
		}
	}

	merged := b.copyWith(id)
	if merged.teams[id] == nil {
		merged.teams[id] = newTeam(id) // a person makes room beyond MaxTeams
	}
	for i, r := range merged.AddAll(es, now) {
		if err := refusal(es[i], r.Err); err != nil {
			return nil, fmt.Errorf("%w: the introduction does not fit what is known of the team (%w): call them; nothing was changed", ErrConflict, err)
		}
	}
	t := merged.teams[id]
	if t.disputed || t.rivals() || !t.path[alone.head.id] {
		return nil, fmt.Errorf("%w: the introduction names other keys than those that are known of the team: one of the two is not theirs, "+
			"or a key of theirs was stolen: call them by a number that you know; nothing was changed", ErrConflict)
	}
	if state, why := t.trouble(now); state != Verified {
		return nil, fmt.Errorf("the team cannot be added now: %s: ask the team for its newest introduction; nothing was changed", why)
	}
	v := merged.view(t, now)
	return &v, nil
}

// refusal returns the error of a record of an introduction if it counts against it.
func refusal(e *protocol.Envelope, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrOverruled):
		return nil // older than what is known
	case e.Type == protocol.TypeAttest && errors.Is(err, ErrMissing):
		return nil
	}
	return err
}

// wholeAlone checks that the records are a whole introduction of the team by themselves.
func wholeAlone(es []*protocol.Envelope, id protocol.TeamID, now time.Time) (*team, error) {
	const again = "ask the team to send the introduction again; nothing was changed"
	b := NewBook(protocol.TeamID{})
	for i, e := range es {
		of, err := TeamOf(e)
		if err != nil {
			return nil, fmt.Errorf("record %d of %d of the introduction cannot be read (%w): %s", i+1, len(es), err, again)
		}
		if of != id {
			return nil, fmt.Errorf("record %d of %d of the introduction is of team %s, not of %s: %s", i+1, len(es), of.Short(), id.Short(), again)
		}
	}
	for i, r := range b.AddAll(es, now) {
		if r.Err != nil && (es[i].Type != protocol.TypeAttest || !errors.Is(r.Err, ErrMissing)) {
			return nil, fmt.Errorf("record %d of %d of the introduction is refused (%w): %s", i+1, len(es), r.Err, again)
		}
	}
	t := b.teams[id]
	switch {
	case t == nil || t.head == nil:
		return nil, fmt.Errorf("the introduction lacks the first root record of team %s: %s", id.Short(), again)
	case t.disputed || t.rivals():
		return nil, fmt.Errorf("%w: the introduction contradicts itself: call the team; nothing was changed", ErrConflict)
	case t.best() == nil:
		return nil, fmt.Errorf("the introduction lacks the manifest: %s", again)
	case t.card == nil:
		return nil, fmt.Errorf("the introduction lacks the card, which names the team: %s", again)
	}
	return t, nil
}

// copyWith returns a copy of the Book in which the team can be changed without changing b.
func (b *Book) copyWith(id protocol.TeamID) *Book {
	c := &Book{self: b.self, teams: maps.Clone(b.teams), nodes: maps.Clone(b.nodes), peers: maps.Clone(b.peers),
		agreements: maps.Clone(b.agreements), partners: maps.Clone(b.partners), refused: maps.Clone(b.refused), seen: maps.Clone(b.seen), unkept: slices.Clone(b.unkept)}
	if t := c.teams[id]; t != nil {
		n := *t
		n.roots, n.path, n.listed = maps.Clone(t.roots), maps.Clone(t.path), maps.Clone(t.listed)
		n.attests, n.addrs, n.recips = maps.Clone(t.attests), maps.Clone(t.addrs), maps.Clone(t.recips)
		n.manifests, n.cutoffs = slices.Clone(t.manifests), slices.Clone(t.cutoffs)
		c.teams[id] = &n
	}
	return c
}
