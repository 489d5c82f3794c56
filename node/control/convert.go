package control

import (
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
)

// The node speaks in its own types; here they become the JSON of the interface, whose names are a contract.

func (s *Server) messageOf(v *node.MessageView) Message {
	m := Message{
		ID: v.ID, Author: TeamRef{ID: v.Author, Name: v.AuthorName}, TLP: v.Label, Audience: audience(v.Audience), Kind: v.Kind,
		Format: v.Format, Created: when(v.Created), Received: when(v.Received), Urgent: v.Urgent, Size: v.Size,
		Complete: v.Complete, File: v.Name, N: v.N, Node: v.Node, Seq: v.Seq, Quarantined: v.Quarantined, Doubt: v.Doubt, Refs: v.Refs,
		Supersedes: present(v.Supersedes), SupersededBy: present(v.SupersededBy), Persons: persons(v.Persons), Sealed: v.Sealed,
		Agreement: present(v.Agreement), Held: v.Held, Own: v.Author == s.n.TeamID(), To: v.To, Arrived: v.Arrived,
	}
	if v.Quarantined == "" && !v.Sealed {
		m.Title = &v.Title
	}
	return m
}

func audience(v node.AudienceView) Audience {
	a := Audience{Kind: v.Kind, Name: v.Name}
	if v.ID != "" {
		a.ID = &v.ID
	}
	return a
}

func persons(vs []node.PersonView) []Person {
	var out []Person
	for _, v := range vs {
		out = append(out, Person{Team: v.Team, TeamName: v.TeamName, Name: v.Name, Self: v.Self})
	}
	return out
}

// when gives times as the interface does: in UTC, to the millisecond.
func when(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func whenPtr(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = when(t)
	return &t
}

func present(h protocol.Hash) *protocol.Hash {
	if h.IsZero() {
		return nil
	}
	return &h
}

func team(t node.TeamInfo, self protocol.TeamID) Team {
	out := Team{
		TeamRef: TeamRef{ID: t.ID, Name: t.Name, Country: t.Country}, State: t.State.String(), Fingerprint: t.Fingerprint,
		Self: t.ID == self, Why: t.Why, Added: whenPtr(t.Added), Verified: whenPtr(t.VerifiedAt), Method: t.Method,
		Attestors: t.Attestors, Card: CardOf(t.Card), Nodes: []Node{},
	}
	if t.Manifest != nil {
		out.Expires = whenPtr(time.Unix(int64(t.Manifest.Expires), 0))
	}
	if t.Root != nil {
		for _, o := range t.Root.Officers {
			out.Officers = append(out.Officers, Officer{Name: o.Name, Key: o.Key.ID(), Acts: o.Acts})
		}
	}
	for _, n := range t.Nodes {
		out.Nodes = append(out.Nodes, Node{ID: n.KID, Name: n.Name, Peer: n.Peer, Addresses: n.Addrs, Connected: n.Connected,
			LastSeen: whenPtr(n.LastSeen), Revoked: n.Revoked, LastError: n.LastErr, Software: n.Software,
			LatencyMS: float64(n.Latency.Microseconds()) / 1000, Feed: feed(n.Feed)})
	}
	return out
}

func feed(f node.FeedView) Feed {
	return Feed{Held: f.Held, Newest: f.Beyond, Said: f.Said, SaidAt: whenPtr(f.SaidAt), Complete: f.Complete, Forked: f.Forked}
}

// readers lists the nodes behind the teams that a message would reach.
func (s *Server) readers(rs []node.Reader) ([]Reader, error) {
	out := []Reader{}
	for _, r := range rs {
		t, err := s.n.Team(r.ID.String())
		if err != nil {
			return nil, err
		}
		for _, n := range t.Nodes {
			if !n.Revoked {
				out = append(out, Reader{Team: r.ID, Name: t.Name, Node: n.KID, NodeName: n.Name, Connected: n.Connected, Self: r.Self})
			}
		}
	}
	return out, nil
}

func (s *Server) sent(v *node.Sent, d node.Draft) (*Sent, error) {
	rs, err := s.readers(v.Readers)
	if err != nil {
		return nil, err
	}
	out := &Sent{ID: present(v.ID), TLP: &v.Label, Audience: audience(v.Audience), Readers: rs, Title: v.Title,
		Format: v.Format, File: d.Name, Notes: v.Notes, DryRun: d.DryRun, Digest: present(v.Digest)}
	for _, r := range v.Readers {
		if len(r.Persons) == 0 {
			continue
		}
		t, err := s.n.Team(r.ID.String())
		if err != nil {
			return nil, err
		}
		for _, name := range r.Persons {
			out.Persons = append(out.Persons, Person{Team: r.ID, TeamName: t.Name, Name: name, Self: r.Self})
		}
	}
	if v.Audience.Kind == audienceCommunity && len(out.Notes) == 0 {
		out.Notes = []string{communityNote}
	}
	out.Note = strings.Join(out.Notes, "; ")
	return out, nil
}

const (
	audienceCommunity = "community"
	communityNote     = "these teams may pass it on within their own communities"
)

func report(r *store.Report) *FsckReport {
	out := &FsckReport{Clean: r.Found == r.Repaired, Values: r.Values, Parcels: r.Parcels, Messages: r.Messages, Blobs: r.Blobs,
		Records: r.Records, Unverified: r.Unverified, Found: r.Found, Repaired: r.Repaired}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, Problem{Kind: p.Kind, Where: p.Where})
	}
	return out
}
