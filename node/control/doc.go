// Package control is the face of a running node for programs: HTTP with JSON over a unix socket, server and client as twins
// in one package. The command line uses it, and every bridge and script does: there is no other way to the running node.
//
// # For bridges
//
// A bridge is a client. [Dial] finds the node of a home. [Client.Send] publishes: the node reads the label, asks policy and
// signs; a bridge holds no key and cannot publish what policy refuses. [Client.Watch] subscribes with resume: each
// [Message] carries N, the number by which this node took it in. Numbers ascend and are never used twice. A bridge keeps
// the N of the last message that it has dealt with and gives it to Watch after a restart, so that nothing is missed and
// nothing is seen twice.
//
//	c, err := control.Dial(home)
//	…
//	err = c.Watch(ctx, lastN, func(m control.Message) error { … })
//
// A bridge may send to whomever a person may: [Draft] has the audience, and a dry run says who would be able to read. What
// is TLP:RED a bridge can carry, and not read: [Client.Sealed] gives what only a person's own identity opens. What becomes of
// a message at others is told by [Client.Receipts], and every decision by [Client.AuditLog]. Agreements are drafted here and
// signed elsewhere: no officer's key ever comes to the node.
//
// # Who may connect
//
// The socket lies in a directory that only the node's user can enter. Both ends ask the kernel who the other end is: the
// server refuses every user but its own and root; the client refuses a server of anybody but the home's owner and root.
// There is no TCP listener and no token.
//
// # Wire form
//
// Paths begin with /v1. Answers are JSON; lists and streams are JSON lines. A refusal is an [Error] as JSON, with its code
// also in the HTTP status. In a stream that fails midway, the last line is an Error; no other line has a field "error". Raw
// bytes (a message's content, a backup) have a length or a trailer that tells a whole answer from a cut one.
//
// # Compatibility
//
// Fields are added, never renamed or removed. A client ignores fields that it does not know.
package control
