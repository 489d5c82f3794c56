package control

import (
	"net/http"
	"slices"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
)

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	st, err := s.n.Status()
	if err != nil {
		return err
	}
	out := Status{
		Team: TeamRef{ID: st.Team.ID, Name: st.Team.Name, Country: st.Team.Country}, Node: st.Node, PeerID: st.Peer,
		Running: st.Running, Listening: slices.Concat([]string{}, st.Listening), Peers: []Peer{}, Outbox: []Outbox{}, Agreed: len(s.n.Agreements()), Rooms: s.roomSummaries(),
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
	for _, o := range st.Outbox {
		out.Outbox = append(out.Outbox, Outbox{Team: o.Team, Name: o.TeamName, Waiting: o.Waiting, Held: o.Held, Oldest: whenPtr(o.Oldest)})
	}
	peers := func(t node.TeamInfo) {
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
	peers(st.Team)
	for _, t := range st.Others {
		peers(t)
	}
	return writeJSON(w, out)
}

func (s *Server) introduction(w http.ResponseWriter, r *http.Request) error {
	b, err := s.n.Introduction()
	if err != nil {
		return err
	}
	writeWhole(w, "text/plain; charset=utf-8", http.StatusOK, b)
	return nil
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
