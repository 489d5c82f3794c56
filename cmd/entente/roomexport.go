package main

import (
	"context"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// attributionOf returns to whom an export of a message is attributed: what was asked for, else what the charter of its room asks.
func attributionOf(ctx context.Context, c *control.Client, m *control.Message, asked string) (string, error) {
	if asked != "" || m.Audience.Kind != protocol.InRoom.String() || m.Audience.ID == nil || m.Own {
		return asked, nil
	}
	r, err := c.Room(ctx, *m.Audience.ID)
	if err != nil {
		return "", err
	}
	if r.Terms == nil {
		return "", nil
	}
	return r.Terms.Attribution, nil
}

// hidesAuthor reports whether an export must not tell who said it.
func hidesAuthor(m *control.Message, attribution string) bool {
	return m.Audience.Kind == protocol.InRoom.String() && !m.Own && attribution != protocol.AttributeAuthor.String()
}

// printUnattributed says what was written without anything that tells who said it: not even the id, by which every member finds
// the author.
func printUnattributed(p *program, m *control.Message, file, reach, attribution string) error {
	if p.json {
		return p.out.object(map[string]any{"file": file, "tlp": m.TLP, "to": reach, "attribution": attribution})
	}
	whom := "attribute it to nobody: it must not tell that there is a room"
	if attribution == protocol.AttributeRoom.String() {
		whom = "attribute it to a member of the room, without a name"
	}
	p.out.linef("TLP:%s  for %s  %s", m.TLP, reach, plainLine(file))
	p.sayf("entente: %s; look through it for what else gives the author away", whom)
	return nil
}
