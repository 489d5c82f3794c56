package content

import (
	"bytes"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// digest reports a hexadecimal digest: MD5, SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512.
func (x *indexer) digest(p []byte) bool {
	if !isDigest(p) {
		return false
	}
	x.lower(Hash, p)
	return true
}

func isDigest(p []byte) bool {
	switch len(p) {
	case 32, 40, 56, 64, 96, 128:
	default:
		return false
	}
	for _, c := range p {
		if !isHex[c] {
			return false
		}
	}
	return true
}

// lower reports p in lower case as far as it is ASCII.
func (x *indexer) lower(k Kind, p []byte) {
	x.scratch = appendLower(x.scratch[:0], p)
	x.report(k, x.scratch)
}

func appendLower(dst, p []byte) []byte {
	for _, c := range p {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// cve reports the CVE ids in p; what is left of p are words. It reports false if there is none.
func (x *indexer) cve(p []byte) bool {
	found := false
	for len(p) > 0 {
		start, end := findCVE(p)
		if start < 0 {
			break
		}
		found = true
		x.scratch = append(x.scratch[:0], bytes.ToUpper(p[start:end])...)
		x.report(CVE, x.scratch)
		x.word(trim(p[:start]))
		p = p[end:]
	}
	if found {
		x.word(trim(p))
	}
	return found
}

// findCVE finds CVE-YYYY-N, N of 4 to 19 digits, that is not part of a longer word.
func findCVE(p []byte) (start, end int) {
	for i := 0; i+13 <= len(p); i++ {
		if p[i]|0x20 != 'c' || p[i+1]|0x20 != 'v' || p[i+2]|0x20 != 'e' || p[i+3] != '-' || p[i+8] != '-' {
			continue
		}
		if i > 0 && isAlnum[p[i-1]] || digits(p[i+4:]) != 4 {
			continue
		}
		n := digits(p[i+9:])
		end = i + 9 + n
		if n < 4 || n > 19 || end < len(p) && isAlnum[p[end]] {
			continue
		}
		return i, end
	}
	return -1, -1
}

func digits(p []byte) (n int) {
	for n < len(p) && isDigit[p[n]] {
		n++
	}
	return n
}

// domain reports a host name of at least two labels whose last is no number. Names of common kinds of files are words, not
// domains, even where such a top-level domain exists.
func (x *indexer) domain(p []byte) bool {
	if !isDomain(p) {
		return false
	}
	x.lower(Domain, p)
	return true
}

func isDomain(p []byte) bool {
	if len(p) < 4 || len(p) > 253 || p[0] == '_' { // emphasis, or a service label
		return false
	}
	label, dots := 0, 0
	for i, c := range p {
		switch {
		case c == '.':
			if i == label || p[i-1] == '-' || i-label > 63 {
				return false
			}
			label = i + 1
			dots++
		case c == '-':
			if i == label {
				return false
			}
		case !isAlnum[c] && c != '_':
			return false
		}
	}
	top := p[label:]
	if dots == 0 || len(top) < 2 || len(top) > 63 {
		return false
	}
	if len(top) > 4 && strings.EqualFold(string(top[:4]), "xn--") {
		return top[len(top)-1] != '-'
	}
	for _, c := range top {
		if !isAlnum[c] || isDigit[c] {
			return false
		}
	}
	return !isFileExtension(top)
}

// isFileExtension knows the extensions by which file names are told from domains.
func isFileExtension(p []byte) bool {
	if len(p) > 5 {
		return false
	}
	switch strings.ToLower(string(p)) {
	case "exe", "dll", "sys", "bat", "cmd", "ps", "vbs", "js", "jse", "hta", "lnk", "msi", "scr", "jar", "class", "bin", "dat",
		"tmp", "log", "ini", "cfg", "conf", "txt", "csv", "json", "jsonl", "xml", "yml", "yaml", "html", "htm", "php", "asp",
		"aspx", "jsp", "cgi", "css", "png", "jpg", "jpeg", "gif", "bmp", "ico", "svg", "pdf", "doc", "docx", "docm", "xls",
		"xlsx", "xlsm", "ppt", "pptx", "rtf", "odt", "zip", "rar", "gz", "tgz", "tar", "iso", "img", "apk", "elf", "deb",
		"rpm", "py", "pyc", "rb", "pl", "sh", "go", "rs", "cpp", "java", "cs", "md", "eml", "msg", "pcap", "yar", "yara":
		return true
	}
	return false
}

// email reports an e-mail address and its domain.
func (x *indexer) email(p []byte) bool {
	at := bytes.LastIndexByte(p, '@')
	if at <= 0 || !isDomain(p[at+1:]) {
		return false
	}
	local := p[bytes.LastIndexByte(p[:at], ':')+1 : at] // mailto:
	for len(local) > 0 && isEdge[local[0]] {
		local = local[1:]
	}
	if len(local) == 0 || len(local) > 64 {
		return false
	}
	for _, c := range local {
		if !isAlnum[c] && !strings.ContainsRune("._-+%", rune(c)) {
			return false
		}
	}
	x.lower(Email, p[at-len(local):])
	x.lower(Domain, p[at+1:])
	return true
}

// address reports an address, also with a port, or a prefix and its base address.
func (x *indexer) address(p []byte) bool {
	if len(p) > 64 || !mayBeAddress(p) {
		return false
	}
	if slash := bytes.IndexByte(p, '/'); slash > 0 {
		prefix, err := netip.ParsePrefix(string(p))
		if err != nil {
			return false
		}
		given := prefix.Addr()
		prefix = prefix.Masked()
		x.report(Address, []byte(prefix.String()))
		x.addr(prefix.Addr())
		x.addr(given)
		return true
	}
	a, err := netip.ParseAddr(string(p))
	if err != nil {
		ap, err := netip.ParseAddrPort(string(p))
		if err != nil {
			return false
		}
		a = ap.Addr()
	}
	return x.addr(a)
}

// addr reports an address in its one form. The unspecified one is mostly punctuation, such as C++'s ::.
func (x *indexer) addr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() && a.IsUnspecified() {
		return false
	}
	x.scratch = a.AppendTo(x.scratch[:0])
	x.report(Address, x.scratch)
	return true
}

// mayBeAddress is a cheap test that keeps words away from the parsers.
func mayBeAddress(p []byte) bool {
	dots, colons, digit := 0, 0, false
	for _, c := range p {
		switch {
		case c == '.':
			dots++
		case c == ':':
			colons++
		case isDigit[c]:
			digit = true
		case !isHex[c] && c != '/':
			return false
		}
	}
	return digit && dots == 3 || colons >= 2
}

// addressRange reports both ends of a range written with a hyphen.
func (x *indexer) addressRange(p []byte) bool {
	low, high, ok := bytes.Cut(p, []byte("-"))
	if !ok || !mayBeAddress(low) || !mayBeAddress(high) {
		return false
	}
	a, err := netip.ParseAddr(string(low))
	if err != nil {
		return false
	}
	b, err := netip.ParseAddr(string(high))
	if err != nil {
		return false
	}
	return x.addr(a) && x.addr(b)
}

// url reports the URL at the start of p, whose scheme is n bytes long, and its host.
func (x *indexer) url(p []byte, n int) {
	p = trimURL(p)
	rest := p[min(n+3, len(p)):]
	end := bytes.IndexAny(rest, `/?#\`)
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	user := bytes.LastIndexByte(authority, '@') + 1
	hostport := authority[user:]
	host := hostport
	if len(host) > 0 && host[0] == '[' {
		if i := bytes.IndexByte(host, ']'); i > 0 {
			host = host[1:i]
		}
	} else if i := bytes.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	host = bytes.TrimRight(host, ".")
	if len(host) == 0 {
		x.pieces(rest)
		return
	}
	switch {
	case x.address(host), x.domain(host):
	default:
		if isHost(host) {
			x.lower(Domain, host)
		}
		x.pieces(host) // what a query for the bare name gives
	}
	if len(p) > MaxURL {
		return
	}
	u := appendLower(x.scratch[:0], p[:n+3])
	u = append(u, authority[:user]...)
	u = appendLower(u, hostport)
	if tail := rest[end:]; len(tail) > 1 || len(tail) == 1 && tail[0] != '/' {
		u = append(u, tail...)
	}
	x.scratch = u
	x.report(URL, u)
}

// isHost accepts in a URL the names that are no domains in running text: those that look like files, and those in other
// scripts. Names without a dot are local, and no indicator.
func isHost(p []byte) bool {
	label, dots, letter := 0, 0, false
	for i, c := range p {
		switch {
		case c == '.':
			if i == label {
				return false
			}
			label, letter = i+1, false
			dots++
		case isDigit[c] || c == '-' || c == '_':
		case isAlnum[c] || c >= utf8.RuneSelf:
			letter = true
		default:
			return false
		}
	}
	return dots > 0 && letter && len(p) <= 253
}

// trimURL removes the punctuation after a URL, and a closing bracket that it does not open.
func trimURL(p []byte) []byte {
	for len(p) > 0 {
		c := p[len(p)-1]
		open := byte(0)
		switch c {
		case '.', ',', ';', ':', '!', '?', '*', '_', '\\':
			p = p[:len(p)-1]
			continue
		case ')':
			open = '('
		case ']':
			open = '['
		case '}':
			open = '{'
		default:
			return p
		}
		if bytes.Count(p, []byte{open}) >= bytes.Count(p, []byte{c}) {
			return p
		}
		p = p[:len(p)-1]
	}
	return p
}
