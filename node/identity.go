package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// loadBook replays the stored identity records and own acts into the book.
func (n *Node) loadBook() error {
	var es []*protocol.Envelope
	if err := n.st.Records(func(_ protocol.TeamID, e *protocol.Envelope) error {
		es = append(es, e)
		return nil
	}); err != nil {
		return err
	}
	acts, err := n.st.Acts()
	if err != nil {
		return err
	}
	for _, a := range acts {
		n.book.Act(a)
	}
	drop, errs := n.book.Load(es, n.now())
	for _, err := range errs {
		n.log.Warn("a stored identity record no longer counts", "err", err)
	}
	return n.st.DeleteRecords(drop...)
}

// An admission is what a peer may do, by the state of its team.
type admission struct {
	team      protocol.TeamID
	community bool // gets and gives messages, beside identity records
}

// admits says whether a node may connect: one of a team that this team knows as introduced or verified, or that was so and
// has to hand over new records (stale, disputed), of one that is a member of a room with this team, or of this team itself.
func (n *Node) admits(p peer.ID) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	_, ok := n.admitted[p]
	return ok
}

// inCommunity says whether a peer's team may be given messages for the community.
func (n *Node) inCommunity(p peer.ID) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.admitted[p].community
}

// refreshAdmitted remakes what is cached of the book. n.mu is held.
func (n *Node) refreshAdmitted() {
	m, states := map[peer.ID]admission{}, map[protocol.TeamID]trust.State{}
	inCommon := map[protocol.TeamID]bool{} // teams in a room with this one
	n.withRooms(func(rs *trust.Rooms) {
		for _, id := range rs.IDs() {
			if s, ok := rs.Standings(id, n.now()); ok && s.State != trust.RoomFounding && s.Teams[n.team] == trust.StandingMember {
				for t, standing := range s.Teams {
					inCommon[t] = inCommon[t] || standing == trust.StandingMember
				}
			}
		}
	})
	for _, t := range n.book.Teams(n.now()) {
		states[t.ID] = t.State
		own := t.ID == n.team
		if !own && !trust.MayConnect(t.State) && !(t.State == trust.Unknown && inCommon[t.ID]) {
			continue
		}
		a := admission{team: t.ID, community: trust.Decide(trust.Question{Action: trust.Relay, Label: closest,
			Audience: protocol.Community, Peer: t.State, Self: own}).Allowed}
		for _, info := range n.book.Nodes(t.ID) {
			id, err := peer.IDFromBytes(info.Node.Peer)
			if err != nil || info.Revoked || id == n.peer || m[id].community && !a.community {
				continue
			}
			m[id] = a
		}
	}
	n.admitted, n.states = m, states
	n.refreshChannels()
}

// peerState returns of which team a connected node is and how this team holds it; Unknown for a stranger.
func (n *Node) peerState(p peer.ID) (protocol.TeamID, trust.State) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	a, ok := n.admitted[p]
	if !ok {
		return protocol.TeamID{}, trust.Unknown
	}
	return a.team, n.states[a.team]
}

// takeRecords verifies identity records, which may come in any order, and keeps those that say something new. The results
// are in the order of es; an error of its own says that this node could not keep them.
func (n *Node) takeRecords(es ...*protocol.Envelope) ([]trust.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.takeRecordsLocked(es)
}

// takeRecordsLocked is takeRecords for who holds n.mu.
func (n *Node) takeRecordsLocked(es []*protocol.Envelope) ([]trust.Result, error) {
	now := n.now()
	res := n.book.AddAll(es, now)
	if slices.ContainsFunc(res, func(r trust.Result) bool { return errors.Is(r.Err, trust.ErrFull) }) {
		for _, id := range n.book.Expendable(now) {
			if err := n.st.DeleteRecords(n.book.Forget(id)...); err != nil {
				return nil, err
			}
		}
		for i, again := range n.book.AddAll(es, now) {
			if !res[i].Added {
				res[i] = again
			}
		}
	}
	var drop []protocol.Hash
	for i, r := range res {
		if r.Added {
			n.unsaved = append(n.unsaved, es[i])
			drop = append(drop, r.Drop...)
		}
	}
	if len(n.unsaved) == 0 {
		return res, nil
	}
	// When a new officer was first seen is kept before the record that shows them: a restart must not end the wait.
	for _, a := range n.book.Sightings() {
		if err := n.st.PutAct(a); err != nil {
			return nil, err
		}
		n.book.Act(a)
	}
	n.afterBookChange()
	// What the disk did not take stays first in line: until it is there nobody is told that it was.
	for len(n.unsaved) > 0 {
		e := n.unsaved[0]
		team, err := trust.TeamOf(e)
		if err != nil {
			return nil, err
		}
		if err := n.st.PutRecord(team, e); err != nil {
			return nil, fmt.Errorf("an identity record was not kept, and will be with the next one: %w", err)
		}
		n.unsaved = n.unsaved[1:]
	}
	return res, n.st.DeleteRecords(drop...)
}

// knowsAddress reports whether the address record is no newer than the one held.
func (n *Node) knowsAddress(a *protocol.Address) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	info, ok := n.book.NodeOf(a.Team, a.Node)
	return ok && a.Expires <= uint64(max(info.AddrExpires.Unix(), 0)) && slices.Equal(info.Addrs, a.Addrs)
}

// spreadable says whether colleagues may be told of the record: only of teams that this team vouches for to them.
func (n *Node) spreadable(e *protocol.Envelope) bool {
	team, err := trust.TeamOf(e)
	if err != nil || trust.Private(e) {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.book.Shareable(team, n.now())
}

// blames says whether a refused record proves who handed it over wrong. A record that is out of date, overruled, or that
// builds on what is not known here does not.
func blames(err error) bool {
	return errors.Is(err, protocol.ErrMalformed) || errors.Is(err, protocol.ErrSignature)
}

// afterBookChange remakes what depends on the book, and lets peers in and out accordingly. n.mu is held.
func (n *Node) afterBookChange() {
	before := n.admitted
	n.refreshAdmitted()
	if n.topic == nil {
		return
	}
	n.judge()
	for p, was := range before {
		is, still := n.admitted[p]
		if was.community && !is.community {
			n.topic.Forget(p)
		}
		if !still {
			n.spawn(func() { _ = n.host.Network().ClosePeer(p) })
		}
	}
	for p, is := range n.admitted {
		if was := before[p]; is.community && !was.community {
			n.topic.Remember(p)
			n.peers.dialNow(p)
		}
	}
}

// AddTeam takes in an introduction that a person was handed. It is all or nothing: an introduction with one wrong record,
// or one that contradicts what is known, changes nothing.
func (n *Node) AddTeam(armored []byte, by string) (TeamInfo, error) {
	b, err := protocol.Unarmor(armored)
	if err != nil {
		return TeamInfo{}, &RefusedError{Rule: "introduction", Reason: err.Error(),
			Hint: "ask the team to send its introduction again; nothing was changed"}
	}
	es, err := b.Envelopes()
	if err != nil {
		return TeamInfo{}, &RefusedError{Rule: "introduction", Reason: err.Error(),
			Hint: "ask the team to send its introduction again; nothing was changed"}
	}
	if b.Team == n.team {
		return TeamInfo{}, errors.New("this is your own team's introduction: hand it to others")
	}
	if err := n.introduce(b.Team, es, by); err != nil {
		return TeamInfo{}, err
	}
	n.spreadTeam(b.Team)
	return n.Team(b.Team.String())
}

// introduce checks a whole introduction and takes it in, in one go.
func (n *Node) introduce(team protocol.TeamID, es []*protocol.Envelope, by string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.book.CheckIntroduction(es, team, n.now()); err != nil {
		return &RefusedError{Rule: "introduction", Reason: err.Error(),
			Hint: "nothing was changed; call the team on a number that you know before you go on"}
	}
	if err := n.actLocked(trust.OwnAct{Team: team, Kind: trust.ActAdded, At: n.now(), By: by}); err != nil {
		return err
	}
	// What CheckIntroduction found good in itself may still be older than what is known already.
	_, err := n.takeRecordsLocked(es)
	return err
}

// act keeps a decision of a person of this team and applies it.
func (n *Node) act(a trust.OwnAct) error {
	n.knowing.Lock()
	defer n.knowing.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.actLocked(a)
}

func (n *Node) actLocked(a trust.OwnAct) error {
	if err := n.st.PutAct(a); err != nil {
		return err
	}
	n.book.Act(a)
	n.afterBookChange()
	return nil
}

// VerifyTeam records that a person compared the fingerprint with a person of the other team. A wrong one is a
// *trust.FingerprintError inside a *RefusedError and changes nothing. attest, if not nil, tells colleagues.
func (n *Node) VerifyTeam(id protocol.TeamID, fingerprint, method, by string, attest *protocol.Envelope) error {
	n.mu.RLock()
	_, known := n.book.Team(id, n.now())
	n.mu.RUnlock()
	if !known {
		return fmt.Errorf("team %s: %w", id.Short(), ErrNotFound)
	}
	if err := trust.CheckFingerprint(id, fingerprint); err != nil {
		return &RefusedError{Rule: "fingerprint", Reason: err.Error(), Err: err,
			Hint: "nothing was changed. Read the digits to each other again; if they still differ, this introduction is not theirs: block it and call them on a number that you know"}
	}
	if attest != nil {
		a, err := protocol.Decode[protocol.Attest](attest)
		if err != nil {
			return err
		}
		if a.Issuer != n.team || a.Subject != id {
			return errors.New("the attestation is not this team's about that team")
		}
	}
	if !slices.Contains(protocol.Methods(), method) {
		return fmt.Errorf("method %.20q: want one of %v", method, protocol.Methods())
	}
	if err := n.act(trust.OwnAct{Team: id, Kind: trust.ActVerified, At: n.now(), By: by, Method: method}); err != nil {
		return err
	}
	if attest != nil {
		res, err := n.takeRecords(attest)
		if err == nil {
			err = res[0].Err
		}
		if err != nil {
			return fmt.Errorf("the team is verified here, but the attestation for others was refused: %w", err)
		}
	}
	n.spreadTeam(id)
	return nil
}

// BlockTeam ends all exchange with a team, from now on and at once.
func (n *Node) BlockTeam(id protocol.TeamID, by string) error {
	if id == n.team {
		return errors.New("a team cannot block itself")
	}
	return n.act(trust.OwnAct{Team: id, Kind: trust.ActBlocked, At: n.now(), By: by})
}

// UnblockTeam lets a blocked team back to what it was.
func (n *Node) UnblockTeam(id protocol.TeamID, by string) error {
	return n.act(trust.OwnAct{Team: id, Kind: trust.ActUnblocked, At: n.now(), By: by})
}

// Introduction returns this team's records as text to hand to another team.
func (n *Node) Introduction() ([]byte, error) {
	all, err := n.bundle(n.team)
	if err != nil {
		return nil, err
	}
	b := protocol.Bundle{Team: n.team}
	for _, r := range all.Records {
		if e, err := protocol.DecodeEnvelope(r, protocol.MaxRecord); err == nil && e.Type != protocol.TypeAttest {
			b.Records = append(b.Records, r)
		}
	}
	return b.Armor(), nil
}

// bundle returns the kept records of a team, as many as fit.
func (n *Node) bundle(team protocol.TeamID) (*protocol.Bundle, error) {
	recs, err := n.st.TeamRecords(team, nil)
	if err != nil {
		return nil, err
	}
	b := &protocol.Bundle{Team: team}
	size := 1 << 10
	for _, r := range recs {
		if e, err := protocol.DecodeEnvelope(r, protocol.MaxRecord); err != nil || trust.Private(e) {
			continue
		}
		if size += len(r) + 8; size > protocol.MaxBundle || len(b.Records) == protocol.MaxRecords {
			break
		}
		b.Records = append(b.Records, r)
	}
	return b, nil
}

// Own is what this team last said about itself: what a ceremony starts from.
type Own struct {
	RootID     protocol.Hash
	Root       *protocol.Root
	ManifestID protocol.Hash
	Manifest   *protocol.Manifest
	Card       *protocol.Card
}

// OwnRecords returns the team's current records.
func (n *Node) OwnRecords() Own {
	n.mu.RLock()
	defer n.mu.RUnlock()
	t, _ := n.book.Team(n.team, n.now())
	return Own{RootID: t.RootID, Root: t.Root, ManifestID: t.ManifestID, Manifest: t.Manifest, Card: t.Card}
}

// AddOwnRecords takes in the finished records of a ceremony of this team, in order, and spreads them.
func (n *Node) AddOwnRecords(es []*protocol.Envelope) error {
	for _, e := range es {
		if e.Type == protocol.TypeAttest {
			a, err := protocol.Decode[protocol.Attest](e)
			if err != nil {
				return err
			}
			if a.Issuer != n.team {
				return errors.New("an attestation of another team")
			}
		} else if team, err := trust.TeamOf(e); err != nil {
			return err
		} else if team != n.team {
			return fmt.Errorf("a %s of another team", e.Type)
		}
	}
	for _, e := range es {
		if err := n.mayCut(e); err != nil {
			return err
		}
	}
	res, err := n.takeRecords(es...)
	if err != nil {
		return err
	}
	for i, r := range res {
		if r.Err != nil {
			return fmt.Errorf("record %d of %d, a %s: %w", i+1, len(es), es[i].Type, r.Err)
		}
		n.publishRecord(es[i])
	}
	if n.joined.Load() {
		n.spawn(func() { n.retell(context.Background()) })
	}
	return n.signer.reconsider(n)
}

// mayCut refuses a cut-off that would void what this node said after it was drafted.
func (n *Node) mayCut(e *protocol.Envelope) error {
	if e.Type != protocol.TypeCutoff {
		return nil
	}
	c, err := protocol.Decode[protocol.Cutoff](e)
	if err != nil || c.Node != n.kid {
		return err
	}
	n.signer.mu.Lock()
	defer n.signer.mu.Unlock()
	ext, held, err := n.st.Extent(c.Feed)
	if err == nil && held && c.LastSeq < ext.Next-1 {
		err = fmt.Errorf("this node sent message %d after the cut-off at %d was drafted: draft it again, so that it stays", ext.Next-1, c.LastSeq)
	}
	return err
}

// spreadTeam tells colleagues of everything known about a team, if they may be told.
func (n *Node) spreadTeam(id protocol.TeamID) {
	n.mu.RLock()
	ok := n.book.Shareable(id, n.now())
	n.mu.RUnlock()
	if !ok {
		return
	}
	recs, err := n.st.TeamRecords(id, nil)
	if err != nil {
		return
	}
	for _, r := range recs {
		if e, err := protocol.DecodeEnvelope(r, protocol.MaxRecord); err == nil {
			n.publishRecord(e)
		}
	}
}

func (n *Node) publishRecord(e *protocol.Envelope) {
	if n.topic == nil || trust.Private(e) {
		return
	}
	if err := n.topic.Publish(context.Background(), e.Encode(), false); err != nil {
		n.log.Debug("publishing a record", "type", e.Type, "err", err)
	}
}

// signAddress signs where this node can be reached, if that changed or the last record is about to expire.
func (n *Node) signAddress(addrs []string) error {
	now := n.now()
	n.mu.RLock()
	info, ok := n.book.NodeOf(n.team, n.kid)
	n.mu.RUnlock()
	if !ok || info.Revoked {
		return nil // not certified yet: an officer has to sign this node into the manifest first
	}
	if slices.Equal(info.Addrs, addrs) && info.AddrExpires.Sub(now) > 2*protocol.MaxAddressLife/3 {
		return nil
	}
	e, err := protocol.Sign(&protocol.Address{Team: n.team, Node: n.kid, Seq: n.addressSeq(now), Addrs: addrs,
		Issued: uint64(now.Unix()), Expires: uint64(now.Add(protocol.MaxAddressLife - time.Hour).Unix())}, n.ring.NodeKey())
	if err != nil {
		return err
	}
	res, err := n.takeRecords(e)
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		return err
	}
	n.publishRecord(e)
	return nil
}
