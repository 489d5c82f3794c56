package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
	"github.com/entente-network/entente/trust/trusttest"
)

var identityNow = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// putIdentity stores two teams, decisions about them, and heads.
func putIdentity(t *testing.T, s *Store) (*trusttest.Team, *trusttest.Team) {
	t.Helper()
	at, de := trusttest.NewTeam(t, "CERT.at", "AT", identityNow), trusttest.NewTeam(t, "CERT-Bund", "DE", identityNow)
	for _, team := range []*trusttest.Team{at, de} {
		for _, e := range team.Records() {
			for range 2 { // again is no harm
				if err := s.PutRecord(team.ID, e); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, kind := range []trust.ActKind{trust.ActAdded, trust.ActVerified} {
			if err := s.PutAct(trust.OwnAct{Team: team.ID, Kind: kind, At: identityNow.Add(time.Duration(kind)), By: "anna", Method: "phone"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return at, de
}

func checkIdentity(t *testing.T, s *Store) {
	t.Helper()
	n := 0
	if err := s.Records(func(team protocol.TeamID, e *protocol.Envelope) error { n++; return nil }); err != nil || n != 6 {
		t.Errorf("got %d records, %v, want 6", n, err)
	}
	acts, err := s.Acts()
	if err != nil || len(acts) != 4 || acts[0].Kind != trust.ActAdded || acts[3].Kind != trust.ActVerified || acts[1].By != "anna" ||
		!acts[1].At.Equal(identityNow.Add(time.Duration(trust.ActVerified))) {
		t.Errorf("got acts %+v, %v", acts, err)
	}
}

func TestIdentity(t *testing.T) {
	s := openTest(t, "", Options{})
	at, de := putIdentity(t, s)
	checkIdentity(t, s)
	book := trust.NewBook(at.ID)
	if err := s.Records(func(_ protocol.TeamID, e *protocol.Envelope) error {
		_, _, _ = book.Add(e, identityNow) // the order is none: several rounds
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	all, err := s.TeamRecords(de.ID, nil)
	if err != nil || len(all) != 3 {
		t.Errorf("got %d records, %v, want 3", len(all), err)
	}
	one, err := s.TeamRecords(de.ID, map[protocol.Hash]bool{de.CardEnv.ID(): true, at.CardEnv.ID(): true})
	if err != nil || len(one) != 1 || !bytes.Equal(one[0], de.CardEnv.Encode()) {
		t.Errorf("got %d records, %v, want the card", len(one), err)
	}
	if err := s.DeleteRecords(de.CardEnv.ID(), protocol.Sum("none"), at.ManifestEnv.ID()); err != nil {
		t.Fatal(err)
	}
	if all, _ = s.TeamRecords(de.ID, nil); len(all) != 2 || slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, de.CardEnv.Encode()) }) {
		t.Errorf("got %d records, want 2 without the card", len(all))
	}
	stop := errors.New("stop")
	if err := s.Records(func(protocol.TeamID, *protocol.Envelope) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the function", err)
	}
	mustClean(t, s, nil)
}

func TestHeads(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	if _, _, err := s.Heads(a.key.Public().ID(), protocol.TeamID{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	put := func(n uint64) *protocol.Envelope {
		t.Helper()
		h := &protocol.Heads{Team: a.team, Node: a.key.Public().ID(), N: n, Time: 1, Feeds: []protocol.Head{{Feed: a.feed, First: 1, Seq: n, Hash: protocol.Sum("x")}}}
		e, err := protocol.Sign(h, a.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutHeads(e, h); err != nil {
			t.Fatal(err)
		}
		return e
	}
	put(3)
	want := put(5)
	put(4)
	e, h, err := s.Heads(a.key.Public().ID(), protocol.TeamID{})
	if err != nil || h.N != 5 || e.ID() != want.ID() {
		t.Errorf("got %+v, %v, want the newest", h, err)
	}
	n := 0
	if err := s.AllHeads(func(e *protocol.Envelope, h *protocol.Heads) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("got %d, %v, want 1", n, err)
	}
	mustClean(t, s, nil)
}
