package nodetest

import (
	"crypto/rand"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// An Author signs with the key of a node by hand, as who took that key can: anything at all.
type Author struct {
	Key *protocol.PrivateKey

	t    *Team
	seq  uint64 // of the entry signed last
	prev protocol.Hash
}

// Stolen returns an author with the key that the team's node has, or had when it was last up.
func (t *Team) Stolen() *Author { return &Author{Key: t.keys.sign, t: t} }

// Follows makes the author's next entry follow on all that the team holds of its feed.
func (a *Author) Follows(at *Team) {
	a.t.w.T.Helper()
	kid := a.Key.Public().ID()
	c, err := at.Node.CutoffDraft(kid) // it names the newest entry that is held
	if err != nil || c == nil {
		a.t.w.T.Fatalf("%s knows nothing of the feed of %s: %v", at.Name, a.t.Name, err)
	}
	a.seq, a.prev = c.LastSeq, c.LastHash
}

// Statement returns a statement of the author's team to the community, which the story may spoil.
func (a *Author) Statement(text string) *protocol.Statement {
	st := &protocol.Statement{Author: a.t.ID, Node: a.Key.Public().ID(), Kind: protocol.KindMessage, Label: tlp.Green,
		Audience: protocol.Audience{Kind: protocol.Community}, Clock: protocol.HLC(0).Next(time.Now()), Title: text,
		Body: protocol.Body{Format: "text", Size: uint64(len(text)), Hash: protocol.Sum("", []byte(text)), Inline: []byte(text)}}
	_, _ = rand.Read(st.Salt[:]) // never fails
	return st
}

// Says returns the next entry of the feed with a text in it, and the statement's id.
func (a *Author) Says(text string) ([]byte, protocol.Hash) {
	a.t.w.T.Helper()
	return a.Parcel(a.Statement(text))
}

// Parcel returns the next entry of the feed with the statement in it, and the statement's id.
func (a *Author) Parcel(st *protocol.Statement) ([]byte, protocol.Hash) {
	a.t.w.T.Helper()
	e, err := protocol.Sign(st, a.Key)
	if err != nil {
		a.t.w.T.Fatal(err)
	}
	env := a.Wraps(e.Encode(), nil)
	a.seq, a.prev = a.seq+1, env.ID()
	return env.Encode(), e.ID()
}

// Wraps signs a parcel around any bytes in the place of the next entry, changed as wanted, without counting it as said.
func (a *Author) Wraps(body []byte, change func(*protocol.Parcel)) *protocol.Envelope {
	a.t.w.T.Helper()
	k := a.Key.Public().ID()
	p := &protocol.Parcel{Team: a.t.ID, Node: k, Feed: protocol.FeedOf(k, protocol.Channel{}),
		Seq: a.seq + 1, Prev: a.prev, Class: protocol.Normal, Body: body}
	if change != nil {
		change(p)
	}
	e, err := protocol.Sign(p, a.Key)
	if err != nil {
		a.t.w.T.Fatal(err)
	}
	return e
}
