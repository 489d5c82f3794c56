package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/entente-network/entente/node/control"
)

var statusCmd = command{
	name: "status", section: "Start",
	short: "who this node is, whom it is connected with, what it keeps",
	example: `entente status
entente status --json`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "status"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				if p.json {
					return p.out.object(s)
				}
				printStatus(p, s)
				return nil
			})
		}
	},
}

func printStatus(p *program, s *control.Status) {
	o := p.out
	o.linef("team       %s (%s)", plainLine(s.Team.Name), plainLine(s.Team.Country))
	o.linef("id         %s", s.Team.ID)
	o.linef("node       %s (%s)", plainLine(s.NodeName), s.Node)
	o.linef("listening  %s", orDash(strings.Join(s.Listening, "\n           ")))
	o.linef("store      %s, %s", plural(int(s.Store.Messages), "message", "messages"), size(int64(s.Store.Bytes)))
	if s.Store.Damaged > 0 {
		o.linef("damaged    %d stored values; see entente fsck", s.Store.Damaged)
	}
	o.linef("signing    %s", plainLine(s.Signing))
	o.linef("unlock     %s", plainLine(s.Unlock))
	if s.CatchUp.Done < s.CatchUp.Total {
		o.linef("catch-up   %d of %d messages", s.CatchUp.Done, s.CatchUp.Total)
	}
	if s.Agreed > 0 {
		o.linef("agreements %d; see entente agree list", s.Agreed)
	}
	if len(s.Rooms) > 0 {
		o.linef("rooms      %d; see entente room list", len(s.Rooms))
	}
	for _, r := range s.Rooms {
		for _, a := range r.Attention {
			o.linef("attention  %s", plainLine(a))
		}
	}
	for _, b := range s.Outbox {
		held := ""
		if b.Held > 0 {
			held = fmt.Sprintf("; %d held back there", b.Held)
		}
		o.linef("outbox     %s for %s not known to have arrived, the oldest of %s%s", plural(int(b.Waiting), "message", "messages"),
			shorten(plainLine(b.Name), 40), stampPtr(b.Oldest), held)
	}
	var t table
	connected := 0
	t.add("TEAM", "STATE", "NODE", "CONNECTED", "HELD", "LAST SEEN", "LAST ERROR")
	for _, e := range s.Peers {
		yes := "no"
		if e.Connected {
			yes = "yes"
			connected++
		}
		held := fmt.Sprint(e.Feed.Held)
		if !e.Feed.Complete && e.Feed.Said > 0 {
			held = fmt.Sprintf("%d of %d", e.Feed.Held, e.Feed.Said)
		}
		t.add(shorten(e.Name, 40), e.State, shorten(e.NodeName, 24), yes, held, stampPtr(e.LastSeen), shorten(e.LastError, 60))
	}
	o.linef("peers      %d of %d connected", connected, len(s.Peers))
	if len(s.Peers) > 0 {
		o.linef("")
		t.print(o)
	}
}
