package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainLine returns s as one line that does nothing to a terminal. Names, titles and texts of other teams pass through it
// before they are printed: control characters (escape sequences begin with one), characters without a width or that turn
// the direction of writing, and line ends are shown as �; invalid UTF-8 too.
func plainLine(s string) string { return plain(s, false) }

// plainText is plainLine for texts of several lines: line feeds and tabs remain.
func plainText(s string) string { return plain(s, true) }

func plain(s string, lines bool) string {
	return strings.Map(func(r rune) rune {
		if lines && (r == '\n' || r == '\t') || printable(r) {
			return r
		}
		return utf8.RuneError
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// printable reports whether a terminal shows r and does nothing else. All spaces of one line do.
func printable(r rune) bool { return unicode.IsPrint(r) || unicode.Is(unicode.Zs, r) }

// shorten cuts s to at most n characters.
func shorten(s string, n int) string {
	rs := []rune(s)
	if len(rs) <= n {
		return s
	}
	return string(rs[:n-1]) + "…"
}

// shortIDs returns the ids cut to the same length, at least 10 characters, at which none is the beginning of another.
func shortIDs(ids []string) map[string]string {
	n := 10
	for {
		seen := map[string]string{}
		clash := false
		for _, id := range ids {
			s := id
			if len(s) > n {
				s = s[:n]
			}
			if o, ok := seen[s]; ok && o != id {
				clash = true
				break
			}
			seen[s] = id
		}
		if clash {
			n += 2
			continue
		}
		out := map[string]string{}
		for s, id := range seen {
			out[id] = s
		}
		return out
	}
}
