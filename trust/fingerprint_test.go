package trust

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol"
)

// The wanted values come from another implementation: SHA-256 over the domain and the id, modulo 10 to the 40, in Python.
func TestFingerprintVectors(t *testing.T) {
	var ones protocol.TeamID
	for i := range ones {
		ones[i] = 0xff
	}
	for _, c := range []struct {
		id   protocol.TeamID
		want string
	}{
		{protocol.TeamID{}, "40001 68822 12451 75703 76394 32092 67253 45169"},
		{ones, "73797 35467 89900 21799 78847 52440 06639 84408"},
		{protocol.Sum("entente/test/team"), "03935 35770 65344 52655 90387 43419 79326 77889"},
	} {
		if got := Fingerprint(c.id); got != c.want {
			t.Errorf("%s: got %s, want %s", c.id.Short(), got, c.want)
		}
	}
}

func TestCheckFingerprint(t *testing.T) {
	team, other := id(1), id(2)
	fp := Fingerprint(team)
	bare := strings.ReplaceAll(fp, " ", "")
	if len(fp) != 47 || len(bare) != 40 {
		t.Fatalf("a fingerprint of %d characters, %d digits", len(fp), len(bare))
	}
	for _, s := range []string{fp, bare, strings.ReplaceAll(fp, " ", "-"), "  " + fp + "\r\n", strings.ReplaceAll(fp, " ", "\u00a0"), strings.ReplaceAll(fp, " ", ".\n")} {
		if err := CheckFingerprint(team, s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	wrong := []byte(fp)
	wrong[12] = '0' + (wrong[12]-'0'+1)%10
	for _, c := range []struct {
		in     string
		digits int
		groups []int
	}{
		{"", 0, nil}, {bare[:39], 39, nil}, {bare + "0", 41, nil}, {"12345", 5, nil}, {bare[:20] + "x" + bare[21:], 20, nil},
		{strings.Repeat("0", 5000), 5000, nil}, {strings.Map(func(r rune) rune { return r - '0' + '٠' }, bare), 0, nil},
		{string(wrong), 40, []int{3}}, {Fingerprint(other), 40, []int{1, 2, 3, 4, 5, 6, 7, 8}},
	} {
		var fe *FingerprintError
		err := CheckFingerprint(team, c.in)
		if !errors.As(err, &fe) || fe.Digits != c.digits || !slices.Equal(fe.Groups, c.groups) {
			t.Errorf("%.60q: got %v", c.in, err)
			continue
		}
		// The error must not give the answer away: it is to be heard from the other side.
		for _, g := range strings.Fields(fp) {
			if strings.Contains(err.Error(), g) {
				t.Errorf("%.60q: the error shows the fingerprint: %v", c.in, err)
			}
		}
		if !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%.60q: the error does not say what happened: %v", c.in, err)
		}
	}
}

func TestStateText(t *testing.T) {
	for i, name := range stateNames {
		b, err := State(i).MarshalText()
		var back State
		if err != nil || string(b) != name || back.UnmarshalText(b) != nil || back != State(i) || State(i).String() != name {
			t.Errorf("%s came back as %s, %v", name, back, err)
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("trusted")); err == nil {
		t.Error("an unknown state was read")
	}
	if _, err := State(99).MarshalText(); err == nil {
		t.Error("an unknown state was written")
	}
	if s != Unknown {
		t.Error("the zero state is not unknown")
	}
	for _, got := range []string{State(99).String(), ActKind(99).String(), Action(99).String(), Verdict(99).String()} {
		if !strings.HasSuffix(got, "-99") {
			t.Errorf("got %s", got)
		}
	}
	if ActVerified.String() != "verified" || Export.String() != "export" || Hollow.String() != "hollow" {
		t.Error("a name is wrong")
	}
}
