package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// A member is a team that may be in rooms and whose keys are in memory. Its one node has a key for what is sealed to it.
type member struct {
	team     protocol.TeamID
	root     protocol.Hash
	officer  *protocol.PrivateKey
	key      *protocol.PrivateKey // of its node
	identity seal.Identity        // of its node
	peer     crypto.PrivKey
	records  []*protocol.Envelope
}

func (m *member) peerID() peer.ID {
	id, err := peer.IDFromPrivateKey(m.peer)
	if err != nil {
		panic("a key that libp2p does not know")
	}
	return id
}

// newMember makes a team whose node has the libp2p key, or with nil one of its own.
func newMember(name string, key crypto.PrivKey, now time.Time) (*member, error) {
	m := &member{peer: key}
	var err error
	if key == nil {
		if m.peer, _, err = crypto.GenerateEd25519Key(nil); err != nil {
			return nil, err
		}
	}
	root, _, err := protocol.GenerateKey(protocol.Hybrid)
	if err != nil {
		return nil, err
	}
	if m.officer, _, err = protocol.GenerateKey(protocol.Hybrid); err != nil {
		return nil, err
	}
	if m.key, _, err = protocol.GenerateKey(protocol.Ed25519); err != nil {
		return nil, err
	}
	if m.identity, err = seal.GenerateIdentity(); err != nil {
		return nil, err
	}
	at := uint64(now.Unix())
	sealed := protocol.SealedSet{Keys: []protocol.PublicKey{root.Public()}, Threshold: 1}
	r, err := protocol.Sign(&protocol.Root{Path: protocol.PathRoot, Keys: []protocol.PublicKey{root.Public()}, Threshold: 1, Issued: at,
		Officers: []protocol.Officer{{Key: m.officer.Public(), Name: "officer-1"}}, Sealed: sealed.Commitment()}, root)
	if err != nil {
		return nil, err
	}
	m.team, m.root = r.ID(), r.ID()
	manifest, err := protocol.Sign(&protocol.Manifest{Team: m.team, Version: 1, Root: m.root, Issued: at, Expires: uint64(now.Add(node.ManifestLife).Unix()),
		Nodes: []protocol.Node{{Key: m.key.Public(), Peer: []byte(m.peerID()), Name: "node-1", Recipient: m.identity.Recipient().String()}}}, m.officer)
	if err != nil {
		return nil, err
	}
	card, err := protocol.Sign(&protocol.Card{Team: m.team, Version: 1, Issued: at, Name: name, Country: "XA",
		Constituency: protocol.Constituency{Countries: []string{"XA"}}}, m.officer)
	m.records = []*protocol.Envelope{r, manifest, card}
	return m, err
}

// newMembers makes so many.
func newMembers(tb testing.TB, count int, key func(i int) crypto.PrivKey) []*member {
	tb.Helper()
	out := make([]*member, count)
	errs := make([]error, count)
	now := time.Now()
	var all sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range out {
		all.Go(func() {
			slots <- struct{}{}
			var k crypto.PrivKey
			if key != nil {
				k = key(i)
			}
			out[i], errs[i] = newMember(fmt.Sprintf("member-%d", i), k, now)
			<-slots
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
	return out
}

// ownMember returns the team of a home as a member, without the keys of its node.
func ownMember(tb testing.TB, home string) *member {
	tb.Helper()
	m, err := withNode(home, func(n *node.Node) (*member, error) {
		own := n.OwnRecords()
		officer, err := keyring.OpenOfficer(node.KeysDir(home), "officer-1", "correct horse")
		return &member{team: n.TeamID(), root: own.RootID, officer: officer}, err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// A hall is a home whose team shares rooms with members.
type hall struct {
	home    string
	own     *member
	members []*member
}

// newHall makes the home of a team that has taken in the introductions of the members. It listens on the addresses.
func newHall(tb testing.TB, dir, name string, members []*member, listen ...string) *hall {
	tb.Helper()
	home := filepath.Join(dir, name)
	if _, err := node.Found(node.Founding{Home: home, Name: name, Country: "XA", Passphrase: "correct horse", WorkFactor: 10, Listen: listen}, time.Now()); err != nil {
		tb.Fatal(err)
	}
	h := &hall{home: home, own: ownMember(tb, home), members: members}
	ring, err := openRing(home)
	if err != nil {
		tb.Fatal(err)
	}
	st, err := store.Open(filepath.Join(home, "store"), ringKeys{ring}, store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	for _, m := range members {
		for _, e := range m.records {
			err = errors.Join(err, st.PutRecord(m.team, e))
		}
		err = errors.Join(err, st.PutAct(trust.OwnAct{Team: m.team, Kind: trust.ActAdded, At: time.Now(), By: "officer-1"}))
	}
	if err := errors.Join(err, st.Close(), ring.Close()); err != nil {
		tb.Fatal(err)
	}
	return h
}

// benchStewards is how many of a room's members vote, if it has so many.
const benchStewards = 7

// found makes a room of this team and members, all of whom accept; the first of them are stewards beside this team.
func (h *hall) found(tb testing.TB, n *node.Node, name string, members ...*member) protocol.Hash {
	tb.Helper()
	stewards := members[:min(benchStewards-1, len(members))]
	terms := node.RoomTerms{Name: name}
	for _, m := range stewards {
		terms.Stewards = append(terms.Stewards, m.team.String())
	}
	for _, m := range members[len(stewards):] {
		terms.Members = append(terms.Members, m.team.String())
	}
	c, err := n.DraftRoom(terms)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := protocol.Sign(c, h.own.officer)
	for _, m := range stewards {
		err = errors.Join(err, e.AddSignature(m.officer))
	}
	if err != nil {
		tb.Fatal(err)
	}
	room, es := e.ID(), []*protocol.Envelope{e}
	for _, m := range members[len(stewards):] {
		a, err := protocol.Sign(&protocol.Accept{Room: room, Charter: room, Team: m.team, Root: m.root, Issued: c.Issued}, m.officer)
		if err != nil {
			tb.Fatal(err)
		}
		es = append(es, a)
	}
	if err := (node.RoomBench{Node: n}).Take(room, es...); err != nil {
		tb.Fatal(err)
	}
	v, err := n.Room(room.String())
	if err != nil {
		tb.Fatal(err)
	}
	if v.State != trust.RoomOpen || len(v.Readers) != len(members) {
		tb.Fatalf("the room is %s, %d others read in it: want open, %d", v.State, len(v.Readers), len(members))
	}
	return room
}

// removal returns the card that removes a member, as all but the last steward who are needed have signed it, and then as that
// one has, who is this team's officer.
func (h *hall) removal(tb testing.TB, n *node.Node, room protocol.Hash, stewards []*member, out *member) (almost, whole *protocol.Envelope) {
	tb.Helper()
	p, err := n.DraftInRoom(room.String(), node.RoomAct{Kind: "remove", Team: out.team.String(), Reason: "its keys were stolen"})
	if err != nil {
		tb.Fatal(err)
	}
	votes := protocol.Quorum(len(stewards)+1) - 1
	almost, err = protocol.Sign(p.Record, stewards[0].officer)
	for _, m := range stewards[1:votes] {
		err = errors.Join(err, almost.AddSignature(m.officer))
	}
	if err != nil {
		tb.Fatal(err)
	}
	whole, err = protocol.DecodeEnvelope(almost.Encode(), protocol.MaxRecord)
	if err == nil {
		err = whole.AddSignature(h.own.officer)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return almost, whole
}

// usedCPU returns the processor time that this process has used.
func usedCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// cost returns the processor time that f takes. Nothing else should be going on.
func cost(tb testing.TB, f func() error) time.Duration {
	tb.Helper()
	at := usedCPU()
	if err := f(); err != nil {
		tb.Fatal(err)
	}
	return usedCPU() - at
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// alone makes the host of a node that nobody can reach.
func alone(key crypto.PrivKey, g connmgr.ConnectionGater) (host.Host, error) {
	return libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.ConnectionGater(g), libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
}

// openAlone opens and starts the node of a home on a host that nobody can reach.
func openAlone(tb testing.TB, home string) *node.Node {
	tb.Helper()
	cfg, err := node.LoadConfig(home)
	if err != nil {
		tb.Fatal(err)
	}
	cfg.NewHost = alone
	ring, err := openRing(home)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := node.Open(cfg, ring)
	if err == nil {
		err = n.Start(context.Background())
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(n.Close(), ring.Close()); err != nil {
			tb.Error(err)
		}
	})
	return n
}

// BenchmarkRoomRemoval removes one of ENTENTE_BENCH_MEMBERS members of a room, from the moment when the last steward's vote is
// added at one node, and measures what makes the removal take effect: the new epoch and its grants.
//
// Processor time is measured at that node alone, without a network: vote-cpu-ms is to take in the vote, epoch-cpu-ms to make the
// epoch, grants-cpu-ms/member to grant it to one node, and cpu-ms/member all three of one member. cpu-ratio is the part of the
// grants that is their cryptography: sealing and signing.
//
// What travels, and when the last member can read, is measured in a simulated world around one whole node, which says something
// right after the vote. Of the others, ENTENTE_BENCH_WHOLE are whole nodes with stores of their own (3; each takes 13 MB and some
// seconds to prepare, for it verifies what all others signed). The rest is light: each has a host, an engine of package roomsync and a
// courier of its own, node keys, and opens its own grant with its own identity; it verifies what nodes signed and believes what
// officers did. read-s is until the last light one has opened what was said, in virtual time, in which processors and disks cost
// nothing; first-read-s the first, whole-read-s the last of the whole nodes. bytes/member is what the node wrote to one member
// between the vote and then on streams of rooms: card-B, epoch-B and grant-B are the records, rest-B what framing and comparing
// added; message-B is what went by the courier.
func BenchmarkRoomRemoval(b *testing.B) {
	count := benchSize("ENTENTE_BENCH_MEMBERS", 250, 20)
	for b.Loop() {
		c := removalCost(b, count)
		b.ReportMetric(millis(c.vote), "vote-cpu-ms")
		b.ReportMetric(millis(c.epoch), "epoch-cpu-ms")
		b.ReportMetric(millis(c.grants)/float64(c.granted), "grants-cpu-ms/member")
		b.ReportMetric(millis(c.vote+c.epoch+c.grants)/float64(c.granted), "cpu-ms/member")
		b.ReportMetric(float64(c.bare)/float64(c.grants), "cpu-ratio")
		w := removalInWorld(b, count)
		b.ReportMetric(float64(w.Granted), "members")
		b.ReportMetric(w.Read.Seconds(), "read-s")
		b.ReportMetric(w.First.Seconds(), "first-read-s")
		b.ReportMetric(w.Whole.Seconds(), "whole-read-s")
		per := func(n int) float64 { return float64(n) / float64(w.Granted) }
		light := func(n int) float64 { return float64(n) / float64(w.Light) }
		b.ReportMetric(per(w.Room), "bytes/member")
		b.ReportMetric(light(w.Card), "card-B")
		b.ReportMetric(light(w.Epoch), "epoch-B")
		b.ReportMetric(light(w.Grant), "grant-B")
		b.ReportMetric(per(w.Room)-light(w.Card+w.Epoch+w.Grant), "rest-B")
		b.ReportMetric(per(w.Message), "message-B")
		b.ReportMetric(millis(w.CPU)/float64(w.Granted), "world-cpu-ms/member")
	}
	b.ReportMetric(0, "ns/op")
}

// removed is what a removal costs one node.
type removed struct {
	vote, epoch, grants time.Duration
	bare                time.Duration // of grants: sealing and signing alone
	granted             int
}

func removalCost(b *testing.B, count int) (c removed) {
	b.Helper()
	members := newMembers(b, count-1, nil)
	h := newHall(b, b.TempDir(), "maker", members)
	n, closing, err := openNode(h.home)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := closing(); err != nil {
			b.Error(err)
		}
	}()
	rb := node.RoomBench{Node: n}
	room := h.found(b, n, "a room", members...)
	rb.Meet(room, members[0].team, members[1].team)
	if err := rb.MakeEpoch(room); err != nil {
		b.Fatal(err)
	}
	out := members[len(members)-1]
	almost, whole := h.removal(b, n, room, members[:min(benchStewards-1, len(members))], out)
	if err := rb.Take(room, almost); err != nil {
		b.Fatal(err)
	}
	if err := profile("room-removal"); err != nil {
		b.Fatal(err)
	}
	c.vote = cost(b, func() error {
		_, err := n.AddToRoom(b.Context(), whole)
		return err
	})
	c.epoch = cost(b, func() error { return rb.MakeEpoch(room) })
	u, ok := rb.Usable(room)
	if !ok {
		b.Fatal("the room has no key")
	}
	c.grants = cost(b, func() error {
		for _, m := range members {
			raws, err := rb.Grants(m.peerID(), room, u.ID)
			if err != nil {
				return err
			}
			if len(raws) != 1 && m != out || len(raws) != 0 && m == out {
				return fmt.Errorf("a node got %d grants", len(raws))
			}
			c.granted += len(raws)
		}
		return nil
	})
	pprof.StopCPUProfile()
	identity, _, err := seal.NewEpochKey()
	if err != nil {
		b.Fatal(err)
	}
	var to []seal.Recipient
	for _, m := range members[:c.granted] {
		to = append(to, m.identity.Recipient())
	}
	c.bare = cost(b, func() error {
		for i, r := range to {
			file, err := seal.SealIdentity(identity, r)
			if err != nil {
				return err
			}
			if _, err := protocol.Sign(&protocol.Grant{Room: room, Epoch: u.ID, Team: h.own.team, Node: u.Node, For: members[i].key.Public().ID(), Key: file,
				Issued: uint64(time.Now().Unix())}, members[i].key); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

// roomSizes are the rooms whose messages are compared.
var roomSizes = []int{4, 50, 250}

// maxRoomCost is what a message in a room may cost above its content and the padding, in bytes.
const maxRoomCost = 2560

// roomsOf makes one node that nobody can reach, with rooms of so many members each, in which it may speak and has spoken.
func roomsOf(tb testing.TB, sizes []int) (n *node.Node, rooms []protocol.Hash, members []*member) {
	tb.Helper()
	members = newMembers(tb, slices.Max(sizes)-1, nil)
	h := newHall(tb, tb.TempDir(), "speaker", members)
	n = openAlone(tb, h.home)
	for i, size := range sizes {
		room := h.found(tb, n, fmt.Sprintf("room %d", i), members[:size-1]...)
		(node.RoomBench{Node: n}).Meet(room, members[0].team, members[1].team)
		rooms = append(rooms, room)
		saysIn(tb, n, room, "the first word")
	}
	return n, rooms, members
}

// saysIn sends a text into a room, and returns how many bytes of content it has: text and title.
func saysIn(tb testing.TB, n *node.Node, room protocol.Hash, text string) int {
	tb.Helper()
	s, err := n.Send(tb.Context(), node.Draft{Audience: "room:" + room.String(), Label: tlp.Amber, Size: -1}, strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	return len(text) + len(s.Title)
}

// bareSaying returns the processor time of the cryptography of so many messages in a room, at their author.
func bareSaying(b *testing.B, count int) time.Duration {
	b.Helper()
	key, _, err := protocol.GenerateKey(protocol.Ed25519)
	if err != nil {
		b.Fatal(err)
	}
	id, _, err := seal.NewEpochKey()
	if err != nil {
		b.Fatal(err)
	}
	to, room := id.Recipient(), protocol.Hash{1}
	return cost(b, func() error {
		for i := range count {
			s := newSaying(key, protocol.TeamID{1}, room, protocol.Hash{2}, protocol.Hash{3}, i+1, protocol.Hash{4})
			if _, err := s.sign(key, to); err != nil {
				return err
			}
		}
		return nil
	})
}

// A saying is a message in a room on its way into a feed.
type saying struct {
	statement *protocol.Statement
	parcel    *protocol.Parcel
	env       *protocol.Envelope // of the statement
	inner     []byte
}

func newSaying(key *protocol.PrivateKey, team protocol.TeamID, room, charter, epoch protocol.Hash, seq int, prev protocol.Hash) *saying {
	kid, text := key.Public().ID(), benchText(seq)
	text = append([]byte("TLP:AMBER"), text[len("TLP:GREEN"):]...)
	st := &protocol.Statement{Author: team, Node: kid, Clock: protocol.HLC(0).Next(time.Now()), Kind: protocol.KindMessage, Label: tlp.Amber,
		Audience: protocol.Audience{Kind: protocol.InRoom, Room: room, Charter: charter, Epoch: epoch}, Title: fmt.Sprint("Report ", seq),
		Body: protocol.Body{Format: "text", Size: uint64(len(text)), Hash: protocol.Sum("", text), Inline: text}}
	copy(st.Salt[:], st.Body.Hash[:])
	p := &protocol.Parcel{Team: team, Node: kid, Feed: protocol.FeedOf(kid, protocol.RoomChannel(room)), Seq: uint64(seq), Prev: prev,
		Class: protocol.Normal, Sealed: true, Epoch: epoch}
	if seq == 1 {
		p.Prev = protocol.Hash{}
	}
	return &saying{statement: st, parcel: p}
}

// sign signs the statement, seals it to the epoch's recipient, and signs the parcel.
func (s *saying) sign(key *protocol.PrivateKey, to seal.Recipient) (*protocol.Envelope, error) {
	var err error
	if s.env, err = protocol.Sign(s.statement, key); err != nil {
		return nil, err
	}
	s.inner = s.env.Encode()
	if s.parcel.Body, err = seal.SealSmall(s.inner, to); err != nil {
		return nil, err
	}
	return protocol.Sign(s.parcel, key)
}

// aboveContent returns what the newest message of a node in a room costs above its content and the padding, in bytes.
func aboveContent(tb testing.TB, n *node.Node, room protocol.Hash, content int) int {
	tb.Helper()
	raw, err := node.RoomBench{Node: n}.Last(room)
	if err != nil {
		tb.Fatal(err)
	}
	env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := protocol.Decode[protocol.Parcel](env)
	if err != nil {
		tb.Fatal(err)
	}
	inner, err := node.RoomBench{Node: n}.Open(p)
	if err != nil {
		tb.Fatal(err)
	}
	padding := int(seal.PaddedSize(uint64(len(inner))+1)) - len(inner)
	return len(raw) - content - padding
}

// TestRoomMessageCost has one node say the same in rooms of 4, 50 and 250 members: what a message costs above its content and the
// padding is within the bound, and the same to the byte.
func TestRoomMessageCost(t *testing.T) {
	n, rooms, _ := roomsOf(t, roomSizes)
	for _, size := range []int{1, 1000, 20000} {
		text := string(bytes.Repeat([]byte("x"), size))
		first := 0
		for i, room := range rooms {
			got := aboveContent(t, n, room, saysIn(t, n, room, text))
			if got > maxRoomCost {
				t.Errorf("%d bytes in a room of %d members cost %d bytes above content and padding, want at most %d", size, roomSizes[i], got, maxRoomCost)
			}
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("%d bytes in a room of %d members cost %d bytes above content and padding, in one of %d members %d", size, roomSizes[i], got, roomSizes[0], first)
			}
		}
	}
}

// BenchmarkRoomMessage measures what a message of 1 KB costs in rooms of 4, 50 and 250 members: B-above is the bytes of the parcel
// above content and padding; cpu-µs/4, /50 and /250 are the processor time to judge, seal and store it at a node that nobody is
// connected with; growth is the last by the first; bare-cpu-µs is its cryptography alone: two signatures and sealing to one key. pass-µs
// is to decide for 249 connected members whether they may be given it.
func BenchmarkRoomMessage(b *testing.B) {
	n, rooms, members := roomsOf(b, roomSizes)
	rounds := benchSize("ENTENTE_BENCH_MESSAGES", 1000, 100)
	var peers []peer.ID
	for _, m := range members {
		peers = append(peers, m.peerID())
	}
	last := len(rooms) - 1
	for b.Loop() {
		var used [3]time.Duration
		say := func(i, count int) func() error {
			return func() error {
				for k := range count {
					saysIn(b, n, rooms[i], strings.Replace(string(benchText(k)), "GREEN", "AMBER", 1))
				}
				return nil
			}
		}
		const together = 50
		said := 0
		for ; said < rounds; said += together {
			for i := range rooms {
				used[i] += cost(b, say(i, together))
			}
		}
		if os.Getenv("ENTENTE_BENCH_PROFILES") != "" {
			if err := errors.Join(profile("room-message"), say(last, rounds)()); err != nil {
				b.Fatal(err)
			}
			pprof.StopCPUProfile()
		}
		for i, size := range roomSizes {
			b.ReportMetric(float64(used[i])/float64(said)/1e3, fmt.Sprintf("cpu-µs/%d", size))
		}
		b.ReportMetric(float64(used[last])/float64(used[0]), "growth")
		b.ReportMetric(float64(aboveContent(b, n, rooms[last], saysIn(b, n, rooms[last], "a word"))), "B-above")
		b.ReportMetric(float64(bareSaying(b, 300))/300/1e3, "bare-cpu-µs")
		pass := cost(b, func() error {
			for range 100 {
				if got := (node.RoomBench{Node: n}).Pass(rooms[last], peers); got != len(peers) {
					return fmt.Errorf("%d of %d may have it", got, len(peers))
				}
			}
			return nil
		})
		b.ReportMetric(float64(pass)/100/1e3, "pass-µs")
	}
	b.ReportMetric(0, "ns/op")
}
