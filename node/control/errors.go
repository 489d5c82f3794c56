package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// A Code classes an error for programs.
type Code string

// The codes.
const (
	Usage    Code = "usage"     // the request makes no sense: change it
	Refused  Code = "refused"   // policy, or a check that protects people, says no; Rule names which
	NotFound Code = "not-found" // there is no such team or message here
	Conflict Code = "conflict"  // what is asked for contradicts what is there
	Full     Code = "full"      // no room: the store's cap, a quota, or the disk
	Busy     Code = "busy"      // too many requests at once
	Failed   Code = "failed"    // anything else
)

var statuses = map[Code]int{
	Usage: http.StatusBadRequest, Refused: http.StatusForbidden, NotFound: http.StatusNotFound, Conflict: http.StatusConflict,
	Full: http.StatusInsufficientStorage, Busy: http.StatusServiceUnavailable, Failed: http.StatusInternalServerError,
}

// An Error is a refusal or failure of the node: what was wrong, with which input, and what to do next.
type Error struct {
	Text string `json:"error"`
	Code Code   `json:"code"`
	Rule string `json:"rule,omitempty"` // stable short name of the rule that refused
	Hint string `json:"hint,omitempty"` // what to do next
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Is makes errors.Is match an error of the same code, and of the same rule if target gives one.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Text == "" && t.Code == e.Code && (t.Rule == "" || t.Rule == e.Rule)
}

// ErrNotRunning means that no node is running for the home.
var ErrNotRunning = errors.New("no node is running for this home")

func usagef(format string, args ...any) *Error {
	return &Error{Code: Usage, Text: fmt.Sprintf(format, args...)}
}

// readError turns an answer that is no success into an Error.
func readError(status int, body []byte) error {
	var e Error
	if json.Unmarshal(body, &e) != nil || e.Text == "" {
		return fmt.Errorf("the node answered with HTTP status %d and no reason: is it of another version?", status)
	}
	return &e
}
