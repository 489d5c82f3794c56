package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/audit"
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
	mu    sync.Mutex // held from taking sequence numbers to their commit
	guard *keyring.Guard
	clock protocol.HLC              // guarded by mu
	words map[protocol.TeamID]*word // guarded by mu; the last signed heads, by whom they are for

	queue   sync.Mutex
	waiting []*utterance // guarded by queue; said next, all at once

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
	own, err := n.ownExtents()
	if err != nil {
		return err
	}
	marks := map[protocol.FeedID]keyring.Mark{}
	for _, ext := range own {
		if mark, _ := s.guard.Mark(ext.Feed); ext.Max > mark.Seq {
			id, err := n.newestID(ext)
			if err != nil {
				return err
			}
			marks[ext.Feed] = keyring.Mark{Seq: ext.Max, Hash: id}
		}
	}
	if len(marks) == 0 {
		return nil
	}
	return s.guard.Advance(marks)
}

// ownExtents returns how far each feed of this node is held.
func (n *Node) ownExtents() ([]store.Extent, error) {
	all, err := n.st.Extents()
	return slices.DeleteFunc(all, func(e store.Extent) bool { return e.Node != n.kid }), err
}

func guardPath(home string) string { return filepath.Join(home, "heads") }

// reconsider judges anew whether this node may sign: after its start, after officers changed the manifest, and when peers
// handed over entries of its own feeds.
func (s *signer) reconsider(n *Node) error {
	marks := map[protocol.FeedID]keyring.Mark{}
	if s.guard != nil {
		marks = s.guard.Marks() // before the extents, which only grow: what is said meanwhile must not look lost
	}
	own, err := n.ownExtents()
	if err != nil {
		return err
	}
	held := map[protocol.FeedID]store.Extent{communityFeed(n.kid): {}}
	for f := range marks {
		held[f] = store.Extent{Feed: f}
	}
	for _, ext := range own {
		held[ext.Feed] = ext
	}
	info, _ := n.author(n.team, n.kid)
	why := ""
	for f, ext := range held {
		q := trust.Signing{Listed: !info.Team.IsZero() && !info.Revoked, Guarded: s.guard != nil, Mark: marks[f].Seq, Held: ext.Max, Forked: ext.Forked}
		if s.guard != nil && q.Held == q.Mark && q.Held > 0 {
			id, err := n.newestID(ext)
			q.Forked = q.Forked || err == nil && id != marks[f].Hash
		}
		if q.Held > q.Mark {
			if q.Foreign, err = n.cameFromPeer(f, ext.Max); err != nil {
				return err
			}
		}
		if w := trust.MaySign(q); w != "" {
			why = w
			break
		}
	}
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

// cameFromPeer reports whether an entry of this node's own feeds was handed over by somebody else.
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
		if p.Sealed { // of what it sealed itself, a node knows what is inside
			_, err := n.st.StatementOf(env.ID())
			foreign = errors.Is(err, store.ErrNotFound)
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

// readyToSign waits until this node may sign, or says why it may not.
func (n *Node) readyToSign(ctx context.Context) error {
	if why := n.signer.why(); why != "" {
		return &RefusedError{Rule: "signing-stopped", Reason: why,
			Hint: "when the node has caught up, certify a new node key: entente node replace"}
	}
	if !n.joined.Load() {
		return fmt.Errorf("the node is not running")
	}
	if wait := n.startedAt.Add(askFirst).Sub(n.now()); wait > 0 && n.knowsOthers() {
		if own, err := n.ownExtents(); err != nil || len(own) == 0 {
			return err
		}
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

// An utterance is a statement on its way into the feeds of its channels.
type utterance struct {
	st    *protocol.Statement
	again *protocol.TeamID // sealed once more, as it is, to this team alone; id and inner are given
	inner []byte           // the encoded statement
	id    protocol.Hash
	out   []outgoing
	err   error
	done  bool
}

// An outgoing is a parcel that was kept and may leave.
type outgoing struct {
	team protocol.TeamID // zero: for the community, or the room
	room protocol.Hash   // zero: for none
	raw  []byte
}

// append signs the statement and, for each of its channels, the parcel that carries it, keeps all of it, and returns what goes
// to the network. The statement's author, node and clock are set here. Calls that come while the disk is busy share its next
// sync.
func (n *Node) append(u *utterance) error {
	s := &n.signer
	s.queue.Lock()
	s.waiting = append(s.waiting, u)
	s.queue.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.done {
		return u.err
	}
	s.queue.Lock()
	batch := s.waiting
	s.waiting = nil
	s.queue.Unlock()
	for rest := batch; len(rest) > 0; {
		some, parcels := 0, 0
		for some < len(rest) && (some == 0 || parcels+len(rest[some].st.Audience.Teams) <= maxTogether) {
			parcels += max(1, len(rest[some].st.Audience.Teams))
			some++
		}
		n.appendAll(rest[:some])
		rest = rest[some:]
	}
	for _, u := range batch {
		u.done = true
	}
	return u.err
}

// maxTogether bounds the parcels that are said with one sync: as many as the store takes all or none of.
const maxTogether = 64

// appendAll says a batch. The signer's lock is held.
func (n *Node) appendAll(batch []*utterance) {
	s := &n.signer
	failAll := func(err error) {
		for _, u := range batch {
			if u.err == nil {
				u.err = err
			}
		}
	}
	if why := s.why(); why != "" {
		failAll(&RefusedError{Rule: "signing-stopped", Reason: why})
		return
	}
	n.knowing.RLock() // from the decisions to the commit nobody here learns of a suspension
	defer n.knowing.RUnlock()
	var entries []store.Entry
	var of []*utterance // of each entry
	var log []audit.Record
	ends := map[protocol.FeedID]keyring.Mark{}
	for _, u := range batch {
		es, next, records, err := n.prepare(u, ends)
		log = append(log, records...)
		if err != nil {
			u.err = err
			continue
		}
		maps.Copy(ends, next)
		for _, e := range es {
			entries, of = append(entries, e), append(of, u)
		}
	}
	if err := n.record(log...); err != nil {
		failAll(fmt.Errorf("nothing was sent, since the disclosure log could not be written: %w", err))
		return
	}
	if len(entries) == 0 {
		return
	}
	out, err := n.accept(entries)
	if err != nil {
		failAll(err)
		return
	}
	marks := map[protocol.FeedID]keyring.Mark{}
	broken := map[protocol.FeedID]bool{} // what comes after an entry that was not kept is chained to nothing
	for i, o := range out {
		p, u := entries[i].Parcel, of[i]
		switch {
		case broken[p.Feed] && o.Err == nil && o.Verdict == trust.Accept:
			s.fail("a message was kept though the one before it was not; this should not happen")
		case o.Err != nil:
			u.err = o.Err
		case o.Verdict != trust.Accept:
			u.err = fmt.Errorf("message %d was not kept: the store says %s", p.Seq, o.Verdict)
		default:
			marks[p.Feed] = keyring.Mark{Seq: p.Seq, Hash: entries[i].Envelope.ID()}
			continue
		}
		broken[p.Feed] = true
	}
	if len(marks) == 0 {
		return
	}
	if err := s.guard.Advance(marks); err != nil {
		s.fail("the file that remembers what this node signed could not be written: " + err.Error())
		failAll(fmt.Errorf("the message is kept but was not sent: %w", err))
	}
}

// prepare decides once more, signs and seals: what others said meanwhile counts. ends are the last entries of this node's
// feeds as the batch leaves them; next are those with this statement.
func (n *Node) prepare(u *utterance, ends map[protocol.FeedID]keyring.Mark) (es []store.Entry, next map[protocol.FeedID]keyring.Mark, log []audit.Record, err error) {
	s, st, key := &n.signer, u.st, n.ring.NodeKey()
	teams := st.Audience.Teams
	if u.again != nil {
		teams = []protocol.TeamID{*u.again}
	} else {
		s.clock = s.clock.Next(n.now())
		st.Author, st.Node, st.Clock = n.team, n.kid, s.clock
		if st.Audience.Kind != protocol.InRoom { // of a room, what is decided now is part of what is signed
			if err := n.signStatement(u); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	var epoch *protocol.Epoch
	n.mu.RLock()
	if st.Audience.Kind == protocol.InRoom {
		epoch, log, err = n.prepareInRoom(st)
		if err == nil {
			err = n.signStatement(u)
		}
		for i := range log {
			log[i].Object = u.id
		}
	}
	for _, t := range teams {
		d := trust.Decide(n.question(trust.Compose, st, t))
		if st.Kind.ForPeople() {
			log = append(log, n.disclosures(trust.Compose.String(), u.id, []protocol.TeamID{t}, st.Label, d)...)
		}
		if !d.Allowed && err == nil {
			err = refused(d)
		}
	}
	if err == nil && u.again == nil {
		_, err = n.personKeys(st.Audience) // an operator may have been removed since the content was sealed
	}
	n.mu.RUnlock()
	if err != nil {
		return nil, nil, log, err
	}
	info, _ := n.author(n.team, n.kid)
	next = map[protocol.FeedID]keyring.Mark{}
	for _, c := range n.channels(st) {
		if u.again != nil && !c.Joins(*u.again) {
			continue
		}
		p := &protocol.Parcel{Team: n.team, Node: n.kid, Feed: protocol.FeedOf(n.kid, c), Class: protocol.Normal, Body: u.inner, Blob: st.Outside()}
		if st.Urgent {
			p.Class = protocol.Urgent
		}
		end, ok := ends[p.Feed]
		if !ok {
			if end, err = n.endOf(p.Feed); err != nil {
				return nil, nil, log, err
			}
		}
		p.Seq, p.Prev = end.Seq+1, end.Hash
		e := store.Entry{Parcel: p, StatementID: u.id, Statement: st, Tag: c.Tag(), Node: info, Link: !st.Kind.ForPeople()}
		to := outgoing{room: c.Room()}
		switch {
		case c.IsCommunity():
		case epoch != nil:
			p.Sealed, p.Epoch, e.Inner = true, st.Audience.Epoch, u.inner
			p.Body, err = n.sealToEpoch(epoch, u.inner)
		default:
			to.team = c.Other(n.team)
			p.Sealed, e.Inner = true, u.inner
			p.Body, err = n.sealTo(to.team, u.inner)
		}
		if err != nil {
			return nil, nil, log, err
		}
		if testOnlyParcel != nil {
			testOnlyParcel(st, p)
		}
		if e.Envelope, err = protocol.Sign(p, key); err != nil {
			return nil, nil, log, err
		}
		e.Raw = e.Envelope.Encode()
		next[p.Feed], to.raw = keyring.Mark{Seq: p.Seq, Hash: e.Envelope.ID()}, e.Raw
		es, u.out = append(es, e), append(u.out, to)
	}
	return es, next, log, nil
}

// signStatement signs the statement of an utterance, to which nothing is added any more.
func (n *Node) signStatement(u *utterance) error {
	env, err := protocol.Sign(u.st, n.ring.NodeKey())
	if err != nil {
		return err
	}
	u.inner, u.id = env.Encode(), env.ID()
	return nil
}

// endOf returns the newest entry of a feed of this node.
func (n *Node) endOf(f protocol.FeedID) (keyring.Mark, error) {
	ext, _, err := n.st.Extent(f)
	if err != nil {
		return keyring.Mark{}, err
	}
	id, err := n.newestID(ext)
	return keyring.Mark{Seq: ext.Max, Hash: id}, err
}

// say appends a statement and hands it to the network.
func (n *Node) say(ctx context.Context, st *protocol.Statement) (protocol.Hash, error) {
	u := &utterance{st: st}
	err := n.append(u)
	for tries := 0; errors.Is(err, errNoEpoch) && tries < 3; tries++ { // a change in the room may make useless what was just made
		if err = n.findEpoch(ctx, st.Audience.Room); err == nil {
			u = &utterance{st: st}
			err = n.append(u)
		}
	}
	if err != nil {
		return protocol.Hash{}, err
	}
	n.send(ctx, u)
	return u.id, nil
}

// send hands parcels that were kept to the network. What does not arrive so is fetched.
func (n *Node) send(ctx context.Context, u *utterance) {
	if u.st.Audience.Kind == protocol.Community {
		n.tell.soon()
	} else {
		n.tellOthers.soon()
	}
	for _, o := range u.out {
		if !o.team.IsZero() {
			n.push(o.team, o.raw, u.st.Urgent)
			continue
		}
		if !o.room.IsZero() {
			for _, p := range n.speakers(o.room) {
				n.courier.Push(p, o.raw, u.st.Urgent)
			}
			continue
		}
		if err := n.topic.Publish(ctx, o.raw, u.st.Urgent); err != nil {
			n.log.Warn("a message is stored, but was not published; colleagues will fetch it", "id", u.id.Short(), "err", err)
		}
	}
}

// marked returns up to where this node's own feed may be handed out: not what was committed a moment ago and is not in the
// guard file yet.
func (s *signer) marked(n *Node, f protocol.FeedID) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guard == nil {
		ext, _, err := n.st.Extent(f) // a node that does not sign adds nothing
		return ext.Max, err
	}
	mark, _ := s.guard.Mark(f)
	return mark.Seq, nil
}

// headsFresh is for how long one word on the heads of a feed that does not grow is good enough.
const headsFresh = 10 * time.Minute

// A word is the heads that this node last signed for somebody.
type word struct {
	raw   []byte
	n     uint64
	at    time.Time
	feeds []protocol.Head
}

// ownHeads returns this node's signed word on how far its feeds for a team reach, or with the zero id that for the community;
// it signs it anew if they grew. nil: it has not spoken there, or does not sign.
func (n *Node) ownHeads(to protocol.TeamID) ([]byte, error) {
	s := &n.signer
	s.mu.Lock()
	defer s.mu.Unlock()
	feeds := []protocol.FeedID{communityFeed(n.kid)}
	if !to.IsZero() {
		n.mu.RLock()
		feeds = n.ownFeeds(to)
		n.mu.RUnlock()
	}
	var heads []protocol.Head
	for _, f := range feeds {
		ext, held, err := n.st.Extent(f)
		if err != nil {
			return nil, err
		}
		if held && ext.Next > ext.First && len(heads) < protocol.MaxHeads {
			heads = append(heads, protocol.Head{Feed: f, First: ext.First, Seq: ext.Next - 1, Hash: ext.Head})
		}
	}
	if len(heads) == 0 || s.why() != "" {
		return nil, nil
	}
	slices.SortFunc(heads, func(a, b protocol.Head) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	now := n.now()
	w := s.words[to]
	if w != nil && slices.Equal(w.feeds, heads) && now.Sub(w.at) < headsFresh {
		return w.raw, nil
	}
	if w == nil { // the clock may have been ahead before the start
		w = &word{}
		_, last, err := n.st.Heads(n.kid, to)
		if err == nil {
			w.n = last.N
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	h := &protocol.Heads{Team: n.team, Node: n.kid, N: max(w.n+1, uint64(now.UnixMilli())), Time: uint64(now.Unix()), Feeds: heads, For: to}
	env, err := protocol.Sign(h, n.ring.NodeKey())
	if err != nil {
		return nil, err
	}
	if err := n.st.PutHeads(env, h); err != nil {
		return nil, err
	}
	if s.words == nil {
		s.words = map[protocol.TeamID]*word{}
	}
	s.words[to] = &word{raw: env.Encode(), n: h.N, at: now, feeds: heads}
	return s.words[to].raw, nil
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
