package catchup

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

const (
	maxComparing = 8                // comparisons at a time
	maxSources   = 8                // peers compared with while requests are on the way: more would bring the same news
	sourcesTime  = 30 * time.Second // but after this others are, for these may be slow
	perRound     = 3                // peers compared with in a round
	// A comparison takes up to three lists. Comparisons with one peer keep below what the peer's guard lets pass.
	compareBurst  = 4
	compareRefill = 10 * time.Second

	maxStalls = 3 // requests in a row without an answer, after which a peer is an offender
)

// A loop owns the State and all that is decided in turn. Only its goroutine touches it.
type loop struct {
	*Engine
	ctx   context.Context
	state *State
	peers map[peer.ID]*partner
	queue []peer.ID // waiting to be compared with
	pokes map[protocol.FeedID]poke

	comparing  int
	compared   int // since freshSince
	freshSince time.Time
	nextRound  time.Time
	reported   [2]uint64

	blobs chan blobNews
}

// A partner is a peer that is ready.
type partner struct {
	last    time.Time // of the last comparison, zero: none yet
	turn    time.Time // when it came, or a round last chose it
	queued  bool
	again   bool // compare once more after the running comparison
	running bool
	stalls  int
	pace    bucket
}

func newLoop(ctx context.Context, e *Engine) *loop {
	return &loop{
		Engine: e, ctx: ctx,
		state: NewState(Limits{Window: e.opt.Window}),
		peers: map[peer.ID]*partner{},
		pokes: map[protocol.FeedID]poke{},
		blobs: make(chan blobNews, 1),
	}
}

func (l *loop) run() {
	l.nextRound = time.Now().Add(l.opt.Interval)
	err := l.backend.Heads(func(h *protocol.Heads) { l.state.Step(time.Now(), Word{h}) })
	if err != nil {
		l.opt.Log.Warn("catching up without the authors' heads", "err", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time // of onTime
	for {
		select {
		case <-l.ctx.Done():
			return
		case f := <-l.calls:
			f(l)
		case <-l.inbox.wake:
			l.readInbox()
		case <-timer.C:
		}
		// Not only when the timer fires: events that come one after the other would put that off for ever.
		if now := time.Now(); now.Sub(last) >= timeStep && !now.Before(l.nextTime()) {
			last = now
			l.onTime()
		}
		l.compareNext()
		l.report()
		timer.Reset(max(time.Until(l.nextTime()), timeStep))
	}
}

// timeStep is the least time between two looks at what is due.
const timeStep = 10 * time.Millisecond

// step gives an event to the State and does what it asks.
func (l *loop) step(ev Event) {
	for _, r := range l.state.Step(time.Now(), ev) {
		l.wg.Go(func() { l.fetch(l.ctx, r) })
	}
}

func (l *loop) readInbox() {
	b := &l.inbox
	b.mu.Lock()
	moves, blobs := b.moves, b.blobs
	b.moves, b.blobs = nil, false
	for f, p := range b.pokes {
		if _, ok := l.pokes[f]; ok || len(l.pokes) < maxPokes {
			l.pokes[f] = p
		}
	}
	clear(b.pokes)
	b.mu.Unlock()
	for _, m := range moves {
		if m.left {
			l.leave(m.peer)
		} else {
			l.arrive(m.peer)
		}
	}
	if blobs || len(moves) > 0 {
		l.tellBlobs()
	}
}

func (l *loop) arrive(p peer.ID) {
	if l.peers[p] == nil {
		l.peers[p] = &partner{turn: time.Now()}
	}
	l.enqueue(p)
}

func (l *loop) leave(p peer.ID) {
	if l.peers[p] == nil {
		return
	}
	if len(l.host.Network().ConnsToPeer(p)) > 0 {
		return // it came back meanwhile
	}
	delete(l.peers, p)
	l.asked.forget(p)
	l.guard.forget(p)
	l.step(Gone{p})
}

// enqueue has the peer compared with, once more if that is just going on.
func (l *loop) enqueue(p peer.ID) {
	pa := l.peers[p]
	switch {
	case pa == nil || pa.queued:
	case pa.running:
		pa.again = true
	default:
		pa.queued = true
		l.queue = append(l.queue, p)
	}
}

// compareNext starts comparisons. While requests are on the way, a few peers are enough: later ones will have less news.
func (l *loop) compareNext() {
	now := time.Now()
	if l.state.Idle() && l.comparing == 0 || now.Sub(l.freshSince) > sourcesTime {
		l.compared, l.freshSince = 0, now
	}
	l.queue = slices.DeleteFunc(l.queue, func(p peer.ID) bool {
		pa := l.peers[p]
		if pa == nil {
			return true
		}
		if l.comparing == maxComparing || l.compared == maxSources || !pa.pace.take(now, compareBurst, compareRefill) {
			return false
		}
		pa.queued, pa.running, pa.last = false, true, now
		l.comparing++
		l.compared++
		l.wg.Go(func() { l.compare(l.ctx, p) })
		return true
	})
}

// finish takes in the result of a comparison.
func (l *loop) finish(p peer.ID, entries []Entry, full bool, err error) {
	l.comparing--
	pa := l.peers[p]
	if pa == nil {
		return
	}
	pa.running = false
	l.judgeStall(p, err)
	if pa.again {
		pa.again = false
		l.enqueue(p)
	}
	if full {
		l.takeFrontier(p, entries)
	}
	if err == nil {
		l.opt.Compared(p, entries)
	}
	l.tellBlobs()
}

// takeFrontier brings what this node holds up to date, where the peer seems to offer more, and then the peer's claims.
func (l *loop) takeFrontier(p peer.ID, entries []Entry) {
	var batch Batch
	wanted := entries[:0:0]
	for _, en := range entries {
		follow := l.backend.Follow(en.Team, en.Node, en.Feed)
		if l.state.covers(en, follow) {
			continue
		}
		x, ok := l.extent(en)
		if !ok {
			continue
		}
		batch = append(batch, Holds{x, follow})
		if follow.Wanted {
			wanted = append(wanted, en)
		}
	}
	l.step(append(batch, Frontier{p, wanted}))
}

// extent returns what this node holds of the feed that the entry announces.
func (l *loop) extent(en Entry) (Extent, bool) {
	x, ok, err := l.backend.Extent(en.Feed)
	if err != nil {
		l.opt.Log.Warn("cannot tell what is held of a feed", "feed", en.Feed.Short(), "err", err)
		return x, false
	}
	if !ok {
		x = Extent{Team: en.Team, Node: en.Node, Feed: en.Feed, First: 1, Next: 1}
	}
	return x, x.Node == en.Node && x.Team == en.Team
}

func (l *loop) onTime() {
	now := time.Now()
	if !now.Before(l.nextRound) {
		l.nextRound = now.Add(l.opt.Interval)
		l.round()
		l.tellBlobs()
	}
	for _, f := range slices.SortedFunc(maps.Keys(l.pokes), func(a, b protocol.FeedID) int { return slices.Compare(a[:], b[:]) }) {
		if pk := l.pokes[f]; !now.Before(pk.due) {
			delete(l.pokes, f)
			l.look(f, pk)
		}
	}
	l.step(Tick{})
}

// nextTime returns when onTime has something to do.
func (l *loop) nextTime() time.Time {
	at := l.nextRound
	for _, pk := range l.pokes {
		if pk.due.Before(at) {
			at = pk.due
		}
	}
	if soon := time.Now().Add(time.Second); len(l.queue) > 0 && soon.Before(at) {
		at = soon
	}
	if wake, ok := l.state.Wake(); ok && wake.Before(at) {
		at = wake
	}
	return at
}

// look acts on a poke, if gossip has not filled the gap meanwhile.
func (l *loop) look(f protocol.FeedID, pk poke) {
	x, ok, err := l.backend.Extent(f)
	if err != nil {
		return
	}
	if pk.word != nil {
		l.step(Word{pk.word})
		if !ok {
			x, ok = Extent{Team: pk.word.Team, Node: pk.word.Node, Feed: f, First: 1, Next: 1}, true
		}
	}
	upTo := max(x.Max, pk.max)
	if !ok || !l.mayAsk(pk.peer, x.Node, f) || x.tail() > upTo && len(x.missing(Span{1, upTo + 1})) == 0 || l.peers[pk.peer] == nil {
		return
	}
	l.step(Batch{Holds{x, l.backend.Follow(x.Team, x.Node, f)}, Hint{f, pk.peer, upTo}})
	if time.Since(l.peers[pk.peer].last) >= compareRefill {
		l.enqueue(pk.peer)
	}
}

// round compares with the peers whose turn was longest ago. What else this node compares with whom, of feeds that are not for everybody,
// does not change whose turn it is: a third would see that from how often it is asked.
func (l *loop) round() {
	ps := slices.SortedFunc(maps.Keys(l.peers), func(a, b peer.ID) int {
		if c := l.peers[a].turn.Compare(l.peers[b].turn); c != 0 {
			return c
		}
		return slices.Compare([]byte(a), []byte(b))
	})
	for _, p := range ps[:min(perRound, len(ps))] {
		l.peers[p].turn = time.Now()
		l.enqueue(p)
	}
}

// judgeStall counts requests without an answer.
func (l *loop) judgeStall(p peer.ID, err error) {
	pa := l.peers[p]
	if pa == nil {
		return
	}
	if !isStall(err) {
		pa.stalls = 0
		return
	}
	if pa.stalls++; pa.stalls >= maxStalls {
		pa.stalls = 0
		l.offence(p, "it does not answer")
	}
}

func (l *loop) report() {
	done, all := l.state.Progress()
	if now := [2]uint64{done, all}; now != l.reported {
		l.reported = now
		l.opt.Progress(done, all)
	}
}

// tellBlobs hands the peers to the blob loop, which looks for what it can fetch. News that it did not read yet is replaced.
func (l *loop) tellBlobs() {
	news := blobNews{peers: slices.Sorted(maps.Keys(l.peers))}
	select {
	case <-l.blobs:
	default:
	}
	l.blobs <- news
}
