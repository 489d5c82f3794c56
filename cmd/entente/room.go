package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// roomCommands are in the order of the overview.
var roomCommands = []command{
	roomCreateCmd, roomSignCmd, roomAcceptCmd, roomListCmd, roomShowCmd, roomWaitingCmd, roomProposeCmd, roomVouchCmd, roomObjectCmd, roomVoteCmd,
	roomHoldCmd, roomSuspendCmd, roomReadmitCmd, roomRemoveCmd, roomRenewCmd, roomAmendCmd, roomLeaveCmd, roomCloseCmd, roomRefoundCmd, roomForgetCmd,
}

var roomCreateCmd = command{
	name: "room create", section: "Rooms", args: "NAME",
	short: "found a closed room: its charter, signed by an officer of yours",
	long: `A room is for its members only: what is said in it is encrypted to their nodes, and nobody else learns that the room
exists. Your team and those named by --steward decide in it: two or three of them together, of more about two thirds. You
see the charter before you sign it. The room is founded when all stewards have signed it (entente room sign); the other
founding members accept it (entente room accept).

--incident is for one incident: one member proposes a team, there is no time for objections, memberships last 90 days, and
who joins reads what was said before. Other flags change that.

--replaces ROOM founds a room anew that is frozen or lost its quorum; without --steward and --member, with those who are
in it.`,
	example: `entente room create "Northern ring" --steward CERT-B --steward CERT-C --member CERT-D
entente room create "Incident 4711" --incident --steward CERT-B --member CERT-C --tlp-max AMBER
entente room create "Northern ring 2" --replaces "Northern ring" --steward CERT-B --member CERT-D`,
	complete: none,
	setup: func(fs *flag.FlagSet, p *program) action {
		t := charterFlags(fs)
		fs.Var(&t.stewards, "steward", "a `TEAM` that decides too; may be repeated, or name several with commas")
		fs.Var(&t.members, "member", "a `TEAM` that is a member; may be repeated, or name several with commas")
		fs.BoolVar(&t.incident, "incident", false, "the defaults of a room for one incident")
		fs.StringVar(&t.replaces, "replaces", "", "found this `ROOM` anew")
		s := p.signFlags(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the name of the room"); err != nil {
				return err
			}
			t.stewards, t.members = split(t.stewards), split(t.members)
			if len(t.stewards) == 0 && t.replaces == "" {
				return usagef("--steward is missing: at least one other team decides with yours")
			}
			terms := control.RoomTerms{Name: args[0]}
			if err := t.fill(&terms, protocol.DefaultIEP()); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error { return createRoom(ctx, p, c, terms, t.replaces, s) })
		}
	},
}

// none completes nothing, not even files.
func none(context.Context, *program) []string { return nil }

func createRoom(ctx context.Context, p *program, c *control.Client, terms control.RoomTerms, replaces string, s *signFlags) error {
	var old *control.Room
	if replaces != "" {
		var err error
		if old, err = c.Room(ctx, replaces); err != nil {
			return err
		}
		terms.Replaces = old.ID
	}
	w, err := p.roomSigning(ctx, c, s)
	if err != nil {
		return err
	}
	if old != nil {
		w.know(old)
	}
	stewards, err := w.teams(ctx, terms.Stewards)
	if err != nil {
		return err
	}
	members, err := w.teams(ctx, terms.Members)
	if err != nil {
		return err
	}
	terms.Stewards, terms.Members = texts(stewards), texts(members)
	paper, err := c.DraftRoom(ctx, terms)
	if err != nil {
		return err
	}
	e, rec, err := paper.Open()
	if err != nil {
		return err
	}
	charter, ok := rec.(*protocol.Charter)
	if !ok {
		err = errors.New("no charter")
	} else {
		err = checkNewRoom(charter, &terms, w.cer.team, stewards, members)
	}
	if err != nil {
		return withHint(fmt.Errorf("the node drafted something else than was asked for: %w: nothing was signed", err), "are program and node of the same version?")
	}
	if !p.json {
		p.sayf("%s\n", charterText(e.ID(), charter, w.namer(ctx)))
		lines, _ := charterEffect(&control.Room{}, charter, charter.Name)
		for _, l := range lines {
			p.sayf("entente: %s", l)
		}
	}
	if err := p.confirm("Sign this charter?", "nothing was signed", s.yes); err != nil {
		return err
	}
	r, err := w.put(ctx, e, rec)
	if err != nil {
		return err
	}
	if err := printRoomStanding(p, r); err != nil || p.json {
		return err
	}
	p.sayf("entente: the other stewards sign it: entente room sign %s", quoted(r.Name))
	if len(charter.Members) > len(charter.Stewards) {
		p.sayf("entente: when all have, the other members accept it: entente room accept %s", quoted(r.Name))
	}
	if old != nil {
		p.sayf("entente: when it is open, each member leaves the old room for it with one signature: entente room refound %s %s", quoted(old.Name), quoted(r.Name))
	}
	return nil
}

// teams returns the ids of teams that are named, and remembers their names.
func (w *roomSigning) teams(ctx context.Context, queries []string) ([]protocol.TeamID, error) {
	var out []protocol.TeamID
	for _, q := range queries {
		t, err := w.c.Team(ctx, q)
		if err != nil {
			return nil, err
		}
		w.names[t.ID] = t.Name
		out = append(out, t.ID)
	}
	return out, nil
}

func texts(ts []protocol.TeamID) []string {
	var out []string
	for _, t := range ts {
		out = append(out, t.String())
	}
	return out
}

var roomSignCmd = command{
	name: "room sign", section: "Rooms", args: "ROOM",
	short: "sign the charter of a room that is being founded, as one of its stewards",
	long: `ROOM is a room's name, or the beginning of its id. You see the charter whole before you sign it. The room is open
once all of its stewards have signed.`,
	example:  `entente room sign "Northern ring"`,
	complete: roomNames,
	setup:    simpleAct("sign"),
}

var roomAcceptCmd = command{
	name: "room accept", section: "Rooms", args: "ROOM",
	short: "accept the charter of a room: as a founding member, as one that was proposed, or as a new steward",
	long: `You see the charter whole before you sign. A founding member is in with its acceptance. A team that was proposed is in
when the stewards have voted for it. To decline: entente room forget ROOM.`,
	example:  `entente room accept "Northern ring"`,
	complete: roomNames,
	setup:    simpleAct("accept"),
}

// simpleAct is the action of a command about no team.
func simpleAct(kind string) func(*flag.FlagSet, *program) action {
	return func(fs *flag.FlagSet, p *program) action {
		s := p.signFlags(fs)
		var reason *string
		if kind == "leave" {
			reason = fs.String("reason", "", "why, a `TEXT` that the members see")
		}
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the room"); err != nil {
				return err
			}
			a := control.RoomAct{Kind: kind}
			if reason != nil {
				a.Reason = *reason
			}
			return p.signed(ctx, args[0], s, func(w *roomSigning, r *control.Room) (*control.Room, error) { return w.act(ctx, r, a) })
		}
	}
}

// renewSoon is how near the end of a membership is that entente room renew renews without its being named.
const renewSoon = 90 * 24 * time.Hour

var roomRenewCmd = command{
	name: "room renew", section: "Rooms", args: "ROOM [TEAM…]",
	short: "propose to renew memberships, or vote for it, as a steward",
	long: `Without a team: all memberships that end within 90 days, and those that have lapsed. A team has no vote on its own:
another steward renews yours.`,
	example: `entente room renew "Northern ring"
entente room renew "Northern ring" CERT-D`,
	complete: roomThenTeam,
	setup: func(fs *flag.FlagSet, p *program) action {
		s := p.signFlags(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, -1, "the room"); err != nil {
				return err
			}
			return p.signed(ctx, args[0], s, func(w *roomSigning, r *control.Room) (*control.Room, error) { return w.renew(ctx, r, args[1:]) })
		}
	},
}

// renew votes for the renewals that others proposed, and proposes the rest.
func (w *roomSigning) renew(ctx context.Context, r *control.Room, queries []string) (*control.Room, error) {
	var todo []control.TeamRef
	for _, q := range queries {
		t, err := teamIn(ctx, w.c, r, q)
		if err != nil {
			return nil, err
		}
		todo = append(todo, control.TeamRef{ID: t, Name: q})
	}
	if len(queries) == 0 {
		if todo = ending(r, time.Now()); len(todo) == 0 {
			return nil, usagef("no membership in room %s that your team could renew ends within 90 days", r.Name)
		}
	}
	for i, t := range todo {
		a := control.RoomAct{Kind: "renew", Team: t.ID.String()}
		for _, q := range r.Proposals {
			if q.Kind == "renewal" && q.Subject != nil && *q.Subject == t.ID && q.Mine {
				a = control.RoomAct{Kind: "vote", Proposal: q.ID.String()}
			}
		}
		after, err := w.act(ctx, r, a)
		if err != nil {
			if len(todo) > 1 {
				err = withHint(fmt.Errorf("%s: %w", t.Name, err), "%d of %d were signed before", i, len(todo))
			}
			return nil, err
		}
		r = after
	}
	return r, nil
}

// ending returns the members whose term is over within renewSoon, or is over, and for which this team has not voted yet.
func ending(r *control.Room, now time.Time) []control.TeamRef {
	var out []control.TeamRef
	for _, m := range r.Members {
		if m.Self || m.Until == nil || m.Status != "member" && m.Status != "lapsed" || m.Until.After(now.Add(renewSoon)) {
			continue
		}
		voted := false
		for _, q := range r.Proposals {
			if q.Kind == "renewal" && q.Subject != nil && *q.Subject == m.ID {
				voted = !q.Mine
			}
		}
		if !voted {
			out = append(out, m.TeamRef)
		}
	}
	return out
}

var roomAmendCmd = command{
	name: "room amend", section: "Rooms", args: "ROOM",
	short: "propose a new version of the charter: other terms, other stewards",
	long: `What no flag names stays as it is. You see what changes before you sign; your approval is signed with it. It is in effect
when enough stewards have voted for it, and each new steward has accepted it.`,
	example: `entente room amend "Northern ring" --tlp-max AMBER --keep-days 365
entente room amend "Northern ring" --add-steward CERT-D --drop-steward CERT-B`,
	complete: roomNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		t := charterFlags(fs)
		fs.Var(&t.add, "add-steward", "a member `TEAM` that decides from then on; may be repeated")
		fs.Var(&t.drop, "drop-steward", "a `TEAM` that decides no more; may be repeated")
		name := fs.String("name", "", "another `NAME`")
		s := p.signFlags(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the room"); err != nil {
				return err
			}
			t.add, t.drop = split(t.add), split(t.drop)
			return p.signed(ctx, args[0], s, func(w *roomSigning, r *control.Room) (*control.Room, error) {
				policy := protocol.DefaultIEP()
				if r.Terms != nil {
					policy = r.Terms.Policy
				}
				terms := control.RoomTerms{Name: *name}
				if err := t.fill(&terms, policy); err != nil {
					return nil, err
				}
				if !t.given(&terms) {
					return nil, usagef("nothing to change was given")
				}
				for _, l := range []*[]string{&terms.AddStewards, &terms.DropStewards} {
					for i, q := range *l {
						id, err := teamIn(ctx, w.c, r, q)
						if err != nil {
							return nil, err
						}
						(*l)[i] = id.String()
					}
				}
				return w.act(ctx, r, control.RoomAct{Kind: "amend", Terms: &terms})
			})
		}
	},
}

var roomRefoundCmd = command{
	name: "room refound", section: "Rooms", args: "ROOM NEW",
	short: "go on in a new room that replaces one that is frozen or lost its quorum",
	long: `NEW is the new room, which a member founded with entente room create NAME --replaces ROOM. With this one signature your
team accepts its charter, which you see before, and leaves the old room behind. Each member decides for itself.`,
	example:  `entente room refound "Northern ring" "Northern ring 2"`,
	complete: roomNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		s := p.signFlags(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 2, 2, "the old room, or the new one"); err != nil {
				return err
			}
			return p.signed(ctx, args[0], s, func(w *roomSigning, r *control.Room) (*control.Room, error) {
				var err error
				if w.next, err = w.c.Room(ctx, args[1]); err != nil {
					return nil, err
				}
				w.know(w.next)
				return w.act(ctx, r, control.RoomAct{Kind: "refound", Next: w.next.ID})
			})
		}
	},
}

var roomForgetCmd = command{
	name: "room forget", section: "Rooms", args: "ROOM",
	short: "decline an invitation, or destroy what is here of a room that is over for this team",
	long: `The keys of the room are destroyed on this node, and with them its messages and records: they cannot be read again, not
even from a copy of the disk. A backup made before still has them.`,
	example:  `entente room forget "Incident 4711"`,
	complete: roomNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		yes := fs.Bool("yes", false, "do not ask on the terminal")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the room"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				r, err := c.Room(ctx, args[0])
				if err != nil {
					return err
				}
				question := fmt.Sprintf("Destroy the keys, messages and records of %s on this node, for good?", plainLine(r.Name))
				if r.Own == "proposed" {
					question = fmt.Sprintf("Decline the invitation to %s?", plainLine(r.Name))
				}
				if err := p.confirm(question, "nothing was changed", *yes); err != nil {
					return err
				}
				if err := c.ForgetRoom(ctx, r.ID); err != nil {
					return err
				}
				if p.json {
					return p.out.object(map[string]any{"id": r.ID, "forgotten": true})
				}
				p.out.linef("%s  %s is forgotten here", r.ID.Short(), plainLine(r.Name))
				return nil
			})
		}
	},
}
