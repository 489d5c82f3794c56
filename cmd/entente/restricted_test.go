package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
)

// What the tests below send. The words in it are in nothing else.
const (
	amberTitle = "The quibbleford gateway"
	amberWord  = "marzipanned"
	bulkTitle  = "Connections of the night of thistledown"
	bulkWord   = "flibbertigibbet"
	termsTitle = "The concordat of hollyhock"
	redTitle   = "The informant of nightjar"
	redWord    = "gobbledygook"
	redBulk    = "A dump of the persimmon"
	redBulked  = "rigmarolish"
	amberFile  = "crinoline.md"
	bulkFile   = "whirligig.md"
	redFile    = "skullduggery.md"
	redDump    = "hullabaloo.md"
)

// document writes a text that holds the word in every line.
func (w *league) document(name, label, title, word string, size int) string {
	w.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "TLP:%s\n# %s\n\n", label, title)
	dice := rand.New(rand.NewPCG(7, uint64(size)))
	for b.Len() < size {
		fmt.Fprintf(&b, "%s %016x %016x\n", word, dice.Uint64(), dice.Uint64())
	}
	return w.write(name, b.String())
}

// An affair is what a and b exchanged between themselves.
type affair struct {
	agreement protocol.Hash
	ids       []protocol.Hash // of messages
	between   []protocol.Channel
}

// affair has a send to b what nobody else may know of, and b answer: AMBER, inline and apart, with and without an agreement;
// RED for Bo of b, inline and apart. It returns when all of it is there, and a knows that.
func (w *league) affair() affair {
	w.t.Helper()
	a := affair{agreement: w.agree("a", "b", "AMBER", "--title", termsTitle, "--keep", "30")}
	ta, tb := w.team("a"), w.team("b")
	a.between = []protocol.Channel{protocol.Between(ta, tb, protocol.Hash{}), protocol.Between(ta, tb, a.agreement)}
	w.document(amberFile, "AMBER", amberTitle, amberWord, 2_000)
	w.document(bulkFile, "AMBER", bulkTitle, bulkWord, 200_000)
	w.document(redFile, "RED", redTitle, redWord, 2_000)
	w.document(redDump, "RED", redBulk, redBulked, 200_000)
	agreed := "agreement:" + a.agreement.String()
	send := func(home, file, to string, flags ...string) protocol.Hash {
		w.t.Helper()
		id := w.sends(home, file, to, flags...)
		a.ids = append(a.ids, id)
		return id
	}
	amber := []protocol.Hash{send("a", amberFile, "team:TEAM-B"), send("a", bulkFile, "team:TEAM-B"), send("a", amberFile, agreed),
		send("a", bulkFile, agreed)}
	red := []protocol.Hash{send("a", redFile, "person:TEAM-B/Bo"), send("a", redDump, "person:TEAM-B/Bo")}
	for i, id := range amber {
		w.gets("b", id)
		w.receipt("a", id, "b", "stored")
		if got, want := w.run("b", "show", id.String(), "--body"), w.contents([]string{amberFile, bulkFile}[i%2]); !bytes.Equal(got, want) {
			w.t.Errorf("b reads %d bytes of %d, or others", len(got), len(want))
		}
	}
	for i, id := range red {
		w.gets("b", id)
		got := w.run("b", "show", id.String(), "--body", "--as", "Bo", "--passphrase-file", "b-Bo.pass")
		if want := w.contents([]string{redFile, redDump}[i]); !bytes.Equal(got, want) {
			w.t.Errorf("Bo reads %d bytes of %d, or others", len(got), len(want))
		}
		w.receipt("a", id, "b", "opened")
	}
	w.gets("a", send("b", amberFile, agreed))
	return a
}

func (w *league) contents(file string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(w.path(file))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// c knows a and b, is verified by both and connected with both throughout. What passes between them leaves no trace with it:
// not a piece of a message, sealed or not, not the name of one, of a feed or of an agreement; neither in its store, read from
// below with all its keys, nor in its files, nor on any stream, read as somebody would who broke the encryption.
func TestThirdLearnsNothing(t *testing.T) {
	w := newLeague(t)
	for _, home := range []string{"a", "b", "c"} {
		tap := w.path(home + ".tap")
		if err := os.Mkdir(tap, 0o700); err != nil {
			t.Fatal(err)
		}
		w.env[home] = []string{envTap + "=" + tap}
		w.found(home)
	}
	w.meet(true)
	w.employs("b", "Bo", "a")
	w.write("before.md", "TLP:GREEN\n# All hear of the bumblebee\n")
	w.write("after.md", "TLP:GREEN\n# All hear of the dragonfly\n")
	w.gets("c", w.sends("a", "before.md", "community"))
	x := w.affair()
	after := w.sends("b", "after.md", "community")
	w.gets("c", after)
	w.gets("a", after)
	w.connected("c", 2)
	for _, id := range x.ids {
		w.ask("c", func(c *control.Client) error {
			if m, err := c.Message(context.Background(), id.String()); err == nil {
				t.Errorf("c has message %s: %+v", id.Short(), m)
			}
			return nil
		})
	}
	ta, tb, tc := w.team("a"), w.team("b"), w.team("c")
	for _, home := range w.homes {
		w.stop(home)
	}
	var secrets []private
	for _, home := range []string{"a", "b"} {
		secrets = append(secrets, w.privates(home, x.between...)...)
	}
	parcels, blobs := 0, 0
	for _, s := range secrets {
		switch s.what {
		case "a parcel":
			parcels++
		case "a blob":
			blobs++
		}
	}
	if parcels < 2*len(x.ids) || blobs < 6 { // both have each
		t.Fatalf("found %d parcels and %d blobs in the stores of a and b: the test looks in the wrong place", parcels, blobs)
	}
	for _, c := range x.between {
		tag := c.Tag()
		secrets = append(secrets, private{"the tag of a channel", tag[:]})
	}
	secrets = append(secrets, private{"the agreement's id", x.agreement[:]})
	for _, id := range x.ids {
		secrets = append(secrets, private{"a message's id", id[:]})
	}
	words := []string{amberTitle, amberWord, bulkTitle, bulkWord, termsTitle, redTitle, redWord, redBulk, redBulked, amberFile, bulkFile, redFile, redDump,
		x.agreement.String()}
	for _, id := range x.ids {
		words = append(words, id.String())
	}

	community := protocol.Channel{}
	others := []protocol.Channel{community, protocol.Between(ta, tc, protocol.Hash{}), protocol.Between(tb, tc, protocol.Hash{})}
	h := w.hoard("c", append(others, x.between...)...)
	if h.closed > 0 {
		t.Errorf("%d values in the store of c are sealed to a key that it does not have", h.closed)
	}
	log, err := os.ReadFile(w.path("c.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []struct {
		name  string
		bytes [][]byte
		must  string // is there: the haystack is the right one
	}{
		{"the store of c", h.bytes, "dragonfly"},
		{"the files of c", append(readTree(t, w.path("c")), log), "config.json"},
		{"the streams of c", readTree(t, w.path("c.tap")), "dragonfly"},
	} {
		hay := newHaystack(place.bytes...)
		if hay.shows(place.must) == "" {
			t.Fatalf("%s lacks %q: the test looks in the wrong place", place.name, place.must)
		}
		told := map[string]bool{}
		for _, s := range secrets {
			if !told[s.what] && hay.has(s.bytes) {
				told[s.what] = true
				t.Errorf("%s hold %s of a and b", place.name, s.what)
			}
		}
		if word := hay.shows(words...); word != "" {
			t.Errorf("%s hold %q", place.name, word)
		}
	}
	// The same look finds all of it where it went.
	line := newHaystack(readTree(t, w.path("b.tap"))...)
	for _, s := range secrets {
		if (s.what == "a parcel" || s.what == "a blob" || s.what == "a feed") && !line.has(s.bytes) {
			t.Errorf("%s of a and b is not on the streams of b: the test looks in the wrong place", s.what)
		}
	}
	if word := line.shows(words...); word != "" {
		t.Errorf("the streams between a and b show %q", word)
	}
	t.Logf("%d private things of a and b, %d parcels and %d blobs among them; %d values in the store of c", len(secrets), parcels, blobs, len(h.bytes))
}

// Somebody copies the disk of b. Without the unlock secret, which is elsewhere, it yields no word; with it, no word of RED.
func TestCopiedDisk(t *testing.T) {
	w := newLeague(t)
	w.found("a")
	w.found("b")
	w.meet(true)
	w.employs("b", "Bo", "a")
	x := w.affair()
	ta, tb := w.team("a"), w.team("b")
	w.kill("b") // so that nothing is tidied up
	if out, err := exec.Command("cp", "-a", w.path("b"), w.path("copy")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	redWords := []string{redTitle, redWord, redBulk, redBulked, redFile, redDump}
	words := append([]string{amberTitle, amberWord, bulkTitle, bulkWord, termsTitle, amberFile, bulkFile, teamName("a"), string(ta[:]), ta.String(),
		string(x.agreement[:]), x.agreement.String()}, redWords...)
	for _, id := range x.ids {
		words = append(words, string(id[:]), id.String())
	}
	disk := newHaystack(readTree(t, w.path("copy"))...)
	if disk.shows(tb.String()) == "" {
		t.Fatal("the copy does not hold its own team's id: the test looks in the wrong place")
	}
	for _, word := range words {
		if disk.shows(word) != "" {
			t.Errorf("the disk of b shows %q", word)
		}
	}
	cmd := w.command("copy", "run")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("unlock")) {
		t.Errorf("without the unlock secret, the copy runs: %v, %s", err, out)
	}
	foreign := w.command("copy", "run", "--unlock-file", w.path("a.unlock"))
	if out, err := foreign.CombinedOutput(); err == nil {
		t.Errorf("with another unlock secret, the copy runs: %s", out)
	}

	// The unlock secret was stolen too.
	if err := os.Rename(w.path("b.unlock"), w.path("copy.unlock")); err != nil {
		t.Fatal(err)
	}
	h := w.hoard("copy", append(x.between, protocol.Channel{})...)
	if h.closed > 0 {
		t.Errorf("%d values in the store of b are sealed to a key that it does not have", h.closed)
	}
	r := w.ring("copy")
	defer r.Close()
	record, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	open := newHaystack(append(h.bytes, record)...)
	if open.shows(amberWord) == "" || open.shows(amberTitle) == "" {
		t.Fatal("the opened store holds no word of AMBER: the test looks in the wrong place")
	}
	for _, word := range redWords {
		if open.shows(word) != "" {
			t.Errorf("the opened store of b shows %q", word)
		}
	}
}
