// Package protocol is the vocabulary of Entente and its wire form: what is signed, how it is encoded, and what is refused.
//
// Everything that travels or is kept for long is a record: a map in deterministic CBOR (RFC 8949 §4.2) with small integer
// keys, carried as opaque bytes in an [Envelope] with one or more signatures. The bytes that were verified are the bytes that
// are parsed, stored and forwarded; nothing is re-encoded on the way. A decoder accepts exactly one encoding of each value.
//
// The type of a record is part of what is signed, and says which use of key may sign it ([Uses]). A record that must exist
// once has a [Slot]; two records of one signer for one slot are a [ForkProof].
//
// A message is a [Statement] inside a [Parcel]. For the community the parcel has the statement as it is; for anybody else it
// has what the statement was sealed into (package seal), in a feed of the [Channel] between author and reader, or of a room.
// Whom a statement is for is inside its signature, and [Parcel.OpenSealed] refuses it in every channel that does not carry it:
// so nobody can seal what was said to them for somebody else. What people read of a RED statement is a [Content], sealed once
// more, to persons.
//
// A room is its [Charter], and the votes, cards and holds about it, which its members hand each other. What is said in it is
// sealed to an [Epoch], whose identity each of its nodes has by a [Grant].
//
// The package holds no rule about who may see what: that is package trust. It holds no key of this node: that is
// store/keyring. SPEC.md in this directory specifies the forms for other implementations.
//
// # Compatibility
//
// Nothing is frozen before 1.0. After it, version 1 of a record never changes; extensions use the keys 900 to 999 (ignored
// where unknown, and preserved) or 1000 and above (refused where unknown).
package protocol
