package trust

import (
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol"
)

// The form of a fingerprint (protocol.Fingerprint).
const (
	fingerprintGroups = 8
	groupDigits       = 5
	fingerprintDigits = fingerprintGroups * groupDigits
)

// Fingerprint returns what two people read to each other to verify a team: 8 groups of 5 digits with spaces between them.
// It never changes, because the team id never does.
func Fingerprint(id protocol.TeamID) string { return protocol.Fingerprint(id) }

func groups(digits string) []string {
	var gs []string
	for g := range slices.Chunk([]byte(digits), groupDigits) {
		gs = append(gs, string(g))
	}
	return gs
}

// A FingerprintError says that typed digits are not a team's fingerprint.
type FingerprintError struct {
	Digits int   // how many digits were typed; 40 are wanted
	Groups []int // the groups that differ, counted from 1, if 40 digits were typed
}

func (e *FingerprintError) Error() string {
	if e.Digits != fingerprintDigits {
		return fmt.Sprintf("a fingerprint has %d digits in %d groups, not %d: type all of them; nothing was changed",
			fingerprintDigits, fingerprintGroups, e.Digits)
	}
	return fmt.Sprintf("the fingerprint differs in %d of %d groups %v: read it again with a person of that team; if it differs "+
		"again, the introduction is not theirs: do not verify it; nothing was changed", len(e.Groups), fingerprintGroups, e.Groups)
}

// CheckFingerprint reports whether digits are the team's fingerprint; spaces, line ends, dashes and dots between the digits
// are ignored. Anything else is a *FingerprintError.
func CheckFingerprint(id protocol.TeamID, digits string) error {
	if len(digits) > 1000 {
		return &FingerprintError{Digits: len(digits)}
	}
	typed := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n-.\u00a0", r) {
			return -1
		}
		return r
	}, digits)
	n := 0
	for _, r := range typed {
		if r < '0' || r > '9' {
			return &FingerprintError{Digits: n}
		}
		n++
	}
	if n != fingerprintDigits {
		return &FingerprintError{Digits: n}
	}
	var wrong []int
	want := strings.Fields(Fingerprint(id))
	for i, g := range groups(typed) {
		if g != want[i] {
			wrong = append(wrong, i+1)
		}
	}
	if wrong != nil {
		return &FingerprintError{Digits: n, Groups: wrong}
	}
	return nil
}
