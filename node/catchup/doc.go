// Package catchup answers one question: what did I miss? Gossip is the fast path and loses entries; catch-up finds every
// hole that gossip, an absence or a crash left, fetches it, and says by which signed word of the author nothing is missing.
//
// The package has three layers, each usable without the next:
//
//   - The wire (wire.go): one request per stream, streamed answers, strict CBOR, a bound on every frame.
//   - The decisions (state.go, plan.go, complete.go): [State.Step] takes in what happened and returns what to ask next of
//     whom. It has no clock, goroutine or I/O: the same events give the same requests.
//   - The shell ([Engine]): libp2p streams, the clock, the limits on what a peer may cost, and the [Backend] that holds
//     entries, signed heads, blobs and identity records.
//
// # Feeds
//
// A feed is one author's hash-linked sequence, so what a node holds of it is a few numbers ([Extent]). Two nodes compare a
// digest over all of them; where it differs, the list. Everything after that is pulled by (feed, from, to). A peer's list
// is a claim and nothing more: it says whom to ask, and no entry counts as held until the backend has verified and kept it.
//
// A feed of a revoked node is fetched only up to its cut-off, and backwards, since an entry there is believed for being
// the predecessor of one already believed.
//
// A node's own feeds take part like any other: entries of its own that it does not hold are how a node restored from an
// old backup learns that it must not sign.
//
// # Feeds between two teams
//
// A node has one feed for the community, and one for each team and each agreement that it exchanges under. These are nobody
// else's business, though anybody can compute their ids. [Feeds.Serves] decides which peer may know of which: what a peer is
// told, by lists, digests, entries or heads, is what it would be told if the others did not exist, byte for byte. Nor is it
// asked for anything that it may not know of, whatever it claims to hold, nor for blobs that are not for its team. Heads
// are exchanged for the community feeds only.
//
// # Completeness
//
// A hash chain cannot show a cut tail. An author's signed Heads can: [Complete] says as of when a feed is complete, or
// what is missing.
//
// # What a peer can cost
//
// A peer that stalls, floods, lies or sends rubbish has its streams reset, is not asked for a while, and is named to
// [Options.Offence]. It never costs more memory than the limits in this package, and never delays what others can deliver.
package catchup
