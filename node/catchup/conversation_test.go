package catchup

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/protocol"
)

var update = flag.Bool("update", false, "rewrite the traces in testdata; commit a change only if you know what caused it")

// TestConversations runs the files in testdata: commands, a line of dashes, and the trace of what happened. In state/ the
// commands are events of one State; in network/ they steer a whole world.
func TestConversations(t *testing.T) {
	for dir, start := range map[string]func() func(cmd string, args []string) (string, error){
		"state":   func() func(string, []string) (string, error) { return newScript().run },
		"network": func() func(string, []string) (string, error) { return newStage().run },
	} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no conversations in testdata/%s: %v", dir, err)
		}
		for _, file := range files {
			t.Run(dir+"/"+strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { converse(t, file, start()) })
		}
	}
}

func converse(t *testing.T, file string, run func(string, []string) (string, error)) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for i, block := range strings.Split(strings.TrimRight(string(data), "\n"), "\n\n") {
		cmds, _, _ := strings.Cut(block, "\n----\n")
		cmds = strings.TrimSuffix(cmds, "\n----")
		if i > 0 {
			got.WriteString("\n")
		}
		got.WriteString(cmds + "\n")
		var out strings.Builder
		said := false
		for _, line := range strings.Split(cmds, "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			said = true
			words := strings.Fields(line)
			s, err := run(words[0], words[1:])
			if err != nil {
				t.Fatalf("%s: %q: %v", file, line, err)
			}
			out.WriteString(s)
		}
		if said {
			if out.Len() == 0 {
				out.WriteString("nothing\n")
			}
			got.WriteString("----\n" + out.String())
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(data) {
		t.Errorf("%s: the trace has changed; look at it, and if it is right run: go test -run Conversations -update\ngot:\n%s", file, got.String())
	}
}

// A script drives one State.
type script struct {
	s     *State
	now   time.Time
	names map[protocol.FeedID]string
	last  map[string]Extent
}

func newScript() *script {
	return &script{s: NewState(Limits{Window: 6, Sources: 3}), now: simStart, names: map[protocol.FeedID]string{}, last: map[string]Extent{}}
}

// run executes one command.
//
//	after 10s                                time passes, and a tick
//	holds de 1..21/30 gaps=21-25,27-30       what is held: first..next/max
//	holds de 1..21 cutoff=40                 … of a revoked node
//	holds de unwanted
//	word de 5..40                            the author's signed heads
//	frontier p1 de=1..21/30!21-25 at=1..9    what a peer says, holes after the !
//	hint de p1 40
//	received 3
//	answer 3 accepted=5 known=0 refused=0 waiting=0 bytes=5000 first=1 more | slow | failed | wrong | local
//	gone p1
//	progress
//	complete de 5..40
func (c *script) run(cmd string, args []string) (string, error) {
	switch cmd {
	case "after":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		c.now = c.now.Add(d)
		return c.step(Tick{}), nil
	case "holds":
		return c.holds(args)
	case "word":
		h, err := c.word(args)
		return c.step(Word{h}), err
	case "frontier":
		f := Frontier{Peer: peer.ID(args[0])}
		for _, a := range args[1:] {
			name, rest, _ := strings.Cut(a, "=")
			rest, holes, _ := strings.Cut(rest, "!")
			x, err := c.extent(name, rest)
			if err != nil {
				return "", err
			}
			if x.Gaps, err = spans(holes); err != nil {
				return "", err
			}
			en := entryOf(x, 0)
			if err := en.Check(); err != nil {
				return "", err
			}
			f.Entries = append(f.Entries, en)
		}
		return c.step(f), nil
	case "hint":
		n, err := strconv.ParseUint(args[2], 10, 64)
		return c.step(Hint{hash(args[0]), peer.ID(args[1]), n}), err
	case "gone":
		return c.step(Gone{peer.ID(args[0])}), nil
	case "received":
		n, err := strconv.ParseUint(args[0], 10, 64)
		return c.step(Received{n}), err
	case "answer":
		return c.answer(args)
	case "progress":
		done, all := c.s.Progress()
		return fmt.Sprintf("%d of %d\n", done, all), nil
	case "complete":
		h, err := c.word(args)
		cv := Complete(c.last[args[0]], h)
		return fmt.Sprintf("complete=%t since=%d missing=%v tail=%d disputed=%t\n", cv.Complete, cv.Since, cv.Missing, cv.Tail, cv.Disputed), err
	}
	return "", fmt.Errorf("no such command")
}

func (c *script) step(e Event) string {
	var b strings.Builder
	for _, r := range c.s.Step(c.now, e) {
		fmt.Fprintf(&b, "#%d ask %s for %s %s\n", r.ID, string(r.Peer), c.names[r.Ask.Feed], askText(r.Ask))
	}
	if at, ok := c.s.Wake(); ok && at.After(c.now) {
		fmt.Fprintf(&b, "wake after %v\n", at.Sub(c.now))
	}
	return b.String()
}

// extent reads first..next or first..next/max.
func (c *script) extent(name, s string) (Extent, error) {
	c.names[hash(name)] = name
	x := Extent{Team: hash("team " + name), Node: kidOf(name), Feed: hash(name)}
	s, top, ok := strings.Cut(s, "/")
	if _, err := fmt.Sscanf(s, "%d..%d", &x.First, &x.Next); err != nil {
		return x, err
	}
	if x.Next > x.First {
		x.Head = protocol.Sum(name, []byte(strconv.FormatUint(x.Next, 10)))
		x.Max = x.Next - 1
	}
	if ok {
		if top, fork := strings.CutSuffix(top, "?"); fork {
			x.Head = hash("another")
			if top == "" {
				return x, nil
			}
		}
		n, err := strconv.ParseUint(top, 10, 64)
		if err != nil {
			return x, err
		}
		x.Max = n
	}
	return x, nil
}

func spans(s string) ([]Span, error) {
	var out []Span
	for _, p := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		var sp Span
		if _, err := fmt.Sscanf(p, "%d-%d", &sp.From, &sp.To); err != nil {
			return nil, err
		}
		out = append(out, sp)
	}
	return out, nil
}

func (c *script) holds(args []string) (string, error) {
	if args[1] == "unwanted" {
		return c.step(Holds{Extent: Extent{Feed: hash(args[0])}}), nil
	}
	x, err := c.extent(args[0], args[1])
	if err != nil {
		return "", err
	}
	h := Holds{Follow: Follow{Wanted: true}}
	for _, a := range args[2:] {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "gaps":
			if x.Gaps, err = spans(v); err != nil {
				return "", err
			}
		case "cutoff":
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				return "", err
			}
			h.Follow.Cutoff = &protocol.Cutoff{Feed: x.Feed, LastSeq: n, LastHash: hash("last")}
		}
	}
	h.Extent, c.last[args[0]] = x, x
	return c.step(h), nil
}

func (c *script) word(args []string) (*protocol.Heads, error) {
	h := protocol.Head{Feed: hash(args[0])}
	_, err := fmt.Sscanf(args[1], "%d..%d", &h.First, &h.Seq)
	h.Hash = protocol.Sum(args[0], []byte(strconv.FormatUint(h.Seq+1, 10)))
	return &protocol.Heads{Node: kidOf(args[0]), N: uint64(c.now.UnixMilli()), Time: uint64(c.now.Unix()), Feeds: []protocol.Head{h}}, err
}

func (c *script) answer(args []string) (string, error) {
	id, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return "", err
	}
	a := Answer{ID: id}
	for _, w := range args[1:] {
		k, v, _ := strings.Cut(w, "=")
		n, _ := strconv.Atoi(v)
		switch k {
		case "accepted":
			a.Report.Accepted = n
		case "known":
			a.Report.Known = n
		case "refused":
			a.Report.Refused = n
		case "waiting":
			a.Report.Waiting = n
		case "bytes":
			a.Bytes = n
		case "first":
			a.First = uint64(n)
		case "more":
			a.More = true
		case "slow":
			a.More, a.Slow = true, true
		case "failed":
			a.Outcome = Failed
		case "wrong":
			a.Outcome = Wrong
		case "local":
			a.Outcome = Local
		default:
			return "", fmt.Errorf("no such word %q", w)
		}
	}
	return c.step(a), nil
}

// A stage drives a world.
type stage struct{ w *world }

func newStage() *stage {
	w := newWorld(42, 4)
	w.page, w.trace = 10, &strings.Builder{}
	return &stage{w}
}

// run executes one command, and returns what the nodes said to each other.
//
//	start a b c | crash a | lie d corrupts
//	post a 25         with everybody who is up hearing most of it
//	cut a b | heal
//	revoke a 20       with a cut-off after entry 20, heard of by everybody
//	run 30s
//	sign a
func (g *stage) run(cmd string, args []string) (string, error) {
	w := g.w
	node := func(s string) *simNode { return w.nodes[s[0]-'a'] }
	switch cmd {
	case "start":
		for _, a := range args {
			node(a).start()
		}
	case "crash":
		node(args[0]).crash()
	case "lie":
		node(args[0]).lie = map[string]lie{"overclaims": overclaims, "corrupts": corrupts, "reorders": reorders, "swaps": swaps, "cuts": cuts, "silent": silent}[args[1]]
	case "post":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return "", err
		}
		for range n {
			node(args[0]).post()
		}
	case "cut":
		a, b := node(args[0]), node(args[1])
		w.split[[2]int{min(a.i, b.i), max(a.i, b.i)}] = true
		w.disconnect(a, b)
	case "heal":
		w.heal()
	case "revoke":
		n, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return "", err
		}
		a := node(args[0])
		w.cutoff[a.feed] = &protocol.Cutoff{Node: a.kid, Feed: a.feed, LastSeq: n, LastHash: a.held[a.feed].entries[n].id}
		for _, o := range w.nodes {
			o.learn(a.feed)
		}
	case "sign":
		node(args[0]).sign()
	case "run":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		w.run(d)
	default:
		return "", fmt.Errorf("no such command")
	}
	out := w.trace.String()
	w.trace.Reset()
	return out, nil
}
