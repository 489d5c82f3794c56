package roomsync

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

var testOptions = Options{}.withDefaults()

// A line is a stream in memory.
type line struct {
	network.Stream // not called
	io.Reader
	io.Writer
	end  io.Closer
	from peer.ID
}

type lineConn struct {
	network.Conn
	from peer.ID
}

func (l *line) Read(b []byte) (int, error)  { return l.Reader.Read(b) }
func (l *line) Write(b []byte) (int, error) { return l.Writer.Write(b) }
func (l *line) Close() error                { return l.end.Close() }
func (l *line) Reset() error                { return l.end.Close() }
func (l *line) SetDeadline(time.Time) error { return nil }
func (l *line) Conn() network.Conn          { return lineConn{from: l.from} }
func (c lineConn) RemotePeer() peer.ID      { return c.from }

// pipe returns the ends of a stream between two peers, near and far.
func pipe() (near, far *line) {
	a, b := net.Pipe()
	return &line{Reader: a, Writer: a, end: a, from: "far"}, &line{Reader: b, Writer: b, end: b, from: "near"}
}

// bare returns an engine without a host.
func bare(s *shelf) *Engine {
	return &Engine{backend: s, opt: testOptions, strange: semaphore.NewWeighted(maxStrange)}
}

func rich() *rate.Limiter { return rate.NewLimiter(purseEach, purseSize) }

// talkOnce has near compare with far.
func talkOnce(t interface{ Fatalf(string, ...any) }, near, far *shelf, purse *rate.Limiter) (f finding, took bool) {
	a, b := pipe()
	ended := make(chan error, 1)
	at := bare(far)
	go func() {
		tk := newTalk(context.Background(), b, testOptions.Patience)
		_, farTook, err := at.answer(context.Background(), tk, newPartner(context.Background(), "far", "near", &testOptions))
		took = farTook
		tk.end(err)
		ended <- err
	}()
	tk := newTalk(context.Background(), a, testOptions.Patience)
	tk.kind = kindCompare
	f, err := bare(near).exchange(context.Background(), tk, purse).compare()
	tk.end(err)
	if ferr := <-ended; err != nil || ferr != nil {
		t.Fatalf("a conversation failed: %v; %v", err, ferr)
	}
	if !at.strange.TryAcquire(maxStrange) {
		t.Fatalf("a conversation kept a budget")
	}
	return f, took
}

// After one conversation each has all that the other may give it, and nothing else; after another there is nothing to say.
func TestAnyTwoConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		near, far := newShelf(), newShelf()
		sides := map[peer.ID]*shelf{"near": near, "far": far}
		var all []paper
		for i := range rapid.IntRange(0, 12).Draw(t, "papers") {
			all = append(all, paper{id: hash(i), size: rapid.IntRange(0, 9).Draw(t, "size")})
		}
		hiding := rapid.Bool().Draw(t, "hiding")
		rooms := []protocol.Hash{hash("r1"), hash("r2"), hash("r3")}
		for who, s := range sides {
			other := peer.ID("near")
			if who == other {
				other = "far"
			}
			s.hides[other] = map[protocol.Hash]bool{}
			for _, room := range rooms {
				if rapid.Bool().Draw(t, "in") {
					s.join(room, other)
				}
				for _, p := range all {
					if rapid.Bool().Draw(t, "has") {
						p.sigs = rapid.Uint64Range(0, 7).Draw(t, "sigs")
						s.put(room, p)
					}
				}
			}
			for _, p := range all {
				if hiding && rapid.IntRange(0, 3).Draw(t, "hidden") == 0 {
					s.hides[other][p.id] = true
				}
			}
		}
		want := map[peer.ID]map[protocol.Hash]shelfRoom{}
		for who, s := range sides {
			other := peer.ID("near")
			if who == other {
				other = "far"
			}
			want[who] = map[protocol.Hash]shelfRoom{}
			both := newShelf()
			for _, room := range rooms {
				for _, p := range s.rooms[room] {
					both.put(room, p)
				}
				for id, p := range sides[other].rooms[room] {
					if sides[other].members[room][who] && !sides[other].hides[who][id] {
						both.put(room, p)
					}
				}
				want[who][room] = both.rooms[room]
			}
		}
		if len(near.Rooms("far")) == 0 {
			return // it would not begin
		}
		talkOnce(t, near, far, rich())
		for who, s := range sides {
			for _, room := range rooms {
				if got, want := s.rooms[room], want[who][room]; len(got) != len(want) {
					t.Fatalf("%s holds %d records: want %d", who, len(got), len(want))
				}
				for id, p := range want[who][room] {
					if got := s.rooms[room][id].sigs; got != p.sigs {
						t.Fatalf("%s holds signatures %b: want %b", who, got, p.sigs)
					}
				}
			}
		}
		before := near.takes + far.takes
		talkOnce(t, near, far, rich())
		if again := near.takes + far.takes - before; again > 0 && !hiding && len(near.Rooms("far")) == len(rooms) && len(far.Rooms("near")) == len(rooms) {
			t.Fatalf("%d calls of Take in a second conversation", again)
		}
	})
}

// A peer gets no more than its purse holds, and the rest later.
func TestPurse(t *testing.T) {
	near, far := newShelf(), newShelf()
	near.join(theRoom, "far")
	far.join(theRoom, "near")
	near.put(theRoom, papers("near", 100, 952)...)
	far.put(theRoom, papers("far", 1, 0)...)
	purse := rate.NewLimiter(rate.Every(time.Hour), 30_500)
	if _, took := talkOnce(t, near, far, purse); !took || len(far.rooms[theRoom]) != 31 {
		t.Errorf("%d records: want 30 and its own", len(far.rooms[theRoom]))
	}
	if far.compared["near"] != 0 || near.compared["far"] != 1 {
		t.Errorf("compared %d and %d times: want 0, since not all came, and 1", far.compared["near"], near.compared["far"])
	}
	talkOnce(t, near, far, rich())
	if !same(near, far, theRoom) || far.compared["near"] != 1 {
		t.Errorf("%d records, compared %d times, with a purse that suffices", len(far.rooms[theRoom]), far.compared["near"])
	}
}

// More rooms, and more to ask for, than one conversation takes come in several.
func TestTooMuchForOne(t *testing.T) {
	near, far := newShelf(), newShelf()
	for i := range 3 {
		room := hash("room", i)
		near.join(room, "far")
		far.join(room, "near")
		near.put(room, paper{id: room})
		far.put(room, paper{id: room})
		far.put(room, papers(room.String(), 7000, 0)...)
	}
	f, _ := talkOnce(t, near, far, rich())
	if !f.short || near.compared["far"] != 2 {
		t.Errorf("short %t, %d rooms compared: want true, 2", f.short, near.compared["far"])
	}
	f, _ = talkOnce(t, near, far, rich())
	if f.short || near.compared["far"] != 5 {
		t.Errorf("short %t, %d rooms compared: want false, 5", f.short, near.compared["far"])
	}
}

// Where memory is short, what came of a room that is not shared is taken before all is there. If its stream breaks it is taken too.
func TestStrange(t *testing.T) {
	own := papers("own", 300, 0)
	var raws [][]byte
	var offers []byte
	for _, p := range own {
		m := markOf(Sum(p.raw()))
		raws, offers = append(raws, p.raw()), append(offers, m[:]...)
	}
	hello := page{Kind: kindCompare, Parts: []part{{Room: theRoom, Digest: hash("x")}}}
	given := []page{{Parts: []part{{Room: theRoom, Records: raws[:100]}}, More: true}, {Parts: []part{{Room: theRoom, Records: raws[100:200]}}, More: true},
		{Parts: []part{{Room: theRoom, Records: raws[200:]}}}}
	for _, tt := range []struct {
		memory       int64
		pages        int
		takes, taken int
	}{{maxStrange, 3, 1, 300}, {5000, 3, 2, 300}, {0, 3, 3, 300}, {maxStrange, 2, 1, 200}} {
		s := newShelf()
		e := &Engine{backend: s, opt: testOptions, strange: semaphore.NewWeighted(tt.memory)}
		data := frames(t, append([]page{hello, {Parts: []part{{Room: theRoom, Offers: offers}}}}, given[:tt.pages]...)...)
		tk := newTalk(t.Context(), &line{Reader: bytes.NewReader(data), Writer: io.Discard, end: io.NopCloser(nil), from: "evil"}, testOptions.Patience)
		_, took, err := e.answer(t.Context(), tk, newPartner(t.Context(), "me", "evil", &testOptions))
		if s.takes != tt.takes || len(s.rooms[theRoom]) != tt.taken || !took || (err == nil) != (tt.pages == 3) {
			t.Errorf("%+v: %d calls, %d records, %v", tt, s.takes, len(s.rooms[theRoom]), err)
		}
		if !e.strange.TryAcquire(tt.memory) {
			t.Errorf("%+v: a budget was kept", tt)
		}
	}
}

// Of what was left out nothing is concluded: neither that it is lacking, nor that it was compared.
func TestLeftOut(t *testing.T) {
	low, high := protocol.Hash{1}, protocol.Hash{2}
	room := func() *shelf {
		s := newShelf()
		for _, r := range []protocol.Hash{low, high} {
			s.join(r, "evil")
			s.put(r, paper{id: r})
		}
		return s
	}
	k := markOf(Sum(paper{id: low}.raw()))
	listed := page{Parts: []part{{Room: low, Offers: k[:]}}}

	for _, rest := range []bool{true, false} {
		s, in := room(), listed
		in.Rest = rest
		var out bytes.Buffer
		tk := newTalk(t.Context(), &line{Reader: bytes.NewReader(frames(t, in, page{})), Writer: &out, end: io.NopCloser(nil), from: "evil"}, testOptions.Patience)
		f, err := bare(s).exchange(t.Context(), tk, rich()).compare()
		if err != nil || f.short != rest || f.differs == rest || s.compared["evil"] != 1 {
			t.Errorf("rest %t: %+v, %v, compared %d", rest, f, err, s.compared["evil"])
		}
	}
	for _, rest := range []bool{true, false} {
		s := room()
		hello := page{Kind: kindCompare, Parts: []part{{Room: low, Digest: hash(1)}, {Room: high, Digest: hash(2)}}}
		_, err := answerTo(s, frames(t, hello, page{Parts: []part{{Room: low, Asks: k[:]}}, Rest: rest}))
		if want := map[bool]int{true: 1, false: 2}[rest]; err != nil || s.compared["evil"] != want {
			t.Errorf("rest %t: %v, compared %d rooms: want %d", rest, err, s.compared["evil"], want)
		}
	}
}

// An identity that the peer has not is a difference, for which one does not come back at once.
func TestWantsInVain(t *testing.T) {
	near, far := newShelf(), newShelf()
	for _, s := range []*shelf{near, far} {
		s.join(theRoom, "near", "far")
		s.put(theRoom, paper{id: theRoom})
	}
	if f, _ := talkOnce(t, near, far, rich()); f.differs {
		t.Error("a difference where there is none")
	}
	near.wanted[hash("epoch")] = theRoom
	if f, _ := talkOnce(t, near, far, rich()); !f.differs || f.short {
		t.Errorf("found %+v: want a difference", f)
	}
	far.held[hash("epoch")] = true
	if f, _ := talkOnce(t, near, far, rich()); f.differs || !near.held[hash("epoch")] {
		t.Errorf("found %+v, identity here: %t", f, near.held[hash("epoch")])
	}
}

// frames returns pages as they are on the wire.
func frames(tb testing.TB, ps ...page) (data []byte) {
	tb.Helper()
	for _, p := range ps {
		var err error
		if data, err = frame.Append(data, &p); err != nil {
			tb.Fatal(err)
		}
	}
	return data
}

// script returns what bytes say about a conversation, most of which would not pass as a frame. The first says whether they are
// the frames themselves.
func script(data []byte) []byte {
	if len(data) == 0 || data[0]%4 == 0 {
		return data[min(1, len(data)):]
	}
	rooms := []protocol.Hash{theRoom, hash("none"), {0xff}}
	slices.SortFunc(rooms, func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) })
	raws := [][]byte{paper{id: theRoom, size: 9}.raw(), papers("secret", 2, 9)[1].raw(), papers("own", 1, 9)[0].raw(), {1}}
	ps := []page{{Kind: kind(data[0] / 4 % 3)}}
	for _, c := range data[1:] {
		p := &ps[len(ps)-1]
		raw := raws[c/8%4]
		m := markOf(Sum(raw))
		pt := part{Room: rooms[int(c/32)%3]}
		switch c % 8 {
		case 0:
			pt.Digest = Digest([]Record{{Sum: hash(c)}})
		case 1:
			pt.Offers = m[:]
		case 2:
			pt.Asks = m[:]
		case 3:
			pt.Records = [][]byte{raw}
		case 4:
			pt.Epochs = []protocol.Hash{hash("epoch")}
		case 5:
			pt.Grants = [][]byte{bytes.Repeat([]byte{3}, 32)}
		case 6:
			p.More = len(p.Parts) > 0
			fallthrough
		default:
			ps = append(ps, page{})
			continue
		}
		p.Parts = append(p.Parts, pt)
	}
	var out []byte
	for _, p := range ps {
		data, err := frame.Append(nil, &p)
		if err != nil {
			return nil
		}
		out = append(out, data...)
	}
	return out
}

// answerTo returns what a node answers to a peer that writes data and ends the stream.
func answerTo(s *shelf, data []byte) ([]byte, error) {
	var out bytes.Buffer
	tk := newTalk(context.Background(), &line{Reader: bytes.NewReader(data), Writer: &out, end: io.NopCloser(nil), from: "evil"}, testOptions.Patience)
	_, _, err := bare(s).answer(context.Background(), tk, newPartner(context.Background(), "me", "evil", &testOptions))
	tk.end(err)
	return out.Bytes(), err
}

// member returns a shelf with a room, in which the peer is or is not.
func member(peers ...peer.ID) *shelf {
	s := newShelf()
	s.join(theRoom, peers...)
	s.put(theRoom, paper{id: theRoom, size: 9})
	s.put(theRoom, papers("secret", 3, 9)...)
	epoch := hash("epoch")
	s.held[epoch] = true
	return s
}

// conversations are beginnings, well formed and not.
func conversations(tb testing.TB) [][]byte {
	own := papers("own", 1, 9)[0].raw()
	m := markOf(Sum(own))
	known := paper{id: theRoom, size: 9}.raw()
	k := markOf(Sum(known))
	hello := page{Kind: kindCompare, Parts: []part{{Room: theRoom, Digest: hash("x")}}}
	return [][]byte{
		nil,
		frames(tb, page{Kind: kindCompare}),
		frames(tb, hello),
		frames(tb, hello, page{}),
		frames(tb, hello, page{}, page{Parts: []part{{Room: theRoom, Epochs: []protocol.Hash{hash("epoch")}}}}),
		frames(tb, hello, page{Parts: []part{{Room: theRoom, Asks: k[:]}}}),
		frames(tb, hello, page{Parts: []part{{Room: theRoom, Offers: slices.Concat(m[:], k[:], m[:])}}},
			page{Parts: []part{{Room: theRoom, Records: [][]byte{own}}, {Room: theRoom, Epochs: []protocol.Hash{hash("epoch")}}}}),
		frames(tb, hello, page{Parts: []part{{Room: theRoom, Offers: m[:]}, {Room: theRoom, Offers: m[:]}}}),
		frames(tb, hello, page{}, page{Parts: []part{{Room: theRoom, Records: [][]byte{own}}}}),
		frames(tb, page{Kind: kindTell, Parts: []part{{Room: theRoom, Records: [][]byte{own, known}, Grants: [][]byte{bytes.Repeat([]byte{3}, 32)}}}}),
		frames(tb, page{Kind: kindTell, Parts: []part{{Room: theRoom, Records: [][]byte{{1}}}}}),
		frames(tb, hello, hello),
	}
}

// What a peer hears that is in no room with this node does not depend on what rooms there are, byte for byte.
func FuzzOutsider(f *testing.F) {
	for _, c := range conversations(f) {
		f.Add(append([]byte{0}, c...))
	}
	f.Add([]byte{5, 0, 7, 1, 2, 7, 3, 4})
	f.Add([]byte{9, 3, 5, 6, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		in, out := member("a friend"), newShelf()
		got, err := answerTo(in, script(data))
		want, werr := answerTo(out, script(data))
		if !bytes.Equal(got, want) || (err == nil) != (werr == nil) {
			t.Errorf("with a room %x (%v), without %x (%v)", got, err, want, werr)
		}
		if in.grants > 0 || len(in.compared) > 0 {
			t.Error("an outsider got a grant, or counts as compared")
		}
		if in.takes != out.takes || in.taken != out.taken {
			t.Errorf("%d bytes were taken with a room, %d without", in.taken, out.taken)
		}
	})
}

// FuzzAnswer has a member say anything.
func FuzzAnswer(f *testing.F) {
	for _, c := range conversations(f) {
		f.Add(append([]byte{0}, c...))
	}
	f.Add([]byte{5, 0, 7, 1, 2, 7, 3, 4})
	f.Add([]byte{9, 3, 5, 6, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := member("evil", "a friend")
		s.hides["evil"] = map[protocol.Hash]bool{hash("secret", 1): true}
		secret := paper{id: hash("secret", 1), sigs: 1, size: 9}.raw()
		data = script(data)
		got, err := answerTo(s, data)
		if m := markOf(Sum(secret)); bytes.Contains(got, secret) || bytes.Contains(got, m[:]) && !bytes.Contains(data, m[:]) {
			t.Error("it was told of what it may not have")
		}
		if err != nil && !errors.Is(err, protocol.ErrMalformed) && !errors.Is(err, ErrRefused) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("unexpected: %v", err)
		}
		if s.grants > MaxGrants {
			t.Errorf("%d grants in one conversation", s.grants)
		}
	})
}

// FuzzCompare has a peer answer anything.
func FuzzCompare(f *testing.F) {
	own := papers("own", 1, 9)[0].raw()
	m := markOf(Sum(own))
	all := markOf(Sum(paper{id: theRoom, size: 9}.raw()))
	f.Add(frames(f, page{}))
	f.Add(frames(f, page{Parts: []part{{Room: theRoom, Same: true}}}))
	f.Add(frames(f, page{Parts: []part{{Room: theRoom, Same: true}}}, page{}, page{Parts: []part{{Room: theRoom, Grants: [][]byte{bytes.Repeat([]byte{3}, 32)}}}}))
	f.Add(frames(f, page{Parts: []part{{Room: theRoom, Same: true}}}, page{}, page{Parts: []part{{Room: theRoom, Grants: [][]byte{theRoom[:], theRoom[:]}}}}))
	f.Add(frames(f, page{Parts: []part{{Room: theRoom, Offers: m[:]}}}, page{Parts: []part{{Room: theRoom, Asks: all[:], Records: [][]byte{own}}}}, page{}))
	f.Add(frames(f, page{Parts: []part{{Room: theRoom, Offers: m[:]}, {Room: protocol.Hash{0xff}, Offers: m[:]}}, Rest: true}, page{}))
	f.Add(frames(f, page{Parts: []part{{Room: theRoom, Offers: m[:]}, {Room: theRoom, Offers: m[:]}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := member("evil")
		s.hides["evil"] = map[protocol.Hash]bool{hash("secret", 1): true}
		s.wanted[hash("wanted")] = theRoom
		secret := paper{id: hash("secret", 1), sigs: 1, size: 9}.raw()
		var out bytes.Buffer
		tk := newTalk(t.Context(), &line{Reader: bytes.NewReader(data), Writer: &out, end: io.NopCloser(nil), from: "evil"}, testOptions.Patience)
		tk.kind = kindCompare
		_, err := bare(s).exchange(t.Context(), tk, rich()).compare()
		if bytes.Contains(out.Bytes(), secret) {
			t.Error("it was given what it may not have")
		}
		if err != nil && !errors.Is(err, protocol.ErrMalformed) && !errors.Is(err, ErrRefused) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("unexpected: %v", err)
		}
		if n := slices.Index(s.log, "grant"); n >= 0 && len(s.log)-n > 1 {
			t.Errorf("took %q: it wanted one grant", s.log)
		}
	})
}
