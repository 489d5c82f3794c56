package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A printer writes results to standard output: JSON lines, or tables and text for people.
type printer struct {
	w    io.Writer
	json bool
	buf  *bufio.Writer
}

func (o *printer) writer() *bufio.Writer {
	if o.buf == nil {
		o.buf = bufio.NewWriter(o.w)
	}
	return o.buf
}

// object prints v as one line of JSON. Characters that a terminal might act upon are escaped, which changes no value.
func (o *printer) object(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	w := o.writer()
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if r == ' ' || unicode.IsPrint(r) {
			w.WriteRune(r)
		} else if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
			fmt.Fprintf(w, `\u%04x\u%04x`, hi, lo)
		} else {
			fmt.Fprintf(w, `\u%04x`, r)
		}
	}
	return w.WriteByte('\n')
}

// linef prints one line of text. Arguments that come from other teams must be made plain by the caller.
func (o *printer) linef(format string, args ...any) {
	fmt.Fprintf(o.writer(), format+"\n", args...)
}

func (o *printer) flush() error {
	if o.buf == nil {
		return nil
	}
	return o.buf.Flush()
}

// A table lines up columns for people. Cells are made plain.
type table struct {
	rows [][]string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = plainLine(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// print writes the table, the last column as it is.
func (t *table) print(o *printer) {
	var widths []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range t.rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
			}
		}
		o.linef("%s", strings.TrimRight(b.String(), " "))
	}
}

// stamp prints a time for people: RFC 3339 in UTC, to the second.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func stampPtr(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return stamp(*t)
}

// size prints a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 4 {
		f /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[i])
}

// plural counts things in words.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// stampUnix prints Unix seconds.
func stampUnix(s uint64) string { return stamp(time.Unix(int64(s), 0)) }
