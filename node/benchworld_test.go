package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// The benchmarks run each node in a process of its own, so that the memory and the processor time that they report are of
// one node. The process is this test binary again: the environment says which part it plays.
const roleEnv = "ENTENTE_BENCH_ROLE"

// A role plays its part until told ends, and answers with what it measured.
type role func(home string, told *told) (any, error)

var roles = map[string]role{
	"serve": serve, "catch-up": catchUp, "start": start, "idle": idle, "crowd": crowd,
	"sealed-send": sealedSend, "sealed-receive": sealedReceive,
}

func TestMain(m *testing.M) {
	play, ok := roles[os.Getenv(roleEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	flag.Parse()
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(node.MemoryLimit) // as entente run does
	}
	answer, err := play(os.Getenv("ENTENTE_BENCH_HOME"), &told{bufio.NewReader(os.Stdin)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		os.Exit(1)
	}
}

// told is what the parent says, a line at a time. Its end is the end of the part.
type told struct{ r *bufio.Reader }

func (t *told) wait() { _, _ = t.r.ReadString('\n') }

// say tells the parent something before the part ends.
func (t *told) say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }

// A child is a process that plays a role.
type child struct {
	b   *testing.B
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func play(b *testing.B, role, home string) *child {
	b.Helper()
	c := &child{b: b, cmd: exec.Command(os.Args[0], "-test.run=^$")}
	c.cmd.Env = append(os.Environ(), roleEnv+"="+role, "ENTENTE_BENCH_HOME="+home)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.in.Close(); _ = c.cmd.Wait() })
	return c
}

// line returns the next line that the child says.
func (c *child) line() string {
	c.b.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		c.b.Fatalf("the process of %s ended early: %v", c.cmd.Env[len(c.cmd.Env)-2], err)
	}
	return strings.TrimSpace(s)
}

// tell lets the child go on.
func (c *child) tell() { _, _ = io.WriteString(c.in, "\n") }

// answer reads what the child measured.
func (c *child) answer(v any) {
	c.b.Helper()
	if err := json.Unmarshal([]byte(c.line()), v); err != nil {
		c.b.Fatal(err)
	}
}

// end closes the child's input and waits for it.
func (c *child) end() {
	c.b.Helper()
	_ = c.in.Close()
	_, _ = io.Copy(io.Discard, c.out)
	if err := c.cmd.Wait(); err != nil {
		c.b.Fatal(err)
	}
}

// An actor is a team without a home: its keys are in memory, its one node has the seeds.
type actor struct {
	team  protocol.TeamID
	key   *protocol.PrivateKey // of its node
	peer  crypto.PrivKey
	intro []byte
}

func newActor(b *testing.B, name string, addrs ...string) *actor {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	key := func(s protocol.Suite) *protocol.PrivateKey {
		k, _, err := protocol.GenerateKey(s)
		must(err)
		return k
	}
	root, officer, a := key(protocol.Hybrid), key(protocol.Hybrid), &actor{key: key(protocol.Ed25519)}
	var err error
	a.peer, _, err = crypto.GenerateEd25519Key(nil)
	must(err)
	id, err := peer.IDFromPrivateKey(a.peer)
	must(err)
	now := time.Now()
	at := uint64(now.Unix())
	sign := func(r protocol.Record, k *protocol.PrivateKey) *protocol.Envelope {
		e, err := protocol.Sign(r, k)
		must(err)
		return e
	}
	sealed := protocol.SealedSet{Keys: []protocol.PublicKey{root.Public()}, Threshold: 1}
	r := sign(&protocol.Root{Path: protocol.PathRoot, Keys: []protocol.PublicKey{root.Public()}, Threshold: 1, Issued: at,
		Officers: []protocol.Officer{{Key: officer.Public(), Name: "officer-1"}}, Sealed: sealed.Commitment()}, root)
	a.team = r.ID()
	records := []*protocol.Envelope{r,
		sign(&protocol.Manifest{Team: a.team, Version: 1, Root: r.ID(), Issued: at, Expires: uint64(now.Add(node.ManifestLife).Unix()),
			Nodes: []protocol.Node{{Key: a.key.Public(), Peer: []byte(id), Name: "node-1"}}}, officer),
		sign(&protocol.Card{Team: a.team, Version: 1, Issued: at, Name: name, Country: "XA",
			Constituency: protocol.Constituency{Countries: []string{"XA"}}}, officer),
	}
	if len(addrs) > 0 {
		records = append(records, sign(&protocol.Address{Team: a.team, Node: a.key.Public().ID(), Seq: uint64(now.UnixMilli()),
			Addrs: addrs, Issued: at, Expires: uint64(now.Add(24 * time.Hour).Unix())}, a.key))
	}
	bundle := protocol.Bundle{Team: a.team}
	for _, e := range records {
		bundle.Records = append(bundle.Records, e.Encode())
	}
	a.intro = bundle.Armor()
	return a
}

// found makes the home of a team that listens on a free port, and returns its introduction.
func found(b *testing.B, name string) (home string, intro []byte) {
	b.Helper()
	home = filepath.Join(b.TempDir(), name)
	port := strconv.Itoa(freePort(b))
	_, err := node.Found(node.Founding{Home: home, Name: name, Country: "XA", Passphrase: "correct horse", WorkFactor: 10,
		Listen: []string{"/ip4/127.0.0.1/udp/" + port + "/quic-v1", "/ip4/127.0.0.1/tcp/" + port}}, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	if intro, err = withNode(home, (*node.Node).Introduction); err != nil {
		b.Fatal(err)
	}
	return home, intro
}

// meet has a home take in introductions.
func meet(b *testing.B, home string, intros ...[]byte) {
	b.Helper()
	if _, err := withNode(home, func(n *node.Node) (struct{}, error) {
		for _, in := range intros {
			if _, err := n.AddTeam(in, "officer-1"); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	}); err != nil {
		b.Fatal(err)
	}
}

func freePort(b *testing.B) int {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func openRing(home string) (*keyring.Ring, error) {
	unlock, err := keyring.UnlockFile(node.DefaultUnlockFile(home))
	if err != nil {
		return nil, err
	}
	return keyring.Open(node.KeysDir(home), unlock)
}

// openNode opens the node of a home, not yet started. closing it closes the ring.
func openNode(home string) (n *node.Node, closing func() error, err error) {
	cfg, err := node.LoadConfig(home)
	if err != nil {
		return nil, nil, err
	}
	ring, err := openRing(home)
	if err != nil {
		return nil, nil, err
	}
	if n, err = node.Open(cfg, ring); err != nil {
		return nil, nil, errors.Join(err, ring.Close())
	}
	return n, func() error { return errors.Join(n.Close(), ring.Close()) }, nil
}

// withNode calls f with the node of a home, which is not on the network.
func withNode[T any](home string, f func(*node.Node) (T, error)) (T, error) {
	n, closing, err := openNode(home)
	if err != nil {
		var none T
		return none, err
	}
	v, err := f(n)
	return v, errors.Join(err, closing())
}

// ringKeys hands a ring's ciphers to a store.
type ringKeys struct{ *keyring.Ring }

func (k ringKeys) Local() store.Cipher { return k.Ring.Local() }
func (k ringKeys) Audience(tag protocol.Hash) (store.Cipher, error) {
	return k.Ring.Audience(tag)
}

// fill puts count messages of the authors, each with a text of about 1 KB, into the store of a home, and calls sample with
// every tenth of them.
func fill(b *testing.B, home string, authors []*actor, count int, sample func(*actor, *protocol.Envelope)) {
	b.Helper()
	st, closing := openStore(b, home)
	defer closing()
	aud := protocol.Audience{Kind: protocol.Community}
	last := make([]protocol.Hash, len(authors))
	var batch []store.Entry
	for i := range count {
		a := authors[i%len(authors)]
		e, err := a.says(aud, uint64(i/len(authors)+1), last[i%len(authors)], benchText(i))
		if err != nil {
			b.Fatal(err)
		}
		last[i%len(authors)] = e.Envelope.ID()
		if sample != nil && i%10 == i/len(authors)%10 {
			sample(a, e.Envelope)
		}
		if batch = append(batch, e); len(batch) < 1000 && i < count-1 {
			continue
		}
		out, err := st.Accept(batch)
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range out {
			if o.Err != nil || o.Verdict != trust.Accept {
				b.Fatalf("the store says %s, %v", o.Verdict, o.Err)
			}
		}
		batch = batch[:0]
	}
}

// openStore opens the store of a home whose node does not run.
func openStore(b *testing.B, home string) (st *store.Store, closing func()) {
	b.Helper()
	ring, err := openRing(home)
	if err != nil {
		b.Fatal(err)
	}
	if st, err = store.Open(filepath.Join(home, "store"), ringKeys{ring}, store.Options{}); err != nil {
		b.Fatal(err)
	}
	return st, func() {
		b.Helper()
		if err := errors.Join(st.Close(), ring.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

// index gives every message of a home a few terms, so that its node finds no work at its start.
func index(b *testing.B, home string) {
	b.Helper()
	st, closing := openStore(b, home)
	defer closing()
	for {
		ms, err := st.IndexPending(256)
		if err != nil {
			b.Fatal(err)
		}
		if len(ms) == 0 {
			return
		}
		var all []store.Terms
		for _, m := range ms {
			all = append(all, store.Terms{N: m.N, Terms: []string{"word:report", "word:" + m.ID.Short()}})
		}
		if err := st.IndexAll(all); err != nil {
			b.Fatal(err)
		}
	}
}

// says signs one entry of the actor's feed.
func (a *actor) says(aud protocol.Audience, seq uint64, prev protocol.Hash, text []byte) (store.Entry, error) {
	st := &protocol.Statement{Author: a.team, Node: a.key.Public().ID(), Clock: protocol.HLC(0).Next(time.Now()),
		Kind: protocol.KindMessage, Audience: aud, Label: tlp.Green, Title: "Report " + strconv.FormatUint(seq, 10),
		Body: protocol.Body{Format: "text", Size: uint64(len(text)), Hash: protocol.Sum("", text), Inline: text}}
	copy(st.Salt[:], st.Body.Hash[:])
	stEnv, err := protocol.Sign(st, a.key)
	if err != nil {
		return store.Entry{}, err
	}
	p := &protocol.Parcel{Team: a.team, Node: st.Node, Feed: protocol.FeedOf(st.Node, protocol.Channel{}), Seq: seq, Prev: prev,
		Class: protocol.Normal, Body: stEnv.Encode()}
	env, err := protocol.Sign(p, a.key)
	if err != nil {
		return store.Entry{}, err
	}
	return store.Entry{Tag: protocol.Channel{}.Tag(), Envelope: env, Parcel: p, StatementID: stEnv.ID(), Statement: st, Via: "bench",
		Node: trust.NodeInfo{Team: a.team, Node: protocol.Node{Key: a.key.Public()}}}, nil
}

var benchWords = strings.Fields(`attackers exploited the unpatched appliance and moved laterally through the network with stolen
	credentials before they encrypted backups we ask colleagues to look for connections outbound from mail gateways to hosts
	named below and to report what was seen at which hour so that others can be warned early campaign loader beacon phishing`)

// benchText returns a text of about 1 KB with a handful of indicators, as a report has them.
func benchText(i int) []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "TLP:GREEN\nReport %d\n198.51.%d.%d c2-%d.example.net CVE-2026-%04d\n", i, i/256%256, i%256, i, i%10000)
	for w := i; s.Len() < 1015; w += 1 + i%7 {
		s.WriteString(benchWords[w%len(benchWords)])
		s.WriteByte(' ')
	}
	return []byte(s.String())
}

// statusKiB returns a field of /proc/self/status, such as RssAnon, in KiB; 0 where there is none.
func statusKiB(field string) int {
	f, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(f)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// cpuSeconds returns the processor time that this process has used, by /proc/self/stat; 0 where there is none.
func cpuSeconds() float64 {
	f, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(f[strings.LastIndexByte(string(f), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return float64(user+system) / 100 // ticks
}

// benchSize is a number that the environment may change: less than the issue asks for, to try the benchmark out.
func benchSize(name string, normal, short int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return short
	}
	return normal
}

// serve runs a node until it is told to end.
func serve(home string, told *told) (any, error) {
	n, closing, err := openNode(home)
	if err != nil {
		return nil, err
	}
	if err := n.Start(context.Background()); err != nil {
		return nil, errors.Join(err, closing())
	}
	fmt.Println("ready")
	told.wait()
	return nil, closing()
}
