package roomsync

import (
	"context"
	"encoding/binary"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/nodetest/world"
	"github.com/entente-network/entente/protocol"
)

// siege runs f with a victim and an attacker who is in the room with it, and an honest peer that must be served all the while.
func siege(t *testing.T, o Options, f func(t *testing.T, victim *post, evil host.Host)) {
	t.Helper()
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 2, 3, world.Options{})
		victim, friend := open(t, w, 0, o), open(t, w, 1, o)
		evil := w.Host(2)
		w.Mesh(0, 1, 2)
		for _, p := range []*post{victim, friend} {
			p.join(theRoom, victim.ID(), friend.ID(), evil.ID())
			p.put(theRoom, paper{id: theRoom, size: 100})
		}
		victim.PeerReady(friend.ID())
		victim.PeerReady(evil.ID())
		friend.PeerReady(victim.ID())
		f(t, victim, evil)
		friend.put(theRoom, papers("from a friend", 1, 10)...)
		friend.Changed(theRoom, "")
		settle(10 * time.Second)
		if _, ok := victim.rooms[theRoom][hash("from a friend", 0)]; !ok {
			t.Error("an honest peer was not served")
		}
		friend.innocent(t)
		_ = victim.Engine.Close()
		_ = friend.Engine.Close()
	})
}

// stream opens a stream as the attacker and writes data.
func stream(t *testing.T, from host.Host, to *post, data []byte) network.Stream {
	t.Helper()
	s, err := from.NewStream(t.Context(), to.ID(), Protocol)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = s.Write(data)
	return s
}

// ended reports whether the other side has reset the stream.
func ended(s network.Stream) bool {
	_ = s.SetReadDeadline(time.Now().Add(time.Second))
	_, err := io.Copy(io.Discard, s)
	return err != nil && !isStall(err)
}

func TestStranger(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		var streams atomic.Int64
		evil.SetStreamHandler(Protocol, func(s network.Stream) { streams.Add(1); _ = s.Reset() })
		count(victim.shelf, func() any { victim.barred[evil.ID()] = true; return nil })
		victim.Recheck(evil.ID())
		s := stream(t, evil, victim, frames(t, page{Kind: kindCompare}))
		settle(time.Second)
		if !ended(s) {
			t.Error("a stranger was answered")
		}
		before := streams.Load() // from before it was barred
		victim.Tell(evil.ID(), theRoom, [][]byte{{1}})
		victim.PeerReady(evil.ID())
		settle(time.Hour)
		if streams.Load() != before {
			t.Error("a stream was opened to a stranger")
		}
		victim.innocent(t)
	})
}

// No stream is opened to a peer with which no room is shared, and what it asks is answered with nothing.
func TestOutsider(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		count(victim.shelf, func() any { delete(victim.members[theRoom], evil.ID()); return nil })
		settle(10 * time.Second)
		var streams atomic.Int64
		evil.SetStreamHandler(Protocol, func(s network.Stream) { streams.Add(1); _ = s.Reset() })
		victim.PeerReady(evil.ID())
		victim.Changed(theRoom, "")
		victim.Tell(evil.ID(), theRoom, [][]byte{{1}})
		victim.Grant(evil.ID(), theRoom, [][]byte{{1}})
		settle(time.Hour)
		if streams.Load() > 0 {
			t.Errorf("%d streams were opened to an outsider", streams.Load())
		}
		s := stream(t, evil, victim, frames(t, page{Kind: kindCompare, Parts: []part{{Room: theRoom, Digest: hash("x")}}},
			page{}, page{Parts: []part{{Room: theRoom, Epochs: []protocol.Hash{hash("e")}}}}))
		_ = s.CloseWrite()
		got, err := io.ReadAll(s)
		if want := frames(t, page{}, page{}, page{}); err != nil || !slices.Equal(got, want) {
			t.Errorf("it was answered %x, %v: want %x", got, err, want)
		}
		victim.innocent(t)
	})
}

func TestBrokenProtocol(t *testing.T) {
	mk := make([]byte, MarkSize)
	hello := page{Kind: kindCompare, Parts: []part{{Room: theRoom, Digest: hash("x")}}}
	asks := page{Parts: []part{{Room: theRoom, Asks: mk}}}
	var many []part
	for i := range 2*MaxRooms + 1 {
		room := hash(i)
		many = append(many, part{Room: room, Digest: room})
	}
	slices.SortFunc(many, func(a, b part) int { return slices.Compare(a.Room[:], b.Room[:]) })
	wants := func(n int) page {
		return page{Parts: []part{{Room: theRoom, Epochs: slices.Repeat([]protocol.Hash{theRoom}, n)}}}
	}
	more := func(p page) page { p.More = true; return p }
	for name, tt := range map[string]struct {
		data []byte
		why  string
	}{
		"too long":           {binary.AppendUvarint(nil, maxFrame+1), "malformed"},
		"no cbor":            {[]byte{3, 0xff, 0xff, 0xff}, "malformed"},
		"unknown field":      {[]byte{3, 0xa1, 0x18, 0x63, 0x01}, "malformed"},
		"no kind":            {frames(t, page{}), "for nothing"},
		"kind twice":         {frames(t, hello, hello), "second beginning"},
		"too many rooms":     {frames(t, page{Kind: kindCompare, Parts: many}), "rooms in one turn"},
		"out of turn":        {frames(t, hello, page{Parts: []part{{Room: theRoom, Records: [][]byte{{1}}}}}), "out of turn"},
		"asks for itself":    {frames(t, page{Kind: kindTell, Parts: []part{{Room: theRoom, Asks: mk}}}), "out of turn"},
		"descends by page":   {frames(t, more(page{Kind: kindCompare, Parts: many[5:6]}), page{Parts: many[:1]}), "ascending"},
		"not asked for":      {frames(t, hello, asks, page{Parts: []part{{Room: theRoom, Records: [][]byte{paper{}.raw()}}}}), "not asked for"},
		"a room twice":       {frames(t, hello, more(asks), asks), "twice"},
		"too many grants":    {frames(t, hello, page{}, more(wants(MaxGrants)), wants(1)), "grants"},
		"tells rubbish":      {frames(t, page{Kind: kindTell, Parts: []part{{Room: theRoom, Records: [][]byte{{1}}}}}), "no paper"},
		"tells half a frame": {frames(t, page{Kind: kindTell, Parts: []part{{Room: theRoom, Records: [][]byte{{1, 2, 3}}}}})[:9], "stalls"},
		"tells without end":  {frames(t, more(page{Kind: kindTell, Parts: []part{{Room: theRoom, Records: [][]byte{paper{}.raw()}}}})), "stalls"},
		"does not go on":     {frames(t, hello), "stalls"},
	} {
		t.Run(name, func(t *testing.T) {
			siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
				s := stream(t, evil, victim, tt.data)
				settle(time.Minute)
				if !ended(s) || !victim.blamed(tt.why) {
					t.Errorf("stream ended: %t, offences %q", ended(s), victim.offences)
				}
			})
		})
	}
}

// However much one tells at once, only so much is listened to.
func TestEndlessTell(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		count(victim.shelf, func() any { victim.take = func(context.Context, peer.ID) error { return nil }; return nil })
		one := frames(t, page{Parts: []part{{Room: theRoom, Records: slices.Repeat([][]byte{paper{size: 1000}.raw()}, maxBatch)}}, More: true})
		s := stream(t, evil, victim, frames(t, page{Kind: kindTell, Parts: []part{{Room: theRoom, Records: [][]byte{paper{}.raw()}}}, More: true}))
		for range 40 {
			_ = s.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = s.Write(one)
		}
		settle(time.Second)
		if !victim.blamed("a turn of over") || victim.taken > maxTold {
			t.Errorf("%d bytes were taken, offences %q", victim.taken, victim.offences)
		}
	})
}

func TestStreamAfterStream(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		for range 20 { // of which all but two are reset
			stream(t, evil, victim, nil)
		}
		settle(time.Second)
		if n := victim.partnerAt(evil.ID()).queue; n != maxQueue {
			t.Errorf("%d streams of one peer wait: want %d", n, maxQueue)
		}
		victim.innocent(t)
		for range 300 {
			stream(t, evil, victim, nil)
		}
		settle(time.Second)
		if !victim.blamed("stream after stream") {
			t.Errorf("offences %q", victim.offences)
		}
	})
}

func (p *post) partnerAt(id peer.ID) partner {
	p.Engine.mu.Lock()
	defer p.Engine.mu.Unlock()
	if pt := p.Engine.partners[id]; pt != nil {
		return *pt
	}
	return partner{}
}

func TestComparesAgainAndAgain(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		for range comparesBurst + 40 {
			s := stream(t, evil, victim, frames(t, page{Kind: kindCompare}))
			_ = s.CloseWrite()
			_, _ = io.ReadAll(s)
		}
		settle(time.Second)
		if !victim.blamed("again and again") {
			t.Errorf("offences %q", victim.offences)
		}
	})
}

// One who never answers is tried ever more rarely, and named.
func TestNeverAnswers(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		var streams atomic.Int64
		evil.SetStreamHandler(Protocol, func(network.Stream) { streams.Add(1) })
		settle(time.Hour)
		if !victim.blamed("does not answer") || streams.Load() > 30 {
			t.Errorf("%d streams were opened in an hour, offences %q", streams.Load(), victim.offences)
		}
	})
}

// One who never has enough, and whose digests never fit, gets it at a measured pace.
func TestNeverHasEnough(t *testing.T) {
	posts(t, 2, Options{}, func(t *testing.T, w *world.World, ps []*post) {
		a, liar := ps[0], ps[1]
		a.put(theRoom, papers("a", 100, 1000)...)
		count(liar.shelf, func() any { liar.forgets = true; return nil })
		meet(w, ps, [2]int{0, 1})
		for range 600 {
			settle(time.Second)
			a.Changed(theRoom, "")
		}
		if n := liar.takes; n < 5 || n > 60 {
			t.Errorf("%d times all was given in ten minutes: want 5 to 60", n)
		}
	})
}

// One who drips is cut off, and costs the others nothing.
func TestDrips(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		data := frames(t, page{Kind: kindCompare, Parts: []part{{Room: theRoom, Digest: hash("x")}}})
		s := stream(t, evil, victim, data[:1])
		for _, c := range data[1:] {
			settle(time.Second)
			_, _ = s.Write([]byte{c})
		}
		if !ended(s) || !victim.blamed("stalls") {
			t.Errorf("stream ended: %t, offences %q", ended(s), victim.offences)
		}
	})
}
