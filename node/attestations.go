package node

import "github.com/entente-network/entente/protocol"

// OwnAttestations returns what this team attests of others, those taken back included. A ceremony that removes an officer
// signs them again.
func (n *Node) OwnAttestations() ([]*protocol.Attest, error) {
	var out []*protocol.Attest
	err := n.st.Records(func(_ protocol.TeamID, e *protocol.Envelope) error {
		if e.Type != protocol.TypeAttest {
			return nil
		}
		a, err := protocol.Decode[protocol.Attest](e)
		if err == nil && a.Issuer == n.team {
			out = append(out, a)
		}
		return err
	})
	return out, err
}
