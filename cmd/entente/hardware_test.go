package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"
	"filippo.io/hpke"
)

// testPlugin is the name of a plugin of age that the scripts use in place of a hardware key.
const testPlugin = "ententetest"

// hardwareKey is the key in the hardware that a seed stands for.
func hardwareKey(seed []byte) hpke.PrivateKey {
	k, err := hpke.MLKEM768P256().DeriveKeyPair(seed)
	if err != nil {
		panic(err)
	}
	return k
}

// writeHardwareIdentity prints the identity file of a hardware key, as a plugin's own program does.
func writeHardwareIdentity() {
	seed := make([]byte, 32)
	fmt.Printf("# public key: %s\n%s\n", plugin.EncodeRecipient("tagpq", hardwareKey(seed).PublicKey().Bytes()), plugin.EncodeIdentity(testPlugin, seed))
}

// servePlugin is age-plugin-ententetest.
func servePlugin() {
	p, err := plugin.New(testPlugin)
	if err != nil {
		panic(err)
	}
	p.HandleIdentity(func(seed []byte) (age.Identity, error) { return softHardware{p, hardwareKey(seed)}, nil })
	os.Exit(p.Main())
}

// softHardware opens what is sealed to hardware, once a person typed 1234.
type softHardware struct {
	p *plugin.Plugin
	k hpke.PrivateKey
}

// Unwrap implements age.Identity.
func (h softHardware) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	r, err := tag.NewHybridRecipient(h.k.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	for _, s := range stanzas {
		if s.Type != "mlkem768p256tag" || len(s.Args) != 2 {
			continue
		}
		enc, err := base64.RawStdEncoding.DecodeString(s.Args[1])
		if err != nil {
			return nil, err
		}
		if want, err := r.Tag(enc); err != nil || base64.RawStdEncoding.EncodeToString(want) != s.Args[0] {
			continue
		}
		if pin, err := h.p.RequestValue("PIN", true); err != nil || pin != "1234" {
			return nil, errors.New("wrong PIN\x1b[2J")
		}
		open, err := hpke.NewRecipient(enc, h.k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("age-encryption.org/mlkem768p256tag"))
		if err != nil {
			return nil, err
		}
		return open.Open(nil, s.Body)
	}
	return nil, age.ErrIncorrectIdentity
}
