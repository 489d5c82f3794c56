// Package nodetest runs whole nodes, with their stores on disk and real QUIC between them, in a simulated world where a
// minute costs what its packets cost. A scenario reads like a story:
//
//	nodetest.Run(t, 1, []string{"at", "de", "pl"}, func(w *nodetest.World) {
//		w.AllMeet()
//		w.As("pl").Leaves()
//		id := w.As("at").Sends(tlp.Green, "a story")
//		w.As("pl").Returns()
//		w.Settle()
//		w.As("pl").Holds(id)
//	})
//
// The first failed step ends the story. When it ends, every node is checked ([World.Check]): nothing is held twice, no place
// of a feed is held twice, what authors signed of their feeds is there, forks are proved, and fsck finds nothing. The seed is
// printed on failure; geography and loss follow from it, the order of goroutines does not.
//
// A team that means harm is a [Peer]: a bare host with the keys of a team whose node is stopped.
//
// # The oracle
//
// A story in which messages go to named readers is judged once more at its end. The harness notes whom each sender meant
// ([Letter]), every key that anybody ever held, and every byte that a node wrote to or read from a stream. When the story is
// over the nodes are stopped, their stores are read from below package store, and every key is tried on every ciphertext that
// there ever was, those in what opens included. Then it must be so:
//
//   - Who can read a message is whom its sender meant: nodes of these teams that the sender did not know to be removed, and of
//     RED only the named persons. All of them can.
//   - Nothing was sent where the sender's own view forbade it.
//   - No key, and no text of a message that is stricter than GREEN, lay open on a line.
//   - A team has no byte of what is between two others: no feed's id, head, agreement, parcel, blob or text, sealed or not, in
//     its store or on its lines.
//   - Ciphertexts have the lengths that Padmé gives, and a power of two of recipients.
//   - In a room, who can read is who was a member in its author's view when it was sent, and who became one later to whom the charter
//     opens the past. All who hold the key of an epoch hold the same. Nobody else has a byte of the room, nor of its name or records.
//   - The disclosure log verifies and has every message that is held and stricter than GREEN.
//
// An oracle that finds nothing proves something only if it can find things: [Catches] tells a story in a world that was broken
// on purpose, and fails if nobody notices.
package nodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest/world"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
)

// Passphrase opens the root and officer keys of every simulated team.
const Passphrase = "correct horse"

// patience is how much virtual time a story waits for something to come true.
const patience = 20 * time.Minute

// spares is how many places a world has beyond those of its teams: for copies of homes, and for peers.
const spares = 2

// A World is a story's world and its teams.
type World struct {
	*world.World
	T     testing.TB
	teams []*Team
	used  int // places taken

	letters []*Letter                            // sent so far
	agreed  map[protocol.Hash][2]protocol.TeamID // parties of the agreements offered so far
	rooms   map[protocol.Hash]*circle            // founded so far
	keys    map[string]actor                     // every key that anybody ever held, and who first did
	shared  map[string]map[actor]bool            // keys of epochs, and all who ever held each
	carried [][]byte                             // bundles
	faults  []Fault
	expect  string // the kind of fault that the story is to have; "" for none
}

// A Team is one team, its home directory, and its node while it is up.
type Team struct {
	Name  string
	ID    protocol.TeamID
	Home  string
	Words string // the recovery key
	Node  *node.Node

	w     *World
	ahead atomic.Int64 // its clock minus true time
	place int
	ring  *keyring.Ring
	keys  nodeKeys // that the node had when it was last open
	peer  *Peer    // instead of a node
	tap   tap
	kids  map[protocol.KID]bool // keys that its node ever signed with
	staff []string              // persons who ever had a key
}

// Run makes a world with one team at each place, all up, and tells the story in it.
func Run(t *testing.T, seed uint64, names []string, story func(w *World)) {
	t.Helper()
	run(t, seed, names, "", story)
}

// Catches is Run for a world in which something is broken on purpose: it fails unless a fault of the kind is found, by Check or
// by the oracle.
func Catches(t *testing.T, seed uint64, names []string, kind string, story func(w *World)) {
	t.Helper()
	run(t, seed, names, kind, story)
}

func run(t *testing.T, seed uint64, names []string, expect string, story func(w *World)) {
	t.Helper()
	world.Test(t, func(t *testing.T) {
		w := &World{World: world.New(t, seed, len(names)+spares, world.Options{}), T: t, used: len(names), expect: expect}
		dir := t.TempDir() // asked for first, so that it is removed last
		t.Cleanup(func() {
			for _, tm := range w.teams {
				if tm.peer != nil {
					tm.peer.close()
				}
				tm.stop()
			}
		})
		for i, name := range names {
			tm := &Team{Name: name, Home: filepath.Join(dir, name), w: w, place: i, kids: map[protocol.KID]bool{}}
			f, err := node.Found(node.Founding{Home: tm.Home, Name: name, Country: "XA", Passphrase: Passphrase, WorkFactor: 10,
				Listen: []string{w.Addr(i).String()}}, time.Now())
			if err != nil {
				t.Fatalf("founding %s: %v", name, err)
			}
			tm.ID, tm.Words = f.Team, f.RecoveryWords
			w.teams = append(w.teams, tm)
			tm.Returns()
		}
		story(w)
		w.Check()
		if len(w.letters)+len(w.agreed)+len(w.rooms) > 0 {
			w.judge()
		}
		w.verdict()
	})
}

// verdict fails the test for the faults found, or if it expects one, for lack of it.
func (w *World) verdict() {
	w.T.Helper()
	if w.expect == "" {
		for _, f := range w.faults {
			w.T.Errorf("%s: %s", f.Kind, f.Text)
		}
		return
	}
	for _, f := range w.faults {
		w.T.Logf("found: %s: %s", f.Kind, f.Text)
	}
	if !slices.ContainsFunc(w.faults, func(f Fault) bool { return f.Kind == w.expect }) {
		w.T.Errorf("nobody noticed: want a fault of kind %q among %d", w.expect, len(w.faults))
	}
}

// As returns the team of that name.
func (w *World) As(name string) *Team {
	w.T.Helper()
	for _, t := range w.teams {
		if t.Name == name {
			return t
		}
	}
	w.T.Fatalf("no team %s in this story", name)
	return nil
}

// Teams returns all teams in the order of their places.
func (w *World) Teams() []*Team { return w.teams }

// AllMeet lets every team add every other one's introduction, and waits until all are connected.
func (w *World) AllMeet() {
	w.T.Helper()
	w.Meet(w.teams...)
}

// Meet lets these teams add each other, and waits until they are connected.
func (w *World) Meet(teams ...*Team) {
	w.T.Helper()
	for _, a := range teams {
		for _, b := range teams {
			if a != b {
				a.Adds(b)
			}
		}
	}
	w.Together(teams...)
}

// Together waits until all of these teams are connected with each other.
func (w *World) Together(teams ...*Team) {
	w.T.Helper()
	for _, a := range teams {
		for _, b := range teams {
			if a != b {
				a.Connects(b)
			}
		}
	}
	w.Wait(5 * time.Second) // until everybody has a seat in the community topic
}

// Wait lets virtual time pass.
func (w *World) Wait(d time.Duration) { time.Sleep(d) }

// Split cuts the world into groups of teams between which no packet passes, until Heal.
func (w *World) Split(groups ...[]*Team) {
	var places [][]int
	for _, g := range groups {
		var ps []int
		for _, t := range g {
			ps = append(ps, t.place)
		}
		places = append(places, ps)
	}
	w.Partition(places...)
}

// CutOff lets no packet pass between the two teams, until Heal.
func (w *World) CutOff(a, b *Team) { w.Cut(a.place, b.place) }

// Until waits, in virtual time, for something to come true.
func (w *World) Until(what string, ok func() bool) {
	w.T.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.T.Fatalf("after %v: not true: %s", patience, what)
		}
	}
}

// Settle waits until all teams that are up hold the same feeds, whole.
func (w *World) Settle() {
	w.T.Helper()
	w.Until("all hold the same", func() bool { return w.differs() == "" })
}

// differs says in what two nodes that are up differ, "" if in nothing.
func (w *World) differs() string {
	var first *Team
	var want map[protocol.FeedID]uint64
	for _, t := range w.teams {
		if t.Node == nil {
			continue
		}
		got, err := t.feeds()
		if err != nil {
			return fmt.Sprintf("%s: %v", t.Name, err)
		}
		if first == nil {
			first, want = t, got
			continue
		}
		if !maps.Equal(got, want) {
			return fmt.Sprintf("%s holds feeds up to %v, %s up to %v", first.Name, want, t.Name, got)
		}
	}
	return ""
}

// feeds returns up to where each feed is held without a gap.
func (t *Team) feeds() (map[protocol.FeedID]uint64, error) {
	ts, err := t.Node.Teams()
	if err != nil {
		return nil, err
	}
	m := map[protocol.FeedID]uint64{}
	for _, team := range ts {
		for _, n := range team.Nodes {
			if n.Feed.Held > 0 || n.Feed.Beyond > 0 {
				m[protocol.FeedOf(n.KID, protocol.Channel{})] = n.Feed.Held
			}
		}
	}
	return m, nil
}

// SetClock makes the team's clock run ahead of true time by so much, or behind; it takes effect at once.
func (t *Team) SetClock(ahead time.Duration) { t.ahead.Store(int64(ahead)) }

// Ahead returns how far the team's clock is ahead of true time.
func (t *Team) Ahead() time.Duration { return time.Duration(t.ahead.Load()) }

// Returns starts the team's node.
func (t *Team) Returns() {
	t.w.T.Helper()
	t.open()
	if err := t.Node.Start(context.Background()); err != nil {
		t.w.T.Fatalf("%s: starting: %v", t.Name, err)
	}
}

func (t *Team) open() {
	t.w.T.Helper()
	unlock, err := keyring.UnlockFile(node.DefaultUnlockFile(t.Home))
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	if t.ring, err = keyring.Open(node.KeysDir(t.Home), unlock); err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	cfg, err := node.LoadConfig(t.Home)
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	cfg.Now = func() time.Time { return time.Now().Add(t.Ahead()) }
	cfg.NewHost = t.newHost
	if os.Getenv("ENTENTE_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", t.Name)
	}
	n, err := node.Open(cfg, t.ring)
	if err != nil {
		t.w.T.Fatalf("%s: opening: %v", t.Name, err)
	}
	t.Node = n
	t.keys = nodeKeys{t.ring.NodeKey(), t.ring.TransportSeed()}
	t.harvest()
}

// nodeKeys are the keys of a node, as a thief takes them.
type nodeKeys struct {
	sign      *protocol.PrivateKey
	transport [32]byte
}

func (t *Team) newHost(key crypto.PrivKey, g connmgr.ConnectionGater) (host.Host, error) {
	h, err := libp2p.New(
		t.w.Option(t.place),
		libp2p.Identity(key),
		libp2p.ListenAddrs(t.w.Addr(t.place)),
		libp2p.ConnectionGater(g),
		libp2p.NoTransports,
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.ForceReachabilityPublic(),
	)
	if err != nil {
		return nil, err
	}
	return &tappedHost{Host: h, tap: &t.tap}, nil
}

// Leaves stops the team's node in good order.
func (t *Team) Leaves() { t.stop() }

// Crashes cuts the power of the team's node: nobody hears a goodbye.
func (t *Team) Crashes() {
	t.w.Crash(t.place)
	t.stop()
}

func (t *Team) stop() {
	if t.Node == nil {
		return
	}
	t.harvest()
	if err := t.Node.Close(); err != nil {
		t.w.T.Errorf("%s: closing: %v", t.Name, err)
	}
	t.Node = nil
	if err := t.ring.Close(); err != nil {
		t.w.T.Errorf("%s: closing the keys: %v", t.Name, err)
	}
}

// Adds takes in the other team's introduction.
func (t *Team) Adds(o *Team) {
	t.w.T.Helper()
	intro, err := o.Node.Introduction()
	if err == nil {
		_, err = t.Node.AddTeam(intro, "officer-1")
	}
	if err != nil {
		t.w.T.Fatalf("%s adds %s: %v", t.Name, o.Name, err)
	}
}

// Connects waits until the two teams' nodes are connected.
func (t *Team) Connects(o *Team) {
	t.w.T.Helper()
	t.w.Until(t.Name+" is connected to "+o.Name, func() bool { return t.connected(o) })
}

func (t *Team) connected(o *Team) bool {
	info, err := t.Node.Team(o.ID.String())
	if err != nil {
		return false
	}
	for _, n := range info.Nodes {
		if n.Connected {
			return true
		}
	}
	return false
}

// Knows returns how the team holds the other one.
func (t *Team) Knows(o *Team) node.TeamInfo {
	t.w.T.Helper()
	info, err := t.Node.Team(o.ID.String())
	if err != nil {
		t.w.T.Fatalf("%s looks up %s: %v", t.Name, o.Name, err)
	}
	return info
}

// Verifies compares fingerprints with the other team, and attests it to others.
func (t *Team) Verifies(o *Team) {
	t.w.T.Helper()
	now := uint64(t.now().Unix())
	e, err := protocol.Sign(&protocol.Attest{Issuer: t.ID, Subject: o.ID, Method: "phone", Issued: now, Expires: now + 86400*365}, t.Officer())
	if err == nil {
		err = t.Node.VerifyTeam(o.ID, o.Knows(o).Fingerprint, "phone", "officer-1", e)
	}
	if err != nil {
		t.w.T.Fatalf("%s verifies %s: %v", t.Name, o.Name, err)
	}
}

// Officer unlocks the key of the team's officer.
func (t *Team) Officer() *protocol.PrivateKey {
	t.w.T.Helper()
	k, err := keyring.OpenOfficer(node.KeysDir(t.Home), "officer-1", Passphrase)
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	return k
}

// Sends publishes a text to the community and returns its id.
func (t *Team) Sends(l tlp.Label, text string) protocol.Hash {
	t.w.T.Helper()
	return t.SendsFile(l, "", []byte(text))
}

// SendsFile publishes a document to the community and returns its id.
func (t *Team) SendsFile(l tlp.Label, name string, doc []byte) protocol.Hash {
	t.w.T.Helper()
	sent, err := t.Node.Send(context.Background(), node.Draft{Audience: "community", Label: l, Name: name,
		Size: int64(len(doc)), Hash: protocol.Sum("", doc)}, bytes.NewReader(doc))
	if err != nil {
		t.w.T.Fatalf("%s sends: %v", t.Name, err)
	}
	return sent.ID
}

// Holds waits until the team holds the message whole, and returns its document.
func (t *Team) Holds(id protocol.Hash) []byte {
	t.w.T.Helper()
	var doc []byte
	t.w.Until(t.Name+" holds "+id.Short(), func() bool {
		r, _, err := t.Node.OpenBody(id)
		if err != nil {
			return false
		}
		defer r.Close()
		doc, err = io.ReadAll(r)
		return err == nil
	})
	return doc
}

// Corrects publishes a new text in place of an earlier message and returns the correction's id.
func (t *Team) Corrects(id protocol.Hash, l tlp.Label, text string) protocol.Hash {
	t.w.T.Helper()
	sent, err := t.Node.Send(context.Background(), node.Draft{Audience: "community", Label: l, Size: int64(len(text)),
		Hash: protocol.Sum("", []byte(text)), Supersedes: id}, strings.NewReader(text))
	if err != nil {
		t.w.T.Fatalf("%s corrects %s: %v", t.Name, id.Short(), err)
	}
	return sent.ID
}

// Refused says by which rule the team's node refuses to send; "" if it sends.
func (t *Team) Refused(text string) string {
	t.w.T.Helper()
	_, err := t.Node.Send(context.Background(), node.Draft{Audience: "community", Label: tlp.Green, Size: int64(len(text))}, strings.NewReader(text))
	var r *node.RefusedError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &r):
		t.w.T.Fatalf("%s sends: %v", t.Name, err)
	}
	return r.Rule
}

// HoldsAll waits until the team holds these messages whole.
func (t *Team) HoldsAll(ids []protocol.Hash) {
	t.w.T.Helper()
	for _, id := range ids {
		t.Holds(id)
	}
}

// LacksAll reports an error for each of these messages that the team holds.
func (t *Team) LacksAll(ids []protocol.Hash) {
	t.w.T.Helper()
	for _, id := range ids {
		t.Lacks(id)
	}
}

// Says reports whether doctor says something at the team that contains the text.
func (t *Team) Says(text string) bool {
	t.w.T.Helper()
	fs, err := t.Node.Doctor("")
	if err != nil {
		t.w.T.Fatalf("%s: doctor: %v", t.Name, err)
	}
	for _, f := range fs {
		if strings.Contains(f.Text, text) {
			return true
		}
	}
	return false
}

// Doctor waits until doctor says something at the team that contains the text.
func (t *Team) Doctor(text string) {
	t.w.T.Helper()
	t.w.Until("doctor says at "+t.Name+": "+text, func() bool { return t.Says(text) })
}

// Lacks reports an error if the team holds the message.
func (t *Team) Lacks(id protocol.Hash) {
	t.w.T.Helper()
	if _, err := t.Node.Message(id); err == nil {
		t.w.T.Errorf("%s holds %s", t.Name, id.Short())
	}
}
