package trust

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
)

// A world is a root log as honest people and a thief leave it. It is the model of the fork rule (trust.md M10), with keys as
// numbers; what it drives is Resolve.
type world struct {
	recs []worldRec
	keys int
	good int // newest record of the honest, before they respond
	resp int // their recovery on it, or -1
}

type worldRec struct {
	parent            int // -1 in the first
	rank              protocol.Path
	root, seal, guard int // keys that may sign the next record by each path
	thief             bool
}

func (w *world) key() int { w.keys++; return w.keys }

func (w *world) add(r worldRec) int {
	w.recs = append(w.recs, r)
	return len(w.recs) - 1
}

// id is a fixed shuffle of the numbers, so that no order of ids leans to either side.
func id(i int) protocol.Hash {
	return protocol.Sum("entente/test/record", binary.BigEndian.AppendUint32(nil, uint32(i)))
}

func (w *world) links() []Link {
	var links []Link
	for i, r := range w.recs {
		l := Link{ID: id(i), Rank: r.rank}
		if r.parent >= 0 {
			l.Parent = id(r.parent)
		}
		links = append(links, l)
	}
	return links
}

func (w *world) head(resolve func([]Link) (protocol.Hash, bool)) (head int, disputed bool) {
	h, disputed := resolve(w.links())
	for i := range w.recs {
		if id(i) == h {
			return i, disputed
		}
	}
	panic("the head is none of the records")
}

func resolveAll(links []Link) (protocol.Hash, bool) {
	head, disputed, _ := Resolve(links)
	return head, disputed
}

// A theft says what the thief gets beside root keys of any record.
type theft struct {
	usedSealed  bool // recovery keys that were used already
	exGuardians bool // guardians who were replaced
	respond     bool // the honest recover at the end
}

// worlds generates an honest log of up to 7 records, what a thief adds to it, and the response.
func worlds(th theft) *rapid.Generator[*world] {
	return rapid.Custom(func(t *rapid.T) *world {
		w := &world{resp: -1}
		head := w.add(worldRec{parent: -1, rank: protocol.PathRoot, root: w.key(), seal: w.key(), guard: w.key()})
		used := map[int]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "honest") {
			h := w.recs[head]
			if rapid.IntRange(0, 3).Draw(t, "recovery") == 0 {
				used[h.seal] = true
				head = w.add(worldRec{parent: head, rank: protocol.PathSealed, root: w.key(), seal: w.key(), guard: w.key()})
			} else {
				head = w.add(worldRec{parent: head, rank: protocol.PathRoot, root: w.key(), seal: h.seal, guard: h.guard})
			}
		}
		w.good = head

		roots, seals, guards := map[int]bool{}, map[int]bool{}, map[int]bool{}
		for _, r := range w.recs {
			if rapid.Bool().Draw(t, "stolen") {
				roots[r.root] = true
			}
			if th.exGuardians && r.guard != w.recs[w.good].guard {
				guards[r.guard] = true
			}
		}
		if th.usedSealed {
			maps.Copy(seals, used)
		}
		for range rapid.IntRange(1, 8).Draw(t, "attempts") {
			p := rapid.IntRange(0, len(w.recs)-1).Draw(t, "parent")
			r := w.recs[p]
			next := worldRec{parent: p, rank: protocol.Path(rapid.IntRange(1, 3).Draw(t, "path")), root: w.key(), seal: r.seal, guard: r.guard, thief: true}
			switch {
			case next.rank == protocol.PathRoot && roots[r.root]:
			case next.rank == protocol.PathGuardian && guards[r.guard]:
			case next.rank == protocol.PathSealed && seals[r.seal]:
				next.seal, next.guard = w.key(), w.key()
				seals[next.seal], guards[next.guard] = true, true
			default:
				continue
			}
			roots[next.root] = true
			w.add(next)
		}
		if th.respond {
			w.resp = w.add(worldRec{parent: w.good, rank: protocol.PathSealed, root: w.key(), seal: w.key(), guard: w.key()})
		}
		return w
	})
}

// holdsCurrentRoot reports whether the thief signed on the newest honest record: then only a recovery helps.
func (w *world) holdsCurrentRoot() bool {
	return slices.ContainsFunc(w.recs, func(r worldRec) bool { return r.thief && r.parent == w.good })
}

// claims are what the fork rule promises (I-8, I-9). Each returns what went wrong, or "".
var claims = []struct {
	name  string
	theft theft
	broke func(w *world, resolve func([]Link) (protocol.Hash, bool)) string
}{
	{"recovery wins unless the unused recovery keys were stolen", theft{exGuardians: true, respond: true},
		func(w *world, resolve func([]Link) (protocol.Hash, bool)) string {
			if h, d := w.head(resolve); d || h != w.resp {
				return fmt.Sprintf("the head is record %d (disputed %v), the recovery %d", h, d, w.resp)
			}
			return ""
		}},
	{"old keys never take over", theft{exGuardians: true},
		func(w *world, resolve func([]Link) (protocol.Hash, bool)) string {
			if h, _ := w.head(resolve); w.recs[h].thief && !w.holdsCurrentRoot() {
				return fmt.Sprintf("the head is the thief's record %d", h)
			}
			return ""
		}},
	{"used recovery keys dispute at worst", theft{usedSealed: true, exGuardians: true, respond: true},
		func(w *world, resolve func([]Link) (protocol.Hash, bool)) string {
			if h, _ := w.head(resolve); w.recs[h].thief {
				return fmt.Sprintf("the head is the thief's record %d", h)
			}
			return ""
		}},
}

func TestForkRule(t *testing.T) {
	for _, c := range claims {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := worlds(c.theft).Draw(t, "world")
				if bad := c.broke(w, resolveAll); bad != "" {
					t.Fatalf("%s: %+v", bad, w.recs)
				}
			})
		})
	}
}

// Rules that look as good as ours. Each must let a thief take the team over within the seeds, or the claims have no teeth.
var mutants = map[string]func(links []Link) (protocol.Hash, bool){
	"a record's own rank decides": func(links []Link) (protocol.Hash, bool) {
		return descend(links, func(l Link, _ func(protocol.Hash) []Link) int { return int(l.Rank) }, true)
	},
	"no dispute, the lowest id wins": func(links []Link) (protocol.Hash, bool) {
		return descend(links, heaviest, false)
	},
	"the longest branch wins": func(links []Link) (protocol.Hash, bool) {
		return descend(links, func(l Link, kids func(protocol.Hash) []Link) int {
			depth := 0
			for at := []Link{l}; len(at) > 0; depth++ {
				var next []Link
				for _, k := range at {
					next = append(next, kids(k.ID)...)
				}
				at = next
			}
			return depth
		}, true)
	},
}

func heaviest(l Link, kids func(protocol.Hash) []Link) int {
	w := int(l.Rank)
	for _, k := range kids(l.ID) {
		w = max(w, heaviest(k, kids))
	}
	return w
}

func descend(links []Link, weigh func(Link, func(protocol.Hash) []Link) int, dispute bool) (protocol.Hash, bool) {
	kids := func(h protocol.Hash) []Link {
		var out []Link
		for _, l := range links {
			if l.Parent == h {
				out = append(out, l)
			}
		}
		slices.SortFunc(out, func(a, b Link) int { return slices.Compare(a.ID[:], b.ID[:]) })
		return out
	}
	at := kids(protocol.Hash{})[0]
	for {
		best, ties := -1, 0
		var next Link
		for _, k := range kids(at.ID) {
			switch w := weigh(k, kids); {
			case w > best:
				best, ties, next = w, 1, k
			case w == best:
				ties++
			}
		}
		if best < 0 {
			return at.ID, false
		}
		if ties > 1 && dispute {
			return at.ID, true
		}
		at = next
	}
}

func TestMutantsOfTheForkRuleAreCaught(t *testing.T) {
	const seeds = 2000
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds {
				for _, c := range claims {
					w := worlds(c.theft).Example(seed)
					h, _ := w.head(mutant)
					if hijacked := w.recs[h].thief && (c.theft.respond || !w.holdsCurrentRoot()); !hijacked {
						continue
					}
					if c.broke(w, mutant) == "" {
						t.Fatalf("seed %d: hijacked, and the claim %q did not notice", seed, c.name)
					}
					t.Logf("hijacked with seed %d, against %q", seed, c.name)
					return
				}
			}
			t.Errorf("no hijack in %d seeds: the worlds are too tame to tell this rule from ours", seeds)
		})
	}
}

// The recursive rule of the model and the iterative one agree.
func TestResolveIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := worlds(theft{usedSealed: true, exGuardians: true, respond: rapid.Bool().Draw(t, "respond")}).Draw(t, "world")
		head, disputed := resolveAll(w.links())
		wantHead, wantDisputed := descend(w.links(), heaviest, true)
		if head != wantHead || disputed != wantDisputed {
			t.Fatalf("got %s disputed %v, want %s disputed %v: %+v", head.Short(), disputed, wantHead.Short(), wantDisputed, w.recs)
		}
	})
}

// I-7: order and repetition do not matter.
func TestResolveIsAFunctionOfTheSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		links := worlds(theft{usedSealed: true, exGuardians: true, respond: true}).Draw(t, "world").links()
		head, disputed, path := Resolve(links)
		again := slices.Concat(links, rapid.SliceOf(rapid.SampledFrom(links)).Draw(t, "repeated"))
		again = rapid.Permutation(again).Draw(t, "shuffled")
		before := slices.Clone(again)
		h, d, p := Resolve(again)
		if h != head || d != disputed || !slices.Equal(p, path) {
			t.Fatalf("got %s %v %d, want %s %v %d", h.Short(), d, len(p), head.Short(), disputed, len(path))
		}
		if !slices.Equal(again, before) {
			t.Fatal("Resolve changed its input")
		}
	})
}

func TestResolveOfWhatIsNoLog(t *testing.T) {
	zero := protocol.Hash{}
	for name, links := range map[string][]Link{
		"nothing":      nil,
		"no first":     {{ID: id(1), Parent: id(2), Rank: 1}, {ID: id(2), Parent: id(1), Rank: 3}},
		"two firsts":   {{ID: id(1), Rank: 1}, {ID: id(2), Rank: 3}},
		"a zero first": {{Rank: 1}},
	} {
		if head, disputed, path := Resolve(links); head != zero || !disputed || path != nil {
			t.Errorf("%s: got %s, %v, %d records", name, head.Short(), disputed, len(path))
		}
	}
	// A cycle and an orphan of the highest rank change nothing.
	links := []Link{{ID: id(1), Rank: 1}, {ID: id(2), Parent: id(1), Rank: 1},
		{ID: id(3), Parent: id(9), Rank: 3}, {ID: id(4), Parent: id(5), Rank: 3}, {ID: id(5), Parent: id(4), Rank: 3}}
	if head, disputed, path := Resolve(links); head != id(2) || disputed || len(path) != 2 {
		t.Errorf("got %s, %v, %d records", head.Short(), disputed, len(path))
	}
}

// A log of 100,000 records is no trouble: Resolve does not recurse.
func TestResolveOfADeepLog(t *testing.T) {
	const n = 100_000
	links := make([]Link, n)
	for i := range links {
		links[i] = Link{ID: id(i), Rank: protocol.PathRoot}
		if i > 0 {
			links[i].Parent = id(i - 1)
		}
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(n, func(i, j int) { links[i], links[j] = links[j], links[i] })
	if head, disputed, path := Resolve(links); head != id(n-1) || disputed || len(path) != n {
		t.Errorf("got %s, disputed %v, a path of %d", head.Short(), disputed, len(path))
	}
}
