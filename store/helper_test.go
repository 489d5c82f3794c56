package store

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// thorough asks for all that tests can try, at several times the time.
var thorough = os.Getenv("ENTENTE_THOROUGH") != ""

// A check of a property opens a store, so fewer are made than rapid's hundred. The flag -rapid.checks overrides it.
func init() {
	if !thorough {
		if err := flag.Set("rapid.checks", "30"); err != nil {
			panic(err)
		}
	}
}

// testCipher is XChaCha20-Poly1305 with keys derived from a seed.
type testCipher struct {
	aead cipher.AEAD
	mac  []byte
}

func newTestCipher(seed string) *testCipher {
	k := sha256.Sum256([]byte("data " + seed))
	m := sha256.Sum256([]byte("term " + seed))
	a, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err)
	}
	return &testCipher{a, m[:]}
}

func (c *testCipher) Seal(plain, aad []byte) []byte {
	nonce := make([]byte, c.aead.NonceSize(), c.aead.NonceSize()+len(plain)+c.aead.Overhead())
	rand.Read(nonce)
	return c.aead.Seal(nonce, nonce, plain, aad)
}

func (c *testCipher) Open(b, aad []byte) ([]byte, error) {
	if len(b) < c.aead.NonceSize() {
		return nil, errors.New("short")
	}
	return c.aead.Open(nil, b[:c.aead.NonceSize()], b[c.aead.NonceSize():], aad)
}

func (c *testCipher) Term(term string) [16]byte {
	h := hmac.New(sha256.New, c.mac)
	h.Write([]byte(term))
	return [16]byte(h.Sum(nil))
}

// testKeys are the keys of a node, from a seed.
type testKeys struct {
	seed string
	mu   sync.Mutex
	aud  map[protocol.Hash]Cipher
	gone map[protocol.Hash]bool
}

func newTestKeys(seed string) *testKeys {
	return &testKeys{seed: seed, aud: map[protocol.Hash]Cipher{}, gone: map[protocol.Hash]bool{}}
}

func (k *testKeys) Local() Cipher       { return newTestCipher(k.seed + " local") }
func (k *testKeys) BadgerKey() [32]byte { return sha256.Sum256([]byte(k.seed + " badger")) }
func (k *testKeys) Audience(tag protocol.Hash) (Cipher, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone[tag] {
		return nil, errors.New("given up")
	}
	if k.aud[tag] == nil {
		k.aud[tag] = newTestCipher(k.seed + tag.String())
	}
	return k.aud[tag], nil
}

func (k *testKeys) drop(tag protocol.Hash) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone[tag] = true
}

var community = protocol.Audience{Kind: protocol.Community}

// An author is one node of a team that writes a feed.
type author struct {
	tb    testing.TB
	ch    protocol.Channel
	key   *protocol.PrivateKey
	node  trust.NodeInfo
	team  protocol.TeamID
	feed  protocol.FeedID
	epoch protocol.Hash // in a room
	seq   uint64
	head  protocol.Hash
	hlc   protocol.HLC
}

// newAuthor makes an author. The same name is the same team; the key is new.
func newAuthor(tb testing.TB, name string) *author {
	tb.Helper()
	var seed [32]byte
	rand.Read(seed[:])
	return authorOf(tb, name, seed)
}

// authorOf makes the author of a seed, so that another process knows it, too.
func authorOf(tb testing.TB, name string, seed [32]byte) *author {
	tb.Helper()
	k, err := protocol.KeyFromSeed(protocol.Ed25519, seed)
	if err != nil {
		tb.Fatal(err)
	}
	team := protocol.Sum("team " + name)
	return &author{tb: tb, key: k, team: team, feed: protocol.FeedOf(k.Public().ID(), protocol.Channel{}),
		node: trust.NodeInfo{Team: team, Node: protocol.Node{Key: k.Public(), Name: "n"}},
		hlc:  protocol.HLC(0).Next(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
}

// to returns the same node as the author of its feed for another team, under an agreement if that is not zero.
func (a *author) to(team string, agreement protocol.Hash) *author {
	b := *a
	b.ch = protocol.Between(a.team, protocol.Sum("team "+team), agreement)
	b.feed, b.seq, b.head = protocol.FeedOf(a.key.Public().ID(), b.ch), 0, protocol.Hash{}
	return &b
}

// in returns the same node as the author of its feed in a room, whose messages are sealed to an epoch.
func (a *author) in(room, epoch protocol.Hash) *author {
	b := *a
	b.ch, b.epoch = protocol.RoomChannel(room), epoch
	b.feed, b.seq, b.head = protocol.FeedOf(a.key.Public().ID(), b.ch), 0, protocol.Hash{}
	return &b
}

// audienceOf returns the audience of teams, in any order.
func audienceOf(agreement protocol.Hash, teams ...protocol.TeamID) protocol.Audience {
	slices.SortFunc(teams, func(a, b protocol.TeamID) int { return bytes.Compare(a[:], b[:]) })
	aud := protocol.Audience{Kind: protocol.Direct, Teams: teams, Agreement: agreement}
	if !agreement.IsZero() {
		aud.Kind = protocol.InAgreement
	}
	return aud
}

// own marks entries as made by this node.
func own(es ...Entry) []Entry {
	for i := range es {
		es[i].Via = ""
	}
	return es
}

// statement makes a statement with an inline body.
func (a *author) statement(title, body string) *protocol.Statement {
	a.hlc++
	aud := community
	switch {
	case !a.ch.Room().IsZero():
		aud = protocol.Audience{Kind: protocol.InRoom, Room: a.ch.Room(), Charter: protocol.Sum("charter"), Epoch: a.epoch}
	case !a.ch.IsCommunity():
		aud = audienceOf(a.ch.Agreement(), a.ch.Other(a.team))
	}
	st := &protocol.Statement{Author: a.team, Node: a.key.Public().ID(), Clock: a.hlc, Kind: protocol.KindMessage, Audience: aud,
		Label: tlp.Green, Title: title,
		Body: protocol.Body{Format: "text", Size: uint64(len(body)), Hash: sha256.Sum256([]byte(body)), Inline: []byte(body)}}
	rand.Read(st.Salt[:])
	return st
}

// entry signs the next entry of the feed.
func (a *author) entry(st *protocol.Statement) Entry {
	a.tb.Helper()
	e := a.sign(st, a.seq+1, a.head)
	a.seq, a.head = e.Parcel.Seq, e.Envelope.ID()
	return e
}

// sign signs an entry for any place.
func (a *author) sign(st *protocol.Statement, seq uint64, prev protocol.Hash) Entry {
	a.tb.Helper()
	se, err := protocol.Sign(st, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	p := &protocol.Parcel{Team: a.team, Node: a.key.Public().ID(), Feed: a.feed, Seq: seq, Prev: prev, Class: protocol.Normal, Body: se.Encode(), Blob: st.Outside(), Epoch: st.Audience.Epoch}
	var inner []byte
	if !a.ch.IsCommunity() {
		inner, p.Sealed = p.Body, true
		p.Body = newTestCipher("reader").Seal(inner, nil)
	}
	pe, err := protocol.Sign(p, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return Entry{Tag: a.ch.Tag(), Envelope: pe, Raw: pe.Encode(), Parcel: p, StatementID: se.ID(), Statement: st, Inner: inner, Node: a.node, Via: "peer"}
}

// entries signs the next n entries.
func (a *author) entries(n int) []Entry {
	a.tb.Helper()
	var out []Entry
	for range n {
		out = append(out, a.entry(a.statement("a title", "a body of "+rand.Text())))
	}
	return out
}

func (a *author) lookup(kid protocol.KID) (protocol.PublicKey, bool) {
	return a.key.Public(), kid == a.key.Public().ID()
}

// openTest opens a store in dir, or in memory if that is empty, and closes it with the test.
func openTest(tb testing.TB, dir string, o Options) *Store {
	tb.Helper()
	var s *Store
	var err error
	if dir == "" {
		s, err = OpenMemory(newTestKeys("test"), o)
	} else {
		s, err = Open(dir, newTestKeys("test"), o)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			tb.Error(err)
		}
	})
	return s
}

func mustAccept(tb testing.TB, s *Store, es ...Entry) []Outcome {
	tb.Helper()
	out, err := s.Accept(es)
	if err != nil {
		tb.Fatal(err)
	}
	for i, o := range out {
		if o.Err != nil || o.Verdict != trust.Accept {
			tb.Fatalf("entry %d of %d: got verdict %s, error %v, want accept", i, len(es), o.Verdict, o.Err)
		}
	}
	return out
}

// ids returns the statement ids of the inbox, in its order.
func ids(tb testing.TB, s *Store, q Query) []protocol.Hash {
	tb.Helper()
	var out []protocol.Hash
	if err := s.Inbox(q, func(m *Message) bool { out = append(out, m.ID); return true }); err != nil {
		tb.Fatal(err)
	}
	return out
}

// mustClean fails the test if Fsck finds anything.
func mustClean(tb testing.TB, s *Store, lookup func(protocol.KID) (protocol.PublicKey, bool)) *Report {
	tb.Helper()
	rep, err := s.Fsck(tb.Context(), FsckOptions{Lookup: lookup})
	if err != nil {
		tb.Fatal(err)
	}
	if rep.Found != 0 {
		tb.Fatalf("got %d problems, want none: %v", rep.Found, rep.Problems)
	}
	return rep
}

// indexAll indexes what is pending: each message under its title and "all".
func indexAll(tb testing.TB, s *Store) int {
	tb.Helper()
	n := 0
	for {
		ms, err := s.IndexPending(50)
		if err != nil {
			tb.Fatal(err)
		}
		if len(ms) == 0 {
			return n
		}
		var all []Terms
		for _, m := range ms {
			all = append(all, Terms{m.N, []string{"all", "title:" + m.Statement.Title}})
		}
		if err := s.IndexAll(all); err != nil {
			tb.Fatal(err)
		}
		n += len(all)
	}
}
