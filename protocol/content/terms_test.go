package content

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/entente-network/entente/protocol/tlp"
)

const (
	md5Hex    = "d41d8cd98f00b204e9800998ecf8427e"
	sha1Hex   = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
	sha256Hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func TestTerms(t *testing.T) {
	word := func(s ...string) (terms []Term) {
		for _, w := range s {
			terms = append(terms, Term{Word, w})
		}
		return terms
	}
	one := func(k Kind, s string) []Term { return []Term{{k, s}} }
	for _, c := range []struct {
		query string
		want  []Term
	}{
		// Addresses.
		{"198.51.100.7", one(Address, "198.51.100.7")},
		{"198.51.100[.]7", one(Address, "198.51.100.7")},
		{"198[.]51[.]100[.]7,", one(Address, "198.51.100.7")},
		{"198.51.100[.7", one(Address, "198.51.100.7")},
		{"198.51.100.]7", one(Address, "198.51.100.7")},
		{"(198(.)51(dot)100{.}7)", one(Address, "198.51.100.7")},
		{`198\.51\.100\.7`, one(Address, "198.51.100.7")},
		{"198.51.100.7:8080", one(Address, "198.51.100.7")},
		{"198.51.100.7.", one(Address, "198.51.100.7")},
		{"198.51.100.7-198.51.100.9", []Term{{Address, "198.51.100.7"}, {Address, "198.51.100.9"}}},
		{"198.51.100.0/24", []Term{{Address, "198.51.100.0/24"}, {Address, "198.51.100.0"}}},
		{"198.51.100.7/24", []Term{{Address, "198.51.100.0/24"}, {Address, "198.51.100.0"}, {Address, "198.51.100.7"}}},
		{"2001:DB8::0001", one(Address, "2001:db8::1")},
		{"2001[:]db8[:][:]1", one(Address, "2001:db8::1")},
		{"[2001:db8::1]:443", append(one(Address, "2001:db8::1"), Term{Word, "443"})},
		{"2001:db8::/32", []Term{{Address, "2001:db8::/32"}, {Address, "2001:db8::"}}},
		{"fe80::", one(Address, "fe80::")},
		{"::ffff:198.51.100.7", one(Address, "198.51.100.7")},
		{"::1", one(Address, "::1")},
		{"192.168.0.1", one(Address, "192.168.0.1")},
		{"::", nil},
		{"std::vector", word("std", "vector")},
		{"12:34:56", word("12", "34", "56")},
		{"1.2.3", word("1.2.3")},
		{"999.1.1.1", word("999.1.1.1", "999")},

		// Domains.
		{"Evil.Example", one(Domain, "evil.example")},
		{"evil[.]example", one(Domain, "evil.example")},
		{"evil[dot]example.", one(Domain, "evil.example")},
		{"*.evil.example", one(Domain, "evil.example")},
		{"xn--bcher-kva.XN--P1AI", one(Domain, "xn--bcher-kva.xn--p1ai")},
		{"_dmarc.evil.example", one(Domain, "dmarc.evil.example")},
		{"evil.example:8443/path", append(one(Domain, "evil.example"), word("8443", "path")...)},
		{"invoice.pdf.exe", word("invoice.pdf.exe", "invoice", "pdf", "exe")},
		{"e.g.", word("e.g")},
		{"a..b", word("a..b")},

		// URLs.
		{"hxxp://evil[.]example", []Term{{Domain, "evil.example"}, {URL, "http://evil.example"}}},
		{"hXXps[:]//Evil[.]example/A?b=C", []Term{{Domain, "evil.example"}, {URL, "https://evil.example/A?b=C"}}},
		{"h**p://evil.example/", []Term{{Domain, "evil.example"}, {URL, "http://evil.example"}}},
		{"fxp[://]evil.example/x.", []Term{{Domain, "evil.example"}, {URL, "ftp://evil.example/x"}}},
		{"<HTTP://EVIL.example:81/X>", []Term{{Domain, "evil.example"}, {URL, "http://evil.example:81/X"}}},
		{"http://198.51.100.7:8080/a", []Term{{Address, "198.51.100.7"}, {URL, "http://198.51.100.7:8080/a"}}},
		{"http://[2001:db8::1]:80/a", []Term{{Address, "2001:db8::1"}, {URL, "http://[2001:db8::1]:80/a"}}},
		{"http://u:p@evil.example/a", []Term{{Domain, "evil.example"}, {URL, "http://u:p@evil.example/a"}}},
		{"[here](http://evil.example/a_(b)).", append(word("here"), Term{Domain, "evil.example"}, Term{URL, "http://evil.example/a_(b)"})},
		{"http://a.example/,http://b.example/x", []Term{{Domain, "a.example"}, {URL, "http://a.example"}, {Domain, "b.example"}, {URL, "http://b.example/x"}}},
		{"http://a.example/?u=http://b.example/", []Term{{Domain, "a.example"}, {URL, "http://a.example/?u=http://b.example/"}}},
		{"http://bücher.example/", []Term{{Domain, "bücher.example"}, {Word, "bucher.example"}, {Word, "bucher"}, {Word, "example"}, {URL, "http://bücher.example"}}},
		{"http://localhost/x", append(word("localhost"), Term{URL, "http://localhost/x"})},
		{"http://evil.zip/", []Term{{Domain, "evil.zip"}, {Word, "evil.zip"}, {Word, "evil"}, {Word, "zip"}, {URL, "http://evil.zip"}}},
		{"://evil.example", one(Domain, "evil.example")},
		{"file:///etc/passwd", word("etc", "passwd")},

		// Hashes and CVE ids.
		{strings.ToUpper(md5Hex), one(Hash, md5Hex)},
		{"SHA256:" + sha256Hex, append(word("sha256"), Term{Hash, sha256Hex})},
		{"evil.exe|" + sha1Hex, append(word("evil.exe", "evil", "exe"), Term{Hash, sha1Hex})},
		{strings.Repeat("ab", 64), one(Hash, strings.Repeat("ab", 64))},
		{md5Hex + "0", word(md5Hex + "0")},
		{"cve-2026-12345", one(CVE, "CVE-2026-12345")},
		{"(CVE‑2026‑12345)", one(CVE, "CVE-2026-12345")},
		{"exploit_CVE-2026-1234.py", append(one(CVE, "CVE-2026-1234"), word("exploit", "py")...)},
		{"CVE-2026-123", word("cve-2026-123", "cve", "2026", "123")},

		// E-mail.
		{"A.User@Evil.example", []Term{{Email, "a.user@evil.example"}, {Domain, "evil.example"}}},
		{"mailto:user+tag@evil.example", []Term{{Email, "user+tag@evil.example"}, {Domain, "evil.example"}}},
		{"user[at]evil[.]example", []Term{{Email, "user@evil.example"}, {Domain, "evil.example"}}},
		{"user@localhost", word("user", "localhost")},

		// Words.
		{"Cyclops Blink", word("cyclops", "blink")},
		{"ICSA-24-004-01", word("icsa-24-004-01", "icsa", "24", "004", "01")},
		{"Campagne d'hameçonnage", word("campagne", "hameconnage")},
		{"Łódź ŽLUTÝ ΣΊΣΥΦΟΣ", word("lodz", "zluty", "σίσυφοσ")},
		{"e\u0301te\u0301 \u00e9t\u00e9", word("ete")},
		{"ev\u200bil\u00adware", word("evilware")},
		{"«quoted» – dash… 日本語", word("quoted", "dash", "日本語")},
		{"a b c", nil},
		{"", nil},
		{"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f 8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f", nil},
		{"2026-01-01T00:00:00.000Z", nil},
		{"TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAA=", nil},
		{strings.Repeat("x", 65), nil},
		{`C:\Users\victim\evil.dll`, word("users", "victim", "evil.dll", "evil", "dll")},
		{"\xff\xfe\x00evil", word("evil")},

		// As in documents.
		{"[ipv4-addr:value = '198.51.100.7']", append(word("ipv4-addr", "ipv4", "addr", "value"), Term{Address, "198.51.100.7"})},
		{"[file:hashes.'SHA-256' = '" + sha256Hex + "']", append(word("file", "hashes", "sha-256", "sha", "256"), Term{Hash, sha256Hex})},
		{"evil.example|198.51.100.7", []Term{{Domain, "evil.example"}, {Address, "198.51.100.7"}}},
	} {
		if got := Terms(c.query); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q:\n got %v\nwant %v", c.query, got, c.want)
		}
	}
}

func TestTermsBounds(t *testing.T) {
	if got := Terms("a.example " + strings.Repeat("é", MaxQuery) + " b.example"); len(got) != 1 || got[0] != (Term{Domain, "a.example"}) {
		t.Errorf("of a long query: %v", got)
	}
	long := "http://evil.example/" + strings.Repeat("a", MaxURL)
	if got := Terms(long); !reflect.DeepEqual(got, []Term{{Domain, "evil.example"}}) {
		t.Errorf("of a long URL: %v", got)
	}
}

func TestKindString(t *testing.T) {
	for k := Word; k <= Email; k++ {
		if k.String() == "unknown" || k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	if got := Kind(0).String(); got != "unknown" {
		t.Errorf("kind 0 is %q", got)
	}
}

// TestFoundInDocuments checks that what a query asks for is found in each format, whichever way it is written there.
func TestFoundInDocuments(t *testing.T) {
	for _, c := range []struct{ what, doc, query string }{
		{"stix pattern", bundle(stix("indicator", `"pattern":"[domain-name:value = 'evil.example' OR url:value='http://evil.example/x']"`)), "evil[.]example http://evil.example/x"},
		{"stix observables", bundle(stix("ipv6-addr", `"value":"2001:db8:0::1"`), stix("file", `"hashes":{"MD5":"`+strings.ToUpper(md5Hex)+`"}`)), "2001:db8::1 " + md5Hex},
		{"stix reference", bundle(stix("vulnerability", `"external_references":[{"source_name":"cve","external_id":"CVE-2026-12345"}]`)), "cve-2026-12345"},
		{"misp composite", `{"info":"x","Attribute":[{"type":"filename|sha256","value":"a.exe|` + sha256Hex + `"},{"type":"domain|ip","value":"evil.example|198.51.100.7"}]}`, "a.exe evil.example 198.51.100.7 " + sha256Hex},
		{"csaf", csaf("2.0", `{}`), "cve-2026-12345 EX-2026-1 advisory"},
		{"intelmq", event(`,"source.network":"203.0.113.0/24","source.fqdn":"evil.example"`), "203.0.113.9 203.0.113.0/24 evil.example"},
		{"text", "Der Angriff ging von hxxps://Evil[.]example:443/Gate aus (CVE-2026-12345).", "https://evil.example:443/Gate angriff CVE-2026-12345"},
		{"markdown table", "# x\n|`evil.example`|**198.51.100.7**|\n", "evil.example 198.51.100.7"},
		{"csv", "\"time\",\"ip\"\n\"2026-01-01\",\"198.51.100.7\"\n", "198.51.100.7 ip"},
		{"a string longer than the limit", `{"info":"` + strings.Repeat("lorem ", MaxString) + `evil.example","Orgc":{}}`, "evil.example lorem"},
		{"a line longer than the limit", strings.Repeat("lorem;", MaxLine) + "evil.example", "evil.example lorem"},
	} {
		_, terms, err := read(t, c.doc, "")
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		for _, want := range Terms(c.query) {
			if !terms[want] {
				t.Errorf("%s: %s %q is not found", c.what, want.Kind, want.Value)
			}
		}
	}
}

// checkTerm fails on a term that is not in its normal form.
func checkTerm(t *testing.T, x Term) {
	t.Helper()
	if !utf8.ValidString(x.Value) || strings.ContainsAny(x.Value, " \n\t\x00") || x.Value == "" {
		t.Errorf("%s %q is malformed", x.Kind, x.Value)
	}
	switch x.Kind {
	case Word:
		if n := utf8.RuneCountInString(x.Value); n < 2 || n > MaxWord {
			t.Errorf("word of %d runes", n)
		}
	case Domain:
		if isHost([]byte(x.Value)) && !isDomain([]byte(x.Value)) {
			return // known as a domain only within a URL; the bare name gives words
		}
	case URL:
		if len(x.Value) > MaxURL {
			t.Errorf("URL of %d bytes", len(x.Value))
		}
		return
	case CVE:
		if x.Value != strings.ToUpper(x.Value) {
			t.Errorf("CVE %q", x.Value)
		}
		return
	}
	// A normal form is a fixed point, so that queries made of terms find them again.
	if x.Kind != Word && !slices.Contains(Terms(x.Value), x) {
		t.Errorf("%s %q gives %v", x.Kind, x.Value, Terms(x.Value))
	}
}

func FuzzTerms(f *testing.F) {
	for _, s := range []string{"hxxp://evil[.]example", "198.51.100[.]7 2001:db8::/32", "user[at]evil.example", sha256Hex,
		"CVE-2026-12345", "Campagne d'hameçonnage", "[ipv4-addr:value = '198.51.100.7']", "http://[::1]:80/", "a@b@c.example",
		"[](){}://", "\xff\u200b[.]", "1.2.3.4-1.2.3.9", "://:@/?#", "000A://.0", ":%%@0.Aa", "0@_0.AA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, x := range Terms(query) {
			checkTerm(t, x)
		}
		// A text holds the terms of itself.
		if len(query) > MaxQuery || !isText([]byte(query)) || strings.TrimSpace(query) == "" {
			return
		}
		got := make(map[Term]bool)
		info, err := Read(strings.NewReader("text: "+query), "", func(x Term) { got[x] = true })
		if err != nil || info.Format != Text && info.Format != Markdown {
			return
		}
		for _, x := range Terms("text: " + query) {
			if !got[x] {
				t.Errorf("%v of %q is not in the text", x, query)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{
		bundle(marked("e828b379-4e03-4974-9ac4-e53a884c97c1"), define(someMarking, statement), define(otherMarking, `"name":"TLP:RED"`)),
		misp("tlp:green"), `{"Event":` + misp("tlp:amber") + `}`, `{"response":[{"Event":` + misp() + `}]}`,
		csaf("2.0", `{"tlp":{"label":"WHITE"}}`), csaf("2.1", `{"tlp":{"label":"RED"},"sharing_group":{"id":"x"}}`),
		event(`,"tlp":"AMBER"`) + "\n" + event(""), "# A\n\nTLP:AMBER+STRICT\n\n* evil[.]example\n", "---\ntitle: x\n---\n", "TLP:",
		"[1] text", "{\"a\":[1e5,-0.1,true,null,\"\\ud83d\\ude00\"]}", "\xff\xfe\x00", "\ufeff{}", "[[[[", "{\"a\":\"\\ud800\"}", "TLP:GREEN/AMBER+ORG",
		"0A:: 0 0:0:0:0:0:0:A:0",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		terms := make(map[Term]bool)
		info, err := Read(strings.NewReader(string(doc)), "name.json", func(x Term) { terms[x] = true })
		for x := range terms {
			checkTerm(t, x)
		}
		if err != nil {
			if info != (Info{}) {
				t.Errorf("%+v beside %v", info, err)
			}
			return
		}
		if n := utf8.RuneCountInString(info.Title); n > MaxTitle || strings.ContainsAny(info.Title, "\n\r\x00\x1b\u202e") {
			t.Errorf("title %q", info.Title)
		}
		if info.Label.Valid() && (info.Format == JSON || info.Format == Opaque) {
			t.Errorf("%s is labelled", info.Format)
		}
		checkReaders(t, doc, info, terms)
		checkWrapped(t, doc, info)
		// What is added to a text or to lines cannot widen its label.
		if info.Format == Text || info.Format == Markdown {
			more, err := Read(strings.NewReader(string(doc)+"\nTLP:AMBER\n"), "name.json", nil)
			if err == nil && more.Format != Opaque && more.Label < max(info.Label, tlp.Amber) {
				t.Errorf("%s became %s", info.Label, more.Label)
			}
		}
	})
}

// checkReaders reads doc in single bytes.
func checkReaders(t *testing.T, doc []byte, want Info, wantTerms map[Term]bool) {
	t.Helper()
	terms := make(map[Term]bool)
	got, err := Read(&byteReader{doc}, "name.json", func(x Term) { terms[x] = true })
	if err != nil || got != want {
		t.Errorf("in single bytes: %+v, %v; want %+v", got, err, want)
	}
	if !reflect.DeepEqual(terms, wantTerms) {
		t.Errorf("in single bytes: %d terms, want %d", len(terms), len(wantTerms))
	}
}

type byteReader struct{ rest []byte }

func (r *byteReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	p[0] = r.rest[0]
	r.rest = r.rest[1:]
	return 1, nil
}

// checkWrapped puts a bare MISP event into its wrappers, which must not change anything.
func checkWrapped(t *testing.T, doc []byte, want Info) {
	t.Helper()
	s := strings.TrimPrefix(string(doc), "\ufeff")
	if want.Format != MISP || strings.HasPrefix(strings.TrimSpace(s), "[") {
		return
	}
	for _, wrap := range []string{"[%s]", `{"Event":%s}`, `{"response":[{"Event":%s}]}`} {
		got, err := Read(strings.NewReader(fmt.Sprintf(wrap, s)), "name.json", nil)
		if err == nil && got.Format == MISP && got.Label != want.Label {
			t.Errorf("in %s: %+v, want %+v", wrap, got, want)
		}
	}
}
