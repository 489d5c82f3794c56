package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A lineWriter sends JSON lines and pushes each one out. A client that stops reading costs its own connection only.
type lineWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

func newLineWriter(w http.ResponseWriter) *lineWriter {
	return &lineWriter{w: w, rc: http.NewResponseController(w)}
}

// start sends the header, so that a client knows that the stream stands before the first line comes.
func (l *lineWriter) start() error {
	if l.begun {
		return nil
	}
	l.begun = true
	if err := l.rc.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return err
	}
	l.w.Header().Set("Content-Type", typeLines)
	l.w.WriteHeader(http.StatusOK)
	return l.rc.Flush()
}

func (l *lineWriter) write(v any) error {
	if err := l.start(); err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := l.rc.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return err
	}
	if _, err := l.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return l.rc.Flush()
}

// finish ends the stream: with err as its last line, or as the whole answer if nothing was sent yet.
func (l *lineWriter) finish(err error) {
	switch {
	case err == nil:
		_ = l.start()
	case l.begun:
		_ = l.write(toError(err))
	default:
		writeError(l.w, err)
	}
}

// readLines calls fn with each JSON line of r until its end. A line that is an [Error] ends it with that error. An error of
// fn ends it too.
func readLines[T any](r io.Reader, fn func(T) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(br)
		if len(bytes.TrimSpace(line)) > 0 {
			var e Error
			if json.Unmarshal(line, &e) == nil && e.Text != "" {
				return &e
			}
			var v T
			if err := json.Unmarshal(line, &v); err != nil {
				return fmt.Errorf("the node sent a line that is not understood: %w", err)
			}
			if err := fn(v); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxAnswer {
			return nil, fmt.Errorf("the node sent a line of over %d bytes", maxAnswer)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// steadyWriter is an answer of raw bytes that is given up when the client stops taking it.
type steadyWriter struct {
	w  io.Writer
	rc *http.ResponseController
}

func (s *steadyWriter) Write(p []byte) (int, error) {
	if err := s.rc.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

func copySteadily(w http.ResponseWriter, r io.Reader) (int64, error) {
	return io.Copy(&steadyWriter{w: w, rc: http.NewResponseController(w)}, r)
}

// oneLine encodes an error for a trailer.
func oneLine(e *Error) string {
	b, err := json.Marshal(e)
	if err != nil {
		return `{"error":"unknown","code":"failed"}`
	}
	return string(b)
}
