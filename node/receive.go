package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/entente-network/entente/protocol"
	"github.com/entente-network/entente/protocol/seal"
	"github.com/entente-network/entente/store"
	"github.com/entente-network/entente/store/audit"
	"github.com/entente-network/entente/store/keyring"
	"github.com/entente-network/entente/trust"
)

// An incoming parcel was verified, and may be stored.
type incoming struct {
	store.Entry
	cannotOpen bool // it was sealed to a key that this node does not have
	keyless    bool // it is of a room, and the key of its period was not here when it was looked at
}

// openSealed verifies a parcel whose outer signature was verified, and opens it. What a person of this team may not see now is
// held back; what cannot be opened, or makes no sense inside, stays as a link of its feed: its author signed it, so that
// whoever handed it over is not to blame. Records and receipts in it are taken in before it returns.
func (n *Node) openSealed(env *protocol.Envelope, raw []byte, p *protocol.Parcel, info trust.NodeInfo, via string) (incoming, error) {
	f, ok := n.feed(p.Feed)
	if !ok || f.node != p.Node || f.team != p.Team || f.channel.IsCommunity() {
		return incoming{}, fmt.Errorf("%w: it is in a feed that this node takes no part in", errNotOurs)
	}
	n.mu.RLock()
	may := p.Team == n.team || n.mayPass(trust.Receive, p.Team, f.channel)
	n.mu.RUnlock()
	if !may {
		return incoming{}, fmt.Errorf("%w: nothing is taken in of its author now", errNotOurs)
	}
	in := incoming{Entry: store.Entry{Envelope: env, Raw: raw, Parcel: p, Tag: f.channel.Tag(), Node: info, Via: via, Link: true}}
	if room := f.channel.Room(); !room.IsZero() {
		return n.openInRoom(in, room, f.channel)
	}
	if p.Team == n.team {
		return in, nil // our own, come back: sealed to others
	}
	inner, stEnv, st, err := n.openInner(p, info.Node.Key, f.channel)
	switch {
	case errors.Is(err, keyring.ErrClosed):
		return incoming{}, fmt.Errorf("%w: %w", errKeeping, err)
	case errors.Is(err, seal.ErrNotRecipient):
		in.cannotOpen = true
		return in, nil
	case err != nil:
		n.log.Warn("a sealed message of a team is not well formed inside; it is kept closed", "team", p.Team.Short(), "node", p.Node, "seq", p.Seq, "err", err)
		return in, nil
	}
	in.StatementID, in.Statement, in.Inner = stEnv.ID(), st, inner
	if st.Kind.ForPeople() {
		in.Link = false
		return in, nil
	}
	c, cut := info.Cutoff[p.Feed]
	if info.Revoked && (!cut || p.Seq > c.LastSeq) || n.extents.has(p.Feed, p.Seq) {
		return in, nil // not the word of the team, or a second one for its place: the store decides what becomes of it
	}
	return in, n.takeControl(p.Team, st)
}

// openInner opens and verifies what a sealed parcel of a known author carries.
func (n *Node) openInner(p *protocol.Parcel, key protocol.PublicKey, c protocol.Channel) (inner []byte, env *protocol.Envelope, st *protocol.Statement, err error) {
	if inner, err = n.ring.UnsealSmall(p.Body); err != nil {
		return nil, nil, nil, err
	}
	if testOnlyInner != nil {
		env, st, err = testOnlyInner(inner)
		return inner, env, st, err
	}
	env, st, err = p.OpenSealed(key, inner, c)
	return inner, env, st, err
}

// takeControl takes in what programs tell each other. An error that wraps errNotOurs says: not yet, hand it over again.
func (n *Node) takeControl(from protocol.TeamID, st *protocol.Statement) error {
	if st.Kind == protocol.KindReceipts {
		return n.takeReceipts(from, st.Receipts)
	}
	for _, raw := range st.Records {
		env, err := protocol.DecodeEnvelope(raw, protocol.MaxRecord)
		if err == nil {
			err = n.takeCarried(from, env)
		}
		switch {
		case errors.Is(err, trust.ErrMissing):
			return fmt.Errorf("%w: %w", errNotOurs, err)
		case errors.Is(err, errKeeping):
			return err
		case err != nil:
			kind := ""
			if env != nil {
				kind = string(env.Type) // its terms are nobody's business but the parties'
			}
			n.log.Warn("a record that a team sent was not taken in", "team", from.Short(), "type", kind)
		}
	}
	return nil
}

// errKeeping is wrapped where this node could not keep what it took in.
var errKeeping = errors.New("could not be kept")

// admit stores verified parcels, after it logged the decisions on them, and told the authors of those that it cannot open.
func (n *Node) admit(ctx context.Context, ins []incoming) ([]store.Outcome, error) {
	out, err := n.admitAsIs(ctx, ins)
	if err == nil {
		n.openLate(ctx, ins)
	}
	return out, err
}

func (n *Node) admitAsIs(ctx context.Context, ins []incoming) ([]store.Outcome, error) {
	closed := map[protocol.TeamID][]protocol.Receipt{}
	for _, in := range ins {
		if p := in.Parcel; in.cannotOpen {
			closed[p.Team] = append(closed[p.Team], protocol.Receipt{Parcel: in.Envelope.ID(), State: protocol.CannotOpen, Time: uint64(n.now().Unix())})
		}
	}
	untold := map[protocol.TeamID]error{} // what their authors were not told of is not taken in: it comes again
	for team, rs := range closed {
		err := errTooOften
		if n.closed.take(team.String(), n.now()) {
			err = n.sayReceipts(ctx, team, rs)
		}
		if err != nil {
			untold[team] = fmt.Errorf("telling a team that this node cannot open what it sent: %w", err)
		}
	}
	n.knowing.RLock() // from the decision to the commit nobody here learns of a suspension
	defer n.knowing.RUnlock()
	var log []audit.Record
	for i := range ins {
		in := &ins[i]
		if in.Link || !in.Parcel.Sealed {
			continue
		}
		n.mu.RLock()
		d := n.mayShow(in.Statement, in.Parcel.Feed, in.Parcel.Seq)
		n.mu.RUnlock()
		if in.Held = ""; !d.Allowed {
			in.Held = d.Rule
		}
		log = append(log, n.disclosures(trust.Receive.String(), in.StatementID, []protocol.TeamID{in.Statement.Author}, in.Statement.Label, d)...)
	}
	if err := n.record(log...); err != nil {
		return nil, err
	}
	out := make([]store.Outcome, len(ins))
	var entries []store.Entry
	var at []int
	for i, in := range ins {
		if err := untold[in.Parcel.Team]; in.cannotOpen && err != nil {
			out[i].Err = err
			continue
		}
		entries, at = append(entries, in.Entry), append(at, i)
	}
	if len(entries) == 0 {
		return out, nil
	}
	taken, err := n.accept(entries)
	if err != nil {
		return nil, err
	}
	for j, i := range at {
		out[i] = taken[j]
	}
	return out, nil
}

// errTooOften says that a team was told often enough, for now.
var errTooOften = errors.New("it was told so often that it waits a while")

// known reports whether this very parcel is held.
func (n *Node) known(env *protocol.Envelope, p *protocol.Parcel) bool {
	if !n.extents.has(p.Feed, p.Seq) {
		return false
	}
	id, err := n.entryID(p.Feed, p.Seq)
	return err == nil && id == env.ID()
}

// rejudge releases what was held back and may be shown by now: an agreement was signed or resumed, a team verified, a clock set.
func (n *Node) rejudge() error {
	n.judging.Lock()
	defer n.judging.Unlock()
	n.knowing.RLock()
	defer n.knowing.RUnlock()
	var ready []protocol.Hash
	var log []audit.Record
	first := uint64(0) // arrival number of the first that is released
	err := n.st.Held(func(m *store.Message) bool {
		n.mu.RLock()
		d := n.mayShow(m.Statement, m.Feed, m.Seq)
		n.mu.RUnlock()
		if !d.Allowed {
			return true
		}
		if first == 0 || m.N < first {
			first = m.N
		}
		d.Rule = "released"
		ready = append(ready, m.ID)
		log = append(log, n.disclosures(trust.Receive.String(), m.ID, []protocol.TeamID{m.Statement.Author}, m.Statement.Label, d)...)
		return len(ready) < maxFreed
	})
	if err != nil || len(ready) == 0 {
		return err
	}
	// Their authors were told that they are held back. They are told of all that came since once more, so that a crash loses none.
	if err := errors.Join(n.record(log...), n.receiptsAgainFrom(first)); err != nil {
		return err
	}
	for _, id := range ready {
		if err := n.st.Release(id); err != nil {
			return err
		}
	}
	n.events.notify()
	n.dirty.notify()
	n.owe()
	if len(ready) == maxFreed {
		n.judge()
	}
	return nil
}

// mayShow says whether what a team said is shown to people here from now on, or held back. n.mu is held for reading.
func (n *Node) mayShow(st *protocol.Statement, f protocol.FeedID, seq uint64) trust.Decision {
	if st.Audience.Kind != protocol.InRoom || testOnlyQuestion != nil {
		return trust.Decide(n.question(trust.Receive, st, st.Author))
	}
	var d trust.Decision
	n.withRooms(func(rs *trust.Rooms) { d = rs.JudgeMessage(st, f, seq, n.now()) })
	return d
}

// judgeLoop judges anew what is held back, whenever something changed on which that depends.
func (n *Node) judgeLoop(ctx context.Context) {
	for {
		select {
		case <-n.judged:
		case <-ctx.Done():
			return
		}
		if err := errors.Join(n.noteAllOver(), n.rejudge()); err != nil && ctx.Err() == nil {
			n.log.Warn("judging anew what is held back", "err", err)
		}
	}
}

// judge wakes judgeLoop.
func (n *Node) judge() {
	select {
	case n.judged <- struct{}{}:
	default:
	}
}

// maxFreed bounds what one call of rejudge releases; the next goes on.
const maxFreed = 1024
