package trust

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/entente-network/entente/protocol"
)

// readRoomRecord decodes a record of a type that officers sign.
func readRoomRecord(e *protocol.Envelope) (protocol.Record, error) {
	switch e.Type {
	case protocol.TypeCharter:
		return decoded(protocol.Decode[protocol.Charter](e))
	case protocol.TypeApprove:
		return decoded(protocol.Decode[protocol.Approve](e))
	case protocol.TypeAdopt:
		return decoded(protocol.Decode[protocol.Adopt](e))
	case protocol.TypeVouch:
		return decoded(protocol.Decode[protocol.Vouch](e))
	case protocol.TypeAccept:
		return decoded(protocol.Decode[protocol.Accept](e))
	case protocol.TypeObjection:
		return decoded(protocol.Decode[protocol.Objection](e))
	case protocol.TypeMemberCard:
		return decoded(protocol.Decode[protocol.MemberCard](e))
	case protocol.TypeHold:
		return decoded(protocol.Decode[protocol.Hold](e))
	case protocol.TypeLeave:
		return decoded(protocol.Decode[protocol.Leave](e))
	case protocol.TypeRefound:
		return decoded(protocol.Decode[protocol.Refound](e))
	}
	return nil, fmt.Errorf("%w: %.60q is no record of a room", protocol.ErrMalformed, string(e.Type))
}

func decoded[T any, P interface {
	*T
	protocol.Record
}](r *T, err error) (protocol.Record, error) {
	if err != nil {
		return nil, err
	}
	return P(r), nil
}

// roomOf returns the room that a record is of. A Refound is kept with the room that it leaves.
func roomOf(rec protocol.Record, id protocol.Hash) protocol.Hash {
	switch r := rec.(type) {
	case *protocol.Charter:
		if r.Version == 1 {
			return id
		}
		return r.Room
	case *protocol.Approve:
		return r.Room
	case *protocol.Adopt:
		return r.Room
	case *protocol.Vouch:
		return r.Room
	case *protocol.Accept:
		return r.Room
	case *protocol.Objection:
		return r.Room
	case *protocol.MemberCard:
		return r.Room
	case *protocol.Hold:
		return r.Room
	case *protocol.Leave:
		return r.Room
	case *protocol.Refound:
		return r.Room
	}
	return protocol.Hash{}
}

// signerOf returns the one team that signs the record, and under which root record; zero where several teams do.
func signerOf(rec protocol.Record) (team protocol.TeamID, root protocol.Hash) {
	switch r := rec.(type) {
	case *protocol.Approve:
		return r.Team, r.Root
	case *protocol.Adopt:
		return r.Team, r.Root
	case *protocol.Vouch:
		return r.Team, r.Root
	case *protocol.Accept:
		return r.Team, r.Root
	case *protocol.Objection:
		return r.Team, r.Root
	case *protocol.Hold:
		return r.Team, r.Root
	case *protocol.Leave:
		return r.Team, r.Root
	case *protocol.Refound:
		return r.Team, r.Root
	}
	return team, root
}

// fewSuffice reports whether one officer is enough for the record: what restricts on sight, or warns.
func fewSuffice(rec protocol.Record) bool {
	switch rec.(type) {
	case *protocol.Hold, *protocol.Leave, *protocol.Objection:
		return true
	}
	return false
}

func (rs *Rooms) verifyOne(n *roomRecord) error {
	t, err := rs.book.known(n.team)
	if err != nil {
		return err
	}
	r := t.roots[n.root]
	if r == nil {
		return fmt.Errorf("%w: the root record of team %s that it names", ErrMissing, n.team.Short())
	}
	k := r.K(protocol.ActVote)
	if fewSuffice(n.rec) {
		k = 1
	}
	signers, err := r.verifyFew(n.env, protocol.ActVote, k)
	if err != nil {
		return err
	}
	n.signers = map[protocol.TeamID][]protocol.KID{n.team: signers}
	n.env = withSigs(n.env, nil, signers)
	return nil
}

// verifyMany verifies a charter or a card: it keeps the signatures of officers of the stewards who may sign it, under whatever
// root record, and no others.
func (rs *Rooms) verifyMany(n *roomRecord, rm *room) error {
	stewards, err := rm.stewardsFor(n)
	if err != nil {
		return err
	}
	n.signers = map[protocol.TeamID][]protocol.KID{}
	var good, foreign []protocol.KID
	var wrong error
	for _, s := range n.env.Sigs {
		team, r := rs.officer(stewards, s.KID)
		if r == nil {
			foreign = append(foreign, s.KID) // told again when it is somebody's: what is known without it is not the same
			continue
		}
		if _, err := r.verifyFew(withSigs(n.env, nil, []protocol.KID{s.KID}), protocol.ActVote, 1); err != nil {
			wrong = err // whoever added it does not spoil the others
			continue
		}
		n.signers[team] = append(n.signers[team], s.KID)
		good = append(good, s.KID)
	}
	if len(good) == 0 {
		switch unknown := slices.ContainsFunc(stewards, func(t protocol.TeamID) bool { _, ok := rs.rootOf(t); return !ok }); {
		case wrong != nil:
			return wrong
		case unknown || slices.ContainsFunc(foreign, func(k protocol.KID) bool { return !rs.book.knowsOfficer(k) }):
			return fmt.Errorf("%w: the root log of a steward, or a newer record of it", ErrMissing)
		}
		return fmt.Errorf("%w: no officer of a steward signed it", protocol.ErrSignature)
	}
	n.env = withSigs(n.env, nil, good)
	return nil
}

// knowsOfficer reports whether any team that is known has, or had, an officer of the key.
func (b *Book) knowsOfficer(k protocol.KID) bool {
	for _, t := range b.teams {
		for _, r := range t.roots {
			if slices.Contains(r.officers, k) {
				return true
			}
		}
	}
	return false
}

// officer returns whose officer the key is, and a root record that says so and lets the officer vote.
func (rs *Rooms) officer(stewards []protocol.TeamID, k protocol.KID) (protocol.TeamID, *root) {
	for _, s := range stewards {
		t := rs.book.teams[s]
		if t == nil {
			continue
		}
		for _, r := range t.newestFirst() {
			if i := slices.Index(r.officers, k); i >= 0 && r.Officers[i].May(protocol.ActVote) {
				return s, r
			}
		}
	}
	return protocol.TeamID{}, nil
}

// stewardsFor returns who signs a charter or a card: the stewards of the charter under which it is.
func (rm *room) stewardsFor(n *roomRecord) ([]protocol.TeamID, error) {
	var under protocol.Hash
	switch r := n.rec.(type) {
	case *protocol.Charter:
		if r.Version == 1 {
			return r.Stewards, nil
		}
		under = r.Prev
	case *protocol.MemberCard:
		under = r.Charter
	}
	if c := rm.records[under]; c != nil {
		if c, ok := c.rec.(*protocol.Charter); ok {
			return c.Stewards, nil
		}
		return nil, fmt.Errorf("%w: it is under a record that is no charter", ErrRule)
	}
	return nil, fmt.Errorf("%w: the charter under which it is", ErrMissing)
}

// gains reports whether the other envelope of the same record has a signature that this one lacks.
func (n *roomRecord) gains(o *roomRecord) bool {
	for t, ks := range o.signers {
		for _, k := range ks {
			if !slices.Contains(n.signers[t], k) {
				return true
			}
		}
	}
	return false
}

// merge takes over the signatures of the same record as it was kept. Where there are too many, those with the lowest keys stay.
func (n *roomRecord) merge(old *roomRecord) {
	var good []protocol.KID
	for t, ks := range old.signers {
		for _, k := range ks {
			if !slices.Contains(n.signers[t], k) {
				n.signers[t] = append(n.signers[t], k)
			}
		}
	}
	for t := range n.signers {
		slices.SortFunc(n.signers[t], func(a, b protocol.KID) int { return bytes.Compare(a[:], b[:]) })
		good = append(good, n.signers[t]...)
	}
	all := withSigs(n.env, old.env, good) // ascending by key
	all.Sigs = all.Sigs[:min(len(all.Sigs), protocol.MaxSigs)]
	for t, ks := range n.signers {
		n.signers[t] = slices.DeleteFunc(ks, func(k protocol.KID) bool { return !hasSig(all, k) })
	}
	n.env = all
}

func hasSig(e *protocol.Envelope, k protocol.KID) bool {
	return slices.ContainsFunc(e.Sigs, func(s protocol.Signature) bool { return s.KID == k })
}

// otherTerms reports whether a record accepts another charter that counts than a new one does: who is asked in while the terms change
// accepts each of them.
func (rm *room) otherTerms(n, old *roomRecord) bool {
	a, ok := n.rec.(*protocol.Accept)
	b, too := old.rec.(*protocol.Accept)
	return ok && too && a.Charter != b.Charter && rm.counts[b.Charter]
}

// full reports whether there is no place for a record. My own team's has one, and so has what stewards signed together.
func (rs *Rooms) full(rm *room, n *roomRecord) bool {
	if _, mine := n.signers[rs.self()]; mine || rs.loading {
		return false
	}
	one := func(r *roomRecord) (t protocol.TeamID, alone bool) {
		for t = range r.signers {
		}
		return t, len(r.signers) == 1
	}
	who, alone := one(n)
	if !alone {
		return len(rm.records) >= MaxRoomRecords-maxEpochs
	}
	share, words := 0, 0
	for _, o := range rm.records {
		t, lone := one(o)
		if !lone {
			continue
		}
		if t == who && !rm.otherTerms(n, o) {
			share++
		}
		if rm.ranks[t] < voting {
			words++
		}
	}
	switch rm.ranks[who] {
	case voting:
		return share >= maxStewardShare
	case asked:
		return share >= sureShare
	}
	return share >= maxMemberShare || share >= sureShare && words >= maxMemberWords
}
