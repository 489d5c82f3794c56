package node_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// Four teams stand around one incident: a room in five steps, and each reads what the others say, documents too. A fifth, whom all
// know well, has no byte of it, nor a sign that there is a room: the oracle sees to it.
func TestIncidentRoom(t *testing.T) {
	nodetest.Run(t, 400, []string{"at", "de", "pl", "cz", "fr"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl, cz, fr := w.As("at"), w.As("de"), w.As("pl"), w.As("cz"), w.As("fr")
		room := w.Incident(at, de, pl, cz)
		members := []*nodetest.Team{at, de, pl, cz}
		var ids []protocol.Hash
		for _, a := range members {
			text := "what " + a.Name + " sees"
			id := a.SendsTo(nodetest.InRoom(room), tlp.Amber, text)
			ids = append(ids, id)
			for _, b := range members {
				b.Reads(id, text)
			}
		}
		file := nodetest.Document("connections of last night", 200_000)
		doc := at.SendsFileTo(nodetest.InRoom(room), tlp.AmberStrict, "connections.txt", file)
		for _, b := range members {
			if got := b.Holds(doc); !bytes.HasPrefix(got, file) {
				t.Errorf("the document came out changed at %s: %d bytes of %d", b.Name, len(got), len(file))
			}
		}
		all := at.Sends(tlp.Green, "for everybody")
		fr.Holds(all)
		w.Wait(time.Minute)
		for _, id := range append(ids, doc) {
			fr.Lacks(id)
		}
		w.Settle()
	})
}
