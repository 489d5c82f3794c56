package node

import (
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/keyring"
)

// storeKeys hands the ring's ciphers to the store, which knows no ring.
type storeKeys struct{ ring *keyring.Ring }

func (k storeKeys) Local() store.Cipher { return k.ring.Local() }
func (k storeKeys) BadgerKey() [32]byte { return k.ring.BadgerKey() }

func (k storeKeys) Audience(tag protocol.Hash) (store.Cipher, error) {
	c, err := k.ring.Audience(tag)
	if err != nil {
		return nil, err
	}
	return c, nil
}
