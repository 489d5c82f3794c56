package protocol

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Path says by which authority a root record follows its predecessor. Greater outranks lower (trust.Resolve).
type Path uint8

// The paths. Guardian is reserved: no record may use it yet.
const (
	PathRoot     Path = 1
	PathGuardian Path = 2
	PathSealed   Path = 3
)

// An Act is a class of trust act that officers sign. A root record may ask for several officers for a class.
type Act string

// The classes of acts.
const (
	ActManifest Act = "manifest" // nodes, operators, revocations
	ActCard     Act = "card"
	ActAttest   Act = "attest"
	ActAgree    Act = "agree"
	ActVote     Act = "vote"
)

// Acts returns the classes in order.
func Acts() []Act { return []Act{ActManifest, ActCard, ActAttest, ActAgree, ActVote} }

// A Root is one record of a team's root log: its offline authority. The first one, without Team and Prev, makes the team;
// the team's id is that record's id.
type Root struct {
	Team       TeamID      `cbor:"1,keyasint,omitzero"`
	N          uint64      `cbor:"2,keyasint"` // 0 for the first, predecessor's + 1 for others
	Prev       Hash        `cbor:"3,keyasint,omitzero"`
	Path       Path        `cbor:"4,keyasint"` // PathRoot in the first
	Keys       []PublicKey `cbor:"5,keyasint"` // suite Hybrid
	Threshold  uint64      `cbor:"6,keyasint"` // of Keys, to sign the next record
	Officers   []Officer   `cbor:"7,keyasint"`
	Thresholds []Threshold `cbor:"8,keyasint,omitempty"` // ascending by act; 1 where none is given
	Sealed     Hash        `cbor:"9,keyasint"`           // SealedSet.Commitment of the recovery keys
	Floor      *Floor      `cbor:"13,keyasint,omitempty"`
	Issued     uint64      `cbor:"14,keyasint"` // Unix seconds
	Reason     string      `cbor:"15,keyasint,omitempty"`
	Reveal     *SealedSet  `cbor:"16,keyasint,omitempty"` // in PathSealed: the recovery keys that sign
}

// An Officer is a person who signs trust acts.
type Officer struct {
	Key  PublicKey `cbor:"1,keyasint"` // suite Hybrid
	Name string    `cbor:"2,keyasint"`
	Acts []Act     `cbor:"3,keyasint,omitempty"` // ascending; empty: every class
}

// May reports whether the officer may sign acts of the class.
func (o Officer) May(a Act) bool { return len(o.Acts) == 0 || slices.Contains(o.Acts, a) }

// A Threshold says how many officers a class of acts needs.
type Threshold struct {
	Act Act    `cbor:"1,keyasint"`
	K   uint64 `cbor:"2,keyasint"`
}

// A Floor names the newest manifest signed under earlier root records that stays valid under this one.
type Floor struct {
	Version  uint64 `cbor:"1,keyasint"`
	Manifest Hash   `cbor:"2,keyasint"`
}

// A SealedSet is a set of recovery keys. Until it is used, only its commitment is public.
type SealedSet struct {
	Keys      []PublicKey `cbor:"1,keyasint"` // suite Hybrid
	Threshold uint64      `cbor:"2,keyasint"`
	Salt      [16]byte    `cbor:"3,keyasint"`
}

// Commitment returns the hash that a root record carries as Sealed.
func (s SealedSet) Commitment() Hash { return Sum("entente/v1/sealed", must(Marshal(s))) }

func (*Root) recordType() Type { return TypeRoot }
func (*Root) slot() []byte     { return nil } // forks of the root log are decided by trust.Resolve

// K returns how many officers the class of acts needs.
func (r *Root) K(a Act) int {
	for _, t := range r.Thresholds {
		if t.Act == a {
			return int(t.K)
		}
	}
	return 1
}

// OfficerKeys returns the keys of the officers who may sign the class of acts.
func (r *Root) OfficerKeys(a Act) []PublicKey {
	var keys []PublicKey
	for _, o := range r.Officers {
		if o.May(a) {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

func (r *Root) check() error {
	first := r.N == 0
	if first != r.Team.IsZero() || first != r.Prev.IsZero() {
		return errors.New("the first record, and only it, has no team and no predecessor")
	}
	switch {
	case r.Path == PathRoot && r.Reveal == nil:
	case r.Path == PathSealed && r.Reveal != nil && !first:
		if err := checkKeys("recovery keys", r.Reveal.Keys, r.Reveal.Threshold); err != nil {
			return err
		}
	default:
		return fmt.Errorf("path %d does not fit the record", r.Path)
	}
	if err := checkKeys("root keys", r.Keys, r.Threshold); err != nil {
		return err
	}
	if len(r.Officers) == 0 || len(r.Officers) > MaxKeys {
		return fmt.Errorf("%d officers: want 1 to %d", len(r.Officers), MaxKeys)
	}
	var keys []PublicKey
	for _, o := range r.Officers {
		keys = append(keys, o.Key)
		if slices.ContainsFunc(r.Keys, o.Key.Equal) {
			return fmt.Errorf("key %s of officer %.40q is a root key too: a key has one use", o.Key.ID(), o.Name)
		}
		if err := errors.Join(checkName("officer", o.Name), checkActs(o.Acts)); err != nil {
			return err
		}
	}
	if err := checkKeys("officer keys", keys, 1); err != nil {
		return err
	}
	var acts []Act
	for _, t := range r.Thresholds {
		acts = append(acts, t.Act)
		if t.K < 1 || t.K > uint64(len(r.OfficerKeys(t.Act))) {
			return fmt.Errorf("%d officers wanted for %s, who are not there", t.K, t.Act)
		}
	}
	if err := checkActs(acts); err != nil {
		return err
	}
	if r.Reveal != nil {
		for _, k := range r.Reveal.Keys {
			if slices.ContainsFunc(r.Keys, k.Equal) || slices.ContainsFunc(keys, k.Equal) {
				return fmt.Errorf("recovery key %s is a root or officer key too: a key has one use", k.ID())
			}
		}
	}
	if r.Sealed.IsZero() {
		return errors.New("no commitment to recovery keys")
	}
	if r.Floor != nil && (r.Floor.Version < 1 || r.Floor.Manifest.IsZero()) {
		return errors.New("the floor names no manifest")
	}
	return errors.Join(checkCounters(r.N), checkTimes(r.Issued), checkText("reason", r.Reason))
}

func checkActs(acts []Act) error {
	for i, a := range acts {
		if !slices.Contains(Acts(), a) {
			return fmt.Errorf("unknown class of acts %.40q", a)
		}
		if i > 0 && acts[i-1] >= a {
			return errors.New("classes of acts are not ascending")
		}
	}
	return nil
}

func checkKeys(what string, keys []PublicKey, k uint64) error {
	if len(keys) == 0 || len(keys) > MaxKeys || k < 1 || k > uint64(len(keys)) {
		return fmt.Errorf("%s: %d of %d is no threshold", what, k, len(keys))
	}
	seen := map[KID]bool{}
	for _, key := range keys {
		if err := key.check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if key.Suite != Hybrid {
			return fmt.Errorf("%s: suite %d: trust acts need the hybrid suite", what, key.Suite)
		}
		if id := key.ID(); seen[id] {
			return fmt.Errorf("%s: key %s twice", what, id)
		} else {
			seen[id] = true
		}
	}
	return nil
}

// A Manifest is the full snapshot of a team's servers and operators, signed by its officers.
type Manifest struct {
	Team      TeamID     `cbor:"1,keyasint"`
	Version   uint64     `cbor:"2,keyasint"` // from 1
	Prev      Hash       `cbor:"3,keyasint,omitzero"`
	Root      Hash       `cbor:"4,keyasint"` // the root record whose officers sign
	Issued    uint64     `cbor:"5,keyasint"`
	Expires   uint64     `cbor:"6,keyasint"` // at most MaxManifestLife after Issued
	Nodes     []Node     `cbor:"7,keyasint,omitempty"`
	Revoked   []Revoked  `cbor:"8,keyasint,omitempty"` // every node that ever was listed and is no more
	Operators []Operator `cbor:"9,keyasint,omitempty"`
}

// A Node is a server of a team.
type Node struct {
	Key       PublicKey `cbor:"1,keyasint"` // signs parcels, statements, heads and addresses
	Peer      []byte    `cbor:"2,keyasint"` // libp2p peer id, as bytes
	Name      string    `cbor:"3,keyasint"`
	Recipient string    `cbor:"4,keyasint,omitempty"` // age hybrid recipient for what is sealed to the node
}

// Revoked is a node that may no longer speak. Its key stays listed, so that what it said before a cut-off can be verified.
type Revoked struct {
	Node Node   `cbor:"1,keyasint"`
	At   uint64 `cbor:"2,keyasint"`
	Why  string `cbor:"3,keyasint,omitempty"`
}

// An Operator is a person of a team who reads what is sealed to persons.
type Operator struct {
	Name      string `cbor:"1,keyasint"`
	Recipient string `cbor:"2,keyasint"`
}

func (*Manifest) recordType() Type { return TypeManifest }
func (m *Manifest) slot() []byte   { return slotKey(m.Team, m.Version) }

func (m *Manifest) check() error {
	if m.Version < 1 || (m.Version == 1) != m.Prev.IsZero() || m.Team.IsZero() || m.Root.IsZero() {
		return errors.New("version, predecessor, team or root is missing")
	}
	if err := errors.Join(checkCounters(m.Version), checkLife(m.Issued, m.Expires, MaxManifestLife)); err != nil {
		return err
	}
	if len(m.Nodes) > MaxNodes || len(m.Revoked) > MaxRevoked || len(m.Operators) > MaxOperators {
		return fmt.Errorf("%d nodes, %d revoked, %d operators: at most %d, %d, %d", len(m.Nodes), len(m.Revoked), len(m.Operators),
			MaxNodes, MaxRevoked, MaxOperators)
	}
	seen := map[KID]bool{}
	peers := map[string]bool{}
	one := func(n Node, current bool) error {
		if err := errors.Join(n.Key.check(), checkName("node", n.Name)); err != nil {
			return err
		}
		if len(n.Peer) == 0 || len(n.Peer) > MaxPeer {
			return fmt.Errorf("node: a peer id of %d bytes: want 1 to %d", len(n.Peer), MaxPeer)
		}
		if n.Recipient != "" {
			if err := checkToken("recipient", n.Recipient, MaxRecipient); err != nil {
				return err
			}
		}
		id := n.Key.ID()
		if seen[id] || current && peers[string(n.Peer)] {
			return fmt.Errorf("node key %s or its peer id twice", id)
		}
		seen[id] = true
		if current {
			peers[string(n.Peer)] = true
		}
		return nil
	}
	for _, n := range m.Nodes {
		if err := one(n, true); err != nil {
			return err
		}
	}
	for _, r := range m.Revoked {
		if err := errors.Join(one(r.Node, false), checkTimes(r.At), checkText("why", r.Why)); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	for _, o := range m.Operators {
		if err := errors.Join(checkName("operator", o.Name), checkToken("recipient", o.Recipient, MaxRecipient)); err != nil {
			return err
		}
		if names[o.Name] {
			return fmt.Errorf("operator %.40q twice", o.Name)
		}
		names[o.Name] = true
	}
	return nil
}

// A Card describes a team to people, after RFC 2350, with the constituency that routing needs.
type Card struct {
	Team         TeamID       `cbor:"1,keyasint"`
	Version      uint64       `cbor:"2,keyasint"` // from 1
	Issued       uint64       `cbor:"3,keyasint"`
	Name         string       `cbor:"4,keyasint"`           // short team name
	Country      string       `cbor:"5,keyasint"`           // ISO 3166-1 alpha-2
	FullName     string       `cbor:"6,keyasint,omitempty"` // official name
	Host         string       `cbor:"7,keyasint,omitempty"` // organisation that the team belongs to
	Address      string       `cbor:"8,keyasint,omitempty"`
	TimeZone     string       `cbor:"9,keyasint,omitempty"`
	Hours        string       `cbor:"10,keyasint,omitempty"`
	Phones       []Contact    `cbor:"11,keyasint,omitempty"`
	Mails        []Contact    `cbor:"12,keyasint,omitempty"`
	Web          string       `cbor:"13,keyasint,omitempty"`
	Languages    []string     `cbor:"14,keyasint,omitempty"`
	Services     []string     `cbor:"15,keyasint,omitempty"`
	Constituency Constituency `cbor:"16,keyasint"`
	Links        []Link       `cbor:"17,keyasint,omitempty"`
}

// A Contact is a phone number or mail address and what it is for.
type Contact struct {
	Use   string `cbor:"1,keyasint" json:"use"`
	Value string `cbor:"2,keyasint" json:"value"`
}

// A Link corroborates a card from elsewhere: a PGP fingerprint, a MISP organisation UUID, a directory entry. It proves
// nothing by itself.
type Link struct {
	Kind  string `cbor:"1,keyasint" json:"kind"`
	Value string `cbor:"2,keyasint" json:"value"`
}

// A Constituency is what a team answers for. All entries are claims of the team.
type Constituency struct {
	Countries []string `cbor:"1,keyasint,omitempty" json:"countries,omitempty"` // ISO 3166-1 alpha-2
	ASNs      []uint32 `cbor:"2,keyasint,omitempty" json:"asns,omitempty"`
	Prefixes  []string `cbor:"3,keyasint,omitempty" json:"prefixes,omitempty"` // CIDR, masked
	Domains   []string `cbor:"4,keyasint,omitempty" json:"domains,omitempty"`  // lower case, without a leading dot
	Sectors   []string `cbor:"5,keyasint,omitempty" json:"sectors,omitempty"`
}

func (*Card) recordType() Type { return TypeCard }
func (c *Card) slot() []byte   { return slotKey(c.Team, c.Version) }

func (c *Card) check() error {
	if c.Team.IsZero() || c.Version < 1 {
		return errors.New("team or version is missing")
	}
	if err := errors.Join(checkName("name", c.Name), checkCounters(c.Version), checkTimes(c.Issued)); err != nil {
		return err
	}
	if !IsCountry(c.Country) {
		return fmt.Errorf("country %.10q: want two capital letters (ISO 3166-1)", c.Country)
	}
	for _, s := range []string{c.FullName, c.Host, c.Address, c.TimeZone, c.Hours, c.Web} {
		if err := checkText("card", s); err != nil {
			return err
		}
	}
	for _, n := range []int{len(c.Phones), len(c.Mails), len(c.Links), len(c.Constituency.ASNs)} {
		if n > MaxItems {
			return fmt.Errorf("a list of %d entries: at most %d", n, MaxItems)
		}
	}
	lists := [][]string{c.Languages, c.Services, c.Constituency.Countries, c.Constituency.Prefixes, c.Constituency.Domains, c.Constituency.Sectors}
	for _, p := range slices.Concat(c.Phones, c.Mails) {
		lists = append(lists, []string{p.Use, p.Value})
	}
	for _, l := range c.Links {
		lists = append(lists, []string{l.Kind, l.Value})
	}
	for _, l := range lists {
		if len(l) > MaxItems {
			return fmt.Errorf("a list of %d entries: at most %d", len(l), MaxItems)
		}
		for _, s := range l {
			if err := checkText("card", s); err != nil {
				return err
			}
		}
	}
	return c.Constituency.check()
}

// check admits the one spelling of each entry, so that routing compares bytes.
func (c Constituency) check() error {
	for _, s := range c.Countries {
		if !IsCountry(s) {
			return fmt.Errorf("country %.10q: want two capital letters (ISO 3166-1)", s)
		}
	}
	for _, s := range c.Prefixes {
		if p, err := netip.ParsePrefix(s); err != nil || p.Masked().String() != s {
			return fmt.Errorf("prefix %.60q: want CIDR in its shortest form, with the bits after the mask zero", s)
		}
	}
	for _, s := range c.Domains {
		if s == "" || len(s) > 253 || s != strings.ToLower(s) || s[0] == '.' || s[len(s)-1] == '.' || strings.ContainsAny(s, " \t\n/@") {
			return fmt.Errorf("domain %.60q: want lower case, without a dot at the beginning or end", s)
		}
	}
	return nil
}

// IsCountry reports whether s has the form of an ISO 3166-1 alpha-2 code; the user-assigned ones count.
func IsCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

// An Attest says that a person of the issuing team compared the subject's fingerprint with a person of theirs.
type Attest struct {
	Issuer  TeamID `cbor:"1,keyasint"`
	Subject TeamID `cbor:"2,keyasint"`
	Method  string `cbor:"3,keyasint"` // phone, video, in-person, pgp, site-visit
	Issued  uint64 `cbor:"4,keyasint"`
	Expires uint64 `cbor:"5,keyasint"` // at most MaxAttestLife after Issued
	Retract bool   `cbor:"6,keyasint,omitempty"`
}

// Methods returns how a fingerprint may have been compared.
func Methods() []string { return []string{"phone", "video", "in-person", "pgp", "site-visit"} }

func (*Attest) recordType() Type { return TypeAttest }
func (*Attest) slot() []byte     { return nil }

func (a *Attest) check() error {
	if a.Issuer.IsZero() || a.Subject.IsZero() || a.Issuer == a.Subject {
		return errors.New("issuer and subject must be two teams")
	}
	if !slices.Contains(Methods(), a.Method) {
		return fmt.Errorf("method %.20q: want one of %v", a.Method, Methods())
	}
	return checkLife(a.Issued, a.Expires, MaxAttestLife)
}

// A Cutoff ends a revoked node's feed: what it said up to and including LastSeq stands, if the chain ends in LastHash;
// the sequence numbers in Void never stood. Of several cut-offs for a feed the most restrictive counts.
type Cutoff struct {
	Team     TeamID   `cbor:"1,keyasint"`
	Node     KID      `cbor:"2,keyasint"`
	Feed     FeedID   `cbor:"3,keyasint"`
	LastSeq  uint64   `cbor:"4,keyasint"` // 0: nothing stands
	LastHash Hash     `cbor:"5,keyasint,omitzero"`
	Void     []uint64 `cbor:"6,keyasint,omitempty"` // ascending
	Issued   uint64   `cbor:"7,keyasint"`
}

func (*Cutoff) recordType() Type { return TypeCutoff }
func (*Cutoff) slot() []byte     { return nil }

func (c *Cutoff) check() error {
	if c.Team.IsZero() || c.Node.IsZero() || c.Feed.IsZero() || (c.LastSeq == 0) != c.LastHash.IsZero() {
		return errors.New("team, node, feed or last entry is missing")
	}
	if len(c.Void) > MaxVoid {
		return fmt.Errorf("%d void entries: at most %d", len(c.Void), MaxVoid)
	}
	for i, v := range c.Void {
		if v == 0 || v > c.LastSeq || i > 0 && c.Void[i-1] >= v {
			return errors.New("void entries are not ascending up to the last")
		}
	}
	return errors.Join(checkCounters(c.LastSeq), checkTimes(c.Issued))
}

// An Address says where a node can be reached.
type Address struct {
	Team    TeamID   `cbor:"1,keyasint"`
	Node    KID      `cbor:"2,keyasint"`
	Seq     uint64   `cbor:"3,keyasint"`           // the greatest counts; Unix milliseconds of signing serve well
	Addrs   []string `cbor:"4,keyasint,omitempty"` // multiaddresses, without the peer id; none: outbound connections only
	Issued  uint64   `cbor:"5,keyasint"`
	Expires uint64   `cbor:"6,keyasint"` // at most MaxAddressLife after Issued
}

func (*Address) recordType() Type { return TypeAddress }
func (a *Address) slot() []byte   { return slotKey(a.Node, a.Seq) }

func (a *Address) check() error {
	if a.Team.IsZero() || a.Node.IsZero() || a.Seq == 0 {
		return errors.New("team, node or sequence number is missing")
	}
	if len(a.Addrs) > MaxAddrs {
		return fmt.Errorf("%d addresses: at most %d", len(a.Addrs), MaxAddrs)
	}
	for _, s := range a.Addrs {
		if err := checkToken("address", s, MaxAddr); err != nil {
			return err
		}
	}
	return errors.Join(checkCounters(a.Seq), checkLife(a.Issued, a.Expires, MaxAddressLife))
}

func checkLife(issued, expires uint64, max time.Duration) error {
	if issued == 0 || expires <= issued || expires-issued > uint64(max/time.Second) {
		return fmt.Errorf("valid from %d to %d: want at most %d days", issued, expires, int(max.Hours()/24))
	}
	return checkTimes(expires)
}

func checkTimes(seconds ...uint64) error {
	for _, s := range seconds {
		if s > MaxTime {
			return fmt.Errorf("time %d is after the year 9999", s)
		}
	}
	return nil
}

func checkCounters(counters ...uint64) error {
	for _, n := range counters {
		if n > MaxCounter {
			return fmt.Errorf("counter %d: at most %d", n, uint64(MaxCounter))
		}
	}
	return nil
}

// checkToken admits printable ASCII without spaces.
func checkToken(what, s string, max int) error {
	if s == "" || len(s) > max {
		return fmt.Errorf("%s of %d bytes: want 1 to %d", what, len(s), max)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return fmt.Errorf("%s: byte %d is not printable ASCII", what, i)
		}
	}
	return nil
}

// checkName admits one line of printable text, for names that people compare.
func checkName(what, s string) error {
	if s == "" || len(s) > MaxName || !utf8.ValidString(s) {
		return fmt.Errorf("%s: a name of %d bytes: want 1 to %d, UTF-8", what, len(s), MaxName)
	}
	for i, r := range s {
		if !unicode.IsGraphic(r) || r != ' ' && unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return fmt.Errorf("%s: the name has a character that cannot be printed at byte %d", what, i)
		}
	}
	if s[0] == ' ' || s[len(s)-1] == ' ' {
		return fmt.Errorf("%s: the name begins or ends with a space", what)
	}
	return nil
}

// checkText admits text of several lines without control characters.
func checkText(what, s string) error {
	if len(s) > MaxText || !utf8.ValidString(s) {
		return fmt.Errorf("%s: a text of %d bytes: at most %d, UTF-8", what, len(s), MaxText)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return fmt.Errorf("%s: a text has control characters", what)
		}
	}
	return nil
}
