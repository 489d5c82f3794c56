package control

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
)

// draft reads what values of Draft wrote.
func draft(r *http.Request) (node.Draft, error) {
	q := r.URL.Query()
	d := node.Draft{Audience: q.Get("to"), Name: q.Get("name"), Urgent: q.Get("urgent") == "true", DryRun: q.Get("dry_run") == "true",
		Size: r.ContentLength}
	var err error
	if v := q.Get("tlp"); v != "" {
		if d.Label, err = tlp.Parse(v); err != nil {
			return d, usagef("tlp: %v", err)
		}
	}
	if v := q.Get("supersedes"); v != "" {
		if d.Supersedes, err = protocol.ParseHash(v); err != nil {
			return d, usagef("supersedes: %v", err)
		}
	}
	if v := q.Get("sha256"); v != "" {
		if d.Hash, err = protocol.ParseHash(v); err != nil {
			return d, usagef("sha256: %v", err)
		}
	}
	if v := q.Get("expect"); v != "" {
		if d.Expect, err = protocol.ParseHash(v); err != nil {
			return d, usagef("expect: %v", err)
		}
	}
	if d.Refs, err = hashes(q["ref"]); err != nil {
		return d, usagef("ref: %v", err)
	}
	if d.Sources, err = hashes(q["source"]); err != nil {
		return d, usagef("source: %v", err)
	}
	d.As = q.Get("as")
	kind, name, _ := strings.Cut(d.Audience, ":")
	if kind == audienceCommunity && name == "" || slices.Contains(audienceKinds, kind) && name != "" {
		return d, nil
	}
	return d, usagef("audience %.60q: want community, team:TEAM[,TEAM…], person:TEAM/NAME[,…], agreement:AGREEMENT or room:ROOM", d.Audience)
}

// audienceKinds are those that name somebody.
var audienceKinds = []string{"team", "person", "agreement", "room"}

func hashes(texts []string) ([]protocol.Hash, error) {
	if len(texts) > protocol.MaxRefs {
		return nil, fmt.Errorf("%d messages: at most %d", len(texts), protocol.MaxRefs)
	}
	var out []protocol.Hash
	for _, t := range texts {
		id, err := protocol.ParseHash(t)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

func (s *Server) preview(w http.ResponseWriter, r *http.Request) error {
	d, err := draft(r)
	if err != nil {
		return err
	}
	// An empty document stands for the one to come: its readers are those of the label asked for, or of the widest.
	asked := d.Label.Valid()
	d.DryRun, d.Name, d.Size, d.Supersedes, d.Expect = true, "", 0, protocol.Hash{}, protocol.Hash{}
	if !asked {
		d.Label = tlp.Clear
	}
	v, err := s.n.Send(r.Context(), d, strings.NewReader(""))
	if err != nil {
		return err
	}
	out, err := s.sent(v, d)
	if err != nil {
		return err
	}
	if !asked {
		out.TLP, out.Digest = nil, nil
	}
	return writeJSON(w, out)
}

func (s *Server) send(w http.ResponseWriter, r *http.Request) error {
	d, err := draft(r)
	if err != nil {
		return err
	}
	v, err := s.n.Send(r.Context(), d, r.Body)
	if err != nil {
		return err
	}
	out, err := s.sent(v, d)
	if err != nil {
		return err
	}
	return writeJSON(w, out)
}

// page is how many messages are read from the store for one step of a list. No store transaction stays open while a client
// reads.
const page = 256

func (s *Server) inbox(w http.ResponseWriter, r *http.Request) error {
	q, limit, err := s.query(r)
	if err != nil {
		return err
	}
	l := newLineWriter(w)
	l.finish(s.list(q, limit, l))
	return nil
}

// list writes the selected messages, the oldest first. With a limit, the newest so many.
func (s *Server) list(q store.Query, limit int, l *lineWriter) error {
	if limit > 0 {
		q.Newest, q.Limit = true, limit
	}
	for {
		if limit == 0 {
			q.Limit = page
		}
		var ms []Message
		read := 0
		err := s.n.Inbox(q, true, func(v *node.MessageView) bool {
			read++
			q.After = max(q.After, v.N)
			if v.Quarantined == "" {
				ms = append(ms, s.messageOf(v))
			}
			return true
		})
		if err != nil {
			return err
		}
		slices.SortFunc(ms, func(a, b Message) int { return int(int64(a.N) - int64(b.N)) })
		for _, m := range ms {
			if l.write(m) != nil {
				return nil // the client is gone
			}
		}
		if limit > 0 || read < page {
			return nil
		}
	}
}

func (s *Server) query(r *http.Request) (q store.Query, limit int, err error) {
	v := r.URL.Query()
	if t := v.Get("tlp"); t != "" {
		if q.Label, err = tlp.Parse(t); err != nil {
			return q, 0, usagef("tlp: %v", err)
		}
	}
	if t := v.Get("from"); t != "" {
		team, err := s.n.Team(t)
		if err != nil {
			return q, 0, err
		}
		q.From = team.ID
	}
	if t := v.Get("since"); t != "" {
		if q.Since, err = time.Parse(time.RFC3339Nano, t); err != nil {
			return q, 0, usagef("since: %q is no time of RFC 3339", t)
		}
	}
	if q.After, err = number(v.Get("after")); err != nil {
		return q, 0, usagef("after: %v", err)
	}
	n, err := number(v.Get("limit"))
	if err != nil || n > store.MaxPage {
		return q, 0, usagef("limit: %.20q: want at most %d messages, or 0 for all", v.Get("limit"), store.MaxPage)
	}
	return q, int(n), nil
}

func number(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	return strconv.ParseUint(s, 10, 63)
}

func (s *Server) search(w http.ResponseWriter, r *http.Request) error {
	limit, err := number(r.FormValue("limit"))
	if err != nil || limit > store.MaxPage {
		return usagef("limit: want at most %d messages", store.MaxPage)
	}
	vs, err := s.n.Search(r.FormValue("q"), int(limit))
	if err != nil {
		return err
	}
	slices.SortFunc(vs, func(a, b *node.MessageView) int { return int(int64(a.N) - int64(b.N)) })
	l := newLineWriter(w)
	for _, v := range vs {
		if l.write(s.messageOf(v)) != nil {
			return nil
		}
	}
	l.finish(nil)
	return nil
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) error {
	after, err := number(r.FormValue("after"))
	if err != nil {
		return usagef("after: %v", err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	l := newLineWriter(w)
	if l.start() != nil {
		return nil
	}
	gone := false
	err = s.n.Watch(ctx, after, func(v *node.MessageView) error {
		err := l.write(s.messageOf(v))
		gone = err != nil
		return err
	})
	if !gone {
		l.finish(err)
	}
	return nil
}

// messageID resolves the beginning of an id.
func (s *Server) messageID(r *http.Request) (protocol.Hash, error) {
	if id, err := protocol.ParseHash(r.PathValue("id")); err == nil {
		return id, nil
	}
	return s.n.FindMessage(r.PathValue("id"))
}

func (s *Server) message(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	v, err := s.n.Message(id)
	if err != nil {
		return err
	}
	return writeJSON(w, s.messageOf(v))
}

func (s *Server) body(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	f, size, err := s.n.OpenBody(id)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", typeBytes)
	w.Header().Set("Content-Length", strconv.FormatUint(size, 10))
	if _, err := copySteadily(w, f); err != nil {
		s.log.Debug("a message's content was not taken whole", "id", id.Short(), "err", err)
		panic(http.ErrAbortHandler) // the client sees fewer bytes than announced
	}
	return nil
}
