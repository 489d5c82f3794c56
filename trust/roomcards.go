package trust

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/entente-network/entente/protocol"
)

// A roomCard is a card about a member, and who voted for it.
type roomCard struct {
	id protocol.Hash
	*protocol.MemberCard
	votes       map[protocol.TeamID]int // stewards, or who claims to be one, by the depth of the root record of their officers
	carried     bool                    // enough stewards voted for it; set by version
	restricting bool                    // it takes something away; set by drawLine
}

// admits reports whether the card brings its subject in.
func (c *roomCard) admits() bool { return !c.Accept.IsZero() }

// A place is where a member stands by decision of the stewards: a seat of the charter, or a card that counts.
type place struct {
	status        protocol.MemberStatus // 0: none
	until, joined uint64
	root          protocol.Hash
	card          *roomCard // nil: the seat, or none
}

func placeOf(c *roomCard) place {
	return place{status: c.Status, until: c.Until, joined: c.Joined, root: c.Root, card: c}
}

// n returns the number of the card that is next, and what it follows.
func (p place) next() (n uint64, prev protocol.Hash) {
	if p.card == nil {
		return 1, protocol.Hash{}
	}
	return p.card.N + 1, p.card.id
}

// testOnlyCompareCards, if set, takes the place of compareCards: tests show with it that they would notice a wrong order.
var testOnlyCompareCards func(a, b *roomCard) int

// compareCards orders cards that follow the same one, the one that counts first: the greater status, then the earlier term,
// then the lower id. It depends on nothing but the two.
func compareCards(a, b *roomCard) int {
	if testOnlyCompareCards != nil {
		return testOnlyCompareCards(a, b)
	}
	return cmp.Or(cmp.Compare(b.Status, a.Status), cmp.Compare(a.Until, b.Until), bytes.Compare(a.id[:], b.id[:]))
}

// A line is all that counts about one member under one charter.
type line struct {
	seat  place
	valid []*roomCard // in the order of their numbers, losers included
	held  []place     // the seat, and what each of valid gives
	path  []*roomCard // those that were followed
}

// tip returns where the member stands.
func (l *line) tip() place {
	if len(l.path) == 0 {
		return l.seat
	}
	return placeOf(l.path[len(l.path)-1])
}

// overtaken reports whether a card that counts follows c.
func (l *line) overtaken(c *roomCard) bool {
	i := slices.IndexFunc(l.path, func(o *roomCard) bool { return o.id == c.id })
	return i >= 0 && i < len(l.path)-1
}

// places returns the places that counted at any time, of whatever branch.
func (l *line) places() []place { return l.held }

// drawLine finds which of the cards about one member count, by the rule for one card after a place, and which of these are
// followed. The answer depends on the set of cards alone; more cards never make what is followed at any number less strict.
func drawLine(seat place, cards []*roomCard, counts func(after place, c *roomCard) bool) *line {
	l := &line{seat: seat, held: []place{seat}}
	children := map[protocol.Hash][]*roomCard{}
	sorted := slices.SortedFunc(slices.Values(cards), func(a, b *roomCard) int {
		return cmp.Or(cmp.Compare(a.N, b.N), bytes.Compare(a.id[:], b.id[:]))
	})
	byID := map[protocol.Hash]*roomCard{}
	for _, c := range sorted {
		byID[c.id] = c
		before := seat
		if p := byID[c.Prev]; p != nil {
			before = placeOf(p)
		}
		c.restricting = c.Status != protocol.MemberFull || before.status == protocol.MemberFull && c.Until < before.until
	}
	known := map[protocol.Hash]place{{}: seat}
	for _, c := range sorted {
		after, ok := known[c.Prev]
		if n, _ := after.next(); !ok || c.N != n || !counts(after, c) {
			continue
		}
		known[c.id] = placeOf(c)
		children[c.Prev] = append(children[c.Prev], c)
		l.valid, l.held = append(l.valid, c), append(l.held, placeOf(c))
	}
	for at := (protocol.Hash{}); len(children[at]) > 0; {
		c := slices.MinFunc(children[at], compareCards)
		l.path = append(l.path, c)
		at = c.id
	}
	return l
}
