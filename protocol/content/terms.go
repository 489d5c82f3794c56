package content

import "hash/maphash"

// A Kind is the kind of a term.
type Kind uint8

// The kinds.
const (
	Word    Kind = iota + 1 // letters and digits, folded to lower case and without diacritics
	Address                 // IPv4 or IPv6 address or prefix in the form of net/netip
	Domain                  // host name in lower case; punycode and other scripts are left as they are
	URL                     // scheme and host in lower case
	Hash                    // hexadecimal digest in lower case
	CVE                     // CVE-YYYY-N… in upper case
	Email                   // in lower case
)

var kindNames = [...]string{"", "word", "address", "domain", "url", "hash", "cve", "email"}

// String returns the name of the kind.
func (k Kind) String() string {
	if k < Word || k > Email {
		return "unknown"
	}
	return kindNames[k]
}

// A Term is something by which a document can be found. Documents and queries give the same term for the same thing.
type Term struct {
	Kind  Kind
	Value string
}

// Terms reads a search query as Read reads a document: defanged indicators are restored, everything is normalised. It
// reads the first MaxQuery bytes; the terms are distinct, and in the order of the query.
//
// A URL gives its host as well, an e-mail address its domain, a prefix its base address, and a compound word such as
// icsa-24-004-01 its parts.
func Terms(query string) []Term {
	var terms []Term
	seen := make(map[Term]bool)
	x := newIndexer(func(t Term) {
		if !seen[t] {
			seen[t] = true
			terms = append(terms, t)
		}
	})
	x.feed(wholeRunes([]byte(query[:min(len(query), MaxQuery)])))
	x.flush()
	return terms
}

// recentTerms is the size of a generation of recently reported terms.
const recentTerms = 32 << 10

// An indexer finds terms in strings that come in parts, and reports each about once.
type indexer struct {
	visit   func(Term)
	partial bool

	indicators, words int

	// Two generations of hashes of reported terms: when the young one is full it becomes the old one. The seed is random,
	// so that nobody can make a document whose terms hide one another.
	seed       maphash.Seed
	young, old map[uint64]struct{}

	run     []byte // bytes since the last delimiter; at most maxRun
	skip    bool   // the current run is longer, and its rest is not looked at
	clean   []byte // the run without what only separates; backs process
	fang    []byte // the run refanged; backs refang
	scratch []byte // one normalised term
}

func newIndexer(visit func(Term)) *indexer {
	x := &indexer{visit: visit}
	if visit != nil {
		x.seed = maphash.MakeSeed()
		x.young = make(map[uint64]struct{})
	}
	return x
}

// forPlace is x if strings at p are searched for terms, and anybody wants them; else nil.
func (x *indexer) forPlace(p place) *indexer {
	if x.visit == nil || !scanned(p) {
		return nil
	}
	return x
}

// report passes a term on, unless it was reported recently or the document had too many.
func (x *indexer) report(k Kind, value []byte) {
	sum := maphash.Bytes(x.seed, value) + uint64(k)
	if _, ok := x.young[sum]; ok {
		return
	}
	if _, ok := x.old[sum]; ok {
		return
	}
	n, limit := &x.indicators, MaxIndicators
	if k == Word {
		n, limit = &x.words, MaxWords
	}
	if *n == limit {
		x.partial = true
		return
	}
	*n++
	if len(x.young) == recentTerms {
		x.old, x.young = x.young, x.old
		if x.young == nil {
			x.young = make(map[uint64]struct{}, recentTerms)
		}
		clear(x.young)
	}
	x.young[sum] = struct{}{}
	x.visit(Term{k, string(value)})
}
