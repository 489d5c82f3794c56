package trust

import (
	"slices"

	"github.com/entente-network/entente/protocol"
)

// A ballot is one vote of a steward on the next version of a charter.
type ballot struct {
	adopt   bool
	round   uint64 // from 1
	charter protocol.Hash
}

// A position is what a steward's own ballots about one version bind it to.
type position struct {
	ballots []ballot
	round   uint64 // the greatest that it voted in; 0: none
	lock    ballot // its adoption of the greatest round; the zero ballot: none
}

func positionOf(own []ballot) position {
	p := position{ballots: own}
	for _, b := range own {
		p.round = max(p.round, b.round)
		if b.adopt && b.round > p.lock.round {
			p.lock = b
		}
	}
	return p
}

// voted reports whether the steward gave that vote in the round, for whatever charter.
func (p position) voted(adopt bool, round uint64) bool {
	return slices.ContainsFunc(p.ballots, func(b ballot) bool { return b.adopt == adopt && b.round == round })
}

// approvals says how many stewards approved a charter in a round.
type approvals func(round uint64, charter protocol.Hash) int

// mayApprove returns the rule by which the steward may not approve the charter in the round; "" if it may. Where that needs
// approvals that lift a lock, pol is their round.
func (p position) mayApprove(round uint64, charter protocol.Hash, n approvals, q int) (pol uint64, rule string) {
	switch {
	case p.voted(false, round) || p.voted(true, round): // an approval after the adoption would look like one against an older lock
		return 0, "vote-twice"
	case round < p.round:
		return 0, "vote-round"
	case p.lock.round == 0 || p.lock.charter == charter:
		return 0, ""
	}
	for r := p.lock.round + 1; r < round; r++ {
		if n(r, charter) >= q {
			return r, ""
		}
	}
	return 0, "vote-locked"
}

// mayAdopt returns the rule by which the steward may not adopt the charter in the round; "" if it may. That it loses no card
// of the steward's is for losesCard.
func (p position) mayAdopt(round uint64, charter protocol.Hash, n approvals, q int) (rule string) {
	switch {
	case p.voted(true, round):
		return "vote-twice"
	case round < p.round:
		return "vote-round"
	case n(round, charter) < q:
		return "vote-approvals"
	}
	return ""
}

// mayVoteCard returns the rule by which the steward may vote for no card under the present charter; "" if it may. A lock on
// the next one forbids it, until a quorum approved another of the charters after the lock: then that one cannot win any more.
func (p position) mayVoteCard(rounds uint64, charters []protocol.Hash, n approvals, q int) (rule string) {
	if p.lock.round == 0 {
		return ""
	}
	for r := p.lock.round + 1; r <= rounds; r++ {
		for _, c := range charters {
			if c != p.lock.charter && n(r, c) >= q {
				return ""
			}
		}
	}
	return "card-locked"
}

// testOnlyLoses, if set, says whether losesCard looks at all.
var testOnlyLoses func() bool

// losesCard returns a card for which the steward voted and which the charter would lose: it neither makes it void, nor
// restricts its subject as much. A card that others followed, which count, is lost by nobody.
func losesCard(next *protocol.Charter, voted []*roomCard, overtaken func(*roomCard) bool) *roomCard {
	if testOnlyLoses != nil && !testOnlyLoses() {
		return nil
	}
	for _, c := range voted {
		if !c.restricting || overtaken(c) || slices.Contains(next.Voids, c.id) {
			continue
		}
		if s, ok := next.Seat(c.Subject); ok && !asStrict(s.Status, s.Until, c.Status, c.Until) {
			return c
		}
	}
	return nil
}

// asStrict reports whether the first status and term restrict as much as the second.
func asStrict(a protocol.MemberStatus, aUntil uint64, b protocol.MemberStatus, bUntil uint64) bool {
	return a > b || a == b && aUntil <= bUntil
}

// A voteKey names what stewards vote for.
type voteKey struct {
	round   uint64
	charter protocol.Hash
}

// winner returns whether a quorum adopted the charter in one round.
func winner(charter protocol.Hash, adoptions map[voteKey]map[protocol.TeamID]protocol.Hash, q int) bool {
	for k, by := range adoptions {
		if k.charter == charter && len(by) >= q {
			return true
		}
	}
	return false
}
