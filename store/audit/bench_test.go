package audit

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkAppend waits for the disk. Its figures are records: one at a time, and from 64 callers at once.
func BenchmarkAppend(b *testing.B) {
	r := []Record{testRecord(1)}
	b.Run("one", func(b *testing.B) {
		l := openLog(b, b.TempDir())
		for b.Loop() {
			if _, err := l.Append(r); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("64callers", func(b *testing.B) {
		l := openLog(b, b.TempDir())
		b.SetParallelism(32) // for each of 2 cores
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := l.Append(r); err != nil {
					b.Error(err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("nosync", func(b *testing.B) {
		noSync(b)
		l := openLog(b, b.TempDir())
		for b.Loop() {
			if _, err := l.Append(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRead has 100,000 records.
func BenchmarkRead(b *testing.B) {
	noSync(b)
	const n = 100_000
	dir := b.TempDir()
	l := openLog(b, dir)
	for i := 0; i < n; i += 1000 {
		if _, err := l.Append(testRecords(i, i+1000)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := l.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	var size int64
	for _, name := range []string{recordsFile, hashesFile, checkpointFile} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		size += st.Size()
	}
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := l.Verify(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		b.ReportMetric(float64(size)/n, "disk-bytes/record")
	})
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Find(testObject(99)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
	})
	b.Run("prove", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Prove(n / 3); err != nil {
				b.Fatal(err)
			}
		}
	})
	closeLog(b, l)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			l, err := Open(dir, newCipher(1), testKey, testOrigin, testNow)
			if err != nil {
				b.Fatal(err)
			}
			l.Close()
		}
	})
}
