package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/control"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/keyring"
)

const (
	demoPassphrase = "demo demo demo"
	demoWorkFactor = 10 // of scrypt: the keys live for minutes
	demoOfficer    = "officer-1"
	demoPatience   = 20 * time.Second // for something to come true
	demoGlance     = 20 * time.Millisecond
)

// A demoTeam is a team of the story, and its node while it is up.
type demoTeam struct {
	name, country string
	home          string
	id            protocol.TeamID
	clock         func() time.Time // nil: the machine's

	ring   *keyring.Ring
	node   *node.Node
	server *control.Server
}

// found makes the team's home.
func (t *demoTeam) found() error {
	f, err := node.Found(node.Founding{Home: t.home, Name: t.name, Country: t.country, Officer: demoOfficer,
		Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}, Passphrase: demoPassphrase, WorkFactor: demoWorkFactor}, time.Now())
	if err != nil {
		return err
	}
	t.id = f.Team
	return nil
}

// open opens the home without joining the network.
func (t *demoTeam) open() error {
	unlock, err := keyring.UnlockFile(node.DefaultUnlockFile(t.home))
	if err != nil {
		return err
	}
	cfg, err := node.LoadConfig(t.home)
	if err != nil {
		return err
	}
	cfg.Now = t.clock
	if t.ring, err = keyring.Open(node.KeysDir(t.home), unlock); err != nil {
		return err
	}
	if t.node, err = node.Open(cfg, t.ring); err != nil {
		return errors.Join(err, t.ring.Close())
	}
	return nil
}

// join opens the home and joins the network.
func (t *demoTeam) join(ctx context.Context) error {
	if err := t.open(); err != nil {
		return err
	}
	return t.node.Start(ctx)
}

// serve opens the control socket.
func (t *demoTeam) serve() error {
	l, err := control.Listen(t.home)
	if err != nil {
		return err
	}
	t.server = control.NewServer(t.node, t.home, slog.New(slog.DiscardHandler))
	go t.server.Serve(l) //nolint:errcheck // it ends with leave
	return nil
}

// leave stops the node in good order.
func (t *demoTeam) leave() error {
	var errs []error
	if t.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		errs = append(errs, t.server.Close(ctx))
		cancel()
		t.server = nil
	}
	if t.node != nil {
		errs = append(errs, t.node.Close(), t.ring.Close())
		t.node, t.ring = nil, nil
	}
	return errors.Join(errs...)
}

// officer unlocks the officer's key.
func (t *demoTeam) officer() (*protocol.PrivateKey, error) {
	return keyring.OpenOfficer(node.KeysDir(t.home), demoOfficer, demoPassphrase)
}

// knows returns the other team as this one holds it.
func (t *demoTeam) knows(o *demoTeam) (node.TeamInfo, error) { return t.node.Team(o.id.String()) }

// adds takes in the other team's introduction, as handed over by a person.
func (t *demoTeam) adds(o *demoTeam) error {
	intro, err := o.node.Introduction()
	if err != nil {
		return err
	}
	_, err = t.node.AddTeam(intro, demoOfficer)
	return err
}

// verifies compares the digits that the other team reads out, and attests it to colleagues.
func (t *demoTeam) verifies(o *demoTeam, digits string) error {
	key, err := t.officer()
	if err != nil {
		return err
	}
	now := time.Now()
	e, err := protocol.Sign(&protocol.Attest{Issuer: t.id, Subject: o.id, Method: "phone", Issued: uint64(now.Unix()),
		Expires: uint64(now.AddDate(1, 0, 0).Unix())}, key)
	if err != nil {
		return err
	}
	return t.node.VerifyTeam(o.id, digits, "phone", demoOfficer, e)
}

// readsOut returns the team's own fingerprint.
func (t *demoTeam) readsOut() (string, error) {
	own, err := t.knows(t)
	return own.Fingerprint, err
}

// connected is nil if a current node of the other team is connected.
func (t *demoTeam) connected(o *demoTeam) error {
	info, err := t.knows(o)
	if err != nil {
		return err
	}
	why := "it has no current node"
	for _, n := range info.Nodes {
		if n.Connected && !n.Revoked {
			return nil
		}
		if !n.Revoked {
			why = n.LastErr
		}
	}
	return fmt.Errorf("%s is not connected to %s (%s)", t.name, o.name, why)
}

// turnedAway is nil if the team tried to connect to the other one and was not let in.
func (t *demoTeam) turnedAway(o *demoTeam) error {
	info, err := t.knows(o)
	if err != nil {
		return err
	}
	for _, n := range info.Nodes {
		switch {
		case n.Connected:
			return fmt.Errorf("%s is connected to %s", t.name, o.name)
		case n.LastErr == "" && !n.Revoked:
			return fmt.Errorf("%s has not tried to connect to %s", t.name, o.name)
		}
	}
	return nil
}

// send sends a document, to the community if the draft names nobody.
func (t *demoTeam) send(ctx context.Context, doc demoDoc, d node.Draft) (*node.Sent, error) {
	if d.Audience == "" {
		d.Audience = "community"
	}
	d.Name, d.Size, d.Hash = doc.name, int64(len(doc.data)), doc.hash()
	return t.node.Send(ctx, d, bytes.NewReader(doc.data))
}

// A demoLetter is a document that was sent, and who has to have it.
type demoLetter struct {
	doc     demoDoc
	author  *demoTeam
	id      protocol.Hash
	label   tlp.Label
	title   string
	readers []*demoTeam // the author included
	routine bool        // one of many, not in the table
	private bool        // for the readers alone; of RED their nodes carry it, and persons read it

	room      bool        // said in the room
	sealed    []byte      // of room: what passes between nodes
	destroyed []*demoTeam // of room: who gave it up, and is none of the readers any more
}

// holds is nil if the team holds the letter whole: the author's, under its label, byte for byte. What is RED it holds as its
// node can: closed, without a title.
func (t *demoTeam) holds(l *demoLetter) error {
	v, err := t.node.Message(l.id)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	if v.Author != l.author.id || v.Label != l.label {
		return fmt.Errorf("%s holds %s as TLP:%s by %s", t.name, l.doc.name, v.Label, v.AuthorName)
	}
	r, _, err := t.node.OpenBody(l.id)
	if l.label == tlp.Red {
		if !v.Sealed || v.Title != "" || v.Quarantined != "" {
			return fmt.Errorf("%s holds %s, and not closed", t.name, l.doc.name)
		}
		return refusedBy(err, "person-only")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	if !bytes.Equal(b, l.doc.data) {
		return fmt.Errorf("%s holds other bytes of %s than were sent", t.name, l.doc.name)
	}
	return nil
}

// A demoWorld is the stage: the six teams, those who come uninvited, and all that was sent.
type demoWorld struct {
	*demoNarrator
	ctx       context.Context
	dir       string
	teams     []*demoTeam
	uninvited []*demoTeam
	letters   []*demoLetter
	channels  []protocol.Channel // between two teams, in which something was said
	agreed    protocol.Hash      // the agreement that the story is at
	sticks    [][]byte           // bundles that were carried
	room      protocol.Hash      // the room of the story
	roomed    []*demoTeam        // who is in it
	kept      []seal.Identity    // what a member had before it was out
}

func newDemoWorld(ctx context.Context, out *printer, dir string) *demoWorld {
	w := &demoWorld{demoNarrator: &demoNarrator{out: out, start: time.Now()}, ctx: ctx, dir: dir}
	for i, name := range []string{"Aldoria", "Brevia", "Cordana", "Dravia", "Elmark", "Falken"} {
		w.teams = append(w.teams, w.newTeam("CERT "+name, "X"+string(rune('A'+i))))
	}
	return w
}

func (w *demoWorld) newTeam(name, country string) *demoTeam {
	return &demoTeam{name: name, country: country, home: filepath.Join(w.dir, strings.ToLower(country))}
}

func (w *demoWorld) close() error {
	return w.each(append(slices.Clone(w.teams), w.uninvited...), (*demoTeam).leave)
}

// each asks all teams and joins what they say.
func (w *demoWorld) each(ts []*demoTeam, ask func(*demoTeam) error) error {
	var errs []error
	for _, t := range ts {
		errs = append(errs, ask(t))
	}
	return errors.Join(errs...)
}

// but returns the teams of the story without some.
func (w *demoWorld) but(without ...*demoTeam) []*demoTeam {
	return slices.DeleteFunc(slices.Clone(w.teams), func(t *demoTeam) bool { return slices.Contains(without, t) })
}

// until waits for something to come true; it returns what still speaks against it when patience ends.
func (w *demoWorld) until(ok func() error) error {
	ctx, cancel := context.WithTimeout(w.ctx, demoPatience)
	defer cancel()
	look := time.NewTicker(demoGlance)
	defer look.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", demoPatience, err)
		}
	}
}

// deliver sends a document and waits until the readers hold it whole. It returns when the last of them had it.
func (w *demoWorld) deliver(from *demoTeam, doc demoDoc, d node.Draft, to []*demoTeam) (*demoLetter, time.Duration, error) {
	began := time.Now()
	l, err := w.post(from, doc, d, to)
	if err != nil {
		return nil, 0, err
	}
	var slowest time.Duration
	err = w.until(func() error { return w.each(to, func(t *demoTeam) error { return t.holds(l) }) })
	if len(doc.data) > protocol.MaxInline {
		return l, time.Since(began), err // what travels apart comes after the message
	}
	for _, t := range to {
		if v, err := t.node.Message(l.id); err == nil {
			slowest = max(slowest, v.Received.Sub(began.Truncate(time.Millisecond)))
		}
	}
	return l, slowest, err
}

// post sends a document and notes who has to have it.
func (w *demoWorld) post(from *demoTeam, doc demoDoc, d node.Draft, to []*demoTeam) (*demoLetter, error) {
	sent, err := from.send(w.ctx, doc, d)
	if err != nil {
		return nil, fmt.Errorf("%s sends %s: %w", from.name, doc.name, err)
	}
	l := &demoLetter{doc: doc, author: from, id: sent.ID, label: sent.Label, title: sent.Title, readers: append(slices.Clone(to), from),
		private: sent.Audience.Kind != "community", room: sent.Audience.Kind == "room"}
	w.letters = append(w.letters, l)
	return l, nil
}
