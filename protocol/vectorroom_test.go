package protocol

import (
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol/tlp"
)

// roomVectors are about rooms: charters, votes, cards, epochs, and what is said in a room.
func roomVectors() []vector {
	var vs refused
	charterVectors(&vs)
	voteVectors(&vs)
	memberVectors(&vs)
	epochVectors(&vs)

	in := func(name, rules, comment string, f func(*Statement)) {
		vs.add("room-"+name, rules, comment, edit(exampleInRoom(), f))
	}
	in("no-room", "P-136", "a room without its id", func(s *Statement) { s.Audience.Room = Hash{} })
	in("no-charter", "P-136", "a room without its charter", func(s *Statement) { s.Audience.Charter = Hash{} })
	in("no-epoch", "P-136", "a room without an epoch", func(s *Statement) { s.Audience.Epoch = Hash{} })
	in("teams", "P-102", "a room, and a team", func(s *Statement) { s.Audience.Teams = []TeamID{de} })
	in("agreement", "P-102", "a room, and an agreement", func(s *Statement) { s.Audience.Agreement = agreementID })
	in("persons", "P-103", "a room, and a person", func(s *Statement) { s.Audience.Persons = []Person{person(de, "Max")} })
	in("red", "P-106", "RED for a room", func(s *Statement) { s.Label = tlp.Red })
	in("direct", "P-136", "named teams, and a room", func(s *Statement) { s.Audience.Kind, s.Audience.Teams = Direct, []TeamID{de} })
	in("community", "P-136", "the community, and an epoch", func(s *Statement) {
		s.Audience = Audience{Kind: Community, Epoch: epochID}
		s.Label = tlp.Green
	})
	receipts, records := exampleReceipts(), exampleControl(KindRecords)
	receipts.Audience, records.Audience = within(roomID), within(roomID)
	records.Records = exampleRecords().Records
	vs.add("room-receipts", "P-113", "receipts for a room", receipts)
	vs.add("room-records", "P-113", "records for a room", records)
	for _, r := range []Record{exampleCharter(), exampleHold(), exampleEpoch(), exampleGrant()} {
		st := exampleControl(KindRecords)
		st.Records = [][]byte{envelopeOf(r.recordType(), must(Marshal(r)), officerKey).Encode()}
		what := strings.TrimPrefix(string(r.recordType()), "entente/v1/")
		vs.add("room-carried-"+what, "P-119", "a record of a room in a statement for a team: of type "+what, st)
	}

	out := []vector(vs)
	add := func(expect, name, rules, comment string, c Channel, inner, data []byte) {
		out = append(out, vector{name: "room-" + name, expect: expect, form: "statement in sealed parcel", rules: rules,
			keys: []PublicKey{nodeKey.Public()}, comment: comment, channel: c, inner: inner, data: data})
	}
	signed := func(p *Parcel) []byte { return envelopeOf(TypeParcel, must(Marshal(p)), nodeKey).Encode() }
	sealed := func(expect, name, rules, comment string, st *Statement, of, c Channel) {
		add(expect, name, rules, comment, c, innerOf(st), signed(sealedParcel(st, of, 1)))
	}
	room, other := RoomChannel(roomID), RoomChannel(Sum("another room"))
	sealed(valid, "open", "P-80", "a statement in its room", exampleInRoom(), room, room)
	sealed(malformed, "other-room", "P-80", "a statement for one room in the feed of another", exampleInRoom(), other, other)
	sealed(malformed, "other-feed", "P-80", "a feed of another room", exampleInRoom(), other, room)
	sealed(malformed, "in-pair", "P-80", "a statement for a room in the feed of two teams", exampleInRoom(), Between(at, de, Hash{}), Between(at, de, Hash{}))
	sealed(malformed, "pair-inside", "P-80", "a statement for a team in the feed of a room", exampleAmber(), room, room)

	// To which epoch the body is sealed is said outside and inside.
	parcel := func(name, rules, comment string, st *Statement, c Channel, f func(*Parcel)) {
		add(malformed, name, rules, comment, c, innerOf(st), signed(edit(sealedParcel(st, c, 1), f)))
	}
	parcel("other-epoch", "P-162", "a statement for one epoch in a parcel that is sealed to another", exampleInRoom(), room, func(p *Parcel) { p.Epoch = Sum("another epoch") })
	parcel("parcel-no-epoch", "P-162", "a parcel of a room that does not name its epoch", exampleInRoom(), room, func(p *Parcel) { p.Epoch = Hash{} })
	parcel("epoch-in-pair", "P-162", "an epoch on a parcel between two teams", exampleAmber(), Between(at, de, Hash{}), func(p *Parcel) { p.Epoch = epochID })
	parcel("epoch-not-sealed", "P-161", "an epoch, to which nothing is sealed", exampleInRoom(), room, func(p *Parcel) { p.Sealed, p.Body = false, innerOf(exampleInRoom()) })
	parcel("plain", "P-120", "a parcel of a room that is not sealed, and names no epoch", exampleInRoom(), room, func(p *Parcel) {
		p.Sealed, p.Body, p.Epoch = false, innerOf(exampleInRoom()), Hash{}
	})
	community := exampleParcel(exampleStatement(), 1)
	community.Epoch = epochID
	out = append(out, vector{name: "room-epoch-in-community", expect: malformed, form: "statement in parcel", rules: "P-161", keys: []PublicKey{nodeKey.Public()},
		comment: "an epoch on a parcel for the community", data: signed(community)})
	zero := refEncode(with(tree(exampleParcel(exampleStatement(), 1)), 10, make([]byte, 32)))
	out = append(out, vector{name: "room-epoch-zero", expect: malformed, form: "envelope", rules: "P-13", comment: "no epoch, spelled out",
		data: envelopeOf(TypeParcel, zero, nodeKey).Encode()})
	one := sealedParcel(exampleInRoom(), room, 1)
	sigs := envelopeOf(TypeParcel, must(Marshal(one)), nodeKey).Sigs
	changed := must(Marshal(edit(one, func(p *Parcel) { p.Epoch = Sum("another epoch") })))
	add(unsigned, "epoch-changed", "P-30", "another epoch under the signature", room, innerOf(exampleInRoom()),
		(&Envelope{Type: TypeParcel, Payload: changed, Sigs: sigs}).Encode())
	return out
}

func charterVectors(vs *refused) {
	on := func(c *Charter) func(name, rules, comment string, f func(*Charter)) {
		return func(name, rules, comment string, f func(*Charter)) {
			vs.add("charter-"+name, rules, comment, edit(c, func(c *Charter) {
				c.Members, c.Stewards, c.Voids = slices.Clone(c.Members), slices.Clone(c.Stewards), slices.Clone(c.Voids)
				f(c)
			}))
		}
	}
	first, later := on(exampleCharter()), on(exampleCharter2())
	first("first-with-room", "P-137", "a first charter of a room", func(c *Charter) { c.Room = roomID })
	first("first-with-prev", "P-137", "a first charter with a predecessor", func(c *Charter) { c.Prev = roomID })
	first("version-0", "P-137", "version 0", func(c *Charter) { c.Version = 0 })
	later("no-room", "P-137", "a later charter of no room", func(c *Charter) { c.Room = Hash{} })
	later("no-prev", "P-137", "a later charter without a predecessor", func(c *Charter) { c.Prev = Hash{} })
	later("version-large", "P-19 P-137", "a version over 2^53 - 1", func(c *Charter) { c.Version = MaxCounter + 1 })
	first("closed", "P-138", "a room that ends when it begins", func(c *Charter) { c.Closed = true })
	first("voids", "P-138", "a first charter that voids cards", func(c *Charter) { c.Voids = []Hash{Sum("x")} })
	later("replaces", "P-138", "a later charter that replaces a room", func(c *Charter) { c.Replaces = Sum("x") })
	first("name", "P-15 P-139", "a name of two lines", func(c *Charter) { c.Name = "a\nb" })
	first("purpose", "P-16", "a purpose with an escape character", func(c *Charter) { c.Purpose = "\x1b" })
	first("text-4001", "P-16", "a text of 4,001 bytes", func(c *Charter) { c.Text = strings.Repeat("x", MaxText+1) })
	first("ceiling-0", "P-139", "no ceiling", func(c *Charter) { c.Ceiling = tlp.Unset })
	first("ceiling-red", "P-139", "RED as the ceiling", func(c *Charter) { c.Ceiling = tlp.Red })
	first("attribution-0", "P-139", "no word on attribution", func(c *Charter) { c.Attribution = 0 })
	first("attribution-4", "P-139", "an unknown word on attribution", func(c *Charter) { c.Attribution = 4 })
	first("onward-4", "P-139", "unknown onward sharing", func(c *Charter) { c.Onward = 4 })
	first("history-0", "P-139", "no word on history", func(c *Charter) { c.History = 0 })
	first("history-4", "P-139", "an unknown word on history", func(c *Charter) { c.History = 4 })
	first("history-no-date", "P-139", "history from a date, without one", func(c *Charter) { c.History = HistoryDate })
	first("history-date", "P-139", "all of history, and a date", func(c *Charter) { c.History, c.HistoryFrom = HistoryAll, testTime })
	first("policy", "P-124", "a value that the policy does not have", func(c *Charter) { c.Policy.Encrypt = "never" })
	first("sponsors-9", "P-140", "9 sponsors", func(c *Charter) { c.Sponsors = MaxSponsors + 1 })
	first("objection-366", "P-140", "366 days for objections", func(c *Charter) { c.ObjectionDays = MaxObjectionDays + 1 })
	first("hold-0", "P-140", "holds of no time", func(c *Charter) { c.HoldDays = 0 })
	first("hold-31", "P-140", "holds of 31 days", func(c *Charter) { c.HoldDays = MaxHoldDays + 1 })
	first("card-0", "P-140", "memberships of no time", func(c *Charter) { c.CardDays = 0 })
	first("card-367", "P-140", "memberships of 367 days", func(c *Charter) { c.CardDays = MaxCardDays + 1 })
	first("epoch-0", "P-140", "epochs of no time", func(c *Charter) { c.EpochDays = 0 })
	first("epoch-31", "P-140", "epochs of 31 days", func(c *Charter) { c.EpochDays = MaxEpochDays + 1 })
	first("fresh-0", "P-140", "no time to have heard of others", func(c *Charter) { c.FreshHours = 0 })
	first("fresh-721", "P-140", "721 hours to have heard of others", func(c *Charter) { c.FreshHours = MaxFreshHours + 1 })
	first("keep-long", "P-140", "3,661 days of retention", func(c *Charter) { c.Keep = MaxKeep + 1 })
	first("one-steward", "P-141", "one steward", func(c *Charter) { c.Stewards = c.Stewards[:1] })
	first("stewards-17", "P-141", "17 stewards", func(c *Charter) {
		c.Members, c.Stewards = nil, nil
		var teams []TeamID
		for i := range byte(MaxStewards + 1) {
			teams = append(teams, Sum("member", []byte{i}))
		}
		c.Stewards = sortedIDs(teams...)
		for _, t := range c.Stewards {
			c.Members = append(c.Members, exampleSeat(t))
		}
	})
	first("stewards-unsorted", "P-141", "stewards in the wrong order", func(c *Charter) { slices.Reverse(c.Stewards) })
	first("steward-twice", "P-141", "a steward twice", func(c *Charter) { c.Stewards[1] = c.Stewards[0] })
	first("steward-stranger", "P-141", "a steward who is no member", func(c *Charter) { c.Stewards = sortedIDs(at, Sum("nobody")) })
	first("steward-suspended", "P-141", "a steward who is suspended", func(c *Charter) {
		for i := range c.Members {
			c.Members[i].Status = MemberSuspended
		}
	})
	first("members-513", "P-142", "513 members", func(c *Charter) {
		for i := range MaxMembers - len(c.Members) + 1 {
			c.Members = append(c.Members, exampleSeat(Sum("member", []byte{byte(i), byte(i >> 8)})))
		}
		slices.SortFunc(c.Members, func(a, b Seat) int { return strings.Compare(string(a.Team[:]), string(b.Team[:])) })
	})
	first("members-unsorted", "P-142", "members in the wrong order", func(c *Charter) { slices.Reverse(c.Members) })
	first("member-twice", "P-142", "a member twice", func(c *Charter) { c.Members = slices.Insert(c.Members, 1, c.Members[0]) })
	first("member-status-0", "P-143", "a member without a status", func(c *Charter) { c.Members[0].Status = 0 })
	first("member-status-4", "P-143", "a member of an unknown status", func(c *Charter) { c.Members[0].Status = 4 })
	first("member-until-0", "P-143", "a member without a term", func(c *Charter) { c.Members[0].Until = 0 })
	first("member-long", "P-143", "a membership that is longer than the charter permits", func(c *Charter) { c.Members[0].Until++ })
	first("member-joined-0", "P-143", "a member that never joined", func(c *Charter) { c.Members[0].Joined = 0 })
	first("member-no-root", "P-100", "a member without a root record", func(c *Charter) { c.Members[0].Root = Hash{} })
	later("voids-unsorted", "P-144", "void cards in the wrong order", func(c *Charter) { slices.Reverse(c.Voids) })
	later("voids-65", "P-144", "65 void cards", func(c *Charter) {
		for i := range byte(MaxVoids - 1) {
			c.Voids = append(c.Voids, Sum("void", []byte{i}))
		}
		sortedIDs(c.Voids...)
	})
	first("issued-0", "P-145", "never issued", func(c *Charter) { c.Issued = 0 })
	first("issued-late", "P-18", "issued after the year 9999", func(c *Charter) { c.Issued = MaxTime + 1 })
}

func voteVectors(vs *refused) {
	approve := func(name, rules, comment string, f func(*Approve)) {
		vs.add("approve-"+name, rules, comment, edit(exampleApprove(), func(a *Approve) {
			a.Pol = edit(a.Pol, func(p *Pol) { p.Approves = slices.Clone(p.Approves) })
			f(a)
		}))
	}
	approve("version-1", "P-146", "a vote on the first version", func(a *Approve) { a.Version = 1 })
	approve("version-large", "P-19 P-146", "a version over 2^53 - 1", func(a *Approve) { a.Version = MaxCounter + 1 })
	approve("round-0", "P-146", "round 0", func(a *Approve) { a.Round, a.Pol = 0, nil })
	approve("round-1001", "P-146", "round 1001", func(a *Approve) { a.Round = MaxRound + 1 })
	approve("issued-0", "P-145", "never issued", func(a *Approve) { a.Issued = 0 })
	approve("pol-round", "P-147", "a lock that is lifted by approvals of the same round", func(a *Approve) { a.Pol.Round = a.Round })
	approve("pol-round-0", "P-147", "a lock that is lifted in round 0", func(a *Approve) { a.Pol.Round = 0 })
	approve("pol-none", "P-147", "a lock that nothing lifts", func(a *Approve) { a.Pol.Approves = nil })
	approve("pol-unsorted", "P-147", "approvals in the wrong order", func(a *Approve) { slices.Reverse(a.Pol.Approves) })
	adopt := func(name, rules, comment string, f func(*Adopt)) {
		vs.add("adopt-"+name, rules, comment, edit(exampleAdopt(), func(a *Adopt) {
			a.Approves = slices.Clone(a.Approves)
			f(a)
		}))
	}
	adopt("version-1", "P-146", "a vote on the first version", func(a *Adopt) { a.Version = 1 })
	adopt("round-0", "P-146", "round 0", func(a *Adopt) { a.Round = 0 })
	adopt("round-1001", "P-146", "round 1001", func(a *Adopt) { a.Round = MaxRound + 1 })
	adopt("none", "P-148", "no approvals", func(a *Adopt) { a.Approves = nil })
	adopt("unsorted", "P-148", "approvals in the wrong order", func(a *Adopt) { slices.Reverse(a.Approves) })
	adopt("17", "P-148", "17 approvals", func(a *Adopt) {
		for i := range byte(MaxStewards - 2) {
			a.Approves = append(a.Approves, Sum("approve", []byte{i}))
		}
		sortedIDs(a.Approves...)
	})
	adopt("voids-unsorted", "P-144", "void cards in the wrong order", func(a *Adopt) { a.Voids = []Hash{a.Voids[1], a.Voids[0]} })
	adopt("issued-late", "P-18", "issued after the year 9999", func(a *Adopt) { a.Issued = MaxTime + 1 })
}

func memberVectors(vs *refused) {
	on := func(c *MemberCard) func(name, rules, comment string, f func(*MemberCard)) {
		return func(name, rules, comment string, f func(*MemberCard)) {
			vs.add("member-card-"+name, rules, comment, edit(c, func(c *MemberCard) { c.Cuts = slices.Clone(c.Cuts); f(c) }))
		}
	}
	card, admission := on(exampleMemberCard()), on(exampleAdmission())
	card("n-0", "P-149", "number 0", func(c *MemberCard) { c.N = 0 })
	card("n-large", "P-19 P-149", "a number over 2^53 - 1", func(c *MemberCard) { c.N = MaxCounter + 1 })
	card("no-prev", "P-149", "a second card without the first", func(c *MemberCard) { c.Prev = Hash{} })
	admission("first-with-prev", "P-149", "a first card with another before it", func(c *MemberCard) { c.Prev = Sum("x") })
	card("status-0", "P-143", "no status", func(c *MemberCard) { c.Status = 0 })
	card("status-4", "P-143", "an unknown status", func(c *MemberCard) { c.Status = 4 })
	card("no-room", "P-100", "no room", func(c *MemberCard) { c.Room = Hash{} })
	card("over", "P-150", "a term that is over when it begins", func(c *MemberCard) { c.Until = c.Issued })
	card("issued-0", "P-145", "never issued", func(c *MemberCard) { c.Issued = 0 })
	card("opened", "P-151", "a suspension that was open to objections", func(c *MemberCard) { c.Opened = testTime })
	card("vouches", "P-151", "a suspension with a sponsor", func(c *MemberCard) { c.Vouches = []Hash{Sum("x")} })
	card("objections", "P-151", "a suspension against objections", func(c *MemberCard) { c.Objections = []Hash{Sum("x")} })
	admission("no-accept", "P-151", "an admission that was not accepted", func(c *MemberCard) { c.Accept = Hash{} })
	admission("no-opened", "P-151", "an admission that was never open to objections", func(c *MemberCard) { c.Opened = 0 })
	admission("removed", "P-151", "a removal that was accepted", func(c *MemberCard) { c.Status = MemberRemoved })
	admission("vouches-unsorted", "P-152", "sponsors in the wrong order", func(c *MemberCard) { c.Vouches = []Hash{c.Vouches[1], c.Vouches[0]} })
	admission("vouches-9", "P-152", "9 vouches", func(c *MemberCard) {
		c.Vouches = nil
		for i := range byte(MaxSponsors + 1) {
			c.Vouches = append(c.Vouches, Sum("vouch", []byte{i}))
		}
		sortedIDs(c.Vouches...)
	})
	admission("objections-65", "P-152", "65 objections", func(c *MemberCard) {
		c.Objections = nil
		for i := range byte(MaxObjections + 1) {
			c.Objections = append(c.Objections, Sum("objection", []byte{i}))
		}
		sortedIDs(c.Objections...)
	})
	admission("cuts", "P-153", "a member that is cut off", func(c *MemberCard) { c.Cuts = exampleMemberCard().Cuts })
	card("cuts-33", "P-153", "33 cuts", func(c *MemberCard) {
		c.Cuts = nil
		for i := range byte(MaxNodes + 1) {
			c.Cuts = append(c.Cuts, Head{Feed: Hash{i + 1}, First: 1, Seq: 1, Hash: Sum("x")})
		}
	})
	card("cuts-unsorted", "P-153", "cuts in the wrong order", func(c *MemberCard) {
		c.Cuts = append(c.Cuts, Head{Feed: Hash{31: 1}, First: 1, Seq: 1, Hash: Sum("x")})
	})
	card("cut-empty", "P-153", "a cut after nothing", func(c *MemberCard) { c.Cuts[0].Seq = 0 })
	card("reason", "P-16", "a reason with an escape character", func(c *MemberCard) { c.Reason = "\x1b" })

	hold := func(name, rules, comment string, f func(*Hold)) {
		vs.add("hold-"+name, rules, comment, edit(exampleHold(), f))
	}
	hold("self", "P-154", "a steward that holds itself", func(h *Hold) { h.Subject = h.Team })
	hold("long", "P-154", "a hold of 30 days and a second", func(h *Hold) { h.Until = h.Issued + MaxHoldDays*86400 + 1 })
	hold("none", "P-154", "a hold that is over when it begins", func(h *Hold) { h.Until = h.Issued })
	hold("no-charter", "P-100", "a hold under no charter", func(h *Hold) { h.Charter = Hash{} })
	vouch := func(name, rules, comment string, f func(*Vouch)) {
		vs.add("vouch-"+name, rules, comment, edit(exampleVouch(), f))
	}
	vouch("self", "P-155", "a team that vouches for itself", func(v *Vouch) { v.Applicant = v.Team })
	vouch("long", "P-155", "a word for 366 days and a second", func(v *Vouch) { v.Expires = v.Issued + 366*86400 + 1 })
	vouch("none", "P-155", "a word that is over when it begins", func(v *Vouch) { v.Expires = v.Issued })
	vouch("known-late", "P-18", "known since after the year 9999", func(v *Vouch) { v.KnownSince = MaxTime + 1 })
	objection := roomRecord[*Objection]("objection")
	vs.add("objection-self", "P-156", "a team that objects to itself", edit(objection, func(o *Objection) { o.Subject = o.Team }))
	vs.add("objection-issued-0", "P-145", "never issued", edit(objection, func(o *Objection) { o.Issued = 0 }))
	accept := roomRecord[*Accept]("accept")
	vs.add("accept-issued-0", "P-145", "never issued", edit(accept, func(a *Accept) { a.Issued = 0 }))
	vs.add("accept-no-charter", "P-100", "terms of no charter", edit(accept, func(a *Accept) { a.Charter = Hash{} }))
	leave := roomRecord[*Leave]("leave")
	vs.add("leave-issued-0", "P-145", "never issued", edit(leave, func(l *Leave) { l.Issued = 0 }))
	vs.add("leave-reason", "P-16", "a reason with an escape character", edit(leave, func(l *Leave) { l.Reason = "\x1b" }))
	vs.add("leave-cut-empty", "P-153", "a cut after nothing", edit(leave, func(l *Leave) { l.Cuts = []Head{{Feed: Sum("x"), Hash: Sum("y")}} }))
	refound := roomRecord[*Refound]("refound")
	vs.add("refound-self", "P-157", "a room that replaces itself", edit(refound, func(r *Refound) { r.New = r.Room }))
	vs.add("refound-issued-0", "P-145", "never issued", edit(refound, func(r *Refound) { r.Issued = 0 }))
}

// roomRecord returns the example of the name.
func roomRecord[T Record](name string) T {
	for _, x := range roomExamples() {
		if x.name == name {
			return x.record.(T)
		}
	}
	panic("no example " + name)
}

func epochVectors(vs *refused) {
	epoch := func(name, rules, comment string, f func(*Epoch)) {
		vs.add("epoch-"+name, rules, comment, edit(exampleEpoch(), func(e *Epoch) { e.Nodes = slices.Clone(e.Nodes); f(e) }))
	}
	epoch("nobody", "P-158", "an epoch for nobody", func(e *Epoch) { e.Nodes = nil })
	epoch("nodes-1025", "P-158", "1,025 nodes", func(e *Epoch) {
		for i := range MaxEpochNodes - 1 {
			e.Nodes = append(e.Nodes, fakeKey(i).ID())
		}
		sortedKIDs(e.Nodes...)
	})
	epoch("unsorted", "P-158", "nodes in the wrong order", func(e *Epoch) { slices.Reverse(e.Nodes) })
	epoch("twice", "P-158", "a node twice", func(e *Epoch) { e.Nodes = append(e.Nodes, e.Nodes[1]) })
	epoch("not-own", "P-158", "an epoch that its maker does not hold", func(e *Epoch) { e.Nodes = []KID{otherNode.Public().ID()} })
	epoch("long", "P-159", "an epoch of 30 days and a second", func(e *Epoch) { e.Until = e.Created + MaxEpochDays*86400 + 1 })
	epoch("none", "P-159", "an epoch that is over when it begins", func(e *Epoch) { e.Until = e.Created })
	epoch("recipient", "P-17", "a recipient with a space", func(e *Epoch) { e.Recipient = "age1 x" })
	epoch("no-cards", "P-100", "an epoch of no cards", func(e *Epoch) { e.Cards = Hash{} })
	grant := func(name, rules, comment string, f func(*Grant)) {
		vs.add("grant-"+name, rules, comment, edit(exampleGrant(), f))
	}
	grant("empty", "P-160", "a grant of nothing", func(g *Grant) { g.Key = []byte{} })
	grant("4097", "P-160", "a sealed key of 4,097 bytes", func(g *Grant) { g.Key = make([]byte, MaxGrantKey+1) })
	grant("nobody", "P-100", "a grant to nobody", func(g *Grant) { g.For = KID{} })
	grant("issued-0", "P-145", "never issued", func(g *Grant) { g.Issued = 0 })
}
