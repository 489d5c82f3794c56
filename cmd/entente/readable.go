package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/entente-network/entente/protocol/content"
)

// told are the fields of known structures that a person reads; identifiers, times and markings are left out.
var told = []string{"title", "info", "name", "abstract", "description", "content", "text", "summary", "explanation", "opinion",
	"comment", "cve", "pattern", "value", "details"}

// readable returns what a person reads of a document: text as it is; of STIX, MISP and CSAF the fields that tell something,
// in their order. A document that was cut short is told as far as it goes.
func readable(format string, doc []byte) string {
	if !slices.Contains([]content.Format{content.STIX20, content.STIX21, content.MISP, content.CSAF20, content.CSAF21}, content.Format(format)) {
		return string(doc)
	}
	w := &teller{d: json.NewDecoder(bytes.NewReader(doc)), seen: map[string]bool{}}
	w.d.UseNumber()
	w.value("")
	return w.b.String()
}

// A teller walks a document in its order.
type teller struct {
	d    *json.Decoder
	b    strings.Builder
	seen map[string]bool
}

// value tells the next value, which stands under key. It reports whether the document goes on.
func (w *teller) value(key string) bool {
	t, err := w.d.Token()
	if err != nil {
		return false
	}
	switch t := t.(type) {
	case json.Delim:
		switch t {
		case '{':
			for w.d.More() {
				k, err := w.d.Token()
				if err != nil {
					return false
				}
				name, _ := k.(string)
				if !w.value(name) {
					return false
				}
			}
		case '[':
			for w.d.More() {
				if !w.value(key) {
					return false
				}
			}
		}
		_, err := w.d.Token() // the end of it
		return err == nil
	case string:
		w.tell(key, t)
	}
	return true
}

func (w *teller) tell(key, s string) {
	s = strings.TrimSpace(s)
	if s == "" || !slices.Contains(told, key) || strings.HasPrefix(strings.ToUpper(s), "TLP:") {
		return
	}
	line := key + ": " + s
	if w.seen[line] {
		return
	}
	w.seen[line] = true
	if strings.Contains(s, "\n") {
		line = key + ":\n    " + strings.ReplaceAll(s, "\n", "\n    ")
	}
	w.b.WriteString(line + "\n")
}
