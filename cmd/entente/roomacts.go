package main

import (
	"context"
	"flag"

	"github.com/entente-network/entente/node/control"
)

// teamAct is the action of a command about one team of a room.
func teamAct(kind, reason string) func(*flag.FlagSet, *program) action {
	return func(fs *flag.FlagSet, p *program) action {
		s := p.signFlags(fs)
		why := fs.String("reason", "", reason)
		withdraw := new(bool)
		if kind == "object" {
			withdraw = fs.Bool("withdraw", false, "take this team's objection back")
		}
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 2, 2, "the room, or the team"); err != nil {
				return err
			}
			a := control.RoomAct{Kind: kind, Reason: *why}
			if *withdraw {
				a.Kind = "withdraw"
			}
			return p.signed(ctx, args[0], s, func(w *roomSigning, r *control.Room) (*control.Room, error) {
				t, err := teamIn(ctx, w.c, r, args[1])
				if err != nil {
					return nil, err
				}
				a.Team = t.String()
				return w.act(ctx, r, a)
			})
		}
	}
}

const seenReason = "why, a `TEXT` that the members see"

var roomProposeCmd = command{
	name: "room propose", section: "Rooms", args: "ROOM TEAM",
	short: "propose a team for a room, and vouch for it",
	long: `Any member may propose a team that it knows. The team is invited with your word. It is admitted when as many members
vouch for it as the charter asks, it has accepted the charter, the time for objections is over, and the stewards vote.`,
	example:  `entente room propose "Northern ring" CERT-D --reason "met at two exercises, known since 2019"`,
	complete: roomThenTeam,
	setup:    teamAct("vouch", "what is known of the team, a `TEXT` that the members see"),
}

var roomVouchCmd = command{
	name: "room vouch", section: "Rooms", args: "ROOM TEAM",
	short: "vouch for a team that was proposed for a room",
	long:  `Your team gives its word that it knows the team. It counts as long as your team is a member.`,
	example: `entente room vouch "Northern ring" CERT-D
entente room vouch "Northern ring" CERT-D --reason "we worked two incidents together"`,
	complete: roomThenTeam,
	setup:    teamAct("vouch", "what is known of the team, a `TEXT` that the members see"),
}

var roomObjectCmd = command{
	name: "room object", section: "Rooms", args: "ROOM TEAM",
	short: "object to the admission of a team, or take that back",
	long:  `Any member may object. While an objection stands, the admission takes one vote more, and says that it overrules it.`,
	example: `entente room object "Northern ring" CERT-D --reason "they passed on what was TLP:AMBER+STRICT"
entente room object "Northern ring" CERT-D --withdraw`,
	complete: roomThenTeam,
	setup:    teamAct("object", seenReason),
}

var roomHoldCmd = command{
	name: "room hold", section: "Rooms", args: "ROOM TEAM",
	short: "keep a member out at once, for a short time, as one steward alone",
	long: `From the next message on the member reads nothing; what it received before it keeps. A steward may hold a member once
under one version of the charter. The hold ends by itself; what is to last takes the stewards' votes: entente room suspend,
entente room remove.`,
	example:  `entente room hold "Northern ring" CERT-D --reason "their node was broken into"`,
	complete: roomThenTeam,
	setup:    teamAct("hold", seenReason),
}

var roomSuspendCmd = command{
	name: "room suspend", section: "Rooms", args: "ROOM TEAM",
	short: "propose to suspend a member, or vote for it, as a steward",
	long: `Once enough stewards have voted, the member reads nothing from the next message on; what it received before it keeps.
The stewards let it in again with entente room readmit.`,
	example:  `entente room suspend "Northern ring" CERT-D --reason "until their keys are new"`,
	complete: roomThenTeam,
	setup:    teamAct("suspend", seenReason),
}

var roomReadmitCmd = command{
	name: "room readmit", section: "Rooms", args: "ROOM TEAM",
	short:    "propose to let a suspended member in again, as a steward",
	example:  `entente room readmit "Northern ring" CERT-D`,
	complete: roomThenTeam,
	setup:    teamAct("readmit", seenReason),
}

var roomRemoveCmd = command{
	name: "room remove", section: "Rooms", args: "ROOM TEAM",
	short: "propose to remove a member, as a steward",
	long: `Once enough stewards have voted, the member reads nothing from the next message on; what it received before it keeps.
It comes back as anybody comes in. Where it is urgent, entente room hold works at once.`,
	example:  `entente room remove "Northern ring" CERT-D --reason "merged into another team"`,
	complete: roomThenTeam,
	setup:    teamAct("remove", seenReason),
}

var roomLeaveCmd = command{
	name: "room leave", section: "Rooms", args: "ROOM",
	short: "leave a room, by your own word",
	long: `Your team reads nothing from the next message on. What it received stays bound by its labels and the charter, until
entente room forget, or its term, destroys it.`,
	example:  `entente room leave "Northern ring"`,
	complete: roomNames,
	setup:    simpleAct("leave"),
}

var roomCloseCmd = command{
	name: "room close", section: "Rooms", args: "ROOM",
	short: "propose to close a room for all, as a steward",
	long: `It is a new version of the charter, for which the stewards vote. Once it is in effect nothing is said in the room any
more, and the members' nodes destroy its keys and messages in their time.`,
	example:  `entente room close "Incident 4711"`,
	complete: roomNames,
	setup:    simpleAct("close"),
}

var roomVoteCmd = command{
	name: "room vote", section: "Rooms", args: "ROOM PROPOSAL",
	short: "vote for a proposal, as a steward",
	long: `PROPOSAL is the beginning of its id, or the team that it is about. Nobody votes no: a proposal that finds too few votes
is left behind. You see what it does before you sign. A charter takes two steps, to approve and, when a quorum did, to
adopt; the second is signed with the first if it is due, and waits else: entente room waiting.

--give-up adopts a charter although it undoes a restriction that your team voted for. It can be voted for again then.`,
	example: `entente room vote "Northern ring" CERT-D
entente room vote "Northern ring" 3f2a9c1d7b`,
	complete: roomThenProposal,
	setup: func(fs *flag.FlagSet, p *program) action {
		s := p.signFlags(fs)
		giveUp := fs.Bool("give-up", false, "adopt a charter although it undoes what this team voted for")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 2, 2, "the room, or the proposal"); err != nil {
				return err
			}
			return p.signed(ctx, args[0], s, func(w *roomSigning, r *control.Room) (*control.Room, error) {
				q, err := proposalIn(r, args[1])
				if err != nil {
					return nil, err
				}
				if q.Kind == "founding" {
					return w.act(ctx, r, control.RoomAct{Kind: "sign"})
				}
				return w.act(ctx, r, control.RoomAct{Kind: "vote", Proposal: q.ID.String(), GiveUp: *giveUp})
			})
		}
	},
}
