// Package roomsync keeps the records of closed rooms the same among those who may have them: charters, votes, cards, vouches,
// holds, epochs. They are a grow-only set per room and travel in nobody's feed. Two nodes that share a room compare what they
// have of it and exchange the difference; any member's node can serve any other, so that what was parted heals by comparing.
// The identity of an epoch, sealed to one node (a grant), is handed over by the same stream to who asks for it.
//
// The package verifies nothing and keeps nothing: [Backend] does both, and alone decides who may be given what.
//
// # When
//
// [Engine.PeerReady] has a peer compared with soon, and then every [Options.Every]. [Engine.Changed] has a few others compared
// with a moment after this node learned something. [Engine.Tell] and [Engine.Grant] hand over what is fresh without comparing:
// best effort, since what is lost is found by comparing.
//
// # A conversation
//
// Protocol /entente/room/1. A stream is one conversation, in turns; a turn is one or more frames of package frame, all but the
// last of which say that more follow. To compare, the opener says
//
//  1. which rooms it may tell the other of, each with a digest over what it would give; the answer:
//  2. which of these are the same, and the marks of what it would give of all others;
//  3. the marks of what the other did not name, and of what it wants; the answer:
//  4. the records that were asked for, and the marks of those that it wants;
//  5. these records, and the epochs whose identities it wants; the answer:
//  6. these grants.
//
// The opener ends the stream where it has nothing more to say. To tell, it sends records and grants, and the answer is empty.
// A mark is the first [MarkSize] bytes of a record's Sum.
//
// # Who learns what
//
// No stream is opened to a peer with which no room is shared. What such a peer says is answered as if this node knew of no
// room at all, byte for byte: nothing is the same, nothing is given, and all that it offers is asked for.
//
// # What a peer can cost
//
// A peer has one conversation in each direction at a time, may open only so many, and is given only so many bytes over time,
// whatever it claims to lack. One that stalls, breaks the protocol or gives what [Backend.Take] refuses is named to
// [Options.Offence]. One whose records never become the same is compared with at ever longer intervals.
package roomsync
