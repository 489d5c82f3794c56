package tlp

import "testing"

func TestZeroValueIsNoLabel(t *testing.T) {
	var l Label
	if l.Valid() || l.String() != "UNSET" {
		t.Fatalf("zero label: valid %v, %s", l.Valid(), l)
	}
	if _, err := l.MarshalText(); err == nil {
		t.Fatal("the zero label marshals")
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]Label{
		"TLP:CLEAR": Clear, "clear": Clear, "white": Clear, "tlp:white": Clear, "TLP:GREEN": Green, "Amber": Amber,
		"tlp:amber+strict": AmberStrict, "AMBER+STRICT": AmberStrict, " red ": Red,
	} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "TLP:", "AMBER STRICT", "PURPLE", "TLP:TLP:RED", "ex:chr", "tlp:unclear"} {
		if got, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, got)
		}
	}
}

func TestOrderAndText(t *testing.T) {
	all := All()
	for i, l := range all {
		if i > 0 && l <= all[i-1] {
			t.Errorf("%v is not stricter than %v", l, all[i-1])
		}
		b, err := l.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Label
		if err := back.UnmarshalText(b); err != nil || back != l {
			t.Errorf("%s came back as %v, %v", b, back, err)
		}
	}
}

func TestStrictest(t *testing.T) {
	if got := Strictest(Green, Red, Clear); got != Red {
		t.Errorf("got %v", got)
	}
	if got := Strictest(); got != Unset {
		t.Errorf("of none: %v", got)
	}
	if got := Strictest(Clear, Unset); got != Unset {
		t.Errorf("unknown outvoted: %v", got)
	}
	if got := Strictest(Clear, Label(9)); got != Unset {
		t.Errorf("unknown outvoted: %v", got)
	}
}
