package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/entente-network/entente/protocol/tlp"
)

// read reads doc and collects its terms.
func read(t *testing.T, doc, name string) (Info, map[Term]bool, error) {
	t.Helper()
	terms := make(map[Term]bool)
	info, err := Read(strings.NewReader(doc), name, func(x Term) { terms[x] = true })
	return info, terms, err
}

// bundle wraps STIX objects.
func bundle(objects ...string) string {
	return `{"type":"bundle","id":"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d","objects":[` + strings.Join(objects, ",") + `]}`
}

// stix is a STIX object of type typ with more members.
func stix(typ, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"type":%q,"spec_version":"2.1","id":"%s--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"%s}`, typ, typ, more)
}

// marked is a STIX object with references to markings, in the order of ids.
func marked(ids ...string) string {
	for i, id := range ids {
		ids[i] = `"marking-definition--` + id + `"`
	}
	return stix("indicator", `"name":"x","object_marking_refs":[`+strings.Join(ids, ",")+`]`)
}

// define is a STIX marking definition.
func define(id, more string) string {
	return `{"type":"marking-definition","id":"marking-definition--` + id + `",` + more + `}`
}

const (
	someMarking  = "0aa7cc4b-6dc8-4d41-8ac4-2e5b4b2f3e01"
	otherMarking = "0aa7cc4b-6dc8-4d41-8ac4-2e5b4b2f3e02"
	statement    = `"definition_type":"statement","definition":{"statement":"Copyright 2026"}`
)

func misp(tags ...string) string {
	for i, t := range tags {
		tags[i] = fmt.Sprintf(`{"name":%q,"colour":"#fff"}`, t)
	}
	return `{"info":"A campaign","threat_level_id":"1","Attribute":[{"type":"ip-dst","value":"198.51.100.7"}],"Tag":[` +
		strings.Join(tags, ",") + `]}`
}

func csaf(version, distribution string) string {
	return `{"document":{"category":"csaf_vex","csaf_version":"` + version + `","distribution":` + distribution +
		`,"title":"An advisory","tracking":{"id":"EX-2026-1"}},"vulnerabilities":[{"cve":"CVE-2026-12345"}]}`
}

func event(more string) string {
	return `{"__type":"Event","classification.type":"c2-server","source.ip":"203.0.113.9","time.source":"2026-01-01T00:00:00+00:00"` +
		more + `}`
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		what, doc, name string
		format          Format
		label           tlp.Label
		title           string
	}{
		{"stix bundle", bundle(stix("report", `"name":"A report"`)), "", STIX21, 0, "A report"},
		{"stix without objects", `{"type":"bundle","id":"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d","objects":[]}`, "a/b.json",
			STIX21, 0, "b.json"},
		{"stix type last", `{"objects":[` + stix("malware", `"name":"Evil"`) + `],"type":"bundle"}`, "", STIX21, 0, "Evil"},
		{"stix 2.0", `{"type":"bundle","spec_version":"2.0","objects":[` + stix("campaign", `"name":"C"`) + `]}`, "", STIX20, 0, "C"},
		{"taxii envelope", `{"more":false,"objects":[` + marked("e828b379-4e03-4974-9ac4-e53a884c97c1") + `]}`, "", STIX21, tlp.Red, "x"},
		{"stix object", marked("bab4a63c-aed9-4cf5-a766-dfca5abac2bb"), "", STIX21, tlp.Green, "x"},
		{"stix object array", "[" + marked("bab4a63c-aed9-4cf5-a766-dfca5abac2bb") + "," + stix("tool", "") + "]", "", STIX21, tlp.Green, "x"},
		{"stix title order", bundle(stix("identity", `"name":"ACME"`), stix("malware", `"name":"M"`), stix("x-acme", `"name":"X"`),
			stix("grouping", `"name":"G"`), stix("report", `"name":"R"`)), "", STIX21, 0, "G"},
		{"misp wrapped", `{"Event":` + misp() + `}`, "", MISP, 0, "A campaign"},
		{"misp bare", misp("tlp:amber"), "", MISP, tlp.Amber, "A campaign"},
		{"misp response", `{"response":[{"Event":` + misp("tlp:green") + `},{"Event":` + misp("tlp:red") + `}]}`, "", MISP, tlp.Red, "A campaign"},
		{"misp lines", `{"Event":` + misp("tlp:green") + "}\n{\"Event\":" + misp("tlp:amber+strict") + `}`, "", MISP, tlp.AmberStrict, "A campaign"},
		{"misp with a byte order mark", "\ufeff" + misp("tlp:clear"), "", MISP, tlp.Clear, "A campaign"},
		{"misp in an array", `[{"Event":` + misp("tlp:green") + `}]`, "", MISP, tlp.Green, "A campaign"},
		{"a windows event is no misp", `{"Event":{"System":{"EventID":1}}}`, "log.json", JSON, 0, "log.json"},
		{"csaf 2.0", csaf("2.0", `{"tlp":{"label":"WHITE"}}`), "", CSAF20, tlp.Clear, "An advisory"},
		{"csaf 2.1", csaf("2.1", `{"tlp":{"label":"AMBER+STRICT"}}`), "", CSAF21, tlp.AmberStrict, "An advisory"},
		{"csaf unlabelled", csaf("2.0", `{"text":"share"}`), "", CSAF20, 0, "An advisory"},
		{"csaf group", csaf("2.1", `{"tlp":{"label":"RED"},"sharing_group":{"id":"7f5a0e5c-0f41-4d3c-9a0a-4f1c8f2f9d10"}}`), "", CSAF21, tlp.Red, "An advisory"},
		{"intelmq line", event(""), "", IntelMQ, 0, "1 event: c2-server"},
		{"intelmq lines", event("") + "\n" + event(`,"tlp":"AMBER"`) + "\n" + event(`,"tlp":null`) +
			"\n" + `{"classification.type":"spam","source.ip":"198.51.100.1"}` + "\n", "", IntelMQ, tlp.Amber, "4 events: c2-server, spam"},
		{"intelmq array", "[" + event(`,"tlp":"GREEN"`) + "," + event("") + "]", "", IntelMQ, tlp.Green, "2 events: c2-server"},
		{"other json", `{"title":"Things","tlp":"red"}`, "", JSON, 0, "Things"},
		{"other json array", `[1,2,{"a":[]}]`, "dir\\n.json", JSON, 0, "n.json"},
		{"empty object", `{}`, "", JSON, 0, ""},
		{"markdown", "TLP:GREEN\n\n# A *heading*\n\ntext", "", Markdown, tlp.Green, "A *heading"},
		{"markdown by name", "no heading\n", "x.MD", Markdown, 0, "no heading"},
		{"text by name", "# comment\n", "x.txt", Text, 0, "# comment"},
		{"front matter", "---\ntitle: \"From the front\"\ntlp: amber\n---\n# Heading\n", "", Markdown, tlp.Amber, "From the front"},
		{"code block", "Intro\n```\n# not a heading\n```\n", "", Text, 0, "Intro"},
		{"text", "\r\nTLP:AMBER\r\n\r\n  A note \t on things\r\nmore", "", Text, tlp.Amber, "A note on things"},
		{"marking with a key is no title", "Classification: TLP:AMBER\nThe subject\n", "", Text, tlp.Amber, "The subject"},
		{"text in brackets", "[1] Reference\n[2] TLP:RED", "", Text, tlp.Red, "[1] Reference"},
		{"text in braces", "{draft} on things", "", Text, 0, "{draft} on things"},
		{"hidden title parts", "A\u202etitle\u200b with\u0007out tricks", "", Opaque, 0, ""},
		{"reversed title", "A \u202etitle\u200b of\ufeff old", "", Text, 0, "A title of old"},
		{"empty", "", "empty.txt", Text, 0, "empty.txt"},
		{"latin-1", "TLP in fran\xe7ais", "f.txt", Opaque, 0, "f.txt"},
		{"binary", "%PDF-1.7\n\x00\x01TLP:CLEAR", "report.pdf", Opaque, 0, "report.pdf"},
		{"binary that begins as text", strings.Repeat("words ", 2000) + "\x00", "x", Opaque, 0, "x"},
	} {
		got, _, err := read(t, c.doc, c.name)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if want := (Info{Format: c.format, Label: c.label, Title: c.title}); got != want {
			t.Errorf("%s: got %+v, want %+v", c.what, got, want)
		}
	}
}

// TestLabelTable walks through the table of spellings: each label in each format that has it.
func TestLabelTable(t *testing.T) {
	rows := []struct {
		label                                            tlp.Label
		stix2, stix1, tag, csaf20, csaf21, intelmq, text string
	}{
		{tlp.Clear, "94868c89-83c2-464b-929b-a1a8aa3c8487", "613f2e26-407d-48c7-9eca-b8e91df99dc9", "tlp:clear", "WHITE", "CLEAR", "WHITE", "TLP:CLEAR"},
		{tlp.Clear, "", "", "tlp:white", "", "", "CLEAR", "TLP:WHITE"},
		{tlp.Green, "bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "34098fce-860f-48ae-8e50-ebd3cc5e41da", "tlp:green", "GREEN", "GREEN", "GREEN", "TLP:GREEN"},
		{tlp.Amber, "55d920b0-5e8b-4f79-9ee9-91f868d9b421", "f88d31f6-486f-44da-b317-01333bde0b82", "tlp:amber", "AMBER", "AMBER", "AMBER", "TLP:AMBER"},
		{tlp.AmberStrict, "939a9414-2ddd-4d32-a0cd-375ea402b003", "826578e1-40ad-459f-bc73-ede076f81f37", "tlp:amber+strict", "", "AMBER+STRICT", "AMBER+STRICT", "TLP:AMBER+STRICT"},
		{tlp.Red, "e828b379-4e03-4974-9ac4-e53a884c97c1", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "tlp:red", "RED", "RED", "RED", "TLP:RED"},
	}
	for _, r := range rows {
		docs := map[string]string{"text": r.text, "intelmq": event(`,"tlp":"` + r.intelmq + `"`),
			"misp": misp("PAP:RED", r.tag), "misp capitals": misp(strings.ToUpper(r.tag)), "iep": misp(r.tag, `iep:traffic-light-protocol="RED"`)}
		if r.stix2 != "" {
			docs["stix tlp 2"] = bundle(marked(r.stix2))
			docs["stix tlp 1"] = bundle(marked(r.stix1))
			docs["stix granular"] = bundle(stix("report", `"granular_markings":[{"lang":"en","selectors":["x"]},{"marking_ref":"marking-definition--`+
				r.stix2+`","selectors":["name"]}]`))
		}
		label := strings.ToLower(r.label.String())
		for what, definition := range map[string]string{
			"extension": `"extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"extension_type":"property-extension","tlp_2_0":"` + label + `"}}`,
			"iep":       `"extensions":{"extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a":{"tlp":"` + label + `"}}`,
			"type tlp":  `"definition_type":"tlp","definition":{"tlp":"` + label + `"}`,
			"opencti":   `"definition_type":"statement","definition":{"statement":"custom"},"x_opencti_definition_type":"TLP","x_opencti_definition":"TLP:` + r.label.String() + `"`,
			"name only": `"name":"TLP:` + r.label.String() + `"`,
		} {
			docs["stix definition before, "+what] = bundle(define(someMarking, definition), marked(someMarking))
			docs["stix definition after, "+what] = bundle(marked(someMarking), define(someMarking, definition))
		}
		if r.csaf20 != "" {
			docs["csaf 2.0"] = csaf("2.0", `{"tlp":{"label":"`+r.csaf20+`"}}`)
		}
		if r.csaf21 != "" {
			docs["csaf 2.1"] = csaf("2.1", `{"tlp":{"label":"`+r.csaf21+`"}}`)
		}
		for what, doc := range docs {
			if got, _, err := read(t, doc, ""); err != nil || got.Label != r.label {
				t.Errorf("%s, %s: got %s, %v", what, r.label, got.Label, err)
			}
		}
	}
}

func TestStrictestCounts(t *testing.T) {
	green, amber, red := "bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "f88d31f6-486f-44da-b317-01333bde0b82", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
	for _, c := range []struct {
		what, doc string
		want      tlp.Label
	}{
		{"objects of a bundle", bundle(marked(green), marked(amber), marked(green)), tlp.Amber},
		{"references of an object", bundle(marked(green, red, amber)), tlp.Red},
		{"granular within green", bundle(stix("report", `"object_marking_refs":["marking-definition--`+green+
			`"],"granular_markings":[{"marking_ref":"marking-definition--`+red+`","selectors":["name"]}]`)), tlp.Red},
		{"definition against the fixed id", bundle(marked(green), define(green, `"definition_type":"tlp","definition":{"tlp":"red"}`)), tlp.Red},
		{"two definitions", bundle(define(someMarking, `"name":"TLP:GREEN"`), define(someMarking, `"name":"TLP:AMBER"`), marked(someMarking)), tlp.Amber},
		{"a definition nobody refers to", bundle(define(red, `"name":"TLP:RED"`), marked(green)), tlp.Green},
		{"definitions only", bundle(define(red, `"name":"TLP:RED"`)), tlp.Unset},
		{"statement", bundle(define(someMarking, statement), marked(someMarking, amber)), tlp.Amber},
		{"statement only", bundle(define(someMarking, statement), marked(someMarking)), tlp.Unset},
		{"unknown reference within red", bundle(marked(someMarking, red)), tlp.Red},
		{"stix labels", bundle(stix("report", `"labels":["tlp:amber","misp:type"]`)), tlp.Amber},
		{"a key twice", `{"type":"bundle","objects":[` + marked(red) + `],"objects":[` + marked(green) + `]}`, tlp.Red},
		{"escaped key and value", `{"info":"x","Attribute":[],"\u0054ag":[{"name":"t\u006cp:red"}]}`, tlp.Red},
		{"misp attribute", `{"info":"x","Tag":[{"name":"tlp:clear"}],"Attribute":[{"Tag":[{"name":"tlp:amber"}]}]}`, tlp.Amber},
		{"misp object attribute", `{"info":"x","Object":[{"Attribute":[{"Tag":[{"name":"tlp:red"}]}]}],"Tag":[{"name":"tlp:clear"}]}`, tlp.Red},
		{"misp report", `{"info":"x","Orgc":{},"EventReport":[{"Tag":[{"name":"tlp:green"}]}]}`, tlp.Green},
		{"misp old form", `{"info":"x","Orgc":{},"EventTag":[{"Tag":{"name":"tlp:green"}}]}`, tlp.Green},
		{"misp caveat", misp("tlp:ex:chr", "tlp:green"), tlp.Green},
		{"misp caveat only", misp("tlp:ex:chr"), tlp.Unset},
		{"misp related", `{"info":"x","Orgc":{},"RelatedEvent":[{"Event":{"info":"y","Tag":[{"name":"tlp:red"}]}}]}`, tlp.Red},
		{"intelmq lines", event(`,"tlp":"RED"`) + event(`,"tlp":"WHITE"`), tlp.Red},
	} {
		if got, _, err := read(t, c.doc, ""); err != nil || got.Label != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.what, got.Label, err, c.want)
		}
	}
}

func TestLabelInText(t *testing.T) {
	const strict = tlp.AmberStrict
	for line, want := range map[string]tlp.Label{
		"TLP:AMBER+STRICT":                       strict,
		"tlp:amber+strict":                       strict,
		"TLP:AMBER-STRICT":                       strict,
		"TLP:AMBER STRICT":                       strict,
		"TLP:AMBER + STRICT":                     strict,
		"**TLP:GREEN**":                          tlp.Green,
		"**TLP:** GREEN":                         tlp.Green,
		"### TLP: Green ###":                     tlp.Green,
		"> _TLP:RED_":                            tlp.Red,
		"Classification: TLP:AMBER":              tlp.Amber,
		"Classification : TLP : AMBER":           tlp.Amber,
		"Diffusion\u00a0: TLP\u00a0:\u00a0AMBER": tlp.Amber,
		"TLP：RED":                                tlp.Red,
		"TLP: WHITE":                             tlp.Clear,
		"TLP AMBER":                              tlp.Amber,
		"| TLP | RED |":                          tlp.Red,
		"[TLP:RED]":                              tlp.Red,
		"`tlp:green`":                            tlp.Green,
		"\"tlp\": \"amber\"":                     tlp.Amber,
		"tlp = green":                            tlp.Green,
		"<tlp>red</tlp>":                         tlp.Red,
		"we received a TLP:RED report":           tlp.Red,
		"it is (TLP:GREEN), not TLP:AMBER.":      tlp.Amber,
		"TLP:GREEN/AMBER":                        tlp.Amber,
		"TLP:GREEN | AMBER+STRICT":               strict,
		"TLP:\n\n**AMBER**":                      tlp.Amber,
		"TLP:\nthe label":                        tlp.Unset,
		"our TLP clear rules":                    tlp.Unset,
		"HTLP:RED":                               tlp.Unset,
		"tlps: red":                              tlp.Unset,
		"TLP: the traffic light protocol":        tlp.Unset,
		"see https://www.first.org/tlp/ for TLP": tlp.Unset,
		"TLP:EX:CHR":                             tlp.Unset,
		"we do not use TLP:PURPLE":               tlp.Unset,
		"TLP":                                    tlp.Unset,
		"TLP:":                                   tlp.Unset,
		"":                                       tlp.Unset,
	} {
		for _, doc := range []string{line, "intro\n\n" + line + "\nmore of it", strings.Repeat("x", 3*MaxLine) + " " + line} {
			got, _, err := read(t, doc, "")
			if strings.HasPrefix(doc, "xxx") && strings.Contains(line, "\n") {
				continue // a label on the next line counts only where TLP: stands alone
			}
			if strings.HasPrefix(doc, "xxx") && want == tlp.Clear {
				continue // only a mention there
			}
			if err != nil || got.Label != want {
				t.Errorf("%.40q of %d bytes: got %s, %v; want %s", line, len(doc), got.Label, err, want)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	many := make([]string, MaxMarkings+1)
	for i := range many {
		many[i] = fmt.Sprintf("0aa7cc4b-6dc8-4d41-8ac4-%012x", i)
	}
	for _, c := range []struct {
		what, doc string
		reason    error
		says      string
	}{
		{"truncated object", `{"type":"bundle","objects":[`, ErrBroken, "ends early"},
		{"truncated string", `{"type":"bun`, ErrBroken, "at byte 12"},
		{"truncated lines", event("") + "\n" + `{"source.ip":`, ErrBroken, ""},
		{"garbage after", misp("tlp:green") + "x", ErrBroken, ""},
		{"comma at the end", `{"a":1,}`, ErrBroken, "at byte 7"},
		{"missing colon", `{"a" 1}`, ErrBroken, ""},
		{"missing comma", `{"a":[1 2]}`, ErrBroken, ""},
		{"bad literal", `{"a":nul}`, ErrBroken, ""},
		{"bad number", `{"a":01}`, ErrBroken, ""},
		{"bad escape", `{"a":"\x"}`, ErrBroken, ""},
		{"bad unicode escape", `{"a":"\u12g4"}`, ErrBroken, ""},
		{"control character", "{\"a\":\"\n\"}", ErrBroken, "control"},
		{"not utf-8", "{\"a\":\"" + strings.Repeat(" ", sniffSize) + "\xff\"}", ErrBroken, "UTF-8"},
		{"too deep", deep(MaxDepth + 1), ErrTooDeep, "80"},
		{"too deep arrays", `{"a":` + strings.Repeat("[", 1e6), ErrTooDeep, ""},
		{"stix object that is none", `{"type":"bundle","objects":[1]}`, ErrBroken, "objects[0]"},
		{"stix reference of nowhere", bundle(stix("tool", ""), marked(someMarking)), ErrMarking, "objects[1].object_marking_refs[0]"},
		{"stix reference to another type", bundle(stix("tool", `"object_marking_refs":["tool--`+someMarking+`"]`)), ErrMarking, ""},
		{"stix reference number", bundle(stix("tool", `"object_marking_refs":[5]`)), ErrMarking, ""},
		{"stix reference object", bundle(stix("tool", `"object_marking_refs":{"a":1}`)), ErrMarking, ""},
		{"stix granular reference of nowhere", bundle(stix("tool", `"granular_markings":[{"marking_ref":"marking-definition--`+someMarking+`"}]`)), ErrMarking, ""},
		{"stix unknown tlp", bundle(marked(someMarking), define(someMarking, `"definition_type":"tlp","definition":{"tlp":"purple"}`)), ErrMarking, "names no TLP label"},
		{"stix missing tlp", bundle(marked(someMarking), define(someMarking, `"definition_type":"tlp"`)), ErrMarking, ""},
		{"stix number as tlp", bundle(marked(someMarking), define(someMarking, `"definition":{"tlp":3}`)), ErrMarking, ""},
		{"stix unknown tlp name", bundle(marked(someMarking), define(someMarking, `"name":"TLP:MAGENTA"`)), ErrMarking, ""},
		{"stix too many markings", bundle(marked(many...)), ErrMarking, "1024"},
		{"stix label", bundle(stix("tool", `"labels":["tlp:unknown"]`)), ErrMarking, ""},
		{"misp purple", `{"Event":` + misp("tlp:purple") + `}`, ErrMarking, "Event.Tag[0].name"},
		{"misp purple beside red", misp("tlp:red", "tlp:purple"), ErrMarking, "tlp:purple"},
		{"misp unclear", misp("tlp:unclear"), ErrUnclear, "Tag[0]"},
		{"misp empty tlp", misp("tlp:"), ErrMarking, ""},
		{"misp number as tag", `{"info":"x","Orgc":{},"Tag":[{"name":1}]}`, ErrMarking, ""},
		{"misp long tag", misp("tlp:red" + strings.Repeat("d", MaxString)), ErrMarking, ""},
		{"csaf purple", csaf("2.1", `{"tlp":{"label":"PURPLE"}}`), ErrMarking, "document.distribution.tlp.label"},
		{"csaf null label", csaf("2.1", `{"tlp":{"label":null}}`), ErrMarking, ""},
		{"csaf null tlp", csaf("2.1", `{"tlp":null}`), ErrMarking, ""},
		{"csaf nil group", csaf("2.1", `{"tlp":{"label":"RED"},"sharing_group":{"id":"00000000-0000-0000-0000-000000000000"}}`), ErrNoSharing, "sharing_group"},
		{"csaf nil group by name", csaf("2.1", `{"tlp":{"label":"RED"},"sharing_group":{"name":"No sharing allowed"}}`), ErrNoSharing, ""},
		{"csaf version", csaf("3.0", `{}`), ErrBroken, "3.0"},
		{"csaf version number", `{"document":{"csaf_version":2.0}}`, ErrBroken, ""},
		{"csaf version twice", `{"document":{"csaf_version":"2.0","csaf_version":"2.1"}}`, ErrBroken, ""},
		{"intelmq purple", event("") + event(`,"tlp":"PURPLE"`), ErrMarking, "tlp"},
		{"intelmq empty", event(`,"tlp":""`), ErrMarking, ""},
		{"intelmq list", event(`,"tlp":["RED"]`), ErrMarking, ""},
		{"intelmq and something else", event("") + `{"a":1}`, ErrBroken, "json begins in a file of intelmq"},
		{"two formats in one", `{"document":{"csaf_version":"2.0"},"info":"x","Orgc":{}}`, ErrBroken, "both"},
		{"text purple", "intro\nTLP:PURPLE\n", ErrMarking, "at byte 6"},
		{"text purple decorated", "- **TLP:PURPLE**\n", ErrMarking, ""},
		{"text purple with a space", "TLP: purple\n", ErrMarking, ""},
		{"text capitals with a space", "TLP: NOT YET DECIDED\n", ErrMarking, ""},
		{"text purple after a key", "Classification: TLP:PURPLE\n", ErrMarking, ""},
		{"text suffix", "it is TLP:AMBER+ORG\n", ErrMarking, ""},
		{"text suffix of an alternative", "TLP:GREEN/AMBER+ORG\n", ErrMarking, ""},
		{"text unclear", "tlp:unclear\n", ErrUnclear, ""},
		{"text purple on the next line", "TLP:\n\nPURPLE\n", ErrMarking, ""},
		{"text redacted", "TLP:REDACTED\n", ErrMarking, ""},
		{"front matter purple", "---\ntitle: x\ntlp: purple\n---\n", ErrMarking, ""},
		{"marked text that ends binary", "TLP:GREEN\n" + strings.Repeat("x\n", sniffSize) + "\xff", ErrBroken, "UTF-8"},
	} {
		info, _, err := read(t, c.doc, "")
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, c.reason) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v with %q", c.what, err, c.reason, c.says)
		}
		if info != (Info{}) {
			t.Errorf("%s: got %+v beside an error", c.what, info)
		}
	}
	if _, _, err := read(t, deep(MaxDepth), ""); err != nil {
		t.Errorf("at the greatest depth: %v", err)
	}
}

// TestEveryPrefixRefused cuts documents at every byte: none of the pieces may pass as a document with another label.
func TestEveryPrefixRefused(t *testing.T) {
	for _, doc := range []string{
		bundle(marked("bab4a63c-aed9-4cf5-a766-dfca5abac2bb"), marked("e828b379-4e03-4974-9ac4-e53a884c97c1")),
		`{"Event":` + misp("tlp:clear", "tlp:red") + `}`,
		csaf("2.1", `{"tlp":{"label":"RED"}}`),
	} {
		for n := 2; n < len(doc); n++ {
			if info, _, err := read(t, doc[:n], ""); err == nil {
				t.Errorf("%q passes as %+v", doc[:n], info)
			}
		}
	}
}

func TestReaders(t *testing.T) {
	docs := []string{
		bundle(marked("e828b379-4e03-4974-9ac4-e53a884c97c1"), stix("report", `"name":"`+strings.Repeat("é evil.example 198.51.100.7 ", 20000)+`"`)),
		"TLP:GREEN\n" + strings.Repeat("ünïcödé words and 203.0.113.0/24, ", 10000) + "\nTLP:AMBER\n",
		strings.Repeat(event(`,"tlp":"GREEN"`)+"\n", 500),
		misp("tlp:red") + strings.Repeat(" ", bufferSize),
		`{"info":"\ud83d\ude00 \u00e9\n","Orgc":{},"Tag":[{"name":"tlp:green"}]}`,
	}
	for _, doc := range docs {
		want, wantTerms, err := read(t, doc, "")
		if err != nil {
			t.Fatalf("%.40q: %v", doc, err)
		}
		for what, r := range map[string]io.Reader{
			"one byte":   iotest.OneByteReader(strings.NewReader(doc)),
			"half":       iotest.HalfReader(strings.NewReader(doc)),
			"data error": iotest.DataErrReader(strings.NewReader(doc)),
		} {
			terms := make(map[Term]bool)
			got, err := Read(r, "", func(x Term) { terms[x] = true })
			if err != nil || got != want || len(terms) != len(wantTerms) {
				t.Errorf("%s of %.40q: got %+v with %d terms, %v; want %+v with %d", what, doc, got, len(terms), err, want, len(wantTerms))
			}
		}
		if _, err := Read(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(doc))), "", nil); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("the reader's error is lost: %v", err)
		}
	}
	for _, doc := range []string{"", "{\"a\":", "text ", "\x00", `{"a":"b`} {
		r := io.MultiReader(strings.NewReader(doc), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := Read(r, "", nil); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: got %v, want the reader's error", doc, err)
		}
	}
}

// endless repeats pattern until n bytes are read.
type endless struct {
	pattern []byte
	at      int
	n       int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.n)]
	n := 0
	for n < len(p) {
		k := copy(p[n:], e.pattern[e.at:])
		e.at = (e.at + k) % len(e.pattern)
		n += k
	}
	e.n -= int64(n)
	return n, nil
}

// TestBoundedMemory reads long documents of the most awkward kinds; what is allocated must not grow with them.
func TestBoundedMemory(t *testing.T) {
	const size = 4 << 20
	for what, parts := range map[string][3]string{
		"one long string":   {`{"info":"`, "evil.example ", `","Tag":[{"name":"tlp:red"}],"Orgc":{}}`},
		"one long word":     {`{"info":"`, "a", `","Tag":[{"name":"tlp:red"}],"Orgc":{}}`},
		"one long key":      {`{"info":"x","Tag":[{"name":"tlp:red"}],"Orgc":{},"`, "key", `":1}`},
		"escapes":           {`{"Tag":[{"name":"tlp:red"}],"Orgc":{},"info":"`, `\n\n`, `"}`},
		"one long number":   {`{"info":"x","Tag":[{"name":"tlp:red"}],"Orgc":{},"n":1`, "0", `}`},
		"white space":       {`{"info":"x","Tag":[{"name":"tlp:red"}],"Orgc":{}`, " ", `}`},
		"a long array":      {`{"info":"x","Tag":[{"name":"tlp:red"}],"Orgc":{},"n":[0`, ",1", `]}`},
		"one long line":     {"TLP:RED ", "lorem ipsum ", "\n"},
		"a line of nothing": {"TLP:RED ", "x", "\n"},
		"many short lines":  {"TLP:RED\n", "a\n", ""},
	} {
		doc := io.MultiReader(strings.NewReader(parts[0]), &endless{pattern: []byte(parts[1]), n: size / int64(len(parts[1])) * int64(len(parts[1]))}, strings.NewReader(parts[2]))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		info, err := Read(doc, "", func(Term) {})
		runtime.ReadMemStats(&after)
		if err != nil || info.Label != tlp.Red {
			t.Errorf("%s: got %+v, %v", what, info, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Errorf("%s: %d bytes allocated for %d", what, n, size)
		}
	}
}

func TestPartial(t *testing.T) {
	var b bytes.Buffer
	for i := range MaxWords + 10 {
		fmt.Fprintf(&b, "w%dx ", i)
	}
	n := 0
	info, err := Read(&b, "", func(Term) { n++ })
	if err != nil || !info.Partial || n != MaxWords {
		t.Errorf("got %+v with %d terms, %v", info, n, err)
	}
}

func TestTitleLength(t *testing.T) {
	for _, s := range []string{strings.Repeat("é", 1000), strings.Repeat("a ", 1000), strings.Repeat("長い", MaxString)} {
		for _, doc := range []string{s, `{"Orgc":{},"info":"` + s + `"}`, bundle(stix("report", `"name":"`+s+`"`))} {
			info, _, err := read(t, doc, "")
			n := len([]rune(info.Title))
			if err != nil || n > MaxTitle || n < MaxTitle-1 || !strings.HasPrefix(s, info.Title) {
				t.Errorf("%.20q: title of %d runes, %v", doc, n, err)
			}
		}
	}
}
