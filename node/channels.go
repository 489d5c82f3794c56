package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/trust"
)

// channels returns the channels that a statement of this team goes through: one for each team that it is for.
func (n *Node) channels(st *protocol.Statement) []protocol.Channel {
	if st.Audience.Kind == protocol.Community {
		return []protocol.Channel{{}}
	}
	var out []protocol.Channel
	for _, t := range st.Audience.Teams {
		out = append(out, protocol.Between(n.team, t, st.Audience.Agreement))
	}
	return out
}

// A feedOf says whose feed it is and what for.
type feedOf struct {
	team    protocol.TeamID
	node    protocol.KID
	channel protocol.Channel
}

// channels is what is cached of feeds in which this node takes part: the community's of every known node, and, between this
// team and each other, those without an agreement and of each agreement. Nobody else's are known here.
type channelTable struct {
	pairs map[protocol.TeamID][]protocol.Channel // by the other team
	feeds map[protocol.FeedID]feedOf
	tags  map[protocol.Hash]protocol.Channel
}

// refreshChannels remakes the table. n.mu is held.
func (n *Node) refreshChannels() {
	c := channelTable{pairs: map[protocol.TeamID][]protocol.Channel{}, feeds: map[protocol.FeedID]feedOf{},
		tags: map[protocol.Hash]protocol.Channel{protocol.Channel{}.Tag(): {}}}
	teams := n.book.Teams(n.now())
	for _, t := range teams {
		if t.ID != n.team {
			c.pairs[t.ID] = []protocol.Channel{protocol.Between(n.team, t.ID, protocol.Hash{})}
		}
	}
	for _, a := range n.book.Agreements(n.now()) {
		if !n.pastKeeping(a) {
			c.pairs[a.Partner] = append(c.pairs[a.Partner], a.Agreement.Channel(a.ID))
		}
	}
	own := n.book.Nodes(n.team)
	for _, t := range teams {
		theirs := n.book.Nodes(t.ID)
		for _, ch := range append([]protocol.Channel{{}}, c.pairs[t.ID]...) {
			c.tags[ch.Tag()] = ch
			for _, info := range theirs {
				k := info.Node.Key.ID()
				c.feeds[protocol.FeedOf(k, ch)] = feedOf{t.ID, k, ch}
			}
			for _, info := range own {
				k := info.Node.Key.ID()
				c.feeds[protocol.FeedOf(k, ch)] = feedOf{n.team, k, ch}
			}
		}
	}
	n.channelsKnown = c
}

// feed returns what a feed is for, if this node takes part in it.
func (n *Node) feed(f protocol.FeedID) (feedOf, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	x, ok := n.channelsKnown.feeds[f]
	return x, ok
}

// ownFeeds returns the feeds in which this node speaks to a team. n.mu is held for reading.
func (n *Node) ownFeeds(team protocol.TeamID) []protocol.FeedID {
	var out []protocol.FeedID
	for _, c := range n.channelsKnown.pairs[team] {
		out = append(out, protocol.FeedOf(n.kid, c))
	}
	return out
}

// mayHave says whether a team may now be given what is in a channel.
func (n *Node) mayHave(team protocol.TeamID, c protocol.Channel) bool {
	if testOnlyMayHave != nil && testOnlyMayHave(team, c) {
		return true
	}
	if !c.IsCommunity() && (!c.Joins(n.team) || team != n.team && !c.Joins(team)) {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.mayPass(trust.Serve, team, c)
}

// mayPass asks the policy about everything in a channel at once: each entry was judged when it was composed, so that only the
// states of the team and of the agreement are left to ask for. n.mu is held for reading.
func (n *Node) mayPass(action trust.Action, team protocol.TeamID, c protocol.Channel) bool {
	if c.IsCommunity() {
		return trust.Decide(trust.Question{Action: action, Label: closest, Audience: protocol.Community, Peer: n.states[team], Self: team == n.team}).Allowed
	}
	aud := protocol.Audience{Kind: protocol.Direct, Teams: []protocol.TeamID{c.Other(n.team)}}
	if id := c.Agreement(); !id.IsZero() && action == trust.Serve {
		aud.Kind, aud.Agreement = protocol.InAgreement, id
	}
	return trust.Decide(n.book.Ask(action, openest, aud, team, n.now())).Allowed
}

// question asks trust about the statement and a team: its author, or one that would read it. n.mu is held for reading.
func (n *Node) question(action trust.Action, st *protocol.Statement, team protocol.TeamID) trust.Question {
	q := n.book.Ask(action, st.Label, st.Audience, team, n.now())
	q.Control = !st.Kind.ForPeople()
	if testOnlyQuestion != nil {
		testOnlyQuestion(&q)
	}
	return q
}

// A recipientCache keeps parsed recipients, since parsing one takes half as long as sealing to it.
type recipientCache struct {
	mu sync.Mutex
	m  map[string]seal.Recipient // guarded by mu; at most maxRecipients
}

const maxRecipients = 1024

func (c *recipientCache) parse(s string) (seal.Recipient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.m[s]; ok {
		return r, nil
	}
	r, err := seal.ParseRecipient(s)
	if err != nil {
		return r, err
	}
	if c.m == nil || len(c.m) >= maxRecipients {
		c.m = map[string]seal.Recipient{}
	}
	c.m[s] = r
	return r, nil
}

// sealTo seals an encoded statement to the current nodes of a team.
func (n *Node) sealTo(team protocol.TeamID, inner []byte) ([]byte, error) {
	n.mu.RLock()
	to := n.book.RecipientsOf(team)
	n.mu.RUnlock()
	var rs []seal.Recipient
	for _, t := range to {
		r, err := n.recipients.parse(t.Recipient)
		if err != nil {
			return nil, fmt.Errorf("team %s: %w", team.Short(), err)
		}
		rs = append(rs, r)
	}
	if len(rs) == 0 {
		return nil, fmt.Errorf("team %s has no node to which anything could be sealed", team.Short())
	}
	if testOnlySeal != nil {
		return testOnlySeal(team, inner, rs)
	}
	return seal.SealSmall(inner, rs...)
}

// sealContent replaces title and body by what only the persons can open.
func (n *Node) sealContent(st *protocol.Statement, persons []string) error {
	st.Author, st.Node = n.team, n.kid
	c := protocol.Content{Context: st.Context(), Title: st.Title, Body: st.Body}
	plain, err := c.Encode()
	if err != nil {
		return err
	}
	defer clear(plain)
	var rs []seal.Recipient
	for _, p := range persons {
		r, err := seal.ParseRecipient(p)
		if err != nil {
			return err
		}
		rs = append(rs, r)
	}
	if st.Content, err = seal.SealSmall(plain, rs...); err != nil {
		return err
	}
	if testOnlyContent != nil {
		st.Content = testOnlyContent(plain, st.Content)
	}
	st.Title, st.Body = "", protocol.Body{}
	return nil
}

// A sealedFile is a large document on its way into the store, sealed to a key of its own. Its file holds ciphertext alone.
type sealedFile struct {
	f   *os.File
	key seal.Identity
	w   io.WriteCloser // seals into f and sum
	sum hash.Hash
}

func (n *Node) newSealedFile(size uint64) (*sealedFile, error) {
	dir := outDir(n.cfg.Home)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := seal.NewBlobKey()
	if err != nil {
		return nil, err
	}
	s := &sealedFile{key: key, sum: sha256.New()}
	if s.f, err = os.CreateTemp(dir, "sealed-*"); err != nil {
		return nil, err
	}
	if s.w, err = seal.SealBlob(io.MultiWriter(s.f, s.sum), key, size); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func outDir(home string) string { return filepath.Join(home, "out") }

func (s *sealedFile) Write(b []byte) (int, error) { return s.w.Write(b) }

// keep puts the ciphertext into the store, under the channel's tag.
func (s *sealedFile) keep(n *Node, tag protocol.Hash) (*protocol.BlobRef, error) {
	if err := s.w.Close(); err != nil {
		return nil, err
	}
	size, err := s.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	ref := protocol.BlobRef{Size: uint64(size), Hash: protocol.Hash(s.sum.Sum(nil))}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	w, err := n.st.StageBlob(ref, tag)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, s.f, make([]byte, 256<<10)); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return &ref, w.Commit()
}

func (s *sealedFile) remove() {
	_ = s.f.Close()
	_ = os.Remove(s.f.Name())
}
