package seal

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"filippo.io/age"
	"pgregory.net/rapid"
)

// nopCloser has no ReadAt if what is inside has none that is promoted.
type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// atCloser can be read at any place.
type atCloser struct{ *bytes.Reader }

func (atCloser) Close() error { return nil }

func sealedBlob(t testing.TB, plain []byte, key Identity) []byte {
	t.Helper()
	return sealed(t, plain, func(w io.Writer) (io.WriteCloser, error) { return SealBlob(w, key, uint64(len(plain))) })
}

func openBlob(file []byte, key Identity, size int) (*Blob, error) {
	return OpenBlob(atCloser{bytes.NewReader(file)}, int64(len(file)), key, uint64(size))
}

func readBlob(file []byte, key Identity, size int) ([]byte, error) {
	b, err := openBlob(file, key, size)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

func TestBlob(t *testing.T) {
	key := newIdentity(t)
	for _, n := range []int{0, 1, 1023, 1024, 1025, chunkSize - 1, chunkSize, chunkSize + 1, readAhead, 3*readAhead + 12345} {
		plain := random(n)
		file := sealedBlob(t, plain, key)
		if uint64(len(file)) != SealedSize(uint64(n)) {
			t.Errorf("%d bytes: sealed to %d, want %d", n, len(file), SealedSize(uint64(n)))
		}
		if got, err := readBlob(file, key, n); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
		}
		for _, r := range []io.ReadSeekCloser{atCloser{bytes.NewReader(file)}, nopCloser{bytes.NewReader(file)}} {
			b, err := OpenBlob(r, int64(len(file)), key, uint64(n))
			if err != nil {
				t.Fatal(err)
			}
			if b.Size() != int64(n) {
				t.Errorf("%d bytes: got size %d", n, b.Size())
			}
			if n > 1025 { // the test below reads byte by byte
				for _, off := range []int{n - 1, 0, n / 2, chunkSize - 1} {
					if _, err := b.Seek(int64(off-n), io.SeekEnd); err != nil {
						t.Fatal(err)
					}
					if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, plain[off:]) {
						t.Errorf("%d bytes from %d: got %d, %v", n, off, len(got), err)
					}
				}
			} else if err := iotest.TestReader(b, plain); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	}
	plain := random(10)
	file := sealedBlob(t, plain, key)
	if _, err := openBlob(file, newIdentity(t), 10); !errors.Is(err, ErrNotRecipient) {
		t.Errorf("another key: got %v", err)
	}
	for _, size := range []uint64{1025, MaxBlob, MaxBlob + 1, 1<<64 - 1} {
		if _, err := OpenBlob(atCloser{bytes.NewReader(file)}, int64(len(file)), key, size); !errors.Is(err, ErrDamaged) {
			t.Errorf("a size of %d: got %v", size, err)
		}
	}
	if _, err := OpenBlob(atCloser{bytes.NewReader(file)}, -1, key, 10); !errors.Is(err, ErrDamaged) {
		t.Errorf("a negative size: got %v", err)
	}
	if _, err := openBlob(file, Identity{}, 10); err == nil {
		t.Error("no key: no error")
	}
}

func TestSealBlobSize(t *testing.T) {
	key := newIdentity(t)
	if _, err := SealBlob(io.Discard, key, MaxBlob+1); err == nil {
		t.Error("too large: no error")
	}
	if _, err := SealBlob(io.Discard, Identity{}, 1); err == nil {
		t.Error("no key: no error")
	}
	w, err := SealBlob(io.Discard, key, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "1 of 3 bytes are missing") {
		t.Errorf("closed too early: got %v", err)
	}
	if _, err := w.Write([]byte("c")); err == nil {
		t.Error("written after closing: no error")
	}
	if w, err = SealBlob(io.Discard, key, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("abcd")); err == nil {
		t.Error("too many bytes: no error")
	}
	if err := w.Close(); err == nil {
		t.Error("closed after too many bytes: no error")
	}
}

// What a blob gives is right or is an error, wherever a byte was changed and wherever the reading begins.
func TestBlobDamaged(t *testing.T) {
	key := newIdentity(t)
	small := random(100)
	file := sealedBlob(t, small, key)
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		if got, err := readBlob(bad, key, len(small)); err == nil {
			t.Fatalf("byte %d changed: got %d bytes", i, len(got))
		}
		if got, err := readBlob(file[:i], key, len(small)); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: got %d bytes, %v", i, len(file), len(got), err)
		}
	}
	// A reader below that ends before it said: the size is right and the bytes are not there.
	if _, err := OpenBlob(atCloser{bytes.NewReader(file[:len(file)-1])}, int64(len(file)), key, 100); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut below: got %v", err)
	}

	plain := random(5*chunkSize + 100)
	file = sealedBlob(t, plain, key)
	head := len(file) - int(SealedSize(uint64(len(plain)))-oneHeader-nonceSize)
	rapid.Check(t, func(t *rapid.T) {
		bad := bytes.Clone(file)
		bad[rapid.IntRange(head, len(bad)-1).Draw(t, "damaged")] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
		b, err := openBlob(bad, key, len(plain))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		from := rapid.IntRange(0, len(plain)-1).Draw(t, "from")
		if _, err := b.Seek(int64(from), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if !bytes.HasPrefix(plain[from:], got) {
			t.Fatal("bytes were given that were never sealed")
		}
		if err == nil && len(got) != len(plain)-from || err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		if from == 0 && err == nil {
			t.Fatal("a damaged blob was read as whole")
		}
	})
}

// The padding is zeros, and the last byte is not given before that is known.
func TestBlobPadding(t *testing.T) {
	key := newIdentity(t)
	const size = chunkSize + 10
	for _, at := range []int{size, size + 100, int(PaddedSize(size)) - 1} {
		content := make([]byte, PaddedSize(size))
		content[at] = 1
		file := sealedTo(t, content, key.Recipient())
		b, err := openBlob(file, key, size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadAt(make([]byte, size-1), 0); err != nil {
			t.Errorf("all but the last byte: got %v", err)
		}
		if n, err := b.ReadAt(make([]byte, 1), size-1); n != 0 || !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d is no zero: got %d bytes, %v", at, n, err)
		}
		if got, err := readBlob(file, key, size); len(got) == size || !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d is no zero: got %d bytes, %v", at, len(got), err)
		}
	}
	// A file of the right size whose content is longer, because it has no room for the header.
	for _, file := range [][]byte{
		sealedTo(t, make([]byte, PaddedSize(10)), key.Recipient(), key.Recipient()),
		sealed(t, make([]byte, int(PaddedSize(4000))+1557), func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, key.id.Recipient()) }),
	} {
		if _, err := openBlob(file, key, 10); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: got %v", len(file), err)
		}
	}
}

// broken fails to read from some place on.
type broken struct {
	*bytes.Reader
	from int64
	err  error
}

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.from && off < b.Size() {
		return 0, b.err
	}
	return b.Reader.ReadAt(p, off)
}

func (broken) Close() error { return nil }

func TestBlobReadErrorIsNotDamage(t *testing.T) {
	key, plain := newIdentity(t), random(3*chunkSize)
	file := sealedBlob(t, plain, key)
	disk := errors.New("disk on fire")
	for _, from := range []int64{0, 100, 1640, 1700, int64(len(file)) - 10} {
		_, err := OpenBlob(broken{bytes.NewReader(file), from, disk}, int64(len(file)), key, 3*chunkSize)
		if !errors.Is(err, disk) || errors.Is(err, ErrDamaged) {
			t.Errorf("failing at %d: got %v", from, err)
		}
	}
	r := &broken{bytes.NewReader(file), int64(len(file)), disk}
	b, err := OpenBlob(r, int64(len(file)), key, 3*chunkSize)
	if err != nil {
		t.Fatal(err)
	}
	r.from = chunkSize
	if got, err := io.ReadAll(b); !errors.Is(err, disk) || errors.Is(err, ErrDamaged) || !bytes.HasPrefix(plain, got) {
		t.Errorf("failing while reading: got %d bytes, %v", len(got), err)
	}
}

func TestBlobConcurrently(t *testing.T) {
	key, plain := newIdentity(t), random(4*chunkSize+7)
	file := sealedBlob(t, plain, key)
	for _, r := range []io.ReadSeekCloser{atCloser{bytes.NewReader(file)}, nopCloser{bytes.NewReader(file)}} {
		b, err := OpenBlob(r, int64(len(file)), key, uint64(len(plain)))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				p := make([]byte, 1000)
				for off := i * 4000; off+len(p) < len(plain); off += 32_000 {
					if _, err := b.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, plain[off:off+len(p)]) {
						t.Errorf("at %d: wrong bytes, or %v", off, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// Fifty megabytes pass through the memory of a few chunks.
func TestBlobMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("seals 50 MB")
	}
	const size = 50 << 20
	key := newIdentity(t)
	got := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			w, err := SealBlob(io.Discard, key, size)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.CopyN(w, zeros{}, size); err != nil {
				b.Fatal(err)
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if got > 2<<20 {
		t.Errorf("sealing %d bytes took %d bytes of memory", size, got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestBlobVector(t *testing.T) {
	got, err := readBlob(testFile(t, "blob.age"), vectorIdentity(t), 1500)
	if want := strings.Repeat("TLP:AMBER is for a team.\n", 60); err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func FuzzOpenBlob(f *testing.F) {
	key := newIdentity(f)
	plain := random(70_000)
	for _, n := range []int{0, 1, 1500, 70_000} {
		f.Add(sealedBlob(f, plain[:n], key), uint64(n), int64(0))
	}
	f.Add(sealedTo(f, random(1024), key.Recipient()), uint64(7), int64(3))
	f.Fuzz(func(t *testing.T, file []byte, size uint64, at int64) {
		b, err := OpenBlob(atCloser{bytes.NewReader(file)}, int64(len(file)), key, size)
		if err != nil {
			return
		}
		if _, err := b.Seek(at, io.SeekStart); err == nil {
			io.Copy(io.Discard, b)
		}
		b.Seek(0, io.SeekStart)
		if n, err := io.Copy(io.Discard, b); err == nil && uint64(n) != size {
			t.Errorf("%d bytes where %d were sealed", n, size)
		}
	})
}
