package trust

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

// leaveOut returns the records without those of a type.
func leaveOut(es []*protocol.Envelope, typ protocol.Type) []*protocol.Envelope {
	return slices.DeleteFunc(slices.Clone(es), func(e *protocol.Envelope) bool { return e.Type == typ })
}

func TestIntroductionsThatAreRefused(t *testing.T) {
	x, other := trusttest.NewTeam(t, "CERT-X", "DE", now), trusttest.NewTeam(t, "CERT-Y", "AT", now)
	whole := x.Records()
	flipped := func(i int) []*protocol.Envelope {
		es := slices.Clone(whole)
		e := *es[i]
		e.Sigs = slices.Clone(e.Sigs)
		e.Sigs[0].Ed[9] ^= 1
		es[i] = &e
		return es
	}
	changed := func(i int) []*protocol.Envelope {
		es := slices.Clone(whole)
		e := *es[i]
		e.Payload = slices.Clone(e.Payload)
		e.Payload[len(e.Payload)-1] ^= 1
		es[i] = &e
		return es
	}
	twin := x.Fork()
	twin.NextManifest(nil)
	twin2 := x.Fork()
	twin2.NextManifest(func(m *protocol.Manifest) { m.Expires-- })
	noFloor := x.Fork()
	noFloor.NextRoot(func(r *protocol.Root) { r.Floor = nil })
	forkA, forkB := x.Fork(), x.Fork()
	forkA.NextRoot(nil)
	forkB.NextRoot(func(r *protocol.Root) { r.Reason = "b" })
	namesake := trusttest.NewTeam(t, "cert-x", "DE", now)
	gap := x.Fork()
	gap.NextRoot(nil)
	gap.NextRoot(nil)

	for _, c := range []struct {
		name string
		es   []*protocol.Envelope
		id   protocol.TeamID
		at   time.Time
		want string
		kind error // nil: any
	}{
		{"empty", nil, x.ID, now, "lacks the first root record", nil},
		{"no root", leaveOut(whole, protocol.TypeRoot), x.ID, now, "send the introduction again", ErrMissing},
		{"no manifest", leaveOut(whole, protocol.TypeManifest), x.ID, now, "lacks the manifest", nil},
		{"no card", leaveOut(whole, protocol.TypeCard), x.ID, now, "lacks the card", nil},
		{"a gap in the root log", slices.DeleteFunc(gap.Records(), func(e *protocol.Envelope) bool { return e == gap.RootLog()[1] }), x.ID, now, "again", ErrMissing},
		{"of another team", whole, other.ID, now, "is of team", nil},
		{"with a record of another team", append(slices.Clone(whole), other.CardEnv), x.ID, now, "is of team", nil},
		{"a forged root", flipped(0), x.ID, now, "send the introduction again", protocol.ErrSignature},
		{"a forged manifest", flipped(1), x.ID, now, "send the introduction again", protocol.ErrSignature},
		{"a forged card", flipped(2), x.ID, now, "send the introduction again", protocol.ErrSignature},
		{"a changed root", changed(0), x.ID, now, "send the introduction again", nil},
		{"a changed manifest", changed(1), x.ID, now, "send the introduction again", nil},
		{"a changed card", changed(2), x.ID, now, "send the introduction again", nil},
		{"a record of another kind", append(slices.Clone(whole), &protocol.Envelope{Type: protocol.TypeParcel}), x.ID, now, "cannot be read", protocol.ErrMalformed},
		{"two manifests of one version", append(slices.Clone(twin.Records()), twin2.ManifestEnv), x.ID, now, "contradicts itself", ErrConflict},
		{"a forked root log", append(slices.Clone(forkA.Records()), forkB.RootEnv), x.ID, now, "contradicts itself", ErrConflict},
		{"an outdated manifest", noFloor.Records(), x.ID, now, "newest introduction", nil},
		{"an expired manifest", whole, x.ID, now.Add(91 * 24 * time.Hour), "expired on 2027-01-03", nil},
		{"a namesake of a known team", namesake.Records(), namesake.ID, now, "another team is known by the name", ErrConflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := community(t, "self")
			if c.kind == ErrConflict && c.id == namesake.ID {
				act(b, ActAdded, x)
				mustAdd(t, b, whole...)
			}
			before := len(b.teams)
			got, err := b.CheckIntroduction(c.es, c.id, c.at)
			if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Fatalf("got %v", err)
			}
			if c.kind != nil && !errors.Is(err, c.kind) {
				t.Fatalf("the error is no %v: %v", c.kind, err)
			}
			if len(b.teams) != before {
				t.Error("something was changed")
			}
		})
	}
}

func TestIntroduction(t *testing.T) {
	b, ts := community(t, "self", "a")
	x := trusttest.NewTeam(t, "CERT-X", "DE", now)
	x.NextRoot(nil)
	stranger := trusttest.NewTeam(t, "stranger", "DE", now)
	es := append(x.Records(), x.Address("/dns/x.example/tcp/4001"), ts[1].Attest(x.ID), stranger.Attest(x.ID))
	slices.Reverse(es)

	got, err := b.CheckIntroduction(es, x.ID, now)
	if err != nil || got.Name != "CERT-X" || got.Country != "DE" || got.ID != x.ID || got.State != Unknown || got.Root.N != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, ok := b.Team(x.ID, now); ok {
		t.Fatal("the check changed the book")
	}
	if _, ok := b.Node(x.Node.Public().ID()); ok {
		t.Fatal("the check changed the index of nodes")
	}
	act(b, ActAdded, x)
	for i, r := range b.AddAll(es, now) {
		if missing := errors.Is(r.Err, ErrMissing) && es[i].Type == protocol.TypeAttest; r.Err != nil && !missing {
			t.Fatal(r.Err)
		}
	}
	wantState(t, b, x.ID, now, Introduced)

	// The same again, an older and a newer one are all right, and still change nothing.
	before := b.Digest(x.ID)
	old := x.Records()
	mustAdd(t, b, x.NextManifest(nil), x.NextCard(nil))
	after := b.Digest(x.ID)
	x.NextRoot(nil)
	x.NextManifest(nil)
	for _, es := range [][]*protocol.Envelope{es, old, x.Records()} {
		if got, err := b.CheckIntroduction(es, x.ID, now); err != nil || got.State != Introduced {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if b.Digest(x.ID) != after || before == after {
		t.Error("the check changed the book")
	}

	// My own, and one that I blocked.
	for id, want := range map[protocol.TeamID]string{ts[0].ID: "own team", x.ID: "unblock it first"} {
		act(b, ActBlocked, x)
		if _, err := b.CheckIntroduction(old, id, now); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
}

// An unknown team that took a name does not keep its owner out, and a blocked one makes room for its successor.
func TestNamesakes(t *testing.T) {
	b, _ := community(t, "self")
	squatter := trusttest.NewTeam(t, "CERT-X", "DE", now)
	mustAdd(t, b, squatter.Records()...)
	owner := trusttest.NewTeam(t, "cert-X", "DE", now)
	if _, err := b.CheckIntroduction(owner.Records(), owner.ID, now); err != nil {
		t.Error(err)
	}
	act(b, ActVerified, squatter)
	if _, err := b.CheckIntroduction(owner.Records(), owner.ID, now); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
	act(b, ActBlocked, squatter)
	if _, err := b.CheckIntroduction(owner.Records(), owner.ID, now); err != nil {
		t.Error(err)
	}
}

// A full book makes room for a team that a person adds.
func TestIntroductionIntoAFullBook(t *testing.T) {
	b := NewBook(id(0))
	for i := 1; i < MaxTeams; i++ {
		b.Act(OwnAct{Team: id(i), Kind: ActAdded, At: now})
	}
	x := trusttest.NewTeam(t, "x", "DE", now)
	if _, err := b.CheckIntroduction(x.Records(), x.ID, now); err != nil {
		t.Error(err)
	}
}
