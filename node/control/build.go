package control

import (
	"runtime/debug"

	"github.com/entente-network/entente/protocol"
)

// A BuildInfo says what program this is.
type BuildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified,omitempty"` // built from a work tree with changes
	Go       string `json:"go"`
	Protocol int    `json:"protocol"`
}

// Build returns what the Go linker recorded about this program.
func Build() BuildInfo {
	b := BuildInfo{Version: "devel", Protocol: protocol.Version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
