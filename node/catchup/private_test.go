package catchup

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

// pair returns the author of another feed of the same node: the one for the channel with a team.
func (a *author) pair(with string) *author {
	return &author{team: a.team, key: a.key, kid: a.kid,
		feed: protocol.FeedOf(a.kid, protocol.Between(a.team, protocol.Sum("team", []byte(with)), protocol.Hash{}))}
}

// seal adds n sealed parcels with bodies of size bytes.
func (a *author) seal(t testing.TB, n, size int) *author {
	t.Helper()
	for range n {
		seq := uint64(len(a.raws) + 1)
		e, err := protocol.Sign(&protocol.Parcel{Team: a.team, Node: a.kid, Feed: a.feed, Seq: seq, Prev: a.prev, Class: protocol.Normal, Sealed: true,
			Body: bytes.Repeat([]byte{byte(seq)}, size)}, a.key)
		if err != nil {
			t.Fatal(err)
		}
		a.prev = e.ID()
		a.raws = append(a.raws, e.Encode())
	}
	return a
}

// follow has the memory want a feed between two teams.
func (m *memory) follow(as ...*author) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pairs == nil {
		m.pairs = map[protocol.FeedID]protocol.KID{}
	}
	for _, a := range as {
		m.pairs[a.feed] = a.kid
	}
	return m
}

// confine has the memory serve the feeds, and the blobs, to nobody but the peers.
func (m *memory) confine(feeds []protocol.FeedID, blobs []protocol.Hash, peers ...peer.ID) *memory {
	m.serves = func(p peer.ID, f protocol.FeedID) bool {
		return !slices.Contains(feeds, f) || slices.Contains(peers, p)
	}
	m.may = func(p peer.ID, h protocol.Hash) bool { return !slices.Contains(blobs, h) || slices.Contains(peers, p) }
	return m
}

// A witness writes down every request that it gets.
type witness struct {
	*station
	mu    sync.Mutex
	asked []request
}

// newWitness returns a peer that says it has everything that es and teams name, and gives none of it.
func newWitness(t *testing.T, es []Entry) *witness {
	t.Helper()
	w := &witness{station: newStation(t, nil, Options{})}
	note := func(answer func(*request, network.Stream)) func(*request, network.Stream) {
		return func(r *request, st network.Stream) {
			w.mu.Lock()
			w.asked = append(w.asked, *r)
			w.mu.Unlock()
			answer(r, st)
		}
	}
	pretend(t, w.station, map[kind]func(*request, network.Stream){
		kindFrontier: note(func(_ *request, st network.Stream) { tell(st, &frontierPage{Digest: hash("other"), Entries: es}) }),
		kindHeads:    note(func(_ *request, st network.Stream) { tell(st, &headsPage{}) }),
		kindRange:    note(func(_ *request, st network.Stream) { tell(st, &rangePage{}) }),
		kindBlob:     note(func(_ *request, st network.Stream) { tell(st, &blobPage{}) }),
		kindDigests:  note(func(r *request, st network.Stream) { tell(st, &digestsPage{Digest: r.Digest}) }),
	})
	return w
}

// requests returns what it was asked of the kinds.
func (w *witness) requests(kinds ...kind) (out []request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.asked {
		if slices.Contains(kinds, r.Kind) {
			out = append(out, r)
		}
	}
	return out
}

// claim is the entry by which somebody says that it holds the feed up to next, and the author's heads.
func claimTo(a *author, next uint64) Entry {
	return Entry{Node: a.kid, Team: a.team, Feed: a.feed, First: 1, Next: next, Head: hash("head"), Heads: 99}
}

// answer returns every byte that the station answers to a request of from.
func answer(t *testing.T, from, to *station, r *request) []byte {
	t.Helper()
	data, err := frame.Append(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	st := attack(t, from, to, data)
	_ = st.CloseWrite()
	_ = st.SetReadDeadline(time.Now().Add(30 * time.Second))
	got, err := io.ReadAll(st)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Whatever a third asks, a node with a private feed and a private blob answers in the same bytes as one that has neither.
func TestThirdCannotTell(t *testing.T) {
	a := newAuthor(t, "a").write(t, 5)
	secret := a.pair("b").seal(t, 7, 100)
	open, openRef := blob(t, 5000)
	closed, closedRef := blob(t, 5000)
	stations := func(private bool) *station {
		m := newMemory(a).hold(t, a, 1, 6)
		m.blobs[openRef.Hash] = open
		if private {
			m.hold(t, secret, 1, 8)
			m.blobs[closedRef.Hash] = closed
		}
		if _, err := m.AddHeads(t.Context(), "", a.heads(t, 7)); err != nil {
			t.Fatal(err)
		}
		return newStation(t, m.confine([]protocol.FeedID{secret.feed}, []protocol.Hash{closedRef.Hash}), Options{})
	}
	with, without := stations(true), stations(false)
	third := newStation(t, nil, Options{})
	meet(t, third, with)
	meet(t, third, without)
	for name, r := range map[string]*request{
		"frontier":          {Kind: kindFrontier, Digest: hash("d")},
		"heads":             {Kind: kindHeads, Nodes: []protocol.KID{a.kid}},
		"private entries":   {Kind: kindRange, Feed: secret.feed, From: 1, To: 8},
		"backwards":         {Kind: kindRange, Feed: secret.feed, From: 1, To: 8, Reverse: true},
		"community entries": {Kind: kindRange, Feed: a.feed, From: 1, To: 8},
		"private blob":      {Kind: kindBlob, Blob: closedRef.Hash},
		"its end":           {Kind: kindBlob, Blob: closedRef.Hash, Offset: 5000},
		"open blob":         {Kind: kindBlob, Blob: openRef.Hash},
		"digests":           {Kind: kindDigests, Digest: hash("d")},
		"records":           {Kind: kindRecords, Team: a.team},
	} {
		if x, y := answer(t, third, with, r), answer(t, third, without, r); len(x) == 0 || !bytes.Equal(x, y) {
			t.Errorf("%s: %d bytes of the one that has a private feed, %d of the other: want the same", name, len(x), len(y))
		}
	}
	for name, pair := range map[string][2]*request{
		"feeds": {{Kind: kindRange, Feed: secret.feed, From: 1, To: 8}, {Kind: kindRange, Feed: hash("no such feed"), From: 1, To: 8}},
		"blobs": {{Kind: kindBlob, Blob: closedRef.Hash}, {Kind: kindBlob, Blob: hash("no such blob")}},
	} {
		if x, y := answer(t, third, with, pair[0]), answer(t, third, with, pair[1]); !bytes.Equal(x, y) {
			t.Errorf("%s: %d bytes for one that is private, %d for one that does not exist: want the same", name, len(x), len(y))
		}
	}
	if got := with.offended(); len(got) > 0 {
		t.Errorf("offences %q", got)
	}
}

// Heads for the community say when the author last spoke there: who is served only a feed between two teams gets none.
func TestHeadsFollowTheCommunityFeed(t *testing.T) {
	a := newAuthor(t, "a").write(t, 5)
	own := a.pair("b").seal(t, 3, 100)
	m := newMemory(a).hold(t, a, 1, 6).hold(t, own, 1, 4)
	if _, err := m.AddHeads(t.Context(), "", a.heads(t, 7)); err != nil {
		t.Fatal(err)
	}
	m.confine([]protocol.FeedID{a.feed}, nil)
	s, partner := newStation(t, m, Options{}), newStation(t, nil, Options{})
	meet(t, partner, s)
	mine, err := s.e.frontier(partner.ID())
	if err != nil || len(mine) != 1 || mine[0].Feed != own.feed || mine[0].Heads != 0 {
		t.Errorf("told of %+v, %v: want the feed between the two, and no heads", mine, err)
	}
	none, _ := frame.Append(nil, &headsPage{})
	if got := answer(t, partner, s, &request{Kind: kindHeads, Nodes: []protocol.KID{a.kid}}); !bytes.Equal(got, none) {
		t.Errorf("answered %d bytes: want no heads", len(got))
	}
}

// A third that names a private feed, whose id it can compute, is not asked for it, nor for anything because of it, however
// it brings it up.
func TestThirdIsNotAsked(t *testing.T) {
	a := newAuthor(t, "a").write(t, 5)
	secret := a.pair("b").seal(t, 7, 100)
	_, ref := blob(t, 5000)
	m := newMemory(a).hold(t, a, 1, 6).hold(t, secret, 1, 4).follow(secret)
	m.wanted = []protocol.BlobRef{ref}
	third := newWitness(t, []Entry{claimTo(secret, 8)})
	partner := newMemory(a).hold(t, secret, 1, 8)
	b := newStation(t, partner, Options{})
	m.confine([]protocol.FeedID{secret.feed}, []protocol.Hash{ref.Hash}, b.ID())
	victim := newStation(t, m, Options{PokeDelay: time.Millisecond})
	meet(t, victim, third.station)
	waitFor(t, "a comparison", func() bool { return len(third.requests(kindFrontier)) > 0 })
	word := &protocol.Heads{Team: a.team, Node: a.kid, N: 3, Time: 3, For: hash("b"),
		Feeds: []protocol.Head{{Feed: secret.feed, First: 1, Seq: 7, Hash: secret.prev}}}
	victim.e.Poke(secret.feed, third.ID())
	victim.e.Heard(word, third.ID())
	victim.e.PokeBlobs()
	waitFor(t, "the pokes to be looked at", func() bool {
		left := make(chan int, 1)
		victim.e.post(func(l *loop) {
			l.inbox.mu.Lock()
			defer l.inbox.mu.Unlock()
			left <- len(l.pokes) + len(l.inbox.pokes)
		})
		return <-left == 0
	})
	// From the partner it comes, though the third was looked at first.
	meet(t, victim, b)
	waitFor(t, "the partner's entries", func() bool { return m.count(secret.feed) == 7 })
	if got := third.requests(kindRange, kindHeads, kindBlob); len(got) > 0 {
		t.Errorf("the third was asked %+v", got)
	}
	remembered := make(chan bool, 1)
	victim.e.post(func(l *loop) {
		f := l.state.feed(secret.feed)
		remembered <- !f.blamed(third.ID()).IsZero() || slices.ContainsFunc(f.claims, func(c claim) bool { return c.peer == third.ID() })
	})
	if <-remembered {
		t.Error("the third counts as a source of the private feed")
	}
}

// Claims that were made while a feed was served are worth nothing when it is not any more.
func TestServingEnds(t *testing.T) {
	a := newAuthor(t, "a").seal(t, 0, 0)
	own := a.pair("b").seal(t, 7, 100)
	w := newWitness(t, []Entry{claimTo(own, 8)})
	m := newMemory(a).follow(own)
	var mu sync.Mutex
	ended := false
	m.serves = func(_ peer.ID, f protocol.FeedID) bool {
		mu.Lock()
		defer mu.Unlock()
		return f != own.feed || !ended
	}
	s := newStation(t, m, Options{})
	meet(t, s, w.station)
	waitFor(t, "a request", func() bool { return len(w.requests(kindRange)) > 0 })
	mu.Lock()
	ended = true
	mu.Unlock()
	if got := w.requests(kindHeads); len(got) > 0 {
		t.Errorf("asked for heads %+v, which do not speak of this feed", got)
	}
	before := len(w.requests(kindRange))
	landed := make(chan struct{})
	s.e.post(func(l *loop) {
		r := Request{ID: 1 << 40, Peer: w.ID(), Node: a.kid, Ask: Ask{Feed: own.feed, From: 1, To: 8}}
		l.wg.Go(func() { l.fetch(l.ctx, r); close(landed) })
	})
	<-landed
	if n := len(w.requests(kindRange)); n != before {
		t.Errorf("%d requests, one of them after serving had ended", n)
	}
}

// A blob of one pair comes from the partner; others are not even asked.
func TestPrivateBlob(t *testing.T) {
	b, ref := blob(t, 300_000)
	mine, has := newMemory(), newMemory()
	mine.wanted = []protocol.BlobRef{ref}
	has.blobs[ref.Hash] = b
	third := newWitness(t, nil)
	partner := newStation(t, has, Options{})
	mine.confine(nil, []protocol.Hash{ref.Hash}, partner.ID())
	me := newStation(t, mine, Options{})
	has.confine(nil, []protocol.Hash{ref.Hash}, me.ID())
	meet(t, me, third.station)
	meet(t, me, partner)
	waitFor(t, "the blob", func() bool { w, _ := mine.WantedBlobs(partner.ID(), 1); return len(w) == 0 })
	if got := third.requests(kindBlob); len(got) > 0 {
		t.Errorf("the third was asked %+v", got)
	}
}

// Nodes have many feeds: that of the community and one for each partner and agreement. All catch up, parcels as large as may
// be among them, and heads stay those of the community.
func TestManyFeedsOfOneNode(t *testing.T) {
	a := newAuthor(t, "a").write(t, 20)
	m, n := newMemory(a).hold(t, a, 1, 21), newMemory(a)
	var pairs []*author
	for i := range 20 {
		size, count := 100, 30
		if i == 0 {
			size, count = protocol.MaxParcel-1000, 40
		}
		p := a.pair(string(rune('b'+i))).seal(t, count, size)
		pairs = append(pairs, p)
		m.hold(t, p, 1, uint64(count)+1)
	}
	n.follow(pairs...)
	if _, err := m.AddHeads(t.Context(), "", a.heads(t, 7)); err != nil {
		t.Fatal(err)
	}
	x, y := newStation(t, m, Options{}), newStation(t, n, Options{})
	meet(t, x, y)
	waitFor(t, "everything", func() bool {
		for _, p := range pairs {
			if n.count(p.feed) != len(p.raws) {
				return false
			}
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.words[a.kid] != nil && n.feeds[a.feed] != nil && len(n.feeds[a.feed].raws) == 20
	})
	ext, _, _ := n.Extent(a.feed)
	if c := Complete(ext, n.words[a.kid]); !c.Complete {
		t.Errorf("coverage %+v", c)
	}
	if n.twice > 0 || len(x.offended())+len(y.offended()) > 0 {
		t.Errorf("%d entries twice, offences %q %q", n.twice, x.offended(), y.offended())
	}
}

// Heads for one team and those for the community have counters of their own.
func TestWordsForDifferentReaders(t *testing.T) {
	s := NewState(Limits{})
	node, community, pair := kidOf("n"), hash("community"), hash("pair")
	for _, f := range []protocol.FeedID{community, pair} {
		s.Step(simStart, Holds{Extent{Team: hash("t"), Node: node, Feed: f, First: 1, Next: 1}, Follow{Wanted: true}})
	}
	say := func(n, first uint64, f protocol.FeedID, reader protocol.TeamID) {
		s.Step(simStart, Word{&protocol.Heads{Team: hash("t"), Node: node, N: n, Time: 1, For: reader, Feeds: []protocol.Head{{Feed: f, First: first, Seq: 90, Hash: hash("h")}}}})
	}
	say(100, 7, pair, hash("reader"))
	say(50, 5, community, protocol.TeamID{})
	say(40, 1, community, protocol.TeamID{}) // older than the one before
	for f, want := range map[protocol.FeedID]uint64{community: 5, pair: 7} {
		if got := s.feed(f).wanted().From; got != want {
			t.Errorf("wanted from %d: want %d", got, want)
		}
	}
	s.Step(simStart, Holds{Extent: Extent{Feed: pair}})
	s.Step(simStart, Holds{Extent{Team: hash("t"), Node: node, Feed: pair, First: 1, Next: 1}, Follow{Wanted: true}})
	if got := s.feed(pair).wanted().From; got != 7 {
		t.Errorf("after it was forgotten, wanted from %d: want 7", got)
	}
}

// A frontier of feeds with many holes is cut into frames by its bytes.
func TestPagesOfHoles(t *testing.T) {
	var es []Entry
	for i := range MaxEntries {
		f := protocol.Sum("feed", []byte{byte(i >> 8), byte(i)})
		e := Entry{Node: kidOf("n"), Team: hash("t"), Feed: f, First: MaxSeq - 2000, Next: MaxSeq - 1000, Head: hash("h"), Max: MaxSeq, Heads: 1 << 62}
		for h := range uint64(MaxHoles) {
			e.Holes = append(e.Holes, hole{From: e.Next + 2*h, To: e.Next + 2*h + 1})
		}
		es = append(es, e)
	}
	slices.SortFunc(es, func(a, b Entry) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	for first, left := true, es; len(left) > 0; first = false {
		n := pageOf(left)
		page := &frontierPage{Entries: left[:n], More: n < len(left)}
		if first {
			page.Digest = hash("d")
		}
		left = left[n:]
		data, err := protocol.Marshal(page)
		if err != nil || n == 0 || len(data) > maxFrame || page.Check() != nil {
			t.Fatalf("a page of %d entries has %d bytes, %v, %v", n, len(data), err, page.Check())
		}
	}
	if n := pageOf(nil); n != 0 {
		t.Errorf("a page of nothing has %d entries", n)
	}
}

// A community feed may be asked for where it is not served: by its own entries, a node that was away for long finds out that it
// must not sign.
func TestCommunityFeedComesFromAnybody(t *testing.T) {
	a := newAuthor(t, "a").write(t, 10)
	x, y := newMemory(a), newMemory(a).hold(t, a, 1, 11)
	x.confine([]protocol.FeedID{a.feed}, nil)
	meet(t, newStation(t, x, Options{}), newStation(t, y, Options{}))
	waitFor(t, "the entries", func() bool { return x.count(a.feed) == 10 })
}

// A partner that gives its blobs slowly, or not at all, does not hold up those of others.
func TestSlowBlobs(t *testing.T) {
	b, ref := blob(t, 300_000)
	mine, has := newMemory(), newMemory()
	has.blobs[ref.Hash] = b
	evil := newStation(t, nil, Options{})
	hang := make(chan struct{})
	defer close(hang)
	begun := make(chan struct{}, 100)
	pretend(t, evil, map[kind]func(*request, network.Stream){kindBlob: func(*request, network.Stream) { begun <- struct{}{}; <-hang }})
	for range 5 {
		_, slow := blob(t, 1000)
		mine.wanted = append(mine.wanted, slow)
	}
	mine.wanted = append(mine.wanted, ref)
	friend := newStation(t, has, Options{})
	mine.may = func(p peer.ID, h protocol.Hash) bool { return (h == ref.Hash) == (p == friend.ID()) }
	me := newStation(t, mine, Options{Patience: 10 * time.Minute})
	meet(t, me, evil)
	<-begun
	<-begun
	meet(t, me, friend)
	waitFor(t, "the blob", func() bool { w, _ := mine.WantedBlobs(friend.ID(), 1); return len(w) == 0 })
	if n := len(begun); n > 0 {
		t.Errorf("%d more searches among the same peers: want 2 in all", n)
	}
}
