package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A namer says what this team calls a team. Names pass through plainLine before they are printed.
type namer func(protocol.TeamID) string

// dateText prints a day, for terms that are counted in days.
func dateText(s uint64) string { return time.Unix(int64(s), 0).UTC().Format(time.DateOnly) }

// A termLine is one term of a charter: what it is called, in a few words what it says, and whole.
type termLine struct{ title, short, whole string }

// charterTerms are all terms of a charter but for who is in it. Two charters with the same terms have the same lines.
func charterTerms(c *protocol.Charter) []termLine {
	ts := []termLine{
		{"Name", plainLine(c.Name), plainLine(c.Name)},
		{"Purpose", orNone(plainLine(c.Purpose)), indented(orNone(plainText(c.Purpose)))},
		{"What may be said", "up to TLP:" + c.Ceiling.String(), fmt.Sprintf("Messages up to TLP:%s (Traffic Light Protocol 2.0 of FIRST). TLP:RED goes to "+
			"persons, and never to a room.", c.Ceiling)},
		{"Admission", fmt.Sprintf("%s, %s for objections", plural(int(c.Sponsors), "sponsor", "sponsors"), plural(int(c.ObjectionDays), "day", "days")),
			admissionText(c)},
		{"Membership", fmt.Sprintf("for at most %s", plural(int(c.CardDays), "day", "days")), fmt.Sprintf("A membership lasts at most %s; the stewards' votes "+
			"renew it, suspend a member, let it in again, or remove it. A team may leave at any time, by its own word.", plural(int(c.CardDays), "day", "days"))},
		{"Holds", fmt.Sprintf("one steward alone, for at most %s", plural(int(c.HoldDays), "day", "days")), fmt.Sprintf("One steward alone may keep a member out at once, "+
			"for at most %s, and once for each member under one version of the charter. A hold touches no vote.", plural(int(c.HoldDays), "day", "days"))},
		{"Passing on", map[protocol.Onward]string{protocol.OnwardNone: "not beyond the receiving team", protocol.OnwardConstituents: "to constituents at most",
			protocol.OnwardLabel: "as far as each label permits"}[c.Onward], onwardText(c.Onward)},
		{"Attribution outside", map[protocol.Attribution]string{protocol.AttributeAuthor: "the author may be named", protocol.AttributeRoom: "a member of the room, never by name",
			protocol.AttributeNothing: "neither author nor room"}[c.Attribution], attributionText(c.Attribution)},
		{"History", historyShort(c), historyText(c)},
		{"Retention", keepShort(c.Keep), roomKeepText(c.Keep)},
		{"Keys", fmt.Sprintf("for at most %s", plural(int(c.EpochDays), "day", "days")), fmt.Sprintf("What is said is encrypted to the nodes of the members, and to nobody "+
			"else. The key is replaced after at most %s, and before the next message whenever somebody is out.", plural(int(c.EpochDays), "day", "days"))},
		{"Freshness", fmt.Sprintf("heard of others within %s", plural(int(c.FreshHours), "hour", "hours")), fmt.Sprintf("A node speaks in the room only if it has heard of other "+
			"members within %s, so that it knows who is out.", plural(int(c.FreshHours), "hour", "hours"))},
		{"Handling", policyShort(c.Policy), handlingText(c.Policy)},
		{"Further terms", orNone(shorten(plainLine(c.Text), 60)), plainText(c.Text)},
	}
	if c.Closed {
		ts = append(ts, termLine{"End", "the room is closed", "With this version the room ends: nothing is said in it any more."})
	}
	for _, id := range c.Voids {
		ts = append(ts, termLine{"Given up", "decision " + id.String(), "The decision of the stewards with the id " + id.String() + " does not count any more."})
	}
	if !c.Replaces.IsZero() {
		ts = append(ts, termLine{"Replaces", "room " + c.Replaces.Short(), "It founds anew the room " + c.Replaces.String() + ", which is left behind."})
	}
	return ts
}

// indented keeps the lines of others from standing where this program's begin.
func indented(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// stewardsText counts those who decide.
func stewardsText(q, n int) string {
	switch {
	case q == n && n == 2:
		return "both stewards"
	case q == n:
		return fmt.Sprintf("all %d stewards", n)
	}
	return fmt.Sprintf("%d of the %d stewards", q, n)
}

func decidersText(c *protocol.Charter) string {
	return stewardsText(protocol.Quorum(len(c.Stewards)), len(c.Stewards))
}

func admissionText(c *protocol.Charter) string {
	sponsors := "No member has to vouch for a team that is to be admitted."
	if c.Sponsors > 0 {
		sponsors = fmt.Sprintf("%s for a team that is to be admitted.", plural(int(c.Sponsors), "member vouches", "members vouch"))
	}
	window := "There is no time for objections."
	if c.ObjectionDays > 0 {
		window = fmt.Sprintf("Then members may object for %s; an objection that stands is overruled by one vote more.", plural(int(c.ObjectionDays), "day", "days"))
	}
	return sponsors + " It accepts this charter. " + window + " The stewards' votes admit it. A team has no vote on its own membership."
}

func attributionText(a protocol.Attribution) string {
	switch a {
	case protocol.AttributeAuthor:
		return "What leaves the room may name the team that said it."
	case protocol.AttributeRoom:
		return "What leaves the room is told of a member of the room, and never names the team that said it, whatever the handling below says. Inside, the author is known."
	default:
		return "What leaves the room names neither the team that said it nor that there is a room, whatever the handling below says. Inside, the author is known."
	}
}

func historyShort(c *protocol.Charter) string {
	if c.History == protocol.HistoryDate {
		return "from " + dateText(c.HistoryFrom)
	}
	return map[protocol.History]string{protocol.HistoryJoining: "from joining on", protocol.HistoryAll: "all of the past"}[c.History]
}

func historyText(c *protocol.Charter) string {
	switch c.History {
	case protocol.HistoryDate:
		return "A new member may read what was said since " + unixText(c.HistoryFrom) + "."
	case protocol.HistoryAll:
		return "A new member may read all that was said before it joined."
	default:
		return "A new member reads nothing that was said before it joined."
	}
}

func roomKeepText(days uint64) string {
	if days == 0 {
		return "The charter sets no term after which members delete what they received."
	}
	return fmt.Sprintf("Members delete what they received %s after receiving it.", plural(int(days), "day", "days"))
}

func keepShort(days uint64) string {
	if days == 0 {
		return "no term"
	}
	return plural(int(days), "day", "days")
}

// policyShort gives the fields of the exchange policy in their own terms.
func policyShort(p protocol.IEP) string {
	var out []string
	for i, v := range []string{p.Encrypt, p.Actions, p.Notify, p.Attribution, p.Resale} {
		out = append(out, protocol.IEPValues()[i].Name+" "+v)
	}
	return strings.Join(out, ", ")
}

// charterText returns a charter in words: all that it says, so that nobody signs what was not shown. It does nothing to a
// terminal.
func charterText(id protocol.Hash, c *protocol.Charter, name namer) string {
	w := &prose{}
	w.head("CHARTER OF A CLOSED ROOM")
	intro := "Version " + fmt.Sprint(c.Version) + ", with the id\n  " + id.String() + "\nIt was drawn up at " + unixText(c.Issued) + " (UTC)."
	if c.Version > 1 {
		intro += " It is of the room\n  " + c.Room.String() + "\nand follows the version\n  " + c.Prev.String()
	}
	w.par(intro)
	for _, t := range charterTerms(c) {
		if t.title == "Further terms" {
			continue
		}
		w.article(t.title, t.whole)
	}
	stewards := fmt.Sprintf("They decide, by the votes of %s. All of them are members.", decidersText(c))
	for _, s := range c.Stewards {
		stewards += "\n  - " + plainLine(name(s))
	}
	w.article("Stewards", stewards)
	members := plural(len(c.Members), "team", "teams") + ", each with the root record under which its officers sign:"
	for _, s := range c.Members {
		members += "\n  - " + plainLine(name(s.Team)) + seatText(s) + "\n    team " + s.Team.String() + "\n    root " + s.Root.String()
	}
	w.article("Members", members)
	if c.Text != "" {
		w.article("Further terms", "")
		w.verbatim(plainText(c.Text))
	}
	return strings.TrimRight(w.b.String(), "\n")
}

func seatText(s protocol.Seat) string {
	out := fmt.Sprintf(", from %s until %s", unixText(s.Joined), unixText(s.Until))
	if s.Status != protocol.MemberFull {
		out += ", " + s.Status.String()
	}
	return out
}

// charterChanges says in what one charter differs from the one before it, of which it is the next version.
func charterChanges(old, next *protocol.Charter, name namer) []string {
	var out []string
	before := charterTerms(old)
	for _, t := range charterTerms(next) {
		i := slices.IndexFunc(before, func(o termLine) bool { return o.title == t.title && (t.title != "Given up" || o.short == t.short) })
		switch {
		case i < 0:
			out = append(out, t.title+": "+t.short)
		case before[i].short != t.short:
			out = append(out, fmt.Sprintf("%s: %s (before: %s)", t.title, t.short, before[i].short))
		case before[i].whole != t.whole:
			out = append(out, t.title+": changed; now:\n    "+strings.ReplaceAll(orNone(t.whole), "\n", "\n    "))
		}
	}
	if was, is := decidersText(old), decidersText(next); was != is {
		out = append(out, fmt.Sprintf("Who decides: %s (before: %s)", is, was))
	}
	for _, s := range next.Stewards {
		if !old.IsSteward(s) {
			out = append(out, "new steward: "+plainLine(name(s)))
		}
	}
	for _, s := range old.Stewards {
		if !next.IsSteward(s) {
			out = append(out, "no steward any more: "+plainLine(name(s)))
		}
	}
	return append(out, seatChanges(old, next, name)...)
}

func seatChanges(old, next *protocol.Charter, name namer) (out []string) {
	for _, s := range next.Members {
		o, was := old.Seat(s.Team)
		n := plainLine(name(s.Team))
		switch {
		case !was:
			out = append(out, fmt.Sprintf("in its list of members: %s%s", n, seatText(s)))
		case o.Status != s.Status || o.Until != s.Until || o.Joined != s.Joined:
			out = append(out, fmt.Sprintf("in its list of members: %s%s (before%s)", n, seatText(s), strings.TrimPrefix(seatText(o), ",")))
		case o.Root != s.Root:
			out = append(out, fmt.Sprintf("%s signs by the officers of its newer root record %s", n, s.Root))
		}
	}
	for _, s := range old.Members {
		if _, is := next.Seat(s.Team); !is {
			out = append(out, "not in its list of members any more: "+plainLine(name(s.Team)))
		}
	}
	return out
}
