package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
)

// A demoHoard is everything in a team's home that its node's keys open: what whoever has the machine and its unlock secret
// could read. It is taken from a backup, below all rules.
type demoHoard struct {
	parts  [][]byte
	values int // stored values that a key opened
	closed int // that none did
}

// hoard reads the home of a running node. Of channels, all that the story knows are tried.
func (w *demoWorld) hoard(t *demoTeam) (*demoHoard, error) {
	type opener interface {
		Open(ciphertext, aad []byte) ([]byte, error)
	}
	ciphers := []opener{t.ring.Local()}
	for _, c := range append([]protocol.Channel{{}}, w.channels...) {
		if !t.ring.HasAudience(c.Tag()) {
			continue
		}
		k, err := t.ring.Audience(c.Tag())
		if err != nil {
			return nil, err
		}
		ciphers = append(ciphers, k)
	}
	h := &demoHoard{}
	stored, err := h.unpack(w.ctx, t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	err = eachStored(stored, func(key, value []byte) {
		h.parts = append(h.parts, key)
		if len(value) == 0 {
			return
		}
		for _, c := range ciphers {
			if plain, err := c.Open(value, key); err == nil {
				h.parts, h.values = append(h.parts, plain), h.values+1
				return
			}
		}
		h.closed++
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return h, nil
}

// unpack keeps the files of a backup as they are, and returns that of the store.
func (h *demoHoard) unpack(ctx context.Context, t *demoTeam) (stored []byte, err error) {
	var b bytes.Buffer
	if err := t.node.Backup(ctx, &b); err != nil {
		return nil, err
	}
	err = eachFile(&b, func(name string, data []byte) error {
		if strings.HasPrefix(name, "store.") {
			stored = append(stored, data...)
		} else {
			h.parts = append(h.parts, data)
		}
		return nil
	})
	return stored, err
}

// eachStored reads the entries of a store's backup: 1, key, value, and 0 at the end, each after its length.
func eachStored(backup []byte, fn func(key, value []byte)) error {
	r := bufio.NewReader(bytes.NewReader(backup))
	head, err := r.ReadString('\n')
	if err != nil || head != "entente store backup 1\n" {
		return errors.New("the store's backup has another form than this program knows")
	}
	if _, err := r.Discard(8); err != nil {
		return err
	}
	field := func() ([]byte, error) {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > uint64(len(backup)) {
			return nil, errors.Join(err, errors.New("the store's backup is cut"))
		}
		b := make([]byte, n)
		_, err = io.ReadFull(r, b)
		return b, err
	}
	for {
		if more, err := r.ReadByte(); err != nil || more == 0 {
			return err
		}
		key, err := field()
		if err != nil {
			return err
		}
		value, err := field()
		if err != nil {
			return err
		}
		fn(key, value)
	}
}

func (h *demoHoard) has(b []byte) bool {
	return slices.ContainsFunc(h.parts, func(p []byte) bool { return bytes.Contains(p, b) })
}

// A demoSecret is something of which only some teams may have a byte.
type demoSecret struct {
	what   string
	needle []byte
	within []*demoTeam
	sure   bool // they do have it, so that a search that could not find it would show
}

// lettersBetween returns what nobody else may have of the letters and agreements between the teams: texts, ids, names of
// feeds, and the very bytes that passed between the nodes.
func (w *demoWorld) lettersBetween(a, b *demoTeam) (out []demoSecret, err error) {
	pair := []*demoTeam{a, b}
	add := func(what string, needle []byte) { out = append(out, demoSecret{what, needle, pair, true}) }
	for _, l := range w.letters {
		if !l.private || l.room || !slices.Contains(l.readers, a) || !slices.Contains(l.readers, b) {
			continue
		}
		add("the id of "+l.doc.name, l.id[:])
		s := demoSecret{"the text of " + l.doc.name, slice(l.doc.data), pair, len(l.doc.data) <= protocol.MaxInline}
		if l.label == tlp.Red {
			s.within = nil // not even the nodes of the two
		}
		out = append(out, s) // a large one is not kept in the clear
	}
	for _, c := range w.channels {
		if !c.Joins(a.id) || c.Other(a.id) != b.id {
			continue
		}
		tag := c.Tag()
		add("the name of a channel", tag[:])
		for _, t := range pair {
			feed := protocol.FeedOf(t.ring.KID(), c)
			out = append(out, demoSecret{"the name of a feed", feed[:], pair, false}) // there may be nothing in it
		}
		if id := c.Agreement(); !id.IsZero() {
			add("the id of the agreement", id[:])
		}
	}
	for i, t := range pair {
		wire, err := w.wire(t, pair[1-i])
		if err != nil {
			return nil, err
		}
		for _, b := range wire {
			add("ciphertext of "+t.country, b)
		}
	}
	return out, nil
}

// wire returns a slice of each sealed message and attachment that one team's node gives the other's.
func (w *demoWorld) wire(from, to *demoTeam) (out [][]byte, err error) {
	err = w.given(from, to, func(name string, data []byte) error {
		switch {
		case strings.HasPrefix(name, "blobs/"):
			out = append(out, slice(data))
		case strings.HasPrefix(name, "parcels/"):
			p, err := decoded[protocol.Parcel](data, protocol.MaxParcel)
			if err != nil {
				return err
			}
			if p.Sealed && p.Epoch.IsZero() { // those of rooms are for others too
				out = append(out, slice(p.Body))
			}
		}
		return nil
	})
	return out, err
}

// recipients returns the keys by which one team seals to the nodes of another, as it tells them to others.
func (w *demoWorld) recipients(t, of *demoTeam) (out []string, err error) {
	err = w.given(t, of, func(name string, data []byte) error {
		if name != "records/"+of.id.String() {
			return nil
		}
		b, err := protocol.DecodeBundle(data)
		if err != nil {
			return err
		}
		for _, raw := range b.Records {
			if r, err := decoded[protocol.NodeRecipient](raw, protocol.MaxRecord); err == nil {
				out = append(out, r.Recipient)
			}
		}
		return nil
	})
	return out, err
}

func decoded[T any, P interface {
	*T
	protocol.Record
}](data []byte, limit int) (*T, error) {
	env, err := protocol.DecodeEnvelope(data, limit)
	if err != nil {
		return nil, err
	}
	return protocol.Decode[T, P](env)
}

// given calls fn with each file of what one team's node gives the other's now: records, what is new, and all that is for it
// alone.
func (w *demoWorld) given(from, to *demoTeam, fn func(name string, data []byte) error) error {
	var sealed bytes.Buffer
	if _, err := from.node.ExportBundle(w.ctx, to.id.String(), time.Now(), &sealed); err != nil {
		return err
	}
	plain, err := to.ring.Unseal(&sealed)
	if err != nil {
		return err
	}
	return eachFile(plain, fn)
}

func eachFile(r io.Reader, fn func(name string, data []byte) error) error {
	tr := tar.NewReader(r)
	for {
		e, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(tr)
		if err == nil {
			err = fn(e.Name, data)
		}
		if err != nil {
			return err
		}
	}
}

// slice returns some bytes from within: enough that they are nowhere else by chance, early enough to be in one piece.
func slice(b []byte) []byte {
	at := min(len(b)/2, 30_000)
	return b[at:min(at+48, len(b))]
}

// keepsSecrets is nil if nothing of the secrets is at a team that may not have it, and all is at those that may: a search that
// finds nothing anywhere shows nothing. It counts the values that were looked through.
func (w *demoWorld) keepsSecrets(secrets []demoSecret, at []*demoTeam) (values int, err error) {
	var wrong []error
	for _, t := range at {
		h, err := w.hoard(t)
		if err != nil {
			return values, err
		}
		if h.closed > 0 {
			wrong = append(wrong, fmt.Errorf("%d values at %s could not be looked into", h.closed, t.name))
		}
		values += h.values
		for _, s := range secrets {
			if has, may := h.has(s.needle), slices.Contains(s.within, t); has && !may {
				wrong = append(wrong, fmt.Errorf("%s has %s", t.name, s.what))
			} else if !has && may && s.sure {
				wrong = append(wrong, fmt.Errorf("the search does not find %s at %s", s.what, t.name))
			}
		}
	}
	return values, errors.Join(wrong...)
}
