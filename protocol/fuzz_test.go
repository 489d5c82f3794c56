package protocol

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol/tlp"
)

func FuzzDecodeEnvelope(f *testing.F) {
	add := func(data []byte) {
		if len(data) < 4<<10 { // the fuzzer minimizes long inputs for ever
			f.Add(data)
		}
	}
	for _, data := range seeds()["envelope"] {
		add(data)
	}
	for _, v := range vectors() {
		if strings.HasPrefix(v.name, "envelope-") {
			add(v.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		agree(t, "envelope", data)
		e, err := DecodeEnvelope(data, MaxRecord)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Encode(), data) {
			t.Fatalf("decoded %x, encoded %x", data, e.Encode())
		}
		r, err := decodeAny(e)
		if err != nil {
			return
		}
		if err := r.check(); err != nil {
			t.Fatalf("decoded, but %v", err)
		}
		if _, _, err := SlotOf(e); err != nil {
			t.Fatal(err)
		}
		agree(t, strings.TrimPrefix(string(e.Type), "entente/v1/"), e.Payload)
	})
}

func FuzzRecords(f *testing.F) {
	types := Types()
	for i, typ := range types {
		for _, data := range seeds()[strings.TrimPrefix(string(typ), "entente/v1/")] {
			f.Add(uint8(i), data)
		}
	}
	for _, v := range vectors() {
		if e, err := DecodeEnvelope(v.data, MaxRecord); err == nil {
			for i, typ := range types {
				if typ == e.Type {
					f.Add(uint8(i), e.Payload)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, data []byte) {
		typ := types[int(i)%len(types)]
		agree(t, strings.TrimPrefix(string(typ), "entente/v1/"), data)
		r, err := decodeAny(&Envelope{Type: typ, Payload: data})
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s %x: error %v does not wrap ErrMalformed", typ, data, err)
			}
			return
		}
		if _, err := Sign(r, nodeKey); err != nil && len(data) < MaxStatement-1024 {
			t.Fatalf("%s %x: decoded, but not signed: %v", typ, data, err)
		}
	})
}

func FuzzBundle(f *testing.F) {
	for _, data := range seeds()["bundle"] {
		f.Add(data)
		if b, err := DecodeBundle(data); err == nil {
			f.Add(b.Armor())
			f.Add([]byte("Dear colleague,\n\n" + string(b.Armor()) + "\n-- \nEva"))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		agree(t, "bundle", data)
		b, err := DecodeBundle(data)
		if err != nil {
			if b, err = Unarmor(data); err != nil {
				return
			}
		}
		_, _ = b.Envelopes()
		back, err := Unarmor(b.Armor())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Encode(), b.Encode()) {
			t.Fatalf("got %x, want %x", back.Encode(), b.Encode())
		}
	})
}

func FuzzHello(f *testing.F) {
	for _, data := range seeds()["hello"] {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		agree(t, "hello", data)
		h, err := DecodeHello(data)
		if err != nil {
			return
		}
		if again, err := DecodeHello(h.Encode()); err != nil || !bytes.Equal(again.Encode(), h.Encode()) {
			t.Fatalf("greeting %x does not survive: %v", data, err)
		}
		if v, err := h.Negotiate(); err == nil && v != Version {
			t.Fatalf("agreed on version %d", v)
		}
	})
}

// FuzzParcel is the way of what arrives from the network.
func FuzzParcel(f *testing.F) {
	for _, v := range vectors() {
		if v.form == "statement in parcel" || strings.HasPrefix(v.name, "parcel") {
			f.Add(v.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeEnvelope(data, MaxParcel)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Encode(), data) {
			t.Fatalf("decoded %x, encoded %x", data, e.Encode())
		}
		p, err := Decode[Parcel](e)
		if err != nil {
			return
		}
		agree(t, "parcel", e.Payload)
		env, st, err := p.OpenCommunity(nodeKey.Public())
		if err != nil {
			return
		}
		if !bytes.Equal(env.Encode(), p.Body) || st.Author != p.Team || st.Node != p.Node {
			t.Fatalf("opened a statement that is not the parcel's: %x", data)
		}
		agree(t, "statement", env.Payload)
	})
}

// FuzzSealed is the way of what a node opened: the parcel's signature and the ciphertext were checked, what is inside may be
// anything. Whatever opens is for both ends of the channel, or for its room, and of the author.
func FuzzSealed(f *testing.F) {
	all := channels()
	for _, v := range vectors() {
		if v.form == "statement in sealed parcel" {
			f.Add(uint8(slices.Index(all, v.channel)), v.data, v.inner)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, data, inner []byte) {
		c := all[int(i)%len(all)]
		e, err := DecodeEnvelope(data, MaxParcel)
		if err != nil {
			return
		}
		p, err := Decode[Parcel](e)
		if err != nil {
			return
		}
		env, st, err := p.OpenSealed(nodeKey.Public(), inner, c)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSignature) {
				t.Fatalf("error %v wraps neither ErrMalformed nor ErrSignature", err)
			}
			return
		}
		if !bytes.Equal(env.Encode(), inner) || st.Author != p.Team || st.Node != p.Node || !p.Sealed || c.IsCommunity() {
			t.Fatalf("opened a statement that is not the parcel's: %x %x", data, inner)
		}
		pair := c.Joins(st.Author) && slices.Contains(st.Audience.Teams, c.Other(st.Author)) && st.Audience.Agreement == c.Agreement() && p.Epoch.IsZero()
		room := st.Audience.Kind == InRoom && !c.Room().IsZero() && st.Audience.Room == c.Room() && !p.Epoch.IsZero() && p.Epoch == st.Audience.Epoch
		if pair == room {
			t.Fatalf("opened a statement that is not for the channel: %x %x", data, inner)
		}
		if red := st.Label == tlp.Red; red != (len(st.Content) > 0) || red && (st.Title != "" || len(st.Body.Inline) > 0) {
			t.Fatalf("opened RED that nodes can read: %x", inner)
		}
		if (p.Blob == nil) != (st.Outside() == nil) || p.Blob != nil && *p.Blob != *st.Outside() {
			t.Fatalf("opened a statement with another blob: %x %x", data, inner)
		}
		agree(t, "statement", env.Payload)
	})
}

// FuzzContent reads what persons were sent.
func FuzzContent(f *testing.F) {
	st := exampleRed()
	for _, v := range vectors() {
		if v.form == "content in statement" {
			f.Add(v.inner)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		agree(t, "content", data)
		c, err := DecodeContent(data, st)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		if c.Context != st.Context() || c.Body.External() || c.Body.Key != "" {
			t.Fatalf("content that is not the statement's: %x", data)
		}
		again, err := c.Encode() // without extensions
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeContent(again, st); err != nil || !bytes.Equal(must(Marshal(back)), again) {
			t.Fatalf("content %x does not survive: %v", data, err)
		}
	})
}
