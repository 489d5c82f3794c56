package trust

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// Addressees are whom a person names as readers, before the label says whether that means nodes or persons.
type Addressees struct {
	Kind      protocol.AudienceKind
	Teams     []protocol.TeamID // without my own
	Persons   []NamedPerson     // of these teams; none: all operators of each, if it comes to that
	Agreement protocol.Hash
}

// A NamedPerson is an operator as people write them: letters of either case.
type NamedPerson struct {
	Team protocol.TeamID
	Name string
}

// Address makes the audience that is signed. RED is for persons: those named, or all operators of the teams, and as, an operator
// of my team who shall be able to read it back. What is not RED is for nodes, and for no person alone.
func (b *Book) Address(to Addressees, l tlp.Label, as string) (protocol.Audience, Decision) {
	a := protocol.Audience{Kind: to.Kind, Agreement: to.Agreement, Teams: slices.Clone(to.Teams)}
	slices.SortFunc(a.Teams, func(x, y protocol.TeamID) int { return bytes.Compare(x[:], y[:]) })
	switch {
	case to.Kind == protocol.Community:
		return a, Decision{Allowed: true}
	case l != tlp.Red && len(to.Persons) > 0:
		return a, Decision{Rule: "person-red", Reason: fmt.Sprintf("what is for named persons alone is TLP:RED, and this is TLP:%s", l)}
	case l != tlp.Red && as != "":
		return a, Decision{Rule: "person-red", Reason: "only TLP:RED is sealed to persons, whom it would have to be kept from otherwise"}
	case l != tlp.Red:
		return a, Decision{Allowed: true}
	}
	for _, team := range a.Teams {
		ps, d := b.addressed(team, to.Persons)
		if !d.Allowed {
			return a, d
		}
		a.Persons = append(a.Persons, ps...)
	}
	if as != "" {
		ps, d := b.addressed(b.self, []NamedPerson{{b.self, as}})
		if !d.Allowed {
			return a, d
		}
		a.Persons = append(a.Persons, ps...)
	}
	slices.SortFunc(a.Persons, protocol.Person.Compare)
	if len(a.Persons) > protocol.MaxPersons {
		return a, Decision{Rule: "too-many-persons", Reason: fmt.Sprintf("%d persons: TLP:RED is sealed to at most %d", len(a.Persons), protocol.MaxPersons)}
	}
	return a, Decision{Allowed: true}
}

// addressed returns the operators of a team who are named; all, if none of the team is.
func (b *Book) addressed(team protocol.TeamID, named []NamedPerson) ([]protocol.Person, Decision) {
	operators := b.Operators(team)
	if len(operators) == 0 {
		return nil, Decision{Rule: "no-operators", Reason: b.call(team) + " names no person to whom TLP:RED can be sealed"}
	}
	var wanted []string
	for _, p := range named {
		if p.Team == team {
			wanted = append(wanted, p.Name)
		}
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(operators, func(o protocol.Operator) bool { return strings.EqualFold(o.Name, name) }) {
			return nil, Decision{Rule: "no-operators", Reason: fmt.Sprintf("%s names no operator %.80q", b.call(team), name)}
		}
	}
	var out []protocol.Person
	for _, o := range operators {
		if len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, o.Name) }) {
			out = append(out, protocol.Person{Team: team, Name: o.Name, Key: protocol.RecipientHash(o.Recipient)})
		}
	}
	return out, Decision{Allowed: true}
}
