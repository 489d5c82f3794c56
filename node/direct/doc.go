// Package direct pushes what is for one peer alone to that peer: sealed parcels of the feeds between two teams, and signed
// heads of these. It is to them what gossip is to the community: the fast path, best effort. What it loses is healed by
// catch-up, since a feed in its author's store is the queue: nothing is persisted here.
//
// # Sending
//
// [Courier.Push] puts a record into the queue of one peer and returns. As long as there is something to send, one stream to
// the peer is open, and all that waits goes out in as few writes as may be, what is urgent first. A queue is bounded by
// [Options]; what finds no room is dropped, an urgent record only after those that are not.
//
// A record that was dropped, or was written to a stream that then broke, is a loss. The queue that had one says so to the
// peer when it has drained: one frame, upon which the peer compares by catch-up ([Backend.Behind]). A stream that breaks is
// opened again after a moment. A peer that is away is told when it is back. No loss is told twice, and none is forgotten
// while the program runs; across a restart comparing is what nodes do anyway.
//
// Records for one peer are in one queue and go to that peer. What waits for one is not written, counted or named to another.
//
// # Receiving
//
// [Backend.Take] gets all that came while it was busy, so that many records share one commit. While it works little more is
// read, and the peer's writes wait: this is all the flow control there is. It judges what it is given by type and content;
// the courier looks at no record.
//
// # The wire
//
// Protocol /entente/direct/1: a stream carries frames from the one who opened it, and nothing the other way. A frame is of
// the form of package frame, and contains up to [MaxBatch] records, word of a loss, or both. Each of two peers opens at most
// one stream to the other; a newer one takes the place of the older.
//
// # What a peer can cost
//
// A peer is asked for with [Backend.Admits] for each stream, and again with [Courier.Recheck]. It has one stream here, of
// which at most one frame, one batch that waits and one that is being taken are held, all of them within a budget for all
// peers, in turn. One that stalls in the middle of a frame, opens stream after stream, says too much or pushes what the
// backend refuses has its stream reset and is named to [Options.Offence]. One that does not read loses what waits for it, and
// nobody else is held up: every peer has a goroutine of its own, and no lock is held over a wait for the network.
package direct
