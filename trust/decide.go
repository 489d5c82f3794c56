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
	Export                    // write a message that is held to a file or another system of ours; Peer is its author
)

var actionNames = [...]string{"none", "compose", "relay", "serve", "receive", "view", "export"}

// String returns the action in lower case.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action-%d", uint8(a))
}

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
	Ceiling   tlp.Label       // of that agreement
	Onward    protocol.Onward // of the audience's agreement; zero where there is none
	Content   bool            // View: of the content itself, which of RED is for persons; without it, of all but the content
	Person    bool            // View of content: the person who asks is one whom the audience names
	Reach     Reach           // Export: who would see it
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

// who lists, for each action, the states of the peer in which it is allowed. My own team is always allowed.
var who = map[Action]map[State]bool{
	Compose: {Introduced: true, Verified: true},
	Relay:   {Introduced: true, Verified: true},
	Serve:   {Introduced: true, Verified: true},
	Receive: {Introduced: true, Verified: true},
	View:    {Introduced: true, Verified: true, Stale: true, Disputed: true},
	Export:  {Introduced: true, Verified: true, Stale: true, Disputed: true},
}

// waits lists the actions that a message from the future has to wait for.
var waits = map[Action]bool{View: true, Export: true}

var stateRules = map[State]Decision{
	Unknown:  {Rule: "peer-unknown", Reason: "the team is unknown: add its introduction first"},
	Disputed: {Rule: "peer-disputed", Reason: "the records of the team contradict each other: nothing passes until it has cleared that up"},
	Stale:    {Rule: "peer-stale", Reason: "the team has no valid manifest: what it said before can be read, nothing new passes"},
	Blocked:  {Rule: "peer-blocked", Reason: "the team is blocked here"},
}

// Decide is the only place where a label or an audience is judged. It is total, and refuses what it does not know. It is
// monotone: a stricter label, a worse state or a clock further ahead never turns a refusal into a permission.
func Decide(q Question) Decision {
	allowed, ok := who[q.Action]
	switch {
	case !ok:
		return Decision{Rule: "unknown-action", Reason: "this is no action that the rules know"}
	case !q.Label.Valid():
		return Decision{Rule: "no-label", Reason: "the message has no TLP label: give it one"}
	case q.Audience != protocol.Community:
		return Decision{Rule: "unknown-audience", Reason: "the audience is none that the rules know"}
	case q.Label > communityCeiling:
		return Decision{Rule: "community-ceiling", Reason: fmt.Sprintf("TLP:%s is too strict for the whole community: at most TLP:%s",
			q.Label, communityCeiling)}
	case !q.Self && !allowed[q.Peer]:
		if d, ok := stateRules[q.Peer]; ok {
			return d
		}
		return Decision{Rule: "peer-unknown", Reason: "the state of the team is none that the rules know"}
	case waits[q.Action] && q.Ahead > protocol.MaxClockAhead:
		return Decision{Rule: "from-the-future", Reason: fmt.Sprintf("the author's clock is %s ahead: the message waits until then",
			q.Ahead.Round(time.Second))}
	case q.Self:
		return Decision{Allowed: true, Rule: "own-team", Reason: "it is our own"}
	case q.Peer == Stale, q.Peer == Disputed:
		return Decision{Allowed: true, Rule: "history", Reason: fmt.Sprintf("the team is %s now: this was received before", q.Peer)}
	}
	return Decision{Allowed: true, Rule: "community", Reason: fmt.Sprintf("the team is %s, and TLP:%s may go to the community", q.Peer, q.Label)}
}
