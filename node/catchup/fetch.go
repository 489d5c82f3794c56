package catchup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

// fetch asks for a range and has the backend take in the answer. What came before a failure is taken in as well, so that a
// link on which no whole page ever arrives still gets on.
func (e *Engine) fetch(ctx context.Context, r Request) {
	if !e.mayAsk(r.Peer, r.Node, r.Ask.Feed) { // any more
		e.post(func(l *loop) { l.landed(r, Answer{ID: r.ID}, nil) })
		return
	}
	raws, end, err := e.askRange(ctx, r.Peer, r.Ask)
	ans := Answer{ID: r.ID, More: end.Rest, First: end.First}
	for _, raw := range raws {
		ans.Bytes += len(raw)
	}
	if !e.post(func(l *loop) { l.step(Received{r.ID}) }) {
		return
	}
	var failed error
	if len(raws) > 0 {
		ans.Report, failed = e.ingest(ctx, r, raws)
	}
	switch {
	case ctx.Err() != nil:
		return
	case failed != nil:
		e.opt.Log.Warn("cannot take in what was missed", "err", failed)
		ans.Outcome = Local
	case isOffence(err) || ans.Report.Refused > 0:
		ans.Outcome = Wrong
		why := fmt.Sprintf("%d of %d entries are refused", ans.Report.Refused, len(raws))
		if err != nil {
			why = err.Error()
		}
		e.offence(r.Peer, why)
	case errors.Is(err, errSlow) && len(raws) > 0:
		ans.More, ans.Slow = true, true
	case err != nil:
		ans.Outcome = Failed
	}
	e.post(func(l *loop) { l.landed(r, ans, err) })
}

func (e *Engine) ingest(ctx context.Context, r Request, raws [][]byte) (Report, error) {
	select {
	case e.verify <- struct{}{}:
		defer func() { <-e.verify }()
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	return e.backend.Ingest(ctx, r.Peer, r.Ask, raws)
}

// landed brings what is held up to date, here and not where the entries were taken in, so that it never goes backwards.
func (l *loop) landed(r Request, ans Answer, err error) {
	l.judgeStall(r.Peer, err)
	var batch Batch
	if x, ok, err := l.backend.Extent(r.Ask.Feed); err == nil && ok {
		batch = append(batch, Holds{x, l.backend.Follow(x.Team, x.Node, x.Feed)})
	}
	l.step(append(batch, ans))
	if ans.Report.Accepted > 0 {
		l.tellBlobs()
	}
}

// maxTeamsAsked bounds the bundles that are fetched in one comparison, and what is remembered of having been fetched.
const maxTeamsAsked = 256

// compare finds out what the peer holds that this node lacks: identity records first, since by them feeds are followed and
// entries verified; then how far feeds reach; then the authors' newest heads.
func (e *Engine) compare(ctx context.Context, p peer.ID) {
	err := e.compareTeams(ctx, p)
	var entries []Entry
	full := false
	if err == nil {
		var newer []protocol.KID
		entries, newer, err = e.compareFeeds(ctx, p)
		full = err == nil
		if err == nil && len(newer) > 0 {
			err = e.askHeads(ctx, p, newer, func(raw []byte) error { return e.takeHeads(ctx, p, raw) })
		}
	}
	if err != nil && ctx.Err() == nil {
		e.opt.Log.Debug("comparing with a peer", "peer", p, "err", err)
		if isOffence(err) {
			e.offence(p, err.Error())
		}
	}
	e.post(func(l *loop) { l.finish(p, entries, full, err) })
}

func (e *Engine) compareTeams(ctx context.Context, p peer.ID) error {
	mine, err := e.backend.Digests(p)
	if err != nil {
		return ourFault(err)
	}
	held := map[teamDigest]bool{}
	for _, m := range mine {
		held[teamDigest{m.Team, m.Digest}] = true
	}
	theirs, err := e.askDigests(ctx, p, teamsDigest(shared(mine)))
	if err != nil {
		return err
	}
	n := 0
	for _, t := range theirs {
		if n == maxTeamsAsked {
			break
		}
		if held[t] || e.asked.before(p, t) {
			continue
		}
		if fetched, err := e.compareTeam(ctx, p, t); err != nil {
			return err
		} else if fetched {
			n++
		}
	}
	return nil
}

// compareTeam fetches the records of one team, unless another peer has given them meanwhile.
func (e *Engine) compareTeam(ctx context.Context, p peer.ID, t teamDigest) (fetched bool, err error) {
	select {
	case e.bundles <- struct{}{}:
		defer func() { <-e.bundles }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if mine, err := e.backend.Digests(p); err != nil {
		return false, ourFault(err)
	} else if slices.ContainsFunc(mine, func(m TeamDigest) bool { return m.Team == t.Team && m.Digest == t.Digest }) {
		return false, nil
	}
	b, err := e.askRecords(ctx, p, t.Team)
	if err != nil {
		return true, err
	}
	e.asked.note(p, t)
	if len(b.Records) == 0 {
		return true, nil
	}
	return true, e.backend.AddRecords(ctx, p, b)
}

// shared returns the teams that the peer may be told of, ascending and not more than a frame takes.
func shared(ts []TeamDigest) []teamDigest {
	var out []teamDigest
	for _, t := range ts {
		if t.Share {
			out = append(out, teamDigest{t.Team, t.Digest})
		}
	}
	slices.SortFunc(out, func(a, b teamDigest) int { return slices.Compare(a.Team[:], b.Team[:]) })
	return out[:min(len(out), MaxEntries)]
}

// compareFeeds returns what the peer says of the feeds that are wanted and that it may be asked for, nil if both hold the same,
// and the nodes of which it has newer heads.
func (e *Engine) compareFeeds(ctx context.Context, p peer.ID) (entries []Entry, newer []protocol.KID, err error) {
	mine, err := e.frontier(p)
	if err != nil {
		return nil, nil, ourFault(err)
	}
	heads := map[protocol.KID]uint64{}
	for _, en := range mine {
		heads[en.Node] = max(heads[en.Node], en.Heads) // only one feed of a node has them
	}
	entries = []Entry{}
	wants := map[protocol.KID]bool{}
	differs, err := e.askFrontier(ctx, p, frontierDigest(mine), func(page []Entry) {
		for _, en := range page {
			if !e.backend.Follow(en.Team, en.Node, en.Feed).Wanted {
				continue // so that what is kept of a peer's claims is bounded by what this node follows
			}
			if !e.mayAsk(p, en.Node, en.Feed) {
				continue
			}
			entries = append(entries, en)
			if en.Heads > heads[en.Node] && en.Feed == communityFeed(en.Node) && len(wants) < MaxEntries {
				wants[en.Node] = true
			}
		}
	})
	if err != nil || !differs {
		return nil, nil, err
	}
	return entries, slices.SortedFunc(maps.Keys(wants), func(a, b protocol.KID) int { return slices.Compare(a[:], b[:]) }), nil
}

func (e *Engine) takeHeads(ctx context.Context, p peer.ID, raw []byte) error {
	h, err := e.backend.AddHeads(ctx, p, raw)
	if err != nil {
		return err
	}
	if h != nil && h.For.IsZero() {
		e.post(func(l *loop) { l.step(Word{h}) })
		e.Heard(h, p) // it may be newer than the peer's list of what it holds
	}
	return nil
}

// ourFault keeps an error of this node from being taken for the peer's.
func ourFault(err error) error { return fmt.Errorf("this node: %v", err) }

// askedTeams remembers which records a peer gave already. Records that this node refuses, or may not keep, leave the two
// digests different for ever, and are not worth fetching in every round.
type askedTeams struct {
	mu    sync.Mutex
	peers map[peer.ID]map[protocol.TeamID]protocol.Hash // guarded by mu
}

func (a *askedTeams) before(p peer.ID, t teamDigest) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peers[p][t.Team] == t.Digest
}

func (a *askedTeams) note(p peer.ID, t teamDigest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.peers[p]
	if m == nil || len(m) >= MaxEntries {
		m = map[protocol.TeamID]protocol.Hash{}
		a.peers[p] = m
	}
	m[t.Team] = t.Digest
}

func (a *askedTeams) forget(p peer.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.peers, p)
}

// mayAsk reports whether p may be asked for a feed of the node. Whoever guesses the id of a feed between others learns nothing
// by naming it. That a community feed is wanted is no secret, and who was away for long knows only peers that it does not
// serve at first.
func (e *Engine) mayAsk(p peer.ID, node protocol.KID, f protocol.FeedID) bool {
	return f == communityFeed(node) || e.backend.Serves(p, f)
}

// communityFeed returns the one feed of a node of which its heads for the community speak.
func communityFeed(node protocol.KID) protocol.FeedID {
	return protocol.FeedOf(node, protocol.Channel{})
}

// snapshotAge is how old a list of what this node holds may be when it is announced.
const snapshotAge = time.Second

// snapshots keeps a list of what this node holds for a moment, as many peers ask for it at once.
type snapshots struct {
	mu   sync.Mutex
	at   time.Time // guarded by mu
	list []Entry   // guarded by mu; never changed after it is made
}

// frontier returns what p may be told of, ascending by feed.
func (e *Engine) frontier(p peer.ID) ([]Entry, error) {
	all, err := e.mine.get(e.backend)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, en := range all {
		if e.backend.Serves(p, en.Feed) && len(out) < MaxFrontier {
			out = append(out, en)
		}
	}
	return out, nil
}

func (s *snapshots) get(b Backend) ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < snapshotAge {
		return s.list, nil
	}
	heads := map[protocol.KID]uint64{} // before the extents, so that no heads speak of more than the list does
	var words []*protocol.Heads
	err := b.Heads(func(h *protocol.Heads) {
		if h.For.IsZero() {
			heads[h.Node] = h.N
			words = append(words, h)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing heads: %w", err)
	}
	xs, err := b.Extents()
	if err != nil {
		return nil, fmt.Errorf("listing what is held: %w", err)
	}
	held := map[protocol.FeedID]bool{}
	for _, x := range xs {
		held[x.Feed] = true
	}
	for _, h := range words {
		own := communityFeed(h.Node)
		if f, ok := headOf(h, own); ok && !held[own] { // so that others learn of heads without entries
			xs = append(xs, Extent{Team: h.Team, Node: h.Node, Feed: own, First: f.First, Next: f.First})
		}
	}
	list := make([]Entry, 0, len(xs))
	for _, x := range xs {
		n := uint64(0)
		if x.Feed == communityFeed(x.Node) {
			n = heads[x.Node] // of a feed between two teams it would tell one who is not served the community how that goes on
		}
		if en := entryOf(x, n); en.Check() == nil {
			list = append(list, en)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return slices.Compare(a.Feed[:], b.Feed[:]) })
	s.list, s.at = list, time.Now()
	return list, nil
}
