// Package audit is the disclosure log of a node: every decision about AMBER and above, as records that nobody can change,
// reorder or take out unnoticed.
//
// # What it shows, and what not
//
// The records are the leaves of a Merkle tree (RFC 6962), whose head is signed from time to time: a checkpoint. With it
// a single record can be proved to somebody else, without showing another ([Log.Prove], [VerifyProof]); a later checkpoint
// can be shown to go on from an earlier one ([Log.ProveExtends]); and changes to the files show ([Log.Verify]).
//
// The log does not show what a node chose not to log. Who holds the node's keys can write another log; only a checkpoint
// that somebody else kept tells ([Log.Extends]). Records after the last checkpoint can be cut off unnoticed by who can
// write to the files, and so can everything, with the checkpoint, be set back to an earlier state.
//
// # Proofs
//
// A proof is a text by c2sp.org/tlog-proof. An entry of the tree is SHA-256(salt ‖ record); the extra data of the proof are
// the salt, of 16 bytes, and the record: a map in deterministic CBOR with the keys 1 time (Unix milliseconds), 2 actor,
// 3 action, 4 object, 5 team, 6 label (1 CLEAR to 5 RED), 7 allowed, 8 rule, 9 reason; absent where empty. Records of the
// log about itself have 10 what was erased, 11 and 12 size and root of the checkpoint that was given up. Checkpoints are
// by c2sp.org/tlog-checkpoint, with one Ed25519 key and an origin that the caller chooses.
//
// # Files
//
// A log has a directory of its own: records, hashes and checkpoint. Each record takes one slot of 512 bytes, sealed with
// the Cipher and bound to its place and to the log; all look alike. Each takes 64 bytes of hashes besides. Nothing is
// kept in memory for a record.
//
// An erased record leaves its leaf, from which nothing can be guessed without the salt, so that the tree stays as it was
// ([Log.EraseBefore], [Log.EraseObject]).
//
// # Crashes
//
// What [Log.Append] returned for is on the disk. Only the file of records is synced for it. The hashes of what came after
// the last checkpoint are made again when the log is opened, and what a crash tore is cut off. Everything else that does
// not fit is [ErrBroken]. [OpenAfterBreak] goes on after it, with a record that shows the break for good.
package audit
