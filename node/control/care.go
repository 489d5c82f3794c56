package control

import "net/http"

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
	var out []Finding
	for _, f := range fs {
		out = append(out, Finding{Level: string(f.Level), Text: f.Text, Next: f.Next})
	}
	if r.FormValue("team") == "" {
		out = withRooms(out, s.roomFindings())
	}
	l := newLineWriter(w)
	for _, f := range out {
		if l.write(f) != nil {
			return nil
		}
	}
	l.finish(nil)
	return nil
}
