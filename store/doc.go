// Package store keeps what a node knows: identity records, feeds, messages, their bodies and a search index, in Badger.
//
// Every value is sealed with the data key of its audience, or with this node's own, and bound to its key. Badger loses
// values silently when its files are damaged; so a value that is missing, empty or does not authenticate counts as not
// found. A damaged entry of a feed becomes a hole that [Store.Missing] reports, and is taken in again when a peer hands it
// over. Nothing that is read is wrong; at worst it is not there.
//
// # Intake
//
// [Store.Accept] is the only way in for parcels. One writer takes whatever is queued into one transaction, synced to the
// disk before the call returns. A transaction holds all or nothing: parcels, messages, extents of feeds, links to what is
// corrected, wanted blobs. After a failed commit the store refuses every write until it is opened anew.
//
// # Channels
//
// What two teams exchange is sealed, and apart from everything else: feeds, messages, terms and blobs of each
// [protocol.Channel] are under a key of their own. The ciphertext of a parcel is kept, to serve it; the statement that was in
// it is kept beside it. An author's statement to several teams is several parcels and one message. Some entries are no message:
// they are links of their feeds only. Some messages are held back, and nobody sees them before [Store.Release].
//
// When the key of a channel is given up, nothing of it can be read any more, whatever is still on the disk; [Store.Forget]
// then takes that away as well.
//
// # Rooms
//
// A room is one channel with a feed of each member's node. The records of a room are kept under the channel's key as well, and so
// are notes about it: who gives up that key gives up all of the room. An entry that comes before the identity of its epoch waits as
// a link, and becomes a message when it is handed to [Store.Accept] again, opened; [Store.Closed] finds what waits for an epoch.
//
// # Order
//
// A message has an arrival number N, from 1, without meaning outside this store. N and the time of receipt rise together.
// Numbers of messages that were pruned are not used again.
//
// # Compatibility
//
// The key layout has a version, in keys.go. An older store is migrated when it is opened, a newer one is refused.
package store
