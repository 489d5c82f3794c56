package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
)

// runProgram runs the command line in this process, with nothing from outside.
func runProgram(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(k string) string {
		return map[string]string{"HOME": t.TempDir(), "USER": "tester"}[k]
	}}
	code = p.main(context.Background(), args)
	return out.String(), errs.String(), code
}

// Every command has a help page that says what it does and shows an example.
func TestHelpOfEveryCommand(t *testing.T) {
	for _, c := range commands() {
		if c.hidden {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			asked, stderr, code := runProgram(t, append([]string{"help"}, strings.Fields(c.name)...)...)
			if code != exitDone || stderr != "" {
				t.Errorf("exit code %d, standard error %q", code, stderr)
			}
			for _, want := range []string{"usage: entente " + c.name, "Example\n  entente", "--json", "--home DIR"} {
				if !strings.Contains(asked, want) {
					t.Errorf("help lacks %q:\n%s", want, asked)
				}
			}
			flagged, _, _ := runProgram(t, append(strings.Fields(c.name), "--help")...)
			if flagged != asked {
				t.Errorf("--help and help differ:\n%s\n%s", flagged, asked)
			}
			if !slices.Contains(sections, c.section) {
				t.Errorf("section %q is not in the overview", c.section)
			}
			for l := range strings.Lines(asked) {
				if n := utf8.RuneCountInString(strings.TrimRight(l, "\n")); n > 160 {
					t.Errorf("a line of %d characters: %s", n, l)
				}
			}
		})
	}
	for _, topic := range topics {
		if out, _, code := runProgram(t, "help", topic.name); code != exitDone || !strings.Contains(out, strings.TrimSpace(topic.text)) {
			t.Errorf("help %s: exit code %d, %q", topic.name, code, out)
		}
	}
}

// Flags may stand before, between and after the arguments, and global ones before the command too.
func TestParse(t *testing.T) {
	for _, tc := range []struct {
		args, want, flags string
	}{
		{"a b", "a b", "|false|[]"},
		{"--s x a b", "a b", "x|false|[]"},
		{"a --s x b --b", "a b", "x|true|[]"},
		{"a b --s=x --l 1 --l 2", "a b", "x|false|[1 2]"},
		{"a -- --s x", "a --s x", "|false|[]"},
		{"- -b", "-", "|true|[]"},
	} {
		fs := flag.NewFlagSet("t", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		s, b := fs.String("s", "", ""), fs.Bool("b", false, "")
		var l list
		fs.Var(&l, "l", "")
		got, err := parse(fs, strings.Fields(tc.args))
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("parse(%q): got %q, %v; want %q", tc.args, got, err, tc.want)
		}
		if flags := fmt.Sprintf("%s|%v|%v", *s, *b, []string(l)); flags != tc.flags {
			t.Errorf("parse(%q): got flags %s, want %s", tc.args, flags, tc.flags)
		}
	}
	for _, args := range [][]string{
		{"--json", "--home", "nowhere", "status"},
		{"status", "--json", "--home", "nowhere"},
		{"--home=nowhere", "team", "--json", "list"},
	} {
		if _, stderr, code := runProgram(t, args...); code != exitNoNode || !strings.Contains(stderr, "nowhere") {
			t.Errorf("%q: exit code %d, %q; want %d and the home named", args, code, stderr, exitNoNode)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{errors.New("x"), exitFailed},
		{usagef("x"), exitUsage},
		{withHint(usagef("x"), "y"), exitUsage},
		{control.ErrNotRunning, exitNoNode},
		{fmt.Errorf("x: %w", control.ErrNotRunning), exitNoNode},
		{&node.RefusedError{Rule: "r"}, exitRefused},
		{fmt.Errorf("file: %w", &control.Error{Text: "x", Code: control.Refused, Rule: "r"}), exitRefused},
		{&control.Error{Text: "x", Code: control.Conflict}, exitRefused},
		{&control.Error{Text: "x", Code: control.Usage}, exitUsage},
		{&control.Error{Text: "x", Code: control.NotFound}, exitFailed},
		{&control.Error{Text: "x", Code: control.Full}, exitFailed},
		{&partial{"x", exitRefused}, exitRefused},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("exitCode(%v): got %d, want %d", tc.err, got, tc.want)
		}
	}
	// The worst of several files.
	order := []int{exitDone, exitUsage, exitRefused, exitFailed, exitNoNode}
	for i := 1; i < len(order); i++ {
		if severity(order[i-1]) >= severity(order[i]) {
			t.Errorf("severity(%d) is not below severity(%d)", order[i-1], order[i])
		}
	}
}

func TestSuggest(t *testing.T) {
	words := []string{"send", "search", "status", "show", "inbox"}
	for s, want := range map[string]string{"sned": "send", "serach": "search", "stat": "status", "shwo": "show", "zzzzz": "", "": "", strings.Repeat("x", 10_000): ""} {
		if got := suggest(s, words); got != want {
			t.Errorf("suggest(%.20q): got %q, want %q", s, got, want)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2026-03-01T10:00:00Z":      time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		"2026-03-01T10:00:00+02:00": time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC),
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		"90m":                       now.Add(-90 * time.Minute),
		"7d":                        now.AddDate(0, 0, -7),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("parseSince(%q): got %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "yesterday", "-3h", "9999999999d", "-1d", "2026-13-01"} {
		if got, err := parseSince(s, now); err == nil {
			t.Errorf("parseSince(%q): got %v, want an error", s, got)
		}
	}
}
