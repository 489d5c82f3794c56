// Package node is the running thing: one team's server. It keeps what it knows in a store, speaks to the nodes of other
// teams over libp2p, and asks package trust before it says, relays, serves or believes anything.
//
// A Node is made from a home directory. [Found] makes the home of a new team, [Open] opens it, [Node.Start] joins the
// network. Faces (the control socket, later a portal) and bridges are attached by package cmd; node knows none of them.
//
// The life of a message: [Node.Send] reads its label, asks trust.Decide, signs a statement and a parcel, stores both and
// only then publishes. Every other node verifies in [Node.validate] before it relays, stores in ingest, and heals what it
// missed through package catchup.
package node
