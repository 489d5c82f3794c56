package content

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/entente-network/entente/protocol/tlp"
)

// Limits of what is kept from one document.
const (
	MaxTitle      = 200       // runes of a title
	MaxDepth      = 80        // nesting of JSON objects and arrays; deeper is an error. A valid CSAF 2.1 document reaches 68
	MaxString     = 64 << 10  // bytes of one JSON string that are kept; the rest is searched for terms, not kept
	MaxMarkings   = 1024      // distinct markings referred to, and as many defined, in one STIX document; more is an error
	MaxLine       = 64 << 10  // bytes of a line of text that are looked at together; a longer one is read in overlapping parts
	MaxIndicators = 1_000_000 // terms that are not words reported of one document; see [Info.Partial]
	MaxWords      = 500_000   // words reported of one document; see [Info.Partial]
	MaxWord       = 64        // runes of a word; longer ones are not words but encodings, and skipped
	MaxURL        = 2048      // bytes of a URL; of a longer one only the host is reported
	MaxQuery      = 4096      // bytes of a search query that are read
)

// A Format is the recognised form of a document.
type Format string

// The formats.
const (
	STIX20   Format = "stix-2.0"
	STIX21   Format = "stix-2.1"
	MISP     Format = "misp"
	CSAF20   Format = "csaf-2.0"
	CSAF21   Format = "csaf-2.1"
	IntelMQ  Format = "intelmq"
	JSON     Format = "json" // none of the above
	Markdown Format = "markdown"
	Text     Format = "text"
	Opaque   Format = "opaque" // not UTF-8 text
)

// Info is what a document says of itself.
type Info struct {
	Format  Format
	Label   tlp.Label // Unset if unmarked
	Title   string    // one line of at most MaxTitle runes, without control characters; empty if there is none
	Partial bool      // terms beyond MaxIndicators or MaxWords were not reported
}

// Reasons for refusing a document, to be matched with errors.Is.
var (
	// ErrBroken means that the document is malformed.
	ErrBroken = errors.New("document is malformed")
	// ErrTooDeep means that JSON nests deeper than MaxDepth.
	ErrTooDeep = fmt.Errorf("JSON nests deeper than %d levels", MaxDepth)
	// ErrMarking means that a marking is not understood, so that the label is not known.
	ErrMarking = errors.New("marking is not understood")
	// ErrUnclear means that the source marked the document tlp:unclear: only the source can say what it meant.
	ErrUnclear = errors.New("marked tlp:unclear: ask the source for an explicit label")
	// ErrNoSharing means that the source forbids any sharing.
	ErrNoSharing = errors.New("the source does not allow any sharing")
)

// An Error says why a document was refused, and where.
type Error struct {
	Offset int64  // bytes from the start of the document
	Path   string // place in the JSON document, such as objects[3].object_marking_refs; "" where there is none
	Reason error  // one of the Err values of this package
	Detail string // may be empty; names markings and syntax, never other content
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason.Error())
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	fmt.Fprintf(&b, " (at byte %d", e.Offset)
	if e.Path != "" {
		b.WriteString(", " + e.Path)
	}
	b.WriteString(")")
	return b.String()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// Read reads one document to its end and says what it is. name is its file name or empty; it tells Markdown from text and
// is the title of last resort, nothing else. visit, unless nil, is called from Read and gets each term about once: a term that
// comes again after tens of thousands of others may be repeated. The error is an [*Error], or that of r.
//
// With an error the Info is empty, and the document must not be sent: not even with a label given by hand, because a
// marking that is there may not have been read.
func Read(r io.Reader, name string, visit func(Term)) (Info, error) {
	in := newInput(r)
	base := cleanTitle([]byte(baseName(name)))
	terms := newIndexer(visit)
	var info Info
	var err error
	switch in.sniff() {
	case sniffBinary:
		info = Info{Format: Opaque}
		err = in.drain()
	case sniffJSON:
		info, err = readJSON(in, terms)
	default:
		info, err = readText(in, name, terms)
	}
	if err != nil {
		return Info{}, err
	}
	if info.Title == "" {
		info.Title = base
	}
	info.Partial = terms.partial
	return info, nil
}

// baseName returns what follows the last separator of either kind.
func baseName(name string) string {
	return name[strings.LastIndexAny(name, `/\`)+1:]
}
