package node

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestMentions(t *testing.T) {
	long := strings.Repeat("lorem ipsum ", 20_000)
	for _, tc := range []struct {
		text, name string
		want       bool
	}{
		{"as CERT-A told us", "CERT-A", true},
		{"as cert-a told us", "Cert-A", true},
		{"CERT-A", "CERT-A", true},
		{"CERT-AB told us", "CERT-A", false},
		{"XCERT-A told us", "CERT-A", false},
		{"CERT-ABC, and CERT-A", "CERT-A", true},
		{`{"name":"CERT-A","x":1}`, "CERT-A", true},
		{"by Équipe Nord today", "Équipe Nord", true},
		{`"by \u00c9quipe Nord"`, "Équipe Nord", true},
		{"nothing of the kind", "CERT-A", false},
		{"", "CERT-A", false},
		{"anything", "", false},
		{"anything", "  ", false},
		{long + "CERT-A", "CERT-A", true},
		{long + "CERT-A " + long, "CERT-A", true},
		{long + "CERT-AX" + long, "CERT-A", false},
	} {
		for _, r := range []io.Reader{strings.NewReader(tc.text), iotest.HalfReader(strings.NewReader(tc.text)), iotest.DataErrReader(strings.NewReader(tc.text))} {
			if got, err := mentions(r, []string{"somebody else", tc.name}); err != nil || got != tc.want {
				t.Errorf("%.30q in a text of %d bytes: got %v, %v, want %v", tc.name, len(tc.text), got, err, tc.want)
			}
		}
	}
	// Wherever the name stands between two steps.
	for at := mentionChunk - 12; at < mentionChunk+12; at++ {
		text := append(bytes.Repeat([]byte{' '}, at), "cert-a"...)
		for _, tail := range []string{"", " ", "x"} {
			got, err := mentions(strings.NewReader(string(text)+tail+strings.Repeat(" ", 100*len(tail))), []string{"CERT-A", "a name that is longer"})
			if err != nil || got != (tail != "x") {
				t.Errorf("at %d, before %q: got %v, %v", at, tail, got, err)
			}
		}
	}
	if _, err := mentions(iotest.ErrReader(errors.New("gone")), []string{"x"}); err == nil {
		t.Error("a text that cannot be read is taken for one that names nobody")
	}
	if got, err := mentions(iotest.ErrReader(errors.New("gone")), nil); err != nil || got {
		t.Errorf("without names: got %v, %v", got, err)
	}
}
