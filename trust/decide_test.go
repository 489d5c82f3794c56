package trust

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

var update = flag.Bool("update", false, "write the tables of testdata/decide anew")

// A dimension is one thing that a decision depends on, as the tables write it.
type dimension struct {
	values []string
	set    func(q *Question, value string) error
}

func names[T interface {
	~uint8
	fmt.Stringer
}](first, last T) (out []string) {
	for v := first; v <= last; v++ {
		out = append(out, v.String())
	}
	return out
}

// pick sets *to to the value of the name.
func pick[T interface {
	~uint8
	fmt.Stringer
}](to *T, first, last T, name string) error {
	for v := first; v <= last; v++ {
		if v.String() == name {
			*to = v
			return nil
		}
	}
	return fmt.Errorf("%q is none of %v", name, names(first, last))
}

const withAgreement = "introduced+agreement"

var dimensions = map[string]dimension{
	"action": {names(Compose, Export), func(q *Question, v string) error { return pick(&q.Action, Compose, Export, v) }},
	"label":  {names(tlp.Unset, tlp.Red), func(q *Question, v string) error { return pick(&q.Label, tlp.Unset, tlp.Red, v) }},
	"audience": {names(protocol.Community, protocol.InAgreement), func(q *Question, v string) error {
		return pick(&q.Audience, protocol.Community, protocol.InAgreement, v)
	}},
	"peer": {[]string{"self", "verified", "introduced", withAgreement, "stale", "disputed", "unknown", "blocked"}, func(q *Question, v string) error {
		switch v {
		case "self":
			q.Self = true
			return nil
		case withAgreement:
			q.Peer, q.Agreement, q.Ceiling = Introduced, Active, tlp.Red
			return nil
		}
		return pick(&q.Peer, Unknown, Blocked, v)
	}},
	"agreement": {names(NoAgreement, VoidState), func(q *Question, v string) error { return pick(&q.Agreement, NoAgreement, VoidState, v) }},
	"ceiling":   {names(tlp.Unset, tlp.Red), func(q *Question, v string) error { return pick(&q.Ceiling, tlp.Unset, tlp.Red, v) }},
	"onward": {names(protocol.OnwardNone, protocol.OnwardLabel), func(q *Question, v string) error {
		return pick(&q.Onward, protocol.OnwardNone, protocol.OnwardLabel, v)
	}},
	"reach": {names(ReachTeam, ReachPublic), func(q *Question, v string) error { return pick(&q.Reach, ReachTeam, ReachPublic, v) }},
	"reader": {[]string{"header", "named", "other"}, func(q *Question, v string) error {
		q.Content, q.Person = v != "header", v == "named"
		return nil
	}},
	"control": {[]string{"yes"}, func(q *Question, v string) error {
		q.Control = v == "yes"
		return nil
	}},
	"ahead": {[]string{"-1h", "0s", "10m", "10m1s", "8760h"}, func(q *Question, v string) (err error) {
		q.Ahead, err = time.ParseDuration(v)
		return err
	}},
}

// A policyTable is a file of testdata/decide: "name: value" lines, then a table of the dimensions that rows and columns name.
type policyTable struct {
	head          []string // its lines, with the comments
	base          Question
	rows, columns string
	cells         map[[2]string]string
}

func readTable(t *testing.T, path string) policyTable {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := policyTable{cells: map[[2]string]string{}}
	var columns []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		k, v, isHead := strings.Cut(line, ": ")
		switch d, ok := dimensions[k]; {
		case line == "":
			continue
		case line[0] == '#':
		case isHead && k == "rows":
			p.rows = v
		case isHead && k == "columns":
			p.columns = v
		case isHead && ok:
			if err := d.set(&p.base, v); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		default:
			cells := strings.Fields(line)
			if columns == nil {
				columns = cells
				continue
			}
			if len(cells) != len(columns) {
				t.Fatalf("%s: %q has %d cells, want %d", path, line, len(cells), len(columns))
			}
			for i, c := range cells[1:] {
				p.cells[[2]string{cells[0], columns[i+1]}] = c
			}
			continue
		}
		p.head = append(p.head, line)
	}
	return p
}

// sides returns the values of the two sides of the table: all that there are. That a team is introduced and has an agreement is a
// case of its own only where the audience is a team.
func (p policyTable) sides() (rows, columns []string) {
	of := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(dimensions[name].values), func(v string) bool {
			return v == withAgreement && p.base.Audience != protocol.Direct
		})
	}
	return of(p.rows), of(p.columns)
}

func (p policyTable) question(t *testing.T, row, column string) Question {
	t.Helper()
	q := p.base
	for dim, v := range map[string]string{p.rows: row, p.columns: column} {
		if err := dimensions[dim].set(&q, v); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func (p policyTable) write(t *testing.T, path string) {
	t.Helper()
	rows, columns := p.sides()
	table := [][]string{append([]string{p.rows}, columns...)}
	for _, r := range rows {
		line := []string{r}
		for _, c := range columns {
			d := Decide(p.question(t, r, c))
			line = append(line, map[bool]string{true: "yes", false: d.Rule}[d.Allowed])
		}
		table = append(table, line)
	}
	var out strings.Builder
	out.WriteString(strings.Join(p.head, "\n") + "\n\n")
	for _, line := range table {
		var text string
		for i, cell := range line {
			width := 0
			for _, l := range table {
				width = max(width, len(l[i]))
			}
			text += fmt.Sprintf("%-*s  ", width, cell)
		}
		out.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func checkDecision(t *testing.T, where string, q Question, want string) {
	t.Helper()
	d := Decide(q)
	if got := map[bool]string{true: "yes", false: d.Rule}[d.Allowed]; got != want {
		t.Errorf("%s: got %s, want %s", where, got, want)
	}
	if d.Rule == "" || d.Reason == "" || strings.ToLower(d.Rule) != d.Rule {
		t.Errorf("%s: rule %q, reason %q", where, d.Rule, d.Reason)
	}
}

// The policy is what the tables say, cell by cell, and the tables are whole.
func TestPolicyTables(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "decide", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		if name == "README" {
			continue
		}
		seen[name] = true
		p := readTable(t, path)
		if *update {
			p.write(t, path)
			p = readTable(t, path)
		}
		rows, columns := p.sides()
		if len(rows) == 0 || len(columns) == 0 || len(p.cells) != len(rows)*len(columns) {
			t.Errorf("%s: %d cells, want %d rows of %d", name, len(p.cells), len(rows), len(columns))
		}
		for _, r := range rows {
			for _, c := range columns {
				want, ok := p.cells[[2]string{r, c}]
				if !ok {
					t.Errorf("%s: no cell for %s, %s", name, r, c)
					continue
				}
				checkDecision(t, fmt.Sprintf("%s: %s, %s", name, r, c), p.question(t, r, c), want)
			}
		}
	}
	for _, a := range dimensions["action"].values {
		for _, aud := range dimensions["audience"].values {
			if !seen[a+"-"+aud] {
				t.Errorf("there is no table %s-%s", a, aud)
			}
		}
	}
}

func TestDecideRefusesWhatItDoesNotKnow(t *testing.T) {
	good := Question{Action: Relay, Label: tlp.Green, Audience: protocol.Community, Peer: Verified}
	if d := Decide(good); !d.Allowed {
		t.Fatal("the question that is varied is refused itself")
	}
	for want, edit := range map[string]func(*Question){
		"unknown-action":   func(q *Question) { q.Action = 0 },
		"no-label":         func(q *Question) { q.Label = 9 },
		"unknown-audience": func(q *Question) { q.Audience = 0 },
		"peer-unknown":     func(q *Question) { q.Peer = 77 },
	} {
		q := good
		edit(&q)
		checkDecision(t, want, q, want)
	}
	checkDecision(t, "zero question", Question{}, "unknown-action")
}

// The ceiling: nothing above GREEN passes in any action, whoever asks.
func TestNothingAboveGreenGoesToTheCommunity(t *testing.T) {
	for a := range Action(len(actionNames)) {
		for _, l := range []tlp.Label{tlp.Amber, tlp.AmberStrict, tlp.Red} {
			for s := range State(len(stateNames)) {
				for _, self := range []bool{false, true} {
					if Decide(Question{Action: a, Label: l, Audience: protocol.Community, Peer: s, Self: self}).Allowed {
						t.Errorf("%s %s to %s (self %v) is permitted", a, l, s, self)
					}
				}
			}
		}
	}
}

func TestReachNames(t *testing.T) {
	for r := ReachTeam; r <= ReachPublic; r++ {
		if got, err := ParseReach(r.String()); err != nil || got != r {
			t.Errorf("%s is read as %s, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "none", "Team", "world"} {
		if got, err := ParseReach(s); err == nil {
			t.Errorf("%q is read as %s", s, got)
		}
	}
	if got := Reach(9).String(); got != "reach-9" {
		t.Errorf("a reach that is none is %q", got)
	}
}
