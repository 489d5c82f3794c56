package main

import (
	"context"
	"flag"

	"github.com/entente-network/entente/node/control"
)

var receiptsCmd = command{
	name: "receipts", section: "Messages", args: "ID",
	short: "at whom a message of this team has arrived, and who opened it",
	long: `States: sent (nothing was heard yet), stored, held (kept there, but shown to nobody, and by which rule),
cannot-open (sealed to a key that is gone: it is being sealed again), opened (TLP:RED, by whom and when).
Receipts go to the author alone, and only as far as an agreement asks for them.`,
	example: `entente receipts 3f2a9c1d7b`,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the id of the message"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				m, err := c.Message(ctx, args[0])
				if err != nil {
					return err
				}
				var t table
				t.add("TEAM", "STATE", "SINCE", "BY")
				err = c.Receipts(ctx, m.ID, func(r control.Receipt) error {
					if p.json {
						return p.out.object(r)
					}
					by := r.Person
					if r.Rule != "" {
						by = "rule " + r.Rule
					}
					t.add(shorten(r.Name, 40), r.State, stampPtr(r.At), orDash(by))
					return nil
				})
				if err == nil && !p.json {
					t.print(p.out)
				}
				return err
			})
		}
	},
}
