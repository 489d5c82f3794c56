package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"math/rand/v2"

	"github.com/entente-network/entente/protocol"
)

// The documents are about real incidents and written for the demo on public facts. Addresses and host names that belong to
// the story are from ranges reserved for documentation.
//
//go:embed demo
var demoFiles embed.FS

// A demoDoc is a file that somebody sends.
type demoDoc struct {
	name string
	data []byte
}

func (d demoDoc) hash() protocol.Hash { return sha256.Sum256(d.data) }

func demoFile(name string) demoDoc {
	b, err := demoFiles.ReadFile("demo/" + name)
	if err != nil {
		panic(err) // the program was built without it
	}
	return demoDoc{name, b}
}

// demoReport returns one of the short reports that pass while a node is away.
func demoReport(i int) demoDoc {
	return demoDoc{fmt.Sprintf("sensor-%02d.txt", i), fmt.Appendf(nil,
		"TLP:GREEN\n\nSensor report %d: MOVEit Transfer\n\n203.0.113.%d asked %d of our hosts for human2.aspx (CVE-2023-34362).\n", i, 100+i, 1+i%7)}
}

// demoImage returns a large document of no known format, always the same.
func demoImage() demoDoc {
	b := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{'e'}).Read(b)
	return demoDoc{"memory.img", b}
}

// demoAccounts returns a long list, always the same: whose data was taken. It is larger than what fits into a message.
func demoAccounts() demoDoc {
	var b bytes.Buffer
	b.WriteString("account,letters,last letter\n")
	r := rand.New(rand.NewPCG('f', 'a'))
	for b.Len() < 300_000 {
		fmt.Fprintf(&b, "citizen-%06d@post.example,%d,2023-05-%02d\n", r.IntN(1_000_000), 1+r.IntN(40), 1+r.IntN(28))
	}
	return demoDoc{"accounts.csv", b.Bytes()}
}
