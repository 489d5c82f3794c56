package catchup

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

func hash(s string) protocol.Hash { return protocol.Sum("test", []byte(s)) }

func kidOf(s string) protocol.KID { h := hash(s); return protocol.KID(h[:16]) }

func TestRequestBounds(t *testing.T) {
	good := map[string]request{
		"frontier": {Kind: kindFrontier, Digest: hash("d")},
		"heads":    {Kind: kindHeads, Nodes: []protocol.KID{{1}, {2}}},
		"range":    {Kind: kindRange, Feed: hash("f"), From: 1, To: 1001},
		"reverse":  {Kind: kindRange, Feed: hash("f"), From: 7, To: 8, Reverse: true},
		"last":     {Kind: kindRange, Feed: hash("f"), From: MaxSeq, To: MaxSeq + 1},
		"blob":     {Kind: kindBlob, Blob: hash("b"), Offset: 5},
		"digests":  {Kind: kindDigests, Digest: hash("d")},
		"records":  {Kind: kindRecords, Team: hash("t")},
	}
	for name, r := range good {
		data, err := protocol.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > maxRequest {
			t.Errorf("%s: %d bytes: a request has at most %d", name, len(data), maxRequest)
		}
		if got, err := frame.Decode[request](data); err != nil || !got.same(&r) || got.Kind != r.Kind {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	bad := map[string]request{
		"no kind":         {Digest: hash("d")},
		"unknown kind":    {Kind: 7, Digest: hash("d")},
		"no digest":       {Kind: kindFrontier},
		"foreign field":   {Kind: kindFrontier, Digest: hash("d"), From: 1},
		"no nodes":        {Kind: kindHeads},
		"nodes unordered": {Kind: kindHeads, Nodes: []protocol.KID{{2}, {1}}},
		"node twice":      {Kind: kindHeads, Nodes: []protocol.KID{{1}, {1}}},
		"from zero":       {Kind: kindRange, Feed: hash("f"), To: 5},
		"empty range":     {Kind: kindRange, Feed: hash("f"), From: 5, To: 5},
		"too long":        {Kind: kindRange, Feed: hash("f"), From: 1, To: 1002},
		"too far":         {Kind: kindRange, Feed: hash("f"), From: MaxSeq + 1, To: MaxSeq + 2},
		"no feed":         {Kind: kindRange, From: 1, To: 2},
		"offset too far":  {Kind: kindBlob, Blob: hash("b"), Offset: protocol.MaxBlob + 1},
		"no team":         {Kind: kindRecords},
	}
	for name, r := range bad {
		data, err := protocol.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := frame.Decode[request](data); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

func TestLargestRequestFits(t *testing.T) {
	r := request{Kind: kindHeads}
	for i := range MaxEntries {
		r.Nodes = append(r.Nodes, protocol.KID(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i+1))))
	}
	data, err := protocol.Marshal(&r)
	if err != nil || r.Check() != nil || len(data) > maxRequest {
		t.Errorf("%d bytes, %v: at most %d", len(data), err, maxRequest)
	}
	page := frontierPage{Digest: hash("d"), More: true}
	for i := range MaxEntries {
		f := protocol.Hash(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i+1)))
		page.Entries = append(page.Entries, Entry{Node: kidOf("n"), Team: hash("t"), Feed: f, First: MaxSeq - 9, Next: MaxSeq - 5, Head: hash("h"), Max: MaxSeq,
			Heads: 1 << 62, Holes: []hole{{From: MaxSeq - 5, To: MaxSeq}}})
	}
	if data, err = protocol.Marshal(&page); err != nil || page.Check() != nil || len(data) > maxFrame {
		t.Errorf("%d bytes, %v, %v: at most %d", len(data), err, page.Check(), maxFrame)
	}
}

func TestEntryBounds(t *testing.T) {
	base := Entry{Node: kidOf("n"), Team: hash("t"), Feed: hash("f"), First: 3, Next: 10, Head: hash("h")}
	for name, c := range map[string]struct {
		change func(*Entry)
		ok     bool
	}{
		"plain":             {func(*Entry) {}, true},
		"nothing held":      {func(e *Entry) { e.Next, e.Head = 3, protocol.Hash{} }, true},
		"with a hole":       {func(e *Entry) { e.Max, e.Holes = 12, []hole{{From: 10, To: 12}} }, true},
		"with two":          {func(e *Entry) { e.Max, e.Holes = 15, []hole{{From: 10, To: 12}, {From: 13, To: 15}} }, true},
		"no node":           {func(e *Entry) { e.Node = protocol.KID{} }, false},
		"first 0":           {func(e *Entry) { e.First = 0 }, false},
		"next before first": {func(e *Entry) { e.Next = 2 }, false},
		"no head":           {func(e *Entry) { e.Head = protocol.Hash{} }, false},
		"max without hole":  {func(e *Entry) { e.Max = 12 }, false},
		"hole without max":  {func(e *Entry) { e.Holes = []hole{{From: 10, To: 12}} }, false},
		"hole not at next":  {func(e *Entry) { e.Max, e.Holes = 14, []hole{{From: 11, To: 12}} }, false},
		"hole beyond max":   {func(e *Entry) { e.Max, e.Holes = 12, []hole{{From: 10, To: 13}} }, false},
		"holes touch":       {func(e *Entry) { e.Max, e.Holes = 15, []hole{{From: 10, To: 12}, {From: 12, To: 15}} }, false},
		"max at next":       {func(e *Entry) { e.Max = 10 }, false},
		"astronomic":        {func(e *Entry) { e.Max, e.Holes = MaxSeq+1, []hole{{From: 10, To: 12}} }, false},
	} {
		e := base
		c.change(&e)
		if err := e.Check(); (err == nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEntryOfAnExtent(t *testing.T) {
	for name, x := range map[string]Extent{
		"nothing":    {First: 1, Next: 1},
		"zero":       {},
		"whole":      {First: 4, Next: 9, Max: 8, Head: hash("h")},
		"holes":      {First: 1, Next: 5, Max: 9, Head: hash("h"), Gaps: []Span{{5, 6}, {8, 9}}},
		"holes left": {First: 1, Next: 5, Max: 9, Head: hash("h")},
		"from holes": {First: 1, Next: 1, Max: 9, Gaps: []Span{{1, 9}}},
	} {
		x.Node, x.Team, x.Feed = kidOf("n"), hash("t"), hash("f")
		if en := entryOf(x, 5); en.Check() != nil {
			t.Errorf("%s: %+v: %v", name, en, en.Check())
		}
	}
}

func TestDigestTellsHolesApart(t *testing.T) {
	x := Extent{Node: kidOf("n"), Team: hash("t"), Feed: hash("f"), First: 1, Next: 5, Head: hash("h"), Max: 9, Gaps: []Span{{5, 6}, {7, 8}}}
	y, z := x, x
	y.Gaps = []Span{{5, 6}, {8, 9}}
	z.First = 3
	d := func(x Extent) protocol.Hash { return frontierDigest([]Entry{entryOf(x, 1)}) }
	if d(x) == d(y) {
		t.Error("different holes, one digest")
	}
	if d(x) != d(z) {
		t.Error("retention alone makes two nodes differ")
	}
}

// fuzzFrame checks that whatever a decoder accepts is within its bounds and is the one encoding of itself.
func fuzzFrame[T any, P interface {
	*T
	frame.Checker
}](f *testing.F, seeds ...P) {
	for _, s := range seeds {
		data, err := protocol.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte(strings.Repeat("\x81", 30)))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := frame.Decode[T, P](data)
		if err != nil {
			return
		}
		if err := P(v).Check(); err != nil {
			t.Fatalf("accepted and out of bounds: %v", err)
		}
		again, err := protocol.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := frame.Decode[T, P](again); err != nil {
			t.Fatalf("its own encoding is refused: %v, %+v", err, w)
		}
	})
}

func FuzzRequest(f *testing.F) {
	fuzzFrame(f, &request{Kind: kindRange, Feed: hash("f"), From: 1, To: 3, Reverse: true}, &request{Kind: kindHeads, Nodes: []protocol.KID{{1}, {2}}},
		&request{Kind: kindBlob, Blob: hash("b"), Offset: 9}, &request{Kind: kindRecords, Team: hash("t")})
}

func FuzzFrontierPage(f *testing.F) {
	fuzzFrame(f, &frontierPage{Digest: hash("d"), Entries: []Entry{{Node: kidOf("n"), Team: hash("t"), Feed: hash("f"), First: 1, Next: 2, Head: hash("h"),
		Max: 9, Heads: 3, Holes: []hole{{From: 2, To: 4}}}}}, &frontierPage{Digest: hash("d")})
}

func FuzzHeadsPage(f *testing.F) {
	fuzzFrame(f, &headsPage{Heads: [][]byte{{1}, {2, 3}}, More: true}, &headsPage{})
}

func FuzzRangePage(f *testing.F) {
	fuzzFrame(f, &rangePage{Parcels: [][]byte{{1}, {2}}, Rest: true, First: 4}, &rangePage{Parcels: [][]byte{{1}}, More: true})
}

func FuzzBlobPage(f *testing.F) {
	fuzzFrame(f, &blobPage{Size: 9, Data: []byte("x"), More: true}, &blobPage{})
}

func FuzzDigestsPage(f *testing.F) {
	fuzzFrame(f, &digestsPage{Digest: hash("d"), Teams: []teamDigest{{hash("t"), hash("u")}}})
}
