package node_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// The oracle has teeth: each of these worlds has something broken in it, and the oracle or Check says so. Without these tests
// nobody would know whether it ever could.
func TestOracleNotices(t *testing.T) {
	if testing.Short() {
		t.Skip("long: shorter stories drive the same code")
	}
	var disguised atomic.Pointer[string]
	disguise := func(s string) { disguised.Store(&s) }
	sealSmall := func(_ protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error) {
		return seal.SealSmall(inner, to...)
	}
	for i, c := range []struct {
		name string
		kind string // of the fault to be found
		make func(on *atomic.Pointer[string]) node.Mutant
		arm  func(w *nodetest.World) string // what the mutant is given before the letters are sent
		tell func(w *nodetest.World, at, de, pl *nodetest.Team)
	}{
		{name: "sealed to a third team too", kind: "opened",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Seal: func(_ protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error) {
					return seal.SealSmall(inner, also(on, to)...)
				}}
			},
			arm: func(w *nodetest.World) string { return recipient(t, w.As("pl")) }},
		{name: "sealed to a removed node too", kind: "opened",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Seal: func(_ protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error) {
					return seal.SealSmall(inner, also(on, to)...)
				}}
			},
			arm: func(w *nodetest.World) string {
				de, old := w.As("de"), recipient(t, w.As("de"))
				de.ReplacesNode("stolen")
				w.Until("at knows", func() bool { return len(w.As("at").Knows(de).Nodes) == 2 })
				w.Together(w.As("at"), de)
				return old
			}},
		{name: "RED content in the clear", kind: "opened",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Content: func(plain, sealed []byte) []byte {
					if on.Load() == nil {
						return sealed
					}
					return bytes.Clone(plain)
				}}
			}},
		{name: "RED for another person too", kind: "opened",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Content: func(plain, sealed []byte) []byte {
					if on.Load() == nil {
						return sealed
					}
					b, err := seal.SealSmall(plain, also(on, nil)...)
					if err != nil {
						return nil
					}
					return b
				}}
			},
			arm: func(w *nodetest.World) string {
				for _, o := range w.As("at").Knows(w.As("de")).Manifest.Operators {
					if o.Name == "bert" {
						return o.Recipient
					}
				}
				return ""
			}},
		{name: "the key of a blob in the parcel", kind: "secret",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Parcel: func(st *protocol.Statement, p *protocol.Parcel) {
					if on.Load() != nil && st.Body.Key != "" {
						p.Body = append(p.Body, st.Body.Key...)
					}
				}}
			}},
		{name: "a body in the clear around the sealed one", kind: "clear",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Parcel: func(st *protocol.Statement, p *protocol.Parcel) {
					if on.Load() != nil && p.Sealed {
						p.Body = append(p.Body, st.Body.Inline...)
					}
				}}
			}},
		{name: "not padded", kind: "length",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Seal: func(team protocol.TeamID, inner []byte, to []seal.Recipient) ([]byte, error) {
					if on.Load() == nil {
						return sealSmall(team, inner, to)
					}
					var b bytes.Buffer
					w, err := seal.Seal(&b, to...)
					if err != nil {
						return nil, err
					}
					if _, err := w.Write(inner); err != nil {
						return nil, err
					}
					err = w.Close()
					return b.Bytes(), err
				}}
			}},
		{name: "sent under a suspended agreement", kind: "opened",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Question: func(q *trust.Question) {
					if on.Load() != nil && q.Agreement == trust.Suspended {
						q.Agreement = trust.Active
					}
				}}
			},
			tell: func(w *nodetest.World, at, de, _ *nodetest.Team) {
				id := w.Agree(at, de, node.Terms{})
				at.Suspends(id)
				de.Sees(id, trust.Suspended)
				de.Holds(at.SendsTo(nodetest.Under(id), tlp.Amber, "we should not speak"))
			}},
		{name: "a channel served to whoever asks", kind: "third",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{MayHave: func(protocol.TeamID, protocol.Channel) bool { return on.Load() != nil }}
			},
			tell: func(w *nodetest.World, at, de, pl *nodetest.Team) {
				de.Holds(at.SendsTo(nodetest.To(de), tlp.Amber, "between us"))
				pl.Leaves()
				pl.Returns()
				w.Together(at, pl)
				w.Wait(time.Minute)
			}},
		{name: "nothing is logged", kind: "audit",
			make: func(on *atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Record: func(rs []audit.Record) []audit.Record {
					if on.Load() != nil {
						return nil
					}
					return rs
				}}
			}},
		{name: "the channel is not checked at the receiver", kind: "inbox",
			make: func(*atomic.Pointer[string]) node.Mutant {
				return node.Mutant{Inner: func(inner []byte) (*protocol.Envelope, *protocol.Statement, error) {
					env, err := protocol.DecodeEnvelope(inner, protocol.MaxStatement)
					if err != nil {
						return nil, nil, err
					}
					st, err := protocol.Decode[protocol.Statement](env)
					if ids := disguised.Load(); err == nil && ids != nil && *ids != "" { // the store would see it otherwise
						copy(st.Author[:], *ids)
						copy(st.Node[:], (*ids)[32:])
						copy(st.Audience.Teams[0][:], (*ids)[48:])
					}
					return env, st, err
				}}
			},
			tell: func(w *nodetest.World, at, de, pl *nodetest.Team) {
				id := at.SendsTo(nodetest.To(pl), tlp.Amber, "for pl alone")
				pl.Holds(id)
				mallory := pl.Turns()
				mallory.Connects(at, de)
				kid := mallory.Key.Public().ID()
				disguise(string(pl.ID[:]) + string(kid[:]) + string(de.ID[:]))
				mallory.Pushes(de, mallory.Feed(de, protocol.Hash{}).Wraps(pl.GotMessage(id).Inner, nil))
				de.Arrives(id)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := new(atomic.Pointer[string])
			node.Mutate(c.make(on))
			defer node.Mutate(node.Mutant{})
			nodetest.Catches(t, uint64(300+i), []string{"at", "de", "pl"}, c.kind, func(w *nodetest.World) {
				at, de, pl := w.As("at"), w.As("de"), w.As("pl")
				w.AllMeet()
				w.Befriend(at, de)
				w.Befriend(at, pl)
				w.Befriend(de, pl)
				de.Employs("anna", "bert")
				at.KnowsStaff(de, "anna", "bert")
				arm := ""
				if c.arm != nil {
					arm = c.arm(w)
				}
				on.Store(&arm)
				if c.tell != nil {
					c.tell(w, at, de, pl)
					return
				}
				at.SendsTo(nodetest.To(de), tlp.Amber, "a host of yours scans ours")
				at.SendsFileTo(nodetest.To(de), tlp.Amber, "dump.txt", nodetest.Document("a dump", 50_000))
				at.SendsTo(de.Person("anna"), tlp.Red, "a source of ours says")
				w.Wait(30 * time.Second)
			})
		})
	}
}

// also returns the recipients and the one that a mutant was given.
func also(on *atomic.Pointer[string], to []seal.Recipient) []seal.Recipient {
	s := on.Load()
	if s == nil {
		return to
	}
	r, err := seal.ParseRecipient(*s)
	if err != nil {
		return to
	}
	return append([]seal.Recipient{r}, to...)
}

// recipient returns the recipient of a team's node.
func recipient(t *testing.T, tm *nodetest.Team) string {
	t.Helper()
	d, err := tm.Node.NodeDraft()
	if err != nil {
		t.Fatal(err)
	}
	return d.Recipient
}
