package content

import (
	"bytes"
	"strings"
)

// refang restores a defanged indicator: hxxp, [.], (dot), [at], [:]// and their like.
func (x *indexer) refang(p []byte) []byte {
	if !fanged(p) {
		return p
	}
	q := x.fang[:0]
	for i := 0; i < len(p); {
		if n, c := bracketed(p[i:]); n > 0 {
			q = append(q, c...)
			i += n
			continue
		}
		if p[i] == '\\' && i+1 < len(p) && p[i+1] == '.' {
			i++
			continue
		}
		q = append(q, p[i])
		i++
	}
	x.fang = q
	return restoreScheme(q)
}

// fanged is a cheap test that keeps ordinary text away from refang.
func fanged(p []byte) bool {
	x := false
	for _, c := range p {
		switch c {
		case '[', ']', '(', '{', '\\':
			return true
		case 'x', 'X', '*':
			x = true
		}
	}
	return x && bytes.Contains(p, []byte("://"))
}

// bracketed returns the length of the bracket at the start of p that hides a separator, and what it hides. A bracket around
// a full stop may lack one side.
func bracketed(p []byte) (n int, hidden string) {
	switch p[0] {
	case '[', '(', '{':
	case '.':
		if len(p) > 2 && p[1] == ']' && isAlnum[p[2]] {
			return 2, "."
		}
		return 0, ""
	default:
		return 0, ""
	}
	end := bytes.IndexAny(p[:min(len(p), 6)], "])}")
	if end < 0 {
		if len(p) > 2 && p[0] == '[' && p[1] == '.' && isAlnum[p[2]] {
			return 2, "."
		}
		return 0, ""
	}
	switch strings.ToLower(string(p[1:end])) {
	case ".", "dot":
		return end + 1, "."
	case ":":
		return end + 1, ":"
	case "://":
		return end + 1, "://"
	case "/":
		return end + 1, "/"
	case "@", "at":
		return end + 1, "@"
	}
	return 0, ""
}

// restoreScheme replaces hxxp, hXXps, h**p and fxp before "://" in place.
func restoreScheme(p []byte) []byte {
	for from := 0; ; {
		i := bytes.Index(p[from:], []byte("://"))
		if i < 0 {
			return p
		}
		colon := from + i
		from = colon + 3
		start := colon
		for start > 0 && colon-start < 5 && (isAlnum[p[start-1]] || p[start-1] == '*') {
			start--
		}
		s := p[start:colon]
		if len(s) > 0 && s[len(s)-1]|0x20 == 's' {
			s = s[:len(s)-1]
		}
		if len(s) > 4 {
			s = s[len(s)-4:]
		}
		switch strings.ToLower(string(s)) {
		case "hxxp", "h**p", "hxtp", "htxp":
			copy(s, "http")
		case "fxp":
			copy(s, "ftp")
		}
	}
}
