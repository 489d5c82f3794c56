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

// How long a peer may take for one answer, however regularly its frames come. An answer to a range or blob request that is
// cut off counts as far as it came, so that a slow link is only slow.
const (
	rangeTime  = time.Minute
	answerTime = 5 * time.Minute
)

// errSlow says that an answer was cut off for its slowness.
var errSlow = errors.New("the peer takes too long for its answer")

func isStall(err error) bool {
	var t interface{ Timeout() bool } // stream multiplexers have errors of their own for a deadline
	return errors.As(err, &t) && t.Timeout()
}

// isOffence reports whether an error says that the peer broke the protocol.
func isOffence(err error) bool {
	return errors.Is(err, protocol.ErrMalformed) || errors.Is(err, ErrRefused)
}

// A conversation is the asker's side of one stream.
type conversation struct {
	s        network.Stream
	r        *bufio.Reader
	patience time.Duration
	until    time.Time // when it is cut off
	stop     func() bool
}

// ask opens a stream to p and sends the request. The caller ends the conversation.
func (e *Engine) ask(ctx context.Context, p peer.ID, req *request) (*conversation, error) {
	openCtx, cancel := context.WithTimeout(network.WithNoDial(ctx, "catch-up uses connections, it makes none"), e.opt.Patience)
	defer cancel()
	s, err := e.host.NewStream(openCtx, p, Protocol)
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	c := &conversation{s: s, r: bufio.NewReaderSize(s, 16<<10), patience: e.opt.Patience, until: time.Now().Add(answerTime)}
	if req.Kind == kindRange {
		c.until = time.Now().Add(rangeTime)
	}
	c.stop = context.AfterFunc(ctx, func() { _ = s.Reset() })
	data, err := frame.Append(nil, req)
	if err == nil {
		err = s.SetDeadline(time.Now().Add(c.patience))
	}
	if err == nil {
		_, err = s.Write(data)
	}
	if err == nil {
		err = s.CloseWrite()
	}
	if err != nil {
		c.end(err)
		return nil, fmt.Errorf("sending a request: %w", err)
	}
	return c, nil
}

// end closes the stream, or resets it if the conversation did not come to its end.
func (c *conversation) end(err error) {
	c.stop()
	if err != nil {
		_ = c.s.Reset()
		return
	}
	_ = c.s.Close()
}

// frame reads the next frame.
func (c *conversation) frame(most int) ([]byte, error) {
	now := time.Now()
	if now.After(c.until) {
		return nil, errSlow
	}
	if err := c.s.SetReadDeadline(now.Add(c.patience)); err != nil {
		return nil, err
	}
	data, err := frame.Read(c.r, most)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // every answer says that it ends
	}
	return data, err
}

// read reads the next frame as a T.
func read[T any, P interface {
	*T
	frame.Checker
}](c *conversation) (*T, error) {
	data, err := c.frame(maxFrame)
	if err != nil {
		return nil, err
	}
	return frame.Decode[T, P](data)
}

// askFrontier returns what p says it holds of feeds, nil and false if it is what mine says.
func (e *Engine) askFrontier(ctx context.Context, p peer.ID, mine protocol.Hash, each func([]Entry)) (differs bool, err error) {
	c, err := e.ask(ctx, p, &request{Kind: kindFrontier, Digest: mine})
	if err != nil {
		return false, err
	}
	defer func() { c.end(err) }()
	var last protocol.FeedID
	n := 0
	for first := true; ; first = false {
		page, err := read[frontierPage](c)
		if err != nil {
			return false, err
		}
		n += len(page.Entries)
		switch {
		case first == page.Digest.IsZero(), n > MaxFrontier, len(page.Entries) > 0 && !ascends(last, page.Entries[0].Feed):
			return false, fmt.Errorf("%w: a frontier of over %d entries, or out of order", protocol.ErrMalformed, MaxFrontier)
		case first && page.Digest == mine:
			return false, nil
		}
		each(page.Entries)
		if !page.More {
			return true, nil
		}
		last = page.Entries[len(page.Entries)-1].Feed
	}
}

// askHeads calls each with the envelopes that p gives for the nodes.
func (e *Engine) askHeads(ctx context.Context, p peer.ID, nodes []protocol.KID, each func(raw []byte) error) (err error) {
	c, err := e.ask(ctx, p, &request{Kind: kindHeads, Nodes: nodes})
	if err != nil {
		return err
	}
	defer func() { c.end(err) }()
	for n := 0; ; {
		page, err := read[headsPage](c)
		if err != nil {
			return err
		}
		if n += len(page.Heads); n > len(nodes) {
			return fmt.Errorf("%w: more heads than were asked for", protocol.ErrMalformed)
		}
		for _, raw := range page.Heads {
			if err := each(raw); err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
	}
}

// askRange returns the parcels that p gives, and what it had given where it fails on the way.
func (e *Engine) askRange(ctx context.Context, p peer.ID, a Ask) (raws [][]byte, end rangePage, err error) {
	c, err := e.ask(ctx, p, &request{Kind: kindRange, Feed: a.Feed, From: a.From, To: a.To, Reverse: a.Reverse})
	if err != nil {
		return nil, end, err
	}
	defer func() { c.end(err) }()
	size := 0
	for {
		page, err := read[rangePage](c)
		if err != nil {
			return raws, end, err
		}
		for _, r := range page.Parcels {
			size += len(r)
		}
		if uint64(len(raws)+len(page.Parcels)) > a.To-a.From || size > PageBytes+protocol.MaxParcel {
			return raws, end, fmt.Errorf("%w: more entries than were asked for", protocol.ErrMalformed)
		}
		raws = append(raws, page.Parcels...)
		if !page.More {
			return raws, *page, nil
		}
	}
}

// askDigests returns what p says it holds of teams, nil if it is what mine says.
func (e *Engine) askDigests(ctx context.Context, p peer.ID, mine protocol.Hash) (teams []teamDigest, err error) {
	c, err := e.ask(ctx, p, &request{Kind: kindDigests, Digest: mine})
	if err != nil {
		return nil, err
	}
	defer func() { c.end(err) }()
	page, err := read[digestsPage](c)
	if err != nil {
		return nil, err
	}
	if page.Digest == mine {
		return nil, nil
	}
	return page.Teams, nil
}

// askRecords returns the records that p gives of a team.
func (e *Engine) askRecords(ctx context.Context, p peer.ID, team protocol.TeamID) (b *protocol.Bundle, err error) {
	c, err := e.ask(ctx, p, &request{Kind: kindRecords, Team: team})
	if err != nil {
		return nil, err
	}
	defer func() { c.end(err) }()
	data, err := c.frame(protocol.MaxBundle)
	if err != nil {
		return nil, err
	}
	if b, err = protocol.DecodeBundle(data); err != nil {
		return nil, err
	}
	if b.Team != team {
		return nil, fmt.Errorf("%w: the records of another team than was asked for", protocol.ErrMalformed)
	}
	return b, nil
}

// offence names a peer that broke the protocol.
func (e *Engine) offence(p peer.ID, why string) {
	e.opt.Log.Warn("a peer broke the catch-up protocol", "peer", p, "why", why)
	e.opt.Offence(p, why)
}
