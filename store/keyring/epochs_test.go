package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

var epochEnd = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// newEpoch makes the identity of an epoch, and returns it with what is sealed to it.
func newEpoch(t testing.TB, room, id protocol.Hash) (EpochKey, []byte) {
	t.Helper()
	own, announced, err := seal.NewEpochKey()
	if err != nil {
		t.Fatal(err)
	}
	to, err := seal.ParseRecipient(announced)
	if err != nil {
		t.Fatal(err)
	}
	file, err := seal.SealSmall(id[:], to)
	if err != nil {
		t.Fatal(err)
	}
	return EpochKey{Room: room, ID: id, Identity: own, Until: epochEnd}, file
}

// opensEpoch checks whether the ring opens what is sealed to an epoch.
func opensEpoch(t testing.TB, r *Ring, e EpochKey, file []byte, want bool) {
	t.Helper()
	got, err := r.OpenEpoch(e.ID, file)
	switch {
	case want && (err != nil || !bytes.Equal(got, e.ID[:])):
		t.Errorf("opening: got %x, %v", got, err)
	case !want && !errors.Is(err, ErrNoEpoch):
		t.Errorf("opening: got %v, want ErrNoEpoch", err)
	}
	k, ok := r.Epoch(e.ID)
	if ok != want || r.HasEpoch(e.ID) != want {
		t.Errorf("got held %v, want %v", ok, want)
	}
	if ok && (k.Room != e.Room || k.ID != e.ID || k.Identity.Secret() != e.Identity.Secret() || !k.Until.Equal(e.Until)) {
		t.Error("got another identity, room or end")
	}
}

func mustPut(t testing.TB, r *Ring, es ...EpochKey) {
	t.Helper()
	if err := r.PutEpochs(es...); err != nil {
		t.Fatal(err)
	}
}

func TestEpochs(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	a, toA := newEpoch(t, hash(1), hash(12))
	b, toB := newEpoch(t, hash(1), hash(11))
	c, toC := newEpoch(t, hash(2), hash(13))
	opensEpoch(t, r, a, toA, false)
	if got := r.Epochs(hash(1)); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	mustPut(t, r, a)
	mustPut(t, r, b, c, a)
	for range 2 {
		opensEpoch(t, r, a, toA, true)
		opensEpoch(t, r, b, toB, true)
		opensEpoch(t, r, c, toC, true)
		if got := r.Epochs(hash(1)); !slices.Equal(got, []protocol.Hash{hash(11), hash(12)}) {
			t.Errorf("got %v", got)
		}
		if got := r.Epochs(hash(2)); !slices.Equal(got, []protocol.Hash{hash(13)}) {
			t.Errorf("got %v", got)
		}
		if _, err := r.OpenEpoch(a.ID, toB); !errors.Is(err, seal.ErrNotRecipient) {
			t.Errorf("of another epoch: got %v, want ErrNotRecipient", err)
		}
		r = reopen(t, r, u)
	}
	if err := r.DestroyEpochs(a.ID, c.ID, hash(99)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		opensEpoch(t, r, a, toA, false)
		opensEpoch(t, r, b, toB, true)
		opensEpoch(t, r, c, toC, false)
		if got := append(r.Epochs(hash(1)), r.Epochs(hash(2))...); !slices.Equal(got, []protocol.Hash{hash(11)}) {
			t.Errorf("got %v", got)
		}
		r = reopen(t, r, u)
	}
	mustPut(t, r, a) // granted anew
	opensEpoch(t, reopen(t, r, u), a, toA, true)
}

// A grant is opened with the node's identity, also with one that was replaced since.
func TestOpenGrant(t *testing.T) {
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	e, file := newEpoch(t, hash(1), hash(2))
	to, err := seal.ParseRecipient(r.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.SealIdentity(e.Identity, to)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) > protocol.MaxGrantKey {
		t.Errorf("got %d bytes, a grant has at most %d", len(sealed), protocol.MaxGrantKey)
	}
	if _, err := r.Rotate(epochEnd); err != nil {
		t.Fatal(err)
	}
	got, err := r.OpenGrant(sealed, e.Identity.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, r, EpochKey{Room: e.Room, ID: e.ID, Identity: got, Until: e.Until})
	opensEpoch(t, r, e, file, true)
	if _, err := r.OpenGrant(sealed, r.Recipient()); !errors.Is(err, seal.ErrOtherIdentity) {
		t.Errorf("got %v, want ErrOtherIdentity", err)
	}
}

func TestEpochsRefused(t *testing.T) {
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	a, toA := newEpoch(t, hash(1), hash(11))
	b, toB := newEpoch(t, hash(1), hash(12))
	mustPut(t, r, a)
	other, moved := a, a
	other.Identity, moved.Room = b.Identity, hash(2)
	noRoom, noID, noKey := b, b, b
	noRoom.Room, noID.ID, noKey.Identity = protocol.Hash{}, protocol.Hash{}, seal.Identity{}
	for name, e := range map[string]EpochKey{"another identity": other, "another room": moved, "no room": noRoom, "no id": noID, "no identity": noKey} {
		if err := r.PutEpochs(b, e); err == nil {
			t.Errorf("%s: got no error", name)
		}
		opensEpoch(t, r, a, toA, true)
		opensEpoch(t, r, b, toB, false) // all or none
	}
}

// What is held already is not written again.
func TestEpochsUnchanged(t *testing.T) {
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	a, _ := newEpoch(t, hash(1), hash(11))
	if err := errors.Join(r.PutEpochs(), r.DestroyEpochs(a.ID)); err != nil || r.dir.has(epochsKey) {
		t.Errorf("nothing changed: got %v, a file %v", err, r.dir.has(epochsKey))
	}
	mustPut(t, r, a)
	failAt(t, "written", errors.New("a write"))
	if err := errors.Join(r.PutEpochs(a), r.DestroyEpochs(hash(12))); err != nil {
		t.Errorf("nothing changed: got %v", err)
	}
}

// A write that dies changes nothing, and its remains are cleared away.
func TestEpochsCrash(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	a, toA := newEpoch(t, hash(1), hash(11))
	b, toB := newEpoch(t, hash(1), hash(12))
	mustPut(t, r, a)
	crash := errors.New("power cut")
	restore := failAt(t, "written", crash)
	if err := r.PutEpochs(b); !errors.Is(err, crash) {
		t.Errorf("keeping: got %v", err)
	}
	if err := r.DestroyEpochs(a.ID); !errors.Is(err, crash) {
		t.Errorf("destroying: got %v", err)
	}
	restore()
	if err := os.WriteFile(r.dir.file("."+epochsKey+".LEFT.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		opensEpoch(t, r, a, toA, true)
		opensEpoch(t, r, b, toB, false)
		r = reopen(t, r, u)
	}
	if got := files(t, keys); len(got) != 2 {
		t.Errorf("%d files are in keys, want two", len(got))
	}
	if err := r.DestroyEpochs(a.ID); err != nil {
		t.Fatal(err)
	}
	opensEpoch(t, reopen(t, r, u), a, toA, false)
}

func TestEpochsFile(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	a, toA := newEpoch(t, hash(1), hash(11))
	mustPut(t, r, a)
	path := r.dir.file(epochsKey)
	for name, text := range files(t, keys) {
		if shows(text, []byte(a.Identity.Secret())) || shows(text, a.Room[:]) || shows(text, a.ID[:]) {
			t.Errorf("%s shows the epoch", filepath.Base(name))
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, data []byte, want error) {
		t.Helper()
		r.Close()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if r, err = Open(keys, u); err == nil {
			r.Close()
		}
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if err != nil {
			r = &Ring{closed: true}
		}
	}
	for n := 0; n < len(whole); n += 41 {
		try(fmt.Sprintf("%d of %d bytes", n, len(whole)), whole[:n], seal.ErrDamaged)
		bad := bytes.Clone(whole)
		bad[n] ^= 1
		try(fmt.Sprintf("byte %d changed", n), bad, nil)
	}
	try("huge", make([]byte, maxEpochsFile+1), nil)
	sealed := func(plain []byte, to seal.Recipient) []byte {
		var b bytes.Buffer
		w, err := seal.Seal(&b, to)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(plain)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	to := u.id.Recipient()
	stranger, _ := newEpoch(t, hash(9), hash(9))
	try("of another secret", sealed([]byte("x"), stranger.Identity.Recipient()), ErrWrongUnlock)
	secret := []byte(a.Identity.Secret())
	for name, rec := range map[string]*epochsRecord{
		"newer":         {Version: 2},
		"an empty room": {Version: 1, Rooms: []roomEpochs{{Room: hash(1)}}},
		"out of order":  {Version: 1, Rooms: []roomEpochs{{hash(1), []epochSecret{{hash(3), secret, 1}, {hash(2), secret, 1}}}}},
		"rooms out of order": {Version: 1, Rooms: []roomEpochs{{hash(2), []epochSecret{{hash(3), secret, 1}}},
			{hash(1), []epochSecret{{hash(2), secret, 1}}}}},
		"in two rooms": {Version: 1, Rooms: []roomEpochs{{hash(1), []epochSecret{{hash(3), secret, 1}}},
			{hash(2), []epochSecret{{hash(3), secret, 1}}}}},
		"without a secret": {Version: 1, Rooms: []roomEpochs{{hash(1), []epochSecret{{hash(3), nil, 1}}}}},
		"with a long one":  {Version: 1, Rooms: []roomEpochs{{hash(1), []epochSecret{{hash(3), make([]byte, maxSecret+1), 1}}}}},
		"too many rooms":   {Version: 1, Rooms: manyRooms(MaxRooms+1, 1)},
		"too many epochs":  {Version: 1, Rooms: manyRooms(MaxEpochs/100+1, 100)},
	} {
		plain, err := protocol.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		try(name, sealed(plain, to), nil)
	}
	for _, inside := range []string{"", "x", "\xa0"} {
		try("inside "+inside, sealed([]byte(inside), to), nil)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(keys, u); err != nil {
		t.Fatal(err)
	}
	opensEpoch(t, r, a, toA, true)
	r.Close()
	// The node works without it, and a new one is not made over it.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(keys, u); err != nil {
		t.Fatal(err)
	}
	opensEpoch(t, r, a, toA, false)
	mustPut(t, r, a)
	r.Close()
	if err := os.Remove(r.dir.file(nodeKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(keys, u, lowWork); !errors.Is(err, ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
}

// manyRooms makes rooms with n identities each.
func manyRooms(rooms, n int) []roomEpochs {
	var out []roomEpochs
	for i := range rooms {
		r := roomEpochs{Room: protocol.Hash{1, byte(i >> 8), byte(i)}}
		for j := range n {
			r.Epochs = append(r.Epochs, epochSecret{ID: protocol.Hash{2, byte(i >> 8), byte(i), byte(j >> 8), byte(j)}, Secret: []byte("x"), Until: 1})
		}
		out = append(out, r)
	}
	return out
}

func TestEpochLimits(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	a, _ := newEpoch(t, hash(1), hash(11))
	for name, rooms := range map[string][]roomEpochs{
		"rooms": manyRooms(MaxRooms, 1), "epochs of a room": manyRooms(1, MaxRoomEpochs), "epochs": manyRooms(MaxEpochs/MaxRoomEpochs, MaxRoomEpochs),
	} {
		r := &Ring{}
		if _, err := os.Stat(keys); err != nil {
			r = create(t, keys, u)
		} else if r, err = Open(keys, u); err != nil {
			t.Fatal(err)
		}
		for i := range rooms { // as long as they are in use
			for j := range rooms[i].Epochs {
				rooms[i].Epochs[j].Secret = []byte(a.Identity.Secret())
			}
		}
		r.epochs.adopt(&epochsRecord{Version: 1, Rooms: rooms})
		e := a
		if name == "epochs of a room" {
			e.Room = rooms[0].Room
		}
		if err := r.PutEpochs(e); !errors.Is(err, ErrManyEpochs) {
			t.Errorf("%s: got %v, want ErrManyEpochs", name, err)
		}
		if err := r.DestroyEpochs(rooms[0].Epochs[0].ID); err != nil {
			t.Fatal(err)
		}
		mustPut(t, r, e)
		if fi, err := os.Stat(r.dir.file(epochsKey)); err != nil || fi.Size() > maxEpochsFile {
			t.Errorf("%s: got a file of %d bytes, %v", name, fi.Size(), err)
		}
		r = reopen(t, r, u)
		if _, ok := r.Epoch(e.ID); !ok {
			t.Errorf("%s: it was not kept", name)
		}
		r.Close()
	}
}

// More identities than are kept parsed all open what is sealed to them.
func TestManyParsed(t *testing.T) {
	noSync(t)
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	var es []EpochKey
	for i := range maxParsed + 50 {
		id := protocol.Hash{1, byte(i >> 8), byte(i)}
		if i < 10 {
			e, _ := newEpoch(t, hash(1), id)
			es = append(es, e)
			continue
		}
		es = append(es, es[i%10]) // to make an identity takes a while
		es[i].ID = id
	}
	mustPut(t, r, es...)
	for range 2 {
		for _, e := range es {
			if k, ok := r.Epoch(e.ID); !ok || k.Identity.Secret() != e.Identity.Secret() {
				t.Fatal("got another identity, or none")
			}
		}
	}
	if n := len(r.epochs.parsed); n > maxParsed {
		t.Errorf("%d are kept parsed, at most %d should", n, maxParsed)
	}
	if err := r.DestroyEpochs(es[len(es)-1].ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.epochs.parsed[es[len(es)-1].ID]; ok {
		t.Error("a destroyed identity is kept parsed")
	}
}

func TestEpochsClosed(t *testing.T) {
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	a, toA := newEpoch(t, hash(1), hash(11))
	mustPut(t, r, a)
	held := r.epochs.rooms[hash(1)][0].Secret
	opensEpoch(t, r, a, toA, true)
	r.Close()
	if len(bytes.Trim(held, "\x00")) != 0 {
		t.Error("the secret is in memory still")
	}
	_, err1 := r.OpenEpoch(a.ID, toA)
	_, err2 := r.OpenGrant(toA, "x")
	_, err3 := r.ExportEpochs()
	for i, err := range []error{err1, err2, err3, r.PutEpochs(a), r.DestroyEpochs(a.ID), r.ImportEpochs(nil)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: got %v, want ErrClosed", i+1, err)
		}
	}
	if _, ok := r.Epoch(a.ID); ok || len(r.Epochs(hash(1))) != 0 || r.HasEpoch(a.ID) {
		t.Error("a closed ring tells of epochs")
	}
}

// What was destroyed is not in memory either.
func TestDestroyedIsWiped(t *testing.T) {
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	a, _ := newEpoch(t, hash(1), hash(11))
	b, _ := newEpoch(t, hash(1), hash(12))
	mustPut(t, r, a, b)
	held := [2][]byte{r.epochs.rooms[hash(1)][0].Secret, r.epochs.rooms[hash(1)][1].Secret}
	if err := r.DestroyEpochs(a.ID); err != nil {
		t.Fatal(err)
	}
	if len(bytes.Trim(held[0], "\x00")) != 0 || string(held[1]) != b.Identity.Secret() {
		t.Error("the wrong secret was wiped, or none")
	}
}

func TestExportEpochs(t *testing.T) {
	home, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	a, toA := newEpoch(t, hash(1), hash(11))
	b, toB := newEpoch(t, hash(2), hash(12))
	node, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	empty, err := r.ExportEpochs()
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, r, a, b)
	record, err := r.ExportEpochs()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Export(); err != nil || !bytes.Equal(again, node) {
		t.Errorf("an epoch changed the node's own keys: %v", err)
	}
	v := newUnlock(t)
	restored, err := Import(filepath.Join(home, "restored"), v, node)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	for _, bad := range [][]byte{nil, record[:len(record)-1], []byte("x")} {
		if err := restored.ImportEpochs(bad); err == nil {
			t.Error("a record that is not whole: got no error")
		}
	}
	crash := errors.New("power cut")
	restore := failAt(t, "written", crash)
	if err := restored.ImportEpochs(record); !errors.Is(err, crash) {
		t.Errorf("got %v", err)
	}
	restore()
	opensEpoch(t, restored, a, toA, false)
	if err := errors.Join(restored.ImportEpochs(empty), restored.ImportEpochs(record)); err != nil {
		t.Fatal(err)
	}
	restored = reopen(t, restored, v)
	opensEpoch(t, restored, a, toA, true)
	opensEpoch(t, restored, b, toB, true)
	if err := restored.ImportEpochs(record); !errors.Is(err, ErrExists) {
		t.Errorf("over others: got %v, want ErrExists", err)
	}
}

// One reads while others change.
func TestEpochsAtOnce(t *testing.T) {
	noSync(t)
	_, keys := newHome(t)
	r := create(t, keys, newUnlock(t))
	fixed, toFixed := newEpoch(t, hash(1), hash(200))
	mustPut(t, r, fixed)
	var wg sync.WaitGroup
	for w := range 4 {
		e, _ := newEpoch(t, hash(1), hash(byte(w+1)))
		wg.Go(func() {
			for range 20 {
				if err := errors.Join(r.PutEpochs(e), r.DestroyEpochs(e.ID)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, err := r.OpenEpoch(fixed.ID, toFixed); err != nil {
					t.Error(err)
				}
				r.Epoch(e.ID)
				r.Epochs(hash(1))
			}
		})
	}
	wg.Wait()
	if got := r.Epochs(hash(1)); len(got) != 1 {
		t.Errorf("got %d, want one", len(got))
	}
}

func TestEpochPrintsNoSecret(t *testing.T) {
	e, _ := newEpoch(t, hash(1), hash(2))
	for _, v := range []any{e, &e, []EpochKey{e}} {
		if got := fmt.Sprintf("%v %+v %s", v, v, v); shows([]byte(got), []byte(e.Identity.Secret())) {
			t.Errorf("%T: got its secret", v)
		}
	}
}

// Who comes back into a room has a new data key, and the former stays gone.
func TestRenewAudience(t *testing.T) {
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	old := audience(t, r, hash(1))
	value := old.Seal([]byte("x"), nil)
	for _, tag := range []protocol.Hash{hash(1), hash(2)} {
		if err := r.RenewAudience(tag); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := audience(t, r, hash(1)).Open(value, nil); err != nil || r.HasAudience(hash(2)) {
		t.Errorf("a key that is there was replaced, or one made: %v", err)
	}
	if err := r.DropAudience(hash(1)); err != nil {
		t.Fatal(err)
	}
	restore := failAt(t, "written", errors.New("power cut"))
	if err := r.RenewAudience(hash(1)); err == nil {
		t.Error("a write that failed: got no error")
	}
	restore()
	if _, err := r.Audience(hash(1)); !errors.Is(err, ErrDropped) {
		t.Errorf("got %v, want ErrDropped", err)
	}
	if err := r.RenewAudience(hash(1)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := audience(t, r, hash(1)).Open(value, nil); err == nil {
			t.Error("the former key is back")
		}
		r = reopen(t, r, u)
	}
	r.Close()
	if err := r.RenewAudience(hash(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// The tool for the day on which this program is not at hand.
func TestAgeOpensEpochs(t *testing.T) {
	tool, err := exec.LookPath("age")
	if err != nil {
		t.Skip("the age tool is not installed")
	}
	_, keys := newHome(t)
	u := newUnlock(t)
	r := create(t, keys, u)
	a, _ := newEpoch(t, hash(1), hash(11))
	mustPut(t, r, a)
	out, err := exec.Command(tool, "-d", "-i", u.path, r.dir.file(epochsKey)).Output()
	if err != nil {
		t.Skipf("this age knows no hybrid identities: %v", err)
	}
	if !bytes.Contains(out, []byte(a.Identity.Secret())) {
		t.Error("the identity is not in it")
	}
}

// 10,000 epochs, as a node in 40 rooms has after years that it keeps.
func BenchmarkEpochs(b *testing.B) {
	_, keys := newHome(b)
	u := newUnlock(b)
	r := create(b, keys, u)
	rooms := manyRooms(40, 250)
	e, file := newEpoch(b, protocol.Hash{1, 0, 7}, hash(1))
	for i := range rooms {
		for j := range rooms[i].Epochs {
			rooms[i].Epochs[j].Secret = []byte(e.Identity.Secret())
		}
	}
	r.epochs.adopt(&epochsRecord{Version: 1, Rooms: rooms})
	mustPut(b, r, e)
	fi, err := os.Stat(r.dir.file(epochsKey))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("put", func(b *testing.B) {
		b.ReportMetric(float64(fi.Size()), "bytes")
		for i := range b.N {
			x := e
			x.ID = protocol.Hash{3, byte(i >> 16), byte(i >> 8), byte(i)}
			mustPut(b, r, x)
			if err := r.DestroyEpochs(x.ID); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			r.Epochs(e.Room)
		}
	})
	for name, forget := range map[string]bool{"message": false, "message, identity not parsed": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if forget {
					delete(r.epochs.parsed, e.ID)
				}
				if _, err := r.OpenEpoch(e.ID, file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("open ring", func(b *testing.B) {
		for b.Loop() {
			r = reopen(b, r, u)
		}
	})
}
