package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// sections of the overview, in order.
var sections = []string{"Start", "Teams", "Messages", "Agreements", "Rooms", "Care", "People and keys", "Program"}

var helpCmd = command{
	name: "help", section: "Program", args: "[COMMAND | TOPIC]",
	short: "what a command does, or what a word means",
	long: `Without an argument: all commands. With the name of a command: what it does, its flags and an
example. With a topic: a page about it. The topics are: ` + topicNames() + `.`,
	example: `entente help send
entente help labels`,
	complete: func(context.Context, *program) []string { return append(firstWords(commands()), topicWords()...) },
	setup: func(*flag.FlagSet, *program) action {
		return func(_ context.Context, p *program, args []string) error { return helpCommand(p, args) }
	},
}

// helpCommand prints the help that was asked for, which is a result: it goes to standard output.
func helpCommand(p *program, args []string) error {
	var b bytes.Buffer
	err := writeHelp(&b, args)
	if _, werr := p.stdout.Write(b.Bytes()); err == nil {
		err = werr
	}
	return err
}

func writeHelp(w io.Writer, args []string) error {
	if len(args) == 0 {
		overview(w)
		return nil
	}
	name := strings.Join(args, " ")
	all := commands()
	for i := range all {
		if all[i].name == name && !all[i].hidden {
			return writeCommandHelp(w, &all[i])
		}
	}
	if members := group(all, args[0]); len(members) > 0 && len(args) == 1 {
		groupOverview(w, args[0], members)
		return nil
	}
	for _, t := range topics {
		if t.name == name {
			fmt.Fprintf(w, "%s\n", strings.TrimSpace(t.text))
			return nil
		}
	}
	return &usageError{text: fmt.Sprintf("no help on %q: it is no command and no topic", name),
		suggest: prefixed("help ", suggest(args[0], append(firstWords(all), topicWords()...)))}
}

func prefixed(p, s string) string {
	if s == "" {
		return ""
	}
	return p + s
}

func overview(w io.Writer) {
	fmt.Fprintf(w, `Entente: signed, labelled messages between CERTs, without a centre.

usage: entente [--home DIR] [--json] COMMAND …
`)
	for _, s := range sections {
		var t [][2]string
		for _, c := range commands() {
			if c.section == s && !c.hidden {
				t = append(t, [2]string{c.name, c.short})
			}
		}
		fmt.Fprintf(w, "\n%s\n", s)
		columns(w, t)
	}
	fmt.Fprintf(w, `
More: entente help COMMAND, or entente help TOPIC (%s).
New here? entente help start
`, topicNames())
}

func groupOverview(w io.Writer, name string, members []*command) {
	fmt.Fprintf(w, "usage: entente %s COMMAND …\n\n", name)
	var t [][2]string
	for _, c := range members {
		if !c.hidden {
			t = append(t, [2]string{c.name, c.short})
		}
	}
	columns(w, t)
	fmt.Fprintf(w, "\nMore: entente help %s COMMAND\n", name)
}

func columns(w io.Writer, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(w, "  %-*s  %s\n", width, r[0], r[1])
	}
}

func writeCommandHelp(w io.Writer, c *command) error {
	fs := newFlagSet(c)
	c.setup(fs, &program{})
	var flags [][2]string
	fs.VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if arg != "" {
			name += " " + arg
			text = strings.TrimPrefix(text, arg+": ")
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			text += " (default " + f.DefValue + ")"
		}
		flags = append(flags, [2]string{name, text})
	})
	line := "usage: entente " + c.name
	if len(flags) > 0 {
		line += " [FLAGS]"
	}
	if c.args != "" {
		line += " " + c.args
	}
	fmt.Fprintf(w, "%s\n\n%s.\n", line, strings.ToUpper(c.short[:1])+c.short[1:])
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.long))
	}
	if len(flags) > 0 {
		fmt.Fprintf(w, "\nFlags\n")
		columns(w, flags)
	}
	fmt.Fprintf(w, "\nEverywhere\n")
	columns(w, [][2]string{{"--home DIR", "the home of keys and messages (also ENTENTE_HOME)"}, {"--json", "results as JSON, one object per line"}})
	if c.example != "" {
		fmt.Fprintf(w, "\nExample\n")
		for l := range strings.Lines(strings.TrimSpace(c.example)) {
			fmt.Fprintf(w, "  %s\n", strings.TrimRight(l, "\n"))
		}
	}
	return nil
}

// suggest returns the word that s was probably meant to be, or "".
func suggest(s string, words []string) string {
	best, at := "", 3
	for _, w := range words {
		if strings.HasPrefix(w, s) && len(s) > 1 {
			return w
		}
		if d := distance(s, w); d < at && d < len(w) {
			best, at = w, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements between two words.
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}

func topicWords() []string {
	var ws []string
	for _, t := range topics {
		ws = append(ws, t.name)
	}
	slices.SortFunc(ws, cmp.Compare[string])
	return ws
}

func topicNames() string { return strings.Join(topicWords(), ", ") }
