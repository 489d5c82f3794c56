package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// large returns how large something is in these tests: what they are about with ENTENTE_FULL=1, less without.
func large(full, small int) int {
	if os.Getenv(envFull) != "" {
		return full
	}
	return small
}

// maxGrowth is how much memory a node may take for something large beyond what it takes anyway, in KiB.
const maxGrowth = 128 << 10

// noise writes a file that cannot be compressed.
func (w *league) noise(name string, size int) string {
	w.t.Helper()
	f, err := os.Create(w.path(name))
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{1}), int64(size)); err != nil {
		w.t.Fatal(err)
	}
	return name
}

func (w *league) sum(file string) (s [32]byte) {
	w.t.Helper()
	f, err := os.Open(w.path(file))
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		w.t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

// pair is a and b who verified each other and agreed, and how much memory their nodes take.
func (w *league) pair() (agreed string, base map[string]int) {
	w.t.Helper()
	w.found("a")
	w.found("b")
	w.meet(true)
	agreed = "agreement:" + w.agree("a", "b", "AMBER").String()
	w.gets("b", w.sends("a", w.write("first.md", "TLP:AMBER\n# The first\n"), agreed))
	return agreed, map[string]int{"a": memory(w.process("a")), "b": memory(w.process("b"))}
}

func (w *league) gauge(homes ...string) *gauge {
	ps := map[string]func() *os.Process{}
	for _, home := range homes {
		ps[home] = func() *os.Process { return w.process(home) }
	}
	return newGauge(ps)
}

// grew reports how much memory was taken, and wants it to be bounded.
func (w *league) grew(what string, base, most map[string]int) {
	w.t.Helper()
	for _, home := range []string{"a", "b"} {
		w.t.Logf("%s: %s: %d MiB of memory before, %d MiB at the most", what, home, base[home]>>10, most[home]>>10)
		if most[home] > base[home]+maxGrowth {
			w.t.Errorf("%s: the memory of %s grew from %d to %d KiB", what, home, base[home], most[home])
		}
	}
}

// arrived returns how many bytes of what travels apart a team has.
func (w *league) arrived(home string, id protocol.Hash, atLeast uint64) (have uint64, whole bool) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s to have %d bytes", home, atLeast), func(c *control.Client) (bool, error) {
		m, err := c.Message(context.Background(), id.String())
		if err != nil {
			return false, err
		}
		have, whole = m.Arrived, m.Complete
		return whole || have >= atLeast, fmt.Errorf("%d bytes", have)
	}, home)
	return have, whole
}

// heard returns how many bytes came over the streams of a node with a record.
func (w *league) heard(home string) (n int64) {
	w.t.Helper()
	err := filepath.WalkDir(w.path(home+".tap"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, ".heard") {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// An attachment of 50 MB under an agreement arrives whole over a line that is cut twice: the sender is killed in the middle,
// then the receiver. It goes on where it stopped, and takes little memory.
func TestBigAttachment(t *testing.T) {
	size := large(50_000_000, 8_000_000)
	w := newLeague(t)
	tap := w.path("b.tap")
	if err := os.Mkdir(tap, 0o700); err != nil {
		t.Fatal(err)
	}
	w.env["b"] = []string{envTap + "=" + tap, fmt.Sprintf("%s=%d", envPace, size/3)}
	agreed, base := w.pair()
	w.noise("dump.bin", size)
	g := w.gauge("a", "b")
	began := time.Now()
	id := w.sends("a", "dump.bin", agreed, "--tlp", "AMBER")
	sent := time.Since(began)

	before := w.heard("b")
	if _, whole := w.arrived("b", id, uint64(size/4)); whole {
		t.Fatal("it arrived whole before the sender could be killed")
	}
	w.kill("a")
	cut, _ := w.arrived("b", id, 0)
	w.start("a")
	if _, whole := w.arrived("b", id, max(uint64(size/2), cut+1)); whole {
		t.Fatal("it arrived whole before the receiver could be killed")
	}
	have, _ := w.arrived("b", id, 0)
	w.kill("b")
	w.start("b")
	again, _ := w.arrived("b", id, 0)
	if again < have {
		t.Errorf("%d bytes had arrived when the receiver was killed, %d after it started again", have, again)
	}
	w.gets("b", id)
	t.Logf("%d bytes: accepted in %v, whole after %v; cut at %d and %d bytes; %d came over the line", size, sent.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond), cut, have, w.heard("b")-before)
	if n := w.heard("b") - before; n > int64(size)*5/4 {
		t.Errorf("%d bytes came over the line for %d: something was fetched anew", n, size)
	}
	w.run("b", "show", id.String(), "-o", w.path("dump.out"))
	if w.sum("dump.out") != w.sum("dump.bin") {
		t.Error("it came out changed")
	}
	w.receipt("a", id, "b", "stored")
	w.grew("attachment", base, g.read())
	w.sound("a")
	w.sound("b")
}

// A bundle of 150,000 indicators arrives whole, is found by what is in it, and takes little memory at both.
func TestBigBundle(t *testing.T) {
	count := large(150_000, 20_000)
	w := newLeague(t)
	agreed, base := w.pair()
	var b bytes.Buffer
	b.WriteString(`{"type":"bundle","id":"bundle--7e715f41-5f4c-4a6c-9f5b-2d6b7f0d7c11","objects":[` +
		`{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--f88d31f6-486f-44da-b317-01333bde0b82","created":"2017-01-20T00:00:00.000Z",` +
		`"definition_type":"tlp","name":"TLP:AMBER","definition":{"tlp":"amber"}}`)
	dice := rand.New(rand.NewPCG(3, 4))
	var first string
	for i := range count {
		hash := fmt.Sprintf("%016x%016x", dice.Uint64(), dice.Uint64())
		first = cmp.Or(first, hash)
		fmt.Fprintf(&b, `,{"type":"indicator","spec_version":"2.1","id":"indicator--%08x-0000-4000-8000-%012x","created":"2026-01-01T00:00:00.000Z",`+
			`"modified":"2026-01-01T00:00:00.000Z","name":"file %d","pattern_type":"stix","pattern":"[file:hashes.MD5 = '%s']",`+
			`"valid_from":"2026-01-01T00:00:00Z","object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]}`, i, i, i, hash)
	}
	b.WriteString("]}")
	file := w.write("bundle.json", b.String())
	g := w.gauge("a", "b")
	began := time.Now()
	id := w.sends("a", file, agreed)
	sent := time.Since(began)
	m := w.gets("b", id)
	arrived := time.Since(began)
	if m.TLP.String() != "AMBER" || m.Size != uint64(b.Len()) {
		t.Errorf("b has %d bytes under %s, want %d under AMBER", m.Size, m.TLP, b.Len())
	}
	w.run("b", "show", id.String(), "-o", w.path("bundle.out"))
	if w.sum("bundle.out") != w.sum(file) {
		t.Error("it came out changed")
	}
	w.until("b to find it by its first indicator", func(*control.Client) (bool, error) {
		out, err := w.command("b", "search", first, "--json").Output()
		return bytes.Contains(out, []byte(id.String())), err
	}, "b")
	t.Logf("%d indicators, %d bytes: accepted in %v, arrived after %v, searchable after %v", count, b.Len(), sent.Round(time.Millisecond),
		arrived.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	w.grew("bundle", base, g.read())
}

// RED with an attachment of 50 MB is opened by its person, and by nobody's memory being filled.
func TestBigRed(t *testing.T) {
	size := large(50_000_000, 8_000_000)
	w := newLeague(t)
	_, base := w.pair()
	w.employs("b", "Bo", "a")
	w.noise("dump.bin", size)
	g := w.gauge("a", "b")
	began := time.Now()
	id := w.sends("a", "dump.bin", "person:TEAM-B/Bo", "--tlp", "RED")
	w.gets("b", id)
	arrived := time.Since(began)
	out, err := os.Create(w.path("dump.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := w.command("b", "show", id.String(), "--body", "--as", "Bo", "--passphrase-file", w.path("b-Bo.pass"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &said
	began = time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := newGauge(map[string]func() *os.Process{"Bo": func() *os.Process { return cmd.Process }})
	if err := cmd.Wait(); err != nil {
		t.Fatalf("Bo cannot open it: %v\n%s", err, said.Bytes())
	}
	most := reader.read()["Bo"]
	t.Logf("%d bytes: arrived after %v, opened in %v with %d MiB of memory", size, arrived.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond), most>>10)
	if most > maxGrowth {
		t.Errorf("opening it took %d KiB of memory", most)
	}
	if w.sum("dump.out") != w.sum("dump.bin") {
		t.Error("it came out changed")
	}
	w.receipt("a", id, "b", "opened")
	w.grew("RED", base, g.read())
}

// The store of the receiver is full in the middle of an exchange, then that of the sender. Both say so, and why; nothing is
// lost once there is room.
func TestFullStore(t *testing.T) {
	w := newLeague(t)
	agreed, _ := w.pair()
	cap := func(home string, more uint64) {
		t.Helper()
		var bytes uint64
		w.ask(home, func(c *control.Client) error {
			s, err := c.Status(context.Background())
			if err == nil {
				bytes = s.Store.Bytes
			}
			return err
		})
		w.restart(home, func(c map[string]any) { c["store_cap"] = bytes + more })
		w.connected(home, 1)
	}
	lift := func(home string) {
		t.Helper()
		w.restart(home, func(c map[string]any) { delete(c, "store_cap") })
		w.connected(home, 1)
	}
	sent := map[protocol.Hash]string{}
	send := func(n, size int) {
		t.Helper()
		args := []string{"send", "--to", agreed, "--json"}
		for i := range n {
			args = append(args, w.document(fmt.Sprintf("full-%d-%d.md", len(sent), i), "AMBER", fmt.Sprintf("Document %d", len(sent)+i), "word", size+i))
		}
		for line := range strings.Lines(string(w.run("a", args...))) {
			var s control.Sent
			if err := json.Unmarshal([]byte(line), &s); err != nil || s.ID == nil {
				t.Fatalf("sent: %s", line)
			}
			sent[*s.ID] = filepath.Base(s.File)
		}
	}
	full := func(home string) {
		t.Helper()
		w.until(home+"'s doctor to say that the store is full", func(*control.Client) (bool, error) {
			said := w.doctor(home)
			return strings.Contains(said, "store_cap") && strings.Contains(said, "full"), fmt.Errorf("it says:\n%s", said)
		}, home)
	}
	arrives := func() {
		t.Helper()
		for id := range sent {
			w.gets("b", id)
			w.receipt("a", id, "b", "stored")
		}
		seen := 0
		w.ask("b", func(c *control.Client) error {
			return c.Inbox(context.Background(), control.Query{}, func(m control.Message) error {
				file, ok := sent[m.ID]
				if !ok {
					return nil
				}
				seen++
				var b bytes.Buffer
				if err := c.Body(context.Background(), m.ID, &b); err != nil {
					return err
				}
				if !bytes.Equal(b.Bytes(), w.contents(file)) {
					t.Errorf("%s came out changed", file)
				}
				return nil
			})
		})
		if seen != len(sent) {
			t.Errorf("b has %d messages of %d", seen, len(sent))
		}
	}

	cap("b", 200_000) // parcels are refused
	send(30, 20_000)
	full("b")
	if said := w.doctor("a"); !strings.Contains(said, "not known to have arrived") {
		t.Errorf("the sender's doctor says nothing of what waits:\n%s", said)
	}
	lift("b")
	arrives()

	cap("b", 300_000) // the message fits, what it names does not
	send(1, 2_000_000)
	full("b")
	lift("b")
	arrives()

	cap("a", 1_000) // nothing can be sent
	for _, size := range []int{20_000, 2_000_000} {
		file := w.document("refused.md", "AMBER", "Too much", "word", size)
		out, err := w.command("a", "send", file, "--to", agreed).CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("full")) {
			t.Errorf("sending %d bytes from a full store: %v, %s", size, err, out)
		}
	}
	lift("a")
	send(1, 20_000)
	arrives()
	w.sound("a")
	w.sound("b")
}
