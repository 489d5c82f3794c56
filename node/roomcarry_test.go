package node_test

import (
	"testing"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// A member of a room whom no line reaches lives on bundles: the room itself, its keys, and what every member says come by hand, and
// the line is not missed.
func TestRoomByHand(t *testing.T) {
	nodetest.Run(t, 420, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		w.Split([]*nodetest.Team{at, de}, []*nodetest.Team{pl})
		room := at.Founds("by hand", node.RoomTerms{Incident: true}, []*nodetest.Team{de}, []*nodetest.Team{pl})
		de.SignsRoom(room)
		at.SeesRoom(room, trust.RoomOpen)
		pl.Imports(at.Carries(pl))
		pl.Accepts(room)
		at.Imports(pl.Carries(at))
		id := at.SendsTo(nodetest.InRoom(room), tlp.Amber, "what at sees")
		de.Reads(id, "what at sees")
		answer := de.SendsTo(nodetest.InRoom(room), tlp.Amber, "what de sees")
		at.Reads(answer, "what de sees")
		if r := pl.Imports(at.Carries(pl)); r.Refused > 0 {
			t.Errorf("refused %d", r.Refused)
		}
		pl.Reads(id, "what at sees")
		pl.Reads(answer, "what de sees")
		w.Split()
		w.Settle()
	})
}
