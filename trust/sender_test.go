package trust

import (
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// I-37: a label is never widened, whatever is asked, marked, and inherited from sources; without any, nothing goes out.
func TestChooseLabel(t *testing.T) {
	every := append([]tlp.Label{tlp.Unset}, tlp.All()...)
	for _, asked := range every {
		for _, marked := range every {
			for _, sources := range every {
				got, d := ChooseLabel(asked, marked, sources)
				floor := max(marked, sources)
				switch {
				case d.Allowed != got.Valid() || d.Rule == "" || d.Allowed == (d.Reason != ""):
					t.Errorf("asked %v, marked %v, sources %v: %v with label %v", asked, marked, sources, d, got)
				case d.Allowed && (got < floor || got < asked):
					t.Errorf("asked %v, marked %v, sources %v: went out as %v", asked, marked, sources, got)
				case d.Allowed && got != max(asked, floor):
					t.Errorf("asked %v, marked %v, sources %v: tightened to %v unasked", asked, marked, sources, got)
				case !d.Allowed && asked.Valid() && asked >= floor, !d.Allowed && !asked.Valid() && floor.Valid():
					t.Errorf("asked %v, marked %v, sources %v: refused by %s", asked, marked, sources, d.Rule)
				}
			}
		}
	}
	if _, d := ChooseLabel(tlp.Red, tlp.Unset, 9); d.Allowed {
		t.Error("sources of a label that is none")
	}
}

func TestDerive(t *testing.T) {
	of := func(ls ...tlp.Label) (out []*protocol.Statement) {
		for _, l := range ls {
			out = append(out, &protocol.Statement{Label: l})
		}
		return out
	}
	for _, c := range []struct {
		labels []tlp.Label
		want   tlp.Label
	}{{nil, tlp.Unset}, {[]tlp.Label{tlp.Clear}, tlp.Clear}, {[]tlp.Label{tlp.Green, tlp.AmberStrict, tlp.Amber}, tlp.AmberStrict},
		{[]tlp.Label{tlp.Green, tlp.Unset}, tlp.Red}, {[]tlp.Label{9}, tlp.Red}} {
		if got := Derive(of(c.labels...)); got != c.want {
			t.Errorf("%v: got %v, want %v", c.labels, got, c.want)
		}
	}
}

func TestMayDerive(t *testing.T) {
	me, a, b, c := protocol.Sum("me"), protocol.Sum("a"), protocol.Sum("b"), protocol.Sum("c")
	to := func(persons []protocol.Person, teams ...protocol.TeamID) protocol.Audience {
		return protocol.Audience{Kind: protocol.Direct, Teams: teams, Persons: persons}
	}
	community := protocol.Audience{Kind: protocol.Community}
	agreement := protocol.Audience{Kind: protocol.InAgreement, Teams: []protocol.TeamID{c}, Agreement: protocol.Sum("agreement")}
	person := func(team protocol.TeamID, name string) protocol.Person {
		return protocol.Person{Team: team, Name: name, Key: protocol.Sum(name)}
	}
	anna := []protocol.Person{person(me, "anna"), person(b, "ben")}
	rekeyed := []protocol.Person{{Team: b, Name: "ben", Key: protocol.Sum("new")}}
	from := func(author protocol.TeamID, l tlp.Label, aud protocol.Audience) *protocol.Statement {
		return &protocol.Statement{Author: author, Label: l, Audience: aud}
	}
	derived := from(me, tlp.Amber, to(nil, a))
	derived.Sources = []protocol.Hash{{1}}
	for _, x := range []struct {
		name   string
		source *protocol.Statement
		aud    protocol.Audience
		rule   string // that refuses
	}{
		{"GREEN goes on", from(a, tlp.Green, to(nil, me)), community, ""},
		{"AMBER back to its author", from(a, tlp.Amber, to(nil, me)), to(nil, a), ""},
		{"AMBER to who got it, too", from(a, tlp.Amber, to(nil, b, me)), to(nil, a, b), ""},
		{"AMBER to another", from(a, tlp.Amber, to(nil, me)), to(nil, a, c), "source-audience"},
		{"AMBER under another agreement", from(a, tlp.Amber, to(nil, me)), agreement, "source-audience"},
		{"AMBER to the community", from(a, tlp.Amber, to(nil, me)), community, "source-audience"},
		{"no label that is known", from(a, 9, to(nil, me)), community, "source-audience"},
		{"our own AMBER", from(me, tlp.Amber, to(nil, a)), to(nil, c), ""},
		{"our own, made from another's", derived, to(nil, c), "source-audience"},
		{"our own, made from another's, back", derived, to(nil, a), ""},
		{"RED to the persons named", from(a, tlp.Red, to(anna, b, me)), to(anna, b), ""},
		{"RED to a person whose key changed", from(a, tlp.Red, to(anna, b, me)), to(rekeyed, b), ""},
		{"RED to persons of its author", from(a, tlp.Red, to(anna, b, me)), to([]protocol.Person{person(a, "any")}, a), ""},
		{"RED to another person", from(a, tlp.Red, to(anna, b, me)), to([]protocol.Person{person(b, "eve")}, b), "source-persons"},
		{"RED to a whole team", from(a, tlp.Red, to(anna, b, me)), to(nil, b), "source-persons"},
		{"RED to another team", from(a, tlp.Red, to(anna, b, me)), to([]protocol.Person{person(c, "eve")}, c), "source-audience"},
	} {
		d := MayDerive([]*protocol.Statement{from(a, tlp.Clear, community), x.source}, x.aud, me)
		if d.Allowed != (x.rule == "") || !d.Allowed && (d.Rule != x.rule || d.Reason == "") {
			t.Errorf("%s: %+v, want %q", x.name, d, x.rule)
		}
	}
	if d := MayDerive(nil, community, me); !d.Allowed {
		t.Errorf("of nothing: %+v", d)
	}
}

func TestMayCorrect(t *testing.T) {
	me, other := protocol.Sum("me"), protocol.Sum("other")
	old := &protocol.Statement{Author: me, Label: tlp.Green}
	if d := MayCorrect(old, me, tlp.Green); !d.Allowed {
		t.Errorf("own, same label: %s", d.Reason)
	}
	if d := MayCorrect(old, me, tlp.Clear); d.Allowed {
		t.Error("a correction widened the label")
	}
	if d := MayCorrect(old, other, tlp.Green); d.Allowed {
		t.Error("another team corrected a message")
	}
}

func TestMaySign(t *testing.T) {
	ok := Signing{Listed: true, Guarded: true, Held: 5, Mark: 5}
	for name, c := range map[string]struct {
		change func(*Signing)
		may    bool
	}{
		"as it was left":            {func(s *Signing) {}, true},
		"never spoke":               {func(s *Signing) { *s = Signing{Listed: true, Guarded: true} }, true},
		"crash before the mark":     {func(s *Signing) { s.Held = 6 }, true},
		"crash before the 1st mark": {func(s *Signing) { s.Held, s.Mark = 1, 0 }, true},
		"not certified":             {func(s *Signing) { s.Listed = false }, false},
		"store behind the mark":     {func(s *Signing) { s.Held = 4 }, false},
		"store emptied":             {func(s *Signing) { s.Held = 0 }, false},
		"guard gone":                {func(s *Signing) { s.Guarded, s.Mark = false, 0 }, false},
		"guard and store gone":      {func(s *Signing) { *s = Signing{Listed: true} }, false},
		"a peer knew more":          {func(s *Signing) { s.Held, s.Foreign = 6, true }, false},
		"two things said":           {func(s *Signing) { s.Forked = true }, false},
	} {
		s := ok
		c.change(&s)
		if why := MaySign(s); (why == "") != c.may {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// Strangers and blocked teams stay out; a team in trouble may bring what ends it.
func TestMayConnect(t *testing.T) {
	for s, want := range map[State]bool{Unknown: false, Introduced: true, Verified: true, Disputed: true, Stale: true, Blocked: false, State(9): false} {
		if got := MayConnect(s); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}
