package content

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/entente-network/entente/protocol/tlp"
)

// bigBundle is a STIX bundle of n indicators as producers write them.
func bigBundle(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"type":"bundle","id":"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d","objects":[`)
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		pattern := fmt.Sprintf("[ipv4-addr:value = '203.%d.%d.%d']", i>>16, i>>8&255, i&255)
		switch i % 3 {
		case 1:
			pattern = fmt.Sprintf("[domain-name:value = 'host%d.evil.example']", i)
		case 2:
			pattern = fmt.Sprintf("[file:hashes.'SHA-256' = '%064x']", i)
		}
		fmt.Fprintf(&b, `{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-%012x",`+
			`"created_by_ref":"identity--f431f809-377b-45e0-aa1c-6a4751cae5ff","created":"2026-01-01T00:00:00.000Z",`+
			`"modified":"2026-01-01T00:00:00.000Z","name":"Observed in campaign","description":"Seen by a sensor of the national network",`+
			`"indicator_types":["malicious-activity"],"pattern":%q,"pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z",`+
			`"object_marking_refs":["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"]}`, i, pattern)
	}
	b.WriteString("]}")
	return b.Bytes()
}

func BenchmarkRead(b *testing.B) {
	doc := bigBundle(150_000)
	for _, c := range []struct {
		name  string
		visit func(Term)
	}{{"label", nil}, {"terms", func(Term) {}}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				info, err := Read(bytes.NewReader(doc), "", c.visit)
				if err != nil || info.Label != tlp.Green {
					b.Fatalf("got %+v, %v", info, err)
				}
			}
		})
	}
}

// TestBigBundle finds every one of 150,000 indicators.
func TestBigBundle(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 85 MB")
	}
	const n = 150_000
	found := make(map[Kind]int)
	info, err := Read(bytes.NewReader(bigBundle(n)), "", func(x Term) { found[x.Kind]++ })
	if err != nil || info.Label != tlp.Green || info.Partial {
		t.Fatalf("got %+v, %v", info, err)
	}
	for _, k := range []Kind{Address, Domain, Hash} {
		if found[k] != n/3 {
			t.Errorf("%d of kind %s, want %d", found[k], k, n/3)
		}
	}
	if found[Word] > 100 {
		t.Errorf("%d words, most of them repeated", found[Word])
	}
}
