package content

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// maxRun is how many bytes without a delimiter are looked at together.
const maxRun = 4096

// Classes of bytes.
var (
	isDelim = byteSet("\"'`<>|\x7f", 0, 0x20) // never part of an indicator
	isSplit = byteSet(",;()[]{}=&!?*#~^$", 1, 0)
	isEdge  = byteSet(`.-/\+@%_`, 1, 0) // not at the ends of an indicator or word
	isJoint = byteSet(`/:\@%`, 1, 0)    // between the words of a path and the like
	isHex   = byteSet("0123456789abcdefABCDEF", 1, 0)
	isDigit = byteSet("0123456789", 1, 0)
	isAlnum = byteSet("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 1, 0)
	isB64   = byteSet("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/=", 1, 0)
)

// byteSet holds the bytes of s, and those from low to high.
func byteSet(s string, low, high int) (t [256]bool) {
	for i := range len(s) {
		t[s[i]] = true
	}
	for c := low; c <= high; c++ {
		t[c] = true
	}
	return t
}

// feed takes the next part of a string. Where parts are cut makes no difference.
func (x *indexer) feed(p []byte) {
	if x.visit == nil {
		return
	}
	for len(p) > 0 {
		i := 0
		for i < len(p) && !isDelim[p[i]] {
			i++
		}
		x.extend(p[:i])
		if i == len(p) {
			return
		}
		x.flush()
		p = p[i+1:]
	}
}

// flush ends a string.
func (x *indexer) flush() {
	if len(x.run) > 0 && !x.skip {
		x.process(x.run)
	}
	x.run, x.skip = x.run[:0], false
}

// extend appends to the current run. One that gets too long is cut where an indicator may end; where there is no such
// place in ASCII it is an encoding, and skipped.
func (x *indexer) extend(p []byte) {
	for !x.skip && len(p) > 0 {
		n := min(maxRun-len(x.run), len(p))
		x.run = append(x.run, p[:n]...)
		p = p[n:]
		if len(x.run) < maxRun {
			return
		}
		cut := len(x.run)
		for cut > 0 && !isSplit[x.run[cut-1]] {
			cut--
		}
		if cut == 0 {
			if isASCII(x.run) {
				x.skip = true
				return
			}
			cut = len(wholeRunes(x.run))
		}
		x.process(x.run[:cut])
		x.run = append(x.run[:0], x.run[cut:]...)
	}
}

func isASCII(p []byte) bool {
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// process finds the terms of a run.
func (x *indexer) process(p []byte) {
	if isASCII(p) {
		x.cleaned(p)
		return
	}
	// Other scripts: invisible characters go, all hyphens become one, and whatever is no letter, digit or mark delimits.
	q := x.clean[:0]
	end := func() {
		if len(q) > 0 {
			x.cleaned(q)
			q = q[:0]
		}
	}
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		switch {
		case r < utf8.RuneSelf || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			q = append(q, p[:n]...)
		case r == 0x2010 || r == 0x2011:
			q = append(q, '-')
		case unicode.Is(unicode.Cf, r):
		default:
			end()
		}
		p = p[n:]
	}
	end()
	x.clean = q[:0]
}

// cleaned finds the terms of a run of ASCII and the letters of other scripts.
func (x *indexer) cleaned(p []byte) {
	if isEncoding(p) {
		return
	}
	p = x.refang(p)
	for {
		scheme, colon := findURL(p)
		if colon < 0 {
			x.pieces(p)
			return
		}
		x.pieces(p[:scheme])
		end := len(p)
		// Several URLs in a row are separated by a comma or semicolon; one in the query of another is part of it.
		if s, c := findURL(p[colon+3:]); c >= 0 && s > 0 {
			if sep := p[colon+3+s-1]; sep == ',' || sep == ';' {
				end = colon + 3 + s - 1
			}
		}
		x.url(p[scheme:end], colon-scheme)
		p = p[end:]
	}
}

// isEncoding reports whether p looks like base64 rather than something that people write.
func isEncoding(p []byte) bool {
	if len(p) < 40 || p[0] == '/' {
		return false
	}
	var upper, lower, digit bool
	for _, c := range p {
		if !isB64[c] {
			return false
		}
		upper = upper || c >= 'A' && c <= 'Z'
		lower = lower || c >= 'a' && c <= 'z'
		digit = digit || isDigit[c]
	}
	return upper && lower && digit && !isDigest(p)
}

// findURL returns where the first URL in p begins, and where its "://" is; -1 if there is none.
func findURL(p []byte) (scheme, colon int) {
	from := 0
	for {
		i := bytes.Index(p[from:], []byte("://"))
		if i < 0 {
			return -1, -1
		}
		colon = from + i
		scheme = colon
		for scheme > 0 && colon-scheme < 16 && (isAlnum[p[scheme-1]] || p[scheme-1] == '+') {
			scheme--
		}
		for scheme < colon && (isDigit[p[scheme]] || p[scheme] == '+') {
			scheme++
		}
		if scheme < colon {
			return scheme, colon
		}
		from = colon + 3
	}
}

// pieces finds the terms of p, which has no URL.
func (x *indexer) pieces(p []byte) {
	for len(p) > 0 {
		i := 0
		for i < len(p) && !isSplit[p[i]] {
			i++
		}
		if i > 0 {
			x.piece(trim(p[:i]))
		}
		p = p[min(i+1, len(p)):]
	}
}

// trim removes punctuation around p. Colons are left where they are part of an IPv6 address.
func trim(p []byte) []byte {
	for len(p) > 0 && isEdge[p[0]] {
		p = p[1:]
	}
	for len(p) > 0 && (isEdge[p[len(p)-1]] || p[len(p)-1] == ':' && !bytes.HasSuffix(p, []byte("::"))) {
		p = p[:len(p)-1]
	}
	return p
}

// piece reports what p is. Where it is no indicator as a whole, its parts may be.
func (x *indexer) piece(p []byte) {
	switch {
	case len(p) == 0, isMachineText(p), x.whole(p):
		return
	case x.address(p), x.addressRange(p), x.email(p):
		return
	}
	for len(p) > 0 {
		i := 0
		for i < len(p) && !isJoint[p[i]] {
			i++
		}
		if q := trim(p[:i]); len(q) > 0 && !isMachineText(q) && !x.whole(q) && !x.address(q) {
			x.word(q)
		}
		p = p[min(i+1, len(p)):]
	}
}

// whole reports p if it is a digest, a CVE id or a domain.
func (x *indexer) whole(p []byte) bool {
	return x.digest(p) || x.cve(p) || x.domain(p)
}

// isMachineText reports whether p is an identifier or a time that nobody searches for as a word: a UUID, perhaps with a
// type before it as in STIX, or a timestamp.
func isMachineText(p []byte) bool {
	if len(p) >= 36 && isUUID(p[len(p)-36:]) && (len(p) == 36 || p[len(p)-37] == '-') {
		return true
	}
	return len(p) >= 16 && isDigit[p[0]] && p[4] == '-' && p[7] == '-' && p[10] == 'T' && p[13] == ':'
}
