package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// maxTerms bounds the file of further terms, in bytes; the protocol bounds the text itself.
const maxTerms = 64 << 10

// iepHelp lists the fields of the exchange policy and their values.
func iepHelp() string {
	var b strings.Builder
	for _, f := range protocol.IEPValues() {
		fmt.Fprintf(&b, "  %s\n", f.Name)
		for _, v := range f.Values {
			fmt.Fprintf(&b, "      %s\n", v)
		}
	}
	return b.String()
}

// termFlags are the flags of agree offer and agree renew.
type termFlags struct {
	ceiling, title, text    string
	onward, receipts        string
	days, keep              int
	purposes, types, policy list
}

func termsFlags(fs *flag.FlagSet) *termFlags {
	var t termFlags
	fs.StringVar(&t.ceiling, "tlp-max", "", "the strictest `LABEL` that may be sent under it")
	fs.IntVar(&t.days, "days", 0, "it ends after `N` days (default: a year)")
	fs.IntVar(&t.keep, "keep", 0, "receivers delete what they got after `N` days (default: no term)")
	fs.StringVar(&t.title, "title", "", "a `TITLE`")
	fs.Var(&t.purposes, "purpose", "what it is for, one `LINE`; may be repeated")
	fs.Var(&t.types, "type", "a `TYPE` of information; may be repeated (default: all)")
	fs.StringVar(&t.onward, "onward", "", "none, constituents or label: how far to pass on, at most (default: label)")
	fs.StringVar(&t.receipts, "receipts", "", "none, stored or opened: what receivers tell authors (default: opened)")
	fs.Var(&t.policy, "iep", "a `FIELD=VALUE` of the exchange policy; may be repeated")
	fs.StringVar(&t.text, "text", "", "further terms in words, from `FILE`")
	return &t
}

// fill writes what was given over the terms.
func (t *termFlags) fill(to *control.Terms) error {
	if t.ceiling != "" {
		l, err := tlp.Parse(t.ceiling)
		if err != nil {
			return usagef("--tlp-max: %v", err)
		}
		to.TLPMax = l
	}
	if t.days < 0 || t.keep < 0 {
		return usagef("--days and --keep are numbers of days above 0")
	}
	if t.days > 0 {
		to.Days = t.days
	}
	if t.keep > 0 {
		to.KeepDays = t.keep
	}
	if t.title != "" {
		to.Title = t.title
	}
	if len(t.purposes) > 0 {
		to.Purposes = t.purposes
	}
	if len(t.types) > 0 {
		to.Types = slices.Sorted(slices.Values(t.types))
		to.Types = slices.Compact(to.Types)
		for _, s := range to.Types {
			if !slices.Contains(protocol.InformationTypes(), s) {
				return usagef("--type %q: want one of %s", s, strings.Join(protocol.InformationTypes(), ", "))
			}
		}
	}
	if t.onward != "" {
		if _, err := protocol.ParseOnward(t.onward); err != nil {
			return usagef("--%v", err)
		}
		to.Onward = t.onward
	}
	if t.receipts != "" {
		if _, err := protocol.ParseReceipting(t.receipts); err != nil {
			return usagef("--%v", err)
		}
		to.Receipts = t.receipts
	}
	if t.text != "" {
		b, err := readSmall(t.text, maxTerms)
		if err != nil {
			return err
		}
		to.Text = strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	return t.fillPolicy(to)
}

func (t *termFlags) fillPolicy(to *control.Terms) error {
	if len(t.policy) == 0 {
		return nil
	}
	p := protocol.DefaultIEP()
	if to.Policy != nil {
		p = *to.Policy
	}
	for _, s := range t.policy {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return usagef("--iep %q: want FIELD=VALUE", s)
		}
		if err := setIEP(&p, strings.ReplaceAll(name, "-", "_"), value); err != nil {
			return err
		}
	}
	to.Policy = &p
	return nil
}

// setIEP sets a field of the policy by its name.
func setIEP(p *protocol.IEP, name, value string) error {
	into := []*string{&p.Encrypt, &p.Actions, &p.Notify, &p.Attribution, &p.Resale} // in the order of IEPValues
	var names []string
	for i, f := range protocol.IEPValues() {
		if f.Name == name {
			if !slices.Contains(f.Values, value) {
				return usagef("--iep %s=%q: want one of %s", name, value, strings.Join(f.Values, ", "))
			}
			*into[i] = value
			return nil
		}
		names = append(names, f.Name)
	}
	return usagef("--iep %q: want one of %s", name, strings.Join(names, ", "))
}

// checkDraft makes sure that the node drafted what was asked for: an officer's signature must not depend on the node.
func checkDraft(a *protocol.Agreement, t *control.Terms) error {
	life := time.Duration(a.Until-a.From) * time.Second
	switch {
	case a.Ceiling != t.TLPMax, a.Title != t.Title, a.Text != t.Text, a.Prev != t.Prev, a.Keep != uint64(t.KeepDays),
		!slices.Equal(a.Purposes, t.Purposes), !slices.Equal(a.Types, t.Types),
		t.Onward != "" && a.Onward.String() != t.Onward, t.Receipts != "" && a.Receipts.String() != t.Receipts,
		t.Policy != nil && a.Policy != *t.Policy, a.Until <= a.From, t.Days > 0 && (life/(24*time.Hour)-time.Duration(t.Days)).Abs() > 1:
		return errors.New("the node drafted other terms than were asked for: nothing was signed; are program and node of the same version?")
	}
	return nil
}
