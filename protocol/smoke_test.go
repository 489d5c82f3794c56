package protocol

import (
	"bytes"
	"testing"
	"time"

	"github.com/entente-network/entente/protocol/tlp"
)

func TestRecordRoundTrip(t *testing.T) {
	k, _, err := GenerateKey(Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	team := Sum("t")
	body := []byte("hello")
	st := &Statement{Author: team, Node: k.Public().ID(), Clock: HLC(0).Next(time.Now()), Kind: KindMessage,
		Audience: Audience{Kind: Community}, Label: tlp.Green, Title: "x", Body: Body{Format: "text", Size: 5, Hash: Sum("", body), Inline: body}}
	se, err := Sign(st, k)
	if err != nil {
		t.Fatal(err)
	}
	p := &Parcel{Team: team, Node: k.Public().ID(), Feed: FeedOf(k.Public().ID(), st.Audience), Seq: 1, Class: Normal, Body: se.Encode()}
	pe, err := Sign(p, k)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeEnvelope(pe.Encode(), MaxParcel)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.VerifyNode(k.Public()); err != nil {
		t.Fatal(err)
	}
	got, err := Decode[Parcel](back)
	if err != nil {
		t.Fatal(err)
	}
	_, st2, err := got.OpenCommunity(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(st2.Body.Inline, body) {
		t.Fatalf("got %q", st2.Body.Inline)
	}
	h, _, _ := GenerateKey(Hybrid)
	off, _, _ := GenerateKey(Hybrid)
	r := &Root{Path: PathRoot, Keys: []PublicKey{h.Public()}, Threshold: 1, Officers: []Officer{{Key: off.Public(), Name: "o"}}, Sealed: Sum("s"), Issued: 1}
	re, err := Sign(r, h)
	if err != nil {
		t.Fatal(err)
	}
	b := &Bundle{Team: re.ID(), Records: [][]byte{re.Encode()}}
	b2, err := Unarmor(append([]byte("Dear colleague,\n\n"), b.Armor()...))
	if err != nil {
		t.Fatal(err)
	}
	es, err := b2.Envelopes()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := es[0].Signers(UseRoot, r.Keys); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := es[0].Signers(UseNode, r.Keys); n != 0 || err == nil {
		t.Fatal(n, err)
	}
}
