package trust

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
)

// A root is one verified record of a root log.
type root struct {
	id protocol.Hash
	*protocol.Root
	officers []protocol.KID // of Root.Officers, in order
}

func newRoot(id protocol.Hash, r *protocol.Root) *root {
	out := &root{id: id, Root: r}
	for _, o := range r.Officers {
		out.officers = append(out.officers, o.Key.ID())
	}
	return out
}

// enough reports whether the signers are as many officers as the act needs under this record.
func (r *root) enough(a protocol.Act, signers []protocol.KID) bool {
	n := 0
	for i, o := range r.Officers {
		if o.May(a) && slices.Contains(signers, r.officers[i]) {
			n++
		}
	}
	return n >= r.K(a)
}

// verify returns which officers of this record signed e, and an error unless they are as many as the act needs. A wrong
// signature of an officer who may sign the act is an error, whatever the others signed.
func (r *root) verify(e *protocol.Envelope, a protocol.Act) ([]protocol.KID, error) {
	return r.verifyFew(e, a, r.K(a))
}

// verifyFew is verify where k officers are enough.
func (r *root) verifyFew(e *protocol.Envelope, a protocol.Act, k int) ([]protocol.KID, error) {
	var signers []protocol.KID
	for i, o := range r.Officers {
		if !o.May(a) || !slices.ContainsFunc(e.Sigs, func(s protocol.Signature) bool { return s.KID == r.officers[i] }) {
			continue
		}
		n, err := e.Signers(protocol.UseOfficer, []protocol.PublicKey{o.Key})
		if err != nil {
			return nil, err
		}
		if n == 1 {
			signers = append(signers, r.officers[i])
		}
	}
	if len(signers) < k {
		return nil, fmt.Errorf("%w: %s: signed by %d officers of root record %d, where %d are needed", protocol.ErrSignature, e.Type,
			len(signers), r.N, k)
	}
	return signers, nil
}

// verify returns the officers who signed e for the act, under the head of the log. In load, any record of the log will do.
// A signature that suffices under an earlier record only is ErrOverruled.
func (t *team) verify(e *protocol.Envelope, a protocol.Act, load bool) ([]protocol.KID, error) {
	signers, err := t.head.verify(e, a)
	if err == nil {
		return signers, nil
	}
	for _, r := range t.newestFirst() {
		if r == t.head {
			continue
		}
		if s, olderr := r.verify(e, a); olderr == nil {
			if load {
				return s, nil
			}
			return nil, fmt.Errorf("%w: %s: by officers of root record %d; the team has to sign it again under record %d",
				ErrOverruled, e.Type, r.N, t.head.N)
		}
	}
	return nil, err
}

// newestFirst returns the records of the log, those that count before others.
func (t *team) newestFirst() []*root {
	return slices.SortedFunc(maps.Values(t.roots), func(a, b *root) int {
		if p, q := t.path[a.id], t.path[b.id]; p != q {
			if p {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.N, a.N), bytes.Compare(a.id[:], b.id[:]))
	})
}

func (b *Book) addRoot(e *protocol.Envelope, now time.Time, load bool) (bool, []protocol.Hash, error) {
	r, err := protocol.Decode[protocol.Root](e)
	if err != nil {
		return false, nil, err
	}
	id := e.ID()
	if r.N == 0 {
		return b.addFirstRoot(e, id, r)
	}
	t, err := b.known(r.Team)
	if err != nil {
		return false, nil, err
	}
	if t.roots[id] != nil {
		return false, nil, nil
	}
	prev := t.roots[r.Prev]
	if prev == nil {
		return false, nil, fmt.Errorf("%w: root record %d of team %s", ErrMissing, r.N-1, r.Team.Short())
	}
	if len(t.roots) >= MaxRoots && r.Path != protocol.PathSealed {
		return false, nil, fmt.Errorf("%w: team %s has %d root records: only its recovery keys may add one", ErrFull, r.Team.Short(), MaxRoots)
	}
	if err := t.checkSuccessor(e, r, prev); err != nil {
		return false, nil, fmt.Errorf("root record %d of team %s: %w", r.N, r.Team.Short(), err)
	}
	t.roots[id] = newRoot(id, r)
	t.resolve()
	var drop []protocol.Hash
	if len(t.roots) > MaxRoots {
		victim, ok := t.expendableRoot(id)
		if !ok {
			delete(t.roots, id)
			t.resolve()
			return false, nil, fmt.Errorf("%w: all %d root records of team %s count", ErrFull, MaxRoots, r.Team.Short())
		}
		delete(t.roots, victim)
		drop = append(drop, victim)
	}
	if !load {
		b.sight(t, id, now)
	}
	return true, append(drop, b.refresh(t)...), nil
}

func (b *Book) addFirstRoot(e *protocol.Envelope, id protocol.Hash, r *protocol.Root) (bool, []protocol.Hash, error) {
	t := b.teams[id]
	switch {
	case t != nil && t.head != nil:
		return false, nil, nil
	case t == nil && len(b.teams) >= MaxTeams:
		return false, nil, fmt.Errorf("%w: %d teams are known: a person has to add this one", ErrFull, MaxTeams)
	}
	if err := signedBy(e, protocol.UseRoot, r.Keys, r.Threshold); err != nil {
		return false, nil, fmt.Errorf("first root record: %w", err)
	}
	if t == nil {
		t = newTeam(id)
		b.teams[id] = t
	}
	t.roots[id] = newRoot(id, r)
	t.resolve()
	return true, b.refresh(t), nil
}

// checkSuccessor checks r against the record that it follows.
func (t *team) checkSuccessor(e *protocol.Envelope, r *protocol.Root, prev *root) error {
	if r.N != prev.N+1 {
		return fmt.Errorf("%w: it follows record %d", ErrRule, prev.N)
	}
	switch r.Path {
	case protocol.PathRoot:
		if r.Sealed != prev.Sealed {
			return fmt.Errorf("%w: root keys cannot change the recovery keys", ErrRule)
		}
		if err := signedBy(e, protocol.UseRoot, prev.Keys, prev.Threshold); err != nil {
			return fmt.Errorf("by the predecessor's root keys: %w", err)
		}
	case protocol.PathSealed:
		if r.Reveal.Commitment() != prev.Sealed {
			return fmt.Errorf("%w: the recovery keys are not those that the predecessor committed to", ErrRule)
		}
		for a := prev; a != nil; a = t.roots[a.Prev] {
			if a.Sealed == r.Sealed {
				return fmt.Errorf("%w: recovery keys are used once: commit to new ones", ErrRule)
			}
		}
		if err := signedBy(e, protocol.UseSealed, r.Reveal.Keys, r.Reveal.Threshold); err != nil {
			return fmt.Errorf("by the recovery keys: %w", err)
		}
	default:
		return fmt.Errorf("%w: no authority of path %d exists", ErrRule, r.Path)
	}
	if err := signedBy(e, protocol.UseRoot, r.Keys, r.Threshold); err != nil {
		return fmt.Errorf("by its own root keys: %w", err)
	}
	return nil
}

// signedBy checks that at least k of the keys signed e.
func signedBy(e *protocol.Envelope, use protocol.Use, keys []protocol.PublicKey, k uint64) error {
	n, err := e.Signers(use, keys)
	if err != nil {
		return err
	}
	if uint64(n) < k {
		return fmt.Errorf("%w: %d of the %d signatures needed", protocol.ErrSignature, n, k)
	}
	return nil
}

// resolve finds the head of the log anew.
func (t *team) resolve() {
	links := make([]Link, 0, len(t.roots))
	for id, r := range t.roots {
		links = append(links, Link{ID: id, Parent: r.Prev, Rank: r.Path})
	}
	head, disputed, path := Resolve(links)
	t.head, t.disputed = t.roots[head], disputed
	clear(t.path)
	for _, h := range path {
		t.path[h] = true
	}
}

// expendableRoot returns a record of rank root that is off the path, has no successor and is not keep: the deepest one. Its
// going changes no outcome: keep is of the highest rank, so it is on the path, or ties with another of that rank above.
func (t *team) expendableRoot(keep protocol.Hash) (protocol.Hash, bool) {
	for _, r := range slices.Backward(t.offPath()) {
		if r.id == keep || r.Path != protocol.PathRoot {
			continue
		}
		leaf := true
		for _, o := range t.roots {
			leaf = leaf && o.Prev != r.id
		}
		if leaf {
			return r.id, true
		}
	}
	return protocol.Hash{}, false
}

// offPath returns the records off the path, the deepest last.
func (t *team) offPath() []*root {
	var off []*root
	for _, r := range t.roots {
		if !t.path[r.id] {
			off = append(off, r)
		}
	}
	slices.SortFunc(off, func(a, b *root) int { return cmp.Or(cmp.Compare(a.N, b.N), bytes.Compare(a.id[:], b.id[:])) })
	return off
}
