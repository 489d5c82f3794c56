package catchup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

// An answerer is the answering side of one stream.
type answerer struct {
	*Engine
	ctx context.Context
	p   peer.ID
	s   network.Stream
}

// handle answers one stream: one request, and its answer. Whatever goes wrong resets the stream.
func (e *Engine) handle(ctx context.Context, s network.Stream) {
	p := s.Conn().RemotePeer()
	if !e.backend.Admits(p) {
		_ = s.Reset()
		return
	}
	ok, offence := e.guard.enter(p, time.Now())
	if !ok {
		_ = s.Reset()
		if offence {
			e.offence(p, "it opens too many streams")
		}
		return
	}
	defer e.guard.leave(p)
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	a := &answerer{e, ctx, p, s}
	err := a.answer()
	if err == nil {
		_ = s.Close()
		return
	}
	_ = s.Reset()
	switch {
	case ctx.Err() != nil:
	case isStall(err):
		e.offence(p, "it opens a stream and stalls")
	case errors.Is(err, errFlood), errors.Is(err, errRequest):
		e.offence(p, err.Error())
	default:
		e.opt.Log.Debug("answering a peer", "peer", p, "err", err)
	}
}

var (
	errRequest = errors.New("its request is malformed")
	errFlood   = errors.New("it asks for lists again and again")
	errOften   = errors.New("asked for a list too soon")
)

func (a *answerer) answer() error {
	if err := a.s.SetReadDeadline(time.Now().Add(a.opt.Patience)); err != nil {
		return err
	}
	data, err := frame.Read(bufio.NewReaderSize(a.s, 4<<10), maxRequest)
	var req *request
	if err == nil {
		req, err = frame.Decode[request](data)
	}
	if errors.Is(err, protocol.ErrMalformed) {
		return fmt.Errorf("%w: %w", errRequest, err)
	} else if err != nil {
		return err
	}
	switch req.Kind {
	case kindFrontier, kindDigests, kindHeads:
		if ok, offence := a.guard.list(a.p, time.Now()); offence {
			return errFlood
		} else if !ok {
			return errOften
		}
	}
	switch req.Kind {
	case kindFrontier:
		return a.frontierPages(req.Digest)
	case kindHeads:
		return a.headsPages(req.Nodes)
	case kindRange:
		return a.rangePages(req)
	case kindBlob:
		return a.blobPages(req.Blob, req.Offset)
	case kindDigests:
		return a.digests(req.Digest)
	default:
		return a.records(req.Team)
	}
}

// send writes one frame. It holds no lock: a peer that does not read holds up nobody else.
func (a *answerer) send(v any) error {
	data, err := frame.Append(nil, v)
	if err != nil {
		return err
	}
	if err := a.s.SetWriteDeadline(time.Now().Add(a.opt.Patience)); err != nil {
		return err
	}
	_, err = a.s.Write(data)
	return err
}

func (a *answerer) frontierPages(theirs protocol.Hash) error {
	mine, err := a.frontier(a.p)
	if err != nil {
		return err
	}
	page := &frontierPage{Digest: frontierDigest(mine)}
	if page.Digest == theirs {
		return a.send(page)
	}
	for {
		n := pageOf(mine)
		page.Entries, mine = mine[:n], mine[n:]
		page.More = len(mine) > 0
		if err := a.send(page); err != nil || !page.More {
			return err
		}
		page = &frontierPage{}
	}
}

// pageOf returns how many of the entries one frame takes.
func pageOf(es []Entry) int {
	const entry, perHole = 192, 20 // bytes, at the most
	size := 0
	for i, en := range es[:min(len(es), MaxEntries)] {
		if size += entry + perHole*len(en.Holes); size > maxFrame-1024 {
			return i
		}
	}
	return min(len(es), MaxEntries)
}

// headsPages gives the heads of nodes of which the peer may be told.
func (a *answerer) headsPages(nodes []protocol.KID) error {
	mine, err := a.frontier(a.p)
	if err != nil {
		return err
	}
	told := map[protocol.KID]bool{}
	for _, en := range mine {
		if en.Heads > 0 { // only with the feed of which they speak
			told[en.Node] = true
		}
	}
	page, size := &headsPage{}, 0
	for _, k := range nodes {
		if !told[k] {
			continue
		}
		raw, err := a.backend.HeadsOf(k)
		if err != nil {
			return err
		}
		if len(raw) == 0 {
			continue
		}
		if size >= maxBatch {
			page.More = true
			if err := a.send(page); err != nil {
				return err
			}
			page, size = &headsPage{}, 0
		}
		page.Heads = append(page.Heads, raw)
		size += len(raw)
	}
	return a.send(page)
}

// rangePages gives entries, a batch at a time, so that neither the store nor memory is held while the peer reads.
func (a *answerer) rangePages(req *request) error {
	if !a.backend.Serves(a.p, req.Feed) {
		return a.send(&rangePage{})
	}
	from, to := req.From, req.To
	count, size := 0, 0
	for {
		var batch [][]byte
		bytes, full, last := 0, false, uint64(0)
		err := a.backend.Range(req.Feed, from, to, req.Reverse, func(raw []byte) bool {
			if bytes >= maxBatch || size+bytes >= PageBytes || count+len(batch) >= MaxPage {
				full = true
				return false
			}
			batch = append(batch, raw)
			bytes += len(raw)
			return true
		})
		if err != nil {
			return err
		}
		count, size = count+len(batch), size+bytes
		rest := full && (size >= PageBytes || count >= MaxPage)
		if !full || rest {
			return a.endRange(req.Feed, batch, rest)
		}
		if last, err = seqOf(batch[len(batch)-1]); err != nil {
			return err
		}
		if req.Reverse {
			to = last
		} else {
			from = last + 1
		}
		if err := a.send(&rangePage{Parcels: batch, More: true}); err != nil {
			return err
		}
		if from >= to {
			return a.endRange(req.Feed, nil, false)
		}
	}
}

func (a *answerer) endRange(f protocol.FeedID, batch [][]byte, rest bool) error {
	x, ok, err := a.backend.Extent(f)
	if err != nil {
		return err
	}
	page := &rangePage{Parcels: batch, Rest: rest}
	if ok {
		page.First = min(max(x.First, 1), MaxSeq+1)
	}
	return a.send(page)
}

// seqOf returns the sequence number of a parcel that this node keeps.
func seqOf(raw []byte) (uint64, error) {
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
	if err != nil {
		return 0, fmt.Errorf("a kept parcel: %w", err)
	}
	p, err := protocol.Decode[protocol.Parcel](env)
	if err != nil {
		return 0, fmt.Errorf("a kept parcel: %w", err)
	}
	return p.Seq, nil
}

func (a *answerer) blobPages(hash protocol.Hash, offset uint64) (err error) {
	r, size, ok, err := a.backend.OpenBlob(a.p, hash)
	if err != nil {
		return err
	}
	if !ok {
		return a.send(&blobPage{})
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	page := &blobPage{Size: size}
	if offset >= size {
		return a.send(page)
	}
	if _, err := r.Seek(int64(offset), io.SeekStart); err != nil {
		return err
	}
	end := min(size, offset+MaxBlobReply)
	buf := make([]byte, MaxChunk)
	for offset < end {
		n := min(uint64(len(buf)), end-offset)
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return err
		}
		offset += n
		page.Data, page.More = buf[:n], offset < end
		if err := a.send(page); err != nil {
			return err
		}
		page = &blobPage{}
	}
	return nil
}

func (a *answerer) digests(theirs protocol.Hash) error {
	all, err := a.backend.Digests(a.p)
	if err != nil {
		return err
	}
	mine := shared(all)
	page := &digestsPage{Digest: teamsDigest(mine)}
	if page.Digest != theirs {
		page.Teams = mine
	}
	return a.send(page)
}

func (a *answerer) records(team protocol.TeamID) error {
	b, err := a.backend.Records(a.p, team)
	if err != nil {
		return err
	}
	if b == nil {
		b = &protocol.Bundle{Team: team}
	}
	return a.send(b)
}
