package nodetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/entente-network/entente/protocol/seal"
)

// lengths checks that no ciphertext tells more of its size than Padmé lets it, nor how many persons it is for.
func (o *oracle) lengths() {
	for h, f := range o.files {
		if slices.ContainsFunc(o.w.carried, func(b []byte) bool { return bytes.Equal(b, f) }) {
			continue // whoever carries a bundle sees its size
		}
		if o.reached[h] == nil {
			continue // of an adversary's making, or cut
		}
		if err := checkLength(f); err != nil {
			o.w.fault("length", "a ciphertext of %d bytes: %v", len(f), err)
		}
	}
}

// checkLength checks the size of an age file by its form alone: the header ends with its MAC; then a nonce of 16 bytes and
// chunks of 64 KiB with a tag of 16 bytes each.
func checkLength(f []byte) error {
	i := bytes.Index(f, []byte("\n--- "))
	if i < 0 {
		return errors.New("no header")
	}
	end := bytes.IndexByte(f[i+1:], '\n')
	if end < 0 {
		return errors.New("no end of the header")
	}
	stanzas := bytes.Count(f[:i], []byte("\n-> "))
	if stanzas < 1 || stanzas&(stanzas-1) != 0 || stanzas > seal.MaxTo {
		return fmt.Errorf("%d stanzas", stanzas)
	}
	const chunk = 64<<10 + 16
	n := len(f) - (i + 1 + end + 1) - 16
	n -= 16 * ((n + chunk - 1) / chunk)
	if p := seal.PaddedSize(uint64(n)); n < seal.MinPadded || p != uint64(n) {
		return fmt.Errorf("%d bytes of content, which Padmé never gives", n)
	}
	return nil
}
