package node

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/entente-network/entente/protocol/content"
	"github.com/entente-network/entente/store"
)

// indexLoop makes accepted messages searchable, after the fact: acceptance never waits for it, and after a crash it goes on
// where it was.
func (n *Node) indexLoop(ctx context.Context) {
	for {
		wake := n.dirty.wait()
		for n.indexSome(ctx) {
			n.yieldToIntake(ctx)
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// While messages come in from catching up, the index takes a batch in every yieldFor: it shares processor and disk with
// intake, and people would rather have all messages soon than find some of them sooner.
const (
	yieldFor   = time.Second
	intakeRest = 300 * time.Millisecond // without entries from catching up, after which the index has the machine
)

// yieldToIntake waits a while if catching up goes on. It never waits longer, so that a peer that trickles entries cannot keep
// anything from being indexed.
func (n *Node) yieldToIntake(ctx context.Context) {
	end := time.Now().Add(yieldFor)
	for {
		wait := min(time.Until(end), intakeRest-time.Since(time.Unix(0, n.caughtAt.Load())))
		if wait <= 0 {
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// indexSome indexes a batch of messages and reports whether there may be more.
func (n *Node) indexSome(ctx context.Context) bool {
	const batch = 256
	ms, err := n.st.IndexPending(batch)
	if err != nil {
		n.log.Error("reading what is to be indexed", "err", err)
		return false
	}
	var all []store.Terms
	terms := 0
	for i, m := range ms {
		if ctx.Err() != nil {
			return false
		}
		all = append(all, store.Terms{N: m.N, Terms: n.terms(ctx, m)})
		if ctx.Err() != nil {
			return false // what was read of the last one is not all of it
		}
		if terms += len(all[len(all)-1].Terms); terms < maxTerms && i < len(ms)-1 {
			continue
		}
		if err := n.st.IndexAll(all); err != nil {
			n.log.Error("indexing", "id", m.ID.Short(), "err", err)
			return false
		}
		all, terms = nil, 0
	}
	return len(ms) == batch
}

// maxTerms bounds how many terms are held at once, which are at least those of one message.
const maxTerms = store.MaxTerms

// terms returns what the message can be found by: its title, its file's name and, if its body is held, what is in it.
func (n *Node) terms(ctx context.Context, m *store.Message) []string {
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
	var body io.Reader = bytes.NewReader(m.Statement.Body.Inline)
	if m.Statement.Body.External() {
		r, err := n.openBody(m)
		if err != nil {
			return out
		}
		defer r.Close()
		body = r
	}
	// A document that cannot be read whole, such as one from an author with looser rules, is searchable as far as it goes.
	_, _ = content.Read(&endingReader{ctx, body}, m.Statement.Body.Name, add)
	return out
}

// An endingReader ends with its context, so that a large document does not hold up the end of the program.
type endingReader struct {
	ctx context.Context
	r   io.Reader
}

func (e *endingReader) Read(b []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(b)
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
