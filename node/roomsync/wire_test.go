package roomsync

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/entente-network/entente/node/frame"
	"github.com/entente-network/entente/protocol"
)

func TestPageCheck(t *testing.T) {
	a, b := protocol.Hash{1}, protocol.Hash{2}
	mk := bytes.Repeat([]byte{7}, MarkSize)
	for name, tt := range map[string]struct {
		p  page
		ok bool
	}{
		"empty":               {page{}, true},
		"beginning":           {page{Kind: kindCompare, Parts: []part{{Room: a, Digest: b}}}, true},
		"two parts of a room": {page{Parts: []part{{Room: a, Asks: mk}, {Room: a, Records: [][]byte{{1}}}}}, true},
		"unknown kind":        {page{Kind: 3}, false},
		"empty, more":         {page{More: true}, false},
		"more and rest":       {page{Parts: []part{{Room: a, Same: true}}, More: true, Rest: true}, false},
		"descending":          {page{Parts: []part{{Room: b, Same: true}, {Room: a, Same: true}}}, false},
		"no room":             {page{Parts: []part{{Same: true}}}, false},
		"no content":          {page{Parts: []part{{Room: a}}}, false},
		"half a mark":         {page{Parts: []part{{Room: a, Offers: mk[1:]}}}, false},
		"half an ask":         {page{Parts: []part{{Room: a, Asks: mk[1:]}}}, false},
		"most offers":         {page{Parts: []part{{Room: a, Offers: bytes.Repeat(mk, MaxRecords)}}}, true},
		"too many offers":     {page{Parts: []part{{Room: a, Offers: bytes.Repeat(mk, MaxRecords+1)}}}, false},
		"too many asks":       {page{Parts: []part{{Room: a, Asks: bytes.Repeat(mk, maxAsked+1)}}}, false},
		"most records":        {page{Parts: []part{{Room: a, Records: slices.Repeat([][]byte{{1}}, maxBatch)}}}, true},
		"too many records":    {page{Parts: []part{{Room: a, Records: slices.Repeat([][]byte{{1}}, maxBatch+1)}}}, false},
		"empty record":        {page{Parts: []part{{Room: a, Records: [][]byte{{}}}}}, false},
		"long record":         {page{Parts: []part{{Room: a, Records: [][]byte{make([]byte, protocol.MaxRecord+1)}}}}, false},
		"long grant":          {page{Parts: []part{{Room: a, Grants: [][]byte{make([]byte, maxGrant+1)}}}}, false},
		"most epochs":         {page{Parts: []part{{Room: a, Epochs: slices.Repeat([]protocol.Hash{b}, MaxGrants)}}}, true},
		"too many epochs":     {page{Parts: []part{{Room: a, Epochs: slices.Repeat([]protocol.Hash{b}, MaxGrants+1)}}}, false},
		"no epoch":            {page{Parts: []part{{Room: a, Epochs: []protocol.Hash{{}}}}}, false},
	} {
		err := tt.p.Check()
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v, want ok %t", name, err, tt.ok)
			continue
		}
		if !tt.ok {
			continue
		}
		data, err := frame.Append(nil, &tt.p)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := frame.Read(bufio.NewReader(bytes.NewReader(data)), maxFrame)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := frame.Decode[page](raw); err != nil {
			t.Errorf("%s: does not come back: %v", name, err)
		}
	}
}

// Every field has its bit, by which the turn is checked in which it may stand.
func TestHas(t *testing.T) {
	p := part{Digest: protocol.Hash{1}, Same: true, Offers: []byte{1}, Asks: []byte{1}, Records: [][]byte{{1}}, Epochs: []protocol.Hash{{1}}, Grants: [][]byte{{1}}}
	if got, want := p.has(), hasDigest|hasSame|hasOffers|hasAsks|hasRecords|hasEpochs|hasGrants; got != want {
		t.Errorf("has %07b: want %07b", got, want)
	}
	if got := (&part{Grants: [][]byte{{1}}}).has(); got != hasGrants {
		t.Errorf("has %07b: want %07b", got, hasGrants)
	}
}

// However a turn is cut into frames, it comes back, and every frame is within its bound.
func TestTurns(t *testing.T) {
	big := make([]byte, protocol.MaxRecord)
	for name, raws := range map[string][][]byte{
		"none":  nil,
		"one":   {{1}},
		"large": {big, big, {1}, big},
		"many":  slices.Repeat([][]byte{make([]byte, 1000)}, 3000),
	} {
		near, far := pipe()
		go func() {
			w := newTalk(t.Context(), near, testOptions.Patience).turn()
			err := errors.Join(w.addRaws(theRoom, raws, false), w.addRaws(theRoom, raws[:min(len(raws), 1)], true), w.end(true))
			w.talk.end(err)
		}()
		var got, grants [][]byte
		rest, err := newTalk(t.Context(), far, testOptions.Patience).read(hasRecords|hasGrants, nil, func(p *part) error {
			got, grants = append(got, p.Records...), append(grants, p.Grants...)
			return nil
		})
		if name == "large" {
			if !errors.Is(err, protocol.ErrMalformed) { // no grant is so large
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || !rest || len(grants) != min(len(raws), 1) || !slices.EqualFunc(got, raws, bytes.Equal) {
			t.Errorf("%s: %d records, rest %t, %v: want %d", name, len(got), rest, err, len(raws))
		}
		if _, err := io.ReadAll(far); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPage(f *testing.F) {
	for _, p := range []page{
		{}, {Kind: kindTell, Parts: []part{{Room: theRoom, Records: [][]byte{{1}}}}, More: true},
		{Parts: []part{{Room: theRoom, Offers: make([]byte, 32), Asks: make([]byte, 16)}}, Rest: true},
		{Parts: []part{{Room: theRoom, Epochs: []protocol.Hash{theRoom}, Grants: [][]byte{{1}}, Same: true, Digest: theRoom}}},
	} {
		data, err := protocol.Marshal(&p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := frame.Decode[page](data)
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("%v: want ErrMalformed", err)
			}
			return
		}
		size := 0
		for i := range p.Parts {
			if p.Parts[i].has() == 0 {
				t.Error("a part without content")
			}
			size += p.Parts[i].size()
		}
		if len(data) > size+64 {
			t.Errorf("%d bytes, which the size of the parts puts at %d", len(data), size)
		}
	})
}
