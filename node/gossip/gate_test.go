package gossip

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func openGate(drops func(string)) *gate {
	return newGate(func(p peer.ID) bool { return p != "outsider" }, &counters{drops: drops})
}

func messages(n, size int) *pubsub.RPC {
	rpc := new(pubsub.RPC)
	for range n {
		rpc.Publish = append(rpc.Publish, &pb.Message{Data: make([]byte, size)})
	}
	return rpc
}

// A member sends valid messages of the greatest size faster than they can be read. What may be waiting is bounded, the
// rest is counted as dropped, others are not affected, and after a while the member is heard again.
func TestByteAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var why []string
		g := openGate(func(w string) { why = append(why, w) })
		taken := 0
		for range 1000 {
			if g.inspect("hostile", messages(1, MaxMessage)) == nil {
				taken += MaxMessage
			}
		}
		if taken > bytesBurst || taken < bytesBurst/2 {
			t.Errorf("%d bytes let in at once, want at most %d", taken, bytesBurst)
		}
		if len(why) == 0 || why[0] != dropRation || g.count.stats().Dropped != uint64(len(why)) {
			t.Errorf("drops told %d, counted %d", len(why), g.count.stats().Dropped)
		}
		if err := g.inspect("honest", messages(1, 1000)); err != nil {
			t.Errorf("another peer is refused: %v", err)
		}
		if err := g.inspect("hostile", new(pubsub.RPC)); err != nil {
			t.Errorf("control messages are refused: %v", err)
		}
		g.sweep(time.Now())
		if g.allowances["hostile"] == nil {
			t.Error("the sweep forgave a hostile peer at once")
		}
		time.Sleep(time.Hour) // virtual
		g.sweep(time.Now())
		if len(g.allowances) != 0 {
			t.Error("allowances that are whole again are kept")
		}
		if err := g.inspect("hostile", messages(1, MaxMessage)); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

// A member makes up messages of unknown authors: each is remembered for ten minutes, so their number is rationed.
func TestIgnoredAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(nil)
		for i := range ignoredBurst {
			if err := g.inspect("hostile", messages(1, 100)); err != nil {
				t.Fatalf("message %d, within the allowance: %v", i, err)
			}
			g.ignored("hostile", time.Now())
		}
		if err := g.inspect("hostile", messages(1, 100)); !errors.Is(err, errSpent) {
			t.Errorf("beyond the allowance: %v", err)
		}
		if err := g.inspect("honest", messages(1, 100)); err != nil {
			t.Errorf("another peer is refused: %v", err)
		}
		time.Sleep(time.Second) // virtual
		if err := g.inspect("hostile", messages(1, 100)); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
}

func TestGateRefuses(t *testing.T) {
	g := openGate(nil)
	if err := g.inspect("outsider", messages(0, 0)); !errors.Is(err, errOutsider) {
		t.Errorf("outsider: %v", err)
	}
	if err := g.inspect("member", messages(maxPerRPC+1, 1)); !errors.Is(err, errTooMany) {
		t.Errorf("too many messages in one RPC: %v", err)
	}
	if !g.Contains("outsider") || g.Contains("member") || g.Contains("") {
		t.Error("the blacklist is not the outsiders")
	}
	g.forget("member")
	if !g.Contains("member") {
		t.Error("forgotten, but not on the blacklist")
	}
	g.remember("member")
	if g.Contains("member") {
		t.Error("remembered, but on the blacklist")
	}
	subs := []*pb.RPC_SubOpts{
		{Subscribe: proto.Bool(true), Topicid: proto.String("/other")},
		{Subscribe: proto.Bool(true), Topicid: proto.String(Name)},
		{},
	}
	got, err := g.FilterIncomingSubscriptions("member", subs)
	if err != nil || len(got) != 1 || got[0].GetTopicid() != Name {
		t.Errorf("subscriptions %v, %v, want the community's alone", got, err)
	}
	if _, err := g.FilterIncomingSubscriptions("outsider", subs); !errors.Is(err, errOutsider) {
		t.Errorf("an outsider's subscription: %v", err)
	}
}

// FuzzGate gives the gate whatever the library can parse.
func FuzzGate(f *testing.F) {
	whole, err := proto.Marshal(&pb.RPC{
		Publish:       []*pb.Message{{Data: []byte("x")}, {}},
		Subscriptions: []*pb.RPC_SubOpts{{Topicid: proto.String(Name), Subscribe: proto.Bool(true)}, {}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(whole)
	f.Fuzz(func(t *testing.T, raw []byte) {
		rpc := new(pubsub.RPC)
		if proto.Unmarshal(raw, &rpc.RPC) != nil {
			return
		}
		g := openGate(nil)
		if g.inspect("outsider", rpc) == nil {
			t.Error("an outsider's RPC was let in")
		}
		_ = g.inspect("member", rpc)
		subs, err := g.FilterIncomingSubscriptions("member", rpc.GetSubscriptions())
		if err != nil {
			t.Error(err)
		}
		for _, s := range subs {
			if s.GetTopicid() != Name {
				t.Errorf("topic %q was let in", s.GetTopicid())
			}
		}
	})
}

// Whatever the distances, every admitted peer gets one copy, and none that is nearer comes before one that is farther.
func TestFarthestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		far := rapid.SliceOfN(rapid.Int64Range(0, 5), 0, 30).Draw(t, "distances")
		distance := func(p peer.ID) time.Duration { return time.Duration(far[p[0]]) }
		admit := func(p peer.ID) bool { return p[0]%3 != 0 }
		o := &order{admit: admit, distance: distance}
		var want []peer.ID
		for i := range far {
			p := peer.ID([]byte{byte(i)})
			o.AddRPC(p, "id", new(pubsub.RPC))
			if admit(p) {
				want = append(want, p)
			}
		}
		var got []peer.ID
		last := time.Hour
		for p := range o.All() {
			d := distance(p)
			if d == 0 {
				d = time.Hour // unknown: perhaps the farthest
			}
			if d > last {
				t.Fatalf("a peer at %v after one at %v", d, last)
			}
			last = d
			got = append(got, p)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("copies for %d peers, want %d", len(got), len(want))
		}
	})
}

func TestOrderStopsWhenAsked(t *testing.T) {
	o := &order{admit: func(peer.ID) bool { return true }}
	o.AddRPC("a", "id", new(pubsub.RPC))
	o.AddRPC("b", "id", new(pubsub.RPC))
	n := 0
	for range o.All() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d copies after break", n)
	}
}
