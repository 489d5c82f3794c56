// Package seal encrypts: streams and small files to a passphrase or to hybrid recipients, and the values of a store under a
// data key. It is the only importer of age, so that encryption is reviewed in one place.
//
// What it writes are age files (age-encryption.org/v1), binary or armored: whoever holds the passphrase or the identity can
// open them with the age tool and without this project. Recipients are hybrid (ML-KEM-768 with X25519) and nothing else. A
// file that is also sealed to a recipient of another kind is refused on opening, because the weakest recipient decides what
// the file is worth.
//
// Age says nothing about who sealed a file. A file sealed with a passphrase can be made only by somebody who knows it; a file
// sealed to a recipient can be made by anybody. Who made it is known by a signature, which is package protocol's.
//
// # Reading a stream
//
// A reader of [Open] and [OpenPassphrase] gives only bytes that authenticate. That the end of the file is missing is known only
// at the end: read until io.EOF before acting on any of it. Until then the last byte may be missing, whatever was read.
package seal
