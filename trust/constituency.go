package trust

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/entente-network/entente/protocol"
)

// A ClaimKind is what a claim is about.
type ClaimKind string

// The kinds of claim, as entries of a card's constituency.
const (
	ClaimPrefix  ClaimKind = "prefix"
	ClaimASN     ClaimKind = "asn"
	ClaimDomain  ClaimKind = "domain"
	ClaimCountry ClaimKind = "country"
)

// A Claim is the word of a team that it answers for something. It is nobody else's word: teams may claim the same.
type Claim struct {
	Team  protocol.TeamID `json:"team"`
	Name  string          `json:"name"`
	State State           `json:"state"` // introduced or verified
	Kind  ClaimKind       `json:"kind"`
	Value string          `json:"value"` // the entry that fits: 192.0.2.0/24, AS64500, example.org, AT
}

// A Directory answers who claims to be responsible for an address, a network, a domain or a country. It is made of the cards
// of introduced and verified teams, is not changed by the Book it came from, and is safe for concurrent use.
type Directory struct {
	prefixes  bart.Table[[]Claim]
	asns      map[uint32][]Claim
	domains   map[string][]Claim
	countries map[string][]Claim
}

// Directory returns the directory at the time now.
func (b *Book) Directory(now time.Time) *Directory { return NewDirectory(b.Teams(now)) }

// NewDirectory returns the directory of the teams that are introduced or verified. An entry of a card in a wrong form counts
// nothing.
func NewDirectory(teams []Team) *Directory {
	d := &Directory{asns: map[uint32][]Claim{}, domains: map[string][]Claim{}, countries: map[string][]Claim{}}
	for _, t := range teams {
		if t.Card == nil || t.State != Introduced && t.State != Verified {
			continue
		}
		c := Claim{Team: t.ID, Name: t.Name, State: t.State}
		for _, s := range t.Card.Constituency.Prefixes {
			if p, err := checkPrefix(s); err == nil {
				claims, _ := d.prefixes.Get(p)
				d.prefixes.Insert(p, claim(claims, c, ClaimPrefix, s))
			}
		}
		for _, n := range t.Card.Constituency.ASNs {
			d.asns[n] = claim(d.asns[n], c, ClaimASN, "AS"+strconv.FormatUint(uint64(n), 10))
		}
		for _, s := range t.Card.Constituency.Domains {
			if checkDomain(s) == nil {
				d.domains[s] = claim(d.domains[s], c, ClaimDomain, s)
			}
		}
		for _, s := range t.Card.Constituency.Countries {
			if protocol.IsCountry(s) {
				d.countries[s] = claim(d.countries[s], c, ClaimCountry, s)
			}
		}
	}
	return d
}

// claim adds to claims, which have one entry for each team, by team.
func claim(claims []Claim, c Claim, kind ClaimKind, value string) []Claim {
	c.Kind, c.Value = kind, value
	i, found := slices.BinarySearchFunc(claims, c, func(a, b Claim) int { return bytes.Compare(a.Team[:], b.Team[:]) })
	if found {
		return claims
	}
	return slices.Insert(claims, i, c)
}

// Responsible returns who claims what the query names: an address or a prefix (the longest claimed prefix around it counts),
// an autonomous system (AS64500), a domain or a mail or web address (the longest claimed suffix counts), or a country (AT).
// Several teams that claim it equally are all returned, verified ones first; none is no error. A query of another form is.
func (d *Directory) Responsible(query string) ([]Claim, error) {
	q := strings.TrimSpace(query)
	if len(q) > 2000 {
		return nil, fmt.Errorf("a query of %d characters: want an address, a prefix, an AS number, a domain or a country code", len(q))
	}
	if a, err := netip.ParseAddr(q); err == nil {
		return d.address(a), nil
	}
	if p, err := netip.ParsePrefix(q); err == nil {
		claims, _ := d.prefixes.LookupPrefix(p.Masked())
		return verifiedFirst(claims), nil
	}
	if n, ok := parseASN(q); ok {
		return verifiedFirst(d.asns[n]), nil
	}
	if c := strings.ToUpper(q); protocol.IsCountry(c) {
		return verifiedFirst(slices.Concat(d.countries[c], d.domains[strings.ToLower(q)])), nil
	}
	name := hostOf(q)
	if a, err := netip.ParseAddr(name); err == nil {
		return d.address(a), nil
	}
	if err := checkDomain(name); err != nil {
		return nil, fmt.Errorf("%.80q is no address, prefix, AS number, domain or country code (%w)", query, err)
	}
	for {
		if claims := d.domains[name]; len(claims) > 0 {
			return verifiedFirst(claims), nil
		}
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return nil, nil
		}
		name = rest
	}
}

func (d *Directory) address(a netip.Addr) []Claim {
	claims, _ := d.prefixes.Lookup(a.Unmap().WithZone(""))
	return verifiedFirst(claims)
}

func verifiedFirst(claims []Claim) []Claim {
	out := slices.Clone(claims)
	slices.SortStableFunc(out, func(a, b Claim) int { return cmp.Compare(b.State, a.State) })
	return out
}

func parseASN(s string) (uint32, bool) {
	if len(s) < 3 || !strings.EqualFold(s[:2], "AS") {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:], 10, 32)
	return uint32(n), err == nil
}

// hostOf returns the domain in what a person pastes: a URL, a mail address, a name with a final dot.
func hostOf(s string) string {
	s = strings.ToLower(s)
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, "/")
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if host, port, ok := strings.Cut(s, ":"); ok && strings.Trim(port, "0123456789") == "" {
		s = host
	}
	return strings.TrimSuffix(s, ".")
}

// ValidateConstituency checks every entry for the one form in which it is compared, and says which is wrong and how to write
// it.
func ValidateConstituency(c protocol.Constituency) error {
	for _, s := range c.Countries {
		if !protocol.IsCountry(s) {
			return fmt.Errorf("country %.20q: want two capital letters (ISO 3166-1 alpha-2), such as AT", s)
		}
	}
	for _, n := range c.ASNs {
		if n == 0 {
			return errors.New("AS0 is reserved: no team can answer for it")
		}
	}
	for _, s := range c.Prefixes {
		if _, err := checkPrefix(s); err != nil {
			return err
		}
	}
	for _, s := range c.Domains {
		if err := checkDomain(s); err != nil {
			return err
		}
	}
	for _, l := range [][]string{c.Countries, c.Prefixes, c.Domains, c.Sectors} {
		if len(l) > protocol.MaxItems {
			return fmt.Errorf("a list of %d entries: at most %d; claim larger prefixes or shorter domains", len(l), protocol.MaxItems)
		}
	}
	if len(c.ASNs) > protocol.MaxItems {
		return fmt.Errorf("a list of %d AS numbers: at most %d", len(c.ASNs), protocol.MaxItems)
	}
	return nil
}

func checkPrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("prefix %.80q: want an address and a length, such as 192.0.2.0/24 or 2001:db8::/32", s)
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("prefix %s: write an IPv4 prefix in the IPv4 form", p)
	}
	if m := p.Masked().String(); m != s {
		return p, fmt.Errorf("prefix %.80q: write it as %s", s, m)
	}
	return p, nil
}

func checkDomain(s string) error {
	if len(s) == 0 || len(s) > 253 {
		return fmt.Errorf("domain of %d characters: want 1 to 253", len(s))
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("domain %.80q: want labels of 1 to 63 characters between the dots, none at the ends", s)
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Errorf("domain %.80q: want small letters, digits, dashes and dots; write other scripts in their xn-- form", s)
			}
		}
	}
	if last := s[strings.LastIndexByte(s, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("domain %.80q: it ends in a number", s)
	}
	return nil
}
