package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// A MessageView is a message as a person or program of this team may see it.
type MessageView struct {
	N            uint64 // arrival number at this node
	ID           protocol.Hash
	Author       protocol.TeamID
	AuthorName   string // "" if the team is not known any more
	Node         protocol.KID
	Seq          uint64
	Label        tlp.Label
	Audience     AudienceView
	Persons      []PersonView // of RED: who alone can open it
	Sealed       bool         // RED: title and content are sealed to persons, and unknown here
	To           string       // the audience in the form that Draft.Audience takes, by ids
	Arrived      uint64       // bytes of what travels apart that are here, while Complete is false
	Agreement    protocol.Hash
	Kind         string
	Title        string
	Format       string
	Name         string // of the file
	Size         uint64
	Created      time.Time
	Received     time.Time
	Urgent       bool
	Complete     bool // the whole body is here
	Supersedes   protocol.Hash
	SupersededBy protocol.Hash
	Refs         []protocol.Hash
	Held         string // the rule by which it is held back since it came; "" for most
	Quarantined  string // why it may not be shown yet; then Title is empty
	Doubt        string // why it is not believed any more though it was taken in; "" for most
}

// view applies the policy for viewing at this moment.
func (n *Node) view(m *store.Message) *MessageView {
	st := m.Statement
	v := &MessageView{N: m.N, ID: m.ID, Author: st.Author, Node: st.Node, Seq: m.Seq, Label: st.Label, Agreement: st.Audience.Agreement,
		Kind: st.Kind.String(), Title: st.Title, Format: st.Body.Format, Name: st.Body.Name, Size: st.Body.Size,
		Created: st.Clock.Time(), Received: m.Received, Urgent: st.Urgent, Complete: m.Complete, Sealed: st.Label == tlp.Red,
		Supersedes: st.Supersedes, SupersededBy: m.Superseded, Refs: st.Refs, Held: m.Held}
	n.mu.RLock()
	t, _ := n.book.Team(st.Author, n.now())
	info, _ := n.book.NodeOf(st.Author, st.Node)
	v.Audience, v.Persons, v.To = n.audienceView(st.Author, st.Audience), n.persons(st.Audience), written(st.Author, st.Audience)
	q := n.question(trust.View, st, st.Author)
	again := n.mayShow(st, m.Feed, m.Seq)
	n.mu.RUnlock()
	v.AuthorName, v.Doubt = t.Name, trust.Doubt(info, m.Feed, m.Seq)
	q.Ahead = st.Clock.Time().Sub(n.now())
	d := trust.Decide(q)
	if m.Held != "" {
		if d = again; d.Allowed {
			d = trust.Decision{Reason: "it is about to be released"}
		}
	}
	if !d.Allowed {
		v.Quarantined, v.Title, v.Name = d.Reason, "", ""
	}
	if ref := st.Outside(); ref != nil && !v.Complete {
		v.Arrived, _, _, _ = n.st.BlobHave(ref.Hash)
	}
	return v
}

// Message returns one message by its id.
func (n *Node) Message(id protocol.Hash) (*MessageView, error) {
	m, err := n.st.Message(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("message %s: %w", id.Short(), ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return n.view(m), nil
}

// FindMessage returns the id of the message whose id begins so.
func (n *Node) FindMessage(prefix string) (protocol.Hash, error) {
	id, err := n.st.FindID(prefix)
	if errors.Is(err, store.ErrNotFound) {
		return id, fmt.Errorf("no message's id begins with %.70q: %w", prefix, ErrNotFound)
	}
	return id, err
}

// OpenBody returns the exact original bytes of a message's document. The caller closes it.
func (n *Node) OpenBody(id protocol.Hash) (io.ReadSeekCloser, uint64, error) {
	v, err := n.Message(id)
	if err != nil {
		return nil, 0, err
	}
	m, err := n.st.Message(id)
	if err != nil {
		return nil, 0, err
	}
	if v.Quarantined != "" {
		return nil, 0, n.refuseView(m, &RefusedError{Rule: "view", Reason: v.Quarantined})
	}
	if v.Sealed {
		return nil, 0, &RefusedError{Rule: "person-only", Reason: "the content is sealed to persons, and this node has no key of theirs",
			Hint: "a person whom it names opens it with entente show, and their passphrase"}
	}
	if err := n.record(n.disclosures(trust.View.String(), id, []protocol.TeamID{m.Statement.Author}, m.Statement.Label,
		trust.Decision{Allowed: true, Rule: "viewed"})...); err != nil {
		return nil, 0, err
	}
	r, err := n.openBody(m)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, fmt.Errorf("the document of message %s has not arrived whole yet; it is being fetched: %w", id.Short(), ErrNotFound)
	}
	return r, m.Statement.Body.Size, err
}

// openBody opens a message's document as its author sent it: out of the ciphertext, where that is what is kept of it.
func (n *Node) openBody(m *store.Message) (io.ReadSeekCloser, error) {
	r, size, err := n.st.OpenBody(m.ID)
	b := m.Statement.Body
	if err != nil || b.Key == "" {
		return r, err
	}
	key, err := seal.ParseIdentity(b.Key)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	blob, err := seal.OpenBlob(r, int64(size), key, b.Size)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return blob, nil
}

// A SealedView is RED content as it is kept: for a person's own key, which the node never has.
type SealedView struct {
	Statement *protocol.Statement // with Content; the context that the content must name
	Blob      io.ReadSeekCloser   // the ciphertext of a large body; nil if there is none, or it has not come whole
	BlobSize  uint64
}

// refuseView logs that a message was not shown, and returns why.
func (n *Node) refuseView(m *store.Message, why *RefusedError) error {
	return errors.Join(why, n.record(n.disclosures(trust.View.String(), m.ID, []protocol.TeamID{m.Statement.Author}, m.Statement.Label,
		trust.Decision{Rule: why.Rule, Reason: why.Reason})...))
}

// Sealed returns RED content for a person to open. The caller closes Blob.
func (n *Node) Sealed(id protocol.Hash) (*SealedView, error) {
	v, err := n.Message(id)
	if err != nil {
		return nil, err
	}
	m, err := n.st.Message(id)
	if err != nil {
		return nil, err
	}
	if !v.Sealed {
		return nil, fmt.Errorf("message %s is not sealed to persons", id.Short())
	}
	if v.Quarantined != "" {
		return nil, n.refuseView(m, &RefusedError{Rule: "view", Reason: v.Quarantined})
	}
	if err := n.record(n.disclosures(trust.View.String(), id, []protocol.TeamID{m.Statement.Author}, m.Statement.Label,
		trust.Decision{Allowed: true, Rule: "handed-out-sealed"})...); err != nil {
		return nil, err
	}
	out := &SealedView{Statement: m.Statement}
	if ref := m.Statement.Blob; ref != nil {
		r, err := n.st.OpenBlob(ref.Hash)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			out.Blob, out.BlobSize = r, ref.Size
		}
	}
	return out, nil
}

// Inbox calls fn for the messages that the query selects, until it returns false. Messages that may not be shown yet are
// left out unless withQuarantined.
func (n *Node) Inbox(q store.Query, withQuarantined bool, fn func(*MessageView) bool) error {
	return n.st.Inbox(q, func(m *store.Message) bool {
		v := n.view(m)
		if v.Quarantined != "" && !withQuarantined {
			return true
		}
		return fn(v)
	})
}

// LastN returns the newest arrival number: where Watch begins for who wants only what is new.
func (n *Node) LastN() uint64 { return n.st.LastN() }

// Watch calls fn for every message that arrives after the arrival number, in order, until ctx ends or fn fails. A message
// that may not be shown yet comes when it may; who watches anew asks for its number again.
func (n *Node) Watch(ctx context.Context, after uint64, fn func(*MessageView) error) error {
	var held []uint64 // arrival numbers of what may not be shown yet
	if err := n.st.Held(func(m *store.Message) bool {
		if m.N <= after {
			held = append(held, m.N)
		}
		return len(held) < maxHeld
	}); err != nil {
		return err
	}
	for {
		wake := n.events.wait()
		still, err := n.watchHeld(held, fn)
		if err != nil {
			return err
		}
		held = still
		var failed error
		err = n.Inbox(store.Query{After: after}, true, func(v *MessageView) bool {
			after = v.N
			if v.Quarantined == "" {
				failed = fn(v)
			} else if len(held) < maxHeld {
				held = append(held, v.N)
			}
			return failed == nil && ctx.Err() == nil
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		var later <-chan time.Time
		if len(held) > 0 {
			later = time.After(time.Minute)
		}
		select {
		case <-wake:
		case <-later:
		case <-ctx.Done():
			return nil
		}
	}
}

// maxHeld bounds what one Watch remembers of messages that may not be shown yet.
const maxHeld = 4096

// watchHeld hands over what may be shown by now, and returns what is still held back.
func (n *Node) watchHeld(held []uint64, fn func(*MessageView) error) (still []uint64, err error) {
	for _, at := range held {
		var failed error
		err := n.Inbox(store.Query{After: at - 1, Limit: 1}, true, func(v *MessageView) bool {
			switch {
			case v.N != at: // forgotten meanwhile
			case v.Quarantined == "":
				failed = fn(v)
			default:
				still = append(still, at)
			}
			return false
		})
		if err := errors.Join(err, failed); err != nil {
			return nil, err
		}
	}
	return still, nil
}

// A TeamInfo is a team as this one holds it.
type TeamInfo struct {
	trust.Team
	Fingerprint string
	Nodes       []NodeView
}

// A NodeView is a node of a team, its connection and its feed.
type NodeView struct {
	KID       protocol.KID
	Name      string
	Peer      string
	Addrs     []string
	Revoked   bool
	Connected bool
	LastSeen  time.Time
	LastErr   string
	Skew      time.Duration
	Software  string
	Latency   time.Duration // 0: not measured
	Feed      FeedView
}

// A FeedView says how far a node's community messages are held, and how far the node itself said they reach.
type FeedView struct {
	Held     uint64    // messages up to here are held without a gap
	Beyond   uint64    // the newest one held
	Said     uint64    // the newest one, by the author's last signed word; 0: none seen
	SaidAt   time.Time // of that word
	Forked   bool
	Complete bool // everything that the author's last word speaks of is held
}

// Teams returns all known teams by name, the own one included.
func (n *Node) Teams() ([]TeamInfo, error) {
	n.mu.RLock()
	ts := n.book.Teams(n.now())
	n.mu.RUnlock()
	out := make([]TeamInfo, 0, len(ts))
	for _, t := range ts {
		v, err := n.teamInfo(t)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Team finds a team by name or by the beginning of its id.
func (n *Node) Team(nameOrPrefix string) (TeamInfo, error) {
	n.mu.RLock()
	t, err := n.book.Find(nameOrPrefix, n.now())
	n.mu.RUnlock()
	if err != nil {
		return TeamInfo{}, err
	}
	return n.teamInfo(t)
}

func (n *Node) teamInfo(t trust.Team) (TeamInfo, error) {
	info := TeamInfo{Team: t, Fingerprint: trust.Fingerprint(t.ID)}
	n.mu.RLock()
	nodes := n.book.Nodes(t.ID)
	n.mu.RUnlock()
	for _, ni := range nodes {
		p := peer.ID(ni.Node.Peer)
		s := n.peers.snapshot(p)
		v := NodeView{KID: ni.Node.Key.ID(), Name: ni.Node.Name, Peer: p.String(), Addrs: ni.Addrs, Revoked: ni.Revoked,
			Connected: s.greeted, LastSeen: s.lastSeen, LastErr: s.lastErr, Skew: s.skew, Software: s.software}
		if n.host != nil {
			if s.greeted && n.host.Network().Connectedness(p) == network.Connected {
				v.LastSeen = n.now()
			}
			v.Latency = n.host.Peerstore().LatencyEWMA(p)
		}
		var err error
		if v.Feed, err = n.feedView(v.KID); err != nil {
			return info, err
		}
		info.Nodes = append(info.Nodes, v)
	}
	return info, nil
}

func (n *Node) feedView(k protocol.KID) (FeedView, error) {
	feed := communityFeed(k)
	ext, held, err := n.st.Extent(feed)
	if err != nil {
		return FeedView{}, err
	}
	v := FeedView{Complete: true}
	if held {
		v.Held, v.Beyond, v.Forked = ext.Next-1, ext.Max, ext.Forked
	}
	if k == n.kid {
		v.Said, v.SaidAt = v.Beyond, n.now()
		return v, nil
	}
	_, h, err := n.st.Heads(k, protocol.TeamID{})
	if errors.Is(err, store.ErrNotFound) {
		v.Complete = false
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.SaidAt = time.Unix(int64(h.Time), 0).UTC()
	for _, f := range h.Feeds {
		if f.Feed == feed {
			v.Said = f.Seq
		}
	}
	v.Complete = v.Held >= v.Said
	return v, nil
}

// Status is the node's state at a glance.
type Status struct {
	Team      TeamInfo
	Node      protocol.KID
	Peer      string
	Listening []string
	Running   bool
	Unlock    string // where the unlock secret lies, in words
	Stopped   string // why this node does not sign; "" if it does
	Store     store.Stats
	CatchUp   Progress
	Outbox    []OutboxView
	Others    []TeamInfo
}

// Status returns the node's state.
func (n *Node) Status() (Status, error) {
	s := Status{Node: n.kid, Peer: n.peer.String(), Running: n.started.Load(), Unlock: n.ring.Where(), Stopped: n.signer.why(),
		Store: n.st.Stats(), CatchUp: n.progress.get()}
	if n.host != nil {
		for _, a := range n.host.Addrs() {
			s.Listening = append(s.Listening, a.String())
		}
	}
	ts, err := n.Teams()
	if err == nil {
		s.Outbox, err = n.Outbox()
	}
	if err != nil {
		return s, err
	}
	for _, t := range ts {
		if t.ID == n.team {
			s.Team = t
		} else {
			s.Others = append(s.Others, t)
		}
	}
	return s, nil
}

// Forks calls fn with the proofs that nodes signed two things for one place, until it returns false. Anybody who has the
// node's key can check them.
func (n *Node) Forks(fn func(protocol.ForkProof) bool) error {
	return n.st.Forks(func(_ protocol.FeedID, _ uint64, p protocol.ForkProof) bool { return fn(p) })
}

// Responsible returns which teams claim to answer for an address, domain, autonomous system or country: those with the most
// specific claim. Teams may claim the same; the answer has all of them.
func (n *Node) Responsible(query string) ([]trust.Claim, error) {
	n.mu.RLock()
	d := trust.NewDirectory(n.book.Teams(n.now()))
	n.mu.RUnlock()
	return d.Responsible(query)
}
