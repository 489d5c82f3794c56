package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// textWidth is how wide the text of an agreement is, in characters.
const textWidth = 78

// agreementText returns an agreement in words. The same document gives the same text at both teams, if they call each other by
// the same names; the ids in it are what counts. It does nothing to a terminal.
func agreementText(id protocol.Hash, a *protocol.Agreement, nameA, nameB string) string {
	w := &prose{}
	w.head("AGREEMENT ON THE EXCHANGE OF INFORMATION")
	if a.Title != "" {
		w.par("Title: " + plainLine(a.Title))
	}
	w.par("Between\n  " + plainLine(nameA) + "\n  (team " + a.A.String() + "), which offers it,\nand\n  " + plainLine(nameB) + "\n  (team " + a.B.String() + ").")
	w.par("This document has the id\n  " + id.String() + "\nIt is in effect when officers of both teams have signed it, under the root record\n  " + a.RootA.String() +
		"\nof the first team, and\n  " + a.RootB.String() + "\nof the second.")
	if !a.Prev.IsZero() {
		w.par("It renews the agreement\n  " + a.Prev.String() + "\nwhich it replaces once it is in effect.")
	}
	w.article("Validity", fmt.Sprintf("From %s until %s (UTC). It was drawn up at %s.", unixText(a.From), unixText(a.Until), unixText(a.Issued)))
	w.article("What may be sent", ceilingText(a.Ceiling))
	w.article("Purposes", itemized(a.Purposes, "The parties name no purpose in particular.", "The parties exchange information for:"))
	w.article("Types of information", itemized(a.Types, "Information of any type.", "Information of these types:"))
	w.article("Passing on", onwardText(a.Onward))
	w.article("Retention", keepText(a.Keep))
	w.article("Receipts", receiptsText(a.Receipts))
	w.article("Handling", handlingText(a.Policy))
	w.article("Suspension and end", "Either party may suspend the agreement at any time, and take its own suspension back. While one of them "+
		"suspends it, nothing is sent or taken in under it. Either party may end it at any time, for good, without giving a reason. "+
		"What was received before stays bound by its label, and by what this agreement says of passing on and of retention.")
	w.article("Form", "What is sent under this agreement is encrypted to the servers of the receiving team, or for TLP:RED to the persons "+
		"that the sender names, and to nobody else. Nobody else learns that it was sent. The terms do not change: other terms are another agreement.")
	if a.Text != "" {
		w.article("Further terms", "")
		w.verbatim(plainText(a.Text))
	}
	w.par("For " + plainLine(nameA) + "\n\n  ______________________________\n\nFor " + plainLine(nameB) + "\n\n  ______________________________")
	return strings.TrimRight(w.b.String(), "\n")
}

func unixText(s uint64) string { return time.Unix(int64(s), 0).UTC().Format(time.RFC3339) }

func ceilingText(l tlp.Label) string {
	s := fmt.Sprintf("Messages up to TLP:%s (Traffic Light Protocol 2.0 of FIRST). Nothing stricter is sent or taken in under this agreement.", l)
	if l == tlp.Red {
		s += " TLP:RED goes to persons that the sender names, and to nobody else."
	}
	return s
}

func onwardText(o protocol.Onward) string {
	switch o {
	case protocol.OnwardNone:
		return "What was received stays within the receiving team, whatever its label."
	case protocol.OnwardConstituents:
		return "What was received stays within the receiving team and its constituents, as far as its label permits."
	default:
		return "What was received may be passed on as far as its label permits."
	}
}

func keepText(days uint64) string {
	if days == 0 {
		return "The agreement sets no term after which the receiver deletes what it received."
	}
	return fmt.Sprintf("The receiver deletes what it received %s after receiving it.", plural(int(days), "day", "days"))
}

func receiptsText(r protocol.Receipting) string {
	switch r {
	case protocol.ReceiptsNone:
		return "The receiver's software sends no receipts."
	case protocol.ReceiptsStored:
		return "The receiver's software tells the sender of each message that it is stored, or by which rule it is held back."
	default:
		return "The receiver's software tells the sender of each message that it is stored, or by which rule it is held back, and of TLP:RED which person opened it, and when."
	}
}

// handlingText says in words what the fields of the exchange policy say in their terms.
func handlingText(p protocol.IEP) string {
	words := map[string]map[string]string{
		"encrypt_in_transit": {
			"must": "Whoever passes information on must encrypt it in transit.",
			"may":  "Information that is passed on may travel unencrypted.",
		},
		"permitted_actions": {
			"none":                                "The receiver takes no action upon it.",
			"contact-for-instruction":             "The receiver asks the sender before any action upon it.",
			"internally-visible-actions":          "The receiver may take actions that are visible within its own networks only.",
			"externally-visible-indirect-actions": "The receiver may take actions that others can see indirectly.",
			"externally-visible-direct-actions":   "The receiver may take actions that others can see directly.",
		},
		"affected_party_notifications": {
			"must-not": "The receiver does not notify affected parties.",
			"may":      "The receiver may notify affected parties.",
		},
		"attribution": {
			"must-not": "The receiver does not name the sender as the source.",
			"may":      "The receiver may name the sender as the source.",
			"must":     "The receiver names the sender as the source.",
		},
		"unmodified_resale": {
			"must-not": "The information is not sold.",
			"may":      "The information may be sold unmodified.",
		},
	}
	s := "By the Information Exchange Policy framework 2.0 of FIRST, within the limits of each message's label:"
	for i, v := range []string{p.Encrypt, p.Actions, p.Notify, p.Attribution, p.Resale} {
		f := protocol.IEPValues()[i].Name
		s += fmt.Sprintf("\n  - %s\n    (%s: %s)", words[f][v], f, v)
	}
	return s
}

// itemized writes items one under the other, or what stands for none.
func itemized(items []string, none, intro string) string {
	if len(items) == 0 {
		return none
	}
	s := intro
	for _, i := range items {
		s += "\n  - " + plainLine(i)
	}
	return s
}

// prose is text in paragraphs. A line that begins with spaces keeps its indentation in the lines it is broken into.
type prose struct {
	b strings.Builder
	n int // of the last article
}

func (w *prose) head(s string) { w.b.WriteString(s + "\n" + strings.Repeat("=", len(s)) + "\n\n") }

func (w *prose) article(title, text string) {
	w.n++
	fmt.Fprintf(&w.b, "%d. %s\n", w.n, title)
	if text != "" {
		w.par(text)
	}
}

func (w *prose) par(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		body := strings.TrimLeft(line, " ")
		indent := strings.Repeat(" ", len(line)-len(body))
		hang := indent
		if strings.HasPrefix(body, "- ") {
			hang += "  "
		}
		at := 0
		for i, word := range strings.Fields(body) {
			n := len([]rune(word))
			switch {
			case i == 0:
				w.b.WriteString(indent + word)
				at = len(indent) + n
			case at+1+n > textWidth:
				w.b.WriteString("\n" + hang + word)
				at = len(hang) + n
			default:
				w.b.WriteString(" " + word)
				at += 1 + n
			}
		}
		w.b.WriteString("\n")
	}
	w.b.WriteString("\n")
}

// verbatim writes a text with its own lines, indented.
func (w *prose) verbatim(text string) {
	for line := range strings.Lines(text) {
		w.b.WriteString(strings.TrimRight("  "+strings.TrimRight(line, "\n"), " ") + "\n")
	}
	w.b.WriteString("\n")
}
