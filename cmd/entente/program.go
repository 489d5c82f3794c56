package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/entente-network/entente/node/control"
)

// A program is one run of the command line.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	home string // --home
	json bool   // --json

	passphraseFile string // --passphrase-file, of commands that sign
	unlockFile     string // --unlock-file, of commands that open the home themselves
	out            *printer
	interrupted    <-chan struct{} // closed when the person ends the program
}

// An action does a command's work, with its flags parsed.
type action func(ctx context.Context, p *program, args []string) error

// A command is an entry of the table. To add one, write a file with its command value and list it in commands.
type command struct {
	name    string // one word or, in a group, two
	section string // where the overview lists it
	args    string // what follows the flags, for the usage line
	short   string // one line for the overview
	long    string // paragraphs for help
	example string // lines as they would be typed
	hidden  bool   // for programs; not in the overview
	raw     bool   // gets its arguments unparsed
	// complete returns the words that may stand as the argument; nil: files.
	complete func(ctx context.Context, p *program) []string
	// setup declares the flags and returns what runs once they are parsed.
	setup func(fs *flag.FlagSet, p *program) action
}

// Exit codes, as contracted.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
	exitNoNode  = 4
)

func (p *program) main(ctx context.Context, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	p.interrupted = ctx.Done()
	p.home = p.defaultHome()
	p.out = &printer{w: p.stdout}
	err := p.dispatch(ctx, args)
	if ferr := p.out.flush(); err == nil {
		err = ferr
	}
	return p.report(err)
}

// defaultHome is ENTENTE_HOME, or a directory among the user's data.
func (p *program) defaultHome() string {
	if h := p.getenv("ENTENTE_HOME"); h != "" {
		return h
	}
	if d := p.getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "entente")
	}
	if d := p.getenv("HOME"); d != "" {
		return filepath.Join(d, ".local", "share", "entente")
	}
	return "entente-home"
}

func (p *program) globals(fs *flag.FlagSet) {
	fs.StringVar(&p.home, "home", p.home, "the home `DIR` of keys and messages (also ENTENTE_HOME)")
	fs.BoolVar(&p.json, "json", p.json, "print results as JSON, one object per line")
}

// dispatch finds the command and runs it.
func (p *program) dispatch(ctx context.Context, args []string) error {
	args, help, err := p.leadingGlobals(args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		if help {
			return helpCommand(p, nil)
		}
		overview(p.stderr)
		return &usageError{text: "no command given", quiet: true}
	}
	c, rest, err := p.find(args)
	if err != nil {
		return err
	}
	if help {
		return helpCommand(p, strings.Fields(c.name))
	}
	if c.raw {
		return c.setup(nil, p)(ctx, p, rest)
	}
	fs := newFlagSet(c)
	p.globals(fs)
	run := c.setup(fs, p)
	rest, err = parse(fs, rest)
	if errors.Is(err, flag.ErrHelp) {
		return helpCommand(p, strings.Fields(c.name))
	}
	if err != nil {
		return &usageError{text: err.Error(), command: c}
	}
	p.out.json = p.json
	err = run(ctx, p, rest)
	if u := (*usageError)(nil); errors.As(err, &u) && u.command == nil {
		u.command = c
	}
	return err
}

// leadingGlobals reads global flags in front of the command.
func (p *program) leadingGlobals(args []string) (rest []string, help bool, err error) {
	fs := flag.NewFlagSet("entente", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	p.globals(fs)
	version := fs.Bool("version", false, "")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, true, nil
	} else if err != nil {
		return nil, false, &usageError{text: err.Error()}
	}
	if *version {
		return append([]string{"version"}, fs.Args()...), false, nil
	}
	return fs.Args(), false, nil
}

// find returns the command that the arguments begin with. Global flags may stand between the two words of one.
func (p *program) find(args []string) (*command, []string, error) {
	all := commands()
	first := args[0]
	for i := range all {
		if all[i].name == first {
			return &all[i], args[1:], nil
		}
	}
	members := group(all, first)
	if len(members) == 0 {
		return nil, nil, &usageError{text: fmt.Sprintf("unknown command %q", first), suggest: suggest(first, firstWords(all))}
	}
	rest, help, err := p.leadingGlobals(args[1:])
	if err != nil {
		return nil, nil, err
	}
	if help || len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
		groupOverview(p.stderr, first, members)
		return nil, nil, &usageError{text: fmt.Sprintf("entente %s needs one of the words above", first), quiet: help}
	}
	for _, c := range members {
		if c.name == first+" "+rest[0] {
			return c, rest[1:], nil
		}
	}
	var words []string
	for _, c := range members {
		words = append(words, strings.Fields(c.name)[1])
	}
	return nil, nil, &usageError{text: fmt.Sprintf("unknown command %q", first+" "+rest[0]), suggest: suggest(rest[0], words)}
}

// group returns the commands whose first word is w.
func group(all []command, w string) []*command {
	var out []*command
	for i := range all {
		if strings.HasPrefix(all[i].name, w+" ") {
			out = append(out, &all[i])
		}
	}
	return out
}

func firstWords(all []command) []string {
	var ws []string
	for _, c := range all {
		if w, _, _ := strings.Cut(c.name, " "); !c.hidden && !slices.Contains(ws, w) {
			ws = append(ws, w)
		}
	}
	return ws
}

// parse reads flags before, between and after the arguments. What follows "--" are arguments.
func parse(fs *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			return positional, nil
		}
		if used := len(args) - len(rest); used > 0 && args[used-1] == "--" {
			return append(positional, rest...), nil
		}
		positional = append(positional, rest[0])
		args = rest[1:]
	}
}

func newFlagSet(c *command) *flag.FlagSet {
	fs := flag.NewFlagSet("entente "+c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are returned, and help is ours
	fs.Usage = func() {}
	return fs
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// dial returns a client of the running node.
func (p *program) dial() (*control.Client, error) { return control.Dial(p.home) }

// wantArgs checks how many arguments were given; max below 0 is no limit.
func wantArgs(args []string, min, max int, what string) error {
	if len(args) < min {
		return usagef("%s is missing", what)
	}
	if max >= 0 && len(args) > max {
		return usagef("unexpected argument %q after %s", args[max], what)
	}
	return nil
}
