package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
)

// A usageError says that the command line makes no sense.
type usageError struct {
	text    string
	command *command // whose help would help
	suggest string
	quiet   bool // all was said already
}

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{text: fmt.Sprintf(format, args...)} }

// A hinted error says what to do next.
type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }

func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// A partial error ends a command of which some parts succeeded. What failed was said already.
type partial struct {
	text string
	code int
}

func (e *partial) Error() string { return e.text }

// exitCode returns the contracted exit code of an error.
func exitCode(err error) int {
	var (
		usage   *usageError
		part    *partial
		refused *node.RefusedError
		remote  *control.Error
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &part):
		return part.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, control.ErrNotRunning):
		return exitNoNode
	case errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &remote):
		switch remote.Code {
		case control.Usage:
			return exitUsage
		case control.Refused, control.Conflict:
			return exitRefused
		}
	}
	return exitFailed
}

// report prints an error for a person and returns the exit code. Text from other teams may be inside, so it is made plain.
func (p *program) report(err error) int {
	code := exitCode(err)
	if err == nil || errors.Is(err, context.Canceled) {
		return code
	}
	if u := (*usageError)(nil); errors.As(err, &u) && u.quiet {
		return code
	}
	p.complain(err)
	return code
}

// complain prints what was wrong and what to do next.
func (p *program) complain(err error) {
	text := plainText(err.Error())
	var (
		usage   *usageError
		hint    *hinted
		refused *node.RefusedError
		remote  *control.Error
	)
	rule := ""
	var next []string
	switch {
	case errors.As(err, &remote):
		rule = remote.Rule
		next = append(next, remote.Hint)
	case errors.As(err, &refused):
		rule = refused.Rule
		next = append(next, refused.Hint)
	}
	if errors.As(err, &hint) {
		next = append(next, hint.hint)
	}
	if errors.Is(err, control.ErrNotRunning) {
		text = fmt.Sprintf("no node is running for the home %s", plainText(p.home))
		next = append(next, "start it with: entente run"+p.homeFlag()+"   (or name another home with --home or ENTENTE_HOME)")
	}
	if errors.Is(err, fs.ErrPermission) && len(next) == 0 {
		next = append(next, "check who owns the file or directory, and that you run entente as the same user as the node")
	}
	if errors.As(err, &usage) {
		if usage.suggest != "" {
			next = append(next, "did you mean: entente "+usage.suggest)
		} else if usage.command != nil {
			next = append(next, "see: entente help "+usage.command.name)
		} else {
			next = append(next, "see: entente help")
		}
	}
	if rule != "" {
		fmt.Fprintf(p.stderr, "entente: refused (rule %s): %s\n", plainText(rule), text)
	} else {
		fmt.Fprintf(p.stderr, "entente: %s\n", text)
	}
	for _, n := range next {
		if n = strings.TrimSpace(plainText(n)); n != "" {
			fmt.Fprintf(p.stderr, "entente: %s\n", n)
		}
	}
}

// homeFlag repeats --home in a command that is suggested, if it is needed there.
func (p *program) homeFlag() string {
	if p.home == p.defaultHome() {
		return ""
	}
	return " --home " + quoted(p.home)
}
