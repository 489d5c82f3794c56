package node_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"google.golang.org/protobuf/proto"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// What an outsider sees that is connected to all members of a room does not depend on whether there is one: the same streams of the
// same protocols, with the same frames in them. Twice the same days are told, with a room from its founding to its end and without, and
// each time with the same keys and disks; then all that went over the outsiders' streams is compared, with signatures, times and
// hashes of what is signed masked.
func TestOutsiderSeesNoRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	nodetest.Run(t, 460, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		outsiders := []*nodetest.Team{w.As("cz"), w.As("fr")}
		w.Wait(time.Minute)
		known := map[string]string{}
		for _, tm := range w.Teams() {
			known[string(tm.ID[:])] = tm.Name
			for _, n := range at.Knows(tm).Nodes {
				known[string(n.KID[:])] = "node of " + tm.Name
			}
		}
		from := make([]int, len(outsiders))
		for i, o := range outsiders {
			_, from[i] = o.Lines(0)
		}
		var seen [3][]map[string]int
		tell := func(run int, rooms bool) func() {
			return func() {
				var room, secret protocol.Hash
				chapter := func(length time.Duration, story func()) {
					t.Helper()
					start := time.Now()
					if rooms {
						story()
					}
					took := time.Since(start)
					if took > length {
						t.Fatalf("a chapter takes %v, and has %v", took, length)
					}
					w.Wait(length - took)
				}
				at.Sends(tlp.Green, "first to all")
				chapter(10*time.Minute, func() {
					room = w.FoundRoom(node.RoomTerms{Incident: true}, []*nodetest.Team{at, de}, []*nodetest.Team{pl})
					for n := range 10 {
						says(room, at, fmt.Sprint("word ", n), de, pl)
						says(room, pl, fmt.Sprint("answer ", n), de, at)
					}
					secret = at.SendsFileTo(nodetest.InRoom(room), tlp.Amber, "dump.txt", nodetest.Document("a dump", 100_000))
					de.Holds(secret)
					de.HoldsOut(room, pl)
					at.SeesMember(room, pl, trust.StandingHeld)
					says(room, at, "without pl", de)
				})
				de.Sends(tlp.Green, "then to all")
				w.Passes(days(16)) // over the hold; keys are renewed
				chapter(10*time.Minute, func() {
					at.SeesMember(room, pl, trust.StandingMember)
					w.Decide(room, at.Amends(room, node.RoomTerms{EpochDays: 5, Ceiling: tlp.Amber}), at, de)
					for n := range 5 {
						says(room, de, fmt.Sprint("more ", n), at, pl)
					}
					pl.LeavesRoom(room)
					at.SeesMember(room, pl, trust.StandingLeft)
					w.Decide(room, de.ClosesRoom(room), at, de)
				})
				for i, o := range outsiders {
					var ls []nodetest.Line
					ls, from[i] = o.Lines(from[i])
					seen[run] = append(seen[run], canonical(t, ls, known))
				}
			}
		}
		w.Each(tell(0, false), tell(1, true), tell(2, false))
		for i, o := range outsiders {
			for run := 1; run < len(seen); run++ {
				for what := range maps.Keys(union(seen[0][i], seen[run][i])) {
					if a, b := seen[0][i][what], seen[run][i][what]; a != b {
						t.Errorf("%s, story %d: %d times, and without a room %d times: %.300s", o.Name, run, b, a, what)
					}
				}
			}
		}
	})
}

func union(a, b map[string]int) map[string]int {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

// canonical returns what an outsider's streams say, and how often.
func canonical(t *testing.T, ls []nodetest.Line, known map[string]string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, l := range ls {
		head := fmt.Sprintf("%s, opened by it %t, came to it %t: ", l.Protocol, l.Opened, l.Came)
		switch {
		case strings.HasPrefix(l.Protocol, "/ipfs/ping/"):
			// One exchange a minute from when a connection stands, of 32 random bytes.
			if len(l.Data)%32 != 0 {
				t.Errorf("%s%d bytes", head, len(l.Data))
			}
		case strings.HasPrefix(l.Protocol, "/meshsub/"):
			for said := range gossiped(t, l.Data, known) {
				out["gossip: "+said] = 1 // how often each neighbour repeats it is a matter of who is first
			}
		case l.Protocol == nodetest.Hello:
			out[head+mask(l.Data, known)]++
		default:
			var frames []string
			r := bufio.NewReader(bytes.NewReader(l.Data))
			for {
				n, err := binary.ReadUvarint(r)
				if err != nil {
					break
				}
				b := make([]byte, n)
				if _, err := io.ReadFull(r, b); err != nil {
					frames = append(frames, "cut")
					break
				}
				frames = append(frames, fmt.Sprint(n, " bytes ", mask(b, known)))
			}
			out[head+strings.Join(frames, "; ")]++
		}
	}
	return out
}

// gossiped returns what was published over a stream of the community topic, and to which topics the rest of it is.
func gossiped(t *testing.T, data []byte, known map[string]string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	r := bufio.NewReader(bytes.NewReader(data))
	for {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return out
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return out
		}
		var rpc pb.RPC
		if err := proto.Unmarshal(b, &rpc); err != nil {
			t.Fatalf("gossip that cannot be read: %v", err)
		}
		for _, s := range rpc.Subscriptions {
			out["topic "+s.GetTopicid()] = true
		}
		for _, m := range rpc.Publish {
			out[fmt.Sprintf("in %s %d bytes %s", m.GetTopic(), len(m.GetData()), mask(m.GetData(), known))] = true
		}
		for _, g := range rpc.GetControl().GetGraft() {
			out["topic "+g.GetTopicID()] = true
		}
		for _, i := range rpc.GetControl().GetIhave() {
			out["topic "+i.GetTopicID()] = true
		}
	}
}

// mask writes CBOR as text. Teams and nodes are named, great numbers are times, and other bytes are their length.
func mask(b []byte, known map[string]string) string {
	var v any
	if err := cbor.Unmarshal(b, &v); err != nil {
		return fmt.Sprint(len(b), " bytes of something else")
	}
	var text func(v any) string
	text = func(v any) string {
		switch v := v.(type) {
		case uint64:
			if v > 1<<28 {
				return "T"
			}
			return fmt.Sprint(v)
		case []byte:
			if name, ok := known[string(v)]; ok {
				return name
			}
			var inner any
			if rest, err := cbor.UnmarshalFirst(v, &inner); err == nil && len(rest) == 0 && len(v) > 64 {
				return "<" + text(inner) + ">"
			}
			return fmt.Sprint("b", len(v))
		case []any:
			var all []string
			for _, x := range v {
				all = append(all, text(x))
			}
			return "[" + strings.Join(all, " ") + "]"
		case map[any]any:
			var all []string
			for k, x := range v {
				all = append(all, text(k)+":"+text(x))
			}
			slices.Sort(all)
			return "{" + strings.Join(all, " ") + "}"
		case string:
			if len(v) > 100 { // a key
				return fmt.Sprint("s", len(v))
			}
			return v
		}
		return fmt.Sprintf("%T", v)
	}
	return text(v)
}
