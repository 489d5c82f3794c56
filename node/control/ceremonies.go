package control

import (
	"net/http"

	"github.com/entente-network/entente/protocol"
)

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
	for _, c := range v.Private {
		b, err := cutoff(c)
		if err != nil {
			return err
		}
		out.Private = append(out.Private, b)
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
	private, err := s.n.PrivateCutoffs(kid)
	if err != nil {
		return err
	}
	var out rawRecords
	for _, c := range append([]*protocol.Cutoff{c}, private...) {
		b, err := cutoff(c)
		if err != nil {
			return err
		}
		out.Records = append(out.Records, b)
	}
	return writeJSON(w, out)
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
