package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// A plot is a world in which mallory, whom at and de know well and have verified, turns against them. Before that at wrote to
// mallory, and at and de agreed on something that is none of mallory's business.
type plot struct {
	t           *testing.T
	w           *nodetest.World
	at, de      *nodetest.Team
	m           *nodetest.Peer
	mallory     *nodetest.Team
	agreed      protocol.Hash // between at and de
	secret      protocol.Hash // of at, for de alone
	entrusted   protocol.Hash // of at, for mallory alone
	shared      protocol.Hash // RED of at, for anna of de and mel of mallory
	mayKeepMore bool
}

// withPlot tells a story in which nothing that mallory does changes what at and de see, and they go on exchanging meanwhile.
func withPlot(t *testing.T, seed uint64, story func(p *plot)) {
	t.Helper()
	nodetest.Run(t, seed, []string{"at", "de", "mallory"}, func(w *nodetest.World) {
		w.AllMeet()
		p := &plot{t: t, w: w, at: w.As("at"), de: w.As("de"), mallory: w.As("mallory")}
		w.Befriend(p.at, p.de)
		w.Befriend(p.at, p.mallory)
		w.Befriend(p.de, p.mallory)
		p.de.Employs("anna")
		p.mallory.Employs("mel")
		p.at.KnowsStaff(p.de, "anna")
		p.at.KnowsStaff(p.mallory, "mel")
		p.agreed = w.Agree(p.at, p.de, node.Terms{})
		p.secret = p.at.SendsTo(nodetest.Under(p.agreed), tlp.Amber, "for de alone")
		p.entrusted = p.at.SendsTo(nodetest.To(p.mallory), tlp.Amber, "entrusted to mallory")
		p.shared = p.at.SendsTo("person:"+p.de.ID.String()+"/anna,"+p.mallory.ID.String()+"/mel", tlp.Red, "for anna and mel")
		p.de.Reads(p.secret, "for de alone")
		p.mallory.Reads(p.entrusted, "entrusted")
		p.de.Opens(p.shared, "anna")
		p.mallory.Opens(p.shared, "mel")
		w.Wait(10 * time.Second)
		before := shown(t, p.at, p.de)
		p.m = p.mallory.Turns()
		p.m.Connects(p.at, p.de)
		story(p)
		w.Wait(10 * time.Second)
		for id, who := range shown(t, p.at, p.de) {
			if before[id] != who && !p.mayKeepMore {
				t.Errorf("%s shows %s, which is of mallory's making", who, id)
			}
		}
		start := time.Now()
		p.de.Reads(p.at.SendsTo(nodetest.Under(p.agreed), tlp.Amber, "business as usual"), "business as usual")
		p.at.Reads(p.de.SendsTo(nodetest.To(p.at), tlp.Amber, "so it is"), "so it is")
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the honest waited %v for each other", took)
		}
	})
}

// shown returns what people at the teams see, and which of them.
func shown(t *testing.T, teams ...*nodetest.Team) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, tm := range teams {
		for id := range inbox(t, tm) {
			all[tm.Name+id.Short()] = tm.Name
		}
	}
	return all
}

func control(f *nodetest.Feed, kind protocol.Kind, change func(st *protocol.Statement)) []byte {
	st := f.Control(kind)
	change(st)
	raw, _ := f.Seals(st)
	return raw
}

// What mallory pushes to de changes nothing that de or at shows, and leaks nothing to anybody.
func TestHostilePushes(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	zero := protocol.Hash{}
	for i, c := range []struct {
		name string
		tell func(p *plot)
	}{
		{"a parcel of at to mallory, handed to de", func(p *plot) {
			p.m.Pushes(p.de, p.mallory.GotMessage(p.entrusted).Raw)
		}},
		{"a parcel of at to mallory, handed back to at", func(p *plot) {
			p.m.Pushes(p.at, p.mallory.GotMessage(p.entrusted).Raw)
		}},
		{"what at entrusted to mallory, sealed anew to de", func(p *plot) {
			p.w.Letter(p.entrusted).Leaked = true
			p.m.Pushes(p.de, p.m.Feed(p.de, zero).Wraps(p.mallory.GotMessage(p.entrusted).Inner, nil))
		}},
		{"the same, in the name of at", func(p *plot) {
			p.w.Letter(p.entrusted).Leaked = true
			got := p.mallory.GotMessage(p.entrusted)
			p.m.Pushes(p.de, p.m.Feed(p.de, zero).Wraps(got.Inner, func(q *protocol.Parcel) {
				q.Team, q.Node = got.Team, got.Node
				q.Feed = protocol.FeedOf(got.Node, protocol.Between(p.at.ID, p.de.ID, zero))
			}))
		}},
		{"its own statement for at, in its feed for de", func(p *plot) {
			st := p.m.Feed(p.at, zero).Statement("for at, and sealed to de")
			e, err := protocol.Sign(st, p.m.Key)
			if err != nil {
				p.t.Fatal(err)
			}
			p.m.Pushes(p.de, p.m.Feed(p.de, zero).Wraps(e.Encode(), nil))
		}},
		{"a statement under the agreement of at and de", func(p *plot) {
			f := p.m.Feed(p.de, p.agreed)
			raw, _ := f.Seals(f.Statement("as if it were agreed"))
			p.m.Pushes(p.de, raw)
		}},
		{"the same in the feed that needs no agreement", func(p *plot) {
			f := p.m.Feed(p.de, zero)
			st := f.Statement("as if it were agreed")
			st.Audience.Kind, st.Audience.Agreement = protocol.InAgreement, p.agreed
			e, err := protocol.Sign(st, p.m.Key)
			if err != nil {
				p.t.Fatal(err)
			}
			p.m.Pushes(p.de, f.Wraps(e.Encode(), nil))
		}},
		{"garbage, well sealed", func(p *plot) {
			p.m.Pushes(p.de, p.m.Feed(p.de, zero).Wraps([]byte("not an envelope"), nil))
		}},
		{"garbage, not sealed", func(p *plot) {
			p.m.Pushes(p.de, p.m.Feed(p.de, zero).Wraps(nil, func(q *protocol.Parcel) { q.Body = []byte(strings.Repeat("x", 3000)) }))
		}},
		{"a parcel that is for the community", func(p *plot) {
			raw, _ := p.m.Says("pushed, not published")
			p.m.Pushes(p.de, raw)
		}},
		{"a sealed parcel, published to all", func(p *plot) {
			f := p.m.Feed(p.de, zero)
			raw, _ := f.Seals(f.Statement("for de"))
			p.m.Publishes(raw)
		}},
		{"receipts for what at wrote to de", func(p *plot) {
			f := p.m.Feed(p.at, zero).Follows()
			now := uint64(time.Now().Unix())
			p.m.Pushes(p.at, control(f, protocol.KindReceipts, func(st *protocol.Statement) {
				st.Receipts = []protocol.Receipt{{Statement: p.secret, State: protocol.Stored, Time: now},
					{Statement: p.secret, State: protocol.Opened, Person: "mel", Time: now}, {Statement: p.secret, State: protocol.HeldBack, Rule: "because", Time: now}}
			}))
			p.w.Wait(5 * time.Second)
			rs, err := p.at.Node.Receipts(p.secret)
			if err != nil {
				p.t.Fatal(err)
			}
			for _, r := range rs {
				if r.Team != p.de.ID || r.State != "stored" {
					p.t.Errorf("at believes %+v", r)
				}
			}
		}},
		{"word that it could not open what at wrote to de", func(p *plot) {
			f := p.m.Feed(p.at, zero).Follows()
			p.m.Pushes(p.at, control(f, protocol.KindReceipts, func(st *protocol.Statement) {
				st.Receipts = []protocol.Receipt{{Parcel: p.de.GotMessage(p.secret).ID, State: protocol.CannotOpen, Time: uint64(time.Now().Unix())}}
			}))
			p.w.Wait(5 * time.Second)
			proofs, err := p.at.Node.AuditProve(p.secret)
			if err != nil || len(proofs) != 1 {
				p.t.Errorf("at logged %d decisions on it, want the one to send it to de, %v", len(proofs), err)
			}
		}},
		{"the agreement of at and de, as if it were its own", func(p *plot) {
			a, err := p.de.Node.Agreement(p.agreed.String())
			if err != nil {
				p.t.Fatal(err)
			}
			f := p.m.Feed(p.de, zero)
			p.m.Pushes(p.de, control(f, protocol.KindRecords, func(st *protocol.Statement) { st.Records = [][]byte{a.Envelope.Encode()} }))
		}},
		{"that the agreement of at and de has ended", func(p *plot) {
			f := p.m.Feed(p.de, zero)
			for _, party := range []*nodetest.Team{p.mallory, p.at} {
				e, err := protocol.Sign(&protocol.AgreementStatus{Agreement: p.agreed, Party: party.ID, Root: p.de.Knows(party).RootID, Counter: 7,
					Status: protocol.PartyEnded, Time: uint64(time.Now().Unix())}, p.mallory.Officer())
				if err != nil {
					p.t.Fatal(err)
				}
				p.m.Pushes(p.de, control(f, protocol.KindRecords, func(st *protocol.Statement) { st.Records = [][]byte{e.Encode()} }))
			}
			p.w.Wait(5 * time.Second)
			p.de.Sees(p.agreed, trust.Active)
		}},
		{"heads that are for at, and those of at", func(p *plot) {
			for _, h := range []protocol.Heads{
				{Team: p.mallory.ID, Node: p.m.Key.Public().ID(), For: p.at.ID},
				{Team: p.at.ID, Node: p.at.Stolen().Key.Public().ID(), For: p.de.ID},
			} {
				h.N, h.Time = uint64(time.Now().Add(time.Hour).UnixMilli()), uint64(time.Now().Unix())
				h.Feeds = []protocol.Head{{Feed: protocol.FeedOf(h.Node, protocol.Between(p.at.ID, p.de.ID, zero)), First: 1, Seq: 1e12, Hash: p.secret}}
				e, err := protocol.Sign(&h, p.m.Key)
				if err != nil {
					p.t.Fatal(err)
				}
				p.m.Connects(p.de)
				p.m.Pushes(p.de, e.Encode())
				p.w.Wait(time.Second)
			}
			p.w.Together(p.at, p.de)
		}},
		{"a million million messages for de, it says", func(p *plot) {
			f := p.m.Feed(p.de, zero)
			e, err := protocol.Sign(&protocol.Heads{Team: p.mallory.ID, Node: p.m.Key.Public().ID(), For: p.de.ID, N: uint64(time.Now().UnixMilli()),
				Time: uint64(time.Now().Unix()), Feeds: []protocol.Head{{Feed: f.ID(), First: 1, Seq: 1e12, Hash: p.secret}}}, p.m.Key)
			if err != nil {
				p.t.Fatal(err)
			}
			p.m.Pushes(p.de, e.Encode())
			p.w.Wait(15 * time.Minute)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPlot(t, uint64(240+i), func(p *plot) { c.tell(p) })
		})
	}
}

// mallory takes the sealed content out of at's RED message to anna and mel, and sends it to anna as its own: anna's node takes it
// in, as it has to, and anna is told that it was made for another message.
func TestPlagiarizedContent(t *testing.T) {
	withPlot(t, 270, func(p *plot) {
		p.mayKeepMore = true
		inner, err := protocol.DecodeEnvelope(p.mallory.GotMessage(p.shared).Inner, protocol.MaxStatement)
		if err != nil {
			t.Fatal(err)
		}
		at, err := protocol.Decode[protocol.Statement](inner)
		if err != nil {
			t.Fatal(err)
		}
		f := p.m.Feed(p.de, protocol.Hash{})
		st := f.Statement("")
		st.Label, st.Title, st.Body, st.Content = tlp.Red, "", protocol.Body{}, at.Content
		for _, q := range at.Audience.Persons {
			if q.Team == p.de.ID {
				st.Audience.Persons = append(st.Audience.Persons, q)
			}
		}
		raw, id := f.Seals(st)
		p.m.Pushes(p.de, raw)
		p.de.Arrives(id)
		if err := p.de.CannotRead(id, "anna"); err == nil || !strings.Contains(err.Error(), "another message") {
			t.Errorf("anna reads what mallory took from at: %v", err)
		}
	})
}

// mallory writes two thousand messages to de as fast as the line takes them. at and de do not wait for each other longer than
// before, and de keeps no more than its quota lets it.
func TestFlood(t *testing.T) {
	withPlot(t, 271, func(p *plot) {
		p.mayKeepMore = true
		f := p.m.Feed(p.de, protocol.Hash{})
		var raws [][]byte
		for i := range 1000 {
			raw, _ := f.Seals(f.Statement(fmt.Sprint("spam ", i)))
			raws = append(raws, raw)
		}
		for len(raws) > 0 {
			n := min(40, len(raws))
			if !p.m.Pushes(p.de, raws[:n]...) {
				break
			}
			raws = raws[n:]
		}
		start := time.Now()
		p.de.Reads(p.at.SendsTo(nodetest.Under(p.agreed), tlp.Amber, "in the middle of it"), "in the middle of it")
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("at's message took %v", took)
		}
	})
}

// mallory says two things in one place of its feed for de. de keeps the first, has one proof of it, and tells nobody else of the
// feed.
func TestForkForOneTeam(t *testing.T) {
	withPlot(t, 272, func(p *plot) {
		p.mayKeepMore = true
		f, g := p.m.Feed(p.de, protocol.Hash{}), p.m.Feed(p.de, protocol.Hash{})
		one, first := f.Seals(f.Statement("one thing"))
		two, second := g.Seals(g.Statement("another thing"))
		p.m.Pushes(p.de, one)
		p.de.Reads(first, "one thing")
		p.m.Pushes(p.de, two)
		p.w.Wait(10 * time.Second)
		p.de.Lacks(second)
		n := 0
		if err := p.de.Node.Forks(func(protocol.ForkProof) bool { n++; return true }); err != nil || n != 1 {
			t.Errorf("de has %d proofs, %v", n, err)
		}
	})
}
