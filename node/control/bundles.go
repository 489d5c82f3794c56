package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// A BundleReport says what was written into, or taken from, a bundle that is carried by hand.
type BundleReport struct {
	Team    TeamRef `json:"team"`    // whom it is for, or who made it
	Records int     `json:"records"` // of identities
	Parcels int     `json:"parcels"`
	Blobs   int     `json:"blobs"`
	Bytes   int64   `json:"bytes"`
	New     int     `json:"new"`     // parcels taken in
	Waiting int     `json:"waiting"` // parcels that wait for something else, such as an agreement
	Refused int     `json:"refused"` // entries that are not what they should be
}

// ExportBundle writes what a team may have of this node's, for carrying by hand, to w. With since, only what is newer.
func (c *Client) ExportBundle(ctx context.Context, team string, since time.Time, w io.Writer) (*BundleReport, error) {
	q := url.Values{"team": {team}}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	resp, err := c.do(ctx, http.MethodGet, "/v1/bundle", q, nil)
	if err != nil {
		return nil, err
	}
	if err := copyWhole(w, resp); err != nil {
		return nil, err
	}
	var rep BundleReport
	if err := json.Unmarshal([]byte(resp.Trailer.Get(reportTrailer)), &rep); err != nil {
		return nil, errors.New("the node ended before the bundle did: write it again")
	}
	return &rep, nil
}

// ImportBundle takes in what ExportBundle of another team wrote. All of it is checked as if it came from the network.
func (c *Client) ImportBundle(ctx context.Context, r io.Reader, size int64) (*BundleReport, error) {
	resp, err := c.request(ctx, http.MethodPost, "/v1/bundle", nil, r, size)
	if err != nil {
		return nil, err
	}
	return decode[BundleReport](resp)
}

// ExportMessage writes the content of a message, for use outside, to w. reach is how far it is to go: team, constituents,
// community or public. attribution is to whom the result attributes what others said in a room: author, room, none, or "" for what
// the charter asks. What the label, an agreement or the charter forbids is refused.
func (c *Client) ExportMessage(ctx context.Context, id protocol.Hash, reach, attribution string, w io.Writer) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/messages/"+id.String()+"/export", url.Values{"reach": {reach}, "attribution": {attribution}}, nil)
	if err != nil {
		return err
	}
	return copyWhole(w, resp)
}

func (s *Server) exportBundle(w http.ResponseWriter, r *http.Request) error {
	since, err := sinceOf(r)
	if err != nil {
		return err
	}
	// What is refused is refused before the first byte, with a status that says so.
	lazy := &lazyWriter{w: w, trailers: errorTrailer + ", " + reportTrailer}
	rep, err := s.n.ExportBundle(r.Context(), r.FormValue("team"), since, lazy)
	if err != nil && !lazy.begun {
		return err
	}
	if err := lazy.begin(); err != nil {
		return nil
	}
	if err != nil {
		w.Header().Set(errorTrailer, oneLine(toError(err)))
		return nil
	}
	b, err := json.Marshal(bundleReport(rep))
	if err != nil {
		w.Header().Set(errorTrailer, oneLine(toError(err)))
		return nil
	}
	w.Header().Set(reportTrailer, string(b))
	return nil
}

// lazyWriter is an answer of raw bytes that begins with the first of them.
type lazyWriter struct {
	w        http.ResponseWriter
	trailers string
	begun    bool
}

func (l *lazyWriter) begin() error {
	if l.begun {
		return nil
	}
	l.begun = true
	l.w.Header().Set("Content-Type", typeBytes)
	l.w.Header().Set("Trailer", l.trailers)
	if err := http.NewResponseController(l.w).SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return err
	}
	l.w.WriteHeader(http.StatusOK)
	return nil
}

func (l *lazyWriter) Write(p []byte) (int, error) {
	if err := l.begin(); err != nil {
		return 0, err
	}
	return (&steadyWriter{w: l.w, rc: http.NewResponseController(l.w)}).Write(p)
}

func (s *Server) importBundle(w http.ResponseWriter, r *http.Request) error {
	rep, err := s.n.ImportBundle(r.Context(), r.Body)
	if err != nil {
		return err
	}
	return writeJSON(w, bundleReport(rep))
}

func bundleReport(r node.CarryReport) BundleReport {
	return BundleReport{Team: TeamRef{ID: r.Team, Name: r.TeamName}, Records: r.Records, Parcels: r.Parcels, Blobs: r.Blobs, Bytes: r.Bytes,
		New: r.New, Waiting: r.Waiting, Refused: r.Refused}
}

func (s *Server) exportMessage(w http.ResponseWriter, r *http.Request) error {
	id, err := s.messageID(r)
	if err != nil {
		return err
	}
	reach, err := trust.ParseReach(r.FormValue("reach"))
	if err != nil {
		return usagef("%v", err)
	}
	var origin protocol.Attribution
	if a := r.FormValue("attribution"); a != "" {
		if origin, err = protocol.ParseAttribution(a); err != nil {
			return usagef("%v", err)
		}
	}
	body, _, err := s.n.ExportAs(id, reach, origin)
	if err != nil {
		return err
	}
	defer body.Close()
	lazy := &lazyWriter{w: w, trailers: errorTrailer}
	_, err = io.Copy(lazy, body)
	if err != nil && !lazy.begun {
		return err
	}
	if lazy.begin() == nil && err != nil {
		w.Header().Set(errorTrailer, oneLine(toError(err)))
	}
	return nil
}
