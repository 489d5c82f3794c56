package protocol

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/entente-network/entente/protocol/seal"
)

// maxRoomCost is what a message may cost above its content and the padding, in bytes.
const maxRoomCost = 2560

// TestRoomMessageCost sends content of several sizes into a room and reads it. Nothing in it depends on how many members there
// are: they are named by the epoch, by its id.
func TestRoomMessageCost(t *testing.T) {
	id, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	room := RoomChannel(roomID)
	for _, n := range []int{0, 1, 300, 4000, MaxInline} {
		st := exampleInRoom()
		body := bytes.Repeat([]byte{'x'}, n)
		st.Clock, st.Title = maxClock, strings.Repeat("t", MaxTitle)
		st.Body = Body{Format: "text", Size: uint64(n), Hash: sha256.Sum256(body), Inline: body}
		if n == 0 {
			st.Body.Inline = nil
		}
		inner := sign(t, st, nodeKey).Encode()
		p := sealedParcel(st, room, MaxCounter)
		if p.Body, err = seal.SealSmall(inner, id.Recipient()); err != nil {
			t.Fatal(err)
		}
		wire := sign(t, p, nodeKey).Encode()
		content, padding := n+len(st.Title), int(seal.PaddedSize(uint64(len(inner))+1))-len(inner)
		if cost := len(wire) - content - padding; cost > maxRoomCost {
			t.Errorf("%d bytes of content travel as %d, %d of them padding: %d above both, want at most %d", content, len(wire), padding, cost, maxRoomCost)
		}

		e, err := DecodeEnvelope(wire, MaxParcel)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode[Parcel](e)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := seal.OpenSmall(back.Body, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := back.OpenSealed(nodeKey.Public(), opened, room); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		} else if !bytes.Equal(got.Body.Inline, body) || back.Epoch != epochID {
			t.Errorf("%d bytes changed on the way", n)
		}
	}
}
