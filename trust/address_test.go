package trust

import (
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

func TestAddress(t *testing.T) {
	b, ts := community(t, "self", "CERT-X", "CERT-Y")
	self, x, y := ts[0], ts[1], ts[2]
	mustAdd(t, b, x.NextManifest(func(m *protocol.Manifest) {
		m.Operators = []protocol.Operator{{Name: "ben", Recipient: recipientText("ben")}, {Name: "anna", Recipient: recipientText("anna")}}
	}))
	mustAdd(t, b, self.NextManifest(func(m *protocol.Manifest) {
		m.Operators = []protocol.Operator{{Name: "sue", Recipient: recipientText("sue")}}
	}))
	to := func(ps ...NamedPerson) Addressees {
		return Addressees{Kind: protocol.Direct, Teams: []protocol.TeamID{x.ID}, Persons: ps}
	}
	for _, c := range []struct {
		what    string
		to      Addressees
		label   tlp.Label
		as      string
		rule    string // "": allowed
		persons int
	}{
		{"the community", Addressees{Kind: protocol.Community}, tlp.Green, "", "", 0},
		{"AMBER is for nodes", to(), tlp.Amber, "", "", 0},
		{"AMBER is for no person alone", to(NamedPerson{x.ID, "anna"}), tlp.Amber, "", "person-red", 0},
		{"AMBER is read back by whoever uses the node", to(), tlp.AmberStrict, "sue", "person-red", 0},
		{"RED for a team is for all its operators", to(), tlp.Red, "", "", 2},
		{"RED for one, in another case", to(NamedPerson{x.ID, "Anna"}), tlp.Red, "", "", 1},
		{"RED that one of mine reads back", to(NamedPerson{x.ID, "anna"}), tlp.Red, "sue", "", 2},
		{"RED for nobody known", to(NamedPerson{x.ID, "cy"}), tlp.Red, "", "no-operators", 0},
		{"RED that nobody known of mine reads back", to(), tlp.Red, "cy", "no-operators", 0},
		{"RED for a team without operators", Addressees{Kind: protocol.Direct, Teams: []protocol.TeamID{y.ID}}, tlp.Red, "", "no-operators", 0},
	} {
		a, d := b.Address(c.to, c.label, c.as)
		if d.Allowed != (c.rule == "") || d.Rule != c.rule {
			t.Errorf("%s: %+v: want the rule %q", c.what, d, c.rule)
		}
		if d.Allowed && len(a.Persons) != c.persons {
			t.Errorf("%s: %d persons: want %d", c.what, len(a.Persons), c.persons)
		}
	}
}
