package main

import (
	"fmt"
	"slices"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// effect says what signing a record does, from the record itself, and asks for it.
func effect(r *control.Room, e *protocol.Envelope, rec protocol.Record, name namer) (lines []string, question string) {
	room := plainLine(r.Name)
	n := func(t protocol.TeamID) string { return plainLine(name(t)) }
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	because := func(reason string) {
		if reason != "" {
			say("reason, which the members see: %s", plainLine(reason))
		}
	}
	switch d := rec.(type) {
	case *protocol.Accept:
		if c, err := charterIn(r, d.Charter); err == nil && c.Version > 1 && c.IsSteward(d.Team) {
			say("your team becomes a steward of %s under the charter above, once it is in effect: it decides with the others from then on", room)
			return lines, fmt.Sprintf("Become a steward of %s?", room)
		}
		say("your team accepts the charter above: it is bound by its terms, and what members say, it keeps within them")
		say("once it is in, it reads and speaks in the room; it may leave at any time: entente room leave")
		return lines, fmt.Sprintf("Accept the charter of %s?", room)
	case *protocol.Vouch:
		say("your team gives its word for %s (team %s), until %s: all members see that", n(d.Applicant), d.Applicant, dateText(d.Expires))
		if d.Text != "" {
			say("what is known of it: %s", plainLine(d.Text))
		}
		say("it is admitted when %s, it accepts the charter, the time for objections is over and the stewards vote for it", sponsorsText(r))
		say("only if it is admitted does it learn what is said; that the room exists, and its charter, it is told with the invitation")
		return lines, fmt.Sprintf("Vouch for %s?", n(d.Applicant))
	case *protocol.Objection:
		if d.Withdrawn {
			say("your team takes back its objection to the admission of %s", n(d.Subject))
			return lines, "Take it back?"
		}
		say("your team objects to the admission of %s: it takes one vote more then, and all members see who objects", n(d.Subject))
		because(d.Reason)
		return lines, fmt.Sprintf("Object to %s?", n(d.Subject))
	case *protocol.Hold:
		say("%s is kept out of %s at once, until %s: it gets no keys from the next message on; what it received before it keeps", n(d.Subject), room, dateText(d.Until))
		say("a steward may hold a member once under one charter; meanwhile the stewards decide: entente room suspend, entente room remove")
		if stewardIn(r, d.Subject) {
			say("it is a steward: it still votes")
		}
		because(d.Reason)
		return lines, fmt.Sprintf("Hold %s?", n(d.Subject))
	case *protocol.Leave:
		say("your team is out of %s: it reads nothing that is said from the next message on, and speaks there no more", room)
		say("to come back it needs sponsors, its acceptance and the stewards' votes, as anybody")
		if others := stewardsOf(r) - 1; r.Steward && others < r.Quorum {
			say("your team is a steward, and without it nothing can be decided in the room any more: first let others be stewards: " +
				"entente room amend --add-steward TEAM --drop-steward TEAM")
		} else if r.Steward {
			say("your team is a steward: of the %d others, %d have to agree on everything then", others, r.Quorum)
		}
		because(d.Reason)
		return lines, fmt.Sprintf("Leave %s?", room)
	case *protocol.Refound:
		say("your team goes on in the new room %s, which replaces %s: it accepts the new charter, and says nothing in the old room any more", d.New.Short(), room)
		return lines, "Go on in the new room?"
	case *protocol.MemberCard:
		return cardEffect(r, e, d, n)
	case *protocol.Approve:
		say("your team approves the charter above (%s): %d of %d votes are needed, and are then adopted", d.Charter.Short(), r.Quorum, stewardsOf(r))
		return lines, "Approve this charter?"
	case *protocol.Adopt:
		say("a quorum has approved the charter above (%s): your team adopts it, and approves no other until a quorum wants that", d.Charter.Short())
		for _, id := range d.Voids {
			say("given up, though your team voted for it: %s; it can be voted for again under the new charter", voidText(r, id))
		}
		return lines, "Adopt this charter?"
	case *protocol.Charter:
		return charterEffect(r, d, room)
	}
	return []string{"sign a record of room " + room}, "Sign it?"
}

func charterEffect(r *control.Room, c *protocol.Charter, room string) (lines []string, question string) {
	switch {
	case c.Version == 1:
		return []string{
			fmt.Sprintf("your team becomes a steward of %s, bound by the charter above", plainLine(c.Name)),
			fmt.Sprintf("the room is founded when all %d stewards have signed it; then the other founding members accept it", len(c.Stewards)),
		}, "Sign this charter?"
	case c.Closed:
		return []string{
			fmt.Sprintf("once %s have voted for it, %s ends for all: nothing is said in it from then on", stewardsText(r.Quorum, stewardsOf(r)), room),
			"members keep what they received, and their nodes destroy the keys and messages in their time; entente room forget does it at once",
		}, fmt.Sprintf("Propose to close %s?", room)
	}
	return []string{fmt.Sprintf("it is in effect when %s have approved and adopted it; your approval is signed with it", stewardsText(r.Quorum, stewardsOf(r)))},
		"Propose this charter?"
}

func cardEffect(r *control.Room, e *protocol.Envelope, c *protocol.MemberCard, n func(protocol.TeamID) string) (lines []string, question string) {
	who, room := n(c.Subject), plainLine(r.Name)
	var status string
	for _, m := range r.Members {
		if m.ID == c.Subject {
			status = m.Status
		}
	}
	votes := "the stewards' votes decide; yours is the first"
	if i := slices.IndexFunc(r.Proposals, func(p control.RoomProposal) bool { return p.ID == e.ID() }); i >= 0 {
		p := r.Proposals[i]
		votes = fmt.Sprintf("%d votes are needed, %d are there", p.Needed, p.Votes)
		if len(p.Voted) > 0 {
			votes += ": " + teamList(p.Voted)
		}
	}
	switch {
	case c.Status == protocol.MemberRemoved:
		lines = []string{fmt.Sprintf("%s is removed from %s: from the next message on it reads nothing; what it received before it keeps", who, room),
			"to come back it needs sponsors, its acceptance and the stewards' votes, as anybody"}
		question = fmt.Sprintf("Vote to remove %s?", who)
	case c.Status == protocol.MemberSuspended:
		lines = []string{fmt.Sprintf("%s is suspended in %s until the stewards let it in again: from the next message on it reads nothing; what it received before it keeps", who, room)}
		question = fmt.Sprintf("Vote to suspend %s?", who)
	case !c.Accept.IsZero():
		lines = []string{fmt.Sprintf("%s (team %s) is admitted to %s until %s, and reads what is said from then on%s", who, c.Subject, room, dateText(c.Until), pastText(r))}
		if len(c.Objections) > 0 {
			lines = append(lines, plural(len(c.Objections), "objection is", "objections are")+" overruled, which takes one vote more")
		}
		question = fmt.Sprintf("Vote to admit %s?", who)
	case status == "suspended":
		lines = []string{fmt.Sprintf("%s is let in again to %s, until %s", who, room, dateText(c.Until))}
		question = fmt.Sprintf("Vote to let %s in again?", who)
	default:
		lines = []string{fmt.Sprintf("the membership of %s in %s goes on until %s", who, room, dateText(c.Until))}
		question = fmt.Sprintf("Vote to renew the membership of %s?", who)
	}
	if c.Status != protocol.MemberFull && stewardIn(r, c.Subject) {
		lines = append(lines, "it is a steward, and votes on all else until a charter names other stewards: entente room amend --drop-steward TEAM")
	}
	if i := slices.IndexFunc(r.Proposals, func(p control.RoomProposal) bool {
		return !c.Accept.IsZero() && p.Subject != nil && *p.Subject == c.Subject && p.Kind == "admission"
	}); i >= 0 {
		lines = append(lines, wordLines(r.Proposals[i])...)
	}
	if c.Reason != "" {
		lines = append(lines, "reason, which the members see: "+plainLine(c.Reason))
	}
	return append(lines, votes), question
}

// wordLines says who vouches for a team and who objects to it, in their words.
func wordLines(p control.RoomProposal) (out []string) {
	say := func(w control.RoomWord, does string) {
		l := plainLine(w.Name) + " " + does
		if w.Text != "" {
			l += ": " + plainLine(w.Text)
		}
		out = append(out, l)
	}
	for _, w := range p.For {
		say(w, "vouches for it")
	}
	for _, w := range p.Against {
		say(w, "objects")
	}
	return out
}

// pastText says what of the past a new member gets.
func pastText(r *control.Room) string {
	if r.Terms == nil {
		return ""
	}
	switch r.Terms.History {
	case protocol.HistoryAll.String():
		return ", and all that was said before"
	case protocol.HistoryDate.String():
		return ", and what was said since " + day(r.Terms.HistoryFrom)
	}
	return ", and nothing that was said before"
}

func sponsorsText(r *control.Room) string {
	if r.Terms == nil || r.Terms.Sponsors == 0 {
		return "a member proposes it"
	}
	return plural(int(r.Terms.Sponsors), "member vouches for it", "members vouch for it")
}

func stewardIn(r *control.Room, t protocol.TeamID) bool {
	return slices.ContainsFunc(r.Members, func(m control.RoomMember) bool { return m.ID == t && m.Steward })
}

func stewardsOf(r *control.Room) (n int) {
	for _, m := range r.Members {
		if m.Steward {
			n++
		}
	}
	return n
}

// voidText names a decision that is given up.
func voidText(r *control.Room, id protocol.Hash) string {
	for _, p := range r.Proposals {
		if p.ID == id {
			return "the " + p.Kind + " of " + plainLine(p.Name) + " (" + id.Short() + ")"
		}
	}
	return "the decision " + id.Short()
}
