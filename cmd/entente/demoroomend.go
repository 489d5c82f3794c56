package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/trust"
)

var demoSecretKey = regexp.MustCompile(`AGE-SECRET-KEY-PQ-1[0-9A-Z]{20,200}`)

// keysOf returns every key of the team's node with which something could be opened: its own, former ones included, and those of
// the room.
func (w *demoWorld) keysOf(t *demoTeam) (out []seal.Identity, err error) {
	record, err := t.ring.Export()
	if err != nil {
		return nil, err
	}
	for _, s := range demoSecretKey.FindAll(record, -1) {
		id, err := seal.ParseIdentity(string(s))
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	for _, id := range t.ring.Epochs(w.room) {
		if k, ok := t.ring.Epoch(id); ok {
			out = append(out, k.Identity)
		}
	}
	return out, nil
}

// opensOne is nil if one of the keys opens what passed between nodes of a letter in the room.
func (w *demoWorld) opensOne(l *demoLetter, keys []seal.Identity) error {
	if err := w.findParcels([]*demoLetter{l}); err != nil {
		return err
	}
	for _, k := range keys {
		if inner, err := seal.OpenSmall(l.sealed, k); err == nil && bytes.Contains(inner, slice(l.doc.data)) {
			return nil
		}
	}
	return errDemoClosed
}

// errDemoClosed says that none of the keys fits, and nothing else.
var errDemoClosed = errors.New("no key opens it")

// lockedOut is nil if neither the team's present keys nor others that it may have kept open a letter, and nothing of it is in its
// home; and if those that it kept do open a letter from before, without which the attempt would show nothing.
func (w *demoWorld) lockedOut(t *demoTeam, kept []seal.Identity, before, l *demoLetter) (tried int, err error) {
	keys, err := w.keysOf(t)
	if err != nil {
		return 0, err
	}
	keys = append(keys, kept...)
	switch err := w.opensOne(l, keys); {
	case err == nil:
		return len(keys), fmt.Errorf("a key of %s opens %s", t.name, l.doc.name)
	case !errors.Is(err, errDemoClosed):
		return len(keys), err
	}
	if err := w.opensOne(before, keys); err != nil {
		return len(keys), fmt.Errorf("%s: %w", before.doc.name, err)
	}
	secrets, err := w.saidIn([]*demoLetter{before, l})
	if err != nil {
		return len(keys), err
	}
	_, err = w.keepsSecrets(secrets, []*demoTeam{t})
	return len(keys), err
}

// held lets one steward keep a member out, alone and at once.
func (w *demoWorld) held() error {
	a, b, c, e, f := w.teams[0], w.teams[1], w.teams[2], w.teams[4], w.teams[5]
	var err error
	if w.kept, err = w.keysOf(e); err != nil { // as a copy of its machine from before would have them
		return err
	}
	if _, err := w.types(c, "room", "hold", demoRoomName, e.name, "--reason", "somebody reads its mail"); err != nil {
		return err
	}
	w.claim(w.readBy(c, a, b, f), "one steward alone keeps %s out: at once nothing that %s says is for it any more", e.name, c.name)
	w.claim(w.until(func() error { return w.sees(w.roomed, e, trust.StandingHeld) }), "all five know")
	_, err = e.send(w.ctx, demoFile("modems.txt"), w.insideRoom())
	w.claim(refusedBy(err, "room-standing"), "%s may not speak (rule room-standing)", e.name)
	w.roomed = []*demoTeam{a, b, c, f}
	l, took, err := w.deliver(a, demoFile("gateway.txt"), w.insideRoom(), []*demoTeam{b, c, f})
	if l == nil {
		return err
	}
	w.claim(err, "%s: what %s says now is at the other three after %d ms", l.label, a.country, took.Milliseconds())
	tried, err := w.lockedOut(e, w.kept, w.letter("modems.txt"), l)
	w.claim(err, "%s has not a byte of it, and none of the %d keys that it has or ever had opens it; what it received before, it keeps", e.name, tried)
	return nil
}

// removed makes it last.
func (w *demoWorld) removed() error {
	a, b, c, e, f := w.teams[0], w.teams[1], w.teams[2], w.teams[4], w.teams[5]
	if _, err := w.types(a, "room", "remove", demoRoomName, e.name, "--reason", "until its mail is its own again"); err != nil {
		return err
	}
	for i, t := range []*demoTeam{b, c} {
		if err := w.votes(t, e, i+1); err != nil {
			return err
		}
	}
	l, took, err := w.deliver(c, demoFile("harbour.txt"), w.insideRoom(), []*demoTeam{a, b, f})
	if l == nil {
		return err
	}
	w.claim(err, "%s: with the third vote %s is out; right after it %s speaks: it is at the other three after %d ms", l.label, e.name, c.country, took.Milliseconds())
	w.claim(w.until(func() error {
		if n := len(e.ring.Epochs(w.room)); n > 0 {
			return fmt.Errorf("it has %d keys", n)
		}
		return w.sees(append(slices.Clone(w.roomed), e), e, trust.StandingRemoved)
	}), "all five know; the node of %s has destroyed its keys of the room, as it should", e.country)
	tried, err := w.lockedOut(e, w.kept, w.letter("modems.txt"), l)
	w.claim(err, "had it kept them: none of its %d keys opens what was said after, and the search of its home finds not a byte", tried)
	return nil
}

// reported takes something out of the room.
func (w *demoWorld) reported() error {
	a, b := w.teams[0], w.teams[1]
	_, _, err := b.node.ExportMessage(w.letter("acidrain.misp.json").id, trust.ReachConstituents)
	w.claim(refusedBy(err, "attribution"), "%s may not hand on what itself says who wrote it: the charter hides the author (rule attribution)", b.name)
	l := w.letter("gateway.txt")
	file := filepath.Join(w.dir, "for-the-port.txt")
	told, err := w.types(b, "export", file, "--message", l.id.Short(), "--to", "constituents", "--json")
	if err != nil {
		return err
	}
	got, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(got, l.doc.data) {
		err = errors.New("other bytes than were sent")
	}
	for _, gives := range []string{a.name, a.id.String(), w.room.String(), demoRoomName, l.id.String()} {
		if strings.Contains(strings.ReplaceAll(told, l.title, ""), gives) {
			err = errors.Join(err, errors.New("it tells who said it, or where"))
		}
	}
	w.claim(err, "%s it may, and what comes with it says only: from a member of the room", l.doc.name)
	_, _, err = b.node.ExportMessage(l.id, trust.ReachCommunity)
	w.claim(refusedBy(err, "reach-label"), "and not to other teams (rule reach-label)")
	return nil
}

// dissolved closes the room.
func (w *demoWorld) dissolved() error {
	a, b, c, f := w.teams[0], w.teams[1], w.teams[2], w.teams[5]
	if _, err := w.types(a, "room", "close", demoRoomName); err != nil {
		return err
	}
	for i, t := range []*demoTeam{b, c, a, b} { // approve; approve and adopt; adopt; adopt
		if err := w.votes(t, nil, []int{1, 2, 4, 5}[i]); err != nil {
			return err
		}
	}
	var forgets time.Time
	err := w.until(func() error {
		return w.each(w.roomed, func(t *demoTeam) error {
			return w.inRoom(t, "an end", func(v *node.RoomView) bool { return v.State == trust.RoomClosed })
		})
	})
	w.claim(err, "three of four stewards have approved and adopted a charter that ends it: it is closed at all four")
	_, err = a.send(w.ctx, demoFile("gateway.txt"), w.insideRoom())
	w.claim(refusedBy(err, "room-closed"), "nothing is said in it any more (rule room-closed)")
	l := w.letter("harbour.txt")
	secrets, err := w.saidIn(w.lettersInRoom())
	if err != nil {
		return err
	}
	if _, err := w.types(f, "room", "forget", demoRoomName); err != nil {
		return err
	}
	for _, l := range w.lettersInRoom() {
		if slices.Contains(l.readers, f) {
			l.destroyed = append(l.destroyed, f)
			l.readers = slices.DeleteFunc(l.readers, func(t *demoTeam) bool { return t == f })
		}
	}
	for i := range secrets {
		secrets[i].within = slices.DeleteFunc(slices.Clone(secrets[i].within), func(t *demoTeam) bool { return t == f })
	}
	keys, err := w.keysOf(f)
	if err == nil && w.opensOne(l, keys) == nil {
		err = errors.New("one of its keys opens what was said")
	}
	if _, kept := w.keepsSecrets(secrets, []*demoTeam{f}); kept != nil || f.ring.HasAudience(protocol.RoomChannel(w.room).Tag()) {
		err = errors.Join(err, kept, errors.New("it has a key"))
	}
	w.claim(err, "%s forgets it: keys and messages are destroyed, and its home has not a byte of what was said", f.name)
	w.claim(w.until(func() error {
		return w.inRoom(a, "a day on which the keys go", func(v *node.RoomView) bool {
			forgets = v.Forgets
			return !forgets.IsZero()
		})
	}), "the nodes of the others destroy their keys by themselves, on %s", forgets.UTC().Format(time.DateOnly))
	return nil
}

// orphaned lets a steward leave a room that two decide in, so that nobody can decide anything, and founds it anew.
func (w *demoWorld) orphaned() error {
	a, b, d := w.teams[0], w.teams[1], w.teams[3]
	was := w.room
	defer func() { w.room = was }()
	const old, next = "Ring", "Ring again"
	if _, err := w.types(a, "room", "create", old, "--steward", d.name, "--member", b.name); err != nil {
		return err
	}
	if err := w.answered(old, demoAnswer{d, "sign"}, demoAnswer{b, "accept"}); err != nil {
		return err
	}
	if _, err := w.types(d, "room", "leave", old); err != nil {
		return err
	}
	why := ""
	w.claim(w.until(func() error {
		return w.each([]*demoTeam{a, b}, func(t *demoTeam) error {
			return w.inRoom(t, "its quorum lost", func(v *node.RoomView) bool {
				why = v.Why
				return v.State == trust.RoomQuorumLost && v.Why != ""
			})
		})
	}), "one of the two stewards leaves; the others are told")
	for line := range strings.SplitSeq(why, "; ") {
		w.say("           │ %s", line)
	}
	shown, err := w.types(a, "room", "show", old)
	for _, next := range []string{"entente room create NEW --replaces Ring", "entente room refound Ring NEW"} {
		if err == nil && !strings.Contains(shown, next) {
			err = errors.New("it does not")
		}
	}
	w.claim(err, "and this says what to type")
	if _, err := w.types(a, "room", "create", next, "--replaces", old, "--steward", b.name); err != nil {
		return err
	}
	lost := w.room
	if err := w.answered(next, demoAnswer{b, "sign"}); err != nil {
		return err
	}
	for _, t := range []*demoTeam{a, b} {
		if _, err := w.types(t, "room", "refound", old, next); err != nil {
			return err
		}
	}
	w.claim(w.until(func() error {
		return w.each([]*demoTeam{a, b}, func(t *demoTeam) error {
			v, err := t.node.Room(lost.String())
			if err == nil && v.State != trust.RoomClosed {
				err = fmt.Errorf("at %s the old room is %s", t.name, v.State)
			}
			return errors.Join(err, w.inRoom(t, "both", func(v *node.RoomView) bool { return v.State == trust.RoomOpen && len(v.Members) == 2 }))
		})
	}), "with one signature each they go on in a new room, and the old one is closed")
	return nil
}

// A demoAnswer is what a team types when a room asks it to.
type demoAnswer struct {
	t   *demoTeam
	act string
}

// answered makes the room that the first team just created the one of the scene. Each of the others does what it is asked for in it,
// as soon as it is, and all see all of them as members.
func (w *demoWorld) answered(name string, answers ...demoAnswer) error {
	v, err := w.teams[0].node.Room(name)
	if err != nil {
		return err
	}
	w.room, w.channels = v.ID, append(w.channels, protocol.RoomChannel(v.ID))
	teams := []*demoTeam{w.teams[0]}
	for _, a := range answers {
		if err := w.until(func() error {
			return w.inRoom(a.t, "something to "+a.act, func(v *node.RoomView) bool {
				return slices.ContainsFunc(v.Waiting, func(d trust.Draft) bool { return d.Kind == a.act })
			})
		}); err != nil {
			return err
		}
		if _, err := w.types(a.t, "room", a.act, name); err != nil {
			return err
		}
		teams = append(teams, a.t)
	}
	return w.until(func() error {
		return w.each(teams, func(o *demoTeam) error { return w.sees(teams, o, trust.StandingMember) })
	})
}

func (w *demoWorld) lettersInRoom() (out []*demoLetter) {
	for _, l := range w.letters {
		if l.room {
			out = append(out, l)
		}
	}
	return out
}

// findParcels notes of each letter in the room what passes of it between nodes. In the feed of its author it has the place that
// it has in the story.
func (w *demoWorld) findParcels(of []*demoLetter) error {
	feeds := map[protocol.FeedID][]*protocol.Parcel{}
	if !slices.ContainsFunc(of, func(l *demoLetter) bool { return l.sealed == nil }) {
		return nil
	}
	err := w.given(w.teams[0], w.teams[1], func(name string, data []byte) error {
		if !strings.HasPrefix(name, "parcels/") {
			return nil
		}
		p, err := decoded[protocol.Parcel](data, protocol.MaxParcel)
		if err == nil && !p.Epoch.IsZero() {
			feeds[p.Feed] = append(feeds[p.Feed], p)
		}
		return err
	})
	if err != nil {
		return err
	}
	said := map[protocol.FeedID]int{}
	for _, l := range w.lettersInRoom() {
		feed := protocol.FeedOf(l.author.ring.KID(), protocol.RoomChannel(w.room))
		i := said[feed]
		said[feed]++
		if l.sealed != nil {
			continue
		}
		if i >= len(feeds[feed]) {
			return fmt.Errorf("%s gives %s no parcel of %s", w.teams[0].name, w.teams[1].name, l.doc.name)
		}
		slices.SortFunc(feeds[feed], func(a, b *protocol.Parcel) int { return int(a.Seq) - int(b.Seq) })
		l.sealed = feeds[feed][i].Body
	}
	return nil
}

// saidIn returns what nobody but those who may read them may have of letters in the room.
func (w *demoWorld) saidIn(letters []*demoLetter) (out []demoSecret, err error) {
	if err := w.findParcels(letters); err != nil {
		return nil, err
	}
	for _, l := range letters {
		within := slices.Clone(l.readers)
		for _, t := range w.uninvited {
			if slices.ContainsFunc(within, func(r *demoTeam) bool { return r.id == t.id }) {
				within = append(within, t) // who took a member's machine has what the member had
			}
		}
		out = append(out, demoSecret{"the id of " + l.doc.name, l.id[:], within, true}, demoSecret{"the text of " + l.doc.name, slice(l.doc.data), within, true},
			demoSecret{"ciphertext of " + l.doc.name, slice(l.sealed), within, true})
	}
	return out, nil
}

// roomSecrets returns what nobody outside of the room may have.
func (w *demoWorld) roomSecrets() ([]demoSecret, error) {
	out, err := w.saidIn(w.lettersInRoom())
	if err != nil {
		return nil, err
	}
	channel := protocol.RoomChannel(w.room)
	tag := channel.Tag()
	add := func(what string, needle []byte, sure bool) {
		out = append(out, demoSecret{what, needle, w.roomed, sure})
	}
	add("the id of the room", w.room[:], true)
	add("the name of the room", []byte(demoRoomName), true)
	add("the purpose of the room", []byte(demoRoomPurpose), true)
	add("the name of its channel", tag[:], true)
	for _, t := range w.roomed {
		feed := protocol.FeedOf(t.ring.KID(), channel)
		add("the name of a feed in it", feed[:], false)
		v, err := t.node.Room(w.room.String())
		if err != nil {
			return nil, err
		}
		add("the id of a key of it", v.Epoch[:], false)
	}
	return out, nil
}
