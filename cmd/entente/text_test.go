package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/content"
)

func TestPlain(t *testing.T) {
	for _, tc := range []struct{ in, line, text string }{
		{"CERT-Österreich ⚠ 日本", "CERT-Österreich ⚠ 日本", "CERT-Österreich ⚠ 日本"},
		{"a\u00a0b\u202fc\u3000d", "a\u00a0b\u202fc\u3000d", "a\u00a0b\u202fc\u3000d"},
		{"a\x1b[31mb", "a\uFFFD[31mb", "a\uFFFD[31mb"},
		{"a\x07\x08\x7fb", "a\uFFFD\uFFFD\uFFFDb", "a\uFFFD\uFFFD\uFFFDb"},
		{"a\u009b2Jb", "a\uFFFD2Jb", "a\uFFFD2Jb"},
		{"a\u202eb\u2066c\u200bd\ufeff", "a\uFFFDb\uFFFDc\uFFFDd\uFFFD", "a\uFFFDb\uFFFDc\uFFFDd\uFFFD"},
		{"a\nb\tc\r", "a\uFFFDb\uFFFDc\uFFFD", "a\nb\tc\uFFFD"},
		{"a\u2028b\u2029c", "a\uFFFDb\uFFFDc", "a\uFFFDb\uFFFDc"},
		{"a\xffb", "a\uFFFDb", "a\uFFFDb"},
		{"\U000E0041tag", "\uFFFDtag", "\uFFFDtag"},
	} {
		if got := plainLine(tc.in); got != tc.line {
			t.Errorf("plainLine(%q): got %q, want %q", tc.in, got, tc.line)
		}
		if got := plainText(tc.in); got != tc.text {
			t.Errorf("plainText(%q): got %q, want %q", tc.in, got, tc.text)
		}
	}
}

func TestPlainProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "string")
		got := plainLine(s)
		if !utf8.ValidString(got) {
			t.Fatalf("plainLine(%q) is not UTF-8", s)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
				t.Fatalf("plainLine(%q) holds %U", s, r)
			}
		}
		if plainLine(got) != got {
			t.Fatalf("plainLine(%q) is not plain", s)
		}
	})
}

// Tables and JSON carry names and titles of other teams to the terminal; neither does anything there, and JSON loses nothing.
func TestHostileNamesInResults(t *testing.T) {
	const evil = "CERT\x1b]0;x\x07\u202e\u009b2J\u2028\U000E0041"
	title := evil
	m := control.Message{TLP: 1, Author: control.TeamRef{Name: evil}, Title: &title, File: evil, Audience: control.Audience{Name: evil}}
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		p := &program{json: asJSON, out: &printer{w: &out}, stderr: &out}
		l := messageList{p: p}
		if err := l.add(m); err != nil {
			t.Fatal(err)
		}
		l.print()
		tm := control.Team{TeamRef: control.TeamRef{Name: evil}, Why: evil, Method: evil, Fingerprint: evil,
			Nodes: []control.Node{{Name: evil, Addresses: []string{evil}}}, Officers: []control.Officer{{Name: evil}},
			Card: &control.Card{Name: evil, Hours: evil}}
		if asJSON {
			if err := p.out.object(tm); err != nil {
				t.Fatal(err)
			}
		} else {
			printTeams(p, []control.Team{tm}, true)
			printTeam(p, &tm)
			printStatus(p, &control.Status{Team: tm.TeamRef, Peers: []control.Peer{{Name: evil, LastError: evil}}, Unlock: evil,
				Outbox: []control.Outbox{{Name: evil}}})
			printAgreements(p, []control.Agreement{{Partner: tm.TeamRef, Title: evil, Why: evil, State: evil, TLPMax: 1}})
			if err := printStanding(p, &control.Agreement{Partner: tm.TeamRef, Why: evil, State: evil, TLPMax: 1}); err != nil {
				t.Fatal(err)
			}
			red := m
			red.Title, red.Sealed, red.Persons = nil, true, []control.Person{{TeamName: evil, Name: evil}}
			showHeader(p, &red)
			label := m.TLP
			printPreview(p, &control.Sent{TLP: &label, Audience: control.Audience{Kind: "person", Name: evil}, Notes: []string{evil},
				Readers: []control.Reader{{Name: evil}}, Persons: red.Persons}, 2)
		}
		if err := p.out.flush(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != plainText(got) {
			t.Errorf("json %v: the output holds characters that a terminal acts upon: %q", asJSON, got)
		}
		if asJSON {
			var back control.Message
			line, _, _ := strings.Cut(out.String(), "\n")
			if err := json.Unmarshal([]byte(line), &back); err != nil || *back.Title != evil || back.Author.Name != evil {
				t.Errorf("the title came back as %q, %v", *back.Title, err)
			}
		}
	}
	var errs bytes.Buffer
	p := &program{stderr: &errs, getenv: func(string) string { return "" }}
	p.complain(&control.Error{Text: evil, Code: control.Refused, Rule: evil, Hint: evil})
	if got := errs.String(); got != plainText(got) {
		t.Errorf("the error holds characters that a terminal acts upon: %q", got)
	}
}

func TestTerminalGuard(t *testing.T) {
	for _, tc := range []struct {
		in string
		ok bool
	}{
		{"plain text\nwith Ümläuts 日本\r\n", true},
		{"an \x1b[2J escape", false},
		{"a bell \x07", false},
		{"\xff\xfe", false},
		{"cut short \xe6\x97", false},
		{"an overprint \r", false},
	} {
		for _, size := range []int{1, 2, 3, 100} { // however the bytes are cut
			var out bytes.Buffer
			g := &terminalGuard{w: &out}
			var err error
			for b := []byte(tc.in); len(b) > 0 && err == nil; {
				n := min(size, len(b))
				_, err = g.Write(b[:n])
				b = b[n:]
			}
			if err == nil {
				err = g.finish()
			}
			if (err == nil) != tc.ok {
				t.Errorf("%q in parts of %d: got %v, want ok %v", tc.in, size, err, tc.ok)
			}
			if tc.ok && out.String() != tc.in {
				t.Errorf("%q in parts of %d: got %q", tc.in, size, out.String())
			}
		}
	}
}

func TestShortIDs(t *testing.T) {
	a, b, c := strings.Repeat("ab", 32), strings.Repeat("ab", 6)+strings.Repeat("cd", 26), strings.Repeat("ef", 32)
	got := shortIDs([]string{a, b, c, a})
	seen := map[string]bool{}
	for id, s := range got {
		if !strings.HasPrefix(id, s) || len(s) < 10 || seen[s] {
			t.Errorf("%s is shortened to %q", id, s)
		}
		seen[s] = true
	}
	if len(got) != 3 {
		t.Errorf("got %d ids, want 3", len(got))
	}
}

// What cut off documents say is shown as far as it goes, and nothing hangs or panics.
func TestReadable(t *testing.T) {
	const doc = `{"type":"bundle","objects":[{"type":"report","name":"A title","description":"two\nlines","id":"x--1"},` +
		`{"type":"indicator","pattern":"[ipv4-addr:value = '192.0.2.1']","labels":["TLP:RED","name"]}]}`
	got := readable(string(content.STIX21), []byte(doc))
	for _, want := range []string{"name: A title\n", "description:\n    two\n    lines\n", "pattern: [ipv4-addr"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if strings.Contains(got, "x--1") {
		t.Errorf("got %q: an identifier tells a person nothing", got)
	}
	for i := range doc {
		readable(string(content.STIX21), []byte(doc[:i]))
	}
	if got := readable(string(content.Text), []byte("as it is")); got != "as it is" {
		t.Errorf("text: got %q", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 30: "1.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d): got %q, want %q", n, got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	for s, want := range map[string]string{"CERT-A": "CERT-A", "CERT A": "'CERT A'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "a\x1bb": "a\uFFFDb"} {
		if got := quoted(s); got != want {
			t.Errorf("quoted(%q): got %s, want %s", s, got, want)
		}
	}
}
