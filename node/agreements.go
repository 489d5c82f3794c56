package node

import (
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/trust"
)

// Terms are what a person offers to another team. The zero value of a field is its default.
type Terms struct {
	Partner  string
	Title    string
	Ceiling  tlp.Label
	Days     int       // of validity; 0: one year
	From     time.Time // zero: now
	Keep     int       // days of retention at the receiver; 0: no term
	Purposes []string
	Types    []string            // of protocol.InformationTypes; empty: all
	Onward   protocol.Onward     // 0: as the label permits
	Receipts protocol.Receipting // 0: stored and opened
	Policy   protocol.IEP        // zero: protocol.DefaultIEP
	Text     string
	Prev     protocol.Hash // the agreement that this one renews
}

// An AgreementView is an agreement as this team holds it.
type AgreementView struct {
	trust.AgreementInfo
	PartnerName string
	SelfName    string
	Messages    uint64 // sent and received under it, as far as they are kept
}
