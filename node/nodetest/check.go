package nodetest

import (
	"context"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// A place is where one message of a node stands in its feed.
type place struct {
	node protocol.KID
	seq  uint64
}

// Check verifies what must hold at the end of every story, of every node that is up: its store is whole; no message is there
// twice, and in no place of a feed two; each fork is proved once; all that authors last said of their feeds is held; and who
// holds a place of a feed that is not forked holds the same there as all others.
func (w *World) Check() {
	w.T.Helper()
	w.look()
	all, forked := map[place]protocol.Hash{}, map[protocol.KID]bool{}
	for _, t := range w.teams {
		if t.Node != nil {
			t.checkForks(forked)
		}
	}
	for _, t := range w.teams {
		if t.Node == nil {
			continue
		}
		rep, err := t.Node.Fsck(context.Background(), false, nil)
		if err != nil {
			w.T.Fatalf("%s: fsck: %v", t.Name, err)
		}
		for _, p := range rep.Problems {
			if p.Kind != "chain" || len(forked) == 0 { // what a thief or a clone said does not chain, and stays as evidence
				w.fault("store", "%s: fsck: %v", t.Name, p)
			}
		}
		for at, id := range t.messages() {
			if was, ok := all[at]; ok && was != id && !forked[at.node] {
				w.T.Errorf("%s holds another message %d of node %s than others", t.Name, at.seq, at.node)
			}
			all[at] = id
		}
		t.checkComplete(forked)
		t.checkLog()
	}
}

// checkLetter checks that a message that is not for the community is for this team, and says what its sender said.
func (t *Team) checkLetter(v *node.MessageView) {
	w := t.w
	for _, l := range w.letters {
		if l.ID != v.ID {
			continue
		}
		switch {
		case v.Author != l.Author.ID:
			w.fault("inbox", "%s holds %s as of %s, which %s sent", t.Name, v.ID.Short(), v.AuthorName, l.Author.Name)
		case !w.reaches(l, t.ID):
			w.fault("inbox", "%s holds %s, which is not for it", t.Name, v.ID.Short())
		case v.Label != l.Label:
			w.fault("inbox", "%s holds %s as %s, and it was sent as %s", t.Name, v.ID.Short(), v.Label, l.Label)
		case v.Author != t.ID && l.Void != "" && v.Quarantined == "":
			w.fault("inbox", "%s shows %s, though when it was sent %s", t.Name, v.ID.Short(), l.Void)
		case v.Sealed && (v.Title != "" || v.Name != ""):
			w.fault("inbox", "%s knows the title of RED %s", t.Name, v.ID.Short())
		}
		return
	}
	if !w.evil(v.Node) {
		w.fault("inbox", "%s holds %s of %s, which nobody sent in this story", t.Name, v.ID.Short(), v.AuthorName)
	}
}

// checkLog verifies the disclosure log, and that it has every message that is held and stricter than GREEN.
func (t *Team) checkLog() {
	w := t.w
	if _, err := t.Node.AuditVerify(); err != nil {
		w.fault("audit", "%s: %v", t.Name, err)
	}
	logged := map[protocol.Hash]bool{}
	if err := t.Node.AuditLog(0, time.Time{}, func(e *audit.Entry) bool {
		logged[e.Object] = true
		return true
	}); err != nil {
		w.fault("audit", "%s: %v", t.Name, err)
	}
	if err := t.Node.Inbox(store.Query{WithHeld: true}, true, func(v *node.MessageView) bool {
		if v.Label > tlp.Green && !logged[v.ID] {
			w.fault("audit", "%s holds %s %s, of which its log has nothing", t.Name, v.Label, v.ID.Short())
		}
		return true
	}); err != nil {
		w.T.Fatalf("%s: inbox: %v", t.Name, err)
	}
}

// messages returns what the team holds, by its place in the feeds.
func (t *Team) messages() map[place]protocol.Hash {
	t.w.T.Helper()
	m, seen := map[place]protocol.Hash{}, map[protocol.Hash]bool{}
	if err := t.Node.Inbox(store.Query{WithHeld: true}, true, func(v *node.MessageView) bool {
		at := place{v.Node, v.Seq}
		if seen[v.ID] {
			t.w.T.Errorf("%s holds message %s twice", t.Name, v.ID.Short())
		}
		seen[v.ID] = true
		if v.Audience.Kind != "community" {
			t.checkLetter(v)
			return true
		}
		if _, ok := m[at]; ok {
			t.w.T.Errorf("%s holds two messages %d of node %s", t.Name, v.Seq, v.Node)
		}
		if v.Label > tlp.Green {
			t.w.T.Errorf("%s holds a %s message in the community", t.Name, v.Label)
		}
		m[at] = v.ID
		return true
	}); err != nil {
		t.w.T.Fatalf("%s: inbox: %v", t.Name, err)
	}
	return m
}

// checkForks verifies the proofs that the team keeps, as somebody would who was handed them, and notes whose they are.
func (t *Team) checkForks(forked map[protocol.KID]bool) {
	t.w.T.Helper()
	ts, err := t.Node.Teams()
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	proved := map[protocol.KID]int{}
	if err := t.Node.Forks(func(p protocol.ForkProof) bool {
		a, err := protocol.Decode[protocol.Parcel](p.A)
		if err != nil {
			t.w.T.Fatalf("%s keeps a proof that cannot be read: %v", t.Name, err)
		}
		proved[a.Node]++
		for _, key := range certified(ts) {
			if key.ID() == a.Node {
				if err := p.Check(protocol.UseNode, key); err != nil {
					t.w.T.Errorf("%s keeps a proof that proves nothing: %v", t.Name, err)
				}
				return true
			}
		}
		t.w.T.Errorf("%s keeps a proof against nobody", t.Name)
		return true
	}); err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	for _, team := range ts {
		for _, n := range team.Nodes {
			if n.Feed.Forked && proved[n.KID] != 1 {
				t.w.T.Errorf("%s knows of a fork of %s and has %d proofs of it", t.Name, team.Name, proved[n.KID])
			}
			if n.Feed.Forked {
				forked[n.KID] = true
			}
		}
	}
}

// certified returns the keys of all nodes that teams ever certified.
func certified(ts []node.TeamInfo) (keys []protocol.PublicKey) {
	for _, t := range ts {
		if t.Manifest == nil {
			continue
		}
		for _, n := range t.Manifest.Nodes {
			keys = append(keys, n.Key)
		}
		for _, r := range t.Manifest.Revoked {
			keys = append(keys, r.Node.Key)
		}
	}
	return keys
}

// checkComplete waits until the team has all of which it heard an author's word.
func (t *Team) checkComplete(forked map[protocol.KID]bool) {
	t.w.T.Helper()
	lacks := func() string {
		ts, err := t.Node.Teams()
		if err != nil {
			return err.Error()
		}
		for _, team := range ts {
			if team.State != trust.Introduced && team.State != trust.Verified {
				continue
			}
			for _, n := range team.Nodes {
				if n.Feed.Said > n.Feed.Held && !n.Revoked && !forked[n.KID] && !t.w.liar(n.KID) {
					return team.Name
				}
			}
		}
		return ""
	}
	t.w.Until(t.Name+" has all that authors spoke of", func() bool { return lacks() == "" })
}

// liar reports whether somebody has the key who means harm.
func (w *World) liar(k protocol.KID) bool {
	for _, t := range w.teams {
		if t.peer != nil && t.peer.Key.Public().ID() == k {
			return true
		}
	}
	return false
}
