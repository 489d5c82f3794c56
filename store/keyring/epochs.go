package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
)

// Limits of epochs.
const (
	MaxRooms      = 1024    // rooms of which identities are held
	MaxRoomEpochs = 4096    // identities of one room
	MaxEpochs     = 1 << 15 // identities of all rooms

	maxEpochsFile = 8 << 20 // bytes; the greatest number takes 4 MiB
	maxSecret     = 200     // bytes of the text of an identity; it has some 80
	maxParsed     = 512     // identities that are kept ready for use; each takes some 10 KiB
)

// Errors of epochs.
var (
	// ErrNoEpoch says that the identity of an epoch is not held.
	ErrNoEpoch = errors.New("the identity of the epoch is not held")
	// ErrManyEpochs says that no room is left for another identity. Nothing was changed.
	ErrManyEpochs = errors.New("too many identities of epochs are held: destroy those of which no message is kept")
)

const (
	epochsKey           = "epochs.key"
	epochsRecordVersion = 1
)

// An EpochKey is the identity of an epoch of a room.
type EpochKey struct {
	Room     protocol.Hash
	ID       protocol.Hash // of the epoch's record
	Identity seal.Identity
	Until    time.Time // when the epoch is no longer sent to, to the second; what was sealed to it still opens
}

// An epochsRecord is what epochs.key holds.
type epochsRecord struct {
	Version uint64       `cbor:"1,keyasint"`
	Rooms   []roomEpochs `cbor:"2,keyasint,omitempty"` // ascending
}

type roomEpochs struct {
	Room   protocol.Hash `cbor:"1,keyasint"`
	Epochs []epochSecret `cbor:"2,keyasint"` // ascending by id
}

type epochSecret struct {
	ID     protocol.Hash `cbor:"1,keyasint"`
	Secret []byte        `cbor:"2,keyasint"` // text of the identity
	Until  int64         `cbor:"3,keyasint"` // Unix seconds
}

// epochs are the identities that a ring holds: as text, and those in use parsed.
type epochs struct {
	writing sync.Mutex // held by who changes them, until the file is written; taken before mu

	mu     sync.Mutex
	closed bool
	rooms  map[protocol.Hash][]epochSecret // ascending by id; neither map nor lists are written to, only replaced
	room   map[protocol.Hash]protocol.Hash // of an epoch
	parsed map[protocol.Hash]seal.Identity
}

// PutEpochs keeps identities, durably and all or none of them. One that is held already is passed over; another identity for the
// same epoch is refused. The caller has compared them with the recipients of their epochs ([Ring.OpenGrant]). ErrManyEpochs beyond
// the limits.
func (r *Ring) PutEpochs(es ...EpochKey) error {
	return r.changeEpochs(func(rooms map[protocol.Hash][]epochSecret, room map[protocol.Hash]protocol.Hash) (bool, error) {
		changed := false
		for _, e := range es {
			if e.Room.IsZero() || e.ID.IsZero() || e.Identity.IsZero() || e.Identity.Plugin() != "" {
				return false, errors.New("keeping an epoch: its room, its id or its identity is missing")
			}
			s := epochSecret{ID: e.ID, Secret: []byte(e.Identity.Secret()), Until: e.Until.Unix()}
			of, held := room[e.ID]
			list := rooms[e.Room]
			i, found := findEpoch(list, e.ID)
			switch {
			case held && of != e.Room, found && !bytes.Equal(list[i].Secret, s.Secret):
				return false, fmt.Errorf("keeping epoch %s: it is held with another identity or room", e.ID.Short())
			case found:
				continue
			case len(room) >= MaxEpochs, len(list) >= MaxRoomEpochs, list == nil && len(rooms) >= MaxRooms:
				return false, ErrManyEpochs
			}
			rooms[e.Room] = slices.Insert(slices.Clone(list), i, s)
			room[e.ID] = e.Room
			changed = true
		}
		return changed, nil
	})
}

// DestroyEpochs forgets identities, durably: what is sealed to them alone cannot be opened any more (see the package's note on
// older copies). Those that are not held are passed over.
func (r *Ring) DestroyEpochs(ids ...protocol.Hash) error {
	return r.changeEpochs(func(rooms map[protocol.Hash][]epochSecret, room map[protocol.Hash]protocol.Hash) (bool, error) {
		changed := false
		for _, id := range ids {
			of, held := room[id]
			if !held {
				continue
			}
			list := rooms[of]
			i, _ := findEpoch(list, id)
			if list = slices.Delete(slices.Clone(list), i, i+1); len(list) == 0 {
				delete(rooms, of)
			} else {
				rooms[of] = list
			}
			delete(room, id)
			changed = true
		}
		return changed, nil
	})
}

// changeEpochs changes a copy of what is held, writes it, and only then puts it in place.
func (r *Ring) changeEpochs(change func(rooms map[protocol.Hash][]epochSecret, room map[protocol.Hash]protocol.Hash) (bool, error)) error {
	ep := &r.epochs
	ep.writing.Lock()
	defer ep.writing.Unlock()
	if ep.closed { // written under both locks
		return ErrClosed
	}
	rooms, room := maps.Clone(ep.rooms), maps.Clone(ep.room)
	changed, err := change(rooms, room)
	if err != nil || !changed {
		return err
	}
	if err := r.writeEpochs(rooms); err != nil {
		return fmt.Errorf("keeping the identities of epochs: %w", err)
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for _, list := range ep.rooms {
		for _, s := range list {
			if _, kept := room[s.ID]; !kept {
				clear(s.Secret)
				delete(ep.parsed, s.ID)
			}
		}
	}
	ep.rooms, ep.room = rooms, room
	return nil
}

func findEpoch(list []epochSecret, id protocol.Hash) (int, bool) {
	return slices.BinarySearchFunc(list, id, func(s epochSecret, id protocol.Hash) int { return bytes.Compare(s.ID[:], id[:]) })
}

// Epoch returns an identity that is held.
func (r *Ring) Epoch(id protocol.Hash) (EpochKey, bool) {
	e, err := r.epochs.find(id)
	return e, err == nil
}

// Epochs returns the epochs of a room whose identities are held, ascending by id.
func (r *Ring) Epochs(room protocol.Hash) []protocol.Hash {
	ep := &r.epochs
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ids := make([]protocol.Hash, len(ep.rooms[room]))
	for i, s := range ep.rooms[room] {
		ids[i] = s.ID
	}
	return ids
}

// HasEpoch reports whether the identity of an epoch is held.
func (r *Ring) HasEpoch(id protocol.Hash) bool {
	ep := &r.epochs
	ep.mu.Lock()
	defer ep.mu.Unlock()
	_, ok := ep.room[id]
	return ok
}

// OpenEpoch returns the content of a file of seal.SealSmall that is sealed to an epoch. Errors to tell apart: ErrNoEpoch, ErrClosed,
// and those of seal.OpenSmall.
func (r *Ring) OpenEpoch(id protocol.Hash, file []byte) ([]byte, error) {
	e, err := r.epochs.find(id)
	if err != nil {
		return nil, err
	}
	return seal.OpenSmall(file, e.Identity)
}

// OpenGrant returns the identity in a file that was sealed to this node by seal.SealIdentity; announced is the recipient of the
// epoch. The errors are those of seal.OpenIdentity, and ErrClosed.
func (r *Ring) OpenGrant(file []byte, announced string) (seal.Identity, error) {
	ids, err := r.openers()
	if err != nil {
		return seal.Identity{}, err
	}
	return seal.OpenIdentity(file, announced, ids...)
}

// find returns an identity that is held, and keeps it parsed.
func (ep *epochs) find(id protocol.Hash) (EpochKey, error) {
	e, text, err := ep.look(id)
	if err != nil || !e.Identity.IsZero() {
		return e, err
	}
	if e.Identity, err = seal.ParseIdentity(text); err != nil {
		return EpochKey{}, err
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if _, held := ep.room[id]; !held { // destroyed meanwhile
		return EpochKey{}, ErrNoEpoch
	}
	for other := range ep.parsed { // any
		if len(ep.parsed) < maxParsed {
			break
		}
		delete(ep.parsed, other)
	}
	ep.parsed[id] = e.Identity
	return e, nil
}

// look returns an identity that is held: parsed, or as text.
func (ep *epochs) look(id protocol.Hash) (e EpochKey, text string, err error) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	room, held := ep.room[id]
	switch {
	case ep.closed:
		return e, "", ErrClosed
	case !held:
		return e, "", ErrNoEpoch
	}
	i, _ := findEpoch(ep.rooms[room], id)
	s := ep.rooms[room][i]
	return EpochKey{Room: room, ID: id, Identity: ep.parsed[id], Until: time.Unix(s.Until, 0)}, string(s.Secret), nil
}

// close forgets the identities.
func (ep *epochs) close() {
	ep.writing.Lock()
	defer ep.writing.Unlock()
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for _, list := range ep.rooms {
		for _, s := range list {
			clear(s.Secret)
		}
	}
	ep.closed, ep.rooms, ep.room, ep.parsed = true, nil, nil, nil
}

// recordOf returns what is written of the identities.
func recordOf(rooms map[protocol.Hash][]epochSecret) *epochsRecord {
	rec := &epochsRecord{Version: epochsRecordVersion}
	for _, room := range slices.SortedFunc(maps.Keys(rooms), func(a, b protocol.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		rec.Rooms = append(rec.Rooms, roomEpochs{room, rooms[room]})
	}
	return rec
}

func (r *Ring) writeEpochs(rooms map[protocol.Hash][]epochSecret) error {
	plain, err := protocol.Marshal(recordOf(rooms))
	if err != nil {
		return err
	}
	defer clear(plain)
	var b bytes.Buffer
	w, err := seal.Seal(&b, r.to)
	if err != nil {
		return err
	}
	if _, err := w.Write(plain); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return r.dir.replace(epochsKey, b.Bytes())
}

// loadEpochs reads the identities with the unlock identity.
func (r *Ring) loadEpochs(unlock seal.Identity) error {
	r.epochs.adopt(&epochsRecord{})
	file, err := r.dir.readMax(epochsKey, maxEpochsFile)
	if errors.Is(err, ErrNoKey) {
		return nil
	}
	if err != nil {
		return err
	}
	var plain []byte
	from, err := seal.Open(bytes.NewReader(file), unlock)
	if err == nil {
		plain, err = io.ReadAll(from) // no more than the file has
	}
	defer clear(plain)
	if errors.Is(err, seal.ErrNotRecipient) {
		err = ErrWrongUnlock
	}
	if err == nil {
		err = r.readEpochs(plain)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; without this file the node works, and other members grant it what was in it", r.dir.file(epochsKey), err)
	}
	return nil
}

// readEpochs takes in an encoded record.
func (r *Ring) readEpochs(plain []byte) error {
	var rec epochsRecord
	if err := protocol.Unmarshal(plain, &rec); err != nil {
		return errors.New("this version cannot read it; a newer one may have written it")
	}
	if err := rec.check(); err != nil {
		return err
	}
	r.epochs.adopt(&rec)
	return nil
}

func (rec *epochsRecord) check() error {
	if rec.Version != epochsRecordVersion {
		return fmt.Errorf("version %d: this program reads version %d", rec.Version, epochsRecordVersion)
	}
	n := 0
	seen := map[protocol.Hash]bool{}
	for i, room := range rec.Rooms {
		if i > 0 && bytes.Compare(rec.Rooms[i-1].Room[:], room.Room[:]) >= 0 || len(room.Epochs) == 0 {
			return errors.New("rooms are out of order, or empty")
		}
		for j, s := range room.Epochs {
			if j > 0 && bytes.Compare(room.Epochs[j-1].ID[:], s.ID[:]) >= 0 || seen[s.ID] {
				return errors.New("epochs are out of order, or there twice")
			}
			if len(s.Secret) == 0 || len(s.Secret) > maxSecret {
				return errors.New("an identity is missing or too long")
			}
			seen[s.ID] = true
		}
		n = max(n, len(room.Epochs))
	}
	if len(rec.Rooms) > MaxRooms || n > MaxRoomEpochs || len(seen) > MaxEpochs {
		return errors.New("too many rooms or epochs")
	}
	return nil
}

// adopt puts a record in the place of what is held.
func (ep *epochs) adopt(rec *epochsRecord) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.rooms, ep.room, ep.parsed = map[protocol.Hash][]epochSecret{}, map[protocol.Hash]protocol.Hash{}, map[protocol.Hash]seal.Identity{}
	for _, room := range rec.Rooms {
		ep.rooms[room.Room] = room.Epochs
		for _, s := range room.Epochs {
			ep.room[s.ID] = room.Room
		}
	}
}

// ExportEpochs returns the identities of epochs in the clear, for a backup as [Ring.Export]. They are apart from the node's keys
// because they change often: a backup that lacks the newest is good, as other members grant them again.
func (r *Ring) ExportEpochs() ([]byte, error) {
	ep := &r.epochs
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.closed {
		return nil, ErrClosed
	}
	return protocol.Marshal(recordOf(ep.rooms))
}

// ImportEpochs takes in what [Ring.ExportEpochs] returned, into a ring that holds no epoch, durably.
func (r *Ring) ImportEpochs(record []byte) error {
	ep := &r.epochs
	ep.writing.Lock()
	defer ep.writing.Unlock()
	switch {
	case ep.closed:
		return ErrClosed
	case len(ep.room) > 0:
		return fmt.Errorf("identities of epochs: %w", ErrExists)
	}
	if err := r.readEpochs(record); err != nil {
		return fmt.Errorf("the identities of epochs in the backup: %w", err)
	}
	if err := r.writeEpochs(ep.rooms); err != nil {
		ep.adopt(&epochsRecord{})
		return fmt.Errorf("keeping the identities of epochs: %w", err)
	}
	return nil
}
