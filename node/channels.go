package node

import (
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// channels returns the channels that a statement of this team goes through: one for each team that it is for.
func (n *Node) channels(st *protocol.Statement) []protocol.Channel {
	switch st.Audience.Kind {
	case protocol.Community:
		return []protocol.Channel{{}}
	case protocol.InRoom:
		return []protocol.Channel{protocol.RoomChannel(st.Audience.Room)}
	}
	var out []protocol.Channel
	for _, t := range st.Audience.Teams {
		out = append(out, protocol.Between(n.team, t, st.Audience.Agreement))
	}
	return out
}

// A feedOf says whose feed it is and what for.
type feedOf struct {
	team    protocol.TeamID
	node    protocol.KID
	channel protocol.Channel
}

// A channelTable is what is cached of feeds in which this node takes part: the community's of every known node, between this
// team and each other those without an agreement and of each agreement, and those of its rooms. Nobody else's are known here.
type channelTable struct {
	pairs map[protocol.TeamID][]protocol.Channel // by the other team
	rooms map[protocol.Hash]trust.Standings
	feeds map[protocol.FeedID]feedOf
	tags  map[protocol.Hash]protocol.Channel
}

// refreshChannels remakes the table. n.mu is held.
func (n *Node) refreshChannels() {
	c := channelTable{pairs: map[protocol.TeamID][]protocol.Channel{}, rooms: map[protocol.Hash]trust.Standings{}, feeds: map[protocol.FeedID]feedOf{},
		tags: map[protocol.Hash]protocol.Channel{protocol.Channel{}.Tag(): {}}}
	teams := n.book.Teams(n.now())
	for _, t := range teams {
		if t.ID != n.team {
			c.pairs[t.ID] = []protocol.Channel{protocol.Between(n.team, t.ID, protocol.Hash{})}
		}
	}
	for _, a := range n.book.Agreements(n.now()) {
		if a.SignedBySelf && !n.pastKeeping(a) { // under the others nobody may say anything
			c.pairs[a.Partner] = append(c.pairs[a.Partner], a.Agreement.Channel(a.ID))
		}
	}
	own := n.book.Nodes(n.team)
	for _, t := range teams {
		theirs := n.book.Nodes(t.ID)
		for _, ch := range append([]protocol.Channel{{}}, c.pairs[t.ID]...) {
			c.tags[ch.Tag()] = ch
			for _, info := range theirs {
				k := info.Node.Key.ID()
				c.feeds[protocol.FeedOf(k, ch)] = feedOf{t.ID, k, ch}
			}
			for _, info := range own {
				k := info.Node.Key.ID()
				c.feeds[protocol.FeedOf(k, ch)] = feedOf{n.team, k, ch}
			}
		}
	}
	n.withRooms(func(rs *trust.Rooms) {
		for _, id := range rs.IDs() {
			if s, ok := rs.Standings(id, n.now()); ok {
				c.rooms[id] = s
			}
		}
	})
	for id, s := range c.rooms {
		ch := protocol.RoomChannel(id)
		c.tags[ch.Tag()] = ch
		for t := range s.Teams {
			for _, info := range n.book.Nodes(t) {
				k := info.Node.Key.ID()
				c.feeds[protocol.FeedOf(k, ch)] = feedOf{t, k, ch}
			}
		}
	}
	n.channelsKnown = c
}

// feed returns what a feed is for, if this node takes part in it.
func (n *Node) feed(f protocol.FeedID) (feedOf, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	x, ok := n.channelsKnown.feeds[f]
	return x, ok
}

// ownFeeds returns the feeds in which this node speaks to a team, or in a room. n.mu is held for reading.
func (n *Node) ownFeeds(team protocol.TeamID) []protocol.FeedID {
	var out []protocol.FeedID
	if _, ok := n.channelsKnown.rooms[team]; ok {
		return []protocol.FeedID{protocol.FeedOf(n.kid, protocol.RoomChannel(team))}
	}
	for _, c := range n.channelsKnown.pairs[team] {
		out = append(out, protocol.FeedOf(n.kid, c))
	}
	return out
}

// mayHave says whether a team may now be given what is in a channel.
func (n *Node) mayHave(team protocol.TeamID, c protocol.Channel) bool {
	if testOnlyMayHave != nil && testOnlyMayHave(team, c) {
		return true
	}
	if !c.IsCommunity() && c.Room().IsZero() && (!c.Joins(n.team) || team != n.team && !c.Joins(team)) {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.mayPass(trust.Serve, team, c)
}

// mayPass asks the policy about everything in a channel at once: each entry was judged when it was composed, so that only the
// states of the team and of the agreement are left to ask for. n.mu is held for reading.
func (n *Node) mayPass(action trust.Action, team protocol.TeamID, c protocol.Channel) bool {
	if c.IsCommunity() {
		return trust.Decide(trust.Question{Action: action, Label: closest, Audience: protocol.Community, Peer: n.states[team], Self: team == n.team}).Allowed
	}
	if room := c.Room(); !room.IsZero() {
		s := n.channelsKnown.rooms[room]
		q := trust.Question{Action: action, Label: openest, Audience: protocol.InRoom, Peer: n.states[team], Room: s.State, Standing: s.Teams[team]}
		if s.Charter != nil {
			q.Ceiling = s.Charter.Ceiling
		}
		if action == trust.Receive && q.Standing >= trust.StandingHeld && q.Standing <= trust.StandingRemoved {
			q.Standing = trust.StandingMember // what it said is judged message by message
		}
		return trust.Decide(q).Allowed
	}
	aud := protocol.Audience{Kind: protocol.Direct, Teams: []protocol.TeamID{c.Other(n.team)}}
	if id := c.Agreement(); !id.IsZero() && action == trust.Serve {
		aud.Kind, aud.Agreement = protocol.InAgreement, id
	}
	return trust.Decide(n.book.Ask(action, openest, aud, team, n.now())).Allowed
}

// question asks trust about the statement and a team: its author, or one that would read it. n.mu is held for reading.
func (n *Node) question(action trust.Action, st *protocol.Statement, team protocol.TeamID) trust.Question {
	var q trust.Question
	n.withRooms(func(rs *trust.Rooms) { q = rs.Ask(action, st.Label, st.Audience, team, n.now()) })
	q.Control = !st.Kind.ForPeople()
	if testOnlyQuestion != nil {
		testOnlyQuestion(&q)
	}
	return q
}
