package direct

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/node/nodetest/world"
	"github.com/entente-network/entente/protocol"
)

// siege runs f with a victim and an attacker, and an honest peer that must be served all the while.
func siege(t *testing.T, o Options, f func(t *testing.T, victim *post, evil host.Host)) {
	t.Helper()
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 2, 3, world.Options{})
		victim, friend := open(t, w, 0, o), open(t, w, 1, o)
		evil := w.Host(2)
		w.Mesh(0, 1, 2)
		f(t, victim, evil)
		had := len(victim.from(friend.ID()))
		friend.push(victim, false, "from a friend")
		settle(2 * time.Second)
		if len(victim.from(friend.ID())) != had+1 {
			t.Error("an honest peer was not served")
		}
		friend.innocent(t)
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

func frameOf(t *testing.T, l *load) []byte {
	t.Helper()
	data, err := frame.Append(nil, l)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ended reports whether the other side has reset the stream.
func ended(s network.Stream) bool {
	_ = s.SetReadDeadline(time.Now().Add(time.Second))
	_, err := io.Copy(io.Discard, s)
	return err != nil && !isStall(err)
}

func TestStranger(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		victim.bar(evil.ID(), true)
		s := stream(t, evil, victim, frameOf(t, &load{Records: [][]byte{[]byte("x")}}))
		settle(time.Second)
		if !ended(s) || len(victim.from(evil.ID())) > 0 {
			t.Error("a stranger was listened to")
		}
		victim.innocent(t)
	})
}

func TestMalformedFrames(t *testing.T) {
	for name, data := range map[string][]byte{
		"too long":      binary.AppendUvarint(nil, maxFrame+1),
		"no cbor":       {3, 0xff, 0xff, 0xff},
		"nothing":       {1, 0xa0},
		"empty record":  frameOf(t, &load{Records: [][]byte{{}}}),
		"too many":      frameOf(t, &load{Records: slices.Repeat([][]byte{{1}}, MaxBatch+1)}),
		"unknown field": {3, 0xa1, 0x18, 0x63, 0x01},
	} {
		t.Run(name, func(t *testing.T) {
			siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
				s := stream(t, evil, victim, data)
				settle(time.Second)
				if !ended(s) || !victim.blamed("malformed") {
					t.Errorf("stream ended: %t, offences %q", ended(s), victim.offences)
				}
			})
		})
	}
}

// Half a frame is waited for as long as Patience, however its bytes trickle in.
func TestHalfFrame(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		s := stream(t, evil, victim, binary.AppendUvarint(nil, maxFrame))
		for range 40 {
			settle(time.Second)
			_, _ = s.Write([]byte{0})
		}
		if !ended(s) || !victim.blamed("stalls") {
			t.Errorf("stream ended: %t, offences %q", ended(s), victim.offences)
		}
		if !victim.budget.TryAcquire(int64(victim.opt.InBytes)) {
			t.Error("the budget did not get back what the frame took of it")
		} else {
			victim.budget.Release(int64(victim.opt.InBytes))
		}
	})
}

// A stream on which nothing comes ends some time.
func TestSilentStream(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		s := stream(t, evil, victim, frameOf(t, &load{Records: [][]byte{[]byte("x")}}))
		settle(time.Hour)
		if !ended(s) {
			t.Error("it is open after an hour")
		}
		victim.innocent(t)
	})
}

// Of many streams of one peer one is listened to, the newest; opening on and on is an offence.
func TestManyStreams(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		gate := make(chan struct{})
		victim.desk.mu.Lock()
		victim.desk.take = func(_ context.Context, p peer.ID, _ [][]byte) error {
			if p == evil.ID() {
				<-gate
			}
			return nil
		}
		victim.desk.mu.Unlock()
		var open []network.Stream
		for i := range 20 {
			open = append(open, stream(t, evil, victim, frameOf(t, &load{Records: [][]byte{fmt.Append(nil, i)}})))
			settle(100 * time.Millisecond)
		}
		left := 0
		for _, s := range open {
			if !ended(s) {
				left++
			}
		}
		if left != 1 {
			t.Errorf("%d streams of one peer are open: want 1", left)
		}
		close(gate)
		settle(time.Second)
		if got := victim.from(evil.ID()); !slices.Equal(got, []string{"0", "19"}) {
			t.Errorf("got %q: want the first, which was being taken, and the newest", got)
		}
		victim.innocent(t)
		for range 40 {
			stream(t, evil, victim, nil)
		}
		settle(time.Second)
		if !victim.blamed("stream after stream") {
			t.Errorf("offences %q", victim.offences)
		}
	})
}

func TestRefusedRecords(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		victim.desk.mu.Lock()
		victim.desk.take = func(_ context.Context, _ peer.ID, raws [][]byte) error {
			if string(raws[0]) == "forged" {
				return fmt.Errorf("%w: a signature does not fit", ErrRefused)
			}
			return nil
		}
		victim.desk.mu.Unlock()
		s := stream(t, evil, victim, frameOf(t, &load{Records: [][]byte{[]byte("forged")}}))
		settle(time.Second)
		if !ended(s) || !victim.blamed("a signature does not fit") {
			t.Errorf("stream ended: %t, offences %q", ended(s), victim.offences)
		}
	})
}

func TestBehindAgainAndAgain(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		word := frameOf(t, &load{Behind: true})
		s := stream(t, evil, victim, bytes.Repeat(word, 1000))
		settle(time.Second)
		if !ended(s) || !victim.blamed("behind") || victim.words(evil.ID()) > behindBurst+1 {
			t.Errorf("stream ended: %t, %d words, offences %q", ended(s), victim.words(evil.ID()), victim.offences)
		}
	})
}

// An attacker that talks back, or that does not read, costs its own line and nobody else's.
func TestHostileReceiver(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		evil.SetStreamHandler(Protocol, func(s network.Stream) { _, _ = s.Write([]byte("thanks")) })
		victim.Push(evil.ID(), []byte("x"), false)
		settle(time.Second)
		if !victim.blamed("answers") {
			t.Errorf("offences %q", victim.offences)
		}
	})
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		evil.SetStreamHandler(Protocol, func(network.Stream) {})
		record := []byte(strings.Repeat("x", 64<<10))
		for range 2000 {
			victim.Push(evil.ID(), record, false)
		}
		settle(time.Second)
		victim.Courier.mu.Lock()
		if n := victim.waiting; n > victim.opt.QueueBytes {
			t.Errorf("%d bytes wait for one peer", n)
		}
		victim.Courier.mu.Unlock()
		settle(time.Minute)
		victim.Courier.mu.Lock()
		if n := victim.waiting; n > 0 {
			t.Errorf("%d bytes wait for a peer that does not read", n)
		}
		victim.Courier.mu.Unlock()
	})
}

// A stream that the peer resets leaves nothing behind, however long the courier lives.
func TestResetStreams(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		var theirs network.Stream
		evil.SetStreamHandler(Protocol, func(s network.Stream) { theirs = s })
		victim.Push(evil.ID(), []byte("x"), false)
		settle(time.Second)
		victim.Courier.mu.Lock()
		o := victim.lines[evil.ID()].out
		victim.Courier.mu.Unlock()
		_ = theirs.Reset()
		settle(time.Second)
		if !o.isGone() {
			t.Fatal("the stream is not known to be gone")
		}
		if o.stop() {
			t.Error("the courier still holds a stream that broke")
		}
	})
}

// However much a peer sends while nothing is taken, little of it is held.
func TestFloodIsNotRead(t *testing.T) {
	siege(t, Options{}, func(t *testing.T, victim *post, evil host.Host) {
		gate := make(chan struct{})
		victim.desk.mu.Lock()
		victim.desk.take = func(_ context.Context, p peer.ID, _ [][]byte) error {
			if p == evil.ID() {
				<-gate
			}
			return nil
		}
		victim.desk.mu.Unlock()
		s, err := evil.NewStream(t.Context(), victim.ID(), Protocol)
		if err != nil {
			t.Fatal(err)
		}
		data := frameOf(t, &load{Records: [][]byte{make([]byte, 100<<10)}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 1000 {
				if _, err := s.Write(data); err != nil {
					return
				}
			}
		}()
		settle(30 * time.Second)
		const most = 3 * (maxPending + maxFrame) // being taken, waiting, and being read
		if !victim.budget.TryAcquire(int64(victim.opt.InBytes - most)) {
			t.Errorf("one peer holds over %d bytes", most)
		} else {
			victim.budget.Release(int64(victim.opt.InBytes - most))
		}
		_ = s.Reset()
		close(gate)
		<-done
		settle(time.Second)
		victim.innocent(t)
	})
}

// A budget that hostile peers have used up comes back when their time is over.
func TestBudgetComesBack(t *testing.T) {
	world.Test(t, func(t *testing.T) {
		w := world.New(t, 4, 6, world.Options{})
		victim, friend := open(t, w, 0, Options{InBytes: 2 * maxFrame}), open(t, w, 1, Options{})
		for i := 2; i < 6; i++ {
			w.Host(i)
		}
		w.Mesh(0, 1, 2, 3, 4, 5)
		for i := 2; i < 6; i++ {
			stream(t, w.At(i), victim, binary.AppendUvarint(nil, maxFrame))
		}
		settle(time.Second)
		friend.push(victim, false, "from a friend")
		settle(time.Minute)
		if got := victim.from(friend.ID()); len(got) != 1 && victim.words(friend.ID()) == 0 {
			t.Errorf("got %q, and no word of a loss", got)
		}
		if !victim.blamed("stalls") {
			t.Error("nobody is blamed")
		}
		if !victim.budget.TryAcquire(int64(victim.opt.InBytes)) {
			t.Error("the budget did not come back")
		}
	})
}

func FuzzFrame(f *testing.F) {
	for _, l := range []*load{{Behind: true}, {Records: [][]byte{{1}, {2, 3}}}, {Records: [][]byte{make([]byte, 300)}, Behind: true}} {
		data, err := frame.Append(nil, l)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte(strings.Repeat("\x81", 30)))
	f.Fuzz(func(t *testing.T, data []byte) {
		content, err := frame.Read(bufio.NewReader(bytes.NewReader(data)), maxFrame)
		if err != nil {
			return
		}
		l, err := frame.Decode[load](content)
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if err := l.Check(); err != nil {
			t.Fatalf("accepted and out of bounds: %v", err)
		}
		again, err := frame.Append(nil, l)
		if err != nil || !bytes.HasPrefix(data, again) {
			t.Fatalf("accepted and not the one encoding of itself: %v", err)
		}
	})
}

// The largest frame that a queue makes is one that a peer reads.
func TestLargestFrame(t *testing.T) {
	var q queue
	for range MaxBatch {
		q.add(make([]byte, BatchBytes/MaxBatch), false)
	}
	q.normal[MaxBatch-1] = make([]byte, protocol.MaxRecord)
	l := &load{Records: q.take(), Behind: true}
	if len(l.Records) != MaxBatch {
		t.Fatalf("%d records in a frame", len(l.Records))
	}
	data, err := frame.Append(nil, l)
	if err != nil {
		t.Fatal(err)
	}
	content, err := frame.Read(bufio.NewReader(bytes.NewReader(data)), maxFrame)
	if err == nil {
		_, err = frame.Decode[load](content)
	}
	if err != nil {
		t.Errorf("%d bytes: %v", len(data), err)
	}
}
