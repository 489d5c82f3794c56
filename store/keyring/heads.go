package keyring

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/entente-network/entente/protocol"
)

// heads is the content of a guard's file. Lines, each ending in a checksum:
//
//	entente-heads 1 SUM            first
//	node KID SUM                   marks before it are of former node keys, and count no more
//	marks FEED:SEQ:HASH … SUM      ascending by feed; a feed's sequence number only rises
type heads struct {
	nodes []protocol.KID // all node keys that had this file, the present one last
	marks map[protocol.FeedID]Mark
}

const (
	headsTitle = "entente-heads 1"
	sumDigits  = 16
)

func (h heads) node() protocol.KID { return h.nodes[len(h.nodes)-1] }

func headsLine(body string) []byte {
	sum := protocol.Sum("entente/v1/heads-file", []byte(body))
	return []byte(body + " " + sum.String()[:sumDigits] + "\n")
}

func marksLine(marks map[protocol.FeedID]Mark) []byte {
	var b strings.Builder
	b.WriteString("marks")
	for _, feed := range slices.SortedFunc(maps.Keys(marks), func(a, b protocol.FeedID) int { return bytes.Compare(a[:], b[:]) }) {
		fmt.Fprintf(&b, " %s:%d:%s", feed, marks[feed].Seq, marks[feed].Hash)
	}
	return headsLine(b.String())
}

// encode returns the shortest file of this content.
func (h heads) encode() []byte {
	out := headsLine(headsTitle)
	for _, n := range h.nodes {
		out = append(out, headsLine("node "+n.String())...)
	}
	part := map[protocol.FeedID]Mark{}
	for feed, m := range h.marks {
		if part[feed] = m; len(part) == MaxMarks {
			out = append(out, marksLine(part)...)
			clear(part)
		}
	}
	if len(part) > 0 {
		out = append(out, marksLine(part)...)
	}
	return out
}

// decodeHeads reads a file and returns how many of its bytes are whole lines. What follows those was torn by a crash; if a whole
// line stands in it nevertheless, the file is damaged.
func decodeHeads(data []byte) (h heads, whole int, err error) {
	h.marks = map[protocol.FeedID]Mark{}
	for n := 0; ; n++ {
		body, size, ok := wholeLine(data[whole:])
		if !ok {
			break
		}
		if (n == 0) != (body == headsTitle) || n > 0 && !h.apply(body) {
			return heads{}, 0, fmt.Errorf("%w: line %d contradicts those before it", ErrGuardDamaged, n+1)
		}
		whole += size
	}
	if len(h.nodes) == 0 {
		return heads{}, 0, fmt.Errorf("%w: its beginning is missing", ErrGuardDamaged)
	}
	for _, kind := range []string{"marks ", "node "} {
		for rest := data[whole:]; ; {
			i := bytes.Index(rest, []byte(kind))
			if i < 0 {
				break
			}
			if _, _, ok := wholeLine(rest[i:]); ok {
				return heads{}, 0, fmt.Errorf("%w: in its middle", ErrGuardDamaged)
			}
			rest = rest[i+1:]
		}
	}
	return h, whole, nil
}

// wholeLine returns the body of the line at the start of data if its end is there and its checksum right.
func wholeLine(data []byte) (body string, size int, ok bool) {
	end := bytes.IndexByte(data, '\n')
	cut := end - sumDigits - 1
	if cut < 0 {
		return "", 0, false
	}
	body = string(data[:cut])
	return body, end + 1, bytes.Equal(headsLine(body), data[:end+1])
}

// apply takes in the body of a line.
func (h *heads) apply(body string) bool {
	kind, rest, _ := strings.Cut(body, " ")
	switch kind {
	case "node":
		var k protocol.KID
		if k.UnmarshalText([]byte(rest)) != nil || slices.Contains(h.nodes, k) {
			return false
		}
		h.nodes = append(h.nodes, k)
		clear(h.marks)
		return true
	case "marks":
		for field := range strings.SplitSeq(rest, " ") {
			if !h.applyMark(field) {
				return false
			}
		}
		return len(h.nodes) > 0
	}
	return false
}

func (h *heads) applyMark(field string) bool {
	parts := strings.Split(field, ":")
	if len(parts) != 3 {
		return false
	}
	feed, err1 := protocol.ParseHash(parts[0])
	seq, err2 := strconv.ParseUint(parts[1], 10, 64)
	hash, err3 := protocol.ParseHash(parts[2])
	if err1 != nil || err2 != nil || err3 != nil || seq <= h.marks[feed].Seq {
		return false
	}
	h.marks[feed] = Mark{Seq: seq, Hash: hash}
	return true
}
