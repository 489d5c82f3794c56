package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store/keyring"
)

// A Founding is what it takes to make a team: its name, its first officer, and where its first node listens.
type Founding struct {
	Home       string // made if missing; must hold no team
	Name       string // of the team
	Country    string // ISO 3166-1 alpha-2
	Officer    string // name of the first officer
	NodeName   string
	Listen     []string
	Advertise  []string
	Passphrase string // of the root and the officer key
	UnlockFile string // where the unlock secret goes; "": DefaultUnlockFile in the home
	WorkFactor int    // of the passphrase; 0: seal.DefaultWorkFactor
	// UnlockPassphrase, if not empty, stands in the place of an unlock file: a person types it whenever the node starts.
	UnlockPassphrase string
}

// Founded is what a new team has to know.
type Founded struct {
	Team          protocol.TeamID
	RecoveryWords string // kept nowhere: to be written down now
	RootFile      string // to be carried away
	UnlockFile    string // "" with a typed passphrase
}

// DefaultUnlockFile returns where a home's unlock secret lies if nobody moved it.
func DefaultUnlockFile(home string) string { return filepath.Join(home, "unlock") }

// KeysDir returns the directory of a home's keys.
func KeysDir(home string) string { return filepath.Join(home, "keys") }

// ManifestLife is for how long a team's manifest is signed.
const ManifestLife = protocol.MaxManifestLife - 24*time.Hour

// Found makes a team in an empty home: a 1-of-1 root, one officer, one node, and a sealed recovery key of which only the
// words exist. On an error nothing is left that looks like a team.
func Found(f Founding, now time.Time) (_ *Founded, err error) {
	if err := vacant(f.Home); err != nil {
		return nil, err
	}
	if f.Passphrase == "" {
		return nil, errors.New("the root and officer keys need a passphrase")
	}
	if f.NodeName == "" {
		f.NodeName = "node-1"
	}
	if f.Officer == "" {
		f.Officer = "officer-1"
	}
	if len(f.Listen) == 0 {
		f.Listen = DefaultListen()
	}
	if !protocol.IsCountry(f.Country) {
		return nil, fmt.Errorf("country %.10q: want two capital letters (ISO 3166-1), such as AT", f.Country)
	}
	if err := os.MkdirAll(f.Home, 0o700); err != nil {
		return nil, err
	}
	keys := KeysDir(f.Home)
	made := &Founded{RootFile: filepath.Join(keys, "root.key"), UnlockFile: f.UnlockFile}
	if made.UnlockFile == "" {
		made.UnlockFile = DefaultUnlockFile(f.Home)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(keys)
			_ = os.RemoveAll(filepath.Join(f.Home, "store"))
			_ = os.Remove(filepath.Join(f.Home, "heads"))
			_ = os.Remove(configPath(f.Home))
		}
	}()
	var unlock keyring.Unlock
	if f.UnlockPassphrase != "" {
		unlock, made.UnlockFile = keyring.UnlockPassphrase(f.UnlockPassphrase), ""
	} else {
		if unlock, err = keyring.CreateUnlockFile(made.UnlockFile); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				_ = os.Remove(made.UnlockFile)
			}
		}()
	}
	ring, err := keyring.Create(keys, unlock, f.WorkFactor)
	if err != nil {
		return nil, err
	}
	defer ring.Close()
	root, err := keyring.CreateRoot(keys, f.Passphrase, f.WorkFactor)
	if err != nil {
		return nil, err
	}
	officer, err := keyring.CreateOfficer(keys, f.Officer, f.Passphrase, f.WorkFactor)
	if err != nil {
		return nil, err
	}
	_, words, sealed, err := keyring.NewRecovery()
	if err != nil {
		return nil, err
	}
	made.RecoveryWords = words
	es, team, err := foundingRecords(f, now, ring, root, officer, sealed)
	if err != nil {
		return nil, err
	}
	made.Team = team
	cfg := Config{Team: team, Home: f.Home, Listen: f.Listen, Advertise: f.Advertise, Now: func() time.Time { return now }}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	st, err := openStore(cfg, ring)
	if err != nil {
		return nil, err
	}
	for _, e := range es {
		if err := st.PutRecord(team, e); err != nil {
			return nil, errors.Join(err, st.Close())
		}
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	if err := newGuard(f.Home, ring.KID()); err != nil {
		return nil, err
	}
	return made, cfg.Save()
}

// newGuard begins the file of heads of a key that never signed, and puts aside that of another key.
func newGuard(home string, k protocol.KID) error {
	path := guardPath(home)
	if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	g, err := keyring.CreateGuard(path, k)
	if err != nil {
		return err
	}
	return g.Close()
}

// vacant refuses a home in which anything of a team is left, so that nothing is written over it, or removed with what failed.
func vacant(home string) error {
	for _, name := range []string{"config.json", "keys", "store", "heads"} {
		if _, err := os.Lstat(filepath.Join(home, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s holds %s of a team already: nothing was changed; give another --home", home, name)
		}
	}
	return nil
}

// foundingRecords signs a team's first root record, manifest, card and address.
func foundingRecords(f Founding, now time.Time, ring *keyring.Ring, root, officer *protocol.PrivateKey, sealed protocol.SealedSet) ([]*protocol.Envelope, protocol.TeamID, error) {
	at := uint64(now.Unix())
	r, err := protocol.Sign(&protocol.Root{Path: protocol.PathRoot, Keys: []protocol.PublicKey{root.Public()}, Threshold: 1,
		Officers: []protocol.Officer{{Key: officer.Public(), Name: f.Officer}}, Sealed: sealed.Commitment(), Issued: at}, root)
	if err != nil {
		return nil, protocol.TeamID{}, err
	}
	team := r.ID()
	node, err := nodeDraft(ring, f.NodeName)
	if err != nil {
		return nil, team, err
	}
	m, err := protocol.Sign(&protocol.Manifest{Team: team, Version: 1, Root: r.ID(), Issued: at,
		Expires: uint64(now.Add(ManifestLife).Unix()), Nodes: []protocol.Node{node}}, officer)
	if err != nil {
		return nil, team, err
	}
	c, err := protocol.Sign(&protocol.Card{Team: team, Version: 1, Issued: at, Name: f.Name, Country: f.Country,
		Constituency: protocol.Constituency{Countries: []string{f.Country}}}, officer)
	if err != nil {
		return nil, team, err
	}
	a, err := protocol.Sign(&protocol.Address{Team: team, Node: ring.KID(), Seq: uint64(now.UnixMilli()), Addrs: certain(f),
		Issued: at, Expires: uint64(now.Add(protocol.MaxAddressLife - time.Hour).Unix())}, ring.NodeKey())
	if err != nil {
		return nil, team, err
	}
	return []*protocol.Envelope{r, m, c, a}, team, nil
}

// certain returns the addresses that are sure before the node ran: those advertised, or listened on at a given address
// and port.
func certain(f Founding) []string {
	if len(f.Advertise) > 0 {
		return f.Advertise
	}
	var out []string
	for _, s := range f.Listen {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil || manet.IsIPUnspecified(a) {
			continue
		}
		for _, p := range []int{multiaddr.P_TCP, multiaddr.P_UDP} {
			if v, err := a.ValueForProtocol(p); err == nil && v != "0" {
				out = append(out, s)
			}
		}
	}
	return out[:min(len(out), protocol.MaxAddrs)]
}

// nodeDraft returns the entry of this node for a manifest.
func nodeDraft(ring *keyring.Ring, name string) (protocol.Node, error) {
	_, id, err := transportKey(ring.TransportSeed())
	if err != nil {
		return protocol.Node{}, err
	}
	return protocol.Node{Key: ring.NodeKey().Public(), Peer: []byte(id), Name: name, Recipient: ring.Recipient()}, nil
}

// NodeDraft returns the entry of this node for the team's manifest, under the name that the manifest gives it so far.
func (n *Node) NodeDraft() (protocol.Node, error) {
	name := "node-1"
	if info, _ := n.author(n.team, n.kid); info.Node.Name != "" {
		name = info.Node.Name
	}
	return nodeDraft(n.ring, name)
}

// A Replacement is what an officer signs to replace this node's keys: the new entry for the manifest, the old key, and the
// cut-off that keeps what the old key said so far.
type Replacement struct {
	Node   protocol.Node
	Old    protocol.KID
	Cutoff *protocol.Cutoff // nil: the old key never spoke
	// Private are the cut-offs of the old key's feeds for single teams, of which only those teams are told.
	Private []*protocol.Cutoff
}

// ReplaceNode makes new keys for this node, which must not be on the network: it uses them from the next start on, once an
// officer certified them. What the old key said and this store holds stands; so the node should have caught up before.
func (n *Node) ReplaceNode() (*Replacement, error) {
	if n.started.Load() {
		return nil, errors.New("the node is running: stop it, replace its keys, and start it again")
	}
	draft, err := n.NodeDraft()
	if err != nil {
		return nil, err
	}
	r := &Replacement{Old: n.kid}
	if r.Cutoff, err = n.CutoffDraft(n.kid); err != nil {
		return nil, err
	}
	if r.Private, err = n.PrivateCutoffs(n.kid); err != nil {
		return nil, err
	}
	if err := n.ring.ReplaceNode(); err != nil {
		return nil, err
	}
	if r.Node, err = nodeDraft(n.ring, draft.Name); err != nil {
		return nil, err
	}
	n.kid, n.peer = n.ring.KID(), peer.ID(r.Node.Peer)
	if err := n.signer.close(); err != nil {
		return nil, err
	}
	if err := newGuard(n.cfg.Home, n.kid); err != nil {
		return nil, err
	}
	return r, n.signer.open(n)
}

// CutoffDraft returns the cut-off, not yet signed, by which everything stands that this store holds of a node of this team;
// nil if it never spoke.
func (n *Node) CutoffDraft(k protocol.KID) (*protocol.Cutoff, error) {
	feed := communityFeed(k)
	ext, held, err := n.st.Extent(feed)
	if err != nil {
		return nil, err
	}
	c := &protocol.Cutoff{Team: n.team, Node: k, Feed: feed, Issued: uint64(n.now().Unix())}
	if held && ext.Next > 1 {
		c.LastSeq, c.LastHash = ext.Next-1, ext.Head
	}
	return c, nil
}

// PrivateCutoffs returns the cut-offs, not yet signed, by which everything stands that this store holds of what a node of this
// team said to single teams.
func (n *Node) PrivateCutoffs(k protocol.KID) ([]*protocol.Cutoff, error) {
	all, err := n.st.Extents()
	if err != nil {
		return nil, err
	}
	var out []*protocol.Cutoff
	for _, e := range all {
		if e.Node == k && e.Feed != communityFeed(k) && e.Next > 1 {
			out = append(out, &protocol.Cutoff{Team: n.team, Node: k, Feed: e.Feed, LastSeq: e.Next - 1, LastHash: e.Head, Issued: uint64(n.now().Unix())})
		}
	}
	return out, nil
}
