package catchup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

const (
	blobTries   = 8               // peers asked for one blob before it has to wait
	blobRetry   = time.Minute     // before a blob that nobody had is looked for again; doubles each time
	blobAgain   = time.Second     // before one that turned out wrong is; doubles each time
	blobRetryAt = time.Hour       // neither is ever longer
	blobShun    = time.Hour       // how long a peer is not asked for a blob after it gave a wrong one
	maxWanted   = 64              // blobs considered at a time that one peer may have
	maxHunts    = 1024            // that any may have
	blobTick    = 5 * time.Second // between looks while some blob waits
	blobPause   = time.Second     // between any two looks
)

// blobNews tells the blob loop who is there, and to look.
type blobNews struct{ peers []peer.ID }

// A hunt is the search for one blob.
type hunt struct {
	ref   protocol.BlobRef
	peers []peer.ID // who may have it, ascending
	rank  int       // how many are wanted more of the same peer
	turns int       // ended, without the whole
	whole bool      // since the last look

	busy  bool
	times int
	until time.Time
	shun  map[peer.ID]time.Time // gave wrong bytes
	doubt map[peer.ID]int       // had a part in wrong bytes
}

// A blobLooker is what the blob loop knows. Only its goroutine touches it.
type blobLooker struct {
	*Engine
	ctx     context.Context
	peers   []peer.ID
	hunts   map[protocol.Hash]*hunt
	list    []*hunt // in the order in which they are begun
	running int
	done    chan func()
	looks   int
	next    time.Time // the earliest next look
}

// blobLoop fetches wanted blobs until ctx ends, a few at a time.
func (e *Engine) blobLoop(ctx context.Context, news <-chan blobNews) {
	l := &blobLooker{Engine: e, ctx: ctx, hunts: map[protocol.Hash]*hunt{}, done: make(chan func(), 1)}
	tick := time.NewTicker(blobTick)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	look := false // there may be something new to fetch
	for {
		select {
		case <-ctx.Done():
			for ; l.running > 0; l.running-- {
				<-l.done
			}
			return
		case n := <-news:
			l.peers, look = n.peers, true
		case f := <-l.done:
			l.running--
			f()
			look = true
		case <-tick.C:
			look = look || len(l.hunts) > 0
		case <-pause.C:
		}
		if look && l.running < e.opt.Blobs {
			if wait := time.Until(l.next); wait > 0 {
				pause.Reset(wait)
			} else {
				look = false
				l.look()
			}
		}
		l.begin()
	}
}

// look asks the backend what is wanted of whom.
func (l *blobLooker) look() {
	l.next = time.Now().Add(blobPause)
	found := map[protocol.Hash]*hunt{}
	l.looks++
	for i := range l.peers {
		p := l.peers[(i+l.looks)%len(l.peers)] // each comes first in turn
		wanted, err := l.backend.WantedBlobs(p, maxWanted)
		if err != nil {
			l.opt.Log.Warn("cannot tell which blobs are missing", "err", err)
			return
		}
		for rank, ref := range wanted[:min(len(wanted), maxWanted)] {
			f := found[ref.Hash]
			if f == nil {
				if len(found) == maxHunts {
					continue
				}
				f = &hunt{ref: ref, rank: rank}
				found[ref.Hash] = f
			}
			f.peers = append(f.peers, p)
			f.rank = min(f.rank, rank)
		}
	}
	l.keep(found, time.Now())
}

// keep makes hunts those of the blobs that were found wanting.
func (l *blobLooker) keep(found map[protocol.Hash]*hunt, now time.Time) {
	for hash, h := range l.hunts {
		if found[hash] == nil && !h.busy {
			delete(l.hunts, hash)
		}
	}
	for hash, f := range found {
		h := l.hunts[hash]
		if h == nil {
			h = f
			h.shun, h.doubt = map[peer.ID]time.Time{}, map[peer.ID]int{}
			l.hunts[hash] = h
			continue
		}
		if slices.ContainsFunc(f.peers, func(p peer.ID) bool { return !slices.Contains(h.peers, p) }) {
			h.until = now // somebody new may have it
		}
		h.ref, h.peers, h.rank, h.whole = f.ref, f.peers, f.rank, false
	}
	l.list = l.list[:0]
	for hash, h := range l.hunts {
		if found[hash] != nil {
			slices.Sort(h.peers)
			l.list = append(l.list, h)
		}
	}
	// What had its turn comes after what had none, so that a blob that comes slowly does not hold up the others.
	slices.SortFunc(l.list, func(a, b *hunt) int {
		return cmp.Or(cmp.Compare(a.turns, b.turns), cmp.Compare(a.rank, b.rank), slices.Compare(a.ref.Hash[:], b.ref.Hash[:]))
	})
}

// begin starts searches while there is room. Those of which the same few peers are asked take half of it at the most, so that
// a team that gives its own slowly does not hold up what comes from others.
func (l *blobLooker) begin() {
	for _, h := range l.list {
		now := time.Now()
		if l.running >= l.opt.Blobs {
			return
		}
		if h.busy || h.whole || now.Before(h.until) || l.alike(h) >= max(l.opt.Blobs/2, 1) {
			continue
		}
		h.busy = true
		l.running++
		ref, order := h.ref, h.order(now)
		l.wg.Go(func() {
			res := l.fetchBlob(l.ctx, ref, order)
			l.done <- func() { h.finish(res, time.Now()) }
		})
	}
}

// alike returns how many searches go on among the same peers.
func (l *blobLooker) alike(h *hunt) (n int) {
	for _, o := range l.list {
		if o.busy && slices.Equal(o.peers, h.peers) {
			n++
		}
	}
	return n
}

// order returns whom to ask, at most blobTries: peers that had no part in wrong bytes first, others in turn.
func (h *hunt) order(now time.Time) []peer.ID {
	out := slices.DeleteFunc(slices.Clone(h.peers), func(p peer.ID) bool { return h.shun[p].After(now) })
	slices.SortStableFunc(out, func(a, b peer.ID) int {
		return cmp.Or(cmp.Compare(h.doubt[a], h.doubt[b]),
			cmp.Compare(mix(a, protocol.FeedID{}, uint64(h.times)), mix(b, protocol.FeedID{}, uint64(h.times))))
	})
	return out[:min(len(out), blobTries)]
}

// A catch is the result of a search.
type catch struct {
	whole bool
	wrong bool      // the bytes were not the ones that the hash names
	gave  []peer.ID // had a part in the bytes that came now
	alone bool      // there were no others, now or before
}

func (h *hunt) finish(c catch, now time.Time) {
	h.busy, h.whole = false, c.whole
	h.times++
	h.turns++
	switch {
	case c.whole:
		h.turns = 0
	case c.wrong:
		for _, p := range c.gave {
			h.doubt[p]++
			if c.alone {
				h.shun[p] = now.Add(blobShun)
			}
		}
		h.until = now.Add(backoff(blobAgain, blobRetryAt, h.times))
	case len(c.gave) > 0:
		h.times = 0
		h.until = now.Add(blobAgain)
	default:
		h.until = now.Add(backoff(blobRetry, blobRetryAt, h.times))
	}
}

// fetchBlob asks one peer after the other, going on where the last one stopped.
func (e *Engine) fetchBlob(ctx context.Context, ref protocol.BlobRef, peers []peer.ID) (c catch) {
	w, err := e.backend.BlobWriter(ref)
	if err != nil {
		e.opt.Log.Warn("cannot keep a blob", "err", err)
		return c
	}
	defer func() { _ = w.Close() }()
	fresh := w.Have() == 0
	for i := 0; i < len(peers) && w.Have() < ref.Size && ctx.Err() == nil; {
		p, before := peers[i], w.Have()
		full, err := e.askBlob(ctx, p, ref, w)
		if w.Have() > before && !slices.Contains(c.gave, p) {
			c.gave = append(c.gave, p)
		}
		if isOffence(err) {
			e.offence(p, err.Error())
		}
		if errors.Is(err, errKeep) {
			e.opt.Log.Warn("cannot keep a blob", "err", err)
			return catch{}
		}
		if !full {
			i++
		}
	}
	c.alone = fresh && len(c.gave) == 1
	if w.Have() < ref.Size || ctx.Err() != nil {
		return c
	}
	err = w.Commit()
	switch {
	case err == nil:
		c.whole = true
	case errors.Is(err, ErrWrongBlob):
		if c.wrong = true; c.alone {
			e.offence(c.gave[0], "it gave a blob that is not what its hash names")
		}
	default:
		e.opt.Log.Warn("cannot keep a blob", "err", err)
		return catch{}
	}
	return c
}

var errKeep = errors.New("this node cannot write")

// askBlob adds what p gives to w. full says that p gave all that one answer takes and can be asked for the rest.
func (e *Engine) askBlob(ctx context.Context, p peer.ID, ref protocol.BlobRef, w BlobWriter) (full bool, err error) {
	offset := w.Have()
	c, err := e.ask(ctx, p, &request{Kind: kindBlob, Blob: ref.Hash, Offset: offset})
	if err != nil {
		return false, err
	}
	defer func() { c.end(err) }()
	end := min(ref.Size, offset+MaxBlobReply)
	for first := true; ; first = false {
		page, err := read[blobPage](c)
		if err != nil {
			return false, err
		}
		if first && page.Size == 0 && len(page.Data) == 0 {
			return false, nil // not here
		}
		if first && page.Size != ref.Size || !first && page.Size != 0 || offset+uint64(len(page.Data)) > end {
			return false, fmt.Errorf("%w: a blob of another size than its statement says", protocol.ErrMalformed)
		}
		if _, err := w.Write(page.Data); err != nil {
			return false, fmt.Errorf("%w: %w", errKeep, err)
		}
		if offset += uint64(len(page.Data)); !page.More {
			return offset == end, nil
		}
	}
}
