package node

import (
	"context"
	"io"

	"github.com/entente-network/entente/protocol/content"
	"github.com/entente-network/entente/store"
)

// indexLoop makes accepted messages searchable, after the fact: acceptance never waits for it, and after a crash it goes on
// where it was.
func (n *Node) indexLoop(ctx context.Context) {
	for {
		wake := n.dirty.wait()
		for n.indexSome(ctx) {
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// indexSome indexes a batch of messages and reports whether there may be more.
func (n *Node) indexSome(ctx context.Context) bool {
	const batch = 64
	ms, err := n.st.IndexPending(batch)
	if err != nil {
		n.log.Error("reading what is to be indexed", "err", err)
		return false
	}
	for _, m := range ms {
		if ctx.Err() != nil {
			return false
		}
		if err := n.st.Index(m.N, n.terms(m)); err != nil {
			n.log.Error("indexing", "id", m.ID.Short(), "err", err)
			return false
		}
	}
	return len(ms) == batch
}

// maxTerms bounds how many terms of one message are searchable.
const maxTerms = 500_000

// terms returns what the message can be found by: its title, its file's name and, if its body is held, what is in it.
func (n *Node) terms(m *store.Message) []string {
	seen := map[string]bool{}
	var out []string
	add := func(t content.Term) {
		s := string(t.Kind) + ":" + t.Value
		if len(out) < maxTerms && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, t := range content.Terms(m.Statement.Title + " " + m.Statement.Body.Name) {
		add(t)
	}
	r, _, err := n.st.OpenBody(m.ID)
	if err != nil {
		return out
	}
	defer r.Close()
	// A document that cannot be read whole, such as one from an author with looser rules, is searchable as far as it goes.
	_, _ = content.Read(io.Reader(r), m.Statement.Body.Name, add)
	return out
}

// Search returns the newest messages that contain all words and indicators of the query, newest first.
func (n *Node) Search(query string, limit int) ([]*MessageView, error) {
	var terms []string
	for _, t := range content.Terms(query) {
		terms = append(terms, string(t.Kind)+":"+t.Value)
	}
	if len(terms) == 0 {
		return nil, nil
	}
	ms, err := n.st.SearchTerms(terms, limit)
	if err != nil {
		return nil, err
	}
	var out []*MessageView
	for _, m := range ms {
		if v := n.view(m); v.Quarantined == "" {
			out = append(out, v)
		}
	}
	return out, nil
}
