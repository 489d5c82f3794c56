package nodetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// A Letter is what a story knows of one message that is not for the community: whom its sender meant, whatever the node made
// of that. The oracle holds against it who can read.
type Letter struct {
	ID        protocol.Hash
	Author    *Team
	Teams     []protocol.TeamID
	Persons   []personID // of RED: who alone may read the content
	Label     tlp.Label
	Agreement protocol.Hash         // under which it was sent; zero: none
	Room      protocol.Hash         // in which it was said; zero: in none
	At        time.Time             // of a letter in a room: when it was sent, in truth
	Dated     time.Time             // and by its author's clock
	Ceiling   tlp.Label             // of that agreement
	Mark      []byte                // is in the text, and nowhere else
	Removed   map[protocol.KID]bool // nodes of Teams that the author knew as revoked when it sent
	Void      string                // why nobody should have got it; "" for what was rightly sent
	Leaked    bool                  // somebody for whom it was passes it on: keys of others may open it, and still nobody else shows it
	Lost      bool                  // the story lets it be lost: nobody has to be able to open it
}

type personID struct {
	team protocol.TeamID
	name string
}

// now is the time by the team's clock.
func (t *Team) now() time.Time { return time.Now().Add(t.Ahead()) }

// Passes lets time pass on every clock at once, without the minutes in between: what waits for a time finds that it has come.
func (w *World) Passes(d time.Duration) {
	for _, t := range w.teams {
		t.harvest() // what is destroyed when its time has come
		t.SetClock(t.Ahead() + d)
	}
	w.Wait(2 * time.Minute) // upkeep looks at the clock every minute
	for _, t := range w.teams {
		t.harvest()
	}
}

// To names teams as an audience.
func To(teams ...*Team) string {
	var names []string
	for _, t := range teams {
		names = append(names, t.ID.String())
	}
	return "team:" + strings.Join(names, ",")
}

// Under names an agreement as an audience.
func Under(id protocol.Hash) string { return "agreement:" + id.String() }

// Person names an operator of the team as an audience; several are joined with commas.
func (t *Team) Person(names ...string) string {
	var all []string
	for _, n := range names {
		all = append(all, t.ID.String()+"/"+n)
	}
	return "person:" + strings.Join(all, ",")
}

// marked returns a text that holds a mark of its own, and the mark.
func marked(text string) (doc, mark []byte) {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	m := hex.EncodeToString(b[:])
	return []byte(text + " [" + m + "]"), []byte(m)
}

// Document returns a text of at least n bytes that compresses badly and begins with a line of its own.
func Document(title string, n int) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, title)
	line := make([]byte, 30)
	for b.Len() < n {
		_, _ = rand.Read(line)
		fmt.Fprintf(&b, "%x\n", line)
	}
	return b.Bytes()
}

// SendsTo sends a text to an audience, and returns the message's id.
func (t *Team) SendsTo(audience string, l tlp.Label, text string) protocol.Hash {
	t.w.T.Helper()
	return t.SendsDraft(node.Draft{Audience: audience, Label: l}, []byte(text))
}

// SendsFileTo sends a document to an audience, and returns the message's id. A mark is added at its end.
func (t *Team) SendsFileTo(audience string, l tlp.Label, name string, doc []byte) protocol.Hash {
	t.w.T.Helper()
	return t.SendsDraft(node.Draft{Audience: audience, Label: l, Name: name}, doc)
}

// SendsDraft sends a document with a mark at its end.
func (t *Team) SendsDraft(d node.Draft, doc []byte) protocol.Hash {
	t.w.T.Helper()
	id, err := t.sends(d, doc)
	if err != nil {
		t.w.T.Fatalf("%s sends to %.80s: %v", t.Name, d.Audience, err)
	}
	return id
}

func (t *Team) sends(d node.Draft, doc []byte) (protocol.Hash, error) {
	t.w.T.Helper()
	doc, mark := marked(string(doc))
	d.Size, d.Hash = int64(len(doc)), protocol.Hash(sum256(doc))
	l := t.letter(d)
	l.Mark = mark
	sent, err := t.Node.Send(context.Background(), d, bytes.NewReader(doc))
	if err != nil {
		return protocol.Hash{}, err
	}
	if sent.Audience.Kind == "community" {
		return sent.ID, nil
	}
	l.ID = sent.ID
	l.Label = sent.Label
	if !l.Room.IsZero() {
		l.At = time.Now()
		t.w.look()
	}
	if l.Label == tlp.Red {
		t.name(l)
	}
	t.forbids(l)
	t.w.letters = append(t.w.letters, l)
	return sent.ID, nil
}

// letter notes, before it is sent, whom a message is for, in the words of the story, and who that is as the author sees it now.
func (t *Team) letter(d node.Draft) *Letter {
	t.w.T.Helper()
	l := &Letter{Author: t, Label: d.Label, Removed: map[protocol.KID]bool{}}
	kind, rest, _ := strings.Cut(d.Audience, ":")
	switch kind {
	case "community":
		return l
	case "room":
		t.gathers(l, rest)
	case "agreement":
		a, err := t.Node.Agreement(rest)
		if err != nil {
			t.w.T.Fatalf("%s looks up the agreement %.20s: %v", t.Name, rest, err)
		}
		l.Agreement, l.Ceiling = a.ID, a.Ceiling
		at := t.w.agreed[a.ID]
		for _, p := range at {
			if p != t.ID {
				l.Teams = append(l.Teams, p)
			}
		}
		if a.State != trust.Active {
			l.Void = "the agreement was " + a.State.String()
		}
	default:
		for who := range strings.SplitSeq(rest, ",") {
			name, person, named := strings.Cut(who, "/")
			info, err := t.Node.Team(name)
			if err != nil {
				t.w.T.Fatalf("%s looks up %s: %v", t.Name, name, err)
			}
			if !slices.Contains(l.Teams, info.ID) {
				l.Teams = append(l.Teams, info.ID)
			}
			if named {
				l.Persons = append(l.Persons, personID{info.ID, person})
			}
		}
	}
	if d.As != "" {
		l.Persons = append(l.Persons, personID{t.ID, d.As})
	}
	for _, id := range l.Teams {
		info, err := t.Node.Team(id.String())
		if err != nil {
			t.w.T.Fatalf("%s looks up %s: %v", t.Name, id.Short(), err)
		}
		if l.Room.IsZero() && info.State != trust.Introduced && info.State != trust.Verified {
			l.Void = info.Name + " was " + info.State.String()
		}
		for _, n := range info.Nodes {
			l.Removed[n.KID] = n.Revoked
		}
	}
	return l
}

// forbids notes why a letter should not have been sent with its label, by the rules as people know them.
func (t *Team) forbids(l *Letter) {
	t.w.T.Helper()
	if !l.Agreement.IsZero() && l.Label > l.Ceiling {
		l.Void = "it is above the ceiling"
	}
	if l.Label <= tlp.Green || l.Void != "" || !l.Room.IsZero() {
		return
	}
	for _, id := range l.Teams {
		info, err := t.Node.Team(id.String())
		if err != nil {
			t.w.T.Fatal(err)
		}
		covered := slices.ContainsFunc(t.Node.Agreements(), func(a node.AgreementView) bool {
			return a.Partner == id && a.State == trust.Active && l.Label <= a.Ceiling
		})
		if info.State != trust.Verified && (l.Label == tlp.Red || !covered) {
			l.Void = info.Name + " was not verified, and nothing agreed with it covers it"
		}
	}
}

// name fills in the persons of RED to whole teams: every operator that the team's manifest names, as the author knows it.
func (t *Team) name(l *Letter) {
	t.w.T.Helper()
	for _, id := range l.Teams {
		if slices.ContainsFunc(l.Persons, func(p personID) bool { return p.team == id }) {
			continue
		}
		info, err := t.Node.Team(id.String())
		if err != nil {
			t.w.T.Fatal(err)
		}
		for _, o := range info.Manifest.Operators {
			l.Persons = append(l.Persons, personID{id, o.Name})
		}
	}
}

// Letter returns what the story noted of a message.
func (w *World) Letter(id protocol.Hash) *Letter {
	w.T.Helper()
	for _, l := range w.letters {
		if l.ID == id {
			return l
		}
	}
	w.T.Fatalf("no message %s was sent in this story", id.Short())
	return nil
}

// Refuses says by which rule the team's node refuses to send to an audience; "" if it sends.
func (t *Team) Refuses(audience string, l tlp.Label) string {
	t.w.T.Helper()
	_, err := t.sends(node.Draft{Audience: audience, Label: l}, []byte("this should be refused"))
	return t.rule(err)
}

func (t *Team) rule(err error) string {
	t.w.T.Helper()
	var r *node.RefusedError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &r):
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	return r.Rule
}

// Reads waits until the team can read the message, and reports an error if it is not the text.
func (t *Team) Reads(id protocol.Hash, text string) {
	t.w.T.Helper()
	if got := t.Holds(id); !strings.HasPrefix(string(got), text) {
		t.w.T.Errorf("%s reads %.100q in %s, want %.100q", t.Name, got, id.Short(), text)
	}
}

// Arrives waits until the message is at the team, shown or not.
func (t *Team) Arrives(id protocol.Hash) *node.MessageView {
	t.w.T.Helper()
	var v *node.MessageView
	t.w.Until(id.Short()+" is at "+t.Name, func() (ok bool) {
		var err error
		v, err = t.Node.Message(id)
		return err == nil && v.Complete
	})
	return v
}

// HoldsBack waits until the message is at the team and held back by the rule.
func (t *Team) HoldsBack(id protocol.Hash, rule string) {
	t.w.T.Helper()
	var last *node.MessageView
	t.w.Until(fmt.Sprintf("%s holds %s back by %s", t.Name, id.Short(), rule), func() bool {
		v, err := t.Node.Message(id)
		last = v
		return err == nil && v.Held == rule
	})
	if last.Quarantined == "" || last.Title != "" {
		t.w.T.Errorf("%s shows what it holds back: %q", t.Name, last.Title)
	}
	if r, _, err := t.Node.OpenBody(id); err == nil {
		r.Close()
		t.w.T.Errorf("%s opens the body of what it holds back", t.Name)
	}
}

// Opens lets a person of the team open RED content with the passphrase, tell the node, and returns title and document.
func (t *Team) Opens(id protocol.Hash, person string) (*protocol.Content, []byte) {
	t.w.T.Helper()
	t.Arrives(id)
	c, doc, err := t.opens(id, person)
	if err == nil {
		err = t.Node.Opened(context.Background(), id, person)
	}
	if err != nil {
		t.w.T.Fatalf("%s of %s opens %s: %v", person, t.Name, id.Short(), err)
	}
	return c, doc
}

func (t *Team) opens(id protocol.Hash, person string) (*protocol.Content, []byte, error) {
	v, err := t.Node.Sealed(id)
	if err != nil {
		return nil, nil, err
	}
	if v.Blob != nil {
		defer v.Blob.Close()
	}
	ids, err := keyring.OpenOperator(node.KeysDir(t.Home), person, Passphrase)
	if err != nil {
		return nil, nil, err
	}
	plain, err := seal.OpenSmall(v.Statement.Content, ids...)
	if err != nil {
		return nil, nil, err
	}
	c, err := protocol.DecodeContent(plain, v.Statement)
	if err != nil {
		return nil, nil, err
	}
	if c.Body.Key == "" {
		return c, c.Body.Inline, nil
	}
	if v.Blob == nil {
		return nil, nil, errors.New("its body is not here")
	}
	key, err := seal.ParseIdentity(c.Body.Key)
	if err != nil {
		return nil, nil, err
	}
	b, err := seal.OpenBlob(v.Blob, int64(v.BlobSize), key, c.Body.Size)
	if err != nil {
		return nil, nil, err
	}
	doc, err := io.ReadAll(b)
	return c, doc, err
}

// CannotOpen reports an error if the person opens the RED content.
func (t *Team) CannotOpen(id protocol.Hash, person string) {
	t.w.T.Helper()
	t.Arrives(id)
	if _, _, err := t.opens(id, person); !errors.Is(err, seal.ErrNotRecipient) {
		t.w.T.Errorf("%s of %s opens %s: %v", person, t.Name, id.Short(), err)
	}
}

// Receipt waits until the team, which sent the message, knows that it is in a state at the other: sent, stored, held,
// cannot-open, or opened.
func (t *Team) Receipt(id protocol.Hash, o *Team, state string) (found node.ReceiptView) {
	t.w.T.Helper()
	var last []node.ReceiptView
	for end := time.Now().Add(patience); time.Now().Before(end); t.w.Wait(200 * time.Millisecond) {
		rs, err := t.Node.Receipts(id)
		if err != nil {
			t.w.T.Fatalf("%s asks for receipts of %s: %v", t.Name, id.Short(), err)
		}
		for _, r := range rs {
			if r.Team == o.ID && r.State == state {
				return r
			}
		}
		last = rs
	}
	t.w.T.Fatalf("%s never learns that %s is %s at %s; it knows %+v", t.Name, id.Short(), state, o.Name, last)
	return found
}

// CannotRead returns why the person does not get at the RED content.
func (t *Team) CannotRead(id protocol.Hash, person string) error {
	_, _, err := t.opens(id, person)
	return err
}

// TriesToSend is SendsDraft for a story that does not know whether it may be sent.
func (t *Team) TriesToSend(d node.Draft, doc []byte) (protocol.Hash, error) { return t.sends(d, doc) }

// Delivered waits until a message that was sent is with everybody for whom it was, and who may still be given it.
func (w *World) Delivered(id protocol.Hash) {
	w.T.Helper()
	i := slices.IndexFunc(w.letters, func(l *Letter) bool { return l.ID == id })
	if i < 0 {
		return // for the community: see Settle
	}
	l := w.letters[i]
	for _, t := range w.teams {
		if t.Node == nil || !slices.Contains(l.Teams, t.ID) || !l.Author.gives(l, t) {
			continue
		}
		w.Until(fmt.Sprintf("%s of %s is at %s", id.Short(), l.Author.Name, t.Name), func() bool {
			v, err := t.Node.Message(id)
			return err == nil && v.Complete && v.Doubt == "" || !l.Author.gives(l, t)
		})
	}
}

// gives reports whether the author of a letter may give it to the team now.
func (t *Team) gives(l *Letter, o *Team) bool {
	if !l.Room.IsZero() {
		v, err := t.Node.Room(l.Room.String())
		return err == nil && v.Mine == trust.StandingMember && v.Standing(o.ID) == trust.StandingMember
	}
	info, err := t.Node.Team(o.ID.String())
	if err != nil || info.State != trust.Introduced && info.State != trust.Verified {
		return false
	}
	if l.Agreement.IsZero() {
		return true
	}
	a, err := t.Node.Agreement(l.Agreement.String())
	return err == nil && a.State == trust.Active
}
