package trust

import (
	"fmt"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// An Action is what somebody wants to do with a message. The zero Action is refused.
type Action uint8

// The actions, and whom Question.Peer is about in each.
const (
	Compose Action = iota + 1 // address a message; Peer is a team that would read it. With Self: write it at all
	Relay                     // hand a new message on; Peer is the team that gets it
	Serve                     // answer a catch-up; Peer is the team that asks
	Receive                   // take a message in; Peer is its author
	View                      // show a message that is held; Peer is its author
	Export                    // write a message that is held to a file or another system; Peer is its author
)

var actionNames = [...]string{"none", "compose", "relay", "serve", "receive", "view", "export"}

// String returns the action in lower case.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action-%d", uint8(a))
}

// moves reports whether a message passes between teams in the action. The others are about one that passed before.
func (a Action) moves() bool { return a >= Compose && a <= Receive }

// A Question is all that a decision depends on. The zero Question is refused. Handing a message on is two questions: Receive
// about its author when it came in, and Relay or Serve about the team that gets it.
type Question struct {
	Action   Action
	Label    tlp.Label
	Audience protocol.AudienceKind
	Peer     State
	Self     bool          // Peer is my own team
	Ahead    time.Duration // how far the clock in the message is ahead of mine

	Control   bool            // the statement is for programs: receipts, records
	Agreement AgreementState  // of the audience's agreement; for named teams, Active if any agreement with Peer is
	Ceiling   tlp.Label       // of that agreement; for named teams, the strictest of the active ones
	Onward    protocol.Onward // of the audience's agreement; zero where there is none
	Content   bool            // View: of the content itself, which of RED is for persons; without it, of all but the content
	Person    bool            // View of content: the person who asks is one whom the audience names
	Reach     Reach           // Export: who would see it

	Room        RoomState            // of the audience's room, whose ceiling and onward sharing are Ceiling and Onward
	Standing    Standing             // of Peer in that room
	Attribution protocol.Attribution // of that room's charter
	Origin      protocol.Attribution // Export: to whom the result attributes what it tells
}

// A Reach is how far an export goes. The zero Reach is refused.
type Reach uint8

// The reaches, each of which includes those before it.
const (
	ReachTeam         Reach = iota + 1 // systems and persons of our own team
	ReachConstituents                  // those whom our team serves
	ReachCommunity                     // other teams
	ReachPublic                        // everybody
)

var reachNames = [...]string{"none", "team", "constituents", "community", "public"}

// String returns the reach in lower case.
func (r Reach) String() string {
	if int(r) < len(reachNames) {
		return reachNames[r]
	}
	return fmt.Sprintf("reach-%d", uint8(r))
}

// ParseReach reads the name of a reach.
func ParseReach(s string) (Reach, error) {
	for i, n := range reachNames {
		if i > 0 && n == s {
			return Reach(i), nil
		}
	}
	return 0, fmt.Errorf("reach %.40q: want one of %v", s, reachNames[1:])
}

// A Decision is the answer, and why.
type Decision struct {
	Allowed bool
	Rule    string // a stable short id for programs and logs
	Reason  string // for people; never anything of the message but its label
}

// The community's ceiling: what is stricter needs an audience that names its readers.
const communityCeiling = tlp.Green

// Decide is the only place where a label or an audience is judged. It is total, and refuses what it does not know. It is
// monotone: a stricter label, a worse state of the peer or of the agreement, a lower ceiling, a wider reach or a clock further
// ahead never turns a refusal into a permission.
func Decide(q Question) Decision {
	allowed, rule := judge(q)
	return Decision{Allowed: allowed, Rule: rule, Reason: reason(q, rule)}
}

// judge is Decide without the words.
func judge(q Question) (allowed bool, rule string) {
	switch {
	case !q.Action.moves() && q.Action != View && q.Action != Export:
		return false, "unknown-action"
	case !q.Label.Valid():
		return false, "no-label"
	case q.Audience < protocol.Community || q.Audience > protocol.InRoom:
		return false, "unknown-audience"
	case q.Control:
		return judgeControl(q)
	case q.Audience == protocol.Community && q.Label > communityCeiling:
		return false, "community-ceiling"
	}
	if !q.Self && !q.vouched() {
		if rule := q.Peer.refuses(q.Action); rule != "" {
			return false, rule
		}
	}
	if q.Action.moves() {
		if rule := terms(q); rule != "" {
			return false, rule
		}
	} else if rule := handling(q); rule != "" {
		return false, rule
	}
	switch {
	case q.Self:
		return true, "own-team"
	case q.Peer == Stale, q.Peer == Disputed:
		return true, "history"
	case q.Audience == protocol.Community:
		return true, "community"
	case q.Audience == protocol.InAgreement:
		return true, "agreement"
	case q.Audience == protocol.InRoom:
		return true, "room"
	}
	return true, "named-team"
}

// vouched reports whether Peer is nobody that people here know, but in the room by the word of its sponsors and stewards.
func (q Question) vouched() bool {
	return q.Audience == protocol.InRoom && q.Peer == Unknown && q.Standing > StandingProposed && q.Standing <= StandingRemoved
}

// refuses returns the rule by which a peer in this state is refused; "" if it is not. The trouble of a team that is stale or
// disputed came after what is held of it.
func (s State) refuses(a Action) string {
	switch s {
	case Introduced, Verified:
		return ""
	case Stale, Disputed:
		if !a.moves() {
			return ""
		}
		if s == Stale {
			return "peer-stale"
		}
		return "peer-disputed"
	case Blocked:
		return "peer-blocked"
	}
	return "peer-unknown"
}

// judgeControl judges what programs read: word of receipts and of agreements. It passes while a team is in trouble, because
// what ends or restricts a relation is said to them, too, and handed over when they may have anything again. It is shown to nobody.
func judgeControl(q Question) (allowed bool, rule string) {
	switch {
	case q.Audience != protocol.Direct && q.Audience != protocol.InRoom:
		return false, "control-audience"
	case q.Label > protocol.ControlLabel:
		return false, "control-label"
	case !q.Action.moves():
		return false, "control-hidden"
	case !q.Self && (q.Peer == Blocked):
		return false, "peer-blocked"
	case !q.Self && !q.vouched() && !MayConnect(q.Peer):
		return false, "peer-unknown"
	}
	return true, "control"
}

// terms returns the rule by which a message that moves is refused for its label or its agreement; "" if it is not. What our own
// team has already said is not judged again between its nodes.
func terms(q Question) string {
	if q.Self && q.Action != Compose {
		return ""
	}
	if q.Audience == protocol.InRoom {
		return roomTerms(q)
	}
	covered := q.Agreement == Active && q.Label <= q.Ceiling && q.Ceiling.Valid()
	switch {
	case q.Audience == protocol.InAgreement && q.Agreement != Active:
		if int(q.Agreement) < len(agreementRules) {
			return agreementRules[q.Agreement]
		}
		return "no-agreement"
	case q.Audience == protocol.InAgreement && !covered:
		return "agreement-ceiling"
	case q.Self, q.Peer == Verified, q.Label <= communityCeiling:
		return ""
	case q.Label == tlp.Red:
		return "needs-verified"
	case !covered:
		return "needs-verified-or-agreement"
	}
	return ""
}

// roomTerms is terms for a room. What was said before it froze or was closed still reaches those who were away.
func roomTerms(q Question) string {
	switch {
	case q.Room == RoomFounding:
		return "room-founding"
	case q.Room == RoomFrozen && q.Action == Compose:
		return "room-frozen"
	case q.Room == RoomClosed && q.Action == Compose:
		return "room-closed"
	case q.Room == NoRoom || q.Room > RoomClosed:
		return "no-room"
	case q.Standing != StandingMember:
		return "room-standing"
	case q.Label == tlp.Red || q.Label > q.Ceiling || !q.Ceiling.Valid():
		return "room-ceiling"
	}
	return ""
}

var agreementRules = [...]string{"no-agreement", "agreement-offered", "agreement-waiting", "", "agreement-suspended", "agreement-disputed",
	"agreement-ended", "agreement-expired", "agreement-superseded", "agreement-void"}

// handling returns the rule by which showing or exporting a message that is held is refused; "" if it is not. The agreement
// under which it came binds on when it is over.
func handling(q Question) string {
	switch {
	case q.Ahead > protocol.MaxClockAhead:
		return "from-the-future"
	case q.Action == View:
		if q.Label == tlp.Red && q.Content && !q.Person {
			return "named-persons"
		}
		return ""
	case q.Label == tlp.Red:
		return "red-export"
	case q.Reach < ReachTeam || q.Reach > ReachPublic:
		return "unknown-reach"
	case q.Reach > reachOf(q.Label):
		return "reach-label"
	case q.Audience == protocol.InAgreement && !q.Self && q.Reach > reachOfOnward(q.Onward):
		return "reach-agreement"
	case q.Audience == protocol.InRoom && !q.Self && q.Reach > reachOfOnward(q.Onward):
		return "reach-room"
	case q.Audience == protocol.InRoom && !q.Self && (q.Attribution < protocol.AttributeAuthor || q.Origin > protocol.AttributeNothing || q.Origin < q.Attribution):
		return "attribution"
	}
	return ""
}

// reachOf returns how far TLP 2.0 lets a receiver pass on what carries the label.
func reachOf(l tlp.Label) Reach {
	switch l {
	case tlp.Clear:
		return ReachPublic
	case tlp.Green:
		return ReachCommunity
	case tlp.Amber:
		return ReachConstituents
	case tlp.AmberStrict:
		return ReachTeam
	}
	return 0
}

// reachOfOnward returns how far the terms of an agreement let a receiver pass on what came under it.
func reachOfOnward(o protocol.Onward) Reach {
	switch o {
	case protocol.OnwardConstituents:
		return ReachConstituents
	case protocol.OnwardLabel:
		return ReachPublic
	}
	return ReachTeam
}

// reasons are the words of the rules that need no more than themselves.
var reasons = map[string]string{
	"unknown-action":              "this is no action that the rules know",
	"no-label":                    "the message has no TLP label: give it one",
	"unknown-audience":            "the audience is none that the rules know",
	"control-audience":            "receipts and records go to one named team, or records to a room",
	"control-label":               "receipts and records do not carry this label",
	"control-hidden":              "receipts and records are for programs: nothing of them is shown or exported",
	"peer-unknown":                "the team is unknown: add its introduction first",
	"peer-disputed":               "the records of the team contradict each other: nothing passes until it has cleared that up",
	"peer-stale":                  "the team has no valid manifest: what it said before can be read, nothing new passes",
	"peer-blocked":                "the team is blocked here",
	"no-agreement":                "there is no such agreement with the team",
	"agreement-offered":           "the agreement is not signed by both teams yet",
	"agreement-waiting":           "the time of the agreement has not come yet",
	"agreement-suspended":         "the agreement is suspended",
	"agreement-disputed":          "the records of a party of the agreement contradict each other: nothing passes until it has cleared that up",
	"agreement-ended":             "the agreement was ended",
	"agreement-expired":           "the agreement has expired: renew it",
	"agreement-superseded":        "the agreement was replaced by a newer one: use that",
	"agreement-void":              "the agreement never came into effect",
	"no-room":                     "there is no such room here",
	"room-founding":               "the room is not founded yet",
	"room-frozen":                 "the room is frozen, because stewards cheated: found it anew",
	"room-closed":                 "the room is closed",
	"room-standing":               "the team is no member of the room now",
	"named-persons":               "TLP:RED is for the persons whom the message names, and this person is none of them",
	"red-export":                  "TLP:RED is for the persons whom the message names: it is not exported",
	"unknown-reach":               "it is not said how far the export goes",
	"own-team":                    "it is our own",
	"control":                     "it is word between the programs of two teams that know each other",
	"needs-verified":              "TLP:RED goes only to teams whose fingerprint a person here compared: verify the team first",
	"needs-verified-or-agreement": "what is stricter than TLP:GREEN goes only to teams that are verified, or within an agreement that is active",
}

// reason returns the words of a rule.
func reason(q Question, rule string) string {
	switch rule {
	case "community-ceiling":
		return fmt.Sprintf("TLP:%s is too strict for the whole community: at most TLP:%s", q.Label, communityCeiling)
	case "agreement-ceiling":
		if !q.Ceiling.Valid() {
			return "the agreement has no ceiling"
		}
		return fmt.Sprintf("TLP:%s is too strict for the agreement: at most TLP:%s", q.Label, q.Ceiling)
	case "from-the-future":
		return fmt.Sprintf("the author's clock is %s ahead: the message waits until then", q.Ahead.Round(time.Second))
	case "reach-label":
		return fmt.Sprintf("TLP:%s does not go as far as the %s: at most the %s", q.Label, q.Reach, reachOf(q.Label))
	case "reach-agreement":
		return fmt.Sprintf("the agreement keeps it from the %s: at most the %s", q.Reach, reachOfOnward(q.Onward))
	case "room-ceiling":
		if q.Label == tlp.Red {
			return "TLP:RED goes to named persons, never to a room"
		}
		return fmt.Sprintf("TLP:%s is too strict for the room: at most TLP:%s", q.Label, q.Ceiling)
	case "reach-room":
		return fmt.Sprintf("the charter of the room keeps it from the %s: at most the %s", q.Reach, reachOfOnward(q.Onward))
	case "attribution":
		if q.Attribution == protocol.AttributeRoom {
			return "the charter lets it be attributed to a member of the room, not to the author: take the author out"
		}
		return "the charter does not let it be attributed to author or room: take out what tells either"
	case "room":
		return fmt.Sprintf("the team is a member of the room, which covers TLP:%s", q.Label)
	case "history":
		return fmt.Sprintf("the team is %s now: this was received before", q.Peer)
	case "community":
		return fmt.Sprintf("the team is %s, and TLP:%s may go to the community", q.Peer, q.Label)
	case "agreement":
		return fmt.Sprintf("the team is %s, and the agreement covers TLP:%s", q.Peer, q.Label)
	case "named-team":
		return fmt.Sprintf("the team is %s, and TLP:%s may go between the two", q.Peer, q.Label)
	}
	return reasons[rule]
}
