package trust

import (
	"fmt"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// Limits of what is kept of agreements.
const (
	MaxOpenAgreements = 64 // with one partner, that are neither ended, expired, superseded nor void
)

// An AgreementState is where an agreement stands. Only Active permits anything. The zero AgreementState is NoAgreement.
type AgreementState uint8

// The states.
const (
	NoAgreement AgreementState = iota // there is none
	Offered                           // not signed by both yet
	Waiting                           // signed by both; its time has not come
	Active                            // in effect
	Suspended                         // a party suspended it, until the same party resumes
	HeldState                         // the records of a party contradict each other
	Ended                             // a party ended it, for good
	Expired                           // its time is over
	Superseded                        // its successor came into effect
	VoidState                         // it never came into effect, and never will
)

var agreementNames = [...]string{"none", "offered", "waiting", "active", "suspended", "disputed", "ended", "expired", "superseded", "void"}

// String returns the state in lower case.
func (s AgreementState) String() string {
	if int(s) < len(agreementNames) {
		return agreementNames[s]
	}
	return fmt.Sprintf("agreement-state-%d", uint8(s))
}

// MarshalText writes the state in lower case. A number that is no state is an error.
func (s AgreementState) MarshalText() ([]byte, error) {
	if int(s) >= len(agreementNames) {
		return nil, fmt.Errorf("%d is no state of an agreement", uint8(s))
	}
	return []byte(agreementNames[s]), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *AgreementState) UnmarshalText(b []byte) error {
	for i, n := range agreementNames {
		if n == string(b) {
			*s = AgreementState(i)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no state of an agreement: want one of %v", b, agreementNames)
}

// Final reports whether the state can lead to Active no more.
func (s AgreementState) Final() bool { return s >= Ended && s <= VoidState }

// AgreementInfo is what is known of one agreement at one time. It is a copy; the records it points to must not be changed.
type AgreementInfo struct {
	ID protocol.Hash
	*protocol.Agreement
	Envelope        *protocol.Envelope   // with every signature that was verified
	Statuses        []*protocol.Envelope // the parties' registers, as far as they are kept
	Partner         protocol.TeamID
	State           AgreementState
	Why             string // why it is not active, in words
	SignedBySelf    bool   // by as many officers as our root record asks for
	SignedByPartner bool
	Mine, Theirs    protocol.PartyStatus // PartyOK where nothing was said
	MyCounter       uint64               // the greatest in our register; the next word of ours takes a greater one
	Since           time.Time            // when the state began, as far as the records say; zero if they do not
}

// An AgreementResult is what became of one record of an agreement.
type AgreementResult struct {
	Added    bool // there is something new to keep: Envelope
	ID       protocol.Hash
	Of       protocol.Hash      // the agreement that the record is about
	Envelope *protocol.Envelope // what to keep under ID: the record with all verified signatures
	Drop     []protocol.Hash    // records that need not be kept any more
	Err      error
}

// AddAgreement verifies an agreement or a party's word on one and takes it in.
func (b *Book) AddAgreement(e *protocol.Envelope, now time.Time) AgreementResult {
	return AgreementResult{}
}

// LoadAgreements takes in the records that this node's own store kept, in any order, after Load took in those of the teams.
func (b *Book) LoadAgreements(es []*protocol.Envelope, now time.Time) (drop []protocol.Hash, errs []error) {
	return nil, nil
}

// AgreementRecords returns all records of agreements that are kept, ascending by id.
func (b *Book) AgreementRecords() []*protocol.Envelope { return nil }

// Agreement returns what is known of an agreement at the time now.
func (b *Book) Agreement(id protocol.Hash, now time.Time) (AgreementInfo, bool) {
	return AgreementInfo{}, false
}

// Agreements returns all agreements of my team.
func (b *Book) Agreements(now time.Time) []AgreementInfo { return nil }

// FindAgreement returns the agreement of an id or its first digits, or the one with the partner of a name.
func (b *Book) FindAgreement(query string, now time.Time) (AgreementInfo, error) {
	return AgreementInfo{}, nil
}

// EffectiveWith reports whether an agreement with the team is active.
func (b *Book) EffectiveWith(team protocol.TeamID, now time.Time) bool { return false }

// CeilingWith returns the strictest label that an active agreement with the team permits; Unset if none is active.
func (b *Book) CeilingWith(team protocol.TeamID, now time.Time) tlp.Label { return tlp.Unset }

// Ask returns the question about a statement of the label for the audience, with everything in it that follows from what is
// known: the state of the peer and of the agreement. The caller adds what only it knows: Control, Person, Content, Reach, Ahead.
func (b *Book) Ask(a Action, l tlp.Label, aud protocol.Audience, peer protocol.TeamID, now time.Time) Question {
	return Question{}
}
