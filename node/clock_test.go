package node_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/entente-network/entente/node"
	"github.com/entente-network/entente/node/nodetest"
	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/tlp"
	"github.com/entente-network/entente/store"
)

// inbox returns the ids that people at the team see.
func inbox(t *testing.T, tm *nodetest.Team) map[protocol.Hash]bool {
	t.Helper()
	m := map[protocol.Hash]bool{}
	if err := tm.Node.Inbox(store.Query{}, false, func(v *node.MessageView) bool { m[v.ID] = true; return true }); err != nil {
		t.Fatal(err)
	}
	return m
}

// The clock of de runs three days ahead. Its message is kept and waits; doctor names the clocks. After three days the message
// shows. Set right again, de is heard at once, though it signed with later times before.
func TestClockAhead(t *testing.T) {
	nodetest.Run(t, 8, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		at, de := w.As("at"), w.As("de")
		de.SetClock(3 * 24 * time.Hour)
		de.Leaves()
		de.Moves("/dns4/old.de.example/udp/4747/quic-v1")
		de.Returns()
		w.AllMeet()
		id := de.Sends(tlp.Green, "news of the day after tomorrow")
		w.Settle()
		w.Until("at hears de's word", func() bool { return at.Knows(de).Nodes[0].Feed.Said == 1 })
		var mu sync.Mutex
		watched := map[protocol.Hash]int{}
		seen := func(id protocol.Hash) int {
			mu.Lock()
			defer mu.Unlock()
			return watched[id]
		}
		ctx, stop := context.WithCancel(context.Background()) // of the bubble
		done := make(chan error)
		go func() {
			done <- at.Node.Watch(ctx, 0, func(v *node.MessageView) error {
				mu.Lock()
				defer mu.Unlock()
				watched[v.ID]++
				return nil
			})
		}()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		v, err := at.Node.Message(id)
		if err != nil {
			t.Fatal(err)
		}
		if v.Quarantined == "" || v.Title != "" {
			t.Errorf("the message from the future is shown: %+v", v)
		}
		if inbox(t, at)[id] {
			t.Error("the message from the future is in the inbox")
		}
		if _, _, err := at.Node.OpenBody(id); err == nil {
			t.Error("the message from the future can be read")
		}
		at.Doctor("the clocks of de and of this node differ by 72h")
		de.Doctor("the clocks of at and of this node differ by 72h")
		de.SetClock(0)
		de.Leaves()
		de.Moves("/dns4/new.de.example/udp/4747/quic-v1")
		de.Returns()
		w.Together(w.Teams()...)
		w.Until("at learns that de has moved", func() bool {
			return slices.Contains(at.Knows(de).Nodes[0].Addrs, "/dns4/new.de.example/udp/4747/quic-v1")
		})
		now := de.Sends(tlp.Green, "the clock is right again")
		at.Holds(now)
		w.Until("at hears de's new word", func() bool { return at.Knows(de).Nodes[0].Feed.Said == 2 })
		if at.Says("the clocks of de") {
			t.Error("doctor still complains about the clock")
		}
		if seen(id) != 0 {
			t.Error("who watches saw the message from the future")
		}
		at.SetClock(3*24*time.Hour - 5*time.Minute) // as good as waiting for it
		at.Holds(id)
		w.Until("who watches sees it now", func() bool { return seen(id) > 0 })
		if seen(id) != 1 || seen(now) != 1 {
			t.Errorf("who watches saw the two messages %d and %d times", seen(id), seen(now))
		}
		if !inbox(t, at)[id] {
			t.Error("the message does not show when its time has come")
		}
	})
}

// After a change of battery the clock of de says 1970. What it sends is taken in and shown, with its late time of receipt
// beside the author's. Doctor names the clocks.
func TestClock1970(t *testing.T) {
	nodetest.Run(t, 9, []string{"at", "de", "pl"}, func(w *nodetest.World) {
		at, de := w.As("at"), w.As("de")
		w.AllMeet()
		de.Leaves()
		de.SetClock(time.Until(time.Unix(3600, 0)))
		de.Returns()
		w.Together(w.Teams()...)
		id := de.Sends(tlp.Green, "what year is it?")
		at.Holds(id)
		w.As("pl").Holds(id)
		v, err := at.Node.Message(id)
		if err != nil {
			t.Fatal(err)
		}
		if v.Quarantined != "" || v.Created.Year() != 1970 || time.Since(v.Received) > time.Minute {
			t.Errorf("at shows it as %+v", v)
		}
		at.Doctor("the clocks of de")
		back := at.Sends(tlp.Green, "set your clock")
		w.Until("de has the answer", func() bool { _, err := de.Node.Message(back); return err == nil })
		de.SetClock(0)
		de.Holds(back)
		w.Settle()
	})
}
