package protocol

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"

	"github.com/entente-network/entente/protocol/tlp"
)

// detSign signs as AddSignature does, but without randomness, so that a vector is the same each time.
func detSign(e *Envelope, keys ...*PrivateKey) *Envelope {
	for _, k := range keys {
		if err := e.AddSignature(k); err != nil {
			panic(err)
		}
	}
	for i, s := range e.Sigs {
		for _, k := range keys {
			if k.ml != nil && k.Public().ID() == s.KID {
				if err := mldsa65.SignTo(k.ml, pae(e.Type, e.Payload), []byte(mldsaContext), false, e.Sigs[i].ML); err != nil {
					panic(err)
				}
			}
		}
	}
	return e
}

// envelopeOf signs a payload, whether or not it is a record.
func envelopeOf(typ Type, payload []byte, keys ...*PrivateKey) *Envelope {
	return detSign(&Envelope{Type: typ, Payload: payload}, keys...)
}

// tree returns the items that v encodes to.
func tree(v any) refMap {
	m, err := refDecode(must(Marshal(v)))
	if err != nil {
		panic(err)
	}
	return m.(refMap)
}

// with returns the map with the field set, in its place.
func with(m refMap, key uint64, value any) refMap {
	m = without(m, key)
	i, _ := slices.BinarySearchFunc(m, key, func(p refPair, k uint64) int { return bytes.Compare(refEncode(p.key), refEncode(k)) })
	return slices.Insert(m, i, refPair{key, value})
}

func without(m refMap, key uint64) refMap {
	return slices.DeleteFunc(slices.Clone(m), func(p refPair) bool { return p.key == any(key) })
}

// edit returns a copy of the record of the type, changed.
func edit[T any](r *T, change func(*T)) *T {
	c := *r
	change(&c)
	return &c
}

// vectors returns the cases that testdata/vectors is written from.
var vectors = sync.OnceValue(func() []vector {
	var vs []vector
	vs = append(vs, goldenVectors()...)
	vs = append(vs, encodingVectors()...)
	vs = append(vs, envelopeVectors()...)
	vs = append(vs, recordVectors()...)
	vs = append(vs, parcelVectors()...)
	vs = append(vs, audienceVectors()...)
	vs = append(vs, controlVectors()...)
	vs = append(vs, agreementVectors()...)
	vs = append(vs, contentVectors()...)
	vs = append(vs, roomVectors()...)
	vs = append(vs, sealedVectors()...)
	return append(vs, otherVectors()...)
})

func goldenVectors() []vector {
	var vs []vector
	for _, x := range examples() {
		e := envelopeOf(x.record.recordType(), must(Marshal(x.record)), x.keys...)
		vs = append(vs, vector{name: x.name, expect: valid, form: "envelope", use: x.use, keys: x.public(), id: e.ID().String(),
			comment: "a record of type " + string(e.Type), data: e.Encode()})
	}
	return vs
}

// address returns a small record whose fields a vector breaks.
func address() *Address {
	return &Address{Team: Sum("at"), Node: nodeKey.Public().ID(), Seq: 1, Addrs: []string{"/ip4/192.0.2.1/tcp/4001"}, Issued: 5, Expires: 6}
}

func encodingVectors() []vector {
	var vs []vector
	add := func(expect, name, rules, comment string, payload []byte) {
		vs = append(vs, vector{name: "cbor-" + name, expect: expect, form: "envelope", rules: rules, use: UseNode,
			keys: []PublicKey{nodeKey.Public()}, comment: comment, data: envelopeOf(TypeAddress, payload, nodeKey).Encode()})
	}
	base := tree(address())
	plain := refEncode(base)
	bad := func(name, rules, comment string, m refMap) { add(malformed, name, rules, comment, refEncode(m)) }
	ext := func(v any) refMap { return with(base, 900, v) }
	team, node := must(Marshal(Sum("at"))), must(Marshal(nodeKey.Public().ID()))

	bad("int-long-1", "P-1", "5 in two bytes", with(base, 5, refRaw{0x18, 5}))
	bad("int-long-2", "P-1", "5 in three bytes", with(base, 5, refRaw{0x19, 0, 5}))
	bad("int-long-4", "P-1", "5 in five bytes", with(base, 5, refRaw{0x1a, 0, 0, 0, 5}))
	bad("int-long-8", "P-1", "5 in nine bytes", with(base, 5, refRaw{0x1b, 0, 0, 0, 0, 0, 0, 0, 5}))
	bad("negative-long", "P-1", "-1 in two bytes, in an extension", ext(refRaw{0x38, 0}))
	bad("key-long", "P-1", "a key in two bytes", refMap{{refRaw{0x18, 1}, base[0].value}, base[1], base[2], base[3], base[4], base[5]})
	bad("bytes-long", "P-1", "the length of a byte string in three bytes", with(base, 2, append(refRaw{0x59, 0, 16}, node[1:]...)))
	bad("text-long", "P-1", "the length of a text in two bytes", with(base, 4, []any{refRaw("\x78\x01x")}))
	bad("array-long", "P-1", "the length of an array in two bytes", with(base, 4, refRaw("\x98\x01\x61x")))
	add(malformed, "map-long", "P-1", "the length of a map in two bytes", append([]byte{0xb8}, append([]byte{6}, plain[1:]...)...))
	bad("int-reserved", "P-1", "a head with the reserved additional information 28", with(base, 5, refRaw{0x1c}))

	bad("int-reserved-extension", "P-1 P-94", "the additional information 28 with sixteen bytes, in an extension",
		ext(refRaw("\x1c"+strings.Repeat("\xff", 16))))
	for i, raw := range []string{"\x18\x05", "\x19\x00\x05", "\x1a\x00\x00\x00\x05", "\x1b\x00\x00\x00\x00\x00\x00\x00\x05"} {
		bad("int-long-extension-"+string(rune('1'+i)), "P-1 P-94", "5 in too many bytes, in an extension", ext(refRaw(raw)))
	}
	bad("bytes-indefinite", "P-2", "a byte string in chunks", with(base, 1, refRaw("\x5f"+string(team)+"\xff")))
	bad("text-indefinite", "P-2", "a text in chunks", with(base, 4, []any{refRaw("\x7f\x61x\xff")}))
	bad("array-indefinite", "P-2", "an array up to a break", with(base, 4, refRaw("\x9f\x61x\xff")))
	add(malformed, "map-indefinite", "P-2", "a map up to a break", append([]byte{0xbf}, append(slices.Clone(plain[1:]), 0xff)...))
	bad("break", "P-2", "a break alone", with(base, 5, refRaw{0xff}))

	bad("map-unsorted", "P-3", "keys 2 and 1 in this order", refMap{base[1], base[0], base[2], base[3], base[4], base[5]})
	bad("map-unsorted-inside", "P-3", "unsorted keys in the map of an extension", ext(refMap{{uint64(2), true}, {uint64(1), true}}))
	bad("map-length-first", "P-3", "keys in the order of RFC 7049, the shorter first", ext(refMap{{refNegative(0), true}, {uint64(24), true}}))
	bad("map-duplicate", "P-3", "key 1 twice", refMap{base[0], base[0], base[1], base[2], base[3], base[4], base[5]})

	bad("key-array", "P-4", "a map key that is an array", ext(refMap{{[]any{}, true}}))
	bad("key-map", "P-4", "a map key that is a map", ext(refMap{{refMap{}, true}}))
	bad("key-bool", "P-4", "a map key that is false", ext(refMap{{false, true}}))
	add(valid, "key-text", "P-4", "map keys that are a number, a byte string and a text, in an extension",
		refEncode(ext(refMap{{refNegative(0), true}, {[]byte{1}, true}, {"x", true}})))

	for _, c := range []struct{ name, comment, raw string }{
		{"float16", "the float 1.0", "\xf9\x3c\x00"}, {"float32", "the float 1.0", "\xfa\x3f\x80\x00\x00"},
		{"float64", "the float 1.0", "\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"}, {"tag", "a tagged time", "\xc1\x05"},
		{"bignum", "a bignum", "\xc2\x41\x05"}, {"null", "null", "\xf6"}, {"undefined", "undefined", "\xf7"},
		{"simple", "the simple value 0", "\xe0"}, {"simple-long", "the simple value 255", "\xf8\xff"},
	} {
		bad(c.name, "P-5", c.comment+" for an integer", with(base, 5, refRaw(c.raw)))
		bad(c.name+"-extension", "P-5 P-94", c.comment+" in an extension", ext(refRaw(c.raw)))
	}
	bad("text-not-utf8", "P-6", "a text with the byte ff", with(base, 4, []any{refRaw("\x61\xff")}))
	bad("text-not-utf8-extension", "P-6 P-94", "a text with the byte ff in an extension", ext(refRaw("\x61\xff")))
	bad("text-surrogate", "P-6", "a text with the encoding of a surrogate", with(base, 4, []any{refRaw("\x63\xed\xa0\x80")}))
	add(malformed, "trailing", "P-7", "a byte after the record", append(slices.Clone(plain), 0))
	add(malformed, "truncated", "P-8", "the last byte is missing", plain[:len(plain)-1])
	add(malformed, "empty", "P-8", "no bytes at all", []byte{})
	bad("truncated-bytes", "P-8", "a byte string of 2^64 - 1 bytes", with(base, 6, refRaw{0x5b, 255, 255, 255, 255, 255, 255, 255, 255}))
	add(malformed, "not-a-map", "P-14", "an array where a map is wanted", refEncode([]any{}))

	nested := func(n int) any {
		var v any = uint64(0)
		for range n {
			v = []any{v}
		}
		return v
	}
	add(valid, "depth-8", "P-9 P-93", "a number inside 8 others, in an extension", refEncode(ext(nested(7))))
	bad("depth-9", "P-9", "a number inside 9 others, in an extension", ext(nested(8)))
	long := func(n int) (list []any, m refMap) {
		for i := range n {
			list, m = append(list, false), append(m, refPair{uint64(i), false})
		}
		return list, m
	}
	list, m := long(4096)
	add(valid, "array-4096", "P-10", "a list of 4,096 entries, in an extension", refEncode(ext(list)))
	add(valid, "map-4096", "P-10", "a map of 4,096 pairs, in an extension", refEncode(ext(m)))
	list, m = long(4097)
	bad("array-4097", "P-10", "a list of 4,097 entries, in an extension", ext(list))
	bad("map-4097", "P-10", "a map of 4,097 pairs, in an extension", ext(m))
	bad("array-huge", "P-10 P-99", "a list of 2^64 - 1 entries", with(base, 4, refRaw{0x9b, 255, 255, 255, 255, 255, 255, 255, 255}))

	bad("field-missing", "P-11", "no time of issue", without(base, 5))
	bad("field-unknown", "P-12", "key 7, which no table names", with(base, 7, uint64(0)))
	bad("field-negative", "P-12", "key -1", append(slices.Clone(base), refPair{refNegative(0), uint64(0)}))
	bad("field-text", "P-12", "a key that is a text", append(slices.Clone(base), refPair{"1", uint64(0)}))
	bad("field-absent-list", "P-13", "an empty list spelled out", with(base, 4, []any{}))
	bad("hash-31", "P-14", "a hash of 31 bytes", with(base, 1, make([]byte, 31)))
	bad("hash-33", "P-14", "a hash of 33 bytes", with(base, 1, bytes.Repeat([]byte{1}, 33)))
	bad("hash-text", "P-14", "a hash as text", with(base, 1, strings.Repeat("a", 32)))
	bad("hash-array", "P-14", "a hash as a list of numbers", with(base, 1, slices.Repeat([]any{uint64(1)}, 32)))
	bad("int-negative", "P-14", "a negative time", with(base, 5, refNegative(4)))
	bad("int-bool", "P-14", "true for a number", with(base, 5, true))
	bad("text-bytes", "P-14", "a byte string for a text", with(base, 4, []any{[]byte("x")}))
	bad("list-text", "P-14", "a text for a list of texts", with(base, 4, "x"))

	add(valid, "extension-900", "P-93", "an extension that no reader knows", refEncode(ext(refMap{{uint64(1), "x"}, {uint64(2), []byte{1}}})))
	add(valid, "extension-999", "P-93", "the last extension that is ignored", refEncode(with(base, 999, true)))
	bad("extension-899", "P-12", "key 899, before the extensions", with(base, 899, true))
	bad("extension-1000", "P-95", "key 1000, which a reader must know", with(base, 1000, true))
	bad("extension-large", "P-95", "key 66436, which is 900 in its last 16 bits", with(base, 65536+900, true))
	bad("extension-shifted", "P-95", "key 58982400, which is 900 in its first 16 bits of 32", with(base, 900<<16, true))
	bad("extension-bytes", "P-12", "a key that is a byte string with 900 in it", append(slices.Clone(base), refPair{[]byte{3, 0x84}, true}))
	bad("extension-duplicate", "P-3 P-94", "extension 900 twice", append(ext(true), refPair{uint64(900), true}))
	inside := tree(exampleOfType(TypeHeads).record)
	head := inside[4].value.([]any)[0].(refMap)
	e := envelopeOf(TypeHeads, refEncode(with(inside, 5, []any{with(head, 900, true)})), nodeKey)
	return append(vs, vector{name: "cbor-extension-inside", expect: malformed, form: "envelope", rules: "P-96", comment: "key 900 in a map inside",
		data: e.Encode()})
}

func exampleOfType(typ Type) example {
	xs := examples()
	return xs[slices.IndexFunc(xs, func(x example) bool { return x.record.recordType() == typ })]
}

func envelopeVectors() []vector {
	var vs []vector
	node, hybrid := []PublicKey{nodeKey.Public()}, []PublicKey{officerKey.Public()}
	add := func(expect, name, rules, comment string, use Use, keys []PublicKey, data []byte) {
		vs = append(vs, vector{name: "envelope-" + name, expect: expect, form: "envelope", rules: rules, use: use, keys: keys, comment: comment, data: data})
	}
	bad := func(name, rules, comment string, v any) {
		add(malformed, name, rules, comment, UseNode, node, refEncode(v))
	}
	payload := must(Marshal(address()))
	good := envelopeOf(TypeAddress, payload, nodeKey)
	item := func(s Signature) any { return []any{s.KID[:], uint64(s.Suite), s.Ed[:], s.ML} }
	sig := item(good.Sigs[0])
	env := func(sigs ...any) any { return []any{string(TypeAddress), payload, sigs} }
	sigWith := func(i int, v any) any {
		s := slices.Clone(sig.([]any))
		s[i] = v
		return env(s)
	}
	numbered := func(n int) any {
		s := slices.Clone(sig.([]any))
		s[0] = append(make([]byte, 15), byte(n))
		return s
	}

	bad("no-signature", "P-22", "an envelope without a signature", []any{string(TypeAddress), payload, []any{}})
	many := []any{}
	for i := range 17 {
		many = append(many, numbered(i+1))
	}
	bad("17-signatures", "P-22", "17 signatures", env(many...))
	bad("unsorted", "P-23", "signatures in the wrong order", env(numbered(2), numbered(1)))
	bad("duplicate", "P-23", "one signature twice", env(sig, sig))
	bad("suite-0", "P-24", "a signature of suite 0", sigWith(1, uint64(0)))
	bad("suite-3", "P-24", "a signature of suite 3", sigWith(1, uint64(3)))
	bad("suite-256", "P-14", "a suite that does not fit eight bits", sigWith(1, uint64(257)))
	bad("suite-1-ml", "P-24", "an ML-DSA part in suite 1", sigWith(3, make([]byte, 3309)))
	bad("suite-2-no-ml", "P-24", "no ML-DSA part in suite 2", sigWith(1, uint64(2)))
	bad("signature-63", "P-14", "an Ed25519 part of 63 bytes", sigWith(2, make([]byte, 63)))
	bad("signature-null", "P-5", "null for no ML-DSA part", sigWith(3, refRaw{0xf6}))
	bad("signature-3-items", "P-14", "a signature of three items", env(sig.([]any)[:3]))
	bad("4-items", "P-14", "an envelope of four items", append(env(sig).([]any), uint64(0)))
	bad("2-items", "P-14", "an envelope of two items", env(sig).([]any)[:2])
	bad("map", "P-14", "an envelope as a map", refMap{{uint64(1), string(TypeAddress)}, {uint64(2), payload}, {uint64(3), []any{sig}}})
	bad("type-bytes", "P-14", "a type as a byte string", []any{[]byte(TypeAddress), payload, []any{sig}})
	bad("payload-text", "P-14", "a payload as a text", []any{string(TypeAddress), "x", []any{sig}})
	bad("trailing", "P-7", "a byte after the envelope", refRaw(append(good.Encode(), 0)))
	bad("truncated", "P-8", "the last byte is missing", refRaw(good.Encode()[:len(good.Encode())-1]))
	bad("type-unknown", "P-25", "a type that is not registered", []any{"entente/v1/other", payload, []any{sig}})
	bad("type-empty", "P-25", "no type", []any{"", payload, []any{sig}})
	bad("type-other", "P-11", "the payload of another type", []any{string(TypeHeads), payload, []any{sig}})

	not := func(name, rules, comment string, use Use, keys []PublicKey, e *Envelope) {
		add(unsigned, name, rules, comment, use, keys, e.Encode())
	}
	// change returns the envelope with its only signature changed.
	change := func(e *Envelope, f func(*Signature)) *Envelope {
		s := e.Sigs[0]
		s.ML = slices.Clone(s.ML)
		f(&s)
		return &Envelope{Type: e.Type, Payload: e.Payload, Sigs: []Signature{s}}
	}
	card := exampleOfType(TypeCard).record
	hy := envelopeOf(TypeCard, must(Marshal(card)), officerKey)
	other := envelopeOf(TypeCard, must(Marshal(card)), rootKey)

	not("flipped-payload", "P-30", "a bit of the payload flipped, in the time of issue", UseNode, node,
		&Envelope{Type: TypeAddress, Payload: refEncode(with(tree(address()), 5, uint64(4))), Sigs: good.Sigs})
	not("flipped-signature", "P-30", "a bit of the signature flipped", UseNode, node, change(good, func(s *Signature) { s.Ed[0] ^= 1 }))
	not("other-type", "P-20 P-30", "a signature that was made for another type", UseNode, node,
		&Envelope{Type: TypeAddress, Payload: payload, Sigs: envelopeOf(TypeHeads, payload, nodeKey).Sigs})
	not("other-key", "P-28", "the id of a key with the signature of another", UseNode, node,
		change(envelopeOf(TypeAddress, payload, otherNode), func(s *Signature) { s.KID = nodeKey.Public().ID() }))
	not("not-listed", "P-31", "signed by a key that is not listed", UseNode, node, envelopeOf(TypeAddress, payload, otherNode))
	not("second-signature", "P-31", "a record of a node with a second signature", UseNode, node, envelopeOf(TypeAddress, payload, nodeKey, otherNode))
	not("officer-for-node", "P-27 P-36", "a record of a node, signed by an officer", UseOfficer, hybrid, envelopeOf(TypeAddress, payload, officerKey))
	not("node-for-officer", "P-27 P-36", "a card, signed by a node", UseNode, node, envelopeOf(TypeCard, must(Marshal(card)), nodeKey))
	not("root-for-officer", "P-27 P-36", "a card, signed by a root key", UseRoot, []PublicKey{rootKey.Public()}, other)
	not("hybrid-ed-flipped", "P-32", "suite 2 with a wrong Ed25519 part", UseOfficer, hybrid, change(hy, func(s *Signature) { s.Ed[5] ^= 4 }))
	not("hybrid-ml-flipped", "P-32", "suite 2 with a wrong ML-DSA part", UseOfficer, hybrid, change(hy, func(s *Signature) { s.ML[100] ^= 4 }))
	not("hybrid-swapped-ed", "P-32", "suite 2 with the Ed25519 part of another signer", UseOfficer, hybrid,
		change(hy, func(s *Signature) { s.Ed = other.Sigs[0].Ed }))
	not("hybrid-swapped-ml", "P-32", "suite 2 with the ML-DSA part of another signer", UseOfficer, hybrid,
		change(hy, func(s *Signature) { s.ML = other.Sigs[0].ML }))
	not("hybrid-downgraded", "P-28", "a key of suite 2 with a signature of suite 1", UseOfficer, hybrid,
		change(hy, func(s *Signature) { s.Suite, s.ML = Ed25519, []byte{} }))
	no := envelopeOf(TypeCard, must(Marshal(card)), officerKey)
	if err := mldsa65.SignTo(officerKey.ml, pae(no.Type, no.Payload), nil, false, no.Sigs[0].ML); err != nil {
		panic(err)
	}
	not("hybrid-no-context", "P-32", "an ML-DSA part without the context string", UseOfficer, hybrid, no)
	not("missing-second-key", "P-29", "two keys are wanted, one has signed", UseOfficer, []PublicKey{officerKey.Public(), rootKey.Public()}, hy)
	not("key-twice", "P-29", "one key listed twice has signed once", UseOfficer, []PublicKey{officerKey.Public(), officerKey.Public()}, hy)
	add(valid, "two-keys", "P-29", "two listed keys have signed", UseOfficer, []PublicKey{officerKey.Public(), rootKey.Public()},
		envelopeOf(TypeCard, must(Marshal(card)), officerKey, rootKey).Encode())
	add(valid, "signature-not-listed", "P-29", "a signature of a key that is not listed says nothing", UseOfficer, hybrid,
		envelopeOf(TypeCard, must(Marshal(card)), officerKey, rootKey).Encode())

	not("s-not-reduced", "P-33", "S with the group order added", UseNode, node, change(good, func(s *Signature) {
		n := new(big.Int).Add(littleEndian(s.Ed[32:]), groupOrder)
		copy(s.Ed[32:], toLittleEndian(n))
	}))
	not("cofactor", "P-33", "a signature that verifies only if multiplied by the cofactor", UseNode, node,
		change(good, func(s *Signature) { s.Ed = cofactoredSignature(nodeKey.ed, pae(TypeAddress, payload)) }))
	return vs
}

func recordVectors() []vector {
	var vs []vector
	put := func(expect, name, rules, comment string, typ Type, payload []byte) {
		v := vector{name: name, expect: expect, form: "envelope", rules: rules, comment: comment, data: envelopeOf(typ, payload, nodeKey).Encode()}
		if expect == valid {
			v.use, v.keys = UseNode, []PublicKey{nodeKey.Public()}
		}
		vs = append(vs, v)
	}
	bad := func(name, rules, comment string, r Record) {
		put(malformed, name, rules, comment, r.recordType(), must(Marshal(r)))
	}
	root := exampleRoot()
	later := edit(root, func(r *Root) { r.Team, r.N, r.Prev = Sum("at"), 1, Sum("0") })
	set := SealedSet{Keys: []PublicKey{recoveryKey.Public()}, Threshold: 1}
	sealed := edit(later, func(r *Root) { r.Path, r.Reveal = PathSealed, &set })
	onRoot := func(name, rules, comment string, f func(*Root)) { bad("root-"+name, rules, comment, edit(root, f)) }
	onRoot("first-with-team", "P-39", "the first record with a team", func(r *Root) { r.Team = Sum("at") })
	onRoot("first-with-prev", "P-39", "the first record with a predecessor", func(r *Root) { r.Prev = Sum("0") })
	bad("root-later-no-team", "P-39", "a later record without a team", edit(later, func(r *Root) { r.Team = Hash{} }))
	bad("root-later-no-prev", "P-39", "a later record without a predecessor", edit(later, func(r *Root) { r.Prev = Hash{} }))
	bad("root-n-large", "P-19", "a number over 2^53 - 1", edit(later, func(r *Root) { r.N = MaxCounter + 1 }))
	onRoot("path-0", "P-40", "no path", func(r *Root) { r.Path = 0 })
	bad("root-path-guardian", "P-40", "the reserved path 2", edit(later, func(r *Root) { r.Path = PathGuardian }))
	bad("root-sealed-no-reveal", "P-40", "path 3 without the recovery keys", edit(sealed, func(r *Root) { r.Reveal = nil }))
	bad("root-reveal", "P-40", "recovery keys in path 1", edit(sealed, func(r *Root) { r.Path = PathRoot }))
	onRoot("first-sealed", "P-40", "a first record of path 3", func(r *Root) { r.Path, r.Reveal = PathSealed, &set })
	onRoot("no-keys", "P-41", "no keys", func(r *Root) { r.Keys = nil })
	onRoot("threshold-0", "P-41", "a threshold of 0", func(r *Root) { r.Threshold = 0 })
	onRoot("threshold-2", "P-41", "a threshold over the number of keys", func(r *Root) { r.Threshold = 2 })
	onRoot("key-twice", "P-41", "a key twice", func(r *Root) { r.Keys = []PublicKey{rootKey.Public(), rootKey.Public()} })
	onRoot("key-suite-1", "P-41", "a root key of suite 1", func(r *Root) { r.Keys = []PublicKey{nodeKey.Public()} })
	onRoot("officer-suite-1", "P-41", "an officer key of suite 1", func(r *Root) { r.Officers = []Officer{{Key: nodeKey.Public(), Name: "x"}} })
	onRoot("key-is-officer", "P-42", "a key that is root and officer", func(r *Root) { r.Officers = []Officer{{Key: rootKey.Public(), Name: "x"}} })
	bad("root-recovery-is-root", "P-42", "a recovery key that becomes a root key",
		edit(sealed, func(r *Root) { r.Keys = []PublicKey{recoveryKey.Public()} }))
	bad("root-recovery-is-officer", "P-42", "a recovery key that becomes an officer's",
		edit(sealed, func(r *Root) { r.Officers = []Officer{{Key: recoveryKey.Public(), Name: "x"}} }))
	onRoot("no-officers", "P-43", "no officers", func(r *Root) { r.Officers = nil })
	onRoot("officer-no-name", "P-15 P-43", "an officer without a name", func(r *Root) { r.Officers = []Officer{{Key: officerKey.Public()}} })
	acts := func(a ...Act) func(*Root) {
		return func(r *Root) { r.Officers = []Officer{{Key: officerKey.Public(), Name: "x", Acts: a}} }
	}
	onRoot("act-unknown", "P-44", "an unknown act", acts(ActManifest, "sing"))
	onRoot("acts-unsorted", "P-44", "acts in the wrong order", acts(ActManifest, ActCard))
	onRoot("acts-twice", "P-44", "an act twice", acts(ActManifest, ActManifest))
	onRoot("threshold-act-unknown", "P-44", "a threshold of an unknown act", func(r *Root) {
		r.Officers, r.Thresholds = []Officer{{Key: officerKey.Public(), Name: "x"}}, []Threshold{{"sing", 1}}
	})
	onRoot("thresholds-unsorted", "P-44", "thresholds in the wrong order",
		func(r *Root) {
			r.Officers, r.Thresholds = []Officer{{Key: officerKey.Public(), Name: "x"}}, []Threshold{{ActManifest, 1}, {ActCard, 1}}
		})
	onRoot("officer-threshold-0", "P-45", "a threshold of 0 officers", func(r *Root) { r.Thresholds = []Threshold{{ActManifest, 0}} })
	onRoot("officer-threshold-2", "P-45", "a threshold over the number of officers", func(r *Root) { r.Thresholds = []Threshold{{ActManifest, 2}} })
	onRoot("officer-threshold-nobody", "P-45", "a threshold for an act that no officer may sign", func(r *Root) { r.Thresholds = []Threshold{{ActVote, 1}} })
	onRoot("sealed-zero", "P-46", "no commitment to recovery keys", func(r *Root) { r.Sealed = Hash{} })
	onRoot("floor-empty", "P-47", "a floor without a manifest", func(r *Root) { r.Floor = &Floor{} })
	onRoot("issued-late", "P-18", "issued after the year 9999", func(r *Root) { r.Issued = MaxTime + 1 })
	onRoot("reason-control", "P-16", "a reason with an escape character", func(r *Root) { r.Reason = "\x1b[2J" })

	m := exampleManifest()
	onManifest := func(name, rules, comment string, f func(*Manifest)) {
		bad("manifest-"+name, rules, comment, edit(m, f))
	}
	onManifest("version-0", "P-48", "version 0", func(m *Manifest) { m.Version = 0 })
	onManifest("first-with-prev", "P-48", "version 1 with a predecessor", func(m *Manifest) { m.Version = 1 })
	onManifest("no-prev", "P-48", "version 2 without a predecessor", func(m *Manifest) { m.Prev = Hash{} })
	onManifest("no-team", "P-48", "no team", func(m *Manifest) { m.Team = Hash{} })
	onManifest("no-root", "P-48", "no root record", func(m *Manifest) { m.Root = Hash{} })
	onManifest("revoked-late", "P-18", "revoked after the year 9999",
		func(m *Manifest) {
			m.Revoked = []Revoked{*edit(&m.Revoked[0], func(r *Revoked) { r.At = MaxTime + 1 })}
		})
	onManifest("version-large", "P-19", "a version over 2^53 - 1", func(m *Manifest) { m.Version = MaxCounter + 1 })
	onManifest("life-none", "P-49", "expires when it is issued", func(m *Manifest) { m.Expires = m.Issued })
	onManifest("life-long", "P-49", "valid for 180 days and a second", func(m *Manifest) { m.Expires = m.Issued + 180*86400 + 1 })
	onManifest("nodes-33", "P-50", "33 nodes", func(m *Manifest) {
		m.Nodes = nil
		for i := range 33 {
			m.Nodes = append(m.Nodes, Node{Key: fakeKey(i), Peer: []byte{byte(i + 1)}, Name: "n"})
		}
	})
	onManifest("revoked-257", "P-50", "257 revoked nodes", func(m *Manifest) {
		m.Revoked = nil
		for i := range 257 {
			m.Revoked = append(m.Revoked, Revoked{Node: Node{Key: fakeKey(i), Peer: []byte{1}, Name: "n"}})
		}
	})
	onManifest("operators-65", "P-50", "65 operators", func(m *Manifest) {
		m.Operators = nil
		for i := range 65 {
			m.Operators = append(m.Operators, Operator{Name: fmt.Sprint("operator ", i), Recipient: "r"})
		}
	})
	onManifest("node-twice", "P-51", "a node twice, with two peer ids", func(m *Manifest) {
		m.Nodes = append(m.Nodes[:1:1], *edit(&m.Nodes[0], func(n *Node) { n.Peer = []byte{9} }))
	})
	onManifest("node-and-revoked", "P-51", "a node both current and revoked", func(m *Manifest) { m.Revoked = []Revoked{{Node: m.Nodes[0]}} })
	onManifest("peer-twice", "P-51", "a peer id twice", func(m *Manifest) {
		m.Nodes = append(m.Nodes[:1:1], Node{Key: fakeKey(1), Peer: m.Nodes[0].Peer, Name: "n"})
	})
	onNode := func(name, rules, comment string, f func(*Node)) {
		onManifest(name, rules, comment, func(m *Manifest) { m.Nodes = []Node{*edit(&m.Nodes[0], f)} })
	}
	onNode("peer-empty", "P-51", "no peer id", func(n *Node) { n.Peer = nil })
	onNode("peer-65", "P-51", "a peer id of 65 bytes", func(n *Node) { n.Peer = make([]byte, 65) })
	onNode("recipient-space", "P-17", "a recipient with a space", func(n *Node) { n.Recipient = "age1 x" })
	onNode("name-control", "P-15", "a name with a line feed", func(n *Node) { n.Name = "a\nb" })
	onNode("name-override", "P-15", "a name with a right-to-left override", func(n *Node) { n.Name = "a\u202eb" })
	onNode("name-space", "P-15", "a name that ends with a space", func(n *Node) { n.Name = "a " })
	onNode("name-121", "P-15", "a name of 121 bytes", func(n *Node) { n.Name = strings.Repeat("a", 121) })
	onNode("key-suite-3", "P-35", "a key of suite 3", func(n *Node) { n.Key.Suite = 3 })
	onNode("key-ml", "P-35", "a key of suite 1 with an ML-DSA part", func(n *Node) { n.Key.ML = make([]byte, 1952) })
	onNode("key-no-ml", "P-35", "a key of suite 2 without an ML-DSA part", func(n *Node) { n.Key.Suite = Hybrid })
	for i, h := range smallOrder {
		ed := [32]byte(must(hex.DecodeString(h)))
		onNode("key-small-order-"+string(rune('1'+i)), "P-34", "a key of small order", func(n *Node) { n.Key.Ed = ed })
	}
	onNode("key-small-order-sign", "P-34", "the neutral element with the sign bit", func(n *Node) { n.Key.Ed = [32]byte{0: 1, 31: 0x80} })
	onNode("key-not-canonical", "P-34", "a key with y = p + 3", func(n *Node) {
		n.Key.Ed = [32]byte(toLittleEndian(new(big.Int).Add(fieldPrime, big.NewInt(3))))
	})
	onManifest("operator-twice", "P-52", "two operators of one name", func(m *Manifest) { m.Operators = append(m.Operators[:1:1], m.Operators[0]) })
	onManifest("operator-no-recipient", "P-17", "an operator without a recipient", func(m *Manifest) { m.Operators = []Operator{{Name: "x"}} })
	onManifest("recipient-4001", "P-17", "a recipient of 4,001 bytes",
		func(m *Manifest) { m.Operators = []Operator{{Name: "x", Recipient: strings.Repeat("r", 4001)}} })
	put(malformed, "manifest-key-ml-empty", "P-13", "a public key with an empty ML-DSA part spelled out", TypeManifest,
		refEncode(with(tree(m), 7, []any{with(tree(m.Nodes[0]), 1, with(tree(m.Nodes[0].Key), 3, []byte{}))})))

	c := exampleCard()
	onCard := func(name, rules, comment string, f func(*Card)) { bad("card-"+name, rules, comment, edit(c, f)) }
	onCard("no-team", "P-53", "no team", func(c *Card) { c.Team = Hash{} })
	onCard("version-0", "P-53", "version 0", func(c *Card) { c.Version = 0 })
	onCard("version-large", "P-19", "a version over 2^53 - 1", func(c *Card) { c.Version = MaxCounter + 1 })
	onCard("issued-late", "P-18", "issued after the year 9999", func(c *Card) { c.Issued = MaxTime + 1 })
	onCard("no-name", "P-53", "no name", func(c *Card) { c.Name = "" })
	onCard("country-lower", "P-53", "a country in lower case", func(c *Card) { c.Country = "at" })
	onCard("country-3", "P-53", "a country of three letters", func(c *Card) { c.Country = "AUT" })
	onCard("languages-1025", "P-54", "1,025 languages", func(c *Card) { c.Languages = slices.Repeat([]string{"x"}, 1025) })
	onCard("asns-1025", "P-54", "1,025 autonomous systems", func(c *Card) { c.Constituency.ASNs = make([]uint32, 1025) })
	onCard("mails-1025", "P-54", "1,025 mail addresses", func(c *Card) { c.Mails = make([]Contact, 1025) })
	onCard("text-4001", "P-16", "an address of 4,001 bytes", func(c *Card) { c.Address = strings.Repeat("x", 4001) })
	onCard("prefix-host", "P-55", "a prefix with bits after the mask", func(c *Card) { c.Constituency.Prefixes = []string{"192.0.2.1/24"} })
	onCard("prefix-spelling", "P-55", "a prefix in capitals", func(c *Card) { c.Constituency.Prefixes = []string{"2001:DB8::/32"} })
	onCard("domain-capital", "P-55", "a domain in capitals", func(c *Card) { c.Constituency.Domains = []string{"Example"} })
	onCard("domain-dot", "P-55", "a domain with a leading dot", func(c *Card) { c.Constituency.Domains = []string{".example"} })
	onCard("domain-mail", "P-55", "a mail address for a domain", func(c *Card) { c.Constituency.Domains = []string{"a@example"} })
	onCard("constituency-country", "P-55", "a country in lower case in the constituency", func(c *Card) { c.Constituency.Countries = []string{"at"} })
	put(malformed, "card-asn-33-bits", "P-14", "an autonomous system of 33 bits", TypeCard,
		refEncode(with(tree(c), 16, with(tree(c.Constituency), 2, []any{uint64(1 << 32)}))))
	put(malformed, "card-text-empty", "P-13", "an empty text spelled out", TypeCard, refEncode(with(tree(c), 9, "")))

	a := exampleOfType(TypeAttest).record.(*Attest)
	onAttest := func(name, rules, comment string, f func(*Attest)) { bad("attest-"+name, rules, comment, edit(a, f)) }
	onAttest("method", "P-56", "an unknown method", func(a *Attest) { a.Method = "mail" })
	onAttest("self", "P-57", "a team that attests itself", func(a *Attest) { a.Subject = a.Issuer })
	onAttest("no-subject", "P-57", "no subject", func(a *Attest) { a.Subject = Hash{} })
	onAttest("life-none", "P-58", "expires before it was issued", func(a *Attest) { a.Expires = a.Issued - 1 })
	onAttest("life-long", "P-58", "valid for 1,098 days and a second", func(a *Attest) { a.Expires = a.Issued + 1098*86400 + 1 })
	put(malformed, "attest-false", "P-13", "false spelled out", TypeAttest, refEncode(with(tree(a), 6, false)))
	put(malformed, "attest-retract-1", "P-14", "1 for true", TypeAttest, refEncode(with(tree(a), 6, uint64(1))))

	cut := exampleOfType(TypeCutoff).record.(*Cutoff)
	onCutoff := func(name, rules, comment string, f func(*Cutoff)) { bad("cutoff-"+name, rules, comment, edit(cut, f)) }
	onCutoff("no-hash", "P-59", "a last entry without its id", func(c *Cutoff) { c.LastHash = Hash{} })
	onCutoff("nothing-with-hash", "P-59", "no last entry, with an id", func(c *Cutoff) { c.LastSeq, c.Void = 0, nil })
	onCutoff("seq-large", "P-19", "a sequence number over 2^53 - 1", func(c *Cutoff) { c.LastSeq = MaxCounter + 1 })
	onCutoff("issued-late", "P-18", "issued after the year 9999", func(c *Cutoff) { c.Issued = MaxTime + 1 })
	onCutoff("void-0", "P-60", "entry 0 void", func(c *Cutoff) { c.Void = []uint64{0} })
	onCutoff("void-unsorted", "P-60", "void entries in the wrong order", func(c *Cutoff) { c.Void = []uint64{7, 3} })
	onCutoff("void-beyond", "P-60", "a void entry after the last", func(c *Cutoff) { c.Void = []uint64{10} })
	put(malformed, "cutoff-hash-zero", "P-13", "a hash of zeros spelled out", TypeCutoff,
		refEncode(with(with(without(tree(cut), 6), 4, uint64(0)), 5, make([]byte, 32))))

	onAddress := func(name, rules, comment string, f func(*Address)) {
		bad("address-"+name, rules, comment, edit(address(), f))
	}
	onAddress("17", "P-61", "17 addresses", func(a *Address) { a.Addrs = slices.Repeat([]string{"/x"}, 17) })
	onAddress("empty", "P-17", "an address without a character", func(a *Address) { a.Addrs = []string{""} })
	onAddress("control", "P-17", "an address with an escape character", func(a *Address) { a.Addrs = []string{"/\x1b"} })
	onAddress("257", "P-17", "an address of 257 bytes", func(a *Address) { a.Addrs = []string{strings.Repeat("a", 257)} })
	onAddress("life-long", "P-62", "valid for 30 days and a second", func(a *Address) { a.Expires = a.Issued + 30*86400 + 1 })
	onAddress("issued-0", "P-62", "never issued", func(a *Address) { a.Issued = 0 })
	onAddress("seq-0", "", "sequence number 0", func(a *Address) { a.Seq = 0 })
	onAddress("late", "P-18", "expires after the year 9999", func(a *Address) { a.Issued, a.Expires = MaxTime, MaxTime+1 })
	onAddress("seq-large", "P-19", "a sequence number over 2^53 - 1", func(a *Address) { a.Seq = MaxCounter + 1 })

	st := exampleStatement()
	onStatement := func(name, rules, comment string, f func(*Statement)) {
		bad("statement-"+name, rules, comment, edit(st, f))
	}
	onStatement("no-author", "P-63", "no author", func(s *Statement) { s.Author = Hash{} })
	onStatement("no-node", "P-63", "no node", func(s *Statement) { s.Node = KID{} })
	onStatement("no-clock", "P-63", "no clock", func(s *Statement) { s.Clock = 0 })
	onStatement("clock-late", "P-64", "a clock after the year 9999", func(s *Statement) { s.Clock = maxClock + 1 })
	onStatement("kind-0", "P-65", "no kind", func(s *Statement) { s.Kind = 0 })
	onStatement("kind-5", "P-65", "an unknown kind", func(s *Statement) { s.Kind = 5 })
	onStatement("correction-of-nothing", "P-65", "a correction that names no statement", func(s *Statement) { s.Kind = KindCorrection })
	onStatement("message-supersedes", "P-65", "a message that replaces another", func(s *Statement) { s.Supersedes = Sum("x") })
	onStatement("audience-0", "P-66", "no audience", func(s *Statement) { s.Audience.Kind = 0 })
	onStatement("audience-5", "P-66", "an unknown kind of audience", func(s *Statement) { s.Audience.Kind = 5 })
	onStatement("label-0", "P-67", "no label", func(s *Statement) { s.Label = tlp.Unset })
	onStatement("label-6", "P-67", "an unknown label", func(s *Statement) { s.Label = 6 })
	onStatement("title-801", "P-68", "a title of 801 bytes", func(s *Statement) { s.Title = strings.Repeat("t", 801) })
	onStatement("title-control", "P-68", "a title with an escape character", func(s *Statement) { s.Title = "\x1b" })
	onStatement("refs-65", "P-69", "65 references", func(s *Statement) { s.Refs = slices.Repeat([]Hash{Sum("x")}, 65) })
	onStatement("sources-65", "P-69", "65 sources", func(s *Statement) { s.Sources = slices.Repeat([]Hash{Sum("x")}, 65) })
	onStatement("ref-zero", "P-69", "a reference to nothing", func(s *Statement) { s.Refs = []Hash{{}} })
	onStatement("source-zero", "P-69", "a source that is nothing", func(s *Statement) { s.Sources = []Hash{{}} })
	onStatement("body-hash", "P-70", "a body that does not have its hash", func(s *Statement) { s.Body.Hash = Sum("x") })
	onStatement("body-size", "P-70", "a body that does not have its size", func(s *Statement) { s.Body.Size++ })
	onStatement("body-missing", "P-70", "a small body that is not inside", func(s *Statement) { s.Body.Inline = nil })
	onStatement("body-both", "P-71", "a large body with bytes inside", func(s *Statement) { s.Body.Size = MaxInline + 1 })
	onStatement("body-large", "P-71", "a body over 1 GiB", func(s *Statement) { s.Body.Size, s.Body.Inline = MaxBlob+1, nil })
	onStatement("format-empty", "P-72", "a body without a format", func(s *Statement) { s.Body.Format = "" })
	onStatement("format-41", "P-72", "a format of 41 bytes", func(s *Statement) { s.Body.Format = strings.Repeat("f", 41) })
	onStatement("format-control", "P-16", "a format with an escape character", func(s *Statement) { s.Body.Format = "\x1b" })
	onStatement("file-control", "P-16", "a file name with an escape character", func(s *Statement) { s.Body.Name = "\x1b" })
	for i, name := range []string{"a/b", `a\b`, "..", ".", "a\nb", strings.Repeat("n", 256)} {
		onStatement("file-"+string(rune('1'+i)), "P-73", "a file name that is none", func(s *Statement) { s.Body.Name = name })
	}
	put(malformed, "statement-label-red-257", "P-14", "a label that is CLEAR in its last 8 bits", TypeStatement, refEncode(with(tree(st), 7, uint64(257))))
	put(malformed, "statement-label-text", "P-14", "a label as text", TypeStatement, refEncode(with(tree(st), 7, "GREEN")))
	put(malformed, "statement-no-salt", "P-11", "no salt", TypeStatement, refEncode(without(tree(st), 3)))
	put(malformed, "statement-inline-empty", "P-13", "an empty body spelled out", TypeStatement,
		refEncode(with(tree(st), 13, with(with(with(tree(st.Body), 3, uint64(0)), 4, emptyHash[:]), 5, []byte{}))))
	put(malformed, "statement-body-zero", "P-13", "no body, spelled out", TypeStatement,
		refEncode(with(tree(exampleReceipts()), 13, refMap{{uint64(1), ""}, {uint64(3), uint64(0)}, {uint64(4), make([]byte, 32)}})))
	put(valid, "statement-empty-body", "P-70", "a body of no bytes", TypeStatement, refEncode(with(tree(st), 13,
		without(with(with(tree(st.Body), 3, uint64(0)), 4, emptyHash[:]), 5))))

	h := exampleOfType(TypeHeads).record.(*Heads)
	onHead := func(name, rules, comment string, f func(*Head)) {
		bad("heads-"+name, rules, comment, edit(h, func(h *Heads) { h.Feeds = []Head{*edit(&h.Feeds[0], f)} }))
	}
	onHead("first-0", "P-83", "a feed from entry 0", func(h *Head) { h.First = 0 })
	onHead("first-late", "P-83", "a feed whose first entry is after its last", func(h *Head) { h.First = h.Seq + 1 })
	onHead("no-hash", "P-83", "a head without its id", func(h *Head) { h.Hash = Hash{} })
	onHead("no-feed", "P-83", "a head without its feed", func(h *Head) { h.Feed = Hash{} })
	onHead("seq-large", "P-19", "a sequence number over 2^53 - 1", func(h *Head) { h.Seq = MaxCounter + 1 })
	bad("heads-65", "P-84", "65 feeds", edit(h, func(h *Heads) {
		h.Feeds = nil
		for i := range 65 {
			h.Feeds = append(h.Feeds, Head{Feed: Hash{byte(i + 1)}, First: 1, Seq: 1, Hash: Sum("h")})
		}
	}))
	bad("heads-unsorted", "P-84", "feeds in the wrong order", edit(h, func(h *Heads) {
		h.Feeds = []Head{{Hash{2}, 1, 1, Sum("h")}, {Hash{1}, 1, 1, Sum("h")}}
	}))
	bad("heads-n-0", "", "a counter of 0", edit(h, func(h *Heads) { h.N = 0 }))
	bad("heads-time-0", "", "no time", edit(h, func(h *Heads) { h.Time = 0 }))
	bad("heads-n-large", "P-19", "a counter over 2^53 - 1", edit(h, func(h *Heads) { h.N = MaxCounter + 1 }))
	bad("heads-late", "P-18", "a time after the year 9999", edit(h, func(h *Heads) { h.Time = MaxTime + 1 }))
	return vs
}

var emptyHash = Hash(sha256.Sum256(nil))

func parcelVectors() []vector {
	var vs []vector
	key := []PublicKey{nodeKey.Public()}
	add := func(expect, name, rules, comment string, p *Parcel) {
		vs = append(vs, vector{name: "parcel-" + name, expect: expect, form: "statement in parcel", rules: rules, use: UseNode, keys: key,
			comment: comment, data: envelopeOf(TypeParcel, must(Marshal(p)), nodeKey).Encode()})
	}
	p := exampleParcel(exampleStatement(), 1)
	bad := func(name, rules, comment string, f func(*Parcel)) { add(malformed, name, rules, comment, edit(p, f)) }
	add(valid, "open", "P-78", "a parcel with the statement inside", p)
	add(valid, "open-second", "P-74", "the second parcel of a feed", edit(p, func(p *Parcel) { p.Seq, p.Prev = 2, Sum("1") }))
	bad("seq-0", "P-74", "sequence number 0", func(p *Parcel) { p.Seq, p.Prev = 0, Sum("0") })
	bad("first-with-prev", "P-74", "the first parcel with a predecessor", func(p *Parcel) { p.Prev = Sum("0") })
	bad("no-prev", "P-74", "the second parcel without a predecessor", func(p *Parcel) { p.Seq = 2 })
	bad("seq-large", "P-19", "a sequence number over 2^53 - 1", func(p *Parcel) { p.Seq, p.Prev = MaxCounter+1, Sum("0") })
	bad("class-0", "P-75", "no class", func(p *Parcel) { p.Class = 0 })
	bad("class-3", "P-75", "an unknown class", func(p *Parcel) { p.Class = 3 })
	bad("body-empty", "P-76", "no body", func(p *Parcel) { p.Body = nil })
	bad("blob-0", "P-77", "a blob of no bytes", func(p *Parcel) { p.Blob = &BlobRef{Hash: Sum("b")} })
	bad("blob-large", "P-77", "a blob over 1 GiB", func(p *Parcel) { p.Blob = &BlobRef{MaxBlob + 1, Sum("b")} })
	bad("blob-no-hash", "P-77", "a blob without a hash", func(p *Parcel) { p.Blob = &BlobRef{Size: 1} })
	bad("body-no-envelope", "P-78", "a body that is no envelope", func(p *Parcel) { p.Body = []byte("x") })
	bad("body-other-type", "P-78", "a body that is no statement", func(p *Parcel) { p.Body = envelopeOf(TypeAddress, must(Marshal(address())), nodeKey).Encode() })
	inside := func(f func(*Statement)) func(*Parcel) {
		return func(p *Parcel) {
			p.Body = envelopeOf(TypeStatement, must(Marshal(edit(exampleStatement(), f))), nodeKey).Encode()
		}
	}
	large := func(s *Statement) {
		s.Body = Body{Format: "text", Size: MaxInline + 1, Hash: Sum("large")}
	}
	bad("other-author", "P-79", "a statement of another author", inside(func(s *Statement) { s.Author = Sum("de") }))
	bad("other-node", "P-79", "a statement of another node", inside(func(s *Statement) { s.Node = otherNode.Public().ID() }))
	bad("other-feed", "P-80", "a parcel in another feed", func(p *Parcel) { p.Feed = Sum("other") })
	bad("urgent-inside", "P-81", "an urgent statement in a normal parcel", inside(func(s *Statement) { s.Urgent = true }))
	bad("urgent-outside", "P-81", "a normal statement in an urgent parcel", func(p *Parcel) { p.Class = Urgent })
	bad("blob-missing", "P-82", "a large body without a blob", inside(large))
	bad("blob-needless", "P-82", "a small body with a blob", func(p *Parcel) { p.Blob = &BlobRef{1, Sum("b")} })
	bad("blob-other", "P-82", "a large body with another blob", func(p *Parcel) {
		inside(large)(p)
		p.Blob = &BlobRef{MaxInline + 1, Sum("other")}
	})
	bad("blob-other-size", "P-82", "a large body with a blob of another size", func(p *Parcel) {
		inside(large)(p)
		p.Blob = &BlobRef{MaxInline + 2, Sum("large")}
	})
	statement := envelopeOf(TypeStatement, must(Marshal(exampleStatement())), otherNode)
	statement.Sigs[0].KID = nodeKey.Public().ID()
	add(unsigned, "statement-unsigned", "P-78", "a statement that another key signed", edit(p, func(p *Parcel) { p.Body = statement.Encode() }))
	bad("sealed-community", "P-120", "a sealed parcel in the feed of the community", func(p *Parcel) { p.Sealed = true })
	bad("for-one-team", "P-80", "a statement for one team in the feed of the community", inside(func(s *Statement) { s.Audience, s.Label = to(de), tlp.Amber }))
	add(unsigned, "other-key", "P-31 P-78", "a parcel that names another key than the one that signs",
		edit(p, func(p *Parcel) { p.Node = otherNode.Public().ID() }))
	return vs
}

func otherVectors() []vector {
	var vs []vector
	add := func(expect, form, name, rules, comment string, data []byte) {
		vs = append(vs, vector{name: form + name, expect: expect, form: form, rules: rules, comment: comment, data: data})
	}
	h := NewHello(Sum("at"), nodeKey.Public().ID(), "entente/0.1", testTime*1000)
	hello := func(expect, name, rules, comment string, f func(*Hello)) {
		add(expect, "hello", name, rules, comment, edit(h, f).Encode())
	}
	hello(valid, "", "P-88", "a greeting", func(*Hello) {})
	hello(valid, "-newer", "P-88", "a greeting of a node that speaks newer versions too", func(h *Hello) { h.Versions = []uint64{9, 2, 1} })
	hello(malformed, "-no-version", "P-88", "no version", func(h *Hello) { h.Versions = nil })
	hello(malformed, "-version-0", "P-88", "version 0", func(h *Hello) { h.Versions = []uint64{1, 0} })
	hello(malformed, "-ascending", "P-88", "versions in the wrong order", func(h *Hello) { h.Versions = []uint64{1, 2} })
	hello(malformed, "-twice", "P-88", "a version twice", func(h *Hello) { h.Versions = []uint64{1, 1} })
	hello(malformed, "-17-versions", "P-88", "17 versions", func(h *Hello) {
		h.Versions = nil
		for i := range 17 {
			h.Versions = append(h.Versions, uint64(17-i))
		}
	})
	hello(malformed, "-no-team", "P-89", "no team", func(h *Hello) { h.Team = Hash{} })
	hello(malformed, "-no-node", "P-89", "no node", func(h *Hello) { h.Node = KID{} })
	hello(malformed, "-software-101", "P-90", "software of 101 bytes", func(h *Hello) { h.Software = strings.Repeat("s", 101) })
	hello(malformed, "-software-control", "P-90", "software with an escape character", func(h *Hello) { h.Software = "\x1b" })
	pad := func(n int) []byte { return refEncode(with(tree(h), 900, make([]byte, n))) }
	rest := len(pad(1000)) - 1000
	add(valid, "hello", "-1024", "P-91 P-93", "a greeting of 1,024 bytes", pad(1024-rest))
	add(malformed, "hello", "-1025", "P-91", "a greeting of 1,025 bytes", pad(1025-rest))
	add(malformed, "hello", "-critical", "P-95", "a greeting with an extension that must be known", refEncode(with(tree(h), 1000, true)))

	record := envelopeOf(TypeAddress, must(Marshal(address())), nodeKey).Encode()
	bundle := func(b Bundle) []byte { return b.Encode() }
	add(valid, "bundle", "", "P-85", "a bundle of one record", bundle(Bundle{Sum("at"), [][]byte{record}}))
	add(valid, "bundle", "-empty", "P-85", "a bundle of no records", bundle(Bundle{Team: Sum("at")}))
	add(malformed, "bundle", "-no-team", "P-85", "a bundle without a team", bundle(Bundle{Records: [][]byte{record}}))
	add(malformed, "bundle", "-1025", "P-85", "a bundle of 1,025 records", bundle(Bundle{Sum("at"), make([][]byte, 1025)}))
	add(malformed, "bundle", "-record", "P-8", "a bundle with a record that is cut", bundle(Bundle{Sum("at"), [][]byte{record[:20]}}))
	return vs
}

// Arithmetic on the curve edwards25519, to make keys and signatures that an implementation must refuse. RFC 8032 §5.1.

var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	groupOrder = littleEndian(must(hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")))
	curveD     = mulMod(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), fieldPrime))
)

func mulMod(a, b *big.Int) *big.Int { n := new(big.Int).Mul(a, b); return n.Mod(n, fieldPrime) }

func littleEndian(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

func toLittleEndian(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	return b
}

type point struct{ x, y *big.Int }

// pointOf decodes a point; ok is false if there is none with this y.
func pointOf(b []byte) (p point, ok bool) {
	b = slices.Clone(b)
	odd := b[31]>>7 == 1
	b[31] &= 0x7f
	p.y = littleEndian(b)
	yy := mulMod(p.y, p.y)
	u := new(big.Int).Sub(yy, big.NewInt(1))
	v := new(big.Int).Add(mulMod(curveD, yy), big.NewInt(1))
	p.x = new(big.Int).ModSqrt(mulMod(u, new(big.Int).ModInverse(v, fieldPrime)), fieldPrime)
	if p.x == nil {
		return p, false
	}
	if p.x.Bit(0) == 1 != odd {
		p.x.Sub(fieldPrime, p.x)
	}
	return p, true
}

func (p point) encode() []byte {
	b := toLittleEndian(p.y)
	b[31] |= byte(p.x.Bit(0)) << 7
	return b
}

func (p point) add(q point) point {
	cross := mulMod(mulMod(curveD, mulMod(p.x, q.x)), mulMod(p.y, q.y))
	inv := func(n *big.Int) *big.Int { return new(big.Int).ModInverse(n, fieldPrime) }
	one := big.NewInt(1)
	return point{
		mulMod(new(big.Int).Add(mulMod(p.x, q.y), mulMod(p.y, q.x)), inv(new(big.Int).Mod(new(big.Int).Add(one, cross), fieldPrime))),
		mulMod(new(big.Int).Add(mulMod(p.y, q.y), mulMod(p.x, q.x)), inv(new(big.Int).Mod(new(big.Int).Sub(one, cross), fieldPrime))),
	}
}

// times returns [n]p.
func (p point) times(n *big.Int) point {
	q := point{new(big.Int), big.NewInt(1)}
	for i := n.BitLen() - 1; i >= 0; i-- {
		q = q.add(q)
		if n.Bit(i) == 1 {
			q = q.add(p)
		}
	}
	return q
}

// basePoint returns B, whose y is 4/5.
func basePoint() point {
	b, _ := pointOf(toLittleEndian(mulMod(big.NewInt(4), new(big.Int).ModInverse(big.NewInt(5), fieldPrime))))
	return b
}

// cofactoredSignature signs with an R that has a part of order eight: [8][S]B = [8]R + [8][k]A holds, [S]B = R + [k]A does not.
func cofactoredSignature(priv []byte, msg []byte) (sig [64]byte) {
	h := sha512Of(priv[:32])
	a := h[:32]
	a[0] &= 248
	a[31] = a[31]&63 | 64
	r := new(big.Int).Mod(littleEndian(sha512Of(h[32:], msg)), groupOrder)
	torsion, _ := pointOf(must(hex.DecodeString(smallOrder[3])))
	bigR := basePoint().times(r)
	copy(sig[:], bigR.add(torsion).encode())
	k := littleEndian(sha512Of(sig[:32], priv[32:], msg))
	s := new(big.Int).Mod(new(big.Int).Add(r, new(big.Int).Mul(k, littleEndian(a))), groupOrder)
	copy(sig[32:], toLittleEndian(s))
	return sig
}

func sha512Of(parts ...[]byte) []byte {
	h := sha512.Sum512(bytes.Join(parts, nil))
	return h[:]
}
