package trust

import (
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// OfficerWait is for how long the permissive acts of an officer wait who was named after we verified the team: whoever stole
// root keys gains little before the owner notices.
const OfficerWait = 14 * 24 * time.Hour

// Sightings returns when root records were first seen, as acts that the store has to keep: those that Act was not given yet.
// The caller keeps them before it keeps the records, and gives them to Act. Without that, officers would count as known since
// ever after the next start.
func (b *Book) Sightings() []OwnAct { return slices.Clone(b.unkept) }

// sight notes that a root record of a team that people here decided about is new. What came before the first manifest is part
// of how the team was made known.
func (b *Book) sight(t *team, id protocol.Hash, now time.Time) {
	if _, ok := b.seen[id]; ok || t.id == b.self || !t.wasAdded || t.best() == nil {
		return
	}
	b.seen[id] = now
	b.unkept = append(b.unkept, OwnAct{Team: t.id, Kind: ActSighted, At: now, Method: id.String()})
}

// sighted takes in a sighting that was kept. The earliest counts.
func (b *Book) sighted(a OwnAct) {
	id, err := protocol.ParseHash(a.Method)
	if err != nil {
		return
	}
	if at, ok := b.seen[id]; !ok || a.At.Before(at) {
		b.seen[id] = a.At
	}
	b.unkept = slices.DeleteFunc(slices.Clone(b.unkept), func(o OwnAct) bool { return o.Method == a.Method })
}

// waitsUntil returns until when the permissive acts of an officer wait; the zero time if they do not.
func (b *Book) waitsUntil(t *team, officer protocol.KID) time.Time {
	if t.id == b.self || !t.wasAdded {
		return time.Time{}
	}
	base := t.added
	if t.verified != nil {
		base = t.verified.At
	}
	var first time.Time
	for id, r := range t.roots {
		if !slices.Contains(r.officers, officer) {
			continue
		}
		at, ok := b.seen[id]
		if !ok {
			return time.Time{}
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if first.Before(base) {
		return time.Time{}
	}
	return first.Add(OfficerWait)
}

// permits reports whether the signers are as many officers of the record r as permitting needs. Where some of them still have
// to wait, until says when enough of them will not.
func (b *Book) permits(t *team, r *root, a protocol.Act, signers []protocol.KID, now time.Time) (ok bool, until time.Time) {
	if !r.enough(a, signers) {
		return false, time.Time{}
	}
	var ready []protocol.KID
	var waiting []time.Time
	for _, k := range signers {
		if w := b.waitsUntil(t, k); now.Before(w) {
			waiting = append(waiting, w)
		} else {
			ready = append(ready, k)
		}
	}
	if r.enough(a, ready) {
		return true, time.Time{}
	}
	slices.SortFunc(waiting, time.Time.Compare)
	return false, waiting[min(len(waiting), r.K(a)-len(ready))-1]
}
