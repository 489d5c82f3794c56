package node

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/store/keyring"
)

// Fsck checks everything stored, and with repair removes what is damaged, so that it is fetched again from peers. progress
// gets the number of values seen; it may be nil.
func (n *Node) Fsck(ctx context.Context, repair bool, progress func(values uint64)) (*store.Report, error) {
	return n.st.Fsck(ctx, store.FsckOptions{
		Repair:   repair,
		Progress: progress,
		Lookup: func(k protocol.KID) (protocol.PublicKey, bool) {
			n.mu.RLock()
			defer n.mu.RUnlock()
			info, ok := n.book.Node(k)
			return info.Node.Key, ok
		},
	})
}

// A backup is a tar stream: config.json, the files of root, officer and operator keys as they are (sealed), the disclosure log,
// the identities of epochs, the node's keys, and the store in pieces. It holds secrets in the clear: who makes one seals it. The guard file is left out on purpose, so that
// a restored node knows that it was restored.
const (
	backupConfig = "config.json"
	backupEpochs = "epochs.record"
	backupNode   = "node.record"
	backupAudit  = "audit/"
	backupPiece  = 1 << 20
	backupRecord = 16 << 20 // bytes of any but a piece
)

var backupKeyFile = regexp.MustCompile(`^keys/(root|officer-[^/]+|operator-[^/]+)\.(key|pub)$`)

// Backup writes the whole home as a stream of secrets that the caller seals.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	tw := tar.NewWriter(w)
	put := func(name string, b []byte) error {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := tw.Write(b)
		return err
	}
	config, err := os.ReadFile(configPath(n.cfg.Home))
	if err != nil {
		return err
	}
	if err := put(backupConfig, config); err != nil {
		return err
	}
	files, err := os.ReadDir(KeysDir(n.cfg.Home))
	if err != nil {
		return err
	}
	for _, f := range files {
		name := "keys/" + f.Name()
		if !backupKeyFile.MatchString(name) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(n.cfg.Home, name))
		if err != nil {
			return err
		}
		if err := put(name, b); err != nil {
			return err
		}
	}
	epochs, err := n.ring.ExportEpochs()
	if err != nil {
		return err
	}
	defer clear(epochs)
	if err := put(backupEpochs, epochs); err != nil {
		return err
	}
	record, err := n.ring.Export()
	if err != nil {
		return err
	}
	defer clear(record)
	if err := put(backupNode, record); err != nil {
		return err
	}
	pieces := &pieceWriter{put: put}
	if err := n.st.Backup(ctx, pieces); err != nil {
		return err
	}
	if err := pieces.flush(); err != nil {
		return err
	}
	after, err := n.ring.Export()
	if err != nil {
		return err
	}
	defer clear(after)
	if !bytes.Equal(record, after) {
		return errors.New("the node's keys changed while the backup was made, so that it may lack one: make it again")
	}
	if err := n.backupAudit(tw); err != nil { // last: a record of what is not in the store does no harm
		return err
	}
	return tw.Close()
}

// backupAudit copies the files of the disclosure log, its checkpoint first: what is appended meanwhile comes after it.
func (n *Node) backupAudit(tw *tar.Writer) error {
	for _, name := range auditFiles {
		f, err := os.Open(filepath.Join(auditDir(n.cfg.Home), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = func() error {
			defer f.Close()
			fi, err := f.Stat()
			if err != nil {
				return err
			}
			if err := tw.WriteHeader(&tar.Header{Name: backupAudit + name, Mode: 0o600, Size: fi.Size(), Format: tar.FormatPAX}); err != nil {
				return err
			}
			_, err = io.CopyN(tw, f, fi.Size())
			return err
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreAudit writes the files of the disclosure log, which come after the store's pieces.
func restoreAudit(home string, pieces *pieceReader) error {
	for {
		h, err := pieces.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(h.Name, backupAudit)
		if !ok || !slices.Contains(auditFiles, name) {
			return fmt.Errorf("it holds %.60q, which this version does not know", h.Name)
		}
		if err := os.MkdirAll(auditDir(home), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(auditDir(home), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, pieces.tr)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
}

// A pieceWriter cuts a stream of unknown length into tar entries.
type pieceWriter struct {
	put func(string, []byte) error
	buf bytes.Buffer
	n   int
}

func (p *pieceWriter) Write(b []byte) (int, error) {
	p.buf.Write(b)
	for p.buf.Len() >= backupPiece {
		if err := p.emit(p.buf.Next(backupPiece)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (p *pieceWriter) flush() error { return p.emit(p.buf.Bytes()) }

func (p *pieceWriter) emit(b []byte) error {
	p.n++
	return p.put(fmt.Sprintf("store.%08d", p.n-1), b)
}

// Restore makes the home anew from a backup's stream, which the caller has opened. The home must not hold a team. Nothing is
// left of a restore that fails. The restored node does not sign until an officer certified a new node key; a new unlock
// secret is written to unlockFile.
func Restore(ctx context.Context, home, unlockFile string, r io.Reader) (team protocol.TeamID, err error) {
	if err := vacant(home); err != nil {
		return team, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return team, err
	}
	var undo []string
	defer func() {
		if err != nil {
			for _, p := range undo {
				_ = os.RemoveAll(p)
			}
		}
	}()
	unlock, err := keyring.CreateUnlockFile(unlockFile)
	if err != nil {
		return team, err
	}
	keys, storeDir := KeysDir(home), filepath.Join(home, "store")
	undo = append(undo, unlockFile, keys, storeDir, auditDir(home))
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return team, err
	}
	tr := tar.NewReader(r)
	var cfg Config
	var ring *keyring.Ring
	var epochs []byte
	for ring == nil {
		h, err := tr.Next()
		if err != nil {
			return team, damagedBackup(err)
		}
		b, err := io.ReadAll(io.LimitReader(tr, backupRecord))
		if err != nil {
			return team, damagedBackup(err)
		}
		switch {
		case h.Name == backupConfig:
			tmp := filepath.Join(home, "config.json.restoring")
			undo = append(undo, tmp)
			if err := os.WriteFile(tmp, b, 0o600); err != nil {
				return team, err
			}
			if cfg, err = loadConfig(tmp); err != nil {
				return team, err
			}
			cfg.Home = home
		case backupKeyFile.MatchString(h.Name) && !strings.Contains(h.Name, ".."):
			if err := os.WriteFile(filepath.Join(home, filepath.FromSlash(h.Name)), b, 0o600); err != nil {
				return team, err
			}
		case h.Name == backupEpochs:
			epochs = b
		case h.Name == backupNode:
			if ring, err = keyring.Import(keys, unlock, b); err != nil {
				return team, err
			}
			clear(b)
			if epochs != nil {
				if err := ring.ImportEpochs(epochs); err != nil {
					return team, errors.Join(err, ring.Close())
				}
				clear(epochs)
			}
		default:
			return team, damagedBackup(fmt.Errorf("it holds %.60q, which this version does not know", h.Name))
		}
	}
	defer ring.Close()
	if cfg.Team.IsZero() {
		return team, damagedBackup(errors.New("it does not say whose it is"))
	}
	cfg.Now = time.Now
	st, err := openStore(cfg, ring)
	if err != nil {
		return team, err
	}
	pieces := &pieceReader{tr: tr}
	if err := st.Load(ctx, pieces); err != nil {
		return team, errors.Join(damagedBackup(err), st.Close())
	}
	if err := st.Close(); err != nil {
		return team, err
	}
	if err := restoreAudit(home, pieces); err != nil {
		return team, damagedBackup(err)
	}
	if err := noteRestore(cfg, ring); err != nil {
		return team, err
	}
	if err := cfg.Save(); err != nil {
		return team, err
	}
	return cfg.Team, os.Remove(filepath.Join(home, "config.json.restoring"))
}

// noteRestore says in the disclosure log that it goes on from a backup: what was logged after that is not in it.
func noteRestore(cfg Config, ring *keyring.Ring) error {
	n := &Node{cfg: cfg, ring: ring, now: cfg.Now, log: slog.New(slog.DiscardHandler)}
	if err := n.openAudit(); err != nil {
		return err
	}
	err := n.record(audit.Record{Time: cfg.Now(), Actor: actor, Action: "restore", Allowed: true, Rule: "restore",
		Reason: "this log was restored from a backup; what was logged after the backup is not in it"})
	return errors.Join(err, n.closeAudit())
}

func damagedBackup(err error) error {
	return fmt.Errorf("the backup is damaged or not whole; nothing was restored: %w", err)
}

// A pieceReader reads the stream that a pieceWriter cut.
type pieceReader struct {
	tr    *tar.Reader
	n     int
	in    bool
	after *tar.Header // what comes after the pieces, once it was met
}

// next returns the entry after the pieces, and then those that follow.
func (p *pieceReader) next() (*tar.Header, error) {
	if h := p.after; h != nil {
		p.after = nil
		return h, nil
	}
	return p.tr.Next()
}

func (p *pieceReader) Read(b []byte) (int, error) {
	for {
		if p.in {
			n, err := p.tr.Read(b)
			if err != io.EOF {
				return n, err
			}
			p.in = false // a piece ends, not the stream
			if n > 0 {
				return n, nil
			}
		}
		h, err := p.tr.Next()
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(h.Name, backupAudit) {
			p.after = h
			return 0, io.EOF
		}
		if h.Name != fmt.Sprintf("store.%08d", p.n) {
			return 0, fmt.Errorf("piece %d of the store is missing", p.n)
		}
		p.n++
		p.in = true
	}
}
