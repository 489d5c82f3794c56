package trust

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

// An entry is a parcel of the one feed that these tests are about.
type entry struct {
	id protocol.Hash
	p  *protocol.Parcel
}

func (e entry) neighbour() Neighbour {
	return Neighbour{Held: e.p != nil, ID: e.id, Prev: func() (h protocol.Hash) {
		if e.p != nil {
			h = e.p.Prev
		}
		return h
	}()}
}

// chain makes entries that follow prev, up to the number last.
func chain(node NodeInfo, feed protocol.FeedID, from uint64, prev protocol.Hash, last uint64, salt string) []entry {
	var out []entry
	for seq := from; seq <= last; seq++ {
		p := &protocol.Parcel{Team: node.Team, Node: node.Node.Key.ID(), Feed: feed, Seq: seq, Prev: prev}
		prev = protocol.Sum("entente/test/entry", prev[:], []byte(fmt.Sprint(seq, salt)))
		out = append(out, entry{prev, p})
	}
	return out
}

// A holder keeps entries as a store does, by the verdicts.
type holder struct {
	node NodeInfo
	feed protocol.FeedID
	held map[uint64]entry
}

func (h *holder) offer(e entry) Verdict {
	at := func(seq uint64) Neighbour { return h.held[seq].neighbour() }
	next := at(e.p.Seq + 1)
	if c, ok := h.node.Cutoff[h.feed]; h.node.Revoked && (!ok || Anchored(c, at) > e.p.Seq+1) {
		next = Neighbour{}
	}
	v := CheckEntry(e.p, e.id, h.node, at(e.p.Seq), at(e.p.Seq-1), next)
	switch v {
	case Accept, Replace, Hollow:
		h.held[e.p.Seq] = e
	}
	return v
}

func testNode(t testing.TB) NodeInfo {
	_, _, n := trusttest.NewNode(t, "node1")
	return NodeInfo{Team: id(1), Node: n}
}

func TestCheckEntry(t *testing.T) {
	node, feed := testNode(t), id(2)
	es := chain(node, feed, 1, protocol.Hash{}, 6, "")
	forked := chain(node, feed, 3, es[1].id, 6, "thief")
	revoked := node
	revoked.Revoked = true
	cut := revoked
	cut.Cutoff = map[protocol.FeedID]protocol.Cutoff{feed: {Feed: feed, LastSeq: 4, LastHash: es[3].id, Void: []uint64{2}}}
	nothing := revoked
	nothing.Cutoff = map[protocol.FeedID]protocol.Cutoff{feed: {Feed: feed}}
	other := cut
	other.Cutoff = map[protocol.FeedID]protocol.Cutoff{id(3): {Feed: id(3), LastSeq: 4, LastHash: es[3].id}}
	none := Neighbour{}
	stranger, elsewhere := *es[0].p, *es[0].p
	stranger.Node[0]++
	elsewhere.Team = id(9)

	for _, c := range []struct {
		name             string
		node             NodeInfo
		e                entry
		here, prev, next Neighbour
		want             Verdict
	}{
		{"first of an empty feed", node, es[0], none, none, none, Accept},
		{"far ahead, with a gap", node, es[4], none, none, none, Accept},
		{"fits both sides", node, es[2], none, es[1].neighbour(), es[3].neighbour(), Accept},
		{"held already", node, es[2], es[2].neighbour(), es[1].neighbour(), none, Known},
		{"another in the slot", node, forked[0], es[2].neighbour(), es[1].neighbour(), none, Fork},
		{"does not follow what is held", node, forked[1], none, es[2].neighbour(), none, Fork},
		{"is not what the next one follows", node, forked[0], none, none, es[3].neighbour(), Fork},
		{"of another node", node, entry{es[0].id, &stranger}, none, none, none, Refuse},
		{"of another team", node, entry{es[0].id, &elsewhere}, none, none, none, Refuse},

		{"revoked, no cut-off", revoked, es[2], none, none, none, Quarantine},
		{"revoked, cut-off of another feed", other, es[3], none, none, none, Quarantine},
		{"revoked, no cut-off, another in the slot", revoked, forked[0], es[2].neighbour(), none, none, Fork},
		{"revoked, held already", revoked, es[5], es[5].neighbour(), none, none, Known},
		{"the last that stands", cut, es[3], none, none, none, Accept},
		{"the last, of another chain", cut, forked[1], none, none, none, Void},
		{"beyond the last", cut, es[4], none, es[3].neighbour(), none, Void},
		{"below, not shown to be covered", cut, es[2], none, es[1].neighbour(), none, Quarantine},
		{"below and covered", cut, es[2], none, none, es[3].neighbour(), Accept},
		{"below and not covered", cut, forked[0], none, none, es[3].neighbour(), Void},
		{"covered, in the place of a fork", cut, es[2], forked[0].neighbour(), none, es[3].neighbour(), Replace},
		{"the last, in the place of a fork", cut, es[3], forked[1].neighbour(), none, none, Replace},
		{"covered, and void", cut, es[1], none, none, es[2].neighbour(), Hollow},
		{"nothing stands", nothing, es[0], none, none, none, Void},
	} {
		if got := CheckEntry(c.e.p, c.e.id, c.node, c.here, c.prev, c.next); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}

	for _, c := range []struct {
		node  NodeInfo
		seq   uint64
		doubt bool
	}{{node, 9, false}, {revoked, 1, true}, {cut, 4, false}, {cut, 5, true}, {cut, 2, true}, {cut, 1, false}, {other, 1, true}} {
		if got := Doubt(c.node, feed, c.seq); (got != "") != c.doubt {
			t.Errorf("entry %d, revoked %v: %q", c.seq, c.node.Revoked, got)
		}
	}
}

func TestAnchored(t *testing.T) {
	node, feed := testNode(t), id(2)
	es := chain(node, feed, 1, protocol.Hash{}, 5, "")
	c := protocol.Cutoff{Feed: feed, LastSeq: 5, LastHash: es[4].id}
	held := map[uint64]entry{}
	at := func(seq uint64) Neighbour { return held[seq].neighbour() }
	for _, step := range []struct {
		seq  uint64
		want uint64
	}{{0, 6}, {3, 6}, {5, 5}, {2, 5}, {4, 2}, {1, 1}} {
		if step.seq > 0 {
			held[step.seq] = es[step.seq-1]
		}
		if got := Anchored(c, at); got != step.want {
			t.Errorf("after entry %d: from %d, want %d", step.seq, got, step.want)
		}
	}
	held[3] = chain(node, feed, 3, es[1].id, 3, "thief")[0]
	if got := Anchored(c, at); got != 4 {
		t.Errorf("with a fork at 3: from %d, want 4", got)
	}
	if got := Anchored(protocol.Cutoff{Feed: feed}, at); got != 1 {
		t.Errorf("of a cut-off at nothing: from %d", got)
	}
}

// I-13, I-14, I-15: a thief forks a feed; entries of both branches arrive in any order, and the revocation with its cut-off
// somewhere among them. At most one entry fills a slot. Once the revocation is known, nothing beyond the cut-off is accepted.
// And after catch-up walked the feed backwards, exactly the entries up to the cut-off stand, whenever the revocation came.
func TestRevocationDoesNotDependOnWhenItIsLearnt(t *testing.T) {
	base, feed := testNode(t), id(2)
	rapid.Check(t, func(t *rapid.T) {
		honest := chain(base, feed, 1, protocol.Hash{}, rapid.Uint64Range(1, 8).Draw(t, "honest"), "")
		at := rapid.IntRange(1, len(honest)).Draw(t, "fork at")
		thief := chain(base, feed, uint64(at), honest[at-1].p.Prev, uint64(at)+rapid.Uint64Range(0, 4).Draw(t, "thief"), "thief")
		last := rapid.IntRange(0, len(honest)).Draw(t, "last")
		cut := protocol.Cutoff{Feed: feed, LastSeq: uint64(last)}
		if last > 0 {
			cut.LastHash = honest[last-1].id
			for seq := range uint64(last) {
				if rapid.IntRange(0, 4).Draw(t, "void") == 0 {
					cut.Void = append(cut.Void, seq+1)
				}
			}
		}
		all := slices.Concat(honest, thief)
		arrivals := rapid.SliceOfN(rapid.SampledFrom(all), 0, 20).Draw(t, "arrivals")
		revokedAfter := rapid.IntRange(0, len(arrivals)).Draw(t, "revoked after")

		h := &holder{node: base, feed: feed, held: map[uint64]entry{}}
		revoke := func() {
			h.node.Revoked = true
			h.node.Cutoff = map[protocol.FeedID]protocol.Cutoff{feed: cut}
		}
		stands := func(e entry) bool {
			return e.p.Seq <= cut.LastSeq && honest[e.p.Seq-1].id == e.id && !slices.Contains(cut.Void, e.p.Seq)
		}
		offer := func(e entry) {
			before := h.held[e.p.Seq]
			v := h.offer(e)
			switch {
			case v == Refuse:
				t.Fatalf("entry %d was refused", e.p.Seq)
			case !h.node.Revoked && before.p != nil && before.id != e.id && v != Fork:
				t.Fatalf("entry %d fills a slot a second time: %s", e.p.Seq, v)
			case h.node.Revoked && (v == Accept || v == Replace) && !stands(e):
				t.Fatalf("entry %d does not stand, and is %s", e.p.Seq, v)
			}
		}
		for i, e := range arrivals {
			if i == revokedAfter {
				revoke()
			}
			offer(e)
		}
		revoke()
		for _, e := range slices.Backward(honest) {
			offer(e)
		}
		for _, e := range thief {
			offer(e)
		}
		for seq := uint64(1); seq <= uint64(len(honest)+len(thief)); seq++ {
			e := h.held[seq]
			inEffect := e.p != nil && Doubt(h.node, feed, seq) == ""
			want := seq <= cut.LastSeq && !slices.Contains(cut.Void, seq)
			if inEffect != want || inEffect && !stands(e) {
				t.Fatalf("entry %d: in effect %v, want %v; cut-off %d void %v, fork at %d", seq, inEffect, want, cut.LastSeq, cut.Void, at)
			}
		}
	})
}
