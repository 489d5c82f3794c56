package content

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/entente-network/entente/protocol/tlp"
)

// A walker reads a JSON document of any kind and notes what belongs to any of the known formats; at the end of each
// document it decides which of them it was.
type walker struct {
	lexer
	terms *indexer
	path  []step
	marks markings
	doc   roots

	root  root
	outer stixObject  // the document itself, should it be a STIX object
	inner stixObject  // the current element of its objects
	obj   *stixObject // one of the two
}

// A step is one level of the path to the current value.
type step struct {
	key   []byte // in an object; bounded
	index int    // in an array; -1 in an object
}

// A root is what is known so far of the current document.
type root struct {
	bundle, objects, stixLike      bool
	stix20                         bool
	event, info, mispKey, response bool
	csaf                           string
	record, intelMQ                bool
}

// A stixObject is what is known so far of a STIX object.
type stixObject struct {
	typ, id, name []byte
	tlp           bool // it says that it is a TLP marking
	def           definition
}

func (o *stixObject) reset() {
	*o = stixObject{typ: o.typ[:0], id: o.id[:0], name: o.name[:0]}
}

// readJSON reads JSON values up to the end of the input.
func readJSON(in *input, terms *indexer) (Info, error) {
	w := &walker{lexer: lexer{in: in}, terms: terms}
	for w.peek() != 0 || in.pos < in.end {
		if err := w.document(); err != nil {
			return Info{}, err
		}
	}
	if err := in.failed(); err != nil {
		return Info{}, err
	}
	return w.finish()
}

// document reads one value of the outermost level. The elements of an outermost array are documents themselves.
func (w *walker) document() error {
	if w.peek() == '[' && len(w.path) == 0 {
		return w.array(pRoot)
	}
	start := w.in.offset()
	w.root = root{}
	w.outer.reset()
	w.obj = &w.outer
	if err := w.value(pRoot); err != nil {
		return err
	}
	w.endObject()
	return w.endRoot(start)
}

func (w *walker) value(p place) error {
	c := w.peek()
	if !p.holds(c) {
		w.misplaced(p)
	}
	switch c {
	case '{':
		return w.members(p)
	case '[':
		return w.array(p)
	case '"':
		w.spill = w.terms.forPlace(p)
		if err := w.string(); err != nil {
			return err
		}
		w.text(p)
		return nil
	default:
		return w.scalar()
	}
}

// misplaced deals with a value that is where a marking should be, and cannot be one.
func (w *walker) misplaced(p place) {
	switch p {
	case pDefLabel:
		w.obj.tlp, w.obj.def.bad = true, true
	case pVersion:
		w.root.csaf = "not a string"
	case pObject:
		w.marks.refuse(w.spot(), ErrBroken, "a STIX object must be a JSON object")
	default:
		w.marks.refuse(w.spot(), ErrMarking, "a marking must be a string")
	}
}

func (w *walker) push(index int) error {
	if len(w.path) == MaxDepth {
		return &Error{Offset: w.in.offset(), Reason: ErrTooDeep}
	}
	if len(w.path) < cap(w.path) {
		w.path = w.path[:len(w.path)+1]
	} else {
		w.path = append(w.path, step{})
	}
	s := &w.path[len(w.path)-1]
	s.key, s.index = s.key[:0], index
	return nil
}

func (w *walker) array(p place) error {
	if err := w.push(0); err != nil {
		return err
	}
	top := len(w.path) == 1
	w.in.pos++
	if w.peek() == ']' {
		w.in.pos++
		w.path = w.path[:len(w.path)-1]
		return nil
	}
	for {
		var err error
		if top && p == pRoot {
			err = w.document()
		} else {
			err = w.value(p.element())
		}
		if err != nil {
			return err
		}
		switch w.peek() {
		case ',':
			w.in.pos++
			w.path[len(w.path)-1].index++
		case ']':
			w.in.pos++
			w.path = w.path[:len(w.path)-1]
			return nil
		default:
			return w.fail("expected , or ] in an array")
		}
	}
}

// members reads an object.
func (w *walker) members(p place) error {
	if err := w.push(-1); err != nil {
		return err
	}
	if p == pObject {
		w.inner.reset()
		w.obj = &w.inner
	}
	w.in.pos++
	if w.peek() == '}' {
		w.in.pos++
		w.endMembers(p)
		return nil
	}
	for {
		if w.peek() != '"' {
			return w.fail("expected a key in an object")
		}
		w.spill = nil
		if err := w.string(); err != nil {
			return err
		}
		c := pOther
		if !w.long {
			c = p.child(string(w.str))
		}
		s := &w.path[len(w.path)-1]
		s.key = append(s.key[:0], w.str[:min(len(w.str), 48)]...)
		if w.peek() != ':' {
			return w.fail("expected : after a key")
		}
		w.in.pos++
		w.member(p, s.key, w.peek())
		if err := w.value(c); err != nil {
			return err
		}
		switch w.peek() {
		case ',':
			w.in.pos++
			w.peek()
		case '}':
			w.in.pos++
			w.endMembers(p)
			return nil
		default:
			return w.fail("expected , or } in an object")
		}
	}
}

func (w *walker) endMembers(p place) {
	if p == pObject {
		w.root.stixLike = w.root.stixLike || w.inner.named()
		w.endObject()
		w.obj = &w.outer
	}
	w.path = w.path[:len(w.path)-1]
}

// member notes a key that says what the document is; first is the first byte of its value.
func (w *walker) member(p place, key []byte, first byte) {
	r := &w.root
	switch p {
	case pRoot:
		r.mispKey = r.mispKey || mispKey(string(key))
		r.intelMQ = r.intelMQ || intelMQKey(string(key))
		r.objects = r.objects || string(key) == "objects" && first == '['
	case pEvent:
		r.event = r.event || mispKey(string(key)) || string(key) == "info"
	case pResponse:
		r.response = r.response || string(key) == "Attribute"
	}
}

// text deals with the string value just read at p.
func (w *walker) text(p place) {
	s := w.str
	if w.long && p.marking() {
		w.marks.refuse(w.spot(), ErrMarking, "a marking cannot be that long")
	}
	o := w.obj
	switch p {
	case pMarking:
		w.marks.reference(s, w.spot)
	case pTag, pTagName, pLabels:
		w.marks.tag(s, w.spot)
	case pTLP, pTLPLabel, pLineTLP:
		w.marks.text(s, w.spot)
	case pType:
		o.typ = append(o.typ[:0], s[:min(len(s), 64)]...)
		w.root.bundle = w.root.bundle || o == &w.outer && string(s) == "bundle"
	case pID:
		o.id = append(o.id[:0], s[:min(len(s), 128)]...)
	case pName:
		o.name = append(o.name[:0], s[:min(len(s), 4*MaxTitle)]...)
		o.text(s, false)
	case pDefText:
		o.text(s, false)
	case pDefLabel:
		o.text(s, true)
	case pDefType:
		o.tlp = o.tlp || strings.EqualFold(string(s), "tlp")
	case pSpec:
		w.root.stix20 = w.root.stix20 || string(s) == "2.0"
	case pInfo:
		w.root.info = true
		w.doc.titles.offer(MISP, 0, s)
	case pGroupID:
		if string(s) == "00000000-0000-0000-0000-000000000000" {
			w.marks.refuse(w.spot(), ErrNoSharing, "")
		}
	case pGroupName:
		if strings.EqualFold(string(s), "No sharing allowed") {
			w.marks.refuse(w.spot(), ErrNoSharing, "")
		}
	case pVersion:
		if v := string(s[:min(len(s), 8)]); w.root.csaf != "" && w.root.csaf != v {
			w.root.csaf = "contradictory"
		} else {
			w.root.csaf = v
		}
	case pTitle:
		w.doc.titles.offer(CSAF20, 0, s)
	case pHeading:
		w.doc.titles.offer(JSON, 0, s)
	case pRecord:
		w.root.record = w.root.record || string(s) == "Event" || string(s) == "Report"
	case pClass:
		w.doc.class(s)
	}
	if w.long {
		w.terms.flush()
	} else if scanned(p) {
		w.terms.feed(s)
		w.terms.flush()
	}
}

// scanned reports whether strings at p are searched for terms.
func scanned(p place) bool {
	switch p {
	case pNoise, pMarking, pType, pRecord, pSpec:
		return false
	}
	return true
}

// text takes a string of a marking definition: its label, or free text that counts if it is written as one.
func (o *stixObject) text(s []byte, label bool) {
	s = s[:min(len(s), 64)]
	if !label && (len(s) < 4 || !strings.EqualFold(string(s[:4]), "tlp:")) {
		return
	}
	o.tlp = true
	if l, err := tlp.Parse(string(s)); err == nil {
		o.def.label = max(o.def.label, l)
	} else {
		o.def.bad = true
	}
}

// named reports whether the object has the id of a STIX object.
func (o *stixObject) named() bool {
	return len(o.typ) > 0 && len(o.id) == len(o.typ)+2+36 && bytes.HasPrefix(o.id, o.typ) &&
		string(o.id[len(o.typ):len(o.typ)+2]) == "--" && isUUID(o.id[len(o.typ)+2:])
}

// endObject takes stock of a STIX object, or of a document that may be one.
func (w *walker) endObject() {
	o := w.obj
	if string(o.typ) == "marking-definition" && o.named() {
		d := o.def
		d.bad = d.bad || o.tlp && !d.label.Valid()
		w.marks.define(o.id, d, w.spot)
	}
	w.doc.titles.offer(STIX21, titleRank(string(o.typ)), o.name)
	if o == &w.outer {
		w.doc.titles.offer(JSON, 1, o.name)
	}
}

// endRoot decides what the document was that began at start.
func (w *walker) endRoot(start int64) error {
	r := &w.root
	var is []Format
	if r.bundle && r.objects || r.objects && r.stixLike || w.outer.named() && !r.objects {
		is = append(is, STIX21)
	}
	if r.event || r.response || r.info && r.mispKey {
		is = append(is, MISP)
	}
	switch r.csaf {
	case "":
	case "2.0":
		is = append(is, CSAF20)
	case "2.1":
		is = append(is, CSAF21)
	default:
		return &Error{Offset: start, Path: "document.csaf_version", Reason: ErrBroken,
			Detail: fmt.Sprintf("CSAF version %.16q is not known: use 2.0 or 2.1", r.csaf)}
	}
	if r.intelMQ || r.record && len(is) == 0 {
		is = append(is, IntelMQ)
	}
	format := JSON
	switch {
	case len(is) == 1:
		format = is[0]
	case len(is) > 1:
		return &Error{Offset: start, Reason: ErrBroken, Detail: fmt.Sprintf("it is both %s and %s", is[0], is[1])}
	}
	if format == STIX21 && r.stix20 && r.bundle {
		format = STIX20
	}
	return w.doc.add(format, start)
}

// finish puts together what the documents were.
func (w *walker) finish() (Info, error) {
	info := Info{Format: w.doc.format}
	if info.Format == "" || info.Format == JSON {
		info.Format = JSON
		info.Title = w.doc.titles.best(JSON)
		return info, nil
	}
	w.marks.resolve()
	if w.marks.err != nil {
		return Info{}, w.marks.err
	}
	info.Label = w.marks.label
	info.Title = w.doc.title()
	return info, nil
}

// spot is the place of the current value.
func (w *walker) spot() spot {
	var b strings.Builder
	for _, s := range w.path {
		if s.index >= 0 {
			fmt.Fprintf(&b, "[%d]", s.index)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.Write(s.key)
	}
	return spot{w.in.offset(), strings.ToValidUTF8(b.String(), "")}
}
