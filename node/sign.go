package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// A signer gives out this node's signatures over statements, parcels and heads. It keeps the one promise that a node must
// never break: one sequence number, one content.
//
// The order is: store, synced; then the guard file, synced; then the network. So the store holds everything that ever left
// this node, unless it is not the store that this node left: one restored from a backup, or a clone. The guard (a file
// outside backups) or any peer shows that, and the signer stops until an officer certified a new node key.
type signer struct {
	mu       sync.Mutex // held from taking a sequence number to its commit
	guard    *keyring.Guard
	clock    protocol.HLC // guarded by mu
	heads    []byte       // guarded by mu; the last signed heads, encoded
	headsN   uint64       // guarded by mu; its counter
	headsAt  time.Time    // guarded by mu; when it was signed
	headsExt store.Extent // guarded by mu; what it says of the community feed

	state   sync.Mutex
	stopped string // guarded by state; why this node does not sign, "" if it does
	failed  string // guarded by state; as stopped, until the next start
	asked   bool   // guarded by state; a peer has told how far it knows our feed since the start
	askedCh chan struct{}
}

// open opens the guard file, which was made with the node's key. A missing, damaged or foreign one is what a restored home
// has: nothing is signed until the key was replaced, which begins a new file.
func (s *signer) open(n *Node) error {
	s.askedCh = make(chan struct{})
	g, err := keyring.OpenGuard(guardPath(n.cfg.Home), n.kid, n.ring.Former())
	if err != nil {
		n.log.Error("the file of heads cannot be used", "err", err)
	} else {
		s.guard = g
	}
	if err := s.reconsider(n); err != nil || s.why() != "" {
		return err
	}
	// What a crash kept from leaving may be served from now on, so it is marked first.
	feed := communityFeed(n.kid)
	ext, held, err := n.st.Extent(feed)
	if mark, _ := s.guard.Mark(feed); err != nil || !held || ext.Max <= mark.Seq {
		return err
	}
	id, err := n.newestID(ext)
	if err != nil {
		return err
	}
	return s.guard.Advance(map[protocol.FeedID]keyring.Mark{feed: {Seq: ext.Max, Hash: id}})
}

func guardPath(home string) string { return filepath.Join(home, "heads") }

// reconsider judges anew whether this node may sign: after its start, after officers changed the manifest, and when peers
// handed over entries of its own feed.
func (s *signer) reconsider(n *Node) error {
	feed := communityFeed(n.kid)
	var mark keyring.Mark
	if s.guard != nil {
		mark, _ = s.guard.Mark(feed) // before the extent, which only grows: a message signed meanwhile must not look lost
	}
	ext, _, err := n.st.Extent(feed)
	if err != nil {
		return err
	}
	info, _ := n.author(n.team, n.kid)
	q := trust.Signing{Listed: !info.Team.IsZero() && !info.Revoked, Guarded: s.guard != nil, Held: ext.Max, Forked: ext.Forked}
	if s.guard != nil {
		q.Mark = mark.Seq
		if q.Held == q.Mark {
			id, err := n.newestID(ext)
			q.Forked = q.Forked || err == nil && id != mark.Hash
		}
	}
	if q.Held > q.Mark {
		if q.Foreign, err = n.cameFromPeer(feed, ext.Max); err != nil {
			return err
		}
	}
	why := trust.MaySign(q)
	s.state.Lock()
	defer s.state.Unlock()
	if s.failed != "" {
		why = s.failed
	}
	if why != "" && why != s.stopped {
		n.log.Error("this node does not sign", "why", why)
	}
	s.stopped = why
	return nil
}

// fail stops signing until the node is started anew.
func (s *signer) fail(why string) {
	s.state.Lock()
	defer s.state.Unlock()
	s.failed, s.stopped = why, why
}

// cameFromPeer reports whether an entry of this node's own feed was handed over by somebody else.
func (n *Node) cameFromPeer(f protocol.FeedID, seq uint64) (foreign bool, err error) {
	err = n.st.Range(f, seq, seq, false, func(_ uint64, raw []byte) bool {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel)
		if err != nil {
			return false
		}
		p, err := protocol.Decode[protocol.Parcel](env)
		if err != nil {
			return false
		}
		st, err := protocol.DecodeEnvelope(p.Body, protocol.MaxParcel)
		if err != nil {
			return false
		}
		m, err := n.st.Message(st.ID())
		foreign = err == nil && m.Via != ""
		return false
	})
	return foreign, err
}

// why returns why this node does not sign; "" if it does.
func (s *signer) why() string {
	s.state.Lock()
	defer s.state.Unlock()
	return s.stopped
}

// peerAnswered notes that a peer told what it holds of our feeds, and all of that is in our store by now.
func (s *signer) peerAnswered() {
	s.state.Lock()
	defer s.state.Unlock()
	if !s.asked {
		s.asked = true
		close(s.askedCh)
	}
}

func (s *signer) close() error {
	if s.guard == nil {
		return nil
	}
	return s.guard.Close()
}

// askFirst is how long a node that has spoken before waits, after its start, for a first peer to tell whether it knows of
// more than the store does. A node that nobody can be reached from signs after it.
const askFirst = 10 * time.Second

// ready waits until this node may sign, or says why it may not.
func (n *Node) readyToSign(ctx context.Context) error {
	if why := n.signer.why(); why != "" {
		return &RefusedError{Rule: "signing-stopped", Reason: why,
			Hint: "when the node has caught up, certify a new node key: entente node replace"}
	}
	if !n.joined.Load() {
		return fmt.Errorf("the node is not running")
	}
	feed := communityFeed(n.kid)
	if _, spoke, err := n.st.Extent(feed); err != nil || !spoke {
		return err
	}
	if wait := n.startedAt.Add(askFirst).Sub(n.now()); wait > 0 && n.knowsOthers() {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-n.signer.askedCh:
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if why := n.signer.why(); why != "" {
		return n.readyToSign(ctx)
	}
	return nil
}

// append signs the statement and its parcel as the next entry of the community feed, keeps both, and returns the parcel's
// encoding for the network. The statement's author, node and clock are set here.
func (n *Node) append(st *protocol.Statement) (raw []byte, id protocol.Hash, err error) {
	s := &n.signer
	s.mu.Lock()
	defer s.mu.Unlock()
	if why := s.why(); why != "" {
		return nil, id, &RefusedError{Rule: "signing-stopped", Reason: why}
	}
	now := n.now()
	feed := protocol.FeedOf(n.kid, st.Audience)
	ext, _, err := n.st.Extent(feed)
	if err != nil {
		return nil, id, err
	}
	prev, err := n.newestID(ext)
	if err != nil {
		return nil, id, err
	}
	s.clock = s.clock.Next(now)
	st.Author, st.Node, st.Clock = n.team, n.kid, s.clock
	key := n.ring.NodeKey()
	stEnv, err := protocol.Sign(st, key)
	if err != nil {
		return nil, id, err
	}
	p := &protocol.Parcel{Team: n.team, Node: n.kid, Feed: feed, Seq: ext.Max + 1, Prev: prev, Class: protocol.Normal, Body: stEnv.Encode()}
	if st.Urgent {
		p.Class = protocol.Urgent
	}
	if st.Body.External() {
		p.Blob = &protocol.BlobRef{Size: st.Body.Size, Hash: st.Body.Hash}
	}
	env, err := protocol.Sign(p, key)
	if err != nil {
		return nil, id, err
	}
	raw = env.Encode()
	entry := store.Entry{Envelope: env, Raw: raw, Parcel: p, StatementID: stEnv.ID(), Statement: st}
	entry.Node, _ = n.author(n.team, n.kid)
	out, err := n.accept([]store.Entry{entry})
	if err != nil {
		return nil, id, err
	}
	if out[0].Err != nil {
		return nil, id, out[0].Err
	}
	if out[0].Verdict != trust.Accept {
		return nil, id, fmt.Errorf("message %d was not kept: the store says %s", p.Seq, out[0].Verdict)
	}
	if err := s.guard.Advance(map[protocol.FeedID]keyring.Mark{feed: {Seq: p.Seq, Hash: env.ID()}}); err != nil {
		s.fail("the file that remembers what this node signed could not be written: " + err.Error())
		return nil, id, fmt.Errorf("the message is kept but was not sent: %w", err)
	}
	return raw, stEnv.ID(), nil
}

// marked returns up to where this node's own feed may be handed out: not what was committed a moment ago and is not in the
// guard file yet.
func (s *signer) marked(n *Node, f protocol.FeedID) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ext, _, err := n.st.Extent(f)
	return ext.Max, err
}

// headsFresh is for how long one word on the heads of a feed that does not grow is good enough.
const headsFresh = 10 * time.Minute

// ownHeads returns this node's signed word on how far its feed reaches, signing it anew if it grew. nil: it has not spoken,
// or does not sign.
func (n *Node) ownHeads() ([]byte, error) {
	s := &n.signer
	s.mu.Lock()
	defer s.mu.Unlock()
	feed := communityFeed(n.kid)
	ext, held, err := n.st.Extent(feed)
	if err != nil || !held || ext.Next == ext.First || s.why() != "" {
		return nil, err
	}
	now := n.now()
	if s.heads != nil && s.headsExt.Next == ext.Next && s.headsExt.First == ext.First && now.Sub(s.headsAt) < headsFresh {
		return s.heads, nil
	}
	if s.headsN == 0 { // the clock may have been ahead before the start
		_, last, err := n.st.Heads(n.kid)
		if err == nil {
			s.headsN = last.N
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	s.headsN = max(s.headsN+1, uint64(now.UnixMilli()))
	h := &protocol.Heads{Team: n.team, Node: n.kid, N: s.headsN, Time: uint64(now.Unix()),
		Feeds: []protocol.Head{{Feed: feed, First: ext.First, Seq: ext.Next - 1, Hash: ext.Head}}}
	env, err := protocol.Sign(h, n.ring.NodeKey())
	if err != nil {
		return nil, err
	}
	if err := n.st.PutHeads(env, h); err != nil {
		return nil, err
	}
	s.heads, s.headsExt, s.headsAt = env.Encode(), ext, now
	return s.heads, nil
}

// newestID returns the id of the newest entry of a feed, also if it is past its retention; the zero Hash of an empty feed.
func (n *Node) newestID(x store.Extent) (protocol.Hash, error) {
	if x.Max == x.Next-1 && !x.Head.IsZero() {
		return x.Head, nil
	}
	return n.entryID(x.Feed, x.Max)
}

// entryID returns the id of a held entry; the zero Hash for seq 0.
func (n *Node) entryID(f protocol.FeedID, seq uint64) (id protocol.Hash, err error) {
	if seq == 0 {
		return id, nil
	}
	err = n.st.Range(f, seq, seq, false, func(_ uint64, raw []byte) bool {
		if e, err := protocol.DecodeEnvelope(raw, protocol.MaxParcel); err == nil {
			id = e.ID()
		}
		return false
	})
	if err == nil && id.IsZero() {
		err = fmt.Errorf("message %d of this node is damaged in the store and is being fetched again: try later", seq)
	}
	return id, err
}
