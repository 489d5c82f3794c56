package trust

import "github.com/entente-network/entente/protocol"

// NodeSealTo names a node and the recipient that is sealed to for it.
type NodeSealTo struct {
	Node      protocol.KID
	Recipient string
}

// RecipientsOf returns the current nodes of a team that name a recipient, by key: the newest that the node itself named, or
// else the manifest's.
func (b *Book) RecipientsOf(team protocol.TeamID) []NodeSealTo { return nil }

// Operators returns the persons of a team to whom RED can be sealed, by name: those of its valid manifest.
func (b *Book) Operators(team protocol.TeamID) []protocol.Operator { return nil }
