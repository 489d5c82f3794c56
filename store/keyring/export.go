package keyring

import (
	"errors"
	"fmt"

	"github.com/entente-network/entente/protocol"
)

// Export returns the node's keys in the clear, former age identities and the key of the audit log included, for a backup that the
// caller seals at once. The caller clears the bytes. Keys
// that wait are left out: the node may use them after the backup was made, and a restored one must not do so too.
func (r *Ring) Export() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	rec := r.rec
	rec.Next = nil
	return protocol.Marshal(&rec)
}

// Import makes the keys of a node in dir from what [Ring.Export] returned, sealed to the unlock secret u, which must not be
// typed. ErrExists if a node is there. The data keys make the store readable; the signing key must be replaced
// ([Ring.ReplaceNode]), because more may have been signed with it after the export.
func Import(dir string, u Unlock, record []byte) (*Ring, error) {
	var rec nodeRecord
	if err := protocol.Unmarshal(record, &rec); err != nil {
		return nil, errors.New("the node's keys in the backup are damaged, or of a newer version")
	}
	if err := rec.check(); err != nil {
		return nil, fmt.Errorf("the node's keys in the backup: %w", err)
	}
	return start(createKeys, dir, u, "restoring the node's keys", func(r *Ring) error {
		if rec.Audit == [32]byte{} {
			rec.Audit = newKey()
		}
		return r.create(rec, 0)
	})
}
