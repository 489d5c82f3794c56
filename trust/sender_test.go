package trust

import (
	"testing"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A label is never widened, whatever is asked and marked; without any, nothing goes out.
func TestChooseLabel(t *testing.T) {
	every := append([]tlp.Label{tlp.Unset}, tlp.All()...)
	for _, asked := range every {
		for _, marked := range every {
			got, d := ChooseLabel(asked, marked, tlp.Unset)
			switch {
			case d.Allowed != got.Valid():
				t.Errorf("asked %v, marked %v: allowed %v with label %v", asked, marked, d.Allowed, got)
			case d.Allowed && (got < marked || got < asked):
				t.Errorf("asked %v, marked %v: went out as %v", asked, marked, got)
			case !d.Allowed && asked >= marked && asked.Valid():
				t.Errorf("asked %v, marked %v: refused by %s", asked, marked, d.Rule)
			}
		}
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
