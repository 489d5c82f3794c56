package node_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/entente-network/entente/node/catchup"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// mallory is a team like others until, one day, it means harm: somebody else runs its node. at and de go on meanwhile.
func withMallory(t *testing.T, seed uint64, story func(w *nodetest.World, at, de *nodetest.Team, mallory *nodetest.Peer)) {
	t.Helper()
	nodetest.Run(t, seed, []string{"at", "de", "mallory"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de := w.As("at"), w.As("de")
		mallory := w.As("mallory").Turns()
		mallory.Connects(at, de)
		story(w, at, de, mallory)
		start := time.Now()
		de.Holds(at.Sends(tlp.Green, "business as usual"))
		at.Holds(de.Sends(tlp.Green, "so it is"))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the honest waited %v for each other", took)
		}
	})
}

// messages returns how many messages the teams hold together.
func messages(t *testing.T, teams ...*nodetest.Team) (n uint64) {
	t.Helper()
	for _, tm := range teams {
		s, err := tm.Node.Status()
		if err != nil {
			t.Fatal(err)
		}
		n += s.Store.Parcels
	}
	return n
}

// mallory publishes what nobody may take in: garbage, broken and foreign signatures, labels and audiences that do not belong,
// places far in the future. Nothing of it is kept.
func TestHostileParcels(t *testing.T) {
	flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b }
	kinds := []struct {
		name string
		make func(de *nodetest.Team, m *nodetest.Peer) []byte
	}{
		{"garbage", func(*nodetest.Team, *nodetest.Peer) []byte {
			b := make([]byte, 300)
			_, _ = rand.Read(b)
			return b
		}},
		{"a wrong signature", func(_ *nodetest.Team, m *nodetest.Peer) []byte {
			raw, _ := m.Says("wrongly signed")
			return flip(raw)
		}},
		{"a bare statement", func(_ *nodetest.Team, m *nodetest.Peer) []byte {
			e, err := protocol.Sign(m.Statement("no parcel around it"), m.Key)
			if err != nil {
				t.Fatal(err)
			}
			return e.Encode()
		}},
		{"AMBER", func(_ *nodetest.Team, m *nodetest.Peer) []byte {
			st := m.Statement("too strict for everybody")
			st.Label = tlp.Amber
			raw, _ := m.Parcel(st)
			return raw
		}},
		{"AMBER+STRICT", func(_ *nodetest.Team, m *nodetest.Peer) []byte {
			st := m.Statement("for one team")
			st.Label = tlp.AmberStrict
			raw, _ := m.Parcel(st)
			return raw
		}},
		{"a statement of de in a parcel of mallory", func(de *nodetest.Team, m *nodetest.Peer) []byte {
			e, err := protocol.Sign(de.Stolen().Statement("retargeted"), de.Stolen().Key)
			if err != nil {
				t.Fatal(err)
			}
			return m.Wraps(e.Encode(), nil).Encode()
		}},
		{"a parcel of de signed by mallory", func(de *nodetest.Team, m *nodetest.Peer) []byte {
			st := de.Stolen().Statement("forged")
			e, err := protocol.Sign(st, m.Key)
			if err != nil {
				t.Fatal(err)
			}
			return m.Wraps(e.Encode(), func(p *protocol.Parcel) {
				p.Team, p.Node = st.Author, st.Node
				p.Feed = protocol.FeedOf(st.Node, protocol.Channel{})
			}).Encode()
		}},
		{"a parcel in another feed", func(de *nodetest.Team, m *nodetest.Peer) []byte {
			e, err := protocol.Sign(m.Statement("misfiled"), m.Key)
			if err != nil {
				t.Fatal(err)
			}
			return m.Wraps(e.Encode(), func(p *protocol.Parcel) {
				p.Feed = protocol.FeedOf(de.Stolen().Key.Public().ID(), protocol.Channel{})
			}).Encode()
		}},
		{"a parcel whose body is no statement", func(_ *nodetest.Team, m *nodetest.Peer) []byte {
			return m.Wraps([]byte("not an envelope"), nil).Encode()
		}},
		{"more bytes than a record may have", func(*nodetest.Team, *nodetest.Peer) []byte {
			return make([]byte, protocol.MaxRecord)
		}},
	}
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			withMallory(t, uint64(100+i), func(w *nodetest.World, at, de *nodetest.Team, m *nodetest.Peer) {
				before := messages(t, at, de)
				m.Publishes(k.make(de, m))
				w.Wait(5 * time.Second)
				if got := messages(t, at, de); got != before {
					t.Errorf("%d parcels of it were kept", got-before)
				}
			})
		})
	}
}

// mallory publishes an old message of de again, and one of its own for three days from now. The first is not taken in twice,
// the second waits unseen.
func TestReplayAndFuture(t *testing.T) {
	withMallory(t, 120, func(w *nodetest.World, at, de *nodetest.Team, m *nodetest.Peer) {
		id := de.Sends(tlp.Green, "said once")
		at.Holds(id)
		raw := m.Heard("said once")
		m.Publishes(raw)
		w.Wait(11 * time.Minute) // gossip itself has forgotten it
		before := messages(t, at, de)
		m.Publishes(raw)
		st := m.Statement("of the day after tomorrow")
		st.Clock = protocol.HLC(0).Next(time.Now().Add(3 * 24 * time.Hour))
		future, fid := m.Parcel(st)
		m.Publishes(future)
		w.Wait(time.Minute)
		if got := messages(t, at, de); got != before+2 {
			t.Errorf("%d parcels more at two nodes, want the one from the future only", got-before)
		}
		if v, err := at.Node.Message(fid); err != nil || v.Quarantined == "" || v.Title != "" {
			t.Errorf("the message from the future: %+v, %v", v, err)
		}
	})
}

// mallory opens a thousand streams to at and says nothing on them: greetings, then requests. at ends the connection; at and de
// do not even notice.
func TestHostileStreams(t *testing.T) {
	for i, proto := range []string{nodetest.Hello, catchup.Protocol} {
		t.Run(proto, func(t *testing.T) {
			withMallory(t, uint64(130+i), func(w *nodetest.World, at, de *nodetest.Team, m *nodetest.Peer) {
				var open []network.Stream
				for range 1000 {
					s, err := m.Opens(at, libp2p.ID(proto))
					if err != nil {
						break // at had enough
					}
					if _, err := s.Write([]byte{0x85}); err != nil {
						break
					}
					open = append(open, s)
				}
				de.Holds(at.Sends(tlp.Green, "we talk while mallory knocks"))
				w.Until("at ends the connection", func() bool { return !m.Connected(at) })
				for _, s := range open {
					_ = s.Reset()
				}
			})
		})
	}
}

// mallory asks for catching up in words that are none, with lengths that are lies, and for lists without end. at ends the
// connection each time.
func TestHostileRequests(t *testing.T) {
	withMallory(t, 140, func(w *nodetest.World, at, de *nodetest.Team, m *nodetest.Peer) {
		for _, words := range [][]byte{
			[]byte("GET / HTTP/1.1\r\n\r\n"),
			{0xff, 0xff, 0xff, 0xff, 0x0f},
			{0x02, 0xa1, 0x01},
			{0x03, 0xa1, 0x01, 0x18, 0x63},
		} {
			m.Connects(at)
			s, err := m.Opens(at, catchup.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(words); err != nil {
				t.Fatal(err)
			}
			_ = s.CloseWrite()
			if got, err := io.ReadAll(s); len(got) > 0 {
				t.Errorf("at answers %x with %x, %v", words, got, err)
			}
		}
	})
}

// mallory's node accepts every question of those who catch up, and either says nothing, or rubbish. at comes back from an
// absence and asks mallory first as likely as de. It has everything soon.
func TestHostileAnswers(t *testing.T) {
	for i, c := range []struct {
		name   string
		answer func(s network.Stream)
	}{
		{"silence", func(s network.Stream) { _, _ = io.Copy(io.Discard, s) }},
		{"rubbish", func(s network.Stream) {
			_, _ = s.Write(bytes.Repeat([]byte{0x05, 0xa1, 0x01}, 1000))
			_ = s.Close()
		}},
		{"no end", func(s network.Stream) {
			for {
				if _, err := s.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withMallory(t, uint64(150+i), func(w *nodetest.World, at, de *nodetest.Team, m *nodetest.Peer) {
				m.Host.SetStreamHandler(catchup.Protocol, func(s network.Stream) {
					c.answer(s)
					_ = s.Reset()
				})
				at.Leaves()
				var ids []protocol.Hash
				for i := range 10 {
					ids = append(ids, de.Sends(tlp.Green, fmt.Sprint("while at is away ", i)))
				}
				at.Returns()
				m.Connects(at)
				start := time.Now()
				at.HoldsAll(ids)
				if took := time.Since(start); took > time.Minute {
					t.Errorf("it took at %v", took)
				}
				w.Together(at, de)
			})
		})
	}
}

// mallory signs that its feed reaches to a million million. at and de believe that messages are missing, which doctor says,
// and go on.
func TestHostileHeads(t *testing.T) {
	withMallory(t, 160, func(w *nodetest.World, at, de *nodetest.Team, m *nodetest.Peer) {
		raw, id := m.Says("the first of a million million")
		m.Publishes(raw)
		at.Holds(id)
		st := m.Statement("")
		e, err := protocol.Sign(&protocol.Heads{Team: st.Author, Node: st.Node, N: uint64(time.Now().UnixMilli()), Time: uint64(time.Now().Unix()),
			Feeds: []protocol.Head{{Feed: protocol.FeedOf(st.Node, protocol.Channel{}), First: 1, Seq: 1e12, Hash: protocol.Hash(id)}}}, m.Key)
		if err != nil {
			t.Fatal(err)
		}
		m.Publishes(e.Encode())
		at.Doctor("999999999999 messages of mallory are missing")
		w.Wait(15 * time.Minute)
		if s, err := at.Node.Status(); err != nil || s.Store.Messages != 1 {
			t.Errorf("at holds %d messages, %v", s.Store.Messages, err)
		}
	})
}
