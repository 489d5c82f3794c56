package catchup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// An author makes real parcels and heads.
type author struct {
	team protocol.TeamID
	key  *protocol.PrivateKey
	kid  protocol.KID
	feed protocol.FeedID
	raws [][]byte
	prev protocol.Hash
}

func newAuthor(t testing.TB, name string) *author {
	t.Helper()
	k, _, err := protocol.GenerateKey(protocol.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	a := &author{team: protocol.Sum("team", []byte(name)), key: k, kid: k.Public().ID()}
	a.feed = protocol.FeedOf(a.kid, protocol.Channel{})
	return a
}

// write adds n messages.
func (a *author) write(t testing.TB, n int) *author {
	t.Helper()
	for range n {
		seq := uint64(len(a.raws) + 1)
		body := fmt.Appendf(nil, "message %d", seq)
		st, err := protocol.Sign(&protocol.Statement{Author: a.team, Node: a.kid, Clock: protocol.HLC(seq), Kind: protocol.KindMessage,
			Audience: protocol.Audience{Kind: protocol.Community}, Label: tlp.Green, Title: "t",
			Body: protocol.Body{Format: "text", Size: uint64(len(body)), Hash: sha256.Sum256(body), Inline: body}}, a.key)
		if err != nil {
			t.Fatal(err)
		}
		e, err := protocol.Sign(&protocol.Parcel{Team: a.team, Node: a.kid, Feed: a.feed, Seq: seq, Prev: a.prev, Class: protocol.Normal, Body: st.Encode()}, a.key)
		if err != nil {
			t.Fatal(err)
		}
		a.prev = e.ID()
		a.raws = append(a.raws, e.Encode())
	}
	return a
}

func (a *author) heads(t testing.TB, n uint64) []byte {
	t.Helper()
	e, err := protocol.Sign(&protocol.Heads{Team: a.team, Node: a.kid, N: n, Time: n,
		Feeds: []protocol.Head{{Feed: a.feed, First: 1, Seq: uint64(len(a.raws)), Hash: a.prev}}}, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return e.Encode()
}

// A memory is a Backend without a disk. It verifies what it is given.
type memory struct {
	mu       sync.Mutex
	authors  map[protocol.KID]*author
	feeds    map[protocol.FeedID]*memFeed
	words    map[protocol.KID]*protocol.Heads
	wordRaws map[protocol.KID][]byte
	blobs    map[protocol.Hash][]byte
	parts    map[protocol.Hash][]byte
	wanted   []protocol.BlobRef
	bundles  map[protocol.TeamID]*protocol.Bundle
	twice    int
	batches  []int
	calls    int // of Ingest, now
	most     int // at a time

	pairs    map[protocol.FeedID]protocol.KID // followed, besides the authors' own
	serves   func(peer.ID, protocol.FeedID) bool
	may      func(peer.ID, protocol.Hash) bool // have the blob
	stranger func(peer.ID) bool
	refuse   error // what Ingest fails with
	onAdd    func(*protocol.Bundle)
}

type memFeed struct {
	team  protocol.TeamID
	node  protocol.KID
	raws  map[uint64][]byte
	ids   map[uint64]protocol.Hash
	first uint64
	max   uint64
}

func newMemory(authors ...*author) *memory {
	m := &memory{authors: map[protocol.KID]*author{}, feeds: map[protocol.FeedID]*memFeed{}, words: map[protocol.KID]*protocol.Heads{},
		wordRaws: map[protocol.KID][]byte{}, blobs: map[protocol.Hash][]byte{}, parts: map[protocol.Hash][]byte{}, bundles: map[protocol.TeamID]*protocol.Bundle{}}
	for _, a := range authors {
		m.authors[a.kid] = a
	}
	return m
}

// hold gives the memory what the author wrote in [from, to).
func (m *memory) hold(t testing.TB, a *author, from, to uint64) *memory {
	t.Helper()
	for s := from; s < to; s++ {
		if r := m.take(a.raws[s-1], Ask{Feed: a.feed, From: from, To: to}); r.Accepted != 1 {
			t.Fatalf("entry %d: %+v", s, r)
		}
	}
	return m
}

func (m *memory) Admits(p peer.ID) bool { return m.stranger == nil || !m.stranger(p) }

func (m *memory) Extents() ([]Extent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Extent
	for f := range m.feeds {
		out = append(out, m.extent(f))
	}
	return out, nil
}

func (m *memory) extent(f protocol.FeedID) Extent {
	mf := m.feeds[f]
	x := Extent{Team: mf.team, Node: mf.node, Feed: f, First: mf.first, Next: mf.first, Max: mf.max}
	for mf.raws[x.Next] != nil {
		x.Head = mf.ids[x.Next]
		x.Next++
	}
	for s := x.Next; s < x.Max; s++ {
		if mf.raws[s] != nil {
			continue
		}
		if k := len(x.Gaps); k > 0 && x.Gaps[k-1].To == s {
			x.Gaps[k-1].To++
		} else if k < MaxGaps {
			x.Gaps = append(x.Gaps, Span{s, s + 1})
		}
	}
	return x
}

func (m *memory) Extent(f protocol.FeedID) (Extent, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.feeds[f] == nil {
		return Extent{}, false, nil
	}
	return m.extent(f), true, nil
}

func (m *memory) Follow(team protocol.TeamID, node protocol.KID, f protocol.FeedID) Follow {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.authors[node]
	return Follow{Wanted: a != nil && a.team == team && (a.feed == f || m.pairs[f] == node)}
}

func (m *memory) Serves(p peer.ID, f protocol.FeedID) bool { return m.serves == nil || m.serves(p, f) }

func (m *memory) Range(f protocol.FeedID, from, to uint64, reverse bool, fn func([]byte) bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mf := m.feeds[f]
	if mf == nil {
		return nil
	}
	for i := range to - from {
		s := from + i
		if reverse {
			s = to - 1 - i
		}
		if raw := mf.raws[s]; raw != nil && !fn(raw) {
			return nil
		}
	}
	return nil
}

func (m *memory) Ingest(_ context.Context, _ peer.ID, ask Ask, raws [][]byte) (Report, error) {
	m.mu.Lock()
	if m.refuse != nil {
		m.mu.Unlock()
		return Report{}, m.refuse
	}
	m.batches = append(m.batches, len(raws))
	m.calls++
	m.most = max(m.most, m.calls)
	m.mu.Unlock()
	var sum Report
	for _, raw := range raws {
		r := m.take(raw, ask)
		sum.Accepted += r.Accepted
		sum.Known += r.Known
		sum.Refused += r.Refused
	}
	m.mu.Lock()
	m.calls--
	m.mu.Unlock()
	return sum, nil
}

func (m *memory) take(raw []byte, ask Ask) Report {
	e, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
	if err != nil {
		return Report{Refused: 1}
	}
	p, err := protocol.Decode[protocol.Parcel](e)
	if err != nil || p.Feed != ask.Feed || p.Seq < ask.From || p.Seq >= ask.To {
		return Report{Refused: 1}
	}
	m.mu.Lock()
	a := m.authors[p.Node]
	m.mu.Unlock()
	if a == nil || e.VerifyNode(a.key.Public()) != nil {
		return Report{Refused: 1}
	}
	if _, _, err := p.OpenCommunity(a.key.Public()); !p.Sealed && err != nil {
		return Report{Refused: 1}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	mf := m.feeds[p.Feed]
	if mf == nil {
		mf = &memFeed{team: p.Team, node: p.Node, raws: map[uint64][]byte{}, ids: map[uint64]protocol.Hash{}, first: 1}
		m.feeds[p.Feed] = mf
	}
	if mf.raws[p.Seq] != nil {
		m.twice++
		return Report{Known: 1}
	}
	mf.raws[p.Seq], mf.ids[p.Seq] = raw, e.ID()
	mf.max = max(mf.max, p.Seq)
	return Report{Accepted: 1}
}

func (m *memory) Heads(fn func(*protocol.Heads)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.words {
		fn(h)
	}
	return nil
}

func (m *memory) HeadsOf(k protocol.KID) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wordRaws[k], nil
}

func (m *memory) AddHeads(_ context.Context, _ peer.ID, raw []byte) (*protocol.Heads, error) {
	e, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
	if err != nil {
		return nil, errors.Join(ErrRefused, err)
	}
	h, err := protocol.Decode[protocol.Heads](e)
	if err != nil {
		return nil, errors.Join(ErrRefused, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.authors[h.Node]; a == nil || e.VerifyNode(a.key.Public()) != nil {
		return nil, ErrRefused
	}
	if old := m.words[h.Node]; old != nil && old.N >= h.N {
		return nil, nil
	}
	m.words[h.Node], m.wordRaws[h.Node] = h, raw
	return h, nil
}

func (m *memory) WantedBlobs(p peer.ID, most int) ([]protocol.BlobRef, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []protocol.BlobRef
	for _, ref := range m.wanted {
		if m.blobs[ref.Hash] == nil && len(out) < most && (m.may == nil || m.may(p, ref.Hash)) {
			out = append(out, ref)
		}
	}
	return out, nil
}

type blobReader struct{ *bytes.Reader }

func (blobReader) Close() error { return nil }

func (m *memory) OpenBlob(p peer.ID, h protocol.Hash) (io.ReadSeekCloser, uint64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[h]
	ok = ok && (m.may == nil || m.may(p, h))
	return blobReader{bytes.NewReader(b)}, uint64(len(b)), ok, nil
}

type memWriter struct {
	m   *memory
	ref protocol.BlobRef
}

func (m *memory) BlobWriter(ref protocol.BlobRef) (BlobWriter, error) { return memWriter{m, ref}, nil }

func (w memWriter) Have() uint64 {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	return uint64(len(w.m.parts[w.ref.Hash]))
}

func (w memWriter) Write(b []byte) (int, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.parts[w.ref.Hash] = append(w.m.parts[w.ref.Hash], b...)
	return len(b), nil
}

func (w memWriter) Commit() error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	b := w.m.parts[w.ref.Hash]
	delete(w.m.parts, w.ref.Hash)
	if sha256.Sum256(b) != w.ref.Hash {
		return ErrWrongBlob
	}
	w.m.blobs[w.ref.Hash] = b
	return nil
}

func (w memWriter) Close() error { return nil }

func bundleDigest(b *protocol.Bundle) protocol.Hash { return protocol.Sum("bundle", b.Records...) }

func (m *memory) Digests(peer.ID) ([]TeamDigest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []TeamDigest
	for id, b := range m.bundles {
		out = append(out, TeamDigest{Team: id, Digest: bundleDigest(b), Share: true})
	}
	return out, nil
}

func (m *memory) Records(_ peer.ID, team protocol.TeamID) (*protocol.Bundle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bundles[team], nil
}

func (m *memory) AddRecords(_ context.Context, _ peer.ID, b *protocol.Bundle) error {
	m.mu.Lock()
	old := m.bundles[b.Team]
	if old == nil || len(old.Records) < len(b.Records) {
		m.bundles[b.Team] = b
	}
	m.mu.Unlock()
	if m.onAdd != nil {
		m.onAdd(b)
	}
	return nil
}

// count returns how many entries of the feed are held.
func (m *memory) count(f protocol.FeedID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.feeds[f] == nil {
		return 0
	}
	return len(m.feeds[f].raws)
}

// A station is a host with an engine, or without one: an attacker.
type station struct {
	host.Host
	m        *memory
	e        *Engine
	mu       sync.Mutex
	offences []string
}

func newStation(t testing.TB, m *memory, o Options) *station {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(libp2ptls.ID, libp2ptls.New), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
	if err != nil {
		t.Fatal(err)
	}
	s := &station{Host: h, m: m}
	t.Cleanup(func() { _ = h.Close() })
	if m == nil {
		return s
	}
	o.Offence = func(p peer.ID, why string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.offences = append(s.offences, why)
	}
	s.e = New(h, m, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.e.Run(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Error("the engine did not end with its context")
		}
	})
	waitFor(t, "the protocol to be served", func() bool { return slices.Contains(h.Mux().Protocols(), Protocol) })
	return s
}

func (s *station) offended() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.offences)
}

// meet connects two stations and tells their engines.
func meet(t testing.TB, a, b *station) {
	t.Helper()
	a.Peerstore().AddAddrs(b.ID(), b.Addrs(), peerstore.PermanentAddrTTL)
	if err := a.Connect(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the connection", func() bool { return len(b.Network().ConnsToPeer(a.ID())) > 0 })
	for _, p := range [][2]*station{{a, b}, {b, a}} {
		if p[0].e != nil {
			p[0].e.PeerReady(p[1].ID())
		}
	}
}

// waitFor polls, as real sockets give no other sign.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
