package node

import (
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// A Mutant is a node program with something broken in it. Fields are as the hooks of mutate.go; nil leaves it whole.
type Mutant struct {
	Seal     func(team protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error)
	Content  func(plain, sealed []byte) []byte
	Parcel   func(st *protocol.Statement, p *protocol.Parcel)
	Question func(q *trust.Question)
	MayHave  func(team protocol.TeamID, c protocol.Channel) bool
	Inner    func(inner []byte) (*protocol.Envelope, *protocol.Statement, error)
	Epoch    func(rs *trust.Rooms, room protocol.Hash) (trust.Usable, bool)
	Grants   func(rs *trust.Rooms, room protocol.Hash) []protocol.Hash
	Record   func(rs []audit.Record) []audit.Record
}

// Mutate breaks every node of the process so, from now on; the zero Mutant mends them.
func Mutate(m Mutant) {
	testOnlySeal, testOnlyContent, testOnlyParcel, testOnlyQuestion = m.Seal, m.Content, m.Parcel, m.Question
	testOnlyMayHave, testOnlyInner, testOnlyRecord = m.MayHave, m.Inner, m.Record
	testOnlyEpoch, testOnlyGrants = m.Epoch, m.Grants
}
