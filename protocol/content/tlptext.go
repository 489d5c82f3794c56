package content

import (
	"bytes"
	"strings"

	"github.com/entente-network/entente/protocol/tlp"
)

// A mention is a place in a text where TLP is followed by something that may be a label.
type mention struct {
	start, word, end int // of "TLP", of what follows, and where to go on
	label            tlp.Label
	unclear          bool // tlp:unclear
	caveat           bool // tlp:ex:chr
	bad              bool // a label with a suffix that is not understood, such as AMBER+ORG
	assigned         bool // a colon or the like stands between
	spaced           bool // white space stands between
}

const maxSeparators = 8 // bytes between TLP and a label

// findTLP finds the next mention in line. It reads the official TLP:LABEL, and the ways in which people, Markdown, tables
// and key-value files write it: "TLP: Green", "**TLP:**RED", "tlp=amber", "TLP AMBER". Without a colon or the like both
// words must be capitals, because "TLP clear" is prose.
func findTLP(line []byte, from int) (mention, bool) {
	for i := from; i+3 < len(line); i++ {
		if line[i]|0x20 != 't' || line[i+1]|0x20 != 'l' || line[i+2]|0x20 != 'p' || i > 0 && isAlnum[line[i-1]] {
			continue
		}
		m := mention{start: i}
		m.separators(line)
		k := m.word
		for k < len(line) && isAlnum[line[k]] {
			k++
		}
		m.end = max(k, i+3)
		if k == m.word || m.word == i+3 {
			continue
		}
		if m.read(line, k) {
			return m, true
		}
	}
	return mention{}, false
}

// separators finds where the word after TLP begins.
func (m *mention) separators(line []byte) {
	j := m.start + 3
	for n := 0; j < len(line) && n < maxSeparators; n++ {
		switch c := line[j]; c {
		case ':', '=', '>':
			m.assigned, m.spaced = true, false
		case ' ', '\t':
			m.spaced = true
		case '*', '_', '~', '`', '"', '\'', '(', '[', '{', '<', '-', '|', '/', '\\':
		default:
			switch {
			case bytes.HasPrefix(line[j:], []byte("\u00a0")):
				m.spaced = true
				j++
			case bytes.HasPrefix(line[j:], []byte("\uff1a")):
				m.assigned, m.spaced = true, false
				j += 2
			default:
				m.word = j
				return
			}
		}
		j++
	}
	m.word = j
}

// read judges the word line[m.word:k]. It returns false if this is no mention after all.
func (m *mention) read(line []byte, k int) bool {
	word := strings.ToUpper(string(line[m.word:min(k, m.word+16)]))
	l, known := wordLabel(word)
	if !m.assigned {
		capitals := string(line[m.start:m.start+3]) == "TLP" && string(line[m.word:k]) == word
		if !known || !capitals || m.word-m.start > 6 {
			return false
		}
	}
	switch {
	case known:
		m.label, m.end = l, k
		m.suffix(line)
		m.alternatives(line)
	case word == "UNCLEAR":
		m.unclear = true
	case word == "EX" && len(line) >= k+4 && strings.EqualFold(string(line[k:k+4]), ":chr"):
		m.caveat = true
	}
	return true
}

func wordLabel(word string) (tlp.Label, bool) {
	switch word {
	case "CLEAR", "WHITE":
		return tlp.Clear, true
	case "GREEN":
		return tlp.Green, true
	case "AMBER":
		return tlp.Amber, true
	case "RED":
		return tlp.Red, true
	}
	return tlp.Unset, false
}

// suffix reads what belongs to the label that ends at m.end: STRICT, or something that makes it none.
func (m *mention) suffix(line []byte) {
	rest := line[m.end:]
	j := 0
	for j < len(rest) && j < 4 && strings.IndexByte(" +_-*", rest[j]) >= 0 {
		j++
	}
	n := j
	for n < len(rest) && isAlnum[rest[n]] {
		n++
	}
	switch {
	case m.label == tlp.Amber && j > 0 && strings.EqualFold(string(rest[j:min(n, j+16)]), "strict"):
		m.label = tlp.AmberStrict
		m.end += n
	case len(rest) > 1 && rest[0] == '+' && isAlnum[rest[1]]:
		m.bad = true
	}
}

// alternatives reads the labels that follow after a separator, as in GREEN/AMBER. The strictest counts.
func (m *mention) alternatives(line []byte) {
	for {
		rest := bytes.TrimLeft(line[m.end:], " ")
		if len(rest) == 0 || strings.IndexByte("/|,&", rest[0]) < 0 {
			break
		}
		rest = bytes.TrimLeft(rest[1:], " ")
		n := 0
		for n < len(rest) && isAlnum[rest[n]] {
			n++
		}
		l, ok := wordLabel(string(rest[:min(n, 16)]))
		if !ok {
			break
		}
		other := mention{label: l, end: len(line) - len(rest) + n}
		other.suffix(line)
		m.label, m.end, m.bad = max(m.label, other.label), other.end, m.bad || other.bad
	}
	if m.bad {
		m.label = tlp.Unset
	}
}

// malformed reports whether m, which names no label, stands where a label must be: at the start of the line or after its
// key, and not as the beginning of a sentence such as "TLP: the traffic light protocol".
func (m *mention) malformed(line []byte) bool {
	if m.label.Valid() || m.caveat || !m.assigned || !isMarkingPlace(line[:m.start]) {
		return false
	}
	if !m.spaced {
		return true
	}
	word := line[m.word:m.end]
	rest := bytes.TrimSpace(line[m.word:])
	return len(bytes.Fields(rest)) == 1 || len(word) > 1 && bytes.Equal(word, bytes.ToUpper(word)) && !isDigit[word[0]]
}

const decoration = " \t#*>_-+~`|([{<}])\"'"

// isMarkingPlace reports whether a label may follow prefix: decoration, or a short key with a colon.
func isMarkingPlace(prefix []byte) bool {
	p := bytes.Trim(prefix, decoration)
	if len(p) == 0 {
		return true
	}
	return len(p) <= 48 && (p[len(p)-1] == ':' || p[len(p)-1] == '=')
}

// isMarkingLine reports whether line is a label and nothing else.
func isMarkingLine(line []byte) bool {
	m, ok := findTLP(line, 0)
	return ok && isMarkingPlace(line[:m.start]) && len(bytes.Trim(line[m.end:], decoration+".;")) == 0 || endsInTLP(line)
}

// endsInTLP reports whether line is "TLP:" and nothing else: the label is on the next one.
func endsInTLP(line []byte) bool {
	return len(line) < 64 && strings.EqualFold(string(bytes.Trim(line, decoration+":=")), "TLP") &&
		bytes.ContainsAny(line, ":=")
}
