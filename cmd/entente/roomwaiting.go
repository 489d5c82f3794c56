package main

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// nextSteps says what a person of this team can do, in commands.
func nextSteps(r *control.Room, heirs []control.Room) []string {
	room := quoted(r.Name)
	var out []string
	for _, d := range r.Waiting {
		out = append(out, draftText(d)+": "+draftCommand(r, d))
	}
	switch r.State {
	case "frozen":
		for _, c := range r.Cheats {
			out = append(out, fmt.Sprintf("%s cheated: two records that its officers signed prove it to anybody, %s and %s", plainLine(c.Team.Name), c.A, c.B))
		}
		out = append(out, refounding(r, heirs)...)
	case "quorum-lost":
		out = append(out, refounding(r, heirs)...)
	case "closed":
		out = append(out, "what was received stays readable until it is forgotten: entente room forget "+room)
	case "founding":
		out = append(out, "to decline: entente room forget "+room)
	}
	for _, n := range r.Next {
		if slices.ContainsFunc(heirs, func(h control.Room) bool { return h.ID == n }) {
			continue
		}
		out = append(out, fmt.Sprintf("others go on in room %s: entente room show %s; with them: entente room refound %s %s", n.Short(), n.Short(), r.ID.Short(), n.Short()))
	}
	return out
}

// refounding says how a room is founded anew.
func refounding(r *control.Room, heirs []control.Room) (out []string) {
	room := quoted(r.Name)
	for _, h := range heirs {
		if h.State == "founding" {
			out = append(out, fmt.Sprintf("it is being founded anew: %s: entente room show %s", plainLine(h.Why), quoted(h.Name)))
		} else {
			out = append(out, fmt.Sprintf("it is founded anew; go on there, with one signature: entente room refound %s %s", room, quoted(h.Name)))
		}
	}
	if len(heirs) > 0 {
		return out
	}
	who := ""
	if r.State == "frozen" && len(r.Cheats) > 0 {
		who = ", without who cheated"
	}
	return []string{
		fmt.Sprintf("agree by phone who of you founds it anew%s; that one: entente room create NEW --replaces %s --steward TEAM… --member TEAM…", who, room),
		"then one signature of each team: its stewards entente room sign NEW, the others entente room refound " + room + " NEW",
	}
}

// draftText says what waits.
func draftText(d control.RoomDraft) string {
	about := d.About
	if d.Name != "" {
		about += " of " + plainLine(d.Name)
	}
	switch d.Kind {
	case "sign":
		return "sign the charter"
	case "accept":
		return "accept the charter"
	case "approve":
		return "approve a new charter"
	case "adopt":
		return "adopt the charter that a quorum approved"
	case "refound":
		return "go on in room " + plainLine(d.Name)
	case "give-up":
		return "adopt a charter that undoes what your team voted for"
	}
	return "vote on the " + orNone(about)
}

// draftCommand returns the command that signs what waits.
func draftCommand(r *control.Room, d control.RoomDraft) string {
	room := quoted(r.Name)
	switch d.Kind {
	case "sign", "accept":
		return "entente room " + d.Kind + " " + room
	case "refound":
		return "entente room refound " + room + " " + quoted(d.Name)
	case "give-up":
		return "entente room vote " + room + " " + d.ID.Short() + " --give-up"
	}
	return "entente room vote " + room + " " + d.ID.Short()
}

// A roomWait is a thing that waits, as JSON.
type roomWait struct {
	Room struct {
		ID   protocol.Hash `json:"id"`
		Name string        `json:"name"`
	} `json:"room"`
	control.RoomDraft
	Next string `json:"next"` // the command
}

var roomWaitingCmd = command{
	name: "room waiting", section: "Rooms",
	short: "what waits for this team in all rooms, and the command for it",
	long: `Votes that your team can give, charters to sign, accept or adopt. What others have to do first is in
entente room show ROOM.`,
	example: `entente room waiting`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "room waiting"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				var rs []control.Room
				err := c.Rooms(ctx, func(r control.Room) error {
					rs = append(rs, r)
					return nil
				})
				if err != nil {
					return err
				}
				inherit(rs)
				n := 0
				for _, r := range rs {
					n += len(r.Waiting)
					if err := printWaiting(p, &r); err != nil {
						return err
					}
				}
				if n == 0 && !p.json {
					p.sayf("entente: nothing waits for this team")
				}
				return nil
			})
		}
	},
}

// inherit adds to what waits in rooms that are to be left behind that this team goes on in the one that replaces it, which
// accepts that one's charter too.
func inherit(rs []control.Room) {
	for i := range rs {
		for j := range rs {
			old, next := &rs[i], &rs[j]
			if !broken(old) || !replaces(next, old) || next.State == "founding" || next.Own != "proposed" && next.Own != "member" {
				continue
			}
			old.Waiting = append(old.Waiting, control.RoomDraft{Kind: "refound", ID: next.ID, Name: next.Name, Why: "a room that replaces it is open"})
			next.Waiting = slices.DeleteFunc(next.Waiting, func(d control.RoomDraft) bool { return d.Kind == "accept" })
		}
	}
}

func printWaiting(p *program, r *control.Room) error {
	for _, d := range r.Waiting {
		if p.json {
			v := roomWait{RoomDraft: d, Next: draftCommand(r, d)}
			v.Room.ID, v.Room.Name = r.ID, r.Name
			if err := p.out.object(v); err != nil {
				return err
			}
			continue
		}
		p.out.linef("%s: %s (%s)", plainLine(r.Name), draftText(d), plainLine(d.Why))
		p.out.linef("  %s", draftCommand(r, d))
	}
	return nil
}

// roomNames returns, for completion, how the known rooms may be named.
func roomNames(ctx context.Context, p *program) []string {
	var out []string
	for _, r := range knownRooms(ctx, p) {
		out = append(out, r.Name, r.ID.Short())
	}
	return out
}

func knownRooms(ctx context.Context, p *program) []control.Room {
	c, err := p.dial()
	if err != nil {
		return nil
	}
	defer c.Close()
	var out []control.Room
	_ = c.Rooms(ctx, func(r control.Room) error {
		out = append(out, r)
		return nil
	})
	return out
}

// roomThenTeam completes a room and a team.
func roomThenTeam(ctx context.Context, p *program) []string {
	out := append(roomNames(ctx, p), teamNames(ctx, p)...)
	slices.Sort(out)
	return slices.Compact(out)
}

// roomThenProposal completes a room and what waits in one.
func roomThenProposal(ctx context.Context, p *program) []string {
	var out []string
	for _, r := range knownRooms(ctx, p) {
		out = append(out, r.Name, r.ID.Short())
		for _, q := range r.Proposals {
			out = append(out, q.ID.Short())
			if q.Name != "" {
				out = append(out, q.Name)
			}
		}
	}
	return out
}
