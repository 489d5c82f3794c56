// Package seal encrypts: streams, small files and blobs to a passphrase or to hybrid recipients, and the values of a store under a
// data key. It is the only importer of age, so that encryption is reviewed in one place.
//
// What it writes are age files (age-encryption.org/v1), binary or armored: whoever holds the passphrase or the identity can
// open them with the age tool and without this project. Recipients are hybrid and nothing else: ML-KEM-768 with X25519, or with
// P-256 for a key in hardware, which a plugin of age asks. A file that is also sealed to a recipient of another kind is refused on
// opening, because the weakest recipient decides what the file is worth.
//
// Age says nothing about who sealed a file. A file sealed with a passphrase can be made only by somebody who knows it; a file
// sealed to a recipient can be made by anybody. Who made it is known by a signature, which is package protocol's.
//
// # What goes between teams
//
// A statement, or what is in it for persons, is a small file ([SealSmall], [OpenSmall]): its size and the number of its recipients
// are padded, and it opens whole or not at all. A large body is a blob ([SealBlob], [OpenBlob]): sealed once to a key of its own,
// which the small files carry, padded too, and read from anywhere in bounded memory. Only OpenSmall and OpenBlob take what
// strangers send: they refuse a file by its header and size before any work on keys.
//
// Padding hides little of what is large: a size still tells to within some percent. Who sends when to whom is not this package's.
//
// # Reading a stream
//
// A reader of [Open] and [OpenPassphrase] gives only bytes that authenticate. That the end of the file is missing is known only
// at the end: read until io.EOF before acting on any of it. Until then the last byte may be missing, whatever was read. Of a
// [Blob] the length is known from the start, as its last chunk authenticates when it is opened.
package seal
