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
	Seq       uint64 // of the node's own record; 0 where the manifest's recipient counts
}

// The forms of recipients to which anything can be sealed, in characters. Whether the key in one is good shows when it is used.
const (
	hybridPrefix, hybridLen     = "age1pq1", 1959
	hardwarePrefix, hardwareLen = "age1tagpq1", 2015
)

// forNodes reports whether text can be a node's recipient: a node's key is never one in hardware.
func forNodes(text string) bool {
	return len(text) == hybridLen && strings.HasPrefix(text, hybridPrefix)
}

// forPersons reports whether text can be an operator's recipient.
func forPersons(text string) bool {
	return forNodes(text) || len(text) == hardwareLen && strings.HasPrefix(text, hardwarePrefix)
}

// RecipientsOf returns the current nodes of a team that name a recipient, by key: the newest that the node itself named, or
// else the manifest's. A text of a manifest that cannot be one is left out.
func (b *Book) RecipientsOf(team protocol.TeamID) []NodeSealTo {
	t := b.teams[team]
	if t == nil {
		return nil
	}
	var out []NodeSealTo
	for kid, n := range t.listed {
		to := NodeSealTo{kid, n.Recipient, 0}
		if r := t.recips[kid]; r != nil {
			to.Recipient, to.Seq = r.Recipient, r.Seq
		}
		if n.revoked == nil && forNodes(to.Recipient) {
			out = append(out, to)
		}
	}
	slices.SortFunc(out, func(x, y NodeSealTo) int { return bytes.Compare(x.Node[:], y.Node[:]) })
	return out
}

// Operators returns the persons of a team to whom RED can be sealed, by name: those of the manifest that counts, and none if
// it is signed under a root record that does not, or has a rival. Whether it is expired is for the team's State. One whose
// recipient can be none is left out.
func (b *Book) Operators(team protocol.TeamID) []protocol.Operator {
	t := b.teams[team]
	if t == nil {
		return nil
	}
	m := t.best()
	if m == nil || t.disputed || t.rivals() || t.standing(m) != valid {
		return nil
	}
	able := slices.DeleteFunc(slices.Clone(m.Operators), func(o protocol.Operator) bool { return !forPersons(o.Recipient) })
	return slices.SortedFunc(slices.Values(able), func(x, y protocol.Operator) int { return strings.Compare(x.Name, y.Name) })
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
	if !forNodes(pr.Recipient) {
		return false, nil, fmt.Errorf("recipient of node %s of team %s: nothing can be sealed to it", pr.Node, pr.Team.Short())
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
