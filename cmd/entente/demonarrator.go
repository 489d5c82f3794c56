package main

import (
	"fmt"
	"strings"
	"time"
)

// A demoNarrator prints the story and counts which claims were true.
type demoNarrator struct {
	out   *printer
	start time.Time
	total int
	wrong int
}

// demoClaim is what --json prints of a claim.
type demoClaim struct {
	Claim string `json:"claim"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	MS    int64  `json:"ms"` // since the start
}

// say prints a line of the story.
func (n *demoNarrator) say(format string, args ...any) {
	if n.out.json {
		return
	}
	n.out.linef(format, args...)
	_ = n.out.flush()
}

func (n *demoNarrator) scene(title string) {
	n.say("\n%7.2f s  %s", time.Since(n.start).Seconds(), title)
}

// claim prints a claim as true, or with what speaks against it.
func (n *demoNarrator) claim(err error, format string, args ...any) {
	c := demoClaim{Claim: fmt.Sprintf(format, args...), OK: err == nil, MS: time.Since(n.start).Milliseconds()}
	n.total++
	if err != nil {
		n.wrong++
		c.Error = err.Error()
	}
	switch {
	case n.out.json:
		_ = n.out.object(c)
	case c.OK:
		n.out.linef("%7.2f s  ✓ %s", float64(c.MS)/1000, c.Claim)
	default:
		n.out.linef("%7.2f s  ✗ %s: %s", float64(c.MS)/1000, c.Claim, plainLine(strings.ReplaceAll(c.Error, "\n", "; ")))
	}
	_ = n.out.flush()
}

// verdict ends the story.
func (n *demoNarrator) verdict() error {
	took := time.Since(n.start).Round(10 * time.Millisecond)
	if n.wrong > 0 {
		n.say("\n%d of %d claims were not true, after %s.", n.wrong, n.total, took)
		return &partial{text: fmt.Sprintf("%d of %d claims were not true", n.wrong, n.total), code: exitFailed}
	}
	n.say("\nAll %d claims were checked and are true, after %s.", n.total, took)
	return nil
}
