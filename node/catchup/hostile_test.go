package catchup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

// quick makes an engine lose patience soon.
var quick = Options{Patience: 300 * time.Millisecond}

// pretend has an attacker answer the protocol. A nil part of answer leaves the digests equal.
func pretend(t *testing.T, s *station, answer map[kind]func(req *request, st network.Stream)) {
	t.Helper()
	s.SetStreamHandler(Protocol, func(st network.Stream) {
		defer st.Close()
		data, err := frame.Read(bufio.NewReader(st), maxRequest)
		if err != nil {
			return
		}
		req, err := frame.Decode[request](data)
		if err != nil {
			return
		}
		if f := answer[req.Kind]; f != nil {
			f(req, st)
			return
		}
		switch req.Kind {
		case kindFrontier:
			tell(st, &frontierPage{Digest: req.Digest})
		case kindDigests:
			tell(st, &digestsPage{Digest: req.Digest})
		case kindBlob:
			tell(st, &blobPage{})
		}
	})
}

func tell(w io.Writer, vs ...any) {
	for _, v := range vs {
		data, err := frame.Append(nil, v)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			return
		}
	}
}

// claims answers kindFrontier with the author's feed from 1 up to its end.
func claims(a *author, next uint64) func(*request, network.Stream) {
	return func(_ *request, st network.Stream) {
		tell(st, &frontierPage{Digest: hash("other"), Entries: []Entry{{Node: a.kid, Team: a.team, Feed: a.feed, First: 1, Next: next, Head: hash("head")}}})
	}
}

// attack opens a stream to the victim and sends data.
func attack(t *testing.T, from, to *station, data []byte) network.Stream {
	t.Helper()
	st, err := from.NewStream(t.Context(), to.ID(), Protocol)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write(data); err != nil {
		t.Fatal(err)
	}
	return st
}

// isReset reads until the end, and reports whether the stream was reset by the other side.
func isReset(st network.Stream) bool {
	_ = st.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err := io.Copy(io.Discard, st)
	return err != nil && strings.Contains(err.Error(), "reset")
}

func blamed(s *station, why string) func() bool {
	return func() bool {
		return slices.ContainsFunc(s.offended(), func(o string) bool { return strings.Contains(o, why) })
	}
}

func TestStrangerGetsNothing(t *testing.T) {
	evil := newStation(t, nil, Options{})
	m := newMemory()
	m.stranger = func(p peer.ID) bool { return p == evil.ID() }
	gate := newStation(t, m, Options{})
	meet(t, evil, gate)
	req, _ := frame.Append(nil, &request{Kind: kindFrontier, Digest: hash("d")})
	if !isReset(attack(t, evil, gate, req)) {
		t.Error("a stranger's stream was answered")
	}
	if got := gate.offended(); len(got) > 0 {
		t.Errorf("offences %q: a peer that is just being expelled is no offender", got)
	}
}

func TestStallingAsker(t *testing.T) {
	victim, evil := newStation(t, newMemory(), quick), newStation(t, nil, Options{})
	meet(t, evil, victim)
	if !isReset(attack(t, evil, victim, []byte{9, 1})) {
		t.Error("a stream with half a request stayed open")
	}
	waitFor(t, "the offence", blamed(victim, "stalls"))
}

func TestAskerThatDoesNotRead(t *testing.T) {
	a := newAuthor(t, "a")
	m := newMemory(a)
	// Raw bytes as large as parcels may be: the server passes on what it keeps.
	m.feeds[a.feed] = &memFeed{team: a.team, node: a.kid, raws: map[uint64][]byte{}, ids: map[uint64]protocol.Hash{}, first: 1, max: 40}
	big := bigParcel(t, a)
	for s := range uint64(40) {
		m.feeds[a.feed].raws[s+1] = big
	}
	victim, evil := newStation(t, m, quick), newStation(t, nil, Options{})
	meet(t, evil, victim)
	req, _ := frame.Append(nil, &request{Kind: kindRange, Feed: a.feed, From: 1, To: 41})
	attack(t, evil, victim, req)
	waitFor(t, "the offence", blamed(victim, "stalls"))
}

// bigParcel returns the encoding of a parcel that is nearly as large as may be.
func bigParcel(t *testing.T, a *author) []byte {
	t.Helper()
	e, err := protocol.Sign(&protocol.Parcel{Team: a.team, Node: a.kid, Feed: a.feed, Seq: 1, Class: protocol.Normal, Body: make([]byte, protocol.MaxParcel-1000)}, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return e.Encode()
}

func TestMalformedRequests(t *testing.T) {
	for name, data := range map[string][]byte{
		"oversized": binary.AppendUvarint(nil, maxRequest+1),
		"no cbor":   {3, 0xff, 0xff, 0xff},
		"no kind":   {1, 0xa0},
	} {
		victim, evil := newStation(t, newMemory(), Options{}), newStation(t, nil, Options{})
		meet(t, evil, victim)
		if !isReset(attack(t, evil, victim, data)) {
			t.Errorf("%s: answered", name)
		}
		waitFor(t, "the offence of "+name, blamed(victim, "malformed"))
	}
}

// One peer that opens a thousand streams loses them, and is named; another is served all the while.
func TestThousandStreams(t *testing.T) {
	a := newAuthor(t, "a").write(t, 200)
	victim := newStation(t, newMemory(a).hold(t, a, 1, 201), Options{})
	evil := newStation(t, nil, Options{})
	meet(t, evil, victim)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	open := 0
	for range 1000 {
		st, err := evil.NewStream(ctx, victim.ID(), Protocol)
		if err != nil {
			break // libp2p's own limits
		}
		if _, err := st.Write([]byte{9}); err == nil {
			open++
		}
	}
	waitFor(t, "the offence", blamed(victim, "too many streams"))
	victim.e.guard.mu.Lock()
	held := victim.e.guard.open
	victim.e.guard.mu.Unlock()
	if held > 8 {
		t.Errorf("%d streams of one peer are open: want at most 8 (it opened %d)", held, open)
	}
	mine := newMemory(a)
	meet(t, newStation(t, mine, Options{}), victim)
	waitFor(t, "an honest peer to be served", func() bool { return mine.count(a.feed) == 200 })
}

func TestListFlood(t *testing.T) {
	victim, evil := newStation(t, newMemory(), Options{}), newStation(t, nil, Options{})
	meet(t, evil, victim)
	req, _ := frame.Append(nil, &request{Kind: kindFrontier, Digest: hash("d")})
	answered := 0
	for range listBurst + excessBurst + 20 {
		st, err := evil.NewStream(t.Context(), victim.ID(), Protocol)
		if err != nil {
			break
		}
		_, _ = st.Write(req)
		if !isReset(st) {
			answered++
		}
	}
	if answered > listBurst+10 {
		t.Errorf("%d lists given at once: want about %d", answered, listBurst)
	}
	waitFor(t, "the offence", blamed(victim, "again and again"))
}

// rescue checks that a victim gets the feed from an honest peer in spite of the attacker, which it names.
func rescue(t *testing.T, why string, answer func(a *author) map[kind]func(*request, network.Stream)) {
	t.Helper()
	a := newAuthor(t, "a").write(t, 50)
	mine := newMemory(a)
	victim := newStation(t, mine, Options{})
	evil := newStation(t, nil, Options{})
	pretend(t, evil, answer(a))
	meet(t, evil, victim)
	victim.e.PeerReady(evil.ID())
	waitFor(t, "the offence", blamed(victim, why))
	meet(t, victim, newStation(t, newMemory(a).hold(t, a, 1, 51), Options{}))
	waitFor(t, "the honest peer's entries", func() bool { return mine.count(a.feed) == 50 })
	if mine.twice > 0 {
		t.Errorf("%d entries taken twice", mine.twice)
	}
}

func TestMillionHeads(t *testing.T) {
	var told atomic.Int64
	rescue(t, "a frontier of over", func(a *author) map[kind]func(*request, network.Stream) {
		return map[kind]func(*request, network.Stream){kindFrontier: func(_ *request, st network.Stream) {
			page := frontierPage{Digest: hash("other"), More: true}
			for n := uint64(1); n < 1_000_000; {
				page.Entries = nil
				for range MaxEntries {
					n++
					f := protocol.Hash(binary.BigEndian.AppendUint64(make([]byte, 24), n))
					page.Entries = append(page.Entries, Entry{Node: kidOf("n"), Team: hash("t"), Feed: f, First: 1, Next: 1})
				}
				data, _ := frame.Append(nil, &page)
				if _, err := st.Write(data); err != nil {
					return
				}
				told.Add(MaxEntries)
				page.Digest = protocol.Hash{}
			}
		}}
	})
	if n := told.Load(); n > 4*MaxFrontier {
		t.Errorf("%d heads were read", n)
	}
}

func TestOversizedFrame(t *testing.T) {
	rescue(t, "a frame of", func(a *author) map[kind]func(*request, network.Stream) {
		return map[kind]func(*request, network.Stream){
			kindFrontier: claims(a, 51),
			kindRange: func(_ *request, st network.Stream) {
				_, _ = st.Write(binary.AppendUvarint(nil, 1<<33))
				_, _ = st.Write(make([]byte, 1<<16))
			},
		}
	})
}

func TestMoreThanAsked(t *testing.T) {
	rescue(t, "more entries than", func(a *author) map[kind]func(*request, network.Stream) {
		return map[kind]func(*request, network.Stream){
			kindFrontier: claims(a, 4),
			kindRange: func(_ *request, st network.Stream) {
				for range 100 {
					tell(st, &rangePage{Parcels: a.raws[:3], More: true})
				}
			},
		}
	})
}

func TestForgedEntries(t *testing.T) {
	rescue(t, "are refused", func(a *author) map[kind]func(*request, network.Stream) {
		thief := newAuthor(t, "thief")
		thief.team, thief.kid, thief.feed = a.team, a.kid, a.feed
		thief.write(t, 50)
		return map[kind]func(*request, network.Stream){
			kindFrontier: claims(a, 51),
			kindRange:    func(_ *request, st network.Stream) { tell(st, &rangePage{Parcels: thief.raws, First: 1}) },
		}
	})
}

func TestNeverAnswers(t *testing.T) {
	a := newAuthor(t, "a").write(t, 50)
	mine := newMemory(a)
	victim, evil := newStation(t, mine, quick), newStation(t, nil, Options{})
	hang := make(chan struct{})
	defer close(hang)
	pretend(t, evil, map[kind]func(*request, network.Stream){
		kindFrontier: claims(a, 51),
		kindRange:    func(*request, network.Stream) { <-hang },
	})
	meet(t, evil, victim)
	victim.e.PeerReady(evil.ID())
	meet(t, victim, newStation(t, newMemory(a).hold(t, a, 1, 51), Options{}))
	waitFor(t, "the honest peer's entries", func() bool { return mine.count(a.feed) == 50 })
}

// What came whole before an answer broke off is kept; the rest comes from another.
func TestTruncatedAnswer(t *testing.T) {
	a := newAuthor(t, "a").write(t, 50)
	mine := newMemory(a)
	victim, evil := newStation(t, mine, Options{}), newStation(t, nil, Options{})
	pretend(t, evil, map[kind]func(*request, network.Stream){
		kindFrontier: claims(a, 51),
		kindRange: func(r *request, st network.Stream) {
			tell(st, &rangePage{Parcels: a.raws[r.From-1 : r.From+19], More: true})
			data, _ := frame.Append(nil, &rangePage{Parcels: a.raws[r.From+19 : r.From+29]})
			_, _ = st.Write(data[:len(data)/2])
		},
	})
	meet(t, evil, victim)
	victim.e.PeerReady(evil.ID())
	waitFor(t, "the whole frames", func() bool { return mine.count(a.feed) >= 20 })
	meet(t, victim, newStation(t, newMemory(a).hold(t, a, 1, 51), Options{}))
	waitFor(t, "the rest", func() bool { return mine.count(a.feed) == 50 })
	if mine.twice > 0 {
		t.Errorf("%d entries taken twice", mine.twice)
	}
	if got := victim.offended(); len(got) > 0 {
		t.Errorf("offences %q: a broken connection is none", got)
	}
}

// A blob of wrong bytes costs the peer that gave it, and the blob comes from another.
func TestWrongBlob(t *testing.T) {
	b, ref := blob(t, 700_000)
	mine, has := newMemory(), newMemory()
	mine.wanted = []protocol.BlobRef{ref}
	has.blobs[ref.Hash] = b
	victim, evil := newStation(t, mine, Options{}), newStation(t, nil, Options{})
	wrong := make([]byte, MaxChunk)
	pretend(t, evil, map[kind]func(*request, network.Stream){kindBlob: func(r *request, st network.Stream) {
		for at := r.Offset; at < ref.Size; {
			n := min(uint64(len(wrong)), ref.Size-at)
			page := &blobPage{Data: wrong[:n], More: at+n < ref.Size}
			if at == r.Offset {
				page.Size = ref.Size
			}
			tell(st, page)
			at += n
		}
	}})
	meet(t, evil, victim)
	victim.e.PeerReady(evil.ID())
	waitFor(t, "the offence", blamed(victim, "not what its hash names"))
	meet(t, victim, newStation(t, has, Options{}))
	waitFor(t, "the blob", func() bool { w, _ := mine.WantedBlobs("", 1); return len(w) == 0 })
	mine.mu.Lock()
	defer mine.mu.Unlock()
	if sha256.Sum256(mine.blobs[ref.Hash]) != ref.Hash {
		t.Error("a wrong blob was kept")
	}
}

// A blob that is larger than its statement says is cut off before it takes room.
func TestEndlessBlob(t *testing.T) {
	_, ref := blob(t, 100_000)
	mine := newMemory()
	mine.wanted = []protocol.BlobRef{ref}
	victim, evil := newStation(t, mine, Options{}), newStation(t, nil, Options{})
	pretend(t, evil, map[kind]func(*request, network.Stream){kindBlob: func(r *request, st network.Stream) {
		tell(st, &blobPage{Size: ref.Size, Data: make([]byte, 50_000), More: true})
		for range 100 {
			tell(st, &blobPage{Data: make([]byte, MaxChunk), More: true})
		}
	}})
	meet(t, evil, victim)
	victim.e.PeerReady(evil.ID())
	waitFor(t, "the offence", blamed(victim, "another size"))
	mine.mu.Lock()
	defer mine.mu.Unlock()
	if n := len(mine.parts[ref.Hash]); n > 100_000 {
		t.Errorf("%d bytes of a blob of 100,000 were kept", n)
	}
}

func TestGuard(t *testing.T) {
	g := &guard{perPeer: 2, inAll: 3, peers: map[peer.ID]*guest{}}
	now := time.Unix(1000, 0)
	enter := func(p peer.ID) string {
		ok, offence := g.enter(p, now)
		return fmt.Sprint(ok, offence)
	}
	for i, want := range []string{"true false", "true false", "false false"} {
		if got := enter("a"); got != want {
			t.Errorf("stream %d of a: %s, want %s", i, got, want)
		}
	}
	if got := enter("b"); got != "true false" {
		t.Errorf("b: %s", got)
	}
	if got := enter("c"); got != "true false" {
		t.Errorf("c, which has none, when all are taken by others: %s", got)
	}
	if got := enter("c"); got != "false false" {
		t.Errorf("a second of c, when all are taken by others: %s", got)
	}
	for i := 4; i < inReserve*g.inAll; i++ {
		enter(peer.ID(fmt.Sprint("more", i)))
	}
	if got := enter("last"); got != "false false" {
		t.Errorf("one beyond the reserve: %s", got)
	}
	for i := 4; i < inReserve*g.inAll; i++ {
		g.leave(peer.ID(fmt.Sprint("more", i)))
	}
	g.leave("c")
	offences := 0
	for range 100 {
		if enter("a") == "false true" {
			offences++
		}
	}
	if offences != 100-excessBurst+1 {
		t.Errorf("%d offences of 100 excess streams: want %d", offences, 100-excessBurst+1)
	}
	now = now.Add(time.Hour)
	if got := enter("a"); got != "false false" {
		t.Errorf("an hour later: %s, want it forgiven", got)
	}
	g.leave("a")
	if got := enter("a"); got != "true false" {
		t.Errorf("after one left: %s", got)
	}
	g.close()
	g.leave("a")
	if got := enter("a"); got != "false false" {
		t.Errorf("after the end: %s", got)
	}
}
