// Package trusttest makes whole teams for tests: keys, root log, manifest, card, and the records that follow them. It is
// imported by tests only.
package trusttest

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A Team is a team with all of its private keys. Its methods move it forward and return the record that says so; each fails
// the test if the record has a wrong form. They do not check that a Book would take the record: tests make bad ones, too.
type Team struct {
	ID       protocol.TeamID
	Name     string
	Root     *protocol.PrivateKey
	Officer  *protocol.PrivateKey
	Node     *protocol.PrivateKey // of the first current node
	Recovery *protocol.PrivateKey // the one key of Sealed
	Sealed   protocol.SealedSet
	Peer     ed25519.PrivateKey // transport identity of Node
	Now      time.Time          // goes into the records; tests may move it

	RootEnv, ManifestEnv, CardEnv *protocol.Envelope // the newest
	RootRec                       *protocol.Root
	Manifest                      *protocol.Manifest
	Card                          *protocol.Card

	tb   testing.TB
	logs []*protocol.Envelope // all root records
}

// NewTeam makes a team of one root key, one officer, one node and one recovery key, as init does.
func NewTeam(tb testing.TB, name, country string, now time.Time) *Team {
	tb.Helper()
	t := &Team{Name: name, Now: now, tb: tb, Root: Key(tb, protocol.Hybrid), Officer: Key(tb, protocol.Hybrid)}
	t.Recovery, t.Sealed = NewSealed(tb)
	t.RootRec = &protocol.Root{Path: protocol.PathRoot, Keys: []protocol.PublicKey{t.Root.Public()}, Threshold: 1,
		Officers: []protocol.Officer{{Key: t.Officer.Public(), Name: "officer of " + name}}, Sealed: t.Sealed.Commitment(), Issued: t.unix()}
	t.RootEnv = t.sign(t.RootRec, t.Root)
	t.logs = append(t.logs, t.RootEnv)
	t.ID = t.RootEnv.ID()

	var node protocol.Node
	t.Node, t.Peer, node = NewNode(tb, "node1")
	t.Manifest = &protocol.Manifest{Team: t.ID, Version: 1, Root: t.ID, Issued: t.unix(), Expires: t.unix() + 90*86400,
		Nodes: []protocol.Node{node}}
	t.ManifestEnv = t.sign(t.Manifest, t.Officer)
	t.Card = &protocol.Card{Team: t.ID, Version: 1, Issued: t.unix(), Name: name, Country: country}
	t.CardEnv = t.sign(t.Card, t.Officer)
	return t
}

// Key makes a key of the suite.
func Key(tb testing.TB, s protocol.Suite) *protocol.PrivateKey {
	tb.Helper()
	k, _, err := protocol.GenerateKey(s)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// NewSealed makes a set of one recovery key.
func NewSealed(tb testing.TB) (*protocol.PrivateKey, protocol.SealedSet) {
	tb.Helper()
	k := Key(tb, protocol.Hybrid)
	s := protocol.SealedSet{Keys: []protocol.PublicKey{k.Public()}, Threshold: 1}
	if _, err := rand.Read(s.Salt[:]); err != nil {
		tb.Fatal(err)
	}
	return k, s
}

// NewNode makes a node: its signing key, its transport identity, and how a manifest lists it. The peer id is the one that
// libp2p derives from the transport identity.
func NewNode(tb testing.TB, name string) (*protocol.PrivateKey, ed25519.PrivateKey, protocol.Node) {
	tb.Helper()
	k := Key(tb, protocol.Ed25519)
	pub, peer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	// An identity multihash over libp2p's protobuf form of an Ed25519 key.
	id := append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, pub...)
	return k, peer, protocol.Node{Key: k.Public(), Peer: id, Name: name}
}

func (t *Team) unix() uint64 { return uint64(t.Now.Unix()) }

func (t *Team) sign(r protocol.Record, keys ...*protocol.PrivateKey) *protocol.Envelope {
	t.tb.Helper()
	e, err := protocol.Sign(r, keys...)
	if err != nil {
		t.tb.Fatal(err)
	}
	return e
}

// Records returns what an introduction carries: the root log, the manifest and the card.
func (t *Team) Records() []*protocol.Envelope {
	return append(append([]*protocol.Envelope{}, t.logs...), t.ManifestEnv, t.CardEnv)
}

// RootLog returns all root records, the first one first.
func (t *Team) RootLog() []*protocol.Envelope { return append([]*protocol.Envelope{}, t.logs...) }

// Fork returns a second owner of the same keys: what a thief who copied them has, or a restored backup.
func (t *Team) Fork() *Team {
	c := *t
	c.logs = t.RootLog()
	return &c
}

// NextManifest signs the next version, after edit. Its nodes and times follow the current one.
func (t *Team) NextManifest(edit func(*protocol.Manifest)) *protocol.Envelope {
	t.tb.Helper()
	m := *t.Manifest
	m.Version, m.Prev, m.Root = m.Version+1, t.ManifestEnv.ID(), t.RootEnv.ID()
	m.Issued, m.Expires = t.unix(), t.unix()+90*86400
	m.Nodes = append([]protocol.Node{}, m.Nodes...)
	m.Revoked = append([]protocol.Revoked{}, m.Revoked...)
	if edit != nil {
		edit(&m)
	}
	t.Manifest, t.ManifestEnv = &m, t.sign(&m, t.Officer)
	return t.ManifestEnv
}

// RevokeNode signs the next manifest, in which the node is revoked.
func (t *Team) RevokeNode(kid protocol.KID, why string) *protocol.Envelope {
	t.tb.Helper()
	return t.NextManifest(func(m *protocol.Manifest) {
		for i, n := range m.Nodes {
			if n.Key.ID() == kid {
				m.Nodes = append(m.Nodes[:i], m.Nodes[i+1:]...)
				m.Revoked = append(m.Revoked, protocol.Revoked{Node: n, At: t.unix(), Why: why})
				return
			}
		}
		t.tb.Fatalf("team %s has no node %s", t.Name, kid)
	})
}

// NextCard signs the next version of the card, after edit.
func (t *Team) NextCard(edit func(*protocol.Card)) *protocol.Envelope {
	t.tb.Helper()
	c := *t.Card
	c.Version, c.Issued = c.Version+1, t.unix()
	if edit != nil {
		edit(&c)
	}
	t.Card, t.CardEnv = &c, t.sign(&c, t.Officer)
	return t.CardEnv
}

// NextRoot signs the next root record by the root key, after edit, and by the keys given besides. Unless edit says
// otherwise, the current manifest stays valid.
func (t *Team) NextRoot(edit func(*protocol.Root), more ...*protocol.PrivateKey) *protocol.Envelope {
	t.tb.Helper()
	r := t.nextRoot()
	if edit != nil {
		edit(r)
	}
	return t.setRoot(r, append(more, t.Root)...)
}

// Recover signs the next root record by the recovery key: new root and officer keys, and a new recovery key. It follows the
// record after, which is the newest for the zero hash.
func (t *Team) Recover(after protocol.Hash, edit func(*protocol.Root)) *protocol.Envelope {
	t.tb.Helper()
	if !after.IsZero() {
		for i, e := range t.logs {
			if e.ID() == after {
				r, err := protocol.Decode[protocol.Root](e)
				if err != nil {
					t.tb.Fatal(err)
				}
				t.RootEnv, t.RootRec, t.logs = e, r, t.logs[:i+1:i+1]
			}
		}
	}
	r := t.nextRoot()
	signer, reveal := t.Recovery, t.Sealed
	t.Root, t.Officer = Key(t.tb, protocol.Hybrid), Key(t.tb, protocol.Hybrid)
	t.Recovery, t.Sealed = NewSealed(t.tb)
	r.Path, r.Reveal, r.Sealed = protocol.PathSealed, &reveal, t.Sealed.Commitment()
	r.Keys = []protocol.PublicKey{t.Root.Public()}
	r.Officers = []protocol.Officer{{Key: t.Officer.Public(), Name: "new officer of " + t.Name}}
	if edit != nil {
		edit(r)
	}
	return t.setRoot(r, signer, t.Root)
}

func (t *Team) nextRoot() *protocol.Root {
	r := *t.RootRec
	r.Team, r.N, r.Prev, r.Path, r.Reveal = t.ID, r.N+1, t.RootEnv.ID(), protocol.PathRoot, nil
	r.Floor = &protocol.Floor{Version: t.Manifest.Version, Manifest: t.ManifestEnv.ID()}
	r.Issued = t.unix()
	return &r
}

func (t *Team) setRoot(r *protocol.Root, keys ...*protocol.PrivateKey) *protocol.Envelope {
	t.tb.Helper()
	t.RootRec, t.RootEnv = r, t.sign(r, keys...)
	t.logs = append(t.logs, t.RootEnv)
	return t.RootEnv
}

// Attest signs that the team verified the subject; it holds for a year.
func (t *Team) Attest(subject protocol.TeamID) *protocol.Envelope {
	t.tb.Helper()
	return t.sign(&protocol.Attest{Issuer: t.ID, Subject: subject, Method: "phone", Issued: t.unix(), Expires: t.unix() + 365*86400}, t.Officer)
}

// Retract signs that the team takes its attestation back.
func (t *Team) Retract(subject protocol.TeamID) *protocol.Envelope {
	t.tb.Helper()
	return t.sign(&protocol.Attest{Issuer: t.ID, Subject: subject, Method: "phone", Issued: t.unix(), Expires: t.unix() + 365*86400,
		Retract: true}, t.Officer)
}

// Address signs where Node can be reached for 30 days.
func (t *Team) Address(addrs ...string) *protocol.Envelope {
	t.tb.Helper()
	return t.sign(&protocol.Address{Team: t.ID, Node: t.Node.Public().ID(), Seq: uint64(t.Now.UnixMilli()), Addrs: addrs,
		Issued: t.unix(), Expires: t.unix() + 30*86400}, t.Node)
}

// Cutoff signs how far the feed of a revoked node stands.
func (t *Team) Cutoff(node protocol.KID, feed protocol.FeedID, last uint64, hash protocol.Hash, void ...uint64) *protocol.Envelope {
	t.tb.Helper()
	return t.sign(&protocol.Cutoff{Team: t.ID, Node: node, Feed: feed, LastSeq: last, LastHash: hash, Void: void, Issued: t.unix()}, t.Officer)
}

// Sign signs any record with the officer's key.
func (t *Team) Sign(r protocol.Record) *protocol.Envelope {
	t.tb.Helper()
	return t.sign(r, t.Officer)
}

// Recipient signs the recipient that Node names for itself.
func (t *Team) Recipient(seq uint64, recipient string) *protocol.Envelope {
	t.tb.Helper()
	return t.sign(&protocol.NodeRecipient{Team: t.ID, Node: t.Node.Public().ID(), Seq: seq, Recipient: recipient, Issued: t.unix()}, t.Node)
}

// Offer signs an agreement with the partner, valid for a year from now, up to AMBER+STRICT, after edit.
func (t *Team) Offer(partner *Team, edit func(*protocol.Agreement)) *protocol.Envelope {
	t.tb.Helper()
	a := &protocol.Agreement{A: t.ID, B: partner.ID, RootA: t.RootEnv.ID(), RootB: partner.RootEnv.ID(), Ceiling: tlp.AmberStrict,
		Policy: protocol.DefaultIEP(), Onward: protocol.OnwardConstituents, Receipts: protocol.ReceiptsStored, From: t.unix(),
		Until: t.unix() + 365*86400, Issued: t.unix()}
	if _, err := rand.Read(a.Salt[:]); err != nil {
		t.tb.Fatal(err)
	}
	if edit != nil {
		edit(a)
	}
	return t.sign(a, t.Officer)
}

// Countersign returns the same record, signed by this team's officer beside who signed before.
func (t *Team) Countersign(e *protocol.Envelope) *protocol.Envelope {
	t.tb.Helper()
	c := *e
	if err := c.AddSignature(t.Officer); err != nil {
		t.tb.Fatal(err)
	}
	return &c
}

// Word signs where this party puts an agreement.
func (t *Team) Word(agreement protocol.Hash, counter uint64, s protocol.PartyStatus) *protocol.Envelope {
	t.tb.Helper()
	return t.sign(&protocol.AgreementStatus{Agreement: agreement, Party: t.ID, Root: t.RootEnv.ID(), Counter: counter, Status: s,
		Time: t.unix()}, t.Officer)
}
