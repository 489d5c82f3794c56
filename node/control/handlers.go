package control

import (
	"context"
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

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	st, err := s.n.Status()
	if err != nil {
		return err
	}
	out := Status{
		Team: TeamRef{ID: st.Team.ID, Name: st.Team.Name, Country: st.Team.Country}, Node: st.Node, PeerID: st.Peer,
		Running: st.Running, Listening: slices.Concat([]string{}, st.Listening), Peers: []Peer{},
		Store:   StoreStatus{Messages: st.Store.Messages, Bytes: st.Store.Bytes, DiskBytes: st.Store.DiskBytes, Unindexed: st.Store.Pending, Damaged: st.Store.Damaged},
		Signing: "ok", Unlock: st.Unlock, LastN: st.Store.LastN, CatchUp: CatchUp{Done: st.CatchUp.Done, Total: st.CatchUp.Total},
		Home: s.home, Version: Build().Version,
	}
	if st.Stopped != "" {
		out.Signing = "stopped: " + st.Stopped
	}
	if st.Running {
		out.Started = whenPtr(s.started)
	}
	peers := func(t node.TeamInfo, own bool) {
		for _, n := range t.Nodes {
			if n.Revoked || n.KID == st.Node {
				continue
			}
			out.Peers = append(out.Peers, Peer{Team: t.ID, Name: t.Name, State: t.State.String(), Node: n.KID, NodeName: n.Name, Connected: n.Connected,
				LastSeen: whenPtr(n.LastSeen), LastError: n.LastErr, Addresses: n.Addrs, Feed: feed(n.Feed)})
		}
	}
	for _, n := range st.Team.Nodes {
		if n.KID == st.Node {
			out.NodeName = n.Name
		}
	}
	peers(st.Team, true)
	for _, t := range st.Others {
		peers(t, false)
	}
	return writeJSON(w, out)
}

func (s *Server) introduction(w http.ResponseWriter, r *http.Request) error {
	b, err := s.n.Introduction()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = w.Write(b)
	return err
}

func (s *Server) teams(w http.ResponseWriter, r *http.Request) error {
	ts, err := s.n.Teams()
	if err != nil {
		return err
	}
	l := newLineWriter(w)
	for _, t := range ts {
		if err := l.write(team(t, s.n.TeamID())); err != nil {
			return nil // the client is gone
		}
	}
	l.finish(nil)
	return nil
}

func (s *Server) addTeam(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(r, 2*protocol.MaxBundle)
	if err != nil {
		return err
	}
	t, err := s.n.AddTeam(b, r.FormValue("by"))
	if err != nil {
		return err
	}
	return writeJSON(w, team(t, s.n.TeamID()))
}

func (s *Server) responsible(w http.ResponseWriter, r *http.Request) error {
	cs, err := s.n.Responsible(r.FormValue("q"))
	if err != nil {
		return usagef("%v", err)
	}
	l := newLineWriter(w)
	for _, c := range cs {
		t, err := s.n.Team(c.Team.String())
		if err == nil {
			out := team(t, s.n.TeamID())
			out.Claim = c.Value
			err = l.write(out)
		}
		if err != nil {
			l.finish(err)
			return nil
		}
	}
	l.finish(nil)
	return nil
}

func (s *Server) writeTeam(w http.ResponseWriter, nameOrPrefix string) error {
	t, err := s.n.Team(nameOrPrefix)
	if err != nil {
		return err
	}
	return writeJSON(w, team(t, s.n.TeamID()))
}

func (s *Server) team(w http.ResponseWriter, r *http.Request) error {
	return s.writeTeam(w, r.PathValue("team"))
}

// teamID reads the whole id of a team: what changes something does not take a prefix.
func teamID(r *http.Request) (protocol.TeamID, error) {
	id, err := protocol.ParseHash(r.PathValue("team"))
	if err != nil {
		return id, usagef("team: %v", err)
	}
	return id, nil
}

func (s *Server) verifyTeam(w http.ResponseWriter, r *http.Request) error {
	id, err := teamID(r)
	if err != nil {
		return err
	}
	req, err := readJSON[verifyRequest](r)
	if err != nil {
		return err
	}
	var attest *protocol.Envelope
	if len(req.Attest) > 0 {
		if attest, err = protocol.DecodeEnvelope(req.Attest, protocol.MaxRecord); err != nil {
			return usagef("attestation: %v", err)
		}
	}
	if err := s.n.VerifyTeam(id, req.Fingerprint, req.Method, req.By, attest); err != nil {
		return err
	}
	return s.writeTeam(w, id.String())
}

func (s *Server) blockTeam(w http.ResponseWriter, r *http.Request) error {
	return s.decideTeam(w, r, s.n.BlockTeam)
}

func (s *Server) unblockTeam(w http.ResponseWriter, r *http.Request) error {
	return s.decideTeam(w, r, s.n.UnblockTeam)
}

func (s *Server) decideTeam(w http.ResponseWriter, r *http.Request, decide func(protocol.TeamID, string) error) error {
	id, err := teamID(r)
	if err != nil {
		return err
	}
	if err := decide(id, r.FormValue("by")); err != nil {
		return err
	}
	return s.writeTeam(w, id.String())
}

func (s *Server) own(w http.ResponseWriter, r *http.Request) error {
	o := s.n.OwnRecords()
	out := Own{RootID: o.RootID, ManifestID: o.ManifestID}
	var err error
	if o.Root != nil {
		out.Root, err = protocol.Marshal(o.Root)
	}
	if err == nil && o.Manifest != nil {
		out.Manifest, err = protocol.Marshal(o.Manifest)
	}
	if err == nil && o.Card != nil {
		out.Card, err = protocol.Marshal(o.Card)
	}
	if err == nil {
		var d protocol.Node
		if d, err = s.n.NodeDraft(); err == nil {
			out.Node, err = protocol.Marshal(&d)
		}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, out)
}

func (s *Server) addOwn(w http.ResponseWriter, r *http.Request) error {
	req, err := readJSON[rawRecords](r)
	if err != nil {
		return err
	}
	var es []*protocol.Envelope
	for i, b := range req.Records {
		e, err := protocol.DecodeEnvelope(b, protocol.MaxRecord)
		if err != nil {
			return usagef("record %d of %d: %v", i+1, len(req.Records), err)
		}
		es = append(es, e)
	}
	if err := s.n.AddOwnRecords(es); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

func (s *Server) replaceNode(w http.ResponseWriter, r *http.Request) error {
	v, err := s.n.PrepareNode()
	if err != nil {
		return err
	}
	out := Replacement{Old: v.Old}
	if out.Node, err = protocol.Marshal(&v.Node); err != nil {
		return err
	}
	if out.Cutoff, err = cutoff(v.Cutoff); err != nil {
		return err
	}
	return writeJSON(w, out)
}

func cutoff(c *protocol.Cutoff) ([]byte, error) {
	if c == nil {
		return nil, nil
	}
	return protocol.Marshal(c)
}

func (s *Server) cutoffDraft(w http.ResponseWriter, r *http.Request) error {
	var kid protocol.KID
	if err := kid.UnmarshalText([]byte(r.PathValue("node"))); err != nil {
		return usagef("node: %v", err)
	}
	c, err := s.n.CutoffDraft(kid)
	if err != nil {
		return err
	}
	b, err := cutoff(c)
	if err != nil {
		return err
	}
	return writeJSON(w, rawRecords{Records: [][]byte{b}})
}

func (s *Server) attestations(w http.ResponseWriter, r *http.Request) error {
	as, err := s.n.OwnAttestations()
	if err != nil {
		return err
	}
	var out rawRecords
	for _, a := range as {
		b, err := protocol.Marshal(a)
		if err != nil {
			return err
		}
		out.Records = append(out.Records, b)
	}
	return writeJSON(w, out)
}

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
	if d.Audience != audienceCommunity {
		return d, usagef("unknown audience %.60q: this version sends to: community", d.Audience)
	}
	return d, nil
}

func (s *Server) preview(w http.ResponseWriter, r *http.Request) error {
	d, err := draft(r)
	if err != nil {
		return err
	}
	// An empty document stands for the one to come: its readers are those of the label asked for, or of the widest.
	asked := d.Label.Valid()
	d.DryRun, d.Name, d.Size, d.Supersedes = true, "", 0, protocol.Hash{}
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
		out.TLP = nil
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
		q.Newest, q.Limit = true, min(limit, store.MaxPage)
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
				ms = append(ms, message(v))
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
	if err != nil || n > 1<<30 {
		return q, 0, usagef("limit: %q is no number of messages", v.Get("limit"))
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
	if err != nil || limit > maxList {
		return usagef("limit: want at most %d", maxList)
	}
	vs, err := s.n.Search(r.FormValue("q"), int(limit))
	if err != nil {
		return err
	}
	slices.SortFunc(vs, func(a, b *node.MessageView) int { return int(int64(a.N) - int64(b.N)) })
	l := newLineWriter(w)
	for _, v := range vs {
		if l.write(message(v)) != nil {
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
	l := newLineWriter(w)
	if l.start() != nil {
		return nil
	}
	gone := false
	err = s.n.Watch(ctx, after, func(v *node.MessageView) error {
		err := l.write(message(v))
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
	return writeJSON(w, message(v))
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

func (s *Server) fsck(w http.ResponseWriter, r *http.Request) error {
	l := newLineWriter(w)
	if l.start() != nil {
		return nil
	}
	rep, err := s.n.Fsck(r.Context(), r.FormValue("repair") == "true", func(values uint64) {
		_ = l.write(fsckLine{Values: values})
	})
	if err == nil {
		err = l.write(fsckLine{Report: report(rep)})
	}
	l.finish(err)
	return nil
}

func (s *Server) backup(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", typeBytes)
	w.Header().Set("Trailer", errorTrailer)
	w.WriteHeader(http.StatusOK)
	if err := s.n.Backup(r.Context(), &steadyWriter{w: w, rc: http.NewResponseController(w)}); err != nil {
		w.Header().Set(errorTrailer, oneLine(toError(err)))
	}
	return nil
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request) error {
	fs, err := s.n.Doctor(r.FormValue("team"))
	if err != nil {
		return err
	}
	l := newLineWriter(w)
	for _, f := range fs {
		if l.write(Finding{Level: string(f.Level), Text: f.Text, Next: f.Next}) != nil {
			return nil
		}
	}
	l.finish(nil)
	return nil
}
