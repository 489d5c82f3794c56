package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"

	"github.com/entente-network/entente/node/control"
)

var introductionCmd = command{
	name: "introduction", section: "Teams",
	short: "this team's introduction, to hand to another team",
	long: `A text that survives mail. It is public and needs no secrecy. That it really is yours, the other team
makes sure by comparing the fingerprint with you.`,
	example: `entente introduction --out cert-example.txt`,
	setup: func(fs *flag.FlagSet, p *program) action {
		out := fs.String("out", "", "write to `FILE` instead of standard output")
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "introduction"); err != nil {
				return err
			}
			return p.withHome(func(c *control.Client, running bool) error {
				b, err := c.Introduction(ctx)
				if err != nil {
					return err
				}
				if !running {
					p.sayf("entente: no node is running: the introduction says only as much of addresses as the node last did")
				}
				if *out == "" {
					if p.json {
						return p.out.object(map[string]string{"introduction": string(b)})
					}
					_, err := p.out.writer().Write(b)
					return err
				}
				err = replaceFile(*out, b)
				if err == nil && p.json {
					err = p.out.object(map[string]string{"file": *out})
				}
				return err
			})
		}
	},
}

// replaceFile writes a file whole, in the place of one that may be there.
func replaceFile(name string, b []byte) error {
	tmp := name + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(tmp, 0o644, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}
