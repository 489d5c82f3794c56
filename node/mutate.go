package node

import (
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// What tests break on purpose, to see that the oracle of package nodetest notices.
var (
	testOnlySeal     func(team protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error) // in place of seal.SealSmall
	testOnlyContent  func(plain, sealed []byte) []byte                                             // RED content as it is sent
	testOnlyParcel   func(st *protocol.Statement, p *protocol.Parcel)                              // before it is signed
	testOnlyQuestion func(q *trust.Question)                                                       // before it is decided
	testOnlyMayHave  func(team protocol.TeamID, c protocol.Channel) bool                           // serves a channel, whoever asks
	testOnlyInner    func(inner []byte) (*protocol.Envelope, *protocol.Statement, error)           // in place of Parcel.OpenSealed
	testOnlyEpoch    func(rs *trust.Rooms, room protocol.Hash) (trust.Usable, bool)                // in place of Rooms.UsableEpoch
	testOnlyGrants   func(rs *trust.Rooms, room protocol.Hash) []protocol.Hash                     // epochs that anybody asks for and is given
	testOnlyRecord   func(rs []audit.Record) []audit.Record                                        // before they are logged
)
