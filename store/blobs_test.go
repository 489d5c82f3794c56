package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/trust"
)

// blobBytes are size bytes that differ everywhere.
func blobBytes(size int) []byte {
	b := make([]byte, 0, size+32)
	h := sha256.Sum256([]byte("blob"))
	for len(b) < size {
		b = append(b, h[:]...)
		h = sha256.Sum256(h[:])
	}
	return b[:size]
}

// big makes a statement whose body is a blob.
func (a *author) big(b []byte) *protocol.Statement {
	st := a.statement("a big one", "")
	st.Body = protocol.Body{Format: "text", Size: uint64(len(b)), Hash: sha256.Sum256(b)}
	return st
}

func refOf(b []byte) protocol.BlobRef {
	return protocol.BlobRef{Size: uint64(len(b)), Hash: sha256.Sum256(b)}
}

func wanted(t *testing.T, s *Store) (refs []protocol.BlobRef) {
	t.Helper()
	if err := s.WantedBlobs(func(r protocol.BlobRef, m protocol.Hash, _ []protocol.Hash) bool {
		if m.IsZero() {
			t.Error("a wanted blob without message")
		}
		refs = append(refs, r)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return refs
}

func TestBlobResume(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	a := newAuthor(t, "at")
	data := blobBytes(3*ChunkSize + 1234)
	ref := refOf(data)
	if _, err := s.BlobWriter(ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("a blob that nobody wants: got %v, want ErrNotFound", err)
	}
	e := a.entry(a.big(data))
	mustAccept(t, s, e)
	if n := indexAll(t, s); n != 1 {
		t.Errorf("indexed %d, want the header of 1", n)
	}
	if got := wanted(t, s); len(got) != 1 || got[0] != ref {
		t.Errorf("got wanted %v", got)
	}
	w, err := s.BlobWriter(ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.BlobWriter(ref); !errors.Is(err, ErrBusy) {
		t.Errorf("a second writer: got %v, want ErrBusy", err)
	}
	if n, err := w.Write(data[:ChunkSize+5000]); err != nil || n != ChunkSize+5000 {
		t.Fatal(n, err)
	}
	if err := w.Commit(); err == nil {
		t.Error("a commit too early: got no error")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openTest(t, dir, Options{})
	if have, size, complete, err := s.BlobHave(ref.Hash); have != ChunkSize || size != ref.Size || complete || err != nil {
		t.Errorf("got %d of %d, %v, %v", have, size, complete, err)
	}
	if _, _, err := s.OpenBody(e.StatementID); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if w, err = s.BlobWriter(ref); err != nil {
		t.Fatal(err)
	}
	for rest := data[w.Have():]; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), 70_001)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("a byte too many: got no error")
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := wanted(t, s); len(got) != 0 {
		t.Errorf("got wanted %v, want none", got)
	}
	ms, err := s.IndexPending(10)
	if err != nil || len(ms) != 1 || !ms[0].Complete {
		t.Errorf("got pending %v, %v, want the message again, complete", ms, err)
	}
	indexAll(t, s)
	r, size, err := s.OpenBody(e.StatementID)
	if err != nil || size != ref.Size {
		t.Fatal(size, err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	for _, off := range []int64{0, 1, ChunkSize - 1, ChunkSize, 2*ChunkSize + 7, int64(len(data)) - 1} {
		if _, err := r.Seek(off-int64(len(data)), io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, min(10, len(data)-int(off)))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data[off:int(off)+len(got)]) {
			t.Errorf("at %d: got %x, %v", off, got, err)
		}
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("seeking before the beginning: got no error")
	}
	r.Close()
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("reading after the close: got no error")
	}
	mustClean(t, s, a.lookup)
}

func TestBlobWrongBytes(t *testing.T) {
	s := openTest(t, "", Options{})
	a := newAuthor(t, "at")
	data := blobBytes(ChunkSize + 10)
	mustAccept(t, s, a.entry(a.big(data)))
	w, err := s.BlobWriter(refOf(data))
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(data)
	bad[5]++
	if _, err := w.Write(bad); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); !errors.Is(err, ErrBlobHash) {
		t.Errorf("got %v, want ErrBlobHash", err)
	}
	if have, _, complete, _ := s.BlobHave(refOf(data).Hash); have != 0 || complete {
		t.Errorf("got %d, %v, want nothing kept", have, complete)
	}
	if got := wanted(t, s); len(got) != 1 {
		t.Errorf("got wanted %v", got)
	}
}

// Somebody names another's blob with a wrong size. That must not stand in the way of the true one.
func TestBlobWrongSize(t *testing.T) {
	s := openTest(t, "", Options{})
	a, liar := newAuthor(t, "at"), newAuthor(t, "xx")
	data := blobBytes(ChunkSize)
	lie := liar.big(data)
	lie.Body.Size++
	mustAccept(t, s, liar.entry(lie))
	e := a.entry(a.big(data))
	mustAccept(t, s, e)
	writeBlob(t, s, data)
	if m, err := s.Message(e.StatementID); err != nil || !m.Complete {
		t.Errorf("got %+v, %v, want complete", m, err)
	}
	if _, size, complete, err := s.BlobHave(refOf(data).Hash); size != uint64(len(data)) || !complete || err != nil {
		t.Errorf("got %d, %v, %v", size, complete, err)
	}
}

func writeBlob(t *testing.T, s *Store, data []byte) {
	t.Helper()
	w, err := s.BlobWriter(refOf(data))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data[w.Have():]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// A node's own body is written before the message that names it.
func TestStageBlob(t *testing.T) {
	ck := newClock()
	s := openTest(t, "", Options{Now: ck.now})
	a := newAuthor(t, "at")
	data, never := blobBytes(ChunkSize+1), blobBytes(ChunkSize+2)
	for _, b := range [][]byte{data, never} {
		w, err := s.StageBlob(refOf(b), communityTag)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	e := a.entry(a.big(data))
	out := mustAccept(t, s, e)
	if m, err := s.Message(e.StatementID); err != nil || !m.Complete || m.N != out[0].N {
		t.Errorf("got %+v, %v", m, err)
	}
	if got := wanted(t, s); len(got) != 0 {
		t.Errorf("got wanted %v", got)
	}
	ck.t = ck.t.Add(stagedFor + time.Hour)
	if _, err := s.Prune(t.Context(), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if have, _, _, _ := s.BlobHave(refOf(never).Hash); have != 0 {
		t.Error("the blob that no message named is still there")
	}
	if have, _, complete, _ := s.BlobHave(refOf(data).Hash); have != uint64(len(data)) || !complete {
		t.Error("the blob of the message is gone")
	}
	indexAll(t, s)
	mustClean(t, s, a.lookup)
}

func TestPrune(t *testing.T) {
	ck := newClock()
	start := ck.t
	dir := t.TempDir()
	s := openTest(t, dir, Options{Now: ck.now})
	a, b := newAuthor(t, "at"), newAuthor(t, "de")
	data, shared := blobBytes(ChunkSize+1), blobBytes(2*ChunkSize)
	es := []Entry{a.entry(a.big(data)), a.entry(a.big(shared))}
	es = append(es, a.entries(300)...)
	bs := b.entries(5)
	mustAccept(t, s, es...)
	mustAccept(t, s, bs[0], bs[3]) // with a hole at 2 and 3
	writeBlob(t, s, data)
	writeBlob(t, s, shared)
	ck.t = ck.t.Add(time.Hour)
	late := a.entry(a.big(shared))
	mustAccept(t, s, late, bs[1])
	indexAll(t, s)
	full := s.Stats()
	got, err := s.Prune(t.Context(), start.Add(time.Minute))
	if err != nil || got.Messages != 304 || got.Bytes == 0 {
		t.Errorf("got %+v, %v, want 304 messages", got, err)
	}
	st := s.Stats()
	if st.Messages != 2 || st.Parcels != 2 || full.Bytes-st.Bytes != got.Bytes {
		t.Errorf("got %+v after %+v", st, full)
	}
	if have, _, _, _ := s.BlobHave(refOf(data).Hash); have != 0 {
		t.Error("the blob of a pruned message is still there")
	}
	if r, err := s.OpenBlob(refOf(shared).Hash); err != nil {
		t.Error(err)
	} else if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, shared) {
		t.Errorf("the blob that a later message shares: got %d bytes, %v", len(got), err)
	}
	x, _, _ := s.Extent(a.feed)
	if x.First != 303 || x.Next != 304 || x.Head != late.Envelope.ID() {
		t.Errorf("got %+v", x)
	}
	if x, _, _ = s.Extent(b.feed); x.First != 5 || x.Next != 5 || x.Head != bs[3].Envelope.ID() {
		t.Errorf("got %+v, want to go on after what was pruned", x)
	}
	if ms, err := s.SearchTerms([]string{"all"}, 0); err != nil || len(ms) != 2 {
		t.Errorf("got %d, %v, want 2", len(ms), err)
	}
	mustAccept(t, s, bs[4])
	if out, err := s.Accept(es[10:11]); err != nil || out[0].Verdict != trust.Known || s.Stats().Messages != 3 {
		t.Errorf("a pruned entry again: got %+v, %v, want known and not kept", out, err)
	}
	both := func(kid protocol.KID) (protocol.PublicKey, bool) {
		if k, ok := a.lookup(kid); ok {
			return k, ok
		}
		return b.lookup(kid)
	}
	indexAll(t, s)
	mustClean(t, s, both)

	// The head of a feed survives pruning everything, and opening anew.
	ck.t = ck.t.Add(time.Hour)
	if _, err := s.Prune(t.Context(), ck.t); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{Now: ck.now})
	if x, ok, _ := s.Extent(a.feed); !ok || x.Next != 304 || x.Head != a.head {
		t.Errorf("got %+v, %v, want the head kept", x, ok)
	}
	if out := mustAccept(t, s, a.entry(a.statement("next", "x"))); out[0].N != 308 {
		t.Errorf("got N %d, want 308: numbers are not used again", out[0].N)
	}
	indexAll(t, s)
	mustClean(t, s, both)
}
