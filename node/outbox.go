package node

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// An OutboxView says how many of the newest messages for a team are not known to have arrived there.
type OutboxView struct {
	Team     protocol.TeamID
	TeamName string
	Waiting  uint64
	Held     uint64 // of those, that arrived and are held back there
	Withheld uint64 // of those, that this node does not hand over: their agreement is not in effect
	Oldest   time.Time
}

// outboxLooks bounds the messages that are looked at, the newest first.
const outboxLooks = 2000

// eachSent calls fn for at most limit messages of this team, the newest first, that are for single teams, and each of those. has says whether the team gave a receipt of a state.
func (n *Node) eachSent(limit int, fn func(m *store.Message, team protocol.TeamID, has func(protocol.ReceiptState) bool)) error {
	var failed error
	err := n.st.Inbox(store.Query{From: n.team, Newest: true, Limit: limit}, func(m *store.Message) bool {
		if m.Statement.Audience.Kind == protocol.Community {
			return true
		}
		var rs []store.ReceiptRec
		if rs, failed = n.st.Receipts(m.ID); failed != nil {
			return false
		}
		for _, t := range m.Statement.Audience.Teams {
			fn(m, t, func(s protocol.ReceiptState) bool {
				return slices.ContainsFunc(rs, func(r store.ReceiptRec) bool { return r.Team == t && r.Receipt.State == s })
			})
		}
		return true
	})
	return errors.Join(err, failed)
}

// Outbox says, for each team, what this team sent to it and it has given no receipt for.
func (n *Node) Outbox() ([]OutboxView, error) {
	n.mu.RLock()
	resting := map[protocol.Hash]bool{} // agreements that are not in effect
	for _, a := range n.book.Agreements(n.now()) {
		resting[a.ID] = a.State != trust.Active
	}
	n.mu.RUnlock()
	waiting := map[protocol.TeamID]*OutboxView{}
	err := n.eachSent(outboxLooks, func(m *store.Message, t protocol.TeamID, has func(protocol.ReceiptState) bool) {
		if has(protocol.Stored) || n.receipting(m.Statement) < protocol.ReceiptsStored {
			return
		}
		v := waiting[t]
		if v == nil {
			v = &OutboxView{Team: t, Oldest: m.Received}
			waiting[t] = v
		}
		if m.Received.Before(v.Oldest) {
			v.Oldest = m.Received
		}
		v.Waiting++
		switch {
		case has(protocol.HeldBack):
			v.Held++
		case resting[m.Statement.Audience.Agreement]:
			v.Withheld++
		}
	})
	if err != nil {
		return nil, err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	var out []OutboxView
	for _, v := range waiting {
		if t, ok := n.book.Team(v.Team, n.now()); ok {
			v.TeamName = t.Name
		}
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b OutboxView) int { return strings.Compare(a.TeamName, b.TeamName) })
	return out, nil
}
