package nodetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

func sum256(b []byte) [32]byte { return sha256.Sum256(b) }

// Employs gives each of the persons an identity, and lets an officer name them in the team's manifest.
func (t *Team) Employs(names ...string) {
	t.w.T.Helper()
	var add []protocol.Operator
	for _, name := range names {
		r, err := keyring.CreateOperator(node.KeysDir(t.Home), name, Passphrase, 10)
		if err != nil {
			t.w.T.Fatalf("%s employs %s: %v", t.Name, name, err)
		}
		add = append(add, protocol.Operator{Name: name, Recipient: r})
	}
	t.staff = append(t.staff, names...)
	t.harvest()
	t.Certifies(func(m *protocol.Manifest) {
		m.Operators = append(slices.Clone(m.Operators), add...)
		slices.SortFunc(m.Operators, func(a, b protocol.Operator) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	})
}

// Dismisses takes the person out of the team's manifest. Who leaves keeps the key.
func (t *Team) Dismisses(name string) {
	t.w.T.Helper()
	t.Certifies(func(m *protocol.Manifest) {
		m.Operators = slices.DeleteFunc(slices.Clone(m.Operators), func(o protocol.Operator) bool { return o.Name == name })
	})
}

// Rekeys gives a person a new identity. The old one stays in the person's file, for what is older.
func (t *Team) Rekeys(name string) {
	t.w.T.Helper()
	r, err := keyring.RotateOperator(node.KeysDir(t.Home), name, Passphrase, 10)
	if err != nil {
		t.w.T.Fatalf("%s of %s: %v", name, t.Name, err)
	}
	t.harvest()
	t.Certifies(func(m *protocol.Manifest) {
		m.Operators = slices.Clone(m.Operators)
		for i := range m.Operators {
			if m.Operators[i].Name == name {
				m.Operators[i].Recipient = r
			}
		}
	})
}

// KnowsStaff waits until the team knows these persons of the other one, and no others.
func (t *Team) KnowsStaff(o *Team, names ...string) {
	t.w.T.Helper()
	slices.Sort(names)
	t.w.Until(t.Name+" knows who works for "+o.Name, func() bool {
		var got []string
		for _, p := range t.Knows(o).Manifest.Operators {
			got = append(got, p.Name)
		}
		slices.Sort(got)
		return slices.Equal(got, names)
	})
}

// Befriend lets the two teams verify each other.
func (w *World) Befriend(a, b *Team) {
	w.T.Helper()
	a.Verifies(b)
	b.Verifies(a)
}

// Offers lets an officer sign an offer to the other team, and returns the agreement's id.
func (t *Team) Offers(o *Team, terms node.Terms) protocol.Hash {
	t.w.T.Helper()
	terms.Partner = o.ID.String()
	if terms.Ceiling == tlp.Unset {
		terms.Ceiling = tlp.Red
	}
	a, err := t.Node.DraftAgreement(terms)
	if err != nil {
		t.w.T.Fatalf("%s drafts an agreement with %s: %v", t.Name, o.Name, err)
	}
	e, err := protocol.Sign(a, t.Officer())
	if err != nil {
		t.w.T.Fatalf("%s signs an offer: %v", t.Name, err)
	}
	if _, err := t.Node.AddAgreement(context.Background(), e); err != nil {
		t.w.T.Fatalf("%s makes an offer to %s: %v", t.Name, o.Name, err)
	}
	if t.w.agreed == nil {
		t.w.agreed = map[protocol.Hash][2]protocol.TeamID{}
	}
	t.w.agreed[e.ID()] = [2]protocol.TeamID{t.ID, o.ID}
	return e.ID()
}

// Signs waits for the offer and lets an officer sign it.
func (t *Team) Signs(id protocol.Hash) {
	t.w.T.Helper()
	var a node.AgreementView
	t.w.Until(t.Name+" has the offer "+id.Short(), func() (ok bool) {
		var err error
		a, err = t.Node.Agreement(id.String())
		return err == nil
	})
	e, err := protocol.DecodeEnvelope(a.Envelope.Encode(), protocol.MaxRecord)
	if err == nil {
		err = e.AddSignature(t.Officer())
	}
	if err == nil {
		_, err = t.Node.AddAgreement(context.Background(), e)
	}
	if err != nil {
		t.w.T.Fatalf("%s signs %s: %v", t.Name, id.Short(), err)
	}
}

// Agree lets one team offer and the other sign, and waits until both hold it in the state that its time asks for.
func (w *World) Agree(a, b *Team, terms node.Terms) protocol.Hash {
	w.T.Helper()
	id := a.Offers(b, terms)
	b.Signs(id)
	want := trust.Active
	if terms.From.After(a.now()) {
		want = trust.Waiting
	}
	a.Sees(id, want)
	b.Sees(id, want)
	return id
}

// Sees waits until the team holds the agreement in a state.
func (t *Team) Sees(id protocol.Hash, s trust.AgreementState) {
	t.w.T.Helper()
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); t.w.Wait(200 * time.Millisecond) {
		a, err := t.Node.Agreement(id.String())
		if err == nil && a.State == s {
			return
		}
		if err != nil {
			last = err.Error()
		} else {
			last = a.State.String() + ": " + a.Why
		}
	}
	t.w.T.Fatalf("%s never holds the agreement %s as %s, but: %s", t.Name, id.Short(), s, last)
}

// Suspends lets an officer of the team suspend an agreement.
func (t *Team) Suspends(id protocol.Hash) { t.w.T.Helper(); t.says(id, protocol.PartySuspended) }

// Resumes lets an officer of the team resume an agreement.
func (t *Team) Resumes(id protocol.Hash) { t.w.T.Helper(); t.says(id, protocol.PartyOK) }

// Ends lets an officer of the team end an agreement, for good.
func (t *Team) Ends(id protocol.Hash) { t.w.T.Helper(); t.says(id, protocol.PartyEnded) }

func (t *Team) says(id protocol.Hash, s protocol.PartyStatus) {
	t.w.T.Helper()
	if err := t.TriesToSay(id, s); err != nil {
		t.w.T.Fatalf("%s says of %s that it is %v: %v", t.Name, id.Short(), s, err)
	}
}

// TriesToSay lets an officer of the team say a word on an agreement, if it may still be said.
func (t *Team) TriesToSay(id protocol.Hash, s protocol.PartyStatus) error {
	t.w.T.Helper()
	st, err := t.Node.DraftStatus(id, s, "as the story has it")
	var e *protocol.Envelope
	if err == nil {
		e, err = protocol.Sign(st, t.Officer())
	}
	if err == nil {
		_, err = t.Node.AddAgreement(context.Background(), e)
	}
	return err
}

// Blocks ends all exchange with the other team.
func (t *Team) Blocks(o *Team) {
	t.w.T.Helper()
	if err := t.Node.BlockTeam(o.ID, "officer-1"); err != nil {
		t.w.T.Fatalf("%s blocks %s: %v", t.Name, o.Name, err)
	}
}

// Unblocks takes that back.
func (t *Team) Unblocks(o *Team) {
	t.w.T.Helper()
	if err := t.Node.UnblockTeam(o.ID, "officer-1"); err != nil {
		t.w.T.Fatalf("%s unblocks %s: %v", t.Name, o.Name, err)
	}
}

// ReplacesNode gives the team's node new keys, which an officer certifies while the old ones are revoked. The node starts anew.
func (t *Team) ReplacesNode(why string) {
	t.w.T.Helper()
	r, err := t.Node.PrepareNode()
	if err != nil {
		t.w.T.Fatalf("%s prepares new keys: %v", t.Name, err)
	}
	var more []protocol.Record
	if r.Cutoff != nil {
		more = append(more, r.Cutoff)
	}
	for _, c := range r.Private {
		more = append(more, c)
	}
	t.Certifies(func(m *protocol.Manifest) {
		Revoke(m, r.Old, why)
		m.Nodes = append(m.Nodes, r.Node)
	}, more...)
	// Others hear of it from the node that they know: they would not know the one that returns.
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end) && !t.w.heardOf(t, r.Node.Key.ID()); t.w.Wait(time.Second) {
	}
	t.Leaves()
	t.Returns()
}

// heardOf reports whether every other team that is up and knows the team lists the node.
func (w *World) heardOf(t *Team, k protocol.KID) bool {
	for _, o := range w.teams {
		if o.Node == nil || o.ID == t.ID {
			continue
		}
		info, err := o.Node.Team(t.ID.String())
		if err == nil && !slices.ContainsFunc(info.Nodes, func(n node.NodeView) bool { return n.KID == k }) {
			return false
		}
	}
	return true
}

// Carries writes a bundle for the other team.
func (t *Team) Carries(o *Team) []byte {
	t.w.T.Helper()
	var b bytes.Buffer
	if _, err := t.Node.ExportBundle(context.Background(), o.ID.String(), time.Time{}, &b); err != nil {
		t.w.T.Fatalf("%s packs a bundle for %s: %v", t.Name, o.Name, err)
	}
	t.w.carried = append(t.w.carried, b.Bytes())
	return b.Bytes()
}

// Imports takes in a bundle.
func (t *Team) Imports(bundle []byte) node.CarryReport {
	t.w.T.Helper()
	r, err := t.Node.ImportBundle(context.Background(), bytes.NewReader(bundle))
	if err != nil {
		t.w.T.Fatalf("%s takes in a bundle: %v", t.Name, err)
	}
	return r
}
