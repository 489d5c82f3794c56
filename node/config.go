package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multiaddr"

	"github.com/entente-network/entente/protocol"
)

// Config is how a node runs. What has a JSON name is kept in the home's config.json; that file is trusted: who can change
// it can make the node listen elsewhere, but not read or sign anything.
type Config struct {
	// Team is whose home this is.
	Team protocol.TeamID `json:"team"`
	// Listen are the multiaddresses to accept connections on. TCP and QUIC over one port is the default.
	Listen []string `json:"listen"`
	// Advertise are the addresses told to other teams instead of those found on the interfaces: for nodes behind a
	// forwarded port, or a name in the DNS (/dns4/cert.example/tcp/4747).
	Advertise []string `json:"advertise,omitempty"`
	// StoreCap is the greatest size of the store in bytes; beyond it nothing new is taken in. 0: no limit but the disk's.
	StoreCap int64 `json:"store_cap,omitempty"`
	// DailyQuota is how many bytes one team may add to the store in a day. 0: DefaultDailyQuota.
	DailyQuota int64 `json:"daily_quota,omitempty"`
	// RetentionDays is for how long messages are kept. 0: for ever.
	RetentionDays int `json:"retention_days,omitempty"`
	// AuditDays is for how long the disclosure log keeps its records; their hashes stay. 0: for ever.
	AuditDays int `json:"audit_days,omitempty"`

	Home    string           `json:"-"`
	Offline bool             `json:"-"` // no network: for commands that need no running node
	Log     *slog.Logger     `json:"-"` // nil: discards. It never gets content, titles or keys
	Now     func() time.Time `json:"-"` // nil: time.Now

	// NewHost makes the libp2p host; nil: one that listens on Listen. Simulated networks set it.
	NewHost func(crypto.PrivKey, connmgr.ConnectionGater) (host.Host, error) `json:"-"`
}

// DefaultDailyQuota bounds what one team may make every other node store in a day.
const DefaultDailyQuota = 2 << 30

// MemoryLimit is what a program that runs a node has the Go runtime try to stay below, unless GOMEMLIMIT says otherwise:
// catching up with weeks makes much garbage, and a node shares its machine.
const MemoryLimit = 256 << 20

// DefaultListen is where a node listens if nobody says otherwise.
func DefaultListen() []string {
	return []string{"/ip4/0.0.0.0/udp/4747/quic-v1", "/ip4/0.0.0.0/tcp/4747", "/ip6/::/udp/4747/quic-v1", "/ip6/::/tcp/4747"}
}

func configPath(home string) string { return filepath.Join(home, "config.json") }

// LoadConfig reads the home's config.json.
func LoadConfig(home string) (Config, error) {
	c, err := loadConfig(configPath(home))
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("%s holds no team: make one with entente init, or give another --home", home)
	}
	c.Home = home
	return c, err
}

func loadConfig(path string) (c Config, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, c.check()
}

// Save writes the home's config.json.
func (c Config) Save() error {
	if err := c.check(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	tmp := configPath(c.Home) + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, configPath(c.Home)); err != nil {
		return err
	}
	dir, err := os.Open(c.Home)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (c Config) check() error {
	for _, list := range [][]string{c.Listen, c.Advertise} {
		for _, a := range list {
			if _, err := multiaddr.NewMultiaddr(a); err != nil {
				return fmt.Errorf("address %q: %w: write it like /ip4/192.0.2.1/tcp/4747", a, err)
			}
		}
	}
	if c.Team.IsZero() {
		return errors.New("config.json names no team")
	}
	if c.StoreCap < 0 || c.DailyQuota < 0 || c.RetentionDays < 0 || c.AuditDays < 0 {
		return errors.New("config.json: store_cap, daily_quota, retention_days and audit_days may not be negative")
	}
	return nil
}
