package nodetest

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/entente-network/entente/protocol"
)

// A tap records what goes over the streams of one team's hosts, as somebody would who reads every line and has broken its
// encryption: each direction of each stream whole.
type tap struct {
	mu   sync.Mutex
	said []*strand // guarded by mu
	read []*strand // guarded by mu
}

// A strand is one direction of one stream.
type strand struct {
	proto  libp2p.ID
	opened bool // by this side
	data   []byte
}

func (t *tap) add(proto libp2p.ID, opened bool) (said, read *strand) {
	t.mu.Lock()
	defer t.mu.Unlock()
	said, read = &strand{proto: proto, opened: opened}, &strand{proto: proto, opened: opened}
	t.said, t.read = append(t.said, said), append(t.read, read)
	return said, read
}

func (t *tap) note(s *strand, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.data = append(s.data, b...)
}

// heard returns what came over each stream to the team's hosts.
func (t *tap) heard() [][]byte { return t.copies(&t.read) }

// told returns what the team's hosts wrote into each stream, whether it arrived or not.
func (t *tap) told() [][]byte { return t.copies(&t.said) }

func (t *tap) copies(of *[]*strand) (out [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range *of {
		if len(s.data) > 0 {
			out = append(out, s.data[:len(s.data):len(s.data)])
		}
	}
	return out
}

// A tappedHost is a host all of whose streams are recorded.
type tappedHost struct {
	host.Host
	tap *tap
}

func (h *tappedHost) wrap(s network.Stream, opened bool) network.Stream {
	said, read := h.tap.add(s.Protocol(), opened)
	return &tappedStream{Stream: s, tap: h.tap, said: said, read: read}
}

func (h *tappedHost) NewStream(ctx context.Context, p peer.ID, ids ...libp2p.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return h.wrap(s, true), nil
}

func (h *tappedHost) SetStreamHandler(id libp2p.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) { f(h.wrap(s, false)) })
}

func (h *tappedHost) SetStreamHandlerMatch(id libp2p.ID, match func(libp2p.ID) bool, f network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, func(s network.Stream) { f(h.wrap(s, false)) })
}

type tappedStream struct {
	network.Stream
	tap        *tap
	said, read *strand
}

func (s *tappedStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.tap.note(s.read, b[:n])
	return n, err
}

func (s *tappedStream) Write(b []byte) (int, error) {
	s.tap.note(s.said, b)
	return s.Stream.Write(b)
}

// LastPushed returns the parcel that the team's node last pushed to somebody; nil if none.
func (t *Team) LastPushed() []byte {
	all := t.tap.pushed(false)
	for i := len(all) - 1; i >= 0; i-- {
		if env, err := protocol.DecodeEnvelope(all[i], protocol.MaxParcel); err == nil && env.Type == protocol.TypeParcel {
			return all[i]
		}
	}
	return nil
}

// Copies returns how often the bytes came over the lines of the team's node.
func (t *Team) Copies(b []byte) (n int) {
	for _, l := range t.tap.heard() {
		n += bytes.Count(l, b)
	}
	return n
}

// Distance returns how long a packet takes from the team to the other one.
func (t *Team) Distance(o *Team) time.Duration { return t.w.Latency(t.place, o.place) }
