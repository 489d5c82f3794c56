package trust

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
)

// cardTree draws cards about one member, which follow the seat or each other.
func cardTree(t *rapid.T) (place, []*roomCard) {
	seat := place{status: protocol.MemberFull, until: 100}
	pool := []*roomCard{nil}
	var cards []*roomCard
	for i := range rapid.IntRange(0, 25).Draw(t, "cards") {
		c := &roomCard{id: protocol.Sum("test", []byte{byte(i), rapid.Byte().Draw(t, "salt")}), MemberCard: &protocol.MemberCard{N: 1,
			Status: protocol.MemberStatus(rapid.IntRange(1, 3).Draw(t, "status")), Until: rapid.Uint64Range(95, 105).Draw(t, "until")}}
		if p := rapid.SampledFrom(pool).Draw(t, "after"); p != nil {
			c.N, c.Prev = p.N+1, p.id
		}
		pool, cards = append(pool, c), append(cards, c)
	}
	return seat, cards
}

func always(place, *roomCard) bool { return true }

// follows is the rule of the specification, said in another way: from the seat on, of all that follow, the strictest.
func follows(seat place, cards []*roomCard) (path []*roomCard) {
	for at := (protocol.Hash{}); ; {
		var best *roomCard
		for _, c := range cards {
			if c.Prev != at {
				continue
			}
			if best == nil || c.Status > best.Status || c.Status == best.Status && (c.Until < best.Until ||
				c.Until == best.Until && bytes.Compare(c.id[:], best.id[:]) < 0) {
				best = c
			}
		}
		if best == nil {
			return path
		}
		path, at = append(path, best), best.id
	}
}

// checkCards returns what is wrong with how the cards are followed (I-23); "" if nothing: it is the specified rule, no order
// of arrival matters, and with more cards nothing that was followed becomes less strict.
func checkCards(t *rapid.T, seat place, cards []*roomCard) string {
	all := drawLine(seat, cards, always).path
	if !slices.Equal(all, follows(seat, cards)) {
		return "not the specified cards"
	}
	shuffled := rapid.Permutation(cards).Draw(t, "order")
	if !slices.Equal(all, drawLine(seat, shuffled, always).path) {
		return "the order matters"
	}
	few := drawLine(seat, shuffled[:rapid.IntRange(0, len(cards)).Draw(t, "few")], always).path
	for i, c := range few {
		switch {
		case i >= len(all):
			return "with more cards, fewer are followed"
		case all[i] == c:
			continue
		case !asStrict(all[i].Status, all[i].Until, c.Status, c.Until):
			return "with more cards, one is less strict"
		}
		break
	}
	return ""
}

func TestCardsMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seat, cards := cardTree(t)
		if why := checkCards(t, seat, cards); why != "" {
			t.Fatal(why)
		}
	})
}

// Orders that look as good as ours. Each must be caught.
func TestCardsMergeCatchesMutants(t *testing.T) {
	honest := compareCards
	calls := 0
	mutants := map[string]func(a, b *roomCard) int{
		"the most permissive wins": func(a, b *roomCard) int { return plainCards(honest, b, a) },
		"the lowest id wins":       func(a, b *roomCard) int { return bytes.Compare(a.id[:], b.id[:]) },
		"the later term wins": func(a, b *roomCard) int {
			if a.Status == b.Status && a.Until != b.Until {
				return int(b.Until) - int(a.Until)
			}
			return plainCards(honest, a, b)
		},
		"the first to come wins": func(a, b *roomCard) int {
			if a.Status == b.Status {
				calls++
				return calls%3 - 1
			}
			return plainCards(honest, a, b)
		},
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			testOnlyCompareCards = mutant
			defer func() { testOnlyCompareCards = nil }()
			mustCatch(t, 1000, func(t *rapid.T) string {
				seat, cards := cardTree(t)
				return checkCards(t, seat, cards)
			})
		})
	}
}

// mustCatch draws from one seed after the other, always the same, until check says what is wrong. A check of properties stops
// after a number of draws that depends on -short; whether a mutant is caught must not.
func mustCatch(t *testing.T, draws int, check func(t *rapid.T) string) {
	t.Helper()
	g := rapid.Custom(check)
	for seed := range draws {
		if caught := g.Example(seed); caught != "" {
			t.Logf("caught from seed %d: %.200s", seed, caught)
			return
		}
	}
	t.Fatalf("not caught in %d draws", draws)
}

// plainCards returns what the order says when nothing takes its place.
func plainCards(order func(a, b *roomCard) int, a, b *roomCard) int {
	mutant := testOnlyCompareCards
	testOnlyCompareCards = nil
	defer func() { testOnlyCompareCards = mutant }()
	return order(a, b)
}
