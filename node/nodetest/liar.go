package nodetest

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node/roomsync"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
)

// A Liar is what a peer says in rooms: it speaks the protocol well, keeps all that it is given, and gives what the story wants.
type Liar struct {
	p      *Peer
	engine *roomsync.Engine

	mu       sync.Mutex
	held     map[protocol.Hash]map[protocol.Hash][]byte // guarded by mu
	grants   map[protocol.Hash]map[peer.ID][][]byte     // guarded by mu; by epoch
	restless int                                        // guarded by mu; counts answers if it names other digests each time
	talks    int                                        // guarded by mu
}

// Lies lets the peer speak of rooms.
func (p *Peer) Lies() *Liar {
	l := &Liar{p: p, held: map[protocol.Hash]map[protocol.Hash][]byte{}, grants: map[protocol.Hash]map[peer.ID][][]byte{}}
	l.engine = roomsync.New(p.Host, l, roomsync.Options{})
	p.liar = l
	return l
}

// Gives adds records to what the liar gives of a room, and has the teams' nodes compared with.
func (l *Liar) Gives(room protocol.Hash, es []*protocol.Envelope, to ...*Team) {
	l.mu.Lock()
	for _, e := range es {
		l.keep(room, e.Encode())
	}
	l.mu.Unlock()
	for _, t := range to {
		l.engine.PeerReady(t.peerID())
	}
}

func (l *Liar) keep(room protocol.Hash, raw []byte) {
	e, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
	if err != nil {
		return
	}
	if l.held[room] == nil {
		l.held[room] = map[protocol.Hash][]byte{}
	}
	l.held[room][e.ID()] = bytes.Clone(raw)
}

// Signs signs a record with the officer's key of the liar's team.
func (l *Liar) Signs(r protocol.Record) *protocol.Envelope {
	l.p.t.w.T.Helper()
	e, err := protocol.Sign(r, l.p.t.Officer())
	if err != nil {
		l.p.t.w.T.Fatal(err)
	}
	return e
}

// MakesEpoch makes an epoch as a node of a member may, changed as wanted, and returns it with its identity.
func (l *Liar) MakesEpoch(e protocol.Epoch, change func(*protocol.Epoch)) (*protocol.Envelope, seal.Identity) {
	l.p.t.w.T.Helper()
	id, recipient, err := seal.NewEpochKey()
	if err != nil {
		l.p.t.w.T.Fatal(err)
	}
	e.Team, e.Node, e.Recipient = l.p.t.ID, l.p.Key.Public().ID(), recipient
	if change != nil {
		change(&e)
	}
	slices.SortFunc(e.Nodes, func(a, b protocol.KID) int { return bytes.Compare(a[:], b[:]) })
	env, err := protocol.Sign(&e, l.p.Key)
	if err != nil {
		l.p.t.w.T.Fatal(err)
	}
	return env, id
}

// GrantsAs has the liar grant an identity, whatever it is, as that of an epoch to a team's node when it asks.
func (l *Liar) GrantsAs(room, epoch protocol.Hash, id seal.Identity, to *Team) {
	l.p.t.w.T.Helper()
	d, err := to.Node.NodeDraft()
	if err != nil {
		l.p.t.w.T.Fatal(err)
	}
	r, err := seal.ParseRecipient(d.Recipient)
	if err != nil {
		l.p.t.w.T.Fatal(err)
	}
	file, err := seal.SealIdentity(id, r)
	if err != nil {
		l.p.t.w.T.Fatal(err)
	}
	e, err := protocol.Sign(&protocol.Grant{Room: room, Epoch: epoch, Team: l.p.t.ID, Node: l.p.Key.Public().ID(), For: to.ring.KID(), Key: file,
		Issued: uint64(to.now().Unix())}, l.p.Key)
	if err != nil {
		l.p.t.w.T.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grants[epoch] == nil {
		l.grants[epoch] = map[peer.ID][][]byte{}
	}
	p := to.peerID()
	l.grants[epoch][p] = append(l.grants[epoch][p], e.Encode())
}

// GrantsNoMore has the liar grant nothing any more as the identity of an epoch.
func (l *Liar) GrantsNoMore(epoch protocol.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.grants, epoch)
}

// Restless has the liar name another digest of everything each time it is asked, or stop that.
func (l *Liar) Restless(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restless = 0
	if on {
		l.restless = 1
	}
}

// Talks returns how often the liar was asked what it has.
func (l *Liar) Talks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.talks
}

// Admits implements roomsync.Backend.
func (l *Liar) Admits(peer.ID) bool { return true }

// Rooms implements roomsync.Backend.
func (l *Liar) Rooms(p peer.ID) (out []roomsync.Room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.talks++
	for id := range l.held {
		r := roomsync.Room{ID: id, Digest: roomsync.Digest(l.records(id))}
		if l.restless > 0 {
			l.restless++
			r.Digest = protocol.Sum("entente/test/liar", r.Digest[:], []byte{byte(l.restless), byte(l.restless >> 8)})
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b roomsync.Room) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out[:min(len(out), roomsync.MaxRooms)]
}

func (l *Liar) records(room protocol.Hash) (out []roomsync.Record) {
	for id, raw := range l.held[room] {
		out = append(out, roomsync.Record{ID: id, Sum: roomsync.Sum(raw), Raw: raw})
	}
	slices.SortFunc(out, func(a, b roomsync.Record) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out
}

// Records implements roomsync.Backend.
func (l *Liar) Records(_ peer.ID, room protocol.Hash) []roomsync.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records(room)
}

// Held implements roomsync.Backend.
func (l *Liar) Held(room protocol.Hash) (out []protocol.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records(room) {
		out = append(out, r.Sum)
	}
	return out
}

// Take implements roomsync.Backend.
func (l *Liar) Take(_ context.Context, _ peer.ID, room protocol.Hash, raws [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, raw := range raws {
		l.keep(room, raw)
	}
	return nil
}

// Wants implements roomsync.Backend.
func (l *Liar) Wants(peer.ID, protocol.Hash) []protocol.Hash { return nil }

// Grants implements roomsync.Backend.
func (l *Liar) Grants(_ context.Context, p peer.ID, _ protocol.Hash, epochs []protocol.Hash) (out [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range epochs {
		out = append(out, l.grants[e][p]...)
	}
	return out, nil
}

// TakeGrants implements roomsync.Backend.
func (l *Liar) TakeGrants(context.Context, peer.ID, protocol.Hash, [][]byte) error { return nil }

// Compared implements roomsync.Backend.
func (l *Liar) Compared(peer.ID, protocol.Hash) {}

// InRoom begins the author's feed in a room, sealed to an epoch of which anybody in the story had the identity.
func (a *Author) InRoom(room, charter, epoch protocol.Hash) *Feed {
	a.t.w.T.Helper()
	id, err := seal.ParseIdentity(a.t.w.circle(room).epochs[epoch])
	if err != nil {
		a.t.w.T.Fatalf("nobody had the key of %s: %v", epoch.Short(), err)
	}
	return &Feed{a: a, c: protocol.RoomChannel(room), sealTo: id.Recipient(), room: protocol.Audience{Kind: protocol.InRoom, Room: room, Charter: charter, Epoch: epoch}}
}

// Word returns a statement of the author in the feed's room, which the story may spoil.
func (f *Feed) Word(text string) *protocol.Statement {
	st := f.a.Statement(text)
	st.Label, st.Audience = tlp.Amber, f.room
	return st
}
