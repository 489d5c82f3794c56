package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// exchange is what the node gives to and takes from peers that catch up: the catchup.Backend. What is given to whom is
// asked of trust each time.
type exchange struct{ n *Node }

var _ catchup.Backend = exchange{}

// Admits implements catchup.Backend.
func (x exchange) Admits(p peer.ID) bool { return x.n.admits(p) }

// Extents implements catchup.Feeds: the feeds held, and those of nodes that have not spoken yet or were never heard.
func (x exchange) Extents() ([]catchup.Extent, error) {
	held, err := x.n.st.Extents()
	if err != nil {
		return nil, err
	}
	out := make([]catchup.Extent, 0, len(held))
	for _, e := range held {
		c, err := x.extent(e)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// Extent implements catchup.Feeds.
func (x exchange) Extent(f protocol.FeedID) (catchup.Extent, bool, error) {
	e, ok, err := x.n.st.Extent(f)
	if err != nil || !ok {
		return catchup.Extent{}, false, err
	}
	c, err := x.extent(e)
	return c, true, err
}

func (x exchange) extent(e store.Extent) (catchup.Extent, error) {
	c := catchup.Extent{Team: e.Team, Node: e.Node, Feed: e.Feed, First: e.First, Next: e.Next, Head: e.Head, Max: e.Max, Forked: e.Forked}
	if e.Max < e.Next {
		return c, x.unchained(&c)
	}
	gaps, err := x.n.st.Missing(e.Feed, catchup.MaxGaps)
	if err != nil {
		return c, err
	}
	for _, g := range gaps {
		c.Gaps = append(c.Gaps, catchup.Span{From: g.From, To: g.To + 1})
	}
	return c, x.unchained(&c)
}

// Follow implements catchup.Feeds: the feeds of nodes of teams that may speak here, for the community, this team, or a room of
// its, and this team's own.
func (x exchange) Follow(team protocol.TeamID, k protocol.KID, f protocol.FeedID) catchup.Follow {
	info, state := x.n.author(team, k)
	of, ok := x.n.feed(f)
	if info.Team.IsZero() || !ok || of.team != team || of.node != k {
		return catchup.Follow{}
	}
	if room := of.channel.Room(); !room.IsZero() && !x.n.hears(team, of.channel) || room.IsZero() && !mayAuthor(state, team == x.n.team) {
		return catchup.Follow{}
	}
	if !info.Revoked {
		return catchup.Follow{Wanted: true}
	}
	c, ok := info.Cutoff[f]
	if !ok {
		return catchup.Follow{}
	}
	return catchup.Follow{Wanted: true, Cutoff: &c}
}

// mayAuthor asks the policy whether anything of a team in this state is taken in at all.
func mayAuthor(s trust.State, self bool) bool {
	return trust.Decide(trust.Question{Action: trust.Receive, Label: openest, Audience: protocol.Community, Peer: s, Self: self}).Allowed
}

// Serves implements catchup.Feeds. Each entry was judged when it was composed or taken in, so one question about the peer
// answers for a whole feed. A feed between two teams is served to those two alone, that of a room to its members.
func (x exchange) Serves(p peer.ID, f protocol.FeedID) bool {
	of, ok := x.n.feed(f)
	if !ok {
		return false
	}
	team, _ := x.n.peerState(p)
	return x.n.mayHave(team, of.channel)
}

// Range implements catchup.Feeds.
func (x exchange) Range(f protocol.FeedID, from, to uint64, reverse bool, fn func([]byte) bool) error {
	if of, ok := x.n.feed(f); ok && of.node == x.n.kid {
		newest, err := x.n.signer.marked(x.n, f)
		if err != nil {
			return err
		}
		to = min(to, newest+1)
	}
	if from >= to {
		return nil
	}
	return x.n.st.Range(f, from, to-1, reverse, func(_ uint64, raw []byte) bool { return fn(raw) }) // the store's end is included
}

// Ingest implements catchup.Feeds: it verifies what a peer answered and stores it, in one batch.
func (x exchange) Ingest(ctx context.Context, p peer.ID, ask catchup.Ask, raws [][]byte) (catchup.Report, error) {
	var r catchup.Report
	ins := make([]incoming, 0, len(raws))
	for _, raw := range raws {
		in, err := x.n.openParcel(raw, p.String())
		switch {
		case errors.Is(err, errHeld):
			r.Known++
			continue
		case errors.Is(err, errNotOurs):
			r.Waiting++
			continue
		case errors.Is(err, errKeeping):
			return r, err
		case err != nil:
			r.Refused++
			continue
		case in.Parcel.Feed != ask.Feed || in.Parcel.Seq < ask.From || in.Parcel.Seq >= ask.To:
			r.Refused++
			continue
		}
		ins = append(ins, in)
	}
	if len(ins) == 0 {
		return r, nil
	}
	x.n.caughtAt.Store(time.Now().UnixNano())
	out, err := x.n.admit(ctx, ins)
	if err != nil {
		return r, err
	}
	x.n.caughtAt.Store(time.Now().UnixNano())
	for _, o := range out {
		switch {
		case errors.Is(o.Err, store.ErrFull):
			return r, o.Err
		case o.Err != nil:
			r.Waiting++
		case o.Verdict == trust.Accept || o.Verdict == trust.Replace:
			r.Accepted++
		case o.Verdict == trust.Known:
			r.Known++
		case o.Verdict == trust.Refuse:
			r.Refused++
		default: // quarantined, void, or another branch of a fork: the author's doing, not the peer's
			r.Waiting++
		}
	}
	return r, nil
}

// Heads implements catchup.Words.
func (x exchange) Heads(fn func(*protocol.Heads)) error {
	if _, err := x.n.ownHeads(protocol.TeamID{}); err != nil {
		return err
	}
	return x.n.st.AllHeads(func(_ *protocol.Envelope, h *protocol.Heads) bool {
		if !h.For.IsZero() {
			return true // for one team alone, which gets it over the courier
		}
		if info, state := x.n.author(h.Team, h.Node); !info.Team.IsZero() && mayAuthor(state, h.Team == x.n.team) {
			fn(h)
		}
		return true
	})
}

// HeadsOf implements catchup.Words.
func (x exchange) HeadsOf(k protocol.KID) ([]byte, error) {
	if k == x.n.kid {
		return x.n.ownHeads(protocol.TeamID{})
	}
	env, _, err := x.n.st.Heads(k, protocol.TeamID{})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return env.Encode(), nil
}

// AddHeads implements catchup.Words.
func (x exchange) AddHeads(_ context.Context, p peer.ID, raw []byte) (*protocol.Heads, error) {
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", catchup.ErrRefused, err)
	}
	if h, err := protocol.Decode[protocol.Heads](env); err == nil && !h.For.IsZero() {
		return nil, fmt.Errorf("%w: heads that are for one team alone", catchup.ErrRefused)
	}
	h, news, err := x.n.takeHeads(env)
	switch {
	case errors.Is(err, errNotOurs), err == nil && !news:
		return nil, nil
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, protocol.ErrSignature):
		return nil, fmt.Errorf("%w: %w", catchup.ErrRefused, err)
	case err != nil:
		return nil, err
	}
	return h, nil
}

// WantedBlobs implements catchup.Blobs. A blob of a sealed message is asked only of those whom the message names.
func (x exchange) WantedBlobs(p peer.ID, max int) ([]protocol.BlobRef, error) {
	team, _ := x.n.peerState(p)
	var out []protocol.BlobRef
	seen := map[protocol.Hash]bool{}
	err := x.n.st.WantedBlobs(func(ref protocol.BlobRef, _ protocol.Hash, tags []protocol.Hash) bool {
		if !seen[ref.Hash] && x.mayHaveBlob(team, tags) {
			seen[ref.Hash] = true
			out = append(out, ref)
		}
		return len(out) < max
	})
	return out, err
}

// mayHaveBlob says whether a team may be given a blob, or know that this node wants it: if it may have what is in one of the
// channels through which messages that name the blob came or went.
func (x exchange) mayHaveBlob(team protocol.TeamID, tags []protocol.Hash) bool {
	return slices.ContainsFunc(tags, func(tag protocol.Hash) bool {
		x.n.mu.RLock()
		c, ok := x.n.channelsKnown.tags[tag]
		x.n.mu.RUnlock()
		return ok && x.n.mayHave(team, c)
	})
}

// OpenBlob implements catchup.Blobs.
func (x exchange) OpenBlob(p peer.ID, hash protocol.Hash) (io.ReadSeekCloser, uint64, bool, error) {
	team, _ := x.n.peerState(p)
	tags, err := x.n.st.BlobTags(hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && !x.mayHaveBlob(team, tags) {
		return nil, 0, false, nil
	}
	if err != nil {
		return nil, 0, false, err
	}
	_, size, whole, err := x.n.st.BlobHave(hash)
	if err != nil || !whole {
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return nil, 0, false, err
	}
	r, err := x.n.st.OpenBlob(hash)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, false, nil
	}
	return r, size, err == nil, err
}

// BlobWriter implements catchup.Blobs.
func (x exchange) BlobWriter(ref protocol.BlobRef) (catchup.BlobWriter, error) {
	w, err := x.n.st.BlobWriter(ref)
	if err != nil {
		return nil, err
	}
	return &arrivingBlob{BlobWriter: w, n: x.n}, nil
}

// An arrivingBlob tells the node when the body of a message has become whole.
type arrivingBlob struct {
	*store.BlobWriter
	n *Node
}

// Write notes for doctor whether there is room for what travels apart.
func (b *arrivingBlob) Write(p []byte) (int, error) {
	before := b.Have() / store.ChunkSize
	m, err := b.BlobWriter.Write(p)
	switch {
	case errors.Is(err, store.ErrFull):
		b.n.blobTrouble.set(err)
	case err == nil && b.Have()/store.ChunkSize > before: // a chunk was kept
		b.n.blobTrouble.set(nil)
	}
	return m, err
}

func (b *arrivingBlob) Commit() error {
	err := b.BlobWriter.Commit()
	if err == nil || errors.Is(err, store.ErrFull) {
		b.n.blobTrouble.set(err)
	}
	if errors.Is(err, store.ErrBlobHash) {
		return fmt.Errorf("%w: %w", catchup.ErrWrongBlob, err)
	}
	if err == nil {
		b.n.events.notify()
		b.n.dirty.notify()
	}
	return err
}

func (b *arrivingBlob) Close() error { return b.Abort() }

// Digests implements catchup.Identities.
func (x exchange) Digests(p peer.ID) ([]catchup.TeamDigest, error) {
	team, state := x.n.peerState(p)
	may := team == x.n.team || trust.MayConnect(state)
	x.n.mu.RLock()
	defer x.n.mu.RUnlock()
	now := x.n.now()
	var out []catchup.TeamDigest
	for _, t := range x.n.book.Teams(now) {
		// A team may always have its own records back; of others it gets those that this team vouches for, and those of all
		// who are in a room with it.
		share := may && (t.ID == team || x.n.book.Shareable(t.ID, now)) || x.n.shareRoom(team, t.ID)
		out = append(out, catchup.TeamDigest{Team: t.ID, Digest: x.n.book.Digest(t.ID), Share: share})
	}
	return out, nil
}

// Records implements catchup.Identities.
func (x exchange) Records(p peer.ID, team protocol.TeamID) (*protocol.Bundle, error) {
	asker, state := x.n.peerState(p)
	x.n.mu.RLock()
	share := (asker == x.n.team || trust.MayConnect(state)) && (team == asker || x.n.book.Shareable(team, x.n.now())) || x.n.shareRoom(asker, team)
	x.n.mu.RUnlock()
	if !share {
		return nil, nil
	}
	return x.n.bundle(team)
}

// AddRecords implements catchup.Identities.
func (x exchange) AddRecords(_ context.Context, _ peer.ID, b *protocol.Bundle) error {
	es, err := b.Envelopes()
	if err != nil {
		return fmt.Errorf("%w: %w", catchup.ErrRefused, err)
	}
	for _, e := range es {
		if team, err := trust.TeamOf(e); err != nil || team != b.Team {
			return fmt.Errorf("%w: a record of another team than the bundle's", catchup.ErrRefused)
		}
	}
	res, err := x.n.takeRecords(es...)
	if err != nil {
		return err
	}
	for i, r := range res {
		switch {
		case blames(r.Err):
			err = fmt.Errorf("%w: %w", catchup.ErrRefused, r.Err)
		case r.Err != nil:
			x.n.log.Debug("a record of a peer was not taken in", "type", es[i].Type, "err", r.Err)
		case r.Added && x.n.spreadable(es[i]):
			x.n.publishRecord(es[i])
		}
	}
	return err
}

// progress is how far catching up is, for status.
type progress struct {
	mu sync.Mutex
	p  Progress // guarded by mu
}

// Progress counts entries since catching up last began.
type Progress struct{ Done, Total uint64 }

func (p *progress) set(done, total uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.p = Progress{done, total}
}

func (p *progress) get() Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.p
}
