package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The README's walk-through works as written: all of its commands run, in their order, in one shell, with a home of their own
// and the real binary that its first command installs.
func TestReadmeWalkThrough(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash to run the README's commands")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"    go run ./cmd/entente demo\n", "    go test ./...\n"} {
		if !strings.Contains(string(readme), want) {
			t.Errorf("the README does not say %q", strings.TrimSpace(want))
		}
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 17 {
		t.Fatalf("%d blocks of commands in the README: want at least 17", len(blocks))
	}
	home := t.TempDir()
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
	for i, b := range blocks {
		script += b[1]
		if i == 0 {
			script += fmt.Sprintf("cd %q\n", home) // the rest needs no source tree
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = filepath.Join("..", "..")
	bin := t.TempDir()
	env := os.Environ()
	for _, k := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS"} { // HOME moves; these stay
		if v, err := exec.Command("go", "env", k).Output(); err == nil {
			env = append(env, k+"="+strings.TrimSpace(string(v)))
		}
	}
	cmd.Env = append(env, "HOME="+home, "GOBIN="+bin, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"XDG_RUNTIME_DIR=", "ENTENTE_PASSPHRASE=a passphrase that a person would type")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the walk-through failed: %v\n%s", err, out)
	}
	for _, want := range []string{"Beta is verified", "Scans for CVE-2024-3400", "the agreement with Alpha is active", "The gateway of a ministry",
		"rule community-ceiling", "rule reach-label", "Bo is an operator", "Ask for her by name", "rule agreement-suspended", "proven", "Gateways is open", "your team: proposed", "Gamma has nothing of it", "rule room-standing", "clean"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the walk-through does not show %q:\n%s", want, out)
		}
	}
	if got, want := strings.Count(string(out), "refused, exit code 3"), strings.Count(string(readme), "refused, exit code $?"); got != want {
		t.Errorf("%d commands were refused by policy, want %d:\n%s", got, want, out)
	}
}
