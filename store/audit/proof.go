package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof says that a proof does not show what it should.
var ErrProof = errors.New("the proof does not hold")

// Limits of a proof.
const (
	MaxProof = 32 << 10 // bytes

	maxPath = 64 // hashes
)

const proofMagic = "c2sp.org/tlog-proof@v1"

// A Proven is what a proof shows: the holder of the key signed that the log of this origin has this entry.
type Proven struct {
	Origin string // who reads a proof compares it with the one that he expects
	Size   uint64 // of the tree that was signed
	Entry
}

// Prove returns a text that shows to everyone with the log's public key that the log has the record: a proof by
// c2sp.org/tlog-proof, whose extra data are the salt and the record. Nothing of other records can be learned from it.
func (l *Log) Prove(index uint64) ([]byte, error) {
	if index >= l.Size() {
		return nil, fmt.Errorf("%w: %d", ErrNoRecord, index)
	}
	cp := l.checkpoint()
	if index >= cp.size {
		if _, err := l.Checkpoint(); err != nil {
			return nil, err
		}
		cp = l.checkpoint()
	}
	if index >= cp.size {
		return nil, fmt.Errorf("record %d is not in a checkpoint yet", index)
	}
	slot := make([]byte, slotSize)
	if err := l.readSlots(slot, index); err != nil {
		return nil, err
	}
	o, _, _, err := l.sealer.read(slot, index)
	if errors.Is(err, errErased) {
		return nil, fmt.Errorf("%w: %d", ErrErased, index)
	}
	if err != nil {
		return nil, &Fault{index, err.Error()}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	path, err := tlog.ProveRecord(int64(cp.size), int64(index), &l.hashes)
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(path, int64(cp.size), cp.root, int64(index), o.leaf()); err != nil {
		return nil, &Fault{index, "it is not what the checkpoint was made of"}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofMagic, base64.StdEncoding.EncodeToString(o.bytes()), index)
	writePath(&b, path, cp)
	return b.Bytes(), nil
}

func (l *Log) checkpoint() *checkpoint {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// writePath writes hashes, an empty line, and the checkpoint as it is.
func writePath(b *bytes.Buffer, path []tlog.Hash, cp *checkpoint) {
	for _, h := range path {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n")
	b.Write(cp.text)
}

// VerifyProof checks the text of Prove. Every error matches ErrProof.
func VerifyProof(text []byte, key ed25519.PublicKey) (*Proven, error) {
	p, err := verifyProof(text, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProof, err)
	}
	return p, nil
}

func verifyProof(text []byte, key ed25519.PublicKey) (*Proven, error) {
	lines, path, cp, err := splitProof(text, 3, key)
	if err != nil {
		return nil, err
	}
	extra, okExtra := strings.CutPrefix(lines[1], "extra ")
	number, okIndex := strings.CutPrefix(lines[2], "index ")
	if lines[0] != proofMagic || !okExtra || !okIndex {
		return nil, errors.New("it is none of a record with its opening")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(extra)
	if err != nil {
		return nil, errors.New("the record is not in base64")
	}
	o, w, err := parseOpening(raw)
	if err != nil {
		return nil, err
	}
	index, err := parseUint(number)
	if err != nil || index >= cp.size {
		return nil, errors.New("the number of the record is none of the tree")
	}
	if err := tlog.CheckRecord(path, int64(cp.size), cp.root, int64(index), o.leaf()); err != nil {
		return nil, errors.New("the record is not at this place in the tree")
	}
	return &Proven{Origin: cp.origin, Size: cp.size, Entry: Entry{Index: index, Record: w.record()}}, nil
}

// splitProof takes a text apart: some lines, a path, an empty line, a checkpoint.
func splitProof(text []byte, head int, key ed25519.PublicKey) (lines []string, path []tlog.Hash, cp *checkpoint, err error) {
	if len(text) > MaxProof {
		return nil, nil, nil, fmt.Errorf("it has more than %d bytes", MaxProof)
	}
	top, note, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return nil, nil, nil, errors.New("it has no checkpoint")
	}
	lines = strings.Split(top, "\n")
	if len(lines) < head || len(lines) > head+maxPath {
		return nil, nil, nil, errors.New("it has too few or too many lines")
	}
	for _, s := range lines[head:] {
		h, err := parseHash(s)
		if err != nil {
			return nil, nil, nil, errors.New("a hash is malformed")
		}
		path = append(path, h)
	}
	cp, err = parseCheckpoint([]byte(note), key)
	return lines[:head], path, cp, err
}

// Extends checks that this log is the one that an earlier checkpoint was made of, and only grew since. The caller kept the
// text elsewhere, or has it from another: this finds even a log that was set back as a whole.
func (l *Log) Extends(old []byte) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, err := l.extends(old, l.size)
	return err
}

// extends returns the old checkpoint if the tree with size leaves goes on from it.
func (l *Log) extends(old []byte, size uint64) (*checkpoint, error) {
	cp, err := parseCheckpoint(old, l.public)
	if err != nil {
		return nil, err
	}
	if _, ok := generation(cp.origin, l.base); !ok {
		return nil, fmt.Errorf("the checkpoint is of the log %.80q", cp.origin)
	}
	if cp.size > size {
		return nil, fmt.Errorf("%w: another checkpoint of it counts %d records, it holds %d: it was cut or restored", ErrTampered, cp.size, size)
	}
	root, err := tlog.TreeHash(int64(cp.size), &l.hashes)
	if err != nil {
		return nil, err
	}
	if root != cp.root {
		return nil, fmt.Errorf("%w: another checkpoint of it has other records among the first %d", ErrTampered, cp.size)
	}
	return cp, nil
}

// ProveExtends returns a text that shows that the last checkpoint goes on from an old one: the request of
// c2sp.org/tlog-witness. The log makes no checkpoint for it.
func (l *Log) ProveExtends(old []byte) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	from, err := l.extends(old, l.last.size)
	if err != nil {
		return nil, err
	}
	var path tlog.TreeProof
	if from.size > 0 {
		if path, err = tlog.ProveTree(int64(l.last.size), int64(from.size), &l.hashes); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", from.size)
	writePath(&b, path, l.last)
	return b.Bytes(), nil
}

// VerifyExtends checks the text of ProveExtends for an old checkpoint. Every error matches ErrProof. The origins must be
// the same: after a break a log counts as another.
func VerifyExtends(old, text []byte, key ed25519.PublicKey) error {
	if err := verifyExtends(old, text, key); err != nil {
		return fmt.Errorf("%w: %v", ErrProof, err)
	}
	return nil
}

func verifyExtends(old, text []byte, key ed25519.PublicKey) error {
	from, err := parseCheckpoint(old, key)
	if err != nil {
		return err
	}
	lines, path, to, err := splitProof(text, 1, key)
	if err != nil {
		return err
	}
	if from.origin != to.origin {
		return errors.New("the checkpoints are of different logs")
	}
	if lines[0] != "old "+strconv.FormatUint(from.size, 10) {
		return errors.New("it is not for this old checkpoint")
	}
	if from.size == 0 {
		if from.root != emptyRoot || len(path) != 0 {
			return errors.New("the old checkpoint is none of an empty tree")
		}
		return nil
	}
	if from.size > to.size {
		return errors.New("the new checkpoint is older than the old one")
	}
	if err := tlog.CheckTree(path, int64(to.size), to.root, int64(from.size), from.root); err != nil {
		return errors.New("the new tree does not go on from the old one")
	}
	return nil
}
