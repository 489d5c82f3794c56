package roomsync

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

const (
	// mostTalk is how long a conversation may take, however regularly its frames come. What came until then is kept.
	mostTalk = 5 * time.Minute
	// digest is for how many bytes a peer that was given them has another second before its answer is due: it verifies and
	// keeps them first.
	digest = 64 << 10
)

var errSlow = errors.New("the conversation takes too long")

// A talk is one side of a stream. One goroutine uses it.
type talk struct {
	peer     peer.ID
	s        network.Stream
	r        *bufio.Reader
	patience time.Duration
	until    time.Time
	stop     func() bool
	kind     kind // of the conversation, until its first page was written
	most     int  // bytes of a turn of the peer
	given    int  // bytes that were written
}

func newTalk(ctx context.Context, s network.Stream, patience time.Duration) *talk {
	return &talk{
		peer: s.Conn().RemotePeer(), s: s, r: bufio.NewReaderSize(s, 4<<10), patience: patience, until: time.Now().Add(mostTalk),
		most: maxTurn,
		stop: context.AfterFunc(ctx, func() { _ = s.Reset() }),
	}
}

// end closes the stream, or resets it if something went wrong.
func (t *talk) end(err error) {
	t.stop()
	if err != nil {
		_ = t.s.Reset()
		return
	}
	_ = t.s.Close()
}

// deadline gives the peer its time for one frame, and some more.
func (t *talk) deadline(more time.Duration) error {
	now := time.Now()
	if now.After(t.until) {
		return errSlow
	}
	return t.s.SetDeadline(now.Add(t.patience + more))
}

// page reads one page. io.EOF says that the peer has ended the conversation.
func (t *talk) page(more time.Duration) (*page, int, error) {
	if err := t.deadline(more); err != nil {
		return nil, 0, err
	}
	data, err := frame.Read(t.r, maxFrame)
	if err != nil {
		return nil, 0, err
	}
	p, err := frame.Decode[page](data)
	return p, len(data), err
}

// first reads the first page of a conversation.
func (t *talk) first() (*page, error) {
	p, _, err := t.page(0)
	if err == nil && p.Kind == 0 {
		err = fmt.Errorf("%w: a conversation for nothing", protocol.ErrMalformed)
	}
	return p, err
}

// read reads a turn, in which parts may have the fields, and calls each with its parts; at is its first page, if that was read.
// rest says that something was left out beyond the last room. Where the peer has ended the conversation instead, the error is
// io.EOF.
func (t *talk) read(fields field, at *page, each func(*part) error) (rest bool, err error) {
	var last protocol.Hash
	rooms, size, more := 0, 0, time.Duration(t.given/digest)*time.Second
	for n := 0; ; n++ {
		p := at
		if at = nil; p == nil {
			var m int
			if p, m, err = t.page(more); err != nil {
				if n > 0 && errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return false, err
			}
			size, more = size+m, 0
			if p.Kind != 0 || size > t.most {
				return false, fmt.Errorf("%w: a second beginning, or a turn of over %d bytes", protocol.ErrMalformed, t.most)
			}
		}
		for i := range p.Parts {
			part := &p.Parts[i]
			if part.has()&^fields != 0 {
				return false, fmt.Errorf("%w: a part that is out of turn", protocol.ErrMalformed)
			}
			switch {
			case descends(last, part.Room):
				return false, errOrder
			case part.Room != last:
				rooms++
			}
			if last = part.Room; rooms > 2*MaxRooms { // those of both
				return false, fmt.Errorf("%w: over %d rooms in one turn", protocol.ErrMalformed, 2*MaxRooms)
			}
			if err := each(part); err != nil {
				return false, err
			}
		}
		if !p.More {
			return p.Rest, nil
		}
	}
}

// A turn is what this side says before the other does.
type turn struct {
	*talk
	parts []part
	size  int
}

func (t *talk) turn() *turn { return &turn{talk: t} }

// add says something about a room; rooms do not descend. It writes when a frame is full.
func (w *turn) add(p part) error {
	if n := p.size(); w.size > 0 && w.size+n > frameBytes {
		if err := w.write(&page{Parts: w.parts, More: true}); err != nil {
			return err
		}
		w.parts, w.size = nil, 0
	}
	w.parts = append(w.parts, p)
	w.size += p.size()
	return nil
}

// addRaws says records, or grants, of a room, in as many parts as it takes.
func (w *turn) addRaws(room protocol.Hash, raws [][]byte, grants bool) error {
	for len(raws) > 0 {
		n, size := 0, 0
		for n < len(raws) && n < maxBatch && (n == 0 || size+len(raws[n]) <= frameBytes) {
			size += len(raws[n])
			n++
		}
		p := part{Room: room, Records: raws[:n]}
		if grants {
			p = part{Room: room, Grants: raws[:n]}
		}
		if err := w.add(p); err != nil {
			return err
		}
		raws = raws[n:]
	}
	return nil
}

// end writes what is left.
func (w *turn) end(rest bool) error { return w.write(&page{Parts: w.parts, Rest: rest}) }

func (w *turn) write(p *page) error {
	p.Kind, w.kind = w.kind, 0
	data, err := frame.Append(nil, p)
	if err != nil {
		return err
	}
	if err := w.deadline(0); err != nil {
		return err
	}
	n, err := w.s.Write(data)
	w.given += n
	return err
}

func isStall(err error) bool {
	var t interface{ Timeout() bool } // stream multiplexers have errors of their own for a deadline
	return errors.As(err, &t) && t.Timeout()
}
