package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/gossip"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// What is wrong with a parcel decides who is to blame for handing it over.
var (
	errNotOurs = errors.New("the author is not in this team's community") // nobody's fault
	errDenied  = errors.New("policy refuses it")                          // the forwarder should have refused it too
)

// An arrival is a verified parcel on its way to the store.
type arrival struct {
	entry store.Entry
	from  peer.ID
}

// errHeld says that this very parcel is held.
var errHeld = errors.New("held already")

// openParcel verifies one parcel wholly: encoding, author, signatures, audience, label. What it returns may be stored, and if
// it is for the community relayed. An error that wraps none of errNotOurs, errDenied, errHeld and errKeeping is the fault of
// who handed it over.
func (n *Node) openParcel(raw []byte, via string) (incoming, error) {
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
	if err != nil {
		return incoming{}, err
	}
	return n.openEnvelope(env, raw, via)
}

func (n *Node) openEnvelope(env *protocol.Envelope, raw []byte, via string) (incoming, error) {
	p, err := protocol.Decode[protocol.Parcel](env)
	if err != nil {
		return incoming{}, err
	}
	info, state := n.author(p.Team, p.Node)
	if info.Team.IsZero() {
		return incoming{}, fmt.Errorf("%w: its node key is unknown here", errNotOurs)
	}
	if err := env.VerifyNode(info.Node.Key); err != nil {
		return incoming{}, err
	}
	if p.Sealed {
		if n.known(env, p) {
			return incoming{}, errHeld
		}
		return n.openSealed(env, raw, p, info, via)
	}
	stEnv, st, err := p.OpenCommunity(info.Node.Key)
	if err != nil {
		return incoming{}, err
	}
	own := p.Team == n.team
	if d := trust.Decide(trust.Question{Action: trust.Receive, Label: st.Label, Audience: st.Audience.Kind, Peer: state, Self: own}); !d.Allowed {
		if !mayAuthor(state, own) {
			return incoming{}, fmt.Errorf("%w: %s", errNotOurs, d.Rule)
		}
		return incoming{}, fmt.Errorf("%w: %s", errDenied, d.Rule)
	}
	return incoming{Entry: store.Entry{Envelope: env, Raw: raw, Parcel: p, StatementID: stEnv.ID(), Statement: st, Tag: protocol.Channel{}.Tag(),
		Node: info, Via: via}}, nil
}

// author returns what is known of a node of a team, and how the team is held; the zero NodeInfo if it is not the team's.
func (n *Node) author(team protocol.TeamID, k protocol.KID) (trust.NodeInfo, trust.State) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	info, ok := n.book.NodeOf(team, k)
	if !ok {
		return trust.NodeInfo{}, trust.Unknown
	}
	return info, n.states[team]
}

func communityFeed(k protocol.KID) protocol.FeedID {
	return protocol.FeedOf(k, protocol.Channel{})
}

// The widest and the narrowest label that the community may carry; for questions about a whole feed.
const (
	openest = tlp.Clear
	closest = tlp.Green
)

// validate is the community topic's validator: nothing is relayed that was not verified here first. Reject is for what the
// forwarder should not have passed on; Ignore for what is of no use here.
func (n *Node) validate(_ context.Context, from peer.ID, data []byte) gossip.Verdict {
	if from == n.peer {
		return gossip.Accept
	}
	env, err := protocol.DecodeEnvelope(data, protocol.MaxRecord)
	if err != nil {
		return gossip.Reject
	}
	switch env.Type {
	case protocol.TypeParcel:
		return n.validateParcel(env, data, from)
	case protocol.TypeHeads:
		return n.validateHeads(env, from)
	case protocol.TypeStatement:
		return gossip.Reject
	case protocol.TypeAddress:
		a, err := protocol.Decode[protocol.Address](env)
		if err != nil {
			return gossip.Reject
		}
		info, _ := n.author(a.Team, a.Node)
		if info.Team.IsZero() {
			n.engine.PeerReady(from) // it came before the manifest that lists its node; see below
			return gossip.Ignore
		}
		if env.VerifyNode(info.Node.Key) != nil {
			return gossip.Reject
		}
		if n.knowsAddress(a) || !n.said.take(a.Node.String(), n.now()) {
			return gossip.Ignore
		}
	}
	if !n.handed.take(string(from), n.now()) {
		return gossip.Ignore
	}
	res, err := n.takeRecords(env)
	switch {
	case err != nil:
		n.log.Error("keeping an identity record", "err", err)
		return gossip.Ignore
	case blames(res[0].Err):
		return gossip.Reject
	case errors.Is(res[0].Err, trust.ErrMissing):
		n.engine.PeerReady(from) // it overtook what it builds on; the topic will not bring it again, so it is fetched
		return gossip.Ignore
	case !res[0].Added || !n.spreadable(env):
		return gossip.Ignore
	}
	return gossip.Accept
}

func (n *Node) validateParcel(env *protocol.Envelope, data []byte, from peer.ID) gossip.Verdict {
	if p, err := protocol.Decode[protocol.Parcel](env); err != nil || p.Sealed {
		return gossip.Reject // what is sealed is never for the topic
	}
	in, err := n.openEnvelope(env, data, from.String())
	switch {
	case errors.Is(err, errNotOurs):
		return gossip.Ignore
	case err != nil:
		return gossip.Reject
	}
	e := in.Entry
	if n.extents.has(e.Parcel.Feed, e.Parcel.Seq) || n.extents.forked(e.Parcel.Feed) {
		return gossip.Ignore // of a feed with two branches, what belongs is found by comparing with others
	}
	if e.Node.Revoked {
		return gossip.Ignore // what it said before its cut-off is fetched, where the chain can be checked
	}
	select {
	case n.intake <- arrival{entry: e, from: from}:
	default:
		n.engine.Poke(e.Parcel.Feed, from) // full: fetched a little later
	}
	return gossip.Accept
}

func (n *Node) validateHeads(env *protocol.Envelope, from peer.ID) gossip.Verdict {
	if h, err := protocol.Decode[protocol.Heads](env); err != nil || !h.For.IsZero() {
		return gossip.Reject // what is for one team is never for the topic
	}
	h, news, err := n.takeHeads(env)
	switch {
	case errors.Is(err, errNotOurs):
		return gossip.Ignore
	case err != nil:
		return gossip.Reject
	case !news && !n.reached(h):
		n.engine.Heard(h, from)
		return gossip.Ignore
	case !news:
		return gossip.Ignore
	}
	n.engine.Heard(h, from)
	return gossip.Accept
}

// reached reports whether everything is held that the heads speak of.
func (n *Node) reached(h *protocol.Heads) bool {
	for _, f := range h.Feeds {
		if !n.extents.has(f.Feed, f.Seq) {
			return false
		}
	}
	return true
}

// takeHeads verifies an author's word on its feeds and keeps it if it is newer than the last one.
func (n *Node) takeHeads(env *protocol.Envelope) (h *protocol.Heads, news bool, err error) {
	h, err = protocol.Decode[protocol.Heads](env)
	if err != nil {
		return nil, false, err
	}
	info, state := n.author(h.Team, h.Node)
	if info.Team.IsZero() || info.Revoked || !mayAuthor(state, h.Team == n.team) && !n.inRoom(h.For, h.Team) {
		return nil, false, errNotOurs
	}
	if err := env.VerifyNode(info.Node.Key); err != nil {
		return nil, false, err
	}
	if h.Node == n.kid {
		return h, false, nil // our own word, come back
	}
	_, last, err := n.st.Heads(h.Node, h.For)
	if err != nil && !errors.Is(err, store.ErrNotFound) || err == nil && last.N >= h.N {
		return h, false, err
	}
	if !n.said.take(h.Node.String()+h.For.Short(), n.now()) {
		return nil, false, errNotOurs
	}
	if err := n.st.PutHeads(env, h); err != nil {
		return h, false, err
	}
	return h, true, n.beginLater(h)
}

// beginLater ends the wait for what an author, by its signed heads, keeps no more. A feed of which nothing is held yet is
// looked at again when its first entry comes.
func (n *Node) beginLater(h *protocol.Heads) error {
	for _, f := range h.Feeds {
		ext, held, err := n.st.Extent(f.Feed)
		if err != nil {
			return err
		}
		if !held || ext.Node != h.Node || f.First <= ext.Next {
			continue
		}
		if err := n.st.SetFirst(f.Feed, f.First); err != nil {
			return err
		}
		n.extents.refresh(n.st, f.Feed)
	}
	return nil
}

// ingestLoop stores what gossip brought, in batches that share one sync of the disk.
func (n *Node) ingestLoop(ctx context.Context) {
	const batch = 256
	for {
		var as []arrival
		select {
		case a := <-n.intake:
			as = append(as, a)
		case <-ctx.Done():
			return
		}
	fill:
		for len(as) < batch {
			select {
			case a := <-n.intake:
				as = append(as, a)
			default:
				break fill
			}
		}
		entries := make([]store.Entry, len(as))
		for i, a := range as {
			entries[i] = a.entry
		}
		out, err := n.accept(entries)
		if err != nil {
			n.log.Error("messages were not stored; they will be fetched again", "count", len(as), "err", err)
			continue
		}
		for i, o := range out {
			if p := as[i].entry.Parcel; o.Verdict == trust.Accept && n.extents.gapBefore(p.Feed, p.Seq) {
				n.engine.Poke(p.Feed, as[i].from)
			}
		}
	}
}

// accept stores verified entries and tells everybody who waits for news.
func (n *Node) accept(entries []store.Entry) ([]store.Outcome, error) {
	out, err := n.st.Accept(entries)
	n.trouble.set(err)
	if errors.Is(err, store.ErrBroken) {
		n.breakOnce.Do(func() { close(n.broken) })
	}
	if err != nil {
		return nil, err
	}
	news := false
	fresh := map[protocol.FeedID]bool{}
	for _, e := range entries {
		if f := e.Parcel.Feed; !fresh[f] {
			fresh[f] = true
			n.extents.refresh(n.st, f)
			if n.extents.gapBefore(f, e.Parcel.Seq) {
				if _, h, err := n.st.Heads(e.Parcel.Node, n.headsFor(e.Parcel)); err == nil {
					n.trouble.set(n.beginLater(h))
				}
			}
		}
	}
	for i, o := range out {
		p := entries[i].Parcel
		switch {
		case o.Err != nil:
			n.log.Error("a message was refused by the store", "team", p.Team.Short(), "seq", p.Seq, "err", o.Err)
		case o.Verdict == trust.Accept || o.Verdict == trust.Replace:
			news = true
			if p.Node == n.kid && entries[i].Via != "" {
				n.ownFeedMoved()
			}
			if p.Blob != nil && n.engine != nil {
				n.engine.PokeBlobs()
			}
		case o.Verdict == trust.Fork:
			n.log.Warn("two different messages for one place in a feed; the first one seen stands",
				"team", p.Team.Short(), "node", p.Node, "seq", p.Seq)
			if p.Node == n.kid {
				n.ownFeedMoved()
			}
		}
	}
	if news {
		n.events.notify()
		n.dirty.notify()
	}
	if news && slices.ContainsFunc(entries, func(e store.Entry) bool { return e.Parcel.Sealed && !e.Link && e.Via != "" }) {
		n.owe()
	}
	return out, nil
}

// headsFor returns for which team or room the heads are that speak of a parcel's feed.
func (n *Node) headsFor(p *protocol.Parcel) (to protocol.Hash) {
	switch f, ok := n.feed(p.Feed); {
	case !ok || f.channel.IsCommunity():
	case !f.channel.Room().IsZero():
		to = f.channel.Room()
	case p.Team == n.team:
		to = f.channel.Other(n.team)
	default:
		to = n.team
	}
	return to
}

// ownFeedMoved judges anew whether this node may sign, after somebody handed over an entry of its own feed.
func (n *Node) ownFeedMoved() {
	if err := n.signer.reconsider(n); err != nil {
		n.log.Error("judging whether this node may sign", "err", err)
	}
}

// extentCache remembers how far each feed is held, for the validator, which must not wait for the disk.
type extentCache struct {
	mu sync.RWMutex
	m  map[protocol.FeedID]store.Extent // guarded by mu
}

// refresh reads the feed's extent from the store.
func (c *extentCache) refresh(st *store.Store, f protocol.FeedID) {
	e, ok, err := st.Extent(f)
	if err == nil && ok {
		c.put(e)
	}
}

func (c *extentCache) put(e store.Extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[protocol.FeedID]store.Extent{}
	}
	c.m[e.Feed] = e
}

// has reports whether the entry is known to be held. No is not certain above the first gap.
func (c *extentCache) has(f protocol.FeedID, seq uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return seq < c.m[f].Next
}

// forked reports whether the node said two things in one place.
func (c *extentCache) forked(f protocol.FeedID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[f].Forked
}

// gapBefore reports whether something before the entry is missing.
func (c *extentCache) gapBefore(f protocol.FeedID, seq uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return seq >= c.m[f].Next
}

// trouble remembers the error of the last attempt to store something, for doctor.
type trouble struct {
	mu  sync.Mutex
	err error // guarded by mu
}

func (t *trouble) set(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

func (t *trouble) get() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
