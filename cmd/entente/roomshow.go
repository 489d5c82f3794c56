package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// split takes lists with commas apart.
func split(l list) (out list) {
	for _, s := range l {
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

var roomListCmd = command{
	name: "room list", section: "Rooms",
	short:   "the rooms of this team, and what waits in them",
	example: `entente room list`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "room list"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				var rs []control.Room
				err := c.Rooms(ctx, func(r control.Room) error {
					if p.json {
						return p.out.object(r)
					}
					rs = append(rs, r)
					return nil
				})
				if err != nil || p.json {
					return err
				}
				printRooms(p, rs)
				return nil
			})
		}
	},
}

func printRooms(p *program, rs []control.Room) {
	if len(rs) == 0 {
		p.sayf("entente: there is no room: entente room create")
		return
	}
	var ids []string
	for _, r := range rs {
		ids = append(ids, r.ID.String())
	}
	short := shortIDs(ids)
	var t table
	t.add("ID", "NAME", "STATE", "YOUR TEAM", "TLP UP TO", "READ NOW", "NEWS")
	for _, r := range rs {
		label := "-"
		if r.Terms != nil {
			label = r.Terms.TLPMax.String()
		}
		own := r.Own
		if r.Steward {
			own += ", steward"
		}
		readers := fmt.Sprint(len(readersOf(&r)))
		if r.State == "closed" || r.State == "founding" || r.State == "frozen" {
			readers = "-"
		}
		t.add(short[r.ID.String()], shorten(r.Name, 40), r.State, own, label, readers, roomNews(r))
	}
	t.print(p.out)
}

// roomNews says in a line what a person should know of a room.
func roomNews(r control.Room) string {
	var out []string
	if n := len(r.Waiting); n > 0 {
		out = append(out, plural(n, "thing waits for you", "things wait for you"))
	}
	if n := len(r.Joined); n > 0 {
		out = append(out, "joined: "+teamList(r.Joined))
	}
	if n := len(r.Gone); n > 0 {
		out = append(out, "out: "+teamList(r.Gone))
	}
	if n := len(r.Unreached); n > 0 {
		out = append(out, plural(n, "member is", "members are")+" not reached")
	}
	if r.State != "open" && r.Why != "" {
		out = append(out, shorten(plainLine(r.Why), 120))
	}
	for _, w := range warnings(&r) {
		out = append(out, shorten(w, 120))
	}
	return strings.Join(out, "; ")
}

var roomShowCmd = command{
	name: "room show", section: "Rooms", args: "ROOM",
	short: "one room: who is in it, who reads what is said now, what waits, and its terms",
	long: `ROOM is a room's name, or the beginning of its id. --text gives its charter alone, whole, as it may be printed; with
--proposal that of a proposed one. When you have looked, entente says from then on who joined since.`,
	example: `entente room show "Northern ring"
entente room show "Northern ring" --text > charter.txt`,
	complete: roomNames,
	setup: func(fs *flag.FlagSet, p *program) action {
		text := fs.Bool("text", false, "the charter in words, and nothing else")
		proposed := fs.String("proposal", "", "with --text: the charter that is proposed under this `ID`")
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the room"); err != nil {
				return err
			}
			if *proposed != "" && !*text {
				return usagef("--proposal goes with --text")
			}
			return p.withNode(func(c *control.Client) error {
				r, err := c.Room(ctx, args[0])
				if err != nil {
					return err
				}
				switch {
				case *text:
					return showCharter(p, r, *proposed)
				case p.json:
					return p.out.object(r)
				}
				heirs, err := heirsOf(ctx, c, r)
				if err != nil {
					return err
				}
				printRoom(p, r, heirs)
				return c.RoomSeen(ctx, r.ID)
			})
		}
	},
}

func showCharter(p *program, r *control.Room, proposed string) error {
	id, raw := r.Charter, r.Record
	if proposed != "" {
		q, err := proposalIn(r, proposed)
		if err != nil {
			return err
		}
		id, raw = &q.ID, q.Record
	}
	c, err := control.CharterOf(raw)
	if err != nil || id == nil {
		return usagef("there is no charter under that id in room %s", r.Name)
	}
	names := map[protocol.TeamID]string{}
	for _, t := range r.Teams {
		names[t.ID] = t.Name
	}
	text := charterText(*id, c, func(t protocol.TeamID) string {
		if n, ok := names[t]; ok {
			return n
		}
		return "team " + t.Short()
	})
	if p.json {
		return p.out.object(map[string]any{"id": id, "text": text})
	}
	p.out.linef("%s", text)
	return nil
}

// heirsOf returns the rooms that are here, or are being founded, to replace one that is frozen or lost its quorum.
func heirsOf(ctx context.Context, c *control.Client, r *control.Room) (out []control.Room, err error) {
	if !broken(r) {
		return nil, nil
	}
	err = c.Rooms(ctx, func(n control.Room) error {
		if replaces(&n, r) {
			out = append(out, n)
		}
		return nil
	})
	return out, err
}

// broken reports whether a room is to be founded anew.
func broken(r *control.Room) bool { return r.State == "frozen" || r.State == "quorum-lost" }

// replaces reports whether a room founds another one anew.
func replaces(n, old *control.Room) bool {
	return n.Terms != nil && n.Terms.Replaces != nil && *n.Terms.Replaces == old.ID && n.State != "closed"
}

func printRoom(p *program, r *control.Room, heirs []control.Room) {
	o := p.out
	o.linef("room       %s", plainLine(r.Name))
	o.linef("id         %s", r.ID)
	o.linef("state      %s", plainLine(r.State))
	if r.Why != "" {
		o.linef("           %s", plainLine(r.Why))
	}
	own := r.Own
	if r.Steward {
		own += ", and a steward"
	}
	o.linef("your team  %s", plainLine(own))
	if n := stewardsOf(r); n > 0 {
		o.linef("decide     %s", stewardsText(r.Quorum, n))
	}
	printReaders(p, r)
	for _, l := range news(r) {
		o.linef("news       %s", l)
	}
	for _, w := range warnings(r) {
		o.linef("%s", strings.Replace(w, "warning: ", "warning    ", 1))
	}
	if r.Silent != "" {
		o.linef("silent     this node does not speak in it: %s", plainLine(r.Silent))
	}
	if r.Forgets != nil {
		o.linef("forgets    on %s this node destroys its keys and messages; now: entente room forget %s", day(r.Forgets), r.ID.Short())
	}
	printRoomTerms(p, r)
	if len(r.Proposals) > 0 {
		o.linef("")
		for _, q := range r.Proposals {
			o.linef("waits      %s", proposalText(q))
			for _, m := range q.Missing {
				o.linef("           missing: %s", plainLine(m))
			}
			for _, l := range wordLines(q) {
				o.linef("           %s", l)
			}
			if len(q.Voted) > 0 {
				o.linef("           voted: %s", teamList(q.Voted))
			}
			if len(q.Adopted) > 0 {
				o.linef("           adopted: %s", teamList(q.Adopted))
			}
			if q.Why != "" && !q.Mine {
				o.linef("           your team: %s", plainLine(q.Why))
			}
		}
	}
	for _, l := range nextSteps(r, heirs) {
		o.linef("next       %s", l)
	}
	o.linef("")
	printMembers(p, r)
}

func printReaders(p *program, r *control.Room) {
	var out []string
	for _, t := range r.Readers {
		if !t.Self {
			out = append(out, fmt.Sprintf("%s (%s, %d connected)", plainLine(t.Name), plural(t.Nodes, "node", "nodes"), t.Connected))
		}
	}
	if len(out) > 0 {
		p.out.linef("read now   %s", strings.Join(out, "\n           "))
	}
	for _, u := range r.Unreached {
		p.out.linef("not        %s, for now: %s", plainLine(u.Name), plainLine(u.Why))
	}
}

func printRoomTerms(p *program, r *control.Room) {
	o := p.out
	if r.Charter != nil {
		o.linef("charter    version %d, %s", r.Version, r.Charter)
	}
	c, err := control.CharterOf(r.Record)
	if err != nil {
		return
	}
	for _, t := range charterTerms(c) {
		if t.title != "Name" && t.short != "none" {
			o.linef("           %s: %s", strings.ToLower(t.title[:1])+t.title[1:], t.short)
		}
	}
	if r.Own != "member" {
		return
	}
	key := "made with the next message"
	if r.Epoch != nil {
		key = r.Epoch.Short() + ", until " + stampPtr(r.EpochEnds)
	}
	o.linef("key        %s", key)
}

// inOrder lists who is in before who is out, stewards first.
func inOrder(ms []control.RoomMember) []control.RoomMember {
	rank := func(m control.RoomMember) int {
		if i := slices.Index([]string{"member", "held", "suspended", "lapsed", "proposed", "left", "removed"}, m.Status); i > 0 || !m.Steward {
			return i
		}
		return -1
	}
	out := slices.Clone(ms)
	slices.SortFunc(out, func(a, b control.RoomMember) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

func printMembers(p *program, r *control.Room) {
	var t table
	t.add("TEAM", "STATUS", "STEWARD", "SINCE", "UNTIL", "")
	for _, m := range inOrder(r.Members) {
		steward := ""
		if m.Steward {
			steward = "steward"
		}
		name := shorten(m.Name, 40)
		if m.Self {
			name += " (your team)"
		}
		t.add(name, m.Status, steward, day(m.Since), day(m.Until), m.Why)
	}
	t.print(p.out)
}
