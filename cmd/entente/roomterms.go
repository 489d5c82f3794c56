package main

import (
	"errors"
	"flag"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// count is a flag for a number of which 0 is one, and none another.
type count struct{ n *int }

func (c *count) String() string {
	if c.n == nil {
		return ""
	}
	return strconv.Itoa(*c.n)
}

func (c *count) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return errors.New("want a number from 0")
	}
	c.n = &n
	return nil
}

// roomTermFlags are the flags of the commands that write a charter.
type roomTermFlags struct {
	ceiling, purpose, text       string
	attribution, onward          string
	history, from                string
	sponsors, objections, keep   count
	hold, card, epoch, fresh     int
	stewards, members, add, drop list
	policy                       list
	incident                     bool
	replaces                     string
}

// charterFlags declares the flags for the terms of a charter.
func charterFlags(fs *flag.FlagSet) *roomTermFlags {
	var t roomTermFlags
	fs.StringVar(&t.ceiling, "tlp-max", "", "the strictest `LABEL` in the room, below RED (default: AMBER+STRICT)")
	fs.StringVar(&t.purpose, "purpose", "", "what the room is for, one `LINE`")
	fs.StringVar(&t.text, "text-file", "", "further terms in words, from `FILE`")
	fs.Var(&t.sponsors, "sponsors", "`N` members vouch for who is to be admitted (default: 2)")
	fs.Var(&t.objections, "objection-days", "members may object for `N` days (default: 21)")
	fs.IntVar(&t.hold, "hold-days", 0, "one steward alone may hold a member for `N` days (default: 14)")
	fs.IntVar(&t.card, "card-days", 0, "a membership lasts `N` days, at most (default: 365)")
	fs.IntVar(&t.epoch, "epoch-days", 0, "the key is replaced after `N` days, at most (default: 30)")
	fs.IntVar(&t.fresh, "fresh-hours", 0, "who speaks has heard of others within `N` hours (default: 168)")
	fs.Var(&t.keep, "keep-days", "members delete what they got after `N` days (default: no term)")
	fs.StringVar(&t.attribution, "attribution", "", "outside, name the `author`, only that it is a member (room), or none (default: room)")
	fs.StringVar(&t.onward, "onward", "", "`none`, constituents or label: how far to pass on, at most (default: none)")
	fs.StringVar(&t.history, "history", "", "a new member reads what was said since `joining`, since a date, or all (default: joining)")
	fs.StringVar(&t.from, "history-from", "", "that `DATE`")
	fs.Var(&t.policy, "iep", "a `FIELD=VALUE` of the exchange policy; may be repeated")
	return &t
}

// fill writes what was given over the terms. policy is what --iep changes.
func (t *roomTermFlags) fill(to *control.RoomTerms, policy protocol.IEP) error {
	if t.ceiling != "" {
		l, err := tlp.Parse(t.ceiling)
		if err != nil {
			return usagef("--tlp-max: %v", err)
		}
		if l == tlp.Red {
			return withHint(usagef("--tlp-max RED: a room goes up to TLP:AMBER+STRICT"), "what is TLP:RED goes to persons: entente send FILE --to person:TEAM/NAME")
		}
		to.TLPMax = l
	}
	if t.hold < 0 || t.card < 0 || t.epoch < 0 || t.fresh < 0 {
		return usagef("days and hours are numbers above 0")
	}
	to.Purpose, to.Sponsors, to.ObjectionDays, to.KeepDays = t.purpose, t.sponsors.n, t.objections.n, t.keep.n
	to.HoldDays, to.CardDays, to.EpochDays, to.FreshHours = t.hold, t.card, t.epoch, t.fresh
	to.Stewards, to.Members, to.AddStewards, to.DropStewards, to.Incident = t.stewards, t.members, t.add, t.drop, t.incident
	if t.text != "" {
		b, err := readSmall(t.text, maxTerms)
		if err != nil {
			return err
		}
		to.Text = strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	if err := t.fillWords(to); err != nil || len(t.policy) == 0 {
		return err
	}
	for _, s := range t.policy {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return usagef("--iep %q: want FIELD=VALUE", s)
		}
		if err := setIEP(&policy, strings.ReplaceAll(name, "-", "_"), value); err != nil {
			return err
		}
	}
	to.Policy = &policy
	return nil
}

func (t *roomTermFlags) fillWords(to *control.RoomTerms) error {
	if t.attribution != "" {
		if _, err := protocol.ParseAttribution(t.attribution); err != nil {
			return usagef("--%v", err)
		}
	}
	if t.onward != "" {
		if _, err := protocol.ParseOnward(t.onward); err != nil {
			return usagef("--%v", err)
		}
	}
	if t.from != "" {
		at, err := parseSince(t.from, time.Now())
		if err != nil {
			return usagef("--history-from %q: want a date such as 2026-03-01", t.from)
		}
		at = at.UTC().Truncate(time.Second)
		if to.HistoryFrom = &at; t.history == "" {
			t.history = protocol.HistoryDate.String()
		}
	}
	if t.history != "" {
		h, err := protocol.ParseHistory(t.history)
		if err != nil {
			return usagef("--%v", err)
		}
		if (h == protocol.HistoryDate) != (t.from != "") {
			return usagef("--history-from DATE goes with --history date, and only with it")
		}
	}
	to.Attribution, to.Onward, to.History = t.attribution, t.onward, t.history
	return nil
}

// given reports whether the flags say anything.
func (t *roomTermFlags) given(to *control.RoomTerms) bool {
	return to.Name != "" || to.TLPMax.Valid() || to.Purpose != "" || to.Text != "" || to.Sponsors != nil || to.ObjectionDays != nil || to.KeepDays != nil ||
		to.HoldDays+to.CardDays+to.EpochDays+to.FreshHours > 0 || to.Attribution != "" || to.Onward != "" || to.History != "" || to.Policy != nil ||
		len(to.AddStewards)+len(to.DropStewards) > 0
}

// checkTerms makes sure that a charter has the terms that were given.
func checkTerms(c *protocol.Charter, t *control.RoomTerms) error {
	if t == nil {
		return nil
	}
	number := func(given *int, got uint64) bool { return given != nil && uint64(*given) != got }
	above := func(given int, got uint64) bool { return given > 0 && uint64(given) != got }
	switch {
	case t.Name != "" && c.Name != t.Name, t.TLPMax.Valid() && c.Ceiling != t.TLPMax, t.Purpose != "" && c.Purpose != t.Purpose, t.Text != "" && c.Text != t.Text,
		number(t.Sponsors, c.Sponsors), number(t.ObjectionDays, c.ObjectionDays), number(t.KeepDays, c.Keep),
		above(t.HoldDays, c.HoldDays), above(t.CardDays, c.CardDays), above(t.EpochDays, c.EpochDays), above(t.FreshHours, c.FreshHours),
		t.Attribution != "" && c.Attribution.String() != t.Attribution, t.Onward != "" && c.Onward.String() != t.Onward,
		t.History != "" && c.History.String() != t.History, t.HistoryFrom != nil && c.HistoryFrom != uint64(t.HistoryFrom.Unix()),
		t.Policy != nil && c.Policy != *t.Policy, c.Version == 1 && c.Replaces != t.Replaces:
		return errors.New("other terms")
	}
	return nil
}

// checkNewRoom makes sure that the charter of a new room has exactly the teams and terms that were given.
func checkNewRoom(c *protocol.Charter, t *control.RoomTerms, self protocol.TeamID, stewards, members []protocol.TeamID) error {
	if c.Version != 1 {
		return errors.New("no founding charter")
	}
	if t.Replaces.IsZero() {
		for _, s := range append(stewards, self) {
			if !c.IsSteward(s) {
				return errors.New("other stewards")
			}
		}
		all := slices.Concat(stewards, members, []protocol.TeamID{self})
		for _, s := range c.Members {
			if !slices.Contains(all, s.Team) {
				return errors.New("other members")
			}
		}
		for _, m := range all {
			if _, ok := c.Seat(m); !ok {
				return errors.New("other members")
			}
		}
		for _, s := range c.Stewards {
			if s != self && !slices.Contains(stewards, s) {
				return errors.New("other stewards")
			}
		}
	}
	return checkTerms(c, t)
}
