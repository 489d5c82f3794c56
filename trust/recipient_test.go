package trust

import (
	"slices"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

func TestRecipients(t *testing.T) {
	b, ts := community(t, "self", "CERT-X")
	x := ts[1]
	kid := x.Node.Public().ID()
	want := func(recipients ...string) {
		t.Helper()
		var got []string
		for _, r := range b.RecipientsOf(x.ID) {
			got = append(got, r.Recipient)
		}
		if !slices.Equal(got, recipients) {
			t.Fatalf("got %q, want %q", got, recipients)
		}
	}
	want()
	if b.RecipientsOf(id(9)) != nil {
		t.Error("an unknown team has recipients")
	}
	early := x.Recipient(5, recipientText("early"))
	mustAdd(t, b, x.NextManifest(func(m *protocol.Manifest) {
		m.Nodes = slices.Clone(m.Nodes)
		m.Nodes[0].Recipient = recipientText("manifest")
	}))
	want(recipientText("manifest"))
	mustAdd(t, b, early)
	want(recipientText("early"))
	later := x.Recipient(6, recipientText("later"))
	drop := mustAdd(t, b, later)
	want(recipientText("later"))
	if !slices.Equal(drop, []protocol.Hash{early.ID()}) {
		t.Errorf("%d records are dropped, want the one before", len(drop))
	}
	mustIgnore(t, b, early)
	mustIgnore(t, b, later)
	want(recipientText("later"))
	if got := b.RecipientsOf(x.ID); got[0].Node != kid {
		t.Errorf("of node %s", got[0].Node)
	}

	// Of two with one number the same counts everywhere, whatever comes first.
	fork := x.Recipient(6, recipientText("fork"))
	lower := later
	if f, l := fork.ID(), later.ID(); slices.Compare(f[:], l[:]) < 0 {
		lower = fork
	}
	for _, order := range [][]*protocol.Envelope{{fork, later}, {later, fork}} {
		o := b.copyWith(x.ID)
		o.teams[x.ID].recips = map[protocol.KID]*recipient{}
		for _, e := range order {
			if _, _, err := o.Add(e, now); err != nil {
				t.Fatal(err)
			}
		}
		if got := o.teams[x.ID].recips[kid].id; got != lower.ID() {
			t.Errorf("%s counts, want %s", got.Short(), lower.ID().Short())
		}
	}

	// They spread like addresses, and are signed by the node alone.
	if ids := b.RecordIDs(x.ID); !slices.Contains(ids, later.ID()) || slices.Contains(ids, early.ID()) {
		t.Error("the record is not among those that spread, or the old one is")
	}
	if of, err := TeamOf(later); err != nil || of != x.ID {
		t.Errorf("of %s, %v", of.Short(), err)
	}
	forged := &protocol.NodeRecipient{Team: x.ID, Node: kid, Seq: 99, Recipient: recipientText("thief"), Issued: 1}
	_, _, other := trusttest.NewNode(t, "other")
	wrong, err := protocol.Sign(forged, ts[0].Node)
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, b, wrong, protocol.ErrSignature)
	forged.Node = other.Key.ID()
	wrong, err = protocol.Sign(forged, x.Node)
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, b, wrong, ErrMissing)

	// Nothing is sealed to a node that is revoked.
	newest := x.Recipient(7, recipientText("newest"))
	drop = mustAdd(t, b, x.RevokeNode(kid, "stolen"))
	want()
	if !slices.Contains(drop, later.ID()) {
		t.Error("the recipient of a revoked node is kept")
	}
	mustRefuse(t, b, newest, ErrOverruled)
}

// recipientText is of the form of a node's recipient.
func recipientText(name string) string {
	return hybridPrefix + name + strings.Repeat("q", hybridLen-len(hybridPrefix)-len(name))
}

// One node that names what is no recipient changes nothing for itself or its team.
func TestNoRecipient(t *testing.T) {
	b, ts := community(t, "self", "CERT-X")
	x := ts[1]
	good := recipientText("good")
	hardware := hardwarePrefix + strings.Repeat("q", hardwareLen-len(hardwarePrefix))
	mustAdd(t, b, x.Recipient(5, good))
	bad := []string{"x", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "age1pq1", good[:hybridLen-1], good + "q",
		"AGE1PQ1" + good[len(hybridPrefix):], hardware}
	for i, text := range bad {
		if _, _, err := b.Add(x.Recipient(uint64(6+i), text), now); err == nil {
			t.Errorf("%.20q of %d characters: taken in", text, len(text))
		}
	}
	if got := b.RecipientsOf(x.ID); len(got) != 1 || got[0].Recipient != good {
		t.Errorf("got %d recipients, want the one that it named before", len(got))
	}
	for _, text := range bad {
		other, ts := community(t, "self", "CERT-X")
		x := ts[1]
		mustAdd(t, other, x.NextManifest(func(m *protocol.Manifest) {
			m.Nodes = slices.Clone(m.Nodes)
			m.Nodes[0].Recipient = text
			m.Operators = []protocol.Operator{{Name: "anna", Recipient: good}, {Name: "ben", Recipient: text}}
		}))
		if got := other.RecipientsOf(x.ID); len(got) != 0 {
			t.Errorf("%.20q of %d characters in a manifest: a node's recipient", text, len(text))
		}
		if got := other.Operators(x.ID); len(got) != 1 != (text == hardware) {
			t.Errorf("%.20q of %d characters in a manifest: %d operators", text, len(text), len(got))
		}
	}
}

func TestOperators(t *testing.T) {
	b, ts := community(t, "self", "CERT-X")
	x := ts[1]
	if got := b.Operators(x.ID); len(got) != 0 {
		t.Errorf("%d operators of a team that names none", len(got))
	}
	named := func(m *protocol.Manifest) {
		m.Operators = []protocol.Operator{{Name: "ben", Recipient: recipientText("ben")}, {Name: "anna", Recipient: recipientText("anna")}}
	}
	rival := x.Fork()
	mustAdd(t, b, x.NextManifest(named))
	if got := b.Operators(x.ID); len(got) != 2 || got[0].Name != "anna" || got[1].Recipient != recipientText("ben") {
		t.Errorf("got %v", got)
	}
	mustAdd(t, b, rival.NextManifest(nil))
	if got := b.Operators(x.ID); got != nil {
		t.Errorf("of two manifests of one version: %v", got)
	}
	mustAdd(t, b, x.NextManifest(named))
	mustAdd(t, b, x.NextRoot(func(r *protocol.Root) { r.Floor = nil }))
	if got := b.Operators(x.ID); got != nil {
		t.Errorf("of a manifest that former officers signed: %v", got)
	}
	if b.Operators(id(9)) != nil {
		t.Error("an unknown team has operators")
	}
}

// Cut-offs of feeds between two teams are for the other one alone. They count, and they do not spread.
func TestPrivateCutoffs(t *testing.T) {
	b, ts := community(t, "self", "CERT-X")
	x := ts[1]
	kid := x.Node.Public().ID()
	open := x.Cutoff(kid, protocol.FeedOf(kid, protocol.Channel{}), 3, id(3))
	secret := x.Cutoff(kid, protocol.FeedOf(kid, protocol.Between(x.ID, ts[0].ID, protocol.Hash{})), 2, id(2))
	mustAdd(t, b, x.RevokeNode(kid, "stolen"))
	mustAdd(t, b, open)
	before := b.Digest(x.ID)
	mustAdd(t, b, secret)
	if b.Digest(x.ID) != before || slices.Contains(b.RecordIDs(x.ID), secret.ID()) || !slices.Contains(b.RecordIDs(x.ID), open.ID()) {
		t.Error("a private cut-off is told to all, or an open one to nobody")
	}
	if !Private(secret) || Private(open) || Private(x.ManifestEnv) {
		t.Errorf("private: secret %v, open %v, manifest %v", Private(secret), Private(open), Private(x.ManifestEnv))
	}
	garbled := *secret
	garbled.Payload = []byte{0}
	if !Private(&garbled) {
		t.Error("what cannot be read may spread")
	}
	if n, _ := b.NodeOf(x.ID, kid); len(n.Cutoff) != 2 {
		t.Errorf("%d cut-offs count, want both", len(n.Cutoff))
	}
	b.teams[x.ID].acted = false
	if ids := b.Forget(x.ID); !slices.Contains(ids, secret.ID()) {
		t.Error("a team is forgotten, and its private cut-off kept")
	}
}
