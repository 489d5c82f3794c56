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
	maxWanted   = 64              // blobs considered at a time
	blobTick    = 5 * time.Second // between looks while some blob waits
)

// blobNews tells the blob loop who is there, and to look.
type blobNews struct{ peers []peer.ID }

// A hunt is the search for one blob.
type hunt struct {
	busy  bool
	times int
	until time.Time
	shun  map[peer.ID]time.Time // gave wrong bytes
	doubt map[peer.ID]int       // had a part in wrong bytes
}

// blobLoop fetches wanted blobs until ctx ends, a few at a time.
func (e *Engine) blobLoop(ctx context.Context, news <-chan blobNews) {
	hunts := map[protocol.Hash]*hunt{}
	done := make(chan func(), 1)
	running := 0
	var peers []peer.ID
	tick := time.NewTicker(blobTick)
	defer tick.Stop()
	for {
		look := true
		select {
		case <-ctx.Done():
			for ; running > 0; running-- {
				<-done
			}
			return
		case n := <-news:
			if slices.ContainsFunc(n.peers, func(p peer.ID) bool { return !slices.Contains(peers, p) }) {
				for _, h := range hunts {
					h.until = time.Time{} // somebody new may have it
				}
			}
			peers = n.peers
		case f := <-done:
			running--
			f()
		case <-tick.C:
			look = len(hunts) > 0
		}
		if !look || running == e.opt.Blobs || len(peers) == 0 {
			continue
		}
		wanted, err := e.backend.WantedBlobs(maxWanted)
		if err != nil {
			e.opt.Log.Warn("cannot tell which blobs are missing", "err", err)
			continue
		}
		keepHunts(hunts, wanted)
		for _, ref := range wanted {
			h := hunts[ref.Hash]
			if running == e.opt.Blobs || h.busy || time.Now().Before(h.until) {
				continue
			}
			h.busy = true
			running++
			order := h.order(peers, time.Now())
			e.wg.Go(func() {
				res := e.fetchBlob(ctx, ref, order)
				done <- func() { h.finish(res, time.Now()) }
			})
		}
	}
}

// keepHunts makes hunts those of the wanted blobs.
func keepHunts(hunts map[protocol.Hash]*hunt, wanted []protocol.BlobRef) {
	still := map[protocol.Hash]bool{}
	for _, ref := range wanted {
		still[ref.Hash] = true
		if hunts[ref.Hash] == nil {
			hunts[ref.Hash] = &hunt{shun: map[peer.ID]time.Time{}, doubt: map[peer.ID]int{}}
		}
	}
	for hash, h := range hunts {
		if !still[hash] && !h.busy {
			delete(hunts, hash)
		}
	}
}

// order returns whom to ask, at most blobTries: peers that had no part in wrong bytes first, others in turn.
func (h *hunt) order(peers []peer.ID, now time.Time) []peer.ID {
	out := slices.DeleteFunc(slices.Clone(peers), func(p peer.ID) bool { return h.shun[p].After(now) })
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
	h.busy = false
	h.times++
	switch {
	case c.whole:
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
