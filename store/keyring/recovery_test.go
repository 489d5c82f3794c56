package keyring

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tyler-smith/go-bip39"

	"github.com/entente-network/entente/protocol"
)

func TestRecovery(t *testing.T) {
	key, words, set, err := NewRecovery()
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Fields(words)
	if len(list) != RecoveryWords {
		t.Fatalf("got %d words", len(list))
	}
	var numbered strings.Builder
	for i, w := range list {
		fmt.Fprintf(&numbered, "%2d. %s\r\n", i+1, strings.ToUpper(w[:1])+w[1:])
	}
	for _, text := range []string{words, strings.ToUpper(words), " \t" + strings.ReplaceAll(words, " ", " \n ") + "\n",
		strings.Join(list, ", "), numbered.String()} {
		k, s, err := RecoveryFromWords(text)
		if err != nil {
			t.Errorf("%.40q: %v", text, err)
			continue
		}
		if !k.Public().Equal(key.Public()) || s.Commitment() != set.Commitment() {
			t.Errorf("%.40q: another key or set", text)
		}
	}
	if set.Threshold != 1 || len(set.Keys) != 1 || !set.Keys[0].Equal(key.Public()) || key.Public().Suite != protocol.Hybrid || set.Salt == [16]byte{} {
		t.Errorf("got set of %d keys, threshold %d", len(set.Keys), set.Threshold)
	}
	other, otherWords, otherSet, err := NewRecovery()
	if err != nil {
		t.Fatal(err)
	}
	if other.Public().Equal(key.Public()) || otherWords == words || otherSet.Salt == set.Salt {
		t.Error("two recovery keys share something")
	}

	// One letter wrong, in each place: the error says where, and repeats no word.
	for i := range list {
		bad := slices.Clone(list)
		bad[i] = "zz" + bad[i]
		_, _, err := RecoveryFromWords(strings.Join(bad, " "))
		if !errors.Is(err, ErrRecoveryWords) || !strings.Contains(err.Error(), fmt.Sprintf("word %d of 24", i+1)) {
			t.Errorf("word %d wrong: got %v", i+1, err)
		}
		if strings.Contains(err.Error(), bad[i]) {
			t.Errorf("the error repeats the word: %v", err)
		}
	}
	for _, bad := range [][]string{nil, list[:23], append(slices.Clone(list), list[0]), list[:12]} {
		if _, _, err := RecoveryFromWords(strings.Join(bad, " ")); !errors.Is(err, ErrRecoveryWords) {
			t.Errorf("%d words: got %v", len(bad), err)
		}
	}
}

// The checksum of 8 bits finds another word of the list or two swapped ones, but for one time in 256.
func TestRecoveryChecksum(t *testing.T) {
	entropy, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	words, err := bip39.NewMnemonic(entropy)
	if err != nil {
		t.Fatal(err)
	}
	list, missed, tried := strings.Fields(words), 0, 0
	for i := range list {
		for _, w := range bip39.GetWordList()[:64] {
			if w == list[i] {
				continue
			}
			bad := slices.Clone(list)
			bad[i] = w
			_, _, err := RecoveryFromWords(strings.Join(bad, " "))
			tried++
			if err == nil {
				missed++
			} else if !errors.Is(err, ErrRecoveryWords) || !strings.Contains(err.Error(), "does not fit") {
				t.Fatalf("got %v", err)
			}
		}
	}
	if missed == 0 || missed > tried/128 {
		t.Errorf("%d of %d changes were missed, want about 1 in 256", missed, tried)
	}
}

// Frozen: words on paper must give the same key for ever.
func TestRecoveryVector(t *testing.T) {
	words := strings.Repeat("abandon ", 23) + "art"
	k, set, err := RecoveryFromWords(words)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(set.Salt[:]), "935a96cad6e82aff4d84c5912c8149e0"; got != want {
		t.Errorf("salt: got %s, want %s", got, want)
	}
	if got, want := k.Public().ID().String(), "2e4d71598db92dffffd57104c94e1d6a"; got != want {
		t.Errorf("key: got %s, want %s", got, want)
	}
	if got, want := set.Commitment().String(), "7e065b16d04a7ce7770d1fafcdc2121bb46c0b7ab199382881a2e311889d703c"; got != want {
		t.Errorf("commitment: got %s, want %s", got, want)
	}
}
