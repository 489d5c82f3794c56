package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// A progress shows how far long work is, on standard error: a bar on a terminal, and elsewhere a plain line every tenth of
// the way. Work of unknown length (total 0) shows a count, on a terminal only.
type progress struct {
	w        io.Writer
	what     string
	total    int
	terminal bool
	began    time.Time
	drawn    time.Time
	tenth    int
	wide     bool // something is on the line
	bytes    bool // what is counted are bytes
}

// showsProgress is the size of a file, in bytes, from which on its way is shown.
const showsProgress = 4 << 20

// bytesProgress is progress for the bytes of a file.
func (p *program) bytesProgress(what string, total int64) *progress {
	g := p.progress(what, int(total))
	g.bytes = true
	return g
}

// count prints how many are meant.
func (g *progress) count(n int) string {
	if g.bytes {
		return size(int64(n))
	}
	return strconv.Itoa(n)
}

func (p *program) progress(what string, total int) *progress {
	g := &progress{w: p.stderr, what: what, total: total, began: time.Now()}
	if f, ok := p.stderr.(*os.File); ok {
		g.terminal = term.IsTerminal(int(f.Fd()))
	}
	return g
}

// step says that done of the total are done.
func (g *progress) step(done int) {
	now := time.Now()
	if !g.terminal {
		if g.total == 0 {
			return
		}
		if t := done * 10 / g.total; t > g.tenth {
			g.tenth = t
			fmt.Fprintf(g.w, "%s: %s of %s\n", g.what, g.count(done), g.count(g.total))
		}
		return
	}
	if now.Sub(g.drawn) < 100*time.Millisecond && (done < g.total || g.total == 0) {
		return
	}
	g.drawn, g.wide = now, true
	if g.total == 0 {
		fmt.Fprintf(g.w, "\r\x1b[K%s: %s", g.what, g.count(done))
		return
	}
	const width = 30
	full := min(width, done*width/g.total)
	left := ""
	if spent := now.Sub(g.began); done > 0 && done < g.total && spent > 2*time.Second {
		left = ", " + (spent * time.Duration(g.total-done) / time.Duration(done)).Round(time.Second).String() + " left"
	}
	fmt.Fprintf(g.w, "\r\x1b[K%s [%s%s] %s/%s%s", g.what, strings.Repeat("#", full), strings.Repeat(".", width-full), g.count(done), g.count(g.total), left)
}

// clear takes the bar off the line, so that something else can be printed; the next step draws it again.
func (g *progress) clear() {
	if g.wide {
		fmt.Fprint(g.w, "\r\x1b[K")
		g.wide, g.drawn = false, time.Time{}
	}
}
