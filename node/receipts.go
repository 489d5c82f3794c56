package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/trust"
)

// Receipts go back to the author of a sealed message, and to nobody else, several in one statement. Which messages still
// await one that says stored or held follows from the store and a note of how far they were given, so that a crash loses none.

const (
	receiptDelay = 2 * time.Second // collects receipts
	receiptNote  = "receipts"      // arrival number up to which they were given
	receiptPage  = 2048            // messages looked at in one go
)

// receipting returns which receipts are owed for a statement of another team.
func (n *Node) receipting(st *protocol.Statement) protocol.Receipting {
	switch st.Audience.Kind {
	case protocol.InAgreement:
	case protocol.InRoom:
		return protocol.ReceiptsNone // each message would bring one from each member
	default:
		return protocol.ReceiptsOpened
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	a, ok := n.book.Agreement(st.Audience.Agreement, n.now())
	if !ok {
		return protocol.ReceiptsNone
	}
	return a.Receipts
}

// receiptLoop gives receipts a little after messages came.
func (n *Node) receiptLoop(ctx context.Context) {
	for {
		select {
		case <-n.owed:
		case <-ctx.Done():
			return
		}
		t := time.NewTimer(receiptDelay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		n.owing.Store(false)
		if err := n.giveReceipts(ctx); err != nil && ctx.Err() == nil {
			n.owing.Store(true)
			n.log.Warn("receipts were not given; they will be later", "err", err)
		}
	}
}

// owe has receiptLoop look for what awaits a receipt. It reads every message that came since it last looked, so it is asked only
// when one came that may.
func (n *Node) owe() {
	n.owing.Store(true)
	select {
	case n.owed <- struct{}{}:
	default:
	}
}

func (n *Node) giveReceipts(ctx context.Context) error {
	after, err := n.receiptMark()
	if err != nil {
		return err
	}
	for {
		owed := map[protocol.TeamID][]protocol.Receipt{}
		last, seen := after, 0
		err := n.st.Inbox(store.Query{After: after, Limit: receiptPage, WithHeld: true}, func(m *store.Message) bool {
			last, seen = m.N, seen+1
			if r, ok := n.receiptFor(m); ok {
				owed[m.Statement.Author] = append(owed[m.Statement.Author], r)
			}
			return true
		})
		if err != nil || seen == 0 {
			return err
		}
		for team, rs := range owed {
			if err := n.sayReceipts(ctx, team, rs); err != nil {
				return err
			}
		}
		moved, err := n.receiptsGiven(after, last)
		if err != nil {
			return err
		}
		if after = last; moved {
			if after, err = n.receiptMark(); err != nil {
				return err
			}
			continue
		}
		if seen < receiptPage {
			return nil
		}
	}
}

// receiptsAgainFrom has receipts given again for what came from an arrival number on.
func (n *Node) receiptsAgainFrom(first uint64) error {
	n.receiptMu.Lock()
	defer n.receiptMu.Unlock()
	at, err := n.receiptMark()
	if err != nil || at < first {
		return err
	}
	return n.st.PutNote(receiptNote, binary.BigEndian.AppendUint64(nil, first-1))
}

// receiptFor returns the receipt that the author of a message is owed, if any.
func (n *Node) receiptFor(m *store.Message) (protocol.Receipt, bool) {
	st := m.Statement
	if st.Author == n.team || st.Audience.Kind == protocol.Community || n.receipting(st) == protocol.ReceiptsNone {
		return protocol.Receipt{}, false
	}
	r := protocol.Receipt{Statement: m.ID, State: protocol.Stored, Time: uint64(m.Received.Unix())}
	if m.Held != "" {
		r.State, r.Rule = protocol.HeldBack, m.Held
	}
	return r, true
}

// receiptsGiven notes that receipts were given up to an arrival number; moved says that meanwhile they are to be given again from
// an earlier one.
func (n *Node) receiptsGiven(from, to uint64) (moved bool, err error) {
	n.receiptMu.Lock()
	defer n.receiptMu.Unlock()
	at, err := n.receiptMark()
	if err != nil || at != from {
		return true, err
	}
	return false, n.st.PutNote(receiptNote, binary.BigEndian.AppendUint64(nil, to))
}

func (n *Node) receiptMark() (uint64, error) {
	b, err := n.st.Note(receiptNote)
	if errors.Is(err, store.ErrNotFound) || err == nil && len(b) != 8 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// sayReceipts gives receipts to the team. One that may not be told anything now gets none, ever.
func (n *Node) sayReceipts(ctx context.Context, team protocol.TeamID, rs []protocol.Receipt) error {
	for chunk := range slices.Chunk(rs, protocol.MaxReceipts) {
		err := n.sayControl(ctx, team, &protocol.Statement{Kind: protocol.KindReceipts, Receipts: chunk})
		var no *RefusedError
		if errors.As(err, &no) && no.Rule != "signing-stopped" {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sayControl says to one team what is for its program.
func (n *Node) sayControl(ctx context.Context, team protocol.TeamID, st *protocol.Statement) error {
	st.Audience, st.Label = protocol.Audience{Kind: protocol.Direct, Teams: []protocol.TeamID{team}}, protocol.ControlLabel
	if _, err := rand.Read(st.Salt[:]); err != nil {
		return err
	}
	if err := n.readyToSign(ctx); err != nil {
		return err
	}
	_, err := n.say(ctx, st)
	return err
}

// takeReceipts keeps what another team says about statements of this one.
func (n *Node) takeReceipts(from protocol.TeamID, rs []protocol.Receipt) error {
	var keep []protocol.Receipt
	unopened := false
	for _, r := range rs {
		if r.State == protocol.CannotOpen {
			id, err := n.st.StatementOf(r.Parcel)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("%w: %w", errKeeping, err)
			}
			m, err := n.st.Message(id)
			if errors.Is(err, store.ErrNotFound) {
				if err := n.repeatControl(from); err != nil {
					return err
				}
				continue
			}
			if err != nil || !slices.Contains(m.Statement.Audience.Teams, from) {
				continue // not theirs to open
			}
			keep, unopened = append(keep, r), true
			continue
		}
		m, err := n.st.Message(r.Statement)
		if err != nil || m.Statement.Author != n.team || !slices.Contains(m.Statement.Audience.Teams, from) {
			continue // of control statements, of what was forgotten, or not theirs to speak of
		}
		if r.State == protocol.Opened && !slices.ContainsFunc(m.Statement.Audience.Persons, func(p protocol.Person) bool { return p.Team == from && p.Name == r.Person }) {
			continue
		}
		keep = append(keep, r)
	}
	if err := n.st.PutReceipts(from, keep); err != nil {
		return fmt.Errorf("%w: %w", errKeeping, err)
	}
	if unopened {
		n.sealWaiting()
	}
	return nil
}

// repeatControl has everything said again that is for the program of a team, which could not open some of it: once for each
// set of keys of the team.
func (n *Node) repeatControl(team protocol.TeamID) error {
	if !n.firstFor(team, "control") {
		return nil
	}
	if err := n.st.PutNote(toldNote(team), nil); err != nil {
		return fmt.Errorf("%w: %w", errKeeping, err)
	}
	n.spawn(func() {
		ctx := context.Background()
		if err := errors.Join(n.tellAgreements(ctx, team), n.repeatReceipts(ctx, team)); err != nil {
			n.log.Warn("what is for the program of a team was not said again", "team", team.Short(), "err", err)
			n.mu.Lock()
			delete(n.sealedAgain, team.String()+"control")
			n.mu.Unlock()
		}
	})
	return nil
}

// repeatReceipts gives all receipts to a team once more.
func (n *Node) repeatReceipts(ctx context.Context, team protocol.TeamID) error {
	var rs []protocol.Receipt
	err := n.st.Inbox(store.Query{From: team, WithHeld: true}, func(m *store.Message) bool {
		if r, ok := n.receiptFor(m); ok {
			rs = append(rs, r)
		}
		return ctx.Err() == nil
	})
	if err != nil {
		return err
	}
	return n.sayReceipts(ctx, team, rs)
}

// A sealing is when, and to which keys of a team, something was said once more.
type sealing struct {
	keys string
	at   time.Time
}

// sealedAgainAfter is how long nothing is sealed again that was, whatever keys the team names by then.
const sealedAgainAfter = time.Hour

// firstFor reports whether something is asked for the first time since the team has the keys that it has.
func (n *Node) firstFor(team protocol.TeamID, what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	keys := ""
	for _, to := range n.book.RecipientsOf(team) {
		keys += protocol.RecipientHash(to.Recipient).String()
	}
	what = team.String() + what
	if last, ok := n.sealedAgain[what]; ok && (last.keys == keys || n.now().Sub(last.at).Abs() < sealedAgainAfter) {
		return false
	}
	if len(n.sealedAgain) > maxSealedAgain {
		clear(n.sealedAgain)
	}
	n.sealedAgain[what] = sealing{keys, n.now()}
	return true
}

// sealLoop seals again, one after the other, what teams said they could not open and have not had since. What is to be done
// follows from the receipts that are kept, so that neither a crash nor a rule that forbids it now loses any.
func (n *Node) sealLoop(ctx context.Context) {
	for {
		select {
		case <-n.unopened:
		case <-ctx.Done():
			return
		}
		type todo struct {
			team protocol.TeamID
			id   protocol.Hash
		}
		var all []todo
		err := n.eachSent(sealLooks, func(m *store.Message, team protocol.TeamID, has func(protocol.ReceiptState) bool) {
			if has(protocol.CannotOpen) && !has(protocol.Stored) && !has(protocol.HeldBack) && len(all) < maxSealedAgain {
				all = append(all, todo{team, m.ID})
			}
		})
		if err != nil {
			n.log.Warn("looking for what is to be sealed again", "err", err)
		}
		for _, t := range all {
			if ctx.Err() != nil {
				return
			}
			if !n.firstFor(t.team, t.id.String()) {
				continue
			}
			if err := n.sealOnceMore(ctx, t.team, t.id); err != nil {
				n.log.Warn("a message was not sealed again to a team that could not open it; it will be tried", "team", t.team.Short(), "id", t.id.Short(), "err", err)
				n.mu.Lock()
				delete(n.sealedAgain, t.team.String()+t.id.String())
				n.mu.Unlock()
			}
		}
	}
}

// sealLooks bounds the messages among which sealLoop looks, the newest first.
const sealLooks = store.MaxPage

// sealWaiting wakes sealLoop.
func (n *Node) sealWaiting() {
	select {
	case n.unopened <- struct{}{}:
	default:
	}
}

const maxSealedAgain = 100_000

// sealOnceMore sends a statement, as it is, once more to one team.
func (n *Node) sealOnceMore(ctx context.Context, team protocol.TeamID, id protocol.Hash) error {
	inner, err := n.st.Envelope(id)
	if err != nil {
		return err
	}
	env, err := protocol.DecodeEnvelope(inner, protocol.MaxParcel)
	if err != nil {
		return err
	}
	st, err := protocol.Decode[protocol.Statement](env)
	if err != nil {
		return err
	}
	if err := n.readyToSign(ctx); err != nil {
		return err
	}
	u := &utterance{st: st, again: &team, inner: inner, id: id}
	if err := n.append(u); err != nil {
		return err
	}
	n.send(ctx, u)
	return nil
}

// A ReceiptView says what became of a message at one team, or, if a person opened it, with whom.
type ReceiptView struct {
	Team     protocol.TeamID
	TeamName string
	State    string // sent, stored, held, cannot-open, opened
	Person   string // who opened it
	Rule     string // why it is held back there
	At       time.Time
}

// Receipts says what became of a message of this team, at each team that it was for.
func (n *Node) Receipts(id protocol.Hash) ([]ReceiptView, error) {
	m, err := n.st.Message(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("message %s: %w", id.Short(), ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if m.Statement.Author != n.team {
		return nil, &RefusedError{Rule: "receipts-own", Reason: "receipts go to the author of a message, which another team is"}
	}
	if m.Statement.Audience.Kind == protocol.Community {
		return nil, &RefusedError{Rule: "receipts-community", Reason: "nobody gives receipts for what is for the whole community"}
	}
	if m.Statement.Audience.Kind == protocol.InRoom {
		return nil, &RefusedError{Rule: "receipts-room", Reason: "nobody gives receipts in a room: entente room show says which members can read"}
	}
	rs, err := n.st.Receipts(id)
	if err != nil {
		return nil, err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	var out []ReceiptView
	for _, team := range m.Statement.Audience.Teams {
		t, _ := n.book.Team(team, n.now())
		first := ReceiptView{Team: team, TeamName: t.Name, State: "sent", At: m.Received}
		var opened []ReceiptView
		for _, r := range rs {
			if r.Team != team {
				continue
			}
			w := r.Receipt
			v := ReceiptView{Team: team, TeamName: t.Name, State: w.State.String(), Person: w.Person, Rule: w.Rule, At: time.Unix(int64(w.Time), 0).UTC()}
			switch {
			case w.State == protocol.Opened:
				opened = append(opened, v)
			case w.State == protocol.Stored || first.State != protocol.Stored.String():
				first = v
			}
		}
		out = append(append(out, first), opened...)
	}
	return out, nil
}

// Opened notes that a person of this team opened RED content: in the disclosure log, and by a receipt to its author.
func (n *Node) Opened(ctx context.Context, id protocol.Hash, person string) error {
	m, err := n.st.Message(id)
	if err != nil {
		return fmt.Errorf("message %s: %w", id.Short(), ErrNotFound)
	}
	st := m.Statement
	if !slices.ContainsFunc(st.Audience.Persons, func(p protocol.Person) bool { return p.Team == n.team && p.Name == person }) {
		return fmt.Errorf("message %s is not for %.80q", id.Short(), person)
	}
	if err := n.record(audit.Record{Time: n.now(), Actor: person, Action: trust.View.String(), Object: id, Team: st.Author, Label: st.Label,
		Allowed: true, Rule: "opened"}); err != nil {
		return err
	}
	if st.Author == n.team || n.receipting(st) < protocol.ReceiptsOpened {
		return nil
	}
	err = n.sayReceipts(ctx, st.Author, []protocol.Receipt{{Statement: id, State: protocol.Opened, Person: person, Time: uint64(n.now().Unix())}})
	if err != nil { // the person may read; that the author is not told shows in the disclosure log
		n.log.Warn("the author was not told that a person opened a message", "id", id.Short(), "err", err)
	}
	return nil
}
