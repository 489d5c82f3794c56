package main

import (
	"context"
	"flag"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol/tlp"
)

// completeTimeout bounds how long a shell waits for the names of teams.
const completeTimeout = 2 * time.Second

var completionScripts = map[string]string{
	"bash": `_entente() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$(printf %q "$line")")
    done < <(entente __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default
}
complete -F _entente entente
`,
	"zsh": `#compdef entente
_entente() {
    local -a found
    found=("${(@f)$(entente __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _entente entente
`,
	"fish": `function __entente_complete
    set -l words (commandline -opc) (commandline -ct)
    entente __complete $words[2..-1] 2>/dev/null
end
complete -c entente -a '(__entente_complete)'
`,
}

var completionCmd = command{
	name: "completion", section: "Program", args: "bash | zsh | fish",
	short: "a script that completes commands, teams and rooms in a shell",
	long:  `Names of teams and rooms are completed while a node is running for the home.`,
	example: `entente completion bash > /etc/bash_completion.d/entente
entente completion zsh > "${fpath[1]}/_entente"
entente completion fish > ~/.config/fish/completions/entente.fish`,
	complete: func(context.Context, *program) []string { return []string{"bash", "zsh", "fish"} },
	setup: func(*flag.FlagSet, *program) action {
		return func(_ context.Context, p *program, args []string) error {
			if err := wantArgs(args, 1, 1, "the name of a shell: bash, zsh or fish"); err != nil {
				return err
			}
			s, ok := completionScripts[args[0]]
			if !ok {
				return usagef("no completion for %q: there is bash, zsh and fish", args[0])
			}
			p.out.writer().WriteString(s)
			return nil
		}
	},
}

// completeCmd answers the completion scripts: its arguments are the words typed so far, the last of which is being typed.
var completeCmd = command{
	name: "__complete", hidden: true, raw: true, short: "answers the completion scripts",
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, completeTimeout)
			defer cancel()
			for _, w := range candidates(ctx, p, args) {
				if !strings.ContainsAny(w, "\n\r") {
					p.out.linef("%s", plainLine(w))
				}
			}
			return nil
		}
	},
}

// candidates returns what the last of the words may become.
func candidates(ctx context.Context, p *program, words []string) []string {
	last := ""
	if len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
		last = strings.NewReplacer("\\", "", "'", "", `"`, "").Replace(last) // as a shell quotes it
	}
	var typed []string // without flags
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case w == "--home" && i+1 < len(words):
			i++
			p.home = words[i]
		case strings.HasPrefix(w, "--home="):
			p.home = strings.TrimPrefix(w, "--home=")
		case !strings.HasPrefix(w, "-"):
			typed = append(typed, w)
		}
	}
	var out []string
	all := commands()
	var c *command
	for i := range all {
		name := strings.Fields(all[i].name)
		if len(typed) >= len(name) && slices.Equal(name, typed[:len(name)]) && !all[i].hidden {
			c = &all[i]
		}
	}
	switch {
	case c != nil && len(words) > 0 && valuesOf(c, words[len(words)-1]) != nil:
		out = valuesOf(c, words[len(words)-1])(ctx, p)
	case c != nil && strings.HasPrefix(last, "-"):
		fs := newFlagSet(c)
		p.globals(fs)
		if !c.raw {
			c.setup(fs, p)
		}
		fs.VisitAll(func(f *flag.Flag) { out = append(out, "--"+f.Name) })
	case c != nil && c.complete != nil:
		out = c.complete(ctx, p)
	case c != nil:
	case len(typed) == 0:
		out = firstWords(all)
	default:
		for _, m := range group(all, typed[0]) {
			out = append(out, strings.Fields(m.name)[1])
		}
	}
	out = slices.DeleteFunc(out, func(w string) bool { return !strings.HasPrefix(strings.ToLower(w), strings.ToLower(last)) })
	slices.Sort(out)
	return slices.Compact(out)
}

// flagWords complete the values of flags that mean the same in all commands.
var flagWords = map[string]func(context.Context, *program) []string{
	"--from":    teamNames,
	"--for":     teamNames,
	"--to":      audiences,
	"--tlp":     labels,
	"--tlp-max": labels,

	"--steward":      teamNames,
	"--member":       teamNames,
	"--add-steward":  teamNames,
	"--drop-steward": teamNames,
	"--replaces":     roomNames,
	"--attribution":  words("author", "room", "none"),
	"--attribute":    words("author", "room", "none"),
	"--history":      words("joining", "date", "all"),
	"--onward":       words("none", "constituents", "label"),
}

// words completes to one of a few words.
func words(ws ...string) func(context.Context, *program) []string {
	return func(context.Context, *program) []string { return ws }
}

// valuesOf returns what completes the value of a command's flag, or nil.
func valuesOf(c *command, flag string) func(context.Context, *program) []string {
	if c.name == exportCmd.name && flag == "--to" {
		return func(context.Context, *program) []string { return append([]string{"media"}, reaches...) }
	}
	return flagWords[flag]
}

func labels(context.Context, *program) []string {
	var out []string
	for _, l := range tlp.All() {
		out = append(out, l.String())
	}
	return out
}

// audiences returns whom a message may be for.
func audiences(ctx context.Context, p *program) []string {
	out := []string{"community"}
	for _, n := range teamNames(ctx, p) {
		out = append(out, "team:"+n)
	}
	for _, id := range agreementIDs(ctx, p) {
		out = append(out, "agreement:"+id)
	}
	for _, r := range knownRooms(ctx, p) {
		out = append(out, "room:"+r.Name)
	}
	return out
}

// teamNames returns the names of the teams that the running node knows; none if no node is running.
func teamNames(ctx context.Context, p *program) []string {
	c, err := p.dial()
	if err != nil {
		return nil
	}
	defer c.Close()
	var names []string
	_ = c.Teams(ctx, func(t control.Team) error {
		if !t.Self {
			names = append(names, t.Name)
		}
		return nil
	})
	return names
}

var versionCmd = command{
	name: "version", section: "Program",
	short:   "version, commit, Go and protocol version",
	example: `entente version --json`,
	setup: func(*flag.FlagSet, *program) action {
		return func(_ context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "version"); err != nil {
				return err
			}
			v := control.Build()
			if p.json {
				return p.out.object(v)
			}
			p.out.linef("entente %s (commit %s, %s, protocol %d)", v.Version, orDash(v.Commit), v.Go, v.Protocol)
			return nil
		}
	},
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
