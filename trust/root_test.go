package trust

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust/trusttest"
)

func sign(t testing.TB, r protocol.Record, keys ...*protocol.PrivateKey) *protocol.Envelope {
	t.Helper()
	e, err := protocol.Sign(r, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// follow returns a root record that follows the team's newest one, unsigned.
func follow(x *trusttest.Team, edit func(r *protocol.Root)) *protocol.Root {
	r := *x.RootRec
	r.Team, r.N, r.Prev, r.Path, r.Reveal = x.ID, r.N+1, x.RootEnv.ID(), protocol.PathRoot, nil
	if edit != nil {
		edit(&r)
	}
	return &r
}

func TestRootRecordsThatAreRefused(t *testing.T) {
	x := trusttest.NewTeam(t, "x", "DE", now)
	other := trusttest.Key(t, protocol.Hybrid)
	_, sealed := trusttest.NewSealed(t)
	x2 := trusttest.Key(t, protocol.Hybrid)
	reveal := func(r *protocol.Root) {
		r.Path, r.Reveal, r.Sealed = protocol.PathSealed, &x.Sealed, sealed.Commitment()
	}
	pub := func(ks ...*protocol.PrivateKey) (out []protocol.PublicKey) {
		for _, k := range ks {
			out = append(out, k.Public())
		}
		return out
	}
	genesis := *x.RootRec
	genesis.Reason = "another"
	for name, c := range map[string]struct {
		e    *protocol.Envelope
		want error
	}{
		"a first record that its own keys did not sign": {sign(t, &genesis, other), protocol.ErrSignature},
		"signed by nobody of the predecessor":           {sign(t, follow(x, func(r *protocol.Root) { r.Keys = pub(other) }), other), protocol.ErrSignature},
		"signed by the predecessor only":                {sign(t, follow(x, func(r *protocol.Root) { r.Keys = pub(other) }), x.Root), protocol.ErrSignature},
		"its own threshold is not met": {sign(t, follow(x, func(r *protocol.Root) {
			r.Keys, r.Threshold = pub(x.Root, other, x2), 3
		}), x.Root, other), protocol.ErrSignature},
		"signed by the officer":                    {sign(t, follow(x, nil), x.Officer), protocol.ErrSignature},
		"signed by the node":                       {sign(t, follow(x, nil), x.Node), protocol.ErrSignature},
		"signed by the recovery key, as root":      {sign(t, follow(x, nil), x.Recovery), protocol.ErrSignature},
		"root keys change the recovery keys":       {sign(t, follow(x, func(r *protocol.Root) { r.Sealed = sealed.Commitment() }), x.Root), ErrRule},
		"a wrong number":                           {sign(t, follow(x, func(r *protocol.Root) { r.N = 2 }), x.Root), ErrRule},
		"recovery keys that were not committed to": {sign(t, follow(x, func(r *protocol.Root) { reveal(r); r.Reveal = &sealed }), other, x.Root), ErrRule},
		"the salt of the reveal is wrong": {sign(t, follow(x, func(r *protocol.Root) {
			reveal(r)
			s := x.Sealed
			s.Salt[0]++
			r.Reveal = &s
		}), x.Recovery, x.Root), ErrRule},
		"the recovery keys did not sign":            {sign(t, follow(x, reveal), x.Root), protocol.ErrSignature},
		"the recovery keys signed, the new did not": {sign(t, follow(x, func(r *protocol.Root) { reveal(r); r.Keys = pub(other) }), x.Recovery, x.Root), protocol.ErrSignature},
		"the recovery keys stay the same":           {sign(t, follow(x, func(r *protocol.Root) { reveal(r); r.Sealed = x.Sealed.Commitment() }), x.Recovery, x.Root), ErrRule},
		"of an unknown predecessor":                 {sign(t, follow(x, func(r *protocol.Root) { r.Prev = id(1) }), x.Root), ErrMissing},
		"of an unknown team":                        {sign(t, follow(x, func(r *protocol.Root) { r.Team = id(1) }), x.Root), ErrMissing},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBook(protocol.TeamID{})
			mustAdd(t, b, x.RootEnv)
			mustRefuse(t, b, c.e, c.want)
		})
	}
	t.Run("a flipped byte", func(t *testing.T) {
		b := NewBook(protocol.TeamID{})
		mustAdd(t, b, x.RootEnv)
		e := *sign(t, follow(x, nil), x.Root)
		e.Sigs = append([]protocol.Signature{}, e.Sigs...)
		e.Sigs[0].Ed[5] ^= 1
		mustRefuse(t, b, &e, protocol.ErrSignature)
	})
	t.Run("used recovery keys come back later", func(t *testing.T) {
		b := NewBook(protocol.TeamID{})
		y := trusttest.NewTeam(t, "y", "DE", now)
		old := y.Sealed.Commitment()
		mustAdd(t, b, y.RootEnv)
		mustAdd(t, b, y.Recover(protocol.Hash{}, nil), y.NextRoot(nil))
		mustRefuse(t, b, y.Recover(protocol.Hash{}, func(r *protocol.Root) { r.Sealed = old }), ErrRule)
	})
	t.Run("what is no identity record", func(t *testing.T) {
		b := NewBook(protocol.TeamID{})
		for _, e := range []*protocol.Envelope{{}, {Type: protocol.TypeParcel}, {Type: protocol.TypeHeads, Payload: []byte{0xa0}}} {
			mustRefuse(t, b, e, protocol.ErrMalformed)
		}
		for _, typ := range protocol.Types() {
			mustRefuse(t, b, &protocol.Envelope{Type: typ, Payload: []byte("rubbish")}, protocol.ErrMalformed)
		}
	})
}

// A root of several keys needs its threshold of the old and of the new keys.
func TestRootThresholds(t *testing.T) {
	ks := []*protocol.PrivateKey{trusttest.Key(t, protocol.Hybrid), trusttest.Key(t, protocol.Hybrid), trusttest.Key(t, protocol.Hybrid)}
	x := trusttest.NewTeam(t, "x", "DE", now)
	b := NewBook(protocol.TeamID{})
	mustAdd(t, b, x.RootEnv)
	mustAdd(t, b, x.NextRoot(func(r *protocol.Root) {
		r.Threshold, r.Keys = 2, []protocol.PublicKey{x.Root.Public(), ks[0].Public(), ks[1].Public()}
	}, ks[0]))
	replace := follow(x, func(r *protocol.Root) { r.Keys = []protocol.PublicKey{ks[0].Public(), ks[1].Public(), ks[2].Public()} })
	mustRefuse(t, b, sign(t, replace, ks[1], ks[2]), protocol.ErrSignature)  // two of the new, one of the old
	mustRefuse(t, b, sign(t, replace, x.Root, ks[1]), protocol.ErrSignature) // two of the old, one of the new
	mustAdd(t, b, sign(t, replace, x.Root, ks[1], ks[2]))
}

// The worlds of the model, with real keys and signatures, end in the same head in a Book, whatever the order.
func TestForkRuleWithRealRecords(t *testing.T) {
	if testing.Short() {
		t.Skip("signs some hundred records")
	}
	officer := trusttest.Key(t, protocol.Hybrid)
	keys := map[int]*protocol.PrivateKey{}
	key := func(n int) *protocol.PrivateKey {
		if keys[n] == nil {
			k, err := protocol.KeyFromSeed(protocol.Hybrid, protocol.Sum(fmt.Sprint("entente/test/key ", n)))
			if err != nil {
				t.Fatal(err)
			}
			keys[n] = k
		}
		return keys[n]
	}
	seal := func(n int) *protocol.SealedSet {
		return &protocol.SealedSet{Keys: []protocol.PublicKey{key(n).Public()}, Threshold: 1}
	}
	for seed := range 24 {
		respond := seed%2 == 0
		w := worlds(theft{usedSealed: seed%3 == 0, respond: respond}).Example(seed)
		es, ids := make([]*protocol.Envelope, len(w.recs)), make([]protocol.Hash, len(w.recs))
		for i, rec := range w.recs {
			r := &protocol.Root{Path: rec.rank, Keys: []protocol.PublicKey{key(rec.root).Public()}, Threshold: 1, Issued: 1,
				Officers: []protocol.Officer{{Key: officer.Public(), Name: "o"}}, Sealed: seal(rec.seal).Commitment()}
			signers := []*protocol.PrivateKey{key(rec.root)}
			if rec.parent >= 0 {
				parent := w.recs[rec.parent]
				prev, err := protocol.Decode[protocol.Root](es[rec.parent])
				if err != nil {
					t.Fatal(err)
				}
				r.Team, r.Prev, r.N = ids[0], ids[rec.parent], prev.N+1
				if rec.rank == protocol.PathSealed {
					r.Reveal = seal(parent.seal)
					signers = append(signers, key(parent.seal))
				} else {
					signers = append(signers, key(parent.root))
				}
			}
			es[i] = sign(t, r, signers...)
			ids[i] = es[i].ID()
		}
		rand.New(rand.NewPCG(uint64(seed), 1)).Shuffle(len(es), func(i, j int) { es[i], es[j] = es[j], es[i] })
		b := NewBook(protocol.TeamID{})
		for _, r := range b.AddAll(es, now) {
			if r.Err != nil || !r.Added {
				t.Fatalf("seed %d: added %v, %v", seed, r.Added, r.Err)
			}
		}
		want, disputed := w.realHead(ids)
		x := b.teams[ids[0]]
		if x.head.id != want || x.disputed != disputed {
			t.Errorf("seed %d: head record %d disputed %v, want disputed %v: %+v", seed, x.head.N, x.disputed, disputed, w.recs)
		}
		if respond && seed%3 != 0 && x.head.id != ids[w.resp] {
			t.Errorf("seed %d: the recovery lost", seed)
		}
	}
}

// realHead is the model's answer for the ids of real records.
func (w *world) realHead(ids []protocol.Hash) (protocol.Hash, bool) {
	var links []Link
	for i, r := range w.recs {
		l := Link{ID: ids[i], Rank: r.rank}
		if r.parent >= 0 {
			l.Parent = ids[r.parent]
		}
		links = append(links, l)
	}
	return descend(links, heaviest, true)
}

// A thief with the root key fills the log. The recovery keys still find room, and win; nothing that counts is evicted.
func TestFullRootLog(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	thief := x.Fork()
	for i := 1; i < MaxRoots; i++ {
		mustAdd(t, b, thief.NextRoot(nil))
	}
	mustRefuse(t, b, thief.NextRoot(nil), ErrFull)
	if got, _ := b.Team(x.ID, now); got.Root.N != MaxRoots-1 {
		t.Fatalf("head %d", got.Root.N)
	}
	e := x.Recover(protocol.Hash{}, nil)
	drop := mustAdd(t, b, e)
	got, _ := b.Team(x.ID, now)
	if got.RootID != e.ID() || len(drop) != 1 || len(b.teams[x.ID].roots) != MaxRoots {
		t.Fatalf("head %d, dropped %d, %d kept", got.Root.N, len(drop), len(b.teams[x.ID].roots))
	}
	mustAdd(t, b, x.Recover(protocol.Hash{}, nil))

	// Where every record counts, there is no room even for recovery: nothing of the true log is thrown away.
	full := trusttest.NewTeam(t, "full", "DE", now)
	mustAdd(t, b, full.RootEnv)
	for i := 1; i < MaxRoots; i++ {
		mustAdd(t, b, full.NextRoot(nil))
	}
	mustRefuse(t, b, full.Recover(protocol.Hash{}, nil), ErrFull)
}

// An eviction never settles a dispute.
func TestFullRootLogKeepsADispute(t *testing.T) {
	b, ts := community(t, "self", "x")
	x := ts[1]
	a, c, d := x.Fork(), x.Fork(), x.Fork()
	mustAdd(t, b, a.Recover(protocol.Hash{}, nil), c.Recover(protocol.Hash{}, nil))
	for len(b.teams[x.ID].roots) < MaxRoots {
		mustAdd(t, b, a.NextRoot(nil))
	}
	wantState(t, b, x.ID, now, Disputed)
	last := a.RootEnv.ID()
	if drop := mustAdd(t, b, d.Recover(protocol.Hash{}, nil)); len(drop) != 1 || drop[0] != last {
		t.Errorf("dropped %v", drop)
	}
	wantState(t, b, x.ID, now, Disputed)
	if got, _ := b.Team(x.ID, now); got.RootID != x.ID || len(b.teams[x.ID].roots) != MaxRoots {
		t.Errorf("disputed at record %d of %d", got.Root.N, len(b.teams[x.ID].roots))
	}
}

// I-10: whatever the root keys sign, the recovery keys stay those that were committed to.
func TestRootKeysNeverChangeTheRecoveryKeys(t *testing.T) {
	x := trusttest.NewTeam(t, "x", "DE", now)
	want := x.RootRec.Sealed
	_, sealed := trusttest.NewSealed(t)
	rapid.Check(t, func(rt *rapid.T) {
		b, f := NewBook(protocol.TeamID{}), x.Fork()
		mustAdd(t, b, f.RootEnv)
		for range rapid.IntRange(1, 5).Draw(rt, "records") {
			if rapid.Bool().Draw(rt, "change") {
				mustRefuse(t, b, f.Fork().NextRoot(func(r *protocol.Root) { r.Sealed = sealed.Commitment() }), ErrRule)
			} else {
				mustAdd(t, b, f.NextRoot(nil))
			}
		}
		if got, _ := b.Team(x.ID, now); got.Root.Sealed != want || got.RootID != f.RootEnv.ID() {
			rt.Fatal("the commitment changed")
		}
	})
}
