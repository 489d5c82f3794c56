package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// minPassphrase is the least length of a new passphrase, in bytes. It keeps out slips, not bad ideas.
const minPassphrase = 8

// maxPassphraseFile bounds what is read as a passphrase.
const maxPassphraseFile = 4096

func (p *program) passphraseFlag(fs *flag.FlagSet) {
	if fs.Lookup("passphrase-file") != nil {
		return
	}
	fs.StringVar(&p.passphraseFile, "passphrase-file", "", "read the passphrase from the first line of `FILE` (also ENTENTE_PASSPHRASE)")
}

// errNoTerminal says that a secret is needed and nobody can be asked.
var errNoTerminal = errors.New("a passphrase is needed and there is no terminal to ask on")

// givenPassphrase returns the passphrase from --passphrase-file or ENTENTE_PASSPHRASE, or nil.
func (p *program) givenPassphrase() ([]byte, error) {
	if p.passphraseFile != "" {
		b, err := readSmall(p.passphraseFile, maxPassphraseFile)
		if err != nil {
			return nil, fmt.Errorf("reading the passphrase: %w", err)
		}
		b, _, _ = bytes.Cut(b, []byte("\n"))
		b = bytes.TrimSuffix(b, []byte("\r"))
		if len(b) == 0 {
			return nil, fmt.Errorf("%s: the first line, which is the passphrase, is empty", p.passphraseFile)
		}
		return b, nil
	}
	if s := p.getenv("ENTENTE_PASSPHRASE"); s != "" {
		return []byte(s), nil
	}
	return nil, nil
}

// passphrase returns the passphrase for what is named, asking on the terminal if it was not given.
func (p *program) passphrase(what string) ([]byte, error) {
	b, err := p.givenPassphrase()
	if b != nil || err != nil {
		return b, err
	}
	b, err = p.askSecret(fmt.Sprintf("Passphrase for %s: ", plainLine(what)))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, errors.New("no passphrase was typed")
	}
	return b, nil
}

// newPassphrase asks twice for a new passphrase.
func (p *program) newPassphrase(what string) ([]byte, error) {
	b, err := p.givenPassphrase()
	if err != nil {
		return nil, err
	}
	if b == nil {
		if b, err = p.askSecret(fmt.Sprintf("New passphrase for %s: ", plainLine(what))); err != nil {
			return nil, err
		}
		again, err := p.askSecret("The same again: ")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(b, again) {
			return nil, errors.New("the two passphrases differ: nothing was done, start again")
		}
	}
	if len(b) < minPassphrase {
		return nil, fmt.Errorf("a passphrase of %d characters: want at least %d; five random words are good", len(b), minPassphrase)
	}
	return b, nil
}

// terminal opens the terminal of the person, wherever standard input and output go.
func terminal() (*os.File, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil || !term.IsTerminal(int(f.Fd())) {
		if f != nil {
			f.Close()
		}
		return nil, withHint(errNoTerminal, "give --passphrase-file FILE, or set ENTENTE_PASSPHRASE")
	}
	return f, nil
}

// askSecret asks on the terminal without echo.
func (p *program) askSecret(prompt string) ([]byte, error) {
	return p.prompt(prompt, func(tty *os.File) ([]byte, error) {
		b, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(tty)
		return b, err
	})
}

// ask asks for one line on the terminal.
func (p *program) ask(prompt string) (string, error) {
	b, err := p.prompt(prompt, func(tty *os.File) ([]byte, error) {
		return bufio.NewReaderSize(tty, maxPassphraseFile).ReadBytes('\n')
	})
	return strings.TrimSpace(string(b)), err
}

// prompt lets read take the answer to a question. It gives up when the person ends the program, and leaves the terminal as
// it was.
func (p *program) prompt(question string, read func(*os.File) ([]byte, error)) ([]byte, error) {
	tty, err := terminal()
	if err != nil {
		return nil, err
	}
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		tty.Close()
		return nil, err
	}
	fmt.Fprint(tty, question)
	type answer struct {
		b   []byte
		err error
	}
	done := make(chan answer, 1)
	go func() {
		b, err := read(tty)
		done <- answer{b, err}
	}()
	select {
	case a := <-done:
		tty.Close()
		return a.b, a.err
	case <-p.interrupted:
		err := term.Restore(int(tty.Fd()), before)
		fmt.Fprintln(tty)
		return nil, errors.Join(context.Canceled, err)
	}
}

// readSmall reads a file of at most max bytes.
func readSmall(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAtMost(f, max)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
