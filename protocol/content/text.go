package content

import (
	"bytes"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/entente-network/entente/protocol/tlp"
)

const (
	lineOverlap    = 128 // bytes of a long line that are looked at twice, so that no label is cut in two
	maxFrontMatter = 200 // lines
)

// A textReader reads Markdown or text.
type textReader struct {
	terms *indexer
	marks markings

	label  bool // the line before was "TLP:" and nothing else
	lines  int
	front  bool // in front matter
	fenced bool // in a code block

	titles   [3][]byte // by preference: front matter, heading, first line
	markdown bool
}

// readText reads lines to the end of the input.
func readText(in *input, name string, terms *indexer) (Info, error) {
	t := &textReader{terms: terms}
	searched, seen := 0, 0 // bytes at the start of the window: known to hold no line end; passed on already
	for {
		data := in.buf[in.pos:in.end]
		limit := min(len(data), MaxLine)
		i := min(searched, limit)
		for i < limit && data[i] != '\n' && data[i] != '\r' {
			i++
		}
		var line []byte
		next, ended := 0, true
		switch {
		case i < limit:
			line = data[:i]
			next = i + 1
		case limit == MaxLine:
			line = wholeRunes(data[:limit])
			next, ended = len(line)-lineOverlap, false
		default:
			searched = limit
			if in.more() {
				continue
			}
			line = data
			next = len(data)
		}
		if !isText(line[seen:]) {
			return t.binary(in, seen)
		}
		terms.feed(line[seen:])
		t.line(line, in.offset(), seen == 0)
		if seen == 0 {
			t.title(line)
		}
		seen = 0
		if ended {
			terms.flush()
		} else {
			seen = lineOverlap
		}
		in.pos += next
		searched = seen
		if in.pos == in.end && !in.more() {
			break
		}
	}
	if err := in.failed(); err != nil {
		return Info{}, err
	}
	if t.marks.err != nil {
		return Info{}, t.marks.err
	}
	return t.info(name), nil
}

// binary deals with a document that turns out to be no text. If it was marked until then, its label may not be all there
// is, and it is refused.
func (t *textReader) binary(in *input, seen int) (Info, error) {
	if t.marks.err != nil {
		return Info{}, t.marks.err
	}
	if t.marks.label.Valid() {
		return Info{}, &Error{Offset: in.offset() + int64(seen), Reason: ErrBroken,
			Detail: "a text with a TLP label must be UTF-8 without binary characters, and this line is not"}
	}
	return Info{Format: Opaque}, in.drain()
}

// line looks for labels. Without first it is a continuation.
func (t *textReader) line(line []byte, offset int64, first bool) {
	for from := 0; ; {
		m, ok := findTLP(line, from)
		if !ok {
			break
		}
		from = m.end
		marking := first && (isMarkingPlace(line[:m.start]) || isHeading(line))
		t.judge(m, line, first, marking, spot{offset: offset + int64(m.start)})
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	if t.label { // the label may be this line
		joined := append([]byte("TLP: "), line[:min(len(line), 64)]...)
		if m, ok := findTLP(joined, 0); ok {
			t.judge(m, joined, true, isMarkingLine(joined), spot{offset: offset})
		}
	}
	t.label = first && endsInTLP(line)
}

// judge counts a mention, or refuses it. A mention of CLEAR counts only as a marking: in prose it is mostly another
// document that is CLEAR.
func (t *textReader) judge(m mention, line []byte, first, marking bool, at spot) {
	switch {
	case m.label == tlp.Clear && !marking:
	case m.label.Valid():
		t.marks.add(m.label)
	case m.unclear:
		t.marks.refuse(at, ErrUnclear, "")
	case m.bad || first && m.malformed(line):
		t.marks.refuse(at, ErrMarking, "what follows TLP: is not a TLP label: use CLEAR, GREEN, AMBER, AMBER+STRICT or RED")
	}
}

// title notes what may be the title.
func (t *textReader) title(line []byte) {
	t.lines++
	s := bytes.TrimSpace(line)
	if t.lines == 1 && string(s) == "---" {
		t.front = true
		return
	}
	if t.front {
		switch {
		case string(s) == "---" || string(s) == "...":
			t.front = false
			t.markdown = t.markdown || t.titles[0] != nil
		case t.lines > maxFrontMatter:
			t.front = false
		case len(s) > 6 && strings.EqualFold(string(s[:6]), "title:"):
			t.offer(0, bytes.Trim(s[6:], " \t\"'"))
		}
		return
	}
	if bytes.HasPrefix(s, []byte("```")) {
		t.fenced = !t.fenced
		return
	}
	heading := !t.fenced && isHeading(line)
	if t.titles[1] != nil || t.titles[2] != nil && !heading {
		return
	}
	if len(s) == 0 || isMarkingLine(s) || bytes.HasPrefix(s, []byte("-----BEGIN")) {
		return
	}
	if heading {
		t.markdown = true
		t.offer(1, bytes.Trim(bytes.TrimLeft(s, "#"), " \t#*_"))
	}
	if t.titles[2] == nil {
		t.offer(2, s)
	}
}

// offer keeps the first title of its kind that has a letter or digit.
func (t *textReader) offer(kind int, s []byte) {
	if t.titles[kind] == nil && bytes.ContainsFunc(s, isWordRune) {
		t.titles[kind] = append([]byte{}, s[:min(len(s), utf8.UTFMax*MaxTitle)]...)
	}
}

// isHeading reports whether line is an ATX heading of Markdown.
func isHeading(line []byte) bool {
	n := 0
	for n < len(line) && line[n] == '#' {
		n++
	}
	return n >= 1 && n <= 6 && n < len(line) && (line[n] == ' ' || line[n] == '\t')
}

func (t *textReader) info(name string) Info {
	info := Info{Format: Text, Label: t.marks.label}
	switch strings.ToLower(path.Ext(name)) {
	case ".md", ".markdown":
		info.Format = Markdown
	case ".txt":
	default:
		if t.markdown {
			info.Format = Markdown
		}
	}
	best := t.titles[2]
	if info.Format == Markdown {
		best = bytes.Trim(best, " \t#*_>")
		for _, s := range [][]byte{t.titles[1], t.titles[0]} {
			if s != nil {
				best = s
			}
		}
	}
	info.Title = cleanTitle(best)
	return info
}
