package nodetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store/keyring"
)

// Certifies lets the team's officer sign the next manifest, changed as wanted, and whatever else is given; and takes it in
// at the team's node, which spreads it.
func (t *Team) Certifies(change func(m *protocol.Manifest), more ...protocol.Record) {
	t.w.T.Helper()
	if err := t.Node.AddOwnRecords(t.signed(change, more...)); err != nil {
		t.w.T.Fatalf("%s takes in its own records: %v", t.Name, err)
	}
}

func (t *Team) signed(change func(m *protocol.Manifest), more ...protocol.Record) (es []*protocol.Envelope) {
	t.w.T.Helper()
	own := t.Node.OwnRecords()
	m := *own.Manifest
	m.Nodes, m.Revoked = slices.Clone(m.Nodes), slices.Clone(m.Revoked)
	now := time.Now().Add(t.Ahead())
	m.Version, m.Prev, m.Issued, m.Expires = m.Version+1, own.ManifestID, uint64(now.Unix()), uint64(now.Add(node.ManifestLife).Unix())
	if change != nil {
		change(&m)
	}
	officer := t.Officer()
	for _, r := range append([]protocol.Record{&m}, more...) {
		e, err := protocol.Sign(r, officer)
		if err != nil {
			t.w.T.Fatalf("%s: an officer signs: %v", t.Name, err)
		}
		es = append(es, e)
	}
	return es
}

// Revoke moves a node of a manifest to those revoked.
func Revoke(m *protocol.Manifest, k protocol.KID, why string) {
	m.Nodes = slices.DeleteFunc(m.Nodes, func(n protocol.Node) bool {
		if n.Key.ID() != k {
			return false
		}
		m.Revoked = append(m.Revoked, protocol.Revoked{Node: n, At: m.Issued, Why: why})
		return true
	})
}

// CopyTo copies the home of the team, whose node must be stopped, to a new place: what a thief, a restored disk or a cloned
// machine has. The copy is not started.
func (t *Team) CopyTo(name string) *Team {
	t.w.T.Helper()
	if t.Node != nil {
		t.w.T.Fatalf("the home of %s is in use", t.Name)
	}
	if t.w.used == t.w.Size() {
		t.w.T.Fatalf("no place is left for %s", name)
	}
	c := &Team{Name: name, ID: t.ID, Words: t.Words, Home: filepath.Join(filepath.Dir(t.Home), name), w: t.w, place: t.w.used,
		kids: map[protocol.KID]bool{}, staff: slices.Clone(t.staff)}
	t.w.used++
	t.w.teams = append(t.w.teams, c)
	if err := copyDir(c.Home, t.Home, func(string) bool { return true }); err != nil {
		t.w.T.Fatalf("copying the home of %s: %v", t.Name, err)
	}
	return c
}

// Moves makes the team's node, which must be stopped, tell others another address from its next start on.
func (t *Team) Moves(addr string) {
	t.w.T.Helper()
	cfg, err := node.LoadConfig(t.Home)
	if err == nil {
		cfg.Advertise = []string{addr}
		err = cfg.Save()
	}
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
}

// CrashesOnDisk ends the team's node so that its disk holds what it held at this moment, as after a failure of the power:
// nothing was closed in good order.
func (t *Team) CrashesOnDisk() {
	t.w.T.Helper()
	image := t.Home + ".image"
	// The value log last: what points into it must find there what it points to, as after a real loss of power.
	valueLog := func(name string) bool { return filepath.Ext(name) == ".vlog" }
	err := errors.Join(copyDir(image, t.Home, func(name string) bool { return !valueLog(name) }), copyDir(image, t.Home, valueLog))
	t.Crashes()
	if err == nil {
		err = os.RemoveAll(t.Home)
	}
	if err == nil {
		err = os.Rename(image, t.Home)
	}
	if err != nil {
		t.w.T.Fatalf("%s: keeping the image of its disk: %v", t.Name, err)
	}
}

// copyDir copies the files of names that are wanted, with their permissions, which the keyring insists on.
func copyDir(to, from string, wanted func(name string) bool) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, info.Mode().Perm())
		}
		if !wanted(d.Name()) {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(dst, b, info.Mode().Perm())
	})
}

// TwoRoots returns two root records that follow on the team's present one and contradict each other: what a thief of the root
// key, or a team with two minds, has signed.
func (t *Team) TwoRoots() (raws [][]byte) {
	t.w.T.Helper()
	own := t.Node.OwnRecords()
	key, err := keyring.OpenRoot(node.KeysDir(t.Home), Passphrase)
	if err != nil {
		t.w.T.Fatalf("%s: %v", t.Name, err)
	}
	for _, why := range []string{"one story", "another story"} {
		r := *own.Root
		r.Team, r.N, r.Prev, r.Path, r.Reason = t.ID, own.Root.N+1, own.RootID, protocol.PathRoot, why
		r.Issued, r.Reveal = uint64(t.now().Unix()), nil
		e, err := protocol.Sign(&r, key)
		if err != nil {
			t.w.T.Fatalf("%s: %v", t.Name, err)
		}
		raws = append(raws, e.Encode())
	}
	return raws
}
