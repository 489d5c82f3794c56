package trust

import (
	"errors"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// MayAdd says whether my team may still give its word in a room as it is signed in the envelope: rules and records may have changed
// since it was drafted, and a vote against the rules would be proof against us. It verifies no signature. What is no record of
// a room is refused.
func (rs *Rooms) MayAdd(e *protocol.Envelope, now time.Time) Decision {
	rec, err := readRoomRecord(e)
	if err != nil {
		return Decision{Rule: "room-record", Reason: err.Error()}
	}
	id := e.ID()
	room := roomOf(rec, id)
	if by, _ := signerOf(rec); !by.IsZero() && by != rs.self() {
		return Decision{Rule: "room-record", Reason: "it is another team's word"}
	}
	switch r := rec.(type) {
	case *protocol.Charter:
		return rs.mayAddCharter(r, id, room, now)
	case *protocol.MemberCard:
		if rm := rs.rooms[room]; rm != nil && rm.records[id] != nil {
			return rs.MayVoteCard(room, id, now)
		}
		at, v, rule := rs.open(room, now)
		if rule == "" {
			rule = at.cardVote(v, r)
		}
		return roomDecision(rule)
	case *protocol.Approve:
		d, dec := rs.DraftApprove(room, r.Charter, now)
		if dec.Allowed && (d.Round != r.Round || d.Version != r.Version || (d.Pol == nil) != (r.Pol == nil)) {
			return roomDecision("vote-round")
		}
		return dec
	case *protocol.Adopt:
		d, dec := rs.DraftAdopt(room, r.Charter, now, r.Voids...)
		if dec.Allowed && (d.Round != r.Round || d.Version != r.Version) {
			return roomDecision("vote-round")
		}
		return dec
	case *protocol.Vouch:
		_, dec := rs.DraftVouch(room, r.Applicant, "", now)
		return dec
	case *protocol.Accept:
		return rs.mayAddAccept(r, now)
	case *protocol.Objection:
		_, dec := rs.DraftObjection(room, r.Subject, "", r.Withdrawn, now)
		return dec
	case *protocol.Hold:
		d, dec := rs.DraftHold(room, r.Subject, "", now)
		if dec.Allowed && (r.Charter != d.Charter || r.Until-r.Issued > d.Until-d.Issued) {
			return Decision{Rule: "hold-long", Reason: "the hold is under another charter, or longer than the charter lets one steward hold a member"}
		}
		return dec
	case *protocol.Leave:
		_, dec := rs.DraftLeave(room, "", nil, now)
		return dec
	case *protocol.Refound:
		_, dec := rs.DraftRefound(room, r.New, now)
		return dec
	}
	return Decision{Rule: "room-record", Reason: errors.ErrUnsupported.Error()}
}

func (rs *Rooms) mayAddAccept(a *protocol.Accept, now time.Time) Decision {
	d, dec := rs.DraftAccept(a.Room, now)
	if dec.Allowed && d.Charter != a.Charter {
		return roomDecision("no-proposal")
	}
	return dec
}

func (rs *Rooms) mayAddCharter(c *protocol.Charter, id, room protocol.Hash, now time.Time) Decision {
	if c.Version == 1 {
		if rs.rooms[room] != nil {
			return rs.MaySign(room, now)
		}
		if !slices.Contains(c.Stewards, rs.self()) {
			return roomDecision("not-steward")
		}
		return roomDecision("")
	}
	r, v, rule := rs.open(room, now)
	switch {
	case rule != "":
		return roomDecision(rule)
	case !v.IsSteward(rs.self()):
		return roomDecision("not-steward")
	case c.Prev != v.id || c.Version != v.Version+1:
		return roomDecision("no-proposal")
	}
	if why := r.unfit(v, c); why != "" {
		return Decision{Rule: "charter-unfit", Reason: why}
	}
	return roomDecision("")
}
