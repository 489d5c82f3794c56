package content

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// word reports p as a word, and its parts if it is a compound.
func (x *indexer) word(p []byte) {
	for len(p) > 0 {
		n, parts, first := 0, 0, true
		runes := 0
		for n < len(p) {
			r, size := utf8.DecodeRune(p[n:])
			if isConnector(r) {
				first = true
			} else if isWordRune(r) {
				if first {
					parts++
				}
				first = false
			} else {
				break
			}
			runes++
			n += size
		}
		if whole := trimConnectors(p[:n]); len(whole) > 0 && runes <= MaxWord {
			x.folded(whole)
			if parts > 1 {
				x.parts(whole)
			}
		} else if parts > 1 {
			x.parts(p[:n])
		}
		if n < len(p) {
			_, size := utf8.DecodeRune(p[n:])
			n += size
		}
		p = p[n:]
	}
}

// parts reports the parts of a compound word.
func (x *indexer) parts(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexFunc(p, isConnector)
		if n < 0 {
			n = len(p)
		}
		if utf8.RuneCount(p[:n]) <= MaxWord {
			x.folded(p[:n])
		}
		p = p[min(n+1, len(p)):]
	}
}

// folded reports a word of at least two runes.
func (x *indexer) folded(p []byte) {
	w := appendFold(x.scratch[:0], p)
	x.scratch = w
	if utf8.RuneCount(w) >= 2 {
		x.report(Word, w)
	}
}

func isConnector(r rune) bool { return r == '-' || r == '_' || r == '.' || r == '+' }

func trimConnectors(p []byte) []byte { return bytes.TrimFunc(p, isConnector) }

func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return isAlnum[byte(r)]
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// appendFold appends p in the form in which words are compared: case folded, combining marks and the diacritics of Latin
// letters removed, so that a word is found however its accents are encoded or left out.
func appendFold(dst, p []byte) []byte {
	for len(p) > 0 {
		if c := p[0]; c < utf8.RuneSelf {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			p = p[1:]
			continue
		}
		r, n := utf8.DecodeRune(p)
		p = p[n:]
		if unicode.Is(unicode.Mn, r) {
			continue
		}
		dst = utf8.AppendRune(dst, foldRune(r))
	}
	return dst
}

func foldRune(r rune) rune {
	low := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		low = min(low, o)
	}
	low = unicode.ToLower(low)
	if base, ok := latinBase[low]; ok {
		return base
	}
	return low
}

// latinBase maps the letters of Latin-1 and Latin Extended-A to the plain ones.
var latinBase = func() map[rune]rune {
	m := make(map[rune]rune)
	for base, letters := range map[rune]string{
		'a': "àáâãäåāăą", 'c': "çćĉċč", 'd': "ďđð", 'e': "èéêëēĕėęě", 'g': "ĝğġģ", 'h': "ĥħ", 'i': "ìíîïĩīĭįı", 'j': "ĵ", 'k': "ķ",
		'l': "ĺļľŀł", 'n': "ñńņňŋ", 'o': "òóôõöøōŏő", 'r': "ŕŗř", 's': "śŝşšș", 't': "ţťŧț", 'u': "ùúûüũūŭůűų", 'w': "ŵ",
		'y': "ýÿŷ", 'z': "źżž",
	} {
		for _, r := range letters {
			m[r] = base
		}
	}
	return m
}()
