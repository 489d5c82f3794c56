package nodetest

import (
	"bufio"
	"bytes"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/entente-network/entente/node/direct"
	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
)

// A Feed is one feed for one team that an author fills by hand.
type Feed struct {
	a    *Author
	to   *Team
	c    protocol.Channel
	seq  uint64
	prev protocol.Hash

	room   protocol.Audience // of a feed in a room, and what is sealed to instead of the team
	sealTo seal.Recipient
}

// Feed begins the author's feed for a team, under an agreement or, with the zero Hash, under none. What the author's node said
// there before is not counted.
func (a *Author) Feed(to *Team, agreement protocol.Hash) *Feed {
	return &Feed{a: a, to: to, c: protocol.Between(a.t.ID, to.ID, agreement)}
}

// Follows makes the feed's next entry follow on what the author's node pushed there before it was stopped.
func (f *Feed) Follows() *Feed {
	for _, raw := range f.a.t.tap.pushed(false) {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
		if err != nil || env.Type != protocol.TypeParcel {
			continue
		}
		if p, err := protocol.Decode[protocol.Parcel](env); err == nil && p.Feed == f.ID() && p.Seq > f.seq {
			f.seq, f.prev = p.Seq, env.ID()
		}
	}
	return f
}

// ID returns the id of the feed.
func (f *Feed) ID() protocol.FeedID { return protocol.FeedOf(f.a.Key.Public().ID(), f.c) }

// Statement returns an AMBER statement of the author for the team, which the story may spoil.
func (f *Feed) Statement(text string) *protocol.Statement {
	st := f.a.Statement(text)
	st.Label = tlp.Amber
	st.Audience = protocol.Audience{Kind: protocol.Direct, Teams: []protocol.TeamID{f.to.ID}}
	if id := f.c.Agreement(); !id.IsZero() {
		st.Audience.Kind, st.Audience.Agreement = protocol.InAgreement, id
	}
	return st
}

// Control returns a statement for the team's program: receipts or records.
func (f *Feed) Control(kind protocol.Kind) *protocol.Statement {
	st := f.Statement("")
	st.Kind, st.Label, st.Title, st.Body = kind, protocol.ControlLabel, "", protocol.Body{}
	return st
}

// Seals signs the statement and seals it to the team, as the feed's next entry. It returns the entry and the statement's id.
func (f *Feed) Seals(st *protocol.Statement) ([]byte, protocol.Hash) {
	f.a.t.w.T.Helper()
	e, err := protocol.Sign(st, f.a.Key)
	if err != nil {
		f.a.t.w.T.Fatal(err)
	}
	return f.Wraps(e.Encode(), nil), e.ID()
}

// Wraps seals any bytes to the team's node and signs a parcel around it, changed as wanted, as the feed's next entry.
func (f *Feed) Wraps(inner []byte, change func(*protocol.Parcel)) []byte {
	f.a.t.w.T.Helper()
	r := f.sealTo
	if f.to != nil {
		d, err := f.to.Node.NodeDraft()
		if err == nil {
			r, err = seal.ParseRecipient(d.Recipient)
		}
		if err != nil {
			f.a.t.w.T.Fatal(err)
		}
	}
	body, err := seal.SealSmall(inner, r)
	if err != nil {
		f.a.t.w.T.Fatal(err)
	}
	k := f.a.Key.Public().ID()
	p := &protocol.Parcel{Team: f.a.t.ID, Node: k, Feed: f.ID(), Seq: f.seq + 1, Prev: f.prev, Class: protocol.Normal, Body: body, Sealed: true, Epoch: f.room.Epoch}
	if change != nil {
		change(p)
	}
	e, err := protocol.Sign(p, f.a.Key)
	if err != nil {
		f.a.t.w.T.Fatal(err)
	}
	f.seq, f.prev = f.seq+1, e.ID()
	return e.Encode()
}

// push is what goes over a stream of package direct.
type push struct {
	Records [][]byte `cbor:"1,keyasint,omitempty"`
	Behind  bool     `cbor:"2,keyasint,omitempty"`
}

// Pushes sends records to the team's node as package direct does, and reports whether the stream took them.
func (p *Peer) Pushes(o *Team, raws ...[]byte) bool {
	p.t.w.T.Helper()
	s, ok := p.pushes[o]
	if !ok {
		var err error
		if s, err = p.Opens(o, direct.Protocol); err != nil {
			return false
		}
		if p.pushes == nil {
			p.pushes = map[*Team]network.Stream{}
		}
		p.pushes[o] = s
	}
	b, err := frame.Append(nil, push{Records: raws})
	if err != nil {
		p.t.w.T.Fatal(err)
	}
	_ = s.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := s.Write(b); err != nil {
		_ = s.Reset()
		delete(p.pushes, o)
		return false
	}
	return true
}

// Got returns the parcels that were pushed to the team's hosts so far and that the keys of its nodes open: the statement in
// each, and the encoded parcel.
func (t *Team) Got() (all []Parcel) {
	t.w.T.Helper()
	var ids []seal.Identity
	for s, a := range t.w.keys {
		if id, err := seal.ParseIdentity(s); err == nil && a.team == t.ID {
			ids = append(ids, id)
		}
	}
	for _, raw := range t.tap.pushed(true) {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
		if err != nil || env.Type != protocol.TypeParcel {
			continue
		}
		p, err := protocol.Decode[protocol.Parcel](env)
		if err != nil {
			continue
		}
		inner, err := seal.OpenSmall(p.Body, ids...)
		if err != nil {
			continue
		}
		if st, err := protocol.DecodeEnvelope(inner, protocol.MaxStatement); err == nil {
			all = append(all, Parcel{Statement: st.ID(), Inner: inner, Raw: raw, Parcel: p, ID: env.ID()})
		}
	}
	return all
}

// A Parcel is a sealed parcel, opened.
type Parcel struct {
	*protocol.Parcel
	ID, Statement protocol.Hash
	Inner, Raw    []byte
}

// GotMessage returns the parcel in which the team got a message.
func (t *Team) GotMessage(id protocol.Hash) Parcel {
	t.w.T.Helper()
	for _, p := range t.Got() {
		if p.Statement == id {
			return p
		}
	}
	t.w.T.Fatalf("%s was never pushed %s", t.Name, id.Short())
	return Parcel{}
}

// pushed returns the records that came, or went, over streams of package direct.
func (t *tap) pushed(came bool) (out [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	strands := t.said
	if came {
		strands = t.read
	}
	for _, s := range strands {
		if s.proto != direct.Protocol {
			continue
		}
		r := bufio.NewReader(bytes.NewReader(s.data))
		for {
			b, err := frame.Read(r, 1<<22)
			if err != nil {
				break
			}
			var p push
			if protocol.Unmarshal(b, &p) == nil {
				out = append(out, p.Records...)
			}
		}
	}
	return out
}
