package trust

import (
	"errors"
	"fmt"
	"time"

	"github.com/entente-network/entente/protocol"
)

// Limits of a Book.
const (
	MaxTeams   = 2000 // beyond, only teams that a person added are taken in
	MaxRoots   = 64   // records of one root log; beyond, only recovery is taken in
	MaxAttests = 32   // attestations kept of one team
	MaxCutoffs = 1024 // cut-offs kept of one team
)

// Errors that callers branch on. A peer that sends a record refused with one of these did no wrong: it may know more or
// less than this node. Only protocol.ErrSignature and protocol.ErrMalformed say that it passed on what nobody should.
var (
	// ErrMissing is wrapped where a record refers to one that is not known yet. The caller tries again when more came in.
	ErrMissing = errors.New("a record that this one builds on is not known yet")
	// ErrOverruled is wrapped where a record is signed by an authority that the team has replaced since.
	ErrOverruled = errors.New("signed by an authority that was replaced")
	// ErrRule is wrapped where a record is signed well and breaks a rule against what is known.
	ErrRule = errors.New("against the rules")
	// ErrNoTeam is wrapped where no team has the id, prefix or name.
	ErrNoTeam = errors.New("no such team")
	// ErrFull is wrapped where a limit of the Book refuses a record that may be valid.
	ErrFull = errors.New("no room for more")
	// ErrConflict is wrapped where an introduction contradicts what is known.
	ErrConflict = errors.New("contradicts what is known")
)

// A Book is what my team knows of teams: parsed records, no signature bytes, and the decisions of its people. It is not safe
// for concurrent use.
//
// Which records count follows from the set of records taken in, not from their order, as far as the rules allow: a manifest
// that leaves out a node of the one before is refused only by those who know the one before.
type Book struct {
	self  protocol.TeamID
	teams map[protocol.TeamID]*team
	nodes map[protocol.KID][]protocol.TeamID // teams that list the key, ascending; values are never changed in place
	peers map[string][]protocol.TeamID       // teams that list a current node of the transport identity, likewise

	agreements map[protocol.Hash]*agreement
	partners   map[protocol.TeamID][]protocol.Hash // agreements with the team, ascending; values are never changed in place
	refused    map[protocol.Hash]bool              // agreements that were; at most maxRefused
	seen       map[protocol.Hash]time.Time         // when root records that were new were first seen
	unkept     []OwnAct                            // of seen, what Act was not given
	logs       uint64                              // counts changes of root logs; whatever follows from them alone can be kept until then
	generation uint64                              // counts these, and changes of manifests, cards and people's decisions, likewise
}

// A team is all that is known of one team.
type team struct {
	id       protocol.TeamID
	roots    map[protocol.Hash]*root
	head     *root // nil until the first record came
	disputed bool  // the root log is, at head
	path     map[protocol.Hash]bool
	listed   map[protocol.KID]listed // nodes of manifests[0]

	manifests []*manifest // the best one, and a rival of the same version if there is one
	card      *card
	attests   map[protocol.TeamID]*attest // by issuer, about this team
	cutoffs   []*cutoff
	addrs     map[protocol.KID]*address
	recips    map[protocol.KID]*recipient

	acted     bool // a person of mine decided anything about it
	added     time.Time
	verified  *OwnAct
	blocked   *OwnAct
	unblocked *OwnAct
	wasAdded  bool
}

// signed is what remains of an envelope: its id, and the officers whose signatures were verified.
type signed struct {
	id      protocol.Hash
	signers []protocol.KID
}

// NewBook returns a Book of the team self, which may be zero until init made one.
func NewBook(self protocol.TeamID) *Book {
	b := &Book{self: self, teams: map[protocol.TeamID]*team{}, nodes: map[protocol.KID][]protocol.TeamID{},
		peers: map[string][]protocol.TeamID{}, agreements: map[protocol.Hash]*agreement{},
		partners: map[protocol.TeamID][]protocol.Hash{}, refused: map[protocol.Hash]bool{}, seen: map[protocol.Hash]time.Time{}}
	if !self.IsZero() {
		b.teams[self] = newTeam(self)
	}
	return b
}

func newTeam(id protocol.TeamID) *team {
	return &team{id: id, roots: map[protocol.Hash]*root{}, path: map[protocol.Hash]bool{}, listed: map[protocol.KID]listed{},
		attests: map[protocol.TeamID]*attest{}, addrs: map[protocol.KID]*address{}, recips: map[protocol.KID]*recipient{}}
}

// Act takes in a decision of a person. The order in which acts are replayed does not matter. An act about a team of which
// nothing is known yet makes room for its records.
func (b *Book) Act(a OwnAct) {
	if a.Team.IsZero() {
		return
	}
	if a.Kind == ActSighted {
		b.sighted(a)
		return
	}
	b.generation++
	t := b.teams[a.Team]
	if t == nil {
		t = newTeam(a.Team)
		b.teams[a.Team] = t
	}
	later := func(old *OwnAct) *OwnAct {
		if old != nil && !a.At.After(old.At) {
			return old
		}
		return &a
	}
	switch a.Kind {
	case ActVerified:
		t.verified = later(t.verified)
		fallthrough
	case ActAdded:
		if !t.wasAdded || a.At.Before(t.added) {
			t.added, t.wasAdded = a.At, true
		}
	case ActBlocked:
		t.blocked = later(t.blocked)
	case ActUnblocked:
		t.unblocked = later(t.unblocked)
	default:
		return
	}
	t.acted = true
}

// isBlocked reports whether the last act says so; of two at one time, the block counts.
func (t *team) isBlocked() bool {
	return t.blocked != nil && (t.unblocked == nil || !t.unblocked.At.After(t.blocked.At))
}

// A Result is what became of one record.
type Result struct {
	Added bool
	Drop  []protocol.Hash // ids of records that need not be kept any more, perhaps the record's own
	Err   error
}

// Add verifies one identity record against what is known and takes it in.
//
// added is false without an error for a record that is known, superseded or expired: there is nothing to store. An error
// means: refused, nothing changed. drop lists the ids of records that need not be kept any more; a caller that stores
// records deletes those after it stored the new one.
func (b *Book) Add(e *protocol.Envelope, now time.Time) (added bool, drop []protocol.Hash, err error) {
	return b.add(e, now, false)
}

// AddAll adds records that may depend on each other, in any order: what is missing at first is tried again. The results are
// those of Add, in the order of es.
func (b *Book) AddAll(es []*protocol.Envelope, now time.Time) []Result {
	return b.addAll(es, now, false)
}

// Load takes in the records that this node's own store kept, in any order. It differs from AddAll in one thing: a record that
// was signed under an earlier root record of the team, and was accepted then, comes back as what it was. It must not be used
// for records that come from elsewhere. It returns the ids of records that need not be kept any more, and an error for each
// record that was refused.
func (b *Book) Load(es []*protocol.Envelope, now time.Time) (drop []protocol.Hash, errs []error) {
	for _, r := range b.addAll(es, now, true) {
		drop = append(drop, r.Drop...)
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return drop, errs
}

func (b *Book) addAll(es []*protocol.Envelope, now time.Time, load bool) []Result {
	results := make([]Result, len(es))
	// Roots first, so that a manifest is judged by the whole log.
	var todo []int
	for _, roots := range []bool{true, false} {
		for i, e := range es {
			if (e.Type == protocol.TypeRoot) == roots {
				todo = append(todo, i)
			}
		}
		for progress := true; progress && len(todo) > 0; {
			progress = false
			var missing []int
			for _, i := range todo {
				r := &results[i]
				r.Added, r.Drop, r.Err = b.add(es[i], now, load)
				if errors.Is(r.Err, ErrMissing) {
					missing = append(missing, i)
				} else {
					progress = true
				}
			}
			todo = missing
		}
	}
	return results
}

func (b *Book) add(e *protocol.Envelope, now time.Time, load bool) (added bool, drop []protocol.Hash, err error) {
	defer func() {
		if !added && len(drop) == 0 {
			return
		}
		switch e.Type {
		case protocol.TypeRoot:
			b.logs++
			b.generation++
		case protocol.TypeManifest, protocol.TypeCard:
			b.generation++
		}
	}()
	switch e.Type {
	case protocol.TypeRoot:
		return b.addRoot(e, now, load)
	case protocol.TypeManifest:
		return b.addManifest(e, load)
	case protocol.TypeCard:
		return b.addCard(e, load)
	case protocol.TypeAttest:
		return b.addAttest(e, now, load)
	case protocol.TypeCutoff:
		return b.addCutoff(e, load)
	case protocol.TypeAddress:
		return b.addAddress(e, now, load)
	case protocol.TypeRecipient:
		return b.addRecipient(e)
	}
	return false, nil, fmt.Errorf("%w: %.60q is no identity record", protocol.ErrMalformed, string(e.Type))
}

// TeamOf returns the team that an identity record is about: the subject of an attestation, the team itself otherwise. It
// verifies no signature.
func TeamOf(e *protocol.Envelope) (id protocol.TeamID, err error) {
	switch e.Type {
	case protocol.TypeRoot:
		r, err := protocol.Decode[protocol.Root](e)
		if err != nil {
			return id, err
		}
		if r.N == 0 {
			return e.ID(), nil
		}
		return r.Team, nil
	case protocol.TypeManifest:
		return teamOf(e, func(m *protocol.Manifest) protocol.TeamID { return m.Team })
	case protocol.TypeCard:
		return teamOf(e, func(c *protocol.Card) protocol.TeamID { return c.Team })
	case protocol.TypeAttest:
		return teamOf(e, func(a *protocol.Attest) protocol.TeamID { return a.Subject })
	case protocol.TypeCutoff:
		return teamOf(e, func(c *protocol.Cutoff) protocol.TeamID { return c.Team })
	case protocol.TypeAddress:
		return teamOf(e, func(a *protocol.Address) protocol.TeamID { return a.Team })
	case protocol.TypeRecipient:
		return teamOf(e, func(r *protocol.NodeRecipient) protocol.TeamID { return r.Team })
	}
	return id, fmt.Errorf("%w: %.60q is no identity record", protocol.ErrMalformed, string(e.Type))
}

func teamOf[T any, P interface {
	*T
	protocol.Record
}](e *protocol.Envelope, team func(P) protocol.TeamID) (protocol.TeamID, error) {
	r, err := protocol.Decode[T, P](e)
	if err != nil {
		return protocol.TeamID{}, err
	}
	return team(r), nil
}

// known returns the team if its root log has begun.
func (b *Book) known(id protocol.TeamID) (*team, error) {
	if t := b.teams[id]; t != nil && t.head != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: the first root record of team %s", ErrMissing, id.Short())
}
