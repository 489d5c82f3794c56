package protocol

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol/tlp"
)

// refused collects vectors of records that are malformed.
type refused []vector

func (vs *refused) add(name, rules, comment string, r Record) {
	*vs = append(*vs, vector{name: name, expect: malformed, form: "envelope", rules: rules, comment: comment,
		data: envelopeOf(r.recordType(), must(Marshal(r)), nodeKey).Encode()})
}

// audienceVectors are about whom a statement is for, and what is sealed to them.
func audienceVectors() []vector {
	var vs refused
	on := func(st *Statement) func(name, rules, comment string, f func(*Statement)) {
		return func(name, rules, comment string, f func(*Statement)) {
			vs.add("audience-"+name, rules, comment, edit(st, func(s *Statement) {
				s.Audience.Teams, s.Audience.Persons = slices.Clone(s.Audience.Teams), slices.Clone(s.Audience.Persons)
				f(s)
			}))
		}
	}
	community, amber, large, red := on(exampleStatement()), on(exampleAmber()), on(exampleLarge()), on(exampleRed())
	community("community-teams", "P-102", "the community, and a team", func(s *Statement) { s.Audience.Teams = []TeamID{de} })
	community("community-agreement", "P-102", "the community, and an agreement", func(s *Statement) { s.Audience.Agreement = agreementID })
	community("community-persons", "P-103", "the community, and a person", func(s *Statement) { s.Audience.Persons = []Person{person(at, "Eva")} })
	amber("no-teams", "P-102", "named teams without a name", func(s *Statement) { s.Audience.Teams = nil })
	amber("agreement", "P-102", "named teams, and an agreement", func(s *Statement) { s.Audience.Agreement = agreementID })
	large("no-agreement", "P-102", "an agreement without its id", func(s *Statement) { s.Audience.Agreement = Hash{} })
	large("agreement-teams", "P-102", "an agreement with two other parties", func(s *Statement) { s.Audience.Teams = to(de, ch).Teams })
	large("agreement-alone", "P-102", "an agreement without the other party", func(s *Statement) { s.Audience.Teams = nil })
	amber("teams-21", "P-102", "21 teams", func(s *Statement) {
		var teams []TeamID
		for i := range MaxTeams + 1 {
			teams = append(teams, Sum("team", []byte{byte(i)}))
		}
		s.Audience = to(teams...)
	})
	amber("teams-unsorted", "P-104", "teams in the wrong order", func(s *Statement) { slices.Reverse(s.Audience.Teams) })
	amber("team-twice", "P-104", "a team twice", func(s *Statement) { s.Audience = to(de, de) })
	amber("team-zero", "P-104", "a team that is none", func(s *Statement) { s.Audience = to(de, Hash{}) })
	amber("author", "P-104", "the author's own team", func(s *Statement) { s.Audience = to(at, de) })

	red("persons-unsorted", "P-105", "persons in the wrong order", func(s *Statement) { slices.Reverse(s.Audience.Persons) })
	red("person-twice", "P-105", "a person with two keys", func(s *Statement) {
		second := *edit(&s.Audience.Persons[2], func(p *Person) { p.Key = Sum("key") })
		s.Audience.Persons = append(s.Audience.Persons, second)
	})
	red("persons-65", "P-105", "65 persons", func(s *Statement) {
		s.Audience.Persons = nil
		for i := range byte(MaxPersons + 1) {
			s.Audience.Persons = append(s.Audience.Persons, person(de, "person "+string([]byte{'a' + i/26, 'a' + i%26})))
		}
	})
	first := func(f func(*Person)) func(*Statement) {
		return func(s *Statement) { f(&s.Audience.Persons[0]) }
	}
	red("person-no-name", "P-105", "a person without a name", first(func(p *Person) { p.Name = "" }))
	red("person-name", "P-15 P-105", "a person whose name has a line feed", first(func(p *Person) { p.Name = "a\nb" }))
	red("person-no-key", "P-105", "a person without a key", first(func(p *Person) { p.Key = Hash{} }))
	red("person-no-team", "P-105", "a person without a team", first(func(p *Person) { p.Team = Hash{} }))

	red("red-no-persons", "P-106", "RED for nobody", func(s *Statement) { s.Audience.Persons = nil })
	red("persons-not-red", "P-106", "AMBER+STRICT for persons", func(s *Statement) {
		s.Label, s.Content, s.Title, s.Body = tlp.AmberStrict, nil, exampleStatement().Title, exampleStatement().Body
	})
	amber("amber-persons", "P-106", "AMBER for teams, and persons of theirs", func(s *Statement) {
		s.Audience.Persons = exampleRed().Audience.Persons
	})
	community("community-red", "P-106", "RED for the community", func(s *Statement) { s.Label = tlp.Red })
	community("community-red-sealed", "P-106", "RED for the community, sealed to nobody", func(s *Statement) {
		s.Label, s.Title, s.Body, s.Content = tlp.Red, "", Body{}, []byte("sealed")
	})
	community("community-red-persons", "P-103", "RED for the community, sealed to a person of the author's", func(s *Statement) {
		s.Label, s.Title, s.Body, s.Content = tlp.Red, "", Body{}, []byte("sealed")
		s.Audience.Persons = []Person{person(at, "Eva")}
	})
	red("person-other-team", "P-107", "a person of a team that the statement is not for", func(s *Statement) {
		s.Audience.Persons = append(s.Audience.Persons, person(fr, "Max"))
		slices.SortFunc(s.Audience.Persons, Person.Compare)
	})
	red("team-no-person", "P-135", "RED for a team of which it names no person", func(s *Statement) { s.Audience.Teams = to(de, ch).Teams })
	red("own-persons", "P-135", "RED that only the author's own can read", func(s *Statement) { s.Audience.Persons = []Person{person(at, "Eva")} })

	community("community-key", "P-108", "a key in a body for the community", func(s *Statement) { s.Body = largeBody() })
	amber("inline-key", "P-108", "a key in a body that is inside", func(s *Statement) { s.Body.Key = "AGE-SECRET-KEY-PQ-1EXAMPLE" })
	large("no-key", "P-108", "a sealed body without its key", func(s *Statement) { s.Body.Key = "" })
	large("key-101", "P-17 P-108", "a key of 101 bytes", func(s *Statement) { s.Body.Key = strings.Repeat("A", MaxBodyKey+1) })
	large("key-space", "P-17 P-108", "a key with a space", func(s *Statement) { s.Body.Key = "AGE SECRET" })
	large("large-inline", "P-71", "a sealed body with bytes inside", func(s *Statement) { s.Body.Inline = []byte("x") })
	large("no-blob", "P-109", "a sealed body without its blob", func(s *Statement) { s.Blob = nil })
	large("blob-short", "P-109", "a blob no longer than the body", func(s *Statement) { s.Blob = &BlobRef{s.Body.Size, Sum("b")} })
	large("blob-no-hash", "P-77", "a blob without a hash", func(s *Statement) { s.Blob = &BlobRef{Size: s.Blob.Size} })
	large("blob-large", "P-77", "a blob over 1 GiB", func(s *Statement) { s.Blob = &BlobRef{MaxBlob + 1, Sum("b")} })
	red("blob-empty", "P-77", "a blob of no bytes", func(s *Statement) { s.Blob = &BlobRef{Hash: Sum("b")} })
	amber("blob-inline", "P-109", "a blob of a body that is inside", func(s *Statement) { s.Blob = &BlobRef{4096, Sum("b")} })
	community("community-blob", "P-109", "a sealed blob for the community", func(s *Statement) {
		s.Body = Body{Format: "text", Size: MaxInline + 1, Hash: Sum("large")}
		s.Blob = &BlobRef{MaxInline + 4096, Sum("b")}
	})

	red("red-title", "P-110", "RED with a title that nodes can read", func(s *Statement) { s.Title = "x" })
	red("red-body", "P-110", "RED with a body that nodes can read", func(s *Statement) { s.Body = exampleStatement().Body })
	red("red-no-content", "P-110", "RED without content", func(s *Statement) { s.Content = nil })
	amber("content", "P-110", "AMBER with content for persons", func(s *Statement) { s.Content = []byte("sealed") })
	community("community-content", "P-110", "GREEN with content for persons", func(s *Statement) { s.Content = []byte("sealed") })
	h := exampleHeads(de)
	vs.add("heads-for-self", "P-121", "heads for the team itself", edit(h, func(h *Heads) { h.For = h.Team }))
	return vs
}

// controlVectors are about statements for programs.
func controlVectors() []vector {
	var vs refused
	on := func(st *Statement) func(name, rules, comment string, f func(*Statement)) {
		return func(name, rules, comment string, f func(*Statement)) {
			vs.add("control-"+name, rules, comment, edit(st, func(s *Statement) {
				s.Receipts, s.Records = slices.Clone(s.Receipts), slices.Clone(s.Records)
				f(s)
			}))
		}
	}
	receipts, records := on(exampleReceipts()), on(exampleRecords())
	for i, control := range []func(name, rules, comment string, f func(*Statement)){receipts, records} {
		what := []string{"receipts", "records"}[i]
		control(what+"-community", "P-113", what+" for the community", func(s *Statement) { s.Audience = Audience{Kind: Community} })
		control(what+"-teams", "P-113", what+" for two teams", func(s *Statement) { s.Audience = to(de, ch) })
		control(what+"-agreement", "P-113", what+" under an agreement", func(s *Statement) { s.Audience = under(de, agreementID) })
		control(what+"-persons", "P-113", what+" for a person", func(s *Statement) { s.Audience.Persons = []Person{person(de, "Max")} })
		control(what+"-label", "P-113", what+" that are AMBER", func(s *Statement) { s.Label = tlp.Amber })
		control(what+"-red", "P-113", what+" that are RED", func(s *Statement) { s.Label = tlp.Red })
		control(what+"-title", "P-113", what+" with a title", func(s *Statement) { s.Title = "x" })
		control(what+"-urgent", "P-113", what+" that are urgent", func(s *Statement) { s.Urgent = true })
		control(what+"-refs", "P-113", what+" about a statement", func(s *Statement) { s.Refs = []Hash{Sum("x")} })
		control(what+"-sources", "P-113", what+" derived from a statement", func(s *Statement) { s.Sources = []Hash{Sum("x")} })
		control(what+"-body", "P-113", what+" with a body", func(s *Statement) { s.Body = exampleStatement().Body })
		control(what+"-content", "P-113", what+" with content", func(s *Statement) { s.Content = []byte("x") })
		control(what+"-blob", "P-113", what+" with a blob", func(s *Statement) { s.Blob = &BlobRef{1, Sum("b")} })
		control(what+"-supersede", "P-65", what+" that replace a statement", func(s *Statement) { s.Supersedes = Sum("x") })
		control(what+"-none", "P-114", what+" that are none", func(s *Statement) { s.Receipts, s.Records = nil, nil })
		control(what+"-both", "P-114", what+" with the other", func(s *Statement) {
			s.Receipts, s.Records = exampleReceipts().Receipts, exampleRecords().Records
		})
		control(what+"-in-message", "P-114", what+" in a message", func(s *Statement) {
			m := *exampleAmber()
			m.Receipts, m.Records = s.Receipts, s.Records
			*s = m
		})
	}
	vs.add("control-kind-5", "P-65", "an unknown kind for programs, with nothing in it", exampleControl(5))
	receipts("receipts-513", "P-114", "513 receipts", func(s *Statement) { s.Receipts = slices.Repeat(s.Receipts[:1], MaxReceipts+1) })
	records("records-17", "P-114", "17 records", func(s *Statement) { s.Records = slices.Repeat(s.Records[1:], MaxCarried+1) })

	receipt := func(i int, name, rules, comment string, f func(*Receipt)) {
		receipts("receipt-"+name, rules, comment, func(s *Statement) { f(&s.Receipts[i]) })
	}
	receipt(0, "state-0", "P-115", "a receipt without a state", func(r *Receipt) { r.State = 0 })
	receipt(0, "state-5", "P-115", "a receipt of an unknown state", func(r *Receipt) { r.State = 5 })
	receipt(0, "nothing", "P-116", "a receipt for nothing", func(r *Receipt) { r.Statement = Hash{} })
	receipt(0, "parcel", "P-116", "a stored parcel", func(r *Receipt) { r.Statement, r.Parcel = Hash{}, Sum("x") })
	receipt(0, "both", "P-116", "a receipt for a statement and a parcel", func(r *Receipt) { r.Parcel = Sum("x") })
	receipt(3, "no-parcel", "P-116", "a parcel that cannot be opened, without its id", func(r *Receipt) { r.Parcel = Hash{} })
	receipt(3, "statement", "P-116", "a statement that cannot be opened", func(r *Receipt) { r.Statement, r.Parcel = Sum("x"), Hash{} })
	receipt(3, "parcel-both", "P-116", "a parcel that cannot be opened, and its statement", func(r *Receipt) { r.Statement = Sum("x") })
	receipt(0, "stored-person", "P-117", "stored by a person", func(r *Receipt) { r.Person = "Eva" })
	receipt(0, "stored-rule", "P-117", "stored by a rule", func(r *Receipt) { r.Rule = "ceiling" })
	receipt(1, "opened-by-nobody", "P-117", "opened by nobody", func(r *Receipt) { r.Person = "" })
	receipt(1, "opened-rule", "P-117", "opened by a rule", func(r *Receipt) { r.Rule = "ceiling" })
	receipt(1, "person", "P-15 P-117", "opened by a name with an override", func(r *Receipt) { r.Person = "a\u202eb" })
	receipt(2, "held-no-rule", "P-117", "held back without a reason", func(r *Receipt) { r.Rule = "" })
	receipt(2, "held-person", "P-117", "held back by a person", func(r *Receipt) { r.Person = "Eva" })
	receipt(2, "rule", "P-17 P-117", "a rule with a space", func(r *Receipt) { r.Rule = "the ceiling" })
	receipt(2, "rule-41", "P-17 P-117", "a rule of 41 bytes", func(r *Receipt) { r.Rule = strings.Repeat("r", MaxRule+1) })
	receipt(3, "rule-none", "P-117", "a parcel that cannot be opened, and a rule", func(r *Receipt) { r.Rule = "gone" })
	receipt(0, "time-0", "P-118", "a receipt without a time", func(r *Receipt) { r.Time = 0 })
	receipt(0, "late", "P-18", "a receipt after the year 9999", func(r *Receipt) { r.Time = MaxTime + 1 })

	carry := func(name, rules, comment string, record []byte) {
		records("record-"+name, rules, comment, func(s *Statement) { s.Records = [][]byte{record} })
	}
	encoded := func(r Record, k *PrivateKey) []byte { return envelopeOf(r.recordType(), must(Marshal(r)), k).Encode() }
	carry("empty", "P-119", "a record of no bytes", []byte{})
	carry("cut", "P-119 P-8", "a record that is cut", encoded(exampleStatus(), officerKey)[:40])
	carry("statement", "P-119", "a statement as a record", encoded(exampleStatement(), nodeKey))
	carry("nested", "P-119", "records in records", encoded(exampleRecords(), nodeKey))
	carry("manifest", "P-119", "a manifest as a record", encoded(exampleManifest(), officerKey))
	carry("card", "P-119", "a card as a record", encoded(exampleCard(), officerKey))

	cut := exampleControl(KindRecords)
	private := exampleOfType(TypeCutoff).record.(*Cutoff)
	private = edit(private, func(c *Cutoff) { c.Feed = FeedOf(c.Node, Between(at, de, Hash{})) })
	cut.Records = [][]byte{encoded(private, officerKey)}
	return append(vs, vector{name: "control-record-cutoff", expect: valid, form: "envelope", rules: "P-119", use: UseNode,
		keys: []PublicKey{nodeKey.Public()}, comment: "a cut-off of a feed between two teams", data: envelopeOf(TypeStatement, must(Marshal(cut)), nodeKey).Encode()})
}

// agreementVectors are about agreements, their statuses, and recipients of nodes.
func agreementVectors() []vector {
	var vs refused
	on := func(name, rules, comment string, f func(*Agreement)) {
		vs.add("agreement-"+name, rules, comment, edit(exampleAgreement(), f))
	}
	on("no-a", "P-122", "one team", func(a *Agreement) { a.A = Hash{} })
	on("no-b", "P-122", "one team", func(a *Agreement) { a.B = Hash{} })
	on("self", "P-122", "a team with itself", func(a *Agreement) { a.B = a.A })
	on("no-root-a", "P-122", "no root record of the first team", func(a *Agreement) { a.RootA = Hash{} })
	on("no-root-b", "P-122", "no root record of the second team", func(a *Agreement) { a.RootB = Hash{} })
	on("ceiling-0", "P-123", "no ceiling", func(a *Agreement) { a.Ceiling = tlp.Unset })
	on("ceiling-6", "P-123", "an unknown ceiling", func(a *Agreement) { a.Ceiling = 6 })
	for i, f := range []func(*IEP){
		func(p *IEP) { p.Encrypt = "must-not" }, func(p *IEP) { p.Actions = "all" }, func(p *IEP) { p.Notify = "must" },
		func(p *IEP) { p.Attribution = "" }, func(p *IEP) { p.Resale = "must" },
	} {
		on("policy-"+string(rune('1'+i)), "P-124", "a value that field "+string(rune('1'+i))+" of the policy does not have", func(a *Agreement) { f(&a.Policy) })
	}
	on("purposes-17", "P-125", "17 purposes", func(a *Agreement) { a.Purposes = slices.Repeat([]string{"x"}, MaxPurposes+1) })
	on("purpose-lines", "P-15 P-125", "a purpose of two lines", func(a *Agreement) { a.Purposes = []string{"warning\nCeiling: RED"} })
	on("purpose-empty", "P-15 P-125", "an empty purpose", func(a *Agreement) { a.Purposes = []string{""} })
	on("title-lines", "P-15 P-125", "a title of two lines", func(a *Agreement) { a.Title = "Neighbours\nCeiling: RED" })
	on("types-unsorted", "P-126", "types in the wrong order", func(a *Agreement) { a.Types = []string{"updates", "incident-information"} })
	on("types-twice", "P-126", "a type twice", func(a *Agreement) { a.Types = []string{"updates", "updates"} })
	on("type-unknown", "P-126", "an unknown type", func(a *Agreement) { a.Types = []string{"gossip"} })
	on("onward-0", "P-127", "no onward sharing", func(a *Agreement) { a.Onward = 0 })
	on("onward-4", "P-127", "unknown onward sharing", func(a *Agreement) { a.Onward = 4 })
	on("receipts-0", "P-128", "no word on receipts", func(a *Agreement) { a.Receipts = 0 })
	on("receipts-4", "P-128", "an unknown word on receipts", func(a *Agreement) { a.Receipts = 4 })
	on("keep-long", "P-129", "3,661 days of retention", func(a *Agreement) { a.Keep = MaxKeep + 1 })
	on("life-none", "P-130", "ends when it begins", func(a *Agreement) { a.Until = a.From })
	on("life-long", "P-130", "valid for 1,098 days and a second", func(a *Agreement) { a.Until = a.From + 1098*86400 + 1 })
	on("from-0", "P-130", "no beginning", func(a *Agreement) { a.From, a.Until = 0, 86400 })
	on("issued-0", "P-130", "never issued", func(a *Agreement) { a.Issued = 0 })
	on("issued-late", "P-18", "issued after the year 9999", func(a *Agreement) { a.Issued = MaxTime + 1 })
	on("until-late", "P-18", "ends after the year 9999", func(a *Agreement) { a.From, a.Until = MaxTime, MaxTime+1 })
	on("text-control", "P-16", "a text with an escape character", func(a *Agreement) { a.Text = "\x1b[8m" })
	on("text-4001", "P-16", "a text of 4,001 bytes", func(a *Agreement) { a.Text = strings.Repeat("x", MaxText+1) })
	keep := envelopeOf(TypeAgreement, refEncode(with(tree(exampleAgreement()), 12, uint64(0))), nodeKey)
	vs = append(vs, vector{name: "agreement-keep-0", expect: malformed, form: "envelope", rules: "P-13", comment: "no retention, spelled out", data: keep.Encode()})

	status := func(name, rules, comment string, f func(*AgreementStatus)) {
		vs.add("agreement-status-"+name, rules, comment, edit(exampleStatus(), f))
	}
	status("counter-0", "P-131", "a counter of 0", func(s *AgreementStatus) { s.Counter = 0 })
	status("counter-large", "P-19 P-131", "a counter over 2^53 - 1", func(s *AgreementStatus) { s.Counter = MaxCounter + 1 })
	status("time-0", "P-131", "no time", func(s *AgreementStatus) { s.Time = 0 })
	status("late", "P-18", "a time after the year 9999", func(s *AgreementStatus) { s.Time = MaxTime + 1 })
	status("0", "P-132", "no status", func(s *AgreementStatus) { s.Status = 0 })
	status("4", "P-132", "an unknown status", func(s *AgreementStatus) { s.Status = 4 })
	status("no-agreement", "P-100", "no agreement", func(s *AgreementStatus) { s.Agreement = Hash{} })
	status("reason-control", "P-16", "a reason with an escape character", func(s *AgreementStatus) { s.Reason = "\x1b" })

	recipient := func(name, rules, comment string, f func(*NodeRecipient)) {
		vs.add("node-recipient-"+name, rules, comment, edit(exampleRecipient(), f))
	}
	recipient("seq-0", "P-101", "sequence number 0", func(r *NodeRecipient) { r.Seq = 0 })
	recipient("seq-large", "P-19 P-101", "a sequence number over 2^53 - 1", func(r *NodeRecipient) { r.Seq = MaxCounter + 1 })
	recipient("issued-0", "P-101", "never issued", func(r *NodeRecipient) { r.Issued = 0 })
	recipient("late", "P-18", "issued after the year 9999", func(r *NodeRecipient) { r.Issued = MaxTime + 1 })
	recipient("empty", "P-17", "no recipient", func(r *NodeRecipient) { r.Recipient = "" })
	recipient("space", "P-17", "a recipient with a space", func(r *NodeRecipient) { r.Recipient = "age1 x" })
	recipient("4001", "P-17", "a recipient of 4,001 bytes", func(r *NodeRecipient) { r.Recipient = strings.Repeat("r", MaxRecipient+1) })
	return vs
}

// contentVectors are about RED content that was opened.
func contentVectors() []vector {
	var vs []vector
	st := exampleRed()
	add := func(expect, name, rules, comment string, st *Statement, inner []byte, key *PrivateKey) {
		vs = append(vs, vector{name: "content-" + name, expect: expect, form: "content in statement", rules: rules, keys: []PublicKey{key.Public()},
			comment: comment, inner: inner, data: envelopeOf(TypeStatement, must(Marshal(st)), key).Encode()})
	}
	good := exampleContent(st)
	plain := must(Marshal(good))
	elsewhere := func(name, comment string, f func(*Statement)) {
		add(malformed, name, "P-112", comment, edit(st, f), plain, nodeKey)
	}
	bad := func(name, rules, comment string, f func(*Content)) {
		add(malformed, name, rules, comment, st, must(Marshal(edit(good, f))), nodeKey)
	}
	add(valid, "open", "P-112", "RED content in its statement", st, plain, nodeKey)
	large := edit(st, func(s *Statement) { s.Blob = blobOf(largeBody()) })
	external := &Content{Context: large.Context(), Body: largeBody()}
	add(valid, "open-blob", "P-111 P-112", "RED content whose body travels apart", large, must(Marshal(external)), nodeKey)
	add(valid, "open-later", "P-112", "a correction with new content: the context does not depend on it",
		edit(st, func(s *Statement) { s.Kind, s.Supersedes, s.Clock = KindCorrection, Sum("x"), s.Clock+1 }), plain, nodeKey)

	add(malformed, "plagiarised", "P-112", "another team puts the content, which it need not be able to read, into a statement of its own",
		edit(st, func(s *Statement) {
			s.Author, s.Node = fr, otherNode.Public().ID()
			s.Audience = to(de)
			s.Audience.Persons = []Person{person(de, "Max")}
		}), plain, otherNode)
	add(malformed, "plagiarised-audience", "P-112", "another team claims the content before the same persons",
		edit(st, func(s *Statement) {
			s.Author, s.Node, s.Audience.Teams = fr, otherNode.Public().ID(), to(at, de).Teams
		}), plain, otherNode)
	elsewhere("other-author", "the author is another", func(s *Statement) { s.Author = fr; s.Audience.Teams = to(at, de).Teams })
	elsewhere("other-salt", "another statement of the same author to the same persons", func(s *Statement) { s.Salt[0]++ })
	elsewhere("other-persons", "one person more", func(s *Statement) {
		s.Audience.Persons = append(slices.Clone(s.Audience.Persons), person(de, "Zoe"))
		slices.SortFunc(s.Audience.Persons, Person.Compare)
	})
	elsewhere("other-key", "a person with another key", func(s *Statement) {
		s.Audience.Persons = slices.Clone(s.Audience.Persons)
		s.Audience.Persons[0].Key = Sum("another")
	})
	elsewhere("other-agreement", "the same persons under an agreement", func(s *Statement) { s.Audience.Kind, s.Audience.Agreement = InAgreement, agreementID })
	add(malformed, "other-node", "P-112", "another node of the author", edit(st, func(s *Statement) { s.Node = otherNode.Public().ID() }), plain, otherNode)
	add(malformed, "not-red", "P-112", "content beside a statement that is not RED", exampleAmber(), plain, nodeKey)

	bad("title-801", "P-68 P-111", "a title of 801 bytes", func(c *Content) { c.Title = strings.Repeat("t", MaxTitle+1) })
	bad("title-control", "P-68 P-111", "a title with an escape character", func(c *Content) { c.Title = "\x1b" })
	bad("body-hash", "P-70 P-111", "a body that does not have its hash", func(c *Content) { c.Body.Hash = Sum("x") })
	bad("file", "P-73 P-111", "a file name that is none", func(c *Content) { c.Body.Name = "../x" })
	bad("inline-key", "P-108 P-111", "a key in a body that is inside", func(c *Content) { c.Body.Key = "AGE" })
	bad("blob-missing", "P-111", "a large body, and no blob", func(c *Content) { c.Body = largeBody() })
	add(malformed, "blob-needless", "P-111", "a small body, and a blob", large, must(Marshal(edit(good, func(c *Content) { c.Context = large.Context() }))), nodeKey)
	add(malformed, "no-key", "P-108 P-111", "a large body without its key", large,
		must(Marshal(edit(external, func(c *Content) { c.Body.Key = "" }))), nodeKey)
	short := edit(large, func(s *Statement) { s.Blob = &BlobRef{MaxInline + 1, Sum("b")} })
	add(malformed, "blob-short", "P-111", "a blob no longer than the body", short, must(Marshal(external)), nodeKey)
	bad("context-zero", "P-112", "no context", func(c *Content) { c.Context = Hash{} })
	add(malformed, "no-context", "P-11", "content without its context", st, refEncode(without(tree(good), 1)), nodeKey)
	add(malformed, "title-empty", "P-13", "an empty title spelled out", st, refEncode(with(tree(good), 2, "")), nodeKey)
	add(valid, "extension", "P-93", "content with an extension that no reader knows", st, refEncode(with(tree(good), 900, "x")), nodeKey)
	add(malformed, "critical", "P-95", "content with an extension that a reader must know", st, refEncode(with(tree(good), 1000, "x")), nodeKey)
	add(malformed, "padded", "P-7", "content with its padding", st, append(slices.Clone(plain), 0x80, 0, 0), nodeKey)
	add(malformed, "empty", "P-8", "no content", st, nil, nodeKey)
	return vs
}

// sealedVectors are about parcels between two teams, and what an adversary may do with what it opened.
func sealedVectors() []vector {
	var vs []vector
	pair, third := Between(at, de, Hash{}), Between(at, ch, Hash{})
	agreed, other := Between(at, de, agreementID), Between(de, at, Sum("another agreement"))
	put := func(expect, name, rules, comment string, c Channel, inner []byte, data []byte, key *PrivateKey) {
		vs = append(vs, vector{name: "sealed-" + name, expect: expect, form: "statement in sealed parcel", rules: rules, use: UseNode,
			keys: []PublicKey{key.Public()}, comment: comment, channel: c, inner: inner, data: data})
	}
	signed := func(p *Parcel, key *PrivateKey) []byte { return envelopeOf(TypeParcel, must(Marshal(p)), key).Encode() }
	add := func(expect, name, rules, comment string, st *Statement, c Channel, f func(*Parcel)) {
		p := sealedParcel(st, c, 1)
		f(p)
		put(expect, name, rules, comment, c, innerOf(st), signed(p, nodeKey), nodeKey)
	}
	same := func(*Parcel) {}
	amber, large := exampleAmber(), exampleLarge()
	add(valid, "open", "P-78 P-80", "a statement for two teams, to the first", amber, pair, same)
	add(valid, "open-other-team", "P-80", "the same statement, to the second", amber, third, same)
	add(valid, "open-again", "P-80", "the same statement, sealed again", amber, pair, func(p *Parcel) { p.Seq, p.Prev, p.Body = 2, Sum("1"), []byte("sealed again") })
	add(valid, "open-urgent", "P-81", "an urgent statement", edit(amber, func(s *Statement) { s.Urgent = true }), pair, same)
	add(valid, "open-agreement", "P-80 P-82", "a statement under an agreement, with a large body", large, agreed, same)
	add(valid, "open-green", "P-80", "GREEN for one team", edit(amber, func(s *Statement) { s.Label, s.Audience = tlp.Green, to(de) }), pair, same)
	add(valid, "open-red", "P-110", "RED for persons", exampleRed(), pair, same)
	add(valid, "open-receipts", "P-114 P-115", "receipts", exampleReceipts(), pair, same)
	add(valid, "open-records", "P-114 P-119", "records", exampleRecords(), pair, same)

	// A recipient seals the author's statement again, for a team that the author did not mean.
	forward := edit(amber, func(s *Statement) { s.Audience = to(de) })
	inner := innerOf(forward)
	thief := otherNode.Public().ID()
	own := &Parcel{Team: de, Node: thief, Feed: FeedOf(thief, Between(de, ch, Hash{})), Seq: 1, Class: Normal, Body: []byte("sealed"), Sealed: true}
	put(unsigned, "forwarded", "P-78 P-79", "a recipient forwards a statement in a parcel of its own", Between(de, ch, Hash{}), inner, signed(own, otherNode), otherNode)
	back := edit(own, func(p *Parcel) { p.Feed = FeedOf(thief, pair) })
	put(unsigned, "reflected", "P-78 P-79", "a recipient sends a statement back to its author as its own", pair, inner, signed(back, otherNode), otherNode)
	add(malformed, "forwarded-by-node", "P-80", "a node of the author puts a statement for one team into the feed of another", forward, third, same)
	add(malformed, "forwarded-stranger", "P-80", "a statement for two teams in the feed of a third", amber, Between(at, fr, Hash{}), same)
	renamed := edit(own, func(p *Parcel) {
		p.Team, p.Node, p.Feed = at, nodeKey.Public().ID(), FeedOf(nodeKey.Public().ID(), third)
	})
	put(unsigned, "forged", "P-31", "a recipient forges the author's parcel", third, inner, signed(renamed, otherNode), nodeKey)
	claimed := edit(amber, func(s *Statement) { s.Node, s.Audience = thief, to(ch) })
	put(malformed, "plagiarised", "P-79", "a statement in the name of another team than the parcel", Between(de, ch, Hash{}),
		envelopeOf(TypeStatement, must(Marshal(claimed)), otherNode).Encode(), signed(own, otherNode), otherNode)

	// What is inside does not fit the channel.
	add(malformed, "community-inside", "P-80", "a statement for the community", exampleStatement(), pair, same)
	add(malformed, "bystander", "P-80", "a channel that the author is no end of", amber, Between(de, ch, Hash{}), same)
	add(malformed, "self", "P-80", "a channel from the author to itself", amber, Between(at, at, Hash{}), same)
	add(malformed, "agreement-for-none", "P-80", "a statement without an agreement in the feed of one", amber, agreed, same)
	add(malformed, "none-for-agreement", "P-80", "a statement under an agreement in the feed without one", large, pair, same)
	add(malformed, "other-agreement", "P-80", "a statement under one agreement in the feed of another", large, other, same)
	add(malformed, "agreement-other-team", "P-80", "a statement under an agreement to a team that is no party", large, Between(at, ch, agreementID), same)
	for _, f := range []struct {
		name, comment string
		feed          FeedID
	}{
		{"community", "the feed of the community", FeedOf(amber.Node, Channel{})}, {"other-team", "the feed for another team", FeedOf(amber.Node, third)},
		{"agreement", "the feed of an agreement", FeedOf(amber.Node, agreed)}, {"other-node", "the feed of another node", FeedOf(thief, pair)},
	} {
		add(malformed, "feed-"+f.name, "P-80", f.comment, amber, pair, func(p *Parcel) { p.Feed = f.feed })
	}
	add(malformed, "other-team", "P-79", "a parcel of another team", amber, pair, func(p *Parcel) { p.Team = de })
	add(malformed, "other-node", "P-79", "a statement of another node", edit(amber, func(s *Statement) { s.Node = thief }), pair,
		func(p *Parcel) { p.Node, p.Feed = amber.Node, FeedOf(amber.Node, pair) })
	add(malformed, "body-empty", "P-76", "nothing that could have been opened", amber, pair, func(p *Parcel) { p.Body = nil })
	add(malformed, "community-feed", "P-120", "a statement for the community, sealed, in the feed of the community", exampleStatement(), Channel{}, same)
	add(malformed, "plain", "P-120", "a parcel between two teams that is not sealed", amber, pair, func(p *Parcel) { p.Sealed, p.Body = false, innerOf(amber) })
	add(malformed, "urgent-inside", "P-81", "an urgent statement in a normal parcel", edit(amber, func(s *Statement) { s.Urgent = true }), pair,
		func(p *Parcel) { p.Class = Normal })
	add(malformed, "urgent-outside", "P-81", "a normal statement in an urgent parcel", amber, pair, func(p *Parcel) { p.Class = Urgent })
	add(malformed, "blob-missing", "P-82", "a large body without its blob", large, agreed, func(p *Parcel) { p.Blob = nil })
	add(malformed, "blob-needless", "P-82", "a small body with a blob", amber, pair, func(p *Parcel) { p.Blob = large.Blob })
	add(malformed, "blob-of-another", "P-82", "the blob of another statement", large, agreed, func(p *Parcel) { p.Blob = &BlobRef{large.Blob.Size, Sum("another")} })
	add(malformed, "blob-size", "P-82", "a blob of another size", large, agreed, func(p *Parcel) { p.Blob = &BlobRef{large.Blob.Size + 1, large.Blob.Hash} })
	add(malformed, "blob-plain", "P-82", "the body itself for its ciphertext", large, agreed, func(p *Parcel) { p.Blob = &BlobRef{large.Body.Size, large.Body.Hash} })
	add(malformed, "red-blob-missing", "P-82", "RED without its blob", edit(exampleRed(), func(s *Statement) { s.Blob = blobOf(largeBody()) }), pair,
		func(p *Parcel) { p.Blob = nil })

	// What is inside is no statement.
	raw := func(expect, name, rules, comment string, inner []byte) {
		put(expect, name, rules, comment, pair, inner, signed(sealedParcel(amber, pair, 1), nodeKey), nodeKey)
	}
	raw(malformed, "inner-empty", "P-8", "nothing inside", nil)
	raw(malformed, "inner-padded", "P-7", "a statement with its padding", append(innerOf(amber), 0x80, 0, 0))
	raw(malformed, "inner-parcel", "P-78", "a parcel inside", signed(sealedParcel(amber, pair, 1), nodeKey))
	raw(malformed, "inner-agreement", "P-78", "an agreement inside", envelopeOf(TypeAgreement, must(Marshal(exampleAgreement())), nodeKey).Encode())
	twice := envelopeOf(TypeStatement, must(Marshal(amber)), nodeKey, otherNode)
	raw(unsigned, "inner-second-signature", "P-31 P-78", "a statement that a recipient signed too", twice.Encode())
	forged := envelopeOf(TypeStatement, must(Marshal(amber)), otherNode)
	forged.Sigs[0].KID = nodeKey.Public().ID()
	raw(unsigned, "inner-forged", "P-78", "a statement that another key signed", forged.Encode())

	// What was signed outside is changed.
	e := envelopeOf(TypeParcel, must(Marshal(sealedParcel(amber, pair, 1))), nodeKey)
	changed := func(name, comment string, f func(*Parcel)) {
		p := sealedParcel(amber, pair, 1)
		f(p)
		put(unsigned, name, "P-30", comment, pair, innerOf(amber), (&Envelope{Type: TypeParcel, Payload: must(Marshal(p)), Sigs: e.Sigs}).Encode(), nodeKey)
	}
	changed("body-changed", "the ciphertext of another parcel under the signature", func(p *Parcel) { h := sha256.Sum256(p.Body); p.Body = h[:] })
	changed("seq-changed", "another sequence number under the signature", func(p *Parcel) { p.Seq, p.Prev = 2, Sum("1") })
	changed("feed-changed", "another feed under the signature", func(p *Parcel) { p.Feed = FeedOf(p.Node, third) })
	changed("class-changed", "another class under the signature", func(p *Parcel) { p.Class = Urgent })
	changed("seal-changed", "not sealed, under the signature", func(p *Parcel) { p.Sealed = false })
	return vs
}
