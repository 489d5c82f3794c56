// Package trust decides who is who and who may see what. It is pure: no file, no socket, no clock, no goroutine. Every
// function that depends on time takes now, so that the same input gives the same answer anywhere and at any time.
//
// A [Book] holds what this team knows of teams: root logs, manifests, cards, attestations, cut-offs and addresses, each
// verified before it is taken in, and the decisions of people ([OwnAct]) beside them. From both follows the [State] of a
// team. [Resolve] says which branch of a forked root log counts. [CheckEntry] says whether an entry of a feed takes effect.
// [Decide] is the only place where a label or an audience is judged; [Book.Ask] fills in what it asks for. [Directory] answers who
// claims an address or a domain.
//
// A Book also holds the agreements of my team with others, and each party's word on them ([Book.AddAgreement]). Their state
// ([AgreementState]) follows from these records and now, the same on both sides. They spread to nobody: the two parties tell
// each other.
//
// [Rooms] is the same for closed rooms, beside a Book: verified records go in, in any order, and what a room is follows from
// the set of them. Who may vote for what is in [Rooms.Drafts]; whom to seal to is [Rooms.UsableEpoch].
//
// Two ideas run through all of it. Whatever lowers exposure takes effect on sight and by few signatures; whatever raises it
// needs all that it affects. And records are ordered by hash links and counters, never by the time written in them; clocks
// only make things expire.
package trust
