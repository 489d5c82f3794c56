// Package content reads out of a document what a node must know of it: its format, its TLP label, a title, and the words
// and indicators by which it can be found again. It does not map one format to another; that is the work of the bridges.
//
// # What is recognised
//
// STIX (a bundle, a TAXII envelope or single objects), MISP events (wrapped, bare, or in a response), CSAF 2.0 and 2.1,
// IntelMQ events as JSON lines, Markdown and text. A format is recognised by content, never by name. JSON of another kind
// is [JSON]; what is not UTF-8 text is [Opaque]. Both are unmarked.
//
// # The label
//
// The label is the strictest marking found anywhere in the document, in the places where its format puts markings. A
// document without one is [tlp.Unset], which is no permission: the caller must ask for a label.
//
//   - STIX: object_marking_refs and granular_markings, resolved by the TLP 2.0 ids, the predefined ids of STIX 2.1, and
//     marking definitions in the document. A definition that nothing refers to does not count. A reference that the
//     document does not resolve is an error, except in a document that is RED anyway. Statement markings are ignored.
//   - MISP: tags tlp:…, wherever they are. tlp:ex:chr is a caveat, no label. tlp:unclear is [ErrUnclear].
//   - CSAF: document.distribution.tlp.label. A sharing group that forbids sharing is [ErrNoSharing].
//   - IntelMQ: the key tlp of every line.
//   - Markdown and text: TLP:LABEL anywhere, also in prose: a text that speaks of a TLP:RED report is RED. Only CLEAR must
//     stand where a marking stands (at the start of a line, after a short key, in a heading), because a mention of CLEAR
//     restricts nothing and must not publish anything either. Where a line begins with TLP: and names no label, that is an
//     error.
//
// Every failure is closed: a document that claims a format and is broken, or that carries a marking which is not
// understood, gives an [*Error] and no label, never a wider one.
//
// # Bounds
//
// The document is read once, as a stream. Memory does not grow with it: strings, depth, distinct markings and the number
// of terms have the limits named below. Terms go to a callback as they are found; those of a document that turns out to
// be broken have then been seen already, and the caller must discard them.
package content
