package protocol

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol/tlp"
)

var roomID, charterID, epochID = Sum("a room"), Sum("a charter"), Sum("an epoch")

// within returns the audience of a room.
func within(room Hash) Audience {
	return Audience{Kind: InRoom, Room: room, Charter: charterID, Epoch: epochID}
}

func sortedIDs(ids ...Hash) []Hash {
	slices.SortFunc(ids, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

func exampleSeat(t TeamID) Seat {
	return Seat{Team: t, Root: Sum("root", t[:]), Status: MemberFull, Until: testTime + 365*86400, Joined: testTime}
}

func exampleCharter() *Charter {
	c := &Charter{Version: 1, Name: "Example circle", Stewards: sortedIDs(at, de, ch), Sponsors: 2, ObjectionDays: 21, HoldDays: 14, CardDays: 365,
		Ceiling: tlp.AmberStrict, Policy: DefaultIEP(), Attribution: AttributeRoom, Onward: OnwardNone, History: HistoryJoining, EpochDays: 30,
		FreshHours: 168, Issued: testTime, Salt: [16]byte{9}}
	for _, t := range sortedIDs(at, de, ch, fr) {
		c.Members = append(c.Members, exampleSeat(t))
	}
	return c
}

func exampleCharter2() *Charter {
	c := exampleCharter()
	c.Room, c.Version, c.Prev, c.Purpose, c.Text = roomID, 2, roomID, "Common incidents", "The members meet twice a year.\nThe host pays."
	c.Keep, c.History, c.HistoryFrom, c.Voids, c.Closed = 90, HistoryDate, testTime, sortedIDs(Sum("one"), Sum("two")), true
	return c
}

func exampleApprove() *Approve {
	return &Approve{Room: roomID, Charter: charterID, Version: 2, Round: 3, Team: at, Root: Sum("root of at"),
		Pol: &Pol{Round: 2, Approves: sortedIDs(Sum("one"), Sum("two"), Sum("three"))}, Issued: testTime}
}

func exampleAdopt() *Adopt {
	return &Adopt{Room: roomID, Charter: charterID, Version: 2, Round: 3, Team: at, Root: Sum("root of at"),
		Approves: sortedIDs(Sum("one"), Sum("two"), Sum("three")), Issued: testTime, Voids: sortedIDs(Sum("card 1"), Sum("card 2"))}
}

func exampleMemberCard() *MemberCard {
	return &MemberCard{Room: roomID, Charter: charterID, Subject: fr, Root: Sum("root of fr"), N: 2, Prev: Sum("card 1"), Status: MemberSuspended,
		Until: testTime + 86400, Joined: testTime - 86400, Reason: "its mail server is not its own", Issued: testTime,
		Cuts: []Head{{Feed: FeedOf(otherNode.Public().ID(), RoomChannel(roomID)), First: 1, Seq: 9, Hash: Sum("nine")}}}
}

// exampleAdmission is a card that admits.
func exampleAdmission() *MemberCard {
	return &MemberCard{Room: roomID, Charter: charterID, Subject: fr, Root: Sum("root of fr"), N: 1, Status: MemberFull, Until: testTime + 86400,
		Joined: testTime - 1, Vouches: sortedIDs(Sum("one"), Sum("two")), Accept: Sum("accept"), Opened: testTime - 21*86400,
		Objections: []Hash{Sum("objection")}, Issued: testTime}
}

func exampleHold() *Hold {
	return &Hold{Room: roomID, Charter: charterID, Subject: fr, Team: at, Root: Sum("root of at"), Until: testTime + 14*86400, Reason: "until we know", Issued: testTime}
}

func exampleVouch() *Vouch {
	return &Vouch{Room: roomID, Applicant: fr, Team: at, Root: Sum("root of at"), Text: "We visited them.", KnownSince: testTime - 86400, Issued: testTime,
		Expires: testTime + 90*86400, Charter: charterID}
}

func exampleEpoch() *Epoch {
	return &Epoch{Room: roomID, Charter: charterID, Cards: Sum("cards"), Holds: Sum("holds"), Team: at, Node: nodeKey.Public().ID(),
		Recipient: "age1pq1example", Nodes: sortedKIDs(nodeKey.Public().ID(), otherNode.Public().ID()), Created: testTime, Until: testTime + 30*86400}
}

func sortedKIDs(ids ...KID) []KID {
	slices.SortFunc(ids, func(a, b KID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

func exampleGrant() *Grant {
	return &Grant{Room: roomID, Epoch: epochID, Team: at, Node: nodeKey.Public().ID(), For: otherNode.Public().ID(), Key: []byte("sealed"), Issued: testTime}
}

func exampleInRoom() *Statement {
	st := exampleAmber()
	st.Audience = within(roomID)
	return st
}

// exampleRoomHeads tells the members of a room of the node's feed in it.
func exampleRoomHeads() *Heads {
	node := nodeKey.Public().ID()
	return &Heads{Team: at, Node: node, N: testTime * 1000, Time: testTime, For: roomID,
		Feeds: []Head{{Feed: FeedOf(node, RoomChannel(roomID)), First: 1, Seq: 9, Hash: Sum("nine")}}}
}

// roomExamples are the records of rooms.
func roomExamples() []example {
	node, officer := []*PrivateKey{nodeKey}, []*PrivateKey{officerKey}
	anew := exampleCharter()
	anew.Replaces = roomID
	first := exampleApprove()
	first.Pol, first.Round = nil, 1
	return []example{
		{"charter", exampleCharter(), UseOfficer, []*PrivateKey{officerKey, testKey(Hybrid, 14)}},
		{"charter-later", exampleCharter2(), UseOfficer, officer},
		{"charter-anew", anew, UseOfficer, officer},
		{"approve", exampleApprove(), UseOfficer, officer},
		{"approve-first", first, UseOfficer, officer},
		{"adopt", exampleAdopt(), UseOfficer, officer},
		{"vouch", exampleVouch(), UseOfficer, officer},
		{"accept", &Accept{Room: roomID, Charter: charterID, Team: fr, Root: Sum("root of fr"), Issued: testTime}, UseOfficer, officer},
		{"objection", &Objection{Room: roomID, Subject: fr, Team: at, Root: Sum("root of at"), Reason: "they sell it", Issued: testTime}, UseOfficer, officer},
		{"objection-withdrawn", &Objection{Room: roomID, Subject: fr, Team: at, Root: Sum("root of at"), Withdrawn: true, Issued: testTime}, UseOfficer, officer},
		{"member-card", exampleMemberCard(), UseOfficer, []*PrivateKey{officerKey, testKey(Hybrid, 14), testKey(Hybrid, 15)}},
		{"member-card-admission", exampleAdmission(), UseOfficer, officer},
		{"hold", exampleHold(), UseOfficer, officer},
		{"leave", &Leave{Room: roomID, Team: fr, Root: Sum("root of fr"), Reason: "our task is done", Issued: testTime,
			Cuts: exampleMemberCard().Cuts}, UseOfficer, officer},
		{"refound", &Refound{Room: roomID, Charter: charterID, New: Sum("a new room"), Team: fr, Root: Sum("root of fr"), Issued: testTime}, UseOfficer, officer},
		{"epoch", exampleEpoch(), UseNode, node},
		{"grant", exampleGrant(), UseNode, node},
		{"statement-room", exampleInRoom(), UseNode, node},
		{"parcel-room", sealedParcel(exampleInRoom(), RoomChannel(roomID), 1), UseNode, node},
		{"heads-room", exampleRoomHeads(), UseNode, node},
	}
}

// largestRoom are the records of rooms near their limits.
func largestRoom() []example {
	var officers []*PrivateKey
	for i := range byte(MaxSigs) {
		officers = append(officers, testKey(Hybrid, 140+i))
	}
	c := exampleCharter2()
	c.Name, c.Purpose, c.Text, c.Stewards, c.Members = strings.Repeat("n", MaxName), strings.Repeat("p", MaxText), strings.Repeat("t", MaxText), nil, nil
	var teams []TeamID
	for i := range MaxMembers {
		teams = append(teams, Sum("member", fmt.Append(nil, i)))
	}
	for _, t := range sortedIDs(teams...) {
		s := exampleSeat(t)
		c.Members = append(c.Members, s)
	}
	c.Stewards = teams[:MaxStewards]
	c.Voids = nil
	for i := range MaxVoids {
		c.Voids = append(c.Voids, Sum("void", fmt.Append(nil, i)))
	}
	sortedIDs(c.Voids...)
	card := exampleAdmission()
	for i := range MaxObjections - 1 {
		card.Objections = append(card.Objections, Sum("objection", fmt.Append(nil, i)))
	}
	sortedIDs(card.Objections...)
	e := exampleEpoch()
	for i := range MaxEpochNodes - 2 {
		e.Nodes = append(e.Nodes, fakeKey(i).ID())
	}
	sortedKIDs(e.Nodes...)
	g := exampleGrant()
	g.Key = make([]byte, MaxGrantKey)
	return []example{
		{"charter", c, UseOfficer, officers},
		{"member-card", card, UseOfficer, officers},
		{"epoch", e, UseNode, []*PrivateKey{nodeKey}},
		{"grant", g, UseNode, []*PrivateKey{nodeKey}},
	}
}
