package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

func TestSetFields(t *testing.T) {
	before := &control.Card{Name: "CERT-A", Country: "XA", Hours: "always", Phones: []protocol.Contact{{Use: "duty", Value: "+1"}},
		Constituency: protocol.Constituency{Countries: []string{"XA"}, ASNs: []uint32{64500}}}
	got, err := setFields(before, []string{"hours=", "web=https://example.at/?a=b", "phones=duty:+43 1 234, office:+43 5",
		"constituency.asns=AS64501,64502", "constituency.domains=example.at", "links=pgp:ABCD"})
	want := &control.Card{Name: "CERT-A", Country: "XA", Web: "https://example.at/?a=b",
		Phones:       []protocol.Contact{{Use: "duty", Value: "+43 1 234"}, {Use: "office", Value: "+43 5"}},
		Constituency: protocol.Constituency{Countries: []string{"XA"}, ASNs: []uint32{64501, 64502}, Domains: []string{"example.at"}},
		Links:        []protocol.Link{{Kind: "pgp", Value: "ABCD"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for _, set := range []string{"hours", "colour=red", "constituency.asns=x", "constituency.asns=99999999999", "phones=+43", "constituency.colour=red"} {
		if got, err := setFields(before, []string{set}); err == nil {
			t.Errorf("--set %s: got %+v, want an error", set, got)
		}
	}
}

func TestParseCard(t *testing.T) {
	if c, err := parseCard([]byte(`{"id":"00","name":"X","country":"XA","constituency":{"asns":[1]}}`)); err != nil || c.Name != "X" {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, s := range []string{``, `[]`, `{"name":"X","colour":"red"}`, `{"name":"X"} {}`, `{"name":`} {
		if c, err := parseCard([]byte(s)); err == nil {
			t.Errorf("%q: got %+v, want an error", s, c)
		}
	}
}

func TestCheckCard(t *testing.T) {
	for _, tc := range []struct {
		change func(*control.Card)
		want   string // "" for none
	}{
		{func(c *control.Card) {}, ""},
		{func(c *control.Card) { c.Name = "" }, "name"},
		{func(c *control.Card) { c.Country = "at" }, "country"},
		{func(c *control.Card) { c.TimeZone = "Europe/Vienna" }, ""},
		{func(c *control.Card) { c.TimeZone = "Vienna" }, "time_zone"},
		{func(c *control.Card) { c.Constituency.Countries = []string{"AUT"} }, "countries"},
		{func(c *control.Card) { c.Constituency.Prefixes = []string{"192.0.2.0/24", "2001:db8::/32"} }, ""},
		{func(c *control.Card) { c.Constituency.Prefixes = []string{"192.0.2.1/24"} }, "192.0.2.0/24"},
		{func(c *control.Card) { c.Constituency.Prefixes = []string{"192.0.2.1"} }, "CIDR"},
		{func(c *control.Card) { c.Constituency.Domains = []string{"example.at", "xn--sterreich-z7a.example"} }, ""},
		{func(c *control.Card) { c.Constituency.Domains = []string{".at"} }, "domains"},
		{func(c *control.Card) { c.Constituency.Domains = []string{"Example.at"} }, "domains"},
		{func(c *control.Card) { c.Constituency.Domains = []string{"österreich.example"} }, "domains"},
		{func(c *control.Card) { c.Constituency.Sectors = []string{" "} }, "sectors"},
	} {
		c := &control.Card{Name: "CERT-A", Country: "XA"}
		tc.change(c)
		err := checkCard(c)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q in it", c, err, tc.want)
		}
	}
}
