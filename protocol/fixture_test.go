package protocol

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/entente-network/entente/protocol/tlp"
)

// The keys of the tests, from seeds that are never used elsewhere.
var (
	nodeKey     = testKey(Ed25519, 1)
	otherNode   = testKey(Ed25519, 2)
	rootKey     = testKey(Hybrid, 3)
	officerKey  = testKey(Hybrid, 4)
	recoveryKey = testKey(Hybrid, 5)
	newRootKey  = testKey(Hybrid, 6)
)

const testTime = 1_700_000_000 // Unix seconds

func testKey(s Suite, n byte) *PrivateKey {
	var seed [32]byte
	seed[31] = n
	return must(KeyFromSeed(s, seed))
}

// sign signs the record, without leave for failure.
func sign(t testing.TB, r Record, keys ...*PrivateKey) *Envelope {
	t.Helper()
	e, err := Sign(r, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// An example is a valid record of a type, with the keys and the use that sign it.
type example struct {
	name   string
	record Record
	use    Use
	keys   []*PrivateKey
}

func (x example) public() []PublicKey {
	var ks []PublicKey
	for _, k := range x.keys {
		ks = append(ks, k.Public())
	}
	return ks
}

// examples returns at least one record of each type; everything in them is made from fixed seeds. The caller owns them.
func examples() []example {
	first := exampleRoot()
	team := must(Sign(first)).ID()
	set := SealedSet{Keys: []PublicKey{recoveryKey.Public()}, Threshold: 1, Salt: [16]byte{7}}
	recovered := exampleRoot()
	recovered.Team, recovered.N, recovered.Prev, recovered.Path = team, 1, team, PathSealed
	recovered.Keys = []PublicKey{newRootKey.Public()}
	recovered.Sealed = Sum("next")
	recovered.Floor = &Floor{Version: 3, Manifest: Sum("manifest")}
	recovered.Reason, recovered.Reveal = "the safe was opened by strangers", &set
	node := nodeKey.Public().ID()
	st := exampleStatement()
	correction := exampleStatement()
	correction.Kind, correction.Supersedes, correction.Urgent = KindCorrection, must(Sign(st)).ID(), true
	correction.Refs, correction.Sources = []Hash{Sum("r")}, []Hash{Sum("a"), Sum("b")}
	correction.Body = Body{Format: "misp", Name: "event.json", Size: MaxInline + 1, Hash: Sum("a large body")}
	return append([]example{
		{"root", first, UseRoot, []*PrivateKey{rootKey}},
		{"root-recovered", recovered, UseSealed, []*PrivateKey{recoveryKey}},
		{"manifest", exampleManifest(), UseOfficer, []*PrivateKey{officerKey}},
		{"card", exampleCard(), UseOfficer, []*PrivateKey{officerKey}},
		{"attest", &Attest{Issuer: Sum("at"), Subject: Sum("de"), Method: "phone", Issued: testTime, Expires: testTime + 86400},
			UseOfficer, []*PrivateKey{officerKey}},
		{"cutoff", &Cutoff{Team: Sum("at"), Node: node, Feed: FeedOf(node, Channel{}), LastSeq: 9, LastHash: Sum("nine"),
			Void: []uint64{3, 7}, Issued: testTime}, UseOfficer, []*PrivateKey{officerKey}},
		{"address", &Address{Team: Sum("at"), Node: node, Seq: testTime * 1000, Addrs: []string{"/ip4/192.0.2.1/udp/4001/quic-v1"},
			Issued: testTime, Expires: testTime + 86400}, UseNode, []*PrivateKey{nodeKey}},
		{"heads", &Heads{Team: Sum("at"), Node: node, N: testTime * 1000, Time: testTime,
			Feeds: []Head{{Feed: FeedOf(node, Channel{}), First: 1, Seq: 9, Hash: Sum("nine")}}}, UseNode, []*PrivateKey{nodeKey}},
		{"statement", st, UseNode, []*PrivateKey{nodeKey}},
		{"statement-correction", correction, UseNode, []*PrivateKey{nodeKey}},
		{"parcel", exampleParcel(st, 1), UseNode, []*PrivateKey{nodeKey}},
		{"parcel-blob", exampleParcel(correction, 2), UseNode, []*PrivateKey{nodeKey}},
	}, append(sealedExamples(), roomExamples()...)...)
}

// exampleOf returns the first example of the type.
func exampleOf(t testing.TB, typ Type) example {
	t.Helper()
	xs := examples()
	i := slices.IndexFunc(xs, func(x example) bool { return x.record.recordType() == typ })
	if i < 0 {
		t.Fatalf("no example of %s", typ)
	}
	return xs[i]
}

func exampleRoot() *Root {
	set := SealedSet{Keys: []PublicKey{recoveryKey.Public()}, Threshold: 1, Salt: [16]byte{7}}
	return &Root{Path: PathRoot, Keys: []PublicKey{rootKey.Public()}, Threshold: 1,
		Officers:   []Officer{{Key: officerKey.Public(), Name: "Eva Muster", Acts: []Act{ActAttest, ActCard, ActManifest}}},
		Thresholds: []Threshold{{Act: ActManifest, K: 1}}, Sealed: set.Commitment(), Issued: testTime}
}

func exampleManifest() *Manifest {
	return &Manifest{Team: Sum("at"), Version: 2, Prev: Sum("manifest 1"), Root: Sum("root"), Issued: testTime, Expires: testTime + 86400,
		Nodes:     []Node{{Key: nodeKey.Public(), Peer: []byte{0, 36, 8, 1}, Name: "node 1", Recipient: "age1pq1example"}},
		Revoked:   []Revoked{{Node: Node{Key: otherNode.Public(), Peer: []byte{1}, Name: "node 0"}, At: testTime - 1, Why: "stolen"}},
		Operators: []Operator{{Name: "Max Muster", Recipient: "age1pq1operator"}}}
}

func exampleCard() *Card {
	return &Card{Team: Sum("at"), Version: 1, Issued: testTime, Name: "CERT.example", Country: "AT", FullName: "Computer Emergency Response Team Example",
		Host: "Example Foundation", Address: "Street 1\n1010 Vienna", TimeZone: "Europe/Vienna", Hours: "9-17",
		Phones: []Contact{{"incidents", "+43 1 000"}}, Mails: []Contact{{"incidents", "team@cert.example"}}, Web: "https://cert.example",
		Languages: []string{"de", "en"}, Services: []string{"incident response"},
		Constituency: Constituency{Countries: []string{"AT"}, ASNs: []uint32{64496}, Prefixes: []string{"192.0.2.0/24", "2001:db8::/32"},
			Domains: []string{"example"}, Sectors: []string{"government"}},
		Links: []Link{{"pgp", "0000"}}}
}

func exampleStatement() *Statement {
	body := []byte("Three hosts at the ministry answer to 192.0.2.7.")
	return &Statement{Author: Sum("at"), Node: nodeKey.Public().ID(), Salt: [16]byte{1, 2, 3}, Clock: HLC(testTime * 1000 << 16), Kind: KindMessage,
		Audience: Audience{Kind: Community}, Label: tlp.Green, Title: "Beacon to 192.0.2.7",
		Body: Body{Format: "text", Size: uint64(len(body)), Hash: sha256.Sum256(body), Inline: body}}
}

// exampleParcel puts the statement, signed with nodeKey, into the entry seq of the community feed.
func exampleParcel(st *Statement, seq uint64) *Parcel {
	p := &Parcel{Team: st.Author, Node: st.Node, Feed: FeedOf(st.Node, Channel{}), Seq: seq, Class: Normal, Body: must(Sign(st, nodeKey)).Encode()}
	if seq > 1 {
		p.Prev = Sum(fmt.Sprint(seq - 1))
	}
	if st.Urgent {
		p.Class = Urgent
	}
	if st.Body.External() {
		p.Blob = &BlobRef{Size: st.Body.Size, Hash: st.Body.Hash}
	}
	return p
}

// largest returns records near the limits: each must still be decodable.
var largest = sync.OnceValue(func() []example {
	root := exampleRoot()
	root.Keys, root.Officers = nil, nil
	for i := range byte(MaxKeys) {
		root.Keys = append(root.Keys, testKey(Hybrid, 100+i).Public())
		root.Officers = append(root.Officers, Officer{Key: testKey(Hybrid, 120+i).Public(), Name: strings.Repeat("n", MaxName), Acts: []Act{ActManifest}})
	}
	m := exampleManifest()
	m.Nodes, m.Revoked, m.Operators = nil, nil, nil
	recipient := "age1pq1" + strings.Repeat("q", 1952)
	for i := range MaxNodes {
		m.Nodes = append(m.Nodes, Node{Key: fakeKey(i), Peer: []byte{byte(i), 1}, Name: fmt.Sprint("node ", i), Recipient: recipient})
	}
	for i := range MaxRevoked {
		m.Revoked = append(m.Revoked, Revoked{Node: Node{Key: fakeKey(1000 + i), Peer: bytes.Repeat([]byte{1}, 38), Name: fmt.Sprint("old ", i)}, At: testTime})
	}
	for i := range MaxOperators {
		m.Operators = append(m.Operators, Operator{Name: fmt.Sprint("operator ", i), Recipient: recipient})
	}
	c := exampleCard()
	for i := len(c.Constituency.ASNs); i < MaxItems; i++ {
		c.Constituency.ASNs = append(c.Constituency.ASNs, uint32(100_000+i))
	}
	for i := len(c.Constituency.Prefixes); i < MaxItems; i++ {
		c.Constituency.Prefixes = append(c.Constituency.Prefixes, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
		c.Constituency.Domains = append(c.Constituency.Domains, fmt.Sprintf("network-%d.example", i))
	}
	h := &Heads{Team: Sum("at"), Node: nodeKey.Public().ID(), N: MaxCounter, Time: MaxTime}
	for i := range MaxHeads {
		h.Feeds = append(h.Feeds, Head{Feed: Hash{0: byte(i + 1)}, First: 1, Seq: MaxCounter, Hash: Sum("h")})
	}
	cut := &Cutoff{Team: Sum("at"), Node: nodeKey.Public().ID(), Feed: Sum("f"), LastSeq: MaxCounter, LastHash: Sum("l"), Issued: MaxTime}
	for i := range MaxVoid {
		cut.Void = append(cut.Void, MaxCounter-MaxVoid+uint64(i))
	}
	st := exampleStatement()
	inline := bytes.Repeat([]byte{'x'}, MaxInline)
	st.Title, st.Clock = strings.Repeat("t", MaxTitle), maxClock
	st.Body = Body{Format: strings.Repeat("f", MaxFormat), Name: strings.Repeat("n", MaxFile), Size: MaxInline, Hash: sha256.Sum256(inline), Inline: inline}
	for i := range MaxRefs {
		st.Refs = append(st.Refs, Sum("ref", []byte{byte(i)}))
		st.Sources = append(st.Sources, Sum("source", []byte{byte(i)}))
	}
	return append([]example{
		{"root", root, UseRoot, []*PrivateKey{rootKey}},
		{"manifest", m, UseOfficer, []*PrivateKey{officerKey}},
		{"card", c, UseOfficer, []*PrivateKey{officerKey}},
		{"heads", h, UseNode, []*PrivateKey{nodeKey}},
		{"cutoff", cut, UseOfficer, []*PrivateKey{officerKey}},
		{"statement", st, UseNode, []*PrivateKey{nodeKey}},
		{"parcel", exampleParcel(st, MaxCounter), UseNode, []*PrivateKey{nodeKey}},
	}, append(largestSealed(), largestRoom()...)...)
})

// fakeKey returns the public form of a node key that need not sign.
func fakeKey(n int) PublicKey {
	h := Sum("key", fmt.Append(nil, n))
	h[31] &= 0x3f
	return PublicKey{Suite: Ed25519, Ed: h}
}
