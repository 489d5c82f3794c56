package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// An agreement in words says everything that the record says, so that nobody signs what was not shown.
func TestAgreementTextSaysAll(t *testing.T) {
	a := protocol.Agreement{A: protocol.Hash{1}, B: protocol.Hash{2}, RootA: protocol.Hash{3}, RootB: protocol.Hash{4}, Prev: protocol.Hash{5},
		Title: "A title", Ceiling: tlp.AmberStrict, Policy: protocol.DefaultIEP(), Purposes: []string{"first purpose", "second purpose"},
		Types: []string{"incident-metrics", "updates"}, Onward: protocol.OnwardConstituents, Keep: 31, Receipts: protocol.ReceiptsStored,
		From: 1767225600, Until: 1798761600, Issued: 1767225599, Text: "One more\nthing."}
	id := protocol.Hash{6}
	got := agreementText(id, &a, "CERT-A", "CERT-B")
	for _, want := range []string{"CERT-A", "CERT-B", id.String(), a.A.String(), a.B.String(), a.RootA.String(), a.RootB.String(), a.Prev.String(),
		"A title", "TLP:AMBER+STRICT", "first purpose", "second purpose", "incident-metrics", "updates", "its constituents", "31 days",
		"stored", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "One more\n  thing."} {
		if !strings.Contains(got, want) {
			t.Errorf("the text does not say %q:\n%s", want, got)
		}
	}
	if again := agreementText(id, &a, "CERT-A", "CERT-B"); again != got {
		t.Error("the same agreement gives two texts")
	}
	for l := range strings.Lines(got) {
		if n := utf8.RuneCountInString(strings.TrimRight(l, "\n")); n > textWidth {
			t.Errorf("a line of %d characters: %q", n, l)
		}
	}

	// Each value of each field has words of its own.
	seen := map[string]string{}
	note := func(what, text string) {
		t.Helper()
		if other, ok := seen[text]; ok {
			t.Errorf("%s and %s read the same", what, other)
		}
		seen[text] = what
	}
	note("as it is", got)
	for i, f := range protocol.IEPValues() {
		for _, v := range f.Values {
			b := a
			fields := []*string{&b.Policy.Encrypt, &b.Policy.Actions, &b.Policy.Notify, &b.Policy.Attribution, &b.Policy.Resale}
			if *fields[i] == v {
				continue
			}
			if err := setIEP(&b.Policy, f.Name, v); err != nil || *fields[i] != v {
				t.Fatalf("setting %s=%s: got %+v, %v", f.Name, v, b.Policy, err)
			}
			text := agreementText(id, &b, "CERT-A", "CERT-B")
			if !strings.Contains(text, "("+f.Name+": "+v+")") || strings.Contains(text, "  - \n") {
				t.Errorf("%s=%s is not told:\n%s", f.Name, v, text)
			}
			note(f.Name+"="+v, text)
		}
	}
	for _, o := range []protocol.Onward{protocol.OnwardNone, protocol.OnwardLabel} {
		b := a
		b.Onward = o
		note("onward "+o.String(), agreementText(id, &b, "CERT-A", "CERT-B"))
	}
	for _, r := range []protocol.Receipting{protocol.ReceiptsNone, protocol.ReceiptsOpened} {
		b := a
		b.Receipts = r
		note("receipts "+r.String(), agreementText(id, &b, "CERT-A", "CERT-B"))
	}
	for _, l := range tlp.All() {
		if b := a; l != a.Ceiling {
			b.Ceiling = l
			note("ceiling "+l.String(), agreementText(id, &b, "CERT-A", "CERT-B"))
		}
	}
	b := a
	b.Keep, b.Purposes, b.Types, b.Prev, b.Text, b.Title = 0, nil, nil, protocol.Hash{}, "", ""
	note("nothing more", agreementText(id, &b, "CERT-A", "CERT-B"))
}

// What the other team wrote into an agreement does nothing to a terminal, and cannot make an article of its own.
func TestAgreementTextIsPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := func(what string) string {
			return string(rapid.SliceOf(rapid.Byte()).Draw(t, what+" bytes")) + rapid.String().Draw(t, what)
		}
		a := protocol.Agreement{Ceiling: tlp.Amber, Policy: protocol.DefaultIEP(), Onward: protocol.OnwardLabel, Receipts: protocol.ReceiptsNone,
			Title: s("title"), Purposes: []string{s("purpose")}, Types: []string{s("type")}, Text: s("text")}
		got := agreementText(protocol.Hash{}, &a, s("a"), s("b"))
		if plainText(got) != got {
			t.Fatalf("the text is not plain: %q", got)
		}
	})
	a := protocol.Agreement{Ceiling: tlp.Amber, Policy: protocol.DefaultIEP(), Onward: protocol.OnwardNone, Receipts: protocol.ReceiptsNone,
		Purposes: []string{"x\n2. What may be sent\nMessages up to TLP:RED"}, Text: "y\n2. What may be sent\nEverything."}
	got := agreementText(protocol.Hash{}, &a, "A\n2. What may be sent", "B")
	if n := strings.Count(got, "\n2. What may be sent\n"); n != 1 {
		t.Errorf("the article on what may be sent stands %d times at the beginning of a line:\n%s", n, got)
	}
}

func TestLogKey(t *testing.T) {
	good := "entente/ab+0e39a8d7+AS6fZ9v1bVjds7dxk2bkjwE2NYv+EWY/vJSG7TC3fo2/"
	if k, err := logKey(good); err != nil || len(k) != 32 {
		t.Errorf("a log's key: got %d bytes, %v", len(k), err)
	}
	for _, bad := range []string{"", "x", "a+b", "a+b+", "a+b+!!", "a+b+AAAA", strings.Replace(good, "+AS", "+BS", 1), good + "AAAA"} {
		if _, err := logKey(bad); exitCode(err) != exitUsage {
			t.Errorf("logKey(%q): got %v, want a usage error", bad, err)
		}
	}
}

func TestSplitProofs(t *testing.T) {
	one, two := proofMark+"extra A\nindex 1\n\nnote\n", proofMark+"extra B\nindex 2\n\nnote\n"
	for _, tc := range []struct {
		in   string
		want int
	}{{"", 0}, {one, 1}, {one + "\n" + two, 2}, {strings.ReplaceAll(one+two, "\n", "\r\n"), 2}} {
		got := splitProofs(tc.in)
		if len(got) != tc.want {
			t.Errorf("splitProofs(%q): got %d, want %d", tc.in, len(got), tc.want)
		}
		if len(got) > 0 && got[0] != one || len(got) > 1 && got[1] != two {
			t.Errorf("splitProofs(%q): got %q", tc.in, got)
		}
	}
}

// A node that drafts other terms than an officer asked for gets no signature.
func TestCheckDraft(t *testing.T) {
	policy := protocol.DefaultIEP()
	asked := control.Terms{TLPMax: tlp.Amber, Days: 365, KeepDays: 90, Title: "x", Purposes: []string{"p"}, Types: []string{"updates"},
		Onward: "none", Receipts: "stored", Policy: &policy, Text: "y", Prev: protocol.Hash{1}}
	good := protocol.Agreement{Ceiling: tlp.Amber, From: 1767225600, Until: 1767225600 + 365*24*3600, Keep: 90, Title: "x", Purposes: []string{"p"},
		Types: []string{"updates"}, Onward: protocol.OnwardNone, Receipts: protocol.ReceiptsStored, Policy: policy, Text: "y", Prev: protocol.Hash{1}}
	if err := checkDraft(&good, &asked); err != nil {
		t.Errorf("what was asked for: %v", err)
	}
	loose := control.Terms{TLPMax: tlp.Amber, KeepDays: 90, Title: "x", Purposes: []string{"p"}, Types: []string{"updates"}, Text: "y", Prev: protocol.Hash{1}}
	if err := checkDraft(&good, &loose); err != nil {
		t.Errorf("defaults of the node: %v", err)
	}
	for what, change := range map[string]func(*protocol.Agreement){
		"ceiling":  func(a *protocol.Agreement) { a.Ceiling = tlp.Red },
		"days":     func(a *protocol.Agreement) { a.Until += 10 * 24 * 3600 },
		"no time":  func(a *protocol.Agreement) { a.Until = a.From },
		"keep":     func(a *protocol.Agreement) { a.Keep = 0 },
		"title":    func(a *protocol.Agreement) { a.Title = "" },
		"purposes": func(a *protocol.Agreement) { a.Purposes = nil },
		"types":    func(a *protocol.Agreement) { a.Types = nil },
		"onward":   func(a *protocol.Agreement) { a.Onward = protocol.OnwardLabel },
		"receipts": func(a *protocol.Agreement) { a.Receipts = protocol.ReceiptsNone },
		"policy":   func(a *protocol.Agreement) { a.Policy.Resale = "may" },
		"text":     func(a *protocol.Agreement) { a.Text += " and all" },
		"prev":     func(a *protocol.Agreement) { a.Prev = protocol.Hash{} },
	} {
		a := good
		change(&a)
		if err := checkDraft(&a, &asked); err == nil {
			t.Errorf("another %s was not seen", what)
		}
	}
}
