package nodetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
)

// The oracle tries every key that anybody ever held in a story on every ciphertext that ever existed in it: in stores, in
// copies of homes, in bundles, and on every line. Keys found in what opens are tried too. It then says who can read what, and
// holds that against whom the senders meant. It asks the program nothing.

// A Fault is something that must not be, of a kind that tests can name.
type Fault struct {
	Kind string // opened, unopened, clear, secret, length, third, inbox, audit, store, epoch
	Text string
}

// An actor is who holds keys: one node of a team, or one person.
type actor struct {
	team   protocol.TeamID
	node   protocol.KID
	person string
}

// all is who reads the lines and knows no key but those that lie open.
var all = actor{}

var (
	secretText = regexp.MustCompile(`AGE-SECRET-KEY-PQ-1[0-9A-Z]{20,200}`)
	ageMagic   = []byte("age-encryption.org/v1\n")
)

// harvest notes every key that the team holds now.
func (t *Team) harvest() {
	w := t.w
	if w.keys == nil {
		w.keys = map[string]actor{}
	}
	add := func(secret string, a actor) {
		if _, ok := w.keys[secret]; !ok {
			w.keys[secret] = a
		}
	}
	if t.Node != nil {
		record, err := t.ring.Export()
		if err != nil {
			w.T.Fatalf("%s: its keys: %v", t.Name, err)
		}
		kid := t.ring.KID()
		t.kids[kid] = true
		for _, s := range secretText.FindAll(record, -1) {
			add(string(s), actor{team: t.ID, node: kid})
		}
		t.harvestEpochs(func(s string) { w.holds(s, actor{team: t.ID, node: kid}) })
		unlock, err := os.ReadFile(node.DefaultUnlockFile(t.Home))
		if err != nil {
			w.T.Fatalf("%s: its unlock secret: %v", t.Name, err)
		}
		for _, s := range secretText.FindAll(unlock, -1) {
			add(string(s), actor{team: t.ID, node: kid})
		}
	}
	for _, name := range t.staff {
		ids, err := keyring.OpenOperator(node.KeysDir(t.Home), name, Passphrase)
		if err != nil {
			w.T.Fatalf("%s: the keys of %s: %v", t.Name, name, err)
		}
		for _, id := range ids {
			add(id.Secret(), actor{team: t.ID, person: name})
		}
	}
}

// holds notes that an actor had the key of an epoch, as others may have.
func (w *World) holds(secret string, a actor) {
	if w.shared == nil {
		w.shared = map[string]map[actor]bool{}
	}
	if w.shared[secret] == nil {
		w.shared[secret] = map[actor]bool{}
	}
	w.shared[secret][a] = true
}

// tags returns the tags of all channels that there can be in the story.
func (w *World) tags() []protocol.Hash {
	out := []protocol.Hash{protocol.Channel{}.Tag()}
	for _, c := range w.channels() {
		out = append(out, c.Tag())
	}
	return out
}

// channels returns all channels that there can be in the story but the community's.
func (w *World) channels() (out []protocol.Channel) {
	for id := range w.rooms {
		out = append(out, protocol.RoomChannel(id))
	}
	for i, a := range w.teams {
		for _, b := range w.teams[i+1:] {
			if a.ID != b.ID {
				out = append(out, protocol.Between(a.ID, b.ID, protocol.Hash{}))
			}
		}
	}
	for id, p := range w.agreed {
		out = append(out, protocol.Between(p[0], p[1], id))
	}
	return out
}

// An oracle knows everything.
type oracle struct {
	w       *World
	ids     map[string]seal.Identity
	files   map[protocol.Hash][]byte // age files
	keys    map[actor]map[string]bool
	read    map[actor][][]byte                  // what each can open, or finds open
	tried   map[string]map[protocol.Hash][]byte // what a key finds in a file; nil: nothing
	lines   [][]byte
	hoards  map[*Team]*hoard
	reached map[protocol.Hash]map[actor]bool // which file who opened
	plain   map[protocol.Hash][]byte         // what is in it
}

// Judge stops all nodes and has the oracle speak. It returns what it finds.
func (w *World) judge() {
	w.T.Helper()
	w.look()
	for _, t := range w.teams {
		if t.Node != nil {
			t.harvest()
		}
		t.stop()
	}
	o := &oracle{w: w, ids: map[string]seal.Identity{}, files: map[protocol.Hash][]byte{}, keys: map[actor]map[string]bool{},
		read: map[actor][][]byte{}, tried: map[string]map[protocol.Hash][]byte{}, hoards: map[*Team]*hoard{}, reached: map[protocol.Hash]map[actor]bool{},
		plain: map[protocol.Hash][]byte{}}
	for s, a := range w.keys {
		o.learn(a, s)
	}
	for s, as := range w.shared {
		for a := range as {
			o.learn(a, s)
		}
	}
	for _, t := range w.teams {
		for _, b := range append(t.tap.told(), t.tap.heard()...) {
			o.lines = append(o.lines, b)
			o.open(all, b)
		}
		h := t.hoard()
		o.hoards[t] = h
		for _, b := range append(slices.Clone(h.values), h.names...) {
			o.scan(b)
		}
		for _, b := range h.blobs {
			o.file(b)
		}
	}
	for _, b := range w.carried {
		o.file(b)
	}
	o.close()
	o.letters()
	o.statements()
	o.lengths()
	o.thirds()
	w.T.Logf("oracle: %d letters, %d ciphertexts, %d keys, %d bytes on the lines", len(w.letters), len(o.files), len(o.ids), total(o.lines))
}

func total(bs [][]byte) (n int) {
	for _, b := range bs {
		n += len(b)
	}
	return n
}

// learn gives an actor a key.
func (o *oracle) learn(a actor, secret string) {
	if _, ok := o.ids[secret]; !ok {
		id, err := seal.ParseIdentity(secret)
		if err != nil {
			return // something that looks like a key
		}
		o.ids[secret] = id
	}
	if o.keys[a] == nil {
		o.keys[a] = map[string]bool{}
	}
	o.keys[a][secret] = true
}

// open takes in what an actor can read as it is.
func (o *oracle) open(a actor, b []byte) {
	o.read[a] = append(o.read[a], b)
	for _, s := range secretText.FindAll(b, -1) {
		o.learn(a, string(s))
	}
	o.scan(b)
}

// scan finds the age files in b: each stands in CBOR, with its length before it.
func (o *oracle) scan(b []byte) {
	for at := 0; ; {
		i := bytes.Index(b[at:], ageMagic)
		if i < 0 {
			return
		}
		start := at + i
		n := 0
		switch {
		case start >= 5 && b[start-5] == 0x5a:
			n = int(binary.BigEndian.Uint32(b[start-4:]))
		case start >= 3 && b[start-3] == 0x59:
			n = int(binary.BigEndian.Uint16(b[start-2:]))
		}
		if n > 0 && start+n <= len(b) {
			o.file(b[start : start+n])
		}
		at = start + 1
	}
}

func (o *oracle) file(b []byte) {
	o.files[sha256.Sum256(b)] = b
}

// close tries keys on files until nothing new opens.
func (o *oracle) close() {
	for {
		before := o.size()
		for a, keys := range o.keys {
			for _, s := range slices.Collect(maps.Keys(keys)) {
				for h, f := range maps.Clone(o.files) {
					o.try(a, s, h, f)
				}
			}
		}
		if o.size() == before {
			return
		}
	}
}

func (o *oracle) size() (n int) {
	n = len(o.files)
	for _, k := range o.keys {
		n += len(k)
	}
	return n
}

func (o *oracle) try(a actor, secret string, h protocol.Hash, f []byte) {
	if o.reached[h][a] {
		return
	}
	if o.tried[secret] == nil {
		o.tried[secret] = map[protocol.Hash][]byte{}
	}
	plain, ok := o.tried[secret][h] // several have the key of an epoch
	if !ok {
		if r, err := seal.Open(bytes.NewReader(f), o.ids[secret]); err == nil {
			plain, _ = io.ReadAll(r)
		}
		o.tried[secret][h] = plain
	}
	if len(plain) == 0 {
		return
	}
	if o.reached[h] == nil {
		o.reached[h] = map[actor]bool{}
	}
	o.reached[h][a] = true
	o.plain[h] = plain
	o.open(a, plain)
}

func (w *World) fault(kind, format string, args ...any) {
	w.faults = append(w.faults, Fault{kind, fmt.Sprintf(format, args...)})
}

// letters holds against each letter who can read it.
func (o *oracle) letters() {
	w := o.w
	for _, l := range w.letters {
		readers := map[actor]bool{}
		for a, texts := range o.read {
			if anyHas(texts, l.Mark) {
				readers[a] = true
			}
		}
		for t, h := range o.hoards {
			if !h.has(l.Mark) {
				continue
			}
			switch {
			case l.Label == tlp.Red:
				w.fault("store", "%s has RED content of %s in its store", t.Name, l.ID.Short())
			case !w.reaches(l, t.ID):
				w.fault("store", "%s has %s in its store, which is not for it", t.Name, l.ID.Short())
			case t.ID != l.Author.ID && l.Void != "":
				w.fault("opened", "%s has %s in its store, though %s", t.Name, l.ID.Short(), l.Void)
			}
		}
		for a := range readers {
			switch {
			case l.Leaked:
			case a == all:
				w.fault("clear", "%s of %s can be read by everybody on the line", l.ID.Short(), l.Author.Name)
			case l.Label == tlp.Red:
				if !slices.Contains(l.Persons, personID{a.team, a.person}) {
					w.fault("opened", "%s reads RED %s, which is not for them", o.name(a), l.ID.Short())
				}
			case a.team == l.Author.ID && a.person == "":
			case a.person != "":
				w.fault("opened", "%s reads %s, which is for nodes", o.name(a), l.ID.Short())
			case !w.reaches(l, a.team):
				w.fault("opened", "%s reads %s, which is not for its team", o.name(a), l.ID.Short())
			case l.Void != "":
				w.fault("opened", "%s reads %s, though %s", o.name(a), l.ID.Short(), l.Void)
			case l.Removed[a.node]:
				w.fault("opened", "%s reads %s, though its sender knew that the node was removed", o.name(a), l.ID.Short())
			}
		}
		if l.Lost || l.Void != "" {
			continue
		}
		for _, t := range l.Teams {
			if w.stays(l, t) && l.Label != tlp.Red && !has(readers, func(a actor) bool { return a.team == t && a.person == "" }) {
				w.fault("unopened", "nobody of %s can open %s, which is for it", o.team(t), l.ID.Short())
			}
		}
		for _, p := range l.Persons {
			if !has(readers, func(a actor) bool { return a.team == p.team && a.person == p.name }) {
				w.fault("unopened", "%s of %s cannot open %s, which is for them", p.name, o.team(p.team), l.ID.Short())
			}
		}
	}
}

func has(m map[actor]bool, f func(actor) bool) bool {
	for a := range m {
		if f(a) {
			return true
		}
	}
	return false
}

func (o *oracle) team(id protocol.TeamID) string {
	for _, t := range o.w.teams {
		if t.ID == id {
			return t.Name
		}
	}
	return id.Short()
}

func (o *oracle) name(a actor) string {
	switch {
	case a == all:
		return "everybody"
	case a.person != "":
		return a.person + " of " + o.team(a.team)
	}
	return fmt.Sprintf("node %s of %s", a.node, o.team(a.team))
}

// statements looks into what opened: statements whose audience the reader is not of, and keys that lie open.
func (o *oracle) statements() {
	w := o.w
	for s := range o.keys[all] {
		who := w.keys[s]
		w.fault("secret", "a key of %s lies open on a line", o.name(who))
	}
	for a, texts := range o.read {
		if a == all {
			continue
		}
		for _, b := range texts {
			plain, err := seal.Unpad(b)
			if err != nil {
				continue
			}
			env, err := protocol.DecodeEnvelope(plain, protocol.MaxStatement)
			if err != nil {
				continue
			}
			st, err := protocol.Decode[protocol.Statement](env)
			if err != nil {
				w.fault("opened", "%s opens a statement that is none: %v", o.name(a), err)
				continue
			}
			if st.Audience.Kind == protocol.InRoom {
				if !w.circle(st.Audience.Room).party[a.team] && !w.evil(st.Node) {
					w.fault("opened", "%s opens a statement of %s in a room that it was never in", o.name(a), o.team(st.Author))
				}
			} else if !slices.Contains(st.Audience.Teams, a.team) && !w.evil(st.Node) && !w.leaked(env.ID()) {
				w.fault("opened", "%s opens a statement of %s that is for others", o.name(a), o.team(st.Author))
			}
			for _, l := range w.letters {
				if l.ID == env.ID() && !l.Leaked && (!w.reaches(l, a.team) || l.Void != "") && a.team != l.Author.ID {
					w.fault("opened", "%s opens the statement %s: %s", o.name(a), l.ID.Short(), l.Void)
				}
			}
		}
	}
}

// turned reports whether the team means harm by now.
func (w *World) turned(id protocol.TeamID) bool {
	return slices.ContainsFunc(w.teams, func(t *Team) bool { return t.ID == id && t.peer != nil })
}

// leaked reports whether the story has somebody pass the letter on.
func (w *World) leaked(id protocol.Hash) bool {
	return slices.ContainsFunc(w.letters, func(l *Letter) bool { return l.ID == id && l.Leaked })
}

// evil reports whether the key is in the hands of somebody who means harm.
func (w *World) evil(k protocol.KID) bool {
	for _, t := range w.teams {
		if t.peer != nil && t.kids[k] {
			return true
		}
	}
	return false
}

// thirds checks that no team has a word of what is between two others: no feed, head, message or blob of theirs, sealed or not.
func (o *oracle) thirds() {
	w := o.w
	kids := map[protocol.TeamID]map[protocol.KID]bool{}
	for _, t := range w.teams {
		if kids[t.ID] == nil {
			kids[t.ID] = map[protocol.KID]bool{}
		}
		maps.Copy(kids[t.ID], t.kids)
	}
	type secret struct {
		what  string
		bytes []byte
		of    []protocol.TeamID
	}
	var secrets []secret
	for _, c := range w.channels() {
		of := []protocol.TeamID{}
		for _, t := range w.teams {
			if (c.Joins(t.ID) || !c.Room().IsZero() && w.circle(c.Room()).party[t.ID]) && !slices.Contains(of, t.ID) {
				of = append(of, t.ID)
			}
		}
		tag := c.Tag()
		secrets = append(secrets, secret{"the tag of a channel", tag[:], of})
		if id := c.Agreement(); !id.IsZero() {
			secrets = append(secrets, secret{"an agreement", id[:], of})
		}
		if id := c.Room(); !id.IsZero() {
			r := w.circle(id)
			secrets = append(secrets, secret{"the name of a room", r.mark, of}, secret{"the purpose of a room", []byte(hex.EncodeToString(r.mark)), of})
			for rec := range r.names {
				if !rec.IsZero() && !slices.Contains(of, rec) {
					secrets = append(secrets, secret{"a record of a room", rec[:], of})
				}
			}
			for ep := range r.held {
				secrets = append(secrets, secret{"the epoch of a room", ep[:], of})
			}
		}
		for _, t := range of {
			for k := range kids[t] {
				f := protocol.FeedOf(k, c)
				secrets = append(secrets, secret{"a feed", f[:], of})
			}
		}
	}
	for _, l := range w.letters {
		if l.Leaked {
			continue
		}
		of := append(slices.Clone(l.Teams), l.Author.ID)
		if !l.Room.IsZero() {
			of = w.partyOf(l.Room) // a ciphertext reaches whoever is a member, whether or not it opens it
		}
		secrets = append(secrets, secret{"message " + l.ID.Short(), l.ID[:], of}, secret{"the text of message " + l.ID.Short(), l.Mark, of})
	}
	for h, of := range o.parties() {
		f := o.files[h]
		if len(f) < 200 {
			continue // a blob that is nowhere
		}
		for _, at := range []int{len(f) / 2, len(f) - 40} {
			secrets = append(secrets, secret{"a piece of a ciphertext", f[at : at+32], of})
		}
	}
	secrets = slices.DeleteFunc(secrets, func(s secret) bool { return slices.ContainsFunc(s.of, w.turned) }) // who means harm tells everybody
	for _, t := range w.teams {
		told := map[string]bool{}
		line, h := t.tap.heard(), o.hoards[t]
		for _, s := range secrets {
			if slices.Contains(s.of, t.ID) || told[s.what] {
				continue
			}
			if anyHas(line, s.bytes) {
				told[s.what] = true
				w.fault("third", "%s heard of %s that is between %s", t.Name, s.what, o.names(s.of))
			}
			if h != nil && h.has(s.bytes) {
				told[s.what] = true
				w.fault("third", "%s keeps %s that is between %s", t.Name, s.what, o.names(s.of))
			}
		}
	}
}

// parties says, for the ciphertexts that opened, between which teams they are.
func (o *oracle) parties() map[protocol.Hash][]protocol.TeamID {
	out := map[protocol.Hash][]protocol.TeamID{}
	for h, plain := range o.plain {
		inner, err := seal.Unpad(plain)
		if err != nil {
			continue
		}
		env, err := protocol.DecodeEnvelope(inner, protocol.MaxStatement)
		if err != nil {
			continue
		}
		st, err := protocol.Decode[protocol.Statement](env)
		if err != nil {
			continue
		}
		if o.w.leaked(env.ID()) {
			continue
		}
		of := append([]protocol.TeamID{st.Author}, st.Audience.Teams...)
		if st.Audience.Kind == protocol.InRoom {
			of = o.w.partyOf(st.Audience.Room)
		}
		for _, l := range o.w.letters {
			if l.ID == env.ID() && l.Room.IsZero() {
				of = append([]protocol.TeamID{l.Author.ID}, l.Teams...)
			}
		}
		out[h] = of
		if st.Blob != nil {
			out[st.Blob.Hash] = append(out[st.Blob.Hash], of...)
		}
	}
	return out
}

func (o *oracle) names(ids []protocol.TeamID) (s string) {
	for i, id := range ids {
		if i > 0 {
			s += " and "
		}
		s += o.team(id)
	}
	return s
}

// Keys returns how many age identities the team's nodes had so far.
func (w *World) Keys(t *Team) (n int) {
	for _, a := range w.keys {
		if a.team == t.ID && a.person == "" {
			n++
		}
	}
	return n - 1 // the unlock secret
}

// KeepsNothingOf reports an error if the store of the team, whose node must be stopped, has the message's text or id in any value
// that the home's keys open.
func (t *Team) KeepsNothingOf(id protocol.Hash) {
	t.w.T.Helper()
	if h := t.hoard(); anyHas(h.values, t.w.Letter(id).Mark) || anyHas(h.blobs, t.w.Letter(id).Mark) {
		t.w.T.Errorf("%s can still read %s on its disk", t.Name, id.Short())
	}
}
