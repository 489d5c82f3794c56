package trust

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A policyTable is a file of testdata/decide: a head of "name: value" lines, then a table.
type policyTable struct {
	head    map[string]string
	columns []string
	rows    [][]string // the first cell names the row
}

func readTable(t *testing.T, path string) policyTable {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := policyTable{head: map[string]string{}}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if k, v, ok := strings.Cut(line, ": "); ok {
			p.head[k] = v
		} else if cells := strings.Fields(line); p.columns == nil {
			p.columns = cells[1:]
		} else if len(cells) != len(p.columns)+1 {
			t.Fatalf("%s: %q has %d cells, want %d", path, line, len(cells), len(p.columns)+1)
		} else {
			p.rows = append(p.rows, cells)
		}
	}
	if p.head["audience"] != "community" {
		t.Fatalf("%s: audience %q", path, p.head["audience"])
	}
	return p
}

func action(t *testing.T, name string) Action {
	t.Helper()
	i := slices.Index(actionNames[:], name)
	if i < 1 {
		t.Fatalf("unknown action %q", name)
	}
	return Action(i)
}

func label(t *testing.T, name string) tlp.Label {
	t.Helper()
	if name == "UNSET" {
		return tlp.Unset
	}
	l, err := tlp.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
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

func TestPolicyTables(t *testing.T) {
	for _, a := range actionNames[1:] {
		path := filepath.Join("testdata", "decide", a+".txt")
		p := readTable(t, path)
		if p.head["action"] != a {
			t.Errorf("%s is about %q", path, p.head["action"])
		}
		if len(p.rows) != 6 || len(p.columns) != len(stateNames)+1 {
			t.Errorf("%s: %d labels, %d states: the table is not whole", path, len(p.rows), len(p.columns))
		}
		for _, row := range p.rows {
			for i, who := range p.columns {
				q := Question{Action: action(t, a), Label: label(t, row[0]), Audience: protocol.Community}
				if q.Self = who == "self"; !q.Self {
					if err := q.Peer.UnmarshalText([]byte(who)); err != nil {
						t.Fatal(err)
					}
				}
				checkDecision(t, fmt.Sprintf("%s: %s, %s", a, row[0], who), q, row[i+1])
			}
		}
	}
	p := readTable(t, filepath.Join("testdata", "decide", "clock.txt"))
	for _, row := range p.rows {
		ahead, err := time.ParseDuration(row[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range p.columns {
			checkDecision(t, fmt.Sprintf("clock: %s, %s", row[0], a), Question{Action: action(t, a), Label: label(t, p.head["label"]),
				Audience: protocol.Community, Peer: Verified, Ahead: ahead}, row[i+1])
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

// worse reports whether a team in the state s is trusted no more than one in the state than.
func worse(s, than State) bool {
	better := map[State][]State{
		Blocked:    {Unknown, Disputed, Stale, Introduced, Verified},
		Unknown:    {Introduced, Verified},
		Disputed:   {Introduced, Verified},
		Stale:      {Introduced, Verified},
		Introduced: {Verified},
	}
	return s == than || slices.Contains(better[s], than)
}

// I-36, over the whole domain: a stricter label, a worse state, another's message instead of one's own and a clock further
// ahead never turn a refusal into a permission.
func TestDecideIsMonotone(t *testing.T) {
	labels := append(tlp.All(), tlp.Unset, 6, 255)
	aheads := []time.Duration{math.MinInt64, 0, protocol.MaxClockAhead, protocol.MaxClockAhead + 1, math.MaxInt64}
	var domain []Question
	for a := range Action(len(actionNames) + 1) {
		for _, l := range labels {
			for _, aud := range []protocol.AudienceKind{0, protocol.Community, 2, 255} {
				for s := range State(len(stateNames) + 1) {
					for _, self := range []bool{false, true} {
						for _, ahead := range aheads {
							domain = append(domain, Question{a, l, aud, s, self, ahead})
						}
					}
				}
			}
		}
	}
	permitted := 0
	for _, q := range domain {
		if !Decide(q).Allowed {
			continue
		}
		permitted++
		var wider []Question
		for _, l := range labels {
			if l.Valid() && l < q.Label {
				w := q
				w.Label = l
				wider = append(wider, w)
			}
		}
		for s := range State(len(stateNames)) {
			if worse(q.Peer, s) {
				w := q
				w.Peer = s
				wider = append(wider, w)
			}
		}
		for _, ahead := range aheads {
			if ahead < q.Ahead {
				w := q
				w.Ahead = ahead
				wider = append(wider, w)
			}
		}
		self := q
		self.Self = true
		for _, w := range append(wider, self) {
			if d := Decide(w); !d.Allowed {
				t.Errorf("%+v is permitted, but %+v is refused by %s", q, w, d.Rule)
			}
		}
	}
	if permitted == 0 || permitted == len(domain) {
		t.Fatalf("%d of %d questions are permitted", permitted, len(domain))
	}
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
