package trust

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/entente-network/entente/protocol"
)

// A Link is a root record as far as Resolve cares: its place in the log and the authority that signed it.
type Link struct {
	ID     protocol.Hash
	Parent protocol.Hash // zero in the first record
	Rank   protocol.Path // greater outranks lower
}

// Resolve says which branch of a root log counts: from the first record on, always the child whose subtree holds the record
// of the highest rank. If several children are equal in that, the log is disputed at their parent, which is then the head.
// path runs from the first record to the head.
//
// The subtree decides, not the child's own rank: otherwise a stolen key of middle rank that signs on an old record would
// beat everything that the highest rank signed further down the true branch. So a later sealed record defuses all earlier
// root keys, and two sealed records that reveal the same commitment are always a tie.
//
// The answer is a function of the set of links: order and repetition do not matter. Links that do not descend from the first
// record are ignored. Without exactly one first record the head is zero and the log is disputed.
func Resolve(links []Link) (head protocol.Hash, disputed bool, path []protocol.Hash) {
	links = slices.Clone(links)
	slices.SortFunc(links, func(a, b Link) int {
		return cmp.Or(bytes.Compare(a.ID[:], b.ID[:]), bytes.Compare(a.Parent[:], b.Parent[:]), cmp.Compare(a.Rank, b.Rank))
	})
	links = slices.CompactFunc(links, func(a, b Link) bool { return a.ID == b.ID })

	children := map[protocol.Hash][]int{}
	for i, l := range links {
		children[l.Parent] = append(children[l.Parent], i)
	}
	first := children[protocol.Hash{}]
	if len(first) != 1 || links[first[0]].ID.IsZero() {
		return protocol.Hash{}, true, nil
	}

	// A record comes before its descendants in order. Backwards through it, each subtree is weighed before its parent's.
	order := []int{first[0]}
	for i := 0; i < len(order); i++ {
		order = append(order, children[links[order[i]].ID]...)
	}
	weight := make([]protocol.Path, len(links))
	for _, i := range slices.Backward(order) {
		weight[i] = links[i].Rank
		for _, c := range children[links[i].ID] {
			weight[i] = max(weight[i], weight[c])
		}
	}

	for at := first[0]; ; {
		head = links[at].ID
		path = append(path, head)
		kids := children[head]
		if len(kids) == 0 {
			return head, false, path
		}
		heaviest := slices.MaxFunc(kids, func(a, b int) int { return cmp.Compare(weight[a], weight[b]) })
		ties := 0
		for _, k := range kids {
			if weight[k] == weight[heaviest] {
				ties++
			}
		}
		if ties > 1 {
			return head, true, path
		}
		at = heaviest
	}
}
