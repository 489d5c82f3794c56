package content

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanTitle makes one line of s: at most MaxTitle runes, without control characters and without the invisible ones that
// change the direction or hide part of a text, white space collapsed.
func cleanTitle(s []byte) string {
	var b strings.Builder
	n, space := 0, false
	for len(s) > 0 && n < MaxTitle {
		r, size := utf8.DecodeRune(s)
		s = s[size:]
		switch {
		case r == utf8.RuneError && size == 1:
			continue
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != 0x200c && r != 0x200d: // joiners belong to scripts
			continue
		}
		if space {
			if n+1 == MaxTitle {
				break
			}
			b.WriteByte(' ')
			n++
			space = false
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// titles keeps the best title found so far for each of the formats that a JSON document may turn out to be.
type titles map[Format]rankedTitle

type rankedTitle struct {
	rank int // smaller is better
	text string
}

// offer proposes s. The first of the best rank wins.
func (t *titles) offer(f Format, rank int, s []byte) {
	if old, ok := (*t)[f]; ok && old.rank <= rank {
		return
	}
	text := cleanTitle(s)
	if text == "" {
		return
	}
	if *t == nil {
		*t = make(titles)
	}
	(*t)[f] = rankedTitle{rank, text}
}

func (t titles) best(f Format) string { return t[f].text }

// titleRank says how well the name of a STIX object of this type speaks for the document.
func titleRank(typ string) int {
	switch typ {
	case "report", "grouping", "incident", "x-mitre-collection":
		return 0
	case "campaign", "intrusion-set", "malware", "threat-actor", "vulnerability", "indicator":
		return 1
	case "identity", "marking-definition", "extension-definition", "location":
		return 4
	case "bundle":
		return 5
	}
	if strings.HasPrefix(typ, "x-") {
		return 2
	}
	return 3
}

const maxClasses = 32 // distinct IntelMQ types counted

// roots is what the JSON documents of one file have in common.
type roots struct {
	format  Format
	count   int
	titles  titles
	classes map[string]int
}

// add counts a document that began at start. All documents of one file must be of one kind.
func (d *roots) add(f Format, start int64) error {
	d.count++
	switch {
	case d.format == "" || d.format == f:
		d.format = f
	case d.format == STIX20 && f == STIX21 || d.format == STIX21 && f == STIX20:
		d.format = STIX21
	default:
		return &Error{Offset: start, Reason: ErrBroken, Detail: fmt.Sprintf("%s begins in a file of %s", f, d.format)}
	}
	return nil
}

// class counts an IntelMQ classification.type.
func (d *roots) class(s []byte) {
	if d.classes == nil {
		d.classes = make(map[string]int)
	}
	if _, ok := d.classes[string(s)]; ok || len(d.classes) < maxClasses && len(s) <= MaxWord {
		d.classes[string(s)]++
	}
}

// title is the title of a file of a known format.
func (d *roots) title() string {
	switch d.format {
	case STIX20, STIX21:
		return d.titles.best(STIX21)
	case CSAF20, CSAF21:
		return d.titles.best(CSAF20)
	case IntelMQ:
		return d.summary()
	}
	return d.titles.best(d.format)
}

// summary is a title for events, which have none: "143 events: c2-server, spam", the most frequent type first.
func (d *roots) summary() string {
	types := make([]string, 0, len(d.classes))
	for t := range d.classes {
		types = append(types, t)
	}
	sort.Slice(types, func(i, j int) bool {
		if d.classes[types[i]] != d.classes[types[j]] {
			return d.classes[types[i]] > d.classes[types[j]]
		}
		return types[i] < types[j]
	})
	if len(types) > 4 {
		types = append(types[:4], "…")
	}
	s := fmt.Sprintf("%d events", d.count)
	if d.count == 1 {
		s = "1 event"
	}
	if len(types) > 0 {
		s += ": " + strings.Join(types, ", ")
	}
	return cleanTitle([]byte(s))
}
