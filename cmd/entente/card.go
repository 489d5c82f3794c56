package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

var cardShowCmd = command{
	name: "card show", section: "Teams", args: "[TEAM]",
	short:    "a team's card: contacts, hours, what it answers for; your own if none is named",
	example:  `entente card show CERT-OTHER`,
	complete: teamNames,
	setup: func(*flag.FlagSet, *program) action {
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 1, "the team"); err != nil {
				return err
			}
			return p.withNode(func(c *control.Client) error {
				t, err := findOrSelf(ctx, c, args)
				if err != nil {
					return err
				}
				if t.Card == nil {
					return fmt.Errorf("no card of %s has arrived yet", t.Name)
				}
				if p.json {
					return p.out.object(struct {
						ID protocol.TeamID `json:"id"`
						*control.Card
					}{t.ID, t.Card})
				}
				printCard(p, t.Card)
				return nil
			})
		}
	},
}

// findOrSelf returns the named team, or this node's own.
func findOrSelf(ctx context.Context, c *control.Client, args []string) (*control.Team, error) {
	if len(args) > 0 {
		return c.Team(ctx, args[0])
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	return c.Team(ctx, s.Team.ID.String())
}

func printCard(p *program, c *control.Card) {
	line := func(what, s string) {
		if s != "" {
			p.out.linef("%-12s %s", what, strings.ReplaceAll(plainText(s), "\n", "\n             "))
		}
	}
	line("full name", c.FullName)
	line("host", c.Host)
	line("address", c.Address)
	line("time zone", c.TimeZone)
	line("hours", c.Hours)
	for _, x := range c.Phones {
		line("phone", x.Value+" ("+x.Use+")")
	}
	for _, x := range c.Mails {
		line("mail", x.Value+" ("+x.Use+")")
	}
	line("web", c.Web)
	line("languages", strings.Join(c.Languages, ", "))
	line("services", strings.Join(c.Services, ", "))
	k := c.Constituency
	line("countries", strings.Join(k.Countries, ", "))
	var asns []string
	for _, a := range k.ASNs {
		asns = append(asns, fmt.Sprintf("AS%d", a))
	}
	line("networks", strings.Join(slices.Concat(asns, k.Prefixes), ", "))
	line("domains", strings.Join(k.Domains, ", "))
	line("sectors", strings.Join(k.Sectors, ", "))
	for _, l := range c.Links {
		line(l.Kind, l.Value)
	}
}

var cardEditCmd = command{
	name: "card edit", section: "Teams",
	short: "change this team's card: contacts, hours, constituency",
	long: `Opens the card as JSON in $VISUAL or $EDITOR; or takes it from a file; or changes single fields. An officer
signs the result. The constituency is checked: countries (two letters), asns (numbers), prefixes (CIDR),
domains, sectors. Lists are separated by commas with --set.`,
	example: `entente card edit
entente card edit --set hours="Mon-Fri 8:00-18:00" --set constituency.domains=example.at,example.com
entente card edit --file card.json`,
	setup: func(fs *flag.FlagSet, p *program) action {
		var set list
		file := fs.String("file", "", "take the card from `FILE`, JSON as card show --json prints it; - is standard input")
		fs.Var(&set, "set", "change one field, `KEY=VALUE`; may be repeated; an empty value removes it")
		officer := p.officerFlag(fs)
		p.passphraseFlag(fs)
		p.unlockFlag(fs)
		return func(ctx context.Context, p *program, args []string) error {
			if err := wantArgs(args, 0, 0, "card edit"); err != nil {
				return err
			}
			if *file != "" && len(set) > 0 {
				return usagef("--file and --set exclude each other")
			}
			return p.withHome(func(c *control.Client, running bool) error {
				return editCard(ctx, p, c, *file, set, *officer)
			})
		}
	},
}

func editCard(ctx context.Context, p *program, c *control.Client, file string, set []string, officer string) error {
	cer, err := p.ceremony(ctx, c)
	if err != nil {
		return err
	}
	before := control.CardOf(&cer.card)
	var after *control.Card
	switch {
	case file != "":
		b, err := p.input(file, maxCardFile)
		if err != nil {
			return err
		}
		if after, err = parseCard(b); err != nil {
			return usagef("%s: %v", file, err)
		}
	case len(set) > 0:
		if after, err = setFields(before, set); err != nil {
			return err
		}
	default:
		if after, err = editText(ctx, p, before); err != nil {
			return err
		}
	}
	if err := checkCard(after); err != nil {
		return usagef("the card was not changed: %v", err)
	}
	if reflect.DeepEqual(before, after) {
		p.sayf("entente: nothing was changed")
		return nil
	}
	next := cer.nextCard()
	after.Fill(next)
	key, _, err := cer.officer(officer, protocol.ActCard)
	if err != nil {
		return err
	}
	e, err := protocol.Sign(next, key)
	if err != nil {
		return usagef("the card was not changed: %v", err)
	}
	if err := c.AddOwn(ctx, e); err != nil {
		return err
	}
	if p.json {
		return p.out.object(struct {
			ID protocol.TeamID `json:"id"`
			*control.Card
		}{cer.team, after})
	}
	p.out.linef("the card is signed (version %d) and goes to the teams that know yours", next.Version)
	return nil
}

// maxCardFile bounds the text of a card, in bytes.
const maxCardFile = 256 << 10

// parseCard reads a card as JSON. An unknown field is an error: it would be lost.
func parseCard(b []byte) (*control.Card, error) {
	var c struct {
		ID json.RawMessage `json:"id"` // as card show prints it
		control.Card
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("the card is not understood: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the card is not understood: there is more after its end")
	}
	return &c.Card, nil
}

// setFields changes single fields of a copy of the card, by their JSON names.
func setFields(c *control.Card, set []string) (*control.Card, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usagef("--set %q: want KEY=VALUE, such as hours=\"Mon-Fri 8-18\"", s)
		}
		in, name := fields, key
		if rest, ok := strings.CutPrefix(key, "constituency."); ok {
			sub, ok := fields["constituency"].(map[string]any)
			if !ok {
				sub = map[string]any{}
				fields["constituency"] = sub
			}
			in, name = sub, rest
		}
		v, err := fieldValue(key, value)
		if err != nil {
			return nil, err
		}
		if in[name] = v; v == nil {
			delete(in, name)
		}
	}
	if b, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	next, err := parseCard(b)
	if err != nil {
		return nil, usagef("--set: %v", err)
	}
	return next, nil
}

// fieldValue turns the text of --set into what the field holds; nil removes it.
func fieldValue(key, value string) (any, error) {
	switch key {
	case "name", "country", "full_name", "host", "address", "time_zone", "hours", "web":
		if value == "" {
			return nil, nil
		}
		return value, nil
	}
	items := []string{}
	for s := range strings.SplitSeq(value, ",") {
		if s = strings.TrimSpace(s); s != "" {
			items = append(items, s)
		}
	}
	if len(items) == 0 {
		return nil, nil
	}
	pairs := func(first, second string, sep string) (any, error) {
		var out []map[string]string
		for _, s := range items {
			a, b, ok := strings.Cut(s, sep)
			if !ok {
				return nil, usagef("--set %s: %q: want %s%s%s", key, s, first, sep, second)
			}
			out = append(out, map[string]string{first: a, second: b})
		}
		return out, nil
	}
	switch key {
	case "languages", "services", "constituency.countries", "constituency.prefixes", "constituency.domains", "constituency.sectors":
		return items, nil
	case "constituency.asns":
		var out []uint64
		for _, s := range items {
			n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(s), "AS"), 10, 32)
			if err != nil {
				return nil, usagef("--set %s: %q is no AS number", key, s)
			}
			out = append(out, n)
		}
		return out, nil
	case "phones", "mails":
		return pairs("use", "value", ":")
	case "links":
		return pairs("kind", "value", ":")
	}
	return nil, usagef("--set %s: the card has no such field; see entente card show --json", key)
}

// checkCard checks what people get wrong: names, countries, networks and domains.
func checkCard(c *control.Card) error {
	if c.Name == "" {
		return errors.New("name: it may not be empty")
	}
	if !protocol.IsCountry(c.Country) {
		return fmt.Errorf("country %.20q: want two capital letters (ISO 3166-1)", c.Country)
	}
	if c.TimeZone != "" {
		if _, err := time.LoadLocation(c.TimeZone); err != nil {
			return fmt.Errorf("time_zone %.40q: want a name such as Europe/Vienna", c.TimeZone)
		}
	}
	k := &c.Constituency
	for _, s := range k.Countries {
		if !protocol.IsCountry(s) {
			return fmt.Errorf("constituency.countries: %.20q: want two capital letters (ISO 3166-1)", s)
		}
	}
	for _, s := range k.Prefixes {
		a, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("constituency.prefixes: %.60q: want CIDR, such as 192.0.2.0/24", s)
		}
		if a != a.Masked() {
			return fmt.Errorf("constituency.prefixes: %s has bits beyond its length: did you mean %s", a, a.Masked())
		}
	}
	for _, s := range k.Domains {
		if !isDomain(s) {
			return fmt.Errorf("constituency.domains: %.80q: want a domain in lower case without a leading dot, such as example.at", s)
		}
	}
	for _, s := range k.Sectors {
		if strings.TrimSpace(s) == "" {
			return errors.New("constituency.sectors: an empty entry")
		}
	}
	return nil
}

// isDomain reports whether s is a domain name as the card holds it: lower case, in ASCII (A-labels for others).
func isDomain(s string) bool {
	if len(s) > 253 || s == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// editText lets a person edit the card in an editor until it can be read.
func editText(ctx context.Context, p *program, c *control.Card) (*control.Card, error) {
	editor := p.getenv("VISUAL")
	if editor == "" {
		editor = p.getenv("EDITOR")
	}
	if editor == "" {
		return nil, usagef("no editor is set: set EDITOR, or use --file or --set")
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "entente-card-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "card.json")
	if err := os.WriteFile(name, append(text, '\n'), 0o600); err != nil {
		return nil, err
	}
	for {
		// The editor's setting may carry arguments, as everywhere; the shell splits it.
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor+` "$1"`, "sh", name)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, p.stderr, p.stderr
		if tty, err := terminal(); err == nil {
			cmd.Stdin, cmd.Stdout = tty, tty
			defer tty.Close()
		}
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("the editor %q: %w", editor, err)
		}
		b, err := readSmall(name, maxCardFile)
		if err != nil {
			return nil, err
		}
		after, err := parseCard(b)
		if err == nil {
			err = checkCard(after)
		}
		if err == nil {
			return after, nil
		}
		again, aerr := p.ask(fmt.Sprintf("%s\nEdit again? [Y/n] ", plainText(err.Error())))
		if aerr != nil || strings.HasPrefix(strings.ToLower(again), "n") {
			return nil, usagef("the card was not changed: %v", err)
		}
	}
}
