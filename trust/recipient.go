package trust

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol"
)

// recipient is what a node last named for itself.
type recipient struct {
	id protocol.Hash
	*protocol.NodeRecipient
}

// NodeSealTo names a node and the recipient that is sealed to for it.
type NodeSealTo struct {
	Node      protocol.KID
	Recipient string
}

// RecipientsOf returns the current nodes of a team that name a recipient, by key: the newest that the node itself named, or
// else the manifest's.
func (b *Book) RecipientsOf(team protocol.TeamID) []NodeSealTo {
	t := b.teams[team]
	if t == nil {
		return nil
	}
	var out []NodeSealTo
	for kid, n := range t.listed {
		to := n.Recipient
		if r := t.recips[kid]; r != nil {
			to = r.Recipient
		}
		if n.revoked == nil && to != "" {
			out = append(out, NodeSealTo{kid, to})
		}
	}
	slices.SortFunc(out, func(x, y NodeSealTo) int { return bytes.Compare(x.Node[:], y.Node[:]) })
	return out
}

// Operators returns the persons of a team to whom RED can be sealed, by name: those of the manifest that counts, and none if
// it is signed under a root record that does not, or has a rival. Whether it is expired is for the team's State.
func (b *Book) Operators(team protocol.TeamID) []protocol.Operator {
	t := b.teams[team]
	if t == nil {
		return nil
	}
	m := t.best()
	if m == nil || t.disputed || t.rivals() || t.standing(m) != valid {
		return nil
	}
	return slices.SortedFunc(slices.Values(m.Operators), func(x, y protocol.Operator) int { return strings.Compare(x.Name, y.Name) })
}

// addRecipient takes in the recipient of a node. The greatest sequence number counts, and of two with one number the lower id.
func (b *Book) addRecipient(e *protocol.Envelope) (bool, []protocol.Hash, error) {
	pr, err := protocol.Decode[protocol.NodeRecipient](e)
	if err != nil {
		return false, nil, err
	}
	t, err := b.known(pr.Team)
	if err != nil {
		return false, nil, err
	}
	r := &recipient{e.ID(), pr}
	old := t.recips[r.Node]
	if old != nil && old.id == r.id {
		return false, nil, nil
	}
	n, ok := t.listed[r.Node]
	switch {
	case !ok:
		return false, nil, fmt.Errorf("%w: the manifest of team %s that lists node %s", ErrMissing, r.Team.Short(), r.Node)
	case n.revoked != nil:
		return false, nil, fmt.Errorf("%w: recipient of node %s of team %s: the node is revoked", ErrOverruled, r.Node, r.Team.Short())
	}
	if err := e.VerifyNode(n.Key); err != nil {
		return false, nil, err
	}
	if old != nil && cmp.Or(cmp.Compare(old.Seq, r.Seq), bytes.Compare(r.id[:], old.id[:])) >= 0 {
		return false, []protocol.Hash{r.id}, nil
	}
	t.recips[r.Node] = r
	if old != nil {
		return true, []protocol.Hash{old.id}, nil
	}
	return true, nil, nil
}
