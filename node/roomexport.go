package node

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/trust"
)

// ExportMessage is ExportAs, attributed as the charter of the message's room asks.
func (n *Node) ExportMessage(id protocol.Hash, reach trust.Reach) (io.ReadCloser, *MessageView, error) {
	return n.ExportAs(id, reach, 0)
}

// ExportAs opens a message's document for writing it outside of the node, as far as its label, its agreement or the charter of its
// room let it go. origin is to whom the result attributes what others said in a room; 0: what the charter asks. Where that is not
// the author, a document that names the author is refused, and the view says nothing of who said it; where it is nobody, one that
// names the room is refused too. The caller closes the document.
func (n *Node) ExportAs(id protocol.Hash, reach trust.Reach, origin protocol.Attribution) (io.ReadCloser, *MessageView, error) {
	v, err := n.Message(id)
	if err != nil {
		return nil, nil, err
	}
	m, err := n.st.Message(id)
	if err != nil {
		return nil, nil, err
	}
	n.mu.RLock()
	q := n.question(trust.Export, m.Statement, m.Statement.Author)
	n.mu.RUnlock()
	if origin == 0 {
		origin = q.Attribution
	}
	q.Reach, q.Ahead, q.Origin = reach, m.Statement.Clock.Time().Sub(n.now()), origin
	d := trust.Decide(q)
	hint := ""
	if v.Quarantined != "" {
		d = trust.Decision{Rule: "held", Reason: v.Quarantined}
	}
	hides := q.Audience == protocol.InRoom && !q.Self && origin > protocol.AttributeAuthor
	if d.Allowed && hides {
		if d, hint, err = n.unattributed(m, origin, d); err != nil {
			return nil, nil, err
		}
	}
	if err := n.record(n.disclosures(trust.Export.String()+"-"+reach.String(), id, []protocol.TeamID{m.Statement.Author}, m.Statement.Label, d)...); err != nil {
		return nil, nil, err
	}
	if !d.Allowed {
		return nil, nil, &RefusedError{Rule: d.Rule, Reason: d.Reason, Hint: hint}
	}
	r, _, err := n.OpenBody(id)
	if hides && v != nil {
		v = &MessageView{Label: v.Label, Format: v.Format, Title: v.Title, Size: v.Size}
	}
	return r, v, err
}

// unattributed refuses a document that gives away who said it.
func (n *Node) unattributed(m *store.Message, origin protocol.Attribution, d trust.Decision) (trust.Decision, string, error) {
	names := n.callings(m.Statement.Author)
	if origin == protocol.AttributeNothing {
		room := m.Statement.Audience.Room
		i, _ := n.knownRoom(room)
		names = append(names, i.Name, room.String())
	}
	r, err := n.openBody(m)
	if err != nil {
		return d, "", err
	}
	defer r.Close()
	found, err := mentions(r, names)
	if err != nil || !found {
		return d, "", err
	}
	d = trust.Decision{Rule: "attribution", Reason: "the content itself names its author"}
	if origin == protocol.AttributeNothing {
		d.Reason += " or the room"
	}
	d.Reason += ", and the charter does not let that leave the room"
	return d, "take that out of it first: entente show ID --body gives you the content, for use inside", nil
}

// callings are how a team may be named in a text.
func (n *Node) callings(team protocol.TeamID) []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	names := []string{team.String()}
	if t, ok := n.book.Team(team, n.now()); ok {
		names = append(names, t.Name)
		if c := t.Card; c != nil {
			names = append(names, c.Name, c.FullName)
			for _, contact := range c.Mails {
				names = append(names, contact.Value)
			}
		}
	}
	return names
}

// mentions reports whether one of the names stands in the text as a word of its own, in any case of its ASCII letters, or as JSON
// writes it. Empty names stand nowhere.
func mentions(r io.Reader, names []string) (bool, error) {
	var words [][]byte
	longest := 0
	for _, name := range names {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		escaped := strconv.QuoteToASCII(name)
		for _, s := range []string{name, escaped[1 : len(escaped)-1]} {
			words = append(words, lowered([]byte(s)))
			longest = max(longest, len(s))
		}
	}
	if len(words) == 0 {
		return false, nil
	}
	window := make([]byte, 0, longest+1+mentionChunk)
	first := true
	for {
		kept := len(window)
		k, err := io.ReadFull(r, window[kept:kept+mentionChunk])
		window = window[:kept+k]
		lowered(window[kept:])
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return false, err
		}
		found := slices.ContainsFunc(words, func(w []byte) bool { return standsIn(window, w, first, end) })
		if found || end {
			return found, nil
		}
		first = false
		window = window[:copy(window, window[len(window)-longest-1:])]
	}
}

// mentionChunk is how many bytes of a document are looked at in one step: more than the longest name.
const mentionChunk = 64 << 10

// standsIn reports whether the word is in the window, with nothing around it that could belong to a longer one. At the edges of
// the window, where these are not those of the text, it cannot be told: the windows overlap, so that another one can.
func standsIn(window, word []byte, first, last bool) bool {
	for at := 0; ; {
		i := bytes.Index(window[at:], word)
		if i < 0 {
			return false
		}
		from, to := at+i, at+i+len(word)
		before := from == 0 && first || from > 0 && !wordByte(window[from-1])
		after := to == len(window) && last || to < len(window) && !wordByte(window[to])
		if before && after {
			return true
		}
		at = from + 1
	}
}

func wordByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}

// lowered turns ASCII capitals into small letters, in place.
func lowered(b []byte) []byte {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}
