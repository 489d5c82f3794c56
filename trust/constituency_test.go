package trust

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

func claimant(n int, name string, s State, c protocol.Constituency) Team {
	return Team{ID: id(n), Name: name, State: s, Card: &protocol.Card{Name: name, Constituency: c}}
}

func TestResponsible(t *testing.T) {
	d := NewDirectory([]Team{
		claimant(1, "national", Verified, protocol.Constituency{Countries: []string{"AT"}, Prefixes: []string{"192.0.2.0/24", "2001:db8::/32"},
			Domains: []string{"at"}, ASNs: []uint32{64500, 64501}}),
		claimant(2, "bank", Introduced, protocol.Constituency{Prefixes: []string{"192.0.2.128/25", "198.51.100.7/32"}, Domains: []string{"bank.at", "bank.example"},
			ASNs: []uint32{64501}}),
		claimant(3, "military", Verified, protocol.Constituency{Prefixes: []string{"192.0.2.128/25"}, Countries: []string{"AT", "AT"}}),
		claimant(4, "stranger", Unknown, protocol.Constituency{Prefixes: []string{"192.0.2.1/32"}, Domains: []string{"www.bank.at"}, Countries: []string{"AT"}}),
		claimant(5, "blocked", Blocked, protocol.Constituency{ASNs: []uint32{64500}}),
		claimant(6, "stale", Stale, protocol.Constituency{ASNs: []uint32{64500}}),
		claimant(7, "sloppy", Verified, protocol.Constituency{Prefixes: []string{"192.0.2.1/24", "rubbish"}, Domains: []string{"AT", ".at"}, Countries: []string{"at"}}),
		{ID: id(8), Name: "without a card", State: Verified},
	})
	for q, want := range map[string]string{
		"192.0.2.1": "national prefix 192.0.2.0/24", "192.0.2.200": "military prefix 192.0.2.128/25, bank prefix 192.0.2.128/25",
		"::ffff:192.0.2.1": "national prefix 192.0.2.0/24", "2001:db8::1": "national prefix 2001:db8::/32", "2001:db8::1%eth0": "national prefix 2001:db8::/32",
		"192.0.2.129/26": "military prefix 192.0.2.128/25, bank prefix 192.0.2.128/25", "192.0.2.0/23": "", "192.0.2.0/24": "national prefix 192.0.2.0/24",
		"198.51.100.7": "bank prefix 198.51.100.7/32", "203.0.113.1": "", "AS64500": "national asn AS64500", "as64501": "national asn AS64501, bank asn AS64501",
		"AS1": "", "AT": "national country AT, military country AT, national domain at", "at": "national country AT, military country AT, national domain at",
		"DE": "", "bank.at": "bank domain bank.at", "www.bank.at": "bank domain bank.at", "notbank.at": "national domain at", "https://www.Bank.at:8443/login?x": "bank domain bank.at",
		"abuse@mail.bank.at": "bank domain bank.at", "example.org.": "", " www.bank.example ": "bank domain bank.example", "http://192.0.2.1/x": "national prefix 192.0.2.0/24",
	} {
		claims, err := d.Responsible(q)
		var got []string
		for _, c := range claims {
			got = append(got, c.Name+" "+string(c.Kind)+" "+c.Value)
		}
		slices.Sort(got)
		w := strings.Split(want, ", ")
		slices.Sort(w)
		if err != nil || strings.Join(got, ", ") != strings.Join(w, ", ") {
			t.Errorf("%q: got %q, %v; want %q", q, got, err, want)
		}
		if len(claims) > 1 && claims[0].State != Verified {
			t.Errorf("%q: verified claims do not come first", q)
		}
	}
	for _, q := range []string{"", " ", "..", "a b", "österreich.at", "-a.at", "1.2.3", "a..b", strings.Repeat("a", 64) + ".at", strings.Repeat("x", 3000)} {
		if claims, err := d.Responsible(q); err == nil {
			t.Errorf("%.40q: got %v", q, claims)
		}
	}
}

func TestDirectoryOfABook(t *testing.T) {
	b, ts := community(t, "self", "CERT-X")
	mustAdd(t, b, ts[1].NextCard(func(c *protocol.Card) { c.Constituency.Domains = []string{"example"} }))
	d := b.Directory(now)
	claims, err := d.Responsible("www.example")
	if err != nil || len(claims) != 1 || claims[0].Team != ts[1].ID {
		t.Fatalf("got %v, %v", claims, err)
	}
	claims[0].Name = "changed"
	if again, _ := d.Responsible("www.example"); again[0].Name != "CERT-X" {
		t.Error("the caller can change the directory")
	}
	act(b, ActBlocked, ts[1])
	if claims, _ := b.Directory(now).Responsible("www.example"); len(claims) != 0 {
		t.Errorf("a blocked team claims %v", claims)
	}
}

// The directory finds, for every address, the claim of the longest prefix around it, as a linear search does.
func TestLongestPrefix(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		var a [4]byte
		a[0], a[1] = rapid.SampledFrom([]byte{10, 11}).Draw(t, "a"), rapid.SampledFrom([]byte{0, 128, 255}).Draw(t, "b")
		return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		var teams []Team
		claimed := rapid.SliceOfN(prefix, 0, 12).Draw(t, "claimed")
		for i, p := range claimed {
			teams = append(teams, claimant(i, "x", Verified, protocol.Constituency{Prefixes: []string{p.String()}}))
		}
		q := prefix.Draw(t, "query")
		got, err := NewDirectory(teams).Responsible(q.String())
		if err != nil {
			t.Fatal(err)
		}
		best, n := -1, 0
		for _, p := range claimed {
			if p.Bits() > q.Bits() || !p.Contains(q.Addr()) {
				continue
			}
			if p.Bits() > best {
				best, n = p.Bits(), 0
			}
			if p.Bits() == best {
				n++
			}
		}
		if len(got) != n || n > 0 && !strings.HasSuffix(got[0].Value, "/"+q.Addr().String()) && netip.MustParsePrefix(got[0].Value).Bits() != best {
			t.Fatalf("%s of %v: got %v, want %d of length %d", q, claimed, got, n, best)
		}
	})
}

func TestValidateConstituency(t *testing.T) {
	if err := ValidateConstituency(protocol.Constituency{Countries: []string{"AT", "XK"}, ASNs: []uint32{1, 4294967295}, Sectors: []string{"Energy"},
		Prefixes: []string{"192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0"}, Domains: []string{"at", "xn--sterreich-z7a.example", "_tcp.a-b.example"}}); err != nil {
		t.Error(err)
	}
	long := make([]uint32, protocol.MaxItems+1)
	for i := range long {
		long[i] = 1
	}
	for want, c := range map[string]protocol.Constituency{
		"two capital letters":       {Countries: []string{"at"}},
		"AS0 is reserved":           {ASNs: []uint32{0}},
		"write it as 192.0.2.0/24":  {Prefixes: []string{"192.0.2.1/24"}},
		"such as 192.0.2.0/24":      {Prefixes: []string{"192.0.2.1"}},
		"in the IPv4 form":          {Prefixes: []string{"::ffff:192.0.2.0/120"}},
		"write it as 2001:db8::/32": {Prefixes: []string{"2001:DB8::/32"}},
		"small letters":             {Domains: []string{"Example.org"}},
		"none at the ends":          {Domains: []string{"example.org."}},
		"1 to 253":                  {Domains: []string{""}},
		"ends in a number":          {Domains: []string{"192.0.2.1"}},
		"1025 AS numbers":           {ASNs: long},
		"1025 entries":              {Sectors: make([]string, protocol.MaxItems+1)},
	} {
		if err := ValidateConstituency(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// What is valid here is valid on the wire.
	x := trusttest.NewTeam(t, "x", "AT", now)
	x.NextCard(func(c *protocol.Card) {
		c.Constituency = protocol.Constituency{Countries: []string{"AT"}, Prefixes: []string{"192.0.2.0/24"}, Domains: []string{"at"}}
	})
}
