package content

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/entente-network/entente/protocol/tlp"
)

const markingPrefix = "marking-definition--"

// stixLabels are the marking definitions whose ids are fixed: TLP 2.0 (OASIS common objects), the predefined ones of STIX
// 2.1 §7.2.1.4, which are also those of STIX 2.0, and OpenCTI's for AMBER+STRICT.
var stixLabels = map[string]tlp.Label{
	"94868c89-83c2-464b-929b-a1a8aa3c8487": tlp.Clear,
	"bab4a63c-aed9-4cf5-a766-dfca5abac2bb": tlp.Green,
	"55d920b0-5e8b-4f79-9ee9-91f868d9b421": tlp.Amber,
	"939a9414-2ddd-4d32-a0cd-375ea402b003": tlp.AmberStrict,
	"e828b379-4e03-4974-9ac4-e53a884c97c1": tlp.Red,

	"613f2e26-407d-48c7-9eca-b8e91df99dc9": tlp.Clear,
	"34098fce-860f-48ae-8e50-ebd3cc5e41da": tlp.Green,
	"f88d31f6-486f-44da-b317-01333bde0b82": tlp.Amber,
	"5e57c739-391a-4eb3-b6be-7d15ca92d5ed": tlp.Red,

	"826578e1-40ad-459f-bc73-ede076f81f37": tlp.AmberStrict,
}

// A spot is where something was found, for the error that may come of it.
type spot struct {
	offset int64
	path   string
}

// A definition is a STIX marking definition in the document.
type definition struct {
	label tlp.Label // strictest of its labels; Unset if it has none
	bad   bool      // it is a TLP marking, and its label is not understood
}

// markings gathers the labels of one document.
type markings struct {
	label tlp.Label
	err   error // the first marking that is not understood
	refs  map[string]spot
	defs  map[string]definition
	last  string // the newest of refs, because neighbours mostly share theirs
}

// add counts a label.
func (m *markings) add(l tlp.Label) { m.label = max(m.label, l) }

// refuse keeps the first reason why the label cannot be known.
func (m *markings) refuse(at spot, reason error, detail string) {
	if m.err == nil {
		m.err = &Error{Offset: at.offset, Path: at.path, Reason: reason, Detail: detail}
	}
}

// text counts the label that s spells.
func (m *markings) text(s []byte, at func() spot) {
	l, err := tlp.Parse(string(s[:min(len(s), 64)]))
	if err != nil || len(s) > 64 {
		m.refuse(at(), ErrMarking, fmt.Sprintf("%.40q is not a TLP label", s))
		return
	}
	m.add(l)
}

// tag counts a MISP tag. Tags of other taxonomies are none of our business.
func (m *markings) tag(s []byte, at func() spot) {
	s = bytes.TrimSpace(s)
	if len(s) < 4 || !strings.EqualFold(string(s[:4]), "tlp:") {
		return
	}
	switch strings.ToLower(string(s[4:min(len(s), 16)])) {
	case "ex:chr":
	case "unclear":
		m.refuse(at(), ErrUnclear, "")
	default:
		m.text(s, at)
	}
}

// reference remembers a reference to a marking definition, which may come later in the document.
func (m *markings) reference(s []byte, at func() spot) {
	if string(s) == m.last {
		return
	}
	id, ok := strings.CutPrefix(string(s), markingPrefix)
	if !ok || !isUUID([]byte(id)) {
		m.refuse(at(), ErrMarking, fmt.Sprintf("%.80q is not a reference to a marking definition", s))
		return
	}
	m.last = string(s)
	id = strings.ToLower(id)
	if _, ok := m.refs[id]; ok {
		return
	}
	if len(m.refs) == MaxMarkings {
		m.refuse(at(), ErrMarking, fmt.Sprintf("more than %d different markings", MaxMarkings))
		return
	}
	if m.refs == nil {
		m.refs = make(map[string]spot)
	}
	m.refs[id] = at()
}

// define remembers a marking definition. Two definitions of one id count both.
func (m *markings) define(id []byte, d definition, at func() spot) {
	s := strings.ToLower(strings.TrimPrefix(string(id), markingPrefix))
	old, ok := m.defs[s]
	if !ok && len(m.defs) == MaxMarkings {
		m.refuse(at(), ErrMarking, fmt.Sprintf("more than %d marking definitions", MaxMarkings))
		return
	}
	if m.defs == nil {
		m.defs = make(map[string]definition)
	}
	m.defs[s] = definition{label: max(old.label, d.label), bad: old.bad || d.bad}
}

// resolve turns references into labels. It is called once, at the end of the document.
func (m *markings) resolve() {
	var unknown spot
	var detail string
	for id, at := range m.refs {
		fixed, known := stixLabels[id]
		def, defined := m.defs[id]
		m.add(max(fixed, def.label))
		var d string
		switch {
		case def.bad:
			d = "the document's definition of " + markingPrefix + id + " names no TLP label"
		case !known && !defined:
			d = markingPrefix + id + " is not defined in the document, and may be a TLP label"
		default:
			continue
		}
		if detail == "" || at.offset < unknown.offset {
			unknown, detail = at, d
		}
	}
	if detail != "" && m.label != tlp.Red { // nothing is stricter
		m.refuse(unknown, ErrMarking, detail)
	}
}

// isUUID reports whether s has the form of a UUID.
func isUUID(s []byte) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !isHex[c] {
				return false
			}
		}
	}
	return true
}
