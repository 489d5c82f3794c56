// Package keyring is the only holder of private keys: those of this node, and the files of root, officer and operator keys.
//
// # Files
//
//	keys/              0700; every file in it 0600, all of one owner
//	  node.key         sealed to the unlock secret: seeds of the node, its transport and its audit log, age identities, data keys
//	  epochs.key       sealed to the unlock secret: identities of the epochs of rooms
//	  unlock.age       only with a typed passphrase: the unlock identity, sealed with the passphrase
//	  root.key         sealed with a passphrase; may be carried away, the node does without it
//	  root.pub
//	  officer-NAME.key sealed with a passphrase of its own
//	  officer-NAME.pub
//	  operator-NAME.key identities of a person, sealed with a passphrase; or the line for a plugin of age
//	  operator-NAME.pub the person's recipient; alone if the person keeps the identity elsewhere
//	unlock             where the operator wants it: the unlock identity in the clear
//	heads              how far this node signed (type [Guard]); must be in no backup
//
// All of them but heads are age files or age identities. When everything else is lost, "age -d -i unlock keys/node.key" (with a
// typed passphrase "age -d -i keys/unlock.age keys/node.key") and "age -d keys/root.key" give what is inside, as CBOR; epochs.key
// opens as node.key does. An operator's file is an identity file of age: "age -d -i keys/operator-NAME.key FILE" opens what is
// sealed to the person.
//
// A file appears whole or not at all: it is written beside its place, synced, and moved there. Nothing is overwritten that the
// call was not asked to replace. Permissions that are too wide are an error that names the command which mends them; nothing is
// mended silently, because somebody may have read the file already.
//
// # What a thief gets
//
// With a copy of the disk and without the unlock secret: nothing but guesses at a typed passphrase, each costing scrypt's work.
// With the unlock secret: this node, its messages and its speech, until an officer revokes it; never an officer's or the root's
// signature. [Unlock.Where] says in words where the secret lies. The unlock recipient is written nowhere, so that only who
// holds the secret can make a node.key that opens.
//
// # Rotation
//
// The age identity of a node changes often ([Ring.Rotate]), without an officer, so that a stolen one opens little. Former ones stay
// for what is still on its way, also when the node is replaced, until [Ring.DestroyIdentities]. Of an operator the former ones stay
// for good ([RotateOperator]): nobody else can open the messages sealed to them.
//
// # Epochs
//
// What is said in a room is sealed to the identity of an epoch, which the nodes of its members hold, and hand to each other. They
// are many and change often, so they are in a file of their own. Without it the node works, and has them granted anew.
//
// # Dropping an audience
//
// [Ring.DropAudience] forgets a data key, and with it everything sealed under it. An old copy of node.key (in a backup, in a
// snapshot of the file system, in blocks that a flash disk still keeps) holds the key still, and opens with the unlock secret. That
// goes for identities that were destroyed, too, those of epochs included ([Ring.DestroyEpochs]).
package keyring
