package node_test

import (
	"bytes"
	"testing"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// at writes to de what pl, whom both know well, must not hear of: a text and a document, by name and under an agreement, and RED
// for one person. The oracle and Check see to it that pl has no byte of it, nor the word of a feed.
func TestNobodyElseHears(t *testing.T) {
	nodetest.Run(t, 200, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		w.AllMeet()
		at, de, pl := w.As("at"), w.As("de"), w.As("pl")
		w.Befriend(at, de)
		w.Befriend(at, pl)
		w.Befriend(de, pl)
		de.Employs("anna", "bert")
		at.KnowsStaff(de, "anna", "bert")
		agreed := w.Agree(at, de, node.Terms{Keep: 30})

		text := at.SendsTo(nodetest.To(de), tlp.Amber, "a host of yours scans ours")
		de.Reads(text, "a host of yours scans ours")
		file := nodetest.Document("connections of last night", 200_000)
		doc := at.SendsFileTo(nodetest.Under(agreed), tlp.AmberStrict, "connections.txt", file)
		if got := de.Holds(doc); !bytes.HasPrefix(got, file) {
			t.Errorf("the document came out changed: %d bytes of %d", len(got), len(file))
		}
		red := at.SendsTo(de.Person("anna"), tlp.Red, "a source of ours says")
		c, body := de.Opens(red, "anna")
		if !bytes.HasPrefix(body, []byte("a source of ours says")) || c.Title == "" {
			t.Errorf("anna reads %q, %q", c.Title, body)
		}
		de.CannotOpen(red, "bert")
		large := at.SendsFileTo(de.Person("bert"), tlp.Red, "dump.txt", file)
		if _, got := de.Opens(large, "bert"); !bytes.HasPrefix(got, file) {
			t.Errorf("bert's document came out changed: %d bytes of %d", len(got), len(file))
		}
		back := de.SendsTo(nodetest.Under(agreed), tlp.Amber, "thank you, it is off")
		at.Reads(back, "thank you, it is off")
		at.Receipt(text, de, "stored")
		at.Receipt(doc, de, "stored")
		if r := at.Receipt(red, de, "opened"); r.Person != "anna" {
			t.Errorf("opened by %q", r.Person)
		}
		all := at.Sends(tlp.Green, "for everybody")
		pl.Holds(all)
		for _, id := range []protocol.Hash{text, doc, red, large, back} {
			pl.Lacks(id)
		}
		w.Settle()
	})
}
