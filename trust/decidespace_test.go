package trust

import (
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// The whole domain of Decide, with one value beyond each end that is none. Of the clock there are two values, before and after
// the one bound.
const (
	actionsEnd    = Export + 1
	labelsEnd     = tlp.Red + 1
	audiencesEnd  = protocol.InRoom + 1
	statesEnd     = Blocked + 1
	agreementsEnd = VoidState + 1
	onwardEnd     = protocol.OnwardLabel + 1
	reachEnd      = ReachPublic + 1
)

var bools = [...]bool{false, true}

// everyQuestion calls fn with each question of one action. Reach and Onward are for exports: in the other actions they have two
// values each, which is enough to see that they do not matter.
func everyQuestion(a Action, fn func(Question)) {
	q := Question{Action: a}
	onwardStep, reachStep := onwardEnd, reachEnd
	if a == Export {
		onwardStep, reachStep = 1, 1
	}
	for q.Label = 0; q.Label <= labelsEnd; q.Label++ {
		for _, q.Audience = range []protocol.AudienceKind{0, protocol.Community, protocol.Direct, protocol.InAgreement, audiencesEnd} {
			for q.Peer = 0; q.Peer <= statesEnd; q.Peer++ {
				for q.Agreement = 0; q.Agreement <= agreementsEnd; q.Agreement++ {
					for q.Ceiling = 0; q.Ceiling <= labelsEnd; q.Ceiling++ {
						for q.Onward = 0; q.Onward <= onwardEnd; q.Onward += onwardStep {
							for q.Reach = 0; q.Reach <= reachEnd; q.Reach += reachStep {
								for bits := range 32 {
									q.Self, q.Control, q.Content, q.Person = bools[bits&1], bools[bits>>1&1], bools[bits>>2&1], bools[bits>>3&1]
									q.Ahead = []time.Duration{protocol.MaxClockAhead, protocol.MaxClockAhead + 1}[bits>>4]
									fn(q)
								}
							}
						}
					}
				}
			}
		}
	}
}

// betterStates lists, for each state of a peer, those in which it is trusted more.
var betterStates = map[State][]State{
	Blocked:    {Unknown, Disputed, Stale, Introduced, Verified},
	Unknown:    {Introduced, Verified},
	Disputed:   {Introduced, Verified},
	Stale:      {Introduced, Verified},
	Introduced: {Verified},
}

// easier returns the questions next to q that ask for less, or of somebody who is trusted more.
func easier(q Question, out []Question) []Question {
	with := func(edit func(*Question)) {
		e := q
		edit(&e)
		out = append(out, e)
	}
	if q.Label > tlp.Clear {
		with(func(e *Question) { e.Label-- })
	}
	for _, s := range betterStates[q.Peer] {
		with(func(e *Question) { e.Peer = s })
	}
	if q.Agreement != Active {
		with(func(e *Question) { e.Agreement = Active })
	}
	if q.Ceiling < tlp.Red {
		with(func(e *Question) { e.Ceiling++ })
	}
	if q.Onward < protocol.OnwardLabel {
		with(func(e *Question) { e.Onward++ })
	}
	if q.Reach > ReachTeam {
		with(func(e *Question) { e.Reach-- })
	}
	if q.Content {
		with(func(e *Question) { e.Content = false })
	}
	if !q.Person {
		with(func(e *Question) { e.Person = true })
	}
	if !q.Self {
		with(func(e *Question) { e.Self = true })
	}
	if q.Ahead > protocol.MaxClockAhead {
		with(func(e *Question) { e.Ahead = protocol.MaxClockAhead })
	}
	return out
}

// I-36, over the whole domain: a stricter label, a lower ceiling, a suspension or any other state of an agreement that is not
// active, a worse state of the team, a wider reach, narrower terms, content instead of its header, a person who is not named,
// another's message instead of one's own and a clock further ahead never turn a refusal into a permission. Each question that
// is permitted is compared with those one step easier.
//
// And what each label and audience needs, said a second time and in another way than Decide says it, is exactly what decides.
func TestDecideOverItsWholeDomain(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole domain takes seconds")
	}
	var next []Question
	for a := Action(0); a <= actionsEnd; a++ {
		permitted, all := 0, 0
		everyQuestion(a, func(q Question) {
			all++
			ok, rule := judge(q)
			if lacks := needs(q); ok != (lacks == "") {
				t.Fatalf("%+v: permitted %v (%s), and it lacks %q", q, ok, rule, lacks)
			}
			if !ok {
				return
			}
			permitted++
			next = easier(q, next[:0])
			for _, e := range next {
				if ok, rule := judge(e); !ok {
					t.Fatalf("%+v is permitted, but %+v is refused by %s", q, e, rule)
				}
			}
		})
		if known := a >= Compose && a <= Export; known && permitted == 0 || !known && permitted > 0 {
			t.Errorf("%s: %d of %d questions are permitted", a, permitted, all)
		}
		t.Logf("%s: %d of %d questions are permitted", a, permitted, all)
	}
}

// widest is how far an export of each label may go.
var widest = [labelsEnd + 1]Reach{tlp.Clear: ReachPublic, tlp.Green: ReachCommunity, tlp.Amber: ReachConstituents, tlp.AmberStrict: ReachTeam}

// needs returns what a question lacks to be permitted; "" if nothing.
func needs(q Question) string {
	moves := q.Action == Compose || q.Action == Relay || q.Action == Serve || q.Action == Receive
	vouched := q.Peer == Introduced || q.Peer == Verified
	covered := q.Agreement == Active && q.Ceiling <= tlp.Red && q.Label <= q.Ceiling
	switch {
	case !moves && q.Action != View && q.Action != Export:
		return "an action"
	case q.Audience < protocol.Community || q.Audience > protocol.InAgreement:
		return "an audience" // rooms have a test of their own
	case q.Label < tlp.Clear || q.Label > tlp.Red:
		return "a label"
	case q.Control && (!moves || q.Audience != protocol.Direct || q.Label > tlp.AmberStrict):
		return "that control statements move, to one team"
	case !q.Self && (q.Peer == Unknown || q.Peer >= Blocked):
		return "a team that is known and not blocked"
	case q.Control:
		return ""
	case q.Audience == protocol.Community && q.Label > tlp.Green:
		return "GREEN at most for the community"
	case moves && !q.Self && !vouched:
		return "a team that is vouched for now"
	case moves && !q.Self && q.Label == tlp.Red && q.Peer != Verified:
		return "a verified team for RED"
	case moves && !q.Self && q.Label > tlp.Green && q.Peer != Verified && !covered:
		return "a verified team or an agreement for AMBER"
	case q.Audience == protocol.InAgreement && moves && (!q.Self || q.Action == Compose) && !covered:
		return "an agreement that is active and covers the label"
	case q.Action == View && q.Content && q.Label == tlp.Red && !q.Person:
		return "a named person for RED"
	case !moves && q.Ahead > protocol.MaxClockAhead:
		return "a clock that is not ahead"
	case q.Action == Export && (q.Reach < ReachTeam || q.Reach > widest[min(q.Label, labelsEnd)]):
		return "a reach that the label permits"
	case q.Action == Export && q.Audience == protocol.InAgreement && !q.Self && q.Reach > ReachTeam && q.Onward != protocol.OnwardConstituents && q.Onward != protocol.OnwardLabel,
		q.Action == Export && q.Audience == protocol.InAgreement && !q.Self && q.Reach > ReachConstituents && q.Onward != protocol.OnwardLabel:
		return "a reach that the agreement permits"
	}
	return ""
}
