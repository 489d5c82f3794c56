package protocol

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
)

// The teams of the tests: the author, two that it writes to, and a stranger.
var at, de, ch, fr = Sum("at"), Sum("de"), Sum("ch"), Sum("fr")

var agreementID = Sum("an agreement")

// to returns the audience of named teams.
func to(teams ...TeamID) Audience {
	slices.SortFunc(teams, func(a, b TeamID) int { return bytes.Compare(a[:], b[:]) })
	return Audience{Kind: Direct, Teams: teams}
}

// under returns the audience of an agreement.
func under(team TeamID, id Hash) Audience {
	return Audience{Kind: InAgreement, Teams: []TeamID{team}, Agreement: id}
}

func person(t TeamID, name string) Person {
	return Person{Team: t, Name: name, Key: RecipientHash("age1pq1" + strings.ToLower(name))}
}

// blobOf returns a blob that can be the sealed body.
func blobOf(b Body) *BlobRef {
	return &BlobRef{Size: b.Size + 4096, Hash: Sum("test", b.Hash[:])}
}

// largeBody returns a sealed body that travels apart.
func largeBody() Body {
	return Body{Format: "misp", Name: "event.json", Size: MaxInline + 1, Hash: Sum("a large body"), Key: "AGE-SECRET-KEY-PQ-1EXAMPLE"}
}

// exampleAmber is for two teams.
func exampleAmber() *Statement {
	st := exampleStatement()
	st.Audience, st.Label = to(de, ch), tlp.Amber
	return st
}

// exampleLarge has a body that travels apart.
func exampleLarge() *Statement {
	st := exampleAmber()
	st.Audience, st.Label, st.Body = under(de, agreementID), tlp.AmberStrict, largeBody()
	st.Blob = blobOf(st.Body)
	return st
}

// exampleRed is for two persons of another team and one of the author's.
func exampleRed() *Statement {
	st := exampleStatement()
	st.Label, st.Title, st.Body = tlp.Red, "", Body{}
	st.Audience = to(de)
	st.Audience.Persons = []Person{person(at, "Eva"), person(de, "Max"), person(de, "Rosa")}
	slices.SortFunc(st.Audience.Persons, Person.Compare)
	st.Content = []byte("sealed to three persons, and to one whom nobody knows")
	return st
}

// exampleContent is what the persons read.
func exampleContent(st *Statement) *Content {
	body := []byte("The minister's own phone.")
	return &Content{Context: st.Context(), Title: "Not only the ministry", Body: Body{Format: "text", Size: uint64(len(body)), Hash: sha256.Sum256(body), Inline: body}}
}

// exampleControl is a statement for programs, without anything in it.
func exampleControl(k Kind) *Statement {
	st := exampleStatement()
	st.Kind, st.Audience, st.Label, st.Title, st.Body = k, to(de), ControlLabel, "", Body{}
	return st
}

func exampleReceipts() *Statement {
	st := exampleControl(KindReceipts)
	st.Receipts = []Receipt{
		{Statement: Sum("one"), State: Stored, Time: testTime},
		{Statement: Sum("two"), State: Opened, Time: testTime + 1, Person: "Eva Muster"},
		{Statement: Sum("three"), State: HeldBack, Time: testTime + 2, Rule: "ceiling"},
		{Parcel: Sum("four"), State: CannotOpen, Time: testTime + 3},
	}
	return st
}

func exampleRecords() *Statement {
	st := exampleControl(KindRecords)
	for _, r := range []Record{exampleAgreement(), exampleStatus()} {
		st.Records = append(st.Records, envelopeOf(r.recordType(), must(Marshal(r)), officerKey).Encode())
	}
	return st
}

func exampleAgreement() *Agreement {
	return &Agreement{A: at, B: de, RootA: Sum("root of at"), RootB: Sum("root of de"), Ceiling: tlp.Amber, Policy: DefaultIEP(), Onward: OnwardNone,
		Receipts: ReceiptsStored, From: testTime, Until: testTime + 365*86400, Issued: testTime, Salt: [16]byte{4, 5}}
}

func exampleStatus() *AgreementStatus {
	return &AgreementStatus{Agreement: agreementID, Party: at, Root: Sum("root of at"), Counter: 1, Status: PartySuspended, Reason: "staff is changing", Time: testTime}
}

func exampleRecipient() *NodeRecipient {
	return &NodeRecipient{Team: at, Node: nodeKey.Public().ID(), Seq: testTime * 1000, Recipient: "age1pq1example", Issued: testTime}
}

// sealedExamples are the records of restricted exchange.
func sealedExamples() []example {
	node, officer := []*PrivateKey{nodeKey}, []*PrivateKey{officerKey}
	renewed := exampleAgreement()
	renewed.Prev, renewed.Title, renewed.Ceiling, renewed.Onward, renewed.Receipts = Sum("before"), "Neighbours", tlp.Red, OnwardLabel, ReceiptsOpened
	renewed.Purposes, renewed.Types = []string{"warning", "common incidents"}, []string{"incident-information", "updates"}
	renewed.Keep, renewed.Text = 90, "The parties meet once a year.\nThe host pays."
	large := exampleRed()
	large.Blob = blobOf(largeBody())
	heads := exampleHeads(de)
	return []example{
		{"agreement", exampleAgreement(), UseOfficer, officer},
		{"agreement-renewed", renewed, UseOfficer, []*PrivateKey{officerKey, testKey(Hybrid, 14)}},
		{"agreement-status", exampleStatus(), UseOfficer, officer},
		{"node-recipient", exampleRecipient(), UseNode, node},
		{"heads-for", heads, UseNode, node},
		{"statement-direct", exampleAmber(), UseNode, node},
		{"statement-agreement", exampleLarge(), UseNode, node},
		{"statement-red", exampleRed(), UseNode, node},
		{"statement-red-blob", large, UseNode, node},
		{"statement-receipts", exampleReceipts(), UseNode, node},
		{"statement-records", exampleRecords(), UseNode, node},
		{"parcel-sealed", sealedParcel(exampleAmber(), Between(at, de, Hash{}), 1), UseNode, node},
		{"parcel-sealed-blob", sealedParcel(exampleLarge(), Between(at, de, agreementID), 2), UseNode, node},
	}
}

// exampleHeads tells a team of the two feeds for it.
func exampleHeads(team TeamID) *Heads {
	node := nodeKey.Public().ID()
	h := &Heads{Team: at, Node: node, N: testTime * 1000, Time: testTime, For: team}
	for _, id := range []Hash{{}, agreementID} {
		h.Feeds = append(h.Feeds, Head{Feed: FeedOf(node, Between(at, team, id)), First: 1, Seq: 9, Hash: Sum("nine")})
	}
	slices.SortFunc(h.Feeds, func(a, b Head) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	return h
}

// innerOf returns what a parcel's body is opened to: the statement, signed with nodeKey.
func innerOf(st *Statement) []byte {
	return envelopeOf(TypeStatement, must(Marshal(st)), nodeKey).Encode()
}

// sealedParcel puts the statement into the entry seq of the channel's feed. What stands for the ciphertext depends on what is
// inside alone. For a room it names the statement's epoch.
func sealedParcel(st *Statement, c Channel, seq uint64) *Parcel {
	inner := sha256.Sum256(innerOf(st))
	p := &Parcel{Team: st.Author, Node: st.Node, Feed: FeedOf(st.Node, c), Seq: seq, Class: Normal, Blob: st.Outside(), Sealed: true,
		Epoch: st.Audience.Epoch, Body: append([]byte("age-encryption.org/v1\n"), inner[:]...)}
	if seq > 1 {
		p.Prev = Sum(fmt.Sprint(seq - 1))
	}
	if st.Urgent {
		p.Class = Urgent
	}
	return p
}

// maxStanza is how many bytes a recipient adds to an age file, at most: one with the key in hardware.
const maxStanza = 1618

// sealedSize is how many bytes an age file has at most, of so many bytes padded and so many recipients. What it has beside
// stanzas is a first line, a line with the MAC, a nonce, and a tag for each 64 KiB.
func sealedSize(plain, recipients int) int {
	padded := int(seal.PaddedSize(uint64(plain) + 1))
	return len("age-encryption.org/v1\n") + recipients*maxStanza + len("--- ") + 43 + 1 + 16 + padded + 16*(padded/(64<<10)+1)
}

// largestRed is RED with everything that a statement can have: a body inside, 64 persons of 21 teams, references, long names.
func largestRed() (*Statement, *Content) {
	inline := bytes.Repeat([]byte{'x'}, MaxInline)
	st := exampleRed()
	st.Kind, st.Supersedes, st.Urgent, st.Clock, st.Blob = KindCorrection, Sum("superseded"), true, maxClock, nil
	st.Audience = Audience{Kind: Direct}
	for i := range MaxTeams {
		st.Audience.Teams = append(st.Audience.Teams, Sum("team", []byte{byte(i)}))
	}
	slices.SortFunc(st.Audience.Teams, func(a, b TeamID) int { return bytes.Compare(a[:], b[:]) })
	for i := range MaxPersons {
		name := fmt.Sprintf("%0*d", MaxName, i)
		st.Audience.Persons = append(st.Audience.Persons, person(append(st.Audience.Teams, at)[i%(MaxTeams+1)], name))
	}
	slices.SortFunc(st.Audience.Persons, Person.Compare)
	for i := range MaxRefs {
		st.Refs = append(st.Refs, Sum("ref", []byte{byte(i)}))
		st.Sources = append(st.Sources, Sum("source", []byte{byte(i)}))
	}
	c := exampleContent(st)
	c.Title = strings.Repeat("t", MaxTitle)
	c.Body = Body{Format: strings.Repeat("f", MaxFormat), Name: strings.Repeat("n", MaxFile), Size: MaxInline, Hash: sha256.Sum256(inline), Inline: inline}
	st.Content = make([]byte, sealedSize(len(must(c.Encode())), MaxPersons))
	return st, c
}

// largestSealed are the records of restricted exchange near their limits.
func largestSealed() []example {
	node := []*PrivateKey{nodeKey}
	red, _ := largestRed()
	receipts := exampleControl(KindReceipts)
	for i := range MaxReceipts {
		receipts.Receipts = append(receipts.Receipts, Receipt{Statement: Sum("s", fmt.Append(nil, i)), State: Opened, Time: MaxTime, Person: strings.Repeat("n", MaxName)})
	}
	records := exampleControl(KindRecords)
	for range MaxCarried {
		records.Records = append(records.Records, exampleRecords().Records[1])
	}
	a := exampleAgreement()
	a.Prev, a.Title, a.Text, a.Types, a.Keep = Sum("before"), strings.Repeat("t", MaxName), strings.Repeat("x", MaxText), InformationTypes(), MaxKeep
	for range MaxPurposes {
		a.Purposes = append(a.Purposes, strings.Repeat("p", MaxName))
	}
	full := sealedParcel(red, Between(at, red.Audience.Teams[0], Hash{}), MaxCounter)
	full.Body = make([]byte, sealedSize(MaxStatement, MaxNodes))
	full.Blob = &BlobRef{Size: MaxBlob, Hash: Sum("b")}
	return []example{
		{"statement-red", red, UseNode, node},
		{"statement-receipts", receipts, UseNode, node},
		{"statement-records", records, UseNode, node},
		{"agreement", a, UseOfficer, []*PrivateKey{officerKey, rootKey}},
		{"parcel-sealed", full, UseNode, node},
	}
}
