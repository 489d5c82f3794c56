package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// An AudienceView is whom a message is for, as a person of this team names it.
type AudienceView struct {
	Kind string // community, team, person, agreement, room
	ID   string // of the agreement, the room, or the one team; empty for the community, or several teams
	Name string // of the teams, persons, the agreement's partner or the room; never empty
}

// A PersonView is an operator of a team to whom RED content is sealed.
type PersonView struct {
	Team     protocol.TeamID
	TeamName string
	Name     string
	Self     bool // of this team
}

// A Reader is a team that will be able to read a message, by how many nodes, and for RED by which persons alone.
type Reader struct {
	ID        protocol.TeamID
	Name      string
	Nodes     int
	Connected int
	Persons   []string // of RED: who can open it; for others empty, which is: whoever uses the node
	Self      bool     // this team
}

// A target is an audience as a person wrote it, before the label is known.
type target struct {
	kind      protocol.AudienceKind
	teams     []trust.Team
	persons   []trust.NamedPerson // of person:…
	agreement trust.AgreementInfo
	room      trust.RoomInfo
}

// addressees is the target in the words of package trust.
func (t target) addressees() trust.Addressees {
	a := trust.Addressees{Kind: t.kind, Agreement: t.agreement.ID, Persons: t.persons}
	for _, team := range t.teams {
		a.Teams = append(a.Teams, team.ID)
	}
	return a
}

const audienceForms = "community, team:TEAM[,TEAM], person:TEAM/NAME[,TEAM/NAME], agreement:AGREEMENT, room:ROOM"

// target reads an audience. n.mu is held for reading.
func (n *Node) target(s string) (target, error) {
	kind, rest, _ := strings.Cut(s, ":")
	if kind != "community" && rest == "" {
		return target{}, fmt.Errorf("audience %.80q: want %s", s, audienceForms)
	}
	switch kind {
	case "community":
		if rest != "" {
			return target{}, fmt.Errorf("audience %.80q: the community has no name", s)
		}
		return target{kind: protocol.Community}, nil
	case "team":
		t := target{kind: protocol.Direct}
		for name := range strings.SplitSeq(rest, ",") {
			if err := n.addTeam(&t, name); err != nil {
				return t, err
			}
		}
		return t, nil
	case "person":
		t := target{kind: protocol.Direct}
		for who := range strings.SplitSeq(rest, ",") {
			team, name, ok := strings.Cut(who, "/")
			if !ok || name == "" {
				return t, fmt.Errorf("person %.80q: want TEAM/NAME", who)
			}
			if err := n.addTeam(&t, team); err != nil {
				return t, err
			}
			found, _ := n.book.Find(team, n.now())
			t.persons = append(t.persons, trust.NamedPerson{Team: found.ID, Name: strings.TrimSpace(name)})
		}
		return t, nil
	case "agreement":
		a, err := n.book.FindAgreement(rest, n.now())
		if err != nil {
			return target{}, err
		}
		partner, _ := n.book.Team(a.Partner, n.now())
		return target{kind: protocol.InAgreement, teams: []trust.Team{partner}, agreement: a}, nil
	}
	if kind == "room" {
		t := target{kind: protocol.InRoom}
		var err error
		n.withRooms(func(rs *trust.Rooms) { t.room, err = rs.Find(rest, n.now()) })
		return t, err
	}
	return target{}, fmt.Errorf("unknown audience %.80q: want %s", s, audienceForms)
}

// addTeam finds a team and adds it, once.
func (n *Node) addTeam(t *target, name string) error {
	team, err := n.book.Find(strings.TrimSpace(name), n.now())
	if err != nil {
		return err
	}
	if team.ID == n.team && t.kind == protocol.Direct {
		return errors.New("that is this team itself: what stays at home needs no message")
	}
	if !slices.ContainsFunc(t.teams, func(o trust.Team) bool { return o.ID == team.ID }) {
		t.teams = append(t.teams, team)
	}
	if len(t.teams) > protocol.MaxTeams {
		return fmt.Errorf("over %d teams in one message: send it to each group apart", protocol.MaxTeams)
	}
	return nil
}

// personKeys returns the recipients of the persons of an audience, in its order. n.mu is held for reading.
func (n *Node) personKeys(a protocol.Audience) ([]string, error) {
	var out []string
	for _, p := range a.Persons {
		i := slices.IndexFunc(n.book.Operators(p.Team), func(o protocol.Operator) bool {
			return o.Name == p.Name && protocol.RecipientHash(o.Recipient) == p.Key
		})
		if i < 0 {
			return nil, errors.New("a person of the audience has another key by now: send it again")
		}
		out = append(out, n.book.Operators(p.Team)[i].Recipient)
	}
	return out, nil
}

// audienceView names an audience for people of this team, who may be its author. n.mu is held for reading.
func (n *Node) audienceView(author protocol.TeamID, a protocol.Audience) AudienceView {
	v := AudienceView{Kind: a.Kind.String(), Name: "community"}
	if a.Kind == protocol.Community {
		return v
	}
	if a.Kind == protocol.InRoom {
		v.ID, v.Name = a.Room.String(), a.Room.Short()
		n.withRooms(func(rs *trust.Rooms) {
			if i, ok := rs.Room(a.Room, n.now()); ok && i.Name != "" {
				v.Name = i.Name
			}
		})
		return v
	}
	name := func(id protocol.TeamID) string {
		t, ok := n.book.Team(id, n.now())
		if !ok {
			return id.Short()
		}
		return t.Name
	}
	var names []string
	switch {
	case len(a.Persons) > 0:
		for _, p := range a.Persons {
			names = append(names, name(p.Team)+"/"+p.Name)
		}
		if a.Kind == protocol.Direct {
			v.Kind = "person"
		}
	case a.Kind == protocol.InAgreement && author != n.team:
		names = append(names, name(author))
	default:
		for _, t := range a.Teams {
			names = append(names, name(t))
		}
	}
	if a.Kind == protocol.InAgreement {
		v.ID = a.Agreement.String()
	} else if len(a.Teams) == 1 {
		v.ID = a.Teams[0].String()
	}
	v.Name = strings.Join(names, ", ")
	return v
}

// persons names those to whom RED content is sealed. n.mu is held for reading.
func (n *Node) persons(a protocol.Audience) []PersonView {
	var out []PersonView
	for _, p := range a.Persons {
		t, _ := n.book.Team(p.Team, n.now())
		out = append(out, PersonView{Team: p.Team, TeamName: t.Name, Name: p.Name, Self: p.Team == n.team})
	}
	return out
}

// written returns an audience in the form that a Draft takes. Of a RED message's persons those of the author are left out: they
// are whom Draft.As names.
func written(author protocol.TeamID, a protocol.Audience) string {
	switch a.Kind {
	case protocol.Community:
		return "community"
	case protocol.InAgreement:
		return "agreement:" + a.Agreement.String()
	case protocol.InRoom:
		return "room:" + a.Room.String()
	}
	var names []string
	for _, p := range a.Persons {
		if p.Team != author {
			names = append(names, p.Team.String()+"/"+p.Name)
		}
	}
	if len(names) > 0 {
		return "person:" + strings.Join(names, ",")
	}
	for _, t := range a.Teams {
		names = append(names, t.String())
	}
	return "team:" + strings.Join(names, ",")
}
